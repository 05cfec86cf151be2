/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/control_show.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "collector/frame.h"
#include "daemon/advice.h"
#include "daemon/control_inputs.h"
#include "daemon/control_reports.h"
#include "daemon/inputs.h"
#include "daemon/ledger.h"
#include "daemon/service.h"
#include "normalizer/plan.h"

#define FIELDS_SHOWN_MAX 8

static void sum_collector(struct service *s, uint64_t *sums)
{
	memset(sums, 0, COLLECTOR_STAT_COUNT * sizeof(*sums));
	for (unsigned i = 0; i < s->worker_count; i++)
		stat_sum(workers_collector_stat(s->workers, i), sums);
}

static void sum_pipe(struct service *s, uint64_t *sums)
{
	memset(sums, 0, PIPE_STAT_COUNT * sizeof(*sums));
	for (unsigned i = 0; i < s->worker_count; i++)
		stat_sum(workers_stat(s->workers, i), sums);
}

/* What is lost before any socket, by the name it has, and what helps. */
static const struct {
	const char *name;
	const char *advice;
} kernel_advices[KERNEL_COUNTS] = {
	[KERNEL_REASSEMBLY_FAILS] = { "ip_reassembly_failures",
				      "ip_reassembly_failures: fragments of datagrams got lost, here or on the way; have "
				      "exporters send datagrams below the MTU, raise net.ipv4.ipfrag_high_thresh and "
				      "net.ipv6.ip6frag_high_thresh" },
	[KERNEL_UDP_CHECKSUM] = { "udp_checksum_errors",
				  "udp_checksum_errors: datagrams came damaged; look at cables and offloads "
				  "(`ethtool -S`, `ethtool -k`) of this machine, exporters and what is between" },
	[KERNEL_UDP_RCVBUF] = { "udp_rcvbuf_errors",
				"udp_rcvbuf_errors: a receive buffer of this machine was full; where it is ours, "
				"kernel_drops grows too: raise rcvbuf and net.core.rmem_max, or workers" },
	[KERNEL_UDP_MEMORY] = { "udp_memory_errors",
				"udp_memory_errors: all UDP sockets of this machine together were full; raise "
				"net.ipv4.udp_mem" },
};

/* Of the whole machine, as far as the service sees it, since it started. */
static void show_kernel(struct service *s, struct json *out)
{
	const struct kernel_counts *k = s->inputs == NULL ? NULL : inputs_kernel(s->inputs);

	json_open_object(out, "machine");
	for (size_t i = 0; k != NULL && k->is_known && i < KERNEL_COUNTS; i++)
		json_u64(out, kernel_advices[i].name, k->since[i]);
	json_end(out);
}

static void show_kernel_advice(struct service *s, struct json *out)
{
	const struct kernel_counts *k = s->inputs == NULL ? NULL : inputs_kernel(s->inputs);

	for (size_t i = 0; k != NULL && i < KERNEL_COUNTS; i++) {
		if (k->since[i] > 0)
			json_str(out, NULL, kernel_advices[i].advice);
	}
}

static void say_advice(void *ctx, const char *text)
{
	json_str(ctx, NULL, text);
}

/* Advice that an operator can act on; none when all is well since the start: a restart may have been it. */
static void show_advice(struct service *s, const struct balance_sums *sums, uint64_t kept,
			struct json *out)
{
	json_open_array(out, "advice");
	show_kernel_advice(s, out);
	advice_each(sums, &s->balance.opening, say_advice, out);
	if (kept > 0)
		json_str(
			out, NULL,
			"dead_letter: there is what could not be decoded or was refused; "
			"`sluicectl ledger` and `counters` say why, `sluicectl replay` sends it through "
			"again");
	json_end(out);
}

