/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what gate and walk let through, libfixbuf reads without error, with exactly as many records of exactly those
 * octets; and of what walk calls an overrun, libfixbuf reads no more than walk did.
 * Method: the input is cut in units, as fuzz_collector cuts it; the octets before a unit may put its lengths right, so
 * that what grew or shrank is still a message.  Gate, definitions and walk take each; a template and each of its data
 * sets, whole and with its padding, are then told again to a session of libfixbuf's as IPFIX messages: it reads the
 * definition itself, and finds the records itself.  All elements are octetArrays there, since lengths are what this
 * is about; fuzz_collector and fuzz_oracle have types.
 */
#include <fixbuf/private.h>
#include <fixbuf/public.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/rd.h"
#include "base/wr.h"
#include "collector/define.h"
#include "collector/gate.h"
#include "collector/walk.h"

#define HOW_MEND 0x80 /* of the octets before a unit, behind those of its length */
#define FIELDS_MAX 64
#define TMPLS_MAX 32
#define SETS_COMPARED_MAX 16 /* of an input: a session of libfixbuf's for each */
#define TMPL_ID 256
#define PEN_SLOT 0xFFFFFF0Bu /* element i is the octets of field i */
#define MESSAGE_MAX 65535
#define SLACK_BYTES 8 /* libfixbuf looks at a length before it asks whether the set has one */
#define VALUES_MAX (MESSAGE_MAX + FIELDS_MAX * sizeof(fbVarfield_t))

static const uint16_t fixed_versions[] = { VERSION_NF1, VERSION_NF5, VERSION_NF7 };
#define FIXED (sizeof(fixed_versions) / sizeof(fixed_versions[0]))

struct house {
	struct walk walk;
	struct tmpl *tmpls[TMPLS_MAX]; /* the last one of an id is in force */
	bool is_gone[TMPLS_MAX];
	size_t tmpl_count;
	struct tmpl *fixed[FIXED]; /* of fixed_versions */
	unsigned compared;
};

static const struct collector_limits limits = { .fields_max = FIELDS_MAX, .repeats_max = 4 };
static fbInfoModel_t *model;
static struct house house;
static uint8_t message[MESSAGE_MAX + SLACK_BYTES];
static uint8_t values[VALUES_MAX];

static void stop(void)
{
	fbInfoModelFree(model);
	free(house.walk.records);
	free(house.walk.runs);
	for (size_t i = 0; i < FIXED; i++)
		tmpl_free(house.fixed[i]);
}

static void start(void)
{
	char name[] = "octets";

	model = fbInfoModelAlloc();
	for (uint16_t i = 0; i < FIELDS_MAX; i++) {
		fbInfoElement_t ie = {
			.ref.name = name, .ent = PEN_SLOT, .num = i, .len = FB_IE_VARLEN, .type = FB_OCTET_ARRAY
		};

		fbInfoModelAddElement(model, &ie);
	}
	house.walk.records = calloc(WALK_RECORDS_MAX, sizeof(*house.walk.records));
	house.walk.runs = calloc(WALK_SETS_MAX, sizeof(*house.walk.runs));
	must(house.walk.records != NULL && house.walk.runs != NULL);
	for (size_t i = 0; i < FIXED; i++)
		must(tmpl_new_fixed(fixed_versions[i], &house.fixed[i]) == ERR_OK);
	must(atexit(stop) == 0);
}

/* libfixbuf's reading. */

static void put_head(struct wr *w, uint16_t set, size_t body_bytes)
{
	wr_u16(w, VERSION_IPFIX);
	wr_u16(w, (uint16_t)(IPFIX_HEADER_BYTES + SET_HEADER_BYTES + body_bytes));
	for (int i = 0; i < 3; i++)
		wr_u32(w, 0);
	wr_u16(w, set);
	wr_u16(w, (uint16_t)(SET_HEADER_BYTES + body_bytes));
}

static size_t tell_definition(const struct tmpl *t)
{
	struct wr w = wr_of(message, MESSAGE_MAX);

	put_head(&w, t->is_options ? IPFIX_SET_OPTIONS : IPFIX_SET_TEMPLATE,
		 (t->is_options ? 6u : 4u) + 8 * (size_t)t->field_count);
	wr_u16(&w, TMPL_ID);
	wr_u16(&w, t->field_count);
	if (t->is_options)
		wr_u16(&w, t->scope_count);
	for (uint16_t i = 0; i < t->field_count; i++) {
		wr_u16(&w, i | 0x8000u);
		wr_u16(&w, t->fields[i].bytes);
		wr_u32(&w, PEN_SLOT);
	}
	must(!w.is_full);
	return wr_used(&w);
}

