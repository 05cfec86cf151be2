/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "collector/keep.h"
#include "collector/udp.h"
#include "daemon/journal.h"
#include "daemon/keeper_kinds.h"
#include "daemon/marks.h"

/* Together with the writing less than the 3 s that something new may be in memory only. */
#define STEP_MS 1000
/* The times at which templates were used last are older than this on no disk, nor what is of sessions that went. */
#define ANEW_MS 60000
/* What a worker copies between two batches: 0.1 ms of large sets, 0.4 ms of the smallest. */
#define SLICE_BYTES (256u << 10)
/* What all workers give in one step: two of them for all sets that may wait by default. */
#define STEP_BYTES (32u << 20)
#define OCTETS_KEPT (4u << 20) /* of a job's room, for the next one */
#define NAME_BYTES 96

/* One file; what stands behind `job` is the thread's while has_job. */
struct kept {
	struct journal journal;
	struct journal_found found; /* of an earlier life */
	uint64_t gone;		    /* sessions that went, when it was written anew last */
	int64_t next_anew_ms;
	bool is_anew;	/* it is being written anew */
	bool is_failed; /* the last batch could not be written */
	bool has_job;
	struct journal_batch job;
	struct keep octets; /* of the job */
};

struct keeper {
	int dir_fd;
	uint64_t epoch; /* of this life */
	int64_t next_ms;
	struct kept kept[KEEP_KINDS];
	struct workers *workers; /* since keeper_begin() */
	uint64_t *words;	 /* marks, until there are those that outlive us */
	struct marks *marks;
	struct marks_left marks_left;
	char marks_name[NAME_BYTES];
	struct thread *thread;
	pthread_mutex_t lock;
	pthread_cond_t news;
	bool is_ending;
};

static enum err find(struct keeper *k, enum keep_kind kind, const char *state, struct why *why)
{
	struct kept *t = &k->kept[kind];
	struct journal_found *f = &t->found;

	TRY(journal_load(&t->journal, f, why));
	if (f->version > JOURNAL_VERSION)
		return why_set(why, ERR_CONF,
			       "%s/%s: has version %lu, of a newer sluiced; this one knows version "
			       "%d: go on with the newer one, or move the file away",
			       state, keep_kinds[kind].name.file, f->version, JOURNAL_VERSION);
	return ERR_OK;
}

static enum err open_dir(struct keeper *k, const char *state, struct why *why)
{
	struct stat st;

