/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the table holds exactly what was put and not deleted, through growing and closing gaps,
 * and a walk that deletes misses nobody.
 * Method: a hundred thousand random puts, deletes and finds compared with a plain array; walks
 * that delete by several rules; keys of several lengths that differ in their first or last octet
 * only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/htab.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NAMES_MAX 3000
#define STEPS 100000

/* Values are not looked into: any address that is not NULL will do. */
static char places[NAMES_MAX + 1];

static void random_steps_match_an_array(void **state)
{
	static void *model[NAMES_MAX];
	struct htab *h;
	size_t count = 0;

	(void)state;
	assert_int_equal(htab_new(sizeof(uint32_t), &h), ERR_OK);
	srand(7);
	for (int step = 0; step < STEPS; step++) {
		/* Fill, then empty, then mixed: growing, and full of closed gaps. */
		int put_percent = step < STEPS / 3 ? 80 : step < STEPS / 3 * 2 ? 20 : 50;
		uint32_t key = (uint32_t)rand() % NAMES_MAX;
		void *value = &places[(size_t)rand() % NAMES_MAX];

		if (rand() % 100 < put_percent) {
			count += model[key] == NULL;
			model[key] = value;
			assert_int_equal(htab_put(h, &key, value), ERR_OK);
		} else {
			assert_ptr_equal(htab_del(h, &key), model[key]);
			count -= model[key] != NULL;
			model[key] = NULL;
		}
		assert_int_equal(htab_count(h), count);
		key = (uint32_t)rand() % NAMES_MAX;
		assert_ptr_equal(htab_find(h, &key), model[key]);
	}
	for (uint32_t key = 0; key < NAMES_MAX; key++)
		assert_ptr_equal(htab_find(h, &key), model[key]);
	htab_free(h);
}

static void fill(struct htab *h)
{
	for (uint32_t key = 0; key < NAMES_MAX; key++)
		assert_int_equal(htab_put(h, &key, &places[key]), ERR_OK);
}

static void walk_sees_each_once(void **state)
{
	static unsigned seen[NAMES_MAX];
	struct htab_iter it = { 0 };
	const void *key;
	void *value;
	struct htab *h;

	(void)state;
	assert_int_equal(htab_new(sizeof(uint32_t), &h), ERR_OK);
	assert_false(htab_next(h, &it, NULL, NULL));
	fill(h);
	it = (struct htab_iter){ 0 };
	while (htab_next(h, &it, &key, &value)) {
		uint32_t k;

		memcpy(&k, key, sizeof(k));
		assert_true(k < NAMES_MAX);
		assert_ptr_equal(value, &places[k]);
		seen[k]++;
	}
	for (size_t i = 0; i < NAMES_MAX; i++)
		assert_int_equal(seen[i], 1);
	htab_free(h);
}

/* Deletes the keys that `divisor` divides; 1 is all of them. */
static void delete_while_walking(uint32_t divisor)
{
	struct htab_iter it = { 0 };
	const void *key;
	struct htab *h;
	void *value;

	assert_int_equal(htab_new(sizeof(uint32_t), &h), ERR_OK);
	fill(h);
	while (htab_next(h, &it, &key, &value)) {
		uint32_t k;

		memcpy(&k, key, sizeof(k));
		if (k % divisor == 0)
			htab_iter_del(h, &it);
	}
	assert_int_equal(htab_count(h), NAMES_MAX - (NAMES_MAX + divisor - 1) / divisor);
	for (uint32_t k = 0; k < NAMES_MAX; k++)
		assert_ptr_equal(htab_find(h, &k), k % divisor == 0 ? NULL : &places[k]);
	htab_free(h);
}

static void walks_that_delete(void **state)
{
	static const uint32_t divisors[] = { 1, 2, 3, 10, NAMES_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT(divisors); i++) {
		/* Each table has another seed: other gaps, other wraps at the end. */
		for (int round = 0; round < 20; round++)
			delete_while_walking(divisors[i]);
	}
}

static void keys_of_any_length(void **state)
{
	static const size_t lengths[] = { 1, 3, 8, 17, 24, 40, 250 };

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		uint8_t first[256] = { 0 };
		uint8_t last[256] = { 0 };
		uint8_t none[256] = { 0 };
		struct htab *h;

		first[0] = 1;
		last[lengths[i] - 1] = 2;
		none[lengths[i]] = 9; /* behind the key: not part of it */
		assert_int_equal(htab_new(lengths[i], &h), ERR_OK);
		assert_int_equal(htab_put(h, first, &places[1]), ERR_OK);
		assert_int_equal(htab_put(h, last, &places[2]), ERR_OK);
		assert_null(htab_find(h, none));
		assert_int_equal(htab_put(h, none, &places[3]), ERR_OK);
		none[lengths[i]] = 8;
		assert_ptr_equal(htab_find(h, none), &places[3]);
		assert_ptr_equal(htab_find(h, first), &places[1]);
		assert_ptr_equal(htab_del(h, last), &places[2]);
		assert_null(htab_del(h, last));
		assert_int_equal(htab_put(h, first, &places[4]), ERR_OK);
		assert_ptr_equal(htab_find(h, first), &places[4]);
		assert_int_equal(htab_count(h), 2);
		htab_free(h);
	}
	htab_free(NULL);
}

/* The order of a walk follows the hash, which differs from table to table by its seed. */
static void hash_is_seeded(void **state)
{
	unsigned differing = 0;

	(void)state;
	for (int round = 0; round < 8; round++) {
		const void *key[2] = { NULL, NULL };
		struct htab *h[2];

		for (size_t i = 0; i < 2; i++) {
			struct htab_iter it = { 0 };

			assert_int_equal(htab_new(sizeof(uint32_t), &h[i]), ERR_OK);
			fill(h[i]);
			assert_true(htab_next(h[i], &it, &key[i], NULL));
		}
		differing += memcmp(key[0], key[1], sizeof(uint32_t)) != 0;
		htab_free(h[0]);
		htab_free(h[1]);
	}
	assert_true(differing > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_steps_match_an_array),
		cmocka_unit_test(walk_sees_each_once),
		cmocka_unit_test(walks_that_delete),
		cmocka_unit_test(keys_of_any_length),
		cmocka_unit_test(hash_is_seeded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
