/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_partition.h - which partition a key belongs to, the way Java's default partitioner says.
 *
 * Same key, same partition, whoever produced it: the hash is murmur2 as in Kafka's Java clients (and
 * librdkafka's "murmur2"), the partition its lower 31 bits modulo the number of partitions.
 *
 * Owner: nobody, functions of their arguments.
 */
#ifndef SINK_KAFKA_PARTITION_H
#define SINK_KAFKA_PARTITION_H

#include <stddef.h>
#include <stdint.h>

uint32_t kafka_murmur2(const void *octets, size_t count);

/* `partition_count` is at least 1. */
int32_t kafka_partition(const void *key, size_t key_bytes, int32_t partition_count);

#endif
