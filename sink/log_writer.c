/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames into segments; the commit thread's.
 *
 * A segment is made under the name `spare`, gets its head, and then its own name.  After a failure it is
 * left as it is at its last durable record: what follows is still in memory and goes into another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/room.h"
#include "sink/log_codec.h"
#include "sink/log_parts.h"

#define PARTS_MAX 4
#define NAMES_TWICE 2

static const uint8_t zeros[LOG_SEGMENT_HEAD_BYTES];

/* --- names that a segment has --- */

static bool is_known(const struct log_known *k, uint32_t number)
{
	return number / 64 < k->words && (k->bits[number / 64] >> (number % 64) & 1) != 0;
}

static enum err make_known(struct log_known *k, uint32_t number)
{
	uint32_t words = number / 64 + 1;

	if (words > k->words) {
		uint64_t *bits = realloc(k->bits, 2ul * words * sizeof(bits[0]));

		if (bits == NULL) {
			errno = ENOMEM;
			return ERR_NOMEM;
		}
		memset(bits + k->words, 0, (2ul * words - k->words) * sizeof(bits[0]));
		k->bits = bits;
		k->words = 2 * words;
	}
	k->bits[number / 64] |= 1ull << (number % 64);
	return ERR_OK;
}

static void forget_names(struct log_writer *w)
{
	for (size_t k = 0; k < LOG_NAME_KINDS; k++)
		memset(w->known[k].bits, 0, w->known[k].words * sizeof(uint64_t));
}

static enum err add_name(struct log *log, enum log_name_kind kind, uint32_t number)
{
	struct log_writer *w = &log->disk->writer;
	struct log_octets *o = &w->names;
	struct log_name_head head = { (uint32_t)kind, number, 0, 0 };
	const char *text;
	size_t bytes;
	size_t need;

	if (is_known(&w->known[kind], number))
		return ERR_OK;
	text = log_name(log->hub, kind, number, &bytes);
	must(bytes <= LOG_NAME_TEXT_MAX);
	head.bytes = (uint32_t)bytes;
	need = o->bytes + sizeof(head) + log_padded(bytes);
	if (need > o->room)
		TRY(room_make(&o->octets, &o->room, 2 * need));
	memcpy(o->octets + o->bytes, &head, sizeof(head));
	memset(o->octets + o->bytes + sizeof(head), 0, log_padded(bytes));
	memcpy(o->octets + o->bytes + sizeof(head), text, bytes);
	o->bytes += sizeof(head) + log_padded(bytes);
	return make_known(&w->known[kind], number);
}

static enum err find_in_records(struct log *log, const struct log_entry *e)
{
	struct log_frame frame = { e->head, log_entry_body(e), e->head.body_bytes };
	struct log_record record = { .lsn = 0 };
	size_t at = 0;

	while (log_frame_next(&frame, &at, &record)) {
		TRY(add_name(log, LOG_NAME_EVENT_TYPE, record.head.event_type));
		TRY(add_name(log, LOG_NAME_EXPORTER, record.head.exporter));
	}
	return ERR_OK;
}

/* Into w->names: the names that the frame uses and the segment has not. */
static enum err find_names(struct log *log, const struct log_entry *e)
{
	const struct log_uses *u = &e->uses;

	log->disk->writer.names.bytes = 0;
	TRY(add_name(log, LOG_NAME_SCHEMA, e->head.schema));
	if (u->are_many)
		return find_in_records(log, e);
	for (uint64_t types = u->event_types; types != 0; types &= types - 1)
		TRY(add_name(log, LOG_NAME_EVENT_TYPE, (uint32_t)__builtin_ctzll(types)));
	for (uint32_t i = 0; i < u->exporter_count; i++)
		TRY(add_name(log, LOG_NAME_EXPORTER, u->exporters[i]));
	return ERR_OK;
}

/* --- frames --- */

static enum err write_frame(struct log *log, struct log_frame_head *head, const uint8_t *body)
{
	struct log_writer *w = &log->disk->writer;
	size_t padding = (size_t)(log_padded(head->body_bytes) - head->body_bytes);
	struct iovec parts[PARTS_MAX] = {
		{ head, sizeof(*head) },
		{ (void *)body, head->body_bytes }, /* which is only read */
		{ (void *)zeros, padding },
	};
	uint64_t bytes = sizeof(*head) + head->body_bytes + padding;

