/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What librdkafka itself will not take is one message, which is a dead letter at once.  Brokers refuse
 * whole batches, so a message they refused is innocent until it was alone.  When nothing is under way any more, what failed goes again in rounds, in the order of the log: all of it when it was
 * an accident, half of the group after each refusal, twice as many after each success.  A message
 * refused in a group of one is a dead letter.  Nothing new is taken from the log meanwhile.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "base/rd.h"
#include "sink/dead.h"
#include "sink/kafka_types.h"

#define BACKOFF_FIRST_MS 500
#define BACKOFF_LAST_MS 30000

/* The dead letter log takes it as it was in the log: without the prefix. */
static void bury(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e)
{
	const uint8_t *value = kafka_msg_value(m);
	struct dead_record r = {
		.hub = k->env.hub,
		.exporter = m->exporter,
		.sink = k->env.name,
		.reason = "sink_dead_letter/refused",
		.error = rd_kafka_err2str(e),
		.lsn = m->lsn,
		.payload = value + KAFKA_PREFIX_BYTES,
		.bytes = m->bytes - KAFKA_PREFIX_BYTES,
	};

	if (k->env.dead == NULL)
		return;
	r.has_schema = kafka_schema_number(&k->schemas, be32(value + 1), &r.schema);
	(void)dead_bury(k->env.dead, &r);
	k->has_buried = true;
}

/* The one place where a refused record leaves: to the dead letter log when there is one, else it is
 * counted and gone. */
void kafka_redo_bury(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e)
{
	log_every(LOG_LEVEL_ERROR, "kafka.dead_letter sink=%s lsn=%llu octets=%u why=%s",
		  k->env.name, (unsigned long long)m->lsn, m->bytes, rd_kafka_err2name(e));
	bury(k, m, e);
	kafka_report_done(k, m, KAFKA_REFUSED);
}

void kafka_redo_add(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e)
{
	struct kafka_redo *r = &k->redo;
	bool is_refused = kafka_report_is_refusal(e);

	r->last = e;
	if (is_refused && r->is_round && r->group == 1) {
		r->was_refused = true;
		kafka_redo_bury(k, m, e);
		return;
	}
	stat_inc(k->env.stat, SINK_STAT_RETRIES);
	r->was_refused = r->was_refused || is_refused;
	r->was_lost = r->was_lost || !is_refused;
	must(r->count < r->room); /* it has room for all that may be taken */
	r->list[r->count++] = m;
}

static int by_log_order(const void *a, const void *b)
{
	const struct kafka_msg *x = *(struct kafka_msg *const *)a;
	const struct kafka_msg *y = *(struct kafka_msg *const *)b;

	if (x->reader != y->reader)
		return x->reader < y->reader ? -1 : 1;
	return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

/* What the last round, or the first failures, say about the next. */
static void round_end(struct kafka_redo *r, int64_t now_ms)
{
	if (r->was_refused)
		r->group = r->is_round ? r->group / 2 : r->count / 2;
	else if (!r->is_round)
		r->group = r->count;
	else if (!r->was_lost)
		r->group *= 2;
	if (r->group == 0)
		r->group = 1;
	if (r->was_lost) {
		r->backoff_ms = r->backoff_ms == 0 ? BACKOFF_FIRST_MS : r->backoff_ms * 2;
		if (r->backoff_ms > BACKOFF_LAST_MS)
			r->backoff_ms = BACKOFF_LAST_MS;
		r->next_ms = now_ms + r->backoff_ms;
	} else {
		r->backoff_ms = 0;
		r->next_ms = now_ms;
	}
	r->is_round = false;
	r->was_refused = false;
	r->was_lost = false;
}

static void round_start(struct kafka *k)
{
	struct kafka_redo *r = &k->redo;
	size_t count = r->count < r->group ? r->count : r->group;
	struct kafka_msg *first[KAFKA_PIECE_RECORDS];

	if (count > KAFKA_PIECE_RECORDS)
		count = KAFKA_PIECE_RECORDS;
	r->group = count;
	qsort(r->list, r->count, sizeof(*r->list), by_log_order);
	memcpy(first, r->list, count * sizeof(*first));
	r->count -= count;
	memmove(r->list, r->list + count, r->count * sizeof(*first));
	r->is_round = true;
	for (size_t i = 0; i < count; i++)
		kafka_send_one(k, first[i]);
}

void kafka_redo_poll(struct kafka *k, int64_t now_ms)
{
	struct kafka_redo *r = &k->redo;

	if (k->out_count > 0 || k->rk == NULL || k->is_fatal)
		return;
	if (r->is_round || r->was_refused || r->was_lost)
		round_end(r, now_ms);
	if (r->count == 0) {
		r->group = 0;
		r->backoff_ms = 0;
		return;
	}
	if (now_ms >= r->next_ms)
		round_start(k);
}

int kafka_redo_wait_ms(const struct kafka *k, int64_t now_ms)
{
	const struct kafka_redo *r = &k->redo;

	if (k->out_count > 0 || k->rk == NULL || (r->count == 0 && !r->is_round))
		return INT_MAX;
	/* A round that is over says at once what the next one is. */
	if (r->is_round || now_ms >= r->next_ms)
		return 0;
	return (int)(r->next_ms - now_ms);
}

void kafka_redo_clear(struct kafka *k)
{
	struct kafka_msg **list = k->redo.list;
	size_t room = k->redo.room;

	k->redo = (struct kafka_redo){ .list = list, .room = room };
}

void kafka_redo_fini(struct kafka *k)
{
	free(k->redo.list);
	k->redo = (struct kafka_redo){ 0 };
}
