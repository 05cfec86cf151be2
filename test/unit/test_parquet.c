/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the parts of the Parquet writer give the octets that the format's documents ask for, and decide about
 * dictionaries as parquet.h says.
 * Method: the examples of parquet-format's Encodings.md and of Thrift's compact protocol, octet by octet; random
 * numbers read back by small decoders of our own; files of one column in memory files, of which the footer's
 * encodings are looked at.  What whole files say to other readers is test_parquet_format.py's matter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "sink/parquet_parts.h"

static struct parquet_account account;

static void assert_octets(struct parquet_buffer *b, const char *octets, size_t bytes)
{
	assert_int_equal(b->bytes, bytes);
	assert_memory_equal(b->at, octets, bytes);
	parquet_release(&account, b);
	assert_int_equal(account.bytes, 0);
	assert_int_equal(account.error, ERR_OK);
}

#define OCTETS(text) (text), sizeof(text) - 1

/* Thrift. */

static void thrift(void **state)
{
	struct parquet_buffer b = { 0 };
	struct parquet_thrift t = parquet_thrift_of(&account, &b);

	(void)state;
	thrift_i32(&t, 1, -1);	  /* 1 << 4 | 5, zigzag 1 */
	thrift_i64(&t, 3, 300);	  /* 2 << 4 | 6, zigzag 600 */
	thrift_bool(&t, 4, true); /* the type is the value */
	thrift_bool(&t, 5, false);
	thrift_text(&t, 6, "ab");
	thrift_i16(&t, 30, -2); /* too far for a short header: type, zigzag 60, zigzag 3 */
	thrift_list(&t, 31, THRIFT_I32, 2);
	thrift_item_i32(&t, 1);
	thrift_item_i32(&t, INT32_MIN);
	thrift_struct(&t, 32);
	thrift_list(&t, 1, THRIFT_STRUCT, 15); /* as many do not fit the header */
	for (int i = 0; i < 15; i++) {
		thrift_begin(&t);
		thrift_end(&t);
	}
	thrift_end(&t);
	thrift_empty(&t, 33);
	thrift_end(&t);
	assert_octets(&b, OCTETS("\x15\x01"
				 "\x26\xd8\x04"
				 "\x11"
				 "\x12"
				 "\x18\x02"
				 "ab"
				 "\x04\x3c\x03"
				 "\x19\x25\x02\xff\xff\xff\xff\x0f"
				 "\x1c"
				 "\x19\xfc\x0f"
				 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				 "\0"
				 "\x1c\0"
				 "\0"));
}

/* Runs. */

static void hybrid_examples(void **state)
{
	struct parquet_buffer runs = { 0 };
	struct parquet_buffer out = { 0 };

	(void)state;
	/* Encodings.md: the numbers 0 to 7 at three bits are 88 C6 FA; their header says one group. */
	for (uint16_t i = 0; i < 8; i++)
		runs_add(&account, &runs, i, 1);
	hybrid_encode(&account, &out, &runs, 3);
	parquet_release(&account, &runs);
	assert_octets(&out, OCTETS("\x03\x88\xc6\xfa"));

	/* Seven are too few for a run, eight are one; what stands before a run is whole groups. */
	runs_add(&account, &runs, 1, 7);
	hybrid_encode(&account, &out, &runs, 1);
	parquet_release(&account, &runs);
	assert_octets(&out, OCTETS("\x03\x7f"));
	runs_add(&account, &runs, 1, 8);
	hybrid_encode(&account, &out, &runs, 1);
	parquet_release(&account, &runs);
	assert_octets(&out, OCTETS("\x10\x01"));
	runs_add(&account, &runs, 0, 1);
	runs_add(&account, &runs, 1, 100000); /* more than one run can count */
	assert_int_equal(runs_count(&runs), 3);
	hybrid_encode(&account, &out, &runs, 9);
	parquet_release(&account, &runs);
	/* 0 and seven 1 packed; the rest of the first run, 65535 - 7, and of the second, 34465. */
	assert_octets(&out, OCTETS("\x03\x00\x02\x04\x08\x10\x20\x40\x80\x00"
				   "\xf0\xff\x07\x01\x00"
				   "\xc2\x9a\x04\x01\x00"));
	hybrid_run(&account, &out, 0, 131072, 1);
	assert_octets(&out, OCTETS("\x80\x80\x10\x00"));
	assert_int_equal(hybrid_width(0), 0);
	assert_int_equal(hybrid_width(1), 1);
	assert_int_equal(hybrid_width(255), 8);
	assert_int_equal(hybrid_width(256), 9);
}

