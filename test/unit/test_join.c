/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what options data says is found by the flows that it is of, by no others, and only where they do not
 * say it themselves.
 * Method: options templates and records as exporters send them, then flows with what they must take up, and the
 * limits.  test_options.py sends whole messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "normalizer/join.h"

#define FIELDS_MAX 8
#define LIMIT 100
#define ABSENT (-1)

struct part {
	const char *octets;
	uint32_t pen;
	uint16_t id;
	uint16_t bytes;
};

#define V(id, octets) { octets, PEN_IANA, id, sizeof(octets) - 1 }

/* Learns one record whose values stand in the parts; ended by no octets. */
static struct join_learned learn_at(struct join **j, const struct join_home *home, const struct part *parts, size_t limit)
{
	struct value values[FIELDS_MAX];
	struct join_learned out;
	struct tmpl *t;
	uint16_t count = 0;

	while (count < FIELDS_MAX && parts[count].octets != NULL)
		count++;
	must(tmpl_new(count, &t) == ERR_OK);
	t->is_options = true;
	for (uint16_t i = 0; i < count; i++) {
		t->fields[i] = (struct tmpl_field){ parts[i].pen, parts[i].id, parts[i].bytes, i == 0 };
		values[i] = (struct value){ (const uint8_t *)parts[i].octets, parts[i].bytes };
	}
	join_learn(j, home, t, values, limit, &out);
	tmpl_free(t);
	return out;
}

static struct join_learned learn(struct join **j, const struct part *parts, size_t limit)
{
	return learn_at(j, NULL, parts, limit);
}

static const struct rate_row {
	const char *name;
	struct part said[FIELDS_MAX];
	int64_t sampler, in, out; /* of the flow; ABSENT */
	int64_t rate, algorithm;  /* expected; ABSENT */
} rate_rows[] = {
	{ "sampler", { V(48, "\x07"), V(49, "\x02"), V(50, "\0\0\x03\xe8") }, 7, 1, 2, 1000, 2 },
	{ "sampler of another width", { V(48, "\0\x07"), V(50, "\x64") }, 7, ABSENT, ABSENT, 100, ABSENT },
	{ "another sampler", { V(48, "\x07"), V(49, "\x02"), V(50, "\0\0\x03\xe8") }, 8, 1, 2, ABSENT, ABSENT },
	{ "flow without sampler", { V(48, "\x07"), V(50, "\x64") }, ABSENT, 7, 7, ABSENT, ABSENT },
	{ "selector", { V(302, "\0\0\0\0\0\0\0\x09"), V(304, "\0\x01"), V(305, "\0\0\0\x01"), V(306, "\0\0\0\x63") }, 9, 1, 2, 100, 1 },
	{ "two of six", { V(302, "\x09"), V(305, "\x02"), V(306, "\x04") }, 9, 1, 2, 3, ABSENT },
	{ "interval alone", { V(302, "\x09"), V(305, "\x40") }, 9, 1, 2, 64, ABSENT },
	{ "interval, no space", { V(302, "\x09"), V(305, "\x01"), V(306, "\x00") }, 9, 1, 2, 1, ABSENT },
	{ "n of N", { V(302, "\x09"), V(304, "\x03"), V(309, "\x02"), V(310, "\x01\x00") }, 9, 1, 2, 128, 3 },
	{ "probability", { V(302, "\x09"), V(304, "\x04"), V(311, "\x3f\x50\x62\x4d\xd2\xf1\xa9\xfc") }, 9, 1, 2, 1000, 4 },
	{ "probability, single", { V(302, "\x09"), V(311, "\x3c\x23\xd7\x0a") }, 9, 1, 2, 100, ABSENT },
	{ "probability of two", { V(302, "\x09"), V(311, "\x40\x00\x00\x00") }, 9, 1, 2, ABSENT, ABSENT },
	{ "probability that is no number", { V(302, "\x09"), V(311, "\x7f\xc0\x00\x00") }, 9, 1, 2, ABSENT, ABSENT },
	{ "v9 interface", { { "\0\x05", PEN_V9_SCOPE, 2, 2 }, V(34, "\0\x0a"), V(35, "\x01") }, ABSENT, 5, 6, 10, 1 },
	{ "on its way out", { { "\0\x05", PEN_V9_SCOPE, 2, 2 }, V(34, "\0\x0a"), V(35, "\x01") }, ABSENT, 6, 5, 10, 1 },
	{ "another interface", { { "\0\x05", PEN_V9_SCOPE, 2, 2 }, V(34, "\0\x0a") }, ABSENT, 6, 7, ABSENT, ABSENT },
	{ "v9 system", { { "\0\0\0\0", PEN_V9_SCOPE, 1, 4 }, V(34, "\0\x0a"), V(35, "\x02") }, ABSENT, ABSENT, ABSENT, 10, 2 },
	{ "whole domain, sampler not known", { V(144, "\x01"), V(34, "\0\x0a") }, 3, 1, 2, 10, ABSENT },
	{ "rate of 0", { V(144, "\x01"), V(34, "\0\0") }, 3, 1, 2, ABSENT, ABSENT },
	{ "rate that is none", { V(144, "\x01"), V(34, "\x01\0\0\0\0") }, 3, 1, 2, ABSENT, ABSENT },
	{ "too long for a number", { V(144, "\x01"), V(34, "\0\0\0\0\0\0\0\0\x01") }, 3, 1, 2, ABSENT, ABSENT },
	{ "empty key", { V(48, ""), V(50, "\x64") }, 0, 1, 2, 100, ABSENT },
};

