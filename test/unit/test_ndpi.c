/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: nDPI's numbers get the names, scores and severities of the exporter's release, and numbers that are not
 * nDPI's get none.
 * Method: every published protocol and risk (ndpi_protocols.tsv, ndpi_risks.tsv here) as a flow of both releases; tables
 * of bitmaps and of application ids; applicationId, silk labels and nProbe's numbers through the shipped mappings' conversions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "normalizer/enrich_ndpi.h"
#include "normalizer/xform.h"

#define COLUMNS 8
#define OLD "2024-10"
#define NEW "2026"
#define LATER "5"

static struct ndpi_releases *releases;
static struct flow *flow;
static struct session session;
static struct exporter_entry entry;
static void *self;

static const char *const fields_texts[] = { "ndpi_master", "ndpi_app", "ndpi_category", "ndpi_breed" };

/* As an exporter of that release; NULL: no entry. */
static void use(const char *release)
{
	struct why why = { "" };

	session.entry = release == NULL ? NULL : &entry;
	if (release != NULL && ndpi_find(releases, release, &why, &entry.ndpi) != ERR_OK)
		fail_msg("%s", why.text);
}

static void run(void)
{
	struct enrich_context context = { &session };

	enrich_ndpi_run(self, &context, flow, 1);
}

static void set_app(const char *id, enum app_id_tag tag)
{
	flow_clear(flow);
	flow_set_octets(flow, F_app_id, id, (uint32_t)strlen(id));
	flow->slots[F_app_id].tag = tag;
}

/* NULL: the field is null. */
static void check_text(const char *of, unsigned field, const char *text)
{
	const struct slot *s = &flow->slots[field];

	if (flow_has(flow, field) != (text != NULL) ||
	    (text != NULL && (s->bytes != strlen(text) || memcmp(s->octets, text, s->bytes) != 0)))
		fail_msg("%s: %s is not %s but %.*s", of,
			 field >= F_ndpi_master && field <= F_ndpi_breed ? fields_texts[field - F_ndpi_master] : "a text",
			 text == NULL ? "null" : text, flow_has(flow, field) ? (int)s->bytes : 4,
			 flow_has(flow, field) ? (const char *)s->octets : "null");
}

static void check_app(const char *id, const char *const texts[4])
{
	for (unsigned i = 0; i < 4; i++)
		check_text(id, F_ndpi_master + i, texts[i]);
}

static unsigned count_enriched(void)
{
	unsigned n = 0;

	for (size_t w = FIELD_NORMALIZED_WORDS; w < FIELD_WORDS; w++)
		n += (unsigned)__builtin_popcountll(flow->has[w]);
	return n;
}

static size_t each_row(const char *path, void (*fn)(char *const *columns))
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	size_t rows = 0;

	must(file != NULL);
	while (getline(&line, &room, file) >= 0) {
		char *columns[COLUMNS];
		char *at = line;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		for (size_t i = 0; i < COLUMNS; i++)
			columns[i] = at == NULL ? line + strlen(line) : strsep(&at, "\t");
		fn(columns);
		rows++;
	}
	free(line);
	(void)fclose(file);
	return rows;
}

static void check_protocol(char *const *columns)
{
	const char *old = strcmp(columns[4], "-") == 0 ? NULL : columns[4];

	set_app(columns[0], APP_ID_NDPI);
	use(NEW);
	run();
	check_app(columns[0], (const char *[]){ NULL, columns[1], columns[3], columns[2] });
	assert_int_equal(count_enriched(), 3);
	set_app(columns[0], APP_ID_NDPI);
	use(OLD);
	run();
	check_text(columns[0], F_ndpi_app, old);
	/* Of an id that went to another name nobody says what it was; no category was Health. */
	if (old == NULL || strcmp(old, columns[1]) != 0)
		check_app(columns[0], (const char *[]){ NULL, old, NULL, NULL });
	else
		check_app(columns[0], (const char *[]){ NULL, old, strcmp(columns[3], "Health") == 0 ? NULL : columns[3], columns[2] });
}

