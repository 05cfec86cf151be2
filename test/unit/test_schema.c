/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the schema says what fields.def says, and others can read it.
 * Method: libavro parses it; every row is found in its record, at its place, with its type and null
 * first in its union; documentation, logical types and defaults are looked for in the text.  Added
 * fields with awkward documentation must not break the JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <avro.h>
#include <cmocka.h>

#include "sink/schema.h"

static struct field_set fields;
static char *text;
static avro_schema_t schema;

static int read_schema(void **state)
{
	struct why why;

	(void)state;
	field_set_init(&fields);
	if (schema_text(&fields, &text) != ERR_OK)
		return -1;
	if (schema_check(text, &why) != ERR_OK) {
		print_error("%s\n", why.text);
		return -1;
	}
	return avro_schema_from_json_length(text, strlen(text), &schema);
}

static int drop_schema(void **state)
{
	(void)state;
	(void)avro_schema_decref(schema);
	free(text);
	return 0;
}

static const avro_type_t avro_types[FIELD_TYPE_COUNT] = {
	[FIELD_ADDR] = AVRO_STRING,  [FIELD_MAC] = AVRO_STRING, [FIELD_STR] = AVRO_STRING,
	[FIELD_I32] = AVRO_INT32,    [FIELD_I64] = AVRO_INT64,	[FIELD_F64] = AVRO_DOUBLE,
	[FIELD_BOOL] = AVRO_BOOLEAN, [FIELD_MS] = AVRO_INT64,	[FIELD_DATE] = AVRO_INT32,
	[FIELD_LONGS] = AVRO_ARRAY,  [FIELD_STRS] = AVRO_ARRAY,
};

static void top_level(void **state)
{
	static const char *const names[] = { "record_id", "normalized", "enriched", "raw" };
	static const char *const records[] = { NULL, "Normalized", "Enriched", "Raw" };

	(void)state;
	assert_string_equal(avro_schema_name(schema), "Flow");
	assert_string_equal(avro_schema_namespace(schema), "sluice");
	assert_int_equal(avro_schema_record_size(schema), 4);
	for (int i = 0; i < 4; i++) {
		avro_schema_t s = avro_schema_record_field_get_by_index(schema, i);

		assert_string_equal(avro_schema_record_field_name(schema, i), names[i]);
		if (records[i] == NULL) {
			assert_int_equal(avro_typeof(s), AVRO_BYTES);
			continue;
		}
		assert_string_equal(avro_schema_name(s), records[i]);
		assert_string_equal(avro_schema_namespace(s), "sluice");
	}
}

static void check_type(avro_schema_t s, const struct field *f)
{
	if (!f->is_required) {
		assert_int_equal(avro_typeof(s), AVRO_UNION);
		assert_int_equal(avro_schema_union_size(s), 2);
		assert_int_equal(avro_typeof(avro_schema_union_branch(s, 0)), AVRO_NULL);
		s = avro_schema_union_branch(s, 1);
	}
	assert_int_equal(avro_typeof(s), avro_types[f->type]);
	if (f->type == FIELD_LONGS)
		assert_int_equal(avro_typeof(avro_schema_array_items(s)), AVRO_INT64);
	if (f->type == FIELD_STRS)
		assert_int_equal(avro_typeof(avro_schema_array_items(s)), AVRO_STRING);
}

static void every_field_at_its_place(void **state)
{
	static const char *const records[LAYER_COUNT] = {
		[LAYER_normalized] = "normalized",
		[LAYER_enriched] = "enriched",
	};

	(void)state;
	for (size_t l = 0; l < LAYER_COUNT; l++) {
		avro_schema_t s = avro_schema_record_field_get(schema, records[l]);
		size_t first;
		size_t end = field_layer_end(&fields, (enum field_layer)l, &first);

		assert_int_equal(avro_schema_record_size(s), end - first);
		for (size_t i = first; i < end; i++) {
			const struct field *f = &fields.fields[i];
			int at = avro_schema_record_field_get_index(s, f->name);

			assert_int_equal(at, (int)(i - first));
			check_type(avro_schema_record_field_get_by_index(s, at), f);
		}
	}
}

static size_t count_in_text(const char *what)
{
	size_t n = 0;

	for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
		n++;
	return n;
}

