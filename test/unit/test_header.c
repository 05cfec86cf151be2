/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: of a sampled header every field that is whole is found, no other, and never an octet is read beyond
 * its end.
 * Method: a table of frames, written octet by octet, with what must be found of each as text.  Each frame is
 * also cut after every octet, in a block of exactly that size so that a sanitizer sees one octet too far:
 * what is found may only grow with the octets, and for some frames the table says at which octet each
 * field appears.  Frames that are endless chains end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "test/unit/header_text.h"

#define FRAME_BYTES 1024

#define MACS "02000000000a 02000000000b "
#define MACS_FOUND "dst_mac=02:00:00:00:00:0a src_mac=02:00:00:00:00:0b "
/* IPv4 of `bytes` (hexadecimal), with options of one word where the first octet says so. */
#define IPV4(bytes, protocol) "45 b8 " bytes "1234 4000 40 " protocol " 0000 c0000201 c6336402 "
#define IPV4_FOUND(bytes, protocol)                                                                \
	"ip=4 tos=184 bytes=" bytes " id=4660 fragment=0x40:0 ttl=64 protocol=" protocol           \
	" src_ip=192.0.2.1 dst_ip=198.51.100.2"
#define ADDRESSES_6 "20010db8 00000000 00000000 00000001 20010db8 00000000 00000000 00000002 "
#define IPV6(bytes, next) "6b8abcde " bytes " " next " 3f " ADDRESSES_6
#define IPV6_FOUND(bytes) "ip=6 tos=184 flow_label=703710 bytes=" bytes
#define IPV6_FOUND_END "src_ip=2001:db8::1 dst_ip=2001:db8::2"
#define TCP "c000 01bb 000003e8 00000000 5112 0200 0000 0000 "
#define TCP_FOUND " src_port=49152 dst_port=443 sequence=1000 flags=0x112"
#define UDP "c000 0035 0008 0000 "
#define UDP_FOUND " src_port=49152 dst_port=53 udp_bytes=8"
#define AH(next, words) next " " words " 0000 00000007 00000001 a1a2a3a4 a5a6a7a8 a9aaabac "
#define PAYLOAD(version, protocol) ((enum header_protocol)(0x10000 | (version) << 8 | (protocol)))
#define ZEROS_16 "00000000 00000000 00000000 00000000 "