static struct flow *flow;

static void set_or_not(unsigned field, int64_t v)
{
	if (v != ABSENT)
		flow_set_i64(flow, field, v);
}

static int64_t number_of(unsigned field)
{
	return flow_has(flow, field) ? flow->slots[field].i64 : ABSENT;
}

static void rates(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rate_rows) / sizeof(rate_rows[0]); i++) {
		const struct rate_row *row = &rate_rows[i];
		struct join *joins[JOINS] = { NULL };

		(void)learn(&joins[0], row->said, LIMIT);
		flow_clear(flow);
		set_or_not(F_sampler_id, row->sampler);
		set_or_not(F_in_interface, row->in);
		set_or_not(F_out_interface, row->out);
		join_flow(joins, flow);
		if (number_of(F_sampling_rate) != row->rate || number_of(F_sampling_algorithm) != row->algorithm)
			fail_msg("%s: rate %lld, algorithm %lld", row->name, (long long)number_of(F_sampling_rate),
				 (long long)number_of(F_sampling_algorithm));
		/* What the flow says itself stays. */
		flow_set_i64(flow, F_sampling_rate, 77);
		flow_set_i64(flow, F_sampling_algorithm, 78);
		join_flow(joins, flow);
		assert_int_equal(number_of(F_sampling_rate), 77);
		assert_int_equal(number_of(F_sampling_algorithm), 78);
		join_free(joins[0]);
	}
}

static void check_text(unsigned field, const char *want)
{
	const struct slot *slot = &flow->slots[field];

	if (want == NULL)
		assert_false(flow_has(flow, field));
	else if (!flow_has(flow, field) || slot->bytes != strlen(want) || memcmp(slot->octets, want, slot->bytes) != 0)
		fail_msg("field %u is not %s", field, want);
}

static void set_text(unsigned field, const char *text)
{
	flow_set_octets(flow, field, text, (uint32_t)strlen(text));
}

static void names(void **state)
{
	static const struct part interface[] = { { "\0", PEN_V9_SCOPE, 1, 1 }, V(10, "\0\x05"), V(82, "ge-0/0/1\0\0"), V(83, "uplink"), { 0 } };
	static const struct part second[] = { V(252, "\0\0\0\x06"), V(82, "ge-0/0/2"), { 0 } };
	static const struct part vrf[] = { V(234, "\0\0\0\x01"), V(236, "red\0\0"), { 0 } };
	static const struct part app[] = { V(95, "\x0d\0\x01\xc5"), V(96, "dns"), V(94, "Domain Name System"), V(372, "net"), { 0 } };
	static const struct part pen[] = { V(95, "\x14\0\0\0\x09\x01"), V(96, "own"), { "office", 9, 12232, 6 }, { 0 } };
	struct join *joins[JOINS] = { NULL };

	(void)state;
	assert_int_equal(learn(&joins[0], interface, LIMIT).entries, 1);
	(void)learn(&joins[0], second, LIMIT);
	(void)learn(&joins[0], vrf, LIMIT);
	(void)learn(&joins[0], app, LIMIT);
	(void)learn(&joins[0], pen, LIMIT);
	assert_int_equal(join_count(joins[0]), 5);
	/* A refresh that says the same is no news. */
	assert_int_equal(learn(&joins[0], interface, LIMIT).entries, 0);
	flow_clear(flow);
	flow_set_i64(flow, F_in_interface, 5);
	flow_set_i64(flow, F_out_interface, 6);
	flow_set_i64(flow, F_ingress_vrf, 2);
	flow_set_i64(flow, F_egress_vrf, 1);
	set_text(F_app_id, "13:453");
	join_flow(joins, flow);
	check_text(F_in_interface_name, "ge-0/0/1");
	check_text(F_out_interface_name, "ge-0/0/2");
	check_text(F_ingress_vrf_name, NULL);
	check_text(F_egress_vrf_name, "red");
	check_text(F_app_name, "dns");
	check_text(F_app_category, "net");
	assert_memory_equal(join_find_interface(joins, 5)->description.octets, "uplink", 6);
	assert_int_equal(join_find_interface(joins, 6)->description.bytes, 0);
	assert_null(join_find_interface(joins, 7));
	flow_clear(flow);
	set_text(F_app_id, "20:9:1");
	set_text(F_app_name, "said");
	join_flow(joins, flow);
	check_text(F_app_name, "said");
	check_text(F_app_category, "office");
	assert_false(flow_has(flow, F_sampling_rate));
	join_free(joins[0]);
}

