/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep_in.h - what keep.c (templates) and keep_held.c (sets that wait) write and read alike.
 *
 * Owner: nobody; nothing is kept.
 */
#ifndef COLLECTOR_KEEP_IN_H
#define COLLECTOR_KEEP_IN_H

#include "base/rd.h"
#include "base/wr.h"
#include "collector/hold.h"
#include "collector/keep.h"

/* Whose the entry is. */
void keep_put_key(struct wr *w, const struct addr *peer, const struct session_key *key);
bool keep_take_key(struct rd *r, struct addr *peer, struct session_key *key);
/* A moment as UTC, and one of an earlier life; none lies ahead, though clocks are put back. */
int64_t keep_utc_of(const struct keep_now *now, int64_t mono_ms);
int64_t keep_mono_of(const struct keep_now *now, int64_t real_ms);
/* The session's templates are others now. */
void keep_changed(struct collector *c, struct session *s);
/* The session ends. */
void keep_session_gone(struct collector *c, struct session *s);
/* A set that was kept is handed on, or dropped. */
void keep_set_gone(struct collector *c, const struct held_set *set);
/* What gathered in `from` goes behind what is in `out`, with word of what there was no memory for. */
void keep_move(struct keep *from, struct keep *out);
/* What was written of the entry that began at `start`, under its length. */
void keep_end_entry(struct keep *k, size_t start, const struct wr *w);

#endif
