/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_flow.h"

#include <endian.h>
#include <string.h>

#include "base/room.h"
#include "base/utf8.h"
#include "sink/avro_wire.h"
#include "sink/parquet_flow_parts.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t load(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* Some octet of the text above 0x7f leaves one of HIGH_BITS.  Past its end the record goes on, mostly. */
static inline uint64_t text_bits(const uint8_t *octets, size_t bytes, const uint8_t *end)
{
	uint64_t all = 0;

	if (bytes >= 8) {
		all = load(octets) | load(octets + bytes - 8);
		for (size_t i = 8; i + 8 < bytes; i += 8)
			all |= load(octets + i);
		return all;
	}
	if (__builtin_expect(end - octets >= 8, 1))
		return load(octets) & ((UINT64_C(1) << 8 * bytes) - 1);
	for (size_t i = 0; i < bytes; i++)
		all |= octets[i];
	return all;
}

/* One more cell of a list: with it there is still room for one of each step.  NULL: no memory. */
static struct cell *more_cells(struct parquet_flow *f)
{
	size_t need = (f->cell_count + 1 + f->step_count) * sizeof(struct cell);

	if (need > f->cells_room && room_make(&f->cells, &f->cells_room, 2 * need) != ERR_OK)
		return NULL;
	return (struct cell *)(void *)f->cells + f->cell_count++;
}

static bool read_text_at(struct parquet_flow *f, struct rd *in, struct cell at, uint64_t *bits)
{
	struct cell *c = more_cells(f);
	size_t bytes;

	if (c == NULL)
		return false;
	at.octets = avro_read_octets(in, &bytes);
	at.bytes = (uint32_t)bytes;
	at.kind = CELL_TEXT_AT;
	*c = at;
	if (bytes > 0)
		*bits |= text_bits(at.octets, bytes, in->end);
	return true;
}

static bool read_item(struct parquet_flow *f, const struct step *s, struct rd *in, struct cell at,
		      uint64_t *bits)
{
	struct cell *c;

	if (s->kind == STEP_LONGS) {
		c = more_cells(f);
		if (c == NULL)
			return false;
		at.i64 = avro_read_long(in);
		at.kind = CELL_I64_AT;
		*c = at;
		return true;
	}
	if (!read_text_at(f, in, at, bits))
		return false;
	at.leaf++;
	return s->kind == STEP_TEXTS || read_text_at(f, in, at, bits);
}

/* A list or map.  An empty one that is required is what a column without a value is. */
static bool read_items(struct parquet_flow *f, const struct step *s, struct rd *in, uint64_t *bits)
{
	struct cell at = { .leaf = s->leaf, .levels = (uint8_t)(s->depth + 1) };
	struct cell *c;

	for (uint64_t n = avro_read_block(in); n > 0; n = avro_read_block(in)) {
		for (uint64_t i = 0; i < n && !in->is_short; i++) {
			if (!read_item(f, s, in, at, bits))
				return false;
			at.levels |= CELL_AGAIN;
		}
	}
	if ((at.levels & CELL_AGAIN) != 0 || s->depth == 0)
		return true;
	c = more_cells(f);
	if (c == NULL)
		return false;
	*c = (struct cell){ .kind = CELL_NULL_AT, .leaf = s->leaf, .levels = s->depth };
	return true;
}

/* Milliseconds since 1970 take six octets from 1971 to 2039. */
static inline __attribute__((always_inline)) const uint8_t *take_number(const uint8_t *p,
									uint64_t *v)
{
	uint64_t w = load(p);

	if ((w & 0x808080808080) != 0x008080808080)
		return avro_take_varint(p, v);
	w = (w & 0x007f007f007f) | (w & 0x7f007f007f00) >> 1;
	*v = (w & 0x3fff) | (w & 0x3fff0000) >> 2 | (w & 0x3fff00000000) >> 4;
	return p + 6;
}

/* The number of octets that follow; NULL when there are not that many. */
static inline const uint8_t *take_length(const uint8_t *p, const uint8_t *end, uint32_t *bytes)
{
	uint64_t v;

	p = avro_take_varint(p, &v);
	if (p == NULL || (v & 1) != 0 || (int64_t)(v >> 1) > end - p)
		return NULL;
	*bytes = (uint32_t)(v >> 1);
	return p;
}

