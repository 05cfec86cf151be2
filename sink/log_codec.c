/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/log_codec.h"

#include <limits.h>

#include <lz4.h>
#include <zstd.h>

#define ZSTD_LEVEL 1

static size_t pack_lz4(const uint8_t *in, size_t bytes, uint8_t *out, size_t room)
{
	int n = LZ4_compress_default((const char *)in, (char *)out, (int)bytes, (int)room);

	return n <= 0 ? 0 : (size_t)n;
}

static size_t pack_zstd(const uint8_t *in, size_t bytes, uint8_t *out, size_t room)
{
	size_t n = ZSTD_compress(out, room, in, bytes, ZSTD_LEVEL);

	return ZSTD_isError(n) ? 0 : n;
}

size_t log_codec_pack(enum log_codec codec, const uint8_t *in, size_t bytes, uint8_t *out,
		      size_t room)
{
	if (bytes > INT_MAX || room > INT_MAX)
		return 0;
	return codec == LOG_CODEC_LZ4	 ? pack_lz4(in, bytes, out, room)
	       : codec == LOG_CODEC_ZSTD ? pack_zstd(in, bytes, out, room)
					 : 0;
}

enum err log_codec_unpack(enum log_codec codec, const uint8_t *in, size_t bytes, uint8_t *out,
			  size_t plain_bytes)
{
	if (bytes > INT_MAX || plain_bytes > INT_MAX)
		return ERR_FORMAT;
	if (codec == LOG_CODEC_LZ4) {
		int n = LZ4_decompress_safe((const char *)in, (char *)out, (int)bytes,
					    (int)plain_bytes);

		return n >= 0 && (size_t)n == plain_bytes ? ERR_OK : ERR_FORMAT;
	}
	if (codec == LOG_CODEC_ZSTD) {
		size_t n = ZSTD_decompress(out, plain_bytes, in, bytes);

		return n == plain_bytes ? ERR_OK : ERR_FORMAT;
	}
	return ERR_FORMAT;
}
