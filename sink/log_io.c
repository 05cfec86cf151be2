/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/log_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int io_open(void *ctx, int dir_fd, const char *name, int flags, mode_t mode)
{
	(void)ctx;
	return openat(dir_fd, name, flags, mode);
}

static ssize_t io_writev(void *ctx, int fd, const struct iovec *parts, int count, off_t at)
{
	(void)ctx;
	return pwritev(fd, parts, count, at);
}

/* A file system that cannot reserve room finds out when it writes. */
static int io_allocate(void *ctx, int fd, off_t bytes)
{
	(void)ctx;
	if (fallocate(fd, 0, 0, bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
		return 0;
	return -1;
}

static int io_truncate(void *ctx, int fd, off_t bytes)
{
	(void)ctx;
	return ftruncate(fd, bytes);
}

static int io_sync(void *ctx, int fd)
{
	(void)ctx;
	return fdatasync(fd);
}

/* Some file systems cannot sync a directory, and say so; what they promise then, they keep. */
static int io_sync_dir(void *ctx, int fd)
{
	(void)ctx;
	return fsync(fd) == 0 || errno == EINVAL ? 0 : -1;
}

static int io_rename(void *ctx, int dir_fd, const char *from, const char *to)
{
	(void)ctx;
	return renameat(dir_fd, from, dir_fd, to);
}

static int io_remove(void *ctx, int dir_fd, const char *name)
{
	(void)ctx;
	return unlinkat(dir_fd, name, 0);
}

static int io_free_bytes(void *ctx, int dir_fd, uint64_t *out)
{
	struct statvfs st;

	(void)ctx;
	if (fstatvfs(dir_fd, &st) != 0)
		return -1;
	*out = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static int io_close(void *ctx, int fd)
{
	(void)ctx;
	return close(fd);
}

const struct log_io log_io_system = {
	.open = io_open,
	.writev = io_writev,
	.allocate = io_allocate,
	.truncate = io_truncate,
	.sync = io_sync,
	.sync_dir = io_sync_dir,
	.rename = io_rename,
	.remove = io_remove,
	.free_bytes = io_free_bytes,
	.close = io_close,
};

enum err log_io_write(const struct log_io *io, int fd, struct iovec *parts, int count, uint64_t at)
{
	while (count > 0) {
		ssize_t n = io->writev(io->ctx, fd, parts, count, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? ENOSPC : errno;
			return ERR_IO;
		}
		at += (uint64_t)n;
		while (count > 0 && (size_t)n >= parts->iov_len) {
			n -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count > 0) {
			parts->iov_base = (uint8_t *)parts->iov_base + n;
			parts->iov_len -= (size_t)n;
		}
	}
	return ERR_OK;
}
