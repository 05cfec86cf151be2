/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever the disk does under a running log, workers do not wait, sinks go on from memory, and as
 * soon as it works again everything is durable, counted once and in order; every limit holds, and none of
 * them is a trap.
 * Method: the log's table of system calls fails with each error, a number of times or until released, in
 * each call; the accounts of two sinks are kept beside it, over restarts.  Where time matters it is the
 * test that lets the disk go on, never the clock.
 */
#include "log_rig.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/must.h"
#include "base/thread.h"

#define SMALL (1u << 20) /* max_bytes that make segments of 64 KiB */
#define EVER UINT32_MAX

/* --- faults of the disk --- */

static const struct disk_fault {
	const char *name;
	unsigned ops;
	int error;
	unsigned times;
} disk_faults[] = {
	{ "write, once", OPS(OP_WRITEV), EIO, 1 },
	{ "write, thrice", OPS(OP_WRITEV), EIO, 3 },
	{ "write, ever", OPS(OP_WRITEV), EIO, EVER },
	{ "write: full", OPS(OP_WRITEV), ENOSPC, EVER },
	{ "write: quota", OPS(OP_WRITEV), EDQUOT, EVER },
	{ "sync, once", OPS(OP_SYNC), EIO, 1 },
	{ "sync, thrice", OPS(OP_SYNC), EIO, 3 },
	{ "sync, ever", OPS(OP_SYNC), EIO, EVER },
	{ "sync_dir, once", OPS(OP_SYNC_DIR), EIO, 1 },
	{ "sync_dir, ever", OPS(OP_SYNC_DIR), EIO, EVER },
	{ "open, once", OPS(OP_OPEN), EIO, 1 },
	{ "open, ever", OPS(OP_OPEN), EMFILE, EVER },
	{ "rename, once", OPS(OP_RENAME), EIO, 1 },
	{ "rename, ever", OPS(OP_RENAME), EIO, EVER },
	{ "allocate, once", OPS(OP_ALLOCATE), ENOSPC, 1 },
	{ "allocate, ever", OPS(OP_ALLOCATE), ENOSPC, EVER },
	{ "remove, once", OPS(OP_REMOVE), EIO, 1 },
	{ "remove, ever", OPS(OP_REMOVE), EIO, EVER },
	{ "truncate, ever", OPS(OP_TRUNCATE), EIO, EVER },
	{ "free_bytes, ever", OPS(OP_FREE_BYTES), EIO, EVER },
	{ "all, once", OPS_ALL, EIO, 1 },
	{ "all, ever", OPS_ALL, EIO, EVER },
	{ "read-only", OPS_ALL & ~OPS(OP_FREE_BYTES), EROFS, EVER },
};
#define FAULTS (sizeof(disk_faults) / sizeof(disk_faults[0]))

static void append_frames(struct rig *g, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(rig_append(g, i % g->conf.worker_count, 10, 800), ERR_OK);
}

/* Everything is delivered to both sinks; nothing was lost. */
static void drain(struct rig *g, const char *what)
{
	for (size_t i = 0; i < 2; i++) {
		struct seat *s = &g->seats[i];

		RIG_UNTIL(rig_read(g, s, SIZE_MAX) == 0 && seat_pending(g, s) == 0);
		rig_check(g, s);
		if (seat_lost(s) != 0)
			fail_msg("%s: sink %s lost %llu", what, s->name,
				 (unsigned long long)seat_lost(s));
	}
}

/* And all of that is durable, and stored. */
static void settle(struct rig *g, const char *what)
{
	drain(g, what);
	for (size_t i = 0; i < g->log_count; i++)
		assert_int_equal(log_reader_sync(g->seats[0].readers[i], log_sealed_lsn(g->logs[i]),
						 RIG_WAIT_MS),
				 ERR_OK);
	RIG_UNTIL(rig_is_stored(g, &g->seats[0]) && rig_is_stored(g, &g->seats[1]));
}

