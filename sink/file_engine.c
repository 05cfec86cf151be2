/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/file_parts.h"
#include "sink/file_set.h"

#define IDLE_MS 100
#define STEP_MS 10    /* until a rotation that waits goes on */
#define POLL_MS 50    /* at most about so long in one poll */
#define FLUSH_MS 1000 /* a flush waits so long for what the log has not got on disk yet */
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
	char name[FILE_PATH_BYTES]; /* completed last */
	uint64_t files;
	uint64_t removed;
	uint64_t open_files;
	uint64_t open_records;
	uint64_t open_memory;
	uint64_t manifests;
	bool is_known; /* what follows */
	uint64_t kept_files;
	uint64_t kept_octets;
};

struct engine {
	struct sink_env env;
	struct file_engine_conf conf;
	char *path;
	struct file_path *pattern;

	struct file_dir dir;
	struct file_set set;
	struct file_rotate rotate;
	struct file_retain retain;
	bool is_ending;		 /* the open files take no more records */
	int64_t opened_ms;	 /* the first of them */
	struct file_part *parts; /* for each reader */
	uint64_t octets;	 /* of all */
	size_t next_reader;
	uint64_t *flush_to; /* for each reader: what was sealed when the flush began */
	bool is_flushing;

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

void file_engine_close(void *self)
{
	struct engine *f = self;

	if (f == NULL)
		return;
	/* What is decided stays for the next life to finish. */
	if (file_rotate_is_decided(&f->rotate))
		file_set_close(&f->set);
	file_set_abort(&f->set, &f->dir);
	file_set_fini(&f->set);
	f->conf.format->shared_free(f->conf.shared);
	file_retain_fini(&f->retain);
	file_rotate_fini(&f->rotate);
	file_dir_close(&f->dir);
	file_path_free(f->pattern);
	(void)pthread_mutex_destroy(&f->lock);
	free(f->flush_to);
	free(f->parts);
	free(f->path);
	free(f);
}

/* What an earlier life had decided, and the cursors do not know of. */
static void count_found(struct engine *f, const struct file_found *found)
{
	stat_add(f->env.stat, SINK_STAT_DELIVERED, found->delivered);
	stat_add(f->env.stat, SINK_STAT_DELIVERED_OCTETS, found->octets);
	stat_add(f->env.stat, SINK_STAT_CORRUPT, found->corrupt);
	stat_add(f->env.stat, SINK_STAT_NOT_ROUTED, found->not_routed);
	stat_add(f->env.stat, SINK_STAT_OUT_OCTETS, found->out_octets);
	stat_add(f->env.stat, SINK_STAT_ROTATIONS, found->files);
	stat_add(f->env.stat, SINK_STAT_LATE, found->late);
}

static enum err settle_dir(struct engine *f, bool is_early)
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
static enum err open_dir(struct engine *f, bool is_early)
{
	enum err e;

	f->why.text[0] = '\0';
	if (file_dir_is_at(&f->dir, f->path))
		return ERR_OK;
	file_dir_close(&f->dir);
	e = file_dir_open(&f->dir, f->path);
	if (e == ERR_OK)
		e = settle_dir(f, is_early);
	if (e == ERR_OK)
		e = file_retain_at(&f->retain, &f->dir);
	if (e != ERR_OK)
		file_dir_close(&f->dir);
	return e;
}

static enum err make(struct engine *f)
{
	const struct file_engine_conf *c = &f->conf;

	f->path = strdup(c->path);
	f->parts = calloc(f->env.reader_count + 1, sizeof(f->parts[0]));
	f->flush_to = calloc(f->env.reader_count + 1, sizeof(f->flush_to[0]));
	if (f->path == NULL || f->parts == NULL || f->flush_to == NULL)
		return ERR_NOMEM;
	file_parts_begin(&f->env);
	TRY(file_rotate_init(&f->rotate, &f->env));
	f->rotate.is_lazy = c->is_lazy;
	TRY(file_retain_init(&f->retain, &c->retain, &f->env, &f->rotate));
	return file_set_init(&f->set, &f->env, c->format, c->shared, f->pattern, c->max_open,
			     c->memory_bytes, f->parts);
}

enum err file_engine_open(const struct file_engine_conf *conf, const struct sink_env *env,
			  struct why *why, void **out)
{
	struct engine *f = calloc(1, sizeof(*f));
	struct stat st;
	enum err e;

