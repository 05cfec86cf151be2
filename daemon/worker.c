/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "collector/replay.h"

#define WAIT_MS 50 /* well below LOG_COMMIT_MS */
#define GATHER_MS                                                                                  \
	8 /* octets of streams gather so long: a call for each message costs as much as the message */
#define TICK_MS 1000
#define PAUSE_NS 2000000 /* of a replay, for sinks to catch up */
#define DRAIN_DATAGRAMS 1000000u

struct worker {
	struct workers *all;
	unsigned number;
	struct thread *thread;
	struct udp_worker *udp;
	struct stream_worker *streams;
	bool minds_streams; /* or the log is too full for what can wait, or octets gather */
	int64_t gather_until_ms;
	struct pipeline *pipeline;
	struct stat_set *collector_stat;
	struct stat_set *stat;
	struct log *log;
	int64_t next_tick_ms;
	struct stat_flag is_called; /* somebody waits for `call` */
	worker_call_fn *call;
	void *call_ctx;
	bool is_call_done;
};

struct workers {
	unsigned count;
	bool is_started;
	struct udp_group *udp;
	struct stream_group *streams;
	struct reload *reload;
	const struct log_hub *hub;
	struct stat_flag stop;
	struct stat_flag hurry;
	int64_t stop_by_ms; /* monotonic; written before `stop` is raised */
	pthread_mutex_t call_lock;
	pthread_cond_t call_done;
	struct worker workers[];
};

static void answer_call(struct worker *w)
{
	if (!stat_flag_get(&w->is_called))
		return;
	(void)pthread_mutex_lock(&w->all->call_lock);
	w->call(w->call_ctx, w->number, w->pipeline);
	w->is_call_done = true;
	stat_flag_set(&w->is_called, 0);
	(void)pthread_cond_broadcast(&w->all->call_done);
	(void)pthread_mutex_unlock(&w->all->call_lock);
}

static bool take_message(void *ctx, const uint8_t *octets, size_t bytes,
			 const struct origin *origin)
{
	struct worker *w = ctx;

	pipeline_receive(w->pipeline, octets, bytes, origin);
	return !collector_was_malformed(pipeline_collector(w->pipeline));
}

static bool hears(void *ctx, const struct addr *peer, uint16_t port)
{
	struct worker *w = ctx;

	return collector_hears(pipeline_collector(w->pipeline), peer, port);
}

static void end_stream(void *ctx, uint32_t stream)
{
	struct worker *w = ctx;

	collector_end_stream(pipeline_collector(w->pipeline), stream);
}

static bool is_high(void *ctx)
{
	const struct worker *w = ctx;

	return log_hub_wants_pause(w->all->hub);
}

static struct stream_calls calls_of(struct worker *w)
{
	return (struct stream_calls){ w, take_message, hears, end_stream, is_high };
}

static void mind_streams(struct worker *w, bool is_minded)
{
	if (is_minded != w->minds_streams &&
	    udp_worker_mind(w->udp, stream_worker_fd(w->streams), is_minded) == ERR_OK)
		w->minds_streams = is_minded;
}

/* While the log is high exporters that can wait do so: their sockets are not looked at. */
static void receive_streams(struct worker *w)
{
	struct stream_calls calls = calls_of(w);
	int64_t now_ms = clock_mono_ms();
	bool has_gathered = !w->minds_streams && w->gather_until_ms != 0;

	if (is_high(w)) {
		mind_streams(w, false);
		w->gather_until_ms = 0;
		return;
	}
	if (now_ms < w->gather_until_ms)
		return;
	if ((has_gathered || udp_worker_is_other_ready(w->udp)) &&
	    stream_worker_receive(w->streams, &calls) == STREAM_SOME) {
		mind_streams(w, false);
		w->gather_until_ms = clock_mono_ms() + GATHER_MS;
		return;
	}
	w->gather_until_ms = 0;
	mind_streams(w, true);
}

static int wait_ms(const struct worker *w, bool is_behind)
{
	int64_t left_ms;

	if (is_behind || w->gather_until_ms == 0)
		return is_behind ? 0 : WAIT_MS;
	left_ms = w->gather_until_ms - clock_mono_ms();
	return left_ms > 0 ? (int)left_ms : 0;
}

static void tick(struct worker *w, int64_t now_ms)
{
	struct stream_calls calls = calls_of(w);

	pipeline_tick(w->pipeline, now_ms);
	stream_worker_tick(w->streams, &calls, now_ms);
}

static void use_generation(struct worker *w, const struct generation *g)
{
	struct stream_limits limits = options_stream_limits(g->options);

	pipeline_use(w->pipeline, g);
	stream_worker_limit(w->streams, &limits);
}

