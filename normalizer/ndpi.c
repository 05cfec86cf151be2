/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/ndpi.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "base/utf8.h"

#define PATH_BYTES 4500
#define FILE_BYTES_MAX (4 << 20)
#define ID_MAX 65535u	/* nDPI's ids are of 16 bits */
#define SCORE_MAX 65535 /* 64 of them are an int */
#define COLUMNS_MAX 8

#define TEXT(s)                                                                                    \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}
const struct text ndpi_severities[] = {
	TEXT(""),	TEXT("low"),	  TEXT("medium"),    TEXT("high"),
	TEXT("severe"), TEXT("critical"), TEXT("emergency"),
};
#define SEVERITIES (sizeof(ndpi_severities) / sizeof(ndpi_severities[0]))

/* Names of the bits that a release does not name. */
#define R(n) TEXT("risk_" #n)
static const struct text unknown_risks[NDPI_RISKS] = {
	R(0),  R(1),  R(2),  R(3),  R(4),  R(5),  R(6),	 R(7),	R(8),  R(9),  R(10), R(11), R(12),
	R(13), R(14), R(15), R(16), R(17), R(18), R(19), R(20), R(21), R(22), R(23), R(24), R(25),
	R(26), R(27), R(28), R(29), R(30), R(31), R(32), R(33), R(34), R(35), R(36), R(37), R(38),
	R(39), R(40), R(41), R(42), R(43), R(44), R(45), R(46), R(47), R(48), R(49), R(50), R(51),
	R(52), R(53), R(54), R(55), R(56), R(57), R(58), R(59), R(60), R(61), R(62), R(63),
};
#undef R
#undef TEXT

struct ndpi_releases {
	struct ndpi **all;
	size_t count;
};

/* Where a row stands, and its columns; those that are not there are "". */
struct row {
	const char *path;
	unsigned line;
	char *columns[COLUMNS_MAX];
	struct why *why;
};

struct categories {
	const char **names;
	size_t count;
};

/* While one release is loaded. */
struct load {
	struct ndpi *ndpi;
	struct categories categories;
	bool has_risk[NDPI_RISKS];
};

typedef enum err row_fn(struct load *load, const struct row *row);

static void free_one(struct ndpi *n)
{
	if (n == NULL)
		return;
	table_free(n->confidence);
	for (size_t i = 0; i < sizeof(n->files) / sizeof(n->files[0]); i++)
		free(n->files[i]);
	free(n->protocols);
	free(n->release);
	free(n);
}

void ndpi_free(struct ndpi_releases *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->count; i++)
		free_one(r->all[i]);
	free((void *)r->all);
	free(r);
}

static enum err wrong(const struct row *row, const char *what)
{
	return why_set(row->why, ERR_CONF, "%s:%u: %s", row->path, row->line, what);
}

static enum err read_number(const struct row *row, const char *text, unsigned long max,
			    const char *what, uint32_t *out)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v > max)
		return why_set(row->why, ERR_CONF, "%s:%u: %s `%s' is no number up to %lu",
			       row->path, row->line, what, text, max);
	*out = (uint32_t)v;
	return ERR_OK;
}

static struct text text_of(const char *s)
{
	return (struct text){ s[0] == '\0' ? NULL : s, (uint32_t)strlen(s) };
}

static const char *category_at(const void *words, size_t i)
{
	const struct categories *c = words;

	return c->names[i];
}

static enum err add_category(struct load *load, const struct row *row)
{
	struct categories *c = &load->categories;
	uint32_t id = 0;
	const char **names;

	TRY(read_number(row, row->columns[0], ID_MAX, "id", &id));
	names = (const char **)realloc((void *)c->names, (c->count + 1) * sizeof(*names));
	if (names == NULL)
		return ERR_NOMEM;
	c->names = names;
	c->names[c->count++] = row->columns[1];
	return ERR_OK;
}

/* A category that the release has not is a slip of the pen. */
static enum err check_category(const struct categories *c, const struct row *row, const char *name)
{
	for (size_t i = 0; i < c->count; i++) {
		if (name[0] == '\0' || strcmp(c->names[i], name) == 0)
			return ERR_OK;
	}
	return why_set(row->why, ERR_CONF, "%s:%u: unknown category `%s' (nearest: `%s')",
		       row->path, row->line, name, nearest_of(name, category_at, c, c->count));
}

static enum err add_protocol(struct load *load, const struct row *row)
{
	struct ndpi *n = load->ndpi;
	uint32_t id = 0;