/* All rigs go through each phase together: what one waits out, all wait out. */
static void what_the_disk_refuses_is_written_when_it_works_again(void **state)
{
	static struct rig rigs[FAULTS];

	(void)state;
	for (size_t i = 0; i < FAULTS; i++) {
		struct rig *g = &rigs[i];

		rig_init(g, SMALL);
		g->conf.min_free_bytes = 1;
		rig_open(g);
		append_frames(g, 12);
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		(void)rig_read(g, &g->seats[1], 5);
	}
	for (size_t i = 0; i < FAULTS; i++) {
		RIG_UNTIL(rig_is_durable(&rigs[i]));
		faults_set(&rigs[i].faults, disk_faults[i].ops, disk_faults[i].error,
			   disk_faults[i].times);
		append_frames(&rigs[i], 20);
	}
	for (size_t i = 0; i < FAULTS; i++) {
		struct rig *g = &rigs[i];

		/* From memory, whatever the disk does. */
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		assert_true(seat_pending(g, &g->seats[0]) == 0);
		rig_check(g, &g->seats[0]);
		rig_check(g, &g->seats[1]);
		append_frames(g, 20);
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		if (disk_faults[i].ops != OPS(OP_TRUNCATE) && disk_faults[i].ops != OPS(OP_REMOVE))
			RIG_UNTIL(faults_hits(&g->faults, OPS_ALL) >=
				  (disk_faults[i].times == EVER ? 1 : disk_faults[i].times));
		faults_release(&g->faults);
	}
	for (size_t i = 0; i < FAULTS; i++) {
		RIG_UNTIL(rig_is_durable(&rigs[i]));
		(void)rig_read(&rigs[i], &rigs[i].seats[1], 9);
		rig_check(&rigs[i], &rigs[i].seats[1]);
	}
	for (size_t i = 0; i < FAULTS; i++) {
		struct rig *g = &rigs[i];
		uint64_t end = log_end_lsn(g->logs[0]);
		uint64_t delivered[2] = { seat_get(&g->seats[0], SEAT_DELIVERED),
					  seat_get(&g->seats[1], SEAT_DELIVERED) };

		rig_close(g);
		rig_open(g);
		assert_true(log_end_lsn(g->logs[0]) == end);
		for (size_t k = 0; k < 2; k++) {
			if (seat_get(&g->seats[k], SEAT_DELIVERED) != delivered[k])
				fail_msg("%s: sink %zu: %llu, not %llu delivered",
					 disk_faults[i].name, k,
					 (unsigned long long)seat_get(&g->seats[k], SEAT_DELIVERED),
					 (unsigned long long)delivered[k]);
		}
		append_frames(g, 10);
	}
	for (size_t i = 0; i < FAULTS; i++)
		drain(&rigs[i], disk_faults[i].name);
	for (size_t i = 0; i < FAULTS; i++)
		settle(&rigs[i], disk_faults[i].name);
	for (size_t i = 0; i < FAULTS; i++) {
		RIG_UNTIL(rig_is_disk_exact(&rigs[i]));
		rig_fini(&rigs[i]);
	}
}

/* A kill while the disk fails costs what was not durable, and that alone; here the page of shared memory
 * stays, since the stop is none in good order. */
static void what_was_not_durable_when_the_disk_failed_is_counted(void **state)
{
	static struct rig g;
	uint64_t durable;
	uint64_t end;

	(void)state;
	rig_init(&g, SMALL);
	rig_open(&g);
	append_frames(&g, 20);
	RIG_UNTIL(rig_is_durable(&g));
	(void)rig_read(&g, &g.seats[0], 10);
	(void)rig_read(&g, &g.seats[1], 5);
	RIG_UNTIL(rig_is_stored(&g, &g.seats[0]) && rig_is_stored(&g, &g.seats[1]));
	durable = log_durable_lsn(g.logs[0]);
	faults_set(&g.faults, OPS_ALL, EIO, EVER);
	append_frames(&g, 20);
	end = log_end_lsn(g.logs[0]);
	rig_close(&g);
	faults_release(&g.faults);
	rig_open(&g);
	assert_true(log_end_lsn(g.logs[0]) == end);
	for (size_t i = 0; i < 2; i++) {
		RIG_UNTIL(rig_read(&g, &g.seats[i], SIZE_MAX) == 0 &&
			  seat_pending(&g, &g.seats[i]) == 0);
		rig_check(&g, &g.seats[i]);
		assert_true(seat_get(&g.seats[i], SEAT_DELIVERED) == durable);
		assert_true(seat_get(&g.seats[i], SEAT_UNSYNCED) == end - durable);
		assert_true(seat_lost(&g.seats[i]) == end - durable);
	}
	rig_fini(&g);
}

