/* SPDX-License-Identifier: Apache-2.0 */
/*
 * road.h - a whole pipeline for tests: gate, walk, plan, enrich, encode, log, and a reader behind it.
 *
 *	capture = capture_read(path)
 *	road_open(&road, "time", selfcheck)
 *	pipeline_receive(road.pipeline, ...)
 *	road_read(&road)		takes what the log has
 *	road_check_ledger(&road)	once road.units says how many messages went in
 */
#ifndef TEST_UNIT_ROAD_H
#define TEST_UNIT_ROAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "collector/replay.h"
#include "daemon/pipeline.h"

#define UNITS_MAX 4096

struct unit {
	uint8_t *octets;
	size_t bytes;
	struct origin origin;
};

struct capture {
	struct unit units[UNITS_MAX];
	size_t count;
};

static const struct collector_limits road_limits = { .sessions_max = 100000,
						.templates_max = 4096,
						.fields_max = 1024,
						.repeats_max = 64,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600 };

/* Of the roads opened from then on: collector.message_work. */
static uint32_t road_message_work;

struct road {
	struct generation generation;
	struct log_hub *hub;
	struct log *log;
	struct log_reader *reader;
	struct dead *dead;
	struct pipeline *pipeline;
	struct stat_set *collector_stat;
	struct stat_set *stat;
	uint64_t units;
	uint64_t events;
};

static inline void capture_keep(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	struct capture *c = ctx;
	struct unit *u = &c->units[c->count];

	if (c->count == UNITS_MAX)
		return;
	u->octets = malloc(bytes + 1);
	must(u->octets != NULL);
	memcpy(u->octets, octets, bytes);
	u->bytes = bytes;
	u->origin = *origin;
	c->count++;
}

static inline void road_open(struct road *r, const char *enrich, uint32_t selfcheck)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables", RAW_MODE_FULL };
	struct log_conf log_conf = { 1u << 30, LOG_BLOCK, false };
	struct dead_conf dead_conf = { .log = { .max_bytes = 1u << 20 }, .worker_count = 1, .rate = 1000,
				       .rate_bytes = 1u << 20 };
	char *names[2] = { (char *)"network", (char *)enrich };
	struct pipeline_setup setup = { .limits = &road_limits, .generation = &r->generation,
					.elements_dir = "templates/elements", .selfcheck = selfcheck,
					.message_work = road_message_work };
	struct why why = { "" };

	memset(r, 0, sizeof(*r));
	r->generation.number = 1;
	r->generation.encodes = true;
	r->generation.joins_max = 1000;
	r->generation.joins_all_max = 10000;
	if (catalog_load(&conf, 1, &why, &r->generation.catalog) != ERR_OK)
		fail_msg("%s", why.text);
	must(enrich_load(names, 2, NULL, &why, &r->generation.enrich) == ERR_OK);
	avro_encoder_init(&r->generation.encoder, &r->generation.catalog->fields);
	must(log_hub_open(&log_conf, &why, &r->hub) == ERR_OK);
	must(log_open(r->hub, 0, &why, &r->log) == ERR_OK);
	must(log_reader_open(r->log, "test", LOG_FROM_OLDEST, &why, &r->reader) == ERR_OK);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &r->collector_stat) == ERR_OK);
	must(stat_set_new(pipeline_stat_descs, PIPE_STAT_COUNT, &r->stat) == ERR_OK);
	must(dead_open(&dead_conf, &why, &r->dead) == ERR_OK);
	setup.dead = r->dead;
	setup.hub = r->hub;
	setup.log = r->log;
	setup.collector_stat = r->collector_stat;
	setup.stat = r->stat;
	must(pipeline_new(&setup, &r->pipeline) == ERR_OK);
}

static inline void road_close(struct road *r)
{
	pipeline_free(r->pipeline);
	log_reader_close(r->reader);
	log_close(r->log);
	log_hub_close(r->hub);
	dead_close(r->dead);
	stat_set_free(r->collector_stat);
	stat_set_free(r->stat);
	enrich_free(r->generation.enrich);
	catalog_free(r->generation.catalog);
}

/* Every 16th event is read as JSON: all of them would take minutes. */
static inline void road_read(struct road *r)
{
	struct log_frame frame;
	struct log_record record;

	log_flush(r->log);
	while (log_reader_next(r->reader, &frame) == ERR_OK) {
		size_t at = 0;

		while (log_frame_next(&frame, &at, &record)) {
			struct json j;

			if (r->events++ % 16 != 0)
				continue;
			json_init(&j, 64u << 20);
			assert_int_equal(avro_to_json(&r->generation.catalog->fields, record.payload,
						      record.head.bytes, true, &j), ERR_OK);
			assert_false(j.is_failed);
			json_fini(&j);
		}
		reader_done(r->reader, frame.head.first_lsn + frame.head.record_count);
	}
}

static inline uint64_t road_sum(const struct stat_set *stat, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < stat->count; i++) {
		if (strcmp(stat->descs[i].name, name) == 0)
			sum += stat_get(stat, i);
	}
	return sum;
}

static inline void road_check_ledger(struct road *r)
{
	const struct stat_set *c = r->collector_stat;

	road_read(r);
	assert_int_equal(r->units, road_sum(c, "units_refused") + road_sum(c, "messages"));
	assert_int_equal(road_sum(c, "messages"), road_sum(c, "messages_read") + road_sum(c, "messages_malformed"));
	assert_int_equal(road_sum(c, "data_sets"), road_sum(c, "data_sets_decoded") + road_sum(c, "data_sets_refused"));
	assert_int_equal(road_sum(c, "records"),
			 road_sum(c, "records_flow") + road_sum(c, "records_options") + road_sum(c, "records_undecodable") +
				 road_sum(c, "records_counter_sample") + road_sum(c, "records_drop_sample"));
	assert_int_equal(road_sum(c, "records_flow"), road_sum(r->stat, "flows_appended") + road_sum(r->stat, "flows_dropped"));
	assert_int_equal(road_sum(r->stat, "flows_appended"), r->events);
	assert_int_equal(road_sum(r->stat, "selfcheck_differences"), 0);
}

static inline struct capture *capture_read(const char *path)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct stat_set *stat;
	struct why why = { "" };

	must(c != NULL);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	if (replay_run(path, NULL, capture_keep, c, stat, &why) != ERR_OK)
		fail_msg("%s: %s", path, why.text);
	stat_set_free(stat);
	return c;
}

static inline void capture_free(struct capture *c)
{
	for (size_t i = 0; i < c->count; i++)
		free(c->units[i].octets);
	free(c);
}

/* Each capture of the corpora, to a function; answers how many there are. */
static inline size_t captures_each(void (*each)(const char *path))
{
	static const char *const patterns[] = { "test/corpus/*_*.pcap", "../shared/corpus/*.pcap" };
	size_t count = 0;

	for (size_t p = 0; p < 2; p++) {
		glob_t found;

		if (glob(patterns[p], 0, NULL, &found) != 0)
			continue;
		for (size_t i = 0; i < found.gl_pathc; i++, count++)
			each(found.gl_pathv[i]);
		globfree(&found);
	}
	return count;
}

#endif
