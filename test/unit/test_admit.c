/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: who is heard is what `exporters` says; a flood of forged sources costs the listed ones nothing and has its caps.
 * Method: the index against a walk over all entries; buckets by a clock of our own; a million sources, among which a
 * few exporters go on, with sessions, memory and ledger looked at in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/wr.h"
#include "collector/admit.h"

static int64_t now_ms = 1000000;

int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
	return now_ms;
}

static uint64_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % below;
}

/* ---- who holds ---- */

/* Few networks, so that entries meet. */
static struct addr any_addr(void)
{
	struct addr a = { .bytes = any(3) == 0 ? 16 : 4 };

	for (uint8_t i = 0; i < a.bytes; i++)
		a.octets[i] = any(4) == 0 ? (uint8_t)any(3) : 10;
	return a;
}

static struct exporter_entry any_entry(void)
{
	struct exporter_entry e = { .net = any_addr() };

	e.prefix_bits = any(2) == 0 ? e.net.bytes * 8u : any(e.net.bytes * 8u + 1);
	e.has_domain = any(4) == 0;
	e.domain = any(2);
	e.has_port = any(4) == 0;
	e.port = (uint16_t)any(2);
	return e;
}

static const struct exporter_entry *walk_entries(const struct exporter_entry *entries, size_t count,
						 const struct addr *peer, uint16_t port, const uint32_t *domain)
{
	for (size_t i = 0; i < count; i++) {
		const struct exporter_entry *e = &entries[i];

		if (addr_in_prefix(peer, &e->net, e->prefix_bits) && (!e->has_port || e->port == port) &&
		    (domain == NULL || !e->has_domain || e->domain == *domain))
			return e;
	}
	return NULL;
}

static void test_index(void **state)
{
	const struct collector_policy closed = { .is_closed = true };
	struct exporter_entry entries[40];
	struct admit *a;
	size_t found = 0;

	(void)state;
	must(admit_new(&a) == ERR_OK);
	seed = 1;
	for (int run = 0; run < 500; run++) {
		size_t count = any(40);

		for (size_t i = 0; i < count; i++)
			entries[i] = any_entry();
		admit_set(a, entries, count, &closed);
		for (int k = 0; k < 200; k++) {
			struct origin origin = { .peer = any_addr(), .port = (uint16_t)any(2) };
			uint32_t domain = any(2);
			const struct exporter_entry *want = walk_entries(entries, count, &origin.peer, origin.port, &domain);
			bool is_in = walk_entries(entries, count, &origin.peer, origin.port, NULL) != NULL;

			assert_ptr_equal(admit_find(a, &origin.peer, origin.port, domain), want);
			assert_int_equal(admit_unit(a, &origin), is_in ? COLLECTOR_STAT_COUNT : STAT_UNIT_NOT_LISTED);
			found += want != NULL;
		}
	}
	assert_true(found > 10000 && found < 90000);
	admit_free(a);
}

/* ---- rates ---- */

static size_t admitted(struct admit *a, const char *from, size_t count)
{
	struct origin origin = { .port = 1 };
	size_t n = 0;

	must(addr_parse(from, &origin.peer) == ERR_OK);
	for (size_t i = 0; i < count; i++)
		n += admit_unit(a, &origin) == COLLECTOR_STAT_COUNT;
	return n;
}

