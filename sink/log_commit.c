/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit thread: what was sealed becomes durable, what every sink has goes.
 *
 *	cycle	take what sinks published, store it first when that saves writing, pass over what every
 *		sink has, write and sync what is due, store what else was taken, give room back
 *
 * What was published lies below what was sealed then: once that is durable, the cursor may be stored.  A
 * failure is tried again each second, in a new segment; meanwhile records stay in memory, and those that
 * every sink has got by then need no disk any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "sink/log_parts.h"

#define STORE_MS 250
#define LOOK_MS 1000
#define RETRY_MS 1000
#define FRAMES 64
#define STOP_TRIES 3

/* --- trouble --- */

static void say_trouble(struct log_hub *hub, enum err e, const char *what)
{
	char text[LOG_TROUBLE_BYTES];
	bool is_new;

	(void)snprintf(text, sizeof(text), "%s: %.100s", what,
		       e == ERR_FULL ? "no room: max_bytes or min_free is reached"
				     : strerror(errno));
	(void)pthread_mutex_lock(&hub->lock);
	is_new = strcmp(hub->trouble, text) != 0;
	memcpy(hub->trouble, text, sizeof(text));
	stat_add(hub->stat, LOG_STAT_IO_ERRORS, e == ERR_FULL ? 0 : 1);
	(void)pthread_mutex_unlock(&hub->lock);
	if (is_new)
		log_error("log.failed dir=%s why=\"%s\" retry=until_it_works", hub->dir, text);
}

static void say_well(struct log_hub *hub)
{
	bool was_bad;

	(void)pthread_mutex_lock(&hub->lock);
	was_bad = hub->trouble[0] != '\0';
	hub->trouble[0] = '\0';
	(void)pthread_mutex_unlock(&hub->lock);
	if (was_bad)
		log_info("log.recovered dir=%s", hub->dir);
}

/* --- writing --- */

/* Frames below `end` that are sealed and not written, oldest first. */
static size_t gather(struct log *log, uint64_t end, const struct log_entry *out[FRAMES])
{
	uint64_t written = log->disk->writer.written_lsn;
	const struct log_entry *e;
	size_t n = 0;

	(void)pthread_mutex_lock(&log->lock);
	e = log->newest;
	while (e != NULL && e->prev != NULL && e->head.first_lsn > written)
		e = e->prev;
	while (e != NULL && e->head.first_lsn < written)
		e = e->next;
	for (; e != NULL && n < FRAMES && e->head.first_lsn < end; e = e->next)
		out[n++] = e;
	(void)pthread_mutex_unlock(&log->lock);
	return n;
}

/* What is sealed now, and no more: however much comes meanwhile, the rest of the cycle has its turn. */
static enum err write_sealed(struct log *log, bool is_due)
{
	const struct log_entry *frames[FRAMES];
	uint64_t end = log_sealed_lsn(log);
	size_t n;

	while ((n = gather(log, end, frames)) > 0) {
		for (size_t i = 0; i < n; i++) {
			TRY(log_writer_put(log, frames[i]));
			if (log->disk->writer.unsynced_octets >= LOG_SYNC_OCTETS)
				TRY(log_writer_sync(log));
		}
	}
	return is_due ? log_writer_sync(log) : ERR_OK;
}

/* True when everything that was sealed is durable, or will be soon. */
static bool commit_log(struct log *log, int64_t now_ms, bool is_forced, bool is_last)
{
	struct log_writer *w = &log->disk->writer;
	bool is_due;
	enum err e;

	log_settle(log);
	if (w->has_trouble && now_ms < w->retry_ms && !is_last)
		return false;
	is_due = w->has_trouble || is_forced || log_is_due(log, now_ms);
	if (!is_due && !log_is_awaited(log))
		return true;
	e = write_sealed(log, is_due);
	if (e == ERR_OK) {
		w->has_trouble = false;
		return true;
	}
	if (e == ERR_FULL || errno == ENOSPC || errno == EDQUOT)
		log->hub->may_not_grow = true;
	say_trouble(log->hub, e, "write");
	log_writer_abandon(log);
	w->has_trouble = true;
	w->is_full = e == ERR_FULL;
	w->retry_ms = now_ms + (e == ERR_FULL ? LOG_COMMIT_MS : RETRY_MS);
	return false;
}

/* --- giving room back --- */

/* Under the lock: the oldest segment, out of the list, when it ends at or below `lsn` and is not the
 * one that is written. */
static struct log_segment *take_oldest(struct log *log, uint64_t lsn)
{
	struct log_segment *s = log->disk->oldest;
	bool is_written = s != NULL && s == log->disk->newest && log->disk->writer.fd >= 0;

