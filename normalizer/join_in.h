/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_in.h - what join.c (options data, flows) and join_keep.c (over a restart) know of a table alike.
 *
 * Owner: the worker, of one per session.  Lifetime: the session.
 */
#ifndef NORMALIZER_JOIN_IN_H
#define NORMALIZER_JOIN_IN_H

#include "base/chain.h"
#include "base/htab.h"
#include "normalizer/join.h"

#define JOIN_KEY_BYTES 48

/* Whom a value is of. */
enum join_kind { KIND_SAMPLER, KIND_INTERFACE, KIND_APPLICATION, KIND_VRF, KIND_DOMAIN, KINDS };

struct join_key {
	uint8_t octets
		[JOIN_KEY_BYTES]; /* kind; then the number, big endian, or the text; then zeros */
};

struct join_node {
	struct join_entry said;
	int64_t boot_ms; /* of a domain: systemInitTimeMilliseconds; 0 when not said */
	struct join *of;
	struct join_key key;
	struct chain_link link; /* in the home's order */
};

/* What may be asked of an entry. */
enum join_quest { QUEST_TEXTS, QUEST_RATE, QUESTS };

struct join {
	struct htab *nodes;
	bool knows[KINDS][QUESTS]; /* what nobody said of a kind is not looked for */
	bool is_ipfix;		   /* not NetFlow v9's */
	struct join_home home;
};

static inline bool join_answers(const struct join_entry *e, enum join_quest quest)
{
	if (quest == QUEST_RATE)
		return e->rate != 0;
	return e->name.bytes != 0 || e->description.bytes != 0 || e->category.bytes != 0;
}

/* The node of that key; a new one when there is room, NULL when there is none. */
struct join_node *join_open_node(struct join **j, const struct join_home *home,
				 const struct join_key *k, size_t limit);
/* It says what it did not say before. */
void join_note(struct join_node *n);

#endif
