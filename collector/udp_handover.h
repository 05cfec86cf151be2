/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_handover.h - datagrams on their way to the worker that owns their exporter.
 *
 * Two pages of one size: others append to one under the lock, the owner exchanges them and reads the
 * other one at leisure.  Full means refused: nobody waits.
 *
 *	others --push--> [ datagram | datagram |      ]
 *				  take: exchange
 *	owner  <--read-- [ datagram |		      ]
 *
 * Owner: the worker that reads.  Lifetime: process.
 */
#ifndef COLLECTOR_UDP_HANDOVER_H
#define COLLECTOR_UDP_HANDOVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "collector/unit.h"

struct handover {
	pthread_mutex_t lock;
	uint8_t *in; /* under the lock, as in_bytes */
	size_t in_bytes;
	uint8_t *out; /* the owner's */
	size_t page_bytes;
};

/* An object of zeroes may be passed to fini without init. */
enum err handover_init(struct handover *h, size_t page_bytes);
void handover_fini(struct handover *h);

/* Any thread.  ERR_FULL when there is no room; `is_first` when the page was empty: wake the owner. */
enum err handover_push(struct handover *h, const uint8_t *octets, size_t bytes,
		       const struct origin *origin, bool *is_first);

/* The owner: calls `fn` for what has come so far, in order; returns the calls.  With `fn` NULL it
 * only counts and forgets. */
size_t handover_take(struct handover *h, unit_fn *fn, void *ctx);

#endif
