/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a compiled plan puts each element where the shipped mappings say, by the rules of who wins and what
 * counts as absent, and what no field carries stands in raw.
 * Method: one table of templates and records; the flow is encoded and shown as JSON, which must hold some texts
 * and must not hold others.  Each row runs through both ways of cutting, and through every raw mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "normalizer/plan.h"
#include "sink/avro.h"

#define FIELDS_MAX 16
#define WORDS_MAX 8

static const struct row {
	const char *name;
	uint16_t version;
	struct tmpl_field fields[FIELDS_MAX]; /* ended by id 0 */
	const char *record;		      /* hex */
	const char *has[WORDS_MAX];
	const char *lacks[WORDS_MAX];
} rows[] = {
	{ "plain", VERSION_IPFIX, { { 0, 8, 4, 0 }, { 0, 12, 4, 0 }, { 0, 1, 8, 0 }, { 0, 2, 4, 0 } },
	  "0a000001" "0a000002" "0000000000000005" "00000003",
	  { "\"src_ip\":\"10.0.0.1\"", "\"dst_ip\":\"10.0.0.2\"", "\"bytes\":5", "\"packets\":3", "\"elements\":{}" },
	  { "\"src_port\"" } },
	{ "order does not matter", VERSION_IPFIX, { { 0, 2, 4, 0 }, { 0, 1, 8, 0 }, { 0, 12, 4, 0 }, { 0, 8, 4, 0 } },
	  "00000003" "0000000000000005" "0a000002" "0a000001",
	  { "\"src_ip\":\"10.0.0.1\"", "\"dst_ip\":\"10.0.0.2\"", "\"bytes\":5", "\"packets\":3", "\"elements\":{}" }, { NULL } },
	{ "both families, IPv6 zero", VERSION_IPFIX, { { 0, 8, 4, 0 }, { 0, 27, 16, 0 } },
	  "0a000001" "00000000000000000000000000000000", { "\"src_ip\":\"10.0.0.1\"", "\"elements\":{}" }, { "sourceIPv6Address" } },
	{ "both families, IPv4 zero", VERSION_IPFIX, { { 0, 8, 4, 0 }, { 0, 27, 16, 0 } },
	  "00000000" "20010db8000000000000000000000001", { "\"src_ip\":\"2001:db8::1\"", "\"elements\":{}" }, { "sourceIPv4Address" } },
	{ "both families, both there", VERSION_IPFIX, { { 0, 27, 16, 0 }, { 0, 8, 4, 0 } },
	  "20010db8000000000000000000000001" "0a000001",
	  { "\"src_ip\":\"10.0.0.1\"", "\"sourceIPv6Address\":\"2001:db8::1\"" }, { "\"sourceIPv4Address\"" } },
	{ "late candidate, number zero", VERSION_IPFIX, { { 0, 58, 2, 0 }, { 0, 243, 2, 0 } }, "0007" "0000",
	  { "\"src_vlan\":7", "\"dot1qVlanId\":\"0\"" }, { NULL } },
	{ "only candidate may be zero", VERSION_IPFIX, { { 0, 8, 4, 0 } }, "00000000", { "\"src_ip\":\"0.0.0.0\"" }, { NULL } },
	{ "repeat", VERSION_IPFIX, { { 0, 8, 4, 0 }, { 0, 8, 4, 0 } }, "0a000001" "0a000002",
	  { "\"src_ip\":\"10.0.0.1\"", "\"sourceIPv4Address#2\":\"10.0.0.2\"" }, { "\"sourceIPv4Address\":" } },
	{ "protocol by number and name", VERSION_IPFIX, { { 0, 4, 1, 0 } }, "3a",
	  { "\"protocol\":\"ipv6-icmp\"", "\"protocol_number\":58", "\"elements\":{}" }, { NULL } },
	{ "protocol without name", VERSION_IPFIX, { { 0, 4, 1, 0 } }, "fc", { "\"protocol_number\":252", "\"elements\":{}" }, { "\"protocol\":" } },
	{ "unknown element", VERSION_IPFIX, { { 0, 32000, 5, 0 }, { 0, 1, 4, 0 } }, "0102030405" "00000007",
	  { "\"e0id32000\":\"0102030405\"", "\"bytes\":7" }, { NULL } },
	{ "unknown enterprise, variable", VERSION_IPFIX, { { 32473, 77, TMPL_VARIABLE, 0 }, { 0, 1, 4, 0 } }, "03aabbcc" "00000007",
	  { "\"e32473id77\":\"aabbcc\"", "\"bytes\":7" }, { NULL } },
	{ "long form of variable length", VERSION_IPFIX, { { 0, 82, TMPL_VARIABLE, 0 }, { 0, 1, 4, 0 } }, "ff0003616263" "00000007",
	  { "\"interfaceName\":\"abc\"", "\"bytes\":7" }, { NULL } },
	{ "padding is dropped", VERSION_IPFIX, { { 0, 210, 3, 0 }, { 0, 1, 4, 0 } }, "000000" "00000007",
	  { "\"bytes\":7", "\"elements\":{}" }, { "padding" } },
	{ "padding that says something", VERSION_IPFIX, { { 0, 210, 3, 0 }, { 0, 1, 4, 0 } }, "00ff00" "00000007",
	  { "\"bytes\":7", "\"paddingOctets\":\"00ff00\"" }, { NULL } },
	{ "a time of zero", VERSION_IPFIX, { { 0, 152, 8, 0 }, { 0, 153, 8, 0 } }, "0000000000000000" "0000018bcfe56800",
	  { "\"flow_end_time\":1700000000000", "\"flowStartMilliseconds\":\"0\"" }, { "flow_start_time" } },
	{ "a sampling rate of zero", VERSION_IPFIX, { { 0, 34, 4, 0 }, { 0, 50, 4, 0 } }, "00000000" "00000064",
	  { "\"sampling_rate\":100", "\"samplingInterval\":\"0\"" }, { "samplerRandomInterval" } },
	{ "ICMP", VERSION_IPFIX, { { 0, 4, 1, 0 }, { 0, 32, 2, 0 } }, "01" "0301",
	  { "\"icmp_type\":3", "\"icmp_code\":1", "\"elements\":{}" }, { NULL } },
	{ "six counts by size", VERSION_IPFIX, { { 35632, 88, 4, 0 }, { 35632, 89, 4, 0 }, { 35632, 90, 4, 0 }, { 35632, 91, 4, 0 }, { 35632, 92, 4, 0 }, { 35632, 93, 4, 0 } },
	  "00000001" "00000002" "00000003" "00000004" "00000005" "00000006",
	  { "\"size_histogram\":[1,2,3,4,5,6]", "\"elements\":{}" }, { NULL } },
	{ "three of six counts", VERSION_IPFIX, { { 35632, 90, 4, 0 }, { 35632, 91, 4, 0 }, { 35632, 93, 4, 0 } },
	  "00000001" "00000002" "00000003", { "\"ntop.NUM_PKTS_256_TO_512_BYTES\":\"1\"", "\"ntop.NUM_PKTS_OVER_1514_BYTES\":\"3\"" },
	  { "size_histogram" } },
	{ "a count by size twice", VERSION_IPFIX, { { 35632, 88, 1, 0 }, { 35632, 89, 1, 0 }, { 35632, 90, 1, 0 }, { 35632, 91, 1, 0 }, { 35632, 92, 1, 0 }, { 35632, 93, 1, 0 }, { 35632, 90, 1, 0 } },
	  "01020304050607", { "\"ntop.NUM_PKTS_UP_TO_128_BYTES\":\"1\"", "\"ntop.NUM_PKTS_256_TO_512_BYTES\":\"3\"", "\"ntop.NUM_PKTS_256_TO_512_BYTES#2\":\"7\"" },
	  { "size_histogram" } },
	{ "a count by size that is no number", VERSION_IPFIX, { { 35632, 88, 1, 0 }, { 35632, 89, 9, 0 }, { 35632, 90, 1, 0 }, { 35632, 91, 1, 0 }, { 35632, 92, 1, 0 }, { 35632, 93, 1, 0 } },
	  "01" "ff0000000000000002" "03040506",
	  { "\"ntop.NUM_PKTS_UP_TO_128_BYTES\":\"1\"", "\"ntop.NUM_PKTS_128_TO_256_BYTES\":\"ff0000000000000002\"", "\"ntop.NUM_PKTS_OVER_1514_BYTES\":\"6\"" },
	  { "size_histogram" } },
	{ "zeros that are no address, behind one", VERSION_IPFIX, { { 0, 8, 4, 0 }, { 0, 27, 15, 0 } }, "0a000001" "000000000000000000000000000000",
	  { "\"src_ip\":\"10.0.0.1\"", "\"sourceIPv6Address\":\"000000000000000000000000000000\"" }, { NULL } },
	{ "label stack, zeros above and behind", VERSION_IPFIX, { { 0, 70, 3, 0 }, { 0, 71, 3, 0 }, { 0, 72, 3, 0 } },
	  "000000" "000101" "000000", { "\"mpls_labels\":[0,16]", "\"mplsLabelStackSection3\":\"000000\"" }, { NULL } },
	{ "wrong length", VERSION_IPFIX, { { 0, 8, 3, 0 }, { 0, 1, 4, 0 } }, "0a0000" "00000007",
	  { "\"sourceIPv4Address\":\"0a0000\"", "\"contract\"", "\"bytes\":7" }, { "\"src_ip\"" } },
	{ "saturated", VERSION_IPFIX, { { 0, 1, 8, 0 } }, "ffffffffffffffff",
	  { "\"bytes\":9223372036854775807", "\"octetDeltaCount\":\"18446744073709551615\"", "\"saturated\"" }, { NULL } },
	{ "bad text", VERSION_IPFIX, { { 0, 371, 4, 0 } }, "61c328ff",
	  { "\"userName\":\"61c328ff\"", "\"bad_utf8\"" }, { "\"user_name\"" } },
	{ "reverse elements", VERSION_IPFIX, { { PEN_REVERSE, 1, 8, 0 }, { PEN_REVERSE, 2, 8, 0 }, { 0, 1, 8, 0 } },
	  "0000000000000009" "0000000000000002" "0000000000000001",
	  { "\"reverse_bytes\":9", "\"reverse_packets\":2", "\"bytes\":1", "\"elements\":{}" }, { NULL } },
	{ "23 is post octets", VERSION_IPFIX, { { 0, 23, 4, 0 } }, "00000007", { "\"post_bytes\":7" }, { "\"reverse_bytes\"" } },
	{ "23 of nProbe is reverse octets", VERSION_IPFIX, { { 0, 23, 4, 0 }, { PEN_NTOP, 118, 2, 0 } }, "00000007" "0005",
	  { "\"reverse_bytes\":7", "\"app_id\":\"5\"", "\"elements\":{}" }, { "\"post_bytes\"" } },
	{ "the 57472 rule makes nProbe of v9 too", VERSION_NF9, { { 0, 23, 4, 0 }, { PEN_NTOP, 205, 8, 0 } }, "00000007" "612e6f7267000000",
	  { "\"reverse_bytes\":7", "\"dns_query\":\"a.org\"", "\"event_type\":\"dns\"" }, { "\"post_bytes\"" } },
	{ "empty query is no DNS", VERSION_NF9, { { PEN_NTOP, 205, 8, 0 } }, "0000000000000000",
	  { "\"event_type\":\"network_connection\"", "\"elements\":{}" }, { "\"dns_query\"" } },
	{ "nProbe's microseconds", VERSION_IPFIX, { { 0, 154, 8, 0 }, { PEN_NTOP, 118, 2, 0 } }, "00060a24181e4000" "0005",
	  { "\"flow_start_time\":1700000000000", "\"flow_start_ns\":1700000000000000000", "\"elements\":{}" }, { NULL } },
	{ "IANA's microseconds", VERSION_IPFIX, { { 0, 154, 8, 0 } }, "e8fe6f8080000000",
	  { "\"flow_start_time\":1700000000500", "\"flow_start_ns\":1700000000500000000", "\"elements\":{}" }, { NULL } },
	{ "uptime by the record's own boot time", VERSION_IPFIX, { { 0, 22, 4, 0 }, { 0, 160, 8, 0 } }, "0000000a" "0000018bcfe56800",
	  { "\"flow_start_time\":1700000000010" }, { NULL } },
	{ "uptime without boot time is no time", VERSION_IPFIX, { { 0, 22, 4, 0 } }, "0000000a",
	  { "\"flowStartSysUpTime\":\"10\"" }, { "\"flow_start_time\"" } },
	{ "ICMP type and code in one", VERSION_IPFIX, { { 0, 32, 2, 0 }, { 0, 4, 1, 0 } }, "0303" "01",
	  { "\"icmp_type\":3", "\"icmp_code\":3", "\"elements\":{}" }, { NULL } },
	{ "label stack", VERSION_IPFIX, { { 0, 70, 3, 0 }, { 0, 71, 3, 0 }, { 0, 72, 3, 0 } }, "000641" "000c81" "000000",
	  { "\"mpls_labels\":[100,200]" }, { NULL } },
	{ "a frame in the record", VERSION_IPFIX, { { 0, 315, TMPL_VARIABLE, 0 }, { 0, 312, 2, 0 } }, "2e" "02005e00000102005e0000028100006e08004500001c00014000401100000a000001c00002019c4001bb00080000" "0032",
	  { "\"src_ip\":\"10.0.0.1\"", "\"dst_ip\":\"192.0.2.1\"", "\"dst_port\":443", "\"protocol\":\"udp\"", "\"src_vlan\":110",
	    "\"src_mac\":\"02:00:5e:00:00:02\"", "\"dataLinkFrameSection\":\"02005e0000010200", "\"ip_ttl_max\":64" }, { "\"contract\"", "\"sourceMacAddress\"" } },
	{ "a report of a frame", VERSION_IPFIX, { { 0, 312, 2, 0 }, { 0, 224, 8, 0 }, { 0, 315, TMPL_VARIABLE, 0 } }, "0032" "000000000000001c" "2a" "02005e00000102005e00000208004500001c00014000401100000a000001c00002019c4001bb00080000",
	  { "\"packets\":1", "\"bytes\":50", "\"dst_port\":443", "\"dataLinkFrameSize\":\"50\"" }, { NULL } },
	{ "a report of a packet", VERSION_IPFIX, { { 0, 224, 8, 0 }, { 0, 313, 20, 0 } }, "0000000000000024" "4500001c00014000401100000a000001c0000201",
	  { "\"packets\":1", "\"bytes\":36", "\"src_ip\":\"10.0.0.1\"" }, { NULL } },
	{ "a report whose packet alone says its length", VERSION_IPFIX, { { 0, 313, 20, 0 } }, "4500001c00014000401100000a000001c0000201",
	  { "\"packets\":1", "\"bytes\":28" }, { NULL } },
	{ "a report whose length nobody says", VERSION_IPFIX, { { 0, 312, 2, 0 }, { 0, 315, TMPL_VARIABLE, 0 } }, "0000" "0e" "02005e00000102005e0000020806",
	  { "\"packets\":1", "\"src_mac\":\"02:00:5e:00:00:02\"" }, { "\"bytes\"" } },
	{ "a report of a packet of other addresses", VERSION_IPFIX, { { 0, 313, 20, 0 }, { 0, 8, 4, 0 } }, "4500001c00014000401100000a000001c0000201" "0a0000ff",
	  { "\"packets\":1", "\"src_ip\":\"10.0.0.255\"" }, { "\"bytes\"", "\"dst_ip\"" } },
	{ "a flow with a packet", VERSION_IPFIX, { { 0, 2, 4, 0 }, { 0, 312, 2, 0 }, { 0, 313, 20, 0 } }, "00000009" "0032" "4500001c00014000401100000a000001c0000201",
	  { "\"packets\":9", "\"src_ip\":\"10.0.0.1\"" }, { "\"bytes\"" } },
	{ "a flow of running totals with a packet", VERSION_IPFIX, { { 0, 85, 8, 0 }, { 0, 313, 20, 0 } }, "0000000000000009" "4500001c00014000401100000a000001c0000201",
	  { "\"bytes\":9", "\"src_ip\":\"10.0.0.1\"" }, { "\"packets\"" } },
	{ "a payload of a known protocol", VERSION_IPFIX, { { 0, 4, 1, 0 }, { 0, 8, 4, 0 }, { 0, 314, 8, 0 }, { 0, 224, 8, 0 } }, "11" "0a000001" "9c4001bb00080000" "000000000000001c",
	  { "\"src_port\":40000", "\"dst_port\":443", "\"packets\":1", "\"bytes\":28", "\"ipPayloadPacketSection\":\"9c4001bb" }, { NULL } },
	{ "a payload that nobody names", VERSION_IPFIX, { { 0, 8, 4, 0 }, { 0, 314, 8, 0 } }, "0a000001" "9c4001bb00080000",
	  { "\"packets\":1", "\"ipPayloadPacketSection\":\"9c4001bb" }, { "\"src_port\"", "\"bytes\"" } },
	{ "a payload of no version", VERSION_IPFIX, { { 0, 4, 1, 0 }, { 0, 314, 8, 0 } }, "11" "9c4001bb00080000", { "\"protocol_number\":17" }, { "\"src_port\"" } },
	{ "a payload of IPv6", VERSION_IPFIX, { { 0, 193, 1, 0 }, { 0, 60, 1, 0 }, { 0, 314, 16, 0 } }, "00" "06" "11000104000000009c4001bb00080000",
	  { "\"src_port\":40000", "\"dst_port\":443", "\"protocol_number\":17" }, { NULL } },
	{ "a payload of IPv6, its first header not said", VERSION_IPFIX, { { 0, 4, 1, 0 }, { 0, 60, 1, 0 }, { 0, 314, 8, 0 } }, "11" "06" "9c4001bb00080000",
	  { "\"protocol_number\":17" }, { "\"src_port\"" } },
	{ "a header and its payload", VERSION_IPFIX, { { 0, 313, 20, 0 }, { 0, 314, 8, 0 } }, "4500001c00014000401100000a000001c0000201" "9c4001bb00080000",
	  { "\"src_ip\":\"10.0.0.1\"", "\"dst_port\":443", "\"bytes\":28" }, { NULL } },
	{ "a header and the payload of a later fragment", VERSION_IPFIX, { { 0, 313, 20, 0 }, { 0, 314, 8, 0 } }, "4500001c000100b9401100000a000001c0000201" "9c4001bb00080000",
	  { "\"src_ip\":\"10.0.0.1\"", "\"ip_fragment_offset\":185" }, { "\"dst_port\"" } },
	{ "a payload of a later fragment", VERSION_IPFIX, { { 0, 4, 1, 0 }, { 0, 60, 1, 0 }, { 0, 88, 2, 0 }, { 0, 314, 8, 0 } }, "11" "04" "00b9" "9c4001bb00080000",
	  { "\"ip_fragment_offset\":185" }, { "\"dst_port\"" } },
	{ "what the record says itself goes before its packet", VERSION_IPFIX, { { 0, 313, 28, 0 }, { 0, 8, 4, 0 }, { 0, 11, 2, 0 } },
	  "4500001c00014000401100000a000001c00002019c4001bb00080000" "0a000001" "0050",
	  { "\"src_ip\":\"10.0.0.1\"", "\"dst_ip\":\"192.0.2.1\"", "\"src_port\":40000", "\"dst_port\":80", "\"ipHeaderPacketSection\":\"4500001c" }, { NULL } },
	{ "a packet of other addresses", VERSION_IPFIX, { { 0, 313, 28, 0 }, { 0, 8, 4, 0 } }, "4500001c00014000401100000a000001c00002019c4001bb00080000" "0a0000ff",
	  { "\"src_ip\":\"10.0.0.255\"", "\"ipHeaderPacketSection\":\"4500001c" }, { "\"dst_ip\"", "\"src_port\"", "\"ip_version\"" } },
	{ "a packet of another version", VERSION_IPFIX, { { 0, 313, 20, 0 }, { 0, 12, 4, 0 } }, "6000000700141140" "20010db8000000000000000a" "0a0000ff",
	  { "\"dst_ip\":\"10.0.0.255\"" }, { "\"ipv6_flow_label\"", "\"ip_version\"" } },
	{ "a packet that is filled up", VERSION_IPFIX, { { 0, 410, 2, 0 }, { 0, 313, 28, 0 } }, "0014" "4500001c00014000401100000a000001c00002019c4001bb00080000",
	  { "\"src_ip\":\"10.0.0.1\"", "\"protocol_number\":17", "\"sectionExportedOctets\":\"20\"" }, { "\"src_port\"", "\"dst_port\"" } },
	{ "the report of a packet", VERSION_IPFIX, { { 0, 301, 4, 0 }, { 0, 312, 2, 0 }, { 0, 313, 20, 0 } }, "00000007" "003c" "4500001c00014000401100000a000001c0000201",
	  { "\"packets\":1,", "\"bytes\":60,", "\"src_ip\":\"10.0.0.1\"", "\"dataLinkFrameSize\":\"60\"", "\"selectionSequenceId\":\"7\"" }, { NULL } },
	{ "the report of a frame without a packet", VERSION_IPFIX, { { 0, 301, 4, 0 }, { 0, 312, 2, 0 }, { 0, 315, 14, 0 } }, "00000007" "003c" "02005e00000102005e0000028809",
	  { "\"packets\":1,", "\"bytes\":60,", "\"src_mac\":\"02:00:5e:00:00:02\"", "\"dataLinkFrameSize\":\"60\"" }, { "\"src_ip\"" } },
	{ "the report of what is not the front", VERSION_IPFIX, { { 0, 301, 4, 0 }, { 0, 409, 2, 0 }, { 0, 313, 20, 0 } }, "00000007" "0002" "4500001c00014000401100000a000001c0000201",
	  { "\"packets\":1," }, { "\"bytes\"", "\"src_ip\"" } },
	{ "counters and a packet of theirs", VERSION_IPFIX, { { 0, 301, 4, 0 }, { 0, 2, 4, 0 }, { 0, 313, 20, 0 } }, "00000007" "00000009" "4500001c00014000401100000a000001c0000201",
	  { "\"packets\":9,", "\"src_ip\":\"10.0.0.1\"" }, { "\"bytes\"" } },
	{ "a packet and no counters", VERSION_IPFIX, { { 0, 313, 20, 0 } }, "4500001c00014000401100000a000001c0000201",
	  { "\"src_ip\":\"10.0.0.1\"", "\"packets\":1,", "\"bytes\":28," }, { NULL } },
	{ "not the front of a packet", VERSION_IPFIX, { { 0, 313, 28, 0 }, { 0, 409, 2, 0 } }, "4500001c00014000401100000a000001c00002019c4001bb00080000" "0002",
	  { "\"ipHeaderPacketSection\":\"4500", "\"sectionOffset\":\"2\"" }, { "\"src_ip\"" } },
	{ "a tunnel in a packet", VERSION_IPFIX, { { 0, 313, 48, 0 } }, "4500003000010000400400000a000001c00002014500001c00010000400600000a0900010a090002c93a01bb00000001",
	  { "\"src_ip\":\"10.0.0.1\"", "\"inner_src_ip\":\"10.9.0.1\"", "\"inner_dst_ip\":\"10.9.0.2\"", "\"inner_protocol\":6", "\"inner_dst_port\":443",
	    "\"protocol_number\":4" }, { "\"dst_port\"" } },
	{ "GENEVE in a packet", VERSION_IPFIX, { { 0, 313, 64, 0 } }, "4500004000010000401100000a000001c0000201c35017c1002c00000000080000004d004500001c00010000400600000a0900010a090002c93a01bb00000001",
	  { "\"dst_port\":6081", "\"tunnel_id\":77", "\"inner_src_port\":51514", "\"inner_dst_ip\":\"10.9.0.2\"" }, { NULL } },
	{ "labels and what is behind them", VERSION_IPFIX, { { 0, 316, TMPL_VARIABLE, 0 } }, "24" "00064040000c81ff4500001c00014000401100000a000001c00002019c4001bb00080000",
	  { "\"mpls_labels\":[100,200]", "\"dst_ip\":\"192.0.2.1\"", "\"mplsLabelStackSection\":\"00064040" }, { NULL } },
	{ "a circuit's frame behind labels", VERSION_IPFIX, { { 0, 316, TMPL_VARIABLE, 0 } }, "1e" "00064140" "44650d000001" "02005e000002" "0800" "450000280000000040060000",
	  { "\"mpls_labels\":[100]" }, { "\"ip_version\"", "\"src_ip\"", "\"ip_ttl_max\"", "\"protocol_number\"" } },
	{ "a frame before a packet, without sense", VERSION_IPFIX, { { 0, 313, 4, 0 }, { 0, 315, TMPL_VARIABLE, 0 } }, "ffffffff" "03" "0102ff",
	  { "\"dataLinkFrameSection\":\"0102ff\"", "\"ipHeaderPacketSection\":\"ffffffff\"" }, { "\"src_mac\"", "\"src_ip\"", "\"contract\"" } },
	{ "VXLAN of vSphere's switch", VERSION_IPFIX,
	  { { 0, 8, 4, 0 }, { 0, 12, 4, 0 }, { 0, 7, 2, 0 }, { 0, 11, 2, 0 }, { 0, 4, 1, 0 }, { 0, 1, 8, 0 }, { 0, 2, 8, 0 }, { 0, 351, 8, 0 },
	    { 6876, 889, 1, 0 }, { 6876, 890, 2, 0 }, { 6876, 880, 1, 0 }, { 6876, 881, 4, 0 }, { 6876, 882, 4, 0 }, { 6876, 886, 2, 0 }, { 6876, 887, 2, 0 } },
	  "0a000001" "0a000002" "c350" "12b5" "11" "0000000000000400" "0000000000000008" "0100000000001389"
	  "00" "0003" "06" "ac100509" "ac10050a" "c93a" "01bb",
	  { "\"src_ip\":\"10.0.0.1\"", "\"dst_port\":4789", "\"tunnel_id\":5001", "\"inner_src_ip\":\"172.16.5.9\"", "\"inner_dst_ip\":\"172.16.5.10\"",
	    "\"inner_protocol\":6", "\"inner_src_port\":51514", "\"vmware.ingressInterfaceAttr\":\"3\"" },
	  { "e6876", "vmware.tenant" } },
	{ "VXLAN of vSphere's switch, IPv6 inside", VERSION_IPFIX,
	  { { 0, 8, 4, 0 }, { 6876, 881, 4, 0 }, { 6876, 883, 16, 0 }, { 6876, 884, 16, 0 }, { 6876, 887, 2, 0 } },
	  "0a000001" "00000000" "20010db8000000000000000000000001" "20010db8000000000000000000000002" "01bb",
	  { "\"src_ip\":\"10.0.0.1\"", "\"inner_src_ip\":\"2001:db8::1\"", "\"inner_dst_ip\":\"2001:db8::2\"", "\"inner_dst_port\":443" }, { "e6876", "vmware." } },
	{ "a tunnel of Open vSwitch", VERSION_IPFIX,
	  { { 0, 8, 4, 0 }, { 0, 2, 4, 0 }, { 6876, 891, 1, 0 }, { 6876, 892, TMPL_VARIABLE, 0 }, { 6876, 893, 4, 0 }, { 6876, 894, 4, 0 }, { 6876, 895, 1, 0 },
	    { 6876, 896, 2, 0 }, { 6876, 897, 2, 0 }, { 6876, 898, TMPL_VARIABLE, 0 } },
	  "ac100509" "00000001" "01" "03" "001389" "0a000001" "0a000002" "11" "c350" "12b5" "03" "656467",
	  { "\"src_ip\":\"172.16.5.9\"", "\"tunnel_id\":5001", "\"vmware.tunnelSourceIPv4Address\":\"10.0.0.1\"", "\"vmware.tunnelDestinationTransportPort\":\"4789\"",
	    "\"vmware.virtualObsID\":\"edg\"" }, { "e6876", "vmware.tunnelKey" } },
	{ "zero length value", VERSION_IPFIX, { { 0, 96, TMPL_VARIABLE, 0 }, { 0, 1, 4, 0 } }, "00" "00000001",
	  { "\"bytes\":1", "\"elements\":{}" }, { "\"app_name\"" } },
};

