/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no sequence of units crashes, hangs or unbalances the collector: gate, walk, v5, v9, IPFIX, sets that wait for their template; libfixbuf
 * reads each record as we do; who is over his rate, or is nobody, is refused; templates and what waits for one outlive a restart, also when
 * they were kept change by change, and whatever stands beside them in the files; what options data says is learned within its limit; and where memory runs out, it is counted.
 * Method: the input begins with options (OPTION_*), and is then cut in units, each led by two octets of length and two that
 * pick the peer and what happens before (HOW_*); after all of them the ledger's lines must hold.  The clock is the
 * test's own, so that an input does the same each time.  One input in eight comes again with allocations that fail.
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
#include "collector/keep.h"
#include "daemon/journal.h"
#include "daemon/letter.h"
#include "normalizer/join.h"
#include "test/fuzz/alloc.h"
#include "test/fuzz/samples.h"

#define FIELDS_MAX 64
#define JOINS_MAX 8
#define RESTARTS_MAX 8
#define COMPARED_MAX 16 /* records of a set that libfixbuf reads too: it is slow */

/* Of the two octets before a unit. */
#define HOW_PEER 0x03
#define HOW_HALF 0x04	    /* what waits for a template has waited half of its time */
#define HOW_PORT 0x08	    /* from another port */
#define HOW_WAIT 0x10	    /* what waits for a template has waited too long */
#define HOW_IDLE 0x20	    /* all exporters have been silent for long */
#define HOW_EXPIRE 0x40	    /* no template has been refreshed for long */
#define HOW_EXPORTERS 0x80  /* another configuration */
#define HOW_TENTH 0x0100    /* a tenth of a second has passed */
#define HOW_SECOND 0x0200   /* a second */
#define HOW_RESTART 0x0400  /* a stop and a start; the unit is one more entry of what was kept, */
#define HOW_OF_HELD 0x0800  /* of sets, not of templates */
#define HOW_CLOCK 0x1000    /* the clock on the wall is put back an hour */
#define HOW_STRANGERS 0x2000 /* strangers are refused from now on, or heard again */
#define HOW_AGAIN 0x4000    /* it comes from the dead letters */
#define HOW_KEEP 0x8000	    /* what changed is kept before it comes */

/* Of the input's first two octets, two bits each but for the second: which of these. */
static const struct {
	uint64_t session_bytes;
	uint64_t bytes;
} holds[4] = { { 0, 0 }, { 256, 512 }, { 2048, 8192 }, { 4096, 4096 } };
#define OPTION_HOLD(o) ((o) & 3)
#define OPTION_BORROW 0x04
#define OPTION_CLOSED 0x08
static const uint32_t unknown_rates[4] = { 0, 1, 3, 50 };
#define OPTION_RATE(o) ((o) >> 4 & 3)
static const uint32_t unknown_sessions[4] = { 0, 1, 3, 8 };
#define OPTION_STRANGERS(o) ((o) >> 6 & 3)
static const uint32_t sessions[4] = { 64, 1, 4, 16 };
#define OPTION_SESSIONS(o) ((o) >> 8 & 3)
static const uint32_t templates[4] = { 8, 1, 2, 64 };
#define OPTION_TEMPLATES(o) ((o) >> 10 & 3)
#define OPTION_ENTRIES(o) ((o) >> 12 & 3)

#define SLICE_BYTES 300 /* of what is kept: a few entries */
#define WALL_MS INT64_C(1700000000000)

static const struct exporter_entry entries[] = {
	{ .net = { { 0 }, 4 }, .prefix_bits = 31, .has_domain = true, .domain = 1, .name = "edge" },
	{ .net = { { 0, 0, 0, 2 }, 4 }, .prefix_bits = 32, .rate = 2 },
	{ .net = { { 0 }, 4 }, .prefix_bits = 0, .has_port = true, .port = 1, .rate = 40 },
};
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

static struct fixbuf *fixbuf;
static int64_t mono_ms;
static int64_t wall_ms; /* less the other one */

/* The linker puts this before clock_mono_ms(). */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int64_t __wrap_clock_mono_ms(void);

