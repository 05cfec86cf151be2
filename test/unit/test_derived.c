/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each field of the enricher derived is what fields.def says, null when its inputs are absent, and the
 * enricher writes nothing that an exporter said.
 * Method: one table of flows, each with the enriched fields that must come out; all others must be null but for
 * those that every flow has.  The keys of dedup_key were computed from the definition in enrich_derived.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/must.h"
#include "normalizer/enrich_derived.h"
#include "normalizer/icmp.h"

#define T INT64_C(1700000000000)
#define MOST INT64_MAX
#define LEAST INT64_MIN
#define IN_MAX 12
#define OUT_MAX 6

struct in {
	unsigned field;
	int64_t number;
};

struct out {
	unsigned field;
	int64_t number;
	const char *text; /* NULL: number */
};

#define N(field, number) { F_##field, number, NULL }
#define S(field, text) { F_##field, 0, text }
#define I(field, number) { F_##field, number }
#define TCP I(protocol_number, 6)
/* What every row has that says nothing of counters. */
#define UNI N(is_biflow, 0)

static const struct row {
	const char *name;
	struct in in[IN_MAX]; /* ended by field 0: event_time is never an input of its own here */
	struct out out[OUT_MAX];
} rows[] = {
	{ "nothing", { { 0 } }, { UNI } },

	{ "duration", { I(flow_start_time, T), I(flow_end_time, T + 1500) }, { UNI, N(duration_ms, 1500) } },
	{ "duration of zero", { I(flow_start_time, T), I(flow_end_time, T) }, { UNI, N(duration_ms, 0) } },
	{ "ends before it starts", { I(flow_start_time, T), I(flow_end_time, T - 1) }, { UNI } },
	{ "no start", { I(flow_end_time, T) }, { UNI } },
	{ "no end", { I(flow_start_time, T) }, { UNI } },
	{ "before 1970", { I(flow_start_time, -20), I(flow_end_time, -5) }, { UNI, N(duration_ms, 15) } },
	{ "no long holds it", { I(flow_start_time, LEAST), I(flow_end_time, 0) }, { UNI } },

	{ "rate not known", { I(bytes, 10), I(packets, 1) }, { UNI } },
	{ "rate of 0", { I(bytes, 10), I(sampling_rate, 0) }, { UNI } },
	{ "rate of -1", { I(bytes, 10), I(sampling_rate, -1) }, { UNI } },
	{ "rate of 1", { I(bytes, 10), I(packets, 2), I(sampling_rate, 1) },
	  { UNI, N(is_sampled, 0), N(bytes_corrected, 10), N(packets_corrected, 2) } },
	{ "rate of 100", { I(bytes, 10), I(packets, 0), I(sampling_rate, 100) },
	  { UNI, N(is_sampled, 1), N(bytes_corrected, 1000), N(packets_corrected, 0) } },
	{ "rate without counters", { I(sampling_rate, 2) }, { UNI, N(is_sampled, 1) } },
	{ "at the limit", { I(bytes, MOST / 2), I(packets, MOST / 2 + 1), I(sampling_rate, 2) },
	  { UNI, N(is_sampled, 1), N(bytes_corrected, MOST - 1), N(packets_corrected, MOST) } },
	{ "saturated", { I(bytes, MOST), I(sampling_rate, 1000) }, { UNI, N(is_sampled, 1), N(bytes_corrected, MOST) } },

	{ "biflow by octets", { I(reverse_bytes, 0) }, { N(is_biflow, 1) } },
	{ "biflow by packets", { I(reverse_packets, 7) }, { N(is_biflow, 1) } },

	{ "no flag", { TCP, I(tcp_flags, 0) }, { UNI, S(tcp_flags_text, "........."), S(tcp_session_state, "unknown") } },
	{ "every flag", { TCP, I(tcp_flags, 0x1ff) }, { UNI, S(tcp_flags_text, "FSRPAUECN"), S(tcp_session_state, "reset") } },
	{ "offset and reserved bits", { TCP, I(tcp_flags, 0x5e02) },
	  { UNI, S(tcp_flags_text, ".S......."), S(tcp_session_state, "syn_only") } },
	{ "FIN", { TCP, I(tcp_flags, 0x01) }, { UNI, S(tcp_flags_text, "F........"), S(tcp_session_state, "unknown") } },
	{ "SYN", { TCP, I(tcp_flags, 0x02) }, { UNI, S(tcp_flags_text, ".S......."), S(tcp_session_state, "syn_only") } },
	{ "RST", { TCP, I(tcp_flags, 0x04) }, { UNI, S(tcp_flags_text, "..R......"), S(tcp_session_state, "reset") } },
	{ "PSH", { TCP, I(tcp_flags, 0x08) }, { UNI, S(tcp_flags_text, "...P....."), S(tcp_session_state, "unknown") } },
	{ "ACK", { TCP, I(tcp_flags, 0x10) }, { UNI, S(tcp_flags_text, "....A...."), S(tcp_session_state, "established") } },
	{ "URG", { TCP, I(tcp_flags, 0x20) }, { UNI, S(tcp_flags_text, ".....U..."), S(tcp_session_state, "unknown") } },
	{ "ECE", { TCP, I(tcp_flags, 0x40) }, { UNI, S(tcp_flags_text, "......E.."), S(tcp_session_state, "unknown") } },
	{ "CWR", { TCP, I(tcp_flags, 0x80) }, { UNI, S(tcp_flags_text, ".......C."), S(tcp_session_state, "unknown") } },
	{ "N", { TCP, I(tcp_flags, 0x100) }, { UNI, S(tcp_flags_text, "........N"), S(tcp_session_state, "unknown") } },
	{ "SYN and FIN", { TCP, I(tcp_flags, 0x03) }, { UNI, S(tcp_flags_text, "FS......."), S(tcp_session_state, "unknown") } },
	{ "one way, whole", { TCP, I(tcp_flags, 0x1b) }, { UNI, S(tcp_flags_text, "FS.PA...."), S(tcp_session_state, "closed") } },
	{ "protocol not said", { I(tcp_flags, 0x12) }, { UNI, S(tcp_flags_text, ".S..A...."), S(tcp_session_state, "established") } },
	{ "zero with UDP", { I(protocol_number, 17), I(tcp_flags, 0) }, { UNI } },
	{ "handshake not completed", { TCP, I(tcp_flags_forward, 0x02), I(tcp_flags_reverse, 0x12) },
	  { UNI, S(tcp_flags_text, ".S..A...."), S(tcp_session_state, "syn_only") } },
	{ "both ways", { TCP, I(tcp_flags, 0x1a), I(tcp_flags_forward, 0x1a), I(tcp_flags_reverse, 0x12) },
	  { UNI, S(tcp_flags_text, ".S.PA...."), S(tcp_session_state, "established") } },
	{ "half closed", { TCP, I(tcp_flags, 0x1b), I(tcp_flags_forward, 0x1b), I(tcp_flags_reverse, 0x1a) },
	  { UNI, S(tcp_flags_text, "FS.PA...."), S(tcp_session_state, "established") } },
	{ "closed both ways", { TCP, I(tcp_flags_forward, 0x1b), I(tcp_flags_reverse, 0x13) },
	  { UNI, S(tcp_flags_text, "FS.PA...."), S(tcp_session_state, "closed") } },
	{ "the other way not seen", { TCP, I(tcp_flags, 0x13), I(tcp_flags_forward, 0x13), I(tcp_flags_reverse, 0) },
	  { UNI, S(tcp_flags_text, "FS..A...."), S(tcp_session_state, "closed") } },
	{ "refused", { TCP, I(tcp_flags_forward, 0x02), I(tcp_flags_reverse, 0x14) },
	  { UNI, S(tcp_flags_text, ".SR.A...."), S(tcp_session_state, "reset") } },

	{ "echo", { I(protocol_number, 1), I(icmp_type, 8), I(icmp_code, 0) }, { UNI, S(icmp_name, "Echo") } },
	{ "echo reply", { I(protocol_number, 1), I(icmp_type, 0), I(icmp_code, 0) }, { UNI, S(icmp_name, "Echo Reply") } },
	{ "the same of IPv6", { I(protocol_number, 58), I(icmp_type, 129), I(icmp_code, 0) },
	  { UNI, S(icmp_name, "Echo Reply") } },
	{ "type 3 of IPv4", { I(protocol_number, 1), I(icmp_type, 3), I(icmp_code, 1) },
	  { UNI, S(icmp_name, "Destination Unreachable: Host Unreachable") } },
	{ "type 3 of IPv6", { I(protocol_number, 58), I(icmp_type, 3), I(icmp_code, 1) },
	  { UNI, S(icmp_name, "Time Exceeded: fragment reassembly time exceeded") } },
	{ "last code of IPv4", { I(protocol_number, 1), I(icmp_type, 3), I(icmp_code, 15) },
	  { UNI, S(icmp_name, "Destination Unreachable: Precedence cutoff in effect") } },
	{ "code without name", { I(protocol_number, 1), I(icmp_type, 3), I(icmp_code, 16) },
	  { UNI, S(icmp_name, "Destination Unreachable") } },
	{ "code far from the others", { I(protocol_number, 58), I(icmp_type, 138), I(icmp_code, 255) },
	  { UNI, S(icmp_name, "Router Renumbering: Sequence Number Reset") } },
	{ "no code", { I(protocol_number, 1), I(icmp_type, 11) }, { UNI, S(icmp_name, "Time Exceeded") } },
	{ "last row", { I(protocol_number, 58), I(icmp_type, 201), I(icmp_code, 0) },
	  { UNI, S(icmp_name, "Private experimentation") } },
	{ "type without name", { I(protocol_number, 1), I(icmp_type, 7), I(icmp_code, 0) }, { UNI } },
	{ "type of IPv6 in IPv4", { I(protocol_number, 1), I(icmp_type, 128) }, { UNI } },
	{ "type above an octet", { I(protocol_number, 1), I(icmp_type, 256) }, { UNI } },
	{ "type below 0", { I(protocol_number, 58), I(icmp_type, -1) }, { UNI } },
	{ "type 0 of a TCP flow", { TCP, I(icmp_type, 0), I(icmp_code, 0) }, { UNI } },
	{ "no protocol", { I(icmp_type, 8) }, { UNI } },
	{ "no type", { I(protocol_number, 1), I(icmp_code, 0) }, { UNI } },

	{ "delay of export", { I(flow_end_time, T), I(export_time, T + 250) }, { UNI, N(export_delay_ms, 250) } },
	{ "whole seconds of export", { I(flow_end_time, T + 999), I(export_time, T) }, { UNI, N(export_delay_ms, -999) } },
	{ "ends at the limit", { I(ingest_time, T), I(flow_end_time, T + 60000) }, { UNI, N(clock_skew_flag, 0) } },
	{ "ends later than received", { I(ingest_time, T), I(flow_end_time, T + 60001) }, { UNI, N(clock_skew_flag, 1) } },
	{ "ended long ago", { I(ingest_time, T), I(flow_end_time, T - 600000) }, { UNI, N(clock_skew_flag, 0) } },
	{ "delay at its most", { I(export_time, MOST), I(flow_end_time, 0) }, { UNI, N(export_delay_ms, MOST) } },
};

