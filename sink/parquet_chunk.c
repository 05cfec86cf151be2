/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#define STAGE_BYTES 65536
#define FORMAT_VERSION 2

enum {
	CODEC_UNCOMPRESSED = 0,
	CODEC_SNAPPY = 1,
	CODEC_ZSTD = 6
}; /* parquet.thrift, enum CompressionCodec */

static const int32_t codecs[] = { [PARQUET_UNCOMPRESSED] = CODEC_UNCOMPRESSED,
				  [PARQUET_SNAPPY] = CODEC_SNAPPY,
				  [PARQUET_ZSTD] = CODEC_ZSTD };
static const int32_t types[] = { [PARQUET_BOOLEAN] = 0,
				 [PARQUET_INT32] = 1,
				 [PARQUET_INT64] = 2,
				 [PARQUET_DOUBLE] = 5,
				 [PARQUET_BYTES] = 6 };

enum err out_flush(struct parquet *p)
{
	struct parquet_buffer *s = &p->bench->staged;
	size_t bytes = s->bytes;

	s->bytes = 0;
	return bytes == 0 ? ERR_OK : file_out_write(p->out, s->at, bytes);
}

/* Many chunks are tiny: they go into the file together. */
enum err out_stage(struct parquet *p, const void *octets, size_t bytes)
{
	struct parquet_bench *b = p->bench;

	if (b->staged.room < STAGE_BYTES &&
	    !parquet_reserve(&b->account, &b->staged, STAGE_BYTES)) {
		b->account.error = ERR_OK;
		parquet_fail(&p->account, ERR_NOMEM);
		return ERR_NOMEM;
	}
	p->position += bytes;
	if (bytes > STAGE_BYTES - b->staged.bytes)
		TRY(out_flush(p));
	if (bytes > STAGE_BYTES)
		return file_out_write(p->out, octets, bytes);
	parquet_append(&b->account, &b->staged, octets, bytes);
	return ERR_OK;
}

/* What ColumnMetaData says beyond the schema. */
struct chunk {
	uint64_t dict_at; /* 0: none */
	uint64_t data_at;
	uint64_t packed_bytes;
	uint64_t plain_bytes;
	uint64_t values;
	uint64_t nulls;
	uint64_t distinct;
	uint32_t page_counts[ENCODING_COUNT];
	enum parquet_codec codec;
	const struct parquet_bounds *bounds;
};

static enum err stage_page(struct parquet *p, struct chunk *c, size_t plain_bytes)
{
	struct parquet_bench *b = p->bench;

	if (p->account.error != ERR_OK)
		return p->account.error;
	c->plain_bytes += plain_bytes;
	c->packed_bytes += b->head.bytes + b->packed.bytes;
	TRY(out_stage(p, b->head.at, b->head.bytes));
	return out_stage(p, b->packed.at, b->packed.bytes);
}

static enum err write_nulls(struct parquet *p, unsigned leaf, struct chunk *c)
{
	static const struct parquet_bounds none = { 0 };
	size_t plain_bytes;

	c->data_at = p->position;
	c->values = p->row;
	c->nulls = p->row;
	c->bounds = &none;
	c->codec = p->conf.codec;
	c->page_counts[ENCODING_PLAIN] = 1;
	page_of_nulls(p, leaf, p->row, &plain_bytes);
	return stage_page(p, c, plain_bytes);
}

static enum err write_pages(struct parquet *p, unsigned leaf, struct chunk *c)
{
	struct parquet_body *b = p->columns[leaf].body;
	enum parquet_type type = p->schema->leaves[leaf].type;
	size_t plain_bytes;

	column_catch_up(p, leaf);
	page_end(p, leaf);
	if (b->page_counts[ENCODING_RLE_DICTIONARY] > 0) {
		c->dict_at = p->position;
		page_of_dict(p, leaf, &plain_bytes);
		TRY(stage_page(p, c, plain_bytes));
		/* -0 and +0 are two entries, and so are NaNs. */
		if (b->page_counts[ENCODING_DELTA_BINARY_PACKED] +
				    b->page_counts[ENCODING_DELTA_LENGTH_BYTE_ARRAY] +
				    b->page_counts[ENCODING_PLAIN] ==
			    0 &&
		    type != PARQUET_DOUBLE)
			c->distinct = b->dict.count;
	}
	if (p->account.error != ERR_OK)
		return p->account.error;
	c->data_at = p->position;
	c->packed_bytes += b->pages.bytes;
	c->plain_bytes += b->plain_bytes;
	c->values = b->chunk_entries;
	c->nulls = b->chunk_entries - b->chunk_values;
	c->bounds = &b->chunk_bounds;
	c->codec = b->codec;
	memcpy(c->page_counts, b->page_counts, sizeof(c->page_counts));
	return out_stage(p, b->pages.at, b->pages.bytes);
}

static void write_encodings(struct parquet_thrift *t, const struct chunk *c)
{
	size_t count = 1 + (c->dict_at > 0 && c->page_counts[ENCODING_PLAIN] == 0);

	for (unsigned i = 0; i < ENCODING_COUNT; i++)
		count += c->page_counts[i] > 0;
	thrift_list(t, 2, THRIFT_I32, count);
	for (unsigned i = 0; i < ENCODING_COUNT; i++) {
		if (c->page_counts[i] > 0 || i == ENCODING_RLE ||
		    (i == ENCODING_PLAIN && c->dict_at > 0))
			thrift_item_i32(t, (int32_t)i);
	}
}

