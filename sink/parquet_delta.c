/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_delta.h"

#include "sink/parquet_wide.h"

#define BLOCK WIDE_BLOCK
#define HELD_BYTES ((BLOCK + 1) * sizeof(int64_t))
#define MINIBLOCKS 4
#define MINIBLOCK (BLOCK / MINIBLOCKS)
#define MINIBLOCK_OCTETS_MAX (MINIBLOCK * sizeof(uint64_t))

/* 32 values of `width` bits, the first in the lowest: width * 4 octets, in stores of eight.  Neighbours are put
 * together first, as long as there is room in 64 bits. */
static uint8_t *pack(uint8_t *at, uint64_t *values, unsigned width)
{
	unsigned count = MINIBLOCK;
	uint64_t bits = 0;
	unsigned fill = 0;

	for (; width <= 32 && count > 4; width *= 2) {
		count /= 2;
		for (unsigned i = 0; i < count; i++)
			values[i] = values[2 * i] | values[2 * i + 1] << width;
	}
	for (unsigned i = 0; i < count; i++) {
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

static int64_t *held_of(const struct parquet_delta *d)
{
	return (int64_t *)(void *)d->held.at;
}

/* The block goes on with its first difference, which cannot be less than the least. */
static void fill_up(int64_t *v, size_t count)
{
	uint64_t difference = (uint64_t)v[1] - (uint64_t)v[0];

	for (size_t i = count; i < BLOCK; i++)
		v[i + 1] = (int64_t)((uint64_t)v[i] + difference);
}

/* The rest of a block that is not full is zeros here, which is what padding is to be; miniblocks without any
 * difference have width 0. */
static void write_block(struct parquet_account *a, struct parquet_delta *d)
{
	size_t count = d->held.bytes / sizeof(int64_t);
	int64_t *v = held_of(d);
	int64_t last = v[count];
	uint64_t values[BLOCK];
	int64_t least;
	uint8_t *widths;
	uint8_t *at;

	if (count < BLOCK)
		fill_up(v, count);
	wide_differences(v, d->is_narrow, values, &least);
	if (count < BLOCK)
		memset(values + count, 0, (BLOCK - count) * sizeof(values[0]));
	v[0] = last;
	d->held.bytes = 0;
	parquet_append_varint(a, &d->blocks, parquet_zigzag(least));
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

void delta_add(struct parquet_account *a, struct parquet_delta *d, int64_t v)
{
	size_t held = d->held.bytes / sizeof(v);

	if (d->count == 0 || held + 1 == BLOCK) {
		delta_add_all(a, d, &v, 1);
		return;
	}
	held_of(d)[held + 1] = v;
	d->held.bytes += sizeof(v);
	d->count++;
}

void delta_add_all(struct parquet_account *a, struct parquet_delta *d, const int64_t *v,
		   size_t count)
{
	size_t i = 0;

	if (d->held.room < HELD_BYTES && !parquet_reserve(a, &d->held, HELD_BYTES - d->held.bytes))
		return;
	if (d->count == 0 && count > 0) {
		d->first = v[0];
		held_of(d)[0] = v[0];
		i = 1;
	}
	d->count += count;
	while (i < count) {
		size_t held = d->held.bytes / sizeof(*v);
		size_t some = count - i < BLOCK - held ? count - i : BLOCK - held;

		memcpy(held_of(d) + 1 + held, v + i, some * sizeof(*v));
		d->held.bytes += some * sizeof(*v);
		i += some;
		if (held + some == BLOCK)
			write_block(a, d);
	}
}

void delta_clear(struct parquet_delta *d)
{
	d->blocks.bytes = 0;
	d->held.bytes = 0;
	d->count = 0;
	d->first = 0;
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
