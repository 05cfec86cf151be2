/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/list.h"

#include <stdlib.h>

#include "base/must.h"
#include "base/rd.h"
#include "base/utf8.h"
#include "base/wr.h"
#include "normalizer/list_text.h"
#include "normalizer/plan_steps.h"

#define ELEMENT_PADDING 210
#define STEPS_LIST 4 /* more than a value: its element or template is looked up, and its lengths */
#define STEPS_WANTED 1 /* to see which line wants a value */
#define ENTERPRISE_BIT 0x8000u
#define BLOCK_HEADER_BYTES 4u
#define LEVELS_MAX (2 * LIST_DEPTH_MAX) /* a block is a level of its own */

enum level_kind { LEVEL_VALUES, LEVEL_RECORDS, LEVEL_BLOCKS };

/* A list, or a block of one, that is being read. */
struct level {
	struct rd body; /* what is not read yet */
	uint8_t kind;
	uint8_t depth; /* of lists */
	bool has_some; /* a comma comes before the next */
	bool is_in_record;
	uint16_t item_bytes;	    /* LEVEL_VALUES: of each, or TMPL_VARIABLE */
	uint8_t form;		    /* LEVEL_VALUES */
	uint8_t list;		    /* LEVEL_VALUES: enum element_list */
	struct element_id id;	    /* LEVEL_VALUES */
	uint16_t next;		    /* LEVEL_RECORDS: field of the record under way */
	const struct tmpl *tmpl;    /* LEVEL_RECORDS */
	const struct raw_key *keys; /* LEVEL_RECORDS */
};

/* A value for a field that takes several. */
struct taken {
	uint16_t inside;
	struct value value;
};

struct lists {
	struct list_source source;
	const struct element_registry *elements;
	struct wr out;
	uint32_t steps_left;
	uint32_t level_count;
	struct level levels[LEVELS_MAX];
	uint64_t counts[LIST_COUNTS];
	/* Of the record at hand. */
	const struct plan *plan;
	struct element_id list; /* the outermost list's element */
	struct flow *flow;
	bool is_found[PLAN_INSIDES_MAX];
	struct value found[PLAN_INSIDES_MAX];
	bool is_filled[PLAN_INSIDES_MAX]; /* its field, by it */
	uint32_t taken_count;		  /* past FLOW_LONGS_MAX when they were more */
	struct taken taken[FLOW_LONGS_MAX];
	uint8_t text[LIST_TEXT_BYTES];
};

enum err lists_new(const struct list_source *source, struct lists **out)
{
	struct lists *l = malloc(sizeof(*l));

	if (l == NULL)
		return ERR_NOMEM;
	memset(l, 0, offsetof(struct lists, text));
	l->source = *source;
	lists_begin(l);
	lists_clear(l);
	*out = l;
	return ERR_OK;
}

void lists_free(struct lists *l)
{
	free(l);
}

void lists_use(struct lists *l, const struct element_registry *elements)
{
	l->elements = elements;
}

void lists_begin(struct lists *l)
{
	l->steps_left = LIST_STEPS_MAX;
}

void lists_clear(struct lists *l)
{
	l->out = wr_of(l->text, sizeof(l->text));
}

void lists_take_counts(struct lists *l, uint64_t counts[LIST_COUNTS])
{
	memcpy(counts, l->counts, sizeof(l->counts));
	memset(l->counts, 0, sizeof(l->counts));
}

/* Spent steps end the reading of the outermost list. */
static void spend(struct lists *l, uint32_t steps)
{
	l->steps_left = steps < l->steps_left ? l->steps_left - steps : 0;
}

/* ---- what a mapping wants ---- */

static void want(struct lists *l, struct element_id id, struct value v)
{
	const struct plan *p = l->plan;

	if ((p->inside_bits >> plan_inside_bit(id) & 1) == 0)
		return;
	spend(l, STEPS_WANTED);
	for (uint16_t i = 0; i < p->inside_count; i++) {
		const struct inside *in = &p->insides[i];

		if (in->element.id != id.id || in->element.pen != id.pen ||
		    (in->has_list && (in->list.id != l->list.id || in->list.pen != l->list.pen)))
			continue;
		if (in->is_many) {
			if (l->taken_count < FLOW_LONGS_MAX)
				l->taken[l->taken_count] = (struct taken){ i, v };
			l->taken_count += l->taken_count <= FLOW_LONGS_MAX;
		} else if (!l->is_found[i] && !xform_is_absent(&in->xform, v.octets, v.bytes)) {
			l->is_found[i] = true;
			l->found[i] = v;
		}
	}
}

