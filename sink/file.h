/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - the sink that writes Avro object container files, or JSON lines.
 *
 * Safe means: in a file that is complete under its final name, file and directory synced (file_rotate.h).
 * Until its manifest stands its records are read from the log again when anything fails, and after that the
 * file is completed, by the next life if need be: no record is lost, and none stands in two complete files.  A file holds records of all workers, and of one schema; it is
 * complete after rotate_s, or with rotate_bytes of records, or when the log runs out of room, or to
 * flush.
 *
 * A directory that cannot be written to, or is full, is said once, counted, and tried again after 1 s,
 * then at longer intervals up to 30 s.  After one that was full, files are smaller for some minutes, so
 * that what fits is completed.
 */
#ifndef SINK_FILE_H
#define SINK_FILE_H

#include "sink/sink.h"

extern const struct sink_ops sink_file;

#endif
