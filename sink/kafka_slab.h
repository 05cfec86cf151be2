/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_slab.h - where records wait for the broker.
 *
 * Records are copied once, many at a time: a piece of a frame goes into a slab as it stands, and then
 * each record head is turned into a struct kafka_msg whose last octets are the wire prefix, so that
 * prefix and payload are one piece for librdkafka, which is given the slab's memory and no copy.
 *
 *	frame	| record head 48                          | payload | record head 48 ...
 *	slab	| struct kafka_msg 40 | 0 0 0 | 00 id id id id | payload | struct kafka_msg ...
 *
 * A slab is free again when the last of its messages is released; the slab being filled is kept.
 *
 *	at = kafka_slab_put(&s, octets, bytes)
 *	kafka_slab_msg(&s, at, ...)	 once per message sent
 *	kafka_slab_release(&s, msg)	 once per message, after its delivery report
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_KAFKA_SLAB_H
#define SINK_KAFKA_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sink/log.h"

#define KAFKA_PREFIX_BYTES 5u /* 0x00 and the schema id */
#define KAFKA_SLAB_BYTES (1u << 20)

struct kafka_slab;

/* In the place of a record's head while it is under way. */
struct kafka_msg {
	struct kafka_slab *slab;
	uint64_t lsn;
	int64_t time_ms;
	uint32_t bytes; /* of prefix and payload */
	uint32_t exporter;
	int32_t partition; /* -1: not known yet */
	uint16_t reader;
	uint16_t reserved;
};
_Static_assert(sizeof(struct kafka_msg) + KAFKA_PREFIX_BYTES <= sizeof(struct log_head),
	       "a message takes the place of the record head");

static inline uint8_t *kafka_msg_value(struct kafka_msg *m)
{
	return (uint8_t *)m + sizeof(struct log_head) - KAFKA_PREFIX_BYTES;
}

struct kafka_slabs {
	struct kafka_slab *all;	 /* in use */
	struct kafka_slab *free; /* of the usual size, for later */
	struct kafka_slab *now;	 /* being filled */
	size_t free_count;
	size_t bytes;	  /* of all slabs in use */
	size_t bytes_max; /* they may come to this, and one slab more than that */
};

void kafka_slabs_init(struct kafka_slabs *s, size_t bytes_max);
/* Frees everything; no message may be under way. */
void kafka_slabs_fini(struct kafka_slabs *s);
/* Forgets all messages: they will be read from the log again. */
void kafka_slabs_clear(struct kafka_slabs *s);

/* Copies `bytes` octets of a frame; NULL when the limit is reached or memory is short. */
uint8_t *kafka_slab_put(struct kafka_slabs *s, const uint8_t *octets, size_t bytes);
/* Turns the record head at `at`, inside what kafka_slab_put() gave last, into a message. */
struct kafka_msg *kafka_slab_msg(struct kafka_slabs *s, uint8_t *at, uint32_t schema_id);
void kafka_slab_release(struct kafka_slabs *s, struct kafka_msg *m);

#endif
