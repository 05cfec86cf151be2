/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what one flow costs as a row of a Parquet file, in ns on one core, and takes there, in octets.
 * Method: a row group of flows with about 76 fields present, whose values vary as those of a busy network do
 * (hosts and servers of a few thousands, of which some are much more frequent; ports, counters, times, names),
 * is encoded beforehand.  `shred` reads each record, alone, into the batch and refuses it in the end, for an octet too many:
 * nothing is kept.  The others write the row group into memory that nobody reads, with each codec.  The best of
 * several rounds counts, of each part of a round, since noise only ever adds.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "sink/avro.h"
#include "sink/parquet_flow.h"

#define FLOWS 131072
#define ROUNDS 15
#define PARTS 64 /* of a round: the best of each of them counts */
#define SHRED_ROUNDS 200
#define SHRED_FLOWS 4096
#define RECORD_MOST 8192
#define PRESENT_NORMALIZED 60
#define TEXT_ROOM 64

static struct flow flow;
static struct field_set fields;
static uint8_t *records;
static size_t ends[FLOWS + 1];
static uint64_t state = 0x9e3779b97f4a7c15;
static char texts[FIELD_SLOTS][TEXT_ROOM];
static uint64_t present;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)((rnd() >> 32) * n >> 32);
}

/* Of n, the first ones much more often. */
static uint32_t often(uint32_t n)
{
	double u = (double)(rnd() >> 11) / 9007199254740992.0;

	return (uint32_t)(n * u * u * u);
}

/* Counters and times spread over many sizes. */
static int64_t spread(double middle)
{
	double u = (double)((rnd() >> 11) + 1) / 9007199254740993.0;
	double v = (double)((rnd() >> 11) + 1) / 9007199254740993.0;

	return (int64_t)(middle * exp(1.5 * sqrt(-2 * log(u)) * cos(6.283185307179586 * v)));
}

static void put_text(unsigned field, const char *format, unsigned number)
{
	int n;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	n = snprintf(texts[field], TEXT_ROOM, format, number);
#pragma GCC diagnostic pop
	flow_set_octets(&flow, field, texts[field], (uint32_t)n);
}

static void put_address(unsigned field, uint32_t address)
{
	for (unsigned i = 0; i < 4; i++)
		texts[field][i] = (char)(address >> (24 - 8 * i));
	flow_set_octets(&flow, field, texts[field], 4);
}

static void put_mac(unsigned field, uint32_t number)
{
	static const char vendor[] = "\x00\x1b\x21";

	memcpy(texts[field], vendor, 3);
	texts[field][3] = (char)(number >> 16);
	texts[field][4] = (char)(number >> 8);
	texts[field][5] = (char)number;
	flow_set_octets(&flow, field, texts[field], 6);
}

/* What is constant per exporter or rare: of few values. */
static void put_quiet(unsigned i, unsigned exporter)
{
	static const int64_t longs[] = { 100, 2000, 30000 };
	static const struct text names[] = { { "guest", 5 }, { "printer", 7 } };

	switch (fields.fields[i].type) {
	case FIELD_ADDR:
		put_address(i, 0xc0000200 + exporter);
		break;
	case FIELD_MAC:
		put_mac(i, 3 * exporter);
		break;
	case FIELD_STR:
		put_text(i, "value-%u", exporter);
		break;
	case FIELD_F64:
		flow_set_f64(&flow, i, 0.25 * exporter);
		break;
	case FIELD_DATE:
		flow_set_i64(&flow, i, 20454);
		break;
	case FIELD_LONGS:
		flow.slots[i].longs = longs;
		flow.slots[i].bytes = 3;
		flow_mark(&flow, i);
		break;
	case FIELD_STRS:
		flow.slots[i].texts = names;
		flow.slots[i].bytes = 2;
		flow_mark(&flow, i);
		break;
	case FIELD_BOOL:
		flow_set_i64(&flow, i, exporter & 1);
		break;
	case FIELD_MS:
		flow_set_i64(&flow, i, 1767225600000);
		break;
	case FIELD_I32:
	case FIELD_I64:
	case FIELD_TYPE_COUNT:
	default:
		flow_set_i64(&flow, i, 100 * exporter + i);
		break;
	}
}

static void put_times(unsigned n)
{
	int64_t now = 1767225600000 + n / 50;
	int64_t end = now - below(20000);
	int64_t start = end - spread(4000) % 300000;

	flow_set_i64(&flow, F_event_time, end);
	flow_set_i64(&flow, F_flow_start_time, start);
	flow_set_i64(&flow, F_flow_end_time, end);
	flow_set_i64(&flow, F_ingest_time, now);
	flow_set_i64(&flow, F_export_time, now / 1000 * 1000);
	flow_set_i64(&flow, F_duration_ms, end - start);
	flow_set_i64(&flow, F_export_delay_ms, now - end);
	flow_set_i64(&flow, F_event_hour, end / 3600000 % 24);
}

