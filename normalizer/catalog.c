/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/catalog.h"

#include <stdlib.h>

void catalog_free(struct catalog *c)
{
	if (c == NULL)
		return;
	ndpi_free(c->ndpi);
	mapping_set_free(c->mappings);
	element_registry_free(c->elements);
	free(c);
}

enum err catalog_load(const struct catalog_conf *conf, uint64_t generation, struct why *why,
		      struct catalog **out)
{
	struct catalog *c = calloc(1, sizeof(*c));
	struct mapping_source src;
	enum err e;

	if (c == NULL)
		return why_set(why, ERR_NOMEM, "no memory for mappings");
	c->generation = generation;
	c->raw = conf->raw;
	field_set_init(&c->fields);
	e = element_registry_load(conf->elements_dir, why, &c->elements);
	if (e == ERR_OK) {
		src.mappings_dir = conf->mappings_dir;
		src.tables_dir = conf->tables_dir;
		src.elements = c->elements;
		src.fields = &c->fields;
		e = mapping_set_load(&src, why, &c->mappings);
	}
	if (e == ERR_OK)
		e = ndpi_load(conf->tables_dir, why, &c->ndpi);
	if (e != ERR_OK) {
		catalog_free(c);
		return e;
	}
	*out = c;
	return ERR_OK;
}

/* What the exporter's entry forces, and nothing of templates yet. */
uint64_t catalog_profile(const struct catalog *c, const struct session *s)
{
	int forced = -1;

	if (s->entry != NULL && s->entry->mapping != NULL)
		forced = mapping_find(c->mappings, s->entry->mapping);
	return forced < 0 ? 0 : UINT64_C(1) << forced;
}

uint64_t catalog_profile_add(const struct catalog *c, const struct session *s, const struct tmpl *t,
			     uint64_t profile)
{
	for (size_t i = 0; i < c->mappings->count; i++) {
		if (mapping_holds(&c->mappings->mappings[i], s, t))
			profile |= UINT64_C(1) << i;
	}
	return profile;
}
