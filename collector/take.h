/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take.h - what collector.c (sessions, lifetimes), take.c (a message's sets), take_held.c (sets that wait
 * for their template) and take_sflow.c (a message's samples) know of the collector.
 *
 * Owner: a worker thread.  Lifetime: process; what is of a message, the message under way.
 */
#ifndef COLLECTOR_TAKE_H
#define COLLECTOR_TAKE_H

#include "base/htab.h"
#include "collector/bound.h"
#include "collector/collector.h"
#include "collector/frame.h"
#include "collector/hold.h"
#include "collector/keep.h"
#include "collector/walk.h"

/* Where the sets at hand are counted: those of a message, or those that were held. */
struct take_rows {
	enum collector_stat decoded;
	enum collector_stat overrun;
	enum collector_stat is_short;
};

/* Of the message whose sets are taken: a live one, or one that is told again. */
struct take {
	const struct take_rows *rows;
	struct walk walk;
	bool is_overrun;
	bool is_units_unknown;
	uint32_t definition_count;
	uint32_t news_count; /* of those, that were new, or others than before */
	uint64_t changes;    /* of templates, before the set whose records are handed on */
};

struct collector {
	struct collector_limits limits;
	const struct collector_ops *ops;
	void *ctx;
	struct stat_set *stat;
	struct htab *sessions; /* session_key -> struct session * */
	struct session *last;  /* of the message before: the most likely one */
	struct admit *admit;
	bool is_guarded;    /* not every unit may come in */
	bool was_malformed; /* the message before was */
	struct collector_policy policy;
	size_t unknown_count;	/* sessions without entry */
	struct htab_iter clock; /* where a search for a session that may go begins */
	uint64_t generation;
	struct htab *places; /* session_place -> the last session of it */
	struct take take;
	struct tmpl *gone; /* the last that this message put out of force; freed when it is done */
	struct bound *bound;
	uint64_t changes;	 /* of templates in force, so far */
	struct hold *hold;	 /* NULL: nothing is held */
	struct walk held_walk;	 /* for sets that were held, while a live message has its own */
	uint8_t *retold;	 /* a message of a held set */
	uint64_t message_number; /* of the newest message, from 1 */
	bool is_taking;		 /* its sets are being taken: nothing of it was accounted */
	struct session *
		ready_first; /* those with sets whose definition came, in the order of their turns */
	struct session *ready_last;
	struct tmpl *orphans; /* to be freed */
	uint64_t restored;    /* number of the message of an earlier life that was restored last */
	struct chain kept;    /* sessions in the order in which their templates changed */
	struct keep_place place;
	struct keep_numbers numbers; /* of sets that are kept on disk */
	struct keep gone_sets;	     /* numbers of those that left since they were asked for */
	struct keep
		gone_sessions; /* and keys of the sessions that ended, of those that stand on disk */
	struct sflow_batch *sflow; /* take_sflow.c's */
	struct sequence_units
		late_units; /* of sets of this message that its own definitions set free */
};

/* take_borrow.c */
enum err borrow_join(struct collector *c, struct session *s);
void borrow_leave(struct collector *c, struct session *s);
/* That template of the session goes or changes, and with it what others have of it. */
void borrow_end(struct collector *c, struct session *s, uint16_t id);
/* The session sends templates of its own. */
void borrow_return(struct collector *c, struct session *s);
void borrow_tick(struct collector *c, int64_t mono_ms);

/* take_tmpl.c */
/*
 * The template into force, where the bounds of templates have others go for it.  What it replaces is *old, and out
 * of force whatever is returned: ERR_LIMIT, ERR_NOMEM, then `t` is still the caller's.
 */
enum err take_put_tmpl(struct collector *c, struct session *s, struct tmpl *t, struct tmpl **old);
/* It is in force no longer: as far as the bounds go. */
void take_uncount_tmpl(struct collector *c, struct tmpl *t);
/* Data uses it, or its definition came again; at the message at hand. */
void take_touch_tmpl(struct collector *c, const struct session *s, struct tmpl *t);
/* What it replaced is kept for data that comes late. */
void take_keep_before(struct collector *c, struct session *s, struct tmpl *t, struct tmpl *old);
void take_expire_before(struct collector *c, struct tmpl *t, int64_t mono_ms);
/* The one that the message's data was sent by: it, or the one before it (RFC 7011, 8.2). */
struct tmpl *take_tmpl_of_time(struct collector *c, const struct message *m,
			       const struct session *s, struct tmpl *t);
/* Is the definition the one before it, come late? */
bool take_is_late(const struct message *m, const struct tmpl *t, uint64_t hash);

/* collector.c */
void take_drop_tmpl(struct collector *c, struct tmpl *t);
/* One of the session's, and with it what others have of it. */
void take_end_tmpl(struct collector *c, struct session *s, struct tmpl *t);

/* take.c */
/* Out of force, but records of the live message may still be read by it. */
void take_retire(struct collector *c, struct session *s, struct tmpl *t);
void take_message(struct collector *c, const struct message *m, const struct frame *frame,
		  struct session *s);
/* One data set whose template is known. */
void take_set(struct collector *c, const struct message *m, struct session *s, struct tmpl *t,
	      struct rd body);
/* Records of one template, forward, between message_begin and message_end. */
void take_hand_on_run(struct collector *c, const struct message *m, struct session *s,
		      const struct set_run *run);
/* Octets of which no records were made, to whom it may concern: the whole message. */
void take_tell_message(struct collector *c, const struct message *m, const struct session *s,
		       enum collector_stat reason);
/* Its records, forward. */
void take_hand_on(struct collector *c, const struct message *m, struct session *s);

/* take_sflow.c */
enum err take_sflow_open(struct collector *c);
void take_sflow_close(struct collector *c);
/* The samples of a message that was accounted. */
void take_sflow(struct collector *c, const struct message *m, struct session *s);

/* take_held.c */
#define TAKE_MESSAGE_MAX 65536u /* longer ones are not held */
enum err take_held_open(struct collector *c);
void take_held_close(struct collector *c);
/* A set without template: held, or refused.  COLLECTOR_STAT_COUNT when it is held, else why not. */
enum collector_stat take_hold(struct collector *c, const struct message *m, struct session *s,
			      struct rd body);
/* A definition of that id came: sets that waited for it are ready, or dropped. */
void take_defined(struct collector *c, const struct message *m, struct session *s, struct tmpl *t);
/* One came that is of no use: it was theirs. */
void take_undefined(struct collector *c, struct session *s, uint16_t id);
/* Sets of the live message that are held. */
uint32_t take_held_count(const struct collector *c, const struct session *s);
/* The live message is accounted: its sets that are held learn what they have to know. */
void take_held_settle(struct collector *c, struct session *s, const struct sequence_units *units,
		      uint32_t stretch);
/* The records of the live message ran over their set: so goes what is held of it. */
void take_held_overrun(struct collector *c, struct session *s);
/* The set's message with nothing but its header and, at its place, the set; `m` lives as long as the set. */
void take_retell(struct collector *c, const struct held_set *set, struct message *m);
/* Is it of the message whose sets are being taken?  Then that message's account has its records yet to come. */
bool take_is_of_live(const struct collector *c, const struct held_set *set);
struct held_facts take_facts(const struct collector *c, const struct message *m,
			     const struct session *s, const uint8_t *set, const uint8_t *end);
/* One goes, decoded or not. */
void take_leave(struct collector *c, struct held_set *set);
/* One of an earlier life: it waits for its template, or for its turn with `t`.  ERR_LIMIT, ERR_NOMEM. */
enum err take_restore(struct collector *c, struct session *s, struct tmpl *t,
		      const struct held_facts *f, const uint8_t *header, const uint8_t *set);
/* All of a session; all that have waited too long by then, of any. */
void take_drop_all(struct collector *c, struct session *s, enum collector_stat reason);
void take_drop_older(struct collector *c, int64_t mono_ms, enum collector_stat reason);

/* take_ready.c */
void take_make_ready(struct collector *c, struct held_set *set, struct tmpl *t);
/* Any set, ready or not, before it goes. */
void take_pass(struct held_set *set);
/* It goes. */
void take_unready(struct collector *c, struct held_set *set);
/* Out of force, and without sets that are ready; no record is under way. */
void take_free_orphans(struct collector *c);
/* A turn's worth of what is ready, forward; true: it cost what one may. */
bool take_turn(struct collector *c, struct session *s);
/* The sets of the live message go behind those that are ready, or wait for the next turn when this one is spent. */
void take_queue(struct collector *c, const struct message *m, struct session *s, bool is_spent);

#endif
