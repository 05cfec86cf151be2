/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - one flow event on its way from the plan to the encoder.
 *
 * A bit for each canonical field says whether it is there, a slot holds its value: a number, or
 * pointer and length into the datagram, a static table, or the flow's own scratch.  Clearing a flow
 * clears the bits.  What no field could carry stands in `raw`.
 *
 *	has   | w0 | w1 | w2 | w3 | e0 | e1 |	 normalized words, then enriched words, schema order
 *	slot  [ number, or octets + bytes, tag ]
 *
 * Owner: the worker.  Lifetime: batch.
 */
#ifndef NORMALIZER_FLOW_H
#define NORMALIZER_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "collector/message.h"
#include "normalizer/field.h"

#define FLOW_RECORD_ID_BYTES 16
#define FLOW_RAW_MAX 1024	/* raw elements of one record; a template has no more fields */
#define FLOW_TRACKED_MAX 1024	/* the same, of elements that wait for the end of the walk */
#define FLOW_LONGS_MAX 64	/* values of all LONGS fields of one flow */
#define FLOW_TEXTS_MAX 64	/* values of all STRS fields */
#define FLOW_SCRATCH_BYTES 4096 /* text made by conversions */

struct text {
	const char *octets; /* UTF-8, not NUL terminated */
	uint32_t bytes;
};

struct slot {
	union {
		int64_t i64;		  /* I32 I64 MS DATE BOOL */
		double f64;		  /* F64 */
		const uint8_t *octets;	  /* ADDR MAC STR */
		const int64_t *longs;	  /* LONGS: `bytes` is their count */
		const struct text *texts; /* STRS: `bytes` is their count */
	};
	uint32_t bytes;
	uint32_t tag; /* STR event_type: its number in the log's name table */
};

/* Tag of app_id's slot: whose number it is. */
enum app_id_tag { APP_ID_OTHER, APP_ID_NDPI };

/* How an element's octets become text in raw.elements. */
enum raw_form {
	RAW_UNSIGNED, /* decimal */
	RAW_SIGNED,   /* decimal */
	RAW_FLOAT,    /* shortest text that reads back to the same */
	RAW_BOOL,     /* true, false; else decimal */
	RAW_MAC,      /* lower-case colon hex */
	RAW_IPV4,
	RAW_IPV6,   /* RFC 5952 */
	RAW_STRING, /* NUL-trimmed UTF-8, else hex and note bad_utf8 */
	RAW_HEX,    /* lower-case hex: octetArray, unknown, NTP times, wrong lengths */
	RAW_FORM_COUNT
};

/* An element that stands in raw.elements. */
struct raw_value {
	const struct raw_key *key;
	const uint8_t *octets;
	uint32_t bytes;
	enum raw_form form; /* as settled for this record: RAW_HEX when the length is wrong */
};

/* Of a plan: the element's name, already in Avro's form (length as zigzag varint, then octets). */
struct raw_key {
	const char *name;
	uint8_t *avro;
	uint32_t avro_bytes;
	enum raw_form form;
	uint32_t pen; /* whose name it is */
	uint16_t id;
	uint8_t list; /* enum element_list */
};

/* Notes: what was odd with this record.  Bit numbers; texts in notes.def. */
enum note {
#define NOTE(id, text, doc) NOTE_##id,
#include "normalizer/notes.def"
#undef NOTE
	NOTE_COUNT
};
_Static_assert(NOTE_COUNT <= 64, "notes are bits of one word");
extern const char *const note_texts[NOTE_COUNT];
extern const char *const note_docs[NOTE_COUNT];

struct flow {
	uint64_t has[FIELD_WORDS];
	uint64_t notes;
	uint32_t raw_count;
	uint32_t long_count;
	uint32_t text_count;
	uint32_t scratch_used;
	uint32_t list_bytes; /* text of lists in raw, which is the reader's */
	uint8_t record_id[FLOW_RECORD_ID_BYTES];
	uint16_t protocol_version;
	uint16_t template_id;
	bool has_template_id;
	bool has_wire;	       /* raw = "wire": record octets go out too */
	const uint8_t *record; /* the record as received */
	uint32_t record_bytes;
	struct slot slots[FIELD_SLOTS];
	int64_t longs[FLOW_LONGS_MAX];
	struct text texts[FLOW_TEXTS_MAX];
	struct raw_value raw[FLOW_RAW_MAX];
	uint8_t scratch[FLOW_SCRATCH_BYTES];
	struct value tracked[FLOW_TRACKED_MAX]; /* the plan's, while it runs */
	uint8_t carried[FLOW_TRACKED_MAX];
};

static inline void flow_clear(struct flow *f)
{
	memset(f->has, 0, sizeof(f->has));
	f->notes = 0;
	f->raw_count = 0;
	f->long_count = 0;
	f->text_count = 0;
	f->scratch_used = 0;
	f->list_bytes = 0;
	f->slots[F_app_id].tag = APP_ID_OTHER;
}

static inline bool flow_has(const struct flow *f, unsigned field)
{
	return f->has[field / 64] >> (field % 64) & 1;
}

static inline void flow_mark(struct flow *f, unsigned field)
{
	f->has[field / 64] |= UINT64_C(1) << (field % 64);
}

static inline void flow_unmark(struct flow *f, unsigned field)
{
	f->has[field / 64] &= ~(UINT64_C(1) << (field % 64));
}

static inline void flow_set_i64(struct flow *f, unsigned field, int64_t v)
{
	f->slots[field].i64 = v;
	flow_mark(f, field);
}

static inline void flow_set_f64(struct flow *f, unsigned field, double v)
{
	f->slots[field].f64 = v;
	flow_mark(f, field);
}

/* ADDR, MAC and STR; the octets must live as long as the flow. */
static inline void flow_set_octets(struct flow *f, unsigned field, const void *octets,
				   uint32_t bytes)
{
	f->slots[field].octets = octets;
	f->slots[field].bytes = bytes;
	flow_mark(f, field);
}

static inline void flow_note(struct flow *f, enum note note)
{
	f->notes |= UINT64_C(1) << note;
}

/* Room for `bytes` octets of text that lives as long as the flow; NULL when it has no more. */
static inline uint8_t *flow_scratch(struct flow *f, uint32_t bytes)
{
	uint8_t *p = f->scratch + f->scratch_used;

	if (bytes > FLOW_SCRATCH_BYTES - f->scratch_used)
		return NULL;
	f->scratch_used += bytes;
	return p;
}

#endif
