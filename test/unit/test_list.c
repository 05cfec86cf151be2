/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: AS paths and communities of sFlow stand in raw as what they mean, and what is no such thing as it came.
 * Method: one table of octets and their text; each runs through a plan of the shipped mappings, in memory of its own size.
 * Paths of the greatest length go through one message until it has no more steps.
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
#include "normalizer/list.h"
#include "normalizer/plan.h"

#define AS_PATH 27 /* of PEN_SFLOW */
#define COMMUNITIES 28
#define OCTETS_MAX 65532

static struct catalog *catalog;
static struct lists *lists;
static struct flow flow;

static const struct row {
	const char *name;
	uint16_t id;
	const char *octets; /* hex */
	const char *text;   /* NULL: stays hex */
} rows[] = {
	{ "a sequence and a set", AS_PATH, "00000002 00000002 0000fde9 fffffffe 00000001 00000001 0000fdeb",
	  "[{\"type\":\"sequence\",\"as\":[\"65001\",\"4294967294\"]},{\"type\":\"set\",\"as\":[\"65003\"]}]" },
	{ "no segment", AS_PATH, "", "[]" },
	{ "an empty segment", AS_PATH, "00000002 00000000 00000001 00000001 00000007",
	  "[{\"type\":\"sequence\",\"as\":[]},{\"type\":\"set\",\"as\":[\"7\"]}]" },
	{ "types without a name", AS_PATH, "00000000 00000001 00000007 ffffffff 00000000",
	  "[{\"type\":0,\"as\":[\"7\"]},{\"type\":4294967295,\"as\":[]}]" },
	{ "a segment that is cut", AS_PATH, "00000002 00000002 0000fde9", NULL },
	{ "a segment's head that is cut", AS_PATH, "00000002 00000000 00000002", NULL },
	{ "2^30 numbers", AS_PATH, "00000002 40000000 0000fde9", NULL },
	{ "2^32-1 numbers", AS_PATH, "00000002 ffffffff 0000fde9", NULL },
	{ "an octet too many", AS_PATH, "00000002 00000001 0000fde9 00", NULL },
	{ "communities", COMMUNITIES, "fde8007b ffffff01 00000000", "[\"65000:123\",\"65535:65281\",\"0:0\"]" },
	{ "no community", COMMUNITIES, "", "[]" },
	{ "a community that is cut", COMMUNITIES, "fde8007b ffff", NULL },
};

static const struct plan *plan_of(void *ctx, uint16_t id, const struct tmpl **t, uint32_t *cost)
{
	(void)ctx;
	(void)id;
	*t = NULL;
	*cost = 0;
	return NULL;
}

static const struct announce *announce_of(void *ctx)
{
	(void)ctx;
	return NULL;
}

static int set_up(void **state)
{
	const struct catalog_conf conf = { "templates/elements", "templates/mappings",
					   "templates/tables", RAW_MODE_UNPROMOTED };
	const struct list_source source = { NULL, plan_of, announce_of };
	struct why why = { "" };

	(void)state;
	assert_int_equal(catalog_load(&conf, 1, &why, &catalog), ERR_OK);
	assert_int_equal(lists_new(&source, &lists), ERR_OK);
	lists_use(lists, catalog->elements);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lists_free(lists);
	catalog_free(catalog);
	return 0;
}

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; *hex != '\0'; hex++) {
		unsigned octet;

		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &octet), 1);
		out[n++] = (uint8_t)octet;
		hex++;
	}
	return n;
}

/* A record of one element; what raw has of it. */
static struct raw_value run(uint16_t id, const uint8_t *octets, size_t bytes)
{
	const struct xform_env env = { .lists = lists };
	struct value v = { octets, (uint32_t)bytes };
	struct tmpl *t;
	struct plan *p;
	struct raw_value raw;

	assert_int_equal(tmpl_new(1, &t), ERR_OK);
	t->id = TMPL_ID_MIN;
	t->version = VERSION_SFLOW5;
	t->fields[0] = (struct tmpl_field){ PEN_SFLOW, id, TMPL_VARIABLE, false };
	assert_int_equal(tmpl_finish(t), ERR_OK);
	assert_int_equal(plan_compile(catalog, t, 0, &p), ERR_OK);
	flow_clear(&flow);
	lists_clear(lists);
	plan_run_values(p, &env, &v, &flow);
	assert_int_equal(flow.raw_count, 1);
	raw = flow.raw[0];
	plan_free(p);
	tmpl_free(t);
	return raw;
}

static void check(const struct row *row)
{
	static const uint8_t none[1];
	uint8_t octets[256];
	size_t bytes = from_hex(row->octets, octets);
	uint8_t *own = malloc(bytes + (bytes == 0));
	struct raw_value raw;

	must(own != NULL);
	memcpy(own, bytes == 0 ? none : octets, bytes);
	lists_begin(lists);
	raw = run(row->id, own, bytes);
	if (row->text == NULL) {
		if (raw.octets != own || raw.bytes != bytes || raw.form != RAW_HEX ||
		    (flow.notes >> NOTE_LIST & 1) == 0)
			fail_msg("%s: is opened", row->name);
	} else if (raw.form != RAW_STRING || raw.bytes != strlen(row->text) ||
		   memcmp(raw.octets, row->text, raw.bytes) != 0 || flow.notes != 0) {
		fail_msg("%s: %.*s", row->name, (int)raw.bytes, (const char *)raw.octets);
	}
	free(own);
}

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

/* One segment of as many numbers as a datagram has room for. */
static void test_steps(void **state)
{
	static uint8_t octets[OCTETS_MAX];
	uint32_t opened = 0;
	uint64_t counts[LIST_COUNTS];

	(void)state;
	octets[3] = 2;
	octets[6] = ((OCTETS_MAX - 8) / 4) >> 8;
	octets[7] = (uint8_t)((OCTETS_MAX - 8) / 4);
	lists_take_counts(lists, counts);
	lists_begin(lists);
	for (int i = 0; i < 8; i++)
		opened += run(AS_PATH, octets, sizeof(octets)).form == RAW_STRING;
	assert_int_equal(opened, LIST_STEPS_MAX / (OCTETS_MAX / 4) - 1);
	lists_take_counts(lists, counts);
	assert_int_equal(counts[LIST_STEPS], 8 - opened);
	assert_int_equal(counts[LIST_OPENED], 0); /* of RFC 6313 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_steps),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
