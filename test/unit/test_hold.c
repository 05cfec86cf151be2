/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: half of the room for sets that wait is for sessions that showed a template, whoever floods, and nobody has more than there is.
 * Method: the store with sessions of both kinds, in crowds that ask for many times its room; who has what is counted set by set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/must.h"
#include "collector/hold.h"

#define SET_BYTES 100u
#define HEADER_BYTES 16u
#define ROOM 100u /* sets */
#define SESSION_ROOM 20u
#define SESSIONS 400u

struct crowd {
	struct hold *hold;
	struct session *sessions[SESSIONS];
	uint64_t evicted[2]; /* of strangers, and of those that showed a template */
};

static struct held_facts facts_of(uint16_t id)
{
	return (struct held_facts){ .bytes = SET_BYTES, .header_bytes = HEADER_BYTES, .message_bytes = 200, .id = id };
}

/* The first `known` of them showed a template. */
static void open_crowd(struct crowd *c, unsigned known)
{
	struct held_facts f = facts_of(300);
	const struct hold_conf conf = { .wait_ms = 30000,
					.session_bytes_max = SESSION_ROOM * hold_cost(&f),
					.bytes_max = ROOM * hold_cost(&f) };

	memset(c, 0, sizeof(*c));
	must(hold_new(&conf, &c->hold) == ERR_OK);
	for (uint32_t i = 0; i < SESSIONS; i++) {
		const struct session_key key = { .domain = i, .version = VERSION_IPFIX };
		const struct addr peer = addr_of_v4(i);

		must(session_new(&key, &peer, &c->sessions[i]) == ERR_OK);
		c->sessions[i]->counts.templates_new = i < known;
	}
}

static void close_crowd(struct crowd *c)
{
	struct held_set *set;

	while ((set = hold_first(c->hold)) != NULL)
		hold_free_set(c->hold, set);
	hold_free(c->hold);
	for (uint32_t i = 0; i < SESSIONS; i++) {
		assert_null(c->sessions[i]->held);
		session_free(c->sessions[i]);
	}
}

/* As the collector does it; false when there is no room. */
static bool put(struct crowd *c, uint32_t who, uint16_t id)
{
	static const uint8_t octets[SET_BYTES];
	struct held_facts f = facts_of(id);
	struct session *s = c->sessions[who];
	struct held_set *set;

	while ((set = hold_victim(c->hold, s, hold_cost(&f))) != NULL) {
		c->evicted[set->session->counts.templates_new > 0]++;
		hold_free_set(c->hold, set);
	}
	return hold_put(c->hold, s, &f, octets, octets, &set) == ERR_OK;
}

static void count(const struct crowd *c, unsigned held[2])
{
	held[0] = held[1] = 0;
	for (struct held_set *set = hold_first(c->hold); set != NULL; set = set->links[HOLD_ALL].newer)
		held[set->session->counts.templates_new > 0]++;
	assert_in_range(held[0] + held[1], 0, ROOM);
}

static unsigned count_of(const struct crowd *c, uint32_t who)
{
	unsigned held = 0;

	for (struct held_set *set = hold_oldest(c->sessions[who]); set != NULL; set = set->links[HOLD_SESSION].newer)
		held++;
	return held;
}

