/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/section.h"

#include <stdlib.h>

#include "collector/sflow.h"
#include "normalizer/plan_draft.h"

#define ELEMENT_OFFSET 409 /* sectionOffset */
#define ELEMENT_BYTES 410  /* sectionExportedOctets */
#define FIRST_ELEMENT SFLOW_SRC_MAC
#define LAST_ELEMENT SFLOW_INNER_DST_PORT
#define LINES_MAX 128

/* What says most of the packet, first. */
static const struct kind {
	uint16_t id;
	uint16_t first; /* enum header_protocol */
} kinds[] = {
	{ 315, HEADER_ETHERNET },
	{ 313, HEADER_IP },
	{ 316, HEADER_MPLS },
	{ 317, HEADER_MPLS_PAYLOAD },
};

/* The template's first field of the element, when nothing is mapped from it; -1: it has none. */
static int find_field(const struct draft *d, uint16_t id)
{
	for (uint16_t i = 0; i < d->tmpl->field_count; i++) {
		if (d->tmpl->fields[i].pen == PEN_IANA && d->tmpl->fields[i].id == id)
			return d->per_index[i] == 0 ? i : -1;
	}
	return -1;
}

int section_part(const struct draft *d, uint16_t index)
{
	for (int i = 0; d->plan->line_count > 0 && i < SECTION_PARTS; i++) {
		if (d->section_at[i] == index)
			return i;
	}
	return -1;
}

static void add_line(struct draft *d, const struct promote *promote, uint16_t element)
{
	const struct sflow_row *row = &sflow_rows[element];
	struct plan *p = d->plan;
	struct section_line *line = &p->lines[p->line_count];
	struct xform_how how = {
		.as = promote->as,
		.scale = promote->scale,
		.table = promote->table,
		.field = &d->catalog->fields.fields[promote->field],
		.field_number = promote->field,
		.element = element_find(d->catalog->elements, row->pen, row->number),
		.bytes = row->bytes,
	};

	if (p->line_count == LINES_MAX || xform_compile(&how, &line->xform, NULL) != ERR_OK)
		return;
	line->element = element;
	line->is_many = line->xform.op == XFORM_APPEND || line->xform.op == XFORM_MPLS_LABEL;
	p->line_count++;
}

static void take_line(struct draft *d, const struct mapping *mapping, uint32_t number,
		      unsigned element)
{
	add_line(d, &mapping->promotes[number & DRAFT_LINE_BITS], (uint16_t)element);
}

enum err section_compile(struct draft *d)
{
	struct plan *p = d->plan;
	int at = -1;

	for (size_t i = 0; at < 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		at = find_field(d, kinds[i].id);
		p->section_first = kinds[i].first;
	}
	if (at < 0)
		return ERR_OK;
	d->section_at[SECTION_OCTETS] = at;
	d->section_at[SECTION_BYTES] = find_field(d, ELEMENT_BYTES);
	d->section_at[SECTION_OFFSET] = find_field(d, ELEMENT_OFFSET);
	p->lines = calloc(LINES_MAX + 1, sizeof(*p->lines));
	if (p->lines == NULL)
		return ERR_NOMEM;
	for (unsigned element = FIRST_ELEMENT; element <= LAST_ELEMENT; element++)
		draft_each_line(
			d,
			(struct element_id){ sflow_rows[element].pen, sflow_rows[element].number },
			take_line, element);
	return ERR_OK;
}

/* Of a part that the template has not, or that is no number: `none`. */
static uint64_t number_of(const struct plan *p, enum section_part part, const struct flow *f,
			  uint64_t none)
{
	struct value v = { NULL, 0 };

	if (p->section_at[part] >= 0)
		v = f->tracked[p->section_at[part]];
	return v.bytes > 0 && v.bytes <= 8 ? be_uint(v.octets, v.bytes) : none;
}

/* The packet's own octets: a field of fixed length is filled up behind them.  Empty when they are not its first ones. */
static struct value section_of(const struct plan *p, const struct flow *f)
{
	struct value v = f->tracked[p->section_at[SECTION_OCTETS]];
	uint64_t bytes = number_of(p, SECTION_BYTES, f, v.bytes);

	if (v.octets == NULL || number_of(p, SECTION_OFFSET, f, 0) != 0)
		return (struct value){ NULL, 0 };
	if (bytes < v.bytes)
		v.bytes = (uint32_t)bytes;
	return v;
}

/* What does not fit is no matter: the section stands in raw. */
static void fill(const struct section_line *line, const struct xform_env *env, struct value v,
		 struct flow *f)
{
	uint64_t notes_before = f->notes;

	if (xform_run(&line->xform, env, v.octets, v.bytes, f) != XFORM_TAKEN)
		f->notes = notes_before;
}

/* Is the address that the record says another one than the packet's, or none that such a packet has? */
static bool is_other(const struct flow *f, unsigned field, const struct sflow_values *v,
		     enum sflow_element v4)
{
	const struct slot *slot = &f->slots[field];
	unsigned version = slot->bytes == 4 ? 4 : 6;
	unsigned element = v4 + (version == 6 ? SFLOW_SRC_V6 - SFLOW_SRC_V4 : 0);

	if (!flow_has(f, field))
		return false;
	if (sflow_has(v, SFLOW_IP_VERSION) && v->values[SFLOW_IP_VERSION].octets[0] != version)
		return true;
	return sflow_has(v, element) &&
	       (v->values[element].bytes != slot->bytes ||
		memcmp(v->values[element].octets, slot->octets, slot->bytes) != 0);
}

/* A packet of other addresses than the record's says nothing of it. */
static bool is_of_another(const struct flow *f, const struct sflow_values *v)
{
	return is_other(f, F_src_ip, v, SFLOW_SRC_V4) || is_other(f, F_dst_ip, v, SFLOW_DST_V4);
}

void section_run(const struct plan *p, const struct xform_env *env, struct flow *f)
{
	struct value section = section_of(p, f);
	struct sflow_values v;
	uint64_t before[FIELD_WORDS];

	if (section.bytes == 0)
		return;
	memset(v.has, 0, sizeof(v.has));
	sflow_header_of((enum header_protocol)p->section_first, section.octets, section.bytes, &v);
	if (is_of_another(f, &v))
		return;
	memcpy(before, f->has, sizeof(before));
	for (uint16_t i = 0; i < p->line_count; i++) {
		const struct section_line *line = &p->lines[i];
		unsigned field = line->xform.field;
		uint64_t has = line->is_many ? before[field / 64] : f->has[field / 64];

		if ((has >> (field % 64) & 1) == 0 && sflow_has(&v, line->element))
			fill(line, env, v.values[line->element], f);
	}
}
