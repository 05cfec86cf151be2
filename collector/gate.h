/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.h - is the message sound: header, chain of set lengths.
 *
 * Stateless, allocates nothing, and runs before anything else sees the octets.  What it lets through
 * can be walked without another length check: sets tile the message, but for zeros behind the last one of v9.
 *
 * Owner: the caller; nothing is kept.
 */
#ifndef COLLECTOR_GATE_H
#define COLLECTOR_GATE_H

#include "base/rd.h"
#include "collector/collector.h"
#include "collector/frame.h"

/*
 * Fills `m` (all but origin) and `frame` from the octets of a unit.  COLLECTOR_STAT_COUNT when the
 * message is sound, else a row of drops.def, and only m->version means anything then.
 */
enum collector_stat gate_check(const uint8_t *octets, size_t bytes, struct message *m,
			       const struct frame **frame);

/* Steps through the sets of a sound message: its id and body; false at the end. */
bool gate_next_set(struct rd *sets, uint16_t *id, struct rd *body);

#endif
