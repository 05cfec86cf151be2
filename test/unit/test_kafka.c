/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every record that is in the log comes out of the topic once, under its exporter's key, behind
 * the right prefix, in its exporter's order, whatever the broker and the registry do; what is refused
 * is counted; poll() never keeps its caller waiting.
 * Method: a log hub and the sink through its operations, with a Kafka cluster (test/system/mock_broker.c)
 * and a registry (test/system/registry_double.py) in processes of their own, taken down and made to
 * fail while flows pass; a librdkafka consumer reads everything back, and every record says who it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/dead.h"
#include "sink/kafka.h"
#include "sink/kafka_conf.h"
#include "sink/kafka_partition.h"
#include "test/unit/kafka_child.h"
#include "test/unit/pace.h"

#define TOPIC "flows"
#define SCHEMA "{\"type\":\"record\",\"name\":\"Flow\",\"namespace\":\"sluice\",\"fields\":[]}"
#define LOGS 2
#define EXPORTERS 20
#define POLL_MS_MAX 400 /* on a busy machine; 100 is meant */
#define PADDING 200
#define RECORDS_MAX 400000

/* What a record's payload begins with. */
struct mark {
	uint32_t exporter;
	uint32_t number; /* within the exporter's records, from 0 */
};

struct lab {
	struct dead *dead; /* NULL: none */
	uint64_t route;	   /* of what is written */
	struct child broker;
	char bootstrap[128];
	int partitions;

	struct log_hub *hub;
	struct log *logs[LOGS];
	struct log_reader *readers[LOGS];
	uint32_t names[EXPORTERS];
	uint32_t schema;
	uint32_t written[EXPORTERS];
	uint64_t written_count;

	struct stat_set *stat;
	struct kafka_options options;
	void *sink;
	int64_t longest_poll_ms;

	rd_kafka_t *consumer;
	uint32_t read[EXPORTERS]; /* the next number expected */
	uint64_t read_count;
	uint64_t doubled_count;
	uint64_t disordered_count;
	uint8_t *seen; /* by exporter and number */
	uint32_t ids[2]; /* schema ids met, the first and the last */
	uint64_t keyless_count;
	uint64_t misplaced_count;
	int64_t last_time_ms;
};

static char mock_path[512];
static char state_dir[64];

/* --- the lab --- */

static void broker_start(struct lab *lab, int partitions)
{
	char topic[64];
	const char *const argv[] = { mock_path, "-b", "2", "-t", topic, NULL };
	char line[256];

	(void)snprintf(topic, sizeof(topic), "%s:%d", TOPIC, partitions);
	lab->partitions = partitions;
	if (!child_start(&lab->broker, argv) ||
	    !child_read(&lab->broker, line, sizeof(line)) ||
	    sscanf(line, "bootstrap %127s", lab->bootstrap) != 1)
		fail_msg("%s does not start", mock_path);
}

static void broker_do(struct lab *lab, const char *command)
{
	char line[256];

	assert_true(child_write(&lab->broker, command));
	assert_true(child_write(&lab->broker, "\n"));
	assert_true(child_read(&lab->broker, line, sizeof(line)));
	if (strcmp(line, "ok") != 0)
		fail_msg("mock_broker: %s: %s", command, line);
}

static void consumer_start(struct lab *lab)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(lab->partitions);
	const char *const settings[][2] = {
		{ "bootstrap.servers", lab->bootstrap }, { "group.id", "test" },
		{ "enable.auto.commit", "false" },	 { "auto.offset.reset", "earliest" },
		{ "fetch.wait.max.ms", "50" },		 { "reconnect.backoff.max.ms", "200" },
		{ "fetch.error.backoff.ms", "50" },	 { "log_level", "0" },
	};
	char text[256];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		assert_int_equal(rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text,
						   sizeof(text)),
				 RD_KAFKA_CONF_OK);
	lab->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	assert_non_null(lab->consumer);
	for (int i = 0; i < lab->partitions; i++)
		rd_kafka_topic_partition_list_add(list, TOPIC, i)->offset =
			RD_KAFKA_OFFSET_BEGINNING;
	assert_int_equal(rd_kafka_poll_set_consumer(lab->consumer), 0);
	assert_int_equal(rd_kafka_assign(lab->consumer, list), 0);
	rd_kafka_topic_partition_list_destroy(list);
}