static const struct row {
	const char *name;
	enum header_protocol first;
	const char *frame; /* hexadecimal */
	const char *found;
} rows[] = {
	{ "IPv4 TCP", HEADER_ETHERNET, MACS "0800 " IPV4("0028", "06") TCP,
	  MACS_FOUND "type=0x0800 " IPV4_FOUND("40", "6") TCP_FOUND },
	{ "IPv4 with options", HEADER_IPV4,
	  "46 00 0020 0000 0000 01 11 0000 0a000001 0a000002 94040000 " UDP,
	  "ip=4 tos=0 bytes=32 id=0 fragment=0x00:0 ttl=1 protocol=17 src_ip=10.0.0.1 "
	  "dst_ip=10.0.0.2" UDP_FOUND },
	{ "padding is no payload", HEADER_ETHERNET,
	  MACS "0800 " IPV4("0016", "11") "1111 2222 3333 4444 ",
	  MACS_FOUND "type=0x0800 " IPV4_FOUND("22", "17") " src_port=4369" },
	{ "length of an offload", HEADER_IPV4, IPV4("0000", "11") UDP,
	  IPV4_FOUND("0", "17") UDP_FOUND },
	{ "length below the header", HEADER_IPV4, IPV4("0013", "11") UDP, IPV4_FOUND("19", "17") },
	{ "header below its least", HEADER_IPV4,
	  "44 b8 0028 1234 4000 40 06 0000 c0000201 c6336402 " TCP, IPV4_FOUND("40", "6") },
	{ "not its version", HEADER_ETHERNET, MACS "0800 " IPV6("0014", "06") TCP,
	  MACS_FOUND "type=0x0800" },
	{ "first fragment", HEADER_IP, "45 00 0528 0001 2000 40 11 0000 c0000201 c6336402 " UDP,
	  "ip=4 tos=0 bytes=1320 id=1 fragment=0x20:0 ttl=64 protocol=17 src_ip=192.0.2.1 "
	  "dst_ip=198.51.100.2" UDP_FOUND },
	{ "later fragment", HEADER_IP, "45 00 0528 0001 20a5 40 11 0000 c0000201 c6336402 " UDP,
	  "ip=4 tos=0 bytes=1320 id=1 fragment=0x20:165 ttl=64 protocol=17 src_ip=192.0.2.1 "
	  "dst_ip=198.51.100.2" },
	{ "802.1Q", HEADER_ETHERNET, MACS "8100 a064 0800 " IPV4("001c", "11") UDP,
	  MACS_FOUND "type=0x0800 vlan1=100:5 vlans=1 " IPV4_FOUND("28", "17") UDP_FOUND },
	{ "QinQ", HEADER_ETHERNET, MACS "88a8 6064 8100 00c8 86dd " IPV6("0008", "11") UDP,
	  MACS_FOUND "type=0x86dd vlan1=100:3 vlan2=200:0 vlans=2 " IPV6_FOUND(
		  "48") " ttl=63 protocol=17 " IPV6_FOUND_END UDP_FOUND },
	{ "four tags", HEADER_ETHERNET,
	  MACS "9100 0001 9200 0002 8100 0003 8100 0004 0800 " IPV4("0014", "63"),
	  MACS_FOUND "type=0x0800 vlan1=1:0 vlan2=2:0 vlans=4 " IPV4_FOUND("20", "99") },
	{ "SNAP", HEADER_ETHERNET, MACS "0022 aaaa03 000000 0800 " IPV4("0014", "63"),
	  MACS_FOUND "type=0x0800 " IPV4_FOUND("20", "99") },
	{ "LLC", HEADER_ETHERNET, MACS "0026 424203 0000000000",
	  "dst_mac=02:00:00:00:00:0a "
	  "src_mac=02:00:00:00:00:0b" },
	{ "ARP", HEADER_ETHERNET, MACS "0806 0001 0800 06 04 0001 " MACS,
	  MACS_FOUND "type=0x0806" },
	{ "MPLS", HEADER_ETHERNET, MACS "8847 00010240 fffffe3f 0000313e " IPV4("001c", "11") UDP,
	  MACS_FOUND
	  "type=0x8847 mpls1=16:1:0:64 mpls2=1048575:7:0:63 mpls3=3:0:1:62 bottom=1 " IPV4_FOUND(
		  "28", "17") UDP_FOUND },
	{ "MPLS over no IP", HEADER_MPLS, "00010140 00000000 " MACS, "mpls1=16:0:1:64 bottom=1" },
	{ "behind the labels", HEADER_MPLS_PAYLOAD, IPV6("0014", "06") TCP,
	  IPV6_FOUND("60") " ttl=63 protocol=6 " IPV6_FOUND_END TCP_FOUND },
	{ "PPPoE", HEADER_ETHERNET, MACS "8864 11 00 0007 001e 0021 " IPV4("001c", "11") UDP,
	  MACS_FOUND "type=0x8864 pppoe=7 " IPV4_FOUND("28", "17") UDP_FOUND },
	{ "PPP", HEADER_PPP, "ff03 0057 " IPV6("0008", "11") UDP,
	  IPV6_FOUND("48") " ttl=63 protocol=17 " IPV6_FOUND_END UDP_FOUND },
	{ "PPP compressed, MPLS", HEADER_POS, "0281 00010140 " IPV4("0014", "63"),
	  "mpls1=16:0:1:64 bottom=1 " IPV4_FOUND("20", "99") },
	{ "Cisco HDLC", HEADER_POS, "0f00 0800 " IPV4("001c", "11") UDP,
	  "type=0x0800 " IPV4_FOUND("28", "17") UDP_FOUND },
	{ "Cisco HDLC to all, MPLS", HEADER_PPP, "8f00 8847 00010140 " IPV4("0014", "63"),
	  "type=0x8847 mpls1=16:0:1:64 bottom=1 " IPV4_FOUND("20", "99") },
	{ "Cisco HDLC, keepalive", HEADER_POS, "8f00 8035 00000002 00000001", "type=0x8035" },
	{ "AAL5", HEADER_AAL5, "aaaa03 000000 0800 " IPV4("001c", "11") UDP,
	  "type=0x0800 " IPV4_FOUND("28", "17") UDP_FOUND },
	{ "AAL5 of ISO", HEADER_AAL5, "fefe03 81 000000 00000000", "" },
	{ "AAL5 of IP alone", HEADER_AAL5_IP, IPV6("0008", "11") UDP,
	  IPV6_FOUND("48") " ttl=63 protocol=17 " IPV6_FOUND_END UDP_FOUND },
	{ "authentication", HEADER_IPV4, IPV4("0040", "33") AH("06", "04") TCP,
	  IPV4_FOUND("64", "6") TCP_FOUND },
	{ "authentication twice", HEADER_IPV4, IPV4("004c", "33") AH("33", "04") AH("11", "04") UDP,
	  IPV4_FOUND("76", "17") UDP_FOUND },
	{ "authentication over the end", HEADER_IPV4, IPV4("0034", "33") AH("06", "ff") TCP,
	  IPV4_FOUND("52", "6") },
	{ "authentication of a tunnel", HEADER_IPV4, IPV4("0044", "33") AH("04", "04") IPV4("0014", "63"),
	  IPV4_FOUND("68", "4") " tunnel=ip inner.ip=4 inner.tos=184 inner.bytes=20 inner.id=4660 "
				"inner.fragment=0x40:0 inner.ttl=64 inner.protocol=99 "
				"inner.src_ip=192.0.2.1 inner.dst_ip=198.51.100.2" },
	{ "later fragment of authentication", HEADER_IP,
	  "45 00 0528 0001 20a5 40 33 0000 c0000201 c6336402 " UDP,
	  "ip=4 tos=0 bytes=1320 id=1 fragment=0x20:165 ttl=64 protocol=51 src_ip=192.0.2.1 "
	  "dst_ip=198.51.100.2" },
	{ "payload of IPv4", PAYLOAD(4, 6), TCP, "protocol=6" TCP_FOUND },
	{ "payload of IPv4, authentication", PAYLOAD(4, 51), AH("11", "04") UDP, "protocol=17" UDP_FOUND },
	{ "payload of IPv4 that is not known", PAYLOAD(4, 99), TCP, "protocol=99" },
	{ "payload of IPv6", PAYLOAD(6, 0), "3c00 0104 00000000 1100 0104 00000000 " UDP, "protocol=17" UDP_FOUND },
	{ "payload of IPv6, a later fragment", PAYLOAD(6, 44), "1100 05c8 00000009 " UDP,
	  "id=9 fragment=0x00:185 protocol=17" },
	{ "PPP compressed", HEADER_PPP, "21 " IPV4("0014", "63"), IPV4_FOUND("20", "99") },
	{ "SCTP", HEADER_IPV4, IPV4("0020", "84") "0b59 0b5a 00000001 00000000",
	  IPV4_FOUND("32", "132") " src_port=2905 dst_port=2906" },
	{ "ICMP", HEADER_IPV4, IPV4("001c", "01") "03 04 0000 00000000 ",
	  IPV4_FOUND("28", "1") " icmp_type=3 icmp_code=4" },
	{ "extensions", HEADER_IPV6,
	  IPV6("004c", "00") "3c00 0104 00000000 2b00 0104 00000000 2c02 0400 00000000 " ZEROS_16
			     "3300 0001 00000007 3a04 0000 " ZEROS_16 "00000000 80 00 0000 ",
	  IPV6_FOUND("116") " id=7 fragment=0x20:0 ttl=63 protocol=58 " IPV6_FOUND_END
			    " icmp_type=128 icmp_code=0" },
	{ "mobility", HEADER_IPV6, IPV6("0010", "87") "3b00 0000 00000000 " ZEROS_16,
	  IPV6_FOUND("56") " ttl=63 protocol=59 " IPV6_FOUND_END },
	{ "later IPv6 fragment", HEADER_IPV6, IPV6("0010", "2c") "1100 05c8 00000009 " UDP,
	  IPV6_FOUND("56") " id=9 fragment=0x00:185 ttl=63 protocol=17 " IPV6_FOUND_END },
	{ "later fragment of options", HEADER_IPV6, IPV6("0010", "2c") "3c00 05c8 00000009 " UDP,
	  IPV6_FOUND("56") " id=9 fragment=0x00:185 ttl=63 " IPV6_FOUND_END },
	{ "extension over the end", HEADER_IPV6, IPV6("0010", "00") "3cff 0104 00000000 " UDP,
	  IPV6_FOUND("56") " ttl=63 " IPV6_FOUND_END },
	{ "jumbogram", HEADER_IPV6, IPV6("0000", "00") "1100 c204 00010000 " UDP,
	  "ip=6 tos=184 flow_label=703710 ttl=63 protocol=17 " IPV6_FOUND_END UDP_FOUND },
	{ "GRE, ended by the outer length", HEADER_IPV4,
	  IPV4("0030", "2f") "0000 86dd " IPV6("0008", "11") UDP,
	  IPV4_FOUND("48", "47") " tunnel=gre inner.type=0x86dd inner.ip=6 inner.tos=184 "
				 "inner.flow_label=703710 inner.bytes=48 inner.ttl=63 "
				 "inner.protocol=17 inner.src_ip=2001:db8::1" },
	{ "GRE with all its options", HEADER_IPV4,
	  IPV4("0044", "2f") "b000 0800 ffff0000 0000004d 00000003 " IPV4("001c", "11") UDP,
	  IPV4_FOUND("68", "47") " tunnel=gre tunnel_id=77 inner.type=0x0800 inner.ip=4 "
				 "inner.tos=184 inner.bytes=28 inner.id=4660 inner.fragment=0x40:0 "
				 "inner.ttl=64 inner.protocol=17 inner.src_ip=192.0.2.1 "
				 "inner.dst_ip=198.51.100.2 inner.src_port=49152 inner.dst_port=53 "
				 "inner.udp_bytes=8" },
	{ "GRE with source routes", HEADER_IPV4, IPV4("0044", "2f") "4000 0800 " IPV4("001c", "11"),
	  IPV4_FOUND("68", "47") },
	{ "PPTP", HEADER_IPV4,
	  IPV4("003c", "2f") "3081 880b 001a0005 00000001 00000002 21 " IPV4("0014", "63"),
	  IPV4_FOUND("60", "47") " tunnel=gre tunnel_id=1703941 inner.ip=4 inner.tos=184 "
				 "inner.bytes=20 inner.id=4660 inner.fragment=0x40:0 inner.ttl=64 "
				 "inner.protocol=99 inner.src_ip=192.0.2.1 "
				 "inner.dst_ip=198.51.100.2" },
	{ "VXLAN", HEADER_IPV4,
	  IPV4("0000", "11") "c000 12b5 0000 0000 08000000 00126700 " MACS
			     "8100 0005 0800 " IPV4("0014", "63"),
	  IPV4_FOUND("0",
		     "17") " src_port=49152 dst_port=4789 udp_bytes=0 tunnel=vxlan "
			   "tunnel_id=4711 inner.dst_mac=02:00:00:00:00:0a "
			   "inner.src_mac=02:00:00:00:00:0b inner.type=0x0800 inner.vlan1=5:0 "
			   "inner.vlans=1 inner.ip=4 inner.tos=184 inner.bytes=20 inner.id=4660 "
			   "inner.fragment=0x40:0 inner.ttl=64 inner.protocol=99 "
			   "inner.src_ip=192.0.2.1 inner.dst_ip=198.51.100.2" },
	{ "VXLAN's port, no VNI", HEADER_IPV4,
	  IPV4("0000", "11") "c000 2118 0000 0000 00000000 00126700 " MACS "0800 ",
	  IPV4_FOUND("0", "17") " src_port=49152 dst_port=8472 udp_bytes=0" },
	{ "GENEVE with options", HEADER_IPV4,
	  IPV4("0000", "11") "c000 17c1 0000 0000 02 00 0800 00006300 01020101 00000005 " IPV4(
		  "0014", "63"),
	  IPV4_FOUND("0", "17") " src_port=49152 dst_port=6081 udp_bytes=0 tunnel=geneve "
				"tunnel_id=99 inner.type=0x0800 inner.ip=4 inner.tos=184 "
				"inner.bytes=20 inner.id=4660 inner.fragment=0x40:0 inner.ttl=64 "
				"inner.protocol=99 inner.src_ip=192.0.2.1 "
				"inner.dst_ip=198.51.100.2" },
	{ "6in4 in 6in4", HEADER_IPV4,
	  IPV4("0000", "29") "60000000 0000 29 01 " ADDRESSES_6 IPV6("0000", "11") UDP,
	  IPV4_FOUND("0", "41") " tunnel=ip inner.ip=6 inner.tos=0 inner.flow_label=0 "
				"inner.bytes=40 inner.ttl=1 inner.protocol=41 "
				"inner.src_ip=2001:db8::1 inner.dst_ip=2001:db8::2" },
	{ "bridged Ethernet outside a tunnel", HEADER_ETHERNET, MACS "6558 " MACS "0800 ",
	  MACS_FOUND "type=0x6558" },
	{ "nothing", HEADER_ETHERNET, "", "" },
	{ "token ring", (enum header_protocol)3, MACS "0800 ", "" },
};

