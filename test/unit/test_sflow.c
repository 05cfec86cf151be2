/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every octet of a flow sample is told, as the value of an element or whole; whatever a datagram says of its
 * counts and lengths, nothing beyond it is read, and every sample ends in one account.
 * Method: one table of flow records in hex, each with the elements that it must become; datagrams of them
 * through the collector, also cut at every length and with every octet changed; sources, shapes and agents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/wr.h"
#include "collector/collector.h"
#include "collector/sflow.h"
#include "collector/sflow_sources.h"

#define ROOM 65536
#define TEXT_ROOM 4096

static const uint8_t agent[16] = { 192, 0, 2, 1 };

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; *hex != '\0'; hex++) {
		unsigned octet;

		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &octet), 1);
		out[n++] = (uint8_t)octet;
		hex++;
	}
	return n;
}

/* ---- flow records ---- */

static const struct {
	const char *name;
	uint32_t format;
	const char *body;
	const char *told; /* element=octets, in order; of IANA by its number, of ours with s before it */
} records[] = {
	{ "ethernet", 2, "000000e2 02005e000001 0000 02005e000002 0000 00000800",
	  "352=000000e2 s12=000000e2 56=02005e000001 80=02005e000002 256=0800" },
	{ "ipv4", 3, "00000064 00000006 0a000001 c0000201 00009c40 000001bb 00000012 000000b8",
	  "1=00000064 8=0a000001 12=c0000201 4=06 5=b8 224=00000064 7=9c40 11=01bb 6=0012" },
	{ "ipv6", 4,
	  "00000064 00000011 20010db8000000000000000000000001 20010db8000000000000000000000002 00000035 "
	  "00009c40 00000000 00000000",
	  "1=00000064 27=20010db8000000000000000000000001 28=20010db8000000000000000000000002 4=11 5=00 "
	  "224=00000064 7=0035 11=9c40 6=0000" },
	{ "switch", 1001, "0000000a 00000005 00000014 00000003", "58=000a 59=0014 s24=00000005 s25=00000003" },
	{ "a VLAN id that is none", 1001, "ffffffff 00000005 00000014 00000003",
	  "59=0014 s24=00000005 s25=00000003 s57=000003e900000010ffffffff000000050000001400000003" },
	{ "router", 1002, "00000001 0a0000fe 00000018 00000010", "15=0a0000fe 9=18 13=10" },
	{ "router of IPv6", 1002, "00000002 20010db8000000000000000000000009 00000030 00000040",
	  "62=20010db8000000000000000000000009 29=30 30=40" },
	{ "router without next hop", 1002, "00000000 00000018 00000010", "9=18 13=10" },
	{ "gateway", 1003,
	  "00000001 0a0000fd 0000fbf0 0000fbf1 0000fbf2 00000002 00000002 00000002 0000fc00 0000fc01 00000001 "
	  "00000001 0000fc02 00000002 fbf00001 fbf00002 00000064",
	  "18=0a0000fd s26=0000fbf0 16=0000fbf1 129=0000fbf2 17=0000fc02 128=0000fc00 "
	  "s27=00000002000000020000fc000000fc0100000001000000010000fc02 s28=fbf00001fbf00002 s29=00000064" },
	{ "gateway without path", 1003, "00000001 0a0000fd 0000fbf0 0000fbf1 0000fbf2 00000000 00000000 00000064",
	  "18=0a0000fd s26=0000fbf0 16=0000fbf1 129=0000fbf2 s27= s28= s29=00000064" },
	{ "user", 1004, "0000006a 00000005 616c696365 000000 0000006a 00000003 626f62 00",
	  "s30=0000006a 371=616c696365 s31=0000006a s32=626f62" },
	{ "url", 1005, "00000001 00000006 2f612e68746d 0000 00000004 612e6465",
	  "s33=00000001 461=2f612e68746d 460=612e6465" },
	{ "mpls", 1006, "00000001 0a0000fc 00000002 00064140 000c81ff 00000001 00064140",
	  "70=000641 71=000c81 s34=0a0000fc s36=00064140000c81ff s37=00064140" },
	{ "nat", 1007, "00000001 c6336407 00000001 cb007150", "225=c6336407 226=cb007150" },
	{ "mpls tunnel", 1008, "00000002 7431 0000 00000007 00000001", "s38=7431 s39=00000007 s40=00000001" },
	{ "mpls circuit", 1009, "00000002 7631 0000 00000008 00000002", "s41=7631 s42=00000008 s43=00000002" },
	{ "mpls ftn", 1010, "00000002 6631 0000 00000009", "s44=6631 s45=00000009" },
	{ "mpls fec", 1011, "00000018", "s46=00000018" },
	{ "vlan tunnel", 1012, "00000002 88a8000a 81000014", "s47=88a8000a81000014" },
	{ "nat ports", 1020, "00009c51 000001bb", "227=9c51 228=01bb" },
	{ "queue", 1036, "00000003", "s50=00000003" },
	{ "acl", 1037, "00000065 00000003 77656200 00000001", "s51=00000065 s52=776562 s53=00000001" },
	{ "function", 1038, "00000003 6e667400", "s54=6e6674" },
	{ "802.11 payload", 1013, "000fac04 00000003 01020300", "s58=000fac04 s59=010203" },
	{ "802.11 received", 1014,
	  "00000004 686f6d65 02005e0000aa 0000 00000004 00000024 0000000011e1a300 00000020 00000040 00000078",
	  "147=686f6d65 146=24 s60=02005e0000aa s61=00000004 s62=0000000011e1a300 s63=00000020 s64=00000040 s65=00000078" },
	{ "802.11 sent", 1015,
	  "00000003 6c616200 02005e0000aa 0000 00000003 00000002 00000078 00000079 0000000b 000000000337f980 00000064",
	  "147=6c6162 146=0b s60=02005e0000aa s61=00000003 s62=000000000337f980 s65=00000078 s66=00000002 s67=00000079 "
	  "s68=00000064" },
	{ "802.11 cut within its speed", 1014, "00000000 02005e0000aa 0000 00000004 00000024 00000000",
	  "s57=000003f6000000180000000002005e0000aa0000000000040000002400000000" },
	{ "802.11 name of 2^32-1", 1014, "ffffffff 686f6d65", "s57=000003f600000008ffffffff686f6d65" },
	{ "tunnel of Ethernet, out", 1021, "0000006e 02005e0000aa 0000 02005e0000bb 0000 00000800",
	  "s69=0000006e s70=02005e0000aa s71=02005e0000bb s72=0800" },
	{ "tunnel of Ethernet, in", 1022, "0000006e 02005e0000aa 0000 02005e0000bb 0000 00000800",
	  "s83=0000006e s84=02005e0000aa s85=02005e0000bb s86=0800" },
	{ "tunnel of IPv4, out", 1023, "00000064 00000011 0a000001 c0000201 0000c350 000012b5 00000000 000000b8",
	  "s73=00000064 s74=11 s75=0a000001 s76=c0000201 s79=c350 s80=12b5 s81=0000 s82=b8" },
	{ "tunnel of IPv4, in", 1024, "00000064 0000002f 0a000001 c0000201 00000000 00000000 00000000 00000000",
	  "s87=00000064 s88=2f s89=0a000001 s90=c0000201 s93=0000 s94=0000 s95=0000 s96=00" },
	{ "tunnel of IPv6, out", 1025,
	  "00000064 00000011 20010db8000000000000000000000001 20010db8000000000000000000000002 0000c350 000017c1 00000000 "
	  "00000000",
	  "s73=00000064 s74=11 s77=20010db8000000000000000000000001 s78=20010db8000000000000000000000002 s79=c350 s80=17c1 "
	  "s81=0000 s82=00" },
	{ "tunnel of IPv6, in", 1026,
	  "00000064 00000011 20010db8000000000000000000000001 20010db8000000000000000000000002 0000c350 000017c1 00000000 "
	  "00000000",
	  "s87=00000064 s88=11 s91=20010db8000000000000000000000001 s92=20010db8000000000000000000000002 s93=c350 s94=17c1 "
	  "s95=0000 s96=00" },
	{ "tunnel of a protocol that is none", 1023, "00000064 00000111 0a000001 c0000201 0000c350 000012b5 00000000 000000b8",
	  "s73=00000064 s75=0a000001 s76=c0000201 s79=c350 s80=12b5 s81=0000 s82=b8 "
	  "s57=000003ff0000002000000064000001110a000001c00002010000c350000012b500000000000000b8" },
	{ "out of a tunnel", 1027, "00000032", "s97=00000032" },
	{ "into a tunnel", 1028, "00000032", "s98=00000032" },
	{ "socket", 2100, "00000006 0a000001 c0000201 000001bb 00009c40",
	  "8=c0000201 12=0a000001 4=06 7=9c40 11=01bb s99=06 s100=0a000001 s101=c0000201 s104=01bb s105=9c40" },
	{ "socket of IPv6", 2101,
	  "00000006 20010db8000000000000000000000001 20010db8000000000000000000000002 000001bb 00009c40",
	  "27=20010db8000000000000000000000002 28=20010db8000000000000000000000001 4=06 7=9c40 11=01bb s99=06 "
	  "s102=20010db8000000000000000000000001 s103=20010db8000000000000000000000002 s104=01bb s105=9c40" },
	{ "a proxy's socket", 2102, "00000006 0a000001 c0000201 00009c40 00000050",
	  "s106=06 s107=0a000001 s108=c0000201 s111=9c40 s112=0050" },
	{ "a proxy's socket of IPv6", 2103,
	  "00000006 20010db8000000000000000000000001 20010db8000000000000000000000002 00009c40 00000050",
	  "s106=06 s109=20010db8000000000000000000000001 s110=20010db8000000000000000000000002 s111=9c40 s112=0050" },
	{ "TCP", 2209,
	  "00000001 000005b4 000005a8 00000002 00000001 00000003 000005dc 00004d80 00000fa0 0000000a 00000003 00002710",
	  "s113=00000001 s114=000005b4 s115=000005a8 s116=00000002 s117=00000001 s118=00000003 s119=000005dc s120=00004d80 "
	  "s121=00000fa0 s122=0000000a s123=00000003 s124=00002710" },
	{ "header of IPv4 without its octets", 1, "0000000b 00000064 00000000 00000000",
	  "352=00000064 s11=0000000b s12=00000064 s13=00000000 s14=" },
	{ "header", 1,
	  "00000001 000005ee 00000004 0000002a 02005e000001 02005e000002 0800 "
	  "4500001c0001400040110000 0a000001 c0000201 9c40 01bb 0008 0000 0000",
	  "352=000005ea s11=00000001 s12=000005ee s13=00000004 "
	  "s14=02005e00000102005e00000208004500001c00014000401100000a000001c00002019c4001bb00080000 "
	  "56=02005e000002 80=02005e000001 256=0800 60=04 8=0a000001 12=c0000201 4=11 5=00 192=40 224=0000001c "
	  "54=00000001 197=40 88=0000 7=9c40 11=01bb" },
	{ "header of VXLAN", 1,
	  "0000000b 00000052 00000000 00000056 "
	  "450000520001000040110000 0a000001 c0000201 c350 12b5 003e 0000 0800000000004d00 "
	  "02005e000003 02005e000004 0800 450000200002000040060000 ac100509 cb007150 c93a 01bb 00000001 00000000 "
	  "5012 0000 0000",
	  "352=00000052 s11=0000000b s12=00000052 s13=00000000 "
	  "s14=4500005200010000401100000a000001c0000201c35012b5003e00000800000000004d0002005e00000302005e000004"
	  "0800450000200002000040060000ac100509cb007150c93a01bb000000010000000050120000 60=04 8=0a000001 12=c0000201 "
	  "4=11 5=00 192=40 224=00000052 54=00000001 197=00 88=0000 7=c350 11=12b5 351=010000000000004d s15=02 "
	  "s17=ac100509 s18=cb007150 s21=06 s22=c93a s23=01bb" },
	{ "not known", 0x00abc001, "01020304", "s57=00abc0010000000401020304" },
	{ "longer than it should be", 1020, "00009c51 000001bb 00000000",
	  "227=9c51 228=01bb s57=000003fc0000000c00009c51000001bb00000000" },
	{ "cut", 1020, "00009c51", "s57=000003fc0000000400009c51" },
	{ "an address of no type", 1007, "00000003 c6336407 00000001 cb007150",
	  "s57=000003ef0000001000000003c633640700000001cb007150" },
	{ "header over its record", 1, "00000001 000005ee 00000004 00000040 02005e00",
	  "s57=000000010000001400000001000005ee000000040000004002005e00" },
	{ "header of 2^32-1", 1, "00000001 000005ee 00000004 ffffffff 02005e00",
	  "s57=000000010000001400000001000005ee00000004ffffffff02005e00" },
	{ "path of 2^30 segments", 1003, "00000001 0a0000fd 0000fbf0 0000fbf1 0000fbf2 40000000 00000002",
	  "s57=000003eb0000001c000000010a0000fd0000fbf00000fbf10000fbf24000000000000002" },
	{ "path of 2^30 numbers", 1003,
	  "00000001 0a0000fd 0000fbf0 0000fbf1 0000fbf2 00000001 00000002 40000000 0000fc00",
	  "s57=000003eb00000024000000010a0000fd0000fbf00000fbf10000fbf2000000010000000240000000"
	  "0000fc00" },
	{ "path of 2^30 numbers, and what stands behind a path", 1003,
	  "00000001 0a0000fd 0000fbf0 0000fbf1 0000fbf2 00000001 00000002 40000000 00000000 00000064",
	  "s57=000003eb00000028000000010a0000fd0000fbf00000fbf10000fbf20000000100000002400000000000000000000064" },
	{ "tags of 2^30", 1012, "40000000", "s57=000003f40000000440000000" },
	{ "communities of 2^32-1", 1003, "00000000 0000fbf0 0000fbf1 0000fbf2 00000000 ffffffff 00000064",
	  "s57=000003eb0000001c000000000000fbf00000fbf10000fbf200000000ffffffff00000064" },
	{ "text of 2^31", 1005, "00000001 80000000 2f612e68", "s57=000003ed0000000c00000001800000002f612e68" },
};
#define RECORDS (sizeof(records) / sizeof(records[0]))

