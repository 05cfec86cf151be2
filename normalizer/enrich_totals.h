/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_totals.h - sums, rates and ratios of the counters, and the address family.  A row of enrich.c's
 * table.  Any SQL engine can do the same: off by default.
 */
#ifndef NORMALIZER_ENRICH_TOTALS_H
#define NORMALIZER_ENRICH_TOTALS_H

#include "normalizer/enrich.h"

extern const struct feed enrich_totals_feeds[];
enum err enrich_totals_load(const void *conf, struct why *why, void **out);
void enrich_totals_run(const void *self, const struct enrich_context *context, struct flow *flows,
		       size_t count);
void enrich_totals_free(void *self);

#endif
