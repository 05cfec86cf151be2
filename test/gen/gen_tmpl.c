/* SPDX-License-Identifier: Apache-2.0 */
#include "test/gen/gen_tmpl.h"

#define PEN_REVERSE 29305
#define PEN_NTOP 35632
#define PEN_EXAMPLE 32473 /* RFC 5612: for documentation, so unknown to all */
#define V9_NTOP_BASE 57472
#define V9_UNKNOWN 45678
#define IN_V4 1
#define IN_V6 2
#define IN_BOTH (IN_V4 | IN_V6)

enum row_kind { NUM, BITS, BLOB, TEXT };

struct row {
	uint32_t pen;
	uint16_t id;
	uint8_t families;
	uint8_t kind;
	uint8_t slot; /* BITS: the word */
	uint8_t at;
	uint8_t bits;
	uint16_t ipfix_length; /* 0: not in this format */
	uint16_t v9_length;
};

/* clang-format off */
#define N(id, slot, ipfix, v9)		{ 0, id, IN_BOTH, NUM, slot, 0, 0, ipfix, v9 }
#define N_OF(fam, id, slot, ipfix, v9)	{ 0, id, fam, NUM, slot, 0, 0, ipfix, v9 }
#define N_PEN(pen, id, slot, ipfix, v9)	{ pen, id, IN_BOTH, NUM, slot, 0, 0, ipfix, v9 }
#define B(id, slot, length)		{ 0, id, IN_BOTH, BLOB, slot, 0, 0, length, length }
#define B_OF(fam, id, slot, length)	{ 0, id, fam, BLOB, slot, 0, 0, length, length }
#define T(id, slot, v9)			{ 0, id, IN_BOTH, TEXT, slot, 0, 0, GEN_VARIABLE, v9 }
#define T_PEN(pen, id, slot, v9)	{ pen, id, IN_BOTH, TEXT, slot, 0, 0, GEN_VARIABLE, v9 }
#define GEN_BITS(id, len, word, at, count)	{ 0, id, IN_BOTH, BITS, word, at, count, len, len }
#define GEN_BITS_OF(fam, id, len, word, at, count) { 0, id, fam, BITS, word, at, count, len, len }

static const struct row basic_rows[] = {
	N(148, GEN_NUMBER, 8, 8),
	B_OF(IN_V4, 8, GEN_SRC, 4),	B_OF(IN_V4, 12, GEN_DST, 4),
	B_OF(IN_V6, 27, GEN_SRC, 16),	B_OF(IN_V6, 28, GEN_DST, 16),
	N(7, GEN_SRC_PORT, 2, 2),	N(11, GEN_DST_PORT, 2, 2),
	N(4, GEN_PROTOCOL, 1, 1),	N(5, GEN_TOS, 1, 1),
	N(6, GEN_FLAGS, 2, 1),
	N(1, GEN_OCTETS, 8, 4),		N(2, GEN_PACKETS, 8, 4),
	N(10, GEN_IN_IF, 4, 4),		N(14, GEN_OUT_IF, 4, 4),
	N(152, GEN_START_MS, 8, 0),	N(153, GEN_END_MS, 8, 0),
	N(22, GEN_START_UP, 0, 4),	N(21, GEN_END_UP, 0, 4),
	N(16, GEN_SRC_AS, 4, 4),	N(17, GEN_DST_AS, 4, 4),
	N_OF(IN_V4, 9, GEN_SRC_MASK, 1, 1),	N_OF(IN_V4, 13, GEN_DST_MASK, 1, 1),
	N_OF(IN_V6, 29, GEN_SRC_MASK, 1, 1),	N_OF(IN_V6, 30, GEN_DST_MASK, 1, 1),
};

