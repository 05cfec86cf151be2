/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each sink is, on disk.
 *
 *	cursors/<sink>	| slot 0, 64 KiB | slot 1 |
 *	slot		| struct log_slot_head | text |
 *	text		log <worker> <start> <done> <oldest> <end>	a line for each log
 *			route <number>
 *			counters
 *			<name> <reason or -> <value>			a line for each (base/stat_text.h)
 *
 * The slots are written in turn, so that a write that is cut short costs the newer one only.  `_log` is the
 * hub's own: it has the ends of the logs when there is no sink.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/must.h"
#include "base/stat_text.h"
#include "base/text.h"
#include "base/wr.h"
#include "sink/log_cursor_slot.h"
#include "sink/log_parts.h"

#define CURSORS_DIR "cursors"
#define CURSORS_MAX 256

/* --- reading --- */

struct log_place *log_snapshot_place(struct log_snapshot *s, unsigned worker)
{
	for (size_t i = 0; i < s->place_count; i++) {
		if (s->places[i].worker == worker)
			return &s->places[i];
	}
	if (s->place_count == LOG_LOGS_MAX)
		return NULL;
	s->places[s->place_count] = (struct log_place){ .worker = worker };
	return &s->places[s->place_count++];
}

const struct log_place *log_cursor_place(const struct log_cursor *c, unsigned worker)
{
	for (size_t i = 0; i < c->published.place_count; i++) {
		if (c->published.places[i].worker == worker)
			return &c->published.places[i];
	}
	return NULL;
}

static struct log_cursor *find_cursor(struct log_hub *hub, const char *sink)
{
	struct log_cursor *c = hub->cursors;

	while (c != NULL && strcmp(c->sink, sink) != 0)
		c = c->next;
	return c;
}

static struct log_cursor *cursor_new(struct log_hub *hub, const char *sink)
{
	struct log_cursor *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->hub = hub;
	c->fd = -1;
	c->route = -1;
	(void)snprintf(c->sink, sizeof(c->sink), "%s", sink);
	c->next = hub->cursors;
	hub->cursors = c;
	return c;
}

/* What a killed process wrote is taken for stored, and so it must be. */
static enum err sync_loaded(const struct log_hub *hub, int fd)
{
	const struct log_io *io = hub->conf.io;

	return hub->conf.sync == LOG_SYNC_OS || io->sync(io->ctx, fd) == 0 ? ERR_OK : ERR_IO;
}

static enum err load_one(struct log_hub *hub, int dir_fd, const char *name, struct why *why)
{
	char sink[LOG_SINK_BYTES];
	struct log_cursor *c;
	enum err e;
	int fd;

	if (!log_cursor_sink(name, sink))
		return ERR_OK;
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return why_errno(why, ERR_IO, name);
	c = cursor_new(hub, sink);
	e = c == NULL ? ERR_NOMEM : log_slots_read(c, fd);
	if (e == ERR_OK && sync_loaded(hub, fd) != ERR_OK)
		e = why_errno(why, ERR_IO, name);
	(void)close(fd);
	if (e == ERR_IO)
		return e;
	if (e == ERR_UNSUPPORTED)
		return why_set(why, e,
			       "log %s: cursor %s is of a later version: a log is not read by an "
			       "older version than wrote it",
			       hub->dir, name);
	if (e != ERR_OK)
		return why_set(why, e, "log %s: no memory", hub->dir);
	if (c->is_damaged)
		log_error("log.cursor_damaged dir=%s sink=%s: it goes on from the oldest record",
			  hub->dir, name);
	if (c->text != NULL)
		log_slot_take(c);
	return ERR_OK;
}

enum err log_cursors_load(struct log_hub *hub, struct why *why)
{
	int dir_fd = log_dir_make(hub->conf.io, hub->dir_fd, CURSORS_DIR);
	struct dirent **list = NULL;
	int n = dir_fd < 0 ? -1 : scandirat(dir_fd, ".", &list, NULL, alphasort);
	enum err e = n < 0 ? why_errno(why, ERR_IO, hub->dir) : ERR_OK;

	for (int i = 0; i < n; i++) {
		if (e == ERR_OK && i < CURSORS_MAX)
			e = load_one(hub, dir_fd, list[i]->d_name, why);
		free(list[i]);
	}
	free(list);
	if (e == ERR_OK && hub->conf.io->sync_dir(hub->conf.io->ctx, dir_fd) != 0)
		e = why_errno(why, ERR_IO, hub->dir);
	if (dir_fd >= 0)
		(void)close(dir_fd);
	if (e == ERR_OK && find_cursor(hub, "") == NULL && cursor_new(hub, "") == NULL)
		e = why_set(why, ERR_NOMEM, "log %s: no memory", hub->dir);
	return e;
}

