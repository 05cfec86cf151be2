/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich_totals.h"

#include "normalizer/enrich_derived.h"

const struct feed enrich_totals_feeds[] = {
	{ F_total_bytes, NULL, "bytes, reverse_bytes" },
	{ F_total_packets, NULL, "packets, reverse_packets" },
	{ F_bytes_per_second, NULL,
	  "bytes, reverse_bytes, flow_start_time, flow_end_time, else duration_us" },
	{ F_packets_per_second, NULL,
	  "packets, reverse_packets, flow_start_time, flow_end_time, else duration_us" },
	{ F_bytes_per_packet, NULL, "bytes, reverse_bytes, packets, reverse_packets" },
	{ F_byte_ratio, NULL, "bytes, reverse_bytes" },
	{ F_ip_family, NULL, "src_ip, else dst_ip" },
	{ 0 },
};

enum err enrich_totals_load(const void *conf, struct why *why, void **out)
{
	(void)conf;
	(void)why;
	*out = NULL;
	return ERR_OK;
}

void enrich_totals_free(void *self)
{
	(void)self;
}

/* A direction that is absent adds nothing; both absent: no total. */
static bool put_total(struct flow *f, unsigned to, unsigned forward, unsigned reverse)
{
	int64_t a = flow_has(f, forward) ? f->slots[forward].i64 : 0;
	int64_t b = flow_has(f, reverse) ? f->slots[reverse].i64 : 0;
	int64_t sum;

	if (!flow_has(f, forward) && !flow_has(f, reverse))
		return false;
	if (__builtin_add_overflow(a, b, &sum))
		sum = INT64_MAX;
	flow_set_i64(f, to, sum);
	return true;
}

static void put_ratio(struct flow *f, unsigned to, unsigned over, double under)
{
	if (under > 0)
		flow_set_f64(f, to, (double)f->slots[over].i64 / under);
}

/* Are octets and packets of the same directions there? */
static bool is_even(const struct flow *f)
{
	return flow_has(f, F_bytes) == flow_has(f, F_packets) &&
	       flow_has(f, F_reverse_bytes) == flow_has(f, F_reverse_packets);
}

static void put_family(struct flow *f)
{
	unsigned ip = flow_has(f, F_src_ip) ? F_src_ip : F_dst_ip;

	if (flow_has(f, ip))
		flow_set_octets(f, F_ip_family, f->slots[ip].bytes == 4 ? "ipv4" : "ipv6", 4);
}

static void enrich_one(struct flow *f)
{
	int64_t ms;
	bool has_ms = derived_duration(f, &ms);
	bool has_bytes = put_total(f, F_total_bytes, F_bytes, F_reverse_bytes);
	bool has_packets = put_total(f, F_total_packets, F_packets, F_reverse_packets);

	if (has_ms && ms == 0)
		ms = 1;
	if (has_ms && has_bytes)
		put_ratio(f, F_bytes_per_second, F_total_bytes, (double)ms / 1000);
	if (has_ms && has_packets)
		put_ratio(f, F_packets_per_second, F_total_packets, (double)ms / 1000);
	if (has_bytes && has_packets && is_even(f))
		put_ratio(f, F_bytes_per_packet, F_total_bytes,
			  (double)f->slots[F_total_packets].i64);
	if (flow_has(f, F_bytes) && flow_has(f, F_reverse_bytes))
		put_ratio(f, F_byte_ratio, F_reverse_bytes, (double)f->slots[F_bytes].i64);
	put_family(f);
}

void enrich_totals_run(const void *self, const struct enrich_context *context, struct flow *flows,
		       size_t count)
{
	(void)self;
	(void)context;
	for (size_t i = 0; i < count; i++)
		enrich_one(&flows[i]);
}
