/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich_community_id.h"

#include <stdlib.h>

#include "base/rd.h"
#include "base/sha1.h"

#define BATCH 8 /* flows whose hashes are made side by side; the pipeline brings no more */
#define V4_WORDS 1
#define V6_WORDS 4
#define ENDS_WORDS_MAX (2 * V6_WORDS)

/* By protocol number: what stands behind the addresses. */
enum kind { KIND_BARE, KIND_PORTS, KIND_ICMP, KIND_ICMPV6 };
static const uint8_t kinds[256] = {
	[1] = KIND_ICMP,    [6] = KIND_PORTS,	[17] = KIND_PORTS,
	[58] = KIND_ICMPV6, [132] = KIND_PORTS,
};

struct enrich_community_id {
	sha1_fn *sha1;
	uint32_t seed;
};

/* What the message holds behind the addresses. */
struct ports {
	uint16_t src;
	uint16_t dst;
	bool are_there;
	bool is_one_way; /* an ICMP type without counterpart: the order stays */
};

/* The other type of the pair, plus 1; 0: there is none. */
static const uint16_t icmp_pairs[256] = {
	[0] = 8 + 1,   [8] = 0 + 1,   /* echo */
	[9] = 10 + 1,  [10] = 9 + 1,  /* router advertisement, solicitation */
	[13] = 14 + 1, [14] = 13 + 1, /* timestamp */
	[15] = 16 + 1, [16] = 15 + 1, /* information */
	[17] = 18 + 1, [18] = 17 + 1, /* address mask */
};
static const uint16_t icmpv6_pairs[256] = {
	[128] = 129 + 1, [129] = 128 + 1, /* echo */
	[130] = 131 + 1, [131] = 130 + 1, /* listener query, report */
	[133] = 134 + 1, [134] = 133 + 1, /* router solicitation, advertisement */
	[135] = 136 + 1, [136] = 135 + 1, /* neighbour solicitation, advertisement */
	[139] = 140 + 1, [140] = 139 + 1, /* node information query, response */
	[144] = 145 + 1, [145] = 144 + 1, /* home agent discovery request, reply */
};

const struct feed enrich_community_id_feeds[] = {
	{ F_community_id, NULL,
	  "src_ip, dst_ip, protocol_number, src_port, dst_port, icmp_type, icmp_code, normalizer.community_id.seed" },
	{ 0 },
};

const struct conf_opt enrich_community_id_options[] = {
	{ "seed", CONF_U32, CONF_LIVE, offsetof(struct enrich_community_id_conf, seed), 0, 65535,
	  "0", "Seed of the hash: the same as in the tools that the names are compared with." },
	{ 0 },
};

enum err enrich_community_id_load(const void *conf, struct why *why, void **out)
{
	const struct enrich_community_id_conf *c = conf;
	struct enrich_community_id *self = calloc(1, sizeof(*self));

