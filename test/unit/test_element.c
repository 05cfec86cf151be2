/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every form of an element's name finds its number, every number has a key that finds it
 * again, and a wrong element file is refused with its line.
 * Method: tables of names over the shipped files; a table of small files written to a directory of
 * their own; and the whole registry there and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/tmpl.h"
#include "normalizer/element.h"

#define ELEMENTS "templates/elements"
#define FILES_MAX 3

static struct element_registry *load(const char *dir)
{
	struct element_registry *reg = NULL;
	struct why why = { "" };

	if (element_registry_load(dir, &why, &reg) != ERR_OK)
		fail_msg("%s", why.text);
	return reg;
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		uint32_t pen;
		uint16_t id;
		const char *key; /* NULL: the name itself */
	} cases[] = {
		{ "octetDeltaCount", 0, 1, NULL },
		{ "sourceIPv4Address", 0, 8, NULL },
		{ "reverseOctetDeltaCount", 29305, 1, NULL },
		{ "reverse.octetDeltaCount", 29305, 1, "reverseOctetDeltaCount" },
		{ "reverse.tcpControlBits", 29305, 6, "reverseTcpControlBits" },
		/* Not reversible for libfixbuf, but RFC 5103 gives it a name. */
		{ "reverse.flowId", 29305, 148, "reverseFlowId" },
		{ "ntop.DNS_QUERY", 35632, 205, NULL },
		{ "cisco.ingressAclId", 9, 232, NULL },
		{ "cert.initialTCPFlags", 6871, 14, NULL },
		{ "cert.templateName", 6871, 1000, NULL },
		{ "v9.33000", 0xFFFFFF09, 33000, NULL },
		{ "v9.32775", 0xFFFFFF09, 32775, NULL },
		{ "v9.pfr_policy_id", 0xFFFFFF09, 32775, "v9.32775" },
		{ "v9.APP_ID", 0xFFFFFF09, 56701, "v9.56701" },
		{ "v9.57471", 0xFFFFFF09, 57471, NULL },
		{ "v9.8", 0, 8, "sourceIPv4Address" },
		{ "v9.57677", 35632, 205, "ntop.DNS_QUERY" },
		{ "e35632id205", 35632, 205, "ntop.DNS_QUERY" },
		{ "e0id30000", 0, 30000, NULL },
		{ "e4294967295id65535", 4294967295, 65535, NULL },
		{ "e4294967049id57471", 0xFFFFFF09, 57471, "v9.57471" },
	};
	struct element_registry *reg = load(ELEMENTS);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char key[ELEMENT_NAME_BYTES];
		uint32_t pen = 1;
		uint16_t id = 1;

		if (element_find_name(reg, cases[i].name, &pen, &id) != ERR_OK)
			fail_msg("%s is not found", cases[i].name);
		if (pen != cases[i].pen || id != cases[i].id)
			fail_msg("%s is %u of %u", cases[i].name, id, pen);
		assert_string_equal(element_name(reg, pen, id, key, sizeof(key)),
				    cases[i].key == NULL ? cases[i].name : cases[i].key);
	}
	element_registry_free(reg);
}

static void test_wrong_names(void **state)
{
	static const char *const names[] = {
		"",
		"octetDeltacount",
		"v9.",
		"v9.65536",
		"v9.NO_SUCH_NAME",
		"reverse.",
		"reverse.ntop.DNS_QUERY",
		"reverse.reverseOctetDeltaCount",
		"e0id",
		"eid1",
		"e1id65536",
		"e4294967296id1",
		"e1id1x",
		"ntop.",
		"e1ID1",
		"NF_F_FW_EVENT",
	};
	struct element_registry *reg = load(ELEMENTS);
	uint32_t pen = 77;
	uint16_t id = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (element_find_name(reg, names[i], &pen, &id) != ERR_ABSENT)
			fail_msg("'%s' is found", names[i]);
		assert_int_equal(pen, 77);
		assert_int_equal(id, 77);
	}
	assert_string_equal(element_nearest(reg, "octetDeltacont"), "octetDeltaCount");
	assert_string_equal(element_nearest(reg, "ntop.DNS_QUERRY"), "ntop.DNS_QUERY");
	element_registry_free(reg);
}