static void changes(void **state)
{
	static const struct part first[] = { V(10, "\x05"), V(82, "eth0"), { 0 } };
	static const struct part empty[] = { V(10, "\x05"), V(82, "\0\0"), { 0 } };
	static const struct part wrong[] = { V(10, "\x05"), V(82, "\xff\xfe"), { 0 } };
	static const struct part other[] = { V(10, "\x05"), V(82, "eth0.100"), { 0 } };
	static const struct part more[] = { V(10, "\x06"), V(82, "eth1"), { 0 } };
	static const struct part boot[] = { V(160, "\0\0\x01\x8b\xcf\xe5\x68\0"), { 0 } };
	static const struct part none[] = { V(34, "\0\x0a"), V(82, "eth9"), { 0 } };
	static char text[300];
	struct part tall[] = { V(10, "\x05"), { text, PEN_IANA, 82, sizeof(text) }, { 0 } };
	struct join *joins[JOINS] = { NULL };
	struct join_learned learned;

	(void)state;
	(void)learn(&joins[0], first, LIMIT);
	flow_clear(flow);
	flow_set_i64(flow, F_in_interface, 5);
	assert_int_equal(learn(&joins[0], empty, LIMIT).entries, 0);
	learned = learn(&joins[0], wrong, LIMIT);
	assert_int_equal(learned.not_utf8, 1);
	assert_int_equal(learned.entries, 0);
	join_flow(joins, flow);
	check_text(F_in_interface_name, "eth0");
	assert_int_equal(learn(&joins[0], other, LIMIT).entries, 1);
	flow_unmark(flow, F_in_interface_name);
	join_flow(joins, flow);
	check_text(F_in_interface_name, "eth0.100");
	/* No room: what is known stays, and may change. */
	learned = learn(&joins[0], more, 1);
	assert_int_equal(learned.over, 1);
	assert_int_equal(join_count(joins[0]), 1);
	assert_int_equal(learn(&joins[0], first, 1).entries, 1);
	/* A long name ends with a whole character. */
	memset(text, 'x', sizeof(text));
	text[JOIN_TEXT_MAX - 1] = '\xc3';
	text[JOIN_TEXT_MAX] = '\xa4';
	(void)learn(&joins[0], tall, LIMIT);
	assert_int_equal(join_find_interface(joins, 5)->name.bytes, JOIN_TEXT_MAX - 1);
	/* A name without its interface is nobody's; sampling beside it is the domain's. */
	learned = learn(&joins[0], none, LIMIT);
	assert_int_equal(learned.entries, 1);
	assert_int_equal(learned.no_key, 1);
	assert_int_equal(learned.boot_ms, 0);
	learned = learn(&joins[1], boot, LIMIT);
	assert_int_equal(learned.boot_ms, INT64_C(0x18bcfe56800));
	/* It is kept, and nobody's name or sampling. */
	assert_int_equal(learned.entries, 0);
	flow_clear(flow);
	flow_set_i64(flow, F_in_interface, 6);
	join_flow((struct join *const[JOINS]){ joins[1], NULL }, flow);
	assert_false(flow_has(flow, F_sampling_rate) || flow_has(flow, F_in_interface_name));
	join_free(joins[0]);
	join_free(joins[1]);
}