/* What libavro drops when it reads: from the text. */
static void documentation_and_defaults(void **state)
{
	size_t of_type[FIELD_TYPE_COUNT] = { 0 };
	size_t nullable = 2; /* template_id and wire */

	(void)state;
	for (size_t i = 0; i < FIELD_SLOTS; i++) {
		const struct field *f = &fields.fields[i];

		if (f->name == NULL)
			continue;
		of_type[f->type]++;
		nullable += !f->is_required;
		if (strpbrk(f->doc, "\"\\") == NULL)
			assert_non_null(strstr(text, f->doc));
	}
	assert_int_equal(count_in_text("\"default\":null"), nullable);
	assert_int_equal(count_in_text("[\"null\","), nullable);
	assert_int_equal(count_in_text("\"logicalType\":\"timestamp-millis\""), of_type[FIELD_MS]);
	assert_int_equal(count_in_text("\"logicalType\":\"date\""), of_type[FIELD_DATE]);
	assert_int_equal(count_in_text("\"doc\":\"\""), 0);
}

static void awkward_documentation(void **state)
{
	struct field_set more;
	struct why why;
	char *out;
	avro_schema_t s;

	(void)state;
	field_set_init(&more);
	more.fields[FIELD_EXTRA_FIRST] =
		(struct field){ "site_id", LAYER_normalized, FIELD_I64,
				false,	   "\"sites\"\\",    "Says \"x\\y\"\n\tand \x01." };
	more.extra_count = 1;
	assert_int_equal(schema_text(&more, &out), ERR_OK);
	assert_int_equal(schema_check(out, &why), ERR_OK);
	assert_int_equal(avro_schema_from_json_length(out, strlen(out), &s), 0);
	assert_int_equal(avro_schema_record_field_get_index(
				 avro_schema_record_field_get(s, "normalized"), "site_id"),
			 FIELD_EXTRA_FIRST);
	assert_non_null(strstr(out, "Says \\\"x\\\\y\\\"\\u000a\\u0009and \\u0001."));
	(void)avro_schema_decref(s);
	free(out);
}

static void fields_come_back(void **state)
{
	static const enum field_type types[] = { FIELD_STR, FIELD_ADDR,	 FIELD_I32,
						 FIELD_I64, FIELD_MS,	 FIELD_BOOL,
						 FIELD_F64, FIELD_LONGS, FIELD_STRS, FIELD_DATE };
	static const enum field_type read_as[] = { FIELD_STR, FIELD_STR,   FIELD_I32,
						   FIELD_I64, FIELD_MS,   FIELD_BOOL,
						   FIELD_F64, FIELD_LONGS, FIELD_STRS, FIELD_DATE };
	static char names[10][8];
	struct field_set more;
	struct field_set *back = NULL;
	struct why why;
	char *out;

	(void)state;
	field_set_init(&more);
	for (size_t i = 0; i < 10 && i < FIELD_EXTRA_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "x%zu", i);
		more.fields[FIELD_EXTRA_FIRST + i] =
			(struct field){ names[i], LAYER_normalized, types[i], false, "", "X." };
		more.extra_count++;
	}
	assert_int_equal(schema_text(&more, &out), ERR_OK);
	assert_int_equal(schema_fields_new(out, &why, &back), ERR_OK);
	free(out);
	assert_int_equal(back->extra_count, more.extra_count);
	for (size_t i = 0; i < back->extra_count; i++) {
		assert_string_equal(back->fields[FIELD_EXTRA_FIRST + i].name, names[i]);
		assert_int_equal(back->fields[FIELD_EXTRA_FIRST + i].type, read_as[i]);
	}
	schema_fields_free(back);
	assert_int_equal(schema_fields_new("\"int\"", &why, &back), ERR_FORMAT);
	assert_int_equal(schema_fields_new("{", &why, &back), ERR_FORMAT);
}

static void wrong_text_is_refused(void **state)
{
	struct why why = { "" };

	(void)state;
	assert_int_equal(schema_check("{\"type\":\"record\"", &why), ERR_FORMAT);
	assert_true(strlen(why.text) > 0);
	assert_int_equal(schema_check("", &why), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(top_level),
		cmocka_unit_test(every_field_at_its_place),
		cmocka_unit_test(documentation_and_defaults),
		cmocka_unit_test(awkward_documentation),
		cmocka_unit_test(fields_come_back),
		cmocka_unit_test(wrong_text_is_refused),
	};

	return cmocka_run_group_tests(tests, read_schema, drop_schema);
}
