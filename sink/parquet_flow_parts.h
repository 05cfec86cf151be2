/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_flow_parts.h - what the maker of columns (parquet_flow.c), the reader of records (parquet_flow_read.c)
 * and who makes rows of these (parquet_flow_rows.c) share: the steps of a record.
 */
#ifndef SINK_PARQUET_FLOW_PARTS_H
#define SINK_PARQUET_FLOW_PARTS_H

#include <stdint.h>

#include "sink/parquet_flow.h"
#include "sink/parquet_parts.h"

#define FIXED_STEPS 6 /* record_id and the members of raw */
#define STEPS_MAX (FIELD_SLOTS + FIXED_STEPS)
#define PADDING 32 /* zeros behind a record: what a step may read there before it is noticed */

/* How a value stands in the record.  The two that most fields have, if they may be null, come first. */
enum step_kind {
	STEP_NUMBER,
	STEP_TEXT,
	STEP_NUMBER_ALWAYS,
	STEP_TEXT_ALWAYS,
	STEP_OCTETS,
	STEP_DOUBLE,
	STEP_BOOL,
	STEP_LONGS,
	STEP_TEXTS,
	STEP_MAP, /* of texts */
	STEP_END  /* nothing is to follow */
};

/* One value of the record, in its order. */
struct step {
	uint64_t high;	/* of a number: bits that it must not have */
	uint32_t lane;	/* from the first column's to its own, in octets */
	uint16_t leaf;	/* of a map that of its keys; its values are the next */
	uint16_t nulls; /* steps from here on, one after the other, that may be null; 0: required */
	uint8_t kind;
	uint8_t depth; /* of a list or map: its definition level when it is there and empty */
};

enum cell_kind { CELL_TEXT, CELL_I64, CELL_NULL };

/* What was read of lists; all else goes into the batch at once. */
struct cell {
	union {
		const uint8_t *octets;
		int64_t i64;
	};
	uint32_t bytes;
	uint16_t leaf;
	uint8_t kind;
	uint8_t levels; /* of definition; with CELL_AGAIN it goes on with the row's list */
	unsigned row;	/* of the group */
};

#define CELL_AGAIN 0x80

struct parquet_flow {
	struct parquet_schema *schema;
	struct step steps[STEPS_MAX + 1]; /* with STEP_END */
	size_t step_count;
	uint8_t *cells; /* struct cell */
	size_t cells_room;
	size_t cell_count;
	bool can_gather; /* bits, by an instruction */
	char *names;	 /* what `columns` points to */
	const char *columns[STEPS_MAX];
	size_t column_count;
};

/* Records that are read side by side, a column at a time: where one ends needs not be known before the next one
 * is looked at, and what is done next is the same for all.  They become the next rows of the batch. */
struct group {
	struct parquet *parquet;
	const uint8_t *base; /* of the batch's octets */
	uint64_t bits;	     /* of all texts */
	unsigned count;
	bool is_broken;
	const uint8_t *at[BATCH_ROWS];
	const uint8_t *end[BATCH_ROWS];
};

/* Has the processor an instruction for it that is one? */
bool parquet_flow_can_gather(void);
/* Into the batch and, what is of lists, as cells.  ERR_FORMAT: one of them is no record. */
enum err parquet_flow_read(struct parquet_flow *f, struct group *g);

#endif
