/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#define DECIDE_VALUES 4096   /* after so many it is clear whether a dictionary pays */
#define REMEMBER_VALUES 1024 /* fewer say nothing about the next row group */
#define BACKOFF_MIN 8
#define BACKOFF_MAX 64
#define DICT_PAGE_BYTES 40 /* header and all of a dictionary page, about */

void column_end_run(struct parquet *p, struct parquet_column *c)
{
	if (c->run == 0)
		return;
	runs_add(&p->account, &c->body->runs, c->index, c->run);
	c->body->values_count += c->run;
	c->body->spread_bytes += column_run_spread(c);
	c->run = 0;
}

void column_store_i64(struct parquet *p, struct parquet_column *c, const int64_t *v, size_t count)
{
	struct parquet_body *b = c->body;

	if (c->type != PARQUET_DOUBLE && p->conf.fallback == PARQUET_DELTA) {
		delta_add_all(&p->account, &b->delta, v, count);
		return;
	}
	if (c->type != PARQUET_INT32) {
		parquet_append(&p->account, &b->values, v, count * sizeof(*v));
		return;
	}
	for (size_t i = 0; i < count; i++)
		parquet_append(&p->account, &b->values, &v[i], sizeof(int32_t));
}

void column_store_octets(struct parquet *p, struct parquet_column *c, const void *octets,
			 size_t bytes)
{
	struct parquet_body *b = c->body;

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
static void store_all_octets(struct parquet *p, struct parquet_column *c)
{
	const struct parquet_run *run = runs_at(&c->body->runs);

	for (size_t n = runs_count(&c->body->runs); n > 0; n--, run++) {
		uint32_t bytes;
		const uint8_t *at = dict_entry(&c->body->dict, run->value, &bytes);

		for (unsigned i = 0; i < run->count; i++)
			column_store_octets(p, c, at, bytes);
	}
}

static void store_all_i64(struct parquet *p, struct parquet_column *c)
{
	const struct parquet_run *run = runs_at(&c->body->runs);
	int64_t some[BATCH_ROWS];
	size_t count = 0;

	for (size_t n = runs_count(&c->body->runs); n > 0; n--, run++) {
		int64_t v = dict_value(&c->body->dict, run->value);

		for (unsigned i = 0; i < run->count; i++) {
			some[count++] = v;
			if (count == BATCH_ROWS) {
				column_store_i64(p, c, some, count);
				count = 0;
			}
		}
	}
	column_store_i64(p, c, some, count);
}

static void store_all(struct parquet *p, struct parquet_column *c)
{
	if (c->type == PARQUET_BYTES)
		store_all_octets(p, c);
	else
		store_all_i64(p, c);
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
		c->backoff = c->backoff == 0		     ? BACKOFF_MIN
			     : c->backoff >= BACKOFF_MAX / 2 ? BACKOFF_MAX
							     : (uint8_t)(2 * c->backoff);
		c->skip = c->backoff;
	}
}

void column_to_direct(struct parquet *p, unsigned leaf)
{
	column_end_run(p, &p->columns[leaf]);
	store_all(p, &p->columns[leaf]);
	go_direct(p, leaf);
}

static size_t dict_size(const struct parquet_body *b, unsigned type)
{
	size_t values = type == PARQUET_INT32 ? b->dict.values.bytes / 2 : b->dict.values.bytes;
	size_t packed = b->values_count * hybrid_width(b->dict.count) / 8;

	return DICT_PAGE_BYTES + values + (packed < b->runs.bytes ? packed : b->runs.bytes);
}

void column_decide(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;

	column_end_run(p, c);
	b->is_decided = true;
	/* Octets alone, without their lengths, may be more than that. */
	if (c->type == PARQUET_BYTES &&
	    b->spread_bytes - b->values_count * sizeof(int64_t) > dict_size(b, c->type))
		return;
	store_all(p, c);
	if (b->values.bytes + delta_bytes(&b->delta) <= dict_size(b, c->type)) {
		go_direct(p, leaf);
		return;
	}
	buffer_restart(&p->account, &b->values);
	delta_clear(&b->delta);
}

bool column_is_undecided(const struct parquet_column *c)
{
	return c->mode == COLUMN_DICT && !c->body->is_decided &&
	       c->body->values_count >= DECIDE_VALUES;
}

void column_restart(struct parquet *p, unsigned leaf)
{
	struct parquet_column *c = &p->columns[leaf];
	struct parquet_body *b = c->body;

	c->row = 0;
	c->run = 0;
	if (b == NULL)
		return;
	buffer_restart(&p->account, &b->runs);
	buffer_restart(&p->account, &b->reps);
	buffer_restart(&p->account, &b->defs);
	buffer_restart(&p->account, &b->values);
	buffer_restart(&p->account, &b->pages);
	delta_clear(&b->delta);
	dict_clear(&b->dict);
	recent_clear(&b->recent);
	bounds_clear(&b->bounds);
	bounds_clear(&b->chunk_bounds);
	memset(b->page_counts, 0, sizeof(b->page_counts));
	b->page_row = 0;
	b->def_row = 0;
	b->dict_before = 0;
	b->entries = 0;
	b->values_count = 0;
	b->spread_bytes = 0;
	b->is_decided = false;
	b->pages_count = 0;
	b->chunk_entries = 0;
	b->chunk_values = 0;
	b->plain_bytes = 0;
	c->mode = c->type == PARQUET_BOOLEAN ? COLUMN_BOOL
		  : c->skip > 0		     ? COLUMN_DIRECT
					     : COLUMN_DICT;
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
	parquet_release(&p->account, &b->recent);
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
