/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_out.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "sink/file_walk.h"

#define STAMP_PATTERN "-########T######.###Z-######" /* # is a digit; more may follow the last */
#define STAMP_BYTES 32
#define TMP ".tmp"
#define WRITE_BACK_BYTES (8u << 20) /* so that fsync has little left to do */
#define TRIES_MAX 1000

void file_dir_init(struct file_dir *d, const char *name, const char *suffix)
{
	size_t i = 0;

	memset(d, 0, sizeof(*d));
	d->fd = -1;
	for (; name[i] != '\0' && i + 1 < sizeof(d->prefix); i++) {
		d->prefix[i] = name[i];
		if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
			d->prefix[i] = '_';
	}
	if (d->prefix[0] == '.')
		d->prefix[0] = '_';
	(void)snprintf(d->suffix, sizeof(d->suffix), "%s", suffix);
}

static enum err make_dirs(const char *path)
{
	char part[PATH_MAX];
	size_t bytes = strlen(path);

	if (bytes == 0 || bytes >= sizeof(part)) {
		errno = bytes == 0 ? ENOENT : ENAMETOOLONG;
		return ERR_IO;
	}
	for (size_t i = 0; i <= bytes; i++) {
		if (i > 0 && (path[i] == '/' || path[i] == '\0')) {
			memcpy(part, path, i);
			part[i] = '\0';
			if (mkdir(part, 0777) != 0 && errno != EEXIST)
				return ERR_IO;
		}
	}
	return ERR_OK;
}

/* Of every format and codec: the sink may have had another one when it was killed. */
static const char *const suffixes[] = { ".avro", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet" };

/* Is it a name of ours, with that behind the suffix? */
static bool is_ours(const struct file_dir *d, const char *name, const char *tail)
{
	size_t prefix = strlen(d->prefix);
	const char *pattern = STAMP_PATTERN;
	size_t i = prefix;

	if (strncmp(name, d->prefix, prefix) != 0)
		return false;
	for (; *pattern != '\0'; pattern++, i++) {
		if (*pattern == '#' ? !isdigit((unsigned char)name[i]) : name[i] != *pattern)
			return false;
	}
	while (isdigit((unsigned char)name[i]))
		i++;
	for (size_t k = 0; k < sizeof(suffixes) / sizeof(suffixes[0]); k++) {
		size_t bytes = strlen(suffixes[k]);

		if (strncmp(name + i, suffixes[k], bytes) == 0 &&
		    strcmp(name + i + bytes, tail) == 0)
			return true;
	}
	return false;
}

/* Readers of lakes pass over names that begin with a dot; few know that `.tmp` says the same. */
static bool is_ours_unfinished(const struct file_dir *d, const char *name)
{
	return name[0] == '.' && is_ours(d, name + 1, TMP);
}

/* The part behind the directories; NULL when one of them is hidden, empty, "." or "..". */
static const char *last_part(const char *path)
{
	for (const char *p = path;; p++) {
		const char *slash = strchr(p, '/');

		if (slash == NULL)
			return p;
		if (*p == '.' || slash == p)
			return NULL;
		p = slash;
	}
}

bool file_dir_is_unfinished(const struct file_dir *d, const char *path)
{
	const char *name = last_part(path);

	return name != NULL && is_ours_unfinished(d, name);
}

bool file_dir_is_complete(const struct file_dir *d, const char *path)
{
	const char *name = last_part(path);

	return name != NULL && is_ours(d, name, "");
}

bool file_dir_remove_unheld(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool is_removed = false;

	if (fd < 0)
		return false;
	/* A process that still writes it holds the lock. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		is_removed = unlinkat(dir_fd, name, 0) == 0;
	(void)close(fd);
	return is_removed;
}

enum err file_dir_clean(const struct file_dir *d, unsigned *removed)
{
	struct file_walk walk;

	*removed = 0;
	TRY(file_walk_open(&walk, d->fd));
	while (file_walk_next(&walk)) {
		if (is_ours_unfinished(d, walk.name) &&
		    file_dir_remove_unheld(file_walk_fd(&walk), walk.name))
			(*removed)++;
	}
	file_walk_close(&walk);
	return ERR_OK;
}

static unsigned digits(const char *p, size_t count)
{
	unsigned v = 0;

	for (size_t i = 0; i < count; i++)
		v = 10 * v + (unsigned)(p[i] - '0');
	return v;
}

int64_t file_dir_time_ms(const struct file_dir *d, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *p = (slash == NULL ? path : slash + 1) + strlen(d->prefix) + 1;
	struct tm tm = {
		.tm_year = (int)digits(p, 4) - 1900,
		.tm_mon = (int)digits(p + 4, 2) - 1,
		.tm_mday = (int)digits(p + 6, 2),
		.tm_hour = (int)digits(p + 9, 2),
		.tm_min = (int)digits(p + 11, 2),
		.tm_sec = (int)digits(p + 13, 2),
	};

	return (int64_t)timegm(&tm) * 1000 + digits(p + 16, 3);
}

void file_dir_prune(int dir_fd, const char *path)
{
	char at[FILE_PATH_BYTES];
	char *slash;

	(void)snprintf(at, sizeof(at), "%s", path);
	for (slash = strrchr(at, '/'); slash != NULL; slash = strrchr(at, '/')) {
		*slash = '\0';
		if (unlinkat(dir_fd, at, AT_REMOVEDIR) != 0)
			return;
	}
}

enum err file_dir_open(struct file_dir *d, const char *path)
{
	TRY(make_dirs(path));
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->fd < 0 ? ERR_IO : ERR_OK;
}

bool file_dir_is_at(const struct file_dir *d, const char *path)
{
	struct stat there;
	struct stat held;

	return d->fd >= 0 && stat(path, &there) == 0 && fstat(d->fd, &held) == 0 &&
	       there.st_dev == held.st_dev && there.st_ino == held.st_ino;
}

void file_dir_close(struct file_dir *d)
{
	int error = errno;

	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
	errno = error;
}

/* "20260131T123456.789Z" */
static void stamp(char out[STAMP_BYTES])
{
	char text[CLOCK_TEXT_BYTES];
	size_t n = 0;

	clock_text(clock_real_ms(), text);
	for (size_t i = 0; text[i] != '\0' && n + 1 < STAMP_BYTES; i++) {
		if (text[i] != '-' && text[i] != ':')
			out[n++] = text[i];
	}
	out[n] = '\0';
}

static enum err make_below(int dir_fd, const char *below)
{
	char part[FILE_PATH_BYTES];

	for (size_t i = 0; below[i] != '\0'; i++) {
		part[i] = below[i];
		if (below[i] != '/')
			continue;
		part[i] = '\0';
		if (mkdirat(dir_fd, part, 0777) != 0 && errno != EEXIST)
			return ERR_IO;
		part[i] = '/';
	}
	return ERR_OK;
}

/* Somebody who removes what is empty may be between the directory and its first file. */
static int create_in(int dir_fd, const char *below, const char *path)
{
	int fd = -1;

	for (unsigned tries = 0; fd < 0 && tries < TRIES_MAX; tries++) {
		fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != ENOENT || below[0] == '\0')
			break;
		if (make_below(dir_fd, below) != ERR_OK && errno != ENOENT)
			break;
	}
	return fd;
}

enum err file_out_create(struct file_dir *d, const char *below, struct file_out *f)
{
	memset(f, 0, sizeof(*f));
	f->fd = -1;
	if (strlen(below) >= FILE_BELOW_BYTES) {
		errno = ENAMETOOLONG;
		return ERR_IO;
	}
	for (unsigned tries = 0; f->fd < 0 && tries < TRIES_MAX; tries++) {
		char name[FILE_NAME_BYTES];
		char when[STAMP_BYTES];

		stamp(when);
		(void)snprintf(name, sizeof(name), "%s-%s-%06u%s", d->prefix, when,
			       d->sequence++ % 1000000, d->suffix);
		(void)snprintf(f->name, sizeof(f->name), "%s%s", below, name);
		(void)snprintf(f->tmp, sizeof(f->tmp), "%s.%s%s", below, name, TMP);
		if (faccessat(d->fd, f->name, F_OK, 0) == 0)
			continue;
		f->fd = create_in(d->fd, below, f->tmp);
		if (f->fd < 0 && errno != EEXIST)
			return ERR_IO;
	}
	if (f->fd < 0)
		return ERR_IO;
	if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) {
		file_out_abort(d, f);
		return ERR_IO;
	}
	return ERR_OK;
}

