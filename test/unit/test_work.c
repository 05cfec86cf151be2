/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a message costs no more than its share, whatever it says; what is beyond it is counted and becomes a dead letter;
 * messages as exporters send them never come near it.
 * Method: messages as large as they can be through a whole pipeline, with and without the limit, and the counts compared.
 */
#include "base/wr.h"
#include "test/unit/road.h"

#define MESSAGE_MAX 65507
#define LIMIT 3500 /* the default of collector.message_work */

struct said {
	uint16_t id;
	uint16_t bytes;
};

/* The largest message: a definition, and behind it records of that template, all octets 1. */
struct shape {
	const char *name;
	const struct said *fields;
	uint16_t field_count;
	uint16_t repeats; /* so many times those fields */
	uint16_t scope_count;
	bool is_within;
};

static const struct said protocol[] = { { 4, 1 } };
static const struct said nothing[] = { { 8, 0 },  { 12, 0 }, { 27, 0 }, { 28, 0 },
				       { 82, 0 }, { 83, 0 }, { 300, 0 } };
static const struct said interface[] = { { 10, 1 }, { 82, 0 } };
static const struct said usual[] = { { 8, 4 }, { 12, 4 }, { 7, 2 }, { 11, 2 }, { 4, 1 }, { 6, 1 },
				     { 5, 1 }, { 1, 4 },  { 2, 4 }, { 22, 4 }, { 21, 4 } };

/* The least that makes a flow. */
static const struct said shortest[] = {
	{ 8, 4 }, { 12, 4 }, { 7, 2 }, { 11, 2 }, { 4, 1 }, { 1, 4 }
};

static const struct shape shapes[] = {
	{ "one octet", protocol, 1, 1, 0, false },
	{ "64 times what has no octets", nothing, 7, 64, 0, false },
	{ "options data", interface, 2, 1, 1, false },
	{ "flows", usual, 11, 1, 0, true },
	{ "the shortest flows", shortest, 6, 1, 0, true },
};

static uint8_t message[MESSAGE_MAX];

static uint32_t record_bytes(const struct shape *s)
{
	uint32_t bytes = 0;

	for (uint16_t i = 0; i < s->field_count; i++)
		bytes += s->fields[i].bytes * (uint32_t)s->repeats;
	return bytes == 0 ? 1 : bytes;
}

/* Returns how many records the message has. */
static uint32_t make(const struct shape *s)
{
	bool is_options = s->scope_count > 0;
	uint32_t bytes = record_bytes(s);
	bool is_filled = s->fields[0].bytes == 0;
	uint32_t fields = (uint32_t)s->field_count * s->repeats + is_filled;
	struct wr w = wr_of(message, sizeof(message));
	uint32_t body;

	wr_u16(&w, VERSION_IPFIX);
	wr_u16(&w, MESSAGE_MAX);
	wr_u32(&w, 1767593600);
	wr_u32(&w, 0);
	wr_u32(&w, 1);
	wr_u16(&w, is_options ? 3 : 2);
	wr_u16(&w, (uint16_t)(8 + (is_options ? 2 : 0) + 4 * fields));
	wr_u16(&w, 256);
	wr_u16(&w, (uint16_t)fields);
	if (is_options)
		wr_u16(&w, s->scope_count);
	for (uint32_t i = 0; i < fields - is_filled; i++) {
		wr_u16(&w, s->fields[i % s->field_count].id);
		wr_u16(&w, s->fields[i % s->field_count].bytes);
	}
	if (is_filled) {
		wr_u16(&w, 4);
		wr_u16(&w, 1);
	}
	body = (uint32_t)(MESSAGE_MAX - wr_used(&w));
	wr_u16(&w, 256);
	wr_u16(&w, (uint16_t)body);
	must(!w.is_full);
	memset(message + wr_used(&w), 1, MESSAGE_MAX - wr_used(&w));
	return (body - 4) / bytes;
}

struct came {
	uint64_t records, work, others;
};

static struct came receive(uint32_t limit, bool is_again)
{
	const struct origin origin = { .peer = addr_of_v4(0x7f000001),
				       .port = 1,
				       .receive_ms = 1767593600000,
				       .is_again = is_again };
	struct road *r = malloc(sizeof(*r));
	struct dead_sums dead;
	struct came came;

