/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.h - everything that a reload replaces at once: mappings, elements, enrichers, exporters,
 * the encoder and the schema.
 *
 * Built whole, off to the side (generation_load); when anything is wrong the running one stays.
 *
 * Owner: daemon/reload.  Lifetime: until the last worker has left it.  Read-only once published.
 */
#ifndef DAEMON_GENERATION_H
#define DAEMON_GENERATION_H

#include "base/why.h"
#include "collector/session.h"
#include "collector/collector.h"
#include "daemon/options.h"
#include "normalizer/catalog.h"
#include "normalizer/enrich.h"
#include "sink/avro.h"
#include "sink/log.h"

struct generation {
	uint64_t number;
	struct options *options; /* owned */
	struct catalog *catalog;
	struct enrich_set *enrich;
	struct avro_encoder encoder;
	char *schema_text;
	uint32_t schema; /* its number in the log's names */
	struct exporter_entry *exporters;
	size_t exporter_count;
	struct collector_policy policy; /* for all others */
	/* mapping_set.event_types to numbers in the log's names. */
	uint16_t event_types[EVENT_TYPES_MAX];
	uint32_t joins_max;	/* of one observation domain */
	uint32_t joins_all_max; /* of all that a worker has */
	bool encodes;		/* false: no sink wants encoded records */
};

/* Takes the options over, also when it fails.  `hub` may be NULL: only to check. */
enum err generation_load(struct options *options, uint64_t number, struct log_hub *hub,
			 struct why *why, struct generation **out);
void generation_free(struct generation *g);

#endif
