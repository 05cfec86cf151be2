/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_retain.h - complete files of a sink go, oldest first, when they are too many, too old, or the file
 * system is too full.
 *
 *	file_retain_init(&r, &conf, env, rotate)
 *	file_retain_at(&r, dir)			whenever the sink opens its directory
 *	file_retain_added(&r, name, octets)	for each file that this sink completes
 *	file_retain_tend(&r)			in every poll
 *	file_retain_fini(&r)
 *
 * How much there is, and the oldest RETAIN_OLDEST files, are known from a walk through the directory, some
 * hundred names in a poll; another one follows when those are gone, or after ten minutes.  Only names of
 * this sink are counted or removed, none that a process has locked (who writes or completes a file does),
 * and none that a manifest still names.  It has a descriptor of its own, so that it goes on while the sink
 * cannot write.  A directory that gets empty by it goes too, but never the root.
 * How old a file is says its name: when it was begun.
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_FILE_RETAIN_H
#define SINK_FILE_RETAIN_H

#include "sink/file_rotate.h"
#include "sink/file_walk.h"

#define RETAIN_OLDEST 4096
#define RETAIN_ADDED 4096

struct file_retain_conf { /* 0: no limit */
	uint64_t max_bytes;
	int64_t max_age_ms;
	uint64_t min_free;
};

struct retained {
	int64_t time_ms;
	uint64_t octets;
	char *path;
};

/* Completed during a walk, which may meet it or not. */
struct retain_added {
	uint64_t hash;
	uint64_t octets;
};

struct file_retain {
	struct file_retain_conf conf;
	const struct sink_env *env;
	const struct file_rotate *rotate;

	struct file_dir dir;
	struct file_walk walk;
	bool is_walking;
	bool is_known; /* what follows, as of the last walk and what came and went since */
	uint64_t files;
	uint64_t octets;
	struct retained *oldest; /* a heap while it walks, the newest on top; then in order */
	size_t count;
	size_t next;
	bool is_partial; /* there are more than these */
	int64_t walk_ms; /* when the next walk may begin */
	int64_t stale_ms;
	int64_t free_ms; /* when to ask the file system again */
	bool is_full;	 /* it has less free than it should */

	struct retain_added *added;
	size_t added_count;
	int64_t added_from_ms; /* the oldest of them */
	uint64_t walked_files;
	uint64_t walked_octets;
	bool is_said; /* that a file could not be removed */
};

enum err file_retain_init(struct file_retain *r, const struct file_retain_conf *conf,
			  const struct sink_env *env, const struct file_rotate *rotate);
void file_retain_fini(struct file_retain *r);
/* ERR_IO, with errno. */
enum err file_retain_at(struct file_retain *r, const struct file_dir *d);
void file_retain_added(struct file_retain *r, const char *name, uint64_t octets);
void file_retain_tend(struct file_retain *r);
bool file_retain_is_on(const struct file_retain *r);

#endif
