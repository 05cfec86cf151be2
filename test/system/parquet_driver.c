/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_driver - a Parquet file of a random schema with random rows, and what should be in it.
 *
 *	parquet_driver FILE TRUTH key=value ...
 *		seed= rows= codec=none|snappy|zstd fallback=delta|plain page_bytes= page_rows= group_rows=
 *		group_bytes= flat=1 (columns only) wide=1 (also dates that not all readers take) huge= (how many
 *		values of 10 MiB)
 *
 * TRUTH is lines of JSON: the schema, then one array per row, with a value per node below the root.  Octets are
 * hexadecimal, doubles the integer of their bits, maps lists of pairs.
 *
 * test_parquet_format.py reads both.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "sink/parquet.h"

#define NODES 128
#define TEXT_MAX (10u << 20)

enum kind { CONSTANT, FEW, MANY, RISING, EXTREME, RUNS, LATE, KINDS };

struct plan {
	enum kind kind;
	unsigned nulls; /* of 1024 */
	unsigned leaf;
	unsigned leaves; /* below */
	uint64_t state;
	bool is_inner; /* below a group */
};

static struct parquet_node nodes[NODES];
static struct plan plans[NODES];
static char names[NODES][16];
static size_t node_count;
static struct parquet *writer;
static FILE *truth;
static uint64_t dice;
static uint64_t row_number;
static bool is_wide;
static uint64_t repeat_now; /* repetition level of what is put */
static uint64_t huge_left;  /* values of TEXT_MAX octets */
static uint8_t text[TEXT_MAX];

static uint64_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice * 0x2545f4914f6cdd1du >> 8;
}

static uint64_t below(uint64_t n)
{
	return roll() % n;
}

/* The schema. */

static size_t add_node(const char *name, enum parquet_repeat repeat, unsigned children,
		       bool is_inner)
{
	size_t at = node_count++;

	must(at < NODES);
	if (name == NULL)
		(void)snprintf(names[at], sizeof(names[at]), "n%zu", at);
	else
		(void)snprintf(names[at], sizeof(names[at]), "%s", name);
	nodes[at].name = names[at];
	nodes[at].repeat = repeat;
	nodes[at].children = children;
	plans[at].is_inner = is_inner;
	return at;
}

static void add_leaf(const char *name, enum parquet_repeat repeat, bool is_inner)
{
	static const enum parquet_logical logicals[] = { [PARQUET_INT32] = PARQUET_DATE,
							 [PARQUET_INT64] = PARQUET_MS,
							 [PARQUET_BYTES] = PARQUET_STRING };
	static const unsigned nulls[] = { 0, 0, 8, 100, 512, 1000, 1023, 1024 };
	size_t at = add_node(name, repeat, 0, is_inner);
	struct parquet_node *n = &nodes[at];

	n->type = (enum parquet_type)below(PARQUET_BYTES + 1);
	if (n->type != PARQUET_BOOLEAN && n->type != PARQUET_DOUBLE && below(2) == 0)
		n->logical = logicals[n->type];
	plans[at].kind = (enum kind)below(KINDS);
	plans[at].nulls = nulls[below(8)];
}

static void add_any(const char *name, bool may_repeat, unsigned depth, bool is_inner)
{
	enum parquet_repeat repeat = below(4) == 0 ? PARQUET_REQUIRED : PARQUET_OPTIONAL;
	unsigned shape = depth >= 4 ? 9 : (unsigned)below(10);
	size_t at;

	if (shape < 2) { /* group */
		unsigned children = 1 + (unsigned)below(3);

		at = add_node(name, repeat, children, is_inner);
		plans[at].nulls = (unsigned)below(1025);
		for (unsigned i = 0; i < children; i++)
			add_any(NULL, true, depth + 1, true);
	} else if (shape < 4) {
		at = add_node(name, repeat, 1, is_inner);
		nodes[at].logical = PARQUET_LIST;
		plans[at].nulls = (unsigned)below(1025);
		(void)add_node("list", PARQUET_REPEATED, 1, true);
		add_any("element", false, depth + 2, true);
	} else if (shape < 5) {
		at = add_node(name, repeat, 1, is_inner);
		nodes[at].logical = PARQUET_MAP;
		plans[at].nulls = (unsigned)below(1025);
		(void)add_node("key_value", PARQUET_REPEATED, 2, true);
		add_leaf("key", PARQUET_REQUIRED, true);
		add_any("value", false, depth + 2, true);
	} else if (shape < 6 && may_repeat) {
		add_leaf(name, PARQUET_REPEATED, is_inner);
	} else {
		add_leaf(name, repeat, is_inner);
	}
}

