/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_parts.h - what the parts of the Parquet writer share; for parquet*.c alone.
 *
 *	parquet.c		a file: rows, groups, the end
 *	parquet_put.c		values as they come, into the batch; levels where they are not the usual ones
 *	parquet_batch.c		the rows of a batch, column by column
 *	parquet_values.c	values into the page at hand of their column
 *	parquet_wide.c		what is done to many numbers at once
 *	parquet_column.c	what a column keeps, with dictionary and without
 *	parquet_page.c		a page from what its column holds; the bench
 *	parquet_crc.c		the check of a page
 *	parquet_chunk.c		the pages of a column and a group into the file; the footer
 *
 * A column is two things: what is looked at for each of its values, which is one cache line, and the body, which
 * is not there before the column has its first value.
 *
 * Values wait in p->lanes until BATCH_ROWS rows are there, each at the place of its column and row, and octets in
 * p->octets: a row has some hundred columns, and going from one to the next costs more than what is to be done
 * there for a value.  A bit of p->staged says that there is one.  Columns with lists have no batch.
 */
#ifndef SINK_PARQUET_PARTS_H
#define SINK_PARQUET_PARTS_H

#include "sink/parquet.h"
#include "sink/parquet_bounds.h"
#include "sink/parquet_delta.h"
#include "sink/parquet_dict.h"
#include "sink/parquet_level.h"
#include "sink/parquet_recent.h"
#include "sink/parquet_schema.h"

/* enum Encoding of parquet.thrift. */
enum encoding {
	ENCODING_PLAIN = 0,
	ENCODING_RLE = 3,
	ENCODING_DELTA_BINARY_PACKED = 5,
	ENCODING_DELTA_LENGTH_BYTE_ARRAY = 6,
	ENCODING_RLE_DICTIONARY = 8,
	ENCODING_COUNT
};

#define COLUMN_ALIGN 64 /* a cache line */
#define BATCH_ROWS 64	/* a bit each in one word */
/* Lanes from one column to the next: an odd number of cache lines, so that a row's do not all compete for the same
 * few places of the cache. */
#define LANE_STRIDE (BATCH_ROWS + 8)
#define BATCH_BYTES (64u << 10) /* of octets */
#define BIG_BYTES                                                                                  \
	65536 /* a value that has no place in a batch, and after which the group's memory is looked at */

enum column_mode {
	COLUMN_DICT,
	COLUMN_DIRECT, /* values are encoded as they come */
	COLUMN_BOOL    /* runs of 0 and 1 */
};

struct parquet_column {
	_Alignas(COLUMN_ALIGN) int64_t last; /* of the run at hand; of a double, its bits */
	const uint8_t *last_octets;	     /* in the dictionary */
	uint64_t row;			     /* rows of the group that have their levels */
	struct parquet_body *body;	     /* NULL: nothing yet */
	uint32_t last_bytes;
	uint32_t run;	/* equal values, the last ones, that are in no run yet */
	uint16_t index; /* of the value of the run */
	uint8_t mode;
	uint8_t type;
	uint8_t max_def;
	uint8_t max_rep;
	uint8_t backoff;       /* row groups without a dictionary after it did not pay */
	uint8_t skip;	       /* of these, still to come */
	uint8_t unpacked_skip; /* chunks that are not compressed, without trying, still to come */
};

/* Octets of the batch: where they begin, and how many. */
struct parquet_text {
	uint32_t at;
	uint32_t bytes;
};

/* A value of the batch; of a double, its bits. */
union parquet_lane {
	int64_t i64;
	struct parquet_text text;
};
/* So that values of one kind, side by side, are an array of it. */
_Static_assert(sizeof(union parquet_lane) == sizeof(int64_t) &&
		       sizeof(union parquet_lane) == sizeof(struct parquet_text),
	       "lanes have no gaps");

#define LANE_BYTES (LANE_STRIDE * sizeof(union parquet_lane))

/* In the order in which values come by. */
struct parquet_body {
	/* The page at hand. */
	struct parquet_buffer runs; /* of indices, or of booleans */
	uint64_t values_count;	    /* without those of column.run */
	uint64_t spread_bytes;	    /* of these, each at its length, not as an index */
	uint64_t page_row;	    /* its first row */
	uint64_t def_row;	    /* not repeated: where `def` began, which is in no run yet */
	uint32_t dict_before;	    /* entries when the page began */
	uint16_t def;
	bool is_decided;	      /* of the chunk: the dictionary pays, for now */
	enum parquet_codec codec;     /* of the chunk, since its first page */
	struct parquet_dict dict;     /* of the chunk */
	struct parquet_buffer recent; /* texts of the page at hand */
	struct parquet_bounds bounds;
	struct parquet_buffer values; /* direct ones, but integers as differences */
	struct parquet_delta delta;
	struct parquet_buffer defs;
	struct parquet_buffer reps;
	uint64_t entries; /* repeated: levels */
	/* The chunk. */
	struct parquet_buffer pages; /* as they go into the file */
	uint32_t page_counts[ENCODING_COUNT];
	uint32_t pages_count;
	uint64_t chunk_entries;
	uint64_t chunk_values;
	uint64_t plain_bytes; /* of pages before compression, with their headers */
	struct parquet_bounds chunk_bounds;
};

struct parquet_bench {
	struct parquet_account account;
	struct parquet_buffer page;   /* plain */
	struct parquet_buffer packed; /* compressed */
	struct parquet_buffer head;
	struct parquet_buffer staged; /* on its way into the file */
	struct ZSTD_CCtx_s *zstd;
};

