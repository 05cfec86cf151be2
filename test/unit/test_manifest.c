/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whenever a process ends within a rotation, and whatever fails in it, the next life of the sink
 * brings every record into exactly one complete file, and counts it once; a manifest that was torn,
 * changed, is another process's or of a newer version does no harm.
 * Method: the linker puts functions of this file before the system calls that change a directory, and
 * before what a log on disk answers (Makefile, WRAP).  A child runs the sink over a log and dies before its
 * n-th call, for every n; it is killed only, or it takes with it what was not synced: the data of files,
 * and names, all or every other one, and with the name of a directory all that is in it.  What the log had not synced comes again under the same LSNs as
 * other records.  Then a second life, which may die too, and a last one; files are lines of JSON, read here,
 * in one directory or in several, or Parquet files, of which as much is read here as is needed to find the
 * record_id of each row.
 */
#include "test/unit/sink_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "sink/file.h"
#include "sink/file_rotate.h"
#include "sink/parquet_sink.h"

#define RECORDS 24 /* of each log */
#define NEVER 1000000
#define OPS_MAX 256
#define DIED 9
#define POLLS_MAX 4000

enum loss { KEEPS_ALL, LOSES_ALL, LOSES_EVEN, LOSES_ODD };
/* In how many directories, of which format; or with fewer open files than directories. */
enum shape { FLAT_LINES, LINES_BELOW, PARQUET_BELOW, TOO_MANY_BELOW };
enum store { STORES_AT_ONCE, STORES_NEVER, STORES_SOMETIMES };

/* What survives a life: the disk, and how the next fault is to be. */
static struct {
	int step;
	int die_at;
	enum loss loss;
	enum shape shape;
	int fail_from; /* calls that fail */
	int fail_count;
	int fail_errno;
	bool is_durable;
	enum store store;
	int thefts;	   /* files that go just before they get their names */
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
	int tick_ms;	     /* what each look at the clock takes */
	unsigned late_every; /* record; 0: none */
} * disk;

enum op_kind { OP_CREATE, OP_RENAME, OP_UNLINK, OP_MKDIR };
struct op {
	enum op_kind kind;
	ino_t parent; /* the directory that has the name */
	char from[300];
	char to[300];
};

static char dir[32] = "/dev/shm/test_manifest_XXXXXX"; /* thousands of lives */
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
int __wrap_openat(int dir_fd, const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *octets, size_t bytes);
int __wrap_fsync(int fd);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_unlinkat(int dir_fd, const char *path, int flags);
int __real_mkdirat(int dir_fd, const char *path, mode_t mode);
int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode);
int64_t __wrap_clock_mono_ms(void);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
bool __wrap_log_hub_is_durable(const struct log_hub *hub);
enum err __wrap_log_reader_sync(struct log_reader *r, uint64_t lsn, int timeout_ms);
uint64_t __wrap_log_reader_stored_lsn(const struct log_reader *r);
void __real_log_reader_committed(struct log_reader *r, uint64_t lsn, const uint64_t *lost);
void __wrap_log_reader_committed(struct log_reader *r, uint64_t lsn, const uint64_t *lost);

/* Time goes on when the sink sleeps, and not by what else this machine does. */
int64_t __wrap_clock_mono_ms(void)
{
	return disk == NULL ? 0 : (disk->clock_ms += disk->tick_ms);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	(void)left;
	disk->clock_ms += time->tv_sec * 1000 + time->tv_nsec / 1000000;
	return 0;
}

/* The disk as a loss of power may leave it. */
static void undo(const struct op *op)
{
	char at[512];

	if (op->kind == OP_CREATE)
		(void)__real_unlinkat(flows_fd, op->from, 0);
	else if (op->kind == OP_RENAME)
		(void)__real_renameat2(flows_fd, op->to, flows_fd, op->from, RENAME_NOREPLACE);
	(void)snprintf(at, sizeof(at), "%s/lost-%d-%zu", grave, getpid(), (size_t)(op - ops));
	if (op->kind == OP_MKDIR)
		(void)__real_renameat2(flows_fd, op->from, AT_FDCWD, at, 0);
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

static ino_t parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[300] = ".";
	struct stat st;

	if (slash != NULL)
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	return fstatat(flows_fd, parent, &st, 0) == 0 ? st.st_ino : 0;
}

