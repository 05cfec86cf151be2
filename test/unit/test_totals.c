/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: sums saturate, rates and ratios are null where they have no meaning, and nothing else is written.
 * Method: one table of flows; each must have the fields listed, and no other enriched field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/must.h"
#include "normalizer/enrich_totals.h"

#define T INT64_C(1700000000000)
#define MOST INT64_MAX
#define IN_MAX 8
#define OUT_MAX 8

struct in {
	unsigned field;
	int64_t number;
};

struct out {
	unsigned field;
	int64_t number; /* of fields that are no doubles */
	double ratio;
};

#define I(field, number) { F_##field, number }
#define N(field, number) { F_##field, number, 0 }
#define R(field, ratio) { F_##field, 0, ratio }
#define SECONDS(n) I(flow_start_time, T), I(flow_end_time, T + 1000 * (n))

static const struct row {
	const char *name;
	struct in in[IN_MAX];
	struct out out[OUT_MAX];
} rows[] = {
	{ "nothing", { { 0 } }, { { 0 } } },
	{ "times alone", { SECONDS(2) }, { { 0 } } },
	{ "one direction", { I(bytes, 3000), I(packets, 4), SECONDS(2) },
	  { N(total_bytes, 3000), N(total_packets, 4), R(bytes_per_second, 1500), R(packets_per_second, 2), R(bytes_per_packet, 750) } },
	{ "both", { I(bytes, 3000), I(packets, 4), I(reverse_bytes, 1500), I(reverse_packets, 6), SECONDS(1) },
	  { N(total_bytes, 4500), N(total_packets, 10), R(bytes_per_second, 4500), R(packets_per_second, 10),
	    R(bytes_per_packet, 450), R(byte_ratio, 0.5) } },
	{ "the reverse alone", { I(reverse_bytes, 100), I(reverse_packets, 2) },
	  { N(total_bytes, 100), N(total_packets, 2), R(bytes_per_packet, 50) } },
	{ "a millisecond", { I(bytes, 7), I(flow_start_time, T), I(flow_end_time, T + 1) }, { N(total_bytes, 7), R(bytes_per_second, 7000) } },
	{ "no duration", { I(bytes, 7), I(packets, 1), SECONDS(0) }, { N(total_bytes, 7), N(total_packets, 1), R(bytes_per_second, 7000), R(packets_per_second, 1000), R(bytes_per_packet, 7) } },
	{ "ends before it starts", { I(bytes, 7), SECONDS(-1) }, { N(total_bytes, 7) } },
	{ "no start", { I(bytes, 7), I(flow_end_time, T) }, { N(total_bytes, 7) } },
	{ "zeros", { I(bytes, 0), I(packets, 0), I(reverse_bytes, 0), I(reverse_packets, 0), SECONDS(1) },
	  { N(total_bytes, 0), N(total_packets, 0), R(bytes_per_second, 0), R(packets_per_second, 0) } },
	{ "no octets forward", { I(bytes, 0), I(reverse_bytes, 9) }, { N(total_bytes, 9) } },
	{ "no octets back", { I(bytes, 9), I(reverse_bytes, 0) }, { N(total_bytes, 9), R(byte_ratio, 0) } },
	{ "packets without octets", { I(packets, 5), SECONDS(5) }, { N(total_packets, 5), R(packets_per_second, 1) } },
	{ "octets of one, packets of both", { I(bytes, 10), I(packets, 1), I(reverse_packets, 1) }, { N(total_bytes, 10), N(total_packets, 2) } },
	{ "octets of one, packets of the other", { I(bytes, 10), I(reverse_packets, 1) }, { N(total_bytes, 10), N(total_packets, 1) } },
	{ "at the limit", { I(bytes, MOST - 1), I(reverse_bytes, 1) }, { N(total_bytes, MOST), R(byte_ratio, 1.0 / 9223372036854775806.0) } },
	{ "saturated", { I(bytes, MOST), I(reverse_bytes, 1), I(packets, MOST), I(reverse_packets, MOST) },
	  { N(total_bytes, MOST), N(total_packets, MOST), R(bytes_per_packet, 1), R(byte_ratio, 1.0 / 9223372036854775807.0) } },
};

static struct flow *flow;

static void set_up(const struct in *in)
{
	flow_clear(flow);
	for (size_t i = 0; i < IN_MAX && in[i].field != 0; i++)
		flow_set_i64(flow, in[i].field, in[i].number);
}

