/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.h - the canonical record, from fields.def: one table, everything else is derived from it.
 *
 * A field's number is also its bit in struct flow.  Normalized fields start at 0, those that mapping
 * files add follow the built-in ones up to FIELD_EXTRA_MAX, enriched fields start at a word of their
 * own, so that a layer is a run of whole words in schema order.
 *
 * Owner: nobody, constant.  struct field_set, the built-in and the added fields of one generation, is
 * owned by the generation.
 */
#ifndef NORMALIZER_FIELD_H
#define NORMALIZER_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
	FIELD_ADDR,  /* string; slot: 4 or 16 octets of an address */
	FIELD_MAC,   /* string; slot: 6 octets */
	FIELD_STR,   /* string; slot: valid UTF-8 */
	FIELD_I32,   /* int */
	FIELD_I64,   /* long */
	FIELD_F64,   /* double */
	FIELD_BOOL,  /* boolean */
	FIELD_MS,    /* long, timestamp-millis */
	FIELD_DATE,  /* int, date */
	FIELD_LONGS, /* array<long>; slot: int64_t values */
	FIELD_STRS,  /* array<string>; slot: struct text values */
	FIELD_TYPE_COUNT
};

enum field_layer { LAYER_normalized, LAYER_enriched, LAYER_COUNT };

enum field_normalized {
#define FIELD_IN_normalized(name) F_##name,
#define FIELD_IN_enriched(name)
#define FIELD(layer, name, type, null, unit, doc, ...) FIELD_IN_##layer(name)
#include "normalizer/fields.def"
#undef FIELD
#undef FIELD_IN_normalized
#undef FIELD_IN_enriched
	FIELD_NORMALIZED_COUNT
};

#define FIELD_NORMALIZED_WORDS 4
#define FIELD_EXTRA_FIRST FIELD_NORMALIZED_COUNT
#define FIELD_EXTRA_MAX (FIELD_NORMALIZED_WORDS * 64 - FIELD_NORMALIZED_COUNT)
#define FIELD_ENRICHED_FIRST (FIELD_NORMALIZED_WORDS * 64)

enum field_enriched {
	FIELD_BEFORE_ENRICHED = FIELD_ENRICHED_FIRST - 1,
#define FIELD_IN_normalized(name)
#define FIELD_IN_enriched(name) F_##name,
#define FIELD(layer, name, type, null, unit, doc, ...) FIELD_IN_##layer(name)
#include "normalizer/fields.def"
#undef FIELD
#undef FIELD_IN_normalized
#undef FIELD_IN_enriched
	FIELD_ENRICHED_END
};

#define FIELD_ENRICHED_COUNT (FIELD_ENRICHED_END - FIELD_ENRICHED_FIRST)
#define FIELD_ENRICHED_WORDS 2
#define FIELD_WORDS (FIELD_NORMALIZED_WORDS + FIELD_ENRICHED_WORDS)
#define FIELD_SLOTS (FIELD_WORDS * 64)

_Static_assert(FIELD_NORMALIZED_COUNT <= FIELD_NORMALIZED_WORDS * 64, "layer normalized is full");
_Static_assert(FIELD_ENRICHED_COUNT <= FIELD_ENRICHED_WORDS * 64, "layer enriched is full");

struct field {
	const char *name;
	enum field_layer layer;
	enum field_type type;
	bool is_required;
	const char *unit; /* "" when there is none */
	const char *doc;
	const char *example; /* JSON; NULL for added fields */
};

/* What fills a field besides mappings: a row of a table beside the code that does it. */
struct feed {
	uint16_t field;
	const char *from; /* "netflow5 header", "configuration" ...; NULL: the table's owner */
	const char *what;
};

/* The fields of one generation, by number; rows without a name are not in use. */
struct field_set {
	struct field fields[FIELD_SLOTS];
	size_t extra_count;
};

/* All built-in fields, no added ones. */
void field_set_init(struct field_set *set);
/* Number of the field of that name, or -1. */
int field_find(const struct field_set *set, const char *name);
/* One past the last number of the layer, added fields included; *first is its first. */
size_t field_layer_end(const struct field_set *set, enum field_layer layer, size_t *first);
const char *field_type_text(enum field_type type); /* "string", "long" ... the Avro type */

#endif
