/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sink/file_rotate.h"

#define MARK ".manifest-"
#define DIGITS 20
#define BAD_NAME ".%s.bad-manifest-%020llu"
#define BAD_MAX 1000 /* of one number: each life begins with the lowest */

/* Is it a manifest of ours, or one that was being written?  Numbers past INT64_MAX are none of ours. */
static bool is_manifest(const struct file_dir *d, const char *name, uint64_t *sequence,
			bool *is_unfinished)
{
	size_t prefix = strlen(d->prefix);
	const char *digits = name + 1 + prefix + strlen(MARK);

	if (name[0] != '.' || strncmp(name + 1, d->prefix, prefix) != 0 ||
	    strncmp(name + 1 + prefix, MARK, strlen(MARK)) != 0 ||
	    strspn(digits, "0123456789") != DIGITS)
		return false;
	*is_unfinished = strcmp(digits + DIGITS, ".tmp") == 0;
	errno = 0;
	*sequence = strtoull(digits, NULL, 10);
	return errno == 0 && *sequence <= INT64_MAX && (digits[DIGITS] == '\0' || *is_unfinished);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Numbers of the manifests, lowest first; what a killed process left half written goes. */
static enum err list(struct file_rotate *r, const struct file_dir *d,
		     uint64_t numbers[FILE_KEPT_MAX], size_t *count)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	enum err e = ERR_OK;

	*count = 0;
	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return ERR_IO;
	}
	/* The stream is ours alone. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		uint64_t number;
		bool is_unfinished;

		if (!is_manifest(d, entry->d_name, &number, &is_unfinished))
			continue;
		if (r->sequence < number)
			r->sequence = number;
		if (is_unfinished)
			(void)file_dir_remove_unheld(d->fd, entry->d_name);
		else if (*count < FILE_KEPT_MAX)
			numbers[(*count)++] = number;
		else
			e = ERR_LIMIT;
	}
	(void)closedir(dir);
	qsort(numbers, *count, sizeof(numbers[0]), compare);
	return e;
}

/* ERR_ABSENT: not there any more.  ERR_EXISTS: another process's. */
static enum err take(struct file_kept *k, struct why *why)
{
	struct stat st;