static void note(enum op_kind kind, const char *from, const char *to)
{
	if (op_count == OPS_MAX)
		_exit(1);
	ops[op_count].parent = parent_of(from);
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
	for (size_t i = 0; i < op_count; i++) {
		if (ops[i].parent != st.st_ino)
			ops[kept++] = ops[i];
	}
	op_count = kept;
	kept = 0;
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
	if (strstr(from, ".jsonl.tmp") != NULL && disk->thefts-- > 0)
		(void)__real_unlinkat(from_fd, from, 0);
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

int __wrap_mkdirat(int dir_fd, const char *path, mode_t mode)
{
	int rc;

	if (step())
		return -1;
	rc = __real_mkdirat(dir_fd, path, mode);
	if (rc == 0)
		note(OP_MKDIR, path, "");
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

void __wrap_log_reader_committed(struct log_reader *r, uint64_t lsn, const uint64_t *lost)
{
	unsigned k = log_worker(log_reader_log(r));

	assert_true(disk->is_durable);
	assert_true(lsn <= disk->durable[k]);
	if (disk->committed[k] < lsn)
		disk->committed[k] = lsn;
	__real_log_reader_committed(r, lsn, lost);
}

/* A place of its own for each case, and a log in which nothing is durable. */
static void fresh(void)
{
	static unsigned n;
	int64_t clock_ms = disk->clock_ms + 1000;

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
	static const uint64_t none[LOG_LOSS_COUNT];
	static const char *const shapes[] = {
		[FLAT_LINES] = "",
		[LINES_BELOW] = "pattern = \"h=%H/m=%M\";",
		[PARQUET_BELOW] =
			"pattern = \"h=%H/m=%M\"; codec = \"none\"; encoding = \"plain\";",
		[TOO_MANY_BELOW] = "pattern = \"h=%H/m=%M\"; max_open = 2;",
	};
	const struct sink_ops *type = disk->shape == PARQUET_BELOW ? &sink_parquet : &sink_file;
	char text[300];

	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	memset(&env, 0, sizeof(env));
	env.name = "test";
	env.route = 1;
	env.hub = fix.hub;
	env.readers = readers;
	env.reader_count = FIXTURE_LOGS;
	assert_int_equal(stat_set_new(sink_stat_descs, SINK_STAT_COUNT, &env.stat), ERR_OK);
	stat_add(env.stat, SINK_STAT_DELIVERED, disk->stored_delivered);
	stat_add(env.stat, SINK_STAT_DELIVERED_OCTETS, disk->stored_octets);
	for (unsigned k = 0; k < FIXTURE_LOGS; k++) {
		assert_int_equal(
			log_reader_open(fix.logs[k], "test", LOG_FROM_OLDEST, why, &readers[k]),
			ERR_OK);
		__real_log_reader_committed(readers[k], disk->stored[k], none);
	}
	(void)snprintf(
		text, sizeof(text), "path = \"%s\"; %s %s", flows, shapes[disk->shape],
		type == &sink_parquet
			? ""
			: "format = \"json\"; codec = \"none\"; block_bytes = \"4K\"; rotate_s = 60;");
	fix.ops = type;
	fix.conf = calloc(1, type->conf_bytes);
	assert_non_null(fix.conf);
	assert_int_equal(conf_load_text(type->options, text, fix.conf, type->conf_bytes, why),
			 ERR_OK);
	env.fields = &fix.fields;
	return type->open(fix.conf, &env, why, &self);
}

static void life_close(void)
{
	if (self != NULL)
		fix.ops->close(self);
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
			fix.head.event_ms = fix.head.ingest_ms + (int64_t)(lsn % 3) * 60000 -
					    (int64_t)(lsn % 2) * 3600000;
			if (disk->late_every > 0 && lsn % disk->late_every == 0)
				fix.head.event_ms -= INT64_C(30) * 86400000;
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
	int sleep_ms = fix.ops->poll(self, is_flushing);

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
	if (life_open(&why) != ERR_OK || fix.ops->start(self, &why) != ERR_OK)
		fail_msg("%s", why.text);
	for (uint64_t end = RECORDS / 3; end < RECORDS; end += RECORDS / 3) {
		fill(end);
		assert_true(drain(POLLS_MAX));
		poll_once(false);
	}
	fill(RECORDS);
	poll_once(false);
	fix.ops->finish(self);
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

/* The first column, of few values: a page of record_ids, each behind its length, as they are. */
static void read_parquet(const char *name, unsigned *seen)
{
	static const char key[] = "sluice.records";
	const size_t unit = 4 + sizeof(fix.flow.record_id);
	uint8_t octets[200000];
	uint64_t rows;
	int fd = openat(flows_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd < 0 ? -1 : read(fd, octets, sizeof(octets));
	const uint8_t *at;

	(void)close(fd);
	assert_true(bytes > 12 && bytes < (ssize_t)sizeof(octets));
	assert_memory_equal(octets, "PAR1", 4);
	assert_memory_equal(octets + bytes - 4, "PAR1", 4);
	at = memmem(octets, (size_t)bytes, key, strlen(key));
	assert_non_null(at);
	rows = strtoull((const char *)at + strlen(key) + 2, NULL, 10);
	assert_true(rows > 0 && rows * unit < (size_t)bytes);
	for (size_t start = 4; start + rows * unit < (size_t)bytes; start++) {
		uint64_t found = 0;
		uint64_t number;

		for (; found < rows; found++) {
			const uint8_t *p = octets + start + found * unit;

			memcpy(&number, p + 4, sizeof(number));
			if (p[0] != unit - 4 || p[1] != 0 || p[2] != 0 || p[3] != 0 ||
			    number >= disk->numbers ||
			    memcmp(p + 12, fix.flow.record_id + 8, unit - 12) != 0)
				break;
		}
		for (uint64_t i = 0; found == rows && i < rows; i++) {
			memcpy(&number, octets + start + i * unit + 4, sizeof(number));
			seen[number]++;
		}
		if (found == rows)
			return;
	}
	fail_msg("%s: its rows were not found", name);
}

static unsigned *visit_seen;
static const char *visit_when;

static int visit(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	const char *name = path + strlen(flows) + 1;

	(void)st;
	if (kind != FTW_F)
		return 0;
	if (strstr(name, ".tmp") != NULL || strstr(name, "manifest") != NULL)
		fail_msg("%s: %s is left", visit_when, name);
	assert_int_equal(ftw->level, disk->shape == FLAT_LINES ? 1 : 3);
	if (strstr(name, ".parquet") != NULL)
		read_parquet(name, visit_seen);
	else if (path[ftw->base] != '.')
		read_file(name, visit_seen);
	return 0;
}

/* Each record of the log is there once, and no other one; nothing is left over. */
static void check_files(const char *when)
{
	unsigned *seen = calloc(disk->numbers + 1, sizeof(*seen));
	uint64_t total = 0;

	assert_non_null(seen);
	visit_seen = seen;
	visit_when = when;
	assert_int_equal(nftw(flows, visit, 8, FTW_PHYS), 0);
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
	static const struct {
		enum loss loss;
		enum store store;
		enum shape shape;
	} hows[] = {
		{ KEEPS_ALL, STORES_AT_ONCE, FLAT_LINES },
		{ KEEPS_ALL, STORES_NEVER, FLAT_LINES },
		{ KEEPS_ALL, STORES_SOMETIMES, FLAT_LINES },
		{ LOSES_ALL, STORES_AT_ONCE, FLAT_LINES },
		{ LOSES_ALL, STORES_NEVER, FLAT_LINES },
		{ LOSES_EVEN, STORES_NEVER, FLAT_LINES },
		{ LOSES_ODD, STORES_SOMETIMES, FLAT_LINES },
		{ LOSES_ALL, STORES_NEVER, LINES_BELOW },
		{ LOSES_ODD, STORES_AT_ONCE, LINES_BELOW },
		{ KEEPS_ALL, STORES_SOMETIMES, TOO_MANY_BELOW },
		{ LOSES_EVEN, STORES_NEVER, PARQUET_BELOW },
	};
	unsigned cases = 0;

	(void)state;
	for (size_t how = 0; how < sizeof(hows) / sizeof(hows[0]); how++) {
		int stride = hows[how].shape == FLAT_LINES ? 1 : 2; /* those take more calls */

		for (int at = 0, ended = DIED; ended == DIED; at += stride, cases++) {
			char when[96];

			fresh();
			disk->loss = hows[how].loss;
			disk->store = hows[how].store;
			disk->shape = hows[how].shape;
			disk->sync_refusals = 3;
			(void)snprintf(when, sizeof(when), "row %zu, step %d", how, at);
			ended = child_life(at);
			last_life(when);
		}
	}
	assert_true(cases > 30 * sizeof(hows) / sizeof(hows[0]));
}

static void two_lives_that_die(void **state)
{
	(void)state;
	for (int how = 0; how <= (int)LOSES_ALL; how++) {
		for (int first = 3; first < 36; first += 8) {
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

/* Every call fails once, or again and again until the process is killed; then it works. */
static void any_step_that_fails(void **state)
{
	static const struct {
		int error;
		int count;
		enum shape shape;
	} rows[] = { { ENOSPC, 1, FLAT_LINES },	    { EIO, 4, FLAT_LINES },
		     { EACCES, NEVER, FLAT_LINES }, { ENOSPC, 1, LINES_BELOW },
		     { EIO, 3, PARQUET_BELOW },	    { EACCES, NEVER, TOO_MANY_BELOW } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool is_flat = rows[i].shape == FLAT_LINES;

		for (int at = 0; at < (is_flat ? 34 : 80); at += is_flat ? 1 : 3) {
			char when[96];
			int ended;

			fresh();
			disk->shape = rows[i].shape;
			disk->store = at % 2 == 0 ? STORES_NEVER : STORES_AT_ONCE;
			disk->fail_from = at;
			disk->fail_count = rows[i].count;
			disk->fail_errno = rows[i].error;
			(void)snprintf(when, sizeof(when), "error %d at %d", rows[i].error, at);
			ended = child_life(rows[i].count == NEVER ? at + 6 : NEVER);
			if (at < 20)
				assert_int_equal(ended, rows[i].count == NEVER ? DIED : 0);
			last_life(when);
		}
	}
}

static bool status_says(const char *what)
{
	struct json j;
	bool has;

	json_init(&j, 4096);
	json_open_object(&j, NULL);
	fix.ops->status(self, &j);
	json_end(&j);
	has = strstr(j.text, what) != NULL;
	json_fini(&j);
	return has;
}

/* Each time of a failure is in status and counted, and the reason is said. */
static void a_rename_that_fails_is_waited_for(void **state)
{
	struct why why = { "" };
	unsigned tries = 0;

	(void)state;
	fresh();
	make_flows();
	assert_int_equal(life_open(&why), ERR_OK);
	assert_int_equal(fix.ops->start(self, &why), ERR_OK);
	fill(4);
	/* Create and write, sync; create and write, sync, rename, sync the directory; then the file. */
	disk->fail_from = disk->step + 8;
	disk->fail_count = 3;
	disk->fail_errno = EDQUOT;
	while (stat_get(env.stat, SINK_STAT_ERRORS) < 3 && tries++ < POLLS_MAX)
		poll_once(true);
	assert_true(status_says("\"state\":\"waiting\""));
	assert_true(status_says(strerror(EDQUOT)));
	assert_true(status_says("\"open_records\":8"));
	assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), 0);
	assert_int_equal(log_reader_next_lsn(readers[0]), 4); /* not read again: it is decided */
	assert_true(drain(POLLS_MAX));
	assert_int_equal(stat_get(env.stat, SINK_STAT_ERRORS), 3);
	assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), 8);
	assert_int_equal(stat_get(env.stat, SINK_STAT_ROTATIONS), 1);
	life_close();
}

/* Nothing was visible yet: the manifest is taken back, and the records are read again. */
static void a_file_that_somebody_removes(void **state)
{
	struct why why = { "" };

	(void)state;
	for (int at = 8; at < 11; at++) {
		fresh();
		disk->store = STORES_NEVER;
		disk->thefts = 2;
		make_flows();
		assert_int_equal(life_open(&why), ERR_OK);
		assert_int_equal(fix.ops->start(self, &why), ERR_OK);
		fill(4);
		/* At first it works, then taking it back fails: it stays decided until that works. */
		disk->fail_from = disk->step + (at == 8 ? NEVER : at);
		disk->fail_count = 1;
		disk->fail_errno = EIO;
		assert_true(drain(POLLS_MAX));
		assert_int_equal(stat_get(env.stat, SINK_STAT_ERRORS), 2);
		assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), 8);
		life_close();
		last_life("after a theft");
	}
}

/* Bounded: a sink whose cursor is not stored keeps some manifests, then waits. */
static void a_cursor_that_is_never_stored(void **state)
{
	struct why why = { "" };

	(void)state;
	fresh();
	disk->store = STORES_NEVER;
	make_flows();
	assert_int_equal(life_open(&why), ERR_OK);
	assert_int_equal(fix.ops->start(self, &why), ERR_OK);
	for (uint64_t end = 1; end <= FILE_KEPT_LIVE; end++) {
		fill(end);
		assert_true(drain(POLLS_MAX));
	}
	fill(FILE_KEPT_LIVE + 1);
	assert_false(drain(50));
	assert_int_equal(stat_get(env.stat, SINK_STAT_ROTATIONS), FILE_KEPT_LIVE);
	assert_true(status_says("\"manifests\":8"));
	disk->store = STORES_AT_ONCE;
	assert_true(drain(POLLS_MAX));
	assert_int_equal(stat_get(env.stat, SINK_STAT_ERRORS), 0);
	life_close();
	disk->store = STORES_AT_ONCE;
	last_life("after a full bound");
}

/* A process that dies once its manifest is there, before the files have their names. */
static void leave_manifest(void)
{
	fresh();
	disk->store = STORES_NEVER;
	make_flows();
	assert_int_equal(child_life(8), DIED);
}

static void find_name(const char *with, char out[300])
{
	DIR *d = opendir(flows);

	assert_non_null(d);
	out[0] = '\0';
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		if (strstr(e->d_name, with) != NULL)
			(void)snprintf(out, 300, "%s", e->d_name);
	}
	(void)closedir(d);
}

