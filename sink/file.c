/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/file_writer.h"
#include "sink/lines.h"

#define IDLE_MS 100
#define POLL_MS 50    /* at most about so long in one poll */
#define FLUSH_MS 1000 /* a file has at least so much of a flush that finds no end of records */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000
#define SMALL_MS 180000 /* how long files are smaller after one that did not fit */
#define ERROR_BYTES 160
#define LSN_TEXT_BYTES 1024
/* Of log.max_bytes: a file gives back at least that when the log is half full. */
#define PRESSURE_SHARE 8

struct file_options {
	char *path;
	int format;
	int codec;
	uint32_t level;
	uint32_t rotate_s;
	uint64_t rotate_bytes;
	uint64_t block_bytes;
};

static const struct conf_word formats[] = {
	{ "avro", FORMAT_AVRO },
	{ "json", FORMAT_JSON },
	{ NULL, 0 },
};

static const struct conf_word codecs[] = {
	{ "null", CODEC_NULL },	      { "snappy", CODEC_SNAPPY }, { "zstandard", CODEC_ZSTANDARD },
	{ "deflate", CODEC_DEFLATE }, { "none", CODEC_NULL },	  { NULL, 0 },
};

#define AT(member) offsetof(struct file_options, member)
static const struct conf_opt options[] = {
	{ .key = "path",
	  .type = CONF_STRING,
	  .reload = CONF_RESTART,
	  .at = AT(path),
	  .min = 1,
	  .max = 4000,
	  .preset = "flows",
	  .doc = "Directory of the files; made when it is missing." },
	CONF_ENUM_ROW("format", struct file_options, format, CONF_RESTART, formats, "avro",
		      "Avro object container files, or JSON lines."),
	CONF_ENUM_ROW(
		"codec", struct file_options, codec, CONF_RESTART, codecs, "deflate",
		"Compression: null, snappy (Avro only), zstandard, deflate (JSON lines: gzip)."),
	{ .key = "level",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(level),
	  .min = 0,
	  .max = 22,
	  .preset = "0",
	  .doc = "Level of the codec, deflate up to 9, zstandard up to 22; 0 is a fast one." },
	{ .key = "rotate_s",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(rotate_s),
	  .min = 1,
	  .max = 86400,
	  .preset = "60",
	  .doc = "Seconds after which a file is completed." },
	{ .key = "rotate_bytes",
	  .type = CONF_SIZE,
	  .reload = CONF_RESTART,
	  .at = AT(rotate_bytes),
	  .min = 4096,
	  .max = INT64_MAX,
	  .preset = "128M",
	  .doc = "Octets of records, before compression, after which a file is completed; the log holds "
		 "them so long." },
	{ .key = "block_bytes",
	  .type = CONF_SIZE,
	  .reload = CONF_RESTART,
	  .at = AT(block_bytes),
	  .min = 4096,
	  .max = 16 << 20,
	  .preset = "256K",
	  .doc = "Octets of records that are compressed together." },
	{ 0 },
};

/* What `status` shows; under lock. */
struct file_view {
	bool is_waiting;
	char error[ERROR_BYTES];
	char name[FILE_NAME_BYTES]; /* completed last */
	uint64_t files;
	uint64_t removed;
	uint64_t open_records;
};

struct file {
	struct sink_env env;
	char *path;
	enum file_format format;
	enum file_codec_kind kind;
	int64_t rotate_ms;
	uint64_t rotate_bytes;
	uint64_t block_bytes;

	struct file_dir dir;
	struct file_writer writer;
	struct lines lines;
	uint32_t schema; /* of the open file */
	int64_t opened_ms;
	uint64_t *ends; /* one past what the open file has of each log */
	uint64_t records;
	uint64_t octets;
	uint64_t corrupt;
	uint64_t not_routed;
	size_t next_reader;

	bool is_waiting;
	int64_t retry_at_ms;
	int64_t retry_ms;
	uint64_t small_bytes; /* instead of rotate_bytes, */
	int64_t small_until_ms;
	char said[ERROR_BYTES];

	pthread_mutex_t lock;
	struct file_view view;
};

static const char *suffix_of(enum file_format format, enum file_codec_kind kind)
{
	if (format == FORMAT_AVRO)
		return ".avro";
	return kind == CODEC_ZSTANDARD ? ".jsonl.zst" : kind == CODEC_GZIP ? ".jsonl.gz" : ".jsonl";
}

static const char *codec_name(enum file_codec_kind kind)
{
	for (const struct conf_word *w = codecs; w->name != NULL; w++) {
		if (w->value == (int)kind)
			return w->name;
	}
	return "null";
}