static void put_record(struct wr *w, uint32_t format, const uint8_t *body, size_t bytes)
{
	wr_u32(w, format);
	wr_u32(w, (uint32_t)bytes);
	wr_bytes(w, body, bytes);
}

/* A compact flow sample of one record, or of none. */
static void put_sample(struct wr *w, uint32_t sequence, uint32_t in, uint32_t out, int record)
{
	uint8_t body[ROOM];
	size_t bytes = record < 0 ? 0 : from_hex(records[record].body, body);

	wr_u32(w, 1);
	wr_u32(w, (uint32_t)(32 + (record < 0 ? 0 : 8 + bytes)));
	wr_u32(w, sequence);
	wr_u32(w, 3);
	wr_u32(w, 100);
	wr_u32(w, 100 * sequence);
	wr_u32(w, 0);
	wr_u32(w, in);
	wr_u32(w, out);
	wr_u32(w, record >= 0);
	if (record >= 0)
		put_record(w, records[record].format, body, bytes);
}

static void put_datagram(struct wr *w, uint32_t sequence, uint32_t count)
{
	wr_u32(w, 5);
	wr_u32(w, 1);
	wr_bytes(w, agent, 4);
	wr_u32(w, 7);
	wr_u32(w, sequence);
	wr_u32(w, 1000 * sequence);
	wr_u32(w, count);
}