/* One template for both families, as nProbe has it: the addresses of the other one are zero. */
static const struct row nprobe_rows[] = {
	N(148, GEN_NUMBER, 8, 8),
	B(8, GEN_SRC4_OR0, 4),		B(12, GEN_DST4_OR0, 4),
	B(27, GEN_SRC6_OR0, 16),	B(28, GEN_DST6_OR0, 16),
	N(60, GEN_IP_VERSION, 1, 1),
	N(7, GEN_SRC_PORT, 2, 2),	N(11, GEN_DST_PORT, 2, 2),
	N(4, GEN_PROTOCOL, 1, 1),	N(5, GEN_TOS, 1, 1),
	N(6, GEN_FLAGS, 1, 1),
	N(1, GEN_OCTETS, 4, 4),		N(2, GEN_PACKETS, 4, 4),
	N(23, GEN_REV_OCTETS, 4, 4),	N(24, GEN_REV_PACKETS, 4, 4),
	N(10, GEN_IN_IF, 4, 4),		N(14, GEN_OUT_IF, 4, 4),
	N(152, GEN_START_MS, 8, 0),	N(153, GEN_END_MS, 8, 0),
	N(22, GEN_START_UP, 0, 4),	N(21, GEN_END_UP, 0, 4),
	B(56, GEN_SRC_MAC, 6),
	N(58, GEN_VLAN, 2, 2),
	N(16, GEN_SRC_AS, 4, 4),	N(17, GEN_DST_AS, 4, 4),
	N_PEN(PEN_NTOP, 118, GEN_L7, 2, 2),
	T_PEN(PEN_NTOP, 119, GEN_L7_NAME, 16),
	N_PEN(PEN_NTOP, 123, GEN_CLIENT_MS, 4, 4),
	N_PEN(PEN_NTOP, 124, GEN_SERVER_MS, 4, 4),
	N_PEN(PEN_NTOP, 109, GEN_RETRANS_IN, 4, 4),
	N_PEN(PEN_NTOP, 110, GEN_RETRANS_OUT, 4, 4),
	N_PEN(PEN_NTOP, 208, GEN_DNS_RCODE, 1, 1),
	T_PEN(PEN_NTOP, 205, GEN_DNS_QUERY, 40),
	T_PEN(PEN_NTOP, 188, GEN_TLS_NAME, 40),
	T_PEN(PEN_NTOP, 187, GEN_HTTP_HOST, 40),
	T_PEN(PEN_NTOP, 489, GEN_JA3, 32),
	T_PEN(PEN_NTOP, 121, GEN_NO_TEXT, 16),
};

