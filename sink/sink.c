/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sink.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "sink/dead_letter.h"
#include "sink/file.h"
#include "sink/kafka.h"
#include "sink/null.h"
#include "sink/parquet_sink.h"
#include "sink/schema.h"
#include "sink/stdout.h"

#define SLEEP_MAX_MS 500
#define START_RETRY_MS 1000
#define STOP_NAP_NS 5000000

const struct sink_ops *const sink_types[] = { &sink_file,   &sink_parquet, &sink_kafka,
					      &sink_stdout, &sink_null,	   NULL };

const struct stat_desc sink_stat_descs[SINK_STAT_COUNT] = {
#define COUNTER(id, name, unit, doc) [SINK_STAT_##id] = { name, "", unit, doc },
#define DROP(id, name, reason, unit, doc) [SINK_STAT_##id] = { name, reason, unit, doc },
#include "sink/sink_counters.def"
#undef COUNTER
#undef DROP
};

/* One sink and its thread. */
struct runner {
	const struct sink_ops *ops;
	struct sinks *sinks;
	struct sink_env env;
	char *name;
	void *self;
	struct thread *thread;
	struct log_cursor *cursor;
	uint64_t gone;	   /* records of logs that are no more */
	uint64_t *targets; /* LSN per reader that a flush wants to be done; under sinks->lock */
};

struct sinks {
	struct log_hub *hub;
	struct log **logs;
	size_t log_count;
	struct field_set *fields;
	char *state_dir;
	struct stat_flag is_flushing;
	struct stat_flag is_stopping;
	pthread_mutex_t lock;
	size_t count;
	struct runner runners[];
};

const struct sink_ops *sink_type_find(const char *type)
{
	for (size_t i = 0; sink_types[i] != NULL; i++) {
		if (strcmp(sink_types[i]->type, type) == 0)
			return sink_types[i];
	}
	return NULL;
}

static const size_t loss_stats[LOG_LOSS_COUNT] = {
	[LOG_LOST_MAX_BYTES] = SINK_STAT_EVICTED,
	[LOG_LOST_MAX_AGE] = SINK_STAT_EVICTED_AGE,
	[LOG_LOST_CORRUPT] = SINK_STAT_LOG_CORRUPT,
	[LOG_LOST_UNSYNCED] = SINK_STAT_LOST_UNSYNCED,
};

/* What is done and what is counted belong together now. */
static void publish(struct runner *r)
{
	log_cursor_publish(r->cursor, r->env.stat, loss_stats);
}

/* The counters go on from where the sink was; its readers too.  Where they begin is known before there is a record:
 * killed before anything was durable, the log knows of none, and they would never be missed. */
static enum err open_readers(struct runner *r, enum log_start from, struct why *why)
{
	const struct sinks *s = r->sinks;
	const uint64_t *counts;