static void write_page_encoding(struct parquet_thrift *t, int32_t page_type, unsigned encoding,
				uint32_t count)
{
	thrift_begin(t);
	thrift_i32(t, 1, page_type);
	thrift_i32(t, 2, (int32_t)encoding);
	thrift_i32(t, 3, (int32_t)count);
	thrift_end(t);
}

static void write_encoding_stats(struct parquet_thrift *t, const struct chunk *c)
{
	size_t count = c->dict_at > 0;

	for (unsigned i = 0; i < ENCODING_COUNT; i++)
		count += c->page_counts[i] > 0;
	thrift_list(t, 13, THRIFT_STRUCT, count);
	if (c->dict_at > 0)
		write_page_encoding(t, 2, ENCODING_PLAIN, 1);
	for (unsigned i = 0; i < ENCODING_COUNT; i++) {
		if (c->page_counts[i] > 0)
			write_page_encoding(t, 0, i, c->page_counts[i]);
	}
}

static void write_metadata(struct parquet *p, unsigned leaf, struct parquet_thrift *t,
			   const struct chunk *c)
{
	const struct parquet_leaf *l = &p->schema->leaves[leaf];

	thrift_begin(t);
	thrift_i64(t, 2, 0); /* file_offset: of metadata that stands elsewhere, too */
	thrift_struct(t, 3);
	thrift_i32(t, 1, types[l->type]);
	write_encodings(t, c);
	thrift_list(t, 3, THRIFT_BINARY, l->depth);
	for (unsigned d = 0; d < l->depth; d++)
		thrift_item_octets(t, l->names[d], strlen(l->names[d]));
	thrift_i32(t, 4, codecs[c->codec]);
	thrift_i64(t, 5, (int64_t)c->values);
	thrift_i64(t, 6, (int64_t)c->plain_bytes);
	thrift_i64(t, 7, (int64_t)c->packed_bytes);
	thrift_i64(t, 9, (int64_t)c->data_at);
	if (c->dict_at > 0)
		thrift_i64(t, 11, (int64_t)c->dict_at);
	bounds_write(t, 12, c->bounds, l->type, c->nulls, c->distinct);
	write_encoding_stats(t, c);
	thrift_end(t);
	thrift_end(t);
}

enum err chunk_write(struct parquet *p, unsigned leaf, struct parquet_thrift *t,
		     uint64_t *plain_bytes)
{
	struct parquet_column *column = &p->columns[leaf];
	bool has_levels = column->row > 0;
	struct chunk c = { 0 };

	if (has_levels)
		TRY(write_pages(p, leaf, &c));
	else
		TRY(write_nulls(p, leaf, &c));
	write_metadata(p, leaf, t, &c);
	*plain_bytes += c.plain_bytes;
	if (has_levels && column->unpacked_skip > 0)
		column->unpacked_skip--;
	if (has_levels && column->skip > 0)
		column->skip--;
	else if (has_levels && c.dict_at > 0)
		column->backoff = 0;
	return p->account.error;
}

static void write_meta(struct parquet_thrift *t, const struct parquet_meta *meta, size_t count)
{
	if (count == 0)
		return;
	thrift_list(t, 5, THRIFT_STRUCT, count);
	for (size_t i = 0; i < count; i++) {
		thrift_begin(t);
		thrift_text(t, 1, meta[i].key);
		thrift_text(t, 2, meta[i].value);
		thrift_end(t);
	}
}

/* FileMetaData; its row groups were written as they ended. */
static enum err write_footer(struct parquet *p, struct parquet_buffer *out,
			     const struct parquet_meta *meta, size_t count)
{
	struct parquet_account *a = &p->account;
	struct parquet_thrift t = parquet_thrift_of(a, out);
	size_t from = out->bytes;

	thrift_i32(&t, 1, FORMAT_VERSION);
	parquet_schema_write(&t, 2, p->schema);
	thrift_i64(&t, 3, (int64_t)p->rows);
	thrift_list(&t, 4, THRIFT_STRUCT, p->groups_count);
	parquet_append(a, out, p->groups.at, p->groups.bytes);
	write_meta(&t, meta, count);
	thrift_text(&t, 6, "sluice version " SLUICE_VERSION);
	thrift_list(&t, 7, THRIFT_STRUCT, p->schema->leaf_count);
	for (size_t i = 0; i < p->schema->leaf_count; i++) {
		thrift_begin(&t);
		thrift_empty(&t, 1); /* TYPE_ORDER */
		thrift_end(&t);
	}
	thrift_end(&t);
	parquet_append_u32(a, out, (uint32_t)(out->bytes - from));
	parquet_append(a, out, "PAR1", 4);
	if (a->error == ERR_OK && out->bytes - from > INT32_MAX)
		parquet_fail(a, ERR_LIMIT); /* readers take its length for signed */
	TRY(a->error);
	TRY(out_stage(p, out->at + from, out->bytes - from));
	return out_flush(p);
}

enum err footer_write(struct parquet *p, const struct parquet_meta *meta, size_t count)
{
	struct parquet_buffer out = { 0 };
	enum err e = write_footer(p, &out, meta, count);

	parquet_release(&p->account, &out);
	return e;
}
