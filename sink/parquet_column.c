/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#include "base/must.h"

#define DECIDE_VALUES 4096   /* after so many it is clear whether a dictionary pays */
#define REMEMBER_VALUES 1024 /* fewer say nothing about the next row group */
#define BACKOFF_MIN 8
#define BACKOFF_MAX 64
#define DICT_PAGE_BYTES 40 /* header and all of a dictionary page, about */
#define BIG_BYTES 65536	   /* a value after which the group's memory is looked at */

static const struct parquet_leaf *leaf_of(const struct parquet *p, unsigned leaf)
{
	return &p->schema->leaves[leaf];
}

static void begin_chunk(struct parquet_column *c, const struct parquet_leaf *l)
{
	c->mode = l->type == PARQUET_BOOLEAN ? COLUMN_BOOL
		  : c->skip > 0		     ? COLUMN_DIRECT
					     : COLUMN_DICT;
}

static struct parquet_body *new_body(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = calloc(1, sizeof(*b));

	if (b == NULL) {
		parquet_fail(&p->account, ERR_NOMEM);
		return NULL;
	}
	p->account.bytes += sizeof(*b);
	b->delta.is_narrow = leaf_of(p, leaf)->type != PARQUET_INT64;
	c->body = b;
	begin_chunk(c, leaf_of(p, leaf));
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

static void add_nulls(struct parquet *p, unsigned leaf, uint64_t count)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;
	const struct parquet_leaf *l = leaf_of(p, leaf);

	must(l->max_def > 0); /* a required column got nothing in some row */
	if (l->max_rep == 0) {
		set_def(p, b, 0, c->row);
	} else {
		runs_add(&p->account, &b->reps, 0, count);
		runs_add(&p->account, &b->defs, 0, count);
		b->entries += count;
	}
	c->row += count;
}

void column_end_run(struct parquet *p, struct parquet_column *c)
{
	if (c->run == 0)
		return;
	runs_add(&p->account, &c->body->runs, c->index, c->run);
	c->body->values_count += c->run;
	c->run = 0;
	c->run_left = 0;
}

void column_catch_up(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];

	must(c->row <= p->row); /* else a row was begun, and not ended */
	if (c->row < p->row)
		add_nulls(p, leaf, p->row - c->row);
}

static size_t page_used(const struct parquet_body *b)
{
	return b->values.bytes + delta_bytes(&b->delta) + b->runs.bytes / 2;
}

/* Levels of what is put now; NULL: no memory. */
static struct parquet_body *enter(struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body == NULL ? new_body(p, leaf) : c->body;
	const struct parquet_leaf *l = leaf_of(p, leaf);

	must(rep <= l->max_rep);
	must(def <= l->max_def);
	if (b == NULL)
		return NULL;
	if (rep == 0) {
		must(c->row <= p->row); /* else it is the second value of this row */
		if (c->row < p->row)
			add_nulls(p, leaf, p->row - c->row);
		if (c->row - b->page_row >= p->conf.page_rows ||
		    page_used(b) >= p->conf.page_bytes)
			page_end(p, leaf);
		c->row++;
	} else {
		must(c->row == p->row + 1); /* else it is the first of this row */
	}
	if (l->max_rep == 0) {
		set_def(p, b, def, p->row);
	} else {
		runs_add(&p->account, &b->reps, (uint16_t)rep, 1);
		runs_add(&p->account, &b->defs, (uint16_t)def, 1);
		if (++b->entries > PARQUET_PAGE_MAX)
			parquet_fail(&p->account, ERR_LIMIT);
	}
	return b;
}

/* How many equal values may follow without coming here. */
static void allow_run(struct parquet *p, struct parquet_column *c, const struct parquet_leaf *l)
{
	uint64_t rows = c->row - c->body->page_row;

	c->run_left = l->max_rep == 0 && rows < p->conf.page_rows
			      ? (uint32_t)(p->conf.page_rows - rows)
			      : 0;
}

static void add_index(struct parquet *p, unsigned leaf, uint32_t index)
{
	struct parquet_column *c = &p->columns[leaf];

	column_end_run(p, c);
	c->index = (uint16_t)index;
	c->run = 1;
	allow_run(p, c, leaf_of(p, leaf));
}

static void store_i64(struct parquet *p, struct parquet_body *b, enum parquet_type type, int64_t v)
{
	if (type != PARQUET_DOUBLE && p->conf.fallback == PARQUET_DELTA)
		delta_add(&p->account, &b->delta, v);
	else
		parquet_append(&p->account, &b->values, &v,
			       type == PARQUET_INT32 ? sizeof(int32_t) : sizeof(int64_t));
}