static const struct row rich_rows[] = {
	N(148, GEN_NUMBER, 8, 8),
	B_OF(IN_V4, 8, GEN_SRC, 4),	B_OF(IN_V4, 12, GEN_DST, 4),
	B_OF(IN_V6, 27, GEN_SRC, 16),	B_OF(IN_V6, 28, GEN_DST, 16),
	N(7, GEN_SRC_PORT, 2, 2),	N(11, GEN_DST_PORT, 2, 2),
	N(4, GEN_PROTOCOL, 1, 1),	N(5, GEN_TOS, 1, 1),
	N(6, GEN_FLAGS, 2, 1),
	N(1, GEN_OCTETS, 5, 4),		N(2, GEN_PACKETS, 3, 3),
	N(85, GEN_TOTAL_OCTETS, 8, 8),
	GEN_BITS(86, 6, 8, 0, 40),			/* packetTotalCount */
	N(10, GEN_IN_IF, 4, 2),		N(14, GEN_OUT_IF, 4, 2),
	GEN_BITS(10, 4, 8, 40, 16),			/* ingressInterface, a second time */
	N_OF(IN_V4, 154, GEN_START_NTP, 8, 8),	N_OF(IN_V4, 155, GEN_END_NTP, 8, 8),
	N_OF(IN_V6, 156, GEN_START_NTP, 8, 8),	N_OF(IN_V6, 157, GEN_END_NTP, 8, 8),
	N(136, GEN_END_REASON, 1, 1),
	GEN_BITS(61, 1, 9, 48, 1),			/* flowDirection */
	B(56, GEN_SRC_MAC, 6),		B(81, GEN_POST_SRC_MAC, 6),
	B(80, GEN_DST_MAC, 6),		B(57, GEN_POST_DST_MAC, 6),
	GEN_BITS(58, 2, 9, 49, 12),			/* vlanId */
	GEN_BITS(59, 2, 10, 0, 12),			/* postVlanId */
	GEN_BITS(243, 2, 10, 12, 12),			/* dot1qVlanId */
	N(70, GEN_MPLS_1, 3, 3),	N(71, GEN_MPLS_2, 3, 3),	N(72, GEN_MPLS_3, 3, 3),
	B_OF(IN_V4, 47, GEN_MPLS_ADDR, 4),	B_OF(IN_V6, 140, GEN_MPLS_ADDR, 16),
	B_OF(IN_V4, 15, GEN_NEXT_HOP, 4),	B_OF(IN_V6, 62, GEN_NEXT_HOP, 16),
	B_OF(IN_V4, 18, GEN_BGP_HOP, 4),	B_OF(IN_V6, 63, GEN_BGP_HOP, 16),
	N(16, GEN_SRC_AS, 4, 4),	N(17, GEN_DST_AS, 4, 4),
	GEN_BITS(128, 4, 9, 0, 32),			/* bgpNextAdjacentAsNumber */
	GEN_BITS(129, 4, 9, 32, 32),			/* bgpPrevAdjacentAsNumber */
	N_OF(IN_V4, 9, GEN_SRC_MASK, 1, 1),	N_OF(IN_V4, 13, GEN_DST_MASK, 1, 1),
	N_OF(IN_V6, 29, GEN_SRC_MASK, 1, 1),	N_OF(IN_V6, 30, GEN_DST_MASK, 1, 1),
	B_OF(IN_V4, 225, GEN_NAT_SRC, 4),	B_OF(IN_V4, 226, GEN_NAT_DST, 4),
	B_OF(IN_V6, 281, GEN_NAT_SRC, 16),	B_OF(IN_V6, 282, GEN_NAT_DST, 16),
	GEN_BITS(227, 2, 11, 28, 16),			/* postNAPTSourceTransportPort */
	GEN_BITS(228, 2, 11, 44, 16),			/* postNAPTDestinationTransportPort */
	GEN_BITS(230, 1, 11, 60, 4),			/* natEvent */
	GEN_BITS(361, 2, 12, 0, 16),			/* portRangeStart */
	GEN_BITS(362, 2, 12, 16, 16),			/* portRangeEnd */
	N(233, GEN_FIREWALL, 1, 1),
	N(320, GEN_DOUBLE, 8, 8),			/* absoluteError */
	N(321, GEN_FLOAT, 4, 8),			/* relativeError, reduced to a float */
	N(276, GEN_BOOLEAN, 1, 1),			/* dataRecordsReliability */
	N(322, GEN_END_S, 4, 4),	N(323, GEN_END_MS, 8, 8),	/* observationTime... */
	N(324, GEN_SEEN_NTP, 8, 8),	N(325, GEN_SEEN_NTP, 8, 8),
	GEN_BITS(434, 2, 12, 32, 16),			/* mibObjectValueInteger, signed */
	GEN_BITS(52, 1, 12, 48, 8),	GEN_BITS(53, 1, 12, 56, 8),	/* minimumTTL, maximumTTL */
	GEN_BITS(25, 2, 13, 0, 16),	GEN_BITS(26, 2, 13, 16, 16),	/* min, maxIpTotalLength */
	GEN_BITS(54, 4, 13, 0, 16),	GEN_BITS(88, 2, 13, 16, 13),	/* fragment id, offset */
	N_OF(IN_V4, 176, GEN_ICMP_TYPE, 1, 1),	N_OF(IN_V4, 177, GEN_ICMP_CODE, 1, 1),
	N_OF(IN_V6, 178, GEN_ICMP_TYPE, 1, 1),	N_OF(IN_V6, 179, GEN_ICMP_CODE, 1, 1),
	GEN_BITS(195, 1, 7, 0, 6),			/* ipDiffServCodePoint */
	GEN_BITS_OF(IN_V6, 31, 4, 7, 6, 20),		/* flowLabelIPv6 */
	GEN_BITS(234, 4, 7, 26, 24),	GEN_BITS(235, 4, 7, 40, 24),	/* ingress, egress VRF */
	GEN_BITS(239, 1, 10, 62, 2),			/* biflowDirection */
	GEN_BITS(89, 1, 10, 54, 8),			/* forwardingStatus */
	GEN_BITS(138, 4, 8, 8, 32),			/* observationPointId */
	GEN_BITS(19, 4, 8, 16, 32),			/* postMCastPacketDeltaCount, twice */
	GEN_BITS(19, 4, 8, 24, 32),
	GEN_BITS(32000, 5, 15, 24, 40),			/* not assigned by IANA */
	GEN_BITS(132, 8, 15, 0, 40),	GEN_BITS(133, 8, 15, 20, 40),	/* dropped */
	GEN_BITS(3, 4, 15, 40, 16),			/* deltaFlowCount */
	T(94, GEN_APP_TEXT, 300),			/* applicationDescription */
	B(95, GEN_APP_ID, 4),
	T(96, GEN_APP_NAME, 16),
	T(371, GEN_USER, 12),
	T(82, GEN_IF_NAME, 16),
	T(313, GEN_SECTION, 20),			/* ipHeaderPacketSection */
	N_PEN(PEN_REVERSE, 1, GEN_REV_OCTETS, 8, 0),
	N_PEN(PEN_REVERSE, 2, GEN_REV_PACKETS, 4, 0),
	T_PEN(PEN_EXAMPLE, 77, GEN_UNKNOWN, 0),
	{ 0, V9_UNKNOWN, IN_BOTH, BLOB, GEN_UNKNOWN, 0, 0, 0, 5 },
};
/* clang-format on */