static inline __attribute__((always_inline)) const uint8_t *
take_text(const uint8_t *p, const uint8_t *end, struct text_cell *text, uint64_t *bits)
{
	p = take_length(p, end, &text->bytes);
	text->octets = p;
	if (p == NULL)
		return NULL;
	*bits |= text_bits(p, text->bytes, end);
	return p + text->bytes;
}

/* Values of a kind that is rare. */
static const uint8_t *take_rare(const struct step *s, const uint8_t *p, const uint8_t *end,
				struct cell *c)
{
	*c = (struct cell){ .leaf = s->leaf };
	if (s->kind == STEP_OCTETS) {
		c->kind = CELL_OCTETS;
		p = take_length(p, end, &c->bytes);
		c->octets = p;
		return p == NULL ? NULL : p + c->bytes;
	}
	if (s->kind == STEP_DOUBLE) {
		c->kind = CELL_F64;
		memcpy(&c->f64, p, sizeof(c->f64));
		return p + sizeof(c->f64);
	}
	c->kind = CELL_I64; /* STEP_BOOL */
	c->i64 = p[0];
	return p[0] <= 1 ? p + 1 : NULL;
}

/* How many of the steps from here on, up to `most`, are absent; the first is. */
static inline size_t count_nulls_at(const uint8_t *p, const uint8_t *end, size_t most)
{
	uint64_t word;
	size_t n = 0;

	do {
		word = load(p + n);
		if (word != 0) {
			n += (unsigned)__builtin_ctzll(word) / 8;
			break;
		}
		n += sizeof(word);
	} while (n < most && end - p >= (ptrdiff_t)(n + sizeof(word)));
	return n < most ? n : most;
}

/* The branch of a union, 1 or 0, that is not written as our own encoder does; NULL when it is neither. */
static const uint8_t *take_index(const uint8_t *p, bool *is_there)
{
	uint64_t v;

	p = avro_take_varint(p, &v);
	*is_there = v == 2;
	return v == 2 || v == 0 ? p : NULL;
}

/* `bits` are those of all texts: looked at one by one only where one is not ASCII. */
static bool has_texts(const struct parquet_flow *f, uint64_t bits)
{
	const struct cell *cells = (const struct cell *)(const void *)f->cells;

	if ((bits & HIGH_BITS) == 0)
		return true;
	for (size_t i = 0; i < f->text_count; i++) {
		if (!utf8_is_valid(f->texts[i].octets, f->texts[i].bytes))
			return false;
	}
	for (size_t i = 0; i < f->cell_count; i++) {
		if (cells[i].kind == CELL_TEXT_AT &&
		    !utf8_is_valid(cells[i].octets, cells[i].bytes))
			return false;
	}
	return true;
}

/* Where a record is being read. */
struct place {
	const uint8_t *at;
	const uint8_t *end;
	struct cell *cell; /* the next */
	uint64_t bits;	   /* of all texts */
};

/* A list or map, which may move the cells. */
static enum err read_list(struct parquet_flow *f, const struct step *s, struct place *at)
{
	struct rd in;

	if (at->at > at->end)
		return ERR_FORMAT;
	in = rd_of(at->at, (size_t)(at->end - at->at));
	f->cell_count = (size_t)(at->cell - (struct cell *)(void *)f->cells);
	if (!read_items(f, s, &in, &at->bits))
		return ERR_NOMEM;
	at->at = in.at;
	at->cell = (struct cell *)(void *)f->cells + f->cell_count;
	return in.is_short ? ERR_FORMAT : ERR_OK;
}

/* The last octets move to where zeros follow, and need no counting before they are read. */
static struct place move_to_tail(struct parquet_flow *f, const uint8_t *p, const uint8_t *end)
{
	size_t left = (size_t)(end - p);

	memset(f->tail, 0, sizeof(f->tail));
	memcpy(f->tail, p, left);
	return (struct place){ .at = f->tail, .end = f->tail + left };
}

/* The steps from *s on that are absent here: *s is then the first that is not, and what stands after its
 * index is returned.  NULL: this is no record. */
