/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_buffer.h - the growing buffers of a Parquet file, and the account of them.
 *
 *	if (parquet_reserve(&memory, &b, 4))	room for 4 octets more at parquet_end(&b)
 *
 * What fails is remembered in the account, and answered by whoever looks at it: values are put one by one,
 * and nobody wants to check each.  `bytes` of the account is what was allocated, not what is used.
 *
 * Owner: the struct parquet or struct parquet_bench that the account is part of.
 */
#ifndef SINK_PARQUET_BUFFER_H
#define SINK_PARQUET_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/room.h"

#define PARQUET_ROOM_MIN 64

struct parquet_account {
	size_t bytes;
	enum err error; /* the first */
};

struct parquet_buffer {
	uint8_t *at;
	size_t bytes;
	size_t room;
};

static inline void parquet_fail(struct parquet_account *a, enum err e)
{
	if (a->error == ERR_OK)
		a->error = e;
}

bool parquet_grow(struct parquet_account *a, struct parquet_buffer *b, size_t more);
void parquet_release(struct parquet_account *a, struct parquet_buffer *b);

/* False: no memory, the account says so, and the buffer is as it was. */
static inline bool parquet_reserve(struct parquet_account *a, struct parquet_buffer *b, size_t more)
{
	return b->room - b->bytes >= more || parquet_grow(a, b, more);
}

static inline uint8_t *parquet_end(const struct parquet_buffer *b)
{
	return b->at + b->bytes;
}

static inline void parquet_append(struct parquet_account *a, struct parquet_buffer *b,
				  const void *octets, size_t bytes)
{
	if (bytes > 0 && parquet_reserve(a, b, bytes)) {
		memcpy(parquet_end(b), octets, bytes);
		b->bytes += bytes;
	}
}

static inline void parquet_append_u8(struct parquet_account *a, struct parquet_buffer *b, uint8_t v)
{
	if (parquet_reserve(a, b, 1))
		b->at[b->bytes++] = v;
}

/* memcmp() by a call costs more than most comparisons here. */
static inline bool is_same(const void *a, const void *b, size_t bytes)
{
	const uint8_t *x = a;
	const uint8_t *y = b;
	uint64_t p;
	uint64_t q;

	if (bytes < sizeof(uint32_t))
		return bytes == 0 || (x[0] == y[0] && x[bytes / 2] == y[bytes / 2] &&
				      x[bytes - 1] == y[bytes - 1]);
	if (bytes < sizeof(p)) {
		uint32_t v[4];

		memcpy(&v[0], x, sizeof(v[0]));
		memcpy(&v[1], y, sizeof(v[0]));
		memcpy(&v[2], x + bytes - sizeof(v[0]), sizeof(v[0]));
		memcpy(&v[3], y + bytes - sizeof(v[0]), sizeof(v[0]));
		return ((v[0] ^ v[1]) | (v[2] ^ v[3])) == 0;
	}
	for (size_t i = 0; i < bytes - sizeof(p); i += sizeof(p)) {
		memcpy(&p, x + i, sizeof(p));
		memcpy(&q, y + i, sizeof(q));
		if (p != q)
			return false;
	}
	memcpy(&p, x + bytes - sizeof(p), sizeof(p));
	memcpy(&q, y + bytes - sizeof(q), sizeof(q));
	return p == q;
}

/* Integers of the format are little endian, as is every machine this runs on. */
static inline void parquet_append_u32(struct parquet_account *a, struct parquet_buffer *b,
				      uint32_t v)
{
	parquet_append(a, b, &v, sizeof(v));
}

/* ULEB-128. */
static inline void parquet_append_varint(struct parquet_account *a, struct parquet_buffer *b,
					 uint64_t v)
{
	while (v >= 0x80) {
		parquet_append_u8(a, b, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	parquet_append_u8(a, b, (uint8_t)v);
}

static inline uint64_t parquet_zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

#endif
