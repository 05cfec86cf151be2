/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what one definition sets free is handed on in bounded turns, in its order, before what came behind it, and all of it.
 * Method: hundreds of IPFIX messages of numbered records wait; then their definition, and messages of this and another exporter.
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
#include "base/rd.h"
#include "base/wr.h"
#include "collector/collector.h"
#include "collector/keep.h"

#define GOOD 0xc0000201u
#define OTHER 0xc0000202u
#define MESSAGE_MAX 2048
#define NOON_S 1700000000u
#define PER_MESSAGE 80	  /* records */
#define TURN_RECORDS 7000 /* more than a turn and a message have */
#define WAITING 600	  /* messages */
#define TURN_WORK 1000	  /* of records that have a price */

struct bench {
	struct stat_set *stat;
	struct collector *collector;
	uint32_t next;	  /* number of the record to come */
	uint32_t sent;	  /* and to be sent */
	uint32_t others;  /* records of the other exporter */
	uint32_t width;	  /* of the last record */
	uint32_t skipped; /* numbers that did not come */
	int tmpls;
	enum transport transport;
	uint64_t price; /* of a record */
	uint64_t work;
	uint16_t asked; /* the id that lists in records name; 0: none */
	uint32_t wide_from; /* of the records that waited for their turn alone, the first for which that one is wide */
};

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	(void)s;
	(void)t;
	((struct bench *)ctx)->tmpls++;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	(void)t;
	((struct bench *)ctx)->tmpls--;
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

static uint32_t list_width(struct bench *b, struct session *s)
{
	uint32_t cost = 0;
	const struct tmpl *t = collector_tmpl(b->collector, s, b->asked, &cost);

	assert_non_null(t);
	return t->min_bytes;
}

/* In order, each once. */
static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	struct bench *b = ctx;

	(void)m;
	(void)reason;
	b->width = t->min_bytes;
	b->work += count * b->price;
	if (s->peer.octets[3] == (OTHER & 0xff)) {
		b->others += (uint32_t)count;
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t number = be32(r[i].octets);

		assert_int_equal(r[i].bytes, t->min_bytes);
		if (b->asked != 0 && number >= WAITING * PER_MESSAGE && number < b->wide_from)
			b->wide_from = list_width(b, s) > 4 ? number : b->wide_from;
		if (number < b->next)
			fail_msg("record %u behind %u", number, b->next);
		b->skipped += number - b->next;
		b->next = number + 1;
	}
	return 0;
}

static uint64_t work_of(void *ctx)
{
	return ((const struct bench *)ctx)->work;
}

static const struct collector_ops ops = { .work = work_of,
					  .tmpl_new = tmpl_new_seen,
					  .tmpl_gone = tmpl_gone_seen,
					  .session_gone = session_gone_seen,
					  .message_begin = edge,
					  .records = records,
					  .message_end = edge };

static void open_bench_for(struct bench *b, uint64_t session_bytes, uint32_t templates)
{
	const struct collector_limits limits = { .sessions_max = 10,
						 .templates_max = 8,
						 .templates_exporter_max = templates,
						 .fields_max = 64,
						 .repeats_max = 4,
						 .template_lifetime_s = 1800,
						 .session_idle_s = 3600,
						 .hold_s = 30,
						 .hold_session_bytes = session_bytes,
						 .hold_bytes = 16u << 20,
						 .turn_work = TURN_WORK };

	memset(b, 0, sizeof(*b));
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &b->stat) == ERR_OK);
	must(collector_new(&limits, &ops, b, b->stat, &b->collector) == ERR_OK);
}

static void open_bench(struct bench *b, uint64_t session_bytes)
{
	open_bench_for(b, session_bytes, 1);
}

static void close_bench(struct bench *b)
{
	collector_free(b->collector);
	assert_int_equal(b->tmpls, 0);
	stat_set_free(b->stat);
}

