/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_draft.h - a plan while it is compiled: plan.c finds what each template field may fill, plan_layout.c
 * lays it out as steps, runs and groups; with section.c nobody else includes it.
 *
 * Owner: plan_compile().  Lifetime: its call.
 */
#ifndef NORMALIZER_PLAN_DRAFT_H
#define NORMALIZER_PLAN_DRAFT_H

#include "normalizer/plan_steps.h"

/* One field of the template may fill one field of the flow. */
struct target {
	uint16_t index; /* of the template's field */
	uint32_t order; /* by mapping, then line, then place on the wire */
	struct xform xform;
};

/* What compiling collects before anything is laid out. */
struct draft {
	const struct catalog *catalog;
	const struct tmpl *tmpl;
	const struct announce *announce;
	struct plan *plan;
	struct target *targets;
	uint32_t target_count;
	uint16_t *per_field;  /* candidates of each canonical field */
	uint8_t *per_index;   /* targets of each template field */
	uint32_t *first_at;   /* first target of each template field */
	uint16_t *tracked_at; /* number in tracked of each template field */
	uint16_t *by_element; /* template fields by element, then by place */
	uint16_t *occurrence; /* of its element, from 1, of each template field */
	bool *is_direct;      /* of each template field: each of its targets is a step of its own */
	int32_t boot_index;   /* template field of systemInitTimeMilliseconds, or -1 */
	int32_t section_at[SECTION_PARTS]; /* template field of each, or -1 */
};

/* Steps, runs and groups of the plan, from the draft's targets, which are sorted by field thereafter. */
enum err plan_lay_out(struct draft *d);

/* The number of a line: that of its mapping, and below that its place in it. */
#define DRAFT_LINE_BITS ((1u << 20) - 1)
typedef void draft_line_fn(struct draft *d, const struct mapping *mapping, uint32_t number,
			   unsigned of);
/* Lines of the most specific active mapping that claims the element, and of those behind it as far as `also` lets
 * them; `of` is the caller's. */
void draft_each_line(struct draft *d, struct element_id id, draft_line_fn *fn, unsigned of);

#endif
