/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/sequence.h"

#include <string.h>

#include "base/must.h"

/* A step ahead further than this is a restart, not a loss; one back as far as REORDER_MAX is late. */
#define AHEAD_MAX (1u << 24)
#define REORDER_MAX (1u << 14)
/* Messages in a row that are behind, and each next to the one before: the exporter counts anew.  Copies
 * may come in a row, too. */
#define BEHIND_RESTART 3
#define COPIES_RESTART 64
/* A fall of the exporter's uptime as small as this is a late message; and how far its two clocks may part
 * while the uptime wraps. */
#define UPTIME_REORDER_MS 10000
#define UPTIME_WRAP_MS 60000
/* What is late was not exported later than this after what came before it. */
#define EXPORT_REORDER_MS 1000
/* A number as low as this may be one of the first after a boot. */
#define REBOOT_NUMBER_MAX 4096
/* How long a message may be late, in time of receipt. */
#define GAP_MS 30000
/* Unexpected numbers that a rule must explain to be taken; copies of one message look like no counting. */
#define HITS_RULE 5
#define HITS_NOTHING 32
/* Numbers in a row that a rule must explain to be believed in again. */
#define HITS_AGAIN 64
/* Numbers that make no sense weigh that much against one that is expected. */
#define JUMP_WEIGHT 8
#define JUMPS_MAX 256

static const struct rule {
	uint8_t messages; /* factors: a rule counts it, or not */
	uint8_t flows;
	uint8_t options;
	uint8_t definitions;
	bool is_last; /* the number stands at the message's end */
	bool is_none; /* nothing can be told by it */
	const char *text;
} rules[SEQUENCE_RULE_COUNT] = {
	[SEQUENCE_RECORDS] = { .flows = 1, .options = 1, .text = "counts records" },
	[SEQUENCE_MESSAGES] = { .messages = 1, .text = "counts messages" },
	[SEQUENCE_FLOWS] = { .flows = 1, .text = "counts flows, not options records" },
	[SEQUENCE_DEFINITIONS] = { .flows = 1,
				   .options = 1,
				   .definitions = 1,
				   .text = "counts templates too" },
	[SEQUENCE_RECORDS_LAST] = { .flows = 1,
				    .options = 1,
				    .is_last = true,
				    .text = "counts the message's own records" },
	[SEQUENCE_FLOWS_LAST] = { .flows = 1,
				  .is_last = true,
				  .text = "counts the message's own flows, not options records" },
	[SEQUENCE_DEFINITIONS_LAST] = { .flows = 1,
					.options = 1,
					.definitions = 1,
					.is_last = true,
					.text = "counts the message's own records and templates" },
	[SEQUENCE_NOTHING] = { .is_none = true, .text = "never counts" },
	[SEQUENCE_NO_RULE] = { .is_none = true, .text = "numbers follow no rule" },
};

static uint32_t units_of(unsigned rule, const struct sequence_units *u)
{
	const struct rule *r = &rules[rule];

	return r->messages + r->flows * (u->records - u->options) + r->options * u->options +
	       r->definitions * u->definitions;
}

/* Whether the units of a message can be told at all. */
static bool is_told(unsigned rule, const struct sequence_units *u)
{
	return u->is_known || rules[rule].flows == 0;
}

void sequence_init(struct sequence *q, uint16_t version)
{
	memset(q, 0, sizeof(*q));
	q->standard = version == VERSION_NF9 || version == VERSION_SFLOW5 ? SEQUENCE_MESSAGES
									  : SEQUENCE_RECORDS;
	q->rule = q->standard;
}

const char *sequence_anomaly(const struct sequence *q)
{
	return q->rule == q->standard ? "" : rules[q->rule].text;
}

/* ---- gaps ---- */

/* In a free place, or else in that of the oldest, of which nothing is known then. */
static void add_gap(struct sequence *q, uint32_t from, uint32_t units, int64_t since_ms)
{
	size_t place = 0;
	struct sequence_gap *g;

	for (size_t i = 1; i < SEQUENCE_GAPS_MAX && q->gaps[place].units != 0; i++) {
		if (q->gaps[i].units == 0 || q->gaps[i].since_ms < q->gaps[place].since_ms)
			place = i;
	}
	g = &q->gaps[place];
	if (g->units != 0 && q->followed > q->next - (g->from + g->units))
		q->followed = q->next - (g->from + g->units);
	*g = (struct sequence_gap){ from, units, since_ms };
}

/* The gap that unit is missing from. */
static struct sequence_gap *find_gap(struct sequence *q, uint32_t number)
{
	for (size_t i = 0; i < SEQUENCE_GAPS_MAX; i++) {
		if (number - q->gaps[i].from < q->gaps[i].units)
			return &q->gaps[i];
	}
	return NULL;
}

