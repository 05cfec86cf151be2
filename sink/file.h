/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - the sink that writes Avro object container files, or JSON lines.
 *
 * All but the formats is the engine's (file_engine.h).  An Avro file holds records of one schema, lines of
 * any; both of all workers.
 */
#ifndef SINK_FILE_H
#define SINK_FILE_H

#include "sink/sink.h"

extern const struct sink_ops sink_file;

#endif
