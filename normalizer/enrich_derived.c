/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich_derived.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/rd.h"
#include "base/text.h"
#include "normalizer/icmp.h"

#define PROTOCOL_TCP 6
#define FLAG_COUNT 9 /* RFC 9293 has the lower eight, RFC 3540 had N */
#define FLAG_SETS (1 << FLAG_COUNT)
#define DEDUP_OCTETS 16
#define ENGINE_COUNT 256

enum { FLAG_FIN = 0x01, FLAG_SYN = 0x02, FLAG_RST = 0x04, FLAG_ACK = 0x10 };

struct enrich_derived {
	int64_t skew_ms;
	char flags[FLAG_SETS][FLAG_COUNT];
};

enum state { SYN_ONLY, ESTABLISHED, RESET, CLOSED, UNKNOWN, STATE_COUNT };
static const struct text state_texts[STATE_COUNT] = {
	[SYN_ONLY] = { "syn_only", 8 }, [ESTABLISHED] = { "established", 11 },
	[RESET] = { "reset", 5 },	[CLOSED] = { "closed", 6 },
	[UNKNOWN] = { "unknown", 7 },
};

/* RFC 6759, 4.1, and what IANA's registry of classification engines added. */
static const struct text engines[ENGINE_COUNT] = {
	[1] = { "IANA-L3", 7 },	      [2] = { "PANA-L3", 7 },		[3] = { "IANA-L4", 7 },
	[4] = { "PANA-L4", 7 },	      [6] = { "USER-Defined", 12 },	[12] = { "PANA-L2", 7 },
	[13] = { "PANA-L7", 7 },      [18] = { "ETHERTYPE", 9 },	[19] = { "LLC", 3 },
	[20] = { "PANA-L7-PEN", 11 }, [21] = { "Qosmos ixEngine", 15 }, [22] = { "ntop nDPI", 9 },
};

const struct feed enrich_derived_feeds[] = {
	{ F_duration_ms, NULL, "flow_start_time, flow_end_time, else duration_us" },
	{ F_ingest_latency_ms, NULL, "ingest_time, event_time" },
	{ F_export_delay_ms, NULL, "export_time, flow_end_time" },
	{ F_sequence_gap, NULL, "export_sequence of this message and those before it" },
	{ F_clock_skew_ms, NULL, "export_time and ingest_time of the last nine messages" },
	{ F_clock_skew_flag, NULL,
	  "clock_skew_ms, flow_end_time, ingest_time, normalizer.derived.skew_s" },
	{ F_bytes_corrected, NULL, "bytes, sampling_rate" },
	{ F_packets_corrected, NULL, "packets, sampling_rate" },
	{ F_is_sampled, NULL, "sampling_rate" },
	{ F_is_biflow, NULL, "reverse_bytes, reverse_packets" },
	{ F_tcp_flags_text, NULL,
	  "protocol_number, tcp_flags, else tcp_flags_forward, tcp_flags_reverse" },
	{ F_tcp_session_state, NULL,
	  "protocol_number, tcp_flags, tcp_flags_forward, tcp_flags_reverse" },
	{ F_icmp_name, NULL, "protocol_number, icmp_type, icmp_code" },
	{ F_app_engine, NULL, "app_id" },
	{ F_dedup_key, NULL,
	  "exporter_ip, observation_domain_id, src_ip, dst_ip, src_port, dst_port, protocol_number, flow_start_time, flow_end_time" },
	{ 0 },
};

const struct conf_opt enrich_derived_options[] = {
	{ "skew_s", CONF_U32, CONF_LIVE, offsetof(struct enrich_derived_conf, skew_s), 1,
	  UINT32_MAX, "60",
	  "Seconds: an exporter's clock that is farther off sets clock_skew_flag." },
	{ 0 },
};

void enrich_derived_free(void *self)
{
	free(self);
}

enum err enrich_derived_load(const void *conf, struct why *why, void **out)
{
	static const char letters[FLAG_COUNT + 1] = "FSRPAUECN";
	struct enrich_derived_conf c;
	struct enrich_derived *d;