/* All of them, or none: positions mean something.  Nothing is noted then, since all stand in raw. */
static void fill_many(struct lists *l, const struct xform_env *env, uint16_t index)
{
	const struct xform *x = &l->plan->insides[index].xform;
	uint32_t longs_before = l->flow->long_count;
	uint64_t notes_before = l->flow->notes;

	for (uint32_t i = 0; i < l->taken_count && i < FLOW_LONGS_MAX; i++) {
		struct value v = l->taken[i].value;

		if (l->taken[i].inside != index)
			continue;
		if (l->taken_count <= FLOW_LONGS_MAX &&
		    xform_run(x, env, v.octets, v.bytes, l->flow) == XFORM_TAKEN)
			continue;
		l->flow->notes = notes_before;
		l->flow->long_count = longs_before;
		flow_unmark(l->flow, x->field);
		return;
	}
}

/* Bits are added to those that lines before this one gave the field. */
static bool is_added(const struct lists *l, uint16_t index)
{
	const struct inside *insides = l->plan->insides;

	for (uint16_t i = 0; insides[index].xform.op == XFORM_OR && i < index; i++) {
		if (insides[i].xform.op == XFORM_OR && l->is_filled[i] &&
		    insides[i].xform.field == insides[index].xform.field)
			return true;
	}
	return false;
}

static bool fill_one(struct lists *l, const struct xform_env *env, uint16_t index)
{
	const struct xform *x = &l->plan->insides[index].xform;
	struct value v = l->found[index];
	uint64_t notes_before = l->flow->notes;

	if (xform_run(x, env, v.octets, v.bytes, l->flow) == XFORM_TAKEN)
		return true;
	if (!flow_has(l->flow, x->field))
		l->flow->notes = notes_before;
	return false;
}

/* The lists stand in raw whole, whatever goes into fields. */
static void fill(struct lists *l, const struct xform_env *env)
{
	for (uint16_t i = 0; i < l->plan->inside_count; i++) {
		const struct inside *in = &l->plan->insides[i];

		l->is_filled[i] = false;
		if (flow_has(l->flow, in->xform.field) && !is_added(l, i))
			continue;
		if (in->is_many)
			fill_many(l, env, i);
		else if (l->is_found[i])
			l->is_filled[i] = fill_one(l, env, i);
	}
}

/* ---- reading ---- */

static struct value rest_of(const struct rd *r)
{
	return (struct value){ r->at, (uint32_t)rd_left(r) };
}

/* One value, whose length stands before it when it is variable (RFC 7011, 7). */
static struct value next_value(struct rd *r, uint16_t bytes)
{
	struct value v = { NULL, bytes };

	if (bytes == TMPL_VARIABLE) {
		v.bytes = rd_u8(r);
		if (v.bytes == 255)
			v.bytes = rd_u16(r);
	}
	v.octets = rd_take(r, v.bytes);
	return v;
}

static bool is_even(struct rd r, uint16_t bytes)
{
	if (bytes != TMPL_VARIABLE)
		return rd_left(&r) == 0 || (bytes > 0 && rd_left(&r) % bytes == 0);
	while (rd_left(&r) > 0)
		(void)next_value(&r, bytes);
	return !r.is_short;
}

static bool are_records_even(struct rd r, const struct tmpl *t)
{
	while (rd_left(&r) > 0) {
		size_t bytes = tmpl_record_bytes(t, r.at, rd_left(&r));

		if (bytes == 0)
			return false;
		r.at += bytes;
	}
	return true;
}

static bool are_blocks_even(struct rd r)
{
	while (rd_left(&r) > 0) {
		uint16_t bytes;

		rd_skip(&r, 2);
		bytes = rd_u16(&r);
		if (bytes < BLOCK_HEADER_BYTES)
			return false;
		rd_skip(&r, bytes - BLOCK_HEADER_BYTES);
	}
	return !r.is_short;
}

static bool refuse(struct lists *l, enum list_count why)
{
	l->counts[why]++;
	flow_note(l->flow, NOTE_LIST);
	return false;
}

static struct level *push(struct lists *l, enum level_kind kind, uint8_t depth, struct rd body)
{
	struct level *v = &l->levels[l->level_count];

	must(l->level_count < LEVELS_MAX);
	*v = (struct level){ .kind = (uint8_t)kind, .depth = depth, .body = body };
	l->level_count++;
	return v;
}