/* fsync(2) may forget what it could not write: the frames go into another segment. */
static void pages_of_a_failed_sync_are_never_trusted(void **state)
{
	static struct rig g;
	size_t before;
	size_t after;

	(void)state;
	rig_init(&g, 64u << 20);
	rig_open(&g);
	append_frames(&g, 3);
	RIG_UNTIL(rig_is_durable(&g));
	(void)rig_disk_bytes(&g, &before);
	for (unsigned i = 1; i <= 2; i++) {
		faults_set(&g.faults, OPS(OP_SYNC), EIO, 1);
		append_frames(&g, 1);
		RIG_UNTIL(faults_hits(&g.faults, OPS(OP_SYNC)) == i);
		RIG_UNTIL(rig_is_durable(&g));
		(void)rig_disk_bytes(&g, &after);
		assert_int_equal(after, before + i);
	}
	RIG_UNTIL(rig_is_disk_exact(&g));
	rig_close(&g);
	rig_open(&g);
	settle(&g, "failed sync");
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == 50);
	rig_fini(&g);
}

static void short_writes_are_carried_on(void **state)
{
	static const size_t most[] = { 1, 7, 32, 48, 49, 4096, 65536 };
	static struct rig rigs[sizeof(most) / sizeof(most[0])];
	size_t count = sizeof(most) / sizeof(most[0]);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct rig *g = &rigs[i];

		rig_init(g, SMALL);
		g->faults.write_max = most[i];
		rig_open(g);
		append_frames(g, 15);
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		(void)rig_read(g, &g->seats[1], 7);
	}
	for (size_t i = 0; i < count; i++) {
		struct rig *g = &rigs[i];

		RIG_UNTIL(rig_is_durable(g));
		RIG_UNTIL(rig_is_stored(g, &g->seats[0]) && rig_is_stored(g, &g->seats[1]));
		rig_close(g);
		rig_open(g);
		assert_true(seat_get(&g->seats[0], SEAT_DELIVERED) == 150);
		assert_true(seat_get(&g->seats[1], SEAT_DELIVERED) == 70);
		settle(g, "short writes");
		assert_true(seat_get(&g->seats[1], SEAT_DELIVERED) == 150);
		rig_fini(g);
	}
}

/* The commit thread may stand still; workers and sinks do not, until memory is used up. */
static void nobody_waits_for_a_sync_that_stands_still(void **state)
{
	static struct rig g;
	unsigned taken = 0;
	enum err e;

	(void)state;
	rig_init(&g, 64u << 20);
	g.conf.memory_bytes = 2u << 20;
	g.seats[0].from = LOG_FROM_OLDEST;
	rig_open(&g);
	append_frames(&g, 1);
	faults_stand(&g.faults, true);
	while ((e = rig_append(&g, 0, 20, 1000)) == ERR_OK) {
		taken++;
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
		assert_true(seat_pending(&g, &g.seats[0]) == 0);
	}
	assert_int_equal(e, ERR_FULL);
	/* All but what a slab's end is too short for. */
	assert_true(taken * 20u * 1000 > (2u << 20) / 10 * 8);
	assert_int_equal(log_reader_sync(g.seats[0].readers[0], log_sealed_lsn(g.logs[0]), 20),
			 ERR_AGAIN);
	assert_true(log_durable_lsn(g.logs[0]) < log_sealed_lsn(g.logs[0]));
	assert_true(log_reader_stored_lsn(g.seats[0].readers[0]) <= log_durable_lsn(g.logs[0]));
	faults_stand(&g.faults, false);
	assert_int_equal(log_reader_sync(g.seats[0].readers[0], log_sealed_lsn(g.logs[0]), 20000),
			 ERR_OK);
	RIG_UNTIL(rig_append(&g, 0, 20, 1000) == ERR_OK);
	settle(&g, "standing");
	rig_fini(&g);
}

/* Who waits for a disk that fails asks once, and not again and again. */
static void waiting_for_a_disk_that_fails_costs_nothing(void **state)
{
	static struct rig g;
	struct rusage from;
	struct rusage to;

	(void)state;
	rig_init(&g, 64u << 20);
	rig_open(&g);
	faults_set(&g.faults, OPS_ALL, EIO, EVER);
	append_frames(&g, 2);
	assert_int_equal(getrusage(RUSAGE_SELF, &from), 0);
	assert_int_equal(log_reader_sync(g.seats[0].readers[0], 20, 800), ERR_AGAIN);
	assert_int_equal(getrusage(RUSAGE_SELF, &to), 0);
	if (to.ru_nvcsw - from.ru_nvcsw > 400)
		fail_msg("woken %ld times", to.ru_nvcsw - from.ru_nvcsw);
	faults_release(&g.faults);
	assert_int_equal(log_reader_sync(g.seats[0].readers[0], 20, 20000), ERR_OK);
	settle(&g, "waiting");
	rig_fini(&g);
}