/* Takes out of the gap what a late message brings. */
static uint32_t fill_gap(struct sequence *q, struct sequence_gap *g, uint32_t start, uint32_t units)
{
	uint32_t before = start - g->from;
	uint32_t behind;

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
		add_gap(q, start + units, behind, g->since_ms);
	return units;
}

/* ---- what one number says, by the rule in force ---- */

/*
 * True when the exporter's clock since boot fell back.  Not when it wrapped (at 2^32 ms, 49.7 days):
 * then it went on by as much as the export time did.  Nor when a message is late by a little.
 */
static bool has_rebooted(const struct sequence *q, const struct message *m)
{
	int64_t wrapped_ms = (int64_t)m->uptime_ms + (INT64_C(1) << 32) - q->uptime_ms;
	int64_t export_ms = m->export_ms - q->export_ms;

	if (!m->has_uptime || (int64_t)q->uptime_ms - m->uptime_ms <= UPTIME_REORDER_MS)
		return false;
	return wrapped_ms - export_ms > UPTIME_WRAP_MS || export_ms - wrapped_ms > UPTIME_WRAP_MS;
}

bool sequence_is_reboot(const struct sequence *q, const struct message *m)
{
	return q->has_next && m->sequence != q->next && m->sequence <= REBOOT_NUMBER_MAX &&
	       (int32_t)(m->sequence - q->last_sequence) < 0 && has_rebooted(q, m);
}

/* Counts messages that each follow on from the one before, back behind what is expected. */
static uint32_t count_behind(struct sequence *q, uint32_t start, uint32_t units)
{
	bool is_next = q->behind_count != 0 && start == q->behind_next;

	q->behind_count = is_next ? q->behind_count + 1 : 1;
	q->behind_next = start + units;
	return q->behind_count;
}

/* A small step back: late, here before, or the exporter counts anew from not far below. */
static void judge_behind(struct sequence *q, const struct message *m, uint32_t start,
			 uint32_t units, int64_t now_ms, struct sequence_account *a)
{
	struct sequence_gap *g = units == 0 ? NULL : find_gap(q, start);
	uint32_t behind = q->next - start;
	uint32_t in_a_row;

	if (g != NULL && now_ms - g->since_ms <= GAP_MS) {
		a->late = fill_gap(q, g, start, units);
		a->is_reordered = true;
		return;
	}
	a->is_duplicated =
		g == NULL && units != 0 && behind <= q->followed && m->export_ms <= q->export_ms;
	in_a_row = count_behind(q, start, units);
	if (a->is_duplicated) {
		a->is_restart = in_a_row >= COPIES_RESTART;
	} else {
		a->is_restart = start == 0 || in_a_row >= BEHIND_RESTART ||
				m->export_ms - q->export_ms > EXPORT_REORDER_MS;
		a->is_reordered = !a->is_restart;
	}
	a->is_duplicated = a->is_duplicated && !a->is_restart;
}

/* Modulo 2^32: a small step ahead is a loss, a small one back is late or a copy, else a restart. */
static void judge(struct sequence *q, const struct message *m, uint32_t start, uint32_t units,
		  int64_t now_ms, struct sequence_account *a)
{
	uint32_t ahead = start - q->next;

	if (ahead == 0)
		return;
	if (!has_rebooted(q, m) && q->next - start <= REORDER_MAX)
		judge_behind(q, m, start, units, now_ms, a);
	else if (!has_rebooted(q, m) && ahead <= AHEAD_MAX)
		a->missed = ahead;
	else
		a->is_restart = true;
}

/* What is expected after a message in order, or after a restart. */
static void go_on(struct sequence *q, const struct message *m, uint32_t start, uint32_t units,
		  const struct sequence_account *a, int64_t now_ms)
{
	uint64_t followed;

	if (a->missed != 0)
		add_gap(q, q->next, a->missed, now_ms);
	if (a->is_restart || !q->has_next)
		q->followed = 0;
	if (a->is_restart)
		memset(q->gaps, 0, sizeof(q->gaps));
	followed = (uint64_t)q->followed + a->missed + units;
	q->followed = followed < REORDER_MAX ? (uint32_t)followed : REORDER_MAX;
	q->next = start + units;
	q->has_next = true;
	q->behind_count = 0;
	q->uptime_ms = m->uptime_ms;
	q->export_ms = m->export_ms;
}

/* ---- by which rule ---- */

/* Whether the rule explains this number by the message before it; `can_tell` when it says anything. */
static bool explains(const struct sequence *q, unsigned rule, uint32_t sequence,
		     const struct sequence_units *u, bool *can_tell)
{
	bool is_last = rules[rule].is_last;
	const struct sequence_units *between = is_last ? u : &q->last;

	*can_tell = is_told(rule, between);
	return sequence - q->last_sequence == units_of(rule, between);
}

