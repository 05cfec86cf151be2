/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: records wait unchanged behind their prefix until the last report, memory stays below its limit
 * and comes back.
 * Method: frames' pieces of many sizes, released in order, backwards and at random, each record's
 * octets compared when it goes; limits and large records by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sink/kafka_slab.h"

static uint64_t seed = 7;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

/* A record as it stands in a frame; returns its octets, without padding. */
static size_t record_put(uint8_t *at, uint32_t bytes, uint32_t number)
{
	struct log_head head = { .bytes = bytes, .exporter = number, .ingest_ms = number * 3 };

	memcpy(at, &head, sizeof(head));
	memset(at + sizeof(head), (int)(number & 0xff), bytes);
	return sizeof(head) + bytes;
}

static void record_check(struct kafka_msg *m)
{
	static const uint8_t prefix[KAFKA_PREFIX_BYTES] = { 0, 0x12, 0x34, 0x56, 0x78 };
	const uint8_t *value = kafka_msg_value(m);

	assert_memory_equal(value, prefix, sizeof(prefix));
	assert_int_equal(m->time_ms, m->exporter * 3);
	for (uint32_t i = KAFKA_PREFIX_BYTES; i < m->bytes; i++)
		assert_int_equal(value[i], m->exporter & 0xff);
}

#define MESSAGES 3000

static void through(uint32_t (*choose)(uint32_t count))
{
	static struct kafka_msg *live[MESSAGES];
	static uint8_t frame[1 << 16];
	struct kafka_slabs s;
	uint32_t count = 0;
	uint32_t number = 0;

	kafka_slabs_init(&s, 8u << 20);
	for (int round = 0; round < 3000; round++) {
		size_t offsets[16];
		uint32_t records = random_below(16) + 1;
		size_t used = 0;
		uint32_t first = number;
		uint8_t *octets;

		for (uint32_t i = 0; i < records; i++) {
			offsets[i] = used;
			used += record_put(frame + used, random_below(2000), number++);
			used += -used & 7;
		}
		octets = count + records > MESSAGES ? NULL : kafka_slab_put(&s, frame, used);
		assert_true(s.bytes <= s.bytes_max + KAFKA_SLAB_BYTES);
		for (uint32_t i = 0; octets != NULL && i < records; i++) {
			struct kafka_msg *m = kafka_slab_msg(&s, octets + offsets[i], 0x12345678);

			assert_int_equal(m->exporter, first + i);
			assert_int_equal((uintptr_t)m % 8, 0);
			live[count++] = m;
		}
		for (uint32_t n = random_below(octets == NULL ? count : 16); n > 0 && count > 0; n--) {
			uint32_t i = choose(count);

			record_check(live[i]);
			kafka_slab_release(&s, live[i]);
			memmove(&live[i], &live[i + 1], (count - i - 1) * sizeof(live[0]));
			count--;
		}
	}
	while (count > 0) {
		record_check(live[--count]);
		kafka_slab_release(&s, live[count]);
	}
	assert_true(s.bytes <= KAFKA_SLAB_BYTES);
	kafka_slabs_fini(&s);
	assert_int_equal(s.bytes, 0);
}

static uint32_t oldest(uint32_t count)
{
	(void)count;
	return 0;
}

static uint32_t newest(uint32_t count)
{
	return count - 1;
}

static void in_order(void **state)
{
	(void)state;
	through(oldest);
}

static void backwards(void **state)
{
	(void)state;
	through(newest);
}

static void at_random(void **state)
{
	(void)state;
	through(random_below);
}

static void limits(void **state)
{
	uint8_t *frame = malloc(16u << 20);
	struct kafka_msg *m[8];
	struct kafka_slabs s;
	uint8_t *octets;
	size_t big;

	(void)state;
	assert_non_null(frame);
	big = record_put(frame, (16u << 20) - 1000, 9);
	kafka_slabs_init(&s, 4u << 20);
	/* Larger than a slab, larger than the limit: one passes, and then nothing until it went. */
	octets = kafka_slab_put(&s, frame, big);
	assert_non_null(octets);
	m[0] = kafka_slab_msg(&s, octets, 0x12345678);
	record_check(m[0]);
	assert_null(kafka_slab_put(&s, frame, big));
	kafka_slab_release(&s, m[0]);
	assert_int_equal(s.bytes, 0);
	/* Behind a slab that holds nothing any more. */
	octets = kafka_slab_put(&s, frame, 1000);
	assert_non_null(octets);
	octets = kafka_slab_put(&s, frame, big);
	assert_non_null(octets);
	m[0] = kafka_slab_msg(&s, octets, 0x12345678);
	kafka_slab_release(&s, m[0]);
	/* Four slabs of a megabyte, and no fifth. */
	(void)record_put(frame, KAFKA_SLAB_BYTES - 100, 9);
	for (int i = 0; i < 4; i++) {
		octets = kafka_slab_put(&s, frame, KAFKA_SLAB_BYTES - 52);
		assert_non_null(octets);
		m[i] = kafka_slab_msg(&s, octets, 0x12345678);
	}
	assert_null(kafka_slab_put(&s, frame, KAFKA_SLAB_BYTES - 52));
	kafka_slab_release(&s, m[1]);
	octets = kafka_slab_put(&s, frame, KAFKA_SLAB_BYTES - 52);
	assert_non_null(octets);
	assert_int_equal(s.bytes, 4u << 20);
	kafka_slabs_clear(&s);
	assert_int_equal(s.bytes, 0);
	assert_non_null(kafka_slab_put(&s, frame, 100));
	kafka_slabs_fini(&s);
	free(frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(backwards),
		cmocka_unit_test(at_random),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