static struct flow *flow;
static void *self;
static struct session session = { .gap = SESSION_GAP_UNKNOWN };
static const struct enrich_context context = { &session };

static void set_up(const struct in *in)
{
	flow_clear(flow);
	for (size_t i = 0; i < IN_MAX && in[i].field != 0; i++)
		flow_set_i64(flow, in[i].field, in[i].number);
}

static void run(void)
{
	enrich_derived_run(self, &context, flow, 1);
}

static void check_text(const char *name, unsigned field, const char *text)
{
	const struct slot *slot = &flow->slots[field];

	if (!flow_has(flow, field) || slot->bytes != strlen(text) ||
	    memcmp(slot->octets, text, slot->bytes) != 0)
		fail_msg("%s: field %u is not %s but %.*s", name, field, text,
			 flow_has(flow, field) ? (int)slot->bytes : 4,
			 flow_has(flow, field) ? (const char *)slot->octets : "null");
}

static unsigned count_enriched(void)
{
	unsigned n = 0;

	for (size_t w = FIELD_NORMALIZED_WORDS; w < FIELD_WORDS; w++)
		n += (unsigned)__builtin_popcountll(flow->has[w]);
	return n;
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
		run();
		for (; count < OUT_MAX && r->out[count].field != 0; count++) {
			const struct out *o = &r->out[count];

			if (o->text != NULL) {
				check_text(r->name, o->field, o->text);
				continue;
			}
			if (!flow_has(flow, o->field) || flow->slots[o->field].i64 != o->number)
				fail_msg("%s: field %u is not %lld", r->name, o->field, (long long)o->number);
		}
		if (count_enriched() != count)
			fail_msg("%s: %u fields instead of %u", r->name, count_enriched(), count);
		assert_memory_equal(said, flow->has, sizeof(said));
		for (size_t n = 0; n < IN_MAX && r->in[n].field != 0; n++)
			assert_int_equal(flow->slots[r->in[n].field].i64, r->in[n].number);
	}
}

