/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the messages of a stream come out whole, once and in order, wherever the stream is cut; and where none begins
 * it ends, as soon as that can be seen.
 * Method: streams of messages of all kinds of lengths, cut once and twice at every octet, and into single octets; what is
 * kept lies in memory of its own size, so that a sanitizer sees reading behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "collector/framer.h"

#define SPACE_BYTES (2 * FRAMER_MESSAGE_MAX)
#define COUNT_MAX 16

struct seen {
	const uint8_t *stream; /* messages must be its octets, in order */
	size_t at;
	size_t count;
	size_t stop_after; /* 0: never */
	uint32_t lengths[COUNT_MAX];
};

static uint8_t stream[4 * FRAMER_MESSAGE_MAX];
static uint8_t space[SPACE_BYTES];

static bool see(void *ctx, const uint8_t *octets, size_t bytes)
{
	struct seen *s = ctx;

	assert_memory_equal(octets, s->stream + s->at, bytes);
	s->at += bytes;
	assert_true(s->count < COUNT_MAX);
	s->lengths[s->count++] = (uint32_t)bytes;
	return s->stop_after == 0 || s->count < s->stop_after;
}

/* A message whose every octet depends on where it stands. */
static size_t put_message(size_t at, uint16_t version, uint16_t length)
{
	uint8_t *m = stream + at;

	for (size_t i = 0; i < length || i < 4; i++)
		m[i] = (uint8_t)(at + i * 7);
	m[0] = (uint8_t)(version >> 8);
	m[1] = (uint8_t)version;
	m[2] = (uint8_t)(length >> 8);
	m[3] = (uint8_t)length;
	return at + (length < 4 ? 4 : length);
}

static size_t put_messages(const uint16_t *lengths, size_t count)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++)
		at = put_message(at, 10, lengths[i]);
	return at;
}

/* Octets from..to of the stream arrive. */
static enum framer_end arrive(struct framer *f, struct seen *s, size_t from, size_t to)
{
	size_t kept = framer_begin(f, space);

	must(kept + (to - from) <= sizeof(space));
	memcpy(space + kept, stream + from, to - from);
	return framer_take(f, space, kept + (to - from), see, s);
}

static void check_all(const struct seen *s, const uint16_t *lengths, size_t count)
{
	assert_int_equal(s->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(s->lengths[i], lengths[i]);
}

static void test_cut_everywhere(void **state)
{
	static const uint16_t lengths[] = { 16, 17, 16, 200, 31, 16 };
	size_t bytes = put_messages(lengths, 6);

	(void)state;
	for (size_t a = 0; a <= bytes; a++) {
		for (size_t b = a; b <= bytes; b++) {
			struct framer f = { 0 };
			struct seen s = { .stream = stream };

			assert_int_equal(arrive(&f, &s, 0, a), FRAMER_MORE);
			assert_int_equal(framer_is_amid(&f), s.at < a);
			assert_int_equal(arrive(&f, &s, a, b), FRAMER_MORE);
			assert_int_equal(arrive(&f, &s, b, bytes), FRAMER_MORE);
			assert_false(framer_is_amid(&f));
			check_all(&s, lengths, 6);
			framer_fini(&f);
		}
	}
}

static void test_single_octets(void **state)
{
	static const uint16_t lengths[] = { 65535, 16, 3000 };
	size_t bytes = put_messages(lengths, 3);
	struct framer f = { 0 };
	struct seen s = { .stream = stream };

	(void)state;
	for (size_t i = 0; i < bytes; i++) {
		assert_int_equal(arrive(&f, &s, i, i + 1), FRAMER_MORE);
		assert_true(f.room <= FRAMER_MESSAGE_MAX);
	}
	check_all(&s, lengths, 3);
	framer_trim(&f);
	assert_null(f.octets);
	framer_fini(&f);
}

/* A message of many octets is not waited for with as many from the start. */
static void test_memory_grows(void **state)
{
	static const uint16_t lengths[] = { 65535 };
	struct framer f = { 0 };
	struct seen s = { .stream = stream };

	(void)state;
	(void)put_messages(lengths, 1);
	assert_int_equal(arrive(&f, &s, 0, 16), FRAMER_MORE);
	assert_true(f.room <= 2048);
	framer_trim(&f); /* not what is needed */
	assert_int_equal(f.bytes, 16);
	assert_int_equal(arrive(&f, &s, 16, 5000), FRAMER_MORE);
	assert_true(f.room < 16384);
	framer_fini(&f);
}

static const struct {
	const char *name;
	uint16_t version;
	uint16_t length;
	enum framer_end end;
	size_t seen_at; /* octets of its header after which it must be known */
} wrong[] = {
	{ "NetFlow v9", 9, 100, FRAMER_VERSION, 2 },
	{ "no version", 0, 100, FRAMER_VERSION, 2 },
	{ "HTTP", 0x4745, 0x5420, FRAMER_VERSION, 2 },
	{ "TLS", 0x1603, 0x0100, FRAMER_VERSION, 2 },
	{ "length 0", 10, 0, FRAMER_LENGTH, 4 },
	{ "length 15", 10, 15, FRAMER_LENGTH, 4 },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t row = 0; row < sizeof(wrong) / sizeof(wrong[0]); row++) {
		size_t good = put_message(0, 10, 20);

		(void)put_message(good, wrong[row].version, wrong[row].length);
		for (size_t octets = 0; octets <= 8; octets++) {
			struct framer f = { 0 };
			struct seen s = { .stream = stream };
			enum framer_end end = arrive(&f, &s, 0, good + octets);

			/* What came before it is good. */
			assert_int_equal(s.count, 1);
			assert_int_equal(end, octets >= wrong[row].seen_at ? wrong[row].end
									   : FRAMER_MORE);
			framer_fini(&f);
		}
	}
}

static void test_stopped(void **state)
{
	static const uint16_t lengths[] = { 16, 16, 16 };
	size_t bytes = put_messages(lengths, 3);
	struct framer f = { 0 };
	struct seen s = { .stream = stream, .stop_after = 2 };

	(void)state;
	assert_int_equal(arrive(&f, &s, 0, bytes), FRAMER_STOPPED);
	assert_int_equal(s.count, 2);
	assert_false(framer_is_amid(&f));
	framer_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_everywhere), cmocka_unit_test(test_single_octets),
		cmocka_unit_test(test_memory_grows),   cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
