/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/kafka_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sink/registry.h"

#define TOPIC_BYTES_MAX 249 /* Kafka's own limit */
#define NAME_BYTES 128
#define QUEUE_EXTRA 2 /* librdkafka's queue is so many times ours: its limit is never met */

#define AT(member) offsetof(struct kafka_options, member)
#define REGISTRY_AT(member) offsetof(struct kafka_registry_options, member)

static const struct conf_word key_words[] = {
	{ "exporter", KAFKA_KEY_EXPORTER },
	{ "none", KAFKA_KEY_NONE },
	{ NULL, 0 },
};

static const struct conf_word codec_words[] = {
	{ "none", 0 }, { "gzip", 1 }, { "snappy", 2 }, { "lz4", 3 }, { "zstd", 4 }, { NULL, 0 },
};

static const struct conf_word timestamp_words[] = {
	{ "ingest", KAFKA_TIMESTAMP_INGEST },
	{ "event", KAFKA_TIMESTAMP_EVENT },
	{ NULL, 0 },
};

static const struct conf_word subject_words[] = {
	{ "topic", KAFKA_SUBJECT_TOPIC },
	{ "record", KAFKA_SUBJECT_RECORD },
	{ "topic-record", KAFKA_SUBJECT_TOPIC_RECORD },
	{ NULL, 0 },
};

static const struct conf_opt registry_table[] = {
	{ .key = "url",
	  .type = CONF_STRING,
	  .reload = CONF_RESTART,
	  .at = REGISTRY_AT(url),
	  .max = 2000,
	  .doc = "Address of the schema registry, with its path prefix." },
	CONF_STRINGS_ROW("urls", struct kafka_registry_options, urls, url_count, CONF_RESTART,
			 "Several addresses of it, tried in order."),
	{ .key = "auto_register",
	  .type = CONF_BOOL,
	  .reload = CONF_RESTART,
	  .at = REGISTRY_AT(auto_register),
	  .preset = "true",
	  .doc = "Register the schema; false: only look it up." },
	CONF_ENUM_ROW("subject", struct kafka_registry_options, subject, CONF_RESTART,
		      subject_words, "topic",
		      "Subject: \"topic\" is <topic>-value, \"record\" the schema's name, "
		      "\"topic-record\" both."),
	{ .key = "timeout_ms",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = REGISTRY_AT(timeout_ms),
	  .min = 100,
	  .max = 300000,
	  .preset = "5000",
	  .doc = "Longest time for one answer." },
	{ .key = "user",
	  .type = CONF_STRING,
	  .reload = CONF_RESTART,
	  .at = REGISTRY_AT(user),
	  .max = 1000,
	  .doc = "User for HTTP basic authentication." },
	{ .key = "password",
	  .type = CONF_SECRET,
	  .reload = CONF_RESTART,
	  .at = REGISTRY_AT(password),
	  .max = 4000,
	  .doc = "Password; file:PATH, env:NAME or the text itself." },
	{ .key = "token",
	  .type = CONF_SECRET,
	  .reload = CONF_RESTART,
	  .at = REGISTRY_AT(token),
	  .max = 16000,
	  .doc = "Bearer token in place of user and password." },
	{ 0 },
};

