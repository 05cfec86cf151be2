/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipfix_file.h - the messages of an IPFIX file (RFC 5655): messages one behind the other, with nothing between.
 *
 *	file  | message | message | xxxxx | message |
 *			            ^ no message begins here: passed over, up to the next that is sound
 *
 * A message is taken when its sets tile it, or when what follows it shows that its length is right; then what is wrong within it is
 * the collector's to count.
 *
 * Owner: the caller, as of the capture.
 */
#ifndef COLLECTOR_IPFIX_FILE_H
#define COLLECTOR_IPFIX_FILE_H

#include "collector/capture.h"

struct ipfix_file_message {
	const uint8_t *octets; /* until the next call */
	uint32_t bytes;
	int64_t export_ms; /* UTC */
	uint64_t skipped;  /* octets before it that are no message */
};

/* Does it begin with a message's header? */
bool ipfix_file_is(struct capture *c);
/* ERR_ABSENT at the end, with what was passed over last; another error says in `why` what is wrong, and where. */
enum err ipfix_file_next(struct capture *c, struct ipfix_file_message *out, struct why *why);

#endif
