/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_codec.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST /* next_in points to const */
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#define CRC_BYTES 4
#define WINDOW_RAW (-15) /* zlib: deflate without a header */
#define WINDOW_GZIP 31	 /* zlib: with a gzip header */
#define MEMORY_LEVEL 8	 /* zlib's preset */
#define DEFLATE_PRESET 4
#define ZSTANDARD_PRESET 3

struct file_codec {
	enum file_codec_kind kind;
	int level;
	ZSTD_CCtx *zstd;
	z_stream zlib;
	bool has_zlib;
};

int file_codec_level_max(enum file_codec_kind kind)
{
	if (kind == CODEC_ZSTANDARD)
		return ZSTD_maxCLevel();
	return kind == CODEC_DEFLATE || kind == CODEC_GZIP ? Z_BEST_COMPRESSION : 0;
}

enum err file_codec_new(enum file_codec_kind kind, int level, struct file_codec **out)
{
	struct file_codec *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return ERR_NOMEM;
	c->kind = kind;
	c->level = level;
	if (kind == CODEC_ZSTANDARD) {
		c->level = level == 0 ? ZSTANDARD_PRESET : level;
		c->zstd = ZSTD_createCCtx();
		if (c->zstd == NULL)
			goto fail;
	}
	if (kind == CODEC_DEFLATE || kind == CODEC_GZIP) {
		if (deflateInit2(&c->zlib, level == 0 ? DEFLATE_PRESET : level, Z_DEFLATED,
				 kind == CODEC_GZIP ? WINDOW_GZIP : WINDOW_RAW, MEMORY_LEVEL,
				 Z_DEFAULT_STRATEGY) != Z_OK)
			goto fail;
		c->has_zlib = true;
	}
	*out = c;
	return ERR_OK;
fail:
	file_codec_free(c);
	return ERR_NOMEM;
}

void file_codec_free(struct file_codec *c)
{
	if (c == NULL)
		return;
	if (c->has_zlib)
		(void)deflateEnd(&c->zlib);
	(void)ZSTD_freeCCtx(c->zstd);
	free(c);
}

size_t file_codec_bound(struct file_codec *c, size_t bytes)
{
	switch (c->kind) {
	case CODEC_SNAPPY:
		return snappy_max_compressed_length(bytes) + CRC_BYTES;
	case CODEC_ZSTANDARD:
		return ZSTD_compressBound(bytes);
	case CODEC_DEFLATE:
	case CODEC_GZIP:
		return deflateBound(&c->zlib, (uLong)bytes);
	case CODEC_NULL:
	default:
		return bytes;
	}
}

static size_t run_snappy(const uint8_t *in, size_t bytes, uint8_t *out, size_t room)
{
	uint32_t crc = __builtin_bswap32((uint32_t)crc32(0, in, (uInt)bytes));
	size_t done = room - CRC_BYTES;

	if (room < CRC_BYTES ||
	    snappy_compress((const char *)in, bytes, (char *)out, &done) != SNAPPY_OK)
		return 0;
	memcpy(out + done, &crc, CRC_BYTES);
	return done + CRC_BYTES;
}

static size_t run_zlib(struct file_codec *c, const uint8_t *in, size_t bytes, uint8_t *out,
		       size_t room)
{
	c->zlib.next_in = in;
	c->zlib.avail_in = (uInt)bytes;
	c->zlib.next_out = out;
	c->zlib.avail_out = (uInt)room;
	if (deflateReset(&c->zlib) != Z_OK)
		return 0;
	if (deflate(&c->zlib, Z_FINISH) != Z_STREAM_END)
		return 0;
	return room - c->zlib.avail_out;
}

size_t file_codec_run(struct file_codec *c, const uint8_t *in, size_t bytes, uint8_t *out,
		      size_t room)
{
	size_t done;

	switch (c->kind) {
	case CODEC_SNAPPY:
		return run_snappy(in, bytes, out, room);
	case CODEC_ZSTANDARD:
		done = ZSTD_compressCCtx(c->zstd, out, room, in, bytes, c->level);
		return ZSTD_isError(done) ? 0 : done;
	case CODEC_DEFLATE:
	case CODEC_GZIP:
		return run_zlib(c, in, bytes, out, room);
	case CODEC_NULL:
	default:
		if (bytes > room)
			return 0;
		memcpy(out, in, bytes);
		return bytes;
	}
}
