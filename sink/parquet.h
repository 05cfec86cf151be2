/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet.h - Apache Parquet files, written value by value.
 *
 *	parquet_schema_new(nodes, count, &why, &s)		once; shared by many files
 *	parquet_new(s, &conf, &p)				once for each file that is open at a time
 *	parquet_open(p, out)
 *	    parquet_put_i64(p, leaf, v) ... parquet_row(p)	for each row
 *	parquet_finish(p, meta, count)
 *	parquet_reset(p), parquet_open(p, next) ...		the next file takes over the buffers
 *	parquet_free(p), parquet_schema_free(s)
 *
 *	"PAR1" | row group | row group | ... | footer | its length | "PAR1"
 *		row group:  column chunk of leaf 0 | column chunk of leaf 1 | ...
 *		chunk:	    dictionary page, if one pays | data pages
 *
 * A leaf that gets nothing in a row is null in that row, and costs nothing there: the writer counts rows, and
 * a column catches up when it gets its next value.  A chunk without a value is one page of some ten octets,
 * and its column holds no memory.
 *
 * Lists and groups have levels (parquet-format, README "Nested Encoding"): `def` says how many of the optional
 * and repeated nodes on the way to the value are there, `rep` at which of the repeated ones this value begins a
 * new entry, 0 for the first of a row.  A value has def = parquet_schema_max_def(); with fewer it is a null, or an
 * empty list:
 *
 *	optional group tags (LIST) { repeated group list { optional octets element (STRING) } }
 *		["a", null, "c"]	octets_at(0, 3, "a")  null_at(1, 2)  octets_at(1, 3, "c")
 *		[]			null_at(0, 1)
 *		null			nothing, or null_at(0, 0)
 *
 * parquet_put_i64(), _f64() and _octets() are the same at (0, max).  All leaves of a group are to get what says
 * that the group is there; a group of which no leaf got anything in a row is null in it.  A required leaf
 * outside of any optional or repeated group has to get a value in each row.
 *
 * Values of a column go through a dictionary as long as it pays.  Whether it does is found out from the first
 * thousands of values: their size as indices and dictionary is compared with their size without.  If it does
 * not, what is there is written anew without dictionary, and the column keeps away from it for several row
 * groups, also of next files, until it tries again.  A dictionary that gets too large, or stops to pay, stays
 * for the pages that are done.
 *
 * A chunk of which the first page is hardly smaller when it is compressed is written as it is, like those of the
 * next row groups, until it is tried again: most pages are packed bits.
 *
 * Bounds (min, max) are kept per page and per chunk: octets compare bytewise and unsigned, those longer than
 * PARQUET_BOUND_BYTES leave the page and the chunk without bounds, as does a NaN; -0 and +0 are both covered.
 *
 * Pages carry a CRC-32.  There is no page index (ColumnIndex, OffsetIndex): of DuckDB, pyarrow and polars none reads
 * a range of a sorted column faster with it (measured over a million rows in one group), and with 263 columns it
 * is some 20 KiB for each row group, whose own bounds do most of the work.
 *
 * Nothing is written to `out` between row groups.  What fails inside of parquet_put_*() is answered by the next
 * parquet_row().  After an error only parquet_reset() and parquet_free() are of use; what was written is garbage.
 *
 * Owner: one thread for a struct parquet.  A struct parquet_schema is read only and may be shared; it outlives
 * what uses it.
 */
#ifndef SINK_PARQUET_H
#define SINK_PARQUET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/why.h"
#include "sink/file_out.h"

#define PARQUET_BOUND_BYTES 64
#define PARQUET_DEPTH_MAX 16 /* nodes on the way to a leaf */
#define PARQUET_LEAVES_MAX 4096
#define PARQUET_PAGE_MAX                                                                           \
	(1u << 30) /* a page, and so a row of one column, is not larger: ERR_LIMIT */

enum parquet_type {
	PARQUET_BOOLEAN,
	PARQUET_INT32,
	PARQUET_INT64,
	PARQUET_DOUBLE,
	PARQUET_BYTES /* BYTE_ARRAY */
};

enum parquet_logical {
	PARQUET_NONE,
	PARQUET_STRING, /* of PARQUET_BYTES: UTF-8, which the caller vouches for */
	PARQUET_MS,	/* of PARQUET_INT64: milliseconds since 1970, UTC */
	PARQUET_DATE,	/* of PARQUET_INT32: days since 1970 */
	PARQUET_LIST,	/* a group of one repeated group of one node */
	PARQUET_MAP	/* a group of one repeated group of a required key and a value */
};

enum parquet_repeat { PARQUET_REQUIRED, PARQUET_OPTIONAL, PARQUET_REPEATED };

