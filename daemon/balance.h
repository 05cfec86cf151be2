/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance.h - the ledger's opening balance: what lives before this one counted, over clean stops.
 *
 *	balance_init(&b, now_ms)	since now, nothing carried: what a replay and a check stay at
 *	balance_load(&b, state, &log_io_system, &why)	looks, and changes nothing
 *	balance_begin(&b, &why)		this life has begun: b.opening is taken, and only once
 *	balance_save(&b, &sums, &why)	a clean end
 *	balance_fini(&b)
 *
 * In the folder of state:
 *
 *	counters	  the sums at a clean stop; only between a clean stop and the next start
 *	counters.used	  what this life, or the last, began with
 *	counters.bad	  what could not be used
 *	running		  from start to clean stop: without `counters', the life before crashed
 *
 *	sluice counters 1\n		version
 *	balance_since_ms - 1763741690000\n
 *	messages - 90210\n ...		stat_text.h
 *	crc32c 1a2b3c4d\n		of all before
 *
 * After a crash nobody knows what was counted: the ledger begins anew, and says so.
 *
 * Owner: the service; the control thread alone uses it.  Lifetime: process.
 */
#ifndef DAEMON_BALANCE_H
#define DAEMON_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/stat_text.h"
#include "base/why.h"
#include "collector/collector.h"
#include "daemon/pipeline.h"
#include "sink/log_io.h"

/* Of all workers. */
struct balance_sums {
	uint64_t collector[COLLECTOR_STAT_COUNT];
	uint64_t pipe[PIPE_STAT_COUNT];
};

enum balance_found { BALANCE_NONE, BALANCE_WHOLE, BALANCE_BROKEN };

struct balance {
	int64_t since_ms;	  /* UTC; when the counters were last 0 */
	bool is_previous_unclean; /* there was an earlier life, and its counters are not here */
	struct balance_sums opening;
	enum balance_found found;
	struct stat_text_counts rows;
	struct why broken; /* what is wrong with the file found */
	bool is_begun;
	int dir_fd;
	const struct log_io *io;
};

void balance_init(struct balance *b, int64_t now_ms);
/* A file of a newer version: ERR_CONF.  A broken one is no failure. */
enum err balance_load(struct balance *b, const char *state, const struct log_io *io,
		      struct why *why);
/* After a failure nothing may start: a later life could take the same balance a second time. */
enum err balance_begin(struct balance *b, struct why *why);
/* Does nothing without balance_begin().  When it fails, the next life finds this one's end unclean. */
enum err balance_save(struct balance *b, const struct balance_sums *sums, struct why *why);
void balance_fini(struct balance *b);

/* Members "since" and "previous_unclean" of an open object. */
void balance_json(const struct balance *b, struct json *out);

#endif
