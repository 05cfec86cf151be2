/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nanoseconds a flow of each enricher of the table, alone and all together: batches as the pipeline makes
 * them, of flows with the fields that 35-element nProbe-like IPFIX fills, no two with the same ports.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "normalizer/enrich.h"
#include "normalizer/enrich_ndpi.h"

#define BATCH 8 /* the pipeline's PIPELINE_FLOWS */
#define BATCHES_A_ROUND 1000
#define ROUNDS 400 /* short and many: the best of them was not disturbed */

static struct flow *flows;
static struct session session;
static struct enrich_ndpi_conf ndpi = { .release = (char[]){ NDPI_RELEASE } };
static const void *confs[ENRICHERS_MAX];
static uint8_t addresses[BATCH][2][4];

static const struct {
	unsigned field;
	int64_t number;
} numbers[] = {
	{ F_event_time, INT64_C(1700000001500) },
	{ F_flow_start_time, INT64_C(1700000000000) },
	{ F_flow_end_time, INT64_C(1700000001500) },
	{ F_ingest_time, INT64_C(1700000002042) },
	{ F_export_time, INT64_C(1700000002000) },
	{ F_bytes, 5000 },
	{ F_packets, 10 },
	{ F_reverse_bytes, 90000 },
	{ F_reverse_packets, 70 },
	{ F_src_port, 40000 },
	{ F_dst_port, 443 },
	{ F_protocol_number, 6 },
	{ F_tcp_flags, 0x1b },
	{ F_tcp_flags_forward, 0x1b },
	{ F_tcp_flags_reverse, 0x1a },
	{ F_sampling_rate, 100 },
	{ F_observation_domain_id, 5 },
	{ F_in_interface, 1 },
	{ F_out_interface, 2 },
	{ F_risk_bitmap, 0x21 },
	{ F_app_confidence, 6 },
};

static void make_flows(void)
{
	for (size_t i = 0; i < BATCH; i++) {
		struct flow *f = &flows[i];

		for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
			flow_set_i64(f, numbers[n].field, numbers[n].number);
		memcpy(addresses[i][0], (const uint8_t[]){ 10, 0, 0, (uint8_t)i }, 4);
		memcpy(addresses[i][1], (const uint8_t[]){ 93, 184, 216, (uint8_t)(34 + i) }, 4);
		flow_set_octets(f, F_exporter_ip, (const uint8_t *)"\xc6\x33\x64\x07", 4);
		flow_set_octets(f, F_src_ip, addresses[i][0], 4);
		flow_set_octets(f, F_dst_ip, addresses[i][1], 4);
		flow_set_octets(f, F_app_id, "5.124", 5);
		f->slots[F_app_id].tag = APP_ID_NDPI;
	}
}

/* As after the plan: nothing enriched, no scratch of enrichers. */
static void next_batch(unsigned n)
{
	for (size_t i = 0; i < BATCH; i++) {
		memset(flows[i].has + FIELD_NORMALIZED_WORDS, 0,
		       FIELD_ENRICHED_WORDS * sizeof(flows[i].has[0]));
		flows[i].scratch_used = 0;
		flows[i].text_count = 0;
		flows[i].slots[F_src_port].i64 = 1024 + (BATCH * n + i) % 64000;
	}
}

static double round_ns(const struct enrich_set *set)
{
	struct enrich_context context = { &session };
	int64_t start = clock_thread_cpu_ns();

	for (unsigned n = 0; n < BATCHES_A_ROUND; n++) {
		next_batch(n);
		enrich_run(set, &context, flows, BATCH);
	}
	return (double)(clock_thread_cpu_ns() - start) / ((double)BATCHES_A_ROUND * BATCH);
}

static double best_ns(char *const *names, size_t count)
{
	struct enrich_set *set;
	struct why why = { "" };
	double best = 1e9;

	if (enrich_load(names, count, confs, &why, &set) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		double ns = round_ns(set);

		best = ns < best ? ns : best;
	}
	enrich_free(set);
	return best;
}

static struct ndpi_releases *load_tables(void)
{
	struct ndpi_releases *releases;
	struct why why = { "" };

	must(ndpi_load("templates/tables", &why, &releases) == ERR_OK);
	ndpi.releases = releases;
	for (size_t i = 0; enrichers[i].name != NULL; i++)
		confs[i] = strcmp(enrichers[i].name, "ndpi") == 0 ? &ndpi : NULL;
	return releases;
}

int main(void)
{
	struct ndpi_releases *releases = load_tables();
	char *names[ENRICHERS_MAX];
	size_t count = 0;
	double none;

	flows = calloc(BATCH, sizeof(*flows));
	must(flows != NULL);
	make_flows();
	none = best_ns(NULL, 0);
	char *defaults[] = { (char *)"network", (char *)"service", (char *)"community_id",
			     (char *)"derived" };

	(void)printf("\n| enricher | ns a flow |\n|---|---|\n");
	for (; enrichers[count].name != NULL; count++) {
		names[count] = (char *)enrichers[count].name;
		(void)printf("| %s | %.1f |\n", names[count], best_ns(&names[count], 1) - none);
	}
	(void)printf("| all of them | %.1f |\n", best_ns(names, count) - none);
	(void)printf("| those on by default | %.1f |\n", best_ns(defaults, 4) - none);
	ndpi_free(releases);
	free(flows);
	return 0;
}