/* Of all workers; each has its bounds. */
static void show_tmpls_use(struct service *s, const uint64_t *collector, struct json *out)
{
	const struct collector_limits *limits = &s->limits;

	json_open_object(out, "templates");
	json_u64(out, "now", collector[STAT_TEMPLATES_NOW]);
	json_u64(out, "max", (uint64_t)limits->templates_all_max * s->worker_count);
	json_u64(out, "octets", collector[STAT_TEMPLATES_BYTES]);
	json_u64(out, "max_octets", limits->templates_all_bytes * s->worker_count);
	json_u64(out, "exporter_max", limits->templates_exporter_max);
	json_u64(out, "evicted",
		 collector[STAT_TMPL_EVICTED_EXPORTER] + collector[STAT_TMPL_EVICTED_ALL] +
			 collector[STAT_TMPL_EVICTED_BYTES]);
	json_end(out);
}

static void show_log_state(struct log_hub *hub, struct json *out)
{
	char trouble[LOG_TROUBLE_BYTES];
	const char *sync;

	log_hub_state(hub, &sync, trouble);
	json_str(out, "log_sync",
		 log_hub_is_durable(hub) ? sync
					 : "off: records live in memory until sinks have them");
	json_str(out, "log_state", trouble[0] == '\0' ? "running" : "waiting");
	if (trouble[0] != '\0')
		json_str(out, "log_why", trouble);
}

void show_status(struct service *s, struct json *out)
{
	struct balance_sums sums;
	const uint64_t *collector = sums.collector;
	const uint64_t *pipe = sums.pipe;
	char started[CLOCK_TEXT_BYTES];
	struct dead_sums dead;

	sum_collector(s, sums.collector);
	sum_pipe(s, sums.pipe);
	clock_text(s->started_ms, started);
	json_bool(out, "ok", s->is_bound);
	json_str(out, "version", SLUICE_VERSION);
	json_i64(out, "pid", getpid());
	json_str(out, "started", started);
	json_i64(out, "uptime_s", (clock_real_ms() - s->started_ms) / 1000);
	balance_json(&s->balance, out);
	json_bool(out, "stopping", s->is_stopping);
	json_u64(out, "workers", s->worker_count);
	json_u64(out, "generation", s->generation_number);
	json_f64(out, "flows_per_s", s->rate.flows_per_s);
	json_f64(out, "octets_per_s", s->rate.octets_per_s);
	json_u64(out, "received_units", collector[STAT_UNITS_UDP] + collector[STAT_UNITS_REPLAY]);
	json_u64(out, "messages_read", collector[STAT_MESSAGES_READ]);
	json_u64(out, "flows", pipe[PIPE_STAT_FLOWS]);
	json_u64(out, "appended", pipe[PIPE_STAT_APPENDED]);
	json_u64(out, "kernel_drops", collector[STAT_KERNEL_DROPS]);
	json_u64(out, "log_bytes", log_hub_bytes(s->hub));
	json_u64(out, "log_max_bytes", log_hub_max_bytes(s->hub));
	show_log_state(s->hub, out);
	show_sockets(s, out);
	show_tmpls_use(s, collector, out);
	show_kernel(s, out);
	show_tee(s, out);
	show_sinks(s, out);
	dead_sum(s->dead, &dead);
	show_advice(s, &sums, dead.kept, out);
}

void show_margin(struct service *s, struct json *out)
{
	uint64_t sums[COLLECTOR_STAT_COUNT];
	uint64_t pipe[PIPE_STAT_COUNT];

	sum_collector(s, sums);
	json_open_object(out, "before_us");
	json_u64(out, "kernel_drops", sums[STAT_KERNEL_DROPS]);
	json_u64(out, "kernel_drops_stopping", sums[STAT_STOPPING_DROPS]);
	json_u64(out, "sequence_missed", sums[STAT_SEQUENCE_MISSED]);
	json_u64(out, "sequence_late", sums[STAT_SEQUENCE_LATE]);
	json_u64(out, "sequence_reordered", sums[STAT_SEQUENCE_REORDERED]);
	json_u64(out, "sequence_duplicated", sums[STAT_SEQUENCE_DUPLICATED]);
	json_u64(out, "sequence_restarts", sums[STAT_SEQUENCE_RESTARTS]);
	json_end(out);
	sum_pipe(s, pipe);
	show_said(pipe, out);
	show_kernel(s, out);
}

