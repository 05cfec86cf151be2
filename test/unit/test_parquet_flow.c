/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a record becomes the row that it says, in both layouts, and what is no record becomes nothing.
 * Method: the linker puts this test before the writer's functions, which it calls in turn, so that what
 * was put into lists is known, and what waits in the batch when the row ends, and the real writer takes it.  libavro's generic reader walks the same octets and says what
 * should have been put, level by level.  Records are random, or of zeros with one value of choice; each full
 * one is also cut everywhere and changed in each octet.  What is wrong must leave the row untouched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <avro.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/utf8.h"
#include "sink/avro_wire.h"
#include "sink/parquet_flow_parts.h"
#include "sink/parquet_parts.h"
#include "sink/schema.h"
#include "test/unit/any_flow.h"

#define ENTRIES_MAX (1u << 18)
#define NODES_MAX 4096
#define MAX_LEVEL 99 /* the leaf's own, which a plain put does not say */
#define FIELD_COUNT (FIELD_NORMALIZED_COUNT + EXTRAS + FIELD_ENRICHED_COUNT)
#define LAYOUTS 2

enum kind { NOTHING, NUMBER, DOUBLE, OCTETS };

/* What was put, or should be. */
struct entry {
	unsigned leaf;
	unsigned rep;
	unsigned def;
	enum kind kind;
	int64_t number; /* the bits of a double */
	const uint8_t *octets;
	size_t bytes;
	size_t at; /* its turn */
};

struct entries {
	struct entry at[ENTRIES_MAX];
	size_t count;
};

static struct entries put;
static struct entries wanted;
static struct parquet_node nodes[NODES_MAX];
static char node_names[NODES_MAX][64];
static size_t node_count;
static size_t rows;
static uint8_t row_pool[8u << 20]; /* octets of the row at hand */
static size_t row_pool_bytes;

static bool is_decoding; /* the next to allocate is who reads the record */
static bool is_out_of_memory;
static size_t allocations;

static avro_schema_t schema;
static avro_value_iface_t *iface;
static avro_value_t value;

static struct parquet_flow *flows[LAYOUTS];
static struct parquet *writers[LAYOUTS];
static struct file_out files[LAYOUTS];

/* ---- before the writer ---- */

enum err __real_parquet_schema_new(const struct parquet_node *n, size_t count, struct why *why,
				   struct parquet_schema **s);
void __real_parquet_put_i64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v);
void __real_parquet_put_octets_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def,
				  const void *octets, size_t bytes);
void __real_parquet_put_null_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def);
void __real_batch_add_rows(struct parquet *p, unsigned count);
void *__real_realloc(void *old, size_t bytes);

enum err __wrap_parquet_schema_new(const struct parquet_node *n, size_t count, struct why *why,
				   struct parquet_schema **s);
void __wrap_parquet_put_i64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v);
void __wrap_parquet_put_octets_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def,
				  const void *octets, size_t bytes);
void __wrap_parquet_put_null_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def);
void __wrap_batch_add_rows(struct parquet *p, unsigned count);
void *__wrap_realloc(void *old, size_t bytes);

enum err __wrap_parquet_schema_new(const struct parquet_node *n, size_t count, struct why *why,
				   struct parquet_schema **s)
{
	assert_true(count <= NODES_MAX);
	node_count = count;
	for (size_t i = 0; i < count; i++) {
		nodes[i] = n[i];
		(void)snprintf(node_names[i], sizeof(node_names[i]), "%s", n[i].name);
		nodes[i].name = node_names[i];
	}
	return __real_parquet_schema_new(n, count, why, s);
}

static void add(struct entries *e, struct entry new)
{
	is_decoding = false;
	assert_true(e->count < ENTRIES_MAX);
	e->at[e->count++] = new;
}

void __wrap_parquet_put_i64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v)
{
	add(&put, (struct entry){ leaf, rep, def, NUMBER, v });
	__real_parquet_put_i64_at(p, leaf, rep, def, v);
}

void __wrap_parquet_put_octets_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def,
				  const void *octets, size_t bytes)
{
	add(&put, (struct entry){ leaf, rep, def, OCTETS, 0, octets, bytes });
	__real_parquet_put_octets_at(p, leaf, rep, def, octets, bytes);
}

void __wrap_parquet_put_null_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	add(&put, (struct entry){ leaf, rep, def, NOTHING });
	__real_parquet_put_null_at(p, leaf, rep, def);
}

/* Octets are copied: the batch may be written, and forgotten, when the row ends. */
static struct entry lane_entry(const struct parquet *p, unsigned leaf)
{
	const union parquet_lane *lane = batch_lane(p, leaf);
	struct entry e = { leaf, 0, MAX_LEVEL, NUMBER };

