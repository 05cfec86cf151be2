/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what the log on disk costs a flow over the log in memory; how fast it is read back; how soon a
 * service with a full log is ready.
 * Method: records of 656 octets in messages of 24, on tmpfs; one sink that keeps up, with a cursor and the
 * counters of a real one; then another beside it that is done with nothing, so that all is written.  The
 * processor time of the whole process counts, commit thread included; the kinds take turns, and the median
 * of the differences is what holds on a noisy machine.  Then a log without a reader's progress is filled,
 * opened again (the time until readers are there), and read from the page cache.
 *
 * bench_log [DIRECTORY] [GIB]	/dev/shm and 10 unless told
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "sink/log.h"
#include "sink/sink.h"

#define RECORD_BYTES 656
#define MESSAGE_RECORDS 24
#define ROUNDS 7
#define RECORDS_A_ROUND 400000
#define RECORDS_A_MS 200 /* 200 000 a second: what it costs a service, not what it can do at most */
#define PAUSE_NS 1000000

static struct log_batch batch;

static const size_t loss_stats[LOG_LOSS_COUNT] = {
	[LOG_LOST_MAX_BYTES] = SINK_STAT_EVICTED,
	[LOG_LOST_MAX_AGE] = SINK_STAT_EVICTED_AGE,
	[LOG_LOST_CORRUPT] = SINK_STAT_LOG_CORRUPT,
	[LOG_LOST_UNSYNCED] = SINK_STAT_LOST_UNSYNCED,
};

struct seat {
	struct log_cursor *cursor;
	struct log_reader *reader;
	struct stat_set *stat;
};

static double cpu_s(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void make_batch(void)
{
	must(log_batch_init(&batch, 1 << 20) == ERR_OK);
	for (int i = 0; i < MESSAGE_RECORDS; i++) {
		struct log_head head = { .bytes = RECORD_BYTES, .route = UINT64_MAX };
		uint8_t *p = log_batch_reserve(&batch, RECORD_BYTES);

		must(p != NULL);
		for (int k = 0; k < RECORD_BYTES; k++)
			p[k] = (uint8_t)(k * i);
		log_batch_commit(&batch, &head);
	}
}

static void remove_tree(const char *path)
{
	struct dirent **list = NULL;
	int n = scandir(path, &list, NULL, NULL);

	for (int i = 0; i < n; i++) {
		char child[4096];

		(void)snprintf(child, sizeof(child), "%s/%s", path, list[i]->d_name);
		if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0 &&
		    unlink(child) != 0)
			remove_tree(child);
		free(list[i]);
	}
	free(list);
	(void)rmdir(path);
}

static struct log_hub *open_hub(const char *dir, enum log_sync sync, uint64_t max_bytes,
				struct log **log)
{
	struct log_conf conf = { .max_bytes = max_bytes,
				 .sync = sync,
				 .dir = dir,
				 .memory_bytes = 128u << 20,
				 .worker_count = 1 };
	struct log_hub *hub;
	struct why why = { "" };
	uint32_t number;

	if (log_hub_open(&conf, &why, &hub) != ERR_OK || log_open(hub, 0, &why, log) != ERR_OK) {
		(void)fprintf(stderr, "bench_log: %s\n", why.text);
		exit(1);
	}
	for (int kind = 0; kind < LOG_NAME_KINDS; kind++)
		must(log_name_add(hub, (enum log_name_kind)kind, "x", 1, &number) == ERR_OK);
	return hub;
}

static void open_seat(struct log_hub *hub, struct log *log, const char *name, struct seat *s)
{
	struct why why = { "" };

	must(stat_set_new(sink_stat_descs, SINK_STAT_COUNT, &s->stat) == ERR_OK);
	must(log_cursor_open(hub, name, sink_stat_descs, SINK_STAT_COUNT, &why, &s->cursor) ==
	     ERR_OK);
	must(log_cursor_reader(s->cursor, log, LOG_FROM_OLDEST, &why, &s->reader) == ERR_OK);
}

static void close_seat(struct seat *s)
{
	log_reader_close(s->reader);
	stat_set_free(s->stat);
}

/* As a sink does: what it read is delivered, and published when there is no more. */
static void read_all(struct seat *s)
{
	struct log_frame frame;
	bool is_any = false;

	while (log_reader_next(s->reader, &frame) == ERR_OK) {
		stat_add(s->stat, SINK_STAT_DELIVERED, frame.head.record_count);
		reader_done(s->reader, frame.head.first_lsn + frame.head.record_count);
		is_any = true;
	}
	if (is_any)
		log_cursor_publish(s->cursor, s->stat, loss_stats);
}

/* Appends at that rate, 0: as memory allows; ns of processor time a record. */
static double append(struct log *log, struct seat *s, uint64_t records, uint64_t records_a_ms)
{
	struct timespec pause = { 0, PAUSE_NS };
	int64_t from_ms = clock_mono_ms();
	double from = cpu_s();

	for (uint64_t n = 0; n < records;) {
		uint64_t lsn;
		int64_t now_ms = clock_mono_ms();
		bool is_early = records_a_ms > 0 && n > (uint64_t)(now_ms - from_ms) * records_a_ms;

		if (is_early || log_append(log, &batch, &lsn) != ERR_OK)
			(void)nanosleep(&pause, NULL);
		else
			n += MESSAGE_RECORDS;
		log_tick(log, now_ms);
		if (s != NULL)
			read_all(s);
	}
	return (cpu_s() - from) / (double)records * 1e9;
}

