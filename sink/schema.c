/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/schema.h"

#include <avro.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

/* An Avro record's name, and what a layer is for. */
struct layer_text {
	enum field_layer layer;
	const char *field;
	const char *record;
	const char *doc;
};

static const struct layer_text layers[] = {
	{ LAYER_normalized, "normalized", "Normalized",
	  "What the exporter said in the record, its header or its options data, under canonical "
	  "names, types and units; null when it was not said." },
	{ LAYER_enriched, "enriched", "Enriched",
	  "What was derived or joined; null when unknown or when the enricher is off." },
};

static const char *const type_json[FIELD_TYPE_COUNT] = {
	[FIELD_ADDR] = "\"string\"",
	[FIELD_MAC] = "\"string\"",
	[FIELD_STR] = "\"string\"",
	[FIELD_I32] = "\"int\"",
	[FIELD_I64] = "\"long\"",
	[FIELD_F64] = "\"double\"",
	[FIELD_BOOL] = "\"boolean\"",
	[FIELD_MS] = "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}",
	[FIELD_DATE] = "{\"type\":\"int\",\"logicalType\":\"date\"}",
	[FIELD_LONGS] = "{\"type\":\"array\",\"items\":\"long\"}",
	[FIELD_STRS] = "{\"type\":\"array\",\"items\":\"string\"}",
};

static const char head[] =
	"{\"type\":\"record\",\"name\":\"Flow\",\"namespace\":\"sluice\","
	"\"doc\":\"One flow event: what the exporter sent, in canonical form, and what was derived "
	"from it.\",\"fields\":[{\"name\":\"record_id\",\"type\":\"bytes\",\"doc\":\"16 octets, a hash "
	"of the record as received and of its exporter: the same again on replay and for network "
	"duplicates.\"},";

static const char raw[] =
	"{\"name\":\"raw\",\"doc\":\"What the exporter sent and no other layer says.\","
	"\"type\":{\"type\":\"record\",\"name\":\"Raw\",\"namespace\":\"sluice\",\"fields\":["
	"{\"name\":\"protocol_version\",\"type\":\"int\",\"doc\":\"5 and 9 for NetFlow, 10 for IPFIX, "
	"105 for sFlow 5, 0 for cloud and other logs.\"},"
	"{\"name\":\"template_id\",\"type\":[\"null\",\"int\"],\"default\":null,\"doc\":\"Id of the "
	"template that the record was read with; null for formats without templates.\"},"
	"{\"name\":\"elements\",\"type\":{\"type\":\"map\",\"values\":\"string\"},\"doc\":\"Elements "
	"that no field carries, as text; the key is the element's name, name#2 where it stands a "
	"second time, e<enterprise>id<number> where it is unknown.\"},"
	"{\"name\":\"wire\",\"type\":[\"null\",\"bytes\"],\"default\":null,\"doc\":\"The record's "
	"octets as received; only with the option raw = wire.\"},"
	"{\"name\":\"notes\",\"type\":{\"type\":\"array\",\"items\":\"string\"},\"doc\":\"Codes of what "
	"was odd with the record.\"}]}}]}";

/* `text` inside a JSON string; it is UTF-8. */
static void put_escaped(FILE *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\')
			(void)fputc('\\', out);
		if (c < 0x20)
			(void)fprintf(out, "\\u%04x", c);
		else
			(void)fputc(c, out);
	}
}

static void put_field(FILE *out, const struct field *f)
{
	(void)fputs("{\"name\":\"", out);
	put_escaped(out, f->name);
	if (f->is_required)
		(void)fprintf(out, "\",\"type\":%s", type_json[f->type]);
	else
		(void)fprintf(out, "\",\"type\":[\"null\",%s],\"default\":null",
			      type_json[f->type]);
	(void)fputs(",\"doc\":\"", out);
	put_escaped(out, f->doc);
	if (f->unit[0] != '\0') {
		(void)fputs(" Unit: ", out);
		put_escaped(out, f->unit);
		(void)fputc('.', out);
	}
	(void)fputs("\"}", out);
}

static void put_layer(FILE *out, const struct field_set *fields, const struct layer_text *layer)
{
	size_t first;
	size_t end = field_layer_end(fields, layer->layer, &first);

	(void)fprintf(
		out,
		"{\"name\":\"%s\",\"doc\":\"%s\",\"type\":{\"type\":\"record\",\"name\":\"%s\","
		"\"namespace\":\"sluice\",\"fields\":[",
		layer->field, layer->doc, layer->record);
	for (size_t i = first; i < end; i++) {
		must(fields->fields[i].name != NULL);
		if (i > first)
			(void)fputc(',', out);
		put_field(out, &fields->fields[i]);
	}
	(void)fputs("]}},", out);
}

