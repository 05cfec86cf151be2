/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reassembly.h - IP fragments of a capture put together, within limits.
 *
 *	reassembly_add(r, &fragment, time_ms, &whole)	 true: `whole` holds until the next call
 *	reassembly_free(r)				 what never became whole is counted
 *
 *	set  [ 0..1480 |      hole	| 2960..3000 last ]
 *
 * Fragments that overlap lose their datagram (RFC 5722; RFC 8200, 4.5); exact copies, as port
 * mirrors make them, are let pass and counted; a fragment with the id of a datagram that was whole
 * already, and other octets, begins another.  A set is given up after 30 s of capture time, or when its room is
 * needed.  A datagram that is lost counts one in UNITS_REPLAY and one in its reason, here; one that
 * becomes whole is its receiver's to count.
 *
 * Owner: the replay.  Lifetime: one file.
 */
#ifndef COLLECTOR_REASSEMBLY_H
#define COLLECTOR_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stat.h"
#include "collector/packet.h"

#define REASSEMBLY_SETS_MAX 512u
#define REASSEMBLY_OCTETS_MAX (8u << 20)
#define REASSEMBLY_FRAGMENTS_MAX 256u /* of one datagram */
#define REASSEMBLY_AGE_MS 30000
/* How long late copies of a finished datagram are known as such. */
#define REASSEMBLY_MEMORY_MS 1000

struct reassembly;

enum err reassembly_new(struct stat_set *stat, struct reassembly **out);
void reassembly_free(struct reassembly *r);

bool reassembly_add(struct reassembly *r, const struct packet *fragment, int64_t time_ms,
		    struct packet *whole);

#endif
