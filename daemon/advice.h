/* SPDX-License-Identifier: Apache-2.0 */
/*
 * advice.h - what an operator can do about what was counted.
 *
 *	advice_each(&now, &before, say, ctx)
 *
 * Each text once, in the order of the road: what grew since `before`, and has a text.
 *
 * Owner: nobody; no state.
 */
#ifndef DAEMON_ADVICE_H
#define DAEMON_ADVICE_H

#include "daemon/balance.h"

typedef void advice_fn(void *ctx, const char *text);

void advice_each(const struct balance_sums *now, const struct balance_sums *before, advice_fn *say,
		 void *ctx);
/* The texts of a counter of each room, or NULL: there is nothing to be done about it. */
const char *advice_of_collector(enum collector_stat row);
const char *advice_of_pipe(enum pipeline_stat row);

#endif
