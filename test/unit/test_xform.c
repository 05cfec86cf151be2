/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every conversion gives the value that its standard says, or refuses, and says what is absent.
 * Method: one table of element type, conversion, field, octets and the slot that must come out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "normalizer/xform.h"

#define EXPORT_MS INT64_C(1700000000000)

static const struct xform_env nf9_env = { .export_ms = EXPORT_MS, .uptime_ms = 100000, .has_uptime = true };
static const struct xform_env ipfix_env = { .export_ms = EXPORT_MS };
static const struct xform_env boot_env = { .export_ms = EXPORT_MS, .boot_ms = EXPORT_MS - 100000, .has_boot = true };

static const struct row {
	const char *name;
	enum element_type type;
	uint16_t natural;
	enum as as;
	enum field_type field;
	const char *octets; /* hex */
	enum xform_result result;
	int64_t number;
	const char *text; /* NULL: number */
	int64_t scale;
	const struct xform_env *env;
} rows[] = {
	{ "u8", ELEMENT_UNSIGNED8, 1, AS_NATURAL, FIELD_I32, "ff", XFORM_TAKEN, 255, NULL, 1, NULL },
	{ "u64 in 1", ELEMENT_UNSIGNED64, 8, AS_NATURAL, FIELD_I64, "07", XFORM_TAKEN, 7, NULL, 1, NULL },
	{ "u64 in 3", ELEMENT_UNSIGNED64, 8, AS_NATURAL, FIELD_I64, "010203", XFORM_TAKEN, 0x010203, NULL, 1, NULL },
	{ "u64 in 5", ELEMENT_UNSIGNED64, 8, AS_NATURAL, FIELD_I64, "0102030405", XFORM_TAKEN, 0x0102030405, NULL, 1, NULL },
	{ "u64 in 7", ELEMENT_UNSIGNED64, 8, AS_NATURAL, FIELD_I64, "01020304050607", XFORM_TAKEN, 0x01020304050607, NULL, 1, NULL },
	{ "u64 saturates", ELEMENT_UNSIGNED64, 8, AS_NATURAL, FIELD_I64, "ffffffffffffffff", XFORM_FAILED, INT64_MAX, NULL, 1, NULL },
	{ "u32 in 8, excess zero", ELEMENT_UNSIGNED32, 4, AS_NATURAL, FIELD_I64, "00000000ffffffff", XFORM_TAKEN, 0xffffffff, NULL, 1, NULL },
	{ "u32 in 10, excess zero", ELEMENT_UNSIGNED32, 4, AS_NATURAL, FIELD_I64, "000000000000000000ff", XFORM_TAKEN, 255, NULL, 1, NULL },
	{ "u32 in 10, excess not zero", ELEMENT_UNSIGNED32, 4, AS_NATURAL, FIELD_I64, "010000000000000000ff", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "u32 over int", ELEMENT_UNSIGNED32, 4, AS_NATURAL, FIELD_I32, "80000000", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "zero length", ELEMENT_UNSIGNED32, 4, AS_NATURAL, FIELD_I64, "", XFORM_ABSENT, 0, NULL, 1, NULL },
	{ "scale", ELEMENT_UNSIGNED32, 4, AS_NATURAL, FIELD_I64, "0000000a", XFORM_TAKEN, 10000, NULL, 1000, NULL },
	{ "signed", ELEMENT_SIGNED32, 4, AS_NATURAL, FIELD_I64, "fffffffe", XFORM_TAKEN, -2, NULL, 1, NULL },
	{ "signed in 2", ELEMENT_SIGNED64, 8, AS_NATURAL, FIELD_I64, "fffe", XFORM_TAKEN, -2, NULL, 1, NULL },
	{ "boolean true", ELEMENT_BOOLEAN, 1, AS_NATURAL, FIELD_BOOL, "01", XFORM_TAKEN, 1, NULL, 1, NULL },
	{ "boolean false", ELEMENT_BOOLEAN, 1, AS_NATURAL, FIELD_BOOL, "02", XFORM_TAKEN, 0, NULL, 1, NULL },
	{ "boolean 0", ELEMENT_BOOLEAN, 1, AS_NATURAL, FIELD_BOOL, "00", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "boolean 3", ELEMENT_BOOLEAN, 1, AS_NATURAL, FIELD_BOOL, "03", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "string", ELEMENT_STRING, 0, AS_NATURAL, FIELD_STR, "616263", XFORM_TAKEN, 0, "abc", 1, NULL },
	{ "string, NUL padded", ELEMENT_STRING, 0, AS_NATURAL, FIELD_STR, "6162630000", XFORM_TAKEN, 0, "abc", 1, NULL },
	{ "string of NULs", ELEMENT_STRING, 0, AS_NATURAL, FIELD_STR, "0000", XFORM_ABSENT, 0, NULL, 1, NULL },
	{ "string, overlong", ELEMENT_STRING, 0, AS_NATURAL, FIELD_STR, "c0af", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "string, surrogate", ELEMENT_STRING, 0, AS_NATURAL, FIELD_STR, "eda080", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "string, cut", ELEMENT_STRING, 0, AS_NATURAL, FIELD_STR, "c328", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "ipv4", ELEMENT_IPV4, 4, AS_NATURAL, FIELD_ADDR, "0a000001", XFORM_TAKEN, 0, "\x0a\x00\x00\x01", 1, NULL },
	{ "ipv4 of 3", ELEMENT_IPV4, 4, AS_NATURAL, FIELD_ADDR, "0a0000", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "mac of 4", ELEMENT_MAC, 6, AS_NATURAL, FIELD_MAC, "0a000001", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "octets as text", ELEMENT_OCTETS, 0, AS_NATURAL, FIELD_STR, "00ff1a", XFORM_TAKEN, 0, "00ff1a", 1, NULL },
	{ "seconds", ELEMENT_SECONDS, 4, AS_MS, FIELD_MS, "ffffffff", XFORM_TAKEN, INT64_C(4294967295000), NULL, 1, NULL },
	{ "milliseconds", ELEMENT_MILLISECONDS, 8, AS_MS, FIELD_MS, "0000018bcfe56800", XFORM_TAKEN, INT64_C(1700000000000), NULL, 1, NULL },
	{ "milliseconds as ns", ELEMENT_MILLISECONDS, 8, AS_NS, FIELD_I64, "0000018bcfe56800", XFORM_TAKEN, INT64_C(1700000000000000000), NULL, 1, NULL },
	/* 2023-11-14T22:13:20.5Z: 1700000000 + 2208988800 = 0xe8fe6f80 */
	{ "NTP to ms", ELEMENT_NANOSECONDS, 8, AS_MS, FIELD_MS, "e8fe6f8080000000", XFORM_TAKEN, INT64_C(1700000000500), NULL, 1, NULL },
	{ "NTP to ns", ELEMENT_NANOSECONDS, 8, AS_NS, FIELD_I64, "e8fe6f8080000000", XFORM_TAKEN, INT64_C(1700000000500000000), NULL, 1, NULL },
	{ "NTP us masks", ELEMENT_MICROSECONDS, 8, AS_NS, FIELD_I64, "e8fe6f80800007ff", XFORM_TAKEN, INT64_C(1700000000500000000), NULL, 1, NULL },
	{ "NTP era 1", ELEMENT_NANOSECONDS, 8, AS_MS, FIELD_MS, "0000000000000001", XFORM_TAKEN, INT64_C(2085978496000), NULL, 1, NULL },
	{ "NTP zero", ELEMENT_NANOSECONDS, 8, AS_MS, FIELD_MS, "0000000000000000", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "NTP of 4", ELEMENT_NANOSECONDS, 8, AS_MS, FIELD_MS, "e8fe6f80", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "uptime", ELEMENT_UNSIGNED32, 4, AS_UPTIME_MS, FIELD_MS, "00018678", XFORM_TAKEN, EXPORT_MS - 40, NULL, 1, &nf9_env },
	{ "uptime before boot", ELEMENT_UNSIGNED32, 4, AS_UPTIME_MS, FIELD_MS, "fffffff6", XFORM_TAKEN, EXPORT_MS - 100010, NULL, 1, &nf9_env },
	{ "uptime after header", ELEMENT_UNSIGNED32, 4, AS_UPTIME_MS, FIELD_MS, "000186aa", XFORM_TAKEN, EXPORT_MS + 10, NULL, 1, &nf9_env },
	{ "uptime without reference", ELEMENT_UNSIGNED32, 4, AS_UPTIME_MS, FIELD_MS, "000186aa", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "uptime since boot", ELEMENT_UNSIGNED32, 4, AS_UPTIME_MS, FIELD_MS, "0000000a", XFORM_TAKEN, EXPORT_MS - 99990, NULL, 1, &boot_env },
	{ "uptime before boot, by boot time", ELEMENT_UNSIGNED32, 4, AS_UPTIME_MS, FIELD_MS, "fffffff6", XFORM_TAKEN, EXPORT_MS - 100010, NULL, 1, &boot_env },
	{ "delta", ELEMENT_UNSIGNED32, 4, AS_DELTA_US, FIELD_MS, "0016e360", XFORM_TAKEN, EXPORT_MS - 1500, NULL, 1, NULL },
	{ "unix us to ns", ELEMENT_MICROSECONDS, 8, AS_UNIX_US, FIELD_I64, "00060a24181e4000", XFORM_TAKEN, INT64_C(1700000000000000000), NULL, 1, NULL },
	{ "unix us to ms", ELEMENT_MICROSECONDS, 8, AS_UNIX_US, FIELD_MS, "00060a24181e4000", XFORM_TAKEN, INT64_C(1700000000000), NULL, 1, NULL },
	{ "unix s", ELEMENT_UNSIGNED32, 4, AS_UNIX_S, FIELD_MS, "6553f100", XFORM_TAKEN, INT64_C(1700000000000), NULL, 1, NULL },
	{ "high8", ELEMENT_UNSIGNED16, 2, AS_HIGH8, FIELD_I32, "0801", XFORM_TAKEN, 8, NULL, 1, NULL },
	{ "low8", ELEMENT_UNSIGNED16, 2, AS_LOW8, FIELD_I32, "0801", XFORM_TAKEN, 1, NULL, 1, NULL },
	{ "icmp without protocol", ELEMENT_UNSIGNED16, 2, AS_ICMP_HIGH8, FIELD_I32, "0801", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "decimal", ELEMENT_UNSIGNED64, 8, AS_DECIMAL, FIELD_STR, "ffffffffffffffff", XFORM_TAKEN, 0, "18446744073709551615", 1, NULL },
	{ "bits", ELEMENT_UNSIGNED64, 8, AS_BITS, FIELD_I64, "ffffffffffffffff", XFORM_TAKEN, -1, NULL, 1, NULL },
	{ "low24", ELEMENT_UNSIGNED64, 8, AS_LOW24, FIELD_I64, "0100000000abcdef", XFORM_TAKEN, 0xabcdef, NULL, 1, NULL },
	{ "low24 of 4", ELEMENT_UNSIGNED64, 8, AS_LOW24, FIELD_I32, "01000007", XFORM_TAKEN, 7, NULL, 1, NULL },
	{ "or", ELEMENT_UNSIGNED16, 2, AS_OR, FIELD_I32, "0112", XFORM_TAKEN, 0x112, NULL, 1, NULL },
	{ "or over int", ELEMENT_UNSIGNED32, 4, AS_OR, FIELD_I32, "80000000", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "flag set", ELEMENT_UNSIGNED8, 1, AS_FLAG, FIELD_BOOL, "01", XFORM_TAKEN, 1, NULL, 1, NULL },
	{ "flag not set", ELEMENT_UNSIGNED8, 1, AS_FLAG, FIELD_BOOL, "00", XFORM_TAKEN, 0, NULL, 1, NULL },
	{ "flag of 2", ELEMENT_UNSIGNED8, 1, AS_FLAG, FIELD_BOOL, "02", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "number, then text", ELEMENT_STRING, 0, AS_NUMBER, FIELD_I32, "343034204e6f", XFORM_TAKEN, 404, NULL, 1, NULL },
	{ "number alone", ELEMENT_STRING, 0, AS_NUMBER, FIELD_I32, "323030", XFORM_TAKEN, 200, NULL, 1, NULL },
	{ "number behind text", ELEMENT_STRING, 0, AS_NUMBER, FIELD_I32, "4e6f20343034", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "number over int", ELEMENT_STRING, 0, AS_NUMBER, FIELD_I32, "32313437343833363438", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "address, IPv4", ELEMENT_IPV4, 4, AS_ADDRESS, FIELD_STR, "c0000207", XFORM_TAKEN, 0, "192.0.2.7", 1, NULL },
	{ "address, IPv6", ELEMENT_IPV6, 16, AS_ADDRESS, FIELD_STR, "20010db8000000000000000000000007", XFORM_TAKEN, 0, "2001:db8::7", 1, NULL },
	{ "address of 5", ELEMENT_IPV4, 4, AS_ADDRESS, FIELD_STR, "c000020700", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "app id", ELEMENT_OCTETS, 0, AS_APP_ID, FIELD_STR, "03000050", XFORM_TAKEN, 0, "3:80", 1, NULL },
	{ "app id with enterprise", ELEMENT_OCTETS, 0, AS_APP_ID, FIELD_STR, "1400003044000001", XFORM_TAKEN, 0, "20:12356:1", 1, NULL },
	{ "app id too short", ELEMENT_OCTETS, 0, AS_APP_ID, FIELD_STR, "1400003044", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "mpls label", ELEMENT_OCTETS, 0, AS_MPLS_LABEL, FIELD_LONGS, "000641", XFORM_TAKEN, 100, NULL, 1, NULL },
	{ "mpls of 4", ELEMENT_OCTETS, 0, AS_MPLS_LABEL, FIELD_LONGS, "00064100", XFORM_FAILED, 0, NULL, 1, NULL },
	{ "append", ELEMENT_UNSIGNED32, 4, AS_APPEND, FIELD_LONGS, "00000007", XFORM_TAKEN, 7, NULL, 1, NULL },
};

