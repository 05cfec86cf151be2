/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/mapping_file.h"

#include <dirent.h>
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_tree.h"
#include "base/must.h"
#include "base/nearest.h"

#define LINES_MAX 65536
#define PATH_BYTES 4096

/* The file being read. */
struct reading {
	const struct mapping_source *src;
	struct mapping_set *set;
	struct mapping *mapping;
	const char *file;
	struct why *why;
};

static enum err wrong(const struct reading *r, const config_setting_t *s, const char *text,
		      const char *word)
{
	return why_set(r->why, ERR_CONF, "%s:%u: %s `%s'", r->file, config_setting_source_line(s),
		       text, word);
}

static enum err wrong_nearest(const struct reading *r, const config_setting_t *s, const char *text,
			      const char *word, const char *nearest)
{
	return why_set(r->why, ERR_CONF, "%s:%u: %s `%s' (nearest: `%s')", r->file,
		       config_setting_source_line(s), text, word, nearest);
}

static const char *key_at(const void *words, size_t i)
{
	const char *const *keys = words;

	return keys[i];
}

/* Every member of the group is one of `keys`. */
static enum err check_keys(const struct reading *r, const config_setting_t *group,
			   const char *const *keys, size_t count)
{
	if (!config_setting_is_group(group))
		return why_set(r->why, ERR_CONF, "%s:%u: a group { ... } belongs here", r->file,
			       config_setting_source_line(group));
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(s);
		size_t k = 0;

		while (k < count && strcmp(keys[k], name) != 0)
			k++;
		if (k == count)
			return wrong_nearest(r, s, "unknown key", name,
					     nearest_of(name, key_at, keys, count));
	}
	return ERR_OK;
}

/* A text member; *out is NULL when it is absent and not wanted. */
static enum err get_text(const struct reading *r, const config_setting_t *group, const char *key,
			 bool is_wanted, const char **out)
{
	const config_setting_t *s = config_setting_get_member(group, key);

	*out = NULL;
	if (s == NULL)
		return is_wanted ? wrong(r, group, "missing key", key) : ERR_OK;
	*out = config_setting_get_string(s);
	return *out == NULL ? wrong(r, s, "a text belongs to", key) : ERR_OK;
}

/* libconfig 1.5 wraps an integer above 2^31-1 without the suffix L: a negative one is refused. */
static enum err get_number(const struct reading *r, const config_setting_t *group, const char *key,
			   int64_t min, int64_t max, int64_t absent, int64_t *out)
{
	const config_setting_t *s = config_setting_get_member(group, key);
	int type;

	*out = absent;
	if (s == NULL)
		return ERR_OK;
	type = config_setting_type(s);
	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return wrong(r, s, "a number belongs to", key);
	*out = config_setting_get_int64(s);
	if (*out < min || *out > max)
		return wrong(r, s,
			     "out of range (numbers above 2147483647 need the suffix L):", key);
	return ERR_OK;
}

static enum err get_element(const struct reading *r, const config_setting_t *s, const char *name,
			    struct element_id *out)
{
	if (element_find_name(r->src->elements, name, &out->pen, &out->id) == ERR_OK)
		return ERR_OK;
	return wrong_nearest(r, s, "unknown element", name,
			     element_nearest(r->src->elements, name));
}

static const char *field_at(const void *words, size_t i)
{
	const struct field_set *set = words;

	return set->fields[i].name;
}

static enum err get_field(const struct reading *r, const config_setting_t *s, const char *name,
			  int *out)
{
	*out = field_find(r->src->fields, name);
	if (*out >= 0 && *out < FIELD_ENRICHED_FIRST)
		return ERR_OK;
	if (*out >= 0)
		return wrong(r, s, "a mapping cannot fill the enriched field", name);
	return wrong_nearest(r, s, "unknown field", name,
			     nearest_of(name, field_at, r->src->fields, FIELD_ENRICHED_FIRST));
}

