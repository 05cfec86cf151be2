/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what one life of the log wrote, the next one reads: in each mode, whatever became of sinks and
 * workers meanwhile, and however the life ended.
 * Method: lives one after another on one directory, some of them in a child that is killed; the accounts of
 * each sink go on over all of them, and no LSN is given twice.
 */
#include "log_rig.h"

#include <signal.h>
#include <sys/wait.h>

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
		for (unsigned n = 0; n < 30; n++) {
			assert_int_equal(rig_append(&g, 0, 10, 400), ERR_OK);
			/* Each message at once, without a frame's time going by. */
			if (m->sync == LOG_SYNC_EACH)
				RIG_UNTIL(rig_is_durable(&g));
		}
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
			assert_true(faults_calls(&g.faults, OP_SYNC) > 30);
		/* What no codec makes smaller is stored as it is. */
		assert_true(m->codec == LOG_CODEC_NONE || m->is_noise ? written > 320000
								      : written < 200000);
		rig_close(&g);
		rig_open(&g);
		rig_settle(&g, m->name);
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
	rig_append_frames(&g, 3);
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
	rig_settle(&g, "exporters");
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
	rig_append_frames(&g, 2);
	rig_settle(&g, "two");
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
		rig_append_one(&g, 0);
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
	rig_append_frames(&g, 2);
	while (rig_read(&g, &g.seats[2], SIZE_MAX) > 0)
		continue;
	assert_true(seat_get(&g.seats[2], SEAT_DELIVERED) == 620);
	rig_settle(&g, "new");
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
	rig_append_frames(&g, 2);
	rig_settle(&g, "back");
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
		rig_append_frames(&g, 12);
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
			rig_settle(&g, "workers");
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
	rig_settle(&g, "workers");
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
	rig_settle(&g, "idle");
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
	rig_append_frames(&g, 10);
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
	rig_append_frames(&g, 1);
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

/* --- what was passed over --- */

#define CURSOR_MOST (256u << 10)

struct kept {
	uint8_t octets[CURSOR_MOST];
	size_t bytes;
};