static void put_counters(void)
{
	int64_t packets = 1 + spread(8);
	int64_t bytes = 40 * packets + spread(900);
	int64_t back = 1 + spread(10);
	int64_t back_bytes = 40 * back + spread(5000);
	double seconds = 0.001 + (double)flow.slots[F_duration_ms].i64 / 1000;

	flow_set_i64(&flow, F_bytes, bytes);
	flow_set_i64(&flow, F_packets, packets);
	flow_set_i64(&flow, F_reverse_bytes, back_bytes);
	flow_set_i64(&flow, F_reverse_packets, back);
	flow_set_i64(&flow, F_client_latency_us, spread(1500));
	flow_set_i64(&flow, F_server_latency_us, spread(18000));
	flow_set_i64(&flow, F_app_latency_us, spread(7000));
	flow_set_i64(&flow, F_tcp_retransmits_forward, often(4));
	flow_set_i64(&flow, F_total_bytes, bytes + back_bytes);
	flow_set_i64(&flow, F_total_packets, packets + back);
	flow_set_f64(&flow, F_bytes_per_second, (double)(bytes + back_bytes) / seconds);
	flow_set_f64(&flow, F_packets_per_second, (double)(packets + back) / seconds);
	flow_set_f64(&flow, F_bytes_per_packet,
		     (double)(bytes + back_bytes) / (double)(packets + back));
}

static void put_ends(void)
{
	static const int ports[] = { 443, 53, 80, 123, 22, 993, 8080, 3389, 445, 5060 };
	uint32_t host = often(6000);
	uint32_t server = often(20000);
	unsigned service = often(sizeof(ports) / sizeof(ports[0]));
	bool is_udp = service == 1 || service == 3 || service == 9;

	put_address(F_src_ip, 0x0a000000 + host * 7);
	put_address(F_dst_ip, 0x17000000 + server * 2654435);
	put_mac(F_src_mac, host % 700);
	put_mac(F_dst_mac, server % 4);
	flow_set_i64(&flow, F_src_port, 32768 + below(28232));
	flow_set_i64(&flow, F_dst_port, ports[service]);
	flow_set_i64(&flow, F_server_port, ports[service]);
	put_text(F_protocol, is_udp ? "udp" : "tcp", 0);
	flow_set_i64(&flow, F_protocol_number, is_udp ? 17 : 6);
	if (!is_udp)
		flow_set_i64(&flow, F_tcp_flags, 16 + below(16));
	flow_set_i64(&flow, F_in_interface, 1 + host % 24);
	flow_set_i64(&flow, F_out_interface, 1 + server % 4);
	flow_set_i64(&flow, F_src_vlan, 100 + host % 30);
	flow_set_i64(&flow, F_dst_as_number, 64496 + server % 1500);
	flow_set_i64(&flow, F_dst_prefix_len, 16 + server % 9);
	put_text(F_app_id, "91.%u", service * 9 + server % 20);
	put_text(F_app_name, "application-%u", service * 9 + server % 20);
	put_text(F_service_name, "service-%u", service);
	if (service == 1)
		put_text(F_dns_query, "host-%u.example.net", server);
	else if (!is_udp)
		put_text(F_tls_sni, "www.site-%u.example.org", server);
	put_text(F_src_ip_scope, "private", 0);
	put_text(F_dst_ip_scope, "global", 0);
	put_text(F_direction, "outbound", 0);
	flow_set_i64(&flow, F_dst_ip_is_private, 0);
}

static void put_hashes(unsigned n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (unsigned i = 0; i < FLOW_RECORD_ID_BYTES; i++)
		flow.record_id[i] = (uint8_t)below(256);
	memcpy(texts[F_community_id], "1:", 2);
	for (unsigned i = 2; i < 29; i++)
		texts[F_community_id][i] = digits[below(64)];
	texts[F_community_id][29] = '=';
	flow_set_octets(&flow, F_community_id, texts[F_community_id], 30);
	flow_set_i64(&flow, F_export_sequence, 482113 + n / 2);
}

static unsigned count_present(void)
{
	unsigned n = 0;

	for (size_t w = 0; w < FIELD_WORDS; w++)
		n += (unsigned)__builtin_popcountll(flow.has[w]);
	return n;
}

/* Most fields lie in front, as the order of fields.def promises, the rest in small islands. */
static void make_flow(unsigned n)
{
	unsigned exporter = n / 20 % 16;

	flow_clear(&flow);
	flow.protocol_version = 10;
	flow.template_id = (uint16_t)(256 + exporter % 3);
	flow.has_template_id = true;
	put_times(n);
	put_counters();
	put_ends();
	put_hashes(n);
	for (unsigned i = 0; i < FIELD_NORMALIZED_COUNT; i++) {
		bool is_quiet = i >= F_ip_tos && i != F_http_host && i != F_dns_query &&
				i != F_tls_sni && (i < 45 || i % 16 < 2);

		if (!flow_has(&flow, i) && (fields.fields[i].is_required || is_quiet))
			put_quiet(i, exporter);
	}
	present += count_present();
}

