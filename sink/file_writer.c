/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/room.h"
#include "sink/file_avro.h"
#include "sink/file_conf.h"
#include "sink/lines.h"

#define META_MAX 16
#define BLOCK_FIRST 16384 /* it grows, since many files are small */

/* What one compressor and one buffer do for all files: nothing of them outlives a call. */
struct file_writer_shared {
	enum file_kind format;
	enum file_codec_kind kind;
	struct file_codec *codec;
	size_t block_max;
	struct lines lines;
	uint8_t *packed; /* room for the block's head in front, for its sync marker behind */
	size_t packed_room;
};

struct file_writer {
	struct file_writer_shared *shared;
	struct file_out *out; /* NULL: no file */
	uint8_t sync[AVRO_SYNC_BYTES];
	uint8_t *block; /* plain */
	size_t block_bytes;
	size_t block_room;
	uint64_t block_records;
};

static void shared_free(void *shared)
{
	struct file_writer_shared *s = shared;

	if (s == NULL)
		return;
	file_codec_free(s->codec);
	lines_fini(&s->lines);
	free(s->packed);
	free(s);
}

enum err file_writer_shared_new(struct log_hub *hub, enum file_kind format,
				enum file_codec_kind kind, int level, size_t block_max,
				struct file_writer_shared **out)
{
	struct file_writer_shared *s = calloc(1, sizeof(*s));
	enum err e;

	if (s == NULL)
		return ERR_NOMEM;
	s->format = format;
	s->kind = kind;
	s->block_max = block_max;
	lines_init(&s->lines, hub);
	e = file_codec_new(kind, level, &s->codec);
	if (e != ERR_OK) {
		shared_free(s);
		return e;
	}
	*out = s;
	return ERR_OK;
}

static enum err writer_new(void *shared, void **out)
{
	struct file_writer *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		errno = ENOMEM;
		return ERR_NOMEM;
	}
	w->shared = shared;
	*out = w;
	return ERR_OK;
}

static void writer_free(void *writer)
{
	struct file_writer *w = writer;

	if (w == NULL)
		return;
	free(w->block);
	free(w);
}

static void writer_reset(void *writer)
{
	struct file_writer *w = writer;

	w->out = NULL;
	w->block_bytes = 0;
	w->block_records = 0;
}

static enum err writer_open(void *writer, struct file_out *out, uint32_t schema,
			    const struct file_meta *meta, size_t count)
{
	struct file_writer *w = writer;

	(void)schema;
	(void)meta;
	(void)count;
	writer_reset(w);
	w->out = out;
	return ERR_OK;
}

static enum err avro_open(void *writer, struct file_out *out, uint32_t schema,
			  const struct file_meta *meta, size_t count)
{
	struct file_writer *w = writer;
	struct avro_meta all[META_MAX];
	uint8_t *header;
	size_t bytes;
	enum err e;

	must(count + 2 <= META_MAX);
	TRY(writer_open(w, out, schema, meta, count));
	all[0] = (struct avro_meta){ "avro.schema", log_name(w->shared->lines.hub, LOG_NAME_SCHEMA,
							     schema, &bytes) };
	all[1] = (struct avro_meta){ "avro.codec", file_conf_codec_name(w->shared->kind) };
	for (size_t i = 0; i < count; i++)
		all[i + 2] = (struct avro_meta){ meta[i].key, meta[i].value };
	e = file_avro_header(all, count + 2, w->sync, &header, &bytes);
	if (e == ERR_NOMEM)
		errno = ENOMEM;
	TRY(e);
	e = file_out_write(w->out, header, bytes);
	free(header);
	return e;
}

static enum err flush_block(struct file_writer *w)
{
	struct file_writer_shared *s = w->shared;
	size_t bound = file_codec_bound(s->codec, w->block_bytes);
	uint8_t *start;
	size_t bytes;

	if (w->block_records == 0)
		return ERR_OK;
	TRY(room_make(&s->packed, &s->packed_room, AVRO_BLOCK_HEAD_MAX + bound + AVRO_SYNC_BYTES));
	start = s->packed + AVRO_BLOCK_HEAD_MAX;
	bytes = file_codec_run(s->codec, w->block, w->block_bytes, start, bound);
	if (bytes == 0) {
		errno = ENOMEM; /* all that a compressor can fail for, with room enough */
		return ERR_NOMEM;
	}
	if (s->format == FORMAT_AVRO) {
		uint8_t *end = start + bytes;

		memcpy(end, w->sync, AVRO_SYNC_BYTES);
		start = file_avro_block_head(start, w->block_records, bytes);
		bytes = (size_t)(end + AVRO_SYNC_BYTES - start);
	}
	w->block_bytes = 0;
	w->block_records = 0;
	return file_out_write(w->out, start, bytes);
}

static enum err put(struct file_writer *w, const void *octets, size_t bytes)
{
	size_t need = w->block_bytes + bytes;
	size_t room = 2 * need < BLOCK_FIRST ? BLOCK_FIRST : 2 * need;

	must(w->out != NULL);
	if (need > w->block_room)
		TRY(room_make(&w->block, &w->block_room,
			      need <= w->shared->block_max && room > w->shared->block_max
				      ? w->shared->block_max
				      : room));
	memcpy(w->block + w->block_bytes, octets, bytes);
	w->block_bytes = need;
	w->block_records++;
	return w->block_bytes < w->shared->block_max ? ERR_OK : flush_block(w);
}

static enum err avro_add(void *writer, uint32_t schema, const uint8_t *octets, size_t bytes,
			 struct file_tag tag, struct file_refused *refused)
{
	(void)schema;
	(void)tag;
	(void)refused;
	return put(writer, octets, bytes);
}

static enum err json_add(void *writer, uint32_t schema, const uint8_t *octets, size_t bytes,
			 struct file_tag tag, struct file_refused *refused)
{
	struct file_writer *w = writer;
	struct lines *lines = &w->shared->lines;
	enum err e;

	lines->bytes = 0;
	e = lines_put(lines, schema, octets, bytes);
	if (e == ERR_NOMEM)
		errno = ENOMEM;
	if (e == ERR_FORMAT)
		file_refuse(refused, tag);
	return e == ERR_OK ? put(w, lines->text, lines->bytes) : e;
}

static size_t writer_held(const void *writer)
{
	return ((const struct file_writer *)writer)->block_room;
}

static enum err writer_spill(void *writer)
{
	struct file_writer *w = writer;

	TRY(flush_block(w));
	free(w->block);
	w->block = NULL;
	w->block_room = 0;
	return ERR_OK;
}

static enum err writer_finish(void *writer, const struct file_meta *meta, size_t count)
{
	(void)meta;
	(void)count;
	return flush_block(writer);
}

static const struct file_format formats[] = {
	[FORMAT_AVRO] = { .has_schema = true,
			  .writer_new = writer_new,
			  .writer_free = writer_free,
			  .open = avro_open,
			  .add = avro_add,
			  .held = writer_held,
			  .spill = writer_spill,
			  .finish = writer_finish,
			  .reset = writer_reset,
			  .shared_free = shared_free },
	[FORMAT_JSON] = { .has_schema = false,
			  .writer_new = writer_new,
			  .writer_free = writer_free,
			  .open = writer_open,
			  .add = json_add,
			  .held = writer_held,
			  .spill = writer_spill,
			  .finish = writer_finish,
			  .reset = writer_reset,
			  .shared_free = shared_free },
};

const struct file_format *file_writer_format(enum file_kind format)
{
	return &formats[format];
}