static void test_rates(void **state)
{
	struct exporter_entry entries[] = {
		{ .net = addr_of_v4(0x0a000001), .prefix_bits = 32, .rate = 100 },
		{ .net = addr_of_v4(0x0a000000), .prefix_bits = 8 },
		{ .net = addr_of_v4(0x0b000000), .prefix_bits = 8, .rate = 3 },
	};
	const struct collector_policy policy = { .unknown_rate = 10 };
	const struct collector_policy open = { 0 };
	struct origin origin = { .peer = addr_of_v4(0x0c000001) };
	struct admit *a;

	(void)state;
	must(admit_new(&a) == ERR_OK);
	admit_set(a, entries, 3, &policy);
	assert_int_equal(admitted(a, "10.0.0.1", 1000), 100); /* what a second brings */
	assert_int_equal(admitted(a, "10.0.0.2", 1000), 1000);
	assert_int_equal(admitted(a, "11.0.0.1", 2) + admitted(a, "11.0.0.2", 1000), 3); /* together */
	assert_int_equal(admitted(a, "12.0.0.1", 4) + admitted(a, "2001:db8::1", 1000), 10);
	assert_int_equal(admit_unit(a, &origin), STAT_UNIT_RATE);
	now_ms += 10;
	assert_int_equal(admitted(a, "10.0.0.1", 1000), 1);
	assert_int_equal(admitted(a, "12.0.0.1", 1000), 0);
	now_ms += 95;
	assert_int_equal(admitted(a, "10.0.0.1", 1000), 9);
	assert_int_equal(admitted(a, "12.0.0.1", 1000), 1);
	now_ms += 5; /* halves add up */
	assert_int_equal(admitted(a, "10.0.0.1", 1000), 1);
	now_ms += INT64_C(1) << 40;
	assert_int_equal(admitted(a, "10.0.0.1", 1000), 100);
	assert_int_equal(admitted(a, "12.0.0.1", 1000), 10);
	/* Nothing is saved up beyond that, however it comes. */
	now_ms += 5000;
	assert_int_equal(admitted(a, "10.0.0.1", 1), 1);
	now_ms += 900;
	assert_int_equal(admitted(a, "10.0.0.1", 1000), 100);
	/* A second in steps of one millisecond: the rate, no more. */
	for (int i = 0, n = 0; i < 1000; i++) {
		now_ms++;
		n += (int)admitted(a, "10.0.0.1", 10);
		if (i == 999)
			assert_int_equal(n, 100);
	}
	admit_set(a, entries, 0, &open);
	assert_int_equal(admitted(a, "10.0.0.1", 5000), 5000);
	admit_free(a);
}

/* ---- a flood ---- */

struct bench {
	struct stat_set *stat;
	struct collector *collector;
	size_t flows[3]; /* by exporter; the first is everybody else */
	size_t live;
	size_t live_unknown;
};

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	(void)ctx;
	(void)s;
	(void)t;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	(void)ctx;
	(void)t;
}

static void session_gone_seen(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
}

static void message_seen(void *ctx, const struct message *m, struct session *s)
{
	(void)ctx;
	(void)m;
	(void)s;
}

static size_t records_seen(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			   const struct record *r, size_t count, enum collector_stat *reason)
{
	struct bench *b = ctx;

	(void)m;
	(void)t;
	(void)r;
	(void)reason;
	b->flows[s->peer.octets[0] == 10 ? s->peer.octets[3] : 0] += count;
	return 0;
}

static void options_seen(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			 const struct record *r, size_t count)
{
	(void)ctx;
	(void)m;
	(void)s;
	(void)t;
	(void)r;
	(void)count;
}

static const struct collector_ops ops = {
	.tmpl_new = tmpl_new_seen,
	.tmpl_gone = tmpl_gone_seen,
	.session_gone = session_gone_seen,
	.message_begin = message_seen,
	.records = records_seen,
	.options = options_seen,
	.message_end = message_seen,
};

static void open_bench(struct bench *b, uint32_t sessions_max)
{
	const struct collector_limits limits = { sessions_max, 4096, 1024, 64, 1800, 7200 };

	memset(b, 0, sizeof(*b));
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &b->stat) == ERR_OK);
	must(collector_new(&limits, &ops, b, b->stat, &b->collector) == ERR_OK);
}

static void close_bench(struct bench *b)
{
	collector_free(b->collector);
	stat_set_free(b->stat);
}

static uint64_t sum_of(const struct bench *b, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++) {
		if (strcmp(collector_stat_descs[i].name, name) == 0)
			sum += stat_get(b->stat, i);
	}
	return sum;
}

static void check_ledger(const struct bench *b, uint64_t units)
{
	assert_int_equal(units, sum_of(b, "units_refused") + sum_of(b, "messages"));
	assert_int_equal(sum_of(b, "messages"), sum_of(b, "messages_read") + sum_of(b, "messages_malformed"));
	assert_int_equal(sum_of(b, "data_sets"), sum_of(b, "data_sets_decoded") + sum_of(b, "data_sets_refused"));
	assert_int_equal(sum_of(b, "records"), b->flows[0] + b->flows[1] + b->flows[2]);
}

