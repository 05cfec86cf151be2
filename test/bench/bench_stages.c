/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nanoseconds a flow per stage, from memory: sluicegen's 35-element nProbe-like captures go round and round
 * through a pipeline that does a little more each time, with numbers that go on; a stage costs what it adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/rd.h"
#include "collector/replay.h"
#include "daemon/pipeline.h"
#include "normalizer/plan.h"

#define UNITS_MAX 4096
#define DOMAINS_MAX 64
#define FLOWS 2000000u
#define REPEATS 3

/* One domain of an exporter: its numbers go on from one round to the next, so that none is a copy. */
struct domain {
	struct origin origin;
	uint32_t number;
	uint32_t id;
	uint16_t version;
};

struct capture {
	struct {
		uint8_t *octets;
		size_t bytes;
		struct origin origin;
		struct domain *domain;
		uint32_t step; /* what it adds to its domain's number */
	} units[UNITS_MAX];
	size_t count;
	struct domain domains[DOMAINS_MAX];
	size_t domain_count;
};

enum stage { STAGE_WALK, STAGE_DECODE, STAGE_LOG, STAGE_ENRICH, STAGES };
static const char *const names[STAGES] = { "gate, walk, session", "+ plan (decode, normalise)",
					   "+ envelope, record_id, encode, log",
					   "+ enrich (defaults), their fields encoded" };

static size_t number_at(uint16_t version)
{
	return version == VERSION_NF5 ? 16 : version == VERSION_NF9 ? 12 : 8;
}

static struct domain *domain_of(struct capture *c, const uint8_t *octets,
				const struct origin *origin)
{
	uint16_t version = be16(octets);
	uint32_t id = be32(octets + number_at(version) + 4);
	struct domain *d;

	for (size_t i = 0; i < c->domain_count; i++) {
		d = &c->domains[i];
		if (d->version == version && d->id == id && d->origin.port == origin->port &&
		    addr_equal(&d->origin.peer, &origin->peer))
			return d;
	}
	must(c->domain_count < DOMAINS_MAX);
	d = &c->domains[c->domain_count++];
	d->origin = *origin;
	d->version = version;
	d->id = id;
	return d;
}

static void keep(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	struct capture *c = ctx;

	if (c->count == UNITS_MAX)
		return;
	c->units[c->count].octets = malloc(bytes);
	must(c->units[c->count].octets != NULL);
	memcpy(c->units[c->count].octets, octets, bytes);
	c->units[c->count].bytes = bytes;
	c->units[c->count].origin = *origin;
	c->units[c->count].domain = domain_of(c, octets, origin);
	c->count++;
}

static void tmpl_seen(void *ctx, struct session *s, struct tmpl *t)
{
	(void)ctx;
	(void)s;
	(void)t;
}

static void tmpl_gone(void *ctx, struct tmpl *t)
{
	(void)ctx;
	(void)t;
}

static void edge(void *ctx, const struct message *m, struct session *s)
{
	(void)ctx;
	(void)m;
	(void)s;
}

static size_t take(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		   const struct record *r, size_t count, enum collector_stat *reason)
{
	(void)ctx;
	(void)m;
	(void)s;
	(void)t;
	(void)r;
	(void)count;
	(void)reason;
	return 0;
}

static void take_options(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			 const struct record *r, size_t count)
{
	enum collector_stat reason;

	(void)take(ctx, m, s, t, r, count, &reason);
}

static void session_gone(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
}

/* What the plan alone costs: its flows are what the pipeline's are, in batches of the same size. */
struct decoding {
	struct catalog *catalog;
	struct flow flows[PIPELINE_FLOWS];
	struct xform_env env;
};

static void env_of(void *ctx, const struct message *m, struct session *s)
{
	struct decoding *d = ctx;

	(void)s;
	d->env.export_ms = m->export_ms;
	d->env.uptime_ms = m->uptime_ms;
	d->env.has_uptime = m->has_uptime;
}

