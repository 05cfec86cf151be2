/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every message ends in exactly one account: its records are handed on, or a reason is counted.
 * Method: one table of message sequences written as hex, each with the counters it must raise; each is
 * run whole, then truncated at every length and with every octet changed, and the ledger must balance.
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
#include <xxhash.h>

#include "base/clock.h"
#include "base/must.h"
#include "collector/collector.h"
#include "collector/gate.h"
#include "collector/keep.h"
#include "daemon/letter.h"

#define MESSAGE_MAX 2048
#define EXPECT_MAX 8

struct sink {
	size_t flows;
	size_t options;
	size_t options_first; /* those that came before the last flows */
	size_t octets;
	size_t tmpls_new;
	size_t tmpls_gone;
	size_t sets_refused; /* told as undecodable, */
	size_t messages_refused;
	bool is_open; /* between message_begin and message_end */
	uint64_t sum; /* of all that a record's flow is made of, whatever the order they came in */
};

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	struct sink *k = ctx;

	(void)s;
	assert_true(t->min_bytes > 0);
	k->tmpls_new++;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	struct sink *k = ctx;

	if (t->id != 0)
		k->tmpls_gone++;
}

static void begin(void *ctx, const struct message *m, struct session *s)
{
	struct sink *k = ctx;

	(void)m;
	(void)s;
	assert_false(k->is_open);
	k->is_open = true;
}

static void end(void *ctx, const struct message *m, struct session *s)
{
	struct sink *k = ctx;

	(void)m;
	(void)s;
	assert_true(k->is_open);
	k->is_open = false;
}

/* Header, place, octets, definition, and who sent them when. */
static uint64_t record_hash(const struct message *m, const struct tmpl *t, const struct record *r)
{
	uint64_t hash = XXH3_64bits_withSeed(m->octets, m->header_bytes, r->offset);

	hash = XXH3_64bits_withSeed(r->octets, r->bytes, hash ^ t->hash);
	hash = XXH3_64bits_withSeed(&m->origin->peer, sizeof(m->origin->peer), hash);
	return hash + (uint64_t)m->origin->receive_ms + ((uint64_t)m->export_ms << 20) + m->sequence + m->domain +
	       m->uptime_ms + m->origin->port + m->origin->local_port;
}

static void check_records(struct sink *k, const struct message *m, const struct tmpl *t,
			  const struct record *records, size_t count)
{
	struct value values[64];

	assert_true(k->is_open);
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(records[i].octets, m->octets + records[i].offset);
		assert_true(records[i].offset + records[i].bytes <= m->bytes);
		assert_true(t->field_count <= 64);
		tmpl_cut(t, records[i].octets, records[i].bytes, values);
		for (uint16_t f = 0; f < t->field_count; f++)
			assert_true(values[f].octets + values[f].bytes <= m->octets + m->bytes);
		k->octets += records[i].bytes;
		k->sum += record_hash(m, t, &records[i]);
	}
}

static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	struct sink *k = ctx;

	(void)s;
	(void)reason;
	check_records(k, m, t, r, count);
	k->options_first = k->options;
	k->flows += count;
	return 0;
}

static void options(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		    const struct record *r, size_t count)
{
	struct sink *k = ctx;

	(void)s;
	check_records(k, m, t, r, count);
	k->options += count;
}

static void session_gone_seen(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
}

/* Inside its message; a set as long as it says, which can be told again at its place. */
static void undecodable(void *ctx, const struct message *m, const struct session *s, enum collector_stat reason,
			const uint8_t *octets, size_t bytes)
{
	static uint8_t out[LETTER_MESSAGE_MAX];
	struct dead_letter l = { .care = DEAD_PLAIN };
	struct sink *k = ctx;
	size_t offset = (size_t)(octets - m->octets);
	const struct frame *frame;
	struct message again;
	size_t told = 0;

	assert_true(octets >= m->octets && offset + bytes <= m->bytes);
	assert_non_null(collector_stat_descs[reason].reason);
	if (offset == 0) {
		assert_int_equal(bytes, m->bytes);
		assert_int_equal(s == NULL, strcmp(collector_stat_descs[reason].name, "messages_malformed") == 0);
		k->messages_refused++;
		return;
	}
	k->sets_refused++;
	assert_int_equal(be16(octets + 2), bytes);
	dead_set_text(&l, DEAD_KIND, DEAD_KIND_SET);
	dead_set_number(&l, DEAD_VERSION, m->version);
	dead_set_octets(&l, DEAD_HEADER, m->octets, m->header_bytes);
	dead_set_number(&l, DEAD_OFFSET, (int64_t)offset);
	dead_set_octets(&l, DEAD_OCTETS, octets, bytes);
	assert_int_equal(letter_rebuild(&l, out, sizeof(out), &told), ERR_OK);
	assert_int_equal(gate_check(out, told, &again, &frame), COLLECTOR_STAT_COUNT);
	assert_memory_equal(out, m->octets, m->header_bytes);
	assert_memory_equal(out + offset, octets, bytes);
}

static const struct collector_ops ops = { .tmpl_new = tmpl_new_seen,
					  .tmpl_gone = tmpl_gone_seen,
					  .session_gone = session_gone_seen,
					  .message_begin = begin,
					  .records = records,
					  .options = options,
					  .undecodable = undecodable,
					  .message_end = end };
static const struct collector_limits limits = { .sessions_max = 100,
						.templates_max = 8,
						.fields_max = 64,
						.repeats_max = 4,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600 };
#define HOLD_S 30
#define REAL_MS INT64_C(1763741690000)
static const struct collector_limits patient_limits = { .sessions_max = 100,
							.templates_max = 8,
							.fields_max = 64,
							.repeats_max = 4,
							.template_lifetime_s = 1800,
							.session_idle_s = 3600,
							.hold_s = HOLD_S,
							.hold_session_bytes = 4096,
							.hold_bytes = 16384 };

#define IPFIX(len, seq) "000a" len "60000000" seq "00000007"
#define NF9(count, seq) "0009" count "00001000" "60000000" seq "00000007"
/* 256: source address, octets; 12 octets of body */
#define T256 "00020010" "0100" "0002" "00080004" "00010008"
#define T256_V9 "00000010" "0100" "0002" "00080004" "00010008"
/* One field of that many octets. */
#define T1_V9(bytes) "0000000c" "0100" "0001" "0004" bytes
#define D256(n) "0100001c" "0a000001" "000000000000000" n "0a000002" "0000000000000005"

struct expect {
	enum collector_stat stat;
	uint64_t count;
};

#define V1 "0a0000010a0000020a00000300010002000000050000012c000001000000020004000050000006000200000000000000"
#define V7 "0a0000010a0000020a00000300010002000000050000012c00000100000002000400005001020600fde8fde9181000020a000009"

