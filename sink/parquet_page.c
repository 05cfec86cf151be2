/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#include <snappy-c.h>
#include <zstd.h>

#include "base/must.h"
#include "sink/parquet_crc.h"

#define KEEP_BYTES (1u << 20)
#define ZSTD_PRESET 3
/* Compressing pays when it saves a sixteenth; a page that is small says nothing about the next chunks. */
#define PAYS_SHARE 16
#define DICT_SHARE 8
#define REMEMBER_BYTES 4096
#define UNPACKED_CHUNKS 8
#define LATE_VALUES 1024 /* fewer in a page say nothing about the dictionary */

enum page_type { PAGE_DATA = 0, PAGE_DICT = 2 }; /* parquet.thrift, enum PageType */

enum err parquet_bench_new(struct parquet_bench **out)
{
	struct parquet_bench *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return ERR_NOMEM;
	*out = b;
	return ERR_OK;
}

void parquet_bench_free(struct parquet_bench *b)
{
	if (b == NULL)
		return;
	free(b->page.at);
	free(b->packed.at);
	free(b->head.at);
	free(b->staged.at);
	(void)ZSTD_freeCCtx(b->zstd);
	free(b);
}

size_t parquet_bench_memory(const struct parquet_bench *b)
{
	return sizeof(*b) + b->account.bytes + (b->zstd == NULL ? 0 : ZSTD_sizeof_CCtx(b->zstd));
}

void buffer_restart(struct parquet_account *a, struct parquet_buffer *b)
{
	if (b->room > KEEP_BYTES && b->room / 4 > b->bytes)
		parquet_release(a, b);
	b->bytes = 0;
}

static bool pack_snappy(struct parquet_bench *b)
{
	size_t bytes = snappy_max_compressed_length(b->page.bytes);

	if (!parquet_reserve(&b->account, &b->packed, bytes))
		return false;
	must(snappy_compress((const char *)b->page.at, b->page.bytes, (char *)b->packed.at,
			     &bytes) == SNAPPY_OK);
	b->packed.bytes = bytes;
	return true;
}

static bool pack_zstd(struct parquet_bench *b, int level)
{
	size_t bytes;

	if (b->zstd == NULL)
		b->zstd = ZSTD_createCCtx();
	if (b->zstd == NULL) {
		parquet_fail(&b->account, ERR_NOMEM);
		return false;
	}
	if (!parquet_reserve(&b->account, &b->packed, ZSTD_compressBound(b->page.bytes)))
		return false;
	bytes = ZSTD_compressCCtx(b->zstd, b->packed.at, b->packed.room, b->page.at, b->page.bytes,
				  level == 0 ? ZSTD_PRESET : level);
	if (ZSTD_isError(bytes)) { /* with all the room it may need, it lacks memory */
		parquet_fail(&b->account, ERR_NOMEM);
		return false;
	}
	b->packed.bytes = bytes;
	return true;
}

/* From bench.page to bench.packed.  A page of a chunk with a codec is always compressed, even if it grows: the
 * codec is the chunk's (parquet.thrift, ColumnMetaData.codec), and pages of version 1 have no other word. */
static bool pack(struct parquet *p, enum parquet_codec codec)
{
	struct parquet_bench *b = p->bench;
	struct parquet_buffer page = b->page;

	b->packed.bytes = 0;
	switch (codec) {
	case PARQUET_SNAPPY:
		return pack_snappy(b);
	case PARQUET_ZSTD:
		return pack_zstd(b, p->conf.level);
	case PARQUET_UNCOMPRESSED:
	default:
		b->page = b->packed;
		b->packed = page;
		return true;
	}
}

/* The dictionary, which has the chunk's codec too, is worth compressing in any case. */
static bool has_large_dict(const struct parquet *p, const struct parquet_column *c)
{
	return c->mode == COLUMN_DICT &&
	       c->body->dict.values.bytes > p->bench->page.bytes / DICT_SHARE;
}

/* The chunk's first page says whether compressing pays: most pages are packed bits, which nothing makes smaller. */
static bool pack_first(struct parquet *p, struct parquet_column *c)
{
	struct parquet_bench *b = p->bench;

	c->body->codec = c->unpacked_skip > 0 && !has_large_dict(p, c) ? PARQUET_UNCOMPRESSED
								       : p->conf.codec;
	if (!pack(p, c->body->codec))
		return false;
	if (c->body->codec == PARQUET_UNCOMPRESSED ||
	    b->packed.bytes + b->page.bytes / PAYS_SHARE <= b->page.bytes || has_large_dict(p, c))
		return true;
	if (b->page.bytes >= REMEMBER_BYTES)
		c->unpacked_skip = UNPACKED_CHUNKS;
	c->body->codec = PARQUET_UNCOMPRESSED;
	return pack(p, PARQUET_UNCOMPRESSED);
}

