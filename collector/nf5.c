/* SPDX-License-Identifier: Apache-2.0 */
/* NetFlow v5: header of 24 octets, then `count` records of 48 (Cisco, "NetFlow Export Datagram Format"). */
#include "base/rd.h"
#include "collector/frame.h"

/* A count above 30 is against the format, but some exporters send it; the length decides. */
enum collector_stat nf5_read(struct message *m)
{
	struct rd r = rd_of(m->octets + 2, NF5_HEADER_BYTES - 2);
	uint16_t count = rd_u16(&r);
	uint32_t uptime_ms = rd_u32(&r);
	uint32_t secs = rd_u32(&r);
	uint32_t nsecs = rd_u32(&r);
	uint32_t sequence = rd_u32(&r);
	uint16_t engine = rd_u16(&r);
	uint16_t sampling = rd_u16(&r);
	uint32_t bytes = NF5_HEADER_BYTES + (uint32_t)count * NF5_RECORD_BYTES;

	if (count == 0 || bytes > m->bytes)
		return STAT_MSG_COUNT;
	m->bytes = bytes;
	m->uptime_ms = uptime_ms;
	m->has_uptime = true;
	m->export_ms = (int64_t)secs * 1000 + nsecs / 1000000 % 1000;
	m->sequence = sequence;
	m->domain = engine;
	m->has_sampling = true;
	m->sampling_mode = (uint8_t)(sampling >> 14);
	m->sampling_interval = sampling & 0x3fff;
	return COLLECTOR_STAT_COUNT;
}
