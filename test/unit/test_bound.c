/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: templates stay within their bounds, those go that nobody misses, and late data is read as it was sent.
 * Method: IPFIX messages of several addresses, domains and moments; of each record handed on, how wide it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/wr.h"
#include "collector/collector.h"

#define GOOD 0xc0000201u
#define MESSAGE_MAX 32768
#define NEWS_MAX 2048 /* take.c's */
#define ROOM 10
#define EVICTED (NEWS_MAX - 1 - ROOM) /* by a message that changes another one in the end */
#define NOON_S 1700000000u

struct bench {
	struct stat_set *stat;
	struct collector *collector;
	size_t tmpls_new;
	size_t tmpls_gone;
	size_t records;
	uint32_t width; /* of the last record */
	uint16_t asked; /* the id that lists in records name; 0: none */
	size_t found;	/* how often there was a template of it */
	uint32_t found_width;
};

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	struct bench *b = ctx;

	(void)s;
	(void)t;
	b->tmpls_new++;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	struct bench *b = ctx;

	(void)t;
	b->tmpls_gone++;
}

static void session_gone_seen(void *ctx, struct session *s)
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

static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	struct bench *b = ctx;
	uint32_t cost = 0;
	const struct tmpl *found = b->asked == 0 ? NULL : collector_tmpl(b->collector, s, b->asked, &cost);

	(void)m;
	(void)reason;
	if (t->version == VERSION_SFLOW5)
		return 0;
	b->found += found != NULL;
	b->found_width = found == NULL ? b->found_width : found->min_bytes;
	b->records += count;
	b->width = t->min_bytes;
	assert_int_equal(r[0].bytes, t->min_bytes);
	return 0;
}

static const struct collector_ops ops = { .tmpl_new = tmpl_new_seen,
					  .tmpl_gone = tmpl_gone_seen,
					  .session_gone = session_gone_seen,
					  .message_begin = edge,
					  .records = records,
					  .message_end = edge };

static struct collector_limits limits_of(uint32_t exporter_max, uint32_t all_max, uint64_t all_bytes)
{
	return (struct collector_limits){ .sessions_max = 100000,
					  .templates_max = 1000,
					  .templates_exporter_max = exporter_max,
					  .templates_all_max = all_max,
					  .templates_all_bytes = all_bytes,
					  .fields_max = 64,
					  .repeats_max = 64,
					  .template_lifetime_s = 1800,
					  .session_idle_s = 3600 };
}

static void open_limited(struct bench *b, struct collector_limits limits)
{
	memset(b, 0, sizeof(*b));
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &b->stat) == ERR_OK);
	must(collector_new(&limits, &ops, b, b->stat, &b->collector) == ERR_OK);
}

static void open_bench(struct bench *b, uint32_t exporter_max, uint32_t all_max, uint64_t all_bytes)
{
	open_limited(b, limits_of(exporter_max, all_max, all_bytes));
}

/* So many templates in each domain. */
static void open_domains(struct bench *b, uint32_t session_max)
{
	struct collector_limits limits = limits_of(0, 0, 0);

	limits.templates_max = session_max;
	open_limited(b, limits);
}

/* Nothing of the account stays when all is gone. */
static void close_bench(struct bench *b)
{
	collector_tick(b->collector, INT64_C(1) << 40);
	assert_int_equal(stat_get(b->stat, STAT_TEMPLATES_NOW), 0);
	assert_int_equal(stat_get(b->stat, STAT_TEMPLATES_BYTES), 0);
	collector_free(b->collector);
	assert_int_equal(b->tmpls_new, b->tmpls_gone);
	stat_set_free(b->stat);
}

struct message_made {
	uint8_t octets[MESSAGE_MAX];
	struct wr w;
	uint32_t at_s;
	uint32_t domain;
};

static void begin(struct message_made *m, uint32_t domain, uint32_t at_s)
{
	m->w = wr_of(m->octets, sizeof(m->octets));
	wr_u16(&m->w, 10);
	wr_u16(&m->w, 0);
	wr_u32(&m->w, at_s);
	wr_u32(&m->w, 0);
	wr_u32(&m->w, domain);
}

