/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define ROOM_FIRST 1024

void json_init(struct json *j, size_t bytes_max)
{
	memset(j, 0, sizeof(*j));
	j->bytes_max = bytes_max;
}

void json_fini(struct json *j)
{
	free(j->text);
	j->text = NULL;
}

void json_clear(struct json *j)
{
	j->bytes = 0;
	j->depth = 0;
	j->is_failed = false;
	j->has_members[0] = false;
}

/* Room for `bytes` more and a NUL, or failed. */
static bool make_room(struct json *j, size_t bytes)
{
	size_t room = j->room == 0 ? ROOM_FIRST : j->room;
	char *text;

	if (j->is_failed || bytes > j->bytes_max || j->bytes > j->bytes_max - bytes) {
		j->is_failed = true;
		return false;
	}
	if (j->room > j->bytes + bytes)
		return true;
	while (room <= j->bytes + bytes)
		room *= 2;
	text = realloc(j->text, room);
	if (text == NULL) {
		j->is_failed = true;
		return false;
	}
	j->text = text;
	j->room = room;
	return true;
}

static void put(struct json *j, const char *text, size_t bytes)
{
	if (!make_room(j, bytes))
		return;
	memcpy(j->text + j->bytes, text, bytes);
	j->bytes += bytes;
	j->text[j->bytes] = '\0';
}

/* Octets of the UTF-8 character at `p`, or 0 when it is none. */
static size_t char_bytes(const uint8_t *p, size_t left)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t bytes = p[0] < 0x80	 ? 1
		       : p[0] >> 5 == 6	 ? 2
		       : p[0] >> 4 == 14 ? 3
		       : p[0] >> 3 == 30 ? 4
					 : 0;
	uint32_t v;

	if (bytes <= 1 || bytes > left)
		return bytes == 1 ? 1 : 0;
	v = p[0] & (0x7fu >> bytes);
	for (size_t i = 1; i < bytes; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		v = v << 6 | (p[i] & 0x3fu);
	}
	return v < least[bytes] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0 : bytes;
}

static void put_escape(struct json *j, uint8_t c)
{
	char text[8];
	int n = snprintf(text, sizeof(text), "\\u%04x", c);

	if (c == '"' || c == '\\') {
		text[0] = '\\';
		text[1] = (char)c;
		n = 2;
	}
	put(j, text, (size_t)n);
}

static void put_text(struct json *j, const uint8_t *p, size_t bytes)
{
	size_t from = 0;
	size_t i = 0;

	put(j, "\"", 1);
	while (i < bytes) {
		size_t n = char_bytes(p + i, bytes - i);

		if (n > 1 || (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')) {
			i += n;
			continue;
		}
		put(j, (const char *)p + from, i - from);
		if (n == 0)
			put(j, "\xef\xbf\xbd", 3);
		else
			put_escape(j, p[i]);
		from = ++i;
	}
	if (bytes > from) /* nothing may come as NULL */
		put(j, (const char *)p + from, bytes - from);
	put(j, "\"", 1);
}

static void lead(struct json *j, const char *key)
{
	if (j->has_members[j->depth])
		put(j, ",", 1);
	j->has_members[j->depth] = true;
	if (key == NULL)
		return;
	put_text(j, (const uint8_t *)key, strlen(key));
	put(j, ":", 1);
}

static void open_with(struct json *j, const char *key, const char *opener, char closer)
{
	must(j->depth < JSON_DEPTH_MAX);
	lead(j, key);
	put(j, opener, 1);
	j->depth++;
	j->has_members[j->depth] = false;
	j->closers[j->depth] = closer;
}

void json_open_object(struct json *j, const char *key)
{
	open_with(j, key, "{", '}');
}

void json_open_array(struct json *j, const char *key)
{
	open_with(j, key, "[", ']');
}

void json_end(struct json *j)
{
	must(j->depth > 0);
	put(j, &j->closers[j->depth], 1);
	j->depth--;
}

void json_strn(struct json *j, const char *key, const void *octets, size_t bytes)
{
	lead(j, key);
	put_text(j, octets, bytes);
}

void json_str(struct json *j, const char *key, const char *value)
{
	if (value == NULL)
		json_put_null(j, key);
	else
		json_strn(j, key, value, strlen(value));
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, value);

	lead(j, key);
	put(j, text, (size_t)n);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, value);

	lead(j, key);
	put(j, text, (size_t)n);
}

void json_f64(struct json *j, const char *key, double value)
{
	char text[32];
	int n;

	if (!isfinite(value)) {
		json_put_null(j, key);
		return;
	}
	n = snprintf(text, sizeof(text), "%.17g", value);
	lead(j, key);
	put(j, text, (size_t)n);
}

void json_bool(struct json *j, const char *key, bool value)
{
	lead(j, key);
	put(j, value ? "true" : "false", value ? 4 : 5);
}

void json_put_null(struct json *j, const char *key)
{
	lead(j, key);
	put(j, "null", 4);
}

void json_raw(struct json *j, const char *key, const char *text, size_t bytes)
{
	lead(j, key);
	put(j, text, bytes);
}
