/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/text.h"
#include "sink/log_parts.h"

#define FORMAT_NAME "format"
#define FORMAT_TMP "format.tmp"
#define FORMAT_WORD "sluice-log"
#define FORMAT_BYTES 128
#define SEGMENT_MOST (64u << 20)
#define SEGMENT_LEAST (64u << 10)
#define SEGMENTS 16 /* of max_bytes, at least */
#define DIRS_MODE 0750

/* An earlier life may have made it, and been killed before its name was safe. */
int log_dir_make(const struct log_io *io, int dir_fd, const char *name)
{
	if ((mkdirat(dir_fd, name, DIRS_MODE) != 0 && errno != EEXIST) ||
	    io->sync_dir(io->ctx, dir_fd) != 0)
		return -1;
	return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* The directory of all logs, whose name is safe when this has worked. */
static enum err make_dir(struct log_hub *hub)
{
	const struct log_io *io = hub->conf.io;
	int above;
	int rc;

	if (mkdir(hub->dir, DIRS_MODE) != 0 && errno != EEXIST)
		return ERR_IO;
	hub->dir_fd = open(hub->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	above = hub->dir_fd < 0 ? -1
				: openat(hub->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (above < 0)
		return hub->dir_fd >= 0 && errno == EACCES ? ERR_OK : ERR_IO; /* it was there */
	rc = io->sync_dir(io->ctx, above);
	(void)close(above);
	return rc == 0 ? ERR_OK : ERR_IO;
}

static void id_text(const uint8_t id[LOG_ID_BYTES], char out[2 * LOG_ID_BYTES + 1])
{
	for (size_t i = 0; i < LOG_ID_BYTES; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static bool id_parse(const char *text, uint8_t id[LOG_ID_BYTES])
{
	for (size_t i = 0; i < 2 * LOG_ID_BYTES; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
	}
	for (size_t i = 0; i < LOG_ID_BYTES; i++) {
		char two[3] = { text[2 * i], text[2 * i + 1], '\0' };

		id[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return true;
}

/* The line without its CRC; octets. */
static size_t print_format(const struct log_hub *hub, char out[FORMAT_BYTES])
{
	char id[2 * LOG_ID_BYTES + 1];

	id_text(hub->id, id);
	return (size_t)snprintf(out, FORMAT_BYTES, FORMAT_WORD " %d %s ", LOG_FORMAT_VERSION, id);
}

/* A line whose CRC at its end is right. */
static bool is_sound_line(const char *text)
{
	const char *last = strrchr(text, ' ');
	char want[16];

	if (last == NULL)
		return false;
	(void)snprintf(want, sizeof(want), "%08x\n", crc32c(0, text, (size_t)(last + 1 - text)));
	return strcmp(last + 1, want) == 0;
}

/* ERR_ABSENT: there is none, or none that can be read. */
static enum err read_format(struct log_hub *hub, struct why *why)
{
	char text[FORMAT_BYTES] = "";
	const char *at = text + strlen(FORMAT_WORD);
	uint64_t version;
	int fd = openat(hub->dir_fd, FORMAT_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	if (n <= 0 || !is_sound_line(text) ||
	    strncmp(text, FORMAT_WORD, strlen(FORMAT_WORD)) != 0 || !text_take_u64(&at, &version))
		return ERR_ABSENT;
	if (version > LOG_FORMAT_VERSION)
		return why_set(
			why, ERR_UNSUPPORTED,
			"log %s: it has format %llu, and this version knows %d: a log is not "
			"read by an older version than wrote it",
			hub->dir, (unsigned long long)version, LOG_FORMAT_VERSION);
	return *at == ' ' && id_parse(at + 1, hub->id) ? ERR_OK : ERR_ABSENT;
}

/* An id whose file was lost is still in the segments. */
static void find_id(struct log_hub *hub)
{
	unsigned workers[LOG_LOGS_MAX];
	size_t count;

	hub->conf.worker_count = 0;
	count = log_hub_old(hub, workers, LOG_LOGS_MAX);
	for (size_t i = 0; i < count; i++) {
		char name[16];
		struct dirent **list = NULL;
		int dir_fd;
		int n;

		(void)snprintf(name, sizeof(name), "%u", workers[i]);
		dir_fd = openat(hub->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		n = dir_fd < 0 ? 0 : scandirat(dir_fd, ".", &list, NULL, alphasort);
		for (int k = 0; k < n; k++) {
			struct log_scan scan;

			if (strstr(list[k]->d_name, LOG_SEGMENT_SUFFIX) != NULL &&
			    log_scan_open(&scan, dir_fd, list[k]->d_name, NULL) == ERR_OK) {
				if (!scan.is_rebuilt)
					memcpy(hub->id, scan.head.id, LOG_ID_BYTES);
				log_scan_close(&scan);
			}
			free(list[k]);
		}
		free(list);
		if (dir_fd >= 0)
			(void)close(dir_fd);
	}
}

static bool write_format(struct log_hub *hub)
{
	const struct log_io *io = hub->conf.io;
	char text[FORMAT_BYTES];
	struct iovec part = { text, print_format(hub, text) };
	bool is_written;
	int fd;

	part.iov_len += (size_t)snprintf(text + part.iov_len, sizeof(text) - part.iov_len, "%08x\n",
					 crc32c(0, text, part.iov_len));
	fd = io->open(io->ctx, hub->dir_fd, FORMAT_TMP,
		      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return false;
	is_written = log_io_write(io, fd, &part, 1, 0) == ERR_OK && io->sync(io->ctx, fd) == 0;
	is_written = io->close(io->ctx, fd) == 0 && is_written;
	return is_written && io->rename(io->ctx, hub->dir_fd, FORMAT_TMP, FORMAT_NAME) == 0 &&
	       io->sync_dir(io->ctx, hub->dir_fd) == 0;
}

static enum err open_format(struct log_hub *hub, struct why *why)
{
	unsigned worker_count = hub->conf.worker_count;
	static const uint8_t none[LOG_ID_BYTES];
	enum err e = read_format(hub, why);

	if (e != ERR_ABSENT)
		return e;
	find_id(hub);
	hub->conf.worker_count = worker_count;
	if (memcmp(hub->id, none, sizeof(none)) == 0 &&
	    getrandom(hub->id, sizeof(hub->id), 0) != (ssize_t)sizeof(hub->id))
		return why_errno(why, ERR_IO, "getrandom");
	return write_format(hub) ? ERR_OK : why_errno(why, ERR_IO, hub->dir);
}

/* Two hubs on one directory would write over each other.  -1 with EWOULDBLOCK: there is another. */
static int open_lock(const struct log_hub *hub)
{
	int fd = openat(hub->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	int error;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

static enum err lock_dir(struct log_hub *hub, struct why *why)
{
	hub->lock_fd = open_lock(hub);
	if (hub->lock_fd >= 0)
		return ERR_OK;
	if (errno == EWOULDBLOCK)
		return why_set(why, ERR_IO, "log %s: another process uses it", hub->dir);
	return why_errno(why, ERR_IO, hub->dir);
}

static void open_live(struct log_hub *hub)
{
	char id[2 * LOG_ID_BYTES + 1];
	char name[96];
	struct stat st;

	/* A copy of the directory has the same id. */
	if (fstat(hub->dir_fd, &st) != 0)
		return;
	id_text(hub->id, id);
	(void)snprintf(name, sizeof(name), "/sluice-%s-%llx-%llx", id,
		       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	hub->live = log_live_open(name, LOG_LOGS_MAX);
	if (hub->live == NULL)
		log_warn(
			"log.no_shared_memory dir=%s why=\"%s\": what a kill takes from it cannot be counted",
			hub->dir, strerror(errno));
}

enum err log_dir_open(struct log_hub *hub, struct why *why)
{
	uint64_t share = hub->conf.max_bytes / SEGMENTS;
	unsigned workers = hub->conf.worker_count == 0 ? 1 : hub->conf.worker_count;

	/* Each worker has one that it writes, one that is full, and a spare one. */
	if (share > hub->conf.max_bytes / (4ull * workers))
		share = hub->conf.max_bytes / (4ull * workers);
	share = share < SEGMENT_LEAST ? SEGMENT_LEAST : share > SEGMENT_MOST ? SEGMENT_MOST : share;
	hub->segment_bytes = share & ~(uint64_t)4095;
	if (make_dir(hub) != ERR_OK)
		return why_errno(why, ERR_IO, hub->dir);
	TRY(lock_dir(hub, why));
	TRY(open_format(hub, why));
	open_live(hub);
	return log_cursors_load(hub, why);
}

/* --- taken away under a running log --- */

static bool is_same(int fd, int dir_fd, const char *name)
{
	struct stat a;
	struct stat b;

	return fstat(fd, &a) == 0 && fstatat(dir_fd, name, &b, 0) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

bool log_dir_is_there(const struct log_hub *hub)
{
	return is_same(hub->dir_fd, AT_FDCWD, hub->dir);
}

bool log_disk_is_there(const struct log *log)
{
	return is_same(log->disk->dir_fd, log->hub->dir_fd, log->disk->name);
}

void log_cursors_look(struct log_hub *hub)
{
	for (struct log_cursor *c = hub->cursors; c != NULL; c = c->next) {
		struct stat st;

		if (c->fd < 0 || fstat(c->fd, &st) != 0 || st.st_nlink > 0)
			continue;
		(void)hub->conf.io->close(hub->conf.io->ctx, c->fd);
		c->fd = -1;
		memset(&c->stored, 0, sizeof(c->stored));
	}
}

static enum err replace_fd(int with, int fd)
{
	int rc = with < 0 ? -1 : dup3(with, fd, O_CLOEXEC);
	int error = errno;

	if (with >= 0)
		(void)close(with);
	errno = error;
	return rc < 0 ? ERR_IO : ERR_OK;
}

enum err log_dir_again(struct log_hub *hub)
{
	uint8_t id[LOG_ID_BYTES];
	enum err e;
	int lock_fd;

	if (mkdir(hub->dir, DIRS_MODE) != 0 && errno != EEXIST)
		return ERR_IO;
	TRY(replace_fd(open(hub->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), hub->dir_fd));
	lock_fd = open_lock(hub);
	if (lock_fd < 0)
		return ERR_IO;
	(void)close(hub->lock_fd);
	hub->lock_fd = lock_fd;
	memcpy(id, hub->id, sizeof(id));
	e = read_format(hub, NULL);
	if (e == ERR_ABSENT)
		return write_format(hub) ? ERR_OK : ERR_IO;
	/* Another log was put there. */
	if (e != ERR_OK || memcmp(id, hub->id, sizeof(id)) != 0) {
		memcpy(hub->id, id, sizeof(id));
		errno = ESTALE;
		return ERR_IO;
	}
	return ERR_OK;
}

enum err log_disk_again(struct log *log)
{
	return replace_fd(log_dir_make(log->hub->conf.io, log->hub->dir_fd, log->disk->name),
			  log->disk->dir_fd);
}

void log_dir_close(struct log_hub *hub)
{
	log_cursors_free(hub);
	if (hub->lock_fd >= 0)
		(void)close(hub->lock_fd);
	if (hub->dir_fd >= 0)
		(void)close(hub->dir_fd);
	hub->lock_fd = -1;
	hub->dir_fd = -1;
	free(hub->dir);
}

/* Is there a segment in it? */
static bool has_segments(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	bool has = false;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	/* The stream is ours alone. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	for (struct dirent *e = readdir(dir); e != NULL && !has; e = readdir(dir))
		has = strstr(e->d_name, LOG_SEGMENT_SUFFIX) != NULL;
	(void)closedir(dir);
	return has;
}

/* Directories of workers that are no more and left nothing. */
void log_dir_tidy(const struct log_hub *hub)
{
	for (unsigned w = hub->conf.worker_count; w < LOG_LOGS_MAX; w++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%u", w);
		(void)unlinkat(hub->dir_fd, name, AT_REMOVEDIR);
	}
}

size_t log_hub_old(const struct log_hub *hub, unsigned *workers, size_t max)
{
	size_t count = 0;

	for (unsigned w = hub->conf.worker_count;
	     hub->dir_fd >= 0 && w < LOG_LOGS_MAX && count < max; w++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%u", w);
		if (has_segments(hub->dir_fd, name))
			workers[count++] = w;
	}
	return count;
}