static void log_setup(struct lab *lab)
{
	struct log_conf conf = { .max_bytes = 512u << 20, .policy = LOG_BLOCK };
	char name[32];

	assert_int_equal(log_hub_open(&conf, NULL, &lab->hub), ERR_OK);
	for (unsigned i = 0; i < LOGS; i++) {
		assert_int_equal(log_open(lab->hub, i, NULL, &lab->logs[i]), ERR_OK);
		assert_int_equal(log_reader_open(lab->logs[i], "bus", LOG_FROM_OLDEST, NULL,
						 &lab->readers[i]),
				 ERR_OK);
	}
	for (unsigned i = 0; i < EXPORTERS; i++) {
		int n = snprintf(name, sizeof(name), "192.0.2.%u", i);

		assert_int_equal(log_name_add(lab->hub, LOG_NAME_EXPORTER, name, (size_t)n,
					      &lab->names[i]),
				 ERR_OK);
	}
	assert_int_equal(log_name_add(lab->hub, LOG_NAME_SCHEMA, SCHEMA, strlen(SCHEMA),
				      &lab->schema),
			 ERR_OK);
}

static struct lab *lab_new(int partitions)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	broker_start(lab, partitions);
	log_setup(lab);
	lab->route = UINT64_MAX;
	lab->seen = calloc(EXPORTERS, RECORDS_MAX);
	assert_non_null(lab->seen);
	consumer_start(lab);
	return lab;
}

/* `options` is libconfig text of the sink's entry, behind topic and brokers. */
static enum err sink_try(struct lab *lab, const char *options, struct why *why)
{
	struct sink_env env = {
		.route = 1, .dead = lab->dead,
		.name = "bus", .state_dir = state_dir, .hub = lab->hub, .schema_text = SCHEMA,
		.schema = lab->schema, .readers = lab->readers, .reader_count = LOGS,
	};
	char text[2048];
	enum err e;

	(void)snprintf(text, sizeof(text), "topic=\"%s\"; brokers=\"%s\"; %s", TOPIC,
		       lab->bootstrap, options);
	e = conf_load_text(kafka_option_table, text, &lab->options, sizeof(lab->options), why);
	if (e != ERR_OK)
		return e;
	assert_int_equal(stat_set_new(sink_stat_descs, SINK_STAT_COUNT, &lab->stat), ERR_OK);
	env.stat = lab->stat;
	return sink_kafka.open(&lab->options, &env, why, &lab->sink);
}