const struct conf_opt kafka_option_table[] = {
	{ .key = "topic",
	  .type = CONF_STRING,
	  .reload = CONF_RESTART,
	  .at = AT(topic),
	  .max = TOPIC_BYTES_MAX,
	  .doc = "Topic to produce to." },
	{ .key = "brokers",
	  .type = CONF_STRING,
	  .reload = CONF_RESTART,
	  .at = AT(brokers),
	  .max = 4000,
	  .doc = "Addresses to begin with, host:port, comma separated." },
	CONF_ENUM_ROW("key", struct kafka_options, key, CONF_RESTART, key_words, "exporter",
		      "Key of a message: the exporter's name, or none."),
	CONF_ENUM_ROW("codec", struct kafka_options, codec, CONF_RESTART, codec_words, "lz4",
		      "Compression of batches."),
	{ .key = "linger_ms",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(linger_ms),
	  .max = 10000,
	  .preset = "50",
	  .doc = "How long a batch waits to fill." },
	CONF_ENUM_ROW("timestamp", struct kafka_options, timestamp, CONF_RESTART, timestamp_words,
		      "ingest",
		      "Timestamp of a message: when the flow was received, to a second, or its "
		      "event_time."),
	CONF_STRINGS_ROW("properties", struct kafka_options, properties, property_count,
			 CONF_RESTART,
			 "More properties for librdkafka, each \"name=value\", but none that would "
			 "undo what this sink promises."),
	{ .key = "unsafe",
	  .type = CONF_BOOL,
	  .reload = CONF_RESTART,
	  .at = AT(unsafe),
	  .preset = "false",
	  .doc = "Accept those as well; status says so." },
	{ .key = "schema_id",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(schema_id),
	  .max = INT32_MAX,
	  .preset = "0",
	  .doc = "Schema id to write where there is no registry." },
	{ .key = "max_in_flight",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(max_in_flight),
	  .min = 1000,
	  .max = 4000000,
	  .preset = "100000",
	  .doc = "Records handed to the producer and not reported yet." },
	{ .key = "max_in_flight_bytes",
	  .type = CONF_SIZE,
	  .reload = CONF_RESTART,
	  .at = AT(max_in_flight_bytes),
	  .min = 4 << 20,
	  .max = 8LL << 30,
	  .preset = "64M",
	  .doc = "Memory for them." },
	{ .key = "window",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(window),
	  .min = 1024,
	  .max = 1 << 28,
	  .preset = "1048576",
	  .doc = "Records of one log between the oldest that is not delivered and the newest that "
		 "is under way." },
	CONF_GROUP_ROW("registry", struct kafka_options, registry, registry_table,
		       "Where the schema id comes from."),
	{ 0 },
};

/* What a property has to be; all others are refused. */
enum rule {
	NEVER,
	IS_TRUE,
	IS_FALSE,
	IS_ALL,
	IS_ZERO,
	IS_FIFO,
	UP_TO_5,
	COVERS_RECORDS,
	COVERS_KBYTES
};

static const struct refusal {
	const char *name;
	enum rule rule;
	const char *why;
} refusals[] = {
	{ "enable.idempotence", IS_TRUE,
	  "a broker that is slow to answer would get records twice" },
	{ "acks", IS_ALL, "the loss of one broker would lose records" },
	{ "request.required.acks", IS_ALL, "the loss of one broker would lose records" },
	{ "message.timeout.ms", IS_ZERO, "an outage would turn into loss" },
	{ "delivery.timeout.ms", IS_ZERO, "an outage would turn into loss" },
	{ "message.send.max.retries", NEVER, "an outage would turn into loss" },
	{ "retries", NEVER, "an outage would turn into loss" },
	{ "max.in.flight", UP_TO_5, "the order of records would not be kept" },
	{ "max.in.flight.requests.per.connection", UP_TO_5,
	  "the order of records would not be kept" },
	{ "queuing.strategy", IS_FIFO, "the order of records would not be kept" },
	{ "msg_order_cmp", NEVER, "the order of records would not be kept" },
	{ "queue.buffering.max.messages", COVERS_RECORDS, "it is below what max_in_flight needs" },
	{ "queue.buffering.max.kbytes", COVERS_KBYTES,
	  "it is below what max_in_flight_bytes needs" },
	{ "delivery.report.only.error", IS_FALSE, "deliveries would not be known" },
	{ "partitioner", NEVER, "the sink chooses the partition" },
	{ "sticky.partitioning.linger.ms", NEVER, "the sink chooses the partition" },
	{ "transactional.id", NEVER, "the sink does not use transactions" },
	{ "bootstrap.servers", NEVER, "`brokers` says that" },
	{ "metadata.broker.list", NEVER, "`brokers` says that" },
	{ "enabled_events", NEVER, "the sink could not hear of deliveries" },
	{ "log.queue", IS_TRUE, "lines would go past the service's log" },
	{ "opaque", NEVER, "it belongs to the sink" },
	{ "default_topic_conf", NEVER, "it belongs to the sink" },
	{ "interceptors", NEVER, "it belongs to the sink" },
};

