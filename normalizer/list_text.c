/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/list_text.h"

#include "base/rd.h"
#include "base/utf8.h"
#include "normalizer/raw_text.h"

void list_put(struct wr *out, const char *text)
{
	wr_bytes(out, text, strlen(text));
}

void list_put_u64(struct wr *out, uint64_t v)
{
	uint8_t text[TEXT_MAX];

	wr_bytes(out, text, (size_t)(text_put_u64(text, v) - text));
}

void list_put_hex(struct wr *out, struct value v)
{
	uint8_t *at = wr_take(out, 2 * (size_t)v.bytes);

	if (at != NULL)
		(void)text_put_hex(at, v.octets, v.bytes);
}

/* What cannot be read stands as it came. */
void list_put_hex_object(struct wr *out, struct value v)
{
	list_put(out, "{\"hex\":\"");
	list_put_hex(out, v);
	list_put(out, "\"}");
}

/* UTF-8, with what JSON wants escaped. */
static void list_put_text(struct wr *out, const uint8_t *octets, uint32_t bytes)
{
	uint32_t from = 0;

	for (uint32_t i = 0; i < bytes; i++) {
		uint8_t c = octets[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		wr_bytes(out, octets + from, i - from);
		from = i + 1;
		if (c < 0x20) {
			wr_bytes(out, "\\u00", 4);
			wr_bytes(out, text_hex[c], 2);
		} else {
			wr_u8(out, '\\');
			wr_u8(out, c);
		}
	}
	wr_bytes(out, octets + from, bytes - from);
}

void list_put_name(struct wr *out, const struct raw_key *key)
{
	/* Its length is a varint of one octet up to 63. */
	uint32_t bytes = key->avro_bytes - (key->avro_bytes <= 64 ? 1 : 2);
	uint8_t *at = wr_take(out, bytes + 3);

	if (at == NULL)
		return;
	*at++ = '"';
	memcpy(at, key->name, bytes);
	at[bytes] = '"';
	at[bytes + 1] = ':';
}

static void list_put_string(struct wr *out, struct value v, uint64_t *notes)
{
	bool is_ascii;
	uint32_t bytes = utf8_trim(v.octets, v.bytes, &is_ascii);

	if (!is_ascii && !utf8_is_valid(v.octets, bytes)) {
		*notes |= UINT64_C(1) << NOTE_BAD_UTF8;
		list_put_hex_object(out, v);
		return;
	}
	wr_u8(out, '"');
	list_put_text(out, v.octets, bytes);
	wr_u8(out, '"');
}

void list_put_scalar(struct wr *out, enum raw_form form, struct value v, uint64_t *notes)
{
	uint8_t text[TEXT_MAX + 2];
	uint8_t *end;

	if (form == RAW_STRING) {
		list_put_string(out, v, notes);
	} else if (form == RAW_HEX || v.bytes == 0) {
		wr_u8(out, '"');
		list_put_hex(out, v);
		wr_u8(out, '"');
	} else if (!raw_is_of_form(form, v.bytes)) {
		*notes |= UINT64_C(1) << NOTE_CONTRACT;
		list_put_hex_object(out, v);
	} else {
		text[0] = '"';
		end = raw_put_small(text + 1, form, v.octets, v.bytes);
		*end++ = '"';
		wr_bytes(out, text, (size_t)(end - text));
	}
}

/* RFC 6313, 4.4; a number that has no name stands as it is. */
void list_put_semantic(struct wr *out, uint8_t semantic)
{
	static const char *const names[] = { "noneOf", "exactlyOneOf", "oneOrMoreOf", "allOf",
					     "ordered" };

	list_put(out, "{\"semantic\":");
	if (semantic == 0xFF) {
		list_put(out, "\"undefined\"");
	} else if (semantic < sizeof(names) / sizeof(names[0])) {
		wr_u8(out, '"');
		list_put(out, names[semantic]);
		wr_u8(out, '"');
	} else {
		list_put_u64(out, semantic);
	}
}

static bool is_path(struct rd r)
{
	while (rd_left(&r) > 0) {
		uint32_t count;

		rd_skip(&r, 4);
		count = rd_u32(&r);
		if (count > rd_left(&r) / 4)
			return false;
		rd_skip(&r, (size_t)count * 4);
	}
	return !r.is_short;
}

/* sFlow Version 5, enum as_path_segment_type; a number that has no name stands as it is. */
static void put_segment_type(struct wr *out, uint32_t type)
{
	static const char *const names[] = { "\"set\"", "\"sequence\"" };

	list_put(out, "{\"type\":");
	if (type == 1 || type == 2)
		list_put(out, names[type - 1]);
	else
		list_put_u64(out, type);
}

bool list_put_as_path(struct wr *out, struct value path)
{
	struct rd r = rd_of(path.octets, path.bytes);

	if (!is_path(r))
		return false;
	wr_u8(out, '[');
	while (rd_left(&r) > 0) {
		uint32_t count;

		put_segment_type(out, rd_u32(&r));
		list_put(out, ",\"as\":[");
		count = rd_u32(&r);
		for (uint32_t i = 0; i < count; i++) {
			list_put(out, i == 0 ? "\"" : ",\"");
			list_put_u64(out, rd_u32(&r));
			wr_u8(out, '"');
		}
		list_put(out, rd_left(&r) > 0 ? "]}," : "]}");
	}
	wr_u8(out, ']');
	return true;
}

/* RFC 1997: the upper half is an autonomous system's number, the lower one is for it to give. */
bool list_put_communities(struct wr *out, struct value communities)
{
	struct rd r = rd_of(communities.octets, communities.bytes);

	if (communities.bytes % 4 != 0)
		return false;
	wr_u8(out, '[');
	while (rd_left(&r) > 0) {
		wr_u8(out, '"');
		list_put_u64(out, rd_u16(&r));
		wr_u8(out, ':');
		list_put_u64(out, rd_u16(&r));
		list_put(out, rd_left(&r) > 0 ? "\"," : "\"");
	}
	wr_u8(out, ']');
	return true;
}