static void test_properties(void **state)
{
	static const struct {
		uint32_t pen;
		uint16_t id;
		enum element_type type;
		uint16_t natural_bytes;
		enum element_list list;
		const char *units;
		const char *semantics;
		enum raw_form form;
	} cases[] = {
		{ 0, 1, ELEMENT_UNSIGNED64, 8, ELEMENT_NO_LIST, "octets", "deltaCounter", RAW_UNSIGNED },
		{ 0, 8, ELEMENT_IPV4, 4, ELEMENT_NO_LIST, "", "default", RAW_IPV4 },
		{ 0, 27, ELEMENT_IPV6, 16, ELEMENT_NO_LIST, "", "default", RAW_IPV6 },
		{ 0, 56, ELEMENT_MAC, 6, ELEMENT_NO_LIST, "", "default", RAW_MAC },
		/* libfixbuf's own is unsigned8. */
		{ 0, 89, ELEMENT_UNSIGNED32, 4, ELEMENT_NO_LIST, "", "identifier", RAW_UNSIGNED },
		{ 29305, 89, ELEMENT_UNSIGNED32, 4, ELEMENT_NO_LIST, "", "identifier", RAW_UNSIGNED },
		{ 0, 82, ELEMENT_STRING, 0, ELEMENT_NO_LIST, "", "default", RAW_STRING },
		{ 0, 150, ELEMENT_SECONDS, 4, ELEMENT_NO_LIST, "seconds", "default", RAW_UNSIGNED },
		{ 0, 152, ELEMENT_MILLISECONDS, 8, ELEMENT_NO_LIST, "milliseconds", "default", RAW_UNSIGNED },
		{ 0, 154, ELEMENT_MICROSECONDS, 8, ELEMENT_NO_LIST, "microseconds", "default", RAW_HEX },
		{ 0, 156, ELEMENT_NANOSECONDS, 8, ELEMENT_NO_LIST, "nanoseconds", "default", RAW_HEX },
		{ 0, 210, ELEMENT_OCTETS, 0, ELEMENT_NO_LIST, "", "default", RAW_HEX },
		{ 0, 276, ELEMENT_BOOLEAN, 1, ELEMENT_NO_LIST, "", "default", RAW_BOOL },
		{ 0, 291, ELEMENT_OCTETS, 0, ELEMENT_BASIC_LIST, "", "list", RAW_HEX },
		{ 0, 293, ELEMENT_OCTETS, 0, ELEMENT_SUB_TEMPLATE_MULTI_LIST, "", "list", RAW_HEX },
		{ 0, 311, ELEMENT_FLOAT64, 8, ELEMENT_NO_LIST, "", "quantity", RAW_FLOAT },
	};
	struct element_registry *reg = load(ELEMENTS);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct element *e = element_find(reg, cases[i].pen, cases[i].id);

		assert_non_null(e);
		if (e->type != cases[i].type || e->natural_bytes != cases[i].natural_bytes ||
		    e->list != cases[i].list || strcmp(e->units, cases[i].units) != 0 ||
		    strcmp(e->semantics, cases[i].semantics) != 0 ||
		    element_raw_form(e->type) != cases[i].form)
			fail_msg("%s: %s, %u octets, units '%s', semantics '%s'", e->name,
				 element_type_name(e->type), e->natural_bytes, e->units,
				 e->semantics);
	}
	assert_null(element_find(reg, 0, 0));
	assert_null(element_find(reg, 0, 9998));
	assert_null(element_find(reg, 424242, 1));
	element_registry_free(reg);
}

/* Every element: in order, found by number and by name. */
static void test_there_and_back(void **state)
{
	struct element_registry *reg = load(ELEMENTS);
	size_t per_vendor[3] = { 0 };

	(void)state;
	for (size_t i = 0; i < element_count(reg); i++) {
		const struct element *e = element_at(reg, i);
		uint32_t pen;
		uint16_t id;

		assert_ptr_equal(element_find(reg, e->pen, e->id), e);
		assert_int_equal(element_find_name(reg, e->name, &pen, &id), ERR_OK);
		if (pen != e->pen || id != e->id)
			fail_msg("%s is also %u of %u", e->name, id, pen);
		if (i > 0)
			assert_true(e->pen > e[-1].pen ||
				    (e->pen == e[-1].pen && e->id > e[-1].id));
		per_vendor[0] += e->pen == PEN_NTOP;
		per_vendor[1] += e->pen == PEN_V9;
		per_vendor[2] += e->pen == PEN_IANA;
		assert_true(e->pen != PEN_V9 || e->id >= V9_ENTERPRISE_BIT);
	}
	assert_true(per_vendor[0] >= 418);
	assert_true(per_vendor[1] >= 283);
	assert_true(per_vendor[2] >= 490);
	element_registry_free(reg);
}

