/* SPDX-License-Identifier: Apache-2.0 */
#include "test/gen/gen_value.h"

#include <string.h>

#define NTP_EPOCH_S 2208988800u
#define JA3_COUNT 64
#define JA3_STATE 0x6a6133
#define SOURCES 4u /* of each sub-agent, which take turns in blocks of samples */
#define BLOCK 64u
#define RATE_MIN 256u
#define DROP_EVERY 50u
#define ETHERNET_OCTETS 14u
#define TAG_OCTETS 4u
#define FRAME_MIN 60u
#define MTU 1500u

struct service {
	uint16_t port;
	uint16_t l7;
	const char *name;
};

static const struct service gen_tcp[16] = {
	{ 443, 91, "TLS" },	    { 443, 91, "TLS" },	  { 443, 91, "TLS" },
	{ 443, 91, "TLS" },	    { 443, 91, "TLS" },	  { 443, 91, "TLS" },
	{ 80, 7, "HTTP" },	    { 80, 7, "HTTP" },	  { 8080, 7, "HTTP" },
	{ 22, 92, "SSH" },	    { 25, 3, "SMTP" },	  { 3306, 20, "MySQL" },
	{ 5432, 19, "PostgreSQL" }, { 993, 51, "IMAPS" }, { 445, 41, "SMBv23" },
	{ 179, 13, "BGP" },
};

static const struct service gen_udp[16] = {
	{ 53, 5, "DNS" },	  { 53, 5, "DNS" },	 { 53, 5, "DNS" },
	{ 53, 5, "DNS" },	  { 53, 5, "DNS" },	 { 53, 5, "DNS" },
	{ 443, 188, "QUIC" },	  { 443, 188, "QUIC" },	 { 443, 188, "QUIC" },
	{ 123, 9, "NTP" },	  { 161, 14, "SNMP" },	 { 514, 17, "Syslog" },
	{ 1194, 159, "OpenVPN" }, { 4500, 79, "IPSec" }, { 5060, 100, "SIP" },
	{ 67, 18, "DHCP" },
};

static const struct service gen_tls[8] = {
	{ 443, 91, "TLS" },
	{ 443, 126, "TLS.Google" },
	{ 443, 212, "TLS.Microsoft" },
	{ 443, 265, "TLS.AmazonAWS" },
	{ 443, 220, "TLS.Cloudflare" },
	{ 443, 203, "TLS.Github" },
	{ 443, 133, "TLS.NetFlix" },
	{ 443, 140, "TLS.Apple" },
};

static const char *const gen_domains[16] = {
	"example.com",	    "example.net",	   "example.org",	 "www.example.com",
	"cdn.example.net",  "api.example.org",	   "mail.example.com",	 "img.cdn.example.net",
	"shop.example.org", "login.example.com",   "static.example.net", "video.example.org",
	"ns1.example.com",  "updates.example.net", "a.b.c.example.org",	 "telemetry.example.com",
};

static const uint32_t gen_nets[8] = {
	0xC6120000, 0xC6130000, 0x64400000, 0xAC100000,
	0xC0A80000, 0xCB000000, 0xC0000000, 0xC6330000,
};

static const uint8_t gen_icmp[4][2] = { { 8, 0 }, { 0, 0 }, { 3, 3 }, { 11, 0 } };
static const uint8_t gen_icmp6[4][2] = { { 128, 0 }, { 129, 0 }, { 1, 4 }, { 3, 0 } };
static const uint8_t gen_tos[8] = { 0, 0, 0, 0, 0x28, 0x48, 0x88, 0xb8 };
static const uint8_t gen_flags[8] = { 0x02, 0x12, 0x14, 0x18, 0x1a, 0x1b, 0x1b, 0x1f };
static const uint8_t zeros[16];

static uint8_t ja3_text[JA3_COUNT][32];
static struct gen_blob domain_blob[16];

static size_t put_hex(uint64_t v, uint8_t *out)
{
	static const char digits[] = "0123456789abcdef";
	unsigned count = v == 0 ? 1 : (67 - (unsigned)__builtin_clzll(v)) / 4;

	for (unsigned i = 0; i < count; i++)
		out[i] = (uint8_t)digits[v >> 4 * (count - 1 - i) & 15];
	return count;
}

