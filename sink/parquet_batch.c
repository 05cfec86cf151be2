/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#include "base/must.h"

struct parquet_body *column_body(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b;

	if (c->body != NULL)
		return c->body;
	b = calloc(1, sizeof(*b));
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
void column_set_def(struct parquet *p, struct parquet_body *b, unsigned def, uint64_t row)
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
		column_set_def(p, b, 0, c->row);
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

void column_enter_row(struct parquet *p, unsigned leaf, uint64_t row)
{
	struct parquet_column *c = &p->columns[leaf];

	must(c->row <= row); /* else it is the second value of this row */
	if (c->row < row)
		add_nulls(p, c, row - c->row);
	if (c->row - c->body->page_row >= p->conf.page_rows || column_is_full(p, c))
		page_end(p, leaf);
}

/* Levels of the rows in `rows`, which are numbered from `first` on, and of those between them. */
static void add_levels(struct parquet *p, struct parquet_column *c, uint64_t first, uint64_t rows)
{
	while (rows != 0) {
		unsigned at = (unsigned)__builtin_ctzll(rows);
		uint64_t above = ~(rows >> at);
		unsigned count = above == 0 ? BATCH_ROWS : (unsigned)__builtin_ctzll(above);

		if (c->row < first + at)
			add_nulls(p, c, first + at - c->row);
		column_set_def(p, c->body, c->max_def, c->row);
		c->row += count;
		rows = at + count >= BATCH_ROWS ? 0 : rows >> (at + count) << (at + count);
	}
}

/* What is in `rows`, without what is between; a whole batch needs no copy. */
static const union parquet_lane *gather(const union parquet_lane *lanes, uint64_t rows,
					size_t *count, union parquet_lane room[BATCH_ROWS])
{
	unsigned first = (unsigned)__builtin_ctzll(rows);
	size_t n = 0;

	if ((rows >> first & ((rows >> first) + 1)) == 0) {
		*count = rows >> first == UINT64_MAX ? BATCH_ROWS
						     : (size_t)__builtin_ctzll(~(rows >> first));
		return lanes + first;
	}
	for (; rows != 0; rows &= rows - 1)
		room[n++] = lanes[__builtin_ctzll(rows)];
	*count = n;
	return room;
}

/* The first `count` of the rows. */
static uint64_t lowest(uint64_t rows, size_t count)
{
	uint64_t rest = rows;

	for (; count > 0; count--)
		rest &= rest - 1;
	return rows & ~rest;
}

/* As many of the rows as go into one page; returns them. */
static uint64_t drain_some(struct parquet *p, unsigned leaf, uint64_t first, uint64_t rows)
{
	struct parquet_column *c = &p->columns[leaf];
	union parquet_lane room[BATCH_ROWS];
	unsigned at = (unsigned)__builtin_ctzll(rows);
	const union parquet_lane *lanes;
	uint64_t left;
	size_t count;

	column_enter_row(p, leaf, first + at);
	left = at + p->conf.page_rows - (c->row - c->body->page_row);
	if (left < BATCH_ROWS)
		rows &= (UINT64_C(1) << left) - 1;
	lanes = gather(p->lanes + (size_t)leaf * LANE_STRIDE, rows, &count, room);
	if (c->type == PARQUET_BYTES) {
		size_t taken = column_put_octets(p, leaf, p->octets.at, &lanes->text, count);

		if (taken < count)
			rows = lowest(rows, taken);
	} else {
		column_put_i64(p, leaf, &lanes->i64, count);
	}
	add_levels(p, c, first, rows);
	return rows;
}

void column_drain(struct parquet *p, unsigned leaf)
{
	uint64_t rows = p->staged[leaf];

	p->staged[leaf] = 0;
	if (rows == 0 || column_body(p, leaf) == NULL)
		return;
	while (rows != 0 && p->account.error == ERR_OK)
		rows &= ~drain_some(p, leaf, p->row - p->batch_row, rows);
}

void batch_forget(struct parquet *p)
{
	p->batch_row = 0;
	buffer_restart(&p->account, &p->octets);
}

void batch_add_rows(struct parquet *p, unsigned count)
{
	p->row += count;
	p->batch_row += count;
}

void batch_undo_rows(struct parquet *p)
{
	uint64_t others = (UINT64_C(1) << p->batch_row) - 1;

	for (unsigned i = 0; i < p->schema->leaf_count; i++)
		p->staged[i] &= others;
}

void batch_drain(struct parquet *p)
{
	for (unsigned i = 0; i < p->schema->leaf_count; i++) {
		if (p->staged[i] != 0)
			column_drain(p, i);
	}
	batch_forget(p);
}