static size_t tell_set(const struct rd *body)
{
	struct wr w = wr_of(message, MESSAGE_MAX);

	put_head(&w, TMPL_ID, rd_left(body));
	wr_bytes(&w, body->at, rd_left(body));
	must(!w.is_full);
	/* As in a receive buffer: something stands behind it. */
	memset(message + wr_used(&w), 0xff, SLACK_BYTES);
	return wr_used(&w);
}

/* A session that knows the template, from its definition on the wire. */
static fBuf_t *open_session(const struct tmpl *t)
{
	fbSession_t *session = fbSessionAlloc(model);
	fBuf_t *buf = fBufAllocForCollection(session, NULL);
	GError *error = NULL;
	fbTemplate_t *theirs;

	fBufSetAutomaticMode(buf, FALSE);
	fBufSetBuffer(buf, message, tell_definition(t));
	must(fBufNextCollectionTemplate(buf, NULL, &error) == NULL);
	must(g_error_matches(error, FB_ERROR_DOMAIN, FB_ERROR_EOM));
	g_clear_error(&error);
	theirs = fbSessionGetTemplate(session, FALSE, TMPL_ID, &error);
	must(theirs != NULL);
	must(fbTemplateCountElements(theirs) == t->field_count);
	must(fbSessionAddTemplate(session, TRUE, TMPL_ID, theirs, &error) == TMPL_ID);
	fBufRewind(buf);
	return buf;
}

/* The same octets in each field. */
static void compare_record(const struct tmpl *t, const struct record *r, size_t values_bytes)
{
	const uint8_t *at = values;
	struct value ours[FIELDS_MAX];

	tmpl_cut(t, r->octets, r->bytes, ours);
	for (uint16_t i = 0; i < t->field_count; i++) {
		const uint8_t *octets = at;
		size_t bytes = t->fields[i].bytes;
		size_t step = bytes;

		if (bytes == TMPL_VARIABLE) {
			fbVarfield_t variable;

			memcpy(&variable, at, sizeof(variable));
			octets = variable.buf;
			bytes = variable.len;
			step = sizeof(variable);
		}
		must(bytes == ours[i].bytes);
		must(bytes == 0 || memcmp(octets, ours[i].octets, bytes) == 0);
		at += step;
	}
	must((size_t)(at - values) == values_bytes);
}

/* All records of the set, by libfixbuf, and whether it came to the end of the set without error. */
static void compare_set(const struct tmpl *t, const struct rd *body, const struct record *records, uint32_t count,
			bool is_sound)
{
	fBuf_t *buf = open_session(t);
	GError *error = NULL;
	uint32_t theirs = 0;
	size_t bytes = VALUES_MAX;

	fBufSetBuffer(buf, message, tell_set(body));
	must(fBufSetInternalTemplate(buf, TMPL_ID, &error));
	while (fBufNext(buf, values, &bytes, &error)) {
		must(theirs < count);
		compare_record(t, &records[theirs], bytes);
		theirs++;
		bytes = VALUES_MAX;
	}
	if (is_sound)
		must(g_error_matches(error, FB_ERROR_DOMAIN, FB_ERROR_EOM));
	must(theirs == count);
	g_clear_error(&error);
	fBufFree(buf);
}

/* Ours. */

static struct tmpl *find(uint16_t version, uint16_t id)
{
	for (size_t i = house.tmpl_count; i-- > 0;) {
		struct tmpl *t = house.tmpls[i];

		if (t->version == version && t->id == id)
			return house.is_gone[i] ? NULL : t;
	}
	return NULL;
}

static struct tmpl *fixed_of(uint16_t version)
{
	for (size_t i = 0; i < FIXED; i++) {
		if (fixed_versions[i] == version)
			return house.fixed[i];
	}
	must(false);
	return NULL;
}

static void forget(uint16_t version, uint16_t id)
{
	for (size_t i = 0; i < house.tmpl_count; i++) {
		if (house.tmpls[i]->version == version && house.tmpls[i]->id == id)
			house.is_gone[i] = true;
	}
}

static void take_definitions(uint16_t version, bool is_options, struct rd body)
{
	enum define_step step;
	struct define d;

	while ((step = define_next(&body, version, is_options, &d)) == DEFINE_ONE) {
		if (d.is_withdrawal)
			continue;
		forget(version, d.id);
		if (house.tmpl_count < TMPLS_MAX &&
		    define_build(&d, &limits, &house.tmpls[house.tmpl_count]) == COLLECTOR_STAT_COUNT)
			house.is_gone[house.tmpl_count++] = false;
	}
	if (step == DEFINE_BROKEN)
		forget(version, d.id);
}

