/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever the disk does under a running log, workers do not wait, sinks go on from memory, and as
 * soon as it works again everything is durable, counted once and in order.
 * Method: the log's table of system calls fails with each error, a number of times or until released, in
 * each call; the accounts of two sinks are kept beside it, over restarts; and a call that appends while it
 * is made stands for workers that outrun the disk.  Where time matters it is the
 * test that lets the disk go on, never the clock.
 */
#include "log_rig.h"

#include <stdatomic.h>
#include <sys/resource.h>

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
		rig_append_frames(g, 12);
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		(void)rig_read(g, &g->seats[1], 5);
	}
	for (size_t i = 0; i < FAULTS; i++) {
		RIG_UNTIL(rig_is_durable(&rigs[i]));
		faults_set(&rigs[i].faults, disk_faults[i].ops, disk_faults[i].error,
			   disk_faults[i].times);
		rig_append_frames(&rigs[i], 20);
	}
	for (size_t i = 0; i < FAULTS; i++) {
		struct rig *g = &rigs[i];

		/* From memory, whatever the disk does. */
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		assert_true(seat_pending(g, &g->seats[0]) == 0);
		rig_check(g, &g->seats[0]);
		rig_check(g, &g->seats[1]);
		rig_append_frames(g, 20);
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
		rig_append_frames(g, 10);
	}
	for (size_t i = 0; i < FAULTS; i++)
		rig_drain(&rigs[i], disk_faults[i].name);
	for (size_t i = 0; i < FAULTS; i++)
		rig_settle(&rigs[i], disk_faults[i].name);
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
	rig_append_frames(&g, 20);
	RIG_UNTIL(rig_is_durable(&g));
	(void)rig_read(&g, &g.seats[0], 10);
	(void)rig_read(&g, &g.seats[1], 5);
	RIG_UNTIL(rig_is_stored(&g, &g.seats[0]) && rig_is_stored(&g, &g.seats[1]));
	durable = log_durable_lsn(g.logs[0]);
	faults_set(&g.faults, OPS_ALL, EIO, EVER);
	rig_append_frames(&g, 20);
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

/* Every cursor says so twice: the next sync is that of a segment. */
static void wait_for_quiet(struct rig *g)
{
	struct timespec nap = { 0, 600000000 }; /* longer than cursors take to have their turn */
	unsigned calls;

	do {
		calls = faults_calls(&g->faults, OP_SYNC);
		(void)nanosleep(&nap, NULL);
	} while (faults_calls(&g->faults, OP_SYNC) != calls);
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
	rig_append_frames(&g, 3);
	RIG_UNTIL(rig_is_durable(&g));
	(void)rig_disk_bytes(&g, &before);
	for (unsigned i = 1; i <= 2; i++) {
		wait_for_quiet(&g);
		faults_set(&g.faults, OPS(OP_SYNC), EIO, 1);
		rig_append_frames(&g, 1);
		RIG_UNTIL(faults_hits(&g.faults, OPS(OP_SYNC)) == i);
		RIG_UNTIL(rig_is_durable(&g));
		(void)rig_disk_bytes(&g, &after);
		assert_int_equal(after, before + i);
	}
	RIG_UNTIL(rig_is_disk_exact(&g));
	rig_close(&g);
	rig_open(&g);
	rig_settle(&g, "failed sync");
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
		rig_append_frames(g, 15);
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
		rig_settle(g, "short writes");
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
	rig_append_frames(&g, 1);
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
	rig_settle(&g, "standing");
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
	rig_append_frames(&g, 2);
	assert_int_equal(getrusage(RUSAGE_SELF, &from), 0);
	assert_int_equal(log_reader_sync(g.seats[0].readers[0], 20, 800), ERR_AGAIN);
	assert_int_equal(getrusage(RUSAGE_SELF, &to), 0);
	if (to.ru_nvcsw - from.ru_nvcsw > 400)
		fail_msg("woken %ld times", to.ru_nvcsw - from.ru_nvcsw);
	faults_release(&g.faults);
	assert_int_equal(log_reader_sync(g.seats[0].readers[0], 20, 20000), ERR_OK);
	rig_settle(&g, "waiting");
	rig_fini(&g);
}

/* --- more than is written --- */

#define FEED_MOST 5000u

static struct rig *_Atomic fed; /* whose log gets another frame with each that is written */
static _Atomic unsigned feed_count;

