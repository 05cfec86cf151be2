/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples of an sFlow message, in their order.  Flow samples in a row that hold the same elements are handed on
 * together, by a template that is made for these elements when a session first shows them.
 */
#include <stdlib.h>
#include <xxhash.h>

#include "base/must.h"
#include "collector/sflow.h"
#include "collector/sflow_sources.h"
#include "collector/take.h"

#define BATCH_SAMPLES 16
#define SLOTS (2 * BATCH_SAMPLES)
/* Templates of a session.  What holds yet other elements is read by one that has all of them. */
#define SHAPES_MAX 64
#define HINTS 1024u

_Static_assert(SFLOW_WORDS == TMPL_SHAPE_WORDS, "a shape is the bits of a sample's elements");

struct sflow_batch {
	struct tmpl *tmpl; /* of the samples that wait */
	uint32_t count;
	uint32_t slot; /* of the next sample; none that waits is in it, or behind it in its half */
	struct record records[BATCH_SAMPLES];
	struct sflow_values values[SLOTS];
	uint8_t hints[HINTS]; /* where a session's template of a shape was, the last time */
	bool is_begun;	      /* message_begin was called */
	bool is_letter;	      /* the message was told of as undecodable */
};

enum err take_sflow_open(struct collector *c)
{
	c->sflow = calloc(1, sizeof(*c->sflow));
	return c->sflow == NULL ? ERR_NOMEM : ERR_OK;
}

void take_sflow_close(struct collector *c)
{
	free(c->sflow);
}

/* ---- templates ---- */

static const uint64_t *all_elements(void)
{
	static const uint64_t all[SFLOW_WORDS] = { UINT64_MAX, UINT64_MAX, UINT64_MAX,
						   UINT64_MAX >>
							   (64 * SFLOW_WORDS - SFLOW_ELEMENTS) };

	return all;
}

static bool is_shape(const struct tmpl *t, const uint64_t *shape)
{
	return memcmp(t->shape, shape, sizeof(t->shape)) == 0;
}

static size_t hint_of(const struct session *s, const uint64_t *shape)
{
	uint64_t mixed = (uintptr_t)s >> 4;

	for (unsigned i = 0; i < SFLOW_WORDS; i++)
		mixed = (mixed ^ shape[i]) * UINT64_C(0x9e3779b97f4a7c15);
	return mixed >> 54;
}

_Static_assert(HINTS == 1024, "a hint's place is the upper ten bits");

/* Without looking at those of other shapes, which are far from each other in memory. */
static struct tmpl *find_shape(struct collector *c, const struct session *s, const uint64_t *shape)
{
	uint8_t *hint = &c->sflow->hints[hint_of(s, shape)];

	if (*hint < s->tmpl_count && is_shape(s->tmpls[*hint], shape))
		return s->tmpls[*hint];
	for (size_t i = 0; i < s->tmpl_count; i++) {
		if (!is_shape(s->tmpls[i], shape))
			continue;
		*hint = (uint8_t)i;
		return s->tmpls[i];
	}
	return NULL;
}

/* The lowest number that none of the session's templates has. */
static uint16_t free_id(const struct session *s)
{
	size_t i = 0;

	while (i < s->tmpl_count && s->tmpls[i]->id == TMPL_ID_MIN + i)
		i++;
	return (uint16_t)(TMPL_ID_MIN + i);
}

/* Of any length each where a record may be without it. */
static enum err new_shape(const uint64_t *shape, struct tmpl **out)
{
	bool is_all = memcmp(shape, all_elements(), sizeof((*out)->shape)) == 0;
	uint16_t count = 0;
	struct tmpl *t;
	enum err e;

