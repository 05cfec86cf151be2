/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_flow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/room.h"
#include "sink/parquet_flow_parts.h"

#define NODES_MAX (3 * FIELD_SLOTS + 32) /* a list is two groups and a column */

#define ABOVE_32 (UINT64_MAX << 32)

struct column {
	enum step_kind step;
	uint64_t high; /* as in struct step */
	enum parquet_type type;
	enum parquet_logical logical; /* of the elements, where it is a list */
};

static const struct column columns[] = {
	[FIELD_ADDR] = { STEP_TEXT, 0, PARQUET_BYTES, PARQUET_STRING },
	[FIELD_MAC] = { STEP_TEXT, 0, PARQUET_BYTES, PARQUET_STRING },
	[FIELD_STR] = { STEP_TEXT, 0, PARQUET_BYTES, PARQUET_STRING },
	[FIELD_I32] = { STEP_NUMBER, ABOVE_32, PARQUET_INT32, PARQUET_NONE },
	[FIELD_I64] = { STEP_NUMBER, 0, PARQUET_INT64, PARQUET_NONE },
	[FIELD_F64] = { STEP_DOUBLE, 0, PARQUET_DOUBLE, PARQUET_NONE },
	[FIELD_BOOL] = { STEP_BOOL, 0, PARQUET_BOOLEAN, PARQUET_NONE },
	[FIELD_MS] = { STEP_NUMBER, 0, PARQUET_INT64, PARQUET_MS },
	[FIELD_DATE] = { STEP_NUMBER, ABOVE_32, PARQUET_INT32, PARQUET_DATE },
	[FIELD_LONGS] = { STEP_LONGS, 0, PARQUET_INT64, PARQUET_NONE },
	[FIELD_STRS] = { STEP_TEXTS, 0, PARQUET_BYTES, PARQUET_STRING },
};
/* A new type needs its row above, wherever it stands among the others. */
_Static_assert(FIELD_TYPE_COUNT == 11, "a row for each type of field");
_Static_assert(sizeof(columns) / sizeof(columns[0]) == FIELD_TYPE_COUNT, "no other rows");

static const struct column octets_column = { STEP_OCTETS, 0, PARQUET_BYTES, PARQUET_NONE };

/* ---- the schema ---- */

/* Nodes and steps while they are being made, side by side. */
struct draft {
	struct parquet_flow *flow;
	struct parquet_node *nodes;
	size_t node_count;
	uint16_t leaf_count;
};

static void add_group(struct draft *d, const char *name, enum parquet_repeat repeat,
		      enum parquet_logical logical, unsigned children)
{
	must(d->node_count < NODES_MAX);
	d->nodes[d->node_count++] = (struct parquet_node){
		.name = name, .repeat = repeat, .children = children, .logical = logical
	};
}

static void add_leaf(struct draft *d, const char *name, enum parquet_repeat repeat,
		     const struct column *c)
{
	must(d->node_count < NODES_MAX);
	d->nodes[d->node_count++] = (struct parquet_node){
		.name = name, .repeat = repeat, .type = c->type, .logical = c->logical
	};
	d->leaf_count++;
}

static void add_step(struct draft *d, enum step_kind kind, uint64_t high, bool is_required)
{
	struct parquet_flow *f = d->flow;

	must(f->step_count < STEPS_MAX);
	if (is_required && kind == STEP_NUMBER)
		kind = STEP_NUMBER_ALWAYS;
	if (is_required && kind == STEP_TEXT)
		kind = STEP_TEXT_ALWAYS;
	/* How many are to follow that may be null is known at the end. */
	f->steps[f->step_count++] = (struct step){ .high = high,
						   .lane = d->leaf_count * (uint32_t)LANE_BYTES,
						   .leaf = d->leaf_count,
						   .nulls = !is_required,
						   .kind = (uint8_t)kind,
						   .depth = !is_required };
}

static void add_column(struct draft *d, const char *name, const struct column *c, bool is_required)
{
	enum parquet_repeat repeat = is_required ? PARQUET_REQUIRED : PARQUET_OPTIONAL;

	add_step(d, c->step, c->high, is_required);
	if (c->step == STEP_LONGS || c->step == STEP_TEXTS) {
		add_group(d, name, repeat, PARQUET_LIST, 1);
		add_group(d, "list", PARQUET_REPEATED, PARQUET_NONE, 1);
		add_leaf(d, "element", PARQUET_REQUIRED, c);
	} else {
		add_leaf(d, name, repeat, c);
	}
}

static void add_elements(struct draft *d)
{
	add_step(d, STEP_MAP, 0, true);
	add_group(d, "elements", PARQUET_REQUIRED, PARQUET_MAP, 1);
	add_group(d, "key_value", PARQUET_REPEATED, PARQUET_NONE, 2);
	add_leaf(d, "key", PARQUET_REQUIRED, &columns[FIELD_STR]);
	add_leaf(d, "value", PARQUET_REQUIRED, &columns[FIELD_STR]);
}

static void add_raw(struct draft *d)
{
	add_group(d, "raw", PARQUET_REQUIRED, PARQUET_NONE, 5);
	add_column(d, "protocol_version", &columns[FIELD_I32], true);
	add_column(d, "template_id", &columns[FIELD_I32], false);
	add_elements(d);
	add_column(d, "wire", &octets_column, false);
	add_column(d, "notes", &columns[FIELD_STRS], true);
}

