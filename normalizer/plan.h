/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - a template, compiled.
 *
 * plan_compile() does the thinking once per template: which element lands in which field, how wide it
 * is on the wire, what to skip, what stays in raw.  plan_run() does the moving, once per record, and
 * has no decisions left to make.  plan_run_values() does the same from octets that libfixbuf cut.
 *
 *	template | srcIPv4 4 | octets 8 | padding 3 | vendor.77 var | flowEnd 4 |
 *	steps	  [ ADDR ]    [ U64 ]		     [ RAW var ]     [ TRACK ]
 *	groups	  flow_end_time: flowEnd, else ...
 *
 * An element with one target that nothing competes for is a step.  One with several targets, or whose
 * field has several candidates, is tracked: its octets are kept until the walk is over, then each field
 * takes the first candidate that is present.
 *
 * Owner: the worker that owns the session.  Lifetime: the generation it was built from.
 */
#ifndef NORMALIZER_PLAN_H
#define NORMALIZER_PLAN_H

#include "collector/message.h"
#include "collector/tmpl.h"
#include "normalizer/announce.h"
#include "normalizer/catalog.h"
#include "normalizer/flow.h"
#include "normalizer/xform.h"

struct plan;

enum err plan_compile(const struct catalog *c, const struct tmpl *t, uint64_t profile,
		      struct plan **out);
/* The same with what the exporter announced of elements; NULL: nothing. */
enum err plan_compile_announced(const struct catalog *c, const struct tmpl *t, uint64_t profile,
				const struct announce *a, struct plan **out);
void plan_free(struct plan *p);
/* The plan has one more holder, each of whom calls plan_free().  All are of one worker. */
struct plan *plan_share(struct plan *p);
/* What compiling one costs, in steps of lists (list.h). */
uint32_t plan_cost(const struct tmpl *t);
/* Was it built from this generation and profile? */
bool plan_is_current(const struct plan *p, uint64_t generation, uint64_t profile);

/* Was more announced since it was looked at last?  It costs next to nothing. */
bool plan_is_unsure(const struct plan *p, const struct announce *a);
/* Does it say anything of the template's elements?  If not, it was looked at. */
bool plan_is_behind(struct plan *p, const struct catalog *c, const struct tmpl *t,
		    const struct announce *a);

/* Does a record have lists that are to be opened? */
bool plan_has_lists(const struct plan *p);

/* Moves one whole record into a cleared flow; the flow points into the record. */
void plan_run(const struct plan *p, const struct xform_env *env, const uint8_t *record,
	      struct flow *f);
/* The same from the values of its fields, one for each field of the template. */
void plan_run_values(const struct plan *p, const struct xform_env *env, const struct value *values,
		     struct flow *f);
/* The same of a sample, from its values by element: those that its template has (collector/sflow.h). */
void plan_run_sample(const struct plan *p, const struct xform_env *env, const struct value *values,
		     struct flow *f);

/* One that comes with its values, or as octets. */
static inline void plan_run_record(const struct plan *p, const struct xform_env *env,
				   const struct record *r, struct flow *f)
{
	if (r->values != NULL)
		plan_run_sample(p, env, r->values, f);
	else
		plan_run(p, env, r->octets, f);
}

/* What every plan sets where no mapping says another; ended by a row without a text. */
extern const struct static_value plan_defaults[];
/* What a plan gives of itself, and no line of a mapping; ended by a row of zeros. */
extern const struct feed plan_feeds[];

/* For people: what becomes of field `index`: the field numbers it may fill, up to `max`; the number
 * of them; *is_raw when it may also stand in raw. */
size_t plan_explain(const struct plan *p, uint16_t index, uint16_t *fields, size_t max,
		    bool *is_raw);

#endif
