/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_msg.h - one exporter's messages: header, sets, template resends, sequence.
 *
 * gen_msg_add() puts a flow into the open message; when it says false, take what gen_msg_finish()
 * gives, send it, and add again.  Each exporter has its own sequence and observation domain.
 *
 *	IPFIX, v9	| header | template set, when due | data set | data set ... |
 *	v5		| header | record | record ... |
 *	sFlow		| header | sample | sample ... |, of one of the agent's sub-agents
 *
 * Owner: the main loop.  Lifetime: the run.
 */
#ifndef TEST_GEN_GEN_MSG_H
#define TEST_GEN_GEN_MSG_H

#include "base/wr.h"
#include "test/gen/gen_tmpl.h"
#include "test/gen/gen_value.h"

struct gen_msg_conf { /* the same for all exporters of a run */
	const struct gen_plan *plan;
	const struct gen_tmpls *tmpls;
	int64_t refresh_ms;
	uint64_t refresh_messages; /* 0: by time only */
};

struct gen_msg_clock {
	int64_t header_ms;  /* least time for headers, since 1970; 0: the flows' own moments */
	int64_t refresh_ms; /* any clock that only rises */
};

struct gen_msg {
	struct wr w; /* over the exporter's buffer */
	size_t set_at;
	uint16_t set_id;
	uint16_t record_count; /* data and template records */
	uint16_t flow_count;
	bool is_open;
	bool has_templates;
	uint64_t flow_last;
	int64_t opened_ms; /* by the refresh clock */

	uint32_t domain;		   /* sFlow: number of the first sub-agent */
	uint32_t sequence[GEN_SUB_AGENTS]; /* the first, but for sFlow */
	uint8_t sub_agent;		   /* of the open message */
	uint32_t agent;
	bool has_sent_templates;
	int64_t templates_ms;
	uint64_t messages_since;
};

struct gen_msg_out {
	const uint8_t *octets;
	size_t count;
	int64_t time_ms;
	unsigned flows;
	bool has_templates;
};

/* The agent is an IPv4 address, which sFlow's header says. */
void gen_msg_init(struct gen_msg *m, uint8_t *buffer, size_t octets, uint32_t domain,
		  uint32_t agent);
bool gen_msg_add(struct gen_msg *m, const struct gen_msg_conf *conf,
		 const struct gen_msg_clock *now, const struct gen_flow *f);
/* False when no message is open.  The octets hold until the next gen_msg_add(). */
bool gen_msg_finish(struct gen_msg *m, const struct gen_msg_conf *conf,
		    const struct gen_msg_clock *now, struct gen_msg_out *out);

#endif
