/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pipeline_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/rd.h"
#include "collector/fixbuf_session.h"
#include "collector/frame.h"
#include "daemon/letter.h"
#include "normalizer/report.h"

#define BATCH_ROOM (PIPELINE_SLICE_BYTES + (1u << 20))
#define FIXED_BYTES_MAX 24576u /* an encoded event without its strings */
#define RAW_ENTRY_BYTES_MAX 200u

#define COUNTER(id, name, unit, doc) [PIPE_STAT_##id] = { name, "", unit, doc },
#define DROP(id, name, reason, unit, doc) [PIPE_STAT_##id] = { name, reason, unit, doc },
const struct stat_desc pipeline_stat_descs[PIPE_STAT_COUNT] = {
#include "daemon/counters.def"
#include "daemon/drops.def"
};
#undef COUNTER
#undef DROP

uint64_t pipeline_work_of_record(const struct tmpl *t)
{
	uint32_t wide = t->field_count > WORK_WIDE ? t->field_count - WORK_WIDE : 0;

	return WORK_RECORD + (uint64_t)(t->field_count - wide) * WORK_FIELD +
	       (uint64_t)wide * WORK_WIDE_FIELD;
}

/* Settles which mappings hold for the session, from all templates it has. */
static void settle_profile(struct pipeline *p, struct session *s)
{
	const struct catalog *c = p->generation->catalog;
	uint64_t profile = catalog_profile(c, s);

	for (size_t i = 0; i < s->tmpl_count; i++)
		profile = catalog_profile_add(c, s, s->tmpls[i], profile);
	if (s->fixed != NULL)
		profile = catalog_profile_add(c, s, s->fixed, profile);
	s->profile = profile;
	s->profile_generation = p->generation->number;
}

static void on_tmpl_new(void *ctx, struct session *s, struct tmpl *t)
{
	struct pipeline *p = ctx;
	uint64_t before = s->profile;

	if (s->profile_generation != p->generation->number) {
		settle_profile(p, s);
		return;
	}
	s->profile = catalog_profile_add(p->generation->catalog, s, t, s->profile);
	/* A mapping that begins to hold late was missing for what went before. */
	if (s->profile != before && s->counts.flows > 0)
		stat_add(p->stat, PIPE_STAT_PROFILE_LATE, s->counts.flows);
}

static void on_tmpl_gone(void *ctx, struct tmpl *t)
{
	(void)ctx;
	plan_free(t->plan);
	t->plan = NULL;
	fixbuf_tmpl_free(t->fixbuf);
	t->fixbuf = NULL;
}

static void on_session_gone(void *ctx, struct session *s)
{
	struct pipeline *p = ctx;

	p->join_count -= join_count(s->join);
	join_free(s->join);
	s->join = NULL;
	p->announce_count -= announce_count(s->announce);
	announce_free(s->announce);
	s->announce = NULL;
	p->report_count -= s->report == NULL ? 0 : s->report->count;
	free(s->report);
	s->report = NULL;
}

/* Does the exporter announce elements of the template that its plan does not know of? */
static bool is_behind(struct pipeline *p, const struct session *s, const struct tmpl *t)
{
	if (!plan_is_unsure(t->plan, s->announce))
		return false;
	p->work += (uint64_t)t->field_count * WORK_ANNOUNCED_FIELD;
	return plan_is_behind(t->plan, p->generation->catalog, t, s->announce);
}

struct plan *pipeline_plan(struct pipeline *p, struct session *s, struct tmpl *t)
{
	struct plan *plan = t->plan;

	if (s->profile_generation != p->generation->number)
		settle_profile(p, s);
	if (plan != NULL && plan_is_current(plan, p->generation->number, s->profile) &&
	    !is_behind(p, s, t))
		return plan;
	plan_free(plan);
	t->plan = plan_pool_find(&p->plans, t, p->generation->number, s->profile);
	if (t->plan != NULL)
		return t->plan;
	p->work += WORK_PLAN + (uint64_t)t->field_count * WORK_PLAN_FIELD;
	if (plan_compile_announced(p->generation->catalog, t, s->profile, s->announce, &plan) !=
	    ERR_OK)
		return NULL;
	t->plan = plan;
	plan_pool_put(&p->plans, t, plan);
	stat_inc(p->stat, PIPE_STAT_PLANS);
	return plan;
}

