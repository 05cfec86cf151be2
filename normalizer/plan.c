/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "normalizer/plan_draft.h"
#include "normalizer/section.h"

#define ELEMENT_BOOT 160 /* systemInitTimeMilliseconds */
#define TARGETS_PER_FIELD_MAX 8
#define KEY_BYTES 160

void plan_free(struct plan *p)
{
	if (p == NULL || p->holders-- > 0)
		return;
	for (uint16_t i = 0; p->keys != NULL && i < p->field_count; i++)
		free(p->keys[i].avro);
	free(p->keys);
	free(p->steps);
	free(p->xforms);
	free(p->tracked);
	free(p->groups);
	free(p->candidates);
	free(p->statics);
	free(p->insides);
	free(p->lines);
	free(p);
}

struct plan *plan_share(struct plan *p)
{
	p->holders++;
	return p;
}

/* Looking for repeats takes each pair of fields, twice. */
uint32_t plan_cost(const struct tmpl *t)
{
	uint32_t fields = t->field_count;

	return 8 * fields + fields * fields / 32;
}

bool plan_is_current(const struct plan *p, uint64_t generation, uint64_t profile)
{
	return p->generation == generation && p->profile == profile;
}

bool plan_is_unsure(const struct plan *p, const struct announce *a)
{
	return p->announce_count != announce_count(a);
}

/* What was announced of the field's element; NULL when a registry has it, or nothing was. */
static const struct announced *announced_of(const struct catalog *c, const struct announce *a,
					    const struct tmpl_field *field)
{
	const struct announced *e = announce_find(a, field->pen, field->id);

	return e == NULL || element_find(c->elements, field->pen, field->id) != NULL ? NULL : e;
}

bool plan_is_behind(struct plan *p, const struct catalog *c, const struct tmpl *t,
		    const struct announce *a)
{
	uint16_t count = 0;

	for (uint16_t i = 0; i < t->field_count; i++)
		count = (uint16_t)(count + (announced_of(c, a, &t->fields[i]) != NULL));
	/* What was announced stays: as many are the same ones. */
	if (count != p->announced_count)
		return true;
	p->announce_count = announce_count(a);
	return false;
}

bool plan_has_lists(const struct plan *p)
{
	return p->has_lists;
}

static struct element_id id_of(const struct tmpl_field *f)
{
	struct element_id id = { f->pen, f->id };

	return id;
}

/* The template's field may fill what this line says. */
static void add_target(struct draft *d, uint16_t index, const struct promote *line, uint32_t order)
{
	const struct tmpl_field *field = &d->tmpl->fields[index];
	struct xform_how how = {
		.as = line->as,
		.scale = line->scale,
		.table = line->table,
		.field = &d->catalog->fields.fields[line->field],
		.field_number = line->field,
		.element = element_find(d->catalog->elements, field->pen, field->id),
		.bytes = field->bytes,
	};
	struct target *t = &d->targets[d->target_count];

	if (d->per_index[index] == TARGETS_PER_FIELD_MAX ||
	    xform_compile(&how, &t->xform, NULL) != ERR_OK)
		return;
	t->index = index;
	t->order = order;
	if (d->per_index[index] == 0)
		d->first_at[index] = d->target_count;
	d->target_count++;
	d->per_index[index]++;
	d->per_field[line->field]++;
}

static int compare_elements(const void *a, const void *b, void *tmpl)
{
	uint16_t x = *(const uint16_t *)a;
	uint16_t y = *(const uint16_t *)b;
	const struct tmpl *t = tmpl;
	const struct tmpl_field *f = &t->fields[x];
	const struct tmpl_field *g = &t->fields[y];

	if (f->pen != g->pen)
		return f->pen < g->pen ? -1 : 1;
	return f->id != g->id ? (int)f->id - (int)g->id : (int)x - (int)y;
}

static bool is_same_element(const struct tmpl *t, uint16_t x, uint16_t y)
{
	return t->fields[x].pen == t->fields[y].pen && t->fields[x].id == t->fields[y].id;
}

