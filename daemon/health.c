/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/service.h"

#define LIST_BYTES 400 /* of one list in the line; what does not fit is counted */
#define PERCENT 100.0

struct health {
	struct health_counts counts[2];
	unsigned newest;
	bool is_off;
};

/* ---- the line ---- */

struct line {
	char *text;
	size_t used;
};

static void add(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *l, const char *format, ...)
{
	size_t room = HEALTH_LINE_BYTES - l->used;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(l->text + l->used, room, format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < room)
		l->used += (size_t)n;
	l->text[l->used] = '\0';
}

/* Names are the configuration's and may hold anything; one word becomes of them. */
static const char *word(const char *name, char out[LOG_SINK_BYTES])
{
	size_t n = 0;

	for (; name[n] != '\0' && n + 1 < LOG_SINK_BYTES; n++) {
		char c = name[n];
		bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
				(c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';

		out[n] = c;
		if (!is_plain)
			out[n] = '_';
	}
	out[n] = '\0';
	return n == 0 ? "none" : out;
}

/* A value of the form name:count,name:count, or none. */
struct list {
	char text[LIST_BYTES];
	size_t used;
	size_t more; /* that did not fit */
};

static void list_add(struct list *list, const char *name, const char *reason, uint64_t count)
{
	size_t room = sizeof(list->text) - list->used;
	int n;

	if (count == 0)
		return;
	n = snprintf(list->text + list->used, room, "%s%s%s%s:%" PRIu64, list->used == 0 ? "" : ",",
		     name, reason[0] == '\0' ? "" : "/", reason, count);
	if (n > 0 && (size_t)n < room)
		list->used += (size_t)n;
	else
		list->more++;
	list->text[list->used] = '\0';
}

static void add_list(struct line *l, const char *key, const struct list *list)
{
	add(l, " %s=%s", key, list->used == 0 ? "none" : list->text);
	if (list->more > 0)
		add(l, ",more:%zu", list->more);
}

/* Rows with a reason are losses. */
static void list_losses(struct list *list, const struct stat_desc *descs, size_t count,
			const uint64_t *before, const uint64_t *now)
{
	for (size_t i = 0; i < count; i++) {
		if (descs[i].reason[0] != '\0')
			list_add(list, descs[i].name, descs[i].reason, now[i] - before[i]);
	}
}

/* What all sinks counted since. */
static void sum_sinks(const struct health_counts *before, const struct health_counts *now,
		      uint64_t sums[SINK_STAT_COUNT])
{
	memset(sums, 0, SINK_STAT_COUNT * sizeof(*sums));
	for (size_t i = 0; i < now->sink_count; i++) {
		for (size_t k = 0; k < SINK_STAT_COUNT; k++)
			sums[k] += now->sinks[i].values[k] - before->sinks[i].values[k];
	}
}

static void add_losses(struct line *l, const struct health_counts *before,
		       const struct health_counts *now, const uint64_t sinks[SINK_STAT_COUNT])
{
	static const uint64_t nothing[SINK_STAT_COUNT];
	struct list list = { .used = 0 };
	uint64_t lost[SINK_STAT_COUNT];

	/* What retention takes is what the operator wanted. */
	memcpy(lost, sinks, sizeof(lost));
	lost[SINK_STAT_RETENTION_BYTES] = 0;
	lost[SINK_STAT_RETENTION_AGE] = 0;
	lost[SINK_STAT_RETENTION_FREE] = 0;

	list_losses(&list, collector_stat_descs, COLLECTOR_STAT_COUNT, before->collector,
		    now->collector);
	list_losses(&list, pipeline_stat_descs, PIPE_STAT_COUNT, before->pipe, now->pipe);
	list_losses(&list, dead_stat_descs, DEAD_STAT_COUNT, before->dead, now->dead);
	list_losses(&list, sink_stat_descs, SINK_STAT_COUNT, nothing, lost);
	list_add(&list, sink_stat_descs[SINK_STAT_LOST_UNSYNCED].name, "",
		 sinks[SINK_STAT_LOST_UNSYNCED]);
	list_add(&list, sink_stat_descs[SINK_STAT_DEAD_LETTER].name, "",
		 sinks[SINK_STAT_DEAD_LETTER]);
	add_list(l, "losses", &list);
}

static void add_errors(struct line *l, const struct health_counts *before,
		       const struct health_counts *now)
{
	struct list list = { .used = 0 };

	for (size_t i = 0; i < now->sink_count; i++) {
		char name[LOG_SINK_BYTES];

		list_add(&list, word(now->sinks[i].name, name), "",
			 now->sinks[i].values[SINK_STAT_ERRORS] -
				 before->sinks[i].values[SINK_STAT_ERRORS]);
	}
	add_list(l, "errors", &list);
}

static void add_levels(struct line *l, const struct health_levels *v)
{
	double share = v->log_max_bytes == 0 ? 0 : (double)v->log_bytes / (double)v->log_max_bytes;
	char name[LOG_SINK_BYTES];

	add(l, " uptime_s=%" PRId64 " rss_anon=%" PRIu64 " rcvbuf_percent=%.1f", v->uptime_s,
	    v->rss_anon, v->rcvbuf_share * PERCENT);
	add(l, " log_octets=%" PRIu64 " log_percent=%.1f log_memory=%" PRIu64, v->log_bytes,
	    share * PERCENT, v->log.memory_bytes);
	add(l, " lag_sink=%s lag_records=%" PRIu64 " lag_s=%.1f", word(v->log.slowest, name),
	    v->log.lag_records, (double)v->log.lag_ms / 1000);
}

const char *health_text(const struct health_counts *before, const struct health_counts *now,
			const struct health_levels *levels, char out[HEALTH_LINE_BYTES])
{
	struct line l = { .used = 0 };
	double passed_s = (double)(now->taken_ms - before->taken_ms) / 1000;
	uint64_t sinks[SINK_STAT_COUNT];

	l.text = out;
	sum_sinks(before, now, sinks);
#define SINCE(set, row) (now->set[row] - before->set[row])
#define RATE(count) (passed_s > 0 ? (double)(count) / passed_s : 0)
	add(&l, "sluiced.health interval_s=%.1f", passed_s);
	add_levels(&l, levels);
	add(&l, " datagrams_s=%.1f records_s=%.1f flows_s=%.1f out_s=%.1f",
	    RATE(SINCE(collector, STAT_UNITS_UDP)), RATE(SINCE(collector, STAT_RECORDS)),
	    RATE(SINCE(pipe, PIPE_STAT_FLOWS)), RATE(sinks[SINK_STAT_DELIVERED]));
	add(&l, " files=%" PRIu64 " rows=%" PRIu64 " removed=%" PRIu64, sinks[SINK_STAT_ROTATIONS],
	    sinks[SINK_STAT_DELIVERED],
	    sinks[SINK_STAT_RETENTION_BYTES] + sinks[SINK_STAT_RETENTION_AGE] +
		    sinks[SINK_STAT_RETENTION_FREE]);
	add(&l, " kernel_drops=%" PRIu64 " missed=%" PRId64, SINCE(collector, STAT_KERNEL_DROPS),
	    (int64_t)(SINCE(collector, STAT_SEQUENCE_MISSED) -
		      SINCE(collector, STAT_SEQUENCE_LATE)));
#undef RATE
#undef SINCE
	add_losses(&l, before, now, sinks);
	add_errors(&l, before, now);
	return out;
}

/* ---- what is so ---- */

/* Memory of our own, in octets; 0 when the kernel does not say. */
static uint64_t rss_anon(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char text[128];
	uint64_t kib = 0;

	if (f == NULL)
		return 0;
	while (fgets(text, sizeof(text), f) != NULL) {
		if (strncmp(text, "RssAnon:", 8) == 0) {
			kib = strtoull(text + 8, NULL, 10);
			break;
		}
	}
	(void)fclose(f);
	return kib << 10;
}

static double rcvbuf_share(struct service *s)
{
	const struct udp_group *group = workers_udp(s->workers);
	size_t count = group == NULL ? 0 : udp_group_describe(group, NULL, 0);
	struct udp_status *rows = calloc(count + 1, sizeof(*rows));
	double most = 0;

	if (rows == NULL || group == NULL)
		count = 0;
	else
		(void)udp_group_describe(group, rows, count);
	for (size_t i = 0; i < count; i++) {
		double share =
			rows[i].rcvbuf == 0 ? 0 : (double)rows[i].queued / (double)rows[i].rcvbuf;

		most = share > most ? share : most;
	}
	free(rows);
	return most;
}

static void take_levels(struct service *s, struct health_levels *out)
{
	*out = (struct health_levels){ .uptime_s = (clock_real_ms() - s->started_ms) / 1000,
				       .rss_anon = rss_anon(),
				       .rcvbuf_share = rcvbuf_share(s),
				       .log_bytes = log_hub_bytes(s->hub),
				       .log_max_bytes = log_hub_max_bytes(s->hub) };
	log_hub_summary(s->hub, &out->log);
}

static void take_sinks(const struct sinks *sinks, struct health_counts *out)
{
	for (size_t i = 0; i < sinks_count(sinks) && out->sink_count < HEALTH_SINKS_MAX; i++) {
		struct health_sink *sink = &out->sinks[out->sink_count++];

		sink->name = sinks_name(sinks, i);
		stat_sum(sinks_stat(sinks, i), sink->values);
	}
}

static void take_counts(struct service *s, struct health_counts *out)
{
	struct dead_sums dead;

	memset(out, 0, sizeof(*out));
	out->taken_ms = clock_mono_ms();
	for (unsigned i = 0; i < s->worker_count; i++) {
		stat_sum(workers_collector_stat(s->workers, i), out->collector);
		stat_sum(workers_stat(s->workers, i), out->pipe);
	}
	dead_sum(s->dead, &dead);
	memcpy(out->dead, dead.values, sizeof(out->dead));
	take_sinks(s->sinks, out);
	take_sinks(s->dead_sinks, out);
}

/* ---- the service's ---- */

enum err health_new(struct health **out)
{
	struct health *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return ERR_NOMEM;
	*out = h;
	return ERR_OK;
}

void health_free(struct health *h)
{
	free(h);
}

void health_begin(struct health *h, struct service *s)
{
	take_counts(s, &h->counts[h->newest]);
	h->is_off = false;
}

void health_step(struct health *h, struct service *s)
{
	int64_t every_ms = (int64_t)service_options(s)->health_s * 1000;
	const struct health_counts *before = &h->counts[h->newest];
	struct health_counts *now = &h->counts[1 - h->newest];
	struct health_levels levels;
	char text[HEALTH_LINE_BYTES];

	if (every_ms == 0 || h->is_off) {
		h->is_off = every_ms == 0;
		if (!h->is_off)
			health_begin(h, s);
		return;
	}
	if (clock_mono_ms() - before->taken_ms < every_ms)
		return;
	take_counts(s, now);
	take_levels(s, &levels);
	log_info("%s", health_text(before, now, &levels, text));
	h->newest = 1 - h->newest;
}