/* libfixbuf's view of the template; NULL when it cannot be had. */
static struct fixbuf_tmpl *fixbuf_view(struct pipeline *p, struct tmpl *t)
{
	struct why why = { "" };

	if (t->fixbuf != NULL || p->is_fixbuf_broken)
		return t->fixbuf;
	if (p->fixbuf == NULL && fixbuf_new(p->elements_dir, &why, &p->fixbuf) != ERR_OK) {
		p->is_fixbuf_broken = true;
		log_error("fixbuf.failed why=\"%s\"", why.text);
		return NULL;
	}
	(void)fixbuf_tmpl_make(p->fixbuf, t, &t->fixbuf);
	return t->fixbuf;
}

static void drop_view(struct tmpl *t)
{
	fixbuf_tmpl_free(t->fixbuf);
	t->fixbuf = NULL;
}

static bool drop_fixbuf_view(void *ctx, struct session *s)
{
	(void)ctx;
	for (size_t i = 0; i < s->tmpl_count; i++) {
		drop_view(s->tmpls[i]);
		if (s->tmpls[i]->before != NULL)
			drop_view(s->tmpls[i]->before);
	}
	return true;
}

static void append_batch(struct pipeline *p)
{
	uint64_t lsn;
	enum err e;

	if (p->batch.record_count == 0)
		return;
	e = log_append(p->log, &p->batch, &lsn);
	if (e == ERR_OK)
		stat_add(p->stat, PIPE_STAT_APPENDED, p->batch.record_count);
	else
		stat_add(p->stat, e == ERR_FULL ? PIPE_STAT_LOG_FULL : PIPE_STAT_LOG_ERROR,
			 p->batch.record_count);
	log_batch_clear(&p->batch);
}

/* Octets that the event may need: what is fixed, and each string at its longest (hex). */
static size_t encoded_max(const struct flow *f)
{
	return FIXED_BYTES_MAX + 8 * (size_t)f->record_bytes +
	       (size_t)f->raw_count * RAW_ENTRY_BYTES_MAX + f->scratch_used +
	       2 * (size_t)f->list_bytes;
}

/* Encodes one event into the batch; false when it is larger than the log takes. */
static bool encode(struct pipeline *p, struct log_batch *batch, const struct flow *f,
		   uint32_t exporter)
{
	size_t room = encoded_max(f);
	const struct generation *g = p->generation;
	struct log_head head;
	uint8_t *out;
	size_t bytes;

	out = room > LOG_RECORD_MAX ? NULL : log_batch_reserve(batch, room);
	bytes = out == NULL ? 0 : avro_encode(&g->encoder, f, out, room);
	if (bytes == 0) {
		out = log_batch_reserve(batch, LOG_RECORD_MAX);
		bytes = out == NULL ? 0 : avro_encode(&g->encoder, f, out, LOG_RECORD_MAX);
	}
	if (bytes == 0)
		return false;
	envelope_head(f, &head);
	head.bytes = (uint32_t)bytes;
	head.exporter = exporter;
	head.event_type = g->event_types[f->slots[F_event_type].tag];
	log_batch_commit(batch, &head);
	return true;
}

/* Larger than the log takes: the record may be kept as it came. */
static void give_up(struct pipeline *p, const struct flow *f)
{
	const struct envelope *e = &p->envelope;

	if (p->dead != NULL && letter_put_flow(p->dead, p->worker, e->message, e->session,
					       &pipeline_stat_descs[PIPE_STAT_TOO_BIG], f))
		stat_inc(p->stat, PIPE_STAT_DEAD_LETTER);
	else
		stat_inc(p->stat, PIPE_STAT_TOO_BIG);
}