	if (s == NULL || is_written || s->end_lsn > lsn)
		return NULL;
	log_segment_del(log->disk, s);
	return s;
}

/* A segment that cannot be removed stays where it was, to be tried again. */
static bool give_back(struct log *log, struct log_segment *s)
{
	if (log_writer_remove(log, s))
		return true;
	(void)pthread_mutex_lock(&log->lock);
	log_segment_add_oldest(log->disk, s);
	(void)pthread_mutex_unlock(&log->lock);
	log_every(LOG_LEVEL_ERROR, "log.remove_failed dir=%s/%s first=%llu why=\"%s\"",
		  log->hub->dir, log->disk->name, (unsigned long long)s->first_lsn,
		  strerror(errno));
	return false;
}

static void free_segments(struct log *log)
{
	struct log_segment *s;

	do {
		(void)pthread_mutex_lock(&log->lock);
		/* Below it no sink will ask again, not even after a crash. */
		s = take_oldest(log,
				log->readers == NULL ? 0 : log_least(log, LOG_MARK_STORED_TWICE));
		(void)pthread_mutex_unlock(&log->lock);
	} while (s != NULL && give_back(log, s));
}

/* Under the lock: what only the memory has of a segment that is gone is still there, but when it is too
 * old.  Records lost, of all readers. */
static uint64_t lose_segment(struct log *log, const struct log_segment *s, enum log_loss why,
			     struct log_slab **list)
{
	uint64_t end = s->end_lsn;
	uint64_t lost = 0;

	while (why == LOG_LOST_MAX_AGE && log->oldest != NULL && log_entry_end(log->oldest) <= end)
		log_unlink_oldest(log, list);
	if (log->oldest != NULL && log->oldest->head.first_lsn < end)
		end = log->oldest->head.first_lsn;
	for (struct log_reader *r = log->readers; r != NULL; r = r->next)
		lost += log_reader_lose(r, s->first_lsn, end, why);
	log->disk->gone_lsn = s->end_lsn;
	log->disk->gone_why = why;
	return lost;
}

/* The oldest segment goes unread: what of it is not in memory is lost to sinks that are behind. */
static bool evict(struct log *log, enum log_loss why)
{
	static const char *const whys[LOG_LOSS_COUNT] = { "max_bytes", "max_age", "removed",
							  "not_durable" };
	struct log_slab *list = NULL;
	struct log_segment *s;
	uint64_t lost = 0;

	(void)pthread_mutex_lock(&log->lock);
	s = take_oldest(log, UINT64_MAX);
	if (s != NULL)
		lost = lose_segment(log, s, why, &list);
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	if (s == NULL)
		return false;
	log_add_lost(log->hub, why, lost);
	if (lost > 0)
		log_every(LOG_LEVEL_WARN,
			  "log.evicted dir=%s/%s first=%llu records_lost=%llu why=%s",
			  log->hub->dir, log->disk->name, (unsigned long long)s->first_lsn,
			  (unsigned long long)lost, whys[why]);
	return give_back(log, s);
}

static int64_t oldest_ms(struct log *log)
{
	const struct log_segment *s;
	int64_t ms = INT64_MAX;

	(void)pthread_mutex_lock(&log->lock);
	s = log->disk->oldest;
	if (s != NULL && !(s == log->disk->newest && log->disk->writer.fd >= 0))
		ms = s->newest_ms;
	(void)pthread_mutex_unlock(&log->lock);
	return ms;
}

/* The oldest segment of all logs makes room for a log that has trouble for want of it. */
static void make_room(struct log_hub *hub)
{
	struct log *found = NULL;
	int64_t found_ms = INT64_MAX;

	for (size_t i = 0; i < hub->log_count; i++) {
		int64_t ms = oldest_ms(hub->logs[i]);

		if (ms < found_ms) {
			found = hub->logs[i];
			found_ms = ms;
		}
	}
	if (found == NULL || !evict(found, LOG_LOST_MAX_BYTES))
		return;
	/* A file system that is full for others, too, is not asked again at once. */
	for (size_t i = 0; i < hub->log_count; i++) {
		struct log_writer *w = &hub->logs[i]->disk->writer;

		w->retry_ms = w->is_full ? 0 : w->retry_ms;
	}
}

/* Somebody may have taken the directory away: what was in it is lost to those that are behind, and what
 * is in memory goes into a new one. */