static int unlink_all(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* What was on disk is gone, and counted where a sink wanted it; what was in memory is not. */
static void a_directory_that_is_removed_is_made_again(void **state)
{
	static struct rig g;
	uint64_t delivered;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.io = NULL;
	rig_open(&g);
	append_frames(&g, 20);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_stored(&g, &g.seats[0]));
	/* The log makes files meanwhile. */
	while (nftw(g.dir, unlink_all, 16, FTW_DEPTH | FTW_PHYS) != 0)
		continue;
	append_frames(&g, 40);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_stored(&g, &g.seats[0]));
	/* It is noticed without a new segment, too. */
	RIG_UNTIL(access(g.dir, F_OK) == 0);
	append_frames(&g, 4);
	RIG_UNTIL(rig_is_durable(&g));
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	(void)rig_read(&g, &g.seats[1], SIZE_MAX);
	rig_check(&g, &g.seats[0]);
	rig_check(&g, &g.seats[1]);
	assert_true(seat_lost(&g.seats[0]) == 0);
	append_frames(&g, 4);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_disk_exact(&g));
	delivered = seat_get(&g.seats[0], SEAT_DELIVERED);
	rig_close(&g);
	rig_open(&g);
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == delivered);
	settle(&g, "removed");
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == delivered + 40);
	rig_fini(&g);
}

/* --- limits --- */

static void one_more(struct rig *g, size_t log)
{
	RIG_UNTIL(rig_append(g, log, 10, 800) == ERR_OK);
}

/* Appends until disk and memory are full. */
static unsigned fill(struct rig *g)
{
	unsigned count = 0;
	unsigned refused = 0;
	struct timespec nap = { 0, 5000000 };

	/* Room comes by and by while memory goes to disk: refused for so long, it is full. */
	while (refused < 60) {
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
	one_more(&g, 0);
	assert_true(seat_pending(&g, &g.seats[1]) > count);
	assert_true(fill(&g) > count / 10);
	assert_true(log_hub_bytes(g.hub) <= SMALL);
	settle(&g, "blocked");
	rig_close(&g);
	rig_open(&g);
	settle(&g, "blocked, again");
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
		settle(&rigs[i], "the least");
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
	one_more(&g, 1);
	RIG_UNTIL(rig_is_durable(&g));
	count = fill(&g);
	RIG_UNTIL(rig_is_disk_exact(&g));
	assert_true(rig_disk_bytes(&g, &segments) == 8u * 65536);
	assert_int_equal(segments, 8);
	assert_true(count > 7u * 6);
	settle(&g, "spare");
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
		one_more(&g, 0);
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
		one_more(&g, 0);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	}
	RIG_UNTIL(rig_is_durable(&g));
	faults_set(&g.faults, OPS(OP_ALLOCATE), ENOSPC, EVER);
	for (unsigned i = 0; i < 30; i++) {
		one_more(&g, 0);
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
	g.conf.max_age_ms = 1500;
	rig_open(&g);
	append_frames(&g, 20);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	(void)rig_read(&g, &g.seats[1], 3);
	RIG_UNTIL(rig_is_durable(&g));
	rig_check(&g, &g.seats[1]);
	/* Nothing comes behind them that would end their segment. */
	RIG_UNTIL((rig_check(&g, &g.seats[1]), seat_get(&g.seats[1], SEAT_AGED) == 170));
	assert_true(seat_pending(&g, &g.seats[1]) == 0);
	assert_true(seat_lost(&g.seats[0]) == 0);
	assert_true(stat_get(log_hub_stat(g.hub), LOG_STAT_EVICTED_AGE) == 170);
	append_frames(&g, 2);
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
	append_frames(&g, 20);
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
	settle(&g, "min_free");
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
		one_more(&g, 0);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
		if (i % 7 == 0)
			(void)rig_read(&g, &g.seats[1], 3);
	}
	assert_true(seat_pending(&g, &g.seats[1]) > 3000);
	rig_check(&g, &g.seats[1]);
	settle(&g, "behind");
	RIG_UNTIL(rig_is_disk_exact(&g));
	/* What all have got gives its room back, but for the segment in use and a spare one. */
	RIG_UNTIL(log_hub_bytes(g.hub) <= 2u << 20);
	rig_fini(&g);
}

/* --- modes, names, sinks, workers --- */

