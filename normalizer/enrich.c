/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich.h"

#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "normalizer/enrich_community_id.h"
#include "normalizer/enrich_derived.h"
#include "normalizer/enrich_ndpi.h"
#include "normalizer/enrich_network.h"
#include "normalizer/enrich_service.h"
#include "normalizer/enrich_time.h"
#include "normalizer/enrich_totals.h"

const struct enricher enrichers[] = {
	{ "network",
	  "Private, scope and direction of the addresses; exporter's name and site; interfaces' aliases.",
	  enrich_network_options, sizeof(struct enrich_network_conf), enrich_network_load,
	  enrich_network_run, enrich_network_free, enrich_network_feeds },
	{ "service", "Which side is the server, and the name of its service.", NULL,
	  sizeof(struct enrich_service_conf), enrich_service_load, enrich_service_run,
	  enrich_service_free, enrich_service_feeds },
	{ "community_id", "Community ID, version 1: a name for both directions of a flow.",
	  enrich_community_id_options, sizeof(struct enrich_community_id_conf),
	  enrich_community_id_load, enrich_community_id_run, enrich_community_id_free,
	  enrich_community_id_feeds },
	{ "ndpi", "Names of nDPI's applications; names, scores and severity of its flow risks.",
	  enrich_ndpi_options, sizeof(struct enrich_ndpi_conf), enrich_ndpi_load, enrich_ndpi_run,
	  enrich_ndpi_free, enrich_ndpi_feeds },
	{ "derived",
	  "Duration, counters corrected for sampling, TCP flags and state, ICMP by name, latencies, clock "
	  "skew, a key to find duplicates.",
	  enrich_derived_options, sizeof(struct enrich_derived_conf), enrich_derived_load,
	  enrich_derived_run, enrich_derived_free, enrich_derived_feeds },
	{ "totals", "Sums, rates and ratios of the counters; address family.", NULL, 0,
	  enrich_totals_load, enrich_totals_run, enrich_totals_free, enrich_totals_feeds },
	{ "time", "Calendar parts of event_time, UTC.", NULL, 0, enrich_time_load, enrich_time_run,
	  enrich_time_free, enrich_time_feeds },
	{ 0 },
};

struct enrich_set {
	const struct enricher *rows[ENRICHERS_MAX];
	void *selves[ENRICHERS_MAX];
	size_t count;
};

void enrich_free(struct enrich_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->count; i++)
		set->rows[i]->free(set->selves[i]);
	free(set);
}

static const char *row_name(const void *rows, size_t i)
{
	const struct enricher *row = rows;

	return row[i].name;
}

enum err enrich_check(const char *name, struct why *why)
{
	size_t row = 0;

	while (enrichers[row].name != NULL && strcmp(enrichers[row].name, name) != 0)
		row++;
	if (enrichers[row].name != NULL)
		return ERR_OK;
	return why_set(why, ERR_CONF, "unknown enricher `%s' (nearest: `%s')", name,
		       nearest_of(name, row_name, enrichers, row));
}

static enum err check_names(char *const *names, size_t count, struct why *why)
{
	for (size_t i = 0; i < count; i++)
		TRY(enrich_check(names[i], why));
	return ERR_OK;
}

static bool is_named(const char *name, char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

enum err enrich_load(char *const *names, size_t name_count, const void *const *confs,
		     struct why *why, struct enrich_set **out)
{
	struct enrich_set *set;

	TRY(check_names(names, name_count, why));
	set = calloc(1, sizeof(*set));
	if (set == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; enrichers[i].name != NULL; i++) {
		enum err e;

		if (!is_named(enrichers[i].name, names, name_count))
			continue;
		e = enrichers[i].load(confs == NULL ? NULL : confs[i], why,
				      &set->selves[set->count]);
		if (e != ERR_OK) {
			why_prefix(why, "enricher %s", enrichers[i].name);
			enrich_free(set);
			return e;
		}
		set->rows[set->count++] = &enrichers[i];
	}
	*out = set;
	return ERR_OK;
}

void enrich_run(const struct enrich_set *set, const struct enrich_context *context,
		struct flow *flows, size_t count)
{
	for (size_t i = 0; i < set->count; i++)
		set->rows[i]->run(set->selves[i], context, flows, count);
}
