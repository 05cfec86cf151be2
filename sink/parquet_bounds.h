/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_bounds.h - the least and the greatest value of a page or a chunk, as Statistics want them.
 *
 * Integers compare signed, octets bytewise and unsigned (TYPE_ORDER, parquet.thrift, union ColumnOrder).  There
 * are none over octets longer than PARQUET_BOUND_BYTES, nor where a NaN was seen: whether one is above all
 * numbers, readers do not agree on.
 *
 * Owner: the column.
 */
#ifndef SINK_PARQUET_BOUNDS_H
#define SINK_PARQUET_BOUNDS_H

#include "sink/parquet.h"
#include "sink/parquet_thrift.h"

enum { BOUND_MIN, BOUND_MAX };

/* What most values are compared with comes first. */
struct parquet_bounds {
	bool is_set;
	bool is_lost; /* none are to be given */
	uint8_t bytes[2];
	union {
		int64_t i64[2];
		double f64[2];
		uint64_t head
			[2]; /* the first eight octets as a number: most comparisons end there */
	};
	uint8_t octets[2][PARQUET_BOUND_BYTES];
};

static inline void bounds_i64(struct parquet_bounds *b, int64_t v)
{
	if (!b->is_set) {
		b->is_set = true;
		b->i64[BOUND_MIN] = v;
		b->i64[BOUND_MAX] = v;
		return;
	}
	if (v < b->i64[BOUND_MIN])
		b->i64[BOUND_MIN] = v;
	if (v > b->i64[BOUND_MAX])
		b->i64[BOUND_MAX] = v;
}

/* Are octets between the least and the greatest?  False: one has to look closer. */
static inline bool bounds_are_around(const struct parquet_bounds *b, const uint8_t *octets,
				     size_t bytes)
{
	uint64_t head;

	if (bytes < sizeof(head) || bytes > PARQUET_BOUND_BYTES || !b->is_set)
		return false;
	memcpy(&head, octets, sizeof(head));
	head = __builtin_bswap64(head);
	return head > b->head[BOUND_MIN] && head < b->head[BOUND_MAX];
}

void bounds_f64(struct parquet_bounds *b, double v);
/* `count` is not 0. */
void bounds_i64_all(struct parquet_bounds *b, const int64_t *v, size_t count);
void bounds_octets(struct parquet_bounds *b, const void *octets, size_t bytes);
void bounds_join(struct parquet_bounds *b, enum parquet_type type,
		 const struct parquet_bounds *other);
void bounds_clear(struct parquet_bounds *b);

/* A field that is Statistics; `distinct` 0: not known. */
void bounds_write(struct parquet_thrift *t, int id, const struct parquet_bounds *b,
		  enum parquet_type type, uint64_t nulls, uint64_t distinct);

#endif
