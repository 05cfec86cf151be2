/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - values as text, by table; the hot half is inline.
 *
 * Every function writes at `out`, without a NUL, and returns where the text ends.  Some write a few
 * octets past that end: there must be room for TEXT_MAX octets, whatever the value.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TEXT_MAX 48 /* no number or address is longer */

/* "7.", "17." or "117.", and how long it is. */
struct text_octet {
	char text[4];
	uint32_t bytes;
};
extern const struct text_octet text_octets[256];
extern const char text_hex[256][2];

static inline uint8_t *text_put_octet(uint8_t *out, uint8_t v)
{
	memcpy(out, text_octets[v].text, 4);
	return out + text_octets[v].bytes;
}

static inline uint8_t *text_put_ipv4(uint8_t *out, const uint8_t octets[4])
{
	out = text_put_octet(out, octets[0]);
	out = text_put_octet(out, octets[1]);
	out = text_put_octet(out, octets[2]);
	return text_put_octet(out, octets[3]) - 1;
}

static inline uint8_t *text_put_mac(uint8_t *out, const uint8_t octets[6])
{
	for (size_t i = 0; i < 6; i++) {
		memcpy(out + 3 * i, text_hex[octets[i]], 2);
		out[3 * i + 2] = ':';
	}
	return out + 17;
}

uint8_t *text_put_ipv6(uint8_t *out, const uint8_t octets[16]);
/* The other way: blanks, then decimal digits that fit; *at is moved behind them.  False: there are none. */
bool text_take_u64(const char **at, uint64_t *out);
uint8_t *text_put_u64(uint8_t *out, uint64_t v);
uint8_t *text_put_i64(uint8_t *out, int64_t v);
/* The fewest digits that read back to the same value; nan, inf, -inf. */
uint8_t *text_put_f64(uint8_t *out, double v);
uint8_t *text_put_f32(uint8_t *out, float v);
/* Room: twice `bytes`. */
uint8_t *text_put_hex(uint8_t *out, const uint8_t *octets, size_t bytes);

#endif