	TRY(read_number(row, row->columns[0], ID_MAX, "id", &id));
	TRY(check_category(&load->categories, row, row->columns[6]));
	if (id >= n->protocol_count) {
		struct ndpi_protocol *all = realloc(n->protocols, (id + 1) * sizeof(*n->protocols));

		if (all == NULL)
			return ERR_NOMEM;
		memset(all + n->protocol_count, 0,
		       (id + 1 - n->protocol_count) * sizeof(*n->protocols));
		n->protocols = all;
		n->protocol_count = id + 1;
	}
	if (n->protocols[id].name.octets != NULL)
		return wrong(row, "the id stands in another line too");
	n->protocols[id].name = text_of(row->columns[1]);
	n->protocols[id].breed = text_of(row->columns[5]);
	n->protocols[id].category = text_of(row->columns[6]);
	return ERR_OK;
}

static const char *severity_at(const void *words, size_t i)
{
	const struct text *t = words;

	return t[i].octets;
}

static enum err read_severity(const struct row *row, const char *word, uint32_t *out)
{
	for (uint32_t i = 1; i < SEVERITIES; i++) {
		if (strcmp(ndpi_severities[i].octets, word) == 0) {
			*out = i;
			return ERR_OK;
		}
	}
	return why_set(row->why, ERR_CONF, "%s:%u: unknown severity `%s' (nearest: `%s')",
		       row->path, row->line, word,
		       nearest_of(word, severity_at, ndpi_severities + 1, SEVERITIES - 1));
}

static enum err add_risk(struct load *load, const struct row *row)
{
	char *const *columns = row->columns;
	struct ndpi_risk risk = { .name = text_of(columns[1]) };
	uint32_t scores[3] = { 0 };
	uint32_t bit = 0;

	TRY(read_number(row, columns[0], NDPI_RISKS - 1, "bit", &bit));
	if (load->has_risk[bit])
		return wrong(row, "the bit stands in another line too");
	if (columns[3][0] != '\0' || columns[4][0] != '\0' || columns[5][0] != '\0' ||
	    columns[6][0] != '\0') {
		TRY(read_severity(row, columns[3], &risk.severity));
		for (size_t i = 0; i < 3; i++)
			TRY(read_number(row, columns[4 + i], SCORE_MAX, "score", &scores[i]));
		if (scores[1] + scores[2] != scores[0])
			return wrong(row, "client and server do not make the score");
	}
	risk.score = (int32_t)scores[0];
	risk.client = (int32_t)scores[1];
	risk.server = (int32_t)scores[2];
	load->has_risk[bit] = true;
	load->ndpi->risks[bit] = risk;
	return ERR_OK;
}

/* Cuts the line in place. */
static enum err split(char *line, struct row *row)
{
	size_t count = 0;

	for (char *at = line; at != NULL && count < COLUMNS_MAX; count++)
		row->columns[count] = strsep(&at, "\t");
	for (; count < COLUMNS_MAX; count++)
		row->columns[count] = line + strlen(line);
	if (row->columns[1][0] == '\0')
		return wrong(row, "a row is a number, a tab and a name");
	for (size_t i = 0; i < COLUMNS_MAX; i++) {
		const char *c = row->columns[i];

		if (!utf8_is_valid((const uint8_t *)c, strlen(c)))
			return wrong(row, "a column is not UTF-8");
	}
	return ERR_OK;
}

static enum err read_rows(char *text, struct load *load, row_fn *fn, struct row *row)
{
	for (row->line = 1; text != NULL; row->line++) {
		char *line = strsep(&text, "\n");
		size_t bytes = strlen(line);

		if (bytes > 0 && line[bytes - 1] == '\r')
			line[bytes - 1] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		TRY(split(line, row));
		TRY(fn(load, row));
	}
	return ERR_OK;
}

/* The whole file, ended by 0; pages of the buffer that it does not fill are never touched. */
static enum err read_file(const char *path, struct why *why, char **out)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t bytes = 0;
	enum err e = ERR_OK;

	if (file == NULL)
		return why_errno(why, ERR_CONF, path);
	text = malloc(FILE_BYTES_MAX + 1);
	if (text == NULL)
		e = ERR_NOMEM;
	else
		bytes = fread(text, 1, FILE_BYTES_MAX + 1, file);
	if (e == ERR_OK && ferror(file))
		e = why_errno(why, ERR_IO, path);
	else if (e == ERR_OK && bytes > FILE_BYTES_MAX)
		e = why_set(why, ERR_CONF, "%s: more than %d octets", path, FILE_BYTES_MAX);
	else if (e == ERR_OK && memchr(text, 0, bytes) != NULL)
		e = why_set(why, ERR_CONF, "%s: an octet is 0", path);
	(void)fclose(file);
	if (e != ERR_OK) {
		free(text);
		return e;
	}
	text[bytes] = '\0';
	*out = text;
	return ERR_OK;
}

