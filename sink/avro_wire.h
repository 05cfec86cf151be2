/* SPDX-License-Identifier: Apache-2.0 */
/*
 * avro_wire.h - Avro's binary numbers and octets: zigzag varints, and lengths before what they are of;
 * arrays and maps in blocks.
 *
 * Who writes has checked the room: AVRO_LONG_MAX for each number.
 */
#ifndef SINK_AVRO_WIRE_H
#define SINK_AVRO_WIRE_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/rd.h"

#define AVRO_LONG_MAX 10 /* octets of a long at most */

static inline uint8_t *avro_put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *avro_put_long(uint8_t *p, int64_t v)
{
	return avro_put_varint(p, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

/* Octet by octet.  Anything past ten octets is short. */
static inline uint64_t avro_read_varint_slowly(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < AVRO_LONG_MAX; i++) {
		uint8_t octet = rd_u8(r);

		v |= (uint64_t)(octet & 0x7f) << (7 * i);
		if ((octet & 0x80) == 0)
			return v;
	}
	r->is_short = true;
	return 0;
}

/* One load where eight octets are left and the number takes no more: its length is then no branch.
 * The copy of the reader lets the caller's stay in registers. */
static inline uint64_t avro_read_varint(struct rd *r)
{
	struct rd copy;
	uint64_t v;
	uint64_t ends;

	if (__builtin_expect(rd_left(r) >= sizeof(v), 1)) {
		memcpy(&v, r->at, sizeof(v));
		v = le64toh(v);
		ends = ~v & 0x8080808080808080;
		if (__builtin_expect(ends != 0, 1)) {
			r->at += ((unsigned)__builtin_ctzll(ends) + 1) / 8;
			v &= (ends ^ (ends - 1)) & 0x7f7f7f7f7f7f7f7f;
			v = (v & 0x007f007f007f007f) | (v & 0x7f007f007f007f00) >> 1;
			v = (v & 0x00003fff00003fff) | (v & 0x3fff00003fff0000) >> 2;
			return (v & 0x000000000fffffff) | (v & 0x0fffffff00000000) >> 4;
		}
	}
	copy = *r;
	v = avro_read_varint_slowly(&copy);
	*r = copy;
	return v;
}

static inline int64_t avro_read_long(struct rd *r)
{
	uint64_t v = avro_read_varint(r);

	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* The octets of a string or bytes value; NULL when there are not that many. */
static inline const uint8_t *avro_read_octets(struct rd *r, size_t *bytes)
{
	int64_t n = avro_read_long(r);

	*bytes = 0;
	if (n < 0 || (uint64_t)n > rd_left(r)) {
		r->is_short = true;
		return NULL;
	}
	*bytes = (size_t)n;
	return rd_take(r, *bytes);
}

/* Items of the next block of an array or map; 0 at its end.  An item takes an octet at least, so no
 * count can make a loop longer than the record. */
static inline uint64_t avro_read_block(struct rd *r)
{
	int64_t n = avro_read_long(r);

	if (n < 0) {
		(void)avro_read_long(r); /* octets of the block, for readers that skip it */
		n = n == INT64_MIN ? INT64_MAX : -n;
	}
	if ((uint64_t)n > rd_left(r))
		r->is_short = true;
	return r->is_short ? 0 : (uint64_t)n;
}

#endif
