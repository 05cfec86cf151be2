/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/collector.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/htab.h"
#include "base/log.h"
#include "base/must.h"
#include "collector/admit.h"
#include "collector/frame.h"
#include "collector/gate.h"
#include "collector/keep_in.h"
#include "collector/take.h"

/* A template outlives that many of its exporter's refreshes (RFC 7011, 8.4: at least three). */
#define REFRESHES_MISSED_MAX 3

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
	struct bound_conf bound;

	if (c == NULL)
		return ERR_NOMEM;
	c->limits = *limits;
	c->ops = ops;
	c->ctx = ctx;
	bound = (struct bound_conf){ .session_max = limits->templates_max,
				     .exporter_max = limits->templates_exporter_max,
				     .all_max = limits->templates_all_max,
				     .all_bytes_max = limits->templates_all_bytes };
	c->stat = stat;
	c->take.walk.records = malloc(WALK_RECORDS_MAX * sizeof(*c->take.walk.records));
	c->take.walk.runs = malloc(WALK_SETS_MAX * sizeof(*c->take.walk.runs));
	if (c->take.walk.records == NULL || c->take.walk.runs == NULL ||
	    htab_new(sizeof(struct session_key), &c->sessions) != ERR_OK ||
	    admit_new(&c->admit) != ERR_OK || bound_new(&bound, &c->bound) != ERR_OK ||
	    take_held_open(c) != ERR_OK || take_sflow_open(c) != ERR_OK ||
	    htab_new(sizeof(struct session_place), &c->places) != ERR_OK) {
		collector_free(c);
		return ERR_NOMEM;
	}
	*out = c;
	return ERR_OK;
}

/* Sets that are ready are read by it yet. */
static void let_go(struct collector *c, struct tmpl *t)
{
	t->is_orphan = t->ready_count > 0;
	if (t->is_orphan)
		return;
	c->ops->tmpl_gone(c->ctx, t);
	tmpl_free(t);
}

void take_drop_tmpl(struct collector *c, struct tmpl *t)
{
	take_uncount_tmpl(c, t);
	if (t->before != NULL)
		let_go(c, t->before);
	t->before = NULL;
	let_go(c, t);
}

void take_end_tmpl(struct collector *c, struct session *s, struct tmpl *t)
{
	must(session_tmpl_take(s, t->id) == t);
	keep_changed(c, s);
	s->borrowed_count -= t->is_borrowed;
	if (t->is_lent)
		borrow_end(c, s, t->id);
	take_drop_tmpl(c, t);
}

/* `waiting` is what becomes of sets that wait for a template of it. */
static void drop_session(struct collector *c, struct session *s, enum collector_stat waiting)
{
	take_drop_all(c, s, waiting);
	for (size_t i = 0; i < s->tmpl_count; i++) {
		if (s->tmpls[i]->is_lent)
			borrow_end(c, s, s->tmpls[i]->id);
		take_drop_tmpl(c, s->tmpls[i]);
	}
	s->tmpl_count = 0;
	keep_session_gone(c, s);
	if (s->fixed != NULL)
		c->ops->tmpl_gone(c->ctx, s->fixed);
	c->ops->session_gone(c->ctx, s);
	if (c->last == s)
		c->last = NULL;
	c->unknown_count -= s->is_counted;
	borrow_leave(c, s);
	session_free(s);
}

void collector_finish(struct collector *c)
{
	take_drop_older(c, INT64_MAX / 2, STAT_HELD_SHUTDOWN);
}

void collector_free(struct collector *c)
{
	struct htab_iter it = { 0 };
	void *s;

	if (c == NULL)
		return;
	collector_finish(c);
	while (c->sessions != NULL && htab_next(c->sessions, &it, NULL, &s))
		drop_session(c, s, STAT_HELD_EVICTED);
	htab_free(c->sessions);
	admit_free(c->admit);
	htab_free(c->places);
	free(c->take.walk.records);
	free(c->take.walk.runs);
	take_held_close(c);
	take_sflow_close(c);
	bound_free(c->bound);
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
	drop_session(c, s, STAT_HELD_EVICTED);
	stat_inc(c->stat, STAT_SESSIONS_EVICTED);
	return true;
}

/* COLLECTOR_STAT_COUNT when it is there, else why not. */
static enum collector_stat make_session(struct collector *c, const struct session_key *key,
					const struct addr *peer, int64_t first_ms,
					struct session **out)
{
	struct session *s;

	if (session_new(key, peer, &s) != ERR_OK)
		return STAT_UNIT_NOMEM;
	if (borrow_join(c, s) != ERR_OK) {
		session_free(s);
		return STAT_UNIT_NOMEM;
	}
	if (htab_put(c->sessions, key, s) != ERR_OK) {
		borrow_leave(c, s);
		session_free(s);
		return STAT_UNIT_NOMEM;
	}
	s->first_ms = first_ms;
	settle_identity(c, s);
	*out = s;
	return COLLECTOR_STAT_COUNT;
}

