/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_parts.h - what the open files of a sink have of each log, until they are complete.
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_FILE_PARTS_H
#define SINK_FILE_PARTS_H

#include "sink/file_rotate.h"
#include "sink/sink.h"

struct file_part {
	uint64_t end; /* one past the last */
	uint64_t records;
	uint64_t octets;
	uint64_t corrupt;
	uint64_t not_routed;
	uint64_t passed; /* over, since an earlier life delivered them */
};

/* "worker:first-end,..." */
void file_parts_text(const struct file_part *parts, const struct sink_env *env,
		     char out[FILE_LSN_TEXT_BYTES]);
/* Into a rotation. */
enum err file_parts_add(const struct file_part *parts, const struct sink_env *env,
			struct file_rotate *rotate);
/* Into the sink's counters, when they are done. */
void file_parts_count(const struct file_part *parts, const struct sink_env *env);
/* What the log may lose is not read. */
void file_parts_begin(const struct sink_env *env);
/* For each reader: one past what is sealed now; is all below that read? */
void file_parts_sealed(const struct sink_env *env, uint64_t *lsns);
bool file_parts_read(const struct sink_env *env, const uint64_t *lsns);

#endif
