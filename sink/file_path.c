/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_path.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <xxhash.h>

#include "base/utf8.h"

#define PATTERN_MAX 256
#define HASH_BYTES 17			     /* "~" and 16 digits */
#define TIME_MIN_MS INT64_C(-62167219200000) /* the years 0 to 9999, which four digits tell */
#define TIME_MAX_MS INT64_C(253402300799999)
#define DAY_MS INT64_C(86400000)
#define EMPTY "__HIVE_DEFAULT_PARTITION__"
#define EMPTY_PLAIN "none"

enum piece_kind { LITERAL, EVENT_TYPE, EXPORTER, SINK, YEAR, MONTH, DAY, HOUR, MINUTE, KIND_COUNT };

struct piece {
	enum piece_kind kind;
	bool is_first; /* of its part of the path */
	char octet;    /* of a literal */
};

struct file_path {
	struct piece pieces[PATTERN_MAX + 1];
	size_t count;
	char names[FILE_DEPTH_MAX][PATTERN_MAX]; /* before "=" */
	size_t name_count;
	int64_t unit_ms; /* 0: the path does not tell times apart */
	bool has_exporter;
	bool has_event_type;
};

static const struct {
	const char *name;
	size_t room; /* octets at most */
	int64_t unit_ms;
} kinds[KIND_COUNT] = {
	[LITERAL] = { "", 1, 0 },
	[EVENT_TYPE] = { "{event_type}", FILE_PATH_VALUE_MAX, 0 },
	[EXPORTER] = { "{exporter}", FILE_PATH_VALUE_MAX, 0 },
	[SINK] = { "{sink}", FILE_PATH_VALUE_MAX, 0 },
	[YEAR] = { "Y", 4, DAY_MS },
	[MONTH] = { "m", 2, DAY_MS },
	[DAY] = { "d", 2, DAY_MS },
	[HOUR] = { "H", 2, 3600000 },
	[MINUTE] = { "M", 2, 60000 },
};

static enum err wrong(struct why *why, size_t at, const char *what)
{
	return why_set(why, ERR_CONF, "pattern: at octet %zu: %s", at + 1, what);
}

/* The token behind a "%"; moves *at to its last octet. */
static enum err get_token(const char *pattern, size_t *at, struct piece *out, struct why *why)
{
	const char *p = pattern + *at + 1;

	if (*p == '%') {
		out->kind = LITERAL;
		out->octet = '%';
		(*at)++;
		return ERR_OK;
	}
	for (int k = EVENT_TYPE; k < KIND_COUNT; k++) {
		size_t bytes = strlen(kinds[k].name);

		if (strncmp(p, kinds[k].name, bytes) == 0) {
			out->kind = (enum piece_kind)k;
			*at += bytes;
			return ERR_OK;
		}
	}
	return wrong(why, *at,
		     "no such token; there are %{event_type}, %{exporter}, %{sink}, %Y, %m, %d, "
		     "%H, %M and %%");
}

static enum err get_piece(const char *pattern, size_t *at, struct piece *out, struct why *why)
{
	unsigned char c = (unsigned char)pattern[*at];

	if (c == '%')
		return get_token(pattern, at, out, why);
	if (c < 0x20 || c == 0x7f || c == '\\')
		return wrong(why, *at, "a path has no control characters and no backslash");
	out->kind = LITERAL;
	out->octet = (char)c;
	return ERR_OK;
}

static bool is_literal(const struct piece *piece, char octet)
{
	return piece->kind == LITERAL && piece->octet == octet;
}

/* Of a part whose pieces are [first, p->count): what stands before its "=", at piece `equals`. */
static enum err get_name(struct file_path *p, size_t first, size_t equals, size_t at,
			 struct why *why)
{
	char *name = p->names[p->name_count];

	if (equals == first || equals + 1 == p->count)
		return wrong(why, at, "`name=' and a value are needed on either side of `='");
	for (size_t i = equals + 1; i < p->count; i++) {
		if (is_literal(&p->pieces[i], '='))
			return wrong(why, at, "a part of the path has `=' once");
	}
	for (size_t i = first; i < equals; i++) {
		char c = p->pieces[i].octet;

		if (p->pieces[i].kind != LITERAL || (!isalnum((unsigned char)c) && c != '_'))
			return wrong(why, at,
				     "what stands before `=' is a name: letters, digits and `_'");
		name[i - first] = c;
	}
	for (size_t i = 0; i < p->name_count; i++) {
		if (strcasecmp(p->names[i], name) == 0)
			return wrong(why, at, "the same name stands before `=' twice");
	}
	p->name_count++;
	return ERR_OK;
}

