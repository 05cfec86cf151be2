/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/avro.h"

#include <stdbool.h>
#include <string.h>

#include "base/must.h"
#include "base/rd.h"
#include "base/text.h"
#include "base/utf8.h"
#include "normalizer/raw_text.h"
#include "sink/avro_wire.h"

#define SIX_MIN (UINT64_C(1) << 35)
#define SIX_MAX (UINT64_C(1) << 42)
#define ZERO_STEP 16	 /* octets of one store of a run of absent fields */
#define SMALL_ELEMENT 64 /* a number or address as text, with its length */

/* Most octets of a field without its string or array content: union index, then the value. */
static const uint8_t type_max[FIELD_TYPE_COUNT] = {
	[FIELD_ADDR] = 2 + TEXT_MAX,
	[FIELD_MAC] = 2 + 20,
	[FIELD_STR] = 1 + AVRO_LONG_MAX,
	[FIELD_I32] = 1 + AVRO_LONG_MAX,
	[FIELD_I64] = 1 + AVRO_LONG_MAX,
	[FIELD_F64] = 1 + 8,
	[FIELD_BOOL] = 1 + 1,
	[FIELD_MS] = 1 + AVRO_LONG_MAX,
	[FIELD_DATE] = 1 + AVRO_LONG_MAX,
	[FIELD_LONGS] = 2 + AVRO_LONG_MAX,
	[FIELD_STRS] = 2 + AVRO_LONG_MAX,
};

/* Where a flow is being written.  Everything fixed has its room past `limit`; only what is variable
 * asks for it.  Once full, nothing variable is written any more, so that nobody needs to stop at
 * once. */
struct place {
	const uint8_t *start; /* becomes the limit when full */
	const uint8_t *limit;
	uint64_t notes;
	bool is_full;
};

static size_t notes_max(void)
{
	size_t bytes = AVRO_LONG_MAX + 1;

	for (size_t i = 0; i < NOTE_COUNT; i++)
		bytes += 2 + strlen(note_texts[i]);
	return bytes;
}

void avro_encoder_init(struct avro_encoder *enc, const struct field_set *fields)
{
	static const enum field_layer layers[LAYER_COUNT] = { LAYER_normalized, LAYER_enriched };

	memset(enc, 0, sizeof(*enc));
	enc->fields = fields;
	/* Record id, the fixed half of raw, and what the last run of zeros writes too far. */
	enc->fixed_max = 1 + FLOW_RECORD_ID_BYTES + 6 * AVRO_LONG_MAX + notes_max() + 4 * ZERO_STEP;
	for (size_t l = 0; l < LAYER_COUNT; l++) {
		size_t first;
		size_t end = field_layer_end(fields, layers[l], &first);

		enc->ends[layers[l]] = (uint16_t)end;
		for (size_t i = first; i < end; i++) {
			const struct field *f = &fields->fields[i];
			uint64_t bit = UINT64_C(1) << (i % 64);

			enc->types[i] = (uint8_t)f->type;
			enc->is_union[i] = !f->is_required;
			enc->known[i / 64] |= bit;
			if (f->is_required)
				enc->required[i / 64] |= bit;
			enc->fixed_max += type_max[f->type];
		}
	}
}

/* Milliseconds since 1970: six octets, from 1971 to 2039. */
static inline uint8_t *put_time(uint8_t *p, int64_t ms)
{
	uint64_t v = (uint64_t)ms << 1 ^ (uint64_t)(ms >> 63);
	uint64_t x;

	if (__builtin_expect(v - SIX_MIN >= SIX_MAX - SIX_MIN, 0))
		return avro_put_long(p, ms);
	x = (v & 0x00fffffff0000000) << 4 | (v & 0x0fffffff);
	x = (x & 0x0fffc0000fffc000) << 2 | (x & 0x00003fff00003fff);
	x = (x & 0x3f803f803f803f80) << 1 | (x & 0x007f007f007f007f);
	x |= 0x8080808080;
	memcpy(p, &x, 8);
	return p + 6;
}

/* A length or count, which is never negative. */
static inline uint8_t *put_count(uint8_t *p, uint32_t count)
{
	return avro_put_varint(p, (uint64_t)count << 1);
}

/* Stores once even for no zeros at all: that costs less than a branch that is hard to guess. */
static inline uint8_t *put_zeros(uint8_t *p, size_t count)
{
	uint8_t *end = p + count;

	do {
		memset(p, 0, ZERO_STEP);
		p += ZERO_STEP;
	} while (p < end);
	return end;
}

