/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/define.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/must.h"

#define DEFINE_HEAD_BYTES 4
#define ENTERPRISE_BIT 0x8000u
#define RECORD_BYTES_MAX 65515u /* longest message without its header and a set's */

/*
 * Padding: fewer octets than a definition's head, or zeros (RFC 7011, 3.3.1).  No definition starts
 * with four of them: its id would be 0 and its fields none.
 */
static bool is_padding(const struct rd *set)
{
	return rd_left(set) < DEFINE_HEAD_BYTES || be32(set->at) == 0;
}

/* IPFIX: specifiers are 4 octets, or 8 with an enterprise number. */
static enum define_step ipfix_specs(struct rd *set, struct define *out)
{
	const uint8_t *start = set->at;

	for (uint32_t i = 0; i < out->field_count; i++) {
		uint16_t id = rd_u16(set);

		rd_skip(set, (id & ENTERPRISE_BIT) != 0 ? 6 : 2);
		if (set->is_short)
			return DEFINE_BROKEN;
	}
	out->specs = rd_of(start, (size_t)(set->at - start));
	return DEFINE_ONE;
}

/*
 * An options template without fields is a withdrawal, of 4 octets; some exporters write one with its
 * scope count, of 6.  No definition begins with a zero, so it is a scope count when behind it stands the
 * head of a definition, or the set's end.
 */
static bool has_empty_scope(const struct rd *set)
{
	size_t left = rd_left(set);

	if (left < 2 || be16(set->at) != 0)
		return false;
	return left < 2 + DEFINE_HEAD_BYTES || be16(set->at + 2) >= TMPL_ID_MIN;
}

static enum define_step ipfix_next(struct rd *set, struct define *out)
{
	out->id = rd_u16(set);
	out->field_count = rd_u16(set);
	out->is_withdrawal = out->field_count == 0;
	if (out->is_options && !out->is_withdrawal)
		out->scope_count = rd_u16(set);
	out->is_empty = out->is_options && out->is_withdrawal && has_empty_scope(set);
	if (out->is_empty)
		rd_skip(set, 2);
	if (set->is_short)
		return DEFINE_BROKEN;
	return ipfix_specs(set, out);
}

static enum define_step nf9_next(struct rd *set, struct define *out)
{
	out->id = rd_u16(set);
	if (out->is_options) {
		uint16_t scope_bytes = rd_u16(set);
		uint16_t option_bytes = rd_u16(set);

		out->is_uneven = scope_bytes % 4 != 0 || option_bytes % 4 != 0;
		out->scope_count = scope_bytes / 4u;
		out->field_count = out->scope_count + option_bytes / 4u;
		out->specs = rd_sub(set, (size_t)scope_bytes + option_bytes);
	} else {
		out->field_count = rd_u16(set);
		out->specs = rd_sub(set, 4 * (size_t)out->field_count);
	}
	return set->is_short ? DEFINE_BROKEN : DEFINE_ONE;
}

enum define_step define_next(struct rd *set, uint16_t version, bool is_options, struct define *out)
{
	struct define d = { .version = version, .is_options = is_options };
	enum define_step step;

	if (is_padding(set))
		return DEFINE_END;
	step = version == VERSION_NF9 ? nf9_next(set, &d) : ipfix_next(set, &d);
	*out = d;
	return step;
}

uint64_t define_hash(const struct define *d)
{
	return XXH3_64bits_withSeed(d->specs.at, rd_left(&d->specs),
				    (uint64_t)d->scope_count << 1 | d->is_options);
}

static void read_field(struct rd *specs, const struct define *d, uint32_t i, struct tmpl_field *f)
{
	uint16_t id = rd_u16(specs);

	f->bytes = rd_u16(specs);
	f->is_scope = i < d->scope_count;
	if (d->version == VERSION_NF9) {
		tmpl_v9_identity(id, &f->pen, &f->id);
		if (f->is_scope) {
			f->pen = PEN_V9_SCOPE;
			f->id = id;
		}
		return;
	}
	f->id = id & (ENTERPRISE_BIT - 1);
	f->pen = (id & ENTERPRISE_BIT) != 0 ? rd_u32(specs) : PEN_IANA;
}

