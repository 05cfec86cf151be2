/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "sink/log_parts.h"

#define NAMES_MAX (LOG_NAME_CHUNK * LOG_NAME_CHUNKS)
#define EVENT_TYPES_MAX 65535
#define SLOTS_FIRST 256

/* FNV-1a; names come from configuration and peers' addresses, and their number is capped. */
static uint64_t hash_of(const char *name, size_t bytes)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3;
	return h ^ h >> 32;
}

static const struct log_name *name_at(const struct log_names *names, uint32_t number)
{
	return &names->chunks[number / LOG_NAME_CHUNK][number % LOG_NAME_CHUNK];
}

/* The slot that has the name, or the free one where it belongs. */
static uint32_t *slot_of(const struct log_names *names, const char *name, size_t bytes)
{
	size_t i = hash_of(name, bytes) & (names->slot_count - 1);

	while (names->slots[i] != 0) {
		const struct log_name *have = name_at(names, names->slots[i] - 1);

		if (have->bytes == bytes && memcmp(have->text, name, bytes) == 0)
			break;
		i = (i + 1) & (names->slot_count - 1);
	}
	return &names->slots[i];
}

/* Keeps the slots at most half full. */
static enum err grow(struct log_names *names, uint32_t count)
{
	size_t slot_count = names->slot_count == 0 ? SLOTS_FIRST : 2 * names->slot_count;
	struct log_names bigger = *names;

	if (2 * ((size_t)count + 1) <= names->slot_count)
		return ERR_OK;
	bigger.slots = calloc(slot_count, sizeof(bigger.slots[0]));
	if (bigger.slots == NULL)
		return ERR_NOMEM;
	bigger.slot_count = slot_count;
	for (uint32_t n = 0; n < count; n++) {
		const struct log_name *name = name_at(names, n);

		*slot_of(&bigger, name->text, name->bytes) = n + 1;
	}
	free(names->slots);
	names->slots = bigger.slots;
	names->slot_count = bigger.slot_count;
	return ERR_OK;
}

static enum err store(struct log_names *names, uint32_t count, const char *name, size_t bytes)
{
	struct log_name **chunk = &names->chunks[count / LOG_NAME_CHUNK];
	char *text = malloc(bytes + 1);

	if (text == NULL)
		return ERR_NOMEM;
	if (*chunk == NULL)
		*chunk = calloc(LOG_NAME_CHUNK, sizeof(**chunk));
	if (*chunk == NULL) {
		free(text);
		return ERR_NOMEM;
	}
	memcpy(text, name, bytes);
	text[bytes] = '\0';
	(*chunk)[count % LOG_NAME_CHUNK] = (struct log_name){ text, bytes };
	*slot_of(names, name, bytes) = count + 1;
	atomic_store_explicit(&names->count, count + 1, memory_order_release);
	return ERR_OK;
}

static enum err add_locked(struct log_names *names, uint32_t count_max, const char *name,
			   size_t bytes, uint32_t *number)
{
	uint32_t count = atomic_load_explicit(&names->count, memory_order_relaxed);
	uint32_t *slot;

	TRY(grow(names, count));
	slot = slot_of(names, name, bytes);
	if (*slot == 0) {
		if (count >= count_max)
			return ERR_LIMIT;
		TRY(store(names, count, name, bytes));
	}
	*number = *slot - 1;
	return ERR_OK;
}

enum err log_name_add(struct log_hub *hub, enum log_name_kind kind, const char *name, size_t bytes,
		      uint32_t *number)
{
	uint32_t count_max = kind == LOG_NAME_EVENT_TYPE ? EVENT_TYPES_MAX : NAMES_MAX;
	enum err e;

	must((unsigned)kind < LOG_NAME_KINDS);
	(void)pthread_mutex_lock(&hub->lock);
	e = add_locked(&hub->names[kind], count_max, name, bytes, number);
	(void)pthread_mutex_unlock(&hub->lock);
	return e;
}

const char *log_name(struct log_hub *hub, enum log_name_kind kind, uint32_t number, size_t *bytes)
{
	const struct log_names *names = &hub->names[kind];
	const struct log_name *name;

	must((unsigned)kind < LOG_NAME_KINDS);
	must(number < atomic_load_explicit(&names->count, memory_order_acquire));
	name = name_at(names, number);
	*bytes = name->bytes;
	return name->text;
}

uint32_t log_name_count(const struct log_hub *hub, enum log_name_kind kind)
{
	return atomic_load_explicit(&hub->names[kind].count, memory_order_acquire);
}

void log_names_fini(struct log_names *names)
{
	uint32_t count = atomic_load_explicit(&names->count, memory_order_relaxed);

	for (uint32_t n = 0; n < count; n++)
		free(name_at(names, n)->text);
	for (size_t c = 0; c < LOG_NAME_CHUNKS; c++)
		free(names->chunks[c]);
	free(names->slots);
}