static void between_batches(struct worker *w)
{
	const struct generation *g = reload_enter(w->all->reload, w->number);
	int64_t now_ms = clock_mono_ms();

	if (g != pipeline_generation(w->pipeline))
		use_generation(w, g);
	answer_call(w);
	pipeline_seal(w->pipeline, now_ms);
	if (now_ms < w->next_tick_ms)
		return;
	tick(w, now_ms);
	w->next_tick_ms = now_ms + TICK_MS;
}

static void drain(struct worker *w)
{
	struct stream_calls calls = calls_of(w);
	size_t taken = 0;
	size_t n;

	stream_worker_drain(w->streams, &calls, w->all->stop_by_ms);
	do {
		n = udp_worker_drain(w->udp, UDP_BATCH_DEFAULT, pipeline_receive, w->pipeline);
		taken += n;
		pipeline_seal(w->pipeline, clock_mono_ms());
	} while (n > 0 && taken < DRAIN_DATAGRAMS && !stat_flag_get(&w->all->hurry) &&
		 clock_mono_ms() < w->all->stop_by_ms);
	pipeline_catch_up(w->pipeline);
}

static void run(void *ctx)
{
	struct worker *w = ctx;
	bool is_behind = false;

	while (!stat_flag_get(&w->all->stop)) {
		(void)udp_worker_receive(w->udp, wait_ms(w, is_behind), pipeline_receive,
					 w->pipeline);
		receive_streams(w);
		is_behind = pipeline_turn(w->pipeline);
		between_batches(w);
	}
	udp_worker_shut(w->udp);
	drain(w);
	answer_call(w);
}

static enum err open_worker(struct workers *ws, unsigned i, const struct workers_setup *setup)
{
	struct worker *w = &ws->workers[i];
	struct pipeline_setup ps = {
		.limits = setup->limits,
		.generation = reload_newest(setup->reload),
		.hub = setup->hub,
		.log = setup->logs[i],
		.dead = setup->dead,
		.worker = i,
		.elements_dir = setup->elements_dir,
		.is_fixbuf = setup->is_fixbuf,
		.selfcheck = setup->selfcheck,
		.message_work = setup->message_work,
	};

	w->all = ws;
	w->number = i;
	w->log = setup->logs[i];
	TRY(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &w->collector_stat));
	TRY(stat_set_new(pipeline_stat_descs, PIPE_STAT_COUNT, &w->stat));
	ps.collector_stat = w->collector_stat;
	ps.stat = w->stat;
	return pipeline_new(&ps, &w->pipeline);
}

static enum err open_sockets(struct workers *ws, const struct workers_setup *setup, struct why *why)
{
	struct stat_set *stats[UDP_WORKERS_MAX];

	if (setup->udp == NULL)
		return ERR_OK;
	for (unsigned i = 0; i < ws->count; i++)
		stats[i] = ws->workers[i].collector_stat;
	TRY(udp_group_open(setup->udp, stats, &ws->udp, why));
	for (unsigned i = 0; i < ws->count; i++)
		ws->workers[i].udp = udp_group_worker(ws->udp, i);
	TRY(stream_group_open(setup->streams, stats, &ws->streams, why));
	for (unsigned i = 0; i < ws->count; i++)
		ws->workers[i].streams = stream_group_worker(ws->streams, i);
	return ERR_OK;
}

enum err workers_open(const struct workers_setup *setup, struct workers **out, struct why *why)
{
	struct workers *ws = calloc(1, sizeof(*ws) + setup->count * sizeof(ws->workers[0]));
	enum err e = ERR_OK;

	if (ws == NULL)
		return why_set(why, ERR_NOMEM, "no memory for %u workers", setup->count);
	must(setup->count <= UDP_WORKERS_MAX);
	ws->count = setup->count;
	ws->reload = setup->reload;
	ws->hub = setup->hub;
	(void)pthread_mutex_init(&ws->call_lock, NULL);
	(void)pthread_cond_init(&ws->call_done, NULL);
	for (unsigned i = 0; e == ERR_OK && i < ws->count; i++) {
		e = open_worker(ws, i, setup);
		if (e != ERR_OK)
			(void)why_set(why, e, "worker %u: %s", i, err_text(e));
	}
	if (e == ERR_OK)
		e = open_sockets(ws, setup, why);
	if (e != ERR_OK) {
		workers_close(ws);
		return e;
	}
	*out = ws;
	return ERR_OK;
}

enum err workers_start(struct workers *ws, struct why *why)
{
	char name[24];

	for (unsigned i = 0; i < ws->count; i++) {
		(void)snprintf(name, sizeof(name), "worker-%u", i);
		if (thread_start(name, run, &ws->workers[i], &ws->workers[i].thread) != ERR_OK)
			return why_set(why, ERR_NOMEM, "cannot start a thread");
	}
	ws->is_started = true;
	return ERR_OK;
}