static struct gen_blob blob_of_text(const char *text)
{
	struct gen_blob b = { (const uint8_t *)text, strlen(text) };

	return b;
}

void gen_value_init(void)
{
	uint8_t digits[16];

	for (unsigned i = 0; i < JA3_COUNT; i++)
		for (unsigned half = 0; half < 2; half++) {
			uint64_t w = gen_word(JA3_STATE, 2 * i + half);
			size_t count = put_hex(w, digits);

			memset(ja3_text[i] + 16 * half, '0', 16);
			memcpy(ja3_text[i] + 16 * half + 16 - count, digits, count);
		}
	for (unsigned i = 0; i < 16; i++)
		domain_blob[i] = blob_of_text(gen_domains[i]);
}

int64_t gen_moment_ms(const struct gen_plan *plan, uint64_t n)
{
	return plan->base_ms + (int64_t)(n * plan->spread_us / 1000);
}

/* Room in the flow; GEN_ROOM_OCTETS is more than all values of one flow together. */
static uint8_t *room_take(struct gen_flow *f, size_t count)
{
	uint8_t *p = f->room + f->room_used;

	f->room_used += count;
	return p;
}

static void blob_set(struct gen_flow *f, enum gen_blob_slot slot, const uint8_t *p, size_t count)
{
	f->blob[slot].octets = p;
	f->blob[slot].count = count;
}

static void store32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static void store64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

static bool number_is_v6(const struct gen_plan *plan, uint64_t n, uint64_t w0)
{
	if (plan->format == GEN_V5)
		return false;
	if (plan->format == GEN_SFLOW || plan->set == GEN_NPROBE)
		return gen_bits(w0, 32, 3) < 2;
	return (n / plan->exporters) % 8 >= 5;
}

/* Protocol, ports, flags; returns the service, NULL for ICMP. */
static const struct service *fill_ports(const struct gen_plan *plan, struct gen_flow *f)
{
	uint64_t w = f->word[0];
	uint64_t *num = f->num;
	uint64_t client = 32768 + gen_bits(w, 16, 15) % 28232;
	bool turned = gen_bits(w, 12, 1) != 0;
	uint64_t kind = gen_bits(w, 0, 8);
	const struct service *s = NULL;
	const uint8_t *icmp;

	num[GEN_FLAGS] = 0;
	if (kind >= 243) {
		icmp = f->is_v6 ? gen_icmp6[gen_bits(w, 8, 2)] : gen_icmp[gen_bits(w, 8, 2)];
		num[GEN_PROTOCOL] = f->is_v6 ? 58 : 1;
		num[GEN_ICMP_TYPE] = icmp[0];
		num[GEN_ICMP_CODE] = icmp[1];
		num[GEN_SRC_PORT] = 0;
		num[GEN_DST_PORT] = plan->format == GEN_V5 ? (uint64_t)icmp[0] << 8 | icmp[1] : 0;
		return NULL;
	}
	if (kind < 160) {
		s = &gen_tcp[gen_bits(w, 8, 4)];
		num[GEN_PROTOCOL] = 6;
		num[GEN_FLAGS] = gen_flags[gen_bits(w, 48, 3)];
	} else {
		s = &gen_udp[gen_bits(w, 8, 4)];
		num[GEN_PROTOCOL] = 17;
	}
	num[GEN_ICMP_TYPE] = 0;
	num[GEN_ICMP_CODE] = 0;
	num[GEN_SRC_PORT] = turned ? s->port : client;
	num[GEN_DST_PORT] = turned ? client : s->port;
	return s;
}

static void fill_v5_addresses(const struct gen_plan *plan, uint64_t n, struct gen_flow *f)
{
	uint64_t low = n & 0xffffff;
	uint64_t h = gen_word(plan->seed, low * GEN_WORDS + 15);
	uint8_t *p = room_take(f, 8);

	store32(p, (uint32_t)(0x0A000000 + low));
	store32(p + 4, (uint32_t)(0xAC100000 + (((n >> 24) ^ h) & 0xffff)));
	blob_set(f, GEN_SRC, p, 4);
	blob_set(f, GEN_DST, p + 4, 4);
}

