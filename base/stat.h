/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat.h - monotonic 64-bit counters without locks.
 *
 * A room describes its counters once, in a table made from its .def rows.  Each thread that counts
 * has a struct stat_set of its own and is the only one to write it; anybody may read or sum.
 *
 *	stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &set);
 *	stat_add(set, STAT_RECORDS, n);
 *
 * Owner: the thread that counts.  Lifetime: process.
 */
#ifndef BASE_STAT_H
#define BASE_STAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct stat_desc {
	const char *name;   /* "malformed_messages": metric name without prefix */
	const char *reason; /* value of the label `reason`, or "" */
	const char *unit;   /* "messages", "octets" ... */
	const char *doc;
	bool is_level; /* how much there is now: it goes up and down, and ends with the process */
};

struct stat_set {
	const struct stat_desc *descs;
	size_t count;
	_Atomic uint64_t values[];
};

enum err stat_set_new(const struct stat_desc *descs, size_t count, struct stat_set **out);
void stat_set_free(struct stat_set *set);

/* Single writer: a plain load and store, no locked instruction. */
static inline void stat_add(struct stat_set *set, size_t id, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&set->values[id], memory_order_relaxed);

	atomic_store_explicit(&set->values[id], v + n, memory_order_relaxed);
}

static inline void stat_inc(struct stat_set *set, size_t id)
{
	stat_add(set, id, 1);
}

/* For what is a level and not a count (memory, open files). */
static inline void stat_put(struct stat_set *set, size_t id, uint64_t v)
{
	atomic_store_explicit(&set->values[id], v, memory_order_relaxed);
}

static inline uint64_t stat_get(const struct stat_set *set, size_t id)
{
	return atomic_load_explicit(&set->values[id], memory_order_relaxed);
}

/* Adds all of `from` to `sums`, an array of from->count. */
void stat_sum(const struct stat_set *from, uint64_t *sums);

/* A flag that one thread raises and others look at (stop requests, "is bound"). */
struct stat_flag {
	_Atomic int value;
};

static inline void stat_flag_set(struct stat_flag *flag, int v)
{
	atomic_store_explicit(&flag->value, v, memory_order_release);
}

static inline int stat_flag_get(const struct stat_flag *flag)
{
	return atomic_load_explicit(&flag->value, memory_order_acquire);
}

#endif