static size_t of_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return n;
}

static struct xform compile_row(const struct row *row, uint16_t bytes)
{
	static struct element element;
	static struct field field;
	struct xform_how how = { .as = row->as, .scale = row->scale, .field = &field,
				 .field_number = F_src_port, .element = &element, .bytes = bytes };
	struct why why = { "" };
	struct xform x;

	memset(&element, 0, sizeof(element));
	memset(&field, 0, sizeof(field));
	element.type = row->type;
	element.natural_bytes = row->natural;
	field.name = "field";
	field.type = row->field;
	if (xform_compile(&how, &x, &why) != ERR_OK)
		fail_msg("%s: %s", row->name, why.text);
	return x;
}

static void check_row(const struct row *row, const struct flow *f, enum xform_result result)
{
	const struct slot *slot = &f->slots[F_src_port];

	if (result != row->result)
		fail_msg("%s: result %d", row->name, (int)result);
	if (result != XFORM_TAKEN && row->number == 0) {
		assert_false(flow_has(f, F_src_port));
		return;
	}
	assert_true(flow_has(f, F_src_port));
	if (row->text != NULL) {
		if (slot->bytes == 4 && row->field == FIELD_ADDR)
			assert_memory_equal(slot->octets, row->text, 4);
		else if (slot->bytes != strlen(row->text) || memcmp(slot->octets, row->text, slot->bytes) != 0)
			fail_msg("%s: `%.*s'", row->name, (int)slot->bytes, (const char *)slot->octets);
	} else if (row->field == FIELD_LONGS) {
		assert_int_equal(slot->longs[slot->bytes - 1], row->number);
	} else if (slot->i64 != row->number) {
		fail_msg("%s: %lld", row->name, (long long)slot->i64);
	}
}

