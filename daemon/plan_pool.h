/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_pool.h - plans of sFlow, which all sessions of a worker share.
 *
 * Each sub-agent is a session, and shows a dozen kinds of samples, each a template: of a hundred agents their plans would
 * fill the processor's cache many times over.  But a template of sFlow is its shape and nothing else, so that the
 * plan of one is right for all of that shape.
 *
 * Owner: the pipeline.  Lifetime: process; plans are replaced when their generation or profile is.
 */
#ifndef DAEMON_PLAN_POOL_H
#define DAEMON_PLAN_POOL_H

#include "collector/tmpl.h"
#include "normalizer/plan.h"

#define PLAN_POOL_PLACES 64

struct plan_pool {
	struct {
		uint64_t shape[TMPL_SHAPE_WORDS];
		struct plan *plan; /* NULL: none */
	} places[PLAN_POOL_PLACES];
};

/* One for the template, which its caller holds then, or NULL. */
struct plan *plan_pool_find(const struct plan_pool *pool, const struct tmpl *t, uint64_t generation,
			    uint64_t profile);
/* Keeps the plan, made for the template, in place of another one. */
void plan_pool_put(struct plan_pool *pool, const struct tmpl *t, struct plan *plan);
void plan_pool_fini(struct plan_pool *pool);

#endif