static void encode_flows(struct pipeline *p, size_t count)
{
	uint32_t exporter = p->envelope.session->exporter_number;

	stat_add(p->stat, PIPE_STAT_FLOWS, count);
	if (!p->generation->encodes) {
		stat_add(p->stat, PIPE_STAT_DECODED_ONLY, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		size_t before = p->batch.bytes;

		if (!encode(p, &p->batch, &p->flows[i], exporter)) {
			give_up(p, &p->flows[i]);
			continue;
		}
		stat_add(p->stat, PIPE_STAT_ENCODED_OCTETS, p->batch.bytes - before);
		p->work += (p->batch.bytes - before) * WORK_8_OCTETS / 8;
		if (p->flows[i].notes >> NOTE_SATURATED & 1)
			stat_inc(p->stat, PIPE_STAT_SATURATED);
		if (p->batch.bytes >= PIPELINE_SLICE_BYTES)
			append_batch(p);
	}
}

/* libfixbuf's octets of each field, through the same plan; false when it cannot read the record. */
static bool decode_by_fixbuf(struct pipeline *p, struct tmpl *t, const struct plan *plan,
			     const struct record *r, struct flow *f)
{
	struct fixbuf_tmpl *view = fixbuf_view(p, t);

	if (view == NULL || fixbuf_decode(view, r->octets, r->bytes, p->values) != ERR_OK)
		return false;
	plan_run_values(plan, &p->envelope.env, p->values, f);
	return true;
}

/* What stands in a flow beside what its record says, but for the enriched layer. */
static void complete(struct pipeline *p, const struct tmpl *t, const struct record *r,
		     struct flow *f)
{
	join_flow(p->context.joins, f);
	envelope_put(&p->envelope, t, r, f);
	f->has_wire = p->generation->catalog->raw == RAW_MODE_WIRE;
}

static void enrich(struct pipeline *p, struct flow *flows, size_t count)
{
	enrich_run(p->generation->enrich, &p->context, flows, count);
}

/* Both readings, encoded: they must be the same octets. */
static void self_check(struct pipeline *p, struct tmpl *t, const struct plan *plan,
		       const struct record *r, const struct flow *by_plan)
{
	struct flow *f = &p->check_flow;
	struct log_batch *b = &p->check_batch;
	size_t half;

	struct lists *own = p->envelope.env.lists;
	bool is_read;

	stat_inc(p->stat, PIPE_STAT_SELFCHECKS);
	flow_clear(f);
	p->envelope.env.lists = list_room_check(&p->lists);
	is_read = !p->lists.is_cut && decode_by_fixbuf(p, t, plan, r, f);
	p->envelope.env.lists = own;
	if (!is_read) {
		stat_inc(p->stat, PIPE_STAT_SELFCHECK_SKIPPED);
		return;
	}
	complete(p, t, r, f);
	enrich(p, f, 1);
	log_batch_clear(b);
	if (!encode(p, b, f, 0))
		return;
	half = b->bytes;
	if (!encode(p, b, by_plan, 0))
		return;
	if (b->bytes == 2 * half && memcmp(b->octets, b->octets + half, half) == 0)
		return;
	stat_inc(p->stat, PIPE_STAT_SELFCHECK_DIFFERS);
	log_every(LOG_LEVEL_ERROR, "selfcheck.differs exporter=%.*s template=%u",
		  (int)p->envelope.session->identity_bytes, p->envelope.session->identity, t->id);
}

static bool is_check_due(struct pipeline *p)
{
	if (p->selfcheck == 0 || p->is_fixbuf || --p->selfcheck_in > 0)
		return false;
	p->selfcheck_in = p->selfcheck;
	return true;
}

/* A flow that nobody will have encoded, made what it would be if somebody did. */
static void make_whole(struct pipeline *p, const struct tmpl *t, const struct plan *plan,
		       const struct record *r, struct flow *f)
{
	if (!plan_has_lists(plan)) {
		p->envelope.env.skips_raw = false;
		flow_clear(f);
		plan_run_record(plan, &p->envelope.env, r, f);
	}
	complete(p, t, r, f);
	enrich(p, f, 1);
}

/* Up to PIPELINE_FLOWS records; returns how many of them libfixbuf could not read.  Flows that nobody will have encoded
 * are complete only where the check looks at them. */
static size_t decode_some(struct pipeline *p, struct tmpl *t, const struct plan *plan,
			  const struct record *records, size_t count)
{
	bool by_fixbuf = p->is_fixbuf && fixbuf_reads(t);
	bool is_complete = p->generation->encodes;
	const struct record *of[PIPELINE_FLOWS];
	size_t n = 0;

	lists_clear(p->lists.lists);
	p->envelope.env.skips_raw = !is_complete && !plan_has_lists(plan);
	for (size_t i = 0; i < count; i++) {
		struct flow *f = &p->flows[n];

		flow_clear(f);
		if (!by_fixbuf)
			plan_run_record(plan, &p->envelope.env, &records[i], f);
		else if (!decode_by_fixbuf(p, t, plan, &records[i], f))
			continue;
		if (is_complete)
			complete(p, t, &records[i], f);
		of[n++] = &records[i];
	}
	if (plan_has_lists(plan))
		list_room_count(&p->lists, p->stat);
	if (is_complete)
		enrich(p, p->flows, n);
	for (size_t i = 0; i < n; i++) {
		if (!fixbuf_reads(t) || !is_check_due(p))
			continue;
		if (!is_complete)
			make_whole(p, t, plan, of[i], &p->flows[i]);
		self_check(p, t, plan, of[i], &p->flows[i]);
	}
	encode_flows(p, n);
	return count - n;
}

static size_t on_records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			 const struct record *records, size_t count, enum collector_stat *reason)
{
	struct pipeline *p = ctx;
	const struct plan *plan = pipeline_plan(p, s, t);
	size_t undecodable = 0;
	/* libfixbuf's octets live until its next record. */
	size_t most = p->is_fixbuf ? 1 : PIPELINE_FLOWS;

	(void)m;
	if (plan == NULL) {
		*reason = STAT_REC_PLAN;
		return count;
	}
	*reason = STAT_REC_DECODER;
	p->work += count * pipeline_work_of_record(t);
	for (size_t i = 0; i < count; i += most) {
		size_t some = count - i < most ? count - i : most;

		undecodable += decode_some(p, t, plan, &records[i], some);
	}
	return undecodable;
}

