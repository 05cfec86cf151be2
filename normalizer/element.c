/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/element.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/nearest.h"
#include "collector/tmpl.h"

#define ID_AS_PATH 27 /* of PEN_SFLOW, in sflow.xml */
#define ID_COMMUNITIES 28
#define REVERSE "reverse"
#define REVERSE_BYTES (sizeof(REVERSE) - 1)

struct element_registry {
	struct element *elements; /* by enterprise and id */
	size_t count;
	size_t room;
	struct element **by_name;
};

/* libfixbuf's built-in elements of vendors have no vendor in their names. */
static const struct {
	uint32_t pen;
	const char *prefix;
} vendors[] = {
	{ 9, "cisco." },
	{ 6871, "cert." },
	{ PEN_NTOP, "ntop." },
};

static const enum raw_form raw_forms[ELEMENT_TYPE_COUNT] = {
	[ELEMENT_OCTETS] = RAW_HEX,
	[ELEMENT_UNSIGNED8] = RAW_UNSIGNED,
	[ELEMENT_UNSIGNED16] = RAW_UNSIGNED,
	[ELEMENT_UNSIGNED32] = RAW_UNSIGNED,
	[ELEMENT_UNSIGNED64] = RAW_UNSIGNED,
	[ELEMENT_SIGNED8] = RAW_SIGNED,
	[ELEMENT_SIGNED16] = RAW_SIGNED,
	[ELEMENT_SIGNED32] = RAW_SIGNED,
	[ELEMENT_SIGNED64] = RAW_SIGNED,
	[ELEMENT_FLOAT32] = RAW_FLOAT,
	[ELEMENT_FLOAT64] = RAW_FLOAT,
	[ELEMENT_BOOLEAN] = RAW_BOOL,
	[ELEMENT_MAC] = RAW_MAC,
	[ELEMENT_STRING] = RAW_STRING,
	[ELEMENT_SECONDS] = RAW_UNSIGNED,
	[ELEMENT_MILLISECONDS] = RAW_UNSIGNED,
	[ELEMENT_MICROSECONDS] = RAW_HEX,
	[ELEMENT_NANOSECONDS] = RAW_HEX,
	[ELEMENT_IPV4] = RAW_IPV4,
	[ELEMENT_IPV6] = RAW_IPV6,
};

enum raw_form element_raw_form(enum element_type type)
{
	return raw_forms[type];
}

static struct element *add(struct element_registry *reg)
{
	if (reg->count == reg->room) {
		size_t room = reg->room == 0 ? 1024 : reg->room * 2;
		void *elements = realloc(reg->elements, room * sizeof(*reg->elements));

		if (elements == NULL)
			return NULL;
		reg->elements = elements;
		reg->room = room;
	}
	return memset(&reg->elements[reg->count++], 0, sizeof(struct element));
}

static const char *vendor_prefix(const struct fixbuf_element *e)
{
	if (strchr(e->name, '.') != NULL)
		return "";
	for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
		if (vendors[i].pen == e->pen)
			return vendors[i].prefix;
	}
	return "";
}

/* Octets of sFlow's gateway record, which raw shows as what they mean. */
static enum element_list list_of(const struct fixbuf_element *from)
{
	if (from->pen == PEN_SFLOW && from->id == ID_AS_PATH)
		return ELEMENT_AS_PATH;
	if (from->pen == PEN_SFLOW && from->id == ID_COMMUNITIES)
		return ELEMENT_COMMUNITIES;
	return from->list;
}

static enum err take(void *ctx, const struct fixbuf_element *from)
{
	struct element_registry *reg = ctx;
	struct element *e = add(reg);
	char name[ELEMENT_NAME_BYTES];