	head->magic = LOG_FRAME_MAGIC;
	head->version = LOG_FRAME_VERSION;
	head->epoch = w->epoch;
	head->crc = log_frame_crc(head, body);
	TRY(log_io_write(log->hub->conf.io, w->fd, parts, padding == 0 ? 2 : 3, w->at));
	w->at += bytes;
	w->unsynced_octets += bytes;
	return ERR_OK;
}

static enum err write_names(struct log *log, uint64_t lsn)
{
	const struct log_octets *o = &log->disk->writer.names;
	struct log_frame_head head = { .first_lsn = lsn,
				       .schema = LOG_FRAME_NAMES,
				       .body_bytes = o->bytes,
				       .plain_bytes = o->bytes };

	for (int i = 0; o->bytes > 0 && i < NAMES_TWICE; i++)
		TRY(write_frame(log, &head, o->octets));
	return ERR_OK;
}

/* What lies between the last frame of the segment and the next one was passed over. */
static enum err write_settled(struct log *log, uint64_t end)
{
	struct log_settled settled = { end };
	struct log_frame_head head = { .first_lsn = log->disk->writer.segment_lsn,
				       .schema = LOG_FRAME_SETTLED,
				       .body_bytes = sizeof(settled),
				       .plain_bytes = sizeof(settled) };

	return write_frame(log, &head, (const uint8_t *)&settled);
}

/* The body as it is to be stored. */
static enum err pack(struct log *log, const struct log_entry *e, struct log_frame_head *head,
		     const uint8_t **body)
{
	struct log_octets *o = &log->disk->writer.packed;
	enum log_codec codec = log->hub->conf.codec;
	size_t n;

	*head = e->head;
	*body = log_entry_body(e);
	if (codec == LOG_CODEC_NONE)
		return ERR_OK;
	TRY(room_make(&o->octets, &o->room, e->head.body_bytes));
	n = log_codec_pack(codec, *body, e->head.body_bytes, o->octets, e->head.body_bytes);
	if (n == 0)
		return ERR_OK; /* as it is */
	head->codec = (uint16_t)codec;
	head->body_bytes = n;
	*body = o->octets;
	return ERR_OK;
}

/* --- segments --- */

/* May the logs take so many octets more?  A log may have one segment in any case. */
static bool has_room(struct log *log, uint64_t bytes, bool is_there)
{
	const struct log_conf *conf = &log->hub->conf;
	uint64_t free_bytes = UINT64_MAX;

	/* It is taken already, from all who count. */
	if (is_there)
		return true;
	if (log->disk->segment_count > 0 &&
	    atomic_load(&log->hub->disk_bytes) + bytes > conf->max_bytes)
		return false;
	if (conf->min_free_bytes > 0 &&
	    conf->io->free_bytes(conf->io->ctx, log->disk->dir_fd, &free_bytes) != 0)
		return false;
	return free_bytes >= conf->min_free_bytes + bytes;
}

void log_writer_forget_spare(struct log *log)
{
	if (!log->disk->writer.has_spare)
		return;
	log->disk->writer.has_spare = false;
	(void)atomic_fetch_sub(&log->hub->disk_bytes, log->hub->segment_bytes);
}