struct parquet {
	uint64_t row; /* of the row group */
	struct parquet_column *columns;
	uint64_t *staged;	      /* for each column, the batch's rows that have a value */
	union parquet_lane *lanes;    /* LANE_STRIDE for each column */
	unsigned batch_row;	      /* rows of the batch, the last of those */
	struct parquet_buffer octets; /* of the batch */
	unsigned waiting;	      /* records in `octets` that are no rows yet */
	struct parquet_text waits[BATCH_ROWS];
	const struct parquet_schema *schema;
	struct parquet_conf conf;
	struct parquet_account account;
	struct parquet_bench *bench;
	bool owns_bench;
	struct file_out *out;	      /* NULL: none is open */
	uint64_t position;	      /* in the file, with what is staged */
	uint64_t rows;		      /* in groups that are done */
	uint64_t until_check;	      /* rows, until the memory of the group is looked at again */
	struct parquet_buffer groups; /* the footer's row groups, as they will stand there */
	uint32_t groups_count;
};

/* parquet.c */

/* After rows were added to the batch: is it full, or the group? */
enum err batch_look(struct parquet *p);

/* parquet_put.c */

/* Levels of what is put now; false: something failed, now or before, and nothing matters any more. */
bool column_enter(struct parquet *p, unsigned leaf, unsigned rep, unsigned def);

/* parquet_batch.c */

/* Before its first value.  NULL: no memory, as the account says. */
struct parquet_body *column_body(struct parquet *p, unsigned leaf);
/* The column's values in the batch go where they belong. */
void column_drain(struct parquet *p, unsigned leaf);
/* Those of all columns; the next row begins a batch. */
void batch_drain(struct parquet *p);
void batch_forget(struct parquet *p);
/* The row at hand, and those after it, so many of them, have their values. */
void batch_add_rows(struct parquet *p, unsigned count);
/* The row at hand, and those after it, have no values. */
void batch_undo_rows(struct parquet *p);
/* A value comes for the row after c->row: nulls before it, and the end of a page that is full. */
void column_enter_row(struct parquet *p, unsigned leaf, uint64_t row);
/* The level of rows from `row` on. */
void column_set_def(struct parquet *p, struct parquet_body *b, unsigned def, uint64_t row);
/* Levels for rows that got nothing, up to the group's last. */
void column_catch_up(struct parquet *p, unsigned leaf);

/* parquet_values.c */

void column_put_i64(struct parquet *p, unsigned leaf, const int64_t *v, size_t count);
/* Returns how many were taken, one at least: after them the page has to end. */
size_t column_put_octets(struct parquet *p, unsigned leaf, const uint8_t *base,
			 const struct parquet_text *v, size_t count);

/* parquet_column.c */

void column_end_run(struct parquet *p, struct parquet_column *c);
/* Values that are held as indices are held directly from now on. */
void column_to_direct(struct parquet *p, unsigned leaf);
/* Is the dictionary worth what it takes, as far as the page at hand tells? */
void column_decide(struct parquet *p, unsigned leaf);
bool column_is_undecided(const struct parquet_column *c);
/* Values as they are written without a dictionary. */
void column_store_i64(struct parquet *p, struct parquet_column *c, const int64_t *v, size_t count);
void column_store_octets(struct parquet *p, struct parquet_column *c, const void *octets,
			 size_t bytes);
/* The next row group begins. */
void column_restart(struct parquet *p, unsigned leaf);
void column_free(struct parquet *p, unsigned leaf);
size_t column_used(const struct parquet_column *c);

/* Where the value of the row at hand goes. */
static inline union parquet_lane *batch_lane(const struct parquet *p, unsigned leaf)
{
	return p->lanes + (size_t)leaf * LANE_STRIDE + p->batch_row;
}

#define SPREAD_RATIO 16 /* what indices stand for may be larger than a page by that much */

/* Octets of the run at hand, if each of its values stood for itself. */
static inline uint64_t column_run_spread(const struct parquet_column *c)
{
	return (uint64_t)c->run * (sizeof(int64_t) + c->last_bytes);
}

/* Is it time for the page to end?  One of indices has to be small also when its dictionary is given up, and for
 * who reads it. */
static inline bool column_is_full(const struct parquet *p, const struct parquet_column *c)
{
	const struct parquet_body *b = c->body;

	size_t bytes = c->mode == COLUMN_DIRECT
			       ? b->values.bytes + delta_bytes(&b->delta)
			       : b->runs.bytes / 2 +
					 (b->spread_bytes + column_run_spread(c)) / SPREAD_RATIO;

	return bytes >= p->conf.page_bytes;
}

/* parquet_page.c */

/* What the column holds becomes a page; the next begins with the next row. */
void page_end(struct parquet *p, unsigned leaf);
/* A page of a chunk without values, to p->bench->head and ->packed. */
void page_of_nulls(struct parquet *p, unsigned leaf, uint64_t rows, size_t *plain_bytes);
/* The dictionary, likewise. */
void page_of_dict(struct parquet *p, unsigned leaf, size_t *plain_bytes);
/* A buffer that was much larger than usual is not kept. */
void buffer_restart(struct parquet_account *a, struct parquet_buffer *b);

/* parquet_chunk.c */

enum err chunk_write(struct parquet *p, unsigned leaf, struct parquet_thrift *t,
		     uint64_t *plain_bytes);
enum err footer_write(struct parquet *p, const struct parquet_meta *meta, size_t count);
enum err out_stage(struct parquet *p, const void *octets, size_t bytes);
enum err out_flush(struct parquet *p);

#endif
