/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - texts of exporters: UTF-8 or not (RFC 3629: no surrogates, no over-long forms, nothing
 * above U+10FFFF), and without the NULs that fill up fields of fixed length. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* NUL is a character like any other. */
bool utf8_is_valid(const uint8_t *octets, size_t bytes);

/* Length of the text without the NULs at its end; *is_ascii when no octet is above 0x7f.  One pass
 * of as many steps as there are words: fields of one length go through it without a wrong guess. */
static inline uint32_t utf8_trim(const uint8_t *octets, uint32_t bytes, bool *is_ascii)
{
	uint64_t all = 0;
	uint64_t last = 0; /* the last word that is not zero, and where it is */
	uint32_t at = 0;
	uint32_t whole = bytes & ~7u;

	for (uint32_t i = 0; i < whole; i += 8) {
		uint64_t word;

		memcpy(&word, octets + i, sizeof(word));
		all |= word;
		at = word != 0 ? i : at;
		last = word != 0 ? word : last;
	}
	if (bytes > whole) {
		uint64_t word = 0;

		for (uint32_t i = bytes; i > whole; i--)
			word = word << 8 | octets[i - 1];
		word = htole64(word);
		all |= word;
		at = word != 0 ? whole : at;
		last = word != 0 ? word : last;
	}
	*is_ascii = (all & UINT64_C(0x8080808080808080)) == 0;
	return last == 0 ? 0 : at + 8 - (uint32_t)__builtin_clzll(le64toh(last)) / 8;
}

#endif