static const struct mode {
	const char *name;
	enum log_sync sync;
	enum log_codec codec;
	bool is_noise;
} modes[] = {
	{ "os", LOG_SYNC_OS, LOG_CODEC_NONE, false },
	{ "group", LOG_SYNC_GROUP, LOG_CODEC_NONE, true },
	{ "each", LOG_SYNC_EACH, LOG_CODEC_NONE, false },
	{ "lz4", LOG_SYNC_OS, LOG_CODEC_LZ4, false },
	{ "lz4, noise", LOG_SYNC_GROUP, LOG_CODEC_LZ4, true },
	{ "zstd", LOG_SYNC_GROUP, LOG_CODEC_ZSTD, false },
	{ "zstd, noise", LOG_SYNC_EACH, LOG_CODEC_ZSTD, true },
};

/* With names by the hundred, schemas that change, and frames larger than a segment. */
static void every_mode_reads_back_what_was_appended(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		const struct mode *m = &modes[i];
		static struct rig g;
		uint64_t written;
		size_t segments;

		rig_init(&g, SMALL);
		g.conf.sync = m->sync;
		g.conf.codec = m->codec;
		g.is_noise = m->is_noise;
		g.name_count = 700;
		g.keeps_frames = m->sync == LOG_SYNC_EACH;
		rig_open(&g);
		for (unsigned n = 0; n < 30; n++)
			assert_int_equal(rig_append(&g, 0, 10, 400), ERR_OK);
		assert_int_equal(rig_append(&g, 0, 10, 20000), ERR_OK);
		assert_int_equal(rig_append(&g, 0, 10, 0), ERR_OK);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
		assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == 320);
		RIG_UNTIL(rig_is_durable(&g));
		RIG_UNTIL(rig_is_disk_exact(&g));
		written = stat_get(log_hub_stat(g.hub), LOG_STAT_WRITTEN_OCTETS);
		if (m->sync == LOG_SYNC_OS)
			assert_int_equal(faults_calls(&g.faults, OP_SYNC), 1); /* `format` */
		(void)rig_disk_bytes(&g, &segments);
		assert_true(stat_get(log_hub_stat(g.hub), LOG_STAT_SEGMENTS) == segments);
		if (m->sync == LOG_SYNC_EACH)
			assert_true(faults_calls(&g.faults, OP_SYNC) > 32);
		/* What no codec makes smaller is stored as it is. */
		assert_true(m->codec == LOG_CODEC_NONE || m->is_noise ? written > 320000
								      : written < 200000);
		rig_close(&g);
		rig_open(&g);
		settle(&g, m->name);
		assert_true(seat_get(&g.seats[1], SEAT_DELIVERED) == 320);
		rig_fini(&g);
	}
}

static void a_log_in_memory_leaves_the_disk_alone(void **state)
{
	static struct rig g;
	struct dirent **list;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.sync = LOG_SYNC_OFF;
	rig_open(&g);
	assert_false(log_hub_is_durable(g.hub));
	append_frames(&g, 3);
	assert_int_equal(log_reader_sync(g.seats[0].readers[0], 30, 0), ERR_OK);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	assert_true(log_reader_stored_lsn(g.seats[0].readers[0]) == 30);
	assert_int_equal(scandir(g.dir, &list, NULL, alphasort), 2);
	free(list[0]);
	free(list[1]);
	free(list);
	rig_fini(&g);
}

static void ten_thousand_exporters(void **state)
{
	static struct rig g;

	(void)state;
	rig_init(&g, 8u << 20);
	g.name_count = 10000;
	rig_open(&g);
	for (unsigned n = 0; n < 120; n++)
		assert_int_equal(rig_append(&g, 0, 100, 40), ERR_OK);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_disk_exact(&g));
	rig_close(&g);
	rig_open(&g);
	settle(&g, "exporters");
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == 12000);
	rig_fini(&g);
}

static void two_hubs_on_one_directory_are_refused(void **state)
{
	static struct rig g;
	struct why why = { "" };
	struct log_hub *hub = NULL;

	(void)state;
	rig_init(&g, SMALL);
	rig_open(&g);
	assert_int_equal(log_hub_open(&g.conf, &why, &hub), ERR_IO);
	assert_non_null(strstr(why.text, "another process uses it"));
	append_frames(&g, 2);
	settle(&g, "two");
	rig_fini(&g);
}

