/* SPDX-License-Identifier: Apache-2.0 */
#include "test/fuzz/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/must.h"

#define TURNS 4 /* with a failure, of an input that has them */

/* The linker's names (--wrap): __wrap_x is called for x, __real_x is x. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *at, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *at, size_t bytes);
char *__wrap_strdup(const char *text);

static _Thread_local struct {
	bool is_on;
	bool is_paused;
	bool is_lasting; /* those behind it fail too */
	uint64_t count;
	uint64_t fail_at; /* 0: none */
	uint64_t failures;
} state;

static bool fails(void)
{
	if (!state.is_on || state.is_paused)
		return false;
	state.count++;
	if (state.fail_at == 0 || state.count < state.fail_at ||
	    (state.count > state.fail_at && !state.is_lasting))
		return false;
	state.failures++;
	return true;
}

void *__wrap_malloc(size_t bytes)
{
	return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *at, size_t bytes)
{
	return fails() ? NULL : __real_realloc(at, bytes);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

uint64_t alloc_failures(void)
{
	return state.failures;
}

void alloc_pause(void)
{
	state.is_paused = true;
}

void alloc_resume(void)
{
	state.is_paused = false;
}

void alloc_turns(void (*once)(const uint8_t *octets, size_t bytes), const uint8_t *octets,
		 size_t bytes)
{
	uint64_t hash = XXH3_64bits(octets, bytes);
	uint64_t count;

	memset(&state, 0, sizeof(state));
	state.is_on = true;
	once(octets, bytes);
	count = state.count;
	for (uint64_t i = 0; hash % 8 == 0 && count > 0 && i < TURNS; i++) {
		state.fail_at = 1 + (hash >> (4 + 8 * i)) % count;
		state.is_lasting = (hash >> 3 & 1) != 0;
		state.count = 0;
		state.failures = 0;
		once(octets, bytes);
		/* What is allocated does not depend on anything but the input. */
		must(state.failures > 0);
	}
	state.is_on = false;
}
