/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/envelope.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/must.h"
#include "collector/frame.h"

#define ROUTE_ALL UINT64_MAX

#define FROM_FIXED "SysUptime, unix_secs and unix_nsecs: what the record's time counts from"
#define FROM_V9 "sysUpTime and UNIX Secs: what the record's time counts from"
#define FROM_IPFIX "Export Time: what deltas count from"
#define FROM_SFLOW                                                                                 \
	"time of reception: a datagram has no time of its own, and is sent as its packets are sampled"
#define BOOT "systemInitTimeMilliseconds: what sysUpTime counts from, in IPFIX"

const struct feed envelope_feeds[] = {
	{ F_event_time, "first of", "flow_end_time, flow_start_time, export_time, ingest_time" },
	{ F_flow_start_time, "netflow1 header", FROM_FIXED },
	{ F_flow_start_time, "netflow5 header", FROM_FIXED },
	{ F_flow_start_time, "netflow7 header", FROM_FIXED },
	{ F_flow_start_time, "netflow9 header", FROM_V9 },
	{ F_flow_start_time, "ipfix header", FROM_IPFIX },
	{ F_flow_start_time, "options data", BOOT },
	{ F_flow_start_time, "sflow5", FROM_SFLOW },
	{ F_flow_end_time, "netflow1 header", FROM_FIXED },
	{ F_flow_end_time, "netflow5 header", FROM_FIXED },
	{ F_flow_end_time, "netflow7 header", FROM_FIXED },
	{ F_flow_end_time, "netflow9 header", FROM_V9 },
	{ F_flow_end_time, "ipfix header", FROM_IPFIX },
	{ F_flow_end_time, "options data", BOOT },
	{ F_flow_end_time, "sflow5", FROM_SFLOW },
	{ F_export_time, "netflow1 header", "unix_secs, unix_nsecs" },
	{ F_export_time, "netflow5 header", "unix_secs, unix_nsecs" },
	{ F_export_time, "netflow7 header", "unix_secs, unix_nsecs" },
	{ F_export_time, "netflow9 header", "UNIX Secs" },
	{ F_export_time, "ipfix header", "Export Time" },
	{ F_ingest_time, "transport", "time of reception; replayed, the capture's time" },
	{ F_export_sequence, "netflow5 header", "flow_sequence" },
	{ F_export_sequence, "netflow7 header", "flow_sequence" },
	{ F_export_sequence, "netflow9 header", "Sequence Number" },
	{ F_export_sequence, "ipfix header", "Sequence Number" },
	{ F_export_sequence, "sflow5 header", "sequence number of the datagram" },
	{ F_observation_domain_id, "netflow5 header", "engine_type x 256 + engine_id" },
	{ F_observation_domain_id, "netflow9 header", "Source ID" },
	{ F_observation_domain_id, "ipfix header", "Observation Domain ID" },
	{ F_observation_domain_id, "sflow5 header", "sub-agent id" },
	{ F_source, "message header",
	  "version: 1, 5, 7, 9, 10 for IPFIX; of sFlow the word of 4 octets" },
	{ F_exporter_ip, "transport", "address of the peer" },
	{ F_exporter_ip, "configuration", "exporters[].trust_reported: exporter_reported_ip" },
	{ F_exporter_port, "transport", "port of the peer" },
	{ F_sampling_rate, "netflow5 header",
	  "sampling_interval, lower 14 bits; 0: the configuration says, else it is 1" },
	{ F_sampling_rate, "configuration", "exporters[].sampling_rate" },
	{ F_sampling_algorithm, "netflow5 header", "sampling_interval, upper 2 bits" },
	{ 0 },
};

void envelope_boot(struct envelope *e, int64_t boot_ms)
{
	e->env.boot_ms = boot_ms;
	e->env.has_boot = boot_ms != 0;
}

void envelope_begin(struct envelope *e, const struct message *m, const struct session *s)
{
	const struct frame *frame = frame_find(m->version);
	uint8_t *p = e->hashed;
	uint8_t bytes = s->is_named ? s->identity_bytes : s->peer.bytes;

	must(frame != NULL);
	e->message = m;
	e->session = s;
	e->source.octets = frame->source;
	e->source.bytes = (uint32_t)strlen(frame->source);
	e->env.export_ms = m->export_ms;
	e->env.uptime_ms = m->uptime_ms;
	e->env.has_uptime = m->has_uptime;
	/* A v5 header with interval 0 says: not sampled. */
	e->sampling_rate = 0;
	if (m->has_sampling && m->sampling_interval > 0)
		e->sampling_rate = m->sampling_interval;
	else if (s->entry != NULL && s->entry->sampling_rate > 0)
		e->sampling_rate = s->entry->sampling_rate;
	else if (m->has_sampling)
		e->sampling_rate = 1;
	*p++ = bytes;
	*p++ = s->is_named ? 'n' : 'a';
	memcpy(p, s->is_named ? (const uint8_t *)s->identity : s->peer.octets, bytes);
	p += bytes;
	memcpy(p, m->octets, m->header_bytes);
	p += m->header_bytes;
	e->prefix_bytes = (size_t)(p - e->hashed);
	must(e->prefix_bytes <= ENVELOPE_PREFIX_MAX - 6);
}