static const struct row {
	const char *name;
	const char *messages[4];
	struct expect expect[EXPECT_MAX];
	size_t flows;
	size_t options;
} rows[] = {
	{ "empty and short", { "", "00", "000a", "000a0010" }, { { STAT_MSG_SHORT, 4 } }, 0, 0 },
	{ "versions", { "0000000000000000", "0008", "000b0000", "ffff" }, { { STAT_MSG_VERSION, 3 }, { STAT_MSG_NF8, 1 } }, 0, 0 },
	{ "header only", { IPFIX("0010", "00000000") }, { { STAT_MESSAGES_READ, 1 } }, 0, 0 },
	{ "length beyond", { IPFIX("0011", "00000000") }, { { STAT_MSG_LENGTH, 1 } }, 0, 0 },
	{ "length below header", { IPFIX("000f", "00000000") }, { { STAT_MSG_LENGTH, 1 } }, 0, 0 },
	{ "trailing octets", { IPFIX("0010", "00000000") "ffffff" },
	  { { STAT_MESSAGES_READ, 1 }, { STAT_TRAILING_OCTETS, 3 } }, 0, 0 },
	{ "set lengths", { IPFIX("0014", "00000000") "01000000", IPFIX("0014", "00000000") "01000003",
			   IPFIX("0014", "00000000") "0100ffff", IPFIX("0012", "00000000") "0100" },
	  { { STAT_MSG_SET_LENGTH, 4 } }, 0, 0 },
	{ "template and data", { IPFIX("003c", "00000000") T256 D256("4") },
	  { { STAT_TEMPLATES_NEW, 1 }, { STAT_SETS_DECODED, 1 }, { STAT_RECORDS_FLOW, 2 } }, 2, 0 },
	{ "data before template", { IPFIX("002c", "00000000") D256("4"), IPFIX("003c", "00000002") T256 D256("4") },
	  { { STAT_SET_NO_TEMPLATE, 1 }, { STAT_SETS_DATA, 2 }, { STAT_SETS_DECODED, 1 } }, 2, 0 },
	{ "refresh", { IPFIX("0020", "00000000") T256, IPFIX("003c", "00000000") T256 D256("4") },
	  { { STAT_TEMPLATES_NEW, 1 }, { STAT_TEMPLATES_REFRESHED, 1 } }, 2, 0 },
	{ "redefinition inside a message",
	  { IPFIX("0054", "00000000") T256 "0100" "0010" "0a000001" "0000000000000001"
	    "0002000c" "0100" "0001" "00080004" "0100000c" "0a0000010a000002" },
	  { { STAT_MSG_LENGTH, 1 } }, 0, 0 },
	{ "redefinition",
	  { IPFIX("0048", "00000000") T256 "0100" "0010" "0a000001" "0000000000000001"
	    "0002000c" "0100" "0001" "00080004" "0100000c" "0a0000010a000002" },
	  { { STAT_TEMPLATES_NEW, 1 }, { STAT_TEMPLATES_CHANGED, 1 }, { STAT_SETS_DECODED, 2 } }, 3, 0 },
	{ "defined in turns",
	  { IPFIX("0020", "00000000") T256, IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00080004",
	    IPFIX("0020", "00000000") T256, IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00080004" },
	  { { STAT_TEMPLATES_CHANGED, 3 }, { STAT_TEMPLATES_FLAPPED, 2 } }, 0, 0 },
	{ "defined otherwise each time",
	  { IPFIX("0020", "00000000") T256, IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00080004",
	    IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00080003" },
	  { { STAT_TEMPLATES_CHANGED, 2 }, { STAT_TEMPLATES_FLAPPED, 0 } }, 0, 0 },
	{ "template id 255", { IPFIX("0020", "00000000") "00020010" "00ff" "0002" "00080004" "00010008" },
	  { { STAT_TMPL_ID, 1 }, { STAT_MESSAGES_READ, 1 } }, 0, 0 },
	{ "zero length fields", { IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00080000" },
	  { { STAT_TMPL_EMPTY, 1 } }, 0, 0 },
	{ "refused beside good", { IPFIX("0038", "00000000") "00020018" "0100" "0001" "00080000"
				   "0101" "0002" "00080004" "00010008" "0101" "0010" "0a000001" "0000000000000001" },
	  { { STAT_TMPL_EMPTY, 1 }, { STAT_TEMPLATES_NEW, 1 }, { STAT_SETS_DECODED, 1 } }, 1, 0 },
	{ "definition runs over its set", { IPFIX("0020", "00000000") "00020010" "0100" "000a" "00080004" "00010008" },
	  { { STAT_TMPL_OVERRUN, 1 }, { STAT_MESSAGES_READ, 1 } }, 0, 0 },
	{ "definition runs over its set, neighbours live",
	  { IPFIX("005c", "00000000") T256 "0002001c" "0101" "0001" "00080004" "0102" "0009" "00080004" "0103" "0001" "00080004"
	    "01010008" "0a000001" "01030008" "0a000001" "01000010" "0a000001" "0000000000000001" },
	  { { STAT_TMPL_OVERRUN, 1 }, { STAT_TEMPLATES_NEW, 2 }, { STAT_SET_NO_TEMPLATE, 1 } }, 2, 0 },
	{ "definition that runs over its set was to replace",
	  { IPFIX("0048", "00000000") T256 "0002000c" "0100" "0005" "00080004" D256("4") },
	  { { STAT_TMPL_OVERRUN, 1 }, { STAT_SET_NO_TEMPLATE, 1 } }, 0, 0 },
	{ "v9 definitions run over their sets",
	  { NF9("0003", "00000001") T256_V9 "0000000c" "0101" "0005" "00080004"
	    "0001000e" "0102" "0004" "0400" "00010004" D256("4") },
	  { { STAT_TMPL_OVERRUN, 2 }, { STAT_TEMPLATES_NEW, 1 } }, 2, 0 },
	{ "empty options template before a good one",
	  { IPFIX("0038", "00000000") "00030018" "012c" "0000" "0000" "0102" "0002" "0001" "00950004" "00a00008"
	    "01020010" "00000007" "0000016000000000" },
	  { { STAT_TMPL_EMPTY, 1 }, { STAT_TEMPLATES_NEW, 1 }, { STAT_WITHDRAWALS_IGNORED, 0 } }, 0, 1 },
	{ "empty options template last, of one in force",
	  { IPFIX("0038", "00000000") "00030018" "0102" "0002" "0001" "00950004" "00a00008" "0102" "0000" "0000"
	    "01020010" "00000007" "0000016000000000" },
	  { { STAT_TMPL_EMPTY, 1 }, { STAT_WITHDRAWALS_IGNORED, 0 } }, 0, 1 },
	{ "options template withdrawn before another, and before padding",
	  { IPFIX("0036", "00000000") "00030016" "012c" "0000" "0102" "0002" "0001" "00950004" "00a00008"
	    "00030010" "012d" "0000" "0000000000000000" },
	  { { STAT_WITHDRAWALS_IGNORED, 2 }, { STAT_TEMPLATES_NEW, 1 }, { STAT_TMPL_EMPTY, 0 } }, 0, 0 },
	{ "withdrawal is ignored", { IPFIX("0020", "00000000") T256, IPFIX("0018", "00000000") "00020008" "01000000",
				     IPFIX("002c", "00000000") D256("4") },
	  { { STAT_WITHDRAWALS_IGNORED, 1 }, { STAT_SETS_DECODED, 1 } }, 2, 0 },
	{ "reserved sets", { IPFIX("0040", "00000000") "00040004" T256 D256("4") },
	  { { STAT_SETS_SKIPPED, 1 }, { STAT_SETS_DECODED, 1 } }, 2, 0 },
	{ "padding", { IPFIX("003f", "00000000") T256 "0100001f" "0a000001" "0000000000000001" "0a000001" "0000000000000001" "ffffff" },
	  { { STAT_SETS_DECODED, 1 } }, 2, 0 },
	{ "set shorter than a record", { IPFIX("0028", "00000000") T256 "01000008" "0a000001" },
	  { { STAT_SET_SHORT, 1 } }, 0, 0 },
	{ "variable length",
	  { IPFIX("002a", "00000000") "00020010" "0100" "0002" "0052ffff" "00010001" "0100000a" "03414243" "07" "00" },
	  { { STAT_SETS_DECODED, 1 } }, 1, 0 },
	{ "variable length, both forms",
	  { IPFIX("0031", "00000000") "00020010" "0100" "0002" "0052ffff" "00010001"
	    "01000011" "03414243" "07" "ff0002" "4445" "08" "00" "09" },
	  { { STAT_SETS_DECODED, 1 } }, 3, 0 },
	{ "variable length overruns", { IPFIX("003c", "00000000") T256 "0002000c" "0101" "0001" "0052ffff"
					"01010008" "c8414243" "01000008" "0a000001" },
	  { { STAT_SET_OVERRUN, 2 }, { STAT_TEMPLATES_NEW, 2 } }, 0, 0 },
	{ "enterprise element",
	  { IPFIX("0034", "00000000") "00020018" "0100" "0003" "00080004" "80760002" "00008b30" "00010004"
	    "0100000c" "0000" "0000" "0000" "0000" },
	  { { STAT_TEMPLATES_NEW, 1 }, { STAT_SET_SHORT, 1 } }, 0, 0 },
	{ "options", { IPFIX("0032", "00000000") "00030012" "0102" "0002" "0001" "00950004" "00a00008"
		       "01020010" "00000007" "0000016000000000" },
	  { { STAT_RECORDS_OPTIONS, 1 } }, 0, 1 },
	{ "options without scope", { IPFIX("0022", "00000000") "00030012" "0102" "0002" "0000" "00950004" "00a00008" },
	  { { STAT_TMPL_SCOPE, 1 } }, 0, 0 },
	{ "more scope than fields", { IPFIX("0022", "00000000") "00030012" "0102" "0002" "0003" "00950004" "00a00008" },
	  { { STAT_TMPL_SCOPE, 1 } }, 0, 0 },
	{ "repeats", { IPFIX("002c", "00000000") "0002001c" "0100" "0005" "00080004" "00080004" "00080004" "00080004" "00080004" },
	  { { STAT_TMPL_REPEATS, 1 } }, 0, 0 },
	{ "longer than any message", { IPFIX("0020", "00000000") "00020010" "0100" "0002" "0008fffe" "0001fffe" },
	  { { STAT_TMPL_LONG, 1 } }, 0, 0 },
	{ "v9", { NF9("0003", "00000001") T256_V9 D256("4") },
	  { { STAT_MESSAGES_NF9, 1 }, { STAT_RECORDS_FLOW, 2 }, { STAT_NF9_COUNT_WRONG, 0 } }, 2, 0 },
	{ "v9 count is a hint", { NF9("ffff", "00000001") T256_V9 D256("4") },
	  { { STAT_RECORDS_FLOW, 2 }, { STAT_NF9_COUNT_WRONG, 1 } }, 2, 0 },
	{ "v9 has no variable length", { NF9("0001", "00000001") "00000010" "0100" "0002" "0008ffff" "00010008" },
	  { { STAT_TMPL_VARIABLE_V9, 1 } }, 0, 0 },
	{ "v9 types with bit 15", { NF9("0002", "00000001") "00000014" "0100" "0003" "80e80004" "e0f60002" "00080004"
				    "01000010" "00000001" "0002" "0a000001" "0000" },
	  { { STAT_TEMPLATES_NEW, 1 }, { STAT_RECORDS_FLOW, 1 } }, 1, 0 },
	{ "v9 options", { NF9("0002", "00000001") "00010012" "0102" "0004" "0004" "00010004" "00220004"
			  "0102000c" "00000001" "00000064" "0000" },
	  { { STAT_RECORDS_OPTIONS, 1 } }, 0, 1 },
	{ "v9 options, padded", { NF9("0002", "00000001") "00010014" "0102" "0004" "0004" "00010004" "00220004" "0000"
				  "0102000c" "00000001" "00000064" },
	  { { STAT_RECORDS_OPTIONS, 1 } }, 0, 1 },
	{ "v9 options lengths", { NF9("0001", "00000001") "00010014" "0102" "0003" "0005" "00010004" "00220004" "0000" },
	  { { STAT_TMPL_SCOPE, 1 } }, 0, 0 },
	{ "v9 zero padding behind the sets", { NF9("0003", "00000001") T256_V9 D256("4") "0000000000000000" },
	  { { STAT_RECORDS_FLOW, 2 } }, 2, 0 },
	{ "v9 padding of the size of records",
	  { NF9("0002", "00000001") T1_V9("0001") "01000008" "06000000" },
	  { { STAT_RECORDS_FLOW, 1 }, { STAT_NF9_COUNT_WRONG, 0 } }, 1, 0 },
	{ "v9 padding, and a record of zero", { NF9("0003", "00000001") T1_V9("0001") "01000008" "06000000" },
	  { { STAT_RECORDS_FLOW, 2 }, { STAT_NF9_COUNT_WRONG, 0 } }, 2, 0 },
	{ "v9 records of zero, no padding", { NF9("0005", "00000001") T1_V9("0001") "01000008" "06000000" },
	  { { STAT_RECORDS_FLOW, 4 }, { STAT_NF9_COUNT_WRONG, 0 } }, 4, 0 },
	{ "v9 padding that is not zero", { NF9("0002", "00000001") T1_V9("0001") "01000008" "06000001" },
	  { { STAT_RECORDS_FLOW, 4 }, { STAT_NF9_COUNT_WRONG, 1 } }, 4, 0 },
	{ "v9 records of zero in a set that needs no padding",
	  { NF9("0002", "00000001") T1_V9("0001") "01000007" "060000" },
	  { { STAT_RECORDS_FLOW, 3 }, { STAT_NF9_COUNT_WRONG, 1 } }, 3, 0 },
	{ "v9 padding of two and three octets",
	  { NF9("0002", "00000001") T1_V9("0002") "01000008" "06060000",
	    NF9("0004", "00000002") T1_V9("0003") "01000010" "060606060606060606000000" },
	  { { STAT_RECORDS_FLOW, 4 }, { STAT_NF9_COUNT_WRONG, 0 } }, 4, 0 },
	{ "v9 padding with a record's octet before it",
	  { NF9("0002", "00000001") T1_V9("0002") "0100000c" "0606060600000000" },
	  { { STAT_RECORDS_FLOW, 4 }, { STAT_NF9_COUNT_WRONG, 1 } }, 4, 0 },
	{ "v9 padding in two sets", { NF9("0003", "00000001") T1_V9("0001") "01000008" "06000000" "01000008" "06110000" },
	  { { STAT_RECORDS_FLOW, 8 }, { STAT_NF9_COUNT_WRONG, 1 } }, 8, 0 },
	{ "v9 padding in two sets, count of the fewest",
	  { NF9("0004", "00000001") T1_V9("0001") "01000008" "06000000" "01000008" "06110000" },
	  { { STAT_RECORDS_FLOW, 3 }, { STAT_NF9_COUNT_WRONG, 0 } }, 3, 0 },
	{ "v5", { "000500010000100060000000000000000000000100000064"
		  "0a0000010a0000020a00000300010002000000050000012c00000100000002000400005000021106000800010002181800000000" },
	  { { STAT_MSG_COUNT, 0 }, { STAT_MESSAGES_NF5, 1 }, { STAT_RECORDS_FLOW, 1 } }, 1, 0 },
	{ "v1", { "0001000200001000600000000000000a" V1 V1, "0001000100001000600000000000000a" V1 "0000" },
	  { { STAT_MSG_COUNT, 0 }, { STAT_MESSAGES_NF1, 2 }, { STAT_RECORDS_FLOW, 3 }, { STAT_SEQUENCE_MISSED, 0 } }, 3, 0 },
	{ "v1 counts", { "0001000000001000600000000000000a" V1, "0001000200001000600000000000000a" V1,
			 "0001000200001000600000000000000a" V1 V1 "0000000000000000" },
	  { { STAT_MSG_COUNT, 3 } }, 0, 0 },
	{ "v7", { "00070001000010006000000000000000" "0000000500000000" V7, "00070002000010006000000000000000" "0000000900000000" V7 V7 },
	  { { STAT_MSG_COUNT, 0 }, { STAT_MESSAGES_NF7, 2 }, { STAT_RECORDS_FLOW, 3 }, { STAT_SEQUENCE_MISSED, 3 } }, 3, 0 },
	{ "v7 counts", { "00070000000010006000000000000000" "0000000500000000" V7, "00070002000010006000000000000000" "0000000900000000" V7 },
	  { { STAT_MSG_COUNT, 2 } }, 0, 0 },
	{ "v8 by its name", { "00080001000010006000000000000000" "00000005000001020000000000000000" },
	  { { STAT_MSG_NF8, 1 }, { STAT_MSG_VERSION, 0 } }, 0, 0 },
	{ "v5 counts", { "000500000000100060000000000000000000000100000064",
			 "000500010000100060000000000000000000000100000064" },
	  { { STAT_MSG_COUNT, 2 } }, 0, 0 },
	{ "sequence gap", { IPFIX("003c", "00000000") T256 D256("4"), IPFIX("002c", "00000007") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 5 } }, 4, 0 },
	{ "sequence wraps", { IPFIX("003c", "ffffffff") T256 D256("4"), IPFIX("002c", "00000001") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 0 }, { STAT_SEQUENCE_RESTARTS, 0 } }, 4, 0 },
	{ "sequence restarts", { IPFIX("003c", "70000000") T256 D256("4"), IPFIX("002c", "00000000") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 0 }, { STAT_SEQUENCE_RESTARTS, 1 } }, 4, 0 },
	{ "late message fills its gap",
	  { IPFIX("003c", "00000000") T256 D256("4"), IPFIX("002c", "00000006") D256("4"),
	    IPFIX("002c", "00000002") D256("4"), IPFIX("002c", "00000008") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 4 }, { STAT_SEQUENCE_LATE, 2 }, { STAT_SEQUENCE_REORDERED, 1 } }, 8, 0 },
	{ "late message twice",
	  { IPFIX("003c", "00000000") T256 D256("4"), IPFIX("002c", "00000006") D256("4"),
	    IPFIX("002c", "00000003") D256("4"), IPFIX("002c", "00000003") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 4 }, { STAT_SEQUENCE_LATE, 2 }, { STAT_SEQUENCE_REORDERED, 1 },
	    { STAT_SEQUENCE_DUPLICATED, 1 } }, 8, 0 },
	{ "late messages from the middle of a gap out",
	  { IPFIX("003c", "fffffffc") T256 D256("4"), IPFIX("002c", "00000004") D256("4"),
	    IPFIX("002c", "00000000") D256("4"), IPFIX("002c", "00000002") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 6 }, { STAT_SEQUENCE_LATE, 4 }, { STAT_SEQUENCE_REORDERED, 2 },
	    { STAT_SEQUENCE_RESTARTS, 0 } }, 8, 0 },
	{ "a message twice is not late",
	  { IPFIX("003c", "00000000") T256 D256("4"), IPFIX("002c", "00000006") D256("4"),
	    IPFIX("002c", "00000006") D256("4"), IPFIX("002c", "00000008") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 4 }, { STAT_SEQUENCE_LATE, 0 }, { STAT_SEQUENCE_REORDERED, 0 },
	    { STAT_SEQUENCE_DUPLICATED, 1 } }, 8, 0 },
	{ "late message", { IPFIX("003c", "00000064") T256 D256("4"), IPFIX("002c", "00000062") D256("4"),
			    IPFIX("002c", "00000066") D256("4") },
	  { { STAT_SEQUENCE_MISSED, 0 }, { STAT_SEQUENCE_REORDERED, 1 } }, 6, 0 },
};