static bool has_name(const char *name)
{
	return faccessat(flows_fd, name, F_OK, 0) == 0;
}

static size_t read_manifest(const char *name, uint8_t octets[1024])
{
	int fd = __real_openat(flows_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, octets, 1024);

	assert_in_range(n, 100, 1000);
	(void)close(fd);
	return (size_t)n;
}

static void write_manifest(const char *name, const uint8_t *octets, size_t bytes)
{
	int fd = __real_openat(flows_fd, name, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(__real_write(fd, octets, bytes), bytes);
	(void)close(fd);
}

/* However long it takes to read what was there when it began, and whatever comes meanwhile. */
static void a_flush_makes_no_more_files_than_needed(void **state)
{
	struct why why = { "" };

	(void)state;
	fresh();
	make_flows();
	disk->store = STORES_AT_ONCE;
	assert_int_equal(life_open(&why), ERR_OK);
	assert_int_equal(fix.ops->start(self, &why), ERR_OK);
	for (uint64_t end = 1; end < RECORDS; end++)
		fill(end); /* a frame each */
	disk->tick_ms = 20;
	for (int i = 0; i < 3; i++)
		poll_once(true);
	assert_false(is_drained());
	fill(RECORDS);
	for (int i = 0; i < POLLS_MAX && stat_get(env.stat, SINK_STAT_ROTATIONS) == 0; i++)
		poll_once(true);
	for (unsigned k = 0; k < FIXTURE_LOGS; k++)
		assert_true(log_reader_done_lsn(readers[k]) >= RECORDS - 1);
	assert_int_equal(stat_get(env.stat, SINK_STAT_ROTATIONS), 1);
	disk->tick_ms = 0;
	assert_true(drain(POLLS_MAX));
	life_close();
	check_files("flushed");
}

/* Cut or changed anywhere, it is put aside and said, and its records come from the log. */
static void a_manifest_that_is_torn_or_changed(void **state)
{
	(void)state;
	for (int how = 0; how < 4; how++) {
		struct why why = { "" };
		char name[300];
		char bad[300];
		uint8_t octets[1024];
		size_t bytes;

		leave_manifest();
		find_name(".test.manifest-", name);
		bytes = read_manifest(name, octets);
		octets[how == 0 ? 0 : how == 1 ? bytes / 2 : bytes - 1] ^= 1;
		write_manifest(name, octets, how < 3 ? bytes : 0);
		assert_int_equal(life_open(&why), ERR_OK);
		find_name("bad-manifest", bad);
		assert_true(bad[0] != '\0');
		assert_false(has_name(name));
		assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), 0);
		life_close();
		assert_int_equal(__real_unlinkat(flows_fd, bad, 0), 0);
		last_life("changed");
	}
}