	k->dir_fd = open(state, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (k->dir_fd < 0 || fstat(k->dir_fd, &st) != 0)
		return why_errno(why, ERR_IO, state);
	if (getrandom(&k->epoch, sizeof(k->epoch), 0) != (ssize_t)sizeof(k->epoch))
		return why_errno(why, ERR_IO, "getrandom");
	(void)snprintf(k->marks_name, sizeof(k->marks_name), "/sluice-held-%llx-%llx",
		       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
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
	e = open_dir(k, state, why);
	for (enum keep_kind kind = 0; e == ERR_OK && kind < KEEP_KINDS; kind++) {
		journal_init(&k->kept[kind].journal, &keep_kinds[kind].name, io, k->dir_fd,
			     k->epoch);
		e = find(k, kind, state, why);
	}
	if (e != ERR_OK) {
		keeper_free(k);
		return e;
	}
	marks_left(k->marks_name, &k->marks_left);
	*out = k;
	return ERR_OK;
}

/* ---- writing ---- */

static bool put_or_say(struct kept *t, const struct journal_batch *b)
{
	if (journal_put(&t->journal, b) == ERR_OK)
		return true;
	log_every(LOG_LEVEL_ERROR, "keeper.not_saved file=%s why=\"%s\"", t->journal.name->file,
		  strerrordesc_np(errno));
	return false;
}

static struct kept *find_job(struct keeper *k)
{
	for (enum keep_kind kind = 0; kind < KEEP_KINDS; kind++) {
		if (k->kept[kind].has_job)
			return &k->kept[kind];
	}
	return NULL;
}

static void run(void *ctx)
{
	struct keeper *k = ctx;
	struct kept *t;
	bool is_saved;

	(void)pthread_mutex_lock(&k->lock);
	for (;;) {
		while ((t = find_job(k)) == NULL && !k->is_ending)
			(void)pthread_cond_wait(&k->news, &k->lock);
		if (t == NULL)
			break;
		(void)pthread_mutex_unlock(&k->lock);
		is_saved = put_or_say(t, &t->job);
		if (t->octets.room > OCTETS_KEPT)
			keep_fini(&t->octets);
		(void)pthread_mutex_lock(&k->lock);
		t->has_job = false;
		t->is_failed = !is_saved;
	}
	(void)pthread_mutex_unlock(&k->lock);
}

struct asked {
	const struct keep_ops *ops;
	struct keep_now now;
	struct keep *out;
	bool has_more;
};

static void ask_worker(void *ctx, unsigned worker, struct pipeline *p)
{
	struct asked *a = ctx;

	(void)worker;
	a->has_more = a->ops->put(p, &a->now, SLICE_BYTES, a->out);
}

static void rewind_worker(void *ctx, unsigned worker, struct pipeline *p)
{
	const struct asked *a = ctx;

	(void)worker;
	a->ops->rewind(p);
}

static void rewind_all(struct keeper *k, const struct keep_ops *ops)
{
	struct asked a = { .ops = ops };

	for (unsigned i = 0; i < workers_count(k->workers); i++)
		workers_call(k->workers, i, rewind_worker, &a);
}

/* In slices, between which a worker works; false: there is more than this step takes. */
static bool ask_each(struct keeper *k, enum keep_kind kind, size_t most)
{
	struct keep *out = &k->kept[kind].octets;
	struct asked a = { .ops = &keep_kinds[kind],
			   .now = { clock_real_ms(), clock_mono_ms() },
			   .out = out };
	unsigned count = workers_count(k->workers);
	bool is_all = true;

	out->bytes = 0;
	out->is_open = false;
	out->is_failed = false;
	for (unsigned i = 0; i < count; i++) {
		size_t enough = out->bytes + most / count;

		do {
			/* Here, and not on the worker's time; more than a slice is rare. */
			if (!keep_reserve(out, (size_t)2 * SLICE_BYTES))
				return false;
			workers_call(k->workers, i, ask_worker, &a);
		} while (a.has_more && (out->is_open || out->bytes < enough));
		is_all = is_all && !a.has_more;
	}
	return is_all;
}

/* Of any worker. */
static uint64_t sum(struct keeper *k, enum collector_stat row)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < workers_count(k->workers); i++)
		n += stat_get(workers_collector_stat(k->workers, i), row);
	return n;
}

static uint64_t sessions_gone(struct keeper *k)
{
	return sum(k, STAT_SESSIONS_IDLE) + sum(k, STAT_SESSIONS_EVICTED);
}

static bool is_anew_due(struct keeper *k, enum keep_kind kind, bool is_failed, int64_t mono_ms)
{
	const struct kept *t = &k->kept[kind];

	if (is_failed || !journal_has_file(&t->journal) || journal_is_wasteful(&t->journal))
		return true;
	if (kind == KEEP_HELD)
		return sum(k, STAT_SETS_HELD_NOW) == 0;
	if (mono_ms < t->next_anew_ms)
		return false;
	return kind == KEEP_TMPLS || sessions_gone(k) != t->gone;
}

static void begin_anew(struct keeper *k, enum keep_kind kind, int64_t mono_ms)
{
	struct kept *t = &k->kept[kind];

	rewind_all(k, &keep_kinds[kind]);
	t->is_anew = true;
	t->next_anew_ms = mono_ms + ANEW_MS;
	t->gone = sessions_gone(k);
}

/* A batch of what changed, or of all; false when there is nothing to write. */
static bool make_batch(struct keeper *k, enum keep_kind kind, bool is_failed, size_t most,
		       int64_t mono_ms)
{
	struct kept *t = &k->kept[kind];
	bool begins = is_failed || (!t->is_anew && is_anew_due(k, kind, false, mono_ms));
	bool is_all;

	if (begins)
		begin_anew(k, kind, mono_ms);
	is_all = ask_each(k, kind, most);
	if (t->octets.is_failed) {
		log_every(LOG_LEVEL_ERROR, "keeper.not_saved file=%s why=\"no memory\"",
			  t->journal.name->file);
		t->is_anew = false;
		t->is_failed = true; /* no job is under way */
		return false;
	}
	t->job = (struct journal_batch){ .octets = t->octets.octets,
					 .bytes = t->octets.bytes,
					 .begins = begins,
					 .ends = t->is_anew && is_all };
	t->is_anew = t->is_anew && !is_all;
	return t->job.bytes > 0 ||
	       (t->job.ends && (!begins || is_failed || journal_has_file(&t->journal)));
}

