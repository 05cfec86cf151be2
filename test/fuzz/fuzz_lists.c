/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no octets of a list (RFC 6313) crash, hang or are lost: what is opened is JSON, what is not is noted, and both
 * are within their bounds.
 * Method: the input has templates, then a list that may name them:
 *
 *	kind, octet: number in `kinds`; templates: count of fields, then each field's number in `known` and its length (255: variable)
 *	0; the octets of the list
 *
 * The record runs through a plan of all shipped mappings, twice; both must tell the same, and its text must read as JSON.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/rd.h"
#include "normalizer/list.h"
#include "normalizer/plan.h"

#define SUBS_MAX 8
#define SUB_ID 300
#define FIELDS_MAX 32
#define LIST_BYTES_MAX 65000

static const struct element_id known[] = {
	{ 0, 291 },   { 0, 292 },    { 0, 293 },    { 0, 8 },	   { 0, 27 },	   { 0, 4 },
	{ 0, 1 },     { 0, 56 },     { 0, 82 },	    { 0, 210 },	   { 0, 276 },	   { 0, 311 },
	{ 0, 70 },    { 0, 12 },     { 0, 154 },    { 0, 434 },	   { 6871, 179 },  { 6871, 117 },
	{ 6871, 14 }, { 6871, 432 }, { 6871, 302 }, { 32473, 77 }, { 35632, 188 }, { 29305, 291 },
};
/* What the record has. */
static const struct element_id kinds[] = {
	{ 0, 291 }, { 0, 292 }, { 0, 293 }, { PEN_SFLOW, 27 }, { PEN_SFLOW, 28 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define KNOWN (sizeof(known) / sizeof(known[0]))

static struct catalog *catalog;
static struct lists *lists;
static struct flow *flows[2];

static struct sub {
	struct tmpl *tmpl;
	struct plan *plan;
} subs[SUBS_MAX];
static size_t sub_count;

static const struct plan *plan_of(void *ctx, uint16_t id, const struct tmpl **t, uint32_t *cost)
{
	(void)ctx;
	*cost += 1;
	if (id < SUB_ID || id >= SUB_ID + sub_count)
		return NULL;
	*t = subs[id - SUB_ID].tmpl;
	return subs[id - SUB_ID].plan;
}

static const struct announce *announce_of(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void start(void)
{
	const struct catalog_conf conf = { "templates/elements", "templates/mappings",
					   "templates/tables", RAW_MODE_UNPROMOTED };
	const struct list_source source = { NULL, plan_of, announce_of };
	struct why why = { "" };

	must(catalog_load(&conf, 1, &why, &catalog) == ERR_OK);
	must(lists_new(&source, &lists) == ERR_OK);
	lists_use(lists, catalog->elements);
	for (int i = 0; i < 2; i++) {
		flows[i] = calloc(1, sizeof(*flows[i]));
		must(flows[i] != NULL);
	}
}

/* Its plan too; false, and nothing left of it, when its records would be empty. */
static bool finish(struct tmpl *t, struct plan **plan)
{
	uint64_t profile = (UINT64_C(1) << catalog->mappings->count) - 1;

	t->version = VERSION_IPFIX;
	if (tmpl_finish(t) != ERR_OK) {
		tmpl_free(t);
		return false;
	}
	must(plan_compile(catalog, t, profile, plan) == ERR_OK);
	return true;
}

static void add_sub(struct rd *r, uint8_t count)
{
	struct sub *sub = &subs[sub_count];

	must(tmpl_new(count, &sub->tmpl) == ERR_OK);
	for (uint8_t i = 0; i < count; i++) {
		const struct element_id *id = &known[rd_u8(r) % KNOWN];
		uint8_t bytes = rd_u8(r);

		sub->tmpl->fields[i].pen = id->pen;
		sub->tmpl->fields[i].id = id->id;
		sub->tmpl->fields[i].bytes = bytes == 255 ? TMPL_VARIABLE : bytes;
	}
	sub->tmpl->id = (uint16_t)(SUB_ID + sub_count);
	sub_count += finish(sub->tmpl, &sub->plan);
}

static void drop_subs(void)
{
	while (sub_count > 0) {
		sub_count--;
		plan_free(subs[sub_count].plan);
		tmpl_free(subs[sub_count].tmpl);
	}
}

/* One element in raw, which is the list: as JSON, or as it came. */
static void check_raw(const struct flow *f, const uint8_t *list, size_t bytes)
{
	const struct raw_value *raw = &f->raw[0];
	bool is_array = raw->key->pen == PEN_SFLOW;
	json_error_t error;
	json_t *said;

	must(f->raw_count == 1);
	if (raw->octets == list) {
		must(raw->form == RAW_HEX && raw->bytes == bytes);
		must(bytes == 0 || (f->notes >> NOTE_LIST & 1) != 0);
		return;
	}
	must(raw->form == RAW_STRING && raw->bytes == f->list_bytes &&
	     raw->bytes <= LIST_TEXT_BYTES);
	said = json_loadb((const char *)raw->octets, raw->bytes,
			  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	must(said != NULL && (is_array ? json_is_array(said) : json_is_object(said)));
	json_decref(said);
}

static void run(const struct plan *p, const struct value *list)
{
	const struct xform_env env = { .export_ms = 1700000000000, .lists = lists };
	static uint8_t text[LIST_TEXT_BYTES];

	lists_begin(lists);
	for (int i = 0; i < 2; i++) {
		flow_clear(flows[i]);
		lists_clear(lists);
		lists_begin(lists);
		plan_run_values(p, &env, list, flows[i]);
		check_raw(flows[i], list->octets, list->bytes);
		if (i == 0)
			memcpy(text, flows[0]->raw[0].octets, flows[0]->raw[0].bytes);
	}
	must(flows[0]->raw[0].bytes == flows[1]->raw[0].bytes);
	must(memcmp(text, flows[1]->raw[0].octets, flows[1]->raw[0].bytes) == 0);
	must(flows[0]->notes == flows[1]->notes);
	must(memcmp(flows[0]->has, flows[1]->has, sizeof(flows[0]->has)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	struct rd r = rd_of(octets, bytes);
	const struct element_id kind = kinds[rd_u8(&r) % KINDS];
	struct value list = { NULL, 0 };
	struct tmpl *t;
	struct plan *p;
	uint8_t *copy;
	uint8_t count;

	if (catalog == NULL)
		start();
	while ((count = rd_u8(&r)) > 0 && sub_count < SUBS_MAX)
		add_sub(&r, count % FIELDS_MAX + 1);
	must(tmpl_new(1, &t) == ERR_OK);
	t->id = TMPL_ID_MIN;
	t->fields[0].pen = kind.pen;
	t->fields[0].id = kind.id;
	t->fields[0].bytes = TMPL_VARIABLE;
	must(finish(t, &p));
	list.bytes = (uint32_t)(rd_left(&r) < LIST_BYTES_MAX ? rd_left(&r) : LIST_BYTES_MAX);
	/* Of its own, so that a sanitizer sees one octet too far. */
	copy = malloc(list.bytes + (list.bytes == 0));
	must(copy != NULL);
	if (list.bytes > 0)
		memcpy(copy, r.at, list.bytes);
	list.octets = copy;
	run(p, &list);
	free(copy);
	plan_free(p);
	tmpl_free(t);
	drop_subs();
	return 0;
}