	if (p->columns[leaf].type == PARQUET_BYTES) {
		e.kind = OCTETS;
		e.bytes = lane->text.bytes;
		assert_true(e.bytes <= sizeof(row_pool) - row_pool_bytes);
		e.octets = memcpy(row_pool + row_pool_bytes, p->octets.at + lane->text.at, e.bytes);
		row_pool_bytes += e.bytes;
	} else {
		e.kind = p->columns[leaf].type == PARQUET_DOUBLE ? DOUBLE : NUMBER;
		e.number = lane->i64;
	}
	return e;
}

static void add_row_at_hand(const struct parquet *p)
{
	row_pool_bytes = 0;
	for (unsigned leaf = 0; leaf < p->schema->leaf_count; leaf++) {
		if ((p->staged[leaf] >> p->batch_row & 1) != 0)
			add(&put, lane_entry(p, leaf));
	}
}

/* Of many at once, nobody looks at each. */
void __wrap_batch_add_rows(struct parquet *p, unsigned count)
{
	is_decoding = false;
	rows += count;
	if (count == 1)
		add_row_at_hand(p);
	__real_batch_add_rows(p, count);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	if (is_decoding) {
		allocations++;
		if (is_out_of_memory)
			return NULL;
	}
	return __real_realloc(old, bytes);
}

/* ---- what should be put ---- */

/* One leaf's value; `def` without lists on the way is the leaf's own. */
static void want_scalar(avro_value_t *v, struct entry e)
{
	const void *octets = NULL;
	const char *text = NULL;
	int32_t number = 0;
	double d = 0;
	int is_true = 0;

	e.kind = NUMBER;
	switch ((int)avro_value_get_type(v)) {
	case AVRO_BYTES:
		assert_int_equal(avro_value_get_bytes(v, &octets, &e.bytes), 0);
		e.kind = OCTETS;
		e.octets = octets;
		break;
	case AVRO_STRING:
		assert_int_equal(avro_value_get_string(v, &text, &e.bytes), 0);
		e.kind = OCTETS;
		e.octets = (const uint8_t *)text;
		e.bytes--; /* a NUL */
		break;
	case AVRO_INT32:
		assert_int_equal(avro_value_get_int(v, &number), 0);
		e.number = number;
		break;
	case AVRO_INT64:
		assert_int_equal(avro_value_get_long(v, &e.number), 0);
		break;
	case AVRO_BOOLEAN:
		assert_int_equal(avro_value_get_boolean(v, &is_true), 0);
		e.number = is_true;
		break;
	case AVRO_DOUBLE:
		assert_int_equal(avro_value_get_double(v, &d), 0);
		e.kind = DOUBLE;
		memcpy(&e.number, &d, sizeof(d));
		break;
	case AVRO_NULL:
	case AVRO_FLOAT:
	case AVRO_RECORD:
	case AVRO_ENUM:
	case AVRO_FIXED:
	case AVRO_MAP:
	case AVRO_ARRAY:
	case AVRO_UNION:
	case AVRO_LINK:
	default:
		fail_msg("no column for this");
	}
	add(&wanted, e);
}

/* A list or a map; the latter has keys in a leaf before that of the values. */
static void want_items(avro_value_t *v, unsigned *leaf, unsigned def)
{
	bool is_map = avro_value_get_type(v) == AVRO_MAP;
	size_t count = 0;

	assert_int_equal(avro_value_get_size(v, &count), 0);
	for (size_t i = 0; i < count; i++) {
		avro_value_t item;
		const char *key = NULL;

		assert_int_equal(avro_value_get_by_index(v, i, &item, &key), 0);
		if (is_map)
			add(&wanted, (struct entry){ *leaf, i > 0, def + 1, OCTETS, 0, (const uint8_t *)key,
						     strlen(key) });
		want_scalar(&item, (struct entry){ *leaf + is_map, i > 0, def + 1 });
	}
	if (count == 0 && def > 0)
		add(&wanted, (struct entry){ *leaf, 0, def, NOTHING });
	*leaf += 1u + is_map;
}

static void want(avro_value_t *v, unsigned *leaf, unsigned def)
{
	avro_value_t branch = { NULL, NULL };
	size_t count = 0;
	int which = -1;

	switch ((int)avro_value_get_type(v)) {
	case AVRO_RECORD:
		assert_int_equal(avro_value_get_size(v, &count), 0);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(avro_value_get_by_index(v, i, &branch, NULL), 0);
			want(&branch, leaf, def);
		}
		break;
	case AVRO_UNION:
		assert_int_equal(avro_value_get_discriminant(v, &which), 0);
		assert_int_equal(avro_value_get_current_branch(v, &branch), 0);
		if (which == 0)
			++*leaf; /* one column in each of our unions */
		else
			want(&branch, leaf, def + 1);
		break;
	case AVRO_ARRAY:
	case AVRO_MAP:
		want_items(v, leaf, def);
		break;
	default:
		want_scalar(v, (struct entry){ (*leaf)++, 0, MAX_LEVEL });
		break;
	}
}

