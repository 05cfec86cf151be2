/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every limit of the log on disk holds, and none of them is a trap: room comes back as soon as a
 * sink gets on, and what has to go is counted, once, for the sinks that missed it.
 * Method: logs of a few segments are filled, with sinks that keep up and sinks that are behind; what the
 * log says of its size is compared with its files.
 */
#include "log_rig.h"

/* Appends until disk and memory are full. */
static unsigned fill(struct rig *g)
{
	unsigned count = 0;
	unsigned refused = 0;
	struct timespec nap = { 0, 5000000 };

	/* Room comes by and by while memory goes to disk: refused for so long, it is full. */
	while (refused < 120) {
		if (rig_append(g, 0, 10, 800) == ERR_OK) {
			count++;
			refused = 0;
			continue;
		}
		refused++;
		(void)nanosleep(&nap, NULL);
	}
	return count;
}

static void blocked_means_that_disk_and_memory_are_full(void **state)
{
	static struct rig g;
	unsigned count;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.memory_bytes = 1u << 20;
	rig_open(&g);
	count = fill(&g);
	/* Both of them were used, but for the ends of segments and slabs. */
	if (count * 8500ull < (2u << 20) / 10 * 8)
		fail_msg("only %u frames fit", count);
	assert_true(log_hub_bytes(g.hub) <= SMALL);
	RIG_UNTIL(rig_is_disk_exact(&g));
	/* A sink that is done makes no room as long as another one is far behind. */
	for (unsigned i = 0; i < 3; i++)
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	assert_true(seat_pending(&g, &g.seats[0]) == 0);
	assert_int_equal(fill(&g), 0);
	rig_check(&g, &g.seats[0]);
	rig_check(&g, &g.seats[1]);
	/* One that gets on does, long before it is where the other one is. */
	(void)rig_read(&g, &g.seats[1], count / 4);
	rig_append_one(&g, 0);
	assert_true(seat_pending(&g, &g.seats[1]) > count);
	assert_true(fill(&g) > count / 10);
	assert_true(log_hub_bytes(g.hub) <= SMALL);
	rig_settle(&g, "blocked");
	rig_close(&g);
	rig_open(&g);
	rig_settle(&g, "blocked, again");
	rig_fini(&g);
}

/* A log that may hardly have a segment goes on as long as its sinks do. */
static void the_least_room_is_no_trap(void **state)
{
	static const uint64_t most[] = { 1, 65536, 65537, 131072, 200000, 262144, 300000 };
	static struct rig rigs[sizeof(most) / sizeof(most[0])];
	size_t count = sizeof(most) / sizeof(most[0]);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		rig_init(&rigs[i], most[i]);
		rigs[i].conf.memory_bytes = 300000;
		rigs[i].conf.worker_count = 1 + i % 2;
		rig_open(&rigs[i]);
	}
	for (unsigned n = 0; n < 120; n++) {
		for (size_t i = 0; i < count; i++) {
			struct rig *g = &rigs[i];

			RIG_UNTIL(rig_append(g, n % g->conf.worker_count, 10, 800) == ERR_OK ||
				  rig_read(g, &g->seats[0], SIZE_MAX) +
						  rig_read(g, &g->seats[1], 1) >
					  SIZE_MAX);
		}
	}
	for (size_t i = 0; i < count; i++) {
		rig_settle(&rigs[i], "the least");
		assert_true(seat_get(&rigs[i].seats[1], SEAT_DELIVERED) == 1200);
		RIG_UNTIL(rig_is_disk_exact(&rigs[i]));
		/* Each log may have a segment in any case. */
		RIG_UNTIL(log_hub_bytes(rigs[i].hub) <= (most[i] > 131072 ? most[i] : 131072));
		rig_fini(&rigs[i]);
	}
}