/* event_time is field 0, which ends a row of the table above. */
static void latency(void **state)
{
	(void)state;
	flow_clear(flow);
	flow_set_i64(flow, F_event_time, T);
	run();
	assert_false(flow_has(flow, F_ingest_latency_ms));
	flow_set_i64(flow, F_ingest_time, T + 42);
	run();
	assert_int_equal(flow->slots[F_ingest_latency_ms].i64, 42);
	flow_set_i64(flow, F_ingest_time, T - 42);
	run();
	assert_int_equal(flow->slots[F_ingest_latency_ms].i64, -42);
}

/* Skew and gap are the session's; the limit is an option, a minute by default. */
static void clock_and_gap(void **state)
{
	static const struct {
		uint32_t limit_s;
		int64_t skew_ms;
		int64_t flag;
	} skews[] = { { 60, -60001, 1 }, { 60, -60000, 0 }, { 60, 60000, 0 }, { 60, 60001, 1 },
		      { 1, -1001, 1 },	 { 1, -1000, 0 },   { 1, 0, 0 } };
	struct why why = { "" };

	(void)state;
	for (size_t i = 0; i < sizeof(skews) / sizeof(skews[0]); i++) {
		struct enrich_derived_conf conf = { skews[i].limit_s };
		void *strict;

		assert_int_equal(enrich_derived_load(&conf, &why, &strict), ERR_OK);
		flow_clear(flow);
		session.skew_count = 1;
		session.skew_ms = skews[i].skew_ms;
		session.gap = (int64_t)i;
		enrich_derived_run(strict, &context, flow, 1);
		assert_int_equal(flow->slots[F_clock_skew_ms].i64, skews[i].skew_ms);
		assert_int_equal(flow->slots[F_clock_skew_flag].i64, skews[i].flag);
		assert_int_equal(flow->slots[F_sequence_gap].i64, i);
		enrich_derived_free(strict);
	}
	session.skew_count = 0;
	session.gap = SESSION_GAP_UNKNOWN;
	flow_clear(flow);
	run();
	assert_false(flow_has(flow, F_clock_skew_ms));
	assert_false(flow_has(flow, F_clock_skew_flag));
	assert_false(flow_has(flow, F_sequence_gap));
}

