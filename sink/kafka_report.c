/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "base/must.h"
#include "sink/dead.h"
#include "sink/kafka_types.h"

#define DURABLE_WAIT_MS 50 /* for buried records, before a cursor may pass them */
#define EVENTS_MAX 1000	   /* of one call; an event holds many delivery reports */

/* What brokers say of a record or a batch that they will never take. */
static const rd_kafka_resp_err_t refusals[] = {
	RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
	RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
	RD_KAFKA_RESP_ERR_INVALID_MSG,
	RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
	RD_KAFKA_RESP_ERR_INVALID_RECORD,
	RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
	RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
};

/* What stands in the way of all records alike. */
static const struct {
	rd_kafka_resp_err_t code;
	enum kafka_state state;
} troubles[] = {
	{ RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, KAFKA_BROKER_AWAY },
	{ RD_KAFKA_RESP_ERR__AUTHENTICATION, KAFKA_AUTH_FAILED },
	{ RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, KAFKA_AUTH_FAILED },
	{ RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, KAFKA_AUTH_FAILED },
	{ RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, KAFKA_AUTH_FAILED },
	{ RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, KAFKA_TOPIC_MISSING },
	{ RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, KAFKA_TOPIC_MISSING },
	{ RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, KAFKA_TOPIC_MISSING },
	{ RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, KAFKA_TOPIC_MISSING },
};

/* Parts of the lines that librdkafka 2.0 to 2.6 write where compressing fails and the batch goes as it
 * is; there is no other sign of it. */
static const char *const fallbacks[] = {
	"sending uncompressed", "not compressing batch", "LZ4 compression",
	"LZ4 compressed size",	"ZSTD compression",
};

bool kafka_report_is_refusal(rd_kafka_resp_err_t e)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (refusals[i] == e)
			return true;
	}
	return false;
}

bool kafka_report_is_fallback(const char *line)
{
	for (size_t i = 0; i < sizeof(fallbacks) / sizeof(fallbacks[0]); i++) {
		if (strstr(line, fallbacks[i]) != NULL)
			return true;
	}
	return false;
}

static enum kafka_state trouble_of(rd_kafka_resp_err_t e)
{
	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
		if (troubles[i].code == e)
			return troubles[i].state;
	}
	return KAFKA_RUNNING;
}

void kafka_report_done(struct kafka *k, struct kafka_msg *m, enum kafka_fate fate)
{
	struct kafka_reader *reader;

	must(m->reader < k->reader_count);
	reader = &k->readers[m->reader];
	(void)kafka_window_done(&reader->window, m->lsn, fate);
	reader->is_dirty = true;
	kafka_slab_release(&k->slabs, m);
}

static void on_trouble(struct kafka *k, rd_kafka_resp_err_t e, const char *text)
{
	enum kafka_state state = trouble_of(e);
	char line[KAFKA_TEXT_BYTES];

	stat_inc(k->env.stat, SINK_STAT_ERRORS);
	(void)snprintf(line, sizeof(line), "%s: %.200s", rd_kafka_err2name(e), text);
	if (state == KAFKA_RUNNING) {
		/* One connection; when it was the last, this says why. */
		(void)snprintf(k->last_error, sizeof(k->last_error), "%s", line);
		(void)log_quote(k->last_error, strlen(k->last_error), line, sizeof(line));
		log_every(LOG_LEVEL_WARN, "kafka.error sink=%s why=%s", k->env.name, line);
		return;
	}
	if (state == KAFKA_BROKER_AWAY && k->last_error[0] != '\0')
		(void)snprintf(line, sizeof(line), "%s", k->last_error);
	kafka_state_trouble(k, state, line);
}

static void on_fatal(struct kafka *k)
{
	char text[KAFKA_TEXT_BYTES] = "";

	if (k->is_fatal || rd_kafka_fatal_error(k->rk, text, sizeof(text)) == 0)
		return;
	k->is_fatal = true;
	stat_inc(k->env.stat, SINK_STAT_ERRORS);
	kafka_state_trouble(k, KAFKA_REBUILDING, text);
}

void kafka_report_failed(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e)
{
	enum kafka_state state = trouble_of(e);

	/* After a fatal error everything fails; what is not delivered is read from the log again. */
	on_fatal(k);
	if (k->is_fatal)
		return;
	if (!kafka_report_is_refusal(e))
		on_trouble(k, e, rd_kafka_err2str(e));
	if (state == KAFKA_TOPIC_MISSING) {
		/* It may come back with other partitions. */
		stat_flag_set(&k->partitions_seen, 0);
		m->partition = -1;
	}
	kafka_redo_add(k, m, e);
}

