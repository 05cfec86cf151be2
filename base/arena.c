/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct arena_chunk {
	struct arena_chunk *next;
	size_t bytes;
	alignas(ARENA_ALIGN) uint8_t octets[];
};

static size_t rounded(size_t bytes)
{
	return (bytes + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1);
}

void arena_init(struct arena *a, size_t chunk_bytes, size_t limit_bytes)
{
	memset(a, 0, sizeof(*a));
	a->chunk_bytes = rounded(chunk_bytes);
	a->limit_bytes = limit_bytes;
}

void arena_fini(struct arena *a)
{
	while (a->first != NULL) {
		struct arena_chunk *next = a->first->next;

		free(a->first);
		a->first = next;
	}
	a->current = NULL;
	a->at = NULL;
	a->end = NULL;
	a->held_bytes = 0;
}

static void go_to(struct arena *a, struct arena_chunk *chunk)
{
	a->current = chunk;
	a->at = chunk->octets;
	a->end = chunk->octets + chunk->bytes;
}

void arena_reset(struct arena *a)
{
	if (a->first != NULL)
		go_to(a, a->first);
}

/* A new chunk behind the current one, or NULL at the limit or without memory. */
static struct arena_chunk *add_chunk(struct arena *a, size_t bytes)
{
	size_t wanted = bytes > a->chunk_bytes ? bytes : a->chunk_bytes;
	struct arena_chunk *chunk;

	if (wanted > a->limit_bytes - a->held_bytes)
		wanted = bytes;
	if (wanted > a->limit_bytes - a->held_bytes)
		return NULL;
	chunk = malloc(sizeof(*chunk) + wanted);
	if (chunk == NULL)
		return NULL;
	chunk->bytes = wanted;
	chunk->next = a->current == NULL ? NULL : a->current->next;
	if (a->current == NULL)
		a->first = chunk;
	else
		a->current->next = chunk;
	a->held_bytes += wanted;
	return chunk;
}

/* Chunks of earlier batches first; one that is too small is passed over until the next reset. */
void *arena_take_slow(struct arena *a, size_t bytes)
{
	struct arena_chunk *chunk = a->current == NULL ? a->first : a->current->next;
	size_t wanted = bytes == 0 ? ARENA_ALIGN : rounded(bytes);

	if (wanted < bytes) {
		a->refused++;
		return NULL;
	}
	while (chunk != NULL && chunk->bytes < wanted)
		chunk = chunk->next;
	if (chunk == NULL)
		chunk = add_chunk(a, wanted);
	if (chunk == NULL) {
		a->refused++;
		return NULL;
	}
	go_to(a, chunk);
	a->at += wanted;
	return chunk->octets;
}

void *arena_copy(struct arena *a, const void *octets, size_t bytes)
{
	void *copy = arena_take(a, bytes);

	if (copy != NULL && bytes > 0)
		memcpy(copy, octets, bytes);
	return copy;
}

char *arena_text(struct arena *a, const char *text, size_t bytes)
{
	char *copy = bytes == SIZE_MAX ? NULL : arena_take(a, bytes + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	return copy;
}
