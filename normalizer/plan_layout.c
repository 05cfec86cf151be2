/* SPDX-License-Identifier: Apache-2.0 */
/* plan_layout.c - what is straight, what waits for the end of the walk, and in which order it is done. */
#include <stdlib.h>

#include "base/must.h"
#include "collector/sflow.h"
#include "normalizer/plan_draft.h"
#include "normalizer/section.h"

#define ELEMENT_PADDING 210 /* paddingOctets says nothing */

/* Does nobody compete for the field, and is the value needed for it alone? */
static bool is_simple(const struct draft *d, const struct target *t)
{
	return d->per_index[t->index] == 1 && d->per_field[t->xform.field] == 1 &&
	       t->index != d->boot_index && !t->xform.wants_icmp && t->xform.carries == CARRY_ALL &&
	       t->xform.op != XFORM_APPEND && t->xform.op != XFORM_MPLS_LABEL &&
	       (t->xform.op != XFORM_UPTIME || d->boot_index < 0);
}

/* 4 octets times a scale that a long holds: it cannot fail. */
static bool is_scaled(const struct xform *x, uint16_t bytes)
{
	return x->op == XFORM_UINT && bytes == 4 && !x->is_i32 && !x->zero_fails && x->scale > 0 &&
	       x->scale <= INT32_MAX;
}

static enum step_op fast_op(const struct xform *x, uint16_t bytes)
{
	if (is_scaled(x, bytes))
		return STEP_SCALED;
	switch (x->op) {
	case XFORM_UINT:
		return x->scale == 1 && bytes <= 8 ? STEP_UINT : STEP_XFORM;
	case XFORM_U8:
		return STEP_U8;
	case XFORM_U16:
		return STEP_U16;
	case XFORM_U32:
		return STEP_U32;
	case XFORM_U64:
		return STEP_U64;
	case XFORM_ADDR:
		if (bytes == x->natural_bytes)
			return bytes == 4 ? STEP_V4 : STEP_V6;
		return STEP_XFORM;
	case XFORM_MAC:
		return bytes == x->natural_bytes ? STEP_MAC : STEP_XFORM;
	case XFORM_TIME:
		return bytes == 8 && x->aux == TIME_MS && !x->wants_ns ? STEP_MS : STEP_XFORM;
	case XFORM_STR:
		return STEP_STR;
	default:
		return STEP_XFORM;
	}
}

static bool cannot_fail(enum step_op op)
{
	return op < STEP_U64 || (op >= STEP_MAC && op <= STEP_V6);
}

/*
 * Of a template field with several targets: does nobody compete for any of them, and does one of them carry the
 * value whole, whatever it is?  Then the others may fail, and none has to wait for the end of the walk.
 */
static bool is_direct(const struct draft *d, uint16_t index)
{
	const struct target *t = &d->targets[d->first_at[index]];
	bool is_carried = false;

	if (d->per_index[index] < 2 || index == d->boot_index || d->catalog->raw == RAW_MODE_FULL)
		return false;
	for (uint8_t i = 0; i < d->per_index[index]; i++) {
		const struct xform *x = &t[i].xform;

		if (d->per_field[x->field] != 1 || x->wants_icmp || x->op == XFORM_APPEND ||
		    x->op == XFORM_MPLS_LABEL || x->op == XFORM_UPTIME)
			return false;
		is_carried = is_carried || (x->carries == CARRY_ALL &&
					    cannot_fail(fast_op(x, d->tmpl->fields[index].bytes)));
	}
	return is_carried;
}

/* The fields that are in runs: before the first of variable length, or of fixed length in a sample. */
static void find_direct(struct draft *d)
{
	for (uint16_t i = 0; i < d->tmpl->field_count; i++) {
		if (d->tmpl->fields[i].bytes != TMPL_VARIABLE)
			d->is_direct[i] = is_direct(d, i);
		else if (!d->plan->is_sampled)
			return;
	}
}