/* memcpy for what is mostly shorter than 32 octets: two overlapping moves instead of a call. */
static inline uint8_t *put_octets(uint8_t *p, const uint8_t *from, size_t n)
{
	if (n >= 8) {
		if (n > 32) {
			memcpy(p, from, n);
		} else if (n >= 16) {
			memcpy(p, from, 16);
			memcpy(p + n - 16, from + n - 16, 16);
		} else {
			memcpy(p, from, 8);
			memcpy(p + n - 8, from + n - 8, 8);
		}
	} else if (n >= 4) {
		memcpy(p, from, 4);
		memcpy(p + n - 4, from + n - 4, 4);
	} else if (n > 0) {
		p[0] = from[0];
		p[n / 2] = from[n / 2];
		p[n - 1] = from[n - 1];
	}
	return p + n;
}

static inline bool has_room(struct place *at, const uint8_t *p, size_t n)
{
	if (__builtin_expect((ptrdiff_t)n <= at->limit - p, 1))
		return true;
	at->limit = at->start;
	at->is_full = true;
	return false;
}

static inline uint8_t *put_string(struct place *at, uint8_t *p, const void *octets, uint32_t bytes)
{
	if (!has_room(at, p, bytes))
		return p;
	p = put_count(p, bytes);
	return put_octets(p, octets, bytes);
}

static uint8_t *put_longs(struct place *at, uint8_t *p, const struct slot *s)
{
	if (s->bytes > 0) {
		if (!has_room(at, p, (size_t)s->bytes * AVRO_LONG_MAX))
			return p;
		p = put_count(p, s->bytes);
		for (uint32_t i = 0; i < s->bytes; i++)
			p = avro_put_long(p, s->longs[i]);
	}
	*p++ = 0;
	return p;
}

static uint8_t *put_texts(struct place *at, uint8_t *p, const struct slot *s)
{
	if (s->bytes > 0) {
		p = put_count(p, s->bytes);
		for (uint32_t i = 0; i < s->bytes; i++) {
			const struct text *t = &s->texts[i];

			if (!has_room(at, p, (size_t)t->bytes + AVRO_LONG_MAX))
				return p;
			p = put_string(at, p, t->octets, t->bytes);
		}
	}
	*p++ = 0;
	return p;
}

/* A value that its type cannot carry: null, which is also how 0 and "" look where null is not
 * allowed. */
static uint8_t *put_breach(struct place *at, uint8_t *p)
{
	at->notes |= UINT64_C(1) << NOTE_CONTRACT;
	*p++ = 0;
	return p;
}

static inline __attribute__((always_inline)) uint8_t *
put_addr(struct place *at, uint8_t *p, const struct slot *s, size_t index_bytes)
{
	uint8_t *text = p + index_bytes + 1;
	uint8_t *end;

	if (__builtin_expect(s->bytes == 4, 1))
		end = text_put_ipv4(text, s->octets);
	else if (s->bytes == 16)
		end = text_put_ipv6(text, s->octets);
	else
		return put_breach(at, p);
	p[0] = 2;
	text[-1] = (uint8_t)((end - text) << 1);
	return end;
}

static inline uint8_t *put_mac(struct place *at, uint8_t *p, const struct slot *s,
			       size_t index_bytes)
{
	if (s->bytes != 6)
		return put_breach(at, p);
	p[0] = 2;
	p += index_bytes;
	*p++ = 17 << 1;
	return text_put_mac(p, s->octets);
}

/* One field that is there.  The union index is written in any case, and written over by the value
 * where there is none. */
static inline uint8_t *put_field(struct place *at, uint8_t *p, const struct slot *s,
				 enum field_type type, size_t index_bytes)
{
	p[0] = 2;
	switch (type) {
	case FIELD_MS:
		return put_time(p + index_bytes, s->i64);
	case FIELD_I64:
		return avro_put_long(p + index_bytes, s->i64);
	case FIELD_I32:
	case FIELD_DATE:
		if (__builtin_expect(s->i64 != (int32_t)s->i64, 0))
			return put_breach(at, p);
		return avro_put_long(p + index_bytes, s->i64);
	case FIELD_STR:
		return put_string(at, p + index_bytes, s->octets, s->bytes);
	case FIELD_ADDR:
		return put_addr(at, p, s, index_bytes);
	case FIELD_MAC:
		return put_mac(at, p, s, index_bytes);
	case FIELD_F64:
		memcpy(p + index_bytes, &s->f64, sizeof(s->f64));
		return p + index_bytes + sizeof(s->f64);
	case FIELD_BOOL:
		p[index_bytes] = s->i64 != 0;
		return p + index_bytes + 1;
	case FIELD_LONGS:
		return put_longs(at, p + index_bytes, s);
	case FIELD_STRS:
		return put_texts(at, p + index_bytes, s);
	case FIELD_TYPE_COUNT:
	default:
		__builtin_unreachable();
	}
}

