/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_dict.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_MIN 64
#define TAG_SHIFT 16
#define GOLDEN                                                                                     \
	0x9e3779b97f4a7c15u /* 2^64 / the golden ratio: spreads integers over the upper bits */

static uint32_t slot_mask(const struct parquet_dict *d)
{
	return (uint32_t)(d->slots.bytes / sizeof(uint32_t)) - 1;
}

static uint32_t *slots_of(const struct parquet_dict *d)
{
	return (uint32_t *)(void *)d->slots.at;
}

static uint64_t hash_i64(int64_t v)
{
	uint64_t h = (uint64_t)v * GOLDEN;

	return h ^ h >> 32;
}

static uint64_t hash_entry(const struct parquet_dict *d, uint32_t index)
{
	uint32_t bytes;
	const uint8_t *at;

	if (d->places.bytes == 0)
		return hash_i64(dict_value(d, index));
	at = dict_entry(d, index, &bytes);
	return XXH3_64bits(at, bytes);
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 48) << TAG_SHIFT;
}

static void insert(struct parquet_dict *d, uint64_t hash, uint32_t index)
{
	uint32_t *slots = slots_of(d);
	uint32_t mask = slot_mask(d);
	uint32_t i = (uint32_t)hash & mask;

	while (slots[i] != 0)
		i = (i + 1) & mask;
	slots[i] = tag_of(hash) | (index + 1);
}

/* Half of the slots stay free. */
static bool make_slots(struct parquet_account *a, struct parquet_dict *d)
{
	size_t slots = d->slots.bytes / sizeof(uint32_t);
	size_t more = slots == 0 ? SLOTS_MIN : slots;

	if (2 * ((size_t)d->count + 1) <= slots)
		return true;
	if (!parquet_reserve(a, &d->slots, more * sizeof(uint32_t)))
		return false;
	d->slots.bytes += more * sizeof(uint32_t);
	memset(d->slots.at, 0, d->slots.bytes);
	for (uint32_t i = 0; i < d->count; i++)
		insert(d, hash_entry(d, i), i);
	return true;
}

/* has_room() was true. */
static uint32_t add(struct parquet_dict *d, uint64_t hash)
{
	static const uint32_t never = 0;

	memcpy(parquet_end(&d->stamps), &never, sizeof(never));
	d->stamps.bytes += sizeof(never);
	insert(d, hash, d->count);
	return d->count++;
}

static bool has_room(struct parquet_account *a, struct parquet_dict *d, size_t bytes)
{
	return d->count < DICT_ENTRIES_MAX && d->values.bytes + bytes <= DICT_BYTES_MAX &&
	       make_slots(a, d) && parquet_reserve(a, &d->values, bytes) &&
	       parquet_reserve(a, &d->stamps, sizeof(uint32_t));
}

uint32_t dict_i64(struct parquet_account *a, struct parquet_dict *d, int64_t v)
{
	uint64_t hash = hash_i64(v);

	if (d->count > 0) {
		const uint32_t *slots = slots_of(d);
		uint32_t mask = slot_mask(d);
		uint32_t tag = tag_of(hash);

		for (uint32_t i = (uint32_t)hash & mask; slots[i] != 0; i = (i + 1) & mask) {
			uint32_t index = (slots[i] & 0xffff) - 1;

			if (((slots[i] ^ tag) >> TAG_SHIFT) == 0 && dict_value(d, index) == v)
				return index;
		}
	}
	if (!has_room(a, d, sizeof(v)))
		return DICT_FULL;
	parquet_append(a, &d->values, &v, sizeof(v));
	return add(d, hash);
}

static bool is_entry(const struct parquet_dict *d, uint32_t index, const void *octets, size_t bytes)
{
	uint32_t has;
	const uint8_t *at = dict_entry(d, index, &has);

	return has == bytes && is_same(at, octets, bytes);
}

uint32_t dict_octets(struct parquet_account *a, struct parquet_dict *d, const void *octets,
		     size_t bytes)
{
	uint64_t hash;
	uint32_t place;

	if (bytes > DICT_BYTES_MAX)
		return DICT_FULL;
	hash = XXH3_64bits(octets, bytes);
	if (d->count > 0) {
		const uint32_t *slots = slots_of(d);
		uint32_t mask = slot_mask(d);
		uint32_t tag = tag_of(hash);

		for (uint32_t i = (uint32_t)hash & mask; slots[i] != 0; i = (i + 1) & mask) {
			uint32_t index = (slots[i] & 0xffff) - 1;

			if (((slots[i] ^ tag) >> TAG_SHIFT) == 0 &&
			    is_entry(d, index, octets, bytes))
				return index;
		}
	}
	if (!has_room(a, d, sizeof(uint32_t) + bytes) ||
	    !parquet_reserve(a, &d->places, sizeof(place)))
		return DICT_FULL;
	place = (uint32_t)d->values.bytes;
	parquet_append_u32(a, &d->places, place);
	parquet_append_u32(a, &d->values, (uint32_t)bytes);
	parquet_append(a, &d->values, octets, bytes);
	return add(d, hash);
}

void dict_clear(struct parquet_dict *d)
{
	d->slots.bytes = 0;
	d->values.bytes = 0;
	d->places.bytes = 0;
	d->stamps.bytes = 0;
	d->count = 0;
}

void dict_release(struct parquet_account *a, struct parquet_dict *d)
{
	d->count = 0;
	parquet_release(a, &d->values);
	parquet_release(a, &d->places);
	parquet_release(a, &d->stamps);
	parquet_release(a, &d->slots);
}