static int compare_fields(const void *a, const void *b)
{
	const struct tmpl_field *x = a;
	const struct tmpl_field *y = b;

	if (x->pen != y->pen)
		return x->pen < y->pen ? -1 : 1;
	return (int)x->id - (int)y->id;
}

/* Most repeats of one element: found by sorting a copy, so that no template costs more. */
static enum collector_stat check_repeats(const struct tmpl *t, uint32_t repeats_max)
{
	struct tmpl_field *sorted = malloc(t->field_count * sizeof(*sorted));
	uint32_t run = 1;
	enum collector_stat verdict = COLLECTOR_STAT_COUNT;

	if (sorted == NULL)
		return STAT_TMPL_NOMEM;
	memcpy(sorted, t->fields, t->field_count * sizeof(*sorted));
	qsort(sorted, t->field_count, sizeof(*sorted), compare_fields);
	for (uint32_t i = 1; i < t->field_count; i++) {
		run = compare_fields(&sorted[i - 1], &sorted[i]) == 0 ? run + 1 : 1;
		if (run > repeats_max)
			verdict = STAT_TMPL_REPEATS;
	}
	free(sorted);
	return verdict;
}

static enum collector_stat check_define(const struct define *d,
					const struct collector_limits *limits)
{
	if (d->id < TMPL_ID_MIN)
		return STAT_TMPL_ID;
	if (d->is_uneven)
		return STAT_TMPL_SCOPE;
	if (d->field_count == 0)
		return STAT_TMPL_EMPTY;
	if (d->field_count > limits->fields_max)
		return STAT_TMPL_FIELDS;
	if (d->scope_count > d->field_count || (d->is_options && d->scope_count == 0))
		return STAT_TMPL_SCOPE;
	return COLLECTOR_STAT_COUNT;
}

static enum collector_stat check_tmpl(const struct tmpl *t, const struct collector_limits *limits)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < t->field_count; i++) {
		bool is_variable = t->fields[i].bytes == TMPL_VARIABLE;

		if (is_variable && t->version == VERSION_NF9)
			return STAT_TMPL_VARIABLE_V9;
		bytes += is_variable ? 1 : t->fields[i].bytes;
	}
	if (bytes == 0)
		return STAT_TMPL_EMPTY;
	if (bytes > RECORD_BYTES_MAX)
		return STAT_TMPL_LONG;
	return check_repeats(t, limits->repeats_max);
}

enum collector_stat define_build(const struct define *d, const struct collector_limits *limits,
				 struct tmpl **out)
{
	enum collector_stat verdict = check_define(d, limits);
	struct rd specs = d->specs;
	struct tmpl *t = NULL;

	if (verdict != COLLECTOR_STAT_COUNT)
		return verdict;
	if (tmpl_new((uint16_t)d->field_count, &t) != ERR_OK)
		return STAT_TMPL_NOMEM;
	t->id = d->id;
	t->version = d->version;
	t->is_options = d->is_options;
	t->scope_count = (uint16_t)d->scope_count;
	t->hash = define_hash(d);
	for (uint32_t i = 0; i < d->field_count; i++)
		read_field(&specs, d, i, &t->fields[i]);
	must(!specs.is_short);
	verdict = check_tmpl(t, limits);
	if (verdict == COLLECTOR_STAT_COUNT && tmpl_finish(t) != ERR_OK)
		verdict = STAT_TMPL_NOMEM;
	if (verdict != COLLECTOR_STAT_COUNT) {
		tmpl_free(t);
		return verdict;
	}
	*out = t;
	return COLLECTOR_STAT_COUNT;
}
