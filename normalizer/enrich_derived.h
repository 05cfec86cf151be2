/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_derived.h - what a record tells between its lines: duration, counters corrected for sampling, TCP
 * flags and state as text, the ICMP message by name, latencies, clock skew, dedup_key.  A row of
 * enrich.c's table.
 *
 * dedup_key is XXH3-128 without a seed, big endian, in hex, over 96 octets: exporter, source and
 * destination, 16 octets each, IPv4 as ::ffff:a.b.c.d; then as 64 bits, big endian, with -1 for what is
 * absent: observation_domain_id, protocol_number, src_port, dst_port, flow_start_time, flow_end_time.
 *
 * Skew and sequence gap are the session's, as of the message that brought the flow.
 */
#ifndef NORMALIZER_ENRICH_DERIVED_H
#define NORMALIZER_ENRICH_DERIVED_H

#include "normalizer/enrich.h"

struct enrich_derived_conf {
	uint32_t skew_s; /* clocks farther apart are flagged */
};
extern const struct conf_opt enrich_derived_options[];

extern const struct feed enrich_derived_feeds[];
enum err enrich_derived_load(const void *conf, struct why *why, void **out);
void enrich_derived_run(const void *self, const struct enrich_context *context, struct flow *flows,
			size_t count);
void enrich_derived_free(void *self);

/* Field `later` less field `earlier`; false when one is absent, or the difference is no long. */
static inline bool derived_span(const struct flow *f, unsigned later, unsigned earlier,
				int64_t *out)
{
	return flow_has(f, later) && flow_has(f, earlier) &&
	       !__builtin_sub_overflow(f->slots[later].i64, f->slots[earlier].i64, out);
}

/* End less start, in milliseconds; where one is absent, what the exporter says.  False when nobody says, or
 * the end is before the start. */
static inline bool derived_duration(const struct flow *f, int64_t *out)
{
	if (derived_span(f, F_flow_end_time, F_flow_start_time, out))
		return *out >= 0;
	if (!flow_has(f, F_duration_us))
		return false;
	*out = f->slots[F_duration_us].i64 / 1000;
	return true;
}

#endif
