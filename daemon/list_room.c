/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/list_room.h"

#include "daemon/pipeline.h"
#include "normalizer/plan.h"

#define LOOKS_PER_STEP 8 /* templates that are passed over, for the cost of one value */

/* Of a list in a record at hand. */
static const struct plan *plan_of(void *ctx, uint16_t id, const struct tmpl **t, uint32_t *cost)
{
	struct list_room *r = ctx;
	uint32_t looked_at = 0;
	struct tmpl *found =
		collector_tmpl(pipeline_collector(r->pipeline), r->session, id, &looked_at);
	const struct plan *before;
	const struct plan *plan;

	*cost += 1 + looked_at / LOOKS_PER_STEP;
	*t = found;
	if (found == NULL)
		return NULL;
	before = found->plan;
	plan = pipeline_plan(r->pipeline, r->session, found);
	if (plan != before)
		*cost += plan_cost(found);
	return plan;
}

static const struct announce *announce_of(void *ctx)
{
	const struct list_room *r = ctx;

	return r->session->announce;
}

enum err list_room_open(struct list_room *r, struct pipeline *p, bool has_checks)
{
	const struct list_source source = { r, plan_of, announce_of };

	r->pipeline = p;
	TRY(lists_new(&source, &r->lists));
	return has_checks ? lists_new(&source, &r->check) : ERR_OK;
}

void list_room_close(struct list_room *r)
{
	lists_free(r->lists);
	lists_free(r->check);
}

void list_room_use(struct list_room *r, const struct element_registry *elements)
{
	lists_use(r->lists, elements);
	if (r->check != NULL)
		lists_use(r->check, elements);
}

struct lists *list_room_begin(struct list_room *r, struct session *s)
{
	r->session = s;
	r->is_cut = false;
	lists_begin(r->lists);
	return r->lists;
}

struct lists *list_room_check(struct list_room *r)
{
	lists_begin(r->check);
	lists_clear(r->check);
	return r->check;
}

void list_room_count(struct list_room *r, struct stat_set *stat)
{
	static const enum pipeline_stat rows[LIST_COUNTS] = {
		[LIST_OPENED] = PIPE_STAT_LISTS,	   [LIST_BROKEN] = PIPE_STAT_LIST_BROKEN,
		[LIST_TEMPLATE] = PIPE_STAT_LIST_TEMPLATE, [LIST_DEEP] = PIPE_STAT_LIST_DEEP,
		[LIST_STEPS] = PIPE_STAT_LIST_STEPS,	   [LIST_ROOM] = PIPE_STAT_LIST_ROOM,
	};
	uint64_t counts[LIST_COUNTS];

	lists_take_counts(r->lists, counts);
	for (unsigned i = 0; i < LIST_COUNTS; i++)
		stat_add(stat, rows[i], counts[i]);
	r->is_cut = r->is_cut || counts[LIST_STEPS] + counts[LIST_ROOM] > 0;
}
