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

/* Fields at fixed places in a header's first octets. */
struct head {
	uint8_t bytes;
	uint32_t has; /* of all parts */
	struct part parts[10];
};

#define HAS(name) HEADER_HAS_##name

/* A head that is cut: its whole fields in `room`, zeros behind them, and the scan is short. */
const uint8_t *header_take_cut(struct scan *s, const struct head *head,
			       uint8_t room[HEADER_PART_BYTES]);

/* The head's octets, with the bits of its whole fields set. */
static inline const uint8_t *take_head(struct scan *s, const struct head *head,
				       uint8_t room[HEADER_PART_BYTES])
{
	if (__builtin_expect(rd_left(&s->r) < head->bytes, 0))
		return header_take_cut(s, head, room);
	s->level->has |= head->has;
	return rd_take(&s->r, head->bytes);
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