	TRY(conf_init(enrich_derived_options, &c, why));
	if (conf != NULL)
		c = *(const struct enrich_derived_conf *)conf;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return ERR_NOMEM;
	d->skew_ms = INT64_C(1000) * c.skew_s;
	for (unsigned set = 0; set < FLAG_SETS; set++) {
		for (unsigned bit = 0; bit < FLAG_COUNT; bit++)
			d->flags[set][bit] = '.';
		for (unsigned bit = 0; bit < FLAG_COUNT; bit++) {
			if (set >> bit & 1)
				d->flags[set][bit] = letters[bit];
		}
	}
	*out = d;
	return ERR_OK;
}

static void put_text(struct flow *f, unsigned field, const struct text *text)
{
	flow_set_octets(f, field, text->octets, text->bytes);
}

static int64_t number_or(const struct flow *f, unsigned field, int64_t absent)
{
	return flow_has(f, field) ? f->slots[field].i64 : absent;
}

/* ---- times ---- */

static void put_clock(const struct enrich_derived *d, const struct session *s, struct flow *f)
{
	int64_t skew = s->skew_ms;
	int64_t ahead;
	bool has_skew = s->skew_count > 0;
	bool has_ahead = derived_span(f, F_flow_end_time, F_ingest_time, &ahead);

	if (has_skew)
		flow_set_i64(f, F_clock_skew_ms, skew);
	if (has_skew || has_ahead)
		flow_set_i64(f, F_clock_skew_flag,
			     (has_skew && (skew > d->skew_ms || skew < -d->skew_ms)) ||
				     (has_ahead && ahead > d->skew_ms));
}

static void put_times(const struct enrich_derived *d, const struct session *s, struct flow *f)
{
	int64_t ms;

	if (derived_duration(f, &ms))
		flow_set_i64(f, F_duration_ms, ms);
	if (derived_span(f, F_ingest_time, F_event_time, &ms))
		flow_set_i64(f, F_ingest_latency_ms, ms);
	if (derived_span(f, F_export_time, F_flow_end_time, &ms))
		flow_set_i64(f, F_export_delay_ms, ms);
	if (s->gap != SESSION_GAP_UNKNOWN)
		flow_set_i64(f, F_sequence_gap, s->gap);
	put_clock(d, s, f);
}

/* ---- counters ---- */

static void put_corrected(struct flow *f, unsigned to, unsigned from, int64_t rate)
{
	int64_t v;

	if (!flow_has(f, from))
		return;
	if (__builtin_mul_overflow(f->slots[from].i64, rate, &v))
		v = INT64_MAX;
	flow_set_i64(f, to, v);
}

static void put_counters(struct flow *f)
{
	int64_t rate = number_or(f, F_sampling_rate, 0);

	flow_set_i64(f, F_is_biflow,
		     flow_has(f, F_reverse_bytes) || flow_has(f, F_reverse_packets));
	if (rate <= 0)
		return;
	flow_set_i64(f, F_is_sampled, rate > 1);
	put_corrected(f, F_bytes_corrected, F_bytes, rate);
	put_corrected(f, F_packets_corrected, F_packets, rate);
}

/* ---- TCP ---- */

/* Flags of both directions: what all that are known have in common, and what any has.  A direction
 * without any flag was not seen: no TCP packet is without one. */
static enum state state_of(int64_t both, int64_t forward, int64_t reverse)
{
	int64_t any = both | forward | reverse;
	int64_t all = forward != 0 && reverse != 0 ? forward & reverse : any;

	if (any & FLAG_RST)
		return RESET;
	if ((all & (FLAG_FIN | FLAG_ACK)) == (FLAG_FIN | FLAG_ACK))
		return CLOSED;
	if (all & FLAG_ACK)
		return ESTABLISHED;
	return (any & FLAG_SYN) && !(any & FLAG_FIN) ? SYN_ONLY : UNKNOWN;
}

static void put_tcp(const struct enrich_derived *d, struct flow *f)
{
	int64_t forward = number_or(f, F_tcp_flags_forward, 0);
	int64_t reverse = number_or(f, F_tcp_flags_reverse, 0);
	int64_t both = number_or(f, F_tcp_flags, forward | reverse);

	if (!flow_has(f, F_tcp_flags) && !flow_has(f, F_tcp_flags_forward) &&
	    !flow_has(f, F_tcp_flags_reverse))
		return;
	/* Exporters send the element, zero, with every protocol. */
	if (number_or(f, F_protocol_number, PROTOCOL_TCP) != PROTOCOL_TCP)
		return;
	flow_set_octets(f, F_tcp_flags_text, d->flags[both & (FLAG_SETS - 1)], FLAG_COUNT);
	put_text(f, F_tcp_session_state, &state_texts[state_of(both, forward, reverse)]);
}

