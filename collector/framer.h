/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framer.h - IPFIX messages out of a stream of octets, by the length in their headers (RFC 7011, 10.4).
 *
 *	room = framer_begin(&f, space, &kept)	what was left the last time stands at the front of `space`
 *	... octets are received behind it ...
 *	end = framer_take(&f, space, bytes, fn, ctx)	`fn` for each message that is whole; the rest is kept
 *
 *	received  ... age | message | message | mess ...
 *	space	  | mess		  kept, in memory that grows as it must: a connection between two messages has none
 *
 * Messages are handed on in place.  A header of another version, or with a length below its own, is the end: where the
 * next message begins cannot be told.
 *
 * Owner: the connection.  Lifetime: the connection.
 */
#ifndef COLLECTOR_FRAMER_H
#define COLLECTOR_FRAMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMER_MESSAGE_MAX 65535u

struct framer {
	uint8_t *octets; /* of a message that is not whole */
	uint32_t bytes;
	uint32_t room;
};

enum framer_end {
	FRAMER_MORE,	/* all was taken, or kept */
	FRAMER_STOPPED, /* `fn` wants no more */
	FRAMER_VERSION,
	FRAMER_LENGTH,
	FRAMER_NOMEM
};

/* A whole message.  False: no more of them; those that follow are forgotten. */
typedef bool framer_fn(void *ctx, const uint8_t *octets, size_t bytes);

/* A framer of zeroes is one at the begin of a stream. */
void framer_fini(struct framer *f);

/* Copies what was kept to `space`, which has FRAMER_MESSAGE_MAX octets and more; returns how much that is. */
size_t framer_begin(const struct framer *f, uint8_t *space);
enum framer_end framer_take(struct framer *f, const uint8_t *space, size_t bytes, framer_fn *fn,
			    void *ctx);

/* Gives back memory that a message needed once. */
void framer_trim(struct framer *f);

/* Has a message begun that is not whole? */
static inline bool framer_is_amid(const struct framer *f)
{
	return f->bytes > 0;
}

#endif
