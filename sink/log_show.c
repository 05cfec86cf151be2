/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "sink/log_parts.h"

static const char *const syncs[] = { [LOG_SYNC_OFF] = "off",
				     [LOG_SYNC_OS] = "os",
				     [LOG_SYNC_GROUP] = "group",
				     [LOG_SYNC_EACH] = "each" };

static const char *const holes[LOG_HOLE_COUNT] = { "", "unsynced", "settled" };

/* How far a reader is behind. */
struct lag {
	uint64_t records;
	uint64_t octets; /* as stored; within a segment, and within memory, by share */
	int64_t ms;	 /* age of the oldest record that is not done */
};

/* The part of [first, end) that lies at or above `lsn`, of `whole`. */
static uint64_t share(uint64_t first, uint64_t end, uint64_t lsn, uint64_t whole)
{
	if (lsn >= end)
		return 0;
	if (lsn <= first || end == first)
		return whole;
	return (uint64_t)((double)whole * (double)(end - lsn) / (double)(end - first));
}

/* When the record came. */
static int64_t time_of(const struct log_segment *s, uint64_t lsn)
{
	uint64_t span = (uint64_t)(s->newest_ms - s->oldest_ms);

	return s->newest_ms - (int64_t)share(s->first_lsn, s->end_lsn, lsn, span);
}

/* Under the log's lock. */
static struct lag lag_of(const struct log_reader *r, int64_t now_ms)
{
	const struct log *log = r->log;
	uint64_t done = log_reader_done_lsn(r);
	uint64_t durable = log->disk == NULL ? done : log_durable(log);
	int64_t since_ms = now_ms;
	struct lag lag = { .records = log_end_lsn(log) - done };

	for (const struct log_entry *e = log->newest; e != NULL; e = e->prev) {
		if (log_entry_end(e) <= done || log_entry_end(e) <= durable)
			break;
		lag.octets += share(e->head.first_lsn, log_entry_end(e), done, e->head.plain_bytes);
		since_ms = e->opened_ms;
	}
	for (const struct log_segment *s = log->disk == NULL ? NULL : log->disk->newest; s != NULL;
	     s = s->prev) {
		if (s->end_lsn <= done)
			break;
		lag.octets += share(s->first_lsn, s->end_lsn, done, s->bytes);
		since_ms = time_of(s, done);
	}
	lag.ms = lag.records == 0 || now_ms < since_ms ? 0 : now_ms - since_ms;
	return lag;
}

static void show_reader(const struct log_reader *r, int64_t now_ms, struct json *out)
{
	struct lag lag = lag_of(r, now_ms);
	uint64_t lost = 0;

	for (size_t k = 0; k < LOG_LOSS_COUNT; k++)
		lost += log_reader_lost(r, (enum log_loss)k);
	json_open_object(out, NULL);
	json_str(out, "sink", r->sink);
	json_u64(out, "worker", r->log->worker);
	json_u64(out, "start_lsn", r->start_lsn);
	json_u64(out, "read_lsn", log_reader_next_lsn(r));
	json_u64(out, "done_lsn", log_reader_done_lsn(r));
	json_u64(out, "stored_lsn", log_reader_stored_lsn(r));
	json_u64(out, "lag_records", lag.records);
	json_u64(out, "lag_octets", lag.octets);
	json_i64(out, "lag_ms", lag.ms);
	json_u64(out, "lost_records", lost);
	json_end(out);
}

static void show_segments(struct log *log, struct json *out)
{
	(void)pthread_mutex_lock(&log->lock);
	for (const struct log_segment *s = log->disk == NULL ? NULL : log->disk->oldest; s != NULL;
	     s = s->next) {
		json_open_object(out, NULL);
		json_u64(out, "worker", log->worker);
		json_u64(out, "first_lsn", s->first_lsn);
		json_u64(out, "end_lsn", s->end_lsn);
		json_u64(out, "octets", s->bytes);
		json_u64(out, "missing_before", s->first_lsn - s->previous_end);
		json_str(out, "missing_why", holes[s->hole]);
		json_end(out);
	}
	(void)pthread_mutex_unlock(&log->lock);
}

static void show_one(struct log *log, struct json *out)
{
	(void)pthread_mutex_lock(&log->lock);
	json_open_object(out, NULL);
	json_u64(out, "worker", log->worker);
	json_u64(out, "oldest_lsn", log_oldest_lsn(log));
	json_u64(out, "end_lsn", log_end_lsn(log));
	if (log->disk != NULL) {
		json_u64(out, "durable_lsn", log_durable(log));
		json_u64(out, "settled_lsn", log->disk->settled_lsn);
		json_u64(out, "segments", log->disk->segment_count);
		json_bool(out, "is_old", log->disk->is_old);
	}
	json_end(out);
	(void)pthread_mutex_unlock(&log->lock);
}

static void show_readers(struct log *log, int64_t now_ms, struct json *out)
{
	(void)pthread_mutex_lock(&log->lock);
	for (const struct log_reader *r = log->readers; r != NULL; r = r->next)
		show_reader(r, now_ms, out);
	(void)pthread_mutex_unlock(&log->lock);
}

