/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_community_id.h - Community ID, version 1: one name for both directions of a flow, the same in
 * Zeek, Suricata and others.  A row of enrich.c's table.
 *
 *	"1:" base64( SHA1( seed 2 | address | address | protocol 1 | 0 | port 2 | port 2 ) )
 *
 * The end with the smaller address, then port, stands first.  ICMP has type and code for ports; where a type
 * has a counterpart (request, reply), that stands for the second port, and where it has none the order stays.
 * Protocols other than TCP, UDP, SCTP, ICMP and ICMPv6 have no ports in the message.
 *
 * No name without both addresses of one family, the protocol's number, and ports where the protocol has
 * them: it would differ from what others make of the same packets.  An exporter that gives no ICMP type
 * may have it in the destination port, as NetFlow does: type times 256 plus code.
 */
#ifndef NORMALIZER_ENRICH_COMMUNITY_ID_H
#define NORMALIZER_ENRICH_COMMUNITY_ID_H

#include "normalizer/enrich.h"

#define COMMUNITY_ID_BYTES 30

struct enrich_community_id_conf {
	uint32_t seed;
};
extern const struct conf_opt enrich_community_id_options[];

extern const struct feed enrich_community_id_feeds[];
enum err enrich_community_id_load(const void *conf, struct why *why, void **out);
void enrich_community_id_run(const void *self, const struct enrich_context *context,
			     struct flow *flows, size_t count);
void enrich_community_id_free(void *self);

#endif
