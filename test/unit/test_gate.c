/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is sound passes the gate and is walked into its records, what is not is refused by the rule that it breaks,
 * and only a template costs memory; each branch of gate, walk, define, tmpl and the readers of headers is taken
 * (scripts/coverage counts them).
 * Method: tables of octets written as hex: messages for the gate, bodies of template sets for the definitions, bodies
 * of data sets for the walk.  Each is in memory of its own size, and cut at every length, so that a sanitizer sees one
 * octet too far; memory fails at each allocation in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "collector/define.h"
#include "collector/gate.h"
#include "collector/walk.h"

#define OCTETS_MAX 65536
#define TEXT_MAX 256

/* The linker's names (--wrap): the calls are counted, and one of them finds no memory. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *at, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *at, size_t bytes);

static unsigned calls;
static unsigned fail_at; /* 0: never */

static bool fails(void)
{
	return ++calls == fail_at;
}

void *__wrap_malloc(size_t bytes)
{
	return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *at, size_t bytes)
{
	return fails() ? NULL : __real_realloc(at, bytes);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static const struct collector_limits limits = { .fields_max = 64, .repeats_max = 4 };

/* A copy of its own size on the heap. */
static uint8_t *exact(const uint8_t *octets, size_t bytes)
{
	uint8_t *copy = malloc(bytes + (bytes == 0));

	must(copy != NULL);
	memcpy(copy, octets, bytes);
	return copy;
}

/* "xx*n" is n times that octet; spaces do not count. */
static uint8_t *of_hex(const char *hex, size_t *bytes)
{
	static uint8_t out[OCTETS_MAX];
	size_t n = 0;

	while (*hex != '\0') {
		char pair[3] = { hex[0], hex[1], '\0' };
		unsigned long times = 1;

		if (*hex == ' ') {
			hex++;
			continue;
		}
		hex += 2;
		if (*hex == '*') {
			char *end;

			times = strtoul(hex + 1, &end, 10);
			hex = end;
		}
		must(n + times <= sizeof(out));
		memset(out + n, (int)strtoul(pair, NULL, 16), times);
		n += times;
	}
	*bytes = n;
	return exact(out, n);
}

__attribute__((format(printf, 2, 3))) static void add(char text[TEXT_MAX], const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text + used, TEXT_MAX - used, format, args);
	va_end(args);
	must(n >= 0 && (size_t)n < TEXT_MAX - used);
}

/* Messages. */

#define IPFIX(len) "000a" len "60000000 00000011 00000007"
#define NF9 "0009 0001 00001000 60000000 00000011 00000007"
#define NF5(count) "0005" count "00001000 60000000 1dcd6500 00000011 0102 c00a"
/* What the header says, as below. */
#define SAYS " 1610612736000 17 7"
#define SAYS_5 " 1610612736500 17 258"

