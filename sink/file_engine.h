/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_engine.h - what all sinks that write files have in common: several open files in directories below
 * one, rotation, retries, retention; file_format.h is what they differ in.
 *
 *	file_engine_open(&conf, env, why, &e)	takes conf->shared, also when it fails
 *	file_engine_start, _poll, _finish, _status, _close	as in struct sink_ops
 *
 * Safe means: in a file that is complete under its final name, file and directories synced (file_rotate.h;
 * unless `is_lazy`).  Until its manifest stands its records are read from the log again when anything
 * fails, and after that the file is completed, by the next life if need be: no record is lost, and none
 * stands in two complete files.  All open files of the sink become complete together: after rotate_ms,
 * with rotate_bytes or rotate_records, when another one would be one too many, when the log runs out of
 * room, or to flush.
 *
 * A directory that cannot be written to, or is full, is said once, counted, and tried again after 1 s,
 * then at longer intervals up to 30 s.  After one that was full, files are smaller for some minutes, so
 * that what fits is completed.
 *
 * Owner: the sink's thread; open, status and close as struct sink_ops says.
 */
#ifndef SINK_FILE_ENGINE_H
#define SINK_FILE_ENGINE_H

#include "sink/file_format.h"
#include "sink/file_retain.h"
#include "sink/sink.h"

struct file_engine_conf {
	const char *path;
	const char *pattern;
	const char *suffix;
	const struct file_format *format;
	void *shared;
	int64_t rotate_ms;
	uint64_t rotate_bytes; /* of records as encoded, or, with the next one, written */
	bool is_written;
	uint64_t rotate_records; /* 0: any */
	uint64_t least_bytes;	 /* of records, of files that have to be smaller */
	size_t max_open;
	size_t memory_bytes;
	bool is_lazy;
	struct file_retain_conf retain;
};

enum err file_engine_open(const struct file_engine_conf *conf, const struct sink_env *env,
			  struct why *why, void **out);
enum err file_engine_start(void *self, struct why *why);
int file_engine_poll(void *self, bool is_flushing);
void file_engine_finish(void *self);
void file_engine_status(void *self, struct json *out);
void file_engine_close(void *self);

#endif
