/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_flow.h"

#include <endian.h>
#include <string.h>

#include "base/room.h"
#include "base/utf8.h"
#include "sink/avro_wire.h"
#include "sink/parquet_flow_parts.h"
#include "sink/parquet_parts.h"

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

/* Octets after their length, as they stand in the batch, which begins at `base`; NULL when there are not that
 * many. */
static inline __attribute__((always_inline)) const uint8_t *
take_octets(const uint8_t *p, const uint8_t *end, const uint8_t *base, struct parquet_text *text)
{
	uint64_t v;

	p = avro_take_varint(p, &v);
	if (p == NULL || (v & 1) != 0 || (int64_t)(v >> 1) > end - p)
		return NULL;
	*text = (struct parquet_text){ (uint32_t)(p - base), (uint32_t)(v >> 1) };
	return p + text->bytes;
}

/* A value of a kind that is rare. */
static const uint8_t *take_rare(const struct step *s, const uint8_t *p, const uint8_t *end,
				const uint8_t *base, union parquet_lane *lane)
{
	if (s->kind == STEP_OCTETS)
		return take_octets(p, end, base, &lane->text);
	if (s->kind == STEP_DOUBLE) {
		memcpy(&lane->i64, p, sizeof(lane->i64));
		return p + sizeof(lane->i64);
	}
	lane->i64 = p[0]; /* STEP_BOOL */
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

/* Where a record is being read, in the batch. */
struct place {
	struct parquet *parquet;
	const uint8_t *at;
	const uint8_t *end;
	const uint8_t *base; /* of the batch's octets */
	uint64_t bits;	     /* of all texts */
};

/* `bits` are those of all texts: looked at one by one only where one is not ASCII. */
static bool has_texts(const struct parquet_flow *f, const struct place *in)
{
	const struct cell *cells = (const struct cell *)(const void *)f->cells;
	unsigned row = in->parquet->batch_row;

	if ((in->bits & HIGH_BITS) == 0)
		return true;
	for (size_t i = 0; i < f->step_count; i++) {
		const struct parquet_column *c = &in->parquet->columns[f->steps[i].leaf];
		const struct parquet_text *text;

		if (f->steps[i].kind != STEP_TEXT || (c->staged >> row & 1) == 0)
			continue;
		text = &c->body->lane[row].text;
		if (!utf8_is_valid(in->base + text->at, text->bytes))
			return false;
	}
	for (size_t i = 0; i < f->cell_count; i++) {
		if (cells[i].kind == CELL_TEXT && !utf8_is_valid(cells[i].octets, cells[i].bytes))
			return false;
	}
	return true;
}

static enum err read_list(struct parquet_flow *f, const struct step *s, struct place *in)
{
	struct rd rd;

	if (in->at > in->end)
		return ERR_FORMAT;
	rd = rd_of(in->at, (size_t)(in->end - in->at));
	if (!read_items(f, s, &rd, &in->bits))
		return ERR_NOMEM;
	in->at = rd.at;
	return rd.is_short ? ERR_FORMAT : ERR_OK;
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

/* All of the record, into the batch and, what is of lists, as cells.  No step reads more than PADDING past the
 * end, which is looked at before the next one. */
static enum err read_record(struct parquet_flow *f, struct place *in)
{
	const struct step *s = f->steps;
	const struct step *stop = s + f->step_count;
	struct parquet_column *columns = in->parquet->columns;
	const uint8_t *base = in->base;
	const uint8_t *end = in->end;
	const uint8_t *p = in->at;
	unsigned row = in->parquet->batch_row;
	uint64_t bits = 0;
	uint64_t high = 0;

	while (s < stop && p != NULL) {
		union parquet_lane *lane;
		bool is_there = true;
		uint64_t v;

		if (__builtin_expect(p >= end, 0))
			return ERR_FORMAT;
		if (s->nulls > 0)
			p = skip_nulls(&s, p, end, &is_there);
		if (!is_there || p == NULL)
			continue;
		if (__builtin_expect(s->kind >= STEP_LONGS, 0)) {
			in->at = p;
			TRY(read_list(f, s++, in));
			p = in->at;
			continue;
		}
		if (__builtin_expect(columns[s->leaf].body == NULL, 0) &&
		    column_body(in->parquet, s->leaf) == NULL)
			return ERR_NOMEM;
		lane = batch_lane(&columns[s->leaf], row);
		if (s->kind == STEP_NUMBER) {
			p = take_number(p, &v);
			lane->i64 = avro_unzigzag(v);
			high |= v >> 32 & s->high;
		} else if (s->kind == STEP_TEXT) {
			p = take_octets(p, end, base, &lane->text);
			if (p != NULL)
				bits |= text_bits(base + lane->text.at, lane->text.bytes);
		} else {
			p = take_rare(s, p, end, base, lane);
		}
		s++;
	}
	in->bits |= bits;
	if (p != end || high != 0)
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