static bool open_basic(struct lists *l, uint8_t depth, struct rd r)
{
	uint8_t semantic = rd_u8(&r);
	uint16_t id = rd_u16(&r);
	uint16_t bytes = rd_u16(&r);
	uint32_t pen = (id & ENTERPRISE_BIT) != 0 ? rd_u32(&r) : PEN_IANA;
	const struct announce *announce = l->source.announce_of(l->source.ctx);
	const struct announced *announced;
	const struct element *e;
	struct level *v;
	char name[ELEMENT_NAME_BYTES];

	if (r.is_short || !is_even(r, bytes))
		return refuse(l, LIST_BROKEN);
	id &= ENTERPRISE_BIT - 1;
	e = element_find(l->elements, pen, id);
	announced = e == NULL ? announce_find(announce, pen, id) : NULL;
	v = push(l, LEVEL_VALUES, depth, r);
	v->id = (struct element_id){ pen, id };
	v->item_bytes = bytes;
	v->form = (uint8_t)(e == NULL ? RAW_HEX : element_raw_form(e->type));
	v->list = (uint8_t)(e == NULL ? ELEMENT_NO_LIST : e->list);
	if (announced != NULL) {
		v->form = (uint8_t)element_raw_form((enum element_type)announced->type);
		v->list = announced->list;
	}
	list_put_semantic(&l->out, semantic);
	list_put(&l->out, ",\"element\":\"");
	list_put(&l->out,
		 e != NULL ? e->name
			   : announce_name(announce, l->elements, pen, id, name, sizeof(name)));
	list_put(&l->out, "\",\"values\":[");
	return true;
}

/* `"template":300,"records":[`, and a level for them, or all up to the closing brace. */
static void open_records(struct lists *l, uint8_t depth, uint16_t id, struct rd body)
{
	const struct tmpl *t = NULL;
	const struct plan *p = NULL;
	uint32_t cost = 0;
	struct level *v;

	list_put(&l->out, "\"template\":");
	list_put_u64(&l->out, id);
	if (rd_left(&body) == 0) {
		list_put(&l->out, ",\"records\":[]}");
		return;
	}
	p = l->source.plan_of(l->source.ctx, id, &t, &cost);
	spend(l, cost);
	if (p == NULL || !are_records_even(body, t)) {
		(void)refuse(l, p == NULL ? LIST_TEMPLATE : LIST_BROKEN);
		list_put(&l->out, ",\"hex\":\"");
		list_put_hex(&l->out, rest_of(&body));
		list_put(&l->out, "\"}");
		return;
	}
	list_put(&l->out, ",\"records\":[");
	v = push(l, LEVEL_RECORDS, depth, body);
	v->tmpl = t;
	v->keys = p->keys;
}

static bool open_sub(struct lists *l, uint8_t depth, struct rd r)
{
	uint8_t semantic = rd_u8(&r);
	uint16_t id = rd_u16(&r);

	if (r.is_short)
		return refuse(l, LIST_BROKEN);
	list_put_semantic(&l->out, semantic);
	wr_u8(&l->out, ',');
	open_records(l, depth, id, r);
	return true;
}

static bool open_multi(struct lists *l, uint8_t depth, struct rd r)
{
	uint8_t semantic = rd_u8(&r);

	if (r.is_short || !are_blocks_even(r))
		return refuse(l, LIST_BROKEN);
	list_put_semantic(&l->out, semantic);
	list_put(&l->out, ",\"blocks\":[");
	(void)push(l, LEVEL_BLOCKS, depth, r);
	return true;
}

static bool is_of_rfc6313(enum element_list list)
{
	return list != ELEMENT_AS_PATH && list != ELEMENT_COMMUNITIES;
}

/* What sFlow says of BGP is read at once: it has nothing inside, and its size is that of its octets. */
static bool put_bgp(struct lists *l, enum element_list list, struct value v)
{
	bool is_put;

	spend(l, v.bytes / 4);
	is_put = list == ELEMENT_AS_PATH ? list_put_as_path(&l->out, v)
					 : list_put_communities(&l->out, v);
	return is_put || refuse(l, LIST_BROKEN);
}

/* False, and nothing written, when its octets are no list. */
static bool open_list(struct lists *l, enum element_list list, uint8_t depth, struct value v)
{
	struct rd r = rd_of(v.octets, v.bytes);

	if (depth > LIST_DEPTH_MAX)
		return refuse(l, LIST_DEEP);
	spend(l, STEPS_LIST);
	if (!is_of_rfc6313(list))
		return put_bgp(l, list, v);
	if (list == ELEMENT_BASIC_LIST)
		return open_basic(l, depth, r);
	return list == ELEMENT_SUB_TEMPLATE_LIST ? open_sub(l, depth, r) : open_multi(l, depth, r);
}

static void put_value(struct lists *l, uint8_t form, uint8_t list, uint8_t depth, struct value v)
{
	if (list == ELEMENT_NO_LIST || v.bytes == 0)
		list_put_scalar(&l->out, (enum raw_form)form, v, &l->flow->notes);
	else if (!open_list(l, (enum element_list)list, (uint8_t)(depth + 1), v))
		list_put_hex_object(&l->out, v);
}

/* One that is all zero says nothing, as outside of lists. */
static bool is_padding(const struct tmpl_field *field, struct value v)
{
	bool is_ascii;

	return field->pen == PEN_IANA && field->id == ELEMENT_PADDING &&
	       utf8_trim(v.octets, v.bytes, &is_ascii) == 0;
}

