/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/bound.h"

#include <stdlib.h>
#include <string.h>

#include "base/htab.h"
#include "base/must.h"

/* What the allocator and the session's table take for one, at most. */
#define COST_BESIDE 64u

struct use_list {
	struct tmpl *oldest;
	struct tmpl *newest;
};

enum chain_kind { CHAIN_UNUSED, CHAIN_USED, CHAINS };

struct level {
	struct bound_use use;
	struct use_list chains[CHAINS];
};

struct bound_exporter {
	uint8_t address[sizeof(((struct session_key *)0)->octets)];
	struct level level;
};

struct bound {
	struct bound_conf conf;
	struct htab *exporters; /* address -> struct bound_exporter * */
	struct level all;
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
	must(b->all.use.count == 0);
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

static struct tmpl *least_useful(const struct level *l)
{
	struct tmpl *unused = l->chains[CHAIN_UNUSED].oldest;

	return unused != NULL ? unused : l->chains[CHAIN_USED].oldest;
}

struct tmpl *bound_victim(const struct bound *b, const struct session *s, const struct tmpl *t,
			  enum bound_why *why)
{
	const struct bound_exporter *of = exporter_of(b, s);

	if (of != NULL && is_over(of->level.use.count + 1, b->conf.exporter_max)) {
		*why = BOUND_EXPORTER;
		return least_useful(&of->level);
	}
	*why = is_over(b->all.use.count + 1, b->conf.all_max) ? BOUND_ALL : BOUND_BYTES;
	if (*why == BOUND_BYTES &&
	    !is_over(b->all.use.bytes + bound_cost(t), b->conf.all_bytes_max))
		return NULL;
	return least_useful(&b->all);
}

static void list_put(struct level *l, enum tmpl_chain which, struct tmpl *t)
{
	struct use_list *c = &l->chains[t->is_listed_used];

	t->links[which].older = c->newest;
	t->links[which].newer = NULL;
	if (c->newest == NULL)
		c->oldest = t;
	else
		c->newest->links[which].newer = t;
	c->newest = t;
}

static void list_cut(struct level *l, enum tmpl_chain which, struct tmpl *t)
{
	struct use_list *c = &l->chains[t->is_listed_used];
	struct tmpl *older = t->links[which].older;
	struct tmpl *newer = t->links[which].newer;

	if (older == NULL)
		c->oldest = newer;
	else
		older->links[which].newer = newer;
	if (newer == NULL)
		c->newest = older;
	else
		newer->links[which].older = older;
}

static void charge(struct bound *b, struct tmpl *t, uint64_t bytes)
{
	b->all.use.bytes += bytes - t->counted_bytes;
	t->exporter->level.use.bytes += bytes - t->counted_bytes;
	t->counted_bytes = bytes;
}

static void list(struct bound *b, struct tmpl *t)
{
	/* Those of sFlow are made again when a sample wants one: they go before what only its exporter can send. */
	t->is_listed_used = t->used_ms != 0 && t->version != VERSION_SFLOW5;
	list_put(&b->all, TMPL_OF_ALL, t);
	list_put(&t->exporter->level, TMPL_OF_EXPORTER, t);
}

static void unlist(struct bound *b, struct tmpl *t)
{
	list_cut(&b->all, TMPL_OF_ALL, t);
	list_cut(&t->exporter->level, TMPL_OF_EXPORTER, t);
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
	b->all.use.count++;
	of->level.use.count++;
	charge(b, t, bound_cost(t));
	list(b, t);
	return ERR_OK;
}

void bound_recount(struct bound *b, struct tmpl *t)
{
	if (t->exporter != NULL)
		charge(b, t, bound_cost(t));
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
	charge(b, t, 0);
	b->all.use.count--;
	of->level.use.count--;
	t->exporter = NULL;
	t->session = NULL;
	if (of->level.use.count > 0)
		return;
	must(htab_del(b->exporters, of->address) == of);
	free(of);
}

struct bound_use bound_all(const struct bound *b)
{
	return b->all.use;
}

struct bound_use bound_exporter(const struct bound *b, const struct session *s)
{
	const struct bound_exporter *of = exporter_of(b, s);
	struct bound_use none = { 0 };

	return of == NULL ? none : of->level.use;
}