	for (unsigned i = 0; i < SFLOW_WORDS; i++)
		count = (uint16_t)(count + __builtin_popcountll(shape[i]));
	TRY(tmpl_new(count, &t));
	count = 0;
	for (unsigned i = 0; i < SFLOW_ELEMENTS; i++) {
		const struct sflow_row *row = &sflow_rows[i];
		bool is_variable = is_all || row->bytes == 0;

		if ((shape[i / 64] >> (i % 64) & 1) != 0)
			t->fields[count++] =
				(struct tmpl_field){ row->pen, row->number,
						     is_variable ? TMPL_VARIABLE : row->bytes,
						     false };
	}
	t->version = VERSION_SFLOW5;
	t->hash = XXH3_64bits(shape, sizeof(t->shape));
	memcpy(t->shape, shape, sizeof(t->shape));
	e = tmpl_finish(t);
	if (e != ERR_OK) {
		tmpl_free(t);
		return e;
	}
	*out = t;
	return ERR_OK;
}

static void flush(struct collector *c, const struct message *m, struct session *s)
{
	struct sflow_batch *b = c->sflow;
	struct set_run run = { .tmpl = b->tmpl, .first = 0, .count = b->count };

	if (b->count == 0)
		return;
	memcpy(c->take.walk.records, b->records, b->count * sizeof(b->records[0]));
	b->count = 0;
	stat_inc(c->stat, STAT_SETS_DATA);
	take_hand_on_run(c, m, s, &run);
}

static struct tmpl *add_shape(struct collector *c, const struct message *m, struct session *s,
			      const uint64_t *shape)
{
	struct tmpl *old = NULL;
	struct tmpl *t;

	if (new_shape(shape, &t) != ERR_OK)
		return NULL;
	t->id = free_id(s);
	t->seen_ms = s->idle_since_ms;
	t->defined_ms = m->origin->receive_ms;
	/* One that goes for it may be the one that samples wait with. */
	flush(c, m, s);
	c->sflow->tmpl = NULL;
	if (take_put_tmpl(c, s, t, &old) != ERR_OK) {
		tmpl_free(t);
		return NULL;
	}
	must(old == NULL);
	c->ops->tmpl_new(c->ctx, s, t);
	return t;
}

/* The template of the sample, or NULL: no memory. */
static struct tmpl *tmpl_of(struct collector *c, const struct message *m, struct session *s,
			    const struct sflow_values *v)
{
	struct tmpl *t = c->sflow->tmpl != NULL && is_shape(c->sflow->tmpl, v->has)
				 ? c->sflow->tmpl
				 : find_shape(c, s, v->has);

	if (t != NULL)
		return t;
	if (s->tmpl_count < SHAPES_MAX)
		return add_shape(c, m, s, v->has);
	stat_inc(c->stat, STAT_SFLOW_SHAPES);
	t = find_shape(c, s, all_elements());
	return t != NULL ? t : add_shape(c, m, s, all_elements());
}

/* Those that the template has and the sample has not. */
static void blank_values(const struct tmpl *t, struct sflow_values *v)
{
	for (unsigned i = 0; i < SFLOW_ELEMENTS; i++) {
		if (!sflow_has(v, i) && (t->shape[i / 64] >> (i % 64) & 1) != 0)
			v->values[i] = (struct value){ NULL, 0 };
	}
}

/* ---- samples ---- */

static void refuse(struct collector *c, const struct message *m, struct session *s,
		   enum collector_stat reason)
{
	stat_inc(c->stat, STAT_RECORDS);
	stat_inc(c->stat, reason);
	if (!c->sflow->is_letter)
		take_tell_message(c, m, s, reason);
	c->sflow->is_letter = true;
}

static void account_source(struct collector *c, const struct message *m, struct session *s,
			   const struct sflow_flow *flow)
{
	uint32_t missed;
	uint32_t dropped;

	if (m->origin->is_again)
		return;
	sflow_sources_take(s->sources, flow, &missed, &dropped);
	stat_add(c->stat, STAT_SAMPLES_MISSED, missed);
	stat_add(c->stat, STAT_SAMPLES_DROPPED, dropped);
	s->counts.samples_missed += missed;
	s->counts.samples_dropped += dropped;
}