#define RECORD(name, type, id)                                                                     \
	"<record>\n<name>" name "</name>\n<dataType>" type "</dataType>\n<group>g</group>\n"       \
	"<elementId>" id "</elementId>\n</record>\n"
#define FILE_OF(records) "<registry>\n" records "</registry>\n"

/* Writes the texts as a.xml, b.xml, c.xml into a new directory. */
static void write_dir(char *dir, const char *const *texts)
{
	(void)snprintf(dir, 64, "%s", "/tmp/test_element.XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < FILES_MAX && texts[i] != NULL; i++) {
		char path[128];
		FILE *f;

		(void)snprintf(path, sizeof(path), "%s/%c.xml", dir, 'a' + i);
		f = fopen(path, "w");
		assert_non_null(f);
		assert_true(fputs(texts[i], f) >= 0);
		assert_int_equal(fclose(f), 0);
	}
}

static void remove_dir(const char *dir)
{
	for (int i = 0; i < FILES_MAX; i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%c.xml", dir, 'a' + i);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

static const struct {
	const char *texts[FILES_MAX];
	const char *where;
	const char *what;
} wrong_files[] = {
	{ { "<registry>\n<record>\n</registry>" }, "a.xml:3:", "record" },
	{ { "" }, "a.xml:", "" },
	{ { "octetDeltaCount 1\n" }, "a.xml:1:", "" },
	{ { FILE_OF("") }, "a.xml:1:", "no element" },
	{ { FILE_OF(RECORD("x", "unsigned7", "1000")) }, "a.xml:4:", "Unrecognized" },
	{ { FILE_OF(RECORD("x", " unsigned8", "1000")) }, "a.xml:4:", "Unrecognized" },
	{ { FILE_OF(RECORD("x", "unsigned8", "12x")) }, "a.xml:6:", "integer" },
	{ { FILE_OF(RECORD("x", "unsigned8", "0")) }, "a.xml:6:", "elementId" },
	{ { FILE_OF(RECORD("x", "unsigned8", "-5")) }, "a.xml:6:", "elementId" },
	{ { FILE_OF(RECORD("x", "unsigned8", "32768")) }, "a.xml:6:", "elementId" },
	{ { FILE_OF(RECORD("x", "unsigned8", "65537")) }, "a.xml:6:", "elementId" },
	{ { FILE_OF(RECORD("x y", "unsigned8", "1000")) }, "a.xml:3:", "name" },
	{ { FILE_OF(RECORD("", "unsigned8", "1000")) }, "a.xml:7:", "name" },
	{ { FILE_OF(RECORD("x", "unsigned8", "")) }, "a.xml:7:", "elementId" },
	{ { FILE_OF(RECORD("x", "", "1000")) }, "a.xml:7:", "no dataType" },
	{ { FILE_OF(RECORD("x", "string", "1000") "<record>\n<name>y</name>\n"
						  "<elementId>2</elementId>\n</record>\n") },
	  "a.xml:11:",
	  "no dataType" },
	{ { FILE_OF(RECORD("x", "string", "1000") RECORD("y", "string", "1000")) },
	  "a.xml:13:",
	  "defined in line 7" },
	{ { FILE_OF(RECORD("x", "string", "1000") RECORD("x", "string", "1001")) },
	  "a.xml:",
	  "name 'x'" },
	{ { FILE_OF(RECORD("octetDeltaCount", "string", "1000")) },
	  "a.xml:7:",
	  "name 'octetDeltaCount'" },
	{ { FILE_OF(RECORD("x", "string", "1000")), FILE_OF(RECORD("y", "string", "1001")),
	    FILE_OF(RECORD("z", "strings", "1002")) },
	  "c.xml:4:",
	  "Unrecognized" },
	{ { FILE_OF("<record>\n<name>x</name>\n<dataType>string</dataType>\n"
		    "<enterpriseId>4294967296</enterpriseId>\n<elementId>1</elementId>\n"
		    "</record>\n") },
	  "a.xml:5:",
	  "enterpriseId" },
	{ { FILE_OF("<record>\n<name>x</name>\n<dataType>string</dataType>\n"
		    "<units>parsecs</units>\n<elementId>1000</elementId>\n"
		    "</record>\n") },
	  "a.xml:5:",
	  "Unrecognized" },
	{ { FILE_OF("<record>\n<name>x</name>\n<dataType>string</dataType>\n"
		    "<range>1..2</range>\n<elementId>1000</elementId>\n"
		    "</record>\n") },
	  "a.xml:5:",
	  "range" },
	{ { NULL }, "", "no *.xml" },
};

static void test_wrong_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong_files) / sizeof(wrong_files[0]); i++) {
		struct element_registry *reg = NULL;
		struct why why = { "" };
		char dir[64];

		write_dir(dir, wrong_files[i].texts);
		if (element_registry_load(dir, &why, &reg) != ERR_CONF || reg != NULL)
			fail_msg("case %zu is not refused: %s", i, why.text);
		if (strstr(why.text, wrong_files[i].where) == NULL ||
		    strstr(why.text, wrong_files[i].what) == NULL)
			fail_msg("case %zu, %s %s: %s", i, wrong_files[i].where,
				 wrong_files[i].what, why.text);
		remove_dir(dir);
	}
}