static void sink_start(struct lab *lab, const char *options)
{
	struct why why = { "" };

	if (sink_try(lab, options, &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(sink_kafka.start(lab->sink, &why), ERR_OK);
}

static void sink_stop(struct lab *lab)
{
	sink_kafka.close(lab->sink);
	lab->sink = NULL;
	conf_free(kafka_option_table, &lab->options);
	stat_set_free(lab->stat);
}

static void lab_free(struct lab *lab)
{
	if (lab->sink != NULL)
		sink_stop(lab);
	for (unsigned i = 0; i < LOGS; i++) {
		log_reader_close(lab->readers[i]);
		log_close(lab->logs[i]);
	}
	log_hub_close(lab->hub);
	dead_close(lab->dead);
	rd_kafka_destroy_flags(lab->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	child_stop(&lab->broker);
	free(lab->seen);
	free(lab);
}

/* Flows of all exporters by turns; an exporter is always in the same log. */
static void write_sized(struct lab *lab, uint32_t count, uint32_t padding)
{
	struct log_batch batch[LOGS];
	int64_t now_ms = clock_real_ms();

	for (unsigned i = 0; i < LOGS; i++) {
		assert_int_equal(log_batch_init(&batch[i], 1 << 16), ERR_OK);
		batch[i].schema = lab->schema;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t exporter = (uint32_t)(lab->written_count % EXPORTERS);
		struct log_batch *b = &batch[exporter % LOGS];
		struct mark mark = { exporter, lab->written[exporter]++ };
		struct log_head head = {
			.bytes = (uint32_t)sizeof(mark) + padding, .exporter = lab->names[exporter],
			.event_ms = now_ms - 3600000, .ingest_ms = now_ms, .route = lab->route,
		};
		uint8_t *payload = log_batch_reserve(b, head.bytes);

		assert_non_null(payload);
		memcpy(payload, &mark, sizeof(mark));
		memset(payload + sizeof(mark), 'x', padding);
		log_batch_commit(b, &head);
		lab->written_count++;
	}
	for (unsigned i = 0; i < LOGS; i++) {
		uint64_t lsn;

		if (batch[i].record_count > 0)
			assert_int_equal(log_append(lab->logs[i], &batch[i], &lsn), ERR_OK);
		log_flush(lab->logs[i]);
		log_batch_fini(&batch[i]);
	}
}

static void write_some(struct lab *lab, uint32_t count)
{
	while (count > 0) {
		uint32_t now = count < 500 ? count : 500;

		write_sized(lab, now, PADDING);
		count -= now;
	}
}

static void consume_message(struct lab *lab, const rd_kafka_message_t *m)
{
	const uint8_t *value = m->payload;
	struct mark mark;
	uint32_t id;
	char key[32];
	int n;

	assert_true(m->len >= 5 + sizeof(mark));
	assert_int_equal(value[0], 0);
	id = (uint32_t)value[1] << 24 | (uint32_t)value[2] << 16 | (uint32_t)value[3] << 8 |
	     value[4];
	memcpy(&mark, value + 5, sizeof(mark));
	assert_in_range(mark.exporter, 0, EXPORTERS - 1);
	assert_in_range(mark.number, 0, lab->written[mark.exporter] - 1);
	if (lab->ids[0] == 0)
		lab->ids[0] = id;
	lab->ids[1] = id;
	if (lab->seen[(size_t)mark.exporter * RECORDS_MAX + mark.number]++ > 0)
		lab->doubled_count++;
	else
		lab->read_count++;
	if (mark.number != lab->read[mark.exporter])
		lab->disordered_count++;
	lab->read[mark.exporter] = mark.number + 1;
	lab->last_time_ms = rd_kafka_message_timestamp(m, NULL);
	if (m->key == NULL) {
		lab->keyless_count++;
		return;
	}
	n = snprintf(key, sizeof(key), "192.0.2.%u", mark.exporter);
	assert_int_equal(m->key_len, n);
	assert_memory_equal(m->key, key, (size_t)n);
	if (m->partition != kafka_partition(key, (size_t)n, lab->partitions))
		lab->misplaced_count++;
}

static void consume(struct lab *lab)
{
	rd_kafka_message_t *m;

	while ((m = rd_kafka_consumer_poll(lab->consumer, 0)) != NULL) {
		if (m->err == 0)
			consume_message(lab, m);
		rd_kafka_message_destroy(m);
	}
}

static uint64_t pending(const struct lab *lab)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < LOGS; i++)
		n += log_end_lsn(lab->logs[i]) - log_reader_done_lsn(lab->readers[i]);
	return n;
}

static void pump_once(struct lab *lab, bool is_flushing)
{
	struct pace before = pace_now();
	int wait_ms = sink_kafka.poll(lab->sink, is_flushing);
	int64_t took = pace_ms_since(&before);

	if (took > lab->longest_poll_ms)
		lab->longest_poll_ms = took;
	assert_in_range(wait_ms, 0, 1000);
	consume(lab);
	if (wait_ms > 0)
		(void)usleep(1000u * (unsigned)(wait_ms < 5 ? wait_ms : 5));
}

static void pump(struct lab *lab, int64_t ms)
{
	for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;)
		pump_once(lab, false);
}