	if (f == NULL) {
		conf->format->shared_free(conf->shared);
		return why_set(why, ERR_NOMEM, "no memory");
	}
	f->env = *env;
	f->conf = *conf;
	(void)pthread_mutex_init(&f->lock, NULL);
	file_dir_init(&f->dir, env->name, conf->suffix);
	e = file_path_new(conf->pattern, why, &f->pattern);
	if (e == ERR_OK && make(f) != ERR_OK)
		e = why_set(why, ERR_NOMEM, "no memory");
	if (e == ERR_OK && stat(f->path, &st) == 0 && open_dir(f, true) == ERR_UNSUPPORTED)
		e = why_set(why, ERR_UNSUPPORTED, "%s: %s", f->path, f->why.text);
	if (e != ERR_OK) {
		file_engine_close(f);
		return e;
	}
	*out = f;
	return ERR_OK;
}

/* Anything but a manifest that nobody here can read is waited for. */
enum err file_engine_start(void *self, struct why *why)
{
	struct engine *f = self;

	if (open_dir(f, false) == ERR_UNSUPPORTED)
		return why_set(why, ERR_UNSUPPORTED, "%s: %s", f->path, f->why.text);
	return ERR_OK;
}

static void forget(struct engine *f)
{
	memset(f->parts, 0, f->env.reader_count * sizeof(f->parts[0]));
	f->octets = 0;
	f->is_ending = false;
}

/* The open files are given up: their records are read again. */
static void give_up(struct engine *f)
{
	if (f->rotate.stage != ROTATE_NONE)
		file_rotate_abandon(&f->rotate);
	file_set_abort(&f->set, &f->dir);
	file_dir_close(&f->dir);
	for (size_t i = 0; i < f->env.reader_count; i++) {
		struct log_reader *r = f->env.readers[i];

		(void)log_reader_seek(r, log_reader_done_lsn(r));
	}
	forget(f);
}

static bool has_to_be_small(const struct engine *f)
{
	return clock_mono_ms() < f->small_until_ms;
}

/* Where files do not fit any more, half of them may: what is complete stays, while what is given up takes
 * everything with it. */
static void be_smaller(struct engine *f, int error)
{
	uint64_t bytes = has_to_be_small(f) ? f->small_bytes : f->conf.rotate_bytes;

	if (error != ENOSPC && error != EDQUOT && error != EFBIG)
		return;
	if (f->octets > 0 && f->octets < bytes)
		bytes = f->octets;
	f->small_bytes = bytes / 2 > f->conf.least_bytes ? bytes / 2 : f->conf.least_bytes;
	if (f->small_bytes > f->conf.rotate_bytes)
		f->small_bytes = f->conf.rotate_bytes;
	f->small_until_ms = clock_mono_ms() + SMALL_MS;
}

/* errno says why.  One line for each new reason. */
static void fail(struct engine *f)
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
	f->view.open_files = f->set.count;
	f->view.open_records = f->set.records;
	memcpy(f->view.error, error, sizeof(f->view.error));
	(void)pthread_mutex_unlock(&f->lock);
	stat_inc(f->env.stat, SINK_STAT_ERRORS); /* whoever sees it sees the state too */
}

static void recovered(struct engine *f)
{
	if (!f->is_waiting)
		return;
	f->is_waiting = false;
	f->said[0] = '\0';
	log_info("sink.file_recovered sink=%s", f->env.name);
}

static enum err begin_rotation(struct engine *f)
{
	char lsn[FILE_LSN_TEXT_BYTES];

	f->is_ending = true;
	file_parts_text(f->parts, &f->env, lsn);
	TRY(file_set_finish(&f->set, &f->dir, lsn));
	TRY(file_rotate_begin(&f->rotate, &f->dir));
	TRY(file_parts_add(f->parts, &f->env, &f->rotate));
	for (size_t i = 0; i < f->set.count; i++) {
		struct file_slot *slot = &f->set.slots[i];

		if (slot->is_open)
			TRY(file_rotate_add_file(&f->rotate, &slot->out, slot->records,
						 slot->late));
	}
	return ERR_OK;
}

static void count_file(struct engine *f, const struct file_slot *slot)
{
	stat_add(f->env.stat, SINK_STAT_OUT_OCTETS, slot->out.bytes);
	stat_add(f->env.stat, SINK_STAT_LATE, slot->late);
	stat_inc(f->env.stat, SINK_STAT_ROTATIONS);
	file_retain_added(&f->retain, slot->out.name, slot->out.bytes);
	(void)pthread_mutex_lock(&f->lock);
	f->view.files++;
	memcpy(f->view.name, slot->out.name, sizeof(f->view.name));
	(void)pthread_mutex_unlock(&f->lock);
	log_debug("sink.file_completed sink=%s file=%s records=%llu octets=%llu", f->env.name,
		  slot->out.name, (unsigned long long)slot->records,
		  (unsigned long long)slot->out.bytes);
}

/* A flush asks for what was there when it began.  Until that is read, files become complete as ever: a
 * log that was long without its sink would make many small ones of itself. */