static size_t of_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return n;
}

static struct tmpl *make_tmpl(const struct row *row)
{
	uint16_t count = 0;
	struct tmpl *t;

	while (count < FIELDS_MAX && (row->fields[count].id != 0 || row->fields[count].pen != 0))
		count++;
	must(tmpl_new(count, &t) == ERR_OK);
	memcpy(t->fields, row->fields, count * sizeof(t->fields[0]));
	t->id = 256;
	t->version = row->version;
	must(tmpl_finish(t) == ERR_OK);
	return t;
}

static void envelope(struct flow *f)
{
	static const uint8_t address[4] = { 192, 0, 2, 1 };

	flow_set_i64(f, F_event_time, 1);
	flow_set_i64(f, F_ingest_time, 1);
	flow_set_octets(f, F_source, "ipfix", 5);
	flow_set_octets(f, F_exporter_ip, address, 4);
	memset(f->record_id, 0, sizeof(f->record_id));
	f->has_wire = false;
	f->has_template_id = false;
	f->protocol_version = VERSION_IPFIX;
}

/* The flow as JSON, freed by the caller. */
static char *show(const struct catalog *c, struct flow *f)
{
	struct avro_encoder encoder;
	uint8_t *octets = malloc(1u << 20);
	struct json j;
	size_t bytes;

	must(octets != NULL);
	envelope(f);
	avro_encoder_init(&encoder, &c->fields);
	bytes = avro_encode(&encoder, f, octets, 1u << 20);
	assert_true(bytes > 0);
	json_init(&j, 1u << 20);
	assert_int_equal(avro_to_json(&c->fields, octets, bytes, true, &j), ERR_OK);
	free(octets);
	return j.text;
}

