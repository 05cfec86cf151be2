/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/header.h"

#include <netinet/in.h>

#include "collector/header_scan.h"

#define IPV4_HEAD_BYTES 20
#define IPV6_HEAD_BYTES 40
#define TCP_HEAD_BYTES 20
#define PORT_GENEVE 6081
#define PORT_VXLAN 4789
#define PORT_VXLAN_EARLY 8472 /* Linux before the number was assigned; still its default */
#define VNI_END 7 /* of VXLAN and GENEVE: 24 bits at octet 4, and one reserved octet behind them */
#define PROTOCOL_IPV4 4
#define PROTOCOL_IPV6 41
#define PROTOCOL_GRE 47

static const struct head ipv4_head = { IPV4_HEAD_BYTES,
				       HAS(IP_VERSION) | HAS(TOS) | HAS(IP_BYTES) | HAS(IP_ID) |
					       HAS(FRAGMENT) | HAS(TTL) | HAS(PROTOCOL) |
					       HAS(SRC_IP) | HAS(DST_IP),
				       { { 1, HAS(IP_VERSION) },
					 { 2, HAS(TOS) },
					 { 4, HAS(IP_BYTES) },
					 { 6, HAS(IP_ID) },
					 { 8, HAS(FRAGMENT) },
					 { 9, HAS(TTL) },
					 { 10, HAS(PROTOCOL) },
					 { 16, HAS(SRC_IP) },
					 { 20, HAS(DST_IP) } } };
/* The next header at octet 6 has no bit: it is the protocol only when no extension follows. */
static const struct head ipv6_head = { IPV6_HEAD_BYTES,
				       HAS(IP_VERSION) | HAS(TOS) | HAS(FLOW_LABEL) |
					       HAS(IP_BYTES) | HAS(TTL) | HAS(SRC_IP) | HAS(DST_IP),
				       { { 1, HAS(IP_VERSION) },
					 { 2, HAS(TOS) },
					 { 4, HAS(FLOW_LABEL) },
					 { 6, HAS(IP_BYTES) },
					 { 7, 0 },
					 { 8, HAS(TTL) },
					 { 24, HAS(SRC_IP) },
					 { 40, HAS(DST_IP) } } };
static const struct head fragment_head = { HEADER_EXTENSION_HEAD_BYTES,
					   HAS(FRAGMENT) | HAS(IP_ID),
					   { { 4, HAS(FRAGMENT) }, { 8, HAS(IP_ID) } } };
static const struct head tcp_head = { TCP_HEAD_BYTES,
				      HAS(SRC_PORT) | HAS(DST_PORT) | HAS(TCP_SEQUENCE) |
					      HAS(TCP_FLAGS),
				      { { 2, HAS(SRC_PORT) },
					{ 4, HAS(DST_PORT) },
					{ 8, HAS(TCP_SEQUENCE) },
					{ 14, HAS(TCP_FLAGS) } } };
static const struct head udp_head = {
	8,
	HAS(SRC_PORT) | HAS(DST_PORT) | HAS(UDP_BYTES),
	{ { 2, HAS(SRC_PORT) }, { 4, HAS(DST_PORT) }, { 6, HAS(UDP_BYTES) } }
};
static const struct head port_head = { 4,
				       HAS(SRC_PORT) | HAS(DST_PORT),
				       { { 2, HAS(SRC_PORT) }, { 4, HAS(DST_PORT) } } };
static const struct head icmp_head = { 2,
				       HAS(ICMP_TYPE) | HAS(ICMP_CODE),
				       { { 1, HAS(ICMP_TYPE) }, { 2, HAS(ICMP_CODE) } } };

const uint8_t *header_take_cut(struct scan *s, const struct head *head,
			       uint8_t room[HEADER_PART_BYTES])
{
	const uint8_t *at = s->r.at;
	size_t left = rd_left(&s->r);
	size_t whole = 0;

	for (const struct part *part = head->parts; part->end != 0 && part->end <= left; part++) {
		s->level->has |= part->has;
		whole = part->end;
	}
	rd_skip(&s->r, head->bytes);
	memset(room, 0, head->bytes);
	if (at != NULL)
		memcpy(room, at, whole);
	return room;
}

/* Nothing says that it is IP: behind labels a frame of a circuit may stand, whose first octet is of an address. */
static enum next read_ip(struct scan *s)
{
	uint8_t first = rd_left(&s->r) == 0 ? 0 : s->r.at[0];

	switch (first >> 4) {
	case 4:
		return (first & 15u) * 4u >= IPV4_HEAD_BYTES ? NEXT_IPV4 : NEXT_NONE;
	case 6:
		return NEXT_IPV6;
	default:
		return NEXT_NONE;
	}
}