/* Where each field is whole: octets, then the bit that appears with the last of them. */
static const struct growth {
	const char *row;
	struct {
		size_t octets;
		uint32_t bit;
	} steps[20];
} growths[] = {
	{ "IPv4 TCP",
	  { { 6, HEADER_HAS_DST_MAC },
	    { 12, HEADER_HAS_SRC_MAC },
	    { 14, HEADER_HAS_ETHERTYPE },
	    { 15, HEADER_HAS_IP_VERSION },
	    { 16, HEADER_HAS_TOS },
	    { 18, HEADER_HAS_IP_BYTES },
	    { 20, HEADER_HAS_IP_ID },
	    { 22, HEADER_HAS_FRAGMENT },
	    { 23, HEADER_HAS_TTL },
	    { 24, HEADER_HAS_PROTOCOL },
	    { 30, HEADER_HAS_SRC_IP },
	    { 34, HEADER_HAS_DST_IP },
	    { 36, HEADER_HAS_SRC_PORT },
	    { 38, HEADER_HAS_DST_PORT },
	    { 42, HEADER_HAS_TCP_SEQUENCE },
	    { 48, HEADER_HAS_TCP_FLAGS } } },
	{ "behind the labels",
	  { { 1, HEADER_HAS_IP_VERSION },
	    { 2, HEADER_HAS_TOS },
	    { 4, HEADER_HAS_FLOW_LABEL },
	    { 6, HEADER_HAS_IP_BYTES },
	    { 7, HEADER_HAS_PROTOCOL },
	    { 8, HEADER_HAS_TTL },
	    { 24, HEADER_HAS_SRC_IP },
	    { 40, HEADER_HAS_DST_IP },
	    { 42, HEADER_HAS_SRC_PORT },
	    { 44, HEADER_HAS_DST_PORT },
	    { 48, HEADER_HAS_TCP_SEQUENCE },
	    { 54, HEADER_HAS_TCP_FLAGS } } },
	{ "later IPv6 fragment",
	  { { 1, HEADER_HAS_IP_VERSION },
	    { 2, HEADER_HAS_TOS },
	    { 4, HEADER_HAS_FLOW_LABEL },
	    { 6, HEADER_HAS_IP_BYTES },
	    { 8, HEADER_HAS_TTL },
	    { 24, HEADER_HAS_SRC_IP },
	    { 40, HEADER_HAS_DST_IP },
	    { 41, HEADER_HAS_PROTOCOL },
	    { 44, HEADER_HAS_FRAGMENT },
	    { 48, HEADER_HAS_IP_ID } } },
	{ "PPPoE",
	  { { 6, HEADER_HAS_DST_MAC },
	    { 12, HEADER_HAS_SRC_MAC },
	    { 14, HEADER_HAS_ETHERTYPE },
	    { 18, HEADER_HAS_PPPOE },
	    { 23, HEADER_HAS_IP_VERSION },
	    { 24, HEADER_HAS_TOS },
	    { 26, HEADER_HAS_IP_BYTES },
	    { 28, HEADER_HAS_IP_ID },
	    { 30, HEADER_HAS_FRAGMENT },
	    { 31, HEADER_HAS_TTL },
	    { 32, HEADER_HAS_PROTOCOL },
	    { 38, HEADER_HAS_SRC_IP },
	    { 42, HEADER_HAS_DST_IP },
	    { 44, HEADER_HAS_SRC_PORT },
	    { 46, HEADER_HAS_DST_PORT },
	    { 48, HEADER_HAS_UDP_BYTES } } },
	{ "ICMP",
	  { { 1, HEADER_HAS_IP_VERSION },
	    { 2, HEADER_HAS_TOS },
	    { 4, HEADER_HAS_IP_BYTES },
	    { 6, HEADER_HAS_IP_ID },
	    { 8, HEADER_HAS_FRAGMENT },
	    { 9, HEADER_HAS_TTL },
	    { 10, HEADER_HAS_PROTOCOL },
	    { 16, HEADER_HAS_SRC_IP },
	    { 20, HEADER_HAS_DST_IP },
	    { 21, HEADER_HAS_ICMP_TYPE },
	    { 22, HEADER_HAS_ICMP_CODE } } },
	{ "MPLS over no IP", { { 4, HEADER_HAS_MPLS_BOTTOM } } },
};