/* sets: id:octets of the body of each. */
static const struct gate_row {
	const char *name;
	const char *octets;
	enum collector_stat verdict;
	const char *says; /* length, export time, sequence, domain, sets */
} gate_rows[] = {
	{ "nothing", "", STAT_MSG_SHORT, "" },
	{ "half a version", "00", STAT_MSG_SHORT, "" },
	{ "no such version", "0000*20", STAT_MSG_VERSION, "" },
	{ "NetFlow v8", "0008 00*30", STAT_MSG_NF8, "" },
	{ "a version between ours", "0006 00*30", STAT_MSG_VERSION, "" },
	{ "the version behind ours", "000b 00*30", STAT_MSG_VERSION, "" },
	{ "only a version", "000a", STAT_MSG_SHORT, "" },
	{ "IPFIX, header cut", "000a0010 60000000 00000011 000000", STAT_MSG_SHORT, "" },
	{ "IPFIX, header only", IPFIX("0010"), COLLECTOR_STAT_COUNT, "16" SAYS },
	{ "IPFIX, longer than it is", IPFIX("0011"), STAT_MSG_LENGTH, "" },
	{ "IPFIX, shorter than its header", IPFIX("000f") "00", STAT_MSG_LENGTH, "" },
	{ "IPFIX, octets behind it", IPFIX("0010") "ffffff", COLLECTOR_STAT_COUNT, "16" SAYS },
	{ "IPFIX, sets", IPFIX("0020") "0002 0005 ff 0100 0007 ffffff 0004 0004", COLLECTOR_STAT_COUNT,
	  "32" SAYS " 2:1 256:3 4:0" },
	{ "IPFIX, half a head of a set", IPFIX("0012") "0100", STAT_MSG_SET_LENGTH, "" },
	{ "IPFIX, three octets behind the last set", IPFIX("0017") "01000004 000000", STAT_MSG_SET_LENGTH, "" },
	{ "IPFIX, set of no octets", IPFIX("0014") "01000000", STAT_MSG_SET_LENGTH, "" },
	{ "IPFIX, set shorter than its head", IPFIX("0014") "01000003", STAT_MSG_SET_LENGTH, "" },
	{ "IPFIX, set runs over the message by one", IPFIX("0016") "01000007 ffff", STAT_MSG_SET_LENGTH, "" },
	{ "IPFIX, set runs over the message into what is behind it", IPFIX("0014") "01000005 ff", STAT_MSG_SET_LENGTH, "" },
	{ "IPFIX, the longest set", IPFIX("ffff") "0100 ffef 55*65515", COLLECTOR_STAT_COUNT, "65535" SAYS " 256:65515" },
	{ "IPFIX, set longer than any message", IPFIX("0014") "0100ffff", STAT_MSG_SET_LENGTH, "" },
	{ "v9, header cut", "0009 0001 00001000 60000000 00000011 000000", STAT_MSG_SHORT, "" },
	{ "v9, header only", NF9, COLLECTOR_STAT_COUNT, "20" SAYS },
	{ "v9, sets", NF9 "0000 0005 ff 0100 0008 ffffffff", COLLECTOR_STAT_COUNT, "33" SAYS " 0:1 256:4" },
	{ "v9, set runs over", NF9 "0100 0009 ffffffff", STAT_MSG_SET_LENGTH, "" },
	{ "v9, set of no octets", NF9 "0100 0000", STAT_MSG_SET_LENGTH, "" },
	{ "v9, padding", NF9 "0100 0005 ff 000000", COLLECTOR_STAT_COUNT, "28" SAYS " 256:1" },
	{ "v9, padding that is not zero", NF9 "0100 0005 ff ffffff", COLLECTOR_STAT_COUNT, "28" SAYS " 256:1" },
	{ "v9, zeros behind the sets", NF9 "0100 0005 ff 00*11", COLLECTOR_STAT_COUNT, "36" SAYS " 256:1" },
	{ "v9, zeros and something", NF9 "0100 0005 ff 00*10 01", STAT_MSG_SET_LENGTH, "" },
	{ "v5, header cut", "0005 0001 00001000 60000000 1dcd6500 00000011 0102 c0", STAT_MSG_SHORT, "" },
	{ "v5, no records", NF5("0000") "55*48", STAT_MSG_COUNT, "" },
	{ "v5, fewer records than it says", NF5("0002") "55*95", STAT_MSG_COUNT, "" },
	{ "v5, as many", NF5("0002") "55*96", COLLECTOR_STAT_COUNT, "120" SAYS_5 },
	{ "v5, and octets behind them", NF5("0001") "55*50", COLLECTOR_STAT_COUNT, "72" SAYS_5 },
	{ "v5, count that wraps a message's length", NF5("ffff") "55*480", STAT_MSG_COUNT, "" },
};

static void describe(const struct message *m, const struct frame *f, char text[TEXT_MAX])
{
	struct rd sets = rd_of(m->octets + m->header_bytes, m->bytes - m->header_bytes);
	struct rd body;
	uint16_t id;

	add(text, "%u %lld %u %u", m->bytes, (long long)m->export_ms, m->sequence, m->domain);
	while (f->has_sets && gate_next_set(&sets, &id, &body))
		add(text, " %u:%zu", id, rd_left(&body));
}