struct row_set {
	const struct row *row;
	size_t count;
	bool is_split; /* a template per family */
	uint16_t first_id;
};

#define ROWS(table) table, sizeof(table) / sizeof((table)[0])

static const struct row_set row_sets[] = {
	[GEN_BASIC] = { ROWS(basic_rows), true, 256 },
	[GEN_NPROBE] = { ROWS(nprobe_rows), false, 260 },
	[GEN_RICH] = { ROWS(rich_rows), true, 270 },
};

static uint8_t op_of(const struct row *row, uint16_t length)
{
	switch ((enum row_kind)row->kind) {
	case BITS:
		return GEN_OP_BITS;
	case BLOB:
		return GEN_OP_BLOB;
	case TEXT:
		return length == GEN_VARIABLE ? GEN_OP_VARIABLE : GEN_OP_FIXED;
	case NUM:
		break;
	}
	switch (length) {
	case 1:
		return GEN_OP_U8;
	case 2:
		return GEN_OP_U16;
	case 4:
		return GEN_OP_U32;
	case 8:
		return GEN_OP_U64;
	default:
		return GEN_OP_UINT;
	}
}

static void define(const struct row *row, enum gen_format format, uint16_t length, struct wr *w)
{
	if (format == GEN_V9) {
		wr_u16(w, (uint16_t)(row->pen == PEN_NTOP ? V9_NTOP_BASE + row->id : row->id));
		wr_u16(w, length);
		return;
	}
	wr_u16(w, (uint16_t)(row->pen != 0 ? 0x8000 | row->id : row->id));
	wr_u16(w, length);
	if (row->pen != 0)
		wr_u32(w, row->pen);
}

static enum err compile(const struct row_set *set, enum gen_format format, unsigned family,
			struct gen_tmpl *t)
{
	struct wr w = wr_of(t->definition, sizeof(t->definition));

	t->id = (uint16_t)(set->first_id + family);
	t->step_count = 0;
	t->fixed_octets = 0;
	t->variable_count = 0;
	wr_u16(&w, t->id);
	wr_u16(&w, 0);
	for (size_t i = 0; i < set->count; i++) {
		const struct row *row = &set->row[i];
		uint16_t length = format == GEN_V9 ? row->v9_length : row->ipfix_length;

		if (length == 0 || (set->is_split && (row->families & 1u << family) == 0))
			continue;
		if (t->step_count == GEN_FIELDS_MAX)
			return ERR_LIMIT;
		t->step[t->step_count++] = (struct gen_step){ op_of(row, length), row->slot,
							      row->at, row->bits, length };
		if (length != GEN_VARIABLE)
			t->fixed_octets += length;
		else if (t->variable_count == GEN_VARIABLES_MAX)
			return ERR_LIMIT;
		else
			t->variable[t->variable_count++] = row->slot;
		define(row, format, length, &w);
	}
	if (w.is_full)
		return ERR_LIMIT;
	t->definition_octets = wr_used(&w);
	w = wr_of(t->definition + 2, 2);
	wr_u16(&w, t->step_count);
	return ERR_OK;
}

enum err gen_tmpl_compile(const struct gen_plan *plan, struct gen_tmpls *out)
{
	const struct row_set *set = &row_sets[plan->set];

	out->count = 0;
	if (plan->format == GEN_V5 || plan->format == GEN_SFLOW)
		return ERR_OK;
	TRY(compile(set, plan->format, 0, &out->of_family[0]));
	out->count = 1;
	if (!set->is_split)
		return ERR_OK;
	TRY(compile(set, plan->format, 1, &out->of_family[1]));
	out->count = 2;
	return ERR_OK;
}

static inline uint8_t *put_uint(uint8_t *p, uint64_t v, size_t count)
{
	for (size_t i = count; i-- > 0; v >>= 8)
		p[i] = (uint8_t)v;
	return p + count;
}