static unsigned number_leaves(size_t *at, unsigned next)
{
	size_t self = (*at)++;
	unsigned first = next;

	plans[self].leaf = next;
	if (nodes[self].children == 0)
		next++;
	for (unsigned i = 0; i < nodes[self].children; i++)
		next = number_leaves(at, next);
	plans[self].leaves = next - first;
	return next;
}

static void print_schema(size_t *at)
{
	static const char *const types[] = { "bool", "i32", "i64", "f64", "bytes" };
	static const char *const logicals[] = { "group", "string", "ms", "date", "list", "map" };
	const struct parquet_node *n = &nodes[(*at)++];
	bool is_type = n->children == 0 && n->logical == PARQUET_NONE;

	(void)fprintf(truth,
		      "{\"name\":\"%s\",\"kind\":\"%s\",\"repeat\":%d,\"inner\":%s,\"children\":[",
		      n->name, is_type ? types[n->type] : logicals[n->logical], (int)n->repeat,
		      plans[n - nodes].is_inner ? "true" : "false");
	for (unsigned i = 0; i < n->children; i++) {
		(void)fputs(i > 0 ? "," : "", truth);
		print_schema(at);
	}
	(void)fputs("]}", truth);
}

/* Rows. */

static int64_t draw_i64(struct plan *p)
{
	static const int64_t extremes[] = { INT64_MIN, INT64_MAX, 0,	     -1,
					    1,	       INT32_MIN, INT32_MAX, INT64_C(1) << 40 };

	switch (p->kind) {
	case CONSTANT:
		return 42;
	case FEW:
		return (int64_t)below(5) - 2;
	case MANY:
		return (int64_t)roll() * (below(2) == 0 ? 1 : -1);
	case RISING:
		p->state += below(100);
		return (int64_t)p->state + 1700000000000;
	case EXTREME:
		return extremes[below(8)];
	case RUNS:
		if (below(50) == 0)
			p->state = below(1000);
		return (int64_t)p->state;
	case LATE: /* few, then many */
	case KINDS:
	default:
		return row_number < 6000 ? (int64_t)below(20) : (int64_t)roll();
	}
}

static void put_i64(size_t at, unsigned def)
{
	const struct parquet_node *n = &nodes[at];
	int64_t v = draw_i64(&plans[at]);
	bool is_narrow = plans[at].is_inner || !is_wide;

	if (n->type == PARQUET_INT32)
		v = (int32_t)v;
	if (n->logical == PARQUET_DATE && is_narrow)
		v %= 700000; /* what other programs have a date for */
	if (n->logical == PARQUET_MS && is_narrow)
		v %= INT64_C(60000000000000);
	if (n->type == PARQUET_BOOLEAN)
		v &= 1;
	parquet_put_i64_at(writer, plans[at].leaf, (unsigned)repeat_now, def, v);
	if (n->type == PARQUET_BOOLEAN)
		(void)fputs(v ? "true" : "false", truth);
	else
		(void)fprintf(truth, "%" PRId64, v);
}

static void put_f64(size_t at, unsigned def)
{
	static const uint64_t extremes[] = { 0,
					     UINT64_C(1) << 63,		   /* -0 */
					     UINT64_C(0x7ff0000000000000), /* infinite */
					     UINT64_C(0xfff0000000000000),
					     UINT64_C(0x7ff8000000000000), /* NaN */
					     UINT64_C(0x0000000000000001),
					     UINT64_C(0x7fefffffffffffff),
					     UINT64_C(0xffefffffffffffff) };
	struct plan *p = &plans[at];
	double v = (double)draw_i64(p) / 7;
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	if (p->kind == EXTREME)
		bits = extremes[below(8)];
	if (p->kind == CONSTANT)
		bits = extremes[below(2)];
	memcpy(&v, &bits, sizeof(v));
	parquet_put_f64_at(writer, p->leaf, (unsigned)repeat_now, def, v);
	(void)fprintf(truth, "%" PRIu64, bits);
}

