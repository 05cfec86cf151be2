/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.h - which generation is in force, and when an old one may go.
 *
 *	reload_init(&r, worker_count, first)
 *	g = reload_enter(&r, worker)	between batches: the newest, marked as in use by the worker
 *	reload_publish(&r, g)		the control thread: from now on workers pick this one up
 *	reload_collect(&r)		frees those that every worker has left
 *
 * The first one stays to the end: sinks and sockets were opened from it, and only a restart changes them.
 *
 * Owner: the process.  The pointer and the marks are the only things that threads share here.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include <stdatomic.h>

#include "base/err.h"
#include "daemon/generation.h"

#define RELOAD_WORKERS_MAX 256
#define RELOAD_OLD_MAX 16

struct reload {
	struct generation *first;
	_Atomic(struct generation *) newest;
	_Atomic uint64_t in_use[RELOAD_WORKERS_MAX]; /* number of the generation each worker has */
	unsigned worker_count;
	struct generation *old[RELOAD_OLD_MAX]; /* control thread only */
	size_t old_count;
};

void reload_init(struct reload *r, unsigned worker_count, struct generation *first);
/* All workers have ended. */
void reload_fini(struct reload *r);

static inline const struct generation *reload_newest(struct reload *r)
{
	return atomic_load_explicit(&r->newest, memory_order_acquire);
}

const struct generation *reload_enter(struct reload *r, unsigned worker);

/* ERR_AGAIN when RELOAD_OLD_MAX old ones are still in use. */
enum err reload_publish(struct reload *r, struct generation *g);
void reload_collect(struct reload *r);

#endif