static inline uint8_t *put16(uint8_t *p, uint64_t v)
{
	uint16_t x = __builtin_bswap16((uint16_t)v);

	memcpy(p, &x, sizeof(x));
	return p + sizeof(x);
}

static inline uint8_t *put32(uint8_t *p, uint64_t v)
{
	uint32_t x = __builtin_bswap32((uint32_t)v);

	memcpy(p, &x, sizeof(x));
	return p + sizeof(x);
}

static inline uint8_t *put64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static uint8_t *put_blob(uint8_t *p, const struct gen_blob *b)
{
	memcpy(p, b->octets, b->count);
	return p + b->count;
}

static uint8_t *put_fixed(uint8_t *p, const struct gen_blob *b, size_t length)
{
	memcpy(p, b->octets, b->count);
	memset(p + b->count, 0, length - b->count);
	return p + length;
}

static uint8_t *put_variable(uint8_t *p, const struct gen_blob *b)
{
	if (b->count < 255) {
		*p++ = (uint8_t)b->count;
	} else {
		*p++ = 255;
		p = put16(p, b->count);
	}
	return put_blob(p, b);
}

static size_t record_octets(const struct gen_tmpl *t, const struct gen_flow *f)
{
	size_t octets = t->fixed_octets;

	for (unsigned i = 0; i < t->variable_count; i++) {
		size_t count = f->blob[t->variable[i]].count;

		octets += count + (count < 255 ? 1 : 3);
	}
	return octets;
}

bool gen_tmpl_put(const struct gen_tmpl *t, const struct gen_flow *f, struct wr *w)
{
	uint8_t *p = w->at;

	if (wr_left(w) < record_octets(t, f))
		return false;
	for (unsigned i = 0; i < t->step_count; i++) {
		const struct gen_step *s = &t->step[i];

		switch ((enum gen_op)s->op) {
		case GEN_OP_U8:
			*p++ = (uint8_t)f->num[s->slot];
			break;
		case GEN_OP_U16:
			p = put16(p, f->num[s->slot]);
			break;
		case GEN_OP_U32:
			p = put32(p, f->num[s->slot]);
			break;
		case GEN_OP_U64:
			p = put64(p, f->num[s->slot]);
			break;
		case GEN_OP_UINT:
			p = put_uint(p, f->num[s->slot], s->length);
			break;
		case GEN_OP_BITS:
			p = put_uint(p, gen_bits(f->word[s->slot], s->at, s->bits), s->length);
			break;
		case GEN_OP_BLOB:
			p = put_blob(p, &f->blob[s->slot]);
			break;
		case GEN_OP_FIXED:
			p = put_fixed(p, &f->blob[s->slot], s->length);
			break;
		case GEN_OP_VARIABLE:
			p = put_variable(p, &f->blob[s->slot]);
			break;
		}
	}
	w->at = p;
	return true;
}

bool gen_v5_put(const struct gen_flow *f, struct wr *w)
{
	const uint64_t *num = f->num;
	uint8_t *p = w->at;

	if (wr_left(w) < GEN_V5_RECORD_OCTETS)
		return false;
	p = put_blob(p, &f->blob[GEN_SRC]);
	p = put_blob(p, &f->blob[GEN_DST]);
	p = put_blob(p, &f->blob[GEN_NEXT_HOP]);
	p = put16(p, num[GEN_IN_IF]);
	p = put16(p, num[GEN_OUT_IF]);
	p = put32(p, num[GEN_PACKETS]);
	p = put32(p, num[GEN_OCTETS]);
	p = put32(p, num[GEN_START_UP]);
	p = put32(p, num[GEN_END_UP]);
	p = put16(p, num[GEN_SRC_PORT]);
	p = put16(p, num[GEN_DST_PORT]);
	*p++ = 0;
	*p++ = (uint8_t)num[GEN_FLAGS];
	*p++ = (uint8_t)num[GEN_PROTOCOL];
	*p++ = (uint8_t)num[GEN_TOS];
	p = put16(p, num[GEN_SRC_AS]);
	p = put16(p, num[GEN_DST_AS]);
	*p++ = (uint8_t)num[GEN_SRC_MASK];
	*p++ = (uint8_t)num[GEN_DST_MASK];
	p = put16(p, 0);
	w->at = p;
	return true;
}
