/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.h - things in the order in which they changed, and from where on they were not looked at since.
 *
 *	chain_renew(&c, &thing->link)	it is new, or changed: now the newest
 *	chain_next(&c)			the oldest change that was not looked at; NULL: all were
 *	chain_rewind(&c)		none was
 *	chain_cut(&c, &thing->link)	it goes
 *
 *	oldest | a | b | c | d | e | newest
 *	               ^ fresh
 *
 * What changes again before it was looked at is looked at once, and whoever looks takes as many as he has time for.
 *
 * Owner: one thread.  Links lie in the caller's things, which live until they are cut.
 */
#ifndef BASE_CHAIN_H
#define BASE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

struct chain_link {
	struct chain_link *older;
	struct chain_link *newer;
	bool is_in;
};

struct chain {
	struct chain_link *oldest;
	struct chain_link *newest;
	struct chain_link *fresh;
};

static inline void chain_cut(struct chain *c, struct chain_link *l)
{
	if (!l->is_in)
		return;
	if (c->fresh == l)
		c->fresh = l->newer;
	if (l->older == NULL)
		c->oldest = l->newer;
	else
		l->older->newer = l->newer;
	if (l->newer == NULL)
		c->newest = l->older;
	else
		l->newer->older = l->older;
	l->is_in = false;
}

static inline void chain_renew(struct chain *c, struct chain_link *l)
{
	chain_cut(c, l);
	l->older = c->newest;
	l->newer = NULL;
	l->is_in = true;
	if (c->newest == NULL)
		c->oldest = l;
	else
		c->newest->newer = l;
	c->newest = l;
	if (c->fresh == NULL)
		c->fresh = l;
}

static inline void chain_rewind(struct chain *c)
{
	c->fresh = c->oldest;
}

static inline struct chain_link *chain_next(struct chain *c)
{
	struct chain_link *l = c->fresh;

	if (l != NULL)
		c->fresh = l->newer;
	return l;
}

#endif
