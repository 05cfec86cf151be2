/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_manifest.h - what a rotation is about to make visible: the files, and which records of which log
 * they hold, so that whoever finds it after a crash can finish what was begun.
 *
 *	file_manifest_init(&m)
 *	file_manifest_add_log(&m, &log) ...
 *	file_manifest_add_file(&m, tmp, name, octets, records, late) ...
 *	file_manifest_encode(&m, &octets, &bytes)  |  file_manifest_decode(octets, bytes, dir, &m, why)
 *	file_manifest_fini(&m)
 *
 *	| "SLMF" | version 16 | flags 16 | logs 32 | files 32 | the log's id, 16 octets |
 *	| worker 32 | first 64 | end 64 | delivered 64 | octets 64 | corrupt 64 |
 *	  not routed 64 | lost 64, for each reason |	each log
 *	| octets 64 | records 64 | late 64, from version 2 on | tmp bytes 16 | name bytes 16 |
 *	  tmp | name |	each file
 *	| CRC32C of all before |	in every version, so that a torn one is no newer one
 *
 * Integers are big-endian.  What is read back is checked: names are relative, below the directory, of the
 * form that the directory's sink gives.
 *
 * Owner: the caller.
 */
#ifndef SINK_FILE_MANIFEST_H
#define SINK_FILE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "sink/file_out.h"
#include "sink/log.h"

#define FILE_MANIFEST_VERSION 2
#define FILE_MANIFEST_LOGS_MAX 256
#define FILE_MANIFEST_FILES_MAX 256
#define FILE_MANIFEST_BYTES_MAX (512u << 10)

/* Records [first, end) of one log: what is in the files, and what could not be. */
struct file_manifest_log {
	uint32_t worker;
	uint64_t first; /* everything below was done when it was written */
	uint64_t end;
	uint64_t delivered;
	uint64_t octets; /* of those, as encoded */
	uint64_t corrupt;
	uint64_t not_routed; /* for other sinks */
	uint64_t lost[LOG_LOSS_COUNT];
};

struct file_manifest_file {
	char tmp[FILE_PATH_BYTES];
	char name[FILE_PATH_BYTES];
	uint64_t octets;
	uint64_t records;
	uint64_t late; /* of those: filed under ingest_time */
};

struct file_manifest {
	bool is_durable; /* the LSNs are those of a log on disk, and mean the same in the next life */
	uint8_t log_id[LOG_ID_BYTES]; /* which log that is */
	struct file_manifest_log *logs;
	size_t log_count;
	struct file_manifest_file *files;
	size_t file_count;
};

void file_manifest_init(struct file_manifest *m);
void file_manifest_fini(struct file_manifest *m);

/* ERR_LIMIT past the maxima above, or for a name that is too long. */
enum err file_manifest_add_log(struct file_manifest *m, const struct file_manifest_log *log);
enum err file_manifest_add_file(struct file_manifest *m, const char *tmp, const char *name,
				uint64_t octets, uint64_t records, uint64_t late);

/* The caller frees the octets. */
enum err file_manifest_encode(const struct file_manifest *m, uint8_t **out, size_t *bytes);
/* ERR_UNSUPPORTED: of a newer version.  ERR_FORMAT: torn, changed, or not one that `d`'s sink writes.  `m`
 * is set on ERR_OK only. */
enum err file_manifest_decode(const void *octets, size_t bytes, const struct file_dir *d,
			      struct file_manifest *m, struct why *why);

#endif