static void take_data(const struct message *m, struct tmpl *t, struct rd body)
{
	struct walk *w = &house.walk;
	uint32_t first = w->record_count;
	bool is_sound = walk_set(w, m, t, body);

	if (house.compared < SETS_COMPARED_MAX)
		compare_set(t, &body, &w->records[first], w->record_count - first, is_sound);
	house.compared++;
	if (is_sound)
		w->run_count++;
	else
		w->record_count = first;
}

/* What the count of v9 calls padding is zeros at the ends of sets. */
static void trim(const struct message *m)
{
	static uint32_t before[WALK_SETS_MAX];
	struct walk *w = &house.walk;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < w->run_count; i++)
		before[i] = w->runs[i].count;
	walk_trim_nf9(w, be16(m->octets + 2));
	for (uint32_t i = 0; i < w->run_count; i++) {
		const struct set_run *run = &w->runs[i];

		must(run->count <= before[i] && before[i] - run->count <= 3);
		for (uint32_t r = run->count; r < before[i]; r++) {
			const struct record *gone = &w->records[run->first + r];

			for (uint32_t n = 0; n < gone->bytes; n++)
				must(gone->octets[n] == 0);
		}
		sum += run->count;
	}
	must(sum == w->record_count);
}

static void take_message(const struct message *m, const struct frame *frame)
{
	struct rd sets = rd_of(m->octets + m->header_bytes, m->bytes - m->header_bytes);
	struct rd body;
	uint16_t id;

	house.walk.record_count = 0;
	house.walk.run_count = 0;
	if (m->version == VERSION_SFLOW5) /* samples are fuzz_sflow's */
		return;
	if (!frame->has_sets) {
		take_data(m, fixed_of(m->version), sets);
		return;
	}
	while (gate_next_set(&sets, &id, &body)) {
		struct tmpl *t = find(m->version, id);

		if (id == frame->set_template || id == frame->set_options)
			take_definitions(m->version, id == frame->set_options, body);
		else if (t != NULL)
			take_data(m, t, body);
	}
	/* Only padding of v9 is left. */
	must(rd_left(&sets) == 0 || m->version == VERSION_NF9);
	if (m->version == VERSION_NF9)
		trim(m);
}

static void put_u16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* The message is as long as it is, and the first set that is not ends with it. */
static void mend(uint8_t *unit, size_t bytes)
{
	size_t at = NF9_HEADER_BYTES;

	if (bytes < NF9_HEADER_BYTES + SET_HEADER_BYTES || bytes > MESSAGE_MAX)
		return;
	if (be16(unit) != VERSION_NF9) {
		put_u16(unit, VERSION_IPFIX);
		put_u16(unit + 2, bytes);
		at = IPFIX_HEADER_BYTES;
	}
	while (bytes - at >= SET_HEADER_BYTES) {
		size_t set = be16(unit + at + 2);

		if (set < SET_HEADER_BYTES || set > bytes - at || bytes - at - set < SET_HEADER_BYTES) {
			set = bytes - at;
			put_u16(unit + at + 2, set);
		}
		at += set;
	}
}

static void receive(struct rd *r, uint16_t how, size_t bytes)
{
	const struct frame *frame;
	struct message m;
	uint8_t *unit;

	bytes = bytes < rd_left(r) ? bytes : rd_left(r);
	/* In memory of its own size, so that a sanitizer sees reading behind it. */
	unit = malloc(bytes + (bytes == 0));
	must(unit != NULL);
	if (bytes > 0)
		memcpy(unit, rd_take(r, bytes), bytes);
	if ((how & HOW_MEND) != 0)
		mend(unit, bytes);
	if (gate_check(unit, bytes, &m, &frame) == COLLECTOR_STAT_COUNT)
		take_message(&m, frame);
	free(unit);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	struct rd r = rd_of(octets, bytes);

	if (model == NULL)
		start();
	while (rd_left(&r) > 4) {
		size_t unit_bytes = rd_u16(&r);
		uint16_t how = rd_u16(&r);

		receive(&r, how, unit_bytes);
	}
	for (size_t i = 0; i < house.tmpl_count; i++)
		tmpl_free(house.tmpls[i]);
	house.tmpl_count = 0;
	house.compared = 0;
	return 0;
}
