/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.h - what a flow event says of its message and origin: times, exporter, sequence, sampling,
 * record_id; and the log's record head.
 *
 *	envelope_begin(&e, m, s, source, configured_rate)	once per message
 *	envelope_put(&e, t, record, flow)			once per record, after the plan
 *	envelope_head(flow, ...)				once per record, after the enrichers
 *
 * record_id is XXH3-128, big endian, over: one octet 'n' and the configured exporter name, or 'a' and
 * the octets of the peer address; before them their length as one octet; the message header as
 * received; offset of the record in its message (4 octets, big endian); part number (2); the record as
 * received.
 *
 * Owner: the worker.  Lifetime: the message.
 */
#ifndef DAEMON_ENVELOPE_H
#define DAEMON_ENVELOPE_H

#include "collector/message.h"
#include "collector/session.h"
#include "normalizer/flow.h"
#include "normalizer/xform.h"
#include "sink/log.h"

#define ENVELOPE_PREFIX_MAX 128
#define ENVELOPE_RECORD_MAX 1024 /* longer ones are hashed where they stand */

struct envelope {
	const struct message *message;
	const struct session *session;
	struct text source;
	struct xform_env env;
	int64_t sampling_rate; /* 0: nobody said */
	size_t prefix_bytes;
	/* What record_id is hashed over: the prefix, then of each record its offset, part and octets. */
	uint8_t hashed[ENVELOPE_PREFIX_MAX + ENVELOPE_RECORD_MAX];
};

void envelope_begin(struct envelope *e, const struct message *m, const struct session *s);
extern const struct feed envelope_feeds[]; /* ended by a row of zeros */

/* After it: UTC of sysUpTime 0, as options data has it; 0: nobody said. */
void envelope_boot(struct envelope *e, int64_t boot_ms);
void envelope_put(struct envelope *e, const struct tmpl *t, const struct record *r, struct flow *f);
/* Everything of the head but the payload's length and the numbers of exporter and event type. */
void envelope_head(const struct flow *f, struct log_head *head);

#endif
