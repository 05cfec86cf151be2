/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: pieces never overlap and are aligned, the limit holds and is counted, and a batch like
 * the one before it takes no memory from the system.
 * Method: pieces of a table of sizes and of random ones, each filled with its own number and
 * looked at again when all are taken; the same batch many times over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CHUNK_BYTES 256
#define PIECES_MAX 500

struct piece {
	uint8_t *octets;
	size_t bytes;
};

static void take_filled(struct arena *a, struct piece *p, size_t bytes, size_t number)
{
	p->octets = arena_take(a, bytes);
	p->bytes = bytes;
	assert_non_null(p->octets);
	assert_int_equal((uintptr_t)p->octets % ARENA_ALIGN, 0);
	memset(p->octets, (int)(number & 0xff), bytes);
}

static void look_again(const struct piece *pieces, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < pieces[i].bytes; k++) {
			if (pieces[i].octets[k] != (uint8_t)i)
				fail_msg("octet %zu of piece %zu", k, i);
		}
	}
}

static void sizes_around_a_chunk(void **state)
{
	static const size_t sizes[] = { 0,   1,	  15,  16,  17,	 0,   255, 256, 257, 1,
					239, 240, 241, 512, 511, 513, 0,   16,	16,  1000 };
	struct piece pieces[COUNT(sizes)];
	struct arena a;

	(void)state;
	arena_init(&a, CHUNK_BYTES, 1 << 20);
	assert_int_equal(a.held_bytes, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT(sizes); i++)
			take_filled(&a, &pieces[i], sizes[i], i);
		look_again(pieces, COUNT(sizes));
		arena_reset(&a);
	}
	assert_int_equal(a.refused, 0);
	arena_fini(&a);
	assert_int_equal(a.held_bytes, 0);
}

static void random_batches_settle(void **state)
{
	static struct piece pieces[PIECES_MAX];
	struct arena a;
	size_t settled = 0;

	(void)state;
	arena_init(&a, CHUNK_BYTES, 1 << 24);
	for (int round = 0; round < 200; round++) {
		srand(1); /* the same batch each time */
		for (size_t i = 0; i < PIECES_MAX; i++)
			take_filled(&a, &pieces[i], (size_t)rand() % (2 * CHUNK_BYTES), i);
		look_again(pieces, PIECES_MAX);
		arena_reset(&a);
		if (round == 0)
			settled = a.held_bytes;
		assert_int_equal(a.held_bytes, settled);
	}
	arena_fini(&a);
}

static void limit_is_kept_and_counted(void **state)
{
	struct arena a;
	size_t taken = 0;

	(void)state;
	arena_init(&a, CHUNK_BYTES, 4 * CHUNK_BYTES);
	while (arena_take(&a, 64) != NULL)
		taken += 64;
	assert_int_equal(taken, 4 * CHUNK_BYTES);
	assert_int_equal(a.held_bytes, 4 * CHUNK_BYTES);
	assert_int_equal(a.refused, 1);
	assert_null(arena_take(&a, 1));
	assert_int_equal(a.refused, 2);
	arena_reset(&a);
	assert_non_null(arena_take(&a, CHUNK_BYTES));
	assert_null(arena_take(&a, CHUNK_BYTES + 1));
	assert_null(arena_take(&a, SIZE_MAX));
	assert_null(arena_take(&a, SIZE_MAX - ARENA_ALIGN));
	assert_null(arena_text(&a, "", SIZE_MAX));
	assert_int_equal(a.refused, 5);
	arena_fini(&a);
}

static void copies(void **state)
{
	static const char text[] = "abc\0def";
	struct arena a;
	const uint8_t *octets;
	const char *word;

	(void)state;
	arena_init(&a, CHUNK_BYTES, CHUNK_BYTES);
	octets = arena_copy(&a, text, sizeof(text));
	assert_non_null(octets);
	assert_memory_equal(octets, text, sizeof(text));
	word = arena_text(&a, "xyz", 2);
	assert_non_null(word);
	assert_string_equal(word, "xy");
	assert_non_null(arena_copy(&a, NULL, 0));
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_around_a_chunk),
		cmocka_unit_test(random_batches_settle),
		cmocka_unit_test(limit_is_kept_and_counted),
		cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
