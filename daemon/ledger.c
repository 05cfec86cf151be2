/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/ledger.h"

#include <inttypes.h>
#include <sched.h>
#include <string.h>

#include "base/must.h"

#define SINK_TRIES 100

/* Sums over all workers, by counter. */
struct sums {
	uint64_t collector[COLLECTOR_STAT_COUNT];
	uint64_t pipe[PIPE_STAT_COUNT];
};

struct asked {
	const struct workers *workers;
	struct sums *sums;
};

static void take_worker(void *ctx, unsigned worker, struct pipeline *p)
{
	const struct asked *a = ctx;

	(void)p;
	stat_sum(workers_collector_stat(a->workers, worker), a->sums->collector);
	stat_sum(workers_stat(a->workers, worker), a->sums->pipe);
}

static void take_sums(struct workers *ws, struct sums *sums)
{
	struct asked asked = { ws, sums };

	memset(sums, 0, sizeof(*sums));
	for (unsigned i = 0; i < workers_count(ws); i++)
		workers_call(ws, i, take_worker, &asked);
}

/* All rows of one drop table. */
static uint64_t table_sum(const struct stat_desc *descs, const uint64_t *values, size_t count,
			  const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(descs[i].name, name) == 0)
			sum += values[i];
	}
	return sum;
}

static struct ledger_line *add_line(struct ledger *ledger, const char *name, const char *of)
{
	struct ledger_line *line;

	must(ledger->line_count < LEDGER_LINES_MAX);
	line = &ledger->lines[ledger->line_count++];
	memset(line, 0, sizeof(*line));
	(void)snprintf(line->name, sizeof(line->name), "%s%s%s", name, of[0] == '\0' ? "" : " ",
		       of);
	return line;
}

static void add_left(struct ledger_line *line, const char *name, uint64_t value)
{
	must(line->left_count < LEDGER_TERMS_MAX);
	line->left[line->left_count].name = name;
	line->left[line->left_count++].value = value;
	line->left_sum += value;
}

static void add_right(struct ledger_line *line, const char *name, uint64_t value)
{
	must(line->right_count < LEDGER_TERMS_MAX);
	line->right[line->right_count].name = name;
	line->right[line->right_count++].value = value;
	line->right_sum += value;
}

static uint64_t collector_table(const struct sums *s, const char *name)
{
	return table_sum(collector_stat_descs, s->collector, COLLECTOR_STAT_COUNT, name);
}

static void add_collector_lines(const struct sums *s, struct ledger *ledger)
{
	const uint64_t *v = s->collector;
	struct ledger_line *line = add_line(ledger, "received units", "");

	add_left(line, "udp", v[STAT_UNITS_UDP]);
	add_left(line, "stream", v[STAT_UNITS_STREAM]);
	add_left(line, "replay", v[STAT_UNITS_REPLAY]);
	add_left(line, "dead_letter", v[STAT_UNITS_DEAD_LETTER]);
	add_right(line, "messages", v[STAT_MESSAGES]);
	add_right(line, "refused", collector_table(s, "units_refused"));

	line = add_line(ledger, "messages", "");
	add_left(line, "messages", v[STAT_MESSAGES]);
	add_right(line, "read", v[STAT_MESSAGES_READ]);
	add_right(line, "malformed", collector_table(s, "messages_malformed"));

	line = add_line(ledger, "data sets", "");
	add_left(line, "data_sets", v[STAT_SETS_DATA]);
	add_left(line, "restored", v[STAT_SETS_RESTORED]);
	add_right(line, "decoded", v[STAT_SETS_DECODED]);
	add_right(line, "held_then_decoded", v[STAT_SETS_HELD_DECODED]);
	add_right(line, "held_then_dropped", collector_table(s, "data_sets_dropped"));
	add_right(line, "held_now", v[STAT_SETS_HELD_NOW]);
	add_right(line, "kept", v[STAT_SETS_KEPT]);
	add_right(line, "refused", collector_table(s, "data_sets_refused"));

	line = add_line(ledger, "records", "");
	add_left(line, "records", v[STAT_RECORDS]);
	add_right(line, "flows", v[STAT_RECORDS_FLOW]);
	add_right(line, "options", v[STAT_RECORDS_OPTIONS]);
	add_right(line, "counter_samples", v[STAT_RECORDS_COUNTER]);
	add_right(line, "drop_samples", v[STAT_RECORDS_DROP]);
	add_right(line, "undecodable", collector_table(s, "records_undecodable"));
}

