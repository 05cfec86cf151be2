/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead_replay.h - sends dead letters through again.
 *
 * Sets and messages go back into the pipeline of the worker that their exporter belongs to; refused
 * records are appended to the main log again, for the sink that refused them and no other.  What cannot
 * be sent, or fails again, is a new dead letter; everything else is gone from their log.
 *
 *	dead_replay_new(service, &r, &why)	all letters that are there at the call
 *	dead_replay_step(r, until_ms, &why)	again and again while it says ERR_AGAIN
 *	dead_replay_sums(r)
 *	dead_replay_free(r)			at any time: what was not sent stays in the log
 *
 * Owner: the control thread.
 */
#ifndef DAEMON_DEAD_REPLAY_H
#define DAEMON_DEAD_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

struct service;
struct dead_replay;

struct dead_replay_sums {
	uint64_t sets;
	uint64_t messages;
	uint64_t records;
	uint64_t
		returned; /* not sent: the sink or the schema is gone, or no message can be made of it */
	bool is_more; /* the main log ran full before the end */
};

/* One at a time: they share the readers. */
enum err dead_replay_new(struct service *s, struct dead_replay **out, struct why *why);
/* Frames of letters, until that moment (monotonic) or the end, one at least.  ERR_OK is the end. */
enum err dead_replay_step(struct dead_replay *r, int64_t until_ms, struct why *why);
const struct dead_replay_sums *dead_replay_sums(const struct dead_replay *r);
void dead_replay_free(struct dead_replay *r);

#endif