static void test_gate(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(gate_rows) / sizeof(gate_rows[0]); i++) {
		const struct gate_row *row = &gate_rows[i];
		const struct frame *frame = NULL;
		char text[TEXT_MAX] = "";
		struct message m;
		size_t bytes;
		uint8_t *octets = of_hex(row->octets, &bytes);
		unsigned before = calls;
		enum collector_stat verdict = gate_check(octets, bytes, &m, &frame);

		assert_int_equal(calls, before);
		if (verdict == COLLECTOR_STAT_COUNT)
			describe(&m, frame, text);
		if (verdict != row->verdict || strcmp(text, row->says) != 0)
			fail_msg("%s: verdict %d instead of %d, \"%s\" instead of \"%s\"", row->name, (int)verdict,
				 (int)row->verdict, text, row->says);
		free(octets);
	}
}

static void test_headers(void **state)
{
	const struct frame *frame;
	struct message m;
	size_t bytes;
	uint8_t *octets = of_hex(NF5("0001") "55*48", &bytes);

	(void)state;
	assert_int_equal(gate_check(octets, bytes, &m, &frame), COLLECTOR_STAT_COUNT);
	assert_true(m.has_uptime && m.uptime_ms == 4096 && m.has_sampling);
	assert_int_equal(m.sampling_mode, 3);
	assert_int_equal(m.sampling_interval, 10);
	assert_string_equal(frame->source, "netflow5");
	free(octets);
	octets = of_hex(NF9, &bytes);
	assert_int_equal(gate_check(octets, bytes, &m, &frame), COLLECTOR_STAT_COUNT);
	assert_true(m.has_uptime && m.uptime_ms == 4096 && !m.has_sampling);
	free(octets);
	octets = of_hex(IPFIX("0010"), &bytes);
	assert_int_equal(gate_check(octets, bytes, &m, &frame), COLLECTOR_STAT_COUNT);
	assert_true(!m.has_uptime && !m.has_sampling);
	free(octets);
}

/* Cut anywhere, a message is judged by what is there of it. */
static void test_gate_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(gate_rows) / sizeof(gate_rows[0]); i++) {
		size_t bytes;
		uint8_t *octets = of_hex(gate_rows[i].octets, &bytes);

		for (size_t cut = 0; cut < bytes && cut < 600; cut++) {
			uint8_t *part = exact(octets, cut);
			const struct frame *frame = NULL;
			char text[TEXT_MAX] = "";
			struct message m;

			if (gate_check(part, cut, &m, &frame) == COLLECTOR_STAT_COUNT) {
				assert_true(m.bytes <= cut);
				describe(&m, frame, text);
			}
			free(part);
		}
		free(octets);
	}
}

/* Definitions. */

#define IPFIX_T VERSION_IPFIX, false
#define IPFIX_O VERSION_IPFIX, true
#define NF9_T VERSION_NF9, false
#define NF9_O VERSION_NF9, true
#define FIELD "0008 0004"