static double round_of(const char *dir, enum log_sync sync, bool has_laggard)
{
	struct log *log;
	struct log_hub *hub;
	struct seat s;
	struct seat laggard;
	struct why why = { "" };
	double ns;

	remove_tree(dir);
	hub = open_hub(dir, sync, 4ull << 30, &log);
	open_seat(hub, log, "bench", &s);
	if (has_laggard)
		open_seat(hub, log, "laggard", &laggard);
	must(log_hub_start(hub, &why) == ERR_OK);
	/* Segments that are used again cost less than the first ones. */
	(void)append(log, &s, RECORDS_A_ROUND / 2, RECORDS_A_MS);
	ns = append(log, &s, RECORDS_A_ROUND, RECORDS_A_MS);
	log_finish(log);
	log_hub_stop(hub);
	close_seat(&s);
	if (has_laggard)
		close_seat(&laggard);
	log_close(log);
	log_hub_close(hub);
	return ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void bench_append(const char *dir)
{
	double off[ROUNDS];
	double group[ROUNDS];
	double more[ROUNDS];
	double behind[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		off[i] = round_of(dir, LOG_SYNC_OFF, false);
		group[i] = round_of(dir, LOG_SYNC_GROUP, false);
		more[i] = group[i] - off[i];
		behind[i] = round_of(dir, LOG_SYNC_GROUP, true) - off[i];
	}
	qsort(off, ROUNDS, sizeof(off[0]), by_value);
	qsort(group, ROUNDS, sizeof(group[0]), by_value);
	qsort(more, ROUNDS, sizeof(more[0]), by_value);
	(void)printf("log, sync = off                    %6.0f ns a flow\n", off[ROUNDS / 2]);
	(void)printf("log, sync = group                  %6.0f ns a flow\n", group[ROUNDS / 2]);
	(void)printf("group over off (limit 80)          %6.0f ns a flow\n", more[ROUNDS / 2]);
	qsort(behind, ROUNDS, sizeof(behind[0]), by_value);
	(void)printf("the same, a sink that is behind    %6.0f ns a flow\n", behind[ROUNDS / 2]);
}

static void bench_read(struct log *log, double open_s, uint64_t gib)
{
	struct log_reader *r;
	struct log_frame frame;
	struct why why = { "" };
	uint64_t octets = 0;
	uint64_t records = 0;
	int64_t from_ns;
	double s;

	must(log_reader_open(log, "bench", LOG_FROM_OLDEST, &why, &r) == ERR_OK);
	(void)printf("start with a log of %" PRIu64 " GiB (limit 2)   %6.2f s\n", gib, open_s);
	from_ns = clock_mono_ns();
	while (records < log_end_lsn(log) && log_reader_next(r, &frame) == ERR_OK) {
		octets += frame.bytes;
		records += frame.head.record_count;
	}
	s = (double)(clock_mono_ns() - from_ns) / 1e9;
	must(records == log_end_lsn(log));
	(void)printf("read back, page cache (at least 1) %6.2f GiB/s, %.0f flows/s\n",
		     (double)octets / s / (1u << 30), (double)records / s);
	log_reader_close(r);
}

static void bench_start(const char *dir, uint64_t gib)
{
	struct log *log;
	struct log_hub *hub;
	struct log_reader *r;
	struct why why = { "" };
	int64_t from_ns;

	remove_tree(dir);
	hub = open_hub(dir, LOG_SYNC_GROUP, (gib + 1) << 30, &log);
	must(log_reader_open(log, "bench", LOG_FROM_OLDEST, &why, &r) == ERR_OK);
	must(log_hub_start(hub, &why) == ERR_OK);
	/* The reader does not get on: all of it stays. */
	(void)append(log, NULL, (gib << 30) / (RECORD_BYTES + sizeof(struct log_head)), 0);
	log_finish(log);
	log_hub_stop(hub);
	log_reader_close(r);
	log_close(log);
	log_hub_close(hub);
	from_ns = clock_mono_ns();
	hub = open_hub(dir, LOG_SYNC_GROUP, (gib + 1) << 30, &log);
	bench_read(log, (double)(clock_mono_ns() - from_ns) / 1e9, gib);
	log_close(log);
	log_hub_close(hub);
}

int main(int argc, char **argv)
{
	const char *base = argc > 1 ? argv[1] : "/dev/shm";
	uint64_t gib = argc > 2 ? strtoull(argv[2], NULL, 10) : 10;
	char dir[4096];

	log_set_level(LOG_LEVEL_WARN);
	(void)snprintf(dir, sizeof(dir), "%s/sluice-bench-%ld", base, (long)getpid());
	make_batch();
	bench_append(dir);
	bench_start(dir, gib == 0 ? 1 : gib);
	remove_tree(dir);
	log_batch_fini(&batch);
	return 0;
}