/* Numbers of manifests begin anew with a life, so that those that were put aside may have the same. */
static void a_manifest_that_is_changed_again_and_again(void **state)
{
	(void)state;
	fresh();
	make_flows();
	disk->store = STORES_AT_ONCE;
	for (int i = 0; i < 3; i++) {
		struct why why = { "" };

		write_manifest(".test.manifest-00000000000000000001", (const uint8_t *)"x", 1);
		assert_int_equal(life_open(&why), ERR_OK);
		assert_int_equal(fix.ops->start(self, &why), ERR_OK);
		assert_false(has_name(".test.manifest-00000000000000000001"));
		life_close();
	}
	assert_int_equal(__real_unlinkat(flows_fd, ".test.bad-manifest-00000000000000000001", 0),
			 0);
	assert_int_equal(__real_unlinkat(flows_fd, ".test.bad-manifest-00000000000000000001-1", 0),
			 0);
	assert_int_equal(__real_unlinkat(flows_fd, ".test.bad-manifest-00000000000000000001-2", 0),
			 0);
	last_life("after three that were changed");
}

/* A directory, or a link that leads elsewhere, by the name of one. */
static void a_manifest_that_is_no_file(void **state)
{
	struct why why = { "" };
	char bad[300];

	(void)state;
	fresh();
	make_flows();
	disk->store = STORES_AT_ONCE;
	assert_int_equal(__real_mkdirat(flows_fd, ".test.manifest-00000000000000000001", 0700), 0);
	assert_int_equal(life_open(&why), ERR_OK);
	assert_false(has_name(".test.manifest-00000000000000000001"));
	life_close();
	find_name("bad-manifest", bad);
	assert_int_equal(__real_unlinkat(flows_fd, bad, AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/dev/zero", flows_fd, ".test.manifest-00000000000000000002"),
			 0);
	assert_int_equal(life_open(&why), ERR_OK);
	life_close();
	find_name("bad-manifest", bad);
	assert_int_equal(__real_unlinkat(flows_fd, bad, 0), 0);
	last_life("after what was no file");
}

static void a_manifest_of_a_newer_version(void **state)
{
	struct why why = { "" };
	uint8_t octets[1024];
	char name[300];
	char tmp[300];
	size_t bytes;
	uint32_t crc;

	(void)state;
	leave_manifest();
	find_name(".test.manifest-", name);
	find_name(".jsonl.tmp", tmp);
	assert_true(tmp[0] != '\0');
	bytes = read_manifest(name, octets);
	octets[5] = 3;
	crc = __builtin_bswap32(crc32c(0, octets, bytes - 4));
	memcpy(octets + bytes - 4, &crc, 4);
	write_manifest(name, octets, bytes);
	assert_int_equal(life_open(&why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why.text, name));
	assert_non_null(strstr(why.text, "version 3"));
	life_close();
	assert_true(has_name(name) && has_name(tmp));
	octets[5] = 2;
	crc = __builtin_bswap32(crc32c(0, octets, bytes - 4));
	memcpy(octets + bytes - 4, &crc, 4);
	write_manifest(name, octets, bytes);
	last_life("back to our version");
}

/* One of version 1 does not know how many records were late, and that is all. */
static void a_manifest_of_an_older_version(void **state)
{
	struct why why = { "" };
	uint8_t octets[1024];
	char name[300];
	size_t bytes;
	size_t late_at;
	uint32_t crc;

	(void)state;
	leave_manifest();
	find_name(".test.manifest-", name);
	bytes = read_manifest(name, octets);
	for (late_at = bytes; memcmp(octets + late_at - 5, ".test", 5) != 0; late_at--)
		assert_true(late_at > 5);
	late_at -= 5 + 4 + 8; /* behind it two lengths and both names */
	memmove(octets + late_at, octets + late_at + 8, bytes - late_at - 8);
	bytes -= 8;
	octets[5] = 1;
	crc = __builtin_bswap32(crc32c(0, octets, bytes - 4));
	memcpy(octets + bytes - 4, &crc, 4);
	write_manifest(name, octets, bytes);
	assert_int_equal(life_open(&why), ERR_OK);
	assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), FIXTURE_LOGS * RECORDS / 3);
	assert_false(has_name(".test.bad-manifest-00000000000000000001"));
	life_close();
	last_life("from an older version");
}

