/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/registry_cache.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#define FORMAT 1

/* The file's octets, or NULL; `*bytes` are at most REGISTRY_CACHE_FILE_MAX. */
static char *file_read(const char *path, size_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *octets = NULL;
	size_t used = 0;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= (off_t)REGISTRY_CACHE_FILE_MAX)
		octets = malloc((size_t)st.st_size);
	while (octets != NULL && used < (size_t)st.st_size) {
		ssize_t n = read(fd, octets + used, (size_t)st.st_size - used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	*bytes = used;
	return octets;
}

static bool entry_is_sound(const json_t *entry)
{
	json_int_t id = json_integer_value(json_object_get(entry, "id"));

	return json_is_string(json_object_get(entry, "subject")) &&
	       json_is_string(json_object_get(entry, "schema")) && id > 0 && id <= REGISTRY_ID_MAX;
}

static bool entry_is_for(const json_t *entry, const char *subject, const char *schema)
{
	return strcmp(json_string_value(json_object_get(entry, "subject")), subject) == 0 &&
	       strcmp(json_string_value(json_object_get(entry, "schema")), schema) == 0;
}

static json_t *file_load(const char *path)
{
	size_t bytes = 0;
	char *octets = file_read(path, &bytes);
	json_t *root = octets == NULL ? NULL : json_loadb(octets, bytes, 0, NULL);

	free(octets);
	return root;
}

enum err registry_cache_check(const char *path, struct why *why)
{
	json_t *root = file_load(path);
	json_int_t format = json_integer_value(json_object_get(root, "format"));

	json_decref(root);
	if (format <= FORMAT)
		return ERR_OK;
	return why_set(why, ERR_FORMAT,
		       "%s: has format %lld, of a newer version; this one knows format %d: "
		       "go on with the newer version, or move the file away",
		       path, (long long)format, FORMAT);
}

/* The sound entries of the file, an array that may be empty; NULL when there is no memory. */
static json_t *entries_load(const char *path)
{
	json_t *root = file_load(path);
	json_t *read = json_object_get(root, "entries");
	json_t *entries = json_array();
	json_t *entry;
	size_t i;

	if (json_integer_value(json_object_get(root, "format")) == FORMAT) {
		json_array_foreach(read, i, entry)
		{
			if (json_array_size(entries) < REGISTRY_CACHE_ENTRIES &&
			    entry_is_sound(entry))
				(void)json_array_append(entries, entry);
		}
	}
	json_decref(root);
	return entries;
}

uint32_t registry_cache_find(const char *path, const char *subject, const char *schema)
{
	json_t *entries = entries_load(path);
	uint32_t id = 0;
	json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		if (entry_is_for(entry, subject, schema))
			id = (uint32_t)json_integer_value(json_object_get(entry, "id"));
	}
	json_decref(entries);
	return id;
}

static enum err octets_write(int fd, const char *octets, size_t bytes)
{
	for (size_t used = 0; used < bytes;) {
		ssize_t n = write(fd, octets + used, bytes - used);

		if (n <= 0)
			return ERR_IO;
		used += (size_t)n;
	}
	return fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

/* The file is whole or it is the one before, also when the power goes. */
static enum err file_replace(const char *path, const char *octets, size_t bytes)
{
	char fresh[PATH_MAX];
	enum err e;
	int fd;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.tmp", path) >= sizeof(fresh))
		return ERR_LIMIT;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return ERR_IO;
	e = octets_write(fd, octets, bytes);
	if (close(fd) != 0)
		e = ERR_IO;
	if (e == ERR_OK && rename(fresh, path) != 0)
		e = ERR_IO;
	if (e != ERR_OK)
		(void)unlink(fresh);
	return e;
}

enum err registry_cache_add(const char *path, const char *subject, const char *schema, uint32_t id)
{
	json_t *entries;
	json_t *root = NULL;
	char *text = NULL;
	enum err e = ERR_NOMEM;

	TRY(registry_cache_check(path, NULL));
	entries = entries_load(path);
	for (size_t i = json_array_size(entries); i > 0; i--) {
		if (entry_is_for(json_array_get(entries, i - 1), subject, schema))
			(void)json_array_remove(entries, i - 1);
	}
	while (json_array_size(entries) >= REGISTRY_CACHE_ENTRIES)
		(void)json_array_remove(entries, 0);
	if (entries == NULL ||
	    json_array_append_new(entries, json_pack("{s:s, s:I, s:s}", "subject", subject, "id",
						     (json_int_t)id, "schema", schema)) != 0)
		goto fail;
	root = json_pack("{s:i, s:O}", "format", FORMAT, "entries", entries);
	text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1));
	if (text != NULL)
		e = file_replace(path, text, strlen(text));
fail:
	free(text);
	json_decref(root);
	json_decref(entries);
	return e;
}
