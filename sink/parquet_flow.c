/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_flow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/room.h"
#include "base/utf8.h"
#include "sink/avro_wire.h"

#define FIXED_STEPS 6 /* record_id and the members of raw */
#define STEPS_MAX (FIELD_SLOTS + FIXED_STEPS)
#define NODES_MAX (3 * FIELD_SLOTS + 32) /* a list is two groups and a column */
#define HIGH_BITS UINT64_C(0x8080808080808080)
#define NEAR 24 /* octets: what a union's index and a number may take, and some */

/* How a value stands in the record. */
enum step_kind {
	STEP_OCTETS,
	STEP_TEXT,
	STEP_INT, /* a number of 32 bits */
	STEP_LONG,
	STEP_TIME, /* a long, mostly of six octets */
	STEP_DOUBLE,
	STEP_BOOL,
	STEP_LONGS,
	STEP_TEXTS,
	STEP_MAP /* of texts */
};

/* What becomes of a value that was read: parquet_put_*() of that kind. */
enum cell_kind {
	CELL_OCTETS,
	CELL_TEXT,
	CELL_I64,
	CELL_F64,
	CELL_TEXT_AT,
	CELL_I64_AT,
	CELL_NULL_AT
};

struct cell_head {
	uint32_t bytes;
	uint16_t leaf;
	uint8_t kind;
	uint8_t levels; /* of definition; with CELL_AGAIN it goes on with the row's list */
};

#define CELL_AGAIN 0x80

struct cell {
	struct cell_head head;
	union {
		const uint8_t *octets;
		int64_t i64;
		double f64;
	};
};

/* One value of the record, in its order. */
struct step {
	struct cell_head
		head;	/* of what is no list; the leaf is a map's keys, its values are the next */
	uint16_t nulls; /* steps from here on, one after the other, that may be null; 0: required */
	uint8_t kind;
	uint8_t depth; /* of a list or map: its definition level when it is there and empty */
};

struct parquet_flow {
	struct parquet_schema *schema;
	struct step steps[STEPS_MAX];
	size_t step_count;
	uint8_t *cells; /* struct cell; always room for one of each step that is to come */
	size_t cells_room;
	size_t cell_count;
	char *names; /* what `columns` points to */
	const char *columns[STEPS_MAX];
	size_t column_count;
	uint8_t tail[2 * NEAR]; /* the end of the record, and zeros */
};

struct column {
	enum step_kind step;
	enum parquet_type type;
	enum parquet_logical logical; /* of the elements, where it is a list */
};

static const struct column columns[] = {
	[FIELD_ADDR] = { STEP_TEXT, PARQUET_BYTES, PARQUET_STRING },
	[FIELD_MAC] = { STEP_TEXT, PARQUET_BYTES, PARQUET_STRING },
	[FIELD_STR] = { STEP_TEXT, PARQUET_BYTES, PARQUET_STRING },
	[FIELD_I32] = { STEP_INT, PARQUET_INT32, PARQUET_NONE },
	[FIELD_I64] = { STEP_LONG, PARQUET_INT64, PARQUET_NONE },
	[FIELD_F64] = { STEP_DOUBLE, PARQUET_DOUBLE, PARQUET_NONE },
	[FIELD_BOOL] = { STEP_BOOL, PARQUET_BOOLEAN, PARQUET_NONE },
	[FIELD_MS] = { STEP_TIME, PARQUET_INT64, PARQUET_MS },
	[FIELD_DATE] = { STEP_INT, PARQUET_INT32, PARQUET_DATE },
	[FIELD_LONGS] = { STEP_LONGS, PARQUET_INT64, PARQUET_NONE },
	[FIELD_STRS] = { STEP_TEXTS, PARQUET_BYTES, PARQUET_STRING },
};
/* A new type needs its row above, wherever it stands among the others. */
_Static_assert(FIELD_TYPE_COUNT == 11, "a row for each type of field");
_Static_assert(sizeof(columns) / sizeof(columns[0]) == FIELD_TYPE_COUNT, "no other rows");

static const struct column octets_column = { STEP_OCTETS, PARQUET_BYTES, PARQUET_NONE };

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

static void add_step(struct draft *d, enum step_kind kind, bool is_required)
{
	static const uint8_t cells[] = {
		[STEP_OCTETS] = CELL_OCTETS, [STEP_TEXT] = CELL_TEXT,
		[STEP_INT] = CELL_I64,	     [STEP_LONG] = CELL_I64,
		[STEP_TIME] = CELL_I64,	     [STEP_DOUBLE] = CELL_F64,
		[STEP_BOOL] = CELL_I64,	     [STEP_LONGS] = CELL_I64_AT,
		[STEP_TEXTS] = CELL_TEXT_AT, [STEP_MAP] = CELL_TEXT_AT,
	};
	struct parquet_flow *f = d->flow;

	must(f->step_count < STEPS_MAX);
	/* How many are to follow that may be null is known at the end. */
	f->steps[f->step_count++] =
		(struct step){ .head = { .leaf = d->leaf_count, .kind = cells[kind] },
			       .nulls = !is_required,
			       .kind = (uint8_t)kind,
			       .depth = !is_required };
}

