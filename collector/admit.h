/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit.h - who is heard: entries of `exporters` by address, who is refused, and who makes room.
 *
 *	admit_set(a, entries, count, &policy)	at each new generation
 *	admit_unit(a, &origin)			before anything of a unit is looked at; a row of drops.def
 *	admit_find(a, &peer, port, domain)	the entry that holds
 *
 * A refused unit leaves nothing behind: its source is looked up in a sorted index of the entries, one
 * binary search for each length of prefix that is in use, and a bucket of tokens is an entry's, or that of
 * all sources which no entry names, never a source's.
 *
 * Owner: the collector of one worker.  Lifetime: process; index and buckets: generation.
 */
#ifndef COLLECTOR_ADMIT_H
#define COLLECTOR_ADMIT_H

#include "base/err.h"
#include "base/htab.h"
#include "collector/collector.h"
#include "collector/session.h"

struct admit;

enum err admit_new(struct admit **out);
void admit_free(struct admit *a);

/* The entries must live until the next call.  Without memory for the index it is slower, and does not
 * limit rates.  False when admit_unit() lets everybody in. */
bool admit_set(struct admit *a, const struct exporter_entry *entries, size_t count,
	       const struct collector_policy *policy);

/* COLLECTOR_STAT_COUNT when the unit may come in, else why not.  Of what domain it is nobody knows yet: an
 * entry for one domain lets its address in, and its rate counts for the first that holds otherwise. */
enum collector_stat admit_unit(struct admit *a, const struct origin *origin);

/* Does an entry name it, for whatever domain? */
bool admit_knows(const struct admit *a, const struct addr *peer, uint16_t port);

/* The first entry that holds for all three, or NULL. */
const struct exporter_entry *admit_find(const struct admit *a, const struct addr *peer,
					uint16_t port, uint32_t domain);

/*
 * A session that may go for another, looked for among some of them where the last search ended; NULL when
 * none of them may.  For a source that no entry names: one of another such that never said anything
 * useful, or little and a while ago.  For one that an entry names: any of the others, or an entry's that
 * never said anything useful.
 */
struct session *admit_victim(const struct htab *sessions, struct htab_iter *hand, bool is_listed,
			     int64_t mono_ms);

#endif