void log_hub_state(struct log_hub *hub, const char **sync, char trouble[LOG_TROUBLE_BYTES])
{
	*sync = syncs[log_hub_is_durable(hub) ? hub->conf.sync : LOG_SYNC_OFF];
	(void)pthread_mutex_lock(&hub->lock);
	memcpy(trouble, hub->trouble, LOG_TROUBLE_BYTES);
	(void)pthread_mutex_unlock(&hub->lock);
}

static void show_hub(struct log_hub *hub, struct json *out)
{
	uint64_t values[LOG_STAT_COUNT] = { 0 };
	char trouble[LOG_TROUBLE_BYTES];
	const char *sync;
	uint64_t last;
	uint64_t most;

	log_hub_state(hub, &sync, trouble);
	(void)pthread_mutex_lock(&hub->lock);
	last = hub->sync_us_last;
	most = hub->sync_us_most;
	stat_sum(hub->stat, values);
	(void)pthread_mutex_unlock(&hub->lock);
	json_str(out, "state", trouble[0] == '\0' ? "running" : "waiting");
	if (trouble[0] != '\0')
		json_str(out, "why", trouble);
	json_str(out, "sync", sync);
	if (log_hub_is_durable(hub))
		json_str(out, "directory", hub->dir);
	json_u64(out, "bytes", log_hub_bytes(hub));
	json_u64(out, "max_bytes", log_hub_max_bytes(hub));
	json_u64(out, "memory_bytes", atomic_load(&hub->bytes));
	json_u64(out, "memory_max_bytes", hub->conf.memory_bytes);
	json_bool(out, "is_high", log_hub_is_high(hub));
	if (log_hub_is_durable(hub)) {
		json_u64(out, "sync_last_us", last);
		json_u64(out, "sync_most_us", most);
	}
	json_open_array(out, "counters");
	for (size_t i = 0; i < LOG_STAT_COUNT; i++) {
		json_open_object(out, NULL);
		json_str(out, "name", log_stat_descs[i].name);
		json_str(out, "reason", log_stat_descs[i].reason);
		json_u64(out, "value", values[i]);
		json_end(out);
	}
	json_end(out);
}

static size_t logs_of(struct log_hub *hub, struct log *logs[LOG_LOGS_MAX])
{
	size_t count;

	(void)pthread_mutex_lock(&hub->lock);
	count = hub->log_count;
	memcpy(logs, hub->logs, count * sizeof(logs[0]));
	(void)pthread_mutex_unlock(&hub->lock);
	return count;
}

/* A sink's lag over all logs: records add up, the oldest counts. */
struct sink_lag {
	char sink[LOG_SINK_BYTES];
	uint64_t records;
	int64_t ms;
};

static void add_lag(struct sink_lag *sinks, size_t *count, const char *sink, struct lag lag)
{
	size_t i = 0;

	while (i < *count && strcmp(sinks[i].sink, sink) != 0)
		i++;
	if (i == LOG_ROUTES)
		return;
	if (i == *count) {
		memcpy(sinks[i].sink, sink, LOG_SINK_BYTES);
		(*count)++;
	}
	sinks[i].records += lag.records;
	if (lag.ms > sinks[i].ms)
		sinks[i].ms = lag.ms;
}

/* Readers that nobody remembers are people's: they may be as slow as they like. */
static void add_lags(struct log *log, int64_t now_ms, struct sink_lag *sinks, size_t *count)
{
	(void)pthread_mutex_lock(&log->lock);
	for (const struct log_reader *r = log->readers; r != NULL; r = r->next) {
		if (r->cursor != NULL)
			add_lag(sinks, count, r->sink, lag_of(r, now_ms));
	}
	(void)pthread_mutex_unlock(&log->lock);
}

void log_hub_summary(struct log_hub *hub, struct log_summary *out)
{
	int64_t now_ms = clock_mono_ms();
	struct log *logs[LOG_LOGS_MAX];
	struct sink_lag sinks[LOG_ROUTES] = { 0 };
	size_t count = 0;
	size_t log_count = logs_of(hub, logs);

	*out = (struct log_summary){ .memory_bytes = atomic_load(&hub->bytes),
				     .memory_max_bytes = hub->conf.memory_bytes };
	for (size_t i = 0; i < log_count; i++)
		add_lags(logs[i], now_ms, sinks, &count);
	for (size_t i = 0; i < count; i++) {
		if (sinks[i].records == 0 ||
		    (out->slowest[0] != '\0' && sinks[i].ms <= out->lag_ms))
			continue;
		memcpy(out->slowest, sinks[i].sink, LOG_SINK_BYTES);
		out->lag_records = sinks[i].records;
		out->lag_ms = sinks[i].ms;
	}
}

void log_hub_show(struct log_hub *hub, struct json *out)
{
	int64_t now_ms = clock_mono_ms();
	struct log *logs[LOG_LOGS_MAX];
	size_t count;

	show_hub(hub, out);
	count = logs_of(hub, logs);
	json_open_array(out, "logs");
	for (size_t i = 0; i < count; i++)
		show_one(logs[i], out);
	json_end(out);
	json_open_array(out, "segments");
	for (size_t i = 0; i < count; i++)
		show_segments(logs[i], out);
	json_end(out);
	json_open_array(out, "readers");
	for (size_t i = 0; i < count; i++)
		show_readers(logs[i], now_ms, out);
	json_end(out);
}
