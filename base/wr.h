/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wr.h - bounded writer over bytes, big endian.
 *
 * Writing past the end writes nothing and sets `is_full`: write straight through and check once.
 *
 * Owner: the caller; it borrows the octets.
 */
#ifndef BASE_WR_H
#define BASE_WR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wr {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	bool is_full;
};

static inline struct wr wr_of(void *octets, size_t count)
{
	uint8_t *p = octets;
	struct wr w = { p, p, p + count, false };

	return w;
}

static inline size_t wr_used(const struct wr *w)
{
	return (size_t)(w->at - w->start);
}

static inline size_t wr_left(const struct wr *w)
{
	return (size_t)(w->end - w->at);
}

/* Room for `count` octets, or NULL and is_full; once full, it stays full. */
static inline uint8_t *wr_take(struct wr *w, size_t count)
{
	uint8_t *p = w->at;

	if (__builtin_expect(w->is_full || wr_left(w) < count, 0)) {
		w->is_full = true;
		return NULL;
	}
	w->at += count;
	return p;
}

/* gcc 14 takes the path on which there is no room for one that writes. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#endif
static inline void wr_bytes(struct wr *w, const void *octets, size_t count)
{
	uint8_t *p = wr_take(w, count);

	if (p != NULL && count > 0)
		memcpy(p, octets, count);
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_take(w, 1);

	if (p != NULL)
		*p = v;
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

static inline void wr_u16(struct wr *w, uint16_t v)
{
	v = __builtin_bswap16(v);
	wr_bytes(w, &v, sizeof(v));
}

static inline void wr_u32(struct wr *w, uint32_t v)
{
	v = __builtin_bswap32(v);
	wr_bytes(w, &v, sizeof(v));
}

static inline void wr_u64(struct wr *w, uint64_t v)
{
	v = __builtin_bswap64(v);
	wr_bytes(w, &v, sizeof(v));
}

#endif
