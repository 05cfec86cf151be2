/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit.h - what every transport calls for each unit that it received: one datagram's octets and
 * where they came from.
 *
 * Owner: the transport.  Lifetime: batch (octets and origin are gone when the call returns).
 */
#ifndef COLLECTOR_UNIT_H
#define COLLECTOR_UNIT_H

#include <stddef.h>
#include <stdint.h>

#include "collector/message.h"

typedef void unit_fn(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin);

#endif
