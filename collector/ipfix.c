/* SPDX-License-Identifier: Apache-2.0 */
/* IPFIX (RFC 7011): header of 16 octets which says the message's length, then sets. */
#include "base/rd.h"
#include "collector/frame.h"

enum collector_stat ipfix_read(struct message *m)
{
	struct rd r = rd_of(m->octets + 2, IPFIX_HEADER_BYTES - 2);
	uint16_t bytes = rd_u16(&r);

	if (bytes < IPFIX_HEADER_BYTES || bytes > m->bytes)
		return STAT_MSG_LENGTH;
	m->bytes = bytes;
	m->export_ms = (int64_t)rd_u32(&r) * 1000;
	m->sequence = rd_u32(&r);
	m->domain = rd_u32(&r);
	return COLLECTOR_STAT_COUNT;
}
