/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory that lives as long as a batch.
 *
 *	arena_init(&a, chunk_bytes, limit_bytes);
 *	p = arena_take(&a, n);		NULL when the limit is reached; counted in a.refused
 *	arena_reset(&a);		everything is given back at once; chunks are kept
 *	arena_fini(&a);
 *
 *	first -> chunk | used used used ...... | -> chunk | ... | -> NULL
 *	                                ^ at   ^ end
 *
 * After warm-up no malloc: chunks are kept from batch to batch.  Pointers are aligned to 16 octets.
 *
 * Owner: one thread.  Lifetime of what it gives: until the next reset.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_ALIGN 16

struct arena_chunk;

struct arena {
	uint8_t *at; /* next free octet of the current chunk */
	uint8_t *end;
	struct arena_chunk *current;
	struct arena_chunk *first;
	size_t chunk_bytes;
	size_t limit_bytes; /* of all chunks together */
	size_t held_bytes;  /* in all chunks */
	uint64_t refused;   /* takes that the limit or the system refused, ever */
};

/* Takes no memory yet. */
void arena_init(struct arena *a, size_t chunk_bytes, size_t limit_bytes);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);

/* Through a new chunk; arena_take() calls it. */
void *arena_take_slow(struct arena *a, size_t bytes);

/* Not cleared.  Zero octets give a valid pointer. */
static inline void *arena_take(struct arena *a, size_t bytes)
{
	size_t left = (size_t)(a->end - a->at);
	uint8_t *p = a->at;

	if (__builtin_expect(bytes > left, 0) || p == NULL)
		return arena_take_slow(a, bytes);
	bytes = (bytes + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1);
	a->at += bytes;
	return p;
}

/* A copy of `bytes` octets; NULL as arena_take(). */
void *arena_copy(struct arena *a, const void *octets, size_t bytes);
/* A copy with a NUL behind it. */
char *arena_text(struct arena *a, const char *text, size_t bytes);

#endif