/* --- for sinks --- */

static bool is_same(const struct log_snapshot *a, const struct log_snapshot *b)
{
	return a->place_count == b->place_count &&
	       memcmp(a->places, b->places, a->place_count * sizeof(a->places[0])) == 0 &&
	       memcmp(a->counts, b->counts, sizeof(a->counts)) == 0;
}

static void copy(struct log_snapshot *to, const struct log_snapshot *from)
{
	to->place_count = from->place_count;
	memcpy(to->places, from->places, from->place_count * sizeof(from->places[0]));
	memcpy(to->counts, from->counts, sizeof(from->counts));
}

/* The least that no sink has, also none of an earlier life that may come back. */
static int free_route(const struct log_hub *hub)
{
	for (int route = 0; route < LOG_ROUTES; route++) {
		const struct log_cursor *c = hub->cursors;

		while (c != NULL && c->route != route)
			c = c->next;
		if (c == NULL)
			return route;
	}
	return LOG_ROUTES - 1;
}

unsigned log_cursor_route(const struct log_cursor *c)
{
	return (unsigned)c->route;
}

static bool take_counters(struct log_cursor *c)
{
	struct stat_table table = { c->descs, c->published.counts, c->count };

	return stat_text_read(c->counters, strlen(c->counters), &table, 1, NULL, NULL) == ERR_OK;
}

enum err log_cursor_open(struct log_hub *hub, const char *sink, const struct stat_desc *descs,
			 size_t count, struct why *why, struct log_cursor **out)
{
	struct log_cursor *c = find_cursor(hub, sink);

	must(count <= LOG_COUNTS_MAX);
	if (c == NULL)
		c = cursor_new(hub, sink);
	if (c == NULL)
		return why_set(why, ERR_NOMEM, "sink %s: no memory for a cursor", sink);
	c->descs = descs;
	c->count = count;
	c->is_used = true;
	if (c->route < 0)
		c->route = free_route(hub);
	if (c->text != NULL && !take_counters(c))
		log_error("log.cursor_counters_wrong sink=%s: they begin at 0", sink);
	free(c->text);
	c->text = NULL;
	copy(&c->draft, &c->published);
	*out = c;
	return ERR_OK;
}

const uint64_t *log_cursor_counts(const struct log_cursor *c)
{
	return c->published.counts;
}

uint64_t log_cursor_gone(const struct log_cursor *c)
{
	uint64_t records = 0;

	for (size_t i = 0; i < c->published.place_count; i++) {
		const struct log_place *p = &c->published.places[i];
		bool is_read = false;

		for (size_t k = 0; k < c->reader_count; k++)
			is_read = is_read || c->readers[k]->log->worker == p->worker;
		if (!is_read)
			records += p->done - p->start;
	}
	return records;
}

void log_cursor_detach(struct log_cursor *c, const struct log_reader *r)
{
	for (size_t i = 0; i < c->reader_count; i++) {
		if (c->readers[i] == r)
			c->readers[i] = c->readers[--c->reader_count];
	}
}

/* Losses above `done` are counted again by whoever goes on from there: not those are remembered. */
static void look_at(struct log_reader *r, struct log_place *p, uint64_t lost[LOG_LOSS_COUNT],
		    uint64_t ahead[LOG_LOSS_COUNT])
{
	struct log *log = r->log;

	(void)pthread_mutex_lock(&log->lock);
	p->worker = log->worker;
	p->start = r->start_lsn;
	p->done = log_reader_done_lsn(r);
	p->oldest = log_oldest_lsn(log);
	for (size_t k = 0; k < LOG_LOSS_COUNT; k++)
		lost[k] += log_reader_lost(r, (enum log_loss)k);
	for (size_t i = 0; i < r->gap_count; i++)
		ahead[r->gaps[i].why] += r->gaps[i].end - r->gaps[i].first;
	(void)pthread_mutex_unlock(&log->lock);
}

void log_cursor_publish(struct log_cursor *c, struct stat_set *stat,
			const size_t loss_stats[LOG_LOSS_COUNT])
{
	uint64_t lost[LOG_LOSS_COUNT] = { 0 };
	uint64_t ahead[LOG_LOSS_COUNT] = { 0 };
	struct log_snapshot *draft = &c->draft;

	for (size_t i = 0; i < c->reader_count; i++) {
		struct log_place *p = log_snapshot_place(draft, c->readers[i]->log->worker);

		must(p != NULL);
		look_at(c->readers[i], p, lost, ahead);
	}
	for (size_t k = 0; stat != NULL && k < LOG_LOSS_COUNT; k++) {
		stat_add(stat, loss_stats[k], lost[k] - c->lost[k]);
		c->lost[k] = lost[k];
	}
	for (size_t i = 0; i < c->count; i++)
		draft->counts[i] = stat_get(stat, i);
	for (size_t k = 0; stat != NULL && k < LOG_LOSS_COUNT; k++)
		draft->counts[loss_stats[k]] -= ahead[k];
	if (is_same(draft, &c->published))
		return;
	(void)pthread_mutex_lock(&c->hub->lock);
	copy(&c->published, draft);
	(void)pthread_mutex_unlock(&c->hub->lock);
}

