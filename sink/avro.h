/* SPDX-License-Identifier: Apache-2.0 */
/*
 * avro.h - struct flow to Avro binary, and Avro binary to JSON text for people.
 *
 *	avro_encoder_init(&enc, &fields);		once per generation
 *	n = avro_encode(&enc, flow, out, room);		once per flow; 0: does not fit
 *
 * The encoder walks the set bits; a run of absent fields is a run of zero octets.
 *
 * Owner: the generation.  Lifetime: generation; read-only while in use.
 */
#ifndef SINK_AVRO_H
#define SINK_AVRO_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/why.h"
#include "normalizer/field.h"
#include "normalizer/flow.h"

struct avro_encoder {
	uint8_t types[FIELD_SLOTS];    /* enum field_type */
	uint8_t required[FIELD_SLOTS]; /* no union index before it */
	uint16_t ends[LAYER_COUNT];    /* one past the last field number of the layer */
	const struct field_set *fields;
};

void avro_encoder_init(struct avro_encoder *enc, const struct field_set *fields);

/* Octets written, or 0 when `room` is too small (nothing usable was written then). */
size_t avro_encode(const struct avro_encoder *enc, const struct flow *f, uint8_t *out,
		   size_t room);

/* One encoded record as a JSON object with the field names of `fields`; absent fields are left out
 * when `is_terse`, else null.  ERR_FORMAT when the octets are not such a record. */
enum err avro_to_json(const struct field_set *fields, const uint8_t *octets, size_t bytes,
		      bool is_terse, struct json *out);

#endif
