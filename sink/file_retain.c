/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_retain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/clock.h"
#include "base/log.h"

#define WALK_NAMES 512	    /* in one poll */
#define REMOVE_MAX 64	    /* in one poll */
#define WALK_AGAIN_MS 10000 /* after files that could not be removed */
#define STALE_MS 600000	    /* what others did to the directory is seen after so long */
#define FREE_MS 1000

enum err file_retain_init(struct file_retain *r, const struct file_retain_conf *conf,
			  const struct sink_env *env, const struct file_rotate *rotate)
{
	memset(r, 0, sizeof(*r));
	r->conf = *conf;
	r->env = env;
	r->rotate = rotate;
	r->dir.fd = -1;
	if (!file_retain_is_on(r))
		return ERR_OK;
	r->oldest = calloc(RETAIN_OLDEST, sizeof(r->oldest[0]));
	r->added = calloc(RETAIN_ADDED, sizeof(r->added[0]));
	return r->oldest == NULL || r->added == NULL ? ERR_NOMEM : ERR_OK;
}

bool file_retain_is_on(const struct file_retain *r)
{
	return r->conf.max_bytes > 0 || r->conf.max_age_ms > 0 || r->conf.min_free > 0;
}

static void drop_list(struct file_retain *r)
{
	for (size_t i = r->next; i < r->count; i++)
		free(r->oldest[i].path);
	r->count = 0;
	r->next = 0;
}

static void forget(struct file_retain *r)
{
	if (r->is_walking)
		file_walk_close(&r->walk);
	drop_list(r);
	r->is_walking = false;
	r->is_known = false;
	r->is_partial = false;
	r->files = 0;
	r->octets = 0;
	r->walk_ms = 0;
}

void file_retain_fini(struct file_retain *r)
{
	if (r->env == NULL)
		return;
	forget(r);
	file_dir_close(&r->dir);
	free(r->oldest);
	free(r->added);
	memset(r, 0, sizeof(*r));
}

enum err file_retain_at(struct file_retain *r, const struct file_dir *d)
{
	struct stat there;
	struct stat held;

	if (!file_retain_is_on(r))
		return ERR_OK;
	if (r->dir.fd >= 0 && fstat(r->dir.fd, &held) == 0 && fstat(d->fd, &there) == 0 &&
	    held.st_dev == there.st_dev && held.st_ino == there.st_ino)
		return ERR_OK;
	forget(r);
	file_dir_close(&r->dir);
	r->dir = *d;
	r->dir.fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	return r->dir.fd < 0 ? ERR_IO : ERR_OK;
}

static bool is_older(const struct retained *a, const struct retained *b)
{
	return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : strcmp(a->path, b->path) < 0;
}

static void swap(struct retained *a, struct retained *b)
{
	struct retained t = *a;

	*a = *b;
	*b = t;
}

static void sift_up(struct retained *heap, size_t at)
{
	for (; at > 0 && is_older(&heap[(at - 1) / 2], &heap[at]); at = (at - 1) / 2)
		swap(&heap[(at - 1) / 2], &heap[at]);
}

static void sift_down(struct retained *heap, size_t count)
{
	size_t at = 0;

	for (;;) {
		size_t newest = at;

		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
			if (is_older(&heap[newest], &heap[child]))
				newest = child;
		}
		if (newest == at)
			return;
		swap(&heap[at], &heap[newest]);
		at = newest;
	}
}

/* Keeps the oldest ones. */
static void keep(struct file_retain *r, int64_t time_ms, uint64_t octets, const char *path)
{
	struct retained one = { time_ms, octets, NULL };
	char *newest;

	if (r->count == RETAIN_OLDEST) {
		r->is_partial = true;
		if (time_ms >= r->oldest[0].time_ms)
			return;
	}
	one.path = strdup(path);
	if (one.path == NULL) {
		r->is_partial = true; /* a later walk finds it */
		return;
	}
	if (r->count < RETAIN_OLDEST) {
		r->oldest[r->count] = one;
		sift_up(r->oldest, r->count++);
		return;
	}
	newest = r->oldest[0].path;
	r->oldest[0] = one;
	sift_down(r->oldest, r->count);
	free(newest);
}

static uint64_t hash(const char *name)
{
	return XXH3_64bits(name, strlen(name));
}

/* Is it one that was counted when it was completed? */
static bool was_added(const struct file_retain *r, int64_t time_ms, const char *path)
{
	uint64_t h;

	if (r->added_count == 0 || time_ms < r->added_from_ms)
		return false;
	h = hash(path);
	for (size_t i = 0; i < r->added_count; i++) {
		if (r->added[i].hash == h)
			return true;
	}
	return false;
}

void file_retain_added(struct file_retain *r, const char *name, uint64_t octets)
{
	int64_t time_ms;

	if (!file_retain_is_on(r))
		return;
	time_ms = file_dir_time_ms(&r->dir, name);
	if (r->is_walking && r->added_count == RETAIN_ADDED) {
		forget(r); /* it takes too long to tell what it had met: once more */
		return;
	}
	if (r->is_walking) {
		if (r->added_count == 0 || time_ms < r->added_from_ms)
			r->added_from_ms = time_ms;
		r->added[r->added_count++] = (struct retain_added){ hash(name), octets };
		return;
	}
	if (!r->is_known)
		return;
	r->files++;
	r->octets += octets;
	if (!r->is_partial && r->count < RETAIN_OLDEST)
		r->oldest[r->count].path = strdup(name);
	if (r->is_partial || r->count == RETAIN_OLDEST || r->oldest[r->count].path == NULL) {
		r->is_partial = true;
		return;
	}
	r->oldest[r->count].time_ms = time_ms;
	r->oldest[r->count++].octets = octets;
}