static void add_column(struct draft *d, const char *name, const struct column *c, bool is_required)
{
	enum parquet_repeat repeat = is_required ? PARQUET_REQUIRED : PARQUET_OPTIONAL;

	add_step(d, c->step, is_required);
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
	add_step(d, STEP_MAP, true);
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

/* A name of one level; ERR_CONF when it has it already. */
static enum err add_name(const char **names, size_t *count, const char *name, struct why *why)
{
	for (size_t i = 0; i < *count; i++) {
		if (strcmp(names[i], name) == 0)
			return why_set(why, ERR_CONF, "two columns would have the name %s", name);
	}
	names[(*count)++] = name;
	return ERR_OK;
}

static enum err add_layer(struct draft *d, const struct field_set *fields, enum field_layer layer,
			  enum parquet_layout layout, struct why *why)
{
	static const char *const layer_names[LAYER_COUNT] = { "normalized", "enriched" };
	struct parquet_flow *f = d->flow;
	const char *nested[FIELD_SLOTS];
	const char **names = layout == PARQUET_FLAT ? f->columns : nested;
	size_t nested_count = 0;
	size_t *count = layout == PARQUET_FLAT ? &f->column_count : &nested_count;
	size_t first;
	size_t end = field_layer_end(fields, layer, &first);

	if (layout == PARQUET_NESTED) {
		TRY(add_name(f->columns, &f->column_count, layer_names[layer], why));
		add_group(d, layer_names[layer], PARQUET_REQUIRED, PARQUET_NONE,
			  (unsigned)(end - first));
	}
	for (size_t i = first; i < end; i++) {
		const struct field *field = &fields->fields[i];

		must((unsigned)field->type < FIELD_TYPE_COUNT);
		TRY(add_name(names, count, field->name, why));
		add_column(d, field->name, &columns[field->type], field->is_required);
	}
	return ERR_OK;
}

static void count_nulls(struct parquet_flow *f)
{
	uint16_t run = 0;

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
	TRY(add_name(f->columns, &f->column_count, "record_id", why));
	add_column(d, f->columns[0], &octets_column, true);
	TRY(add_layer(d, fields, LAYER_normalized, layout, why));
	TRY(add_layer(d, fields, LAYER_enriched, layout, why));
	add_raw(d);
	TRY(add_name(f->columns, &f->column_count, "raw", why));
	d->nodes[0].children = (unsigned)f->column_count;
	count_nulls(f);
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

/* ---- a record's cells ---- */

static inline uint64_t load(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* Some octet of the text above 0x7f leaves one of HIGH_BITS.  Past its end the record goes on, mostly. */
static inline uint64_t text_bits(const uint8_t *octets, size_t bytes, const uint8_t *end)
{
	uint64_t all = 0;

	if (bytes >= 8) {
		all = load(octets) | load(octets + bytes - 8);
		for (size_t i = 8; i + 8 < bytes; i += 8)
			all |= load(octets + i);
		return all;
	}
	if (__builtin_expect(end - octets >= 8, 1))
		return load(octets) & ((UINT64_C(1) << 8 * bytes) - 1);
	for (size_t i = 0; i < bytes; i++)
		all |= octets[i];
	return all;
}

/* One more cell of a list: with it there is still room for one of each step.  NULL: no memory. */
static struct cell *more_cells(struct parquet_flow *f)
{
	size_t need = (f->cell_count + 1 + f->step_count) * sizeof(struct cell);

	if (need > f->cells_room && room_make(&f->cells, &f->cells_room, 2 * need) != ERR_OK)
		return NULL;
	return (struct cell *)(void *)f->cells + f->cell_count++;
}

static bool read_text_at(struct parquet_flow *f, struct rd *in, struct cell_head head,
			 uint64_t *bits)
{
	struct cell *c = more_cells(f);
	size_t bytes;

	if (c == NULL)
		return false;
	c->octets = avro_read_octets(in, &bytes);
	head.bytes = (uint32_t)bytes;
	c->head = head;
	if (bytes > 0)
		*bits |= text_bits(c->octets, bytes, in->end);
	return true;
}

static bool read_item(struct parquet_flow *f, const struct step *s, struct rd *in,
		      struct cell_head head, uint64_t *bits)
{
	struct cell *c;

	if (s->kind == STEP_LONGS) {
		c = more_cells(f);
		if (c == NULL)
			return false;
		c->head = head;
		c->i64 = avro_read_long(in);
		return true;
	}
	if (!read_text_at(f, in, head, bits))
		return false;
	head.leaf++;
	return s->kind == STEP_TEXTS || read_text_at(f, in, head, bits);
}

/* A list or map.  An empty one that is required is what a column without a value is. */
static bool read_items(struct parquet_flow *f, const struct step *s, struct rd *in, uint64_t *bits)
{
	struct cell_head head = s->head;
	struct cell *c;

	head.levels = (uint8_t)(s->depth + 1);
	for (uint64_t n = avro_read_block(in); n > 0; n = avro_read_block(in)) {
		for (uint64_t i = 0; i < n && !in->is_short; i++) {
			if (!read_item(f, s, in, head, bits))
				return false;
			head.levels |= CELL_AGAIN;
		}
	}
	if ((head.levels & CELL_AGAIN) != 0 || s->depth == 0)
		return true;
	c = more_cells(f);
	if (c == NULL)
		return false;
	c->head = (struct cell_head){ .kind = CELL_NULL_AT,
				      .leaf = s->head.leaf,
				      .levels = s->depth };
	return true;
}

/* Milliseconds since 1970 take six octets from 1971 to 2039. */
static inline const uint8_t *take_time(const uint8_t *p, uint64_t *v)
{
	uint64_t w = load(p);

	if (__builtin_expect((w & 0x808080808080) != 0x008080808080, 0))
		return avro_take_varint(p, v);
	w = (w & 0x007f007f007f) | (w & 0x7f007f007f00) >> 1;
	*v = (w & 0x3fff) | (w & 0x3fff0000) >> 2 | (w & 0x3fff00000000) >> 4;
	return p + 6;
}

/* One value that is no list, where NEAR octets may be read; what stands after it, or NULL when it is
 * none.  It may go on past `end`, which is looked at before the next one. */
static inline __attribute__((always_inline)) const uint8_t *
take_value(const struct step *s, const uint8_t *p, const uint8_t *end, struct cell *c,
	   uint64_t *bits)
{
	uint64_t v;

	c->head = s->head;
	switch ((enum step_kind)s->kind) {
	case STEP_TEXT:
	case STEP_OCTETS:
		p = avro_take_varint(p, &v);
		if (p == NULL || (v & 1) != 0 || (int64_t)(v >> 1) > end - p)
			return NULL;
		v >>= 1;
		c->octets = p;
		c->head.bytes = (uint32_t)v;
		if (s->kind == STEP_TEXT)
			*bits |= text_bits(p, v, end);
		return p + v;
	case STEP_INT:
		p = avro_take_varint(p, &v);
		c->i64 = avro_unzigzag(v);
		return v <= UINT32_MAX ? p : NULL;
	case STEP_LONG:
		p = avro_take_varint(p, &v);
		c->i64 = avro_unzigzag(v);
		return p;
	case STEP_TIME:
		p = take_time(p, &v);
		c->i64 = avro_unzigzag(v);
		return p;
	case STEP_BOOL:
		c->i64 = p[0];
		return p[0] <= 1 ? p + 1 : NULL;
	case STEP_DOUBLE:
		memcpy(&c->f64, p, sizeof(c->f64));
		return p + sizeof(c->f64);
	case STEP_LONGS:
	case STEP_TEXTS:
	case STEP_MAP:
	default:
		__builtin_unreachable();
	}
}

/* How many of the steps from here on, up to 8, are absent; the first is. */
static inline size_t count_nulls_at(const uint8_t *p, size_t most)
{
	uint64_t word = load(p);
	size_t n = word == 0 ? sizeof(word) : (unsigned)__builtin_ctzll(word) / 8;

	return n < most ? n : most;
}

/* The branch of a union, 1 or 0, that is not written as our own encoder does; NULL when it is neither. */
static const uint8_t *take_index(const uint8_t *p, bool *is_there)
{
	uint64_t v;

	p = avro_take_varint(p, &v);
	*is_there = v == 2;
	return v == 2 || v == 0 ? p : NULL;
}

static bool has_texts(const struct parquet_flow *f)
{
	const struct cell *cells = (const struct cell *)(const void *)f->cells;

	for (size_t i = 0; i < f->cell_count; i++) {
		if ((cells[i].head.kind == CELL_TEXT || cells[i].head.kind == CELL_TEXT_AT) &&
		    !utf8_is_valid(cells[i].octets, cells[i].head.bytes))
			return false;
	}
	return true;
}

/* Where a record is being read. */
struct place {
	const uint8_t *at;
	const uint8_t *end;
	struct cell *cell; /* the next */
	uint64_t bits;	   /* of all texts */
};

/* A list or map, which may move the cells. */
static enum err read_list(struct parquet_flow *f, const struct step *s, struct place *at)
{
	struct rd in;

	if (at->at > at->end)
		return ERR_FORMAT;
	in = rd_of(at->at, (size_t)(at->end - at->at));
	f->cell_count = (size_t)(at->cell - (struct cell *)(void *)f->cells);
	if (!read_items(f, s, &in, &at->bits))
		return ERR_NOMEM;
	at->at = in.at;
	at->cell = (struct cell *)(void *)f->cells + f->cell_count;
	return in.is_short ? ERR_FORMAT : ERR_OK;
}

/* The last octets move to where zeros follow, and need no counting there before they are read. */
static void move_to_tail(struct parquet_flow *f, const uint8_t **p, const uint8_t **end)
{
	size_t left = (size_t)(*end - *p);

	memset(f->tail, 0, sizeof(f->tail));
	memcpy(f->tail, *p, left);
	*p = f->tail;
	*end = f->tail + left;
}

/* The steps from *s on that are absent here: *s is then the first that is not, and what stands after its
 * index is returned.  NULL: this is no record. */
static inline __attribute__((always_inline)) const uint8_t *
skip_nulls(const struct step **s, const uint8_t *p, bool *is_there)
{
	*is_there = true;
	if (__builtin_expect(p[0] == 2, 1))
		return p + 1;
	*is_there = false;
	if (__builtin_expect(p[0] == 0, 1)) {
		size_t run = count_nulls_at(p, (*s)->nulls);

		*s += run;
		return p + run;
	}
	p = take_index(p, is_there);
	*s += !*is_there;
	return p;
}

/* All of the record as cells.  `near` octets are to be left before each step. */
static enum err read_record(struct parquet_flow *f, const uint8_t *p, size_t bytes)
{
	const struct step *s = f->steps;
	const struct step *stop = s + f->step_count;
	const uint8_t *end = p + bytes;
	struct cell *c = (struct cell *)(void *)f->cells;
	ptrdiff_t near = NEAR;
	uint64_t bits = 0;

	while (s < stop && p != NULL) {
		bool is_there = true;

		if (__builtin_expect(end - p < near, 0)) {
			if (near > 0)
				move_to_tail(f, &p, &end);
			near = 0;
			if (p > end)
				return ERR_FORMAT;
		}
		if (s->nulls > 0)
			p = skip_nulls(&s, p, &is_there);
		if (!is_there || p == NULL)
			continue;
		if (__builtin_expect(s->kind < STEP_LONGS, 1)) {
			p = take_value(s, p, end, c, &bits);
			c++;
		} else {
			struct place at = { p, end, c, bits };

			TRY(read_list(f, s, &at));
			p = at.at;
			c = at.cell;
			bits = at.bits;
		}
		s++;
	}
	f->cell_count = (size_t)(c - (struct cell *)(void *)f->cells);
	if (p != end)
		return ERR_FORMAT;
	return (bits & HIGH_BITS) == 0 || has_texts(f) ? ERR_OK : ERR_FORMAT;
}

/* ---- a row ---- */

static void put_cell(struct parquet *p, const struct cell *c)
{
	const struct cell_head *h = &c->head;
	unsigned rep = (h->levels & CELL_AGAIN) != 0;
	unsigned def = h->levels & (CELL_AGAIN - 1);

	switch ((enum cell_kind)h->kind) {
	case CELL_OCTETS:
	case CELL_TEXT:
		parquet_put_octets(p, h->leaf, c->octets, h->bytes);
		break;
	case CELL_I64:
		parquet_put_i64(p, h->leaf, c->i64);
		break;
	case CELL_F64:
		parquet_put_f64(p, h->leaf, c->f64);
		break;
	case CELL_TEXT_AT:
		parquet_put_octets_at(p, h->leaf, rep, def, c->octets, h->bytes);
		break;
	case CELL_I64_AT:
		parquet_put_i64_at(p, h->leaf, rep, def, c->i64);
		break;
	case CELL_NULL_AT:
		parquet_put_null_at(p, h->leaf, rep, def);
		break;
	default:
		__builtin_unreachable();
	}
}

enum err parquet_flow_add(struct parquet_flow *f, struct parquet *p, const void *octets,
			  size_t bytes)
{
	const struct cell *cells;

	if (bytes > INT32_MAX)
		return ERR_FORMAT;
	TRY(read_record(f, octets, bytes));
	cells = (const struct cell *)(const void *)f->cells;
	for (size_t i = 0; i < f->cell_count; i++)
		put_cell(p, &cells[i]);
	return parquet_row(p);
}