static uint8_t hits_needed(const struct sequence *q, unsigned rule)
{
	if (q->rule == SEQUENCE_NO_RULE)
		return HITS_AGAIN;
	return rule == SEQUENCE_NOTHING ? HITS_NOTHING : HITS_RULE;
}

/* Tries the other rules at a number; the one that is to be taken, or the one in force. */
static unsigned try_rules(struct sequence *q, uint32_t sequence, const struct sequence_units *u,
			  bool is_expected)
{
	q->is_trying = false;
	for (unsigned rule = 0; rule < SEQUENCE_NO_RULE; rule++) {
		bool can_tell;
		bool is_hit = explains(q, rule, sequence, u, &can_tell);

		if (rule == q->rule || !can_tell)
			is_hit = false;
		else if (!is_hit)
			q->hits[rule] = 0;
		if (is_hit && !is_expected && ++q->hits[rule] >= hits_needed(q, rule))
			return rule;
		q->is_trying = q->is_trying || q->hits[rule] != 0;
	}
	if (!q->is_trying)
		q->trial_missed = 0;
	return q->rule;
}

/* By the new rule nothing was missing: what was counted meanwhile is given back. */
static void take_rule(struct sequence *q, unsigned rule, uint64_t give_back,
		      struct sequence_account *a)
{
	memset(q->hits, 0, sizeof(q->hits));
	memset(q->gaps, 0, sizeof(q->gaps));
	q->is_trying = false;
	q->is_unsure = false;
	q->has_next = false;
	q->jumps = 0;
	q->trial_missed = 0;
	q->stray_missed = 0;
	q->rule = (uint8_t)rule;
	a->late += give_back;
	a->is_new_rule = true;
}

static void add_missed(uint64_t *sum, const struct sequence_account *a)
{
	uint64_t missed = *sum + a->missed;

	*sum = missed > a->late ? missed - a->late : 0;
}

/* How well the rule in force does.  Numbers that run ahead again and again are what a lossy path makes of good
 * ones: only those that fall back, or leap, are held against it. */
static void weigh(struct sequence *q, bool is_expected, struct sequence_account *a)
{
	bool is_jump = a->is_restart || (a->is_reordered && a->late == 0);

	if (q->is_trying)
		add_missed(&q->trial_missed, a);
	if (is_expected) {
		q->stray_missed = 0;
		q->jumps -= q->jumps > 0;
		return;
	}
	add_missed(&q->stray_missed, a);
	q->jumps += is_jump ? JUMP_WEIGHT : 0;
	if (q->jumps < JUMPS_MAX)
		return;
	take_rule(q, SEQUENCE_NO_RULE, q->stray_missed, a);
	a->gap = SEQUENCE_GAP_UNKNOWN;
}

static void remember(struct sequence *q, const struct message *m, const struct sequence_units *u)
{
	q->last = *u;
	q->last_sequence = m->sequence;
	q->has_last = true;
}

/* ---- messages of which is not known yet what they hold ---- */

static bool has_stretch(const struct sequence *q)
{
	return q->stretch.sets != 0;
}

/* Where the number is that of the message's end, the next one is known whatever came before. */
static bool needs_stretch(const struct sequence *q, const struct sequence_units *u)
{
	return u->held != 0 && rules[q->rule].flows != 0 && !rules[q->rule].is_last;
}

/* Behind a message in order that has sets which wait; `next` is without what those hold. */
static void open_stretch(struct sequence *q, const struct sequence_units *u,
			 struct sequence_account *a)
{
	q->stretch.number += q->stretch.number == UINT32_MAX ? 2 : 1;
	q->stretch.sets = u->held;
	q->stretch.next = q->next;
	q->has_next = false;
	a->stretch = q->stretch.number;
}

/* Twice the same number, with something between that counts. */
static bool is_copy(const struct sequence *q, const struct message *m)
{
	return m->sequence == q->last_sequence &&
	       (q->last.held != 0 || units_of(q->rule, &q->last) != 0);
}

/* A message of the stretch: nothing is said of its number but that it was the one before, too. */
static struct sequence_account take_held(struct sequence *q, const struct message *m,
					 const struct sequence_units *u)
{
	struct sequence_account a = { .gap = SEQUENCE_GAP_UNKNOWN };

	a.is_duplicated = is_copy(q, m);
	if (a.is_duplicated)
		return a;
	remember(q, m, u);
	q->uptime_ms = m->uptime_ms;
	q->export_ms = m->export_ms;
	q->stretch.next += units_of(q->rule, u);
	q->stretch.sets += u->held;
	a.stretch = u->held != 0 ? q->stretch.number : 0;
	return a;
}

