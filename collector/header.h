/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.h - the front of a packet that an exporter sampled, taken apart.
 *
 * sFlow's raw packet headers and the packet sections of PSAMP (RFC 5477, 8.5) hold the first octets
 * of a packet, cut anywhere.  header_parse() gives every field that is whole in them, with a bit in
 * `has` for each: a field without its bit is zero and says nothing.
 *
 *	octets	[ Ethernet | VLAN ... | MPLS ... | IP | extensions | UDP | VXLAN | Ethernet | IP | TCP ]
 *	header	  outer.src_mac, .vlan, .mpls, .src_ip ...  .src_port  .tunnel_id  inner.src_mac ...
 *
 * One tunnel is entered; what a tunnel in a tunnel holds is not looked at.  Stateless, allocates
 * nothing, reads each octet about once.
 *
 * Owner: the caller.  Lifetime: MAC and IP addresses point into the octets that were parsed.
 */
#ifndef COLLECTOR_HEADER_H
#define COLLECTOR_HEADER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the first octet belongs to.  Below 256 it is sFlow's number (sFlow version 5, 5.3, enum
 * header_protocol); of those that are not named here nothing is known. */
enum header_protocol {
	HEADER_ETHERNET = 1, /* also PSAMP's dataLinkFrameSection (315) */
	HEADER_PPP = 7,	     /* or Cisco's HDLC */
	HEADER_AAL5 = 9,     /* LLC and SNAP before the packet */
	HEADER_AAL5_IP = 10,
	HEADER_IPV4 = 11,
	HEADER_IPV6 = 12,
	HEADER_MPLS = 13,   /* also mplsLabelStackSection (316) */
	HEADER_POS = 14,    /* as PPP */
	HEADER_IP = 256,    /* the version says which: ipHeaderPacketSection (313) */
	HEADER_MPLS_PAYLOAD /* what is behind the label stack (317): IP where it looks like IP */
};

enum header_has {
	HEADER_HAS_DST_MAC = 1 << 0,
	HEADER_HAS_SRC_MAC = 1 << 1,
	HEADER_HAS_ETHERTYPE = 1 << 2, /* the last one, behind VLAN tags */
	HEADER_HAS_PPPOE = 1 << 3,
	HEADER_HAS_MPLS_BOTTOM = 1 << 4, /* the label stack was seen to its end */
	HEADER_HAS_IP_VERSION = 1 << 5,
	HEADER_HAS_TOS = 1 << 6,
	HEADER_HAS_FLOW_LABEL = 1 << 7,
	HEADER_HAS_IP_BYTES = 1 << 8,
	HEADER_HAS_IP_ID = 1 << 9,
	HEADER_HAS_FRAGMENT = 1 << 10, /* flags and offset: IPv4, or an IPv6 fragment header */
	HEADER_HAS_TTL = 1 << 11,
	HEADER_HAS_PROTOCOL = 1 << 12,
	HEADER_HAS_SRC_IP = 1 << 13,
	HEADER_HAS_DST_IP = 1 << 14,
	HEADER_HAS_SRC_PORT = 1 << 15,
	HEADER_HAS_DST_PORT = 1 << 16,
	HEADER_HAS_TCP_SEQUENCE = 1 << 17,
	HEADER_HAS_TCP_FLAGS = 1 << 18,
	HEADER_HAS_UDP_BYTES = 1 << 19,
	HEADER_HAS_ICMP_TYPE = 1 << 20,
	HEADER_HAS_ICMP_CODE = 1 << 21,
};

#define HEADER_VLANS_KEPT 2
#define HEADER_LABELS_MAX 10 /* as many as IPFIX has elements for */

/* Fields of one level: outside the tunnel, or inside. */
struct header_level {
	uint32_t has;		/* enum header_has */
	const uint8_t *dst_mac; /* 6 octets */
	const uint8_t *src_mac;
	const uint8_t *src_ip; /* 4 or 16 octets, by ip_version */
	const uint8_t *dst_ip;

	uint16_t ethertype;
	uint8_t vlan_count;		  /* whole tags seen, kept or not */
	uint8_t mpls_count;		  /* whole entries in `mpls` */
	uint16_t vlan[HEADER_VLANS_KEPT]; /* tag control words, outermost first */
	uint32_t mpls[HEADER_LABELS_MAX]; /* label 20 bits, class 3, bottom 1, TTL 8; top first */
	uint16_t pppoe_session;

	uint8_t ip_version;
	uint8_t tos;
	uint8_t ttl;
	uint8_t protocol;	  /* behind IPv6 extensions and AH; no bit when they were cut */
	uint8_t fragment_flags;	  /* 0x40 do not fragment, 0x20 more follow (IPFIX fragmentFlags) */
	uint16_t fragment_offset; /* in units of 8 octets, as on the wire */
	uint32_t ip_bytes;	  /* of the IP packet with its header */
	uint32_t ip_id;
	uint32_t flow_label;

	uint16_t src_port;
	uint16_t dst_port;
	uint32_t tcp_sequence;
	uint16_t tcp_flags; /* 12 bits: IPFIX tcpControlBits */
	uint16_t udp_bytes; /* with its header */
	uint8_t icmp_type;
	uint8_t icmp_code;
};

enum header_tunnel {
	HEADER_TUNNEL_NONE,
	HEADER_TUNNEL_GRE,
	HEADER_TUNNEL_VXLAN,
	HEADER_TUNNEL_GENEVE,
	HEADER_TUNNEL_IP, /* IPv4 or IPv6 in either */
};

struct header {
	struct header_level outer;
	struct header_level inner; /* empty without a tunnel, or when it was cut */
	enum header_tunnel tunnel;
	bool has_tunnel_id;
	uint32_t tunnel_id; /* VNI, or GRE's key */
};

/* False when nothing is known of `first`, or no field is whole; `out` is set in any case. */
bool header_parse(const uint8_t *octets, size_t size, enum header_protocol first,
		  struct header *out);

/* The same of what is behind an IPv4 header and its options, or behind the 40 octets of IPv6 (ipPayloadPacketSection,
 * 314); `protocol` is what that header says of it. */
bool header_parse_payload(const uint8_t *octets, size_t size, uint8_t ip_version, uint8_t protocol,
			  struct header *out);

static inline uint16_t header_vlan_id(uint16_t tag)
{
	return tag & 0x0FFFu;
}

static inline uint8_t header_vlan_priority(uint16_t tag)
{
	return (uint8_t)(tag >> 13);
}

static inline uint32_t header_label(uint32_t entry)
{
	return entry >> 12;
}

/* The ethertypes of VLAN tags: 802.1Q, 802.1ad, and what was sent before it. */
static inline bool header_is_vlan(uint16_t ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88A8 || ethertype == 0x9100 ||
	       ethertype == 0x9200;
}

#define HEADER_EXTENSION_HEAD_BYTES 8 /* the least that an IPv6 extension header has */

/* The length of an IPv6 extension header, by its own second octet; 0 when it is none. */
static inline size_t header_extension_bytes(uint8_t protocol, uint8_t length)
{
	switch (protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case 139: /* HIP */
	case 140: /* shim6 */
		return length * 8u + 8u;
	case IPPROTO_AH:
		return length * 4u + 8u;
	case IPPROTO_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

#endif