static void close_level(struct lists *l)
{
	l->level_count--;
	list_put(&l->out, "]}");
}

static void comma(struct lists *l, struct level *v)
{
	if (v->has_some)
		wr_u8(&l->out, ',');
	v->has_some = true;
}

static void step_values(struct lists *l, struct level *v)
{
	struct value item;

	if (rd_left(&v->body) == 0) {
		close_level(l);
		return;
	}
	comma(l, v);
	item = next_value(&v->body, v->item_bytes);
	want(l, v->id, item);
	put_value(l, v->form, v->list, v->depth, item);
}

static void begin_record(struct lists *l, struct level *v)
{
	comma(l, v);
	wr_u8(&l->out, '{');
	v->is_in_record = true;
	v->has_some = false;
	v->next = 0;
}

static void end_record(struct lists *l, struct level *v)
{
	wr_u8(&l->out, '}');
	v->is_in_record = false;
	v->has_some = true;
}

static void step_records(struct lists *l, struct level *v)
{
	const struct tmpl_field *field;
	struct value item;
	uint16_t at = v->next;

	if (!v->is_in_record && rd_left(&v->body) == 0) {
		close_level(l);
	} else if (!v->is_in_record) {
		begin_record(l, v);
	} else if (at == v->tmpl->field_count) {
		end_record(l, v);
	} else {
		field = &v->tmpl->fields[at];
		item = next_value(&v->body, field->bytes);
		v->next++;
		if (is_padding(field, item))
			return;
		comma(l, v);
		list_put_name(&l->out, &v->keys[at]);
		want(l, (struct element_id){ field->pen, field->id }, item);
		put_value(l, (uint8_t)v->keys[at].form, v->keys[at].list, v->depth, item);
	}
}

static void step_blocks(struct lists *l, struct level *v)
{
	uint16_t id;
	uint16_t bytes;

	if (rd_left(&v->body) == 0) {
		close_level(l);
		return;
	}
	comma(l, v);
	id = rd_u16(&v->body);
	bytes = rd_u16(&v->body);
	wr_u8(&l->out, '{');
	open_records(l, v->depth, id, rd_sub(&v->body, bytes - BLOCK_HEADER_BYTES));
}

static bool is_cut(const struct lists *l)
{
	return l->steps_left == 0 || l->out.is_full;
}

/* To the end of the outermost list, or to where it costs too much. */
static void read_on(struct lists *l)
{
	while (l->level_count > 0 && !is_cut(l)) {
		struct level *v = &l->levels[l->level_count - 1];

		spend(l, 1);
		if (v->kind == LEVEL_VALUES)
			step_values(l, v);
		else if (v->kind == LEVEL_RECORDS)
			step_records(l, v);
		else
			step_blocks(l, v);
	}
}

/* What was found of it so far is forgotten with it, but not what the record's lists before it said. */
static void give_up(struct lists *l, uint8_t *from, const bool *found_before, uint32_t taken_before)
{
	(void)refuse(l, l->out.is_full ? LIST_ROOM : LIST_STEPS);
	l->out.at = from;
	l->out.is_full = false;
	l->taken_count = taken_before;
	memcpy(l->is_found, found_before, sizeof(l->is_found));
}

static void run_one(struct lists *l, struct raw_value *raw)
{
	struct value v = { raw->octets, raw->bytes };
	uint8_t *from = l->out.at;
	bool found_before[PLAN_INSIDES_MAX];
	uint32_t taken_before = l->taken_count;

	memcpy(found_before, l->is_found, sizeof(found_before));
	l->level_count = 0;
	l->list = (struct element_id){ raw->key->pen, raw->key->id };
	spend(l, 1);
	if (!is_cut(l) && !open_list(l, (enum element_list)raw->key->list, 1, v))
		return;
	read_on(l);
	if (is_cut(l)) {
		give_up(l, from, found_before, taken_before);
		return;
	}
	l->counts[LIST_OPENED] += is_of_rfc6313((enum element_list)raw->key->list);
	raw->octets = from;
	raw->bytes = (uint32_t)(l->out.at - from);
	raw->form = RAW_STRING;
	l->flow->list_bytes += raw->bytes;
}

void lists_run(struct lists *l, const struct plan *p, const struct xform_env *env, struct flow *f)
{
	l->plan = p;
	l->flow = f;
	l->taken_count = 0;
	memset(l->is_found, 0, sizeof(l->is_found));
	for (uint32_t i = 0; i < f->raw_count; i++) {
		enum element_list list = (enum element_list)f->raw[i].key->list;

		if (list != ELEMENT_NO_LIST && (f->raw[i].bytes > 0 || !is_of_rfc6313(list)))
			run_one(l, &f->raw[i]);
	}
	if (p->inside_count > 0)
		fill(l, env);
	if (p->drops_raw)
		f->raw_count = 0;
}
