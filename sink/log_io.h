/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_io.h - every change that a log on disk makes, as a table of functions.
 *
 * The service uses log_io_system; tests hand in a table of their own (`struct log_conf`, `io`) that
 * records what is written, in which order and what was synced, or that fails, writes short or stands
 * still.  Each function answers as the system call it is named for: -1 with errno on failure.  Reading
 * goes to the system directly.
 *
 * Owner: the caller; it outlives the hub.  Called from the commit thread, from the thread that opens
 * and closes the hub, and (sync_dir) from a sink's that puts a damaged piece aside.
 */
#ifndef SINK_LOG_IO_H
#define SINK_LOG_IO_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"

struct log_io {
	int (*open)(void *ctx, int dir_fd, const char *name, int flags, mode_t mode);
	ssize_t (*writev)(void *ctx, int fd, const struct iovec *parts, int count, off_t at);
	int (*allocate)(void *ctx, int fd, off_t bytes); /* reserves room from 0 on */
	int (*truncate)(void *ctx, int fd, off_t bytes);
	int (*sync)(void *ctx, int fd);	    /* a file's data and size */
	int (*sync_dir)(void *ctx, int fd); /* names in a directory */
	int (*rename)(void *ctx, int dir_fd, const char *from, const char *to);
	int (*remove)(void *ctx, int dir_fd, const char *name);
	int (*free_bytes)(void *ctx, int dir_fd, uint64_t *out); /* that the file system has left */
	int (*close)(void *ctx, int fd);
	void *ctx;
};

extern const struct log_io log_io_system;

/* Writes all parts, which it changes; a short write goes on where it ended.  ERR_IO: errno says why. */
enum err log_io_write(const struct log_io *io, int fd, struct iovec *parts, int count, uint64_t at);

#endif
