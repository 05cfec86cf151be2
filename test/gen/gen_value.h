/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_value.h - what flow number n says, recomputable by anybody from (seed, n).
 *
 * Word k of flow n is output number 16n+k (counted from 0) of the splitmix64 sequence that starts
 * at state `seed`:
 *
 *	z = seed + (16n + k + 1) * 0x9E3779B97F4A7C15
 *	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
 *	z = (z ^ z >> 27) * 0x94D049BB133111EB
 *	word = z ^ z >> 31				(all modulo 2^64)
 *
 * b(k, at, count) below is `count` bits of word k from bit `at` up (0 is the lowest).
 *
 * j = n / exporters, exporter = n mod exporters.  Family: basic and rich are IPv6 where j mod 8 is
 * 5 or more; nprobe and sFlow where b(0,32,3) is below 2; v5 never.
 * V = 1000 * time + n * spread_us / 1000 is the moment of the flow in ms;
 * boot = 1000 * (time - 259200).
 *
 *	protocol	b(0,0,8) < 160 TCP, < 243 UDP, else ICMP (1) or ICMPv6 (58)
 *	service port	gen_tcp[b(0,8,4)].port, gen_udp[b(0,8,4)].port
 *	client port	32768 + b(0,16,15) mod 28232;  both are 0 for ICMP
 *			(v5: the destination is type * 256 + code)
 *	turned		b(0,12,1): the source is the server
 *	icmp		gen_icmp[b(0,8,2)] type and code, gen_icmp6 for ICMPv6
 *	tos		gen_tos[b(0,40,3)];  flags gen_flags[b(0,48,3)] for TCP, else 0
 *	interfaces	in 1 + b(0,52,4), out 1 + b(0,56,4)
 *	client IPv4	10.0.0.0 + b(1,0,24);
 *	server IPv4	gen_nets[b(1,24,3)] + (b(1,32,16) & b(1,48,16))
 *	client IPv6	2001:db8:1:b(1,0,16):: + (b(1,30,1) ? b(2,0,64) : b(2,0,16))
 *	server IPv6	2001:db8:f:b(1,24,3):: + (b(1,32,16) & b(1,48,16))
 *	packets		1 + (b(3,0,20) >> b(3,20,5) mod 21);
 *			bytes = packets * (40 + b(3,32,11) mod 1461)
 *	reverse		packets * b(3,48,4) >> 3;  bytes = reverse packets * (40 + b(3,52,10))
 *	end ms		V - b(4,24,11);  start = end - (b(4,0,17) >> b(4,17,4))
 *	AS		source 64512 + b(4,36,6), destination 1 + b(4,42,18), in v5 b(4,42,14)
 *	prefix		source 16 + 4 * b(4,60,2), destination 16 + 4 * b(4,62,2); doubled for IPv6
 *	nprobe		MAC 02:5e:00 + b(5,0,24); VLAN 1 + b(5,24,12) mod 100;
 *			for TCP, else 0: latencies b(5,36,8) and b(5,44,8) ms, retransmitted
 *			b(5,52,3) and b(5,55,3)
 *	L7		of gen_tcp, gen_udp; TCP 443 gen_tls[b(6,60,3)]; 81 ICMP, 102 ICMPV6
 *	names		hex(b(6,0,32) >> b(6,32,5)) "." gen_domains[b(6,52,4)], no leading zeros;
 *			DNS_QUERY on UDP 53, TLS_SERVER_NAME on TCP 443, HTTP_HOST on TCP 80
 *			and 8080, else empty
 *	dns rcode	3 on UDP 53 where b(5,58,3) is 0, else 0
 *	ja3		on TCP 443: 32 hex digits, words 2i and 2i+1 of the sequence from state
 *			0x6a6133, i = b(6,37,6)
 *	rich		as the rows of gen_tmpl.c and the slots below say
 *
 *	sFlow		j is sample j of an agent, which has 2 sub-agents and 4 sources at each, taking
 *			turns: block = j / 64, sub-agent block mod 2, lane = j mod 4,
 *			source 1 + 4 * sub-agent + lane; q = block / 2 * 16 + j mod 64 / 4 is
 *			its place there: sequence q + 1, rate 256 << lane, pool (q + 1) * rate,
 *			drops q / 50, expanded where block / 2 is odd
 *	frame		IP of 40 + b(3,32,11) mod 1461 octets, 20 more (1500 at most) for IPv6,
 *			behind Ethernet, 802.1Q where b(5,62,2) is 0; at least 60 octets and 4
 *			of checksum, which is stripped; the first 128 are in the sample
 *	its octets	MAC 02:5e:00 + b(5,0,24) to 02:5e:01 + b(12,0,24), TTL 64, TCP sequence
 *			b(13,0,32), octet i behind the last header i mod 256
 *	and beside it	extended switch: VLAN as of nprobe in, 1 out, priorities 0; extended
 *			router: next hop as of v5 and rich, prefixes
 *
 * The number comes back in flowId (IANA 148, 8 octets).  NetFlow v5 has no room for it, so it is
 * spread, up to 2^40: source address = 10.0.0.0 + (n mod 2^24); destination address = 172.16.0.0 +
 * ((n >> 24) ^ h), where h is the low 16 bits of word 15 of flow (n mod 2^24).  In sFlow agent, source
 * and sequence say it.
 *
 * Owner: the caller.  The blobs point into the flow itself or into static tables.
 */
