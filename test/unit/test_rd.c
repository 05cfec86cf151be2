/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the reader and the writer never touch an octet outside their bounds, say so when they
 * were asked to, and agree with each other and with big endian arithmetic.
 * Method: one script of reads run over memory of every length up to its own, in blocks of
 * exactly that size so that a sanitizer sees one octet too far; every width of integer against
 * arithmetic by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "base/rd.h"
#include "base/wr.h"

#define SCRIPT_BYTES (1 + 2 + 4 + 8 + 3 + 5 + 2)

static uint64_t by_hand(const uint8_t *p, size_t count)
{
	uint64_t v = 0;

	for (size_t i = 0; i < count; i++)
		v = v * 256 + p[i];
	return v;
}

static void integers(void **state)
{
	uint8_t octets[9];

	(void)state;
	srand(3);
	for (int round = 0; round < 1000; round++) {
		for (size_t i = 0; i < sizeof(octets); i++)
			octets[i] = (uint8_t)rand();
		assert_true(be16(octets + 1) == by_hand(octets + 1, 2));
		assert_true(be32(octets + 1) == by_hand(octets + 1, 4));
		assert_true(be64(octets + 1) == by_hand(octets + 1, 8));
		for (size_t count = 0; count <= 8; count++)
			assert_true(be_uint(octets + 1, count) == by_hand(octets + 1, count));
	}
}

struct script {
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	uint16_t in_sub;
	uint16_t last;
	bool is_short;
	bool is_sub_short;
	size_t left;
};

/* 1, 2, 4, 8, 3 passed over, 5 in a reader of their own, 2. */
static struct script run_script(const uint8_t *octets, size_t count)
{
	struct rd r = rd_of(octets, count);
	struct script s;
	struct rd sub;

	s.u8 = rd_u8(&r);
	s.u16 = rd_u16(&r);
	s.u32 = rd_u32(&r);
	s.u64 = rd_u64(&r);
	rd_skip(&r, 3);
	sub = rd_sub(&r, 5);
	s.in_sub = rd_u16(&sub);
	s.is_sub_short = sub.is_short;
	s.last = rd_u16(&r);
	s.is_short = r.is_short;
	s.left = rd_left(&r);
	return s;
}

static void every_cut(void **state)
{
	uint8_t whole[SCRIPT_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(whole); i++)
		whole[i] = (uint8_t)(0x81 + i);
	for (size_t count = 0; count <= sizeof(whole); count++) {
		uint8_t *exact = malloc(count == 0 ? 1 : count);
		struct script s;

		memcpy(exact, whole, count);
		s = run_script(exact, count);
		free(exact);
		assert_int_equal(s.is_short, count < SCRIPT_BYTES);
		assert_int_equal(s.is_sub_short, count < SCRIPT_BYTES - 2);
		assert_int_equal(s.u8, count < 1 ? 0 : 0x81);
		assert_int_equal(s.u16, count < 3 ? 0 : 0x8283);
		assert_true(s.u32 == (count < 7 ? 0 : 0x84858687));
		assert_true(s.u64 == (count < 15 ? 0 : 0x88898a8b8c8d8e8f));
		assert_int_equal(s.in_sub, count < 23 ? 0 : 0x9394);
		assert_int_equal(s.last, count < 25 ? 0 : 0x9899);
		assert_int_equal(s.left, count <= SCRIPT_BYTES ? 0 : count - SCRIPT_BYTES);
	}
}

/* A reader that came up short stays so and gives nothing more, even what would fit. */
static void short_stays_short(void **state)
{
	static const uint8_t octets[4] = { 1, 2, 3, 4 };
	struct rd r = rd_of(octets, sizeof(octets));

	(void)state;
	assert_null(rd_take(&r, 5));
	assert_true(r.is_short);
	assert_int_equal(rd_u8(&r), 0);
	assert_int_equal(rd_left(&r), 0);
	r = rd_of(octets, sizeof(octets));
	assert_null(rd_take(&r, SIZE_MAX));
	assert_true(r.is_short);
	r = rd_of(octets, sizeof(octets));
	assert_ptr_equal(rd_take(&r, 4), octets);
	assert_non_null(rd_take(&r, 0));
	assert_false(r.is_short);
}

static size_t write_script(struct wr *w)
{
	wr_u8(w, 0x81);
	wr_u16(w, 0x8283);
	wr_u32(w, 0x84858687);
	wr_u64(w, 0x88898a8b8c8d8e8f);
	wr_bytes(w, "abc", 3);
	wr_bytes(w, NULL, 0);
	return wr_used(w);
}

static void writer_at_every_room(void **state)
{
	static const uint8_t wanted[18] = { 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
					    0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 'a',  'b',  'c' };
	static const size_t ends[] = { 0, 1, 3, 7, 15, 18 };

	(void)state;
	for (size_t room = 0; room <= sizeof(wanted) + 2; room++) {
		uint8_t *exact = malloc(room == 0 ? 1 : room);
		struct wr w;
		size_t used;
		size_t whole = 0;

		must(exact != NULL);
		w = wr_of(exact, room);
		used = write_script(&w);
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			whole = ends[i] <= room ? ends[i] : whole;
		assert_int_equal(used, whole);
		assert_memory_equal(exact, wanted, used);
		assert_int_equal(w.is_full, room < sizeof(wanted));
		free(exact);
	}
}

/* Once full, what is smaller and would fit is not written either: no hole in the middle. */
static void full_stays_full(void **state)
{
	uint8_t octets[3] = { 9, 9, 9 };
	struct wr w = wr_of(octets, sizeof(octets));

	(void)state;
	wr_u32(&w, 1);
	wr_u8(&w, 1);
	assert_true(w.is_full);
	assert_int_equal(wr_used(&w), 0);
	assert_int_equal(octets[0], 9);
	w = wr_of(octets, sizeof(octets));
	assert_null(wr_take(&w, SIZE_MAX));
	assert_true(w.is_full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),	     cmocka_unit_test(every_cut),
		cmocka_unit_test(short_stays_short), cmocka_unit_test(writer_at_every_room),
		cmocka_unit_test(full_stays_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