static enum err get_table(struct reading *r, const config_setting_t *s, const char *name,
			  const struct table **out)
{
	struct mapping_set *set = r->set;
	char path[PATH_BYTES];
	enum err e;

	for (size_t i = 0; i < set->table_count; i++) {
		if (strcmp(set->tables[i].name, name) == 0) {
			*out = set->tables[i].table;
			return ERR_OK;
		}
	}
	if (set->table_count == MAPPING_TABLES_MAX)
		return wrong(r, s, "too many tables with", name);
	if (strchr(name, '/') != NULL || name[0] == '.' || name[0] == '\0' ||
	    snprintf(path, sizeof(path), "%s/%s.tsv", r->src->tables_dir, name) >=
		    (int)sizeof(path))
		return wrong(r, s, "no table can have the name", name);
	e = table_load(path, r->why, &set->tables[set->table_count].table);
	if (e != ERR_OK) {
		why_prefix(r->why, "%s:%u: table `%s'", r->file, config_setting_source_line(s),
			   name);
		return e == ERR_NOMEM || e == ERR_PERM ? e : ERR_CONF;
	}
	*out = set->tables[set->table_count].table;
	set->tables[set->table_count].name = strdup(name);
	/* Counted first: a half-read set is freed whole. */
	if (set->tables[set->table_count++].name == NULL)
		return why_set(r->why, ERR_NOMEM, "no memory for %s", r->file);
	return ERR_OK;
}

static const char *as_at(const void *words, size_t i)
{
	const struct as_row *rows = words;

	return rows[i].name;
}

static enum err get_as(struct reading *r, const config_setting_t *group, struct promote *p)
{
	const char *name;

	p->as = AS_NATURAL;
	TRY(get_text(r, group, "as", false, &name));
	if (name == NULL)
		return ERR_OK;
	if (strncmp(name, "table:", 6) == 0) {
		p->as = AS_TABLE;
		return get_table(r, group, name + 6, &p->table);
	}
	for (size_t i = 0; i < AS_TABLE; i++) {
		if (strcmp(as_rows[i].name, name) == 0) {
			p->as = as_rows[i].as;
			return ERR_OK;
		}
	}
	return wrong_nearest(r, group, "unknown conversion", name,
			     nearest_of(name, as_at, as_rows, AS_TABLE));
}

/* Does the conversion fit the element's type and the field's, at the element's own length? */
static enum err check_fit(const struct reading *r, const config_setting_t *group,
			  const struct promote *p)
{
	const struct element *element =
		element_find(r->src->elements, p->element.pen, p->element.id);
	struct xform_how how = {
		.as = p->as,
		.scale = p->scale,
		.table = p->table,
		.field = &r->src->fields->fields[p->field],
		.field_number = p->field,
		.element = element,
		.bytes = element == NULL ? 0 : element->natural_bytes,
	};
	struct xform x;

	if (xform_compile(&how, &x, r->why) == ERR_OK)
		return ERR_OK;
	why_prefix(r->why, "%s:%u", r->file, config_setting_source_line(group));
	return ERR_CONF;
}

/* All of a line but which keys it may have. */
static enum err read_line(struct reading *r, const config_setting_t *group, struct promote *p)
{
	const char *element;
	const char *field;
	int number;
	int also = 0;

	TRY(get_text(r, group, "element", true, &element));
	TRY(get_element(r, group, element, &p->element));
	TRY(get_text(r, group, "field", true, &field));
	TRY(get_field(r, group, field, &number));
	TRY(get_as(r, group, p));
	TRY(get_number(r, group, "scale", 1, 1000000000, 1, &p->scale));
	if (config_setting_get_member(group, "also") != NULL &&
	    config_setting_lookup_bool(group, "also", &also) != CONFIG_TRUE)
		return wrong(r, group, "true or false belongs to", "also");
	p->also = also != 0;
	p->field = (uint16_t)number;
	p->line = config_setting_source_line(group);
	return check_fit(r, group, p);
}

static enum err read_promote(struct reading *r, const config_setting_t *group, struct promote *p)
{
	static const char *const keys[] = { "element", "field", "as", "scale", "also" };

	TRY(check_keys(r, group, keys, sizeof(keys) / sizeof(keys[0])));
	return read_line(r, group, p);
}