/* --- writing --- */

/* What the last life lost did not become durable because this one begins above it: killed before anything
 * of its own is, it leaves to the next one what it found.  After a stop the page of shared memory is gone,
 * and only this cursor knows which numbers were given. */
static uint64_t durable_end(struct log *log)
{
	const struct log_disk *disk = log->disk;
	uint64_t end = log_durable(log);
	bool is_as_found = end == disk->begin_lsn && disk->writer.hole == LOG_HOLE_UNSYNCED;

	return is_as_found && stat_flag_get(&log->hub->stop) == 0 ? disk->begin_durable : end;
}

/* The hub's own cursor has the ends. */
static void take_ends(struct log_hub *hub, struct log_snapshot *s)
{
	for (size_t i = 0; i < hub->log_count; i++) {
		struct log *log = hub->logs[i];
		struct log_place *p = log_snapshot_place(s, log->worker);

		if (p == NULL)
			continue;
		(void)pthread_mutex_lock(&log->lock);
		p->end = durable_end(log);
		p->done = log->disk->newest == NULL ? p->end : log->disk->newest->end_lsn;
		p->oldest = log_oldest_lsn(log);
		(void)pthread_mutex_unlock(&log->lock);
		p->start = 0;
	}
}

void log_cursors_take(struct log_hub *hub)
{
	for (struct log_cursor *c = hub->cursors; c != NULL; c = c->next) {
		struct log_snapshot *to = &c->taken;

		(void)pthread_mutex_lock(&hub->lock);
		copy(to, &c->published);
		(void)pthread_mutex_unlock(&hub->lock);
	}
}

/* Octets of text. */
static size_t print(const struct log_cursor *c, char *out)
{
	const struct log_snapshot *s = &c->taken;
	const struct stat_table table = { c->descs, (uint64_t *)s->counts,
					  c->count }; /* read only */
	size_t n = 0;
	struct wr w;

	for (size_t i = 0; i < s->place_count && n + LOG_SLOT_LINE_BYTES < LOG_SLOT_PLACES_MAX;
	     i++) {
		const struct log_place *p = &s->places[i];

		n += (size_t)snprintf(out + n, LOG_SLOT_LINE_BYTES,
				      LOG_SLOT_PLACE " %u %" PRIu64 " %" PRIu64 " %" PRIu64
						     " %" PRIu64 "\n",
				      p->worker, p->start, p->done, p->oldest, p->end);
	}
	if (c->route >= 0)
		n += (size_t)snprintf(out + n, LOG_SLOT_LINE_BYTES, LOG_SLOT_ROUTE " %d\n",
				      c->route);
	n += (size_t)snprintf(out + n, LOG_SLOT_LINE_BYTES, LOG_SLOT_COUNTERS "\n");
	w = wr_of(out + n, LOG_SLOT_TEXT_MAX - n);
	stat_text_write(&table, &w);
	must(!w.is_full);
	return n + wr_used(&w);
}

static enum err open_file(struct log_cursor *c)
{
	const struct log_io *io = c->hub->conf.io;
	char name[LOG_CURSOR_FILE_BYTES];
	int dir_fd;

	if (c->fd >= 0)
		return ERR_OK;
	log_cursor_file(c->sink, name);
	dir_fd = log_dir_make(io, c->hub->dir_fd, CURSORS_DIR);
	if (dir_fd < 0)
		return ERR_IO;
	c->fd = io->open(io->ctx, dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (c->fd >= 0 && io->sync_dir(io->ctx, dir_fd) != 0) {
		(void)io->close(io->ctx, c->fd);
		c->fd = -1;
	}
	(void)close(dir_fd);
	return c->fd < 0 ? ERR_IO : ERR_OK;
}

static enum err store_one(struct log_cursor *c, struct log_octets *text)
{
	const struct log_io *io = c->hub->conf.io;
	struct log_slot_head h = { .version = LOG_FORMAT_VERSION, .sequence = c->sequence + 1 };
	int slot = (c->slot + 1) % LOG_SLOTS;
	struct iovec parts[2] = { { &h, sizeof(h) }, { text->octets, 0 } };

