/* SPDX-License-Identifier: Apache-2.0 */
#include "test/gen/gen_sflow.h"

#include <netinet/in.h>
#include <string.h>

#define SAMPLE_FLOW 1
#define SAMPLE_FLOW_EXPANDED 3
#define RECORD_HEADER 1
#define RECORD_SWITCH 1001
#define RECORD_ROUTER 1002
#define RECORDS 3
#define SAMPLE_MAX 512 /* of any of ours */
#define PROTOCOL_ETHERNET 1
#define CHECKSUM_OCTETS 4
#define HEADER_MAX 128
#define TYPE_VLAN 0x8100
#define TYPE_V4 0x0800
#define TYPE_V6 0x86dd
#define V4_OCTETS 20
#define V6_OCTETS 40
#define TCP_OCTETS 20
#define TTL 64
#define WINDOW 65535

/* ---- the frame ---- */

static uint16_t checksum_of(const uint8_t *octets, size_t count)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < count; i += 2)
		sum += (uint32_t)octets[i] << 8 | octets[i + 1];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_blob(struct wr *w, const struct gen_blob *b)
{
	wr_bytes(w, b->octets, b->count);
}

static void put_v4(const struct gen_flow *f, struct wr *w)
{
	uint8_t *start = w->at;
	struct wr sum;

	wr_u8(w, 4 << 4 | V4_OCTETS / 4);
	wr_u8(w, (uint8_t)f->num[GEN_TOS]);
	wr_u16(w, (uint16_t)f->num[GEN_IP_OCTETS]);
	wr_u32(w, 0); /* identification, no fragment */
	wr_u8(w, TTL);
	wr_u8(w, (uint8_t)f->num[GEN_PROTOCOL]);
	wr_u16(w, 0);
	put_blob(w, &f->blob[GEN_SRC]);
	put_blob(w, &f->blob[GEN_DST]);
	sum = wr_of(start + 10, 2);
	wr_u16(&sum, checksum_of(start, V4_OCTETS));
}

static void put_v6(const struct gen_flow *f, struct wr *w)
{
	wr_u32(w, 6u << 28 | (uint32_t)f->num[GEN_TOS] << 20);
	wr_u16(w, (uint16_t)(f->num[GEN_IP_OCTETS] - V6_OCTETS));
	wr_u8(w, (uint8_t)f->num[GEN_PROTOCOL]);
	wr_u8(w, TTL);
	put_blob(w, &f->blob[GEN_SRC]);
	put_blob(w, &f->blob[GEN_DST]);
}

static void put_transport(const struct gen_flow *f, struct wr *w)
{
	const uint64_t *num = f->num;
	uint64_t ip = f->is_v6 ? V6_OCTETS : V4_OCTETS;

	switch (num[GEN_PROTOCOL]) {
	case IPPROTO_TCP:
		wr_u16(w, (uint16_t)num[GEN_SRC_PORT]);
		wr_u16(w, (uint16_t)num[GEN_DST_PORT]);
		wr_u32(w, (uint32_t)f->word[13]);
		wr_u32(w, 0);
		wr_u8(w, TCP_OCTETS / 4 << 4);
		wr_u8(w, (uint8_t)num[GEN_FLAGS]);
		wr_u16(w, WINDOW);
		wr_u32(w, 0);
		break;
	case IPPROTO_UDP:
		wr_u16(w, (uint16_t)num[GEN_SRC_PORT]);
		wr_u16(w, (uint16_t)num[GEN_DST_PORT]);
		wr_u16(w, (uint16_t)(num[GEN_IP_OCTETS] - ip));
		wr_u16(w, 0);
		break;
	default: /* both ICMPs */
		wr_u8(w, (uint8_t)num[GEN_ICMP_TYPE]);
		wr_u8(w, (uint8_t)num[GEN_ICMP_CODE]);
		wr_u16(w, 0);
		wr_u32(w, 0);
		break;
	}
}

