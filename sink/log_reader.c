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

uint64_t log_oldest_lsn(const struct log *log)
{
	uint64_t oldest = log->oldest == NULL ? log->sealed_lsn : log->oldest->head.first_lsn;

	if (log->disk != NULL && log->disk->oldest != NULL && log->disk->oldest->first_lsn < oldest)
		return log->disk->oldest->first_lsn;
	return oldest;
}

/* Under the lock: where a sink begins that is not known yet. */
static uint64_t start_of(const struct log *log, enum log_start from)
{
	uint64_t oldest = log_oldest_lsn(log);

	if (from == LOG_FROM_END)
		return log_end_lsn(log);
	/* What was passed over is no loss to a sink that was not there. */
	return log->disk != NULL && log->disk->settled_lsn > oldest ? log->disk->settled_lsn
								    : oldest;
}

/* Under the lock: where the sink was, and what it cannot get any more. */
static void go_on(struct log_reader *r, enum log_start from)
{
	const struct log *log = r->log;
	const struct log_place *p =
		r->cursor == NULL ? NULL : log_cursor_place(r->cursor, log->worker);
	uint64_t oldest = log_oldest_lsn(log);

	/* Twice is better than never. */
	if (r->cursor != NULL && r->cursor->is_damaged)
		from = LOG_FROM_OLDEST;
	r->start_lsn = p == NULL ? start_of(log, from) : p->start;
	set(&r->done_lsn, p == NULL ? r->start_lsn : p->done);
	set(&r->next_lsn, get(&r->done_lsn));
	set(&r->stored_lsn, get(&r->done_lsn));
	set(&r->older_lsn, get(&r->done_lsn));
	/* What made room before it was read; the rest that is missing is found where it should be. */
	if (p != NULL && p->done < p->oldest && p->done < oldest)
		(void)log_reader_lose(r, p->done, p->oldest < oldest ? p->oldest : oldest,
				      LOG_LOST_MAX_BYTES);
}

static enum err open_reader(struct log *log, const char *sink, struct log_cursor *cursor,
			    enum log_start from, struct why *why, struct log_reader **out)
{
	struct log_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return why_set(why, ERR_NOMEM, "sink %s: no memory for a reader", sink);
	r->log = log;
	(void)snprintf(r->sink, sizeof(r->sink), "%s", sink);
	r->cursor = cursor;
	(void)pthread_mutex_lock(&log->lock);
	go_on(r, from);
	r->next = log->readers;
	log->readers = r;
	(void)pthread_mutex_unlock(&log->lock);
	if (r->cursor != NULL)
		r->cursor->readers[r->cursor->reader_count++] = r;
	*out = r;
	return ERR_OK;
}

enum err log_reader_open(struct log *log, const char *name, enum log_start from, struct why *why,
			 struct log_reader **out)
{
	return open_reader(log, name, NULL, from, why, out);
}