/* libavro's reading of the octets becomes `wanted`. */
static void read_wanted(const uint8_t *octets, size_t bytes)
{
	avro_reader_t reader = avro_reader_memory((const char *)octets, (int64_t)bytes);
	unsigned leaf = 0;

	wanted.count = 0;
	assert_int_equal(avro_value_reset(&value), 0);
	assert_int_equal(avro_value_read(reader, &value), 0);
	avro_reader_free(reader);
	want(&value, &leaf, 0);
	assert_int_equal(leaf, parquet_schema_leaves(parquet_flow_schema(flows[0])));
}

static int compare_leaves(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;

	return x->leaf != y->leaf ? (x->leaf > y->leaf) - (x->leaf < y->leaf) : (x->at > y->at) - (x->at < y->at);
}

/* What is put into one column is in order; columns are in none. */
static void by_leaf(struct entries *e)
{
	for (size_t i = 0; i < e->count; i++)
		e->at[i].at = i;
	qsort(e->at, e->count, sizeof(e->at[0]), compare_leaves);
}

static void must_be_wanted(void)
{
	assert_int_equal(put.count, wanted.count);
	by_leaf(&put);
	by_leaf(&wanted);
	for (size_t i = 0; i < put.count; i++) {
		const struct entry *a = &put.at[i];
		const struct entry *b = &wanted.at[i];

		if (a->leaf != b->leaf || a->rep != b->rep || a->def != b->def || a->kind != b->kind)
			fail_msg("entry %zu: leaf %u %u/%u kind %d, wanted leaf %u %u/%u kind %d", i, a->leaf, a->rep,
				 a->def, (int)a->kind, b->leaf, b->rep, b->def, (int)b->kind);
		assert_true(a->number == b->number);
		assert_int_equal(a->bytes, b->bytes);
		if (a->bytes > 0)
			assert_memory_equal(a->octets, b->octets, a->bytes);
	}
}

/* ---- set up ---- */

/* Of the fields as the schema's text gives them back, and nothing of them is kept. */
static void open_writer(enum parquet_layout layout, const char *text)
{
	const struct parquet_conf conf = { .codec = PARQUET_SNAPPY, .group_rows = 4096 };
	struct field_set *of = NULL;
	struct why why = { "" };

	if (schema_fields_new(text, &why, &of) != ERR_OK ||
	    parquet_flow_new(of, layout, &why, &flows[layout]) != ERR_OK)
		fail_msg("%s", why.text);
	schema_fields_free(of);
	assert_int_equal(parquet_new(parquet_flow_schema(flows[layout]), &conf, &writers[layout]), ERR_OK);
	files[layout].fd = memfd_create("rows", MFD_CLOEXEC);
	assert_true(files[layout].fd >= 0);
	assert_int_equal(parquet_open(writers[layout], &files[layout]), ERR_OK);
}

static void open_all(void)
{
	char *text;

	assert_int_equal(schema_text(&fields, &text), ERR_OK);
	assert_int_equal(avro_schema_from_json_length(text, strlen(text), &schema), 0);
	iface = avro_generic_class_from_schema(schema);
	assert_non_null(iface);
	assert_int_equal(avro_generic_value_new(iface, &value), 0);
	open_writer(PARQUET_FLAT, text);
	open_writer(PARQUET_NESTED, text);
	free(text);
}

static int set_up(void **state)
{
	(void)state;
	any_flow_set_up();
	open_all();
	return 0;
}

/* Before fields were added. */
static int set_up_old(void **state)
{
	(void)state;
	field_set_init(&fields);
	avro_encoder_init(&enc, &fields);
	open_all();
	return 0;
}

/* A processor without help for numbers. */
static int set_up_plain(void **state)
{
	int failed = set_up(state);

	for (size_t l = 0; l < LAYOUTS; l++)
		flows[l]->can_gather = false;
	return failed;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t l = 0; l < LAYOUTS; l++) {
		assert_int_equal(parquet_finish(writers[l], NULL, 0), ERR_OK);
		parquet_free(writers[l]);
		parquet_flow_free(flows[l]);
		(void)close(files[l].fd);
		files[l] = (struct file_out){ .fd = -1 };
	}
	avro_value_decref(&value);
	avro_value_iface_decref(iface);
	(void)avro_schema_decref(schema);
	return 0;
}

static enum err add_record(size_t layout, const uint8_t *octets, size_t bytes)
{
	size_t rows_before = rows;
	enum err e;

