/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "daemon/pipeline_parts.h"
#include "normalizer/report.h"

#define ANNOUNCE_ALL_MAX 20000 /* elements that exporters announced, of all sessions */
#define REPORTS_MAX 10000      /* processes that report of themselves, of all sessions */

void pipeline_settle_joins(struct pipeline *p, const struct session *s)
{
	struct session_key key = s->key;
	const struct session *zero = NULL;

	key.domain = 0;
	if (s->key.domain != 0)
		zero = collector_session(p->collector, &key);
	p->context.session = s;
	p->context.joins[0] = s->join;
	p->context.joins[1] = zero == NULL ? NULL : zero->join;
	envelope_boot(&p->envelope, s->system_init_ms != 0 || zero == NULL ? s->system_init_ms
									   : zero->system_init_ms);
}

/* Entries that the session may have: who opens many sessions gets no more memory than all may have. */
static size_t joins_limit(const struct pipeline *p, size_t own)
{
	const struct generation *g = p->generation;
	size_t left = g->joins_all_max > p->join_count ? g->joins_all_max - p->join_count : 0;

	return g->joins_max < own + left ? g->joins_max : own + left;
}

/* What the exporter says of itself; sent through again it says nothing new. */
static void take_report(struct pipeline *p, const struct message *m, struct session *s,
			struct tmpl *t)
{
	bool has_room = p->report_count < REPORTS_MAX;
	struct report_taken taken;
	struct tmpl *of;

	if (m->origin->is_again)
		return;
	report_take(&s->report, t, p->values, m->export_ms, has_room, &taken);
	p->report_count += taken.is_new;
	stat_add(p->stat, PIPE_STAT_REPORTS_OVER, taken.is_over);
	for (size_t i = 0; i < REPORT_KINDS; i++)
		stat_add(p->stat, PIPE_STAT_SAID_EXPORTED_OCTETS + i, taken.added[i]);
	of = taken.has_keys ? session_tmpl(s, taken.keys_of) : NULL;
	if (of != NULL)
		of->flow_keys = taken.keys;
}

/* As joins_limit(). */
static size_t announce_limit(const struct pipeline *p, size_t own)
{
	size_t most = own + ANNOUNCE_ALL_MAX - p->announce_count;

	return most < ANNOUNCE_SESSION_MAX ? most : ANNOUNCE_SESSION_MAX;
}

/* What a registry has is the registry's: an exporter that says otherwise may be read wrongly by its makers, too. */
static void take_announcement(struct pipeline *p, struct session *s, const struct tmpl *t)
{
	static const enum pipeline_stat rows[ANNOUNCE_RESULTS] = {
		[ANNOUNCE_NEW] = PIPE_STAT_ANNOUNCED,
		[ANNOUNCE_KNOWN] = PIPE_STAT_ANNOUNCE_KNOWN,
		[ANNOUNCE_CHANGED] = PIPE_STAT_ANNOUNCE_CHANGED,
		[ANNOUNCE_NAME] = PIPE_STAT_ANNOUNCE_NAME,
		[ANNOUNCE_TYPE] = PIPE_STAT_ANNOUNCE_TYPE,
		[ANNOUNCE_OVER] = PIPE_STAT_ANNOUNCE_OVER,
		[ANNOUNCE_NO_MEMORY] = PIPE_STAT_ANNOUNCE_NOMEM,
	};
	struct announce_home home = { &p->announce_order, s };
	size_t own = announce_count(s->announce);
	enum announce_result result = announce_learn(
		&s->announce, session_is_of_stream(s) ? NULL : &home,
		p->generation->catalog->elements, t, p->values, announce_limit(p, own));

	p->announce_count += announce_count(s->announce) - own;
	if (result == ANNOUNCE_NEW)
		p->work += own * WORK_ANNOUNCED;
	if (result != ANNOUNCE_SAME)
		stat_inc(p->stat, rows[result]);
	if (result == ANNOUNCE_KNOWN || result == ANNOUNCE_CHANGED)
		log_every(LOG_LEVEL_WARN, "announced.ignored exporter=%.*s template=%u why=%s",
			  (int)s->identity_bytes, s->identity, t->id,
			  result == ANNOUNCE_KNOWN ? "known" : "changed");
}

void pipeline_learn(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		    const struct record *records, size_t count)
{
	struct pipeline *p = ctx;
	bool is_report = report_is_of(t);
	bool is_announcement = announce_is_of(t);
	struct join_home home = { &p->join_order, s };

	p->work += count * pipeline_work_of_record(t);
	for (size_t i = 0; i < count; i++) {
		struct join_learned learned;
		size_t own = join_count(s->join);

		tmpl_cut(t, records[i].octets, records[i].bytes, p->values);
		join_learn(&s->join, session_is_of_stream(s) ? NULL : &home, t, p->values,
			   joins_limit(p, own), &learned);
		p->join_count += join_count(s->join) - own;
		stat_add(p->stat, PIPE_STAT_JOINS_LEARNED, learned.entries);
		stat_add(p->stat, PIPE_STAT_JOINS_OVER, learned.over);
		stat_add(p->stat, PIPE_STAT_JOINS_UTF8, learned.not_utf8);
		stat_add(p->stat, PIPE_STAT_JOINS_NO_KEY, learned.no_key);
		stat_add(p->stat, PIPE_STAT_JOINS_NOMEM, learned.no_memory);
		if (is_report)
			take_report(p, m, s, t);
		if (is_announcement)
			take_announcement(p, s, t);
		if (learned.boot_ms != 0)
			s->system_init_ms = learned.boot_ms;
	}
	pipeline_settle_joins(p, s);
}

enum err pipeline_restore_joins(struct pipeline *p, const struct addr *peer,
				const struct session_key *key, struct rd entry, int64_t mono_ms)
{
	struct session *s = collector_restore_session(p->collector, key, peer);
	struct join_home home = { &p->join_order, s };
	int64_t boot_ms = 0;
	size_t own;
	enum err e;

	if (s == NULL)
		return ERR_LIMIT;
	if (s->idle_since_ms == 0)
		s->idle_since_ms = mono_ms;
	own = join_count(s->join);
	e = join_restore(&s->join, &home, entry, joins_limit(p, own), &boot_ms);
	p->join_count += join_count(s->join) - own;
	if (e == ERR_OK)
		stat_inc(p->stat, PIPE_STAT_JOINS_RESTORED);
	if (boot_ms != 0)
		s->system_init_ms = boot_ms;
	return e;
}

struct chain *pipeline_join_order(struct pipeline *p)
{
	return &p->join_order;
}

enum err pipeline_restore_announced(struct pipeline *p, const struct addr *peer,
				    const struct session_key *key, struct rd entry, int64_t mono_ms)
{
	struct session *s = collector_restore_session(p->collector, key, peer);
	struct announce_home home = { &p->announce_order, s };
	size_t added;
	size_t own;
	enum err e;

	if (s == NULL)
		return ERR_LIMIT;
	if (s->idle_since_ms == 0)
		s->idle_since_ms = mono_ms;
	own = announce_count(s->announce);
	e = announce_restore(&s->announce, &home, entry, announce_limit(p, own));
	added = announce_count(s->announce) - own;
	p->announce_count += added;
	stat_add(p->stat, PIPE_STAT_ANNOUNCED_RESTORED, added);
	return e;
}

struct chain *pipeline_announce_order(struct pipeline *p)
{
	return &p->announce_order;
}
