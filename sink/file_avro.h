/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_avro.h - the frame of an Avro object container file around blocks of encoded records.
 *
 *	header	| Obj 1 | map of metadata | sync marker |
 *	block	| records | octets | the records, compressed | sync marker |
 *
 * Owner: the sink.
 */
#ifndef SINK_FILE_AVRO_H
#define SINK_FILE_AVRO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define AVRO_SYNC_BYTES 16
#define AVRO_BLOCK_HEAD_MAX 20 /* two varints */

struct avro_meta {
	const char *key;
	const char *value;
};

/* Octets of the header, which the caller frees; ERR_NOMEM, or ERR_IO when the system has no random
 * octets.  `sync` gets the marker. */
enum err file_avro_header(const struct avro_meta *meta, size_t count, uint8_t sync[AVRO_SYNC_BYTES],
			  uint8_t **out, size_t *bytes);
/* Writes the head of a block so that it ends at `end`; returns where it begins. */
uint8_t *file_avro_block_head(uint8_t *end, uint64_t records, uint64_t bytes);

#endif
