/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/take.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rd.h"
#include "base/must.h"
#include "collector/account.h"
#include "collector/define.h"
#include "collector/gate.h"
#include "collector/keep_in.h"
#include "collector/sflow_sources.h"

/* Definitions nearer to each other than this are copies of one. */
#define REFRESH_MS_MIN 1000
/* Of definitions in one message that are new or others than before: 64 KiB have no room for more of seven fields. */
#define NEWS_MAX 2048

static const struct take_rows live_rows = { STAT_SETS_DECODED, STAT_SET_OVERRUN, STAT_SET_SHORT };

static void refuse_tmpl(struct collector *c, struct session *s, enum collector_stat reason)
{
	stat_inc(c->stat, reason);
	s->counts.templates_refused++;
}

void take_retire(struct collector *c, struct session *s, struct tmpl *t)
{
	if (t->is_lent)
		borrow_end(c, s, t->id);
	take_uncount_tmpl(c, t);
	t->session = s;
	if (t->gone_at == 0)
		t->gone_at = ++c->changes;
	t->gone_before = c->gone;
	c->gone = t;
}

/* Two processes that are one session to us define in turns what each of them sends. */
static void note_change(struct collector *c, struct session *s, struct tmpl *t,
			const struct tmpl *old)
{
	t->hash_before = old->hash;
	if (t->hash != old->hash_before)
		return;
	s->counts.templates_flapped++;
	stat_inc(c->stat, STAT_TEMPLATES_FLAPPED);
}

/* Nothing comes late there; and who defines an id anew has to withdraw it first (RFC 7011, 8.1): the last one holds. */
static void replace_on_stream(struct collector *c, struct session *s, struct tmpl *t,
			      struct tmpl *old)
{
	char name[2 * SESSION_IDENTITY_BYTES];

	log_every(LOG_LEVEL_ERROR, "template.redefined exporter=%s port=%u domain=%u template=%u",
		  log_quote(s->identity, s->identity_bytes, name, sizeof(name)), s->key.port,
		  s->key.domain, old->id);
	take_retire(c, s, old);
	bound_recount(c->bound, t); /* the old one was in its account */
}

static void put_tmpl(struct collector *c, const struct message *m, struct session *s,
		     struct tmpl *t)
{
	struct tmpl *old = NULL;
	enum err e = take_put_tmpl(c, s, t, &old);

	if (e != ERR_OK) {
		refuse_tmpl(c, s, e == ERR_LIMIT ? STAT_TMPL_LIMIT : STAT_TMPL_NOMEM);
		session_refuse(s, t->id);
		take_undefined(c, s, t->id);
		if (old != NULL) {
			take_retire(c, s, old);
			keep_changed(c, s);
		}
		tmpl_free(t);
		return;
	}
	t->put_at = ++c->changes;
	if (old != NULL) {
		old->gone_at = c->changes;
		note_change(c, s, t, old);
		if (session_is_of_stream(s))
			replace_on_stream(c, s, t, old);
		else
			take_keep_before(c, s, t, old);
		s->counts.templates_changed++;
		stat_inc(c->stat, STAT_TEMPLATES_CHANGED);
	} else {
		s->counts.templates_new++;
		stat_inc(c->stat, STAT_TEMPLATES_NEW);
	}
	session_unrefuse(s, t->id);
	keep_changed(c, s);
	c->ops->tmpl_new(c->ctx, s, t);
	take_defined(c, m, s, t);
}

/* What it was to replace describes the data no longer. */
static void refuse_definition(struct collector *c, struct session *s, uint16_t id,
			      enum collector_stat reason)
{
	struct tmpl *in_force = session_tmpl_take(s, id);

	refuse_tmpl(c, s, reason);
	session_refuse(s, id);
	take_undefined(c, s, id);
	if (in_force == NULL)
		return;
	take_retire(c, s, in_force);
	keep_changed(c, s);
}

/* How often the exporter defines it; a definition doubled on its way does not tell. */
static void note_refresh(struct tmpl *t, const struct tmpl *before, int64_t mono_ms)
{
	int64_t gap_ms = mono_ms - before->seen_ms;

	t->refresh_ms = gap_ms >= REFRESH_MS_MIN ? gap_ms : before->refresh_ms;
	t->seen_ms = mono_ms;
}

