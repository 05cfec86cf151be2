/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_sflow.h - a flow as a sample of sFlow version 5.
 *
 *	| sample | sampled header: Ethernet, 802.1Q, IP, TCP, UDP or ICMP | extended switch | extended router |
 *
 * Nothing is kept; the values are those that gen_value.h says.
 */
#ifndef TEST_GEN_GEN_SFLOW_H
#define TEST_GEN_GEN_SFLOW_H

#include "base/wr.h"
#include "test/gen/gen_value.h"

/* Writes one sample; false, and nothing written, when there is no room for it. */
bool gen_sflow_put(const struct gen_flow *f, struct wr *w);

#endif