static const struct define_row {
	const char *name;
	uint16_t version;
	bool is_options;
	const char *body;
	const char *says; /* what becomes of each, and how the set ends */
} define_rows[] = {
	{ "nothing", IPFIX_T, "", "end" },
	{ "fewer octets than a head", IPFIX_T, "010000", "end" },
	{ "zeros", IPFIX_T, "00*9", "end" },
	{ "one", IPFIX_T, "0100 0002" FIELD "0001 0008", "256=0.8/4,0.1/8:12 end" },
	{ "two, and padding", IPFIX_T, "0100 0001" FIELD "0101 0001" FIELD "0000", "256=0.8/4:4 257=0.8/4:4 end" },
	{ "enterprise", IPFIX_T, "0100 0002 8001 0002 00008b30 0001 0008", "256=35632.1/2,0.1/8:10 end" },
	{ "variable", IPFIX_T, "0100 0002 0052 ffff 0001 0008", "256=0.82/65535,0.1/8:9v end" },
	{ "withdrawal", IPFIX_T, "0100 0000 0101 0001" FIELD, "256=withdrawn 257=0.8/4:4 end" },
	{ "field cut", IPFIX_T, "0100 0001 0008", "256=broken" },
	{ "enterprise cut", IPFIX_T, "0100 0001 8008 0004 0000", "256=broken" },
	{ "more fields than there are", IPFIX_T, "0100 ffff" FIELD, "256=broken" },
	{ "id of no data", IPFIX_T, "00ff 0001" FIELD "0100 0001" FIELD, "255=id 256=0.8/4:4 end" },
	{ "records of no octets", IPFIX_T, "0100 0002 0008 0000 0001 0000", "256=empty_record end" },
	{ "as many fields as the limit", IPFIX_T, "0100 0004" FIELD "0001 0004 0002 0004 0003 0004",
	  "256=0.8/4,0.1/4,0.2/4,0.3/4:16 end" },
	{ "more fields than the limit", IPFIX_T, "0100 0041 00*260", "256=fields end" },
	{ "the longest record", IPFIX_T, "0100 0002 0001 ffeb 0002 0000", "256=0.1/65515,0.2/0:65515 end" },
	{ "longer than any message", IPFIX_T, "0100 0002 0001 ffeb 0002 0001", "256=long end" },
	{ "lengths that wrap 16 bits", IPFIX_T, "0100 0002 0001 fffe 0002 0006", "256=long end" },
	{ "repeats", IPFIX_T, "0100 0004 0008 0004 0008 0004 0008 0004 0008 0004", "256=0.8/4,0.8/4,0.8/4,0.8/4:16 end" },
	{ "repeats beyond the limit, not in a row", IPFIX_T,
	  "0100 0007 0008 0004 0007 0002 0008 0004 0008 0004 8008 0004 00000009 0008 0004 0008 0004", "256=repeats end" },
	{ "enterprises are not repeats", IPFIX_T,
	  "0100 0005 0008 0001 8008 0001 00000009 8008 0001 00000008 8008 0001 00000009 0008 0001",
	  "256=0.8/1,9.8/1,8.8/1,9.8/1,0.8/1:5 end" },
	{ "options", IPFIX_O, "0102 0002 0001 0095 0004 00a0 0008", "258=s0.149/4,0.160/8:12 end" },
	{ "options, scope only", IPFIX_O, "0102 0001 0001 0095 0004", "258=s0.149/4:4 end" },
	{ "options, no scope", IPFIX_O, "0102 0001 0000 0095 0004", "258=scope end" },
	{ "options, more scope than fields", IPFIX_O, "0102 0001 0002 0095 0004", "258=scope end" },
	{ "options, scope count cut", IPFIX_O, "0102 0001 00", "258=broken" },
	{ "options withdrawn", IPFIX_O, "0102 0000", "258=withdrawn end" },
	{ "options withdrawn, an octet behind", IPFIX_O, "0102 0000 00", "258=withdrawn end" },
	{ "options withdrawn, another behind", IPFIX_O, "0102 0000 0103 0001 0001 0095 0004", "258=withdrawn 259=s0.149/4:4 end" },
	{ "options withdrawn, padding behind", IPFIX_O, "0102 0000 0000 0000 0000", "258=withdrawn end" },
	{ "options without fields, scope count told", IPFIX_O, "0102 0000 0000", "258=empty end" },
	{ "options without fields, another behind", IPFIX_O, "0102 0000 0000 0103 0001 0001 0095 0004", "258=empty 259=s0.149/4:4 end" },
	{ "v9", NF9_T, "0100 0002" FIELD "0001 0008 0000", "256=0.8/4,0.1/8:12 end" },
	{ "v9, types with bit 15", NF9_T, "0100 0002 e081 0004 8001 0008", "256=35632.1/4,4294967049.32769/8:12 end" },
	{ "v9, no fields", NF9_T, "0100 0000 0101 0001" FIELD, "256=empty_record 257=0.8/4:4 end" },
	{ "v9, variable", NF9_T, "0100 0002 0052 ffff 0001 0008", "256=variable end" },
	{ "v9, field cut", NF9_T, "0100 0001 0008", "256=broken" },
	{ "v9, options", NF9_O, "0102 0004 0008 0001 0004 0022 0004 0023 0001 0000", "258=s4294967050.1/4,0.34/4,0.35/1:9 end" },
	{ "v9, options of scope only", NF9_O, "0102 0004 0000 0001 0004", "258=s4294967050.1/4:4 end" },
	{ "v9, options without scope", NF9_O, "0102 0000 0004 0022 0004", "258=scope end" },
	{ "v9, options without anything", NF9_O, "0102 0000 0000", "258=empty_record end" },
	{ "v9, options, scope not whole", NF9_O, "0102 0003 0004 0001 0004 0022 00", "258=scope end" },
	{ "v9, options, options not whole", NF9_O, "0102 0004 0005 0001 0004 0022 0004 00", "258=scope end" },
	{ "v9, options, lengths cut", NF9_O, "0102 0004 00", "258=broken" },
	{ "v9, options, fields cut", NF9_O, "0102 0004 0004 0001 0004 0022 00", "258=broken" },
	{ "v9, options, lengths that wrap 16 bits", NF9_O, "0102 fffc 0008 0001 0004", "258=broken" },
};