/* ---- names ---- */

static void put_icmp(struct flow *f)
{
	const struct text *name;

	/* TCP flows carry a type of zero too: icmp_name() looks at the protocol. */
	if (!flow_has(f, F_icmp_type) || !flow_has(f, F_protocol_number))
		return;
	name = icmp_name(f->slots[F_protocol_number].i64, f->slots[F_icmp_type].i64,
			 number_or(f, F_icmp_code, ICMP_CODE_NONE));
	if (name != NULL)
		put_text(f, F_icmp_name, name);
}

/* app_id is engine:selector in decimal when it has an engine at all. */
static void put_engine(struct flow *f)
{
	const uint8_t *p = f->slots[F_app_id].octets;
	unsigned engine = 0;
	uint32_t i;

	if (!flow_has(f, F_app_id))
		return;
	for (i = 0; i < f->slots[F_app_id].bytes && i < 3 && p[i] >= '0' && p[i] <= '9'; i++)
		engine = 10 * engine + (unsigned)(p[i] - '0');
	if (i == 0 || i == f->slots[F_app_id].bytes || p[i] != ':' || engine >= ENGINE_COUNT)
		return;
	if (engines[engine].octets != NULL)
		put_text(f, F_app_engine, &engines[engine]);
}

/* ---- dedup_key ---- */

static const unsigned dedup_numbers[] = {
	F_observation_domain_id, F_protocol_number, F_src_port, F_dst_port,
	F_flow_start_time,	 F_flow_end_time
};
#define DEDUP_NUMBERS (sizeof(dedup_numbers) / sizeof(dedup_numbers[0]))

/* Big endian, in whole words: octets stored one by one would stall the hash's loads. */
static uint64_t *put_word(uint64_t *out, uint64_t v)
{
	*out = __builtin_bswap64(v);
	return out + 1;
}

static uint64_t *put_mapped(uint64_t *out, const struct slot *slot)
{
	if (slot->bytes == 4)
		return put_word(put_word(out, 0), UINT64_C(0xffff00000000) | be32(slot->octets));
	return put_word(put_word(out, be64(slot->octets)), be64(slot->octets + 8));
}

static void put_dedup_key(struct flow *f)
{
	uint64_t in[6 + DEDUP_NUMBERS];
	uint64_t *end = in;
	XXH128_canonical_t canonical;
	uint8_t *text;

	/* Without its times a flow is like the next one between the same ports. */
	if (!flow_has(f, F_exporter_ip) || !flow_has(f, F_src_ip) || !flow_has(f, F_dst_ip) ||
	    !flow_has(f, F_flow_start_time) || !flow_has(f, F_flow_end_time))
		return;
	text = flow_scratch(f, 2 * DEDUP_OCTETS);
	if (text == NULL)
		return;
	end = put_mapped(end, &f->slots[F_exporter_ip]);
	end = put_mapped(end, &f->slots[F_src_ip]);
	end = put_mapped(end, &f->slots[F_dst_ip]);
	for (size_t i = 0; i < DEDUP_NUMBERS; i++)
		end = put_word(end, (uint64_t)number_or(f, dedup_numbers[i], -1));
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(in, sizeof(in)));
	(void)text_put_hex(text, canonical.digest, DEDUP_OCTETS);
	flow_set_octets(f, F_dedup_key, text, 2 * DEDUP_OCTETS);
}

void enrich_derived_run(const void *self, const struct enrich_context *context, struct flow *flows,
			size_t count)
{
	for (size_t i = 0; i < count; i++) {
		put_times(self, context->session, &flows[i]);
		put_counters(&flows[i]);
		put_tcp(self, &flows[i]);
		put_icmp(&flows[i]);
		put_engine(&flows[i]);
		put_dedup_key(&flows[i]);
	}
}
