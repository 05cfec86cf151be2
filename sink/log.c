/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "sink/log_parts.h"

#define FRAME_OVERHEAD sizeof(struct log_entry)
#define FRAME_VERSION 1

static void log_destroy(struct log *log)
{
	const struct log_disk *disk = log->disk;

	/* What is not on disk must not be forgotten: neither records, nor that some were lost before. */
	if (disk != NULL && (log_durable(log) < log_end_lsn(log) ||
			     (disk->begin_durable < disk->begin_lsn && !log->hub->is_clean)))
		log->hub->has_lost = true;
	log_disk_close(log);
	(void)pthread_mutex_destroy(&log->lock);
	free(log);
}

enum err log_open(struct log_hub *hub, unsigned worker, struct why *why, struct log **out)
{
	struct log *log = calloc(1, sizeof(*log));
	bool is_added = false;

	if (log == NULL)
		return why_set(why, ERR_NOMEM, "log %u: no memory", worker);
	log->hub = hub;
	log->worker = worker;
	log->end_lsn = &log->own_end;
	(void)pthread_mutex_init(&log->lock, NULL);
	if (hub->dir_fd >= 0) {
		enum err e = log_recover(log, why);

		if (e != ERR_OK) {
			log_destroy(log);
			return e;
		}
	}
	(void)pthread_mutex_lock(&hub->lock);
	if (hub->log_count < LOG_LOGS_MAX) {
		hub->logs[hub->log_count++] = log;
		is_added = true;
	}
	(void)pthread_mutex_unlock(&hub->lock);
	if (!is_added) {
		log_destroy(log);
		return why_set(why, ERR_LIMIT, "log %u: more than %d logs", worker, LOG_LOGS_MAX);
	}
	*out = log;
	return ERR_OK;
}

void log_hold_drop(struct log *log, struct log_slab *slab, struct log_slab **list)
{
	must(slab->holds > 0);
	slab->holds--;
	if (slab->holds > 0)
		return;
	must(log->slab_count > 0);
	log->slab_count--;
	slab->next = *list;
	*list = slab;
}

void log_unlink_oldest(struct log *log, struct log_slab **list)
{
	struct log_entry *e = log->oldest;

	log->oldest = e->next;
	if (e->next == NULL)
		log->newest = NULL;
	else
		e->next->prev = NULL;
	e->next = NULL;
	e->is_linked = false;
	if (e->pins == 0)
		log_hold_drop(log, e->slab, list);
}

void log_close(struct log *log)
{
	struct log_hub *hub;
	struct log_slab *list = NULL;

	if (log == NULL)
		return;
	must(log->readers == NULL);
	hub = log->hub;
	(void)pthread_mutex_lock(&hub->lock);
	for (size_t i = 0; i < hub->log_count; i++) {
		if (hub->logs[i] == log)
			hub->logs[i] = hub->logs[--hub->log_count];
	}
	(void)pthread_mutex_unlock(&hub->lock);
	while (log->oldest != NULL)
		log_unlink_oldest(log, &list);
	if (log->slab != NULL)
		log_hold_drop(log, log->slab, &list);
	log_slab_give(hub, list);
	log_destroy(log);
}

bool log_frame_is_sound(const struct log_frame *frame)
{
	return frame->head.crc == 0 || frame->head.crc == log_frame_crc(&frame->head, frame->body);
}

static void count_sealed(struct log_hub *hub, uint64_t records, uint64_t octets, bool is_due)
{
	(void)pthread_mutex_lock(&hub->lock);
	stat_add(hub->stat, LOG_STAT_APPENDED, records);
	stat_add(hub->stat, LOG_STAT_APPENDED_OCTETS, octets);
	stat_inc(hub->stat, LOG_STAT_FRAMES);
	hub->sealed++;
	hub->unseen_octets += octets;
	(void)pthread_cond_broadcast(&hub->wake);
	hub->is_woken = hub->is_woken || is_due;
	if (is_due || hub->unseen_octets >= hub->work_octets)
		(void)pthread_cond_signal(&hub->work);
	(void)pthread_mutex_unlock(&hub->lock);
}

