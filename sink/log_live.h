/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_live.h - where each log ends, in memory that outlives the process.
 *
 * What a killed process had appended and not yet written is gone; how much that was must not be.  The
 * end of each log stands in a page of shared memory, which the workers keep up to date by the store they make
 * anyway.  It is gone after a stop in good order and after a restart of the machine.
 *
 * Owner: the hub, but for the slots, each of which is its log's worker's.
 */
#ifndef SINK_LOG_LIVE_H
#define SINK_LOG_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_live;

/* NULL when there is no shared memory; `name` is one for each directory of logs. */
struct log_live *log_live_open(const char *name, size_t slot_count);
/* What an earlier life that did not end in good order left in the slot; 0: nothing. */
uint64_t log_live_left(const struct log_live *live, size_t slot);
_Atomic uint64_t *log_live_slot(struct log_live *live, size_t slot);
/* Its name goes, too, when the end was in good order. */
void log_live_close(struct log_live *live, bool is_clean);

#endif