/* A change is kept once, and the next life's table says what this one's did. */
static void kept(void **state)
{
	static const struct part first[] = { V(10, "\x05"), V(82, "eth0"), { 0 } };
	static const struct part rate[] = { V(10, "\x05"), V(34, "\x08"), { 0 } };
	static const struct part app[] = { V(95, "\x03\0\0\x50"), V(96, "http"), V(372, "web"), { 0 } };
	struct session session = { .peer = { { 192, 0, 2, 1 }, 4 }, .key = { .domain = 7, .version = VERSION_IPFIX } };
	struct chain orders[2] = { { NULL } };
	struct join_home homes[2] = { { &orders[0], &session }, { &orders[1], &session } };
	struct keep out[2] = { { NULL } };
	struct join *joins[JOINS] = { NULL };
	struct join *next[JOINS] = { NULL };
	int64_t boot_ms;
	struct rd entries;
	struct rd entry;
	size_t count = 0;

	(void)state;
	(void)learn_at(&joins[0], &homes[0], first, LIMIT);
	(void)learn_at(&joins[0], &homes[0], app, LIMIT);
	(void)learn_at(&joins[0], &homes[0], rate, LIMIT); /* now the newest */
	while (join_keep(&orders[0], 1, &out[0]))
		;
	assert_false(join_keep(&orders[0], 1, &out[0]));
	(void)learn_at(&joins[0], &homes[0], first, LIMIT);
	assert_null(orders[0].fresh); /* it says nothing new */
	for (entries = rd_of(out[0].octets, out[0].bytes); rd_left(&entries) > 0; count++) {
		assert_true(keep_next(&entries, &entry));
		rd_skip(&entry, KEEP_KEY_BYTES);
		for (size_t cut = 0; cut < rd_left(&entry); cut++)
			assert_int_equal(join_restore(&next[1], NULL, rd_of(entry.at, cut), LIMIT, &boot_ms), ERR_FORMAT);
		assert_int_equal(join_restore(&next[0], &homes[1], entry, LIMIT, &boot_ms), ERR_OK);
	}
	assert_null(next[1]);
	assert_int_equal(count, 2);
	assert_int_equal(join_count(next[0]), 2);
	flow_clear(flow);
	flow_set_i64(flow, F_in_interface, 5);
	join_flow(next, flow);
	check_text(F_in_interface_name, "eth0");
	assert_int_equal(flow->slots[F_sampling_rate].i64, 8);
	assert_false(join_keep(&orders[1], SIZE_MAX / 2, &out[1]));
	assert_int_equal(out[1].bytes, out[0].bytes);
	assert_memory_equal(out[1].octets, out[0].octets, out[0].bytes);
	/* No room: the one that is there changes, another is not taken. */
	assert_int_equal(join_restore(&next[0], &homes[1], entry, 1, &boot_ms), ERR_OK);
	join_free(next[0]);
	assert_null(orders[1].oldest);
	next[0] = NULL;
	(void)learn_at(&next[0], &homes[1], app, LIMIT);
	assert_int_equal(join_restore(&next[0], &homes[1], entry, 1, &boot_ms), ERR_LIMIT);
	join_free(next[0]);
	join_free(joins[0]);
	keep_fini(&out[0]);
	keep_fini(&out[1]);
}

/* Domain 0 is asked when the flow's own does not know. */
static void domain_zero(void **state)
{
	static const struct part own[] = { V(48, "\x01"), V(50, "\x0a"), { 0 } };
	static const struct part zero[] = { V(48, "\x01"), V(50, "\x64"), { 0 } };
	static const struct part both[] = { V(48, "\x02"), V(50, "\x65"), { 0 } };
	static const struct part name[] = { V(10, "\x05"), V(82, "eth0"), { 0 } };
	static const struct part rate[] = { V(10, "\x05"), V(34, "\x08"), { 0 } };
	struct join *joins[JOINS] = { NULL };

	(void)state;
	(void)learn(&joins[1], zero, LIMIT);
	flow_clear(flow);
	flow_set_i64(flow, F_sampler_id, 1);
	join_flow(joins, flow);
	assert_int_equal(number_of(F_sampling_rate), 100);
	(void)learn(&joins[0], own, LIMIT);
	(void)learn(&joins[1], both, LIMIT);
	flow_unmark(flow, F_sampling_rate);
	join_flow(joins, flow);
	assert_int_equal(number_of(F_sampling_rate), 10);
	flow_clear(flow);
	flow_set_i64(flow, F_sampler_id, 2);
	join_flow(joins, flow);
	assert_int_equal(number_of(F_sampling_rate), 101);
	/* What one knows of an interface does not hide what the other knows of it. */
	(void)learn(&joins[0], name, LIMIT);
	(void)learn(&joins[1], rate, LIMIT);
	for (size_t i = 0; i < JOINS; i++) {
		struct join *const turned[JOINS] = { joins[i], joins[1 - i] };

		flow_clear(flow);
		flow_set_i64(flow, F_in_interface, 5);
		join_flow(turned, flow);
		assert_int_equal(number_of(F_sampling_rate), 8);
		check_text(F_in_interface_name, "eth0");
	}
	join_free(joins[0]);
	join_free(joins[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates),
		cmocka_unit_test(names),
		cmocka_unit_test(changes),
		cmocka_unit_test(kept),
		cmocka_unit_test(domain_zero),
	};

	flow = calloc(1, sizeof(*flow));
	must(flow != NULL);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(flow);
	return failed;
}
