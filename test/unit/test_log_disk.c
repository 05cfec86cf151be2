/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever a power loss leaves of a log on disk, and whatever a disk does to it later, the log
 * opens; what was durable is there or is counted; nothing wrong is delivered; no LSN is given twice.
 * Method: lives of a log, one of them killed, one with syncs that fail, run on a table of system calls
 * that writes down each change.  From what was written down, directories are made as a power loss
 * after each call could leave them: names and octets that no sync covers are there, or not, or in
 * part, by blocks of 512.  Then a small log is damaged in every octet, cut at every length, and its
 * files lost, emptied, exchanged, doubled and replaced; and reads fail.  Each directory is opened, read,
 * written to, and opened again; the sinks' accounts must hold, and tell exactly what is lost.
 *
 * Of the many places a run tries some; SLUICE_TEST_ALL=1 tries each, SLUICE_TEST_SEED=N those of an earlier run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/thread.h"
#include "sink/log_format.h"
#include "test/unit/log_life.h"

#define BLOCK 512u
#define FILE_MOST (160u << 10)
#define OPS_MOST 6000
#define FILES_MOST 400
#define DIRS 3
#define NAMES_MOST 64
#define PENDING_MOST 400
#define NAME_BYTES 40
#define LIVES_MOST 8
#define TRIALS 3 /* of what a power loss leaves at one place */

static char top[64]; /* where this test keeps its directories */
static const char *const dir_names[DIRS] = { "", "cursors", "0" };

static char image[96];
static bool is_skipped(void)
{
	static int is_all = -1;

	if (is_all < 0)
		is_all = getenv("SLUICE_TEST_ALL") != NULL;
	return !is_all && below(8) != 0;
}

/* --- what is written down --- */

enum op_kind {
	OP_CREATE,
	OP_WRITE,
	OP_SIZE,
	OP_SYNC,
	OP_SYNC_FAILED,
	OP_SYNC_DIR,
	OP_RENAME,
	OP_REMOVE,
	OP_END
};
static const char *const op_names[] = { "create",   "write",  "size",	"sync", "sync_failed",
					"sync_dir", "rename", "remove", "end" };

struct op {
	enum op_kind kind;
	int dir;
	int file;
	char name[NAME_BYTES];
	char to[NAME_BYTES];
	/* OP_SIZE: the size; OP_SYNC_DIR of the top: the directories that are there;
	 * OP_SYNC_FAILED: nothing at all is written. */
	uint64_t at;
	size_t bytes;
	uint8_t *octets;
	/* What had been promised when the call was made. */
	uint64_t durable;
	uint64_t stored[SINKS];
};

struct name {
	char text[NAME_BYTES];
	int file;
};

struct names {
	struct name list[NAMES_MOST];
	size_t count;
};

static struct {
	pthread_mutex_t lock;
	struct op ops[OPS_MOST];
	size_t count;
	int file_count;
	struct names names[DIRS];
	const struct life *life; /* that is running */
	uint64_t begin;		 /* where it began */
	struct hole {
		uint64_t first;
		uint64_t end;
	} holes[LIVES_MOST]; /* lost by a kill before they were durable, and known to be */
	size_t hole_count;
	uint64_t durable;
	uint64_t stored[SINKS];
	bool is_dead;  /* the process was killed: nothing happens any more */
	bool is_dying; /* it will be, when it has written a cursor and not synced it */
	bool is_stuck; /* no sync works, and nothing is written */
	unsigned syncs_until_failure; /* 0: none fails */
	char dir[128];
} tape = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int find_name(const struct names *n, const char *text)
{
	for (size_t i = 0; i < n->count; i++) {
		if (strcmp(n->list[i].text, text) == 0)
			return (int)i;
	}
	return -1;
}

static void set_name(struct names *n, const char *text, int file)
{
	int i = find_name(n, text);

	CHECK(n->count < NAMES_MOST);
	if (i < 0)
		i = (int)n->count++;
	(void)snprintf(n->list[i].text, NAME_BYTES, "%s", text);
	n->list[i].file = file;
}

static void drop_name(struct names *n, const char *text)
{
	int i = find_name(n, text);

	if (i >= 0)
		n->list[i] = n->list[--n->count];
}

static void apply_name(struct names *n, const struct op *op)
{
	int i = find_name(n, op->name);

	if (op->kind == OP_CREATE) {
		set_name(n, op->name, op->file);
	} else if (op->kind == OP_REMOVE) {
		drop_name(n, op->name);
	} else if (op->kind == OP_RENAME && i >= 0) {
		set_name(n, op->to, n->list[i].file);
		drop_name(n, op->name);
	}
}

/* The path below the directory of the log; NULL when it is gone, or is elsewhere. */
static const char *below_top(int fd, char out[256])
{
	char link[64];
	size_t bytes = strlen(tape.dir);
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, 255);
	if (n < (ssize_t)bytes)
		return NULL;
	out[n] = '\0';
	if (memcmp(out, tape.dir, bytes) != 0 || strstr(out, " (deleted)") != NULL)
		return NULL;
	return out[bytes] == '/' ? out + bytes + 1 : out + bytes;
}

static int dir_of(int fd)
{
	char text[256];
	const char *path = below_top(fd, text);

	for (int i = 0; path != NULL && i < DIRS; i++) {
		if (strcmp(path, dir_names[i]) == 0)
			return i;
	}
	abort();
}

/* -1: it has no name any more. */
static int file_of(int fd)
{
	char text[256];
	const char *path = below_top(fd, text);
	const char *slash = path == NULL ? NULL : strchr(path, '/');
	int dir = 0;
	int i;

	if (path == NULL)
		return -1;
	for (int d = 1; slash != NULL && d < DIRS; d++) {
		if (strncmp(path, dir_names[d], (size_t)(slash - path)) == 0)
			dir = d;
	}
	i = find_name(&tape.names[dir], slash == NULL ? path : slash + 1);
	return i < 0 ? -1 : tape.names[dir].list[i].file;
}

static bool is_cursor_fd(int fd)
{
	char text[256];
	const char *path = below_top(fd, text);

	return path != NULL && strncmp(path, "cursors/", 8) == 0;
}

static struct op *note(enum op_kind kind, int dir, int file, const char *name)
{
	struct op *op = &tape.ops[tape.count++];
	const struct life *l = tape.life;