static void deliver(struct bench *b, uint32_t peer, struct wr *w)
{
	struct origin origin = { .peer = addr_of_v4(peer), .port = 1000, .receive_ms = 1, .transport = b->transport };
	size_t bytes = wr_used(w);
	uint8_t *copy = malloc(bytes);

	must(copy != NULL && !w->is_full);
	memcpy(copy, w->at - bytes, bytes);
	copy[2] = (uint8_t)(bytes >> 8);
	copy[3] = (uint8_t)bytes;
	collector_receive(b->collector, copy, bytes, &origin);
	free(copy);
}

static void begin(struct wr *w, uint8_t octets[MESSAGE_MAX], uint32_t sequence)
{
	*w = wr_of(octets, MESSAGE_MAX);
	wr_u16(w, 10);
	wr_u16(w, 0);
	wr_u32(w, NOON_S);
	wr_u32(w, sequence);
	wr_u32(w, 1);
}

/* Records of 300: a number and `rest` octets. */
static void add_definition(struct wr *w, uint16_t rest)
{
	wr_u16(w, 2);
	wr_u16(w, 16);
	wr_u16(w, 300);
	wr_u16(w, 2);
	wr_u16(w, 10);
	wr_u16(w, 4);
	wr_u16(w, 1);
	wr_u16(w, rest);
}

static void add_data(struct wr *w, uint32_t first, uint16_t rest)
{
	static const uint8_t zeros[8];

	wr_u16(w, 300);
	wr_u16(w, (uint16_t)(4 + PER_MESSAGE * (4 + rest)));
	for (uint32_t i = 0; i < PER_MESSAGE; i++) {
		wr_u32(w, first + i);
		wr_bytes(w, zeros, rest);
	}
}

static void send_data(struct bench *b, uint16_t rest)
{
	uint8_t octets[MESSAGE_MAX];
	struct wr w;

	begin(&w, octets, b->sent);
	add_data(&w, b->sent, rest);
	b->sent += PER_MESSAGE;
	deliver(b, GOOD, &w);
}

static void define(struct bench *b, uint32_t peer, uint16_t rest)
{
	uint8_t octets[MESSAGE_MAX];
	struct wr w;

	begin(&w, octets, peer == GOOD ? b->sent : 0);
	add_definition(&w, rest);
	deliver(b, peer, &w);
}

static void check_all(struct bench *b)
{
	assert_int_equal(b->next, b->sent);
	assert_int_equal(stat_get(b->stat, STAT_SETS_HELD_NOW), 0);
	assert_int_equal(stat_get(b->stat, STAT_RECORDS), b->next - b->skipped + b->others);
	assert_int_equal(stat_get(b->stat, STAT_SETS_DATA),
			 stat_get(b->stat, STAT_SETS_DECODED) + stat_get(b->stat, STAT_SETS_HELD_DECODED));
	assert_int_equal(stat_get(b->stat, STAT_SEQUENCE_MISSED) - stat_get(b->stat, STAT_SEQUENCE_LATE), b->skipped);
	assert_int_equal(stat_get(b->stat, STAT_SEQUENCE_DUPLICATED), 0);
	assert_int_equal(stat_get(b->stat, STAT_SEQUENCE_RESTARTS), 0);
	assert_int_equal(stat_get(b->stat, STAT_SEQUENCE_RULES), 0);
}

/* How many records the call handed on. */
#define HANDED_ON(b, call)                                                                                                      \
	__extension__({                                                                                                         \
		uint32_t before_ = (b)->next;                                                                                   \
		call;                                                                                                           \
		(b)->next - before_;                                                                                            \
	})

static void wait_for_definition(struct bench *b)
{
	for (unsigned i = 0; i < WAITING; i++)
		send_data(b, 8);
	assert_int_equal(b->next, 0);
	assert_int_equal(stat_get(b->stat, STAT_SETS_HELD_NOW), WAITING);
}