static void fill_addresses(struct gen_flow *f)
{
	uint64_t w1 = f->word[1];
	uint64_t w2 = f->word[2];
	bool turned = gen_bits(f->word[0], 12, 1) != 0;
	size_t count = f->is_v6 ? 16 : 4;
	uint8_t *client = room_take(f, 32);
	uint8_t *server = client + 16;
	uint64_t skewed = gen_bits(w1, 32, 16) & gen_bits(w1, 48, 16);

	if (f->is_v6) {
		store64(client, 0x20010DB800010000u | gen_bits(w1, 0, 16));
		store64(client + 8, gen_bits(w1, 30, 1) != 0 ? w2 : gen_bits(w2, 0, 16));
		store64(server, 0x20010DB8000F0000u | gen_bits(w1, 24, 3));
		store64(server + 8, skewed);
	} else {
		store32(client, 0x0A000000 | (uint32_t)gen_bits(w1, 0, 24));
		store32(server, gen_nets[gen_bits(w1, 24, 3)] + (uint32_t)skewed);
	}
	blob_set(f, GEN_SRC, turned ? server : client, count);
	blob_set(f, GEN_DST, turned ? client : server, count);
}

static void fill_counters(const struct gen_plan *plan, uint64_t n, struct gen_flow *f)
{
	uint64_t *num = f->num;
	uint64_t w0 = f->word[0];
	uint64_t w3 = f->word[3];
	uint64_t w4 = f->word[4];
	unsigned family = f->is_v6 ? 2 : 1;
	int64_t boot_ms = plan->base_ms - (int64_t)GEN_UPTIME_S * 1000;
	int64_t end_ms = gen_moment_ms(plan, n) - (int64_t)gen_bits(w4, 24, 11);
	int64_t start_ms = end_ms - (int64_t)(gen_bits(w4, 0, 17) >> gen_bits(w4, 17, 4));

	num[GEN_NUMBER] = n;
	num[GEN_TOS] = gen_tos[gen_bits(w0, 40, 3)];
	num[GEN_IN_IF] = 1 + gen_bits(w0, 52, 4);
	num[GEN_OUT_IF] = 1 + gen_bits(w0, 56, 4);
	num[GEN_PACKETS] = 1 + (gen_bits(w3, 0, 20) >> gen_bits(w3, 20, 5) % 21);
	num[GEN_OCTETS] = num[GEN_PACKETS] * (40 + gen_bits(w3, 32, 11) % 1461);
	num[GEN_REV_PACKETS] = num[GEN_PACKETS] * gen_bits(w3, 48, 4) >> 3;
	num[GEN_REV_OCTETS] = num[GEN_REV_PACKETS] * (40 + gen_bits(w3, 52, 10));
	num[GEN_START_MS] = (uint64_t)start_ms;
	num[GEN_END_MS] = (uint64_t)end_ms;
	num[GEN_START_UP] = (uint64_t)(start_ms - boot_ms);
	num[GEN_END_UP] = (uint64_t)(end_ms - boot_ms);
	num[GEN_SRC_AS] = 64512 + gen_bits(w4, 36, 6);
	num[GEN_DST_AS] = 1 + gen_bits(w4, 42, plan->format == GEN_V5 ? 14 : 18);
	num[GEN_SRC_MASK] = (16 + 4 * gen_bits(w4, 60, 2)) * family;
	num[GEN_DST_MASK] = (16 + 4 * gen_bits(w4, 62, 2)) * family;
	num[GEN_IP_VERSION] = f->is_v6 ? 6 : 4;
}

static void put_mac(struct gen_flow *f, enum gen_blob_slot slot, unsigned third, uint64_t low24)
{
	uint8_t *p = room_take(f, 6);

	p[0] = 0x02;
	p[1] = 0x5e;
	p[2] = (uint8_t)third;
	p[3] = (uint8_t)(low24 >> 16);
	p[4] = (uint8_t)(low24 >> 8);
	p[5] = (uint8_t)low24;
	blob_set(f, slot, p, 6);
}

