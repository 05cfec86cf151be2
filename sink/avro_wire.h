/* SPDX-License-Identifier: Apache-2.0 */
/*
 * avro_wire.h - Avro's binary numbers and octets: zigzag varints, and lengths before what they are of.
 *
 * Who writes has checked the room: AVRO_LONG_MAX for each number.
 */
#ifndef SINK_AVRO_WIRE_H
#define SINK_AVRO_WIRE_H

#include <stddef.h>
#include <stdint.h>

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

/* Anything past ten octets is short. */
static inline int64_t avro_read_long(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < AVRO_LONG_MAX; i++) {
		uint8_t octet = rd_u8(r);

		v |= (uint64_t)(octet & 0x7f) << (7 * i);
		if ((octet & 0x80) == 0)
			return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
	}
	r->is_short = true;
	return 0;
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

#endif