enum kind { EMPTY, TEMPLATE, DATA, BOTH, V5 };

/* IPFIX with template 256 of one element of four octets, two records of it, or both; or v5 of one record. */
static size_t make_message(enum kind kind, uint32_t sequence, uint32_t domain, uint8_t out[256])
{
	bool has_template = kind == TEMPLATE || kind == BOTH;
	bool has_data = kind == DATA || kind == BOTH;
	uint16_t bytes = (uint16_t)(16 + (has_template ? 12 : 0) + (has_data ? 12 : 0));
	struct wr w = wr_of(out, 256);

	memset(out, 0, 256);
	if (kind == V5) {
		wr_u16(&w, 5);
		wr_u16(&w, 1);
		return 24 + 48;
	}
	wr_u16(&w, 10);
	wr_u16(&w, bytes);
	wr_u32(&w, 1700000000);
	wr_u32(&w, sequence);
	wr_u32(&w, domain);
	if (has_template) {
		wr_u16(&w, 2);
		wr_u16(&w, 12);
		wr_u16(&w, 256);
		wr_u16(&w, 1);
		wr_u16(&w, 8);
		wr_u16(&w, 4);
	}
	if (has_data) {
		wr_u16(&w, 256);
		wr_u16(&w, 12);
	}
	return bytes;
}

static void send_from(struct bench *b, uint32_t from, enum kind kind, uint32_t sequence, uint32_t domain)
{
	struct origin origin = { .peer = addr_of_v4(from), .port = 2055, .receive_ms = INT64_C(1700000000000) };
	uint8_t octets[256];

	collector_receive(b->collector, octets, make_message(kind, sequence, domain, octets), &origin);
}

static bool count_session(void *ctx, struct session *s)
{
	struct bench *b = ctx;

	b->live++;
	b->live_unknown += s->entry == NULL;
	return true;
}

#define FLOOD 1000000
#define SESSIONS_MAX 4000
#define UNKNOWN_MAX 1000
#define LISTED 0x0a000001	/* 10.0.0.1 */
#define KNOWN_TO_US 0x0a000002 /* an exporter that nobody listed, but that was here before the flood */

static const struct exporter_entry listed = { .net = { { 10, 0, 0, 1 }, 4 }, .prefix_bits = 32 };

/* What a forged source sends first, and only. */
static void flood(bool is_closed)
{
	const struct collector_policy policy = { .is_closed = is_closed, .unknown_sessions_max = UNKNOWN_MAX };
	struct mallinfo2 before = mallinfo2();
	uint64_t units = 0;
	struct bench b;

	open_bench(&b, SESSIONS_MAX);
	collector_set_policy(b.collector, &policy);
	collector_set_exporters(b.collector, &listed, 1, 1);
	for (uint32_t i = 0; i < 4; i++, units++)
		send_from(&b, KNOWN_TO_US, BOTH, 2 * i, 1);
	seed = 5;
	for (uint32_t i = 0; i < FLOOD; i++, units++) {
		now_ms += i % 10 == 0;
		send_from(&b, 0xc0000000u + i, (enum kind)any(5), any(UINT32_MAX), any(10));
		if (i % 500 == 0) { /* new domains of the exporter come in, too */
			send_from(&b, LISTED, TEMPLATE, 0, i / 5000);
			send_from(&b, LISTED, DATA, 0, i / 5000);
			send_from(&b, KNOWN_TO_US, DATA, 8 + i / 250, 1);
			units += 3;
		}
	}
	check_ledger(&b, units);
	collector_each_session(b.collector, count_session, &b);
	assert_true(b.live_unknown <= UNKNOWN_MAX);
	assert_int_equal(b.live - b.live_unknown, FLOOD / 5000);
	assert_int_equal(b.flows[1], FLOOD / 500 * 2);
	if (is_closed) {
		assert_int_equal(b.live_unknown, 0);
		assert_int_equal(b.flows[0] + b.flows[2], 0);
		assert_int_equal(stat_get(b.stat, STAT_UNIT_NOT_LISTED), units - FLOOD / 500 * 2);
		assert_int_equal(stat_get(b.stat, STAT_SESSIONS_NEW), FLOOD / 5000);
	} else {
		assert_int_equal(b.flows[2], FLOOD / 500 * 2 + 8);
		assert_true(stat_get(b.stat, STAT_SESSIONS_EVICTED) > UNKNOWN_MAX);
		assert_int_equal(stat_get(b.stat, STAT_UNIT_NOT_LISTED), 0);
	}
	/* Of sessions, not of sources: 6 KiB for each that there may be, and the collector's own. */
	assert_true(mallinfo2().uordblks < before.uordblks + UNKNOWN_MAX * 6144 + (16u << 20));
	close_bench(&b);
}

