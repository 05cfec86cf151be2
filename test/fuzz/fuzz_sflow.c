/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no sFlow datagram crashes, hangs or unbalances the road from its octets to the encoded event, and where memory
 * runs out, it is counted.
 * Method: the input is cut in datagrams, each led by two octets of length, and given the version word; values are
 * read to their last octet, go through a plan with every mapping and the encoder.  One input in eight comes
 * again with allocations that fail.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "base/rd.h"
#include "collector/collector.h"
#include "normalizer/catalog.h"
#include "normalizer/list.h"
#include "normalizer/plan.h"
#include "sink/avro.h"
#include "test/fuzz/alloc.h"
#include "test/fuzz/samples.h"

#define VERSION_BYTES 4
#define EVENT_BYTES (4u << 20)

struct sink {
	uint64_t flows;
	uint64_t letters;
	int64_t tmpls;
	bool is_open;
};

static struct catalog *catalog;
static struct lists *lists;
static struct avro_encoder encoder;
static uint8_t *event;
static struct flow flow;

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	struct sink *k = ctx;

	s->profile = catalog_profile_add(catalog, s, t, s->profile);
	k->tmpls++;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	struct sink *k = ctx;

	plan_free(t->plan);
	t->plan = NULL;
	k->tmpls--;
}

static void session_gone_seen(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
}

static void begin(void *ctx, const struct message *m, struct session *s)
{
	struct sink *k = ctx;

	(void)m;
	(void)s;
	must(!k->is_open);
	k->is_open = true;
}

static void end(void *ctx, const struct message *m, struct session *s)
{
	struct sink *k = ctx;

	(void)m;
	(void)s;
	must(k->is_open);
	k->is_open = false;
}

/* What the envelope gives, as far as the encoder wants it. */
static void put_required(struct flow *f)
{
	static const uint8_t address[4];

	flow_set_i64(f, F_event_time, 1);
	flow_set_i64(f, F_ingest_time, 1);
	flow_set_octets(f, F_source, "sflow5", 6);
	flow_set_octets(f, F_exporter_ip, address, sizeof(address));
	if (!flow_has(f, F_event_type))
		flow_set_octets(f, F_event_type, "flow", 4);
	f->has_template_id = false;
	f->has_wire = false;
}

static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	const struct xform_env env = { .lists = lists };
	struct sink *k = ctx;
	struct plan *plan = t->plan;

	must(k->is_open);
	(void)reason;
	lists_begin(lists);
	/* Without memory for less room it takes more, which nobody counts. */
	alloc_pause();
	if (plan == NULL)
		must(plan_compile(catalog, t, s->profile, &plan) == ERR_OK);
	alloc_resume();
	t->plan = plan;
	for (size_t i = 0; i < count; i++) {
		must(r[i].octets == m->octets + r[i].offset);
		must(r[i].offset + r[i].bytes <= m->bytes);
		read_values(t, r[i].values);
		flow_clear(&flow);
		lists_clear(lists);
		plan_run_sample(plan, &env, r[i].values, &flow);
		put_required(&flow);
		must(flow.slots[F_packets].i64 == 1);
		must(avro_encode(&encoder, &flow, event, EVENT_BYTES) > 0);
	}
	k->flows += count;
	return 0;
}

static void undecodable(void *ctx, const struct message *m, const struct session *s,
			enum collector_stat reason, const uint8_t *octets, size_t bytes)
{
	struct sink *k = ctx;

	(void)s;
	(void)reason;
	must(octets == m->octets && bytes == m->bytes);
	k->letters++;
}

static const struct collector_ops ops = { .tmpl_new = tmpl_new_seen,
					  .tmpl_gone = tmpl_gone_seen,
					  .session_gone = session_gone_seen,
					  .message_begin = begin,
					  .records = records,
					  .undecodable = undecodable,
					  .message_end = end };
static const struct collector_limits limits = { .sessions_max = 4,
						.templates_max = 8,
						.fields_max = 64,
						.repeats_max = 4,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600 };