/* Until everything is safe and read back; false when that takes longer. */
static bool drain(struct lab *lab, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;

	while (pending(lab) > 0 || lab->read_count < lab->written_count) {
		if (clock_mono_ms() > end)
			return false;
		pump_once(lab, false);
	}
	pump(lab, 50);
	return true;
}

static void status_text(struct lab *lab, char *out, size_t room)
{
	struct json j;

	json_init(&j, 1 << 16);
	json_open_object(&j, NULL);
	sink_kafka.status(lab->sink, &j);
	json_end(&j);
	assert_false(j.is_failed);
	(void)snprintf(out, room, "%s", j.text);
	json_fini(&j);
}

/* Pumps until the status has that in it. */
static void until_status(struct lab *lab, const char *wanted, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;
	char text[4096];

	do {
		pump_once(lab, false);
		status_text(lab, text, sizeof(text));
	} while (strstr(text, wanted) == NULL && clock_mono_ms() < end);
	if (strstr(text, wanted) == NULL)
		fail_msg("status has no %s: %s", wanted, text);
}

static void explain(struct lab *lab)
{
	char text[4096];

	status_text(lab, text, sizeof(text));
	fail_msg("written %llu, pending %llu, read %llu, doubled %llu, delivered %llu, %s",
		 (unsigned long long)lab->written_count, (unsigned long long)pending(lab),
		 (unsigned long long)lab->read_count, (unsigned long long)lab->doubled_count,
		 (unsigned long long)stat_get(lab->stat, SINK_STAT_DELIVERED), text);
}

static void assert_all_well(struct lab *lab)
{
	if (!drain(lab, 40000))
		explain(lab);
	assert_int_equal(lab->read_count, lab->written_count);
	assert_int_equal(lab->doubled_count, 0);
	assert_int_equal(lab->disordered_count, 0);
	assert_int_equal(lab->misplaced_count, 0);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_DELIVERED), lab->written_count);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_DEAD_LETTER), 0);
	assert_in_range(lab->longest_poll_ms, 0, POLL_MS_MAX);
}

/* --- the tests --- */

static void delivers(void **state)
{
	struct lab *lab = lab_new(7);

	(void)state;
	sink_start(lab, "schema_id = 16909060;");
	for (int i = 0; i < 100; i++) {
		write_some(lab, 2000);
		pump(lab, 5);
	}
	assert_all_well(lab);
	assert_int_equal(lab->ids[0], 16909060);
	assert_int_equal(lab->ids[1], 16909060);
	assert_int_equal(lab->keyless_count, 0);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_RETRIES), 0);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_DELIVERED_OCTETS),
			 lab->written_count * (PADDING + sizeof(struct mark)));
	until_status(lab, "\"state\":\"running\"", 1000);
	until_status(lab, "\"partitions\":7", 1000);
	lab_free(lab);
}

static void every_codec(void **state)
{
	static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };

	(void)state;
	for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
		struct lab *lab = lab_new(3);
		char options[128];

		(void)snprintf(options, sizeof(options), "schema_id = 5; codec = \"%s\";",
			       codecs[i]);
		sink_start(lab, options);
		write_some(lab, 3000);
		assert_all_well(lab);
		assert_int_equal(stat_get(lab->stat, SINK_STAT_CODEC_FALLBACK), 0);
		lab_free(lab);
	}
}

static void no_key_and_event_time(void **state)
{
	struct lab *lab = lab_new(3);
	int64_t expected = clock_real_ms() - 3600000;

	(void)state;
	sink_start(lab, "schema_id = 5; key = \"none\"; timestamp = \"event\";");
	write_some(lab, 5000);
	if (!drain(lab, 20000))
		explain(lab);
	assert_int_equal(lab->read_count, 5000);
	assert_int_equal(lab->doubled_count, 0);
	assert_int_equal(lab->keyless_count, 5000);
	assert_true(lab->last_time_ms >= expected && lab->last_time_ms < expected + 60000);
	lab_free(lab);
}