	CHECK(tape.count <= OPS_MOST && tape.file_count < FILES_MOST);
	for (size_t i = 0; l != NULL && i < SINKS; i++) {
		uint64_t stored = log_reader_stored_lsn(l->readers[i]);

		tape.stored[i] = stored > tape.stored[i] ? stored : tape.stored[i];
	}
	/* What a kill took may get its numbers anew when a power loss comes before anything else. */
	if (l != NULL && log_durable_lsn(l->log) > tape.begin)
		tape.durable = log_durable_lsn(l->log);
	*op = (struct op){ .kind = kind, .dir = dir, .file = file, .durable = tape.durable };
	memcpy(op->stored, tape.stored, sizeof(op->stored));
	(void)snprintf(op->name, sizeof(op->name), "%s", name);
	return op;
}

/* --- the table of calls --- */

static bool enter(void)
{
	(void)pthread_mutex_lock(&tape.lock);
	if (!tape.is_dead)
		return true;
	(void)pthread_mutex_unlock(&tape.lock);
	errno = EIO;
	return false;
}

static int leave(int rc)
{
	int error = errno;

	(void)pthread_mutex_unlock(&tape.lock);
	errno = error;
	return rc;
}

static int tape_open(void *ctx, int dir_fd, const char *name, int flags, mode_t mode)
{
	int dir;
	int i;
	int fd;

	if (!enter())
		return -1;
	fd = log_io_system.open(ctx, dir_fd, name, flags, mode);
	if (fd < 0)
		return leave(-1);
	dir = dir_of(dir_fd);
	i = find_name(&tape.names[dir], name);
	if (i >= 0 && (flags & O_TRUNC) != 0)
		note(OP_SIZE, dir, tape.names[dir].list[i].file, name);
	if (i < 0) {
		note(OP_CREATE, dir, tape.file_count, name);
		set_name(&tape.names[dir], name, tape.file_count++);
	}
	return leave(fd);
}

static ssize_t tape_writev(void *ctx, int fd, const struct iovec *parts, int count, off_t at)
{
	ssize_t n;
	struct op *op;
	size_t done = 0;

	if (!enter())
		return -1;
	n = log_io_system.writev(ctx, fd, parts, count, at);
	if (n > 0 && file_of(fd) >= 0) {
		op = note(OP_WRITE, 0, file_of(fd), "");
		op->at = (uint64_t)at;
		op->octets = malloc((size_t)n);
		CHECK(op->octets != NULL);
		op->bytes = (size_t)n;
		for (int i = 0; i < count && done < op->bytes; i++) {
			size_t left = op->bytes - done;
			size_t m = parts[i].iov_len < left ? parts[i].iov_len : left;

			memcpy(op->octets + done, parts[i].iov_base, m);
			done += m;
		}
		tape.is_dead = tape.is_dying && is_cursor_fd(fd);
	}
	(void)leave(0);
	return n;
}

static int tape_size(int fd, off_t bytes, int rc)
{
	if (rc == 0 && file_of(fd) >= 0)
		note(OP_SIZE, 0, file_of(fd), "")->at = (uint64_t)bytes;
	return leave(rc);
}

static int tape_allocate(void *ctx, int fd, off_t bytes)
{
	return enter() ? tape_size(fd, bytes, log_io_system.allocate(ctx, fd, bytes)) : -1;
}

static int tape_truncate(void *ctx, int fd, off_t bytes)
{
	return enter() ? tape_size(fd, bytes, log_io_system.truncate(ctx, fd, bytes)) : -1;
}

static int tape_sync(void *ctx, int fd)
{
	bool fails;

	(void)ctx;
	if (!enter())
		return -1;
	fails = tape.is_stuck || (tape.syncs_until_failure > 0 && --tape.syncs_until_failure == 0);
	if (file_of(fd) >= 0)
		note(fails ? OP_SYNC_FAILED : OP_SYNC, 0, file_of(fd), "")->at = tape.is_stuck;
	errno = EIO;
	return leave(fails ? -1 : 0);
}

static int tape_sync_dir(void *ctx, int fd)
{
	int dir;

	(void)ctx;
	if (!enter())
		return -1;
	if (strlen(tape.dir) == 0 || below_top(fd, (char[256]){ 0 }) == NULL)
		return leave(0); /* the one above */
	dir = dir_of(fd);
	note(OP_SYNC_DIR, dir, -1, "");
	for (unsigned d = 1; dir == 0 && d < DIRS; d++) {
		if (faccessat(fd, dir_names[d], F_OK, 0) == 0)
			tape.ops[tape.count - 1].at |= 1u << d;
	}
	return leave(0);
}

static int tape_rename(void *ctx, int dir_fd, const char *from, const char *to)
{
	struct op *op;

	if (!enter())
		return -1;
	if (log_io_system.rename(ctx, dir_fd, from, to) != 0)
		return leave(-1);
	op = note(OP_RENAME, dir_of(dir_fd), -1, from);
	(void)snprintf(op->to, sizeof(op->to), "%s", to);
	apply_name(&tape.names[op->dir], op);
	return leave(0);
}

static int tape_remove(void *ctx, int dir_fd, const char *name)
{
	struct op *op;

	if (!enter())
		return -1;
	if (log_io_system.remove(ctx, dir_fd, name) != 0)
		return leave(-1);
	op = note(OP_REMOVE, dir_of(dir_fd), -1, name);
	apply_name(&tape.names[op->dir], op);
	return leave(0);
}

static int tape_free_bytes(void *ctx, int dir_fd, uint64_t *out)
{
	return log_io_system.free_bytes(ctx, dir_fd, out);
}

static int tape_close(void *ctx, int fd)
{
	return log_io_system.close(ctx, fd);
}

static const struct log_io tape_io = {
	.open = tape_open,
	.writev = tape_writev,
	.allocate = tape_allocate,
	.truncate = tape_truncate,
	.sync = tape_sync,
	.sync_dir = tape_sync_dir,
	.rename = tape_rename,
	.remove = tape_remove,
	.free_bytes = tape_free_bytes,
	.close = tape_close,
};

/* --- lives --- */

