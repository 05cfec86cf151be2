/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the example of each field is one that the field can have, and those of all fields are of one flow;
 * and what is said to feed a field does.
 * Method: the examples of the normalized layer, read back from their JSON, become a flow.  What the enrichers
 * make of it must be the examples of the enriched layer, octet by octet; an enricher gives the fields of its
 * feeds and no other; it gives the same of a flow that has the fields its feed names and no more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <jansson.h>

#include "base/must.h"
#include "normalizer/enrich.h"
#include "normalizer/enrich_ndpi.h"
#include "normalizer/enrich_service.h"
#include "normalizer/join.h"

#define ENTRIES 16

static struct field_set set;
static json_t *examples[FIELD_SLOTS];
static uint8_t address_octets[FIELD_SLOTS][16];
static struct flow *flow;
static struct session session;
static struct exporter_entry entry;
static struct enrich_context context = { .session = &session };
static struct ndpi_releases *releases;
static void *selves[ENRICHERS_MAX];

/* ---- examples ---- */

/* Octets of the address; 0: it is none, or not in its short form. */
static uint32_t read_address(const char *text, uint8_t octets[16])
{
	char again[INET6_ADDRSTRLEN];
	int family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;

	if (inet_pton(family, text, octets) != 1 || inet_ntop(family, octets, again, sizeof(again)) == NULL ||
	    strcmp(again, text) != 0)
		return 0;
	return family == AF_INET ? 4 : 16;
}

/* Six octets of two lower-case digits each, with colons between. */
static bool is_mac(const char *text)
{
	for (size_t i = 0; i < 17; i++) {
		if (text[i] == '\0' || strchr(i % 3 == 2 ? ":" : "0123456789abcdef", text[i]) == NULL)
			return false;
	}
	return text[17] == '\0';
}

static bool all_are(const json_t *list, bool is_texts)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);

		if (is_texts ? !json_is_string(v) : !json_is_integer(v))
			return false;
	}
	return json_is_array(list) && json_array_size(list) > 0;
}

/* Could a sink have printed it for a field of that type? */
static bool fits(enum field_type type, const json_t *v)
{
	json_int_t n = json_integer_value(v);
	uint8_t octets[16];

	switch (type) {
	case FIELD_ADDR:
		return json_is_string(v) && read_address(json_string_value(v), octets) != 0;
	case FIELD_MAC:
		return json_is_string(v) && is_mac(json_string_value(v));
	case FIELD_STR:
		return json_is_string(v) && json_string_length(v) > 0;
	case FIELD_I32:
	case FIELD_DATE:
		return json_is_integer(v) && n >= INT32_MIN && n <= INT32_MAX;
	case FIELD_I64:
		return json_is_integer(v);
	case FIELD_MS: /* of our century */
		return json_is_integer(v) && n > INT64_C(946684800000) && n < INT64_C(4102444800000);
	case FIELD_F64:
		return json_is_number(v);
	case FIELD_BOOL:
		return json_is_boolean(v);
	case FIELD_LONGS:
		return all_are(v, false);
	case FIELD_STRS:
		return all_are(v, true);
	case FIELD_TYPE_COUNT:
		break;
	}
	return false;
}

static void each_fits_its_type(void **state)
{
	size_t count = 0;

	(void)state;
	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		if (set.fields[i].name == NULL)
			continue;
		if (!fits(set.fields[i].type, examples[i]))
			fail_msg("%s: %s is none", set.fields[i].name, set.fields[i].example);
		count++;
	}
	assert_int_equal(count, FIELD_NORMALIZED_COUNT + FIELD_ENRICHED_COUNT);
}

static int64_t number(unsigned field)
{
	if (!json_is_integer(examples[field]))
		fail_msg("%s is no number", set.fields[field].name);
	return json_integer_value(examples[field]);
}

static const char *text(unsigned field)
{
	if (!json_is_string(examples[field]))
		fail_msg("%s is no text", set.fields[field].name);
	return json_string_value(examples[field]);
}