	put.count = 0;
	is_decoding = true;
	e = parquet_flow_add(flows[layout], writers[layout], octets, bytes);
	is_decoding = false;
	assert_int_equal(rows - rows_before, e == ERR_OK);
	if (e != ERR_OK) {
		add_row_at_hand(writers[layout]); /* what is left there */
		assert_int_equal(put.count, 0);
	}
	return e;
}

static void is_the_row(const uint8_t *octets, size_t bytes)
{
	read_wanted(octets, bytes);
	for (size_t l = 0; l < LAYOUTS; l++) {
		assert_int_equal(add_record(l, octets, bytes), ERR_OK);
		must_be_wanted();
	}
}

/* A copy of its own, so that a checker sees who reads past the end. */
static void is_refused(const uint8_t *octets, size_t bytes)
{
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);

	assert_non_null(copy);
	memcpy(copy, octets, bytes);
	for (size_t l = 0; l < LAYOUTS; l++)
		assert_int_equal(add_record(l, copy, bytes), ERR_FORMAT);
	free(copy);
}

/* ---- columns ---- */

static size_t find_node(const char *name)
{
	for (size_t i = 0; i < node_count; i++) {
		if (strcmp(nodes[i].name, name) == 0)
			return i;
	}
	fail_msg("no node %s", name);
	return 0;
}

static void append_node(char *text, size_t room, const struct parquet_node *n)
{
	static const char *const types[] = { "boolean", "int32", "int64", "double", "octets" };
	static const char *const logicals[] = { "", " STRING", " MS", " DATE", " LIST", " MAP" };
	static const char *const repeats[] = { "required", "optional", "repeated" };
	size_t used = strlen(text);

	(void)snprintf(text + used, room - used, "%s%s %s%s %s", used > 0 ? ", " : "", repeats[n->repeat],
		       n->children > 0 ? "group" : types[n->type], logicals[n->logical], n->name);
}

static void has_nodes(const char *name, size_t count, const char *text)
{
	size_t at = find_node(name);
	char have[512] = "";

	for (size_t i = at; i < at + count && i < node_count; i++)
		append_node(have, sizeof(have), &nodes[i]);
	assert_string_equal(have, text);
}

static void new_flow(const struct field_set *of, enum parquet_layout layout, struct parquet_flow **f)
{
	struct why why = { "" };

	if (parquet_flow_new(of, layout, &why, f) != ERR_OK)
		fail_msg("%s", why.text);
}

static void each_type_has_its_column(void **state)
{
	static const struct {
		const char *name;
		size_t nodes;
		const char *text;
	} rows_of[] = {
		{ "record_id", 1, "required octets record_id" },
		{ "event_time", 1, "required int64 MS event_time" },
		{ "exporter_ip", 1, "required octets STRING exporter_ip" },
		{ "extra_0", 1, "optional octets STRING extra_0" },
		{ "extra_1", 1, "optional octets STRING extra_1" },
		{ "extra_2", 1, "optional octets STRING extra_2" },
		{ "extra_3", 1, "optional int32 extra_3" },
		{ "extra_4", 1, "optional int64 extra_4" },
		{ "extra_5", 1, "optional double extra_5" },
		{ "extra_6", 1, "optional boolean extra_6" },
		{ "extra_7", 1, "optional int64 MS extra_7" },
		{ "extra_8", 1, "optional int32 DATE extra_8" },
		{ "extra_9", 3, "optional group LIST extra_9, repeated group list, required int64 element" },
		{ "extra_10", 3, "optional group LIST extra_10, repeated group list, required octets STRING element" },
		{ "raw", 3, "required group raw, required int32 protocol_version, optional int32 template_id" },
		{ "elements", 5, "required group MAP elements, repeated group key_value, required octets STRING key, "
				 "required octets STRING value, optional octets wire" },
		{ "notes", 3, "required group LIST notes, repeated group list, required octets STRING element" },
	};

	(void)state;
	for (enum parquet_layout l = PARQUET_FLAT; l <= PARQUET_NESTED; l++) {
		struct parquet_flow *f = NULL;

		new_flow(&fields, l, &f);
		for (size_t i = 0; i < sizeof(rows_of) / sizeof(rows_of[0]); i++)
			has_nodes(rows_of[i].name, rows_of[i].nodes, rows_of[i].text);
		parquet_flow_free(f);
	}
}

static void is_leaf(const struct parquet_flow *f, const char *path, unsigned def, unsigned rep)
{
	const struct parquet_schema *s = parquet_flow_schema(f);

	for (unsigned i = 0; i < parquet_schema_leaves(s); i++) {
		if (strcmp(parquet_schema_path(s, i), path) != 0)
			continue;
		assert_int_equal(parquet_schema_max_def(s, i), def);
		assert_int_equal(parquet_schema_max_rep(s, i), rep);
		return;
	}
	fail_msg("no column %s", path);
}