/* `count` times octetDeltaCount of `bytes` octets. */
static void add_definition(struct message_made *m, uint16_t id, uint16_t count, uint16_t bytes)
{
	wr_u16(&m->w, 2);
	wr_u16(&m->w, (uint16_t)(8 + 4 * count));
	wr_u16(&m->w, id);
	wr_u16(&m->w, count);
	for (uint16_t i = 0; i < count; i++) {
		wr_u16(&m->w, 1);
		wr_u16(&m->w, bytes);
	}
}

/* A record of 12 octets: one of 12, or three of 4. */
static void add_data(struct message_made *m, uint16_t id)
{
	static const uint8_t record[12] = { 1 };

	wr_u16(&m->w, id);
	wr_u16(&m->w, 16);
	wr_bytes(&m->w, record, sizeof(record));
}

static void deliver(struct bench *b, struct message_made *m, uint32_t peer)
{
	struct origin origin = { .peer = addr_of_v4(peer), .port = 1000, .local_port = 4739, .receive_ms = 1 };
	size_t bytes = wr_used(&m->w);
	uint8_t *copy = malloc(bytes);

	must(copy != NULL && !m->w.is_full);
	memcpy(copy, m->octets, bytes);
	copy[2] = (uint8_t)(bytes >> 8);
	copy[3] = (uint8_t)bytes;
	collector_receive(b->collector, copy, bytes, &origin);
	free(copy);
}

static void define_at(struct bench *b, uint32_t peer, uint32_t domain, uint16_t id, uint16_t bytes, uint32_t at_s)
{
	struct message_made m;

	begin(&m, domain, at_s);
	add_definition(&m, id, 1, bytes);
	deliver(b, &m, peer);
}

static void define(struct bench *b, uint32_t peer, uint32_t domain, uint16_t id)
{
	define_at(b, peer, domain, id, 12, NOON_S);
}

/* Whether data of that id is read. */
static bool use_at(struct bench *b, uint32_t peer, uint32_t domain, uint16_t id, uint32_t at_s)
{
	struct message_made m;
	size_t before = b->records;

	begin(&m, domain, at_s);
	add_data(&m, id);
	deliver(b, &m, peer);
	return b->records > before;
}

static bool use(struct bench *b, uint32_t peer, uint32_t domain, uint16_t id)
{
	return use_at(b, peer, domain, id, NOON_S);
}

/* As if time went on. */
static bool age(void *ctx, struct session *s)
{
	int64_t ms = *(const int64_t *)ctx;

	for (size_t i = 0; i < s->tmpl_count; i++) {
		struct tmpl *t = s->tmpls[i];

		t->seen_ms -= ms;
		t->touched_ms -= ms;
		t->used_ms -= t->used_ms == 0 ? 0 : ms;
		if (t->before != NULL) {
			t->before->seen_ms -= ms;
			t->before->used_ms -= ms;
		}
	}
	return true;
}

static void wait_s(struct bench *b, int64_t seconds)
{
	int64_t ms = seconds * 1000;

	collector_each_session(b->collector, age, &ms);
}

static uint64_t sum_evicted(const struct bench *b)
{
	return stat_get(b->stat, STAT_TMPL_EVICTED_SESSION) + stat_get(b->stat, STAT_TMPL_EVICTED_EXPORTER) +
	       stat_get(b->stat, STAT_TMPL_EVICTED_ALL) + stat_get(b->stat, STAT_TMPL_EVICTED_BYTES);
}