static size_t of_hex(const char *hex, uint8_t out[MESSAGE_MAX])
{
	size_t n = strlen(hex) / 2;

	must(n <= MESSAGE_MAX);
	for (size_t i = 0; i < n; i++) {
		char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return n;
}

struct bench {
	struct sink sink;
	struct stat_set *stat;
	struct collector *collector;
};

static void open_bench_with(struct bench *b, const struct collector_limits *l)
{
	memset(b, 0, sizeof(*b));
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &b->stat) == ERR_OK);
	must(collector_new(l, &ops, &b->sink, b->stat, &b->collector) == ERR_OK);
}

static void open_bench(struct bench *b)
{
	open_bench_with(b, &limits);
}

static void close_bench(struct bench *b)
{
	collector_free(b->collector);
	assert_int_equal(b->sink.tmpls_new, b->sink.tmpls_gone);
	stat_set_free(b->stat);
}

/* An exact copy on the heap, so that a sanitizer sees one octet too far. */
static void receive_from(struct bench *b, const struct origin *origin, const uint8_t *octets, size_t bytes)
{
	uint8_t *copy = malloc(bytes + 1);

	must(copy != NULL);
	memcpy(copy, octets, bytes);
	collector_receive(b->collector, copy, bytes, origin);
	free(copy);
}

static void receive(struct bench *b, const uint8_t *octets, size_t bytes)
{
	struct origin origin = { .peer = addr_of_v4(0xc0000201), .port = 1000, .receive_ms = 1 };

	receive_from(b, &origin, octets, bytes);
}

static uint64_t sum_of(const struct bench *b, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++) {
		if (strcmp(collector_stat_descs[i].name, name) == 0)
			sum += stat_get(b->stat, i);
	}
	return sum;
}

static void check_ledger(const struct bench *b, uint64_t units)
{
	assert_int_equal(units, sum_of(b, "units_refused") + sum_of(b, "messages"));
	assert_int_equal(sum_of(b, "messages"), sum_of(b, "messages_read") + sum_of(b, "messages_malformed"));
	assert_true(sum_of(b, "data_sets") + sum_of(b, "data_sets_restored") >= sum_of(b, "data_sets_decoded"));
	assert_int_equal(sum_of(b, "data_sets"),
			 sum_of(b, "data_sets_decoded") + sum_of(b, "data_sets_kept") - sum_of(b, "data_sets_restored") + sum_of(b, "data_sets_refused") +
				 sum_of(b, "data_sets_held_decoded") + sum_of(b, "data_sets_held_now") +
				 sum_of(b, "data_sets_dropped"));
	assert_int_equal(sum_of(b, "records"), sum_of(b, "records_flow") + sum_of(b, "records_options"));
	assert_int_equal(b->sink.flows, sum_of(b, "records_flow"));
	assert_int_equal(b->sink.options, sum_of(b, "records_options"));
	assert_int_equal(b->sink.sets_refused, sum_of(b, "data_sets_refused") + sum_of(b, "data_sets_dropped"));
	assert_int_equal(b->sink.messages_refused, sum_of(b, "messages_malformed"));
	assert_false(b->sink.is_open);
}

static uint64_t run_row(struct bench *b, const struct row *row)
{
	uint8_t octets[MESSAGE_MAX];
	uint64_t units = 0;

	for (size_t i = 0; i < 4 && row->messages[i] != NULL; i++, units++)
		receive(b, octets, of_hex(row->messages[i], octets));
	return units;
}

static void check_row(const struct bench *b, const struct row *row)
{
	for (size_t i = 0; i < EXPECT_MAX && (row->expect[i].count != 0 || row->expect[i].stat != 0); i++) {
		if (stat_get(b->stat, row->expect[i].stat) != row->expect[i].count)
			fail_msg("%s: %s %s is %llu", row->name, collector_stat_descs[row->expect[i].stat].name,
				 collector_stat_descs[row->expect[i].stat].reason,
				 (unsigned long long)stat_get(b->stat, row->expect[i].stat));
	}
	if (b->sink.flows != row->flows || b->sink.options != row->options)
		fail_msg("%s: %zu flows, %zu options", row->name, b->sink.flows, b->sink.options);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct bench b;

		open_bench(&b);
		check_ledger(&b, 0);
		check_ledger(&b, run_row(&b, &rows[r]));
		check_row(&b, &rows[r]);
		close_bench(&b);
	}
}

static void damage_row(const struct row *row, const struct collector_limits *l)
{
	uint8_t octets[MESSAGE_MAX];
	struct bench b;
	uint64_t units;

	open_bench_with(&b, l);
	units = run_row(&b, row);
	for (size_t i = 0; i < 4 && row->messages[i] != NULL; i++) {
		size_t bytes = of_hex(row->messages[i], octets);

		for (size_t cut = 0; cut < bytes; cut++, units++)
			receive(&b, octets, cut);
		for (size_t at = 0; at < bytes * 8; at++, units++) {
			octets[at / 8] ^= (uint8_t)(1u << (at % 8));
			receive(&b, octets, bytes);
			octets[at / 8] ^= (uint8_t)(1u << (at % 8));
		}
	}
	check_ledger(&b, units);
	collector_finish(b.collector);
	check_ledger(&b, units);
	assert_int_equal(sum_of(&b, "data_sets_held_now"), 0);
	close_bench(&b);
}

#define T257 "00020010" "0101" "0002" "00080004" "00010008"
#define D257(n) "0101001c" "0a000001" "000000000000000" n "0a000002" "0000000000000005"
#define LATER(len, seconds, seq) "000a" len seconds seq "00000007"
#define V9_UP(count, uptime, seconds, seq) "0009" count uptime seconds seq "00000007"