struct shared {
	struct catalog *catalogs[4]; /* by raw mode */
	struct flow *flow;
};

static int set_up(void **state)
{
	struct shared *s = calloc(1, sizeof(*s));

	must(s != NULL);
	s->flow = calloc(1, sizeof(*s->flow));
	must(s->flow != NULL);
	for (int raw = 0; raw < 4; raw++) {
		struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables", (enum raw_mode)raw };
		struct why why = { "" };

		if (catalog_load(&conf, (uint64_t)raw + 1, &why, &s->catalogs[raw]) != ERR_OK)
			fail_msg("%s", why.text);
	}
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct shared *s = *state;

	for (int raw = 0; raw < 4; raw++)
		catalog_free(s->catalogs[raw]);
	free(s->flow);
	free(s);
	return 0;
}

static struct plan *plan_for(const struct catalog *c, const struct tmpl *t)
{
	struct session session = { .exporter_number = SESSION_NUMBER_NONE };
	struct plan *p;

	must(plan_compile(c, t, catalog_profile_add(c, &session, t, 0), &p) == ERR_OK);
	return p;
}

static void check_words(const struct row *row, const char *text)
{
	for (size_t i = 0; i < WORDS_MAX && row->has[i] != NULL; i++) {
		if (strstr(text, row->has[i]) == NULL)
			fail_msg("%s: no %s in %s", row->name, row->has[i], text);
	}
	for (size_t i = 0; i < WORDS_MAX && row->lacks[i] != NULL; i++) {
		if (strstr(text, row->lacks[i]) != NULL)
			fail_msg("%s: %s in %s", row->name, row->lacks[i], text);
	}
}

