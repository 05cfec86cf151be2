/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "sink/log_parts.h"

static uint64_t get(const _Atomic uint64_t *lsn)
{
	return atomic_load_explicit(lsn, memory_order_relaxed);
}

static void set(_Atomic uint64_t *lsn, uint64_t v)
{
	atomic_store_explicit(lsn, v, memory_order_relaxed);
}

enum err log_reader_open(struct log *log, const char *sink, enum log_start from, struct why *why,
			 struct log_reader **out)
{
	struct log_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return why_set(why, ERR_NOMEM, "sink %s: no memory for a reader", sink);
	r->log = log;
	(void)snprintf(r->sink, sizeof(r->sink), "%s", sink);
	(void)pthread_mutex_lock(&log->lock);
	if (from == LOG_FROM_END)
		r->start_lsn = log_end_lsn(log);
	else
		r->start_lsn = log->oldest == NULL ? log->sealed_lsn : log->oldest->head.first_lsn;
	set(&r->next_lsn, r->start_lsn);
	set(&r->done_lsn, r->start_lsn);
	r->next = log->readers;
	log->readers = r;
	(void)pthread_mutex_unlock(&log->lock);
	*out = r;
	return ERR_OK;
}

/* Under the lock: the sink no longer looks at what it read last. */
static void unpin(struct log_reader *r, struct log_slab **list)
{
	struct log_entry *e = r->at;

	r->at = NULL;
	if (e == NULL)
		return;
	e->pins--;
	if (e->pins == 0 && !e->is_linked)
		log_hold_drop(r->log, e->slab, list);
}

void log_free_done(struct log *log, struct log_slab **list)
{
	uint64_t done = UINT64_MAX;

	for (const struct log_reader *r = log->readers; r != NULL; r = r->next) {
		if (get(&r->done_lsn) < done)
			done = get(&r->done_lsn);
	}
	while (log->oldest != NULL && log_entry_end(log->oldest) <= done)
		log_unlink_oldest(log, list);
}

void log_reader_close(struct log_reader *r)
{
	struct log_slab *list = NULL;
	struct log *log;

	if (r == NULL)
		return;
	log = r->log;
	(void)pthread_mutex_lock(&log->lock);
	unpin(r, &list);
	for (struct log_reader **p = &log->readers; *p != NULL; p = &(*p)->next) {
		if (*p == r) {
			*p = r->next;
			break;
		}
	}
	log_free_done(log, &list);
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	free(r);
}

/* Under the lock: the first frame with records at or above next_lsn.  A reader that keeps up finds
 * it at the new end of the list, one that reads on finds it behind what it looked at last. */
static struct log_entry *find_next(const struct log_reader *r)
{
	struct log_entry *e = r->log->newest;
	uint64_t lsn = get(&r->next_lsn);

	if (r->at != NULL)
		return r->at->is_linked ? r->at->next : r->log->oldest;
	if (e == NULL || log_entry_end(e) <= lsn)
		return NULL;
	while (e->prev != NULL && log_entry_end(e->prev) > lsn)
		e = e->prev;
	return e;
}

/* Cuts the records below `lsn` off the frame's front. */
static void cut_front(struct log_frame *frame, uint64_t lsn)
{
	struct log_record record = { .lsn = 0 };
	size_t at = 0;

	while (frame->head.first_lsn < lsn) {
		bool is_there = log_frame_next(frame, &at, &record);

		must(is_there);
		frame->body += at;
		frame->bytes -= at;
		at = 0;
		frame->head.first_lsn++;
		frame->head.record_count--;
		frame->head.crc = 0;
	}
	frame->head.body_bytes = frame->bytes;
	frame->head.plain_bytes = frame->bytes;
}

enum err log_reader_next(struct log_reader *r, struct log_frame *out)
{
	struct log *log = r->log;
	struct log_slab *list = NULL;
	struct log_entry *e;
	enum err none;
	uint64_t lsn;

	(void)pthread_mutex_lock(&log->lock);
	e = find_next(r);
	unpin(r, &list);
	none = log->is_finished ? ERR_CLOSED : ERR_AGAIN;
	lsn = get(&r->next_lsn);
	if (e != NULL) {
		e->pins++;
		r->at = e;
		set(&r->next_lsn, log_entry_end(e));
	}
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	if (e == NULL)
		return none;
	out->head = e->head;
	out->body = log_entry_body(e);
	out->bytes = e->head.plain_bytes;
	if (lsn > e->head.first_lsn)
		cut_front(out, lsn);
	return ERR_OK;
}

/* Records of [first, end) that were lost unread. */
static uint64_t lost_within(const struct log_reader *r, uint64_t first, uint64_t end)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < r->gap_count; i++) {
		uint64_t from = r->gaps[i].first > first ? r->gaps[i].first : first;
		uint64_t to = r->gaps[i].end < end ? r->gaps[i].end : end;

		lost += to > from ? to - from : 0;
	}
	return lost;
}

/* Past LOG_GAPS_MAX the newest two become one, with what lies between: only a sink that goes back
 * over all of them could then count some of its loss too low. */
