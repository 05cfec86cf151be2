/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/keeper_kinds.h"

#include "collector/keep_in.h"
#include "normalizer/announce.h"
#include "normalizer/join.h"

#define WORKER_SHIFT 48

uint64_t keep_number_first(unsigned worker)
{
	return (uint64_t)worker << WORKER_SHIFT;
}

unsigned keep_number_worker(uint64_t number)
{
	return (unsigned)(number >> WORKER_SHIFT);
}

static bool put_tmpls(struct pipeline *p, const struct keep_now *now, size_t some, struct keep *out)
{
	return keep_tmpls(pipeline_collector(p), now, some, out);
}

static bool put_held(struct pipeline *p, const struct keep_now *now, size_t some, struct keep *out)
{
	return keep_held(pipeline_collector(p), now, some, out);
}

static bool put_joins(struct pipeline *p, const struct keep_now *now, size_t some, struct keep *out)
{
	(void)now;
	return join_keep(pipeline_join_order(p), some, out);
}

static bool put_announced(struct pipeline *p, const struct keep_now *now, size_t some,
			  struct keep *out)
{
	(void)now;
	return announce_keep(pipeline_announce_order(p), some, out);
}

static void rewind_announced(struct pipeline *p)
{
	chain_rewind(pipeline_announce_order(p));
}

static void rewind_tmpls(struct pipeline *p)
{
	keep_rewind_tmpls(pipeline_collector(p));
}

static void rewind_held(struct pipeline *p)
{
	keep_rewind_held(pipeline_collector(p));
}

static void rewind_joins(struct pipeline *p)
{
	chain_rewind(pipeline_join_order(p));
}

static enum err take_tmpls(struct pipeline *p, struct rd entry, const struct keep_now *now)
{
	return keep_take_tmpls(pipeline_collector(p), entry, now);
}

static enum err take_held(struct pipeline *p, struct rd entry, const struct keep_now *now)
{
	return keep_take_held(pipeline_collector(p), entry, now);
}

static enum err take_joins(struct pipeline *p, struct rd entry, const struct keep_now *now)
{
	struct session_key key;
	struct addr peer;

	if (!keep_take_key(&entry, &peer, &key))
		return ERR_FORMAT;
	return pipeline_restore_joins(p, &peer, &key, entry, now->mono_ms);
}

static enum err take_announced(struct pipeline *p, struct rd entry, const struct keep_now *now)
{
	struct session_key key;
	struct addr peer;

	if (!keep_take_key(&entry, &peer, &key))
		return ERR_FORMAT;
	return pipeline_restore_announced(p, &peer, &key, entry, now->mono_ms);
}

const struct keep_ops keep_kinds[KEEP_KINDS] = {
	[KEEP_TMPLS] = { .name = { "templates", "templates.tmp", "templates.bad",
				   "sluice templates " },
			 .id_bytes = KEEP_KEY_BYTES,
			 .put = put_tmpls,
			 .rewind = rewind_tmpls,
			 .peer = keep_peer,
			 .take = take_tmpls },
	[KEEP_JOINS] = { .name = { "options", "options.tmp", "options.bad", "sluice options " },
			 .id_bytes = JOIN_ID_BYTES,
			 .put = put_joins,
			 .rewind = rewind_joins,
			 .peer = keep_peer,
			 .take = take_joins },
	[KEEP_ANNOUNCED] = { .name = { "elements", "elements.tmp", "elements.bad",
				       "sluice elements " },
			     .id_bytes = KEEP_KEY_BYTES,
			     .put = put_announced,
			     .rewind = rewind_announced,
			     .peer = keep_peer,
			     .take = take_announced },
	[KEEP_HELD] = { .name = { "held", "held.tmp", "held.bad", "sluice held " },
			.id_bytes = KEEP_NUMBER_BYTES,
			.put = put_held,
			.rewind = rewind_held,
			.peer = keep_held_peer,
			.take = take_held },
};