static void begin_life(struct life *l, unsigned number)
{
	struct why why = { "" };

	*l = (struct life){ .number = number, .payload_most = 900 };
	CHECK(life_open(l, tape.dir, &tape_io, &why) == ERR_OK);
	(void)pthread_mutex_lock(&tape.lock);
	tape.life = l;
	tape.begin = log_end_lsn(l->log);
	(void)pthread_mutex_unlock(&tape.lock);
	life_drain(l, 0);
	tape.holes[tape.hole_count].end = tape.begin;
	tape.holes[tape.hole_count++].first =
		tape.begin - log_reader_lost(l->readers[0], LOG_LOST_UNSYNCED);
	CHECK(log_reader_lost(l->readers[0], LOG_LOST_CORRUPT) == 0);
}

/* The cursor of one sink may be stored above what is durable, and the kill comes before that of the other. */
static void begin_settled(struct life *l, unsigned number)
{
	struct hole *hole = &tape.holes[tape.hole_count];
	uint64_t first;

	begin_life(l, number);
	life_drain(l, 1);
	first = tape.begin - log_reader_lost(l->readers[1], LOG_LOST_UNSYNCED);
	hole->first = first < hole->first ? first : hole->first;
	CHECK(log_reader_lost(l->readers[1], LOG_LOST_CORRUPT) == 0);
}

/* Both sinks keep up: segments go, and their room is used again. */
static void live_well(struct life *l, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		life_append(l, 30 + below(60));
		life_drain(l, 0);
		life_drain(l, 1);
		if (below(4) == 0)
			(void)usleep(500);
		else
			life_sync(l);
	}
}

static void live(struct life *l, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		life_append(l, 1 + below(40));
		if (below(3) == 0)
			life_sync(l);
		else
			(void)usleep(500);
		life_drain(l, 0);
		if (below(3) == 0)
			(void)life_read(l, 1, below(12));
	}
}

/* One sink has all when a group is due, and the other most of it, or nothing of the newest. */
static void live_settled(struct life *l, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		life_append(l, 20 + below(40));
		life_drain(l, 0);
		if (below(5) != 0)
			life_drain(l, 1);
		if (below(3) == 0) {
			life_append(l, 1 + below(12));
			life_drain(l, 0);
		}
		if (below(5) == 0)
			(void)usleep(500);
		else
			life_sync(l);
	}
}

enum ending { IN_ORDER, KILLED, KILLED_AT_CURSOR };

static void end_life(struct life *l, enum ending how)
{
	(void)pthread_mutex_lock(&tape.lock);
	tape.is_dead = how == KILLED;
	tape.is_dying = how == KILLED_AT_CURSOR;
	(void)pthread_mutex_unlock(&tape.lock);
	log_hub_stop(l->hub);
	(void)pthread_mutex_lock(&tape.lock);
	if (how == IN_ORDER)
		note(OP_END, 0, -1, "");
	tape.life = NULL;
	(void)pthread_mutex_unlock(&tape.lock);
	life_close(l);
	tape.is_dead = false;
	tape.is_dying = false;
}

static void record_lives(void)
{
	struct life l;

	begin_life(&l, 1);
	live(&l, 40);
	(void)life_read(&l, 1, 3);
	end_life(&l, KILLED_AT_CURSOR);
	begin_life(&l, 2);
	live(&l, 20);
	tape.syncs_until_failure = 3;
	live(&l, 12);
	tape.syncs_until_failure = 0;
	life_sync(&l);
	live(&l, 10);
	end_life(&l, KILLED);
	begin_life(&l, 3);
	live_well(&l, 30);
	end_life(&l, IN_ORDER);
	begin_life(&l, 4);
	live(&l, 8);
	end_life(&l, IN_ORDER);
	tree_wipe(tape.dir);
}

static void record_settled_lives(void)
{
	struct life l;

	begin_settled(&l, 1);
	live_settled(&l, 25);
	CHECK(stat_get(log_hub_stat(l.hub), LOG_STAT_SETTLED) > 200);
	end_life(&l, KILLED_AT_CURSOR);
	begin_settled(&l, 2);
	live_settled(&l, 15);
	tape.syncs_until_failure = 2;
	live_settled(&l, 10);
	tape.syncs_until_failure = 0;
	life_sync(&l);
	live_settled(&l, 10);
	end_life(&l, KILLED);
	begin_settled(&l, 3);
	live_settled(&l, 20);
	end_life(&l, IN_ORDER);
	begin_settled(&l, 4);
	live_settled(&l, 8);
	end_life(&l, IN_ORDER);
	tree_wipe(tape.dir);
}

/* Frames on the tape that say that something was passed over. */
static size_t count_settled(void)
{
	size_t count = 0;

	for (size_t k = 0; k < tape.count; k++) {
		const struct op *op = &tape.ops[k];
		struct log_frame_head h;

		if (op->kind != OP_WRITE || op->bytes < sizeof(h))
			continue;
		memcpy(&h, op->octets, sizeof(h));
		count += h.magic == LOG_FRAME_MAGIC && h.schema == LOG_FRAME_SETTLED;
	}
	return count;
}

/* --- what a power loss leaves --- */

/* As of one call: what is on the disk for certain, and what may be. */
struct disk_file {
	uint8_t *safe;
	size_t safe_bytes;
	const struct op *pending[PENDING_MOST];
	size_t pending_count;
};

static struct disk {
	struct disk_file files[FILES_MOST];
	struct {
		struct names safe;
		const struct op *pending[PENDING_MOST];
		size_t pending_count;
	} dirs[DIRS];
	unsigned safe_dirs; /* a bit for each */
} disk;

enum choice { CHOOSE_NONE, CHOOSE_ALL, CHOOSE_SOME, CHOICES };
static size_t tried_call;
static const char *const choice_names[CHOICES] = { "nothing", "everything", "some" };

static bool is_chosen(enum choice how)
{
	return how == CHOOSE_ALL || (how == CHOOSE_SOME && below(2) == 0);
}

/* `out` has FILE_MOST octets, zero above *bytes. */
static void apply_data(const struct op *op, uint8_t *out, size_t *bytes, enum choice how)
{
	uint64_t end = op->at + op->bytes;

	CHECK(end <= FILE_MOST);
	if (op->kind == OP_SIZE) {
		if (is_chosen(how)) {
			if (op->at < *bytes)
				memset(out + op->at, 0, *bytes - op->at);
			*bytes = op->at;
		}
		return;
	}
	how = how == CHOOSE_SOME && below(3) == 0 ? CHOOSE_ALL : how;
	for (uint64_t at = op->at; at < end;) {
		uint64_t next = (at / BLOCK + 1) * BLOCK < end ? (at / BLOCK + 1) * BLOCK : end;

		if (is_chosen(how)) {
			memcpy(out + at, op->octets + (at - op->at), next - at);
			*bytes = next > *bytes ? next : *bytes;
		}
		at = next;
	}
}