static void file_close(void *self)
{
	struct file *f = self;

	if (f == NULL)
		return;
	file_writer_abort(&f->writer, &f->dir);
	file_writer_fini(&f->writer);
	file_dir_close(&f->dir);
	lines_fini(&f->lines);
	(void)pthread_mutex_destroy(&f->lock);
	free(f->ends);
	free(f->path);
	free(f);
}

static enum err file_check(const void *conf, struct why *why)
{
	const struct file_options *o = conf;

	if (o->format == FORMAT_JSON && o->codec == CODEC_SNAPPY)
		return why_set(why, ERR_CONF,
			       "codec: snappy is for Avro files; JSON lines take "
			       "deflate, zstandard or null");
	if ((o->codec == CODEC_DEFLATE || o->codec == CODEC_ZSTANDARD) &&
	    (int)o->level > file_codec_level_max((enum file_codec_kind)o->codec))
		return why_set(why, ERR_CONF, "level: %u is above the codec's %d", o->level,
			       file_codec_level_max((enum file_codec_kind)o->codec));
	return ERR_OK;
}

static enum err file_open(const void *conf, const struct sink_env *env, struct why *why, void **out)
{
	const struct file_options *o = conf;
	struct file *f;

	TRY(file_check(o, why));
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	f->env = *env;
	f->format = (enum file_format)o->format;
	f->kind = (enum file_codec_kind)o->codec;
	if (f->format == FORMAT_JSON && f->kind == CODEC_DEFLATE)
		f->kind = CODEC_GZIP;
	f->rotate_ms = (int64_t)o->rotate_s * 1000;
	f->rotate_bytes = o->rotate_bytes;
	f->block_bytes = o->block_bytes;
	(void)pthread_mutex_init(&f->lock, NULL);
	lines_init(&f->lines, env->hub);
	file_dir_init(&f->dir, env->name, suffix_of(f->format, f->kind));
	f->writer.out.fd = -1;
	f->path = strdup(o->path);
	f->ends = calloc(env->reader_count + 1, sizeof(f->ends[0]));
	if (f->path == NULL || f->ends == NULL ||
	    file_writer_init(&f->writer, f->format, f->kind, (int)o->level,
			     (size_t)o->block_bytes) != ERR_OK) {
		file_close(f);
		return why_set(why, ERR_NOMEM, "no memory");
	}
	*out = f;
	return ERR_OK;
}

/* The directory is opened when it is needed, so that one that fails later is like one that fails now,
 * and again when another one stands at its path; but what a killed process left goes at once. */
static void open_dir(struct file *f)
{
	unsigned removed = 0;

	if (!file_dir_is_at(&f->dir, f->path)) {
		file_dir_close(&f->dir);
		(void)file_dir_open(&f->dir, f->path, &removed);
	}
	if (removed == 0)
		return;
	log_info("sink.removed_unfinished sink=%s files=%u", f->env.name, removed);
	(void)pthread_mutex_lock(&f->lock);
	f->view.removed += removed;
	(void)pthread_mutex_unlock(&f->lock);
}

static enum err file_start(void *self, struct why *why)
{
	(void)why;
	open_dir(self);
	return ERR_OK;
}

/* The open file is given up: its records are read again. */
static void read_again(struct file *f)
{
	for (size_t i = 0; i < f->env.reader_count; i++) {
		struct log_reader *r = f->env.readers[i];

		(void)log_reader_seek(r, log_reader_done_lsn(r));
		f->ends[i] = 0;
	}
	f->records = 0;
	f->octets = 0;
	f->corrupt = 0;
	f->not_routed = 0;
}

static uint64_t rotate_bytes(const struct file *f)
{
	return clock_mono_ms() < f->small_until_ms ? f->small_bytes : f->rotate_bytes;
}

/* Where a file does not fit any more, half of it may: what is complete stays, while the one given up
 * takes everything with it. */
static void be_smaller(struct file *f, int error)
{
	uint64_t bytes = rotate_bytes(f);

	if (error != ENOSPC && error != EDQUOT && error != EFBIG)
		return;
	if (f->octets > 0 && f->octets < bytes)
		bytes = f->octets;
	f->small_bytes = bytes / 2 > f->block_bytes ? bytes / 2 : f->block_bytes;
	if (f->small_bytes > f->rotate_bytes)
		f->small_bytes = f->rotate_bytes;
	f->small_until_ms = clock_mono_ms() + SMALL_MS;
}