static void plan_made(void *ctx, struct session *s, struct tmpl *t)
{
	struct decoding *d = ctx;
	struct plan *plan;

	s->profile = catalog_profile_add(d->catalog, s, t, s->profile);
	must(plan_compile(d->catalog, t, s->profile, &plan) == ERR_OK);
	t->plan = plan;
}

static void plan_gone(void *ctx, struct tmpl *t)
{
	(void)ctx;
	plan_free(t->plan);
}

static size_t decode(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		     const struct record *r, size_t count, enum collector_stat *reason)
{
	struct decoding *d = ctx;

	(void)m;
	(void)s;
	(void)reason;
	for (size_t i = 0; i < count; i++) {
		struct flow *f = &d->flows[i % PIPELINE_FLOWS];

		flow_clear(f);
		plan_run(t->plan, &d->env, r[i].octets, f);
	}
	return 0;
}

static const struct collector_ops decoding = { .tmpl_new = plan_made,
					       .tmpl_gone = plan_gone,
					       .session_gone = session_gone,
					       .message_begin = env_of,
					       .records = decode,
					       .options = take_options,
					       .message_end = edge };
static const struct collector_ops bare = { .tmpl_new = tmpl_seen,
					   .tmpl_gone = tmpl_gone,
					   .session_gone = session_gone,
					   .message_begin = edge,
					   .records = take,
					   .options = take_options,
					   .message_end = edge };
static const struct collector_limits limits = { 100000, 4096, 1024, 64, 1800, 7200 };

/* The unit with its domain's next number. */
static void feed(struct capture *c, size_t i, unit_fn *fn, void *ctx)
{
	struct domain *d = c->units[i].domain;
	uint32_t number = __builtin_bswap32(d->number);

	memcpy(c->units[i].octets + number_at(d->version), &number, sizeof(number));
	d->number += c->units[i].step;
	fn(ctx, c->units[i].octets, c->units[i].bytes, &c->units[i].origin);
}

/* The first round also tells how many records each unit has: v9 counts units, the others records. */
static void first_round(struct capture *c, const struct stat_set *stat, unit_fn *fn, void *ctx)
{
	for (size_t i = 0; i < c->count; i++) {
		struct domain *d = c->units[i].domain;
		uint64_t before = stat_get(stat, STAT_RECORDS);

		c->units[i].step = 0;
		feed(c, i, fn, ctx);
		c->units[i].step = d->version == VERSION_NF9
					   ? 1
					   : (uint32_t)(stat_get(stat, STAT_RECORDS) - before);
		d->number += c->units[i].step;
	}
}

/* Rounds over the capture until FLOWS flows have passed; ns a flow. */
static double run(struct capture *c, struct stat_set *stat, unit_fn *fn, void *ctx, struct log *log)
{
	uint64_t before;
	int64_t start;

	first_round(c, stat, fn, ctx);
	before = stat_get(stat, STAT_RECORDS_FLOW);
	start = clock_thread_cpu_ns();
	while (stat_get(stat, STAT_RECORDS_FLOW) - before < FLOWS) {
		for (size_t i = 0; i < c->count; i++)
			feed(c, i, fn, ctx);
		if (log != NULL)
			log_flush(log);
	}
	must(stat_get(stat, STAT_SEQUENCE_DUPLICATED) + stat_get(stat, STAT_SEQUENCE_MISSED) == 0);
	return (double)(clock_thread_cpu_ns() - start) /
	       (double)(stat_get(stat, STAT_RECORDS_FLOW) - before);
}

static void receive_bare(void *ctx, const uint8_t *octets, size_t bytes,
			 const struct origin *origin)
{
	collector_receive(ctx, octets, bytes, origin);
}

static double run_walk(struct capture *c)
{
	struct stat_set *stat;
	struct collector *collector;
	double ns;

	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	must(collector_new(&limits, &bare, NULL, stat, &collector) == ERR_OK);
	ns = run(c, stat, receive_bare, collector, NULL);
	collector_free(collector);
	stat_set_free(stat);
	return ns;
}