/* After a failed sync the system forgets what it did not write. */
static void sync_data(struct disk_file *f, enum choice how)
{
	if (f->safe == NULL)
		f->safe = calloc(1, FILE_MOST);
	CHECK(f->safe != NULL);
	for (size_t i = 0; i < f->pending_count; i++)
		apply_data(f->pending[i], f->safe, &f->safe_bytes, how);
	f->pending_count = 0;
}

static void apply_op(const struct op *op)
{
	struct disk_file *f = &disk.files[op->file < 0 ? 0 : op->file];

	switch (op->kind) {
	case OP_WRITE:
	case OP_SIZE:
		CHECK(f->pending_count < PENDING_MOST);
		f->pending[f->pending_count++] = op;
		break;
	case OP_SYNC:
	case OP_SYNC_FAILED:
		sync_data(f, op->kind == OP_SYNC ? CHOOSE_ALL
			     : op->at == 0	 ? CHOOSE_SOME
						 : CHOOSE_NONE);
		break;
	case OP_CREATE:
	case OP_RENAME:
	case OP_REMOVE:
		CHECK(disk.dirs[op->dir].pending_count < PENDING_MOST);
		disk.dirs[op->dir].pending[disk.dirs[op->dir].pending_count++] = op;
		break;
	case OP_SYNC_DIR:
		for (size_t i = 0; i < disk.dirs[op->dir].pending_count; i++)
			apply_name(&disk.dirs[op->dir].safe, disk.dirs[op->dir].pending[i]);
		disk.dirs[op->dir].pending_count = 0;
		disk.safe_dirs |= (unsigned)op->at;
		break;
	case OP_END:
		break;
	}
}

static void make_file(const char *dir, const char *name, int file, enum choice how)
{
	const struct disk_file *f = &disk.files[file];
	uint8_t *octets = calloc(1, FILE_MOST);
	size_t bytes = f->safe_bytes;
	char path[128];

	CHECK(octets != NULL);
	if (f->safe != NULL)
		memcpy(octets, f->safe, bytes);
	for (size_t i = 0; i < f->pending_count; i++)
		apply_data(f->pending[i], octets, &bytes, how);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	write_file(image, path, octets, bytes);
	free(octets);
}

static void make_image(enum choice names_how, enum choice data_how)
{
	tree_wipe(image);
	make_dir(image, "");
	for (unsigned d = 0; d < DIRS; d++) {
		struct names names = disk.dirs[d].safe;
		size_t count = disk.dirs[d].pending_count;

		if (d > 0 && (disk.safe_dirs & 1u << d) == 0 && !is_chosen(names_how))
			continue;
		if (d > 0)
			make_dir(image, dir_names[d]);
		/* A directory changes in the order of the calls, up to some of them. */
		count = names_how == CHOOSE_ALL	   ? count
			: names_how == CHOOSE_NONE ? 0
						   : below((uint32_t)count + 1);
		for (size_t i = 0; i < count; i++)
			apply_name(&names, disk.dirs[d].pending[i]);
		for (size_t i = 0; i < names.count; i++)
			make_file(dir_names[d], names.list[i].text, names.list[i].file, data_how);
	}
}

/* --- what must hold for any directory --- */

static void open_dir(struct life *l, const char *dir, unsigned number, size_t payload_most)
{
	struct why why = { "" };

	*l = (struct life){ .number = number, .payload_most = payload_most };
	if (life_open(l, dir, NULL, &why) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", why.text);
		CHECK(false);
	}
}

/* New records are appended; one sink reads them at once, the other in the next life. */
static void goes_on(struct life *l, const char *dir, size_t payload_most)
{
	uint64_t end;
	uint64_t begin = log_end_lsn(l->log);

	for (size_t i = 0; i < SINKS; i++) {
		life_drain(l, i);
		CHECK(log_reader_done_lsn(l->readers[i]) == begin);
	}
	life_append(l, 9);
	life_sync(l);
	life_drain(l, 0);
	life_sync(l);
	end = log_end_lsn(l->log);
	life_close(l);
	open_dir(l, dir, 99, payload_most);
	CHECK(log_end_lsn(l->log) == end);
	for (size_t i = 0; i < SINKS; i++) {
		uint64_t lost = life_lost(l, i);

		life_drain(l, i);
		CHECK(life_lost(l, i) == lost);
	}
	CHECK(l->delivered[0] == 0 && l->delivered[1] == 9 && l->first_given[1] == begin);
	life_close(l);
}

/* Records of [first, end) that were durable once. */
static uint64_t real_records(uint64_t first, uint64_t end)
{
	uint64_t n = end > first ? end - first : 0;

	for (size_t i = 0; i < tape.hole_count; i++) {
		uint64_t from = tape.holes[i].first > first ? tape.holes[i].first : first;
		uint64_t to = tape.holes[i].end < end ? tape.holes[i].end : end;

		n -= to > from ? to - from : 0;
	}
	return n;
}

/* What was promised before `op` was called. */
static void check_image(const struct op *op)
{
	struct life l;

	open_dir(&l, image, 98, 900);
	CHECK(log_end_lsn(l.log) >= op->durable);
	l.mark = op->durable;
	for (size_t i = 0; i < SINKS; i++) {
		uint64_t done = l.opened[i];

		CHECK(done >= op->stored[i]);
		life_drain(&l, i);
		CHECK(l.below_mark[i] == real_records(done, l.mark));
	}
	goes_on(&l, image, 900);
}

/* Threads are not timed alike twice: the calls themselves are what can be looked at. */
static void tell_calls(void)
{
	for (size_t k = 0; k <= tried_call; k++) {
		const struct op *op = &tape.ops[k];

		(void)fprintf(stderr,
			      "%4zu %-8s %s file %d %s %s at %" PRIu64
			      " octets %zu durable %" PRIu64 " stored %" PRIu64 " %" PRIu64 "\n",
			      k, op_names[op->kind], dir_names[op->dir], op->file, op->name, op->to,
			      op->at, op->bytes, op->durable, op->stored[0], op->stored[1]);
	}
}

