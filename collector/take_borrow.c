/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exporters that send templates from another port than data: after half of hold_s a set may be read by the template of another
 * port of the same address and domain, when nothing speaks against it.  The session gets a copy, which goes when either
 * port says otherwise.
 */
#include <stdlib.h>

#include "base/must.h"
#include "collector/take.h"

#define PORTS_MAX                                                                                  \
	64 /* an address with more of them lends nothing: looking for the one that has it would cost */
#define BORROWED_MAX 64 /* of a session */
#define PADDING_MAX 3

enum err borrow_join(struct collector *c, struct session *s)
{
	struct session_place place = session_place_of(s);
	struct session *first;

	first = htab_find(c->places, &place);
	TRY(htab_put(c->places, &place, s));
	s->place_behind = first;
	if (first != NULL)
		first->place_before = s;
	return ERR_OK;
}

void borrow_leave(struct collector *c, struct session *s)
{
	struct session_place place = session_place_of(s);

	if (s->place_behind != NULL)
		s->place_behind->place_before = s->place_before;
	if (s->place_before != NULL)
		s->place_before->place_behind = s->place_behind;
	else if (s->place_behind != NULL)
		must(htab_put(c->places, &place, s->place_behind) == ERR_OK);
	else
		must(htab_del(c->places, &place) == s);
}

void borrow_end(struct collector *c, struct session *s, uint16_t id)
{
	struct session_place place = session_place_of(s);

	for (struct session *o = htab_find(c->places, &place); o != NULL; o = o->place_behind) {
		struct tmpl *t = o == s ? NULL : session_tmpl(o, id);

		if (t == NULL || !t->is_borrowed)
			continue;
		must(session_tmpl_take(o, id) == t);
		o->borrowed_count--;
		take_drop_tmpl(c, t);
	}
}

/* The one template of that id that another port has and never used; NULL when there is none, or more than one. */
static struct tmpl *find_lender(struct collector *c, const struct session *s, uint16_t id)
{
	struct session_place place = session_place_of(s);
	struct session *o = htab_find(c->places, &place);
	struct tmpl *found = NULL;
	unsigned ports = 0;

	for (; o != NULL; o = o->place_behind) {
		struct tmpl *t = o == s ? NULL : session_tmpl(o, id);

		if (++ports > PORTS_MAX)
			return NULL;
		if (t == NULL || t->is_borrowed)
			continue;
		if (found != NULL)
			return NULL;
		found = t;
	}
	return found == NULL || found->used_ms != 0 ? NULL : found;
}

/* Records, and no more behind them than padding. */
static bool fits(const struct tmpl *t, const struct held_set *set)
{
	struct rd body = rd_of(set->octets + set->facts.header_bytes + SET_HEADER_BYTES,
			       set->facts.bytes - SET_HEADER_BYTES);

	if (rd_left(&body) < t->min_bytes)
		return false;
	while (rd_left(&body) >= t->min_bytes) {
		size_t bytes = tmpl_record_bytes(t, body.at, rd_left(&body));

		if (bytes == 0)
			return false;
		body.at += bytes;
	}
	return rd_left(&body) <= PADDING_MAX;
}

static enum err copy_tmpl(const struct tmpl *from, struct tmpl **out)
{
	struct tmpl *t;
	enum err e;

	TRY(tmpl_new(from->field_count, &t));
	t->id = from->id;
	t->version = from->version;
	t->is_options = from->is_options;
	t->scope_count = from->scope_count;
	t->hash = from->hash;
	t->seen_ms = from->seen_ms;
	t->refresh_ms = from->refresh_ms;
	t->defined_ms = from->defined_ms;
	t->local_port = from->local_port;
	t->is_borrowed = true;
	memcpy(t->fields, from->fields, from->field_count * sizeof(t->fields[0]));
	e = tmpl_finish(t);
	if (e != ERR_OK)
		tmpl_free(t);
	else
		*out = t;
	return e;
}

static void borrow(struct collector *c, struct held_set *set)
{
	struct session *s = set->session;
	struct message m = { .export_ms = set->facts.export_ms };
	uint16_t id = set->facts.id;
	struct tmpl *old = NULL;
	enum bound_why why;
	struct tmpl *from;
	struct tmpl *t;
	enum err e;

	if (set->tmpl != NULL || s->has_defined || session_is_of_stream(s) ||
	    s->borrowed_count >= BORROWED_MAX)
		return;
	from = find_lender(c, s, id);
	if (from == NULL || !fits(from, set))
		return;
	e = copy_tmpl(from, &t);
	if (e == ERR_OK) {
		/* A copy makes nobody go, least of all what it is a copy of. */
		e = bound_victim(c->bound, s, t, &why) != NULL ? ERR_LIMIT
							       : take_put_tmpl(c, s, t, &old);
		if (e != ERR_OK)
			tmpl_free(t);
	}
	if (e != ERR_OK) {
		stat_inc(c->stat, e == ERR_LIMIT ? STAT_TMPL_LIMIT : STAT_TMPL_NOMEM);
		return;
	}
	must(old == NULL);
	from->is_lent = true;
	s->borrowed_count++;
	stat_inc(c->stat, STAT_TEMPLATES_FROM_PORT);
	c->ops->tmpl_new(c->ctx, s, t);
	take_defined(c, &m, s, t);
	(void)take_turn(c, s);
}

/* What one sets free is gone from the store, maybe with it the next: each is asked for, and once. */
void borrow_tick(struct collector *c, int64_t mono_ms)
{
	int64_t wait_ms = (int64_t)c->limits.hold_s * 1000 / 2;
	struct held_set *set;

	if (!c->limits.template_from_port || c->hold == NULL)
		return;
	while ((set = hold_waited(c->hold, mono_ms, wait_ms)) != NULL)
		borrow(c, set);
}

void borrow_return(struct collector *c, struct session *s)
{
	s->has_defined = true;
	for (size_t i = s->tmpl_count; i > 0 && s->borrowed_count > 0; i--) {
		struct tmpl *t = s->tmpls[i - 1];

		if (!t->is_borrowed)
			continue;
		must(session_tmpl_take(s, t->id) == t);
		s->borrowed_count--;
		take_retire(c, s, t);
	}
}