static enum collector_stat add_session(struct collector *c, const struct message *m,
				       const struct session_key *key, struct session **out)
{
	const struct addr *peer = &m->origin->peer;
	const struct exporter_entry *entry = admit_find(c->admit, peer, key->port, key->domain);
	enum collector_stat refused;

	if (entry == NULL && c->policy.is_closed)
		return STAT_UNIT_NOT_LISTED;
	if (!make_room(c, entry != NULL))
		return STAT_UNIT_SESSIONS;
	refused = make_session(c, key, peer, m->origin->receive_ms, out);
	if (refused == COLLECTOR_STAT_COUNT)
		(*out)->transport = m->origin->transport;
	return refused;
}

static struct session *find_session(struct collector *c, const struct message *m)
{
	struct session_key key = session_key_of(m);
	struct session *s = c->last;
	enum collector_stat refused;

	if (s == NULL || memcmp(&s->key, &key, sizeof(key)) != 0) {
		s = htab_find(c->sessions, &key);
		if (s == NULL) {
			refused = add_session(c, m, &key, &s);
			stat_inc(c->stat, s == NULL ? refused : STAT_SESSIONS_NEW);
		}
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
	c->was_malformed = verdict != COLLECTOR_STAT_COUNT;
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
	take_message(c, &m, frame, s);
}

bool collector_was_malformed(const struct collector *c)
{
	return c->was_malformed;
}

bool collector_hears(const struct collector *c, const struct addr *peer, uint16_t port)
{
	return !c->policy.is_closed || admit_knows(c->admit, peer, port);
}

void collector_end_stream(struct collector *c, uint32_t stream)
{
	struct session_place place = session_place_of_stream(stream);
	struct session *s;

	/* Sets whose template came have only their turn to wait for. */
	if (htab_find(c->places, &place) != NULL)
		collector_catch_up(c);
	while ((s = htab_find(c->places, &place)) != NULL) {
		must(htab_del(c->sessions, &s->key) == s);
		drop_session(c, s, STAT_HELD_CLOSED);
		stat_inc(c->stat, STAT_SESSIONS_CLOSED);
	}
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

struct session *collector_restore_session(struct collector *c, const struct session_key *key,
					  const struct addr *peer)
{
	const struct exporter_entry *entry = admit_find(c->admit, peer, key->port, key->domain);
	struct session *s = htab_find(c->sessions, key);

	if (s != NULL)
		return s;
	if ((entry == NULL && c->policy.is_closed) || !has_room(c, entry != NULL) ||
	    make_session(c, key, peer, 0, &s) != COLLECTOR_STAT_COUNT)
		return NULL;
	return s;
}

enum err collector_restore_tmpl(struct collector *c, struct session *s, struct tmpl *t,
				int64_t mono_ms)
{
	struct tmpl *old = NULL;
	enum err e = ERR_OK;

	if (is_stale(c, t, mono_ms)) {
		tmpl_free(t);
		return ERR_OK;
	}
	e = take_put_tmpl(c, s, t, &old);
	if (old != NULL)
		take_drop_tmpl(c, old);
	keep_changed(c, s);
	if (e != ERR_OK) {
		tmpl_free(t);
		return e;
	}
	bound_recount(c->bound, t); /* the old one was in its account */
	s->counts.templates_new++;
	s->has_defined = true;
	stat_inc(c->stat, STAT_TEMPLATES_RESTORED);
	c->ops->tmpl_new(c->ctx, s, t);
	return ERR_OK;
}

static void expire_tmpls(struct collector *c, struct session *s, int64_t mono_ms)
{
	for (size_t i = s->tmpl_count; i > 0; i--) {
		struct tmpl *t = s->tmpls[i - 1];

		take_expire_before(c, t, mono_ms);
		if (session_is_of_stream(s) || !is_stale(c, t, mono_ms))
			continue;
		take_end_tmpl(c, s, t);
		s->counts.templates_expired++;
		stat_inc(c->stat, STAT_TEMPLATES_EXPIRED);
	}
}

void collector_tick(struct collector *c, int64_t mono_ms)
{
	int64_t idle_ms = mono_ms - (int64_t)c->limits.session_idle_s * 1000;
	struct htab_iter it = { 0 };
	void *value;

	borrow_tick(c, mono_ms);
	take_drop_older(c, mono_ms, STAT_HELD_EXPIRED);
	while (htab_next(c->sessions, &it, NULL, &value)) {
		struct session *s = value;

		expire_tmpls(c, s, mono_ms);
		/* A connection has an end of its own. */
		if (s->idle_since_ms >= idle_ms || session_is_of_stream(s))
			continue;
		htab_iter_del(c->sessions, &it);
		drop_session(c, s, STAT_HELD_EVICTED);
		stat_inc(c->stat, STAT_SESSIONS_IDLE);
	}
}

struct bound_use collector_tmpls_use(const struct collector *c, const struct session *s)
{
	return s == NULL ? bound_all(c->bound) : bound_exporter(c->bound, s);
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