static void try_image(size_t k, enum choice names_how, enum choice data_how)
{
	const struct op *op = &tape.ops[k];
	uint64_t before = seed;

	tried_call = k;
	make_image(names_how, data_how);
	(void)snprintf(
		trial, sizeof(trial),
		"before call %zu (%s file %d %s) with %s of names and %s of data, seed %" PRIu64, k,
		op_names[op->kind], op->file, op->name, choice_names[names_how],
		choice_names[data_how], before);
	check_image(op);
}

/* For other lives. */
static void rewind_tape(void)
{
	for (size_t i = 0; i < FILES_MOST; i++)
		free(disk.files[i].safe);
	for (size_t k = 0; k < tape.count; k++)
		free(tape.ops[k].octets);
	memset(&disk, 0, sizeof(disk));
	memset(tape.names, 0, sizeof(tape.names));
	tape.count = 0;
	tape.file_count = 0;
	tape.begin = 0;
	tape.hole_count = 0;
	tape.durable = 0;
	memset(tape.stored, 0, sizeof(tape.stored));
	tape.syncs_until_failure = 0;
	tell_more = NULL;
}

static void try_power_losses(void)
{
	size_t tried = 0;

	tell_more = tell_calls;
	for (size_t k = 0; k < tape.count; k++) {
		bool is_write = tape.ops[k].kind == OP_WRITE;

		for (int how = 0; how < TRIALS; how++) {
			if (is_skipped() && (is_write || how > 0))
				continue;
			try_image(k, how == 0 ? CHOOSE_SOME : (enum choice)below(CHOICES),
				  how == 0 ? CHOOSE_SOME : (enum choice)below(CHOICES));
			tried++;
		}
		apply_op(&tape.ops[k]);
	}
	rewind_tape();
	assert_true(tried > 200);
	tree_wipe(image);
}

static void power_loss_takes_nothing_that_was_durable(void **state)
{
	(void)state;
	record_lives();
	try_power_losses();
}

/* What was passed over is durable with the cursors, and by them alone. */
static void power_loss_takes_nothing_that_was_settled(void **state)
{
	(void)state;
	record_settled_lives();
	assert_true(count_settled() > 5);
	try_power_losses();
}

/* A life that did not end in good order left a page of shared memory; nobody comes back to this directory. */
static void forget_live_page(const char *dir)
{
	char path[160];
	char text[128] = "";
	char id[40] = "";
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/format", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && stat(dir, &st) == 0);
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	(void)close(fd);
	CHECK(sscanf(text, "sluice-log %*u %32s", id) == 1);
	(void)snprintf(path, sizeof(path), "/sluice-%s-%llx-%llx", id,
		       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	(void)shm_unlink(path);
}

/* While nothing can be written, what every sink has got by then needs no disk.  A power loss before
 * that is remembered makes them lose it again, as what was never durable. */
static void what_every_sink_has_need_not_be_written(void **state)
{
	size_t last = 0;
	struct life l;

	(void)state;
	(void)snprintf(trial, sizeof(trial), "a disk that does not sync for a while");
	begin_life(&l, 1);
	life_append(&l, 20);
	for (size_t i = 0; i < SINKS; i++)
		life_drain(&l, i);
	life_sync(&l);
	while (log_reader_stored_lsn(l.readers[0]) < 20 || log_reader_stored_lsn(l.readers[1]) < 20)
		(void)usleep(1000);
	tape.is_stuck = true;
	life_append(&l, 10);
	for (size_t i = 0; i < SINKS; i++)
		life_drain(&l, i);
	life_sync(&l);
	tape.is_stuck = false;
	life_append(&l, 5);
	life_sync(&l);
	end_life(&l, KILLED);
	forget_live_page(tape.dir);
	tree_wipe(tape.dir);
	for (size_t k = 0; k < tape.count; k++) {
		bool is_segments = tape.ops[k].kind == OP_SYNC_DIR && tape.ops[k].dir == 2;

		last = is_segments ? k : last;
	}
	for (size_t k = 0; k <= last; k++)
		apply_op(&tape.ops[k]);
	make_image(CHOOSE_NONE, CHOOSE_NONE);
	tell_more = tell_calls;
	tried_call = last;
	open_dir(&l, image, 98, 900);
	CHECK(log_end_lsn(l.log) == 35);
	for (size_t i = 0; i < SINKS; i++) {
		uint64_t done = l.opened[i];

		CHECK(done == 20 || done == 30);
		life_drain(&l, i);
		CHECK(l.delivered[i] == 5);
		CHECK(stat_get(l.stats[i], SINK_STAT_LOST_UNSYNCED) == 30 - done);
		CHECK(life_lost(&l, i) == 30 - done);
	}
	goes_on(&l, image, 900);
	rewind_tape();
}

/* --- what a disk does later --- */

#define SMALL 24
#define SMALL_FRAME 2 /* records */

static struct tree small;   /* a few segments of a few frames */
static struct tree foreign; /* the same, of another log */
static uint64_t small_end;
static uint64_t far_done;

/* A frame that is written, and two that need not be. */
static void make_settled(struct life *l)
{
	life_append(l, SMALL_FRAME);
	life_sync(l);
	/* On a slow machine they may be due before both have them. */
	do {
		life_drain(l, 0);
		life_drain(l, 1);
		life_append(l, SMALL_FRAME);
		life_append(l, SMALL_FRAME);
		life_drain(l, 0);
		life_drain(l, 1);
		life_sync(l);
	} while (stat_get(log_hub_stat(l->hub), LOG_STAT_SETTLED) == 0);
}

/* Three lives, each with a segment; one sink has everything, the other hardly anything. */
static void make_small(struct tree *t)
{
	for (unsigned number = 3; number <= 9; number += 3) {
		struct life l;

		open_dir(&l, image, number, SMALL);
		if (number == 3)
			make_settled(&l);
		for (int i = 0; i < 3; i++)
			life_append(&l, SMALL_FRAME);
		life_drain(&l, 0);
		if (number == 3)
			(void)life_read(&l, 1, 1);
		life_sync(&l);
		small_end = log_end_lsn(l.log);
		far_done = log_reader_done_lsn(l.readers[1]);
		life_close(&l);
	}
	tree_load(t, image);
	tree_wipe(image);
}

static bool is_segment(const struct tree_file *f)
{
	return strstr(f->name, LOG_SEGMENT_SUFFIX) != NULL;
}

static bool is_cursor(const struct tree_file *f)
{
	return strncmp(f->name, "cursors/", 8) == 0;
}

static struct tree_file *file_named(struct tree *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->files[i].name, name) == 0)
			return &t->files[i];
	}
	abort();
}