static uint64_t get_varint(const uint8_t **at)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		uint8_t octet = *(*at)++;

		v |= (uint64_t)(octet & 0x7f) << shift;
		if (octet < 0x80)
			return v;
	}
}

static uint64_t get_bits(const uint8_t *at, uint64_t from, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t)(at[(from + i) / 8] >> (from + i) % 8 & 1) << i;
	return v;
}

static void check_hybrid(const struct parquet_buffer *out, const uint16_t *values, size_t count,
			 unsigned width)
{
	const uint8_t *at = out->at;
	size_t done = 0;

	while (done < count) {
		uint64_t head = get_varint(&at);
		uint64_t n = head >> 1;

		if ((head & 1) == 0) {
			uint64_t v = get_bits(at, 0, width);

			assert_true(n > 0 && n <= count - done);
			for (uint64_t i = 0; i < n; i++)
				assert_int_equal(values[done++], v);
			at += (width + 7) / 8;
			continue;
		}
		for (uint64_t i = 0; i < n * 8 && done < count; i++)
			assert_int_equal(values[done++], get_bits(at, i * width, width));
		at += n * width;
	}
	assert_ptr_equal(at, parquet_end(out));
}

static uint64_t dice = 88172645463325252;

static uint64_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice * 0x2545f4914f6cdd1du >> 3;
}

static void hybrid_random(void **state)
{
	static uint16_t values[3000];

	(void)state;
	for (unsigned turn = 0; turn < 600; turn++) {
		unsigned width = 1 + turn % 16;
		size_t count = 1 + roll() % 2000;
		uint64_t often = 1 + roll() % 12;
		struct parquet_buffer runs = { 0 };
		struct parquet_buffer out = { 0 };

		for (size_t i = 0; i < count; i++) {
			values[i] = (uint16_t)(roll() & ((1u << width) - 1));
			if (i > 0 && roll() % often > 0)
				values[i] = values[i - 1];
			runs_add(&account, &runs, values[i], 1);
		}
		hybrid_encode(&account, &out, &runs, width);
		check_hybrid(&out, values, count, width);
		parquet_release(&account, &runs);
		parquet_release(&account, &out);
	}
}

static void booleans(void **state)
{
	struct parquet_buffer runs = { 0 };
	struct parquet_buffer out = { 0 };

	(void)state;
	runs_add(&account, &runs, 1, 1);
	runs_add(&account, &runs, 0, 2);
	runs_add(&account, &runs, 1, 9);
	runs_add(&account, &runs, 0, 1);
	runs_bits(&account, &out, &runs);
	parquet_release(&account, &runs);
	assert_octets(&out, OCTETS("\xf9\x0f"));
}

/* Differences. */

static void delta_examples(void **state)
{
	static const int64_t first[] = { 1, 2, 3, 4, 5 };
	static const int64_t second[] = { 7, 5, 3, 1, 2, 3, 4, 5 };
	struct parquet_delta d = { .is_narrow = true };
	struct parquet_buffer out = { 0 };

	(void)state;
	/* Encodings.md, "Delta Encoding", examples 1 and 2, with our block of 128 in 4: all differences are 1;
	 * the least is -2, what is above it takes 2 bits: 0 0 0 3 3 3 3. */
	for (size_t i = 0; i < 5; i++)
		delta_add(&account, &d, first[i]);
	delta_finish(&account, &d, &out);
	delta_release(&account, &d);
	assert_octets(&out, OCTETS("\x80\x01\x04\x05\x02"
				   "\x02\0\0\0\0"));
	for (size_t i = 0; i < 8; i++)
		delta_add(&account, &d, second[i]);
	delta_finish(&account, &d, &out);
	delta_release(&account, &d);
	assert_octets(&out, OCTETS("\x80\x01\x04\x08\x0e"
				   "\x03\x02\0\0\0"
				   "\xc0\x3f\0\0\0\0\0\0"));
	delta_finish(&account, &d, &out);
	assert_octets(&out, OCTETS("\x80\x01\x04\0\0"));
}

static void check_delta(const struct parquet_buffer *out, const int64_t *values, size_t count,
			bool is_narrow)
{
	const uint8_t *at = out->at;
	uint64_t v;

	assert_int_equal(get_varint(&at), 128);
	assert_int_equal(get_varint(&at), 4);
	assert_int_equal(get_varint(&at), count);
	v = get_varint(&at);
	v = v >> 1 ^ -(v & 1);
	assert_true(count == 0 || (int64_t)v == values[0]);
	for (size_t done = 1; done < count;) {
		uint64_t least = get_varint(&at);
		const uint8_t *widths = at;

		least = least >> 1 ^ -(least & 1);
		at += 4;
		for (unsigned m = 0; m < 4; m++) {
			assert_true(widths[m] <= (is_narrow ? 32 : 64));
			for (unsigned i = 0; i < 32 && done < count; i++, done++) {
				v += least + get_bits(at, (uint64_t)i * widths[m], widths[m]);
				if (is_narrow)
					v = (uint64_t)(int64_t)(int32_t)(uint32_t)v;
				assert_true((int64_t)v == values[done]);
			}
			at += (size_t)widths[m] * 4;
		}
	}
	assert_ptr_equal(at, parquet_end(out));
}