enum err schema_text(const struct field_set *fields, char **out)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *file = open_memstream(&text, &bytes);
	bool is_bad;

	if (file == NULL)
		return ERR_NOMEM;
	(void)fputs(head, file);
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		put_layer(file, fields, &layers[i]);
	(void)fputs(raw, file);
	is_bad = ferror(file) != 0;
	if (fclose(file) != 0 || is_bad) {
		free(text);
		return ERR_NOMEM;
	}
	*out = text;
	return ERR_OK;
}

enum err schema_check(const char *text, struct why *why)
{
	avro_schema_t schema;

	if (avro_schema_from_json_length(text, strlen(text), &schema) != 0)
		return why_set(why, ERR_FORMAT, "schema refused by libavro: %s", avro_strerror());
	(void)avro_schema_decref(schema);
	return ERR_OK;
}

/* The type of an added field; what reads as a string is one. */
static bool type_of(const json_t *type, enum field_type *out)
{
	static const enum field_type rows[] = { FIELD_STR,  FIELD_I32,	 FIELD_I64,
						FIELD_F64,  FIELD_BOOL,	 FIELD_MS,
						FIELD_DATE, FIELD_LONGS, FIELD_STRS };
	const json_t *value = json_array_get(type, 1); /* behind the null */
	bool is_same = false;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !is_same; i++) {
		json_t *known = json_loads(type_json[rows[i]], JSON_DECODE_ANY, NULL);

		is_same = known != NULL && value != NULL && json_equal(known, value);
		json_decref(known);
		*out = rows[i];
	}
	return is_same;
}

static enum err add_extra(const json_t *field, size_t i, struct field_set *fields)
{
	const char *name = json_string_value(json_object_get(field, "name"));
	struct field *f = &fields->fields[i];
	enum field_type type;

	if (name == NULL || !type_of(json_object_get(field, "type"), &type))
		return ERR_FORMAT;
	*f = (struct field){ strdup(name), LAYER_normalized, type, false, "", "" };
	if (f->name == NULL)
		return ERR_NOMEM;
	fields->extra_count++;
	return ERR_OK;
}

/* The fields of the record that a field of the schema is; NULL when it is none. */
static const json_t *fields_of(const json_t *schema, const char *layer)
{
	const json_t *list = json_object_get(schema, "fields");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *field = json_array_get(list, i);
		const char *name = json_string_value(json_object_get(field, "name"));

		if (name != NULL && strcmp(name, layer) == 0)
			return json_object_get(json_object_get(field, "type"), "fields");
	}
	return NULL;
}

static enum err read_fields(const json_t *schema, struct field_set *fields)
{
	const json_t *normalized = fields_of(schema, "normalized");
	size_t count = json_array_size(normalized);

	if (count < FIELD_NORMALIZED_COUNT || count > FIELD_NORMALIZED_WORDS * 64 ||
	    json_array_size(fields_of(schema, "enriched")) != FIELD_ENRICHED_COUNT)
		return ERR_FORMAT;
	for (size_t i = FIELD_EXTRA_FIRST; i < count; i++)
		TRY(add_extra(json_array_get(normalized, i), i, fields));
	return ERR_OK;
}

enum err schema_fields_new(const char *text, struct why *why, struct field_set **out)
{
	struct field_set *fields = malloc(sizeof(*fields));
	json_error_t error;
	json_t *schema;
	enum err e;

	if (fields == NULL)
		return why_set(why, ERR_NOMEM, "no memory for a schema");
	field_set_init(fields);
	schema = json_loads(text, 0, &error);
	if (schema == NULL) {
		schema_fields_free(fields);
		return why_set(why, ERR_FORMAT, "not a schema: %s", error.text);
	}
	e = read_fields(schema, fields);
	json_decref(schema);
	if (e != ERR_OK) {
		schema_fields_free(fields);
		return why_set(why, e, "not a schema of this build");
	}
	*out = fields;
	return ERR_OK;
}

void schema_fields_free(struct field_set *fields)
{
	if (fields == NULL)
		return;
	for (size_t i = 0; i < fields->extra_count; i++)
		free((char *)fields->fields[FIELD_EXTRA_FIRST + i].name);
	free(fields);
}