#ifndef TEST_GEN_GEN_VALUE_H
#define TEST_GEN_GEN_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEN_WORDS 16
#define GEN_UPTIME_S 259200 /* exporters booted three days before the base time */
#define GEN_ROOM_OCTETS 1024

enum gen_format { GEN_V5, GEN_V9, GEN_IPFIX, GEN_SFLOW };
enum gen_set { GEN_BASIC, GEN_NPROBE, GEN_RICH };

#define GEN_SUB_AGENTS 2

/* Numbers of a flow. */
enum gen_slot {
	GEN_NUMBER,
	GEN_SRC_PORT,
	GEN_DST_PORT,
	GEN_PROTOCOL,
	GEN_TOS,
	GEN_FLAGS,
	GEN_OCTETS,
	GEN_PACKETS,
	GEN_REV_OCTETS,
	GEN_REV_PACKETS,
	GEN_IN_IF,
	GEN_OUT_IF,
	GEN_START_MS,
	GEN_END_MS,
	GEN_START_UP,
	GEN_END_UP,
	GEN_SRC_AS,
	GEN_DST_AS,
	GEN_SRC_MASK,
	GEN_DST_MASK,
	GEN_IP_VERSION,
	GEN_ICMP_TYPE,
	GEN_ICMP_CODE,
	GEN_VLAN,
	GEN_L7,
	GEN_CLIENT_MS,
	GEN_SERVER_MS,
	GEN_RETRANS_IN,
	GEN_RETRANS_OUT,
	GEN_DNS_RCODE,
	GEN_TOTAL_OCTETS, /* rich: w7, top bit set where b(7,0,6) is 0, else w7 >> 24 */
	GEN_START_NTP,	  /* rich: start as NTP, plus 10 + b(8,56,7) us; v6: plus b(8,40,7) ns */
	GEN_END_NTP,	  /* rich: the same of end */
	GEN_SEEN_NTP,	  /* rich: observationTimeMicroseconds and -Nanoseconds: end, whole ms */
	GEN_END_REASON,	  /* rich: 1 + b(9,0,8) mod 5 */
	GEN_MPLS_1,	  /* rich: b(9,8,20) << 4 */
	GEN_MPLS_2,	  /* rich: b(9,28,20) << 4 */
	GEN_MPLS_3,	  /* rich: b(10,0,20) << 4 | 1, bottom of stack */
	GEN_BOOLEAN,	  /* rich: 1 + b(10,20,1): 1 true, 2 false */
	GEN_DOUBLE,	  /* rich: bits of the double b(10,21,40) / 1024 */
	GEN_FLOAT,	  /* rich: bits of the float b(11,0,20) / 256, of the double in v9 */
	GEN_END_S,	  /* rich: end in seconds */
	GEN_FIREWALL,	  /* rich: b(11,20,8) mod 6 */
	GEN_SUB_AGENT,	  /* these are of sFlow */
	GEN_SOURCE,
	GEN_SEQUENCE,
	GEN_RATE,
	GEN_POOL,
	GEN_DROPS,
	GEN_IS_EXPANDED,
	GEN_IS_TAGGED,
	GEN_IP_OCTETS,
	GEN_FRAME, /* its octets */
	GEN_SLOT_COUNT
};

