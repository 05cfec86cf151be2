/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/collector.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/htab.h"
#include "base/log.h"
#include "base/must.h"
#include "collector/account.h"
#include "collector/admit.h"
#include "collector/define.h"
#include "collector/frame.h"
#include "collector/gate.h"
#include "collector/walk.h"

/* Definitions nearer to each other than this are copies of one. */
#define REFRESH_MS_MIN 1000
/* A template outlives that many of its exporter's refreshes (RFC 7011, 8.4: at least three). */
#define REFRESHES_MISSED_MAX 3

struct collector {
	struct collector_limits limits;
	const struct collector_ops *ops;
	void *ctx;
	struct stat_set *stat;
	struct htab *sessions; /* session_key -> struct session * */
	struct session *last;  /* of the message before: the most likely one */
	struct admit *admit;
	bool is_guarded; /* not every unit may come in */
	struct collector_policy policy;
	size_t unknown_count;	/* sessions without entry */
	struct htab_iter clock; /* where a search for a session that may go begins */
	uint64_t generation;
	/* Of the message under way. */
	struct walk walk;
	struct tmpl **gone; /* replaced by this message; freed when it is done */
	uint32_t gone_count;
	bool is_overrun;
	bool is_units_unknown;
	uint32_t definition_count;
};

#define COUNTER(id, name, unit, doc) [STAT_##id] = { name, "", unit, doc },
#define LEVEL(id, name, unit, doc) [STAT_##id] = { name, "", unit, doc, true },
#define DROP(id, name, reason, unit, doc) [STAT_##id] = { name, reason, unit, doc },
const struct stat_desc collector_stat_descs[COLLECTOR_STAT_COUNT] = {
#include "collector/counters.def"
#include "collector/drops.def"
};
#undef COUNTER
#undef LEVEL
#undef DROP

enum err collector_new(const struct collector_limits *limits, const struct collector_ops *ops,
		       void *ctx, struct stat_set *stat, struct collector **out)
{
	struct collector *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return ERR_NOMEM;
	c->limits = *limits;
	c->ops = ops;
	c->ctx = ctx;
	c->stat = stat;
	c->walk.records = malloc(WALK_RECORDS_MAX * sizeof(*c->walk.records));
	c->walk.runs = malloc(WALK_SETS_MAX * sizeof(*c->walk.runs));
	c->gone = malloc(WALK_SETS_MAX * sizeof(struct tmpl *));
	if (c->walk.records == NULL || c->walk.runs == NULL || c->gone == NULL ||
	    htab_new(sizeof(struct session_key), &c->sessions) != ERR_OK ||
	    admit_new(&c->admit) != ERR_OK) {
		collector_free(c);
		return ERR_NOMEM;
	}
	*out = c;
	return ERR_OK;
}

static void drop_tmpl(struct collector *c, struct tmpl *t)
{
	c->ops->tmpl_gone(c->ctx, t);
	tmpl_free(t);
}

static void drop_session(struct collector *c, struct session *s)
{
	for (size_t i = 0; i < s->tmpl_count; i++)
		drop_tmpl(c, s->tmpls[i]);
	s->tmpl_count = 0;
	if (s->v5 != NULL)
		c->ops->tmpl_gone(c->ctx, s->v5);
	c->ops->session_gone(c->ctx, s);
	if (c->last == s)
		c->last = NULL;
	c->unknown_count -= s->is_counted;
	session_free(s);
}

void collector_free(struct collector *c)
{
	struct htab_iter it = { 0 };
	void *s;

	if (c == NULL)
		return;
	while (c->sessions != NULL && htab_next(c->sessions, &it, NULL, &s))
		drop_session(c, s);
	htab_free(c->sessions);
	admit_free(c->admit);
	free(c->walk.records);
	free(c->walk.runs);
	free(c->gone);
	free(c);
}

void collector_set_exporters(struct collector *c, const struct exporter_entry *entries,
			     size_t count, uint64_t generation)
{
	c->is_guarded = admit_set(c->admit, entries, count, &c->policy);
	c->generation = generation;
}

void collector_set_policy(struct collector *c, const struct collector_policy *policy)
{
	c->policy = *policy;
}

