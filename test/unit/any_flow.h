/* SPDX-License-Identifier: Apache-2.0 */
/*
 * any_flow.h - flows of random presence and values of every type, edge values among them, with random raw
 * elements, for the tests of what writes and reads them.
 *
 *	any_flow_set_up()	built-in fields, and one added field of each type
 *	make_flow(chances)	chances in 8 that a field is there
 */
#ifndef TEST_UNIT_ANY_FLOW_H
#define TEST_UNIT_ANY_FLOW_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "normalizer/flow.h"
#include "sink/avro.h"

#define OUT_BYTES (1u << 20)
#define KEYS 40
#define POOL_BYTES 300

static struct field_set fields;
static struct avro_encoder enc;
static struct flow flow;
static uint8_t out[OUT_BYTES];
static uint64_t seed = 0x9e3779b97f4a7c15;

static uint8_t pool[POOL_BYTES];       /* any octets */
static char text_pool[POOL_BYTES + 1]; /* UTF-8 at every offset that is asked for */
static struct raw_key keys[KEYS];
static uint8_t key_avro[KEYS][16];
static char key_names[KEYS][16];

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(rnd() >> 33) % n;
}

static const enum field_type extra_types[] = { FIELD_ADDR, FIELD_MAC,	FIELD_STR,  FIELD_I32,
					       FIELD_I64,  FIELD_F64,	FIELD_BOOL, FIELD_MS,
					       FIELD_DATE, FIELD_LONGS, FIELD_STRS };
#define EXTRAS (sizeof(extra_types) / sizeof(extra_types[0]))

static void add_extra_fields(void)
{
	static char names[EXTRAS][16];

	for (size_t i = 0; i < EXTRAS && i < FIELD_EXTRA_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "extra_%zu", i);
		fields.fields[FIELD_EXTRA_FIRST + i] =
			(struct field){ names[i], LAYER_normalized, extra_types[i], false,
					"",	  "Added." };
		fields.extra_count++;
	}
}

static void any_flow_set_up(void)
{
	field_set_init(&fields);
	add_extra_fields();
	avro_encoder_init(&enc, &fields);
	for (size_t i = 0; i < POOL_BYTES; i++) {
		pool[i] = (uint8_t)rnd();
		text_pool[i] = (char)('!' + below(90));
	}
	for (size_t i = 0; i < KEYS; i++) {
		int n = snprintf(key_names[i], sizeof(key_names[i]), "element%zu", i);

		key_avro[i][0] = (uint8_t)(n << 1);
		memcpy(key_avro[i] + 1, key_names[i], (size_t)n);
		keys[i] = (struct raw_key){ key_names[i], key_avro[i], (uint32_t)n + 1, RAW_HEX };
	}
}

static int64_t any_i64(void)
{
	static const int64_t edges[] = { 0,
					 1,
					 -1,
					 63,
					 64,
					 -64,
					 -65,
					 8191,
					 8192,
					 INT32_MAX,
					 INT64_MAX,
					 INT64_MIN,
					 INT64_MIN + (INT64_C(1) << 34),
					 (INT64_C(1) << 34),
					 (INT64_C(1) << 34) - 1,
					 (INT64_C(1) << 41),
					 (INT64_C(1) << 41) - 1,
					 1767225600000,
					 -1767225600000 };

	if (below(4) == 0)
		return edges[below(sizeof(edges) / sizeof(edges[0]))];
	return (int64_t)(rnd() >> below(64));
}

static void set_longs(unsigned i)
{
	uint32_t n = below(5);

	if (n > FLOW_LONGS_MAX - flow.long_count)
		n = 0;
	flow.slots[i].longs = flow.longs + flow.long_count;
	flow.slots[i].bytes = n;
	for (uint32_t k = 0; k < n; k++)
		flow.longs[flow.long_count++] = any_i64();
	flow_mark(&flow, i);
}

static void set_texts(unsigned i)
{
	uint32_t n = below(5);

	if (n > FLOW_TEXTS_MAX - flow.text_count)
		n = 0;
	flow.slots[i].texts = flow.texts + flow.text_count;
	flow.slots[i].bytes = n;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t bytes = below(70);

		flow.texts[flow.text_count++] =
			(struct text){ text_pool + below(POOL_BYTES - bytes), bytes };
	}
	flow_mark(&flow, i);
}

static void set_field(unsigned i)
{
	uint32_t bytes;
	uint64_t bits = rnd();
	double d;

	switch (fields.fields[i].type) {
	case FIELD_ADDR:
		flow_set_octets(&flow, i, pool + below(POOL_BYTES - 16), below(2) ? 4 : 16);
		break;
	case FIELD_MAC:
		flow_set_octets(&flow, i, pool + below(POOL_BYTES - 16), 6);
		break;
	case FIELD_STR:
		bytes = below(8) == 0 ? below(POOL_BYTES) : below(40);
		flow_set_octets(&flow, i, text_pool + below(POOL_BYTES - bytes), bytes);
		break;
	case FIELD_F64:
		memcpy(&d, &bits, sizeof(d));
		flow_set_f64(&flow, i, d);
		break;
	case FIELD_BOOL:
		flow_set_i64(&flow, i, below(2));
		break;
	case FIELD_I32:
	case FIELD_DATE:
		flow_set_i64(&flow, i, (int32_t)any_i64());
		break;
	case FIELD_LONGS:
		set_longs(i);
		break;
	case FIELD_STRS:
		set_texts(i);
		break;
	case FIELD_I64:
	case FIELD_MS:
	case FIELD_TYPE_COUNT:
	default:
		flow_set_i64(&flow, i, any_i64());
		break;
	}
}

static void set_raw(void)
{
	static const uint32_t usual[RAW_FORM_COUNT] = {
		[RAW_UNSIGNED] = 4, [RAW_SIGNED] = 8,  [RAW_FLOAT] = 4,
		[RAW_BOOL] = 1,	    [RAW_MAC] = 6,     [RAW_IPV4] = 4,
		[RAW_IPV6] = 16,    [RAW_STRING] = 12, [RAW_HEX] = 9,
	};

	flow.raw_count = below(KEYS);
	for (uint32_t i = 0; i < flow.raw_count; i++) {
		struct raw_value *v = &flow.raw[i];

		v->key = &keys[i];
		v->form = (enum raw_form)below(RAW_FORM_COUNT);
		v->bytes = below(3) ? usual[v->form] : below(32);
		if (v->form == RAW_STRING && below(2))
			v->octets = (const uint8_t *)text_pool + below(POOL_BYTES - v->bytes);
		else
			v->octets = pool + below(POOL_BYTES - v->bytes);
	}
}

/* Chances in 8 that a field is there. */
static void make_flow(uint32_t chances)
{
	flow_clear(&flow);
	for (size_t i = 0; i < FLOW_RECORD_ID_BYTES; i++)
		flow.record_id[i] = (uint8_t)rnd();
	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		const struct field *f = &fields.fields[i];

		if (f->name != NULL && (f->is_required || below(8) < chances))
			set_field(i);
	}
	flow.protocol_version = (uint16_t)rnd();
	flow.template_id = (uint16_t)rnd();
	flow.has_template_id = below(2);
	flow.has_wire = below(2);
	flow.record_bytes = below(POOL_BYTES);
	flow.record = pool;
	flow.notes = rnd() & ((UINT64_C(1) << NOTE_COUNT) - 1) & (below(2) ? ~UINT64_C(0) : 0);
	set_raw();
}

#endif
