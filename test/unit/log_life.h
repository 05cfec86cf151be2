/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_life.h - one life of a log on disk with two sinks, and directories kept in memory; for tests.
 *
 *	life_open(&l, dir, io, &why)	as the service: hub, log 0, cursors, readers, thread
 *	life_append(&l, count)		records that tell their LSN, and the life that wrote them
 *	life_drain(&l, sink)		reads and is done with all there is; each record is checked
 *	life_close(&l)
 *
 * After each life the account of each sink holds: from its start to the log's end, records were
 * delivered, lost and counted, or are pending.
 */
#ifndef TEST_LOG_LIFE_H
#define TEST_LOG_LIFE_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sink/log.h"
#include "sink/log_io.h"
#include "sink/sink.h"

#define SINKS 2
#define SYNC_MS 20000
#define TREE_FILES 64
#define TREE_NAME_BYTES 96

static const char *const sink_names[SINKS] = { "near", "far" };
static const size_t loss_stats[LOG_LOSS_COUNT] = {
	[LOG_LOST_MAX_BYTES] = SINK_STAT_EVICTED,
	[LOG_LOST_MAX_AGE] = SINK_STAT_EVICTED_AGE,
	[LOG_LOST_CORRUPT] = SINK_STAT_LOG_CORRUPT,
	[LOG_LOST_UNSYNCED] = SINK_STAT_LOST_UNSYNCED,
};

/* What is being tried, printed when a check fails. */
static char trial[256];
static void (*tell_more)(void);
static uint64_t first_seed;

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)

static inline void check_that(bool is_so, const char *text, const char *file, int line)
{
	if (is_so)
		return;
	(void)fprintf(stderr, "%s:%d: %s: %s (SLUICE_TEST_SEED=%" PRIu64 ")\n", file, line, trial,
		      text, first_seed);
	if (tell_more != NULL)
		tell_more();
	abort();
}

static uint64_t seed = 88172645463325252u;

static inline uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

struct life {
	struct log_hub *hub;
	struct log *log;
	struct log_cursor *cursors[SINKS];
	struct log_reader *readers[SINKS];
	struct stat_set *stats[SINKS];
	unsigned number; /* is written into each record */
	size_t payload_most;
	uint64_t memory_bytes; /* 0: as many as on disk */
	enum log_policy policy;
	bool is_threaded;	   /* sinks read while others append: accounts hold afterwards */
	uint64_t opened[SINKS];	   /* done when the life began */
	uint64_t delivered[SINKS]; /* in this life */
	uint64_t first_given[SINKS];
	uint64_t below_mark[SINKS]; /* of these, below `mark` */
	uint64_t mark;
	struct log_batch batch;
};

/* --- records --- */

static inline uint32_t name_of(struct log_hub *hub, enum log_name_kind kind, unsigned n)
{
	static const char *const words[LOG_NAME_KINDS] = { "exporter", "event", "schema" };
	char text[32];
	uint32_t number = 0;
	int bytes = snprintf(text, sizeof(text), "%s %u", words[kind], n);

	CHECK(log_name_add(hub, kind, text, (size_t)bytes, &number) == ERR_OK);
	return number;
}

static inline bool is_named(struct log_hub *hub, enum log_name_kind kind, uint32_t number,
			    unsigned n)
{
	return name_of(hub, kind, n) == number;
}

/* All that a record holds follows from its LSN, but for its life. */
static inline size_t payload_bytes(const struct life *l, uint64_t lsn)
{
	return lsn * 2654435761u % l->payload_most;
}

static inline unsigned schema_of(uint64_t lsn)
{
	return (unsigned)(lsn / 64 % 3);
}

static inline void put_record(struct life *l, uint64_t lsn)
{
	size_t bytes = payload_bytes(l, lsn);
	uint8_t *payload = log_batch_reserve(&l->batch, bytes);
	struct log_head head = {
		.bytes = (uint32_t)bytes,
		.exporter = name_of(l->hub, LOG_NAME_EXPORTER, (unsigned)(lsn / 16 % 5)),
		.event_ms = (int64_t)lsn,
		.ingest_ms = l->number,
		.event_type = (uint16_t)name_of(l->hub, LOG_NAME_EVENT_TYPE, 0),
	};

	CHECK(payload != NULL);
	for (size_t i = 0; i < bytes; i++)
		payload[i] = (uint8_t)(lsn >> (8 * (i % 8)) ^ i);
	log_batch_commit(&l->batch, &head);
}