/* Sets before their template: 30 s of patience, 4 KiB for each session. */
static const struct row held_rows[] = {
	{ "template in the next message", { IPFIX("002c", "00000000") D256("4"), IPFIX("0020", "00000002") T256 },
	  { { STAT_SETS_HELD_DECODED, 1 }, { STAT_SETS_DATA, 1 }, { STAT_RECORDS_FLOW, 2 }, { STAT_SEQUENCE_MISSED, 0 } }, 2, 0 },
	{ "v9", { NF9("0002", "00000001") D256("4"), NF9("0003", "00000002") T256_V9 D256("4") },
	  { { STAT_SETS_HELD_DECODED, 1 }, { STAT_SETS_DECODED, 1 }, { STAT_SEQUENCE_MISSED, 0 } }, 4, 0 },
	{ "template behind its data in one message", { IPFIX("003c", "00000000") D256("4") T256, IPFIX("002c", "00000002") D256("5") },
	  { { STAT_SETS_HELD_DECODED, 1 }, { STAT_SETS_DECODED, 1 }, { STAT_SEQUENCE_MISSED, 0 } }, 4, 0 },
	{ "two ids, one comes", { IPFIX("0048", "00000000") D256("4") D257("4"), IPFIX("0020", "00000004") T257 },
	  { { STAT_SETS_HELD_DECODED, 1 }, { STAT_SETS_HELD_NOW, 1 } }, 2, 0 },
	{ "the first definition that comes, not the one behind it",
	  { IPFIX("002c", "00000000") D256("4"), IPFIX("002c", "00000002") T256 "0002000c" "0100" "0001" "00080004" },
	  { { STAT_SETS_HELD_DECODED, 1 }, { STAT_TEMPLATES_CHANGED, 1 } }, 2, 0 },
	{ "never", { IPFIX("002c", "00000000") D256("4"), IPFIX("0020", "00000002") T257 },
	  { { STAT_SETS_HELD_NOW, 1 }, { STAT_SET_NO_TEMPLATE, 0 } }, 0, 0 },
	{ "definition refused", { IPFIX("002c", "00000000") D256("4"), IPFIX("001c", "00000002") "0002000c" "0100" "0001" "00080000",
				  IPFIX("002c", "00000002") D256("4"), IPFIX("0020", "00000004") T256 },
	  { { STAT_HELD_REFUSED, 1 }, { STAT_SET_NO_TEMPLATE, 1 }, { STAT_SETS_HELD_DECODED, 0 } }, 0, 0 },
	{ "definition a minute later by the exporter's clock",
	  { LATER("002c", "60000000", "00000000") D256("4"), LATER("0020", "6000003c", "00000002") T256 },
	  { { STAT_HELD_OUTDATED, 1 }, { STAT_SETS_HELD_DECODED, 0 } }, 0, 0 },
	{ "definition 20 seconds later", { LATER("002c", "60000000", "00000000") D256("4"), LATER("0020", "60000014", "00000002") T256 },
	  { { STAT_SETS_HELD_DECODED, 1 } }, 2, 0 },
	{ "definition from before", { LATER("002c", "60000000", "00000000") D256("4"), LATER("0020", "5ffff000", "00000002") T256 },
	  { { STAT_SETS_HELD_DECODED, 1 } }, 2, 0 },
	{ "v9 restarted in between",
	  { V9_UP("0002", "00001000", "60000000", "00000001") D256("4"), V9_UP("0001", "00000010", "60000014", "00000000") T256_V9 },
	  { { STAT_HELD_OUTDATED, 1 } }, 0, 0 },
	{ "shorter than a record", { IPFIX("0018", "00000000") "01000008" "0a000001", IPFIX("0020", "00000002") T256 },
	  { { STAT_HELD_SHORT, 1 } }, 0, 0 },
	{ "runs over its set", { IPFIX("001c", "00000000") "0101000c" "c841424300000000",
				 IPFIX("001c", "00000002") "0002000c" "0101" "0001" "0052ffff" },
	  { { STAT_HELD_OVERRUN, 1 } }, 0, 0 },
	{ "its neighbour ran over its set",
	  { IPFIX("001c", "00000000") "0002000c" "0101" "0001" "0052ffff", IPFIX("0034", "00000000") D256("4") "01010008" "c8414243",
	    IPFIX("0020", "00000000") T256 },
	  { { STAT_HELD_OVERRUN, 1 }, { STAT_SET_OVERRUN, 1 } }, 0, 0 },
	{ "options data", { IPFIX("0020", "00000000") "01020010" "00000007" "0000016000000000",
			    IPFIX("0022", "00000001") "00030012" "0102" "0002" "0001" "00950004" "00a00008" },
	  { { STAT_SETS_HELD_DECODED, 1 }, { STAT_RECORDS_OPTIONS, 1 } }, 0, 1 },
	{ "v9 padding of the size of records", { NF9("0001", "00000001") "01000008" "06000000", NF9("0001", "00000002") T1_V9("0001") },
	  { { STAT_SETS_HELD_DECODED, 1 }, { STAT_RECORDS_FLOW, 1 } }, 1, 0 },
	{ "a loss before it", { IPFIX("003c", "00000000") T257 D257("4"), IPFIX("002c", "00000007") D256("4"),
				IPFIX("003c", "00000009") T256 D256("4") },
	  { { STAT_SEQUENCE_MISSED, 5 }, { STAT_SETS_HELD_DECODED, 1 } }, 6, 0 },
	{ "a loss while it waits", { IPFIX("003c", "00000000") T257 D257("4"), IPFIX("002c", "00000002") D256("4"),
				     IPFIX("002c", "00000006") D257("4"), IPFIX("003c", "00000008") T256 D256("4") },
	  { { STAT_SEQUENCE_MISSED, 2 }, { STAT_SETS_HELD_DECODED, 1 }, { STAT_SEQUENCE_REORDERED, 0 } }, 8, 0 },
	{ "no loss while it waits", { IPFIX("003c", "00000000") T257 D257("4"), IPFIX("002c", "00000002") D256("4"),
				      IPFIX("002c", "00000004") D257("4"), IPFIX("003c", "00000006") T256 D256("4") },
	  { { STAT_SEQUENCE_MISSED, 0 }, { STAT_SEQUENCE_REORDERED, 0 }, { STAT_SEQUENCE_RESTARTS, 0 } }, 8, 0 },
};

static void test_held(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(held_rows) / sizeof(held_rows[0]); r++) {
		uint64_t units;
		struct bench b;

		open_bench_with(&b, &patient_limits);
		units = run_row(&b, &held_rows[r]);
		check_ledger(&b, units);
		check_row(&b, &held_rows[r]);
		collector_finish(b.collector);
		check_ledger(&b, units);
		assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
		close_bench(&b);
	}
}

static void test_damaged(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		damage_row(&rows[r], &limits);
		damage_row(&rows[r], &patient_limits);
	}
	for (size_t r = 0; r < sizeof(held_rows) / sizeof(held_rows[0]); r++)
		damage_row(&held_rows[r], &patient_limits);
}

static void receive_at(struct bench *b, const char *hex, int64_t receive_ms)
{
	struct origin origin = { .peer = addr_of_v4(0xc0000201), .port = 1000, .local_port = 4739, .receive_ms = receive_ms };
	uint8_t octets[MESSAGE_MAX];
	size_t bytes = of_hex(hex, octets);

	receive_from(b, &origin, octets, bytes);
}

/* Before its template or behind it: a record is the same, down to its place and its time. */
static void test_held_same(void **state)
{
	static const struct {
		const char *tmpl;
		const char *data[3];
	} cases[] = {
		{ IPFIX("0030", "00000000") T256 T257,
		  { IPFIX("002c", "00000000") D256("1"), IPFIX("0048", "00000002") D257("2") D256("3"), IPFIX("002c", "00000006") D257("4") } },
		{ NF9("0002", "00000000") T256_V9 "00000010" "0101" "0002" "00080004" "00010008",
		  { NF9("0002", "00000001") D256("1"), NF9("0004", "00000002") D257("2") D256("3"), NF9("0002", "00000003") D257("4") } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t sums[2];

		for (int is_late = 0; is_late < 2; is_late++) {
			struct bench b;

			open_bench_with(&b, &patient_limits);
			if (is_late == 0)
				receive_at(&b, cases[i].tmpl, 1000);
			for (int k = 0; k < 3; k++)
				receive_at(&b, cases[i].data[k], 1100 + k);
			if (is_late == 1) {
				assert_int_equal(b.sink.flows, 0);
				receive_at(&b, cases[i].tmpl, 2000);
			}
			assert_int_equal(b.sink.flows, 8);
			assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_DECODED), is_late == 1 ? 4 : 0);
			check_ledger(&b, 4);
			sums[is_late] = b.sink.sum;
			close_bench(&b);
		}
		assert_int_equal(sums[0], sums[1]);
	}
}

static void test_held_expires(void **state)
{
	struct bench b;
	int64_t now_ms = clock_mono_ms();

	(void)state;
	open_bench_with(&b, &patient_limits);
	receive_at(&b, IPFIX("002c", "00000000") D256("1"), 1000);
	collector_tick(b.collector, now_ms + 1000 * (HOLD_S - 2));
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 1);
	collector_tick(b.collector, now_ms + 1000 * (HOLD_S + 2));
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
	assert_int_equal(stat_get(b.stat, STAT_HELD_EXPIRED), 1);
	assert_int_equal(b.sink.sets_refused, 1);
	receive_at(&b, IPFIX("0020", "00000002") T256, 2000);
	assert_int_equal(b.sink.flows, 0);
	check_ledger(&b, 2);
	/* What a session that is forgotten held goes with it. */
	receive_at(&b, IPFIX("002c", "00000002") D257("1"), 3000);
	collector_tick(b.collector, INT64_C(1) << 40);
	assert_int_equal(stat_get(b.stat, STAT_HELD_EXPIRED), 2);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_IDLE), 1);
	check_ledger(&b, 3);
	close_bench(&b);
}

/* A session that makes room gives up what it held before the other's message is read. */
static void test_held_evicted(void **state)
{
	struct collector_limits l = patient_limits;
	uint8_t octets[MESSAGE_MAX];
	size_t bytes = of_hex(IPFIX("002c", "00000000") D256("1"), octets);
	struct bench b;

	(void)state;
	l.sessions_max = 2;
	open_bench_with(&b, &l);
	for (uint8_t i = 1; i <= 5; i++) {
		octets[15] = i;
		receive(&b, octets, bytes);
		check_ledger(&b, i);
	}
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_EVICTED), 3);
	assert_int_equal(stat_get(b.stat, STAT_HELD_EVICTED), 3);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 2);
	assert_int_equal(b.sink.sets_refused, 3);
	close_bench(&b);
}

/* A set of a dead letter is not held: whoever sent it through again hears at once. */
static void test_held_again(void **state)
{
	struct origin origin = { .peer = addr_of_v4(0xc0000201), .port = 1000, .is_again = true };
	uint8_t octets[MESSAGE_MAX];
	struct bench b;

	(void)state;
	open_bench_with(&b, &patient_limits);
	receive_from(&b, &origin, octets, of_hex(IPFIX("002c", "00000000") D256("1"), octets));
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
	assert_int_equal(stat_get(b.stat, STAT_SET_NO_TEMPLATE), 1);
	check_ledger(&b, 1);
	close_bench(&b);
}

