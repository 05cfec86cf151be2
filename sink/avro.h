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
	uint8_t is_union[FIELD_SLOTS]; /* 1: a union index stands before the value */
	uint64_t known[FIELD_WORDS];
	uint64_t required[FIELD_WORDS];
	uint16_t ends[LAYER_COUNT]; /* one past the last field number of the layer */
	size_t fixed_max;	    /* octets of a record, strings and arrays aside */
	const struct field_set *fields;
};

void avro_encoder_init(struct avro_encoder *enc, const struct field_set *fields);

/* Room that is surely enough for a flow whose strings, arrays and raw elements take `variable`
 * octets.  Less than enc->fixed_max (about 4 KiB) never suffices, whatever the flow: room is
 * checked once for all that is fixed, and then, with all of that to spare, where octets are copied.
 */
static inline size_t avro_room(const struct avro_encoder *enc, size_t variable)
{
	return 2 * enc->fixed_max + variable;
}

/* Octets written, or 0 when `room` is too small (nothing usable was written then): try again with
 * more.  Up to `room` octets are overwritten, whatever the result.  The required fields must be
 * there.  A value that its field's type cannot carry (an int above 2^31-1, an address of 5 octets)
 * is null, and noted as `contract`. */
size_t avro_encode(const struct avro_encoder *enc, const struct flow *f, uint8_t *out, size_t room);

/* One encoded record as a JSON object with the field names of `fields`; absent fields are left out
 * when `is_terse`, else null.  ERR_FORMAT when the octets are not such a record: `out` then has a
 * whole object of what could be read.  ERR_NOMEM when `out` has failed.  Octets become lower-case
 * hex. */
enum err avro_to_json(const struct field_set *fields, const uint8_t *octets, size_t bytes,
		      bool is_terse, struct json *out);

#endif