/* As many batches as there are schemas in them, and a frame each. */
static inline void life_append(struct life *l, uint32_t count)
{
	uint64_t end = log_end_lsn(l->log) + count;

	while (log_end_lsn(l->log) < end) {
		uint64_t lsn = log_end_lsn(l->log);
		uint64_t first = 0;

		log_batch_clear(&l->batch);
		l->batch.schema = name_of(l->hub, LOG_NAME_SCHEMA, schema_of(lsn));
		for (uint64_t i = lsn; i < end && schema_of(i) == schema_of(lsn); i++)
			put_record(l, i);
		while (log_append(l->log, &l->batch, &first) == ERR_FULL && l->is_threaded)
			(void)usleep(200);
		CHECK(first == lsn);
		log_flush(l->log);
	}
}

static inline void check_record(const struct life *l, const struct log_frame *frame,
				const struct log_record *r)
{
	CHECK((uint64_t)r->head.event_ms == r->lsn);
	CHECK(r->head.bytes == payload_bytes(l, r->lsn));
	CHECK(is_named(l->hub, LOG_NAME_EXPORTER, r->head.exporter, (unsigned)(r->lsn / 16 % 5)));
	CHECK(is_named(l->hub, LOG_NAME_EVENT_TYPE, r->head.event_type, 0));
	CHECK(is_named(l->hub, LOG_NAME_SCHEMA, frame->head.schema, schema_of(r->lsn)));
	for (size_t i = 0; i < r->head.bytes; i++)
		CHECK(r->payload[i] == (uint8_t)(r->lsn >> (8 * (i % 8)) ^ i));
}

/* --- a life --- */

static inline void life_publish(struct life *l, size_t sink)
{
	log_cursor_publish(l->cursors[sink], l->stats[sink], loss_stats);
}

/* Records that the sink did not get, as counted in all lives. */
static inline uint64_t life_lost(const struct life *l, size_t sink)
{
	uint64_t lost = 0;

	for (size_t k = 0; k < LOG_LOSS_COUNT; k++)
		lost += stat_get(l->stats[sink], loss_stats[k]);
	return lost;
}

static inline void life_account(struct life *l, size_t sink)
{
	const struct log_reader *r = l->readers[sink];

	life_publish(l, sink);
	CHECK(l->is_threaded || log_end_lsn(l->log) - log_reader_start_lsn(r) ==
					stat_get(l->stats[sink], SINK_STAT_DELIVERED) +
						life_lost(l, sink) + log_reader_pending(r));
}

/* Reads at most `frames` frames; returns what log_reader_next() said last. */
static inline enum err life_read(struct life *l, size_t sink, unsigned frames)
{
	struct log_reader *r = l->readers[sink];
	struct log_frame frame;
	enum err e = ERR_OK;

	while (frames-- > 0 && (e = log_reader_next(r, &frame)) == ERR_OK) {
		struct log_record record = { .lsn = 0 };
		size_t at = 0;
		uint64_t n = 0;

		CHECK(frame.head.first_lsn >= log_reader_done_lsn(r));
		while (log_frame_next(&frame, &at, &record)) {
			CHECK(record.lsn == frame.head.first_lsn + n);
			check_record(l, &frame, &record);
			l->below_mark[sink] += record.lsn < l->mark;
			n++;
		}
		CHECK(at == frame.bytes && n == frame.head.record_count);
		if (l->delivered[sink] == 0)
			l->first_given[sink] = frame.head.first_lsn;
		l->delivered[sink] += n;
		stat_add(l->stats[sink], SINK_STAT_DELIVERED, n);
		reader_done(r, frame.head.first_lsn + n);
	}
	life_account(l, sink);
	return e;
}

static inline void life_drain(struct life *l, size_t sink)
{
	CHECK(life_read(l, sink, UINT32_MAX) == ERR_AGAIN);
	CHECK(log_reader_pending(l->readers[sink]) == 0);
}

/* Until everything appended is durable, and what was published is stored. */
static inline void life_sync(struct life *l)
{
	CHECK(log_reader_sync(l->readers[0], log_end_lsn(l->log), SYNC_MS) == ERR_OK);
}