/* The frame's first octets, which are all that a sample has of it. */
static void put_frame(const struct gen_flow *f, struct wr *w, size_t count)
{
	uint8_t *start = w->at;
	uint8_t *end;

	put_blob(w, &f->blob[GEN_DST_MAC]);
	put_blob(w, &f->blob[GEN_SRC_MAC]);
	if (f->num[GEN_IS_TAGGED] != 0) {
		wr_u16(w, TYPE_VLAN);
		wr_u16(w, (uint16_t)f->num[GEN_VLAN]);
	}
	wr_u16(w, f->is_v6 ? TYPE_V6 : TYPE_V4);
	(f->is_v6 ? put_v6 : put_v4)(f, w);
	put_transport(f, w);
	end = start + count;
	for (unsigned i = 0; w->at < end; i++)
		wr_u8(w, (uint8_t)i);
}

/* ---- the sample ---- */

static void put_header(const struct gen_flow *f, struct wr *w)
{
	uint32_t frame = (uint32_t)f->num[GEN_FRAME];
	uint32_t count = frame < HEADER_MAX ? frame : HEADER_MAX;
	uint32_t filled = (count + 3) / 4 * 4;

	wr_u32(w, RECORD_HEADER);
	wr_u32(w, 16 + filled);
	wr_u32(w, PROTOCOL_ETHERNET);
	wr_u32(w, frame + CHECKSUM_OCTETS);
	wr_u32(w, CHECKSUM_OCTETS);
	wr_u32(w, count);
	put_frame(f, w, count);
	while (count++ < filled)
		wr_u8(w, 0);
}

static void put_switch(const struct gen_flow *f, struct wr *w)
{
	wr_u32(w, RECORD_SWITCH);
	wr_u32(w, 16);
	wr_u32(w, (uint32_t)f->num[GEN_VLAN]);
	wr_u32(w, 0);
	wr_u32(w, 1);
	wr_u32(w, 0);
}

static void put_router(const struct gen_flow *f, struct wr *w)
{
	const struct gen_blob *hop = &f->blob[GEN_NEXT_HOP];

	wr_u32(w, RECORD_ROUTER);
	wr_u32(w, (uint32_t)(12 + hop->count));
	wr_u32(w, f->is_v6 ? 2 : 1);
	put_blob(w, hop);
	wr_u32(w, (uint32_t)f->num[GEN_SRC_MASK]);
	wr_u32(w, (uint32_t)f->num[GEN_DST_MASK]);
}

/* Sequence to output interface.  Compact has class and index of the source in one word, and so format and value. */
static void put_facts(const struct gen_flow *f, struct wr *w)
{
	const uint64_t *num = f->num;
	bool is_expanded = num[GEN_IS_EXPANDED] != 0;

	wr_u32(w, (uint32_t)num[GEN_SEQUENCE]);
	if (is_expanded)
		wr_u32(w, 0);
	wr_u32(w, (uint32_t)num[GEN_SOURCE]);
	wr_u32(w, (uint32_t)num[GEN_RATE]);
	wr_u32(w, (uint32_t)num[GEN_POOL]);
	wr_u32(w, (uint32_t)num[GEN_DROPS]);
	if (is_expanded)
		wr_u32(w, 0);
	wr_u32(w, (uint32_t)num[GEN_IN_IF]);
	if (is_expanded)
		wr_u32(w, 0);
	wr_u32(w, (uint32_t)num[GEN_OUT_IF]);
}

bool gen_sflow_put(const struct gen_flow *f, struct wr *w)
{
	uint8_t room[SAMPLE_MAX];
	struct wr body = wr_of(room, sizeof(room));

	put_facts(f, &body);
	wr_u32(&body, RECORDS);
	put_header(f, &body);
	put_switch(f, &body);
	put_router(f, &body);
	if (wr_left(w) < 8 + wr_used(&body))
		return false;
	wr_u32(w, f->num[GEN_IS_EXPANDED] != 0 ? SAMPLE_FLOW_EXPANDED : SAMPLE_FLOW);
	wr_u32(w, (uint32_t)wr_used(&body));
	wr_bytes(w, room, wr_used(&body));
	return true;
}