/* Pieces of one part, [first, p->count): its beginning, its length, its name. */
static enum err end_part(struct file_path *p, size_t first, size_t at, struct why *why)
{
	size_t equals = first;
	size_t room = 0;

	if (first == p->count)
		return wrong(why, at,
			     at == 0 ? "it begins with `/': it is a path below the sink's"
				     : "a part of the path is empty");
	if (is_literal(&p->pieces[first], '.') || is_literal(&p->pieces[first], '_'))
		return wrong(why, at,
			     "this part begins with `.' or `_': it is hidden, or leads elsewhere");
	for (size_t i = first; i < p->count; i++)
		room += kinds[p->pieces[i].kind].room;
	if (room > NAME_MAX)
		return wrong(why, at, "this part of the path may be longer than a name can be");
	while (equals < p->count && !is_literal(&p->pieces[equals], '='))
		equals++;
	return equals == p->count ? ERR_OK : get_name(p, first, equals, at, why);
}

static void use(struct file_path *p, const struct piece *piece)
{
	int64_t unit_ms = kinds[piece->kind].unit_ms;

	if (unit_ms > 0 && (p->unit_ms == 0 || unit_ms < p->unit_ms))
		p->unit_ms = unit_ms;
	p->has_exporter = p->has_exporter || piece->kind == EXPORTER;
	p->has_event_type = p->has_event_type || piece->kind == EVENT_TYPE;
}

static enum err parse(struct file_path *p, const char *pattern, struct why *why)
{
	size_t part = 0; /* its first piece, */
	size_t part_at = 0;
	size_t parts = 0;
	size_t room = 0;

	for (size_t at = 0;; at++) {
		bool is_end = pattern[at] == '\0';
		struct piece piece = { .is_first = p->count == part, .octet = '/' };

		if (is_end && p->count == part)
			break;
		if (is_end || pattern[at] == '/') {
			if (++parts > FILE_DEPTH_MAX)
				return wrong(why, part_at, "more than 8 directories deep");
			TRY(end_part(p, part, part_at, why));
		} else {
			TRY(get_piece(pattern, &at, &piece, why));
		}
		use(p, &piece);
		room += kinds[piece.kind].room;
		p->pieces[p->count++] = piece;
		if (is_end)
			break;
		if (piece.kind == LITERAL && pattern[at] == '/') {
			part = p->count;
			part_at = at + 1;
		}
	}
	if (room >= FILE_BELOW_BYTES)
		return wrong(why, 0, "the path may become too long");
	return ERR_OK;
}

enum err file_path_new(const char *pattern, struct why *why, struct file_path **out)
{
	struct file_path *p;
	enum err e;

	if (strlen(pattern) >= PATTERN_MAX)
		return wrong(why, PATTERN_MAX, "it is too long");
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	e = parse(p, pattern, why);
	if (e != ERR_OK) {
		file_path_free(p);
		return e;
	}
	*out = p;
	return ERR_OK;
}

void file_path_free(struct file_path *p)
{
	free(p);
}

enum err file_path_check(const char *pattern, struct why *why)
{
	struct file_path *p = NULL;
	enum err e = file_path_new(pattern, why, &p);

	file_path_free(p);
	return e;
}

/* Columns have small letters, and Spark does not tell them from capitals. */
enum err file_path_check_names(const struct file_path *p,
			       bool (*has)(const void *ctx, const char *name), const void *ctx,
			       struct why *why)
{
	for (size_t i = 0; i < p->name_count; i++) {
		char name[PATTERN_MAX];
		size_t n = 0;

		for (; p->names[i][n] != '\0'; n++)
			name[n] = (char)tolower((unsigned char)p->names[i][n]);
		name[n] = '\0';
		if (has(ctx, name))
			return why_set(why, ERR_CONF,
				       "pattern: `%s=': a column has that name, and readers do "
				       "not agree which of the two they show; take another one",
				       p->names[i]);
	}
	return ERR_OK;
}

static int64_t clamp_ms(int64_t ms)
{
	return ms < TIME_MIN_MS ? TIME_MIN_MS : ms > TIME_MAX_MS ? TIME_MAX_MS : ms;
}

bool file_path_key(const struct file_path *p, const struct log_head *head,
		   struct file_path_key *out)
{
	int64_t event_ms;
	int64_t ingest_ms;
	int64_t rest_ms;
	bool is_late;

