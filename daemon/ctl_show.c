/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/ctl_show.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 48
#define CELL_BYTES 256

/* C0, DEL, and C1 as UTF-8 has it. */
static bool is_control(const char *p)
{
	unsigned char c = (unsigned char)p[0];
	unsigned char next = c == 0 ? 0 : (unsigned char)p[1];

	return (c < ' ' && c != 0) || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f);
}

static void clean_text(json_t *v)
{
	char *copy = strdup(json_string_value(v));

	for (char *p = copy; p != NULL && *p != '\0'; p++) {
		if (!is_control(p))
			continue;
		if ((unsigned char)*p == 0xc2)
			*p++ = '?';
		*p = '?';
	}
	if (copy == NULL || json_string_set(v, copy) != 0)
		(void)json_string_set(v, "");
	free(copy);
}

/* What exporters say goes to a terminal: nothing in it may steer one. */
static void make_plain(json_t *v)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_string(v))
		clean_text(v);
	json_object_foreach(v, key, member)
	{
		make_plain(member);
	}
	json_array_foreach(v, i, member)
	{
		make_plain(member);
	}
}

/* One value as text of one cell. */
static const char *cell_text(json_t *v, char out[CELL_BYTES])
{
	char *dumped;

	out[0] = '\0';
	if (json_is_string(v)) {
		(void)snprintf(out, CELL_BYTES, "%s", json_string_value(v));
	} else if (json_is_integer(v)) {
		(void)snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	} else if (json_is_real(v)) {
		(void)snprintf(out, CELL_BYTES, "%.3f", json_real_value(v));
	} else if (json_is_boolean(v)) {
		(void)snprintf(out, CELL_BYTES, "%s", json_is_true(v) ? "yes" : "no");
	} else if (json_is_object(v) || json_is_array(v)) {
		dumped = json_dumps(v, JSON_COMPACT);
		(void)snprintf(out, CELL_BYTES, "%s", dumped == NULL ? "" : dumped);
		free(dumped);
	} else {
		(void)snprintf(out, CELL_BYTES, "-");
	}
	return out;
}

/* A list of flat objects as a table: the first one's keys are the columns. */
static void show_table(json_t *rows, FILE *out)
{
	const char *keys[COLUMNS_MAX];
	size_t widths[COLUMNS_MAX];
	size_t columns = 0;
	char cell[CELL_BYTES];
	const char *key;
	json_t *value;
	json_t *row;
	size_t i;

	json_object_foreach(json_array_get(rows, 0), key, value)
	{
		if (columns == COLUMNS_MAX)
			break;
		keys[columns] = key;
		widths[columns++] = strlen(key);
	}
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < columns; c++) {
			size_t bytes = strlen(cell_text(json_object_get(row, keys[c]), cell));

			widths[c] = bytes > widths[c] ? bytes : widths[c];
		}
	}
	for (size_t c = 0; c < columns; c++)
		(void)fprintf(out, "%-*s%s", (int)widths[c], keys[c],
			      c + 1 < columns ? "  " : "\n");
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < columns; c++)
			(void)fprintf(out, "%-*s%s", (int)widths[c],
				      cell_text(json_object_get(row, keys[c]), cell),
				      c + 1 < columns ? "  " : "\n");
	}
}

static bool is_table(json_t *v)
{
	return json_is_array(v) && json_is_object(json_array_get(v, 0));
}

static bool is_texts(json_t *v)
{
	return json_is_array(v) && json_is_string(json_array_get(v, 0));
}

/* Sentences for people: one a line, whole. */
static void show_texts(const char *name, json_t *texts, FILE *out)
{
	json_t *text;
	size_t i;

	(void)fprintf(out, "\n%s\n", name);
	json_array_foreach(texts, i, text)
	{
		(void)fprintf(out, "- %s\n", json_string_value(text));
	}
}

/* Members one a line, tables and texts after their name. */
static void show_members(json_t *answer, FILE *out)
{
	char cell[CELL_BYTES];
	const char *key;
	json_t *value;

	json_object_foreach(answer, key, value)
	{
		if (is_table(value)) {
			(void)fprintf(out, "\n%s\n", key);
			show_table(value, out);
		} else if (is_texts(value)) {
			show_texts(key, value, out);
		} else if (json_is_string(value)) {
			(void)fprintf(out, "%-22s %s\n", key, json_string_value(value));
		} else if (!(json_is_array(value) && json_array_size(value) == 0)) {
			(void)fprintf(out, "%-22s %s\n", key, cell_text(value, cell));
		}
	}
}

static void show_side(json_t *side, FILE *out)
{
	bool is_first = true;
	const char *key;
	json_t *value;

	json_object_foreach(side, key, value)
	{
		if (json_integer_value(value) == 0 && !is_first)
			continue;
		(void)fprintf(out, "%s%s %" JSON_INTEGER_FORMAT, is_first ? "" : " + ", key,
			      json_integer_value(value));
		is_first = false;
	}
}

