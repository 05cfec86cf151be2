/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/kafka_partition.h"

#include <string.h>

#include "base/must.h"

#define SEED 0x9747b28cu
#define MULTIPLIER 0x5bd1e995u

/* Words are read as little-endian on every machine, as the Java client does. */
static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t kafka_murmur2(const void *octets, size_t count)
{
	const uint8_t *p = octets;
	uint32_t h = SEED ^ (uint32_t)count;
	uint32_t tail = 0;

	for (; count >= 4; count -= 4, p += 4) {
		uint32_t k = le32(p) * MULTIPLIER;

		h = h * MULTIPLIER ^ (k ^ k >> 24) * MULTIPLIER;
	}
	for (size_t i = count; i > 0; i--)
		tail = tail << 8 | p[i - 1];
	if (count > 0)
		h = (h ^ tail) * MULTIPLIER;
	h = (h ^ h >> 13) * MULTIPLIER;
	return h ^ h >> 15;
}

int32_t kafka_partition(const void *key, size_t key_bytes, int32_t partition_count)
{
	must(partition_count > 0);
	return (int32_t)((kafka_murmur2(key, key_bytes) & 0x7fffffffu) % (uint32_t)partition_count);
}
