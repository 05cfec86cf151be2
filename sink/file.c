/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/file_conf.h"
#include "sink/file_rotate.h"
#include "sink/lines.h"

#define IDLE_MS 100
#define STEP_MS 10    /* until a rotation that waits goes on */
#define POLL_MS 50    /* at most about so long in one poll */
#define FLUSH_MS 1000 /* a file has at least so much of a flush that finds no end of records */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000
#define SMALL_MS 180000 /* how long files are smaller after one that did not fit */
#define FINISH_MS 2000	/* at the end, for the log to have the last records on disk */
#define ERROR_BYTES 160
/* Of log.max_bytes: a file gives back at least that when the log is half full. */
#define PRESSURE_SHARE 8

/* What `status` shows; under lock. */
struct file_view {
	bool is_waiting;
	char error[ERROR_BYTES];
	char name[FILE_NAME_BYTES]; /* completed last */
	uint64_t files;
	uint64_t removed;
	uint64_t open_records;
	uint64_t manifests;
};

/* What the open file has of one log. */
struct part {
	uint64_t end; /* one past the last */
	uint64_t records;
	uint64_t octets;
	uint64_t corrupt;
	uint64_t not_routed;
	uint64_t passed; /* over, since an earlier life delivered them */
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
	struct file_rotate rotate;
	struct lines lines;
	uint32_t schema; /* of the open file */
	int64_t opened_ms;
	struct part *parts; /* for each reader */
	uint64_t records;   /* of all */
	uint64_t octets;
	size_t next_reader;

	bool is_waiting;
	int64_t retry_at_ms;
	int64_t retry_ms;
	uint64_t small_bytes; /* instead of rotate_bytes, */
	int64_t small_until_ms;
	char said[ERROR_BYTES];
	struct why why; /* when errno does not say it */

	pthread_mutex_t lock;
	struct file_view view;
};

static void file_close(void *self)
{
	struct file *f = self;

	if (f == NULL)
		return;
	/* What is decided stays for the next life to finish. */
	if (file_rotate_is_decided(&f->rotate))
		file_writer_close(&f->writer);
	file_writer_abort(&f->writer, &f->dir);
	file_writer_fini(&f->writer);
	file_rotate_fini(&f->rotate);
	file_dir_close(&f->dir);
	lines_fini(&f->lines);
	(void)pthread_mutex_destroy(&f->lock);
	free(f->parts);
	free(f->path);
	free(f);
}

static enum err file_check(const void *conf, struct why *why)
{
	return file_conf_check(conf, why);
}

/* What an earlier life had decided, and the cursors do not know of. */
static void count_found(struct file *f, const struct file_found *found)
{
	stat_add(f->env.stat, SINK_STAT_DELIVERED, found->delivered);
	stat_add(f->env.stat, SINK_STAT_DELIVERED_OCTETS, found->octets);
	stat_add(f->env.stat, SINK_STAT_CORRUPT, found->corrupt);
	stat_add(f->env.stat, SINK_STAT_NOT_ROUTED, found->not_routed);
	stat_add(f->env.stat, SINK_STAT_OUT_OCTETS, found->out_octets);
	stat_add(f->env.stat, SINK_STAT_ROTATIONS, found->files);
}

static enum err settle_dir(struct file *f, bool is_early)
{
	struct file_found found;
	unsigned removed = 0;
	enum err e = file_rotate_recover(&f->rotate, &f->dir, is_early, &found, &f->why);

	count_found(f, &found);
	if (e == ERR_OK && found.is_settled)
		e = file_dir_clean(&f->dir, &removed);
	if (removed == 0)
		return e;
	log_info("sink.removed_unfinished sink=%s files=%u", f->env.name, removed);
	(void)pthread_mutex_lock(&f->lock);
	f->view.removed += removed;
	(void)pthread_mutex_unlock(&f->lock);
	return e;
}

/* The directory is opened when it is needed, so that one that fails later is like one that fails now,
 * and again when another one stands at its path; but what a killed process left is seen to at once. */
static enum err open_dir(struct file *f, bool is_early)
{
	enum err e;