/* Over which lives the lines go; in memory, a sink's go over this one alone. */
static void show_balance(json_t *answer, FILE *out)
{
	const char *since = json_string_value(json_object_get(answer, "since"));

	(void)fprintf(out, "since %s%s\n", since == NULL ? "-" : since,
		      json_is_true(json_object_get(answer, "previous_unclean"))
			      ? "; the life before did not end cleanly, and is not in it"
			      : ", over clean restarts");
}

/* Beside the lines: what is not ours to account for; nothing where there is nothing. */
static void show_margin(json_t *answer, const char *name, FILE *out)
{
	json_t *margin = json_object_get(answer, name);
	const char *before = "";
	const char *key;
	json_t *value;

	json_object_foreach(margin, key, value)
	{
		if (json_integer_value(value) == 0)
			continue;
		if (before[0] == '\0')
			(void)fprintf(out, "%-16s ", name);
		(void)fprintf(out, "%s%s %" JSON_INTEGER_FORMAT, before, key,
			      json_integer_value(value));
		before = ", ";
	}
	if (before[0] != '\0')
		(void)fputc('\n', out);
}

static void show_ledger(json_t *answer, FILE *out)
{
	json_t *line;
	size_t i;

	json_array_foreach(json_object_get(answer, "lines"), i, line)
	{
		json_int_t difference = json_integer_value(json_object_get(line, "difference"));

		(void)fprintf(out, "%-16s ", json_string_value(json_object_get(line, "name")));
		show_side(json_object_get(line, "left"), out);
		(void)fputs(" = ", out);
		show_side(json_object_get(line, "right"), out);
		if (difference != 0)
			(void)fprintf(out, "   DIFFERENCE %" JSON_INTEGER_FORMAT, difference);
		(void)fputc('\n', out);
	}
	show_margin(answer, "before_us", out);
	show_margin(answer, "exporters_say", out);
	show_balance(answer, out);
	(void)fprintf(out, "%s\n",
		      json_is_true(json_object_get(answer, "ok")) ? "balanced" : "NOT BALANCED");
}

/* One flow event on one line: what people look for first, then the rest of what is there. */
static void show_event(json_t *answer, FILE *out)
{
	json_t *event = json_object_get(answer, "event");
	char *text = json_dumps(event, JSON_COMPACT);

	if (event != NULL && text != NULL)
		(void)fprintf(out, "%s\n", text);
	free(text);
}

static void show_schema(json_t *answer, FILE *out)
{
	char *text = json_dumps(json_object_get(answer, "schema"), JSON_INDENT(2));

	(void)fprintf(out, "%s\n", text == NULL ? "" : text);
	free(text);
}

static const char *member(json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

/* Whose sources they are, one a line: "iana  octetDeltaCount, postOctetDeltaCount x 8". */
static void show_sources(json_t *sources, FILE *out)
{
	const char *before = "";
	json_t *source;
	size_t i;

	json_array_foreach(sources, i, source)
	{
		const char *by = member(source, "by");
		const char *name = member(source, "element");
		const char *text = member(source, "text");

		if (name[0] == '\0')
			name = member(source, "name");
		if (strcmp(by, before) == 0)
			(void)fputs(", ", out);
		else
			(void)fprintf(out, "%s    %s: ", i == 0 ? "" : "\n", by);
		(void)fprintf(out, "%s%s%s", name, name[0] != '\0' && text[0] != '\0' ? " " : "",
			      text);
		before = by;
	}
	(void)fputs(json_array_size(sources) == 0 ? "    nothing yet\n" : "\n", out);
}

static void show_fields(json_t *answer, FILE *out)
{
	json_t *field;
	size_t i;

	json_array_foreach(json_object_get(answer, "fields"), i, field)
	{
		json_t *example = json_object_get(field, "example");
		char *text = example == NULL ? NULL
					     : json_dumps(example, JSON_ENCODE_ANY | JSON_COMPACT);
		const char *unit = member(field, "unit");

		(void)fprintf(out, "%s%s.%s  %s%s%s\n    %s\n", i == 0 ? "" : "\n",
			      member(field, "layer"), member(field, "field"), member(field, "type"),
			      unit[0] == '\0' ? "" : ", ", unit, member(field, "meaning"));
		if (text != NULL)
			(void)fprintf(out, "    example: %s\n", text);
		(void)fputs("  fed by\n", out);
		show_sources(json_object_get(field, "fed_by"), out);
		free(text);
	}
}

void ctl_show(const char *verb, json_t *answer, FILE *out)
{
	const char *error;

	make_plain(answer);
	error = json_string_value(json_object_get(answer, "error"));
	if (error != NULL) {
		(void)fprintf(stderr, "sluicectl: %s\n", error);
		return;
	}
	if (strcmp(verb, "ledger") == 0)
		show_ledger(answer, out);
	else if (strcmp(verb, "tail") == 0)
		show_event(answer, out);
	else if (strcmp(verb, "fields") == 0)
		show_fields(answer, out);
	else if (strcmp(verb, "schema") == 0)
		show_schema(answer, out);
	else
		show_members(answer, out);
}
