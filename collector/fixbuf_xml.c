/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/fixbuf_xml.h"

#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 32767u /* RFC 7011, 3.2: 15 bits */
#define TEXT_MAX 4096

/* Parts of a record that are read. */
enum part { PART_NAME, PART_TYPE, PART_PEN, PART_ID, PART_PARAGRAPH, PART_COUNT };

static const char *const part_names[PART_COUNT] = {
	[PART_NAME] = "name",	 [PART_TYPE] = "dataType",	 [PART_PEN] = "enterpriseId",
	[PART_ID] = "elementId", [PART_PARAGRAPH] = "paragraph",
};

struct reading {
	struct fixbuf_records *records;
	struct why *why;
	const char *path;
	uint16_t file;
	enum err error;
	bool is_in_record;
	enum part part; /* being read; PART_COUNT: none */
	unsigned lines[PART_COUNT];
	GString *texts[PART_COUNT];
};

/* Of the tag just read: glib counts from behind it and the end of its line. */
static unsigned line_of(GMarkupParseContext *context)
{
	int line;
	int column;

	g_markup_parse_context_get_position(context, &line, &column);
	return (unsigned)(column <= 1 && line > 1 ? line - 1 : line);
}

static const char *local_name(const char *name)
{
	const char *colon = strchr(name, ':');

	return colon == NULL ? name : colon + 1;
}

static void on_start(GMarkupParseContext *context, const char *tag, const char **names,
		     const char **values, gpointer data, GError **error)
{
	struct reading *r = data;

	(void)names;
	(void)values;
	(void)error;
	tag = local_name(tag);
	if (strcmp(tag, "record") == 0) {
		for (int i = 0; i < PART_COUNT; i++)
			g_string_truncate(r->texts[i], 0);
		r->is_in_record = true;
		r->part = PART_COUNT;
		return;
	}
	for (int i = 0; r->is_in_record && i < PART_COUNT; i++) {
		if (strcmp(tag, part_names[i]) != 0)
			continue;
		/* Of several paragraphs, the first. */
		if (i == PART_PARAGRAPH && r->texts[i]->len > 0)
			return;
		g_string_truncate(r->texts[i], 0);
		r->lines[i] = line_of(context);
		r->part = (enum part)i;
	}
}

static void on_text(GMarkupParseContext *context, const char *text, gsize bytes, gpointer data,
		    GError **error)
{
	struct reading *r = data;
	GString *s;

	(void)context;
	(void)error;
	if (r->part == PART_COUNT)
		return;
	s = r->texts[r->part];
	if (bytes > TEXT_MAX - s->len)
		bytes = TEXT_MAX - s->len;
	g_string_append_len(s, text, (gssize)bytes);
}

static enum err wrong(struct reading *r, unsigned line, const char *what, const char *text)
{
	r->error = why_set(r->why, ERR_CONF, "%s:%u: %s '%.100s'", r->path, line, what, text);
	return r->error;
}

/* Names stand in mapping files and as keys of the raw layer. */
static bool is_name(const char *name)
{
	size_t bytes = strlen(name);

	for (size_t i = 0; i < bytes; i++) {
		bool is_fine = g_ascii_isalnum(name[i]) || strchr("._-:+/", name[i]) != NULL;

		if (!is_fine)
			return false;
	}
	return bytes > 0 && bytes <= FIXBUF_NAME_MAX;
}

/* IANA's registry says what is reserved in records without a type. */
static bool is_reserved(const char *name)
{
	return name[0] == '\0' || strchr(name, ' ') != NULL || strcmp(name, "Reserved") == 0 ||
	       strcmp(name, "Unassigned") == 0;
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	*out = g_ascii_strtoull(text, &end, 0);
	return end != text && *end == '\0' && strchr(text, '-') == NULL && *out <= max;
}

static enum err add(struct reading *r, uint64_t pen, uint64_t id, unsigned line)
{
	struct fixbuf_records *records = r->records;
	const char *paragraph = g_strstrip(r->texts[PART_PARAGRAPH]->str);
	struct fixbuf_record *record;

	if (records->count == FIXBUF_RECORDS_MAX)
		return wrong(r, line, "too many elements at", r->texts[PART_NAME]->str);
	if (records->count == records->room) {
		size_t room = records->room == 0 ? 512 : records->room * 2;
		void *at = realloc(records->at, room * sizeof(*records->at));

		if (at == NULL)
			return ERR_NOMEM;
		records->at = at;
		records->room = room;
	}
	record = &records->at[records->count];
	*record = (struct fixbuf_record){ .pen = (uint32_t)pen,
					  .id = (uint16_t)id,
					  .file = r->file,
					  .line = line,
					  .name = strdup(r->texts[PART_NAME]->str) };
	if (record->name == NULL)
		return ERR_NOMEM;
	records->count++;
	if (paragraph[0] != '\0') {
		record->description = strdup(paragraph);
		if (record->description == NULL)
			return ERR_NOMEM;
	}
	return ERR_OK;
}

static enum err end_record(struct reading *r, unsigned line)
{
	const char *name = g_strstrip(r->texts[PART_NAME]->str);
	const char *id_text = r->texts[PART_ID]->str;
	const char *pen_text = r->texts[PART_PEN]->str;
	uint64_t pen = 0;
	uint64_t id;