static int open_cursor(const struct rig *g, const char *sink, int flags)
{
	char path[sizeof(g->dir) + 64];
	int fd;

	(void)snprintf(path, sizeof(path), "%.63s/cursors/%s", g->dir, sink);
	fd = open(path, flags | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void keep_cursor(const struct rig *g, const char *sink, struct kept *k)
{
	int fd = open_cursor(g, sink, O_RDONLY);
	ssize_t n = read(fd, k->octets, sizeof(k->octets));

	assert_true(n > 0 && n < CURSOR_MOST);
	k->bytes = (size_t)n;
	(void)close(fd);
}

static void put_cursor_back(const struct rig *g, const char *sink, const struct kept *k)
{
	int fd = open_cursor(g, sink, O_WRONLY | O_TRUNC);

	assert_true(write(fd, k->octets, k->bytes) == (ssize_t)k->bytes);
	(void)close(fd);
}

static void sync_all(struct rig *g)
{
	assert_int_equal(
		log_reader_sync(g->seats[0].readers[0], log_sealed_lsn(g->logs[0]), RIG_WAIT_MS),
		ERR_OK);
}

/* A frame that is written, since nobody has it, and some that both sinks have.  At some moments those are
 * written, too: the log's own count tells. */
static void write_and_pass_over(struct rig *g)
{
	rig_append_frames(g, 1);
	sync_all(g);
	rig_drain(g, "written");
	rig_append_frames(g, 4);
	rig_drain(g, "settled");
	sync_all(g);
}

/* A sink whose cursor is an older one finds nothing where frames were passed over, within a segment and
 * behind the last: it had them, and they count as never durable.  To a new sink they are no loss. */
static void what_was_passed_over_is_told_from_what_is_broken(void **state)
{
	static struct kept kept;
	static struct rig g;
	uint64_t settled;
	uint64_t end;

	(void)state;
	rig_init(&g, SMALL);
	rig_open(&g);
	rig_append_frames(&g, 3);
	rig_settle(&g, "kept");
	rig_close(&g);
	keep_cursor(&g, "one", &kept);

	rig_open(&g);
	for (unsigned i = 0; i < 5; i++)
		write_and_pass_over(&g);
	settled = stat_get(log_hub_stat(g.hub), LOG_STAT_SETTLED);
	assert_true(settled > 50);
	RIG_UNTIL(rig_is_disk_exact(&g));
	end = log_end_lsn(g.logs[0]);
	assert_true(end == 280);
	rig_close(&g);

	put_cursor_back(&g, "one", &kept);
	g.seats[2].name = "new";
	rig_open(&g);
	assert_true(log_end_lsn(g.logs[0]) == end);
	RIG_UNTIL(rig_read(&g, &g.seats[0], SIZE_MAX) == 0 && seat_pending(&g, &g.seats[0]) == 0);
	assert_true(seat_get(&g.seats[0], SEAT_UNSYNCED) == settled);
	assert_true(seat_lost(&g.seats[0]) == settled);
	assert_true(seat_get(&g.seats[0], SEAT_DELIVERED) == end - settled);
	assert_true(stat_get(log_hub_stat(g.hub), LOG_STAT_QUARANTINED) == 0);
	rig_append_frames(&g, 2);
	for (size_t i = 0; i < 3; i++) {
		RIG_UNTIL(rig_read(&g, &g.seats[i], SIZE_MAX) == 0);
		rig_check(&g, &g.seats[i]);
	}
	assert_true(seat_get(&g.seats[1], SEAT_DELIVERED) == end + 20);
	assert_true(seat_lost(&g.seats[1]) == 0 && seat_lost(&g.seats[2]) == 0);
	assert_true(seat_get(&g.seats[2], SEAT_DELIVERED) >= 20);
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
		rig_append_frames(g, 20);
		(void)rig_read(g, &g->seats[0], 15);
		(void)rig_read(g, &g->seats[1], 5);
		RIG_UNTIL(rig_is_durable(g));
		RIG_UNTIL(rig_is_stored(g, &g->seats[0]) && rig_is_stored(g, &g->seats[1]));
		faults_set(&g->faults, OPS_ALL, EIO, EVER);
		/* A frame that is not sealed goes with the others. */
		rig_append_frames(g, 7);
		g->keeps_frames = true;
		rig_append_frames(g, 1);
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

/* Long enough for cursors to be stored. */
static void idle(void)
{
	const struct timespec nap = { 0, 700000000 };

	(void)nanosleep(&nap, NULL);
}

/* A life that opens the log, says where everybody is, and is killed before it has a record. */
static void live_idly_and_die(struct rig *g)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		rig_open(g);
		idle();
		(void)raise(SIGKILL);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A life of which nothing became durable. */
static void live_in_vain_and_die(struct rig *g, struct killed *k)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		rig_open(g);
		for (size_t i = 0; i < 2; i++)
			(void)rig_read(g, &g->seats[i], 1); /* says where it is */
		idle();
		faults_set(&g->faults, OPS_ALL, EIO, EVER);
		rig_append_frames(g, 8);
		(void)raise(SIGKILL);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	*k = (struct killed){ .end = 80 };
}

static void a_kill_after_a_kill_does_not_change_what_was_lost(void **state)
{
	(void)state;
	for (int has_durable = 0; has_durable < 2; has_durable++) {
		static struct rig g;
		struct killed k;

		rig_init(&g, SMALL);
		if (has_durable != 0)
			live_and_die(&g, &k);
		else
			live_in_vain_and_die(&g, &k);
		live_idly_and_die(&g);
		live_idly_and_die(&g);
		rig_open(&g);
		assert_true(log_end_lsn(g.logs[0]) == k.end);
		for (size_t i = 0; i < 2; i++) {
			while (rig_read(&g, &g.seats[i], SIZE_MAX) > 0)
				continue;
			rig_check(&g, &g.seats[i]);
			assert_true(seat_pending(&g, &g.seats[i]) == 0);
			assert_int_equal(seat_get(&g.seats[i], SEAT_CORRUPT), 0);
			assert_int_equal(seat_get(&g.seats[i], SEAT_UNSYNCED), 80);
		}
		rig_fini(&g);
	}
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
	rig_append_frames(&g, 3);
	rig_settle(&g, "machine");
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

/* --- killed at a call --- */

#define STEPS 6

/* What the process that is killed had promised when it made the call. */
struct promise {
	uint64_t durable;
	uint64_t stored[2];
	uint64_t settled;
	uint64_t end;
	unsigned calls; /* that were made */
	bool is_over;	/* it was not killed */
};

static struct {
	struct rig *rig;
	struct promise *promise; /* shared */
	unsigned at;		 /* the call that it is killed at, */
	bool is_after;		 /* before it is made, or before it is answered */
	struct stat_flag is_running;
} killer;

static void promise_now(void)
{
	struct promise *p = killer.promise;
	const struct rig *g = killer.rig;

	p->durable = log_durable_lsn(g->logs[0]);
	p->settled = stat_get(log_hub_stat(g->hub), LOG_STAT_SETTLED);
	for (size_t i = 0; i < 2; i++)
		p->stored[i] = log_reader_stored_lsn(g->seats[i].readers[0]);
	p->end = log_end_lsn(g->logs[0]);
}

/* Before each call, and after it. */
static void meet_killer(bool is_after)
{
	if (!stat_flag_get(&killer.is_running))
		return;
	if (!is_after) {
		promise_now();
		killer.promise->calls++;
	}
	if (killer.promise->calls == killer.at && is_after == killer.is_after)
		(void)raise(SIGKILL);
}

static ssize_t killer_writev(void *ctx, int fd, const struct iovec *parts, int count, off_t at)
{
	ssize_t n;

	meet_killer(false);
	n = fault_writev(ctx, fd, parts, count, at);
	meet_killer(true);
	return n;
}

static int killer_sync(void *ctx, int fd)
{
	int rc;

	meet_killer(false);
	rc = fault_sync(ctx, fd);
	meet_killer(true);
	return rc;
}

static int killer_rename(void *ctx, int dir_fd, const char *from, const char *to)
{
	int rc;

	meet_killer(false);
	rc = fault_rename(ctx, dir_fd, from, to);
	meet_killer(true);
	return rc;
}

/* One sink has all that is there when it becomes durable, the other most of the time. */
static void live_until_killed(struct rig *g)
{
	rig_open(g);
	/* Both sinks are known: a cursor may come before what lies below it. */
	do {
		rig_append_frames(g, 1);
		rig_drain(g, "killer");
		(void)log_reader_sync(g->seats[0].readers[0], log_sealed_lsn(g->logs[0]),
				      RIG_WAIT_MS);
	} while (!rig_is_stored(g, &g->seats[0]) || !rig_is_stored(g, &g->seats[1]));
	stat_flag_set(&killer.is_running, 1);
	for (unsigned n = 0; n < STEPS; n++) {
		rig_append_frames(g, 4);
		(void)rig_read(g, &g->seats[0], SIZE_MAX);
		(void)rig_read(g, &g->seats[1], n % 3 == 2 ? 3 : SIZE_MAX);
		(void)log_reader_sync(g->seats[0].readers[0], log_sealed_lsn(g->logs[0]),
				      RIG_WAIT_MS);
	}
	killer.promise->is_over = true;
	(void)raise(SIGKILL);
}

static void check_promise(struct rig *g, const struct promise *p)
{
	uint64_t end;

	rig_open(g);
	end = log_end_lsn(g->logs[0]);
	assert_true(end >= p->end);
	for (size_t i = 0; i < 2; i++) {
		uint64_t done = log_reader_done_lsn(g->seats[i].readers[0]);
		uint64_t safe = done > p->durable ? done : p->durable;

		assert_true(done >= p->stored[i]);
		RIG_UNTIL(rig_read(g, &g->seats[i], SIZE_MAX) == 0 &&
			  seat_pending(g, &g->seats[i]) == 0);
		rig_check(g, &g->seats[i]);
		/* Nothing that was durable, and each record once. */
		assert_true(seat_lost(&g->seats[i]) == seat_get(&g->seats[i], SEAT_UNSYNCED));
		assert_true(seat_get(&g->seats[i], SEAT_UNSYNCED) <= end - safe);
		assert_true(seat_get(&g->seats[i], SEAT_DELIVERED) +
				    seat_get(&g->seats[i], SEAT_UNSYNCED) ==
			    end);
	}
	rig_append_frames(g, 2);
	for (size_t i = 0; i < 2; i++) {
		RIG_UNTIL(rig_read(g, &g->seats[i], SIZE_MAX) == 0);
		rig_check(g, &g->seats[i]);
	}
}

static void a_kill_at_each_call_takes_nothing_that_was_durable(void **state)
{
	struct promise *p =
		mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t settled = 0;

	(void)state;
	assert_true(p != MAP_FAILED);
	for (unsigned at = 1; !p->is_over; at++) {
		static struct rig g;
		int status;
		pid_t pid;

		memset(p, 0, sizeof(*p));
		rig_init(&g, SMALL);
		g.io.writev = killer_writev;
		g.io.sync = killer_sync;
		g.io.rename = killer_rename;
		killer.rig = &g;
		killer.promise = p;
		killer.at = (at + 1) / 2;
		killer.is_after = at % 2 == 0;
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			live_until_killed(&g);
		assert_true(waitpid(pid, &status, 0) == pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		check_promise(&g, p);
		settled = p->settled > settled ? p->settled : settled;
		assert_true(at < 2000);
		rig_fini(&g);
	}
	/* Most was passed over, and that is what was tried. */
	assert_true(settled > STEPS * 40 / 2);
	(void)munmap(p, sizeof(*p));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mode_reads_back_what_was_appended),
		cmocka_unit_test(a_log_in_memory_leaves_the_disk_alone),
		cmocka_unit_test(ten_thousand_exporters),
		cmocka_unit_test(two_hubs_on_one_directory_are_refused),
		cmocka_unit_test(sinks_come_and_go),
		cmocka_unit_test(workers_change),
		cmocka_unit_test(workers_that_left_nothing_leave_no_directory),
		cmocka_unit_test(what_a_sink_knows_to_be_delivered_is_not_read_again),
		cmocka_unit_test(what_was_passed_over_is_told_from_what_is_broken),
		cmocka_unit_test(a_kill_costs_what_was_not_durable_and_says_so),
		cmocka_unit_test(a_kill_after_a_kill_does_not_change_what_was_lost),
		cmocka_unit_test(a_restart_of_the_machine_goes_on_where_the_disk_ends),
		cmocka_unit_test(kills_at_any_moment),
		cmocka_unit_test(a_kill_at_each_call_takes_nothing_that_was_durable),
	};

	log_set_level(LOG_LEVEL_ERROR);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