	must(r != NULL);
	road_message_work = limit;
	road_open(r, "time", 0);
	pipeline_receive(r->pipeline, message, MESSAGE_MAX, &origin);
	r->units = 1;
	came.records = road_sum(r->collector_stat, "records");
	came.work = stat_get(r->collector_stat, STAT_REC_WORK);
	came.others = road_sum(r->collector_stat, "records_flow") +
		      road_sum(r->collector_stat, "records_options");
	assert_int_equal(came.records, came.work + came.others);
	assert_int_equal(road_sum(r->collector_stat, "records_undecodable"), came.work);
	road_check_ledger(r);
	dead_sum(r->dead, &dead);
	assert_int_equal(dead.values[DEAD_STAT_SETS], came.work > 0);
	road_close(r);
	free(r);
	return came;
}

static void test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		uint32_t count = make(&shapes[i]);
		struct came came = receive(LIMIT, false);

		print_message("%s: %u records, %llu beyond the limit\n", shapes[i].name, count,
			      (unsigned long long)came.work);
		assert_int_equal(came.records, count);
		if (shapes[i].is_within) {
			assert_int_equal(came.work, 0);
			continue;
		}
		assert_true(came.work > count / 2 && came.others > 0);
		/* Counted, not measured: the same again, wherever. */
		assert_int_equal(receive(LIMIT, false).work, came.work);
		assert_true(receive(2 * LIMIT, false).others > came.others);
	}
}

/* No limit, or an operator who sends it through again. */
static void test_unlimited(void **state)
{
	uint32_t count;

	(void)state;
	count = make(&shapes[0]);
	assert_int_equal(receive(0, false).others, count);
	assert_int_equal(receive(LIMIT, true).others, count);
}

/* One field each, of the length that is told, as many as a message has room for. */
static uint32_t make_definitions(uint16_t bytes)
{
	uint32_t count = (MESSAGE_MAX - 20) / 8;
	struct wr w = wr_of(message, sizeof(message));

	wr_u16(&w, VERSION_IPFIX);
	wr_u16(&w, (uint16_t)(20 + 8 * count));
	wr_u32(&w, 1767593600);
	wr_u32(&w, 0);
	wr_u32(&w, 1);
	wr_u16(&w, 2);
	wr_u16(&w, (uint16_t)(4 + 8 * count));
	for (uint32_t i = 0; i < count; i++) {
		wr_u16(&w, (uint16_t)(256 + i));
		wr_u16(&w, 1);
		wr_u16(&w, 4);
		wr_u16(&w, bytes);
	}
	must(!w.is_full);
	return count;
}

/* Of definitions that are new or others than before, a message may have 2048; what stood there already costs nothing. */
static void test_definitions(void **state)
{
	static const struct {
		uint16_t bytes;
		uint32_t fresh, changed, refreshed;
	} messages[] = { { 1, 2048, 0, 0 }, { 1, 2048, 0, 2048 }, { 2, 0, 2048, 0 } };
	const struct origin origin = { .peer = addr_of_v4(0x7f000001), .port = 1, .receive_ms = 1767593600000 };
	struct road *r = malloc(sizeof(*r));
	uint64_t fresh = 0, changed = 0, refreshed = 0, refused = 0;

	(void)state;
	must(r != NULL);
	road_message_work = LIMIT;
	road_open(r, "time", 0);
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		uint32_t count = make_definitions(messages[i].bytes);

		pipeline_receive(r->pipeline, message, 20 + 8 * count, &origin);
		fresh += messages[i].fresh;
		changed += messages[i].changed;
		refreshed += messages[i].refreshed;
		refused += count - messages[i].fresh - messages[i].changed - messages[i].refreshed;
		assert_int_equal(stat_get(r->collector_stat, STAT_TEMPLATES_NEW), fresh);
		assert_int_equal(stat_get(r->collector_stat, STAT_TEMPLATES_CHANGED), changed);
		assert_int_equal(stat_get(r->collector_stat, STAT_TEMPLATES_REFRESHED), refreshed);
		assert_int_equal(stat_get(r->collector_stat, STAT_TMPL_MESSAGE), refused);
	}
	/* What was to be replaced describes the data no longer. */
	assert_int_equal(stat_get(r->collector_stat, STAT_TEMPLATES_NOW), 2048);
	r->units = 3;
	road_check_ledger(r);
	road_close(r);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes), cmocka_unit_test(test_unlimited),
					    cmocka_unit_test(test_definitions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