static void sinks_come_and_go(void **state)
{
	static struct rig g;
	uint64_t bytes;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.memory_bytes = 300000;
	rig_open(&g);
	for (unsigned i = 0; i < 60; i++) {
		one_more(&g, 0);
		(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	}
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_stored(&g, &g.seats[0]));
	bytes = log_hub_bytes(g.hub);
	rig_close(&g);

	/* `two` is gone, and its space; two others are new. */
	g.seats[1].name = "new";
	g.seats[1].from = LOG_FROM_END;
	g.seats[2].name = "late";
	rig_open(&g);
	assert_true(log_reader_start_lsn(g.seats[1].readers[0]) == 600);
	assert_true(log_reader_start_lsn(g.seats[2].readers[0]) == 0);
	append_frames(&g, 2);
	while (rig_read(&g, &g.seats[2], SIZE_MAX) > 0)
		continue;
	assert_true(seat_get(&g.seats[2], SEAT_DELIVERED) == 620);
	settle(&g, "new");
	assert_true(seat_get(&g.seats[1], SEAT_DELIVERED) == 20);
	rig_check(&g, &g.seats[2]);
	RIG_UNTIL(rig_is_stored(&g, &g.seats[2]));
	RIG_UNTIL(log_hub_bytes(g.hub) < bytes / 2);
	RIG_UNTIL(rig_is_disk_exact(&g));
	rig_close(&g);

	/* Whoever comes back is new: nobody remembers. */
	g.seats[1].name = "two";
	g.seats[1].from = LOG_FROM_OLDEST;
	g.seats[2].name = NULL;
	rig_open(&g);
	assert_true(seat_get(&g.seats[1], SEAT_DELIVERED) == 0);
	append_frames(&g, 2);
	settle(&g, "back");
	rig_fini(&g);
}

static bool has_dir(const struct rig *g, unsigned worker)
{
	char path[sizeof(g->dir) + 16];

	(void)snprintf(path, sizeof(path), "%.63s/%u", g->dir, worker);
	return access(path, F_OK) == 0;
}

/* An exporter may be another worker's then: what was there goes first. */
static void workers_change(void **state)
{
	static const unsigned counts[] = { 2, 1, 3, 1, 1, 2 };
	static struct rig g;

	(void)state;
	rig_init(&g, SMALL);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint64_t left[2] = { 0, 0 };

		g.conf.worker_count = counts[i];
		rig_open(&g);
		for (size_t k = 0; k < 2; k++)
			left[k] = seat_pending(&g, &g.seats[k]);
		append_frames(&g, 12);
		for (size_t k = 0; k < 2; k++) {
			uint64_t before = seat_get(&g.seats[k], SEAT_DELIVERED);

			/* The least that is read at once, from each log in turn; the first life
			 * of all has nothing before it. */
			g.passed = 0;
			while (seat_get(&g.seats[k], SEAT_DELIVERED) < before + left[k] + 20)
				assert_true(rig_read(&g, &g.seats[k], 1) > 0);
			rig_check(&g, &g.seats[k]);
		}
		/* The fourth life leaves nothing: the directories of its past are gone. */
		if (i == 3) {
			g.barrier = 0;
			settle(&g, "workers");
		}
		g.barrier = *g.serial;
		rig_close(&g);
		if (i == 3) {
			assert_true(has_dir(&g, 0));
			assert_false(has_dir(&g, 1));
			assert_false(has_dir(&g, 2));
		}
	}
	g.barrier = 0;
	rig_open(&g);
	settle(&g, "workers");
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == 6 * 120);
	rig_fini(&g);
}

static void workers_that_left_nothing_leave_no_directory(void **state)
{
	static struct rig g;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.worker_count = 3;
	rig_open(&g);
	assert_int_equal(rig_append(&g, 1, 10, 800), ERR_OK);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	rig_close(&g);
	assert_true(has_dir(&g, 2));
	g.conf.worker_count = 1;
	rig_open(&g);
	assert_false(has_dir(&g, 2));
	assert_true(has_dir(&g, 1));
	settle(&g, "idle");
	rig_close(&g);
	assert_false(has_dir(&g, 1));
	rig_fini(&g);
}