static const struct {
	enum collector_stat verdict;
	const char *name;
} verdicts[] = {
	{ STAT_TMPL_ID, "id" },		  { STAT_TMPL_SCOPE, "scope" },
	{ STAT_TMPL_EMPTY, "empty_record" }, { STAT_TMPL_FIELDS, "fields" },
	{ STAT_TMPL_LONG, "long" },	  { STAT_TMPL_REPEATS, "repeats" },
	{ STAT_TMPL_VARIABLE_V9, "variable" },
};

static const char *verdict_name(enum collector_stat verdict)
{
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		if (verdicts[i].verdict == verdict)
			return verdicts[i].name;
	}
	return "?";
}

static void say_tmpl(const struct tmpl *t, char text[TEXT_MAX])
{
	for (uint16_t i = 0; i < t->field_count; i++)
		add(text, "%s%s%u.%u/%u", i == 0 ? "" : ",", t->fields[i].is_scope ? "s" : "", t->fields[i].pen,
		    t->fields[i].id, t->fields[i].bytes);
	add(text, ":%u%s ", t->min_bytes, t->is_fixed ? "" : "v");
}

static void say_define(const struct define *d, char text[TEXT_MAX])
{
	enum collector_stat verdict;
	struct tmpl *t = NULL;

	if (d->is_withdrawal) {
		add(text, d->is_empty ? "empty " : "withdrawn ");
		return;
	}
	verdict = define_build(d, &limits, &t);
	if (verdict != COLLECTOR_STAT_COUNT) {
		assert_null(t);
		add(text, "%s ", verdict_name(verdict));
		return;
	}
	assert_int_equal(t->id, d->id);
	assert_int_equal(t->is_options, d->is_options);
	assert_int_equal(t->hash, define_hash(d));
	say_tmpl(t, text);
	tmpl_free(t);
}

static void say_set(const struct define_row *row, struct rd body, char text[TEXT_MAX])
{
	enum define_step step;
	struct define d;

	for (;;) {
		unsigned before = calls;

		step = define_next(&body, row->version, row->is_options, &d);
		assert_int_equal(calls, before);
		if (step == DEFINE_END)
			break;
		add(text, "%u=", d.id);
		if (step == DEFINE_BROKEN) {
			add(text, "broken");
			return;
		}
		say_define(&d, text);
	}
	add(text, "end");
}

static void test_define(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(define_rows) / sizeof(define_rows[0]); i++) {
		const struct define_row *row = &define_rows[i];
		char text[TEXT_MAX] = "";
		size_t bytes;
		uint8_t *body = of_hex(row->body, &bytes);

		say_set(row, rd_of(body, bytes), text);
		if (strcmp(text, row->says) != 0)
			fail_msg("%s: \"%s\" instead of \"%s\"", row->name, text, row->says);
		for (size_t cut = 0; cut < bytes; cut++) {
			uint8_t *part = exact(body, cut);
			char partly[TEXT_MAX] = "";

			say_set(row, rd_of(part, cut), partly);
			free(part);
		}
		free(body);
	}
}

static struct tmpl *build(uint16_t version, bool is_options, const char *body)
{
	size_t bytes;
	uint8_t *octets = of_hex(body, &bytes);
	struct rd set = rd_of(octets, bytes);
	struct tmpl *t = NULL;
	struct define d;

	must(define_next(&set, version, is_options, &d) == DEFINE_ONE);
	must(define_build(&d, &limits, &t) == COLLECTOR_STAT_COUNT);
	free(octets);
	return t;
}

