/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.h - what a collector knows of templates, and the sets that wait for one, as octets for its next life.
 *
 *	keep_tmpls(c, &now, &out)	an entry for each session that has templates
 *	keep_held(c, &now, &out)	an entry for each set that waits
 *	keep_peer(entry, &peer)		whose it is: the worker that has him now takes it
 *	keep_take_tmpls(c, entry, &now), keep_take_held(c, entry, &now)
 *
 *	entry	| octets u32 | address u8 + 16 | port u16 | version u16 | domain u32 | ...
 *	tmpls	... first, last UTC i64 | n times: seen, used UTC, refresh ms, defined UTC i64 | options u8 | octets u16 | definition
 *	held	... local port u16 | transport u8 | received UTC, waits since UTC, number, gap i64 | message octets, offset,
 *		others, of message u32 | header u8 + octets | set octets u32 + octets
 *
 * What is read back is as good as what comes from the network: a definition stands there as in its set and passes the same
 * checks, and so does the message that a set is told again in.  Times are UTC, for lifetimes run on while nobody looks.
 *
 * Owner: the caller, on the worker's thread or while that does not run.
 */
#ifndef COLLECTOR_KEEP_H
#define COLLECTOR_KEEP_H

#include "base/rd.h"
#include "collector/collector.h"

struct keep_now {
	int64_t real_ms;
	int64_t mono_ms;
};

/* Octets that grow; what there was no memory for makes it is_failed. */
struct keep {
	uint8_t *octets;
	size_t bytes;
	size_t room;
	bool is_failed;
};

void keep_fini(struct keep *k);
/* Octets behind those that are there; NULL when there is no memory. */
uint8_t *keep_add(struct keep *k, size_t bytes);

void keep_tmpls(struct collector *c, const struct keep_now *now, struct keep *out);
void keep_held(struct collector *c, const struct keep_now *now, struct keep *out);
/* The sets that wait were kept: they are the next life's. */
void keep_forget_held(struct collector *c);

/* The next entry of those, without its length; false at the end. */
bool keep_next(struct rd *entries, struct rd *entry);
enum err keep_peer(struct rd entry, struct addr *out);
/* ERR_FORMAT when it is none, ERR_LIMIT when it is over the collector's limits; what came before that holds. */
enum err keep_take_tmpls(struct collector *c, struct rd entry, const struct keep_now *now);
enum err keep_take_held(struct collector *c, struct rd entry, const struct keep_now *now);

#endif
