/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the CRC of pages is that of gzip, with help from the processor too.
 * Method: the usual check value; against zlib, every length up to 1100 from each of 16 places, and one of a
 * large page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "sink/parquet_crc.h"

#define LENGTHS 1100
#define PLACES 16
#define LARGE 1048573

static void check_value(void **state)
{
	(void)state;
	assert_int_equal(parquet_crc("123456789", 9), 0xcbf43926);
	assert_int_equal(parquet_crc("", 0), 0);
}

static void same_as_zlib(void **state)
{
	uint8_t *octets = malloc(LARGE);
	uint64_t random = 0x9e3779b97f4a7c15;

	(void)state;
	assert_non_null(octets);
	for (size_t i = 0; i < LARGE; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		octets[i] = (uint8_t)(random >> 56);
	}
	for (size_t at = 0; at < PLACES; at++) {
		for (size_t n = 0; n < LENGTHS; n++)
			assert_int_equal(parquet_crc(octets + at, n),
					 crc32_z(0, octets + at, n));
	}
	assert_int_equal(parquet_crc(octets, LARGE), crc32_z(0, octets, LARGE));
	free(octets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_value),
		cmocka_unit_test(same_as_zlib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
