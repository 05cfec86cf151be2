/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_window.h - which records of one log are delivered, when reports come out of order.
 *
 *	 low                             high
 *	  |1 1 0 1 1 1 1 0 0 0 1 0 0 0 0 |            . . . . up to low + size
 *	   delivered or not, one bit each  not taken
 *
 * `low` is the low-water mark: everything below is delivered, and it is what the log reader is told.
 * Records are taken in order of LSN and reported in any order; the distance between both marks is
 * bounded by the size, so a partition that stands still holds up the sink instead of memory.
 *
 *	kafka_window_init(&w, size, first_lsn)
 *	n = kafka_window_room(&w); kafka_window_take(&w, lsn_end)
 *	kafka_window_done(&w, lsn, fate) ...; low = kafka_window_advance(&w, counts)
 *
 * Records are counted when the low-water mark passes them, so that at any moment a record is either
 * counted or pending, and never both, and so that what is counted belongs to what a cursor says.
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_KAFKA_WINDOW_H
#define SINK_KAFKA_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum kafka_fate { KAFKA_DELIVERED, KAFKA_REFUSED, KAFKA_NOT_ROUTED, KAFKA_FATES };

struct kafka_window {
	uint64_t *bits;	   /* done with */
	uint64_t *others;  /* done with, and for other sinks; */
	uint64_t *refused; /* or refused; with both bits, there is no such record */
	uint64_t size;	   /* records; a power of two, at least 64 */
	uint64_t low;
	uint64_t high;
};

/* `size` is rounded up to a power of two. */
enum err kafka_window_init(struct kafka_window *w, uint64_t size, uint64_t first_lsn);
void kafka_window_fini(struct kafka_window *w);

/* Records that may be taken now. */
static inline uint64_t kafka_window_room(const struct kafka_window *w)
{
	return w->size - (w->high - w->low);
}

/* Records up to, and not including, `lsn_end` are under way; there must be room for them. */
void kafka_window_take(struct kafka_window *w, uint64_t lsn_end);

/* True when the record was taken and is delivered, in this life or before a rewind. */
static inline bool kafka_window_is_done(const struct kafka_window *w, uint64_t lsn)
{
	if (lsn < w->low)
		return true;
	if (lsn - w->low >= w->size)
		return false;
	return w->bits[(lsn & (w->size - 1)) >> 6] >> (lsn & 63) & 1;
}

/* The record, one of those taken, is done with; false when that was known already. */
bool kafka_window_done(struct kafka_window *w, uint64_t lsn, enum kafka_fate fate);

/* Moves the low-water mark over all records that are done with, and returns it; adds them to `counts`. */
uint64_t kafka_window_advance(struct kafka_window *w, uint64_t counts[KAFKA_FATES]);

/* A hole in the log: there are no records from `high` to `lsn`.  False, and nothing changed, when the
 * hole is larger than the room and records are still under way; advance first. */
bool kafka_window_skip(struct kafka_window *w, uint64_t lsn);

/* Everything not delivered will be taken again, from the low-water mark on; what is delivered above
 * it stays known. */
void kafka_window_rewind(struct kafka_window *w);

#endif