static double run_decode(struct capture *c)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables",
				     RAW_MODE_UNPROMOTED };
	struct decoding *d = calloc(1, sizeof(*d));
	struct collector *collector;
	struct stat_set *stat;
	struct why why = { "" };
	double ns;

	must(d != NULL && catalog_load(&conf, 1, &why, &d->catalog) == ERR_OK);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	must(collector_new(&limits, &decoding, d, stat, &collector) == ERR_OK);
	ns = run(c, stat, receive_bare, collector, NULL);
	collector_free(collector);
	stat_set_free(stat);
	catalog_free(d->catalog);
	free(d);
	return ns;
}

static double octets_a_record;

static double run_pipeline(struct capture *c, enum stage stage)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables",
				     RAW_MODE_UNPROMOTED };
	struct log_conf log_conf = { 256u << 20, LOG_BLOCK, false };
	struct generation g = {
		.number = 1, .joins_max = 1000, .joins_all_max = 1000, .encodes = true
	};
	char *enrich[] = { (char *)"network", (char *)"service", (char *)"community_id",
			   (char *)"derived" };
	struct pipeline_setup setup = { .limits = &limits,
					.generation = &g,
					.elements_dir = conf.elements_dir };
	struct log_hub *hub;
	struct pipeline *p;
	struct why why = { "" };
	double ns;

	must(catalog_load(&conf, 1, &why, &g.catalog) == ERR_OK);
	must(enrich_load(enrich, stage == STAGE_ENRICH ? 4 : 0, NULL, &why, &g.enrich) == ERR_OK);
	avro_encoder_init(&g.encoder, &g.catalog->fields);
	must(log_hub_open(&log_conf, &why, &hub) == ERR_OK);
	must(log_open(hub, 0, &why, &setup.log) == ERR_OK);
	setup.hub = hub;
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &setup.collector_stat) ==
	     ERR_OK);
	must(stat_set_new(pipeline_stat_descs, PIPE_STAT_COUNT, &setup.stat) == ERR_OK);
	must(pipeline_new(&setup, &p) == ERR_OK);
	ns = run(c, setup.collector_stat, pipeline_receive, p, setup.log);
	if (stage == STAGE_ENRICH)
		octets_a_record = (double)stat_get(setup.stat, PIPE_STAT_ENCODED_OCTETS) /
				  (double)stat_get(setup.stat, PIPE_STAT_APPENDED);
	pipeline_free(p);
	log_close(setup.log);
	log_hub_close(hub);
	stat_set_free(setup.collector_stat);
	stat_set_free(setup.stat);
	enrich_free(g.enrich);
	catalog_free(g.catalog);
	return ns;
}

static void bench(const char *path)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct stat_set *stat;
	struct why why = { "" };
	double before = 0;

	must(c != NULL);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	if (replay_run(path, NULL, keep, c, stat, &why) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	(void)printf("\n%s\n\n| stage | ns a flow | adds |\n|---|---|---|\n", path);
	for (int stage = 0; stage < STAGES; stage++) {
		double best = 1e9;

		for (int i = 0; i < REPEATS; i++) {
			double ns = stage == STAGE_WALK	    ? run_walk(c)
				    : stage == STAGE_DECODE ? run_decode(c)
							    : run_pipeline(c, (enum stage)stage);

			best = ns < best ? ns : best;
		}
		(void)printf("| %s | %.0f | %.0f |\n", names[stage], best, best - before);
		before = best;
	}
	(void)printf("\n%.0f octets a record\n", octets_a_record);
	for (size_t i = 0; i < c->count; i++)
		free(c->units[i].octets);
	stat_set_free(stat);
	free(c);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		bench(argv[i]);
	if (argc == 1) {
		bench("test/corpus/sluicegen_ipfix_nprobe.pcap");
		bench("test/corpus/sluicegen_v9_nprobe.pcap");
	}
	return 0;
}