/* A group or a column; a tree in depth-first order.  Node 0 is the root: a group, its name is "schema" by custom.
 *
 *	{ "schema", PARQUET_REQUIRED, .children = 2 },
 *	{ "src_port", PARQUET_OPTIONAL, .type = PARQUET_INT32 },
 *	{ "tags", PARQUET_OPTIONAL, .children = 1, .logical = PARQUET_LIST },
 *	{ "list", PARQUET_REPEATED, .children = 1 },
 *	{ "element", PARQUET_OPTIONAL, .type = PARQUET_BYTES, .logical = PARQUET_STRING },
 */
struct parquet_node {
	const char *name;
	enum parquet_repeat repeat;
	unsigned children; /* more than 0: a group, its type does not matter */
	enum parquet_type type;
	enum parquet_logical logical;
};

struct parquet_schema;

/* Names are copied.  ERR_CONF: not such a tree; ERR_LIMIT: too deep or too wide. */
enum err parquet_schema_new(const struct parquet_node *nodes, size_t count, struct why *why,
			    struct parquet_schema **out);
void parquet_schema_free(struct parquet_schema *s);
/* Leaves are numbered from 0 in the order of the nodes. */
size_t parquet_schema_leaves(const struct parquet_schema *s);
unsigned parquet_schema_max_def(const struct parquet_schema *s, unsigned leaf);
unsigned parquet_schema_max_rep(const struct parquet_schema *s, unsigned leaf);
/* "tags.list.element"; lives as long as the schema. */
const char *parquet_schema_path(const struct parquet_schema *s, unsigned leaf);

enum parquet_codec { PARQUET_UNCOMPRESSED, PARQUET_SNAPPY, PARQUET_ZSTD };

/* What values get when a dictionary does not pay. */
enum parquet_fallback {
	PARQUET_DELTA, /* integers DELTA_BINARY_PACKED, octets DELTA_LENGTH_BYTE_ARRAY */
	PARQUET_PLAIN  /* for readers that know nothing else */
};

/* What files of one thread can share: room to put pages together, and the compressor's state, which for
 * zstandard is megabytes.  Made by parquet_bench_new(), outlives what uses it. */
struct parquet_bench;

struct parquet_conf {
	enum parquet_codec codec;
	int level; /* of zstandard; 0: its preset */
	enum parquet_fallback fallback;
	size_t page_bytes;    /* of values, before compression; 0: 1 MiB */
	uint32_t page_rows;   /* 0: 20000 */
	uint64_t group_rows;  /* a row group ends there; 0: 131072 */
	uint64_t group_bytes; /* or when its values and pages take so much memory; 0: 32 MiB */
	struct parquet_bench *bench; /* NULL: one of its own */
};

enum err parquet_bench_new(struct parquet_bench **out);
void parquet_bench_free(struct parquet_bench *b);
size_t parquet_bench_memory(const struct parquet_bench *b);

/* A pair of the footer's key_value_metadata. */
struct parquet_meta {
	const char *key;
	const char *value;
};

struct parquet; /* one file that is being written */

/* `conf` is copied. */
enum err parquet_new(const struct parquet_schema *schema, const struct parquet_conf *conf,
		     struct parquet **out);
void parquet_free(struct parquet *p);

/* Writes "PAR1"; `out` is the caller's and outlives parquet_finish() or parquet_reset().  ERR_IO, with errno. */
enum err parquet_open(struct parquet *p, struct file_out *out);

/* One value of a leaf in the current row; the kind of the leaf's type: _i64 for BOOLEAN, INT32 and INT64. */
void parquet_put_i64(struct parquet *p, unsigned leaf, int64_t v);
void parquet_put_f64(struct parquet *p, unsigned leaf, double v);
void parquet_put_octets(struct parquet *p, unsigned leaf, const void *octets, size_t bytes);

/* The same at levels. */
void parquet_put_i64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v);
void parquet_put_f64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, double v);
void parquet_put_octets_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def,
			   const void *octets, size_t bytes);
void parquet_put_null_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def);

/* Ends the row; may write a row group.  ERR_IO, with errno; ERR_NOMEM; ERR_LIMIT. */
enum err parquet_row(struct parquet *p);

/* Rows that ended since parquet_open(). */
uint64_t parquet_rows(const struct parquet *p);

/* Octets that it holds now, also those kept for later use; without a shared bench. */
size_t parquet_memory(const struct parquet *p);

/* Ends the row group now, between rows, and gives its memory back. */
enum err parquet_flush(struct parquet *p);

/* The last row group, the footer. */
enum err parquet_finish(struct parquet *p, const struct parquet_meta *meta, size_t count);

/* Finished, failed or given up: ready for parquet_open(), with its buffers and what it knows of its columns. */
void parquet_reset(struct parquet *p);

#endif