enum err file_out_write(struct file_out *f, const void *octets, size_t bytes)
{
	const uint8_t *p = octets;

	while (bytes > 0) {
		ssize_t n = write(f->fd, p, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? ENOSPC : errno;
			return ERR_IO;
		}
		p += n;
		bytes -= (size_t)n;
		f->bytes += (uint64_t)n;
	}
	if (f->bytes - f->started_bytes >= WRITE_BACK_BYTES) {
		(void)sync_file_range(f->fd, (off_t)f->started_bytes,
				      (off_t)(f->bytes - f->started_bytes), SYNC_FILE_RANGE_WRITE);
		f->started_bytes = f->bytes;
	}
	return ERR_OK;
}

enum err file_dir_rename(int dir_fd, const char *from, const char *to)
{
	if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
		return ERR_OK;
	if (errno != EINVAL && errno != ENOSYS)
		return ERR_IO;
	/* The file system knows no such flag; whoever chose the name looked that it is free. */
	return renameat(dir_fd, from, dir_fd, to) == 0 ? ERR_OK : ERR_IO;
}

enum err file_dir_sync(int dir_fd)
{
	return fsync(dir_fd) == 0 || errno == EINVAL ? ERR_OK : ERR_IO;
}

enum err file_out_sync(struct file_out *f)
{
	return fsync(f->fd) == 0 ? ERR_OK : ERR_IO;
}

void file_out_close(struct file_out *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
}

void file_out_abort(struct file_dir *d, struct file_out *f)
{
	int error = errno;

	if (f->fd < 0)
		return;
	(void)unlinkat(d->fd, f->tmp, 0);
	(void)close(f->fd);
	f->fd = -1;
	errno = error;
}
