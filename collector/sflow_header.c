/* SPDX-License-Identifier: Apache-2.0 */
/* The sampled header as values of elements. */
#include "collector/header.h"
#include "collector/sflow.h"

#define SEGMENT_VXLAN (UINT64_C(1) << 56) /* the high octet of layer2SegmentId (RFC 7133, 4) */
#define LABEL_TTL_BITS 8

/* Numbers of struct header_level: bit, member, element. */
#define OUTER_NUMBERS(ROW)                                                                         \
	ROW(ETHERTYPE, ethertype, ETHERTYPE)                                                       \
	ROW(IP_VERSION, ip_version, IP_VERSION)                                                    \
	ROW(PROTOCOL, protocol, PROTOCOL)                                                          \
	ROW(TOS, tos, TOS)                                                                         \
	ROW(TTL, ttl, TTL)                                                                         \
	ROW(IP_BYTES, ip_bytes, IP_LENGTH)                                                         \
	ROW(IP_ID, ip_id, IP_ID)                                                                   \
	ROW(FRAGMENT, fragment_flags, FRAGMENT_FLAGS)                                              \
	ROW(FRAGMENT, fragment_offset, FRAGMENT_OFFSET)                                            \
	ROW(FLOW_LABEL, flow_label, FLOW_LABEL)                                                    \
	ROW(SRC_PORT, src_port, SRC_PORT)                                                          \
	ROW(DST_PORT, dst_port, DST_PORT)                                                          \
	ROW(TCP_FLAGS, tcp_flags, TCP_FLAGS)                                                       \
	ROW(TCP_SEQUENCE, tcp_sequence, TCP_SEQUENCE)

#define INNER_NUMBERS(ROW)                                                                         \
	ROW(PROTOCOL, protocol, INNER_PROTOCOL)                                                    \
	ROW(SRC_PORT, src_port, INNER_SRC_PORT)                                                    \
	ROW(DST_PORT, dst_port, INNER_DST_PORT)

#define ICMP_V4_NUMBERS(ROW)                                                                       \
	ROW(ICMP_TYPE, icmp_type, ICMP_TYPE_V4)                                                    \
	ROW(ICMP_CODE, icmp_code, ICMP_CODE_V4)

#define ICMP_V6_NUMBERS(ROW)                                                                       \
	ROW(ICMP_TYPE, icmp_type, ICMP_TYPE_V6)                                                    \
	ROW(ICMP_CODE, icmp_code, ICMP_CODE_V6)

static inline void put_new(struct sflow_values *out, unsigned element, uint64_t number)
{
	if (!sflow_has(out, element))
		sflow_put_number(out, element, number);
}

static void put_octets(struct sflow_values *out, bool is_there, unsigned element,
		       const uint8_t *octets)
{
	if (is_there && !sflow_has(out, element))
		sflow_put(out, element, octets, sflow_rows[element].bytes);
}