/* Elements from `first` on, but for those of every sample. */
static void tell(const struct sflow_values *v, char *text)
{
	size_t n = 0;

	text[0] = '\0';
	for (unsigned e = SFLOW_OUT_DISCARD; e < SFLOW_ELEMENTS; e++) {
		if (!sflow_has(v, e) || e == SFLOW_PACKETS)
			continue;
		n += (size_t)snprintf(text + n, TEXT_ROOM - n, "%s%s%u=", n == 0 ? "" : " ",
				      sflow_rows[e].pen == 0 ? "" : "s", sflow_rows[e].number);
		for (uint32_t i = 0; i < v->values[e].bytes; i++)
			n += (size_t)snprintf(text + n, TEXT_ROOM - n, "%02x", v->values[e].octets[i]);
	}
}

static bool values_of(const uint8_t *octets, size_t bytes, struct sflow_values *out)
{
	struct rd r = rd_of(octets, bytes);
	struct sflow_sample sample;
	struct sflow_flow f;

	assert_true(sflow_next(&r, &sample));
	assert_int_equal(sample.kind, SFLOW_KIND_FLOW);
	return sflow_flow(&sample, &f) && sflow_values(&f, agent, 4, out);
}

static void test_records(void **state)
{
	static struct sflow_values v;
	static uint8_t octets[ROOM];
	char text[TEXT_ROOM];

	(void)state;
	for (size_t i = 0; i < RECORDS; i++) {
		struct wr w = wr_of(octets, sizeof(octets));

		put_sample(&w, 1, 5, 6, (int)i);
		assert_true(values_of(octets, wr_used(&w), &v));
		tell(&v, text);
		if (strcmp(text, records[i].told) != 0)
			fail_msg("%s: %s", records[i].name, text);
	}
}

