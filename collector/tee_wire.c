/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/tee_wire.h"

#include <netinet/in.h>
#include <string.h>

#include "base/wr.h"

#define HEADER_BYTES_4 20u
#define HEADER_BYTES_6 40u
#define FRAGMENT_BYTES_6 8u
#define DATAGRAM_MAX_4 (65535u - HEADER_BYTES_4)
#define DATAGRAM_MAX_6 65535u
#define UNIT 8u /* fragments begin at multiples of it */
#define MORE_4 0x2000u
#define HOPS 64u

/* RFC 1071: 16-bit words in one's complement; 64 bits hold the carries of any datagram. */
static uint64_t add_words(uint64_t sum, const uint8_t *octets, size_t count)
{
	for (; count >= 2; octets += 2, count -= 2)
		sum += (uint64_t)octets[0] << 8 | octets[1];
	return count == 0 ? sum : sum + ((uint64_t)octets[0] << 8);
}

/* Addresses, protocol and length stand before the header (RFC 768; RFC 8200, 8.1). */
static uint16_t checksum(const struct tee_wire *w)
{
	size_t datagram_bytes = TEE_UDP_HEADER_BYTES + w->bytes;
	uint64_t sum = IPPROTO_UDP + 2 * (uint64_t)datagram_bytes + w->from_port + w->to_port;

	sum = add_words(sum, w->from.octets, w->from.bytes);
	sum = add_words(sum, w->to.octets, w->to.bytes);
	sum = add_words(sum, w->payload, w->bytes);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	/* 0 would say that there is none. */
	return (uint16_t)(sum == 0xffff ? 0xffff : ~sum);
}

bool tee_wire_init(struct tee_wire *w)
{
	bool is_6 = w->to.bytes == 16;
	uint32_t least = is_6 ? TEE_MTU_MIN_6 : TEE_MTU_MIN_4;

	if (w->from.bytes != w->to.bytes)
		return false;
	if (TEE_UDP_HEADER_BYTES + w->bytes > (is_6 ? DATAGRAM_MAX_6 : DATAGRAM_MAX_4))
		return false;
	if (w->mtu < least)
		w->mtu = least;
	w->at = 0;
	w->checksum = checksum(w);
	return true;
}

/* Octets behind the IP header that go into one packet, and whether that makes a fragment of it. */
static size_t room_of(const struct tee_wire *w, bool *is_fragment)
{
	size_t whole = TEE_UDP_HEADER_BYTES + w->bytes;
	size_t header = w->to.bytes == 16 ? HEADER_BYTES_6 : HEADER_BYTES_4;

	*is_fragment = header + whole > w->mtu;
	if (!*is_fragment)
		return whole;
	if (w->to.bytes == 16)
		header += FRAGMENT_BYTES_6;
	return (w->mtu - header) / UNIT * UNIT;
}

size_t tee_wire_count(const struct tee_wire *w)
{
	bool is_fragment;
	size_t room = room_of(w, &is_fragment);

	return (TEE_UDP_HEADER_BYTES + w->bytes + room - 1) / room;
}

static void put_header_4(const struct tee_wire *w, struct wr *out, size_t bytes, bool is_fragment,
			 bool has_more)
{
	wr_u8(out, 0x45);
	wr_u8(out, 0);
	wr_u16(out, (uint16_t)(HEADER_BYTES_4 + bytes));
	wr_u16(out, (uint16_t)(is_fragment ? w->id : 0));
	wr_u16(out, (uint16_t)(w->at / UNIT | (has_more ? MORE_4 : 0)));
	wr_u8(out, HOPS);
	wr_u8(out, IPPROTO_UDP);
	wr_u16(out, 0);
	wr_bytes(out, w->from.octets, 4);
	wr_bytes(out, w->to.octets, 4);
}

static void put_header_6(const struct tee_wire *w, struct wr *out, size_t bytes, bool is_fragment,
			 bool has_more)
{
	wr_u32(out, 6u << 28);
	wr_u16(out, (uint16_t)(bytes + (is_fragment ? FRAGMENT_BYTES_6 : 0)));
	wr_u8(out, is_fragment ? IPPROTO_FRAGMENT : IPPROTO_UDP);
	wr_u8(out, HOPS);
	wr_bytes(out, w->from.octets, 16);
	wr_bytes(out, w->to.octets, 16);
	if (!is_fragment)
		return;
	wr_u8(out, IPPROTO_UDP);
	wr_u8(out, 0);
	wr_u16(out, (uint16_t)(w->at | has_more));
	wr_u32(out, w->id);
}

bool tee_wire_next(struct tee_wire *w, struct tee_piece *out)
{
	size_t whole = TEE_UDP_HEADER_BYTES + w->bytes;
	struct wr head = wr_of(out->head, sizeof(out->head));
	bool is_fragment;
	size_t bytes = room_of(w, &is_fragment);
	bool has_more;

	if (w->at >= whole)
		return false;
	has_more = whole - w->at > bytes;
	if (!has_more)
		bytes = whole - w->at;
	if (w->to.bytes == 16)
		put_header_6(w, &head, bytes, is_fragment, has_more);
	else
		put_header_4(w, &head, bytes, is_fragment, has_more);
	out->at = w->at == 0 ? 0 : w->at - TEE_UDP_HEADER_BYTES;
	out->bytes = bytes;
	out->is_last = !has_more;
	if (w->at == 0) {
		wr_u16(&head, w->from_port);
		wr_u16(&head, w->to_port);
		wr_u16(&head, (uint16_t)whole);
		wr_u16(&head, w->checksum);
		out->bytes -= TEE_UDP_HEADER_BYTES;
	}
	out->head_bytes = wr_used(&head);
	w->at += bytes;
	return true;
}