/* By sorting: a template of a thousand fields must not cost a million looks. */
static void count_occurrences(struct draft *d)
{
	const struct tmpl *t = d->tmpl;
	uint16_t *by = d->by_element;

	for (uint16_t i = 0; i < t->field_count; i++)
		by[i] = i;
	qsort_r(by, t->field_count, sizeof(*by), compare_elements, (void *)t);
	for (uint16_t i = 0; i < t->field_count; i++) {
		bool is_again = i > 0 && is_same_element(t, by[i - 1], by[i]);

		d->occurrence[by[i]] = is_again ? (uint16_t)(d->occurrence[by[i - 1]] + 1) : 1;
	}
}

static bool has_element_once(const struct draft *d, struct element_id id)
{
	const struct tmpl *t = d->tmpl;
	size_t low = 0;
	size_t high = t->field_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct tmpl_field *f = &t->fields[d->by_element[mid]];

		if (f->pen < id.pen || (f->pen == id.pen && f->id < id.id))
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->field_count && t->fields[d->by_element[low]].pen == id.pen &&
	       t->fields[d->by_element[low]].id == id.id &&
	       (low + 1 == t->field_count ||
		!is_same_element(t, d->by_element[low], d->by_element[low + 1]));
}

/* Also without `as`: a number into a list of numbers.  A stack of labels may be of any height. */
static bool appends(const struct draft *d, const struct promote *line)
{
	return d->catalog->fields.fields[line->field].type == FIELD_LONGS &&
	       line->as != AS_MPLS_LABEL;
}

/*
 * A line may be one of several that fill a list together: does the template have all their elements, and
 * each once?  Otherwise nobody could tell from the list which number is whose.
 */
static bool is_list_whole(const struct draft *d, const struct mapping *m,
			  const struct promote *line)
{
	for (size_t i = 0; appends(d, line) && i < m->promote_count; i++) {
		const struct promote *other = &m->promotes[i];

		if (appends(d, other) && other->field == line->field &&
		    !has_element_once(d, other->element))
			return false;
	}
	return true;
}

void draft_each_line(struct draft *d, struct element_id id, draft_line_fn *fn, unsigned of)
{
	const struct mapping_set *set = d->catalog->mappings;

	for (size_t m = 0; m < set->count; m++) {
		const struct mapping *mapping = &set->mappings[m];
		bool goes_on = true;
		size_t first;
		size_t count;

		if ((d->plan->profile >> m & 1) == 0)
			continue;
		count = mapping_lines(mapping, id, &first);
		for (size_t i = first; i < first + count; i++) {
			uint32_t line = mapping->by_element[i];

			fn(d, mapping, (uint32_t)m << 20 | line, of);
			goes_on = goes_on && mapping->promotes[line].also;
		}
		if (count > 0 && !goes_on)
			return;
	}
}

static void find_target(struct draft *d, const struct mapping *mapping, uint32_t number,
			unsigned index)
{
	const struct promote *line = &mapping->promotes[number & DRAFT_LINE_BITS];

	if (is_list_whole(d, mapping, line))
		add_target(d, (uint16_t)index, line, number);
}

static void find_targets(struct draft *d, uint16_t index)
{
	draft_each_line(d, id_of(&d->tmpl->fields[index]), find_target, index);
}

/* Avro string: length as zigzag varint, then the octets; and behind them a zero, for who wants the name. */
static enum err key_avro(struct raw_key *key, const char *name, size_t bytes)
{
	uint64_t zigzag = (uint64_t)bytes << 1;
	size_t n = 0;

	key->avro = malloc(bytes + 11);
	if (key->avro == NULL)
		return ERR_NOMEM;
	while (zigzag >= 0x80) {
		key->avro[n++] = (uint8_t)(zigzag | 0x80);
		zigzag >>= 7;
	}
	key->avro[n++] = (uint8_t)zigzag;
	memcpy(key->avro + n, name, bytes);
	key->avro[n + bytes] = '\0';
	key->name = (const char *)key->avro + n;
	key->avro_bytes = (uint32_t)(n + bytes);
	return ERR_OK;
}