static uint64_t number_of(const struct sflow_values *v, unsigned element)
{
	assert_true(sflow_has(v, element));
	return be_uint(v->values[element].octets, v->values[element].bytes);
}

/* ---- what every sample says ---- */

static const struct {
	uint32_t in;
	uint32_t out;
	int elements[4]; /* and their numbers; -1: none */
	uint32_t numbers[4];
} interfaces[] = {
	{ 5, 6, { SFLOW_IN_INTERFACE, SFLOW_OUT_INTERFACE, -1 }, { 5, 6 } },
	{ 0x3fffffff, 0x40000102, { SFLOW_IN_FORMAT, SFLOW_IN_VALUE, SFLOW_OUT_DISCARD, -1 }, { 0, 0x3fffffff, 258 } },
	{ 5, 0x80000003, { SFLOW_IN_INTERFACE, SFLOW_OUT_FORMAT, SFLOW_OUT_VALUE, -1 }, { 5, 2, 3 } },
	{ 0x40000001, 0x3fffffff, { SFLOW_IN_FORMAT, SFLOW_IN_VALUE, SFLOW_OUT_FORMAT, SFLOW_OUT_VALUE },
	  { 1, 1, 0, 0x3fffffff } },
};

static unsigned interface_elements(const struct sflow_values *v)
{
	static const unsigned all[] = { SFLOW_IN_INTERFACE, SFLOW_OUT_INTERFACE, SFLOW_IN_FORMAT, SFLOW_IN_VALUE,
					SFLOW_OUT_FORMAT,   SFLOW_OUT_VALUE,	 SFLOW_OUT_DISCARD };
	unsigned count = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		count += sflow_has(v, all[i]);
	return count;
}

static void test_interfaces(void **state)
{
	static struct sflow_values v;
	uint8_t octets[128];

	(void)state;
	for (size_t i = 0; i < sizeof(interfaces) / sizeof(interfaces[0]); i++) {
		struct wr w = wr_of(octets, sizeof(octets));
		unsigned count = 0;

		put_sample(&w, 1, interfaces[i].in, interfaces[i].out, -1);
		assert_true(values_of(octets, wr_used(&w), &v));
		for (; count < 4 && interfaces[i].elements[count] >= 0; count++)
			assert_int_equal(number_of(&v, (unsigned)interfaces[i].elements[count]),
					 interfaces[i].numbers[count]);
		assert_int_equal(interface_elements(&v), count);
	}
}

static void test_expanded(void **state)
{
	static struct sflow_values v;
	uint8_t octets[256];
	size_t bytes = from_hex("00000003 0000003c 00000009 00000002 01000001 00000200 00000400 00000003 00000000 "
				"ffffffff 00000001 00000103 00000001 000003fc 00000008 00009c51 000001bb",
				octets);

	(void)state;
	assert_true(values_of(octets, bytes, &v));
	assert_int_equal(number_of(&v, SFLOW_SAMPLE_SEQUENCE), 9);
	assert_int_equal(number_of(&v, SFLOW_SOURCE_CLASS), 2);
	assert_int_equal(number_of(&v, SFLOW_SOURCE_INDEX), 0x01000001);
	assert_int_equal(number_of(&v, SFLOW_RATE), 512);
	assert_int_equal(number_of(&v, SFLOW_POOL), 1024);
	assert_int_equal(number_of(&v, SFLOW_DROPS), 3);
	assert_int_equal(number_of(&v, SFLOW_IN_VALUE), 0xffffffff);
	assert_int_equal(number_of(&v, SFLOW_OUT_DISCARD), 259);
	assert_int_equal(number_of(&v, SFLOW_NAT_SRC_PORT), 0x9c51);
	assert_int_equal(number_of(&v, SFLOW_PACKETS), 1);
	assert_int_equal(be32(v.values[SFLOW_AGENT_V4].octets), 0xc0000201);
}

