/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - writes JSON into a buffer that grows up to a limit.
 *
 *	struct json j;
 *
 *	json_init(&j, limit_bytes);
 *	json_open_object(&j);
 *	json_put_string(&j, "name", name);
 *	json_key(&j, "sinks");
 *	json_open_array(&j);
 *	...
 *	json_array_end(&j);
 *	json_object_end(&j);
 *	text = json_text(&j, &bytes);	NULL when a limit was reached, memory lacked, or it is not whole
 *	json_fini(&j);
 *
 * Write straight through and check once.  Commas are put by the writer.  Strings may hold anything:
 * what is not UTF-8 becomes \ufffd, one for each wrong octet.  One line: no newline is ever written.
 *
 * Owner: the caller.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 64

struct json {
	char *text;
	size_t bytes;
	size_t room;
	size_t limit;
	uint64_t is_array; /* a bit per depth */
	uint64_t has_any;  /* a bit per depth: a comma is due */
	unsigned depth;
	bool is_after_key;
	bool is_failed;
};

/* Takes no memory yet. */
void json_init(struct json *j, size_t limit_bytes);
void json_fini(struct json *j);
/* Empty again, memory kept. */
void json_reset(struct json *j);
/* The text, with a NUL behind it that is not counted; until the next call.  `bytes` may be NULL. */
const char *json_text(struct json *j, size_t *bytes);

void json_open_object(struct json *j);
void json_object_end(struct json *j);
void json_open_array(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);

void json_string(struct json *j, const char *s); /* NULL writes null */
void json_string_n(struct json *j, const char *s, size_t bytes);
void json_int(struct json *j, int64_t v);
void json_uint(struct json *j, uint64_t v);
void json_double(struct json *j, double v); /* shortest that reads back the same; NaN, inf: null */
void json_bool(struct json *j, bool v);
void json_put_null(struct json *j);
/* A value that is JSON already. */
void json_raw(struct json *j, const char *text, size_t bytes);

/* Key and value. */
void json_put_object(struct json *j, const char *key);
void json_put_array(struct json *j, const char *key);
void json_put_string(struct json *j, const char *key, const char *s);
void json_put_string_n(struct json *j, const char *key, const char *s, size_t bytes);
void json_put_int(struct json *j, const char *key, int64_t v);
void json_put_uint(struct json *j, const char *key, uint64_t v);
void json_put_double(struct json *j, const char *key, double v);
void json_put_bool(struct json *j, const char *key, bool v);
void json_put_null(struct json *j, const char *key);
void json_put_raw(struct json *j, const char *key, const char *text, size_t bytes);

#endif
