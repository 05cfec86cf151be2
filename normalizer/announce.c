/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/announce_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "base/utf8.h"

#define ELEMENT_ID 303	 /* informationElementId */
#define ELEMENT_TYPE 339 /* informationElementDataType */
#define ELEMENT_NAME 341 /* informationElementName */
#define ENTERPRISE 346	 /* privateEnterpriseNumber */

#define TYPE_LISTS ELEMENT_TYPE_COUNT /* basicList and the two others (RFC 6313, 10.1) */
#define TYPES (TYPE_LISTS + 3)
#define PEN_OURS 0xFFFFFF00u /* and above: no enterprise */
#define ROOM_FIRST 16

/* ---- what a record says ---- */

static int find_field(const struct tmpl *t, uint16_t id)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (t->fields[i].pen == PEN_IANA && t->fields[i].id == id)
			return i;
	}
	return -1;
}

bool announce_is_of(const struct tmpl *t)
{
	return t->version == VERSION_IPFIX && find_field(t, ENTERPRISE) >= 0 &&
	       find_field(t, ELEMENT_ID) >= 0 && find_field(t, ELEMENT_TYPE) >= 0;
}

/* More than `max` when it is no such number. */
static uint64_t number_of(const struct tmpl *t, const struct value *values, uint16_t id,
			  uint64_t max)
{
	struct value v = values[find_field(t, id)];
	uint64_t n = v.bytes == 0 || v.bytes > 8 ? UINT64_MAX : be_uint(v.octets, v.bytes);

	return n <= max ? n : max + 1;
}

/* JSON and people take names as they are. */
bool announce_is_name(const uint8_t *octets, uint32_t bytes)
{
	static const char marks[] = "._-";

	for (uint32_t i = 0; i < bytes; i++) {
		uint8_t c = octets[i];
		bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

		if (!is_letter && (c < '0' || c > '9') &&
		    memchr(marks, c, sizeof(marks) - 1) == NULL)
			return false;
	}
	return bytes <= ANNOUNCE_NAME_MAX;
}

/* Its element, type and name; the name is the record's, and may have no octets. */
static enum announce_result read_record(const struct tmpl *t, const struct value *values,
					struct announced *out, struct text *name)
{
	uint64_t pen = number_of(t, values, ENTERPRISE, UINT32_MAX);
	uint64_t id = number_of(t, values, ELEMENT_ID, UINT16_MAX);
	uint64_t type = number_of(t, values, ELEMENT_TYPE, TYPES - 1);
	int at = find_field(t, ELEMENT_NAME);
	bool is_ascii;

	/* Some say the id as it stands in templates. */
	id &= id <= UINT16_MAX ? ~(uint64_t)V9_ENTERPRISE_BIT : UINT64_MAX;
	if (pen > UINT32_MAX || id == 0 || id > UINT16_MAX || type >= TYPES)
		return ANNOUNCE_TYPE;
	out->pen = (uint32_t)pen;
	out->id = (uint16_t)id;
	out->type = (uint8_t)(type < TYPE_LISTS ? type : ELEMENT_OCTETS);
	out->list = (uint8_t)(type < TYPE_LISTS ? ELEMENT_NO_LIST
						: type - TYPE_LISTS + ELEMENT_BASIC_LIST);
	*name = (struct text){ "", 0 };
	if (at < 0)
		return ANNOUNCE_NEW;
	name->bytes = utf8_trim(values[at].octets, values[at].bytes, &is_ascii);
	name->octets = (const char *)values[at].octets;
	return announce_is_name(values[at].octets, name->bytes) ? ANNOUNCE_NEW : ANNOUNCE_NAME;
}

/* ---- the entries ---- */

