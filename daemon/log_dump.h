/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_dump.h - what stands in segments, for people; needs no running service.
 *
 * `path` is a segment, a worker's directory, or a directory of logs.  One JSON object a line: each
 * segment's head, each frame, each piece that is not sound and, with `is_records`, each record.  Returns
 * the exit code: 0; 1 when something could not be read; 2 when nothing is there.
 */
#ifndef DAEMON_LOG_DUMP_H
#define DAEMON_LOG_DUMP_H

#include <stdbool.h>
#include <stdio.h>

int log_dump(const char *path, bool is_records, FILE *out);

#endif
