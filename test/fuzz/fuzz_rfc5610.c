/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no announcement of elements (RFC 5610), however it lies, crashes, hangs, overrides a registry or makes a name that is none or
 * another element's; and a plan that was looked at says what a new one would.
 * Method: the input is a row of turns, until it ends:
 *
 *	0, lengths of enterprise, id, type and name; their octets		an announcement
 *	else: count of fields, each an enterprise of `pens`, an id, a length; octets	a template, and a record of it
 *
 * Announced again at once nothing changes.  The record runs through a plan from before the last announcement, made anew only
 * when it is behind, through a new one, and as values: all must have the same in raw.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/rd.h"
#include "normalizer/plan.h"

#define FIELDS_MAX 16
#define RECORD_BYTES_MAX 2048
#define LIMIT 24

static const uint32_t pens[] = { PEN_IANA, 9,	   6871,   32473,      PEN_REVERSE,
				 PEN_NTOP, PEN_V9, 424242, 0xFFFFFFFF, PEN_SFLOW };
#define PENS (sizeof(pens) / sizeof(pens[0]))

static struct catalog *catalog;
static struct flow *flows[3];
static struct announce *announce;

static void start(void)
{
	const struct catalog_conf conf = { "templates/elements", "templates/mappings",
					   "templates/tables", RAW_MODE_FULL };
	struct why why = { "" };

	must(catalog_load(&conf, 1, &why, &catalog) == ERR_OK);
	for (int i = 0; i < 3; i++) {
		flows[i] = calloc(1, sizeof(*flows[i]));
		must(flows[i] != NULL);
	}
}

/* NULL when its records would be empty. */
static struct tmpl *make(const struct tmpl_field *fields, uint16_t count)
{
	struct tmpl *t;

	must(tmpl_new(count, &t) == ERR_OK);
	t->version = VERSION_IPFIX;
	memcpy(t->fields, fields, count * sizeof(*fields));
	if (tmpl_finish(t) == ERR_OK)
		return t;
	tmpl_free(t);
	return NULL;
}

static void announce_once(struct rd *r)
{
	static const uint16_t ids[] = { 346, 303, 339, 341 };
	struct tmpl_field fields[4] = { 0 };
	struct value values[4];
	enum announce_result result;
	enum announce_result again;
	struct tmpl *t;
	size_t count;

	for (int i = 0; i < 4; i++) {
		fields[i].id = ids[i];
		fields[i].bytes = rd_u8(r);
	}
	for (int i = 0; i < 4; i++) {
		values[i].bytes = fields[i].bytes <= rd_left(r) ? fields[i].bytes : 0;
		values[i].octets = rd_take(r, values[i].bytes);
	}
	t = make(fields, 4);
	if (t == NULL)
		return;
	must(announce_is_of(t));
	count = announce_count(announce);
	result = announce_learn(&announce, NULL, catalog->elements, t, values, LIMIT);
	must(announce_count(announce) == count + (result == ANNOUNCE_NEW));
	must(announce_count(announce) <= LIMIT);
	again = announce_learn(&announce, NULL, catalog->elements, t, values, LIMIT);
	must(again == (result == ANNOUNCE_NEW ? ANNOUNCE_SAME : result));
	tmpl_free(t);
}

static void check_name(const char *name)
{
	size_t bytes = strlen(name);

	must(bytes > 0 && bytes < ELEMENT_NAME_BYTES);
	must(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
	     bytes);
}

/* What a registry has is named by it; a name is that of one element alone, and none of a registry. */
static void check_fields(const struct tmpl *t)
{
	char names[FIELDS_MAX][ELEMENT_NAME_BYTES];

	for (uint16_t i = 0; i < t->field_count; i++) {
		const struct tmpl_field *f = &t->fields[i];
		const struct element *known = element_find(catalog->elements, f->pen, f->id);
		uint32_t pen = f->pen;
		uint16_t id = f->id;

		(void)announce_name(announce, catalog->elements, f->pen, f->id, names[i],
				    sizeof(names[i]));
		check_name(names[i]);
		must(known == NULL || strcmp(known->name, names[i]) == 0);
		must(known == NULL || announce_find(announce, f->pen, f->id) == NULL);
		/* Ids that v9 cannot have read as IANA's. */
		if (pen != PEN_V9 &&
		    element_find_name(catalog->elements, names[i], &pen, &id) == ERR_OK)
			must(pen == f->pen && id == f->id);
		for (uint16_t k = 0; k < i; k++) {
			bool is_same = t->fields[k].pen == f->pen && t->fields[k].id == f->id;

			must(is_same == (strcmp(names[k], names[i]) == 0));
		}
	}
}

