/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_rotate.h - files of a sink become complete together, and their records done: all of it or nothing,
 * whenever the process ends.
 *
 *	file_rotate_recover(r, dir, is_early, &found, why)	for each directory, before its first file
 *
 *	file_rotate_begin(r, dir)
 *	file_rotate_add_log(r, &log) ... file_rotate_add_file(r, out, records, late) ...
 *	file_rotate_step(r) until it is not ERR_AGAIN
 *	file_rotate_done(r)
 *	file_rotate_tend(r)	in every poll
 *
 *	fsync the files | wait until the log has the records on disk | fsync directories below, which may be
 *	new, and those that they stand in | write, fsync and rename the manifest, fsync its directory |
 *	rename the files, fsync their directories | reader_done() | remove the manifest when the cursors
 *	are stored
 *
 * The manifest's rename decides.  Before it the rotation may be given up, and the files with it: their
 * records are read again.  After it nothing goes back: what fails is tried again, in this life or by
 * file_rotate_recover() in the next, and the records count as delivered up to the manifest's end.  They
 * are durable in the log before that, so that no LSN of the manifest is ever given to another record.
 *
 * A manifest is `.<prefix>.manifest-<number>`; who works on it holds its lock.  One that is locked is
 * another process's, and is left alone.  A log in memory knows nothing of an earlier life: it finishes
 * what it finds, commits nothing, and leaves the manifest of a log on disk to the service that has it.
 *
 * `is_lazy` leaves every fsync out: then a loss of power may take what was said to be safe, and leave files
 * that are cut; the end of the process alone may not.
 *
 * On ERR_IO and ERR_NOMEM errno says why.  Owner: the sink's thread; open() and close() of the sink.
 */
#ifndef SINK_FILE_ROTATE_H
#define SINK_FILE_ROTATE_H

#include "sink/file_manifest.h"
#include "sink/file_out.h"
#include "sink/sink.h"

#define FILE_KEPT_MAX 64 /* manifests that are not removed yet; a rotation begins with fewer */
#define FILE_KEPT_LIVE 8

enum file_rotate_stage {
	ROTATE_NONE,
	ROTATE_FILES,	 /* their data is to be synced */
	ROTATE_LOGS,	 /* the log is */
	ROTATE_TREE,	 /* directories below are, with the names of the files in them */
	ROTATE_MANIFEST, /* it is to be written */
	ROTATE_DECIDED,	 /* its name is to be synced */
	ROTATE_NAMES,	 /* the files are to be renamed */
	ROTATE_DIRS,	 /* their directories are to be synced */
	ROTATE_NAMED,
};

/* A manifest on disk. */
struct file_kept {
	int dir_fd; /* of its own: the sink's path may lead elsewhere by now */
	int fd;	    /* has the lock */
	bool is_named;
	char name[FILE_NAME_BYTES];
	struct file_manifest manifest;
};

struct file_rotate {
	const struct sink_env *env;
	bool is_durable;
	bool is_lazy;
	uint64_t sequence;
	uint64_t *skips; /* for each reader: what lies below was delivered by an earlier life */
	struct file_kept kept[FILE_KEPT_MAX];
	size_t kept_count;
	int64_t retry_ms;

	/* The rotation under way. */
	enum file_rotate_stage stage;
	struct file_kept now;
	char prefix[FILE_PREFIX_BYTES];
	struct file_out *outs[FILE_MANIFEST_FILES_MAX];
	size_t files_synced;
	size_t synced;
	size_t named;
};

enum err file_rotate_init(struct file_rotate *r, const struct sink_env *env);
void file_rotate_fini(struct file_rotate *r);

enum err file_rotate_begin(struct file_rotate *r, const struct file_dir *d);
enum err file_rotate_add_log(struct file_rotate *r, const struct file_manifest_log *log);
/* `out` is all written, and stays open until file_rotate_done() or file_rotate_abandon(). */
enum err file_rotate_add_file(struct file_rotate *r, struct file_out *out, uint64_t records,
			      uint64_t late);
/* ERR_OK: all files are complete.  ERR_AGAIN: not yet, call again soon.  Else it failed: call again later
 * when file_rotate_is_decided(), else abandon it. */
enum err file_rotate_step(struct file_rotate *r);
bool file_rotate_is_decided(const struct file_rotate *r);
void file_rotate_abandon(struct file_rotate *r);
/* Tells the readers. */
void file_rotate_done(struct file_rotate *r);
void file_rotate_tend(struct file_rotate *r);
/* Does a manifest that is still there name the file? */
bool file_rotate_names(const struct file_rotate *r, const char *path);

/* What recovery has delivered, not counting what the cursors know already. */
struct file_found {
	uint64_t manifests;
	uint64_t delivered;
	uint64_t octets;
	uint64_t corrupt;
	uint64_t not_routed;
	uint64_t files;
	uint64_t out_octets;
	uint64_t late;
	bool is_settled; /* no manifest needs what is unfinished in the directory */
};

/* Finishes what manifests say.  `is_early`: in the sink's open(), so that the log can be told; later the
 * records below file_rotate_skip() are to be passed over when they are read.  ERR_UNSUPPORTED: a manifest
 * is of a newer version; nothing may be written there, nor removed. */
enum err file_rotate_recover(struct file_rotate *r, const struct file_dir *d, bool is_early,
			     struct file_found *found, struct why *why);
/* "worker:lsn,..." of the first record of each log that may be in a file that begins now. */
#define FILE_LSN_TEXT_BYTES 16384 /* of as many logs as a manifest may have */
void file_rotate_lsn_text(const struct sink_env *env, char out[FILE_LSN_TEXT_BYTES]);
uint64_t file_rotate_skip(const struct file_rotate *r, size_t reader);

/* Between file_rotate.c and file_recover.c. */
#define FILE_MANIFEST_NAME ".%s.manifest-%020llu"
struct log_reader *file_rotate_reader(const struct file_rotate *r, uint32_t worker, size_t *index);
/* ERR_ABSENT: the file is not there any more under its temporary name. */
enum err file_rotate_name(int dir_fd, const struct file_manifest_file *file);
/* Tolerates what is renamed already. */
enum err file_rotate_name_all(const struct file_kept *k);
enum err file_rotate_sync_dirs(const struct file_rotate *r, const struct file_kept *k);
void file_kept_close(struct file_kept *k);

#endif
