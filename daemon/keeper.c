/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "base/wr.h"
#include "collector/keep.h"
#include "collector/udp.h"

#define VERSION 1
#define HEAD_BYTES_MAX 64
#define CRC_BYTES 4u
#define FILE_BYTES_MAX (1ll << 30)
/* Together less than the 3 s that a new template may be in memory only. */
#define STEP_MS 1000
#define USED_MS                                                                                    \
	60000 /* the times at which templates were used last are older than this on no disk */

enum keep_kind { KEEP_TMPLS, KEEP_HELD, KEEP_KINDS };

static const struct keep_name {
	const char *file;
	const char *tmp;
	const char *bad;
	const char *head; /* before the version */
} names[KEEP_KINDS] = {
	[KEEP_TMPLS] = { "templates", "templates.tmp", "templates.bad", "sluice templates " },
	[KEEP_HELD] = { "held", "held.tmp", "held.bad", "sluice held " },
};

/* What was read of an earlier life. */
struct found {
	uint8_t *octets;
	struct rd entries;
	bool is_there;
	bool is_broken;
};

struct keeper {
	int dir_fd;
	const struct log_io *io;
	struct found found[KEEP_KINDS];
	int64_t next_ms; /* monotonic: of the next look, and of the next file whatever changed */
	int64_t next_used_ms;
	uint64_t changes; /* of templates, when they were asked for last */
	struct thread *thread;
	pthread_mutex_t lock;
	pthread_cond_t news;
	struct keep work; /* for the thread */
	bool has_work;
	bool is_failed; /* the last file could not be written */
	bool is_ending;
};

static enum err read_all(struct keeper *k, const char *name, struct keep *out, struct why *why)
{
	int fd = openat(k->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	enum err e = ERR_OK;

	if (fd < 0 && errno == ENOENT)
		return ERR_ABSENT;
	if (fd < 0)
		return errno == ELOOP ? ERR_OK : why_errno(why, ERR_IO, name);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_BYTES_MAX) {
		uint8_t *octets = keep_add(out, (size_t)st.st_size);
		ssize_t n = octets == NULL ? 0 : pread(fd, octets, (size_t)st.st_size, 0);

		if (octets == NULL)
			e = why_set(why, ERR_NOMEM, "no memory for %s", name);
		else if (n < 0)
			e = why_errno(why, ERR_IO, name);
		else
			out->bytes = (size_t)n;
	}
	(void)close(fd);
	return e;
}

/* Octets of the first line with its end, and the version in it; 0 when it is no such line. */
static size_t read_head(const struct keep *k, const char *head, unsigned long *version)
{
	size_t start = strlen(head);
	char digits[HEAD_BYTES_MAX] = "";
	char *stop;

	if (k->bytes <= start || memcmp(k->octets, head, start) != 0)
		return 0;
	for (size_t i = 0; i < 10 && start + i < k->bytes; i++)
		digits[i] = (char)k->octets[start + i];
	*version = strtoul(digits, &stop, 10);
	return *stop == '\n' && stop > digits ? start + (size_t)(stop - digits) + 1 : 0;
}

static bool is_whole(const struct keep *k, size_t head_bytes)
{
	size_t end;

	if (k->octets == NULL || head_bytes == 0 || k->bytes < head_bytes + CRC_BYTES)
		return false;
	end = k->bytes - CRC_BYTES;
	return be32(k->octets + end) == crc32c(0, k->octets, end);
}

static enum err find(struct keeper *k, enum keep_kind kind, const char *state, struct why *why)
{
	struct found *f = &k->found[kind];
	struct keep text = { 0 };
	unsigned long version = 0;
	size_t head_bytes;
	enum err e = read_all(k, names[kind].file, &text, why);

	if (e == ERR_ABSENT)
		return ERR_OK;
	f->octets = text.octets;
	if (e != ERR_OK)
		return e;
	head_bytes = read_head(&text, names[kind].head, &version);
	if (head_bytes != 0 && version > VERSION)
		return why_set(why, ERR_CONF,
			       "%s/%s: has version %lu, of a newer sluiced; this one knows version "
			       "%d: go on with the newer one, or move the file away",
			       state, names[kind].file, version, VERSION);
	f->is_there = true;
	f->is_broken = !is_whole(&text, head_bytes);
	if (!f->is_broken)
		f->entries = rd_of(text.octets + head_bytes, text.bytes - head_bytes - CRC_BYTES);
	return ERR_OK;
}

enum err keeper_open(const char *state, const struct log_io *io, struct keeper **out,
		     struct why *why)
{
	struct keeper *k = calloc(1, sizeof(*k));
	enum err e;

