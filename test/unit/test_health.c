/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the health line tells of the time between two counts and of nothing else, in the same keys whatever
 * happened, within its length, and as one word each whatever a sink is called.
 * Method: counts made here; the words of the line are looked up by their key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/health.h"

static struct health_counts before;
static struct health_counts now;
static struct health_levels levels;
static char line[HEALTH_LINE_BYTES];

static int setup(void **state)
{
	(void)state;
	memset(&before, 0, sizeof(before));
	memset(&now, 0, sizeof(now));
	memset(&levels, 0, sizeof(levels));
	before.taken_ms = 1000000;
	now.taken_ms = before.taken_ms + 4000;
	return 0;
}

static void is(const char *key, const char *want)
{
	char start[64];
	char got[HEALTH_LINE_BYTES];
	const char *at;

	(void)health_text(&before, &now, &levels, line);
	(void)snprintf(start, sizeof(start), " %s=", key);
	at = strstr(line, start);
	assert_non_null(at);
	at += strlen(start);
	(void)snprintf(got, sizeof(got), "%.*s", (int)strcspn(at, " "), at);
	assert_string_equal(got, want);
	/* Once, and everything is a word. */
	assert_null(strstr(at, start));
	assert_null(strstr(line, "  "));
}

static void a_quiet_service(void **state)
{
	(void)state;
	assert_string_equal(
		health_text(&before, &now, &levels, line),
		"sluiced.health interval_s=4.0 uptime_s=0 rss_anon=0 rcvbuf_percent=0.0 log_octets=0 "
		"log_percent=0.0 log_memory=0 lag_sink=none lag_records=0 lag_s=0.0 datagrams_s=0.0 "
		"records_s=0.0 flows_s=0.0 out_s=0.0 files=0 rows=0 removed=0 kernel_drops=0 missed=0 losses=none "
		"errors=none");
}

/* A counter that stood at `was` and stands at `is_now`. */
static void count(uint64_t *earlier, uint64_t *later, uint64_t was, uint64_t is_now)
{
	*earlier = was;
	*later = is_now;
}
#define COUNT(set, row, was, is_now) count(&before.set[row], &now.set[row], was, is_now)

static void rates_and_sums(void **state)
{
	(void)state;
	now.sink_count = before.sink_count = 2;
	now.sinks[0].name = "files";
	now.sinks[1].name = "bus";
	COUNT(collector, STAT_UNITS_UDP, 1000, 1010);
	COUNT(collector, STAT_RECORDS, UINT64_C(1) << 40, (UINT64_C(1) << 40) + 4002);
	COUNT(pipe, PIPE_STAT_FLOWS, 7, 4007);
	COUNT(sinks[0].values, SINK_STAT_DELIVERED, 100, 103);
	COUNT(sinks[1].values, SINK_STAT_DELIVERED, 0, 8);
	COUNT(sinks[0].values, SINK_STAT_ROTATIONS, 5, 7);
	COUNT(collector, STAT_KERNEL_DROPS, 5, 9);
	/* More came late than were missed since. */
	COUNT(collector, STAT_SEQUENCE_MISSED, 10, 12);
	COUNT(collector, STAT_SEQUENCE_LATE, 0, 5);
	is("datagrams_s", "2.5");
	is("records_s", "1000.5");
	is("flows_s", "1000.0");
	is("out_s", "2.8");
	is("rows", "11");
	is("files", "2");
	/* Retention is no loss. */
	COUNT(sinks[0].values, SINK_STAT_RETENTION_BYTES, 1, 4);
	COUNT(sinks[1].values, SINK_STAT_RETENTION_AGE, 0, 1);
	COUNT(sinks[1].values, SINK_STAT_RETENTION_FREE, 0, 1);
	is("removed", "5");
	is("kernel_drops", "4");
	is("missed", "-3");
	is("losses", "none");
}

