/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/sflow_sources.h"

#include <stdlib.h>
#include <string.h>

#define SOURCES 256u /* more than most devices have interfaces that sample */
#define SOURCE_HASH 0x9e3779b1u
/* A step ahead further than this is a source that began anew. */
#define AHEAD_MAX (1u << 20)

struct source {
	uint32_t class_number;
	uint32_t index;
	uint32_t sequence;
	uint32_t drops;
	bool is_there;
};

struct sflow_sources {
	struct source sources[SOURCES];
};

enum err sflow_sources_new(struct sflow_sources **out)
{
	struct sflow_sources *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return ERR_NOMEM;
	*out = all;
	return ERR_OK;
}

void sflow_sources_forget(struct sflow_sources *all)
{
	memset(all, 0, sizeof(*all));
}

static struct source *place_of(struct sflow_sources *all, const struct sflow_flow *sample)
{
	uint32_t hash = (sample->source_index + (sample->source_class << 24)) * SOURCE_HASH;

	return &all->sources[hash >> 24];
}

_Static_assert(SOURCES == 256, "a place is the hash's upper octet");

void sflow_sources_take(struct sflow_sources *all, const struct sflow_flow *sample,
			uint32_t *missed, uint32_t *dropped)
{
	struct source *s = place_of(all, sample);
	uint32_t drops = be32(sample->drops);
	uint32_t ahead = sample->sequence - s->sequence;

	*missed = 0;
	*dropped = 0;
	if (s->is_there && s->class_number == sample->source_class &&
	    s->index == sample->source_index) {
		/* Late, or here before: what it says of drops is old. */
		if (ahead == 0 || -ahead < AHEAD_MAX)
			return;
		if (ahead <= AHEAD_MAX) {
			*missed = ahead - 1;
			*dropped = drops - s->drops <= AHEAD_MAX ? drops - s->drops : 0;
		}
	}
	*s = (struct source){ sample->source_class, sample->source_index, sample->sequence, drops,
			      true };
}
