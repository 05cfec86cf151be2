/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Octets of the character that begins at `p`, which is not ASCII; 0 when it is none. */
static size_t character_bytes(const uint8_t *p, size_t left)
{
	uint8_t low = 0x80; /* bounds of the second octet (RFC 3629, 4) */
	uint8_t high = 0xbf;
	size_t bytes;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		bytes = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		bytes = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		bytes = 4;
	else
		return 0;
	if (left < bytes)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < bytes; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return bytes;
}

bool utf8_is_valid(const uint8_t *octets, size_t bytes)
{
	size_t i = 0;

	while (i < bytes) {
		size_t step = 1;

		if (bytes - i >= 8) {
			uint64_t eight;

			memcpy(&eight, octets + i, sizeof(eight));
			if ((eight & HIGH_BITS) == 0) {
				i += 8;
				continue;
			}
		}
		if (octets[i] >= 0x80)
			step = character_bytes(octets + i, bytes - i);
		if (step == 0)
			return false;
		i += step;
	}
	return true;
}