static void test_directories(void **state)
{
	struct element_registry *reg = NULL;
	struct why why = { "" };

	(void)state;
	assert_int_equal(element_registry_load("/no/such/directory", &why, &reg), ERR_IO);
	assert_non_null(strstr(why.text, "/no/such/directory"));
	assert_null(reg);
}

/* What a later file says of an element holds, and nothing of it stays behind for the next load. */
static void test_later_file_wins(void **state)
{
	static const char *const texts[FILES_MAX] = {
		FILE_OF(RECORD("siteNumber", "unsigned16", "1000")
				RECORD("octets", "unsigned32", "1")),
		FILE_OF(RECORD("siteName", "string", "1000")
				RECORD("siteList", "basicList", "1001")),
		"<registry><record><name>Reserved</name><elementId>0</elementId></record>"
		"<record><name>a b</name><elementId>65-69</elementId></record>"
		"<record><value>3</value><name>of another registry</name></record>"
		"<record><name>vendor.y</name><dataType>float32</dataType>"
		"<cert:enterpriseId>0x1234</cert:enterpriseId><elementId>7</elementId>"
		"<description><paragraph> One. </paragraph><paragraph>Two.</paragraph>"
		"</description><range>3-0x10</range></record></registry>",
	};
	struct element_registry *reg;
	const struct element *e;
	uint32_t pen;
	uint16_t id;
	char dir[64];

	(void)state;
	write_dir(dir, texts);
	reg = load(dir);
	remove_dir(dir);
	e = element_find(reg, 0, 1000);
	assert_non_null(e);
	assert_string_equal(e->name, "siteName");
	assert_int_equal(e->type, ELEMENT_STRING);
	assert_int_equal(element_find_name(reg, "siteNumber", &pen, &id), ERR_ABSENT);
	assert_string_equal(element_find(reg, 29305, 1000)->name, "reverseSiteName");
	assert_int_equal(element_find(reg, 0, 1)->type, ELEMENT_UNSIGNED32);
	assert_string_equal(element_find(reg, 0, 1)->name, "octets");
	assert_int_equal(element_find_name(reg, "octetDeltaCount", &pen, &id), ERR_ABSENT);
	assert_int_not_equal(element_find(reg, 0, 1001)->list, ELEMENT_NO_LIST);
	assert_int_equal(element_find(reg, 0, 1001)->type, ELEMENT_OCTETS);
	e = element_find(reg, 0x1234, 7);
	assert_non_null(e);
	assert_string_equal(e->description, "One.");
	assert_int_equal(e->min, 3);
	assert_int_equal(e->max, 16);
	element_registry_free(reg);

	reg = load(ELEMENTS);
	assert_int_equal(element_find_name(reg, "octetDeltaCount", &pen, &id), ERR_OK);
	assert_null(element_find(reg, 0, 1000));
	element_registry_free(reg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),		cmocka_unit_test(test_wrong_names),
		cmocka_unit_test(test_properties),	cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_wrong_files),	cmocka_unit_test(test_directories),
		cmocka_unit_test(test_later_file_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