static int compare(const void *a, const void *b)
{
	return is_older(a, b) ? -1 : is_older(b, a) ? 1 : 0;
}

static void begin_walk(struct file_retain *r)
{
	int64_t now_ms = clock_mono_ms();

	r->walk_ms = now_ms;
	r->stale_ms = now_ms + STALE_MS;
	if (file_walk_open(&r->walk, r->dir.fd) != ERR_OK) {
		r->stale_ms = now_ms;
		return;
	}
	drop_list(r);
	r->is_walking = true;
	r->is_partial = false;
	r->added_count = 0;
	r->walked_files = 0;
	r->walked_octets = 0;
}

static void end_walk(struct file_retain *r)
{
	file_walk_close(&r->walk);
	r->is_walking = false;
	r->is_known = true;
	r->files = r->walked_files + r->added_count;
	r->octets = r->walked_octets;
	for (size_t i = 0; i < r->added_count; i++)
		r->octets += r->added[i].octets;
	r->is_partial = r->is_partial || r->added_count > 0 || r->walk.is_cut;
	if (r->walk.is_cut)
		r->walk_ms = clock_mono_ms() + WALK_AGAIN_MS;
	qsort(r->oldest, r->count, sizeof(r->oldest[0]), compare);
}

static void walk_on(struct file_retain *r)
{
	for (unsigned i = 0; i < WALK_NAMES; i++) {
		int64_t time_ms;
		struct stat st;

		if (!file_walk_next(&r->walk)) {
			end_walk(r);
			return;
		}
		if (!file_dir_is_complete(&r->dir, r->walk.name) ||
		    fstatat(file_walk_fd(&r->walk), r->walk.name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		time_ms = file_dir_time_ms(&r->dir, r->walk.name);
		if (was_added(r, time_ms, r->walk.path))
			continue;
		r->walked_files++;
		r->walked_octets += (uint64_t)st.st_size;
		keep(r, time_ms, (uint64_t)st.st_size, r->walk.path);
	}
}

/* How much more the file system should have free. */
static uint64_t missing(struct file_retain *r)
{
	struct statvfs vfs;
	uint64_t free_bytes;

	if (r->conf.min_free == 0 || (!r->is_full && clock_mono_ms() < r->free_ms))
		return 0;
	r->free_ms = clock_mono_ms() + FREE_MS;
	r->is_full = false;
	if (fstatvfs(r->dir.fd, &vfs) != 0)
		return 0;
	free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	r->is_full = free_bytes < r->conf.min_free;
	return r->is_full ? r->conf.min_free - free_bytes : 0;
}

/* Why the oldest file is to go; SINK_STAT_COUNT: it may stay. */
static size_t reason(const struct file_retain *r, uint64_t missing_bytes)
{
	const struct retained *oldest = &r->oldest[r->next];

	if (r->conf.max_age_ms > 0 && oldest->time_ms < clock_real_ms() - r->conf.max_age_ms)
		return SINK_STAT_RETENTION_AGE;
	if (r->conf.max_bytes > 0 && r->octets > r->conf.max_bytes)
		return SINK_STAT_RETENTION_BYTES;
	return missing_bytes > 0 ? SINK_STAT_RETENTION_FREE : SINK_STAT_COUNT;
}

/* True when the octets are gone from the file system, or were. */
static bool remove_file(struct file_retain *r, const struct retained *one, size_t why)
{
	if (file_rotate_names(r->rotate, one->path))
		return false;
	if (file_dir_remove_unheld(r->dir.fd, one->path)) {
		stat_inc(r->env->stat, why);
		stat_add(r->env->stat, SINK_STAT_RETENTION_OCTETS, one->octets);
		log_debug("sink.file_retired sink=%s file=%s reason=%s", r->env->name, one->path,
			  sink_stat_descs[why].reason);
	} else if (faccessat(r->dir.fd, one->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!r->is_said)
			log_warn("sink.file_not_removed sink=%s file=%s why=\"%s\"", r->env->name,
				 one->path, "in use, or not permitted");
		r->is_said = true;
		return false;
	}
	file_dir_prune(r->dir.fd, one->path);
	return true;
}

static void remove_old(struct file_retain *r)
{
	uint64_t missing_bytes = missing(r);

	for (unsigned n = 0; n < REMOVE_MAX && r->next < r->count; n++) {
		struct retained *one = &r->oldest[r->next];
		size_t why = reason(r, missing_bytes);

		if (why == SINK_STAT_COUNT)
			return;
		r->next++;
		if (remove_file(r, one, why)) {
			r->files--;
			r->octets -= one->octets < r->octets ? one->octets : r->octets;
			missing_bytes -= one->octets < missing_bytes ? one->octets : missing_bytes;
		} else {
			r->is_partial = true; /* it is tried again */
			r->walk_ms = clock_mono_ms() + WALK_AGAIN_MS;
		}
		free(one->path);
	}
	if (r->next == r->count) {
		r->next = 0;
		r->count = 0;
	}
}

void file_retain_tend(struct file_retain *r)
{
	int64_t now_ms = clock_mono_ms();

	if (!file_retain_is_on(r) || r->dir.fd < 0)
		return;
	if (r->is_walking) {
		walk_on(r);
		return;
	}
	if (!r->is_known || now_ms >= r->stale_ms ||
	    (r->is_partial && r->next == r->count && now_ms >= r->walk_ms))
		begin_walk(r);
	else
		remove_old(r);
}
