/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no property undoes what the sink promises, everything else reaches librdkafka, and what is
 * wrong is said before anything starts.
 * Method: tables of properties and of configurations; librdkafka is asked what it was given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sink/kafka_conf.h"
#include "sink/kafka_types.h"

#define BASE "topic = \"flows\"; brokers = \"127.0.0.1:9092\"; "

static enum err load(const char *text, struct kafka_options *o, struct why *why)
{
	enum err e = conf_load_text(kafka_option_table, text, o, sizeof(*o), why);

	if (e != ERR_OK)
		return e;
	e = kafka_conf_check(o, why);
	if (e != ERR_OK)
		conf_free(kafka_option_table, o);
	return e;
}

static const char *const refused[] = {
	"enable.idempotence=false",
	"enable.idempotence = false",
	"acks=1",
	"acks=0",
	"topic.acks=1",
	"request.required.acks=1",
	"message.timeout.ms=300000",
	"topic.message.timeout.ms=1",
	"delivery.timeout.ms=120000",
	"retries=3",
	"message.send.max.retries=0",
	"max.in.flight=6",
	"max.in.flight.requests.per.connection=1000",
	"max.in.flight=many",
	"queuing.strategy=lifo",
	"queue.buffering.max.messages=1000",
	"queue.buffering.max.kbytes=1024",
	"delivery.report.only.error=true",
	"partitioner=random",
	"sticky.partitioning.linger.ms=10",
	"transactional.id=x",
	"bootstrap.servers=elsewhere:9092",
	"metadata.broker.list=elsewhere:9092",
	"enabled_events=0",
	"log.queue=false",
	"dr_cb=x",
	"dr_msg_cb=x",
	"log_cb=x",
	"opaque=x",
	"interceptors=x",
};

static void refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct kafka_options o;
		struct why why = { "" };
		char text[512];

		(void)snprintf(text, sizeof(text), BASE "schema_id = 1; properties = [ \"%s\" ];",
			       refused[i]);
		assert_int_equal(load(text, &o, &why), ERR_CONF);
		if (strstr(why.text, "is refused: ") == NULL ||
		    strstr(why.text, refused[i]) == NULL || strstr(why.text, "unsafe") == NULL)
			fail_msg("%s: %s", refused[i], why.text);
		assert_int_equal(conf_load_text(kafka_option_table, text, &o, sizeof(o), NULL),
				 ERR_OK);
		assert_non_null(kafka_conf_refusal(&o, refused[i]));
		conf_free(kafka_option_table, &o);
	}
}

static void unsafe(void **state)
{
	struct kafka_options o;
	struct why why = { "" };
	rd_kafka_conf_t *conf = NULL;
	char value[64];
	size_t room = sizeof(value);

	(void)state;
	if (load(BASE "schema_id = 1; unsafe = true; "
		      "properties = [ \"acks=1\", \"message.timeout.ms=1000\" ];",
		 &o, &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(kafka_conf_make(&o, &why, &conf), ERR_OK);
	assert_int_equal(rd_kafka_conf_get(conf, "acks", value, &room), RD_KAFKA_CONF_OK);
	assert_string_equal(value, "1");
	rd_kafka_conf_destroy(conf);
	conf_free(kafka_option_table, &o);
}

static const char *const accepted[] = {
	"enable.idempotence=true",
	"acks=all",
	"acks=-1",
	"message.timeout.ms=0",
	"max.in.flight=1",
	"max.in.flight.requests.per.connection=5",
	"queuing.strategy=fifo",
	"queue.buffering.max.messages=1000000",
	"queue.buffering.max.messages=0",
	"queue.buffering.max.kbytes=1048576",
	"delivery.report.only.error=false",
	"linger.ms=7",
	"batch.size=65536",
	"message.max.bytes=5000000",
	"client.id=mine",
	"debug=broker",
	"statistics.interval.ms=1000",
	"socket.timeout.ms=1000",
	"compression.level=9",
	"test.mock.num.brokers=3",
	"security.protocol=sasl_ssl",
	"sasl.mechanisms=PLAIN",
	"sasl.password=a=b=c",
	"topic.metadata.refresh.interval.ms=500",
	" retry.backoff.ms = 50",
};

static void acceptance(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
		struct kafka_options o;
		struct why why = { "" };
		char text[512];

		(void)snprintf(text, sizeof(text), BASE "schema_id = 1; properties = [ \"%s\" ];",
			       accepted[i]);
		if (load(text, &o, &why) != ERR_OK)
			fail_msg("%s: %s", accepted[i], why.text);
		assert_null(kafka_conf_refusal(&o, accepted[i]));
		conf_free(kafka_option_table, &o);
	}
}

static const struct {
	const char *text;
	const char *why;
} broken[] = {
	{ "brokers = \"b:1\"; schema_id = 1;", "`topic' is missing" },
	{ "topic = \"a b\"; brokers = \"b:1\"; schema_id = 1;", "a topic's name is of" },
	{ "topic = \"..\"; brokers = \"b:1\"; schema_id = 1;", "a topic's name is of" },
	{ "topic = \"a/b\"; brokers = \"b:1\"; schema_id = 1;", "a topic's name is of" },
	{ "topic = \"t\"; schema_id = 1;", "`brokers' is missing" },
	{ "topic = \"t\"; brokers = \"\"; schema_id = 1;", "`brokers' is missing" },
	{ BASE, "needs to know the schema's id" },
	{ BASE "schema_id = 0;", "needs to know the schema's id" },
	{ BASE "registry: { };", "needs to know the schema's id" },
	{ BASE "registry: { user = \"joe\"; };", "`registry' has no `url'" },
	{ BASE "schema_id = 3; registry: { url = \"http://r\"; };", "cannot both say" },
	{ BASE "registry: { url = \"http://r\"; urls = [ \"http://s\" ]; };", "not both" },
	{ BASE "schema_id = 1; codec = \"lzma\";", "lzma" },
	{ BASE "schema_id = 1; key = \"flow\";", "flow" },
	{ BASE "schema_id = 1; timestamp = \"now\";", "now" },
	{ BASE "schema_id = 1; brokres = \"x\";", "brokers" },
	{ BASE "schema_id = 1; max_in_flight = 10;", "max_in_flight" },
	{ BASE "schema_id = 1; linger_ms = 60001;", "linger_ms" },
	{ BASE "schema_id = 1; properties = [ \"linger.ms\" ];", "is not name=value" },
	{ BASE "schema_id = 1; properties = [ \"=5\" ];", "is not name=value" },
	{ BASE "schema_id = 1; properties = [ \"\" ];", "is not name=value" },
	{ BASE "schema_id = 1; properties = [ \"no.such.thing=5\" ];", "no.such.thing" },
	{ BASE "schema_id = 1; properties = [ \"linger.ms=soon\" ];", "linger.ms" },
	{ BASE "schema_id = 1; properties = [ \"socket.timeout.ms=-3\" ];", "socket.timeout.ms" },
};

static void broken_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct kafka_options o;
		struct why why = { "" };

		if (load(broken[i].text, &o, &why) == ERR_OK ||
		    strstr(why.text, broken[i].why) == NULL)
			fail_msg("%s: \"%s\"", broken[i].text, why.text);
	}
}

