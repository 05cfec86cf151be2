/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41 with its bits reversed */

/* The CRC of one octet, unrolled by the compiler: row n of the classic table. */
#define STEP(c) ((c)&1 ? POLYNOMIAL ^ (c) >> 1 : (c) >> 1)
#define STEP4(c) STEP(STEP(STEP(STEP(c))))

/* Two lookups of four bits an octet: 64 octets of table instead of 1024, and fast enough for where
 * the processor has no instruction of its own. */
static const uint32_t nibbles[16] = {
	STEP4(0u),  STEP4(1u),	STEP4(2u),  STEP4(3u),	STEP4(4u),  STEP4(5u),
	STEP4(6u),  STEP4(7u),	STEP4(8u),  STEP4(9u),	STEP4(10u), STEP4(11u),
	STEP4(12u), STEP4(13u), STEP4(14u), STEP4(15u),
};

uint32_t crc32c_by_table(uint32_t crc, const void *octets, size_t bytes)
{
	const uint8_t *p = octets;

	crc = ~crc;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ nibbles[crc & 15];
		crc = crc >> 4 ^ nibbles[crc & 15];
	}
	return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_sse42(uint32_t crc, const void *octets,
							   size_t bytes)
{
	const uint8_t *p = octets;
	uint64_t wide = (uint32_t)~crc;

	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		wide = __builtin_ia32_crc32di(wide, v);
	}
	crc = (uint32_t)wide;
	for (; bytes > 0; bytes--, p++)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *octets, size_t bytes)
{
	if (__builtin_cpu_supports("sse4.2"))
		return by_sse42(crc, octets, bytes);
	return crc32c_by_table(crc, octets, bytes);
}

#else

uint32_t crc32c(uint32_t crc, const void *octets, size_t bytes)
{
	return crc32c_by_table(crc, octets, bytes);
}

#endif
