/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h - structured data (RFC 6313): what stands inside basicList, subTemplateList and subTemplateMultiList.
 *
 *	lists_new(&source, &l)			once per worker
 *	lists_use(l, elements)			per generation
 *	lists_begin(l)				per message: what it may cost
 *	lists_clear(l)				texts made so far are not needed any more
 *	lists_run(l, plan, env, flow)		plan_run()'s, per record whose template has lists
 *
 * The list elements that stand in raw become JSON text, every value as raw.elements has it outside of lists:
 *
 *	{"semantic":"ordered","element":"sourceTransportPort","values":["80","443"]}
 *	{"semantic":"allOf","template":300,"records":[{"sourceIPv4Address":"10.0.0.1"}]}
 *	{"semantic":"undefined","blocks":[{"template":300,"records":[...]},{"template":301,"hex":"00ff"}]}
 *
 * sFlow's AS paths and communities are read the same way, from XDR:
 *
 *	[{"type":"sequence","as":["65001","65002"]},{"type":"set","as":["65003"]}]
 *	["65000:123","65535:65281"]
 *
 * A list inside a list stands as its object.  What cannot be opened is {"hex":"..."}, or `hex` in the place of `records`:
 * broken, deeper than LIST_DEPTH_MAX, of a template that is not known; so is a value that is not of its element's type.
 * A list that cannot be opened at all is hex, as before.  Values that the mapping wants of lists (`inside`) go into fields
 * that are still empty.
 *
 * Iterative and bounded: values and records cost a step each of the message's LIST_STEPS_MAX; texts of the flows at
 * hand have LIST_TEXT_BYTES.  A list that goes beyond stands as hex whole.
 *
 * Owner: the worker.  Lifetime: process; texts until lists_clear().
 */
#ifndef NORMALIZER_LIST_H
#define NORMALIZER_LIST_H

#include "normalizer/announce.h"
#include "normalizer/element.h"
#include "normalizer/flow.h"
#include "normalizer/plan.h"

#define LIST_DEPTH_MAX 4
#define LIST_STEPS_MAX 65536u	   /* of one message: about 3 ms */
#define LIST_TEXT_BYTES (1u << 20) /* of the flows that are decoded together */

/* What became of lists. */
enum list_count {
	LIST_OPENED,   /* outermost ones, whatever was inside */
	LIST_BROKEN,   /* lengths that do not come out even */
	LIST_TEMPLATE, /* lists and blocks of a template that is not known */
	LIST_DEEP,
	LIST_STEPS, /* outermost ones again, for the rest */
	LIST_ROOM,
	LIST_COUNTS
};

struct list_source {
	void *ctx;
	/* The plan of the template of that id, and the template; NULL when there is none.  *cost grows by what it took. */
	const struct plan *(*plan_of)(void *ctx, uint16_t id, const struct tmpl **t,
				      uint32_t *cost);
	/* What the exporter at hand announced of elements, or NULL. */
	const struct announce *(*announce_of)(void *ctx);
};

struct lists;

enum err lists_new(const struct list_source *source, struct lists **out);
void lists_free(struct lists *l);
void lists_use(struct lists *l, const struct element_registry *elements);
void lists_begin(struct lists *l);
void lists_clear(struct lists *l);
void lists_run(struct lists *l, const struct plan *p, const struct xform_env *env, struct flow *f);
/* Since the last call; the counts begin anew. */
void lists_take_counts(struct lists *l, uint64_t counts[LIST_COUNTS]);

#endif
