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

#define NULLS_MAX (PADDING - 8) /* what is looked at, at once */
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
static bool read_items(struct parquet_flow *f, const struct step *s, unsigned row, struct rd *in,
		       uint64_t *bits)
{
	struct cell at = { .leaf = s->leaf, .levels = (uint8_t)(s->depth + 1), .row = row };
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
	*c = (struct cell){ .kind = CELL_NULL, .leaf = s->leaf, .levels = s->depth, .row = row };
	return true;
}

/* What was read is no record: the place is past its end, where nothing is looked at. */
static inline const uint8_t *broken(const uint8_t *end)
{
	return end + 1;
}

/* Behind a number of more than eight octets. */
static APART const uint8_t *take_wide(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	const uint8_t *next = avro_take_varint(p, v);

	return next == NULL ? broken(end) : next;
}

#ifdef __x86_64__

/* An instruction does it, but on the first two Zens, where it is a loop. */
bool parquet_flow_can_gather(void)
{
	return __builtin_cpu_supports("bmi2") && !__builtin_cpu_is("amdfam17h");
}

/* The bits of w where mask has ones, side by side. */
static inline uint64_t gather_bits(uint64_t w, uint64_t mask)
{
	uint64_t bits;

	__asm__("pextq %2, %1, %0" : "=r"(bits) : "r"(w), "r"(mask));
	return bits;
}

#else

bool parquet_flow_can_gather(void)
{
	return false;
}

static inline uint64_t gather_bits(uint64_t w, uint64_t mask)
{
	return w & mask; /* nobody asks for it */
}

#endif

/* Without a branch for each length: in a column they are of many. */
static inline __attribute__((always_inline)) const uint8_t *
take_number(const uint8_t *p, const uint8_t *end, bool is_gathered, uint64_t *v)
{
	uint64_t w = load(p);
	uint64_t ends = ~w & HIGH_BITS;
	uint64_t wide;

	if (__builtin_expect(ends == 0, 0)) {
		p = take_wide(p, end, &wide);
		*v = wide;
		return p;
	}
	if (is_gathered) {
		*v = gather_bits(w, (ends ^ (ends - 1)) & ~HIGH_BITS);
		return p + ((unsigned)__builtin_ctzll(ends) + 1) / 8;
	}
	w &= (ends ^ (ends - 1)) & ~HIGH_BITS;
	/* The upper half of each two, four, eight octets comes next to the lower. */
	w -= (w & 0x7f007f007f007f00) >> 1;
	w -= (w & 0x3fff00003fff0000) / 4 * 3;
	w -= (w & 0x0fffffff00000000) / 16 * 15;
	*v = w;
	return p + ((unsigned)__builtin_ctzll(ends) + 1) / 8;
}

