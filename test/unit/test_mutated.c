/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no octet changed and no octet missing makes the road crash, hang, or lose count.
 * Method: the messages of every capture of the corpus go through a whole pipeline (gate, walk, plan, enrich,
 * encode, log); then each again with every octet changed in two ways, and cut at every length.  The lines of
 * the ledger must hold, every encoded event must read as JSON, and libfixbuf must agree where it is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "collector/replay.h"
#include "daemon/pipeline.h"

#define UNITS_MAX 4096
#define QUICK_BYTES 300 /* of one message, and messages of one capture: all of them with */
#define QUICK_MESSAGES 2 /* SLUICE_MUTATE=all in the environment */
#define MESSAGE_MS_MAX 1000    /* a hang, not a speed */

struct unit {
	uint8_t *octets;
	size_t bytes;
	struct origin origin;
};

struct capture {
	struct unit units[UNITS_MAX];
	size_t count;
};

static const struct collector_limits limits = { .sessions_max = 100000,
						.templates_max = 4096,
						.fields_max = 1024,
						.repeats_max = 64,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600 };

struct road {
	struct generation generation;
	struct log_hub *hub;
	struct log *log;
	struct log_reader *reader;
	struct pipeline *pipeline;
	struct stat_set *collector_stat;
	struct stat_set *stat;
	uint64_t units;
	uint64_t events;
};

static void keep(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
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

static void open_road(struct road *r, const char *enrich)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables", RAW_MODE_FULL };
	struct log_conf log_conf = { 1u << 30, LOG_BLOCK, false };
	char *names[2] = { (char *)"network", (char *)enrich };
	struct pipeline_setup setup = { .limits = &limits, .generation = &r->generation,
					.elements_dir = "templates/elements", .selfcheck = 3 };
	struct why why = { "" };

	memset(r, 0, sizeof(*r));
	r->generation.number = 1;
	r->generation.encodes = true;
	if (catalog_load(&conf, 1, &why, &r->generation.catalog) != ERR_OK)
		fail_msg("%s", why.text);
	must(enrich_load(names, 2, NULL, &why, &r->generation.enrich) == ERR_OK);
	avro_encoder_init(&r->generation.encoder, &r->generation.catalog->fields);
	must(log_hub_open(&log_conf, &why, &r->hub) == ERR_OK);
	must(log_open(r->hub, 0, &why, &r->log) == ERR_OK);
	must(log_reader_open(r->log, "test", LOG_FROM_OLDEST, &why, &r->reader) == ERR_OK);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &r->collector_stat) == ERR_OK);
	must(stat_set_new(pipeline_stat_descs, PIPE_STAT_COUNT, &r->stat) == ERR_OK);
	setup.hub = r->hub;
	setup.log = r->log;
	setup.collector_stat = r->collector_stat;
	setup.stat = r->stat;
	must(pipeline_new(&setup, &r->pipeline) == ERR_OK);
}

static void close_road(struct road *r)
{
	pipeline_free(r->pipeline);
	log_reader_close(r->reader);
	log_close(r->log);
	log_hub_close(r->hub);
	stat_set_free(r->collector_stat);
	stat_set_free(r->stat);
	enrich_free(r->generation.enrich);
	catalog_free(r->generation.catalog);
}

/* Every 16th event is read as JSON: all of them would take minutes. */
static void read_events(struct road *r)
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

static void feed(struct road *r, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	uint8_t *copy = malloc(bytes + 1);
	int64_t start_ms = clock_mono_ms();

	must(copy != NULL);
	memcpy(copy, octets, bytes);
	pipeline_receive(r->pipeline, copy, bytes, origin);
	free(copy);
	r->units++;
	if (clock_mono_ms() - start_ms > MESSAGE_MS_MAX)
		fail_msg("one message took more than %d ms", MESSAGE_MS_MAX);
	if (r->units % 512 == 0)
		read_events(r);
}

static uint64_t sum_of(const struct stat_set *stat, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < stat->count; i++) {
		if (strcmp(stat->descs[i].name, name) == 0)
			sum += stat_get(stat, i);
	}
	return sum;
}

static void check_ledger(struct road *r)
{
	const struct stat_set *c = r->collector_stat;

	read_events(r);
	assert_int_equal(r->units, sum_of(c, "units_refused") + sum_of(c, "messages"));
	assert_int_equal(sum_of(c, "messages"), sum_of(c, "messages_read") + sum_of(c, "messages_malformed"));
	assert_int_equal(sum_of(c, "data_sets"), sum_of(c, "data_sets_decoded") + sum_of(c, "data_sets_refused"));
	assert_int_equal(sum_of(c, "records"),
			 sum_of(c, "records_flow") + sum_of(c, "records_options") + sum_of(c, "records_undecodable"));
	assert_int_equal(sum_of(c, "records_flow"), sum_of(r->stat, "flows_appended") + sum_of(r->stat, "flows_dropped"));
	assert_int_equal(sum_of(r->stat, "flows_appended"), r->events);
	assert_int_equal(sum_of(r->stat, "selfcheck_differences"), 0);
}

/* The capture's own messages first: they bring the templates. */
static void mutate_unit(struct road *r, const struct unit *u, bool is_all)
{
	size_t bytes = is_all || u->bytes < QUICK_BYTES ? u->bytes : QUICK_BYTES;

	for (size_t at = 0; at < bytes; at++) {
		uint8_t was = u->octets[at];

		u->octets[at] = (uint8_t)~was;
		feed(r, u->octets, u->bytes, &u->origin);
		u->octets[at] = (uint8_t)(was + 1);
		feed(r, u->octets, u->bytes, &u->origin);
		u->octets[at] = was;
	}
	for (size_t cut = 0; cut < bytes; cut++)
		feed(r, u->octets, cut, &u->origin);
	feed(r, u->octets, u->bytes, &u->origin);
}

static uint64_t messages;

static void run_capture(const char *path)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct stat_set *stat;
	struct why why = { "" };
	struct road *r = malloc(sizeof(*r));
	const char *mutate = getenv("SLUICE_MUTATE");
	bool is_all = mutate != NULL && strcmp(mutate, "all") == 0;
	size_t step;

	must(c != NULL && r != NULL);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	if (replay_run(path, NULL, keep, c, stat, &why) != ERR_OK)
		fail_msg("%s: %s", path, why.text);
	open_road(r, "time");
	for (size_t i = 0; i < c->count; i++)
		feed(r, c->units[i].octets, c->units[i].bytes, &c->units[i].origin);
	check_ledger(r);
	step = is_all ? 1 : c->count / QUICK_MESSAGES + 1;
	for (size_t i = 0; i < c->count; i += step)
		mutate_unit(r, &c->units[i], is_all);
	check_ledger(r);
	messages += r->units;
	close_road(r);
	for (size_t i = 0; i < c->count; i++)
		free(c->units[i].octets);
	stat_set_free(stat);
	free(r);
	free(c);
}

static void test_corpus(void **state)
{
	static const char *const patterns[] = { "test/corpus/*_*.pcap", "../shared/corpus/*.pcap" };
	size_t captures = 0;

	(void)state;
	for (size_t p = 0; p < 2; p++) {
		glob_t found;

		if (glob(patterns[p], 0, NULL, &found) != 0)
			continue;
		for (size_t i = 0; i < found.gl_pathc; i++, captures++)
			run_capture(found.gl_pathv[i]);
		globfree(&found);
	}
	assert_true(captures >= 10);
	print_message("captures mutated: %zu, messages: %llu\n", captures, (unsigned long long)messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_corpus) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
