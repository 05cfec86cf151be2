/* SPDX-License-Identifier: Apache-2.0 */
/* plan_run.c - the hot loop, and nothing else. */
#include "base/rd.h"
#include "base/utf8.h"
#include "normalizer/list.h"
#include "normalizer/plan_steps.h"
#include "normalizer/section.h"

/* Lengths that a raw form can render, as bits; others are shown as hex. */
static const uint32_t form_bytes[RAW_FORM_COUNT] = {
	[RAW_UNSIGNED] = 0x1fe, [RAW_SIGNED] = 0x1fe, [RAW_FLOAT] = 0x110,
	[RAW_BOOL] = 0x2,	[RAW_MAC] = 0x40,     [RAW_IPV4] = 0x10,
	[RAW_IPV6] = 0x10000,	[RAW_STRING] = 0,     [RAW_HEX] = 0,
};

static __attribute__((noinline)) void put_raw(struct flow *f, const struct raw_key *key,
					      uint8_t form, struct value v)
{
	struct raw_value *raw;

	if (v.octets == NULL) /* absent from a record whose template has it */
		return;
	if (f->raw_count >= FLOW_RAW_MAX) {
		flow_note(f, NOTE_TRUNCATED);
		return;
	}
	if (form_bytes[form] != 0 && (v.bytes > 16 || (form_bytes[form] >> v.bytes & 1) == 0)) {
		form = RAW_HEX;
		if (v.bytes > 0)
			flow_note(f, NOTE_CONTRACT);
	}
	raw = &f->raw[f->raw_count++];
	raw->key = key;
	raw->octets = v.octets;
	raw->bytes = v.bytes;
	raw->form = (enum raw_form)form;
}

static inline void keep_raw(const struct xform_env *env, struct flow *f, const struct raw_key *key,
			    uint8_t form, struct value v)
{
	if (!env->skips_raw)
		put_raw(f, key, form, v);
}

/* False when its xform has to look at it. */
static inline __attribute__((always_inline)) bool take_text(uint16_t field, struct value v,
							    struct flow *f)
{
	bool is_ascii;
	uint32_t bytes = utf8_trim(v.octets, v.bytes, &is_ascii);

	if (bytes > 0 && is_ascii)
		flow_set_octets(f, field, v.octets, bytes);
	return bytes == 0 || is_ascii;
}

/* Bits of the fields that cannot fail are set already, all at once. */
static inline __attribute__((always_inline)) void run_step(const struct plan *p,
							   const struct step *step,
							   const struct xform_env *env,
							   struct value v, struct flow *f)
{
	struct slot *slot = &f->slots[step->field];
	bool is_ascii;

	switch ((enum step_op)step->op) {
	case STEP_U8:
		slot->i64 = v.octets[0];
		return;
	case STEP_U16:
		slot->i64 = be16(v.octets);
		return;
	case STEP_U32:
		slot->i64 = be32(v.octets);
		return;
	case STEP_SCALED:
		slot->i64 = (int64_t)be32(v.octets) * p->xforms[step->at].scale;
		return;
	case STEP_U64:
		slot->i64 = (int64_t)be64(v.octets);
		if (slot->i64 >= 0) {
			flow_mark(f, step->field);
			return;
		}
		break;
	case STEP_MS:
		slot->i64 = (int64_t)be64(v.octets);
		if (slot->i64 > 0) {
			flow_mark(f, step->field);
			return;
		}
		break;
	case STEP_MAC:
	case STEP_V4:
	case STEP_V6:
		slot->octets = v.octets;
		slot->bytes = v.bytes;
		return;
	case STEP_UINT:
		slot->i64 = (int64_t)be_uint(v.octets, v.bytes);
		if (slot->i64 > 0 && slot->i64 <= INT32_MAX) {
			flow_mark(f, step->field);
			return;
		}
		break;
	case STEP_STR:
		if (take_text(step->field, v, f))
			return;
		break;
	case STEP_XFORM:
		break;
	case STEP_RAW:
		if ((step->flags & STEP_KEEPS) == 0)
			keep_raw(env, f, step->key, step->form, v);
		return;
	case STEP_PADDING:
		if (!env->skips_raw && utf8_trim(v.octets, v.bytes, &is_ascii) > 0)
			keep_raw(env, f, step->key, step->form, v);
		return;
	case STEP_TRACK:
		f->tracked[step->at] = v;
		return;
	case STEP_SKIP:
	case STEP_OPS:
		return;
	}
	if (xform_run(&p->xforms[step->at], env, v.octets, v.bytes, f) == XFORM_FAILED &&
	    step->key != NULL && (step->flags & STEP_KEEPS) == 0)
		keep_raw(env, f, step->key, step->form, v);
}

/* systemInitTimeMilliseconds in the record itself. */
static struct xform_env record_env(const struct plan *p, const struct xform_env *env,
				   const struct flow *f)
{
	struct xform_env own = *env;
	struct value v;

	if (env->has_uptime)
		return own;
	v = f->tracked[p->boot_at];
	if (v.bytes == 0 || v.bytes > 8 || be_uint(v.octets, v.bytes) > INT64_MAX / 2)
		return own;
	own.boot_ms = (int64_t)be_uint(v.octets, v.bytes);
	own.has_boot = own.boot_ms != 0;
	return own;
}

