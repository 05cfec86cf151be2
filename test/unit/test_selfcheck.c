/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the self-check looks at the same flows, and finds them the same, whether or not somebody has them encoded: nobody
 * gathers raw then, so that a flow that is looked at is decoded once more.
 * Method: every capture of the corpora through a whole pipeline that checks each record, with encoding and without.
 */
#include "test/unit/road.h"

static uint64_t checked;

static uint64_t receive(const char *path, const struct capture *c, bool encodes)
{
	struct road *r = calloc(1, sizeof(*r));
	uint64_t checks;

	must(r != NULL);
	road_open(r, "time", 1);
	r->generation.encodes = encodes;
	for (size_t i = 0; i < c->count; i++)
		pipeline_receive(r->pipeline, c->units[i].octets, c->units[i].bytes, &c->units[i].origin);
	checks = road_sum(r->stat, "selfchecks");
	if (road_sum(r->stat, "selfcheck_differences") != 0)
		fail_msg("%s: %s encoding the self-check differs", path, encodes ? "with" : "without");
	road_close(r);
	free(r);
	return checks;
}

static void check_capture(const char *path)
{
	struct capture *c = capture_read(path);
	uint64_t checks = receive(path, c, true);

	if (receive(path, c, false) != checks)
		fail_msg("%s: not as many self-checks without encoding as with", path);
	checked += checks;
	capture_free(c);
}

static void test_captures(void **state)
{
	(void)state;
	assert_true(captures_each(check_capture) > 0);
	assert_true(checked > 1000);
	print_message("%llu records checked twice\n", (unsigned long long)checked);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_captures) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