/* errno says why.  One line for each new reason. */
static void fail(struct file *f)
{
	char error[ERROR_BYTES];
	char quoted[2 * ERROR_BYTES];

	(void)snprintf(error, sizeof(error), "%s", strerror(errno));
	be_smaller(f, errno);
	file_writer_abort(&f->writer, &f->dir);
	file_dir_close(&f->dir);
	read_again(f);
	f->retry_ms = !f->is_waiting ? RETRY_FIRST_MS : 2 * f->retry_ms;
	if (f->retry_ms > RETRY_MAX_MS)
		f->retry_ms = RETRY_MAX_MS;
	f->retry_at_ms = clock_mono_ms() + f->retry_ms;
	f->is_waiting = true;
	if (strcmp(f->said, error) != 0)
		log_error("sink.file_failed sink=%s path=%s why=\"%s\" retry=until_it_works",
			  f->env.name, log_quote(f->path, strlen(f->path), quoted, sizeof(quoted)),
			  error);
	memcpy(f->said, error, sizeof(f->said));
	(void)pthread_mutex_lock(&f->lock);
	f->view.is_waiting = true;
	f->view.open_records = 0;
	memcpy(f->view.error, error, sizeof(f->view.error));
	(void)pthread_mutex_unlock(&f->lock);
	stat_inc(f->env.stat, SINK_STAT_ERRORS); /* whoever sees it sees the state too */
}

/* "worker:lsn" of the first record of each log that may be in the file. */
static void lsn_text(const struct file *f, char out[LSN_TEXT_BYTES])
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < f->env.reader_count && n + 32 < LSN_TEXT_BYTES; i++) {
		const struct log_reader *r = f->env.readers[i];

		n += (size_t)snprintf(out + n, LSN_TEXT_BYTES - n, "%s%u:%llu", i == 0 ? "" : ",",
				      log_worker(log_reader_log(r)),
				      (unsigned long long)log_reader_done_lsn(r));
	}
}

static enum err open_file(struct file *f, uint32_t schema)
{
	char lsn[LSN_TEXT_BYTES];
	char when[CLOCK_TEXT_BYTES];
	size_t bytes;
	const char *text = log_name(f->env.hub, LOG_NAME_SCHEMA, schema, &bytes);
	const struct avro_meta meta[] = {
		{ "avro.schema", text },
		{ "avro.codec", codec_name(f->kind) },
		{ "sluice.version", SLUICE_VERSION },
		{ "sluice.sink", f->env.name },
		{ "sluice.created", when },
		{ "sluice.lsn_first", lsn },
	};

	open_dir(f);
	if (f->dir.fd < 0)
		return ERR_IO;
	lsn_text(f, lsn);
	clock_text(clock_real_ms(), when);
	TRY(file_writer_open(&f->writer, &f->dir, meta, sizeof(meta) / sizeof(meta[0])));
	f->schema = schema;
	f->opened_ms = clock_mono_ms();
	return ERR_OK;
}

static void recovered(struct file *f)
{
	if (!f->is_waiting)
		return;
	f->is_waiting = false;
	f->said[0] = '\0';
	log_info("sink.file_recovered sink=%s", f->env.name);
}

/* Last of all: whoever waits for the records finds them in status and counters. */
static void report_done(struct file *f)
{
	stat_add(f->env.stat, SINK_STAT_NOT_ROUTED, f->not_routed);
	f->not_routed = 0;
	for (size_t i = 0; i < f->env.reader_count; i++) {
		if (f->ends[i] > log_reader_done_lsn(f->env.readers[i]))
			reader_done(f->env.readers[i], f->ends[i]);
	}
}

/* The open file becomes complete, and its records done. */
static enum err complete(struct file *f)
{
	uint64_t out_octets;

	TRY(file_writer_finish(&f->writer, &f->dir));
	out_octets = f->writer.out.bytes;
	stat_add(f->env.stat, SINK_STAT_DELIVERED, f->records);
	stat_add(f->env.stat, SINK_STAT_DELIVERED_OCTETS, f->octets);
	stat_add(f->env.stat, SINK_STAT_CORRUPT, f->corrupt);
	stat_add(f->env.stat, SINK_STAT_OUT_OCTETS, out_octets);
	stat_inc(f->env.stat, SINK_STAT_ROTATIONS);
	recovered(f);
	(void)pthread_mutex_lock(&f->lock);
	f->view.is_waiting = false;
	f->view.files++;
	f->view.open_records = 0;
	memcpy(f->view.name, f->writer.out.name, sizeof(f->view.name));
	(void)pthread_mutex_unlock(&f->lock);
	report_done(f);
	log_debug("sink.file_completed sink=%s file=%s records=%llu octets=%llu", f->env.name,
		  f->writer.out.name, (unsigned long long)f->records,
		  (unsigned long long)out_octets);
	f->records = 0;
	f->octets = 0;
	f->corrupt = 0;
	return ERR_OK;
}

static enum err put_record(struct file *f, const struct log_record *record, uint32_t schema)
{
	enum err e;

