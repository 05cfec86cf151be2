/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#include "base/must.h"

/* What only some values need is kept out of the functions that all go through: they save fewer registers. */
#define SLOW __attribute__((noinline))
#define LONG_BYTES 1024 /* a value after which the page's size is looked at */
#define BIG_BYTES 65536 /* a value after which the group's memory is looked at */

static struct parquet_body *new_body(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = calloc(1, sizeof(*b));

	if (b == NULL) {
		parquet_fail(&p->account, ERR_NOMEM);
		return NULL;
	}
	p->account.bytes += sizeof(*b);
	b->delta.is_narrow = c->type != PARQUET_INT64;
	c->body = b;
	column_restart(p, leaf);
	return b;
}

/* The levels of a column without lists are one per row: counting is left to c->row. */
static void set_def(struct parquet *p, struct parquet_body *b, unsigned def, uint64_t row)
{
	if (b->def == def)
		return;
	runs_add(&p->account, &b->defs, b->def, row - b->def_row);
	b->def = (uint16_t)def;
	b->def_row = row;
}

static void add_nulls(struct parquet *p, struct parquet_column *c, uint64_t count)
{
	struct parquet_body *b = c->body;

	must(c->max_def > 0); /* a required column got nothing in some row */
	if (c->max_rep == 0) {
		set_def(p, b, 0, c->row);
	} else {
		runs_add(&p->account, &b->reps, 0, count);
		runs_add(&p->account, &b->defs, 0, count);
		b->entries += count;
	}
	c->row += count;
}

void column_catch_up(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];

	must(c->row <= p->row); /* else a row was begun, and not ended */
	if (c->row < p->row)
		add_nulls(p, c, p->row - c->row);
}

static void enter_row(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;

	must(c->row <= p->row); /* else it is the second value of this row */
	if (c->row < p->row)
		add_nulls(p, c, p->row - c->row);
	if (c->row - b->page_row >= p->conf.page_rows || column_is_full(p, c))
		page_end(p, leaf);
	c->row++;
	/* Of long values even a run makes a page full. */
	if (c->max_rep == 0 && (c->run == 0 || c->last_bytes < LONG_BYTES))
		c->left = (uint32_t)(p->conf.page_rows - (c->row - b->page_row));
}

/* Levels of what is put now; false: something failed, now or before, and nothing matters any more. */
static bool enter(struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b;

	must(rep <= c->max_rep);
	must(def <= c->max_def);
	if (p->account.error != ERR_OK)
		return false;
	b = c->body == NULL ? new_body(p, leaf) : c->body;
	if (b == NULL)
		return false;
	if (rep > 0 && p->account.error != ERR_OK)
		return false; /* there was no memory for the first */
	if (rep == 0)
		enter_row(p, leaf);
	else
		must(c->row == p->row + 1); /* else it is the first of this row */
	if (c->max_rep == 0) {
		set_def(p, b, def, p->row);
	} else {
		runs_add(&p->account, &b->reps, (uint16_t)rep, 1);
		runs_add(&p->account, &b->defs, (uint16_t)def, 1);
		if (++b->entries > PARQUET_PAGE_MAX)
			parquet_fail(&p->account, ERR_LIMIT);
	}
	return true;
}

/* One more value behind those of the page, if nothing else has to be looked at. */
static inline bool enter_quickly(const struct parquet *p, struct parquet_column *c)
{
	if (c->left == 0 || c->row != p->row)
		return false;
	c->left--;
	c->row++;
	return true;
}

/* The run at hand is over. */
static inline void begin_run(struct parquet *p, unsigned leaf, uint32_t index)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_buffer *runs = &c->body->runs;
	struct parquet_run run = { c->index, (uint16_t)c->run };

	if (c->run - 1 < RUN_COUNT_MAX && runs->room - runs->bytes >= sizeof(run)) {
		memcpy(parquet_end(runs), &run, sizeof(run));
		runs->bytes += sizeof(run);
		c->body->values_count += c->run;
		c->body->spread_bytes += column_run_spread(c);
	} else {
		column_end_run(p, c);
	}
	c->index = (uint16_t)index;
	c->run = 1;
	if (column_is_full(p, c))
		c->left = 0;
}

static void put_direct_i64(struct parquet *p, struct parquet_column *c, int64_t v)
{
	column_bound(c, v);
	column_store_i64(p, c, v);
	c->body->values_count++;
	if (column_is_full(p, c))
		c->left = 0;
}

