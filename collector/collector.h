/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collector.h - the room's front door: octets in, data records with their template out.
 *
 *	collector_new(&conf, &ops, ctx, stat, &c);
 *	collector_receive(c, octets, bytes, &origin);	 for each datagram or captured message
 *	collector_tick(c, mono_ms);			 about once a second
 *	collector_finish(c);				 nothing more comes
 *
 * A message is checked whole (gate), its sets are walked, and only when all of its data proved
 * sound are its records handed on: message_begin, then options for each set of options data, then records
 * for each other data set in the order of the message, then message_end.  Templates take effect at their place in the message.
 * A data set whose template is not known is held (hold.h), and handed on as a message of its own when it is,
 * with the header, place and time that it came with.
 *
 * Owner: a worker thread.  Lifetime: process.
 */
#ifndef COLLECTOR_COLLECTOR_H
#define COLLECTOR_COLLECTOR_H

#include "base/stat.h"
#include "base/why.h"
#include "collector/bound.h"
#include "collector/message.h"
#include "collector/session.h"
#include "collector/tmpl.h"

/* Counters of this room: rows of counters.def and drops.def. */
enum collector_stat {
#define COUNTER(id, name, unit, doc) STAT_##id,
#define LEVEL(id, name, unit, doc) STAT_##id,
#define DROP(id, name, reason, unit, doc) STAT_##id,
#include "collector/counters.def"
#include "collector/drops.def"
#undef COUNTER
#undef LEVEL
#undef DROP
	COLLECTOR_STAT_COUNT
};
extern const struct stat_desc collector_stat_descs[COLLECTOR_STAT_COUNT];

/* Records, at most, between two looks at what their message has cost. */
#define COLLECTOR_TURN 32u

/* What the worker hands the collector to call forward; all may be called only inside
 * collector_receive(), collector_tick(), collector_turn(), collector_finish() and collector_free(). */
struct collector_ops {
	/* A template was defined or changed: a chance to look at it (profiles). */
	void (*tmpl_new)(void *ctx, struct session *s, struct tmpl *t);
	/* It is about to be freed. */
	void (*tmpl_gone)(void *ctx, struct tmpl *t);
	/* The session is about to be freed; its templates are gone. */
	void (*session_gone)(void *ctx, struct session *s);
	void (*message_begin)(void *ctx, const struct message *m, struct session *s);
	/* Data records of a template that is not an options template.  Returns how many of them could
	 * not be decoded, and why in *reason, a row of drops.def. */
	size_t (*records)(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			  const struct record *records, size_t count, enum collector_stat *reason);
	/* Octets of which no records were made, for the reason of that row of drops.def: a data set with
	 * its header, or, where they begin with the message, all of it.  Of a malformed message only
	 * octets, bytes and origin mean anything, and there is no session.  May be NULL. */
	void (*undecodable)(void *ctx, const struct message *m, const struct session *s,
			    enum collector_stat reason, const uint8_t *octets, size_t bytes);
	/* Data records of an options template. */
	void (*options)(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			const struct record *records, size_t count);
	/* May more records of the message be handed on, or did it cost its share already?  Asked each
	 * COLLECTOR_TURN records; the others are undecodable.  May be NULL: everything may. */
	bool (*may_go_on)(void *ctx, const struct message *m);
	/* What was handed on cost so far, in all; for limits.turn_work.  May be NULL: nothing. */
	uint64_t (*work)(void *ctx);
	void (*message_end)(void *ctx, const struct message *m, struct session *s);
};

struct collector_limits {
	uint32_t sessions_max;	      /* per worker */
	uint32_t templates_max;	      /* per session */
	uint32_t fields_max;	      /* per template */
	uint32_t repeats_max;	      /* of one element in a template */
	uint32_t template_lifetime_s; /* UDP */
	uint32_t session_idle_s;
	uint32_t hold_s; /* how long data sets wait for their template; 0: not at all */
	uint64_t hold_session_bytes;
	uint64_t hold_bytes; /* per worker */
	uint64_t
		turn_work; /* of one turn of those whose template came, as ops->work counts; 0: any */
	bool template_from_port; /* sets that wait may take the template of another port */
	/* Templates of an address, and in all; 0: no bound. */
	uint32_t templates_exporter_max;
	uint32_t templates_all_max;
	uint64_t templates_all_bytes;
};

/* What holds for sources that no entry of `exporters` names. */
struct collector_policy {
	bool is_closed;		       /* they are refused */
	uint32_t unknown_rate;	       /* datagrams a second, of all of them; 0: no limit */
	uint32_t unknown_sessions_max; /* of all of them; 0: no limit but that of all sessions */
};

struct collector;

enum err collector_new(const struct collector_limits *limits, const struct collector_ops *ops,
		       void *ctx, struct stat_set *stat, struct collector **out);
void collector_free(struct collector *c);

/* Exporter entries of a new generation; they must live until the next call.  Sessions look their
 * entry up again at their next message. */
void collector_set_exporters(struct collector *c, const struct exporter_entry *entries,
			     size_t count, uint64_t generation);

/* Before entries of a new generation, or none: then everybody may come in. */
void collector_set_policy(struct collector *c, const struct collector_policy *policy);

/* The session of that key, or NULL. */
struct session *collector_session(const struct collector *c, const struct session_key *key);

/* From within ops->records only: the template of that id that was in force where the set stands in its message, for
 * lists in its records; NULL when there was none.  It counts as used.  *cost grows by how many were looked at. */
struct tmpl *collector_tmpl(struct collector *c, struct session *s, uint16_t id, uint32_t *cost);

void collector_receive(struct collector *c, const uint8_t *octets, size_t bytes,
		       const struct origin *origin);
void collector_tick(struct collector *c, int64_t mono_ms);
/* Was the message that collector_receive() had last malformed? */
bool collector_was_malformed(const struct collector *c);
/* May somebody of that address connect? */
bool collector_hears(const struct collector *c, const struct addr *peer, uint16_t port);
/* The connection has ended, and its sessions with it: what waits for a template waits in vain. */
void collector_end_stream(struct collector *c, uint32_t stream);
/* Sets that waited and whose template came are handed on in turns of bounded length, one with each message of their session and
 * one with each call of this, between two batches: true while there are more.  Or all of them. */
bool collector_turn(struct collector *c);
void collector_catch_up(struct collector *c);
/* What waits for its template waits in vain. */
void collector_finish(struct collector *c);

/* Of an earlier life, before anything is received (keep.h): the session of that key, which is made when there is none; NULL
 * when there is no room.  A template that is sound; one that is stale by now is freed.  ERR_LIMIT, ERR_NOMEM. */
struct session *collector_restore_session(struct collector *c, const struct session_key *key,
					  const struct addr *peer);
enum err collector_restore_tmpl(struct collector *c, struct session *s, struct tmpl *t,
				int64_t mono_ms);

/* What templates take of their bounds: of the session's address, or with NULL of all. */
struct bound_use collector_tmpls_use(const struct collector *c, const struct session *s);

/* Calls `each` for every session, until it returns false. */
void collector_each_session(struct collector *c, bool (*each)(void *ctx, struct session *s),
			    void *ctx);

#endif
