/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "collector/frame.h"
#include "collector/session.h"
#include "collector/tmpl.h"
#include "daemon/envelope.h"
#include "normalizer/enrich.h"
#include "normalizer/join.h"
#include "normalizer/plan.h"

#define TEXT_BYTES 256
#define ELEMENTS_MAX 16
#define FIELDS_OF_ELEMENT_MAX 8

static const uint16_t fixed_versions[] = { VERSION_NF1, VERSION_NF5, VERSION_NF7 };
#define FIXED (sizeof(fixed_versions) / sizeof(fixed_versions[0]))

struct fields_view {
	const struct catalog *catalog;
	struct session *fixed[FIXED]; /* one of each format without templates */
	struct plan *plans[FIXED];
};

/* One thing that feeds a field. */
struct source {
	const char *by;		    /* whose: a mapping's name, "netflow5", "enricher totals" ... */
	const char *name;	    /* as it is called there, or NULL */
	const char *text;	    /* what else there is to say of it, or NULL */
	const struct promote *line; /* of a mapping, or NULL */
};

typedef void source_fn(void *ctx, const struct source *s);

void fields_close(struct fields_view *v)
{
	if (v == NULL)
		return;
	for (size_t i = 0; i < FIXED; i++) {
		plan_free(v->plans[i]);
		session_free(v->fixed[i]);
	}
	free(v);
}

static enum err open_fixed(struct fields_view *v, size_t i)
{
	const struct session_key key = { .version = fixed_versions[i] };
	const struct addr peer = { .bytes = 4 };
	struct session *s;
	uint64_t profile;

	TRY(session_new(&key, &peer, &s));
	v->fixed[i] = s;
	profile = catalog_profile_add(v->catalog, s, s->fixed, catalog_profile(v->catalog, s));
	return plan_compile(v->catalog, s->fixed, profile, &v->plans[i]);
}

enum err fields_open(const struct catalog *c, struct fields_view **out)
{
	struct fields_view *v = calloc(1, sizeof(*v));
	enum err e = ERR_OK;

	if (v == NULL)
		return ERR_NOMEM;
	v->catalog = c;
	for (size_t i = 0; i < FIXED && e == ERR_OK; i++)
		e = open_fixed(v, i);
	if (e != ERR_OK) {
		fields_close(v);
		return e;
	}
	*out = v;
	return ERR_OK;
}

/* ---- what feeds a field ---- */

static void each_fixed(const struct fields_view *v, size_t format, unsigned field, source_fn *fn,
		       void *ctx)
{
	const struct tmpl *t = v->fixed[format]->fixed;

	for (uint16_t i = 0; i < t->field_count; i++) {
		const struct source s = { .by = frame_find(t->version)->source,
					  .name = tmpl_fixed_name(t->version, i) };
		uint16_t fields[FIELDS_OF_ELEMENT_MAX];
		bool is_raw;
		size_t count =
			plan_explain(v->plans[format], i, fields, FIELDS_OF_ELEMENT_MAX, &is_raw);

		for (size_t k = 0; k < count; k++) {
			if (fields[k] == field)
				fn(ctx, &s);
		}
	}
}

/* How a mapping's line reads its element. */
static const char *line_text(const struct promote *line, char text[TEXT_BYTES])
{
	char as[64] = "";
	char scale[32] = "";

	if (line->as == AS_TABLE)
		(void)snprintf(as, sizeof(as), "by name");
	else if (line->as != AS_NATURAL)
		(void)snprintf(as, sizeof(as), "as %s", as_rows[line->as].name);
	if (line->scale != 1)
		(void)snprintf(scale, sizeof(scale), "x %lld", (long long)line->scale);
	(void)snprintf(text, TEXT_BYTES, "%s%s%s", as, as[0] != '\0' && scale[0] != '\0' ? " " : "",
		       scale);
	return text[0] == '\0' ? NULL : text;
}