	if (fstatat(k->dir_fd, k->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? ERR_ABSENT : ERR_IO;
	if (!S_ISREG(st.st_mode))
		return why_set(why, ERR_FORMAT, "it is no plain file");
	k->fd = openat(k->dir_fd, k->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (k->fd < 0)
		return errno == ENOENT ? ERR_ABSENT : ERR_IO;
	if (flock(k->fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? ERR_EXISTS : ERR_IO;
	if (fstat(k->fd, &st) != 0)
		return ERR_IO;
	return st.st_nlink > 0 ? ERR_OK : ERR_ABSENT;
}

static enum err load(struct file_kept *k, const struct file_dir *d, struct why *why)
{
	size_t room = FILE_MANIFEST_BYTES_MAX + 1;
	uint8_t *octets = malloc(room);
	size_t bytes = 0;
	ssize_t n;
	enum err e;

	if (octets == NULL) {
		errno = ENOMEM;
		return ERR_NOMEM;
	}
	do {
		n = read(k->fd, octets + bytes, room - bytes);
		if (n > 0)
			bytes += (size_t)n;
	} while ((n > 0 && bytes < room) || (n < 0 && errno == EINTR));
	e = n < 0 ? ERR_IO : file_manifest_decode(octets, bytes, d, &k->manifest, why);
	free(octets);
	return e;
}

/* How much of a log's range the cursor does not know of.  Where it stands in the middle, or below the
 * range, its last place was lost: what lies below `first` had been done when the manifest was written. */
static void count_log(const struct file_manifest_log *log, uint64_t done, struct file_found *found,
		      uint64_t lost[LOG_LOSS_COUNT])
{
	uint64_t left = log->end - (done > log->first ? done : log->first);
	uint64_t delivered = log->delivered < left ? log->delivered : left;
	uint64_t corrupt = log->corrupt < left - delivered ? log->corrupt : left - delivered;
	uint64_t not_routed;

	found->delivered += delivered;
	found->corrupt += corrupt;
	left -= delivered + corrupt;
	not_routed = log->not_routed < left ? log->not_routed : left;
	found->not_routed += not_routed;
	left -= not_routed;
	for (size_t k = 0; k < LOG_LOSS_COUNT; k++) {
		lost[k] = log->lost[k] < left ? log->lost[k] : left;
		left -= lost[k];
	}
	if (log->delivered > 0)
		found->octets += (uint64_t)((double)log->octets * (double)delivered /
					    (double)log->delivered);
	if (done < log->first)
		found->delivered += log->first - done;
}

/* The log of a later life begins behind the manifest's end, whatever its cursor says. */
static bool settle_log(struct file_rotate *r, struct file_manifest_log *log, bool is_early,
		       struct file_found *found)
{
	size_t index;
	struct log_reader *reader = file_rotate_reader(r, log->worker, &index);
	uint64_t lost[LOG_LOSS_COUNT];
	uint64_t done;

	if (reader == NULL)
		return false;
	done = log_reader_done_lsn(reader);
	if (log->end <= done)
		return true;
	if (is_early) {
		count_log(log, done, found, lost);
		log_reader_committed(reader, log->end, lost);
	} else if (log_end_lsn(log_reader_log(reader)) < log->end) {
		log->end = log->first; /* not of this log, which gave no such number yet */
	} else if (r->skips[index] < log->end) {
		r->skips[index] = log->end;
	}
	return true;
}

/* True when this life has all its logs, so that it will see them stored. */
static bool settle(struct file_rotate *r, struct file_kept *k, bool is_early,
		   struct file_found *found)
{
	struct file_found before = *found;
	bool has_all = true;

	for (size_t i = 0; i < k->manifest.log_count; i++)
		has_all = settle_log(r, &k->manifest.logs[i], is_early, found) && has_all;
	if (found->delivered == before.delivered && found->corrupt == before.corrupt)
		return has_all;
	found->files += k->manifest.file_count;
	for (size_t i = 0; i < k->manifest.file_count; i++) {
		found->out_octets += k->manifest.files[i].octets;
		found->late += k->manifest.files[i].late;
	}
	return has_all;
}

/* LSNs of another log than ours mean nothing here: its files are complete, and that is all. */
static bool is_foreign(const struct file_rotate *r, const struct file_manifest *m)
{
	return m->is_durable && memcmp(m->log_id, log_hub_id(r->env->hub), LOG_ID_BYTES) != 0;
}

/* Renames what has its old name still, and tells the log.  True: keep it until it is stored. */
static bool finish(struct file_rotate *r, struct file_kept *k, bool is_early,
		   struct file_found *found)
{
	bool is_tracked = true;

	k->is_named = file_rotate_name_all(k) == ERR_OK && file_rotate_sync_dirs(r, k) == ERR_OK;
	if (!k->is_named) {
		found->is_settled = false;
		log_error("sink.manifest_unfinished sink=%s manifest=%s why=\"%s\" "
			  "retry=until_it_works",
			  r->env->name, k->name, strerror(errno));
	}
	if (r->is_durable && is_foreign(r, &k->manifest)) {
		log_warn(
			"sink.manifest_foreign sink=%s manifest=%s why=\"the log that it speaks of "
			"is no more\"",
			r->env->name, k->name);
		k->manifest.is_durable = false;
	}
	if (k->manifest.is_durable)
		is_tracked = r->is_durable && settle(r, k, is_early, found);
	if (k->manifest.is_durable && r->is_durable && !is_tracked)
		log_warn("sink.manifest_left sink=%s manifest=%s why=\"it speaks of a log that is "
			 "not here\"",
			 r->env->name, k->name);
	log_info("sink.manifest_finished sink=%s manifest=%s files=%zu", r->env->name, k->name,
		 k->manifest.file_count);
	found->manifests++;
	return is_tracked;
}

/* Nobody can say what it was about: its records are read again where the cursor says so, and may then
 * stand in two files. */
static enum err put_aside(struct file_rotate *r, const struct file_dir *d, struct file_kept *k,
			  uint64_t number, const struct why *why)
{
	char name[FILE_NAME_BYTES];
	enum err e = ERR_IO;

	errno = EEXIST;
	for (unsigned i = 0; e != ERR_OK && errno == EEXIST && i < BAD_MAX; i++) {
		int n = snprintf(name, sizeof(name), BAD_NAME, d->prefix,
				 (unsigned long long)number);

		if (i > 0)
			(void)snprintf(name + n, sizeof(name) - (size_t)n, "-%u", i);
		e = file_dir_rename(k->dir_fd, k->name, name);
	}
	log_error("sink.manifest_bad sink=%s manifest=%s aside=%s why=\"%s\"", r->env->name,
		  k->name, e == ERR_OK ? name : "no", why->text);
	return e;
}

static enum err recover_one(struct file_rotate *r, const struct file_dir *d, uint64_t number,
			    bool is_early, struct file_found *found, struct why *why)
{
	struct file_kept k = { .dir_fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0), .fd = -1 };
	struct why reason = { "" };
	enum err e;

	(void)snprintf(k.name, sizeof(k.name), FILE_MANIFEST_NAME, d->prefix,
		       (unsigned long long)number);
	e = k.dir_fd < 0 ? ERR_IO : take(&k, &reason);
	if (e == ERR_OK)
		e = load(&k, d, &reason);
	if (e == ERR_OK && finish(r, &k, is_early, found)) {
		r->kept[r->kept_count++] = k;
		return ERR_OK;
	}
	if (e == ERR_FORMAT || e == ERR_LIMIT)
		e = put_aside(r, d, &k, number, &reason);
	else if (e == ERR_EXISTS)
		found->is_settled = false;
	else if (e == ERR_UNSUPPORTED)
		(void)why_set(why, e, "%s: %s", k.name, reason.text);
	file_kept_close(&k);
	return e == ERR_ABSENT || e == ERR_EXISTS ? ERR_OK : e;
}

enum err file_rotate_recover(struct file_rotate *r, const struct file_dir *d, bool is_early,
			     struct file_found *found, struct why *why)
{
	uint64_t numbers[FILE_KEPT_MAX];
	size_t count;
	enum err e;

	memset(found, 0, sizeof(*found));
	found->is_settled = true;
	e = list(r, d, numbers, &count);
	if (e == ERR_LIMIT)
		return why_set(why, ERR_UNSUPPORTED, "more than %d manifests", FILE_KEPT_MAX);
	for (size_t i = 0; e == ERR_OK && i < count; i++) {
		if (r->kept_count == FILE_KEPT_MAX)
			return why_set(why, ERR_UNSUPPORTED, "more than %d manifests",
				       FILE_KEPT_MAX);
		e = recover_one(r, d, numbers[i], is_early, found, why);
	}
	file_rotate_tend(r);
	return e;
}
