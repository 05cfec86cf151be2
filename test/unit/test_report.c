/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: of what exporters say of themselves the latest is kept, by process, and what is added counts once.
 * Method: a table of records of one options template in a row, each with what must be added by it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/wr.h"
#include "normalizer/report.h"

#define STEPS 6
#define NOON_MS INT64_C(1700000000000)

/* Scope: domain and process; then two totals and the keys of a template. */
static const struct tmpl_field fields[] = {
	{ PEN_IANA, 149, 4, true },  { PEN_IANA, 144, 4, true },   { PEN_IANA, 42, 4, false },
	{ PEN_IANA, 166, 8, false }, { PEN_IANA, 166, 8, false }, { PEN_IANA, 1, 4, false },
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static struct tmpl *make(const struct tmpl_field *of, uint16_t count)
{
	struct tmpl *t;

	must(tmpl_new(count, &t) == ERR_OK);
	t->is_options = true;
	for (uint16_t i = 0; i < count; i++)
		t->fields[i] = of[i];
	return t;
}

static struct report_taken take(struct report **r, const struct tmpl *t, uint32_t process, uint64_t flows,
				uint64_t not_sent, int64_t at_ms, bool has_room)
{
	uint8_t octets[36];
	struct wr w = wr_of(octets, sizeof(octets));
	struct report_taken taken;
	struct value values[FIELDS];
	size_t at = 0;

	wr_u32(&w, 7);
	wr_u32(&w, process);
	wr_u32(&w, (uint32_t)flows);
	wr_u64(&w, not_sent);
	wr_u64(&w, 99); /* said twice: the first counts */
	wr_u32(&w, 5);
	must(!w.is_full);
	for (uint16_t i = 0; i < t->field_count; i++) {
		values[i] = (struct value){ octets + at, t->fields[i].bytes };
		at += t->fields[i].bytes;
	}
	report_take(r, t, values, at_ms, has_room, &taken);
	return taken;
}

static void test_totals(void **state)
{
	static const struct {
		const char *name;
		struct {
			uint32_t process;
			uint64_t flows, not_sent;
			int64_t after_ms; /* the first */
			uint64_t flows_added, not_sent_added;
		} steps[STEPS];
		uint64_t flows, not_sent; /* added, of the first process */
	} cases[] = {
		{ "the first adds nothing", { { 1, 1000, 50, 0, 0, 0 } }, 0, 0 },
		{ "more and the same", { { 1, 1000, 50, 0, 0, 0 }, { 1, 1010, 50, 1000, 10, 0 }, { 1, 1010, 57, 2000, 0, 7 } }, 10, 7 },
		{ "began anew", { { 1, 1000, 50, 0, 0, 0 }, { 1, 20, 3, 1000, 20, 3 }, { 1, 25, 3, 2000, 5, 0 } }, 25, 3 },
		{ "went round at 32 bits", { { 1, 0xfffffff0u, 50, 0, 0, 0 }, { 1, 16, 50, 1000, 32, 0 } }, 32, 0 },
		{ "64 bits do not go round", { { 1, 0, 0xffffffffu, 0, 0, 0 }, { 1, 0, 16, 1000, 0, 16 } }, 0, 16 },
		{ "came late", { { 1, 1000, 50, 0, 0, 0 }, { 1, 1010, 60, 2000, 10, 10 }, { 1, 1005, 55, 1000, 0, 0 },
				 { 1, 1011, 60, 3000, 1, 0 } }, 11, 10 },
		{ "clock put back", { { 1, 1000, 50, 0, 0, 0 }, { 1, 1010, 60, -90000, 10, 10 } }, 10, 10 },
		{ "two processes", { { 1, 1000, 50, 0, 0, 0 }, { 2, 5, 1, 0, 0, 0 }, { 1, 1001, 50, 1, 1, 0 }, { 2, 9, 2, 1, 4, 1 } }, 1, 0 },
	};
	struct tmpl *t = make(fields, FIELDS);

	(void)state;
	assert_true(report_is_of(t));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct report *r = NULL;

		for (size_t k = 0; k < STEPS && cases[i].steps[k].process != 0; k++) {
			struct report_taken taken = take(&r, t, cases[i].steps[k].process, cases[i].steps[k].flows,
							 cases[i].steps[k].not_sent, NOON_MS + cases[i].steps[k].after_ms, true);

			if (taken.added[REPORT_EXPORTED_FLOWS] != cases[i].steps[k].flows_added ||
			    taken.added[REPORT_NOT_SENT_FLOWS] != cases[i].steps[k].not_sent_added)
				fail_msg("%s: step %zu", cases[i].name, k);
			assert_int_equal(taken.added[REPORT_IGNORED_PACKETS], 0);
		}
		assert_string_equal(r->processes[0].name, "exporting 1");
		if (r->processes[0].totals[REPORT_EXPORTED_FLOWS].added != cases[i].flows ||
		    r->processes[0].totals[REPORT_NOT_SENT_FLOWS].added != cases[i].not_sent)
			fail_msg("%s", cases[i].name);
		assert_false(r->processes[0].totals[REPORT_IGNORED_PACKETS].is_said);
		free(r);
	}
	tmpl_free(t);
}

/* Eight processes of a session; no more, and none that is new when the worker has no room. */
static void test_limits(void **state)
{
	struct tmpl *t = make(fields, FIELDS);
	struct report *r = NULL;

	(void)state;
	assert_true(take(&r, t, 1, 1, 1, NOON_MS, false).is_over);
	assert_null(r);
	for (uint32_t process = 1; process <= 20; process++) {
		struct report_taken taken = take(&r, t, process, process, 1, NOON_MS, true);

		assert_int_equal(taken.is_new, process <= REPORT_PROCESSES_MAX);
		assert_int_equal(taken.is_over, process > REPORT_PROCESSES_MAX);
	}
	assert_int_equal(r->count, REPORT_PROCESSES_MAX);
	assert_int_equal(take(&r, t, 8, 10, 1, NOON_MS, false).added[REPORT_EXPORTED_FLOWS], 2);
	free(r);
	tmpl_free(t);
}

static void test_keys(void **state)
{
	static const struct tmpl_field keys[] = { { PEN_IANA, 145, 2, true }, { PEN_IANA, 173, 8, false } };
	static const struct tmpl_field others[] = { { PEN_IANA, 149, 4, true }, { 29305, 42, 8, false } };
	static const uint8_t octets[] = { 1, 44, 0, 0, 0, 0, 0, 0, 0, 7 };
	const struct value values[] = { { octets, 2 }, { octets + 2, 8 } };
	struct tmpl *t = make(keys, 2);
	struct tmpl *none = make(others, 2);
	struct report_taken taken;
	struct report *r = NULL;

	(void)state;
	assert_true(report_is_of(t));
	assert_false(report_is_of(none)); /* element 42 of another enterprise */
	report_take(&r, t, values, NOON_MS, true, &taken);
	assert_true(taken.has_keys && !taken.is_new && !taken.is_over);
	assert_int_equal(taken.keys_of, 300);
	assert_int_equal(taken.keys, 7);
	assert_null(r);
	tmpl_free(t);
	tmpl_free(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
