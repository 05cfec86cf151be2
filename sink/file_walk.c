/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* One level deeper: `path` already leads there. */
static enum err enter(struct file_walk *w, int dir_fd, const char *name, size_t path_bytes)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return ERR_IO;
	}
	w->levels[w->depth].dir = dir;
	w->levels[w->depth].path_bytes = path_bytes;
	w->depth++;
	w->dir_count++;
	return ERR_OK;
}

enum err file_walk_open(struct file_walk *w, int dir_fd)
{
	memset(w, 0, sizeof(*w));
	return enter(w, dir_fd, ".", 0);
}

int file_walk_fd(const struct file_walk *w)
{
	return dirfd(w->levels[w->depth - 1].dir);
}

/* True when it was a directory, entered or passed over. */
static bool is_directory(struct file_walk *w, const struct dirent *e, size_t end)
{
	if (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)
		return false;
	if (w->depth > FILE_DEPTH_MAX || w->dir_count >= FILE_WALK_DIRS ||
	    end + 1 >= sizeof(w->path)) {
		w->is_cut = w->is_cut || e->d_type == DT_DIR;
		return e->d_type == DT_DIR;
	}
	if (enter(w, file_walk_fd(w), e->d_name, end + 1) != ERR_OK)
		return e->d_type == DT_DIR;
	w->path[end] = '/';
	w->path[end + 1] = '\0';
	return true;
}

/* Nothing of ours stands below a hidden name. */
static bool is_passed_over(const struct dirent *e)
{
	return e->d_name[0] == '.' &&
	       (e->d_type == DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
}

bool file_walk_next(struct file_walk *w)
{
	while (w->depth > 0) {
		size_t start = w->levels[w->depth - 1].path_bytes;
		/* The stream is ours alone. NOLINTNEXTLINE(concurrency-mt-unsafe) */
		const struct dirent *e = readdir(w->levels[w->depth - 1].dir);
		size_t bytes = e == NULL ? 0 : strlen(e->d_name);

		if (e == NULL) {
			w->depth--;
			(void)closedir(w->levels[w->depth].dir);
			continue;
		}
		if (is_passed_over(e) || start + bytes >= sizeof(w->path))
			continue;
		memcpy(w->path + start, e->d_name, bytes + 1);
		w->name = w->path + start;
		if (e->d_name[0] == '.' || !is_directory(w, e, start + bytes))
			return true;
	}
	return false;
}

void file_walk_close(struct file_walk *w)
{
	while (w->depth > 0)
		(void)closedir(w->levels[--w->depth].dir);
}