static void show_agent(const struct session *session, struct json *out)
{
	struct addr agent = { .bytes = (uint8_t)session->key.agent_bytes };
	char text[ADDR_TEXT_BYTES];

	memcpy(agent.octets, session->key.agent, agent.bytes);
	(void)addr_text(&agent, text);
	json_str(out, "agent", text);
	json_u64(out, "samples_missed", session->counts.samples_missed);
	json_u64(out, "samples_dropped", session->counts.samples_dropped);
}

struct session_view {
	const struct collector *collector;
	struct json *out;
};

/* Since its first message; of what an earlier life left that is not known. */
static uint64_t age_s(const struct session *s)
{
	int64_t age_ms = clock_real_ms() - s->first_ms;

	return s->first_ms == 0 || age_ms < 0 ? 0 : (uint64_t)age_ms / 1000;
}

static bool show_session(void *ctx, struct session *session)
{
	const struct session_view *v = ctx;
	struct json *out = v->out;
	char last[CLOCK_TEXT_BYTES];
	const struct session_counts *c = &session->counts;

	clock_text(session->last_ms, last);
	json_open_object(out, NULL);
	json_strn(out, "exporter", session->identity, session->identity_bytes);
	json_u64(out, "port", session->key.port);
	json_str(out, "transport", transport_name(session->transport));
	json_u64(out, "age_s", age_s(session));
	json_str(out, "format", frame_find(session->key.version)->source);
	json_u64(out, "domain", session->key.domain);
	if (session->key.version == VERSION_SFLOW5)
		show_agent(session, out);
	json_u64(out, "messages", c->messages);
	json_u64(out, "octets", c->octets);
	json_u64(out, "malformed", c->malformed);
	json_u64(out, "flows", c->flows);
	json_u64(out, "options", c->options);
	json_u64(out, "templates", session->tmpl_count);
	json_u64(out, "templates_of_address", collector_tmpls_use(v->collector, session).count);
	json_u64(out, "templates_new", c->templates_new);
	json_u64(out, "templates_changed", c->templates_changed);
	json_u64(out, "templates_flapped", c->templates_flapped);
	json_u64(out, "templates_expired", c->templates_expired);
	json_u64(out, "templates_evicted", c->templates_evicted);
	json_u64(out, "templates_refused", c->templates_refused);
	json_u64(out, "sets_refused", c->sets_refused);
	json_u64(out, "missed", c->missed);
	json_u64(out, "late", c->late);
	json_u64(out, "lost", c->missed - c->late);
	json_u64(out, "out_of_order", c->out_of_order);
	json_u64(out, "duplicated", c->duplicated);
	json_u64(out, "restarts", c->restarts);
	json_str(out, "anomaly", sequence_anomaly(&session->sequence));
	json_str(out, "last_seen", last);
	json_end(out);
	return !out->is_failed;
}

static void show_sessions(void *ctx, unsigned worker, struct pipeline *p)
{
	struct session_view v = { pipeline_collector(p), ctx };

	(void)worker;
	collector_each_session(pipeline_collector(p), show_session, &v);
}

void show_exporters(struct service *s, struct json *out)
{
	json_open_array(out, "exporters");
	for (unsigned i = 0; i < s->worker_count; i++)
		workers_call(s->workers, i, show_sessions, out);
	json_end(out);
	show_reports(s, out);
}

struct tmpl_view {
	struct pipeline *pipeline;
	const struct announce *announce; /* of the session at hand */
	struct json *out;
	bool is_unmapped;
	int64_t real_ms;
	int64_t mono_ms;
};