static void say_inside(const struct fields_view *v, const struct mapping *m,
		       const struct inside_line *in, source_fn *fn, void *ctx)
{
	const struct promote *line = &in->promote;
	char list[ELEMENT_NAME_BYTES] = "lists";
	char name[ELEMENT_NAME_BYTES];
	char how[TEXT_BYTES];
	char text[TEXT_BYTES + ELEMENT_NAME_BYTES];
	const struct source s = { .by = m->name,
				  .name = element_name(v->catalog->elements, line->element.pen,
						       line->element.id, name, sizeof(name)),
				  .text = text,
				  .line = line };
	const char *as = line_text(line, how);

	if (in->has_list)
		(void)element_name(v->catalog->elements, in->list.pen, in->list.id, list,
				   sizeof(list));
	(void)snprintf(text, sizeof(text), "in %s%s%s", list, as == NULL ? "" : ", ",
		       as == NULL ? "" : as);
	fn(ctx, &s);
}

static void say_line(const struct fields_view *v, const struct mapping *m,
		     const struct promote *line, source_fn *fn, void *ctx)
{
	char name[ELEMENT_NAME_BYTES];
	char text[TEXT_BYTES];
	const struct source s = { .by = m->name,
				  .name = element_name(v->catalog->elements, line->element.pen,
						       line->element.id, name, sizeof(name)),
				  .text = line_text(line, text),
				  .line = line };

	fn(ctx, &s);
}

static void say_static(const struct fields_view *v, const char *by, const struct static_value *set,
		       source_fn *fn, void *ctx)
{
	char text[TEXT_BYTES];
	char value[TEXT_BYTES / 2];
	const struct source s = { .by = by, .text = text };

	if (set->text.octets != NULL)
		(void)snprintf(value, sizeof(value), "\"%.*s\"", (int)set->text.bytes,
			       set->text.octets);
	else
		(void)snprintf(value, sizeof(value), "%lld", (long long)set->number);
	(void)snprintf(text, sizeof(text), "%s%s%s", value, set->if_present < 0 ? "" : " with ",
		       set->if_present < 0 ? "" : v->catalog->fields.fields[set->if_present].name);
	fn(ctx, &s);
}

/* Most specific mapping first. */
static void each_mapping(const struct fields_view *v, unsigned field, source_fn *fn, void *ctx)
{
	const struct mapping_set *set = v->catalog->mappings;

	for (size_t i = 0; i < set->count; i++) {
		const struct mapping *m = &set->mappings[i];

		for (size_t k = 0; k < m->promote_count; k++) {
			if (m->promotes[k].field == field)
				say_line(v, m, &m->promotes[k], fn, ctx);
		}
		for (size_t k = 0; k < m->inside_count; k++) {
			if (m->insides[k].promote.field == field)
				say_inside(v, m, &m->insides[k], fn, ctx);
		}
		for (size_t k = 0; k < m->static_count; k++) {
			if (m->statics[k].field == field)
				say_static(v, m->name, &m->statics[k], fn, ctx);
		}
	}
}

static void each_option(const struct fields_view *v, unsigned field, source_fn *fn, void *ctx)
{
	struct join_element elements[ELEMENTS_MAX];
	const char *key = NULL;
	size_t count = join_explain(field, elements, ELEMENTS_MAX, &key);
	char name[ELEMENT_NAME_BYTES];
	char by[TEXT_BYTES];
	const struct source s = { .by = by, .name = name };

	if (count > 0)
		(void)snprintf(by, sizeof(by), "options data by %s", key);
	for (size_t i = 0; i < count; i++) {
		(void)element_name(v->catalog->elements, elements[i].pen, elements[i].id, name,
				   sizeof(name));
		fn(ctx, &s);
	}
}

static void each_feed(const struct feed *feeds, const char *from, unsigned field, source_fn *fn,
		      void *ctx)
{
	for (; feeds->what != NULL; feeds++) {
		const struct source s = { .by = feeds->from == NULL ? from : feeds->from,
					  .text = feeds->what };

		if (feeds->field == field)
			fn(ctx, &s);
	}
}