static void withdraw_one(struct collector *c, struct session *s, struct tmpl *t)
{
	must(session_tmpl_take(s, t->id) == t);
	take_retire(c, s, t);
	keep_changed(c, s);
	stat_inc(c->stat, STAT_TEMPLATES_WITHDRAWN);
}

/* All templates of a session, or all options templates of it: of a set's own kind. */
static void withdraw_all(struct collector *c, struct session *s, bool is_options)
{
	for (size_t i = s->tmpl_count; i > 0; i--) {
		if (s->tmpls[i - 1]->is_options == is_options)
			withdraw_one(c, s, s->tmpls[i - 1]);
	}
}

static void ignore_withdrawal(struct collector *c, const struct session *s, const struct define *d,
			      bool is_wrong)
{
	char name[2 * SESSION_IDENTITY_BYTES];

	stat_inc(c->stat, STAT_WITHDRAWALS_IGNORED);
	if (is_wrong)
		log_every(LOG_LEVEL_WARN,
			  "withdrawal.unknown exporter=%s port=%u domain=%u template=%u",
			  log_quote(s->identity, s->identity_bytes, name, sizeof(name)),
			  s->key.port, s->key.domain, d->id);
}

/*
 * RFC 7011, 8.1: on a stream it holds, and the id may be defined anew; over UDP, where it may come late or from
 * anybody, it is ignored (8.4).
 */
static void withdraw(struct collector *c, const struct message *m, struct session *s,
		     const struct define *d)
{
	uint16_t all = d->is_options ? IPFIX_SET_OPTIONS : IPFIX_SET_TEMPLATE;
	struct tmpl *t = session_tmpl(s, d->id);

	bool holds = transport_is_ordered(m->origin->transport);

	if (holds && d->id == all)
		withdraw_all(c, s, d->is_options);
	else if (holds && t != NULL && t->is_options == d->is_options)
		withdraw_one(c, s, t);
	else
		ignore_withdrawal(c, s, d, holds);
}

/* As it is: sent again, maybe from before, where two threads of the exporter overtake each other. */
static void refresh(struct collector *c, const struct message *m, struct session *s, struct tmpl *t)
{
	note_refresh(t, t, s->idle_since_ms);
	t->local_port = m->origin->local_port;
	if (m->export_ms < t->defined_ms)
		t->defined_ms = m->export_ms;
	bound_touch(c->bound, t, s->idle_since_ms);
}

static void take_definition(struct collector *c, const struct message *m, struct session *s,
			    const struct define *d)
{
	struct tmpl *in_force = session_tmpl(s, d->id);
	enum collector_stat refused;
	struct tmpl *t;

	if (d->is_empty) { /* a withdrawal in all but its form: what is in force stays */
		refuse_tmpl(c, s, STAT_TMPL_EMPTY);
		return;
	}
	if (d->is_withdrawal && d->id >= NF9_SET_OPTIONS) {
		withdraw(c, m, s, d);
		return;
	}
	c->take.definition_count++;
	if (in_force != NULL && in_force->hash == define_hash(d)) {
		refresh(c, m, s, in_force);
		stat_inc(c->stat, STAT_TEMPLATES_REFRESHED);
		return;
	}
	if (in_force != NULL && take_is_late(m, in_force, define_hash(d))) {
		in_force->before->seen_ms = s->idle_since_ms;
		stat_inc(c->stat, STAT_TEMPLATES_LATE);
		return;
	}
	refused = ++c->take.news_count > NEWS_MAX ? STAT_TMPL_MESSAGE
						  : define_build(d, &c->limits, &t);
	if (refused != COLLECTOR_STAT_COUNT) {
		refuse_definition(c, s, d->id, refused);
		return;
	}
	t->seen_ms = s->idle_since_ms;
	if (in_force != NULL)
		note_refresh(t, in_force, s->idle_since_ms);
	t->defined_ms = m->export_ms;
	t->local_port = m->origin->local_port;
	put_tmpl(c, m, s, t);
}