static void ingest_time(void **state)
{
	struct lab *lab = lab_new(1);
	int64_t before = clock_real_ms();

	(void)state;
	/* Late: written now, sent when the broker is there again. */
	broker_do(lab, "down 0");
	sink_start(lab, "schema_id = 5;");
	write_some(lab, 1000);
	pump(lab, 2500);
	broker_do(lab, "up 0");
	assert_all_well(lab);
	assert_true(lab->last_time_ms >= before && lab->last_time_ms < before + 1500);
	lab_free(lab);
}

static void broker_goes_away(void **state)
{
	struct lab *lab = lab_new(7);

	(void)state;
	sink_start(lab, "schema_id = 5;");
	for (int i = 0; i < 90; i++) {
		if (i == 30)
			broker_do(lab, "down 0");
		if (i == 60)
			broker_do(lab, "up 0");
		write_some(lab, 1000);
		pump(lab, i >= 30 && i < 60 ? 100 : 20);
		if (i == 59)
			until_status(lab, "\"state\":\"broker_away\"", 5000);
	}
	assert_all_well(lab);
	until_status(lab, "\"state\":\"running\"", 1000);
	lab_free(lab);
}

static void broker_away_at_start(void **state)
{
	struct lab *lab = lab_new(3);

	(void)state;
	broker_do(lab, "down 0");
	sink_start(lab, "schema_id = 5;");
	write_some(lab, 1000);
	until_status(lab, "\"state\":\"broker_away\"", 5000);
	until_status(lab, "Connection refused", 5000);
	assert_int_equal(pending(lab), 1000);
	assert_true(stat_get(lab->stat, SINK_STAT_ERRORS) > 0);
	broker_do(lab, "up 0");
	assert_all_well(lab);
	lab_free(lab);
}

/* A process that does not answer, its connections open. */
static void broker_freezes(void **state)
{
	struct lab *lab = lab_new(7);

	(void)state;
	sink_start(lab, "schema_id = 5; max_in_flight = 20000; window = 30000;");
	write_some(lab, 20000);
	pump(lab, 200);
	assert_int_equal(kill(lab->broker.pid, SIGSTOP), 0);
	write_some(lab, 60000);
	until_status(lab, "\"state\":\"window_full\"", 8000);
	assert_true(stat_get(lab->stat, SINK_STAT_STALLS) > 0);
	pump(lab, 2000);
	assert_int_equal(kill(lab->broker.pid, SIGCONT), 0);
	assert_all_well(lab);
	lab_free(lab);
}

static void partition_without_leader(void **state)
{
	struct lab *lab = lab_new(2);

	(void)state;
	sink_start(lab, "schema_id = 5; window = 2048; "
			"properties = [ \"topic.metadata.refresh.interval.ms=500\" ];");
	write_some(lab, 1000);
	assert_true(drain(lab, 20000));
	broker_do(lab, "leader " TOPIC " 0 -1");
	pump(lab, 1500);
	write_some(lab, 20000);
	until_status(lab, "\"state\":\"window_full\"", 8000);
	assert_true(pending(lab) > 0);
	broker_do(lab, "leader " TOPIC " 0 1");
	assert_all_well(lab);
	lab_free(lab);
}

static void topic_missing(void **state)
{
	struct lab *lab = lab_new(3);

	(void)state;
	broker_do(lab, "topic_error " TOPIC " 3");
	sink_start(lab, "schema_id = 5; "
			"properties = [ \"topic.metadata.propagation.max.ms=500\" ];");
	write_some(lab, 1000);
	until_status(lab, "\"state\":\"topic_missing\"", 10000);
	assert_int_equal(pending(lab), 1000);
	broker_do(lab, "topic_error " TOPIC " 0");
	assert_all_well(lab);
	lab_free(lab);
}

