/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what avro_encode writes is what the flow says, to an independent reader, in any room.
 * Method: flows of random presence and values of every type, edge values among them, with random raw
 * elements, are encoded; libavro's generic reader decodes them and each field is compared with the
 * slot, text made here by libc.  Each flow is also encoded into less room than it takes.  As JSON,
 * members are counted and raw elements compared; cut or with changed octets, a record must be refused,
 * or at least give a whole JSON object.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <avro.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "sink/avro.h"
#include "base/text.h"
#include "sink/schema.h"
#include "test/unit/any_flow.h"

static avro_schema_t schema;
static avro_value_iface_t *iface;
static avro_value_t value;

static int set_up(void **state)
{
	char *text;

	(void)state;
	any_flow_set_up();
	if (schema_text(&fields, &text) != ERR_OK)
		return -1;
	if (avro_schema_from_json_length(text, strlen(text), &schema) != 0)
		return -1;
	free(text);
	iface = avro_generic_class_from_schema(schema);
	if (iface == NULL || avro_generic_value_new(iface, &value) != 0)
		return -1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	avro_value_decref(&value);
	avro_value_iface_decref(iface);
	(void)avro_schema_decref(schema);
	return 0;
}

static avro_value_t get(const avro_value_t *record, const char *name)
{
	avro_value_t v = { NULL, NULL };

	assert_int_equal(avro_value_get_by_name(record, name, &v, NULL), 0);
	return v;
}

/* The branch of a nullable value; false when it is null. */
static bool get_branch(avro_value_t *v)
{
	avro_value_t branch = { NULL, NULL };
	int which = -1;

	if (avro_value_get_type(v) != AVRO_UNION)
		return true;
	assert_int_equal(avro_value_get_discriminant(v, &which), 0);
	assert_int_equal(avro_value_get_current_branch(v, &branch), 0);
	*v = branch;
	return which == 1;
}

static void check_text(const avro_value_t *v, const void *want, size_t bytes)
{
	const char *have = NULL;
	size_t size = 0;

	assert_int_equal(avro_value_get_string(v, &have, &size), 0);
	assert_int_equal(size, bytes + 1);
	assert_memory_equal(have, want, bytes);
}

static size_t mac_text(const uint8_t *m, char *text)
{
	return (size_t)snprintf(text, 64, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
				m[4], m[5]);
}

static void check_array(const avro_value_t *v, const struct slot *s, enum field_type type)
{
	size_t n = 0;

	assert_int_equal(avro_value_get_size(v, &n), 0);
	assert_int_equal(n, s->bytes);
	for (size_t i = 0; i < n; i++) {
		avro_value_t item;
		int64_t have = 0;

		assert_int_equal(avro_value_get_by_index(v, i, &item, NULL), 0);
		if (type == FIELD_STRS) {
			check_text(&item, s->texts[i].octets, s->texts[i].bytes);
			continue;
		}
		assert_int_equal(avro_value_get_long(&item, &have), 0);
		assert_true(have == s->longs[i]);
	}
}

static void check_value(const avro_value_t *v, const struct slot *s, enum field_type type)
{
	char text[64];
	int64_t have_long = 0;
	int32_t have_int = 0;
	int have_bool = -1;
	double have_double = 0;

	switch (type) {
	case FIELD_ADDR:
		assert_non_null(inet_ntop(s->bytes == 4 ? AF_INET : AF_INET6, s->octets, text,
					  sizeof(text)));
		check_text(v, text, strlen(text));
		break;
	case FIELD_MAC:
		check_text(v, text, mac_text(s->octets, text));
		break;
	case FIELD_STR:
		check_text(v, s->octets, s->bytes);
		break;
	case FIELD_I32:
	case FIELD_DATE:
		assert_int_equal(avro_value_get_int(v, &have_int), 0);
		assert_true(have_int == s->i64);
		break;
	case FIELD_F64:
		assert_int_equal(avro_value_get_double(v, &have_double), 0);
		assert_memory_equal(&have_double, &s->f64, sizeof(double));
		break;
	case FIELD_BOOL:
		assert_int_equal(avro_value_get_boolean(v, &have_bool), 0);
		assert_true(have_bool == s->i64);
		break;
	case FIELD_LONGS:
	case FIELD_STRS:
		check_array(v, s, type);
		break;
	case FIELD_I64:
	case FIELD_MS:
	case FIELD_TYPE_COUNT:
	default:
		assert_int_equal(avro_value_get_long(v, &have_long), 0);
		assert_true(have_long == s->i64);
		break;
	}
}