static size_t draw_octets(size_t at)
{
	struct plan *p = &plans[at];
	size_t bytes = below(12);
	int64_t v = draw_i64(p);

	if (p->kind == CONSTANT)
		bytes = 11;
	if (p->kind == EXTREME)
		bytes = below(4) == 0 ? 0 : below(200);
	if (p->kind == MANY)
		bytes = 16;
	if (p->kind == FEW || p->kind == RUNS)
		bytes = (size_t)(v & 7);
	if (huge_left > 0 && row_number >= 3 && !p->is_inner) {
		bytes = TEXT_MAX;
		huge_left--;
	}
	for (size_t i = 0; i < bytes; i++)
		text[i] = (uint8_t)(v >> i % 8 * 8 ^ (int64_t)(i / 8));
	for (size_t i = 0; nodes[at].logical == PARQUET_STRING && i < bytes; i++)
		text[i] = (uint8_t)(' ' + text[i] % 95);
	return bytes;
}

static void put_octets(size_t at, unsigned def)
{
	size_t bytes = draw_octets(at);

	parquet_put_octets_at(writer, plans[at].leaf, (unsigned)repeat_now, def, text, bytes);
	(void)fputc('"', truth);
	for (size_t i = 0; i < bytes; i++)
		(void)fprintf(truth, "%02x", text[i]);
	(void)fputc('"', truth);
}

static size_t end_of(size_t at)
{
	size_t next = at + 1;

	for (unsigned i = 0; i < nodes[at].children; i++)
		next = end_of(next);
	return next;
}

static void put_nulls(size_t at, unsigned def)
{
	/* A null of the whole row need not be said. */
	if (repeat_now == 0 && def == 0 && below(4) != 0)
		return;
	for (unsigned i = 0; i < plans[at].leaves; i++)
		parquet_put_null_at(writer, plans[at].leaf + i, (unsigned)repeat_now, def);
}

static void put_node(size_t at, unsigned rep_max, unsigned def);

static void put_present(size_t at, unsigned rep_max, unsigned def)
{
	const struct parquet_node *n = &nodes[at];
	uint64_t repeat = repeat_now;
	bool is_struct = n->logical == PARQUET_NONE && n->repeat != PARQUET_REPEATED;
	size_t child = at + 1;

	if (n->children == 0) {
		if (n->type == PARQUET_BYTES)
			put_octets(at, def);
		else if (n->type == PARQUET_DOUBLE)
			put_f64(at, def);
		else
			put_i64(at, def);
		return;
	}
	/* Of a list's and map's outer group only what is inside is shown; of a map's pair a list of two. */
	if (is_struct || n->children > 1)
		(void)fputc('[', truth);
	for (unsigned i = 0; i < n->children; i++) {
		(void)fputs(i > 0 ? "," : "", truth);
		repeat_now = repeat;
		put_node(child, rep_max, def);
		child = end_of(child);
	}
	if (is_struct || n->children > 1)
		(void)fputc(']', truth);
}

static void put_node(size_t at, unsigned rep_max, unsigned def)
{
	const struct parquet_node *n = &nodes[at];
	uint64_t count;

	if (n->repeat == PARQUET_OPTIONAL) {
		if (below(1024) < plans[at].nulls) {
			put_nulls(at, def);
			(void)fputs("null", truth);
			return;
		}
		put_present(at, rep_max, def + 1);
		return;
	}
	if (n->repeat == PARQUET_REQUIRED) {
		put_present(at, rep_max, def);
		return;
	}
	count = below(3) == 0 ? 0 : below(20) == 0 ? below(30) : below(4);
	(void)fputc('[', truth);
	if (count == 0)
		put_nulls(at, def);
	for (uint64_t i = 0; i < count; i++) {
		(void)fputs(i > 0 ? "," : "", truth);
		if (i > 0)
			repeat_now = rep_max + 1;
		put_present(at, rep_max + 1, def + 1);
	}
	(void)fputc(']', truth);
}