/* In three domains, four in all: the unused go before the used, the oldest first. */
static void test_exporter(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 4, 0, 0);
	define(&b, GOOD, 1, 300);
	define(&b, GOOD, 2, 300);
	define(&b, GOOD, 3, 300);
	define(&b, GOOD, 3, 301);
	assert_true(use(&b, GOOD, 1, 300));
	assert_true(use(&b, GOOD, 3, 301));
	/* Others have room of their own. */
	for (uint16_t id = 300; id < 304; id++)
		define(&b, 7, 1, id);
	assert_int_equal(sum_evicted(&b), 0);
	/* Another definition of its id takes nobody's place. */
	define_at(&b, GOOD, 3, 301, 4, NOON_S);
	assert_int_equal(sum_evicted(&b), 0);
	assert_true(use(&b, GOOD, 3, 301));
	define(&b, GOOD, 4, 302);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_EXPORTER), 1);
	assert_false(use(&b, GOOD, 2, 300));
	/* Sent again, it is younger than the next. */
	wait_s(&b, 5);
	define(&b, GOOD, 3, 300);
	define(&b, GOOD, 4, 303);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_EXPORTER), 2);
	assert_false(use(&b, GOOD, 4, 302));
	assert_true(use(&b, GOOD, 3, 300));
	assert_true(use(&b, GOOD, 4, 303));
	/* All are used now: the one goes that was not for longest. */
	wait_s(&b, 5);
	assert_true(use(&b, GOOD, 1, 300));
	assert_true(use(&b, GOOD, 4, 303));
	define(&b, GOOD, 5, 300);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_EXPORTER), 3);
	assert_true(use(&b, GOOD, 1, 300) && use(&b, GOOD, 4, 303) && use(&b, GOOD, 5, 300));
	assert_int_equal(use(&b, GOOD, 3, 300) + use(&b, GOOD, 3, 301), 1);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_NOW), 8);
	close_bench(&b);
}

static bool sum_rows(void *ctx, struct session *s)
{
	*(uint64_t *)ctx += s->counts.templates_evicted;
	return true;
}

/* In one domain: the unused go before the used, then the one that was not used for longest. */
static void test_session(void **state)
{
	struct bench b;

	(void)state;
	open_domains(&b, 4);
	for (uint16_t id = 300; id < 304; id++)
		define(&b, GOOD, 1, id);
	assert_true(use(&b, GOOD, 1, 300) && use(&b, GOOD, 1, 302));
	/* Another domain has room of its own, and another definition of its id takes nobody's place. */
	for (uint16_t id = 300; id < 304; id++)
		define(&b, GOOD, 2, id);
	define_at(&b, GOOD, 1, 302, 4, NOON_S);
	assert_true(use(&b, GOOD, 1, 302));
	assert_int_equal(sum_evicted(&b), 0);
	/* 301 is the older of the unused; sent again it is the younger. */
	define(&b, GOOD, 1, 301);
	define(&b, GOOD, 1, 304);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_SESSION), 1);
	assert_false(use(&b, GOOD, 1, 303));
	assert_true(use(&b, GOOD, 1, 301) && use(&b, GOOD, 1, 304));
	/* All are used. */
	wait_s(&b, 5);
	assert_true(use(&b, GOOD, 1, 304) && use(&b, GOOD, 1, 302) && use(&b, GOOD, 1, 301));
	define(&b, GOOD, 1, 305);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_SESSION), 2);
	assert_false(use(&b, GOOD, 1, 300));
	assert_true(use(&b, GOOD, 1, 301) && use(&b, GOOD, 1, 302) && use(&b, GOOD, 1, 304) && use(&b, GOOD, 1, 305));
	for (uint16_t id = 300; id < 304; id++)
		assert_true(use(&b, GOOD, 2, id));
	assert_int_equal(stat_get(b.stat, STAT_TMPL_LIMIT) + stat_get(b.stat, STAT_TMPL_MESSAGE), 0);
	assert_int_equal(sum_evicted(&b), 2);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_NOW), 8);
	close_bench(&b);
}

