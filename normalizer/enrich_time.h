/* SPDX-License-Identifier: Apache-2.0 */
/* enrich_time.h - calendar parts of event_time, UTC.  A row of enrich.c's table. */
#ifndef NORMALIZER_ENRICH_TIME_H
#define NORMALIZER_ENRICH_TIME_H

#include "normalizer/enrich.h"

extern const struct feed enrich_time_feeds[];
enum err enrich_time_load(const void *conf, struct why *why, void **out);
void enrich_time_run(const void *self, const struct enrich_context *context, struct flow *flows,
		     size_t count);
void enrich_time_free(void *self);

#endif
