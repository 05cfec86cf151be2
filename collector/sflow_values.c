/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a flow sample as values of elements. */
#include "collector/sflow.h"

#define FORMAT_HEADER 1
#define FORMAT_GATEWAY 1003
#define RECORD_HEAD_BYTES 8
#define PIECES_MAX 12
#define ADDRESS_V4 1
#define ADDRESS_V6 2
#define INTERFACE_SINGLE 0
#define INTERFACE_DISCARD 1
#define INSIDE_COMPACT 0x3fffffffu
#define INSIDE_EXPANDED 0xffffffffu
#define STACK_ENTRY_BYTES 4
#define STACK_SECTION_BYTES 3 /* an entry without its TTL */
#define STACK_SECTIONS_MAX 10

/* ---- what records are made of ---- */

enum piece_op {
	PIECE_END,
	PIECE_NUMBER, /* 4 octets, of which its element has the last ones; more is no value of it */
	PIECE_HYPER,  /* 8 octets */
	PIECE_MAC,    /* 6 octets, and 2 to fill up */
	PIECE_V4,
	PIECE_V6,
	PIECE_ADDRESS, /* type, then 4 or 16 octets; of 0 nothing follows */
	PIECE_TEXT,    /* length, octets, filled up to 4 */
	PIECE_ARRAY,   /* count, numbers of 4 octets */
	PIECE_STACK    /* the same, of MPLS, whose entries are elements too */
};

struct piece {
	uint8_t op;
	uint8_t element;
	uint8_t element_v6; /* PIECE_ADDRESS */
};

#define NUMBER(id)                                                                                 \
	{                                                                                          \
		PIECE_NUMBER, SFLOW_##id, 0                                                        \
	}
#define HYPER(id)                                                                                  \
	{                                                                                          \
		PIECE_HYPER, SFLOW_##id, 0                                                         \
	}
#define MAC(id)                                                                                    \
	{                                                                                          \
		PIECE_MAC, SFLOW_##id, 0                                                           \
	}
#define V4(id)                                                                                     \
	{                                                                                          \
		PIECE_V4, SFLOW_##id, 0                                                            \
	}
#define V6(id)                                                                                     \
	{                                                                                          \
		PIECE_V6, SFLOW_##id, 0                                                            \
	}
#define ADDRESS(id)                                                                                \
	{                                                                                          \
		PIECE_ADDRESS, SFLOW_##id##_V4, SFLOW_##id##_V6                                    \
	}
#define TEXT(id)                                                                                   \
	{                                                                                          \
		PIECE_TEXT, SFLOW_##id, 0                                                          \
	}
#define ARRAY(id)                                                                                  \
	{                                                                                          \
		PIECE_ARRAY, SFLOW_##id, 0                                                         \
	}
#define STACK(id)                                                                                  \
	{                                                                                          \
		PIECE_STACK, SFLOW_##id, 0                                                         \
	}

