/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.h - one line in the log every health_s seconds: memory, how far behind, rates, losses, errors.
 *
 *	health_new(&h)
 *	health_begin(h, s)	before anything runs: what is counted already is of earlier lives
 *	health_step(h, s)	now and then; writes the line when it is time
 *
 * Its keys are always the same ones, in the same order, whatever happened: doc/HEALTH.md lists them.  It costs
 * nothing between two lines: the control thread sums counters that are there anyway.
 *
 * Owner: the control thread.
 */
#ifndef DAEMON_HEALTH_H
#define DAEMON_HEALTH_H

#include "collector/collector.h"
#include "daemon/pipeline.h"
#include "sink/dead.h"
#include "sink/sink.h"

#define HEALTH_SINKS_MAX 64
#define HEALTH_LINE_BYTES 1792 /* log_line() takes 2 KiB with its stamp */

struct health_sink {
	const char *name;
	uint64_t values[SINK_STAT_COUNT];
};

/* Counters at one time; of all workers together. */
struct health_counts {
	int64_t taken_ms; /* monotonic */
	uint64_t collector[COLLECTOR_STAT_COUNT];
	uint64_t pipe[PIPE_STAT_COUNT];
	uint64_t dead[DEAD_STAT_COUNT];
	struct health_sink sinks[HEALTH_SINKS_MAX];
	size_t sink_count;
};

/* What is not counted, but there is so much of it now. */
struct health_levels {
	int64_t uptime_s;
	uint64_t rss_anon;   /* octets of memory of our own */
	double rcvbuf_share; /* of the fullest socket's receive buffer */
	uint64_t log_bytes;
	uint64_t log_max_bytes;
	struct log_summary log;
};

/* The line, without its stamp; for the time between the two counts. */
const char *health_text(const struct health_counts *before, const struct health_counts *now,
			const struct health_levels *levels, char out[HEALTH_LINE_BYTES]);

struct health;
struct service;
enum err health_new(struct health **out);
void health_free(struct health *h);
void health_begin(struct health *h, struct service *s);
void health_step(struct health *h, struct service *s);

#endif