static void a_layout_says_where_columns_are(void **state)
{
	(void)state;
	for (enum parquet_layout l = PARQUET_FLAT; l <= PARQUET_NESTED; l++) {
		bool is_nested = l == PARQUET_NESTED;
		struct parquet_flow *f = NULL;

		new_flow(&fields, l, &f);
		assert_int_equal(nodes[0].children, is_nested ? 4 : 2 + FIELD_COUNT);
		/* Each field a column; record_id; raw with a map and a list. */
		assert_int_equal(parquet_schema_leaves(parquet_flow_schema(f)), FIELD_COUNT + 1 + 6);
		is_leaf(f, "record_id", 0, 0);
		is_leaf(f, is_nested ? "normalized.event_time" : "event_time", 0, 0);
		is_leaf(f, is_nested ? "normalized.src_port" : "src_port", 1, 0);
		is_leaf(f, is_nested ? "normalized.extra_9.list.element" : "extra_9.list.element", 2, 1);
		is_leaf(f, is_nested ? "enriched.community_id" : "community_id", 1, 0);
		is_leaf(f, "raw.elements.key_value.key", 1, 1);
		is_leaf(f, "raw.elements.key_value.value", 1, 1);
		is_leaf(f, "raw.wire", 1, 0);
		is_leaf(f, "raw.notes.list.element", 1, 1);
		assert_true(parquet_flow_has_column(f, "record_id"));
		assert_true(parquet_flow_has_column(f, "raw"));
		assert_int_equal(parquet_flow_has_column(f, "extra_3"), !is_nested);
		assert_int_equal(parquet_flow_has_column(f, "community_id"), !is_nested);
		assert_int_equal(parquet_flow_has_column(f, "normalized"), is_nested);
		assert_false(parquet_flow_has_column(f, "schema"));
		assert_false(parquet_flow_has_column(f, "wire"));
		assert_false(parquet_flow_has_column(f, "element"));
		assert_false(parquet_flow_has_column(f, ""));
		parquet_flow_free(f);
	}
}

static void names_are_not_there_twice(void **state)
{
	static const struct {
		const char *name;
		bool is_flat;
		bool is_nested;
	} cases[] = {
		{ "record_id", false, true }, { "raw", false, true }, { "community_id", false, true },
		{ "src_ip", false, false },   { "src", true, true },  { "wire", true, true },
		{ "normalized", true, true },
	};
	static struct field_set set;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		field_set_init(&set);
		set.fields[FIELD_EXTRA_FIRST] =
			(struct field){ cases[i].name, LAYER_normalized, FIELD_I64, false, "", "" };
		set.extra_count = 1;
		for (enum parquet_layout l = PARQUET_FLAT; l <= PARQUET_NESTED; l++) {
			struct parquet_flow *f = NULL;
			struct why why = { "" };
			bool is_good = l == PARQUET_FLAT ? cases[i].is_flat : cases[i].is_nested;

			assert_int_equal(parquet_flow_new(&set, l, &why, &f), is_good ? ERR_OK : ERR_CONF);
			assert_int_equal(f != NULL, is_good);
			assert_int_equal(strstr(why.text, cases[i].name) != NULL, !is_good);
			parquet_flow_free(f);
		}
	}
}

/* ---- rows ---- */

static void a_row_is_the_record(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		size_t n;

		make_flow(round % 9);
		n = avro_encode(&enc, &flow, out, sizeof(out));
		assert_true(n > 0);
		is_the_row(out, n);
	}
}

static void each_field_alone(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		size_t n;

		if (fields.fields[i].name == NULL)
			continue;
		for (unsigned turn = 0; turn < 4; turn++) {
			make_flow(0);
			flow.raw_count = 0;
			set_field(i);
			n = avro_encode(&enc, &flow, out, sizeof(out));
			assert_true(n > 0);
			is_the_row(out, n);
		}
	}
}

/* A record of zeros, all absent, or 0 and "" where something has to be; with `octets` instead of the zero of
 * that number: 0 is event_time's, FIELD_COUNT protocol_version's. */
static size_t make_record(uint8_t *p, size_t place, const void *octets, size_t bytes)
{
	size_t zeros = FIELD_COUNT + 5;

	p[0] = FLOW_RECORD_ID_BYTES << 1;
	memset(p + 1, 0xee, FLOW_RECORD_ID_BYTES);
	p += 1 + FLOW_RECORD_ID_BYTES;
	memset(p, 0, place);
	memcpy(p + place, octets, bytes);
	memset(p + place + bytes, 0, zeros - place - 1);
	return 1 + FLOW_RECORD_ID_BYTES + zeros - 1 + bytes;
}

