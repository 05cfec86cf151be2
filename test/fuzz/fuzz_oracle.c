/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a record read in place by a plan and the same record cut by libfixbuf become the same event, octet for
 * octet, whatever template it is of and whatever `raw` is set to.
 * Method: the input is a recipe of a template and of the octets of its records (see below); almost every one
 * gives a message that the gate passes.  It goes through the collector, and each record goes through plan_run()
 * and through libfixbuf and plan_run_values(), with the shipped mappings; both flows are encoded.
 *
 *	input	 | how | fields | source index length | ... | values ... |
 *
 * There is no reading that libfixbuf may have of its own: fixbuf_session hands it as an octetArray what it
 * could not read as the type of its element.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/rd.h"
#include "collector/collector.h"
#include "collector/fixbuf_session.h"
#include "normalizer/catalog.h"
#include "normalizer/plan.h"
#include "sink/avro.h"

#define FIELDS_MAX 48
#define RECORDS_MAX 4
#define LENGTH_MAX 32	      /* of a fixed field */
#define SHORT_LENGTHS 250     /* from here on, a variable value has its length in three octets */
#define VARIABLE_SHORT_MAX 64 /* of such a value, and of one whose length is one octet */
#define VARIABLE_LONG_MAX 300
#define MESSAGE_BYTES 65535
#define ENCODED_BYTES (1u << 20)
#define RAW_MODES 4
#define TMPL_ID 256
#define EXPORT_S 1700000000
#define UPTIME_MS 0x80001234 /* sysUpTimes wrap around it */
#define BOOT_MS INT64_C(1699000000000)

/* The first octet. */
#define HOW_RAW 0x03
#define HOW_V9 0x04
#define HOW_BOOT 0x08	/* options told when the exporter started */
#define HOW_FORCED 0x10 /* every mapping holds */

/* Where a field's element comes from: the low bits of an octet. */
enum source {
	SOURCE_PROMOTED, /* of a line of the mappings */
	SOURCE_PROMOTED_TOO,
	SOURCE_NEXT, /* of the line behind that of the field before: candidates of one field */
	SOURCE_KNOWN,
	SOURCE_UNKNOWN,
	SOURCE_AGAIN, /* of an earlier field */
	SOURCE_COUNT = 8
};

/* A field's octet of length. */
#define LENGTH_VARIABLE 255
#define LENGTH_NATURAL 128 /* from here on; below, the length itself */

struct maker {
	uint8_t octets[MESSAGE_BYTES];
	size_t bytes;
};

struct recipe {
	bool is_v9;
	struct tmpl_field fields[FIELDS_MAX + 1];
	uint16_t field_count;
	uint32_t records;
};

struct sink {
	uint8_t how;
	uint32_t records;
};

static struct catalog *catalogs[RAW_MODES];
static struct avro_encoder encoder;
static struct fixbuf *fixbuf;
static struct element_id *promoted;
static size_t promoted_count;
static struct flow *flow;
static uint8_t *encoded[2];

static void stop(void)
{
	for (int raw = 0; raw < RAW_MODES; raw++)
		catalog_free(catalogs[raw]);
	fixbuf_free(fixbuf);
	free(promoted);
	free(flow);
	free(encoded[0]);
	free(encoded[1]);
}

/* Elements of all lines, in the order of the files. */
static void list_promoted(const struct mapping_set *set)
{
	size_t count = 0;

	for (size_t i = 0; i < set->count; i++)
		count += set->mappings[i].promote_count;
	must(count > 0);
	promoted = calloc(count, sizeof(*promoted));
	must(promoted != NULL);
	for (size_t i = 0; i < set->count; i++) {
		for (size_t k = 0; k < set->mappings[i].promote_count; k++)
			promoted[promoted_count++] = set->mappings[i].promotes[k].element;
	}
}