void log_flush(struct log *log)
{
	struct log_entry *e = log->open;
	struct log_slab *list = NULL;
	uint64_t records;
	bool is_due;

	if (e == NULL)
		return;
	log->open = NULL;
	records = e->head.record_count;
	e->head.plain_bytes = e->head.body_bytes;
	if (log->hub->conf.has_crc)
		e->head.crc = log_frame_crc(&e->head, log_entry_body(e));
	e->sealed_ms = clock_mono_ms();
	is_due = e->sealed_ms - e->opened_ms >= LOG_COMMIT_MS;
	(void)pthread_mutex_lock(&log->lock);
	e->is_linked = true;
	e->slab->holds++;
	e->prev = log->newest;
	if (log->newest == NULL)
		log->oldest = e;
	else
		log->newest->next = e;
	log->newest = e;
	log->sealed_lsn = log_entry_end(e);
	/* On disk the commit thread may be looking at it. */
	if (log->readers == NULL && log->disk == NULL)
		log_unlink_oldest(log, &list);
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	/* The frame may be gone by now. */
	count_sealed(log->hub, records, log->open_octets, is_due);
}

void log_tick(struct log *log, int64_t mono_ms)
{
	if (log->open != NULL && mono_ms - log->opened_ms >= LOG_COMMIT_MS)
		log_flush(log);
}

void log_finish(struct log *log)
{
	log_flush(log);
	(void)pthread_mutex_lock(&log->lock);
	log->is_finished = true;
	(void)pthread_mutex_unlock(&log->lock);
	log_hub_wake(log->hub);
}

uint64_t log_end_lsn(const struct log *log)
{
	return atomic_load_explicit(log->end_lsn, memory_order_acquire);
}

uint64_t log_sealed_lsn(struct log *log)
{
	uint64_t lsn;

	(void)pthread_mutex_lock(&log->lock);
	lsn = log->sealed_lsn;
	(void)pthread_mutex_unlock(&log->lock);
	return lsn;
}

uint64_t log_durable_lsn(struct log *log)
{
	return log->disk == NULL ? log_sealed_lsn(log) : log_durable(log);
}

unsigned log_worker(const struct log *log)
{
	return log->worker;
}

/* The log whose oldest frame is the oldest of all, or NULL. */
static struct log *find_oldest(struct log_hub *hub)
{
	struct log *logs[LOG_LOGS_MAX];
	struct log *found = NULL;
	int64_t found_ms = INT64_MAX;
	size_t count;

	(void)pthread_mutex_lock(&hub->lock);
	count = hub->log_count;
	memcpy(logs, hub->logs, count * sizeof(logs[0]));
	(void)pthread_mutex_unlock(&hub->lock);
	for (size_t i = 0; i < count; i++) {
		(void)pthread_mutex_lock(&logs[i]->lock);
		if (logs[i]->oldest != NULL && logs[i]->oldest->sealed_ms < found_ms) {
			found = logs[i];
			found_ms = logs[i]->oldest->sealed_ms;
		}
		(void)pthread_mutex_unlock(&logs[i]->lock);
	}
	return found;
}

/* Drops the oldest frame of all logs; false when there is none. */
static bool evict_one(struct log_hub *hub)
{
	struct log *log = find_oldest(hub);
	struct log_slab *list = NULL;
	uint64_t lost = 0;

	if (log == NULL)
		return false;
	(void)pthread_mutex_lock(&log->lock);
	if (log->oldest != NULL) {
		for (struct log_reader *r = log->readers; r != NULL; r = r->next)
			lost += log_reader_lose(r, log->oldest->head.first_lsn,
						log_entry_end(log->oldest), LOG_LOST_MAX_BYTES);
		log_unlink_oldest(log, &list);
	}
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(hub, list);
	log_add(hub, LOG_STAT_EVICTED, lost);
	return true;
}