/* A field told otherwise is another definition, and so is a scope that ends elsewhere. */
static void test_hash(void **state)
{
	struct tmpl *all[] = { build(IPFIX_T, "0100 0002" FIELD "0001 0008"),
			       build(IPFIX_T, "0100 0002" FIELD "0001 0004"),
			       build(IPFIX_O, "0100 0002 0001" FIELD "0001 0008"),
			       build(IPFIX_O, "0100 0002 0002" FIELD "0001 0008") };
	struct tmpl *same = build(IPFIX_T, "0101 0002" FIELD "0001 0008");

	(void)state;
	assert_true(same->hash == all[0]->hash);
	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < i; k++)
			assert_true(all[i]->hash != all[k]->hash);
	}
	for (size_t i = 0; i < 4; i++)
		tmpl_free(all[i]);
	tmpl_free(same);
}

/* Templates, and what their memory costs. */

static void test_no_memory(void **state)
{
	size_t bytes;
	uint8_t *body = of_hex("0100 0002 0052 ffff 0001 0008", &bytes);
	enum collector_stat verdict = STAT_TMPL_NOMEM;
	struct tmpl *t = NULL;
	enum err e = ERR_NOMEM;
	unsigned turn;

	(void)state;
	for (turn = 1; verdict != COLLECTOR_STAT_COUNT; turn++) {
		struct rd set = rd_of(body, bytes);
		struct define d;

		assert_int_equal(define_next(&set, VERSION_IPFIX, false, &d), DEFINE_ONE);
		calls = 0;
		fail_at = turn;
		verdict = define_build(&d, &limits, &t);
		fail_at = 0;
		assert_int_equal(verdict == COLLECTOR_STAT_COUNT, t != NULL);
		assert_true(verdict == COLLECTOR_STAT_COUNT || verdict == STAT_TMPL_NOMEM);
	}
	assert_int_equal(turn, 5); /* the template, the sorted copy, the runs; then all is there */
	tmpl_free(t);
	t = NULL;
	for (turn = 1; e != ERR_OK; turn++) {
		calls = 0;
		fail_at = turn;
		e = tmpl_new_fixed(VERSION_NF5, &t);
		fail_at = 0;
		assert_true(e == ERR_OK ? t != NULL : e == ERR_NOMEM && t == NULL);
	}
	assert_int_equal(turn, 4);
	tmpl_free(t);
	tmpl_free(NULL);
	free(body);
}

static void test_tmpl(void **state)
{
	struct tmpl *t;

	(void)state;
	assert_int_equal(tmpl_new(0, &t), ERR_OK);
	assert_int_equal(tmpl_finish(t), ERR_FORMAT);
	tmpl_free(t);
	assert_int_equal(tmpl_new_fixed(VERSION_NF5, &t), ERR_OK);
	assert_int_equal(t->min_bytes, NF5_RECORD_BYTES);
	assert_true(t->is_fixed);
	assert_string_equal(tmpl_fixed_name(VERSION_NF5, 6), "dOctets");
	tmpl_free(t);
}

/* How long a record is; 0: it runs over what is there. */
static const struct length_row {
	const char *tmpl;
	const char *octets;
	size_t bytes;
} length_rows[] = {
	{ "0100 0001 0008 0004", "55*4", 4 },
	{ "0100 0001 0008 0004", "55*9", 4 },
	{ "0100 0001 0008 0004", "55*3", 0 },
	{ "0100 0002 0008 0004 0052 ffff", "55*4", 0 },
	{ "0100 0002 0008 0004 0052 ffff", "55*4 00", 5 },
	{ "0100 0002 0008 0004 0052 ffff", "55*3", 0 },
	{ "0100 0002 0052 ffff 0008 0004", "01 55*4", 0 },
	{ "0100 0002 0052 ffff 0008 0004", "01 55*5", 6 },
	{ "0100 0001 0052 ffff", "03 5555", 0 },
	{ "0100 0001 0052 ffff", "fe 55*254", 255 },
	{ "0100 0001 0052 ffff", "ff 00", 0 },
	{ "0100 0001 0052 ffff", "ff 0000", 3 },
	{ "0100 0001 0052 ffff", "ff 0002 5555", 5 },
	{ "0100 0001 0052 ffff", "ff 0002 55", 0 },
	{ "0100 0001 0052 ffff", "ff ffff 55*60000", 0 },
	{ "0100 0003 0052 ffff 0008 0000 0053 ffff", "00 ff0001 55", 5 },
};