/* One message lost while they wait, or none. */
static void run_turns(bool is_lossy)
{
	uint32_t live = 0;
	struct bench b;

	open_bench(&b, 4u << 20);
	wait_for_definition(&b);
	assert_in_range(HANDED_ON(&b, define(&b, GOOD, 8)), 1, TURN_RECORDS);
	define(&b, OTHER, 8);
	/* Behind what waits, and it does not grow longer by that. */
	while (b.next + PER_MESSAGE < b.sent) {
		uint32_t behind = b.sent - b.next;

		if (live == 3 && is_lossy)
			b.sent += PER_MESSAGE;
		assert_in_range(HANDED_ON(&b, send_data(&b, 8)), PER_MESSAGE, TURN_RECORDS);
		assert_true(b.sent - b.next < behind || b.sent == b.next);
		live++;
		/* Another exporter waits for nobody. */
		if (live == 2) {
			uint8_t octets[MESSAGE_MAX];
			struct wr w;

			begin(&w, octets, 0);
			add_data(&w, 0, 8);
			deliver(&b, OTHER, &w);
			assert_int_equal(b.others, PER_MESSAGE);
		}
	}
	assert_in_range(live, 5, 50);
	collector_catch_up(b.collector);
	send_data(&b, 8);
	assert_int_equal(b.skipped, is_lossy ? PER_MESSAGE : 0);
	check_all(&b);
	assert_true(stat_get(b.stat, STAT_SETS_HELD_DECODED) >= WAITING + live - 1);
	close_bench(&b);
}

static void test_turns(void **state)
{
	(void)state;
	run_turns(false);
	run_turns(true);
}

/* While nothing comes, in turns between batches. */
static void test_idle(void **state)
{
	unsigned turns = 1;
	bool is_more = true;
	struct bench b;

	(void)state;
	open_bench(&b, 4u << 20);
	wait_for_definition(&b);
	define(&b, GOOD, 8);
	while (is_more) {
		assert_in_range(HANDED_ON(&b, is_more = collector_turn(b.collector)), 1, TURN_RECORDS);
		turns++;
	}
	assert_in_range(turns, 5, 50);
	assert_false(collector_turn(b.collector));
	check_all(&b);
	close_bench(&b);
}

/* Two that wait have their turns one after the other: the second is not behind all of the first. */
static void test_by_turns(void **state)
{
	bool is_more = true;
	struct bench b;

	(void)state;
	open_bench(&b, 4u << 20);
	wait_for_definition(&b);
	for (unsigned i = 0; i < WAITING; i++) {
		uint8_t octets[MESSAGE_MAX];
		struct wr w;

		begin(&w, octets, i * PER_MESSAGE);
		add_data(&w, i * PER_MESSAGE, 8);
		deliver(&b, OTHER, &w);
	}
	define(&b, GOOD, 8);
	define(&b, OTHER, 8);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t next = b.next;
		uint32_t others = b.others;

		assert_true(collector_turn(b.collector));
		assert_true(collector_turn(b.collector));
		assert_in_range(b.next - next, 1, TURN_RECORDS);
		assert_in_range(b.others - others, 1, TURN_RECORDS);
	}
	while (is_more)
		is_more = collector_turn(b.collector);
	assert_int_equal(b.others, WAITING * PER_MESSAGE);
	check_all(&b);
	close_bench(&b);
}

/* Defined otherwise, and once more, while they wait: each is read as it was sent. */
static void test_redefined(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 4u << 20);
	wait_for_definition(&b);
	define(&b, GOOD, 8);
	send_data(&b, 8);
	define(&b, GOOD, 2);
	send_data(&b, 2);
	define(&b, GOOD, 4);
	send_data(&b, 4);
	assert_true(b.next < b.sent);
	assert_int_equal(b.width, 12);
	collector_catch_up(b.collector);
	assert_int_equal(b.width, 8);
	check_all(&b);
	close_bench(&b);
}