static void check_layer(enum field_layer layer, const char *name)
{
	avro_value_t record = get(&value, name);
	size_t first;
	size_t end = field_layer_end(&fields, layer, &first);

	for (size_t i = first; i < end; i++) {
		avro_value_t v = get(&record, fields.fields[i].name);
		bool is_there = get_branch(&v);

		assert_int_equal(is_there, flow_has(&flow, (unsigned)i));
		if (is_there)
			check_value(&v, &flow.slots[i], fields.fields[i].type);
	}
}

static size_t hex_text(const struct raw_value *v, char *text)
{
	for (uint32_t i = 0; i < v->bytes; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", v->octets[i]);
	return 2 * (size_t)v->bytes;
}

static size_t float_text(const struct raw_value *v, char *text)
{
	uint8_t turned[8];
	float f;
	double d;

	for (uint32_t i = 0; i < v->bytes; i++)
		turned[i] = v->octets[v->bytes - 1 - i];
	if (v->bytes == 4) {
		memcpy(&f, turned, 4);
		return (size_t)(text_put_f32((uint8_t *)text, f) - (uint8_t *)text);
	}
	memcpy(&d, turned, 8);
	return (size_t)(text_put_f64((uint8_t *)text, d) - (uint8_t *)text);
}

/* The text that raw.elements must have for an element, and the note that goes with it. */
static size_t raw_text(const struct raw_value *v, char *text, uint64_t *notes)
{
	uint64_t u = 0;
	bool is_number = v->bytes >= 1 && v->bytes <= 8;
	size_t bytes = v->bytes;

	for (uint32_t i = 0; i < v->bytes; i++)
		u = u << 8 | v->octets[i];
	if (v->form == RAW_UNSIGNED && is_number)
		return (size_t)snprintf(text, 64, "%llu", (unsigned long long)u);
	if (v->form == RAW_SIGNED && is_number) {
		if (v->bytes < 8 && (v->octets[0] & 0x80))
			u |= ~UINT64_C(0) << (8 * v->bytes);
		return (size_t)snprintf(text, 64, "%lld", (long long)u);
	}
	if (v->form == RAW_FLOAT && (v->bytes == 4 || v->bytes == 8))
		return float_text(v, text);
	if (v->form == RAW_BOOL && v->bytes == 1)
		return (size_t)(u == 1	 ? snprintf(text, 64, "true")
				: u == 2 ? snprintf(text, 64, "false")
					 : snprintf(text, 64, "%u", (unsigned)u));
	if (v->form == RAW_MAC && v->bytes == 6)
		return mac_text(v->octets, text);
	if ((v->form == RAW_IPV4 && v->bytes == 4) || (v->form == RAW_IPV6 && v->bytes == 16)) {
		(void)inet_ntop(v->bytes == 4 ? AF_INET : AF_INET6, v->octets, text, 64);
		return strlen(text);
	}
	if (v->form == RAW_STRING) {
		while (bytes > 0 && v->octets[bytes - 1] == 0)
			bytes--;
		if (utf8_is_valid(v->octets, bytes)) {
			memcpy(text, v->octets, bytes);
			return bytes;
		}
		*notes |= UINT64_C(1) << NOTE_BAD_UTF8;
	} else if (v->form != RAW_HEX) {
		*notes |= UINT64_C(1) << NOTE_CONTRACT;
	}
	return hex_text(v, text);
}

static void check_raw(void)
{
	avro_value_t raw = get(&value, "raw");
	avro_value_t v = get(&raw, "protocol_version");
	uint64_t notes = flow.notes;
	char text[256];
	const void *wire = NULL;
	size_t n = 0;
	int have = -1;

	assert_int_equal(avro_value_get_int(&v, &have), 0);
	assert_int_equal(have, flow.protocol_version);
	v = get(&raw, "template_id");
	assert_int_equal(get_branch(&v), flow.has_template_id);
	if (flow.has_template_id) {
		assert_int_equal(avro_value_get_int(&v, &have), 0);
		assert_int_equal(have, flow.template_id);
	}
	v = get(&raw, "elements");
	assert_int_equal(avro_value_get_size(&v, &n), 0);
	assert_int_equal(n, flow.raw_count);
	for (size_t i = 0; i < n; i++) {
		avro_value_t item = get(&v, keys[i].name);
		size_t bytes = raw_text(&flow.raw[i], text, &notes);

		check_text(&item, text, bytes);
	}
	v = get(&raw, "wire");
	assert_int_equal(get_branch(&v), flow.has_wire);
	if (flow.has_wire) {
		assert_int_equal(avro_value_get_bytes(&v, &wire, &n), 0);
		assert_int_equal(n, flow.record_bytes);
		assert_memory_equal(wire, flow.record, n);
	}
	v = get(&raw, "notes");
	assert_int_equal(avro_value_get_size(&v, &n), 0);
	assert_int_equal(n, __builtin_popcountll(notes));
	for (size_t i = 0; notes != 0; i++, notes &= notes - 1) {
		avro_value_t item;
		const char *want = note_texts[__builtin_ctzll(notes)];

		assert_int_equal(avro_value_get_by_index(&v, i, &item, NULL), 0);
		check_text(&item, want, strlen(want));
	}
}

static void decode(const uint8_t *octets, size_t bytes)
{
	avro_reader_t reader = avro_reader_memory((const char *)octets, (int64_t)bytes);
	size_t size = 0;

	assert_int_equal(avro_value_reset(&value), 0);
	assert_int_equal(avro_value_read(reader, &value), 0);
	avro_reader_free(reader);
	assert_int_equal(avro_value_sizeof(&value, &size), 0);
	assert_int_equal(size, bytes); /* nothing left over */
}

static void an_independent_reader_agrees(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		const void *id = NULL;
		size_t bytes = 0;
		size_t n;
		avro_value_t v;

		make_flow(round % 9);
		n = avro_encode(&enc, &flow, out, sizeof(out));
		assert_true(n > 0);
		decode(out, n);
		v = get(&value, "record_id");
		assert_int_equal(avro_value_get_bytes(&v, &id, &bytes), 0);
		assert_int_equal(bytes, FLOW_RECORD_ID_BYTES);
		assert_memory_equal(id, flow.record_id, bytes);
		check_layer(LAYER_normalized, "normalized");
		check_layer(LAYER_enriched, "enriched");
		check_raw();
	}
}