/* The room behind the last frame goes, as recovery gives it back. */
static void trim(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++) {
		struct tree_file *f = &t->files[i];

		while (is_segment(f) && f->bytes >= 8 && f->octets[f->bytes - 1] == 0 &&
		       memcmp(f->octets + f->bytes - 8, (uint8_t[8]){ 0 }, 8) == 0)
			f->bytes -= 8;
	}
}

/* Records above `far_done` of the segment's frames that have an octet in [from, to). */
static uint64_t records_in(const struct tree_file *f, size_t from, size_t to)
{
	uint64_t n = 0;
	size_t at = LOG_SEGMENT_HEAD_BYTES;

	while (at + sizeof(struct log_frame_head) <= f->bytes) {
		struct log_frame_head h;
		size_t end;

		memcpy(&h, f->octets + at, sizeof(h));
		CHECK(h.magic == LOG_FRAME_MAGIC);
		end = at + sizeof(h) + h.body_bytes;
		if (h.first_lsn >= far_done && at < to && end > from)
			n += h.record_count;
		at = (end + 7) / 8 * 8;
	}
	return n;
}

static bool has_quarantined(const char *dir)
{
	char path[192];
	struct dirent **list = NULL;
	int n;

	(void)snprintf(path, sizeof(path), "%s/0/quarantine", dir);
	n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	return n > 2;
}

enum { SHALLOW, DEEP };

/* Opens the tree: `far` misses exactly `lost` records, and `near`, which had all, none. */
static void check_damaged(const struct tree *t, uint64_t lost, bool is_put_aside, int depth)
{
	struct life l;

	tree_write(t, image);
	open_dir(&l, image, 60, SMALL);
	CHECK(log_end_lsn(l.log) == small_end);
	for (size_t i = 0; i < SINKS; i++) {
		uint64_t before = life_lost(&l, i);

		life_drain(&l, i);
		CHECK(l.delivered[i] + life_lost(&l, i) - before == small_end - l.opened[i]);
		if (i == 1)
			CHECK(life_lost(&l, i) == lost);
	}
	CHECK(stat_get(log_hub_stat(l.hub), LOG_STAT_CORRUPT) >= lost);
	CHECK(!is_put_aside || has_quarantined(image));
	if (depth == DEEP)
		goes_on(&l, image, SMALL);
	else
		life_close(&l);
}

static void flip_segment(struct tree_file *f, size_t at)
{
	uint64_t lost = at < LOG_SEGMENT_HEAD_BYTES ? 0 : records_in(f, at, at + 1);

	(void)snprintf(trial, sizeof(trial), "%s, octet %zu is wrong", f->name, at);
	f->octets[at] ^= (uint8_t)(1 + below(255));
	check_damaged(&small, lost, lost > 0, at % 8 == 0 ? DEEP : SHALLOW);
}

static void each_octet_of_a_segment_may_be_wrong(void **state)
{
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		struct tree_file *f = &small.files[i];

		for (size_t at = 0; is_segment(f) && at < f->bytes; at++) {
			uint8_t was = f->octets[at];

			/* Most of the head's room is not used. */
			if (at > sizeof(struct log_segment_head) && at < LOG_SEGMENT_HEAD_BYTES &&
			    at % 499 != 0)
				continue;
			tried++;
			if (is_skipped())
				continue;
			flip_segment(f, at);
			f->octets[at] = was;
		}
	}
	assert_true(tried > 1000);
}

static void each_octet_of_a_cursor_may_be_wrong(void **state)
{
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		struct tree_file *f = &small.files[i];

		for (size_t at = 0; is_cursor(f) && at < f->bytes; at++) {
			uint8_t was = f->octets[at];

			if (at % 65536 > 600 || (was == 0 && at % 64 > 32))
				continue;
			tried++;
			if (is_skipped())
				continue;
			(void)snprintf(trial, sizeof(trial), "%s, octet %zu is wrong", f->name, at);
			f->octets[at] ^= (uint8_t)(1 + below(255));
			check_damaged(&small, 0, false, at % 16 == 0 ? DEEP : SHALLOW);
			f->octets[at] = was;
		}
	}
	assert_true(tried > 1000);
}

static void each_octet_of_the_format_may_be_wrong(void **state)
{
	struct tree_file *f = file_named(&small, "format");

	(void)state;
	for (size_t at = 0; at < f->bytes; at++) {
		uint8_t was = f->octets[at];

		(void)snprintf(trial, sizeof(trial), "format, octet %zu is wrong", at);
		f->octets[at] ^= (uint8_t)(1 + below(7));
		check_damaged(&small, 0, false, DEEP);
		f->octets[at] = was;
	}
}

static void files_may_end_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		struct tree_file *f = &small.files[i];
		size_t bytes = f->bytes;

		for (size_t to = 0; to < bytes; to++) {
			uint64_t lost = is_segment(f) ? records_in(f, to, SIZE_MAX) : 0;

			if (strcmp(f->name, "lock") == 0 ||
			    (to > 100 && to < 4000 && to % 499 != 0) ||
			    (is_cursor(f) && to > 70 && to % 65536 > 40 && to % 251 != 0) ||
			    is_skipped())
				continue;
			(void)snprintf(trial, sizeof(trial), "%s ends at %zu", f->name, to);
			f->bytes = to;
			check_damaged(&small, lost, false, to % 16 == 0 ? DEEP : SHALLOW);
			f->bytes = bytes;
		}
	}
}

