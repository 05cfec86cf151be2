/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_codec.h - blocks of a file, compressed one by one.
 *
 *	file_codec_new(kind, level, &c)
 *	file_codec_bound(c, bytes)		room that surely suffices
 *	file_codec_run(c, in, bytes, out, room)	octets, or 0 when the library fails
 *
 * What each kind writes is what its container wants: Avro's deflate has no header, its snappy is
 * followed by the CRC-32 of the plain octets; gzip and zstandard are members and frames that may stand
 * one behind the other in a file of lines.
 *
 * Owner: one thread.
 */
#ifndef SINK_FILE_CODEC_H
#define SINK_FILE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum file_codec_kind { CODEC_NULL, CODEC_SNAPPY, CODEC_ZSTANDARD, CODEC_DEFLATE, CODEC_GZIP };

struct file_codec;

/* `level` 0: the codec's own preset. */
enum err file_codec_new(enum file_codec_kind kind, int level, struct file_codec **out);
void file_codec_free(struct file_codec *c);
size_t file_codec_bound(struct file_codec *c, size_t bytes);
size_t file_codec_run(struct file_codec *c, const uint8_t *in, size_t bytes, uint8_t *out,
		      size_t room);
int file_codec_level_max(enum file_codec_kind kind); /* 0: it has no levels */

#endif