/* What an earlier record said stays, and the later one is not lost. */
static void test_same_again(void **state)
{
	static struct sflow_values v;
	uint8_t octets[256];
	size_t bytes = from_hex("00000001 00000040 00000001 00000003 00000064 00000064 00000000 00000001 00000002 "
				"00000002 000003fc 00000008 00009c51 000001bb 000003fc 00000008 00009c52 000001bb",
				octets);

	(void)state;
	assert_true(values_of(octets, bytes, &v));
	assert_int_equal(number_of(&v, SFLOW_NAT_SRC_PORT), 0x9c51);
	assert_int_equal(v.values[SFLOW_REST].bytes, 16);
	assert_ptr_equal(v.values[SFLOW_REST].octets, octets + 8 + 32 + 16);
}

/* A packet of the transaction was sampled: it says which way it went, whatever the socket has. */
static void test_socket_and_packet(void **state)
{
	static struct sflow_values v;
	uint8_t octets[512];
	size_t bytes = from_hex("00000001 00000068 00000001 00000003 00000064 00000064 00000000 00000001 00000002 "
				"00000002 "
				"00000834 00000014 00000006 0a000001 c0000201 000001bb 00009c40 "
				"00000001 00000024 0000000b 00000014 00000000 00000014 "
				"4500001400014000400600000a000001c0000201",
				octets);

	(void)state;
	assert_true(values_of(octets, bytes, &v));
	assert_int_equal(number_of(&v, SFLOW_SRC_V4), 0x0a000001);
	assert_int_equal(number_of(&v, SFLOW_DST_V4), 0xc0000201);
	assert_false(sflow_has(&v, SFLOW_SRC_PORT));
	assert_int_equal(number_of(&v, SFLOW_SOCKET_LOCAL_PORT), 443);
	assert_false(sflow_has(&v, SFLOW_REST));
}

/* The same once more is told already; a header is read although its length was said before it. */
static void test_said_twice(void **state)
{
	static struct sflow_values v;
	uint8_t octets[512];
	size_t bytes = from_hex("00000001 000000ac 00000001 00000003 00000064 00000064 00000000 00000001 00000002 "
				"00000003 00000002 00000018 00000040 02005e000002 0000 02005e000001 0000 00000800 "
				"00000001 0000003c 00000001 00000040 00000004 0000002a "
				"02005e000001 02005e000002 0800 4500001c0001400040110000 0a000001 c0000201 "
				"9c40 01bb 0008 0000 0000 "
				"00000003 00000020 0000001c 00000011 0a000001 c0000201 00009c40 000001bb 00000000 "
				"00000000",
				octets);

	(void)state;
	assert_true(values_of(octets, bytes, &v));
	assert_int_equal(number_of(&v, SFLOW_DST_PORT), 443);
	assert_int_equal(v.values[SFLOW_HEADER].bytes, 42);
	assert_int_equal(number_of(&v, SFLOW_FRAME_OCTETS), 60);
	assert_false(sflow_has(&v, SFLOW_REST));
}

/* ---- sources ---- */

static const struct {
	uint32_t index;
	uint32_t sequence;
	uint32_t drops;
	uint32_t missed;
	uint32_t dropped;
} sources[] = {
	{ 3, 10, 5, 0, 0 },	    { 3, 11, 5, 0, 0 },	       { 3, 14, 7, 2, 2 },
	{ 3, 12, 6, 0, 0 }, /* late */ { 3, 15, 7, 0, 0 },	       { 4, 1000, 0, 0, 0 },
	{ 4, 1001, 0, 0, 0 },	    { 3, 16, 7, 0, 0 },	       { 3, 0xfffffffe, 0xffffffff, 0, 0 },
	{ 3, 0xfffffffe, 0, 0, 0 }, { 3, 1, 1, 0, 0 }, { 4, 1003, 1, 1, 1 },
	/* Both wrap; the total of drops begins anew; a jump is no loss, nor one far back. */
	{ 5, 0xfffffffe, 0xffffffff, 0, 0 }, { 5, 1, 1, 2, 2 }, { 5, 2, 0, 0, 0 }, { 5, 3, 3, 0, 3 },
	{ 5, 3 + (1u << 21), 9, 0, 0 },	     { 5, 5 + (1u << 21), 9, 1, 0 },	   { 5, 1, 0, 0, 0 }, { 5, 3, 1, 1, 1 },
};

static void test_sources(void **state)
{
	struct sflow_sources *all;

	(void)state;
	assert_int_equal(sflow_sources_new(&all), ERR_OK);
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		uint32_t drops = __builtin_bswap32(sources[i].drops);
		struct sflow_flow f = { .sequence = sources[i].sequence,
					.source_index = sources[i].index,
					.drops = (const uint8_t *)&drops };
		uint32_t missed;
		uint32_t dropped;

		sflow_sources_take(all, &f, &missed, &dropped);
		if (missed != sources[i].missed || dropped != sources[i].dropped)
			fail_msg("row %zu: %u missed, %u dropped", i, missed, dropped);
	}
	free(all);
}

/* ---- through the collector ---- */

struct seen {
	uint64_t flows;
	uint64_t octets;
	uint64_t letters;
	uint64_t templates;
	uint64_t fields_most;
	bool is_open;
};

static void on_tmpl(void *ctx, struct session *s, struct tmpl *t)
{
	struct seen *k = ctx;

	(void)s;
	k->templates++;
	if (t->field_count > k->fields_most)
		k->fields_most = t->field_count;
}

static void on_gone(void *ctx, struct tmpl *t)
{
	struct seen *k = ctx;

	(void)t;
	k->templates--;
}

static void on_session_gone(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
}

static void on_begin(void *ctx, const struct message *m, struct session *s)
{
	struct seen *k = ctx;

	(void)m;
	(void)s;
	assert_false(k->is_open);
	k->is_open = true;
}

