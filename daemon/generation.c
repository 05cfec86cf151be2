/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/nearest.h"
#include "normalizer/enrich_service.h"
#include "sink/null.h"
#include "sink/schema.h"

void generation_free(struct generation *g)
{
	if (g == NULL)
		return;
	catalog_free(g->catalog);
	enrich_free(g->enrich);
	free(g->schema_text);
	free(g->exporters);
	options_free(g->options);
	free(g);
}

static const char *mapping_at(const void *words, size_t i)
{
	const struct mapping_set *set = words;

	return set->mappings[i].name;
}

static enum err unknown_mapping(const struct generation *g, const struct exporter_options *from,
				struct why *why)
{
	const struct mapping_set *set = g->catalog->mappings;

	(void)why_set(why, ERR_CONF, "unknown mapping `%s' (nearest: `%s')", from->mapping,
		      nearest_of(from->mapping, mapping_at, set, set->count));
	return options_place(g->options, from->line, why);
}

static enum err make_exporters(struct generation *g, struct why *why)
{
	const struct options *o = g->options;

	g->exporters = calloc(o->exporter_count + 1, sizeof(*g->exporters));
	if (g->exporters == NULL)
		return why_set(why, ERR_NOMEM, "no memory for exporters");
	for (; g->exporter_count < o->exporter_count; g->exporter_count++) {
		const struct exporter_options *from = &o->exporters[g->exporter_count];
		struct exporter_entry *to = &g->exporters[g->exporter_count];

		must(addr_parse_prefix(from->address, &to->net, &to->prefix_bits) == ERR_OK);
		to->has_domain = from->domain >= 0;
		to->domain = (uint32_t)from->domain;
		to->has_port = from->port != 0;
		to->port = (uint16_t)from->port;
		to->name = from->name;
		to->site = from->site;
		to->mapping = from->mapping;
		to->sampling_rate = from->sampling_rate;
		to->rate = from->rate;
		to->trusts_reported = from->trust_reported;
		if (from->mapping != NULL && mapping_find(g->catalog->mappings, from->mapping) < 0)
			return unknown_mapping(g, from, why);
		if (from->ndpi != NULL &&
		    ndpi_find(g->catalog->ndpi, from->ndpi, why, &to->ndpi) != ERR_OK)
			return options_place(o, from->line, why);
	}
	return ERR_OK;
}

/* What the enricher of that name is made from; NULL: nothing. */
static const void *enricher_conf(const struct normalizer_options *o,
				 const struct enrich_service_conf *service, const char *name)
{
	const struct {
		const char *name;
		const void *conf;
	} groups[] = { { "network", &o->network },
		       { "service", service },
		       { "community_id", &o->community_id },
		       { "derived", &o->derived },
		       { "ndpi", &o->ndpi } };

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (strcmp(groups[i].name, name) == 0)
			return groups[i].conf;
	}
	return NULL;
}

/* The release that holds for exporters that name none, when anybody asks for it. */
static enum err check_release(const struct generation *g, struct why *why)
{
	const struct normalizer_options *o = &g->options->normalizer;
	const struct ndpi *tables;

	for (size_t i = 0; i < o->enrich_count; i++) {
		if (strcmp(o->enrich[i], "ndpi") == 0 &&
		    ndpi_find(g->catalog->ndpi, o->ndpi.release, why, &tables) != ERR_OK)
			return options_place(g->options, o->ndpi.line, why);
	}
	return ERR_OK;
}

static enum err make_enrichers(struct generation *g, struct why *why)
{
	const void *confs[ENRICHERS_MAX] = { NULL };
	struct options *o = g->options;
	const struct enrich_service_conf service = { o->normalizer.tables };

	TRY(check_release(g, why));
	o->normalizer.ndpi.releases = g->catalog->ndpi;
	for (size_t i = 0; enrichers[i].name != NULL; i++)
		confs[i] = enricher_conf(&o->normalizer, &service, enrichers[i].name);
	return enrich_load(o->normalizer.enrich, o->normalizer.enrich_count, confs, why,
			   &g->enrich);
}

/* Names that records carry as numbers. */
static enum err add_names(struct generation *g, struct log_hub *hub, struct why *why)
{
	const struct mapping_set *set = g->catalog->mappings;
	uint32_t number;

	for (size_t i = 0; i < set->event_type_count; i++) {
		if (log_name_add(hub, LOG_NAME_EVENT_TYPE, set->event_types[i].octets,
				 set->event_types[i].bytes, &number) != ERR_OK)
			return why_set(why, ERR_LIMIT, "no room for more event types");
		g->event_types[i] = (uint16_t)number;
	}
	if (log_name_add(hub, LOG_NAME_SCHEMA, g->schema_text, strlen(g->schema_text),
			 &g->schema) != ERR_OK)
		return why_set(why, ERR_LIMIT, "no room for another schema");
	return ERR_OK;
}

static bool wants_encoded(const struct options *o)
{
	for (size_t i = 0; i < o->sink_count; i++) {
		if (strcmp(o->sinks[i].type, "null") != 0 || null_encodes(o->sinks[i].conf))
			return true;
	}
	return o->sink_count == 0;
}

static enum err load(struct generation *g, struct log_hub *hub, struct why *why)
{
	const struct options *o = g->options;
	struct catalog_conf conf = { o->normalizer.elements, o->normalizer.mappings,
				     o->normalizer.tables, (enum raw_mode)o->normalizer.raw };

	TRY(catalog_load(&conf, g->number, why, &g->catalog));
	TRY(make_exporters(g, why));
	TRY(make_enrichers(g, why));
	avro_encoder_init(&g->encoder, &g->catalog->fields);
	if (schema_text(&g->catalog->fields, &g->schema_text) != ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory for the schema");
	TRY(schema_check(g->schema_text, why));
	g->policy.is_closed = o->collector.unknown == UNKNOWN_REFUSE;
	g->policy.unknown_rate = o->collector.unknown_rate;
	/* Without entries there is nobody to keep room for. */
	g->policy.unknown_sessions_max =
		o->exporter_count == 0 ? 0 : o->collector.unknown_domains_max;
	g->joins_max = o->normalizer.joins_max;
	g->joins_all_max = o->normalizer.joins_all_max;
	g->encodes = wants_encoded(o);
	return hub == NULL ? ERR_OK : add_names(g, hub, why);
}

enum err generation_load(struct options *options, uint64_t number, struct log_hub *hub,
			 struct why *why, struct generation **out)
{
	struct generation *g = calloc(1, sizeof(*g));
	enum err e;

	if (g == NULL) {
		options_free(options);
		return why_set(why, ERR_NOMEM, "no memory for the configuration");
	}
	g->number = number;
	g->options = options;
	e = load(g, hub, why);
	if (e != ERR_OK) {
		generation_free(g);
		return e;
	}
	*out = g;
	return ERR_OK;
}