/* Who the exporter is, by the entries of the running generation; the first that holds wins. */
static void settle_identity(struct collector *c, struct session *s)
{
	session_identify(s, admit_find(c->admit, &s->peer, s->key.port, s->key.domain));
	c->unknown_count += (s->entry == NULL) - s->is_counted;
	s->is_counted = s->entry == NULL;
	s->entry_generation = c->generation;
}

static bool has_room(const struct collector *c, bool is_listed)
{
	uint32_t unknown_max = c->policy.unknown_sessions_max;

	return htab_count(c->sessions) < c->limits.sessions_max &&
	       (is_listed || unknown_max == 0 || c->unknown_count < unknown_max);
}

static bool make_room(struct collector *c, bool is_listed)
{
	struct session *s;

	if (has_room(c, is_listed))
		return true;
	s = admit_victim(c->sessions, &c->clock, is_listed, clock_mono_ms());
	if (s == NULL)
		return false;
	must(htab_del(c->sessions, &s->key) == s);
	drop_session(c, s);
	stat_inc(c->stat, STAT_SESSIONS_EVICTED);
	return true;
}

static struct session *add_session(struct collector *c, const struct message *m,
				   const struct session_key *key)
{
	const struct exporter_entry *entry =
		admit_find(c->admit, &m->origin->peer, key->port, key->domain);
	struct session *s;

	if (entry == NULL && c->policy.is_closed) {
		stat_inc(c->stat, STAT_UNIT_NOT_LISTED);
		return NULL;
	}
	if (!make_room(c, entry != NULL)) {
		stat_inc(c->stat, STAT_UNIT_SESSIONS);
		return NULL;
	}
	if (session_new(key, &m->origin->peer, &s) != ERR_OK) {
		stat_inc(c->stat, STAT_UNIT_NOMEM);
		return NULL;
	}
	if (htab_put(c->sessions, key, s) != ERR_OK) {
		session_free(s);
		stat_inc(c->stat, STAT_UNIT_NOMEM);
		return NULL;
	}
	s->first_ms = m->origin->receive_ms;
	settle_identity(c, s);
	stat_inc(c->stat, STAT_SESSIONS_NEW);
	return s;
}

static struct session *find_session(struct collector *c, const struct message *m)
{
	struct session_key key = session_key_of(m);
	struct session *s = c->last;

	if (s == NULL || memcmp(&s->key, &key, sizeof(key)) != 0) {
		s = htab_find(c->sessions, &key);
		if (s == NULL)
			s = add_session(c, m, &key);
	}
	if (s != NULL && s->entry_generation != c->generation)
		settle_identity(c, s);
	c->last = s;
	/* Its entry went with a reload, or never was for this domain. */
	if (s != NULL && s->entry == NULL && c->policy.is_closed) {
		stat_inc(c->stat, STAT_UNIT_NOT_LISTED);
		return NULL;
	}
	return s;
}

static void refuse_tmpl(struct collector *c, struct session *s, enum collector_stat reason)
{
	stat_inc(c->stat, reason);
	s->counts.templates_refused++;
}

/* Out of force, but records of this message may still be read by it. */
static void retire_tmpl(struct collector *c, struct tmpl *t)
{
	must(c->gone_count < WALK_SETS_MAX);
	c->gone[c->gone_count++] = t;
}

static void put_tmpl(struct collector *c, struct session *s, struct tmpl *t)
{
	struct tmpl *old = NULL;
	enum err e = session_tmpl_put(s, t, c->limits.templates_max, &old);

	if (e != ERR_OK) {
		refuse_tmpl(c, s, e == ERR_LIMIT ? STAT_TMPL_LIMIT : STAT_TMPL_NOMEM);
		tmpl_free(t);
		return;
	}
	if (old != NULL) {
		retire_tmpl(c, old);
		s->counts.templates_changed++;
		stat_inc(c->stat, STAT_TEMPLATES_CHANGED);
	} else {
		s->counts.templates_new++;
		stat_inc(c->stat, STAT_TEMPLATES_NEW);
	}
	c->ops->tmpl_new(c->ctx, s, t);
}

