/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/plan_pool.h"

#include <string.h>

struct plan *plan_pool_find(const struct plan_pool *pool, const struct tmpl *t, uint64_t generation,
			    uint64_t profile)
{
	size_t i = t->hash % PLAN_POOL_PLACES;
	struct plan *plan = pool->places[i].plan;

	if (t->version != VERSION_SFLOW5 || plan == NULL ||
	    memcmp(pool->places[i].shape, t->shape, sizeof(t->shape)) != 0 ||
	    !plan_is_current(plan, generation, profile))
		return NULL;
	return plan_share(plan);
}

void plan_pool_put(struct plan_pool *pool, const struct tmpl *t, struct plan *plan)
{
	size_t i = t->hash % PLAN_POOL_PLACES;

	if (t->version != VERSION_SFLOW5)
		return;
	plan_free(pool->places[i].plan);
	pool->places[i].plan = plan_share(plan);
	memcpy(pool->places[i].shape, t->shape, sizeof(t->shape));
}

void plan_pool_fini(struct plan_pool *pool)
{
	for (size_t i = 0; i < PLAN_POOL_PLACES; i++) {
		plan_free(pool->places[i].plan);
		pool->places[i].plan = NULL;
	}
}
