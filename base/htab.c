/* SPDX-License-Identifier: Apache-2.0 */
#include "base/htab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/must.h"

#define SLOTS_FIRST 64

struct htab {
	size_t key_bytes;
	size_t slot_count; /* a power of two */
	size_t count;
	uint64_t seed;
	uint8_t *keys;
	void **values; /* NULL: free */
};

enum err htab_new(size_t key_bytes, struct htab **out)
{
	struct htab *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return ERR_NOMEM;
	h->key_bytes = key_bytes;
	h->slot_count = SLOTS_FIRST;
	h->keys = calloc(SLOTS_FIRST, key_bytes);
	h->values = calloc(SLOTS_FIRST, sizeof(*h->values));
	if (h->keys == NULL || h->values == NULL ||
	    getrandom(&h->seed, sizeof(h->seed), 0) != (ssize_t)sizeof(h->seed)) {
		htab_free(h);
		return ERR_NOMEM;
	}
	*out = h;
	return ERR_OK;
}

void htab_free(struct htab *h)
{
	if (h == NULL)
		return;
	free(h->keys);
	free(h->values);
	free(h);
}

size_t htab_count(const struct htab *h)
{
	return h->count;
}

static size_t home_of(const struct htab *h, const void *key)
{
	return XXH3_64bits_withSeed(key, h->key_bytes, h->seed) & (h->slot_count - 1);
}

/* Slot of the key, or the free one where it would go. */
static size_t slot_of(const struct htab *h, const void *key)
{
	size_t i = home_of(h, key);

	while (h->values[i] != NULL && memcmp(h->keys + i * h->key_bytes, key, h->key_bytes) != 0)
		i = (i + 1) & (h->slot_count - 1);
	return i;
}

void *htab_find(const struct htab *h, const void *key)
{
	return h->values[slot_of(h, key)];
}

static enum err grow(struct htab *h)
{
	struct htab bigger = *h;

	bigger.slot_count *= 2;
	bigger.keys = calloc(bigger.slot_count, h->key_bytes);
	bigger.values = calloc(bigger.slot_count, sizeof(*bigger.values));
	if (bigger.keys == NULL || bigger.values == NULL) {
		free(bigger.keys);
		free(bigger.values);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < h->slot_count; i++) {
		size_t to;

		if (h->values[i] == NULL)
			continue;
		to = slot_of(&bigger, h->keys + i * h->key_bytes);
		memcpy(bigger.keys + to * h->key_bytes, h->keys + i * h->key_bytes, h->key_bytes);
		bigger.values[to] = h->values[i];
	}
	free(h->keys);
	free(h->values);
	h->keys = bigger.keys;
	h->values = bigger.values;
	h->slot_count = bigger.slot_count;
	return ERR_OK;
}

enum err htab_put(struct htab *h, const void *key, void *value)
{
	size_t i = slot_of(h, key);

	must(value != NULL);
	if (h->values[i] == NULL) {
		if (4 * (h->count + 1) > 3 * h->slot_count) {
			TRY(grow(h));
			i = slot_of(h, key);
		}
		memcpy(h->keys + i * h->key_bytes, key, h->key_bytes);
		h->count++;
	}
	h->values[i] = value;
	return ERR_OK;
}

/* Closes the gap: entries behind it that could not stand at home move up. */
static void del_slot(struct htab *h, size_t gap)
{
	size_t mask = h->slot_count - 1;

	h->values[gap] = NULL;
	h->count--;
	for (size_t i = (gap + 1) & mask; h->values[i] != NULL; i = (i + 1) & mask) {
		size_t home = home_of(h, h->keys + i * h->key_bytes);

		if (((i - home) & mask) < ((i - gap) & mask))
			continue;
		memcpy(h->keys + gap * h->key_bytes, h->keys + i * h->key_bytes, h->key_bytes);
		h->values[gap] = h->values[i];
		h->values[i] = NULL;
		gap = i;
	}
}

void *htab_del(struct htab *h, const void *key)
{
	size_t i = slot_of(h, key);
	void *value = h->values[i];

	if (value != NULL)
		del_slot(h, i);
	return value;
}

bool htab_next(const struct htab *h, struct htab_iter *it, const void **key, void **value)
{
	it->is_valid = false;
	while (it->next < h->slot_count && h->values[it->next] == NULL)
		it->next++;
	if (it->next >= h->slot_count)
		return false;
	if (key != NULL)
		*key = h->keys + it->next * h->key_bytes;
	if (value != NULL)
		*value = h->values[it->next];
	it->next++;
	it->is_valid = true;
	return true;
}

/* What moved into the gap is looked at next; what wrapped around from the end may be seen twice. */
void htab_iter_del(struct htab *h, struct htab_iter *it)
{
	must(it->is_valid);
	it->is_valid = false;
	it->next--;
	del_slot(h, it->next);
}
