/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_common.h - the options that all sinks have that write files.
 *
 *	struct my_options { struct file_common common; ... };
 *	#define AT(member) offsetof(struct my_options, member)
 *	... = { FILE_COMMON_PATH(...), ..., FILE_COMMON_ROWS(...), { 0 } };
 *
 * Owner: the configuration.
 */
#ifndef SINK_FILE_COMMON_H
#define SINK_FILE_COMMON_H

#include "base/conf.h"
#include "sink/file_engine.h"
#include "sink/file_manifest.h"
#include "sink/file_path.h"

struct file_common {
	char *path;
	char *pattern; /* NULL: none */
	uint32_t rotate_s;
	uint64_t rotate_bytes;
	uint32_t rotate_records;
	uint32_t max_open;
	uint64_t memory_bytes;
	bool fsync;
	uint64_t max_bytes;
	uint32_t max_age_s;
	uint64_t min_free;
};

/* Rows of a table of `struct of`, whose member `common` is that struct. */
/* clang-format off */
#define FILE_COMMON_ROW(of, key, type, member, min, max, preset, doc)                              \
	{ key, type, CONF_RESTART, offsetof(of, common.member), min, max, preset, doc, 0, NULL,    \
	  NULL, 0, NULL }
#define FILE_COMMON_PATH(of, of_pattern)                                                           \
	FILE_COMMON_ROW(of, "path", CONF_STRING, path, 1, 4000, "flows",                           \
			"Directory of the files; made when it is missing."),                       \
	{ .key = "pattern",                                                                        \
	  .type = CONF_STRING,                                                                     \
	  .reload = CONF_RESTART,                                                                  \
	  .at = offsetof(of, common.pattern),                                                      \
	  .max = 255,                                                                              \
	  .preset = of_pattern,                                                                    \
	  .doc = "Directories below it, by record: %{event_type}, %{exporter}, %{sink}, and of "   \
		 "event_time in UTC %Y, %m, %d, %H, %M; %% is a percent sign; empty: none.",       \
	  .check = file_path_check }
#define FILE_COMMON_ROTATE(of, seconds, bytes, bytes_doc, records)                                 \
	FILE_COMMON_ROW(of, "rotate_s", CONF_U32, rotate_s, 1, 86400, seconds,                     \
			"Seconds after which the open files are completed."),                      \
	FILE_COMMON_ROW(of, "rotate_bytes", CONF_SIZE, rotate_bytes, 4096, INT64_MAX, bytes,       \
			bytes_doc),                                                                \
	FILE_COMMON_ROW(of, "rotate_records", CONF_U32, rotate_records, 0, UINT32_MAX, records,    \
			"Records in the open files after which they are completed; 0: any.")
#define FILE_COMMON_ROWS(of)                                                                       \
	FILE_COMMON_ROW(of, "max_open", CONF_U32, max_open, 1, FILE_MANIFEST_FILES_MAX, "32",      \
			"Open files at once; when a record wants one more, all are completed."),   \
	FILE_COMMON_ROW(of, "memory_bytes", CONF_SIZE, memory_bytes, 1 << 20, INT64_MAX, "64M",    \
			"Memory of all open files together; above it, the one that holds most "    \
			"writes it."),                                                             \
	FILE_COMMON_ROW(of, "fsync", CONF_BOOL, fsync, 0, 0, "true",                               \
			"Files and directories are synced before their records count as safe; "    \
			"false: a loss of power may take what was delivered."),                    \
	FILE_COMMON_ROW(of, "max_bytes", CONF_SIZE, max_bytes, 0, INT64_MAX, "0",                  \
			"When complete files of this sink have more octets, the oldest go; 0: "    \
			"any."),                                                                   \
	FILE_COMMON_ROW(of, "max_age_s", CONF_U32, max_age_s, 0, UINT32_MAX, "0",                  \
			"Complete files that were begun so many seconds ago go; 0: none do."),     \
	FILE_COMMON_ROW(of, "min_free", CONF_SIZE, min_free, 0, INT64_MAX, "0",                    \
			"When the file system has less free, the oldest complete files of this "   \
			"sink go; 0: none do.")
/* clang-format on */

const char *file_common_pattern(const struct file_common *o);
/* What of the engine's configuration these options say. */
struct file_engine_conf file_common_engine(const struct file_common *o);

#endif