	if (e == NULL)
		return ERR_NOMEM;
	(void)snprintf(name, sizeof(name), "%s%s", vendor_prefix(from), from->name);
	e->pen = from->pen;
	e->id = from->pen == PEN_V9 ? (uint16_t)(from->id | V9_ENTERPRISE_BIT) : from->id;
	e->natural_bytes = from->natural_bytes;
	e->type = from->type;
	e->list = list_of(from);
	e->units = from->units;
	e->semantics = from->semantics;
	e->min = from->min;
	e->max = from->max;
	e->name = strdup(name);
	e->description = strdup(from->description);
	return e->name == NULL || e->description == NULL ? ERR_NOMEM : ERR_OK;
}

static int compare_ids(uint32_t pen_a, uint16_t id_a, uint32_t pen_b, uint16_t id_b)
{
	if (pen_a != pen_b)
		return pen_a < pen_b ? -1 : 1;
	return (int)id_a - (int)id_b;
}

static int compare_elements(const void *a, const void *b)
{
	const struct element *x = a;
	const struct element *y = b;

	return compare_ids(x->pen, x->id, y->pen, y->id);
}

static int compare_names(const void *a, const void *b)
{
	const struct element *const *x = a;
	const struct element *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* RFC 5103, 6.1: every IANA element has its reverse; libfixbuf has it for some. */
static enum err add_reverses(struct element_registry *reg)
{
	size_t known = reg->count;

	for (size_t i = 0; i < known && reg->elements[i].pen == PEN_IANA; i++) {
		struct element from = reg->elements[i];
		struct element key = { .pen = PEN_REVERSE, .id = from.id };
		char name[ELEMENT_NAME_BYTES];
		struct element *e;

		if (bsearch(&key, reg->elements, known, sizeof(key), compare_elements) != NULL)
			continue;
		e = add(reg);
		if (e == NULL)
			return ERR_NOMEM;
		(void)snprintf(name, sizeof(name), REVERSE "%c%s", toupper(from.name[0]),
			       from.name + 1);
		*e = from;
		e->pen = PEN_REVERSE;
		e->name = strdup(name);
		e->description = strdup("");
		if (e->name == NULL || e->description == NULL)
			return ERR_NOMEM;
	}
	qsort(reg->elements, reg->count, sizeof(*reg->elements), compare_elements);
	return ERR_OK;
}

static enum err index_names(struct element_registry *reg)
{
	reg->by_name = calloc(reg->count, sizeof(reg->by_name[0]));
	if (reg->by_name == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < reg->count; i++)
		reg->by_name[i] = &reg->elements[i];
	qsort(reg->by_name, reg->count, sizeof(reg->by_name[0]), compare_names);
	return ERR_OK;
}

enum err element_registry_load(const char *dir, struct why *why, struct element_registry **out)
{
	struct element_registry *reg;
	struct fixbuf_model *model;
	enum err e;

	TRY(fixbuf_model_load(dir, why, &model));
	reg = calloc(1, sizeof(*reg));
	e = reg == NULL ? ERR_NOMEM : fixbuf_model_each(model, take, reg);
	fixbuf_model_free(model);
	if (e == ERR_OK) {
		qsort(reg->elements, reg->count, sizeof(*reg->elements), compare_elements);
		e = add_reverses(reg);
	}
	if (e == ERR_OK)
		e = index_names(reg);
	if (e != ERR_OK) {
		element_registry_free(reg);
		return why_set(why, e, "no memory for the elements of %s", dir);
	}
	*out = reg;
	return ERR_OK;
}

void element_registry_free(struct element_registry *reg)
{
	if (reg == NULL)
		return;
	for (size_t i = 0; i < reg->count; i++) {
		free((char *)reg->elements[i].name);
		free((char *)reg->elements[i].description);
	}
	free(reg->elements);
	free(reg->by_name);
	free(reg);
}

size_t element_count(const struct element_registry *reg)
{
	return reg->count;
}

const struct element *element_at(const struct element_registry *reg, size_t i)
{
	must(i < reg->count);
	return &reg->elements[i];
}

const struct element *element_find(const struct element_registry *reg, uint32_t pen, uint16_t id)
{
	struct element key = { .pen = pen, .id = id };

	return bsearch(&key, reg->elements, reg->count, sizeof(key), compare_elements);
}

static const struct element *by_name(const struct element_registry *reg, const char *name)
{
	struct element key = { .name = name };
	const struct element *at = &key;
	struct element *const *found =
		bsearch(&at, reg->by_name, reg->count, sizeof(reg->by_name[0]), compare_names);

	return found == NULL ? NULL : *found;
}

/* Decimal digits to a number of at most `max`; *end behind them. */
static bool decimal(const char *text, uint64_t max, uint64_t *out, const char **end)
{
	uint64_t v = 0;
	const char *p = text;

	for (; isdigit((unsigned char)*p); p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return false;
	}
	*out = v;
	*end = p;
	return p > text;
}

/* The name that the file gives a v9 type stands first in its description. */
static const struct element *by_v9_name(const struct element_registry *reg, const char *name)
{
	size_t bytes = strlen(name);

	for (size_t i = 0; i < reg->count && bytes > 0; i++) {
		const struct element *e = &reg->elements[i];

		if (e->pen == PEN_V9 && strcspn(e->description, ".: ") == bytes &&
		    strncmp(e->description, name, bytes) == 0)
			return e;
	}
	return NULL;
}

static enum err find_v9(const struct element_registry *reg, const char *rest, uint32_t *pen,
			uint16_t *id)
{
	const struct element *e;
	const char *end;
	uint64_t type;

	if (decimal(rest, UINT16_MAX, &type, &end) && *end == '\0') {
		tmpl_v9_identity((uint16_t)type, pen, id);
		return ERR_OK;
	}
	e = by_v9_name(reg, rest);
	if (e == NULL)
		return ERR_ABSENT;
	*pen = e->pen;
	*id = e->id;
	return ERR_OK;
}

enum err element_find_name(const struct element_registry *reg, const char *name, uint32_t *pen,
			   uint16_t *id)
{
	const struct element *e = by_name(reg, name);
	uint64_t number;
	uint64_t vendor;
	const char *end;

	if (e != NULL) {
		*pen = e->pen;
		*id = e->id;
		return ERR_OK;
	}
	if (strncmp(name, "v9.", 3) == 0)
		return find_v9(reg, name + 3, pen, id);
	if (strncmp(name, REVERSE ".", REVERSE_BYTES + 1) == 0) {
		e = by_name(reg, name + REVERSE_BYTES + 1);
		if (e == NULL || e->pen != PEN_IANA)
			return ERR_ABSENT;
		*pen = PEN_REVERSE;
		*id = e->id;
		return ERR_OK;
	}
	if (name[0] == 'e' && decimal(name + 1, UINT32_MAX, &vendor, &end) &&
	    strncmp(end, "id", 2) == 0 && decimal(end + 2, UINT16_MAX, &number, &end) &&
	    *end == '\0') {
		*pen = (uint32_t)vendor;
		*id = (uint16_t)number;
		return ERR_OK;
	}
	return ERR_ABSENT;
}

const char *element_name(const struct element_registry *reg, uint32_t pen, uint16_t id, char *buf,
			 size_t size)
{
	const struct element *e = element_find(reg, pen, id);

	if (e != NULL)
		(void)snprintf(buf, size, "%s", e->name);
	else if (pen == PEN_V9)
		(void)snprintf(buf, size, "v9.%u", id);
	else
		(void)snprintf(buf, size, "e%" PRIu32 "id%u", pen, id);
	return buf;
}

static const char *name_at(const void *words, size_t i)
{
	const struct element_registry *reg = words;

	return reg->by_name[i]->name;
}

const char *element_nearest(const struct element_registry *reg, const char *name)
{
	return nearest_of(name, name_at, reg, reg->count);
}