static void test_rows(void **state)
{
	struct flow *f = calloc(1, sizeof(*f));

	(void)state;
	must(f != NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t octets[64];
		uint32_t bytes = (uint32_t)of_hex(rows[i].octets, octets);
		struct xform x = compile_row(&rows[i], (uint16_t)bytes);
		const struct xform_env *env = rows[i].env == NULL ? &ipfix_env : rows[i].env;

		flow_clear(f);
		check_row(&rows[i], f, xform_run(&x, env, octets, bytes, f));
	}
	free(f);
}

/* Lists grow in order, and only while they are the newest. */
static void test_lists(void **state)
{
	struct flow *f = calloc(1, sizeof(*f));
	const struct row row = { "list", ELEMENT_UNSIGNED32, 4, AS_APPEND, FIELD_LONGS, "", XFORM_TAKEN, 0, NULL, 1, NULL };
	struct xform x = compile_row(&row, 4);
	struct xform other = x;
	uint8_t octets[4] = { 0 };

	(void)state;
	must(f != NULL);
	other.field = F_dst_port;
	for (octets[3] = 1; octets[3] <= 3; octets[3]++)
		assert_int_equal(xform_run(&x, &ipfix_env, octets, 4, f), XFORM_TAKEN);
	assert_int_equal(f->slots[F_src_port].bytes, 3);
	for (int64_t i = 0; i < 3; i++)
		assert_int_equal(f->slots[F_src_port].longs[i], i + 1);
	assert_int_equal(xform_run(&other, &ipfix_env, octets, 4, f), XFORM_TAKEN);
	assert_int_equal(xform_run(&x, &ipfix_env, octets, 4, f), XFORM_FAILED);
	assert_true(f->notes >> NOTE_TRUNCATED & 1);
	free(f);
}