/* What a tunnel puts around a packet, as the records of its headers have it. */
#define TUNNEL_L2(direction)                                                                       \
	{                                                                                          \
		NUMBER(TUNNEL_##direction##_FRAME), MAC(TUNNEL_##direction##_SRC_MAC),             \
			MAC(TUNNEL_##direction##_DST_MAC), NUMBER(TUNNEL_##direction##_ETHERTYPE)  \
	}
#define TUNNEL_IP(direction, ADDR, family)                                                         \
	{                                                                                          \
		NUMBER(TUNNEL_##direction##_LENGTH), NUMBER(TUNNEL_##direction##_PROTOCOL),        \
			ADDR(TUNNEL_##direction##_SRC_##family),                                   \
			ADDR(TUNNEL_##direction##_DST_##family),                                   \
			NUMBER(TUNNEL_##direction##_SRC_PORT),                                     \
			NUMBER(TUNNEL_##direction##_DST_PORT),                                     \
			NUMBER(TUNNEL_##direction##_TCP_FLAGS), NUMBER(TUNNEL_##direction##_TOS)   \
	}
#define SOCKET_ENDS(socket, ADDR, family)                                                          \
	{                                                                                          \
		NUMBER(socket##_PROTOCOL), ADDR(socket##_LOCAL_##family),                          \
			ADDR(socket##_REMOTE_##family), NUMBER(socket##_LOCAL_PORT),               \
			NUMBER(socket##_REMOTE_PORT)                                               \
	}

/* Formats are three short ranges. */
#define FORMAT_LOW_END 5u
#define FORMAT_HIGH 1000u
#define FORMAT_HIGH_END 1041u
#define FORMAT_HOST 2100u
#define PLACE(format)                                                                              \
	((format) < FORMAT_LOW_END ? (format)                                                      \
	 : (format) < FORMAT_HIGH_END                                                              \
		 ? (format)-FORMAT_HIGH + FORMAT_LOW_END                                           \
		 : (format)-FORMAT_HOST + FORMAT_LOW_END + FORMAT_HIGH_END - FORMAT_HIGH)

/* By format, of enterprise 0 (sFlow Version 5, "Flow Data Types", and the structures published since). */
static const struct record_row {
	uint32_t format; /* 0: none is here */
	struct piece pieces[PIECES_MAX + 1];
} record_rows[] = {
	[PLACE(2)] = { 2, { NUMBER(FRAME_LENGTH), MAC(SRC_MAC), MAC(DST_MAC), NUMBER(ETHERTYPE) } },
	[PLACE(3)] = { 3,
		       { NUMBER(IP_LENGTH), NUMBER(PROTOCOL), V4(SRC_V4), V4(DST_V4),
			 NUMBER(SRC_PORT), NUMBER(DST_PORT), NUMBER(TCP_FLAGS), NUMBER(TOS) } },
	[PLACE(4)] = { 4,
		       { NUMBER(IP_LENGTH), NUMBER(PROTOCOL), V6(SRC_V6), V6(DST_V6),
			 NUMBER(SRC_PORT), NUMBER(DST_PORT), NUMBER(TCP_FLAGS), NUMBER(TOS) } },
	[PLACE(1001)] = { 1001,
			  { NUMBER(IN_VLAN), NUMBER(IN_PRIORITY), NUMBER(OUT_VLAN),
			    NUMBER(OUT_PRIORITY) } },
	[PLACE(1002)] = { 1002, { ADDRESS(NEXT_HOP), NUMBER(SRC_MASK_V4), NUMBER(DST_MASK_V4) } },
	[PLACE(1004)] = { 1004,
			  { NUMBER(SRC_CHARSET), TEXT(SRC_USER), NUMBER(DST_CHARSET),
			    TEXT(DST_USER) } },
	[PLACE(1005)] = { 1005, { NUMBER(URL_DIRECTION), TEXT(URL), TEXT(HOST) } },
	[PLACE(1006)] = { 1006, { ADDRESS(MPLS_NEXT_HOP), STACK(IN_STACK), ARRAY(OUT_STACK) } },
	[PLACE(1007)] = { 1007, { ADDRESS(NAT_SRC), ADDRESS(NAT_DST) } },
	[PLACE(1008)] = { 1008, { TEXT(TUNNEL_NAME), NUMBER(TUNNEL_ID), NUMBER(TUNNEL_COS) } },
	[PLACE(1009)] = { 1009, { TEXT(VC_NAME), NUMBER(VC_ID), NUMBER(VC_COS) } },
	[PLACE(1010)] = { 1010, { TEXT(FTN_NAME), NUMBER(FTN_MASK) } },
	[PLACE(1011)] = { 1011, { NUMBER(FEC_PREFIX) } },
	[PLACE(1012)] = { 1012, { ARRAY(VLAN_STACK) } },
	[PLACE(1013)] = { 1013, { NUMBER(WLAN_CIPHER), TEXT(WLAN_PAYLOAD) } },
	[PLACE(1014)] = { 1014,
			  { TEXT(WLAN_SSID), MAC(WLAN_BSSID), NUMBER(WLAN_VERSION),
			    NUMBER(WLAN_CHANNEL), HYPER(WLAN_SPEED), NUMBER(WLAN_RSNI),
			    NUMBER(WLAN_RCPI), NUMBER(WLAN_DURATION) } },
	[PLACE(1015)] = { 1015,
			  { TEXT(WLAN_SSID), MAC(WLAN_BSSID), NUMBER(WLAN_VERSION),
			    NUMBER(WLAN_SENT), NUMBER(WLAN_DURATION), NUMBER(WLAN_RESENT_DURATION),
			    NUMBER(WLAN_CHANNEL), HYPER(WLAN_SPEED), NUMBER(WLAN_POWER) } },
	[PLACE(1020)] = { 1020, { NUMBER(NAT_SRC_PORT), NUMBER(NAT_DST_PORT) } },
	[PLACE(1021)] = { 1021, TUNNEL_L2(OUT) },
	[PLACE(1022)] = { 1022, TUNNEL_L2(IN) },
	[PLACE(1023)] = { 1023, TUNNEL_IP(OUT, V4, V4) },
	[PLACE(1024)] = { 1024, TUNNEL_IP(IN, V4, V4) },
	[PLACE(1025)] = { 1025, TUNNEL_IP(OUT, V6, V6) },
	[PLACE(1026)] = { 1026, TUNNEL_IP(IN, V6, V6) },
	[PLACE(1027)] = { 1027, { NUMBER(DECAP_OUT) } },
	[PLACE(1028)] = { 1028, { NUMBER(DECAP_IN) } },
	[PLACE(1029)] = { 1029, { NUMBER(OUT_VNI) } },
	[PLACE(1030)] = { 1030, { NUMBER(IN_VNI) } },
	[PLACE(1036)] = { 1036, { NUMBER(QUEUE) } },
	[PLACE(1037)] = { 1037, { NUMBER(ACL_NUMBER), TEXT(ACL_NAME), NUMBER(ACL_DIRECTION) } },
	[PLACE(1038)] = { 1038, { TEXT(FUNCTION) } },
	[PLACE(1039)] = { 1039, { NUMBER(TRANSIT_DELAY) } },
	[PLACE(1040)] = { 1040, { NUMBER(QUEUE_DEPTH) } },
	[PLACE(2100)] = { 2100, SOCKET_ENDS(SOCKET, V4, V4) },
	[PLACE(2101)] = { 2101, SOCKET_ENDS(SOCKET, V6, V6) },
	[PLACE(2102)] = { 2102, SOCKET_ENDS(PROXY, V4, V4) },
	[PLACE(2103)] = { 2103, SOCKET_ENDS(PROXY, V6, V6) },
	[PLACE(2209)] = { 2209,
			  { NUMBER(TCP_DIRECTION), NUMBER(TCP_SEND_MSS), NUMBER(TCP_RECEIVE_MSS),
			    NUMBER(TCP_UNACKED), NUMBER(TCP_LOST), NUMBER(TCP_RETRANSMITTED),
			    NUMBER(TCP_PATH_MTU), NUMBER(TCP_RTT), NUMBER(TCP_RTT_VARIANCE),
			    NUMBER(TCP_WINDOW), NUMBER(TCP_REORDERING), NUMBER(TCP_RTT_MIN) } },
};
#define RECORD_ROWS (sizeof(record_rows) / sizeof(record_rows[0]))

/* Of one record: where it is read, and whether all of it became values. */
struct reading {
	struct rd r;
	struct sflow_values *out;
	bool is_partial;
};

static __attribute__((noinline)) void put_again(struct reading *g, unsigned element,
						const uint8_t *octets, uint32_t bytes)
{
	const struct value *v = &g->out->values[element];

	if (v->bytes != bytes || memcmp(v->octets, octets, bytes) != 0)
		g->is_partial = true;
}

/* What another record said stays; the same once more is no loss. */
static inline void put(struct reading *g, unsigned element, const uint8_t *octets, uint32_t bytes)
{
	if (octets == NULL)
		return;
	if (__builtin_expect(sflow_has(g->out, element), 0))
		put_again(g, element, octets, bytes);
	else
		sflow_put(g->out, element, octets, bytes);
}

static inline __attribute__((always_inline)) void put_word(struct reading *g, unsigned element)
{
	const uint8_t *word = rd_take(&g->r, 4);
	uint32_t bytes = sflow_rows[element].bytes;

	if (word == NULL)
		return;
	if (__builtin_expect((uint64_t)be32(word) >> (8 * bytes) != 0, 0))
		g->is_partial = true;
	else
		put(g, element, word + 4 - bytes, bytes);
}

static void put_mac(struct reading *g, unsigned element)
{
	const uint8_t *mac = rd_take(&g->r, 8);

	put(g, element, mac, 6);
}

static void put_address(struct reading *g, const struct piece *p)
{
	uint32_t type = rd_u32(&g->r);

	if (type == ADDRESS_V4)
		put(g, p->element, rd_take(&g->r, 4), 4);
	else if (type == ADDRESS_V6)
		put(g, p->element_v6, rd_take(&g->r, 16), 16);
	else if (type != 0)
		g->r.is_short = true;
}

/* So many octets, and those that fill up to 4; the last ones may be missing at the end. */
static const uint8_t *take_opaque(struct rd *r, uint32_t *bytes)
{
	const uint8_t *octets;
	size_t fill;

	*bytes = rd_u32(r);
	octets = rd_take(r, *bytes);
	fill = -(size_t)*bytes % 4;
	rd_skip(r, rd_left(r) < fill ? rd_left(r) : fill);
	return octets;
}

static void put_text(struct reading *g, unsigned element)
{
	uint32_t bytes;
	const uint8_t *octets = take_opaque(&g->r, &bytes);

	if (bytes > UINT16_MAX)
		g->is_partial = true;
	else
		put(g, element, octets, bytes);
}

static struct value take_array(struct rd *r)
{
	struct value v = { NULL, 0 };
	uint32_t count = rd_u32(r);

	if (count > rd_left(r) / 4) {
		r->is_short = true;
		return v;
	}
	v.bytes = 4 * count;
	v.octets = rd_take(r, v.bytes);
	return v;
}

static void put_array(struct reading *g, unsigned element)
{
	struct value v = take_array(&g->r);

	put(g, element, v.octets, v.bytes);
}

/* Its first entries as IPFIX has them, where the sampled header did not show any. */
static void put_stack(struct reading *g, unsigned element)
{
	struct value v = take_array(&g->r);
	uint32_t entries = v.bytes / STACK_ENTRY_BYTES;

	put(g, element, v.octets, v.bytes);
	if (sflow_has(g->out, SFLOW_MPLS_1))
		return;
	for (uint32_t i = 0; i < entries && i < STACK_SECTIONS_MAX; i++)
		sflow_put(g->out, SFLOW_MPLS_1 + i, v.octets + (size_t)i * STACK_ENTRY_BYTES,
			  STACK_SECTION_BYTES);
}

static void read_piece(struct reading *g, const struct piece *p)
{
	switch ((enum piece_op)p->op) {
	case PIECE_NUMBER:
		put_word(g, p->element);
		return;
	case PIECE_HYPER:
		put(g, p->element, rd_take(&g->r, 8), 8);
		return;
	case PIECE_MAC:
		put_mac(g, p->element);
		return;
	case PIECE_V4:
		put(g, p->element, rd_take(&g->r, 4), 4);
		return;
	case PIECE_V6:
		put(g, p->element, rd_take(&g->r, 16), 16);
		return;
	case PIECE_ADDRESS:
		put_address(g, p);
		return;
	case PIECE_TEXT:
		put_text(g, p->element);
		return;
	case PIECE_ARRAY:
		put_array(g, p->element);
		return;
	case PIECE_STACK:
		put_stack(g, p->element);
		return;
	case PIECE_END:
		return;
	}
}

static bool move_value(struct sflow_values *v, unsigned from, unsigned to)
{
	if (!sflow_has(v, from) || sflow_has(v, to))
		return false;
	sflow_put(v, to, v->values[from].octets, v->values[from].bytes);
	v->has[from / 64] &= ~(UINT64_C(1) << (from % 64));
	return true;
}

/* Lengths of prefixes are those of the next hop's family. */
static void settle_masks(struct sflow_values *v)
{
	if (!sflow_has(v, SFLOW_NEXT_HOP_V6))
		return;
	(void)move_value(v, SFLOW_SRC_MASK_V4, SFLOW_SRC_MASK_V6);
	(void)move_value(v, SFLOW_DST_MASK_V4, SFLOW_DST_MASK_V6);
}

/*
 * The socket of a transaction tells its addresses and ports where no packet does: who asks is at the other end.  All
 * or nothing, since a packet may go the other way.
 */
static void settle_socket(struct sflow_values *v)
{
	static const struct {
		uint8_t from;
		uint8_t to;
	} ends[] = {
		{ SFLOW_SOCKET_PROTOCOL, SFLOW_PROTOCOL },
		{ SFLOW_SOCKET_REMOTE_V4, SFLOW_SRC_V4 },
		{ SFLOW_SOCKET_LOCAL_V4, SFLOW_DST_V4 },
		{ SFLOW_SOCKET_REMOTE_V6, SFLOW_SRC_V6 },
		{ SFLOW_SOCKET_LOCAL_V6, SFLOW_DST_V6 },
		{ SFLOW_SOCKET_REMOTE_PORT, SFLOW_SRC_PORT },
		{ SFLOW_SOCKET_LOCAL_PORT, SFLOW_DST_PORT },
	};
	const size_t count = sizeof(ends) / sizeof(ends[0]);

	if (!sflow_has(v, SFLOW_SOCKET_PROTOCOL))
		return;
	for (size_t i = 0; i < count; i++) {
		if (sflow_has(v, ends[i].to))
			return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct value *from = &v->values[ends[i].from];

		if (sflow_has(v, ends[i].from))
			sflow_put(v, ends[i].to, from->octets, from->bytes);
	}
}

/* ---- records with a reader of their own ---- */

/* Format 1: protocol, length of the frame, octets stripped, and the header, of which the first one is read. */
static void read_header(struct reading *g)
{
	uint32_t protocol = g->r.is_short || rd_left(&g->r) < 4 ? 0 : be32(g->r.at);
	bool is_first = !sflow_has(g->out, SFLOW_HEADER);
	uint32_t bytes;
	const uint8_t *octets;

	put_word(g, SFLOW_HEADER_PROTOCOL);
	put_word(g, SFLOW_FRAME_LENGTH);
	put_word(g, SFLOW_STRIPPED);
	octets = take_opaque(&g->r, &bytes);
	if (octets == NULL || bytes > UINT16_MAX) {
		g->is_partial = true;
		return;
	}
	put(g, SFLOW_HEADER, octets, bytes);
	if (is_first)
		sflow_header(protocol, octets, bytes, g->out);
}

/* Segments of type, count and numbers; *first and *last number of the path, NULL when it is empty. */
static struct value take_path(struct rd *r, const uint8_t **first, const uint8_t **last)
{
	uint32_t segments = rd_u32(r);
	struct value path = { r->at, 0 };

	if (segments > rd_left(r) / 8) {
		r->is_short = true;
		return path;
	}
	for (uint32_t i = 0; i < segments; i++) {
		struct value numbers;

		rd_skip(r, 4);
		numbers = take_array(r);
		if (r->is_short)
			return path;
		if (numbers.bytes == 0)
			continue;
		if (*first == NULL)
			*first = numbers.octets;
		*last = numbers.octets + numbers.bytes - 4;
	}
	path.bytes = (uint32_t)(r->at - path.octets);
	return path;
}

/* Format 1003.  The path ends in the destination's own system and begins with our neighbour. */
static void read_gateway(struct reading *g)
{
	static const struct piece next_hop = ADDRESS(BGP_NEXT_HOP);
	const uint8_t *first = NULL;
	const uint8_t *last = NULL;
	struct value path;

	put_address(g, &next_hop);
	put_word(g, SFLOW_ROUTER_AS);
	put_word(g, SFLOW_SRC_AS);
	put_word(g, SFLOW_SRC_PEER_AS);
	path = take_path(&g->r, &first, &last);
	if (g->r.is_short)
		return;
	put(g, SFLOW_AS_PATH, path.octets, path.bytes);
	put(g, SFLOW_DST_PEER_AS, first, 4);
	put(g, SFLOW_DST_AS, last, 4);
	put_array(g, SFLOW_COMMUNITIES);
	put_word(g, SFLOW_LOCAL_PREFERENCE);
}

/* ---- all of a sample ---- */

/* NULL when the format is not known. */
static const struct record_row *find_row(uint32_t format)
{
	uint32_t place = PLACE(format);
	const struct record_row *row = &record_rows[place < RECORD_ROWS ? place : 0];

	return row->format == format && format != 0 ? row : NULL;
}

/* False when the format is not known. */
static bool read_known(uint32_t format, struct reading *g)
{
	const struct record_row *row;

	if (format == FORMAT_HEADER) {
		read_header(g);
		return true;
	}
	if (format == FORMAT_GATEWAY) {
		read_gateway(g);
		return true;
	}
	row = find_row(format);
	if (row == NULL)
		return false;
	for (const struct piece *p = row->pieces; p->op != PIECE_END; p++)
		read_piece(g, p);
	settle_masks(g->out);
	return true;
}

/* True when every octet of the record is in the values.  Of one that is cut nothing is. */
static bool read_record(uint32_t format, struct rd body, struct sflow_values *out)
{
	struct reading g = { body, out, false };
	uint64_t before[SFLOW_WORDS];

	memcpy(before, out->has, sizeof(before));
	if (!read_known(format, &g))
		return false;
	if (g.r.is_short) {
		memcpy(out->has, before, sizeof(before));
		return false;
	}
	return !g.is_partial && rd_left(&g.r) == 0;
}

static bool read_records(const struct sflow_flow *s, struct sflow_values *out)
{
	struct rd r = s->records;
	const uint8_t *rest = NULL;
	const uint8_t *rest_end = NULL;

	for (uint32_t i = 0; i < s->record_count; i++) {
		const uint8_t *start = r.at;
		uint32_t format = rd_u32(&r);
		struct rd body = rd_sub(&r, rd_u32(&r));

		if (r.is_short)
			return false;
		if (read_record(format, body, out))
			continue;
		rest = rest == NULL ? start : rest;
		rest_end = r.at;
	}
	if (rd_left(&r) > 0) {
		rest = rest == NULL ? r.at : rest;
		rest_end = r.end;
	}
	if (rest != NULL)
		sflow_put(out, SFLOW_REST, rest, (uint32_t)(rest_end - rest));
	return true;
}

static void put_input(const struct sflow_flow *s, bool is_inside, struct sflow_values *out)
{
	if (s->in_format == INTERFACE_SINGLE && !is_inside) {
		sflow_put_number(out, SFLOW_IN_INTERFACE, s->in_value);
		return;
	}
	sflow_put_number(out, SFLOW_IN_FORMAT, s->in_format);
	sflow_put_number(out, SFLOW_IN_VALUE, s->in_value);
}

static void put_output(const struct sflow_flow *s, bool is_inside, struct sflow_values *out)
{
	if (s->out_format == INTERFACE_SINGLE && !is_inside) {
		sflow_put_number(out, SFLOW_OUT_INTERFACE, s->out_value);
	} else if (s->out_format == INTERFACE_DISCARD) {
		sflow_put_number(out, SFLOW_OUT_DISCARD, s->out_value);
	} else {
		sflow_put_number(out, SFLOW_OUT_FORMAT, s->out_format);
		sflow_put_number(out, SFLOW_OUT_VALUE, s->out_value);
	}
}

static bool is_inside(uint32_t value)
{
	return value == INSIDE_COMPACT || value == INSIDE_EXPANDED;
}

/* A sample is one packet, of as many octets as its frame had when it was sampled; without a frame, as IP says. */
static void put_volume(struct sflow_values *v)
{
	uint32_t frame;
	uint32_t stripped;

	sflow_put_number(v, SFLOW_PACKETS, 1);
	if (!sflow_has(v, SFLOW_FRAME_LENGTH)) {
		if (sflow_has(v, SFLOW_IP_LENGTH))
			sflow_put(v, SFLOW_IP_OCTETS, v->values[SFLOW_IP_LENGTH].octets, 4);
		return;
	}
	frame = be32(v->values[SFLOW_FRAME_LENGTH].octets);
	stripped = sflow_has(v, SFLOW_STRIPPED) ? be32(v->values[SFLOW_STRIPPED].octets) : 0;
	sflow_put_number(v, SFLOW_FRAME_OCTETS, stripped <= frame ? frame - stripped : frame);
}

bool sflow_values(const struct sflow_flow *s, const uint8_t *agent, uint32_t agent_bytes,
		  struct sflow_values *out)
{
	memset(out->has, 0, sizeof(out->has));
	sflow_put(out, agent_bytes == 4 ? SFLOW_AGENT_V4 : SFLOW_AGENT_V6, agent, agent_bytes);
	sflow_put_number(out, SFLOW_SAMPLE_SEQUENCE, s->sequence);
	sflow_put_number(out, SFLOW_SOURCE_CLASS, s->source_class);
	sflow_put_number(out, SFLOW_SOURCE_INDEX, s->source_index);
	sflow_put(out, SFLOW_RATE, s->rate, 4);
	sflow_put(out, SFLOW_POOL, s->pool, 4);
	sflow_put(out, SFLOW_DROPS, s->drops, 4);
	put_input(s, is_inside(s->in_value), out);
	put_output(s, is_inside(s->out_value), out);
	if (!read_records(s, out))
		return false;
	settle_socket(out);
	put_volume(out);
	return true;
}