/* A sink that knows better than its cursor. */
static void what_a_sink_knows_to_be_delivered_is_not_read_again(void **state)
{
	static const uint64_t none[LOG_LOSS_COUNT];
	static struct rig g;

	(void)state;
	rig_init(&g, SMALL);
	rig_open(&g);
	append_frames(&g, 10);
	(void)rig_read(&g, &g.seats[0], 2);
	(void)rig_read(&g, &g.seats[1], 1);
	rig_close(&g);

	assert_int_equal(rig_prepare(&g, NULL), ERR_OK);
	log_reader_committed(g.seats[0].readers[0], 55, none);
	stat_add(g.seats[0].stat, SEAT_DELIVERED, 35);
	log_reader_committed(g.seats[0].readers[0], 40, none);
	/* A crash took records that the sink had. */
	log_reader_committed(g.seats[1].readers[0], 130, none);
	stat_add(g.seats[1].stat, SEAT_DELIVERED, 120);
	assert_int_equal(log_hub_start(g.hub, NULL), ERR_OK);
	assert_true(log_end_lsn(g.logs[0]) == 130);
	assert_true(log_reader_next_lsn(g.seats[0].readers[0]) == 55);
	append_frames(&g, 1);
	for (size_t k = 0; k < 2; k++) {
		while (rig_read(&g, &g.seats[k], SIZE_MAX) > 0)
			continue;
		rig_check(&g, &g.seats[k]);
	}
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == 20 + 35 + 45 + 10);
	assert_true(seat_get(&g.seats[0], SEAT_UNSYNCED) == 30);
	assert_true(seat_lost(&g.seats[0]) == 30);
	assert_true(seat_get(&g.seats[1], SEAT_DELIVERED) == 10 + 120 + 10);
	assert_true(seat_lost(&g.seats[1]) == 0);
	RIG_UNTIL(rig_is_durable(&g));
	rig_close(&g);
	rig_open(&g);
	assert_true(log_end_lsn(g.logs[0]) == 140);
	rig_check(&g, &g.seats[0]);
	rig_check(&g, &g.seats[1]);
	rig_fini(&g);
}

/* --- killed --- */

struct killed {
	uint64_t end;
	uint64_t durable;
	uint64_t delivered[2]; /* and stored */
};

/* A life that ends by SIGKILL, what it leaves behind in `k`. */
static void live_and_die(struct rig *g, struct killed *k)
{
	struct killed *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		rig_open(g);
		append_frames(g, 20);
		(void)rig_read(g, &g->seats[0], 15);
		(void)rig_read(g, &g->seats[1], 5);
		RIG_UNTIL(rig_is_durable(g));
		RIG_UNTIL(rig_is_stored(g, &g->seats[0]) && rig_is_stored(g, &g->seats[1]));
		faults_set(&g->faults, OPS_ALL, EIO, EVER);
		/* A frame that is not sealed goes with the others. */
		append_frames(g, 7);
		g->keeps_frames = true;
		append_frames(g, 1);
		shared->delivered[0] = seat_get(&g->seats[0], SEAT_DELIVERED);
		shared->delivered[1] = seat_get(&g->seats[1], SEAT_DELIVERED);
		/* Delivered, and nobody will know: told again after the restart. */
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		shared->end = log_end_lsn(g->logs[0]);
		shared->durable = log_durable_lsn(g->logs[0]);
		(void)raise(SIGKILL);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	*k = *shared;
	(void)munmap(shared, sizeof(*shared));
}

static void a_kill_costs_what_was_not_durable_and_says_so(void **state)
{
	static struct rig g;
	uint64_t unsynced = 0;

	(void)state;
	rig_init(&g, SMALL);
	for (unsigned life = 0; life < 3; life++) {
		struct killed k;

		live_and_die(&g, &k);
		assert_true(k.end == k.durable + 80);
		rig_open(&g);
		assert_true(log_end_lsn(g.logs[0]) == k.end);
		unsynced += 80;
		for (size_t i = 0; i < 2; i++) {
			assert_true(seat_get(&g.seats[i], SEAT_DELIVERED) == k.delivered[i]);
			while (rig_read(&g, &g.seats[i], SIZE_MAX) > 0)
				continue;
			rig_check(&g, &g.seats[i]);
			assert_true(seat_pending(&g, &g.seats[i]) == 0);
			assert_true(seat_get(&g.seats[i], SEAT_UNSYNCED) == unsynced);
			assert_true(seat_lost(&g.seats[i]) == unsynced);
			assert_true(seat_get(&g.seats[i], SEAT_DELIVERED) == 200 * (life + 1));
		}
		rig_close(&g);
	}
	rig_fini(&g);
}