static enum err load_files(const char *dir, struct load *load, struct why *why)
{
	static const struct {
		const char *name;
		row_fn *fn;
	} files[] = { { "categories", add_category },
		      { "protocols", add_protocol },
		      { "risks", add_risk } };
	char path[PATH_BYTES];
	struct row row = { .path = path, .why = why };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (snprintf(path, sizeof(path), "%s/%s.tsv", dir, files[i].name) >=
		    (int)sizeof(path))
			return why_set(why, ERR_CONF, "%s: path too long", dir);
		TRY(read_file(path, why, &load->ndpi->files[i]));
		TRY(read_rows(load->ndpi->files[i], load, files[i].fn, &row));
	}
	if (snprintf(path, sizeof(path), "%s/confidence.tsv", dir) >= (int)sizeof(path))
		return why_set(why, ERR_CONF, "%s: path too long", dir);
	return table_load(path, why, &load->ndpi->confidence);
}

static enum err load_one(const char *dir, const char *name, struct why *why, struct ndpi **out)
{
	struct load load = { .ndpi = calloc(1, sizeof(*load.ndpi)) };
	char path[PATH_BYTES];
	enum err e;

	if (load.ndpi == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < NDPI_RISKS; i++)
		load.ndpi->risks[i].name = unknown_risks[i];
	load.ndpi->release = strdup(name);
	if (load.ndpi->release == NULL)
		e = ERR_NOMEM;
	else if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		e = why_set(why, ERR_CONF, "%s: path too long", dir);
	else
		e = load_files(path, &load, why);
	free((void *)load.categories.names);
	if (e != ERR_OK) {
		free_one(load.ndpi);
		return e;
	}
	*out = load.ndpi;
	return ERR_OK;
}

static int is_release(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       (entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN);
}

static enum err load_all(const char *dir, struct why *why, struct ndpi_releases *r)
{
	struct dirent **names;
	int count = scandir(dir, &names, is_release, alphasort);
	enum err e = ERR_OK;

	if (count < 0)
		return errno == ENOENT ? ERR_OK : why_errno(why, ERR_CONF, dir);
	r->all = (struct ndpi **)calloc((size_t)count + 1, sizeof(struct ndpi *));
	if (r->all == NULL)
		e = ERR_NOMEM;
	for (int i = 0; i < count; i++) {
		if (e == ERR_OK)
			e = load_one(dir, names[i]->d_name, why, &r->all[r->count]);
		if (e == ERR_OK)
			r->count++;
		free(names[i]);
	}
	free((void *)names);
	return e;
}

enum err ndpi_load(const char *tables_dir, struct why *why, struct ndpi_releases **out)
{
	struct ndpi_releases *r = calloc(1, sizeof(*r));
	char dir[PATH_BYTES];
	enum err e = ERR_NOMEM;

	if (r != NULL && snprintf(dir, sizeof(dir), "%s/ndpi", tables_dir) >= (int)sizeof(dir))
		e = why_set(why, ERR_CONF, "%s: path too long", tables_dir);
	else if (r != NULL)
		e = load_all(dir, why, r);
	if (e == ERR_NOMEM)
		(void)why_set(why, e, "no memory for nDPI's tables");
	if (e != ERR_OK) {
		ndpi_free(r);
		return e;
	}
	*out = r;
	return ERR_OK;
}

static const char *release_at(const void *words, size_t i)
{
	const struct ndpi_releases *r = words;

	return r->all[i]->release;
}

enum err ndpi_find(const struct ndpi_releases *r, const char *name, struct why *why,
		   const struct ndpi **out)
{
	for (size_t i = 0; i < r->count; i++) {
		if (strcmp(r->all[i]->release, name) == 0) {
			*out = r->all[i];
			return ERR_OK;
		}
	}
	return why_set(why, ERR_CONF, "unknown nDPI release `%s' (nearest: `%s')", name,
		       nearest_of(name, release_at, r, r->count));
}