static bool number_of(const char *text, long long *out)
{
	char *end;

	*out = strtoll(text, &end, 10);
	return end != text && *end == '\0';
}

static uint64_t queue_records(const struct kafka_options *o)
{
	return (uint64_t)o->max_in_flight * QUEUE_EXTRA;
}

static uint64_t queue_kbytes(const struct kafka_options *o)
{
	return o->max_in_flight_bytes / 1024 * QUEUE_EXTRA;
}

static bool rule_holds(const struct kafka_options *o, enum rule rule, const char *value)
{
	long long n = 0;

	switch (rule) {
	case IS_TRUE:
		return strcasecmp(value, "true") == 0;
	case IS_FALSE:
		return strcasecmp(value, "false") == 0;
	case IS_ALL:
		return strcasecmp(value, "all") == 0 || strcmp(value, "-1") == 0;
	case IS_FIFO:
		return strcasecmp(value, "fifo") == 0;
	case IS_ZERO:
		return strcmp(value, "0") == 0;
	case UP_TO_5:
		return number_of(value, &n) && n >= 1 && n <= 5;
	case COVERS_RECORDS:
		return number_of(value, &n) &&
		       (n == 0 || n >= (long long)queue_records(o)); /* 0: no limit */
	case COVERS_KBYTES:
		return number_of(value, &n) && n >= (long long)queue_kbytes(o);
	case NEVER:
		break;
	}
	return false;
}

/* Name and value of "name=value", without the spaces around. */
static bool property_split(const char *property, char name[NAME_BYTES], const char **value)
{
	const char *is = strchr(property, '=');
	size_t from = strspn(property, " \t");
	size_t to = is == NULL ? 0 : (size_t)(is - property);

	while (to > from && (property[to - 1] == ' ' || property[to - 1] == '\t'))
		to--;
	if (to <= from || to - from >= NAME_BYTES)
		return false;
	memcpy(name, property + from, to - from);
	name[to - from] = '\0';
	*value = is + 1 + strspn(is + 1, " \t");
	return true;
}

const char *kafka_conf_refusal(const struct kafka_options *o, const char *property)
{
	char name[NAME_BYTES];
	const char *value;
	size_t n;

	if (!property_split(property, name, &value))
		return NULL;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		/* librdkafka takes topic properties under this prefix as well. */
		if (strcmp(name, refusals[i].name) == 0 ||
		    (strncmp(name, "topic.", 6) == 0 && strcmp(name + 6, refusals[i].name) == 0))
			return rule_holds(o, refusals[i].rule, value) ? NULL : refusals[i].why;
	}
	n = strlen(name);
	if (n > 3 && strcmp(name + n - 3, "_cb") == 0)
		return "it belongs to the sink";
	return NULL;
}

/* --- checking --- */

static enum err topic_check(const char *topic, struct why *why)
{
	if (topic == NULL || topic[0] == '\0')
		return why_set(why, ERR_CONF, "`topic' is missing");
	if (strcmp(topic, ".") == 0 || strcmp(topic, "..") == 0 ||
	    topic[strspn(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				"._-")] != '\0')
		return why_set(why, ERR_CONF,
			       "`topic' \"%.100s\": a topic's name is of letters, digits, '.', '_' "
			       "and '-'",
			       topic);
	return ERR_OK;
}

static bool has_mock_brokers(const struct kafka_options *o)
{
	char name[NAME_BYTES];
	const char *value;

	for (size_t i = 0; i < o->property_count; i++) {
		if (property_split(o->properties[i], name, &value) &&
		    strcmp(name, "test.mock.num.brokers") == 0)
			return true;
	}
	return false;
}

static enum err schema_check_options(const struct kafka_options *o, struct why *why)
{
	const struct kafka_registry_options *r = &o->registry;

	if (!kafka_conf_has_registry(o)) {
		if (r->user != NULL || r->password != NULL || r->token != NULL)
			return why_set(why, ERR_CONF, "`registry' has no `url'");
		if (o->schema_id == 0)
			return why_set(why, ERR_CONF,
				       "a kafka sink needs to know the schema's id: give "
				       "`registry.url', or `schema_id' where there is no registry");
		return ERR_OK;
	}
	if (o->schema_id != 0)
		return why_set(why, ERR_CONF,
			       "`schema_id' and `registry' cannot both say the schema's id");
	if (r->url != NULL && r->url_count > 0)
		return why_set(why, ERR_CONF, "`registry' takes `url' or `urls', not both");
	return ERR_OK;
}

