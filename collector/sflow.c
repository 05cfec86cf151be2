/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/sflow.h"

#include "collector/frame.h"

#define AGENT_V4 1
#define AGENT_V6 2
#define SAMPLE_HEAD_BYTES 8
#define COMPACT_BYTES 32
#define EXPANDED_BYTES 44

#define SAMPLE_FLOW 1
#define SAMPLE_COUNTERS 2
#define SAMPLE_FLOW_EXPANDED 3
#define SAMPLE_COUNTERS_EXPANDED 4
#define SAMPLE_DROP 5

/* Samples tile what is behind the header, as many as it says. */
static enum collector_stat check_samples(struct message *m, uint32_t sample_count)
{
	struct rd r = rd_of(m->octets + m->header_bytes, m->bytes - m->header_bytes);

	if (sample_count > rd_left(&r) / SAMPLE_HEAD_BYTES)
		return STAT_MSG_COUNT;
	for (uint32_t i = 0; i < sample_count; i++) {
		rd_skip(&r, 4);
		rd_skip(&r, rd_u32(&r));
		if (r.is_short)
			return STAT_MSG_SET_LENGTH;
	}
	m->bytes = (uint32_t)(r.at - m->octets);
	return COLLECTOR_STAT_COUNT;
}

enum collector_stat sflow_read(struct message *m)
{
	struct rd r = rd_of(m->octets + 4, m->bytes - 4);
	uint32_t agent_type = rd_u32(&r);
	uint32_t sample_count;

	if (agent_type != AGENT_V4 && agent_type != AGENT_V6)
		return STAT_MSG_AGENT;
	m->agent_bytes = agent_type == AGENT_V4 ? 4 : 16;
	m->agent = rd_take(&r, m->agent_bytes);
	m->domain = rd_u32(&r);
	m->sequence = rd_u32(&r);
	m->uptime_ms = rd_u32(&r);
	m->has_uptime = true;
	sample_count = rd_u32(&r);
	if (r.is_short)
		return STAT_MSG_SHORT;
	m->header_bytes = (uint16_t)(r.at - m->octets);
	return check_samples(m, sample_count);
}

/* The upper 20 bits are the enterprise, whose formats are its own; ours are of 0. */
static enum sflow_kind kind_of(uint32_t format)
{
	switch (format) {
	case SAMPLE_FLOW:
	case SAMPLE_FLOW_EXPANDED:
		return SFLOW_KIND_FLOW;
	case SAMPLE_COUNTERS:
	case SAMPLE_COUNTERS_EXPANDED:
		return SFLOW_KIND_COUNTERS;
	case SAMPLE_DROP:
		return SFLOW_KIND_DROP;
	default:
		return SFLOW_KIND_UNKNOWN;
	}
}

bool sflow_next(struct rd *samples, struct sflow_sample *out)
{
	const uint8_t *octets = samples->at;
	uint32_t format = rd_u32(samples);
	struct rd body = rd_sub(samples, rd_u32(samples));

	if (samples->is_short)
		return false;
	out->kind = kind_of(format);
	out->is_expanded = format == SAMPLE_FLOW_EXPANDED;
	out->octets = octets;
	out->bytes = (uint32_t)(samples->at - octets);
	out->body = body;
	return true;
}

/* Two bits of format, 30 of value; the value with all bits means the same as that of 32 bits. */
static void split_interface(uint32_t word, uint32_t *format, uint32_t *value)
{
	*format = word >> 30;
	*value = word & 0x3fffffffu;
}

static void read_compact(struct rd *r, struct sflow_flow *out)
{
	uint32_t source;

	out->sequence = rd_u32(r);
	source = rd_u32(r);
	out->source_class = source >> 24;
	out->source_index = source & 0xffffffu;
	out->rate = rd_take(r, 4);
	out->pool = rd_take(r, 4);
	out->drops = rd_take(r, 4);
	split_interface(rd_u32(r), &out->in_format, &out->in_value);
	split_interface(rd_u32(r), &out->out_format, &out->out_value);
}

static void read_expanded(struct rd *r, struct sflow_flow *out)
{
	out->sequence = rd_u32(r);
	out->source_class = rd_u32(r);
	out->source_index = rd_u32(r);
	out->rate = rd_take(r, 4);
	out->pool = rd_take(r, 4);
	out->drops = rd_take(r, 4);
	out->in_format = rd_u32(r);
	out->in_value = rd_u32(r);
	out->out_format = rd_u32(r);
	out->out_value = rd_u32(r);
}

bool sflow_flow(const struct sflow_sample *s, struct sflow_flow *out)
{
	struct rd r = s->body;

	if (rd_left(&r) < (s->is_expanded ? EXPANDED_BYTES : COMPACT_BYTES))
		return false;
	(s->is_expanded ? read_expanded : read_compact)(&r, out);
	out->record_count = rd_u32(&r);
	out->records = r;
	return out->record_count <= rd_left(&r) / SAMPLE_HEAD_BYTES;
}
