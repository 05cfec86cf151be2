/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/log.h"
#include "sink/kafka_types.h"

#define BUILD_AGAIN_MS 5000
#define TEXT_BYTES 512

/* The conf is librdkafka's once there is a producer. */
static enum err producer_new(struct kafka *k, struct why *why)
{
	rd_kafka_topic_conf_t *topic_conf;
	rd_kafka_conf_t *conf = NULL;
	char text[TEXT_BYTES];

	TRY(kafka_conf_make(k->o, why, &conf));
	k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (k->rk == NULL) {
		rd_kafka_conf_destroy(conf);
		return why_set(why, ERR_CONF, "librdkafka: %s", text);
	}
	k->events = rd_kafka_queue_get_main(k->rk);
	/* NULL: to the main queue, so that log lines are ours in our thread. */
	if (rd_kafka_set_log_queue(k->rk, NULL) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return why_set(why, ERR_CONF, "librdkafka does not give its log lines");
	/* What `properties` say of the topic stands in the default topic conf. */
	topic_conf = rd_kafka_default_topic_conf_dup(k->rk);
	if (topic_conf == NULL)
		return why_set(why, ERR_NOMEM, "no memory for the topic");
	rd_kafka_topic_conf_set_partitioner_cb(topic_conf, kafka_send_choose);
	rd_kafka_topic_conf_set_opaque(topic_conf, k);
	k->rkt = rd_kafka_topic_new(k->rk, k->o->topic, topic_conf);
	if (k->rkt == NULL) {
		rd_kafka_topic_conf_destroy(topic_conf);
		return why_set(why, ERR_CONF, "librdkafka, topic %s: %s", k->o->topic,
			       rd_kafka_err2str(rd_kafka_last_error()));
	}
	return ERR_OK;
}

/* Everything under way is gone with it: its messages are not known to librdkafka any more. */
void kafka_producer_destroy(struct kafka *k)
{
	if (k->rkt != NULL)
		rd_kafka_topic_destroy(k->rkt);
	if (k->events != NULL)
		rd_kafka_queue_destroy(k->events);
	if (k->rk != NULL) {
		(void)rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
						    RD_KAFKA_PURGE_F_NON_BLOCKING);
		rd_kafka_destroy(k->rk);
	}
	k->rkt = NULL;
	k->events = NULL;
	k->rk = NULL;
	k->out_count = 0;
	k->sent_octets = 0;
	kafka_redo_clear(k);
	kafka_slabs_clear(&k->slabs);
}

/* Back to the low-water marks; what is known to be delivered above them is passed over. */
static void readers_rewind(struct kafka *k)
{
	kafka_report_advance(k);
	for (size_t i = 0; i < k->reader_count; i++) {
		struct kafka_reader *reader = &k->readers[i];
		uint64_t done = log_reader_done_lsn(reader->log);
		enum err e;

		kafka_window_rewind(&reader->window);
		/* The log may have passed over records that it evicted. */
		if (done > reader->window.low)
			(void)kafka_window_skip(&reader->window, done);
		reader->has_frame = false;
		e = log_reader_seek(reader->log, reader->window.low);
		if (e != ERR_OK)
			log_error("kafka.seek sink=%s lsn=%llu why=\"%s\"", k->env.name,
				  (unsigned long long)reader->window.low, err_text(e));
	}
}

void kafka_producer_poll(struct kafka *k, int64_t now_ms)
{
	struct why why;

	if (k->is_fatal) {
		/* The last of what is known, then start over. */
		kafka_report_serve(k, 0);
		kafka_producer_destroy(k);
		readers_rewind(k);
		k->is_fatal = false;
		k->next_build_ms = now_ms;
	}
	if (k->rk != NULL || now_ms < k->next_build_ms)
		return;
	k->next_build_ms = now_ms + BUILD_AGAIN_MS;
	stat_flag_set(&k->partitions_seen, 0);
	if (producer_new(k, &why) == ERR_OK) {
		if (k->trouble == KAFKA_REBUILDING)
			kafka_state_trouble(k, KAFKA_RETRYING,
					    "after a fatal error of the producer");
		return;
	}
	kafka_producer_destroy(k);
	stat_inc(k->env.stat, SINK_STAT_ERRORS);
	kafka_state_trouble(k, KAFKA_REBUILDING, why.text);
}
