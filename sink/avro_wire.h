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

static inline int64_t avro_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* A number where AVRO_LONG_MAX octets may be read: what stands after it, NULL when it is longer.  The
 * usual lengths have branches of their own: guessed right, as they mostly are where numbers are of a kind,
 * what comes next needs not wait for the length. */
static inline const uint8_t *avro_take_varint(const uint8_t *p, uint64_t *v)
{
	uint64_t w;
	uint64_t ends;

	memcpy(&w, p, sizeof(w));
	w = le64toh(w);
	if ((w & 0x80) == 0) {
		*v = w & 0x7f;
		return p + 1;
	}
	if ((w & 0x8000) == 0) {
		*v = (w & 0x7f) | (w & 0x7f00) >> 1;
		return p + 2;
	}
	if ((w & 0x800000) == 0) {
		*v = (w & 0x7f) | (w & 0x7f00) >> 1 | (w & 0x7f0000) >> 2;
		return p + 3;
	}
	ends = ~w & 0x8080808080808080;
	if (__builtin_expect(ends == 0, 0)) { /* nine or ten; further ones are no part of 64 bits */
		*v = 0;
		for (unsigned i = 0; i < AVRO_LONG_MAX; i++) {
			*v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
			if ((p[i] & 0x80) == 0)
				return p + i + 1;
		}
		return NULL;
	}
	w &= (ends ^ (ends - 1)) & 0x7f7f7f7f7f7f7f7f;
	w = (w & 0x007f007f007f007f) | (w & 0x7f007f007f007f00) >> 1;
	w = (w & 0x00003fff00003fff) | (w & 0x3fff00003fff0000) >> 2;
	*v = (w & 0x000000000fffffff) | (w & 0x0fffffff00000000) >> 4;
	return p + ((unsigned)__builtin_ctzll(ends) + 1) / 8;
}

/* Anything past ten octets is short. */
static inline uint64_t avro_read_varint(struct rd *r)
{
	uint8_t last[AVRO_LONG_MAX] = { 0 }; /* with zeros, which end a number, behind them */
	size_t left = rd_left(r);
	const uint8_t *from = r->at;
	const uint8_t *p;
	uint64_t v;

	if (__builtin_expect(left < AVRO_LONG_MAX, 0)) {
		if (left > 0)
			memcpy(last, r->at, left);
		from = last;
	}
	p = avro_take_varint(from, &v);
	if (__builtin_expect(p == NULL || (size_t)(p - from) > left, 0)) {
		r->at = r->end;
		r->is_short = true;
		return 0;
	}
	r->at += p - from;
	return v;
}

static inline int64_t avro_read_long(struct rd *r)
{
	return avro_unzigzag(avro_read_varint(r));
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