/* Straight into its field. */
static void make_simple(struct plan *p, const struct target *t, struct step *step)
{
	step->op = (uint8_t)fast_op(&t->xform, step->bytes);
	step->field = t->xform.field;
	step->at = (uint16_t)p->xform_count;
	p->xforms[p->xform_count++] = t->xform;
	if (cannot_fail((enum step_op)step->op))
		p->always[step->field / 64] |= UINT64_C(1) << (step->field % 64);
}

/* The first of its targets; make_again() adds the others. */
static void make_direct(struct draft *d, const struct target *t, struct step *step)
{
	step->key = NULL;
	make_simple(d->plan, t, step);
}

static void make_again(struct draft *d, const struct target *t)
{
	struct plan *p = d->plan;
	struct step *step = &p->steps[p->step_count];

	*step = p->steps[p->step_count - 1];
	step->flags |= STEP_AGAIN;
	make_simple(p, t, step);
	p->step_count++;
}

/* Kept until the walk is over. */
static void make_tracked(struct draft *d, struct step *step)
{
	struct plan *p = d->plan;
	struct tracked *tracked = &p->tracked[p->tracked_count];

	step->op = STEP_TRACK;
	step->at = (uint16_t)p->tracked_count;
	d->tracked_at[step->index] = step->at;
	tracked->form = step->form;
	tracked->key = (step->flags & STEP_KEEPS) != 0 ? NULL : step->key;
	tracked->index = step->index;
	if (step->index == d->boot_index)
		p->boot_at = (int32_t)p->tracked_count;
	if (section_part(d, step->index) >= 0)
		p->section_at[section_part(d, step->index)] = (int32_t)p->tracked_count;
	p->tracked_count++;
}

/* What becomes of one template field. */
static void make_step(struct draft *d, uint16_t index, struct step *step)
{
	const struct tmpl_field *field = &d->tmpl->fields[index];
	const struct target *t = d->per_index[index] == 0 ? NULL : &d->targets[d->first_at[index]];
	bool is_padding = field->pen == PEN_IANA && field->id == ELEMENT_PADDING;

	step->index = index;
	if (field->bytes == TMPL_VARIABLE)
		step->flags |= STEP_VARIABLE;
	else
		step->bytes = field->bytes;
	step->form = (uint8_t)d->plan->keys[index].form;
	if (d->catalog->raw != RAW_MODE_NONE ||
	    (d->plan->has_lists && d->plan->keys[index].list != ELEMENT_NO_LIST))
		step->key = &d->plan->keys[index];
	if (!is_padding && d->catalog->raw == RAW_MODE_FULL)
		step->flags |= STEP_KEEPS;
	if (t != NULL && is_simple(d, t))
		make_simple(d->plan, t, step);
	else if (t != NULL && d->is_direct[index])
		make_direct(d, t, step);
	else if (t != NULL || index == d->boot_index || section_part(d, index) >= 0)
		make_tracked(d, step);
	else if (step->key == NULL)
		step->op = STEP_SKIP;
	else
		step->op = is_padding ? STEP_PADDING : STEP_RAW;
}

/* Steps in wire order; fixed octets that nobody wants are skipped by the step behind them. */
static void make_steps(struct draft *d)
{
	struct plan *p = d->plan;
	uint32_t skip = 0;

	for (uint16_t i = 0; i < d->tmpl->field_count; i++) {
		struct step *step = &p->steps[p->step_count];

		memset(step, 0, sizeof(*step));
		make_step(d, i, step);
		if (step->op == STEP_SKIP && (step->flags & STEP_VARIABLE) == 0) {
			skip += step->bytes;
			continue;
		}
		step->offset = skip;
		skip = 0;
		p->step_count++;
		for (uint8_t n = 1; d->is_direct[i] && n < d->per_index[i]; n++)
			make_again(d, &d->targets[d->first_at[i] + n]);
	}
}

static bool is_variable(const struct step *s)
{
	return (s->flags & STEP_VARIABLE) != 0;
}

