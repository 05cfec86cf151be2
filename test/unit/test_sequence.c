/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what sequence numbers say is what happened: missing, late, twice, begun anew; and an exporter that counts
 * otherwise than its format says is found out, and accuses nobody of loss.
 * Method: tables of short histories; exporters that count in each way that real ones do; random histories of a
 * simulated exporter and network against an account that keeps a list of all that was sent; and random numbers, for
 * which only what must always hold is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "collector/sequence.h"

#define T0_MS INT64_C(1700000000000)
#define UNKNOWN SEQUENCE_GAP_UNKNOWN

struct sums {
	uint64_t missed;
	uint64_t late;
	uint64_t reordered;
	uint64_t duplicated;
	uint64_t restarts;
	uint64_t rules;
};

static struct sequence_account take(struct sequence *q, const struct message *m, const struct sequence_units *u,
				    int64_t now_ms, struct sums *sums)
{
	struct sequence_account a = sequence_take(q, m, u, now_ms);

	sums->missed += a.missed;
	sums->late += a.late;
	sums->reordered += a.is_reordered;
	sums->duplicated += a.is_duplicated;
	sums->restarts += a.is_restart;
	sums->rules += a.is_new_rule;
	assert_true(sums->late <= sums->missed);
	assert_true(a.is_reordered + a.is_duplicated + a.is_restart <= 1);
	assert_true(a.gap == UNKNOWN || a.gap == a.missed || (a.gap == 0 && a.is_new_rule));
	return a;
}

static void check(const char *name, const struct sums *got, const struct sums *want)
{
	if (memcmp(got, want, sizeof(*got)) != 0)
		fail_msg("%s: missed %u late %u reordered %u duplicated %u restarts %u rules %u", name,
			 (unsigned)got->missed, (unsigned)got->late, (unsigned)got->reordered,
			 (unsigned)got->duplicated, (unsigned)got->restarts, (unsigned)got->rules);
}

/* ---- histories ---- */

struct step {
	uint32_t sequence;
	uint32_t uptime_ms;
	int64_t export_s;
};
#define STEPS_MAX 12
#define SEC(s) ((uint32_t)(s) * 1000u)