static void delta_random(void **state)
{
	static int64_t values[700];

	(void)state;
	for (unsigned turn = 0; turn < 1300; turn++) {
		bool is_narrow = turn % 2 == 0;
		size_t count = roll() % 700;
		unsigned bits = 1 + turn % 64;
		struct parquet_delta d = { .is_narrow = is_narrow };
		struct parquet_buffer out = { 0 };

		for (size_t i = 0; i < count; i++) {
			uint64_t v = (roll() << 8 ^ roll()) >> (64 - bits);

			v = roll() % 50 == 0 ? (uint64_t)INT64_MIN : v;
			v = roll() % 50 == 0 ? (uint64_t)INT64_MAX : v;
			values[i] = is_narrow ? (int32_t)(uint32_t)(v ^ v >> 32) : (int64_t)v;
			delta_add(&account, &d, values[i]);
		}
		delta_finish(&account, &d, &out);
		check_delta(&out, values, count, is_narrow);
		delta_release(&account, &d);
		parquet_release(&account, &out);
	}
	assert_int_equal(account.bytes, 0);
}

/* The dictionary. */

static uint32_t entry_of_i64(struct parquet_account *a, struct parquet_dict *d, int64_t v)
{
	return dict_i64(a, d, dict_hash_i64(v), v);
}

static uint32_t entry_of_octets(struct parquet_account *a, struct parquet_dict *d,
				const void *octets, size_t bytes)
{
	const uint64_t hash = dict_hash_octets(octets, bytes);

	dict_fetch_entries(d, &hash, 1);
	return dict_octets(a, d, hash, octets, bytes);
}

static void dictionary_finds(void **state)
{
	struct parquet_dict d = { 0 };
	char name[32];

	(void)state;
	for (unsigned turn = 0; turn < 2; turn++) {
		for (int64_t i = 0; i < 3000; i++)
			assert_int_equal(entry_of_i64(&account, &d, i * i - 77), i);
	}
	assert_true(dict_stamp(&d, 5, 1));
	assert_false(dict_stamp(&d, 5, 1));
	assert_true(dict_stamp(&d, 5, 2));
	dict_clear(&d);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (uint32_t i = 0; i < 3000; i++) {
			int bytes = snprintf(name, sizeof(name), "%.*s%u", (int)(i % 12),
					     "abcdefghijkl", i);

			assert_int_equal(entry_of_octets(&account, &d, name, (size_t)bytes), i);
		}
	}
	assert_int_equal(entry_of_octets(&account, &d, "", 0), 3000);
	assert_int_equal(entry_of_octets(&account, &d, "\0", 1), 3001);
	assert_int_equal(entry_of_octets(&account, &d, "", 0), 3000);
	dict_release(&account, &d);
	assert_int_equal(account.bytes, 0);
}

static void dictionary_is_bounded(void **state)
{
	static const uint8_t big[DICT_BYTES_MAX];
	struct parquet_dict d = { 0 };

	(void)state;
	for (uint32_t i = 0; i < DICT_ENTRIES_MAX; i++)
		assert_int_equal(entry_of_i64(&account, &d, i), i);
	assert_int_equal(entry_of_i64(&account, &d, -1), DICT_FULL);
	assert_int_equal(entry_of_i64(&account, &d, DICT_ENTRIES_MAX - 1), DICT_ENTRIES_MAX - 1);
	dict_release(&account, &d);
	assert_int_equal(entry_of_octets(&account, &d, big, sizeof(big)), DICT_FULL);
	assert_int_equal(entry_of_octets(&account, &d, big, sizeof(big) - 9), 0);
	assert_int_equal(entry_of_octets(&account, &d, "ab", 2), DICT_FULL);
	assert_int_equal(entry_of_octets(&account, &d, "a", 1), 1);
	assert_int_equal(entry_of_octets(&account, &d, "", 0), DICT_FULL);
	dict_release(&account, &d);
	assert_int_equal(account.error, ERR_OK);
}

/* Bounds. */