static void engine(void **state)
{
	static const struct {
		const char *app_id;
		const char *engine; /* NULL: null */
	} ids[] = {
		{ "1:6", "IANA-L3" },	  { "3:80", "IANA-L4" },	 { "6:1", "USER-Defined" },
		{ "13:453", "PANA-L7" },  { "20:9:1", "PANA-L7-PEN" }, { "21:1", "Qosmos ixEngine" },
		{ "22:7", "ntop nDPI" }, { "0:1", NULL },		 { "5:1", NULL },
		{ "255:1", NULL },	  { "256:1", NULL },		 { "999:1", NULL },
		{ "1000:1", NULL },	  { "7", NULL },		 { "13", NULL },
		{ "", NULL },		  { ":1", NULL },		 { "x:1", NULL },
		{ "13.1", NULL },	  { "3:", "IANA-L4" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		flow_clear(flow);
		flow_set_octets(flow, F_app_id, ids[i].app_id, (uint32_t)strlen(ids[i].app_id));
		run();
		if (ids[i].engine != NULL)
			check_text(ids[i].app_id, F_app_engine, ids[i].engine);
		else if (flow_has(flow, F_app_engine))
			fail_msg("`%s' has an engine", ids[i].app_id);
	}
}

static const uint8_t v4[3][4] = { { 10, 0, 0, 1 }, { 192, 0, 2, 9 }, { 198, 51, 100, 7 } };
static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 10, 0, 0, 1 };
static const uint8_t v6[2][16] = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 } };
#define KEY_V4 "dcbccb168f7e46057f9947b1b1dc0313"
#define KEY_V6 "05fe43c74dfd2ecabf717fab184d1adc"

