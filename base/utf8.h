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

/* At most 7 octets as a word, the first one lowest. */
static inline uint64_t utf8_short_word(const uint8_t *octets, uint32_t bytes)
{
	uint32_t first;
	uint32_t last;

	if (bytes >= 4) { /* what is in both is there twice, and the same */
		memcpy(&first, octets, sizeof(first));
		memcpy(&last, octets + bytes - 4, sizeof(last));
		return le32toh(first) | (uint64_t)le32toh(last) << (8 * (bytes - 4));
	}
	if (bytes == 0)
		return 0;
	return octets[0] | (uint64_t)octets[bytes / 2] << (8 * (bytes / 2)) |
	       (uint64_t)octets[bytes - 1] << (8 * (bytes - 1));
}

/* Length of the text without the NULs at its end; *is_ascii when no octet is above 0x7f.  One pass
 * of as many steps as there are words: fields of one length go through it without a wrong guess. */
static inline uint32_t utf8_trim(const uint8_t *octets, uint32_t bytes, bool *is_ascii)
{
	uint64_t all = 0;
	uint64_t last = 0; /* the last word that is not zero, and where it is */
	uint32_t at = 0;
	uint32_t whole = bytes & ~7u;
	uint64_t word = 0;

	for (uint32_t i = 0; i < whole; i += 8) {
		memcpy(&word, octets + i, sizeof(word));
		word = le64toh(word);
		all |= word;
		at = word != 0 ? i : at;
		last = word != 0 ? word : last;
	}
	if (bytes >
	    whole) { /* the last ones; with those before them, which were looked at, as a word */
		uint32_t from = whole > 0 ? bytes - 8 : 0;

		if (whole > 0)
			memcpy(&word, octets + from, sizeof(word));
		word = whole > 0 ? le64toh(word) : utf8_short_word(octets, bytes);
		all |= word;
		at = word != 0 ? from : at;
		last = word != 0 ? word : last;
	}
	*is_ascii = (all & UINT64_C(0x8080808080808080)) == 0;
	return last == 0 ? 0 : at + 8 - (uint32_t)__builtin_clzll(last) / 8;
}

#endif