static void add_gap(struct log_reader *r, uint64_t first, uint64_t end)
{
	struct log_gap *last = r->gap_count == 0 ? NULL : &r->gaps[r->gap_count - 1];

	if (last != NULL && (last->end == first || r->gap_count == LOG_GAPS_MAX)) {
		last->end = end;
		return;
	}
	r->gaps[r->gap_count++] = (struct log_gap){ first, end };
}

/* Under the lock: moves done on, over gaps that it meets. */
static void move_done(struct log_reader *r, uint64_t lsn)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->gap_count; i++) {
		if (r->gaps[i].first <= lsn && lsn < r->gaps[i].end)
			lsn = r->gaps[i].end;
	}
	for (size_t i = 0; i < r->gap_count; i++) {
		if (r->gaps[i].end > lsn)
			r->gaps[kept++] = r->gaps[i];
	}
	r->gap_count = kept;
	if (lsn > get(&r->done_lsn))
		set(&r->done_lsn, lsn);
}

static void lose(struct log_reader *r, uint64_t first, uint64_t end)
{
	set(&r->evicted, get(&r->evicted) + (end - first));
	add_gap(r, first, end);
	set(&r->next_lsn, end);
	move_done(r, get(&r->done_lsn));
}

uint64_t log_reader_lose(struct log_reader *r, const struct log_entry *e)
{
	uint64_t first = e->head.first_lsn;
	uint64_t end = log_entry_end(e);

	if (get(&r->next_lsn) > first)
		first = get(&r->next_lsn);
	if (first >= end)
		return 0;
	lose(r, first, end);
	return end - first;
}

void reader_done(struct log_reader *r, uint64_t lsn)
{
	struct log *log = r->log;
	struct log_slab *list = NULL;

	(void)pthread_mutex_lock(&log->lock);
	must(lsn <= log->sealed_lsn || lsn == r->start_lsn);
	move_done(r, lsn);
	log_free_done(log, &list);
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
}

/* Under the lock: what was read, but made room since, is lost when it is asked for again. */
static uint64_t seek_over_evicted(struct log_reader *r, uint64_t lsn)
{
	const struct log *log = r->log;
	uint64_t oldest = log->oldest == NULL ? log->sealed_lsn : log->oldest->head.first_lsn;
	uint64_t lost;

	if (lsn >= oldest)
		return 0;
	lost = oldest - lsn - lost_within(r, lsn, oldest);
	set(&r->evicted, get(&r->evicted) + lost);
	r->gap_count = 0; /* all of them lie below `oldest` */
	add_gap(r, lsn, oldest);
	set(&r->next_lsn, oldest);
	move_done(r, get(&r->done_lsn));
	return lost;
}

enum err log_reader_seek(struct log_reader *r, uint64_t lsn)
{
	struct log *log = r->log;
	struct log_slab *list = NULL;
	uint64_t lost = 0;
	bool is_allowed;

	(void)pthread_mutex_lock(&log->lock);
	is_allowed = lsn >= get(&r->done_lsn) && lsn <= get(&r->next_lsn);
	if (is_allowed) {
		unpin(r, &list);
		set(&r->next_lsn, lsn);
		lost = seek_over_evicted(r, lsn);
		log_free_done(log, &list);
	}
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	if (lost > 0) {
		(void)pthread_mutex_lock(&log->hub->lock);
		stat_add(log->hub->stat, LOG_STAT_EVICTED, lost);
		(void)pthread_mutex_unlock(&log->hub->lock);
	}
	return is_allowed ? ERR_OK : ERR_LIMIT;
}

uint64_t log_reader_start_lsn(const struct log_reader *r)
{
	return r->start_lsn;
}

uint64_t log_reader_done_lsn(const struct log_reader *r)
{
	return get(&r->done_lsn);
}

uint64_t log_reader_next_lsn(const struct log_reader *r)
{
	return get(&r->next_lsn);
}

uint64_t log_reader_pending(const struct log_reader *r)
{
	uint64_t end = log_end_lsn(r->log);
	uint64_t done;
	uint64_t lost;

	(void)pthread_mutex_lock(&r->log->lock);
	done = get(&r->done_lsn);
	lost = lost_within(r, done, end);
	(void)pthread_mutex_unlock(&r->log->lock);
	return end > done + lost ? end - done - lost : 0;
}

uint64_t log_reader_evicted(const struct log_reader *r)
{
	return get(&r->evicted);
}

enum err log_reader_sync(struct log_reader *r, uint64_t lsn, int timeout_ms)
{
	(void)timeout_ms;
	return lsn <= log_durable_lsn(r->log) ? ERR_OK : ERR_AGAIN;
}

uint64_t log_reader_stored_lsn(const struct log_reader *r)
{
	return log_reader_done_lsn(r);
}

void log_reader_committed(struct log_reader *r, uint64_t lsn)
{
	(void)pthread_mutex_lock(&r->log->lock);
	must(r->log->oldest == NULL && r->log->open == NULL);
	if (lsn > log_end_lsn(r->log)) {
		set(&r->log->end_lsn, lsn);
		r->log->sealed_lsn = lsn;
	}
	(void)pthread_mutex_unlock(&r->log->lock);
	reader_done(r, lsn);
	(void)log_reader_seek(r, log_reader_done_lsn(r));
}

const struct log *log_reader_log(const struct log_reader *r)
{
	return r->log;
}