/* Each record with an octet after it, which is not its own. */
static size_t encode_all(void)
{
	struct avro_encoder enc;
	size_t used = 0;

	avro_encoder_init(&enc, &fields);
	for (unsigned n = 0; n < FLOWS; n++) {
		size_t got;

		make_flow(n);
		got = avro_encode(&enc, &flow, records + used, RECORD_MOST);
		must(got > 0);
		used += got;
		records[used++] = 0;
		ends[n + 1] = used;
	}
	return used - FLOWS;
}

/* Short rounds, each of other flows: one of them has the processor for itself. */
static double shred(struct parquet_flow *f, struct parquet *p, unsigned round)
{
	unsigned first = round * SHRED_FLOWS % FLOWS;
	int64_t start = clock_thread_cpu_ns();

	for (unsigned n = first; n < first + SHRED_FLOWS; n++)
		must(parquet_flow_add(f, p, records + ends[n], ends[n + 1] - ends[n]) ==
		     ERR_FORMAT);
	return (double)(clock_thread_cpu_ns() - start) / SHRED_FLOWS;
}

struct result {
	int64_t ns[PARTS + 1]; /* of each part, and of the end */
	uint64_t octets;
	size_t memory; /* at most */
};

static void keep_best(struct result *r, unsigned part, int64_t *start)
{
	int64_t now = clock_thread_cpu_ns();

	if (r->ns[part] == 0 || now - *start < r->ns[part])
		r->ns[part] = now - *start;
	*start = clock_thread_cpu_ns();
}

static void write_file(struct parquet_flow *f, struct parquet *p, struct result *r)
{
	struct file_out out = { .fd = memfd_create("bench", MFD_CLOEXEC) };
	int64_t start = clock_thread_cpu_ns();
	struct parquet_settled settled;

	must(out.fd >= 0);
	must(parquet_open(p, &out) == ERR_OK);
	for (unsigned n = 0; n < FLOWS; n++) {
		must(parquet_flow_put(f, p, records + ends[n], ends[n + 1] - ends[n] - 1,
				      &settled) == ERR_OK);
		must(settled.refused == 0);
		if (n % (FLOWS / PARTS) != FLOWS / PARTS - 1)
			continue;
		keep_best(r, n / (FLOWS / PARTS), &start);
		if (parquet_memory(p) > r->memory)
			r->memory = parquet_memory(p);
	}
	must(parquet_flow_settle(f, p, &settled) == ERR_OK);
	must(parquet_finish(p, NULL, 0) == ERR_OK);
	keep_best(r, PARTS, &start);
	r->octets = out.bytes;
	parquet_reset(p);
	(void)close(out.fd);
}

static void bench_codec(struct parquet_flow *f, const char *name, enum parquet_codec codec)
{
	/* The row group ends with parquet_finish(), not with its last row. */
	const struct parquet_conf conf = { .codec = codec,
					   .group_rows = 2 * FLOWS,
					   .group_bytes = UINT64_C(1) << 30 };
	struct result r = { .octets = 0 };
	struct parquet *p;
	int64_t ns = 0;

	must(parquet_new(parquet_flow_schema(f), &conf, &p) == ERR_OK);
	for (unsigned i = 0; i < ROUNDS; i++)
		write_file(f, p, &r);
	parquet_free(p);
	for (unsigned i = 0; i <= PARTS; i++)
		ns += r.ns[i];
	printf("parquet codec=%s ns_per_flow=%.0f of_it_at_the_end=%.0f octets_per_flow=%.1f memory_mib=%.1f\n",
	       name, (double)ns / FLOWS, (double)r.ns[PARTS] / FLOWS, (double)r.octets / FLOWS,
	       (double)r.memory / (1 << 20));
}

int main(int argc, char **argv)
{
	const struct parquet_conf conf = { .codec = PARQUET_UNCOMPRESSED };
	struct parquet_flow *f;
	struct parquet *p;
	double best_ns = 1e9;
	size_t octets;

	field_set_init(&fields);
	records = malloc((size_t)FLOWS * 1024 + RECORD_MOST);
	must(records != NULL);
	octets = encode_all();
	must(parquet_flow_new(&fields, PARQUET_FLAT, NULL, &f) == ERR_OK);
	must(parquet_new(parquet_flow_schema(f), &conf, &p) == ERR_OK);
	for (unsigned i = 0; i < SHRED_ROUNDS; i++) {
		double ns = shred(f, p, i);

		best_ns = ns < best_ns ? ns : best_ns;
	}
	parquet_free(p);
	printf("parquet shred ns_per_flow=%.1f octets=%.0f present=%.1f fields=%u\n", best_ns,
	       (double)octets / FLOWS, (double)present / FLOWS,
	       (unsigned)FIELD_NORMALIZED_COUNT + (unsigned)FIELD_ENRICHED_COUNT);
	if (argc == 1 || strcmp(argv[1], "none") == 0)
		bench_codec(f, "none", PARQUET_UNCOMPRESSED);
	if (argc == 1 || strcmp(argv[1], "snappy") == 0)
		bench_codec(f, "snappy", PARQUET_SNAPPY);
	if (argc == 1 || strcmp(argv[1], "zstd") == 0)
		bench_codec(f, "zstd", PARQUET_ZSTD);
	parquet_flow_free(f);
	free(records);
	return 0;
}