struct page {
	enum page_type type;
	enum encoding encoding;
	uint64_t values; /* levels, in fact; of a dictionary, its entries */
	uint64_t nulls;
	enum parquet_type column;
	const struct parquet_bounds *bounds;
	enum parquet_codec codec;
	struct parquet_column *first; /* of the chunk of this column, or NULL: the codec is open */
};

/* bench.page becomes bench.packed and bench.head; returns what both are without compression. */
static size_t seal(struct parquet *p, const struct page *page)
{
	struct parquet_bench *b = p->bench;
	struct parquet_thrift t = parquet_thrift_of(&b->account, &b->head);
	size_t plain_bytes = b->page.bytes;

	b->head.bytes = 0;
	if (plain_bytes > INT32_MAX / 2)
		parquet_fail(&b->account, ERR_LIMIT);
	if (b->account.error != ERR_OK ||
	    !(page->first == NULL ? pack(p, page->codec) : pack_first(p, page->first)))
		return 0;
	thrift_i32(&t, 1, (int32_t)page->type);
	thrift_i32(&t, 2, (int32_t)plain_bytes);
	thrift_i32(&t, 3, (int32_t)b->packed.bytes);
	thrift_i32(&t, 4, (int32_t)parquet_crc(b->packed.at, b->packed.bytes));
	thrift_struct(&t, page->type == PAGE_DICT ? 7 : 5);
	thrift_i32(&t, 1, (int32_t)page->values);
	thrift_i32(&t, 2, (int32_t)page->encoding);
	if (page->type == PAGE_DATA) {
		thrift_i32(&t, 3, ENCODING_RLE);
		thrift_i32(&t, 4, ENCODING_RLE);
		bounds_write(&t, 5, page->bounds, page->column, page->nulls, 0);
	}
	thrift_end(&t);
	thrift_end(&t);
	return plain_bytes + b->head.bytes;
}

/* The bench may be shared: an error is this file's. */
static void settle(struct parquet *p)
{
	if (p->bench->account.error != ERR_OK)
		parquet_fail(&p->account, p->bench->account.error);
	p->bench->account.error = ERR_OK;
}

/* Levels of a page of version 1 have their length before them (Encodings.md, "RLE / Bit-Packing Hybrid"). */
static size_t begin_levels(struct parquet_bench *b)
{
	parquet_append_u32(&b->account, &b->page, 0);
	return b->page.bytes;
}

static void end_levels(struct parquet_bench *b, size_t from)
{
	uint32_t bytes = (uint32_t)(b->page.bytes - from);

	if (b->account.error == ERR_OK)
		memcpy(b->page.at + from - sizeof(bytes), &bytes, sizeof(bytes));
}

static void write_levels(struct parquet_bench *b, const struct parquet_buffer *runs, unsigned max)
{
	size_t from;

	if (max == 0)
		return;
	from = begin_levels(b);
	hybrid_encode(&b->account, &b->page, runs, hybrid_width(max));
	end_levels(b, from);
}

static enum encoding write_direct(struct parquet *p, struct parquet_body *c, enum parquet_type type)
{
	struct parquet_bench *b = p->bench;
	bool is_delta = p->conf.fallback == PARQUET_DELTA && type != PARQUET_DOUBLE;

	if (is_delta)
		delta_finish(&b->account, &c->delta, &b->page);
	parquet_append(&b->account, &b->page, c->values.at, c->values.bytes);
	buffer_restart(&p->account, &c->values);
	if (!is_delta)
		return ENCODING_PLAIN;
	return type == PARQUET_BYTES ? ENCODING_DELTA_LENGTH_BYTE_ARRAY
				     : ENCODING_DELTA_BINARY_PACKED;
}

/* The width of indices goes before them; 0 would do for a single value, but not for all readers. */
static enum encoding write_indices(struct parquet_bench *b, const struct parquet_body *c)
{
	unsigned width = c->dict.count < 2 ? 1 : hybrid_width(c->dict.count - 1);

	parquet_append_u8(&b->account, &b->page, (uint8_t)width);
	hybrid_encode(&b->account, &b->page, &c->runs, width);
	return ENCODING_RLE_DICTIONARY;
}

static enum encoding write_values(struct parquet *p, unsigned leaf)
{
	struct parquet_body *c = p->columns[leaf].body;

