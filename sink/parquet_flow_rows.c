/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_flow.h"

#include "base/must.h"
#include "sink/parquet_flow_parts.h"

static void put_cell(struct parquet *p, const struct cell *c)
{
	unsigned rep = (c->levels & CELL_AGAIN) != 0;
	unsigned def = c->levels & (CELL_AGAIN - 1);

	if (c->kind == CELL_TEXT)
		parquet_put_octets_at(p, c->leaf, rep, def, c->octets, c->bytes);
	else if (c->kind == CELL_I64)
		parquet_put_i64_at(p, c->leaf, rep, def, c->i64);
	else
		parquet_put_null_at(p, c->leaf, rep, def);
}

/* Those of a column stand in the order of rows. */
static void put_cells(const struct parquet_flow *f, struct parquet *p)
{
	const struct cell *cells = (const struct cell *)(const void *)f->cells;
	uint64_t first = p->row;

	for (size_t i = 0; i < f->cell_count; i++) {
		p->row = first + cells[i].row;
		put_cell(p, &cells[i]);
	}
	p->row = first;
}

/* Some of those that wait become rows.  When one cannot, none does, as if they had never been seen: no memory, too,
 * is nothing that the file has to remember. */
static enum err take(struct parquet_flow *f, struct parquet *p, unsigned first, unsigned count)
{
	struct group g = { .parquet = p, .base = p->octets.at, .count = count };
	enum err e;

	for (unsigned i = 0; i < count; i++) {
		g.at[i] = g.base + p->waits[first + i].at;
		g.end[i] = g.at[i] + p->waits[first + i].bytes;
	}
	e = parquet_flow_read(f, &g);
	if (e != ERR_OK) {
		batch_undo_rows(p);
		p->account.error = ERR_OK;
		return e;
	}
	put_cells(f, p);
	batch_add_rows(p, count);
	return ERR_OK;
}

enum err parquet_flow_settle(struct parquet_flow *f, struct parquet *p,
			     struct parquet_settled *settled)
{
	unsigned count = p->waiting;
	enum err e;

	*settled = (struct parquet_settled){ .count = count };
	p->waiting = 0;
	if (count == 0 || p->account.error != ERR_OK)
		return batch_look(p);
	e = take(f, p, 0, count);
	if (e != ERR_OK && e != ERR_FORMAT)
		return e;
	for (unsigned i = 0; e != ERR_OK && i < count; i++) {
		enum err one = take(f, p, i, 1);

		if (one == ERR_FORMAT)
			settled->refused |= UINT64_C(1) << i;
		else
			TRY(one);
	}
	return batch_look(p);
}

/* What is text there needs no copy of its own. */
enum err parquet_flow_put(struct parquet_flow *f, struct parquet *p, const void *octets,
			  size_t bytes, struct parquet_settled *settled)
{
	*settled = (struct parquet_settled){ .count = 0 };
	if (p->account.error != ERR_OK)
		return batch_look(p);
	if (bytes > INT32_MAX - PADDING)
		bytes = 0; /* no record is empty */
	if (!parquet_reserve(&p->account, &p->octets, bytes + PADDING)) {
		p->account.error = ERR_OK;
		return ERR_NOMEM;
	}
	memcpy(parquet_end(&p->octets), octets, bytes);
	memset(parquet_end(&p->octets) + bytes, 0, PADDING);
	p->waits[p->waiting++] =
		(struct parquet_text){ (uint32_t)p->octets.bytes, (uint32_t)bytes };
	p->octets.bytes += bytes;
	if (bytes >= BIG_BYTES)
		p->until_check = 0;
	if (p->batch_row + p->waiting < BATCH_ROWS && p->octets.bytes < BATCH_BYTES &&
	    p->row + p->waiting < p->conf.group_rows && p->until_check > 0)
		return ERR_OK;
	return parquet_flow_settle(f, p, settled);
}

enum err parquet_flow_add(struct parquet_flow *f, struct parquet *p, const void *octets,
			  size_t bytes)
{
	struct parquet_settled settled;
	enum err e;

	must(p->waiting == 0);
	e = parquet_flow_put(f, p, octets, bytes, &settled);
	if (e == ERR_OK && settled.count == 0)
		e = parquet_flow_settle(f, p, &settled);
	return e == ERR_OK && settled.refused != 0 ? ERR_FORMAT : e;
}