/* What it was to replace describes the data no longer. */
static void refuse_definition(struct collector *c, struct session *s, uint16_t id,
			      enum collector_stat reason)
{
	struct tmpl *in_force = session_tmpl_take(s, id);

	refuse_tmpl(c, s, reason);
	if (in_force != NULL)
		retire_tmpl(c, in_force);
}

/* How often the exporter defines it; a definition doubled on its way does not tell. */
static void note_refresh(struct tmpl *t, const struct tmpl *before, int64_t mono_ms)
{
	int64_t gap_ms = mono_ms - before->seen_ms;

	t->refresh_ms = gap_ms >= REFRESH_MS_MIN ? gap_ms : before->refresh_ms;
	t->seen_ms = mono_ms;
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
		stat_inc(c->stat, STAT_WITHDRAWALS_IGNORED); /* RFC 7011, 8.4 */
		return;
	}
	c->definition_count++;
	if (in_force != NULL && in_force->hash == define_hash(d)) {
		note_refresh(in_force, in_force, s->idle_since_ms);
		stat_inc(c->stat, STAT_TEMPLATES_REFRESHED);
		return;
	}
	refused = define_build(d, &c->limits, &t);
	if (refused != COLLECTOR_STAT_COUNT) {
		refuse_definition(c, s, d->id, refused);
		return;
	}
	t->seen_ms = s->idle_since_ms;
	if (in_force != NULL)
		note_refresh(t, in_force, s->idle_since_ms);
	t->defined_ms = m->export_ms;
	put_tmpl(c, s, t);
}

static void take_definitions(struct collector *c, const struct message *m, struct session *s,
			     struct rd body, bool is_options)
{
	enum define_step step;
	struct define d;

	while ((step = define_next(&body, m->version, is_options, &d)) == DEFINE_ONE)
		take_definition(c, m, s, &d);
	if (step == DEFINE_BROKEN)
		refuse_definition(c, s, d.id, STAT_TMPL_OVERRUN);
}

/* The set whose body is from `body` to `end`, in whatever form its message can be told again. */
static void tell_undecodable(struct collector *c, const struct message *m, const struct session *s,
			     enum collector_stat reason, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *set = body - SET_HEADER_BYTES;

	if (c->ops->undecodable == NULL)
		return;
	if (m->version == VERSION_NF5)
		c->ops->undecodable(c->ctx, m, s, reason, m->octets, m->bytes);
	else
		c->ops->undecodable(c->ctx, m, s, reason, set, (size_t)(end - set));
}

static const uint8_t *run_body(const struct collector *c, const struct set_run *run)
{
	return c->walk.records[run->first].octets;
}

static void refuse_set(struct collector *c, const struct message *m, struct session *s,
		       enum collector_stat reason, const uint8_t *body, const uint8_t *end)
{
	stat_inc(c->stat, reason);
	s->counts.sets_refused++;
	c->is_units_unknown = true;
	tell_undecodable(c, m, s, reason, body, end);
}

/* One record lied: nothing of the message's data is used. */
static void overrun(struct collector *c, const struct message *m, struct session *s, struct rd body)
{
	for (uint32_t i = 0; i < c->walk.run_count; i++) {
		const struct set_run *run = &c->walk.runs[i];

		refuse_set(c, m, s, STAT_SET_OVERRUN, run_body(c, run), run->end);
	}
	refuse_set(c, m, s, STAT_SET_OVERRUN, body.at, body.end);
	c->walk.run_count = 0;
	c->walk.record_count = 0;
	c->is_overrun = true;
}

static void take_data(struct collector *c, const struct message *m, struct session *s,
		      struct tmpl *t, struct rd body)
{
	stat_inc(c->stat, STAT_SETS_DATA);
	if (t != NULL)
		t->used_ms = s->idle_since_ms;
	if (c->is_overrun) {
		refuse_set(c, m, s, STAT_SET_OVERRUN, body.at, body.end);
	} else if (t == NULL) {
		refuse_set(c, m, s, STAT_SET_NO_TEMPLATE, body.at, body.end);
	} else if (!walk_set(&c->walk, m, t, body)) {
		overrun(c, m, s, body);
	} else if (c->walk.runs[c->walk.run_count].count == 0) {
		refuse_set(c, m, s, STAT_SET_SHORT, body.at, body.end);
	} else {
		must(c->walk.run_count < WALK_SETS_MAX - 1);
		c->walk.run_count++;
	}
}

