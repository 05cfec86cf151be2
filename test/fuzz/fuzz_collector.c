/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no sequence of units crashes, hangs or unbalances the collector: gate, walk, v5, v9, IPFIX, sets that wait for their template; libfixbuf
 * reads each record as we do; what options data says is learned within its limit; and where memory runs out, it is counted.
 * Method: the input is cut in units, each led by two octets of length and one that picks the peer and what
 * happens before (HOW_*); after all of them the ledger's lines must hold.  One input in eight comes again with
 * allocations that fail.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/rd.h"
#include "base/utf8.h"
#include "collector/collector.h"
#include "collector/fixbuf_session.h"
#include "collector/gate.h"
#include "daemon/letter.h"
#include "normalizer/join.h"
#include "test/fuzz/alloc.h"

#define FIELDS_MAX 64
#define JOINS_MAX 8
#define COMPARED_MAX 16 /* records of a set that libfixbuf reads too: it is slow */

/* Of the octet before a unit. */
#define HOW_PEER 0x03
#define HOW_HALF 0x04	   /* what waits for a template has waited half of its time */
#define HOW_PORT 0x08	   /* from another port */
#define HOW_WAIT 0x10	   /* what waits for a template has waited too long */
#define HOW_IDLE 0x20	   /* all exporters have been silent for long */
#define HOW_EXPIRE 0x40	   /* no template has been refreshed for long */
#define HOW_EXPORTERS 0x80 /* another configuration */

static const struct exporter_entry entries[] = {
	{ .net = { { 0 }, 4 }, .prefix_bits = 31, .has_domain = true, .domain = 1, .name = "edge" },
	{ .net = { { 0 }, 4 }, .prefix_bits = 0, .has_port = true, .port = 1 },
};

static struct fixbuf *fixbuf;

struct sink {
	uint64_t flows;
	uint64_t options;
	int64_t tmpls;
	uint64_t views_failed; /* for want of memory */
	uint64_t entries_failed;
	uint64_t joins_failed; /* the same */
};

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	struct sink *k = ctx;

	(void)s;
	must(t->min_bytes > 0);
	k->tmpls++;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	struct sink *k = ctx;

	k->tmpls -= t->version != VERSION_NF5;
	fixbuf_tmpl_free(t->fixbuf);
	t->fixbuf = NULL;
}

static void message_edge(void *ctx, const struct message *m, struct session *s)
{
	(void)ctx;
	(void)m;
	(void)s;
}

/* libfixbuf has octets of its own, so all of ours are read when they are compared. */
static void compare(struct sink *k, struct tmpl *t, const struct record *r,
		    const struct value *ours)
{
	struct value theirs[FIELDS_MAX];
	enum err e = ERR_OK;

	if (t->fixbuf == NULL)
		e = fixbuf_tmpl_make(fixbuf, t, &t->fixbuf);
	must(e == ERR_OK || (e == ERR_NOMEM && alloc_failures() > 0));
	k->views_failed += e != ERR_OK;
	if (e != ERR_OK)
		return;
	/* Its room grows once and stays. */
	alloc_pause();
	must(fixbuf_decode(t->fixbuf, r->octets, r->bytes, theirs) == ERR_OK);
	alloc_resume();
	for (uint16_t i = 0; i < t->field_count; i++) {
		must(theirs[i].bytes == ours[i].bytes);
		must(memcmp(theirs[i].octets, ours[i].octets, ours[i].bytes) == 0);
	}
}

/* Every octet of every field is read, so that a sanitizer sees one too far. */
static void cut_all(struct sink *k, struct tmpl *t, const struct record *records, size_t count)
{
	struct value values[FIELDS_MAX];
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		tmpl_cut(t, records[i].octets, records[i].bytes, values);
		for (uint16_t f = 0; f < t->field_count; f++) {
			for (uint32_t n = 0; n < values[f].bytes; n++)
				sum = (uint8_t)(sum + values[f].octets[n]);
		}
		if (i < COMPARED_MAX)
			compare(k, t, &records[i], values);
	}
}

static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	struct sink *k = ctx;

	(void)m;
	(void)s;
	(void)reason;
	cut_all(k, t, r, count);
	k->flows += count;
	return 0;
}