/* Of several addresses, one that is all zero says nothing. */
static inline bool is_zero_address(struct value v)
{
	return v.bytes == 4 ? be32(v.octets) == 0 : (be64(v.octets) | be64(v.octets + 8)) == 0;
}

/* The usual group, without a call. */
static inline void run_addresses(const struct plan *p, const struct group *g, struct flow *f)
{
	const struct candidate *c = &p->candidates[g->first];
	const struct candidate *end = c + g->count;
	bool is_taken = flow_has(f, g->field);

	for (; c < end; c++) {
		struct value v = f->tracked[c->tracked];

		if (is_zero_address(v)) {
			f->carried[c->tracked] = CARRY_ALL;
		} else if (!is_taken) {
			flow_set_octets(f, g->field, v.octets, v.bytes);
			f->carried[c->tracked] |= c->xform.carries;
			is_taken = true;
		}
	}
}

/*
 * The first candidate that is present wins; carried[] learns what the field holds of whom.  One that says
 * nothing is carried whole, whether it had its turn or not.  Where the winner gives bits to be ORed, those of the
 * others that do so are added.
 */
static void run_group(const struct plan *p, const struct group *g, const struct xform_env *env,
		      struct flow *f)
{
	bool gathers = false;

	for (uint16_t i = g->first; i < g->first + g->count; i++) {
		const struct candidate *c = &p->candidates[i];
		struct value v = f->tracked[c->tracked];
		enum xform_result result;

		if (flow_has(f, g->field) && !(gathers && c->xform.op == XFORM_OR)) {
			if (xform_is_absent(&c->xform, v.octets, v.bytes))
				f->carried[c->tracked] = CARRY_ALL;
			continue;
		}
		result = xform_run(&c->xform, env, v.octets, v.bytes, f);
		gathers = gathers || (result == XFORM_TAKEN && c->xform.op == XFORM_OR);
		if (result == XFORM_TAKEN)
			f->carried[c->tracked] |= c->xform.carries;
		else if (result == XFORM_ABSENT)
			f->carried[c->tracked] = CARRY_ALL;
	}
}

static bool is_candidate_absent(const struct candidate *c, const struct flow *f)
{
	struct value v = f->tracked[c->tracked];

	return xform_is_absent(&c->xform, v.octets, v.bytes);
}

/* One that did not come whole: its values stand in raw. */
static void drop_list(const struct plan *p, const struct group *g, struct flow *f)
{
	if (flow_has(f, g->field)) {
		f->long_count -= f->slots[g->field].bytes;
		flow_unmark(f, g->field);
	}
	for (uint16_t i = g->first; i < g->first + g->count; i++)
		f->carried[p->candidates[i].tracked] = 0;
}

/*
 * A list, where positions mean something: counts by size are all there, or stay in raw; a label stack ends with
 * its last entry that is not all zero, since exporters fill up with zeros; those stand in raw.
 */
static void run_list(const struct plan *p, const struct group *g, const struct xform_env *env,
		     struct flow *f)
{
	const struct candidate *first = &p->candidates[g->first];
	uint16_t count = g->count;
	bool is_stack = first->xform.op == XFORM_MPLS_LABEL;

	while (is_stack && count > 0 && is_candidate_absent(&first[count - 1], f))
		count--;
	for (uint16_t i = 0; !is_stack && i < count; i++) {
		if (is_candidate_absent(&first[i], f))
			return;
	}
	for (uint16_t i = 0; i < count; i++) {
		struct value v = f->tracked[first[i].tracked];

		if (xform_run(&first[i].xform, env, v.octets, v.bytes, f) == XFORM_TAKEN) {
			f->carried[first[i].tracked] |= first[i].xform.carries;
		} else if (!is_stack) {
			drop_list(p, g, f);
			return;
		}
	}
}

static void run_groups(const struct plan *p, const struct xform_env *env, struct flow *f)
{
	struct xform_env own;

	if (p->tracked_count == 0)
		return;
	memset(f->carried, 0, p->tracked_count);
	if (p->boot_at >= 0) {
		own = record_env(p, env, f);
		env = &own;
	}
	for (const struct group *g = p->groups; g < p->groups + p->group_count; g++) {
		if (g->is_addresses)
			run_addresses(p, g, f);
		else
			(g->is_list ? run_list : run_group)(p, g, env, f);
	}
	for (uint32_t i = 0; i < p->tracked_count && !env->skips_raw; i++) {
		if (f->carried[i] != CARRY_ALL && p->tracked[i].key != NULL)
			put_raw(f, p->tracked[i].key, p->tracked[i].form, f->tracked[i]);
	}
}

/* Is there a field that one of the first statics waits for? */
static inline bool has_condition(const struct plan *p, const struct flow *f)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < FIELD_WORDS; i++)
		found |= f->has[i] & p->conditions[i];
	return found != 0;
}