static inline __attribute__((always_inline)) const uint8_t *
skip_nulls(const struct step **s, const uint8_t *p, const uint8_t *end, bool *is_there)
{
	*is_there = true;
	if (__builtin_expect(p[0] == 2, 1))
		return p + 1;
	*is_there = false;
	if (__builtin_expect(p[0] == 0, 1)) {
		size_t run = count_nulls_at(p, end, (*s)->nulls);

		*s += run;
		return p + run;
	}
	p = take_index(p, is_there);
	*s += !*is_there;
	return p;
}

/* All of the record as cells.  `near` octets are to be left before each step; a value may go on past the
 * end of the tail, which is looked at before the next one. */
static enum err read_record(struct parquet_flow *f, const uint8_t *p, size_t bytes)
{
	const struct step *s = f->steps;
	const struct step *stop = s + f->step_count;
	const uint8_t *end = p + bytes;
	struct number_cell *number = f->numbers;
	struct text_cell *text = f->texts;
	struct cell *c = (struct cell *)(void *)f->cells;
	ptrdiff_t near = NEAR;
	uint64_t bits = 0;
	uint64_t high = 0;

	while (s < stop && p != NULL) {
		struct place at = { p, end, c, bits };
		bool is_there = true;
		uint64_t v;

		if (__builtin_expect(end - p < near, 0)) {
			if (near == 0)
				return ERR_FORMAT;
			at = move_to_tail(f, p, end);
			p = at.at;
			end = at.end;
			near = 0;
		}
		if (s->nulls > 0)
			p = skip_nulls(&s, p, end, &is_there);
		if (!is_there || p == NULL)
			continue;
		if (s->kind == STEP_NUMBER) {
			p = take_number(p, &v);
			*number++ = (struct number_cell){ avro_unzigzag(v), s->leaf };
			high |= v >> 32 & s->high;
		} else if (s->kind == STEP_TEXT) {
			p = take_text(p, end, text, &bits);
			text++->leaf = s->leaf;
		} else if (s->kind < STEP_LONGS) {
			p = take_rare(s, p, end, c++);
		} else {
			at = (struct place){ p, end, c, bits };
			TRY(read_list(f, s, &at));
			p = at.at;
			c = at.cell;
			bits = at.bits;
		}
		s++;
	}
	f->number_count = (size_t)(number - f->numbers);
	f->text_count = (size_t)(text - f->texts);
	f->cell_count = (size_t)(c - (struct cell *)(void *)f->cells);
	if (p != end || high != 0)
		return ERR_FORMAT;
	return has_texts(f, bits) ? ERR_OK : ERR_FORMAT;
}

/* ---- a row ---- */

static void put_cell(struct parquet *p, const struct cell *c)
{
	unsigned rep = (c->levels & CELL_AGAIN) != 0;
	unsigned def = c->levels & (CELL_AGAIN - 1);

	switch ((enum cell_kind)c->kind) {
	case CELL_OCTETS:
		parquet_put_octets(p, c->leaf, c->octets, c->bytes);
		break;
	case CELL_I64:
		parquet_put_i64(p, c->leaf, c->i64);
		break;
	case CELL_F64:
		parquet_put_f64(p, c->leaf, c->f64);
		break;
	case CELL_TEXT_AT:
		parquet_put_octets_at(p, c->leaf, rep, def, c->octets, c->bytes);
		break;
	case CELL_I64_AT:
		parquet_put_i64_at(p, c->leaf, rep, def, c->i64);
		break;
	case CELL_NULL_AT:
		parquet_put_null_at(p, c->leaf, rep, def);
		break;
	default:
		__builtin_unreachable();
	}
}

enum err parquet_flow_add(struct parquet_flow *f, struct parquet *p, const void *octets,
			  size_t bytes)
{
	const struct cell *cells;

	if (bytes > INT32_MAX)
		return ERR_FORMAT;
	TRY(read_record(f, octets, bytes));
	for (size_t i = 0; i < f->number_count; i++)
		parquet_put_i64(p, f->numbers[i].leaf, f->numbers[i].v);
	for (size_t i = 0; i < f->text_count; i++)
		parquet_put_octets(p, f->texts[i].leaf, f->texts[i].octets, f->texts[i].bytes);
	cells = (const struct cell *)(const void *)f->cells;
	for (size_t i = 0; i < f->cell_count; i++)
		put_cell(p, &cells[i]);
	return parquet_row(p);
}