static void bounds(void **state)
{
	struct parquet_bounds b = { 0 };
	struct parquet_bounds all = { 0 };
	char longest[PARQUET_BOUND_BYTES + 1];

	(void)state;
	memset(longest, 0xff, sizeof(longest));
	bounds_octets(&b, "b", 1);
	bounds_octets(&b, "b\0", 2);
	bounds_octets(&b, longest, PARQUET_BOUND_BYTES);
	bounds_octets(&b, "12345678a", 9);
	bounds_octets(&b, "12345678A", 9);
	assert_int_equal(b.bytes[BOUND_MIN], 9);
	assert_memory_equal(b.octets[BOUND_MIN], "12345678A", 9);
	assert_int_equal(b.bytes[BOUND_MAX], PARQUET_BOUND_BYTES);
	bounds_join(&all, PARQUET_BYTES, &b);
	bounds_clear(&b);
	bounds_octets(&b, "", 0);
	bounds_join(&all, PARQUET_BYTES, &b);
	assert_int_equal(all.bytes[BOUND_MIN], 0);
	assert_int_equal(all.bytes[BOUND_MAX], PARQUET_BOUND_BYTES);
	assert_false(all.is_lost);
	bounds_octets(&b, longest, PARQUET_BOUND_BYTES + 1);
	bounds_join(&all, PARQUET_BYTES, &b);
	assert_true(all.is_lost);

	bounds_clear(&b);
	bounds_clear(&all);
	bounds_f64(&b, 0.0);
	bounds_f64(&b, -INFINITY);
	assert_true(b.f64[BOUND_MIN] == -INFINITY && b.f64[BOUND_MAX] == 0);
	bounds_f64(&b, NAN);
	assert_true(b.is_lost);
}

static void zeros_are_both_covered(void **state)
{
	struct parquet_bounds b = { 0 };
	struct parquet_buffer out = { 0 };
	struct parquet_thrift t = parquet_thrift_of(&account, &out);

	(void)state;
	bounds_f64(&b, 0.0);
	bounds_write(&t, 1, &b, PARQUET_DOUBLE, 0, 0);
	assert_octets(&out, OCTETS("\x1c\x36\0"
				   "\x28\x08\0\0\0\0\0\0\0\0"
				   "\x18\x08\0\0\0\0\0\0\0\x80"
				   "\x11\x11\0"));
}

/* Schemas. */

