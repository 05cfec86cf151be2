/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/field.h"

#include <string.h>

#include "base/must.h"

#define NULLABLE false
#define REQUIRED true

static const struct field builtin[FIELD_SLOTS] = {
#define FIELD(layer, name, type, null, unit, doc, ...)                                             \
	[F_##name] = { #name, LAYER_##layer, FIELD_##type, null, unit, doc, #__VA_ARGS__ },
#include "normalizer/fields.def"
#undef FIELD
};

static const char *const type_texts[FIELD_TYPE_COUNT] = {
	[FIELD_ADDR] = "string",	[FIELD_MAC] = "string",
	[FIELD_STR] = "string",		[FIELD_I32] = "int",
	[FIELD_I64] = "long",		[FIELD_F64] = "double",
	[FIELD_BOOL] = "boolean",	[FIELD_MS] = "long",
	[FIELD_DATE] = "int",		[FIELD_LONGS] = "array<long>",
	[FIELD_STRS] = "array<string>",
};

void field_set_init(struct field_set *set)
{
	memcpy(set->fields, builtin, sizeof(set->fields));
	set->extra_count = 0;
}

int field_find(const struct field_set *set, const char *name)
{
	for (int i = 0; i < FIELD_SLOTS; i++) {
		const char *have = set->fields[i].name;

		if (have != NULL && strcmp(have, name) == 0)
			return i;
	}
	return -1;
}

size_t field_layer_end(const struct field_set *set, enum field_layer layer, size_t *first)
{
	must(set->extra_count <= FIELD_EXTRA_MAX);
	if (layer == LAYER_enriched) {
		*first = FIELD_ENRICHED_FIRST;
		return FIELD_ENRICHED_END;
	}
	must(layer == LAYER_normalized);
	*first = 0;
	return FIELD_EXTRA_FIRST + set->extra_count;
}

const char *field_type_text(enum field_type type)
{
	must((unsigned)type < FIELD_TYPE_COUNT);
	return type_texts[type];
}