/* One segment is put in the place of another one, or becomes something else. */
static void segments_may_be_exchanged(void **state)
{
	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		struct tree_file *f = &small.files[i];
		struct tree_file was = *f;
		uint64_t lost = is_segment(f) ? records_in(f, 0, SIZE_MAX) : 0;

		if (!is_segment(f))
			continue;
		for (size_t k = 0; k < small.count; k++) {
			struct tree_file *other = &small.files[k];

			if (!is_segment(other) || k == i)
				continue;
			(void)snprintf(trial, sizeof(trial), "%s is %s too", was.name, other->name);
			f->octets = other->octets;
			f->bytes = other->bytes;
			check_damaged(&small, lost, true, DEEP);
			(void)snprintf(trial, sizeof(trial), "%s is exchanged with %s", was.name,
				       other->name);
			*f = was;
			(void)snprintf(f->name, sizeof(f->name), "%s", other->name);
			(void)snprintf(other->name, sizeof(f->name), "%s", was.name);
			check_damaged(&small, lost + records_in(other, 0, SIZE_MAX), true, DEEP);
			(void)snprintf(other->name, sizeof(f->name), "%s", f->name);
			*f = was;
		}
		(void)snprintf(trial, sizeof(trial), "%s is of another log", f->name);
		*f = *file_named(&foreign, was.name);
		check_damaged(&small, lost, true, DEEP);
		*f = was;
		(void)snprintf(trial, sizeof(trial), "%s is zero", f->name);
		f->octets = calloc(1, was.bytes);
		check_damaged(&small, lost, false, DEEP);
		free(f->octets);
		*f = was;
		(void)snprintf(trial, sizeof(trial), "%s is lost", f->name);
		*f = small.files[--small.count];
		check_damaged(&small, lost, false, DEEP);
		small.count++;
		*f = was;
		(void)snprintf(trial, sizeof(trial), "%s is there again as another", f->name);
		small.files[small.count] = was;
		(void)snprintf(small.files[small.count++].name, sizeof(f->name),
			       "0/00000000000000000777.seg");
		check_damaged(&small, 0, true, DEEP);
		small.count--;
	}
}

static void small_files_may_be_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		struct tree_file was = small.files[i];

		if (is_segment(&was))
			continue;
		(void)snprintf(trial, sizeof(trial), "%s is lost", was.name);
		small.files[i] = small.files[--small.count];
		check_damaged(&small, 0, false, DEEP);
		small.count++;
		small.files[i] = was;
		if (!is_cursor(&was))
			continue;
		(void)snprintf(trial, sizeof(trial), "%s is zero", was.name);
		small.files[i].octets = calloc(1, was.bytes);
		check_damaged(&small, 0, false, DEEP);
		free(small.files[i].octets);
		small.files[i] = was;
	}
}

/* Both copies of a segment's names are wrong: its records cannot be told, and are counted. */
static void names_may_be_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		struct tree_file *f = &small.files[i];
		struct log_frame_head h;
		size_t at = LOG_SEGMENT_HEAD_BYTES;
		size_t second;

		if (!is_segment(f))
			continue;
		memcpy(&h, f->octets + at, sizeof(h));
		CHECK(h.schema == LOG_FRAME_NAMES);
		second = at + sizeof(h) + (h.body_bytes + 7) / 8 * 8;
		(void)snprintf(trial, sizeof(trial), "%s: both frames of names are wrong", f->name);
		f->octets[at + 50] ^= 1;
		f->octets[second + 60] ^= 1;
		check_damaged(&small, records_in(f, 0, SIZE_MAX), true, DEEP);
		f->octets[at + 50] ^= 1;
		f->octets[second + 60] ^= 1;
	}
}

static void refuses(const char *what)
{
	struct why why = { "" };
	struct life l = { .number = 60, .payload_most = SMALL };

	(void)snprintf(trial, sizeof(trial), "%s of a later version", what);
	tree_write(&small, image);
	CHECK(life_open(&l, image, NULL, &why) == ERR_UNSUPPORTED);
	CHECK(strstr(why.text, "version") != NULL && strstr(why.text, image) != NULL);
	forget_live_page(image);
}

/* All of [0, bytes) of a head but the four octets behind its version, which get the CRC. */
static void seal_head(uint8_t *head, size_t bytes)
{
	uint32_t crc = crc32c(crc32c(0, head, 12), head + 16, bytes - 16);

	memcpy(head + 12, &crc, sizeof(crc));
}

static void a_later_version_is_refused_by_name(void **state)
{
	struct tree_file *format = file_named(&small, "format");
	struct tree_file was = *format;
	char text[128];

	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		struct tree_file *f = &small.files[i];
		uint8_t *head = f->octets + (is_cursor(f) ? 65536 : 0);
		uint32_t text_bytes = 0;
		size_t bytes = sizeof(struct log_segment_head);

		if (is_cursor(f)) {
			memcpy(&text_bytes, head + 24, sizeof(text_bytes));
			bytes = 32 + text_bytes;
		}
		if (!is_cursor(f) && !is_segment(f))
			continue;
		head[8]++;
		seal_head(head, bytes);
		refuses(f->name);
		head[8]--;
		seal_head(head, bytes);
	}
	(void)snprintf(text, sizeof(text), "sluice-log 2 %.33s", (const char *)was.octets + 13);
	(void)snprintf(text + strlen(text), 16, "%08x\n", crc32c(0, text, strlen(text)));
	format->octets = (uint8_t *)text;
	format->bytes = strlen(text);
	refuses("format");
	*format = was;
	(void)snprintf(trial, sizeof(trial), "all as it was");
	check_damaged(&small, 0, false, DEEP);
}

/* --- reads that fail --- */

static struct {
	ino_t file; /* 0: none */
	off_t from;
	off_t to;
	unsigned failures; /* until it can be read again */
} bad;

ssize_t __real_pread(int fd, void *out, size_t bytes, off_t at);
ssize_t __wrap_pread(int fd, void *out, size_t bytes, off_t at);

/* The log's own reads come here: see the Makefile. */
ssize_t __wrap_pread(int fd, void *out, size_t bytes, off_t at)
{
	struct stat st;
	bool is_bad = bad.file != 0 && bad.failures > 0 && at < bad.to &&
		      at + (off_t)bytes > bad.from && fstat(fd, &st) == 0 && st.st_ino == bad.file;

	if (is_bad && at >= bad.from) {
		bad.failures--;
		errno = EIO;
		return -1;
	}
	if (is_bad)
		bytes = (size_t)(bad.from - at);
	return __real_pread(fd, out, bytes, at);
}

static void spoil(const struct tree_file *f, off_t from, off_t to, unsigned failures)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", image, f->name);
	CHECK(stat(path, &st) == 0);
	bad.file = st.st_ino;
	bad.from = from;
	bad.to = to;
	bad.failures = failures;
}

/* Reads on over what cannot be read, which takes some tries. */
static void drain_over(struct life *l, size_t sink)
{
	unsigned tries = 0;
	enum err e;

	do {
		e = life_read(l, sink, UINT32_MAX);
	} while (e == ERR_IO && ++tries < 100);
	CHECK(e == ERR_AGAIN);
}

