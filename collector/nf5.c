/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NetFlow v1, v5 and v7: a header, then `count` records of one size (Cisco, "NetFlow Export Datagram Format").
 *
 *	v1	version count uptime secs nsecs					16, records of 48
 *	v5	version count uptime secs nsecs sequence engine sampling	24, records of 48
 *	v7	version count uptime secs nsecs sequence reserved		24, records of 52
 */
#include "base/rd.h"
#include "collector/frame.h"

/*
 * The part that all have.  A count above what the format allows (24, 30, 27) is taken when the length bears
 * it out: some exporters send it.
 */
static enum collector_stat read_common(struct message *m, struct rd *r, uint32_t record_bytes)
{
	uint16_t count = rd_u16(r);
	uint32_t uptime_ms = rd_u32(r);
	uint32_t secs = rd_u32(r);
	uint32_t nsecs = rd_u32(r);
	uint32_t bytes = m->header_bytes + count * record_bytes;

	if (count == 0 || bytes > m->bytes)
		return STAT_MSG_COUNT;
	m->bytes = bytes;
	m->uptime_ms = uptime_ms;
	m->has_uptime = true;
	m->export_ms = (int64_t)secs * 1000 + nsecs / 1000000 % 1000;
	return COLLECTOR_STAT_COUNT;
}

/* Records are of 48 octets with every exporter that was found; some papers say 52, and those would be misread. */
enum collector_stat nf1_read(struct message *m)
{
	struct rd r = rd_of(m->octets + 2, NF1_HEADER_BYTES - 2);

	m->has_no_sequence = true;
	m->has_no_domain = true;
	if (m->bytes == NF1_HEADER_BYTES + (uint32_t)be16(m->octets + 2) * NF1_LONG_RECORD_BYTES)
		return STAT_MSG_COUNT;
	return read_common(m, &r, NF1_RECORD_BYTES);
}

enum collector_stat nf5_read(struct message *m)
{
	struct rd r = rd_of(m->octets + 2, NF5_HEADER_BYTES - 2);
	enum collector_stat verdict = read_common(m, &r, NF5_RECORD_BYTES);
	uint16_t sampling;

	if (verdict != COLLECTOR_STAT_COUNT)
		return verdict;
	m->sequence = rd_u32(&r);
	m->domain = rd_u16(&r);
	sampling = rd_u16(&r);
	m->has_sampling = true;
	m->sampling_mode = (uint8_t)(sampling >> 14);
	m->sampling_interval = sampling & 0x3fff;
	return COLLECTOR_STAT_COUNT;
}

enum collector_stat nf7_read(struct message *m)
{
	struct rd r = rd_of(m->octets + 2, NF7_HEADER_BYTES - 2);
	enum collector_stat verdict = read_common(m, &r, NF7_RECORD_BYTES);

	m->sequence = rd_u32(&r);
	m->has_no_domain = true;
	return verdict;
}