static void hold_from(struct bench *b, uint32_t peer, unsigned count)
{
	struct origin origin = { .peer = addr_of_v4(peer), .port = 1000, .receive_ms = 1 };
	uint8_t octets[MESSAGE_MAX];
	size_t bytes = of_hex(IPFIX("002c", "00000000") D256("1"), octets);

	for (unsigned i = 0; i < count; i++)
		receive_from(b, &origin, octets, bytes);
}

static void define_from(struct bench *b, uint32_t peer, const char *hex)
{
	struct origin origin = { .peer = addr_of_v4(peer), .port = 1000, .receive_ms = 1 };
	uint8_t octets[MESSAGE_MAX];

	receive_from(b, &origin, octets, of_hex(hex, octets));
}

/* Many strangers have half of the room; the greedy give before the modest, and the oldest goes first. */
static void test_held_bounds(void **state)
{
	uint64_t mine;
	uint64_t held;
	struct bench b;

	(void)state;
	open_bench_with(&b, &patient_limits);
	/* One alone has its session's share. */
	hold_from(&b, 1, 100);
	mine = stat_get(b.stat, STAT_SETS_HELD_NOW);
	assert_in_range(mine, 4, 4096 / 72);
	assert_int_equal(stat_get(b.stat, STAT_HELD_FULL), 100 - mine);
	/* All strangers together half of it, and who asks for little has it. */
	for (uint32_t peer = 2; peer < 60; peer++)
		hold_from(&b, peer, 1);
	held = stat_get(b.stat, STAT_SETS_HELD_NOW);
	assert_in_range(held, 1, 8192 / 72);
	define_from(&b, 59, IPFIX("0020", "00000002") T256);
	assert_int_equal(b.sink.flows, 2);
	/* Those that showed a template find their half empty: nobody else gives. */
	held = stat_get(b.stat, STAT_SETS_HELD_NOW);
	for (uint32_t peer = 60; peer < 62; peer++) {
		define_from(&b, peer, IPFIX("0020", "00000000") T257);
		hold_from(&b, peer, (unsigned)mine);
	}
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), held + 2 * mine);
	check_ledger(&b, 100 + 58 + 1 + 2 * (1 + mine));
	for (uint32_t peer = 60; peer < 62; peer++)
		define_from(&b, peer, IPFIX("0020", "00000002") T256);
	assert_int_equal(b.sink.flows, 2 + 2 * 2 * mine);
	/* And when they have more than half, the greediest of all gives. */
	for (uint32_t peer = 62; peer < 68; peer++) {
		define_from(&b, peer, IPFIX("0020", "00000000") T257);
		hold_from(&b, peer, (unsigned)mine);
	}
	assert_in_range(stat_get(b.stat, STAT_SETS_HELD_NOW), 3 * mine, 16384 / 72);
	close_bench(&b);
}

/* Who sends a template of another id while sets wait is no stranger any more, and strangers do not take their room. */
static void test_held_trusted(void **state)
{
	struct bench b;

	(void)state;
	open_bench_with(&b, &patient_limits);
	hold_from(&b, 1, 3);
	define_from(&b, 1, IPFIX("0020", "00000000") T257);
	for (uint32_t peer = 2; peer < 100; peer++)
		hold_from(&b, peer, 1);
	assert_true(stat_get(b.stat, STAT_HELD_FULL) > 10);
	define_from(&b, 1, IPFIX("0020", "00000000") T256);
	assert_int_equal(b.sink.flows, 6);
	check_ledger(&b, 3 + 2 + 98);
	close_bench(&b);
}

static void check_missed(const struct bench *b, uint64_t missed)
{
	assert_int_equal(stat_get(b->stat, STAT_SEQUENCE_MISSED), missed);
	assert_int_equal(stat_get(b->stat, STAT_SEQUENCE_RESTARTS), 0);
	assert_int_equal(stat_get(b->stat, STAT_SEQUENCE_DUPLICATED), 0);
}

/* A set that is given up leaves its sequence numbers unknown, once; what is lost behind it is counted. */
static void test_held_in_vain(void **state)
{
	struct bench b;

	(void)state;
	open_bench_with(&b, &patient_limits);
	receive_at(&b, IPFIX("003c", "00000000") T257 D257("1"), REAL_MS);
	/* In time: it may have had any number of records. */
	receive_at(&b, IPFIX("002c", "00000002") D256("2"), REAL_MS);
	collector_tick(b.collector, clock_mono_ms() + 1000 * (HOLD_S + 2));
	assert_int_equal(stat_get(b.stat, STAT_HELD_EXPIRED), 1);
	receive_at(&b, IPFIX("002c", "00000064") D257("3"), REAL_MS);
	check_missed(&b, 0);
	receive_at(&b, IPFIX("002c", "0000006e") D257("4"), REAL_MS);
	check_missed(&b, 8);
	/* In its own message: the definition behind it is refused. */
	receive_at(&b, IPFIX("0048", "00000070") D256("5") "0002001c" "0100" "0005" "00010004" "00010004" "00010004" "00010004" "00010004", REAL_MS);
	assert_int_equal(stat_get(b.stat, STAT_HELD_REFUSED), 1);
	receive_at(&b, IPFIX("002c", "00000072") D257("6"), REAL_MS);
	check_missed(&b, 8);
	receive_at(&b, IPFIX("002c", "00000077") D257("7"), REAL_MS);
	check_missed(&b, 11);
	check_ledger(&b, 7);
	close_bench(&b);
}

/* Options data of a message speaks of its flows, wherever it stands. */
static void test_options_first(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	receive_at(&b,
		   IPFIX("005e", "00000000") T256 "00030012" "0102" "0002" "0001" "00950004" "00a00008" D256("4") "01020010" "00000007"
					     "0000016000000000",
		   REAL_MS);
	assert_int_equal(b.sink.flows, 2);
	assert_int_equal(b.sink.options, 1);
	assert_int_equal(b.sink.options_first, 1);
	check_ledger(&b, 1);
	close_bench(&b);
}

/* What is sent through again has no order: its number is none. */
static void test_again_is_no_copy(void **state)
{
	static const char message[] = IPFIX("003c", "00000010") T256 D256("4");
	struct origin origin = { .peer = addr_of_v4(0xc0000201), .port = 1000, .receive_ms = REAL_MS };
	uint8_t octets[MESSAGE_MAX];
	struct bench b;

	(void)state;
	open_bench(&b);
	receive_from(&b, &origin, octets, of_hex(message, octets));
	origin.is_again = true;
	for (int i = 0; i < 5; i++)
		receive_from(&b, &origin, octets, of_hex(message, octets));
	receive_from(&b, &origin, octets, of_hex(IPFIX("003c", "00000064") T256 D256("4"), octets));
	origin.is_again = false;
	receive_from(&b, &origin, octets, of_hex(IPFIX("002c", "00000012") D256("4"), octets));
	check_missed(&b, 0);
	assert_int_equal(b.sink.flows, 16);
	check_ledger(&b, 8);
	close_bench(&b);
}

/* Sets of one id in a row, and the first to go is the first that came. */
static void test_held_oldest_goes(void **state)
{
	char hex[] = IPFIX("002c", "00000000") "0100001c" "0a000001" "0000000000000000" "0a000002" "0000000000000005";
	struct collector_limits two = patient_limits;
	struct bench b;
	struct bench alone;

	(void)state;
	two.hold_session_bytes = 1200;
	open_bench_with(&b, &two);
	open_bench_with(&alone, &two);
	for (char n = '1'; n <= '5'; n++) {
		hex[2 * 31 + 1] = n;
		receive_at(&b, hex, n);
		if (n > '3')
			receive_at(&alone, hex, n);
	}
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 2);
	receive_at(&b, IPFIX("0020", "00000002") T256, 9);
	receive_at(&alone, IPFIX("0020", "00000002") T256, 9);
	assert_int_equal(b.sink.flows, 4);
	assert_int_equal(b.sink.sum, alone.sink.sum);
	close_bench(&b);
	close_bench(&alone);
}

static void test_v9_identity(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t pen;
		uint16_t id;
	} types[] = { { 1, 0, 1 }, { 32767, 0, 32767 }, { 33000, PEN_V9, 33000 }, { 57471, PEN_V9, 57471 },
		      { 57472, PEN_NTOP, 0 }, { 57590, PEN_NTOP, 118 }, { 65535, PEN_NTOP, 8063 } };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint32_t pen;
		uint16_t id;

		tmpl_v9_identity(types[i].type, &pen, &id);
		assert_int_equal(pen, types[i].pen);
		assert_int_equal(id, types[i].id);
	}
}

static void test_session_limit(void **state)
{
	struct bench b;
	uint8_t octets[MESSAGE_MAX];
	size_t bytes = of_hex(IPFIX("0020", "00000000") T256, octets);

	(void)state;
	open_bench(&b);
	for (uint8_t i = 0; i < 150; i++) {
		octets[15] = i;
		receive(&b, octets, bytes);
	}
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_NEW), 100);
	assert_int_equal(stat_get(b.stat, STAT_UNIT_SESSIONS), 50);
	/* Who said nothing useful goes for another. */
	octets[3] = 0x10;
	for (uint8_t i = 0; i < 150; i++) {
		octets[15] = i;
		receive(&b, octets, bytes - 16);
	}
	assert_int_equal(stat_get(b.stat, STAT_UNIT_SESSIONS), 100);
	check_ledger(&b, 300);
	close_bench(&b);
	open_bench(&b);
	for (uint8_t i = 0; i < 150; i++) {
		octets[15] = i;
		receive(&b, octets, bytes - 16);
	}
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_NEW), 150);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_EVICTED), 50);
	check_ledger(&b, 150);
	close_bench(&b);
}

static void test_lifetimes(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	(void)run_row(&b, &rows[7]);
	collector_tick(b.collector, INT64_C(1) << 40);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_EXPIRED), 1);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_IDLE), 1);
	close_bench(&b);
}

static bool sum_malformed(void *ctx, struct session *s)
{
	*(uint64_t *)ctx += s->counts.malformed;
	return true;
}

/* A broken chain of sets is charged to the session that sent it, and makes none. */
static void test_malformed(void **state)
{
	static const struct row row = { "", { IPFIX("0014", "00000000") "01000003", IPFIX("0020", "00000000") T256,
					      IPFIX("0014", "00000000") "01000003",
					      IPFIX("0015", "00000000") "01000003" }, { { 0, 0 } }, 0, 0 };
	uint64_t malformed = 0;
	struct bench b;

	(void)state;
	open_bench(&b);
	check_ledger(&b, run_row(&b, &row));
	collector_each_session(b.collector, sum_malformed, &malformed);
	assert_int_equal(malformed, 1);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_NEW), 1);
	assert_int_equal(sum_of(&b, "messages_malformed"), 3);
	close_bench(&b);
}

