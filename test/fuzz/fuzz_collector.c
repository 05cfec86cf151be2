/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no sequence of units crashes, hangs or unbalances the collector: gate, walk, v5, v9, IPFIX.
 * Method: the input is cut in units, each led by two octets of length and one that picks the peer; after
 * all of them the ledger's lines must hold.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/rd.h"
#include "collector/collector.h"

#define FIELDS_MAX 64

struct sink {
	uint64_t flows;
	uint64_t options;
	int64_t tmpls;
};

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	struct sink *k = ctx;

	(void)s;
	must(t->min_bytes > 0);
	k->tmpls++;
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	struct sink *k = ctx;

	k->tmpls -= t->version != VERSION_NF5;
}

static void message_edge(void *ctx, const struct message *m, struct session *s)
{
	(void)ctx;
	(void)m;
	(void)s;
}

/* Every octet of every field is read, so that a sanitizer sees one too far. */
static void cut_all(const struct tmpl *t, const struct record *records, size_t count)
{
	struct value values[FIELDS_MAX];
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		tmpl_cut(t, records[i].octets, records[i].bytes, values);
		for (uint16_t f = 0; f < t->field_count; f++) {
			for (uint32_t k = 0; k < values[f].bytes; k++)
				sum = (uint8_t)(sum + values[f].octets[k]);
		}
	}
}

static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	struct sink *k = ctx;

	(void)m;
	(void)s;
	(void)reason;
	cut_all(t, r, count);
	k->flows += count;
	return 0;
}

static void options(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		    const struct record *r, size_t count)
{
	struct sink *k = ctx;

	(void)m;
	(void)s;
	cut_all(t, r, count);
	k->options += count;
}

static const struct collector_ops ops = { tmpl_new_seen, tmpl_gone_seen, message_edge,
					  records,	 options,	 message_edge };
static const struct collector_limits limits = { .sessions_max = 16,
						.templates_max = 8,
						.fields_max = FIELDS_MAX,
						.repeats_max = 4,
						.template_lifetime_s = 1800,
						.session_idle_s = 3600 };

static uint64_t sum_of(const struct stat_set *stat, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < stat->count; i++) {
		if (strcmp(stat->descs[i].name, name) == 0)
			sum += stat_get(stat, i);
	}
	return sum;
}

static void check_ledger(const struct stat_set *stat, const struct sink *k, uint64_t units)
{
	must(units == sum_of(stat, "units_refused") + sum_of(stat, "messages"));
	must(sum_of(stat, "messages") ==
	     sum_of(stat, "messages_read") + sum_of(stat, "messages_malformed"));
	must(sum_of(stat, "data_sets") ==
	     sum_of(stat, "data_sets_decoded") + sum_of(stat, "data_sets_refused"));
	must(k->flows == sum_of(stat, "records_flow"));
	must(k->options == sum_of(stat, "records_options"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sink sink = { 0 };
	struct rd r = rd_of(data, size);
	struct stat_set *stat;
	struct collector *c;
	uint64_t units = 0;

	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	must(collector_new(&limits, &ops, &sink, stat, &c) == ERR_OK);
	while (rd_left(&r) > 3) {
		size_t bytes = rd_u16(&r);
		struct origin origin = { .peer = addr_of_v4(rd_u8(&r) & 3), .port = 1 };
		uint8_t *unit;

		bytes = bytes < rd_left(&r) ? bytes : rd_left(&r);
		unit = malloc(bytes + 1);
		must(unit != NULL);
		memcpy(unit, rd_take(&r, bytes), bytes);
		collector_receive(c, unit, bytes, &origin);
		free(unit);
		units++;
	}
	check_ledger(stat, &sink, units);
	collector_tick(c, INT64_C(1) << 40);
	collector_free(c);
	must(sink.tmpls == 0);
	stat_set_free(stat);
	return 0;
}
