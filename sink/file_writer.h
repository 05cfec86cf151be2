/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_writer.h - two formats of files: Avro object containers, and JSON lines.
 *
 *	file_writer_shared_new(hub, format, kind, level, block_bytes, &shared)
 *	file_writer_format(format)
 *
 * Records, or lines, are collected in blocks, compressed, written.
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_FILE_WRITER_H
#define SINK_FILE_WRITER_H

#include "sink/file_codec.h"
#include "sink/file_format.h"

enum file_kind { FORMAT_AVRO, FORMAT_JSON };

struct file_writer_shared;
enum err file_writer_shared_new(struct log_hub *hub, enum file_kind format,
				enum file_codec_kind kind, int level, size_t block_max,
				struct file_writer_shared **out);
const struct file_format *file_writer_format(enum file_kind format);

#endif