static size_t octets_of(const char *hex, uint8_t out[FRAME_BYTES])
{
	size_t digits = 0;

	memset(out, 0, FRAME_BYTES);
	for (; *hex != '\0'; hex++) {
		const char *all = "0123456789abcdef";

		if (*hex == ' ')
			continue;
		assert_true(digits / 2 < FRAME_BYTES);
		out[digits / 2] = (uint8_t)(out[digits / 2] << 4 | (strchr(all, *hex) - all));
		digits++;
	}
	assert_true(digits % 2 == 0);
	return digits / 2;
}

static bool parse(const uint8_t *octets, size_t size, enum header_protocol first, struct header *h)
{
	unsigned how = first;

	if (how < 0x10000)
		return header_parse(octets, size, first, h);
	return header_parse_payload(octets, size, how >> 8 & 15, (uint8_t)how, h);
}

/* Parses the first octets of a frame, alone in their block. */
static struct header parse_cut(const uint8_t *frame, size_t size, enum header_protocol first,
			       char text[HEADER_TEXT_BYTES])
{
	uint8_t *block = malloc(size != 0 ? size : 1);
	struct header h;

	if (size != 0)
		memcpy(block, frame, size);
	(void)parse(block, size, first, &h);
	header_text(&h, text);
	free(block);
	return h;
}