static void take_definitions(struct collector *c, const struct message *m, struct session *s,
			     struct rd body, bool is_options)
{
	enum define_step step;
	struct define d;

	if (!s->has_defined)
		borrow_return(c, s);
	while ((step = define_next(&body, m->version, is_options, &d)) == DEFINE_ONE)
		take_definition(c, m, s, &d);
	if (step == DEFINE_BROKEN)
		refuse_definition(c, s, d.id, STAT_TMPL_OVERRUN);
}

void take_tell_message(struct collector *c, const struct message *m, const struct session *s,
		       enum collector_stat reason)
{
	if (c->ops->undecodable != NULL)
		c->ops->undecodable(c->ctx, m, s, reason, m->octets, m->bytes);
}

/* The set whose body is from `body` to `end`, in whatever form its message can be told again. */
static void tell_undecodable(struct collector *c, const struct message *m, const struct session *s,
			     enum collector_stat reason, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *set = body - SET_HEADER_BYTES;

	if (s->fixed != NULL || m->version == VERSION_SFLOW5)
		take_tell_message(c, m, s, reason);
	else if (c->ops->undecodable != NULL)
		c->ops->undecodable(c->ctx, m, s, reason, set, (size_t)(end - set));
}

static const uint8_t *run_body(const struct collector *c, const struct set_run *run)
{
	return c->take.walk.records[run->first].octets;
}

static void refuse_set(struct collector *c, const struct message *m, struct session *s,
		       enum collector_stat reason, const uint8_t *body, const uint8_t *end)
{
	stat_inc(c->stat, reason);
	s->counts.sets_refused++;
	c->take.is_units_unknown = true;
	tell_undecodable(c, m, s, reason, body, end);
}

/* One record lied: nothing of the message's data is used. */
static void overrun(struct collector *c, const struct message *m, struct session *s, struct rd body)
{
	for (uint32_t i = 0; i < c->take.walk.run_count; i++) {
		const struct set_run *run = &c->take.walk.runs[i];

		refuse_set(c, m, s, c->take.rows->overrun, run_body(c, run), run->end);
	}
	refuse_set(c, m, s, c->take.rows->overrun, body.at, body.end);
	if (c->take.rows == &live_rows)
		take_held_overrun(c, s);
	c->take.walk.run_count = 0;
	c->take.walk.record_count = 0;
	c->take.is_overrun = true;
}

void take_set(struct collector *c, const struct message *m, struct session *s, struct tmpl *t,
	      struct rd body)
{
	if (c->take.is_overrun) {
		refuse_set(c, m, s, c->take.rows->overrun, body.at, body.end);
	} else if (!walk_set(&c->take.walk, m, t, body)) {
		overrun(c, m, s, body);
	} else if (c->take.walk.runs[c->take.walk.run_count].count == 0) {
		refuse_set(c, m, s, c->take.rows->is_short, body.at, body.end);
	} else {
		must(c->take.walk.run_count < WALK_SETS_MAX - 1);
		c->take.walk.runs[c->take.walk.run_count].changes = c->changes;
		c->take.walk.run_count++;
	}
}

static void take_unknown(struct collector *c, const struct message *m, struct session *s,
			 struct rd body)
{
	enum collector_stat refused =
		c->take.is_overrun ? STAT_SET_OVERRUN : take_hold(c, m, s, body);

	if (refused != COLLECTOR_STAT_COUNT)
		refuse_set(c, m, s, refused, body.at, body.end);
}

static void take_data(struct collector *c, const struct message *m, struct session *s,
		      struct tmpl *t, struct rd body)
{
	stat_inc(c->stat, STAT_SETS_DATA);
	if (t == NULL) {
		take_unknown(c, m, s, body);
		return;
	}
	take_touch_tmpl(c, s, t);
	take_set(c, m, s, take_tmpl_of_time(c, m, s, t), body);
}

static void take_sets(struct collector *c, const struct message *m, const struct frame *frame,
		      struct session *s)
{
	struct rd sets = rd_of(m->octets + frame->header_bytes, m->bytes - frame->header_bytes);
	struct rd body;
	uint16_t id;

