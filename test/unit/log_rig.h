/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_rig.h - a log on disk whose calls to the system fail as a test wants, and sinks that keep accounts.
 *
 * A record carries a serial number that is never used again and the LSN that it was given; its payload
 * follows from the serial number.  Nothing is synced for real, unless a rig is told to: what a test looks
 * at is what the log asks for.
 *
 *	rig_open(rig) ... rig_append() ... rig_read() ... rig_check() ... rig_close(); rig_open() again
 */
#ifndef TEST_UNIT_LOG_RIG_H
#define TEST_UNIT_LOG_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/log.h"
#include "sink/log_io.h"

#define SMALL (1u << 20) /* max_bytes that make segments of 64 KiB */
#define EVER UINT32_MAX

#define RIG_LOGS 4
#define RIG_SINKS 3
#define RIG_WAIT_MS 20000
#define RIG_RECORDS 20000 /* LSNs of each log that are remembered */
#define RIG_SHARED_BYTES ((1 + RIG_LOGS * RIG_RECORDS) * sizeof(uint64_t))

/* --- faults --- */

enum fault_op {
	OP_OPEN,
	OP_WRITEV,
	OP_ALLOCATE,
	OP_TRUNCATE,
	OP_SYNC,
	OP_SYNC_DIR,
	OP_RENAME,
	OP_REMOVE,
	OP_FREE_BYTES,
	OP_COUNT
};
#define OPS(op) (1u << (op))
#define OPS_ALL ((1u << OP_COUNT) - 1)

struct faults {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned ops;  /* that fail */
	int error;     /* with it */
	unsigned left; /* so often; UINT32_MAX: until released */
	unsigned hits[OP_COUNT];
	unsigned calls[OP_COUNT];
	bool stands_still;   /* sync waits until it is told otherwise */
	bool is_standing;    /* it does */
	size_t write_max;    /* octets that one call writes; 0: all */
	uint64_t free_bytes; /* UINT64_MAX: as the system says */
};

static inline void faults_init(struct faults *f)
{
	memset(f, 0, sizeof(*f));
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->moved, NULL);
	f->free_bytes = UINT64_MAX;
}

static inline void faults_set(struct faults *f, unsigned ops, int error, unsigned left)
{
	(void)pthread_mutex_lock(&f->lock);
	f->ops = ops;
	f->error = error;
	f->left = left;
	(void)pthread_mutex_unlock(&f->lock);
}

static inline void faults_release(struct faults *f)
{
	faults_set(f, 0, 0, 0);
}

static inline unsigned faults_hits(struct faults *f, unsigned ops)
{
	unsigned hits = 0;

	(void)pthread_mutex_lock(&f->lock);
	for (unsigned op = 0; op < OP_COUNT; op++)
		hits += (ops & OPS(op)) != 0 ? f->hits[op] : 0;
	(void)pthread_mutex_unlock(&f->lock);
	return hits;
}

static inline unsigned faults_calls(struct faults *f, enum fault_op op)
{
	unsigned calls;

	(void)pthread_mutex_lock(&f->lock);
	calls = f->calls[op];
	(void)pthread_mutex_unlock(&f->lock);
	return calls;
}

static inline void faults_stand(struct faults *f, bool stands_still)
{
	(void)pthread_mutex_lock(&f->lock);
	f->stands_still = stands_still;
	(void)pthread_cond_broadcast(&f->moved);
	while (stands_still && !f->is_standing)
		(void)pthread_cond_wait(&f->moved, &f->lock);
	(void)pthread_mutex_unlock(&f->lock);
}

/* Does this call fail?  Sets errno. */
static inline bool fault_meets(struct faults *f, enum fault_op op)
{
	bool fails;
	int error = 0;

	(void)pthread_mutex_lock(&f->lock);
	f->calls[op]++;
	fails = (f->ops & OPS(op)) != 0 && f->left > 0;
	if (fails) {
		f->hits[op]++;
		f->left -= f->left == UINT32_MAX ? 0 : 1;
		error = f->error;
	}
	while (op == OP_SYNC && f->stands_still) {
		f->is_standing = true;
		(void)pthread_cond_broadcast(&f->moved);
		(void)pthread_cond_wait(&f->moved, &f->lock);
		f->is_standing = f->stands_still;
	}
	(void)pthread_mutex_unlock(&f->lock);
	if (fails)
		errno = error;
	return fails;
}