static void what_librdkafka_gets(void **state)
{
	static const char *const expected[][2] = {
		{ "bootstrap.servers", "127.0.0.1:9092" },
		{ "enable.idempotence", "true" },
		{ "acks", "-1" },
		{ "message.timeout.ms", "0" },
		{ "compression.codec", "zstd" },
		{ "linger.ms", "20" },
		{ "queue.buffering.max.messages", "100000" },
		{ "queue.buffering.max.kbytes", "16384" },
		{ "log.queue", "true" },
		{ "client.id", "mine" },
	};
	struct kafka_options o;
	struct why why = { "" };
	rd_kafka_conf_t *conf = NULL;

	(void)state;
	if (load(BASE "schema_id = 1; codec = \"zstd\"; linger_ms = 20; max_in_flight = 50000; "
		      "max_in_flight_bytes = \"8M\"; properties = [ \"client.id=mine\" ];",
		 &o, &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(kafka_conf_make(&o, &why, &conf), ERR_OK);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		char value[128];
		size_t room = sizeof(value);

		assert_int_equal(rd_kafka_conf_get(conf, expected[i][0], value, &room),
				 RD_KAFKA_CONF_OK);
		assert_string_equal(value, expected[i][1]);
	}
	rd_kafka_conf_destroy(conf);
	conf_free(kafka_option_table, &o);
}

static void fallback_lines(void **state)
{
	static const char *const yes[] = {
		"[thrd:x]: x/1: Failed to snappy-compress 9 bytes for topic t [0]: e: sending uncompressed",
		"t [0]: Broker does not support compression type lz4: not compressing batch",
		"Unable to create LZ4 compression context: e",
		"Unable to query LZ4 compressed size (for 9 uncompressed bytes): e",
		"ZSTD compression failed (at of 9 bytes, with 9 bytes remaining in out buffer): e",
		"Failed to finalize ZSTD compression of 9 bytes: e",
	};
	static const char *const no[] = {
		"",
		"Unable to create LZ4 decompression context: e",
		"Failed to LZ4 (old HC) decompress message (offset 3): e",
		"Unable to begin ZSTD decompression (out buffer is 9 bytes): e",
		"Connect to ipv4#127.0.0.1:9092 failed: Connection refused",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(kafka_report_is_fallback(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(kafka_report_is_fallback(no[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals),	   cmocka_unit_test(unsafe),
		cmocka_unit_test(acceptance),	   cmocka_unit_test(broken_options),
		cmocka_unit_test(what_librdkafka_gets), cmocka_unit_test(fallback_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
