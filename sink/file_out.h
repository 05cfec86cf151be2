/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_out.h - a file that is either complete under its name, or not there.
 *
 *	file_dir_open(&d, path, prefix, suffix, &removed)
 *	file_out_create(&d, &f) ... file_out_write(&f, octets, bytes) ... file_out_finish(&d, &f)
 *
 *	while written	<prefix>-20260131T123456.789Z-000001<suffix>.tmp
 *	complete	<prefix>-20260131T123456.789Z-000001<suffix>
 *
 * Finishing is fsync of the file, rename, fsync of the directory.  What a killed process left is
 * removed by file_dir_open(): only names of this form, with any suffix of ours, and only files that no process has locked.
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
	char name[FILE_NAME_BYTES];
	char tmp[FILE_NAME_BYTES];
};

/* A prefix from any name: what is not a letter, digit, dot, dash or underscore becomes one. */
void file_dir_init(struct file_dir *d, const char *name, const char *suffix);
/* Makes directories that are missing; *removed gets the number of unfinished files taken away. */
enum err file_dir_open(struct file_dir *d, const char *path, unsigned *removed);
/* False when it is not open, or was renamed or removed since. */
bool file_dir_is_at(const struct file_dir *d, const char *path);
void file_dir_close(struct file_dir *d);

enum err file_out_create(struct file_dir *d, struct file_out *f);
enum err file_out_write(struct file_out *f, const void *octets, size_t bytes);
/* On failure the file is gone, as by file_out_abort(). */
enum err file_out_finish(struct file_dir *d, struct file_out *f);
void file_out_abort(struct file_dir *d, struct file_out *f);

#endif