enum err kafka_conf_check(const struct kafka_options *o, struct why *why)
{
	rd_kafka_conf_t *conf = NULL;

	TRY(topic_check(o->topic, why));
	if ((o->brokers == NULL || o->brokers[0] == '\0') && !has_mock_brokers(o))
		return why_set(why, ERR_CONF, "`brokers' is missing");
	TRY(schema_check_options(o, why));
	for (size_t i = 0; i < o->property_count; i++) {
		const char *refusal = kafka_conf_refusal(o, o->properties[i]);

		if (refusal != NULL && !o->unsafe)
			return why_set(why, ERR_CONF,
				       "`properties': \"%.200s\" is refused: %s (`unsafe = true' "
				       "lets it pass)",
				       o->properties[i], refusal);
	}
	TRY(kafka_conf_make(o, why, &conf));
	rd_kafka_conf_destroy(conf);
	return ERR_OK;
}

/* --- making --- */

static enum err property_set(rd_kafka_conf_t *conf, const char *name, const char *value,
			     struct why *why)
{
	char text[512];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
		return ERR_OK;
	return why_set(why, ERR_CONF, "librdkafka: %s", text);
}

static enum err number_set(rd_kafka_conf_t *conf, const char *name, uint64_t value, struct why *why)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return property_set(conf, name, text, why);
}

static enum err ours_set(const struct kafka_options *o, rd_kafka_conf_t *conf, struct why *why)
{
	static const char *const fixed[][2] = {
		{ "client.id", "sluice" },
		{ "enable.idempotence", "true" },
		{ "acks", "all" },
		{ "message.timeout.ms", "0" }, /* never: an outage loses nothing */
		{ "log.queue", "true" },
		{ "statistics.interval.ms", "2000" }, /* for the octets sent */
		{ "log.connection.close", "false" },
		{ "socket.keepalive.enable", "true" },
		/* Messages without a key are ours to place, too. */
		{ "sticky.partitioning.linger.ms", "0" },
		{ "reconnect.backoff.max.ms", "2000" },
		/* A topic that is not there is said after 5 s instead of 30. */
		{ "topic.metadata.propagation.max.ms", "5000" },
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		TRY(property_set(conf, fixed[i][0], fixed[i][1], why));
	if (o->brokers != NULL && o->brokers[0] != '\0')
		TRY(property_set(conf, "bootstrap.servers", o->brokers, why));
	TRY(property_set(conf, "compression.codec", codec_words[o->codec].name, why));
	TRY(number_set(conf, "linger.ms", o->linger_ms, why));
	TRY(number_set(conf, "queue.buffering.max.messages", queue_records(o), why));
	return number_set(conf, "queue.buffering.max.kbytes", queue_kbytes(o), why);
}

static enum err theirs_set(const struct kafka_options *o, rd_kafka_conf_t *conf, struct why *why)
{
	char name[NAME_BYTES];
	const char *value;

	for (size_t i = 0; i < o->property_count; i++) {
		if (!property_split(o->properties[i], name, &value))
			return why_set(why, ERR_CONF, "`properties': \"%.200s\" is not name=value",
				       o->properties[i]);
		if (property_set(conf, name, value, why) != ERR_OK) {
			why_prefix(why, "`properties': \"%.100s\"", name);
			return ERR_CONF;
		}
	}
	return ERR_OK;
}

enum err kafka_conf_make(const struct kafka_options *o, struct why *why, rd_kafka_conf_t **out)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	enum err e;

	if (conf == NULL)
		return why_set(why, ERR_NOMEM, "no memory for librdkafka's configuration");
	e = ours_set(o, conf, why);
	if (e == ERR_OK)
		e = theirs_set(o, conf, why);
	if (e != ERR_OK) {
		rd_kafka_conf_destroy(conf);
		return e;
	}
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR |
					       RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS);
	*out = conf;
	return ERR_OK;
}