static int create_spare(struct log *log, uint64_t bytes)
{
	const struct log_io *io = log->hub->conf.io;
	int dir_fd = log->disk->dir_fd;
	int fd = io->open(io->ctx, dir_fd, LOG_SPARE_NAME,
			  O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return -1;
	if (io->allocate(io->ctx, fd, (off_t)bytes) == 0)
		return fd;
	(void)io->close(io->ctx, fd);
	(void)io->remove(io->ctx, dir_fd, LOG_SPARE_NAME);
	return -1;
}

/* A file of that many octets named `spare`, open in w->fd, counted in disk_bytes. */
static enum err take_spare(struct log *log, uint64_t bytes)
{
	const struct log_io *io = log->hub->conf.io;
	struct log_writer *w = &log->disk->writer;
	bool is_there = w->has_spare && bytes == log->hub->segment_bytes;

	if (!has_room(log, bytes, is_there)) {
		errno = ENOSPC;
		return ERR_FULL;
	}
	if (is_there) {
		w->fd = io->open(io->ctx, log->disk->dir_fd, LOG_SPARE_NAME,
				 O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
		if (w->fd >= 0) {
			w->has_spare = false;
			return ERR_OK;
		}
	}
	log_writer_forget_spare(log);
	w->fd = create_spare(log, bytes);
	if (w->fd < 0)
		return ERR_IO;
	(void)atomic_fetch_add(&log->hub->disk_bytes, bytes);
	return ERR_OK;
}

static enum err write_head(struct log *log, uint64_t first_lsn)
{
	struct log_writer *w = &log->disk->writer;
	struct log_segment_head head = {
		.version = LOG_FORMAT_VERSION,
		.first_lsn = first_lsn,
		.previous_end = w->previous_end,
		.sequence = w->sequence,
		.created_ms = clock_real_ms(),
		.worker = log->worker,
		.worker_count = log->hub->conf.worker_count,
		.hole = w->previous_end == first_lsn ? LOG_HOLE_NONE : (uint32_t)w->hole,
		.settled_lsn = log->disk->settled_lsn,
	};
	struct iovec parts[2] = { { &head, sizeof(head) },
				  { (void *)zeros, LOG_SEGMENT_HEAD_BYTES - sizeof(head) } };

	if (getrandom(&w->epoch, sizeof(w->epoch), 0) != (ssize_t)sizeof(w->epoch))
		return ERR_IO;
	head.epoch = w->epoch;
	memcpy(head.magic, LOG_SEGMENT_MAGIC, sizeof(head.magic));
	memcpy(head.id, log->hub->id, LOG_ID_BYTES);
	head.crc = log_segment_crc(&head);
	return log_io_write(log->hub->conf.io, w->fd, parts, 2, 0);
}

/* The new segment stands in the list before anything of it can be read. */
static enum err list_segment(struct log *log, uint64_t first_lsn, uint64_t bytes)
{
	struct log_writer *w = &log->disk->writer;
	struct log_segment *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		errno = ENOMEM;
		return ERR_NOMEM;
	}
	s->first_lsn = first_lsn;
	s->end_lsn = first_lsn;
	s->previous_end = w->previous_end;
	s->sequence = w->sequence;
	s->bytes = bytes;
	s->newest_ms = clock_mono_ms();
	s->oldest_ms = s->newest_ms;
	s->hole = w->previous_end == first_lsn ? LOG_HOLE_NONE : w->hole;
	s->is_ours = true;
	(void)pthread_mutex_lock(&log->lock);
	log_segment_add(log->disk, s);
	(void)pthread_mutex_unlock(&log->lock);
	return ERR_OK;
}

static enum err open_segment(struct log *log, uint64_t first_lsn, uint64_t frame_bytes)
{
	const struct log_io *io = log->hub->conf.io;
	struct log_writer *w = &log->disk->writer;
	uint64_t bytes = LOG_SEGMENT_HEAD_BYTES + frame_bytes;
	char name[LOG_SEGMENT_NAME_BYTES];
	enum err e;

	if (bytes < log->hub->segment_bytes)
		bytes = log->hub->segment_bytes;
	TRY(take_spare(log, bytes));
	log_segment_name(first_lsn, name);
	e = write_head(log, first_lsn);
	if (e == ERR_OK && io->rename(io->ctx, log->disk->dir_fd, LOG_SPARE_NAME, name) != 0)
		e = ERR_IO;
	if (e == ERR_OK)
		e = list_segment(log, first_lsn, bytes);
	if (e != ERR_OK) {
		int error = errno;

		(void)io->close(io->ctx, w->fd);
		(void)io->remove(io->ctx, log->disk->dir_fd, LOG_SPARE_NAME);
		(void)atomic_fetch_sub(&log->hub->disk_bytes, bytes);
		w->fd = -1;
		errno = error;
		return e;
	}
	w->at = LOG_SEGMENT_HEAD_BYTES;
	w->segment_lsn = first_lsn;
	w->bytes = bytes;
	w->is_dir_dirty = true;
	log_add(log->hub, LOG_STAT_SEGMENTS, 1);
	w->sequence++;
	w->previous_end = first_lsn;
	w->hole = LOG_HOLE_NONE;
	return ERR_OK;
}

static void close_segment(struct log *log)
{
	const struct log_io *io = log->hub->conf.io;
	struct log_writer *w = &log->disk->writer;

	if (w->fd >= 0)
		(void)io->close(io->ctx, w->fd);
	w->fd = -1;
}

static uint64_t bytes_of(const struct log *log, const struct log_frame_head *head)
{
	return sizeof(*head) + sizeof(struct log_settled) +
	       NAMES_TWICE * (sizeof(*head) + log->disk->writer.names.bytes) + sizeof(*head) +
	       log_padded(head->body_bytes);
}

enum err log_writer_put(struct log *log, const struct log_entry *e)
{
	struct log_writer *w = &log->disk->writer;
	struct log_frame_head head;
	const uint8_t *body;

	TRY(pack(log, e, &head, &body));
	TRY(find_names(log, e));
	if (w->fd >= 0 && w->at + bytes_of(log, &head) > w->bytes) {
		/* The one before is safe before there is another. */
		TRY(log_writer_sync(log));
		close_segment(log);
	}
	if (w->fd < 0) {
		forget_names(w);
		TRY(find_names(log, e));
		TRY(open_segment(log, e->head.first_lsn, bytes_of(log, &head)));
	}
	if (w->segment_lsn < e->head.first_lsn)
		TRY(write_settled(log, e->head.first_lsn));
	TRY(write_names(log, e->head.first_lsn));
	TRY(write_frame(log, &head, body));
	w->written_lsn = log_entry_end(e);
	w->segment_lsn = w->written_lsn;
	return ERR_OK;
}

static enum err sync_file(struct log *log)
{
	const struct log_io *io = log->hub->conf.io;
	struct log_writer *w = &log->disk->writer;

	if (log->hub->conf.sync == LOG_SYNC_OS)
		return ERR_OK;
	if (io->sync(io->ctx, w->fd) != 0)
		return ERR_IO;
	if (w->is_dir_dirty && io->sync_dir(io->ctx, log->disk->dir_fd) != 0)
		return ERR_IO;
	w->is_dir_dirty = false;
	return ERR_OK;
}

static void count_sync(struct log_hub *hub, int64_t ns, uint64_t octets)
{
	uint64_t us = (uint64_t)ns / 1000;

	(void)pthread_mutex_lock(&hub->lock);
	stat_inc(hub->stat, LOG_STAT_SYNCS);
	stat_add(hub->stat, LOG_STAT_WRITTEN_OCTETS, octets);
	hub->sync_us_last = us;
	if (us > hub->sync_us_most)
		hub->sync_us_most = us;
	(void)pthread_mutex_unlock(&hub->lock);
}

enum err log_writer_sync(struct log *log)
{
	struct log_writer *w = &log->disk->writer;
	struct log_slab *list = NULL;
	int64_t from_ns = clock_mono_ns();

	if (w->fd < 0 || w->unsynced_octets == 0)
		return ERR_OK;
	TRY(sync_file(log));
	count_sync(log->hub, clock_mono_ns() - from_ns, w->unsynced_octets);
	w->unsynced_octets = 0;
	w->previous_end = w->written_lsn;
	(void)pthread_mutex_lock(&log->lock);
	log->disk->newest->end_lsn = w->written_lsn;
	log->disk->newest->newest_ms = clock_mono_ms();
	atomic_store_explicit(&log->durable_lsn, w->written_lsn, memory_order_release);
	log_free_done(log, &list);
	(void)pthread_mutex_unlock(&log->lock);
	log_slab_give(log->hub, list);
	return ERR_OK;
}

void log_writer_abandon(struct log *log)
{
	struct log_writer *w = &log->disk->writer;
	struct log_segment *s;

	if (w->fd < 0)
		return;
	close_segment(log);
	w->unsynced_octets = 0;
	w->written_lsn = log_durable(log);
	/* Without a durable record it goes: the next one has its name. */
	(void)pthread_mutex_lock(&log->lock);
	s = log->disk->newest;
	w->previous_end = s->end_lsn;
	if (s->end_lsn == s->first_lsn)
		log_segment_del(log->disk, s);
	else
		s = NULL;
	(void)pthread_mutex_unlock(&log->lock);
	if (s != NULL) {
		w->previous_end = s->previous_end;
		w->hole = s->hole;
		if (!log_writer_remove(log, s)) {
			(void)atomic_fetch_sub(&log->hub->disk_bytes, s->bytes);
			free(s);
		}
	}
}

bool log_writer_is_there(const struct log *log)
{
	int fd = log->disk->writer.fd;
	struct stat st;

	return fd < 0 || fstat(fd, &st) != 0 || st.st_nlink > 0;
}

void log_writer_close(struct log *log)
{
	must(log->disk->writer.unsynced_octets == 0);
	close_segment(log);
}

void log_writer_drop_spare(struct log *log)
{
	const struct log_io *io = log->hub->conf.io;

	if (log->disk->writer.has_spare &&
	    (io->remove(io->ctx, log->disk->dir_fd, LOG_SPARE_NAME) == 0 || errno == ENOENT))
		log_writer_forget_spare(log);
}

void log_writer_spare(struct log *log)
{
	struct log_writer *w = &log->disk->writer;
	uint64_t bytes = log->hub->segment_bytes;
	int fd;

	if (w->has_spare || w->fd < 0 || !has_room(log, 2 * bytes, false))
		return;
	fd = create_spare(log, bytes);
	if (fd < 0)
		return; /* nobody needs it yet */
	(void)log->hub->conf.io->close(log->hub->conf.io->ctx, fd);
	(void)atomic_fetch_add(&log->hub->disk_bytes, bytes);
	w->has_spare = true;
}

/* Its room is used again: the file system need not find and clear it anew. */
static bool becomes_spare(struct log *log, const struct log_segment *s, const char *name)
{
	const struct log_io *io = log->hub->conf.io;
	struct log_writer *w = &log->disk->writer;

	if (w->has_spare || w->fd < 0 || s->bytes != log->hub->segment_bytes)
		return false;
	if (io->rename(io->ctx, log->disk->dir_fd, name, LOG_SPARE_NAME) != 0)
		return false;
	/* Its old name must not come back with new content. */
	w->has_spare = io->sync_dir(io->ctx, log->disk->dir_fd) == 0;
	if (!w->has_spare)
		(void)io->remove(io->ctx, log->disk->dir_fd, LOG_SPARE_NAME);
	return w->has_spare;
}

/* A reader that has it open may go on, and whoever leaves it last frees it. */
bool log_writer_remove(struct log *log, struct log_segment *segment)
{
	const struct log_io *io = log->hub->conf.io;
	uint64_t bytes = segment->bytes;
	char name[LOG_SEGMENT_NAME_BYTES];
	bool is_removed = true;
	bool is_used;

	log_segment_name(segment->first_lsn, name);
	(void)pthread_mutex_lock(&log->lock);
	is_used = segment->users > 0;
	segment->users++;
	segment->is_gone = true;
	(void)pthread_mutex_unlock(&log->lock);
	if (is_used || !becomes_spare(log, segment, name)) {
		is_removed = io->remove(io->ctx, log->disk->dir_fd, name) == 0 || errno == ENOENT;
		(void)atomic_fetch_sub(&log->hub->disk_bytes, is_removed ? bytes : 0);
	}
	(void)pthread_mutex_lock(&log->lock);
	segment->users--;
	segment->is_gone = is_removed;
	is_used = segment->users > 0;
	(void)pthread_mutex_unlock(&log->lock);
	if (is_removed && !is_used)
		free(segment);
	return is_removed;
}

void log_writer_fini(struct log *log)
{
	struct log_writer *w = &log->disk->writer;

	close_segment(log);
	if (w->has_spare)
		(void)log->hub->conf.io->remove(log->hub->conf.io->ctx, log->disk->dir_fd,
						LOG_SPARE_NAME);
	for (size_t k = 0; k < LOG_NAME_KINDS; k++)
		free(w->known[k].bits);
	free(w->names.octets);
	free(w->packed.octets);
}