static void store_octets(struct parquet *p, struct parquet_body *b, const void *octets, size_t bytes)
{
	if (bytes > PARQUET_PAGE_MAX || b->values.bytes > PARQUET_PAGE_MAX - bytes) {
		parquet_fail(&p->account, ERR_LIMIT);
		return;
	}
	if (p->conf.fallback == PARQUET_DELTA)
		delta_add(&p->account, &b->delta, (int64_t)bytes);
	else
		parquet_append_u32(&p->account, &b->values, (uint32_t)bytes);
	parquet_append(&p->account, &b->values, octets, bytes);
}

/* Runs stay where they are. */
static void store_all(struct parquet *p, struct parquet_body *b, enum parquet_type type)
{
	const struct parquet_run *run = runs_at(&b->runs);

	for (size_t n = runs_count(&b->runs); n > 0; n--, run++) {
		for (unsigned i = 0; i < run->count; i++) {
			uint32_t bytes;

			if (type == PARQUET_BYTES) {
				const uint8_t *at = dict_entry(&b->dict, run->value, &bytes);

				store_octets(p, b, at, bytes);
			} else {
				store_i64(p, b, type, dict_value(&b->dict, run->value));
			}
		}
	}
}

static void go_direct(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;

	b->runs.bytes = 0;
	c->mode = COLUMN_DIRECT;
	if (b->page_counts[ENCODING_RLE_DICTIONARY] > 0)
		return;
	/* No page needs it: there will be none, and not too soon again. */
	dict_release(&p->account, &b->dict);
	if (b->values_count >= REMEMBER_VALUES) {
		c->backoff = c->backoff == 0		   ? BACKOFF_MIN
			     : c->backoff >= BACKOFF_MAX / 2 ? BACKOFF_MAX
							     : (uint8_t)(2 * c->backoff);
		c->skip = c->backoff;
	}
}

void column_to_direct(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];

	column_end_run(p, c);
	store_all(p, c->body, leaf_of(p, leaf)->type);
	go_direct(p, leaf);
}

static size_t dict_size(const struct parquet_body *b, enum parquet_type type)
{
	size_t values = type == PARQUET_INT32 ? b->dict.values.bytes / 2 : b->dict.values.bytes;
	size_t packed = b->values_count * hybrid_width(b->dict.count) / 8;

	return DICT_PAGE_BYTES + values + (packed < b->runs.bytes ? packed : b->runs.bytes);
}

void column_decide(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;
	enum parquet_type type = leaf_of(p, leaf)->type;

	column_end_run(p, c);
	b->is_decided = true;
	store_all(p, b, type);
	if (page_used(b) - b->runs.bytes / 2 <= dict_size(b, type)) {
		go_direct(p, leaf);
		return;
	}
	b->values.bytes = 0;
	delta_clear(&b->delta);
}

static bool is_undecided(const struct parquet_column *c)
{
	return !c->body->is_decided && c->body->values_count >= DECIDE_VALUES;
}

static bool joins_run(struct parquet *p, unsigned leaf, bool is_equal)
{
	struct parquet_column *c = &p->columns[leaf];

	if (c->run == 0 || !is_equal)
		return false;
	c->run++;
	allow_run(p, c, leaf_of(p, leaf));
	return true;
}

static void add_bound(struct parquet_bounds *bounds, enum parquet_type type, int64_t v)
{
	double f64;

	if (type == PARQUET_DOUBLE) {
		memcpy(&f64, &v, sizeof(f64));
		bounds_f64(bounds, f64);
	} else {
		bounds_i64(bounds, v);
	}
}

static void put_bool(struct parquet *p, unsigned leaf, bool v)
{
	struct parquet_column *c = &p->columns[leaf];

	if (joins_run(p, leaf, c->last == v))
		return;
	add_index(p, leaf, v);
	c->last = v;
	bounds_i64(&c->body->bounds, v);
}

static void put_i64(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v)
{
	struct parquet_column *c = &p->columns[leaf];
	enum parquet_type type = leaf_of(p, leaf)->type;
	struct parquet_body *b = enter(p, leaf, rep, def);
	uint32_t index;

	if (b == NULL)
		return;
	if (c->mode == COLUMN_BOOL) {
		put_bool(p, leaf, v != 0);
		return;
	}
	if (type == PARQUET_INT32)
		v = (int32_t)v;
	if (c->mode == COLUMN_DICT) {
		if (joins_run(p, leaf, c->last == v))
			return;
		index = dict_i64(&p->account, &b->dict, v);
		if (index != DICT_FULL) {
			if (dict_stamp(&b->dict, index, b->pages_count + 1))
				add_bound(&b->bounds, type, v);
			add_index(p, leaf, index);
			c->last = v;
			if (is_undecided(c))
				column_decide(p, leaf);
			return;
		}
		column_to_direct(p, leaf);
	}
	add_bound(&b->bounds, type, v);
	store_i64(p, b, type, v);
	b->values_count++;
}