/* A flood of ids that no data uses takes one place, and that one once. */
static void test_flood_of_ids(void **state)
{
	struct bench b;

	(void)state;
	open_domains(&b, 16);
	for (uint16_t id = 300; id < 315; id++) {
		define(&b, GOOD, 1, id);
		assert_true(use(&b, GOOD, 1, id));
	}
	for (uint32_t id = 1000; id < 6000; id++) {
		define(&b, GOOD, 1, (uint16_t)id);
		if (id % 1000 == 0)
			wait_s(&b, 600);
	}
	for (uint16_t id = 300; id < 315; id++)
		assert_true(use(&b, GOOD, 1, id));
	assert_true(use(&b, GOOD, 1, 5999));
	assert_false(use(&b, GOOD, 1, 5998));
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_SESSION), 4999);
	/* One that is in use now, and the next: it is new, and may come into use. */
	define(&b, GOOD, 1, 6000);
	define(&b, GOOD, 1, 6001);
	define(&b, GOOD, 1, 6002);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_SESSION), 5002);
	assert_false(use(&b, GOOD, 1, 300));
	for (uint16_t id = 301; id < 315; id++)
		assert_true(use(&b, GOOD, 1, id));
	assert_true(use(&b, GOOD, 1, 5999) && use(&b, GOOD, 1, 6002));
	close_bench(&b);
}

static void add_definitions(struct message_made *m, uint32_t first, uint32_t count)
{
	for (uint32_t id = first; id < first + count; id++)
		add_definition(m, (uint16_t)id, 1, 12);
}

/* What one message puts out is bounded, whose templates it may be; what is too much of it is refused. */
static void test_evictions_of_message(void **state)
{
	static const struct {
		uint32_t session_max;
		uint32_t exporter_max;
		uint32_t all_max;
		enum collector_stat row;
	} cases[] = { { ROOM, 0, 0, STAT_TMPL_EVICTED_SESSION },
		      { 0, ROOM, 0, STAT_TMPL_EVICTED_EXPORTER },
		      { 0, 0, ROOM, STAT_TMPL_EVICTED_ALL } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct collector_limits limits = limits_of(cases[i].exporter_max, cases[i].all_max, 0);
		struct message_made m;
		struct bench b;

		limits.templates_max = cases[i].session_max;
		open_limited(&b, limits);
		begin(&m, 1, NOON_S);
		add_definitions(&m, 300, ROOM + EVICTED);
		add_definition(&m, 300 + EVICTED, 1, 4);
		/* Data of what is refused is not read. */
		add_definitions(&m, 300 + ROOM + EVICTED, 30);
		add_data(&m, 300 + EVICTED);
		add_data(&m, 300 + EVICTED + ROOM);
		deliver(&b, &m, GOOD);
		assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_NEW), ROOM + EVICTED);
		assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_CHANGED), 1);
		assert_int_equal(stat_get(b.stat, cases[i].row), EVICTED);
		assert_int_equal(sum_evicted(&b), EVICTED);
		assert_int_equal(stat_get(b.stat, STAT_TMPL_MESSAGE), 30);
		assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_NOW), ROOM);
		assert_int_equal(b.records, 3);
		assert_int_equal(stat_get(b.stat, STAT_SET_NO_TEMPLATE), 1);
		/* The next one may do so again. */
		begin(&m, 1, NOON_S);
		add_definitions(&m, 10000, NEWS_MAX + 1);
		deliver(&b, &m, GOOD);
		assert_int_equal(stat_get(b.stat, cases[i].row), EVICTED + NEWS_MAX);
		assert_int_equal(stat_get(b.stat, STAT_TMPL_MESSAGE), 31);
		close_bench(&b);
	}
}

