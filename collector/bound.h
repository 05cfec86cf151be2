/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bound.h - how many templates a worker keeps: of one session, of one address over its ports and domains, and in all.
 *
 *	while ((t = bound_victim(b, s, new, &why)) != NULL)	who goes so that the new one fits
 *		... bound_forget(b, t)
 *	bound_count(b, s, new)
 *	bound_touch(b, t, mono_ms)				sent again, or used
 *
 *	unused	| oldest ... newest |	by when they were sent; goes first
 *	used	| oldest ... newest |	by when data used them, to BOUND_GRAIN_MS
 *
 * Who makes up templates loses his own, and over all addresses those that no data ever used go before those of
 * exporters at work.  Nobody is searched for: a template is in the lists of its session, its address and the worker.
 *
 * Owner: the collector.  Lifetime: process; of an address, while it has templates; of a session, its own.
 */
#ifndef COLLECTOR_BOUND_H
#define COLLECTOR_BOUND_H

#include "base/err.h"
#include "collector/session.h"

#define BOUND_GRAIN_MS 1000

struct bound_conf {
	uint64_t session_max;  /* templates of one; 0: no bound, as for the others */
	uint64_t exporter_max; /* of one address */
	uint64_t all_max;
	uint64_t all_bytes_max;
};

enum bound_why { BOUND_SESSION, BOUND_EXPORTER, BOUND_ALL, BOUND_BYTES };

struct bound_use {
	uint64_t count;
	uint64_t bytes;
};

struct bound;

enum err bound_new(const struct bound_conf *conf, struct bound **out);
/* It must be empty. */
void bound_free(struct bound *b);

/* Octets that a template takes of the bound, with the one before it. */
uint64_t bound_cost(const struct tmpl *t);
/* Could it fit, if all others went? */
bool bound_fits(const struct bound *b, const struct tmpl *t);
/* The least useful that stands in the way of one more; NULL when there is room. */
struct tmpl *bound_victim(const struct bound *b, const struct session *s, const struct tmpl *t,
			  enum bound_why *why);
enum err bound_count(struct bound *b, struct session *s, struct tmpl *t);
/* Its cost is another now. */
void bound_recount(struct bound *b, struct tmpl *t);
void bound_touch(struct bound *b, struct tmpl *t, int64_t mono_ms);
/* One that is not counted is let be. */
void bound_forget(struct bound *b, struct tmpl *t);

struct bound_use bound_all(const struct bound *b);
/* Of the session's address. */
struct bound_use bound_exporter(const struct bound *b, const struct session *s);

#endif
