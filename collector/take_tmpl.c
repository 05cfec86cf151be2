/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates as they come into force: within their bounds, and with what they replaced at hand for data that is late.
 */
#include "base/must.h"
#include "collector/keep_in.h"
#include "collector/take.h"

/* Datagrams do not wait longer than that on their way. */
#define LATE_MS 60000

static const enum collector_stat evicted_rows[] = { [BOUND_SESSION] = STAT_TMPL_EVICTED_SESSION,
						    [BOUND_EXPORTER] = STAT_TMPL_EVICTED_EXPORTER,
						    [BOUND_ALL] = STAT_TMPL_EVICTED_ALL,
						    [BOUND_BYTES] = STAT_TMPL_EVICTED_BYTES };

static void tell_use(struct collector *c)
{
	struct bound_use use = bound_all(c->bound);

	stat_put(c->stat, STAT_TEMPLATES_NOW, use.count);
	stat_put(c->stat, STAT_TEMPLATES_BYTES, use.bytes);
}

void take_uncount_tmpl(struct collector *c, struct tmpl *t)
{
	if (t->exporter == NULL)
		return;
	bound_forget(c->bound, t);
	tell_use(c);
}

/* Records of the live message may still be read by it. */
static void evict(struct collector *c, struct tmpl *t, enum bound_why why)
{
	struct session *s = t->session;

	stat_inc(c->stat, evicted_rows[why]);
	s->counts.templates_evicted++;
	if (!c->is_taking) {
		take_end_tmpl(c, s, t);
		return;
	}
	must(session_tmpl_take(s, t->id) == t);
	s->borrowed_count -= t->is_borrowed;
	take_retire(c, s, t);
	keep_changed(c, s);
}

static bool make_room(struct collector *c, struct session *s, struct tmpl *t)
{
	enum bound_why why;
	struct tmpl *victim;

	if (!bound_fits(c->bound, t))
		return false;
	while ((victim = bound_victim(c->bound, s, t, &why)) != NULL)
		evict(c, victim, why);
	return true;
}

static enum err put_counted(struct collector *c, struct session *s, struct tmpl *t)
{
	struct tmpl *replaced = NULL;
	enum err e;

	TRY(session_tmpl_put(s, t, &replaced));
	e = bound_count(c->bound, s, t);
	if (e != ERR_OK)
		must(session_tmpl_take(s, t->id) == t);
	return e;
}

enum err take_put_tmpl(struct collector *c, struct session *s, struct tmpl *t, struct tmpl **old)
{
	enum err e;

	*old = session_tmpl(s, t->id);
	if (*old != NULL)
		take_uncount_tmpl(c, *old);
	t->before = *old; /* in the account from the start */
	e = make_room(c, s, t) ? put_counted(c, s, t) : ERR_LIMIT;
	t->before = NULL;
	if (e != ERR_OK) {
		(void)session_tmpl_take(s, t->id);
		return e;
	}
	tell_use(c);
	return ERR_OK;
}

void take_touch_tmpl(struct collector *c, const struct session *s, struct tmpl *t)
{
	bool is_due = t->used_ms == 0 || s->idle_since_ms - t->touched_ms >= BOUND_GRAIN_MS;

	t->used_ms = s->idle_since_ms;
	if (is_due)
		bound_touch(c->bound, t, s->idle_since_ms);
}

void take_keep_before(struct collector *c, struct session *s, struct tmpl *t, struct tmpl *old)
{
	if (old->before != NULL)
		take_retire(c, s, old->before);
	old->before = NULL;
	if (old->is_lent)
		borrow_end(c, s, old->id);
	old->is_lent = false;
	old->seen_ms = t->seen_ms;
	t->before = old;
	bound_recount(c->bound, t);
	tell_use(c);
}

void take_expire_before(struct collector *c, struct tmpl *t, int64_t mono_ms)
{
	struct tmpl *before = t->before;

	if (before == NULL || mono_ms - before->seen_ms <= LATE_MS ||
	    mono_ms - before->used_ms <= LATE_MS)
		return;
	t->before = NULL;
	take_drop_tmpl(c, before);
	bound_recount(c->bound, t);
	tell_use(c);
}

/* While the one before is asked for it stays: a clock that was put back gives no other sign. */
struct tmpl *take_tmpl_of_time(struct collector *c, const struct message *m,
			       const struct session *s, struct tmpl *t)
{
	if (t->before == NULL || m->export_ms >= t->defined_ms)
		return t;
	t->before->used_ms = s->idle_since_ms;
	stat_inc(c->stat, STAT_SETS_LATE);
	return t->before;
}

bool take_is_late(const struct message *m, const struct tmpl *t, uint64_t hash)
{
	return t->before != NULL && m->export_ms < t->defined_ms && t->before->hash == hash;
}
