/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp.h - names of ICMP and ICMPv6 types and codes, from icmp.def.
 *
 * Owner: nobody, constant.
 */
#ifndef NORMALIZER_ICMP_H
#define NORMALIZER_ICMP_H

#include "normalizer/flow.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMPV6 58
#define ICMP_CODE_NONE (-1)

/* "type" or "type: code"; the type's name alone where the registry has no name for the code, or where
 * it is ICMP_CODE_NONE.  NULL where the type has no name, or the protocol is neither of the two. */
const struct text *icmp_name(int64_t protocol, int64_t type, int64_t code);

#endif