static void they_are_of_one_flow(void **state)
{
	static const unsigned same[][2] = {
		{ F_bytes, F_bytes_total },	      { F_packets, F_packets_total },
		{ F_reverse_bytes, F_reverse_bytes_total }, { F_reverse_packets, F_reverse_packets_total },
		{ F_bytes, F_post_bytes },	      { F_packets, F_post_packets },
		{ F_event_time, F_flow_end_time },    { F_connection_start_time, F_flow_start_time },
		{ F_dst_port, F_nat_dst_port },	      { F_risk_score_reported, F_risk_score },
		{ F_src_as_number, F_src_asn_resolved }, { F_dst_as_number, F_dst_asn_resolved },
	};
	static const unsigned same_texts[][2] = {
		{ F_src_ip, F_pkt_src_ip },	 { F_dst_ip, F_pkt_dst_ip },   { F_dst_ip, F_nat_dst_ip },
		{ F_tls_sni, F_dns_query },	 { F_dns_answers, F_dst_ip },  { F_dst_name, F_tls_sni },
		{ F_exporter_ip, F_exporter_reported_ip },
	};
	int64_t in_histogram = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_int_equal(number(same[i][0]), number(same[i][1]));
	for (size_t i = 0; i < sizeof(same_texts) / sizeof(same_texts[0]); i++)
		assert_string_equal(text(same_texts[i][0]), text(same_texts[i][1]));
	for (size_t i = 0; i < json_array_size(examples[F_size_histogram]); i++)
		in_histogram += json_integer_value(json_array_get(examples[F_size_histogram], i));
	assert_int_equal(json_array_size(examples[F_size_histogram]), 6);
	assert_int_equal(in_histogram, number(F_total_packets));
	assert_true(number(F_flow_start_time) < number(F_flow_end_time));
	assert_true(number(F_flow_end_time) < number(F_export_time));
	assert_true(number(F_export_time) < number(F_ingest_time));
	assert_int_equal(number(F_flow_start_ns) / 1000000, number(F_flow_start_time));
	assert_int_equal(number(F_flow_end_ns) / 1000000, number(F_flow_end_time));
	assert_int_equal((number(F_flow_end_ns) - number(F_flow_start_ns)) / 1000, number(F_duration_us));
	assert_int_equal(number(F_tcp_flags), number(F_tcp_flags_forward) | number(F_tcp_flags_reverse));
	assert_int_equal(number(F_ip_tos) >> 2, number(F_ip_dscp));
	assert_in_range(number(F_nat_src_port), number(F_nat_port_range_start), number(F_nat_port_range_end));
	assert_int_equal(number(F_tcp_rtt_us), number(F_client_latency_us) + number(F_server_latency_us));
	assert_in_range(number(F_bytes), number(F_packets) * number(F_packet_size_min),
			number(F_packets) * number(F_packet_size_max));
}

/* ---- what enrichers make of them ---- */

static void put_example(struct flow *f, unsigned i)
{
	const json_t *v = examples[i];

	switch (set.fields[i].type) {
	case FIELD_ADDR:
		flow_set_octets(f, i, address_octets[i], read_address(text(i), address_octets[i]));
		break;
	case FIELD_STR:
		flow_set_octets(f, i, text(i), (uint32_t)json_string_length(v));
		break;
	case FIELD_BOOL:
		flow_set_i64(f, i, json_is_true(v));
		break;
	case FIELD_I32:
	case FIELD_I64:
	case FIELD_MS:
	case FIELD_DATE:
		flow_set_i64(f, i, json_integer_value(v));
		break;
	case FIELD_MAC: /* no enricher looks at MACs, doubles and lists */
	case FIELD_F64:
	case FIELD_LONGS:
	case FIELD_STRS:
	case FIELD_TYPE_COUNT:
		break;
	}
	if (i == F_app_id)
		f->slots[i].tag = APP_ID_NDPI;
}

/* Does `words` name the field, a word of its own? */
static bool names(const char *words, const char *field)
{
	size_t bytes = strlen(field);

	for (const char *at = strstr(words, field); at != NULL; at = strstr(at + 1, field)) {
		bool is_begin = at == words || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');

		if (is_begin && !isalnum((unsigned char)at[bytes]) && at[bytes] != '_')
			return true;
	}
	return false;
}

enum kind { TLS, PING, KINDS };

/* The flow of all normalized examples, or of those that `words` names.  It cannot be a ping as well, nor can its
 * application have nDPI's number and an engine's: those are of a flow of their own. */
static void set_up(enum kind kind, const char *words)
{
	flow_clear(flow);
	for (unsigned i = 0; i < FIELD_NORMALIZED_COUNT; i++) {
		if (words == NULL || names(words, set.fields[i].name))
			put_example(flow, i);
	}
	if (kind == PING && flow_has(flow, F_protocol_number))
		flow_set_i64(flow, F_protocol_number, 1);
	if (kind == PING && flow_has(flow, F_app_id)) {
		flow_set_octets(flow, F_app_id, "13:453", 6);
		flow->slots[F_app_id].tag = APP_ID_OTHER;
	}
}

static enum kind kind_of(unsigned field)
{
	return field == F_icmp_name || field == F_app_engine ? PING : TLS;
}

static bool has_text(const struct slot *slot, const json_t *v)
{
	return json_string_length(v) == slot->bytes && memcmp(json_string_value(v), slot->octets, slot->bytes) == 0;
}

