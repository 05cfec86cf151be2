/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw_text.h - how octets of an element become text in raw.elements, alone and inside lists.
 *
 *	raw_is_of_form(form, bytes)		else they go out as hex, with note `contract`
 *	raw_put_small(out, form, octets, bytes)	any form but RAW_STRING and RAW_HEX
 *
 * There must be room for TEXT_MAX octets, whatever the value.  Inline, since every flow goes through it.
 */
#ifndef NORMALIZER_RAW_TEXT_H
#define NORMALIZER_RAW_TEXT_H

#include "base/rd.h"
#include "base/text.h"
#include "normalizer/flow.h"

/* Octets that each form takes. */
static inline bool raw_is_of_form(enum raw_form form, uint32_t bytes)
{
	switch (form) {
	case RAW_UNSIGNED:
	case RAW_SIGNED:
		return bytes >= 1 && bytes <= 8;
	case RAW_FLOAT:
		return bytes == 4 || bytes == 8;
	case RAW_BOOL:
		return bytes == 1;
	case RAW_MAC:
		return bytes == 6;
	case RAW_IPV4:
		return bytes == 4;
	case RAW_IPV6:
		return bytes == 16;
	case RAW_STRING:
	case RAW_HEX:
		return true;
	case RAW_FORM_COUNT:
	default:
		return false;
	}
}

static inline uint8_t *raw_put_number(uint8_t *out, enum raw_form form, const uint8_t *octets,
				      uint32_t bytes)
{
	uint64_t u = be_uint(octets, bytes);
	unsigned unused = (64 - 8 * bytes) & 63;

	if (form == RAW_SIGNED)
		return text_put_i64(out, (int64_t)(u << unused) >> unused);
	return text_put_u64(out, u);
}

static inline uint8_t *raw_put_float(uint8_t *out, const uint8_t *octets, uint32_t bytes)
{
	uint32_t bits32 = bytes == 4 ? be32(octets) : 0;
	uint64_t bits64 = bytes == 8 ? be64(octets) : 0;
	float f;
	double d;

	memcpy(&f, &bits32, sizeof(f));
	memcpy(&d, &bits64, sizeof(d));
	return bytes == 4 ? text_put_f32(out, f) : text_put_f64(out, d);
}

static inline uint8_t *raw_put_bool(uint8_t *out, uint8_t octet)
{
	if (octet == 1)
		return (uint8_t *)memcpy(out, "true", 4) + 4;
	if (octet == 2)
		return (uint8_t *)memcpy(out, "false", 5) + 5;
	return text_put_u64(out, octet);
}

static inline uint8_t *raw_put_small(uint8_t *out, enum raw_form form, const uint8_t *octets,
				     uint32_t bytes)
{
	if (form == RAW_UNSIGNED || form == RAW_SIGNED)
		return raw_put_number(out, form, octets, bytes);
	if (form == RAW_FLOAT)
		return raw_put_float(out, octets, bytes);
	if (form == RAW_BOOL)
		return raw_put_bool(out, octets[0]);
	if (form == RAW_MAC)
		return text_put_mac(out, octets);
	if (form == RAW_IPV4)
		return text_put_ipv4(out, octets);
	return text_put_ipv6(out, octets);
}

#endif