/* Fields are the same where nobody looks at raw. */
static void check_bare(const struct plan *p, const uint8_t *record, struct flow *flow)
{
	struct xform_env env = { .export_ms = 1700000000000 };
	uint64_t has[FIELD_WORDS];

	flow_clear(flow);
	plan_run(p, &env, record, flow);
	memcpy(has, flow->has, sizeof(has));
	env.skips_raw = true;
	flow_clear(flow);
	plan_run(p, &env, record, flow);
	assert_memory_equal(flow->has, has, sizeof(has));
	assert_int_equal(flow->raw_count, 0);
}

static void check_row(const struct catalog *c, struct flow *flow, const struct row *row)
{
	const struct xform_env env = { .export_ms = 1700000000000 };
	struct tmpl *t = make_tmpl(row);
	struct plan *p = plan_for(c, t);
	struct value values[FIELDS_MAX];
	uint8_t record[256];
	size_t bytes = of_hex(row->record, record);
	char *by_plan;
	char *by_values;

	assert_int_equal(tmpl_record_bytes(t, record, bytes), bytes);
	flow_clear(flow);
	plan_run(p, &env, record, flow);
	by_plan = show(c, flow);
	check_words(row, by_plan);
	tmpl_cut(t, record, bytes, values);
	flow_clear(flow);
	plan_run_values(p, &env, values, flow);
	by_values = show(c, flow);
	assert_string_equal(by_plan, by_values);
	check_bare(p, record, flow);
	free(by_plan);
	free(by_values);
	plan_free(p);
	tmpl_free(t);
}

