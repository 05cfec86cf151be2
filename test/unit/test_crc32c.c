/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: crc32c is the Castagnoli CRC, in pieces too, with and without help from the processor.
 * Method: the vectors of RFC 3720 B.4 and the usual check value; every cut of a text; both ways compared
 * on every length up to 9000, which is more than what goes side by side.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

static void vectors(void **state)
{
	uint8_t zeros[32] = { 0 };
	uint8_t ones[32];
	uint8_t up[32];
	uint8_t down[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (uint8_t i = 0; i < 32; i++) {
		up[i] = i;
		down[i] = (uint8_t)(31 - i);
	}
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, down, 32), 0x113fdb5c);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c_by_table(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void pieces_and_both_ways(void **state)
{
	static uint8_t octets[9000];

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * i + 7 * i);
	for (size_t n = 0; n < sizeof(octets); n++) {
		uint32_t whole = crc32c(0, octets, n);

		assert_int_equal(crc32c_by_table(0, octets, n), whole);
		assert_int_equal(crc32c(crc32c(0, octets, n / 3), octets + n / 3, n - n / 3),
				 whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(pieces_and_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