static void look(struct log_hub *hub)
{
	bool is_gone = !log_dir_is_there(hub);

	if (is_gone && log_dir_again(hub) != ERR_OK)
		say_trouble(hub, ERR_IO, "directory");
	for (size_t i = 0; i < hub->log_count; i++) {
		struct log *log = hub->logs[i];

		if (!is_gone && log_disk_is_there(log) && log_writer_is_there(log))
			continue;
		log_error("log.removed dir=%s/%s: somebody took it, or what is in it, away",
			  hub->dir, log->disk->name);
		log_writer_abandon(log);
		if (!is_gone && log_disk_is_there(log))
			continue;
		log_writer_forget_spare(log);
		while (evict(log, LOG_LOST_CORRUPT))
			continue;
		if (log_disk_again(log) != ERR_OK)
			say_trouble(hub, ERR_IO, "directory");
	}
	log_cursors_look(hub);
}

/* A segment that nothing was added to for so long is complete. */
static void close_old(struct log *log, int64_t before_ms)
{
	bool is_old;

	(void)pthread_mutex_lock(&log->lock);
	is_old = log->disk->newest != NULL && log->disk->newest->newest_ms < before_ms;
	(void)pthread_mutex_unlock(&log->lock);
	if (is_old && log->disk->writer.unsynced_octets == 0)
		log_writer_close(log);
}

static void expire(struct log_hub *hub, int64_t now_ms)
{
	if (hub->conf.max_age_ms == 0)
		return;
	for (size_t i = 0; i < hub->log_count; i++) {
		close_old(hub->logs[i], now_ms - hub->conf.max_age_ms);
		while (oldest_ms(hub->logs[i]) < now_ms - hub->conf.max_age_ms &&
		       evict(hub->logs[i], LOG_LOST_MAX_AGE))
			continue;
	}
}

/* Under the lock: the oldest frame leaves memory; when its segment made room before, it is lost to sinks
 * that are behind.  How many records were lost. */
static uint64_t trim_oldest(struct log *log, struct log_slab **list)
{
	const struct log_segment *s = log->disk->oldest;
	const struct log_entry *e = log->oldest;
	uint64_t lost = 0;

	for (struct log_reader *r = log->readers; r != NULL; r = r->next) {
		if (s == NULL || log_entry_end(e) <= s->first_lsn)
			lost += log_reader_lose(r, e->head.first_lsn, log_entry_end(e),
						LOG_LOST_MAX_BYTES);
	}
	log_unlink_oldest(log, list);
	return lost;
}

/* Under the lock: does no reader come to the oldest frame any more, unless it is sent back to the disk? */
static bool is_read(const struct log *log)
{
	const struct log_segment *s = log->disk->oldest;
	uint64_t end = log_entry_end(log->oldest);

	return s != NULL && end > s->first_lsn && end <= log_least(log, LOG_MARK_READ);
}

/* Frames that are durable leave memory once they were read, and when others need it, read or not: sinks that
 * complete files now and then have much that is not done. */
static void trim(struct log *log)
{
	struct log_slab *list = NULL;
	uint64_t lost = 0;
	const struct log_hub *hub = log->hub;
	uint64_t over = atomic_load(&hub->bytes);
	uint64_t freed = 0;

	over = over > hub->conf.memory_bytes / 2 ? over - hub->conf.memory_bytes / 2 : 0;
	(void)pthread_mutex_lock(&log->lock);
	while (log->oldest != NULL && log_entry_end(log->oldest) <= log_durable(log) &&
	       (freed < over || is_read(log))) {
		freed += log->oldest->head.plain_bytes;
		lost += trim_oldest(log, &list);
	}
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	log_add(log->hub, LOG_STAT_EVICTED, lost);
}

/* --- the thread --- */

static bool commit_all(struct log_hub *hub, int64_t now_ms, bool is_forced, bool is_last)
{
	bool is_well = true;

	for (size_t i = 0; i < hub->log_count; i++)
		is_well = commit_log(hub->logs[i], now_ms, is_forced, is_last) && is_well;
	return is_well;
}

/* Full: the room comes from what is stored soon, or from the oldest. */
static void find_room(struct log_hub *hub, int64_t now_ms)
{
	if (hub->conf.policy == LOG_EVICT_OLDEST)
		make_room(hub);
	if (hub->next_store_ms > now_ms + LOG_COMMIT_MS)
		hub->next_store_ms = now_ms + LOG_COMMIT_MS;
}

static bool store(struct log_hub *hub, int64_t now_ms, bool is_ahead)
{
	if (!is_ahead)
		hub->next_store_ms = now_ms + STORE_MS;
	if (log_cursors_store(hub, is_ahead) == ERR_OK)
		return true;
	hub->next_ahead_ms = now_ms + RETRY_MS;
	say_trouble(hub, ERR_IO, "cursors");
	return false;
}