	if (!frame->has_sets) {
		take_data(c, m, s, s->fixed, sets);
		return;
	}
	while (gate_next_set(&sets, &id, &body)) {
		if (id == frame->set_template || id == frame->set_options)
			take_definitions(c, m, s, body, id == frame->set_options);
		else if (id >= TMPL_ID_MIN)
			take_data(c, m, s, session_tmpl(s, id), body);
		else
			stat_inc(c->stat, STAT_SETS_SKIPPED);
	}
}

static void hand_on_options(struct collector *c, const struct message *m, struct session *s,
			    struct tmpl *t, const struct record *records, size_t count)
{
	c->ops->options(c->ctx, m, s, t, records, count);
	stat_add(c->stat, STAT_RECORDS_OPTIONS, count);
	s->counts.options += count;
}

/* Why not all of them became flows, or COLLECTOR_STAT_COUNT. */
static enum collector_stat hand_on_flows(struct collector *c, const struct message *m,
					 struct session *s, struct tmpl *t,
					 const struct record *records, size_t count)
{
	enum collector_stat reason = STAT_REC_PLAN;
	size_t undecodable = c->ops->records(c->ctx, m, s, t, records, count, &reason);

	stat_add(c->stat, reason, undecodable);
	stat_add(c->stat, STAT_RECORDS_FLOW, count - undecodable);
	s->counts.flows += count - undecodable;
	return undecodable > 0 ? reason : COLLECTOR_STAT_COUNT;
}

void take_hand_on_run(struct collector *c, const struct message *m, struct session *s,
		      const struct set_run *run)
{
	const struct record *records = &c->take.walk.records[run->first];
	enum collector_stat refused = COLLECTOR_STAT_COUNT;
	uint32_t some;

	run->tmpl->record_count += run->count;
	c->take.changes = run->changes;
	stat_inc(c->stat, c->take.rows->decoded);
	stat_add(c->stat, STAT_RECORDS, run->count);
	for (uint32_t i = 0; i < run->count; i += some) {
		enum collector_stat reason = COLLECTOR_STAT_COUNT;

		some = run->count - i < COLLECTOR_TURN ? run->count - i : COLLECTOR_TURN;
		if (c->ops->may_go_on != NULL && !c->ops->may_go_on(c->ctx, m)) {
			some = run->count - i;
			reason = STAT_REC_WORK;
			stat_add(c->stat, reason, some);
		} else if (run->tmpl->is_options) {
			hand_on_options(c, m, s, run->tmpl, &records[i], some);
		} else {
			reason = hand_on_flows(c, m, s, run->tmpl, &records[i], some);
		}
		refused = reason != COLLECTOR_STAT_COUNT ? reason : refused;
	}
	/* With those of its records that were decoded, if there were any. */
	if (refused != COLLECTOR_STAT_COUNT)
		tell_undecodable(c, m, s, refused, run_body(c, run), run->end);
}

/* Options data first: it speaks of the flows beside it, too (softflowd's boot time stands behind them). */
void take_hand_on(struct collector *c, const struct message *m, struct session *s)
{
	if (c->take.walk.run_count == 0)
		return;
	c->ops->message_begin(c->ctx, m, s);
	for (int turn = 0; turn < 2; turn++) {
		for (uint32_t i = 0; i < c->take.walk.run_count; i++) {
			if (c->take.walk.runs[i].tmpl->is_options == (turn == 0))
				take_hand_on_run(c, m, s, &c->take.walk.runs[i]);
		}
	}
	c->ops->message_end(c->ctx, m, s);
}

/* Was it in force where the set stands whose records are handed on? */
static bool was_in_force(const struct collector *c, const struct tmpl *t)
{
	return t->put_at <= c->take.changes && (t->gone_at == 0 || t->gone_at > c->take.changes);
}

/* It, or what it replaced: that is at hand for data that is late. */
static struct tmpl *in_force_then(const struct collector *c, struct tmpl *t)
{
	if (t == NULL || was_in_force(c, t))
		return t;
	return t->before != NULL && was_in_force(c, t->before) ? t->before : NULL;
}