static bool has_texts(const struct slot *slot, const json_t *list)
{
	if (json_array_size(list) != slot->bytes)
		return false;
	for (uint32_t i = 0; i < slot->bytes; i++) {
		const char *v = json_string_value(json_array_get(list, i));

		if (strlen(v) != slot->texts[i].bytes || memcmp(v, slot->texts[i].octets, strlen(v)) != 0)
			return false;
	}
	return true;
}

/* Does the flow have what the example says? */
static bool is_example(unsigned i)
{
	const struct slot *slot = &flow->slots[i];
	const json_t *v = examples[i];
	uint8_t octets[16];
	char number_text[32];

	if (!flow_has(flow, i))
		return false;
	switch (set.fields[i].type) {
	case FIELD_ADDR:
		return read_address(text(i), octets) == slot->bytes && memcmp(octets, slot->octets, slot->bytes) == 0;
	case FIELD_STR:
		return has_text(slot, v);
	case FIELD_STRS:
		return has_texts(slot, v);
	case FIELD_F64: /* as base/json prints it */
		(void)snprintf(number_text, sizeof(number_text), "%.17g", slot->f64);
		return strcmp(number_text, set.fields[i].example) == 0;
	case FIELD_BOOL:
		return slot->i64 == json_is_true(v);
	case FIELD_I32:
	case FIELD_I64:
	case FIELD_MS:
	case FIELD_DATE:
		return slot->i64 == json_integer_value(v);
	case FIELD_MAC:
	case FIELD_LONGS:
	case FIELD_TYPE_COUNT:
		break;
	}
	return false;
}

static void must_be_example(unsigned i, const char *of)
{
	const struct slot *slot = &flow->slots[i];
	bool is_text = set.fields[i].type == FIELD_STR;

	if (!is_example(i))
		fail_msg("%s of %s: the example is %s, not %.*s or %lld or %.17g, present %d", set.fields[i].name, of,
			 set.fields[i].example, is_text ? (int)slot->bytes : 0, is_text ? (const char *)slot->octets : "",
			 (long long)slot->i64, slot->f64, flow_has(flow, i));
}

static void enrichers_make_the_examples(void **state)
{
	(void)state;
	for (enum kind kind = TLS; kind < KINDS; kind++) {
		set_up(kind, NULL);
		for (size_t e = 0; enrichers[e].name != NULL; e++)
			enrichers[e].run(selves[e], &context, flow, 1);
		for (size_t e = 0; enrichers[e].name != NULL; e++) {
			for (const struct feed *feed = enrichers[e].feeds; feed->what != NULL; feed++) {
				if (kind_of(feed->field) == kind)
					must_be_example(feed->field, enrichers[e].name);
			}
		}
	}
}

static bool is_fed(const struct feed *feeds, unsigned field)
{
	for (; feeds->what != NULL; feeds++) {
		if (feeds->field == field)
			return true;
	}
	return false;
}

static void an_enricher_gives_what_its_feeds_say(void **state)
{
	(void)state;
	for (size_t e = 0; enrichers[e].name != NULL; e++) {
		for (enum kind kind = TLS; kind < KINDS; kind++) {
			set_up(kind, NULL);
			enrichers[e].run(selves[e], &context, flow, 1);
			for (unsigned i = FIELD_ENRICHED_FIRST; i < FIELD_ENRICHED_END; i++) {
				if (flow_has(flow, i) && !is_fed(enrichers[e].feeds, i))
					fail_msg("%s gives %s, and does not say so", enrichers[e].name, set.fields[i].name);
			}
		}
		for (const struct feed *feed = enrichers[e].feeds; feed->what != NULL; feed++) {
			assert_null(feed->from);
			set_up(kind_of(feed->field), feed->what);
			enrichers[e].run(selves[e], &context, flow, 1);
			must_be_example(feed->field, feed->what);
		}
	}
}

static void no_field_has_two_enrichers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		unsigned by = 0;

		for (size_t e = 0; enrichers[e].name != NULL; e++)
			by += is_fed(enrichers[e].feeds, i);
		assert_true(by == 0 || (by == 1 && i >= FIELD_ENRICHED_FIRST));
	}
}

/* ---- options data ---- */

/* Learns what a record of two fields says: a key, and a value. */
static void learn(struct join **j, uint32_t pen, uint16_t key_id, const void *key, uint32_t key_bytes,
		  struct join_element e, const void *value, uint32_t value_bytes)
{
	const struct value values[] = { { key, key_bytes }, { value, value_bytes } };
	struct join_learned learned;
	struct tmpl *t;

	must(tmpl_new(2, &t) == ERR_OK);
	t->fields[0] = (struct tmpl_field){ pen, key_id, (uint16_t)key_bytes, true };
	t->fields[1] = (struct tmpl_field){ e.pen, e.id, (uint16_t)value_bytes, false };
	join_learn(j, NULL, t, values, ENTRIES, &learned);
	assert_int_equal(learned.entries, 1);
	tmpl_free(t);
}

