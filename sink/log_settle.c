/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every sink has when it is due is not written; the commit thread's.
 *
 * A group waits in memory until it is due.  Sinks that keep up have most of it by then, and need it no more
 * once they know that after a crash, too: their cursors are stored, before it is durable, and then what lies
 * below all of them is durable by being delivered, and is not written.  Nothing is passed over but for
 * cursors that are on disk, so it does not matter where a crash comes between: a start begins above each
 * cursor, no LSN is used twice, and a sink whose cursor was not stored yet, while another one's was, counts
 * what lies between as `lost_unsynced`.  That had not been durable, though this sink may have delivered it.
 * A sink whose newer slot is damaged later goes back to the older one and counts likewise.
 *
 * While a sink is behind of what is durable already, waiting would save nothing: what is sealed is written at
 * once, where a kill does not reach it, and the group is synced when it is due.
 */
#include "sink/log_parts.h"

#define STORE_OCTETS                                                                               \
	(128u << 10) /* that one cursor is stored for, so that they need not be written */

/* Under the lock: the end of the last frame all of which lies below `lsn`. */
static uint64_t whole_frames(const struct log *log, uint64_t lsn)
{
	const struct log_entry *e = log->newest;

	while (e != NULL && log_entry_end(e) > lsn)
		e = e->prev;
	return e == NULL ? 0 : log_entry_end(e);
}

/* What every sink has, and will know that it has, need not be written; nor what every sink has while
 * nothing can be written. */
void log_settle(struct log *log)
{
	struct log_writer *w = &log->disk->writer;
	struct log_slab *list = NULL;
	uint64_t before = log_durable(log);
	uint64_t lsn;

	/* It has its sync soon. */
	if (w->unsynced_octets > 0)
		return;
	(void)pthread_mutex_lock(&log->lock);
	lsn = whole_frames(log, log_least(log, w->has_trouble ? LOG_MARK_DONE : LOG_MARK_STORED));
	if (lsn > before) {
		log->disk->settled_lsn = lsn;
		atomic_store_explicit(&log->durable_lsn, lsn, memory_order_release);
		log_free_done(log, &list);
	}
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	if (lsn <= before)
		return;
	w->written_lsn = lsn;
	w->hole = LOG_HOLE_SETTLED;
	log_add(log->hub, LOG_STAT_SETTLED, lsn - before);
}

/* Frames that are sealed and not durable. */
struct waiting {
	uint64_t octets;
	uint64_t done; /* of these, those that every sink has */
	bool is_due;
};

static struct waiting waiting_of(struct log *log, int64_t now_ms)
{
	struct waiting w = { 0, 0, false };
	uint64_t durable = log_durable(log);
	const struct log_entry *oldest = NULL;
	uint64_t done;

	(void)pthread_mutex_lock(&log->lock);
	done = log_least(log, LOG_MARK_DONE);
	for (const struct log_entry *e = log->newest; e != NULL && log_entry_end(e) > durable;
	     e = e->prev) {
		w.octets += e->head.plain_bytes;
		w.done += log_entry_end(e) <= done ? e->head.plain_bytes : 0;
		oldest = e;
	}
	w.is_due = oldest != NULL && (now_ms - oldest->opened_ms >= LOG_COMMIT_MS - LOG_WAIT_MS ||
				      w.octets >= LOG_SYNC_OCTETS);
	(void)pthread_mutex_unlock(&log->lock);
	return w;
}

/* Only a group waits; and not when memory is needed. */
static bool may_wait(const struct log_hub *hub)
{
	return hub->conf.sync == LOG_SYNC_GROUP &&
	       atomic_load(&hub->bytes) <= hub->conf.memory_bytes / 4 * 3;
}

bool log_is_awaited(struct log *log)
{
	bool is_awaited;

	(void)pthread_mutex_lock(&log->lock);
	is_awaited = log_least(log, LOG_MARK_DONE) < log_durable(log);
	(void)pthread_mutex_unlock(&log->lock);
	return is_awaited;
}

bool log_is_due(struct log *log, int64_t now_ms)
{
	return !may_wait(log->hub) || waiting_of(log, now_ms).is_due;
}

/* Is it worth storing cursors first, for what need not be written then?  Each costs a sync of its own,
 * but when it is their time anyway. */
bool log_is_store_worth(struct log_hub *hub, int64_t now_ms, bool is_their_time)
{
	struct waiting all = { 0, 0, is_their_time || !may_wait(hub) };

	for (size_t i = 0; i < hub->log_count; i++) {
		struct waiting w = waiting_of(hub->logs[i], now_ms);

		if (hub->logs[i]->disk->writer.unsynced_octets > 0)
			continue;
		all.octets += w.octets;
		all.done += w.done;
		all.is_due = all.is_due || w.is_due;
	}
	if (all.done == 0 || all.done < all.octets / 2 ||
	    (!all.is_due && all.done < LOG_AHEAD_OCTETS))
		return false;
	return is_their_time || all.done >= STORE_OCTETS * log_cursors_changed(hub);
}
