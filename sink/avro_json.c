/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "base/text.h"
#include "sink/avro.h"
#include "sink/avro_wire.h"

#define KEY_BYTES 256 /* longer keys of raw.elements are cut */
#define HEX_SMALL 128

static void put_text(struct rd *r, const char *key, struct json *out)
{
	size_t bytes;
	const uint8_t *octets = avro_read_octets(r, &bytes);

	if (!r->is_short)
		json_strn(out, key, octets, bytes);
}

static void put_hex(struct rd *r, const char *key, struct json *out)
{
	size_t bytes;
	const uint8_t *octets = avro_read_octets(r, &bytes);
	uint8_t small[HEX_SMALL];
	uint8_t *text = small;

	if (r->is_short)
		return;
	if (2 * bytes > sizeof(small))
		text = malloc(2 * bytes);
	if (text == NULL) {
		out->is_failed = true;
		return;
	}
	(void)text_put_hex(text, octets, bytes);
	json_strn(out, key, text, 2 * bytes);
	if (text != small)
		free(text);
}

static void put_array(struct rd *r, const char *key, enum field_type type, struct json *out)
{
	json_open_array(out, key);
	for (uint64_t n = avro_read_block(r); n > 0; n = avro_read_block(r)) {
		for (uint64_t i = 0; i < n && !r->is_short; i++) {
			int64_t v;

			if (type == FIELD_STRS) {
				put_text(r, NULL, out);
				continue;
			}
			v = avro_read_long(r);
			if (!r->is_short)
				json_i64(out, NULL, v);
		}
	}
	json_end(out);
}

static void put_double(struct rd *r, const char *key, struct json *out)
{
	const uint8_t *octets = rd_take(r, sizeof(double));
	double v;

	if (octets == NULL)
		return;
	memcpy(&v, octets, sizeof(v));
	json_f64(out, key, v);
}

static void put_value(struct rd *r, const char *key, enum field_type type, struct json *out)
{
	int64_t v;

	switch (type) {
	case FIELD_ADDR:
	case FIELD_MAC:
	case FIELD_STR:
		put_text(r, key, out);
		break;
	case FIELD_F64:
		put_double(r, key, out);
		break;
	case FIELD_LONGS:
	case FIELD_STRS:
		put_array(r, key, type, out);
		break;
	case FIELD_BOOL:
		v = rd_u8(r);
		r->is_short |= v > 1;
		json_bool(out, key, v == 1);
		break;
	case FIELD_I32:
	case FIELD_DATE:
	case FIELD_I64:
	case FIELD_MS:
	case FIELD_TYPE_COUNT:
	default:
		v = avro_read_long(r);
		json_i64(out, key, v);
		break;
	}
}

/* The union index of a nullable value: true when a value follows, else null was written. */
static bool is_there(struct rd *r, const char *key, bool is_terse, struct json *out)
{
	int64_t index = avro_read_long(r);

	if (index == 0 && !is_terse)
		json_put_null(out, key);
	if (index != 0 && index != 1)
		r->is_short = true;
	return index == 1;
}

static void put_layer(const struct field_set *fields, enum field_layer layer, const char *name,
		      bool is_terse, struct rd *r, struct json *out)
{
	size_t first;
	size_t end = field_layer_end(fields, layer, &first);

	json_open_object(out, name);
	for (size_t i = first; i < end && !r->is_short; i++) {
		const struct field *f = &fields->fields[i];

		if (f->is_required || is_there(r, f->name, is_terse, out))
			put_value(r, f->name, f->type, out);
	}
	json_end(out);
}

static void put_elements(struct rd *r, struct json *out)
{
	json_open_object(out, "elements");
	for (uint64_t n = avro_read_block(r); n > 0; n = avro_read_block(r)) {
		for (uint64_t i = 0; i < n && !r->is_short; i++) {
			char key[KEY_BYTES];
			size_t bytes;
			const uint8_t *octets = avro_read_octets(r, &bytes);

			if (octets == NULL)
				break;
			if (bytes >= sizeof(key))
				bytes = sizeof(key) - 1;
			memcpy(key, octets, bytes);
			key[bytes] = '\0';
			put_text(r, key, out);
		}
	}
	json_end(out);
}

static void put_raw(bool is_terse, struct rd *r, struct json *out)
{
	json_open_object(out, "raw");
	put_value(r, "protocol_version", FIELD_I32, out);
	if (is_there(r, "template_id", is_terse, out))
		put_value(r, "template_id", FIELD_I32, out);
	put_elements(r, out);
	if (is_there(r, "wire", is_terse, out))
		put_hex(r, "wire", out);
	put_array(r, "notes", FIELD_STRS, out);
	json_end(out);
}

enum err avro_to_json(const struct field_set *fields, const uint8_t *octets, size_t bytes,
		      bool is_terse, struct json *out)
{
	struct rd r = rd_of(octets, bytes);

	json_open_object(out, NULL);
	put_hex(&r, "record_id", out);
	put_layer(fields, LAYER_normalized, "normalized", is_terse, &r, out);
	put_layer(fields, LAYER_enriched, "enriched", is_terse, &r, out);
	put_raw(is_terse, &r, out);
	json_end(out);
	if (r.is_short || rd_left(&r) > 0)
		return ERR_FORMAT;
	return out->is_failed ? ERR_NOMEM : ERR_OK;
}