static void check_same(const struct flow *a, const struct flow *b)
{
	must(a->raw_count == b->raw_count && a->notes == b->notes);
	for (uint32_t i = 0; i < a->raw_count; i++) {
		must(strcmp(a->raw[i].key->name, b->raw[i].key->name) == 0);
		must(a->raw[i].form == b->raw[i].form && a->raw[i].bytes == b->raw[i].bytes);
		must(a->raw[i].octets == b->raw[i].octets);
	}
}

/* `old` is of before some announcement, or NULL. */
static void run(const struct tmpl *t, struct plan **old, const uint8_t *record, size_t bytes)
{
	const struct xform_env env = { .export_ms = 1700000000000 };
	struct value values[FIELDS_MAX];
	struct plan *fresh;

	must(plan_compile_announced(catalog, t, 1, announce, &fresh) == ERR_OK);
	must(!plan_is_unsure(fresh, announce));
	if (*old == NULL ||
	    (plan_is_unsure(*old, announce) && plan_is_behind(*old, catalog, t, announce))) {
		plan_free(*old);
		must(plan_compile_announced(catalog, t, 1, announce, old) == ERR_OK);
	}
	must(!plan_is_unsure(*old, announce));
	for (int i = 0; i < 3; i++)
		flow_clear(flows[i]);
	tmpl_cut(t, record, bytes, values);
	plan_run(*old, &env, record, flows[0]);
	plan_run(fresh, &env, record, flows[1]);
	plan_run_values(fresh, &env, values, flows[2]);
	check_same(flows[0], flows[1]);
	check_same(flows[1], flows[2]);
	plan_free(fresh);
}

struct turn {
	struct tmpl *tmpl;
	struct plan *plan;
};

static void read_tmpl(struct rd *r, uint8_t count, struct turn *turn)
{
	struct tmpl_field fields[FIELDS_MAX] = { 0 };

	for (uint8_t i = 0; i < count; i++) {
		uint8_t length;

		fields[i].pen = pens[rd_u8(r) % PENS];
		fields[i].id = rd_u8(r);
		length = rd_u8(r);
		fields[i].bytes = length == 255 ? TMPL_VARIABLE : length;
	}
	plan_free(turn->plan);
	tmpl_free(turn->tmpl);
	turn->plan = NULL;
	turn->tmpl = make(fields, count);
}

/* Of its own octets, so that a sanitizer sees one too far. */
static void run_turn(struct rd *r, struct turn *turn)
{
	size_t left = rd_left(r) < RECORD_BYTES_MAX ? rd_left(r) : RECORD_BYTES_MAX;
	size_t bytes = tmpl_record_bytes(turn->tmpl, r->at, left);
	uint8_t *copy;

	check_fields(turn->tmpl);
	if (bytes == 0)
		return;
	copy = malloc(bytes);
	must(copy != NULL);
	memcpy(copy, r->at, bytes);
	run(turn->tmpl, &turn->plan, copy, bytes);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	struct rd r = rd_of(octets, bytes);
	struct turn turn = { NULL, NULL };

	if (catalog == NULL)
		start();
	while (rd_left(&r) > 0) {
		uint8_t kind = rd_u8(&r);

		if (kind == 0)
			announce_once(&r);
		else
			read_tmpl(&r, (uint8_t)(1 + kind % FIELDS_MAX), &turn);
		if (turn.tmpl != NULL && rd_left(&r) > 0)
			run_turn(&r, &turn);
	}
	plan_free(turn.plan);
	tmpl_free(turn.tmpl);
	announce_free(announce);
	announce = NULL;
	return 0;
}
