/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_conf.h - the options of a kafka sink, and librdkafka's configuration made from them.
 *
 *	kafka_conf_check(&options, &why)
 *	kafka_conf_make(&options, &why, &conf)	 goes to rd_kafka_new(), or to rd_kafka_conf_destroy()
 *
 * What `properties` may not say stands in one table; `unsafe` lets it pass, and status names it.
 *
 * Owner: options by whoever loaded them, a conf by the caller.
 */
#ifndef SINK_KAFKA_CONF_H
#define SINK_KAFKA_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>

#include "base/conf.h"
#include "base/why.h"

enum kafka_key { KAFKA_KEY_EXPORTER, KAFKA_KEY_NONE };
enum kafka_timestamp { KAFKA_TIMESTAMP_INGEST, KAFKA_TIMESTAMP_EVENT };
enum kafka_subject { KAFKA_SUBJECT_TOPIC, KAFKA_SUBJECT_RECORD, KAFKA_SUBJECT_TOPIC_RECORD };

struct kafka_registry_options {
	char *url;
	char **urls;
	size_t url_count;
	bool auto_register;
	int subject; /* enum kafka_subject */
	uint32_t timeout_ms;
	char *user;
	char *password; /* reference */
	char *token;	/* reference */
};

struct kafka_options {
	char *topic;
	char *brokers;
	int key;   /* enum kafka_key */
	int codec; /* index of the names */
	uint32_t linger_ms;
	int timestamp; /* enum kafka_timestamp */
	char **properties;
	size_t property_count;
	bool unsafe;
	uint32_t schema_id; /* 0: a registry gives it */
	uint32_t max_in_flight;
	uint64_t max_in_flight_bytes;
	uint32_t window;
	struct kafka_registry_options registry;
};

extern const struct conf_opt kafka_option_table[];

static inline bool kafka_conf_has_registry(const struct kafka_options *o)
{
	return o->registry.url != NULL || o->registry.url_count > 0;
}

/* Everything that can be wrong without asking anybody. */
enum err kafka_conf_check(const struct kafka_options *o, struct why *why);
enum err kafka_conf_make(const struct kafka_options *o, struct why *why, rd_kafka_conf_t **out);

/* Why the property, "name=value", would undo what the sink promises; NULL when it does not. */
const char *kafka_conf_refusal(const struct kafka_options *o, const char *property);

#endif