/* One call where the record is of usual size; the same hash piece by piece where it is not. */
static XXH128_hash_t hash_record(struct envelope *e, size_t head_bytes, const struct record *r)
{
	XXH3_state_t state;

	if (r->bytes <= ENVELOPE_RECORD_MAX) {
		memcpy(e->hashed + head_bytes, r->octets, r->bytes);
		return XXH3_128bits(e->hashed, head_bytes + r->bytes);
	}
	(void)XXH3_128bits_reset(&state);
	(void)XXH3_128bits_update(&state, e->hashed, head_bytes);
	(void)XXH3_128bits_update(&state, r->octets, r->bytes);
	return XXH3_128bits_digest(&state);
}

static void put_record_id(struct envelope *e, const struct record *r, struct flow *f)
{
	uint32_t offset = __builtin_bswap32(r->offset);
	size_t n = e->prefix_bytes;
	XXH128_canonical_t canonical;

	memcpy(e->hashed + n, &offset, 4);
	memset(e->hashed + n + 4, 0, 2); /* part 0 */
	XXH128_canonicalFromHash(&canonical, hash_record(e, n + 6, r));
	memcpy(f->record_id, canonical.digest, FLOW_RECORD_ID_BYTES);
}

/* Flow end, else start, else export time, else receive time; a note says which if not the first. */
static void put_event_time(const struct envelope *e, struct flow *f)
{
	if (flow_has(f, F_flow_end_time)) {
		flow_set_i64(f, F_event_time, f->slots[F_flow_end_time].i64);
	} else if (flow_has(f, F_flow_start_time)) {
		flow_set_i64(f, F_event_time, f->slots[F_flow_start_time].i64);
		flow_note(f, NOTE_TIME_START);
	} else if (e->message->export_ms != 0) {
		flow_set_i64(f, F_event_time, e->message->export_ms);
		flow_note(f, NOTE_TIME_EXPORT);
	} else {
		flow_set_i64(f, F_event_time, e->message->origin->receive_ms);
		flow_note(f, NOTE_TIME_RECEIVE);
	}
}

/* A sample is one packet, which its exporter sends on at once. */
static void put_sample_time(int64_t receive_ms, struct flow *f)
{
	flow_set_i64(f, F_flow_start_time, receive_ms);
	flow_set_i64(f, F_flow_end_time, receive_ms);
	flow_note(f, NOTE_TIME_RECEIVE);
}

static void put_sampling(const struct envelope *e, struct flow *f)
{
	if (flow_has(f, F_sampling_rate))
		return;
	if (e->sampling_rate == 0) {
		flow_note(f, NOTE_SAMPLING_UNKNOWN);
		return;
	}
	flow_set_i64(f, F_sampling_rate, e->sampling_rate);
	if (e->message->has_sampling && !flow_has(f, F_sampling_algorithm))
		flow_set_i64(f, F_sampling_algorithm, e->message->sampling_mode);
}

/* What a record says of its exporter is believed of those that the operator trusts. */
static void put_exporter_ip(const struct envelope *e, struct flow *f)
{
	const struct session *s = e->session;

	if (s->entry != NULL && s->entry->trusts_reported && flow_has(f, F_exporter_reported_ip))
		flow_set_octets(f, F_exporter_ip, f->slots[F_exporter_reported_ip].octets,
				f->slots[F_exporter_reported_ip].bytes);
	else
		flow_set_octets(f, F_exporter_ip, s->peer.octets, s->peer.bytes);
}

void envelope_put(struct envelope *e, const struct tmpl *t, const struct record *r, struct flow *f)
{
	const struct message *m = e->message;

	if (m->version == VERSION_SFLOW5)
		put_sample_time(m->origin->receive_ms, f);
	put_event_time(e, f);
	put_sampling(e, f);
	if (t->is_borrowed)
		flow_note(f, NOTE_TEMPLATE_PORT);
	flow_set_i64(f, F_ingest_time, m->origin->receive_ms);
	flow_set_octets(f, F_source, e->source.octets, e->source.bytes);
	put_exporter_ip(e, f);
	flow_set_i64(f, F_exporter_port, m->origin->port);
	if (!m->has_no_sequence)
		flow_set_i64(f, F_export_sequence, m->sequence);
	if (!m->has_no_domain)
		flow_set_i64(f, F_observation_domain_id, m->domain);
	if (m->export_ms != 0)
		flow_set_i64(f, F_export_time, m->export_ms);
	f->protocol_version = m->version;
	/* The number of a template that we made says nothing to anybody. */
	f->has_template_id = t->id != 0 && m->version != VERSION_SFLOW5;
	f->template_id = t->id;
	f->record = r->octets;
	f->record_bytes = r->bytes;
	f->has_wire = false;
	put_record_id(e, r, f);
}

static uint64_t endpoint_hash(const struct flow *f, unsigned ip, unsigned port)
{
	uint64_t seed = flow_has(f, port) ? (uint64_t)f->slots[port].i64 + 1 : 0;

	if (!flow_has(f, ip))
		return seed;
	return XXH3_64bits_withSeed(f->slots[ip].octets, f->slots[ip].bytes, seed);
}

void envelope_head(const struct flow *f, struct log_head *head)
{
	uint64_t protocol =
		flow_has(f, F_protocol_number) ? (uint64_t)f->slots[F_protocol_number].i64 : 256;

	memset(head, 0, sizeof(*head));
	head->event_ms = f->slots[F_event_time].i64;
	head->ingest_ms = f->slots[F_ingest_time].i64;
	/* A sum, so that both directions of a conversation have the same. */
	head->key_hash =
		(endpoint_hash(f, F_src_ip, F_src_port) + endpoint_hash(f, F_dst_ip, F_dst_port)) ^
		protocol * UINT64_C(0x9e3779b97f4a7c15);
	head->route = ROUTE_ALL;
}