/* Whoever completes a file counts what is in it. */
static void late_records_of_a_life_that_died(void **state)
{
	unsigned found = 0;
	int how = DIED;

	(void)state;
	for (int die_at = 1; how == DIED; die_at += 3) {
		struct why why = { "" };
		uint64_t delivered;

		fresh();
		disk->store = STORES_NEVER;
		disk->shape = LINES_BELOW;
		disk->late_every = 4;
		make_flows();
		how = child_life(die_at);
		assert_int_equal(life_open(&why), ERR_OK);
		delivered = stat_get(env.stat, SINK_STAT_DELIVERED);
		assert_int_equal(stat_get(env.stat, SINK_STAT_LATE), delivered / 4);
		found += delivered > 0;
		life_close();
	}
	assert_true(found > 3);
}

/* One that another process holds stays, with what it speaks of; so does one of another sink. */
static void manifests_of_others(void **state)
{
	struct why why = { "" };
	char name[300];
	char tmp[300];
	int fd;

	(void)state;
	leave_manifest();
	find_name(".test.manifest-", name);
	find_name(".jsonl.tmp", tmp);
	write_manifest(".test.b.manifest-00000000000000000001", (const uint8_t *)"x", 1);
	write_manifest(".xtest.manifest-00000000000000000001", (const uint8_t *)"x", 1);
	write_manifest(".test.manifest-0000000000000000001", (const uint8_t *)"x", 1);
	write_manifest(".test.manifest-99999999999999999999", (const uint8_t *)"x", 1);
	fd = __real_openat(flows_fd, name, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(life_open(&why), ERR_OK);
	assert_int_equal(fix.ops->start(self, &why), ERR_OK);
	life_close();
	assert_true(has_name(name) && has_name(tmp));
	(void)close(fd);
	assert_true(has_name(".test.b.manifest-00000000000000000001"));
	assert_true(has_name(".xtest.manifest-00000000000000000001"));
	assert_true(has_name(".test.manifest-0000000000000000001"));
	assert_true(has_name(".test.manifest-99999999999999999999"));
	assert_int_equal(__real_unlinkat(flows_fd, ".test.b.manifest-00000000000000000001", 0), 0);
	assert_int_equal(__real_unlinkat(flows_fd, ".xtest.manifest-00000000000000000001", 0), 0);
	assert_int_equal(__real_unlinkat(flows_fd, ".test.manifest-0000000000000000001", 0), 0);
	assert_int_equal(__real_unlinkat(flows_fd, ".test.manifest-99999999999999999999", 0), 0);
	last_life("after others");
}

/* A log in memory finishes it, and leaves it to the service, whose log it speaks of. */
static void a_log_in_memory_commits_nothing(void **state)
{
	struct why why = { "" };
	char name[300];
	char tmp[300];

	(void)state;
	leave_manifest();
	find_name(".test.manifest-", name);
	find_name(".jsonl.tmp", tmp);
	disk->is_durable = false;
	assert_int_equal(life_open(&why), ERR_OK);
	assert_false(has_name(tmp));
	assert_true(has_name(name));
	assert_int_equal(log_reader_done_lsn(readers[0]), 0);
	assert_int_equal(log_end_lsn(fix.logs[0]), 0);
	assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), 0);
	life_close();
	assert_true(has_name(name));
	disk->is_durable = true;
	last_life("after a log in memory");
	/* And one that a log in memory left says nothing to a log on disk. */
	fresh();
	make_flows();
	disk->is_durable = false;
	assert_int_equal(child_life(8), DIED);
	find_name(".test.manifest-", name);
	assert_true(name[0] != '\0');
	disk->is_durable = true;
	assert_int_equal(life_open(&why), ERR_OK);
	assert_false(has_name(name));
	assert_int_equal(log_end_lsn(fix.logs[0]), 0);
	life_close();
}