static const struct row *find_row(const char *name)
{
	size_t i = 0;

	while (i + 1 < sizeof(rows) / sizeof(rows[0]) && strcmp(rows[i].name, name) != 0)
		i++;
	assert_string_equal(rows[i].name, name);
	return &rows[i];
}

static void whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[HEADER_TEXT_BYTES];
		uint8_t frame[FRAME_BYTES];
		size_t size = octets_of(rows[i].frame, frame);
		struct header h;

		(void)parse_cut(frame, size, rows[i].first, text);
		if (strcmp(text, rows[i].found) != 0)
			fail_msg("%s:\n  found %s\n  not   %s", rows[i].name, text, rows[i].found);
		assert_int_equal(parse(frame, size, rows[i].first, &h), text[0] != '\0');
	}
}

/* Each word of `less` stands in `more`, but for those that count what was seen. */
static bool is_contained(char *less, const char *more)
{
	char *rest = NULL;

	for (char *word = strtok_r(less, " ", &rest); word != NULL;
	     word = strtok_r(NULL, " ", &rest)) {
		const char *found = strstr(more, word);

		if (strncmp(word, "vlans=", 6) == 0 || strncmp(word, "inner.vlans=", 12) == 0)
			continue;
		if (found == NULL || (found[strlen(word)] != ' ' && found[strlen(word)] != '\0'))
			return false;
	}
	return true;
}

