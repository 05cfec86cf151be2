/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_flow.h"

#include <endian.h>
#include <string.h>

#include "base/room.h"
#include "base/utf8.h"
#include "sink/avro_wire.h"
#include "sink/parquet_flow_parts.h"

/* What is rare, or long, is kept out of the loop over the steps, which has registers for little more. */
#define APART __attribute__((noinline))

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t load(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* Some octet of the text above 0x7f leaves one of HIGH_BITS.  Past its end the record or zeros go on. */
static inline uint64_t text_bits(const uint8_t *octets, size_t bytes)
{
	uint64_t all;

	if (bytes < 8)
		return load(octets) & ((UINT64_C(1) << 8 * bytes) - 1);
	all = load(octets) | load(octets + bytes - 8);
	for (size_t i = 8; i + 8 < bytes; i += 8)
		all |= load(octets + i);
	return all;
}

/* One more cell of a list.  NULL: no memory. */
static struct cell *more_cells(struct parquet_flow *f)
{
	size_t need = (f->cell_count + 1) * sizeof(struct cell);

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
	at.kind = CELL_TEXT;
	*c = at;
	if (bytes > 0)
		*bits |= text_bits(at.octets, bytes);
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
		at.kind = CELL_I64;
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
	*c = (struct cell){ .kind = CELL_NULL, .leaf = s->leaf, .levels = s->depth };
	return true;
}

/* What was read is no record: the place is past its end, where nothing is looked at. */
static inline const uint8_t *broken(const uint8_t *end)
{
	return end + 1;
}

/* In two registers: a number whose address is taken would be in memory, everywhere. */
struct taken {
	const uint8_t *next;
	uint64_t v;
};

static APART struct taken take_wide(const uint8_t *p, const uint8_t *end)
{
	struct taken t;

	t.next = avro_take_varint(p, &t.v);
	if (t.next == NULL)
		t.next = broken(end);
	return t;
}

static inline const uint8_t *take_long(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	struct taken t = take_wide(p, end);

	*v = t.v;
	return t.next;
}

/* Milliseconds since 1970 take six octets from 1971 to 2039, and most other numbers few. */
static inline __attribute__((always_inline)) const uint8_t *
take_number(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	uint64_t w = load(p);

	if ((w & 0x80) == 0) {
		*v = w & 0x7f;
		return p + 1;
	}
	if ((w & 0x8000) == 0) {
		*v = (w & 0x7f) | (w & 0x7f00) >> 1;
		return p + 2;
	}
	if ((w & 0x800000) == 0) {
		*v = (w & 0x7f) | (w & 0x7f00) >> 1 | (w & 0x7f0000) >> 2;
		return p + 3;
	}
	if ((w & 0x808080808080) != 0x008080808080)
		return take_long(p, end, v);
	w = (w & 0x007f007f007f) | (w & 0x7f007f007f00) >> 1;
	*v = (w & 0x3fff) | (w & 0x3fff0000) >> 2 | (w & 0x3fff00000000) >> 4;
	return p + 6;
}

/* Octets after their length; none when there are not that many. */
static inline __attribute__((always_inline)) const uint8_t *
take_octets(const uint8_t *p, const uint8_t *end, uint32_t *bytes)
{
	uint64_t v = *p++;

	if (__builtin_expect(v >= 0x80, 0))
		p = take_long(p - 1, end, &v);
	if (__builtin_expect((v & 1) != 0 || (int64_t)(v >> 1) > end - p, 0)) {
		*bytes = 0;
		return broken(end);
	}
	*bytes = (uint32_t)(v >> 1);
	return p + *bytes;
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

/* The branch of a union, 1 or 0, that is not written as our own encoder does. */
static inline const uint8_t *take_index(const uint8_t *p, const uint8_t *end, bool *is_there)
{
	uint64_t v;

	p = take_long(p, end, &v);
	*is_there = v == 2;
	return v == 2 || v == 0 ? p : broken(end);
}

/* Where a record is being read, in the batch. */
struct place {
	struct parquet *parquet;
	const uint8_t *at;
	const uint8_t *end;
	const uint8_t *base; /* of the batch's octets */
	uint64_t bits;	     /* of all texts */
};

/* `bits` are those of all texts: looked at one by one only where one is not ASCII. */
static APART bool has_texts(const struct parquet_flow *f, const struct place *in)
{
	const struct cell *cells = (const struct cell *)(const void *)f->cells;
	unsigned row = in->parquet->batch_row;

	if ((in->bits & HIGH_BITS) == 0)
		return true;
	for (size_t i = 0; i < f->step_count; i++) {
		const struct step *s = &f->steps[i];
		const struct parquet_text *text;

		if ((s->kind != STEP_TEXT && s->kind != STEP_TEXT_ALWAYS) ||
		    (in->parquet->staged[s->leaf] >> row & 1) == 0)
			continue;
		text = &batch_lane(in->parquet, s->leaf)->text;
		if (!utf8_is_valid(in->base + text->at, text->bytes))
			return false;
	}
	for (size_t i = 0; i < f->cell_count; i++) {
		if (cells[i].kind == CELL_TEXT && !utf8_is_valid(cells[i].octets, cells[i].bytes))
			return false;
	}
	return true;
}

static APART enum err read_list(struct parquet_flow *f, const struct step *s, struct place *in)
{
	struct rd rd;

	if (s->kind == STEP_END || in->at >= in->end)
		return ERR_FORMAT;
	rd = rd_of(in->at, (size_t)(in->end - in->at));
	if (!read_items(f, s, &rd, &in->bits))
		return ERR_NOMEM;
	in->at = rd.at;
	return rd.is_short ? ERR_FORMAT : ERR_OK;
}

/* A value that is there, of a kind that is neither of the two, nor of lists. */
static APART const uint8_t *take_rare(const struct step *s, const uint8_t *p, struct place *in,
				      union parquet_lane *lane)
{
	uint32_t bytes;
	uint64_t v;

	switch (s->kind) {
	case STEP_DOUBLE:
		memcpy(&lane->i64, p, sizeof(lane->i64));
		return p + sizeof(lane->i64);
	case STEP_BOOL:
		lane->i64 = p[0];
		return p[0] <= 1 ? p + 1 : broken(in->end);
	case STEP_NUMBER_ALWAYS:
		p = take_number(p, in->end, &v);
		lane->i64 = avro_unzigzag(v);
		return (v & s->high) == 0 ? p : broken(in->end);
	default: /* STEP_OCTETS, STEP_TEXT_ALWAYS */
		p = take_octets(p, in->end, &bytes);
		lane->text = (struct parquet_text){ (uint32_t)(p - bytes - in->base), bytes };
		if (s->kind == STEP_TEXT_ALWAYS)
			in->bits |= text_bits(p - bytes, bytes);
		return p;
	}
}

/* The steps from *s on that are absent here: *s is then the first that is not, and what stands behind their
 * indices is returned.  When the first is there after all, it is the last octet of its index. */
static inline __attribute__((always_inline)) const uint8_t *
skip_nulls(const struct step **s, const uint8_t *p, const uint8_t *end)
{
	bool is_there;
	size_t run;

	if (__builtin_expect(p[0] == 0, 1)) {
		run = count_nulls_at(p, end, (*s)->nulls);
		*s += run;
		return p + run;
	}
	p = take_index(p, end, &is_there);
	*s += !is_there;
	return p - is_there;
}

/* All of the record, into the batch and, what is of lists, as cells.  No step reads more than PADDING past the
 * end, which is looked at before the next one. */
static APART enum err read_record(struct parquet_flow *f, struct place *in)
{
	const struct step *s = f->steps;
	const uint64_t bit = UINT64_C(1) << in->parquet->batch_row;
	uint8_t *lanes = (uint8_t *)batch_lane(in->parquet, 0);
	uint64_t *staged = in->parquet->staged;
	const uint8_t *end = in->end;
	const uint8_t *p = in->at;
	uint64_t bits = 0;
	uint64_t high = 0;

	while (p < end) {
		union parquet_lane *lane = (union parquet_lane *)(void *)(lanes + s->lane);
		uint64_t v;

		if (p[0] != 2 && s->nulls > 0) {
			const struct step *before = s;

			p = skip_nulls(&s, p, end);
			if (s != before)
				continue;
		}
		/* There is an octet of index before the value. */
		if (s->kind == STEP_NUMBER) {
			p = take_number(p + 1, end, &v);
			lane->i64 = avro_unzigzag(v);
			high |= v & s->high;
			staged[s->leaf] |= bit;
		} else if (s->kind == STEP_TEXT) {
			uint32_t bytes;

			p = take_octets(p + 1, end, &bytes);
			lane->text =
				(struct parquet_text){ (uint32_t)(p - bytes - in->base), bytes };
			bits |= text_bits(p - bytes, bytes);
			staged[s->leaf] |= bit;
		} else if (s->kind < STEP_LONGS) {
			p = take_rare(s, p + (s->nulls > 0), in, lane);
			staged[s->leaf] |= bit;
		} else if (p[0] == 0 && s->nulls + s->depth == 0) {
			p++; /* a list that is empty and required */
		} else {
			in->at = p + (s->nulls > 0);
			TRY(read_list(f, s, in));
			p = in->at;
		}
		s++;
	}
	in->bits |= bits;
	if (p != end || s->kind != STEP_END || high != 0)
		return ERR_FORMAT;
	return has_texts(f, in) ? ERR_OK : ERR_FORMAT;
}

/* ---- a row ---- */

static void put_cell(struct parquet *p, const struct cell *c)
{
	unsigned rep = (c->levels & CELL_AGAIN) != 0;
	unsigned def = c->levels & (CELL_AGAIN - 1);

	if (c->kind == CELL_TEXT)
		parquet_put_octets_at(p, c->leaf, rep, def, c->octets, c->bytes);
	else if (c->kind == CELL_I64)
		parquet_put_i64_at(p, c->leaf, rep, def, c->i64);
	else
		parquet_put_null_at(p, c->leaf, rep, def);
}

/* As if it had never been seen: no memory, too, is nothing that the file has to remember. */
static enum err refuse(struct parquet *p, enum err e)
{
	batch_undo_row(p);
	p->account.error = ERR_OK;
	return e;
}

/* The record becomes part of the batch: what is text there needs no copy of its own. */
enum err parquet_flow_add(struct parquet_flow *f, struct parquet *p, const void *octets,
			  size_t bytes)
{
	const struct cell *cells;
	struct place in;
	enum err e;

	if (bytes > INT32_MAX - PADDING)
		return ERR_FORMAT;
	if (p->account.error != ERR_OK)
		return parquet_row(p);
	if (!parquet_reserve(&p->account, &p->octets, bytes + PADDING))
		return refuse(p, ERR_NOMEM);
	in = (struct place){ .parquet = p, .at = parquet_end(&p->octets), .base = p->octets.at };
	in.end = in.at + bytes;
	memcpy(parquet_end(&p->octets), octets, bytes);
	memset(parquet_end(&p->octets) + bytes, 0, PADDING);
	f->cell_count = 0;
	e = read_record(f, &in);
	if (e != ERR_OK)
		return refuse(p, e);
	p->octets.bytes += bytes;
	if (bytes >= BIG_BYTES)
		p->until_check = 0;
	cells = (const struct cell *)(const void *)f->cells;
	for (size_t i = 0; i < f->cell_count; i++)
		put_cell(p, &cells[i]);
	return parquet_row(p);
}