	if (self == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	self->sha1 = sha1_best();
	self->seed = c == NULL ? 0 : c->seed;
	*out = self;
	return ERR_OK;
}

void enrich_community_id_free(void *self)
{
	free(self);
}

static bool icmp_ports(const struct flow *f, const uint16_t *pairs, struct ports *out)
{
	unsigned type = (unsigned)f->slots[F_icmp_type].i64 & 0xff;
	unsigned code = flow_has(f, F_icmp_code) ? (unsigned)f->slots[F_icmp_code].i64 & 0xff : 0;

	if (!flow_has(f, F_icmp_type)) {
		if (!flow_has(f, F_dst_port))
			return false;
		type = (unsigned)f->slots[F_dst_port].i64 >> 8 & 0xff;
		code = (unsigned)f->slots[F_dst_port].i64 & 0xff;
	}
	out->are_there = true;
	out->is_one_way = pairs[type] == 0;
	out->src = (uint16_t)type;
	out->dst = (uint16_t)(out->is_one_way ? code : pairs[type] - 1u);
	return true;
}

static bool plain_ports(const struct flow *f, struct ports *out)
{
	if (!flow_has(f, F_src_port) || !flow_has(f, F_dst_port))
		return false;
	out->are_there = true;
	out->is_one_way = false;
	out->src = (uint16_t)f->slots[F_src_port].i64;
	out->dst = (uint16_t)f->slots[F_dst_port].i64;
	return true;
}

static bool find_ports(const struct flow *f, int64_t protocol, struct ports *out)
{
	switch ((enum kind)kinds[protocol]) {
	case KIND_PORTS:
		return plain_ports(f, out);
	case KIND_ICMP:
		return icmp_ports(f, icmp_pairs, out);
	case KIND_ICMPV6:
		return icmp_ports(f, icmpv6_pairs, out);
	case KIND_BARE:
		break;
	}
	*out = (struct ports){ 0 };
	return true;
}

/* Does the source stand behind the destination? */
static inline bool is_behind(const uint32_t *src, const uint32_t *dst, unsigned words,
			     const struct ports *p)
{
	unsigned i = 0;

	while (i < words - 1 && src[i] == dst[i])
		i++;
	if (src[i] != dst[i])
		return src[i] > dst[i];
	return p->src > p->dst;
}

/* Loads both addresses and brings the ends into the order of the message: half of all flows have the other
 * order, in no order that a CPU could guess, so that exchanging is without a branch. */
static inline void order_ends(const struct flow *f, unsigned words, uint32_t *ends, struct ports *p)
{
	uint32_t turned;
	uint32_t changed;

	for (unsigned i = 0; i < words; i++) {
		ends[i] = be32(f->slots[F_src_ip].octets + 4 * i);
		ends[words + i] = be32(f->slots[F_dst_ip].octets + 4 * i);
	}
	turned = 0u - (uint32_t)(is_behind(ends, ends + words, words, p) & !p->is_one_way);
	for (unsigned i = 0; i < words; i++) {
		changed = (ends[i] ^ ends[words + i]) & turned;
		ends[i] ^= changed;
		ends[words + i] ^= changed;
	}
	changed = ((uint32_t)p->src ^ p->dst) & turned;
	p->src = (uint16_t)(p->src ^ changed);
	p->dst = (uint16_t)(p->dst ^ changed);
}

/* The seed's two octets push all that follows half a word on. */
static inline void fill_block(const uint32_t *ends, unsigned words, uint32_t seed,
			      uint32_t protocol, const struct ports *p, struct sha1_block *block)
{
	unsigned at = 2 * words + 1;
	uint32_t before = seed;

	for (unsigned i = 0; i < 2 * words; i++) {
		block->words[i] = before << 16 | ends[i] >> 16;
		before = ends[i];
	}
	block->words[2 * words] = before << 16 | protocol << 8;
	if (p->are_there)
		block->words[at++] = (uint32_t)p->src << 16 | p->dst;
	block->words[at] = 0x80000000;
	for (unsigned i = at + 1; i < SHA1_BLOCK_WORDS - 1; i++)
		block->words[i] = 0;
	block->words[SHA1_BLOCK_WORDS - 1] = at * 32;
}

#define ONES UINT64_C(0x0101010101010101)

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* In each octet of a word: is it at least `least`?  Octets are below 64. */
static inline uint64_t are_least(uint64_t octets, unsigned least)
{
	return (octets + ONES * (128 - least)) >> 7 & ONES;
}

/* Eight characters of 48 bits, all at once: six bits to each octet, then what lies between 0 and A, 26 and a, 52
 * and 0, 62 and +, 63 and /. */
static inline void put_base64(uint64_t bits, uint8_t *out)
{
	uint64_t x = (bits & 0x0000ffffff000000) << 8 | (bits & 0x0000000000ffffff);

	x = (x & 0x00fff00000fff000) << 4 | (x & 0x00000fff00000fff);
	x = (x & 0x0fc00fc00fc00fc0) << 2 | (x & 0x003f003f003f003f);
	x = x + ONES * 'A' + are_least(x, 26) * 6 - are_least(x, 52) * 75 - are_least(x, 62) * 15 +
	    are_least(x, 63) * 3;
	x = __builtin_bswap64(x);
	memcpy(out, &x, sizeof(x));
}

static void put_text(const struct sha1_digest *digest, uint8_t *out)
{
	const uint32_t *d = digest->words;

	out[0] = '1';
	out[1] = ':';
	put_base64((uint64_t)d[0] << 16 | d[1] >> 16, out + 2);
	put_base64((uint64_t)(d[1] & 0xffff) << 32 | d[2], out + 10);
	put_base64((uint64_t)d[3] << 16 | d[4] >> 16, out + 18);
	out[26] = (uint8_t)alphabet[d[4] >> 10 & 63];
	out[27] = (uint8_t)alphabet[d[4] >> 4 & 63];
	out[28] = (uint8_t)alphabet[d[4] << 2 & 63];
	out[29] = '=';
}

static bool has_ends(const struct flow *f)
{
	return flow_has(f, F_src_ip) && flow_has(f, F_dst_ip) && flow_has(f, F_protocol_number) &&
	       f->slots[F_src_ip].bytes == f->slots[F_dst_ip].bytes;
}

/* The flow's message; false when it has no name. */
static bool make_block(const struct enrich_community_id *self, const struct flow *f,
		       struct sha1_block *block)
{
	int64_t protocol = f->slots[F_protocol_number].i64;
	uint32_t ends[ENDS_WORDS_MAX];
	struct ports ports;

	if (!has_ends(f) || protocol < 0 || protocol > 255 || !find_ports(f, protocol, &ports))
		return false;
	if (f->slots[F_src_ip].bytes == 4) {
		order_ends(f, V4_WORDS, ends, &ports);
		fill_block(ends, V4_WORDS, self->seed, (uint32_t)protocol, &ports, block);
	} else {
		order_ends(f, V6_WORDS, ends, &ports);
		fill_block(ends, V6_WORDS, self->seed, (uint32_t)protocol, &ports, block);
	}
	return true;
}

/* At most BATCH flows: all messages, all hashes, all texts. */
static void enrich_some(const struct enrich_community_id *self, struct flow *flows, size_t count)
{
	struct sha1_block blocks[BATCH];
	struct sha1_digest digests[BATCH];
	struct flow *named[BATCH];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (make_block(self, &flows[i], &blocks[n]))
			named[n++] = &flows[i];
	}
	if (n == 0)
		return;
	self->sha1(blocks, digests, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t *text = flow_scratch(named[i], COMMUNITY_ID_BYTES);

		if (text == NULL)
			continue;
		put_text(&digests[i], text);
		flow_set_octets(named[i], F_community_id, text, COMMUNITY_ID_BYTES);
	}
}

void enrich_community_id_run(const void *self, const struct enrich_context *context,
			     struct flow *flows, size_t count)
{
	(void)context;
	for (size_t at = 0; at < count; at += BATCH)
		enrich_some(self, flows + at, count - at < BATCH ? count - at : BATCH);
}