/* A batch is refused, nothing in it is bad: all of it is delivered in the end. */
static void refused_once(void **state)
{
	static const char *const errors[] = { "errors 0 10 1", "errors 0 2 3", "errors 0 87 2",
					      "errors 0 18 4" };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct lab *lab = lab_new(3);

		sink_start(lab, "schema_id = 5;");
		write_some(lab, 300);
		assert_true(drain(lab, 20000));
		broker_do(lab, errors[i]);
		write_some(lab, 1000);
		if (!drain(lab, 40000))
			explain(lab);
		assert_int_equal(lab->read_count, lab->written_count);
		assert_int_equal(lab->doubled_count, 0);
		assert_int_equal(stat_get(lab->stat, SINK_STAT_DEAD_LETTER), 0);
		assert_true(stat_get(lab->stat, SINK_STAT_RETRIES) > 0);
		write_some(lab, 300);
		assert_true(drain(lab, 20000));
		lab_free(lab);
	}
}

/* Refused whatever we do: each one alone, then counted and passed over, at the broker's pace. */
static void refused_always(void **state)
{
	struct lab *lab = lab_new(1);
	int64_t end = clock_mono_ms() + 20000;
	bool has_why = false;

	(void)state;
	sink_start(lab, "schema_id = 5;");
	write_some(lab, 100);
	assert_true(drain(lab, 20000));
	broker_do(lab, "errors 0 87 1000");
	write_some(lab, 8);
	for (int i = 0; pending(lab) > 0 && clock_mono_ms() < end; i++) {
		char text[4096];
		int wait_ms = sink_kafka.poll(lab->sink, false);

		status_text(lab, text, sizeof(text));
		if (strstr(text, "\"state\":\"retrying\"") != NULL)
			has_why = strstr(text, "\"why\":\"Broker: Broker failed to") != NULL;
		if (i % 4 == 0 && i < 200)
			write_some(lab, 1);
		/* While something waits in the log it does not rest. */
		assert_in_range(wait_ms, 0, pending(lab) > 0 ? 20 : 1000);
		(void)usleep(1000u * (unsigned)wait_ms);
	}
	assert_int_equal(pending(lab), 0);
	assert_true(has_why);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_DEAD_LETTER), lab->written_count - 100);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_DELIVERED), 100);
	broker_do(lab, "clear 0");
	write_some(lab, 100);
	for (int i = 0; i < 2000 && (pending(lab) > 0 || lab->read_count < 200); i++)
		pump_once(lab, false);
	assert_int_equal(lab->read_count, 200);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_DELIVERED), 200);
	lab_free(lab);
}

/* Each dead letter is a record that was too large, as it was in the log; returns how many there are. */
static unsigned read_dead(struct lab *lab, uint32_t bytes)
{
	struct log_reader *r = dead_reader(lab->dead, 1);
	struct log_record record = { .lsn = 0 };
	char fingerprint[DEAD_FINGERPRINT_BYTES + 1];
	struct log_frame frame;
	unsigned count = 0;

	dead_fingerprint(SCHEMA, strlen(SCHEMA), fingerprint);
	while (log_reader_next(r, &frame) == ERR_OK) {
		size_t at = 0;

		while (log_frame_next(&frame, &at, &record)) {
			struct dead_letter l;
			struct mark mark;

			assert_int_equal(dead_letter_decode(record.payload, record.head.bytes, &l), ERR_OK);
			assert_true(dead_is_text(&l, DEAD_KIND, DEAD_KIND_RECORD));
			assert_true(dead_is_text(&l, DEAD_SINK, "bus"));
			assert_true(dead_is_text(&l, DEAD_SCHEMA, fingerprint));
			assert_true(dead_is_text(&l, DEAD_ERROR, "Broker: Message size too large"));
			assert_memory_equal(l.values[DEAD_EXPORTER_NAME].octets, "192.0.2.", 8);
			assert_int_equal(l.values[DEAD_OCTETS].bytes, sizeof(mark) + bytes);
			memcpy(&mark, l.values[DEAD_OCTETS].octets, sizeof(mark));
			assert_in_range(mark.number, 0, lab->written[mark.exporter] - 1);
			/* Nobody else has it, and there is no second one. */
			assert_int_equal(lab->seen[(size_t)mark.exporter * RECORDS_MAX + mark.number]++, 0);
			count++;
		}
		reader_done(r, frame.head.first_lsn + frame.head.record_count);
	}
	return count;
}

