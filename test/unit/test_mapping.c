/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the shipped mappings load; a wrong mapping is refused with file, line and the nearest name.
 * Method: one table of mapping texts, each written to a folder of its own and loaded against the shipped
 * registries, with the words that the refusal must contain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "normalizer/catalog.h"

#define M(body) "mapping: {\n" body "\n};\n"
#define P(line) M("name = \"m\"; when = { format = \"ipfix\"; };\npromote = (\n" line "\n);")

static const struct row {
	const char *name;
	const char *text;
	const char *words[3]; /* NULL: loads */
} rows[] = {
	{ "right", P("{ element = \"octetDeltaCount\"; field = \"bytes\"; }"), { NULL } },
	{ "syntax", "mapping: {\n name = ;\n};\n", { "m.conf:2:", "syntax" } },
#if LIBCONFIG_VER_MAJOR == 1 && LIBCONFIG_VER_MINOR < 7
	{ "trailing comma", P("{ element = \"octetDeltaCount\"; field = \"bytes\"; },"), { "m.conf:", "syntax" } },
#endif
	{ "no mapping", "name = \"m\";\n", { "m.conf:1", "unknown key `name'", "mapping" } },
	{ "empty file", "", { "m.conf:1", "missing group `mapping'" } },
	{ "no name", M("promote = ( );"), { "m.conf:1", "missing key `name'" } },
	{ "unknown key", M("name = \"m\";\npromotes = ( );"), { "m.conf:3", "unknown key `promotes'", "`promote'" } },
	{ "unknown key of when", M("name = \"m\";\nwhen = { penn = 9; };"), { "m.conf:3", "unknown key `penn'", "`pen'" } },
	{ "unknown key of a line", P("{ element = \"octetDeltaCount\"; fields = \"bytes\"; }"),
	  { "m.conf:4", "unknown key `fields'", "`field'" } },
	{ "unknown element", P("{ element = \"octetDeltaCuont\"; field = \"bytes\"; }"),
	  { "m.conf:4", "unknown element `octetDeltaCuont'", "`octetDeltaCount'" } },
	{ "unknown vendor element", P("{ element = \"ntop.DNS_QUERRY\"; field = \"dns_query\"; }"),
	  { "m.conf:4", "unknown element", "`ntop.DNS_QUERY'" } },
	{ "unknown field", P("{ element = \"octetDeltaCount\"; field = \"byte\"; }"),
	  { "m.conf:4", "unknown field `byte'", "`bytes'" } },
	{ "enriched field", P("{ element = \"octetDeltaCount\"; field = \"total_bytes\"; }"),
	  { "m.conf:4", "cannot fill the enriched field `total_bytes'" } },
	{ "unknown conversion", P("{ element = \"octetDeltaCount\"; field = \"bytes\"; as = \"hexx\"; }"),
	  { "m.conf:4", "unknown conversion `hexx'", "`hex'" } },
	{ "unknown table", P("{ element = \"protocolIdentifier\"; field = \"protocol\"; as = \"table:nope\"; }"),
	  { "m.conf:4", "table `nope'" } },
	{ "table outside the folder", P("{ element = \"protocolIdentifier\"; field = \"protocol\"; as = \"table:../x\"; }"),
	  { "m.conf:4", "no table can have the name" } },
	{ "conversion does not fit", P("{ element = \"octetDeltaCount\"; field = \"src_ip\"; }"),
	  { "m.conf:4", "does not fit field src_ip" } },
	{ "time does not fit", P("{ element = \"octetDeltaCount\"; field = \"flow_start_time\"; as = \"ms\"; }"),
	  { "m.conf:4", "wants a dateTime element" } },
	{ "scale of a text", P("{ element = \"interfaceName\"; field = \"in_interface_name\"; scale = 10; }"),
	  { "m.conf:4", "scale" } },
	{ "scale of 0", P("{ element = \"octetDeltaCount\"; field = \"bytes\"; scale = 0; }"),
	  { "m.conf:4", "out of range" } },
	{ "wrapped number", M("name = \"m\";\nwhen = { pen = 0xFFFFFF09; };"), { "m.conf:3", "suffix L" } },
	{ "number for a text", P("{ element = 1; field = \"bytes\"; }"), { "m.conf:4", "a text belongs to `element'" } },
	{ "no field", P("{ element = \"octetDeltaCount\"; }"), { "m.conf:4", "missing key `field'" } },
	{ "promote is no list", M("name = \"m\";\npromote = { };"), { "m.conf:3", "list" } },
	{ "inside what is no list", M("name = \"m\";\ninside = (\n{ list = \"octetDeltaCount\"; element = \"octetDeltaCount\"; field = \"bytes\"; }\n);"),
	  { "m.conf:4", "no list is the element `octetDeltaCount'" } },
	{ "inside an unknown list", M("name = \"m\";\ninside = (\n{ list = \"basicLst\"; element = \"octetDeltaCount\"; field = \"bytes\"; }\n);"),
	  { "m.conf:4", "unknown element `basicLst'", "`basicList'" } },
	{ "inside that does not fit", M("name = \"m\";\ninside = (\n{ element = \"interfaceName\"; field = \"bytes\"; }\n);"),
	  { "m.conf:4", "does not fit" } },
	{ "unknown format", M("name = \"m\";\nwhen = { format = \"v10\"; };"), { "m.conf:3", "unknown format `v10'", "`v" } },
	{ "template below 256", M("name = \"m\";\nwhen = { template = 255; };"), { "m.conf:3", "out of range" } },
	{ "static for a list", M("name = \"m\";\nstatic = ( { field = \"mpls_labels\"; value = 1; } );"),
	  { "m.conf:3", "no static value" } },
	{ "static of a wrong kind", M("name = \"m\";\nstatic = ( { field = \"event_type\"; value = 1; } );"),
	  { "m.conf:3", "a text belongs to `value'" } },
	{ "static without value", M("name = \"m\";\nstatic = ( { field = \"event_type\"; } );"),
	  { "m.conf:3", "missing key `value'" } },
	{ "if_present unknown", M("name = \"m\";\nstatic = ( { field = \"event_type\"; value = \"x\"; if_present = \"dns_qery\"; } );"),
	  { "m.conf:3", "unknown field `dns_qery'", "`dns_query'" } },
};

