/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/bound.h"

#include <stdlib.h>
#include <string.h>

#include "base/htab.h"
#include "base/must.h"

/* What the allocator and the session's table take for one, at most. */
#define COST_BESIDE 64u

struct bound_exporter {
	uint8_t address[sizeof(((struct session_key *)0)->octets)];
	struct tmpl_level level;
};

struct bound {
	struct bound_conf conf;
	struct htab *exporters; /* address -> struct bound_exporter * */
	struct tmpl_level all;
};

enum err bound_new(const struct bound_conf *conf, struct bound **out)
{
	struct bound *b = calloc(1, sizeof(*b));
	enum err e;

	if (b == NULL)
		return ERR_NOMEM;
	b->conf = *conf;
	e = htab_new(sizeof(((struct bound_exporter *)0)->address), &b->exporters);
	if (e != ERR_OK) {
		free(b);
		return e;
	}
	*out = b;
	return ERR_OK;
}

void bound_free(struct bound *b)
{
	if (b == NULL)
		return;
	must(b->all.count == 0);
	htab_free(b->exporters);
	free(b);
}

static uint64_t own_cost(const struct tmpl *t)
{
	return sizeof(*t) + COST_BESIDE + t->field_count * sizeof(t->fields[0]) +
	       t->run_count * sizeof(t->runs[0]);
}

uint64_t bound_cost(const struct tmpl *t)
{
	return own_cost(t) + (t->before == NULL ? 0 : own_cost(t->before));
}

static struct bound_exporter *exporter_of(const struct bound *b, const struct session *s)
{
	return htab_find(b->exporters, s->key.octets);
}

static bool is_over(uint64_t value, uint64_t max)
{
	return max != 0 && value > max;
}

bool bound_fits(const struct bound *b, const struct tmpl *t)
{
	return !is_over(bound_cost(t), b->conf.all_bytes_max);
}

static struct tmpl *least_useful(const struct tmpl_level *l)
{
	return l->unused.oldest != NULL ? l->unused.oldest : l->used.oldest;
}

static bool is_exporter_full(const struct bound *b, const struct bound_exporter *of)
{
	return of != NULL && is_over(of->level.count + 1, b->conf.exporter_max);
}

struct tmpl *bound_victim(const struct bound *b, const struct session *s, const struct tmpl *t,
			  enum bound_why *why)
{
	const struct bound_exporter *of;

	*why = BOUND_SESSION;
	if (is_over(s->level.count + 1, b->conf.session_max))
		return least_useful(&s->level);
	*why = BOUND_EXPORTER;
	of = exporter_of(b, s);
	if (is_exporter_full(b, of))
		return least_useful(&of->level);
	*why = BOUND_ALL;
	if (is_over(b->all.count + 1, b->conf.all_max))
		return least_useful(&b->all);
	*why = BOUND_BYTES;
	return is_over(b->all.bytes + bound_cost(t), b->conf.all_bytes_max) ? least_useful(&b->all)
									    : NULL;
}

static struct tmpl_level *level_of(struct bound *b, struct tmpl *t, enum tmpl_chain which)
{
	if (which == TMPL_OF_ALL)
		return &b->all;
	return which == TMPL_OF_SESSION ? &t->session->level : &t->exporter->level;
}

static struct tmpl_list *list_of(struct bound *b, struct tmpl *t, enum tmpl_chain which)
{
	struct tmpl_level *l = level_of(b, t, which);

	return t->is_listed_used ? &l->used : &l->unused;
}

static void list_put(struct tmpl_list *l, enum tmpl_chain which, struct tmpl *t)
{
	t->links[which].older = l->newest;
	t->links[which].newer = NULL;
	if (l->newest == NULL)
		l->oldest = t;
	else
		l->newest->links[which].newer = t;
	l->newest = t;
}

static void list_cut(struct tmpl_list *l, enum tmpl_chain which, struct tmpl *t)
{
	struct tmpl *older = t->links[which].older;
	struct tmpl *newer = t->links[which].newer;

	if (older == NULL)
		l->oldest = newer;
	else
		older->links[which].newer = newer;
	if (newer == NULL)
		l->newest = older;
	else
		newer->links[which].older = older;
}

/* One more or one less, or none, and what it costs now. */
static void charge(struct bound *b, struct tmpl *t, int count, uint64_t bytes)
{
	for (enum tmpl_chain which = 0; which < TMPL_CHAINS; which++) {
		struct tmpl_level *l = level_of(b, t, which);

		l->count += (uint64_t)(int64_t)count;
		l->bytes += bytes - t->counted_bytes;
	}
	t->counted_bytes = bytes;
}

static void list(struct bound *b, struct tmpl *t)
{
	/* Those of sFlow are made again when a sample wants one: they go before what only its exporter can send. */
	t->is_listed_used = t->used_ms != 0 && t->version != VERSION_SFLOW5;
	for (enum tmpl_chain which = 0; which < TMPL_CHAINS; which++)
		list_put(list_of(b, t, which), which, t);
}

static void unlist(struct bound *b, struct tmpl *t)
{
	for (enum tmpl_chain which = 0; which < TMPL_CHAINS; which++)
		list_cut(list_of(b, t, which), which, t);
}

static enum err add_exporter(struct bound *b, const struct session *s, struct bound_exporter **out)
{
	struct bound_exporter *of = calloc(1, sizeof(*of));
	enum err e;

	if (of == NULL)
		return ERR_NOMEM;
	memcpy(of->address, s->key.octets, sizeof(of->address));
	e = htab_put(b->exporters, of->address, of);
	if (e != ERR_OK) {
		free(of);
		return e;
	}
	*out = of;
	return ERR_OK;
}

enum err bound_count(struct bound *b, struct session *s, struct tmpl *t)
{
	struct bound_exporter *of = exporter_of(b, s);

	must(t->exporter == NULL);
	if (of == NULL)
		TRY(add_exporter(b, s, &of));
	t->exporter = of;
	t->session = s;
	t->touched_ms = t->used_ms != 0 ? t->used_ms : t->seen_ms;
	charge(b, t, 1, bound_cost(t));
	list(b, t);
	return ERR_OK;
}

void bound_recount(struct bound *b, struct tmpl *t)
{
	if (t->exporter != NULL)
		charge(b, t, 0, bound_cost(t));
}

void bound_touch(struct bound *b, struct tmpl *t, int64_t mono_ms)
{
	if (t->exporter == NULL)
		return;
	unlist(b, t);
	t->touched_ms = mono_ms;
	list(b, t);
}

void bound_forget(struct bound *b, struct tmpl *t)
{
	struct bound_exporter *of = t->exporter;

	if (of == NULL)
		return;
	unlist(b, t);
	charge(b, t, -1, 0);
	t->exporter = NULL;
	t->session = NULL;
	if (of->level.count > 0)
		return;
	must(htab_del(b->exporters, of->address) == of);
	free(of);
}

static struct bound_use use_of(const struct tmpl_level *l)
{
	return (struct bound_use){ l->count, l->bytes };
}

struct bound_use bound_all(const struct bound *b)
{
	return use_of(&b->all);
}

struct bound_use bound_exporter(const struct bound *b, const struct session *s)
{
	const struct bound_exporter *of = exporter_of(b, s);
	struct bound_use none = { 0 };

	return of == NULL ? none : use_of(&of->level);
}
