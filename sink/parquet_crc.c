/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_crc.h"

#include <zlib.h>

#ifdef __x86_64__

#include <immintrin.h>

/* A CRC is the remainder of a polynomial.  What stands n bits before the end counts as what it is multiplied with
 * x^n modulo the CRC's polynomial: so 16 octets become as many further on, which are added to those that are there,
 * until 16 are left, whose CRC is that of all.  (Intel, "Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ Instruction", 2009; the bits of each octet are in reverse here.) */
#define NATIVE __attribute__((target("pclmul,sse4.1")))
#define LANES 4
#define LANE sizeof(__m128i)
#define LEAST_BYTES (2 * LANES * LANE) /* with fewer, zlib is as fast */

static NATIVE __m128i load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static NATIVE __m128i fold(__m128i x, __m128i by, __m128i onto)
{
	__m128i low = _mm_clmulepi64_si128(x, by, 0x00);
	__m128i high = _mm_clmulepi64_si128(x, by, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, high), onto);
}

static NATIVE uint32_t by_folding(const uint8_t *p, size_t bytes)
{
	const __m128i by_lanes = _mm_set_epi64x(0x1c6e41596, 0x154442bd4); /* 64 octets on */
	const __m128i by_lane = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);  /* 16 octets on */
	__m128i x[LANES];
	uint8_t last[LANE];
	uLong crc;

	for (unsigned i = 0; i < LANES; i++)
		x[i] = load(p + i * LANE);
	x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128(-1)); /* what a CRC begins with */
	for (p += sizeof(x), bytes -= sizeof(x); bytes >= sizeof(x);
	     p += sizeof(x), bytes -= sizeof(x)) {
		for (unsigned i = 0; i < LANES; i++)
			x[i] = fold(x[i], by_lanes, load(p + i * LANE));
	}
	for (unsigned i = 1; i < LANES; i++)
		x[0] = fold(x[0], by_lane, x[i]);
	for (; bytes >= LANE; p += LANE, bytes -= LANE)
		x[0] = fold(x[0], by_lane, load(p));
	_mm_storeu_si128((__m128i *)(void *)last, x[0]);
	/* These have their beginning: zlib's is undone. */
	crc = crc32(UINT32_MAX, last, LANE);
	return (uint32_t)crc32(crc, p, (uInt)bytes);
}

#endif

uint32_t parquet_crc(const void *octets, size_t bytes)
{
#ifdef __x86_64__
	if (bytes >= LEAST_BYTES && __builtin_cpu_supports("pclmul") &&
	    __builtin_cpu_supports("sse4.1"))
		return by_folding(octets, bytes);
#endif
	return (uint32_t)crc32_z(0, octets, bytes);
}
