/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"

#define DIGIT(v) ((char)('0' + (v) % 10))
#define OCTET(v)                                                                                   \
	{                                                                                          \
		{ (v) >= 100  ? DIGIT((v) / 100)                                                   \
		  : (v) >= 10 ? DIGIT((v) / 10)                                                    \
			      : DIGIT(v),                                                          \
		  (v) >= 100  ? DIGIT((v) / 10)                                                    \
		  : (v) >= 10 ? DIGIT(v)                                                           \
			      : '.',                                                               \
		  (v) >= 100 ? DIGIT(v) : '.', '.' },                                              \
			(v) >= 100  ? 4                                                            \
			: (v) >= 10 ? 3                                                            \
				    : 2                                                            \
	}
#define HEX_DIGIT(v) ((v) < 10 ? (char)('0' + (v)) : (char)('a' + (v)-10))
#define HEX(v)                                                                                     \
	{                                                                                          \
		HEX_DIGIT((v) / 16), HEX_DIGIT((v) % 16)                                           \
	}
#define FOUR(row, v) row(v), row((v) + 1), row((v) + 2), row((v) + 3)
#define SIXTEEN(row, v) FOUR(row, v), FOUR(row, (v) + 4), FOUR(row, (v) + 8), FOUR(row, (v) + 12)
#define SIXTY_FOUR(row, v)                                                                         \
	SIXTEEN(row, v), SIXTEEN(row, (v) + 16), SIXTEEN(row, (v) + 32), SIXTEEN(row, (v) + 48)
#define ALL(row) SIXTY_FOUR(row, 0), SIXTY_FOUR(row, 64), SIXTY_FOUR(row, 128), SIXTY_FOUR(row, 192)

const struct text_octet text_octets[256] = { ALL(OCTET) };
const char text_hex[256][2] = { ALL(HEX) };

static const char two_digits[] = "00010203040506070809"
				 "10111213141516171819"
				 "20212223242526272829"
				 "30313233343536373839"
				 "40414243444546474849"
				 "50515253545556575859"
				 "60616263646566676869"
				 "70717273747576777879"
				 "80818283848586878889"
				 "90919293949596979899";

uint8_t *text_put_ipv6(uint8_t *out, const uint8_t octets[16])
{
	return out + addr_text_v6(octets, (char *)out);
}

/* Decimal digits of a number, of which 0 has one. */
static unsigned digit_count(uint64_t v)
{
	static const uint64_t tens[] = {
		UINT64_C(0),
		UINT64_C(10),
		UINT64_C(100),
		UINT64_C(1000),
		UINT64_C(10000),
		UINT64_C(100000),
		UINT64_C(1000000),
		UINT64_C(10000000),
		UINT64_C(100000000),
		UINT64_C(1000000000),
		UINT64_C(10000000000),
		UINT64_C(100000000000),
		UINT64_C(1000000000000),
		UINT64_C(10000000000000),
		UINT64_C(100000000000000),
		UINT64_C(1000000000000000),
		UINT64_C(10000000000000000),
		UINT64_C(100000000000000000),
		UINT64_C(1000000000000000000),
		UINT64_C(10000000000000000000),
	};
	unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
	unsigned guess = bits * 1233 >> 12; /* times log10 of 2: right, or one too few */

	return guess + (v >= tens[guess]);
}

uint8_t *text_put_u64(uint8_t *out, uint64_t v)
{
	uint8_t *end = out + digit_count(v);
	uint8_t *at = end;

	while (v >= 100) {
		at -= 2;
		memcpy(at, two_digits + 2 * (v % 100), 2);
		v /= 100;
	}
	if (v >= 10)
		memcpy(out, two_digits + 2 * v, 2);
	else
		*out = (uint8_t)('0' + v);
	return end;
}

uint8_t *text_put_i64(uint8_t *out, int64_t v)
{
	if (v >= 0)
		return text_put_u64(out, (uint64_t)v);
	*out++ = '-';
	return text_put_u64(out, 0 - (uint64_t)v);
}

/* What needs no digits to be looked for: not finite, or whole and below 2^53. */
static uint8_t *put_simple(uint8_t *out, double v)
{
	if (!isfinite(v)) {
		const char *text = isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";

		while (*text != '\0')
			*out++ = (uint8_t)*text++;
		return out;
	}
	if (v > -9007199254740992.0 && v < 9007199254740992.0 && v == (double)(int64_t)v) {
		if (signbit(v) && v >= 0)
			*out++ = '-';
		return text_put_i64(out, (int64_t)v);
	}
	return NULL;
}

/* First number of digits that is worth trying: almost every value needs as many; those near zero
 * that have lost their precision do not. */
static int first_digits(bool is_small, int usual)
{
	return is_small ? 1 : usual;
}

uint8_t *text_put_f64(uint8_t *out, double v)
{
	uint8_t *end = put_simple(out, v);
	char text[TEXT_MAX];
	int bytes = 0;

	if (end != NULL)
		return end;
	for (int digits = first_digits(fpclassify(v) == FP_SUBNORMAL, 15); digits <= 17; digits++) {
		bytes = snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	memcpy(out, text, (size_t)bytes);
	return out + bytes;
}

uint8_t *text_put_f32(uint8_t *out, float v)
{
	uint8_t *end = put_simple(out, (double)v);
	char text[TEXT_MAX];
	int bytes = 0;

	if (end != NULL)
		return end;
	for (int digits = first_digits(fpclassify(v) == FP_SUBNORMAL, 6); digits <= 9; digits++) {
		bytes = snprintf(text, sizeof(text), "%.*g", digits, (double)v);
		if (strtof(text, NULL) == v)
			break;
	}
	memcpy(out, text, (size_t)bytes);
	return out + bytes;
}

#if defined(__x86_64__)

/* Half octets as digits: 'a' is 39 behind '9' + 1. */
static inline __m128i hex_digits(__m128i halves)
{
	__m128i above = _mm_cmpgt_epi8(halves, _mm_set1_epi8(9));
	__m128i letters = _mm_and_si128(above, _mm_set1_epi8('a' - '9' - 1));

	return _mm_add_epi8(_mm_add_epi8(halves, _mm_set1_epi8('0')), letters);
}

static void put_hex_16(uint8_t *out, const uint8_t *octets)
{
	__m128i all = _mm_loadu_si128((const __m128i *)(const void *)octets);
	__m128i mask = _mm_set1_epi8(0x0f);
	__m128i high = hex_digits(_mm_and_si128(_mm_srli_epi16(all, 4), mask));
	__m128i low = hex_digits(_mm_and_si128(all, mask));

	_mm_storeu_si128((__m128i *)(void *)out, _mm_unpacklo_epi8(high, low));
	_mm_storeu_si128((__m128i *)(void *)(out + 16), _mm_unpackhi_epi8(high, low));
}

#else

static void put_hex_16(uint8_t *out, const uint8_t *octets)
{
	for (size_t i = 0; i < 16; i++)
		memcpy(out + 2 * i, text_hex[octets[i]], 2);
}

#endif

uint8_t *text_put_hex(uint8_t *out, const uint8_t *octets, size_t bytes)
{
	size_t i = 0;

	for (; i + 16 <= bytes; i += 16)
		put_hex_16(out + 2 * i, octets + i);
	for (; i < bytes; i++)
		memcpy(out + 2 * i, text_hex[octets[i]], 2);
	return out + 2 * bytes;
}

bool text_take_u64(const char **at, uint64_t *out)
{
	const char *p = *at;
	uint64_t v = 0;

	while (*p == ' ')
		p++;
	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = 10 * v + digit;
	}
	*at = p;
	*out = v;
	return true;
}
