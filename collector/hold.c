/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/hold.h"

#include <stdlib.h>
#include <string.h>

#include "base/htab.h"
#include "base/must.h"

/* What the allocator, the table of ids and the session's part take for a set, at most. */
#define COST_BESIDE 256u
#define BITS 64

struct held_chain {
	struct held_set *oldest;
	struct held_set *newest;
};

struct hold_id_key {
	uint64_t session;
	uint64_t id;
};

struct hold_id {
	struct hold_id_key key;
	struct held_chain chain;
};

/* Of a session that has sets in the store. */
struct hold_session {
	struct held_chain chain;
	uint64_t bytes;
	bool is_trusted;
	unsigned bits; /* of `bytes`: the list it is in */
	struct hold_session *before;
	struct hold_session *behind;
};

struct hold {
	struct hold_conf conf;
	struct held_chain all;
	struct held_set *fresh; /* the oldest of all that hold_fresh() did not give */
	struct held_set *early; /* and the one that hold_waited() did not */
	struct htab *ids;	/* hold_id_key -> struct hold_id * */
	uint64_t bytes[2];	/* of sessions that showed no template, and of those that did */
	struct hold_session *by_bits[2][BITS];
};

enum err hold_new(const struct hold_conf *conf, struct hold **out)
{
	struct hold *h = calloc(1, sizeof(*h));
	enum err e;

	if (h == NULL)
		return ERR_NOMEM;
	h->conf = *conf;
	e = htab_new(sizeof(struct hold_id_key), &h->ids);
	if (e != ERR_OK) {
		free(h);
		return e;
	}
	*out = h;
	return ERR_OK;
}

void hold_free(struct hold *h)
{
	if (h == NULL)
		return;
	must(h->all.oldest == NULL);
	htab_free(h->ids);
	free(h);
}

static void held_put(struct held_chain *c, enum hold_chain which, struct held_set *set)
{
	set->links[which].older = c->newest;
	set->links[which].newer = NULL;
	if (c->newest == NULL)
		c->oldest = set;
	else
		c->newest->links[which].newer = set;
	c->newest = set;
}

static void held_cut(struct held_chain *c, enum hold_chain which, struct held_set *set)
{
	struct held_set *older = set->links[which].older;
	struct held_set *newer = set->links[which].newer;

	if (older == NULL)
		c->oldest = newer;
	else
		older->links[which].newer = newer;
	if (newer == NULL)
		c->newest = older;
	else
		newer->links[which].older = older;
}

static void list_cut(struct hold *h, struct hold_session *hs)
{
	if (hs->before == NULL)
		h->by_bits[hs->is_trusted][hs->bits] = hs->behind;
	else
		hs->before->behind = hs->behind;
	if (hs->behind != NULL)
		hs->behind->before = hs->before;
}

static void list_put(struct hold *h, struct hold_session *hs)
{
	struct hold_session **first;

	hs->bits = hs->bytes == 0 ? 0 : BITS - 1 - (unsigned)__builtin_clzll(hs->bytes);
	first = &h->by_bits[hs->is_trusted][hs->bits];
	hs->before = NULL;
	hs->behind = *first;
	if (*first != NULL)
		(*first)->before = hs;
	*first = hs;
}

/* What the session has, otherwise than before. */
static void charge(struct hold *h, struct hold_session *hs, uint64_t bytes)
{
	list_cut(h, hs);
	h->bytes[hs->is_trusted] += bytes - hs->bytes;
	hs->bytes = bytes;
	list_put(h, hs);
}

size_t hold_cost(const struct held_facts *f)
{
	return sizeof(struct held_set) + COST_BESIDE + f->header_bytes + f->bytes;
}

static bool is_trusted(const struct session *s)
{
	return s->counts.templates_new > 0;
}

static uint64_t stranger_bytes_max(const struct hold *h)
{
	return h->conf.bytes_max / 2;
}

static bool is_too_large(const struct hold *h, const struct session *s, size_t cost)
{
	return cost > h->conf.session_bytes_max || cost > h->conf.bytes_max ||
	       (!is_trusted(s) && cost > stranger_bytes_max(h));
}

static bool is_session_full(const struct hold *h, const struct session *s, size_t cost)
{
	return s->held != NULL && s->held->bytes + cost > h->conf.session_bytes_max;
}

static bool is_stranger_full(const struct hold *h, const struct session *s, size_t cost)
{
	return !is_trusted(s) && h->bytes[0] + cost > stranger_bytes_max(h);
}

static bool is_full(const struct hold *h, size_t cost)
{
	return h->bytes[0] + h->bytes[1] + cost > h->conf.bytes_max;
}

/* Of those that showed no template, or of all. */
static struct held_set *greediest(const struct hold *h, bool is_of_all)
{
	for (unsigned bits = BITS; bits > 0; bits--) {
		const struct hold_session *hs = h->by_bits[0][bits - 1];

		if (hs == NULL && is_of_all)
			hs = h->by_bits[1][bits - 1];
		if (hs != NULL)
			return hs->chain.oldest;
	}
	return NULL;
}

struct held_set *hold_victim(const struct hold *h, const struct session *s, size_t cost)
{
	if (is_too_large(h, s, cost))
		return NULL;
	if (is_session_full(h, s, cost))
		return s->held->chain.oldest;
	if (is_stranger_full(h, s, cost))
		return greediest(h, false);
	return is_full(h, cost) ? greediest(h, true) : NULL;
}

static struct hold_id_key key_of(const struct session *s, uint16_t id)
{
	return (struct hold_id_key){ (uint64_t)(uintptr_t)s, id };
}