static void step_kind(struct keeper *k, enum keep_kind kind, int64_t mono_ms)
{
	struct kept *t = &k->kept[kind];
	bool is_failed;
	bool is_busy;

	(void)pthread_mutex_lock(&k->lock);
	is_busy = t->has_job;
	is_failed = t->is_failed;
	(void)pthread_mutex_unlock(&k->lock);
	if (is_busy || !make_batch(k, kind, is_failed, STEP_BYTES, mono_ms))
		return;
	(void)pthread_mutex_lock(&k->lock);
	t->is_failed = false;
	t->has_job = true;
	(void)pthread_cond_signal(&k->news);
	(void)pthread_mutex_unlock(&k->lock);
}

void keeper_step(struct keeper *k, int64_t mono_ms)
{
	if (mono_ms < k->next_ms || k->thread == NULL)
		return;
	k->next_ms = mono_ms + STEP_MS;
	for (enum keep_kind kind = 0; kind < KEEP_KINDS; kind++)
		step_kind(k, kind, mono_ms);
}

/* All of it, by this thread, while no worker runs. */
static bool write_all(struct keeper *k, enum keep_kind kind)
{
	struct kept *t = &k->kept[kind];
	bool is_first = true;

	t->is_anew = false;
	do {
		if (!make_batch(k, kind, is_first, STEP_BYTES, clock_mono_ms()))
			return false;
		t->is_failed = !put_or_say(t, &t->job);
		is_first = false;
	} while (!t->is_failed && !t->job.ends);
	return !t->is_failed;
}

/* ---- the beginning ---- */

struct taking {
	struct keeper *keeper;
	enum keep_kind kind;
	struct keep_now now;
	struct pipeline **pipelines;
	unsigned worker_count;
	bool is_marked; /* marks_left are of this file */
	size_t taken;
	size_t refused;
};

static void learn_pipeline(void *ctx, unsigned worker, struct pipeline *p)
{
	struct taking *t = ctx;

	t->pipelines[worker] = p;
}

/* To whom the exporter belongs now, however many workers there were. */
static void take_entry(void *ctx, struct rd entry)
{
	struct taking *t = ctx;
	const struct keep_ops *ops = &keep_kinds[t->kind];
	uint64_t number = t->kind == KEEP_HELD ? be64(entry.at) : 0;
	struct addr peer;
	enum err e;

	if (t->is_marked &&
	    !marks_left_waits(&t->keeper->marks_left, keep_number_worker(number), number))
		return;
	e = ops->peer(entry, &peer);
	if (e == ERR_OK)
		e = ops->take(t->pipelines[udp_owner(&peer, t->worker_count)], entry, &t->now);
	t->taken += e == ERR_OK;
	t->refused += e != ERR_OK;
}

static enum err settle(struct keeper *k, enum keep_kind kind, struct why *why)
{
	struct kept *t = &k->kept[kind];
	const struct journal_name *name = &keep_kinds[kind].name;

	if (!t->found.is_broken)
		return ERR_OK;
	stat_inc(workers_collector_stat(k->workers, 0), STAT_STATE_SET_ASIDE);
	log_warn("keeper.set_aside file=%s octets_used=%zu why=\"%s\"", name->bad,
		 rd_left(&t->found.entries),
		 t->found.version != 0 && t->found.version != JOURNAL_VERSION
			 ? "it has another version"
			 : "it is cut or changed");
	return journal_set_aside(&t->journal) == ERR_OK ? ERR_OK
							: why_errno(why, ERR_IO, name->file);
}

static enum err restore(struct keeper *k, struct taking *t, struct why *why)
{
	struct kept *of = &k->kept[t->kind];
	const struct keep_ops *ops = &keep_kinds[t->kind];
	size_t broken;

	if (!of->found.is_there)
		return ERR_OK;
	TRY(settle(k, t->kind, why));
	t->is_marked = t->kind == KEEP_HELD && k->marks_left.words != NULL &&
		       k->marks_left.epoch == of->found.epoch;
	t->now.is_marked = t->is_marked;
	if (journal_last(&of->found, ops->id_bytes, take_entry, t, &broken) != ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory for %s", ops->name.file);
	t->refused += broken;
	stat_add(workers_collector_stat(k->workers, 0), STAT_STATE_REFUSED, t->refused);
	log_info("keeper.restored file=%s entries=%zu refused=%zu", ops->name.file, t->taken,
		 t->refused);
	return ERR_OK;
}

static enum err restore_all(struct keeper *k, struct why *why)
{
	struct taking t = { .keeper = k,
			    .now = { clock_real_ms(), clock_mono_ms() },
			    .worker_count = workers_count(k->workers) };
	enum err e = ERR_OK;

