/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/walk.h"

#include "base/must.h"

#define NF9_PADDING_MAX 3

/* Records of one length: where each begins is known beforehand. */
static uint32_t walk_fixed(struct record *records, const struct message *m, uint32_t bytes,
			   const struct rd *body)
{
	uint32_t count = (uint32_t)(rd_left(body) / bytes);
	const uint8_t *at = body->at;

	for (uint32_t i = 0; i < count; i++, at += bytes) {
		records[i].octets = at;
		records[i].values = NULL;
		records[i].bytes = bytes;
		records[i].offset = (uint32_t)(at - m->octets);
	}
	return count;
}

static bool walk_variable(struct walk *w, const struct message *m, const struct tmpl *t,
			  struct rd body)
{
	while (rd_left(&body) >= t->min_bytes) {
		size_t bytes = tmpl_record_bytes(t, body.at, rd_left(&body));
		struct record *r = &w->records[w->record_count];

		if (bytes == 0)
			return false;
		must(w->record_count < WALK_RECORDS_MAX);
		r->octets = body.at;
		r->values = NULL;
		r->bytes = (uint32_t)bytes;
		r->offset = (uint32_t)(body.at - m->octets);
		w->record_count++;
		body.at += bytes;
	}
	return true;
}

bool walk_set(struct walk *w, const struct message *m, struct tmpl *t, struct rd body)
{
	uint32_t first = w->record_count;
	struct set_run *run = &w->runs[w->run_count];

	if (t->is_fixed) {
		must(rd_left(&body) / t->min_bytes <= WALK_RECORDS_MAX - first);
		w->record_count += walk_fixed(&w->records[first], m, t->min_bytes, &body);
	} else if (!walk_variable(w, m, t, body)) {
		return false;
	}
	run->tmpl = t;
	run->first = first;
	run->end = body.end;
	run->count = w->record_count - first;
	return true;
}

/* Records at the end of the set that may be its padding: zeros, and no more than bring it to 4 octets. */
static uint32_t padding_records(const struct walk *w, const struct set_run *run)
{
	const uint8_t *p = run->end;
	uint32_t record_bytes = run->tmpl->min_bytes;
	uint32_t spare;
	uint32_t zeros = 0;

	if (run->count == 0 || !run->tmpl->is_fixed ||
	    (run->end - w->records[run->first].octets) % 4 != 0)
		return 0;
	while (zeros < NF9_PADDING_MAX && p[-1] == 0) {
		zeros++;
		p--;
	}
	/* Octets behind the last whole record are padding already, as far as it goes. */
	spare = (uint32_t)(run->end - w->records[run->first].octets) % record_bytes;
	return zeros < spare ? 0 : (zeros - spare) / record_bytes;
}

static uint32_t all_padding_records(const struct walk *w, uint32_t *run_count)
{
	uint32_t sum = 0;

	*run_count = 0;
	for (uint32_t i = 0; i < w->run_count; i++) {
		uint32_t count = padding_records(w, &w->runs[i]);

		sum += count;
		*run_count += count != 0;
	}
	return sum;
}

void walk_trim_nf9(struct walk *w, uint32_t record_count)
{
	uint32_t excess = w->record_count - record_count;
	uint32_t run_count;
	uint32_t sum;

	if (excess == 0)
		return;
	sum = all_padding_records(w, &run_count);
	if (excess != sum && (run_count != 1 || excess > sum))
		return;
	for (uint32_t i = 0; i < w->run_count; i++) {
		uint32_t count = padding_records(w, &w->runs[i]);

		count = count < excess ? count : excess;
		w->runs[i].count -= count;
		w->record_count -= count;
		excess -= count;
	}
	must(excess == 0);
}