static void cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t frame[FRAME_BYTES];
		size_t size = octets_of(rows[i].frame, frame);

		for (size_t n = 0; n < size; n++) {
			char less[HEADER_TEXT_BYTES];
			char more[HEADER_TEXT_BYTES];

			(void)parse_cut(frame, n, rows[i].first, less);
			(void)parse_cut(frame, n + 1, rows[i].first, more);
			if (!is_contained(less, more))
				fail_msg("%s: %zu octets take back what fewer showed", rows[i].name,
					 n + 1);
		}
	}
}

static void grows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(growths) / sizeof(growths[0]); i++) {
		const struct row *row = find_row(growths[i].row);
		char text[HEADER_TEXT_BYTES];
		uint8_t frame[FRAME_BYTES];
		size_t size = octets_of(row->frame, frame);
		size_t step = 0;
		uint32_t expected = 0;

		for (size_t n = 0; n <= size; n++) {
			if (growths[i].steps[step].bit != 0 && growths[i].steps[step].octets == n)
				expected |= growths[i].steps[step++].bit;
			if (parse_cut(frame, n, row->first, text).outer.has != expected)
				fail_msg("%s: %zu octets: %s", row->name, n, text);
		}
		assert_int_equal(growths[i].steps[step].bit, 0);
	}
}