/* Octets of what has no fixed size, as the caller of avro_room() counts them at most. */
static size_t variable_bytes(void)
{
	size_t bytes = flow.record_bytes + (size_t)flow.long_count * 10;

	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		if (flow_has(&flow, i) && fields.fields[i].type == FIELD_STR)
			bytes += flow.slots[i].bytes;
	}
	for (uint32_t i = 0; i < flow.text_count; i++)
		bytes += flow.texts[i].bytes + 10;
	for (uint32_t i = 0; i < flow.raw_count; i++)
		bytes += flow.raw[i].key->avro_bytes + 2 * flow.raw[i].bytes + 64;
	return bytes;
}

static void any_room(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 12; round++) {
		size_t enough;
		size_t n;

		make_flow(round % 9);
		n = avro_encode(&enc, &flow, out, sizeof(out));
		enough = avro_room(&enc, variable_bytes());
		for (size_t room = 0; room <= enough; room += room < 64 ? 1 : 1 + below(9)) {
			uint8_t *small = malloc(room == 0 ? 1 : room); /* for a checker's sake */
			size_t got;

			assert_non_null(small);
			got = avro_encode(&enc, &flow, small, room);
			if (room < n)
				assert_int_equal(got, 0);
			if (got != 0) {
				assert_int_equal(got, n);
				assert_memory_equal(small, out, n);
			}
			free(small);
		}
		assert_int_equal(avro_encode(&enc, &flow, out, enough), n);
	}
}