static void put_row(void)
{
	size_t at = 1;

	(void)fputc('[', truth);
	for (unsigned i = 0; i < nodes[0].children; i++) {
		(void)fputs(i > 0 ? "," : "", truth);
		repeat_now = 0;
		put_node(at, 0, 0);
		at = end_of(at);
	}
	(void)fputs("]\n", truth);
	must(parquet_row(writer) == ERR_OK);
	row_number++;
}

/* Arguments. */

static const char *arg(int argc, char **argv, const char *key, const char *preset)
{
	size_t bytes = strlen(key);

	for (int i = 3; i < argc; i++) {
		if (strncmp(argv[i], key, bytes) == 0 && argv[i][bytes] == '=')
			return argv[i] + bytes + 1;
	}
	return preset;
}

static uint64_t number(int argc, char **argv, const char *key, const char *preset)
{
	return strtoull(arg(argc, argv, key, preset), NULL, 10);
}

static struct parquet_conf conf_of(int argc, char **argv)
{
	const char *codec = arg(argc, argv, "codec", "snappy");
	struct parquet_conf conf = { 0 };

	conf.codec = strcmp(codec, "none") == 0	  ? PARQUET_UNCOMPRESSED
		     : strcmp(codec, "zstd") == 0 ? PARQUET_ZSTD
						  : PARQUET_SNAPPY;
	conf.fallback = strcmp(arg(argc, argv, "fallback", "delta"), "plain") == 0 ? PARQUET_PLAIN
										   : PARQUET_DELTA;
	conf.page_bytes = number(argc, argv, "page_bytes", "0");
	conf.page_rows = (uint32_t)number(argc, argv, "page_rows", "0");
	conf.group_rows = number(argc, argv, "group_rows", "0");
	conf.group_bytes = number(argc, argv, "group_bytes", "0");
	return conf;
}

static struct parquet_schema *make_schema(bool is_flat)
{
	unsigned columns = 1 + (unsigned)below(is_flat ? 20 : 8);
	struct parquet_schema *schema;
	struct why why;
	size_t at = 0;

	(void)add_node("schema", PARQUET_REQUIRED, columns, false);
	for (unsigned i = 0; i < columns; i++) {
		if (is_flat)
			add_leaf(NULL, below(4) == 0 ? PARQUET_REQUIRED : PARQUET_OPTIONAL, false);
		else
			add_any(NULL, true, 1, false);
	}
	(void)number_leaves(&at, 0);
	must(parquet_schema_new(nodes, node_count, &why, &schema) == ERR_OK);
	at = 0;
	print_schema(&at);
	(void)fputc('\n', truth);
	return schema;
}

int main(int argc, char **argv)
{
	static const struct parquet_meta meta[] = { { "driver", "random" }, { "empty", "" } };
	struct file_out out = { .fd = -1 };
	struct parquet_conf conf;
	struct parquet_schema *schema;
	uint64_t rows;

	must(argc >= 3);
	conf = conf_of(argc, argv);
	rows = number(argc, argv, "rows", "100");
	huge_left = number(argc, argv, "huge", "0");
	is_wide = number(argc, argv, "wide", "0") != 0;
	dice = number(argc, argv, "seed", "1") * 0x9e3779b97f4a7c15u + 1;
	(void)roll();
	truth = fopen(argv[2], "w");
	must(truth != NULL);
	out.fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	must(out.fd >= 0);
	schema = make_schema(number(argc, argv, "flat", "0") != 0);
	must(parquet_new(schema, &conf, &writer) == ERR_OK);
	must(parquet_open(writer, &out) == ERR_OK);
	for (uint64_t i = 0; i < rows; i++)
		put_row();
	must(parquet_rows(writer) == rows);
	must(parquet_finish(writer, meta, 2) == ERR_OK);
	parquet_free(writer);
	parquet_schema_free(schema);
	must(fclose(truth) == 0);
	return close(out.fd) == 0 ? 0 : 1;
}