static inline int fault_open(void *ctx, int dir_fd, const char *name, int flags, mode_t mode)
{
	if (fault_meets(ctx, OP_OPEN))
		return -1;
	return log_io_system.open(NULL, dir_fd, name, flags, mode);
}

static inline ssize_t fault_writev(void *ctx, int fd, const struct iovec *parts, int count,
				   off_t at)
{
	struct faults *f = ctx;
	struct iovec some;
	size_t most;

	if (fault_meets(f, OP_WRITEV))
		return -1;
	(void)pthread_mutex_lock(&f->lock);
	most = f->write_max;
	(void)pthread_mutex_unlock(&f->lock);
	if (most == 0)
		return log_io_system.writev(NULL, fd, parts, count, at);
	some = parts[0];
	some.iov_len = some.iov_len < most ? some.iov_len : most;
	return log_io_system.writev(NULL, fd, &some, 1, at);
}

static inline int fault_allocate(void *ctx, int fd, off_t bytes)
{
	return fault_meets(ctx, OP_ALLOCATE) ? -1 : log_io_system.allocate(NULL, fd, bytes);
}

static inline int fault_truncate(void *ctx, int fd, off_t bytes)
{
	return fault_meets(ctx, OP_TRUNCATE) ? -1 : log_io_system.truncate(NULL, fd, bytes);
}

static inline int fault_sync(void *ctx, int fd)
{
	(void)fd;
	return fault_meets(ctx, OP_SYNC) ? -1 : 0;
}

static inline int fault_sync_dir(void *ctx, int fd)
{
	(void)fd;
	return fault_meets(ctx, OP_SYNC_DIR) ? -1 : 0;
}

static inline int fault_rename(void *ctx, int dir_fd, const char *from, const char *to)
{
	return fault_meets(ctx, OP_RENAME) ? -1 : log_io_system.rename(NULL, dir_fd, from, to);
}

static inline int fault_remove(void *ctx, int dir_fd, const char *name)
{
	return fault_meets(ctx, OP_REMOVE) ? -1 : log_io_system.remove(NULL, dir_fd, name);
}

static inline int fault_free_bytes(void *ctx, int dir_fd, uint64_t *out)
{
	struct faults *f = ctx;

	if (fault_meets(f, OP_FREE_BYTES))
		return -1;
	(void)pthread_mutex_lock(&f->lock);
	*out = f->free_bytes;
	(void)pthread_mutex_unlock(&f->lock);
	return *out == UINT64_MAX ? log_io_system.free_bytes(NULL, dir_fd, out) : 0;
}

static inline int fault_close(void *ctx, int fd)
{
	(void)ctx;
	return log_io_system.close(NULL, fd);
}

static inline struct log_io faults_io(struct faults *f)
{
	return (struct log_io){ fault_open,
				fault_writev,
				fault_allocate,
				fault_truncate,
				fault_sync,
				fault_sync_dir,
				fault_rename,
				fault_remove,
				fault_free_bytes,
				fault_close,
				f };
}

/* --- sinks --- */

enum seat_stat { SEAT_DELIVERED, SEAT_EVICTED, SEAT_AGED, SEAT_CORRUPT, SEAT_UNSYNCED, SEAT_STATS };

static const struct stat_desc seat_descs[SEAT_STATS] = {
	{ "delivered", "", "records", "" },	{ "lost", "max_bytes", "records", "" },
	{ "lost", "max_age", "records", "" },	{ "lost", "log", "records", "" },
	{ "lost_unsynced", "", "records", "" },
};
static const size_t seat_losses[LOG_LOSS_COUNT] = {
	[LOG_LOST_MAX_BYTES] = SEAT_EVICTED,
	[LOG_LOST_MAX_AGE] = SEAT_AGED,
	[LOG_LOST_CORRUPT] = SEAT_CORRUPT,
	[LOG_LOST_UNSYNCED] = SEAT_UNSYNCED,
};