static void show_field(const struct tmpl_view *v, const struct tmpl *t, const struct plan *plan,
		       uint16_t index)
{
	const struct catalog *c = pipeline_generation(v->pipeline)->catalog;
	const struct tmpl_field *f = &t->fields[index];
	uint16_t fields[FIELDS_SHOWN_MAX];
	char name[ELEMENT_NAME_BYTES];
	bool is_raw = false;
	size_t count =
		plan == NULL ? 0 : plan_explain(plan, index, fields, FIELDS_SHOWN_MAX, &is_raw);

	if (v->is_unmapped && (count > 0 || !is_raw))
		return;
	json_open_object(v->out, NULL);
	json_str(v->out, "element",
		 announce_name(v->announce, c->elements, f->pen, f->id, name, sizeof(name)));
	json_u64(v->out, "enterprise", f->pen);
	json_u64(v->out, "id", f->id);
	if (f->bytes == TMPL_VARIABLE)
		json_str(v->out, "bytes", "variable");
	else
		json_u64(v->out, "bytes", f->bytes);
	json_bool(v->out, "is_scope", f->is_scope);
	json_bool(v->out, "is_flow_key", index < 64 && (t->flow_keys >> index & 1) != 0);
	json_open_array(v->out, "fields");
	for (size_t i = 0; i < count; i++)
		json_str(v->out, NULL, c->fields.fields[fields[i]].name);
	json_end(v->out);
	json_bool(v->out, "in_raw", is_raw);
	json_end(v->out);
}

static bool has_unmapped(const struct tmpl *t, const struct plan *plan)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		uint16_t field;
		bool is_raw;

		if (plan_explain(plan, i, &field, 1, &is_raw) == 0 && is_raw)
			return true;
	}
	return false;
}

/* A moment of the monotonic clock, by the wall clock's; nothing when it never was. */
static void show_ago(const struct tmpl_view *v, const char *key, int64_t mono_ms)
{
	char text[CLOCK_TEXT_BYTES] = "";

	if (mono_ms != 0)
		clock_text(v->real_ms - (v->mono_ms - mono_ms), text);
	json_str(v->out, key, text);
}

static void show_tmpl(const struct tmpl_view *v, struct session *s, struct tmpl *t)
{
	const struct plan *plan = t->is_options ? NULL : pipeline_plan(v->pipeline, s, t);

	if (v->is_unmapped && (plan == NULL || !has_unmapped(t, plan)))
		return;
	json_open_object(v->out, NULL);
	json_strn(v->out, "exporter", s->identity, s->identity_bytes);
	json_u64(v->out, "port", s->key.port);
	json_u64(v->out, "local_port", t->local_port);
	json_u64(v->out, "domain", s->key.domain);
	json_str(v->out, "format", frame_find(t->version)->source);
	json_u64(v->out, "template", t->id);
	json_bool(v->out, "is_options", t->is_options);
	show_ago(v, "last_received", t->seen_ms);
	show_ago(v, "last_used", t->used_ms);
	json_u64(v->out, "records", t->record_count);
	json_open_array(v->out, "elements");
	for (uint16_t i = 0; i < t->field_count; i++)
		show_field(v, t, plan, i);
	json_end(v->out);
	json_end(v->out);
}

static bool show_session_tmpls(void *ctx, struct session *s)
{
	struct tmpl_view *v = ctx;

	v->announce = s->announce;
	for (size_t i = 0; i < s->tmpl_count && !v->out->is_failed; i++)
		show_tmpl(v, s, s->tmpls[i]);
	return !v->out->is_failed;
}

static void show_tmpls(void *ctx, unsigned worker, struct pipeline *p)
{
	struct tmpl_view *v = ctx;

	(void)worker;
	v->pipeline = p;
	collector_each_session(pipeline_collector(p), show_session_tmpls, v);
}

void show_templates(struct service *s, bool is_unmapped, struct json *out)
{
	struct tmpl_view v = { .out = out,
			       .is_unmapped = is_unmapped,
			       .real_ms = clock_real_ms(),
			       .mono_ms = clock_mono_ms() };

	json_open_array(out, "templates");
	for (unsigned i = 0; i < s->worker_count; i++)
		workers_call(s->workers, i, show_tmpls, &v);
	json_end(out);
}

void show_mappings(struct service *s, struct json *out)
{
	static const char *const ranks[] = { "exporter",   "template", "element set",
					     "enterprise", "format",   "default" };
	const struct mapping_set *set = reload_newest(&s->reload)->catalog->mappings;

	json_open_array(out, "mappings");
	for (size_t i = 0; i < set->count; i++) {
		json_open_object(out, NULL);
		json_str(out, "name", set->mappings[i].name);
		json_str(out, "when", ranks[set->mappings[i].rank]);
		json_u64(out, "lines", set->mappings[i].promote_count);
		json_u64(out, "inside", set->mappings[i].inside_count);
		json_u64(out, "static", set->mappings[i].static_count);
		json_str(out, "file", set->mappings[i].file);
		json_end(out);
	}
	json_end(out);
}