static int compare_names(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

/* Those of one level. */
static enum err check_names(const char *const *names, size_t count, struct why *why)
{
	const char *sorted[STEPS_MAX];

	must(count <= STEPS_MAX);
	memcpy(sorted, names, count * sizeof(names[0]));
	qsort(sorted, count, sizeof(sorted[0]), compare_names);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			return why_set(why, ERR_CONF, "two columns would have the name %s",
				       sorted[i]);
	}
	return ERR_OK;
}

/* The fields of a layer as columns; their names to `names`. */
static size_t add_fields(struct draft *d, const struct field_set *fields, enum field_layer layer,
			 const char **names)
{
	size_t first;
	size_t end = field_layer_end(fields, layer, &first);

	for (size_t i = first; i < end; i++) {
		const struct field *field = &fields->fields[i];

		must((unsigned)field->type < FIELD_TYPE_COUNT);
		names[i - first] = field->name;
		add_column(d, field->name, &columns[field->type], field->is_required);
	}
	return end - first;
}

static enum err add_layer(struct draft *d, const struct field_set *fields, enum field_layer layer,
			  enum parquet_layout layout, struct why *why)
{
	static const char *const layer_names[LAYER_COUNT] = { "normalized", "enriched" };
	struct parquet_flow *f = d->flow;
	const char *names[FIELD_SLOTS];
	size_t group = d->node_count;
	size_t count;

	if (layout == PARQUET_FLAT) {
		f->column_count += add_fields(d, fields, layer, f->columns + f->column_count);
		return ERR_OK;
	}
	f->columns[f->column_count++] = layer_names[layer];
	add_group(d, layer_names[layer], PARQUET_REQUIRED, PARQUET_NONE, 0);
	count = add_fields(d, fields, layer, names);
	d->nodes[group].children = (unsigned)count;
	return check_names(names, count, why);
}

static void count_nulls(struct parquet_flow *f)
{
	uint16_t run = 0;

	/* No empty list: that has no depth. */
	f->steps[f->step_count] = (struct step){ .kind = STEP_END, .depth = 1 };
	for (size_t i = f->step_count; i > 0; i--) {
		run = f->steps[i - 1].nulls > 0 ? (uint16_t)(run + 1) : 0;
		f->steps[i - 1].nulls = run;
	}
}

/* The names of the columns outlive the fields that they are of. */
static enum err keep_columns(struct parquet_flow *f)
{
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < f->column_count; i++)
		bytes += strlen(f->columns[i]) + 1;
	must(bytes > 0);
	f->names = malloc(bytes);
	if (f->names == NULL)
		return ERR_NOMEM;
	at = f->names;
	for (size_t i = 0; i < f->column_count; i++) {
		size_t n = strlen(f->columns[i]) + 1;

		memcpy(at, f->columns[i], n);
		f->columns[i] = at;
		at += n;
	}
	return ERR_OK;
}

static enum err make(struct draft *d, const struct field_set *fields, enum parquet_layout layout,
		     struct why *why)
{
	struct parquet_flow *f = d->flow;

	add_group(d, "schema", PARQUET_REQUIRED, PARQUET_NONE, 0);
	f->columns[f->column_count++] = "record_id";
	add_column(d, "record_id", &octets_column, true);
	TRY(add_layer(d, fields, LAYER_normalized, layout, why));
	TRY(add_layer(d, fields, LAYER_enriched, layout, why));
	add_raw(d);
	f->columns[f->column_count++] = "raw";
	TRY(check_names(f->columns, f->column_count, why));
	d->nodes[0].children = (unsigned)f->column_count;
	count_nulls(f);
	f->can_gather = parquet_flow_can_gather();
	TRY(keep_columns(f));
	TRY(room_make(&f->cells, &f->cells_room, STEPS_MAX * 2 * sizeof(struct cell)));
	return parquet_schema_new(d->nodes, d->node_count, why, &f->schema);
}

enum err parquet_flow_new(const struct field_set *fields, enum parquet_layout layout,
			  struct why *why, struct parquet_flow **out)
{
	struct draft d = { .flow = calloc(1, sizeof(struct parquet_flow)),
			   .nodes = calloc(NODES_MAX, sizeof(struct parquet_node)) };
	enum err e = ERR_NOMEM;

	if (d.flow != NULL && d.nodes != NULL)
		e = make(&d, fields, layout, why);
	if (e == ERR_NOMEM)
		e = why_set(why, e, "no memory for the columns of a schema");
	free(d.nodes);
	if (e == ERR_OK)
		*out = d.flow;
	else
		parquet_flow_free(d.flow);
	return e;
}

void parquet_flow_free(struct parquet_flow *f)
{
	if (f == NULL)
		return;
	parquet_schema_free(f->schema);
	free(f->names);
	free(f->cells);
	free(f);
}

const struct parquet_schema *parquet_flow_schema(const struct parquet_flow *f)
{
	return f->schema;
}

bool parquet_flow_has_column(const struct parquet_flow *f, const char *name)
{
	for (size_t i = 0; i < f->column_count; i++) {
		if (strcmp(f->columns[i], name) == 0)
			return true;
	}
	return false;
}
