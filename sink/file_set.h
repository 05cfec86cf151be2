/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_set.h - the open files of a sink: one for each directory and, where the format wants it, for each
 * schema, at most so many.
 *
 *	file_set_init(&s, env, format, shared, path, slot_max, memory_max, parts)
 *	file_set_find(&s, dir, head, schema, &slot, &is_late)	opens one when there is none yet
 *	file_set_add(&s, slot, schema, record, reader, is_late) ...
 *	file_set_finish(&s, dir, lsn_text) until it is not ERR_AGAIN
 *	file_set_close(&s) | file_set_abort(&s, dir)		all of them; then as after init
 *	file_set_fini(&s)
 *
 * Which file a record goes to is looked up by the numbers in its head; the path is written once for each.
 * A schema has files of its own instead of ending those of the one before: after a reload workers have
 * records of both for a while, in turn, and each turn would end all files.
 *
 * Where the system gives no more files, half of those that are open may be for some minutes.
 *
 * Memory: when all writers together hold more than memory_max, the one that holds most writes it.
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_FILE_SET_H
#define SINK_FILE_SET_H

#include "sink/file_format.h"
#include "sink/file_parts.h"
#include "sink/file_path.h"
#include "sink/sink.h"

#define FILE_SET_CACHE 1024

struct file_slot {
	bool is_open;
	struct file_out out;
	void *writer; /* stays, for the next file */
	uint32_t schema;
	char below[FILE_BELOW_BYTES];
	uint64_t records;
	uint64_t late;
	int64_t created_ms;
};

struct file_set {
	const struct sink_env *env;
	const struct file_format *format;
	void *shared;
	const struct file_path *path;
	struct file_slot *slots;
	size_t slot_max;
	size_t few; /* instead of slot_max, */
	int64_t few_until_ms;
	size_t count; /* the first so many are in use */
	size_t finished;
	size_t memory_max;
	size_t held;	  /* by all writers, as of the last look */
	uint64_t written; /* by the open files, as of then */
	uint64_t records;
	struct file_part *parts; /* what is refused is taken back from its reader's */
	struct file_refused refused;
	unsigned unseen; /* records since then */
	uint64_t unseen_octets;

	uint64_t epoch; /* of what holds in the cache */
	struct {
		struct file_path_key key;
		uint32_t schema;
		uint32_t slot;
		uint64_t epoch;
	} cache[FILE_SET_CACHE];
};

enum err file_set_init(struct file_set *s, const struct sink_env *env,
		       const struct file_format *format, void *shared, const struct file_path *path,
		       size_t slot_max, size_t memory_max, struct file_part *parts);
void file_set_fini(struct file_set *s);

/* ERR_FULL: all are in use, end them first. */
enum err file_set_find(struct file_set *s, struct file_dir *d, const struct log_head *head,
		       uint32_t schema, struct file_slot **out, bool *is_late);
/* The part of `reader` counts the record.  When it is none of that schema, it is in no file, and the part is told,
 * now or later, at the latest by file_set_finish(). */
enum err file_set_add(struct file_set *s, struct file_slot *slot, uint32_t schema,
		      const struct log_record *record, size_t reader, bool is_late);
/* Writes what is left of each; one that got no record goes.  ERR_AGAIN: call again. */
enum err file_set_finish(struct file_set *s, struct file_dir *d, const char *lsn_text);
/* Lets go of the files, whatever their names are. */
void file_set_close(struct file_set *s);
void file_set_abort(struct file_set *s, struct file_dir *d);

#endif