/* The median of the last nine: what one message says is believed when there is no other. */
static void test_skew(void **state)
{
	static const int64_t skews[] = { 700, -300, 100, 90000, 100, 100, -300, -300, -300, -300, -300, 5, 6, 7, 8 };
	static const int64_t medians[] = { 700, 700, 100, 700, 100, 100, 100, 100, 100, -300, -300, -300, -300, -300, -300 };
	const struct session_key key = { .version = VERSION_IPFIX };
	const struct addr peer = { .bytes = 4 };
	struct origin origin = { .receive_ms = INT64_C(1700000000000) };
	struct session *s;

	(void)state;
	must(session_new(&key, &peer, &s) == ERR_OK);
	session_skew(s, &(struct message){ .origin = &origin });
	assert_int_equal(s->skew_count, 0);
	for (size_t i = 0; i < sizeof(skews) / sizeof(skews[0]); i++) {
		struct message m = { .export_ms = origin.receive_ms + skews[i], .origin = &origin };

		session_skew(s, &m);
		if (s->skew_ms != medians[i])
			fail_msg("message %zu: median %lld", i, (long long)s->skew_ms);
	}
	assert_int_equal(s->skew_count, sizeof(skews) / sizeof(skews[0]));
	/* Five of nine messages, and a clock that stepped by years is believed. */
	for (size_t i = 0; i < 5; i++) {
		struct message m = { .export_ms = INT64_C(4294967295000), .origin = &origin };

		assert_true(s->skew_ms < 90000);
		session_skew(s, &m);
	}
	assert_int_equal(s->skew_ms, INT64_C(2594967295000));
	session_free(s);
}

static int compare_skews(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Whatever comes for whatever goes, it is the fifth of the last nine. */
static void test_skew_median(void **state)
{
	const struct session_key key = { .version = VERSION_IPFIX };
	const struct addr peer = { .bytes = 4 };
	struct origin origin = { .receive_ms = INT64_C(1700000000000) };
	int64_t last[SESSION_SKEWS];
	uint32_t number = 12345;
	struct session *s;

	(void)state;
	must(session_new(&key, &peer, &s) == ERR_OK);
	for (size_t i = 0; i < 20000; i++) {
		/* Eight values, so that many are equal, and at times a thousand. */
		int64_t skew_ms = (number = number * 1103515245 + 12345) >> 16 & (i / 1000 % 2 == 0 ? 7 : 1023);
		struct message m = { .export_ms = origin.receive_ms + skew_ms, .origin = &origin };
		int64_t sorted[SESSION_SKEWS];

		last[i % SESSION_SKEWS] = skew_ms;
		session_skew(s, &m);
		if (i < SESSION_SKEWS)
			continue;
		memcpy(sorted, last, sizeof(sorted));
		qsort(sorted, SESSION_SKEWS, sizeof(sorted[0]), compare_skews);
		assert_int_equal(s->skew_ms, sorted[SESSION_SKEWS / 2]);
	}
	session_free(s);
}

/* An exporter that begins anew has another clock: nothing of the old one is in the median. */
static void test_skew_of_restart(void **state)
{
	static const struct sequence_units one = { .records = 1, .is_known = true };
	const struct session_key key = { .version = VERSION_NF9 };
	const struct addr peer = { .bytes = 4 };
	struct origin origin = { .receive_ms = INT64_C(1700000000000) };
	struct message m = { .origin = &origin, .uptime_ms = 9000000, .has_uptime = true };
	struct session *s;

	(void)state;
	must(session_new(&key, &peer, &s) == ERR_OK);
	for (m.sequence = 70; m.sequence < 90; m.sequence++) {
		m.export_ms = origin.receive_ms - 7;
		(void)session_sequence(s, &m, &one);
		session_skew(s, &m);
	}
	assert_int_equal(s->skew_ms, -7);
	m.sequence = 0;
	m.uptime_ms = 1000;
	m.export_ms = 1000; /* of 1970, until it hears of the time */
	(void)session_sequence(s, &m, &one);
	session_skew(s, &m);
	assert_int_equal(s->counts.restarts, 1);
	assert_int_equal(s->skew_count, 1);
	assert_int_equal(s->skew_ms, 1000 - origin.receive_ms);
	session_free(s);
}

/* Templates of before the reboot go, those of the message that tells of it stay. */
static void test_reboot(void **state)
{
	/* Uptime, export time and number of a v9 message. */
	static const char *const life[] = {
		"0009" "0003" "0036ee80" "60000000" "00001388" "00000007" T1_V9("0001") "01000008" "06000000",
		/* No template yet, and one that is another. */
		"0009" "0001" "000003e8" "6000001e" "00000000" "00000007" "01000008" "06000000",
		"0009" "0001" "000007d0" "6000001f" "00000001" "00000007" T1_V9("0001"),
		"0009" "0001" "00800000" "60002020" "00000002" "00000007" "01000008" "06000000",
	};
	uint8_t octets[MESSAGE_MAX];
	struct bench b;

	(void)state;
	open_bench(&b);
	for (size_t i = 0; i < sizeof(life) / sizeof(life[0]); i++)
		receive(&b, octets, of_hex(life[i], octets));
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_REBOOT), 1);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_NEW), 2);
	assert_int_equal(stat_get(b.stat, STAT_SET_NO_TEMPLATE), 1);
	assert_int_equal(stat_get(b.stat, STAT_SEQUENCE_RESTARTS), 1);
	assert_int_equal(stat_get(b.stat, STAT_SEQUENCE_MISSED), 0);
	assert_int_equal(b.sink.flows, 3);
	/* Another reboot, and this time the message has its template. */
	receive(&b, octets, of_hex("0009" "0003" "000003e8" "60003000" "00000000" "00000007" T1_V9("0002") "01000008" "06060000",
				   octets));
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_REBOOT), 2);
	assert_int_equal(stat_get(b.stat, STAT_SET_NO_TEMPLATE), 1);
	assert_int_equal(b.sink.flows, 5);
	close_bench(&b);
}

/* Moves what a session knows of its templates into the past, as if time went on. */
static bool age_tmpls(void *ctx, struct session *s)
{
	int64_t ms = *(const int64_t *)ctx;

	for (size_t i = 0; i < s->tmpl_count; i++) {
		s->tmpls[i]->seen_ms -= ms;
		s->tmpls[i]->used_ms -= ms;
	}
	return true;
}

/* Steps with the seconds before each: D defines (again), C defines otherwise, U uses; then the wait. */
static void test_tmpl_lifetime(void **state)
{
	static const char *const messages[] = {
		['D'] = IPFIX("0020", "00000000") T256,
		['C'] = IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00080004",
		['U'] = IPFIX("002c", "00000000") D256("4"),
	};
	static const struct {
		const char *name;
		struct {
			int64_t after_s;
			char step;
		} steps[5];
		int64_t wait_s;
		bool is_gone;
	} cases[] = {
		{ "never refreshed", { { 0, 'D' } }, 1790, false },
		{ "never refreshed, past it", { { 0, 'D' } }, 1810, true },
		{ "in use", { { 0, 'D' }, { 1700, 'U' } }, 1790, false },
		{ "in use, then not", { { 0, 'D' }, { 1700, 'U' } }, 1810, true },
		{ "refreshed often", { { 0, 'D' }, { 60, 'D' }, { 60, 'D' } }, 1810, true },
		{ "three refreshes", { { 0, 'D' }, { 1700, 'D' } }, 5090, false },
		{ "three refreshes missed", { { 0, 'D' }, { 1700, 'D' } }, 5110, true },
		{ "a doubled refresh", { { 0, 'D' }, { 1700, 'D' }, { 0, 'D' } }, 5090, false },
		{ "changed", { { 0, 'D' }, { 1700, 'C' } }, 5090, false },
		{ "the newest refresh tells", { { 0, 'D' }, { 1700, 'D' }, { 700, 'D' } }, 2110, true },
	};
	struct collector_limits patient = limits;
	uint8_t octets[MESSAGE_MAX];

	(void)state;
	patient.session_idle_s = 1000000;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;

		open_bench_with(&b, &patient);
		for (size_t k = 0; k < 5 && cases[i].steps[k].step != '\0'; k++) {
			int64_t ms = cases[i].steps[k].after_s * 1000;

			collector_each_session(b.collector, age_tmpls, &ms);
			receive(&b, octets, of_hex(messages[(int)cases[i].steps[k].step], octets));
		}
		collector_tick(b.collector, clock_mono_ms() + cases[i].wait_s * 1000);
		if (stat_get(b.stat, STAT_TEMPLATES_EXPIRED) != cases[i].is_gone)
			fail_msg("%s", cases[i].name);
		close_bench(&b);
	}
}

/* A thousand gaps: a line a second at most, and the counters have them all. */
static void test_gap_lines(void **state)
{
	char path[] = "/tmp/test_collector.XXXXXX";
	int to = mkstemp(path);
	int kept = dup(STDERR_FILENO);
	int64_t began_ms = clock_mono_ms();
	uint8_t octets[MESSAGE_MAX];
	char text[4096] = "";
	int64_t seconds;
	size_t lines = 0;
	struct bench b;

	(void)state;
	must(to >= 0 && kept >= 0);
	must(unlink(path) == 0);
	must(dup2(to, STDERR_FILENO) >= 0);
	open_bench(&b);
	receive(&b, octets, of_hex(IPFIX("0020", "00000000") T256, octets));
	for (uint32_t i = 0; i < 2000; i++) { /* every other one follows on */
		char hex[256];

		(void)snprintf(hex, sizeof(hex), "000a002c" "60000000" "%08x" "00000007" D256("4"),
			       i / 2 * 10 + i % 2 * 2 + 10);
		receive(&b, octets, of_hex(hex, octets));
	}
	seconds = (clock_mono_ms() - began_ms) / 1000;
	must(dup2(kept, STDERR_FILENO) >= 0);
	must(pread(to, text, sizeof(text) - 1, 0) >= 0);
	assert_int_equal(stat_get(b.stat, STAT_SEQUENCE_MISSED) - stat_get(b.stat, STAT_SEQUENCE_LATE), 6 * 999 + 10);
	for (const char *at = text; (at = strstr(at, "sequence.gap exporter=\"192.0.2.1\" domain=7")) != NULL; at++)
		lines++;
	assert_in_range(lines, 1, (uint64_t)seconds + 2);
	close_bench(&b);
	(void)close(to);
	(void)close(kept);
}