/* Behind the first of those that wait: the beginning of the half that it is not in, so that samples that all
 * differ, as they mostly do, take turns in two slots, which stay in the processor's cache. */
static uint32_t first_slot(const struct sflow_batch *b)
{
	return b->slot < BATCH_SAMPLES ? BATCH_SAMPLES : 0;
}

/* The sample whose values are in the next slot; those that hold other elements go before it. */
static void add_flow(struct collector *c, const struct message *m, struct session *s,
		     const struct sflow_sample *sample, struct tmpl *t)
{
	struct sflow_batch *b = c->sflow;
	struct sflow_values *v = &b->values[b->slot];

	if (!b->is_begun)
		c->ops->message_begin(c->ctx, m, s);
	b->is_begun = true;
	if (b->tmpl != t)
		flush(c, m, s);
	if (!is_shape(t, v->has))
		blank_values(t, v);
	b->records[b->count].octets = sample->octets;
	b->records[b->count].values = v->values;
	b->records[b->count].bytes = sample->bytes;
	b->records[b->count].offset = (uint32_t)(sample->octets - m->octets);
	b->tmpl = t;
	b->count++;
	b->slot = b->count == 1 ? first_slot(b) : b->slot + 1;
}

static void take_flow(struct collector *c, const struct message *m, struct session *s,
		      const struct sflow_sample *sample)
{
	struct sflow_batch *b = c->sflow;
	struct sflow_values *v = &b->values[b->slot];
	struct sflow_flow flow;
	struct tmpl *t;

	if (b->count == BATCH_SAMPLES)
		flush(c, m, s);
	if (!sflow_flow(sample, &flow)) {
		refuse(c, m, s, STAT_REC_SAMPLE);
		return;
	}
	account_source(c, m, s, &flow); /* what came is not missed, readable or not */
	if (!sflow_values(&flow, m->agent, m->agent_bytes, v)) {
		refuse(c, m, s, STAT_REC_SAMPLE);
		return;
	}
	stat_add(c->stat, STAT_SFLOW_PARTIAL, sflow_has(v, SFLOW_REST));
	t = tmpl_of(c, m, s, v);
	if (t == NULL) {
		refuse(c, m, s, STAT_REC_SAMPLE_NOMEM);
		return;
	}
	take_touch_tmpl(c, s, t);
	add_flow(c, m, s, sample, t);
}

static void take_sample(struct collector *c, const struct message *m, struct session *s,
			const struct sflow_sample *sample)
{
	switch (sample->kind) {
	case SFLOW_KIND_FLOW:
		take_flow(c, m, s, sample);
		return;
	case SFLOW_KIND_COUNTERS:
		stat_inc(c->stat, STAT_RECORDS);
		stat_inc(c->stat, STAT_RECORDS_COUNTER);
		return;
	case SFLOW_KIND_DROP:
		stat_inc(c->stat, STAT_RECORDS);
		stat_inc(c->stat, STAT_RECORDS_DROP);
		return;
	case SFLOW_KIND_UNKNOWN:
		stat_inc(c->stat, STAT_RECORDS);
		stat_inc(c->stat, STAT_REC_SAMPLE_FORMAT);
		return;
	}
}

void take_sflow(struct collector *c, const struct message *m, struct session *s)
{
	struct rd samples = rd_of(m->octets + m->header_bytes, m->bytes - m->header_bytes);
	struct sflow_batch *b = c->sflow;
	struct sflow_sample sample;

	b->is_begun = false;
	b->is_letter = false;
	b->tmpl = NULL; /* it may be gone since */
	while (rd_left(&samples) > 0 && sflow_next(&samples, &sample))
		take_sample(c, m, s, &sample);
	flush(c, m, s);
	if (b->is_begun)
		c->ops->message_end(c->ctx, m, s);
}
