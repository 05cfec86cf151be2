/* SPDX-License-Identifier: Apache-2.0 */
/*
 * letter.h - from what a worker could not use to a dead letter, and back to a message.
 *
 *	letter_put_octets(dead, worker, m, s, why, octets, bytes)	a set, or a whole message
 *	letter_put_flow(dead, worker, m, s, why, flow)			a record that is too big for the log
 *	letter_rebuild(&letter, out, room, &bytes, &origin)		the message again
 *
 * A set is told again in a message of the same header and at the same place in it, so that its records
 * have the record_id that they would have had; reserved sets, which are skipped, fill what was around it.
 *
 * Owner: nobody; nothing is kept.
 */
#ifndef DAEMON_LETTER_H
#define DAEMON_LETTER_H

#include "base/stat.h"
#include "collector/message.h"
#include "collector/session.h"
#include "normalizer/flow.h"
#include "sink/dead.h"

#define LETTER_MESSAGE_MAX 65535u

/* `s` is NULL, and of the message only octets, bytes and origin count, when it was malformed. */
bool letter_put_octets(struct dead *d, unsigned worker, const struct message *m,
		       const struct session *s, const struct stat_desc *why, const uint8_t *octets,
		       size_t bytes);
/* As a set of that one record.  False, too, for NetFlow v1, v5 and v7, which have no sets. */
bool letter_put_flow(struct dead *d, unsigned worker, const struct message *m,
		     const struct session *s, const struct stat_desc *why, const struct flow *f);

/* Where the letter's message came from; ERR_FORMAT when it does not say. */
enum err letter_origin(const struct dead_letter *l, struct origin *out);
/* ERR_FORMAT when no message can be made of it, ERR_LIMIT when it does not fit. */
enum err letter_rebuild(const struct dead_letter *l, uint8_t *out, size_t room, size_t *bytes);

#endif
