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

/* The walk's records, added to what is there. */
void account_add(struct sequence_units *units, const struct walk *walk);

/* Once for each message whose sets were walked.  The stretch that its sets which wait belong to; 0: none. */
uint32_t account_message(struct stat_set *stat, const struct message *m, struct session *s,
			 const struct sequence_units *units);

#endif