/* The first `count` steps: those of one kind together, otherwise in their order; of variable length ones last. */
static void sort_runs(struct plan *p, const struct step *from, uint32_t count)
{
	uint32_t n = 0;

	for (unsigned op = 0; op < STEP_OPS; op++) {
		uint32_t first = n;

		for (uint32_t i = 0; i < count; i++) {
			if (from[i].op == op && !is_variable(&from[i]))
				p->steps[n++] = from[i];
		}
		if (n > first)
			p->runs[p->run_count++] = (uint16_t)(n - first);
	}
	p->run_steps = n;
	for (uint32_t i = 0; i < count; i++) {
		if (is_variable(&from[i]))
			p->steps[n++] = from[i];
	}
}

/* Where the steps' octets are in a record; answers how many of them are in front of the first of variable length. */
static uint32_t place_steps(struct plan *p)
{
	uint32_t offset = 0;
	uint32_t count = 0;

	for (; count < p->step_count && !is_variable(&p->steps[count]); count++) {
		struct step *step = &p->steps[count];

		if ((step->flags & STEP_AGAIN) != 0)
			step->offset = step[-1].offset;
		else
			step->offset += offset;
		offset = step->offset + step->bytes;
	}
	p->run_bytes = offset;
	return count;
}

/* The same of a sample: all of them. */
static uint32_t place_elements(struct plan *p, const struct tmpl *t)
{
	unsigned element = sflow_shape_next(t->shape, 0);
	uint16_t index = 0;

	for (uint32_t i = 0; i < p->step_count; i++) {
		for (; index < p->steps[i].index; index++)
			element = sflow_shape_next(t->shape, element + 1);
		p->steps[i].offset = element;
	}
	return p->step_count;
}

/* Where raw = "full" every step keeps its octets, in the order of the wire: there are no runs then. */
static enum err make_runs(struct draft *d)
{
	struct plan *p = d->plan;
	uint32_t count = p->is_sampled ? place_elements(p, d->tmpl) : 0;
	struct step *copy;

	if (d->catalog->raw == RAW_MODE_FULL)
		return ERR_OK;
	if (!p->is_sampled)
		count = place_steps(p);
	copy = malloc((count + 1) * sizeof(*copy));
	if (copy == NULL)
		return ERR_NOMEM;
	memcpy(copy, p->steps, count * sizeof(*copy));
	sort_runs(p, copy, count);
	free(copy);
	return ERR_OK;
}

static int compare_targets(const void *a, const void *b)
{
	const struct target *x = a;
	const struct target *y = b;

	if (x->xform.field != y->xform.field)
		return x->xform.field < y->xform.field ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (int)x->index - (int)y->index;
}

/* Targets sorted by field become groups, but for the simple ones, which are steps already. */
static void make_groups(struct draft *d)
{
	struct plan *p = d->plan;
	struct group *g = NULL;

	qsort(d->targets, d->target_count, sizeof(d->targets[0]), compare_targets);
	for (uint32_t i = 0; i < d->target_count; i++) {
		struct target *t = &d->targets[i];
		struct candidate *c = &p->candidates[p->candidate_count];

		if (is_simple(d, t) || d->is_direct[t->index])
			continue;
		if (g == NULL || g->field != t->xform.field) {
			g = &p->groups[p->group_count++];
			g->field = t->xform.field;
			g->first = (uint16_t)p->candidate_count;
			g->count = 0;
			g->is_list = t->xform.op == XFORM_APPEND || t->xform.op == XFORM_MPLS_LABEL;
			g->is_addresses = true;
		}
		c->tracked = d->tracked_at[t->index];
		c->xform = t->xform;
		c->xform.zero_is_absent = d->per_field[t->xform.field] > 1 &&
					  (t->xform.op == XFORM_ADDR || t->xform.op == XFORM_MAC);
		if (t->xform.op != XFORM_ADDR || !c->xform.zero_is_absent ||
		    d->tmpl->fields[t->index].bytes != t->xform.natural_bytes)
			g->is_addresses = false;
		g->count++;
		p->candidate_count++;
	}
}

enum err plan_lay_out(struct draft *d)
{
	must(d->targets != NULL);
	d->plan->is_sampled = d->tmpl->version == VERSION_SFLOW5;
	find_direct(d);
	make_steps(d);
	TRY(make_runs(d));
	make_groups(d);
	return ERR_OK;
}