static enum err read_inside(struct reading *r, const config_setting_t *group,
			    struct inside_line *in)
{
	static const char *const keys[] = { "list", "element", "field", "as", "scale", "also" };
	const struct element *element;
	const char *list;

	TRY(check_keys(r, group, keys, sizeof(keys) / sizeof(keys[0])));
	TRY(get_text(r, group, "list", false, &list));
	if (list != NULL) {
		TRY(get_element(r, group, list, &in->list));
		element = element_find(r->src->elements, in->list.pen, in->list.id);
		if (element == NULL || element->list == ELEMENT_NO_LIST)
			return wrong(r, group, "no list is the element", list);
		in->has_list = true;
	}
	return read_line(r, group, &in->promote);
}

/* Number of the event type among those of the set, added when new. */
static enum err get_event_type(const struct reading *r, const config_setting_t *s,
			       const struct text *name, uint32_t *tag)
{
	struct mapping_set *set = r->set;
	struct text *t;

	for (size_t i = 0; i < set->event_type_count; i++) {
		t = &set->event_types[i];
		if (t->bytes == name->bytes && memcmp(t->octets, name->octets, t->bytes) == 0) {
			*tag = (uint32_t)i;
			return ERR_OK;
		}
	}
	if (set->event_type_count == EVENT_TYPES_MAX)
		return wrong(r, s, "too many event types with", name->octets);
	t = &set->event_types[set->event_type_count];
	t->octets = strdup(name->octets);
	if (t->octets == NULL)
		return why_set(r->why, ERR_NOMEM, "no memory for %s", r->file);
	t->bytes = name->bytes;
	*tag = (uint32_t)set->event_type_count++;
	return ERR_OK;
}

static enum err get_value(const struct reading *r, const config_setting_t *group,
			  struct static_value *v)
{
	const struct field *field = &r->src->fields->fields[v->field];
	const config_setting_t *s = config_setting_get_member(group, "value");
	const char *text;

	if (s == NULL)
		return wrong(r, group, "missing key", "value");
	if (field->type == FIELD_STR) {
		TRY(get_text(r, group, "value", true, &text));
		must(text != NULL);
		v->text.octets = strdup(text);
		v->text.bytes = (uint32_t)strlen(text);
		if (v->text.octets == NULL)
			return why_set(r->why, ERR_NOMEM, "no memory for %s", r->file);
		return v->field == F_event_type ? get_event_type(r, s, &v->text, &v->tag) : ERR_OK;
	}
	if (field->type == FIELD_BOOL) {
		if (config_setting_type(s) != CONFIG_TYPE_BOOL)
			return wrong(r, s, "true or false belongs to", field->name);
		v->number = config_setting_get_bool(s);
		return ERR_OK;
	}
	if (field->type == FIELD_I32 || field->type == FIELD_I64)
		return get_number(r, group, "value",
				  field->type == FIELD_I32 ? INT32_MIN : INT64_MIN,
				  field->type == FIELD_I32 ? INT32_MAX : INT64_MAX, 0, &v->number);
	return wrong(r, s, "no static value can be given to", field->name);
}

static enum err read_static(struct reading *r, const config_setting_t *group,
			    struct static_value *v)
{
	static const char *const keys[] = { "field", "value", "if_present" };
	const char *field;
	const char *if_present;
	int number;

	TRY(check_keys(r, group, keys, sizeof(keys) / sizeof(keys[0])));
	TRY(get_text(r, group, "field", true, &field));
	TRY(get_field(r, group, field, &number));
	v->field = (uint16_t)number;
	v->if_present = -1;
	v->line = config_setting_source_line(group);
	TRY(get_text(r, group, "if_present", false, &if_present));
	if (if_present != NULL) {
		TRY(get_field(r, group, if_present, &number));
		v->if_present = number;
	}
	return get_value(r, group, v);
}

static enum err read_when_elements(struct reading *r, const config_setting_t *list,
				   struct mapping_when *w)
{
	int count = config_setting_length(list);