/* Counts `room` more octets as in use; false when they would be too many.  A log without any slab
 * may have one. */
static bool charge(struct log *log, size_t room)
{
	struct log_hub *hub = log->hub;
	uint64_t before = atomic_fetch_add(&hub->bytes, room);
	bool is_first;

	(void)pthread_mutex_lock(&log->lock);
	is_first = log->slab_count == 0;
	(void)pthread_mutex_unlock(&log->lock);
	if (is_first || before + room <= hub->conf.memory_bytes)
		return true;
	(void)atomic_fetch_sub(&hub->bytes, room);
	return false;
}

/* Leaves the slab, or empties it when nothing else holds it and it is large enough. */
static bool leave_slab(struct log *log, size_t room)
{
	struct log_slab *list = NULL;
	bool is_empty = false;

	(void)pthread_mutex_lock(&log->lock);
	if (log->slab != NULL) {
		is_empty = log->slab->holds == 1 && log->slab->room >= room;
		if (is_empty)
			log->slab->used = 0;
		else
			log_hold_drop(log, log->slab, &list);
	}
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	if (!is_empty)
		log->slab = NULL;
	return is_empty;
}

/* Makes log->slab one with room for a frame of `need` octets, heads included. */
static enum err new_slab(struct log *log, size_t need)
{
	size_t room = need > LOG_FRAME_BYTES ? need : LOG_FRAME_BYTES;

	if (leave_slab(log, room))
		return ERR_OK;
	while (!charge(log, room)) {
		/* On disk, room is made there, and then here. */
		if (log->disk != NULL || log->hub->conf.policy == LOG_BLOCK || !evict_one(log->hub))
			return ERR_FULL;
	}
	log->slab = log_slab_take(log->hub, room);
	if (log->slab == NULL) {
		(void)atomic_fetch_sub(&log->hub->bytes, room);
		return ERR_NOMEM;
	}
	(void)pthread_mutex_lock(&log->lock);
	log->slab_count++;
	(void)pthread_mutex_unlock(&log->lock);
	return ERR_OK;
}

static void open_frame(struct log *log, uint32_t schema)
{
	struct log_entry *e;

	must(log->slab != NULL);
	e = (struct log_entry *)(log->slab->octets + log->slab->used);
	memset(e, 0, sizeof(*e));
	e->slab = log->slab;
	e->head.magic = LOG_FRAME_MAGIC;
	e->head.version = FRAME_VERSION;
	e->head.schema = schema;
	e->head.first_lsn = log_end_lsn(log);
	log->slab->used += FRAME_OVERHEAD;
	log->open = e;
	log->open_octets = 0;
	log->opened_ms = clock_mono_ms();
	e->opened_ms = log->opened_ms;
}

enum err log_append(struct log *log, const struct log_batch *b, uint64_t *first_lsn)
{
	uint64_t lsn = log_end_lsn(log);
	size_t left;

	must(!log->is_finished);
	*first_lsn = lsn;
	if (b->record_count == 0)
		return ERR_OK;
	if (log->open != NULL && log->open->head.schema != b->schema)
		log_flush(log);
	left = log->slab == NULL ? 0 : log->slab->room - log->slab->used;
	if (left < b->bytes + (log->open == NULL ? FRAME_OVERHEAD : 0)) {
		log_flush(log);
		TRY(new_slab(log, b->bytes + FRAME_OVERHEAD));
	}
	if (log->open == NULL)
		open_frame(log, b->schema);
	must(log->slab != NULL);
	memcpy(log->slab->octets + log->slab->used, b->octets, b->bytes);
	log->slab->used += b->bytes;
	log->open->head.body_bytes += b->bytes;
	log->open->head.record_count += b->record_count;
	log_uses_add(&log->open->uses, &b->uses);
	log->open_octets += b->bytes;
	atomic_store_explicit(log->end_lsn, lsn + b->record_count, memory_order_release);
	if (log->hub->conf.sync == LOG_SYNC_EACH)
		log_flush(log);
	return ERR_OK;
}
