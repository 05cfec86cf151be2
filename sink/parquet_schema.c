/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_schema.h"

#include <stdlib.h>
#include <string.h>

/* As parquet.thrift numbers them: enum Type, enum ConvertedType, union LogicalType. */
static const int32_t physical[] = { [PARQUET_BOOLEAN] = 0,
				    [PARQUET_INT32] = 1,
				    [PARQUET_INT64] = 2,
				    [PARQUET_DOUBLE] = 5,
				    [PARQUET_BYTES] = 6 };
enum { CONVERTED_NONE = -1 };
static const struct {
	int32_t converted;
	int logical; /* field of the union */
} annotations[] = {
	[PARQUET_NONE] = { CONVERTED_NONE, 0 },
	[PARQUET_STRING] = { 0, 1 },
	[PARQUET_MS] = { 9, 8 },
	[PARQUET_DATE] = { 6, 6 },
	[PARQUET_LIST] = { 3, 3 },
	[PARQUET_MAP] = { 1, 2 },
};

/* The way from the root to the node at hand. */
struct walk {
	struct parquet_schema *schema;
	struct why *why;
	unsigned depth;
	unsigned left[PARQUET_DEPTH_MAX + 1]; /* children that each open group still waits for */
	const struct parquet_node *open[PARQUET_DEPTH_MAX + 1];
};

static enum err check_group(const struct walk *w, size_t at)
{
	const struct parquet_node *n = &w->schema->nodes[at];
	const struct parquet_node *inner = n + 1;
	const struct parquet_node *end = w->schema->nodes + w->schema->node_count;
	unsigned children = n->logical == PARQUET_MAP ? 2 : 1;

	if (n->logical == PARQUET_NONE)
		return ERR_OK;
	if (n->logical != PARQUET_LIST && n->logical != PARQUET_MAP)
		return why_set(w->why, ERR_CONF, "%s: not a type of a group", n->name);
	/* LogicalTypes.md, "Lists" and "Maps". */
	if (n->repeat == PARQUET_REPEATED || n->children != 1 || inner >= end ||
	    inner->repeat != PARQUET_REPEATED || inner->children != children)
		return why_set(w->why, ERR_CONF, "%s: not the shape of a list or map", n->name);
	if (n->logical == PARQUET_MAP &&
	    (inner + 1 >= end || inner[1].children > 0 || inner[1].repeat != PARQUET_REQUIRED))
		return why_set(w->why, ERR_CONF, "%s: a map's key is required", n->name);
	return ERR_OK;
}

static enum err check_column(const struct walk *w, const struct parquet_node *n)
{
	static const enum parquet_type types[] = { [PARQUET_STRING] = PARQUET_BYTES,
						   [PARQUET_MS] = PARQUET_INT64,
						   [PARQUET_DATE] = PARQUET_INT32 };

	if ((unsigned)n->type > PARQUET_BYTES || (unsigned)n->logical > PARQUET_MAP)
		return why_set(w->why, ERR_CONF, "%s: no such type", n->name);
	if (n->logical == PARQUET_LIST || n->logical == PARQUET_MAP)
		return why_set(w->why, ERR_CONF, "%s: a list or map without children", n->name);
	if (n->logical != PARQUET_NONE && types[n->logical] != n->type)
		return why_set(w->why, ERR_CONF, "%s: not a type of such a column", n->name);
	return ERR_OK;
}

static enum err add_leaf(struct walk *w, const struct parquet_node *n)
{
	struct parquet_schema *s = w->schema;
	struct parquet_leaf *l = &s->leaves[s->leaf_count];
	size_t bytes = 0;
	char *path;

	l->type = n->type;
	for (unsigned d = 1; d <= w->depth; d++) {
		const struct parquet_node *on = d == w->depth ? n : w->open[d];

		l->names[l->depth++] = on->name;
		l->max_def = (uint8_t)(l->max_def + (on->repeat != PARQUET_REQUIRED));
		l->max_rep = (uint8_t)(l->max_rep + (on->repeat == PARQUET_REPEATED));
		bytes += strlen(on->name) + 1;
	}
	path = malloc(bytes);
	if (path == NULL)
		return ERR_NOMEM;
	l->path = path;
	for (unsigned d = 0; d < l->depth; d++) {
		path = stpcpy(path, l->names[d]);
		*path++ = d + 1 < l->depth ? '.' : '\0';
	}
	s->leaf_count++;
	return ERR_OK;
}

static enum err add_node(struct walk *w, size_t at)
{
	const struct parquet_node *n = &w->schema->nodes[at];