void sequence_done(struct sequence *q, uint32_t stretch, uint32_t sets,
		   const struct sequence_units *units)
{
	if (stretch == 0 || stretch != q->stretch.number || !has_stretch(q))
		return;
	if (units == NULL) {
		sequence_lost(q);
		return;
	}
	must(sets <= q->stretch.sets);
	q->stretch.next += units_of(q->rule, units);
	q->stretch.sets -= sets;
	if (has_stretch(q))
		return;
	q->next = q->stretch.next;
	q->has_next = true;
	q->followed = 0;
	/* What the first number leaves open lies anywhere in the stretch: no rule is tried at it. */
	q->has_last = false;
	q->is_unsure = true;
}

/* Less came than the sum of a stretch says: something came twice meanwhile.  Nobody counts anew. */
static void forgive(struct sequence *q, const struct message *m, uint32_t start,
		    struct sequence_account *a)
{
	bool is_behind = start != 0 && q->next - start <= REORDER_MAX && !has_rebooted(q, m);

	if (q->is_unsure && a->is_restart && is_behind) {
		a->is_restart = false;
		a->gap = SEQUENCE_GAP_UNKNOWN;
		q->has_next = false;
	}
	q->is_unsure = q->is_unsure && (a->is_reordered || a->is_duplicated);
}

/* ---- one message ---- */

/* The usual case: as expected, and no other rule is tried. */
static bool is_plain(const struct sequence *q, const struct message *m,
		     const struct sequence_units *u)
{
	return q->has_next && m->sequence == q->next && !q->is_trying && !q->is_unsure &&
	       u->is_known && !rules[q->rule].is_last && !rules[q->rule].is_none;
}

static void take_plain(struct sequence *q, const struct message *m, const struct sequence_units *u)
{
	uint32_t units = units_of(q->rule, u);

	q->stray_missed = 0;
	q->jumps -= q->jumps > 0;
	q->followed += units;
	if (q->followed > REORDER_MAX)
		q->followed = REORDER_MAX;
	q->next += units;
	q->behind_count = 0;
	q->uptime_ms = m->uptime_ms;
	q->export_ms = m->export_ms;
}

/* Any other case. */
static struct sequence_account take_hard(struct sequence *q, const struct message *m,
					 const struct sequence_units *u, int64_t now_ms)
{
	struct sequence_account a = { .gap = SEQUENCE_GAP_UNKNOWN };
	uint32_t units = units_of(q->rule, u);
	uint32_t start = m->sequence - (rules[q->rule].is_last ? units : 0);
	bool is_none = rules[q->rule].is_none;
	bool has_start = is_told(q->rule, u) || !rules[q->rule].is_last;
	bool is_expected =
		q->rule != SEQUENCE_NO_RULE && q->has_next && has_start && start == q->next;
	unsigned rule = q->rule;

	if (q->has_last && (q->is_trying || !is_expected))
		rule = try_rules(q, m->sequence, u, is_expected || !q->has_next || !has_start);
	remember(q, m, u);
	if (rule != q->rule) {
		take_rule(q, rule, q->trial_missed, &a);
		units = units_of(rule, u);
		start = m->sequence - (rules[rule].is_last ? units : 0);
		is_none = rules[rule].is_none;
		a.gap = is_none ? SEQUENCE_GAP_UNKNOWN : 0;
	} else if (q->has_next && has_start && !is_none) {
		judge(q, m, start, units, now_ms, &a);
		a.gap = a.is_restart ? SEQUENCE_GAP_UNKNOWN : (int64_t)a.missed;
		forgive(q, m, start, &a);
		weigh(q, is_expected, &a);
	}
	if (a.is_reordered || a.is_duplicated)
		return a;
	go_on(q, m, start, is_none ? 0 : units, &a, now_ms);
	if (needs_stretch(q, u))
		open_stretch(q, u, &a);
	else if (!is_told(q->rule, u) && !rules[q->rule].is_last)
		q->has_next = false;
	return a;
}

struct sequence_account sequence_take(struct sequence *q, const struct message *m,
				      const struct sequence_units *u, int64_t now_ms)
{
	struct sequence_account a = { 0 };

	if (has_stretch(q) && !u->is_known && u->held == 0)
		sequence_lost(q);
	if (has_stretch(q))
		return take_held(q, m, u);
	if (!is_plain(q, m, u))
		return take_hard(q, m, u, now_ms);
	take_plain(q, m, u);
	remember(q, m, u);
	return a;
}

void sequence_lost(struct sequence *q)
{
	q->has_next = false;
	q->stretch.sets = 0;
}
