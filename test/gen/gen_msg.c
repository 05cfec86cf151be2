/* SPDX-License-Identifier: Apache-2.0 */
#include "test/gen/gen_msg.h"

#include "test/gen/gen_sflow.h"

#define V5_HEADER_OCTETS 24
#define V5_RECORDS_MAX 30
#define V9_HEADER_OCTETS 20
#define IPFIX_HEADER_OCTETS 16
#define SFLOW_HEADER_OCTETS 28
#define SFLOW_AGENT_V4 1
#define SET_HEADER_OCTETS 4
#define V9_TEMPLATE_SET 0
#define IPFIX_TEMPLATE_SET 2

static const size_t header_octets[] = {
	[GEN_V5] = V5_HEADER_OCTETS,
	[GEN_V9] = V9_HEADER_OCTETS,
	[GEN_IPFIX] = IPFIX_HEADER_OCTETS,
	[GEN_SFLOW] = SFLOW_HEADER_OCTETS,
};

void gen_msg_init(struct gen_msg *m, uint8_t *buffer, size_t octets, uint32_t domain,
		  uint32_t agent)
{
	memset(m, 0, sizeof(*m));
	m->w = wr_of(buffer, octets);
	m->domain = domain;
	m->agent = agent;
}

static void set_end(struct gen_msg *m, enum gen_format format)
{
	struct wr length;

	if (m->set_at == 0)
		return;
	if (format == GEN_V9)
		while (wr_used(&m->w) % 4 != 0)
			wr_u8(&m->w, 0);
	length = wr_of(m->w.start + m->set_at + 2, 2);
	wr_u16(&length, (uint16_t)(wr_used(&m->w) - m->set_at));
	m->set_at = 0;
}

static void set_begin(struct gen_msg *m, uint16_t id)
{
	m->set_at = wr_used(&m->w);
	m->set_id = id;
	wr_u16(&m->w, id);
	wr_u16(&m->w, 0);
}

static void put_templates(struct gen_msg *m, const struct gen_msg_conf *conf)
{
	enum gen_format format = conf->plan->format;

	set_begin(m, format == GEN_V9 ? V9_TEMPLATE_SET : IPFIX_TEMPLATE_SET);
	for (unsigned i = 0; i < conf->tmpls->count; i++) {
		const struct gen_tmpl *t = &conf->tmpls->of_family[i];

		wr_bytes(&m->w, t->definition, t->definition_octets);
		m->record_count++;
	}
	set_end(m, format);
	m->has_templates = true;
}

static void open_message(struct gen_msg *m, const struct gen_msg_conf *conf,
			 const struct gen_msg_clock *now)
{
	bool is_due = !m->has_sent_templates ||
		      now->refresh_ms - m->templates_ms >= conf->refresh_ms ||
		      (conf->refresh_messages > 0 && m->messages_since >= conf->refresh_messages);

	m->w = wr_of(m->w.start, (size_t)(m->w.end - m->w.start));
	wr_take(&m->w, header_octets[conf->plan->format]);
	m->set_at = 0;
	m->record_count = 0;
	m->flow_count = 0;
	m->is_open = true;
	m->has_templates = false;
	m->opened_ms = now->refresh_ms;
	if (conf->tmpls->count == 0 || !is_due)
		return;
	put_templates(m, conf);
	m->has_sent_templates = true;
	m->templates_ms = now->refresh_ms;
	m->messages_since = 0;
}

static bool add_v5(struct gen_msg *m, const struct gen_flow *f)
{
	return m->flow_count < V5_RECORDS_MAX && gen_v5_put(f, &m->w);
}

/* A message is of one sub-agent. */
static bool add_sflow(struct gen_msg *m, const struct gen_flow *f)
{
	uint8_t sub_agent = (uint8_t)f->num[GEN_SUB_AGENT];

	if ((m->flow_count > 0 && sub_agent != m->sub_agent) || !gen_sflow_put(f, &m->w))
		return false;
	m->sub_agent = sub_agent;
	return true;
}

/* Three octets of padding may still follow the record in v9. */
static bool add_templated(struct gen_msg *m, const struct gen_msg_conf *conf,
			  const struct gen_flow *f)
{
	const struct gen_tmpls *all = conf->tmpls;
	const struct gen_tmpl *t = &all->of_family[all->count == 2 && f->is_v6 ? 1 : 0];
	struct wr room;

	if (m->set_at == 0 || m->set_id != t->id) {
		set_end(m, conf->plan->format);
		if (wr_left(&m->w) < SET_HEADER_OCTETS + 3)
			return false;
		set_begin(m, t->id);
	}
	if (wr_left(&m->w) < 3)
		return false;
	room = m->w;
	room.end -= 3;
	if (!gen_tmpl_put(t, f, &room))
		return false;
	m->w.at = room.at;
	return true;
}