struct tmpl *collector_tmpl(struct collector *c, struct session *s, uint16_t id, uint32_t *cost)
{
	struct tmpl *t = in_force_then(c, session_tmpl(s, id));

	/* Out of force since: it goes with the message. */
	for (struct tmpl *o = t == NULL ? c->gone : NULL; o != NULL && t == NULL;
	     o = o->gone_before) {
		++*cost;
		if (o->session == s && o->id == id && !o->is_borrowed)
			t = in_force_then(c, o);
	}
	if (t != NULL)
		take_touch_tmpl(c, s, t);
	return t;
}

/* What an exporter defined before its reboot, it may define otherwise now (RFC 3954, 9). */
static void forget_tmpls(struct collector *c, struct session *s)
{
	while (s->tmpl_count > 0) {
		take_end_tmpl(c, s, s->tmpls[s->tmpl_count - 1]);
		stat_inc(c->stat, STAT_TEMPLATES_REBOOT);
	}
	session_refuse_none(s);
}

static void account(struct collector *c, const struct message *m, struct session *s)
{
	struct sequence_units units = c->late_units;
	uint32_t held = s->held == NULL ? 0 : take_held_count(c, s);
	uint32_t stretch;

	account_add(&units, &c->take.walk);
	units.definitions = c->take.definition_count;
	units.is_known = !c->take.is_units_unknown && held == 0;
	units.held = c->take.is_units_unknown ? 0 : held;
	stretch = account_message(c->stat, m, s, &units);
	if (held != 0)
		take_held_settle(c, s, &units, stretch);
}

static void begin(struct collector *c, const struct message *m, struct session *s)
{
	c->take.rows = &live_rows;
	c->take.walk.record_count = 0;
	c->take.walk.run_count = 0;
	c->take.definition_count = 0;
	c->take.news_count = 0;
	c->take.is_overrun = false;
	c->take.is_units_unknown = false;
	c->gone = NULL;
	c->late_units = (struct sequence_units){ 0 };
	c->message_number++;
	c->is_taking = true;
	s->counts.messages++;
	s->counts.octets += m->bytes;
	if (!m->origin->is_again)
		s->last_ms = m->origin->receive_ms;
	s->idle_since_ms = clock_mono_ms();
}

/* Of sFlow, whose number is no sum of what messages hold. */
static void take_samples(struct collector *c, const struct message *m, struct session *s)
{
	uint64_t restarts = s->counts.restarts;

	c->take.is_units_unknown = true;
	if (!m->origin->is_again)
		account(c, m, s);
	else
		s->gap = SESSION_GAP_UNKNOWN;
	if (s->counts.restarts != restarts)
		sflow_sources_forget(s->sources);
	c->is_taking = false;
	take_sflow(c, m, s);
}

void take_message(struct collector *c, const struct message *m, const struct frame *frame,
		  struct session *s)
{
	bool is_spent;

	begin(c, m, s);
	if (m->version == VERSION_SFLOW5) {
		take_samples(c, m, s);
		return;
	}
	if (m->version == VERSION_NF9 && !m->origin->is_again &&
	    sequence_is_reboot(&s->sequence, m))
		forget_tmpls(c, s);
	take_sets(c, m, frame, s);
	is_spent = s->ready_count > 0 && take_turn(c, s);
	/* What is sent through again has no order. */
	if ((s->ready_count > 0 || is_spent) && !m->origin->is_again && m->bytes < TAKE_MESSAGE_MAX)
		take_queue(c, m, s, is_spent);
	if (m->version == VERSION_NF9 && !c->take.is_units_unknown)
		walk_trim_nf9(&c->take.walk, message_nf9_count(m) - c->take.definition_count -
						     c->late_units.records);
	if (!m->origin->is_again) {
		account(c, m, s);
		session_skew(s, m);
	} else {
		s->gap = SESSION_GAP_UNKNOWN;
	}
	c->is_taking = false;
	take_hand_on(c, m, s);
	while (c->gone != NULL) {
		struct tmpl *t = c->gone;

		c->gone = t->gone_before;
		take_drop_tmpl(c, t);
	}
}