static void on_end(void *ctx, const struct message *m, struct session *s)
{
	struct seen *k = ctx;

	(void)m;
	(void)s;
	assert_true(k->is_open);
	k->is_open = false;
}

/* Every octet of every value is read, and has the length that the template says. */
static void read_values(struct seen *k, const struct tmpl *t, const struct value *values)
{
	unsigned element = 0;

	for (uint16_t f = 0; f < t->field_count; f++, element++) {
		uint16_t bytes = t->fields[f].bytes;

		element = sflow_shape_next(t->shape, element);
		assert_true(element < SFLOW_ELEMENTS);
		assert_int_equal(sflow_rows[element].number, t->fields[f].id);
		if (bytes != TMPL_VARIABLE)
			assert_int_equal(values[element].bytes, bytes);
		for (uint32_t i = 0; i < values[element].bytes; i++)
			k->octets += values[element].octets[i] != 0;
	}
}

static size_t on_records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			 const struct record *r, size_t count, enum collector_stat *reason)
{
	struct seen *k = ctx;

	(void)s;
	(void)reason;
	assert_true(k->is_open);
	assert_true(count > 0);
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(r[i].octets, m->octets + r[i].offset);
		assert_true(r[i].offset + r[i].bytes <= m->bytes);
		assert_non_null(r[i].values);
		read_values(k, t, r[i].values);
	}
	k->flows += count;
	return 0;
}

static void on_undecodable(void *ctx, const struct message *m, const struct session *s,
			   enum collector_stat reason, const uint8_t *octets, size_t bytes)
{
	struct seen *k = ctx;

	(void)s;
	(void)reason;
	assert_ptr_equal(octets, m->octets);
	assert_int_equal(bytes, m->bytes);
	k->letters++;
}

static const struct collector_ops ops = { .tmpl_new = on_tmpl,
					  .tmpl_gone = on_gone,
					  .session_gone = on_session_gone,
					  .message_begin = on_begin,
					  .records = on_records,
					  .undecodable = on_undecodable,
					  .message_end = on_end };

struct rig {
	struct collector *c;
	struct stat_set *stat;
	struct seen seen;
	struct origin origin;
};

static void rig_open_bounded(struct rig *g, uint32_t templates_max, uint32_t templates_exporter_max,
			     uint32_t templates_all_max)
{
	const struct collector_limits limits = {
		.sessions_max = 16, .templates_max = templates_max, .fields_max = 512, .repeats_max = 16,
		.template_lifetime_s = 1800, .session_idle_s = 3600,
		.templates_exporter_max = templates_exporter_max, .templates_all_max = templates_all_max,
	};

	memset(g, 0, sizeof(*g));
	g->origin.peer = (struct addr){ { 127, 0, 0, 1 }, 4 };
	g->origin.receive_ms = 1000000;
	assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &g->stat), ERR_OK);
	assert_int_equal(collector_new(&limits, &ops, &g->seen, g->stat, &g->c), ERR_OK);
}

static void rig_open(struct rig *g)
{
	rig_open_bounded(g, 4096, 0, 0);
}

static void rig_close(struct rig *g)
{
	collector_free(g->c);
	stat_set_free(g->stat);
	assert_int_equal(g->seen.templates, 0);
}

static uint64_t stat_of(const struct rig *g, enum collector_stat which)
{
	return stat_get(g->stat, which);
}

static void check_ledger(const struct rig *g, uint64_t flows_before)
{
	uint64_t right = stat_of(g, STAT_RECORDS_FLOW) + stat_of(g, STAT_RECORDS_COUNTER) +
			 stat_of(g, STAT_RECORDS_DROP) + stat_of(g, STAT_REC_SAMPLE) +
			 stat_of(g, STAT_REC_SAMPLE_FORMAT) + stat_of(g, STAT_REC_SAMPLE_NOMEM);

	assert_int_equal(stat_of(g, STAT_RECORDS), right);
	assert_int_equal(stat_of(g, STAT_SETS_DATA), stat_of(g, STAT_SETS_DECODED));
	assert_int_equal(stat_of(g, STAT_RECORDS_FLOW), g->seen.flows);
	assert_true(g->seen.flows >= flows_before);
	assert_false(g->seen.is_open);
}