/* The cursor's last place was lost, or it stands in the middle: the manifest's end counts. */
static void a_cursor_that_is_not_at_the_beginning(void **state)
{
	struct why why = { "" };

	(void)state;
	for (uint64_t at = 0; at <= RECORDS / 3 + 2; at++) {
		leave_manifest();
		disk->stored[0] = at;
		disk->stored_delivered = at;
		assert_int_equal(life_open(&why), ERR_OK);
		assert_int_equal(log_reader_done_lsn(readers[0]),
				 at > RECORDS / 3 ? at : RECORDS / 3);
		assert_int_equal(log_reader_done_lsn(readers[1]), RECORDS / 3);
		assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED),
				 RECORDS / 3 + (at > RECORDS / 3 ? at : RECORDS / 3));
		life_close();
	}
}

/* The directory was not there at open, so that the log could not be told: its records are passed over. */
static void a_directory_that_comes_late(void **state)
{
	struct why why = { "" };
	char away[96];

	(void)state;
	leave_manifest();
	(void)snprintf(away, sizeof(away), "%s.away", flows);
	assert_int_equal(rename(flows, away), 0);
	disk->store = STORES_AT_ONCE;
	assert_int_equal(life_open(&why), ERR_OK);
	fill(RECORDS);
	assert_int_equal(rename(away, flows), 0);
	assert_int_equal(fix.ops->start(self, &why), ERR_OK);
	assert_true(drain(POLLS_MAX));
	poll_once(false);
	poll_once(false);
	assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), FIXTURE_LOGS * RECORDS);
	life_close();
	check_files("late");
}

/* More files than one, in directories below, as one rotation: all of them or none. */
static const char *const parts[] = { "test-20260131T123456.789Z-000001.avro",
				     "day=1/test-20260131T123456.789Z-000002.avro",
				     "day=1/test-20260131T123456.789Z-000003.avro",
				     "day=2/hour=0/test-20260131T123456.789Z-000004.avro" };