/* Only where somebody connected. */
static void add_connection_line(const struct sums *s, struct ledger *ledger)
{
	struct ledger_line *line;

	if (s->collector[STAT_CONNECTIONS] == 0)
		return;
	line = add_line(ledger, "connections", "");
	add_left(line, "connections", s->collector[STAT_CONNECTIONS]);
	add_right(line, "closed", collector_table(s, "connections_closed"));
	add_right(line, "refused", collector_table(s, "connections_refused"));
	add_right(line, "now", s->collector[STAT_CONNECTIONS_NOW]);
}

/* Only where something was to be forwarded. */
static void add_tee_line(const struct sums *s, struct ledger *ledger)
{
	struct ledger_line *line;

	if (s->collector[STAT_TEE_UNITS] == 0)
		return;
	line = add_line(ledger, "tee", "");
	add_left(line, "units", s->collector[STAT_TEE_UNITS]);
	add_right(line, "forwarded", s->collector[STAT_TEE_FORWARDED]);
	add_right(line, "dropped", collector_table(s, "tee_dropped"));
}

static void add_flow_line(const struct sums *s, struct ledger *ledger)
{
	const uint64_t *v = s->pipe;
	struct ledger_line *line = add_line(ledger, "flows", "");
	uint64_t dropped = table_sum(pipeline_stat_descs, v, PIPE_STAT_COUNT, "flows_dropped");

	ledger->lost += dropped + v[PIPE_STAT_DEAD_LETTER];
	add_left(line, "flows", s->collector[STAT_RECORDS_FLOW]);
	add_left(line, "extra_parts", v[PIPE_STAT_FLOW_PARTS]);
	add_left(line, "replayed", v[PIPE_STAT_REPLAYED]);
	add_right(line, "appended", v[PIPE_STAT_APPENDED]);
	add_right(line, "decoded_only", v[PIPE_STAT_DECODED_ONLY]);
	add_right(line, "filtered", v[PIPE_STAT_FILTERED]);
	add_right(line, "sampled_out", v[PIPE_STAT_SAMPLED_OUT]);
	add_right(line, "limited", v[PIPE_STAT_LIMITED]);
	add_right(line, "dead_letter", v[PIPE_STAT_DEAD_LETTER]);
	add_right(line, "dropped", dropped);
}

struct sink_sums {
	uint64_t values[SINK_STAT_COUNT];
	uint64_t span;
	uint64_t pending;
};

static uint64_t sink_table(const struct sink_sums *s, const char *name)
{
	return table_sum(sink_stat_descs, s->values, SINK_STAT_COUNT, name);
}

/* Records that came to the sink and never will leave it. */
static uint64_t sink_lost(const struct sink_sums *s)
{
	return s->values[SINK_STAT_DEAD_LETTER] + sink_table(s, "sink_corrupt") +
	       s->values[SINK_STAT_LOST_UNSYNCED] + sink_table(s, "sink_evicted") +
	       sink_table(s, "sink_abandoned");
}

/* Its thread goes on while we look: a difference that is still there the next time is real. */
static void take_sink(const struct sinks *sinks, size_t i, struct sink_sums *s)
{
	for (int tries = 0; tries < SINK_TRIES; tries++) {
		memset(s, 0, sizeof(*s));
		sinks_lsn(sinks, i, &s->span, &s->pending);
		stat_sum(sinks_stat(sinks, i), s->values);
		if (s->span == s->values[SINK_STAT_DELIVERED] + s->values[SINK_STAT_NOT_ROUTED] +
				       sink_lost(s) + s->pending)
			return;
		(void)sched_yield();
	}
}

/* Records lost to the sink; what is not there yet is as well lost to a replay that ends now. */
static uint64_t add_sink_line(const struct sinks *sinks, const char *what, size_t i,
			      struct ledger *ledger)
{
	struct ledger_line *line;
	struct sink_sums s;
	const uint64_t *values = s.values;

	take_sink(sinks, i, &s);
	line = add_line(ledger, what, sinks_name(sinks, i));
	add_left(line, "records", s.span);
	add_right(line, "delivered", values[SINK_STAT_DELIVERED]);
	add_right(line, "not_routed", values[SINK_STAT_NOT_ROUTED]);
	add_right(line, "dead_letter", values[SINK_STAT_DEAD_LETTER]);
	add_right(line, "evicted", sink_table(&s, "sink_evicted"));
	add_right(line, "corrupt", sink_table(&s, "sink_corrupt"));
	add_right(line, "lost_unsynced", values[SINK_STAT_LOST_UNSYNCED]);
	add_right(line, "abandoned", sink_table(&s, "sink_abandoned"));
	add_right(line, "pending", s.pending);
	return sink_lost(&s) + s.pending;
}