	t.pipelines = calloc(t.worker_count, sizeof(struct pipeline *));
	if (t.pipelines == NULL)
		return why_set(why, ERR_NOMEM, "no memory to keep templates");
	for (unsigned i = 0; i < t.worker_count; i++)
		workers_call(k->workers, i, learn_pipeline, &t);
	for (t.kind = 0; e == ERR_OK && t.kind < KEEP_KINDS; t.kind++) {
		t.taken = 0;
		t.refused = 0;
		e = restore(k, &t, why);
		free(k->kept[t.kind].found.octets);
		k->kept[t.kind].found.octets = NULL;
	}
	free(t.pipelines);
	return e;
}

static void use_words(void *ctx, unsigned worker, struct pipeline *p)
{
	struct keeper *k = ctx;
	uint64_t *words = k->words == NULL ? NULL : k->words + (size_t)worker * (KEEP_MARKS / 64);

	if (k->marks != NULL)
		words = marks_words(k->marks, worker);
	keep_use_numbers(pipeline_collector(p), words, keep_number_first(worker));
}

static void use_all_words(struct keeper *k)
{
	for (unsigned i = 0; i < workers_count(k->workers); i++)
		workers_call(k->workers, i, use_words, k);
}

/*
 * The files of this life replace those of the one before when all is in them and nothing was decoded yet; from then on
 * the marks hold for them.
 */
static enum err write_anew(struct keeper *k, struct why *why)
{
	unsigned count = workers_count(k->workers);

	k->words = calloc((size_t)count * (KEEP_MARKS / 64), sizeof(*k->words));
	if (k->words == NULL)
		return why_set(why, ERR_NOMEM, "no memory to keep sets");
	use_all_words(k);
	for (enum keep_kind kind = 0; kind < KEEP_KINDS; kind++) {
		/* No life may have sets twice. */
		if (k->kept[kind].found.is_there && !write_all(k, kind) && kind == KEEP_HELD)
			return why_errno(why, ERR_IO, keep_kinds[kind].name.file);
	}
	if (marks_open(k->marks_name, k->epoch, count, k->words, &k->marks) != ERR_OK)
		log_warn("keeper.no_marks name=%s why=\"sets that are decoded less than 3 s before "
			 "a kill may be decoded again after it\"",
			 k->marks_name);
	use_all_words(k);
	return ERR_OK;
}

enum err keeper_begin(struct keeper *k, struct workers *ws, struct why *why)
{
	k->workers = ws;
	TRY(restore_all(k, why));
	TRY(write_anew(k, why));
	if (thread_start("keeper", run, k, &k->thread) != ERR_OK)
		return why_set(why, ERR_NOMEM, "cannot start a thread");
	return ERR_OK;
}

/* ---- the end ---- */

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

void keeper_end(struct keeper *k)
{
	if (k->thread == NULL)
		return;
	end_thread(k);
	(void)write_all(k, KEEP_TMPLS);
	(void)write_all(k, KEEP_JOINS);
	(void)write_all(k, KEEP_ANNOUNCED);
	if (!write_all(k, KEEP_HELD)) {
		/* They are given up now, and must not be in the next life. */
		(void)journal_remove(&k->kept[KEEP_HELD].journal);
		return;
	}
	for (unsigned i = 0; i < workers_count(k->workers); i++)
		workers_call(k->workers, i, forget_held, NULL);
	marks_close(k->marks, true);
	k->marks = NULL;
	use_all_words(k);
}

/* What is dropped from here on is no set that was handed on. */
static void leave_marks(struct keeper *k)
{
	marks_close(k->marks, false);
	k->marks = NULL;
	free(k->words);
	k->words = NULL;
	if (k->workers != NULL)
		use_all_words(k);
}

void keeper_free(struct keeper *k)
{
	if (k == NULL)
		return;
	if (k->thread != NULL)
		end_thread(k);
	leave_marks(k);
	marks_left_fini(&k->marks_left);
	for (enum keep_kind kind = 0; kind < KEEP_KINDS; kind++) {
		free(k->kept[kind].found.octets);
		journal_fini(&k->kept[kind].journal);
		keep_fini(&k->kept[kind].octets);
	}
	if (k->dir_fd >= 0)
		(void)close(k->dir_fd);
	(void)pthread_mutex_destroy(&k->lock);
	(void)pthread_cond_destroy(&k->news);
	free(k);
}
