/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.h - what a collector knows of templates, and the sets that wait for one, as octets for its next life.
 *
 *	keep_numbers(c, words, first)	where sets that are kept are marked
 *	keep_tmpls(c, &now, some, &out)	an entry for each session whose templates changed since it was asked for
 *	keep_held(c, &now, some, &out)	an entry for each set that began to wait, and for each that does so no more
 *	keep_rewind_tmpls(c), keep_rewind_held(c)	all of them, from here on
 *	keep_peer(entry, &peer), keep_held_peer(entry, &peer)	whose it is: the worker that has him now takes it
 *	keep_take_tmpls(c, entry, &now), keep_take_held(c, entry, &now)
 *
 *	entry	| octets u32 | id | ...		of one id the last holds; with nothing behind its id it takes back what was
 *	key	address u8 + 16 | port u16 | version u16 | domain u32
 *	tmpls	key | first, last UTC i64 | n times: seen, used UTC, refresh ms, defined UTC i64 | options u8 | octets u16 | definition
 *	held	number u64 | key | local port u16 | transport u8 | received UTC, waits since UTC, number, gap i64 | message octets, offset,
 *		others, of message u32 | header u8 + octets | set octets u32 + octets
 *
 * Entries are given in slices, between which the worker does its work: it never copies all that waits at once, nor all of a
 * session with thousands of templates. What changes in the meantime is given once more.
 *
 * A set has a number from its first entry on, and while it waits the bit of its number is set. The bits may lie in memory that
 * outlives the process: they say what was handed on when the entry that says so is not on disk yet.
 *
 * What is read back is as good as what comes from the network: a definition stands there as in its set and passes the same
 * checks, and so does the message that a set is told again in.  Times are UTC, for lifetimes run on while nobody looks.
 *
 * Owner: the caller, on the worker's thread or while that does not run.
 */
#ifndef COLLECTOR_KEEP_H
#define COLLECTOR_KEEP_H

#include "base/rd.h"
#include "base/wr.h"
#include "collector/collector.h"

struct keep_now {
	int64_t real_ms;
	int64_t mono_ms;
	bool is_marked; /* of sets that are taken back: a mark says that nobody decoded them */
};

/* Octets that grow; what there was no memory for makes it is_failed. */
struct keep {
	uint8_t *octets;
	size_t bytes;
	size_t room;
	size_t open_at; /* while is_open: where the last entry begins, which goes on with the next slice */
	bool is_open;
	bool is_failed;
};

void keep_fini(struct keep *k);
/* Octets behind those that are there; NULL when there is no memory. */
uint8_t *keep_add(struct keep *k, size_t bytes);

/* Room for so many more, so that who adds does not have to make it. */
bool keep_reserve(struct keep *k, size_t bytes);

/* How far the session is whose entry is open. */
struct keep_place {
	struct session *session; /* NULL: it went */
	uint32_t next_id;	 /* of its templates */
};

#define KEEP_KEY_BYTES 25u    /* the id of tmpls */
#define KEEP_NUMBER_BYTES 8u  /* the id of held */
#define KEEP_MARKS (1u << 19) /* bits of one collector; the bit of a number is its rest by that */

struct keep_numbers {
	volatile uint64_t *words; /* NULL: sets are not marked */
	uint64_t next;
	uint32_t count; /* bits that are set */
};

/* Bits that are all 0, and a number whose rest is 0; sets that have numbers keep them, and must be marked there. */
void keep_use_numbers(struct collector *c, uint64_t *words, uint64_t first);
bool keep_is_marked(const uint64_t *words, uint64_t number);

/* Entries of about so many octets; true: there are more.  When there was no memory out->is_failed, and what is on disk is
 * good for nothing more until all was written again. */
bool keep_tmpls(struct collector *c, const struct keep_now *now, size_t some, struct keep *out);
bool keep_held(struct collector *c, const struct keep_now *now, size_t some, struct keep *out);
void keep_rewind_tmpls(struct collector *c);
void keep_rewind_held(struct collector *c);
/* The sets that wait were kept: they are the next life's. */
void keep_forget_held(struct collector *c);

/* The next entry of those, without its length; false at the end. */
bool keep_next(struct rd *entries, struct rd *entry);
enum err keep_peer(struct rd entry, struct addr *out);
enum err keep_held_peer(struct rd entry, struct addr *out);
/* ERR_FORMAT when it is none, ERR_LIMIT when it is over the collector's limits; what came before that holds. */
enum err keep_take_tmpls(struct collector *c, struct rd entry, const struct keep_now *now);
enum err keep_take_held(struct collector *c, struct rd entry, const struct keep_now *now);

#endif
