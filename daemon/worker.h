/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - the threads between sockets and log: one pipeline each.
 *
 *	workers_open(&setup, &ws, &why)		logs, pipelines, sockets
 *	workers_start(ws)
 *	workers_call(ws, i, fn, ctx)		runs fn on worker i's thread, between batches, and waits
 *	workers_stop(ws)			sockets shut and drained, logs finished, threads joined
 *	workers_finish(ws)			the last counts
 *	workers_close(ws)
 *
 * A replay runs on the calling thread through worker 0's pipeline, before workers_start().
 *
 * Owner: main.  Lifetime: process.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "base/stat.h"
#include "base/why.h"
#include "collector/stream.h"
#include "collector/udp.h"
#include "daemon/pipeline.h"
#include "daemon/reload.h"
#include "sink/log.h"

struct workers;

struct workers_setup {
	unsigned count;
	const struct udp_conf *udp;	   /* NULL: no sockets (replay only) */
	const struct stream_conf *streams; /* as `udp` */
	struct reload *reload;
	struct log_hub *hub;
	struct log *const *logs; /* one for each worker, the caller's */
	struct dead *dead;	 /* may be NULL */
	const struct collector_limits *limits;
	const char *elements_dir;
	bool is_fixbuf;
	uint32_t selfcheck;
	uint32_t message_work;
};

enum err workers_open(const struct workers_setup *setup, struct workers **out, struct why *why);
enum err workers_start(struct workers *ws, struct why *why);
void workers_stop(struct workers *ws, int deadline_ms);
/* From a signal handler too: what workers_stop() still drains is left to workers_finish(). */
void workers_hurry(struct workers *ws);
/* After workers_stop(), as late as can be: counts what came meanwhile, and what there was no time for. */
void workers_finish(struct workers *ws);
void workers_close(struct workers *ws);

/* Before workers_start(): a whole capture file through worker 0's pipeline. */
enum err workers_replay(struct workers *ws, const char *file, const struct addr *exporter,
			const struct stat_flag *stop, struct why *why);

typedef void worker_call_fn(void *ctx, unsigned worker, struct pipeline *p);
void workers_call(struct workers *ws, unsigned worker, worker_call_fn *fn, void *ctx);

unsigned workers_count(const struct workers *ws);
struct stat_set *workers_collector_stat(const struct workers *ws, unsigned worker);
struct stat_set *workers_stat(const struct workers *ws, unsigned worker);
struct udp_group *workers_udp(const struct workers *ws);
struct stream_group *workers_streams(const struct workers *ws);
/* On each worker's thread, in the order of their numbers. */
void workers_change_streams(struct workers *ws, struct stream_change *c);

#endif