enum err log_cursor_reader(struct log_cursor *c, struct log *log, enum log_start from,
			   struct why *why, struct log_reader **out)
{
	return open_reader(log, c->sink, c, from, why, out);
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

static uint64_t mark_of(const struct log_reader *r, enum log_mark mark)
{
	switch (r->cursor == NULL && mark > LOG_MARK_DONE ? LOG_MARK_DONE : mark) {
	case LOG_MARK_READ:
		return get(&r->next_lsn);
	case LOG_MARK_STORED:
		return get(&r->stored_lsn);
	case LOG_MARK_STORED_TWICE:
		return get(&r->older_lsn);
	case LOG_MARK_DONE:
	default:
		return get(&r->done_lsn);
	}
}

uint64_t log_least(const struct log *log, enum log_mark mark)
{
	uint64_t least = UINT64_MAX;

	for (const struct log_reader *r = log->readers; r != NULL; r = r->next) {
		uint64_t lsn = mark_of(r, mark);

		if (lsn < least)
			least = lsn;
	}
	return least;
}

/* On disk, a frame is needed in memory until it is durable. */
void log_free_done(struct log *log, struct log_slab **list)
{
	uint64_t done = log_least(log, LOG_MARK_DONE);

	if (log->disk != NULL && done > log_durable(log))
		done = log_durable(log);
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
	log_back_close(r);
	if (r->cursor != NULL)
		log_cursor_detach(r->cursor, r);
	free(r->gaps);
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

/* What an earlier number of workers left goes before anything new: an exporter may be another worker's
 * now, and its records stay in their order. */
static bool is_held_back(const struct log_reader *r)
{
	const struct log_cursor *c = r->cursor;

	if (!r->log->hub->is_gated || c == NULL || get(&r->next_lsn) < r->log->disk->begin_lsn)
		return false;
	for (size_t i = 0; i < c->reader_count; i++) {
		if (get(&c->readers[i]->next_lsn) < c->readers[i]->log->disk->begin_lsn)
			return true;
	}
	return false;
}

/* From memory: ERR_ABSENT when what comes next is on disk. */
static enum err next_in_memory(struct log_reader *r, struct log_frame *out)
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
	if (log->disk != NULL && lsn < (e == NULL ? log->sealed_lsn : e->head.first_lsn)) {
		e = NULL;
		none = ERR_ABSENT;
	}
	if (e != NULL && r->waits_durable && log_entry_end(e) > log_durable(log))
		e = NULL;
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

enum err log_reader_next(struct log_reader *r, struct log_frame *out)
{
	for (;;) {
		uint64_t lsn;
		enum err e;

		if (is_held_back(r))
			return ERR_AGAIN;
		e = next_in_memory(r, out);
		/* Whoever is about to catch up may be sent back to the disk, and goes on there where it was. */
		if (e != ERR_ABSENT) {
			if (e != ERR_OK)
				log_back_close(r);
			return e;
		}
		lsn = get(&r->next_lsn);
		e = log_back_next(r, out);
		if (e == ERR_OK && lsn > out->head.first_lsn)
			cut_front(out, lsn);
		if (e != ERR_AGAIN)
			return e;
	}
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

/* Into the list, which is in order; [first, end) meets no other gap.  Without memory for one more, the
 * nearest one grows over what lies between: those records count as lost, and are delivered all the same. */
static void add_gap(struct log_reader *r, uint64_t first, uint64_t end, enum log_loss why)
{
	size_t i = r->gap_count;

	while (i > 0 && r->gaps[i - 1].first > first)
		i--;
	if (i > 0 && r->gaps[i - 1].end == first && r->gaps[i - 1].why == why) {
		r->gaps[i - 1].end = end;
		return;
	}
	if (r->gap_count == r->gap_room) {
		size_t room = r->gap_room == 0 ? LOG_GAPS_FIRST : 2 * r->gap_room;
		struct log_gap *gaps = realloc(r->gaps, room * sizeof(*gaps));

		if (gaps == NULL) {
			if (i > 0)
				r->gaps[i - 1].end = end;
			return;
		}
		r->gaps = gaps;
		r->gap_room = room;
	}
	memmove(&r->gaps[i + 1], &r->gaps[i], (r->gap_count - i) * sizeof(*r->gaps));
	r->gaps[i] = (struct log_gap){ first, end, why };
	r->gap_count++;
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

/* The part of [first, end) that is not yet known to be lost is, and counted. */
static uint64_t add_loss(struct log_reader *r, uint64_t first, uint64_t end, enum log_loss why)
{
	uint64_t lost = 0;

	while (first < end) {
		uint64_t to = end;
		uint64_t next = end;

		for (size_t i = 0; i < r->gap_count; i++) {
			const struct log_gap *g = &r->gaps[i];

			if (g->end <= first || g->first >= to)
				continue;
			to = g->first > first ? g->first : first;
			next = g->end < end ? g->end : end;
			break;
		}
		if (to > first) {
			add_gap(r, first, to, why);
			lost += to - first;
		}
		first = to == end ? end : next;
	}
	set(&r->lost[why], get(&r->lost[why]) + lost);
	move_done(r, get(&r->done_lsn));
	return lost;
}

uint64_t log_reader_lose(struct log_reader *r, uint64_t first, uint64_t end, enum log_loss why)
{
	uint64_t lost;

	if (get(&r->next_lsn) > first)
		first = get(&r->next_lsn);
	if (first >= end)
		return 0;
	lost = add_loss(r, first, end, why);
	/* What lies between is still to be read. */
	if (get(&r->next_lsn) == first)
		set(&r->next_lsn, end);
	return lost;
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
	uint64_t oldest = log_oldest_lsn(r->log);
	uint64_t lost;

	if (lsn >= oldest)
		return 0;
	lost = add_loss(r, lsn, oldest, LOG_LOST_MAX_BYTES);
	set(&r->next_lsn, oldest);
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
	if (is_allowed)
		log_back_close(r);
	if (lost > 0)
		log_add(log->hub, LOG_STAT_EVICTED, lost);
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

uint64_t log_reader_sealed_lsn(const struct log_reader *r)
{
	return log_sealed_lsn(r->log);
}

void log_reader_wait_durable(struct log_reader *r)
{
	r->waits_durable = r->log->disk != NULL;
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

uint64_t log_reader_lost(const struct log_reader *r, enum log_loss why)
{
	return get(&r->lost[why]);
}

uint64_t log_reader_stored_lsn(const struct log_reader *r)
{
	return r->log->disk == NULL || r->cursor == NULL ? get(&r->done_lsn) : get(&r->stored_lsn);
}

void log_reader_gaps(struct log_reader *r, uint64_t end, uint64_t lost[LOG_LOSS_COUNT])
{
	memset(lost, 0, LOG_LOSS_COUNT * sizeof(lost[0]));
	(void)pthread_mutex_lock(&r->log->lock);
	for (size_t i = 0; i < r->gap_count; i++) {
		const struct log_gap *g = &r->gaps[i];
		uint64_t to = g->end < end ? g->end : end;

		if (to > g->first)
			lost[g->why] += to - g->first;
	}
	(void)pthread_mutex_unlock(&r->log->lock);
}

/* What seemed lost below `lsn` was not, but for what is known to be. */
static void recount(struct log_reader *r, uint64_t lsn, const uint64_t lost[LOG_LOSS_COUNT])
{
	for (size_t i = 0; i < r->gap_count; i++) {
		const struct log_gap *g = &r->gaps[i];
		uint64_t to = g->end < lsn ? g->end : lsn;

		if (to > g->first)
			set(&r->lost[g->why], get(&r->lost[g->why]) - (to - g->first));
	}
	for (size_t k = 0; k < LOG_LOSS_COUNT; k++)
		set(&r->lost[k], get(&r->lost[k]) + lost[k]);
}

void log_reader_committed(struct log_reader *r, uint64_t lsn, const uint64_t lost[LOG_LOSS_COUNT])
{
	struct log *log = r->log;

	(void)pthread_mutex_lock(&log->lock);
	must(log->oldest == NULL && log->open == NULL);
	if (lsn > log_end_lsn(log)) {
		set(log->end_lsn, lsn);
		log->sealed_lsn = lsn;
		if (log->disk != NULL) {
			log->disk->writer.hole = LOG_HOLE_UNSYNCED;
			log->disk->writer.written_lsn = lsn;
			log->disk->begin_lsn = lsn;
			set(&log->durable_lsn, lsn);
		}
	}
	recount(r, lsn, lost);
	move_done(r, lsn);
	if (get(&r->next_lsn) < get(&r->done_lsn))
		set(&r->next_lsn, get(&r->done_lsn));
	(void)pthread_mutex_unlock(&log->lock);
}

const struct log *log_reader_log(const struct log_reader *r)
{
	return r->log;
}