	if (k == NULL)
		return why_set(why, ERR_NOMEM, "no memory to keep templates");
	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_cond_init(&k->news, NULL);
	k->io = io;
	k->dir_fd = open(state, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	e = k->dir_fd < 0 ? why_errno(why, ERR_IO, state) : ERR_OK;
	for (enum keep_kind kind = 0; e == ERR_OK && kind < KEEP_KINDS; kind++)
		e = find(k, kind, state, why);
	if (e != ERR_OK) {
		keeper_free(k);
		return e;
	}
	*out = k;
	return ERR_OK;
}

/* Under another name, synced, and renamed. */
static enum err write_file(struct keeper *k, enum keep_kind kind, const struct keep *body)
{
	const struct keep_name *name = &names[kind];
	const struct log_io *io = k->io;
	char head[HEAD_BYTES_MAX];
	size_t head_bytes = (size_t)snprintf(head, sizeof(head), "%s%d\n", name->head, VERSION);
	uint32_t crc = crc32c(crc32c(0, head, head_bytes), body->octets, body->bytes);
	uint8_t tail[CRC_BYTES];
	struct wr w = wr_of(tail, sizeof(tail));
	struct iovec parts[] = { { head, head_bytes },
				 { body->octets, body->bytes },
				 { tail, sizeof(tail) } };
	int fd = io->open(io->ctx, k->dir_fd, name->tmp,
			  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	enum err e;

	if (fd < 0)
		return ERR_IO;
	wr_u32(&w, crc);
	e = log_io_write(io, fd, parts, 3, 0);
	if (e == ERR_OK && io->sync(io->ctx, fd) != 0)
		e = ERR_IO;
	if (io->close(io->ctx, fd) != 0)
		e = ERR_IO;
	if (e == ERR_OK && io->rename(io->ctx, k->dir_fd, name->tmp, name->file) != 0)
		e = ERR_IO;
	return e == ERR_OK && io->sync_dir(io->ctx, k->dir_fd) != 0 ? ERR_IO : e;
}

static bool write_or_say(struct keeper *k, enum keep_kind kind, const struct keep *body)
{
	if (write_file(k, kind, body) == ERR_OK)
		return true;
	log_every(LOG_LEVEL_ERROR, "keeper.not_saved file=%s why=\"%s\"", names[kind].file,
		  strerrordesc_np(errno));
	return false;
}

static void run(void *ctx)
{
	struct keeper *k = ctx;
	bool is_saved;

	(void)pthread_mutex_lock(&k->lock);
	for (;;) {
		while (!k->has_work && !k->is_ending)
			(void)pthread_cond_wait(&k->news, &k->lock);
		if (!k->has_work)
			break;
		(void)pthread_mutex_unlock(&k->lock);
		is_saved = write_or_say(k, KEEP_TMPLS, &k->work);
		(void)pthread_mutex_lock(&k->lock);
		k->has_work = false;
		k->is_failed = !is_saved;
	}
	(void)pthread_mutex_unlock(&k->lock);
}

struct asked {
	enum keep_kind kind;
	struct keep_now now;
	struct keep *out;
	unsigned worker_count;
	struct pipeline **pipelines;
	size_t taken;
	size_t refused;
};

static void ask_worker(void *ctx, unsigned worker, struct pipeline *p)
{
	struct asked *a = ctx;

	(void)worker;
	if (a->kind == KEEP_HELD)
		keep_held(pipeline_collector(p), &a->now, a->out);
	else
		keep_tmpls(pipeline_collector(p), &a->now, a->out);
}

static void ask(struct workers *ws, enum keep_kind kind, struct keep *out)
{
	struct asked a = { .kind = kind, .now = { clock_real_ms(), clock_mono_ms() }, .out = out };

	out->bytes = 0;
	out->is_failed = false;
	(void)keep_add(out, 0); /* a file of no entries has octets, too */
	for (unsigned i = 0; i < workers_count(ws); i++)
		workers_call(ws, i, ask_worker, &a);
}

/* Of any worker; all kinds of change to what is in force are counted. */
static uint64_t count_changes(struct workers *ws)
{
	static const enum collector_stat rows[] = { STAT_TEMPLATES_NEW, STAT_TEMPLATES_CHANGED,
						    STAT_TEMPLATES_EXPIRED, STAT_SESSIONS_IDLE };
	uint64_t sum = 0;

	for (unsigned i = 0; i < workers_count(ws); i++) {
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			sum += stat_get(workers_collector_stat(ws, i), rows[k]);
	}
	return sum;
}

void keeper_step(struct keeper *k, struct workers *ws, int64_t mono_ms)
{
	uint64_t changes;
	bool is_busy;
	bool is_due;

	if (mono_ms < k->next_ms || k->thread == NULL)
		return;
	k->next_ms = mono_ms + STEP_MS;
	(void)pthread_mutex_lock(&k->lock);
	is_busy = k->has_work;
	is_due = k->is_failed || mono_ms >= k->next_used_ms;
	(void)pthread_mutex_unlock(&k->lock);
	changes = count_changes(ws);
	if (is_busy || (changes == k->changes && !is_due))
		return;
	ask(ws, KEEP_TMPLS, &k->work);
	if (k->work.is_failed) {
		log_every(LOG_LEVEL_ERROR, "keeper.not_saved file=%s why=\"no memory\"",
			  names[KEEP_TMPLS].file);
		return;
	}
	k->changes = changes;
	k->next_used_ms = mono_ms + USED_MS;
	(void)pthread_mutex_lock(&k->lock);
	k->has_work = true;
	(void)pthread_cond_signal(&k->news);
	(void)pthread_mutex_unlock(&k->lock);
}

static void learn_pipeline(void *ctx, unsigned worker, struct pipeline *p)
{
	struct asked *a = ctx;

	a->pipelines[worker] = p;
}

/* To whom the exporter belongs now, however many workers there were. */
static void hand_out(struct asked *a, struct rd entries)
{
	struct rd entry;

	while (rd_left(&entries) > 0 && keep_next(&entries, &entry)) {
		struct collector *c;
		struct addr peer;
		enum err e = keep_peer(entry, &peer);

		if (e == ERR_OK) {
			c = pipeline_collector(a->pipelines[udp_owner(&peer, a->worker_count)]);
			e = a->kind == KEEP_HELD ? keep_take_held(c, entry, &a->now)
						 : keep_take_tmpls(c, entry, &a->now);
		}
		a->taken += e == ERR_OK;
		a->refused += e != ERR_OK;
	}
}

static enum err settle(struct keeper *k, enum keep_kind kind, struct why *why)
{
	const struct keep_name *name = &names[kind];
	const struct log_io *io = k->io;
	struct found *f = &k->found[kind];
	int rc = 0;

