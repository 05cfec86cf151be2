/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "collector/account.h"
#include "collector/keep_in.h"
#include "collector/take.h"

/* Export times are whole seconds, and those of two threads of an exporter may differ. */
#define EXPORT_SLACK_MS 5000

enum err take_held_open(struct collector *c)
{
	struct hold_conf conf = { .wait_ms = (int64_t)c->limits.hold_s * 1000,
				  .session_bytes_max = c->limits.hold_session_bytes,
				  .bytes_max = c->limits.hold_bytes };

	if (c->limits.hold_s == 0)
		return ERR_OK;
	c->held_walk.records = malloc(WALK_RECORDS_MAX * sizeof(*c->held_walk.records));
	c->held_walk.runs = malloc(WALK_SETS_MAX * sizeof(*c->held_walk.runs));
	c->retold = calloc(1, TAKE_MESSAGE_MAX);
	if (c->held_walk.records == NULL || c->held_walk.runs == NULL || c->retold == NULL)
		return ERR_NOMEM;
	return hold_new(&conf, &c->hold);
}

void take_held_close(struct collector *c)
{
	hold_free(c->hold);
	free(c->held_walk.records);
	free(c->held_walk.runs);
	free(c->retold);
	keep_fini(&c->gone_sets);
	keep_fini(&c->gone_sessions);
}

void take_retell(struct collector *c, const struct held_set *set, struct message *m)
{
	const struct held_facts *f = &set->facts;
	const struct frame *frame = frame_find(set->session->key.version);
	struct message fresh = { .octets = c->retold,
				 .bytes = f->message_bytes,
				 .header_bytes = f->header_bytes,
				 .version = set->session->key.version,
				 .origin = &set->facts.origin };

	must(frame != NULL && f->offset + f->bytes <= f->message_bytes &&
	     f->message_bytes < TAKE_MESSAGE_MAX);
	memcpy(c->retold, set->octets, f->header_bytes);
	memcpy(c->retold + f->offset, set->octets + f->header_bytes, f->bytes);
	*m = fresh;
	must(frame->read(m) == COLLECTOR_STAT_COUNT);
}

void take_leave(struct collector *c, struct held_set *set)
{
	keep_set_gone(c, set);
	take_pass(set);
	if (set->tmpl != NULL)
		take_unready(c, set);
	stat_put(c->stat, STAT_SETS_HELD_NOW, stat_get(c->stat, STAT_SETS_HELD_NOW) - 1);
	hold_free_set(c->hold, set);
}

bool take_is_of_live(const struct collector *c, const struct held_set *set)
{
	return c->is_taking && set->facts.message == c->message_number;
}

static void drop(struct collector *c, struct held_set *set, enum collector_stat reason)
{
	struct session *s = set->session;
	struct message m;

	stat_inc(c->stat, reason);
	s->counts.sets_refused++;
	if (take_is_of_live(c, set))
		c->take.is_units_unknown = true;
	else
		sequence_done(&s->sequence, set->facts.stretch, 1, NULL);
	if (c->ops->undecodable != NULL) {
		take_retell(c, set, &m);
		c->ops->undecodable(c->ctx, &m, s, reason, c->retold + set->facts.offset,
				    set->facts.bytes);
	}
	take_leave(c, set);
	take_free_orphans(c);
}

/* One that is ready is not given up, but handed on, in its turn. */
static void give_up(struct collector *c, struct held_set *set, enum collector_stat reason)
{
	if (set->tmpl != NULL)
		(void)take_turn(c, set->session);
	else
		drop(c, set, reason);
}

void take_drop_all(struct collector *c, struct session *s, enum collector_stat reason)
{
	struct held_set *set;

	while (s->ready_count > 0)
		(void)take_turn(c, s);
	while ((set = hold_oldest(s)) != NULL)
		drop(c, set, reason);
}

void take_drop_older(struct collector *c, int64_t mono_ms, enum collector_stat reason)
{
	struct held_set *set;

	while (c->hold != NULL && (set = hold_expired(c->hold, mono_ms)) != NULL)
		give_up(c, set, reason);
}

struct held_facts take_facts(const struct collector *c, const struct message *m,
			     const struct session *s, const uint8_t *set, const uint8_t *end)
{
	return (struct held_facts){ .origin = *m->origin,
				    .since_ms = s->idle_since_ms,
				    .export_ms = m->export_ms,
				    .message = c->message_number,
				    .message_bytes = m->bytes,
				    .offset = (uint32_t)(set - m->octets),
				    .bytes = (uint32_t)(end - set),
				    .header_bytes = m->header_bytes,
				    .id = be16(set),
				    .gap = SESSION_GAP_UNKNOWN };
}