static void test_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(length_rows) / sizeof(length_rows[0]); i++) {
		const struct length_row *row = &length_rows[i];
		struct tmpl *t = build(IPFIX_T, row->tmpl);
		struct value values[3];
		size_t bytes;
		uint8_t *octets = of_hex(row->octets, &bytes);

		assert_int_equal(tmpl_record_bytes(t, octets, bytes), row->bytes);
		if (row->bytes != 0) {
			tmpl_cut(t, octets, row->bytes, values);
			assert_ptr_equal(values[t->field_count - 1].octets + values[t->field_count - 1].bytes,
					 octets + row->bytes);
		}
		free(octets);
		tmpl_free(t);
	}
}

/* Data sets. */

struct floor {
	struct walk walk;
	struct message m;
	uint8_t *octets;
};

static void open_floor(struct floor *f, const char *octets)
{
	size_t bytes;

	memset(f, 0, sizeof(*f));
	f->walk.records = calloc(WALK_RECORDS_MAX, sizeof(*f->walk.records));
	f->walk.runs = calloc(WALK_SETS_MAX, sizeof(*f->walk.runs));
	must(f->walk.records != NULL && f->walk.runs != NULL);
	f->octets = of_hex(octets, &bytes);
	f->m.octets = f->octets;
	f->m.bytes = (uint32_t)bytes;
}

static void close_floor(struct floor *f)
{
	free(f->walk.records);
	free(f->walk.runs);
	free(f->octets);
}

static const struct walk_row {
	const char *name;
	const char *tmpl;
	const char *body;
	const char *says; /* offset+length of each record */
} walk_rows[] = {
	{ "nothing", "0100 0001 0008 0004", "", "" },
	{ "less than a record", "0100 0001 0008 0004", "555555", "" },
	{ "one", "0100 0001 0008 0004", "55*4", "0+4 " },
	{ "two, and padding", "0100 0001 0008 0004", "55*11", "0+4 4+4 " },
	{ "variable", "0100 0002 0052 ffff 0001 0001", "02 5555 01 00 01 ff0001 55 01", "0+4 4+2 6+5 " },
	{ "variable, padding", "0100 0002 0052 ffff 0001 0001", "00 01 00", "0+2 " },
	{ "variable, runs over", "0100 0002 0052 ffff 0001 0001", "00 01 01 55", "overrun" },
	{ "variable, padding as long as a record", "0100 0001 0052 ffff", "01 55 00 00", "0+2 2+1 3+1 " },
};

static void test_walk(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(walk_rows) / sizeof(walk_rows[0]); i++) {
		const struct walk_row *row = &walk_rows[i];
		struct tmpl *t = build(IPFIX_T, row->tmpl);
		char text[TEXT_MAX] = "";
		struct floor f;
		unsigned before;

		open_floor(&f, row->body);
		before = calls;
		if (!walk_set(&f.walk, &f.m, t, rd_of(f.m.octets, f.m.bytes)))
			add(text, "overrun");
		else
			assert_int_equal(f.walk.runs[0].count, f.walk.record_count);
		assert_int_equal(calls, before);
		for (uint32_t r = 0; text[0] != 'o' && r < f.walk.runs[0].count; r++)
			add(text, "%u+%u ", f.walk.records[r].offset, f.walk.records[r].bytes);
		if (strcmp(text, row->says) != 0)
			fail_msg("%s: \"%s\" instead of \"%s\"", row->name, text, row->says);
		close_floor(&f);
		tmpl_free(t);
	}
}

/* 65 515 records of an octet: no set has more. */
static void test_walk_most(void **state)
{
	struct tmpl *t = build(IPFIX_T, "0100 0001 0004 0001");
	struct floor f;

	(void)state;
	open_floor(&f, "06*65515");
	assert_true(walk_set(&f.walk, &f.m, t, rd_of(f.m.octets, f.m.bytes)));
	assert_int_equal(f.walk.record_count, 65515);
	assert_int_equal(f.walk.records[65514].offset, 65514);
	close_floor(&f);
	tmpl_free(t);
}

#define ONE "0100 0001 0004 0001"
#define TWO "0100 0001 0004 0002"
#define THREE "0100 0001 0004 0003"
#define FIVE "0100 0001 0004 0005"
#define VAR "0100 0001 0052 ffff"