static void whole_flow(void)
{
	static const struct in in[IN_MAX] = { TCP, I(src_port, 40000), I(dst_port, 443), I(flow_start_time, T),
					      I(flow_end_time, T + 1500), I(bytes, 5000), I(packets, 10),
					      I(reverse_bytes, 90000), I(reverse_packets, 70) };

	set_up(in);
	flow_set_octets(flow, F_exporter_ip, v4[2], 4);
	flow_set_octets(flow, F_src_ip, v4[0], 4);
	flow_set_octets(flow, F_dst_ip, v4[1], 4);
	flow_set_i64(flow, F_observation_domain_id, 5);
}

static void dedup_vectors(void **state)
{
	static const struct in in[IN_MAX] = { I(protocol_number, 58), I(flow_start_time, T), I(flow_end_time, T) };

	(void)state;
	whole_flow();
	run();
	check_text("v4", F_dedup_key, KEY_V4);
	/* When it was exported, how it was sampled, and what each report counted says nothing of the flow. */
	whole_flow();
	flow_set_octets(flow, F_src_ip, mapped, 16);
	flow_set_i64(flow, F_bytes, 1);
	flow_set_i64(flow, F_export_time, T + 5000);
	flow_set_i64(flow, F_ingest_time, T + 6000);
	flow_set_i64(flow, F_sampling_rate, 10);
	run();
	check_text("the same, reported again", F_dedup_key, KEY_V4);
	set_up(in);
	flow_set_octets(flow, F_exporter_ip, v6[1], 16);
	flow_set_octets(flow, F_src_ip, v6[0], 16);
	flow_set_octets(flow, F_dst_ip, v6[1], 16);
	run();
	check_text("v6, ports and domain absent", F_dedup_key, KEY_V6);
}

/* Each input, changed or absent, gives another key, or none where there can be none. */
static void dedup_inputs(void **state)
{
	static const unsigned numbers[] = { F_observation_domain_id, F_protocol_number, F_src_port,
					    F_dst_port,		     F_flow_start_time, F_flow_end_time };
	static const unsigned needed[] = { F_exporter_ip, F_src_ip, F_dst_ip, F_flow_start_time, F_flow_end_time };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		whole_flow();
		flow->slots[numbers[i]].i64 ^= 1;
		run();
		assert_memory_not_equal(flow->slots[F_dedup_key].octets, KEY_V4, 32);
		whole_flow();
		flow_unmark(flow, numbers[i]);
		run();
		if (flow_has(flow, F_dedup_key))
			assert_memory_not_equal(flow->slots[F_dedup_key].octets, KEY_V4, 32);
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		whole_flow();
		flow_unmark(flow, needed[i]);
		run();
		assert_false(flow_has(flow, F_dedup_key));
	}
	whole_flow();
	flow->slots[F_dst_ip].octets = v4[0];
	run();
	assert_memory_not_equal(flow->slots[F_dedup_key].octets, KEY_V4, 32);
	/* No room for the text. */
	whole_flow();
	flow->scratch_used = FLOW_SCRATCH_BYTES - 31;
	run();
	assert_false(flow_has(flow, F_dedup_key));
	assert_int_equal(flow->scratch_used, FLOW_SCRATCH_BYTES - 31);
}

/* Every name begins with that of its type, and is what the schema may hold. */
static void icmp_names(void **state)
{
	unsigned count = 0;

	(void)state;
	for (int family = 0; family < 2; family++) {
		int64_t protocol = family == 0 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;

		for (int type = 0; type < 256; type++) {
			const struct text *t = icmp_name(protocol, type, ICMP_CODE_NONE);

			for (int code = 0; t != NULL && code < 256; code++) {
				const struct text *c = icmp_name(protocol, type, code);

				assert_non_null(c);
				assert_int_equal(c->bytes, strlen(c->octets));
				assert_memory_equal(c->octets, t->octets, t->bytes);
				if (c == t)
					continue;
				assert_memory_equal(c->octets + t->bytes, ": ", 2);
				count++;
			}
		}
	}
	assert_int_equal(count, 69); /* rows ICMP_CODE of icmp.def */
}

static int open_all(void **state)
{
	struct why why = { "" };

	(void)state;
	flow = calloc(1, sizeof(*flow));
	must(flow != NULL);
	must(enrich_derived_load(NULL, &why, &self) == ERR_OK);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	enrich_derived_free(self);
	free(flow);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),	 cmocka_unit_test(latency),	  cmocka_unit_test(clock_and_gap),
		cmocka_unit_test(engine),	 cmocka_unit_test(dedup_vectors), cmocka_unit_test(dedup_inputs),
		cmocka_unit_test(icmp_names),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