/* Messages by port, and what the last one's data becomes after half of the wait. */
static void test_borrowed(void **state)
{
	static const char tmpl[] = IPFIX("0020", "00000000") T256;
	static const char other[] = IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00080004";
	static const char data[] = IPFIX("002c", "00000000") D256("4");
	static const char odd[] = IPFIX("0029", "00000000") "01000019" "0a000001" "0000000000000004" "0a000002" "0000000002";
	static const char unrelated[] = IPFIX("0020", "00000000") T257;
	static const char nobodys[] = IPFIX("001c", "00000000") "0102000c" "0a0000010a000002";
	static const struct {
		const char *name;
		struct {
			uint16_t port;
			const char *message;
		} steps[5];
		uint64_t borrowed;
		size_t flows;
	} cases[] = {
		{ "one has it", { { 1, tmpl }, { 2, data } }, 1, 2 },
		{ "it comes later", { { 2, data }, { 1, tmpl }, { 2, data } }, 1, 4 },
		{ "two have it", { { 1, tmpl }, { 3, tmpl }, { 2, data } }, 0, 0 },
		{ "nobody has it", { { 1, unrelated }, { 2, data } }, 0, 0 },
		{ "it sends templates itself", { { 1, tmpl }, { 2, unrelated }, { 2, data } }, 0, 0 },
		{ "the other uses it", { { 1, tmpl }, { 1, data }, { 2, data } }, 0, 2 },
		{ "its length does not fit", { { 1, tmpl }, { 2, odd } }, 0, 0 },
		{ "behind one that nobody has", { { 2, nobodys }, { 1, tmpl }, { 2, data }, { 2, nobodys } }, 1, 2 },
	};
	struct collector_limits l = patient_limits;

	(void)state;
	l.template_from_port = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bench b;
		uint64_t units = 0;
		uint8_t octets[MESSAGE_MAX];
		struct origin origin = { .peer = addr_of_v4(0xc0000201), .receive_ms = 1 };

		open_bench_with(&b, &l);
		for (; units < 5 && cases[i].steps[units].message != NULL; units++) {
			origin.port = cases[i].steps[units].port;
			receive_from(&b, &origin, octets, of_hex(cases[i].steps[units].message, octets));
		}
		collector_tick(b.collector, clock_mono_ms() + 1000 * (HOLD_S / 2 - 2));
		assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_FROM_PORT), 0);
		collector_tick(b.collector, clock_mono_ms() + 1000 * (HOLD_S / 2 + 2));
		if (stat_get(b.stat, STAT_TEMPLATES_FROM_PORT) != cases[i].borrowed || b.sink.flows != cases[i].flows)
			fail_msg("%s: %zu flows", cases[i].name, b.sink.flows);
		check_ledger(&b, units);
		/* While nothing speaks against it, data is read at once; then no more. */
		origin.port = 2;
		if (cases[i].borrowed == 1) {
			receive_from(&b, &origin, octets, of_hex(data, octets));
			assert_int_equal(b.sink.flows, cases[i].flows + 2);
			origin.port = i % 2 == 0 ? 1 : 2;
			receive_from(&b, &origin, octets, of_hex(i % 2 == 0 ? other : unrelated, octets));
			origin.port = 2;
			receive_from(&b, &origin, octets, of_hex(data, octets));
			assert_int_equal(b.sink.flows, cases[i].flows + 2);
			check_ledger(&b, units + 3);
		}
		close_bench(&b);
	}
}

/* A copy puts nobody out, least of all what it is a copy of. */
static void test_borrowed_full(void **state)
{
	struct collector_limits l = patient_limits;
	uint8_t octets[MESSAGE_MAX];
	struct origin origin = { .peer = addr_of_v4(0xc0000201), .receive_ms = 1 };
	struct bench b;

	(void)state;
	l.template_from_port = true;
	l.templates_exporter_max = 1;
	open_bench_with(&b, &l);
	origin.port = 1;
	receive_from(&b, &origin, octets, of_hex(IPFIX("0020", "00000000") T256, octets));
	origin.port = 2;
	receive_from(&b, &origin, octets, of_hex(IPFIX("002c", "00000000") D256("4"), octets));
	collector_tick(b.collector, clock_mono_ms() + 1000 * (HOLD_S / 2 + 2));
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_FROM_PORT), 0);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_LIMIT), 1);
	assert_int_equal(stat_get(b.stat, STAT_TMPL_EVICTED_EXPORTER), 0);
	assert_int_equal(b.sink.flows, 0);
	origin.port = 1;
	receive_from(&b, &origin, octets, of_hex(IPFIX("002c", "00000000") D256("4"), octets));
	assert_int_equal(b.sink.flows, 2);
	check_ledger(&b, 3);
	close_bench(&b);
}

#define MONO_MS INT64_C(5000000000)
/* Of a life that began at another moment of its clock. */
static const struct keep_now later = { REAL_MS + 2000, 77000000 };

enum kept { KEPT_TMPLS, KEPT_HELD, KEPT_KINDS };

static struct keep_now now_of(void)
{
	return (struct keep_now){ REAL_MS, clock_mono_ms() };
}

static void keep_both(struct bench *b, const struct keep_now *now, struct keep kept[KEPT_KINDS])
{
	memset(kept, 0, KEPT_KINDS * sizeof(kept[0]));
	keep_rewind_tmpls(b->collector);
	keep_rewind_held(b->collector);
	/* In slices of one entry, and all. */
	while (keep_tmpls(b->collector, now, 1, &kept[KEPT_TMPLS]))
		;
	while (keep_held(b->collector, now, 1, &kept[KEPT_HELD]))
		;
}

/* All entries; how many were not taken. */
static size_t take_back(struct bench *b, enum kept kind, const uint8_t *octets, size_t bytes)
{
	struct rd entries = bytes == 0 ? (struct rd){ 0 } : rd_of(octets, bytes);
	size_t refused = 0;
	struct rd entry;

	while (rd_left(&entries) > 0 && keep_next(&entries, &entry)) {
		struct addr peer;
		enum err e = kind == KEPT_HELD ? keep_held_peer(entry, &peer) : keep_peer(entry, &peer);

		if (e == ERR_OK)
			e = kind == KEPT_HELD ? keep_take_held(b->collector, entry, &later)
					      : keep_take_tmpls(b->collector, entry, &later);
		refused += e != ERR_OK;
	}
	return refused;
}

/* What a life keeps, the next one has: it keeps the same octets, 2 s later by the wall clock. */
static void keep_row(const struct row *row)
{
	struct keep_now now = now_of();
	struct keep kept[KEPT_KINDS];
	struct keep again[KEPT_KINDS];
	struct bench b;
	struct bench next;

	open_bench_with(&b, &patient_limits);
	open_bench_with(&next, &patient_limits);
	(void)run_row(&b, row);
	keep_both(&b, &now, kept);
	for (int kind = 0; kind < KEPT_KINDS; kind++) {
		if (take_back(&next, (enum kept)kind, kept[kind].octets, kept[kind].bytes) != 0)
			fail_msg("%s: not all of it is taken", row->name);
	}
	keep_both(&next, &later, again);
	assert_int_equal(stat_get(next.stat, STAT_SETS_HELD_NOW), stat_get(b.stat, STAT_SETS_HELD_NOW));
	assert_int_equal(again[KEPT_HELD].bytes, kept[KEPT_HELD].bytes);
	assert_int_equal(again[KEPT_TMPLS].bytes, kept[KEPT_TMPLS].bytes);
	if (kept[KEPT_TMPLS].bytes > 0 &&
	    memcmp(again[KEPT_TMPLS].octets + 44, kept[KEPT_TMPLS].octets + 44, kept[KEPT_TMPLS].bytes - 44) != 0)
		fail_msg("%s: templates are others", row->name);
	keep_forget_held(b.collector);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
	check_ledger(&b, stat_get(b.stat, STAT_MESSAGES));
	check_ledger(&next, 0);
	for (int kind = 0; kind < KEPT_KINDS; kind++) {
		keep_fini(&kept[kind]);
		keep_fini(&again[kind]);
	}
	close_bench(&b);
	close_bench(&next);
}

/* Any bit of it may be wrong, and any octet the last: the collector stays sound, and reads what comes. */
static void keep_damaged(const struct row *row)
{
	struct keep_now now = now_of();
	struct keep kept[KEPT_KINDS];
	struct bench b;

	open_bench_with(&b, &patient_limits);
	(void)run_row(&b, row);
	keep_both(&b, &now, kept);
	close_bench(&b);
	for (int kind = 0; kind < KEPT_KINDS; kind++) {
		struct keep *k = &kept[kind];

		for (size_t at = 0; at < k->bytes * 9; at++) {
			size_t bytes = at < k->bytes * 8 ? k->bytes : at - k->bytes * 8;
			uint8_t *copy = malloc(bytes + 1);

			must(copy != NULL);
			memcpy(copy, k->octets, bytes);
			if (at < k->bytes * 8)
				copy[at / 8] ^= (uint8_t)(1u << (at % 8));
			open_bench_with(&b, &patient_limits);
			(void)take_back(&b, (enum kept)kind, copy, bytes);
			free(copy);
			check_ledger(&b, run_row(&b, row));
			collector_finish(b.collector);
			assert_int_equal(sum_of(&b, "data_sets_held_now"), 0);
			close_bench(&b);
		}
		keep_fini(k);
	}
}

static void test_kept(void **state)
{
	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
		keep_row(&rows[r]);
	for (size_t r = 0; r < sizeof(held_rows) / sizeof(held_rows[0]); r++) {
		keep_row(&held_rows[r]);
		keep_damaged(&held_rows[r]);
	}
}

static size_t count_marks(const uint64_t *words)
{
	size_t count = 0;

	for (size_t i = 0; i < KEEP_MARKS / 64; i++)
		count += (size_t)__builtin_popcountll(words[i]);
	return count;
}

/* What is new since it was kept last, in octets; and forgotten. */
static size_t keep_new(struct bench *b, struct keep *kept)
{
	struct keep_now now = now_of();

	kept->bytes = 0;
	assert_false(keep_held(b->collector, &now, SIZE_MAX / 2, kept));
	return kept->bytes;
}

/* A set that waits is marked while it is on disk; its mark is gone when its records are handed on, and its entry taken back. */
static void test_kept_marks(void **state)
{
	static uint64_t words[KEEP_MARKS / 64];
	static const uint64_t first = 3ull << 48;
	const size_t gone_bytes = 4 + KEEP_NUMBER_BYTES;
	struct keep kept = { 0 };
	struct bench b;
	size_t one;

	(void)state;
	open_bench_with(&b, &patient_limits);
	keep_use_numbers(b.collector, words, first);
	assert_int_equal(keep_new(&b, &kept), 0);
	receive_at(&b, IPFIX("002c", "00000000") D256("4"), REAL_MS);
	assert_int_equal(count_marks(words), 0);
	one = keep_new(&b, &kept);
	assert_true(one > 28);
	assert_int_equal(be64(kept.octets + 4), first + 1);
	assert_true(keep_is_marked(words, first + 1));
	assert_int_equal(count_marks(words), 1);
	/* Once; and what comes behind it, alone. */
	assert_int_equal(keep_new(&b, &kept), 0);
	receive_at(&b, IPFIX("002c", "00000002") D257("5"), REAL_MS);
	assert_int_equal(keep_new(&b, &kept), one);
	assert_int_equal(be64(kept.octets + 4), first + 2);
	/* Handed on, and dropped. */
	receive_at(&b, IPFIX("0020", "00000004") T256, REAL_MS);
	assert_false(keep_is_marked(words, first + 1));
	assert_int_equal(count_marks(words), 1);
	assert_int_equal(keep_new(&b, &kept), gone_bytes);
	assert_int_equal(be64(kept.octets + 4), first + 1);
	/* All once more, under the numbers that they have. */
	keep_rewind_held(b.collector);
	assert_int_equal(keep_new(&b, &kept), one);
	assert_int_equal(be64(kept.octets + 4), first + 2);
	collector_finish(b.collector);
	assert_int_equal(count_marks(words), 0);
	/* Nobody asks for what left before all was written anew. */
	keep_rewind_held(b.collector);
	assert_int_equal(keep_new(&b, &kept), 0);
	/* One that came and went in between was never there. */
	receive_at(&b, IPFIX("002c", "00000006") D257("6"), REAL_MS);
	collector_finish(b.collector);
	assert_int_equal(keep_new(&b, &kept), 0);
	assert_int_equal(count_marks(words), 0);
	/* Those that are the next life's go, and stay marked. */
	receive_at(&b, IPFIX("002c", "00000008") D257("7"), REAL_MS);
	(void)keep_new(&b, &kept);
	keep_forget_held(b.collector);
	assert_int_equal(stat_get(b.stat, STAT_SETS_HELD_NOW), 0);
	assert_int_equal(count_marks(words), 1);
	keep_fini(&kept);
	close_bench(&b);
}