	TRY(open_file(c));
	h.bytes = (uint32_t)print(c, (char *)text->octets);
	memcpy(h.magic, LOG_SLOT_MAGIC, sizeof(h.magic));
	h.crc = log_slot_crc(&h, (const char *)text->octets);
	parts[1].iov_len = h.bytes;
	if (log_io_write(io, c->fd, parts, 2, (uint64_t)slot * LOG_SLOT_BYTES) != ERR_OK ||
	    (c->hub->conf.sync != LOG_SYNC_OS && io->sync(io->ctx, c->fd) != 0)) {
		int error = errno;

		(void)io->close(io->ctx, c->fd);
		c->fd = -1;
		errno = error;
		return ERR_IO;
	}
	c->slot = slot;
	c->sequence = h.sequence;
	copy(&c->stored, &c->taken);
	return ERR_OK;
}

static void mark_stored(const struct log_cursor *c)
{
	for (size_t i = 0; i < c->reader_count; i++) {
		struct log_reader *r = c->readers[i];

		for (size_t k = 0; k < c->stored.place_count; k++) {
			if (c->stored.places[k].worker != r->log->worker)
				continue;
			atomic_store(&r->older_lsn, atomic_load(&r->stored_lsn));
			atomic_store(&r->stored_lsn, c->stored.places[k].done);
		}
	}
}

/* Not beyond what is durable; but a log that may not grow waits for room that only stored cursors give. */
static bool is_safe(const struct log *log, const struct log_place *p)
{
	return p->done <= log_durable(log) || log->disk->writer.has_trouble;
}

static bool may_store(const struct log_cursor *c)
{
	const struct log_hub *hub = c->hub;

	for (size_t i = 0; i < hub->log_count; i++) {
		const struct log *log = hub->logs[i];

		for (size_t k = 0; k < c->taken.place_count; k++) {
			const struct log_place *p = &c->taken.places[k];

			if (p->worker == log->worker && !is_safe(log, p))
				return false;
		}
	}
	return true;
}

bool log_cursors_are_ahead(const struct log_hub *hub)
{
	for (const struct log_cursor *c = hub->cursors; c != NULL; c = c->next) {
		if (c->sink[0] != '\0' && !is_same(&c->taken, &c->stored) && !may_store(c))
			return true;
	}
	return false;
}

size_t log_cursors_changed(struct log_hub *hub)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&hub->lock);
	for (const struct log_cursor *c = hub->cursors; c != NULL; c = c->next)
		count += c->sink[0] != '\0' && !is_same(&c->published, &c->stored);
	(void)pthread_mutex_unlock(&hub->lock);
	return count;
}

/* The hub's own cursor lets nobody pass over anything, and has its turn when all is committed. */
static bool is_to_be_stored(struct log_cursor *c, bool is_ahead)
{
	bool is_own = c->sink[0] == '\0';
	bool is_again;

	if (is_own && !is_ahead)
		take_ends(c->hub, &c->taken);
	is_again = is_same(&c->taken, &c->stored);
	if (is_ahead)
		return !is_own && !is_again;
	return !(is_again && c->is_twice) && (is_own || may_store(c));
}

enum err log_cursors_store(struct log_hub *hub, bool is_ahead)
{
	struct log_octets text = { malloc(LOG_SLOT_TEXT_MAX), 0, LOG_SLOT_TEXT_MAX };
	enum err e = text.octets == NULL ? ERR_NOMEM : ERR_OK;

	for (struct log_cursor *c = hub->cursors; e == ERR_OK && c != NULL; c = c->next) {
		bool is_again;

		if (!is_to_be_stored(c, is_ahead))
			continue;
		is_again = is_same(&c->taken, &c->stored);
		e = store_one(c, &text);
		if (e == ERR_OK) {
			mark_stored(c);
			c->is_twice = is_again;
		}
	}
	free(text.octets);
	return e;
}

static void free_one(struct log_cursor *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	free(c->text);
	free(c);
}

void log_cursors_drop(struct log_hub *hub)
{
	struct log_cursor **p = &hub->cursors;

	while (*p != NULL) {
		struct log_cursor *c = *p;
		char name[sizeof(CURSORS_DIR) + LOG_CURSOR_FILE_BYTES + 1] = CURSORS_DIR "/";

		if (c->is_used || c->sink[0] == '\0') {
			p = &c->next;
			continue;
		}
		log_cursor_file(c->sink, name + sizeof(CURSORS_DIR));
		log_info("log.cursor_removed dir=%s file=%s why=no_such_sink", hub->dir, name);
		(void)hub->conf.io->remove(hub->conf.io->ctx, hub->dir_fd, name);
		*p = c->next;
		free_one(c);
	}
}

void log_cursors_free(struct log_hub *hub)
{
	while (hub->cursors != NULL) {
		struct log_cursor *c = hub->cursors;

		hub->cursors = c->next;
		free_one(c);
	}
}
