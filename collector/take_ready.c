/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets whose definition came are handed on in turns, so that what one definition sets free keeps nobody waiting: one turn with
 * each message of their session, and one between two batches.  Data of the session that comes meanwhile goes behind them.
 */
#include <string.h>

#include "base/must.h"
#include "collector/account.h"
#include "collector/take.h"

/*
 * A turn ends with the message that fills it, by octets or by limits.turn_work.  It is at least what one more message can put
 * behind those that wait: as many octets, or as many messages.
 */
#define TURN_BYTES 65536u
#define MESSAGE_COST 512u /* beside its sets */

static const struct take_rows held_rows = { STAT_SETS_HELD_DECODED, STAT_HELD_OVERRUN,
					    STAT_HELD_SHORT };

static void list_put(struct collector *c, struct session *s)
{
	s->ready_before = c->ready_last;
	s->ready_behind = NULL;
	if (c->ready_last == NULL)
		c->ready_first = s;
	else
		c->ready_last->ready_behind = s;
	c->ready_last = s;
}

static void list_cut(struct collector *c, struct session *s)
{
	if (s->ready_before == NULL)
		c->ready_first = s->ready_behind;
	else
		s->ready_before->ready_behind = s->ready_behind;
	if (s->ready_behind == NULL)
		c->ready_last = s->ready_before;
	else
		s->ready_behind->ready_before = s->ready_before;
}

void take_make_ready(struct collector *c, struct held_set *set, struct tmpl *t)
{
	struct session *s = set->session;

	set->tmpl = t;
	t->ready_count++;
	if (s->ready_count++ == 0)
		list_put(c, s);
	if (s->ready_from == NULL || set->facts.message < s->ready_from->facts.message)
		s->ready_from = set;
}

void take_unready(struct collector *c, struct held_set *set)
{
	struct tmpl *t = set->tmpl;

	if (--t->ready_count == 0 && t->is_orphan) {
		t->orphan_behind = c->orphans;
		c->orphans = t;
	}
	if (--set->session->ready_count == 0) {
		set->session->ready_from = NULL;
		list_cut(c, set->session);
	}
}

static bool is_of_same(const struct held_set *set, const struct held_set *other)
{
	return other != NULL && other->facts.message == set->facts.message;
}

void take_pass(struct held_set *set)
{
	struct session *s = set->session;
	struct held_set *older = set->links[HOLD_SESSION].older;

	if (s->ready_from == set)
		s->ready_from = is_of_same(set, older) ? older : set->links[HOLD_SESSION].newer;
}

/* The first set of the oldest message that may have some: those before it are not looked at in each turn. */
static struct held_set *first_ready(const struct session *s)
{
	struct held_set *set = s->ready_from;

	while (set != NULL && is_of_same(set, set->links[HOLD_SESSION].older))
		set = set->links[HOLD_SESSION].older;
	return set;
}

void take_free_orphans(struct collector *c)
{
	while (c->orphans != NULL) {
		struct tmpl *t = c->orphans;

		c->orphans = t->orphan_behind;
		take_drop_tmpl(c, t);
	}
}

/* What the header's count leaves for the sets that were held, when all of them are here. */
static void trim(struct collector *c, const struct message *m, const struct held_facts *f,
		 uint32_t set_count)
{
	if (m->version == VERSION_NF9 && !c->take.is_units_unknown && f->of_message == set_count)
		walk_trim_nf9(&c->take.walk, message_nf9_count(m) - f->others);
}

static void take_again(struct collector *c, const struct message *m, struct session *s,
		       const struct held_set *set)
{
	struct walk *w = &c->take.walk;
	uint32_t run = w->run_count;

	take_touch_tmpl(c, s, set->tmpl);
	take_set(c, m, s, set->tmpl,
		 rd_of(c->retold + set->facts.offset + SET_HEADER_BYTES,
		       set->facts.bytes - SET_HEADER_BYTES));
	if (set->facts.is_queued && w->run_count > run)
		w->runs[run].changes = set->facts.changes;
}

static void account_done(struct collector *c, struct session *s, const struct held_facts *f,
			 uint32_t set_count)
{
	struct sequence_units units = { 0 };

	account_add(&units, &c->take.walk);
	sequence_done(&s->sequence, f->stretch, set_count,
		      c->take.is_units_unknown ? NULL : &units);
}

