/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich.h - the third layer: what we derive or join.  One enricher per file, run in the order of the
 * table in enrich.c, whatever the order of the option `enrich`.
 *
 *	enrich_load(&conf, &why, &set)
 *	enrich_run(set, &context, flows, count)		once per batch of flows of one session
 *
 * An enricher may not block, log per record, or overwrite what an exporter said: it writes fields of
 * the enriched layer only, those of its feeds.
 *
 * Owner: the daemon's generation.  Lifetime: generation; read-only while it runs.
 */
#ifndef NORMALIZER_ENRICH_H
#define NORMALIZER_ENRICH_H

#include "base/conf.h"
#include "base/why.h"
#include "collector/session.h"
#include "normalizer/flow.h"
#include "normalizer/join.h"

#define ENRICHERS_MAX 16

struct enrich_context {
	const struct session *session;
	struct join *joins[JOINS]; /* what its options data said */
};

struct enricher {
	const char *name;
	const char *doc;
	const struct conf_opt *options; /* group of its name under `normalizer`; NULL: none */
	size_t conf_bytes;
	enum err (*load)(const void *conf, struct why *why, void **out);
	void (*run)(const void *self, const struct enrich_context *context, struct flow *flows,
		    size_t count);
	void (*free)(void *self);
	const struct feed *feeds; /* fields that it gives, and of what; ended by a row of zeros */
};

/* In the order in which they run; ended by a row without name. */
extern const struct enricher enrichers[];

struct enrich_set;

/* Is there an enricher of that name? */
enum err enrich_check(const char *name, struct why *why);

/* `names` is the option `enrich`; `confs` has one entry per row of the table, NULL for its defaults. */
enum err enrich_load(char *const *names, size_t name_count, const void *const *confs,
		     struct why *why, struct enrich_set **out);
void enrich_free(struct enrich_set *set);

void enrich_run(const struct enrich_set *set, const struct enrich_context *context,
		struct flow *flows, size_t count);

#endif
