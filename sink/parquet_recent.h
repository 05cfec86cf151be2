/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_recent.h - the short texts that a page has seen, and where the dictionary has them.
 *
 *	recent_make(&account, &buffer)		before the first; false: no memory
 *	key = recent_of(octets, bytes)		RECENT_BYTES of them at most
 *	recent_at(&buffer)[recent_slot(&key)]	the text that was last seen there: this one, if all but `index` is equal
 *	recent_clear(&buffer)			for the next page
 *
 * Most columns of texts have few values, and these are short: two words and a length tell them apart, without a hash
 * of all octets and a look at the dictionary's entry.
 *
 * Owner: the column.
 */
#ifndef SINK_PARQUET_RECENT_H
#define SINK_PARQUET_RECENT_H

#include "sink/parquet_buffer.h"

#define RECENT_BYTES 16u
#define RECENT_BITS 6

struct recent {
	uint64_t head;
	uint64_t tail;
	uint32_t bytes;
	uint32_t index;
};

#define RECENT_TABLE_BYTES (sizeof(struct recent) << RECENT_BITS)

static inline struct recent *recent_at(const struct parquet_buffer *b)
{
	return (struct recent *)(void *)b->at;
}

/* No text has that many octets. */
static inline void recent_clear(struct parquet_buffer *b)
{
	for (size_t i = 0; i < b->bytes / sizeof(struct recent); i++)
		recent_at(b)[i].bytes = UINT32_MAX;
}

static inline bool recent_make(struct parquet_account *a, struct parquet_buffer *b)
{
	if (b->bytes > 0)
		return true;
	if (!parquet_reserve(a, b, RECENT_TABLE_BYTES))
		return false;
	b->bytes = RECENT_TABLE_BYTES;
	recent_clear(b);
	return true;
}

static inline struct recent recent_of(const uint8_t *octets, size_t bytes)
{
	struct recent key = { .bytes = (uint32_t)bytes };
	uint32_t head;
	uint32_t tail;

	if (bytes >= sizeof(key.head)) {
		memcpy(&key.head, octets, sizeof(key.head));
		memcpy(&key.tail, octets + bytes - sizeof(key.tail), sizeof(key.tail));
	} else if (bytes >= sizeof(head)) {
		memcpy(&head, octets, sizeof(head));
		memcpy(&tail, octets + bytes - sizeof(tail), sizeof(tail));
		key.head = (uint64_t)head << 32 | tail;
	} else if (bytes > 0) {
		key.head = octets[0] | (uint64_t)octets[bytes / 2] << 8 |
			   (uint64_t)octets[bytes - 1] << 16;
	}
	return key;
}

static inline size_t recent_slot(const struct recent *key)
{
	uint64_t all = (key->head + key->bytes) * 0x9e3779b97f4a7c15u ^ key->tail;

	return all * 0xff51afd7ed558ccdu >> (64 - RECENT_BITS);
}

#endif
