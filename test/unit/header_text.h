/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_text.h - a struct header as key=value words: what was found, and nothing else.
 *
 *	dst_mac=02:00:00:00:00:0a ... ip=4 tos=0 ... tunnel=vxlan tunnel_id=7 inner.src_mac=...
 */
#ifndef TEST_HEADER_TEXT_H
#define TEST_HEADER_TEXT_H

#include <stdarg.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/must.h"
#include "collector/header.h"

#define HEADER_TEXT_BYTES 4096

struct header_text {
	char *at;
	char *end;
	const char *prefix;
};

__attribute__((format(printf, 3, 4))) static inline void
header_word(struct header_text *t, const char *key, const char *format, ...)
{
	va_list args;

	t->at += snprintf(t->at, (size_t)(t->end - t->at), "%s%s=", t->prefix, key);
	must(t->at < t->end);
	va_start(args, format);
	t->at += vsnprintf(t->at, (size_t)(t->end - t->at), format, args);
	va_end(args);
	must(t->at + 1 < t->end);
	*t->at++ = ' ';
	*t->at = '\0';
}

static inline void header_mac(struct header_text *t, const char *key, const uint8_t *m)
{
	header_word(t, key, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static inline void header_ip(struct header_text *t, const char *key, const uint8_t *ip,
			     uint8_t version)
{
	struct addr a = addr_of_octets(ip, version == 4 ? 4 : 16);
	char text[ADDR_TEXT_BYTES];

	(void)addr_text(&a, text);
	header_word(t, key, "%s", text);
}

static inline void header_link_words(struct header_text *t, const struct header_level *l)
{
	if (l->has & HEADER_HAS_DST_MAC)
		header_mac(t, "dst_mac", l->dst_mac);
	if (l->has & HEADER_HAS_SRC_MAC)
		header_mac(t, "src_mac", l->src_mac);
	if (l->has & HEADER_HAS_ETHERTYPE)
		header_word(t, "type", "0x%04x", l->ethertype);
	for (int i = 0; i < l->vlan_count && i < HEADER_VLANS_KEPT; i++)
		header_word(t, i == 0 ? "vlan1" : "vlan2", "%u:%u", header_vlan_id(l->vlan[i]),
			    header_vlan_priority(l->vlan[i]));
	if (l->vlan_count != 0)
		header_word(t, "vlans", "%u", l->vlan_count);
	if (l->has & HEADER_HAS_PPPOE)
		header_word(t, "pppoe", "%u", l->pppoe_session);
	for (int i = 0; i < l->mpls_count; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "mpls%d", i + 1);
		header_word(t, key, "%u:%u:%u:%u", header_label(l->mpls[i]), l->mpls[i] >> 9 & 7,
			    l->mpls[i] >> 8 & 1, l->mpls[i] & 255);
	}
	if (l->has & HEADER_HAS_MPLS_BOTTOM)
		header_word(t, "bottom", "1");
}

static inline void header_ip_words(struct header_text *t, const struct header_level *l)
{
	if (l->has & HEADER_HAS_IP_VERSION)
		header_word(t, "ip", "%u", l->ip_version);
	if (l->has & HEADER_HAS_TOS)
		header_word(t, "tos", "%u", l->tos);
	if (l->has & HEADER_HAS_FLOW_LABEL)
		header_word(t, "flow_label", "%u", l->flow_label);
	if (l->has & HEADER_HAS_IP_BYTES)
		header_word(t, "bytes", "%u", l->ip_bytes);
	if (l->has & HEADER_HAS_IP_ID)
		header_word(t, "id", "%u", l->ip_id);
	if (l->has & HEADER_HAS_FRAGMENT)
		header_word(t, "fragment", "0x%02x:%u", l->fragment_flags, l->fragment_offset);
	if (l->has & HEADER_HAS_TTL)
		header_word(t, "ttl", "%u", l->ttl);
	if (l->has & HEADER_HAS_PROTOCOL)
		header_word(t, "protocol", "%u", l->protocol);
	if (l->has & HEADER_HAS_SRC_IP)
		header_ip(t, "src_ip", l->src_ip, l->ip_version);
	if (l->has & HEADER_HAS_DST_IP)
		header_ip(t, "dst_ip", l->dst_ip, l->ip_version);
}

static inline void header_transport_words(struct header_text *t, const struct header_level *l)
{
	if (l->has & HEADER_HAS_SRC_PORT)
		header_word(t, "src_port", "%u", l->src_port);
	if (l->has & HEADER_HAS_DST_PORT)
		header_word(t, "dst_port", "%u", l->dst_port);
	if (l->has & HEADER_HAS_TCP_SEQUENCE)
		header_word(t, "sequence", "%u", l->tcp_sequence);
	if (l->has & HEADER_HAS_TCP_FLAGS)
		header_word(t, "flags", "0x%03x", l->tcp_flags);
	if (l->has & HEADER_HAS_UDP_BYTES)
		header_word(t, "udp_bytes", "%u", l->udp_bytes);
	if (l->has & HEADER_HAS_ICMP_TYPE)
		header_word(t, "icmp_type", "%u", l->icmp_type);
	if (l->has & HEADER_HAS_ICMP_CODE)
		header_word(t, "icmp_code", "%u", l->icmp_code);
}

static inline void header_level_words(struct header_text *t, const struct header_level *l)
{
	header_link_words(t, l);
	header_ip_words(t, l);
	header_transport_words(t, l);
}

static inline void header_text(const struct header *h, char out[HEADER_TEXT_BYTES])
{
	static const char *const tunnels[] = { "none", "gre", "vxlan", "geneve", "ip" };
	struct header_text t = { out, out + HEADER_TEXT_BYTES, "" };

	out[0] = '\0';
	header_level_words(&t, &h->outer);
	if (h->tunnel != HEADER_TUNNEL_NONE)
		header_word(&t, "tunnel", "%s", tunnels[h->tunnel]);
	if (h->has_tunnel_id)
		header_word(&t, "tunnel_id", "%u", h->tunnel_id);
	t.prefix = "inner.";
	header_level_words(&t, &h->inner);
	if (t.at > out)
		t.at[-1] = '\0';
}

#endif