static void check(const struct stat_set *stat, const struct sink *k, uint64_t units,
		  uint64_t failures)
{
	uint64_t counted = stat_get(stat, STAT_UNIT_NOMEM) + stat_get(stat, STAT_REC_SAMPLE_NOMEM);

	must(units == stat_get(stat, STAT_MESSAGES_SFLOW5) + stat_get(stat, STAT_MSG_SHORT) +
			      stat_get(stat, STAT_MSG_AGENT) + stat_get(stat, STAT_MSG_COUNT) +
			      stat_get(stat, STAT_MSG_SET_LENGTH) + stat_get(stat, STAT_UNIT_NOMEM) +
			      stat_get(stat, STAT_UNIT_SESSIONS));
	must(stat_get(stat, STAT_RECORDS) ==
	     stat_get(stat, STAT_RECORDS_FLOW) + stat_get(stat, STAT_RECORDS_COUNTER) +
		     stat_get(stat, STAT_RECORDS_DROP) + stat_get(stat, STAT_REC_SAMPLE) +
		     stat_get(stat, STAT_REC_SAMPLE_FORMAT) +
		     stat_get(stat, STAT_REC_SAMPLE_NOMEM));
	must(stat_get(stat, STAT_SETS_DATA) == stat_get(stat, STAT_SETS_DECODED));
	must(k->flows == stat_get(stat, STAT_RECORDS_FLOW));
	must(!k->is_open);
	must((counted > 0) == (failures > 0));
}

/* In memory of its own size, so that a sanitizer sees reading behind it. */
static void receive(struct collector *c, const uint8_t *octets, size_t bytes)
{
	static const uint8_t version[VERSION_BYTES] = { 0, 0, 0, 5 };
	struct origin origin = { .peer = addr_of_v4(1), .port = 1, .receive_ms = 1 };
	uint8_t *unit;

	alloc_pause();
	unit = malloc(VERSION_BYTES + bytes);
	must(unit != NULL);
	alloc_resume();
	memcpy(unit, version, VERSION_BYTES);
	if (bytes > 0)
		memcpy(unit + VERSION_BYTES, octets, bytes);
	collector_receive(c, unit, VERSION_BYTES + bytes, &origin);
	free(unit);
}

static void run(struct collector *c, struct sink *k, const struct stat_set *stat, struct rd r)
{
	uint64_t failures = alloc_failures();
	uint64_t units = 0;

	for (; rd_left(&r) > 2; units++) {
		size_t bytes = rd_u16(&r);

		bytes = bytes < rd_left(&r) ? bytes : rd_left(&r);
		receive(c, r.at, bytes);
		rd_skip(&r, bytes);
	}
	check(stat, k, units, alloc_failures() - failures);
}

static void once(const uint8_t *octets, size_t bytes)
{
	struct sink k = { 0 };
	struct stat_set *stat;
	struct collector *c;

	if (stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) != ERR_OK) {
		must(alloc_failures() > 0);
		return;
	}
	if (collector_new(&limits, &ops, &k, stat, &c) == ERR_OK) {
		run(c, &k, stat, rd_of(octets, bytes));
		collector_free(c);
	} else {
		must(alloc_failures() > 0);
	}
	must(k.tmpls == 0);
	stat_set_free(stat);
}

/* What sFlow says of BGP asks for no template. */
static const struct plan *plan_of(void *ctx, uint16_t id, const struct tmpl **t, uint32_t *cost)
{
	(void)ctx;
	(void)id;
	*t = NULL;
	*cost = 0;
	must(false);
	return NULL;
}

static const struct announce *announce_of(void *ctx)
{
	(void)ctx;
	must(false);
	return NULL;
}

static void stop(void)
{
	lists_free(lists);
	catalog_free(catalog);
	free(event);
}

static void start(void)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables",
				     RAW_MODE_FULL };
	const struct list_source source = { NULL, plan_of, announce_of };
	struct why why = { "" };

	log_set_level(LOG_LEVEL_ERROR);
	event = malloc(EVENT_BYTES);
	must(event != NULL);
	must(catalog_load(&conf, 1, &why, &catalog) == ERR_OK);
	must(lists_new(&source, &lists) == ERR_OK);
	lists_use(lists, catalog->elements);
	avro_encoder_init(&encoder, &catalog->fields);
	must(atexit(stop) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	if (catalog == NULL)
		start();
	alloc_turns(once, octets, bytes);
	return 0;
}
