/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/room.h"

enum err file_writer_init(struct file_writer *w, enum file_format format, enum file_codec_kind kind,
			  int level, size_t block_max)
{
	memset(w, 0, sizeof(*w));
	w->out.fd = -1;
	w->format = format;
	w->block_max = block_max;
	return file_codec_new(kind, level, &w->codec);
}

void file_writer_fini(struct file_writer *w)
{
	must(!w->is_open);
	file_codec_free(w->codec);
	free(w->block);
	free(w->packed);
	memset(w, 0, sizeof(*w));
}

static enum err write_header(struct file_writer *w, const struct avro_meta *meta, size_t meta_count)
{
	uint8_t *header;
	size_t bytes;
	enum err e;

	TRY(file_avro_header(meta, meta_count, w->sync, &header, &bytes));
	e = file_out_write(&w->out, header, bytes);
	free(header);
	return e;
}

enum err file_writer_open(struct file_writer *w, struct file_dir *d, const struct avro_meta *meta,
			  size_t meta_count)
{
	must(!w->is_open);
	TRY(file_out_create(d, &w->out));
	w->is_open = true;
	w->block_bytes = 0;
	w->block_records = 0;
	if (w->format == FORMAT_AVRO) {
		enum err e = write_header(w, meta, meta_count);

		if (e != ERR_OK) {
			file_writer_abort(w, d);
			return e;
		}
	}
	return ERR_OK;
}

static enum err flush_block(struct file_writer *w)
{
	size_t bound = file_codec_bound(w->codec, w->block_bytes);
	uint8_t *start;
	size_t bytes;

	if (w->block_records == 0)
		return ERR_OK;
	TRY(room_make(&w->packed, &w->packed_room, AVRO_BLOCK_HEAD_MAX + bound + AVRO_SYNC_BYTES));
	start = w->packed + AVRO_BLOCK_HEAD_MAX;
	bytes = file_codec_run(w->codec, w->block, w->block_bytes, start, bound);
	if (bytes == 0) {
		errno = ENOMEM; /* all that a compressor can fail for, with room enough */
		return ERR_NOMEM;
	}
	if (w->format == FORMAT_AVRO) {
		uint8_t *end = start + bytes;

		memcpy(end, w->sync, AVRO_SYNC_BYTES);
		start = file_avro_block_head(start, w->block_records, bytes);
		bytes = (size_t)(end + AVRO_SYNC_BYTES - start);
	}
	w->block_bytes = 0;
	w->block_records = 0;
	return file_out_write(&w->out, start, bytes);
}

enum err file_writer_add(struct file_writer *w, const void *octets, size_t bytes)
{
	size_t need = w->block_bytes + bytes;

	must(w->is_open);
	TRY(room_make(&w->block, &w->block_room, need < w->block_max ? w->block_max : 2 * need));
	memcpy(w->block + w->block_bytes, octets, bytes);
	w->block_bytes = need;
	w->block_records++;
	return w->block_bytes < w->block_max ? ERR_OK : flush_block(w);
}

enum err file_writer_finish(struct file_writer *w)
{
	must(w->is_open);
	return flush_block(w);
}

void file_writer_close(struct file_writer *w)
{
	if (w->is_open)
		file_out_close(&w->out);
	w->is_open = false;
}

void file_writer_abort(struct file_writer *w, struct file_dir *d)
{
	if (w->is_open)
		file_out_abort(d, &w->out);
	w->is_open = false;
}