/* Bits of several elements come together in one field. */
static void test_or(void **state)
{
	struct flow *f = calloc(1, sizeof(*f));
	const struct row row = { "or", ELEMENT_UNSIGNED8, 1, AS_OR, FIELD_I32, "", XFORM_TAKEN, 0, NULL, 1, NULL };
	struct xform x = compile_row(&row, 1);
	const uint8_t octets[2] = { 0x02, 0x11 };

	(void)state;
	must(f != NULL);
	assert_int_equal(xform_run(&x, &ipfix_env, octets, 1, f), XFORM_TAKEN);
	assert_int_equal(xform_run(&x, &ipfix_env, octets + 1, 1, f), XFORM_TAKEN);
	assert_int_equal(f->slots[F_src_port].i64, 0x13);
	free(f);
}

static void test_icmp(void **state)
{
	struct flow *f = calloc(1, sizeof(*f));
	const struct row row = { "icmp", ELEMENT_UNSIGNED16, 2, AS_ICMP_HIGH8, FIELD_I32, "", XFORM_TAKEN, 0, NULL, 1, NULL };
	struct xform x = compile_row(&row, 2);
	const uint8_t octets[2] = { 3, 1 };

	(void)state;
	must(f != NULL);
	flow_set_i64(f, F_protocol_number, 6);
	assert_int_equal(xform_run(&x, &ipfix_env, octets, 2, f), XFORM_FAILED);
	flow_set_i64(f, F_protocol_number, 1);
	assert_int_equal(xform_run(&x, &ipfix_env, octets, 2, f), XFORM_TAKEN);
	assert_int_equal(f->slots[F_src_port].i64, 3);
	free(f);
}

