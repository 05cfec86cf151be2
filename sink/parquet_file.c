/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_file.h"

#include <errno.h>
#include <stdlib.h>

#include "base/must.h"
#include "sink/schema.h"

#define META_MAX 16

/* A schema of the log, as long as a writer has it. */
struct shape {
	struct shape *next;
	unsigned users;
	uint32_t schema;
	struct parquet_flow
		*flow; /* NULL: not of this build, so that no record of it can be a row */
};

struct parquet_shared {
	struct log_hub *hub;
	struct parquet_conf conf;
	enum parquet_layout layout;
	struct shape *shapes;
};

struct writer {
	struct parquet_shared *shared;
	struct shape *shape;
	struct parquet *parquet; /* of the shape */
	unsigned waiting;
	struct file_tag tags[FILE_WAITING_MAX]; /* of the records that wait */
};

/* What is not the system's failure has an errno too. */
static enum err with_errno(enum err e)
{
	if (e == ERR_NOMEM)
		errno = ENOMEM;
	if (e == ERR_LIMIT)
		errno = EFBIG;
	return e == ERR_LIMIT ? ERR_IO : e;
}

static void shared_free(void *shared)
{
	struct parquet_shared *s = shared;

	if (s == NULL)
		return;
	must(s->shapes == NULL);
	parquet_bench_free(s->conf.bench);
	free(s);
}

enum err parquet_file_shared_new(struct log_hub *hub, const struct parquet_conf *conf,
				 enum parquet_layout layout, struct parquet_shared **out)
{
	struct parquet_shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ERR_NOMEM;
	s->hub = hub;
	s->conf = *conf;
	s->layout = layout;
	if (parquet_bench_new(&s->conf.bench) != ERR_OK) {
		free(s);
		return ERR_NOMEM;
	}
	*out = s;
	return ERR_OK;
}

static enum err make_flow(const struct parquet_shared *s, uint32_t schema,
			  struct parquet_flow **out)
{
	struct field_set *fields;
	size_t bytes;
	enum err e =
		schema_fields_new(log_name(s->hub, LOG_NAME_SCHEMA, schema, &bytes), NULL, &fields);

	if (e == ERR_OK) {
		e = parquet_flow_new(fields, s->layout, NULL, out);
		schema_fields_free(fields);
	}
	return e == ERR_NOMEM ? ERR_NOMEM : ERR_OK;
}

static enum err take_shape(struct parquet_shared *s, uint32_t schema, struct shape **out)
{
	struct shape *shape = s->shapes;

	while (shape != NULL && shape->schema != schema)
		shape = shape->next;
	if (shape == NULL) {
		shape = calloc(1, sizeof(*shape));
		if (shape == NULL)
			return ERR_NOMEM;
		shape->schema = schema;
		if (make_flow(s, schema, &shape->flow) != ERR_OK) {
			free(shape);
			return ERR_NOMEM;
		}
		shape->next = s->shapes;
		s->shapes = shape;
	}
	shape->users++;
	*out = shape;
	return ERR_OK;
}

static void leave_shape(struct writer *w)
{
	struct shape **at = &w->shared->shapes;

	parquet_free(w->parquet);
	w->parquet = NULL;
	if (w->shape == NULL || --w->shape->users > 0) {
		w->shape = NULL;
		return;
	}
	while (*at != w->shape)
		at = &(*at)->next;
	*at = w->shape->next;
	parquet_flow_free(w->shape->flow);
	free(w->shape);
	w->shape = NULL;
}

static enum err writer_new(void *shared, void **out)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return with_errno(ERR_NOMEM);
	w->shared = shared;
	*out = w;
	return ERR_OK;
}

static void writer_free(void *writer)
{
	struct writer *w = writer;

	if (w == NULL)
		return;
	leave_shape(w);
	free(w);
}

static enum err writer_open(void *writer, struct file_out *out, uint32_t schema,
			    const struct file_meta *meta, size_t count)
{
	struct writer *w = writer;

	(void)meta;
	(void)count;
	if (w->shape == NULL || w->shape->schema != schema) {
		leave_shape(w);
		TRY(with_errno(take_shape(w->shared, schema, &w->shape)));
	}
	if (w->shape->flow == NULL)
		return ERR_OK;
	if (w->parquet == NULL)
		TRY(with_errno(parquet_new(parquet_flow_schema(w->shape->flow), &w->shared->conf,
					   &w->parquet)));
	return with_errno(parquet_open(w->parquet, out));
}

/* `e` unless some of those that waited are refused. */
static enum err settled(struct writer *w, enum err e, const struct parquet_settled *s,
			struct file_refused *refused)
{
	if (s->count == 0)
		return with_errno(e);
	must(s->count == w->waiting);
	w->waiting = 0;
	for (uint64_t rows = s->refused; rows != 0; rows &= rows - 1)
		file_refuse(refused, w->tags[__builtin_ctzll(rows)]);
	return e == ERR_OK && s->refused != 0 ? ERR_FORMAT : with_errno(e);
}

static enum err writer_add(void *writer, uint32_t schema, const uint8_t *octets, size_t bytes,
			   struct file_tag tag, struct file_refused *refused)
{
	struct writer *w = writer;
	struct parquet_settled s;
	enum err e;

	must(w->shape->schema == schema);
	if (w->shape->flow == NULL) {
		file_refuse(refused, tag);
		return ERR_FORMAT;
	}
	w->tags[w->waiting++] = tag;
	e = parquet_flow_put(w->shape->flow, w->parquet, octets, bytes, &s);
	return settled(w, e, &s, refused);
}

static enum err writer_settle(void *writer, struct file_refused *refused)
{
	struct writer *w = writer;
	struct parquet_settled s;
	enum err e;

	if (w->waiting == 0)
		return ERR_OK;
	e = parquet_flow_settle(w->shape->flow, w->parquet, &s);
	return settled(w, e, &s, refused);
}

static size_t writer_held(const void *writer)
{
	const struct writer *w = writer;

	return w->parquet == NULL ? 0 : parquet_memory(w->parquet);
}

static enum err writer_spill(void *writer)
{
	struct writer *w = writer;

	return w->parquet == NULL ? ERR_OK : with_errno(parquet_flush(w->parquet));
}

/* Only files with records are finished. */
static enum err writer_finish(void *writer, const struct file_meta *meta, size_t count)
{
	struct writer *w = writer;
	struct parquet_meta all[META_MAX];
	size_t bytes;

	must(count + 2 <= META_MAX);
	must(w->parquet != NULL);
	for (size_t i = 0; i < count; i++)
		all[i] = (struct parquet_meta){ meta[i].key, meta[i].value };
	all[count] = (struct parquet_meta){ "sluice.layout",
					    w->shared->layout == PARQUET_FLAT ? "flat" : "nested" };
	all[count + 1] =
		(struct parquet_meta){ "sluice.schema", log_name(w->shared->hub, LOG_NAME_SCHEMA,
								 w->shape->schema, &bytes) };
	return with_errno(parquet_finish(w->parquet, all, count + 2));
}

static void writer_reset(void *writer)
{
	struct writer *w = writer;

	w->waiting = 0;
	if (w->parquet != NULL)
		parquet_reset(w->parquet);
}

static const struct file_format format = {
	.has_schema = true,
	.writer_new = writer_new,
	.writer_free = writer_free,
	.open = writer_open,
	.add = writer_add,
	.settle = writer_settle,
	.held = writer_held,
	.spill = writer_spill,
	.finish = writer_finish,
	.reset = writer_reset,
	.shared_free = shared_free,
};

const struct file_format *parquet_file_format(void)
{
	return &format;
}
