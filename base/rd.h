/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rd.h - bounded reader over bytes from outside, big endian.
 *
 * Reading past the end gives zero and sets `is_short`: read a header straight through and check
 * once.  A number that sizes a loop, a copy or a sub-reader is checked before use.
 *
 *	struct rd r = rd_of(octets, count);
 *	uint16_t id = rd_u16(&r);
 *	uint16_t len = rd_u16(&r);
 *
 *	if (r.is_short || len < SET_HEADER_BYTES)
 *		return ERR_TRUNC;
 *
 * Owner: the caller; it borrows the octets.
 */
#ifndef BASE_RD_H
#define BASE_RD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rd {
	const uint8_t *at;
	const uint8_t *end;
	bool is_short;
};

static inline struct rd rd_of(const void *octets, size_t count)
{
	const uint8_t *p = octets;
	struct rd r = { p, p + count, false };

	return r;
}

static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->at);
}

/* The next `count` octets, or NULL (and is_short, and nothing left) when there are fewer. */
static inline const uint8_t *rd_take(struct rd *r, size_t count)
{
	const uint8_t *p = r->at;

	if (__builtin_expect(rd_left(r) < count, 0)) {
		r->at = r->end;
		r->is_short = true;
		return NULL;
	}
	r->at += count;
	return p;
}

static inline void rd_skip(struct rd *r, size_t count)
{
	(void)rd_take(r, count);
}

/* A reader over the next `count` octets; empty and short when there are fewer. */
static inline struct rd rd_sub(struct rd *r, size_t count)
{
	const uint8_t *p = rd_take(r, count);
	struct rd sub = { p, p == NULL ? NULL : p + count, p == NULL };

	return sub;
}

/* Unaligned big-endian loads from memory that the caller has bounded. */
static inline uint16_t be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

/* An unsigned of 0 to 8 octets (reduced-size encoding, RFC 7011, 6.2). */
static inline uint64_t be_uint(const uint8_t *p, size_t count)
{
	uint64_t v = 0;

	switch (count) {
	case 1:
		return p[0];
	case 2:
		return be16(p);
	case 4:
		return be32(p);
	case 8:
		return be64(p);
	default:
		for (size_t i = 0; i < count; i++)
			v = v << 8 | p[i];
		return v;
	}
}

static inline uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);

	return p == NULL ? 0 : p[0];
}

static inline uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p == NULL ? 0 : be16(p);
}

static inline uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p == NULL ? 0 : be32(p);
}

static inline uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_take(r, 8);

	return p == NULL ? 0 : be64(p);
}

#endif