static enum err make_key(struct draft *d, uint16_t index)
{
	const struct tmpl_field *field = &d->tmpl->fields[index];
	const struct element *element = element_find(d->catalog->elements, field->pen, field->id);
	const struct announced *announced = announced_of(d->catalog, d->announce, field);
	struct raw_key *key = &d->plan->keys[index];
	unsigned n = d->occurrence[index];
	char text[KEY_BYTES];
	size_t bytes;

	(void)announce_name(d->announce, d->catalog->elements, field->pen, field->id, text,
			    sizeof(text) - 16);
	bytes = strlen(text);
	if (n > 1)
		bytes += (size_t)snprintf(text + bytes, 16, "#%u", n);
	key->form = element == NULL ? RAW_HEX : element_raw_form(element->type);
	key->pen = field->pen;
	key->id = field->id;
	key->list = (uint8_t)(element == NULL ? ELEMENT_NO_LIST : element->list);
	if (announced != NULL) {
		key->form = element_raw_form((enum element_type)announced->type);
		key->list = announced->list;
		d->plan->announced_count++;
	}
	d->plan->has_lists = d->plan->has_lists || key->list != ELEMENT_NO_LIST;
	return key_avro(key, text, bytes);
}

static bool same_id(struct element_id a, struct element_id b)
{
	return a.pen == b.pen && a.id == b.id;
}

/* Is the element, inside such lists, claimed by a mapping that is more specific? */
static bool is_inside_claimed(const struct draft *d, size_t m, const struct inside_line *line)
{
	const struct mapping_set *set = d->catalog->mappings;

	for (size_t k = 0; k < m; k++) {
		const struct mapping *other = &set->mappings[k];

		if ((d->plan->profile >> k & 1) == 0)
			continue;
		for (size_t i = 0; i < other->inside_count; i++) {
			const struct inside_line *o = &other->insides[i];
			bool same_list =
				!o->has_list || !line->has_list || same_id(o->list, line->list);

			if (same_list && !o->promote.also &&
			    same_id(o->promote.element, line->promote.element))
				return true;
		}
	}
	return false;
}

static void add_inside(struct draft *d, const struct inside_line *line)
{
	const struct promote *promote = &line->promote;
	struct plan *p = d->plan;
	struct inside *in = &p->insides[p->inside_count];
	struct xform_how how = {
		.as = promote->as,
		.scale = promote->scale,
		.table = promote->table,
		.field = &d->catalog->fields.fields[promote->field],
		.field_number = promote->field,
		.element = element_find(d->catalog->elements, promote->element.pen,
					promote->element.id),
		.bytes = TMPL_VARIABLE,
	};

	if (p->inside_count == PLAN_INSIDES_MAX || xform_compile(&how, &in->xform, NULL) != ERR_OK)
		return;
	in->element = promote->element;
	in->list = line->list;
	in->has_list = line->has_list;
	in->is_many = in->xform.op == XFORM_APPEND || in->xform.op == XFORM_MPLS_LABEL;
	p->inside_bits |= UINT64_C(1) << plan_inside_bit(in->element);
	p->inside_count++;
}

/* Lines of the mappings that hold, for what stands inside lists. */
static enum err make_insides(struct draft *d)
{
	const struct mapping_set *set = d->catalog->mappings;
	struct plan *p = d->plan;

	if (!p->has_lists)
		return ERR_OK;
	p->insides = calloc(PLAN_INSIDES_MAX + 1, sizeof(*p->insides));
	if (p->insides == NULL)
		return ERR_NOMEM;
	for (size_t m = 0; m < set->count; m++) {
		const struct mapping *mapping = &set->mappings[m];

		for (size_t i = 0; (p->profile >> m & 1) != 0 && i < mapping->inside_count; i++) {
			if (!is_inside_claimed(d, m, &mapping->insides[i]))
				add_inside(d, &mapping->insides[i]);
		}
	}
	p->drops_raw = d->catalog->raw == RAW_MODE_NONE;
	p->has_lists = !p->drops_raw || p->inside_count > 0;
	return ERR_OK;
}

static bool has_inside(const struct plan *p, int32_t field)
{
	for (uint16_t i = 0; i < p->inside_count; i++) {
		if (p->insides[i].xform.field == field)
			return true;
	}
	return false;
}

