/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41 with its bits reversed */

static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* Row k: what a value of an octet becomes when k octets of zero follow it. */
static uint32_t octet_tables[8][256];

static void make_octet_tables(void)
{
	for (uint32_t v = 0; v < 256; v++) {
		uint32_t crc = v;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? POLYNOMIAL ^ crc >> 1 : crc >> 1;
		octet_tables[0][v] = crc;
	}
	for (size_t k = 1; k < 8; k++) {
		for (size_t v = 0; v < 256; v++) {
			uint32_t crc = octet_tables[k - 1][v];

			octet_tables[k][v] = crc >> 8 ^ octet_tables[0][crc & 255];
		}
	}
}

#if defined(__x86_64__)

/* The instruction takes three cycles and may begin each cycle: three lanes side by side keep it busy.  A
 * CRC is linear, so that the lanes are put together by what LANE octets of zero make of each bit. */
#define LANE 1024u
#define LANES 3u

static uint32_t over_one_lane[4][256];
static uint32_t over_two_lanes[4][256];

__attribute__((target("sse4.2"))) static uint64_t step(uint64_t crc, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_ia32_crc32di(crc, v);
}

__attribute__((target("sse4.2"))) static uint32_t over_zeros(uint32_t crc, size_t bytes)
{
	uint64_t wide = crc;

	for (; bytes >= 8; bytes -= 8)
		wide = __builtin_ia32_crc32di(wide, 0);
	return (uint32_t)wide;
}

static void make_table(uint32_t table[4][256], size_t zeros)
{
	for (unsigned k = 0; k < 4; k++) {
		for (unsigned bit = 1; bit < 256; bit *= 2)
			table[k][bit] = over_zeros(bit << (8 * k), zeros);
		for (unsigned v = 1; v < 256; v++)
			table[k][v] = table[k][v & (v - 1)] ^ table[k][v & -v];
	}
}

static void make_tables(void)
{
	make_octet_tables();
	make_table(over_one_lane, LANE);
	make_table(over_two_lanes, 2ul * LANE);
}

static uint32_t shift(uint32_t table[4][256], uint32_t crc)
{
	return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^
	       table[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t by_lanes(uint32_t crc, const uint8_t *p)
{
	uint64_t a = crc;
	uint64_t b = 0;
	uint64_t c = 0;

	for (size_t i = 0; i < LANE; i += 8) {
		a = step(a, p + i);
		b = step(b, p + LANE + i);
		c = step(c, p + 2ul * LANE + i);
	}
	return shift(over_two_lanes, (uint32_t)a) ^ shift(over_one_lane, (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t by_sse42(uint32_t crc, const void *octets,
							   size_t bytes)
{
	const uint8_t *p = octets;
	uint64_t wide;

	crc = ~crc;
	for (; bytes >= (size_t)LANES * LANE;
	     bytes -= (size_t)LANES * LANE, p += (size_t)LANES * LANE)
		crc = by_lanes(crc, p);
	wide = crc;
	for (; bytes >= 8; bytes -= 8, p += 8)
		wide = step(wide, p);
	crc = (uint32_t)wide;
	for (; bytes > 0; bytes--, p++)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return ~crc;
}

#else

static void make_tables(void)
{
	make_octet_tables();
}

#endif

/* Eight octets at a time, where the processor has no instruction that we use. */
uint32_t crc32c_by_table(uint32_t crc, const void *octets, size_t bytes)
{
	const uint8_t *p = octets;

	(void)pthread_once(&tables_once, make_tables);
	crc = ~crc;
	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		v ^= crc;
		crc = 0;
		for (size_t k = 0; k < 8; k++)
			crc ^= octet_tables[7 - k][v >> (8 * k) & 255];
	}
	for (; bytes > 0; bytes--, p++)
		crc = crc >> 8 ^ octet_tables[0][(crc ^ *p) & 255];
	return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *octets, size_t bytes)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2")) {
		(void)pthread_once(&tables_once, make_tables);
		return by_sse42(crc, octets, bytes);
	}
#endif
	return crc32c_by_table(crc, octets, bytes);
}
