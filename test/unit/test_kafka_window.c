/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the low-water mark never passes a record that is not delivered, and comes to the end when all
 * are; a rewind forgets nothing that was delivered.
 * Method: cases by hand at the edges of words and of the ring, then long random runs against a plain
 * array of what was delivered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sink/kafka_window.h"

static uint64_t seed = 42;

static uint64_t counts[KAFKA_FATES];

static uint64_t advance(struct kafka_window *w)
{
	return kafka_window_advance(w, counts);
}

static enum kafka_fate fate_of(uint64_t lsn)
{
	return (enum kafka_fate)(lsn % KAFKA_FATES);
}

static uint64_t random_below(uint64_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

static void in_order(void **state)
{
	struct kafka_window w;

	(void)state;
	assert_int_equal(kafka_window_init(&w, 100, 1000), ERR_OK);
	assert_int_equal(w.size, 128);
	for (uint64_t lsn = 1000; lsn < 2000; lsn++) {
		assert_int_equal(kafka_window_room(&w), 128);
		kafka_window_take(&w, lsn + 1);
		assert_int_equal(kafka_window_room(&w), 127);
		assert_int_equal(advance(&w), lsn);
		assert_false(kafka_window_is_done(&w, lsn));
		assert_true(kafka_window_done(&w, lsn, KAFKA_DELIVERED));
		assert_true(kafka_window_is_done(&w, lsn));
		assert_false(kafka_window_done(&w, lsn, KAFKA_DELIVERED));
		assert_int_equal(advance(&w), lsn + 1);
		assert_false(kafka_window_done(&w, lsn, KAFKA_DELIVERED));
	}
	kafka_window_fini(&w);
}

static void backwards(void **state)
{
	struct kafka_window w;

	(void)state;
	for (uint64_t first = 0; first < 130; first++) {
		assert_int_equal(kafka_window_init(&w, 256, first), ERR_OK);
		for (int turn = 0; turn < 3; turn++) {
			uint64_t low = w.low;

			kafka_window_take(&w, low + 256);
			assert_int_equal(kafka_window_room(&w), 0);
			for (uint64_t i = 256; i > 1; i--) {
				assert_true(kafka_window_done(&w, low + i - 1, KAFKA_DELIVERED));
				assert_int_equal(advance(&w), low);
			}
			assert_true(kafka_window_done(&w, low, KAFKA_DELIVERED));
			assert_int_equal(advance(&w), low + 256);
			assert_int_equal(kafka_window_room(&w), 256);
		}
		kafka_window_fini(&w);
	}
}

static void holes(void **state)
{
	struct kafka_window w;

	(void)state;
	assert_int_equal(kafka_window_init(&w, 64, 0), ERR_OK);
	/* Nothing under way: any hole. */
	assert_true(kafka_window_skip(&w, 1000000));
	assert_int_equal(w.low, 1000000);
	kafka_window_take(&w, 1000010);
	/* Under way: as far as there is room. */
	assert_false(kafka_window_skip(&w, 1000065));
	assert_int_equal(w.high, 1000010);
	assert_true(kafka_window_skip(&w, 1000064));
	assert_int_equal(w.low, 1000000);
	assert_int_equal(kafka_window_room(&w), 0);
	for (uint64_t lsn = 1000000; lsn < 1000010; lsn++)
		assert_true(kafka_window_done(&w, lsn, KAFKA_DELIVERED));
	memset(counts, 0, sizeof(counts));
	assert_int_equal(advance(&w), 1000064);
	/* What is no record is counted nowhere. */
	assert_int_equal(counts[KAFKA_DELIVERED], 10);
	assert_int_equal(counts[KAFKA_REFUSED] + counts[KAFKA_NOT_ROUTED], 0);
	/* The whole ring as one hole. */
	assert_true(kafka_window_skip(&w, 1000064 + 64));
	assert_int_equal(w.low, 1000128);
	assert_int_equal(kafka_window_room(&w), 64);
	kafka_window_fini(&w);
}

static void rewound(void **state)
{
	struct kafka_window w;

	(void)state;
	assert_int_equal(kafka_window_init(&w, 128, 10), ERR_OK);
	kafka_window_take(&w, 110);
	assert_true(kafka_window_done(&w, 10, KAFKA_DELIVERED));
	assert_true(kafka_window_done(&w, 50, KAFKA_DELIVERED));
	assert_true(kafka_window_done(&w, 109, KAFKA_DELIVERED));
	assert_int_equal(advance(&w), 11);
	kafka_window_rewind(&w);
	assert_int_equal(w.high, 11);
	assert_true(kafka_window_is_done(&w, 50));
	assert_true(kafka_window_is_done(&w, 109));
	assert_false(kafka_window_is_done(&w, 49));
	assert_false(kafka_window_is_done(&w, 110));
	assert_false(kafka_window_is_done(&w, 50 + 128)); /* the same bit, another record */
	kafka_window_take(&w, 60);
	for (uint64_t lsn = 11; lsn < 60; lsn++)
		assert_int_equal(kafka_window_done(&w, lsn, KAFKA_DELIVERED), lsn != 50);
	assert_int_equal(advance(&w), 60);
	kafka_window_take(&w, 112);
	for (uint64_t lsn = 60; lsn < 112; lsn++)
		assert_int_equal(kafka_window_done(&w, lsn, KAFKA_DELIVERED), lsn != 109);
	assert_int_equal(advance(&w), 112);
	/* A hole over what was delivered before a rewind leaves nothing behind. */
	kafka_window_take(&w, 200);
	assert_true(kafka_window_done(&w, 150, KAFKA_DELIVERED));
	kafka_window_rewind(&w);
	assert_true(kafka_window_skip(&w, 1000));
	kafka_window_take(&w, 1128);
	for (uint64_t lsn = 1000; lsn < 1128; lsn++)
		assert_false(kafka_window_is_done(&w, lsn));
	kafka_window_fini(&w);
}

#define RUN 40000

/* Everything against an array. */
static void random_run(void **state)
{
	static uint8_t delivered[RUN];
	struct kafka_window w;

	(void)state;
	for (int round = 0; round < 20; round++) {
		uint64_t low = 0;
		uint64_t want_counts[KAFKA_FATES] = { 0 };

		memset(delivered, 0, sizeof(delivered));
		assert_int_equal(kafka_window_init(&w, 64ull << random_below(6), 0), ERR_OK);
		memset(counts, 0, sizeof(counts));
		while (low < RUN) {
			uint64_t room = kafka_window_room(&w);
			uint64_t want = random_below(200);
			uint64_t end = w.high + (want < room ? want : room);

			kafka_window_take(&w, end < RUN ? end : RUN);
			for (uint64_t tries = random_below(400); tries > 0; tries--) {
				uint64_t lsn = w.low + random_below(w.high - w.low + 1);

				if (lsn >= w.high)
					continue;
				assert_int_equal(kafka_window_is_done(&w, lsn), delivered[lsn]);
				assert_int_equal(kafka_window_done(&w, lsn, fate_of(lsn)),
						 !delivered[lsn]);
				delivered[lsn] = 1;
			}
			/* The end of the run has to come. */
			if (w.low < w.high && random_below(4) == 0) {
				(void)kafka_window_done(&w, w.low, fate_of(w.low));
				delivered[w.low] = 1;
			}
			for (; low < w.high && delivered[low]; low++)
				want_counts[fate_of(low)]++;
			assert_int_equal(advance(&w), low);
			assert_memory_equal(counts, want_counts, sizeof(counts));
			if (random_below(50) == 0)
				kafka_window_rewind(&w);
		}
		kafka_window_fini(&w);
	}
}

static void too_large(void **state)
{
	struct kafka_window w;

	(void)state;
	assert_int_equal(kafka_window_init(&w, 1ull << 40, 0), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),   cmocka_unit_test(backwards), cmocka_unit_test(holes),
		cmocka_unit_test(rewound),    cmocka_unit_test(random_run), cmocka_unit_test(too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
