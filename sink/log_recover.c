/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier life left in a log's directory.
 *
 * Segments are told by their names, and checked by their heads.  Only the last one is read through: its
 * end is where the sound frames end.  Of the others the next one's head tells the end, and what of them
 * cannot be read is found when somebody reads it.  No segment of an earlier life is written again.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "sink/log_parts.h"

#define DIGITS 20
#define QUARANTINE "quarantine"
#define QUARANTINED_MAX 1000 /* pieces kept of one log */
#define COPY_BYTES (64u << 10)

void log_segment_name(uint64_t first_lsn, char out[LOG_SEGMENT_NAME_BYTES])
{
	(void)snprintf(out, LOG_SEGMENT_NAME_BYTES, "%020llu" LOG_SEGMENT_SUFFIX,
		       (unsigned long long)first_lsn);
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool is_segment_name(const char *name)
{
	for (size_t i = 0; i < DIGITS; i++) {
		if (!isdigit((unsigned char)name[i]))
			return false;
	}
	return strcmp(name + DIGITS, LOG_SEGMENT_SUFFIX) == 0;
}

void log_segment_add(struct log_disk *disk, struct log_segment *segment)
{
	segment->next = NULL;
	segment->prev = disk->newest;
	if (disk->newest == NULL)
		disk->oldest = segment;
	else
		disk->newest->next = segment;
	disk->newest = segment;
	disk->segment_count++;
}

void log_segment_add_oldest(struct log_disk *disk, struct log_segment *segment)
{
	segment->prev = NULL;
	segment->next = disk->oldest;
	if (disk->oldest == NULL)
		disk->newest = segment;
	else
		disk->oldest->prev = segment;
	disk->oldest = segment;
	disk->segment_count++;
}

void log_segment_del(struct log_disk *disk, struct log_segment *segment)
{
	if (segment->prev == NULL)
		disk->oldest = segment->next;
	else
		segment->prev->next = segment->next;
	if (segment->next == NULL)
		disk->newest = segment->prev;
	else
		segment->next->prev = segment->prev;
	disk->segment_count--;
}

/* --- quarantine --- */

static int quarantine_dir(const struct log *log)
{
	return log_dir_make(log->hub->conf.io, log->disk->dir_fd, QUARANTINE);
}

/* A whole file that is no segment of this log. */
static void quarantine_file(struct log *log, const char *name, const char *why)
{
	const struct log_disk *disk = log->disk;
	int to = quarantine_dir(log);
	char target[64];

	log_error("log.quarantined dir=%s/%s file=%s why=%s", log->hub->dir, disk->name, name, why);
	log_add(log->hub, LOG_STAT_QUARANTINED, 1);
	for (unsigned n = 0; to >= 0 && n < QUARANTINED_MAX; n++) {
		(void)snprintf(target, sizeof(target), "%.40s.%u", name, n);
		if (renameat2(disk->dir_fd, name, to, target, RENAME_NOREPLACE) == 0 ||
		    errno != EEXIST)
			break;
	}
	if (to >= 0)
		(void)close(to);
}

static void copy_piece(int from, uint64_t at, uint64_t end, int to)
{
	uint8_t octets[COPY_BYTES];

	while (at < end) {
		size_t want = end - at < sizeof(octets) ? (size_t)(end - at) : sizeof(octets);
		ssize_t n = pread(from, octets, want, (off_t)at);

		if (n <= 0 || write(to, octets, (size_t)n) != n)
			break;
		at += (uint64_t)n;
	}
}

void log_quarantine(struct log *log, int fd, uint64_t first_lsn, uint64_t from, uint64_t to)
{
	char name[64];
	int dir_fd = quarantine_dir(log);
	int out;

	(void)snprintf(name, sizeof(name), "%020llu-%llu", (unsigned long long)first_lsn,
		       (unsigned long long)from);
	/* It is there when another reader found the same. */
	out = dir_fd < 0 ? -1 : openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (out >= 0) {
		copy_piece(fd, from, to, out);
		(void)fdatasync(out); /* it may be cut where it was */
		(void)close(out);
		log_add(log->hub, LOG_STAT_QUARANTINED, 1);
		log_error(
			"log.quarantined dir=%s/%s segment=%llu from=%llu octets=%llu why=not_sound",
			log->hub->dir, log->disk->name, (unsigned long long)first_lsn,
			(unsigned long long)from, (unsigned long long)(to - from));
	}
	if (dir_fd >= 0)
		(void)close(dir_fd);
}

/* --- segments --- */

static bool is_zero(int dir_fd, const char *name)
{
	uint8_t octets[COPY_BYTES];
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool is_all = fd >= 0;
	ssize_t n = 1;

	while (is_all && n > 0) {
		n = read(fd, octets, sizeof(octets));
		for (ssize_t i = 0; is_all && i < n; i++)
			is_all = octets[i] == 0;
	}
	if (fd >= 0)
		(void)close(fd);
	return is_all && n == 0;
}

/* Was made ready, and the machine went down before anything of it was on the disk; or was emptied. */
static void take_away_unwritten(struct log *log, const char *name)
{
	if (!is_zero(log->disk->dir_fd, name)) {
		quarantine_file(log, name, "no_segment");
		return;
	}
	log_warn("log.removed_empty dir=%s/%s file=%s", log->hub->dir, log->disk->name, name);
	(void)unlinkat(log->disk->dir_fd, name, 0);
}

static const char *why_not_ours(const struct log *log, const struct log_scan *scan, uint64_t lsn)
{
	const struct log_segment_head *h = &scan->head;

	if (scan->is_rebuilt)
		return NULL;
	if (memcmp(h->id, log->hub->id, LOG_ID_BYTES) != 0 || h->worker != log->worker)
		return "of_another_log";
	return h->first_lsn == lsn ? NULL : "misnamed";
}

static enum err add_segment(struct log *log, const struct log_scan *scan)
{
	struct log_segment *s = calloc(1, sizeof(*s));
	struct stat st;

	if (s == NULL)
		return ERR_NOMEM;
	s->first_lsn = scan->head.first_lsn;
	s->end_lsn = s->first_lsn;
	s->previous_end = scan->head.previous_end;
	s->sequence = scan->head.sequence;
	s->hole = (enum log_hole)scan->head.hole;
	s->bytes = scan->bytes;
	s->newest_ms = clock_mono_ms();
	if (fstat(scan->fd, &st) == 0) {
		int64_t age_ms = clock_real_ms() - (int64_t)st.st_mtim.tv_sec * 1000;

		s->newest_ms -= age_ms > 0 ? age_ms : 0;
	}
	s->oldest_ms = s->newest_ms;
	if (!scan->is_rebuilt) {
		int64_t age_ms = clock_real_ms() - scan->head.created_ms;

		if (clock_mono_ms() - age_ms < s->oldest_ms)
			s->oldest_ms = clock_mono_ms() - age_ms;
	}
	if (scan->is_rebuilt) {
		log_warn("log.head_rebuilt dir=%s/%s segment=%llu", log->hub->dir, log->disk->name,
			 (unsigned long long)s->first_lsn);
		log_add(log->hub, LOG_STAT_HEADS_REBUILT, 1);
	} else {
		if (scan->head.settled_lsn > log->disk->settled_lsn)
			log->disk->settled_lsn = scan->head.settled_lsn;
		log->hub->is_gated = log->hub->is_gated ||
				     scan->head.worker_count != log->hub->conf.worker_count;
	}
	if (scan->head.sequence >= log->disk->writer.sequence)
		log->disk->writer.sequence = scan->head.sequence + 1;
	(void)atomic_fetch_add(&log->hub->disk_bytes, s->bytes);
	log_segment_add(log->disk, s);
	return ERR_OK;
}

static enum err take_file(struct log *log, const char *name, struct why *why)
{
	struct log_disk *disk = log->disk;
	struct log_scan scan;
	const char *not_ours;
	enum err e;

	if (!is_segment_name(name)) {
		if (strcmp(name, LOG_SPARE_NAME) == 0)
			(void)unlinkat(disk->dir_fd, name, 0);
		return ERR_OK;
	}
	e = log_scan_open(&scan, disk->dir_fd, name, NULL);
	if (e == ERR_UNSUPPORTED)
		return why_set(why, e,
			       "log %s/%s: %s is of a later version: a log is not read by an older "
			       "version than wrote it",
			       log->hub->dir, disk->name, name);
	if (e == ERR_NOMEM)
		return why_set(why, e, "log %u: no memory", log->worker);
	if (e == ERR_FORMAT) {
		take_away_unwritten(log, name);
		return ERR_OK;
	}
	if (e != ERR_OK && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return why_errno(why, ERR_IO, log->hub->dir);
	if (e != ERR_OK) {
		quarantine_file(log, name, "cannot_be_read");
		return ERR_OK;
	}
	not_ours = why_not_ours(log, &scan, strtoull(name, NULL, 10));
	e = not_ours == NULL ? add_segment(log, &scan) : ERR_OK;
	log_scan_close(&scan);
	if (not_ours != NULL)
		quarantine_file(log, name, not_ours);
	return e == ERR_OK ? e : why_set(why, e, "log %u: no memory", log->worker);
}

/* In the order of their names, which is that of their LSNs. */
static enum err take_files(struct log *log, struct why *why)
{
	struct dirent **list = NULL;
	int n = scandirat(log->disk->dir_fd, ".", &list, NULL, alphasort);
	enum err e = n < 0 ? why_errno(why, ERR_IO, log->hub->dir) : ERR_OK;

	for (int i = 0; i < n; i++) {
		if (e == ERR_OK)
			e = take_file(log, list[i]->d_name, why);
		free(list[i]);
	}
	free(list);
	return e;
}

/* One past the last sound record of the segment, and where that ends in the file. */
static enum err find_end(struct log *log, struct log_segment *s)
{
	struct log_scan scan;
	struct log_frame frame;
	char name[LOG_SEGMENT_NAME_BYTES];
	bool is_readable = true;
	enum err e;

	log_segment_name(s->first_lsn, name);
	TRY(log_scan_open(&scan, log->disk->dir_fd, name, NULL));
	do {
		while ((e = log_scan_next(&scan, &frame)) == ERR_OK) {
			if (scan.lsn > s->end_lsn)
				s->end_lsn = scan.lsn;
			if (frame.head.schema == LOG_FRAME_SETTLED)
				log->disk->settled_lsn = most(log->disk->settled_lsn, scan.lsn);
		}
		log->disk->tail_at = scan.at;
		is_readable = is_readable && e != ERR_IO;
	} while (e != ERR_NOMEM && log_scan_resync(&scan));
	/* What the disk does not read today may be sound: it is not cut. */
	if (!is_readable)
		log->disk->tail_at = s->bytes;
	log->disk->is_tail_unread = !is_readable;
	log_scan_close(&scan);
	return e == ERR_NOMEM ? e : ERR_OK;
}

/* What stands behind the sound part of the newest segment is torn, or was never written; it gives its
 * room back, and is put aside when it was durable once.  The file is not written again. */
static void cut_tail(struct log *log, bool was_durable)
{
	const struct log_io *io = log->hub->conf.io;
	struct log_segment *s = log->disk->newest;
	uint64_t sound = log->disk->tail_at;
	char name[LOG_SEGMENT_NAME_BYTES];
	int fd;

	if (s == NULL || sound >= s->bytes)
		return;
	log_segment_name(s->first_lsn, name);
	fd = openat(log->disk->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && was_durable)
		log_quarantine(log, fd, s->first_lsn, sound, s->bytes);
	if (fd >= 0 && io->truncate(io->ctx, fd, (off_t)sound) == 0) {
		(void)atomic_fetch_sub(&log->hub->disk_bytes, s->bytes - sound);
		s->bytes = sound;
	}
	if (fd >= 0)
		(void)close(fd);
}

/* The next segment's head tells where one ends, when none is missing between them. */
static enum err find_ends(struct log *log)
{
	for (struct log_segment *s = log->disk->oldest; s != NULL; s = s->next) {
		bool is_told = s->next != NULL && s->next->sequence == s->sequence + 1 &&
			       s->next->previous_end >= s->first_lsn;

		if (is_told)
			s->end_lsn = s->next->previous_end;
		else
			TRY(find_end(log, s));
		/* After a failed sync the same records may have been written again behind it. */
		if (s->next != NULL && s->end_lsn > s->next->first_lsn)
			s->end_lsn = s->next->first_lsn;
	}
	return ERR_OK;
}

/* What cursors tell of a log. */
struct known {
	uint64_t durable; /* one past what was, */
	uint64_t written; /* and one past what of it segments had; 0: nobody knows */
	uint64_t had;	  /* by a sink: it may be more than was durable */
	uint64_t wanted;  /* the least that a sink still wants; UINT64_MAX: there is none */
};

static struct known ask_cursors(const struct log *log)
{
	struct known k = { 0, 0, 0, UINT64_MAX };

	for (const struct log_cursor *c = log->hub->cursors; c != NULL; c = c->next) {
		const struct log_place *p = log_cursor_place(c, log->worker);

		if (p == NULL)
			continue;
		if (p->done > k.had)
			k.had = p->done;
		if (c->sink[0] == '\0') {
			k.durable = p->end;
			k.written = p->done;
		} else if (p->done < k.wanted) {
			k.wanted = p->done;
		}
	}
	return k;
}

static void say_lost(const struct log *log, uint64_t first, uint64_t end, const char *why)
{
	if (first < end)
		log_error("log.lost dir=%s/%s first=%llu records=%llu why=%s", log->hub->dir,
			  log->disk->name, (unsigned long long)first,
			  (unsigned long long)(end - first), why);
}

/* The end that the new life starts from: above everything that ever had a number. */
static void set_begin(struct log *log)
{
	struct log_disk *disk = log->disk;
	struct log_segment *s = disk->newest;
	struct known k = ask_cursors(log);
	uint64_t on_disk;
	uint64_t settled;
	bool is_whole;

	/* Readers try again what could not be read now. */
	if (s != NULL && disk->is_tail_unread && k.durable > s->end_lsn)
		s->end_lsn = k.durable;
	on_disk = s == NULL ? 0 : s->end_lsn;
	/* When all that was written is there, the rest was durable without it. */
	is_whole = k.written > 0 && k.written <= on_disk;
	settled = is_whole ? k.durable : 0;
	if (k.wanted != UINT64_MAX)
		settled = most(settled, k.wanted);
	disk->begin_durable = is_whole ? on_disk : most(k.durable, on_disk);
	disk->begin_lsn = most(most(log_live_left(log->hub->live, log->worker), k.had),
			       most(k.durable, on_disk));
	/* Its head alone still tells what was lost before it. */
	if (s != NULL && s->end_lsn == s->first_lsn && k.durable <= s->first_lsn)
		disk->begin_durable = s->previous_end;
	if (settled > disk->begin_durable)
		disk->settled_lsn = most(disk->settled_lsn, settled);
	if (disk->settled_lsn > disk->begin_lsn)
		disk->settled_lsn = disk->begin_lsn;
	disk->writer.previous_end = disk->begin_durable;
	disk->writer.hole = disk->begin_lsn == disk->begin_durable ? LOG_HOLE_NONE
			    : disk->begin_lsn <= settled	   ? LOG_HOLE_SETTLED
								   : LOG_HOLE_UNSYNCED;
	disk->writer.written_lsn = disk->begin_lsn;
	log->sealed_lsn = disk->begin_lsn;
	atomic_store(&log->durable_lsn, disk->begin_lsn);
	say_lost(log, most(k.wanted, on_disk), disk->begin_durable, "not_there_any_more");
	say_lost(log, most(disk->begin_durable, settled), disk->begin_lsn, "not_durable_yet");
	cut_tail(log, disk->begin_durable > on_disk);
}

/* A newest segment without a sound record goes: the next one has its name. */
static enum err drop_empty(struct log *log)
{
	struct log_disk *disk = log->disk;
	const struct log_io *io = log->hub->conf.io;

	while (disk->newest != NULL && disk->newest->end_lsn == disk->newest->first_lsn) {
		struct log_segment *s = disk->newest;
		char name[LOG_SEGMENT_NAME_BYTES];

		log_segment_name(s->first_lsn, name);
		if (disk->is_tail_unread)
			quarantine_file(log, name, "cannot_be_read");
		else if (io->remove(io->ctx, disk->dir_fd, name) != 0)
			return ERR_IO;
		if (disk->writer.sequence == s->sequence + 1)
			disk->writer.sequence = s->sequence;
		(void)atomic_fetch_sub(&log->hub->disk_bytes, s->bytes);
		must(s->next == NULL);
		log_segment_del(disk, s);
		free(s);
	}
	return ERR_OK;
}

/* A killed process leaves what nobody synced, and this life takes it for durable. */
static enum err sync_left(const struct log *log)
{
	const struct log_disk *disk = log->disk;
	const struct log_io *io = log->hub->conf.io;
	char name[LOG_SEGMENT_NAME_BYTES];
	int fd;
	int rc;

	if (log->hub->conf.sync == LOG_SYNC_OS || disk->newest == NULL)
		return ERR_OK;
	log_segment_name(disk->newest->first_lsn, name);
	fd = openat(disk->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return ERR_IO;
	rc = io->sync(io->ctx, fd);
	(void)close(fd);
	return rc == 0 && io->sync_dir(io->ctx, disk->dir_fd) == 0 ? ERR_OK : ERR_IO;
}

static enum err take_left(struct log *log, struct why *why)
{
	enum err e;

	TRY(take_files(log, why));
	e = find_ends(log);
	if (e == ERR_OK) {
		set_begin(log);
		e = drop_empty(log);
	}
	if (e == ERR_OK)
		e = sync_left(log);
	if (e == ERR_NOMEM)
		return why_set(why, e, "log %u: no memory", log->worker);
	return e == ERR_OK ? e : why_errno(why, ERR_IO, log->hub->dir);
}

enum err log_recover(struct log *log, struct why *why)
{
	struct log_disk *disk = calloc(1, sizeof(*disk));
	_Atomic uint64_t *slot;

	if (disk == NULL)
		return why_set(why, ERR_NOMEM, "log %u: no memory", log->worker);
	log->disk = disk;
	disk->writer.fd = -1;
	disk->is_old = log->worker >= log->hub->conf.worker_count;
	(void)snprintf(disk->name, sizeof(disk->name), "%u", log->worker);
	disk->dir_fd = log_dir_make(log->hub->conf.io, log->hub->dir_fd, disk->name);
	if (disk->dir_fd < 0)
		return why_errno(why, ERR_IO, log->hub->dir);
	TRY(take_left(log, why));
	slot = log_live_slot(log->hub->live, log->worker);
	if (slot != NULL)
		log->end_lsn = slot;
	atomic_store(log->end_lsn, disk->begin_lsn);
	return ERR_OK;
}

void log_disk_close(struct log *log)
{
	struct log_disk *disk = log->disk;

	if (disk == NULL)
		return;
	log_writer_fini(log);
	while (disk->oldest != NULL) {
		struct log_segment *s = disk->oldest;

		must(s->prev == NULL);
		log_segment_del(disk, s);
		free(s);
	}
	/* An old one that is read to its end goes. */
	if (disk->is_old && disk->dir_fd >= 0) {
		(void)unlinkat(disk->dir_fd, LOG_SPARE_NAME, 0);
		(void)unlinkat(log->hub->dir_fd, disk->name, AT_REMOVEDIR);
	}
	if (disk->dir_fd >= 0)
		(void)close(disk->dir_fd);
	free(disk);
	log->disk = NULL;
}