/* One log's spare room is not kept from another. */
static void room_that_one_log_keeps_ready_is_for_all(void **state)
{
	static struct rig g;
	unsigned count = 0;
	size_t segments;

	(void)state;
	rig_init(&g, 8u * 65536);
	g.conf.worker_count = 2;
	g.conf.memory_bytes = 300000;
	rig_open(&g);
	rig_append_one(&g, 1);
	RIG_UNTIL(rig_is_durable(&g));
	count = fill(&g);
	RIG_UNTIL(rig_is_disk_exact(&g));
	assert_true(rig_disk_bytes(&g, &segments) == 8u * 65536);
	assert_int_equal(segments, 8);
	assert_true(count > 7u * 6);
	rig_settle(&g, "spare");
	rig_fini(&g);
}

static void the_oldest_is_evicted_and_counted(void **state)
{
	static struct rig g;
	uint64_t evicted;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.policy = LOG_EVICT_OLDEST;
	g.conf.memory_bytes = 600000;
	rig_open(&g);
	for (unsigned i = 0; i < 400; i++) {
		rig_append_one(&g, 0);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
		if (i < 20)
			(void)rig_read(&g, &g.seats[1], 1);
		assert_true(log_hub_bytes(g.hub) <= SMALL);
	}
	rig_check(&g, &g.seats[0]);
	rig_check(&g, &g.seats[1]);
	assert_true(seat_lost(&g.seats[0]) == 0);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_disk_exact(&g));
	while (rig_read(&g, &g.seats[1], SIZE_MAX) > 0)
		continue;
	rig_check(&g, &g.seats[1]);
	evicted = seat_get(&g.seats[1], SEAT_EVICTED);
	assert_true(seat_lost(&g.seats[1]) == evicted);
	assert_true(stat_get(log_hub_stat(g.hub), LOG_STAT_EVICTED) == evicted);
	/* 400 frames of 8.5 KiB: no more went than had to, but for two segments. */
	if (evicted > 4000 - (SMALL - 3 * 65536) / 860 || evicted < 4000 - SMALL / 848 - 700)
		fail_msg("%llu evicted", (unsigned long long)evicted);
	rig_close(&g);
	rig_open(&g);
	assert_true(seat_get(&g.seats[1], SEAT_EVICTED) == evicted);
	assert_true(seat_get(&g.seats[1], SEAT_DELIVERED) == 4000 - evicted);
	rig_check(&g, &g.seats[1]);
	rig_fini(&g);
}

/* One refusal takes one segment, though cycles follow each other while the disk says no. */
static void a_full_file_system_evicts_what_it_must(void **state)
{
	static struct rig g;

	(void)state;
	rig_init(&g, 18u * 65536);
	g.conf.policy = LOG_EVICT_OLDEST;
	g.conf.memory_bytes = 600000;
	rig_open(&g);
	for (unsigned i = 0; i < 90; i++) {
		rig_append_one(&g, 0);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	}
	RIG_UNTIL(rig_is_durable(&g));
	faults_set(&g.faults, OPS(OP_ALLOCATE), ENOSPC, EVER);
	for (unsigned i = 0; i < 30; i++) {
		rig_append_one(&g, 0);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	}
	/* It is full until something went. */
	RIG_UNTIL(stat_get(log_hub_stat(g.hub), LOG_STAT_EVICTED) > 0);
	faults_release(&g.faults);
	RIG_UNTIL(rig_is_durable(&g));
	while (rig_read(&g, &g.seats[1], SIZE_MAX) > 0)
		continue;
	rig_check(&g, &g.seats[1]);
	assert_true(seat_lost(&g.seats[1]) == seat_get(&g.seats[1], SEAT_EVICTED));
	/* A segment has 70 records, and what was in memory was not lost by that. */
	if (seat_lost(&g.seats[1]) == 0 || seat_lost(&g.seats[1]) > 1000)
		fail_msg("%llu lost", (unsigned long long)seat_lost(&g.seats[1]));
	assert_true(seat_lost(&g.seats[0]) == 0);
	rig_fini(&g);
}

