/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/dead_letter.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "base/rd.h"
#include "base/text.h"
#include "sink/avro_wire.h"

enum dead_type { DEAD_TYPE_MS, DEAD_TYPE_INT, DEAD_TYPE_LONG, DEAD_TYPE_TEXT, DEAD_TYPE_BYTES };

static const struct row {
	const char *name;
	enum dead_type type;
	bool is_nullable;
	const char *doc;
} rows[DEAD_FIELD_COUNT] = {
#define DEAD_FIELD(id, name, type, nullable, doc) { name, DEAD_TYPE_##type, nullable, doc },
#include "sink/dead_fields.def"
#undef DEAD_FIELD
};

static const char *const type_json[] = {
	[DEAD_TYPE_MS] = "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}",
	[DEAD_TYPE_INT] = "\"int\"",
	[DEAD_TYPE_LONG] = "\"long\"",
	[DEAD_TYPE_TEXT] = "\"string\"",
	[DEAD_TYPE_BYTES] = "\"bytes\"",
};

static const char schema_head[] =
	"{\"type\":\"record\",\"name\":\"DeadLetter\",\"namespace\":\"sluice\","
	"\"doc\":\"What could not be decoded or delivered, with the reason.\",\"fields\":[";

static bool is_octets(enum dead_type type)
{
	return type == DEAD_TYPE_TEXT || type == DEAD_TYPE_BYTES;
}

enum err dead_schema_text(char **out)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);
	bool is_bad;

	if (file == NULL)
		return ERR_NOMEM;
	(void)fputs(schema_head, file);
	for (size_t i = 0; i < DEAD_FIELD_COUNT; i++) {
		const struct row *r = &rows[i];
		const char *type = type_json[r->type];

		(void)fprintf(file, "%s{\"name\":\"%s\",\"type\":", i == 0 ? "" : ",", r->name);
		if (r->is_nullable)
			(void)fprintf(file, "[\"null\",%s],\"default\":null", type);
		else
			(void)fputs(type, file);
		(void)fprintf(file, ",\"doc\":\"%s\"}", r->doc);
	}
	(void)fputs("]}", file);
	is_bad = ferror(file) != 0;
	if (fclose(file) != 0 || is_bad) {
		free(text);
		return ERR_NOMEM;
	}
	*out = text;
	return ERR_OK;
}

bool dead_schema_is(const char *text)
{
	static const char name[] = "{\"type\":\"record\",\"name\":\"DeadLetter\"";

	return strncmp(text, name, sizeof(name) - 1) == 0;
}

size_t dead_letter_room(const struct dead_letter *l)
{
	size_t room = l->before_bytes;

	for (size_t i = 0; i < DEAD_FIELD_COUNT; i++)
		room += 1 + AVRO_LONG_MAX + l->values[i].bytes;
	return room;
}

size_t dead_letter_encode(const struct dead_letter *l, uint8_t *out, size_t room)
{
	uint8_t *p = out;

	must(room >= dead_letter_room(l));
	for (size_t i = 0; i < DEAD_FIELD_COUNT; i++) {
		const struct dead_value *v = &l->values[i];
		size_t before = i == DEAD_OCTETS ? l->before_bytes : 0;

		must(v->is_there || rows[i].is_nullable);
		if (rows[i].is_nullable)
			p = avro_put_long(p, v->is_there);
		if (!v->is_there)
			continue;
		if (!is_octets(rows[i].type)) {
			p = avro_put_long(p, v->number);
			continue;
		}
		p = avro_put_long(p, (int64_t)(before + v->bytes));
		if (before > 0)
			memcpy(p, l->before, before);
		if (v->bytes > 0)
			memcpy(p + before, v->octets, v->bytes);
		p += before + v->bytes;
	}
	return (size_t)(p - out);
}

static void read_value(struct rd *r, const struct row *row, struct dead_value *v)
{
	if (row->is_nullable) {
		/* One written before there was such a field ends before it. */
		int64_t index = rd_left(r) == 0 ? 0 : avro_read_long(r);

		if (index != 0 && index != 1)
			r->is_short = true;
		if (index != 1)
			return;
	}
	v->is_there = true;
	if (is_octets(row->type))
		v->octets = avro_read_octets(r, &v->bytes);
	else
		v->number = avro_read_long(r);
}

enum err dead_letter_decode(const uint8_t *octets, size_t bytes, struct dead_letter *out)
{
	struct rd r = rd_of(octets, bytes);
	struct dead_letter l = { .care = DEAD_KEEP };

	for (size_t i = 0; i < DEAD_FIELD_COUNT; i++)
		read_value(&r, &rows[i], &l.values[i]);
	if (r.is_short || rd_left(&r) > 0)
		return ERR_FORMAT;
	*out = l;
	return ERR_OK;
}

static void put_hex(struct json *out, const char *key, const struct dead_value *v)
{
	uint8_t *text = malloc(2 * v->bytes + 1);

	if (text == NULL) {
		out->is_failed = true;
		return;
	}
	(void)text_put_hex(text, v->octets, v->bytes);
	json_strn(out, key, text, 2 * v->bytes);
	free(text);
}

enum err dead_letter_json(const uint8_t *octets, size_t bytes, bool is_terse, struct json *out)
{
	struct dead_letter l;

	TRY(dead_letter_decode(octets, bytes, &l));
	json_open_object(out, NULL);
	for (size_t i = 0; i < DEAD_FIELD_COUNT; i++) {
		const struct dead_value *v = &l.values[i];

		if (!v->is_there && !is_terse)
			json_put_null(out, rows[i].name);
		if (!v->is_there)
			continue;
		if (rows[i].type == DEAD_TYPE_TEXT)
			json_strn(out, rows[i].name, v->octets, v->bytes);
		else if (rows[i].type == DEAD_TYPE_BYTES)
			put_hex(out, rows[i].name, v);
		else
			json_i64(out, rows[i].name, v->number);
	}
	json_end(out);
	return out->is_failed ? ERR_NOMEM : ERR_OK;
}
