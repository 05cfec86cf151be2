/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of header.c that lead to IP. */
#include "collector/header_scan.h"

#define MAC_BYTES 6
#define HDLC_UNICAST 0x0F00u
#define HDLC_ALL 0x8F00u

static const struct head ether_head = { 2 * MAC_BYTES,
					HAS(DST_MAC) | HAS(SRC_MAC),
					{ { 6, HAS(DST_MAC) }, { 12, HAS(SRC_MAC) } } };

enum next header_read_ethernet(struct scan *s)
{
	uint8_t room[HEADER_PART_BYTES];
	const uint8_t *at = s->r.at;

	(void)take_head(s, &ether_head, room);
	s->level->dst_mac = has(s->level, HEADER_HAS_DST_MAC) ? at : NULL;
	s->level->src_mac = has(s->level, HEADER_HAS_SRC_MAC) ? at + MAC_BYTES : NULL;
	s->type = rd_u16(&s->r);
	return s->r.is_short ? NEXT_NONE : NEXT_ETHERTYPE;
}

/* A length in place of the type is IEEE 802.3: what follows is LLC, and a type when SNAP. */
static bool enter_snap(struct scan *s)
{
	const uint8_t *llc = rd_take(&s->r, 6);

	if (llc == NULL || be32(llc) != 0xAAAA0300u || be16(llc + 4) != 0)
		return false;
	s->type = rd_u16(&s->r);
	return !s->r.is_short;
}

static bool enter_vlans(struct scan *s)
{
	struct header_level *l = s->level;

	while (header_is_vlan(s->type)) {
		uint16_t tag = rd_u16(&s->r);

		if (s->r.is_short)
			return false;
		if (l->vlan_count < HEADER_VLANS_KEPT)
			l->vlan[l->vlan_count] = tag;
		if (l->vlan_count < UINT8_MAX)
			l->vlan_count++;
		s->type = rd_u16(&s->r);
		if (s->r.is_short)
			return false;
	}
	return true;
}

static enum next read_pppoe(struct scan *s)
{
	const uint8_t *head = rd_take(&s->r, 4);

	if (head == NULL || head[0] != 0x11 || head[1] != 0)
		return NEXT_NONE;
	s->level->pppoe_session = be16(head + 2);
	s->level->has |= HEADER_HAS_PPPOE;
	rd_skip(&s->r, 2);
	return s->r.is_short ? NEXT_NONE : NEXT_PPP_PROTOCOL;
}

enum next header_read_ethertype(struct scan *s)
{
	if (!enter_vlans(s))
		return NEXT_NONE;
	if (s->type < 1536 && !enter_snap(s))
		return NEXT_NONE;
	s->level->ethertype = s->type;
	s->level->has |= HEADER_HAS_ETHERTYPE;
	switch (s->type) {
	case 0x0800:
		return NEXT_IPV4;
	case 0x86DD:
		return NEXT_IPV6;
	case 0x8847:
	case 0x8848:
		return NEXT_MPLS;
	case 0x8864:
		return read_pppoe(s);
	case 0x6558: /* transparent Ethernet bridging, in GRE and GENEVE */
		return has(s->level, HEADER_HAS_DST_MAC) ? NEXT_NONE : NEXT_ETHERNET;
	default:
		return NEXT_NONE;
	}
}

enum next header_read_mpls(struct scan *s)
{
	struct header_level *l = s->level;
	uint32_t entry;

	do {
		entry = rd_u32(&s->r);
		if (s->r.is_short)
			return NEXT_NONE;
		if (l->mpls_count < HEADER_LABELS_MAX)
			l->mpls[l->mpls_count++] = entry;
	} while ((entry & 0x100u) == 0);
	l->has |= HEADER_HAS_MPLS_BOTTOM;
	return NEXT_IP;
}

/*
 * RFC 1662: address and control may be there, or left out.  Cisco's HDLC, which shares such links, has an address of
 * its own, for one or for all, then a zero and an ethertype.
 */
enum next header_read_ppp(struct scan *s)
{
	if (rd_left(&s->r) >= 2 && be16(s->r.at) == 0xFF03u)
		rd_skip(&s->r, 2);
	if (rd_left(&s->r) < 4 || (be16(s->r.at) != HDLC_UNICAST && be16(s->r.at) != HDLC_ALL))
		return NEXT_PPP_PROTOCOL;
	rd_skip(&s->r, 2);
	s->type = rd_u16(&s->r);
	return NEXT_ETHERTYPE;
}

/* RFC 1661, 2: an odd first octet is a protocol field compressed to that octet. */
enum next header_read_ppp_protocol(struct scan *s)
{
	uint16_t protocol = rd_u8(&s->r);

	if ((protocol & 1u) == 0)
		protocol = (uint16_t)(protocol << 8 | rd_u8(&s->r));
	if (s->r.is_short)
		return NEXT_NONE;
	switch (protocol) {
	case 0x0021:
		return NEXT_IPV4;
	case 0x0057:
		return NEXT_IPV6;
	case 0x0281:
	case 0x0283:
		return NEXT_MPLS;
	default:
		return NEXT_NONE;
	}
}

/* RFC 2684, 5.1: AAL5 of several protocols has LLC and SNAP before the packet. */
enum next header_read_llc(struct scan *s)
{
	return enter_snap(s) ? NEXT_ETHERTYPE : NEXT_NONE;
}