	if (!config_setting_is_list(list) && !config_setting_is_array(list))
		return wrong(r, list, "a list of names belongs to", "elements");
	if (count > MAPPING_SET_ELEMENTS_MAX)
		return wrong(r, list, "too many names in", "elements");
	for (int i = 0; i < count; i++) {
		const char *name = config_setting_get_string_elem(list, i);

		if (name == NULL)
			return wrong(r, list, "a list of names belongs to", "elements");
		TRY(get_element(r, list, name, &w->elements[i]));
		w->element_count++;
	}
	return ERR_OK;
}

static const struct format_name {
	const char *name;
	uint16_t version;
} formats[] = { { "v1", VERSION_NF1 }, { "v5", VERSION_NF5 },	   { "v7", VERSION_NF7 },
		{ "v9", VERSION_NF9 }, { "ipfix", VERSION_IPFIX }, { "sflow5", VERSION_SFLOW5 } };
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

static const char *format_at(const void *words, size_t i)
{
	const struct format_name *rows = words;

	return rows[i].name;
}

static enum err read_when_format(struct reading *r, const config_setting_t *group,
				 struct mapping_when *w)
{
	const char *name;

	TRY(get_text(r, group, "format", false, &name));
	for (size_t i = 0; name != NULL && i < FORMATS; i++) {
		if (strcmp(formats[i].name, name) == 0)
			w->version = formats[i].version;
	}
	if (name == NULL || w->version != 0)
		return ERR_OK;
	return wrong_nearest(r, group, "unknown format", name,
			     nearest_of(name, format_at, formats, FORMATS));
}

static enum err read_when(struct reading *r, const config_setting_t *group, struct mapping_when *w)
{
	static const char *const keys[] = { "exporter", "template", "elements", "pen", "format" };
	const config_setting_t *list;
	const char *exporter;
	int64_t number;

	w->template_id = -1;
	if (group == NULL)
		return ERR_OK;
	TRY(check_keys(r, group, keys, sizeof(keys) / sizeof(keys[0])));
	TRY(get_text(r, group, "exporter", false, &exporter));
	if (exporter != NULL) {
		w->exporter = strdup(exporter);
		if (w->exporter == NULL)
			return why_set(r->why, ERR_NOMEM, "no memory for %s", r->file);
	}
	TRY(get_number(r, group, "template", TMPL_ID_MIN, UINT16_MAX, -1, &number));
	w->template_id = (int32_t)number;
	TRY(get_number(r, group, "pen", 1, UINT32_MAX, 0, &number));
	w->has_pen = number != 0;
	w->pen = (uint32_t)number;
	list = config_setting_get_member(group, "elements");
	if (list != NULL)
		TRY(read_when_elements(r, list, w));
	return read_when_format(r, group, w);
}

static enum mapping_rank rank_of(const struct mapping_when *w)
{
	if (w->exporter != NULL)
		return RANK_EXPORTER;
	if (w->template_id >= 0)
		return RANK_TEMPLATE;
	if (w->element_count > 0)
		return RANK_ELEMENTS;
	if (w->has_pen)
		return RANK_PEN;
	return w->version != 0 ? RANK_FORMAT : RANK_DEFAULT;
}

/* A list of groups, or NULL for none; *count is bounded. */
static enum err get_list(const struct reading *r, const config_setting_t *group, const char *key,
			 const config_setting_t **list, size_t *count)
{
	*list = config_setting_get_member(group, key);
	*count = 0;
	if (*list == NULL)
		return ERR_OK;
	if (!config_setting_is_list(*list))
		return wrong(r, *list, "a list ( ... ) of groups belongs to", key);
	if (config_setting_length(*list) > LINES_MAX)
		return wrong(r, *list, "too many lines in", key);
	*count = (size_t)config_setting_length(*list);
	return ERR_OK;
}

static enum err read_lines(struct reading *r, const config_setting_t *group)
{
	struct mapping *m = r->mapping;
	const config_setting_t *promotes;
	const config_setting_t *insides;
	const config_setting_t *statics;
	size_t promote_count;
	size_t inside_count;
	size_t static_count;

