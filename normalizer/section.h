/* SPDX-License-Identifier: Apache-2.0 */
/*
 * section.h - a piece of a packet inside a record (RFC 5477, 8.5): dataLinkFrameSection, ipHeaderPacketSection,
 * mplsLabelStackSection, mplsPayloadPacketSection; and ipPayloadPacketSection, as far as the protocol that it begins with
 * is known.
 *
 *	section_compile(draft)		which lines fill what, of the elements that headers are told in
 *	section_run(plan, env, flow)	plan_run()'s, per record whose template has a section
 *
 * The packet's headers are read as those of sFlow's samples, and fill the fields that the record's own elements left
 * empty, by the lines that the mappings have for these elements.  The section itself stands in raw as ever, and alone when its
 * packet has other addresses than the record.
 *
 * A record that counts no packets and octets of its own is a report of this packet (RFC 5476, 6.4): `packets` is 1, and
 * `bytes` its frame's length (dataLinkFrameSize), else its IP length (ipTotalLength, else as its IP header says).
 *
 * Owner: the plan.  Lifetime: the plan's.
 */
#ifndef NORMALIZER_SECTION_H
#define NORMALIZER_SECTION_H

#include "normalizer/plan_steps.h"

struct draft;

/* enum section_part of the template's field, whose octets are kept until the walk is over; or -1. */
int section_part(const struct draft *d, uint16_t index);
enum err section_compile(struct draft *d);
void section_run(const struct plan *p, const struct xform_env *env, struct flow *f);

#endif
