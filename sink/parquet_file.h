/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_file.h - Parquet as a format of the engine of files (file_format.h).
 *
 *	parquet_file_shared_new(hub, &conf, layout, &shared)
 *	parquet_file_format()
 *
 * A file says in its footer which records it holds (sluice.lsn, of all files that were completed with it),
 * how many, how many of them were late, and the Avro schema that they had in the log (sluice.schema; not
 * avro.schema, which readers take for a promise about their own mapping).
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_PARQUET_FILE_H
#define SINK_PARQUET_FILE_H

#include "sink/file_format.h"
#include "sink/parquet_flow.h"

struct parquet_shared;
/* `conf` is copied, but for its bench: there is one of all files. */
enum err parquet_file_shared_new(struct log_hub *hub, const struct parquet_conf *conf,
				 enum parquet_layout layout, struct parquet_shared **out);
const struct file_format *parquet_file_format(void);

#endif
