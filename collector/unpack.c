/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/unpack.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/rd.h"

#define PAGE_BYTES (64u << 10)
#define MAGIC_BYTES 4u
#define GZIP_MAGIC 0x1F8B08u	 /* with the one method that there is */
#define ZSTD_MAGIC 0x28B52FFDu	 /* as its octets stand */
#define ZSTD_SKIPPED 0x184D2A50u /* little endian, the last four bits are free */
#define GZIP_WINDOW (15 + 16)	 /* zlib: the largest, in a gzip wrapping */

struct unpack {
	int fd;
	/* The next octets out of `page` or what they unpack to; as read(). */
	ssize_t (*next)(struct unpack *u, uint8_t *octets, size_t room);
	z_stream gzip;
	ZSTD_DStream *zstd;
	bool has_gzip;
	bool has_member; /* gzip: one has ended */
	bool is_within;	 /* a member or frame that has not ended */
	bool is_full;	 /* it gave all there was room for, and may have more */
	bool is_end;
	enum err e;
	const char *text;
	size_t from; /* what is not used yet: page[from] to page[to] */
	size_t to;
	uint8_t page[PAGE_BYTES];
};

static ssize_t fail(struct unpack *u, enum err e, const char *text)
{
	u->e = e;
	u->text = text;
	return -1;
}

enum err unpack_why(const struct unpack *u, const char **text)
{
	*text = u->text;
	return u->e;
}

/* More octets behind those of the page, which has room; false at the end and on failure. */
static bool fill(struct unpack *u)
{
	ssize_t n;

	do
		n = read(u->fd, u->page + u->to, PAGE_BYTES - u->to);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		(void)fail(u, ERR_IO, strerrordesc_np(errno));
	if (n > 0)
		u->to += (size_t)n;
	u->is_end = u->is_end || n == 0;
	return n > 0;
}

/* Octets in the page, or false: the end, or a failure. */
static bool has_octets(struct unpack *u)
{
	if (u->from < u->to)
		return true;
	u->from = 0;
	u->to = 0;
	return !u->is_end && fill(u);
}

static ssize_t next_plain(struct unpack *u, uint8_t *octets, size_t room)
{
	size_t bytes;

	if (!has_octets(u))
		return u->e == ERR_OK ? 0 : -1;
	bytes = u->to - u->from < room ? u->to - u->from : room;
	memcpy(octets, u->page + u->from, bytes);
	u->from += bytes;
	return (ssize_t)bytes;
}

/* What the end of the file means where a member or frame may be under way. */
static ssize_t end_packed(struct unpack *u)
{
	if (u->e != ERR_OK)
		return -1;
	return u->is_within ? fail(u, ERR_TRUNC, "the file ends within its compressed data") : 0;
}

/* Zeros behind the last member fill up a block, as tapes had it, and gzip takes them for nothing: to the file's end. */
static ssize_t skip_padding(struct unpack *u)
{
	while (has_octets(u)) {
		while (u->from < u->to && u->page[u->from] == 0)
			u->from++;
		if (u->from < u->to)
			return fail(u, ERR_FORMAT, "gzip: octets behind the padding");
	}
	return end_packed(u);
}

static ssize_t next_gzip(struct unpack *u, uint8_t *octets, size_t room)
{
	z_stream *z = &u->gzip;
	size_t before = room;

	while (u->is_full || has_octets(u)) {
		int code;

		if (!u->is_within && u->has_member && u->page[u->from] == 0)
			return skip_padding(u);
		if (!u->is_within && inflateReset(z) != Z_OK)
			return fail(u, ERR_FORMAT, "gzip: cannot begin a member");
		u->is_within = true;
		z->next_in = u->page + u->from;
		z->avail_in = (uInt)(u->to - u->from);
		z->next_out = octets;
		z->avail_out = (uInt)room;
		code = inflate(z, Z_NO_FLUSH);
		u->from = u->to - z->avail_in;
		if (code == Z_MEM_ERROR)
			return fail(u, ERR_NOMEM, "no memory to unpack gzip");
		if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
			return fail(u, ERR_FORMAT, "gzip: the compressed data is broken");
		u->is_within = code != Z_STREAM_END;
		u->has_member = u->has_member || !u->is_within;
		u->is_full = u->is_within && z->avail_out == 0;
		if (z->avail_out < before)
			return (ssize_t)(before - z->avail_out);
	}
	return end_packed(u);
}

static ssize_t next_zstd(struct unpack *u, uint8_t *octets, size_t room)
{
	ZSTD_outBuffer out = { .dst = NULL, .size = room };

	out.dst = octets;
	while (u->is_full || has_octets(u)) {
		ZSTD_inBuffer in = { u->page, u->to, u->from };
		size_t code = ZSTD_decompressStream(u->zstd, &out, &in);

		u->from = in.pos;
		if (ZSTD_isError(code)) {
			if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
				return fail(u, ERR_NOMEM, "no memory to unpack zstd");
			return fail(u, ERR_FORMAT, "zstd: the compressed data is broken");
		}
		u->is_within = code != 0;
		u->is_full = u->is_within && out.pos == room;
		if (out.pos > 0)
			return (ssize_t)out.pos;
	}
	return end_packed(u);
}

static enum err start_gzip(struct unpack *u)
{
	int code = inflateInit2(&u->gzip, GZIP_WINDOW);

	u->has_gzip = code == Z_OK;
	u->next = next_gzip;
	return code == Z_OK ? ERR_OK : ERR_NOMEM;
}

static enum err start_zstd(struct unpack *u)
{
	u->zstd = ZSTD_createDStream();
	u->next = next_zstd;
	return u->zstd == NULL ? ERR_NOMEM : ERR_OK;
}

/* ERR_IO is told by the first read. */
static enum err start(struct unpack *u)
{
	uint32_t magic;

	while (u->to < MAGIC_BYTES && fill(u))
		continue;
	magic = u->to < MAGIC_BYTES ? 0 : be32(u->page);
	u->next = next_plain;
	if (magic >> 8 == GZIP_MAGIC)
		return start_gzip(u);
	if (magic == ZSTD_MAGIC || (__builtin_bswap32(magic) & ~15u) == ZSTD_SKIPPED)
		return start_zstd(u);
	return ERR_OK;
}

enum err unpack_open(int fd, struct unpack **out)
{
	struct unpack *u = calloc(1, sizeof(*u));
	enum err e;

	if (u == NULL)
		return ERR_NOMEM;
	u->fd = fd;
	e = start(u);
	if (e != ERR_OK) {
		unpack_close(u);
		return e;
	}
	*out = u;
	return ERR_OK;
}

void unpack_close(struct unpack *u)
{
	if (u == NULL)
		return;
	if (u->has_gzip)
		(void)inflateEnd(&u->gzip);
	(void)ZSTD_freeDStream(u->zstd);
	free(u);
}

ssize_t unpack_read(struct unpack *u, uint8_t *octets, size_t room)
{
	return u->e != ERR_OK ? -1 : u->next(u, octets, room);
}