/* Octets after their length; none when there are not that many. */
static inline __attribute__((always_inline)) const uint8_t *
take_octets(const uint8_t *p, const uint8_t *end, uint32_t *bytes)
{
	uint64_t v = *p++;
	uint64_t wide;

	if (__builtin_expect(v >= 0x80, 0)) {
		p = take_wide(p - 1, end, &wide);
		v = wide;
	}
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

/* The branch of a union that is not written as our own encoder does: is there a value? */
static APART bool take_index(const uint8_t **p, const uint8_t *end)
{
	uint64_t v;

	*p = take_wide(*p, end, &v);
	if (v != 2 && v != 0)
		*p = broken(end);
	return v == 2;
}

/* Is the value there?  *p comes to stand behind the branch of its union. */
static inline __attribute__((always_inline)) bool is_there(const uint8_t **p, const uint8_t *end,
							   bool is_optional)
{
	unsigned branch = **p;

	if (!is_optional)
		return true;
	if (__builtin_expect(branch != 2 && branch != 0, 0))
		return take_index(p, end);
	++*p;
	return branch == 2;
}

/* ---- a column of a group ---- */

/* Each of these returns which of the records have the value, a bit each. */

static inline __attribute__((always_inline)) uint64_t
take_numbers(struct group *g, const struct step *s, union parquet_lane *lanes, bool is_optional,
	     bool is_gathered)
{
	uint64_t there = 0;
	uint64_t high = 0;
	ptrdiff_t left = 0;

	for (unsigned i = 0; i < g->count; i++) {
		const uint8_t *p = g->at[i];
		uint64_t v;

		if (is_there(&p, g->end[i], is_optional)) {
			p = take_number(p, g->end[i], is_gathered, &v);
			lanes[i].i64 = avro_unzigzag(v);
			high |= v;
			there |= UINT64_C(1) << i;
		}
		left |= g->end[i] - p;
		g->at[i] = p;
	}
	g->is_broken |= left < 0 || (high & s->high) != 0;
	return there;
}

static uint64_t read_numbers(const struct parquet_flow *f, struct group *g, const struct step *s,
			     union parquet_lane *lanes)
{
	bool is_optional = s->kind == STEP_NUMBER;

	if (f->can_gather)
		return is_optional ? take_numbers(g, s, lanes, true, true)
				   : take_numbers(g, s, lanes, false, true);
	return is_optional ? take_numbers(g, s, lanes, true, false)
			   : take_numbers(g, s, lanes, false, false);
}

static inline __attribute__((always_inline)) uint64_t
read_octets(struct group *g, union parquet_lane *lanes, bool is_optional, bool is_text)
{
	uint64_t there = 0;
	uint64_t bits = 0;
	ptrdiff_t left = 0;

	for (unsigned i = 0; i < g->count; i++) {
		const uint8_t *p = g->at[i];
		uint32_t bytes;

		if (is_there(&p, g->end[i], is_optional)) {
			p = take_octets(p, g->end[i], &bytes);
			lanes[i].text =
				(struct parquet_text){ (uint32_t)(p - bytes - g->base), bytes };
			if (is_text)
				bits |= text_bits(p - bytes, bytes);
			there |= UINT64_C(1) << i;
		}
		left |= g->end[i] - p;
		g->at[i] = p;
	}
	g->bits |= bits;
	g->is_broken |= left < 0;
	return there;
}

/* Doubles and booleans. */
static uint64_t read_rare(struct group *g, const struct step *s, union parquet_lane *lanes)
{
	uint64_t there = 0;

	for (unsigned i = 0; i < g->count; i++) {
		const uint8_t *p = g->at[i];

		if (is_there(&p, g->end[i], s->nulls > 0)) {
			if (s->kind == STEP_DOUBLE)
				memcpy(&lanes[i].i64, p, sizeof(lanes[i].i64));
			else
				lanes[i].i64 = p[0];
			g->is_broken |= s->kind == STEP_BOOL && p[0] > 1;
			p += s->kind == STEP_DOUBLE ? sizeof(lanes[i].i64) : 1;
			there |= UINT64_C(1) << i;
		}
		g->is_broken |= p > g->end[i];
		g->at[i] = p;
	}
	return there;
}

static APART enum err read_list(struct parquet_flow *f, const struct step *s, struct group *g,
				unsigned i)
{
	const uint8_t *p = g->at[i];
	struct rd rd;

	if (!is_there(&p, g->end[i], s->nulls > 0)) {
		g->at[i] = p;
		g->is_broken |= p > g->end[i];
		return ERR_OK;
	}
	if (p >= g->end[i])
		return ERR_FORMAT;
	rd = rd_of(p, (size_t)(g->end[i] - p));
	if (!read_items(f, s, i, &rd, &g->bits))
		return ERR_NOMEM;
	g->at[i] = rd.at;
	return rd.is_short ? ERR_FORMAT : ERR_OK;
}

static enum err read_lists(struct parquet_flow *f, const struct step *s, struct group *g)
{
	for (unsigned i = 0; i < g->count; i++) {
		if (g->at[i][0] != 0) {
			TRY(read_list(f, s, g, i));
			continue;
		}
		g->at[i]++; /* there is none, or one that is empty and required */
		g->is_broken |= g->at[i] > g->end[i];
	}
	return ERR_OK;
}

static enum err read_column(struct parquet_flow *f, const struct step *s, struct group *g)
{
	struct parquet *p = g->parquet;
	union parquet_lane *lanes = batch_lane(p, s->leaf);
	uint64_t there;

	switch ((enum step_kind)s->kind) {
	case STEP_NUMBER:
	case STEP_NUMBER_ALWAYS:
		there = read_numbers(f, g, s, lanes);
		break;
	case STEP_TEXT:
		there = read_octets(g, lanes, true, true);
		break;
	case STEP_TEXT_ALWAYS:
		there = read_octets(g, lanes, false, true);
		break;
	case STEP_OCTETS:
		there = read_octets(g, lanes, s->nulls > 0, false);
		break;
	case STEP_DOUBLE:
	case STEP_BOOL:
		there = read_rare(g, s, lanes);
		break;
	case STEP_LONGS:
	case STEP_TEXTS:
	case STEP_MAP:
	case STEP_END:
	default:
		return read_lists(f, s, g);
	}
	p->staged[s->leaf] |= there << p->batch_row;
	return ERR_OK;
}

/* Some of `count` octets, 8 and more of PADDING less, are not 0. */
static inline uint64_t any_of(const uint8_t *p, size_t count)
{
	uint64_t any = load(p + count - 8);

	for (size_t i = 0; i + 8 < count; i += 8)
		any |= load(p + i);
	return any;
}

/* Are `count` steps from here on absent in all of the records?  Mostly what is absent in one is so in each. */
static inline bool are_nulls(const struct group *g, size_t count)
{
	uint64_t mask = count < 8 ? (UINT64_C(1) << 8 * count) - 1 : UINT64_MAX;
	uint64_t any = 0;

	if (count <= 8) {
		for (unsigned i = 1; i < g->count; i++)
			any |= load(g->at[i]) & mask;
	} else {
		for (unsigned i = 1; i < g->count; i++)
			any |= any_of(g->at[i], count);
	}
	return any == 0;
}

static APART size_t count_common(const struct group *g, size_t most)
{
	for (unsigned i = 1; i < g->count && most > 0; i++)
		most = g->at[i][0] == 0 ? count_nulls_at(g->at[i], g->end[i], most) : 0;
	return most;
}

/* How many of the steps from here on, up to `most`, are absent in all of the records: these are passed. */
static inline size_t skip_nulls(struct group *g, size_t most)
{
	ptrdiff_t left = 0;

	if (g->at[0][0] != 0)
		return 0;
	most = count_nulls_at(g->at[0], g->end[0], most < NULLS_MAX ? most : NULLS_MAX);
	if (!are_nulls(g, most))
		most = count_common(g, most);
	for (unsigned i = 0; i < g->count; i++) {
		g->at[i] += most;
		left |= g->end[i] - g->at[i];
	}
	g->is_broken |= left < 0;
	return most;
}

/* `bits` are those of all texts: looked at one by one only where one is not ASCII. */
static APART bool has_texts(const struct parquet_flow *f, const struct group *g)
{
	const struct cell *cells = (const struct cell *)(const void *)f->cells;
	const struct parquet *p = g->parquet;

	if ((g->bits & HIGH_BITS) == 0)
		return true;
	for (size_t i = 0; i < f->step_count; i++) {
		const struct step *s = &f->steps[i];
		const union parquet_lane *lanes = batch_lane(p, s->leaf);
		uint64_t there = p->staged[s->leaf] >> p->batch_row;

		if (s->kind != STEP_TEXT && s->kind != STEP_TEXT_ALWAYS)
			continue;
		for (; there != 0; there &= there - 1) {
			const struct parquet_text *text = &lanes[__builtin_ctzll(there)].text;

			if (!utf8_is_valid(g->base + text->at, text->bytes))
				return false;
		}
	}
	for (size_t i = 0; i < f->cell_count; i++) {
		if (cells[i].kind == CELL_TEXT && !utf8_is_valid(cells[i].octets, cells[i].bytes))
			return false;
	}
	return true;
}

/* No step reads more than PADDING past the end, which is looked at before the next one. */
enum err parquet_flow_read(struct parquet_flow *f, struct group *g)
{
	const struct step *s = f->steps;

	f->cell_count = 0;
	while (s->kind != STEP_END) {
		size_t nulls = s->nulls > 0 ? skip_nulls(g, s->nulls) : 0;

		if (nulls == 0) {
			TRY(read_column(f, s, g));
			nulls = 1;
		}
		s += nulls;
		if (g->is_broken)
			return ERR_FORMAT;
	}
	for (unsigned i = 0; i < g->count; i++) {
		if (g->at[i] != g->end[i])
			return ERR_FORMAT;
	}
	return has_texts(f, g) ? ERR_OK : ERR_FORMAT;
}