static void test_rows(void **state)
{
	const struct shared *s = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(s->catalogs[RAW_MODE_UNPROMOTED], s->flow, &rows[i]);
}

/* A mapping of one's own whose lines into a list say no `as`. */
static const char own_mapping[] = "mapping: { name = \"own\"; promote = (\n"
				  "{ element = \"minimumTTL\"; field = \"size_histogram\"; },\n"
				  "{ element = \"maximumTTL\"; field = \"size_histogram\"; } ); };\n";
static const struct row own_rows[] = {
	{ "both, as the mapping has them", VERSION_IPFIX, { { 0, 53, 1, 0 }, { 0, 52, 1, 0 } }, "0201", { "\"size_histogram\":[1,2]", "\"elements\":{}" }, { NULL } },
	{ "one of both", VERSION_IPFIX, { { 0, 53, 1, 0 } }, "02", { "\"maximumTTL\":\"2\"" }, { "size_histogram" } },
	{ "one of them twice", VERSION_IPFIX, { { 0, 53, 1, 0 }, { 0, 52, 1, 0 }, { 0, 52, 1, 0 } }, "020103",
	  { "\"maximumTTL\":\"2\"", "\"minimumTTL\":\"1\"", "\"minimumTTL#2\":\"3\"" }, { "size_histogram" } },
};