/* Values that a plan must not make, and that must not make a wrong record either. */
static void breaches_are_null(void **state)
{
	static const uint8_t octets[16] = { 1, 2, 3, 4, 5 };
	size_t n;
	avro_value_t layer;
	avro_value_t v;

	(void)state;
	make_flow(0);
	flow.raw_count = 0;
	flow.notes = 0;
	flow_set_i64(&flow, F_src_port, (int64_t)INT32_MAX + 1);
	flow_set_octets(&flow, F_src_ip, octets, 5);
	flow_set_octets(&flow, F_src_mac, octets, 7);
	flow_set_octets(&flow, F_exporter_ip, octets, 0);
	n = avro_encode(&enc, &flow, out, sizeof(out));
	assert_true(n > 0);
	decode(out, n);
	layer = get(&value, "normalized");
	v = get(&layer, "src_port");
	assert_false(get_branch(&v));
	v = get(&layer, "src_ip");
	assert_false(get_branch(&v));
	v = get(&layer, "src_mac");
	assert_false(get_branch(&v));
	v = get(&layer, "exporter_ip");
	check_text(&v, "", 0);
	flow.notes = UINT64_C(1) << NOTE_CONTRACT;
	check_raw();
}

struct float_case {
	double value;
	const char *f64;
	const char *f32;
};

static const struct float_case float_cases[] = {
	{ 0.0, "0", "0" },
	{ -0.0, "-0", "-0" },
	{ 1.5, "1.5", "1.5" },
	{ 0.1, "0.1", "0.1" },
	{ -273.15, "-273.15", "-273.15" },
	{ 16777216.0, "16777216", "16777216" },
	{ 1e300, "1e+300", "inf" },
	{ 3.4028234663852886e38, "3.4028234663852886e+38", "3.4028235e+38" },
	{ 5e-324, "5e-324", "0" },
	{ 0.30000000000000004, "0.30000000000000004", "0.3" },
	{ 9007199254740993.0, "9007199254740992", "9.007199e+15" },
	{ 1.0 / 0.0, "inf", "inf" },
	{ -1.0 / 0.0, "-inf", "-inf" },
};

static void floats_as_text(void **state)
{
	uint8_t text[TEXT_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(float_cases) / sizeof(float_cases[0]); i++) {
		const struct float_case *c = &float_cases[i];

		*text_put_f64(text, c->value) = 0;
		assert_string_equal((char *)text, c->f64);
		*text_put_f32(text, (float)c->value) = 0;
		assert_string_equal((char *)text, c->f32);
	}
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t bits = rnd();
		double d;
		double back;

		memcpy(&d, &bits, sizeof(d));
		*text_put_f64(text, d) = 0;
		back = strtod((char *)text, NULL);
		assert_true(back == d || (back != back && d != d));
		assert_true(strlen((char *)text) < TEXT_MAX);
	}
}

