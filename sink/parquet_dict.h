/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_dict.h - the values of a column chunk, each once.
 *
 *	hash = dict_hash_i64(v), dict_hash_octets(p, n)
 *	dict_fetch_entries(&d, hashes, count)	before many octets are looked up: their entries come into the cache
 *	i = dict_find_i64(&d, hash, v)		DICT_FULL: it is not there, for
 *	i = dict_i64(&account, &d, hash, v)	DICT_FULL: no room, or no memory
 *	i = dict_octets(&account, &d, hash, p, n)
 *	dict_stamp(&d, i, page)			true when the value is new to the page
 *	dict_clear(&d)				for the next chunk
 *
 *	values	what a dictionary page holds of octets: length, octets, length, octets ...; integers of 64 bits
 *	places	where a value of octets begins
 *	stamps	the page in which a value was last seen: what is seen again needs no look at bounds
 *	slots	hash table, open addressing: 16 bits of the hash | index + 1
 *
 * Owner: the column.
 */
#ifndef SINK_PARQUET_DICT_H
#define SINK_PARQUET_DICT_H

#include "sink/parquet_buffer.h"

#define DICT_ENTRIES_MAX 0xfffeu /* an index is 16 bits */
#define DICT_BYTES_MAX (1u << 20)
#define DICT_FULL UINT32_MAX
#define DICT_FETCH_ENTRIES 1024 /* fewer are in the cache anyway */

struct parquet_dict {
	struct parquet_buffer slots;
	struct parquet_buffer values;
	uint32_t count;
	struct parquet_buffer places;
	struct parquet_buffer stamps;
};

uint64_t dict_hash_octets(const void *octets, size_t bytes);
void dict_fetch_entries(const struct parquet_dict *d, const uint64_t *hashes, size_t count);
uint32_t dict_i64(struct parquet_account *a, struct parquet_dict *d, uint64_t hash, int64_t v);
uint32_t dict_octets(struct parquet_account *a, struct parquet_dict *d, uint64_t hash,
		     const void *octets, size_t bytes);
void dict_clear(struct parquet_dict *d);
void dict_release(struct parquet_account *a, struct parquet_dict *d);

static inline uint64_t dict_hash_i64(int64_t v)
{
	uint64_t h = (uint64_t)v *
		     0x9e3779b97f4a7c15u; /* 2^64 / the golden ratio: fills the upper bits */

	return h ^ h >> 32;
}

static inline bool dict_stamp(struct parquet_dict *d, uint32_t index, uint32_t page)
{
	uint32_t *stamp = (uint32_t *)(void *)d->stamps.at + index;
	bool is_new = *stamp != page;

	*stamp = page;
	return is_new;
}

static inline int64_t dict_value(const struct parquet_dict *d, uint32_t index)
{
	return ((const int64_t *)(const void *)d->values.at)[index];
}

/* DICT_FULL: it is not there. */
static inline uint32_t dict_find_i64(const struct parquet_dict *d, uint64_t hash, int64_t v)
{
	const uint32_t *slots = (const uint32_t *)(const void *)d->slots.at;
	uint32_t mask = (uint32_t)(d->slots.bytes / sizeof(*slots)) - 1;

	if (d->count == 0)
		return DICT_FULL;
	for (uint32_t i = (uint32_t)hash & mask; slots[i] != 0; i = (i + 1) & mask) {
		uint32_t index = (slots[i] & 0xffff) - 1;

		if (dict_value(d, index) == v)
			return index;
	}
	return DICT_FULL;
}

/* Length and octets, as they stand in the dictionary page. */
static inline const uint8_t *dict_entry(const struct parquet_dict *d, uint32_t index,
					uint32_t *bytes)
{
	const uint8_t *at = d->values.at + ((const uint32_t *)(const void *)d->places.at)[index];

	memcpy(bytes, at, sizeof(*bytes));
	return at + sizeof(*bytes);
}

#endif
