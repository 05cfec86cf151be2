/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/must.h"
#include "base/rd.h"

#define TEMPLATE_ID 145
#define FLOW_KEY_INDICATOR 173
#define NUMBER_BYTES_MAX 8
#define LATE_MS 60000 /* what is older than that did not come late: the clock was put back */

static const struct {
	uint16_t id;
	const char *name;
} kinds[REPORT_KINDS] = {
	[REPORT_EXPORTED_OCTETS] = { 40, "exported_octets" },
	[REPORT_EXPORTED_MESSAGES] = { 41, "exported_messages" },
	[REPORT_EXPORTED_FLOWS] = { 42, "exported_flows" },
	[REPORT_IGNORED_PACKETS] = { 164, "ignored_packets" },
	[REPORT_IGNORED_OCTETS] = { 165, "ignored_octets" },
	[REPORT_NOT_SENT_FLOWS] = { 166, "not_sent_flows" },
	[REPORT_NOT_SENT_PACKETS] = { 167, "not_sent_packets" },
	[REPORT_NOT_SENT_OCTETS] = { 168, "not_sent_octets" },
};

/* Who counts, by the first of these that is there, wherever it stands in the record. */
static const struct {
	uint16_t id;
	const char *name;
} processes[] = {
	{ 143, "metering" }, { 144, "exporting" }, { 141, "line card" }, { 142, "port" }
};

const char *report_name(enum report_kind kind)
{
	return kinds[kind].name;
}

static size_t kind_of(const struct tmpl_field *f)
{
	size_t kind = 0;

	while (kind < REPORT_KINDS && (f->pen != PEN_IANA || kinds[kind].id != f->id))
		kind++;
	return kind;
}

static bool is_keys(const struct tmpl_field *f)
{
	return f->pen == PEN_IANA && f->id == FLOW_KEY_INDICATOR;
}

bool report_is_of(const struct tmpl *t)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (is_keys(&t->fields[i]) || kind_of(&t->fields[i]) < REPORT_KINDS)
			return true;
	}
	return false;
}

/* False when it says no number. */
static bool number_of(struct value v, uint64_t *out)
{
	if (v.bytes == 0 || v.bytes > NUMBER_BYTES_MAX)
		return false;
	*out = be_uint(v.octets, v.bytes);
	return true;
}

static bool find_number(const struct tmpl *t, const struct value *values, uint16_t id,
			uint64_t *out)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (t->fields[i].pen == PEN_IANA && t->fields[i].id == id)
			return number_of(values[i], out);
	}
	return false;
}

static void take_keys(const struct tmpl *t, const struct value *values, struct report_taken *out)
{
	uint64_t id;

	out->has_keys = find_number(t, values, FLOW_KEY_INDICATOR, &out->keys) &&
			find_number(t, values, TEMPLATE_ID, &id) && id <= UINT16_MAX;
	if (out->has_keys)
		out->keys_of = (uint16_t)id;
}

static uint64_t scope_of(const struct tmpl *t, const struct value *values)
{
	uint64_t hash = 0;

	for (uint16_t i = 0; i < t->field_count && t->fields[i].is_scope; i++) {
		uint64_t element = (uint64_t)t->fields[i].pen << 16 | t->fields[i].id;

		hash = XXH3_64bits_withSeed(values[i].octets, values[i].bytes, hash ^ element);
	}
	return hash;
}

static void name_process(struct report_process *p, const struct tmpl *t, const struct value *values)
{
	uint64_t number;

	for (size_t i = 0; i < sizeof(processes) / sizeof(processes[0]); i++) {
		if (!find_number(t, values, processes[i].id, &number))
			continue;
		(void)snprintf(p->name, sizeof(p->name), "%s %" PRIu64, processes[i].name, number);
		return;
	}
}

static struct report_process *find_process(struct report *r, uint64_t scope)
{
	for (size_t i = 0; r != NULL && i < r->count; i++) {
		if (r->processes[i].scope == scope)
			return &r->processes[i];
	}
	return NULL;
}

static struct report_process *add_process(struct report **r, uint64_t scope)
{
	size_t count = *r == NULL ? 0 : (*r)->count;
	struct report *grown;
	struct report_process *p;

	if (count >= REPORT_PROCESSES_MAX)
		return NULL;
	grown = realloc(*r, sizeof(*grown) + (count + 1) * sizeof(grown->processes[0]));
	if (grown == NULL)
		return NULL;
	grown->count = count + 1;
	*r = grown;
	p = &grown->processes[count];
	memset(p, 0, sizeof(*p));
	p->scope = scope;
	return p;
}

/* What is added since the last one.  Less than half round is a counter of 32 bits that went round. */
static uint64_t added_of(uint64_t last, uint64_t now, uint32_t bytes)
{
	if (now >= last)
		return now - last;
	if (bytes == 4 && (uint32_t)(now - last) <= INT32_MAX)
		return (uint32_t)(now - last);
	return now;
}

static void take_total(struct report_total *total, uint64_t now, uint32_t bytes, uint64_t *added)
{
	if (total->is_said)
		*added = added_of(total->last, now, bytes);
	total->is_said = true;
	total->last = now;
	total->added += *added;
}

static void take_totals(struct report_process *p, const struct tmpl *t, const struct value *values,
			struct report_taken *out)
{
	bool is_seen[REPORT_KINDS] = { false };

	for (uint16_t i = 0; i < t->field_count; i++) {
		size_t kind = kind_of(&t->fields[i]);
		uint64_t now;

		if (kind == REPORT_KINDS || is_seen[kind] || !number_of(values[i], &now))
			continue;
		is_seen[kind] = true;
		take_total(&p->totals[kind], now, values[i].bytes, &out->added[kind]);
	}
}

static bool has_totals(const struct tmpl *t)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (kind_of(&t->fields[i]) < REPORT_KINDS)
			return true;
	}
	return false;
}

void report_take(struct report **r, const struct tmpl *t, const struct value *values,
		 int64_t export_ms, bool has_room, struct report_taken *out)
{
	uint64_t scope = scope_of(t, values);
	struct report_process *p = find_process(*r, scope);

	*out = (struct report_taken){ 0 };
	take_keys(t, values, out);
	if (!has_totals(t))
		return;
	if (p == NULL) {
		p = has_room ? add_process(r, scope) : NULL;
		out->is_new = p != NULL;
		out->is_over = p == NULL;
		if (p == NULL)
			return;
		name_process(p, t, values);
	}
	/* It came late: what it says is in the one that was sent after it. */
	if (export_ms < p->export_ms && p->export_ms - export_ms <= LATE_MS)
		return;
	p->export_ms = export_ms;
	take_totals(p, t, values, out);
}