static void numbers_and_tables(void **state)
{
	uint8_t have[TEXT_MAX + 1];
	char want[64];

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t v = rnd() >> below(64);

		*text_put_u64(have, v) = 0;
		(void)snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
		assert_string_equal((char *)have, want);
		*text_put_i64(have, (int64_t)v) = 0;
		(void)snprintf(want, sizeof(want), "%lld", (long long)v);
		assert_string_equal((char *)have, want);
	}
	*text_put_u64(have, UINT64_MAX) = 0;
	assert_string_equal((char *)have, "18446744073709551615");
	for (uint64_t ten = 10;; ten *= 10) { /* where one more digit begins */
		for (uint64_t v = ten - 1; v <= ten; v++) {
			*text_put_u64(have, v) = 0;
			(void)snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
			assert_string_equal((char *)have, want);
		}
		if (ten > UINT64_MAX / 10)
			break;
	}
	*text_put_i64(have, INT64_MIN) = 0;
	assert_string_equal((char *)have, "-9223372036854775808");
	for (unsigned v = 0; v < 256; v++) {
		uint8_t a[4] = { (uint8_t)v, (uint8_t)(255 - v), (uint8_t)v, (uint8_t)(255 - v) };

		*text_put_ipv4(have, a) = 0;
		assert_non_null(inet_ntop(AF_INET, a, want, sizeof(want)));
		assert_string_equal((char *)have, want);
		*text_put_hex(have, a, 2) = 0;
		(void)snprintf(want, sizeof(want), "%02x%02x", v, 255 - v);
		assert_string_equal((char *)have, want);
	}
}

/* Of any length, at any place, and nothing behind it. */
static void hex_of_any_length(void **state)
{
	uint8_t octets[80];
	uint8_t have[2 * sizeof(octets) + 1];
	char want[2 * sizeof(octets) + 1];

	(void)state;
	for (size_t bytes = 0; bytes <= sizeof(octets) - 8; bytes++) {
		size_t from = below(8);

		for (size_t i = 0; i < sizeof(octets); i++)
			octets[i] = (uint8_t)rnd();
		for (size_t i = 0; i < bytes; i++)
			(void)snprintf(want + 2 * i, 3, "%02x", octets[from + i]);
		memset(have, 'z', sizeof(have));
		assert_ptr_equal(text_put_hex(have, octets + from, bytes), have + 2 * bytes);
		assert_memory_equal(have, want, 2 * bytes);
		assert_int_equal(have[2 * bytes], 'z');
	}
}

static void skip_string(const char **p)
{
	assert_int_equal(**p, '"');
	for (++*p; **p != '"'; ++*p) {
		if ((unsigned char)**p < 0x20)
			fail_msg("control character in a string");
		if (**p != '\\')
			continue;
		++*p;
		assert_non_null(strchr("\"\\/bfnrtu", **p));
		for (int i = 0; **p == 'u' && i < 4; i++)
			assert_non_null(strchr("0123456789abcdefABCDEF", (*p)[1 + i]));
	}
	++*p;
}

/* A string, a word, or a number as strtod reads it. */
static void skip_scalar(const char **p)
{
	static const char *const words[] = { "null", "true", "false" };
	char *end;

	if (**p == '"') {
		skip_string(p);
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		if (strncmp(*p, words[i], strlen(words[i])) == 0) {
			*p += strlen(words[i]);
			return;
		}
	}
	assert_non_null(strchr("-0123456789", **p));
	(void)strtod(*p, &end);
	assert_true(end > *p);
	*p = end;
}

/* Fails when it is not one JSON object; else the number of members of each object and array at depth
 * 1, in order. */
static void check_json(const struct json *text, size_t counts[8])
{
	const char *p = text->text;
	char closers[8];
	size_t depth = 0;
	size_t seen = 0;

	assert_int_equal(strlen(text->text), text->bytes);
	assert_true(utf8_is_valid((const uint8_t *)text->text, text->bytes));
	do {
		if (depth > 0 && closers[depth - 1] == '}' && *p != '}') {
			skip_string(&p);
			assert_int_equal(*p++, ':');
		}
		if (depth == 2)
			counts[seen - 1]++;
		if (*p == '{' || *p == '[') {
			assert_true(depth < sizeof(closers));
			closers[depth++] = *p == '{' ? '}' : ']';
			if (depth == 2)
				counts[seen++] = 0;
			p++;
			if (*p != closers[depth - 1])
				continue;
			if (depth == 2)
				counts[seen - 1] = 0;
		} else {
			skip_scalar(&p);
		}
		while (depth > 0 && *p == closers[depth - 1]) {
			depth--;
			p++;
		}
		if (depth > 0)
			assert_int_equal(*p++, ',');
	} while (depth > 0);
	assert_int_equal(*p, '\0');
}