static void start(void)
{
	struct why why = { "" };

	for (int raw = 0; raw < RAW_MODES; raw++) {
		struct catalog_conf conf = { "templates/elements", "templates/mappings",
					     "templates/tables", (enum raw_mode)raw };

		must(catalog_load(&conf, (uint64_t)raw + 1, &why, &catalogs[raw]) == ERR_OK);
	}
	must(fixbuf_new("templates/elements", &why, &fixbuf) == ERR_OK);
	list_promoted(catalogs[0]->mappings);
	avro_encoder_init(&encoder, &catalogs[0]->fields);
	flow = calloc(1, sizeof(*flow));
	encoded[0] = malloc(ENCODED_BYTES);
	encoded[1] = malloc(ENCODED_BYTES);
	must(flow != NULL && encoded[0] != NULL && encoded[1] != NULL);
	must(atexit(stop) == 0);
}

/* From the recipe to a message. */

static struct element_id element_of(const struct recipe *recipe, uint8_t source, uint16_t index,
				    size_t *line)
{
	static const uint32_t pens[] = { PEN_IANA, PEN_REVERSE, PEN_NTOP, PEN_V9, 9, 6871, 32473 };
	const struct element_registry *reg = catalogs[0]->elements;
	const struct element *known = element_at(reg, index % element_count(reg));
	struct element_id id = { known->pen, known->id };

	switch ((enum source)(source % SOURCE_COUNT)) {
	case SOURCE_KNOWN:
		return id;
	case SOURCE_UNKNOWN:
		id.pen = pens[index % (sizeof(pens) / sizeof(pens[0]))];
		id.id = index & 0x7fff;
		return id;
	case SOURCE_AGAIN:
		if (recipe->field_count == 0)
			return id;
		id.pen = recipe->fields[index % recipe->field_count].pen;
		id.id = recipe->fields[index % recipe->field_count].id;
		return id;
	case SOURCE_NEXT:
		*line = (*line + 1) % promoted_count;
		return promoted[*line];
	case SOURCE_PROMOTED:
	case SOURCE_PROMOTED_TOO:
	case SOURCE_COUNT:
	default:
		*line = index % promoted_count;
		return promoted[*line];
	}
}

static uint16_t length_of(const struct recipe *recipe, struct element_id id, uint8_t how)
{
	const struct element *e = element_find(catalogs[0]->elements, id.pen, id.id);

	if (how == LENGTH_VARIABLE && !recipe->is_v9)
		return TMPL_VARIABLE;
	if (how < LENGTH_NATURAL)
		return how % (LENGTH_MAX + 1);
	return e == NULL || e->natural_bytes == 0 ? how % LENGTH_MAX + 1 : e->natural_bytes;
}

/* Its records are never empty. */
static void read_fields(struct rd *r, struct recipe *recipe)
{
	size_t want = rd_u8(r) % FIELDS_MAX + 1u;
	size_t line = 0;
	uint32_t bytes = 0;

	for (size_t i = 0; i < want && rd_left(r) >= 4; i++) {
		uint8_t source = rd_u8(r);
		uint16_t index = rd_u16(r);
		struct element_id id = element_of(recipe, source, index, &line);
		struct tmpl_field *f = &recipe->fields[recipe->field_count];

		f->pen = id.pen;
		f->id = id.id;
		f->bytes = length_of(recipe, id, rd_u8(r));
		bytes += f->bytes;
		recipe->field_count++;
	}
	if (bytes == 0)
		recipe->fields[recipe->field_count++] = (struct tmpl_field){ .id = 1, .bytes = 4 };
}

static void put(struct maker *m, uint64_t v, size_t bytes)
{
	must(m->bytes + bytes <= sizeof(m->octets));
	for (size_t i = bytes; i-- > 0;)
		m->octets[m->bytes++] = (uint8_t)(v >> (8 * i));
}

/* Length of what began at `from`, written at `at`. */
static void put_length(struct maker *m, size_t at, size_t from)
{
	size_t bytes = m->bytes - from;

	m->octets[at] = (uint8_t)(bytes >> 8);
	m->octets[at + 1] = (uint8_t)bytes;
}