/* Where it is, or belongs. */
static size_t place_of(const struct announce *a, uint32_t pen, uint16_t id)
{
	size_t low = 0;
	size_t high = a->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct announced *e = &a->entries[mid];

		if (e->pen < pen || (e->pen == pen && e->id < id))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct announced *announce_find(const struct announce *a, uint32_t pen, uint16_t id)
{
	size_t at = a == NULL ? 0 : place_of(a, pen, id);

	if (a == NULL || at == a->count || a->entries[at].pen != pen || a->entries[at].id != id)
		return NULL;
	return &a->entries[at];
}

size_t announce_count(const struct announce *a)
{
	return a == NULL ? 0 : a->count;
}

void announce_free(struct announce *a)
{
	if (a == NULL)
		return;
	if (a->home.order != NULL)
		chain_cut(a->home.order, &a->link);
	for (size_t i = 0; i < a->count; i++)
		free(a->entries[i].name);
	free(a->entries);
	free(a);
}

static bool is_taken(const struct announce *a, const char *name)
{
	for (size_t i = 0; name[0] != '\0' && i < a->count; i++) {
		if (strcmp(a->entries[i].name, name) == 0)
			return true;
	}
	return false;
}

static bool grow(struct announce *a)
{
	size_t room = a->room == 0 ? ROOM_FIRST : 2 * a->room;
	void *entries;

	if (a->count < a->room)
		return true;
	entries = realloc(a->entries, room * sizeof(*a->entries));
	if (entries == NULL)
		return false;
	a->entries = entries;
	a->room = room;
	return true;
}

enum announce_result announce_add(struct announce **to, const struct announce_home *home,
				  const struct announced *e, const struct text *name)
{
	struct announce *a = *to == NULL ? calloc(1, sizeof(*a)) : *to;
	struct announced own = *e;
	size_t at;

	if (a != NULL && *to == NULL && home != NULL)
		a->home = *home;
	*to = a;
	own.name = a != NULL && grow(a) ? strndup(name->octets, name->bytes) : NULL;
	if (own.name == NULL)
		return ANNOUNCE_NO_MEMORY;
	own.is_taken = is_taken(a, own.name);
	at = place_of(a, e->pen, e->id);
	memmove(a->entries + at + 1, a->entries + at, (a->count - at) * sizeof(own));
	a->entries[at] = own;
	a->count++;
	if (a->home.order != NULL)
		chain_renew(a->home.order, &a->link);
	return ANNOUNCE_NEW;
}

static bool is_said_so(const struct announced *known, const struct announced *e,
		       const struct text *name)
{
	return known->type == e->type && known->list == e->list &&
	       strlen(known->name) == name->bytes &&
	       memcmp(known->name, name->octets, name->bytes) == 0;
}

/* IANA's and their reverses have no other definition than IANA's. */
bool announce_is_theirs(uint32_t pen, uint16_t id)
{
	return pen != PEN_IANA && pen != PEN_REVERSE && pen < PEN_OURS && id != 0 &&
	       id < V9_ENTERPRISE_BIT;
}

enum announce_result announce_learn(struct announce **a, const struct announce_home *home,
				    const struct element_registry *elements, const struct tmpl *t,
				    const struct value *values, size_t limit)
{
	struct announced e = { 0 };
	struct text name;
	enum announce_result read = read_record(t, values, &e, &name);
	const struct announced *before;
	const struct element *known;

	if (read == ANNOUNCE_TYPE)
		return read;
	known = element_find(elements, e.pen, e.id);
	if (known != NULL)
		return element_raw_form(known->type) ==
					       element_raw_form((enum element_type)e.type) &&
				       known->list == e.list
			       ? ANNOUNCE_SAME
			       : ANNOUNCE_KNOWN;
	if (!announce_is_theirs(e.pen, e.id))
		return ANNOUNCE_KNOWN;
	if (read != ANNOUNCE_NEW)
		return read;
	before = announce_find(*a, e.pen, e.id);
	if (before != NULL)
		return is_said_so(before, &e, &name) ? ANNOUNCE_SAME : ANNOUNCE_CHANGED;
	return announce_count(*a) < limit ? announce_add(a, home, &e, &name) : ANNOUNCE_OVER;
}

/* ---- names ---- */

/* No element of a registry, nor one that is told by its number, has that name. */
static bool is_free(const struct element_registry *elements, const char *name)
{
	uint32_t pen;
	uint16_t id;

	/* All that begins so is v9's; to look it up takes a walk through the registry. */
	return strncmp(name, "v9.", 3) != 0 &&
	       element_find_name(elements, name, &pen, &id) != ERR_OK;
}

const char *announce_name(const struct announce *a, const struct element_registry *elements,
			  uint32_t pen, uint16_t id, char *buf, size_t size)
{
	const struct announced *e = announce_find(a, pen, id);

	if (e == NULL || e->is_taken || e->name[0] == '\0' ||
	    element_find(elements, pen, id) != NULL || !is_free(elements, e->name))
		return element_name(elements, pen, id, buf, size);
	(void)snprintf(buf, size, "%s", e->name);
	return buf;
}