static void protocols(void **state)
{
	(void)state;
	set_app("5.124", APP_ID_NDPI);
	use(NEW);
	run();
	check_text("5.124", F_ndpi_master, "DNS");
	check_text("5.124", F_ndpi_app, "YouTube");
	check_text("5.124", F_ndpi_category, "Media");
	check_text("5.124", F_ndpi_breed, "Fun");
	assert_int_equal(each_row("test/unit/ndpi_protocols.tsv", check_protocol), 458);
}

static const char *or_null(const char *s)
{
	return strcmp(s, "-") == 0 ? NULL : s;
}

static int number(const char *s)
{
	return strcmp(s, "-") == 0 ? 0 : (int)strtol(s, NULL, 10);
}

static void check_name(const char *of, uint32_t i, const char *name)
{
	const struct text *t = &flow->slots[F_risk_names].texts[i];

	assert_true(flow_has(flow, F_risk_names) && i < flow->slots[F_risk_names].bytes);
	if (t->bytes != strlen(name) || memcmp(t->octets, name, t->bytes) != 0)
		fail_msg("%s: name %u is not %s but %.*s", of, i, name, (int)t->bytes, t->octets);
}

static void check_scores(int score, int client, int server, const char *severity)
{
	assert_int_equal(flow->slots[F_risk_score].i64, score);
	assert_int_equal(flow->slots[F_risk_score_client].i64, client);
	assert_int_equal(flow->slots[F_risk_score_server].i64, server);
	assert_true(flow_has(flow, F_risk_score) && flow_has(flow, F_risk_score_client) && flow_has(flow, F_risk_score_server));
	check_text("severity", F_risk_severity, severity);
}

static void run_bits(uint64_t bits)
{
	flow_clear(flow);
	flow_set_i64(flow, F_risk_bitmap, (int64_t)bits);
	flow_set_i64(flow, F_risk_score_reported, 7);
	run();
	assert_int_equal(flow->slots[F_risk_bitmap].i64, (int64_t)bits);
	assert_int_equal(flow->slots[F_risk_score_reported].i64, 7);
	assert_int_equal(flow->slots[F_risk_names].bytes, __builtin_popcountll(bits));
}

static void check_risk(char *const *columns)
{
	int bit = number(columns[0]);
	const char *name = or_null(columns[2]) == NULL ? "No Risk" : columns[2]; /* bit 0 has none */
	const char *later = or_null(columns[7]);

	use(OLD);
	run_bits(UINT64_C(1) << bit);
	check_name(columns[0], 0, bit == 57 ? "risk_57" : name);
	check_scores(number(columns[4]), number(columns[5]), number(columns[6]), or_null(columns[3]));
	use(NEW);
	run_bits(UINT64_C(1) << bit);
	check_name(columns[0], 0, name);
	check_scores(number(columns[4]), number(columns[5]), number(columns[6]), or_null(columns[3]));
	use(LATER);
	run_bits(UINT64_C(1) << bit);
	check_name(columns[0], 0, later == NULL || bit == 57 ? name : later);
	check_scores(number(columns[4]), number(columns[5]), number(columns[6]), or_null(columns[3]));
}

static void risks(void **state)
{
	(void)state;
	assert_int_equal(each_row("test/unit/ndpi_risks.tsv", check_risk), 58);
}