static unsigned count_enriched(void)
{
	unsigned n = 0;

	for (size_t w = FIELD_NORMALIZED_WORDS; w < FIELD_WORDS; w++)
		n += (unsigned)__builtin_popcountll(flow->has[w]);
	return n;
}

static bool is_double(unsigned field)
{
	return field == F_bytes_per_second || field == F_packets_per_second || field == F_bytes_per_packet ||
	       field == F_byte_ratio;
}

static void check(const char *name, const struct out *o)
{
	const struct slot *slot = &flow->slots[o->field];
	bool is_equal = is_double(o->field) ? slot->f64 >= o->ratio && slot->f64 <= o->ratio : slot->i64 == o->number;

	if (!flow_has(flow, o->field) || !is_equal)
		fail_msg("%s: field %u: present %d, %lld or %g", name, o->field, flow_has(flow, o->field),
			 (long long)slot->i64, slot->f64);
}

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		uint64_t said[FIELD_NORMALIZED_WORDS];
		unsigned count = 0;

		set_up(r->in);
		memcpy(said, flow->has, sizeof(said));
		enrich_totals_run(NULL, NULL, flow, 1);
		for (; count < OUT_MAX && r->out[count].field != 0; count++)
			check(r->name, &r->out[count]);
		if (count_enriched() != count)
			fail_msg("%s: %u fields instead of %u", r->name, count_enriched(), count);
		assert_memory_equal(said, flow->has, sizeof(said));
		for (size_t n = 0; n < IN_MAX && r->in[n].field != 0; n++)
			assert_int_equal(flow->slots[r->in[n].field].i64, r->in[n].number);
	}
}

static void family(void **state)
{
	static const uint8_t octets[16] = { 0x20, 0x01 };
	static const struct {
		uint32_t src_bytes; /* 0: absent */
		uint32_t dst_bytes;
		const char *family; /* NULL: null */
	} cases[] = { { 0, 0, NULL }, { 4, 4, "ipv4" }, { 16, 16, "ipv6" }, { 4, 0, "ipv4" }, { 0, 16, "ipv6" }, { 0, 4, "ipv4" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		flow_clear(flow);
		if (cases[i].src_bytes != 0)
			flow_set_octets(flow, F_src_ip, octets, cases[i].src_bytes);
		if (cases[i].dst_bytes != 0)
			flow_set_octets(flow, F_dst_ip, octets, cases[i].dst_bytes);
		enrich_totals_run(NULL, NULL, flow, 1);
		assert_int_equal(flow_has(flow, F_ip_family), cases[i].family != NULL);
		if (cases[i].family == NULL)
			continue;
		assert_int_equal(flow->slots[F_ip_family].bytes, 4);
		assert_memory_equal(flow->slots[F_ip_family].octets, cases[i].family, 4);
	}
}

/* The set runs it after `derived`, on every flow of a batch. */
static void in_the_set(void **state)
{
	char *names[] = { (char *)"totals", (char *)"derived" };
	struct flow *flows = calloc(2, sizeof(*flows));
	const struct session session = { .gap = SESSION_GAP_UNKNOWN };
	const struct enrich_context context = { &session };
	struct enrich_set *set;
	struct why why = { "" };

	(void)state;
	must(flows != NULL);
	assert_int_equal(enrich_load(names, 2, NULL, &why, &set), ERR_OK);
	flow_set_i64(&flows[0], F_bytes, 5);
	flow_set_i64(&flows[1], F_packets, 6);
	enrich_run(set, &context, flows, 2);
	assert_int_equal(flows[0].slots[F_total_bytes].i64, 5);
	assert_true(flow_has(&flows[0], F_total_bytes) && !flow_has(&flows[0], F_total_packets));
	assert_int_equal(flows[1].slots[F_total_packets].i64, 6);
	assert_true(flow_has(&flows[1], F_total_packets) && !flow_has(&flows[1], F_total_bytes));
	assert_true(flow_has(&flows[0], F_is_biflow) && flow_has(&flows[1], F_is_biflow));
	enrich_free(set);
	free(flows);
}

static int open_all(void **state)
{
	(void)state;
	flow = calloc(1, sizeof(*flow));
	must(flow != NULL);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	free(flow);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(family),
		cmocka_unit_test(in_the_set),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
