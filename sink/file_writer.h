/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_writer.h - records into one file: collected in blocks, compressed, written.
 *
 *	file_writer_init(&w, format, kind, level, block_bytes)
 *	file_writer_open(&w, dir, meta, meta_count)
 *	file_writer_add(&w, octets, bytes) ...		a record, or a line of text
 *	file_writer_finish(&w)				all is written; the file waits for its name
 *	file_writer_close(&w) | file_writer_abort(&w, dir)	then it may be opened again
 *	file_writer_fini(&w)
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_FILE_WRITER_H
#define SINK_FILE_WRITER_H

#include <stdbool.h>

#include "sink/file_avro.h"
#include "sink/file_codec.h"
#include "sink/file_out.h"

enum file_format { FORMAT_AVRO, FORMAT_JSON };

struct file_writer {
	enum file_format format;
	struct file_codec *codec;
	struct file_out out;
	uint8_t sync[AVRO_SYNC_BYTES];
	uint8_t *block; /* plain */
	size_t block_bytes;
	size_t block_room;
	size_t block_max;
	uint64_t block_records;
	uint8_t *packed; /* room for the block's head in front, for its sync marker behind */
	size_t packed_room;
	bool is_open;
};

enum err file_writer_init(struct file_writer *w, enum file_format format, enum file_codec_kind kind,
			  int level, size_t block_max);
void file_writer_fini(struct file_writer *w);

enum err file_writer_open(struct file_writer *w, struct file_dir *d, const struct avro_meta *meta,
			  size_t meta_count);
enum err file_writer_add(struct file_writer *w, const void *octets, size_t bytes);
enum err file_writer_finish(struct file_writer *w);
/* The file stays, under whatever name it has. */
void file_writer_close(struct file_writer *w);
void file_writer_abort(struct file_writer *w, struct file_dir *d);

#endif
