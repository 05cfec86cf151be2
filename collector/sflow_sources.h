/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sflow_sources.h - what the sources of an sFlow agent count of themselves: flow samples, and those that they dropped.
 *
 * A table of a fixed number of places.  Two sources of one place begin anew in turns: nothing is told of them
 * then, and nothing wrong.
 *
 * Owner: the session.  Lifetime: its own.
 */
#ifndef COLLECTOR_SFLOW_SOURCES_H
#define COLLECTOR_SFLOW_SOURCES_H

#include "base/err.h"
#include "collector/sflow.h"

struct sflow_sources;

/* All zeros; free() it. */
enum err sflow_sources_new(struct sflow_sources **out);

/* The agent began anew, and so did the numbers of its sources: nothing is known of them. */
void sflow_sources_forget(struct sflow_sources *all);

/* Samples between this one and the last of its source that did not come, and those dropped since. */
void sflow_sources_take(struct sflow_sources *all, const struct sflow_flow *sample,
			uint32_t *missed, uint32_t *dropped);

#endif