static struct dead *dead_log(void)
{
	struct dead_conf conf = { .log = { .max_bytes = 64u << 20 }, .worker_count = 1 };
	struct dead *d;

	assert_int_equal(dead_open(&conf, NULL, &d), ERR_OK);
	return d;
}

/* librdkafka says which messages it will not take: no other has to go again for them. */
static void too_large(void **state)
{
	static const char *const keys[] = { "", "key = \"none\";", "timestamp = \"event\";" };

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct lab *lab = lab_new(3);
		char options[128];

		lab->dead = dead_log();
		(void)snprintf(options, sizeof(options),
			       "schema_id = 5; properties = [ \"message.max.bytes=20000\" ]; %s",
			       keys[i]);
		sink_start(lab, options);
		for (int n = 0; n < 50; n++) {
			write_sized(lab, 1, 30000);
			write_sized(lab, 100, PADDING);
			pump(lab, 5);
		}
		for (int n = 0; n < 4000 && pending(lab) + (lab->read_count < 5000) > 0; n++)
			pump_once(lab, false);
		assert_int_equal(pending(lab), 0);
		assert_int_equal(lab->read_count, 5000);
		assert_int_equal(lab->doubled_count, 0);
		assert_int_equal(stat_get(lab->stat, SINK_STAT_DEAD_LETTER), 50);
		assert_int_equal(stat_get(lab->stat, SINK_STAT_DELIVERED), 5000);
		assert_int_equal(stat_get(lab->stat, SINK_STAT_RETRIES), 0);
		assert_int_equal(read_dead(lab, 30000), 50);
		lab->route = 2;
		write_some(lab, 300);
		for (int n = 0; n < 4000 && pending(lab) > 0; n++)
			pump_once(lab, false);
		assert_int_equal(stat_get(lab->stat, SINK_STAT_NOT_ROUTED), 300);
		assert_int_equal(stat_get(lab->stat, SINK_STAT_DELIVERED), 5000);
		lab_free(lab);
	}
}

/* The idempotent producer gives up on itself; what it had not delivered is replayed. */
static void fatal_error(void **state)
{
	struct lab *lab = lab_new(3);

	(void)state;
	sink_start(lab, "schema_id = 5; properties = [ \"enable.gapless.guarantee=true\" ];");
	write_some(lab, 2000);
	assert_true(drain(lab, 20000));
	broker_do(lab, "errors 0 10 1");
	write_some(lab, 20000);
	if (!drain(lab, 40000))
		explain(lab);
	assert_int_equal(lab->read_count, lab->written_count);
	assert_int_equal(stat_get(lab->stat, SINK_STAT_DELIVERED), lab->written_count);
	assert_true(stat_get(lab->stat, SINK_STAT_ERRORS) > 0);
	until_status(lab, "\"state\":\"running\"", 1000);
	lab_free(lab);
}

static void flushes(void **state)
{
	struct lab *lab = lab_new(3);
	int64_t before;

	(void)state;
	sink_start(lab, "schema_id = 5; properties = [ \"linger.ms=8000\" ];");
	write_some(lab, 100);
	pump(lab, 1000);
	before = clock_mono_ms();
	while (pending(lab) > 0 && clock_mono_ms() - before < 10000)
		pump_once(lab, true);
	assert_int_equal(pending(lab), 0);
	assert_in_range(clock_mono_ms() - before, 0, 3000);
	lab_free(lab);
}