/* Sets of a message with as many records as its header counts. */
static const struct trim_row {
	const char *name;
	struct {
		const char *tmpl;
		const char *body;
	} sets[3];
	uint32_t record_count;
	const char *says; /* records left of each set */
} trim_rows[] = {
	{ "count is right", { { ONE, "06 00 00 00" } }, 4, "4" },
	{ "padding", { { ONE, "06 00 00 00" } }, 1, "1" },
	{ "some of it", { { ONE, "06 00 00 00" } }, 2, "2" },
	{ "no more than three octets", { { ONE, "00 00 00 00" } }, 0, "4" },
	{ "three of four zeros", { { ONE, "00 00 00 00" } }, 1, "1" },
	{ "not zeros", { { ONE, "06 01 01 01" } }, 1, "4" },
	{ "set not padded to four octets", { { ONE, "06 00 00" } }, 1, "3" },
	{ "records of two octets", { { TWO, "0606 0000" } }, 1, "1" },
	{ "records of three octets, and no octet spare", { { THREE, "06*9 000000" } }, 3, "3" },
	{ "records of three octets, and two spare", { { THREE, "060606 060606 00 00" } }, 1, "2" },
	{ "records that are no padding", { { FIVE, "06*5 06*5 06*5 06*5" } }, 3, "4" },
	{ "fewer zeros than are spare", { { THREE, "06*3 06*3 06 06" } }, 1, "2" },
	{ "variable records", { { VAR, "01 06 00 00" } }, 1, "3" },
	{ "more records than there are", { { ONE, "06 00 00 00" } }, 9, "4" },
	{ "two sets, all of it", { { ONE, "06 00 00 00" }, { ONE, "06 11 00 00" } }, 3, "1 2" },
	{ "two sets, no telling which", { { ONE, "06 00 00 00" }, { ONE, "06 11 00 00" } }, 4, "4 4" },
	{ "two sets, one with padding", { { ONE, "06 11 11 11" }, { ONE, "06 11 00 00" } }, 7, "4 3" },
	{ "two sets, more than that padding", { { ONE, "06 11 11 11" }, { ONE, "06 11 00 00" } }, 5, "4 4" },
	{ "a set of no records between", { { ONE, "06 00 00 00" }, { FIVE, "00*4" }, { ONE, "06 06 06 06" } }, 5, "1 0 4" },
};

static void test_trim(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(trim_rows) / sizeof(trim_rows[0]); i++) {
		const struct trim_row *row = &trim_rows[i];
		char hex[TEXT_MAX] = "";
		char text[TEXT_MAX] = "";
		struct tmpl *tmpls[3] = { 0 };
		size_t at = 0;
		struct floor f;
		uint32_t sum = 0;
		unsigned before;

		for (size_t s = 0; s < 3 && row->sets[s].body != NULL; s++)
			add(hex, "%s ", row->sets[s].body);
		open_floor(&f, hex);
		for (size_t s = 0; s < 3 && row->sets[s].body != NULL; s++) {
			size_t bytes;

			free(of_hex(row->sets[s].body, &bytes));
			tmpls[s] = build(IPFIX_T, row->sets[s].tmpl);
			must(walk_set(&f.walk, &f.m, tmpls[s], rd_of(f.m.octets + at, bytes)));
			f.walk.run_count++;
			at += bytes;
		}
		before = calls;
		walk_trim_nf9(&f.walk, row->record_count);
		assert_int_equal(calls, before);
		for (uint32_t r = 0; r < f.walk.run_count; r++) {
			add(text, "%s%u", r == 0 ? "" : " ", f.walk.runs[r].count);
			sum += f.walk.runs[r].count;
			tmpl_free(tmpls[r]);
		}
		if (strcmp(text, row->says) != 0)
			fail_msg("%s: \"%s\" instead of \"%s\"", row->name, text, row->says);
		assert_int_equal(f.walk.record_count, sum);
		close_floor(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate),	  cmocka_unit_test(test_headers),   cmocka_unit_test(test_gate_cut),
		cmocka_unit_test(test_define),	  cmocka_unit_test(test_hash),	    cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_tmpl),	  cmocka_unit_test(test_lengths),   cmocka_unit_test(test_walk),
		cmocka_unit_test(test_walk_most), cmocka_unit_test(test_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
