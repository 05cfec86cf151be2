/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_walk.h - all that stands in a directory and below it, one name after the other, as slowly as the
 * caller likes.
 *
 *	file_walk_open(&w, dir_fd)
 *	while (file_walk_next(&w))	w.name in file_walk_fd(&w); w.path from the directory
 *	file_walk_close(&w)
 *
 * Bounded: at most FILE_DEPTH_MAX directories deep, FILE_WALK_DIRS of them, neither hidden ones nor those
 * behind a symbolic link.  What comes or goes meanwhile may be met or not.
 *
 * Owner: one thread.
 */
#ifndef SINK_FILE_WALK_H
#define SINK_FILE_WALK_H

#include <dirent.h>

#include "sink/file_out.h"

#define FILE_WALK_DIRS 200000

struct file_walk {
	const char *name;
	char path[FILE_PATH_BYTES];
	uint64_t dir_count;
	bool is_cut; /* there was more than it goes through */
	size_t depth;
	struct {
		DIR *dir;
		size_t path_bytes; /* of the path that leads to it, with its slash */
	} levels[FILE_DEPTH_MAX + 1];
};

/* ERR_IO, with errno. */
enum err file_walk_open(struct file_walk *w, int dir_fd);
/* The next name that is no directory; false at the end. */
bool file_walk_next(struct file_walk *w);
int file_walk_fd(const struct file_walk *w);
void file_walk_close(struct file_walk *w);

#endif
