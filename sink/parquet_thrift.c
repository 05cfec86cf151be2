/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_thrift.h"

#include "base/must.h"

#define DELTA_MAX 15   /* a field header of one octet: the id's distance in its upper half */
#define COUNT_SHORT 15 /* a list of fewer has its length in the upper half of the header */

struct parquet_thrift parquet_thrift_of(struct parquet_account *a, struct parquet_buffer *out)
{
	struct parquet_thrift t = { .account = a, .out = out };

	return t;
}

static void put_u8(struct parquet_thrift *t, unsigned v)
{
	parquet_append_u8(t->account, t->out, (uint8_t)v);
}

static void put_varint(struct parquet_thrift *t, uint64_t v)
{
	parquet_append_varint(t->account, t->out, v);
}

static void put_field(struct parquet_thrift *t, int id, enum thrift_type type)
{
	int delta = id - t->last[t->depth];

	must(delta > 0);
	t->last[t->depth] = id;
	if (delta <= DELTA_MAX) {
		put_u8(t, (unsigned)delta << 4 | (unsigned)type);
	} else {
		put_u8(t, type);
		put_varint(t, parquet_zigzag(id));
	}
}

void thrift_i16(struct parquet_thrift *t, int id, int16_t v)
{
	put_field(t, id, THRIFT_I16);
	put_varint(t, parquet_zigzag(v));
}

void thrift_i32(struct parquet_thrift *t, int id, int32_t v)
{
	put_field(t, id, THRIFT_I32);
	put_varint(t, parquet_zigzag(v));
}

void thrift_i64(struct parquet_thrift *t, int id, int64_t v)
{
	put_field(t, id, THRIFT_I64);
	put_varint(t, parquet_zigzag(v));
}

void thrift_bool(struct parquet_thrift *t, int id, bool v)
{
	put_field(t, id, v ? THRIFT_TRUE : THRIFT_FALSE);
}

void thrift_octets(struct parquet_thrift *t, int id, const void *octets, size_t bytes)
{
	put_field(t, id, THRIFT_BINARY);
	thrift_item_octets(t, octets, bytes);
}

void thrift_text(struct parquet_thrift *t, int id, const char *text)
{
	thrift_octets(t, id, text, strlen(text));
}

void thrift_struct(struct parquet_thrift *t, int id)
{
	put_field(t, id, THRIFT_STRUCT);
	thrift_begin(t);
}

void thrift_list(struct parquet_thrift *t, int id, enum thrift_type type, size_t count)
{
	put_field(t, id, THRIFT_LIST);
	if (count < COUNT_SHORT) {
		put_u8(t, (unsigned)count << 4 | (unsigned)type);
	} else {
		put_u8(t, COUNT_SHORT << 4 | (unsigned)type);
		put_varint(t, count);
	}
}

void thrift_begin(struct parquet_thrift *t)
{
	must(t->depth + 1 < THRIFT_DEPTH);
	t->last[++t->depth] = 0;
}

void thrift_item_i32(struct parquet_thrift *t, int32_t v)
{
	put_varint(t, parquet_zigzag(v));
}

void thrift_item_octets(struct parquet_thrift *t, const void *octets, size_t bytes)
{
	put_varint(t, bytes);
	parquet_append(t->account, t->out, octets, bytes);
}

void thrift_end(struct parquet_thrift *t)
{
	put_u8(t, 0);
	if (t->depth > 0)
		t->depth--;
}

void thrift_empty(struct parquet_thrift *t, int id)
{
	thrift_struct(t, id);
	thrift_end(t);
}
