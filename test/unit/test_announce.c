/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what exporters announce of elements (RFC 5610) is believed where no registry knows better, once, within its limits; and plans
 * are compiled anew where it says something of their template, and nowhere else.
 * Method: a table of records of one options template in a row, each with what it must do; then plans beside them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/wr.h"
#include "normalizer/plan.h"

#define VENDOR 32473u
#define STEPS 6
#define NAME_121 "n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n1234567890"

/* As in RFC 5610, 3: the scope, then what is said; the last one has room for a long name. */
static const struct tmpl_field said[] = {
	{ PEN_IANA, 346, 4, true },  { PEN_IANA, 303, 2, true },  { PEN_IANA, 339, 1, false },
	{ PEN_IANA, 344, 1, false }, { PEN_IANA, 345, 2, false }, { PEN_IANA, 341, 128, false },
};
#define SAID (sizeof(said) / sizeof(said[0]))

static struct catalog *catalog;

static int set_up(void **state)
{
	const struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables", RAW_MODE_UNPROMOTED };
	struct why why = { "" };

	(void)state;
	if (catalog_load(&conf, 1, &why, &catalog) != ERR_OK)
		fail_msg("%s", why.text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	catalog_free(catalog);
	return 0;
}

static struct tmpl *make(const struct tmpl_field *fields, uint16_t count)
{
	struct tmpl *t;

	must(tmpl_new(count, &t) == ERR_OK);
	t->version = VERSION_IPFIX;
	for (uint16_t i = 0; i < count; i++)
		t->fields[i] = fields[i];
	must(tmpl_finish(t) == ERR_OK);
	return t;
}

struct step {
	uint32_t pen;
	uint16_t id;
	uint8_t type;
	const char *name;
	enum announce_result result;
};

static enum announce_result learn(struct announce **a, const struct step *s, size_t limit)
{
	struct tmpl *t = make(said, SAID);
	uint8_t octets[138] = { 0 };
	struct wr w = wr_of(octets, sizeof(octets));
	struct value values[SAID];
	enum announce_result result;

	t->is_options = true;
	must(announce_is_of(t));
	wr_u32(&w, s->pen);
	wr_u16(&w, s->id);
	wr_u8(&w, s->type);
	wr_u8(&w, 0);
	wr_u16(&w, 0);
	wr_bytes(&w, s->name, strlen(s->name));
	must(!w.is_full);
	tmpl_cut(t, octets, sizeof(octets), values);
	result = announce_learn(a, NULL, catalog->elements, t, values, limit);
	tmpl_free(t);
	return result;
}

static void test_records(void **state)
{
	static const struct {
		const char *name;
		struct step steps[STEPS];
		const char *key; /* of element 77 of VENDOR, after all of them */
	} cases[] = {
		{ "new", { { VENDOR, 77, 13, "probeMood", ANNOUNCE_NEW } }, "probeMood" },
		{ "again", { { VENDOR, 77, 13, "a.B_c-9", ANNOUNCE_NEW }, { VENDOR, 77, 13, "a.B_c-9", ANNOUNCE_SAME } }, "a.B_c-9" },
		{ "as it stands in templates", { { VENDOR, 0x8000 | 77, 2, "depth", ANNOUNCE_NEW } }, "depth" },
		{ "another type", { { VENDOR, 77, 13, "mood", ANNOUNCE_NEW }, { VENDOR, 77, 2, "mood", ANNOUNCE_CHANGED } }, "mood" },
		{ "another name", { { VENDOR, 77, 13, "mood", ANNOUNCE_NEW }, { VENDOR, 77, 13, "moods", ANNOUNCE_CHANGED } }, "mood" },
		{ "no name", { { VENDOR, 77, 13, "", ANNOUNCE_NEW }, { VENDOR, 77, 13, "mood", ANNOUNCE_CHANGED } }, "e32473id77" },
		{ "a list", { { VENDOR, 77, 20, "moods", ANNOUNCE_NEW }, { VENDOR, 77, 0, "moods", ANNOUNCE_CHANGED } }, "moods" },
		{ "no such type", { { VENDOR, 77, 23, "mood", ANNOUNCE_TYPE }, { VENDOR, 77, 255, "mood", ANNOUNCE_TYPE } }, "e32473id77" },
		{ "no such element", { { VENDOR, 0, 13, "mood", ANNOUNCE_TYPE }, { VENDOR, 0x8000, 13, "mood", ANNOUNCE_TYPE } }, "e32473id77" },
		{ "no name of ours", { { VENDOR, 77, 13, "a b", ANNOUNCE_NAME }, { VENDOR, 77, 13, "a\"b", ANNOUNCE_NAME },
				       { VENDOR, 77, 13, "a#2", ANNOUNCE_NAME }, { VENDOR, 77, 13, "\xc3\xa4", ANNOUNCE_NAME },
				       { VENDOR, 77, 13, "\xff", ANNOUNCE_NAME }, { VENDOR, 77, 13, NAME_121, ANNOUNCE_NAME } }, "e32473id77" },
		{ "the longest", { { VENDOR, 77, 13, &NAME_121[1], ANNOUNCE_NEW } }, &NAME_121[1] },
		{ "known", { { PEN_IANA, 8, 13, "mine", ANNOUNCE_KNOWN }, { PEN_NTOP, 118, 13, "mine", ANNOUNCE_KNOWN },
			     { VENDOR, 77, 13, "mine", ANNOUNCE_NEW } }, "mine" },
		{ "known like this", { { PEN_IANA, 8, 18, "sourceIPv4Address", ANNOUNCE_SAME }, { PEN_IANA, 1, 2, "octets", ANNOUNCE_SAME } }, "e32473id77" },
		{ "nobody's", { { PEN_IANA, 32000, 13, "mine", ANNOUNCE_KNOWN }, { PEN_REVERSE, 32000, 13, "mine", ANNOUNCE_KNOWN },
				{ PEN_V9, 77, 13, "mine", ANNOUNCE_KNOWN }, { PEN_SFLOW, 32000, 13, "mine", ANNOUNCE_KNOWN } }, "e32473id77" },
		{ "another's", { { VENDOR, 78, 13, "mood", ANNOUNCE_NEW }, { VENDOR, 77, 13, "mood", ANNOUNCE_NEW },
				 { VENDOR, 77, 13, "mood", ANNOUNCE_SAME } }, "e32473id77" },
		{ "a registry's", { { VENDOR, 77, 13, "octetDeltaCount", ANNOUNCE_NEW } }, "e32473id77" },
		{ "a vendor's", { { VENDOR, 77, 13, "ntop.DNS_QUERY", ANNOUNCE_NEW } }, "e32473id77" },
		{ "a number", { { VENDOR, 77, 13, "e32473id78", ANNOUNCE_NEW } }, "e32473id77" },
		{ "v9's", { { VENDOR, 77, 13, "v9.40000", ANNOUNCE_NEW } }, "e32473id77" },
		{ "a reverse one's", { { VENDOR, 77, 13, "reverse.octetDeltaCount", ANNOUNCE_NEW } }, "e32473id77" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct announce *a = NULL;
		char key[ELEMENT_NAME_BYTES];

		for (size_t k = 0; k < STEPS && cases[i].steps[k].name != NULL; k++) {
			size_t before = announce_count(a);

			if (learn(&a, &cases[i].steps[k], ANNOUNCE_SESSION_MAX) != cases[i].steps[k].result)
				fail_msg("%s: step %zu", cases[i].name, k);
			assert_int_equal(announce_count(a) - before, cases[i].steps[k].result == ANNOUNCE_NEW);
		}
		assert_string_equal(announce_name(a, catalog->elements, VENDOR, 77, key, sizeof(key)), cases[i].key);
		assert_string_equal(announce_name(a, catalog->elements, PEN_IANA, 8, key, sizeof(key)), "sourceIPv4Address");
		announce_free(a);
	}
}

/* In any order of numbers each is found, and none past the limit. */
static void test_many(void **state)
{
	const size_t limit = 100;
	struct announce *a = NULL;
	struct step s = { VENDOR, 0, 4, "", ANNOUNCE_NEW };

	(void)state;
	for (uint16_t i = 0; i < 2 * limit; i++) {
		s.id = (uint16_t)(1 + i * 7919u % 32749u);
		assert_int_equal(learn(&a, &s, limit), i < limit ? ANNOUNCE_NEW : ANNOUNCE_OVER);
	}
	assert_int_equal(announce_count(a), limit);
	for (uint16_t i = 0; i < 2 * limit; i++) {
		const struct announced *e = announce_find(a, VENDOR, (uint16_t)(1 + i * 7919u % 32749u));

		assert_int_equal(e != NULL, i < limit);
		assert_true(e == NULL || e->type == ELEMENT_UNSIGNED64);
	}
	announce_free(a);
}

static void test_templates(void **state)
{
	static const struct {
		uint16_t version, id;
		bool is_of;
	} cases[] = { { VERSION_IPFIX, 339, true }, { VERSION_NF9, 339, false }, { VERSION_IPFIX, 340, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tmpl *t = make(said, SAID);

		t->version = cases[i].version;
		t->fields[2].id = cases[i].id;
		assert_int_equal(announce_is_of(t), cases[i].is_of);
		tmpl_free(t);
	}
}

/* The texts of raw, in a row. */
static void check_raw(const struct plan *p, const uint8_t *record, const char *names, const char *forms)
{
	static struct flow flow;
	const struct xform_env env = { .export_ms = 1700000000000 };
	char got[128] = "";
	char got_forms[16] = "";

	flow_clear(&flow);
	plan_run(p, &env, record, &flow);
	for (uint32_t i = 0; i < flow.raw_count; i++) {
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", flow.raw[i].key->name);
		(void)snprintf(got_forms + i, 2, "%u", (unsigned)flow.raw[i].form);
	}
	assert_string_equal(got, names);
	assert_string_equal(got_forms, forms);
}

/* Announced one after the other, each plan is as good as its template can be; one of IANA's elements never is unsure for long. */
static void test_plans(void **state)
{
	static const struct tmpl_field fields[] = { { VENDOR, 77, 2, false }, { VENDOR, 78, 2, false }, { VENDOR, 77, 2, false }, { PEN_IANA, 1, 4, false } };
	static const uint8_t record[] = { 0, 1, 0, 2, 0, 3, 0, 0, 0, 4 };
	static const struct {
		struct step step;
		bool is_behind;
		const char *names, *forms;
	} steps[] = {
		{ { VENDOR, 99, 13, "other", ANNOUNCE_NEW }, false, "e32473id77 e32473id78 e32473id77#2 octetDeltaCount ", "8880" },
		{ { VENDOR, 77, 2, "depth", ANNOUNCE_NEW }, true, "depth e32473id78 depth#2 octetDeltaCount ", "0800" },
		{ { VENDOR, 77, 4, "depths", ANNOUNCE_CHANGED }, false, "depth e32473id78 depth#2 octetDeltaCount ", "0800" },
		{ { VENDOR, 78, 18, "lies", ANNOUNCE_NEW }, true, "depth lies depth#2 octetDeltaCount ", "0800" },
	};
	struct tmpl *t = make(fields, 4);
	struct tmpl *plain = make(fields + 3, 1);
	struct announce *a = NULL;
	struct plan *p;
	struct plan *of_plain;

	(void)state;
	must(plan_compile_announced(catalog, t, 0, a, &p) == ERR_OK);
	must(plan_compile_announced(catalog, plain, 0, a, &of_plain) == ERR_OK);
	assert_false(plan_is_unsure(p, a));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool is_new = steps[i].step.result == ANNOUNCE_NEW;

		assert_int_equal(learn(&a, &steps[i].step, ANNOUNCE_SESSION_MAX), steps[i].step.result);
		assert_int_equal(plan_is_unsure(p, a), is_new);
		assert_int_equal(plan_is_behind(p, catalog, t, a), steps[i].is_behind);
		assert_false(plan_is_behind(of_plain, catalog, plain, a));
		assert_false(plan_is_unsure(of_plain, a));
		if (steps[i].is_behind) {
			plan_free(p);
			must(plan_compile_announced(catalog, t, 0, a, &p) == ERR_OK);
		}
		assert_false(plan_is_unsure(p, a));
		check_raw(p, record, steps[i].names, steps[i].forms);
	}
	plan_free(p);
	plan_free(of_plain);
	announce_free(a);
	tmpl_free(t);
	tmpl_free(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_plans),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