void workers_stop(struct workers *ws, int deadline_ms)
{
	ws->stop_by_ms = clock_mono_ms() + deadline_ms;
	stat_flag_set(&ws->stop, 1);
	for (unsigned i = 0; i < ws->count; i++) {
		struct worker *w = &ws->workers[i];

		if (w->udp != NULL)
			udp_worker_wake(w->udp);
		thread_join(w->thread);
		w->thread = NULL;
	}
	ws->is_started = false;
	/* Strays that another worker handed over while it drained; nobody else runs now. */
	for (unsigned i = 0; i < ws->count; i++) {
		if (ws->workers[i].udp != NULL)
			drain(&ws->workers[i]);
		log_finish(ws->workers[i].log);
	}
}

void workers_hurry(struct workers *ws)
{
	stat_flag_set(&ws->hurry, 1);
}

void workers_finish(struct workers *ws)
{
	must(!ws->is_started);
	for (unsigned i = 0; i < ws->count; i++) {
		if (ws->workers[i].udp != NULL)
			udp_worker_finish(ws->workers[i].udp);
	}
}

void workers_close(struct workers *ws)
{
	if (ws == NULL)
		return;
	if (ws->udp != NULL)
		udp_group_close(ws->udp);
	stream_group_close(ws->streams);
	for (unsigned i = 0; i < ws->count; i++) {
		pipeline_free(ws->workers[i].pipeline);
		stat_set_free(ws->workers[i].collector_stat);
		stat_set_free(ws->workers[i].stat);
	}
	(void)pthread_mutex_destroy(&ws->call_lock);
	(void)pthread_cond_destroy(&ws->call_done);
	free(ws);
}

struct replay_feed {
	struct worker *worker;
	const struct log_hub *hub;
	const struct stat_flag *stop;
};

/* A replay outruns its sinks: it waits where the network would lose. */
static void feed(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	struct replay_feed *f = ctx;
	struct timespec pause = { 0, PAUSE_NS };

	pipeline_receive(f->worker->pipeline, octets, bytes, origin);
	pipeline_catch_up(f->worker->pipeline);
	pipeline_seal(f->worker->pipeline, clock_mono_ms());
	while (log_hub_is_high(f->hub) && !stat_flag_get(f->stop)) {
		(void)nanosleep(&pause, NULL);
		pipeline_seal(f->worker->pipeline, clock_mono_ms());
	}
}

enum err workers_replay(struct workers *ws, const char *file, const struct addr *exporter,
			const struct stat_flag *stop, struct why *why)
{
	struct replay_feed f = { &ws->workers[0], ws->hub, stop };
	struct replay_conf conf = { .stop = stop };

	must(!ws->is_started);
	if (exporter != NULL)
		conf.exporter = *exporter;
	return replay_run(file, &conf, feed, &f, ws->workers[0].collector_stat, why);
}

void workers_call(struct workers *ws, unsigned worker, worker_call_fn *fn, void *ctx)
{
	struct worker *w = &ws->workers[worker];

	if (!ws->is_started) {
		fn(ctx, worker, w->pipeline);
		return;
	}
	(void)pthread_mutex_lock(&ws->call_lock);
	w->call = fn;
	w->call_ctx = ctx;
	w->is_call_done = false;
	stat_flag_set(&w->is_called, 1);
	if (w->udp != NULL)
		udp_worker_wake(w->udp);
	while (!w->is_call_done)
		(void)pthread_cond_wait(&ws->call_done, &ws->call_lock);
	(void)pthread_mutex_unlock(&ws->call_lock);
}

unsigned workers_count(const struct workers *ws)
{
	return ws->count;
}

struct stat_set *workers_collector_stat(const struct workers *ws, unsigned worker)
{
	return ws->workers[worker].collector_stat;
}

struct stat_set *workers_stat(const struct workers *ws, unsigned worker)
{
	return ws->workers[worker].stat;
}

struct udp_group *workers_udp(const struct workers *ws)
{
	return ws->udp;
}

struct stream_group *workers_streams(const struct workers *ws)
{
	return ws->streams;
}

struct changing {
	struct workers *workers;
	struct stream_change *change;
};

static void change_streams(void *ctx, unsigned worker, struct pipeline *p)
{
	struct changing *c = ctx;
	struct stream_calls calls = calls_of(&c->workers->workers[worker]);

	(void)p;
	stream_change_apply(c->change, worker, &calls);
}

void workers_change_streams(struct workers *ws, struct stream_change *c)
{
	struct changing changing = { ws, c };

	for (unsigned i = 0; i < ws->count; i++)
		workers_call(ws, i, change_streams, &changing);
}