	r->env.readers = calloc(s->log_count + 1, sizeof(*r->env.readers));
	r->targets = calloc(s->log_count + 1, sizeof(*r->targets));
	if (r->env.readers == NULL || r->targets == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	TRY(log_cursor_open(s->hub, r->name, sink_stat_descs, SINK_STAT_COUNT, why, &r->cursor));
	counts = log_cursor_counts(r->cursor);
	for (size_t i = 0; i < SINK_STAT_COUNT; i++)
		stat_add(r->env.stat, i, counts[i]);
	for (size_t i = 0; i < s->log_count; i++) {
		TRY(log_cursor_reader(r->cursor, s->logs[i], from, why, &r->env.readers[i]));
		r->env.reader_count++;
	}
	r->gone = log_cursor_gone(r->cursor);
	r->env.route = UINT64_C(1) << log_cursor_route(r->cursor);
	publish(r);
	return ERR_OK;
}

static enum err open_runner(struct sinks *s, struct runner *r, const struct sink_conf *conf,
			    const struct sink_env *env, struct why *why)
{
	r->sinks = s;
	r->ops = conf->ops;
	r->env = *env;
	r->env.dead = conf->dead;
	r->name = strdup(conf->name);
	if (r->name == NULL ||
	    stat_set_new(sink_stat_descs, SINK_STAT_COUNT, &r->env.stat) != ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory");
	r->env.name = r->name;
	TRY(open_readers(r, conf->from, why));
	return r->ops->open(conf->conf, &r->env, why, &r->self);
}

/* What all sinks are told alike, copied to where it stays. */
static enum err make_env(struct sinks *s, const char *state_dir, const char *schema_text,
			 struct sink_env *env, struct why *why)
{
	size_t bytes;

	memset(env, 0, sizeof(*env));
	env->hub = s->hub;
	if (state_dir != NULL) {
		s->state_dir = strdup(state_dir);
		if (s->state_dir == NULL)
			return why_set(why, ERR_NOMEM, "no memory");
	}
	env->state_dir = s->state_dir;
	if (log_name_add(s->hub, LOG_NAME_SCHEMA, schema_text, strlen(schema_text), &env->schema) !=
	    ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory");
	env->schema_text = log_name(s->hub, LOG_NAME_SCHEMA, env->schema, &bytes);
	if (!dead_schema_is(env->schema_text))
		TRY(schema_fields_new(env->schema_text, why, &s->fields));
	env->fields = s->fields;
	return ERR_OK;
}

static enum err open_all(struct sinks *s, const struct sink_conf *confs, size_t count,
			 struct log *const *logs, const char *state_dir, const char *schema_text,
			 struct why *why)
{
	struct sink_env env;

	s->logs = calloc(s->log_count + 1, sizeof(struct log *));
	if (s->logs == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	memcpy(s->logs, logs, s->log_count * sizeof(struct log *));
	TRY(make_env(s, state_dir, schema_text, &env, why));
	for (size_t i = 0; i < count; i++) {
		enum err e;

		s->count++;
		e = open_runner(s, &s->runners[i], &confs[i], &env, why);
		if (e != ERR_OK) {
			why_prefix(why, "sink %s", confs[i].name);
			return e;
		}
	}
	return ERR_OK;
}

/* The fields come from the schema's text, which stays: `fields` may go with its generation. */
enum err sinks_open(const struct sink_conf *confs, size_t count, struct log_hub *hub,
		    struct log *const *logs, size_t log_count, const char *state_dir,
		    const struct field_set *fields, const char *schema_text, struct why *why,
		    struct sinks **out)
{
	struct sinks *s = calloc(1, sizeof(*s) + count * sizeof(s->runners[0]));
	enum err e;

	(void)fields;
	if (s == NULL)
		return why_set(why, ERR_NOMEM, "no memory for sinks");
	s->hub = hub;
	s->log_count = log_count;
	(void)pthread_mutex_init(&s->lock, NULL);
	e = open_all(s, confs, count, logs, state_dir, schema_text, why);
	if (e != ERR_OK) {
		sinks_close(s);
		return e;
	}
	*out = s;
	return ERR_OK;
}

static uint64_t pending_of(const struct runner *r)
{
	uint64_t pending = 0;

	for (size_t i = 0; i < r->env.reader_count; i++)
		pending += log_reader_pending(r->env.readers[i]);
	return pending;
}

/* True once it runs; false when it is to stop before that. */
static bool start_sink(struct runner *r)
{
	uint64_t seen = 0;

	while (!stat_flag_get(&r->sinks->is_stopping)) {
		struct why why = { "" };
		int64_t until_ms = clock_mono_ms() + START_RETRY_MS;

		if (r->ops->start(r->self, &why) == ERR_OK)
			return true;
		stat_inc(r->env.stat, SINK_STAT_ERRORS);
		log_error("sink.start_failed sink=%s why=\"%s\"", r->name, why.text);
		while (!stat_flag_get(&r->sinks->is_stopping) && clock_mono_ms() < until_ms)
			log_hub_wait(r->sinks->hub, &seen, SLEEP_MAX_MS);
	}
	return false;
}

static bool is_drained(const struct runner *r, bool is_flushing)
{
	for (size_t k = 0; k < r->env.reader_count; k++) {
		uint64_t target = is_flushing ? r->targets[k] : log_sealed_lsn(r->sinks->logs[k]);

		if (log_reader_done_lsn(r->env.readers[k]) < target)
			return false;
	}
	return true;
}

/* A flush waits for all sinks, but asks of each only what was there at its call: a sink that has that
 * goes on as ever, however long another one takes. */
static bool has_to_flush(struct runner *r)
{
	struct sinks *s = r->sinks;
	bool is_done;

	if (!stat_flag_get(&s->is_flushing))
		return false;
	(void)pthread_mutex_lock(&s->lock);
	is_done = is_drained(r, true);
	(void)pthread_mutex_unlock(&s->lock);
	return !is_done;
}

static void run_sink(void *ctx)
{
	struct runner *r = ctx;
	struct sinks *s = r->sinks;
	uint64_t seen = 0;
	uint64_t left;
	bool is_running = start_sink(r);

	while (is_running && !stat_flag_get(&s->is_stopping)) {
		int sleep_ms = r->ops->poll(r->self, has_to_flush(r));

		publish(r);
		if (sleep_ms > 0)
			log_hub_wait(s->hub, &seen,
				     sleep_ms < SLEEP_MAX_MS ? sleep_ms : SLEEP_MAX_MS);
	}
	if (is_running && r->ops->finish != NULL)
		r->ops->finish(r->self);
	publish(r);
	left = pending_of(r);
	if (log_hub_is_durable(s->hub)) {
		if (left > 0)
			log_info("sink.waiting sink=%s records=%llu: they stay in the log", r->name,
				 (unsigned long long)left);
		return;
	}
	stat_add(r->env.stat, SINK_STAT_PENDING_AT_STOP, left);
	if (left > 0)
		log_warn("sink.abandoned sink=%s records=%llu", r->name, (unsigned long long)left);
}

enum err sinks_start(struct sinks *s, struct why *why)
{
	for (size_t i = 0; i < s->count; i++) {
		struct runner *r = &s->runners[i];

		if (thread_start(r->name, run_sink, r, &r->thread) != ERR_OK)
			return why_set(why, ERR_NOMEM, "sink %s: no thread", r->name);
	}
	return ERR_OK;
}

void sinks_flush(struct sinks *s)
{
	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count; i++) {
		for (size_t k = 0; k < s->log_count; k++)
			s->runners[i].targets[k] = log_sealed_lsn(s->logs[k]);
	}
	(void)pthread_mutex_unlock(&s->lock);
	stat_flag_set(&s->is_flushing, 1);
	log_hub_wake(s->hub);
}

void sinks_relax(struct sinks *s)
{
	stat_flag_set(&s->is_flushing, 0);
}

bool sinks_drained(struct sinks *s)
{
	bool is_flushing = stat_flag_get(&s->is_flushing);
	bool all = true;

	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->count && all; i++)
		all = is_drained(&s->runners[i], is_flushing);
	(void)pthread_mutex_unlock(&s->lock);
	return all;
}

void sinks_stop(struct sinks *s, int deadline_ms)
{
	int64_t end_ms = clock_mono_ms() + deadline_ms;
	struct timespec nap = { 0, STOP_NAP_NS };

	sinks_flush(s);
	while (!sinks_drained(s) && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	stat_flag_set(&s->is_stopping, 1);
	log_hub_wake(s->hub);
	for (size_t i = 0; i < s->count; i++) {
		thread_join(s->runners[i].thread);
		s->runners[i].thread = NULL;
	}
}

static void close_runner(struct runner *r)
{
	if (r->self != NULL)
		r->ops->close(r->self);
	for (size_t i = 0; i < r->env.reader_count; i++)
		log_reader_close(r->env.readers[i]);
	free(r->env.readers);
	free(r->targets);
	stat_set_free(r->env.stat);
	free(r->name);
}

void sinks_close(struct sinks *s)
{
	bool is_running = false;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++)
		is_running = is_running || s->runners[i].thread != NULL;
	if (is_running)
		sinks_stop(s, 0);
	for (size_t i = 0; i < s->count; i++)
		close_runner(&s->runners[i]);
	(void)pthread_mutex_destroy(&s->lock);
	schema_fields_free(s->fields);
	free(s->state_dir);
	free(s->logs);
	free(s);
}

uint64_t sinks_route(const struct sinks *s, const char *name, size_t bytes)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strlen(s->runners[i].name) == bytes &&
		    memcmp(s->runners[i].name, name, bytes) == 0)
			return s->runners[i].env.route;
	}
	return 0;
}

size_t sinks_count(const struct sinks *s)
{
	return s->count;
}

const char *sinks_name(const struct sinks *s, size_t i)
{
	must(i < s->count);
	return s->runners[i].name;
}

const char *sinks_type(const struct sinks *s, size_t i)
{
	must(i < s->count);
	return s->runners[i].ops->type;
}

struct stat_set *sinks_stat(const struct sinks *s, size_t i)
{
	must(i < s->count);
	return s->runners[i].env.stat;
}

void sinks_lsn(const struct sinks *s, size_t i, uint64_t *span, uint64_t *pending)
{
	const struct runner *r = &s->runners[i];
	uint64_t abandoned;

	must(i < s->count);
	abandoned = stat_get(r->env.stat, SINK_STAT_PENDING_AT_STOP);
	*span = r->gone;
	*pending = pending_of(r);
	for (size_t k = 0; k < r->env.reader_count; k++)
		*span += log_end_lsn(s->logs[k]) - log_reader_start_lsn(r->env.readers[k]);
	*pending = *pending > abandoned ? *pending - abandoned : 0;
}

void sinks_status(const struct sinks *s, size_t i, struct json *out)
{
	must(i < s->count);
	s->runners[i].ops->status(s->runners[i].self, out);
}