static void bitmaps(void **state)
{
	static const struct {
		uint64_t bits;
		int score, client, server;
		const char *severity;
		const char *names[4];
	} rows[] = {
		{ 0, 0, 0, 0, NULL, { NULL } },
		{ 1u << 5 | 1u << 12, 60, 30, 30, "medium", { "Known Proto on Non Std Port", "HTTP/TLS/QUIC Numeric Hostname/SNI" } },
		{ 1u << 1 | 1u << 9, 250, 145, 105, "severe", { "XSS Attack", "TLS Cert Expired" } },
		{ UINT64_C(1) << 56 | 1u << 22, 110, 95, 15, "high", { "Unsafe Protocol", "Obfuscated Traffic" } },
		{ UINT64_C(1) << 58, 0, 0, 0, NULL, { "risk_58" } },
		{ UINT64_C(1) << 63 | UINT64_C(1) << 57 | 1u << 17, 10, 5, 5, "low", { "Malformed Packet", "risk_57", "risk_63" } },
	};

	(void)state;
	use(OLD);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run_bits(rows[i].bits);
		for (uint32_t n = 0; n < 4 && rows[i].names[n] != NULL; n++)
			check_name("bitmap", n, rows[i].names[n]);
		check_scores(rows[i].score, rows[i].client, rows[i].server, rows[i].severity);
	}
}

/* All 64 names fit a flow that holds no other text, and none are given where they do not. */
static void names_at_the_limit(void **state)
{
	(void)state;
	use(OLD);
	run_bits(UINT64_MAX);
	check_name("all bits", 0, "No Risk");
	check_name("all bits", 63, "risk_63");
	assert_int_equal(flow->notes, 0);
	flow_clear(flow);
	flow->text_count = 1;
	flow_set_i64(flow, F_risk_bitmap, -1);
	run();
	assert_false(flow_has(flow, F_risk_names));
	assert_true(flow_has(flow, F_risk_score));
	assert_int_equal(flow->notes, UINT64_C(1) << NOTE_TRUNCATED);
}

static void ids(void **state)
{
	static const struct {
		const char *id;
		const char *texts[4]; /* master, app, category, breed */
	} rows[] = {
		{ "7", { NULL, "HTTP", "Web", "Acceptable" } },
		{ "7.124", { "HTTP", "YouTube", "Media", "Fun" } },
		{ "5.0", { "DNS", "Unknown", "Network", "Acceptable" } },
		{ "0.5", { "Unknown", "DNS", "Network", "Acceptable" } },
		{ "0", { NULL, "Unknown", "Unspecified", "Unrated" } },
		{ "7.65535", { "HTTP", NULL, NULL, NULL } },
		{ "65535.7", { NULL, "HTTP", "Web", "Acceptable" } },
		{ "458", { NULL } },
		{ "65536", { NULL } },
		{ "4294967303", { NULL } },
		{ "18446744073709551615", { NULL } },
		{ "7.", { NULL } },
		{ ".7", { NULL } },
		{ "7.7.7", { NULL } },
		{ "7:7", { NULL } },
		{ "HTTP", { NULL } },
		{ "-7", { NULL } },
	};

	(void)state;
	use(NEW);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_app(rows[i].id, APP_ID_NDPI);
		run();
		check_app(rows[i].id, rows[i].texts);
		set_app(rows[i].id, APP_ID_OTHER);
		run();
		assert_int_equal(count_enriched(), 0);
	}
}

static void confidences(void **state)
{
	static const char *const names[] = { "unknown", "match_by_port", "nbpf", "dpi_partial", "dpi_partial_cache",
					     "dpi_cache", "dpi", "match_by_ip", "dpi_aggressive", "custom_rule" };

	(void)state;
	for (int64_t i = -1; i <= 10; i++) {
		flow_clear(flow);
		flow_set_i64(flow, F_app_confidence, i);
		use(i % 2 == 0 ? OLD : NEW);
		run();
		check_text("confidence", F_ndpi_confidence_name, i < 0 || i > 9 ? NULL : names[i]);
	}
}

