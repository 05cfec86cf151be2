/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/kafka.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sink/kafka_types.h"

#define FULL_WAIT_MS 50 /* for delivery reports, when nothing more may be taken */
#define FLUSH_MS 5
#define REPORTS_MS 10 /* between looks at reports, when something is under way */
#define IDLE_MS 100

static enum err readers_open(struct kafka *k)
{
	k->readers = calloc(k->env.reader_count, sizeof(*k->readers));
	if (k->readers == NULL)
		return ERR_NOMEM;
	for (; k->reader_count < k->env.reader_count; k->reader_count++) {
		struct kafka_reader *reader = &k->readers[k->reader_count];

		reader->log = k->env.readers[k->reader_count];
		/* Another sink may have looked at it, and ended. */
		TRY(log_reader_seek(reader->log, log_reader_done_lsn(reader->log)));
		TRY(kafka_window_init(&reader->window, k->o->window,
				      log_reader_done_lsn(reader->log)));
	}
	return ERR_OK;
}

static void kafka_close(void *self)
{
	struct kafka *k = self;

	if (k == NULL)
		return;
	kafka_producer_destroy(k);
	kafka_schemas_close(&k->schemas);
	for (size_t i = 0; i < k->reader_count; i++)
		kafka_window_fini(&k->readers[i].window);
	free(k->readers);
	kafka_redo_fini(k);
	kafka_slabs_fini(&k->slabs);
	free(k->exporters);
	free(k->lanes);
	(void)pthread_mutex_destroy(&k->view_lock);
	free(k);
}

static enum err kafka_check(const void *conf, struct why *why)
{
	return kafka_conf_check(conf, why);
}

static enum err kafka_open(const void *conf, const struct sink_env *env, struct why *why,
			   void **out)
{
	const struct kafka_options *o = conf;
	struct kafka *k;
	enum err e;

	TRY(kafka_conf_check(o, why));
	if (env->reader_count == 0 || env->reader_count > UINT16_MAX)
		return why_set(why, ERR_LIMIT, "a kafka sink reads 1 to 65535 logs, not %zu",
			       env->reader_count);
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return why_set(why, ERR_NOMEM, "no memory for the kafka sink");
	k->o = o;
	k->env = *env;
	k->random = (uint64_t)clock_mono_ns();
	k->trouble = KAFKA_RUNNING;
	(void)pthread_mutex_init(&k->view_lock, NULL);
	kafka_slabs_init(&k->slabs, o->max_in_flight_bytes);
	k->redo.room = (size_t)o->max_in_flight + KAFKA_PIECE_RECORDS;
	k->redo.list = calloc(k->redo.room, sizeof(struct kafka_msg *));
	e = k->redo.list == NULL ? ERR_NOMEM : readers_open(k);
	if (e != ERR_OK) {
		(void)why_set(why, e, "kafka: %s", err_text(e));
		goto fail;
	}
	e = kafka_schemas_open(&k->schemas, o, env, why);
	if (e != ERR_OK)
		goto fail;
	*out = k;
	return ERR_OK;
fail:
	kafka_close(k);
	return e;
}

/* A producer that cannot be made now, for want of a certificate file perhaps, is tried again. */
static enum err kafka_start(void *self, struct why *why)
{
	(void)why;
	kafka_producer_poll(self, clock_mono_ms());
	return ERR_OK;
}

static int sleep_ms(const struct kafka *k, size_t taken, int wait_ms, int64_t now_ms)
{
	int redo_ms = kafka_redo_wait_ms(k, now_ms);

	if (taken > 0 || k->is_stalled)
		return 0;
	wait_ms = wait_ms < redo_ms ? wait_ms : redo_ms;
	if (k->out_count > 0 || k->redo.count > 0)
		return wait_ms < REPORTS_MS ? wait_ms : REPORTS_MS;
	return wait_ms < IDLE_MS ? wait_ms : IDLE_MS;
}

static int kafka_poll(void *self, bool is_flushing)
{
	struct kafka *k = self;
	int64_t now_ms;
	size_t taken;
	int wait_ms;

	kafka_report_serve(k, k->is_stalled ? FULL_WAIT_MS : 0);
	kafka_report_advance(k);
	now_ms = clock_mono_ms();
	kafka_producer_poll(k, now_ms);
	wait_ms = kafka_schemas_poll(&k->schemas, now_ms);
	kafka_redo_poll(k, now_ms);
	taken = kafka_send(k, now_ms);
	if (k->rk != NULL && k->out_count > 0 && (is_flushing || k->redo.is_round)) {
		/* While it flushes, librdkafka does not wait for batches to fill. */
		(void)rd_kafka_flush(k->rk, FLUSH_MS);
		kafka_report_serve(k, 0);
	}
	kafka_report_advance(k);
	kafka_state_publish(k, now_ms);
	return sleep_ms(k, taken, wait_ms, now_ms);
}

static void kafka_status(void *self, struct json *out)
{
	kafka_state_print(self, out);
}

const struct sink_ops sink_kafka = {
	.type = "kafka",
	.options = kafka_option_table,
	.conf_bytes = sizeof(struct kafka_options),
	.check = kafka_check,
	.open = kafka_open,
	.start = kafka_start,
	.poll = kafka_poll,
	.status = kafka_status,
	.close = kafka_close,
};