static const struct {
	const char *name;
	const char *octets; /* behind the version */
	enum collector_stat stat;
	uint64_t count;
	uint64_t letters;
} datagrams[] = {
	{ "no samples", "00000001 c0000201 00000000 00000001 00000001 00000000", STAT_MESSAGES_SFLOW5, 1, 0 },
	{ "an agent of IPv6",
	  "00000002 20010db8000000000000000000000001 00000000 00000001 00000001 00000001 00000002 00000004 00000000",
	  STAT_RECORDS_COUNTER, 1, 0 },
	{ "an agent of IPv6, cut", "00000002 20010db8000000000000000000000001 00000000 00000001 00000001",
	  STAT_MSG_SHORT, 1, 1 },
	{ "an agent of no kind", "00000003 c0000201 00000000 00000001 00000001 00000000", STAT_MSG_AGENT, 1, 1 },
	{ "2^32-1 samples", "00000001 c0000201 00000000 00000001 00000001 ffffffff 00000002 00000000", STAT_MSG_COUNT, 1, 1 },
	{ "a sample of 2^32-1 octets", "00000001 c0000201 00000000 00000001 00000001 00000001 00000001 ffffffff",
	  STAT_MSG_SET_LENGTH, 1, 1 },
	{ "a sample over its end", "00000001 c0000201 00000000 00000001 00000001 00000001 00000001 00000008 00000000",
	  STAT_MSG_SET_LENGTH, 1, 1 },
	{ "octets behind the samples", "00000001 c0000201 00000000 00000001 00000001 00000000 00000000",
	  STAT_TRAILING_OCTETS, 4, 0 },
	{ "a drop sample", "00000001 c0000201 00000000 00000001 00000001 00000001 00000005 00000004 00000000",
	  STAT_RECORDS_DROP, 1, 0 },
	{ "a format that is not known", "00000001 c0000201 00000000 00000001 00000001 00000001 00abc001 00000004 00000000",
	  STAT_REC_SAMPLE_FORMAT, 1, 0 },
	{ "a flow sample without its head", "00000001 c0000201 00000000 00000001 00000001 00000001 00000001 00000004 00000000",
	  STAT_REC_SAMPLE, 1, 1 },
	{ "two of them, and one letter",
	  "00000001 c0000201 00000000 00000001 00000001 00000002 00000001 00000004 00000000 00000001 00000004 00000000",
	  STAT_REC_SAMPLE, 2, 1 },
	{ "2^32-1 records",
	  "00000001 c0000201 00000000 00000001 00000001 00000001 00000001 00000020 00000001 00000003 00000064 00000064 "
	  "00000000 00000001 00000002 ffffffff",
	  STAT_REC_SAMPLE, 1, 1 },
	{ "a record over its sample",
	  "00000001 c0000201 00000000 00000001 00000001 00000001 00000001 00000028 00000001 00000003 00000064 00000064 "
	  "00000000 00000001 00000002 00000001 000003fc fffffff8",
	  STAT_REC_SAMPLE, 1, 1 },
	{ "a record that is a sample",
	  "00000001 c0000201 00000000 00000001 00000001 00000001 00000001 00000030 00000001 00000003 00000064 00000064 "
	  "00000000 00000001 00000002 00000001 00abc001 00000008 00000001 00000000",
	  STAT_SFLOW_PARTIAL, 1, 0 },
};

static void receive(struct rig *g, const uint8_t *octets, size_t bytes)
{
	/* Where a sanitizer sees one octet too far. */
	uint8_t *own = malloc(bytes + (bytes == 0));

	must(own != NULL);
	memcpy(own, octets, bytes);
	collector_receive(g->c, own, bytes, &g->origin);
	free(own);
}

static void test_datagrams(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(datagrams) / sizeof(datagrams[0]); i++) {
		uint8_t octets[256] = { 0, 0, 0, 5 };
		size_t bytes = 4 + from_hex(datagrams[i].octets, octets + 4);
		struct rig g;

		rig_open(&g);
		receive(&g, octets, bytes);
		if (stat_of(&g, datagrams[i].stat) != datagrams[i].count || g.seen.letters != datagrams[i].letters)
			fail_msg("%s: %llu, %llu letters", datagrams[i].name,
				 (unsigned long long)stat_of(&g, datagrams[i].stat),
				 (unsigned long long)g.seen.letters);
		check_ledger(&g, 0);
		rig_close(&g);
	}
}

/* One of each record, in one datagram. */
static size_t all_records(uint8_t *octets, uint32_t sequence)
{
	struct wr w = wr_of(octets, ROOM);

	put_datagram(&w, sequence, (uint32_t)RECORDS);
	for (size_t i = 0; i < RECORDS; i++)
		put_sample(&w, (uint32_t)i + 1, 5, 6, (int)i);
	must(!w.is_full);
	return wr_used(&w);
}

static void test_all(void **state)
{
	static uint8_t octets[ROOM];
	size_t bytes = all_records(octets, 1);
	struct rig g;

	(void)state;
	rig_open(&g);
	receive(&g, octets, bytes);
	assert_int_equal(g.seen.flows, RECORDS);
	check_ledger(&g, 0);
	for (size_t n = 0; n < bytes; n++) {
		receive(&g, octets, n);
		check_ledger(&g, RECORDS);
	}
	/* Cut anywhere, it says more than it has. */
	assert_int_equal(g.seen.flows, RECORDS);
	/* But for the version word, which would make it another format. */
	for (size_t n = 4; n < bytes; n++) {
		octets[n] ^= 0xff;
		receive(&g, octets, bytes);
		octets[n] ^= 0xff;
		octets[n] ^= 1;
		receive(&g, octets, bytes);
		octets[n] ^= 1;
		check_ledger(&g, RECORDS);
	}
	rig_close(&g);
}

#define SHAPE_RECORDS 8

/* A flow sample with those of the records whose bits are set. */
static void put_shape(struct wr *w, uint32_t shape)
{
	static const uint32_t formats[SHAPE_RECORDS] = { 1020, 1029, 1030, 1036, 1039, 1040, 1011, 1012 };
	uint8_t *length;

	wr_u32(w, 1);
	length = w->at;
	wr_u32(w, 0);
	for (unsigned i = 0; i < 7; i++)
		wr_u32(w, i == 2 ? 100 : shape);
	wr_u32(w, (uint32_t)__builtin_popcount(shape));
	for (unsigned i = 0; i < SHAPE_RECORDS; i++) {
		if ((shape >> i & 1) != 0)
			put_record(w, formats[i], (const uint8_t[8]){ 0 }, formats[i] == 1020 ? 8 : 4);
	}
	length[3] = (uint8_t)(w->at - length - 4);
	length[2] = (uint8_t)((w->at - length - 4) >> 8);
}