/* What is behind the packet in its frame is padding: not to be read as its payload. */
static void bound_payload(struct scan *s, size_t bytes)
{
	if (bytes < rd_left(&s->r))
		s->r.end = s->r.at + bytes;
}

static enum next read_ipv4(struct scan *s)
{
	struct header_level *l = s->level;
	const uint8_t *at = s->r.at;
	uint8_t room[HEADER_PART_BYTES];
	const uint8_t *head;
	size_t head_bytes;

	if (rd_left(&s->r) == 0 || at[0] >> 4 != 4)
		return NEXT_NONE;
	head = take_head(s, &ipv4_head, room);
	l->ip_version = 4;
	l->tos = head[1];
	l->ip_bytes = be16(head + 2);
	l->ip_id = be16(head + 4);
	l->fragment_flags = head[6] & 0xE0u;
	l->fragment_offset = be16(head + 6) & 0x1FFFu;
	l->ttl = head[8];
	l->protocol = head[9];
	l->src_ip = has(l, HEADER_HAS_SRC_IP) ? at + 12 : NULL;
	l->dst_ip = has(l, HEADER_HAS_DST_IP) ? at + 16 : NULL;
	/* Until it is seen what is behind it. */
	if (l->protocol == IPPROTO_AH && l->fragment_offset == 0)
		l->has &= ~(uint32_t)HEADER_HAS_PROTOCOL;
	head_bytes = (head[0] & 15u) * 4u;
	if (s->r.is_short || head_bytes < IPV4_HEAD_BYTES)
		return NEXT_NONE;
	rd_skip(&s->r, head_bytes - IPV4_HEAD_BYTES);
	/* Zero is what a card's offload leaves when the packet is not cut to size yet. */
	if (l->ip_bytes != 0 && l->ip_bytes < head_bytes)
		return NEXT_NONE;
	if (l->ip_bytes != 0)
		bound_payload(s, l->ip_bytes - head_bytes);
	return s->r.is_short || l->fragment_offset != 0 ? NEXT_NONE : NEXT_TRANSPORT;
}

static void read_fragment(struct scan *s)
{
	struct header_level *l = s->level;
	uint8_t room[HEADER_PART_BYTES];
	const uint8_t *head = take_head(s, &fragment_head, room);

	l->fragment_offset = be16(head + 2) >> 3;
	l->fragment_flags = (head[3] & 1u) != 0 ? 0x20 : 0;
	l->ip_id = be32(head + 4);
}

/* From the next header of the IPv6 header over the extensions to the protocol. */
static enum next read_extensions(struct scan *s, uint8_t protocol)
{
	struct header_level *l = s->level;

	while (header_extension_bytes(protocol, 0) != 0) {
		const uint8_t *head = s->r.at;
		size_t left = rd_left(&s->r);

		/* What is in a later fragment in this place is not the header. */
		if (left == 0 || l->fragment_offset != 0)
			return NEXT_NONE;
		if (protocol == IPPROTO_FRAGMENT)
			read_fragment(s);
		else
			rd_skip(&s->r, header_extension_bytes(protocol, left < 2 ? 0 : head[1]));
		protocol = head[0];
	}
	l->protocol = protocol;
	l->has |= HEADER_HAS_PROTOCOL;
	return s->r.is_short || l->fragment_offset != 0 ? NEXT_NONE : NEXT_TRANSPORT;
}

static enum next read_ipv6(struct scan *s)
{
	struct header_level *l = s->level;
	const uint8_t *at = s->r.at;
	size_t left = rd_left(&s->r);
	uint8_t room[HEADER_PART_BYTES];
	const uint8_t *head;
	uint16_t bytes;

	if (left == 0 || at[0] >> 4 != 6)
		return NEXT_NONE;
	head = take_head(s, &ipv6_head, room);
	bytes = be16(head + 4);
	l->ip_version = 6;
	l->tos = has(l, HEADER_HAS_TOS) ? (uint8_t)(be16(head) >> 4) : 0;
	l->flow_label = has(l, HEADER_HAS_FLOW_LABEL) ? be32(head) & 0xFFFFFu : 0;
	l->ip_bytes = has(l, HEADER_HAS_IP_BYTES) ? IPV6_HEAD_BYTES + (uint32_t)bytes : 0;
	l->ttl = head[7];
	l->src_ip = has(l, HEADER_HAS_SRC_IP) ? at + 8 : NULL;
	l->dst_ip = has(l, HEADER_HAS_DST_IP) ? at + 24 : NULL;
	/* RFC 2675: the length of a jumbogram is in an option. */
	if (bytes == 0 && (left < 7 || head[6] == IPPROTO_HOPOPTS)) {
		l->has &= ~(uint32_t)HEADER_HAS_IP_BYTES;
		l->ip_bytes = 0;
	}
	if (bytes != 0)
		bound_payload(s, bytes);
	return left < 7 ? NEXT_NONE : read_extensions(s, head[6]);
}

