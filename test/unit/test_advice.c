/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever is lost, `sluicectl status` says what to do about it; and nothing of what an earlier life lost.
 * Method: each counter grows alone; a list of those reasons that nobody can do anything about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/advice.h"

#define SAID_MAX 16

struct said {
	const char *texts[SAID_MAX];
	size_t count;
};

static void say(void *ctx, const char *text)
{
	struct said *s = ctx;

	assert_true(s->count < SAID_MAX);
	s->texts[s->count++] = text;
}

static struct said ask(const struct balance_sums *now, const struct balance_sums *before)
{
	struct said s = { .count = 0 };

	advice_each(now, before, say, &s);
	return s;
}

static void check_one(uint64_t *row, const char *text, const struct balance_sums *now, const struct balance_sums *before)
{
	struct said s = ask(now, before);

	assert_int_equal(s.count, 0);
	++*row;
	s = ask(now, before);
	--*row;
	assert_int_equal(s.count, text != NULL);
	if (text != NULL)
		assert_string_equal(s.texts[0], text);
}

/* Against an opening that is not 0, too. */
static void test_each_alone(void **state)
{
	struct balance_sums before;

	(void)state;
	for (uint64_t opening = 0; opening < 8; opening += 7) {
		struct balance_sums now;

		for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++)
			before.collector[i] = opening;
		for (size_t i = 0; i < PIPE_STAT_COUNT; i++)
			before.pipe[i] = opening;
		now = before;
		for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++)
			check_one(&now.collector[i], advice_of_collector((enum collector_stat)i), &now, &before);
		for (size_t i = 0; i < PIPE_STAT_COUNT; i++)
			check_one(&now.pipe[i], advice_of_pipe((enum pipeline_stat)i), &now, &before);
	}
}

static bool is_in(size_t row, const size_t *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i] == row)
			return true;
	}
	return false;
}

/* Each row with a reason is a loss. */
static void test_every_loss(void **state)
{
	static const size_t collector[] = { STAT_HELD_BEFORE,				  /* lost by nobody */
					    STAT_CLOSED_PEER, STAT_CLOSED_IDLE, STAT_CLOSED_LISTENER, STAT_CLOSED_SHUTDOWN,
					    STAT_REFUSED_SHUTDOWN }; /* as it was asked for */
	static const size_t pipe[] = { PIPE_STAT_SHUTDOWN, PIPE_STAT_REPORTS_OVER }; /* always 0; shown less of */

	(void)state;
	for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++) {
		const struct stat_desc *d = &collector_stat_descs[i];
		bool is_loss = d->reason[0] != '\0' && !is_in(i, collector, sizeof(collector) / sizeof(collector[0]));

		if (is_loss && advice_of_collector((enum collector_stat)i) == NULL)
			fail_msg("%s %s: no advice", d->name, d->reason);
	}
	for (size_t i = 0; i < PIPE_STAT_COUNT; i++) {
		const struct stat_desc *d = &pipeline_stat_descs[i];
		bool is_loss = d->reason[0] != '\0' && !is_in(i, pipe, sizeof(pipe) / sizeof(pipe[0]));

		if (is_loss && advice_of_pipe((enum pipeline_stat)i) == NULL)
			fail_msg("%s %s: no advice", d->name, d->reason);
	}
}

static void test_once_and_late(void **state)
{
	struct balance_sums before = { { 0 }, { 0 } };
	struct balance_sums now = { { 0 }, { 0 } };
	struct said s;

	(void)state;
	now.collector[STAT_MSG_SHORT] = 1;
	now.collector[STAT_MSG_AGENT] = 1;
	now.collector[STAT_TMPL_NOMEM] = 1;
	now.pipe[PIPE_STAT_JOINS_NOMEM] = 1;
	s = ask(&now, &before);
	assert_int_equal(s.count, 2);
	memset(&now, 0, sizeof(now));
	now.collector[STAT_SEQUENCE_MISSED] = 5;
	now.collector[STAT_SEQUENCE_LATE] = 5;
	assert_int_equal(ask(&now, &before).count, 0);
	now.collector[STAT_SEQUENCE_LATE] = 4;
	assert_int_equal(ask(&now, &before).count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_alone), cmocka_unit_test(test_every_loss),
					    cmocka_unit_test(test_once_and_late) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