static bool is_last(const struct parquet_column *c, const void *octets, size_t bytes)
{
	return bytes == c->last_bytes && memcmp(c->last_octets, octets, bytes) == 0;
}

static void put_octets(struct parquet *p, unsigned leaf, unsigned rep, unsigned def,
		       const void *octets, size_t bytes)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = enter(p, leaf, rep, def);
	uint32_t index;

	if (b == NULL)
		return;
	if (c->mode == COLUMN_DICT) {
		if (joins_run(p, leaf, c->run > 0 && is_last(c, octets, bytes)))
			return;
		index = dict_octets(&p->account, &b->dict, octets, bytes);
		if (index != DICT_FULL) {
			if (dict_stamp(&b->dict, index, b->pages_count + 1))
				bounds_octets(&b->bounds, octets, bytes);
			add_index(p, leaf, index);
			c->last_octets = dict_entry(&b->dict, index, &c->last_bytes);
			if (is_undecided(c))
				column_decide(p, leaf);
			return;
		}
		column_to_direct(p, leaf);
	}
	bounds_octets(&b->bounds, octets, bytes);
	store_octets(p, b, octets, bytes);
	b->values_count++;
	if (bytes >= BIG_BYTES)
		p->until_check = 1;
}

void parquet_put_i64(struct parquet *p, unsigned leaf, int64_t v)
{
	struct parquet_column *c = &p->columns[leaf];

	if (c->run_left > 0 && c->row == p->row && c->last == v) {
		c->row++;
		c->run++;
		c->run_left--;
		return;
	}
	put_i64(p, leaf, 0, leaf_of(p, leaf)->max_def, v);
}

void parquet_put_f64(struct parquet *p, unsigned leaf, double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	parquet_put_i64(p, leaf, bits);
}

void parquet_put_octets(struct parquet *p, unsigned leaf, const void *octets, size_t bytes)
{
	struct parquet_column *c = &p->columns[leaf];

	if (bytes == 0)
		octets = "";
	if (c->run_left > 0 && c->row == p->row && is_last(c, octets, bytes)) {
		c->row++;
		c->run++;
		c->run_left--;
		return;
	}
	put_octets(p, leaf, 0, leaf_of(p, leaf)->max_def, octets, bytes);
}

void parquet_put_i64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v)
{
	must(def == leaf_of(p, leaf)->max_def);
	put_i64(p, leaf, rep, def, v);
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
	must(def == leaf_of(p, leaf)->max_def);
	put_octets(p, leaf, rep, def, bytes == 0 ? "" : octets, bytes);
}

void parquet_put_null_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	must(def < leaf_of(p, leaf)->max_def);
	if (enter(p, leaf, rep, def) != NULL)
		p->columns[leaf].run_left = 0;
}

void column_restart(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;

	c->row = 0;
	c->run = 0;
	c->run_left = 0;
	if (b == NULL)
		return;
	buffer_restart(&p->account, &b->runs);
	buffer_restart(&p->account, &b->reps);
	buffer_restart(&p->account, &b->defs);
	buffer_restart(&p->account, &b->values);
	buffer_restart(&p->account, &b->pages);
	delta_clear(&b->delta);
	dict_clear(&b->dict);
	bounds_clear(&b->bounds);
	bounds_clear(&b->chunk_bounds);
	memset(b->page_counts, 0, sizeof(b->page_counts));
	b->page_row = 0;
	b->def_row = 0;
	b->dict_before = 0;
	b->entries = 0;
	b->values_count = 0;
	b->is_decided = false;
	b->pages_count = 0;
	b->chunk_entries = 0;
	b->chunk_values = 0;
	b->plain_bytes = 0;
	begin_chunk(c, leaf_of(p, leaf));
}

void column_free(struct parquet *p, unsigned leaf)
{
	struct parquet_body *b = p->columns[leaf].body;

	if (b == NULL)
		return;
	parquet_release(&p->account, &b->runs);
	parquet_release(&p->account, &b->reps);
	parquet_release(&p->account, &b->defs);
	parquet_release(&p->account, &b->values);
	parquet_release(&p->account, &b->pages);
	delta_release(&p->account, &b->delta);
	dict_release(&p->account, &b->dict);
	p->account.bytes -= sizeof(*b);
	free(b);
	p->columns[leaf].body = NULL;
}

size_t column_used(const struct parquet_column *c)
{
	const struct parquet_body *b = c->body;

	return b == NULL ? 0
			 : b->pages.bytes + b->values.bytes + b->runs.bytes + b->defs.bytes +
				   b->reps.bytes + delta_bytes(&b->delta) + b->dict.values.bytes +
				   b->dict.slots.bytes;
}