/* Only what changed is kept again; a session whose templates went is taken back. */
static void test_kept_changes(void **state)
{
	struct keep kept = { 0 };
	struct keep_now now = now_of();
	struct bench b;
	size_t one;

	(void)state;
	open_bench_with(&b, &patient_limits);
	receive_at(&b, IPFIX("0020", "00000000") T256, REAL_MS);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	one = kept.bytes;
	assert_true(one > KEEP_KEY_BYTES);
	receive_at(&b, IPFIX("003c", "00000000") T256 D256("4"), REAL_MS);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_int_equal(kept.bytes, one);
	kept.bytes = 0;
	collector_tick(b.collector, clock_mono_ms() + 3000000);
	assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_EXPIRED), 1);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_int_equal(kept.bytes, 4 + KEEP_KEY_BYTES);
	keep_fini(&kept);
	close_bench(&b);
}

/* The entry of a session is given in slices; what happens to the session between two of them shows in the end. */
static void test_kept_slices(void **state)
{
	static const struct {
		int64_t later_ms; /* when the collector looks around, behind the first slice */
		const char *message;
		size_t entries; /* of the session, of which the last holds */
		size_t held;	/* of its templates */
	} cases[] = {
		{ 0, NULL, 1, 2 },
		{ 0, IPFIX("0020", "00000000") "00020010" "0101" "0002" "00080004" "00020008", 2, 2 },
		{ 0, IPFIX("0020", "00000000") "00020010" "00ff" "0002" "00080004" "00020008", 1, 2 },
		{ 0, IPFIX("0020", "00000000") "00020010" "0102" "0002" "00080004" "00020008", 2, 3 },
		{ 1801000, NULL, 2, 0 }, /* its templates are too old */
		{ 3601000, NULL, 2, 0 }, /* it is, and is taken back too */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keep kept = { 0 };
		struct keep_now now = now_of();
		struct bench b;
		struct bench next;
		size_t entries = 0;
		struct rd r;
		struct rd entry;

		open_bench_with(&b, &patient_limits);
		receive_at(&b, IPFIX("0030", "00000000") T256 T257, REAL_MS);
		assert_true(keep_tmpls(b.collector, &now, 1, &kept));
		assert_true(kept.is_open);
		assert_true(keep_tmpls(b.collector, &now, 1, &kept));
		assert_true(kept.is_open);
		if (cases[i].later_ms > 0)
			collector_tick(b.collector, clock_mono_ms() + cases[i].later_ms);
		if (cases[i].message != NULL)
			receive_at(&b, cases[i].message, REAL_MS);
		while (keep_tmpls(b.collector, &now, 1, &kept))
			;
		assert_false(kept.is_open);
		assert_false(kept.is_failed);
		r = rd_of(kept.octets, kept.bytes);
		while (rd_left(&r) > 0) {
			assert_true(keep_next(&r, &entry));
			entries++;
		}
		assert_int_equal(entries, cases[i].entries);
		open_bench_with(&next, &patient_limits);
		if (rd_left(&entry) > KEEP_KEY_BYTES)
			assert_int_equal(keep_take_tmpls(next.collector, entry, &later), ERR_OK);
		assert_int_equal(stat_get(next.stat, STAT_TEMPLATES_NOW), cases[i].held);
		keep_fini(&kept);
		close_bench(&next);
		close_bench(&b);
	}
}

#define MANY_RECORDS 60000

/* A file that has a set twice, as a message that cannot be: its records are read, and never as those of one message. */
static void test_kept_twice(void **state)
{
	static uint8_t octets[20 + MANY_RECORDS];
	struct collector_limits l = patient_limits;
	struct keep_now now = now_of();
	struct keep kept = { 0 };
	struct bench b;

	(void)state;
	l.hold_session_bytes = 4 * MANY_RECORDS;
	l.hold_bytes = 8 * MANY_RECORDS;
	memset(octets, 6, sizeof(octets));
	must(of_hex("000aea74" "60000000" "00000000" "00000007" "0100ea64", octets) == 20);
	open_bench_with(&b, &l);
	receive(&b, octets, sizeof(octets));
	assert_false(keep_held(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_true(kept.bytes > MANY_RECORDS);
	close_bench(&b);
	open_bench_with(&b, &l);
	for (int i = 0; i < 2; i++)
		assert_int_equal(take_back(&b, KEPT_HELD, kept.octets, kept.bytes), 0);
	receive_at(&b, IPFIX("001c", "00000000") "0002000c" "0100" "0001" "00040001", REAL_MS);
	collector_catch_up(b.collector);
	assert_int_equal(b.sink.flows, 2 * MANY_RECORDS);
	check_ledger(&b, 1);
	keep_fini(&kept);
	close_bench(&b);
}

/* What a session that ended between two looks has on disk is taken back, before what it has when it begins anew. */
static void test_kept_ended(void **state)
{
	struct keep kept = { 0 };
	struct keep_now now = now_of();
	struct bench b;
	struct bench next;
	size_t one;

	(void)state;
	open_bench_with(&b, &patient_limits);
	open_bench_with(&next, &patient_limits);
	/* One that came and went between two looks was never kept. */
	receive_at(&b, IPFIX("0020", "00000000") T256, REAL_MS);
	collector_tick(b.collector, clock_mono_ms() + 4000000);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_IDLE), 1);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_int_equal(kept.bytes, 0);
	receive_at(&b, IPFIX("0020", "00000000") T256, REAL_MS);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	one = kept.bytes;
	assert_true(one > KEEP_KEY_BYTES + 4);
	collector_tick(b.collector, clock_mono_ms() + 4000000);
	assert_int_equal(stat_get(b.stat, STAT_SESSIONS_IDLE), 2);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_int_equal(kept.bytes, one + 4 + KEEP_KEY_BYTES);
	assert_int_equal(be32(kept.octets + one), KEEP_KEY_BYTES);
	assert_memory_equal(kept.octets + one + 4, kept.octets + 4, KEEP_KEY_BYTES);
	/* Said once. */
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_int_equal(kept.bytes, one + 4 + KEEP_KEY_BYTES);
	/* It ends, and is there again at the next look. */
	receive_at(&b, IPFIX("0020", "00000000") T256, REAL_MS);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	kept.bytes = 0;
	collector_tick(b.collector, clock_mono_ms() + 4000000);
	receive_at(&b, IPFIX("0020", "00000000") T256, REAL_MS);
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_int_equal(kept.bytes, 4 + KEEP_KEY_BYTES + one);
	assert_int_equal(be32(kept.octets), KEEP_KEY_BYTES);
	assert_int_equal(take_back(&next, KEPT_TMPLS, kept.octets + 4 + KEEP_KEY_BYTES, one), 0);
	assert_int_equal(stat_get(next.stat, STAT_TEMPLATES_RESTORED), 1);
	/* All is written anew: there it never was. */
	collector_tick(b.collector, clock_mono_ms() + 4000000);
	keep_rewind_tmpls(b.collector);
	kept.bytes = 0;
	assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
	assert_int_equal(kept.bytes, 0);
	keep_fini(&kept);
	close_bench(&b);
	close_bench(&next);
}

/* Lifetimes run on while nobody looks, and a clock that was put back makes nothing young. */
static void test_kept_stale(void **state)
{
	static const struct {
		int64_t away_ms;
		uint64_t restored;
	} cases[] = { { 0, 1 }, { 1700000, 1 }, { 1900000, 0 }, { -5000000, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keep_now now = now_of();
		struct keep_now then = { REAL_MS + cases[i].away_ms, MONO_MS };
		struct keep kept = { 0 };
		struct rd entries;
		struct rd entry;
		struct bench b;

		open_bench_with(&b, &patient_limits);
		receive_at(&b, IPFIX("003c", "00000000") T256 D256("4"), REAL_MS);
		assert_false(keep_tmpls(b.collector, &now, SIZE_MAX / 2, &kept));
		close_bench(&b);
		open_bench_with(&b, &patient_limits);
		entries = rd_of(kept.octets, kept.bytes);
		assert_true(keep_next(&entries, &entry));
		assert_int_equal(keep_take_tmpls(b.collector, entry, &then), ERR_OK);
		assert_int_equal(stat_get(b.stat, STAT_TEMPLATES_RESTORED), cases[i].restored);
		keep_fini(&kept);
		close_bench(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gap_lines),     /* before another test makes a line */
		cmocka_unit_test(test_rows),	      cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_v9_identity),   cmocka_unit_test(test_session_limit),
		cmocka_unit_test(test_lifetimes),     cmocka_unit_test(test_tmpl_lifetime),
		cmocka_unit_test(test_malformed),     cmocka_unit_test(test_skew),
		cmocka_unit_test(test_skew_median),
		cmocka_unit_test(test_skew_of_restart), cmocka_unit_test(test_reboot),
		cmocka_unit_test(test_held),	      cmocka_unit_test(test_held_same),
		cmocka_unit_test(test_held_expires),  cmocka_unit_test(test_held_again),
		cmocka_unit_test(test_held_evicted),  cmocka_unit_test(test_borrowed),
		cmocka_unit_test(test_borrowed_full), cmocka_unit_test(test_kept_twice),
		cmocka_unit_test(test_kept),	      cmocka_unit_test(test_kept_ended), cmocka_unit_test(test_kept_stale),
		cmocka_unit_test(test_kept_marks),    cmocka_unit_test(test_kept_changes),
		cmocka_unit_test(test_kept_slices),
		cmocka_unit_test(test_held_bounds), cmocka_unit_test(test_options_first), cmocka_unit_test(test_again_is_no_copy), cmocka_unit_test(test_held_trusted), cmocka_unit_test(test_held_in_vain),   cmocka_unit_test(test_held_oldest_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