	/* A record of another registry of the file, or one that only reserves a number. */
	if (id_text[0] == '\0')
		return ERR_OK;
	if (r->texts[PART_TYPE]->len == 0) {
		if (pen_text[0] == '\0' && is_reserved(name))
			return ERR_OK;
		return wrong(r, line, "no dataType for element", name);
	}
	if (!number(id_text, ID_MAX, &id) || id == 0)
		return wrong(r, r->lines[PART_ID], "elementId is not 1 to 32767:", id_text);
	if (pen_text[0] != '\0' && !number(pen_text, UINT32_MAX, &pen))
		return wrong(r, r->lines[PART_PEN],
			     "enterpriseId is not 0 to 4294967295:", pen_text);
	if (!is_name(name))
		return wrong(r, r->lines[PART_NAME], "not a name for an element:", name);
	return add(r, pen, id, line);
}

static void on_end(GMarkupParseContext *context, const char *tag, gpointer data, GError **error)
{
	struct reading *r = data;
	enum err e;

	tag = local_name(tag);
	if (r->part != PART_COUNT && strcmp(tag, part_names[r->part]) == 0) {
		r->part = PART_COUNT;
		return;
	}
	if (!r->is_in_record || strcmp(tag, "record") != 0)
		return;
	r->is_in_record = false;
	e = end_record(r, line_of(context));
	if (e == ERR_OK)
		return;
	r->error = e;
	g_set_error_literal(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "element");
}

static const GMarkupParser parser = { .start_element = on_start,
				      .end_element = on_end,
				      .text = on_text };

enum err fixbuf_records_read(struct fixbuf_records *records, uint16_t file, const char *path,
			     const char *text, size_t bytes, struct why *why)
{
	struct reading r = { .records = records, .why = why, .path = path, .file = file };
	size_t before = records->count;
	GMarkupParseContext *context;
	GError *error = NULL;

	r.part = PART_COUNT;
	for (int i = 0; i < PART_COUNT; i++)
		r.texts[i] = g_string_new(NULL);
	context = g_markup_parse_context_new(&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &r, NULL);
	if ((!g_markup_parse_context_parse(context, text, (gssize)bytes, &error) ||
	     !g_markup_parse_context_end_parse(context, &error)) &&
	    r.error == ERR_OK)
		r.error = why_set(why, ERR_CONF, "%s:%u: %s", path, line_of(context),
				  error == NULL ? "not XML" : error->message);
	g_clear_error(&error);
	g_markup_parse_context_free(context);
	for (int i = 0; i < PART_COUNT; i++)
		g_string_free(r.texts[i], TRUE);
	if (r.error == ERR_NOMEM)
		return why_set(why, ERR_NOMEM, "no memory for elements of %s", path);
	if (r.error == ERR_OK && records->count == before)
		return why_set(why, ERR_CONF, "%s:1: no element in this file", path);
	return r.error;
}

void fixbuf_records_free(struct fixbuf_records *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->at[i].name);
		free(r->at[i].description);
	}
	free(r->at);
	memset(r, 0, sizeof(*r));
}

static int compare_identity(const struct fixbuf_record *x, const struct fixbuf_record *y)
{
	if (x->pen != y->pen)
		return x->pen < y->pen ? -1 : 1;
	return (int)x->id - (int)y->id;
}

/* A later file first. */
static int compare(const void *a, const void *b)
{
	const struct fixbuf_record *x = a;
	const struct fixbuf_record *y = b;
	int c = compare_identity(x, y);

	if (c != 0)
		return c;
	if (x->file != y->file)
		return x->file > y->file ? -1 : 1;
	return (x->line > y->line) - (x->line < y->line);
}

enum err fixbuf_records_settle(struct fixbuf_records *r, char *const *paths, struct why *why)
{
	size_t kept = 0;

	if (r->count > 0)
		qsort(r->at, r->count, sizeof(*r->at), compare);
	for (size_t i = 1; i < r->count; i++) {
		const struct fixbuf_record *x = &r->at[i - 1];
		const struct fixbuf_record *y = &r->at[i];

		if (compare_identity(x, y) == 0 && x->file == y->file)
			return why_set(why, ERR_CONF,
				       "%s:%u: element %u of enterprise %u was defined in line %u",
				       paths[y->file], y->line, y->id, y->pen, x->line);
	}
	for (size_t i = 0; i < r->count; i++) {
		if (kept > 0 && compare_identity(&r->at[kept - 1], &r->at[i]) == 0) {
			free(r->at[i].name);
			free(r->at[i].description);
			continue;
		}
		r->at[kept++] = r->at[i];
	}
	r->count = kept;
	return ERR_OK;
}

const struct fixbuf_record *fixbuf_records_find(const struct fixbuf_records *r, uint32_t pen,
						uint16_t id)
{
	struct fixbuf_record key = { .pen = pen, .id = id };
	size_t low = 0;
	size_t high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = compare_identity(&r->at[middle], &key);

		if (c == 0)
			return &r->at[middle];
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
