/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_kinds.h - what outlives the service, a table: templates, options data, announced elements, sets that wait.
 *
 * Templates come first, since what is restored behind them asks for their sessions.
 *
 * Owner: nobody; nothing is kept.
 */
#ifndef DAEMON_KEEPER_KINDS_H
#define DAEMON_KEEPER_KINDS_H

#include "collector/keep.h"
#include "daemon/journal.h"
#include "daemon/pipeline.h"

enum keep_kind { KEEP_TMPLS, KEEP_JOINS, KEEP_ANNOUNCED, KEEP_HELD, KEEP_KINDS };

struct keep_ops {
	struct journal_name name;
	size_t id_bytes;
	bool (*put)(struct pipeline *p, const struct keep_now *now, size_t some, struct keep *out);
	void (*rewind)(struct pipeline *p);
	enum err (*peer)(struct rd entry, struct addr *out);
	enum err (*take)(struct pipeline *p, struct rd entry, const struct keep_now *now);
};

extern const struct keep_ops keep_kinds[KEEP_KINDS];

/* Numbers of held sets are each worker's own. */
uint64_t keep_number_first(unsigned worker);
unsigned keep_number_worker(uint64_t number);

#endif
