/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whenever a process ends within a rotation, and whatever fails in it, the next life of the sink
 * brings every record into exactly one complete file, and counts it once; a manifest that was torn,
 * changed, is another process's or of a newer version does no harm.
 * Method: the linker puts functions of this file before the system calls that change a directory, and
 * before what a log on disk answers (Makefile, WRAP).  A child runs the sink over a log and dies before its
 * n-th call, for every n; it is killed only, or it takes with it what was not synced: the data of files,
 * and names, all or every other one.  What the log had not synced comes again under the same LSNs as
 * other records.  Then a second life, which may die too, and a last one; files are lines of JSON, read here.
 */
#include "test/unit/sink_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "sink/file.h"
#include "sink/file_conf.h"
#include "sink/file_rotate.h"

#define RECORDS 24 /* of each log */
#define NEVER 1000000
#define OPS_MAX 256
#define DIED 9
#define POLLS_MAX 400

enum loss { KEEPS_ALL, LOSES_ALL, LOSES_EVEN, LOSES_ODD, LOSS_COUNT };
enum store { STORES_AT_ONCE, STORES_NEVER, STORES_SOMETIMES, STORE_COUNT };

/* What survives a life: the disk, and how the next fault is to be. */
static struct {
	int step;
	int die_at;
	enum loss loss;
	int fail_from; /* calls that fail */
	int fail_count;
	int fail_errno;
	bool is_durable;
	enum store store;
	int sync_refusals; /* the log is not that far, so many times */
	int stored_calls;
	uint64_t durable[FIXTURE_LOGS];
	uint64_t committed[FIXTURE_LOGS];
	uint64_t stored[FIXTURE_LOGS];
	uint64_t stored_delivered;
	uint64_t stored_octets;
	uint64_t content[FIXTURE_LOGS][RECORDS]; /* number of the record at each LSN */
	uint64_t numbers;
	int64_t clock_ms;
} *disk;

enum op_kind { OP_CREATE, OP_RENAME, OP_UNLINK };
struct op {
	enum op_kind kind;
	char from[300];
	char to[300];
};

static char dir[] = "/tmp/test_manifest_XXXXXX";
static char grave[64];
static char flows[64];
static int flows_fd = -1;
static struct op ops[OPS_MAX]; /* names that no directory was synced for */
static size_t op_count;
static ino_t dirty[OPS_MAX];
static size_t dirty_count;
static struct fixture fix;
static struct sink_env env;
static struct log_reader *readers[FIXTURE_LOGS];
static void *self;

int __real_openat(int dir_fd, const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *octets, size_t bytes);
int __real_fsync(int fd);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __real_unlinkat(int dir_fd, const char *path, int flags);
int64_t __real_clock_mono_ms(void);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *octets, size_t bytes);
int __wrap_fsync(int fd);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_unlinkat(int dir_fd, const char *path, int flags);
int64_t __wrap_clock_mono_ms(void);
bool __wrap_log_hub_is_durable(const struct log_hub *hub);
enum err __wrap_log_reader_sync(struct log_reader *r, uint64_t lsn, int timeout_ms);
uint64_t __wrap_log_reader_stored_lsn(const struct log_reader *r);
void __real_log_reader_committed(struct log_reader *r, uint64_t lsn);
void __wrap_log_reader_committed(struct log_reader *r, uint64_t lsn);

int64_t __wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + (disk == NULL ? 0 : disk->clock_ms);
}

/* The disk as a loss of power may leave it. */
static void undo(const struct op *op)
{
	char at[512];

	if (op->kind == OP_CREATE)
		(void)__real_unlinkat(flows_fd, op->from, 0);
	else if (op->kind == OP_RENAME)
		(void)__real_renameat2(flows_fd, op->to, flows_fd, op->from, RENAME_NOREPLACE);
	if (op->kind != OP_UNLINK)
		return;
	(void)snprintf(at, sizeof(at), "%s/%s", grave, op->to);
	(void)__real_renameat2(AT_FDCWD, at, flows_fd, op->from, RENAME_NOREPLACE);
}

