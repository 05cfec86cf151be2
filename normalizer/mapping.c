/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/mapping.h"

#include <stdlib.h>
#include <string.h>

#include "normalizer/mapping_file.h"

static void free_mapping(struct mapping *m)
{
	for (size_t i = 0; i < m->static_count; i++)
		free((char *)m->statics[i].text.octets);
	free(m->statics);
	free(m->promotes);
	free(m->insides);
	free(m->by_element);
	free(m->when.exporter);
	free(m->name);
	free(m->file);
}

void mapping_set_free(struct mapping_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->count; i++)
		free_mapping(&set->mappings[i]);
	for (size_t i = 0; i < set->table_count; i++) {
		free(set->tables[i].name);
		table_free(set->tables[i].table);
	}
	for (size_t i = 1; i < set->event_type_count; i++)
		free((char *)set->event_types[i].octets);
	free(set);
}

static int compare_ids(struct element_id a, struct element_id b)
{
	if (a.pen != b.pen)
		return a.pen < b.pen ? -1 : 1;
	return (int)a.id - (int)b.id;
}

static int compare_lines(const void *a, const void *b, void *promotes)
{
	const struct promote *lines = promotes;
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;
	int by_id = compare_ids(lines[x].element, lines[y].element);

	return by_id != 0 ? by_id : (x < y ? -1 : x > y);
}

static enum err index_lines(struct mapping *m)
{
	m->by_element = calloc(m->promote_count + 1, sizeof(*m->by_element));
	if (m->by_element == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < m->promote_count; i++)
		m->by_element[i] = i;
	qsort_r(m->by_element, m->promote_count, sizeof(*m->by_element), compare_lines,
		m->promotes);
	return ERR_OK;
}

size_t mapping_lines(const struct mapping *m, struct element_id element, size_t *first)
{
	size_t low = 0;
	size_t high = m->promote_count;
	size_t end;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare_ids(m->promotes[m->by_element[mid]].element, element) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*first = low;
	for (end = low; end < m->promote_count; end++) {
		if (compare_ids(m->promotes[m->by_element[end]].element, element) != 0)
			break;
	}
	return end - low;
}

/* Most specific first, then by file name. */
static int compare_mappings(const void *a, const void *b)
{
	const struct mapping *x = a;
	const struct mapping *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->file, y->file);
}

static bool same_when(const struct mapping *a, const struct mapping *b)
{
	const struct mapping_when *x = &a->when;
	const struct mapping_when *y = &b->when;
	bool same_exporter = (x->exporter == NULL) == (y->exporter == NULL) &&
			     (x->exporter == NULL || strcmp(x->exporter, y->exporter) == 0);

	return same_exporter && x->template_id == y->template_id && x->has_pen == y->has_pen &&
	       x->pen == y->pen && x->version == y->version &&
	       x->element_count == y->element_count &&
	       memcmp(x->elements, y->elements, x->element_count * sizeof(x->elements[0])) == 0;
}

/* Two mappings for the very same exporters that claim one element: nobody could say which wins. */
static enum err check_tie(const struct mapping *a, const struct mapping *b, struct why *why)
{
	if (a->rank != b->rank || !same_when(a, b))
		return ERR_OK;
	for (size_t i = 0; i < b->promote_count; i++) {
		size_t first;

		if (!b->promotes[i].also && mapping_lines(a, b->promotes[i].element, &first) > 0)
			return why_set(
				why, ERR_CONF,
				"%s:%u: the element is claimed by %s too, and `when` is the same",
				b->file, b->promotes[i].line, a->file);
	}
	return ERR_OK;
}

static enum err settle(struct mapping_set *set, struct why *why)
{
	qsort(set->mappings, set->count, sizeof(set->mappings[0]), compare_mappings);
	for (size_t i = 0; i < set->count; i++) {
		if (index_lines(&set->mappings[i]) != ERR_OK)
			return why_set(why, ERR_NOMEM, "no memory for mappings");
	}
	for (size_t i = 0; i < set->count; i++) {
		for (size_t k = i + 1; k < set->count; k++) {
			if (strcmp(set->mappings[i].name, set->mappings[k].name) == 0)
				return why_set(why, ERR_CONF, "%s:%u: mapping `%s' is in %s too",
					       set->mappings[k].file, set->mappings[k].line,
					       set->mappings[k].name, set->mappings[i].file);
			TRY(check_tie(&set->mappings[i], &set->mappings[k], why));
		}
	}
	return ERR_OK;
}

enum err mapping_set_load(const struct mapping_source *src, struct why *why,
			  struct mapping_set **out)
{
	struct mapping_set *set = calloc(1, sizeof(*set));
	enum err e;

	if (set == NULL)
		return why_set(why, ERR_NOMEM, "no memory for mappings");
	set->event_types[0].octets = "network_connection";
	set->event_types[0].bytes = 18;
	set->event_type_count = 1;
	e = mapping_files_read(src, set, why);
	if (e == ERR_OK)
		e = settle(set, why);
	if (e != ERR_OK) {
		mapping_set_free(set);
		return e;
	}
	*out = set;
	return ERR_OK;
}

static bool tmpl_has(const struct tmpl *t, struct element_id id)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (t->fields[i].pen == id.pen && t->fields[i].id == id.id)
			return true;
	}
	return false;
}

static bool tmpl_has_pen(const struct tmpl *t, uint32_t pen)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (t->fields[i].pen == pen)
			return true;
	}
	return false;
}

bool mapping_holds(const struct mapping *m, const struct session *s, const struct tmpl *t)
{
	const struct mapping_when *w = &m->when;

	if (w->exporter != NULL && (!s->is_named || strlen(w->exporter) != s->identity_bytes ||
				    memcmp(w->exporter, s->identity, s->identity_bytes) != 0))
		return false;
	if (w->version != 0 && w->version != t->version)
		return false;
	if (w->template_id >= 0 && w->template_id != t->id)
		return false;
	if (w->has_pen && !tmpl_has_pen(t, w->pen))
		return false;
	for (size_t i = 0; i < w->element_count; i++) {
		if (!tmpl_has(t, w->elements[i]))
			return false;
	}
	return true;
}

int mapping_find(const struct mapping_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->mappings[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}