static void registry_first(void **state)
{
	struct lab *lab = lab_new(3);
	struct child registry = { 0 };
	const char *const argv[] = { "python3", "test/system/registry_double.py", NULL };
	char line[64];
	char answer[1024];
	char options[256];
	int port = 0;

	(void)state;
	assert_true(child_start(&registry, argv));
	assert_true(child_read(&registry, line, sizeof(line)));
	assert_int_equal(sscanf(line, "port %d", &port), 1);
	(void)snprintf(options, sizeof(options),
		       "registry: { url = \"http://127.0.0.1:%d\"; subject = \"topic-record\"; };",
		       port);
	assert_true(http_ask(port, "PUT", "/_mode", "{\"mode\":\"409\"}", answer, sizeof(answer)));
	write_some(lab, 500);
	sink_start(lab, options);
	until_status(lab, "\"state\":\"schema_refused\"", 5000);
	until_status(lab, "Incompatible schema", 5000);
	assert_int_equal(pending(lab), 500);
	sink_stop(lab);

	assert_true(http_ask(port, "PUT", "/_mode", "{\"mode\":\"down\"}", answer, sizeof(answer)));
	sink_start(lab, options);
	until_status(lab, "\"state\":\"schema_waiting\"", 5000);
	until_status(lab, "\"registry\":\"away\"", 5000);
	assert_int_equal(pending(lab), 500);
	assert_true(http_ask(port, "PUT", "/_mode", "{\"mode\":\"ok\"}", answer, sizeof(answer)));
	assert_all_well(lab);
	until_status(lab, "\"registry\":\"known\"", 5000);
	assert_true(http_ask(port, "GET", "/subjects", "", answer, sizeof(answer)));
	assert_non_null(strstr(answer, "[\"flows-sluice.Flow\"]"));
	sink_stop(lab);

	/* Without the registry, from what is kept. */
	child_stop(&registry);
	sink_start(lab, options);
	write_some(lab, 500);
	assert_true(drain(lab, 20000));
	assert_int_equal(lab->ids[0], lab->ids[1]);
	until_status(lab, "\"registry\":\"cached\"", 5000);
	lab_free(lab);
}

static int group_setup(void **state)
{
	char self[480];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	(void)snprintf(state_dir, sizeof(state_dir), "/tmp/test_kafka.XXXXXX");
	if (n <= 0 || mkdtemp(state_dir) == NULL)
		return -1;
	self[n] = '\0';
	/* build/test/test_kafka -> build/mock_broker */
	for (int i = 0; i < 2 && (slash = strrchr(self, '/')) != NULL; i++)
		*slash = '\0';
	(void)snprintf(mock_path, sizeof(mock_path), "%s/mock_broker", self);
	return 0;
}

static int group_teardown(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", state_dir);
	return system(command);
}

/* Those that take seconds each run when an argument picks tests by name, as in "broker_*", or all, "*";
 * test/system does. */
int main(int argc, char **argv)
{
	const struct CMUnitTest quick[] = {
		cmocka_unit_test(delivers),
		cmocka_unit_test(refused_always),
		cmocka_unit_test(too_large),
		cmocka_unit_test(fatal_error),
	};
	const struct CMUnitTest all[] = {
		cmocka_unit_test(delivers),
		cmocka_unit_test(every_codec),
		cmocka_unit_test(no_key_and_event_time),
		cmocka_unit_test(ingest_time),
		cmocka_unit_test(broker_goes_away),
		cmocka_unit_test(broker_away_at_start),
		cmocka_unit_test(broker_freezes),
		cmocka_unit_test(partition_without_leader),
		cmocka_unit_test(topic_missing),
		cmocka_unit_test(refused_once),
		cmocka_unit_test(refused_always),
		cmocka_unit_test(too_large),
		cmocka_unit_test(fatal_error),
		cmocka_unit_test(flushes),
		cmocka_unit_test(registry_first),
	};

	if (argc < 2)
		return cmocka_run_group_tests(quick, group_setup, group_teardown);
	cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(all, group_setup, group_teardown);
}
