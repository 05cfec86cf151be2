/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define TMPLS_FIRST 8
/* A step ahead further than this is a restart, not a loss; one back as far as REORDER_MAX is late. */
#define AHEAD_MAX (1u << 24)
#define REORDER_MAX (1u << 14)
/* Messages in a row that are behind, and each next to the one before: the exporter counts anew. */
#define BEHIND_RESTART 3
/* A fall of the exporter's uptime as small as this is a late message; and how far its two clocks may part
 * while the uptime wraps. */
#define UPTIME_REORDER_MS 10000
#define UPTIME_WRAP_MS 60000
/* How long a message may be late, in time of receipt. */
#define GAP_MS 30000

struct session_key session_key_of(const struct message *m)
{
	struct session_key key;

	memset(&key, 0, sizeof(key));
	memcpy(key.octets, m->origin->peer.octets, sizeof(key.octets));
	key.domain = m->domain;
	key.port = m->origin->port;
	key.version = m->version;
	return key;
}

enum err session_new(const struct session_key *key, const struct addr *peer, struct session **out)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ERR_NOMEM;
	s->key = *key;
	s->peer = *peer;
	s->exporter_number = SESSION_NUMBER_NONE;
	s->gap = SESSION_GAP_UNKNOWN;
	if (key->version == VERSION_NF5 && tmpl_new_v5(&s->v5) != ERR_OK) {
		free(s);
		return ERR_NOMEM;
	}
	*out = s;
	return ERR_OK;
}

void session_free(struct session *s)
{
	if (s == NULL)
		return;
	must(s->tmpl_count == 0);
	tmpl_free(s->v5);
	free(s->tmpls);
	free(s);
}