	if (w->depth > PARQUET_DEPTH_MAX)
		return why_set(w->why, ERR_LIMIT, "%s: deeper than %d", n->name, PARQUET_DEPTH_MAX);
	if ((unsigned)n->repeat > PARQUET_REPEATED)
		return why_set(w->why, ERR_CONF, "%s: no such repetition", n->name);
	if (n->children == 0) {
		if (w->schema->leaf_count == PARQUET_LEAVES_MAX)
			return why_set(w->why, ERR_LIMIT, "more than %d columns",
				       PARQUET_LEAVES_MAX);
		TRY(check_column(w, n));
		return add_leaf(w, n);
	}
	if (w->depth == PARQUET_DEPTH_MAX)
		return why_set(w->why, ERR_LIMIT, "%s: deeper than %d", n->name, PARQUET_DEPTH_MAX);
	TRY(check_group(w, at));
	w->open[w->depth] = n;
	w->left[w->depth] = n->children;
	w->depth++;
	return ERR_OK;
}

static enum err compile(struct parquet_schema *s, struct why *why)
{
	struct walk w = { .schema = s, .why = why };

	if (s->node_count == 0 || s->nodes[0].children == 0)
		return why_set(why, ERR_CONF, "a schema without columns");
	for (size_t i = 0; i < s->node_count; i++) {
		if (i > 0 && w.depth == 0)
			return why_set(why, ERR_CONF, "%s: beyond the root", s->nodes[i].name);
		if (w.depth > 0)
			w.left[w.depth - 1]--;
		TRY(add_node(&w, i));
		while (w.depth > 0 && w.left[w.depth - 1] == 0)
			w.depth--;
	}
	if (w.depth > 0)
		return why_set(why, ERR_CONF, "%s: children are missing",
			       w.open[w.depth - 1]->name);
	return ERR_OK;
}

enum err parquet_schema_new(const struct parquet_node *nodes, size_t count, struct why *why,
			    struct parquet_schema **out)
{
	struct parquet_schema *s = calloc(1, sizeof(*s));
	enum err e = ERR_NOMEM;

	if (s == NULL)
		return ERR_NOMEM;
	s->nodes = calloc(count + 1, sizeof(*s->nodes));
	s->leaves = calloc(count + 1, sizeof(*s->leaves));
	if (s->nodes == NULL || s->leaves == NULL)
		goto fail;
	for (; s->node_count < count; s->node_count++) {
		struct parquet_node *n = &s->nodes[s->node_count];

		*n = nodes[s->node_count];
		n->name = strdup(n->name);
		if (n->name == NULL)
			goto fail;
	}
	e = compile(s, why);
	if (e != ERR_OK)
		goto fail;
	*out = s;
	return ERR_OK;
fail:
	parquet_schema_free(s);
	return e;
}

void parquet_schema_free(struct parquet_schema *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; s->nodes != NULL && i < s->node_count; i++)
		free((char *)s->nodes[i].name);
	for (size_t i = 0; i < s->leaf_count; i++)
		free((char *)s->leaves[i].path);
	free(s->nodes);
	free(s->leaves);
	free(s);
}

size_t parquet_schema_leaves(const struct parquet_schema *s)
{
	return s->leaf_count;
}

unsigned parquet_schema_max_def(const struct parquet_schema *s, unsigned leaf)
{
	return s->leaves[leaf].max_def;
}

unsigned parquet_schema_max_rep(const struct parquet_schema *s, unsigned leaf)
{
	return s->leaves[leaf].max_rep;
}

const char *parquet_schema_path(const struct parquet_schema *s, unsigned leaf)
{
	return s->leaves[leaf].path;
}

static void write_logical(struct parquet_thrift *t, enum parquet_logical logical)
{
	thrift_struct(t, 10);
	if (logical == PARQUET_MS) {
		thrift_struct(t, annotations[logical].logical);
		thrift_bool(t, 1, true); /* isAdjustedToUTC */
		thrift_struct(t, 2);
		thrift_empty(t, 1); /* MILLIS */
		thrift_end(t);
		thrift_end(t);
	} else {
		thrift_empty(t, annotations[logical].logical);
	}
	thrift_end(t);
}

void parquet_schema_write(struct parquet_thrift *t, int id, const struct parquet_schema *s)
{
	thrift_list(t, id, THRIFT_STRUCT, s->node_count);
	for (size_t i = 0; i < s->node_count; i++) {
		const struct parquet_node *n = &s->nodes[i];

		thrift_begin(t);
		if (n->children == 0)
			thrift_i32(t, 1, physical[n->type]);
		if (i > 0) /* the root has none */
			thrift_i32(t, 3, (int32_t)n->repeat);
		thrift_text(t, 4, n->name);
		if (n->children > 0)
			thrift_i32(t, 5, (int32_t)n->children);
		if (n->logical != PARQUET_NONE) {
			thrift_i32(t, 6, annotations[n->logical].converted);
			write_logical(t, n->logical);
		}
		thrift_end(t);
	}
}
