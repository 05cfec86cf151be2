/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_fixture.h - logs with numbered flows in them, and sinks on top, for the tests of sinks.
 *
 * Every flow is alike but for its record_id, whose first 8 octets are its number, so that all encoded
 * records have the same length.
 */
#ifndef TEST_UNIT_SINK_FIXTURE_H
#define TEST_UNIT_SINK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/conf.h"
#include "normalizer/flow.h"
#include "sink/avro.h"
#include "sink/schema.h"
#include "sink/sink.h"

#define FIXTURE_LOGS 2
#define FIXTURE_WAIT_MS 20000

struct fixture {
	struct field_set fields;
	struct avro_encoder encoder;
	char *schema;
	struct log_hub *hub;
	struct log *logs[FIXTURE_LOGS];
	struct log_batch batch;
	struct flow flow;
	uint64_t number; /* of the next flow */
	uint64_t route;	 /* of the next flows; 0: all sinks */
	struct log_head head; /* of the next flows: their times and the numbers of their names */
	size_t record_bytes;
	unsigned broken_each; /* 0: none; else every so many lack their last octet */
	struct sinks *sinks;
	void *conf;
	const struct sink_ops *ops;
	struct conf_opt table[2];
};

static inline void fixture_open(struct fixture *f, uint64_t max_bytes, enum log_policy policy)
{
	struct log_conf conf = { .max_bytes = max_bytes, .policy = policy };
	uint32_t schema = 0;

	memset(f, 0, sizeof(*f));
	field_set_init(&f->fields);
	avro_encoder_init(&f->encoder, &f->fields);
	assert_int_equal(schema_text(&f->fields, &f->schema), ERR_OK);
	assert_int_equal(log_hub_open(&conf, NULL, &f->hub), ERR_OK);
	assert_int_equal(
		log_name_add(f->hub, LOG_NAME_SCHEMA, f->schema, strlen(f->schema), &schema),
		ERR_OK);
	for (unsigned i = 0; i < FIXTURE_LOGS; i++)
		assert_int_equal(log_open(f->hub, i, NULL, &f->logs[i]), ERR_OK);
	assert_int_equal(log_batch_init(&f->batch, 1 << 16), ERR_OK);
	flow_clear(&f->flow);
	flow_set_i64(&f->flow, F_event_time, 1767225600000);
	flow_set_i64(&f->flow, F_ingest_time, 1767225600001);
	flow_set_octets(&f->flow, F_event_type, "flow", 4);
	flow_set_octets(&f->flow, F_source, "ipfix", 5);
	flow_set_octets(&f->flow, F_exporter_ip, "\xc0\x00\x02\x01", 4);
	flow_set_i64(&f->flow, F_bytes, 123456);
	f->head.event_ms = 1767225600000;
	f->head.ingest_ms = 1767225600001;
}

static inline void fixture_close(struct fixture *f)
{
	sinks_close(f->sinks);
	if (f->conf != NULL)
		conf_free(f->ops->options, f->conf);
	free(f->conf);
	for (unsigned i = 0; i < FIXTURE_LOGS; i++)
		log_close(f->logs[i]);
	log_hub_close(f->hub);
	log_batch_fini(&f->batch);
	free(f->schema);
}

/* A sink of that type with options "key = value; ...". */
static inline enum err fixture_sink(struct fixture *f, const char *type, const char *options,
				    struct why *why)
{
	struct sink_conf conf = { .name = "test" };

	f->ops = sink_type_find(type);
	assert_non_null(f->ops);
	f->conf = calloc(1, f->ops->conf_bytes);
	assert_non_null(f->conf);
	TRY(conf_load_text(f->ops->options, options, f->conf, f->ops->conf_bytes, why));
	conf.ops = f->ops;
	conf.conf = f->conf;
	return sinks_open(&conf, 1, f->hub, f->logs, FIXTURE_LOGS, NULL, &f->fields, f->schema, why,
			  &f->sinks);
}

static inline void fixture_start(struct fixture *f, const char *type, const char *options)
{
	struct why why = { "" };

	if (fixture_sink(f, type, options, &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(sinks_start(f->sinks, &why), ERR_OK);
}

/* Appends `count` flows to one log, in batches; ERR_FULL waits. */
static inline void fixture_append(struct fixture *f, unsigned log, unsigned count, uint32_t schema)
{
	struct timespec nap = { 0, 1000000 };

	while (count > 0) {
		unsigned n = count < 30 ? count : 30;
		uint64_t first;

		log_batch_clear(&f->batch);
		f->batch.schema = schema;
		for (unsigned i = 0; i < n; i++) {
			struct log_head head = f->head;
			size_t room = avro_room(&f->encoder, 1024);
			uint8_t *out = log_batch_reserve(&f->batch, room);
			uint64_t number = f->number + i;

			assert_non_null(out);
			head.route = f->route == 0 ? ~UINT64_C(0) : f->route;
			memcpy(f->flow.record_id, &number, sizeof(number));
			head.bytes = (uint32_t)avro_encode(&f->encoder, &f->flow, out, room);
			assert_true(head.bytes > 0);
			f->record_bytes = head.bytes;
			if (f->broken_each > 0 && number % f->broken_each == 0)
				head.bytes--;
			log_batch_commit(&f->batch, &head);
		}
		while (log_append(f->logs[log], &f->batch, &first) == ERR_FULL)
			(void)nanosleep(&nap, NULL);
		f->number += n;
		count -= n;
	}
}

static inline void fixture_seal(struct fixture *f)
{
	for (unsigned i = 0; i < FIXTURE_LOGS; i++)
		log_flush(f->logs[i]);
}

/* True when all became safe within `wait_ms`. */
static inline bool fixture_drain(struct fixture *f, int wait_ms)
{
	int64_t end_ms = clock_mono_ms() + wait_ms;
	struct timespec nap = { 0, 2000000 };

	fixture_seal(f);
	sinks_flush(f->sinks);
	while (!sinks_drained(f->sinks)) {
		if (clock_mono_ms() > end_ms)
			return false;
		(void)nanosleep(&nap, NULL);
	}
	sinks_relax(f->sinks);
	return true;
}

static inline uint64_t fixture_stat(const struct fixture *f, enum sink_stat id)
{
	return stat_get(sinks_stat(f->sinks, 0), id);
}

/* The sink's line of the ledger. */
static inline void fixture_check_ledger(const struct fixture *f)
{
	uint64_t span;
	uint64_t pending;
	uint64_t right;

	sinks_lsn(f->sinks, 0, &span, &pending);
	right = fixture_stat(f, SINK_STAT_DELIVERED) + fixture_stat(f, SINK_STAT_NOT_ROUTED) +
		fixture_stat(f, SINK_STAT_DEAD_LETTER) + fixture_stat(f, SINK_STAT_EVICTED) +
		fixture_stat(f, SINK_STAT_CORRUPT) + fixture_stat(f, SINK_STAT_PENDING_AT_STOP) +
		pending;
	assert_true(span == f->number);
	if (right != span)
		fail_msg("ledger: %llu is not %llu", (unsigned long long)span,
			 (unsigned long long)right);
}

#endif