	out->time_ms = 0;
	out->exporter = p->has_exporter ? head->exporter : 0;
	out->event_type = p->has_event_type ? head->event_type : 0;
	if (p->unit_ms == 0)
		return false;
	event_ms = clamp_ms(head->event_ms);
	ingest_ms = clamp_ms(head->ingest_ms);
	is_late = event_ms < ingest_ms - FILE_PATH_LATE_MS ||
		  event_ms > ingest_ms + FILE_PATH_EARLY_MS;
	out->time_ms = is_late ? ingest_ms : event_ms;
	rest_ms = out->time_ms % p->unit_ms;
	out->time_ms -= rest_ms < 0 ? rest_ms + p->unit_ms : rest_ms;
	return is_late;
}

static bool is_plain(unsigned char c, bool is_utf8, bool is_first)
{
	if (c >= 0x80)
		return is_utf8;
	return isalnum(c) || c == '-' || (strchr("._", c) != NULL && c != '\0' && !is_first);
}

/* Where a text may be cut: neither within a %XX nor within a character. */
static bool is_boundary(const char *text, size_t at)
{
	if (((unsigned char)text[at] & 0xc0) == 0x80)
		return false;
	return !(at >= 1 && text[at - 1] == '%') && !(at >= 2 && text[at - 2] == '%');
}

/* At most FILE_PATH_VALUE_MAX octets. */
static size_t put_value(char *out, const char *value, size_t bytes, bool is_first)
{
	char text[FILE_PATH_VALUE_MAX + 4];
	bool is_utf8 = utf8_is_valid((const uint8_t *)value, bytes);
	size_t keep = FILE_PATH_VALUE_MAX - HASH_BYTES;
	size_t n = 0;

	if (bytes == 0)
		return (size_t)snprintf(out, FILE_PATH_VALUE_MAX, "%s",
					is_first ? EMPTY_PLAIN : EMPTY);
	for (size_t i = 0; i < bytes && n <= FILE_PATH_VALUE_MAX; i++) {
		unsigned char c = (unsigned char)value[i];

		if (is_plain(c, is_utf8, i == 0))
			text[n++] = (char)c;
		else
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%%%02X", c);
	}
	if (n <= FILE_PATH_VALUE_MAX) {
		memcpy(out, text, n);
		return n;
	}
	while (!is_boundary(text, keep))
		keep--;
	memcpy(out, text, keep);
	n = (size_t)snprintf(text, sizeof(text), "~%016llx",
			     (unsigned long long)XXH3_64bits(value, bytes));
	memcpy(out + keep, text, n);
	return keep + n;
}

/* Numbers that the names of the log do not have come of tests and of letters: they have no name. */
static size_t put_name(char *out, struct log_hub *hub, enum log_name_kind kind, uint32_t number,
		       bool is_first)
{
	size_t bytes = 0;
	const char *name =
		number < log_name_count(hub, kind) ? log_name(hub, kind, number, &bytes) : "";

	return put_value(out, name, bytes, is_first);
}

static size_t put_number(char *out, int number, int width)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%0*d", width, number);
	memcpy(out, text, (size_t)width);
	return (size_t)width;
}

static size_t put_time(char *out, enum piece_kind kind, const struct tm *tm)
{
	const int values[KIND_COUNT] = {
		[YEAR] = tm->tm_year + 1900, [MONTH] = tm->tm_mon + 1, [DAY] = tm->tm_mday,
		[HOUR] = tm->tm_hour,	     [MINUTE] = tm->tm_min,
	};

	return put_number(out, values[kind], kind == YEAR ? 4 : 2);
}

void file_path_below(const struct file_path *p, struct log_hub *hub, const char *sink,
		     const struct file_path_key *key, char out[FILE_BELOW_BYTES])
{
	time_t seconds = (time_t)(key->time_ms / 1000); /* whole minutes */
	struct tm tm;
	size_t n = 0;

	(void)gmtime_r(&seconds, &tm);
	for (size_t i = 0; i < p->count; i++) {
		const struct piece *piece = &p->pieces[i];

		if (piece->kind == LITERAL)
			out[n++] = piece->octet;
		else if (piece->kind == EVENT_TYPE)
			n += put_name(out + n, hub, LOG_NAME_EVENT_TYPE, key->event_type,
				      piece->is_first);
		else if (piece->kind == EXPORTER)
			n += put_name(out + n, hub, LOG_NAME_EXPORTER, key->exporter,
				      piece->is_first);
		else if (piece->kind == SINK)
			n += put_value(out + n, sink, strlen(sink), piece->is_first);
		else
			n += put_time(out + n, piece->kind, &tm);
	}
	out[n] = '\0';
}