static void levels_are_as_they_are(void **state)
{
	(void)state;
	levels = (struct health_levels){ .uptime_s = 3600,
					 .rss_anon = 40960,
					 .rcvbuf_share = 0.25,
					 .log_bytes = 1,
					 .log_max_bytes = 8,
					 .log = { .memory_bytes = 77,
						  .slowest = "to the bus",
						  .lag_records = 12,
						  .lag_ms = 1550 } };
	is("uptime_s", "3600");
	is("rss_anon", "40960");
	is("rcvbuf_percent", "25.0");
	is("log_octets", "1");
	is("log_percent", "12.5");
	is("log_memory", "77");
	is("lag_sink", "to_the_bus");
	is("lag_records", "12");
	is("lag_s", "1.6");
}

static void losses_by_reason_and_errors_by_sink(void **state)
{
	(void)state;
	now.sink_count = before.sink_count = 3;
	now.sinks[0].name = "files";
	now.sinks[1].name = "a b,c:\n\"d";
	now.sinks[2].name = "well";
	COUNT(collector, STAT_SET_NO_TEMPLATE, 3, 5);
	COUNT(pipe, PIPE_STAT_LOG_FULL, 0, 7);
	COUNT(dead, DEAD_STAT_RATE, 1, 2);
	COUNT(sinks[0].values, SINK_STAT_EVICTED, 0, 1);
	COUNT(sinks[1].values, SINK_STAT_EVICTED, 4, 6);
	COUNT(sinks[1].values, SINK_STAT_LOST_UNSYNCED, 0, 9);
	COUNT(sinks[2].values, SINK_STAT_DEAD_LETTER, 0, 1);
	COUNT(sinks[0].values, SINK_STAT_ERRORS, 10, 11);
	COUNT(sinks[1].values, SINK_STAT_ERRORS, 0, 2);
	COUNT(sinks[2].values, SINK_STAT_ERRORS, 8, 8);
	is("losses",
	   "data_sets_refused/no_template:2,flows_dropped/log_full:7,dead_letters_dropped/rate:1,"
	   "sink_evicted/max_bytes:3,sink_lost_unsynced:9,sink_dead_letter:1");
	is("errors", "files:1,a_b_c___d:2");
}

/* All at once: what does not fit is counted, and the keys are all there. */
static void the_worst_fits(void **state)
{
	static char names[HEALTH_SINKS_MAX][LOG_SINK_BYTES];
	const char *more;

	(void)state;
	now.sink_count = before.sink_count = HEALTH_SINKS_MAX;
	memset(now.collector, 0xff, sizeof(now.collector));
	memset(now.pipe, 0xff, sizeof(now.pipe));
	memset(now.dead, 0xff, sizeof(now.dead));
	memset(&levels, 0x7f, sizeof(levels));
	levels.rcvbuf_share = 1e6;
	levels.log.slowest[LOG_SINK_BYTES - 1] = '\0';
	for (size_t i = 0; i < HEALTH_SINKS_MAX; i++) {
		memset(names[i], 'n', LOG_SINK_BYTES - 1);
		now.sinks[i].name = names[i];
		memset(now.sinks[i].values, 0xff, sizeof(now.sinks[i].values));
	}
	(void)health_text(&before, &now, &levels, line);
	assert_true(strlen(line) < HEALTH_LINE_BYTES - 1);
	assert_non_null(strstr(line, " losses=units_refused/not_listed:18446744073709551615,"));
	assert_non_null(strstr(line, " errors=nnnn"));
	/* Four names of 71 octets with their counts fit, 60 sinks do not. */
	more = strstr(strstr(line, " errors="), ",more:");
	assert_non_null(more);
	assert_string_equal(more, ",more:60");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_quiet_service, setup),
		cmocka_unit_test_setup(rates_and_sums, setup),
		cmocka_unit_test_setup(levels_are_as_they_are, setup),
		cmocka_unit_test_setup(losses_by_reason_and_errors_by_sink, setup),
		cmocka_unit_test_setup(the_worst_fits, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
