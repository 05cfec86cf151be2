/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/frame.h"

#include "collector/define.h"

static const struct frame frames[] = {
	{ VERSION_NF1, "netflow1", NF1_HEADER_BYTES, 0, 0, false, STAT_MESSAGES_NF1, nf1_read },
	{ VERSION_NF5, "netflow5", NF5_HEADER_BYTES, 0, 0, false, STAT_MESSAGES_NF5, nf5_read },
	{ VERSION_NF7, "netflow7", NF7_HEADER_BYTES, 0, 0, false, STAT_MESSAGES_NF7, nf7_read },
	{ VERSION_NF9, "netflow9", NF9_HEADER_BYTES, NF9_SET_TEMPLATE, NF9_SET_OPTIONS, true,
	  STAT_MESSAGES_NF9, nf9_read },
	{ VERSION_IPFIX, "ipfix", IPFIX_HEADER_BYTES, IPFIX_SET_TEMPLATE, IPFIX_SET_OPTIONS, true,
	  STAT_MESSAGES_IPFIX, ipfix_read },
	{ VERSION_SFLOW5, "sflow5", SFLOW_HEADER_BYTES, 0, 0, false, STAT_MESSAGES_SFLOW5,
	  sflow_read },
};

const struct frame *frame_find(uint16_t version)
{
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		if (frames[i].version == version)
			return &frames[i];
	}
	return NULL;
}

const char *transport_name(enum transport t)
{
	static const char *const names[TRANSPORT_COUNT] = { [TRANSPORT_UDP] = "udp",
							    [TRANSPORT_REPLAY] = "replay",
							    [TRANSPORT_FILE] = "file",
							    [TRANSPORT_TCP] = "tcp" };

	return names[t];
}
