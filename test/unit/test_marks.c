/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: marks that a killed process left are there for the next one, each worker's apart; after a clean end there are none; and what is
 * no such memory, or of another size, is taken for none, so that every set waits.
 * Method: lives in one process, one after the other, under a name of the test's own.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/keep.h"
#include "daemon/marks.h"

#define WORKERS 2
#define WORDS (KEEP_MARKS / 64)
#define EPOCH 0x1122334455667788ull

static uint64_t words[WORKERS * WORDS];
static char name[64];

static struct marks *open_marks(uint64_t epoch)
{
	struct marks *m;

	words[0] = 0x0a;		 /* numbers 1 and 3 of worker 0 */
	words[WORDS + WORDS - 1] = 1ull << 63; /* the last of worker 1 */
	assert_int_equal(marks_open(name, epoch, WORKERS, words, &m), ERR_OK);
	return m;
}

static void test_killed(void **state)
{
	struct marks *m = open_marks(EPOCH);
	struct marks_left left;

	(void)state;
	marks_words(m, 0)[0] &= ~2ull;
	marks_close(m, false);
	marks_left(name, &left);
	assert_non_null(left.words);
	assert_true(left.epoch == EPOCH);
	assert_int_equal(left.worker_count, WORKERS);
	assert_false(marks_left_waits(&left, 0, 1));
	assert_true(marks_left_waits(&left, 0, 3));
	assert_true(marks_left_waits(&left, 0, KEEP_MARKS + 3));
	assert_false(marks_left_waits(&left, 1, 3));
	assert_true(marks_left_waits(&left, 1, KEEP_MARKS - 1));
	/* A worker that there was not. */
	assert_true(marks_left_waits(&left, WORKERS, 1));
	marks_left_fini(&left);
	/* Another life's take their place. */
	m = open_marks(EPOCH + 1);
	marks_close(m, false);
	marks_left(name, &left);
	assert_true(left.epoch == EPOCH + 1 && marks_left_waits(&left, 0, 1));
	marks_left_fini(&left);
}

static void test_clean(void **state)
{
	struct marks_left left;

	(void)state;
	marks_close(open_marks(EPOCH), true);
	marks_left(name, &left);
	assert_null(left.words);
	assert_true(marks_left_waits(&left, 0, 1));
}

/* Cut, longer, and with another octet in its head. */
static void test_foreign(void **state)
{
	static const struct {
		off_t bytes; /* more than there are */
		off_t at;    /* of the octet that is changed; -1: none */
	} cases[] = { { -1, -1 }, { 1, -1 }, { 0, 0 }, { 0, 7 }, { 0, 16 }, { 0, 18 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct marks_left left;
		uint8_t octet = 0xff;
		off_t bytes;
		int fd;

		marks_close(open_marks(EPOCH), false);
		fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
		assert_true(fd >= 0);
		bytes = lseek(fd, 0, SEEK_END);
		assert_int_equal(ftruncate(fd, bytes + cases[i].bytes), 0);
		if (cases[i].at >= 0)
			assert_int_equal(pwrite(fd, &octet, 1, cases[i].at), 1);
		(void)close(fd);
		marks_left(name, &left);
		assert_null(left.words);
		marks_left_fini(&left);
		assert_int_equal(shm_unlink(name), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_foreign),
	};
	int failed;

	(void)snprintf(name, sizeof(name), "/sluice-test-marks-%ld", (long)getpid());
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)shm_unlink(name);
	return failed;
}
