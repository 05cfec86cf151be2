/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sflow.h - sFlow version 5 (sflow.org, sFlow Version 5, 2004): datagram, samples, flow records.
 *
 * XDR: numbers of 4 octets, big endian; what is of any length has its length or count before it.
 *
 *	datagram | version 5 | agent | sub-agent | sequence | uptime | samples |
 *	sample	  | format | length | sequence | source | rate | pool | drops | in | out | records |
 *	record	   | format | length | ... |
 *
 * There are no templates: a flow sample is read as values of the elements of sflow.def, as if it were a record
 * of a template that has just those.
 *
 *	sflow_read(m)				header; samples tile the datagram (frame.c)
 *	while (sflow_next(&samples, &sample))
 *		sflow_flow(&sample, &facts)	what every flow sample says
 *		sflow_values(&facts, values)	everything as elements
 *
 * Owner: the caller; nothing is kept.  Values point into the datagram, or into struct sflow_values.
 */
#ifndef COLLECTOR_SFLOW_H
#define COLLECTOR_SFLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/rd.h"
#include "collector/header.h"
#include "collector/message.h"
#include "collector/tmpl.h"

enum sflow_element {
#define SFLOW(id, pen, number, bytes) SFLOW_##id,
#include "collector/sflow.def"
#undef SFLOW
	SFLOW_ELEMENTS
};

#define SFLOW_WORDS ((SFLOW_ELEMENTS + 63) / 64)
#define SFLOW_MADE_MAX 8 /* octets of a value that is not in the datagram as it is wanted */

struct sflow_row {
	uint32_t pen;
	uint16_t number;
	uint16_t bytes; /* 0: of any length */
};
/* In the header, so that what is said of one element is known when it is compiled. */
static const struct sflow_row sflow_rows[SFLOW_ELEMENTS] = {
#define SFLOW(id, pen, number, bytes) { pen, number, bytes },
#include "collector/sflow.def"
#undef SFLOW
};

enum sflow_kind { SFLOW_KIND_FLOW, SFLOW_KIND_COUNTERS, SFLOW_KIND_DROP, SFLOW_KIND_UNKNOWN };

struct sflow_sample {
	enum sflow_kind kind;
	bool is_expanded;
	const uint8_t *octets; /* with format and length */
	uint32_t bytes;
	struct rd body;
};

/* What stands before the records of a flow sample. */
struct sflow_flow {
	uint32_t sequence;
	uint32_t source_class;
	uint32_t source_index;
	const uint8_t *rate; /* 4 octets each, in place */
	const uint8_t *pool;
	const uint8_t *drops;
	uint32_t in_format;
	uint32_t in_value;
	uint32_t out_format;
	uint32_t out_value;
	uint32_t record_count;
	struct rd records;
};

/* Elements of one sample; a value without its bit means nothing. */
struct sflow_values {
	uint64_t has[SFLOW_WORDS];
	struct value values[SFLOW_ELEMENTS];
	uint8_t made[SFLOW_ELEMENTS][SFLOW_MADE_MAX];
};

/* The next sample of a sound datagram; false at the end. */
bool sflow_next(struct rd *samples, struct sflow_sample *out);

/* False when the sample is too short for its head, or for its count of records. */
bool sflow_flow(const struct sflow_sample *s, struct sflow_flow *out);

/*
 * All of it.  Records that are not known, or not readable to their last octet, stand whole in SFLOW_REST; false
 * when a record runs over the sample.  The agent's address is of 4 or 16 octets.
 */
bool sflow_values(const struct sflow_flow *s, const uint8_t *agent, uint32_t agent_bytes,
		  struct sflow_values *out);

static inline bool sflow_has(const struct sflow_values *v, unsigned element)
{
	return v->has[element / 64] >> (element % 64) & 1;
}

static inline void sflow_put(struct sflow_values *v, unsigned element, const uint8_t *octets,
			     uint32_t bytes)
{
	v->values[element] = (struct value){ octets, bytes };
	v->has[element / 64] |= UINT64_C(1) << (element % 64);
}

/* The first element of the shape that is not before `from`; SFLOW_ELEMENTS: there is none. */
static inline unsigned sflow_shape_next(const uint64_t shape[SFLOW_WORDS], unsigned from)
{
	while (from < SFLOW_ELEMENTS && (shape[from / 64] >> (from % 64) & 1) == 0)
		from++;
	return from;
}

/* A number, in as many octets as its element has. */
static inline void sflow_put_number(struct sflow_values *v, unsigned element, uint64_t number)
{
	uint32_t bytes = sflow_rows[element].bytes;

	must(bytes <= SFLOW_MADE_MAX);
	number = __builtin_bswap64(number << (64 - 8 * bytes));
	memcpy(v->made[element], &number, SFLOW_MADE_MAX);
	sflow_put(v, element, v->made[element], bytes);
}

/* sflow_header.c: what the sampled header says; elements that are there already stay as they are. */
void sflow_header(uint32_t protocol, const uint8_t *octets, uint32_t bytes,
		  struct sflow_values *out);
/* The same of any packet: of its headers alone, from SFLOW_SRC_MAC to SFLOW_INNER_DST_PORT. */
void sflow_header_of(enum header_protocol first, const uint8_t *octets, uint32_t bytes,
		     struct sflow_values *out);
/* And of what is behind its IP header: `protocol` is what that says of it. */
void sflow_payload_of(uint8_t ip_version, uint8_t protocol, const uint8_t *octets, uint32_t bytes,
		      struct sflow_values *out);

#endif
