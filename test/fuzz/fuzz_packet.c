/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no sampled header crashes or hangs its parser; what it finds lies in the octets, and more octets
 * never take back what fewer had shown.
 * Method: the first octet says what the frame begins with, the second where it is cut once more; from 128 on it is what is
 * behind an IP header.  Where
 * the replay's own reader finds a whole datagram in the same Ethernet frame, both must say the same of it.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "collector/header.h"
#include "collector/packet.h"

#define PAYLOAD_KINDS 128 /* from this first octet on */

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

struct block {
	const uint8_t *octets;
	size_t bytes;
};

static void check_inside(const struct block *b, const uint8_t *p, size_t bytes, bool is_there)
{
	must((p != NULL) == is_there);
	if (p == NULL)
		return;
	must(p >= b->octets);
	must(p + bytes <= b->octets + b->bytes);
}

static void check_level(const struct block *b, const struct header_level *l)
{
	size_t ip_bytes = l->ip_version == 4 ? 4 : 16;

	check_inside(b, l->dst_mac, 6, (l->has & HEADER_HAS_DST_MAC) != 0);
	check_inside(b, l->src_mac, 6, (l->has & HEADER_HAS_SRC_MAC) != 0);
	check_inside(b, l->src_ip, ip_bytes, (l->has & HEADER_HAS_SRC_IP) != 0);
	check_inside(b, l->dst_ip, ip_bytes, (l->has & HEADER_HAS_DST_IP) != 0);
	must(l->mpls_count <= HEADER_LABELS_MAX);
	must((l->has & HEADER_HAS_IP_VERSION) == 0 || l->ip_version == 4 || l->ip_version == 6);
	must((l->has & HEADER_HAS_SRC_PORT) == 0 || l->fragment_offset == 0);
	must((l->has & HEADER_HAS_ICMP_TYPE) == 0 || (l->has & HEADER_HAS_PROTOCOL) != 0);
}

static void check_less(const struct header_level *less, const struct header_level *more)
{
	must((less->has & ~more->has) == 0);
	must(less->vlan_count <= more->vlan_count);
	must(less->mpls_count <= more->mpls_count);
	must((less->has & HEADER_HAS_PROTOCOL) == 0 || less->protocol == more->protocol);
	must((less->has & HEADER_HAS_DST_PORT) == 0 || less->dst_port == more->dst_port);
}

/* One reader against the other. */
static void check_packet(const struct block *b, const struct header *h)
{
	struct capture_frame frame = { 0 };
	struct packet p;
	struct datagram d;

	frame.link_type = 1;
	frame.octets = b->octets;
	frame.bytes = (uint32_t)b->bytes;
	if (!packet_of_frame(&frame, &p) || p.is_fragment ||
	    packet_datagram(&p, &d) != DATAGRAM_WHOLE)
		return;
	/* The replay goes by the version alone, whatever the ethertype says. */
	if ((h->outer.has & HEADER_HAS_IP_VERSION) == 0)
		return;
	must((h->outer.has & HEADER_HAS_UDP_BYTES) != 0);
	must(h->outer.protocol == IPPROTO_UDP);
	must(h->outer.src_port == d.source_port);
	must(h->outer.dst_port == d.destination_port);
	must(h->outer.udp_bytes == d.bytes + 8);
	must(memcmp(h->outer.src_ip, p.source.octets, p.source.bytes) == 0);
	must(memcmp(h->outer.dst_ip, p.destination.octets, p.destination.bytes) == 0);
}

static void once(const struct block *b, enum header_protocol first, struct header *out)
{
	bool is_found = header_parse(b->octets, b->bytes, first, out);

	must(is_found ==
	     (out->outer.has != 0 || out->outer.vlan_count != 0 || out->outer.mpls_count != 0));
	must(out->tunnel != HEADER_TUNNEL_NONE || (out->inner.has == 0 && !out->has_tunnel_id));
	check_level(b, &out->outer);
	check_level(b, &out->inner);
}

/* Only what is behind the IP header, whose protocol is the second octet; the third one is where it is cut. */
static void check_payload(const uint8_t *octets, size_t bytes)
{
	uint8_t version = octets[0] % 2 == 0 ? 4 : 6;
	struct header whole;
	struct header part;
	struct block b;

	if (bytes < 3)
		return;
	b = (struct block){ octets + 3, bytes - 3 };
	(void)header_parse_payload(b.octets, b.bytes, version, octets[1], &whole);
	(void)header_parse_payload(b.octets, b.bytes * octets[2] / 256, version, octets[1], &part);
	check_level(&b, &whole.outer);
	check_level(&b, &whole.inner);
	check_less(&part.outer, &whole.outer);
	check_less(&part.inner, &whole.inner);
	must((whole.outer.has & (HEADER_HAS_SRC_IP | HEADER_HAS_IP_VERSION)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	static const uint16_t firsts[] = { HEADER_ETHERNET, HEADER_PPP,		 HEADER_IPV4,
					   HEADER_IPV6,	    HEADER_MPLS,	 HEADER_POS,
					   HEADER_IP,	    HEADER_MPLS_PAYLOAD, 2,
					   HEADER_AAL5,	    HEADER_AAL5_IP };
	struct header whole;
	struct header part;
	struct block b;
	struct block cut;
	enum header_protocol first;

	if (bytes < 2)
		return 0;
	if (octets[0] >= PAYLOAD_KINDS) {
		check_payload(octets, bytes);
		return 0;
	}
	first = (enum header_protocol)firsts[octets[0] % (sizeof(firsts) / sizeof(firsts[0]))];
	b = (struct block){ octets + 2, bytes - 2 };
	cut = (struct block){ octets + 2, b.bytes * octets[1] / 256 };
	once(&b, first, &whole);
	once(&cut, first, &part);
	check_less(&part.outer, &whole.outer);
	check_less(&part.inner, &whole.inner);
	must(part.tunnel == HEADER_TUNNEL_NONE || part.tunnel == whole.tunnel);
	if (first == HEADER_ETHERNET)
		check_packet(&b, &whole);
	return 0;
}