#define PARTS (sizeof(parts) / sizeof(parts[0]))

/* As the sink names it while it is written. */
static void unfinished(const char *name, char *out, size_t bytes)
{
	const char *slash = strrchr(name, '/');
	int below = slash == NULL ? 0 : (int)(slash - name) + 1;

	(void)snprintf(out, bytes, "%.*s.%.100s.tmp", below, name, name + below);
}

static void make_part(const char *name, struct file_out *out)
{
	memset(out, 0, sizeof(*out));
	(void)snprintf(out->name, sizeof(out->name), "%s", name);
	unfinished(name, out->tmp, sizeof(out->tmp));
	out->fd = __real_openat(flows_fd, out->tmp, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(out->fd >= 0);
	assert_int_equal(flock(out->fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(file_out_write(out, "part", 4), ERR_OK);
}

static void rotate_parts(void)
{
	struct file_manifest_log log = { .worker = 1, .end = 5, .delivered = 5 };
	struct file_out outs[PARTS];
	struct file_rotate rotate;
	struct file_dir d;

	file_dir_init(&d, "test", ".avro");
	assert_int_equal(file_dir_open(&d, flows), ERR_OK);
	assert_int_equal(file_rotate_init(&rotate, &env), ERR_OK);
	assert_int_equal(file_rotate_begin(&rotate, &d), ERR_OK);
	assert_int_equal(file_rotate_add_log(&rotate, &log), ERR_OK);
	for (size_t i = 0; i < PARTS; i++) {
		make_part(parts[i], &outs[i]);
		assert_int_equal(file_rotate_add_file(&rotate, &outs[i], 1, 0), ERR_OK);
	}
	disk->step = 0;
	assert_int_equal(file_rotate_step(&rotate), ERR_OK);
	_exit(0);
}

static void several_files_are_complete_together(void **state)
{
	bool has_both[2] = { false, false };
	struct why why = { "" };

	(void)state;
	for (int at = 0, status = DIED << 8; WIFEXITED(status) && WEXITSTATUS(status) == DIED;
	     at++) {
		size_t complete = 0;
		pid_t pid;

		fresh();
		disk->store = STORES_NEVER;
		disk->die_at = at;
		make_flows();
		assert_int_equal(__real_mkdirat(flows_fd, "day=1", 0700), 0);
		assert_int_equal(__real_mkdirat(flows_fd, "day=2", 0700), 0);
		assert_int_equal(__real_mkdirat(flows_fd, "day=2/hour=0", 0700), 0);
		(void)fflush(NULL);
		pid = fork();
		if (pid == 0) {
			(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
			disk->die_at = NEVER;
			if (life_open(&why) != ERR_OK)
				_exit(1);
			fill(5);
			disk->die_at = at;
			disk->step = -1000;
			rotate_parts();
		}
		assert_true(waitpid(pid, &status, 0) == pid);
		disk->die_at = NEVER;
		assert_int_equal(life_open(&why), ERR_OK);
		for (size_t i = 0; i < PARTS; i++)
			complete += has_name(parts[i]);
		assert_true(complete == 0 || complete == PARTS);
		assert_int_equal(log_reader_done_lsn(readers[1]), complete == 0 ? 0 : 5);
		assert_int_equal(stat_get(env.stat, SINK_STAT_DELIVERED), complete == 0 ? 0 : 5);
		has_both[complete == 0] = true;
		life_close();
	}
	assert_true(has_both[0] && has_both[1]);
}

static void make_manifest(struct file_manifest *m)
{
	const struct file_manifest_log logs[] = { { 3, 10, 30, 15, 999, 5 }, { 0, 0, 0, 0, 0, 0 } };

	file_manifest_init(m);
	m->is_durable = true;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(file_manifest_add_log(m, &logs[i]), ERR_OK);
	for (size_t i = 0; i < PARTS; i++) {
		char tmp[300];

		unfinished(parts[i], tmp, sizeof(tmp));
		assert_int_equal(file_manifest_add_file(m, tmp, parts[i], 7 * i, i, i / 2), ERR_OK);
	}
}

static void what_is_written_is_read(void **state)
{
	struct file_manifest m;
	struct file_manifest back;
	struct file_dir d;
	uint8_t *octets;
	size_t bytes;

	(void)state;
	file_dir_init(&d, "test", ".avro");
	make_manifest(&m);
	assert_int_equal(file_manifest_encode(&m, &octets, &bytes), ERR_OK);
	assert_int_equal(file_manifest_decode(octets, bytes, &d, &back, NULL), ERR_OK);
	assert_true(back.is_durable);
	assert_int_equal(back.log_count, m.log_count);
	assert_int_equal(back.file_count, m.file_count);
	for (size_t i = 0; i < m.log_count; i++) {
		assert_int_equal(back.logs[i].worker, m.logs[i].worker);
		assert_int_equal(back.logs[i].first, m.logs[i].first);
		assert_int_equal(back.logs[i].end, m.logs[i].end);
		assert_int_equal(back.logs[i].delivered, m.logs[i].delivered);
		assert_int_equal(back.logs[i].octets, m.logs[i].octets);
		assert_int_equal(back.logs[i].corrupt, m.logs[i].corrupt);
	}
	for (size_t i = 0; i < m.file_count; i++) {
		assert_string_equal(back.files[i].tmp, m.files[i].tmp);
		assert_string_equal(back.files[i].name, m.files[i].name);
		assert_int_equal(back.files[i].octets, m.files[i].octets);
		assert_int_equal(back.files[i].records, m.files[i].records);
		assert_int_equal(back.files[i].late, m.files[i].late);
	}
	file_manifest_fini(&back);
	for (size_t n = 0; n < bytes; n++) {
		assert_int_equal(file_manifest_decode(octets, n, &d, &back, NULL), ERR_FORMAT);
		for (unsigned bit = 0; bit < 8; bit++) {
			octets[n] ^= (uint8_t)(1 << bit);
			assert_int_equal(file_manifest_decode(octets, bytes, &d, &back, NULL),
					 ERR_FORMAT);
			octets[n] ^= (uint8_t)(1 << bit);
		}
	}
	file_dir_init(&d, "other", ".avro");
	assert_int_equal(file_manifest_decode(octets, bytes, &d, &back, NULL), ERR_FORMAT);
	free(octets);
	file_manifest_fini(&m);
}

static void what_no_manifest_may_say(void **state)
{
#define STAMPED "test-20260131T123456.789Z-000001"
	static const char *const rows[][2] = {
		{ "." STAMPED ".avro.tmp", STAMPED ".avro" }, /* more late records than records */
		{ "../." STAMPED ".avro.tmp", STAMPED ".avro" },
		{ "." STAMPED ".avro.tmp", "../" STAMPED ".avro" },
		{ "." STAMPED ".avro.tmp", "a/../../" STAMPED ".avro" },
		{ "." STAMPED ".avro.tmp", "/tmp/" STAMPED ".avro" },
		{ "." STAMPED ".avro.tmp", "a//" STAMPED ".avro" },
		{ "." STAMPED ".avro.tmp", "./" STAMPED ".avro" },
		{ "." STAMPED ".avro.tmp", "a/.b/" STAMPED ".avro" },
		{ "." STAMPED ".avro.tmp", "passwd" },
		{ "." STAMPED ".avro.tmp", "" },
		{ "." STAMPED ".avro.tmp", "a/" },
		{ "." STAMPED ".avro.tmp", STAMPED ".avro.tmp" },
		{ STAMPED ".avro", STAMPED ".avro" },
		{ ".x" STAMPED ".avro.tmp", STAMPED ".avro" },
		{ ".flows.tmp", STAMPED ".avro" },
		{ STAMPED ".avro.tmp", STAMPED ".avro" },
	};
	static const struct file_manifest_log logs[] = {
		{ 0, 10, 9, 0, 0, 0 },
		{ 0, 0, 10, 11, 0, 0 },
		{ 0, 0, 10, 5, 0, 6 },
		{ 0, 0, 10, 5, 0, UINT64_MAX },
	};
	struct file_manifest back;
	struct file_dir d;

	(void)state;
	file_dir_init(&d, "test", ".avro");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) + sizeof(logs) / sizeof(logs[0]);
	     i++) {
		size_t log = i - sizeof(rows) / sizeof(rows[0]);
		struct file_manifest m;
		uint8_t *octets;
		size_t bytes;

		file_manifest_init(&m);
		if (i < sizeof(rows) / sizeof(rows[0]))
			assert_int_equal(file_manifest_add_file(&m, rows[i][0], rows[i][1], 1, 1,
								i == 0 ? 2 : 0),
					 ERR_OK);
		else
			assert_int_equal(file_manifest_add_log(&m, &logs[log]), ERR_OK);
		assert_int_equal(file_manifest_encode(&m, &octets, &bytes), ERR_OK);
		if (file_manifest_decode(octets, bytes, &d, &back, NULL) != ERR_FORMAT)
			fail_msg("row %zu was taken", i);
		free(octets);
		file_manifest_fini(&m);
	}
}

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR + 1);
	disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (access("/dev/shm", W_OK) != 0)
		(void)snprintf(dir, sizeof(dir), "/tmp/test_manifest_XXXXXX");
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
		cmocka_unit_test(any_step_that_fails),
		cmocka_unit_test(a_rename_that_fails_is_waited_for),
		cmocka_unit_test(a_file_that_somebody_removes),
		cmocka_unit_test(a_cursor_that_is_never_stored),
		cmocka_unit_test(a_flush_makes_no_more_files_than_needed),
		cmocka_unit_test(a_manifest_that_is_torn_or_changed),
		cmocka_unit_test(a_manifest_that_is_changed_again_and_again),
		cmocka_unit_test(a_manifest_that_is_no_file),
		cmocka_unit_test(a_manifest_of_a_newer_version),
		cmocka_unit_test(a_manifest_of_an_older_version),
		cmocka_unit_test(late_records_of_a_life_that_died),
		cmocka_unit_test(manifests_of_others),
		cmocka_unit_test(a_log_in_memory_commits_nothing),
		cmocka_unit_test(a_cursor_that_is_not_at_the_beginning),
		cmocka_unit_test(a_directory_that_comes_late),
		cmocka_unit_test(several_files_are_complete_together),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(what_no_manifest_may_say),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
