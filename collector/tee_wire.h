/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tee_wire.h - a datagram as its exporter would have sent it to somebody else: IP packets for a raw
 * socket.
 *
 *	tee_wire_init(&w, ...)
 *	while (tee_wire_next(&w, &piece))	one packet each: piece.head, then piece.bytes of the payload
 *
 *	fits the MTU	| IP | UDP | payload                    |
 *	does not	| IP, offset 0 | UDP | payload |  | IP, offset n | payload |  ...
 *
 * What the kernel fills in of an IPv4 header it is given (raw(7)) is left 0: its checksum, and the
 * identification of a packet that is whole.
 *
 * Owner: the caller; it lends the payload.
 */
#ifndef COLLECTOR_TEE_WIRE_H
#define COLLECTOR_TEE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define TEE_HEAD_MAX 56u     /* IPv6, fragment, UDP */
#define TEE_MTU_MIN_4 68u    /* RFC 791, 3.2 */
#define TEE_MTU_MIN_6 1280u  /* RFC 8200, 5 */
#define TEE_PIECES_MAX 1366u /* of 65 535 octets, 48 at a time */
#define TEE_UDP_HEADER_BYTES 8u

struct tee_wire {
	struct addr from;
	struct addr to; /* of the same family */
	uint16_t from_port;
	uint16_t to_port;
	const uint8_t *payload;
	size_t bytes;
	uint32_t mtu;
	uint32_t id; /* tells its fragments from those of others */
	size_t at;   /* octets of header and payload that are out */
	uint16_t checksum;
};

struct tee_piece {
	uint8_t head[TEE_HEAD_MAX];
	size_t head_bytes;
	size_t at;    /* in the payload */
	size_t bytes; /* of the payload */
	bool is_last;
};

/* `w` has all but `at` and `checksum`; false when IP has no such datagram. */
bool tee_wire_init(struct tee_wire *w);
bool tee_wire_next(struct tee_wire *w, struct tee_piece *out);
/* How many pieces there will be. */
size_t tee_wire_count(const struct tee_wire *w);

#endif
