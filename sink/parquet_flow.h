/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_flow.h - the canonical record as columns: the Parquet schema of a set of fields, and one
 * Avro-encoded record as a row.
 *
 *	parquet_flow_new(fields, PARQUET_FLAT, &why, &f)	once per schema of records
 *	parquet_new(parquet_flow_schema(f), &conf, &p)
 *	parquet_flow_add(f, p, octets, bytes)			once per record; or, to take less time,
 *	parquet_flow_put(f, p, octets, bytes, &settled), and parquet_flow_settle(f, p, &settled) at the end
 *
 *	flat	{ record_id, <normalized fields>, <enriched fields>, raw { } }
 *	nested	{ record_id, normalized { }, enriched { }, raw { } }		the shape of the Avro schema
 *
 * Both layouts have the same leaves in the same order, which is that of the record: a record is read by
 * one table of steps, front to back, and a run of absent fields is a run of zero octets.
 *
 * Owner: one thread, that of the sink; parquet_flow_add() uses memory of its own again and again.
 * Lifetime: as its owner likes; of `fields` nothing is kept.
 */
#ifndef SINK_PARQUET_FLOW_H
#define SINK_PARQUET_FLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/why.h"
#include "normalizer/field.h"
#include "sink/parquet.h"

enum parquet_layout { PARQUET_FLAT, PARQUET_NESTED };

struct parquet_flow;

/* ERR_CONF: two columns of one level would have the same name, which `why` says. */
enum err parquet_flow_new(const struct field_set *fields, enum parquet_layout layout,
			  struct why *why, struct parquet_flow **out);
void parquet_flow_free(struct parquet_flow *f);

const struct parquet_schema *parquet_flow_schema(const struct parquet_flow *f);
/* Is there a column or group of that name at the top? */
bool parquet_flow_has_column(const struct parquet_flow *f, const char *name);

/* One record as a row.  ERR_FORMAT when the octets are not exactly a record of these fields, texts in
 * UTF-8 among it, and ERR_NOMEM for memory of its own: nothing was put then.  Else what parquet_row()
 * says. */
enum err parquet_flow_add(struct parquet_flow *f, struct parquet *p, const void *octets,
			  size_t bytes);

/* What became of the first records that waited, in their order; the others are refused, a bit each. */
struct parquet_settled {
	unsigned count;
	uint64_t refused;
};

/* The same for many: a record waits, until some are there to be read side by side, and what parquet_flow_add()
 * had said is known then.  Who flushes or finishes settles before; parquet_reset() forgets those that wait. */
enum err parquet_flow_put(struct parquet_flow *f, struct parquet *p, const void *octets,
			  size_t bytes, struct parquet_settled *settled);
enum err parquet_flow_settle(struct parquet_flow *f, struct parquet *p,
			     struct parquet_settled *settled);

#endif
