/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - JSON text, written in one go into a growing buffer.
 *
 *	json_init(&j, bytes_max)
 *	json_open_object(&j, NULL);
 *	json_str(&j, "name", text);
 *	json_open_array(&j, "list"); json_u64(&j, NULL, 1); json_end(&j);
 *	json_end(&j);
 *	if (!j.is_failed) use j.text, j.bytes
 *	json_fini(&j)
 *
 * `key` is NULL inside an array and at the top.  Text is made valid: control characters are escaped,
 * octets that are not UTF-8 become U+FFFD.  Past bytes_max, or without memory, is_failed is set and
 * nothing more is written.
 *
 * Owner: the caller.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

struct json {
	char *text; /* NUL terminated while not failed */
	size_t bytes;
	size_t room;
	size_t bytes_max;
	unsigned depth;
	bool is_failed;
	bool has_members[JSON_DEPTH_MAX + 1];
	char closers[JSON_DEPTH_MAX + 1];
};

void json_init(struct json *j, size_t bytes_max);
void json_fini(struct json *j);
/* Starts a new document in the same buffer. */
void json_clear(struct json *j);

/* Not json_object() and json_array(): libjansson has functions of those names, and libavro calls them. */
void json_open_object(struct json *j, const char *key);
void json_open_array(struct json *j, const char *key);
/* Closes the innermost object or array. */
void json_end(struct json *j);

void json_str(struct json *j, const char *key, const char *value); /* NULL: null */
void json_strn(struct json *j, const char *key, const void *octets, size_t bytes);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_f64(struct json *j, const char *key, double value); /* not finite: null */
void json_bool(struct json *j, const char *key, bool value);
void json_put_null(struct json *j, const char *key);
/* A value that is JSON already. */
void json_raw(struct json *j, const char *key, const char *text, size_t bytes);

#endif
