/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: people read each answer whole, and nothing in it steers their terminal.
 * Method: answers as the service gives them, and what is printed of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "daemon/ctl_show.h"

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define LONG HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED

static const struct {
	const char *verb, *answer, *shown;
} cases[] = {
	{ "status", "{\"ok\":true,\"uptime_s\":3,\"advice\":[]}", "ok                     yes\nuptime_s               3\n" },
	{ "status", "{\"advice\":[\"one: " LONG "\",\"two: " LONG "\"]}", "\nadvice\n- one: " LONG "\n- two: " LONG "\n" },
	{ "status", "{\"why\":\"" LONG "\"}", "why                    " LONG "\n" },
	{ "status", "{\"advice\":[\"a\\u001b[2Jb\\u009bc\"]}", "\nadvice\n- a?[2Jb??c\n" },
	{ "exporters", "{\"exporters\":[{\"exporter\":\"a\\nb\",\"flows\":12},{\"exporter\":\"long name\",\"flows\":1}]}",
	  "\nexporters\nexporter   flows\na?b        12   \nlong name  1    \n" },
	{ "ledger",
	  "{\"ok\":false,\"since\":\"now\",\"lines\":[{\"name\":\"flows\",\"left\":{\"flows\":5},\"right\":{\"appended\":3,\"lost\":0,\"other\":1},\"difference\":1}]}",
	  "flows            flows 5 = appended 3 + other 1   DIFFERENCE 1\nsince now, over clean restarts\nNOT BALANCED\n" },
};

static void test_shown(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *answer = json_loads(cases[i].answer, 0, NULL);
		char *text = NULL;
		size_t bytes;
		FILE *out = open_memstream(&text, &bytes);

		must(answer != NULL && out != NULL);
		ctl_show(cases[i].verb, answer, out);
		must(fclose(out) == 0);
		assert_string_equal(text, cases[i].shown);
		free(text);
		json_decref(answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_shown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
