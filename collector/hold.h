/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.h - data sets that wait for their template: a store with bounds.
 *
 *	while ((h = hold_victim(store, s, room)) != NULL)	who goes so that it fits
 *		... hold_free_set(store, h);
 *	hold_put(store, s, &facts, octets, &h)
 *	hold_take_id(store, s, id)				its definition came
 *	hold_expired(store, mono_ms)				it came not in time
 *
 *	session  | 300 | 301 | 300 | 300 |	oldest first; who is evicted loses his oldest
 *	id 300     *-----------*-----*		those that one definition sets free
 *
 * Sessions that never showed a template have at most half of the store, so that who makes up addresses takes
 * no room from exporters.  When it is full the greediest session gives, to within a factor of two: sessions
 * are kept by the number of bits of what they have, and nobody is searched for.
 *
 * Owner: the collector.  Lifetime: process; a set, until it is decoded or dropped.
 */
#ifndef COLLECTOR_HOLD_H
#define COLLECTOR_HOLD_H

#include "base/err.h"
#include "collector/message.h"
#include "collector/session.h"

struct hold_conf {
	int64_t wait_ms;
	uint64_t session_bytes_max;
	uint64_t bytes_max;
};

/* What has to be known of a set's message to tell it again. */
struct held_facts {
	struct origin origin;
	int64_t since_ms; /* monotonic */
	int64_t export_ms;
	uint64_t message; /* number of its message: sets of one have the same */
	uint32_t message_bytes;
	uint32_t offset; /* of the set in it */
	uint32_t bytes;	 /* of the set with its header */
	uint16_t header_bytes;
	uint16_t id;
	bool is_queued; /* it waits for its turn alone: its lists are read by what was in force in its place */
	uint64_t changes; /* then: as take.changes */
	/* Known when the message is done. */
	int64_t gap;	     /* as session.gap was */
	uint32_t stretch;    /* of the sequence; 0: none */
	uint32_t others;     /* its definitions, and records of sets that were not held */
	uint32_t of_message; /* sets of the message that are held; 0: not known */
};

enum hold_chain { HOLD_ALL, HOLD_SESSION, HOLD_ID, HOLD_CHAINS };

struct held_set {
	struct held_facts facts;
	uint64_t number; /* under which it is kept on disk; 0: it is not */
	struct session *session;
	struct tmpl *tmpl;     /* its definition; NULL: it waits */
	struct hold_id *of_id; /* NULL: set free */
	struct {
		struct held_set *older;
		struct held_set *newer;
	} links[HOLD_CHAINS];
	uint8_t octets[]; /* the message's header, then the set */
};

struct hold;

enum err hold_new(const struct hold_conf *conf, struct hold **out);
/* It must be empty. */
void hold_free(struct hold *h);

/* Octets that a set takes of the bounds. */
size_t hold_cost(const struct held_facts *f);
/* Who has to go before that fits; NULL when it fits, or when it never will, which hold_put() says. */
struct held_set *hold_victim(const struct hold *h, const struct session *s, size_t cost);
/* A copy.  ERR_LIMIT when there is no room, ERR_NOMEM. */
enum err hold_put(struct hold *h, struct session *s, const struct held_facts *f,
		  const uint8_t *header, const uint8_t *set, struct held_set **out);
/* Its definition is known: none of its id is its. */
void hold_wait_no_more(struct hold *h, struct held_set *set);
/* Out of the store, and freed. */
void hold_free_set(struct hold *h, struct held_set *set);

/* The sets of that id stop waiting: the oldest, and its next ones by links[HOLD_ID].newer. */
struct held_set *hold_take_id(struct hold *h, const struct session *s, uint16_t id);
/* The session showed its first template. */
void hold_trust(struct hold *h, struct session *s);

/* The oldest of the session, or NULL, and the newest; the others by links[HOLD_SESSION]. */
struct held_set *hold_oldest(const struct session *s);
struct held_set *hold_newest(const struct session *s);
/* The oldest of all; the others by links[HOLD_ALL].newer. */
struct held_set *hold_first(const struct hold *h);
/* The oldest of all that was not asked for yet, or NULL; and all once more. */
struct held_set *hold_fresh(struct hold *h);
void hold_rewind(struct hold *h);
/* The oldest of all that was not given here yet, when it has waited so long; or NULL. */
struct held_set *hold_waited(struct hold *h, int64_t mono_ms, int64_t wait_ms);
/* The oldest of all, when it has waited too long. */
struct held_set *hold_expired(const struct hold *h, int64_t mono_ms);

#endif