static void put_spec(struct maker *m, const struct tmpl_field *f, bool is_v9)
{
	bool is_ntop = f->pen == PEN_NTOP && f->id <= UINT16_MAX - V9_NTOP_BASE;

	if (is_v9) {
		/* Other enterprises have no types in v9. */
		put(m, is_ntop ? V9_NTOP_BASE + f->id : f->id, 2);
		put(m, f->bytes, 2);
		return;
	}
	put(m, f->pen == PEN_IANA ? f->id & 0x7fffu : f->id | 0x8000u, 2);
	put(m, f->bytes, 2);
	if (f->pen != PEN_IANA)
		put(m, f->pen, 4);
}

/* The length of a variable value, in one octet or in three. */
static size_t put_variable(struct maker *m, struct rd *r)
{
	uint8_t how = rd_u8(r);
	size_t bytes;

	if (how < SHORT_LENGTHS) {
		bytes = how % VARIABLE_SHORT_MAX;
		put(m, bytes, 1);
		return bytes;
	}
	bytes = rd_u16(r) % VARIABLE_LONG_MAX;
	put(m, 255, 1);
	put(m, bytes, 2);
	return bytes;
}

/* Where the input has ended, zeros. */
static void put_value(struct maker *m, struct rd *r, uint16_t length)
{
	size_t bytes = length == TMPL_VARIABLE ? put_variable(m, r) : length;
	size_t given = bytes < rd_left(r) ? bytes : rd_left(r);

	must(m->bytes + bytes <= sizeof(m->octets));
	if (given > 0)
		memcpy(m->octets + m->bytes, rd_take(r, given), given);
	memset(m->octets + m->bytes + given, 0, bytes - given);
	m->bytes += bytes;
}

static void put_header(struct maker *m, bool is_v9)
{
	put(m, is_v9 ? VERSION_NF9 : VERSION_IPFIX, 2);
	put(m, 0, 2); /* v9: how many records; IPFIX: length; written at the end */
	if (is_v9)
		put(m, UPTIME_MS, 4);
	put(m, EXPORT_S, 4);
	put(m, 1, 4);
	put(m, 7, 4);
}

static void make_message(struct maker *m, struct rd *r, struct recipe *recipe)
{
	size_t at;

	put_header(m, recipe->is_v9);
	at = m->bytes;
	put(m, recipe->is_v9 ? 0 : 2, 2);
	put(m, 0, 2);
	put(m, TMPL_ID, 2);
	put(m, recipe->field_count, 2);
	for (uint16_t i = 0; i < recipe->field_count; i++)
		put_spec(m, &recipe->fields[i], recipe->is_v9);
	put_length(m, at + 2, at);
	at = m->bytes;
	put(m, TMPL_ID, 2);
	put(m, 0, 2);
	do {
		for (uint16_t i = 0; i < recipe->field_count; i++)
			put_value(m, r, recipe->fields[i].bytes);
		recipe->records++;
	} while (recipe->records < RECORDS_MAX && rd_left(r) > 0);
	put_length(m, at + 2, at);
	/* By the count of v9, records of zeros are told from padding. */
	if (recipe->is_v9)
		m->octets[3] = (uint8_t)(recipe->records + 1);
	else
		put_length(m, 2, 0);
}

/* From the message to events. */

static size_t encode(const struct record *r, uint16_t version, bool has_wire, uint8_t *out)
{
	static const uint8_t address[4] = { 192, 0, 2, 1 };
	size_t bytes;

	flow_set_i64(flow, F_event_time, 1);
	flow_set_i64(flow, F_ingest_time, 1);
	flow_set_octets(flow, F_source, "ipfix", 5);
	flow_set_octets(flow, F_exporter_ip, address, 4);
	flow->protocol_version = version;
	flow->record = r->octets;
	flow->record_bytes = r->bytes;
	flow->has_wire = has_wire;
	bytes = avro_encode(&encoder, flow, out, ENCODED_BYTES);
	must(bytes > 0);
	return bytes;
}