static void lose_data(const char *name)
{
	struct stat st;
	int fd;

	if (fstatat(flows_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	for (size_t i = 0; i < dirty_count; i++) {
		if (dirty[i] != st.st_ino)
			continue;
		fd = __real_openat(flows_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);
		(void)close(fd);
	}
}

static void die(void)
{
	if (disk->loss != KEEPS_ALL) {
		for (size_t i = 0; i < op_count; i++) {
			lose_data(ops[i].from);
			lose_data(ops[i].to);
		}
		for (size_t i = op_count; i > 0; i--) {
			if (disk->loss == LOSES_ALL || (i % 2 == 0) == (disk->loss == LOSES_EVEN))
				undo(&ops[i - 1]);
		}
	}
	_exit(DIED);
}

/* Before each call that changes something; true when it is to fail. */
static bool step(void)
{
	int n = disk->step++;

	if (n == disk->die_at)
		die();
	errno = disk->fail_errno;
	return n >= disk->fail_from && n < disk->fail_from + disk->fail_count;
}

static void note(enum op_kind kind, const char *from, const char *to)
{
	if (op_count == OPS_MAX)
		_exit(1);
	ops[op_count].kind = kind;
	(void)snprintf(ops[op_count].from, sizeof(ops[0].from), "%s", from);
	(void)snprintf(ops[op_count].to, sizeof(ops[0].to), "%s", to);
	op_count++;
}

int __wrap_openat(int dir_fd, const char *path, int flags, ...)
{
	int fd;

	if ((flags & O_CREAT) == 0)
		return __real_openat(dir_fd, path, flags);
	if (step())
		return -1;
	fd = __real_openat(dir_fd, path, flags, 0666);
	if (fd >= 0)
		note(OP_CREATE, path, "");
	return fd;
}

ssize_t __wrap_write(int fd, const void *octets, size_t bytes)
{
	struct stat st;

	if (disk == NULL || flows_fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || fd <= 2)
		return __real_write(fd, octets, bytes);
	if (dirty_count == OPS_MAX)
		_exit(1);
	dirty[dirty_count++] = st.st_ino;
	if (disk->step == disk->die_at) /* torn */
		(void)__real_write(fd, octets, bytes / 2);
	return step() ? -1 : __real_write(fd, octets, bytes);
}

int __wrap_fsync(int fd)
{
	struct stat st;
	size_t kept = 0;

	if (step())
		return -1;
	if (fstat(fd, &st) != 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		op_count = 0;
	for (size_t i = 0; i < dirty_count; i++) {
		if (dirty[i] != st.st_ino)
			dirty[kept++] = dirty[i];
	}
	dirty_count = kept;
	return 0;
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	int rc;

	if (step())
		return -1;
	rc = __real_renameat2(from_fd, from, to_fd, to, flags);
	if (rc == 0)
		note(OP_RENAME, from, to);
	return rc;
}

int __wrap_unlinkat(int dir_fd, const char *path, int flags)
{
	static unsigned buried;
	char name[64];
	char at[160];
	int rc;

	(void)flags;
	if (step())
		return -1;
	(void)snprintf(name, sizeof(name), "%d-%u", getpid(), buried++);
	(void)snprintf(at, sizeof(at), "%s/%s", grave, name);
	rc = __real_renameat2(dir_fd, path, AT_FDCWD, at, 0);
	if (rc == 0)
		note(OP_UNLINK, path, name);
	return rc;
}

bool __wrap_log_hub_is_durable(const struct log_hub *hub)
{
	(void)hub;
	return disk->is_durable;
}

enum err __wrap_log_reader_sync(struct log_reader *r, uint64_t lsn, int timeout_ms)
{
	unsigned k = log_worker(log_reader_log(r));

	assert_in_range(timeout_ms, 0, 100);
	if (disk->sync_refusals-- > 0)
		return ERR_AGAIN;
	if (disk->durable[k] < lsn)
		disk->durable[k] = lsn;
	return ERR_OK;
}

/* The cursor and its counters, as they were after a poll. */
static void store(void)
{
	for (unsigned k = 0; k < FIXTURE_LOGS; k++) {
		disk->stored[k] = log_reader_done_lsn(readers[k]);
		if (disk->durable[k] < disk->stored[k])
			fail_msg("done before it was durable");
	}
	disk->stored_delivered = stat_get(env.stat, SINK_STAT_DELIVERED);
	disk->stored_octets = stat_get(env.stat, SINK_STAT_DELIVERED_OCTETS);
}

uint64_t __wrap_log_reader_stored_lsn(const struct log_reader *r)
{
	unsigned k = log_worker(log_reader_log(r));

	return disk->is_durable ? disk->stored[k] : log_reader_done_lsn(r);
}

void __wrap_log_reader_committed(struct log_reader *r, uint64_t lsn)
{
	unsigned k = log_worker(log_reader_log(r));

	assert_true(disk->is_durable);
	assert_true(lsn <= disk->durable[k]);
	if (disk->committed[k] < lsn)
		disk->committed[k] = lsn;
	__real_log_reader_committed(r, lsn);
}

/* A place of its own for each case, and a log in which nothing is durable. */
static void fresh(void)
{
	static unsigned n;
	int64_t clock_ms = disk->clock_ms;

	(void)snprintf(flows, sizeof(flows), "%s/%u", dir, n++);
	memset(disk, 0, sizeof(*disk));
	disk->clock_ms = clock_ms;
	disk->die_at = NEVER;
	disk->fail_from = NEVER;
	disk->is_durable = true;
	op_count = 0;
	dirty_count = 0;
}

static void make_flows(void)
{
	if (mkdir(flows, 0700) != 0 && errno != EEXIST)
		fail_msg("%s: %s", flows, strerror(errno));
	if (flows_fd >= 0)
		(void)close(flows_fd);
	flows_fd = open(flows, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(flows_fd >= 0);
}

static enum err life_open(struct why *why)
{
	char path[128];
	static struct file_options options;

	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	memset(&env, 0, sizeof(env));
	env.name = "test";
	env.hub = fix.hub;
	env.readers = readers;
	env.reader_count = FIXTURE_LOGS;
	assert_int_equal(stat_set_new(sink_stat_descs, SINK_STAT_COUNT, &env.stat), ERR_OK);
	stat_add(env.stat, SINK_STAT_DELIVERED, disk->stored_delivered);
	stat_add(env.stat, SINK_STAT_DELIVERED_OCTETS, disk->stored_octets);
	for (unsigned k = 0; k < FIXTURE_LOGS; k++) {
		assert_int_equal(log_reader_open(fix.logs[k], "test", LOG_FROM_OLDEST, why,
						 &readers[k]),
				 ERR_OK);
		__real_log_reader_committed(readers[k], disk->stored[k]);
	}
	(void)snprintf(path, sizeof(path),
		       "path = \"%s\"; format = \"json\"; codec = \"none\"; block_bytes = \"4K\";",
		       flows);
	memset(&options, 0, sizeof(options));
	assert_int_equal(
		conf_load_text(file_conf_options, path, &options, sizeof(options), why), ERR_OK);
	fix.ops = &sink_file;
	fix.conf = malloc(sizeof(options));
	assert_non_null(fix.conf);
	memcpy(fix.conf, &options, sizeof(options));
	return sink_file.open(fix.conf, &env, why, &self);
}

static void life_close(void)
{
	if (self != NULL)
		sink_file.close(self);
	self = NULL;
	for (unsigned k = 0; k < FIXTURE_LOGS; k++)
		log_reader_close(readers[k]);
	stat_set_free(env.stat);
	fixture_close(&fix);
}

/* Every log up to `end`: what was durable is there again, the rest are other records. */
static void fill(uint64_t end)
{
	for (unsigned k = 0; k < FIXTURE_LOGS; k++) {
		for (uint64_t lsn = log_end_lsn(fix.logs[k]); lsn < end; lsn++) {
			if (lsn >= disk->durable[k])
				disk->content[k][lsn] = disk->numbers++;
			fix.number = disk->content[k][lsn];
			fixture_append(&fix, k, 1, 0);
		}
	}
	fixture_seal(&fix);
}

static bool is_drained(void)
{
	for (unsigned k = 0; k < FIXTURE_LOGS; k++) {
		if (log_reader_done_lsn(readers[k]) < log_sealed_lsn(fix.logs[k]))
			return false;
	}
	return true;
}

static void poll_once(bool is_flushing)
{
	int sleep_ms = sink_file.poll(self, is_flushing);

	disk->clock_ms += sleep_ms;
	if (disk->store == STORES_AT_ONCE ||
	    (disk->store == STORES_SOMETIMES && disk->stored_calls++ % 5 == 4))
		store();
}

static bool drain(int polls)
{
	for (int i = 0; i < polls && !is_drained(); i++)
		poll_once(true);
	return is_drained();
}

/* Three rotations, the last one by finish. */
static void run_life(void)
{
	struct why why = { "" };

	make_flows();
	if (life_open(&why) != ERR_OK || sink_file.start(self, &why) != ERR_OK)
		fail_msg("%s", why.text);
	for (uint64_t end = RECORDS / 3; end < RECORDS; end += RECORDS / 3) {
		fill(end);
		assert_true(drain(POLLS_MAX));
		poll_once(false);
	}
	fill(RECORDS);
	poll_once(false);
	sink_file.finish(self);
}

/* How the life ended: DIED, or 0. */
static int child_life(int die_at)
{
	int status;
	pid_t pid;

	disk->step = 0;
	disk->die_at = die_at;
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		op_count = 0;
		dirty_count = 0;
		(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
		run_life();
		_exit(0);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != DIED)
		fail_msg("died at %d: exit %d", die_at, WEXITSTATUS(status));
	disk->die_at = NEVER;
	return WEXITSTATUS(status);
}

static void read_file(const char *name, unsigned *seen)
{
	static const char start[] = "{\"record_id\":\"";
	char *line = NULL;
	size_t room = 0;
	size_t lines = 0;
	int fd = openat(flows_fd, name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	assert_non_null(file);
	for (ssize_t n = getline(&line, &room, file); n > 0; n = getline(&line, &room, file)) {
		uint64_t number = 0;

		assert_true((size_t)n > sizeof(start) + 16 && line[n - 1] == '\n');
		assert_memory_equal(line, start, sizeof(start) - 1);
		for (unsigned i = 0; i < 8; i++) {
			char hex[3] = { line[sizeof(start) - 1 + 2 * i],
					line[sizeof(start) + 2 * i], 0 };

			number |= strtoull(hex, NULL, 16) << (8 * i);
		}
		assert_true(number < disk->numbers);
		seen[number]++;
		lines++;
	}
	assert_true(lines > 0);
	free(line);
	(void)fclose(file);
}

/* Each record of the log is there once, and no other one; nothing is left over. */
static void check_files(const char *when)
{
	unsigned *seen = calloc(disk->numbers + 1, sizeof(*seen));
	DIR *d = opendir(flows);
	uint64_t total = 0;

	assert_non_null(seen);
	assert_non_null(d);
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		if (strstr(e->d_name, ".tmp") != NULL || strstr(e->d_name, "manifest") != NULL)
			fail_msg("%s: %s is left", when, e->d_name);
		if (e->d_name[0] != '.')
			read_file(e->d_name, seen);
	}
	(void)closedir(d);
	for (unsigned k = 0; k < FIXTURE_LOGS; k++) {
		for (uint64_t lsn = 0; lsn < RECORDS; lsn++) {
			uint64_t number = disk->content[k][lsn];

			if (seen[number] != 1)
				fail_msg("%s: record %u:%llu: %u times", when, k,
					 (unsigned long long)lsn, seen[number]);
		}
	}
	for (uint64_t i = 0; i < disk->numbers; i++)
		total += seen[i];
	if (total != (uint64_t)FIXTURE_LOGS * RECORDS)
		fail_msg("%s: %llu records", when, (unsigned long long)total);
	free(seen);
}

static void last_life(const char *when)
{
	uint64_t octets;

	disk->store = STORES_AT_ONCE;
	disk->sync_refusals = 0;
	disk->fail_from = NEVER;
	run_life();
	poll_once(false);
	poll_once(false);
	octets = (uint64_t)FIXTURE_LOGS * RECORDS * fix.record_bytes;
	if (stat_get(env.stat, SINK_STAT_DELIVERED) != (uint64_t)FIXTURE_LOGS * RECORDS)
		fail_msg("%s: delivered %llu", when,
			 (unsigned long long)stat_get(env.stat, SINK_STAT_DELIVERED));
	if (fix.record_bytes > 0)
		assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED_OCTETS), octets);
	assert_int_equal(stat_get(env.stat, SINK_STAT_CORRUPT), 0);
	life_close();
	check_files(when);
}

static void a_life_that_dies_at_any_step(void **state)
{
	unsigned cases = 0;

	(void)state;
	for (int how = 0; how < (int)LOSS_COUNT * (int)STORE_COUNT; how++) {
		for (int at = 0, ended = DIED; ended == DIED; at++, cases++) {
			char when[96];

			fresh();
			disk->loss = (enum loss)(how % LOSS_COUNT);
			disk->store = (enum store)(how / LOSS_COUNT);
			disk->sync_refusals = 3;
			(void)snprintf(when, sizeof(when), "loss %d, store %d, step %d", how % 4,
				       how / 4, at);
			ended = child_life(at);
			last_life(when);
		}
	}
	assert_true(cases > 12 * 30);
}

static void two_lives_that_die(void **state)
{
	(void)state;
	for (int how = 0; how < (int)LOSS_COUNT; how++) {
		for (int first = 3; first < 36; first += 2) {
			for (int at = 0, ended = DIED; ended == DIED && at < 14; at++) {
				char when[96];

				fresh();
				disk->loss = (enum loss)how;
				disk->store = first % 3 == 0 ? STORES_SOMETIMES : STORES_NEVER;
				(void)snprintf(when, sizeof(when), "loss %d, steps %d and %d", how,
					       first, at);
				(void)child_life(first);
				ended = child_life(at);
				last_life(when);
			}
		}
	}
}

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR + 1);
	disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (disk == MAP_FAILED || mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(grave, sizeof(grave), "%s/grave", dir);
	return mkdir(grave, 0700);
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_life_that_dies_at_any_step),
		cmocka_unit_test(two_lives_that_die),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