static void set_ports(struct header_level *l, const uint8_t *head)
{
	l->src_port = be16(head);
	l->dst_port = be16(head + 2);
}

static enum next read_tcp(struct scan *s)
{
	uint8_t room[HEADER_PART_BYTES];
	const uint8_t *head = take_head(s, &tcp_head, room);

	set_ports(s->level, head);
	s->level->tcp_sequence = be32(head + 4);
	s->level->tcp_flags = be16(head + 12) & 0x0FFFu;
	return NEXT_NONE;
}

static enum next read_udp(struct scan *s)
{
	uint8_t room[HEADER_PART_BYTES];
	const uint8_t *head = take_head(s, &udp_head, room);

	set_ports(s->level, head);
	s->level->udp_bytes = be16(head + 4);
	if (s->r.is_short)
		return NEXT_NONE;
	switch (s->level->dst_port) {
	case PORT_VXLAN:
	case PORT_VXLAN_EARLY:
		return NEXT_VXLAN;
	case PORT_GENEVE:
		return NEXT_GENEVE;
	default:
		return NEXT_NONE;
	}
}

/* Protocols that begin with two ports, and of which no more is told. */
static enum next read_ports(struct scan *s)
{
	uint8_t room[HEADER_PART_BYTES];

	set_ports(s->level, take_head(s, &port_head, room));
	return NEXT_NONE;
}

static enum next read_icmp(struct scan *s)
{
	uint8_t room[HEADER_PART_BYTES];
	const uint8_t *head = take_head(s, &icmp_head, room);

	s->level->icmp_type = head[0];
	s->level->icmp_code = head[1];
	return NEXT_NONE;
}

/* The one tunnel that is entered; what follows is of the inner level. */
static enum next enter_tunnel(struct scan *s, enum header_tunnel tunnel, enum next next)
{
	if (s->level == &s->out->inner)
		return NEXT_NONE;
	s->out->tunnel = tunnel;
	s->level = &s->out->inner;
	return next;
}

static void set_tunnel_id(struct scan *s, uint32_t id)
{
	s->out->tunnel_id = id;
	s->out->has_tunnel_id = true;
}

/* RFC 4302.  What it says of the protocol behind it goes before what the IP header said, as with IPv6's extensions. */
static enum next read_authentication(struct scan *s)
{
	struct header_level *l = s->level;
	const uint8_t *head = s->r.at;
	size_t left = rd_left(&s->r);

	if (left == 0)
		return NEXT_NONE;
	rd_skip(&s->r, header_extension_bytes(IPPROTO_AH, left < 2 ? 0 : head[1]));
	l->protocol = head[0];
	if (l->protocol != IPPROTO_AH)
		l->has |= HEADER_HAS_PROTOCOL;
	return s->r.is_short ? NEXT_NONE : NEXT_TRANSPORT;
}

static enum next read_transport(struct scan *s)
{
	switch (s->level->protocol) {
	case IPPROTO_AH:
		return read_authentication(s);
	case IPPROTO_TCP:
		return read_tcp(s);
	case IPPROTO_UDP:
		return read_udp(s);
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_UDPLITE:
		return read_ports(s);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return read_icmp(s);
	case PROTOCOL_IPV4:
		return enter_tunnel(s, HEADER_TUNNEL_IP, NEXT_IPV4);
	case PROTOCOL_IPV6:
		return enter_tunnel(s, HEADER_TUNNEL_IP, NEXT_IPV6);
	case PROTOCOL_GRE:
		return NEXT_GRE;
	default:
		return NEXT_NONE;
	}
}

/* RFC 2784 and 2890; version 1 (RFC 2637, PPTP) has PPP behind a key of length and call id. */
static enum next read_gre(struct scan *s)
{
	uint16_t flags = rd_u16(&s->r);
	enum next next = (flags & 7u) == 1 ? NEXT_PPP : NEXT_ETHERTYPE;