/* The names that a probe looking into packets would have seen. */
static void fill_names(struct gen_flow *f, const struct service *s)
{
	uint64_t w6 = f->word[6];
	enum gen_blob_slot slot = GEN_BLOB_COUNT;
	const struct gen_blob *domain = &domain_blob[gen_bits(w6, 52, 4)];
	bool is_tcp = f->num[GEN_PROTOCOL] == 6;
	uint8_t *p;
	size_t count;

	blob_set(f, GEN_DNS_QUERY, zeros, 0);
	blob_set(f, GEN_TLS_NAME, zeros, 0);
	blob_set(f, GEN_HTTP_HOST, zeros, 0);
	blob_set(f, GEN_JA3, zeros, 0);
	blob_set(f, GEN_NO_TEXT, zeros, 0);
	if (s == NULL)
		return;
	if (!is_tcp && s->port == 53)
		slot = GEN_DNS_QUERY;
	else if (is_tcp && s->port == 443)
		slot = GEN_TLS_NAME;
	else if (is_tcp && (s->port == 80 || s->port == 8080))
		slot = GEN_HTTP_HOST;
	else
		return;
	p = room_take(f, 40);
	count = put_hex(gen_bits(w6, 0, 32) >> gen_bits(w6, 32, 5), p);
	p[count++] = '.';
	memcpy(p + count, domain->octets, domain->count);
	blob_set(f, slot, p, count + domain->count);
	if (slot == GEN_TLS_NAME)
		blob_set(f, GEN_JA3, ja3_text[gen_bits(w6, 37, 6)], 32);
}

static void fill_nprobe(struct gen_flow *f, const struct service *s)
{
	static const char *const icmp_name[2] = { "ICMP", "ICMPV6" };
	uint64_t *num = f->num;
	uint64_t w5 = f->word[5];
	bool is_tcp = num[GEN_PROTOCOL] == 6;

	blob_set(f, GEN_SRC4_OR0, f->is_v6 ? zeros : f->blob[GEN_SRC].octets, 4);
	blob_set(f, GEN_DST4_OR0, f->is_v6 ? zeros : f->blob[GEN_DST].octets, 4);
	blob_set(f, GEN_SRC6_OR0, f->is_v6 ? f->blob[GEN_SRC].octets : zeros, 16);
	blob_set(f, GEN_DST6_OR0, f->is_v6 ? f->blob[GEN_DST].octets : zeros, 16);
	put_mac(f, GEN_SRC_MAC, 0, gen_bits(w5, 0, 24));
	num[GEN_VLAN] = 1 + gen_bits(w5, 24, 12) % 100;
	num[GEN_CLIENT_MS] = is_tcp ? gen_bits(w5, 36, 8) : 0;
	num[GEN_SERVER_MS] = is_tcp ? gen_bits(w5, 44, 8) : 0;
	num[GEN_RETRANS_IN] = is_tcp ? gen_bits(w5, 52, 3) : 0;
	num[GEN_RETRANS_OUT] = is_tcp ? gen_bits(w5, 55, 3) : 0;
	num[GEN_DNS_RCODE] =
		!is_tcp && s != NULL && s->port == 53 && gen_bits(w5, 58, 3) == 0 ? 3 : 0;
	fill_names(f, s);
	if (s != NULL && is_tcp && s->port == 443)
		s = &gen_tls[gen_bits(f->word[6], 60, 3)];
	num[GEN_L7] = s != NULL ? s->l7 : f->is_v6 ? 102 : 81;
	f->blob[GEN_L7_NAME] = blob_of_text(s != NULL ? s->name : icmp_name[f->is_v6]);
}

static uint64_t ntp_of(uint64_t ms, uint64_t add_ns, bool is_nano)
{
	uint64_t ns = ms % 1000 * 1000000 + add_ns;
	uint64_t fraction = (ns << 32) / 1000000000 + ((ns << 32) % 1000000000 != 0);

	if (!is_nano) /* RFC 7011, 6.1.9: the last eleven bits of microseconds are zero */
		fraction = (fraction + 2047) & ~(uint64_t)2047;
	return (ms / 1000 + NTP_EPOCH_S) << 32 | fraction;
}

static void put_hop(struct gen_flow *f, enum gen_blob_slot slot, uint32_t net, unsigned site,
		    uint64_t host)
{
	uint8_t *p = room_take(f, 16);

	if (f->is_v6) {
		store64(p, 0x20010DB800000000u | (uint64_t)site << 16);
		store64(p + 8, host);
	} else {
		store32(p, net | (uint32_t)host);
	}
	blob_set(f, slot, p, f->is_v6 ? 16 : 4);
}

static void put_repeated(struct gen_flow *f, enum gen_blob_slot slot, uint64_t word, size_t count)
{
	uint8_t *p = room_take(f, (count + 7) & ~(size_t)7);

	for (size_t at = 0; at < count; at += 8)
		store64(p + at, word);
	blob_set(f, slot, p, count);
}

