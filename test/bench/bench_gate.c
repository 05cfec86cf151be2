/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a datagram of ten records of fixed length costs before its records are read, in ns a record, and what one costs
 * that gives no flow, beside one that is decoded, in ns a datagram.  Numbers go on from one datagram to the next, as an
 * exporter's do.  What is over its limit is marked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/wr.h"
#include "collector/define.h"
#include "collector/gate.h"
#include "collector/walk.h"
#include "daemon/pipeline.h"

#define RECORDS 10
#define TMPL_ID 256
#define UNKNOWN_ID 257
#define DATAGRAMS_A_ROUND 20000
#define ROUNDS 25 /* short and many: the best of them was not disturbed */
#define DATAGRAM_MAX 1500
#define GATE_NS_MAX 15.0 /* a record */

struct datagram {
	uint8_t octets[DATAGRAM_MAX];
	size_t bytes;
	size_t number_at; /* of its sequence number */
	uint32_t step;	  /* to the next one's */
	uint32_t number;
};

static const struct {
	uint16_t id;
	uint16_t bytes;
} fields[] = { { 8, 4 },  { 12, 4 }, { 7, 2 }, { 11, 2 }, { 4, 1 },  { 6, 1 },
	       { 10, 4 }, { 1, 8 },  { 2, 8 }, { 22, 4 }, { 21, 4 }, { 5, 1 } };
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static const struct origin origin = { .peer = { { 0xc0, 0, 2, 1 }, 4 }, .port = 1 };

static const struct collector_limits limits = { .sessions_max = 1000,
						.templates_max = 64,
						.fields_max = 64,
						.repeats_max = 4,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600 };
static const struct collector_limits holding = { .sessions_max = 1000,
						 .templates_max = 64,
						 .fields_max = 64,
						 .repeats_max = 4,
						 .template_lifetime_s = 1800,
						 .session_idle_s = 3600,
						 .hold_s = 30,
						 .hold_session_bytes = 1u << 20,
						 .hold_bytes = 64u << 20 };

/* The next number, as its exporter would put it there. */
static inline void move_on(struct datagram *d)
{
	uint32_t number = __builtin_bswap32(d->number);

	memcpy(d->octets + d->number_at, &number, sizeof(number));
	d->number += d->step;
}

static void put_header(struct wr *w, struct datagram *d, uint16_t version, uint32_t step)
{
	bool has_uptime = version != VERSION_IPFIX;

	wr_u16(w, version);
	wr_u16(w, RECORDS); /* IPFIX: its length, when it is known */
	if (has_uptime)
		wr_u32(w, 1000000);
	wr_u32(w, 1700000000);
	if (version == VERSION_NF5)
		wr_u32(w, 0);
	d->number_at = wr_used(w);
	wr_u32(w, 0);
	wr_u32(w, 7);
	d->step = step;
	d->number = 1000;
}

static void put_length(struct datagram *d, size_t at, size_t from, size_t end)
{
	d->octets[at] = (uint8_t)((end - from) >> 8);
	d->octets[at + 1] = (uint8_t)(end - from);
}

static void finish(struct datagram *d, const struct wr *w, uint16_t version)
{
	must(!w->is_full);
	d->bytes = wr_used(w);
	if (version == VERSION_IPFIX)
		put_length(d, 2, 0, d->bytes);
}

static void make_definition(struct datagram *d, uint16_t version)
{
	struct wr w = wr_of(d->octets, sizeof(d->octets));

	put_header(&w, d, version, version == VERSION_NF9);
	wr_u16(&w, version == VERSION_NF9 ? NF9_SET_TEMPLATE : IPFIX_SET_TEMPLATE);
	wr_u16(&w, SET_HEADER_BYTES + 4 + 4 * FIELDS);
	wr_u16(&w, TMPL_ID);
	wr_u16(&w, FIELDS);
	for (size_t i = 0; i < FIELDS; i++) {
		wr_u16(&w, fields[i].id);
		wr_u16(&w, fields[i].bytes);
	}
	finish(d, &w, version);
}

static void make_data(struct datagram *d, uint16_t version, uint16_t id)
{
	struct wr w = wr_of(d->octets, sizeof(d->octets));
	size_t record_bytes = 0;

	put_header(&w, d, version, version == VERSION_NF9 ? 1 : RECORDS);
	for (size_t i = 0; i < FIELDS; i++)
		record_bytes += fields[i].bytes;
	if (version == VERSION_NF5) {
		record_bytes = NF5_RECORD_BYTES;
	} else {
		wr_u16(&w, id);
		wr_u16(&w, (uint16_t)(SET_HEADER_BYTES + RECORDS * record_bytes));
	}
	for (size_t i = 0; i < RECORDS * record_bytes; i++)
		wr_u8(&w, (uint8_t)(i * 7 + 1));
	finish(d, &w, version);
}