/* Samples that hold ever other elements: no more templates than a session may have, and no sample is lost. */
static void test_shapes(void **state)
{
	uint8_t octets[512];
	struct rig g;

	(void)state;
	rig_open(&g);
	for (uint32_t shape = 0; shape < 256; shape++) {
		struct wr w = wr_of(octets, sizeof(octets));

		put_datagram(&w, shape, 1);
		put_shape(&w, shape);
		receive(&g, octets, wr_used(&w));
	}
	assert_int_equal(g.seen.flows, 256);
	assert_int_equal(g.seen.templates, 65);
	assert_int_equal(stat_of(&g, STAT_TEMPLATES_NOW), 65);
	assert_int_equal(g.seen.fields_most, SFLOW_ELEMENTS);
	assert_int_equal(stat_of(&g, STAT_SFLOW_SHAPES), 256 - 64);
	assert_int_equal(stat_of(&g, STAT_SFLOW_PARTIAL), 0);
	check_ledger(&g, 0);
	rig_close(&g);
}

/* What is made for samples has the bounds of all templates, also where one datagram wants more of them at once. */
static void test_bounds(void **state)
{
	static const struct {
		uint32_t session_max, exporter_max, all_max;
		enum collector_stat evicted;
		uint64_t most;
	} cases[] = { { 4, 0, 0, STAT_TMPL_EVICTED_SESSION, 8 * 4 },
		      { 4096, 10, 0, STAT_TMPL_EVICTED_EXPORTER, 10 },
		      { 4096, 1, 0, STAT_TMPL_EVICTED_EXPORTER, 1 },
		      { 4096, 0, 20, STAT_TMPL_EVICTED_ALL, 20 },
		      { 4096, 0, 1, STAT_TMPL_EVICTED_ALL, 1 } };
	static uint8_t octets[ROOM];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig g;

		rig_open_bounded(&g, cases[i].session_max, cases[i].exporter_max, cases[i].all_max);
		for (uint32_t domain = 0; domain < 8; domain++) {
			struct wr w = wr_of(octets, sizeof(octets));

			put_datagram(&w, 1, 128);
			octets[15] = (uint8_t)domain;
			for (uint32_t n = 0; n < 128; n++)
				put_shape(&w, n * 37 % 64);
			receive(&g, octets, wr_used(&w));
			assert_true(g.seen.templates <= cases[i].most);
			assert_int_equal(stat_of(&g, STAT_TEMPLATES_NOW), g.seen.templates);
		}
		assert_int_equal(g.seen.flows, 8 * 128);
		assert_int_equal(g.seen.templates, cases[i].most);
		assert_true(stat_of(&g, cases[i].evicted) > 8 * 64 - 2 * cases[i].most);
		check_ledger(&g, 0);
		rig_close(&g);
	}
}

/* Two agents behind one address count their datagrams each for itself; gaps are of datagrams and of samples. */
static void test_agents(void **state)
{
	uint8_t octets[256];
	struct rig g;

	(void)state;
	rig_open(&g);
	for (uint32_t i = 0; i < 8; i++) {
		struct wr w = wr_of(octets, sizeof(octets));
		uint32_t turn = i / 2;
		uint32_t number = turn == 3 ? 5 : turn;

		put_datagram(&w, (i % 2 == 0 ? 100 : 90000) + number, 1);
		put_sample(&w, 1 + number, 5, 6, 0);
		octets[11] = (uint8_t)(1 + i % 2);
		receive(&g, octets, wr_used(&w));
	}
	assert_int_equal(stat_of(&g, STAT_SESSIONS_NEW), 2);
	assert_int_equal(stat_of(&g, STAT_SEQUENCE_MISSED), 4);
	assert_int_equal(stat_of(&g, STAT_SAMPLES_MISSED), 4);
	assert_int_equal(stat_of(&g, STAT_SEQUENCE_RESTARTS), 0);
	rig_close(&g);
}

/* The numbers of an agent's sources begin anew with it: what it loses then is counted, though they were higher before. */
static void test_reboot(void **state)
{
	static const struct {
		uint32_t datagram, sample;
		uint64_t missed;
	} cases[] = { { 100000, 5000, 0 }, { 100001, 5001, 0 }, { 100002, 5003, 1 }, { 1, 1, 1 }, { 2, 2, 1 }, { 3, 5, 3 }, { 4, 6, 3 } };
	uint8_t octets[256];
	struct rig g;

	(void)state;
	rig_open(&g);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wr w = wr_of(octets, sizeof(octets));

		put_datagram(&w, cases[i].datagram, 1);
		put_sample(&w, cases[i].sample, 5, 6, 0);
		g.origin.receive_ms += 1000;
		receive(&g, octets, wr_used(&w));
		if (stat_of(&g, STAT_SAMPLES_MISSED) != cases[i].missed)
			fail_msg("row %zu: %llu missed", i, (unsigned long long)stat_of(&g, STAT_SAMPLES_MISSED));
	}
	assert_int_equal(stat_of(&g, STAT_SEQUENCE_RESTARTS), 1);
	rig_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),	 cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_expanded), cmocka_unit_test(test_same_again),
		cmocka_unit_test(test_said_twice), cmocka_unit_test(test_socket_and_packet),
		cmocka_unit_test(test_sources),	 cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_all),	 cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_agents),	 cmocka_unit_test(test_reboot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
