/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"

#define SYNC_MS 50 /* at most so long in one step for the log, and about so long for files */
#define RETRY_MS 1000
#define TRIES_MAX 1000

enum err file_rotate_init(struct file_rotate *r, const struct sink_env *env)
{
	memset(r, 0, sizeof(*r));
	r->env = env;
	r->is_durable = log_hub_is_durable(env->hub);
	r->now.dir_fd = -1;
	r->now.fd = -1;
	r->skips = calloc(env->reader_count + 1, sizeof(r->skips[0]));
	return r->skips == NULL ? ERR_NOMEM : ERR_OK;
}

void file_kept_close(struct file_kept *k)
{
	int error = errno;

	if (k->fd >= 0)
		(void)close(k->fd);
	if (k->dir_fd >= 0)
		(void)close(k->dir_fd);
	k->fd = -1;
	k->dir_fd = -1;
	file_manifest_fini(&k->manifest);
	errno = error;
}

void file_rotate_fini(struct file_rotate *r)
{
	if (r->env == NULL)
		return;
	file_rotate_tend(r); /* the cursors may have been stored since */
	for (size_t i = 0; i < r->kept_count; i++)
		file_kept_close(&r->kept[i]);
	file_kept_close(&r->now);
	free(r->skips);
	memset(r, 0, sizeof(*r));
}

struct log_reader *file_rotate_reader(const struct file_rotate *r, uint32_t worker, size_t *index)
{
	for (size_t i = 0; i < r->env->reader_count; i++) {
		struct log_reader *reader = r->env->readers[i];

		if (log_worker(log_reader_log(reader)) == worker) {
			*index = i;
			return reader;
		}
	}
	return NULL;
}

uint64_t file_rotate_skip(const struct file_rotate *r, size_t reader)
{
	return r->skips[reader];
}

enum err file_rotate_begin(struct file_rotate *r, const struct file_dir *d)
{
	must(r->stage == ROTATE_NONE);
	r->now.dir_fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	if (r->now.dir_fd < 0)
		return ERR_IO;
	memcpy(r->prefix, d->prefix, sizeof(r->prefix));
	file_manifest_init(&r->now.manifest);
	r->now.manifest.is_durable = r->is_durable;
	memcpy(r->now.manifest.log_id, log_hub_id(r->env->hub), LOG_ID_BYTES);
	r->now.is_named = false;
	r->files_synced = 0;
	r->synced = 0;
	r->named = 0;
	r->stage = ROTATE_FILES;
	return ERR_OK;
}

/* What is not the system's failure has an errno too. */
static enum err with_errno(enum err e)
{
	if (e == ERR_NOMEM)
		errno = ENOMEM;
	if (e == ERR_LIMIT)
		errno = ENAMETOOLONG;
	return e;
}

enum err file_rotate_add_log(struct file_rotate *r, const struct file_manifest_log *log)
{
	return with_errno(file_manifest_add_log(&r->now.manifest, log));
}

enum err file_rotate_add_file(struct file_rotate *r, struct file_out *out, uint64_t records,
			      uint64_t late)
{
	TRY(with_errno(file_manifest_add_file(&r->now.manifest, out->tmp, out->name, out->bytes,
					      records, late)));
	r->outs[r->now.manifest.file_count - 1] = out;
	return ERR_OK;
}

bool file_rotate_is_decided(const struct file_rotate *r)
{
	return r->stage >= ROTATE_DECIDED;
}

void file_rotate_abandon(struct file_rotate *r)
{
	must(!file_rotate_is_decided(r));
	file_kept_close(&r->now);
	r->stage = ROTATE_NONE;
}

static enum err sync_dir(const struct file_rotate *r, int fd)
{
	return r->is_lazy ? ERR_OK : file_dir_sync(fd);
}

static enum err sync_files(struct file_rotate *r)
{
	int64_t until_ms = clock_mono_ms() + SYNC_MS;

	for (; !r->is_lazy && r->files_synced < r->now.manifest.file_count; r->files_synced++) {
		if (clock_mono_ms() > until_ms)
			return ERR_AGAIN;
		TRY(file_out_sync(r->outs[r->files_synced]));
	}
	return ERR_OK;
}