const struct static_value plan_defaults[] = {
	{ .field = F_event_type, .if_present = -1, .text = { "network_connection", 18 } },
	{ .field = F_event_class, .if_present = -1, .text = { "network", 7 } },
	{ 0 },
};
#define DEFAULTS (sizeof(plan_defaults) / sizeof(plan_defaults[0]) - 1)

/* Can its condition ever hold, in records of this template, and does none before it take the field then? */
static bool may_apply(const struct draft *d, const struct static_value *s)
{
	const struct plan *p = d->plan;
	bool can_hold = s->if_present < 0 || d->per_field[s->if_present] > 0 ||
			has_inside(p, s->if_present);

	for (uint32_t i = 0; i < p->static_count; i++) {
		if (p->statics[i].field == s->field &&
		    (p->statics[i].if_present < 0 || p->statics[i].if_present == s->if_present))
			return false;
		can_hold = can_hold || p->statics[i].field == s->if_present;
	}
	return can_hold;
}

static void add_static(struct draft *d, const struct static_value *s)
{
	if (may_apply(d, s))
		d->plan->statics[d->plan->static_count++] = *s;
}

/* Those at the front that wait for a field: all of them do nothing where none of their fields is there. */
static void find_conditions(struct plan *p)
{
	uint32_t i = 0;

	for (; i < p->static_count && p->statics[i].if_present >= 0; i++) {
		unsigned field = (unsigned)p->statics[i].if_present;

		p->conditions[field / 64] |= UINT64_C(1) << (field % 64);
	}
	p->condition_count = i;
}

static enum err make_statics(struct draft *d)
{
	const struct mapping_set *set = d->catalog->mappings;
	struct plan *p = d->plan;
	size_t count = DEFAULTS;

	for (size_t m = 0; m < set->count; m++)
		count += set->mappings[m].static_count;
	p->statics = calloc(count, sizeof(*p->statics));
	if (p->statics == NULL)
		return ERR_NOMEM;
	for (size_t m = 0; m < set->count; m++) {
		if ((p->profile >> m & 1) == 0)
			continue;
		for (size_t i = 0; i < set->mappings[m].static_count; i++)
			add_static(d, &set->mappings[m].statics[i]);
	}
	for (size_t i = 0; i < DEFAULTS; i++)
		add_static(d, &plan_defaults[i]);
	find_conditions(p);
	return ERR_OK;
}

static enum err allot(struct draft *d)
{
	size_t fields = d->tmpl->field_count;
	size_t targets = fields * TARGETS_PER_FIELD_MAX;
	struct plan *p = d->plan;

	d->targets = calloc(targets, sizeof(*d->targets));
	d->per_field = calloc(FIELD_SLOTS, sizeof(*d->per_field));
	d->per_index = calloc(fields, sizeof(*d->per_index));
	d->first_at = calloc(fields, sizeof(*d->first_at));
	d->tracked_at = calloc(fields, sizeof(*d->tracked_at));
	d->by_element = calloc(fields, sizeof(*d->by_element));
	d->occurrence = calloc(fields, sizeof(*d->occurrence));
	p->keys = calloc(fields, sizeof(*p->keys));
	d->is_direct = calloc(fields, sizeof(*d->is_direct));
	p->steps = calloc(targets, sizeof(*p->steps));
	p->xforms = calloc(targets, sizeof(*p->xforms));
	p->tracked = calloc(fields, sizeof(*p->tracked));
	p->groups = calloc(targets, sizeof(*p->groups));
	p->candidates = calloc(targets, sizeof(*p->candidates));
	if (d->targets == NULL || d->per_field == NULL || d->per_index == NULL ||
	    d->first_at == NULL || d->tracked_at == NULL || d->is_direct == NULL ||
	    d->by_element == NULL || d->occurrence == NULL || p->keys == NULL || p->steps == NULL ||
	    p->xforms == NULL || p->tracked == NULL || p->groups == NULL || p->candidates == NULL)
		return ERR_NOMEM;
	return ERR_OK;
}

/* Gives back what was allotted for the worst case; a plan lives as long as its template. */
static void *shrink(void *array, size_t count, size_t bytes)
{
	void *smaller = realloc(array, (count == 0 ? 1 : count) * bytes);

	return smaller == NULL ? array : smaller;
}

