/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define DENSE_MAX 4096u /* numbers below are found by index, others by halving */
#define ROWS_MAX 1000000u
#define NUMBER_MAX 0xFFFFFFFFu

struct row {
	uint32_t number;
	uint32_t line;
	struct text name;
};

struct table {
	struct row *rows; /* sorted by number */
	size_t row_count;
	size_t room;
	bool is_invertible;
	const struct text *dense[DENSE_MAX];
};

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->row_count; i++)
		free((char *)t->rows[i].name.octets);
	free(t->rows);
	free(t);
}

static enum err add_row(struct table *t, uint32_t number, unsigned line, const char *name,
			size_t bytes)
{
	char *copy;

	if (t->row_count >= ROWS_MAX)
		return ERR_LIMIT;
	if (t->row_count == t->room) {
		size_t room = t->room == 0 ? 64 : t->room * 2;
		struct row *rows = realloc(t->rows, room * sizeof(*rows));

		if (rows == NULL)
			return ERR_NOMEM;
		t->rows = rows;
		t->room = room;
	}
	copy = malloc(bytes + 1);
	if (copy == NULL)
		return ERR_NOMEM;
	memcpy(copy, name, bytes);
	copy[bytes] = '\0';
	t->rows[t->row_count].number = number;
	t->rows[t->row_count].line = line;
	t->rows[t->row_count].name.octets = copy;
	t->rows[t->row_count].name.bytes = (uint32_t)bytes;
	t->row_count++;
	return ERR_OK;
}

size_t table_name(const char *rest, const struct table_place *place, struct why *why)
{
	size_t bytes = strcspn(rest, "\t");

	if (bytes > 0 && utf8_is_valid((const uint8_t *)rest, bytes))
		return bytes;
	(void)why_set(why, ERR_CONF, "%s:%u: no name, or one that is not UTF-8", place->path,
		      place->line);
	return 0;
}

static enum err take_row(void *ctx, uint32_t number, const char *rest,
			 const struct table_place *place, struct why *why)
{
	size_t bytes = table_name(rest, place, why);
	enum err e;

	if (bytes == 0)
		return ERR_CONF;
	e = add_row(ctx, number, place->line, rest, bytes);
	if (e == ERR_LIMIT)
		return why_set(why, ERR_CONF, "%s:%u: more than %u rows", place->path, place->line,
			       ROWS_MAX);
	return e;
}

static enum err read_row(char *line, const struct table_place *place, table_row_fn *row, void *ctx,
			 struct why *why)
{
	char *end;
	unsigned long long value;

	line[strcspn(line, "\r\n")] = '\0';
	if (line[0] == '\0' || line[0] == '#')
		return ERR_OK;
	errno = 0;
	value = strtoull(line, &end, 10);
	if (line[0] < '0' || line[0] > '9' || *end != '\t' || errno != 0 || value > NUMBER_MAX)
		return why_set(why, ERR_CONF, "%s:%u: a row is a number, a tab and a name",
			       place->path, place->line);
	return row(ctx, (uint32_t)value, end + 1, place, why);
}

enum err table_each(const char *path, table_row_fn *row, void *ctx, struct why *why)
{
	struct table_place place = { path, 0 };
	char *line = NULL;
	size_t room = 0;
	enum err e = ERR_OK;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return why_errno(why, ERR_ABSENT, path);
	while (e == ERR_OK && getline(&line, &room, file) >= 0) {
		place.line++;
		e = read_row(line, &place, row, ctx, why);
	}
	if (e == ERR_OK && ferror(file))
		e = why_errno(why, ERR_IO, path);
	free(line);
	(void)fclose(file);
	if (e == ERR_NOMEM)
		(void)why_set(why, e, "no memory for %s", path);
	return e;
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

static int compare_names(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a;
	const struct row *y = *(const struct row *const *)b;

	return strcmp(x->name.octets, y->name.octets);
}

static enum err find_invertible(struct table *t, const char *path, struct why *why)
{
	const struct row **rows = calloc(t->row_count + 1, sizeof(*rows));

	if (rows == NULL)
		return why_set(why, ERR_NOMEM, "no memory for %s", path);
	for (size_t i = 0; i < t->row_count; i++)
		rows[i] = &t->rows[i];
	qsort(rows, t->row_count, sizeof(*rows), compare_names);
	t->is_invertible = true;
	for (size_t i = 1; i < t->row_count; i++)
		t->is_invertible = t->is_invertible && compare_names(&rows[i - 1], &rows[i]) != 0;
	free(rows);
	return ERR_OK;
}

bool table_is_invertible(const struct table *t)
{
	return t->is_invertible;
}

static enum err settle(struct table *t, const char *path, struct why *why)
{
	if (t->rows != NULL)
		qsort(t->rows, t->row_count, sizeof(t->rows[0]), compare_rows);
	for (size_t i = 0; t->rows != NULL && i < t->row_count; i++) {
		if (i > 0 && t->rows[i].number == t->rows[i - 1].number)
			return why_set(why, ERR_CONF, "%s:%u: number %u stands in line %u too",
				       path, t->rows[i].line, t->rows[i].number,
				       t->rows[i - 1].line);
		if (t->rows[i].number < DENSE_MAX)
			t->dense[t->rows[i].number] = &t->rows[i].name;
	}
	return find_invertible(t, path, why);
}

enum err table_load(const char *path, struct why *why, struct table **out)
{
	struct table *t = calloc(1, sizeof(*t));
	enum err e;

	if (t == NULL)
		return why_set(why, ERR_NOMEM, "no memory for %s", path);
	e = table_each(path, take_row, t, why);
	if (e == ERR_OK)
		e = settle(t, path, why);
	if (e != ERR_OK) {
		table_free(t);
		return e;
	}
	*out = t;
	return ERR_OK;
}

static int find_row(const void *key, const void *row)
{
	uint32_t number = *(const uint32_t *)key;
	const struct row *r = row;

	return number < r->number ? -1 : number > r->number;
}

const struct text *table_find(const struct table *t, uint64_t number)
{
	uint32_t key = (uint32_t)number;
	const struct row *r;

	if (number < DENSE_MAX)
		return t->dense[number];
	if (number > NUMBER_MAX || t->row_count == 0)
		return NULL;
	r = bsearch(&key, t->rows, t->row_count, sizeof(t->rows[0]), find_row);
	return r == NULL ? NULL : &r->name;
}