	f->why.text[0] = '\0';
	if (file_dir_is_at(&f->dir, f->path))
		return ERR_OK;
	file_dir_close(&f->dir);
	e = file_dir_open(&f->dir, f->path);
	if (e == ERR_OK)
		e = settle_dir(f, is_early);
	if (e != ERR_OK)
		file_dir_close(&f->dir);
	return e;
}

static enum err file_open(const void *conf, const struct sink_env *env, struct why *why, void **out)
{
	const struct file_options *o = conf;
	struct stat st;
	struct file *f;

	TRY(file_check(o, why));
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	f->env = *env;
	f->format = (enum file_format)o->format;
	f->kind = file_conf_codec(o);
	f->rotate_ms = (int64_t)o->rotate_s * 1000;
	f->rotate_bytes = o->rotate_bytes;
	f->block_bytes = o->block_bytes;
	(void)pthread_mutex_init(&f->lock, NULL);
	lines_init(&f->lines, env->hub);
	file_dir_init(&f->dir, env->name, file_conf_suffix(f->format, f->kind));
	f->writer.out.fd = -1;
	f->path = strdup(o->path);
	f->parts = calloc(env->reader_count + 1, sizeof(f->parts[0]));
	if (f->path == NULL || f->parts == NULL ||
	    file_rotate_init(&f->rotate, &f->env) != ERR_OK ||
	    file_writer_init(&f->writer, f->format, f->kind, (int)o->level,
			     (size_t)o->block_bytes) != ERR_OK) {
		file_close(f);
		return why_set(why, ERR_NOMEM, "no memory");
	}
	if (stat(f->path, &st) == 0 && open_dir(f, true) == ERR_UNSUPPORTED) {
		(void)why_set(why, ERR_UNSUPPORTED, "%s: %s", f->path, f->why.text);
		file_close(f);
		return ERR_UNSUPPORTED;
	}
	*out = f;
	return ERR_OK;
}

/* Anything but a manifest that nobody here can read is waited for. */
static enum err file_start(void *self, struct why *why)
{
	struct file *f = self;

	if (open_dir(f, false) == ERR_UNSUPPORTED)
		return why_set(why, ERR_UNSUPPORTED, "%s: %s", f->path, f->why.text);
	return ERR_OK;
}

static void forget(struct file *f)
{
	memset(f->parts, 0, f->env.reader_count * sizeof(f->parts[0]));
	f->records = 0;
	f->octets = 0;
}

/* The open file is given up: its records are read again. */
static void give_up(struct file *f)
{
	if (f->rotate.stage != ROTATE_NONE)
		file_rotate_abandon(&f->rotate);
	file_writer_abort(&f->writer, &f->dir);
	file_dir_close(&f->dir);
	for (size_t i = 0; i < f->env.reader_count; i++) {
		struct log_reader *r = f->env.readers[i];

		(void)log_reader_seek(r, log_reader_done_lsn(r));
	}
	forget(f);
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

	(void)snprintf(error, sizeof(error), "%.150s",
		       f->why.text[0] != '\0' ? f->why.text : strerror(errno));
	f->why.text[0] = '\0';
	if (!file_rotate_is_decided(&f->rotate)) {
		be_smaller(f, errno);
		give_up(f);
	}
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
	f->view.open_records = f->records;
	memcpy(f->view.error, error, sizeof(f->view.error));
	(void)pthread_mutex_unlock(&f->lock);
	stat_inc(f->env.stat, SINK_STAT_ERRORS); /* whoever sees it sees the state too */
}

static enum err open_file(struct file *f, uint32_t schema)
{
	char lsn[FILE_LSN_TEXT_BYTES];
	char when[CLOCK_TEXT_BYTES];
	size_t bytes;
	const char *text = log_name(f->env.hub, LOG_NAME_SCHEMA, schema, &bytes);
	const struct avro_meta meta[] = {
		{ "avro.schema", text },
		{ "avro.codec", file_conf_codec_name(f->kind) },
		{ "sluice.version", SLUICE_VERSION },
		{ "sluice.sink", f->env.name },
		{ "sluice.created", when },
		{ "sluice.lsn_first", lsn },
	};