/* Octets of a flow. */
enum gen_blob_slot {
	GEN_SRC, /* of the flow's family */
	GEN_DST,
	GEN_SRC4_OR0, /* zero when the flow is of the other family */
	GEN_DST4_OR0,
	GEN_SRC6_OR0,
	GEN_DST6_OR0,
	GEN_SRC_MAC,
	GEN_L7_NAME,
	GEN_DNS_QUERY,
	GEN_TLS_NAME,
	GEN_HTTP_HOST,
	GEN_JA3,
	GEN_NO_TEXT,
	GEN_DST_MAC,	  /* rich and sFlow: 02:5e:01 + b(12,0,24) */
	GEN_POST_SRC_MAC, /* rich: 02:5e:02 + b(12,24,24) */
	GEN_POST_DST_MAC, /* rich: 02:5e:03 + b(13,0,24) */
	GEN_NEXT_HOP,	  /* rich, v5 and sFlow: 192.0.2.b(13,24,8), 2001:db8:2::b(13,24,8) */
	GEN_BGP_HOP,	  /* rich: 198.51.100.b(13,32,8), 2001:db8:3::b(13,32,8) */
	GEN_MPLS_ADDR,	  /* rich: 203.0.113.b(13,40,8), 2001:db8:4::b(13,40,8) */
	GEN_NAT_SRC,	  /* rich: 203.0.113.b(13,48,8), 2001:db8:5::b(13,48,8) */
	GEN_NAT_DST,	  /* rich: 198.51.100.b(13,56,8), 2001:db8:6::b(13,56,8) */
	GEN_APP_ID,	  /* rich: octet 13, then 3 octets of b(14,0,12) */
	GEN_APP_NAME,	  /* rich: gen_udp[b(0,8,4)].name */
	GEN_APP_TEXT, /* rich: b(14,16,5) times 'a' + (n + place) mod 26; 255 more if !b(14,12,4) */
	GEN_USER,     /* rich: empty where b(14,21,2) is 0, else "už-" hex(b(14,23,16)) */
	GEN_IF_NAME,  /* rich: "eth" and the input interface in decimal */
	GEN_SECTION,  /* rich: 20 + b(14,39,4) octets: word 15, repeated; 20 in v9 */
	GEN_UNKNOWN,  /* rich: b(14,43,4) octets of word 15, repeated; 5 in v9 */
	GEN_BLOB_COUNT
};

struct gen_blob {
	const uint8_t *octets;
	size_t count;
};

struct gen_plan { /* the constants of a run */
	uint64_t seed;
	uint64_t exporters;
	int64_t base_ms; /* 1000 * time */
	uint64_t spread_us;
	enum gen_format format;
	enum gen_set set;
};

struct gen_flow {
	bool is_v6;
	uint64_t word[GEN_WORDS];
	uint64_t num[GEN_SLOT_COUNT];
	struct gen_blob blob[GEN_BLOB_COUNT];
	uint8_t room[GEN_ROOM_OCTETS];
	size_t room_used;
};

/* Once, before anything else: builds the table of JA3 texts. */
void gen_value_init(void);

/* The moment of flow `n`, ms since 1970. */
int64_t gen_moment_ms(const struct gen_plan *plan, uint64_t n);

/* Fills what the templates of the plan need of flow `n`. */
void gen_flow_fill(const struct gen_plan *plan, uint64_t n, struct gen_flow *f);

static inline uint64_t gen_word(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static inline uint64_t gen_bits(uint64_t word, unsigned at, unsigned count)
{
	return count == 64 ? word : word >> at & (((uint64_t)1 << count) - 1);
}

#endif