static void test_own_mapping(void **state)
{
	const struct shared *s = *state;
	char dir[] = "/tmp/sluice-plan-XXXXXX";
	struct catalog_conf conf = { "templates/elements", dir, "templates/tables", RAW_MODE_UNPROMOTED };
	struct why why = { "" };
	struct catalog *c;
	char path[64];
	FILE *f;

	must(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/own.conf", dir);
	f = fopen(path, "w");
	must(f != NULL && fputs(own_mapping, f) >= 0 && fclose(f) == 0);
	if (catalog_load(&conf, 9, &why, &c) != ERR_OK)
		fail_msg("%s", why.text);
	(void)unlink(path);
	(void)rmdir(dir);
	for (size_t i = 0; i < sizeof(own_rows) / sizeof(own_rows[0]); i++)
		check_row(c, s->flow, &own_rows[i]);
	catalog_free(c);
}

/* full: every element but padding stands in raw; none: no element does. */
static void test_raw_modes(void **state)
{
	const struct shared *s = *state;
	const struct xform_env env = { .export_ms = 1700000000000 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tmpl *t = make_tmpl(&rows[i]);
		uint8_t record[256];
		uint32_t paddings = 0;

		(void)of_hex(rows[i].record, record);
		for (uint16_t f = 0; f < t->field_count; f++)
			paddings += t->fields[f].pen == 0 && t->fields[f].id == 210;
		for (int raw = 0; raw < 4; raw++) {
			struct plan *p = plan_for(s->catalogs[raw], t);

			flow_clear(s->flow);
			plan_run(p, &env, record, s->flow);
			if (raw == RAW_MODE_FULL)
				assert_in_range(s->flow->raw_count, t->field_count - paddings,
						t->field_count);
			if (raw == RAW_MODE_NONE)
				assert_int_equal(s->flow->raw_count, 0);
			plan_free(p);
		}
		tmpl_free(t);
	}
}

static void test_current(void **state)
{
	const struct shared *s = *state;
	struct tmpl *t = make_tmpl(&rows[0]);
	struct plan *p;

	must(plan_compile(s->catalogs[0], t, 5, &p) == ERR_OK);
	assert_true(plan_is_current(p, 1, 5));
	assert_false(plan_is_current(p, 2, 5));
	assert_false(plan_is_current(p, 1, 4));
	plan_free(p);
	tmpl_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_own_mapping),
		cmocka_unit_test(test_raw_modes),
		cmocka_unit_test(test_current),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
