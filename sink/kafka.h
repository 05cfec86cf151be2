/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka.h - the sink that produces to a Kafka topic, one flow per message.
 *
 *	message	key: the exporter's name; value: 0x00, schema id (4 octets, big endian), Avro
 *
 * Safe means: acknowledged by all in-sync replicas, by an idempotent producer.  The log's cursor is the
 * low-water mark of the delivery reports.  Nothing the broker does loses a record: an outage is waited
 * out, a fatal error of the producer replays what was not reported, a record that is refused for good
 * is tried alone once more and then counted as a dead letter.
 *
 * Order is kept per exporter, save around a refused batch, of which later batches may be ahead.
 */
#ifndef SINK_KAFKA_H
#define SINK_KAFKA_H

#include "sink/sink.h"

extern const struct sink_ops sink_kafka;

#endif