/* True when everything is durable and every cursor stored. */
static bool cycle(struct log_hub *hub, bool is_last)
{
	int64_t now_ms = clock_mono_ms();
	bool is_forced = is_last || stat_flag_get(&hub->wants_commit) != 0;
	bool is_due = is_forced || now_ms >= hub->next_store_ms;
	bool is_ahead;
	bool is_well = true;

	if (is_forced)
		stat_flag_set(&hub->wants_commit, 0);
	hub->may_not_grow = false;
	is_ahead = hub->conf.sync == LOG_SYNC_GROUP && now_ms >= hub->next_ahead_ms &&
		   log_is_store_worth(hub, now_ms, is_due);
	if (is_due || is_ahead)
		log_cursors_take(hub);
	if (is_ahead)
		is_well = store(hub, now_ms, true);
	/* The cursors that were taken wait for what lies below them. */
	is_forced = is_forced || (is_due && log_cursors_are_ahead(hub));
	is_well = commit_all(hub, now_ms, is_forced, is_last) && is_well;
	if (is_due)
		is_well = store(hub, now_ms, false) && is_well;
	if (is_well)
		say_well(hub);
	for (size_t i = 0; i < hub->log_count; i++) {
		free_segments(hub->logs[i]);
		trim(hub->logs[i]);
		if (hub->may_not_grow)
			log_writer_drop_spare(hub->logs[i]);
		else
			log_writer_spare(hub->logs[i]);
	}
	if (hub->may_not_grow)
		find_room(hub, now_ms);
	if (now_ms >= hub->next_look_ms) {
		hub->next_look_ms = now_ms + LOOK_MS;
		look(hub);
		expire(hub, now_ms);
	}
	(void)pthread_mutex_lock(&hub->lock);
	(void)pthread_cond_broadcast(&hub->synced);
	(void)pthread_mutex_unlock(&hub->lock);
	return is_well;
}

static void run(void *ctx)
{
	struct log_hub *hub = ctx;

	while (!stat_flag_get(&hub->stop)) {
		(void)cycle(hub, false);
		log_hub_wait_work(hub, LOG_WAIT_MS);
	}
	for (int i = 0; i < STOP_TRIES && !hub->is_clean; i++)
		hub->is_clean = cycle(hub, true);
}

enum err log_hub_start(struct log_hub *hub, struct why *why)
{
	if (hub->dir_fd < 0)
		return ERR_OK;
	log_cursors_drop(hub);
	log_dir_tidy(hub);
	hub->work_octets = hub->conf.sync != LOG_SYNC_GROUP ? 1
			   : hub->conf.memory_bytes / 8 < LOG_AHEAD_OCTETS
				   ? hub->conf.memory_bytes / 8
				   : LOG_AHEAD_OCTETS;
	if (thread_start("log-commit", run, hub, &hub->committer) != ERR_OK)
		return why_set(why, ERR_NOMEM, "log: no thread");
	return ERR_OK;
}

static void say_unsaved(const struct log_hub *hub)
{
	uint64_t records = 0;

	for (size_t i = 0; i < hub->log_count; i++)
		records += log_end_lsn(hub->logs[i]) - log_durable(hub->logs[i]);
	log_error("log.not_saved dir=%s records=%llu why=\"%s\"", hub->dir,
		  (unsigned long long)records, hub->trouble);
}

void log_hub_stop(struct log_hub *hub)
{
	if (hub->committer == NULL)
		return;
	stat_flag_set(&hub->stop, 1);
	log_hub_wake(hub);
	thread_join(hub->committer);
	hub->committer = NULL;
	if (!hub->is_clean)
		say_unsaved(hub);
}

enum err log_reader_sync(struct log_reader *r, uint64_t lsn, int timeout_ms)
{
	struct log *log = r->log;
	struct log_hub *hub = log->hub;
	int64_t until_ms = clock_mono_ms() + timeout_ms;

	if (log->disk == NULL || log_durable(log) >= lsn)
		return ERR_OK;
	/* Once: a disk that fails is tried again without being asked. */
	stat_flag_set(&hub->wants_commit, 1);
	log_hub_wake(hub);
	while (log_durable(log) < lsn) {
		struct timespec until = { until_ms / 1000, until_ms % 1000 * 1000000 };
		int rc;

		(void)pthread_mutex_lock(&hub->lock);
		rc = log_durable(log) >= lsn
			     ? 0
			     : pthread_cond_timedwait(&hub->synced, &hub->lock, &until);
		(void)pthread_mutex_unlock(&hub->lock);
		if (rc == ETIMEDOUT)
			return log_durable(log) >= lsn ? ERR_OK : ERR_AGAIN;
	}
	return ERR_OK;
}
