/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: counters written as text read back as they were, over versions with other rows, and a text that is
 * not whole or not of the form changes nothing.
 * Method: tables of rows as two versions would have them, each cut of a written text, and a table of broken
 * lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/stat_text.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct stat_desc rows[] = {
	{ "messages", "", "messages", "All." },
	{ "lost", "full", "messages", "No room." },
	{ "lost", "late", "messages", "Too late." },
	{ "waiting", "", "messages", "Now.", true },
	{ "longest_name_of_all_of_them", "", "octets", "Large." },
};

/* What a later version makes of it: one row is gone, one is a level now, one is new. */
static const struct stat_desc later[] = {
	{ "new", "", "messages", "New." },
	{ "lost", "late", "messages", "Too late." },
	{ "messages", "", "messages", "Now.", true },
	{ "lost", "full", "messages", "No room." },
};

static size_t written(uint64_t *values, char *out, size_t room)
{
	struct stat_table table = { rows, values, COUNT(rows) };
	struct wr w = wr_of(out, room);

	stat_text_write(&table, &w);
	assert_false(w.is_full);
	return wr_used(&w);
}

static void as_written(void **state)
{
	uint64_t values[] = { 7, 0, 12, 99, STAT_TEXT_VALUE_MAX };
	uint64_t again[COUNT(rows)] = { 1, 1, 1, 1, 1 };
	struct stat_table table = { rows, again, COUNT(rows) };
	struct stat_text_counts counts;
	char text[512];
	size_t bytes = written(values, text, sizeof(text));
	static const char expected[] = "messages - 7\nlost full 0\nlost late 12\n"
				       "longest_name_of_all_of_them - 9223372036854775807\n";

	(void)state;
	assert_int_equal(bytes, sizeof(expected) - 1);
	assert_memory_equal(text, expected, bytes);
	assert_int_equal(stat_text_read(text, bytes, &table, 1, &counts, NULL), ERR_OK);
	assert_int_equal(counts.taken, 4);
	assert_int_equal(counts.unknown, 0);
	values[3] = 0; /* a level is not carried */
	assert_memory_equal(again, values, sizeof(values));
}

static void no_room(void **state)
{
	uint64_t values[] = { 7, 0, 12, 99, 1 };
	struct stat_table table = { rows, values, COUNT(rows) };
	char text[512];
	size_t bytes = written(values, text, sizeof(text));

	(void)state;
	for (size_t room = 0; room < bytes; room++) {
		struct wr w = wr_of(text, room);

		stat_text_write(&table, &w);
		assert_true(w.is_full);
	}
}

static void other_rows(void **state)
{
	uint64_t values[] = { 7, 5, 12, 0, 3 };
	uint64_t again[COUNT(later)] = { 1, 1, 1, 1 };
	uint64_t second[COUNT(rows)] = { 1, 1, 1, 1, 1 };
	struct stat_table tables[] = { { later, again, COUNT(later) },
				       { rows, second, COUNT(rows) } };
	struct stat_text_counts counts;
	char text[512];
	size_t bytes = written(values, text, sizeof(text));

	(void)state;
	assert_int_equal(stat_text_read(text, bytes, tables, 1, &counts, NULL), ERR_OK);
	assert_int_equal(counts.taken, 2);
	assert_int_equal(counts.unknown, 2);
	assert_int_equal(again[0], 0);
	assert_int_equal(again[1], 12);
	assert_int_equal(again[2], 0);
	assert_int_equal(again[3], 5);
	/* Two tables share a text: the first that knows a row has it. */
	assert_int_equal(stat_text_read(text, bytes, tables, 2, &counts, NULL), ERR_OK);
	assert_int_equal(counts.taken, 4);
	assert_int_equal(second[0], 7);
	assert_int_equal(second[1], 0);
	assert_int_equal(second[4], 3);
	/* No line: all are 0. */
	assert_int_equal(stat_text_read("", 0, tables, 2, NULL, NULL), ERR_OK);
	assert_int_equal(again[1] + again[3] + second[0] + second[4], 0);
}

static const char *const broken[] = {
	"messages - 7",
	"messages - \n",
	"messages -\n",
	"messages\n",
	"\n",
	" - 7\n",
	"messages  7\n",
	"messages - 7 \n",
	"messages - -7\n",
	"messages - +7\n",
	"messages - 7\r\n",
	"messages - 0x7\n",
	"messages -- 7\n",
	"Messages - 7\n",
	"mess\xc3\xa4ges - 7\n",
	"messages - 9223372036854775808\n",
	"messages - 18446744073709551616\n",
	"messages - 99999999999999999999999999\n",
	"lost full late 7\n",
	"a2345678901234567890123456789012345678901234567890123456789012345 - 7\n",
};

static void nothing_else(void **state)
{
	uint64_t values[COUNT(rows)] = { 4, 4, 4, 4, 4 };
	struct stat_table table = { rows, values, COUNT(rows) };
	char text[256];

	(void)state;
	for (size_t i = 0; i < COUNT(broken); i++) {
		struct why why = { "" };
		int n = snprintf(text, sizeof(text), "lost late 1\n%s", broken[i]);

		if (stat_text_read(text, (size_t)n, &table, 1, NULL, &why) != ERR_FORMAT)
			fail_msg("taken: %s", broken[i]);
		assert_non_null(strstr(why.text, "line 2 "));
		for (size_t k = 0; k < COUNT(rows); k++)
			assert_int_equal(values[k], 4);
	}
	/* A NUL is an octet like others. */
	assert_int_equal(stat_text_read("lost late\0 1\n", 13, &table, 1, NULL, NULL), ERR_FORMAT);
}

static void cuts(void **state)
{
	uint64_t values[] = { 7, 5, 12, 0, 3 };
	uint64_t again[COUNT(rows)];
	struct stat_table table = { rows, again, COUNT(rows) };
	char text[512];
	size_t bytes = written(values, text, sizeof(text));

	(void)state;
	for (size_t cut = 0; cut < bytes; cut++) {
		bool is_whole = cut == 0 || text[cut - 1] == '\n';

		assert_int_equal(stat_text_read(text, cut, &table, 1, NULL, NULL),
				 is_whole ? ERR_OK : ERR_FORMAT);
	}
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		bool is_number;
		uint64_t value;
		size_t taken;
	} cases[] = {
		{ "0", true, 0, 1 },
		{ "  17 4", true, 17, 4 },
		{ "18446744073709551615", true, UINT64_MAX, 20 },
		{ "18446744073709551616", false, 0, 0 },
		{ "99999999999999999999", false, 0, 0 },
		{ "-1", false, 0, 0 },
		{ "+1", false, 0, 0 },
		{ "", false, 0, 0 },
		{ " x", false, 0, 0 },
		{ "7x", true, 7, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *at = cases[i].text;
		uint64_t v = 0;

		assert_int_equal(text_take_u64(&at, &v), cases[i].is_number);
		assert_true(v == cases[i].value);
		assert_int_equal(at - cases[i].text, cases[i].taken);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(as_written), cmocka_unit_test(no_room),
		cmocka_unit_test(other_rows), cmocka_unit_test(nothing_else),
		cmocka_unit_test(cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