/* The data of the message whose definition sets the others free goes behind them. */
static void test_one_message(void **state)
{
	uint8_t octets[MESSAGE_MAX];
	struct bench b;
	struct wr w;

	(void)state;
	open_bench(&b, 4u << 20);
	wait_for_definition(&b);
	begin(&w, octets, b.sent);
	add_definition(&w, 8);
	add_data(&w, b.sent, 8);
	b.sent += PER_MESSAGE;
	assert_in_range(HANDED_ON(&b, deliver(&b, GOOD, &w)), 1, TURN_RECORDS);
	assert_int_equal(stat_get(b.stat, STAT_SETS_DECODED), 0);
	collector_catch_up(b.collector);
	check_all(&b);
	close_bench(&b);
}

/* Where those that wait fill their room, those behind them find it all the same. */
static void test_full(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 204000);
	for (unsigned i = 0; i < 140; i++)
		send_data(&b, 8);
	assert_int_equal(stat_get(b.stat, STAT_HELD_FULL), 0);
	define(&b, GOOD, 8);
	assert_true(b.next < b.sent);
	for (unsigned i = 0; i < 5; i++)
		send_data(&b, 8);
	collector_catch_up(b.collector);
	check_all(&b);
	close_bench(&b);
}

/* Whatever ends the wait: silence, another session that needs the place, the end. */
static void test_ends(void **state)
{
	struct bench b;

	(void)state;
	for (int how = 0; how < 3; how++) {
		open_bench(&b, 4u << 20);
		wait_for_definition(&b);
		define(&b, GOOD, 8);
		assert_true(b.next < b.sent);
		if (how == 0)
			collector_tick(b.collector, clock_mono_ms() + 40000);
		else if (how == 1)
			collector_tick(b.collector, INT64_C(1) << 40);
		else
			collector_finish(b.collector);
		check_all(&b);
		close_bench(&b);
	}
}

/* A set of that id with these words. */
static void send_set(struct bench *b, uint16_t id, const uint16_t *words, uint16_t count)
{
	uint8_t octets[MESSAGE_MAX];
	struct wr w;

	begin(&w, octets, b->sent);
	wr_u16(&w, id);
	wr_u16(&w, (uint16_t)(4 + 2 * count));
	for (uint16_t i = 0; i < count; i++)
		wr_u16(&w, words[i]);
	deliver(b, GOOD, &w);
}

/* Whatever puts their template out of force, they are read by it. */
static void test_out_of_force(void **state)
{
	static const struct {
		const char *name;
		enum transport transport;
		uint16_t id;
		uint16_t count;
		uint16_t words[6];
	} rows[] = {
		{ "refused", TRANSPORT_UDP, 2, 4, { 300, 1, 1, 0 } },
		{ "broken", TRANSPORT_UDP, 2, 4, { 300, 9, 1, 4 } },
		{ "withdrawn", TRANSPORT_FILE, 2, 2, { 300, 0 } },
		{ "all withdrawn", TRANSPORT_FILE, 2, 2, { 2, 0 } },
		{ "evicted", TRANSPORT_UDP, 2, 4, { 301, 1, 1, 4 } },
		{ "withdrawn and defined", TRANSPORT_FILE, 2, 6, { 300, 0, 300, 1, 1, 4 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Defined once, or what was before is there, too; handed on, forgotten. */
		for (int how = 0; how < 4; how++) {
			struct bench b;

			open_bench(&b, 4u << 20);
			wait_for_definition(&b);
			define(&b, GOOD, 8);
			if (how % 2 == 1) {
				define(&b, GOOD, 2);
				send_data(&b, 2);
			}
			b.transport = rows[i].transport;
			send_set(&b, rows[i].id, rows[i].words, rows[i].count);
			if (b.next == b.sent || stat_get(b.stat, STAT_SETS_HELD_NOW) == 0)
				fail_msg("%s: nothing waits", rows[i].name);
			assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_NOW),
					 strcmp(rows[i].name, "evicted") == 0 ||
						 strcmp(rows[i].name, "withdrawn and defined") == 0);
			if (how < 2) {
				collector_catch_up(b.collector);
				assert_int_equal(b.width, how == 0 ? 12 : 6);
				check_all(&b);
			} else {
				keep_forget_held(b.collector);
				assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
			}
			close_bench(&b);
		}
	}
}

