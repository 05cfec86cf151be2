/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/packet.h"

#include <netinet/in.h>

#include "base/rd.h"
#include "collector/header.h"

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_IPV6 0x86DDu
#define VLAN_TAGS_MAX 4
#define EXTENSIONS_MAX 8
#define IPV4_HEAD_BYTES 20u
#define UDP_HEAD_BYTES 8u

enum link_kind { LINK_ETHER, LINK_COOKED, LINK_COOKED_2, LINK_RAW, LINK_FAMILY };

static const struct link {
	uint32_t type;
	enum link_kind kind;
} links[] = {
	{ 0, LINK_FAMILY },	/* NULL: BSD loopback, order of the capturing machine */
	{ 1, LINK_ETHER },	/* ETHERNET */
	{ 12, LINK_RAW },	/* DLT_RAW as some systems write it */
	{ 14, LINK_RAW },	/* the same, OpenBSD */
	{ 101, LINK_RAW },	/* RAW */
	{ 108, LINK_FAMILY },	/* LOOP: OpenBSD loopback, network order */
	{ 113, LINK_COOKED },	/* LINUX_SLL */
	{ 228, LINK_RAW },	/* IPV4 */
	{ 229, LINK_RAW },	/* IPV6 */
	{ 276, LINK_COOKED_2 }, /* LINUX_SLL2 */
};

/* AF_INET and the AF_INET6 of Linux, OpenBSD and NetBSD, FreeBSD, macOS. */
static const uint32_t families[] = { 2, 10, 24, 28, 30 };

static const struct link *find_link(uint32_t link_type)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (links[i].type == link_type)
			return &links[i];
	}
	return NULL;
}

bool packet_knows_link(uint32_t link_type)
{
	return find_link(link_type) != NULL;
}

/* From an ethertype to the IP header behind it, over VLAN tags. */
static bool enter_ethertype(struct rd *r, uint16_t type)
{
	for (int tags = 0; header_is_vlan(type); tags++) {
		if (tags == VLAN_TAGS_MAX)
			return false;
		rd_skip(r, 2);
		type = rd_u16(r);
	}
	return !r->is_short && (type == ETHERTYPE_IPV4 || type == ETHERTYPE_IPV6);
}

static bool enter_family(struct rd *r)
{
	uint32_t family = rd_u32(r);

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (family == families[i] || family == __builtin_bswap32(families[i]))
			return true;
	}
	return false;
}

/* To the first octet of the IP header. */
static bool enter_link(struct rd *r, enum link_kind kind)
{
	uint16_t type;

	switch (kind) {
	case LINK_ETHER:
		rd_skip(r, 12);
		type = rd_u16(r);
		return enter_ethertype(r, type);
	case LINK_COOKED:
		rd_skip(r, 14);
		type = rd_u16(r);
		return enter_ethertype(r, type);
	case LINK_COOKED_2:
		type = rd_u16(r);
		rd_skip(r, 18);
		return enter_ethertype(r, type);
	case LINK_RAW:
		return true;
	case LINK_FAMILY:
		return enter_family(r);
	}
	return false;
}

/* What follows the header: `bytes` by the header's word, less in a capture that was cut. */
static void set_payload(struct packet *p, struct rd *r, size_t bytes)
{
	p->payload = r->at;
	p->payload_bytes = bytes;
	p->held_bytes = rd_left(r) < bytes ? rd_left(r) : bytes;
}

static bool read_ipv4(struct rd *r, struct packet *p)
{
	uint8_t head = rd_u8(r);
	size_t head_bytes = (head & 15u) * 4u;
	uint16_t total_bytes;
	uint16_t offset;
	const uint8_t *source;
	const uint8_t *destination;

	rd_skip(r, 1);
	total_bytes = rd_u16(r);
	p->fragment_id = rd_u16(r);
	offset = rd_u16(r);
	rd_skip(r, 1);
	p->protocol = rd_u8(r);
	rd_skip(r, 2);
	source = rd_take(r, 4);
	destination = rd_take(r, 4);
	if (head_bytes < IPV4_HEAD_BYTES || total_bytes < head_bytes)
		return false;
	rd_skip(r, head_bytes - IPV4_HEAD_BYTES);
	if (r->is_short || p->protocol != IPPROTO_UDP)
		return false;
	p->source = addr_of_octets(source, 4);
	p->destination = addr_of_octets(destination, 4);
	p->has_more = (offset & 0x2000u) != 0;
	p->fragment_offset = (offset & 0x1FFFu) * 8u;
	p->is_fragment = p->has_more || p->fragment_offset != 0;
	set_payload(p, r, total_bytes - head_bytes);
	return true;
}