/* What options data says, and a flow that takes all of it up. */
static void learn(struct sink *k, struct session *s, const struct tmpl *t, const struct record *r)
{
	static struct flow flow;
	static const unsigned numbers[] = { F_sampler_id, F_in_interface, F_out_interface,
					    F_ingress_vrf, F_egress_vrf };
	struct join *joins[JOINS] = { 0 };
	struct value values[FIELDS_MAX];
	struct join_learned learned;

	tmpl_cut(t, r->octets, r->bytes, values);
	join_learn(&s->join, t, values, JOINS_MAX, &learned);
	k->joins_failed += learned.no_memory;
	must(join_count(s->join) <= JOINS_MAX);
	joins[0] = s->join;
	flow_clear(&flow);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		flow_set_i64(&flow, numbers[i], values[0].bytes > 0 ? values[0].octets[0] : 0);
	flow_set_octets(&flow, F_app_id, values[0].octets, values[0].bytes);
	join_flow(joins, &flow);
	must(!flow_has(&flow, F_sampling_rate) || flow.slots[F_sampling_rate].i64 > 0);
	must(!flow_has(&flow, F_in_interface_name) ||
	     utf8_is_valid(flow.slots[F_in_interface_name].octets,
			   flow.slots[F_in_interface_name].bytes));
}

static void options(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		    const struct record *r, size_t count)
{
	struct sink *k = ctx;

	(void)m;
	cut_all(k, t, r, count);
	for (size_t i = 0; i < count; i++)
		learn(k, s, t, &r[i]);
	k->options += count;
}

static void session_gone_seen(void *ctx, struct session *s)
{
	(void)ctx;
	join_free(s->join);
	s->join = NULL;
}

/* Inside its message; a set as long as it says, which can be told again at its place. */
static void undecodable(void *ctx, const struct message *m, const struct session *s,
			enum collector_stat reason, const uint8_t *octets, size_t bytes)
{
	static uint8_t out[LETTER_MESSAGE_MAX];
	struct dead_letter l = { .care = DEAD_PLAIN };
	size_t offset = (size_t)(octets - m->octets);
	const struct frame *frame;
	struct message again;
	size_t told = 0;

	(void)ctx;
	(void)reason;
	must(octets >= m->octets && offset + bytes <= m->bytes);
	if (offset == 0)
		return;
	must(s != NULL);
	must(be16(octets + 2) == bytes);
	dead_set_text(&l, DEAD_KIND, DEAD_KIND_SET);
	dead_set_number(&l, DEAD_VERSION, m->version);
	dead_set_octets(&l, DEAD_HEADER, m->octets, m->header_bytes);
	dead_set_number(&l, DEAD_OFFSET, (int64_t)offset);
	dead_set_octets(&l, DEAD_OCTETS, octets, bytes);
	must(letter_rebuild(&l, out, sizeof(out), &told) == ERR_OK);
	must(gate_check(out, told, &again, &frame) == COLLECTOR_STAT_COUNT);
	must(memcmp(out, m->octets, m->header_bytes) == 0);
	must(memcmp(out + offset, octets, bytes) == 0);
}

static const struct collector_ops ops = { .tmpl_new = tmpl_new_seen,
					  .tmpl_gone = tmpl_gone_seen,
					  .session_gone = session_gone_seen,
					  .message_begin = message_edge,
					  .records = records,
					  .options = options,
					  .undecodable = undecodable,
					  .message_end = message_edge };
static const struct collector_limits limits = { .sessions_max = 64,
						.templates_max = 8,
						.fields_max = FIELDS_MAX,
						.repeats_max = 4,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600,
						.hold_s = 30,
						.hold_session_bytes = 2048,
						.hold_bytes = 8192,
						.template_from_port = true };

static uint64_t sum_of(const struct stat_set *stat, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < stat->count; i++) {
		if (strcmp(stat->descs[i].name, name) == 0)
			sum += stat_get(stat, i);
	}
	return sum;
}

static void check_ledger(const struct stat_set *stat, const struct sink *k, uint64_t units)
{
	must(units == sum_of(stat, "units_refused") + sum_of(stat, "messages"));
	must(sum_of(stat, "messages") ==
	     sum_of(stat, "messages_read") + sum_of(stat, "messages_malformed"));
	must(sum_of(stat, "data_sets") ==
	     sum_of(stat, "data_sets_decoded") + sum_of(stat, "data_sets_refused") +
		     sum_of(stat, "data_sets_held_decoded") + sum_of(stat, "data_sets_held_now") +
		     sum_of(stat, "data_sets_dropped"));
	must(k->flows == sum_of(stat, "records_flow"));
	must(k->options == sum_of(stat, "records_options"));
}