static void fill_rich_numbers(const struct gen_plan *plan, struct gen_flow *f)
{
	const uint64_t *w = f->word;
	uint64_t *num = f->num;
	uint64_t add_ns = (10 + gen_bits(w[8], 56, 7)) * 1000;
	double wide = (double)gen_bits(w[10], 21, 40) / 1024;
	double narrow = (double)gen_bits(w[11], 0, 20) / 256;
	float single = (float)narrow;
	uint32_t single_bits;

	if (f->is_v6)
		add_ns += gen_bits(w[8], 40, 7);
	num[GEN_TOTAL_OCTETS] = gen_bits(w[7], 0, 6) == 0 ? w[7] | (uint64_t)1 << 63 : w[7] >> 24;
	num[GEN_START_NTP] = ntp_of(num[GEN_START_MS], add_ns, f->is_v6);
	num[GEN_END_NTP] = ntp_of(num[GEN_END_MS], add_ns, f->is_v6);
	num[GEN_SEEN_NTP] = ntp_of(num[GEN_END_MS], 0, false);
	num[GEN_END_REASON] = 1 + gen_bits(w[9], 0, 8) % 5;
	num[GEN_MPLS_1] = gen_bits(w[9], 8, 20) << 4;
	num[GEN_MPLS_2] = gen_bits(w[9], 28, 20) << 4;
	num[GEN_MPLS_3] = gen_bits(w[10], 0, 20) << 4 | 1;
	num[GEN_BOOLEAN] = 1 + gen_bits(w[10], 20, 1);
	num[GEN_END_S] = num[GEN_END_MS] / 1000;
	num[GEN_FIREWALL] = gen_bits(w[11], 20, 8) % 6;
	memcpy(&num[GEN_DOUBLE], &wide, sizeof(wide));
	memcpy(&num[GEN_FLOAT], &narrow, sizeof(narrow));
	memcpy(&single_bits, &single, sizeof(single));
	if (plan->format == GEN_IPFIX)
		num[GEN_FLOAT] = single_bits;
}

static void fill_rich_texts(uint64_t n, struct gen_flow *f)
{
	const uint64_t *w = f->word;
	static const uint8_t user[] = { 'u', 0xc5, 0xbe, '-' };
	static const uint8_t eth[] = { 'e', 't', 'h' };
	size_t count = gen_bits(w[14], 12, 4) != 0 ? 0 : 255;
	uint64_t in_if = f->num[GEN_IN_IF];
	uint8_t *p;

	count += gen_bits(w[14], 16, 5);
	p = room_take(f, count);
	for (size_t i = 0; i < count; i++)
		p[i] = (uint8_t)('a' + (n + i) % 26);
	blob_set(f, GEN_APP_TEXT, p, count);

	p = room_take(f, 8);
	memcpy(p, user, sizeof(user));
	count = gen_bits(w[14], 21, 2) == 0 ? 0 : 4 + put_hex(gen_bits(w[14], 23, 16), p + 4);
	blob_set(f, GEN_USER, p, count);

	p = room_take(f, 5);
	memcpy(p, eth, sizeof(eth));
	count = 3;
	if (in_if >= 10)
		p[count++] = (uint8_t)('0' + in_if / 10);
	p[count++] = (uint8_t)('0' + in_if % 10);
	blob_set(f, GEN_IF_NAME, p, count);

	f->blob[GEN_APP_NAME] = blob_of_text(gen_udp[gen_bits(w[0], 8, 4)].name);
}