	if (c->values_count == 0)
		return ENCODING_PLAIN;
	switch (p->columns[leaf].mode) {
	case COLUMN_BOOL:
		runs_bits(&p->bench->account, &p->bench->page, &c->runs);
		return ENCODING_PLAIN;
	case COLUMN_DICT:
		return write_indices(p->bench, c);
	default:
		return write_direct(p, c, p->schema->leaves[leaf].type);
	}
}

static void next_page(struct parquet *p, struct parquet_column *column)
{
	struct parquet_body *c = column->body;

	/* Indices of values that hardly ever come again: what is done stays so, the rest goes without. */
	if (column->mode == COLUMN_DICT && c->values_count >= LATE_VALUES &&
	    c->dict.count - c->dict_before > c->values_count / 2)
		column->mode = COLUMN_DIRECT;
	c->dict_before = c->dict.count;
	buffer_restart(&p->account, &c->runs);
	buffer_restart(&p->account, &c->reps);
	buffer_restart(&p->account, &c->defs);
	recent_clear(&c->recent);
	bounds_clear(&c->bounds);
	c->page_row = column->row;
	c->def_row = column->row;
	c->entries = 0;
	c->values_count = 0;
	c->spread_bytes = 0;
}

void page_end(struct parquet *p, unsigned leaf)
{
	struct parquet_column *column = &p->columns[leaf];
	const struct parquet_leaf *l = &p->schema->leaves[leaf];
	struct parquet_body *c = column->body;
	struct parquet_bench *b = p->bench;
	struct page page = { .type = PAGE_DATA,
			     .column = l->type,
			     .bounds = &c->bounds,
			     .codec = c->codec,
			     .first = c->pages_count == 0 ? column : NULL };

	column_end_run(p, column);
	if (l->max_rep == 0 && l->max_def > 0)
		runs_add(&p->account, &c->defs, c->def, column->row - c->def_row);
	if (column->mode == COLUMN_DICT && !c->is_decided && c->values_count > 0)
		column_decide(p, leaf);
	page.values = l->max_rep == 0 ? column->row - c->page_row : c->entries;
	page.nulls = page.values - c->values_count;
	b->page.bytes = 0;
	write_levels(b, &c->reps, l->max_rep);
	write_levels(b, &c->defs, l->max_def);
	page.encoding = write_values(p, leaf);
	c->plain_bytes += seal(p, &page);
	parquet_append(&p->account, &c->pages, b->head.at, b->head.bytes);
	parquet_append(&p->account, &c->pages, b->packed.at, b->packed.bytes);
	settle(p);
	c->pages_count++;
	c->page_counts[page.encoding]++;
	c->chunk_entries += page.values;
	c->chunk_values += c->values_count;
	bounds_join(&c->chunk_bounds, l->type, &c->bounds);
	next_page(p, column);
	buffer_restart(&b->account, &b->packed);
	buffer_restart(&b->account, &b->page);
}

void page_of_nulls(struct parquet *p, unsigned leaf, uint64_t rows, size_t *plain_bytes)
{
	static const struct parquet_bounds none = { 0 };
	const struct parquet_leaf *l = &p->schema->leaves[leaf];
	struct parquet_bench *b = p->bench;
	struct page page = { .type = PAGE_DATA,
			     .values = rows,
			     .nulls = rows,
			     .column = l->type,
			     .bounds = &none,
			     .codec = p->conf.codec };

	must(l->max_def > 0); /* a required column got nothing */
	b->page.bytes = 0;
	for (unsigned i = 0; i < 2; i++) {
		unsigned max = i == 0 ? l->max_rep : l->max_def;

		if (max > 0) {
			size_t from = begin_levels(b);

			hybrid_run(&b->account, &b->page, 0, rows, hybrid_width(max));
			end_levels(b, from);
		}
	}
	*plain_bytes = seal(p, &page);
	settle(p);
}

void page_of_dict(struct parquet *p, unsigned leaf, size_t *plain_bytes)
{
	const struct parquet_dict *d = &p->columns[leaf].body->dict;
	struct parquet_bench *b = p->bench;
	struct page page = { .type = PAGE_DICT,
			     .encoding = ENCODING_PLAIN,
			     .values = d->count,
			     .codec = p->columns[leaf].body->codec };

	b->page.bytes = 0;
	if (p->schema->leaves[leaf].type == PARQUET_INT32) {
		for (uint32_t i = 0; i < d->count; i++)
			parquet_append_u32(&b->account, &b->page, (uint32_t)dict_value(d, i));
	} else {
		parquet_append(&b->account, &b->page, d->values.at, d->values.bytes);
	}
	*plain_bytes = seal(p, &page);
	settle(p);
}