	if (f->format == FORMAT_AVRO)
		return file_writer_add(&f->writer, record->payload, record->head.bytes);
	f->lines.bytes = 0;
	e = lines_put(&f->lines, schema, record->payload, record->head.bytes);
	if (e == ERR_FORMAT) {
		f->corrupt++;
		f->records--; /* not one of those delivered */
		return ERR_OK;
	}
	if (e != ERR_OK) {
		errno = ENOMEM;
		return e;
	}
	return file_writer_add(&f->writer, f->lines.text, f->lines.bytes);
}

static enum err put_frame(struct file *f, size_t reader, const struct log_frame *frame)
{
	struct log_record record = { .lsn = 0 };
	uint32_t schema = frame->head.schema;
	size_t at = 0;

	if (f->writer.is_open && f->schema != schema && f->format == FORMAT_AVRO)
		TRY(complete(f));
	while (log_frame_next(frame, &at, &record)) {
		if ((record.head.route & f->env.route) == 0) {
			f->not_routed++;
			continue;
		}
		if (!f->writer.is_open)
			TRY(open_file(f, schema));
		f->records++;
		f->octets += record.head.bytes;
		TRY(put_record(f, &record, schema));
	}
	f->ends[reader] = frame->head.first_lsn + frame->head.record_count;
	/* Records that are for others do not make a file. */
	if (!f->writer.is_open)
		report_done(f);
	return ERR_OK;
}

/* One frame, from the readers in turn.  ERR_AGAIN when no log has one. */
static enum err take_frame(struct file *f)
{
	struct log_frame frame;

	for (size_t tried = 0; tried < f->env.reader_count; tried++) {
		size_t reader = f->next_reader;

		f->next_reader = (f->next_reader + 1) % f->env.reader_count;
		if (log_reader_next(f->env.readers[reader], &frame) == ERR_OK)
			return put_frame(f, reader, &frame);
	}
	return ERR_AGAIN;
}

static bool is_complete(const struct file *f, bool has_all, bool is_flushing)
{
	uint64_t max_bytes = log_hub_max_bytes(f->env.hub);

	int64_t age_ms = clock_mono_ms() - f->opened_ms;

	if (!f->writer.is_open)
		return false;
	if (f->octets >= rotate_bytes(f) || age_ms >= f->rotate_ms)
		return true;
	if (is_flushing && (has_all || age_ms >= FLUSH_MS))
		return true;
	if (f->is_waiting)
		return has_all; /* tell soon whether it works again */
	return f->octets >= max_bytes / PRESSURE_SHARE &&
	       log_hub_bytes(f->env.hub) >= max_bytes / 2;
}

static void show_open(struct file *f)
{
	(void)pthread_mutex_lock(&f->lock);
	f->view.open_records = f->records;
	(void)pthread_mutex_unlock(&f->lock);
}

static int file_poll(void *self, bool is_flushing)
{
	struct file *f = self;
	int64_t until_ms = clock_mono_ms() + POLL_MS;
	bool has_all = false;

	if (f->is_waiting && !f->writer.is_open) {
		if (clock_mono_ms() < f->retry_at_ms)
			return IDLE_MS;
		stat_inc(f->env.stat, SINK_STAT_RETRIES);
	}
	while (!has_all && clock_mono_ms() < until_ms) {
		enum err e = take_frame(f);

		has_all = e == ERR_AGAIN;
		if (e == ERR_OK && is_complete(f, false, false))
			e = complete(f);
		if (e != ERR_OK && e != ERR_AGAIN) {
			fail(f);
			return IDLE_MS;
		}
	}
	if (is_complete(f, has_all, is_flushing) && complete(f) != ERR_OK)
		fail(f);
	show_open(f);
	return has_all ? IDLE_MS : 0;
}

/* What was read is made safe, though there may be more. */
static void file_finish(void *self)
{
	struct file *f = self;

	if (f->writer.is_open && complete(f) != ERR_OK)
		fail(f);
}

static void file_status(void *self, struct json *out)
{
	struct file *f = self;
	struct file_view view;

	(void)pthread_mutex_lock(&f->lock);
	view = f->view;
	(void)pthread_mutex_unlock(&f->lock);
	json_str(out, "state", view.is_waiting ? "waiting" : "running");
	json_str(out, "path", f->path);
	if (view.is_waiting)
		json_str(out, "error", view.error);
	json_u64(out, "files", view.files);
	json_u64(out, "removed_unfinished", view.removed);
	json_u64(out, "open_records", view.open_records);
	if (view.name[0] != '\0')
		json_str(out, "last_file", view.name);
}

const struct sink_ops sink_file = {
	.type = "file",
	.options = options,
	.conf_bytes = sizeof(struct file_options),
	.check = file_check,
	.open = file_open,
	.start = file_start,
	.poll = file_poll,
	.finish = file_finish,
	.status = file_status,
	.close = file_close,
};