/* Those that showed a template have their half, to the last set, however many strangers ask, and for how much. */
static void test_strangers_flood(void **state)
{
	static const struct {
		unsigned known;	  /* sessions */
		unsigned each;	  /* sets */
		unsigned of_them; /* sets of a stranger */
	} cases[] = { { 5, 10, 1 }, { 5, 10, 30 }, { 50, 1, 1 }, { 50, 1, 30 }, { 3, 16, 7 }, { 1, 20, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned held[2];
		struct crowd c;

		open_crowd(&c, cases[i].known);
		for (uint32_t who = 0; who < cases[i].known; who++) {
			for (unsigned n = 0; n < cases[i].each; n++)
				assert_true(put(&c, who, (uint16_t)(300 + n)));
		}
		for (uint32_t who = cases[i].known; who < SESSIONS; who++) {
			for (unsigned n = 0; n < cases[i].of_them; n++)
				assert_true(put(&c, who, 300));
		}
		assert_int_equal(c.evicted[1], 0);
		count(&c, held);
		assert_int_equal(held[0], ROOM / 2);
		assert_int_equal(held[1], cases[i].known * cases[i].each);
		for (uint32_t who = 0; who < cases[i].known; who++)
			assert_int_equal(count_of(&c, who), cases[i].each);
		/* And find it when they come after the flood, too. */
		for (uint32_t who = 0; who < cases[i].known; who++) {
			while (hold_oldest(c.sessions[who]) != NULL)
				hold_free_set(c.hold, hold_oldest(c.sessions[who]));
		}
		for (uint32_t who = 0; who < cases[i].known; who++) {
			for (unsigned n = 0; n < cases[i].each; n++)
				assert_true(put(&c, who, (uint16_t)(300 + n)));
		}
		assert_int_equal(c.evicted[1], 0);
		count(&c, held);
		assert_int_equal(held[1], cases[i].known * cases[i].each);
		close_crowd(&c);
	}
}

/* They may have both halves, and no more; what strangers ask back of theirs leaves them their own. */
static void test_known_flood(void **state)
{
	unsigned held[2];
	struct crowd c;

	(void)state;
	open_crowd(&c, 100);
	for (uint32_t who = 100; who < 150; who++)
		assert_true(put(&c, who, 300));
	for (unsigned n = 0; n < 50; n++) {
		for (uint32_t who = 0; who < 100; who++) {
			assert_true(put(&c, who, 300));
			assert_in_range(count_of(&c, who), 1, SESSION_ROOM);
		}
	}
	count(&c, held);
	assert_int_equal(held[0] + held[1], ROOM);
	assert_in_range(held[1], ROOM / 2, ROOM);
	assert_int_equal(c.evicted[0] + c.evicted[1], 50 + 5000 - ROOM);
	/* The greediest gives, so nobody has much more than another. */
	for (uint32_t who = 0; who < 100; who++)
		assert_in_range(count_of(&c, who), 0, 4);
	for (uint32_t who = 100; who < SESSIONS; who++)
		assert_true(put(&c, who, 300));
	count(&c, held);
	assert_in_range(held[1], ROOM / 2, ROOM);
	assert_in_range(held[0], 0, ROOM / 2);
	close_crowd(&c);
}

/* Of two that hold as much, the one gives that showed no template. */
static void test_of_equals(void **state)
{
	struct crowd c;

	(void)state;
	open_crowd(&c, ROOM / 2);
	for (uint32_t who = 0; who < ROOM; who++)
		assert_true(put(&c, who, 300));
	assert_int_equal(c.evicted[0] + c.evicted[1], 0);
	assert_true(put(&c, 0, 300));
	assert_int_equal(c.evicted[0], 1);
	assert_int_equal(c.evicted[1], 0);
	close_crowd(&c);
}

/* Who shows a template takes his sets along to the other side. */
static void test_becomes_known(void **state)
{
	unsigned held[2];
	struct crowd c;

	(void)state;
	open_crowd(&c, 0);
	for (uint32_t who = 0; who < 50; who++)
		assert_true(put(&c, who, 300));
	for (uint32_t who = 0; who < 40; who++) {
		c.sessions[who]->counts.templates_new = 1;
		hold_trust(c.hold, c.sessions[who]);
	}
	for (uint32_t who = 50; who < SESSIONS; who++)
		assert_true(put(&c, who, 300));
	assert_int_equal(c.evicted[1], 0);
	count(&c, held);
	assert_int_equal(held[0], ROOM / 2);
	assert_int_equal(held[1], 40);
	close_crowd(&c);
}

/* As hold_s is half over for them: each comes once, in their order, whoever goes meanwhile. */
static void test_waited(void **state)
{
	struct held_set *sets[6] = { 0 };
	struct crowd c;

	(void)state;
	open_crowd(&c, 1);
	for (int i = 0; i < 5; i++) {
		assert_true(put(&c, 0, 300));
		sets[i] = hold_newest(c.sessions[0]);
		sets[i]->facts.since_ms = 1000 * (i / 2);
	}
	assert_null(hold_waited(c.hold, 99, 100));
	assert_ptr_equal(hold_waited(c.hold, 100, 100), sets[0]);
	/* It goes, and with it the next. */
	hold_free_set(c.hold, sets[0]);
	hold_free_set(c.hold, sets[1]);
	assert_null(hold_waited(c.hold, 1099, 100));
	assert_ptr_equal(hold_waited(c.hold, 1100, 100), sets[2]);
	/* It stays, and is not asked for again. */
	assert_ptr_equal(hold_waited(c.hold, 9000, 100), sets[3]);
	assert_ptr_equal(hold_waited(c.hold, 9000, 100), sets[4]);
	assert_null(hold_waited(c.hold, 9000, 100));
	assert_true(put(&c, 0, 301));
	sets[5] = hold_newest(c.sessions[0]);
	assert_ptr_equal(hold_waited(c.hold, 9000, 100), sets[5]);
	assert_null(hold_waited(c.hold, 9000, 100));
	close_crowd(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers_flood),
		cmocka_unit_test(test_known_flood),
		cmocka_unit_test(test_waited),
		cmocka_unit_test(test_of_equals),
		cmocka_unit_test(test_becomes_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