	file_rotate_lsn_text(&f->env, lsn);
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

static enum err begin_rotation(struct file *f)
{
	TRY(file_writer_finish(&f->writer));
	TRY(file_rotate_begin(&f->rotate, &f->dir));
	for (size_t i = 0; i < f->env.reader_count; i++) {
		struct log_reader *r = f->env.readers[i];
		const struct part *part = &f->parts[i];
		struct file_manifest_log log = {
			.worker = log_worker(log_reader_log(r)),
			.first = log_reader_done_lsn(r),
			.end = part->end,
			.delivered = part->records + part->passed,
			.octets = part->octets,
			.corrupt = part->corrupt,
			.not_routed = part->not_routed,
		};

		if (log.end <= log.first)
			continue;
		log_reader_gaps(r, log.end, log.lost);
		TRY(file_rotate_add_log(&f->rotate, &log));
	}
	return file_rotate_add_file(&f->rotate, &f->writer.out, f->records);
}

static void count_parts(const struct file *f)
{
	for (size_t i = 0; i < f->env.reader_count; i++) {
		stat_add(f->env.stat, SINK_STAT_DELIVERED,
			 f->parts[i].records + f->parts[i].passed);
		stat_add(f->env.stat, SINK_STAT_DELIVERED_OCTETS, f->parts[i].octets);
		stat_add(f->env.stat, SINK_STAT_CORRUPT, f->parts[i].corrupt);
		stat_add(f->env.stat, SINK_STAT_NOT_ROUTED, f->parts[i].not_routed);
	}
	stat_add(f->env.stat, SINK_STAT_OUT_OCTETS, f->writer.out.bytes);
	stat_inc(f->env.stat, SINK_STAT_ROTATIONS);
}

/* The open file becomes complete, and its records done; ERR_AGAIN when it is not yet. */
static enum err complete(struct file *f)
{
	if (f->rotate.stage == ROTATE_NONE)
		TRY(begin_rotation(f));
	TRY(file_rotate_step(&f->rotate));
	count_parts(f);
	recovered(f);
	(void)pthread_mutex_lock(&f->lock);
	f->view.is_waiting = false;
	f->view.files++;
	f->view.open_records = 0;
	memcpy(f->view.name, f->writer.out.name, sizeof(f->view.name));
	(void)pthread_mutex_unlock(&f->lock);
	log_debug("sink.file_completed sink=%s file=%s records=%llu octets=%llu", f->env.name,
		  f->writer.out.name, (unsigned long long)f->records,
		  (unsigned long long)f->writer.out.bytes);
	file_writer_close(&f->writer);
	forget(f);
	/* Last: whoever waits for the records finds them in status and counters. */
	file_rotate_done(&f->rotate);
	return ERR_OK;
}

static enum err put_record(struct file *f, struct part *part, const struct log_record *record,
			   uint32_t schema)
{
	const void *octets = record->payload;
	size_t bytes = record->head.bytes;

	if (f->format == FORMAT_JSON) {
		enum err e;

		f->lines.bytes = 0;
		e = lines_put(&f->lines, schema, record->payload, record->head.bytes);
		if (e == ERR_FORMAT) {
			part->corrupt++;
			return ERR_OK;
		}
		if (e != ERR_OK) {
			errno = ENOMEM;
			return e;
		}
		octets = f->lines.text;
		bytes = f->lines.bytes;
	}
	TRY(file_writer_add(&f->writer, octets, bytes));
	part->records++;
	part->octets += record->head.bytes;
	f->records++;
	f->octets += record->head.bytes;
	return ERR_OK;
}

/* What an earlier life delivered, seen too late for the log to know. */
static void pass_over(struct file *f, size_t reader, uint64_t records, uint64_t end)
{
	if (f->writer.is_open) {
		f->parts[reader].passed += records;
		f->parts[reader].end = end;
	} else {
		stat_add(f->env.stat, SINK_STAT_DELIVERED, records);
		reader_done(f->env.readers[reader], end);
	}
}

static enum err put_records(struct file *f, size_t reader, const struct log_frame *frame)
{
	uint64_t skip = file_rotate_skip(&f->rotate, reader);
	struct log_record record = { .lsn = 0 };
	struct part *part = &f->parts[reader];
	size_t at = 0;

