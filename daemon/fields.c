/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fields.h"

#include <string.h>

#include "base/nearest.h"

/* Called for each line of a mapping that fills the field, most specific mapping first. */
typedef void line_fn(void *ctx, const struct mapping *m, const struct promote *line);

static void each_line(const struct catalog *c, unsigned field, line_fn *fn, void *ctx)
{
	const struct mapping_set *set = c->mappings;

	for (size_t m = 0; m < set->count; m++) {
		for (size_t i = 0; i < set->mappings[m].promote_count; i++) {
			if (set->mappings[m].promotes[i].field == field)
				fn(ctx, &set->mappings[m], &set->mappings[m].promotes[i]);
		}
	}
}

struct showing {
	const struct catalog *catalog;
	struct json *json;
	FILE *out;
	const struct mapping *before; /* whose name stands there already */
};

static void show_line(void *ctx, const struct mapping *m, const struct promote *line)
{
	struct showing *s = ctx;
	char name[ELEMENT_NAME_BYTES];

	json_open_object(s->json, NULL);
	json_str(s->json, "mapping", m->name);
	json_str(s->json, "element",
		 element_name(s->catalog->elements, line->element.pen, line->element.id, name,
			      sizeof(name)));
	json_str(s->json, "as", as_rows[line->as].name);
	if (line->scale != 1)
		json_i64(s->json, "scale", line->scale);
	json_u64(s->json, "line", line->line);
	json_end(s->json);
}

static void show_field(const struct catalog *c, unsigned number, struct json *out)
{
	const struct field *f = &c->fields.fields[number];
	struct showing s = { .catalog = c, .json = out };

	json_open_object(out, NULL);
	json_str(out, "field", f->name);
	json_str(out, "layer", f->layer == LAYER_normalized ? "normalized" : "enriched");
	json_str(out, "type", field_type_text(f->type));
	json_str(out, "unit", f->unit);
	json_str(out, "meaning", f->doc);
	json_open_array(out, "fed_by");
	each_line(c, number, show_line, &s);
	json_end(out);
	json_end(out);
}

static const char *name_at(const void *words, size_t i)
{
	const struct field_set *fields = words;
	const char *name = fields->fields[i].name;

	return name == NULL ? "" : name;
}

enum err fields_json(const struct catalog *c, const char *name, struct json *out, struct why *why)
{
	const struct field_set *fields = &c->fields;
	size_t shown = 0;

	json_open_array(out, "fields");
	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		const char *own = fields->fields[i].name;

		if (own == NULL || (name != NULL && strcmp(own, name) != 0))
			continue;
		show_field(c, i, out);
		shown++;
	}
	json_end(out);
	if (shown > 0)
		return ERR_OK;
	return why_set(why, ERR_ABSENT, "unknown field `%s' (nearest: `%s')", name,
		       nearest_of(name, name_at, fields, FIELD_SLOTS));
}

static void print_line(void *ctx, const struct mapping *m, const struct promote *line)
{
	struct showing *s = ctx;
	char name[ELEMENT_NAME_BYTES];

	if (s->before == m)
		(void)fputs(", ", s->out);
	else
		(void)fprintf(s->out, "%s%s: ", s->before == NULL ? "" : "; ", m->name);
	s->before = m;
	(void)fprintf(s->out, "`%s`",
		      element_name(s->catalog->elements, line->element.pen, line->element.id, name,
				   sizeof(name)));
	if (line->as == AS_TABLE)
		(void)fputs(" by name", s->out);
	else if (line->as != AS_NATURAL)
		(void)fprintf(s->out, " as %s", as_rows[line->as].name);
	if (line->scale != 1)
		(void)fprintf(s->out, " x %lld", (long long)line->scale);
}

void fields_print_sources(const struct catalog *c, unsigned field, FILE *out)
{
	struct showing s = { .catalog = c, .out = out };

	each_line(c, field, print_line, &s);
}