/* In the order in which they are asked, so far as there is one. */
static void each_source(const struct fields_view *v, unsigned field, source_fn *fn, void *ctx)
{
	char from[TEXT_BYTES];

	for (size_t i = 0; i < FIXED; i++)
		each_fixed(v, i, field, fn, ctx);
	each_mapping(v, field, fn, ctx);
	each_feed(plan_feeds, "", field, fn, ctx);
	for (const struct enricher *e = enrichers; e->name != NULL; e++) {
		(void)snprintf(from, sizeof(from), "enricher %s", e->name);
		each_feed(e->feeds, from, field, fn, ctx);
	}
	each_option(v, field, fn, ctx);
	each_feed(envelope_feeds, "", field, fn, ctx);
	for (const struct static_value *s = plan_defaults; s->text.octets != NULL; s++) {
		if (s->field == field)
			say_static(v, "else", s, fn, ctx);
	}
}

/* ---- as JSON ---- */

static void show_source(void *ctx, const struct source *s)
{
	struct json *out = ctx;

	json_open_object(out, NULL);
	json_str(out, "by", s->by);
	if (s->name != NULL)
		json_str(out, s->line == NULL ? "name" : "element", s->name);
	if (s->text != NULL)
		json_str(out, "text", s->text);
	if (s->line != NULL) {
		json_str(out, "mapping", s->by);
		json_str(out, "as", as_rows[s->line->as].name);
		if (s->line->scale != 1)
			json_i64(out, "scale", s->line->scale);
		json_u64(out, "line", s->line->line);
	}
	json_end(out);
}

static void show_field(const struct fields_view *v, unsigned number, struct json *out)
{
	const struct field *f = &v->catalog->fields.fields[number];

	json_open_object(out, NULL);
	json_str(out, "field", f->name);
	json_str(out, "layer", f->layer == LAYER_normalized ? "normalized" : "enriched");
	json_str(out, "type", field_type_text(f->type));
	json_str(out, "unit", f->unit);
	json_str(out, "meaning", f->doc);
	if (f->example != NULL)
		json_raw(out, "example", f->example, strlen(f->example));
	json_open_array(out, "fed_by");
	each_source(v, number, show_source, out);
	json_end(out);
	json_end(out);
}

static const char *name_at(const void *words, size_t i)
{
	const struct field_set *fields = words;
	const char *name = fields->fields[i].name;

	return name == NULL ? "" : name;
}

enum err fields_json(const struct fields_view *v, const char *name, struct json *out,
		     struct why *why)
{
	const struct field_set *fields = &v->catalog->fields;
	size_t shown = 0;

	json_open_array(out, "fields");
	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		const char *own = fields->fields[i].name;

		if (own == NULL || (name != NULL && strcmp(own, name) != 0))
			continue;
		show_field(v, i, out);
		shown++;
	}
	json_end(out);
	if (shown > 0)
		return ERR_OK;
	return why_set(why, ERR_ABSENT, "unknown field `%s' (nearest: `%s')", name,
		       nearest_of(name, name_at, fields, FIELD_SLOTS));
}

/* ---- as Markdown ---- */

struct printing {
	FILE *out;
	const char *between;
	char before[TEXT_BYTES]; /* whose name stands there already */
};

static void print_source(void *ctx, const struct source *s)
{
	struct printing *p = ctx;

	if (strcmp(p->before, s->by) == 0)
		(void)fputs(", ", p->out);
	else
		(void)fprintf(p->out, "%s%s: ", p->before[0] == '\0' ? "" : p->between, s->by);
	(void)snprintf(p->before, sizeof(p->before), "%s", s->by);
	if (s->name != NULL)
		(void)fprintf(p->out, "`%s`", s->name);
	if (s->text != NULL)
		(void)fprintf(p->out, "%s%s", s->name == NULL ? "" : " ", s->text);
}

void fields_print_sources(const struct fields_view *v, unsigned field, const char *between,
			  FILE *out)
{
	struct printing p = { .out = out, .between = between };

	each_source(v, field, print_source, &p);
	if (p.before[0] == '\0')
		(void)fputs(FIELDS_NOT_FED, out);
}
