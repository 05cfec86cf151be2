/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_delta.h"

#define BLOCK 128
#define MINIBLOCKS 4
#define MINIBLOCK (BLOCK / MINIBLOCKS)
#define MINIBLOCK_OCTETS_MAX (MINIBLOCK * sizeof(uint64_t))

/* 32 values of `width` bits, the first in the lowest: width * 4 octets, in stores of eight. */
static uint8_t *pack(uint8_t *at, const uint64_t *values, unsigned width)
{
	uint64_t bits = 0;
	unsigned fill = 0;

	for (unsigned i = 0; i < MINIBLOCK; i++) {
		uint64_t v = values[i];

		bits |= v << fill;
		if (fill + width < 64) {
			fill += width;
			continue;
		}
		memcpy(at, &bits, sizeof(bits));
		at += sizeof(bits);
		bits = fill == 0 ? 0 : v >> (64 - fill);
		fill = fill + width - 64;
	}
	memcpy(at, &bits, sizeof(uint32_t)); /* 0 or 32 bits are left */
	return at + fill / 8;
}

/* The rest of a block that is not full is zeros here, which is what padding is to be; miniblocks without any
 * difference have width 0. */
static void write_block(struct parquet_account *a, struct parquet_delta *d)
{
	size_t count = d->held.bytes / sizeof(int64_t);
	const int64_t *deltas = (const int64_t *)(const void *)d->held.at;
	uint64_t values[BLOCK] = { 0 };
	uint64_t mask = d->is_narrow ? UINT32_MAX : UINT64_MAX;
	int64_t least = deltas[0];
	uint8_t *widths;
	uint8_t *at;

	for (size_t i = 1; i < count; i++)
		least = deltas[i] < least ? deltas[i] : least;
	for (size_t i = 0; i < count; i++)
		values[i] = ((uint64_t)deltas[i] - (uint64_t)least) & mask;
	parquet_append_varint(a, &d->blocks, parquet_zigzag(least));
	d->held.bytes = 0;
	if (!parquet_reserve(a, &d->blocks,
			     MINIBLOCKS + MINIBLOCKS * MINIBLOCK_OCTETS_MAX + sizeof(uint32_t)))
		return;
	widths = parquet_end(&d->blocks);
	at = widths + MINIBLOCKS;
	for (unsigned m = 0; m < MINIBLOCKS; m++) {
		uint64_t all = 0;

		for (unsigned i = 0; i < MINIBLOCK; i++)
			all |= values[m * MINIBLOCK + i];
		widths[m] = (uint8_t)(all == 0 ? 0 : 64 - __builtin_clzll(all));
		if (widths[m] > 0)
			at = pack(at, values + (size_t)m * MINIBLOCK, widths[m]);
	}
	d->blocks.bytes = (size_t)(at - d->blocks.at);
}

/* Differences of so many values, for which there is room. */
static void hold(struct parquet_delta *d, const int64_t *restrict v, size_t count)
{
	int64_t *restrict at = (int64_t *)(void *)parquet_end(&d->held);
	uint64_t last = (uint64_t)d->last;

	if (d->is_narrow) {
		for (size_t k = 0; k < count; k++) {
			at[k] = (int32_t)((uint32_t)v[k] - (uint32_t)last);
			last = (uint64_t)v[k];
		}
	} else {
		for (size_t k = 0; k < count; k++) {
			at[k] = (int64_t)((uint64_t)v[k] - last);
			last = (uint64_t)v[k];
		}
	}
	d->last = (int64_t)last;
	d->held.bytes += count * sizeof(*at);
}

void delta_add(struct parquet_account *a, struct parquet_delta *d, int64_t v)
{
	delta_add_all(a, d, &v, 1);
}

void delta_add_all(struct parquet_account *a, struct parquet_delta *d, const int64_t *v,
		   size_t count)
{
	size_t i = 0;

	if (d->count == 0 && count > 0) {
		d->first = v[0];
		d->last = v[0];
		i = 1;
	}
	d->count += count;
	if (d->held.room < BLOCK * sizeof(int64_t) &&
	    !parquet_reserve(a, &d->held, BLOCK * sizeof(int64_t) - d->held.bytes))
		return;
	while (i < count) {
		size_t room = BLOCK - d->held.bytes / sizeof(int64_t);
		size_t some = count - i < room ? count - i : room;

		hold(d, v + i, some);
		i += some;
		if (some == room)
			write_block(a, d);
	}
}

void delta_clear(struct parquet_delta *d)
{
	d->blocks.bytes = 0;
	d->held.bytes = 0;
	d->count = 0;
	d->first = 0;
	d->last = 0;
}

void delta_finish(struct parquet_account *a, struct parquet_delta *d, struct parquet_buffer *out)
{
	if (d->held.bytes > 0)
		write_block(a, d);
	parquet_append_varint(a, out, BLOCK);
	parquet_append_varint(a, out, MINIBLOCKS);
	parquet_append_varint(a, out, d->count);
	parquet_append_varint(a, out, parquet_zigzag(d->first));
	parquet_append(a, out, d->blocks.at, d->blocks.bytes);
	delta_clear(d);
}

void delta_release(struct parquet_account *a, struct parquet_delta *d)
{
	delta_clear(d);
	parquet_release(a, &d->blocks);
	parquet_release(a, &d->held);
}