static void on_undecodable(void *ctx, const struct message *m, const struct session *s,
			   enum collector_stat reason, const uint8_t *octets, size_t bytes)
{
	struct pipeline *p = ctx;

	if (p->dead != NULL)
		(void)letter_put_octets(p->dead, p->worker, m, s, &collector_stat_descs[reason],
					octets, bytes);
}

static void on_message_begin(void *ctx, const struct message *m, struct session *s)
{
	struct pipeline *p = ctx;

	if (s->exporter_number == SESSION_NUMBER_NONE &&
	    log_name_add(p->hub, LOG_NAME_EXPORTER, s->identity, s->identity_bytes,
			 &s->exporter_number) != ERR_OK)
		s->exporter_number = SESSION_NUMBER_NONE;
	envelope_begin(&p->envelope, m, s);
	p->envelope.env.lists = list_room_begin(&p->lists, s);
	pipeline_settle_joins(p, s);
	p->work_before = p->work;
	p->batch.schema = p->generation->schema;
	p->check_batch.schema = p->generation->schema;
}

/* What an operator sends through again may cost what it will. */
static bool may_go_on(void *ctx, const struct message *m)
{
	const struct pipeline *p = ctx;

	return p->work - p->work_before < p->work_max || p->work_max == 0 || m->origin->is_again;
}

static uint64_t work_so_far(void *ctx)
{
	const struct pipeline *p = ctx;

	return p->work;
}

static void on_message_end(void *ctx, const struct message *m, struct session *s)
{
	struct pipeline *p = ctx;

	(void)m;
	(void)s;
	append_batch(p);
}

static const struct collector_ops ops = {
	.tmpl_new = on_tmpl_new,
	.tmpl_gone = on_tmpl_gone,
	.session_gone = on_session_gone,
	.message_begin = on_message_begin,
	.records = on_records,
	.undecodable = on_undecodable,
	.options = pipeline_learn,
	.may_go_on = may_go_on,
	.work = work_so_far,
	.message_end = on_message_end,
};

