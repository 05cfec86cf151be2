/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the field table is what fields.def says, by number and by name, added fields included.
 * Method: walk both layers and look every name up again; rows of known fields; all notes have texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "normalizer/field.h"
#include "normalizer/flow.h"

static struct field_set set;

static void every_field_is_found(void **state)
{
	static const enum field_layer layers[] = { LAYER_normalized, LAYER_enriched };
	size_t seen = 0;

	(void)state;
	field_set_init(&set);
	for (size_t l = 0; l < LAYER_COUNT; l++) {
		size_t first;
		size_t end = field_layer_end(&set, layers[l], &first);

		for (size_t i = first; i < end; i++) {
			const struct field *f = &set.fields[i];

			assert_non_null(f->name);
			assert_non_null(f->unit);
			assert_true(strlen(f->doc) > 0);
			assert_int_equal(f->layer, layers[l]);
			assert_true((unsigned)f->type < FIELD_TYPE_COUNT);
			assert_int_equal(field_find(&set, f->name), (int)i);
			seen++;
		}
	}
	assert_int_equal(seen, FIELD_NORMALIZED_COUNT + FIELD_ENRICHED_COUNT);
	assert_int_equal(field_find(&set, "no_such_field"), -1);
	assert_int_equal(field_find(&set, ""), -1);
}

static void known_fields(void **state)
{
	static const struct {
		const char *name;
		int number;
		enum field_type type;
		bool is_required;
	} rows[] = {
		{ "event_time", F_event_time, FIELD_MS, true },
		{ "exporter_ip", F_exporter_ip, FIELD_ADDR, true },
		{ "src_ip", F_src_ip, FIELD_ADDR, false },
		{ "src_mac", F_src_mac, FIELD_MAC, false },
		{ "mpls_labels", F_mpls_labels, FIELD_LONGS, false },
		{ "src_tags", F_src_tags, FIELD_STRS, false },
	};

	(void)state;
	field_set_init(&set);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = field_find(&set, rows[i].name);

		assert_int_equal(n, rows[i].number);
		assert_int_equal(set.fields[n].type, rows[i].type);
		assert_int_equal(set.fields[n].is_required, rows[i].is_required);
	}
}

static void added_fields_follow_the_built_in(void **state)
{
	size_t first;
	size_t end;

	(void)state;
	field_set_init(&set);
	set.fields[FIELD_EXTRA_FIRST] =
		(struct field){ "site_id", LAYER_normalized, FIELD_I64, false, "", "A site.", NULL };
	set.extra_count = 1;
	end = field_layer_end(&set, LAYER_normalized, &first);
	assert_int_equal(first, 0);
	assert_int_equal(end, FIELD_EXTRA_FIRST + 1);
	assert_int_equal(field_find(&set, "site_id"), FIELD_EXTRA_FIRST);
}

static void types_and_notes_have_texts(void **state)
{
	(void)state;
	assert_string_equal(field_type_text(FIELD_MS), "long");
	assert_string_equal(field_type_text(FIELD_DATE), "int");
	assert_string_equal(field_type_text(FIELD_ADDR), "string");
	assert_string_equal(field_type_text(FIELD_STRS), "array<string>");
	for (size_t i = 0; i < NOTE_COUNT; i++) {
		assert_true(strlen(note_texts[i]) > 0);
		assert_true(strlen(note_docs[i]) > 0);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(note_texts[i], note_texts[k]);
	}
}

static void flow_bits(void **state)
{
	static struct flow f;
	uint8_t *p;

	(void)state;
	flow_clear(&f);
	flow_set_i64(&f, F_event_time, 7);
	assert_true(flow_has(&f, F_event_time));
	flow_unmark(&f, F_event_time);
	assert_false(flow_has(&f, F_event_time));
	p = flow_scratch(&f, FLOW_SCRATCH_BYTES);
	assert_non_null(p);
	assert_null(flow_scratch(&f, 1));
	flow_clear(&f);
	assert_non_null(flow_scratch(&f, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_is_found),
		cmocka_unit_test(known_fields),
		cmocka_unit_test(added_fields_follow_the_built_in),
		cmocka_unit_test(types_and_notes_have_texts),
		cmocka_unit_test(flow_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