/* A flood over made-up addresses: by number, then by octets.  Who works on is not touched. */
static void test_flood(void **state)
{
	static const struct {
		uint32_t all_max;
		uint64_t all_bytes;
		enum collector_stat row;
	} cases[] = { { 64, 0, STAT_TMPL_EVICTED_ALL }, { 0, 40000, STAT_TMPL_EVICTED_BYTES } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;
		uint64_t rows = 0;
		uint64_t now;

		open_bench(&b, 16, cases[i].all_max, cases[i].all_bytes);
		for (uint16_t id = 300; id < 308; id++) {
			define(&b, GOOD, 1, id);
			assert_true(use(&b, GOOD, 1, id));
		}
		for (uint32_t peer = 1; peer < 3000; peer++) {
			define(&b, peer, peer, (uint16_t)(256 + peer % 7));
			if (peer % 100 == 0)
				wait_s(&b, 2);
			if (peer % 100 == 0)
				assert_true(use(&b, GOOD, 1, (uint16_t)(300 + peer / 100 % 8)));
		}
		now = stat_get(b.stat, STAT_TEMPLATES_NOW);
		assert_true(cases[i].all_max == 0 || now == cases[i].all_max);
		assert_true(cases[i].all_bytes == 0 || stat_get(b.stat, STAT_TEMPLATES_BYTES) <= cases[i].all_bytes);
		assert_in_range(now, 16, 200);
		assert_int_equal(stat_get(b.stat, cases[i].row), 3007 - now);
		assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_EXPORTER), 0);
		for (uint16_t id = 300; id < 308; id++)
			assert_true(use(&b, GOOD, 1, id));
		/* The newest are the ones that stayed, and may be used, too. */
		assert_true(use(&b, 2999, 2999, 256 + 2999 % 7));
		assert_false(use(&b, 1, 1, 257));
		collector_each_session(b.collector, sum_rows, &rows);
		assert_int_equal(rows, 3007 - now);
		close_bench(&b);
	}
}

#define SAMPLE_KINDS 5 /* of records that a sample may have, which makes 32 templates */

/* A datagram of an agent, of one flow sample with those records whose bits are set. */
static void sample(struct bench *b, uint32_t peer, uint32_t sequence, uint32_t kinds)
{
	static const uint32_t formats[SAMPLE_KINDS] = { 1011, 1029, 1030, 1036, 1040 };
	const uint32_t head[] = { 5, 1, peer, 0, sequence, 1000 * sequence, 1 };
	struct origin origin = { .peer = addr_of_v4(peer), .port = 1000, .local_port = 6343, .receive_ms = 1 };
	uint32_t count = (uint32_t)__builtin_popcount(kinds);
	uint8_t octets[256];
	struct wr w = wr_of(octets, sizeof(octets));

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		wr_u32(&w, head[i]);
	wr_u32(&w, 1);
	wr_u32(&w, 32 + 12 * count);
	for (uint32_t i = 0; i < 7; i++)
		wr_u32(&w, sequence);
	wr_u32(&w, count);
	for (unsigned i = 0; i < SAMPLE_KINDS; i++) {
		if ((kinds >> i & 1) == 0)
			continue;
		wr_u32(&w, formats[i]);
		wr_u32(&w, 4);
		wr_u32(&w, sequence);
	}
	must(!w.is_full);
	collector_receive(b->collector, octets, wr_used(&w), &origin);
}

/* What is made for samples is made again: it goes before a template that its exporter alone can send. */
static void test_samples_go_first(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 0, 16, 0);
	for (uint16_t id = 300; id < 308; id++) {
		define(&b, GOOD, 1, id);
		assert_true(use(&b, GOOD, 1, id));
	}
	wait_s(&b, 60);
	for (uint32_t i = 0; i < 1000; i++)
		sample(&b, 0x0a000000 + i % 5, 1 + i / 5, i * 7 % 32);
	assert_int_equal(stat_get(b.stat, STAT_RECORDS_FLOW), 8 + 1000);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_NOW), 16);
	assert_true(stat_get(b.stat, STAT_TMPL_EVICTED_ALL) > 500);
	for (uint16_t id = 300; id < 308; id++)
		assert_true(use(&b, GOOD, 1, id));
	close_bench(&b);
}

