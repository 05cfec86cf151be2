/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: keys hash and spread over partitions as with Kafka's Java clients.
 * Method: the vectors that the Java client's own tests pin for murmur2, and random keys
 * of up to 64 octets against the Java definition, written out again here in signed 64-bit arithmetic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sink/kafka_partition.h"

static const struct vector {
	const char *key;
	int32_t hash; /* as Java prints it */
} vectors[] = {
	{ "21", -973932308 },
	{ "foobar", -790332482 },
	{ "a-little-bit-long-string", -985981536 },
	{ "a-little-bit-longer-string", -1486304829 },
	{ "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
	{ "abc", 479470107 },
};

static void java_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];

		assert_int_equal((int32_t)kafka_murmur2(v->key, strlen(v->key)), v->hash);
	}
}

/* Java's definition, step by step in wide signed numbers cut to 32 bits: nothing shared with ours. */
static int64_t cut(int64_t v)
{
	return (int64_t)(int32_t)(uint32_t)(uint64_t)v;
}

static int64_t shifted(int64_t v, int bits)
{
	return (v & 0xffffffff) / (1ll << bits);
}

static int32_t java_murmur2(const uint8_t *data, int length)
{
	const int64_t m = 0x5bd1e995;
	int64_t h = cut(0x9747b28cll ^ length);
	int words = length / 4;

	for (int i = 0; i < words; i++) {
		int64_t k = cut(data[i * 4] + data[i * 4 + 1] * 256ll + data[i * 4 + 2] * 65536ll +
				data[i * 4 + 3] * 16777216ll);

		k = cut(k * m);
		k = cut(k ^ shifted(k, 24));
		k = cut(k * m);
		h = cut(h * m);
		h = cut(h ^ k);
	}
	switch (length % 4) {
	case 3:
		h = cut(h ^ data[words * 4 + 2] * 65536ll);
		__attribute__((fallthrough));
	case 2:
		h = cut(h ^ data[words * 4 + 1] * 256ll);
		__attribute__((fallthrough));
	case 1:
		h = cut(h ^ data[words * 4]);
		h = cut(h * m);
		break;
	default:
		break;
	}
	h = cut(h ^ shifted(h, 13));
	h = cut(h * m);
	return (int32_t)cut(h ^ shifted(h, 15));
}

static void every_length(void **state)
{
	uint8_t key[64];
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(key); i++) {
			random = random * 1664525u + 1013904223u;
			key[i] = (uint8_t)(random >> 24);
		}
		for (int n = 0; n <= (int)sizeof(key); n++)
			assert_int_equal((int32_t)kafka_murmur2(key, (size_t)n),
					 java_murmur2(key, n));
	}
}

static void partitions(void **state)
{
	(void)state;
	/* toPositive(hash) % count; -973932308 & 0x7fffffff = 1173551340. */
	assert_int_equal(kafka_partition("21", 2, 1), 0);
	assert_int_equal(kafka_partition("21", 2, 7), 1173551340 % 7);
	assert_int_equal(kafka_partition("21", 2, 1000), 340);
	assert_int_equal(kafka_partition("abc", 3, 10), 7);
	assert_int_equal(kafka_partition("", 0, INT32_MAX),
			 (java_murmur2((const uint8_t *)"", 0) & 0x7fffffff) % INT32_MAX);
}

static void spread(void **state)
{
	unsigned counts[12] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 12000; i++) {
		char key[32];
		int n = snprintf(key, sizeof(key), "192.0.%u.%u", i / 256, i % 256);

		counts[kafka_partition(key, (size_t)n, 12)]++;
	}
	for (unsigned i = 0; i < 12; i++)
		assert_in_range(counts[i], 850, 1150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(java_vectors),
		cmocka_unit_test(every_length),
		cmocka_unit_test(partitions),
		cmocka_unit_test(spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