/* What an allocation that failed cost is counted, and nothing else is. */
static void check_memory(const struct stat_set *stat, const struct sink *k, uint64_t failures)
{
	uint64_t counted = stat_get(stat, STAT_UNIT_NOMEM) + stat_get(stat, STAT_TMPL_NOMEM) +
			   stat_get(stat, STAT_SET_NOMEM) + k->views_failed + k->joins_failed +
			   k->entries_failed;

	must((counted > 0) == (failures > 0));
	must(counted <= failures);
}

static void before(struct collector *c, struct sink *k, uint8_t how, uint64_t generation)
{
	int64_t past_ms = 1000 * (int64_t)limits.template_lifetime_s + 1000;

	if ((how & HOW_HALF) != 0)
		collector_tick(c, clock_mono_ms() + 500 * (int64_t)limits.hold_s + 1000);
	if ((how & HOW_WAIT) != 0)
		collector_tick(c, clock_mono_ms() + 1000 * (int64_t)limits.hold_s + 1000);
	if ((how & HOW_EXPIRE) != 0)
		collector_tick(c, clock_mono_ms() + past_ms);
	if ((how & HOW_IDLE) != 0)
		collector_tick(c, INT64_C(1) << 40);
	if ((how & HOW_EXPORTERS) != 0) {
		uint64_t failures = alloc_failures();

		collector_set_exporters(c, entries, generation % 3, generation);
		k->entries_failed += alloc_failures() - failures; /* no message's cost */
	}
}

static void receive(struct collector *c, struct rd *r, uint8_t how, size_t bytes)
{
	struct origin origin = { .peer = addr_of_v4(how & HOW_PEER),
				 .port = 1 + ((how & HOW_PORT) != 0) };
	uint8_t *unit;

	bytes = bytes < rd_left(r) ? bytes : rd_left(r);
	/* In memory of its own size, so that a sanitizer sees reading behind it. */
	alloc_pause();
	unit = malloc(bytes == 0 ? 1 : bytes);
	must(unit != NULL);
	alloc_resume();
	if (bytes > 0)
		memcpy(unit, rd_take(r, bytes), bytes);
	collector_receive(c, unit, bytes, &origin);
	free(unit);
}

static bool count_session(void *ctx, struct session *s)
{
	int64_t *tmpls = ctx;

	*tmpls += (int64_t)s->tmpl_count;
	return true;
}

static void run(struct collector *c, struct sink *sink, const struct stat_set *stat, struct rd r)
{
	uint64_t failures = alloc_failures();
	uint64_t units = 0;
	int64_t tmpls = 0;

	for (; rd_left(&r) > 3; units++) {
		size_t bytes = rd_u16(&r);
		uint8_t how = rd_u8(&r);

		before(c, sink, how, units + 1);
		receive(c, &r, how, bytes);
	}
	check_ledger(stat, sink, units);
	check_memory(stat, sink, alloc_failures() - failures);
	if (units % 2 == 0) {
		collector_finish(c);
		must(stat_get(stat, STAT_SETS_HELD_NOW) == 0);
		check_ledger(stat, sink, units);
	}
	collector_each_session(c, count_session, &tmpls);
	must(tmpls == sink->tmpls);
}

static void once(const uint8_t *octets, size_t bytes)
{
	struct sink sink = { 0 };
	struct stat_set *stat;
	struct collector *c;
	enum err e = stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat);

	must((e == ERR_NOMEM) == (alloc_failures() > 0));
	if (e != ERR_OK)
		return;
	e = collector_new(&limits, &ops, &sink, stat, &c);
	must((e == ERR_NOMEM) == (alloc_failures() > 0));
	if (e == ERR_OK) {
		run(c, &sink, stat, rd_of(octets, bytes));
		collector_free(c);
	}
	must(sink.tmpls == 0);
	stat_set_free(stat);
}

static void stop(void)
{
	fixbuf_free(fixbuf);
}

static void start(void)
{
	struct why why = { "" };

	must(fixbuf_new("templates/elements", &why, &fixbuf) == ERR_OK);
	must(atexit(stop) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	if (fixbuf == NULL)
		start();
	alloc_turns(once, octets, bytes);
	return 0;
}
