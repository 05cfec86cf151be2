/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/lines.h"

#include <stdlib.h>
#include <string.h>

#include "sink/avro.h"
#include "sink/dead_letter.h"
#include "sink/schema.h"

#define ROOM_FIRST (64u << 10)
#define LINE_MAX_BYTES (256u << 20) /* a record of LOG_RECORD_MAX, every octet escaped */

void lines_init(struct lines *l, struct log_hub *hub)
{
	memset(l, 0, sizeof(*l));
	l->hub = hub;
	json_init(&l->json, LINE_MAX_BYTES);
}

void lines_fini(struct lines *l)
{
	schema_fields_free(l->fields);
	json_fini(&l->json);
	free(l->text);
	l->fields = NULL;
	l->text = NULL;
}

static enum err follow_schema(struct lines *l, uint32_t schema)
{
	size_t bytes;
	struct field_set *fields = NULL;
	const char *text;

	if (l->has_schema && l->schema == schema)
		return ERR_OK;
	text = log_name(l->hub, LOG_NAME_SCHEMA, schema, &bytes);
	if (!dead_schema_is(text))
		TRY(schema_fields_new(text, NULL, &fields));
	schema_fields_free(l->fields);
	l->fields = fields;
	l->schema = schema;
	l->has_schema = true;
	return ERR_OK;
}

static enum err append(struct lines *l, const char *text, size_t bytes)
{
	size_t need = l->bytes + bytes + 1;

	if (need > l->room) {
		size_t room = need < ROOM_FIRST ? ROOM_FIRST : 2 * need;
		char *bigger = realloc(l->text, room);

		if (bigger == NULL)
			return ERR_NOMEM;
		l->text = bigger;
		l->room = room;
	}
	memcpy(l->text + l->bytes, text, bytes);
	l->text[need - 1] = '\n';
	l->bytes = need;
	return ERR_OK;
}

enum err lines_put(struct lines *l, uint32_t schema, const uint8_t *payload, size_t bytes)
{
	TRY(follow_schema(l, schema));
	json_clear(&l->json);
	if (l->fields == NULL)
		TRY(dead_letter_json(payload, bytes, true, &l->json));
	else
		TRY(avro_to_json(l->fields, payload, bytes, true, &l->json));
	return append(l, l->json.text, l->json.bytes);
}