static inline enum err open_sink(struct life *l, size_t sink, struct why *why)
{
	const uint64_t *counts;

	CHECK(stat_set_new(sink_stat_descs, SINK_STAT_COUNT, &l->stats[sink]) == ERR_OK);
	TRY(log_cursor_open(l->hub, sink_names[sink], sink_stat_descs, SINK_STAT_COUNT, why,
			    &l->cursors[sink]));
	counts = log_cursor_counts(l->cursors[sink]);
	for (size_t i = 0; i < SINK_STAT_COUNT; i++)
		stat_add(l->stats[sink], i, counts[i]);
	TRY(log_cursor_reader(l->cursors[sink], l->log, LOG_FROM_OLDEST, why, &l->readers[sink]));
	l->opened[sink] = log_reader_done_lsn(l->readers[sink]);
	return ERR_OK;
}

static inline void life_close(struct life *l)
{
	if (l->hub != NULL)
		log_hub_stop(l->hub);
	for (size_t i = 0; i < SINKS; i++) {
		log_reader_close(l->readers[i]);
		stat_set_free(l->stats[i]);
	}
	log_close(l->log);
	log_hub_close(l->hub);
	log_batch_fini(&l->batch);
	memset(l, 0, sizeof(*l));
}

static inline enum err try_open(struct life *l, const struct log_conf *conf, struct why *why)
{
	TRY(log_hub_open(conf, why, &l->hub));
	TRY(log_open(l->hub, 0, why, &l->log));
	for (size_t i = 0; i < SINKS; i++)
		TRY(open_sink(l, i, why));
	return log_hub_start(l->hub, why);
}

/* `l` is zero but for how it is to be: what stands above `opened`. */
static inline enum err life_open(struct life *l, const char *dir, const struct log_io *io,
				 struct why *why)
{
	struct log_conf conf = { .max_bytes = 1u << 20,
				 .policy = l->policy,
				 .memory_bytes = l->memory_bytes,
				 .sync = LOG_SYNC_GROUP,
				 .dir = dir,
				 .worker_count = 1,
				 .codec = l->number % 3,
				 .io = io };
	enum err e;

	CHECK(log_batch_init(&l->batch, 4096) == ERR_OK);
	e = try_open(l, &conf, why);
	if (e != ERR_OK)
		life_close(l);
	return e;
}

/* --- directories --- */

struct tree_file {
	char name[TREE_NAME_BYTES]; /* from the top */
	uint8_t *octets;
	size_t bytes;
};

struct tree {
	struct tree_file files[TREE_FILES];
	size_t count;
};

static inline struct tree_file *tree_add(struct tree *t, const char *name, size_t bytes)
{
	struct tree_file *f = &t->files[t->count++];

	CHECK(t->count <= TREE_FILES);
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	f->octets = calloc(1, bytes + 1);
	f->bytes = bytes;
	CHECK(f->octets != NULL);
	return f;
}

static inline void tree_free(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->files[i].octets);
	memset(t, 0, sizeof(*t));
}

static inline void tree_load_dir(struct tree *t, const char *top, const char *dir)
{
	char path[512];
	struct dirent **list = NULL;
	int n;

	(void)snprintf(path, sizeof(path), "%s/%s", top, dir);
	n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char name[TREE_NAME_BYTES];
		struct stat st;
		int fd;

		(void)snprintf(name, sizeof(name), "%.20s%s%.60s", dir, dir[0] == '\0' ? "" : "/",
			       list[i]->d_name);
		(void)snprintf(path, sizeof(path), "%s/%s", top, name);
		free(list[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0 && fstat(fd, &st) == 0);
		if (S_ISREG(st.st_mode)) {
			struct tree_file *f = tree_add(t, name, (size_t)st.st_size);

			CHECK(read(fd, f->octets, f->bytes) == (ssize_t)f->bytes);
		}
		(void)close(fd);
	}
	free(list);
}

static inline void tree_load(struct tree *t, const char *top)
{
	memset(t, 0, sizeof(*t));
	tree_load_dir(t, top, "");
	tree_load_dir(t, top, "cursors");
	tree_load_dir(t, top, "0");
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void tree_wipe(const char *top)
{
	(void)nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void write_file(const char *top, const char *name, const uint8_t *octets,
			      size_t bytes)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK(write(fd, octets, bytes) == (ssize_t)bytes);
	(void)close(fd);
}

static inline void make_dir(const char *top, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	CHECK(mkdir(path, 0700) == 0);
}

static inline void tree_write(const struct tree *t, const char *top)
{
	tree_wipe(top);
	make_dir(top, "");
	make_dir(top, "cursors");
	make_dir(top, "0");
	for (size_t i = 0; i < t->count; i++)
		write_file(top, t->files[i].name, t->files[i].octets, t->files[i].bytes);
}

#endif
