/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_path.h - in which directory below the sink's a record goes: a pattern.
 *
 *	%{event_type} %{exporter} %{sink}	of the record, or of the sink
 *	%Y %m %d %H %M				of its event_time, UTC
 *	%%					a percent sign
 *
 * "type=%{event_type}/date=%Y-%m-%d/" in the manner of Hive, or plain: "%{event_type}/%Y/%m/%d/".
 *
 * Whatever a value is, it stays within its part of the path.  Letters, digits, "-", ".", "_" and UTF-8
 * stand as they are; other octets, and "." or "_" where a value begins (such names are hidden from readers
 * of lakes), become %XX, as Hive writes them and Spark, DuckDB and Arrow read them.  A value that then has
 * more than FILE_PATH_VALUE_MAX octets is cut, and "~" and 16 hex digits (XXH3-64 of the whole value) stand
 * behind the rest.  An empty one is Hive's "__HIVE_DEFAULT_PARTITION__", which readers take for null, or
 * "none" where a part begins with it.
 *
 * An event_time more than 7 days before ingest_time, or 1 hour after it, is not believed: the record is
 * late, and goes by ingest_time.
 *
 * Owner: the sink; read-only once made.
 */
#ifndef SINK_FILE_PATH_H
#define SINK_FILE_PATH_H

#include <stdbool.h>

#include "base/why.h"
#include "sink/file_out.h"
#include "sink/log.h"

#define FILE_PATH_VALUE_MAX 80
#define FILE_PATH_LATE_MS (INT64_C(7) * 86400 * 1000)
#define FILE_PATH_EARLY_MS (INT64_C(3600) * 1000)

struct file_path;

/* ERR_CONF with the place: an unknown token, a part that is empty or hidden or leads elsewhere, too many or
 * too long ones.  "": all files stand in the sink's directory. */
enum err file_path_new(const char *pattern, struct why *why, struct file_path **out);
void file_path_free(struct file_path *p);
/* The same as a check of an option. */
enum err file_path_check(const char *pattern, struct why *why);
/* ERR_CONF for a `name=` of which `has` says that it is a column too: some readers would show the column,
 * others the directory. */
enum err file_path_check_names(const struct file_path *p,
			       bool (*has)(const void *ctx, const char *name), const void *ctx,
			       struct why *why);

/* What of a record matters to the path: records with the same key have the same directory. */
struct file_path_key {
	int64_t time_ms; /* cut to what the pattern tells apart */
	uint32_t exporter;
	uint32_t event_type;
};

/* True when the record is late. */
bool file_path_key(const struct file_path *p, const struct log_head *head,
		   struct file_path_key *out);
/* "" or "a/b/". */
void file_path_below(const struct file_path *p, struct log_hub *hub, const char *sink,
		     const struct file_path_key *key, char out[FILE_BELOW_BYTES]);

#endif
