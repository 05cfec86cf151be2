/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include "base/must.h"

void reload_init(struct reload *r, unsigned worker_count, struct generation *first)
{
	must(worker_count <= RELOAD_WORKERS_MAX);
	r->first = first;
	atomic_init(&r->newest, first);
	for (unsigned i = 0; i < worker_count; i++)
		atomic_init(&r->in_use[i], first->number);
	r->worker_count = worker_count;
	r->old_count = 0;
}

void reload_fini(struct reload *r)
{
	for (size_t i = 0; i < r->old_count; i++)
		generation_free(r->old[i]);
	r->old_count = 0;
	if (atomic_load(&r->newest) != r->first)
		generation_free(atomic_load(&r->newest));
	generation_free(r->first);
}

/* Marks first and looks again: whoever publishes in between sees the old mark and keeps the old
 * generation until the next collect. */
const struct generation *reload_enter(struct reload *r, unsigned worker)
{
	const struct generation *g = reload_newest(r);

	atomic_store_explicit(&r->in_use[worker], g->number, memory_order_release);
	return g;
}

enum err reload_publish(struct reload *r, struct generation *g)
{
	struct generation *before;

	reload_collect(r);
	if (r->old_count == RELOAD_OLD_MAX)
		return ERR_AGAIN;
	before = atomic_exchange_explicit(&r->newest, g, memory_order_acq_rel);
	if (before != r->first)
		r->old[r->old_count++] = before;
	return ERR_OK;
}

/* A worker only ever moves to newer generations, so one below every mark is in use by nobody. */
void reload_collect(struct reload *r)
{
	uint64_t oldest = UINT64_MAX;
	size_t kept = 0;

	for (unsigned i = 0; i < r->worker_count; i++) {
		uint64_t n = atomic_load_explicit(&r->in_use[i], memory_order_acquire);

		oldest = n < oldest ? n : oldest;
	}
	for (size_t i = 0; i < r->old_count; i++) {
		if (r->old[i]->number < oldest)
			generation_free(r->old[i]);
		else
			r->old[kept++] = r->old[i];
	}
	r->old_count = kept;
}
