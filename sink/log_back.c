/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader that is behind what memory holds reads segments.
 *
 * Where the record that it wants should be and is not, the records up to the next that is there are lost
 * to it; segments say which of them never were durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "sink/log_parts.h"

#define READ_TRIES 10 /* of a sector, before its records are counted as lost */

static uint64_t wanted(const struct log_reader *r)
{
	return atomic_load_explicit(&r->next_lsn, memory_order_relaxed);
}

/* The reader no longer uses its segment. */
static void leave(struct log_reader *r)
{
	struct log_segment *s = r->back->segment;
	bool is_last = false;

	r->back->has_frame = false;
	r->back->segment = NULL;
	log_scan_close(&r->back->scan);
	if (s == NULL)
		return;
	(void)pthread_mutex_lock(&r->log->lock);
	s->users--;
	is_last = s->is_gone && s->users == 0;
	(void)pthread_mutex_unlock(&r->log->lock);
	if (is_last)
		free(s);
}

void log_back_close(struct log_reader *r)
{
	if (r->back == NULL)
		return;
	leave(r);
	free(r->back);
	r->back = NULL;
}

/* Under the lock: [first, end) is not there. */
static void lose(struct log_reader *r, uint64_t first, uint64_t end, enum log_loss why)
{
	uint64_t lost = log_reader_lose(r, first, end, why);

	log_add_lost(r->log->hub, why, lost);
	if (lost > 0 && (why == LOG_LOST_CORRUPT || why == LOG_LOST_UNSYNCED))
		log_every(LOG_LEVEL_ERROR,
			  "log.lost sink=%s dir=%s/%s first=%llu records=%llu why=%s", r->sink,
			  r->log->hub->dir, r->log->disk->name, (unsigned long long)first,
			  (unsigned long long)lost,
			  why == LOG_LOST_CORRUPT ? "cannot_be_read" : "was_not_durable");
}

/* Under the lock: there is nothing from what is wanted up to `first`; what lies below `durable` had been
 * durable. */
static void lose_up_to(struct log_reader *r, uint64_t durable, uint64_t first)
{
	uint64_t lsn = wanted(r);

	if (lsn < durable)
		lose(r, lsn, durable < first ? durable : first, LOG_LOST_CORRUPT);
	if (wanted(r) < first && wanted(r) >= durable)
		lose(r, wanted(r), first, LOG_LOST_UNSYNCED);
}

/* Under the lock: the segment that has the wanted record, or NULL and the reader was moved on. */
static struct log_segment *find_segment(struct log_reader *r)
{
	struct log *log = r->log;
	const struct log_disk *disk = log->disk;
	struct log_segment *s = disk->oldest;
	uint64_t memory = log->oldest == NULL ? log->sealed_lsn : log->oldest->head.first_lsn;

	/* It made room on disk, and then in memory. */
	if (wanted(r) < disk->gone_lsn) {
		lose(r, wanted(r), disk->gone_lsn < memory ? disk->gone_lsn : memory,
		     disk->gone_why);
		return NULL;
	}
	while (s != NULL && s->end_lsn <= wanted(r))
		s = s->next;
	if (s == NULL) {
		/* Behind the last segment: what lies before this life, and what could not be written. */
		if (wanted(r) < disk->begin_lsn && disk->begin_lsn <= memory)
			lose_up_to(r, disk->begin_durable, disk->begin_lsn);
		else
			lose(r, wanted(r), memory, LOG_LOST_UNSYNCED);
		return NULL;
	}
	if (wanted(r) < s->first_lsn) {
		lose_up_to(r, s->previous_end, s->first_lsn);
		return NULL;
	}
	return s;
}

/* What the disk does not read it may read the next time, but not for ever. */
static bool may_try_again(struct log_back *b, enum err e)
{
	if (e == ERR_NOMEM || (e == ERR_IO && (errno == EMFILE || errno == ENFILE)))
		return true;
	if (e != ERR_IO || errno == ENOENT || ++b->failures == READ_TRIES) {
		b->failures = 0;
		return false;
	}
	return true;
}

/* ERR_AGAIN: the reader was moved on. */
static enum err enter(struct log_reader *r)
{
	struct log *log = r->log;
	struct log_back *b = r->back;
	char name[LOG_SEGMENT_NAME_BYTES];
	enum err e;

