/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_level.h"

#define GROUP 8
#define LITERALS 504 /* 63 groups: as many as a header of one octet can say */

void runs_add(struct parquet_account *a, struct parquet_buffer *runs, uint16_t value,
	      uint64_t count)
{
	if (runs->bytes > 0) {
		struct parquet_run *last =
			(struct parquet_run *)(void *)(parquet_end(runs) - sizeof(*last));
		uint64_t joins = last->value == value ? RUN_COUNT_MAX - last->count : 0u;

		joins = joins < count ? joins : count;
		last->count = (uint16_t)(last->count + joins);
		count -= joins;
	}
	while (count > 0) {
		uint16_t some = (uint16_t)(count < RUN_COUNT_MAX ? count : RUN_COUNT_MAX);
		struct parquet_run run = { value, some };

		parquet_append(a, runs, &run, sizeof(run));
		count -= some;
	}
}

unsigned hybrid_width(unsigned max)
{
	return max == 0 ? 0 : 32u - (unsigned)__builtin_clz(max);
}

void hybrid_run(struct parquet_account *a, struct parquet_buffer *out, unsigned value,
		uint64_t count, unsigned width)
{
	parquet_append_varint(a, out, count << 1);
	for (unsigned bits = 0; bits < width; bits += 8)
		parquet_append_u8(a, out, (uint8_t)(value >> bits));
}

struct literals {
	struct parquet_account *account;
	struct parquet_buffer *out;
	unsigned width;
	unsigned count;
	uint16_t values[LITERALS + GROUP]; /* some more are stored than count */
};

/* Groups of values that have at most eight bits, a group at a time. */
static void pack_narrow(uint8_t *at, const uint16_t *values, unsigned groups, unsigned width)
{
	const uint64_t two = ((UINT64_C(1) << 2 * width) - 1) * (1 + (UINT64_C(1) << 32));
	const uint64_t four = (UINT64_C(1) << 4 * width) - 1;

	for (; groups > 0; groups--, values += GROUP, at += width) {
		uint64_t bits[2];

		memcpy(bits, values, sizeof(bits));
		for (unsigned i = 0; i < 2; i++) { /* neighbours, then pairs, side by side */
			bits[i] = (bits[i] | bits[i] >> (16 - width)) & two;
			bits[i] = (bits[i] | bits[i] >> (32 - 2 * width)) & four;
		}
		bits[0] |= bits[1] << 4 * width;
		memcpy(at, bits, sizeof(bits[0]));
	}
}

static void pack_wide(uint8_t *at, const uint16_t *values, unsigned groups, unsigned width)
{
	uint64_t bits = 0;
	unsigned fill = 0;

	for (unsigned i = 0; i < groups * GROUP; i++) {
		bits |= (uint64_t)values[i] << fill;
		fill += width;
		if (fill >= 32) {
			uint32_t low = (uint32_t)bits;

			memcpy(at, &low, sizeof(low));
			at += sizeof(low);
			bits >>= 32;
			fill -= 32;
		}
	}
	memcpy(at, &(uint32_t){ (uint32_t)bits }, sizeof(uint32_t));
}

/* Filled up with zeros to whole groups; the reader knows how many values there are. */
static void write_literals(struct literals *l)
{
	unsigned count = (l->count + GROUP - 1) / GROUP * GROUP;
	unsigned groups = count / GROUP;
	uint8_t *at;

	if (l->count == 0)
		return;
	memset(l->values + l->count, 0, (count - l->count) * sizeof(l->values[0]));
	l->count = 0;
	/* Eight octets are stored at a time; the last may reach beyond what counts. */
	if (!parquet_reserve(l->account, l->out, 1 + (size_t)groups * l->width + sizeof(uint64_t)))
		return;
	at = parquet_end(l->out);
	*at++ = (uint8_t)(groups << 1 | 1);
	if (l->width <= 8)
		pack_narrow(at, l->values, groups, l->width);
	else
		pack_wide(at, l->values, groups, l->width);
	l->out->bytes += 1 + (size_t)groups * l->width;
}

/* A group of it, which needs no look at how many count. */
static inline void store_group(uint16_t *at, uint16_t value)
{
	const uint64_t four = value * UINT64_C(0x0001000100010001);

	memcpy(at, &four, sizeof(four));
	memcpy(at + GROUP / 2, &four, sizeof(four));
}

/* Fewer than a group. */
static inline void add_literals(struct literals *l, uint16_t value, unsigned count)
{
	unsigned room = LITERALS - l->count;

	store_group(l->values + l->count, value);
	if (count < room) {
		l->count += count;
		return;
	}
	l->count = LITERALS;
	write_literals(l);
	store_group(l->values, value);
	l->count = count - room;
}

void hybrid_encode(struct parquet_account *a, struct parquet_buffer *out,
		   const struct parquet_buffer *runs, unsigned width)
{
	const struct parquet_run *run = runs_at(runs);
	struct literals l;

	l.account = a;
	l.out = out;
	l.width = width;
	l.count = 0;
	for (size_t n = runs_count(runs); n > 0; n--, run++) {
		unsigned count = run->count;

		if (count >= GROUP) {
			/* A run may begin only behind whole groups. */
			unsigned some = (GROUP - l.count % GROUP) % GROUP;

			add_literals(&l, run->value, some);
			count -= some;
		}
		if (count >= GROUP) {
			write_literals(&l);
			hybrid_run(a, out, run->value, count, width);
		} else {
			add_literals(&l, run->value, count);
		}
	}
	write_literals(&l);
}

void runs_bits(struct parquet_account *a, struct parquet_buffer *out,
	       const struct parquet_buffer *runs)
{
	const struct parquet_run *run = runs_at(runs);
	unsigned octet = 0;
	unsigned fill = 0;

	for (size_t n = runs_count(runs); n > 0; n--, run++) {
		unsigned count = run->count;

		while (count > 0) {
			unsigned some = count < 8 - fill ? count : 8 - fill;

			if (run->value != 0)
				octet |= ((1u << some) - 1) << fill;
			fill += some;
			count -= some;
			if (fill == 8) {
				parquet_append_u8(a, out, (uint8_t)octet);
				octet = 0;
				fill = 0;
			}
		}
	}
	if (fill > 0)
		parquet_append_u8(a, out, (uint8_t)octet);
}