static ssize_t feeding_writev(void *ctx, int fd, const struct iovec *parts, int count, off_t at)
{
	const struct log_frame_head *head = parts[0].iov_base;
	struct rig *g = fed;

	if (g != NULL && parts[0].iov_len == sizeof(*head) && head->magic == LOG_FRAME_MAGIC &&
	    head->record_count > 0 && atomic_load(&feed_count) < FEED_MOST) {
		atomic_fetch_add(&feed_count, 1);
		assert_int_equal(rig_append(g, 0, 1, 10), ERR_OK);
	}
	return fault_writev(ctx, fd, parts, count, at);
}

/* However much comes while it writes, the rest of a cycle has its turn: cursors here. */
static void a_cycle_ends_while_more_comes(void **state)
{
	static struct rig g;
	unsigned count;

	(void)state;
	rig_init(&g, SMALL);
	g.io.writev = feeding_writev;
	rig_open(&g);
	rig_append_frames(&g, 2);
	(void)rig_read(&g, &g.seats[0], 1);
	/* From here on the log is the commit thread's. */
	fed = &g;
	RIG_UNTIL(log_reader_stored_lsn(g.seats[0].readers[0]) == 10);
	count = atomic_load(&feed_count);
	fed = NULL;
	assert_in_range(count, 1, FEED_MOST - 1);
	rig_close(&g);
	rig_open(&g);
	rig_settle(&g, "fed");
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
	rig_append_frames(&g, 20);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_stored(&g, &g.seats[0]));
	/* The log makes files meanwhile. */
	while (nftw(g.dir, unlink_all, 16, FTW_DEPTH | FTW_PHYS) != 0)
		continue;
	rig_append_frames(&g, 40);
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_stored(&g, &g.seats[0]));
	/* It is noticed without a new segment, too. */
	RIG_UNTIL(access(g.dir, F_OK) == 0);
	rig_append_frames(&g, 4);
	RIG_UNTIL(rig_is_durable(&g));
	(void)rig_read(&g, &g.seats[0], SIZE_MAX);
	(void)rig_read(&g, &g.seats[1], SIZE_MAX);
	rig_check(&g, &g.seats[0]);
	rig_check(&g, &g.seats[1]);
	assert_true(seat_lost(&g.seats[0]) == 0);
	rig_append_frames(&g, 4);
	RIG_UNTIL(rig_is_durable(&g));
	RIG_UNTIL(rig_is_disk_exact(&g));
	delivered = seat_get(&g.seats[0], SEAT_DELIVERED);
	rig_close(&g);
	rig_open(&g);
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == delivered);
	rig_settle(&g, "removed");
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == delivered + 40);
	rig_fini(&g);
}

/* Who reads only what is durable has never taken what the log could lose, nor waits for it. */
static void a_reader_that_waits_for_the_disk(void **state)
{
	static struct rig g;

	(void)state;
	rig_init(&g, SMALL);
	rig_open(&g);
	for (size_t k = 0; k < g.log_count; k++)
		log_reader_wait_durable(g.seats[0].readers[k]);
	rig_append_frames(&g, 5);
	RIG_UNTIL(rig_read(&g, &g.seats[0], SIZE_MAX) == 0 &&
		  seat_get(&g.seats[0], SEAT_DELIVERED) == 50);
	assert_true(rig_is_durable(&g));
	faults_set(&g.faults, OPS_ALL, EIO, EVER);
	rig_append_frames(&g, 5);
	assert_int_equal(rig_read(&g, &g.seats[0], SIZE_MAX), 0);
	while (rig_read(&g, &g.seats[1], SIZE_MAX) > 0)
		continue;
	assert_int_equal(seat_get(&g.seats[1], SEAT_DELIVERED), 100);
	assert_int_equal(rig_read(&g, &g.seats[0], SIZE_MAX), 0);
	assert_int_equal(seat_get(&g.seats[0], SEAT_DELIVERED), 50);
	faults_set(&g.faults, OPS_ALL, 0, 0);
	rig_settle(&g, "waits");
	assert_int_equal(seat_get(&g.seats[0], SEAT_DELIVERED), 100);
	rig_fini(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_that_waits_for_the_disk),
		cmocka_unit_test(what_the_disk_refuses_is_written_when_it_works_again),
		cmocka_unit_test(what_was_not_durable_when_the_disk_failed_is_counted),
		cmocka_unit_test(pages_of_a_failed_sync_are_never_trusted),
		cmocka_unit_test(short_writes_are_carried_on),
		cmocka_unit_test(nobody_waits_for_a_sync_that_stands_still),
		cmocka_unit_test(waiting_for_a_disk_that_fails_costs_nothing),
		cmocka_unit_test(a_directory_that_is_removed_is_made_again),
		cmocka_unit_test(a_cycle_ends_while_more_comes),
	};

	log_set_level(LOG_LEVEL_ERROR);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