void kafka_report_not_taken(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e)
{
	/* It is about this message and no other. */
	if (kafka_report_is_refusal(e))
		kafka_redo_bury(k, m, e);
	else
		kafka_report_failed(k, m, e);
}

static void on_deliveries(struct kafka *k, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *reports[256];
	uint64_t count = 0;
	uint64_t octets = 0;
	size_t n;

	while ((n = rd_kafka_event_message_array(event, reports,
						 sizeof(reports) / sizeof(reports[0]))) > 0) {
		for (size_t i = 0; i < n; i++) {
			struct kafka_msg *m = reports[i]->_private;

			must(k->out_count > 0);
			k->out_count--;
			if (reports[i]->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
				kafka_report_failed(k, m, reports[i]->err);
				continue;
			}
			count++;
			octets += m->bytes;
			kafka_report_done(k, m, KAFKA_DELIVERED);
		}
	}
	if (count == 0)
		return;
	stat_add(k->env.stat, SINK_STAT_DELIVERED_OCTETS, octets - count * KAFKA_PREFIX_BYTES);
	kafka_state_well(k);
}

/* What went over the wire, as librdkafka counts it (its STATISTICS.md). */
static void on_stats(struct kafka *k, rd_kafka_event_t *event)
{
	json_t *stats = json_loads(rd_kafka_event_stats(event), 0, NULL);
	json_int_t octets = json_integer_value(json_object_get(stats, "tx_bytes"));

	if (octets > k->sent_octets) {
		stat_add(k->env.stat, SINK_STAT_OUT_OCTETS, (uint64_t)(octets - k->sent_octets));
		k->sent_octets = octets;
	}
	json_decref(stats);
}

static void on_error(struct kafka *k, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t e = rd_kafka_event_error(event);

	if (e == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_event_error_is_fatal(event))
		on_fatal(k);
	else
		on_trouble(k, e, rd_kafka_event_error_string(event));
}

static void on_log(struct kafka *k, rd_kafka_event_t *event)
{
	const char *facility = "";
	const char *line = "";
	char quoted[KAFKA_TEXT_BYTES];
	int level = 7; /* as in syslog */

	if (rd_kafka_event_log(event, &facility, &line, &level) != 0)
		return;
	if (kafka_report_is_fallback(line))
		stat_inc(k->env.stat, SINK_STAT_CODEC_FALLBACK);
	(void)log_quote(line, strlen(line), quoted, sizeof(quoted));
	if (level <= 4)
		log_every(LOG_LEVEL_WARN, "kafka.log sink=%s facility=%s text=%s", k->env.name,
			  facility, quoted);
	else if (level <= 6)
		log_every(LOG_LEVEL_INFO, "kafka.log sink=%s facility=%s text=%s", k->env.name,
			  facility, quoted);
	else
		log_debug("kafka.log sink=%s facility=%s text=%s", k->env.name, facility, quoted);
}

void kafka_report_serve(struct kafka *k, int wait_ms)
{
	for (int i = 0; i < EVENTS_MAX && k->events != NULL; i++) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(k->events, i == 0 ? wait_ms : 0);

		if (event == NULL)
			break;
		switch (rd_kafka_event_type(event)) {
		case RD_KAFKA_EVENT_DR:
			on_deliveries(k, event);
			break;
		case RD_KAFKA_EVENT_ERROR:
			on_error(k, event);
			break;
		case RD_KAFKA_EVENT_LOG:
			on_log(k, event);
			break;
		case RD_KAFKA_EVENT_STATS:
			on_stats(k, event);
			break;
		default:
			break;
		}
		rd_kafka_event_destroy(event);
	}
}

void kafka_report_advance(struct kafka *k)
{
	if (k->has_buried && !dead_wait_durable(k->env.dead, DURABLE_WAIT_MS))
		return;
	k->has_buried = false;
	for (size_t i = 0; i < k->reader_count; i++) {
		struct kafka_reader *reader = &k->readers[i];
		uint64_t counts[KAFKA_FATES] = { 0 };
		uint64_t low;

		if (!reader->is_dirty)
			continue;
		reader->is_dirty = false;
		low = kafka_window_advance(&reader->window, counts);
		/* Counted before it is no longer pending, so that nobody sees a record missing. */
		stat_add(k->env.stat, SINK_STAT_DELIVERED, counts[KAFKA_DELIVERED]);
		stat_add(k->env.stat, SINK_STAT_DEAD_LETTER, counts[KAFKA_REFUSED]);
		stat_add(k->env.stat, SINK_STAT_NOT_ROUTED, counts[KAFKA_NOT_ROUTED]);
		reader_done(reader->log, low);
	}
}
