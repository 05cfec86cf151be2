/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h - the octets of a file, unpacked where they are gzip (RFC 1952) or Zstandard (RFC 8878).
 *
 *	unpack_open(fd, &u);
 *	while ((n = unpack_read(u, octets, room)) > 0)
 *		...
 *	unpack_close(u);
 *
 * Told by the first four octets, from a file or a pipe.  Several gzip members or Zstandard frames behind each other are
 * one stream, as their tools have it; zeros behind the last gzip member are nothing.  Memory is bounded: a Zstandard window of more than 128 MiB is refused.
 *
 * Owner: one caller.  Lifetime: one file; the descriptor stays the caller's.
 */
#ifndef COLLECTOR_UNPACK_H
#define COLLECTOR_UNPACK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct unpack;

enum err unpack_open(int fd, struct unpack **out);
void unpack_close(struct unpack *u);

/* At least one octet; 0 at the end, -1 on failure, and from then on. */
ssize_t unpack_read(struct unpack *u, uint8_t *octets, size_t room);
/* Why it failed: ERR_IO, ERR_NOMEM, ERR_FORMAT, ERR_TRUNC; the text is static. */
enum err unpack_why(const struct unpack *u, const char **text);

#endif
