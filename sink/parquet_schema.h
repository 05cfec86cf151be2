/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_schema.h - a schema as the writer sees it: leaves with their levels and paths.
 *
 * Owner: whoever made it; read only.
 */
#ifndef SINK_PARQUET_SCHEMA_H
#define SINK_PARQUET_SCHEMA_H

#include "sink/parquet.h"
#include "sink/parquet_thrift.h"

struct parquet_leaf {
	enum parquet_type type;
	uint8_t max_def;
	uint8_t max_rep;
	uint8_t depth;
	const char *path;
	const char *names[PARQUET_DEPTH_MAX]; /* from below the root to the leaf itself */
};

struct parquet_schema {
	struct parquet_node *nodes; /* their names are the schema's */
	size_t node_count;
	struct parquet_leaf *leaves;
	size_t leaf_count;
};

/* Field 2 of FileMetaData: list of SchemaElement. */
void parquet_schema_write(struct parquet_thrift *t, int id, const struct parquet_schema *s);

#endif