/* What waits for its turn alone is told with the templates for its lists that were in force when it came. */
static void test_lists(void **state)
{
	uint32_t redefined_at;
	struct bench b;

	(void)state;
	open_bench_for(&b, 4u << 20, 8);
	b.asked = 301;
	b.wide_from = UINT32_MAX;
	send_set(&b, 2, (const uint16_t[]){ 301, 1, 1, 4 }, 4);
	wait_for_definition(&b);
	define(&b, GOOD, 8);
	send_data(&b, 8);
	send_data(&b, 8);
	redefined_at = b.sent;
	send_set(&b, 2, (const uint16_t[]){ 301, 1, 1, 6 }, 4);
	send_data(&b, 8);
	assert_true(b.next < WAITING * PER_MESSAGE);
	collector_catch_up(b.collector);
	assert_int_equal(b.wide_from, redefined_at);
	check_all(&b);
	close_bench(&b);
}

/* Records that cost much make turns short: a turn ends with the message that makes it cost more than one may. */
static void test_costly(void **state)
{
	static const struct {
		uint64_t price;
		uint32_t messages; /* of a turn */
	} cases[] = { { TURN_WORK, 1 }, { TURN_WORK / PER_MESSAGE + 1, 1 }, { 5, 3 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t of_turn = cases[i].messages * PER_MESSAGE;
		struct bench b;

		open_bench(&b, 4u << 20);
		wait_for_definition(&b);
		b.price = cases[i].price;
		assert_int_equal(HANDED_ON(&b, define(&b, GOOD, 8)), of_turn);
		/* What comes goes behind those that wait: a message hands on a turn, and nothing of its own. */
		for (unsigned k = 0; k < 10; k++)
			assert_int_equal(HANDED_ON(&b, send_data(&b, 8)), of_turn);
		assert_int_equal(HANDED_ON(&b, (void)collector_turn(b.collector)), of_turn);
		/* Also when its turn was the last, for what that cost. */
		while (b.sent - b.next > of_turn)
			(void)collector_turn(b.collector);
		of_turn = b.sent - b.next;
		assert_int_equal(HANDED_ON(&b, send_data(&b, 8)),
				 of_turn * cases[i].price >= TURN_WORK ? of_turn : of_turn + PER_MESSAGE);
		collector_catch_up(b.collector);
		/* And with nothing before it at once. */
		assert_int_equal(HANDED_ON(&b, send_data(&b, 8)), PER_MESSAGE);
		check_all(&b);
		close_bench(&b);
	}
}

/* The store is full of such: one message costs no more than its turn and itself. */
static void test_costly_and_full(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, 204000);
	for (unsigned i = 0; i < 140; i++)
		send_data(&b, 8);
	assert_int_equal(stat_get(b.stat, STAT_HELD_FULL), 0);
	b.price = TURN_WORK;
	define(&b, GOOD, 8);
	for (unsigned i = 0; i < 5; i++)
		assert_in_range(HANDED_ON(&b, send_data(&b, 8)), PER_MESSAGE, 2 * PER_MESSAGE);
	collector_catch_up(b.collector);
	check_all(&b);
	close_bench(&b);
}

/* A message with a record of each of these ids, or their definitions. */
static void send_ids(struct bench *b, const uint16_t *ids, size_t count, bool is_definition)
{
	uint8_t octets[MESSAGE_MAX];
	struct wr w;

	begin(&w, octets, 0);
	for (size_t i = 0; i < count; i++) {
		wr_u16(&w, is_definition ? 2 : ids[i]);
		wr_u16(&w, is_definition ? 12 : 8);
		wr_u16(&w, is_definition ? ids[i] : 0);
		wr_u16(&w, 1);
		if (is_definition) {
			wr_u16(&w, 10);
			wr_u16(&w, 4);
		}
	}
	deliver(b, OTHER, &w);
}