	(void)pthread_mutex_lock(&log->lock);
	b->segment = find_segment(r);
	if (b->segment != NULL) {
		b->segment->users++;
		log_segment_name(b->segment->first_lsn, name);
	}
	(void)pthread_mutex_unlock(&log->lock);
	if (b->segment == NULL)
		return ERR_AGAIN;
	e = log_scan_open(&b->scan, log->disk->dir_fd, name, b->segment->is_ours ? NULL : log->hub);
	if (e == ERR_OK) {
		(void)posix_fadvise(b->scan.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		return ERR_OK;
	}
	b->scan.fd = -1;
	if (!may_try_again(b, e)) {
		(void)pthread_mutex_lock(&log->lock);
		if (!b->segment->is_gone)
			lose(r, wanted(r), b->segment->end_lsn, LOG_LOST_CORRUPT);
		(void)pthread_mutex_unlock(&log->lock);
		leave(r);
		return ERR_AGAIN;
	}
	leave(r);
	return e;
}

/* Nothing sound stands here: on to what does, which may be the next segment. */
static void pass_over(struct log_reader *r)
{
	struct log_back *b = r->back;
	uint64_t from = b->scan.at;
	uint64_t end;
	bool is_found = log_scan_resync(&b->scan);

	(void)pthread_mutex_lock(&r->log->lock);
	end = b->segment->end_lsn;
	(void)pthread_mutex_unlock(&r->log->lock);
	if (!is_found && wanted(r) >= end) {
		leave(r);
		return;
	}
	log_quarantine(r->log, b->scan.fd, b->scan.head.first_lsn, from, b->scan.at);
	if (is_found)
		return;
	(void)pthread_mutex_lock(&r->log->lock);
	lose(r, wanted(r), end, LOG_LOST_CORRUPT);
	(void)pthread_mutex_unlock(&r->log->lock);
	leave(r);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The frame at hand is the wanted one; ERR_AGAIN when the reader was moved on. */
static enum err give(struct log_reader *r, struct log_frame *out)
{
	struct log_back *b = r->back;
	const struct log_frame_head *h = &b->frame.head;
	uint64_t end = b->scan.lsn;
	enum err e = ERR_AGAIN;

	(void)pthread_mutex_lock(&r->log->lock);
	if (h->first_lsn > wanted(r))
		/* What follows the segment's end is in the next one. */
		lose(r, wanted(r), least(h->first_lsn, b->segment->end_lsn), LOG_LOST_CORRUPT);
	else if (h->schema == LOG_FRAME_SETTLED)
		/* This sink had them, and forgot it: its cursor is an older one. */
		lose(r, wanted(r), least(end, b->segment->end_lsn), LOG_LOST_UNSYNCED);
	else if (end > wanted(r) && wanted(r) < b->segment->end_lsn) {
		atomic_store_explicit(&r->next_lsn, end, memory_order_relaxed);
		e = ERR_OK;
	}
	(void)pthread_mutex_unlock(&r->log->lock);
	if (e == ERR_OK)
		*out = b->frame;
	b->has_frame = e != ERR_OK;
	return e;
}

/* Reads on until a frame ends above what is wanted. */
static enum err look(struct log_reader *r)
{
	struct log_back *b = r->back;
	enum err e = ERR_OK;

	if (b->has_frame && b->scan.lsn <= wanted(r))
		b->has_frame = false;
	while (!b->has_frame) {
		e = log_scan_next(&b->scan, &b->frame);
		if (e != ERR_OK)
			break;
		b->has_frame = b->scan.lsn > wanted(r);
	}
	return e;
}

enum err log_back_next(struct log_reader *r, struct log_frame *out)
{
	struct log_back *b;
	bool is_behind;
	enum err e = ERR_OK;

	if (r->back == NULL) {
		r->back = calloc(1, sizeof(*r->back));
		if (r->back == NULL)
			return ERR_NOMEM;
		r->back->scan.fd = -1;
	}
	b = r->back;
	if (b->segment != NULL) {
		(void)pthread_mutex_lock(&r->log->lock);
		is_behind = wanted(r) >= b->segment->end_lsn;
		(void)pthread_mutex_unlock(&r->log->lock);
		if (is_behind)
			leave(r);
	}
	if (b->segment == NULL)
		TRY(enter(r));
	e = look(r);
	if (e == ERR_OK) {
		b->failures = 0;
		return give(r, out);
	}
	if (e == ERR_CLOSED || !may_try_again(b, e)) {
		pass_over(r);
		return ERR_AGAIN;
	}
	log_every(LOG_LEVEL_ERROR, "log.read_failed sink=%s why=\"%s\"", r->sink, strerror(errno));
	return ERR_IO;
}