/* Each element that is said to give a name gives it to a flow that has the key. */
static void options_data_gives_names(void **state)
{
	static const struct {
		unsigned field;
		unsigned by;
		uint16_t element;
	} rows[] = {
		{ F_in_interface_name, F_in_interface, 10 }, { F_out_interface_name, F_out_interface, 14 },
		{ F_ingress_vrf_name, F_ingress_vrf, 234 },  { F_egress_vrf_name, F_egress_vrf, 235 },
		{ F_app_name, F_app_id, 95 },		     { F_app_category, F_app_id, 95 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static const uint8_t application[] = { 13, 0, 1, 197 }; /* 13:453 */
		const uint8_t key[] = { 0, 0, 0, (uint8_t)(rows[i].by == F_app_id ? 0 : number(rows[i].by)) };
		struct join_element elements[ENTRIES];
		const char *by = NULL;
		size_t count = join_explain(rows[i].field, elements, ENTRIES, &by);

		assert_true(count > 0 && count < ENTRIES);
		assert_string_equal(by, set.fields[rows[i].by].name);
		for (size_t e = 0; e < count; e++) {
			struct join *j = NULL;

			learn(&j, PEN_IANA, rows[i].element, rows[i].by == F_app_id ? application : key, sizeof(key),
			      elements[e], text(rows[i].field), (uint32_t)strlen(text(rows[i].field)));
			set_up(PING, by);
			join_flow((struct join *const[JOINS]){ j, NULL }, flow);
			must_be_example(rows[i].field, "options data");
			join_free(j);
		}
	}
	assert_int_equal(join_explain(F_bytes, NULL, 0, NULL), 0);
}

/* ---- */

static void learn_alias(unsigned interface, unsigned alias)
{
	const uint8_t key[] = { 0, 0, 0, (uint8_t)number(interface) };
	struct join_element elements[ENTRIES];
	const char *by = NULL;

	assert_int_equal(join_explain(alias, elements, ENTRIES, &by), 1);
	assert_string_equal(by, set.fields[interface].name);
	learn(&context.joins[0], PEN_IANA, 10, key, sizeof(key), elements[0], text(alias), (uint32_t)strlen(text(alias)));
}

static void set_up_session(void)
{
	entry.site = text(F_exporter_site);
	session.entry = &entry;
	session.is_named = true;
	session.identity_bytes = (uint8_t)snprintf(session.identity, sizeof(session.identity), "%s", text(F_exporter_name));
	session.gap = 0;
	session.skew_count = 1;
	session.skew_ms = number(F_export_time) - number(F_ingest_time);
	learn_alias(F_in_interface, F_in_interface_alias);
	learn_alias(F_out_interface, F_out_interface_alias);
}

static void load_enrichers(void)
{
	struct why why = { "" };
	const struct enrich_service_conf service = { "templates/tables" };
	struct enrich_ndpi_conf ndpi = { .release = (char *)NDPI_RELEASE };

	must(ndpi_load("templates/tables", &why, &releases) == ERR_OK);
	ndpi.releases = releases;
	for (size_t e = 0; enrichers[e].name != NULL; e++) {
		const void *conf = strcmp(enrichers[e].name, "ndpi") == 0      ? (const void *)&ndpi
				   : strcmp(enrichers[e].name, "service") == 0 ? (const void *)&service
									       : NULL;

		if (enrichers[e].load(conf, &why, &selves[e]) != ERR_OK)
			fail_msg("%s: %s", enrichers[e].name, why.text);
	}
}

static int start(void **state)
{
	json_error_t error;

	(void)state;
	field_set_init(&set);
	for (unsigned i = 0; i < FIELD_SLOTS; i++) {
		if (set.fields[i].name == NULL)
			continue;
		examples[i] = json_loads(set.fields[i].example, JSON_DECODE_ANY, &error);
		if (examples[i] == NULL)
			fail_msg("%s: %s is no JSON: %s", set.fields[i].name, set.fields[i].example, error.text);
	}
	flow = calloc(1, sizeof(*flow));
	must(flow != NULL);
	set_up_session();
	load_enrichers();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (size_t e = 0; enrichers[e].name != NULL; e++)
		enrichers[e].free(selves[e]);
	for (unsigned i = 0; i < FIELD_SLOTS; i++)
		json_decref(examples[i]);
	ndpi_free(releases);
	join_free(context.joins[0]);
	free(flow);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fits_its_type),
		cmocka_unit_test(they_are_of_one_flow),
		cmocka_unit_test(enrichers_make_the_examples),
		cmocka_unit_test(an_enricher_gives_what_its_feeds_say),
		cmocka_unit_test(no_field_has_two_enrichers),
		cmocka_unit_test(options_data_gives_names),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