static void records_that_are_too_old_go(void **state)
{
	static struct rig g;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.max_age_ms = 3000;
	rig_open(&g);
	rig_append_frames(&g, 20);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	(void)rig_read(&g, &g.seats[1], 3);
	RIG_UNTIL(rig_is_durable(&g));
	rig_check(&g, &g.seats[1]);
	/* Nothing comes behind them that would end their segment. */
	RIG_UNTIL((rig_check(&g, &g.seats[1]), seat_get(&g.seats[1], SEAT_AGED) == 170));
	assert_true(seat_pending(&g, &g.seats[1]) == 0);
	assert_true(seat_lost(&g.seats[0]) == 0);
	assert_true(stat_get(log_hub_stat(g.hub), LOG_STAT_EVICTED_AGE) == 170);
	rig_append_frames(&g, 2);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	(void)rig_read(&g, &g.seats[1], SIZE_MAX);
	assert_true(seat_get(&g.seats[1], SEAT_DELIVERED) == 50);
	rig_check(&g, &g.seats[1]);
	RIG_UNTIL(rig_is_disk_exact(&g));
	rig_fini(&g);
}

/* The file system keeps min_free; a log that is at it goes on in the room that it has. */
static void the_file_system_keeps_its_share(void **state)
{
	static struct rig g;
	unsigned count;

	(void)state;
	rig_init(&g, 64u << 20);
	g.conf.max_bytes = 64u * 65536;
	g.conf.memory_bytes = 600000;
	g.conf.min_free_bytes = 1u << 30;
	g.faults.free_bytes = 2u << 30;
	rig_open(&g);
	rig_append_frames(&g, 20);
	RIG_UNTIL(rig_is_durable(&g));
	(void)pthread_mutex_lock(&g.faults.lock);
	g.faults.free_bytes = (1u << 30) - 1;
	(void)pthread_mutex_unlock(&g.faults.lock);
	count = fill(&g);
	if (count < 40 || count > 100)
		fail_msg("%u frames fit", count);
	if (log_hub_bytes(g.hub) > 8u * 65536)
		fail_msg("%llu octets", (unsigned long long)log_hub_bytes(g.hub));
	/* Sinks that get on make room, though the file system has no more than before. */
	for (unsigned i = 0; i < 200; i++) {
		RIG_UNTIL(rig_append(&g, 0, 10, 800) == ERR_OK ||
			  rig_read(&g, &g.seats[0], SIZE_MAX) +
					  rig_read(&g, &g.seats[1], SIZE_MAX) >
				  SIZE_MAX);
	}
	rig_settle(&g, "min_free");
	rig_fini(&g);
}

/* Who is behind what memory may hold reads from disk, and so does who comes with a restart. */
static void memory_is_bounded_and_readers_go_to_disk(void **state)
{
	static struct rig g;

	(void)state;
	rig_init(&g, 16u << 20);
	g.conf.memory_bytes = 1u << 20;
	rig_open(&g);
	for (unsigned i = 0; i < 600; i++) {
		rig_append_one(&g, 0);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
		if (i % 7 == 0)
			(void)rig_read(&g, &g.seats[1], 3);
	}
	assert_true(seat_pending(&g, &g.seats[1]) > 3000);
	rig_check(&g, &g.seats[1]);
	rig_settle(&g, "behind");
	RIG_UNTIL(rig_is_disk_exact(&g));
	/* What all have got gives its room back, but for the segment in use and a spare one. */
	RIG_UNTIL(log_hub_bytes(g.hub) <= 2u << 20);
	rig_fini(&g);
}

static uint64_t read_all(struct log_reader *r)
{
	struct log_frame frame;
	uint64_t records = 0;

	while (log_reader_next(r, &frame) == ERR_OK)
		records += frame.head.record_count;
	return records;
}

static bool memory_is_free(struct rig *g)
{
	struct log_summary summary;

	log_hub_summary(g->hub, &summary);
	return summary.memory_bytes <= LOG_FRAME_BYTES;
}