#define PUT(bit, member, id)                                                                       \
	if ((level->has & HEADER_HAS_##bit) != 0)                                                  \
		put_new(out, SFLOW_##id, level->member);

static void put_outer(const struct header_level *level, struct sflow_values *out)
{
	OUTER_NUMBERS(PUT)
}

static void put_inner(const struct header_level *level, struct sflow_values *out)
{
	INNER_NUMBERS(PUT)
}

static void put_icmp(const struct header_level *level, struct sflow_values *out)
{
	if ((level->has & (HEADER_HAS_ICMP_TYPE | HEADER_HAS_ICMP_CODE)) == 0)
		return;
	if (level->ip_version == 6) {
		ICMP_V6_NUMBERS(PUT)
	} else {
		ICMP_V4_NUMBERS(PUT)
	}
}

static void put_addresses(const struct header_level *level, unsigned src_v4, unsigned dst_v4,
			  unsigned src_v6, unsigned dst_v6, struct sflow_values *out)
{
	bool is_v6 = level->ip_version == 6;

	put_octets(out, (level->has & HEADER_HAS_SRC_IP) != 0, is_v6 ? src_v6 : src_v4,
		   level->src_ip);
	put_octets(out, (level->has & HEADER_HAS_DST_IP) != 0, is_v6 ? dst_v6 : dst_v4,
		   level->dst_ip);
}

static void put_tags(const struct header_level *level, struct sflow_values *out)
{
	if (level->vlan_count > 0) {
		put_new(out, SFLOW_DOT1Q_VLAN, header_vlan_id(level->vlan[0]));
		put_new(out, SFLOW_DOT1Q_PRIORITY, header_vlan_priority(level->vlan[0]));
	}
	if (level->vlan_count > 1) {
		put_new(out, SFLOW_DOT1Q_CUSTOMER_VLAN, header_vlan_id(level->vlan[1]));
		put_new(out, SFLOW_DOT1Q_CUSTOMER_PRIORITY, header_vlan_priority(level->vlan[1]));
	}
	if (sflow_has(out, SFLOW_MPLS_1))
		return;
	for (unsigned i = 0; i < level->mpls_count && i < HEADER_LABELS_MAX; i++)
		sflow_put_number(out, SFLOW_MPLS_1 + i, level->mpls[i] >> LABEL_TTL_BITS);
}

static void put_tunnel(const struct header *h, struct sflow_values *out)
{
	if (h->tunnel == HEADER_TUNNEL_NONE)
		return;
	put_new(out, SFLOW_TUNNEL_TYPE, h->tunnel);
	put_inner(&h->inner, out);
	put_addresses(&h->inner, SFLOW_INNER_SRC_V4, SFLOW_INNER_DST_V4, SFLOW_INNER_SRC_V6,
		      SFLOW_INNER_DST_V6, out);
	if (!h->has_tunnel_id)
		return;
	if (h->tunnel == HEADER_TUNNEL_VXLAN)
		put_new(out, SFLOW_SEGMENT, SEGMENT_VXLAN | h->tunnel_id);
	else if (h->tunnel == HEADER_TUNNEL_GENEVE)
		put_new(out, SFLOW_GENEVE_ID, h->tunnel_id);
	else if (h->tunnel == HEADER_TUNNEL_GRE)
		put_new(out, SFLOW_GRE_KEY, h->tunnel_id);
}

static void put_header(const struct header *h, struct sflow_values *out)
{
	const struct header_level *outer = &h->outer;

	put_octets(out, (outer->has & HEADER_HAS_SRC_MAC) != 0, SFLOW_SRC_MAC, outer->src_mac);
	put_octets(out, (outer->has & HEADER_HAS_DST_MAC) != 0, SFLOW_DST_MAC, outer->dst_mac);
	put_tags(outer, out);
	put_outer(outer, out);
	put_icmp(outer, out);
	put_addresses(outer, SFLOW_SRC_V4, SFLOW_DST_V4, SFLOW_SRC_V6, SFLOW_DST_V6, out);
	put_tunnel(h, out);
}

void sflow_header_of(enum header_protocol first, const uint8_t *octets, uint32_t bytes,
		     struct sflow_values *out)
{
	struct header h;

	if (header_parse(octets, bytes, first, &h))
		put_header(&h, out);
}

void sflow_payload_of(uint8_t ip_version, uint8_t protocol, const uint8_t *octets, uint32_t bytes,
		      struct sflow_values *out)
{
	struct header h;

	if (header_parse_payload(octets, bytes, ip_version, protocol, &h))
		put_header(&h, out);
}

void sflow_header(uint32_t protocol, const uint8_t *octets, uint32_t bytes,
		  struct sflow_values *out)
{
	/* Numbers above are the parser's own, and not of the wire. */
	if (protocol <= UINT8_MAX)
		sflow_header_of((enum header_protocol)protocol, octets, bytes, out);
}