enum err pipeline_new(const struct pipeline_setup *setup, struct pipeline **out)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	enum err e;

	if (p == NULL)
		return ERR_NOMEM;
	p->collector_stat = setup->collector_stat;
	p->stat = setup->stat;
	p->hub = setup->hub;
	p->log = setup->log;
	p->dead = setup->dead;
	p->worker = setup->worker;
	p->elements_dir = setup->elements_dir;
	p->is_fixbuf = setup->is_fixbuf;
	p->selfcheck = setup->selfcheck;
	p->selfcheck_in = setup->selfcheck;
	p->work_max = setup->message_work * UINT64_C(1000);
	e = log_batch_init(&p->batch, BATCH_ROOM);
	if (e == ERR_OK)
		e = log_batch_init(&p->check_batch, 1u << 20);
	if (e == ERR_OK)
		e = list_room_open(&p->lists, p, p->selfcheck != 0);
	if (e == ERR_OK)
		e = collector_new(setup->limits, &ops, p, setup->collector_stat, &p->collector);
	if (e != ERR_OK) {
		pipeline_free(p);
		return e;
	}
	pipeline_use(p, setup->generation);
	*out = p;
	return ERR_OK;
}

void pipeline_free(struct pipeline *p)
{
	if (p == NULL)
		return;
	collector_free(p->collector);
	plan_pool_fini(&p->plans);
	fixbuf_free(p->fixbuf);
	log_batch_fini(&p->batch);
	log_batch_fini(&p->check_batch);
	list_room_close(&p->lists);
	free(p);
}

void pipeline_receive(void *pipeline, const uint8_t *octets, size_t bytes,
		      const struct origin *origin)
{
	struct pipeline *p = pipeline;

	collector_receive(p->collector, octets, bytes, origin);
}

void pipeline_again(struct pipeline *p, const uint8_t *octets, size_t bytes,
		    const struct origin *origin)
{
	stat_inc(p->collector_stat, STAT_UNITS_DEAD_LETTER);
	stat_add(p->collector_stat, STAT_OCTETS, bytes);
	collector_receive(p->collector, octets, bytes, origin);
}

enum err pipeline_append_again(struct pipeline *p, const struct log_head *head, uint32_t schema,
			       const uint8_t *payload)
{
	uint8_t *out = log_batch_reserve(&p->batch, head->bytes);
	uint64_t lsn;
	enum err e;

	if (out == NULL)
		return ERR_NOMEM;
	memcpy(out, payload, head->bytes);
	log_batch_commit(&p->batch, head);
	p->batch.schema = schema;
	e = log_append(p->log, &p->batch, &lsn);
	log_batch_clear(&p->batch);
	if (e != ERR_OK)
		return e;
	stat_inc(p->stat, PIPE_STAT_REPLAYED);
	stat_inc(p->stat, PIPE_STAT_APPENDED);
	return ERR_OK;
}

void pipeline_seal(struct pipeline *p, int64_t mono_ms)
{
	log_tick(p->log, mono_ms);
	if (p->dead != NULL)
		dead_tick(p->dead, p->worker, mono_ms);
}

void pipeline_flush(struct pipeline *p)
{
	log_flush(p->log);
	if (p->dead != NULL)
		dead_flush(p->dead, p->worker);
}

void pipeline_tick(struct pipeline *p, int64_t mono_ms)
{
	pipeline_seal(p, mono_ms);
	collector_tick(p->collector, mono_ms);
}

bool pipeline_turn(struct pipeline *p)
{
	return collector_turn(p->collector);
}

void pipeline_catch_up(struct pipeline *p)
{
	collector_catch_up(p->collector);
}

void pipeline_finish(struct pipeline *p)
{
	collector_finish(p->collector);
}

void pipeline_use(struct pipeline *p, const struct generation *g)
{
	/* Templates that only sets which wait have are in no session. */
	collector_catch_up(p->collector);
	p->generation = g;
	list_room_use(&p->lists, g->catalog->elements);
	/* libfixbuf's model cannot drop or retype an element: a new one is made when needed. */
	collector_each_session(p->collector, drop_fixbuf_view, p);
	fixbuf_free(p->fixbuf);
	p->fixbuf = NULL;
	p->is_fixbuf_broken = false;
	collector_set_policy(p->collector, &g->policy);
	collector_set_exporters(p->collector, g->exporters, g->exporter_count, g->number);
}

struct collector *pipeline_collector(struct pipeline *p)
{
	return p->collector;
}

const struct generation *pipeline_generation(const struct pipeline *p)
{
	return p->generation;
}
