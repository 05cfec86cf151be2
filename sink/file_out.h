/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_out.h - files that are written under one name, and get another when they are complete.
 *
 *	file_dir_open(&d, path)
 *	file_out_create(&d, below, &f) ... file_out_write(&f, octets, bytes) ... file_out_sync(&f)
 *	file_dir_rename(d.fd, f.tmp, f.name), file_dir_sync(d.fd); file_out_close(&f)
 *
 *	while written	.<prefix>-20260131T123456.789Z-000001<suffix>.tmp
 *	complete	<prefix>-20260131T123456.789Z-000001<suffix>
 *
 * Both stand in the sink's directory, or in the same directory below it; a reader that globs for the
 * suffix, at any depth, sees complete files only.
 *
 * In which order files are synced and renamed is the matter of file_rotate.h.  What a killed process left
 * is removed by file_dir_clean(): only names of this form, with any suffix of ours, and only files that no
 * process has locked; whoever writes one holds its lock.
 *
 * On ERR_IO errno says why.  Owner: one thread.
 */
#ifndef SINK_FILE_OUT_H
#define SINK_FILE_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FILE_PREFIX_BYTES 80
#define FILE_SUFFIX_BYTES 16
#define FILE_NAME_BYTES 192
#define FILE_PATH_BYTES 512				     /* below the sink's directory */
#define FILE_BELOW_BYTES (FILE_PATH_BYTES - FILE_NAME_BYTES) /* the directories of it */
#define FILE_DEPTH_MAX 8				     /* so many of them */

struct file_dir {
	int fd; /* -1: not open */
	unsigned sequence;
	char prefix[FILE_PREFIX_BYTES];
	char suffix[FILE_SUFFIX_BYTES];
};

struct file_out {
	int fd; /* -1: none */
	uint64_t bytes;
	uint64_t started_bytes; /* the system was told to write back up to here */
	char name[FILE_PATH_BYTES];
	char tmp[FILE_PATH_BYTES];
};

/* A prefix from any name: what is not a letter, digit, dot, dash or underscore becomes one. */
void file_dir_init(struct file_dir *d, const char *name, const char *suffix);
/* Makes directories that are missing. */
enum err file_dir_open(struct file_dir *d, const char *path);
/* Removes what is unfinished and nobody's, also in directories below (file_walk.h says how far); *removed
 * gets how many files. */
enum err file_dir_clean(const struct file_dir *d, unsigned *removed);
/* True when no process had it locked, and it is gone. */
bool file_dir_remove_unheld(int dir_fd, const char *name);
/* False when it is not open, or was renamed or removed since. */
bool file_dir_is_at(const struct file_dir *d, const char *path);
void file_dir_close(struct file_dir *d);
/* Is the path, which is not trusted, one that this sink gives to a file that is being written, or that is
 * complete?  It may lead through plain directories below. */
bool file_dir_is_unfinished(const struct file_dir *d, const char *path);
bool file_dir_is_complete(const struct file_dir *d, const char *path);
/* When the file was begun, by its name, which is one of those. */
int64_t file_dir_time_ms(const struct file_dir *d, const char *path);
/* Removes directories above `path` as long as they are empty, but never the root. */
void file_dir_prune(int dir_fd, const char *path);

/* Never over another file. */
enum err file_dir_rename(int dir_fd, const char *from, const char *to);
/* The names in a directory; one that cannot be synced, and says so, is as good as it gets. */
enum err file_dir_sync(int dir_fd);

/* `below`: "", or "a/b/": directories that are made when they are missing. */
enum err file_out_create(struct file_dir *d, const char *below, struct file_out *f);
enum err file_out_write(struct file_out *f, const void *octets, size_t bytes);
enum err file_out_sync(struct file_out *f);
/* Lets go of the file, whatever its name is. */
void file_out_close(struct file_out *f);
/* Closes and removes it. */
void file_out_abort(struct file_dir *d, struct file_out *f);

#endif