static void compare(const struct plan *p, const struct xform_env *env, struct tmpl *t,
		    const struct record *r, bool has_wire)
{
	struct value values[FIELDS_MAX + 1];
	size_t bytes;

	flow_clear(flow);
	plan_run(p, env, r->octets, flow);
	bytes = encode(r, t->version, has_wire, encoded[0]);
	must(fixbuf_decode(t->fixbuf, r->octets, r->bytes, values) == ERR_OK);
	flow_clear(flow);
	plan_run_values(p, env, values, flow);
	must(encode(r, t->version, has_wire, encoded[1]) == bytes);
	must(memcmp(encoded[0], encoded[1], bytes) == 0);
}

static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	struct sink *k = ctx;
	const struct catalog *c = catalogs[k->how & HOW_RAW];
	struct xform_env env = { .export_ms = m->export_ms,
				 .uptime_ms = m->uptime_ms,
				 .has_uptime = m->has_uptime };
	uint64_t profile = catalog_profile_add(c, s, t, 0);
	struct plan *p;

	(void)reason;
	if ((k->how & HOW_BOOT) != 0) {
		env.boot_ms = BOOT_MS;
		env.has_boot = true;
	}
	if ((k->how & HOW_FORCED) != 0)
		profile = (UINT64_C(1) << c->mappings->count) - 1;
	must(plan_compile(c, t, profile, &p) == ERR_OK);
	if (t->fixbuf == NULL)
		must(fixbuf_tmpl_make(fixbuf, t, &t->fixbuf) == ERR_OK);
	for (size_t i = 0; i < count; i++)
		compare(p, &env, t, &r[i], c->raw == RAW_MODE_WIRE);
	plan_free(p);
	k->records += (uint32_t)count;
	return 0;
}

static void options(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		    const struct record *r, size_t count)
{
	(void)ctx;
	(void)m;
	(void)s;
	(void)t;
	(void)r;
	(void)count;
	must(false); /* there are none */
}

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	(void)ctx;
	(void)s;
	(void)t;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	(void)ctx;
	fixbuf_tmpl_free(t->fixbuf);
	t->fixbuf = NULL;
}

static void message_edge(void *ctx, const struct message *m, struct session *s)
{
	(void)ctx;
	(void)m;
	(void)s;
}

static void session_gone_seen(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
}

static const struct collector_ops ops = { .tmpl_new = tmpl_new_seen,
					  .tmpl_gone = tmpl_gone_seen,
					  .session_gone = session_gone_seen,
					  .message_begin = message_edge,
					  .records = records,
					  .options = options,
					  .message_end = message_edge };
static const struct collector_limits limits = { .sessions_max = 4,
						.templates_max = 4,
						.fields_max = FIELDS_MAX + 1,
						.repeats_max = FIELDS_MAX + 1,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600 };

/* In memory of its own size, so that a sanitizer sees reading behind it. */
static void receive(const struct maker *m, struct sink *sink)
{
	struct origin origin = { .peer = addr_of_v4(1), .port = 1 };
	uint8_t *unit = malloc(m->bytes);
	struct stat_set *stat;
	struct collector *c;

	must(unit != NULL);
	memcpy(unit, m->octets, m->bytes);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	must(collector_new(&limits, &ops, sink, stat, &c) == ERR_OK);
	collector_receive(c, unit, m->bytes, &origin);
	collector_free(c);
	stat_set_free(stat);
	free(unit);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	static struct maker maker;
	struct rd r = rd_of(octets, bytes);
	struct recipe recipe = { 0 };
	struct sink sink = { 0 };

	if (flow == NULL)
		start();
	maker.bytes = 0;
	sink.how = rd_u8(&r);
	recipe.is_v9 = (sink.how & HOW_V9) != 0;
	read_fields(&r, &recipe);
	make_message(&maker, &r, &recipe);
	receive(&maker, &sink);
	/* Nothing of it was refused: what the gate does is for another test. */
	must(sink.records == recipe.records);
	return 0;
}
