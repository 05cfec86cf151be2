/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"

#include <errno.h>

#include "base/must.h"

#define PAGE_BYTES (1u << 20)
#define PAGE_ROWS 20000
#define GROUP_ROWS 131072
#define GROUP_ROWS_MAX (1u << 30) /* a page of nulls counts them in 31 bits */
#define GROUP_BYTES (32u << 20)
#define CHECK_ROWS 256 /* so that looking at all columns costs a row nothing */

static void set_conf(struct parquet *p, const struct parquet_conf *conf)
{
	struct parquet_conf *c = &p->conf;

	*c = *conf;
	if (c->page_bytes == 0)
		c->page_bytes = PAGE_BYTES;
	if (c->page_bytes > PARQUET_PAGE_MAX)
		c->page_bytes = PARQUET_PAGE_MAX;
	if (c->page_rows == 0)
		c->page_rows = PAGE_ROWS;
	if (c->group_rows == 0)
		c->group_rows = GROUP_ROWS;
	if (c->group_rows > GROUP_ROWS_MAX)
		c->group_rows = GROUP_ROWS_MAX;
	if (c->group_bytes == 0)
		c->group_bytes = GROUP_BYTES;
}

static size_t lanes_bytes(const struct parquet *p)
{
	return p->schema->leaf_count * LANE_STRIDE * sizeof(*p->lanes);
}

enum err parquet_new(const struct parquet_schema *schema, const struct parquet_conf *conf,
		     struct parquet **out)
{
	struct parquet *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return ERR_NOMEM;
	p->schema = schema;
	set_conf(p, conf);
	p->bench = conf->bench;
	p->columns = aligned_alloc(COLUMN_ALIGN, schema->leaf_count * sizeof(*p->columns));
	if (p->columns == NULL)
		goto fail;
	memset(p->columns, 0, schema->leaf_count * sizeof(*p->columns));
	p->staged = calloc(schema->leaf_count, sizeof(*p->staged));
	p->lanes = aligned_alloc(COLUMN_ALIGN, lanes_bytes(p));
	if (p->staged == NULL || p->lanes == NULL)
		goto fail;
	for (size_t i = 0; i < schema->leaf_count; i++) {
		p->columns[i].type = (uint8_t)schema->leaves[i].type;
		p->columns[i].max_def = schema->leaves[i].max_def;
		p->columns[i].max_rep = schema->leaves[i].max_rep;
	}
	if (p->bench == NULL) {
		if (parquet_bench_new(&p->bench) != ERR_OK)
			goto fail;
		p->owns_bench = true;
	}
	*out = p;
	return ERR_OK;
fail:
	parquet_free(p);
	return ERR_NOMEM;
}

void parquet_free(struct parquet *p)
{
	if (p == NULL)
		return;
	for (unsigned i = 0; p->columns != NULL && i < p->schema->leaf_count; i++)
		column_free(p, i);
	parquet_release(&p->account, &p->groups);
	parquet_release(&p->account, &p->octets);
	if (p->owns_bench)
		parquet_bench_free(p->bench);
	free(p->columns);
	free(p->staged);
	free(p->lanes);
	free(p);
}

static void restart_group(struct parquet *p)
{
	p->row = 0;
	p->waiting = 0;
	p->until_check = CHECK_ROWS;
	batch_forget(p);
	memset(p->staged, 0, p->schema->leaf_count * sizeof(*p->staged));
	for (unsigned i = 0; i < p->schema->leaf_count; i++)
		column_restart(p, i);
}

void parquet_reset(struct parquet *p)
{
	restart_group(p);
	p->bench->staged.bytes = 0;
	p->account.error = ERR_OK;
	p->out = NULL;
	p->position = 0;
	p->rows = 0;
	buffer_restart(&p->account, &p->groups);
	p->groups_count = 0;
}

enum err parquet_open(struct parquet *p, struct file_out *out)
{
	must(p->out == NULL);
	parquet_reset(p);
	p->out = out;
	p->position = 4;
	return file_out_write(out, "PAR1", 4);
}