static void test_flood(void **state)
{
	(void)state;
	flood(false);
}

static void test_flood_refused(void **state)
{
	(void)state;
	flood(true);
}

/* Room is made for an exporter that is listed, whoever else must go; the listed go for nobody. */
static void test_room(void **state)
{
	struct exporter_entry entries[] = { { .net = addr_of_v4(0x0a000000), .prefix_bits = 24 } };
	const struct collector_policy policy = { .unknown_sessions_max = 0 };
	struct bench b;

	(void)state;
	open_bench(&b, 20);
	collector_set_policy(b.collector, &policy);
	collector_set_exporters(b.collector, entries, 1, 1);
	for (uint32_t i = 0; i < 20; i++) {
		for (uint32_t k = 0; k < 5; k++)
			send_from(&b, 0xc0000000u + i, BOTH, 2 * k, 1);
	}
	send_from(&b, 0xc0000100u, BOTH, 0, 1); /* all of the others are as good */
	assert_int_equal(stat_get(b.stat, STAT_UNIT_SESSIONS), 1);
	for (uint32_t i = 0; i < 20; i++)
		send_from(&b, 0x0a000001, BOTH, 0, i);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_EVICTED), 20);
	collector_each_session(b.collector, count_session, &b);
	assert_int_equal(b.live, 20);
	assert_int_equal(b.live_unknown, 0);
	for (uint32_t i = 0; i < 20; i++)
		send_from(&b, 0xc0000200u + i, BOTH, 0, 1);
	send_from(&b, 0x0a000001, BOTH, 0, 99);
	assert_int_equal(stat_get(b.stat, STAT_UNIT_SESSIONS), 22);
	check_ledger(&b, 100 + 1 + 20 + 20 + 1);
	close_bench(&b);
}

/* What a reload closes out is not heard any more, and is let in again. */
static void test_reload(void **state)
{
	struct exporter_entry entries[] = {
		{ .net = addr_of_v4(0x0a000001), .prefix_bits = 32, .has_domain = true, .domain = 1 },
		{ .net = addr_of_v4(0x0b000001), .prefix_bits = 32 },
	};
	struct collector_policy policy = { 0 };
	struct bench b;

	(void)state;
	open_bench(&b, 20);
	send_from(&b, 0x0a000001, BOTH, 0, 1);
	send_from(&b, 0x0a000001, BOTH, 0, 2);
	policy.is_closed = true;
	collector_set_policy(b.collector, &policy);
	collector_set_exporters(b.collector, entries, 2, 1);
	send_from(&b, 0x0a000001, DATA, 2, 1);
	send_from(&b, 0x0a000001, DATA, 2, 2); /* its address has an entry, its domain not */
	send_from(&b, 0x0a000001, DATA, 0, 3);
	assert_int_equal(stat_get(b.stat, STAT_UNIT_NOT_LISTED), 2);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_NEW), 2); /* what is refused has no state */
	collector_set_exporters(b.collector, &entries[1], 1, 2);
	send_from(&b, 0x0a000001, DATA, 4, 1);
	assert_int_equal(stat_get(b.stat, STAT_UNIT_NOT_LISTED), 3);
	policy.is_closed = false;
	collector_set_policy(b.collector, &policy);
	collector_set_exporters(b.collector, entries, 2, 3);
	send_from(&b, 0x0a000001, DATA, 4, 1);
	send_from(&b, 0x0a000001, DATA, 2, 2);
	assert_int_equal(b.flows[1], 10);
	check_ledger(&b, 8);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index), cmocka_unit_test(test_rates), cmocka_unit_test(test_flood),
		cmocka_unit_test(test_flood_refused), cmocka_unit_test(test_room), cmocka_unit_test(test_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