/* No run of the same value is at hand. */
static SLOW void put_i64(struct parquet *p, unsigned leaf, int64_t v)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;
	uint32_t index;

	if (c->mode == COLUMN_DIRECT) {
		put_direct_i64(p, c, v);
		return;
	}
	index = c->mode == COLUMN_BOOL ? v != 0 : dict_i64(&p->account, &b->dict, v);
	if (index == DICT_FULL) {
		column_to_direct(p, leaf);
		put_direct_i64(p, c, v);
		return;
	}
	/* Comparing again what was seen before is cheaper than to find out that it was. */
	column_bound(c, v);
	begin_run(p, leaf, index);
	c->last = v;
	if (column_is_undecided(c))
		column_decide(p, leaf);
}

static inline int64_t fit(const struct parquet_column *c, int64_t v)
{
	return c->type == PARQUET_INT32 ? (int32_t)v : c->type == PARQUET_BOOLEAN ? v != 0 : v;
}

static inline void join_or_put_i64(struct parquet *p, unsigned leaf, int64_t v)
{
	struct parquet_column *c = &p->columns[leaf];

	if (c->run > 0 && c->last == v)
		c->run++;
	else
		put_i64(p, leaf, v);
}

static SLOW void enter_and_put_i64(struct parquet *p, unsigned leaf, int64_t v)
{
	if (enter(p, leaf, 0, p->columns[leaf].max_def))
		join_or_put_i64(p, leaf, v);
}

void parquet_put_i64(struct parquet *p, unsigned leaf, int64_t v)
{
	struct parquet_column *c = &p->columns[leaf];

	v = fit(c, v);
	if (enter_quickly(p, c))
		join_or_put_i64(p, leaf, v);
	else
		enter_and_put_i64(p, leaf, v);
}

void parquet_put_f64(struct parquet *p, unsigned leaf, double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	parquet_put_i64(p, leaf, bits);
}

static void put_direct_octets(struct parquet *p, struct parquet_column *c, const void *octets,
			      size_t bytes)
{
	bounds_octets(&c->body->bounds, octets, bytes);
	column_store_octets(p, c, octets, bytes);
	c->body->values_count++;
	if (column_is_full(p, c))
		c->left = 0;
	if (bytes >= BIG_BYTES)
		p->until_check = 1;
}

static SLOW void put_octets(struct parquet *p, unsigned leaf, const void *octets, size_t bytes)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;
	uint32_t index;

	if (c->mode == COLUMN_DIRECT) {
		put_direct_octets(p, c, octets, bytes);
		return;
	}
	index = dict_octets(&p->account, &b->dict, octets, bytes);
	if (index == DICT_FULL) {
		column_to_direct(p, leaf);
		put_direct_octets(p, c, octets, bytes);
		return;
	}
	if (dict_stamp(&b->dict, index, b->pages_count + 1))
		bounds_octets(&b->bounds, octets, bytes);
	begin_run(p, leaf, index);
	c->last_octets = dict_entry(&b->dict, index, &c->last_bytes);
	if (c->last_bytes >= LONG_BYTES)
		c->left = 0;
	if (column_is_undecided(c))
		column_decide(p, leaf);
}

static inline void join_or_put_octets(struct parquet *p, unsigned leaf, const void *octets,
				      size_t bytes)
{
	struct parquet_column *c = &p->columns[leaf];

	if (c->run > 0 && c->last_bytes == bytes && is_same(c->last_octets, octets, bytes))
		c->run++;
	else
		put_octets(p, leaf, octets, bytes);
}

static SLOW void enter_and_put_octets(struct parquet *p, unsigned leaf, const void *octets,
				      size_t bytes)
{
	if (enter(p, leaf, 0, p->columns[leaf].max_def))
		join_or_put_octets(p, leaf, octets, bytes);
}

void parquet_put_octets(struct parquet *p, unsigned leaf, const void *octets, size_t bytes)
{
	struct parquet_column *c = &p->columns[leaf];

	if (bytes == 0)
		octets = "";
	if (enter_quickly(p, c))
		join_or_put_octets(p, leaf, octets, bytes);
	else
		enter_and_put_octets(p, leaf, octets, bytes);
}

void parquet_put_i64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v)
{
	must(def == p->columns[leaf].max_def);
	if (enter(p, leaf, rep, def))
		join_or_put_i64(p, leaf, fit(&p->columns[leaf], v));
}

void parquet_put_f64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	parquet_put_i64_at(p, leaf, rep, def, bits);
}

void parquet_put_octets_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def,
			   const void *octets, size_t bytes)
{
	must(def == p->columns[leaf].max_def);
	if (enter(p, leaf, rep, def))
		join_or_put_octets(p, leaf, bytes == 0 ? "" : octets, bytes);
}

void parquet_put_null_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	must(def < p->columns[leaf].max_def);
	(void)enter(p, leaf, rep, def);
	p->columns[leaf].left = 0; /* a value after it has another level */
}
