/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_level.h - small numbers as runs, and the RLE/bit-packed hybrid that they become.
 *
 *	runs_add(&account, &runs, value, count)		as often as needed; equal neighbours become one
 *	hybrid_encode(&account, &out, &runs, width)	parquet-format, Encodings.md, "RLE / Bit-Packing Hybrid"
 *
 * Levels, indices of a dictionary and booleans are kept so until their page ends.  A run of eight and more is
 * written as one, what is shorter in groups of eight values at `width` bits.
 *
 * Owner: the column.
 */
#ifndef SINK_PARQUET_LEVEL_H
#define SINK_PARQUET_LEVEL_H

#include "sink/parquet_buffer.h"

#define RUN_COUNT_MAX 0xffffu

struct parquet_run {
	uint16_t value;
	uint16_t count;
};

static inline size_t runs_count(const struct parquet_buffer *runs)
{
	return runs->bytes / sizeof(struct parquet_run);
}

static inline const struct parquet_run *runs_at(const struct parquet_buffer *runs)
{
	return (const struct parquet_run *)(const void *)runs->at;
}

void runs_add(struct parquet_account *a, struct parquet_buffer *runs, uint16_t value,
	      uint64_t count);

/* Bits for values of 0 to `max`. */
unsigned hybrid_width(unsigned max);
void hybrid_encode(struct parquet_account *a, struct parquet_buffer *out,
		   const struct parquet_buffer *runs, unsigned width);
/* One run alone. */
void hybrid_run(struct parquet_account *a, struct parquet_buffer *out, unsigned value,
		uint64_t count, unsigned width);
/* Runs of 0 and 1 as PLAIN booleans: one bit each, the first in the lowest. */
void runs_bits(struct parquet_account *a, struct parquet_buffer *out,
	       const struct parquet_buffer *runs);

#endif