/* What came to the dead letter log, and what became of what it took. */
static void add_dead_lines(struct dead *dead, struct ledger *ledger)
{
	struct ledger_line *line = add_line(ledger, "dead letter", "");
	struct dead_sums s;
	const uint64_t *v = s.values;

	dead_sum(dead, &s);
	add_left(line, "sets", v[DEAD_STAT_SETS]);
	add_left(line, "messages", v[DEAD_STAT_MESSAGES]);
	add_left(line, "records", v[DEAD_STAT_RECORDS]);
	add_right(line, "written", v[DEAD_STAT_WRITTEN]);
	add_right(line, "dropped",
		  table_sum(dead_stat_descs, v, DEAD_STAT_COUNT, "dead_letters_dropped"));

	line = add_line(ledger, "dead letter log", "");
	add_left(line, "letters", s.span);
	add_right(line, "replayed", v[DEAD_STAT_REPLAYED]);
	add_right(line, "unreadable", v[DEAD_STAT_UNREADABLE]);
	add_right(line, "evicted", v[DEAD_STAT_EVICTED]);
	add_right(line, "kept", s.kept);
}

void ledger_take(const struct ledger_sources *from, struct ledger *out)
{
	const struct sinks *sinks = from->sinks;
	struct sums sums;

	memset(out, 0, sizeof(*out));
	take_sums(from->workers, &sums);
	add_collector_lines(&sums, out);
	add_flow_line(&sums, out);
	add_tee_line(&sums, out);
	add_connection_line(&sums, out);
	for (size_t i = 0; sinks != NULL && i < sinks_count(sinks); i++)
		out->lost += add_sink_line(sinks, "sink", i, out);
	if (from->dead != NULL)
		add_dead_lines(from->dead, out);
	for (size_t i = 0; from->dead_sinks != NULL && i < sinks_count(from->dead_sinks); i++)
		(void)add_sink_line(from->dead_sinks, "dead letter sink", i, out);
	out->is_balanced = true;
	for (size_t i = 0; i < out->line_count; i++)
		out->is_balanced =
			out->is_balanced && out->lines[i].left_sum == out->lines[i].right_sum;
}

static void print_side(const struct ledger_term *terms, size_t count, FILE *out)
{
	bool is_first = true;

	for (size_t i = 0; i < count; i++) {
		if (terms[i].value == 0 && i > 0)
			continue;
		(void)fprintf(out, "%s%s %" PRIu64, is_first ? "" : " + ", terms[i].name,
			      terms[i].value);
		is_first = false;
	}
}

void ledger_print(const struct ledger *ledger, FILE *out)
{
	for (size_t i = 0; i < ledger->line_count; i++) {
		const struct ledger_line *line = &ledger->lines[i];

		(void)fprintf(out, "%-16s ", line->name);
		print_side(line->left, line->left_count, out);
		(void)fprintf(out, " = ");
		print_side(line->right, line->right_count, out);
		if (line->left_sum != line->right_sum)
			(void)fprintf(out, "   DIFFERENCE %" PRId64,
				      (int64_t)(line->left_sum - line->right_sum));
		(void)fputc('\n', out);
	}
	(void)fprintf(out, "%s\n", ledger->is_balanced ? "balanced" : "NOT BALANCED");
}

static void side_json(const char *key, const struct ledger_term *terms, size_t count,
		      struct json *out)
{
	json_open_object(out, key);
	for (size_t i = 0; i < count; i++)
		json_u64(out, terms[i].name, terms[i].value);
	json_end(out);
}

void ledger_json(const struct ledger *ledger, struct json *out)
{
	json_bool(out, "ok", ledger->is_balanced);
	json_open_array(out, "lines");
	for (size_t i = 0; i < ledger->line_count; i++) {
		const struct ledger_line *line = &ledger->lines[i];

		json_open_object(out, NULL);
		json_str(out, "name", line->name);
		side_json("left", line->left, line->left_count, out);
		side_json("right", line->right, line->right_count, out);
		json_i64(out, "difference", (int64_t)(line->left_sum - line->right_sum));
		json_end(out);
	}
	json_end(out);
}
