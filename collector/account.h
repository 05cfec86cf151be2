/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account.h - what a message's sequence number and count say, into the counters of worker and session, and to people.
 *
 * Owner: the worker; nothing is kept.
 */
#ifndef COLLECTOR_ACCOUNT_H
#define COLLECTOR_ACCOUNT_H

#include "base/stat.h"
#include "collector/session.h"
#include "collector/walk.h"

/* Records that a v9 header says its message has, templates too: a hint. */
uint32_t message_nf9_count(const struct message *m);

/* Once for each message whose sets were walked; `is_known` when no data set was refused. */
void account_message(struct stat_set *stat, const struct message *m, struct session *s,
		     const struct walk *walk, uint32_t definition_count, bool is_known);

#endif