/* Of the best round; `once` takes one datagram. */
static double ns_a_datagram(void (*once)(void *ctx, struct datagram *d), void *ctx,
			    struct datagram *d)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		int64_t start = clock_thread_cpu_ns();
		double ns;

		for (int i = 0; i < DATAGRAMS_A_ROUND; i++) {
			move_on(d);
			once(ctx, d);
		}
		ns = (double)(clock_thread_cpu_ns() - start) / DATAGRAMS_A_ROUND;
		best = ns < best ? ns : best;
	}
	return best;
}

/* Gate and walk alone. */

struct floor {
	struct walk walk;
	struct tmpl *tmpl;
};

static void only_gate(void *ctx, struct datagram *d)
{
	const struct frame *frame;
	struct message m;

	(void)ctx;
	must(gate_check(d->octets, d->bytes, &m, &frame) == COLLECTOR_STAT_COUNT);
}

static void gate_and_walk(void *ctx, struct datagram *d)
{
	struct floor *f = ctx;
	const struct frame *frame;
	struct message m;
	struct rd body;
	struct rd sets;
	uint16_t id;

	must(gate_check(d->octets, d->bytes, &m, &frame) == COLLECTOR_STAT_COUNT);
	f->walk.record_count = 0;
	f->walk.run_count = 0;
	sets = rd_of(d->octets + m.header_bytes, m.bytes - m.header_bytes);
	if (!frame->has_sets)
		must(walk_set(&f->walk, &m, f->tmpl, sets));
	while (frame->has_sets && gate_next_set(&sets, &id, &body))
		must(walk_set(&f->walk, &m, f->tmpl, body));
	must(f->walk.record_count == RECORDS);
}

static void open_floor(struct floor *f, uint16_t version)
{
	static const struct collector_limits any = { .fields_max = 64, .repeats_max = 4 };
	struct datagram d;
	struct define definition;
	struct rd set;

	f->walk.records = calloc(WALK_RECORDS_MAX, sizeof(*f->walk.records));
	f->walk.runs = calloc(WALK_SETS_MAX, sizeof(*f->walk.runs));
	must(f->walk.records != NULL && f->walk.runs != NULL);
	if (version == VERSION_NF5) {
		must(tmpl_new_fixed(VERSION_NF5, &f->tmpl) == ERR_OK);
		return;
	}
	make_definition(&d, version);
	set = rd_of(d.octets + d.bytes - 4 - 4 * FIELDS, 4 + 4 * FIELDS);
	must(define_next(&set, version, false, &definition) == DEFINE_ONE);
	must(define_build(&definition, &any, &f->tmpl) == COLLECTOR_STAT_COUNT);
}

static void close_floor(struct floor *f)
{
	free(f->walk.records);
	free(f->walk.runs);
	tmpl_free(f->tmpl);
}

/* The collector without what it hands records on to. */

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