static uint8_t *put_layer(const struct avro_encoder *enc, const struct flow *f, struct place *at,
			  uint8_t *p, size_t first, size_t end)
{
	size_t next = first; /* the first field that is not written yet */

	for (size_t base = first; base < end; base += 64) {
		uint64_t bits = f->has[base / 64];

		must((bits & ~enc->known[base / 64]) == 0);
		must((~bits & enc->required[base / 64]) == 0);
		while (bits != 0) {
			size_t i = base + (size_t)__builtin_ctzll(bits);

			bits &= bits - 1;
			p = put_zeros(p, i - next);
			next = i + 1;
			p = put_field(at, p, &f->slots[i], (enum field_type)enc->types[i],
				      enc->is_union[i]);
		}
	}
	return put_zeros(p, end - next);
}

/* A value of at most SMALL_ELEMENT - 1 octets of text; its length is put in front at the end. */
static uint8_t *put_raw_small(uint8_t *p, const struct raw_value *v, enum raw_form form)
{
	uint8_t *text = p + 1;
	uint8_t *end = raw_put_small(text, form, v->octets, v->bytes);

	*p = (uint8_t)((end - text) << 1);
	return end;
}

static uint8_t *put_raw_string(struct place *at, uint8_t *p, const struct raw_value *v)
{
	bool is_ascii;
	uint32_t bytes = utf8_trim(v->octets, v->bytes, &is_ascii);

	if (is_ascii || utf8_is_valid(v->octets, bytes))
		return put_string(at, p, v->octets, bytes);
	at->notes |= UINT64_C(1) << NOTE_BAD_UTF8;
	p = put_count(p, 2 * v->bytes);
	return text_put_hex(p, v->octets, v->bytes);
}

static uint8_t *put_element(struct place *at, uint8_t *p, const struct raw_value *v)
{
	const struct raw_key *key = v->key;
	enum raw_form form = v->form;

	/* Twice the octets is what hex takes: enough for every form that is not small. */
	if (!has_room(at, p, key->avro_bytes + 2 * (size_t)v->bytes + SMALL_ELEMENT))
		return p;
	p = put_octets(p, key->avro, key->avro_bytes);
	if (!raw_is_of_form(v->form, v->bytes)) {
		at->notes |= UINT64_C(1) << NOTE_CONTRACT;
		form = RAW_HEX;
	}
	if (form == RAW_STRING)
		return put_raw_string(at, p, v);
	if (form != RAW_HEX)
		return put_raw_small(p, v, form);
	p = put_count(p, 2 * v->bytes);
	return text_put_hex(p, v->octets, v->bytes);
}

static uint8_t *put_elements(const struct flow *f, struct place *at, uint8_t *p)
{
	must(f->raw_count <= FLOW_RAW_MAX);
	if (f->raw_count > 0) {
		p = put_count(p, f->raw_count);
		for (uint32_t i = 0; i < f->raw_count && !at->is_full; i++)
			p = put_element(at, p, &f->raw[i]);
	}
	*p++ = 0;
	return p;
}

static uint8_t *put_notes(uint8_t *p, uint64_t notes)
{
	if (notes != 0) {
		p = put_count(p, (uint32_t)__builtin_popcountll(notes));
		while (notes != 0) {
			const char *text = note_texts[__builtin_ctzll(notes)];
			size_t bytes = strlen(text);

			notes &= notes - 1;
			p = put_count(p, (uint32_t)bytes);
			p = put_octets(p, (const uint8_t *)text, bytes);
		}
	}
	*p++ = 0;
	return p;
}

static uint8_t *put_raw(const struct flow *f, struct place *at, uint8_t *p)
{
	p = put_count(p, f->protocol_version);
	if (f->has_template_id) {
		*p++ = 2;
		p = put_count(p, f->template_id);
	} else {
		*p++ = 0;
	}
	p = put_elements(f, at, p);
	if (f->has_wire) {
		*p++ = 2;
		p = put_string(at, p, f->record, f->record_bytes);
	} else {
		*p++ = 0;
	}
	return put_notes(p, at->notes);
}

size_t avro_encode(const struct avro_encoder *enc, const struct flow *f, uint8_t *out, size_t room)
{
	struct place at = { out, NULL, f->notes, false };
	uint8_t *p = out;

	if (room < enc->fixed_max)
		return 0;
	at.limit = out + (room - enc->fixed_max);
	*p++ = FLOW_RECORD_ID_BYTES << 1;
	memcpy(p, f->record_id, FLOW_RECORD_ID_BYTES);
	p += FLOW_RECORD_ID_BYTES;
	p = put_layer(enc, f, &at, p, 0, enc->ends[LAYER_normalized]);
	p = put_layer(enc, f, &at, p, FIELD_ENRICHED_FIRST, enc->ends[LAYER_enriched]);
	p = put_raw(f, &at, p);
	if (at.is_full)
		return 0;
	must((size_t)(p - out) <= room);
	return (size_t)(p - out);
}
