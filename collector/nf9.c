/* SPDX-License-Identifier: Apache-2.0 */
/* NetFlow v9 (RFC 3954): header of 20 octets, then sets to the end of the datagram. */
#include "base/rd.h"
#include "collector/frame.h"

/* The header's count is of records, and a hint only: real exporters send it wrong. */
enum collector_stat nf9_read(struct message *m)
{
	struct rd r = rd_of(m->octets + 4, NF9_HEADER_BYTES - 4);

	m->uptime_ms = rd_u32(&r);
	m->has_uptime = true;
	m->export_ms = (int64_t)rd_u32(&r) * 1000;
	m->sequence = rd_u32(&r);
	m->domain = rd_u32(&r);
	return COLLECTOR_STAT_COUNT;
}