static bool add(struct gen_msg *m, const struct gen_msg_conf *conf, const struct gen_flow *f)
{
	switch (conf->plan->format) {
	case GEN_V5:
		return add_v5(m, f);
	case GEN_SFLOW:
		return add_sflow(m, f);
	case GEN_V9:
	case GEN_IPFIX:
		break;
	}
	return add_templated(m, conf, f);
}

bool gen_msg_add(struct gen_msg *m, const struct gen_msg_conf *conf,
		 const struct gen_msg_clock *now, const struct gen_flow *f)
{
	if (!m->is_open)
		open_message(m, conf, now);
	if (!add(m, conf, f))
		return false;
	m->flow_last = f->num[GEN_NUMBER];
	m->flow_count++;
	m->record_count++;
	return true;
}

/* A set that was begun for a record which then found no room. */
static void drop_empty_set(struct gen_msg *m)
{
	if (m->set_at != 0 && wr_used(&m->w) == m->set_at + SET_HEADER_OCTETS) {
		m->w.at = m->w.start + m->set_at;
		m->set_at = 0;
	}
}

static void put_header(struct gen_msg *m, enum gen_format format, int64_t time_ms, int64_t boot_ms)
{
	struct wr h = wr_of(m->w.start, header_octets[format]);
	int64_t second_ms = time_ms / 1000 * 1000;
	uint32_t sequence = m->sequence[m->sub_agent];

	switch (format) {
	case GEN_V5:
		wr_u16(&h, 5);
		wr_u16(&h, m->flow_count);
		wr_u32(&h, (uint32_t)(time_ms - boot_ms));
		wr_u32(&h, (uint32_t)(time_ms / 1000));
		wr_u32(&h, (uint32_t)(time_ms % 1000 * 1000000));
		wr_u32(&h, sequence);
		wr_u16(&h, (uint16_t)m->domain);
		wr_u16(&h, 0);
		break;
	case GEN_V9:
		wr_u16(&h, 9);
		wr_u16(&h, m->record_count);
		wr_u32(&h, (uint32_t)(second_ms - boot_ms));
		wr_u32(&h, (uint32_t)(time_ms / 1000));
		wr_u32(&h, sequence);
		wr_u32(&h, m->domain);
		break;
	case GEN_IPFIX:
		wr_u16(&h, 10);
		wr_u16(&h, (uint16_t)wr_used(&m->w));
		wr_u32(&h, (uint32_t)(time_ms / 1000));
		wr_u32(&h, sequence);
		wr_u32(&h, m->domain);
		break;
	case GEN_SFLOW:
		wr_u32(&h, 5);
		wr_u32(&h, SFLOW_AGENT_V4);
		wr_u32(&h, m->agent);
		wr_u32(&h, m->domain + m->sub_agent);
		wr_u32(&h, sequence);
		wr_u32(&h, (uint32_t)(time_ms - boot_ms));
		wr_u32(&h, m->flow_count);
		break;
	}
}

bool gen_msg_finish(struct gen_msg *m, const struct gen_msg_conf *conf,
		    const struct gen_msg_clock *now, struct gen_msg_out *out)
{
	enum gen_format format = conf->plan->format;
	int64_t boot_ms = conf->plan->base_ms - (int64_t)GEN_UPTIME_S * 1000;
	int64_t time_ms =
		m->flow_count > 0 ? gen_moment_ms(conf->plan, m->flow_last) : conf->plan->base_ms;

	if (!m->is_open)
		return false;
	drop_empty_set(m);
	set_end(m, format);
	if (now->header_ms > time_ms)
		time_ms = now->header_ms;
	put_header(m, format, time_ms, boot_ms);
	out->octets = m->w.start;
	out->count = wr_used(&m->w);
	out->time_ms = time_ms;
	out->flows = m->flow_count;
	out->has_templates = m->has_templates;
	/* v9 and sFlow count messages. */
	m->sequence[m->sub_agent] += format == GEN_V9 || format == GEN_SFLOW ? 1 : m->flow_count;
	m->messages_since++;
	m->is_open = false;
	return true;
}