	TRY(get_list(r, group, "promote", &promotes, &promote_count));
	TRY(get_list(r, group, "inside", &insides, &inside_count));
	TRY(get_list(r, group, "static", &statics, &static_count));
	m->promotes = calloc(promote_count + 1, sizeof(*m->promotes));
	m->statics = calloc(static_count + 1, sizeof(*m->statics));
	m->insides = calloc(inside_count + 1, sizeof(*m->insides));
	if (m->promotes == NULL || m->insides == NULL || m->statics == NULL)
		return why_set(r->why, ERR_NOMEM, "no memory for %s", r->file);
	for (; m->promote_count < promote_count; m->promote_count++)
		TRY(read_promote(r, config_setting_get_elem(promotes, (unsigned)m->promote_count),
				 &m->promotes[m->promote_count]));
	for (; m->inside_count < inside_count; m->inside_count++)
		TRY(read_inside(r, config_setting_get_elem(insides, (unsigned)m->inside_count),
				&m->insides[m->inside_count]));
	/* Counted first: one that is half read has a text to free. */
	for (size_t i = 0; i < static_count; i++) {
		m->static_count++;
		TRY(read_static(r, config_setting_get_elem(statics, (unsigned)i), &m->statics[i]));
	}
	return ERR_OK;
}

static enum err read_mapping(struct reading *r, const config_t *config)
{
	static const char *const top[] = { "mapping" };
	static const char *const keys[] = { "name", "when", "promote", "inside", "static" };
	const config_setting_t *root = config_root_setting(config);
	const config_setting_t *group = config_setting_get_member(root, "mapping");
	const char *name;

	TRY(check_keys(r, root, top, 1));
	if (group == NULL)
		return why_set(r->why, ERR_CONF, "%s:1: missing group `mapping'", r->file);
	TRY(check_keys(r, group, keys, sizeof(keys) / sizeof(keys[0])));
	TRY(get_text(r, group, "name", true, &name));
	must(name != NULL);
	r->mapping->name = strdup(name);
	r->mapping->line = config_setting_source_line(config_setting_get_member(group, "name"));
	r->mapping->file = strdup(r->file);
	if (r->mapping->name == NULL || r->mapping->file == NULL)
		return why_set(r->why, ERR_NOMEM, "no memory for %s", r->file);
	TRY(read_when(r, config_setting_get_member(group, "when"), &r->mapping->when));
	r->mapping->rank = rank_of(&r->mapping->when);
	return read_lines(r, group);
}

static enum err read_file(const struct mapping_source *src, const char *path,
			  struct mapping_set *set, struct why *why)
{
	struct reading r = { src, set, &set->mappings[set->count], path, why };
	config_t config;
	enum err e;

	if (set->count == MAPPINGS_MAX)
		return why_set(why, ERR_CONF, "%s: more than %d mappings", path, MAPPINGS_MAX);
	set->count++;
	config_init(&config);
	errno = 0;
	if (config_read_file(&config, path) != CONFIG_TRUE)
		e = conf_read_error(&config, path, why);
	else
		e = read_mapping(&r, &config);
	config_destroy(&config);
	return e;
}

static int is_conf(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".conf") == 0;
}

enum err mapping_files_read(const struct mapping_source *src, struct mapping_set *set,
			    struct why *why)
{
	struct dirent **names;
	int count = scandir(src->mappings_dir, &names, is_conf, alphasort);
	enum err e = ERR_OK;

	if (count < 0)
		return why_errno(why, ERR_CONF, src->mappings_dir);
	for (int i = 0; i < count; i++) {
		char path[PATH_BYTES];

		if (e == ERR_OK && snprintf(path, sizeof(path), "%s/%s", src->mappings_dir,
					    names[i]->d_name) >= (int)sizeof(path))
			e = why_set(why, ERR_CONF, "%s: path too long", src->mappings_dir);
		if (e == ERR_OK)
			e = read_file(src, path, set, why);
		free(names[i]);
	}
	free(names);
	if (e == ERR_OK && count == 0)
		e = why_set(why, ERR_CONF, "%s: no mapping (*.conf) there", src->mappings_dir);
	return e;
}