static enum err sync_logs(struct file_rotate *r)
{
	const struct file_manifest *m = &r->now.manifest;
	int64_t until_ms = clock_mono_ms() + SYNC_MS;

	for (; r->synced < m->log_count; r->synced++) {
		const struct file_manifest_log *log = &m->logs[r->synced];
		int64_t left_ms = until_ms - clock_mono_ms();
		size_t index;
		struct log_reader *reader = file_rotate_reader(r, log->worker, &index);

		must(reader != NULL);
		TRY(log_reader_sync(reader, log->end, left_ms > 0 ? (int)left_ms : 0));
	}
	return ERR_OK;
}

/* A name that nobody has, locked. */
static enum err create_manifest(struct file_rotate *r, struct file_out *out)
{
	memset(out, 0, sizeof(*out));
	out->fd = -1;
	for (unsigned tries = 0; out->fd < 0 && tries < TRIES_MAX; tries++) {
		(void)snprintf(out->name, sizeof(out->name), FILE_MANIFEST_NAME, r->prefix,
			       (unsigned long long)++r->sequence);
		(void)snprintf(out->tmp, sizeof(out->tmp), "%.180s.tmp", out->name);
		if (faccessat(r->now.dir_fd, out->name, F_OK, 0) == 0)
			continue;
		out->fd = openat(r->now.dir_fd, out->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
				 0666);
		if (out->fd < 0 && errno != EEXIST)
			return ERR_IO;
	}
	if (out->fd < 0)
		return ERR_IO;
	return flock(out->fd, LOCK_EX | LOCK_NB) == 0 ? ERR_OK : ERR_IO;
}

static enum err fill_manifest(const struct file_rotate *r, struct file_out *out)
{
	uint8_t *octets;
	size_t bytes;
	enum err e;

	TRY(with_errno(file_manifest_encode(&r->now.manifest, &octets, &bytes)));
	e = file_out_write(out, octets, bytes);
	free(octets);
	if (e == ERR_OK && !r->is_lazy)
		e = file_out_sync(out);
	return e == ERR_OK ? file_dir_rename(r->now.dir_fd, out->tmp, out->name) : e;
}

static enum err write_manifest(struct file_rotate *r)
{
	struct file_dir dir = { .fd = r->now.dir_fd };
	struct file_out out;
	enum err e = create_manifest(r, &out);

	if (e == ERR_OK)
		e = fill_manifest(r, &out);
	if (e != ERR_OK) {
		file_out_abort(&dir, &out);
		return e;
	}
	r->now.fd = out.fd;
	memcpy(r->now.name, out.name, sizeof(r->now.name));
	return ERR_OK;
}