	s->type = rd_u16(&s->r);
	/* Routing (RFC 1701) has a length of its own kind, and is not sent any more. */
	if (s->r.is_short || (flags & 7u) > 1 || (flags & 0x4000u) != 0)
		return NEXT_NONE;
	next = enter_tunnel(s, HEADER_TUNNEL_GRE, next);
	if (next == NEXT_NONE)
		return NEXT_NONE;
	if ((flags & 0x8000u) != 0)
		rd_skip(&s->r, 4);
	if ((flags & 0x2000u) != 0) {
		uint32_t key = rd_u32(&s->r);

		if (!s->r.is_short)
			set_tunnel_id(s, key);
	}
	if ((flags & 0x1000u) != 0)
		rd_skip(&s->r, 4);
	if ((flags & 7u) == 1 && (flags & 0x0080u) != 0)
		rd_skip(&s->r, 4);
	return s->r.is_short ? NEXT_NONE : next;
}

/* RFC 7348: the VNI holds only with its flag. */
static enum next read_vxlan(struct scan *s)
{
	const uint8_t *head = rd_take(&s->r, VNI_END);

	if (head == NULL || (head[0] & 0x08u) == 0)
		return NEXT_NONE;
	if (enter_tunnel(s, HEADER_TUNNEL_VXLAN, NEXT_ETHERNET) == NEXT_NONE)
		return NEXT_NONE;
	set_tunnel_id(s, be32(head + 3) & 0xFFFFFFu);
	rd_skip(&s->r, 1);
	return s->r.is_short ? NEXT_NONE : NEXT_ETHERNET;
}

/* RFC 8926, 3.4. */
static enum next read_geneve(struct scan *s)
{
	const uint8_t *head = rd_take(&s->r, VNI_END);

	if (head == NULL || head[0] >> 6 != 0)
		return NEXT_NONE;
	if (enter_tunnel(s, HEADER_TUNNEL_GENEVE, NEXT_ETHERTYPE) == NEXT_NONE)
		return NEXT_NONE;
	s->type = be16(head + 2);
	set_tunnel_id(s, be32(head + 3) & 0xFFFFFFu);
	rd_skip(&s->r, 1 + (head[0] & 0x3Fu) * 4u);
	return s->r.is_short ? NEXT_NONE : NEXT_ETHERTYPE;
}

static enum next (*const steps[])(struct scan *) = {
	[NEXT_ETHERNET] = header_read_ethernet,
	[NEXT_ETHERTYPE] = header_read_ethertype,
	[NEXT_MPLS] = header_read_mpls,
	[NEXT_PPP] = header_read_ppp,
	[NEXT_PPP_PROTOCOL] = header_read_ppp_protocol,
	[NEXT_LLC] = header_read_llc,
	[NEXT_IP] = read_ip,
	[NEXT_IPV4] = read_ipv4,
	[NEXT_IPV6] = read_ipv6,
	[NEXT_TRANSPORT] = read_transport,
	[NEXT_GRE] = read_gre,
	[NEXT_VXLAN] = read_vxlan,
	[NEXT_GENEVE] = read_geneve,
};

static enum next first_step(enum header_protocol first)
{
	switch (first) {
	case HEADER_ETHERNET:
		return NEXT_ETHERNET;
	case HEADER_PPP:
	case HEADER_POS:
		return NEXT_PPP;
	case HEADER_AAL5:
		return NEXT_LLC;
	case HEADER_IPV4:
		return NEXT_IPV4;
	case HEADER_IPV6:
		return NEXT_IPV6;
	case HEADER_MPLS:
		return NEXT_MPLS;
	case HEADER_AAL5_IP:
	case HEADER_IP:
	case HEADER_MPLS_PAYLOAD:
		return NEXT_IP;
	}
	return NEXT_NONE;
}

static void scan_on(struct scan *s, enum next next)
{
	while (next != NEXT_NONE)
		next = steps[next](s);
}

bool header_parse(const uint8_t *octets, size_t size, enum header_protocol first,
		  struct header *out)
{
	struct scan s = { rd_of(octets, size), 0, &out->outer, out };

	memset(out, 0, sizeof(*out));
	scan_on(&s, first_step(first));
	return out->outer.has != 0 || out->outer.vlan_count != 0 || out->outer.mpls_count != 0;
}

bool header_parse_payload(const uint8_t *octets, size_t size, uint8_t ip_version, uint8_t protocol,
			  struct header *out)
{
	struct scan s = { rd_of(octets, size), 0, &out->outer, out };

	memset(out, 0, sizeof(*out));
	out->outer.ip_version = ip_version;
	out->outer.protocol = protocol;
	if (size == 0)
		return false;
	if (ip_version == 6) {
		scan_on(&s, read_extensions(&s, protocol));
	} else {
		if (protocol != IPPROTO_AH)
			out->outer.has = HEADER_HAS_PROTOCOL;
		scan_on(&s, NEXT_TRANSPORT);
	}
	return out->outer.has != 0;
}
