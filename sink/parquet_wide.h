/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_wide.h - what is done to many integers at once, four of them by an instruction where the processor can.
 *
 *	wide_is_all(v, count, x)			is each of them x?
 *	wide_bounds(v, count, &least, &most)		`count` is not 0
 *	wide_differences(v, is_narrow, out, &least)	WIDE_BLOCK differences of as many values and the one before them,
 *							v[0]; each less the least of them
 */
#ifndef SINK_PARQUET_WIDE_H
#define SINK_PARQUET_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIDE_BLOCK 128

bool wide_is_all(const int64_t *v, size_t count, int64_t x);
void wide_bounds(const int64_t *v, size_t count, int64_t *least, int64_t *most);
/* Narrow: of INT32, which wrap around at 32 bits. */
void wide_differences(const int64_t v[WIDE_BLOCK + 1], bool is_narrow, uint64_t out[WIDE_BLOCK],
		      int64_t *least);

#endif