/* In one message: data, and the definition that puts out the one which the data was read by; then data again. */
static void test_evicted_in_message(void **state)
{
	struct message_made m;
	struct bench b;

	(void)state;
	open_bench(&b, 1, 0, 0);
	begin(&m, 1, NOON_S);
	for (uint16_t id = 300; id < 340; id++) {
		add_definition(&m, id, 1, 12);
		add_data(&m, id);
	}
	add_data(&m, 300);
	add_data(&m, 339);
	deliver(&b, &m, GOOD);
	assert_int_equal(b.records, 41);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_EXPORTER), 39);
	assert_int_equal(stat_get(b.stat, STAT_SET_NO_TEMPLATE), 1);
	close_bench(&b);
}

/* What a message put out of force is not another exporter's: its lists are read by nobody's but its own. */
static void test_evicted_of_another(void **state)
{
	struct message_made m;
	struct bench b;

	(void)state;
	open_bench(&b, 0, 2, 0);
	define(&b, 7, 1, 300);
	define(&b, GOOD, 1, 400);
	assert_true(use(&b, GOOD, 1, 400));
	b.asked = 300;
	begin(&m, 1, NOON_S);
	add_data(&m, 400);
	add_definition(&m, 401, 1, 12);
	deliver(&b, &m, GOOD);
	assert_int_equal(b.records, 2);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_ALL), 1);
	assert_int_equal(b.found, 0);
	/* Its own it finds. */
	b.asked = 401;
	begin(&m, 1, NOON_S);
	add_data(&m, 400);
	add_definition(&m, 402, 1, 12);
	deliver(&b, &m, GOOD);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_ALL), 2);
	assert_int_equal(b.found, 1);
	close_bench(&b);
}

/* Of the one that lists name, the definition that stood before their set: whatever the same message made of it. */
static void test_list_of_before(void **state)
{
	static const struct {
		uint16_t bytes[3]; /* of definitions behind the data; 0: one that is refused */
		size_t found;
	} cases[] = { { { 0 }, 1 }, { { 4 }, 1 }, { { 4, 0 }, 1 }, { { 4, 6, 0 }, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message_made m;
		struct bench b;

		open_bench(&b, 0, 0, 0);
		define(&b, GOOD, 1, 300);
		define(&b, GOOD, 1, 400);
		b.asked = 300;
		begin(&m, 1, NOON_S);
		add_data(&m, 400);
		for (size_t k = 0; k < 3 && (k == 0 || cases[i].bytes[k - 1] != 0); k++)
			add_definition(&m, 300, 1, cases[i].bytes[k]);
		deliver(&b, &m, GOOD);
		assert_int_equal(b.records, 1);
		assert_int_equal(b.found, cases[i].found);
		assert_int_equal(b.found_width, 12);
		close_bench(&b);
	}
}

/* One that only lists use is used. */
static void test_used_by_lists(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 3, 0, 0);
	define(&b, GOOD, 1, 300);
	define(&b, GOOD, 1, 301);
	define(&b, GOOD, 1, 400);
	b.asked = 300;
	assert_true(use(&b, GOOD, 1, 400));
	assert_int_equal(b.found, 1);
	define(&b, GOOD, 1, 302);
	define(&b, GOOD, 1, 303);
	assert_true(use(&b, GOOD, 1, 400));
	assert_int_equal(b.found, 2);
	close_bench(&b);
}

/* One that would not fit if all others went is refused, and puts out nobody. */
static void test_too_large(void **state)
{
	struct message_made m;
	struct bench b;

	(void)state;
	open_bench(&b, 0, 0, 900);
	define(&b, GOOD, 1, 300);
	begin(&m, 1, NOON_S);
	add_definition(&m, 301, 64, 4);
	deliver(&b, &m, GOOD);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_LIMIT), 1);
	assert_int_equal(sum_evicted(&b), 0);
	assert_true(use(&b, GOOD, 1, 300));
	close_bench(&b);
}