static void try_bad_sector(const struct tree_file *f, off_t from, off_t to, bool is_early,
			   unsigned failures, uint64_t lost)
{
	struct life l;

	(void)snprintf(trial, sizeof(trial), "%s: [%d, %d) cannot be read %s, %u times", f->name,
		       (int)from, (int)to, is_early ? "at start" : "later", failures);
	tree_write(&small, image);
	if (is_early)
		spoil(f, from, to, failures);
	open_dir(&l, image, 60, SMALL);
	if (!is_early)
		spoil(f, from, to, failures);
	CHECK(log_end_lsn(l.log) == small_end);
	drain_over(&l, 1);
	CHECK(life_lost(&l, 1) == lost);
	CHECK(l.delivered[1] + lost == small_end - far_done);
	bad.file = 0;
	goes_on(&l, image, SMALL);
}

static void a_sector_may_be_unreadable(void **state)
{
	(void)state;
	for (size_t i = 0; i < small.count; i++) {
		const struct tree_file *f = &small.files[i];
		uint64_t all = is_segment(f) ? records_in(f, 0, SIZE_MAX) : 0;

		if (!is_segment(f))
			continue;
		for (int is_early = 0; is_early < 2; is_early++) {
			try_bad_sector(f, 4096, 8192, is_early, UINT32_MAX, all);
			try_bad_sector(f, 4096, 8192, is_early, 2, 0);
			try_bad_sector(f, 0, 4096, is_early, UINT32_MAX, 0);
			try_bad_sector(f, 0, 4096, is_early, 2, 0);
		}
	}
}

/* Somebody removes the directory of a worker, as a whole. */
static void a_directory_may_be_taken_away(void **state)
{
	char path[160];
	struct life l;

	(void)state;
	(void)snprintf(trial, sizeof(trial), "a directory that is taken away");
	open_dir(&l, image, 60, 900);
	life_append(&l, 20);
	life_sync(&l);
	life_drain(&l, 0);
	(void)snprintf(path, sizeof(path), "%s/0", image);
	tree_wipe(path);
	while (log_end_lsn(l.log) < 400)
		life_append(&l, 20);
	life_sync(&l);
	goes_on(&l, image, 900);
	tree_wipe(image);
}

/* --- threads --- */

struct reading {
	struct life *life;
	size_t sink;
	unsigned sleep_us;
	struct stat_flag is_over; /* nothing more is appended */
};

static void read_until_over(void *ctx)
{
	struct reading *r = ctx;
	bool is_over;

	do {
		is_over = stat_flag_get(&r->is_over) != 0;
		while (life_read(r->life, r->sink, 1) == ERR_OK)
			(void)usleep(r->sleep_us);
		(void)usleep(500);
	} while (!is_over);
}

/* One sink keeps up, the other reads what memory no longer has, and frees or loses segments. */
static void try_threads(enum log_policy policy, unsigned sleep_us)
{
	struct life l = { .number = 61,
			  .payload_most = 900,
			  .memory_bytes = 3 * LOG_FRAME_BYTES,
			  .policy = policy,
			  .is_threaded = true };
	struct reading readings[SINKS] = { { &l, 0, 0, { 0 } }, { &l, 1, sleep_us, { 0 } } };
	struct thread *threads[SINKS];

	(void)snprintf(trial, sizeof(trial), "threads, policy %d", (int)policy);
	CHECK(life_open(&l, image, NULL, NULL) == ERR_OK);
	for (size_t i = 0; i < SINKS; i++)
		CHECK(thread_start("reader", read_until_over, &readings[i], &threads[i]) == ERR_OK);
	for (int i = 0; i < 400; i++)
		life_append(&l, 1 + below(40));
	life_sync(&l);
	for (size_t i = 0; i < SINKS; i++) {
		stat_flag_set(&readings[i].is_over, 1);
		thread_join(threads[i]);
	}
	l.is_threaded = false;
	for (size_t i = 0; i < SINKS; i++) {
		life_drain(&l, i);
		CHECK(l.delivered[i] + life_lost(&l, i) == log_end_lsn(l.log));
		CHECK(stat_get(l.stats[i], SINK_STAT_EVICTED) == life_lost(&l, i));
		CHECK(policy != LOG_BLOCK || life_lost(&l, i) == 0);
	}
	CHECK(policy != LOG_EVICT_OLDEST || life_lost(&l, 1) > 0);
	life_close(&l);
	tree_wipe(image);
}

static void sinks_read_while_the_log_is_written(void **state)
{
	(void)state;
	try_threads(LOG_BLOCK, 100);
	try_threads(LOG_EVICT_OLDEST, 3000);
}

/* --- main --- */

static int set_up(void **state)
{
	const char *given = getenv("SLUICE_TEST_SEED");

	(void)state;
	first_seed = given == NULL ? (uint64_t)clock_mono_ns() | 1 : strtoull(given, NULL, 10);
	seed = first_seed;
	(void)snprintf(top, sizeof(top), "/dev/shm/sluice-log-XXXXXX");
	if (mkdtemp(top) == NULL) {
		(void)snprintf(top, sizeof(top), "/tmp/sluice-log-XXXXXX");
		CHECK(mkdtemp(top) != NULL);
	}
	(void)snprintf(tape.dir, sizeof(tape.dir), "%.60s/lives", top);
	(void)snprintf(image, sizeof(image), "%.60s/image", top);
	make_small(&small);
	make_small(&foreign);
	trim(&small);
	trim(&foreign);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tree_free(&small);
	tree_free(&foreign);
	tree_wipe(top);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_loss_takes_nothing_that_was_durable),
		cmocka_unit_test(power_loss_takes_nothing_that_was_settled),
		cmocka_unit_test(what_every_sink_has_need_not_be_written),
		cmocka_unit_test(each_octet_of_a_segment_may_be_wrong),
		cmocka_unit_test(each_octet_of_a_cursor_may_be_wrong),
		cmocka_unit_test(each_octet_of_the_format_may_be_wrong),
		cmocka_unit_test(files_may_end_anywhere),
		cmocka_unit_test(segments_may_be_exchanged),
		cmocka_unit_test(small_files_may_be_lost),
		cmocka_unit_test(names_may_be_lost),
		cmocka_unit_test(a_sector_may_be_unreadable),
		cmocka_unit_test(a_directory_may_be_taken_away),
		cmocka_unit_test(sinks_read_while_the_log_is_written),
		cmocka_unit_test(a_later_version_is_refused_by_name),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
