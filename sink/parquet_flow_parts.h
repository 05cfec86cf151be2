/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_flow_parts.h - what the maker of columns (parquet_flow.c) and the reader of records
 * (parquet_flow_read.c) share: the steps of a record.
 */
#ifndef SINK_PARQUET_FLOW_PARTS_H
#define SINK_PARQUET_FLOW_PARTS_H

#include <stdint.h>

#include "sink/parquet_flow.h"

#define FIXED_STEPS 6 /* record_id and the members of raw */
#define STEPS_MAX (FIELD_SLOTS + FIXED_STEPS)
#define NEAR 24 /* octets: what a union's index and a number may take, and some */

/* How a value stands in the record. */
enum step_kind {
	STEP_NUMBER,
	STEP_TEXT,
	STEP_OCTETS,
	STEP_DOUBLE,
	STEP_BOOL,
	STEP_LONGS,
	STEP_TEXTS,
	STEP_MAP /* of texts */
};

/* One value of the record, in its order. */
struct step {
	uint32_t high;	/* of a number: bits above the 32nd that it must not have */
	uint16_t leaf;	/* of a map that of its keys; its values are the next */
	uint16_t nulls; /* steps from here on, one after the other, that may be null; 0: required */
	uint8_t kind;
	uint8_t depth; /* of a list or map: its definition level when it is there and empty */
};

/* What was read, by how it is put: who does one after the other of a kind need not look which it is. */
struct number_cell {
	int64_t v;
	uint32_t leaf;
};

struct text_cell {
	const uint8_t *octets;
	uint32_t bytes;
	uint32_t leaf;
};

enum cell_kind { CELL_OCTETS, CELL_I64, CELL_F64, CELL_TEXT_AT, CELL_I64_AT, CELL_NULL_AT };

/* All others. */
struct cell {
	union {
		const uint8_t *octets;
		int64_t i64;
		double f64;
	};
	uint32_t bytes;
	uint16_t leaf;
	uint8_t kind;
	uint8_t levels; /* of definition; with CELL_AGAIN it goes on with the row's list */
};

#define CELL_AGAIN 0x80

struct parquet_flow {
	struct parquet_schema *schema;
	struct step steps[STEPS_MAX];
	size_t step_count;
	struct number_cell numbers[STEPS_MAX];
	struct text_cell texts[STEPS_MAX];
	size_t number_count;
	size_t text_count;
	uint8_t *cells; /* struct cell; always room for one of each step that is to come */
	size_t cells_room;
	size_t cell_count;
	char *names; /* what `columns` points to */
	const char *columns[STEPS_MAX];
	size_t column_count;
	uint8_t tail[2 * NEAR]; /* the end of the record, and zeros */
};

#endif