static void shrink_plan(struct plan *p)
{
	p->steps = shrink(p->steps, p->step_count, sizeof(*p->steps));
	p->xforms = shrink(p->xforms, p->xform_count, sizeof(*p->xforms));
	p->tracked = shrink(p->tracked, p->tracked_count, sizeof(*p->tracked));
	p->groups = shrink(p->groups, p->group_count, sizeof(*p->groups));
	p->candidates = shrink(p->candidates, p->candidate_count, sizeof(*p->candidates));
	if (p->insides != NULL)
		p->insides = shrink(p->insides, p->inside_count, sizeof(*p->insides));
	if (p->lines != NULL)
		p->lines = shrink(p->lines, p->line_count, sizeof(*p->lines));
	p->statics = shrink(p->statics, p->static_count, sizeof(*p->statics));
}

static enum err compile(struct draft *d)
{
	const struct tmpl *t = d->tmpl;

	TRY(allot(d));
	count_occurrences(d);
	for (uint16_t i = 0; i < t->field_count; i++)
		TRY(make_key(d, i));
	TRY(make_insides(d));
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (t->fields[i].pen == PEN_IANA && t->fields[i].id == ELEMENT_BOOT &&
		    d->boot_index < 0)
			d->boot_index = i;
		find_targets(d, i);
	}
	TRY(section_compile(d));
	TRY(plan_lay_out(d));
	return make_statics(d);
}

enum err plan_compile(const struct catalog *c, const struct tmpl *t, uint64_t profile,
		      struct plan **out)
{
	return plan_compile_announced(c, t, profile, NULL, out);
}

enum err plan_compile_announced(const struct catalog *c, const struct tmpl *t, uint64_t profile,
				const struct announce *a, struct plan **out)
{
	struct draft d = { .catalog = c, .tmpl = t, .announce = a, .boot_index = -1 };
	enum err e;

	if (t->field_count > FLOW_TRACKED_MAX)
		return ERR_LIMIT;
	d.plan = calloc(1, sizeof(*d.plan));
	if (d.plan == NULL)
		return ERR_NOMEM;
	d.plan->generation = c->generation;
	d.plan->profile = profile;
	d.plan->announce_count = announce_count(a);
	d.plan->field_count = t->field_count;
	d.plan->boot_at = -1;
	for (unsigned i = 0; i < SECTION_PARTS; i++)
		d.plan->section_at[i] = -1;
	e = compile(&d);
	if (e == ERR_OK)
		shrink_plan(d.plan);
	free(d.targets);
	free(d.per_field);
	free(d.per_index);
	free(d.first_at);
	free(d.tracked_at);
	free(d.by_element);
	free(d.occurrence);
	free(d.is_direct);
	if (e != ERR_OK) {
		plan_free(d.plan);
		return e;
	}
	*out = d.plan;
	return ERR_OK;
}

static size_t explain_tracked(const struct plan *p, const struct step *step, uint16_t *fields,
			      size_t max)
{
	size_t n = 0;

	for (uint32_t g = 0; g < p->group_count; g++) {
		for (uint16_t i = p->groups[g].first; i < p->groups[g].first + p->groups[g].count;
		     i++) {
			if (p->candidates[i].tracked == step->at && n < max)
				fields[n++] = p->groups[g].field;
		}
	}
	return n;
}

size_t plan_explain(const struct plan *p, uint16_t index, uint16_t *fields, size_t max,
		    bool *is_raw)
{
	size_t n = 0;

	*is_raw = false;
	for (const struct step *step = p->steps; step < p->steps + p->step_count; step++) {
		if (step->index != index)
			continue;
		*is_raw = (step->flags & STEP_KEEPS) != 0 ||
			  (step->key != NULL && (step->op == STEP_RAW || step->op == STEP_TRACK));
		if (step->op == STEP_TRACK)
			return explain_tracked(p, step, fields, max);
		if (step->op != STEP_RAW && step->op != STEP_PADDING && step->op != STEP_SKIP &&
		    n < max)
			fields[n++] = p->xforms[step->at].field;
	}
	return n;
}