static void schemas_that_are_none(void **state)
{
	static const struct {
		const char *why;
		size_t count;
		struct parquet_node nodes[5];
	} cases[] = {
		{ "no nodes", 0, { { 0 } } },
		{ "root without children", 1, { { "schema" } } },
		{ "child is missing", 2, { { "schema", .children = 2 }, { "a" } } },
		{ "one too many", 3, { { "schema", .children = 1 }, { "a" }, { "b" } } },
		{ "text of integers",
		  2,
		  { { "schema", .children = 1 }, { "a", .logical = PARQUET_STRING } } },
		{ "date of 64 bits",
		  2,
		  { { "schema", .children = 1 }, { "a", 0, 0, PARQUET_INT64, PARQUET_DATE } } },
		{ "list that is a column",
		  2,
		  { { "schema", .children = 1 }, { "a", .logical = PARQUET_LIST } } },
		{ "list of nothing repeated",
		  3,
		  { { "schema", .children = 1 },
		    { "a", .children = 1, .logical = PARQUET_LIST },
		    { "b" } } },
		{ "key that may be null",
		  5,
		  { { "schema", .children = 1 },
		    { "a", .children = 1, .logical = PARQUET_MAP },
		    { "kv", PARQUET_REPEATED, .children = 2 },
		    { "k", PARQUET_OPTIONAL },
		    { "v" } } },
		{ "timestamp of a group",
		  3,
		  { { "schema", .children = 1 },
		    { "a", .children = 1, .logical = PARQUET_MS },
		    { "b" } } },
		{ "no such repetition", 2, { { "schema", .children = 1 }, { "a", 3 } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct parquet_schema *s = NULL;
		struct why why = { "" };

		if (parquet_schema_new(cases[i].nodes, cases[i].count, &why, &s) != ERR_CONF)
			fail_msg("%s", cases[i].why);
		assert_null(s);
		assert_true(why.text[0] != '\0');
	}
}

static void levels_of_leaves(void **state)
{
	static const struct parquet_node nodes[] = {
		{ "schema", .children = 3 },
		{ "a", PARQUET_REQUIRED },
		{ "m", PARQUET_OPTIONAL, .children = 1, .logical = PARQUET_MAP },
		{ "key_value", PARQUET_REPEATED, .children = 2 },
		{ "key", PARQUET_REQUIRED, 0, PARQUET_BYTES },
		{ "value", PARQUET_OPTIONAL, .children = 1 },
		{ "x", PARQUET_REPEATED, 0, PARQUET_DOUBLE },
		{ "z", PARQUET_OPTIONAL },
	};
	static const struct {
		const char *path;
		unsigned def;
		unsigned rep;
	} want[] = { { "a", 0, 0 },
		     { "m.key_value.key", 2, 1 },
		     { "m.key_value.value.x", 4, 2 },
		     { "z", 1, 0 } };
	struct parquet_schema *s;
	struct parquet_node deep[PARQUET_DEPTH_MAX + 2];

	(void)state;
	assert_int_equal(parquet_schema_new(nodes, 8, NULL, &s), ERR_OK);
	assert_int_equal(parquet_schema_leaves(s), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(parquet_schema_path(s, i), want[i].path);
		assert_int_equal(parquet_schema_max_def(s, i), want[i].def);
		assert_int_equal(parquet_schema_max_rep(s, i), want[i].rep);
	}
	parquet_schema_free(s);
	for (size_t i = 0; i < PARQUET_DEPTH_MAX + 2; i++)
		deep[i] = (struct parquet_node){ "d", PARQUET_OPTIONAL, .children = 1 };
	deep[PARQUET_DEPTH_MAX].children = 0;
	assert_int_equal(parquet_schema_new(deep, PARQUET_DEPTH_MAX + 1, NULL, &s), ERR_OK);
	assert_int_equal(parquet_schema_max_def(s, 0), PARQUET_DEPTH_MAX);
	parquet_schema_free(s);
	deep[PARQUET_DEPTH_MAX].children = 1;
	deep[PARQUET_DEPTH_MAX + 1].children = 0;
	assert_int_equal(parquet_schema_new(deep, PARQUET_DEPTH_MAX + 2, NULL, &s), ERR_LIMIT);
}

/* Files of few columns. */

struct rig {
	struct parquet_schema *schema;
	struct parquet *p;
	struct file_out out;
};

static void rig_open(struct rig *r, const struct parquet_node *nodes, size_t count,
		     const struct parquet_conf *conf)
{
	memset(r, 0, sizeof(*r));
	r->out.fd = memfd_create("parquet", MFD_CLOEXEC);
	assert_true(r->out.fd >= 0);
	assert_int_equal(parquet_schema_new(nodes, count, NULL, &r->schema), ERR_OK);
	assert_int_equal(parquet_new(r->schema, conf, &r->p), ERR_OK);
	assert_int_equal(parquet_open(r->p, &r->out), ERR_OK);
}

static void rig_close(struct rig *r)
{
	parquet_free(r->p);
	parquet_schema_free(r->schema);
	(void)close(r->out.fd);
}

static const struct parquet_node one_i64[] = { { "schema", .children = 1 },
					       { "a", PARQUET_OPTIONAL, 0, PARQUET_INT64 } };
static const struct parquet_node one_octets[] = { { "schema", .children = 1 },
						  { "a", PARQUET_OPTIONAL, 0, PARQUET_BYTES } };

/* What waits in the batch counts too. */
static unsigned mode(const struct rig *r)
{
	batch_drain(r->p);
	return r->p->columns[0].mode;
}

static uint32_t pages(const struct rig *r, enum encoding e)
{
	batch_drain(r->p);
	return r->p->columns[0].body->page_counts[e];
}

static void put_numbers(struct rig *r, unsigned rows, uint64_t distinct)
{
	for (unsigned i = 0; i < rows; i++) {
		parquet_put_i64(r->p, 0, (int64_t)(roll() % distinct * 0x123456789));
		assert_int_equal(parquet_row(r->p), ERR_OK);
	}
}

static void few_values_stay_in_the_dictionary(void **state)
{
	struct parquet_conf conf = { .page_rows = 5000 };
	struct rig r;

	(void)state;
	rig_open(&r, one_i64, 2, &conf);
	put_numbers(&r, 20001, 100);
	assert_int_equal(mode(&r), COLUMN_DICT);
	assert_int_equal(pages(&r, ENCODING_RLE_DICTIONARY), 4);
	assert_int_equal(pages(&r, ENCODING_DELTA_BINARY_PACKED), 0);
	rig_close(&r);
}

static void many_values_leave_it_before_a_page_is_written(void **state)
{
	struct parquet_conf conf = { .page_rows = 5000, .group_rows = 6000 };
	struct rig r;
	unsigned tried = 0;

	(void)state;
	rig_open(&r, one_i64, 2, &conf);
	put_numbers(&r, 4095, UINT32_MAX);
	assert_int_equal(mode(&r), COLUMN_DICT);
	put_numbers(&r, 2, UINT32_MAX);
	assert_int_equal(mode(&r), COLUMN_DIRECT);
	assert_int_equal(r.p->columns[0].body->dict.slots.room, 0);
	/* Tried again with the eighth group after it, then the sixteenth, also over the next file. */
	put_numbers(&r, 6000 - 4097, UINT32_MAX);
	for (unsigned group = 1; group <= 26; group++) {
		bool is_dict;

		if (group == 5) {
			assert_int_equal(parquet_finish(r.p, NULL, 0), ERR_OK);
			parquet_reset(r.p);
			assert_int_equal(parquet_open(r.p, &r.out), ERR_OK);
		}
		is_dict = mode(&r) == COLUMN_DICT;
		tried += is_dict;
		assert_int_equal(is_dict, group == 8 || group == 24);
		put_numbers(&r, 6000, UINT32_MAX);
	}
	assert_int_equal(tried, 2);
	rig_close(&r);
}

static void late_values_end_it_for_later_pages(void **state)
{
	struct parquet_conf conf = { .page_rows = 5000 };
	struct rig r;

	(void)state;
	rig_open(&r, one_i64, 2, &conf);
	put_numbers(&r, 5000, 10);
	put_numbers(&r, 5000, UINT32_MAX); /* this page has more new values than half of its rows */
	put_numbers(&r, 5001, UINT32_MAX);
	assert_int_equal(mode(&r), COLUMN_DIRECT);
	assert_int_equal(pages(&r, ENCODING_RLE_DICTIONARY), 2);
	assert_int_equal(pages(&r, ENCODING_DELTA_BINARY_PACKED), 1);
	/* It had paid: the next group begins with one. */
	assert_int_equal(parquet_flush(r.p), ERR_OK);
	put_numbers(&r, 1, 1);
	assert_int_equal(mode(&r), COLUMN_DICT);
	rig_close(&r);
}

static void a_full_dictionary_ends_in_the_middle_of_a_page(void **state)
{
	struct parquet_conf conf = { .page_rows = 5000, .fallback = PARQUET_PLAIN };
	static uint8_t big[600000];
	struct rig r;

	(void)state;
	rig_open(&r, one_octets, 2, &conf);
	for (unsigned i = 0; i < 5003; i++) {
		big[0] = i < 5001 ? 1 : (uint8_t)i;
		parquet_put_octets(r.p, 0, big, i < 5001 ? 9 : sizeof(big));
		assert_int_equal(parquet_row(r.p), ERR_OK);
	}
	assert_int_equal(mode(&r), COLUMN_DIRECT);
	parquet_put_octets(r.p, 0, "x", 1); /* behind more than a mebibyte: a page of its own */
	assert_int_equal(parquet_row(r.p), ERR_OK);
	assert_int_equal(pages(&r, ENCODING_RLE_DICTIONARY), 1);
	assert_int_equal(pages(&r, ENCODING_PLAIN), 1);
	rig_close(&r);
}

/* What a dictionary holds once may come a hundred thousand times: a page that is written anew without one has to
 * stay small even then. */
static void a_page_is_small_without_its_dictionary(void **state)
{
	struct parquet_conf conf = { .page_rows = 20000 };
	static uint8_t big[60000];
	struct rig r;

	(void)state;
	for (unsigned distinct = 1; distinct <= 16; distinct += 15) {
		size_t most = 0;

		rig_open(&r, one_octets, 2, &conf);
		for (unsigned i = 0; i < 18100; i++) {
			memset(big, (int)(i < 18000 ? i % distinct : 100 + i % 100), 8);
			parquet_put_octets(r.p, 0, big, sizeof(big));
			assert_int_equal(parquet_row(r.p), ERR_OK);
			if (parquet_memory(r.p) > most)
				most = parquet_memory(r.p);
		}
		assert_in_range(most, 1, 64 << 20);
		assert_int_equal(parquet_finish(r.p, NULL, 0), ERR_OK);
		rig_close(&r);
	}
}

static void a_page_of_lists_is_small_without_its_dictionary(void **state)
{
	static const struct parquet_node list[] = { { "schema", .children = 1 },
						    { "a", PARQUET_REPEATED, 0, PARQUET_INT64 } };
	struct parquet_conf conf = { .fallback = PARQUET_PLAIN };
	struct rig r;

	(void)state;
	rig_open(&r, list, 2, &conf);
	for (unsigned i = 0; i < 5000; i++) {
		for (unsigned k = 0; k < 5000; k++)
			parquet_put_i64_at(r.p, 0, k > 0, 1, 1);
		assert_int_equal(parquet_row(r.p), ERR_OK);
	}
	for (int64_t i = 0; i < 70000; i++) {
		parquet_put_i64_at(r.p, 0, i > 0, 1, i);
		if (i % 1000 == 0)
			assert_in_range(parquet_memory(r.p), 1, 64 << 20);
	}
	assert_int_equal(parquet_row(r.p), ERR_OK);
	assert_int_equal(mode(&r), COLUMN_DIRECT);
	assert_int_equal(parquet_finish(r.p, NULL, 0), ERR_OK);
	rig_close(&r);
}

static void a_column_of_nulls_holds_nothing(void **state)
{
	static struct parquet_node nodes[264] = { { "schema", .children = 263 } };
	struct parquet_conf conf = { 0 };
	struct rig r;
	size_t empty;
	size_t one;

	(void)state;
	for (size_t i = 1; i < 264; i++)
		nodes[i] = (struct parquet_node){ "column", PARQUET_OPTIONAL, 0, PARQUET_BYTES,
						  PARQUET_STRING };
	rig_open(&r, nodes, 264, &conf);
	empty = parquet_memory(r.p);
	assert_true(empty < 200000); /* the places of a batch, for the most part */
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(parquet_row(r.p), ERR_OK);
	assert_int_equal(parquet_memory(r.p), empty);
	parquet_put_octets(r.p, 7, "value", 5);
	one = parquet_memory(r.p);
	assert_true(one > empty && one - empty < 4096);
	assert_int_equal(parquet_row(r.p), ERR_OK);
	assert_int_equal(parquet_finish(r.p, NULL, 0), ERR_OK);
	assert_int_equal(parquet_rows(r.p), 100001);
	assert_true(r.out.bytes < 263 * 160); /* pages and their entries in the footer */
	rig_close(&r);
}

static void memory_is_given_back(void **state)
{
	struct parquet_conf conf = { .group_bytes = 1 << 20 };
	static uint8_t big[5 << 20];
	struct rig r;
	size_t empty;

	(void)state;
	rig_open(&r, one_octets, 2, &conf);
	empty = parquet_memory(r.p);
	for (unsigned i = 0; i < 3; i++) {
		big[0] = (uint8_t)i;
		parquet_put_octets(r.p, 0, big, sizeof(big));
		assert_int_equal(parquet_row(r.p), ERR_OK);
		assert_int_equal(r.p->groups_count, i + 1); /* such a value is a group */
	}
	put_numbers(&r, 0, 1);
	assert_true(parquet_memory(r.p) > empty);
	assert_int_equal(parquet_flush(r.p), ERR_OK);
	/* What stays is the bench, and the footer's entries. */
	assert_int_equal(r.p->account.bytes, r.p->groups.room);
	assert_int_equal(parquet_flush(r.p), ERR_OK);
	assert_int_equal(r.p->groups_count, 3);
	rig_close(&r);
}

/* What the last group left in buffers is not part of the next. */
static void a_group_starts_from_nothing(void **state)
{
	struct parquet_conf conf = { .group_rows = 30000, .group_bytes = 1 << 20 };
	struct rig r;

	(void)state;
	rig_open(&r, one_i64, 2, &conf);
	for (unsigned group = 0; group < 3; group++) {
		put_numbers(&r, 29999, 6000);
		assert_int_equal(r.p->groups_count, group);
		assert_true(column_used(&r.p->columns[0]) > 100000);
		put_numbers(&r, 1, 6000);
		assert_int_equal(r.p->groups_count, group + 1);
		assert_int_equal(column_used(&r.p->columns[0]), 0);
	}
	rig_close(&r);
}

static void a_shared_bench(void **state)
{
	struct parquet_conf conf = { .codec = PARQUET_ZSTD };
	struct parquet_bench *bench;
	struct rig r[2];

	(void)state;
	assert_int_equal(parquet_bench_new(&bench), ERR_OK);
	conf.bench = bench;
	for (unsigned i = 0; i < 2; i++)
		rig_open(&r[i], one_i64, 2, &conf);
	for (unsigned i = 0; i < 2; i++)
		put_numbers(&r[i], 10000, 100);
	assert_int_equal(parquet_finish(r[0].p, NULL, 0), ERR_OK);
	assert_int_equal(parquet_finish(r[1].p, NULL, 0), ERR_OK);
	assert_true(parquet_bench_memory(bench) > 100000);
	assert_true(parquet_memory(r[0].p) < 200000);
	rig_close(&r[0]);
	rig_close(&r[1]);
	parquet_bench_free(bench);
}

/* After a write that failed the object starts again, and the next file is as good as any. */
static void write_errors(void **state)
{
	struct parquet_conf conf = { .codec = PARQUET_SNAPPY, .group_rows = 1000 };
	struct parquet_meta meta = { "key", "value" };
	struct file_out full = { .fd = open("/dev/full", O_WRONLY | O_CLOEXEC) };
	struct rig r;
	uint64_t bytes;

	(void)state;
	assert_true(full.fd >= 0);
	rig_open(&r, one_i64, 2, &conf);
	for (int64_t i = 0; i < 2500; i++) {
		parquet_put_i64(r.p, 0, i);
		assert_int_equal(parquet_row(r.p), ERR_OK);
	}
	assert_int_equal(parquet_finish(r.p, &meta, 1), ERR_OK);
	bytes = r.out.bytes;
	parquet_reset(r.p);
	assert_int_equal(parquet_open(r.p, &full), ERR_IO);
	parquet_reset(r.p);
	assert_int_equal(parquet_open(r.p, &r.out), ERR_OK);
	r.p->out = &full;
	for (int64_t i = 0; i < 999; i++) {
		parquet_put_i64(r.p, 0, i);
		assert_int_equal(parquet_row(r.p), ERR_OK);
	}
	parquet_put_i64(r.p, 0, 7);
	errno = 0;
	assert_int_equal(parquet_row(r.p), ERR_IO);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(parquet_row(r.p), ERR_IO);
	assert_int_equal(parquet_finish(r.p, NULL, 0), ERR_IO);
	parquet_reset(r.p);
	r.out.bytes = 0;
	assert_int_equal(parquet_open(r.p, &r.out), ERR_OK);
	/* What was known of the column may have changed: the octets need not be the same. */
	for (int64_t i = 0; i < 2500; i++) {
		parquet_put_i64(r.p, 0, i);
		assert_int_equal(parquet_row(r.p), ERR_OK);
	}
	assert_int_equal(parquet_finish(r.p, &meta, 1), ERR_OK);
	assert_true(r.out.bytes > bytes * 9 / 10 && r.out.bytes < bytes * 11 / 10);
	rig_close(&r);
	(void)close(full.fd);
}

/* The smallest file there is, octet by octet but for the version in it. */
static void an_empty_file(void **state)
{
	struct parquet_conf conf = { 0 };
	char want[256];
	char got[256];
	int bytes;
	struct rig r;

	(void)state;
	rig_open(&r, one_octets, 2, &conf);
	assert_int_equal(parquet_finish(r.p, NULL, 0), ERR_OK);
	bytes = snprintf(want, sizeof(want), "sluice version %s", SLUICE_VERSION);
	assert_int_equal(pread(r.out.fd, got, sizeof(got), 0), r.out.bytes);
	assert_memory_equal(got,
			    "PAR1"
			    "\x15\x04"
			    "\x19\x2c"
			    "\x48\x06schema\x15\x02\0"
			    "\x15\x0c\x25\x02\x18\x01"
			    "a\0"
			    "\x16\0"
			    "\x19\x0c"
			    "\x28",
			    32);
	assert_int_equal(got[32], bytes);
	assert_memory_equal(got + 33, want, bytes);
	assert_memory_equal(got + 33 + bytes, "\x19\x1c\x1c\0\0\0", 6);
	assert_int_equal(got[33 + bytes + 6], 33 + bytes + 6 - 4);
	assert_memory_equal(got + 33 + bytes + 7, "\0\0\0PAR1", 7);
	assert_int_equal(r.out.bytes, 33 + bytes + 14);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thrift),
		cmocka_unit_test(hybrid_examples),
		cmocka_unit_test(hybrid_random),
		cmocka_unit_test(booleans),
		cmocka_unit_test(delta_examples),
		cmocka_unit_test(delta_random),
		cmocka_unit_test(dictionary_finds),
		cmocka_unit_test(dictionary_is_bounded),
		cmocka_unit_test(bounds),
		cmocka_unit_test(zeros_are_both_covered),
		cmocka_unit_test(schemas_that_are_none),
		cmocka_unit_test(levels_of_leaves),
		cmocka_unit_test(few_values_stay_in_the_dictionary),
		cmocka_unit_test(many_values_leave_it_before_a_page_is_written),
		cmocka_unit_test(late_values_end_it_for_later_pages),
		cmocka_unit_test(a_full_dictionary_ends_in_the_middle_of_a_page),
		cmocka_unit_test(a_page_is_small_without_its_dictionary),
		cmocka_unit_test(a_page_of_lists_is_small_without_its_dictionary),
		cmocka_unit_test(a_column_of_nulls_holds_nothing),
		cmocka_unit_test(memory_is_given_back),
		cmocka_unit_test(a_group_starts_from_nothing),
		cmocka_unit_test(a_shared_bench),
		cmocka_unit_test(write_errors),
		cmocka_unit_test(an_empty_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