int64_t __wrap_clock_mono_ms(void)
{
	return mono_ms;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

struct sink {
	uint64_t flows;
	uint64_t options;
	int64_t tmpls;
	uint64_t views_failed; /* for want of memory */
	uint64_t entries_failed;
	uint64_t joins_failed; /* the same */
	uint64_t keeps_failed;
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

	k->tmpls -= t->id != 0;
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
		if (records[i].values != NULL) {
			read_values(t, records[i].values);
			continue;
		}
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
	join_learn(&s->join, NULL, t, values, JOINS_MAX, &learned);
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
static const struct collector_limits most = { .fields_max = FIELDS_MAX,
					      .repeats_max = 4,
					      .template_lifetime_s = 1800,
					      .session_idle_s = 3600 };
#define HOLD_S 30

/* One life after another, and what they share. */
struct house {
	struct collector *collector;
	struct collector_limits limits;
	struct collector_policy policy;
	size_t entry_count;
	uint64_t generation;
	unsigned restarts;
	struct sink sink;
	struct stat_set *stat;
	struct keep tmpls; /* as their files hold them */
	struct keep held;
};

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
	must(sum_of(stat, "data_sets") + sum_of(stat, "data_sets_restored") ==
	     sum_of(stat, "data_sets_decoded") + sum_of(stat, "data_sets_kept") +
		     sum_of(stat, "data_sets_refused") +
		     sum_of(stat, "data_sets_held_decoded") + sum_of(stat, "data_sets_held_now") +
		     sum_of(stat, "data_sets_dropped"));
	must(k->flows == sum_of(stat, "records_flow"));
	must(k->options == sum_of(stat, "records_options"));
}

/* What an allocation that failed cost is counted, and nothing else is. */
static void check_memory(const struct stat_set *stat, const struct sink *k, uint64_t failures)
{
	uint64_t counted = stat_get(stat, STAT_UNIT_NOMEM) + stat_get(stat, STAT_TMPL_NOMEM) +
			   stat_get(stat, STAT_SET_NOMEM) + stat_get(stat, STAT_REC_SAMPLE_NOMEM) + k->views_failed + k->joins_failed +
			   k->entries_failed + k->keeps_failed;

	must((counted > 0) == (failures > 0));
	must(counted <= failures);
}

static void pass(struct house *h, int64_t ms)
{
	mono_ms += ms;
	collector_tick(h->collector, mono_ms);
}

/* What it allocates is no message's cost. */
static void configure(struct house *h)
{
	uint64_t failures = alloc_failures();

	h->generation++;
	collector_set_policy(h->collector, &h->policy);
	collector_set_exporters(h->collector, entries, h->entry_count, h->generation);
	h->sink.entries_failed += alloc_failures() - failures;
}

static void read_options(struct house *h, uint16_t o)
{
	h->limits = most;
	h->limits.hold_s = holds[OPTION_HOLD(o)].bytes == 0 ? 0 : HOLD_S;
	h->limits.hold_session_bytes = holds[OPTION_HOLD(o)].session_bytes;
	h->limits.hold_bytes = holds[OPTION_HOLD(o)].bytes;
	h->limits.template_from_port = (o & OPTION_BORROW) != 0;
	h->limits.sessions_max = sessions[OPTION_SESSIONS(o)];
	h->limits.templates_max = templates[OPTION_TEMPLATES(o)];
	h->limits.templates_exporter_max = h->limits.templates_max + 4;
	h->limits.templates_all_max = h->limits.templates_max + 12;
	h->limits.templates_all_bytes = 16384;
	h->policy.is_closed = (o & OPTION_CLOSED) != 0;
	h->policy.unknown_rate = unknown_rates[OPTION_RATE(o)];
	h->policy.unknown_sessions_max = unknown_sessions[OPTION_STRANGERS(o)];
	h->entry_count = OPTION_ENTRIES(o);
}

/* What a life wrote, for the next one. */
struct heir {
	struct house *house;
	enum err (*take)(struct collector *c, struct rd entry, const struct keep_now *now);
	enum err (*peer)(struct rd entry, struct addr *out);
	struct keep_now now;
	uint64_t taken;
};

static struct keep_now now_of(void)
{
	return (struct keep_now){ mono_ms + wall_ms, mono_ms };
}

/*
 * What changed, behind what was; that a set left or a session ended and there was no memory to say so shows here, and then all is
 * kept anew.
 */
static void keep_kind(struct house *h, struct keep *k,
		      bool (*keep)(struct collector *, const struct keep_now *, size_t, struct keep *),
		      void (*rewind)(struct collector *))
{
	struct keep_now now = now_of();

	while (keep(h->collector, &now, SLICE_BYTES, k))
		;
	if (!k->is_failed)
		return;
	h->sink.keeps_failed++;
	k->is_failed = false;
	k->bytes = 0;
	rewind(h->collector);
	while (keep(h->collector, &now, SLICE_BYTES, k))
		;
	must(!k->is_failed);
}

static void keep_changes(struct house *h)
{
	alloc_pause();
	keep_kind(h, &h->tmpls, keep_tmpls, keep_rewind_tmpls);
	keep_kind(h, &h->held, keep_held, keep_rewind_held);
	alloc_resume();
}

static struct rd entries_of(const struct keep *k)
{
	return rd_of(k->bytes == 0 ? (const uint8_t *)"" : k->octets, k->bytes);
}

/* Its last entry there. */
static struct rd last_of(const struct keep *k, const struct rd *id)
{
	struct rd all = entries_of(k);
	struct rd last = { 0 };
	struct rd entry;

	while (keep_next(&all, &entry)) {
		if (memcmp(entry.at, id->at, KEEP_KEY_BYTES) == 0)
			last = entry;
	}
	return last;
}

/* Of a session that ended nothing is left. */
static void check_none_left(const struct keep *changes, const struct keep *whole)
{
	struct rd all = entries_of(changes);
	struct rd entry;

	while (keep_next(&all, &entry)) {
		struct rd last = last_of(changes, &entry);

		if (last.at == entry.at && rd_left(&entry) > KEEP_KEY_BYTES)
			must(last_of(whole, &entry).at != NULL);
	}
}

/* All templates, asked for at once, are those that were kept change by change; only their times go on. */
static void check_kept(struct house *h)
{
	struct keep_now now = now_of();
	struct keep whole = { 0 };
	struct rd all;
	struct rd entry;

	keep_rewind_tmpls(h->collector);
	while (keep_tmpls(h->collector, &now, SLICE_BYTES, &whole))
		;
	all = entries_of(&whole);
	while (keep_next(&all, &entry)) {
		struct rd last = last_of(&h->tmpls, &entry);

		must(last.at != NULL && rd_left(&last) == rd_left(&entry));
	}
	check_none_left(&h->tmpls, &whole);
	keep_fini(&whole);
}

/* Entries of this house hold in its next life, unless that has no room for them. */
static void take_entry(void *ctx, struct rd entry)
{
	struct heir *heir = ctx;
	struct addr peer;

	must(heir->peer(entry, &peer) == ERR_OK);
	must(heir->take(heir->house->collector, entry, &heir->now) != ERR_FORMAT);
	heir->taken++;
}

static void take_entries(struct heir *heir, struct keep *k, size_t id_bytes)
{
	struct journal_found f = { .entries = entries_of(k) };
	size_t broken;

	must(journal_last(&f, id_bytes, take_entry, heir, &broken) == ERR_OK);
	must(broken == 0);
	k->bytes = 0;
}

/* A stop and a start: what was kept, and what the fuzzer puts beside it. */
static void restart(struct house *h, uint16_t how, struct rd unit)
{
	struct heir tmpls = { h, keep_take_tmpls, keep_peer, { 0, 0 }, 0 };
	struct heir held = { h, keep_take_held, keep_held_peer, { 0, 0 }, 0 };
	uint64_t waiting = stat_get(h->stat, STAT_SETS_HELD_NOW);

	keep_changes(h);
	alloc_pause(); /* of a start without memory nothing is expected */
	check_kept(h);
	keep_forget_held(h->collector);
	must(stat_get(h->stat, STAT_SETS_HELD_NOW) == 0);
	collector_free(h->collector);
	must(h->sink.tmpls == 0);
	must(collector_new(&h->limits, &ops, &h->sink, h->stat, &h->collector) == ERR_OK);
	configure(h);
	if ((how & HOW_CLOCK) != 0)
		wall_ms -= 3600000;
	tmpls.now = now_of();
	held.now = tmpls.now;
	take_entries(&tmpls, &h->tmpls, KEEP_KEY_BYTES);
	if ((how & HOW_OF_HELD) == 0)
		(void)keep_take_tmpls(h->collector, unit, &tmpls.now);
	take_entries(&held, &h->held, KEEP_NUMBER_BYTES);
	must(held.taken == waiting);
	if ((how & HOW_OF_HELD) != 0)
		(void)keep_take_held(h->collector, unit, &held.now);
	keep_rewind_tmpls(h->collector);
	keep_rewind_held(h->collector);
	alloc_resume();
}

static void before(struct house *h, uint16_t how)
{
	if ((how & HOW_TENTH) != 0)
		pass(h, 100);
	if ((how & HOW_SECOND) != 0)
		pass(h, 1000);
	if ((how & HOW_HALF) != 0)
		pass(h, 500 * (int64_t)HOLD_S + 1000);
	if ((how & HOW_WAIT) != 0)
		pass(h, 1000 * (int64_t)HOLD_S + 1000);
	if ((how & HOW_EXPIRE) != 0)
		pass(h, 1000 * (int64_t)most.template_lifetime_s + 1000);
	if ((how & HOW_IDLE) != 0)
		pass(h, 1000 * (int64_t)most.session_idle_s + 1000);
	if ((how & HOW_STRANGERS) != 0)
		h->policy.is_closed = !h->policy.is_closed;
	if ((how & HOW_EXPORTERS) != 0)
		h->entry_count = (h->entry_count + 1) % (ENTRIES + 1);
	if ((how & (HOW_STRANGERS | HOW_EXPORTERS)) != 0)
		configure(h);
	if ((how & HOW_KEEP) != 0)
		keep_changes(h);
}

/* Was it a message? */
static bool receive(struct house *h, struct rd *r, uint16_t how, size_t bytes)
{
	struct origin origin = { .peer = addr_of_v4(how & HOW_PEER),
				 .port = 1 + ((how & HOW_PORT) != 0),
				 .receive_ms = mono_ms + wall_ms,
				 .is_again = (how & HOW_AGAIN) != 0 };
	bool is_restart = (how & HOW_RESTART) != 0 && h->restarts < RESTARTS_MAX;
	uint8_t *unit;

	bytes = bytes < rd_left(r) ? bytes : rd_left(r);
	/* In memory of its own size, so that a sanitizer sees reading behind it. */
	alloc_pause();
	unit = malloc(bytes == 0 ? 1 : bytes);
	must(unit != NULL);
	alloc_resume();
	if (bytes > 0)
		memcpy(unit, rd_take(r, bytes), bytes);
	h->restarts += is_restart;
	if (is_restart)
		restart(h, how, rd_of(unit, bytes));
	else
		collector_receive(h->collector, unit, bytes, &origin);
	free(unit);
	return !is_restart;
}

static bool count_session(void *ctx, struct session *s)
{
	int64_t *tmpls = ctx;

	*tmpls += (int64_t)s->tmpl_count;
	/* Those that were replaced stay a while for data that is late. */
	for (size_t i = 0; i < s->tmpl_count; i++)
		*tmpls += s->tmpls[i]->before != NULL;
	return true;
}

static void run(struct house *h, struct rd r)
{
	uint64_t failures = alloc_failures();
	uint64_t units = 0;
	int64_t tmpls = 0;

	configure(h);
	while (rd_left(&r) > 4) {
		size_t bytes = rd_u16(&r);
		uint16_t how = rd_u16(&r);

		before(h, how);
		units += receive(h, &r, how, bytes);
	}
	keep_changes(h);
	check_ledger(h->stat, &h->sink, units);
	check_memory(h->stat, &h->sink, alloc_failures() - failures);
	if (units % 2 == 0) {
		collector_finish(h->collector);
		must(stat_get(h->stat, STAT_SETS_HELD_NOW) == 0);
		check_ledger(h->stat, &h->sink, units);
	}
	collector_each_session(h->collector, count_session, &tmpls);
	must(tmpls == h->sink.tmpls);
}

static void once(const uint8_t *octets, size_t bytes)
{
	struct rd r = rd_of(octets, bytes);
	struct house h = { 0 };
	enum err e = stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &h.stat);

	must((e == ERR_NOMEM) == (alloc_failures() > 0));
	if (e != ERR_OK)
		return;
	mono_ms = INT64_C(1) << 32;
	wall_ms = WALL_MS - mono_ms;
	read_options(&h, rd_u16(&r));
	e = collector_new(&h.limits, &ops, &h.sink, h.stat, &h.collector);
	must((e == ERR_NOMEM) == (alloc_failures() > 0));
	if (e == ERR_OK) {
		run(&h, r);
		collector_free(h.collector);
		keep_fini(&h.tmpls);
		keep_fini(&h.held);
	}
	must(h.sink.tmpls == 0);
	stat_set_free(h.stat);
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
