/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_scan.h - what header.c and header_link.c share: a packet's front on its way through their steps; nobody else
 * includes it.
 *
 *	header.c	IP, transport, tunnels, and the loop over all steps
 *	header_link.c	what is before IP: Ethernet, VLAN tags, PPP, Cisco HDLC, LLC, labels
 *
 * Owner: header_parse().  Lifetime: its call.
 */
#ifndef COLLECTOR_HEADER_SCAN_H
#define COLLECTOR_HEADER_SCAN_H

#include <string.h>

#include "base/rd.h"
#include "collector/header.h"

#define HEADER_PART_BYTES 40 /* of the longest header that is read at once: IPv6's */

/*
 * What the next octets are.  A step reads one header and says what follows it, so that a packet of
 * any depth is one loop.  Each step takes at least one octet or ends it.
 */
enum next {
	NEXT_NONE,
	NEXT_ETHERNET,
	NEXT_ETHERTYPE, /* what ethertype says, in scan.type */
	NEXT_MPLS,
	NEXT_PPP,
	NEXT_PPP_PROTOCOL,
	NEXT_LLC,
	NEXT_IP, /* of either version */
	NEXT_IPV4,
	NEXT_IPV6,
	NEXT_TRANSPORT, /* by the level's protocol */
	NEXT_GRE,
	NEXT_VXLAN,
	NEXT_GENEVE,
};

struct scan {
	struct rd r;
	uint16_t type;
	struct header_level *level;
	struct header *out;
};

/* Where a field ends in its header, and its bit. */
struct part {
	uint8_t end;
	uint32_t has;
};

/*
 * The next `bytes` octets, for fields at fixed places.  Where fewer are left, those of whole fields in
 * `room`, zeros behind them, and the scan is short; the bits of whole fields are set either way.
 */
static inline const uint8_t *take_parts(struct scan *s, const struct part *parts, size_t bytes,
					uint8_t room[HEADER_PART_BYTES])
{
	const uint8_t *at = s->r.at;
	size_t left = rd_left(&s->r);
	size_t whole = 0;

	for (; parts->end != 0 && parts->end <= left; parts++) {
		s->level->has |= parts->has;
		whole = parts->end;
	}
	if (rd_take(&s->r, bytes) != NULL)
		return at;
	memset(room, 0, bytes);
	if (at != NULL)
		memcpy(room, at, whole);
	return room;
}

static inline bool has(const struct header_level *l, uint32_t bit)
{
	return (l->has & bit) != 0;
}

enum next header_read_ethernet(struct scan *s);
enum next header_read_ethertype(struct scan *s);
enum next header_read_mpls(struct scan *s);
enum next header_read_ppp(struct scan *s);
enum next header_read_ppp_protocol(struct scan *s);
enum next header_read_llc(struct scan *s);

#endif
