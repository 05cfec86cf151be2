/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline.h - one worker's road from octets to the log: collector, plan, enrich, encode, append.
 *
 *	pipeline_new(&setup, &p)
 *	pipeline_receive(p, octets, bytes, origin)	for each unit; also as a unit_fn
 *	pipeline_tick(p, mono_ms)			at least every 100 ms
 *	pipeline_use(p, generation)			between units
 *	pipeline_again(...), pipeline_append_again(...)	what comes back from the dead letter log
 *
 * The records of a message are appended together when the message is done, or in slices of
 * PIPELINE_SLICE_BYTES when they are more.
 *
 * Owner: a worker thread.  Lifetime: process.
 */
#ifndef DAEMON_PIPELINE_H
#define DAEMON_PIPELINE_H

#include "base/stat.h"
#include "base/why.h"
#include "collector/collector.h"
#include "collector/unit.h"
#include "daemon/generation.h"
#include "sink/dead.h"
#include "sink/log.h"

#define PIPELINE_SLICE_BYTES (4u << 20)
#define PIPELINE_FLOWS 8 /* decoded together, so that enrichers see batches */

enum pipeline_stat {
#define COUNTER(id, name, unit, doc) PIPE_STAT_##id,
#define DROP(id, name, reason, unit, doc) PIPE_STAT_##id,
#include "daemon/counters.def"
#include "daemon/drops.def"
#undef COUNTER
#undef DROP
	PIPE_STAT_COUNT
};
extern const struct stat_desc pipeline_stat_descs[PIPE_STAT_COUNT];

struct pipeline_setup {
	const struct collector_limits *limits;
	const struct generation *generation;
	struct stat_set *collector_stat;
	struct stat_set *stat;
	struct log_hub *hub;
	struct log *log;
	struct dead *dead; /* NULL: what cannot be decoded is counted, and gone */
	unsigned worker;
	const char *elements_dir; /* for libfixbuf's model */
	bool is_fixbuf;		  /* decoder = "fixbuf" */
	uint32_t selfcheck;	  /* one record in so many; 0: none */
	uint32_t message_work;	  /* microseconds that one message may cost; 0: any */
};

struct pipeline;

enum err pipeline_new(const struct pipeline_setup *setup, struct pipeline **out);
void pipeline_free(struct pipeline *p);

void pipeline_receive(void *pipeline, const uint8_t *octets, size_t bytes,
		      const struct origin *origin);
/* A message made of a dead letter. */
void pipeline_again(struct pipeline *p, const uint8_t *octets, size_t bytes,
		    const struct origin *origin);
/* An encoded record that a sink had refused, on its way to head->route. */
enum err pipeline_append_again(struct pipeline *p, const struct log_head *head, uint32_t schema,
			       const uint8_t *payload);
void pipeline_tick(struct pipeline *p, int64_t mono_ms);
/* Seals what was appended long enough ago; pipeline_tick() does it too. */
void pipeline_seal(struct pipeline *p, int64_t mono_ms);
/* Seals all that was appended. */
void pipeline_flush(struct pipeline *p);
/* Nothing more comes: what waits for a template is given up. */
/* Between two batches: sets that waited, in turns; true while there are more.  Or all of them. */
bool pipeline_turn(struct pipeline *p);
void pipeline_catch_up(struct pipeline *p);
void pipeline_finish(struct pipeline *p);
void pipeline_use(struct pipeline *p, const struct generation *g);
/* What options data of an earlier life said, to the session of that key; as join_restore(). */
enum err pipeline_restore_joins(struct pipeline *p, const struct addr *peer,
				const struct session_key *key, struct rd entry, int64_t mono_ms);
enum err pipeline_restore_announced(struct pipeline *p, const struct addr *peer,
				    const struct session_key *key, struct rd entry,
				    int64_t mono_ms);
/* What it said in this life, for join_keep() and announce_keep(). */
struct chain *pipeline_announce_order(struct pipeline *p);
struct chain *pipeline_join_order(struct pipeline *p);
struct collector *pipeline_collector(struct pipeline *p);
const struct generation *pipeline_generation(const struct pipeline *p);
/* The plan of a template, compiled if need be; NULL when it cannot be. */
struct plan *pipeline_plan(struct pipeline *p, struct session *s, struct tmpl *t);

#endif