/* Where the zero of extra_<n> stands. */
#define EXTRA(n) (FIELD_NORMALIZED_COUNT + (n))
#define PROTOCOL_VERSION FIELD_COUNT
#define TEMPLATE_ID (FIELD_COUNT + 1)
#define ELEMENTS (FIELD_COUNT + 2)
#define WIRE (FIELD_COUNT + 3)
#define NOTES (FIELD_COUNT + 4)

struct odd {
	size_t place;
	const char *octets;
	size_t bytes;
};
#define ODD(place, octets) { place, octets, sizeof(octets) - 1 }

/* What no encoder of ours writes, and the format allows. */
static void other_encoders_are_read(void **state)
{
	static const struct odd cases[] = {
		ODD(EXTRA(3), "\x82\x00\x08"),				       /* a long index, 4 */
		ODD(EXTRA(3), "\x80\x00"),				       /* a long index: null */
		ODD(EXTRA(4), "\x02\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00"), /* -1 in ten octets */
		ODD(EXTRA(4), "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* the least long */
		ODD(EXTRA(4), "\x02\xff\xff\xff\xff\xff\xff\xff\x7f"),	       /* eight octets */
		ODD(EXTRA(4), "\x02\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),     /* nine */
		ODD(EXTRA(3), "\x02\xff\xff\xff\xff\x0f"),		       /* the least int */
		ODD(EXTRA(3), "\x02\xfe\xff\xff\xff\x0f"),		       /* the largest */
		ODD(EXTRA(9), "\x02\x00"),				       /* an empty list */
		ODD(EXTRA(9), "\x02\x02\x01\x04\x03\x05\x00"),		       /* two blocks */
		ODD(EXTRA(9), "\x02\x03\x04\x07\x09\x02\x0b\x00"),	       /* one with its octets */
		ODD(EXTRA(10), "\x02\x00"),
		ODD(EXTRA(10), "\x02\x02\x00\x02\x02x\x00"),
		ODD(EXTRA(2), "\x02\x04\xc3\xbc"),     /* not ASCII */
		ODD(EXTRA(2), "\x02\x08\xf0\x9f\x8c\x8a"),
		ODD(EXTRA(2), "\x02\x10" "1234567\x7f"),
		ODD(EXTRA(2), "\x02\x12" "1234567\xc3\xbc"),
		ODD(ELEMENTS, "\x02\x02k\x02v\x02\x04\xc3\xbc\x00\x00"),
		ODD(ELEMENTS, "\x01\x08\x02k\x02v\x00"),
		ODD(WIRE, "\x02\x04\xff\x00"), /* octets are no text */
		ODD(WIRE, "\x02\x00"),
		ODD(NOTES, "\x02\x04\xc3\xbc\x00"), /* the last text of all */
		ODD(NOTES, "\x04\x00\x00\x00"),
		ODD(TEMPLATE_ID, "\x02\x01"),
		ODD(PROTOCOL_VERSION, "\x01"),
	};
	uint8_t *record = malloc(1024);

	(void)state;
	assert_non_null(record);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = make_record(record, cases[i].place, cases[i].octets, cases[i].bytes);

		is_the_row(record, n);
	}
	free(record);
}

static void what_is_no_record_is_refused(void **state)
{
	static const struct odd cases[] = {
		ODD(EXTRA(0), "\x04\x02x"), /* no such branch */
		ODD(EXTRA(0), "\x01"),
		ODD(EXTRA(3), "\x02\x80\x80\x80\x80\x10"), /* too large for an int */
		ODD(EXTRA(8), "\x02\x81\x80\x80\x80\x10"), /* too small for a date */
		ODD(EXTRA(4), "\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), /* eleven octets */
		ODD(EXTRA(6), "\x02\x02"),					   /* neither true nor false */
		ODD(EXTRA(2), "\x02\x01"),					   /* of -1 octets */
		ODD(EXTRA(2), "\x02\x02\x80"),					   /* not UTF-8 */
		ODD(EXTRA(2), "\x02\x10" "1234567\xc3"),
		ODD(EXTRA(2), "\x02\x06\xed\xa0\x80"), /* a surrogate */
		ODD(EXTRA(2), "\x02\xfe\xff\xff\xff\x0f"), /* longer than the record */
		ODD(EXTRA(2), "\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		ODD(EXTRA(9), "\x02\xfe\xff\xff\xff\x0f"), /* more items than octets */
		ODD(EXTRA(9), "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"),
		ODD(EXTRA(10), "\x02\x02\x02\xff\x00"),
		ODD(ELEMENTS, "\x02\x02\xffk\x02v\x00"),
		ODD(ELEMENTS, "\x02\x02k\x02\xff\x00"),
		ODD(ELEMENTS, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		ODD(NOTES, "\x02\x02\xe9\x00"),
		ODD(NOTES, "\x00\x00"), /* one octet too many */
		ODD(NOTES, ""),	 /* one too few */
		ODD(NOTES, "\x02"),
		ODD(TEMPLATE_ID, "\x02\x80\x80\x80\x80\x10"),
		ODD(WIRE, "\x02\x02"),
	};
	static uint8_t record[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_refused(record, make_record(record, cases[i].place, cases[i].octets, cases[i].bytes));
	is_refused(record, 0);
	assert_int_equal(add_record(0, record, (size_t)INT32_MAX + 1), ERR_FORMAT); /* before it reads */
}

#define MANY_BYTES 65536

struct record_at {
	const uint8_t *octets;
	size_t bytes;
};

static void must_be_same_octets(int a, int b, uint64_t bytes)
{
	const uint8_t *x = mmap(NULL, bytes, PROT_READ, MAP_SHARED, a, 0);
	const uint8_t *y = mmap(NULL, bytes, PROT_READ, MAP_SHARED, b, 0);

	assert_true(x != MAP_FAILED && y != MAP_FAILED);
	assert_memory_equal(x, y, bytes);
	(void)munmap((void *)(uintptr_t)x, bytes);
	(void)munmap((void *)(uintptr_t)y, bytes);
}

/* Of one file: `is_together` puts records, the other adds them.  Returns which are refused, a bit each. */
static uint64_t write_some(struct file_out *file, const struct record_at *records, unsigned count, bool is_together)
{
	const struct parquet_conf conf = { .group_rows = 100, .page_rows = 30 };
	struct parquet_settled settled;
	struct parquet *p = NULL;
	uint64_t refused = 0;
	unsigned done = 0;

	assert_int_equal(parquet_new(parquet_flow_schema(flows[0]), &conf, &p), ERR_OK);
	assert_int_equal(parquet_open(p, file), ERR_OK);
	for (unsigned i = 0; i < count; i++) {
		put.count = 0;
		if (!is_together) {
			refused |= (uint64_t)(parquet_flow_add(flows[0], p, records[i].octets, records[i].bytes) ==
					      ERR_FORMAT)
				   << i;
			continue;
		}
		assert_int_equal(parquet_flow_put(flows[0], p, records[i].octets, records[i].bytes, &settled), ERR_OK);
		refused |= settled.refused << done;
		done += settled.count;
	}
	if (is_together) {
		put.count = 0;
		assert_int_equal(parquet_flow_settle(flows[0], p, &settled), ERR_OK);
		refused |= settled.refused << done;
		assert_int_equal(done + settled.count, count);
	}
	assert_int_equal(parquet_finish(p, NULL, 0), ERR_OK);
	parquet_free(p);
	return refused;
}

/* What is read side by side makes the same file, octet by octet, and the same are refused. */
static void side_by_side_is_the_same(void **state)
{
	static uint8_t many[64 * MANY_BYTES];
	struct record_at records[64];

	(void)state;
	for (unsigned round = 0; round < 120; round++) {
		unsigned count = 1 + round % 64;
		struct file_out all[2] = { { .fd = memfd_create("add", MFD_CLOEXEC) },
					   { .fd = memfd_create("put", MFD_CLOEXEC) } };
		uint64_t broken = 0;
		uint64_t refused;

		for (unsigned i = 0; i < count; i++) {
			records[i].octets = many + (size_t)i * MANY_BYTES;
			/* Alike, as records of one template are, or not at all. */
			make_flow(round % 3 == 0 ? (i + round) % 9 : round % 9);
			records[i].bytes = avro_encode(&enc, &flow, many + (size_t)i * MANY_BYTES, MANY_BYTES);
			assert_true(records[i].bytes > 0);
			if (round % 4 == 1 && (i * 7 + round) % 11 == 0) {
				records[i].bytes -= 1 + i;
				broken |= UINT64_C(1) << i;
			}
		}
		refused = write_some(&all[0], records, count, false);
		assert_int_equal(refused, broken);
		assert_int_equal(write_some(&all[1], records, count, true), refused);
		assert_int_equal(all[0].bytes, all[1].bytes);
		must_be_same_octets(all[0].fd, all[1].fd, all[0].bytes);
		(void)close(all[0].fd);
		(void)close(all[1].fd);
	}
}

static void cut_anywhere_it_is_refused(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		size_t n;

		make_flow(round == 0 ? 8 : 4);
		n = avro_encode(&enc, &flow, out, sizeof(out));
		assert_true(n > 0);
		for (size_t bytes = 0; bytes < n; bytes++)
			is_refused(out, bytes);
		out[n] = 0;
		is_refused(out, n + 1);
		is_the_row(out, n);
	}
}

/* libavro's maps have a key once, and keys end with a NUL. */
static bool has_odd_keys(void)
{
	unsigned key_leaf = (unsigned)parquet_schema_leaves(parquet_flow_schema(flows[0])) - 4;

	for (size_t i = 0; i < put.count; i++) {
		const struct entry *a = &put.at[i];

		if (a->leaf != key_leaf)
			continue;
		if (memchr(a->octets, 0, a->bytes) != NULL)
			return true;
		for (size_t k = 0; k < i; k++) {
			const struct entry *b = &put.at[k];

			if (b->leaf == key_leaf && b->bytes == a->bytes && memcmp(a->octets, b->octets, a->bytes) == 0)
				return true;
		}
	}
	return false;
}

static void texts_are_utf8(void)
{
	const struct parquet_schema *s = parquet_flow_schema(flows[0]);

	for (size_t i = 0; i < put.count; i++) {
		const struct entry *e = &put.at[i];
		const char *path = parquet_schema_path(s, e->leaf);

		if (e->kind == OCTETS && strcmp(path, "record_id") != 0 && strcmp(path, "raw.wire") != 0)
			assert_true(utf8_is_valid(e->octets, e->bytes));
	}
}

/* Refused, or a row that others read alike. */
static bool is_sound(const uint8_t *octets, size_t bytes)
{
	struct json j;
	enum err e = add_record(PARQUET_FLAT, octets, bytes);

	if (e != ERR_OK) {
		assert_int_equal(e, ERR_FORMAT);
		return false;
	}
	json_init(&j, 1u << 22);
	assert_int_equal(avro_to_json(&fields, octets, bytes, true, &j), ERR_OK);
	json_fini(&j);
	texts_are_utf8();
	if (!has_odd_keys()) {
		read_wanted(octets, bytes);
		must_be_wanted();
	}
	return true;
}

static void with_any_octet_changed_it_is_sound(void **state)
{
	size_t good = 0;
	size_t tried = 0;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		size_t n;

		make_flow(round == 0 ? 8 : 3);
		n = avro_encode(&enc, &flow, out, sizeof(out));
		assert_true(n > 0);
		for (size_t i = 0; i < n; i++) {
			const uint8_t changed[] = { out[i] ^ 2, out[i] ^ 0x80, (uint8_t)rnd() };
			uint8_t old = out[i];

			for (size_t c = 0; c < sizeof(changed); c++) {
				out[i] = changed[c];
				good += is_sound(out, n);
				tried++;
			}
			out[i] = old;
		}
		is_the_row(out, n);
	}
	/* Most octets are of texts. */
	assert_true(good > tried / 4);
	assert_true(good < tried);
}

/* ---- memory ---- */

/* A record with a list of so many longs in extra_9. */
static size_t make_long_list(uint8_t *p, uint32_t items)
{
	uint8_t *list = malloc(32 + items);
	uint8_t *end = list;
	size_t n;

	assert_non_null(list);
	*end++ = 2;
	end = avro_put_long(end, items);
	memset(end, 0x15, items);
	end += items;
	*end++ = 0;
	n = make_record(p, EXTRA(9), list, (size_t)(end - list));
	free(list);
	return n;
}

static void memory_grows_once(void **state)
{
	size_t n = make_long_list(out, 100000);
	size_t before;

	(void)state;
	is_out_of_memory = true;
	before = allocations;
	for (size_t l = 0; l < LAYOUTS; l++)
		assert_int_equal(add_record(l, out, n), ERR_NOMEM);
	assert_int_equal(allocations, before + LAYOUTS);
	is_out_of_memory = false;
	is_the_row(out, n);
	assert_true(allocations > before + LAYOUTS);
	before = allocations;
	is_the_row(out, n);
	a_row_is_the_record(NULL);
	assert_int_equal(allocations, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_has_its_column),
		cmocka_unit_test(a_layout_says_where_columns_are),
		cmocka_unit_test(names_are_not_there_twice),
		cmocka_unit_test(a_row_is_the_record),
		cmocka_unit_test(each_field_alone),
		cmocka_unit_test(other_encoders_are_read),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(side_by_side_is_the_same),
		cmocka_unit_test(cut_anywhere_it_is_refused),
		cmocka_unit_test(with_any_octet_changed_it_is_sound),
		cmocka_unit_test(memory_grows_once),
	};
	const struct CMUnitTest old_tests[] = {
		cmocka_unit_test(a_row_is_the_record),
		cmocka_unit_test(cut_anywhere_it_is_refused),
	};
	const struct CMUnitTest plain_tests[] = {
		cmocka_unit_test(a_row_is_the_record),
		cmocka_unit_test(other_encoders_are_read),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(side_by_side_is_the_same),
	};
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);

	failed += cmocka_run_group_tests(old_tests, set_up_old, tear_down);
	return failed + cmocka_run_group_tests(plain_tests, set_up_plain, tear_down);
}
