/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h - the Avro schema of sluice.Flow, from fields.def and the fields that mappings add.
 *
 *	schema_text(&fields, &text);	 JSON, documentation included; free() it
 *	schema_check(text, &why);	 libavro reads it
 *	schema_fields_new(text, &why, &fields);	 the fields back from the text
 *
 * Shape: { record_id: bytes, normalized: record, enriched: record, raw: record }; raw is
 * { protocol_version: int, template_id: [null,int], elements: map<string>, wire: [null,bytes],
 * notes: array<string> }.
 */
#ifndef SINK_SCHEMA_H
#define SINK_SCHEMA_H

#include "base/why.h"
#include "normalizer/field.h"

enum err schema_text(const struct field_set *fields, char **out);
enum err schema_check(const char *text, struct why *why);

/* The fields that a schema of ours has, for who reads records written with it, whatever became of the
 * generation that it came from: names and types hold, units and documentation of added fields are
 * gone.  ERR_FORMAT when it is not a schema of this build. */
enum err schema_fields_new(const char *text, struct why *why, struct field_set **out);
void schema_fields_free(struct field_set *fields);

#endif