static struct hold_id *id_of(struct hold *h, const struct session *s, uint16_t id)
{
	struct hold_id_key key = key_of(s, id);
	struct hold_id *of = htab_find(h->ids, &key);

	if (of != NULL)
		return of;
	of = calloc(1, sizeof(*of));
	if (of == NULL)
		return NULL;
	of->key = key;
	if (htab_put(h->ids, &key, of) != ERR_OK) {
		free(of);
		return NULL;
	}
	return of;
}

static struct hold_session *session_of(struct hold *h, struct session *s)
{
	struct hold_session *hs = s->held;

	if (hs != NULL)
		return hs;
	hs = calloc(1, sizeof(*hs));
	if (hs == NULL)
		return NULL;
	hs->is_trusted = is_trusted(s);
	list_put(h, hs);
	s->held = hs;
	return hs;
}

static void free_id_if_empty(struct hold *h, struct hold_id *of)
{
	if (of == NULL || of->chain.oldest != NULL)
		return;
	must(htab_del(h->ids, &of->key) == of);
	free(of);
}

static void free_session_if_empty(struct hold *h, struct session *s)
{
	struct hold_session *hs = s->held;

	if (hs == NULL || hs->chain.oldest != NULL)
		return;
	must(hs->bytes == 0);
	list_cut(h, hs);
	free(hs);
	s->held = NULL;
}

enum err hold_put(struct hold *h, struct session *s, const struct held_facts *f,
		  const uint8_t *header, const uint8_t *set, struct held_set **out)
{
	size_t cost = hold_cost(f);
	struct hold_session *hs;
	struct hold_id *of;
	struct held_set *held;

	if (is_too_large(h, s, cost) || is_session_full(h, s, cost) ||
	    is_stranger_full(h, s, cost) || is_full(h, cost))
		return ERR_LIMIT;
	held = malloc(sizeof(*held) + f->header_bytes + f->bytes);
	hs = session_of(h, s);
	of = id_of(h, s, f->id);
	if (held == NULL || hs == NULL || of == NULL) {
		free(held);
		free_id_if_empty(h, of);
		free_session_if_empty(h, s);
		return ERR_NOMEM;
	}
	held->facts = *f;
	held->number = 0;
	held->session = s;
	held->tmpl = NULL;
	held->of_id = of;
	memcpy(held->octets, header, f->header_bytes);
	memcpy(held->octets + f->header_bytes, set, f->bytes);
	held_put(&h->all, HOLD_ALL, held);
	if (h->fresh == NULL)
		h->fresh = held;
	if (h->early == NULL)
		h->early = held;
	held_put(&hs->chain, HOLD_SESSION, held);
	held_put(&of->chain, HOLD_ID, held);
	charge(h, hs, hs->bytes + cost);
	*out = held;
	return ERR_OK;
}

void hold_wait_no_more(struct hold *h, struct held_set *set)
{
	if (set->of_id == NULL)
		return;
	held_cut(&set->of_id->chain, HOLD_ID, set);
	free_id_if_empty(h, set->of_id);
	set->of_id = NULL;
}

void hold_free_set(struct hold *h, struct held_set *set)
{
	struct session *s = set->session;

	hold_wait_no_more(h, set);
	if (h->fresh == set)
		h->fresh = set->links[HOLD_ALL].newer;
	if (h->early == set)
		h->early = set->links[HOLD_ALL].newer;
	held_cut(&h->all, HOLD_ALL, set);
	held_cut(&s->held->chain, HOLD_SESSION, set);
	charge(h, s->held, s->held->bytes - hold_cost(&set->facts));
	free_session_if_empty(h, s);
	free(set);
}

struct held_set *hold_take_id(struct hold *h, const struct session *s, uint16_t id)
{
	struct hold_id_key key = key_of(s, id);
	struct hold_id *of = s->held == NULL ? NULL : htab_del(h->ids, &key);
	struct held_set *oldest;

	if (of == NULL)
		return NULL;
	oldest = of->chain.oldest;
	for (struct held_set *set = oldest; set != NULL; set = set->links[HOLD_ID].newer)
		set->of_id = NULL;
	free(of);
	return oldest;
}

void hold_trust(struct hold *h, struct session *s)
{
	struct hold_session *hs = s->held;

	if (hs == NULL || hs->is_trusted)
		return;
	list_cut(h, hs);
	h->bytes[0] -= hs->bytes;
	h->bytes[1] += hs->bytes;
	hs->is_trusted = true;
	list_put(h, hs);
}

struct held_set *hold_oldest(const struct session *s)
{
	return s->held == NULL ? NULL : s->held->chain.oldest;
}

struct held_set *hold_newest(const struct session *s)
{
	return s->held == NULL ? NULL : s->held->chain.newest;
}

struct held_set *hold_first(const struct hold *h)
{
	return h->all.oldest;
}

struct held_set *hold_fresh(struct hold *h)
{
	struct held_set *set = h->fresh;

	if (set != NULL)
		h->fresh = set->links[HOLD_ALL].newer;
	return set;
}

void hold_rewind(struct hold *h)
{
	h->fresh = h->all.oldest;
}

struct held_set *hold_waited(struct hold *h, int64_t mono_ms, int64_t wait_ms)
{
	struct held_set *set = h->early;

	if (set == NULL || mono_ms - set->facts.since_ms < wait_ms)
		return NULL;
	h->early = set->links[HOLD_ALL].newer;
	return set;
}

struct held_set *hold_expired(const struct hold *h, int64_t mono_ms)
{
	struct held_set *oldest = h->all.oldest;

	return oldest != NULL && mono_ms - oldest->facts.since_ms > h->conf.wait_ms ? oldest : NULL;
}
