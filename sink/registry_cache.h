/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_cache.h - schema ids that a registry gave once, in a file.
 *
 *	{"format": 1, "entries": [{"subject": "...", "id": 7, "schema": "..."}, ...]}
 *
 * The newest entry is last, and there are at most REGISTRY_CACHE_ENTRIES.  The schema is kept whole, so
 * that an id is never used for another schema than the one it was given for.  The file is not trusted:
 * whatever is not as above reads as an empty cache, and is replaced with the next id; but a file of a
 * newer format stays as it is.
 *
 * Owner: the registry client of that file.
 */
#ifndef SINK_REGISTRY_CACHE_H
#define SINK_REGISTRY_CACHE_H

#include <stdint.h>

#include "base/err.h"
#include "base/why.h"

#define REGISTRY_CACHE_ENTRIES 16
#define REGISTRY_CACHE_FILE_MAX (8u << 20)
#define REGISTRY_ID_MAX 0x7fffffff

/* ERR_FORMAT when the file is of a newer format. */
enum err registry_cache_check(const char *path, struct why *why);
/* The id, or 0 when there is none. */
uint32_t registry_cache_find(const char *path, const char *subject, const char *schema);
/* Adds or replaces, by a new file in place of the old one. */
enum err registry_cache_add(const char *path, const char *subject, const char *schema, uint32_t id);

#endif