/* Conversions that make no sense are refused when the mapping is read. */
static void test_refused(void **state)
{
	static const struct {
		enum element_type type;
		enum as as;
		enum field_type field;
		int64_t scale;
	} bad[] = {
		{ ELEMENT_IPV4, AS_NATURAL, FIELD_I64, 1 },	 { ELEMENT_UNSIGNED32, AS_NATURAL, FIELD_ADDR, 1 },
		{ ELEMENT_STRING, AS_MS, FIELD_MS, 1 },		 { ELEMENT_SECONDS, AS_NS, FIELD_MS, 1 },
		{ ELEMENT_UNSIGNED32, AS_UPTIME_MS, FIELD_I32, 1 }, { ELEMENT_STRING, AS_NATURAL, FIELD_STR, 10 },
		{ ELEMENT_UNSIGNED16, AS_HIGH8, FIELD_STR, 1 },	 { ELEMENT_FLOAT64, AS_NATURAL, FIELD_I64, 1 },
		{ ELEMENT_MAC, AS_NATURAL, FIELD_STR, 1 },	 { ELEMENT_UNSIGNED8, AS_FLAG, FIELD_I32, 1 },
		{ ELEMENT_STRING, AS_NUMBER, FIELD_STR, 1 },	 { ELEMENT_IPV4, AS_ADDRESS, FIELD_ADDR, 1 },
		{ ELEMENT_UNSIGNED64, AS_LOW24, FIELD_STR, 1 },	 { ELEMENT_UNSIGNED8, AS_OR, FIELD_STR, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct element element = { .type = bad[i].type, .natural_bytes = 4 };
		struct field field = { .name = "f", .type = bad[i].field };
		struct xform_how how = { .as = bad[i].as, .scale = bad[i].scale, .field = &field,
					 .element = &element, .bytes = 4 };
		struct why why = { "" };
		struct xform x;

		assert_int_equal(xform_compile(&how, &x, &why), ERR_CONF);
		assert_true(why.text[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_or),
		cmocka_unit_test(test_icmp),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