static void show_some_sinks(const struct sinks *sinks, const char *key, struct json *out)
{
	json_open_array(out, key);
	for (size_t i = 0; i < sinks_count(sinks); i++) {
		const struct stat_set *stat = sinks_stat(sinks, i);
		uint64_t span;
		uint64_t pending;

		sinks_lsn(sinks, i, &span, &pending);
		json_open_object(out, NULL);
		json_str(out, "name", sinks_name(sinks, i));
		json_str(out, "type", sinks_type(sinks, i));
		json_u64(out, "delivered", stat_get(stat, SINK_STAT_DELIVERED));
		json_u64(out, "pending", pending);
		json_u64(out, "errors", stat_get(stat, SINK_STAT_ERRORS));
		json_u64(out, "retries", stat_get(stat, SINK_STAT_RETRIES));
		sinks_status(sinks, i, out);
		json_end(out);
	}
	json_end(out);
}

/* Dead letters so far, and what a replay would find. */
static void show_dead(struct service *s, struct json *out)
{
	struct log_hub *hub = dead_hub(s->dead);
	struct dead_sums sums;
	const uint64_t *v = sums.values;

	dead_sum(s->dead, &sums);
	json_open_object(out, "dead_letter");
	json_u64(out, "sets", v[DEAD_STAT_SETS]);
	json_u64(out, "messages", v[DEAD_STAT_MESSAGES]);
	json_u64(out, "records", v[DEAD_STAT_RECORDS]);
	json_u64(out, "written", v[DEAD_STAT_WRITTEN]);
	json_u64(out, "kept", sums.kept);
	json_u64(out, "bytes", log_hub_bytes(hub));
	json_u64(out, "max_bytes", log_hub_max_bytes(hub));
	json_end(out);
}

void show_sinks(struct service *s, struct json *out)
{
	show_some_sinks(s->sinks, "sinks", out);
	show_some_sinks(s->dead_sinks, "dead_letter_sinks", out);
	show_dead(s, out);
}

void show_log(struct service *s, struct json *out)
{
	log_hub_show(s->hub, out);
}

static void show_set(const struct stat_desc *descs, const uint64_t *values, size_t count,
		     const char *sink, struct json *out)
{
	for (size_t i = 0; i < count; i++) {
		json_open_object(out, NULL);
		json_str(out, "name", descs[i].name);
		json_str(out, "reason", descs[i].reason);
		json_str(out, "sink", sink);
		json_u64(out, "value", values[i]);
		json_str(out, "unit", descs[i].unit);
		json_end(out);
	}
}

static void show_sink_sets(const struct sinks *sinks, struct json *out)
{
	for (size_t i = 0; i < sinks_count(sinks); i++) {
		uint64_t values[SINK_STAT_COUNT] = { 0 };

		stat_sum(sinks_stat(sinks, i), values);
		show_set(sink_stat_descs, values, SINK_STAT_COUNT, sinks_name(sinks, i), out);
	}
}

void show_counters(struct service *s, struct json *out)
{
	uint64_t collector[COLLECTOR_STAT_COUNT];
	uint64_t pipe[PIPE_STAT_COUNT];
	uint64_t values[LOG_STAT_COUNT];
	struct dead_sums dead;

	sum_collector(s, collector);
	sum_pipe(s, pipe);
	json_open_array(out, "counters");
	show_set(collector_stat_descs, collector, COLLECTOR_STAT_COUNT, "", out);
	show_set(pipeline_stat_descs, pipe, PIPE_STAT_COUNT, "", out);
	memset(values, 0, sizeof(values));
	stat_sum(log_hub_stat(s->hub), values);
	show_set(log_stat_descs, values, LOG_STAT_COUNT, "", out);
	dead_sum(s->dead, &dead);
	show_set(dead_stat_descs, dead.values, DEAD_STAT_COUNT, "", out);
	show_sink_sets(s->sinks, out);
	show_sink_sets(s->dead_sinks, out);
	json_end(out);
}
