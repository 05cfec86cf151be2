/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#include "base/must.h"

/* ---- values that wait in the batch ---- */

/* Where the value of this row goes. */
static inline union parquet_lane *lane_of(const struct parquet *p, unsigned leaf)
{
	uint64_t bit = UINT64_C(1) << p->batch_row;

	must((p->staged[leaf] & bit) == 0); /* else it is the second value of this row */
	p->staged[leaf] |= bit;
	return batch_lane(p, leaf);
}

static inline int64_t fit(const struct parquet_column *c, int64_t v)
{
	return c->type == PARQUET_INT32 ? (int32_t)v : c->type == PARQUET_BOOLEAN ? v != 0 : v;
}

void parquet_put_i64(struct parquet *p, unsigned leaf, int64_t v)
{
	lane_of(p, leaf)->i64 = fit(&p->columns[leaf], v);
}

void parquet_put_f64(struct parquet *p, unsigned leaf, double v)
{
	int64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	parquet_put_i64(p, leaf, bits);
}

void parquet_put_octets(struct parquet *p, unsigned leaf, const void *octets, size_t bytes)
{
	if (bytes >= BIG_BYTES) {
		parquet_put_octets_at(p, leaf, 0, p->columns[leaf].max_def, octets, bytes);
		return;
	}
	if (!parquet_reserve(&p->account, &p->octets, bytes))
		return;
	lane_of(p, leaf)->text =
		(struct parquet_text){ (uint32_t)p->octets.bytes, (uint32_t)bytes };
	if (bytes > 0)
		memcpy(parquet_end(&p->octets), octets, bytes);
	p->octets.bytes += bytes;
}

/* ---- values with levels ---- */

bool column_enter(struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b;

	must(rep <= c->max_rep);
	must(def <= c->max_def);
	if (p->account.error != ERR_OK)
		return false;
	b = c->body != NULL ? c->body : column_body(p, leaf);
	if (b == NULL)
		return false;
	if (p->staged[leaf] != 0)
		column_drain(p, leaf);
	if (p->account.error != ERR_OK)
		return false; /* there was no memory for the first */
	if (rep == 0) {
		column_enter_row(p, leaf, p->row);
		c->row++;
	} else {
		must(c->row == p->row + 1); /* else it is the first of this row */
	}
	if (c->max_rep == 0) {
		column_set_def(p, b, def, p->row);
	} else {
		runs_add(&p->account, &b->reps, (uint16_t)rep, 1);
		runs_add(&p->account, &b->defs, (uint16_t)def, 1);
		if (++b->entries > PARQUET_PAGE_MAX)
			parquet_fail(&p->account, ERR_LIMIT);
	}
	return true;
}

void parquet_put_i64_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def, int64_t v)
{
	must(def == p->columns[leaf].max_def);
	if (column_enter(p, leaf, rep, def)) {
		v = fit(&p->columns[leaf], v);
		column_put_i64(p, leaf, &v, 1);
	}
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
	const struct parquet_text text = { 0, (uint32_t)bytes };

	must(def == p->columns[leaf].max_def);
	if (bytes > PARQUET_PAGE_MAX) {
		parquet_fail(&p->account, ERR_LIMIT);
		return;
	}
	if (!column_enter(p, leaf, rep, def))
		return;
	(void)column_put_octets(p, leaf, bytes == 0 ? (const uint8_t *)"" : octets, &text, 1);
	if (bytes >= BIG_BYTES)
		p->until_check = 0;
}

void parquet_put_null_at(struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	must(def < p->columns[leaf].max_def);
	(void)column_enter(p, leaf, rep, def);
}