enum err file_rotate_name(int dir_fd, const struct file_manifest_file *file)
{
	if (file_dir_rename(dir_fd, file->tmp, file->name) == ERR_OK)
		return ERR_OK;
	if (errno != ENOENT)
		return ERR_IO;
	if (faccessat(dir_fd, file->tmp, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? ERR_ABSENT : ERR_IO;
	errno = ENOENT; /* it is the other directory that is missing */
	return ERR_IO;
}

enum err file_rotate_name_all(const struct file_kept *k)
{
	enum err first = ERR_OK;
	int error = 0;

	for (size_t i = 0; i < k->manifest.file_count; i++) {
		enum err e = file_rotate_name(k->dir_fd, &k->manifest.files[i]);

		if (first == ERR_OK && e != ERR_OK && e != ERR_ABSENT) {
			first = e;
			error = errno;
		}
	}
	errno = error;
	return first;
}

/* `bytes` of the path, which is below. */
static enum err sync_below(int dir_fd, const char *path, size_t bytes)
{
	char at[FILE_PATH_BYTES];
	enum err e;
	int fd;

	memcpy(at, path, bytes);
	at[bytes] = '\0';
	fd = openat(dir_fd, at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ERR_OK : ERR_IO; /* gone, with what was in it */
	e = file_dir_sync(fd);
	(void)close(fd);
	return e;
}

/* Does a file before this one stand in the same directory, or, not `is_parent`, below it? */
static bool is_synced(const struct file_manifest *m, size_t i, size_t bytes, bool is_parent)
{
	for (size_t k = 0; k < i; k++) {
		const char *name = m->files[k].name;

		if (strncmp(name, m->files[i].name, bytes + 1) == 0 &&
		    (!is_parent || strchr(name + bytes + 1, '/') == NULL))
			return true;
	}
	return false;
}

/* Temporary and final name stand in one directory. */
enum err file_rotate_sync_dirs(const struct file_rotate *r, const struct file_kept *k)
{
	const struct file_manifest *m = &k->manifest;

	for (size_t i = 0; !r->is_lazy && i < m->file_count; i++) {
		const char *slash = strrchr(m->files[i].name, '/');
		size_t bytes = slash == NULL ? 0 : (size_t)(slash - m->files[i].name);

		if (bytes > 0 && !is_synced(m, i, bytes, true))
			TRY(sync_below(k->dir_fd, m->files[i].name, bytes));
	}
	return sync_dir(r, k->dir_fd);
}

/* Where files stand below, they and the directories above them may be new: their names are to outlast
 * whatever the manifest does, so they come before it. */
static enum err sync_tree(struct file_rotate *r)
{
	const struct file_manifest *m = &r->now.manifest;
	bool is_flat = true;

	for (size_t i = 0; !r->is_lazy && i < m->file_count; i++) {
		const char *name = m->files[i].name;

		for (size_t at = strlen(name); at > 0; at--) {
			if (name[at] != '/')
				continue;
			is_flat = false;
			if (!is_synced(m, i, at, false))
				TRY(sync_below(r->now.dir_fd, name, at));
		}
	}
	return is_flat ? ERR_OK : sync_dir(r, r->now.dir_fd);
}

/* A rename may have been done by a call that failed. */
static bool has_its_name(const struct file_rotate *r, size_t i)
{
	struct stat held;
	struct stat there;

	return fstat(r->outs[i]->fd, &held) == 0 &&
	       fstatat(r->now.dir_fd, r->now.manifest.files[i].name, &there, AT_SYMLINK_NOFOLLOW) ==
		       0 &&
	       held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

/* Somebody removed what was to be renamed, and nothing is visible yet: the records are still in the log.
 * But only when no later life can find the manifest. */
static enum err take_back(struct file_rotate *r)
{
	if ((unlinkat(r->now.dir_fd, r->now.name, 0) != 0 && errno != ENOENT) ||
	    sync_dir(r, r->now.dir_fd) != ERR_OK)
		return ERR_IO;
	r->stage = ROTATE_MANIFEST;
	errno = ENOENT;
	return ERR_IO;
}

static enum err name_files(struct file_rotate *r)
{
	for (; r->named < r->now.manifest.file_count; r->named++) {
		const struct file_manifest_file *file = &r->now.manifest.files[r->named];
		enum err e = file_rotate_name(r->now.dir_fd, file);

		if (e == ERR_OK || (e == ERR_ABSENT && has_its_name(r, r->named)))
			continue;
		if (e != ERR_ABSENT)
			return e;
		if (r->named == 0)
			return take_back(r);
		log_error("sink.file_removed sink=%s file=%s records=%llu why=\"removed before it "
			  "was complete\"",
			  r->env->name, file->tmp, (unsigned long long)file->records);
	}
	return ERR_OK;
}

/* Somebody may have removed a directory with what was being written in it: while nothing is decided its
 * records can be read again. */
static enum err find_files(const struct file_rotate *r)
{
	for (size_t i = 0; i < r->now.manifest.file_count; i++) {
		struct stat held;
		struct stat there;

		if (fstatat(r->now.dir_fd, r->now.manifest.files[i].tmp, &there,
			    AT_SYMLINK_NOFOLLOW) != 0 ||
		    fstat(r->outs[i]->fd, &held) != 0)
			return ERR_IO;
		if (held.st_dev != there.st_dev || held.st_ino != there.st_ino) {
			errno = ENOENT;
			return ERR_IO;
		}
	}
	return ERR_OK;
}

static enum err decide(struct file_rotate *r)
{
	TRY(find_files(r));
	file_rotate_tend(r);
	if (r->kept_count >= FILE_KEPT_LIVE)
		return ERR_AGAIN;
	return write_manifest(r);
}

static enum err sync_decision(struct file_rotate *r)
{
	return sync_dir(r, r->now.dir_fd);
}

static enum err sync_names(struct file_rotate *r)
{
	return file_rotate_sync_dirs(r, &r->now);
}

enum err file_rotate_step(struct file_rotate *r)
{
	static enum err (*const steps[])(struct file_rotate * r) = {
		[ROTATE_FILES] = sync_files,	  [ROTATE_LOGS] = sync_logs,
		[ROTATE_TREE] = sync_tree,	  [ROTATE_MANIFEST] = decide,
		[ROTATE_DECIDED] = sync_decision, [ROTATE_NAMES] = name_files,
		[ROTATE_DIRS] = sync_names,
	};

	must(r->stage != ROTATE_NONE);
	while (r->stage < ROTATE_NAMED) {
		TRY(steps[r->stage](r));
		r->stage++;
	}
	return ERR_OK;
}

void file_rotate_done(struct file_rotate *r)
{
	const struct file_manifest *m = &r->now.manifest;

	must(r->stage == ROTATE_NAMED);
	must(r->kept_count < FILE_KEPT_MAX);
	for (size_t i = 0; i < m->log_count; i++) {
		size_t index;
		struct log_reader *reader = file_rotate_reader(r, m->logs[i].worker, &index);

		if (m->logs[i].end > log_reader_done_lsn(reader))
			reader_done(reader, m->logs[i].end);
	}
	r->now.is_named = true;
	r->kept[r->kept_count++] = r->now;
	memset(&r->now, 0, sizeof(r->now));
	r->now.fd = -1;
	r->now.dir_fd = -1;
	r->stage = ROTATE_NONE;
	file_rotate_tend(r);
}

static bool is_stored(const struct file_rotate *r, const struct file_manifest *m)
{
	for (size_t i = 0; m->is_durable && i < m->log_count; i++) {
		size_t index;
		const struct log_reader *reader = file_rotate_reader(r, m->logs[i].worker, &index);

		if (reader != NULL && log_reader_stored_lsn(reader) < m->logs[i].end)
			return false;
	}
	return true;
}

/* True when it is not needed any more, and gone. */
static bool is_over(struct file_rotate *r, struct file_kept *k, bool may_retry)
{
	if (!k->is_named && may_retry)
		k->is_named =
			file_rotate_name_all(k) == ERR_OK && file_rotate_sync_dirs(r, k) == ERR_OK;
	if (!k->is_named || !is_stored(r, &k->manifest))
		return false;
	return unlinkat(k->dir_fd, k->name, 0) == 0 || errno == ENOENT;
}

void file_rotate_tend(struct file_rotate *r)
{
	bool may_retry = clock_mono_ms() >= r->retry_ms;
	size_t kept = 0;

	for (size_t i = 0; i < r->kept_count; i++) {
		struct file_kept *k = &r->kept[i];

		if (is_over(r, k, may_retry))
			file_kept_close(k);
		else
			r->kept[kept++] = *k;
	}
	r->kept_count = kept;
	if (may_retry)
		r->retry_ms = clock_mono_ms() + RETRY_MS;
}

static bool has_name(const struct file_manifest *m, const char *path)
{
	for (size_t i = 0; i < m->file_count; i++) {
		if (strcmp(m->files[i].name, path) == 0)
			return true;
	}
	return false;
}

bool file_rotate_names(const struct file_rotate *r, const char *path)
{
	for (size_t i = 0; i < r->kept_count; i++) {
		if (has_name(&r->kept[i].manifest, path))
			return true;
	}
	return r->stage != ROTATE_NONE && has_name(&r->now.manifest, path);
}

void file_rotate_lsn_text(const struct sink_env *env, char out[FILE_LSN_TEXT_BYTES])
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < env->reader_count && n + 32 < FILE_LSN_TEXT_BYTES; i++) {
		const struct log_reader *r = env->readers[i];

		n += (size_t)snprintf(out + n, FILE_LSN_TEXT_BYTES - n, "%s%u:%llu",
				      i == 0 ? "" : ",", log_worker(log_reader_log(r)),
				      (unsigned long long)log_reader_done_lsn(r));
	}
}
