/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline_parts.h - what pipeline.c (records become flows, flows become events) and pipeline_options.c (what options data teaches)
 * know of a pipeline.
 *
 * Owner: a worker thread.  Lifetime: process.
 */
#ifndef DAEMON_PIPELINE_PARTS_H
#define DAEMON_PIPELINE_PARTS_H

#include "base/chain.h"
#include "daemon/envelope.h"
#include "daemon/list_room.h"
#include "daemon/pipeline.h"
#include "daemon/plan_pool.h"
#include "normalizer/plan.h"

#define PIPELINE_VALUES_MAX 1024

/*
 * What things cost, in nanoseconds of a core of 2025, from test/hostile.  They are counted and not
 * measured: what becomes of a message must not depend on the machine, nor on who else uses it.
 */
#define WORK_RECORD 400
#define WORK_FIELD 14
#define WORK_WIDE 32 /* fields beyond so many compete with each other, most likely */
#define WORK_WIDE_FIELD 80
#define WORK_8_OCTETS 5 /* encoded */
#define WORK_PLAN 3000
#define WORK_PLAN_FIELD 1000
#define WORK_ANNOUNCED_FIELD 50 /* looked up among what was announced */
#define WORK_ANNOUNCED 4	/* a name compared with another one */

struct pipeline {
	const struct generation *generation;
	struct collector *collector;
	struct stat_set *collector_stat;
	struct stat_set *stat;
	struct log_hub *hub;
	struct log *log;
	struct dead *dead;
	unsigned worker;
	struct log_batch batch;
	struct log_batch check_batch; /* the other reading of a self-check */
	const char *elements_dir;
	struct fixbuf *fixbuf; /* made when first needed, for this generation */
	bool is_fixbuf;
	bool is_fixbuf_broken;
	uint32_t selfcheck;
	uint32_t selfcheck_in; /* records until the next one */
	struct envelope envelope;
	struct enrich_context context; /* of the message at hand */
	struct list_room lists;
	size_t join_count;	     /* entries of all sessions */
	size_t announce_count;	     /* elements that exporters of all sessions announced */
	size_t report_count;	     /* processes of all sessions that report of themselves */
	struct chain join_order;     /* of those that changed */
	struct chain announce_order; /* and of sessions that announced something */
	uint64_t work;		     /* what records cost so far, in nanoseconds by our count */
	uint64_t work_before;	     /* and when the message at hand began */
	uint64_t work_max;	     /* 0: no limit */
	struct plan_pool plans;
	struct value values[PIPELINE_VALUES_MAX];
	struct flow flows[PIPELINE_FLOWS];
	struct flow check_flow;
};

/* What decoding a record of the template costs, at most. */
uint64_t pipeline_work_of_record(const struct tmpl *t);

/* pipeline_options.c */
/* What flows of the session may take up: its own, and that of domain 0 of the same exporter. */
void pipeline_settle_joins(struct pipeline *p, const struct session *s);
/* Options data becomes no flow: later flows take it up.  As collector_ops.options. */
void pipeline_learn(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		    const struct record *records, size_t count);

#endif