/* Takes away the page of shared memory, as a restart of the machine does. */
static void forget_live_page(const struct rig *g)
{
	struct dirent **list;
	struct stat st;
	char end[64];
	unsigned removed = 0;
	int n;

	assert_int_equal(stat(g->dir, &st), 0);
	(void)snprintf(end, sizeof(end), "-%llx-%llx", (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	n = scandir("/dev/shm", &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		const char *at = strstr(list[i]->d_name, end);

		if (strncmp(list[i]->d_name, "sluice-", 7) == 0 && at != NULL &&
		    strcmp(at, end) == 0)
			removed += shm_unlink(list[i]->d_name) == 0;
		free(list[i]);
	}
	free(list);
	assert_int_equal(removed, 1);
}

static void a_restart_of_the_machine_goes_on_where_the_disk_ends(void **state)
{
	static struct rig g;
	struct killed k;

	(void)state;
	rig_init(&g, SMALL);
	live_and_die(&g, &k);
	forget_live_page(&g);
	/* These numbers nobody has seen: they may be given again. */
	memset(&g.given[0][k.durable], 0, (k.end - k.durable) * sizeof(uint64_t));
	rig_open(&g);
	assert_true(log_end_lsn(g.logs[0]) == k.durable);
	append_frames(&g, 3);
	settle(&g, "machine");
	for (size_t i = 0; i < 2; i++)
		assert_true(seat_get(&g.seats[i], SEAT_DELIVERED) == k.durable + 30);
	rig_fini(&g);
}

/* At any moment; what was delivered may be delivered again, and nothing else happens. */
static void kills_at_any_moment(void **state)
{
	static struct rig g;

	(void)state;
	rig_init(&g, SMALL);
	g.conf.policy = LOG_BLOCK;
	for (unsigned life = 0; life < 6; life++) {
		char octet;
		int status;
		int ends[2];
		pid_t pid;

		assert_int_equal(pipe(ends), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			rig_open(&g);
			for (unsigned n = 0; n < 250; n++) {
				RIG_UNTIL(rig_append(&g, 0, 10, 800) == ERR_OK);
				(void)rig_read(&g, &g.seats[0], SIZE_MAX);
				(void)rig_read(&g, &g.seats[1], n % 2);
				if (write(ends[1], "x", 1) != 1)
					break;
			}
			for (;;)
				(void)pause();
		}
		for (unsigned n = 0; n < 30 + life * 40; n++)
			assert_true(read(ends[0], &octet, 1) == 1);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_true(waitpid(pid, &status, 0) == pid);
		(void)close(ends[0]);
		(void)close(ends[1]);
		rig_open(&g);
		for (size_t i = 0; i < 2; i++) {
			(void)rig_read(&g, &g.seats[i], SIZE_MAX);
			rig_check(&g, &g.seats[i]);
			assert_true(seat_lost(&g.seats[i]) == seat_get(&g.seats[i], SEAT_UNSYNCED));
		}
		RIG_UNTIL(rig_is_disk_exact(&g));
		rig_close(&g);
	}
	rig_fini(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_disk_refuses_is_written_when_it_works_again),
		cmocka_unit_test(what_was_not_durable_when_the_disk_failed_is_counted),
		cmocka_unit_test(pages_of_a_failed_sync_are_never_trusted),
		cmocka_unit_test(short_writes_are_carried_on),
		cmocka_unit_test(nobody_waits_for_a_sync_that_stands_still),
		cmocka_unit_test(waiting_for_a_disk_that_fails_costs_nothing),
		cmocka_unit_test(a_directory_that_is_removed_is_made_again),
		cmocka_unit_test(blocked_means_that_disk_and_memory_are_full),
		cmocka_unit_test(the_least_room_is_no_trap),
		cmocka_unit_test(room_that_one_log_keeps_ready_is_for_all),
		cmocka_unit_test(the_oldest_is_evicted_and_counted),
		cmocka_unit_test(a_full_file_system_evicts_what_it_must),
		cmocka_unit_test(records_that_are_too_old_go),
		cmocka_unit_test(the_file_system_keeps_its_share),
		cmocka_unit_test(memory_is_bounded_and_readers_go_to_disk),
		cmocka_unit_test(every_mode_reads_back_what_was_appended),
		cmocka_unit_test(a_log_in_memory_leaves_the_disk_alone),
		cmocka_unit_test(ten_thousand_exporters),
		cmocka_unit_test(two_hubs_on_one_directory_are_refused),
		cmocka_unit_test(sinks_come_and_go),
		cmocka_unit_test(workers_change),
		cmocka_unit_test(workers_that_left_nothing_leave_no_directory),
		cmocka_unit_test(what_a_sink_knows_to_be_delivered_is_not_read_again),
		cmocka_unit_test(a_kill_costs_what_was_not_durable_and_says_so),
		cmocka_unit_test(a_restart_of_the_machine_goes_on_where_the_disk_ends),
		cmocka_unit_test(kills_at_any_moment),
	};

	log_set_level(LOG_LEVEL_ERROR);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
