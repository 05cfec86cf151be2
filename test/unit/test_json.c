/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever is written is one line of valid JSON with the same values in it, and a bound is
 * a bound.
 * Method: texts that the writer must give octet by octet; every octet and every pair of octets
 * as a string, numbers at their ends and random doubles, read back by libjansson; every limit in
 * turn.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json.h"
#include "base/utf8.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BYTES_MAX 65536
#define ROUNDS 20000

static void everything(struct json *j)
{
	json_open_object(j, NULL);
	json_str(j, "s", "a\"b\\c\n\t\x01/");
	json_str(j, "null", NULL);
	json_u64(j, "u", UINT64_MAX);
	json_i64(j, "i", INT64_MIN);
	json_f64(j, "nan", (double)NAN);
	json_f64(j, "inf", (double)-INFINITY);
	json_bool(j, "yes", true);
	json_bool(j, "no", false);
	json_put_null(j, "none");
	json_raw(j, "raw", "[1,{}]", 6);
	json_open_array(j, "list");
	json_open_array(j, NULL);
	json_end(j);
	json_open_object(j, NULL);
	json_end(j);
	json_u64(j, NULL, 1);
	json_str(j, NULL, "");
	json_end(j);
	json_open_object(j, "k\"ey");
	json_i64(j, "", -1);
	json_end(j);
	json_end(j);
}

static const char everything_text[] =
	"{\"s\":\"a\\\"b\\\\c\\u000a\\u0009\\u0001/\",\"null\":null,\"u\":18446744073709551615,"
	"\"i\":-9223372036854775808,\"nan\":null,\"inf\":null,\"yes\":true,\"no\":false,"
	"\"none\":null,\"raw\":[1,{}],\"list\":[[],{},1,\"\"],\"k\\\"ey\":{\"\":-1}}";

static void exact_text(void **state)
{
	struct json j;

	(void)state;
	json_init(&j, BYTES_MAX);
	for (int round = 0; round < 3; round++) {
		everything(&j);
		assert_false(j.is_failed);
		assert_int_equal(j.bytes, strlen(everything_text));
		assert_string_equal(j.text, everything_text);
		json_clear(&j);
	}
	json_fini(&j);
}

/* With every limit below the text's length the writer fails, and never holds more than it may. */
static void every_limit(void **state)
{
	(void)state;
	for (size_t limit = 0; limit <= sizeof(everything_text); limit++) {
		struct json j;

		json_init(&j, limit);
		everything(&j);
		assert_true(j.bytes <= limit);
		assert_int_equal(j.is_failed, limit < strlen(everything_text));
		if (j.is_failed) {
			json_clear(&j);
			json_u64(&j, NULL, 5);
			assert_int_equal(j.is_failed, limit < 1);
		}
		json_fini(&j);
	}
}

/* The text of `octets` as a JSON string, read back; it must be what went in where that is UTF-8. */
static void through(struct json *j, const uint8_t *octets, size_t bytes)
{
	json_error_t error;
	json_t *read;

	json_clear(j);
	json_strn(j, NULL, octets, bytes);
	assert_false(j->is_failed);
	assert_null(memchr(j->text, '\n', j->bytes));
	assert_true(utf8_is_valid((const uint8_t *)j->text, j->bytes));
	read = json_loadb(j->text, j->bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (read == NULL)
		fail_msg("%s: %s", error.text, j->text);
	if (utf8_is_valid(octets, bytes)) {
		assert_int_equal(json_string_length(read), bytes);
		assert_memory_equal(json_string_value(read), octets, bytes);
	} else {
		assert_non_null(strstr(j->text, "\xef\xbf\xbd"));
	}
	json_decref(read);
}

static void every_octet_and_pair(void **state)
{
	struct json j;

	(void)state;
	json_init(&j, BYTES_MAX);
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			uint8_t pair[2] = { (uint8_t)a, (uint8_t)b };

			through(&j, pair, 2);
		}
		through(&j, (const uint8_t[]){ (uint8_t)a }, 1);
	}
	through(&j, NULL, 0);
	json_fini(&j);
}

static void random_octets(void **state)
{
	struct json j;

	(void)state;
	json_init(&j, BYTES_MAX);
	srand(5);
	for (int round = 0; round < ROUNDS; round++) {
		uint8_t octets[12];
		size_t bytes = (size_t)rand() % (sizeof(octets) + 1);

		for (size_t i = 0; i < bytes; i++)
			octets[i] = (uint8_t)(rand() % 3 == 0 ? rand() : 0x80 + rand() % 0x75);
		through(&j, octets, bytes);
	}
	json_fini(&j);
}

static const struct {
	const char *octets;
	const char *text;
} replaced[] = {
	{ "\xff", "\"\xef\xbf\xbd\"" },
	{ "a\xc3", "\"a\xef\xbf\xbd\"" },
	{ "\xc3\xa9", "\"\xc3\xa9\"" },
	{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* a surrogate */
	{ "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },			/* over-long */
	{ "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"" },
	{ "\xe2\x82z", "\"\xef\xbf\xbd\xef\xbf\xbdz\"" },
	{ "\x7f", "\"\x7f\"" },
};

static void wrong_octets_are_replaced(void **state)
{
	struct json j;

	(void)state;
	json_init(&j, BYTES_MAX);
	for (size_t i = 0; i < COUNT(replaced); i++) {
		json_clear(&j);
		json_str(&j, NULL, replaced[i].octets);
		assert_string_equal(j.text, replaced[i].text);
	}
	json_fini(&j);
}

static void double_through(struct json *j, double v)
{
	json_t *read;

	json_clear(j);
	json_f64(j, NULL, v);
	read = json_loadb(j->text, j->bytes, JSON_DECODE_ANY, NULL);
	if (read == NULL)
		fail_msg("no JSON: %s", j->text);
	assert_true(json_number_value(read) == v);
	json_decref(read);
}

static void doubles(void **state)
{
	static const double values[] = { 0.0,	  -0.0,	   1.0,	   0.1,	 -1e300,     1e-300,
					 DBL_MAX, DBL_MIN, 5e-324, 1e21, 123456.789, 1.0 / 3 };
	struct json j;

	(void)state;
	json_init(&j, BYTES_MAX);
	for (size_t i = 0; i < COUNT(values); i++)
		double_through(&j, values[i]);
	srand(9);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t bits = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();
		double v;

		memcpy(&v, &bits, sizeof(v));
		if (isfinite(v))
			double_through(&j, v);
	}
	json_fini(&j);
}

static void deepest(void **state)
{
	struct json j;
	json_t *read;

	(void)state;
	json_init(&j, BYTES_MAX);
	json_open_object(&j, NULL);
	for (unsigned i = 1; i < JSON_DEPTH_MAX; i++)
		(i % 2 ? json_open_array : json_open_object)(&j, i % 2 ? "a" : NULL);
	for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
		json_end(&j);
	read = json_loadb(j.text, j.bytes, 0, NULL);
	assert_non_null(read);
	json_decref(read);
	json_fini(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_text),
		cmocka_unit_test(every_limit),
		cmocka_unit_test(every_octet_and_pair),
		cmocka_unit_test(random_octets),
		cmocka_unit_test(wrong_octets_are_replaced),
		cmocka_unit_test(doubles),
		cmocka_unit_test(deepest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
