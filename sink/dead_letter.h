/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead_letter.h - one dead letter: the Avro record sluice.DeadLetter, from dead_fields.def.
 *
 *	struct dead_letter l = { .care = DEAD_PLAIN };
 *	dead_set_text(&l, DEAD_REASON, text); dead_set_number(&l, DEAD_RECEIVED, ms); ...
 *	n = dead_letter_encode(&l, out, dead_letter_room(&l));
 *	dead_letter_decode(octets, bytes, &l)	what it points to lies in `octets`
 *
 * Owner: the caller, who also owns what the values point to.
 */
#ifndef SINK_DEAD_LETTER_H
#define SINK_DEAD_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"

enum dead_field {
#define DEAD_FIELD(id, name, type, nullable, doc) DEAD_##id,
#include "sink/dead_fields.def"
#undef DEAD_FIELD
	DEAD_FIELD_COUNT
};

/* The values of DEAD_KIND. */
#define DEAD_KIND_SET "set"
#define DEAD_KIND_MESSAGE "message"
#define DEAD_KIND_RECORD "record"

struct dead_value {
	bool is_there;
	int64_t number;
	const void *octets;
	size_t bytes;
};

/* How much is given for it when there are too many at once. */
enum dead_care {
	DEAD_JUNK, /* anybody can send it, and nothing can be told of it: half of the rate at most */
	DEAD_PLAIN, /* within the rate */
	DEAD_KEEP   /* whatever the rate: nothing else has it any more */
};

struct dead_letter {
	struct dead_value values[DEAD_FIELD_COUNT];
	/* Octets in front of those of DEAD_OCTETS, when they do not lie together. */
	const uint8_t *before;
	size_t before_bytes;
	enum dead_care care;
};

static inline void dead_set_number(struct dead_letter *l, enum dead_field field, int64_t v)
{
	l->values[field] = (struct dead_value){ .is_there = true, .number = v };
}

static inline void dead_set_octets(struct dead_letter *l, enum dead_field field, const void *octets,
				   size_t bytes)
{
	l->values[field] =
		(struct dead_value){ .is_there = true, .octets = octets, .bytes = bytes };
}

static inline void dead_set_text(struct dead_letter *l, enum dead_field field, const char *text)
{
	dead_set_octets(l, field, text, strlen(text));
}

/* The value is that text. */
static inline bool dead_is_text(const struct dead_letter *l, enum dead_field field,
				const char *text)
{
	const struct dead_value *v = &l->values[field];

	return v->is_there && v->bytes == strlen(text) && memcmp(v->octets, text, v->bytes) == 0;
}

/* Octets that are surely enough. */
size_t dead_letter_room(const struct dead_letter *l);
/* Octets written.  What is not nullable must be there. */
size_t dead_letter_encode(const struct dead_letter *l, uint8_t *out, size_t room);
/* ERR_FORMAT when it is no such record. */
enum err dead_letter_decode(const uint8_t *octets, size_t bytes, struct dead_letter *out);
/* As JSON; octets become lower-case hex, absent fields are left out when `is_terse`.  ERR_FORMAT,
 * ERR_NOMEM. */
enum err dead_letter_json(const uint8_t *octets, size_t bytes, bool is_terse, struct json *out);

/* The schema's text; free() it. */
enum err dead_schema_text(char **out);
/* Is it the schema of dead letters, of this build or an older one? */
bool dead_schema_is(const char *text);

#endif
