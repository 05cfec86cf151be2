/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_delta.h - integers as differences: DELTA_BINARY_PACKED (parquet-format, Encodings.md, "Delta Encoding").
 *
 *	delta_add(&account, &d, v)		for each
 *	delta_finish(&account, &d, &out)	all of them, and ready for the next page
 *
 * Blocks of 128 differences in four miniblocks are packed as soon as they are full, so that a page of small
 * differences takes little memory.  Differences of INT32 wrap around at 32 bits, so that none takes more.
 *
 * The lengths of DELTA_LENGTH_BYTE_ARRAY are the same, with INT32.
 *
 * Owner: the column.
 */
#ifndef SINK_PARQUET_DELTA_H
#define SINK_PARQUET_DELTA_H

#include "sink/parquet_buffer.h"

struct parquet_delta {
	struct parquet_buffer blocks;
	struct parquet_buffer held; /* the value before, and those that are no whole block yet */
	int64_t first;
	uint64_t count;
	bool is_narrow; /* INT32 */
};

void delta_add(struct parquet_account *a, struct parquet_delta *d, int64_t v);
void delta_add_all(struct parquet_account *a, struct parquet_delta *d, const int64_t *v,
		   size_t count);
void delta_finish(struct parquet_account *a, struct parquet_delta *d, struct parquet_buffer *out);
/* Octets so far, nearly. */
static inline size_t delta_bytes(const struct parquet_delta *d)
{
	return d->blocks.bytes + d->held.bytes;
}

void delta_clear(struct parquet_delta *d);
void delta_release(struct parquet_account *a, struct parquet_delta *d);

#endif