/* With errno, as far as it is ours to set. */
static enum err answer(struct parquet *p, enum err e)
{
	if (e == ERR_NOMEM)
		errno = ENOMEM;
	parquet_fail(&p->account, e);
	return e;
}

static enum err write_group(struct parquet *p)
{
	struct parquet_thrift t = parquet_thrift_of(&p->account, &p->groups);
	uint64_t from = p->position;
	uint64_t plain_bytes = 0;

	TRY(p->account.error);
	/* Element of a list: a structure that the footer's list header announces. */
	thrift_list(&t, 1, THRIFT_STRUCT, p->schema->leaf_count);
	for (unsigned i = 0; i < p->schema->leaf_count; i++)
		TRY(chunk_write(p, i, &t, &plain_bytes));
	thrift_i64(&t, 2, (int64_t)plain_bytes);
	thrift_i64(&t, 3, (int64_t)p->row);
	thrift_i64(&t, 5, (int64_t)from);
	thrift_i64(&t, 6, (int64_t)(p->position - from));
	if (p->groups_count <= INT16_MAX)
		thrift_i16(&t, 7, (int16_t)p->groups_count);
	thrift_end(&t);
	TRY(p->account.error);
	p->groups_count++;
	p->rows += p->row;
	return out_flush(p);
}

static enum err end_group(struct parquet *p)
{
	enum err e;

	must(p->waiting == 0); /* else records were put, and not settled */
	batch_drain(p);
	e = p->row == 0 ? p->account.error : write_group(p);
	if (e != ERR_OK) {
		p->bench->staged.bytes = 0; /* the bench may be shared */
		return answer(p, e);
	}
	restart_group(p);
	return ERR_OK;
}

static uint64_t group_used(const struct parquet *p)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < p->schema->leaf_count; i++)
		bytes += column_used(&p->columns[i]);
	return bytes;
}

/* The batch is full: it is time to look at what else may be. */
static enum err end_batch(struct parquet *p)
{
	uint64_t rows = p->batch_row;

	if (p->row >= p->conf.group_rows)
		return end_group(p);
	batch_drain(p);
	if (p->account.error != ERR_OK)
		return answer(p, p->account.error);
	p->until_check -= rows < p->until_check ? rows : p->until_check;
	if (p->until_check > 0)
		return ERR_OK;
	p->until_check = CHECK_ROWS;
	return group_used(p) >= p->conf.group_bytes ? end_group(p) : ERR_OK;
}

enum err batch_look(struct parquet *p)
{
	if (__builtin_expect(p->account.error != ERR_OK, 0))
		return answer(p, p->account.error);
	if (p->batch_row < BATCH_ROWS && p->octets.bytes < BATCH_BYTES && p->until_check > 0 &&
	    p->row < p->conf.group_rows)
		return ERR_OK;
	return end_batch(p);
}

enum err parquet_row(struct parquet *p)
{
	if (p->account.error == ERR_OK)
		batch_add_rows(p, 1);
	return batch_look(p);
}

uint64_t parquet_rows(const struct parquet *p)
{
	return p->rows + p->row;
}

size_t parquet_memory(const struct parquet *p)
{
	return sizeof(*p) + lanes_bytes(p) +
	       p->schema->leaf_count * (sizeof(*p->columns) + sizeof(*p->staged)) +
	       p->account.bytes + (p->owns_bench ? parquet_bench_memory(p->bench) : 0);
}

enum err parquet_flush(struct parquet *p)
{
	enum err e = end_group(p);

	for (unsigned i = 0; e == ERR_OK && i < p->schema->leaf_count; i++)
		column_free(p, i);
	if (e == ERR_OK)
		parquet_release(&p->account, &p->octets);
	return e;
}

enum err parquet_finish(struct parquet *p, const struct parquet_meta *meta, size_t count)
{
	enum err e = end_group(p);

	return e == ERR_OK ? answer(p, footer_write(p, meta, count)) : e;
}