static void look_at_flush(struct engine *f, bool is_flushing)
{
	if (is_flushing && !f->is_flushing)
		file_parts_sealed(&f->env, f->flush_to);
	f->is_flushing = is_flushing;
}

/* The open files become complete, and their records done; ERR_AGAIN when it is not yet. */
static enum err complete(struct engine *f)
{
	if (f->rotate.stage == ROTATE_NONE)
		TRY(begin_rotation(f));
	TRY(file_rotate_step(&f->rotate));
	file_parts_count(f->parts, &f->env);
	recovered(f);
	for (size_t i = 0; i < f->set.count; i++) {
		if (f->set.slots[i].is_open)
			count_file(f, &f->set.slots[i]);
	}
	(void)pthread_mutex_lock(&f->lock);
	f->view.is_waiting = false;
	f->view.open_files = 0;
	f->view.open_records = 0;
	(void)pthread_mutex_unlock(&f->lock);
	file_set_close(&f->set);
	forget(f);
	/* Another one begins anew. */
	f->is_flushing = f->is_flushing && !file_parts_read(&f->env, f->flush_to);
	/* Last: whoever waits for the records finds them in status and counters. */
	file_rotate_done(&f->rotate);
	return ERR_OK;
}

static enum err put_record(struct engine *f, size_t reader, const struct log_record *record,
			   uint32_t schema)
{
	bool is_first = f->set.count == 0;
	struct file_slot *slot;
	bool is_late;

	TRY(file_set_find(&f->set, &f->dir, &record->head, schema, &slot, &is_late));
	if (is_first)
		f->opened_ms = clock_mono_ms();
	f->octets += record->head.bytes;
	return file_set_add(&f->set, slot, schema, record, reader, is_late);
}

/* What an earlier life delivered, seen too late for the log to know. */
static void pass_over(struct engine *f, size_t reader, uint64_t records, uint64_t end)
{
	if (f->set.count > 0) {
		f->parts[reader].passed += records;
		f->parts[reader].end = end;
	} else {
		stat_add(f->env.stat, SINK_STAT_DELIVERED, records);
		reader_done(f->env.readers[reader], end);
	}
}

/* Records that are for others make no file. */
static void pass_unrouted(struct engine *f, size_t reader)
{
	struct file_part *part = &f->parts[reader];

	if (f->set.count > 0 || part->end == 0)
		return;
	stat_add(f->env.stat, SINK_STAT_NOT_ROUTED, part->not_routed);
	reader_done(f->env.readers[reader], part->end);
	*part = (struct file_part){ 0 };
}

/* A record that wants one file too many is read again when those that are open are complete. */
static enum err make_way(struct engine *f, size_t reader, uint64_t lsn)
{
	(void)log_reader_seek(f->env.readers[reader], lsn);
	f->next_reader = reader;
	return complete(f);
}

static enum err put_records(struct engine *f, size_t reader, const struct log_frame *frame)
{
	uint64_t skip = file_rotate_skip(&f->rotate, reader);
	struct log_record record = { .lsn = 0 };
	struct file_part *part = &f->parts[reader];
	size_t at = 0;

	while (log_frame_next(frame, &at, &record)) {
		if (record.lsn < skip) {
			part->end = record.lsn + 1;
			pass_over(f, reader, 1, record.lsn + 1);
		} else if ((record.head.route & f->env.route) == 0) {
			part->end = record.lsn + 1;
			part->not_routed++;
		} else {
			enum err e = put_record(f, reader, &record, frame->head.schema);

			if (e == ERR_FULL)
				return make_way(f, reader, record.lsn);
			TRY(e);
			part->end = record.lsn + 1;
		}
	}
	pass_unrouted(f, reader);
	return ERR_OK;
}

static enum err put_frame(struct engine *f, size_t reader, const struct log_frame *frame)
{
	uint64_t end = frame->head.first_lsn + frame->head.record_count;

	if (f->set.count == 0)
		TRY(open_dir(f, false));
	if (end <= file_rotate_skip(&f->rotate, reader)) {
		pass_over(f, reader, frame->head.record_count, end);
		return ERR_OK;
	}
	return put_records(f, reader, frame);
}

/* One frame, from the readers in turn; *has_all when no log has one. */
static enum err take_frame(struct engine *f, bool *has_all)
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

static bool is_large(const struct engine *f)
{
	uint64_t bytes = f->conf.is_written ? f->set.written : f->octets;

	return bytes >= f->conf.rotate_bytes ||
	       (f->conf.rotate_records > 0 && f->set.records >= f->conf.rotate_records) ||
	       (f->octets >= f->small_bytes && has_to_be_small(f));
}

