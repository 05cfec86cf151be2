/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/section.h"

#include <stdlib.h>

#include "base/rd.h"
#include "collector/sflow.h"
#include "normalizer/plan_draft.h"

#define FIRST_ELEMENT SFLOW_SRC_MAC
#define LAST_ELEMENT SFLOW_INNER_DST_PORT
#define LINES_MAX 128
#define IPV4_PROTOCOL 9 /* place of the octet */
#define IPV6_NEXT_HEADER 6
#define NO_PROTOCOL 256

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

static const uint16_t part_elements[SECTION_PARTS] = {
	[SECTION_PAYLOAD] = 314,     /* ipPayloadPacketSection */
	[SECTION_BYTES] = 410,	     /* sectionExportedOctets */
	[SECTION_OFFSET] = 409,	     /* sectionOffset */
	[SECTION_FRAME_BYTES] = 312, /* dataLinkFrameSize */
	[SECTION_IP_BYTES] = 224,    /* ipTotalLength */
	[SECTION_NEXT_HEADER] = 193, /* nextHeaderIPv6 */
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
	for (int i = 0; d->plan->has_section && i < SECTION_PARTS; i++) {
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

const struct feed plan_feeds[] = {
	{ F_bytes, "packet report", "dataLinkFrameSize, ipTotalLength, the packet's IP header" },
	{ F_packets, "packet report", "1" },
	{ 0 },
};

/* A record with a packet, and without a count of packets or octets, of whichever direction, is of that packet alone. */
static bool is_report(const struct draft *d)
{
	static const uint16_t counts[] = {
		F_bytes,       F_packets,	F_reverse_bytes,       F_reverse_packets,
		F_bytes_total, F_packets_total, F_reverse_bytes_total, F_reverse_packets_total
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		if (d->per_field[counts[i]] > 0)
			return false;
	}
	return true;
}

static void find_parts(struct draft *d)
{
	struct plan *p = d->plan;
	int at = -1;

	for (size_t i = 0; at < 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		at = find_field(d, kinds[i].id);
		p->section_first = kinds[i].first;
	}
	d->section_at[SECTION_OCTETS] = at;
	for (unsigned i = SECTION_PAYLOAD; i < SECTION_PARTS; i++)
		d->section_at[i] = find_field(d, part_elements[i]);
}

enum err section_compile(struct draft *d)
{
	struct plan *p = d->plan;

	find_parts(d);
	if (d->section_at[SECTION_OCTETS] < 0 && d->section_at[SECTION_PAYLOAD] < 0)
		return ERR_OK;
	p->has_section = true;
	p->is_report = is_report(d);
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
static struct value section_of(const struct plan *p, enum section_part part, const struct flow *f)
{
	struct value v = { NULL, 0 };
	uint64_t bytes;

	if (p->section_at[part] >= 0)
		v = f->tracked[p->section_at[part]];
	bytes = number_of(p, SECTION_BYTES, f, v.bytes);
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

/* 4 or 6, as the IP header says or else the record; 0: nobody says it. */
static uint8_t version_of(const struct flow *f, struct value header)
{
	static const uint16_t addresses[] = { F_src_ip, F_dst_ip };

	if (header.bytes > 0)
		return header.octets[0] >> 4;
	for (unsigned i = 0; i < 2; i++) {
		if (flow_has(f, addresses[i]))
			return f->slots[addresses[i]].bytes == 4 ? 4 : 6;
	}
	return flow_has(f, F_ip_version) ? (uint8_t)f->slots[F_ip_version].i64 : 0;
}

/*
 * What the payload begins with; above 255: nobody says it.  In IPv6 that is not the record's protocol, which is
 * behind the extension headers, but the first next header.
 */
static uint64_t protocol_of(const struct plan *p, const struct flow *f, uint8_t version,
			    struct value header)
{
	uint32_t at = version == 6 ? IPV6_NEXT_HEADER : IPV4_PROTOCOL;

	if (header.bytes > 0)
		return header.bytes > at ? header.octets[at] : NO_PROTOCOL;
	if (version == 6)
		return number_of(p, SECTION_NEXT_HEADER, f, NO_PROTOCOL);
	return flow_has(f, F_protocol_number) ? (uint64_t)f->slots[F_protocol_number].i64
					      : NO_PROTOCOL;
}

/* `header`: the section that begins with the IP header, or nothing. */
static void read_payload(const struct plan *p, const struct flow *f, struct value header,
			 struct sflow_values *v)
{
	struct value payload = section_of(p, SECTION_PAYLOAD, f);
	uint8_t version = version_of(f, header);
	uint64_t protocol = protocol_of(p, f, version, header);
	bool is_later =
		(flow_has(f, F_ip_fragment_offset) && f->slots[F_ip_fragment_offset].i64 != 0) ||
		(sflow_has(v, SFLOW_FRAGMENT_OFFSET) &&
		 be16(v->values[SFLOW_FRAGMENT_OFFSET].octets) != 0);

	if (payload.bytes == 0 || is_later || (version != 4 && version != 6) ||
	    protocol > UINT8_MAX)
		return;
	sflow_payload_of(version, (uint8_t)protocol, payload.octets, payload.bytes, v);
}

static void fill_lines(const struct plan *p, const struct xform_env *env,
		       const struct sflow_values *v, struct flow *f)
{
	uint64_t before[FIELD_WORDS];

	memcpy(before, f->has, sizeof(before));
	for (uint16_t i = 0; i < p->line_count; i++) {
		const struct section_line *line = &p->lines[i];
		unsigned field = line->xform.field;
		uint64_t has = line->is_many ? before[field / 64] : f->has[field / 64];

		if ((has >> (field % 64) & 1) == 0 && sflow_has(v, line->element))
			fill(line, env, v->values[line->element], f);
	}
}

/* One packet, of as many octets as its frame had; else of those that IP says: the record, or the packet itself. */
static void count_packet(const struct plan *p, const struct sflow_values *v, struct flow *f)
{
	uint64_t bytes = number_of(p, SECTION_FRAME_BYTES, f, 0);

	if (bytes == 0)
		bytes = number_of(p, SECTION_IP_BYTES, f, 0);
	if (bytes == 0 && sflow_has(v, SFLOW_IP_LENGTH))
		bytes = be32(v->values[SFLOW_IP_LENGTH].octets);
	flow_set_i64(f, F_packets, 1);
	if (bytes > 0 && bytes <= INT64_MAX)
		flow_set_i64(f, F_bytes, (int64_t)bytes);
}

void section_run(const struct plan *p, const struct xform_env *env, struct flow *f)
{
	struct value section = section_of(p, SECTION_OCTETS, f);
	bool is_ip = p->section_first == HEADER_IP;
	struct sflow_values v;

	memset(v.has, 0, sizeof(v.has));
	if (section.bytes > 0)
		sflow_header_of((enum header_protocol)p->section_first, section.octets,
				section.bytes, &v);
	if (p->section_at[SECTION_PAYLOAD] >= 0 && (section.bytes == 0 || is_ip))
		read_payload(p, f, section, &v);
	if (is_of_another(f, &v))
		memset(v.has, 0, sizeof(v.has));
	else
		fill_lines(p, env, &v, f);
	if (p->is_report)
		count_packet(p, &v, f);
}
