/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_thrift.h - structures in Thrift's compact protocol (thrift-compact-protocol.md).
 *
 *	struct parquet_thrift t = parquet_thrift_of(&account, &out);
 *
 *	thrift_i32(&t, 1, v)		field 1
 *	thrift_struct(&t, 5)		field 5 is a structure; its fields; thrift_end(&t)
 *	thrift_list(&t, 6, THRIFT_STRUCT, count)	then thrift_begin(&t) ... thrift_end(&t) for each
 *	thrift_end(&t)			the structure that all of it is
 *
 * Fields come in rising order of their ids.  No memory: what is there is incomplete, and the account says so.
 *
 * Owner: the caller's stack; it borrows the buffer.
 */
#ifndef SINK_PARQUET_THRIFT_H
#define SINK_PARQUET_THRIFT_H

#include "sink/parquet_buffer.h"

#define THRIFT_DEPTH 8

/* Types as they stand in field and list headers. */
enum thrift_type {
	THRIFT_TRUE = 1,
	THRIFT_FALSE = 2,
	THRIFT_I16 = 4,
	THRIFT_I32 = 5,
	THRIFT_I64 = 6,
	THRIFT_BINARY = 8,
	THRIFT_LIST = 9,
	THRIFT_STRUCT = 12
};

struct parquet_thrift {
	struct parquet_account *account;
	struct parquet_buffer *out;
	unsigned depth;
	int last[THRIFT_DEPTH]; /* the last field's id of each open structure */
};

struct parquet_thrift parquet_thrift_of(struct parquet_account *a, struct parquet_buffer *out);
void thrift_i16(struct parquet_thrift *t, int id, int16_t v);
void thrift_i32(struct parquet_thrift *t, int id, int32_t v);
void thrift_i64(struct parquet_thrift *t, int id, int64_t v);
void thrift_bool(struct parquet_thrift *t, int id, bool v);
void thrift_octets(struct parquet_thrift *t, int id, const void *octets, size_t bytes);
void thrift_text(struct parquet_thrift *t, int id, const char *text);
void thrift_struct(struct parquet_thrift *t, int id);
void thrift_list(struct parquet_thrift *t, int id, enum thrift_type type, size_t count);
/* An element of a list. */
void thrift_begin(struct parquet_thrift *t);
void thrift_item_i32(struct parquet_thrift *t, int32_t v);
void thrift_item_octets(struct parquet_thrift *t, const void *octets, size_t bytes);
/* Of the innermost structure. */
void thrift_end(struct parquet_thrift *t);
/* A field that is a structure without fields: the choice of a union. */
void thrift_empty(struct parquet_thrift *t, int id);

#endif
