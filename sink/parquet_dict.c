/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_dict.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_MIN 64
#define TAG_SHIFT 16

uint64_t dict_hash_octets(const void *octets, size_t bytes)
{
	return XXH3_64bits(octets, bytes);
}

static uint32_t slot_mask(const struct parquet_dict *d)
{
	return (uint32_t)(d->slots.bytes / sizeof(uint32_t)) - 1;
}

static uint32_t *slots_of(const struct parquet_dict *d)
{
	return (uint32_t *)(void *)d->slots.at;
}

static uint64_t hash_entry(const struct parquet_dict *d, uint32_t index)
{
	uint32_t bytes;
	const uint8_t *at;

	if (d->places.bytes == 0)
		return dict_hash_i64(dict_value(d, index));
	at = dict_entry(d, index, &bytes);
	return dict_hash_octets(at, bytes);
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

/* From *slot on, the next entry whose hash may be this; DICT_FULL: there is none, and *slot is free. */
static inline uint32_t next_of(const uint32_t *slots, uint32_t mask, uint64_t hash, uint32_t *slot)
{
	uint32_t tag = tag_of(hash);

	for (; slots[*slot] != 0; *slot = (*slot + 1) & mask) {
		if (((slots[*slot] ^ tag) >> TAG_SHIFT) == 0)
			return (slots[*slot] & 0xffff) - 1;
	}
	return DICT_FULL;
}

static inline bool is_entry(const struct parquet_dict *d, uint32_t index, const void *octets,
			    size_t bytes)
{
	uint32_t has;
	const uint8_t *at = dict_entry(d, index, &has);

	return has == bytes && is_same(at, octets, bytes);
}

static uint32_t find_octets(const struct parquet_dict *d, uint64_t hash, const void *octets,
			    size_t bytes)
{
	const uint32_t *slots = slots_of(d);
	uint32_t mask = slot_mask(d);
	uint32_t slot = (uint32_t)hash & mask;
	uint32_t index;

	if (d->count == 0)
		return DICT_FULL;
	for (;; slot = (slot + 1) & mask) {
		index = next_of(slots, mask, hash, &slot);
		if (index == DICT_FULL)
			return DICT_FULL;
		if (is_entry(d, index, octets, bytes))
			return index;
	}
}

uint32_t dict_i64(struct parquet_account *a, struct parquet_dict *d, uint64_t hash, int64_t v)
{
	uint32_t index = dict_find_i64(d, hash, v);

	if (index != DICT_FULL)
		return index;
	if (!has_room(a, d, sizeof(v)))
		return DICT_FULL;
	parquet_append(a, &d->values, &v, sizeof(v));
	return add(d, hash);
}

uint32_t dict_octets(struct parquet_account *a, struct parquet_dict *d, uint64_t hash,
		     const void *octets, size_t bytes)
{
	uint32_t index = find_octets(d, hash, octets, bytes);
	uint32_t place;

	if (index != DICT_FULL)
		return index;
	if (bytes > DICT_BYTES_MAX || !has_room(a, d, sizeof(uint32_t) + bytes) ||
	    !parquet_reserve(a, &d->places, sizeof(place)))
		return DICT_FULL;
	place = (uint32_t)d->values.bytes;
	parquet_append_u32(a, &d->places, place);
	parquet_append_u32(a, &d->values, (uint32_t)bytes);
	parquet_append(a, &d->values, octets, bytes);
	return add(d, hash);
}

/* What the slot speaks of, as far as its place says: mostly it is the value. */
void dict_fetch_entries(const struct parquet_dict *d, const uint64_t *hashes, size_t count)
{
	const uint32_t *slots = slots_of(d);
	const uint32_t *places = (const uint32_t *)(const void *)d->places.at;
	uint32_t mask = slot_mask(d);

	if (d->count < DICT_FETCH_ENTRIES)
		return;
	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(&slots[(uint32_t)hashes[i] & mask]);
	for (size_t i = 0; i < count; i++) {
		uint32_t index = (slots[(uint32_t)hashes[i] & mask] & 0xffff) - 1;

		if (index < d->count)
			__builtin_prefetch(&places[index]);
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t index = (slots[(uint32_t)hashes[i] & mask] & 0xffff) - 1;

		if (index < d->count)
			__builtin_prefetch(d->values.at + places[index]);
	}
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