static void session_gone(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
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

static const struct collector_ops bare = { .tmpl_new = tmpl_seen,
					   .tmpl_gone = tmpl_gone,
					   .session_gone = session_gone,
					   .message_begin = edge,
					   .records = take,
					   .message_end = edge };

static void receive_bare(void *ctx, struct datagram *d)
{
	collector_receive(ctx, d->octets, d->bytes, &origin);
}

static double run_collector(uint16_t version)
{
	struct collector *c;
	struct stat_set *stat;
	struct datagram d;
	double ns;

	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	must(collector_new(&limits, &bare, NULL, stat, &c) == ERR_OK);
	if (version != VERSION_NF5) {
		make_definition(&d, version);
		d.number = version == VERSION_NF9 ? 999 : 1000;
		move_on(&d);
		collector_receive(c, d.octets, d.bytes, &origin);
	}
	make_data(&d, version, TMPL_ID);
	ns = ns_a_datagram(receive_bare, c, &d);
	must(stat_get(stat, STAT_RECORDS) == (uint64_t)ROUNDS * DATAGRAMS_A_ROUND * RECORDS);
	must(stat_get(stat, STAT_SEQUENCE_DUPLICATED) + stat_get(stat, STAT_SEQUENCE_MISSED) == 0);
	collector_free(c);
	stat_set_free(stat);
	return ns;
}

static void records(void)
{
	static const struct {
		uint16_t version;
		const char *name;
	} formats[] = { { VERSION_NF5, "NetFlow v5" },
			{ VERSION_NF9, "NetFlow v9" },
			{ VERSION_IPFIX, "IPFIX" } };

	(void)printf("\nten records of fixed length in a datagram, ns a record\n\n"
		     "| format | gate | gate and walk | limit | + session, sequence | |\n"
		     "|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		uint16_t version = formats[i].version;
		struct datagram d;
		struct floor f;
		double gate;
		double walk;

		make_data(&d, version, TMPL_ID);
		open_floor(&f, version);
		gate = ns_a_datagram(only_gate, NULL, &d) / RECORDS;
		walk = ns_a_datagram(gate_and_walk, &f, &d) / RECORDS;
		close_floor(&f);
		(void)printf("| %s | %.1f | %.1f | %.0f | %.1f | %s |\n", formats[i].name, gate,
			     walk, GATE_NS_MAX, run_collector(version) / RECORDS,
			     walk > GATE_NS_MAX ? "over" : "");
	}
}

/* Datagrams by what becomes of them, on the whole road but encoding. */

enum fate {
	FATE_DECODED,
	FATE_NOT_LISTED,
	FATE_RATE,
	FATE_VERSION,
	FATE_SET_LENGTH,
	FATE_UNKNOWN,
	FATE_HELD,
	FATES
};

static const struct {
	const char *name;
	const struct collector_limits *limits;
	enum collector_stat stat; /* how it is counted */
} fates[FATES] = {
	[FATE_DECODED] = { "decoded (not enriched, not encoded)", &limits, STAT_SETS_DECODED },
	[FATE_NOT_LISTED] = { "refused: the source is not listed", &limits, STAT_UNIT_NOT_LISTED },
	[FATE_RATE] = { "refused: over its rate", &limits, STAT_UNIT_RATE },
	[FATE_VERSION] = { "malformed: version", &limits, STAT_MSG_VERSION },
	[FATE_SET_LENGTH] = { "malformed: length of a set", &limits, STAT_MSG_SET_LENGTH },
	[FATE_UNKNOWN] = { "unknown template, not held", &limits, STAT_SET_NO_TEMPLATE },
	[FATE_HELD] = { "unknown template, held until evicted", &holding, STAT_HELD_FULL },
};

static void receive(void *ctx, struct datagram *d)
{
	pipeline_receive(ctx, d->octets, d->bytes, &origin);
}

static void settle(struct generation *g, struct exporter_entry *entry, enum fate fate)
{
	g->policy.is_closed = fate == FATE_NOT_LISTED;
	entry->rate = fate == FATE_RATE ? 1 : 0;
	/* Somebody is listed, as where strangers are refused. */
	if (fate == FATE_NOT_LISTED)
		entry->net.octets[3]++;
	g->exporters = entry;
	g->exporter_count = 1;
}

static void spoil(struct datagram *d, enum fate fate)
{
	if (fate == FATE_VERSION)
		d->octets[1] = 11;
	if (fate == FATE_SET_LENGTH)
		d->octets[IPFIX_HEADER_BYTES + 3]++;
}

static double run_fate(enum fate fate)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables",
				     RAW_MODE_UNPROMOTED };
	struct log_conf log_conf = { 64u << 20, LOG_BLOCK, false };
	struct exporter_entry entry = { .net = origin.peer, .prefix_bits = 32 };
	struct generation g = { .number = 1, .joins_max = 1000, .joins_all_max = 1000 };
	struct pipeline_setup setup = { .limits = fates[fate].limits,
					.generation = &g,
					.elements_dir = conf.elements_dir };
	struct pipeline *p;
	struct datagram d;
	struct why why = { "" };
	double ns;

	must(catalog_load(&conf, 1, &why, &g.catalog) == ERR_OK);
	must(enrich_load(NULL, 0, NULL, &why, &g.enrich) == ERR_OK);
	avro_encoder_init(&g.encoder, &g.catalog->fields);
	settle(&g, &entry, fate);
	must(log_hub_open(&log_conf, &why, &setup.hub) == ERR_OK);
	must(log_open(setup.hub, 0, &why, &setup.log) == ERR_OK);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &setup.collector_stat) ==
	     ERR_OK);
	must(stat_set_new(pipeline_stat_descs, PIPE_STAT_COUNT, &setup.stat) == ERR_OK);
	must(pipeline_new(&setup, &p) == ERR_OK);
	make_definition(&d, VERSION_IPFIX);
	move_on(&d);
	receive(p, &d);
	make_data(&d, VERSION_IPFIX, fate >= FATE_UNKNOWN ? UNKNOWN_ID : TMPL_ID);
	spoil(&d, fate);
	ns = ns_a_datagram(receive, p, &d);
	/* Nearly all of them: what came before the rate or the bound of the store was another fate. */
	must(stat_get(setup.collector_stat, fates[fate].stat) >
	     (uint64_t)ROUNDS * DATAGRAMS_A_ROUND * 9 / 10);
	pipeline_free(p);
	log_close(setup.log);
	log_hub_close(setup.hub);
	stat_set_free(setup.collector_stat);
	stat_set_free(setup.stat);
	enrich_free(g.enrich);
	catalog_free(g.catalog);
	return ns;
}

static void datagrams(void)
{
	double decoded = 0;

	(void)printf("\na datagram of ten IPFIX records, by what becomes of it\n\n"
		     "| fate | ns a datagram | of decoded | limit | |\n|---|---|---|---|---|\n");
	for (int fate = 0; fate < FATES; fate++) {
		double ns = run_fate((enum fate)fate);

		if (fate == FATE_DECODED)
			decoded = ns;
		(void)printf("| %s | %.0f | %.2f | %s | %s |\n", fates[fate].name, ns, ns / decoded,
			     fate == FATE_DECODED ? "" : "1.00", ns > decoded ? "over" : "");
	}
}

int main(void)
{
	records();
	datagrams();
	return 0;
}