/* A sink that completes files now and then is not done with what it has read for minutes. */
static void what_was_read_leaves_memory(void **state)
{
	static struct rig g;
	struct log_reader *slow;
	struct why why = { "" };

	(void)state;
	rig_init(&g, 32u << 20);
	rig_open(&g);
	assert_int_equal(log_reader_open(g.logs[0], "slow", LOG_FROM_OLDEST, &why, &slow), ERR_OK);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(rig_append(&g, 0, 10, 700), ERR_OK);
	log_flush(g.logs[0]);
	for (unsigned i = 0; i < 2; i++)
		(void)rig_read(&g, &g.seats[i], SIZE_MAX);
	RIG_UNTIL(log_durable_lsn(g.logs[0]) == 3000);
	assert_false(memory_is_free(&g));
	assert_int_equal(read_all(slow), 3000);
	RIG_UNTIL(memory_is_free(&g));
	assert_int_equal(log_reader_pending(slow), 3000);
	assert_int_equal(log_reader_seek(slow, 0), ERR_OK);
	assert_int_equal(read_all(slow), 3000);
	assert_int_equal(log_reader_lost(slow, LOG_LOST_CORRUPT), 0);
	log_reader_close(slow);
	rig_fini(&g);
}

/* Its age grows on from when the disk has it, at the latest. */
static bool is_behind(struct rig *g, struct log_summary *summary)
{
	log_hub_summary(g->hub, summary);
	assert_int_equal(summary->lag_records, 12);
	return summary->lag_ms >= 30;
}

/* By the age of what it has not made safe, over all logs; and readers that nobody remembers do not count. */
static void the_slowest_sink_is_told(void **state)
{
	static struct rig g;
	struct log_reader *people;
	struct log_summary summary;
	struct why why = { "" };

	(void)state;
	rig_init(&g, 8u << 20);
	g.conf.worker_count = 2;
	rig_open(&g);
	log_hub_summary(g.hub, &summary);
	assert_string_equal(summary.slowest, "");
	assert_true(summary.lag_records == 0 && summary.lag_ms == 0);
	assert_int_equal(log_reader_open(g.logs[0], "people", LOG_FROM_OLDEST, &why, &people),
			 ERR_OK);
	assert_int_equal(rig_append(&g, 0, 5, 100), ERR_OK);
	assert_int_equal(rig_append(&g, 1, 7, 100), ERR_OK);
	log_flush(g.logs[0]);
	log_flush(g.logs[1]);
	RIG_UNTIL(is_behind(&g, &summary));
	assert_true(summary.memory_max_bytes == g.conf.memory_bytes || g.conf.memory_bytes == 0);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	RIG_UNTIL(is_behind(&g, &summary));
	assert_string_equal(summary.slowest, g.seats[1].name);
	(void)rig_read(&g, &g.seats[1], SIZE_MAX);
	log_hub_summary(g.hub, &summary);
	assert_string_equal(summary.slowest, "");
	assert_true(summary.lag_records == 0 && summary.lag_ms == 0);
	/* What came last is of the sink that did not take it. */
	assert_int_equal(rig_append(&g, 1, 3, 100), ERR_OK);
	log_flush(g.logs[1]);
	(void)rig_read(&g, &g.seats[1], SIZE_MAX);
	log_hub_summary(g.hub, &summary);
	assert_string_equal(summary.slowest, g.seats[0].name);
	assert_true(summary.lag_records == 3);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	log_reader_close(people);
	rig_fini(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocked_means_that_disk_and_memory_are_full),
		cmocka_unit_test(the_least_room_is_no_trap),
		cmocka_unit_test(room_that_one_log_keeps_ready_is_for_all),
		cmocka_unit_test(the_oldest_is_evicted_and_counted),
		cmocka_unit_test(a_full_file_system_evicts_what_it_must),
		cmocka_unit_test(records_that_are_too_old_go),
		cmocka_unit_test(the_file_system_keeps_its_share),
		cmocka_unit_test(memory_is_bounded_and_readers_go_to_disk),
		cmocka_unit_test(what_was_read_leaves_memory),
		cmocka_unit_test(the_slowest_sink_is_told),
	};

	log_set_level(LOG_LEVEL_ERROR);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