/* Index of the first template whose id is not below `id`. */
static size_t tmpl_index(const struct session *s, uint16_t id)
{
	size_t low = 0;
	size_t high = s->tmpl_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->tmpls[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct tmpl *session_tmpl(const struct session *s, uint16_t id)
{
	size_t i = tmpl_index(s, id);

	return i < s->tmpl_count && s->tmpls[i]->id == id ? s->tmpls[i] : NULL;
}

static enum err grow(struct session *s)
{
	size_t room = s->tmpls_room == 0 ? TMPLS_FIRST : s->tmpls_room * 2;
	struct tmpl **tmpls = realloc(s->tmpls, room * sizeof(*tmpls));

	if (tmpls == NULL)
		return ERR_NOMEM;
	s->tmpls = tmpls;
	s->tmpls_room = room;
	return ERR_OK;
}

enum err session_tmpl_put(struct session *s, struct tmpl *t, size_t tmpls_max, struct tmpl **old)
{
	size_t i = tmpl_index(s, t->id);

	if (i < s->tmpl_count && s->tmpls[i]->id == t->id) {
		*old = s->tmpls[i];
		s->tmpls[i] = t;
		return ERR_OK;
	}
	if (s->tmpl_count >= tmpls_max)
		return ERR_LIMIT;
	if (s->tmpl_count == s->tmpls_room)
		TRY(grow(s));
	memmove(&s->tmpls[i + 1], &s->tmpls[i], (s->tmpl_count - i) * sizeof(s->tmpls[0]));
	s->tmpls[i] = t;
	s->tmpl_count++;
	*old = NULL;
	return ERR_OK;
}

struct tmpl *session_tmpl_take(struct session *s, uint16_t id)
{
	size_t i = tmpl_index(s, id);
	struct tmpl *t;

	if (i >= s->tmpl_count || s->tmpls[i]->id != id)
		return NULL;
	t = s->tmpls[i];
	s->tmpl_count--;
	memmove(&s->tmpls[i], &s->tmpls[i + 1], (s->tmpl_count - i) * sizeof(s->tmpls[0]));
	return t;
}

/* In a free place, or else in that of the oldest. */
static void add_gap(struct session *s, uint32_t from, uint32_t units, int64_t since_ms)
{
	size_t place = 0;

	for (size_t i = 1; i < SEQUENCE_GAPS_MAX && s->gaps[place].units != 0; i++) {
		if (s->gaps[i].units == 0 || s->gaps[i].since_ms < s->gaps[place].since_ms)
			place = i;
	}
	s->gaps[place] = (struct sequence_gap){ from, units, since_ms };
}

/* The gap that unit is missing from; a gap waits for GAP_MS and no longer. */
static struct sequence_gap *find_gap(struct session *s, uint32_t sequence)
{
	for (size_t i = 0; i < SEQUENCE_GAPS_MAX; i++) {
		struct sequence_gap *g = &s->gaps[i];

		if (sequence - g->from < g->units && s->last_ms - g->since_ms <= GAP_MS)
			return g;
	}
	return NULL;
}

/* Takes out of the gaps what a late message brings: 0 for one that was here before. */
static uint32_t fill_gap(struct session *s, uint32_t sequence, uint32_t units)
{
	struct sequence_gap *g = find_gap(s, sequence);
	uint32_t before;
	uint32_t behind;

	if (g == NULL || units == 0)
		return 0;
	before = sequence - g->from;
	if (units > g->units - before)
		units = g->units - before;
	behind = g->units - before - units;
	if (before == 0) {
		g->from += units;
		g->units = behind;
		return units;
	}
	g->units = before;
	if (behind != 0)
		add_gap(s, sequence + units, behind, g->since_ms);
	return units;
}

/*
 * True when the exporter's clock since boot fell back.  Not when it wrapped (at 2^32 ms, 49.7 days):
 * then it went on by as much as the export time did.  Nor when a message is late by a little.
 */
static bool has_rebooted(const struct session *s, const struct message *m)
{
	int64_t wrapped_ms = (int64_t)m->uptime_ms + (INT64_C(1) << 32) - s->uptime_ms;
	int64_t export_ms = m->export_ms - s->export_ms;

	if (!m->has_uptime || (int64_t)s->uptime_ms - m->uptime_ms <= UPTIME_REORDER_MS)
		return false;
	return wrapped_ms - export_ms > UPTIME_WRAP_MS || export_ms - wrapped_ms > UPTIME_WRAP_MS;
}

/* Counts messages that each follow on from the one before, back behind what is expected. */
static uint32_t count_behind(struct session *s, uint32_t sequence, uint32_t units)
{
	bool is_next = s->behind_count != 0 && sequence == s->behind_next;

	s->behind_count = is_next ? s->behind_count + 1 : 1;
	s->behind_next = sequence + units;
	return s->behind_count;
}

/* Modulo 2^32: a small step ahead is a loss, a small one back is late or doubled, else a restart. */
static struct sequence_account judge(struct session *s, const struct message *m, uint32_t units)
{
	struct sequence_account account = { 0 };
	uint32_t ahead = m->sequence - s->next_sequence;
	uint32_t behind = s->next_sequence - m->sequence;

	if (ahead == 0)
		return account;
	if (has_rebooted(s, m)) {
		account.is_restart = true;
		return account;
	}
	account.late = behind <= REORDER_MAX ? fill_gap(s, m->sequence, units) : 0;
	account.is_reordered = account.late != 0 || (behind <= REORDER_MAX && m->sequence != 0);
	account.missed = ahead <= AHEAD_MAX ? ahead : 0;
	account.is_restart = !account.is_reordered && account.missed == 0;
	if (account.is_reordered && account.late == 0 &&
	    count_behind(s, m->sequence, units) == BEHIND_RESTART) {
		account.is_reordered = false;
		account.is_restart = true;
	}
	return account;
}

struct sequence_account session_sequence(struct session *s, const struct message *m, uint32_t units)
{
	struct sequence_account account = { 0 };

	s->gap = SESSION_GAP_UNKNOWN;
	if (s->has_sequence)
		account = judge(s, m, units);
	if (s->has_sequence && !account.is_restart)
		s->gap = account.missed;
	if (account.missed != 0)
		add_gap(s, s->next_sequence, account.missed, s->last_ms);
	if (account.is_restart)
		memset(s->gaps, 0, sizeof(s->gaps));
	s->counts.missed += account.missed;
	s->counts.late += account.late;
	s->counts.out_of_order += account.is_reordered;
	s->counts.restarts += account.is_restart;
	s->has_sequence = true;
	if (account.is_reordered)
		return account;
	s->next_sequence = m->sequence + units;
	s->behind_count = 0;
	s->uptime_ms = m->uptime_ms;
	s->export_ms = m->export_ms;
	return account;
}

void session_skew(struct session *s, const struct message *m)
{
	int64_t sorted[SESSION_SKEWS] = { 0 };
	uint32_t count = 0;

	if (m->export_ms == 0 ||
	    __builtin_sub_overflow(m->export_ms, m->origin->receive_ms,
				   &s->skews_ms[s->skew_count % SESSION_SKEWS]))
		return;
	s->skew_count++;
	for (; count < SESSION_SKEWS && count < s->skew_count; count++) {
		uint32_t at = count;

		for (; at > 0 && sorted[at - 1] > s->skews_ms[count]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = s->skews_ms[count];
	}
	s->skew_ms = sorted[count / 2];
	/* The ring starts afresh before its count would wrap. */
	if (s->skew_count == UINT32_MAX - UINT32_MAX % SESSION_SKEWS)
		s->skew_count = SESSION_SKEWS;
}

void session_sequence_lost(struct session *s)
{
	s->has_sequence = false;
}