static void make_dir(char dir[64])
{
	(void)snprintf(dir, 64, "/tmp/sluice-mapping-XXXXXX");
	must(mkdtemp(dir) != NULL);
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	must(f != NULL);
	must(fputs(text, f) >= 0);
	must(fclose(f) == 0);
}

static void remove_file(const char *dir, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)unlink(path);
}

struct shared {
	struct element_registry *elements;
	struct field_set *fields;
};

static int set_up(void **state)
{
	struct shared *s = calloc(1, sizeof(*s));
	struct why why = { "" };

	must(s != NULL);
	s->fields = calloc(1, sizeof(*s->fields));
	must(s->fields != NULL);
	field_set_init(s->fields);
	if (element_registry_load("templates/elements", &why, &s->elements) != ERR_OK)
		fail_msg("%s", why.text);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct shared *s = *state;

	element_registry_free(s->elements);
	free(s->fields);
	free(s);
	return 0;
}

static void test_rows(void **state)
{
	const struct shared *s = *state;
	char dir[64];
	struct mapping_source src = { dir, "templates/tables", s->elements, s->fields };

	make_dir(dir);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mapping_set *set = NULL;
		struct why why = { "" };
		enum err e;

		write_file(dir, "m.conf", rows[i].text);
		e = mapping_set_load(&src, &why, &set);
		if (rows[i].words[0] == NULL && e != ERR_OK)
			fail_msg("%s: %s", rows[i].name, why.text);
		if (rows[i].words[0] != NULL && e != ERR_CONF)
			fail_msg("%s: was taken", rows[i].name);
		for (size_t w = 0; w < 3 && rows[i].words[w] != NULL; w++) {
			if (strstr(why.text, rows[i].words[w]) == NULL)
				fail_msg("%s: `%s' lacks `%s'", rows[i].name, why.text, rows[i].words[w]);
		}
		mapping_set_free(set);
	}
	remove_file(dir, "m.conf");
	(void)rmdir(dir);
}

/* The same `when` and the same element in two files: nobody could say which wins. */
static void test_tie(void **state)
{
	const struct shared *s = *state;
	char dir[64];
	struct mapping_source src = { dir, "templates/tables", s->elements, s->fields };
	struct mapping_set *set = NULL;
	struct why why = { "" };

	make_dir(dir);
	write_file(dir, "a.conf", "mapping: { name = \"a\"; promote = ( { element = \"octetDeltaCount\"; field = \"bytes\"; } ); };");
	write_file(dir, "b.conf", "mapping: { name = \"b\"; promote = ( { element = \"octetDeltaCount\"; field = \"post_bytes\"; } ); };");
	assert_int_equal(mapping_set_load(&src, &why, &set), ERR_CONF);
	assert_non_null(strstr(why.text, "claimed by"));
	write_file(dir, "b.conf", "mapping: { name = \"a\"; };");
	assert_int_equal(mapping_set_load(&src, &why, &set), ERR_CONF);
	assert_non_null(strstr(why.text, "mapping `a'"));
	remove_file(dir, "a.conf");
	remove_file(dir, "b.conf");
	assert_int_equal(mapping_set_load(&src, &why, &set), ERR_CONF);
	(void)rmdir(dir);
	assert_int_equal(mapping_set_load(&src, &why, &set), ERR_CONF);
}

static void test_shipped(void **state)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables", RAW_MODE_UNPROMOTED };
	struct catalog *c = NULL;
	struct why why = { "" };

	(void)state;
	if (catalog_load(&conf, 1, &why, &c) != ERR_OK)
		fail_msg("%s", why.text);
	assert_true(mapping_find(c->mappings, "iana") >= 0);
	assert_true(mapping_find(c->mappings, "nprobe") >= 0);
	/* Most specific first: an enterprise before a format, the default last. */
	assert_int_equal(c->mappings->mappings[c->mappings->count - 1].rank, RANK_DEFAULT);
	assert_true(mapping_find(c->mappings, "nprobe") < mapping_find(c->mappings, "iana"));
	catalog_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_tie),
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