/* Data of an id whose definition was refused waits for nothing, until there was one that fits. */
static void test_refused_waits_not(void **state)
{
	struct collector_limits limits = limits_of(0, 0, 900);
	struct message_made m;
	struct bench b;

	(void)state;
	limits.hold_s = 30;
	limits.hold_session_bytes = 4096;
	limits.hold_bytes = 16384;
	open_limited(&b, limits);
	begin(&m, 1, NOON_S);
	add_definition(&m, 301, 64, 4);
	deliver(&b, &m, GOOD);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_LIMIT), 1);
	assert_false(use(&b, GOOD, 1, 301));
	assert_int_equal(stat_get(b.stat, STAT_SET_NO_TEMPLATE), 1);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
	define(&b, GOOD, 1, 301);
	assert_true(use(&b, GOOD, 1, 301));
	wait_s(&b, 2000);
	collector_tick(b.collector, clock_mono_ms());
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_EXPIRED), 1);
	assert_false(use(&b, GOOD, 1, 301));
	assert_int_equal(stat_get(b.stat, STAT_SET_NO_TEMPLATE), 1);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 1);
	close_bench(&b);
}

/* Records of 300 have 12 octets until noon, 2 from then on. */
static void redefine(struct bench *b)
{
	struct message_made m;

	begin(&m, 1, NOON_S - 100);
	add_definition(&m, 300, 3, 4);
	deliver(b, &m, GOOD);
	assert_true(use_at(b, GOOD, 1, 300, NOON_S - 90));
	define_at(b, GOOD, 1, 300, 2, NOON_S);
}

static void test_late(void **state)
{
	struct message_made m;
	struct bench b;

	(void)state;
	open_bench(&b, 0, 0, 0);
	redefine(&b);
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S - 1));
	assert_int_equal(b.width, 12);
	assert_int_equal(stat_get(b.stat, STAT_SETS_LATE), 1);
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S));
	assert_int_equal(b.width, 2);
	/* A late copy of the definition takes nothing back, and its data is read by it. */
	begin(&m, 1, NOON_S - 50);
	add_definition(&m, 300, 3, 4);
	add_data(&m, 300);
	deliver(&b, &m, GOOD);
	assert_int_equal(b.width, 12);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_LATE), 1);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_CHANGED), 1);
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S + 1));
	assert_int_equal(b.width, 2);
	/* Both are in the account until the old one is of no use. */
	collector_tick(b.collector, clock_mono_ms() + 59000);
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S - 1));
	assert_int_equal(b.width, 12);
	/* While late data comes it is of use, however long ago its definition was replaced. */
	for (int i = 0; i < 3; i++) {
		wait_s(&b, 40);
		collector_tick(b.collector, clock_mono_ms());
		assert_true(use_at(&b, GOOD, 1, 300, NOON_S - 1));
		assert_int_equal(b.width, 12);
	}
	wait_s(&b, 61);
	collector_tick(b.collector, clock_mono_ms());
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S - 1));
	assert_int_equal(b.width, 2);
	assert_int_equal(stat_get(b.stat, STAT_SETS_LATE), 6);
	close_bench(&b);
}

/* Its definition came again with an earlier time: then it was in force at that time. */
static void test_late_refresh(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 0, 0, 0);
	redefine(&b);
	define_at(&b, GOOD, 1, 300, 2, NOON_S - 10);
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S - 5));
	assert_int_equal(b.width, 2);
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S - 11));
	assert_int_equal(b.width, 12);
	/* A third definition, and the first is gone. */
	define_at(&b, GOOD, 1, 300, 6, NOON_S + 10);
	assert_true(use_at(&b, GOOD, 1, 300, NOON_S - 11));
	assert_int_equal(b.width, 2);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session), cmocka_unit_test(test_flood_of_ids), cmocka_unit_test(test_evictions_of_message),
		cmocka_unit_test(test_exporter),   cmocka_unit_test(test_flood), cmocka_unit_test(test_evicted_in_message),
		cmocka_unit_test(test_samples_go_first),
		cmocka_unit_test(test_evicted_of_another),
		cmocka_unit_test(test_used_by_lists), cmocka_unit_test(test_too_large), cmocka_unit_test(test_refused_waits_not), cmocka_unit_test(test_late),	cmocka_unit_test(test_late_refresh),
		cmocka_unit_test(test_list_of_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