/* The member stands somewhere in the text. */
static void check_member(const struct json *text, const char *key, const void *octets, size_t bytes)
{
	struct json want;

	json_init(&want, 4096);
	json_strn(&want, key, octets, bytes);
	assert_non_null(strstr(text->text, want.text));
	json_fini(&want);
}

static size_t members(bool is_terse, enum field_layer layer)
{
	size_t n = 0;
	size_t first;
	size_t end = field_layer_end(&fields, layer, &first);

	for (size_t i = first; i < end; i++)
		n += !is_terse || flow_has(&flow, (unsigned)i);
	return n;
}

static void as_json(void **state)
{
	struct json text;

	(void)state;
	json_init(&text, 1u << 22);
	for (unsigned round = 0; round < 300; round++) {
		bool is_terse = round & 1;
		char id[2 * FLOW_RECORD_ID_BYTES + 1];
		size_t counts[8] = { 0 };
		size_t n;

		make_flow(round % 9);
		n = avro_encode(&enc, &flow, out, sizeof(out));
		json_clear(&text);
		assert_int_equal(avro_to_json(&fields, out, n, is_terse, &text), ERR_OK);
		check_json(&text, counts);
		assert_int_equal(counts[0], members(is_terse, LAYER_normalized));
		assert_int_equal(counts[1], members(is_terse, LAYER_enriched));
		for (size_t i = 0; i < FLOW_RECORD_ID_BYTES; i++)
			(void)snprintf(id + 2 * i, 3, "%02x", flow.record_id[i]);
		check_member(&text, "record_id", id, strlen(id));
		for (uint32_t i = 0; i < flow.raw_count; i++) {
			uint64_t notes = 0;
			char want[256];
			size_t bytes = raw_text(&flow.raw[i], want, &notes);

			check_member(&text, keys[i].name, want, bytes);
		}
	}
	json_fini(&text);
}

static void any_octets_as_json(void **state)
{
	struct json text;
	size_t counts[8];
	size_t accepted = 0;

	(void)state;
	json_init(&text, 1u << 22);
	for (unsigned round = 0; round < 18; round++) {
		size_t n;

		make_flow(round % 9);
		n = avro_encode(&enc, &flow, out, sizeof(out));
		for (size_t cut = 0; cut < n; cut++) {
			uint8_t *exact = malloc(cut == 0 ? 1 : cut);

			assert_non_null(exact);
			memcpy(exact, out, cut);
			json_clear(&text);
			assert_int_equal(avro_to_json(&fields, exact, cut, true, &text),
					 ERR_FORMAT);
			free(exact);
		}
		for (unsigned flips = 0; flips < 400; flips++) {
			size_t at = below((uint32_t)n);
			uint8_t before = out[at];

			out[at] ^= (uint8_t)(1u << below(8));
			json_clear(&text);
			accepted += avro_to_json(&fields, out, n, flips & 1, &text) == ERR_OK;
			check_json(&text, counts);
			out[at] = before;
		}
	}
	assert_true(accepted > 0); /* a changed digit is still a record */
	for (unsigned round = 0; round < 20000; round++) {
		size_t n = below(600);

		for (size_t i = 0; i < n; i++)
			out[i] = (uint8_t)(below(3) ? below(4) : rnd());
		json_clear(&text);
		(void)avro_to_json(&fields, out, n, round & 1, &text);
	}
	json_clear(&text);
	assert_int_equal(avro_to_json(&fields, NULL, 0, false, &text), ERR_FORMAT);
	json_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_independent_reader_agrees),
		cmocka_unit_test(any_room),
		cmocka_unit_test(breaches_are_null),
		cmocka_unit_test(as_json),
		cmocka_unit_test(any_octets_as_json),
		cmocka_unit_test(floats_as_text),
		cmocka_unit_test(numbers_and_tables),
		cmocka_unit_test(hex_of_any_length),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
