/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_sink.h - the sink that writes Apache Parquet: a lake with no other service.
 *
 * All but the format is the engine's (file_engine.h); a file holds records of one schema, of all workers.
 */
#ifndef SINK_PARQUET_SINK_H
#define SINK_PARQUET_SINK_H

#include "sink/file_common.h"
#include "sink/sink.h"

struct parquet_options {
	struct file_common common;
	int layout;
	int codec;
	uint32_t level;
	int encoding;
	uint32_t row_group_records;
	uint64_t row_group_bytes;
	uint64_t page_bytes;
};

extern const struct sink_ops sink_parquet;

#endif