/* 64 KiB of one header that says that the same follows: every such chain ends, and is counted up to its bound. */
static void chains(void **state)
{
	static uint8_t octets[65536];
	struct header h;

	(void)state;
	memset(octets, 0, sizeof(octets));
	for (size_t at = 12; at + 4 <= sizeof(octets); at += 4)
		octets[at] = 0x81;
	assert_true(header_parse(octets, sizeof(octets), HEADER_ETHERNET, &h));
	assert_int_equal(h.outer.vlan_count, UINT8_MAX);
	assert_int_equal(h.outer.has, HEADER_HAS_DST_MAC | HEADER_HAS_SRC_MAC);

	memset(octets, 0, sizeof(octets));
	assert_true(header_parse(octets, sizeof(octets), HEADER_MPLS, &h));
	assert_int_equal(h.outer.mpls_count, HEADER_LABELS_MAX);
	assert_int_equal(h.outer.has, 0);

	octets[0] = 0x60; /* hop-by-hop options of 8 octets, again and again */
	octets[4] = 0xFF;
	assert_true(header_parse(octets, sizeof(octets), HEADER_IPV6, &h));
	assert_int_equal(h.outer.has & HEADER_HAS_PROTOCOL, 0);
	assert_int_not_equal(h.outer.has & HEADER_HAS_DST_IP, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(cut),
		cmocka_unit_test(grows),
		cmocka_unit_test(chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