/* What a mapping says of every record, or of those that have a certain field. */
static void run_statics(const struct plan *p, struct flow *f)
{
	for (uint32_t i = has_condition(p, f) ? 0 : p->condition_count; i < p->static_count; i++) {
		const struct static_value *s = &p->statics[i];

		if (flow_has(f, s->field) ||
		    (s->if_present >= 0 && !flow_has(f, (unsigned)s->if_present)))
			continue;
		if (s->text.octets != NULL) {
			flow_set_octets(f, s->field, s->text.octets, s->text.bytes);
			f->slots[s->field].tag = s->tag;
		} else {
			flow_set_i64(f, s->field, s->number);
		}
	}
}

static inline void mark_always(const struct plan *p, struct flow *f)
{
	for (unsigned i = 0; i < FIELD_WORDS; i++)
		f->has[i] |= p->always[i];
}

/* Of a step in a run: of a sample's values, or in the record. */
static inline __attribute__((always_inline)) const uint8_t *
octets_of(const struct step *step, const uint8_t *record, const struct value *values)
{
	return values != NULL ? values[step->offset].octets : record + step->offset;
}

/* Those that stand at the same place in every record. */
static inline __attribute__((always_inline)) void
do_run(const struct plan *p, const struct step *step, const struct step *end,
       const struct xform_env *env, const uint8_t *record, const struct value *values,
       struct flow *f)
{
	switch ((enum step_op)step->op) {
	case STEP_U8:
		for (; step < end; step++)
			f->slots[step->field].i64 = *octets_of(step, record, values);
		return;
	case STEP_U16:
		for (; step < end; step++)
			f->slots[step->field].i64 = be16(octets_of(step, record, values));
		return;
	case STEP_U32:
		for (; step < end; step++)
			f->slots[step->field].i64 = be32(octets_of(step, record, values));
		return;
	case STEP_MAC:
	case STEP_V4:
	case STEP_V6:
		for (; step < end; step++) {
			f->slots[step->field].octets = octets_of(step, record, values);
			f->slots[step->field].bytes = step->bytes;
		}
		return;
	case STEP_TRACK:
		for (; step < end; step++)
			f->tracked[step->at] =
				(struct value){ octets_of(step, record, values), step->bytes };
		return;
	case STEP_RAW:
		for (; step < end && !env->skips_raw; step++) {
			struct value v = { octets_of(step, record, values), step->bytes };

			put_raw(f, step->key, step->form, v);
		}
		return;
	case STEP_SCALED:
	case STEP_U64:
	case STEP_MS:
	case STEP_UINT:
	case STEP_STR:
	case STEP_XFORM:
	case STEP_PADDING:
	case STEP_SKIP:
	case STEP_OPS:
		break;
	}
	for (; step < end; step++) {
		struct value v = { octets_of(step, record, values), step->bytes };

		run_step(p, step, env, v, f);
	}
}

/* When all steps are done. */
static void finish(const struct plan *p, const struct xform_env *env, struct flow *f)
{
	run_groups(p, env, f);
	if (p->has_section)
		section_run(p, env, f);
	if (p->has_lists && env->lists != NULL)
		lists_run(env->lists, p, env, f);
	run_statics(p, f);
}

void plan_run(const struct plan *p, const struct xform_env *env, const uint8_t *record,
	      struct flow *f)
{
	const struct step *step = p->steps;
	const struct step *end = step + p->step_count;
	const uint8_t *at = record + p->run_bytes;

	mark_always(p, f);
	for (uint32_t i = 0; i < p->run_count; step += p->runs[i++])
		do_run(p, step, step + p->runs[i], env, record, NULL, f);
	for (; step < end; step++) {
		struct value v = { at + step->offset, step->bytes };

		if ((step->flags & STEP_VARIABLE) != 0) {
			/* Absent are values only. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
			v.bytes = *v.octets++;
			if (v.bytes == 255) {
				v.bytes = be16(v.octets);
				v.octets += 2;
			}
		}
		if ((step->flags & STEP_KEEPS) != 0)
			keep_raw(env, f, step->key, step->form, v);
		at = v.octets + v.bytes;
		run_step(p, step, env, v, f);
	}
	finish(p, env, f);
}

void plan_run_sample(const struct plan *p, const struct xform_env *env, const struct value *values,
		     struct flow *f)
{
	const struct step *step = p->steps;
	const struct step *end = step + p->step_count;

	mark_always(p, f);
	for (uint32_t i = 0; i < p->run_count; step += p->runs[i++])
		do_run(p, step, step + p->runs[i], env, NULL, values, f);
	for (; step < end; step++) {
		if ((step->flags & STEP_KEEPS) != 0)
			keep_raw(env, f, step->key, step->form, values[step->offset]);
		run_step(p, step, env, values[step->offset], f);
	}
	finish(p, env, f);
}

void plan_run_values(const struct plan *p, const struct xform_env *env, const struct value *values,
		     struct flow *f)
{
	mark_always(p, f);
	for (const struct step *step = p->steps; step < p->steps + p->step_count; step++) {
		if ((step->flags & STEP_KEEPS) != 0)
			keep_raw(env, f, step->key, step->form, values[step->index]);
		run_step(p, step, env, values[step->index], f);
	}
	finish(p, env, f);
}