struct seat {
	const char *name; /* NULL: not there */
	enum log_start from;
	struct log_cursor *cursor;
	struct stat_set *stat;
	struct log_reader *readers[RIG_LOGS];
};

struct rig {
	char dir[64];
	struct faults faults;
	struct log_io io;
	struct log_conf conf;
	struct log_hub *hub;
	struct log *logs[RIG_LOGS];
	size_t log_count;
	struct log_batch batch;
	struct seat seats[RIG_SINKS];
	/* A child that is killed has them, too. */
	uint64_t *serial;
	/* by worker and LSN: the serial number of what was appended there, in whatever life */
	uint64_t *given[RIG_LOGS];
	unsigned name_count; /* exporters that records come from; schemas change, too.  0: one */
	bool is_noise;	     /* payloads that no codec makes smaller */
	uint64_t barrier;    /* serial: nothing above is delivered before all below is; 0: none */
	uint64_t passed;     /* the greatest serial number that was delivered behind it */
	bool keeps_frames;   /* rig_append() does not seal */
};

static inline void rig_init(struct rig *g, uint64_t max_bytes)
{
	memset(g, 0, sizeof(*g));
	(void)snprintf(g->dir, sizeof(g->dir), "/tmp/sluice-log-XXXXXX");
	if (mkdtemp(g->dir) == NULL)
		fail_msg("mkdtemp: %s", strerror(errno));
	faults_init(&g->faults);
	g->io = faults_io(&g->faults);
	g->conf = (struct log_conf){ .max_bytes = max_bytes,
				     .policy = LOG_BLOCK,
				     .has_crc = true,
				     .sync = LOG_SYNC_GROUP,
				     .dir = g->dir,
				     .memory_bytes = 64u << 20,
				     .worker_count = 1,
				     .io = &g->io };
	assert_int_equal(log_batch_init(&g->batch, 1u << 16), ERR_OK);
	g->seats[0].name = "one";
	g->seats[1].name = "two";
	g->serial = mmap(NULL, RIG_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	assert_true(g->serial != MAP_FAILED);
	for (size_t i = 0; i < RIG_LOGS; i++)
		g->given[i] = g->serial + 1 + i * RIG_RECORDS;
}

static inline void seat_open(struct rig *g, struct seat *s)
{
	struct why why = { "" };
	const uint64_t *counts;

	assert_int_equal(stat_set_new(seat_descs, SEAT_STATS, &s->stat), ERR_OK);
	assert_int_equal(log_cursor_open(g->hub, s->name, seat_descs, SEAT_STATS, &why, &s->cursor),
			 ERR_OK);
	counts = log_cursor_counts(s->cursor);
	for (size_t i = 0; i < SEAT_STATS; i++)
		stat_add(s->stat, i, counts[i]);
	for (size_t i = 0; i < g->log_count; i++)
		assert_int_equal(
			log_cursor_reader(s->cursor, g->logs[i], s->from, &why, &s->readers[i]),
			ERR_OK);
}

/* Hub, logs of workers and of earlier ones, cursors and readers; nothing is written yet. */
static inline enum err rig_prepare(struct rig *g, struct why *why)
{
	unsigned old[RIG_LOGS];
	size_t old_count;
	uint32_t number;

	g->log_count = 0;
	TRY(log_hub_open(&g->conf, why, &g->hub));
	assert_int_equal(log_name_add(g->hub, LOG_NAME_SCHEMA, "schema", 6, &number), ERR_OK);
	assert_int_equal(log_name_add(g->hub, LOG_NAME_EXPORTER, "exporter", 8, &number), ERR_OK);
	assert_int_equal(log_name_add(g->hub, LOG_NAME_EVENT_TYPE, "flow", 4, &number), ERR_OK);
	old_count = log_hub_old(g->hub, old, RIG_LOGS);
	for (unsigned i = 0; i < g->conf.worker_count; i++)
		TRY(log_open(g->hub, i, why, &g->logs[g->log_count++]));
	for (size_t i = 0; i < old_count; i++) {
		assert_true(g->log_count < RIG_LOGS);
		TRY(log_open(g->hub, old[i], why, &g->logs[g->log_count]));
		log_finish(g->logs[g->log_count++]);
	}
	for (size_t i = 0; i < RIG_SINKS; i++) {
		if (g->seats[i].name != NULL)
			seat_open(g, &g->seats[i]);
	}
	return ERR_OK;
}

static inline void rig_open(struct rig *g)
{
	struct why why = { "" };

	if (rig_prepare(g, &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(log_hub_start(g->hub, &why), ERR_OK);
}

static inline void seat_close(struct seat *s)
{
	for (size_t i = 0; i < RIG_LOGS; i++) {
		log_reader_close(s->readers[i]);
		s->readers[i] = NULL;
	}
	stat_set_free(s->stat);
	s->stat = NULL;
	s->cursor = NULL;
}

static inline void rig_close(struct rig *g)
{
	log_hub_stop(g->hub);
	for (size_t i = 0; i < RIG_SINKS; i++)
		seat_close(&g->seats[i]);
	for (size_t i = 0; i < g->log_count; i++)
		log_close(g->logs[i]);
	log_hub_close(g->hub);
	g->hub = NULL;
}

static inline int rig_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void rig_fini(struct rig *g)
{
	if (g->hub != NULL)
		rig_close(g);
	log_batch_fini(&g->batch);
	(void)munmap(g->serial, RIG_SHARED_BYTES);
	(void)nftw(g->dir, rig_unlink, 16, FTW_DEPTH | FTW_PHYS);
	(void)pthread_cond_destroy(&g->faults.moved);
	(void)pthread_mutex_destroy(&g->faults.lock);
}

static inline uint8_t rig_octet(const struct rig *g, uint64_t serial, size_t i)
{
	uint64_t x = serial * 0x9e3779b97f4a7c15 + i * 0xbf58476d1ce4e5b9;

	if (g->is_noise)
		return (uint8_t)((x ^ x >> 31) * 0x94d049bb133111eb >> 56);
	return (uint8_t)(serial * 31 + i / 16);
}

#define RIG_SCHEMA_RECORDS 100

static inline void rig_name(char out[32], const char *what, uint64_t number)
{
	(void)snprintf(out, 32, "%s-%llu", what, (unsigned long long)number);
}

static inline uint32_t rig_number(struct rig *g, enum log_name_kind kind, const char *what,
				  uint64_t n)
{
	uint32_t number;
	char name[32];

	if (g->name_count == 0)
		return 0;
	rig_name(name, what, n);
	assert_int_equal(log_name_add(g->hub, kind, name, strlen(name), &number), ERR_OK);
	return number;
}

static inline void rig_check_name(struct rig *g, enum log_name_kind kind, uint32_t number,
				  const char *what, uint64_t n)
{
	char name[32];
	size_t bytes;

	if (g->name_count == 0)
		return;
	rig_name(name, what, n);
	assert_string_equal(log_name(g->hub, kind, number, &bytes), name);
}

/* `count` records of `bytes` octets each, in a frame of their own: all, or none. */
static inline enum err rig_append(struct rig *g, size_t log, uint32_t count, size_t bytes)
{
	uint64_t lsn = log_end_lsn(g->logs[log]);
	unsigned worker = log_worker(g->logs[log]);
	uint64_t first = 0;
	enum err e;

	log_batch_clear(&g->batch);
	g->batch.schema = rig_number(g, LOG_NAME_SCHEMA, "schema", *g->serial / RIG_SCHEMA_RECORDS);
	for (uint32_t i = 0; i < count; i++) {
		struct log_head head = { .bytes = (uint32_t)bytes,
					 .event_ms = (int64_t)(*g->serial + i + 1),
					 .ingest_ms = (int64_t)(lsn + i) };
		uint8_t *payload = log_batch_reserve(&g->batch, bytes);

		assert_non_null(payload);
		if (g->name_count > 0)
			head.exporter = rig_number(g, LOG_NAME_EXPORTER, "exporter",
						   (*g->serial + i + 1) % g->name_count);
		for (size_t k = 0; k < bytes; k++)
			payload[k] = rig_octet(g, *g->serial + i + 1, k);
		log_batch_commit(&g->batch, &head);
	}
	e = log_append(g->logs[log], &g->batch, &first);
	if (e != ERR_OK)
		return e;
	assert_true(first == lsn);
	assert_true(lsn + count <= RIG_RECORDS);
	for (uint32_t i = 0; i < count; i++) {
		/* No LSN is given twice, in whatever life. */
		assert_true(g->given[worker][lsn + i] == 0);
		g->given[worker][lsn + i] = ++*g->serial;
	}
	if (!g->keeps_frames)
		log_flush(g->logs[log]);
	return ERR_OK;
}

/* It is what was appended there. */
static inline void rig_check_record(struct rig *g, size_t log, const struct log_record *r)
{
	uint64_t serial = (uint64_t)r->head.event_ms;

	assert_true(r->lsn < RIG_RECORDS);
	assert_true((uint64_t)r->head.ingest_ms == r->lsn);
	assert_true(g->given[log_worker(g->logs[log])][r->lsn] == serial);
	rig_check_name(g, LOG_NAME_EXPORTER, r->head.exporter, "exporter",
		       g->name_count == 0 ? 0 : serial % g->name_count);
	if (serial > g->barrier)
		g->passed = serial;
	else
		assert_true(g->barrier == 0 || g->passed == 0);
	for (size_t k = 0; k < r->head.bytes; k++) {
		if (r->payload[k] != rig_octet(g, serial, k))
			fail_msg("record %llu: octet %zu is another", (unsigned long long)r->lsn,
				 k);
	}
}

/* Up to `most` frames of each log; all that was read is done and published.  Frames read. */
static inline size_t rig_read(struct rig *g, struct seat *s, size_t most)
{
	size_t frames = 0;

	for (size_t k = 0; k < g->log_count; k++) {
		struct log_reader *r = s->readers[k];
		struct log_frame frame;
		uint64_t lsn = log_reader_next_lsn(r);

		for (size_t i = 0; i < most && log_reader_next(r, &frame) == ERR_OK; i++) {
			struct log_record record;
			size_t at = 0;

			assert_true(frame.head.first_lsn >= lsn);
			while (log_frame_next(&frame, &at, &record)) {
				rig_check_record(g, k, &record);
				rig_check_name(g, LOG_NAME_SCHEMA, frame.head.schema, "schema",
					       ((uint64_t)record.head.event_ms - 1) /
						       RIG_SCHEMA_RECORDS);
				lsn = record.lsn + 1;
				stat_inc(s->stat, SEAT_DELIVERED);
			}
			assert_true(lsn == frame.head.first_lsn + frame.head.record_count);
			reader_done(r, lsn);
			frames++;
		}
	}
	log_cursor_publish(s->cursor, s->stat, seat_losses);
	return frames;
}

static inline uint64_t seat_get(const struct seat *s, enum seat_stat id)
{
	return stat_get(s->stat, id);
}

static inline uint64_t seat_pending(const struct rig *g, const struct seat *s)
{
	uint64_t pending = 0;

	for (size_t k = 0; k < g->log_count; k++)
		pending += log_reader_pending(s->readers[k]);
	return pending;
}

/* What began is delivered, lost or pending. */
static inline void rig_check(const struct rig *g, struct seat *s)
{
	uint64_t span = log_cursor_gone(s->cursor);
	uint64_t sum = seat_pending(g, s);

	log_cursor_publish(s->cursor, s->stat, seat_losses);
	for (size_t k = 0; k < g->log_count; k++)
		span += log_end_lsn(g->logs[k]) - log_reader_start_lsn(s->readers[k]);
	for (size_t i = 0; i < SEAT_STATS; i++)
		sum += seat_get(s, (enum seat_stat)i);
	if (sum != span)
		fail_msg(
			"sink %s: %llu of %llu: delivered %llu pending %llu evicted %llu aged %llu "
			"corrupt %llu unsynced %llu",
			s->name, (unsigned long long)sum, (unsigned long long)span,
			(unsigned long long)seat_get(s, SEAT_DELIVERED),
			(unsigned long long)seat_pending(g, s),
			(unsigned long long)seat_get(s, SEAT_EVICTED),
			(unsigned long long)seat_get(s, SEAT_AGED),
			(unsigned long long)seat_get(s, SEAT_CORRUPT),
			(unsigned long long)seat_get(s, SEAT_UNSYNCED));
}

static inline uint64_t seat_lost(const struct seat *s)
{
	return seat_get(s, SEAT_EVICTED) + seat_get(s, SEAT_AGED) + seat_get(s, SEAT_CORRUPT) +
	       seat_get(s, SEAT_UNSYNCED);
}

/* Waits for something that the commit thread brings about. */
#define RIG_UNTIL(cond)                                                                            \
	do {                                                                                       \
		int64_t until_ms_ = clock_mono_ms() + RIG_WAIT_MS;                                 \
		struct timespec nap_ = { 0, 1000000 };                                             \
                                                                                                   \
		while (!(cond)) {                                                                  \
			if (clock_mono_ms() > until_ms_)                                           \
				fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #cond);           \
			(void)nanosleep(&nap_, NULL);                                              \
		}                                                                                  \
	} while (0)

static inline bool rig_is_durable(const struct rig *g)
{
	for (size_t i = 0; i < g->log_count; i++) {
		if (log_durable_lsn(g->logs[i]) < log_sealed_lsn(g->logs[i]))
			return false;
	}
	return true;
}

static inline bool rig_is_stored(const struct rig *g, const struct seat *s)
{
	for (size_t i = 0; i < g->log_count; i++) {
		if (log_reader_stored_lsn(s->readers[i]) != log_reader_done_lsn(s->readers[i]))
			return false;
	}
	return true;
}

/* Octets of segments and spare room in the directories of workers; how many segments there are. */
static inline uint64_t rig_disk_bytes(const struct rig *g, size_t *segments)
{
	uint64_t bytes = 0;

	*segments = 0;
	for (unsigned w = 0; w < RIG_LOGS; w++) {
		char path[sizeof(g->dir) + 8];
		struct dirent *e;
		DIR *dir;

		(void)snprintf(path, sizeof(path), "%.63s/%u", g->dir, w);
		dir = opendir(path);
		/* The stream is ours alone. NOLINTNEXTLINE(concurrency-mt-unsafe) */
		while (dir != NULL && (e = readdir(dir)) != NULL) {
			struct stat st;

			if (fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode)) {
				bytes += (uint64_t)st.st_size;
				*segments += strstr(e->d_name, ".seg") != NULL;
			}
		}
		if (dir != NULL)
			(void)closedir(dir);
	}
	return bytes;
}

static inline bool rig_is_disk_exact(const struct rig *g)
{
	size_t segments;

	return rig_disk_bytes(g, &segments) == log_hub_bytes(g->hub);
}

static inline void rig_append_frames(struct rig *g, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(rig_append(g, i % g->conf.worker_count, 10, 800), ERR_OK);
}

static inline void rig_append_one(struct rig *g, size_t log)
{
	RIG_UNTIL(rig_append(g, log, 10, 800) == ERR_OK);
}

/* Everything is delivered to both sinks; nothing was lost. */
static inline void rig_drain(struct rig *g, const char *what)
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
static inline void rig_settle(struct rig *g, const char *what)
{
	rig_drain(g, what);
	for (size_t i = 0; i < g->log_count; i++)
		assert_int_equal(log_reader_sync(g->seats[0].readers[i], log_sealed_lsn(g->logs[i]),
						 RIG_WAIT_MS),
				 ERR_OK);
	RIG_UNTIL(rig_is_stored(g, &g->seats[0]) && rig_is_stored(g, &g->seats[1]));
}

#endif