static void take_sets(struct collector *c, const struct message *m, const struct frame *frame,
		      struct session *s)
{
	struct rd sets = rd_of(m->octets + frame->header_bytes, m->bytes - frame->header_bytes);
	struct rd body;
	uint16_t id;

	if (!frame->has_sets) {
		take_data(c, m, s, s->v5, sets);
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

static void hand_on_run(struct collector *c, const struct message *m, struct session *s,
			const struct set_run *run)
{
	const struct record *records = &c->walk.records[run->first];
	enum collector_stat reason = STAT_REC_PLAN;
	size_t undecodable;

	run->tmpl->record_count += run->count;
	stat_inc(c->stat, STAT_SETS_DECODED);
	stat_add(c->stat, STAT_RECORDS, run->count);
	if (run->tmpl->is_options) {
		c->ops->options(c->ctx, m, s, run->tmpl, records, run->count);
		stat_add(c->stat, STAT_RECORDS_OPTIONS, run->count);
		s->counts.options += run->count;
		return;
	}
	undecodable = c->ops->records(c->ctx, m, s, run->tmpl, records, run->count, &reason);
	stat_add(c->stat, reason, undecodable);
	/* With those of its records that were decoded, if there were any. */
	if (undecodable > 0)
		tell_undecodable(c, m, s, reason, records[0].octets, run->end);
	stat_add(c->stat, STAT_RECORDS_FLOW, run->count - undecodable);
	s->counts.flows += run->count - undecodable;
}

/* Options data first: it speaks of the flows beside it, too (softflowd's boot time stands behind them). */
static void hand_on(struct collector *c, const struct message *m, struct session *s)
{
	if (c->walk.run_count == 0)
		return;
	c->ops->message_begin(c->ctx, m, s);
	for (int turn = 0; turn < 2; turn++) {
		for (uint32_t i = 0; i < c->walk.run_count; i++) {
			if (c->walk.runs[i].tmpl->is_options == (turn == 0))
				hand_on_run(c, m, s, &c->walk.runs[i]);
		}
	}
	c->ops->message_end(c->ctx, m, s);
}

/* What an exporter defined before its reboot, it may define otherwise now (RFC 3954, 9). */
static void forget_tmpls(struct collector *c, struct session *s)
{
	while (s->tmpl_count > 0) {
		drop_tmpl(c, session_tmpl_take(s, s->tmpls[s->tmpl_count - 1]->id));
		stat_inc(c->stat, STAT_TEMPLATES_REBOOT);
	}
}

static void read_message(struct collector *c, const struct message *m, const struct frame *frame,
			 struct session *s)
{
	c->walk.record_count = 0;
	c->walk.run_count = 0;
	c->gone_count = 0;
	c->definition_count = 0;
	c->is_overrun = false;
	c->is_units_unknown = false;
	s->counts.messages++;
	s->counts.octets += m->bytes;
	if (!m->origin->is_again)
		s->last_ms = m->origin->receive_ms;
	s->idle_since_ms = clock_mono_ms();
	if (m->version == VERSION_NF9 && !m->origin->is_again &&
	    sequence_is_reboot(&s->sequence, m))
		forget_tmpls(c, s);
	take_sets(c, m, frame, s);
	if (m->version == VERSION_NF9 && !c->is_units_unknown)
		walk_trim_nf9(&c->walk, message_nf9_count(m) - c->definition_count);
	if (!m->origin->is_again) {
		account_message(c->stat, m, s, &c->walk, c->definition_count, !c->is_units_unknown);
		session_skew(s, m);
	} else {
		s->gap = SESSION_GAP_UNKNOWN;
	}
	hand_on(c, m, s);
	for (uint32_t i = 0; i < c->gone_count; i++)
		drop_tmpl(c, c->gone[i]);
}

/* Charged to its session when the header could be read, and there is one: a broken message makes none. */
static void refuse_message(struct collector *c, struct message *m, const struct origin *origin,
			   enum collector_stat reason, const uint8_t *octets, size_t bytes)
{
	struct session_key key;
	struct session *s;

	stat_inc(c->stat, STAT_MESSAGES);
	stat_inc(c->stat, reason);
	m->origin = origin;
	if (c->ops->undecodable != NULL) {
		struct message whole = { .octets = octets,
					 .bytes = (uint32_t)bytes,
					 .origin = origin };

		c->ops->undecodable(c->ctx, &whole, NULL, reason, octets, bytes);
	}
	if (reason != STAT_MSG_SET_LENGTH)
		return;
	key = session_key_of(m);
	s = htab_find(c->sessions, &key);
	if (s != NULL)
		s->counts.malformed++;
}

struct session *collector_session(const struct collector *c, const struct session_key *key)
{
	return htab_find(c->sessions, key);
}

void collector_receive(struct collector *c, const uint8_t *octets, size_t bytes,
		       const struct origin *origin)
{
	const struct frame *frame = NULL;
	enum collector_stat verdict;
	struct message m;
	struct session *s;

	verdict = c->is_guarded && !origin->is_again ? admit_unit(c->admit, origin)
						     : COLLECTOR_STAT_COUNT;
	if (verdict != COLLECTOR_STAT_COUNT) {
		stat_inc(c->stat, verdict);
		return;
	}
	verdict = gate_check(octets, bytes, &m, &frame);
	if (verdict != COLLECTOR_STAT_COUNT) {
		refuse_message(c, &m, origin, verdict, octets, bytes);
		return;
	}
	m.origin = origin;
	s = find_session(c, &m);
	if (s == NULL)
		return;
	stat_inc(c->stat, STAT_MESSAGES);
	stat_inc(c->stat, STAT_MESSAGES_READ);
	stat_inc(c->stat, frame->stat);
	stat_add(c->stat, STAT_TRAILING_OCTETS, bytes - m.bytes);
	read_message(c, &m, frame, s);
}

/* Data that still uses a template vouches for it: exporters refresh as seldom as every 30 minutes. */
static bool is_stale(const struct collector *c, const struct tmpl *t, int64_t mono_ms)
{
	int64_t lifetime_ms = (int64_t)c->limits.template_lifetime_s * 1000;
	int64_t since_ms = t->used_ms > t->seen_ms ? t->used_ms : t->seen_ms;

	if (lifetime_ms < REFRESHES_MISSED_MAX * t->refresh_ms)
		lifetime_ms = REFRESHES_MISSED_MAX * t->refresh_ms;
	return mono_ms - since_ms > lifetime_ms;
}

static void expire_tmpls(struct collector *c, struct session *s, int64_t mono_ms)
{
	for (size_t i = s->tmpl_count; i > 0; i--) {
		struct tmpl *t = s->tmpls[i - 1];

		if (!is_stale(c, t, mono_ms))
			continue;
		must(session_tmpl_take(s, t->id) == t);
		drop_tmpl(c, t);
		stat_inc(c->stat, STAT_TEMPLATES_EXPIRED);
	}
}

void collector_tick(struct collector *c, int64_t mono_ms)
{
	int64_t idle_ms = mono_ms - (int64_t)c->limits.session_idle_s * 1000;
	struct htab_iter it = { 0 };
	void *value;

	while (htab_next(c->sessions, &it, NULL, &value)) {
		struct session *s = value;

		expire_tmpls(c, s, mono_ms);
		if (s->idle_since_ms >= idle_ms)
			continue;
		htab_iter_del(c->sessions, &it);
		drop_session(c, s);
		stat_inc(c->stat, STAT_SESSIONS_IDLE);
	}
}

void collector_each_session(struct collector *c, bool (*each)(void *ctx, struct session *s),
			    void *ctx)
{
	struct htab_iter it = { 0 };
	void *value;

	while (htab_next(c->sessions, &it, NULL, &value)) {
		if (!each(ctx, value))
			return;
	}
}
