/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: utf8_is_valid accepts exactly what RFC 3629 allows, at every place of a text.
 * Method: encode every code point and compare with the rule; a table of wrong sequences, each tried
 * behind 0 to 16 ASCII characters and before 0 to 9; every truncation of a mixed text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

static size_t put(uint32_t c, uint8_t *out)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
		out[2] = (uint8_t)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
	out[3] = (uint8_t)(0x80 | (c & 63));
	return 4;
}

static void every_code_point(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x1fffff; c++) {
		uint8_t out[4];
		size_t n = put(c, out);
		bool is_one = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);

		if (utf8_is_valid(out, n) != is_one)
			fail_msg("U+%X", (unsigned)c);
	}
}

static void wrong_sequences(void **state)
{
	static const char *const wrong[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2\x41",
		"\xe0\x80\x80",
		"\xe0\x9f\xbf",
		"\xe1\x80",
		"\xe1\x80\x41",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf1\x80\x80",
		"\xff",
		"\xfe",
		"\xf8\x88\x80\x80\x80",
	};

	(void)state;
	for (size_t w = 0; w < sizeof(wrong) / sizeof(wrong[0]); w++) {
		for (size_t before = 0; before <= 16; before++) {
			for (size_t after = 0; after < 10; after++) {
				uint8_t text[40];
				size_t n = strlen(wrong[w]);

				memset(text, 'a', sizeof(text));
				memcpy(text + before, wrong[w], n);
				assert_false(utf8_is_valid(text, before + n + after));
			}
		}
	}
}

static void truncations(void **state)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7 eight ascii \xc5\x99z";
	static const uint8_t ends[] = { 0, 1, 3, 6, 10 };

	(void)state;
	for (size_t n = 0; n < 10; n++) {
		bool is_end = memchr(ends, (int)n, sizeof(ends)) != NULL;

		assert_int_equal(utf8_is_valid((const uint8_t *)text, n), is_end);
	}
	assert_true(utf8_is_valid((const uint8_t *)text, sizeof(text))); /* with its NUL */
}

/* Every length, every count of NULs at the end, a NUL or a high octet anywhere before them. */
static void check_trim(const uint8_t *text, uint32_t bytes)
{
	uint32_t end = bytes;
	bool is_low = true;
	bool is_ascii;

	while (end > 0 && text[end - 1] == 0)
		end--;
	for (uint32_t i = 0; i < end; i++)
		is_low = is_low && text[i] < 0x80;
	assert_int_equal(utf8_trim(text, bytes, &is_ascii), end);
	assert_int_equal(is_ascii, is_low);
}

static void trimmed(void **state)
{
	(void)state;
	for (uint32_t bytes = 0; bytes < 36; bytes++) {
		for (uint32_t nuls = 0; nuls <= bytes; nuls++) {
			for (uint32_t odd = 0; odd <= bytes; odd++) {
				uint8_t text[40];

				memset(text, 'a', sizeof(text));
				memset(text + bytes - nuls, 0, nuls);
				text[odd] = 0;
				check_trim(text, bytes);
				text[odd] = 0x80;
				check_trim(text, bytes);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point),
		cmocka_unit_test(wrong_sequences),
		cmocka_unit_test(truncations),
		cmocka_unit_test(trimmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