/* The sets of one message that are ready, from `first` on, as if it came now; returns what is behind them. */
static struct held_set *retake(struct collector *c, struct session *s, struct held_set *first,
			       uint32_t *done)
{
	struct held_facts facts = first->facts;
	bool is_of_this = take_is_of_live(c, first);
	struct held_set *set = first;
	uint32_t set_count = 0;
	struct message m = { 0 };

	c->take = (struct take){ .rows = &held_rows, .walk = c->take.walk };
	c->take.walk.record_count = 0;
	c->take.walk.run_count = 0;
	*done += MESSAGE_COST;
	while (set != NULL && set->facts.message == facts.message) {
		struct held_set *next = set->links[HOLD_SESSION].newer;

		if (set->tmpl != NULL) {
			take_retell(c, set, &m);
			m.origin = &facts.origin;
			take_again(c, &m, s, set);
			set_count++;
			*done += set->facts.bytes;
			take_leave(c, set);
		}
		set = next;
	}
	trim(c, &m, &facts, set_count);
	if (is_of_this)
		account_add(&c->late_units, &c->take.walk);
	else
		account_done(c, s, &facts, set_count);
	s->gap = facts.gap;
	take_hand_on(c, &m, s);
	take_free_orphans(c);
	return set;
}

static uint64_t work_so_far(const struct collector *c)
{
	return c->ops->work == NULL ? 0 : c->ops->work(c->ctx);
}

bool take_turn(struct collector *c, struct session *s)
{
	uint64_t work = work_so_far(c);
	bool is_spent = false;
	struct held_set *set = first_ready(s);
	struct take live = c->take;
	bool is_live_unknown = false;
	uint32_t done = 0;
	bool is_of_this;

	c->take.walk = c->held_walk;
	while (s->ready_count > 0 && done < TURN_BYTES && !is_spent) {
		must(set != NULL);
		if (set->tmpl == NULL) {
			set = set->links[HOLD_SESSION].newer;
			continue;
		}
		is_of_this = take_is_of_live(c, set);
		set = retake(c, s, set, &done);
		is_spent = c->limits.turn_work != 0 && work_so_far(c) - work >= c->limits.turn_work;
		is_live_unknown = is_live_unknown || (is_of_this && c->take.is_units_unknown);
		if (s->ready_count > 0)
			s->ready_from = set;
	}
	c->take = live;
	c->take.is_units_unknown = c->take.is_units_unknown || is_live_unknown;
	return is_spent;
}

bool collector_turn(struct collector *c)
{
	struct session *s = c->ready_first;

	if (s == NULL)
		return false;
	(void)take_turn(c, s);
	if (s->ready_count > 0) {
		list_cut(c, s);
		list_put(c, s);
	}
	return c->ready_first != NULL;
}

void collector_catch_up(struct collector *c)
{
	while (collector_turn(c))
		;
}

/* False when nothing waits any more and it may cost, too, or there is no room: then it is handed on at once. */
static bool queue_run(struct collector *c, const struct message *m, struct session *s,
		      const struct set_run *run, bool *is_spent)
{
	const uint8_t *set = c->take.walk.records[run->first].octets - SET_HEADER_BYTES;
	struct held_facts f = take_facts(c, m, s, set, run->end);
	struct held_set *held;

	f.is_queued = true;
	f.changes = run->changes;
	while (s->ready_count > 0 && !*is_spent && hold_victim(c->hold, s, hold_cost(&f)) != NULL)
		*is_spent = take_turn(c, s);
	if ((s->ready_count == 0 && !*is_spent) ||
	    hold_put(c->hold, s, &f, m->octets, set, &held) != ERR_OK)
		return false;
	hold_wait_no_more(c->hold, held);
	stat_inc(c->stat, STAT_SETS_HELD_NOW);
	take_make_ready(c, held, run->tmpl);
	return true;
}

void take_queue(struct collector *c, const struct message *m, struct session *s, bool is_spent)
{
	struct walk *w = &c->take.walk;
	uint32_t queued = 0;

	while (queued < w->run_count && queue_run(c, m, s, &w->runs[queued], &is_spent)) {
		w->record_count -= w->runs[queued].count;
		queued++;
	}
	w->run_count -= queued;
	memmove(w->runs, w->runs + queued, w->run_count * sizeof(w->runs[0]));
}
