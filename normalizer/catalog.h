/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.h - everything that one generation of the normalizer reads from files: elements, fields,
 * mappings, tables, and the options that plans depend on.
 *
 * Built whole, off to the side; a wrong file leaves the running one alone.
 *
 * Owner: the daemon's generation.  Lifetime: generation; read-only.
 */
#ifndef NORMALIZER_CATALOG_H
#define NORMALIZER_CATALOG_H

#include "normalizer/element.h"
#include "normalizer/field.h"
#include "normalizer/mapping.h"
#include "normalizer/ndpi.h"

enum raw_mode { RAW_MODE_UNPROMOTED, RAW_MODE_FULL, RAW_MODE_WIRE, RAW_MODE_NONE };

struct catalog_conf {
	const char *elements_dir;
	const char *mappings_dir;
	const char *tables_dir;
	enum raw_mode raw;
};

struct catalog {
	uint64_t generation;
	enum raw_mode raw;
	struct element_registry *elements;
	struct field_set fields;
	struct mapping_set *mappings;
	struct ndpi_releases *ndpi;
};

enum err catalog_load(const struct catalog_conf *conf, uint64_t generation, struct why *why,
		      struct catalog **out);
void catalog_free(struct catalog *c);

/* Bits of the mappings that hold for the session: those that hold for `t` are added to `profile`,
 * which starts at catalog_profile(). */
uint64_t catalog_profile(const struct catalog *c, const struct session *s);
uint64_t catalog_profile_add(const struct catalog *c, const struct session *s, const struct tmpl *t,
			     uint64_t profile);

#endif