/* The option's release where the entry names none; nothing at all where there are no tables. */
static void whose_release(void **state)
{
	struct why why = { "" };
	struct enrich_ndpi_conf conf = { .release = (char *)OLD, .releases = releases };
	void *other;
	void *kept = self;

	(void)state;
	assert_int_equal(enrich_ndpi_load(&conf, &why, &other), ERR_OK);
	self = other;
	for (int has_entry = 0; has_entry < 2; has_entry++) {
		entry.ndpi = NULL;
		session.entry = has_entry ? &entry : NULL;
		set_app("75", APP_ID_NDPI);
		run();
		check_text("75", F_ndpi_app, "HalfLife2");
	}
	use(NEW);
	set_app("75", APP_ID_NDPI);
	run();
	check_text("75", F_ndpi_app, "MELSEC");
	enrich_ndpi_free(other);
	conf.release = (char *)"2024-1";
	assert_int_equal(enrich_ndpi_load(&conf, &why, &other), ERR_CONF);
	assert_string_equal(why.text, "unknown nDPI release `2024-1' (nearest: `2024-10')");
	assert_int_equal(enrich_ndpi_load(NULL, &why, &other), ERR_OK);
	self = other;
	use(NULL);
	set_app("75", APP_ID_NDPI);
	flow_set_i64(flow, F_risk_bitmap, -1);
	run();
	assert_int_equal(count_enriched(), 0);
	enrich_ndpi_free(other);
	self = kept;
}

/* What the plan leaves for each way to fill app_id, in a flow that was nDPI's before. */
static void conversions(void **state)
{
	static const struct {
		enum as as;
		enum element_type type;
		const char *octets;
		uint32_t bytes;
		const char *id;
		const char *app;
	} rows[] = {
		{ AS_NDPI, ELEMENT_UNSIGNED16, "\x00\x07", 2, "7", "HTTP" },
		{ AS_NDPI, ELEMENT_STRING, "7.124", 5, "7.124", "YouTube" },
		{ AS_DECIMAL, ELEMENT_UNSIGNED16, "\x00\x07", 2, "7", NULL },
		{ AS_APP_ID, ELEMENT_OCTETS, "\x0d\x00\x01\xc5", 4, "13:453", NULL },
		{ AS_APP_ID, ELEMENT_OCTETS, "\x14\x00\x00\x8c\x30\x07", 6, "20:35888:7", NULL },
		{ AS_NATURAL, ELEMENT_STRING, "7", 1, "7", NULL },
	};
	struct field_set *set = calloc(1, sizeof(*set));

	(void)state;
	must(set != NULL);
	field_set_init(set);
	use(NEW);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct element element = { .type = rows[i].type };
		struct xform_how how = { .as = rows[i].as, .scale = 1, .field = &set->fields[F_app_id], .field_number = F_app_id,
					 .element = &element, .bytes = (uint16_t)rows[i].bytes };
		struct why why = { "" };
		struct xform x;

		if (xform_compile(&how, &x, &why) != ERR_OK)
			fail_msg("%s", why.text);
		set_app("5", APP_ID_NDPI);
		flow_clear(flow);
		assert_int_equal(xform_run(&x, NULL, (const uint8_t *)rows[i].octets, rows[i].bytes, flow), XFORM_TAKEN);
		check_text(rows[i].id, F_app_id, rows[i].id);
		run();
		check_text(rows[i].id, F_ndpi_app, rows[i].app);
	}
	free(set);
}

static int set_up(void **state)
{
	struct why why = { "" };
	struct enrich_ndpi_conf conf = { .release = (char *)NDPI_RELEASE };

	(void)state;
	flow = calloc(1, sizeof(*flow));
	must(flow != NULL);
	if (ndpi_load("templates/tables", &why, &releases) != ERR_OK)
		fail_msg("%s", why.text);
	conf.releases = releases;
	return enrich_ndpi_load(&conf, &why, &self) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	enrich_ndpi_free(self);
	ndpi_free(releases);
	free(flow);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocols), cmocka_unit_test(risks),	      cmocka_unit_test(bitmaps),
		cmocka_unit_test(ids),	     cmocka_unit_test(names_at_the_limit), cmocka_unit_test(confidences),
		cmocka_unit_test(whose_release), cmocka_unit_test(conversions),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