enum collector_stat take_hold(struct collector *c, const struct message *m, struct session *s,
			      struct rd body)
{
	const uint8_t *set = body.at - SET_HEADER_BYTES;
	struct held_facts f = take_facts(c, m, s, set, body.end);
	struct held_set *held;
	enum err e;

	/* What is sent through again was held in its time; a refused definition is what would describe it. */
	if (c->hold == NULL || m->origin->is_again || m->bytes >= TAKE_MESSAGE_MAX ||
	    session_is_refused(s, f.id))
		return STAT_SET_NO_TEMPLATE;
	while ((held = hold_victim(c->hold, s, hold_cost(&f))) != NULL)
		give_up(c, held, STAT_HELD_FULL);
	e = hold_put(c->hold, s, &f, m->octets, set, &held);
	if (e != ERR_OK)
		return e == ERR_NOMEM ? STAT_SET_NOMEM : STAT_SET_NO_TEMPLATE;
	stat_inc(c->stat, STAT_SETS_HELD_NOW);
	return COLLECTOR_STAT_COUNT;
}

/* Can the set stand behind that one in their message?  More than a message holds must never be taken as one. */
static bool is_behind(const struct held_set *before, const struct held_facts *f)
{
	return before->facts.message_bytes == f->message_bytes &&
	       before->facts.header_bytes == f->header_bytes &&
	       before->facts.offset + before->facts.bytes <= f->offset;
}

enum err take_restore(struct collector *c, struct session *s, struct tmpl *t,
		      const struct held_facts *f, const uint8_t *header, const uint8_t *set)
{
	struct held_facts facts = *f;
	struct held_set *newest = hold_newest(s);
	struct held_set *held;

	if (c->hold == NULL)
		return ERR_LIMIT;
	/* Sets of one message stay together, and no message of this life has their number. */
	if (newest == NULL || c->restored != f->message || !is_behind(newest, f))
		c->message_number++;
	c->restored = f->message;
	facts.message = c->message_number;
	TRY(hold_put(c->hold, s, &facts, header, set, &held));
	stat_inc(c->stat, STAT_SETS_HELD_NOW);
	if (t != NULL) {
		hold_wait_no_more(c->hold, held);
		take_make_ready(c, held, t);
	}
	return ERR_OK;
}

/*
 * Could the definition have been in force when the set was sent?  Not when the exporter's clock passed more time
 * than sets are held, nor when it was started in between (RFC 7011, 8.2).
 */
static bool could_be_in_force(const struct collector *c, const struct held_set *set,
			      const struct message *m)
{
	int64_t most_ms = (int64_t)c->limits.hold_s * 1000 + EXPORT_SLACK_MS;
	int64_t data_ms = set->facts.export_ms;

	if (m->export_ms - data_ms > most_ms)
		return false;
	return !m->has_uptime || m->export_ms - m->uptime_ms <= data_ms + EXPORT_SLACK_MS;
}

void take_defined(struct collector *c, const struct message *m, struct session *s, struct tmpl *t)
{
	struct held_set *set;
	struct held_set *next;

	if (s->held == NULL)
		return;
	hold_trust(c->hold, s);
	for (set = hold_take_id(c->hold, s, t->id); set != NULL; set = next) {
		next = set->links[HOLD_ID].newer;
		if (!could_be_in_force(c, set, m)) {
			drop(c, set, STAT_HELD_OUTDATED);
			continue;
		}
		take_make_ready(c, set, t);
	}
}

void take_undefined(struct collector *c, struct session *s, uint16_t id)
{
	struct held_set *next;

	if (s->held == NULL)
		return;
	for (struct held_set *set = hold_take_id(c->hold, s, id); set != NULL; set = next) {
		next = set->links[HOLD_ID].newer;
		drop(c, set, STAT_HELD_REFUSED);
	}
}

void take_held_overrun(struct collector *c, struct session *s)
{
	struct held_set *set = hold_newest(s);

	while (set != NULL && set->facts.message == c->message_number) {
		drop(c, set, STAT_HELD_OVERRUN);
		set = hold_newest(s);
	}
}

uint32_t take_held_count(const struct collector *c, const struct session *s)
{
	uint32_t count = 0;

	for (struct held_set *set = hold_newest(s);
	     set != NULL && set->facts.message == c->message_number;
	     set = set->links[HOLD_SESSION].older)
		count++;
	return count;
}

void take_held_settle(struct collector *c, struct session *s, const struct sequence_units *units,
		      uint32_t stretch)
{
	for (struct held_set *set = hold_newest(s);
	     set != NULL && set->facts.message == c->message_number;
	     set = set->links[HOLD_SESSION].older) {
		set->facts.gap = s->gap;
		set->facts.stretch = stretch;
		set->facts.others = units->definitions + units->records;
		set->facts.of_message = units->held;
	}
}