static void advance(struct packet *p, size_t bytes)
{
	p->payload += bytes;
	p->payload_bytes -= bytes;
	p->held_bytes -= bytes;
}

bool packet_find_udp(struct packet *p)
{
	for (int i = 0; i < EXTENSIONS_MAX && p->protocol != IPPROTO_UDP; i++) {
		const uint8_t *head = p->payload;
		uint8_t protocol = p->protocol;
		size_t bytes;

		if (p->held_bytes < HEADER_EXTENSION_HEAD_BYTES)
			return false;
		bytes = header_extension_bytes(protocol, head[1]);
		if (bytes == 0 || bytes > p->held_bytes)
			return false;
		p->protocol = head[0];
		advance(p, bytes);
		if (protocol != IPPROTO_FRAGMENT)
			continue;
		p->fragment_offset = be16(head + 2) & 0xFFF8u;
		p->has_more = (head[3] & 1) != 0;
		p->fragment_id = be32(head + 4);
		p->is_fragment = p->has_more || p->fragment_offset != 0;
		/* Only the first fragment's headers count, and only when all are together. */
		if (p->is_fragment)
			return p->protocol == IPPROTO_UDP ||
			       header_extension_bytes(p->protocol, 0) != 0;
	}
	return p->protocol == IPPROTO_UDP;
}

static bool read_ipv6(struct rd *r, struct packet *p)
{
	const uint8_t *source;
	const uint8_t *destination;
	uint16_t bytes;

	rd_skip(r, 4);
	bytes = rd_u16(r);
	p->protocol = rd_u8(r);
	rd_skip(r, 1);
	source = rd_take(r, 16);
	destination = rd_take(r, 16);
	if (r->is_short)
		return false;
	p->source = addr_of_octets(source, 16);
	p->destination = addr_of_octets(destination, 16);
	set_payload(p, r, bytes);
	return packet_find_udp(p);
}

bool packet_of_frame(const struct capture_frame *frame, struct packet *out)
{
	const struct link *link = find_link(frame->link_type);
	struct rd r = rd_of(frame->octets, frame->bytes);
	struct packet p = { 0 };
	bool is_found = false;

	if (link == NULL || !enter_link(&r, link->kind) || rd_left(&r) == 0)
		return false;
	if (r.at[0] >> 4 == 4)
		is_found = read_ipv4(&r, &p);
	else if (r.at[0] >> 4 == 6)
		is_found = read_ipv6(&r, &p);
	if (is_found)
		*out = p;
	return is_found;
}

enum datagram_fault packet_datagram(const struct packet *p, struct datagram *out)
{
	struct rd r = rd_of(p->payload, p->held_bytes);
	struct datagram d;
	uint16_t bytes;

	if (p->payload_bytes < UDP_HEAD_BYTES)
		return DATAGRAM_WRONG;
	d.source_port = rd_u16(&r);
	d.destination_port = rd_u16(&r);
	bytes = rd_u16(&r);
	rd_skip(&r, 2);
	if (r.is_short)
		return DATAGRAM_CUT;
	if (bytes < UDP_HEAD_BYTES || bytes > p->payload_bytes)
		return DATAGRAM_WRONG;
	d.bytes = bytes - UDP_HEAD_BYTES;
	d.octets = rd_take(&r, d.bytes);
	if (d.octets == NULL)
		return DATAGRAM_CUT;
	*out = d;
	return DATAGRAM_WHOLE;
}