static bool is_complete(const struct engine *f, bool has_all, bool is_flushing)
{
	uint64_t max_bytes = log_hub_max_bytes(f->env.hub);
	int64_t age_ms = clock_mono_ms() - f->opened_ms;

	if (f->set.count == 0)
		return false;
	if (is_large(f) || age_ms >= f->conf.rotate_ms)
		return true;
	if (is_flushing &&
	    (file_parts_read(&f->env, f->flush_to) || (has_all && age_ms >= FLUSH_MS)))
		return true;
	if (f->is_waiting)
		return has_all; /* tell soon whether it works again */
	return f->octets >= max_bytes / PRESSURE_SHARE &&
	       log_hub_bytes(f->env.hub) >= max_bytes / 2;
}

static void show_open(struct engine *f)
{
	(void)pthread_mutex_lock(&f->lock);
	f->view.open_files = f->set.count;
	f->view.open_records = f->set.records;
	f->view.open_memory = f->set.held;
	f->view.manifests = f->rotate.kept_count;
	f->view.is_known = f->retain.is_known;
	f->view.kept_files = f->retain.files;
	f->view.kept_octets = f->retain.octets;
	(void)pthread_mutex_unlock(&f->lock);
}

/* Reads for a while, and completes the files when it is time. */
static enum err run(struct engine *f, bool is_flushing, bool *has_all)
{
	int64_t until_ms = clock_mono_ms() + POLL_MS;

	if (f->is_ending)
		TRY(complete(f));
	while (!*has_all && clock_mono_ms() < until_ms) {
		TRY(take_frame(f, has_all));
		if (is_complete(f, false, false))
			TRY(complete(f));
	}
	return is_complete(f, *has_all, is_flushing) ? complete(f) : ERR_OK;
}

int file_engine_poll(void *self, bool is_flushing)
{
	struct engine *f = self;
	bool is_stuck = f->set.count == 0 || file_rotate_is_decided(&f->rotate);
	bool has_all = false;
	int idle_ms;
	enum err e;

	look_at_flush(f, is_flushing);
	file_rotate_tend(&f->rotate);
	file_retain_tend(&f->retain);
	idle_ms = f->retain.is_walking ? STEP_MS : IDLE_MS;
	if (f->is_waiting && is_stuck) {
		if (clock_mono_ms() < f->retry_at_ms)
			return idle_ms;
		stat_inc(f->env.stat, SINK_STAT_RETRIES);
	}
	e = run(f, is_flushing, &has_all);
	if (e != ERR_OK && e != ERR_AGAIN) {
		fail(f);
		return idle_ms;
	}
	show_open(f);
	if (e == ERR_AGAIN)
		return STEP_MS;
	return !has_all ? 0 : is_flushing ? STEP_MS : idle_ms;
}

/* What was read is made safe, though there may be more. */
void file_engine_finish(void *self)
{
	const struct timespec nap = { 0, STEP_MS * 1000000 };
	int64_t until_ms = clock_mono_ms() + FINISH_MS;
	struct engine *f = self;
	enum err e = ERR_OK;

	while (f->set.count > 0) {
		e = complete(f);
		if (f->rotate.stage < ROTATE_LOGS) /* it goes on, as long as it takes */
			until_ms = clock_mono_ms() + FINISH_MS;
		if (e != ERR_AGAIN || clock_mono_ms() >= until_ms)
			break;
		(void)nanosleep(&nap, NULL);
	}
	if (e == ERR_AGAIN)
		give_up(f); /* its records stay in the log */
	else if (e != ERR_OK)
		fail(f);
}

void file_engine_status(void *self, struct json *out)
{
	struct engine *f = self;
	struct file_view view;

	(void)pthread_mutex_lock(&f->lock);
	view = f->view;
	(void)pthread_mutex_unlock(&f->lock);
	json_str(out, "state", view.is_waiting ? "waiting" : "running");
	json_str(out, "path", f->path);
	if (f->conf.pattern[0] != '\0')
		json_str(out, "pattern", f->conf.pattern);
	if (view.is_waiting)
		json_str(out, "error", view.error);
	json_u64(out, "files", view.files);
	json_u64(out, "removed_unfinished", view.removed);
	json_u64(out, "open_files", view.open_files);
	json_u64(out, "open_records", view.open_records);
	json_u64(out, "open_memory", view.open_memory);
	json_u64(out, "manifests", view.manifests);
	if (f->conf.is_lazy)
		json_bool(out, "fsync", false);
	if (view.is_known) {
		json_u64(out, "kept_files", view.kept_files);
		json_u64(out, "kept_octets", view.kept_octets);
	}
	if (view.name[0] != '\0')
		json_str(out, "last_file", view.name);
}