	while (log_frame_next(frame, &at, &record)) {
		part->end = record.lsn + 1;
		if (record.lsn < skip) {
			pass_over(f, reader, 1, record.lsn + 1);
		} else if ((record.head.route & f->env.route) == 0) {
			part->not_routed++;
		} else {
			if (!f->writer.is_open)
				TRY(open_file(f, frame->head.schema));
			TRY(put_record(f, part, &record, frame->head.schema));
		}
	}
	/* Records that are for others make no file. */
	if (!f->writer.is_open) {
		stat_add(f->env.stat, SINK_STAT_NOT_ROUTED, part->not_routed);
		reader_done(f->env.readers[reader], part->end);
		*part = (struct part){ 0 };
	}
	return ERR_OK;
}

/* A file has records of one schema: a frame of another one is left for the next file. */
static enum err put_frame(struct file *f, size_t reader, const struct log_frame *frame)
{
	uint64_t end = frame->head.first_lsn + frame->head.record_count;

	if (f->writer.is_open && f->schema != frame->head.schema && f->format == FORMAT_AVRO) {
		(void)log_reader_seek(f->env.readers[reader], frame->head.first_lsn);
		f->next_reader = reader;
		return complete(f);
	}
	if (!f->writer.is_open)
		TRY(open_dir(f, false));
	if (end <= file_rotate_skip(&f->rotate, reader)) {
		pass_over(f, reader, frame->head.record_count, end);
		return ERR_OK;
	}
	return put_records(f, reader, frame);
}

/* One frame, from the readers in turn; *has_all when no log has one. */
static enum err take_frame(struct file *f, bool *has_all)
{
	struct log_frame frame;

	for (size_t tried = 0; tried < f->env.reader_count; tried++) {
		size_t reader = f->next_reader;

		f->next_reader = (f->next_reader + 1) % f->env.reader_count;
		if (log_reader_next(f->env.readers[reader], &frame) == ERR_OK)
			return put_frame(f, reader, &frame);
	}
	*has_all = true;
	return ERR_OK;
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
	f->view.manifests = f->rotate.kept_count;
	(void)pthread_mutex_unlock(&f->lock);
}

/* Reads for a while, and completes the file when it is time. */
static enum err run(struct file *f, bool is_flushing, bool *has_all)
{
	int64_t until_ms = clock_mono_ms() + POLL_MS;

	if (f->rotate.stage != ROTATE_NONE)
		TRY(complete(f));
	while (!*has_all && clock_mono_ms() < until_ms) {
		TRY(take_frame(f, has_all));
		if (is_complete(f, false, false))
			TRY(complete(f));
	}
	return is_complete(f, *has_all, is_flushing) ? complete(f) : ERR_OK;
}

static int file_poll(void *self, bool is_flushing)
{
	struct file *f = self;
	bool is_stuck = !f->writer.is_open || file_rotate_is_decided(&f->rotate);
	bool has_all = false;
	enum err e;

	file_rotate_tend(&f->rotate);
	if (f->is_waiting && is_stuck) {
		if (clock_mono_ms() < f->retry_at_ms)
			return IDLE_MS;
		stat_inc(f->env.stat, SINK_STAT_RETRIES);
	}
	e = run(f, is_flushing, &has_all);
	if (e != ERR_OK && e != ERR_AGAIN) {
		fail(f);
		return IDLE_MS;
	}
	show_open(f);
	if (e == ERR_AGAIN)
		return STEP_MS;
	return has_all ? IDLE_MS : 0;
}

/* What was read is made safe, though there may be more. */
static void file_finish(void *self)
{
	const struct timespec nap = { 0, STEP_MS * 1000000 };
	int64_t until_ms = clock_mono_ms() + FINISH_MS;
	struct file *f = self;
	enum err e = ERR_OK;

	while (f->writer.is_open) {
		e = complete(f);
		if (e != ERR_AGAIN || clock_mono_ms() >= until_ms)
			break;
		(void)nanosleep(&nap, NULL);
	}
	if (e == ERR_AGAIN)
		give_up(f); /* its records stay in the log */
	else if (e != ERR_OK)
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
	json_u64(out, "manifests", view.manifests);
	if (view.name[0] != '\0')
		json_str(out, "last_file", view.name);
}

const struct sink_ops sink_file = {
	.type = "file",
	.options = file_conf_options,
	.conf_bytes = sizeof(struct file_options),
	.check = file_check,
	.open = file_open,
	.start = file_start,
	.poll = file_poll,
	.finish = file_finish,
	.status = file_status,
	.close = file_close,
};