	if (f->is_there && f->is_broken) {
		rc = io->rename(io->ctx, k->dir_fd, name->file, name->bad);
		log_warn(
			"keeper.set_aside file=%s why=\"it is cut or changed: its CRC is another\"",
			name->bad);
	} else if (f->is_there && kind == KEEP_HELD) {
		/* No life may have them twice. */
		rc = io->remove(io->ctx, k->dir_fd, name->file);
		if (rc == 0)
			rc = io->sync_dir(io->ctx, k->dir_fd);
	}
	return rc == 0 ? ERR_OK : why_errno(why, ERR_IO, name->file);
}

enum err keeper_begin(struct keeper *k, struct workers *ws, struct why *why)
{
	unsigned count = workers_count(ws);
	struct pipeline **pipelines = calloc(count, sizeof(struct pipeline *));
	enum err e = ERR_OK;

	if (pipelines == NULL)
		return why_set(why, ERR_NOMEM, "no memory to keep templates");
	for (enum keep_kind kind = 0; e == ERR_OK && kind < KEEP_KINDS; kind++) {
		struct asked a = { .kind = kind,
				   .now = { clock_real_ms(), clock_mono_ms() },
				   .worker_count = count,
				   .pipelines = pipelines };

		for (unsigned i = 0; i < count; i++)
			workers_call(ws, i, learn_pipeline, &a);
		e = settle(k, kind, why);
		if (e == ERR_OK && k->found[kind].is_there && !k->found[kind].is_broken) {
			hand_out(&a, k->found[kind].entries);
			log_info("keeper.restored file=%s entries=%zu refused=%zu",
				 names[kind].file, a.taken, a.refused);
		}
		free(k->found[kind].octets);
		k->found[kind].octets = NULL;
	}
	free(pipelines);
	k->changes = count_changes(ws);
	k->next_used_ms = clock_mono_ms() + USED_MS;
	if (e == ERR_OK && thread_start("keeper", run, k, &k->thread) != ERR_OK)
		e = why_set(why, ERR_NOMEM, "cannot start a thread");
	return e;
}

static void end_thread(struct keeper *k)
{
	(void)pthread_mutex_lock(&k->lock);
	k->is_ending = true;
	(void)pthread_cond_signal(&k->news);
	(void)pthread_mutex_unlock(&k->lock);
	thread_join(k->thread);
	k->thread = NULL;
}

static void forget_held(void *ctx, unsigned worker, struct pipeline *p)
{
	(void)ctx;
	(void)worker;
	keep_forget_held(pipeline_collector(p));
}

void keeper_end(struct keeper *k, struct workers *ws)
{
	if (k->thread == NULL)
		return;
	end_thread(k);
	ask(ws, KEEP_TMPLS, &k->work);
	if (!k->work.is_failed)
		(void)write_or_say(k, KEEP_TMPLS, &k->work);
	ask(ws, KEEP_HELD, &k->work);
	if (k->work.bytes == 0 || k->work.is_failed || !write_or_say(k, KEEP_HELD, &k->work))
		return;
	for (unsigned i = 0; i < workers_count(ws); i++)
		workers_call(ws, i, forget_held, NULL);
}

void keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	if (k->thread != NULL)
		end_thread(k);
	for (enum keep_kind kind = 0; kind < KEEP_KINDS; kind++)
		free(k->found[kind].octets);
	keep_fini(&k->work);
	if (k->dir_fd >= 0)
		(void)close(k->dir_fd);
	(void)pthread_mutex_destroy(&k->lock);
	(void)pthread_cond_destroy(&k->news);
	free(k);
}