/* Those that wait on stand before, between and behind those that are ready, and in one message with them. */
static void test_between(void **state)
{
	static const uint16_t ids[] = { 301, 300, 302, 300, 301 };
	struct bench b;

	(void)state;
	open_bench(&b, 4u << 20);
	for (unsigned i = 0; i < WAITING; i++)
		send_ids(&b, ids, i % 5 + 1, false);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 3 * WAITING);
	/* Ready: the newer ones, then older ones of the same messages, then all. */
	send_ids(&b, ids + 2, 1, true);
	assert_in_range(b.others, 100, 128);
	send_ids(&b, ids + 1, 1, true);
	send_ids(&b, ids, 1, false);
	assert_in_range(b.others, 129, 3 * WAITING - 1);
	collector_catch_up(b.collector);
	assert_int_equal(b.others, WAITING / 5 * 9);
	send_ids(&b, ids, 1, true);
	collector_catch_up(b.collector);
	assert_int_equal(b.others, 3 * WAITING + 1);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_DECODED), 3 * WAITING + 1);
	close_bench(&b);
}

/* The next life hands on those whose turn did not come, when they are marked; else it cannot know. */
static void test_lives(void **state)
{
	struct keep_now now = { 1700000000000, clock_mono_ms(), false };
	struct keep tmpls = { 0 };
	struct keep held = { 0 };
	struct bench b;

	(void)state;
	open_bench(&b, 4u << 20);
	wait_for_definition(&b);
	define(&b, GOOD, 8);
	while (keep_tmpls(b.collector, &now, 1000, &tmpls))
		;
	while (keep_held(b.collector, &now, 1000, &held))
		;
	for (int is_marked = 0; is_marked < 2; is_marked++) {
		struct rd of_tmpls = rd_of(tmpls.octets, tmpls.bytes);
		struct rd of_held = rd_of(held.octets, held.bytes);
		uint64_t waiting = stat_get(b.stat, STAT_SETS_HELD_NOW);
		struct rd entry = { 0 };
		struct bench next;

		open_bench(&next, 4u << 20);
		now.is_marked = is_marked;
		while (rd_left(&of_tmpls) > 0 && keep_next(&of_tmpls, &entry))
			assert_int_equal(keep_take_tmpls(next.collector, entry, &now), ERR_OK);
		while (rd_left(&of_held) > 0 && keep_next(&of_held, &entry))
			assert_int_equal(keep_take_held(next.collector, entry, &now),
					 is_marked ? ERR_OK : ERR_LIMIT);
		assert_int_equal(stat_get(next.stat, STAT_SETS_RESTORED), waiting);
		assert_int_equal(stat_get(next.stat, STAT_HELD_BEFORE), is_marked ? 0 : waiting);
		assert_int_equal(stat_get(next.stat, STAT_SETS_HELD_NOW), is_marked ? waiting : 0);
		next.next = b.next;
		collector_catch_up(next.collector);
		assert_int_equal(next.next, is_marked ? b.sent : b.next);
		assert_int_equal(stat_get(next.stat, STAT_SETS_HELD_DECODED), is_marked ? waiting : 0);
		close_bench(&next);
	}
	keep_forget_held(b.collector);
	keep_fini(&tmpls);
	keep_fini(&held);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),	   cmocka_unit_test(test_idle), cmocka_unit_test(test_by_turns), cmocka_unit_test(test_redefined),
		cmocka_unit_test(test_one_message), cmocka_unit_test(test_full), cmocka_unit_test(test_ends),
		cmocka_unit_test(test_between), cmocka_unit_test(test_out_of_force), cmocka_unit_test(test_lists), cmocka_unit_test(test_costly), cmocka_unit_test(test_costly_and_full), cmocka_unit_test(test_lives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