static void fill_rich(const struct gen_plan *plan, uint64_t n, struct gen_flow *f)
{
	const uint64_t *w = f->word;
	bool is_v9 = plan->format == GEN_V9;
	uint8_t *p;

	fill_rich_numbers(plan, f);
	fill_rich_texts(n, f);
	put_mac(f, GEN_SRC_MAC, 0, gen_bits(w[5], 0, 24));
	put_mac(f, GEN_DST_MAC, 1, gen_bits(w[12], 0, 24));
	put_mac(f, GEN_POST_SRC_MAC, 2, gen_bits(w[12], 24, 24));
	put_mac(f, GEN_POST_DST_MAC, 3, gen_bits(w[13], 0, 24));
	put_hop(f, GEN_NEXT_HOP, 0xC0000200, 2, gen_bits(w[13], 24, 8));
	put_hop(f, GEN_BGP_HOP, 0xC6336400, 3, gen_bits(w[13], 32, 8));
	put_hop(f, GEN_MPLS_ADDR, 0xCB007100, 4, gen_bits(w[13], 40, 8));
	put_hop(f, GEN_NAT_SRC, 0xCB007100, 5, gen_bits(w[13], 48, 8));
	put_hop(f, GEN_NAT_DST, 0xC6336400, 6, gen_bits(w[13], 56, 8));
	p = room_take(f, 4);
	store32(p, 13u << 24 | (uint32_t)gen_bits(w[14], 0, 12));
	blob_set(f, GEN_APP_ID, p, 4);
	put_repeated(f, GEN_SECTION, w[15], is_v9 ? 20 : 20 + gen_bits(w[14], 39, 4));
	put_repeated(f, GEN_UNKNOWN, w[15], is_v9 ? 5 : gen_bits(w[14], 43, 4));
}

/* What the sampler says, and the frame that it saw. */
static void fill_sflow(const struct gen_plan *plan, uint64_t n, struct gen_flow *f)
{
	const uint64_t *w = f->word;
	uint64_t *num = f->num;
	uint64_t j = n / plan->exporters;
	uint64_t pair = j / BLOCK / GEN_SUB_AGENTS;
	uint64_t place = pair * (BLOCK / SOURCES) + j % BLOCK / SOURCES;
	uint64_t ip = 40 + gen_bits(w[3], 32, 11) % 1461 + (f->is_v6 ? 20 : 0);
	uint64_t frame;

	num[GEN_SUB_AGENT] = j / BLOCK % GEN_SUB_AGENTS;
	num[GEN_SOURCE] = 1 + SOURCES * num[GEN_SUB_AGENT] + j % SOURCES;
	num[GEN_SEQUENCE] = place + 1;
	num[GEN_RATE] = RATE_MIN << j % SOURCES;
	num[GEN_POOL] = (place + 1) * num[GEN_RATE];
	num[GEN_DROPS] = place / DROP_EVERY;
	num[GEN_IS_EXPANDED] = pair % 2;
	num[GEN_IS_TAGGED] = gen_bits(w[5], 62, 2) == 0;
	num[GEN_VLAN] = 1 + gen_bits(w[5], 24, 12) % 100;
	num[GEN_IP_OCTETS] = ip < MTU ? ip : MTU;
	frame = ETHERNET_OCTETS + TAG_OCTETS * num[GEN_IS_TAGGED] + num[GEN_IP_OCTETS];
	num[GEN_FRAME] = frame > FRAME_MIN ? frame : FRAME_MIN;
	put_mac(f, GEN_SRC_MAC, 0, gen_bits(w[5], 0, 24));
	put_mac(f, GEN_DST_MAC, 1, gen_bits(w[12], 0, 24));
	put_hop(f, GEN_NEXT_HOP, 0xC0000200, 2, gen_bits(w[13], 24, 8));
}

void gen_flow_fill(const struct gen_plan *plan, uint64_t n, struct gen_flow *f)
{
	static const unsigned words_of_set[] = { 5, 7, GEN_WORDS };
	bool has_set = plan->format == GEN_V9 || plan->format == GEN_IPFIX;
	unsigned word_count = has_set ? words_of_set[plan->set] : GEN_WORDS;
	const struct service *s;

	for (unsigned k = 0; k < word_count; k++)
		f->word[k] = gen_word(plan->seed, n * GEN_WORDS + k);
	f->room_used = 0;
	f->is_v6 = number_is_v6(plan, n, f->word[0]);
	s = fill_ports(plan, f);
	fill_counters(plan, n, f);
	if (plan->format == GEN_V5) {
		fill_v5_addresses(plan, n, f);
		put_hop(f, GEN_NEXT_HOP, 0xC0000200, 2, gen_bits(f->word[13], 24, 8));
		return;
	}
	fill_addresses(f);
	if (plan->format == GEN_SFLOW)
		fill_sflow(plan, n, f);
	else if (plan->set == GEN_NPROBE)
		fill_nprobe(f, s);
	else if (plan->set == GEN_RICH)
		fill_rich(plan, n, f);
}
