/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h - a captured frame taken apart, down to the UDP payload.
 *
 *	frame	[ link | VLAN ... | IP | options, extension headers | UDP | payload | padding ]
 *	packet						       .payload_bytes --->|
 *	held by the capture				       .held_bytes ----->|  or less
 *
 * Stateless and allocates nothing.  Headers are read from what is held; a packet whose headers are not
 * all there cannot be known as UDP.
 *
 * Owner: the caller; it borrows the frame's octets.
 */
#ifndef COLLECTOR_PACKET_H
#define COLLECTOR_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "collector/capture.h"

/* What an IP packet carries: UDP from its first octet on, or a fragment. */
struct packet {
	struct addr source;
	struct addr destination;
	const uint8_t *payload;
	size_t payload_bytes; /* as the IP header says */
	size_t held_bytes;    /* of these, in the capture */
	uint8_t protocol;     /* IPPROTO_UDP, or for an IPv6 fragment also an extension header */
	bool is_fragment;
	bool has_more; /* fragments */
	uint32_t fragment_id;
	uint32_t fragment_offset; /* octets */
};

enum datagram_fault { DATAGRAM_WHOLE, DATAGRAM_WRONG, DATAGRAM_CUT };

struct datagram {
	const uint8_t *octets;
	size_t bytes;
	uint16_t source_port;
	uint16_t destination_port;
};

bool packet_knows_link(uint32_t link_type);

/* False when it is not UDP over IP, nor a fragment that may be. */
bool packet_of_frame(const struct capture_frame *frame, struct packet *out);

/* Steps over IPv6 extension headers at the front; false when what follows is not UDP.  A fragment
 * header on the way makes the packet a fragment. */
bool packet_find_udp(struct packet *p);

/* The datagram of a packet that is no fragment; `out` is filled only when it is whole. */
enum datagram_fault packet_datagram(const struct packet *p, struct datagram *out);

#endif
