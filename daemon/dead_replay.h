/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead_replay.h - sends dead letters through again.
 *
 * Sets and messages go back into the pipeline of the worker that their exporter belongs to; refused
 * records are appended to the main log again, for the sink that refused them and no other.  What cannot
 * be sent, or fails again, is a new dead letter; everything else is gone from their log.
 *
 * Owner: the control thread.
 */
#ifndef DAEMON_DEAD_REPLAY_H
#define DAEMON_DEAD_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

struct service;

struct dead_replay {
	uint64_t sets;
	uint64_t messages;
	uint64_t records;
	uint64_t
		returned; /* not sent: the sink or the schema is gone, or no message can be made of it */
	bool is_more; /* the main log ran full before the end */
};

/* All letters that are there at the call. */
enum err dead_replay_run(struct service *s, struct dead_replay *out, struct why *why);

#endif