/* One unit a message; an uptime of 0 stands for a format without. */
static void test_histories(void **state)
{
	static const struct {
		const char *name;
		struct step steps[STEPS_MAX];
		size_t count;
		struct sums want;
	} cases[] = {
		{ "in order", { { 7, 0, 0 }, { 8, 0, 0 }, { 9, 0, 0 } }, 3, { 0 } },
		{ "a gap", { { 7, 0, 0 }, { 8, 0, 0 }, { 12, 0, 0 }, { 13, 0, 0 } }, 4, { .missed = 3 } },
		{ "a large gap", { { 7, 0, 0 }, { 7 + (1u << 24), 0, 0 } }, 2, { .missed = (1u << 24) - 1 } },
		{ "too far for a gap", { { 7, 0, 0 }, { 9 + (1u << 24), 0, 0 }, { 10 + (1u << 24), 0, 0 } }, 3,
		  { .restarts = 1 } },
		{ "wraps", { { 0xfffffffe, 0, 0 }, { 0xffffffff, 0, 0 }, { 0, 0, 0 }, { 1, 0, 0 } }, 4, { 0 } },
		{ "wraps with a gap", { { 0xfffffffe, 0, 0 }, { 1, 0, 0 }, { 2, 0, 0 } }, 3, { .missed = 2 } },
		{ "wraps with one late",
		  { { 0xfffffffe, 0, 0 }, { 0, 0, 0 }, { 0xffffffff, 0, 0 }, { 1, 0, 0 } }, 4,
		  { .missed = 1, .late = 1, .reordered = 1 } },
		{ "wraps, and the number 0 is late",
		  { { 0xffffffff, 0, 5 }, { 1, 0, 5 }, { 0, 0, 5 }, { 2, 0, 5 } }, 4,
		  { .missed = 1, .late = 1, .reordered = 1 } },
		{ "a copy of the last", { { 7, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 }, { 9, 0, 6 } }, 4, { .duplicated = 1 } },
		{ "each twice", { { 7, 0, 5 }, { 7, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 }, { 9, 0, 6 }, { 9, 0, 6 } }, 6,
		  { .duplicated = 3 } },
		{ "six copies", { { 7, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 },
				  { 8, 0, 5 }, { 9, 0, 6 } }, 9, { .duplicated = 6 } },
		{ "an old copy", { { 7, 0, 5 }, { 8, 0, 5 }, { 9, 0, 5 }, { 10, 0, 5 }, { 7, 0, 5 }, { 11, 0, 6 } }, 6,
		  { .duplicated = 1 } },
		{ "a copy of number 0", { { 0, 0, 5 }, { 1, 0, 5 }, { 0, 0, 5 }, { 2, 0, 6 } }, 4, { .duplicated = 1 } },
		{ "a copy of what was late",
		  { { 7, 0, 5 }, { 9, 0, 5 }, { 8, 0, 5 }, { 8, 0, 5 }, { 10, 0, 5 } }, 5,
		  { .missed = 1, .late = 1, .reordered = 1, .duplicated = 1 } },
		{ "late by one", { { 7, 0, 5 }, { 9, 0, 5 }, { 8, 0, 5 }, { 10, 0, 5 } }, 4,
		  { .missed = 1, .late = 1, .reordered = 1 } },
		{ "late by many",
		  { { 1, 0, 5 }, { 3, 0, 5 }, { 4, 0, 5 }, { 5, 0, 5 }, { 9, 0, 5 }, { 10, 0, 5 }, { 2, 0, 5 }, { 11, 0, 5 } },
		  8, { .missed = 4, .late = 1, .reordered = 1 } },
		{ "late at the very start", { { 7, 0, 5 }, { 6, 0, 5 }, { 8, 0, 5 } }, 3, { .reordered = 1 } },
		{ "rebooted, low number, then loss",
		  { { 9999, SEC(9000), 100 }, { 10000, SEC(9000), 100 }, { 1, 1001, 130 }, { 2, 1002, 130 },
		    { 22, 1003, 130 }, { 23, 1004, 130 } }, 6, { .missed = 19, .restarts = 1 } },
		{ "rebooted, number ahead",
		  { { 10, SEC(900), 100 }, { 50, SEC(1), 130 }, { 51, SEC(2), 131 } }, 3, { .restarts = 1 } },
		{ "rebooted after more than 2^31 ms",
		  { { 10000, 3000000000u, 100 }, { 1, SEC(1), 130 }, { 4, SEC(2), 131 } }, 3,
		  { .missed = 2, .restarts = 1 } },
		{ "rebooted, and its clock is years off until it knows better",
		  { { 5000, SEC(9000), 1700000000 }, { 0, SEC(1), 0 }, { 1, SEC(2), 1 }, { 2, SEC(3), 1700000060 } }, 4,
		  { .restarts = 1 } },
		{ "the clock steps by years, to and fro",
		  { { 5, SEC(9000), 1700000000 }, { 6, SEC(9001), 100 }, { 7, SEC(9002), 4294967295 },
		    { 8, SEC(9003), 1700000003 } }, 4, { 0 } },
		{ "uptime falls, numbers go on", { { 10, SEC(900), 100 }, { 11, SEC(1), 130 } }, 2, { 0 } },
		{ "uptime wraps", { { 10, 4294967000u, 100 }, { 11, 704, 101 }, { 12, 1704, 102 } }, 3, { 0 } },
		{ "uptime wraps, with loss",
		  { { 10, 4294967000u, 100 }, { 15, 1704, 102 }, { 16, 1800, 102 } }, 3, { .missed = 4 } },
		{ "uptime wraps, and one is late",
		  { { 10, 4294967000u, 100 }, { 12, 1704, 102 }, { 11, 4294967200u, 100 }, { 13, 1800, 102 } }, 4,
		  { .missed = 1, .late = 1, .reordered = 1 } },
		{ "late by a second",
		  { { 10, SEC(900), 100 }, { 12, SEC(901), 101 }, { 11, SEC(900), 100 }, { 13, SEC(901), 101 } }, 4,
		  { .missed = 1, .late = 1, .reordered = 1 } },
		{ "restart to 0", { { 5000, 0, 100 }, { 5001, 0, 101 }, { 0, 0, 130 }, { 1, 0, 131 } }, 4, { .restarts = 1 } },
		{ "restart to a number that was here", { { 0, 0, 100 }, { 1, 0, 101 }, { 2, 0, 102 }, { 0, 0, 130 }, { 1, 0, 131 } },
		  5, { .restarts = 1 } },
		{ "restart far below", { { 0x70000000, 0, 0 }, { 0, 0, 0 }, { 1, 0, 0 } }, 3, { .restarts = 1 } },
		{ "no clock moves: three in a row",
		  { { 10000, 0, 100 }, { 1, 0, 100 }, { 2, 0, 100 }, { 3, 0, 100 }, { 4, 0, 100 }, { 8, 0, 100 } }, 6,
		  { .missed = 3, .reordered = 2, .restarts = 1 } },
		{ "two in a row are late",
		  { { 10000, 0, 100 }, { 1, 0, 100 }, { 2, 0, 100 }, { 10001, 0, 100 }, { 3, 0, 100 }, { 10002, 0, 100 } },
		  6, { .reordered = 3 } },
		{ "three that do not follow on",
		  { { 10000, 0, 100 }, { 5, 0, 100 }, { 7, 0, 100 }, { 9, 0, 100 }, { 10001, 0, 100 } }, 5,
		  { .reordered = 3 } },
		{ "a burst that fills its gap",
		  { { 10, 0, 100 }, { 14, 0, 100 }, { 11, 0, 100 }, { 12, 0, 100 }, { 13, 0, 100 }, { 15, 0, 100 } }, 6,
		  { .missed = 3, .late = 3, .reordered = 3 } },
		{ "a gap of before the restart is not filled",
		  { { 1, 0, 100 }, { 5, 0, 100 }, { 0xf0000000, 0, 100 }, { 5, 0, 100 }, { 2, 0, 100 } }, 5,
		  { .missed = 3, .reordered = 1, .restarts = 2 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct sequence_units one = { .records = 1, .is_known = true };
		struct sums sums = { 0 };
		struct sequence q;

		sequence_init(&q, VERSION_NF9);
		for (size_t k = 0; k < cases[i].count; k++) {
			const struct step *step = &cases[i].steps[k];
			struct message m = { .sequence = step->sequence,
					     .uptime_ms = step->uptime_ms,
					     .has_uptime = step->uptime_ms != 0,
					     .export_ms = step->export_s * 1000 };

			(void)take(&q, &m, &one, T0_MS, &sums);
		}
		check(cases[i].name, &sums, &cases[i].want);
		assert_string_equal(sequence_anomaly(&q), "");
	}
}

/* Gaps wait for half a minute, and there is room for eight: what comes later is late, and fills none. */
static void test_gaps_end(void **state)
{
	const struct sequence_units one = { .records = 1, .is_known = true };
	struct message m = { .export_ms = T0_MS };
	struct sums sums = { 0 };
	struct sequence q;

	(void)state;
	sequence_init(&q, VERSION_NF9);
	for (uint32_t i = 0; i < 10; i++) {
		m.sequence = i * 10;
		(void)take(&q, &m, &one, T0_MS + i, &sums);
	}
	assert_int_equal(sums.missed, 81);
	m.sequence = 5; /* of the first gap, which had to go */
	assert_true(take(&q, &m, &one, T0_MS + 11, &sums).is_reordered);
	assert_int_equal(sums.late, 0);
	m.sequence = 85;
	assert_int_equal(take(&q, &m, &one, T0_MS + 8 + 30000, &sums).late, 1);
	m.sequence = 84;
	assert_int_equal(take(&q, &m, &one, T0_MS + 10 + 30000, &sums).late, 0);
	m.sequence = 50;
	assert_true(take(&q, &m, &one, T0_MS + 11 + 30000, &sums).is_duplicated);
}

/* The gap before the message at hand: known from the second message on, and never after a restart. */
static void test_gap(void **state)
{
	static const struct {
		uint32_t sequence;
		uint32_t uptime_ms;
		int64_t gap;
	} steps[] = {
		{ 100, 500000, UNKNOWN }, { 101, 501000, 0 }, { 105, 502000, 3 },  { 104, 502000, 0 },
		{ 106, 503000, 0 },	  { 106, 503000, 0 }, { 1, 1000, UNKNOWN }, { 2, 2000, 0 },
	};
	const struct sequence_units one = { .records = 1, .is_known = true };
	struct sequence q;

	(void)state;
	sequence_init(&q, VERSION_NF9);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct message m = { .sequence = steps[i].sequence,
				     .uptime_ms = steps[i].uptime_ms,
				     .has_uptime = true,
				     .export_ms = T0_MS + steps[i].uptime_ms };
		int64_t gap = sequence_take(&q, &m, &one, T0_MS).gap;

		if (gap != steps[i].gap)
			fail_msg("step %zu: gap %lld", i, (long long)gap);
	}
	sequence_lost(&q);
	assert_int_equal(sequence_take(&q, &(struct message){ .sequence = 50 }, &one, T0_MS).gap, UNKNOWN);
}

/* A set that nobody can read: the next number cannot be told, but of v9, which counts messages. */
static void test_unread(void **state)
{
	const struct sequence_units known = { .records = 2, .is_known = true };
	const struct sequence_units unread = { .records = 2 };
	struct message m = { .sequence = 10 };
	struct sequence q;

	(void)state;
	sequence_init(&q, VERSION_IPFIX);
	(void)sequence_take(&q, &m, &known, T0_MS);
	m.sequence = 15;
	assert_int_equal(sequence_take(&q, &m, &unread, T0_MS).gap, 3);
	m.sequence = 77;
	assert_int_equal(sequence_take(&q, &m, &known, T0_MS).gap, UNKNOWN);
	m.sequence = 80;
	assert_int_equal(sequence_take(&q, &m, &known, T0_MS).gap, 1);

	sequence_init(&q, VERSION_NF9);
	m.sequence = 10;
	(void)sequence_take(&q, &m, &unread, T0_MS);
	m.sequence = 12;
	assert_int_equal(sequence_take(&q, &m, &unread, T0_MS).gap, 1);
}

/* A message, or, without number, sets of the stretch of that step which wait no longer. */
struct held_step {
	uint32_t sequence;
	uint32_t records;
	uint32_t held;
	int64_t gap;
	bool is_refused;
	bool is_done;
	uint32_t of; /* step, from 0 */
};
#define M(sequence, records, held, gap) { sequence, records, held, gap, false, false, 0 }
#define REFUSED(sequence, records, gap) { sequence, records, 0, gap, true, false, 0 }
#define DONE(of, sets, records) { 0, records, sets, 0, false, true, of }
#define DROPPED(of) { 0, 0, 1, 0, true, true, of }

/* What waits is counted when it is known, and loss meanwhile behind it. */
static void test_stretches(void **state)
{
	static const struct {
		const char *name;
		uint16_t version;
		struct held_step steps[STEPS_MAX];
		size_t count;
		struct sums want;
	} cases[] = {
		{ "nothing is missing", VERSION_IPFIX,
		  { M(90, 10, 0, UNKNOWN), M(100, 10, 1, 0), M(113, 7, 0, UNKNOWN), DONE(1, 1, 3), M(120, 1, 0, 0), M(121, 1, 0, 0) },
		  6, { 0 } },
		{ "from the first message on", VERSION_IPFIX,
		  { M(100, 0, 2, UNKNOWN), DONE(0, 1, 4), DONE(0, 1, 5), M(109, 1, 0, 0), M(112, 1, 0, 2) }, 5, { .missed = 2 } },
		{ "missing before it", VERSION_IPFIX,
		  { M(90, 10, 0, UNKNOWN), M(104, 10, 1, 4), DONE(1, 1, 3), M(117, 1, 0, 0) }, 4, { .missed = 4 } },
		{ "missing in it", VERSION_IPFIX,
		  { M(90, 10, 0, UNKNOWN), M(100, 10, 1, 0), M(118, 7, 0, UNKNOWN), DONE(1, 1, 3), M(125, 1, 0, 5), M(126, 1, 0, 0) },
		  6, { .missed = 5 } },
		{ "sets of several messages, in whatever order", VERSION_IPFIX,
		  { M(100, 0, 1, UNKNOWN), M(103, 2, 2, UNKNOWN), M(115, 1, 1, UNKNOWN), DONE(1, 2, 10), DONE(2, 1, 4), M(120, 5, 0, UNKNOWN),
		    DONE(0, 1, 3), M(125, 1, 0, 0) }, 8, { 0 } },
		{ "one was dropped", VERSION_IPFIX,
		  { M(100, 0, 2, UNKNOWN), M(109, 1, 0, UNKNOWN), DONE(0, 1, 4), DROPPED(0), M(500, 1, 0, UNKNOWN), M(503, 1, 0, 2) },
		  6, { .missed = 2 } },
		{ "a set of a stretch that was given up", VERSION_IPFIX,
		  { M(100, 0, 2, UNKNOWN), DROPPED(0), M(109, 1, 1, UNKNOWN), DONE(0, 1, 4), M(112, 1, 0, UNKNOWN), DONE(2, 1, 2),
		    M(113, 1, 0, 0) }, 7, { 0 } },
		{ "a message that nobody can read", VERSION_IPFIX,
		  { M(100, 0, 1, UNKNOWN), REFUSED(104, 1, UNKNOWN), M(300, 1, 0, UNKNOWN), DONE(0, 1, 4), M(301, 1, 0, 0) }, 5, { 0 } },
		{ "a copy of the first of it", VERSION_IPFIX,
		  { M(100, 2, 1, UNKNOWN), M(100, 2, 1, UNKNOWN), M(105, 1, 0, UNKNOWN), DONE(0, 1, 3), M(106, 1, 0, 0) }, 5,
		  { .duplicated = 1 } },
		{ "templates alone count nothing", VERSION_IPFIX,
		  { M(100, 2, 1, UNKNOWN), M(105, 0, 0, UNKNOWN), M(105, 1, 0, UNKNOWN), DONE(0, 1, 3), M(106, 1, 0, 0) }, 5, { 0 } },
		{ "an older copy: nobody began anew", VERSION_IPFIX,
		  { M(100, 2, 1, UNKNOWN), M(105, 5, 0, UNKNOWN), M(110, 1, 0, UNKNOWN), M(105, 5, 0, UNKNOWN), DONE(0, 1, 3), M(111, 1, 0, 0),
		    M(112, 1, 0, 0), M(113, 1, 0, UNKNOWN), M(114, 1, 0, 0), M(117, 1, 0, 2) }, 10, { .missed = 2, .reordered = 2 } },
		{ "the exporter began anew meanwhile", VERSION_IPFIX,
		  { M(100, 2, 1, UNKNOWN), M(105, 5, 0, UNKNOWN), DONE(0, 1, 3), M(0, 1, 0, UNKNOWN), M(1, 1, 0, 0) }, 5, { .restarts = 1 } },
		{ "the number wraps", VERSION_IPFIX,
		  { M(0xfffffffe, 1, 1, UNKNOWN), M(2, 5, 0, UNKNOWN), DONE(0, 1, 3), M(7, 1, 0, 0), M(9, 1, 0, 1) }, 5, { .missed = 1 } },
		{ "v9 counts messages", VERSION_NF9,
		  { M(10, 0, 1, UNKNOWN), M(11, 3, 1, 0), DROPPED(0), M(14, 1, 0, 2), DONE(1, 1, 3), M(15, 1, 0, 0) }, 6, { .missed = 2 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t stretches[STEPS_MAX] = { 0 };
		struct sums sums = { 0 };
		struct sequence q;

		sequence_init(&q, cases[i].version);
		for (size_t k = 0; k < cases[i].count; k++) {
			const struct held_step *step = &cases[i].steps[k];
			struct sequence_units u = { .records = step->records,
						    .held = step->is_done ? 0 : step->held,
						    .is_known = step->is_done || (step->held == 0 && !step->is_refused) };
			struct message m = { .sequence = step->sequence };
			struct sequence_account a;

			if (step->is_done) {
				sequence_done(&q, stretches[step->of], step->held, step->is_refused ? NULL : &u);
				continue;
			}
			a = take(&q, &m, &u, T0_MS, &sums);
			stretches[k] = a.stretch;
			if (a.gap != step->gap)
				fail_msg("%s: step %zu: gap %lld", cases[i].name, k, (long long)a.gap);
		}
		check(cases[i].name, &sums, &cases[i].want);
	}
}

/* Only when clock and number both fell: that is when templates of before are worth nothing. */
static void test_reboot(void **state)
{
	static const struct {
		uint32_t sequence;
		uint32_t uptime_ms;
		int64_t export_ms;
		bool has_uptime;
		bool is_reboot;
	} cases[] = {
		{ 0, 1000, T0_MS + 30000, true, true },
		{ 4096, 1000, T0_MS + 30000, true, true },
		{ 4097, 1000, T0_MS + 30000, true, false },  /* not a number to begin with */
		{ 5001, 1000, T0_MS + 30000, true, false },  /* goes on */
		{ 0, 3595000, T0_MS + 30000, true, false },  /* late */
		{ 0, 1000, T0_MS + 30000, false, false },
	};
	const struct sequence_units one = { .records = 1, .is_known = true };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message m = { .sequence = 5000, .uptime_ms = 3600000, .has_uptime = true, .export_ms = T0_MS };
		struct sequence q;

		sequence_init(&q, VERSION_NF9);
		assert_false(sequence_is_reboot(&q, &m));
		(void)sequence_take(&q, &m, &one, T0_MS);
		m.sequence = cases[i].sequence;
		m.uptime_ms = cases[i].uptime_ms;
		m.export_ms = cases[i].export_ms;
		m.has_uptime = cases[i].has_uptime;
		if (sequence_is_reboot(&q, &m) != cases[i].is_reboot)
			fail_msg("case %zu", i);
	}
}

/* ---- exporters ---- */

static uint64_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % below;
}

/* A message of an exporter: up to 30 records, now and then options data or templates. */
static struct sequence_units any_units(void)
{
	struct sequence_units u = { .records = 1 + any(30), .is_known = true };

	if (any(8) == 0) {
		u.options = 1 + any(3);
		u.records += u.options;
	}
	u.definitions = any(6) == 0 ? 1 + any(5) : 0;
	return u;
}

enum way {
	WAY_RECORDS,
	WAY_MESSAGES,
	WAY_FLOWS,
	WAY_DEFINITIONS,
	WAY_LAST,
	WAY_FLOWS_LAST,
	WAY_NOTHING,
	WAY_TEMPLATE, /* a counter for each of three templates */
	WAY_RANDOM
};

struct exporter {
	enum way way;
	uint32_t number;
	uint32_t numbers[3];
};

static uint32_t next_number(struct exporter *e, const struct sequence_units *u)
{
	uint32_t before = e->number;
	uint32_t *own = &e->numbers[any(3)];

	switch (e->way) {
	case WAY_RECORDS:
		e->number += u->records;
		return before;
	case WAY_MESSAGES:
		e->number++;
		return before;
	case WAY_FLOWS:
		e->number += u->records - u->options;
		return before;
	case WAY_DEFINITIONS:
		e->number += u->records + u->definitions;
		return before;
	case WAY_LAST:
		e->number += u->records;
		return e->number;
	case WAY_FLOWS_LAST:
		e->number += u->records - u->options;
		return e->number;
	case WAY_TEMPLATE:
		before = *own;
		*own += u->records;
		return before;
	case WAY_RANDOM:
		return any(UINT32_MAX);
	case WAY_NOTHING:
	default:
		return before;
	}
}

/* How much the exporter's number grows by a message. */
static uint32_t growth(enum way way, const struct sequence_units *u)
{
	struct exporter e = { .way = way };

	(void)next_number(&e, u);
	return e.number;
}

/* A message that the network loses is missing, by what the exporter counts; late, it is found again. */
static void lose_one(struct sequence *q, struct exporter *e, struct sums *sums)
{
	const struct sums before = *sums;
	struct sequence_units lost = any_units();
	struct sequence_units u = any_units();
	struct message late = { .sequence = next_number(e, &lost), .export_ms = T0_MS + 800000 };
	struct message m = { .sequence = next_number(e, &u), .export_ms = T0_MS + 800000 };

	assert_int_equal(take(q, &m, &u, T0_MS + 800000, sums).gap, growth(e->way, &lost));
	assert_int_equal(sums->missed - before.missed, growth(e->way, &lost));
	(void)take(q, &late, &lost, T0_MS + 800001, sums);
	assert_int_equal(sums->late - before.late, growth(e->way, &lost));
	assert_true(take(q, &late, &lost, T0_MS + 800002, sums).is_duplicated);
}

/* Found out soon, said, and from then on exact: nothing is missing until a message really is. */
static void test_wrong_counters(void **state)
{
	static const struct {
		const char *name;
		uint16_t version;
		enum way way;
		bool has_account;
		const char *anomaly;
	} cases[] = {
		{ "IPFIX as it should be", VERSION_IPFIX, WAY_RECORDS, true, "" },
		{ "v9 as it should be", VERSION_NF9, WAY_MESSAGES, true, "" },
		{ "IPFIX, messages (nflow-generator's v5 does it)", VERSION_IPFIX, WAY_MESSAGES, true, "counts messages" },
		{ "v5, messages", VERSION_NF5, WAY_MESSAGES, true, "counts messages" },
		{ "v9, records", VERSION_NF9, WAY_RECORDS, true, "counts records" },
		{ "v9, flows", VERSION_NF9, WAY_FLOWS, true, "counts flows, not options records" },
		{ "v9, records and templates", VERSION_NF9, WAY_DEFINITIONS, true, "counts templates too" },
		{ "IPFIX, templates too", VERSION_IPFIX, WAY_DEFINITIONS, true, "counts templates too" },
		{ "IPFIX, no options records", VERSION_IPFIX, WAY_FLOWS, true, "counts flows, not options records" },
		{ "last record (Open vSwitch's v5)", VERSION_NF5, WAY_LAST, true, "counts the message's own records" },
		{ "last flow (softflowd's IPFIX)", VERSION_IPFIX, WAY_FLOWS_LAST, true,
		  "counts the message's own flows, not options records" },
		{ "IPFIX, never", VERSION_IPFIX, WAY_NOTHING, false, "never counts" },
		{ "v9, never", VERSION_NF9, WAY_NOTHING, false, "never counts" },
		{ "v9, by template", VERSION_NF9, WAY_TEMPLATE, false, "numbers follow no rule" },
		{ "IPFIX, by template", VERSION_IPFIX, WAY_TEMPLATE, false, "numbers follow no rule" },
		{ "v9, random", VERSION_NF9, WAY_RANDOM, false, "numbers follow no rule" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (seed = 1; seed < 40; seed++) {
			uint64_t kept = seed;
			struct exporter e = { cases[i].way, 0xffffff00u, { any(UINT32_MAX), any(UINT32_MAX), any(UINT32_MAX) } };
			struct sequence_account a = { 0 };
			struct sums sums = { 0 };
			struct sequence_units u;
			struct message m = { 0 };
			struct sums before;
			struct sequence q;

			sequence_init(&q, cases[i].version);
			for (uint32_t k = 0; k < 600; k++) {
				u = any_units();
				m.sequence = next_number(&e, &u);
				m.export_ms = T0_MS + k * 1000;
				(void)take(&q, &m, &u, T0_MS + k * 1000, &sums);
			}
			assert_string_equal(sequence_anomaly(&q), cases[i].anomaly);
			/* What it cost to find out was given back; where counters mix, what was between numbers that fit is not. */
			if (sums.missed != sums.late && cases[i].way != WAY_TEMPLATE)
				fail_msg("%s: %u missing, %u given back", cases[i].name, (unsigned)sums.missed, (unsigned)sums.late);
			before = sums;
			for (uint32_t k = 600; k < 800; k++) {
				u = any_units();
				m.sequence = next_number(&e, &u);
				m.export_ms = T0_MS + k * 1000;
				a = take(&q, &m, &u, T0_MS + k * 1000, &sums);
				assert_int_equal(a.gap, cases[i].has_account ? 0 : UNKNOWN);
			}
			check(cases[i].name, &sums, &before);
			if (cases[i].has_account)
				lose_one(&q, &e, &sums);
			seed = kept;
		}
	}
}

/* One of several collectors behind a balancer has a gap before each message: that is loss, and stays counted. */
static void test_a_gap_before_each_message(void **state)
{
	(void)state;
	for (seed = 1; seed < 40; seed++) {
		uint64_t kept = seed;
		uint16_t version = seed % 2 == 0 ? VERSION_IPFIX : VERSION_NF9;
		struct exporter e = { seed % 2 == 0 ? WAY_RECORDS : WAY_MESSAGES, 0xffffff00u, { 0 } };
		struct sums sums = { 0 };
		struct sequence q;
		uint64_t lost = 0;

		sequence_init(&q, version);
		for (uint32_t k = 0; k < 1000; k++) {
			struct sequence_units u = any_units();
			struct message m = { .sequence = next_number(&e, &u), .export_ms = T0_MS + k * 1000 };

			(void)take(&q, &m, &u, T0_MS + k * 1000, &sums);
			for (uint64_t n = 1 + any(4); n > 0; n--) {
				u = any_units();
				(void)next_number(&e, &u);
				lost += k < 999 ? growth(e.way, &u) : 0;
			}
		}
		assert_string_equal(sequence_anomaly(&q), "");
		assert_int_equal(sums.late, 0);
		assert_int_equal(sums.missed, lost);
		seed = kept;
	}
}

/* An exporter that was mended counts right again, and is believed. */
static void test_mended(void **state)
{
	struct exporter e = { WAY_RECORDS, 1000, { 0 } };
	struct sums sums = { 0 };
	struct sequence q;

	(void)state;
	seed = 7;
	sequence_init(&q, VERSION_NF9);
	for (uint32_t k = 0; k < 200; k++) {
		struct sequence_units u = any_units();
		struct message m = { .sequence = next_number(&e, &u), .export_ms = T0_MS + k };

		(void)take(&q, &m, &u, T0_MS + k, &sums);
		if (k == 99) {
			assert_string_equal(sequence_anomaly(&q), "counts records");
			e.way = WAY_MESSAGES;
		}
	}
	assert_string_equal(sequence_anomaly(&q), "");
	assert_int_equal(sums.rules, 2);
}

/* ---- networks ---- */

#define SENT_MAX 4096

/*
 * A network that loses, doubles and reorders, all within eight messages; the account is kept here by a list of
 * what was sent.  Gaps have room for what is under way.
 */
static void test_networks(void **state)
{
	static const uint16_t versions[] = { VERSION_NF5, VERSION_NF9, VERSION_IPFIX };
	static bool was_received[SENT_MAX];
	static struct sequence_units units[SENT_MAX];
	static uint32_t numbers[SENT_MAX];

	(void)state;
	for (uint64_t run = 1; run <= 300; run++) {
		uint16_t version = versions[run % 3];
		struct exporter e = { version == VERSION_NF9 ? WAY_MESSAGES : WAY_RECORDS, 0, { 0 } };
		uint32_t late_one = SENT_MAX; /* kept back by the network */
		uint32_t late_for = 0;
		uint64_t lost = 0;
		struct sums want = { 0 };
		struct sums got = { 0 };
		struct sequence q;

		seed = run * 7919;
		e.number = run % 2 == 0 ? any(UINT32_MAX) : UINT32_MAX - any(20000);
		sequence_init(&q, version);
		memset(was_received, 0, sizeof(was_received));
		for (uint32_t i = 0; i < SENT_MAX; i++) {
			bool is_ends = i < 16 || i > SENT_MAX - 16;
			uint32_t what = is_ends ? 99 : any(100);
			struct message m = { 0 };

			units[i] = any_units();
			numbers[i] = next_number(&e, &units[i]);
			m.sequence = numbers[i];
			m.export_ms = T0_MS + i / 100 * 1000;
			if (what < 2) {
				lost += version == VERSION_NF9 ? 1 : units[i].records;
			} else if (what < 4 && late_one == SENT_MAX) {
				late_one = i;
				late_for = 1 + any(7);
				continue;
			} else {
				(void)take(&q, &m, &units[i], T0_MS + i, &got);
				was_received[i] = true;
			}
			if (what >= 4 && what < 6) { /* a copy of this one, or of an older one */
				uint32_t old = i - any(8);

				if (was_received[old]) {
					m.sequence = numbers[old];
					m.export_ms = T0_MS + old / 100 * 1000;
					(void)take(&q, &m, &units[old], T0_MS + i, &got);
					want.duplicated++;
				}
			}
			if (late_one != SENT_MAX && late_for-- == 0) {
				bool is_behind = true;

				m.sequence = numbers[late_one];
				m.export_ms = T0_MS + late_one / 100 * 1000;
				/* All between were lost: then it is in order. */
				for (uint32_t k = late_one + 1; k <= i; k++)
					is_behind = is_behind && !was_received[k];
				want.reordered += !is_behind;
				(void)take(&q, &m, &units[late_one], T0_MS + i, &got);
				was_received[late_one] = true;
				late_one = SENT_MAX;
			}
		}
		if (late_one != SENT_MAX)
			lost += version == VERSION_NF9 ? 1 : units[late_one].records;
		if (got.missed - got.late != lost || got.duplicated != want.duplicated ||
		    got.reordered != want.reordered || got.restarts != 0 || got.rules != 0)
			fail_msg("run %u: lost %u, not %u; copies %u, not %u; late %u, not %u; restarts %u rules %u",
				 (unsigned)run, (unsigned)(got.missed - got.late), (unsigned)lost,
				 (unsigned)got.duplicated, (unsigned)want.duplicated, (unsigned)got.reordered,
				 (unsigned)want.reordered, (unsigned)got.restarts, (unsigned)got.rules);
	}
}

/* Sets that wait, of one message. */
struct waiting {
	uint32_t stretch;
	struct sequence_units units;
};

static void settle_any(struct sequence *q, struct waiting *waiting, size_t *count)
{
	size_t i = any((uint32_t)*count);

	sequence_done(q, waiting[i].stretch, 1, &waiting[i].units);
	waiting[i] = waiting[--*count];
}

/* Templates that come late, and a network that loses: in the end as much is missing as was lost. */
static void test_networks_and_templates(void **state)
{
	static const enum way ways[] = { WAY_RECORDS, WAY_FLOWS, WAY_DEFINITIONS, WAY_MESSAGES };

	(void)state;
	for (uint64_t run = 1; run <= 400; run++) {
		struct exporter e = { ways[run % 4], 0, { 0 } };
		struct waiting waiting[64];
		struct sums sums = { 0 };
		struct sums before = { 0 };
		struct sequence q;
		size_t count = 0;
		uint64_t lost = 0;

		seed = run * 7919;
		e.number = run % 2 == 0 ? any(UINT32_MAX) : UINT32_MAX - any(20000);
		sequence_init(&q, VERSION_IPFIX);
		for (uint32_t i = 0; i < 4000; i++) {
			struct sequence_units u = any_units();
			struct message m = { .sequence = next_number(&e, &u), .export_ms = T0_MS + i / 100 * 1000 };
			struct sequence_units part = u;
			struct sequence_account a;

			if (i == 1000)
				before = sums;
			if (i > 1000 && i < 3990 && any(20) == 0) {
				lost += growth(e.way, &u);
				continue;
			}
			if (i > 1000 && i < 3900 && count < 64 && any(40 + 40 * (i / 400 % 2)) < 4) {
				waiting[count].units = (struct sequence_units){ .records = u.records, .options = u.options };
				part.records = any(u.records - u.options);
				part.options = 0;
				waiting[count].units.records -= part.records;
				part.held = 1;
				part.is_known = false;
			}
			a = take(&q, &m, &part, T0_MS + i, &sums);
			if (part.held != 0)
				waiting[count++].stretch = a.stretch;
			while (count > 0 && (i > 3950 || any(8) == 0))
				settle_any(&q, waiting, &count);
		}
		if (sums.missed - before.missed != lost || sums.late != before.late || sums.restarts != before.restarts ||
		    sums.reordered != before.reordered || sums.rules != before.rules || sums.duplicated != before.duplicated)
			fail_msg("run %u: missed %u, not %u; late %u copies %u restarts %u rules %u", (unsigned)run,
				 (unsigned)(sums.missed - before.missed), (unsigned)lost, (unsigned)(sums.late - before.late),
				 (unsigned)(sums.duplicated - before.duplicated), (unsigned)(sums.restarts - before.restarts),
				 (unsigned)(sums.rules - before.rules));
	}
}

/* Whatever comes: take() says what must hold, and numbers that go on as the format says are believed again. */
static void test_anything(void **state)
{
	static const uint16_t versions[] = { VERSION_NF5, VERSION_NF9, VERSION_IPFIX };

	(void)state;
	for (uint64_t run = 1; run <= 2000; run++) {
		uint16_t version = versions[run % 3];
		struct exporter e = { version == VERSION_NF9 ? WAY_MESSAGES : WAY_RECORDS, 0, { 0 } };
		struct sums sums = { 0 };
		struct message m = { 0 };
		struct waiting waiting[65];
		size_t count = 0;
		int64_t now_ms = T0_MS;
		struct sums before;
		struct sequence q;

		seed = run;
		sequence_init(&q, version);
		for (int k = 0; k < 300; k++) {
			struct sequence_units u = any_units();

			u.held = count < 64 && any(10) == 0;
			u.is_known = u.held == 0 && any(10) != 0;
			switch (any(6)) {
			case 0:
				m.sequence = any(UINT32_MAX);
				break;
			case 1:
				m.sequence -= any(40000);
				break;
			case 2:
				m.sequence += any(1u << 25);
				break;
			default:
				m.sequence += any(32);
				break;
			}
			m.has_uptime = version != VERSION_IPFIX;
			m.uptime_ms = any(4) == 0 ? any(UINT32_MAX) : m.uptime_ms + any(1000);
			m.export_ms = any(4) == 0 ? (int64_t)any(UINT32_MAX) * 1000 : m.export_ms + any(1000);
			now_ms += any(4) == 0 ? any(60000) : any(10);
			waiting[count] = (struct waiting){ take(&q, &m, &u, now_ms, &sums).stretch, any_units() };
			count += u.held;
			while (count > 0 && any(3) == 0)
				settle_any(&q, waiting, &count);
			for (size_t g = 0; g < SEQUENCE_GAPS_MAX; g++)
				assert_true(q.gaps[g].units <= 1u << 24);
			if (any(50) == 0)
				sequence_lost(&q);
		}
		while (count > 0)
			settle_any(&q, waiting, &count);
		e.number = m.sequence;
		for (int k = 0; k < 200; k++) {
			struct sequence_units u = any_units();

			if (k == 150)
				before = sums;
			m = (struct message){ .sequence = next_number(&e, &u), .export_ms = T0_MS + k * 1000 };
			(void)take(&q, &m, &u, now_ms, &sums);
		}
		check("believed again", &sums, &before);
		assert_string_equal(sequence_anomaly(&q), "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histories), cmocka_unit_test(test_gaps_end),
		cmocka_unit_test(test_gap),	  cmocka_unit_test(test_unread),
		cmocka_unit_test(test_stretches), cmocka_unit_test(test_networks_and_templates),
		cmocka_unit_test(test_reboot),	  cmocka_unit_test(test_wrong_counters),
		cmocka_unit_test(test_a_gap_before_each_message),
		cmocka_unit_test(test_mended),	  cmocka_unit_test(test_networks),
		cmocka_unit_test(test_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
