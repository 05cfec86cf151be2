/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_steps.h - what plan.c and plan_layout.c compile and plan_run.c runs, with list.c for lists; nobody else includes
 * it.
 *
 *	record | srcIPv4 | octets | port | port | name (variable) | octets |
 *	runs	 U16: port port   U64: octets   V4: srcIPv4		 each at its offset
 *	steps						    STR	    U64	 one behind the other
 *
 * Fields before the first of variable length stand at the same place in every record: steps that do the same
 * are done together.
 */
#ifndef NORMALIZER_PLAN_STEPS_H
#define NORMALIZER_PLAN_STEPS_H

#include "normalizer/mapping.h"
#include "normalizer/plan.h"

enum step_op {
	STEP_U8, /* octets straight into a slot */
	STEP_U16,
	STEP_U32,
	STEP_SCALED, /* 4 octets, times the xform's scale */
	STEP_U64,    /* unless the slot cannot hold it: then its xform says what becomes of it */
	STEP_MS,     /* milliseconds of 8 octets, on the same terms */
	STEP_MAC,
	STEP_V4, /* an address of 4 octets, not competed for */
	STEP_V6,
	STEP_UINT, /* 1 to 8 octets, when they are a number from 1 to 2^31-1; else as its xform says */
	STEP_STR,     /* a text, not competed for */
	STEP_XFORM,   /* any other conversion with one target */
	STEP_RAW,     /* no target */
	STEP_PADDING, /* in raw only when it is not all zero: then somebody says something with it */
	STEP_TRACK,   /* its octets are wanted when the walk is over */
	STEP_SKIP,    /* nothing is wanted, but its length is in the record */
	STEP_OPS
};

#define STEP_VARIABLE 1u /* its length is in the record */
#define STEP_KEEPS 2u	 /* raw = "full": stands in raw whatever happens */
#define STEP_AGAIN 4u	 /* the octets of the step before it, into another field; only in runs */

/* One field of the template. */
struct step {
	uint8_t op;
	uint8_t form;  /* enum raw_form */
	uint8_t flags; /* STEP_VARIABLE, STEP_KEEPS, STEP_AGAIN; mostly none */
	uint32_t
		offset; /* in a run: from the record's first octet; else octets before it that nobody wants;
			 * of a sample: its element */
	uint16_t bytes;		   /* fixed length */
	uint16_t index;		   /* of the template's field */
	uint16_t field;		   /* STEP_U8 ... STEP_V6 */
	uint16_t at;		   /* STEP_TRACK: number in tracked; else in xforms */
	const struct raw_key *key; /* NULL: never in raw */
};

struct tracked {
	uint8_t form;
	const struct raw_key *key; /* NULL: never in raw, or there already */
	uint16_t index;
};

/* One field that takes the first present of its candidates. */
struct group {
	uint16_t field;
	uint16_t first; /* into candidates */
	uint16_t count;
	bool is_list;	   /* every candidate is taken */
	bool is_addresses; /* of their types' lengths, of which one that is all zero says nothing */
};

struct candidate {
	uint16_t tracked;
	struct xform xform;
};

#define PLAN_INSIDES_MAX 128

/* A field that takes what stands inside a list: the first value that is there, or all of them. */
struct inside {
	struct element_id element;
	struct element_id list; /* the outermost, when has_list; else any */
	bool has_list;
	bool is_many;
	struct xform xform;
};

/* Most elements in lists are wanted by nobody. */
static inline unsigned plan_inside_bit(struct element_id id)
{
	return (id.id ^ id.pen) & 63;
}

/* What a record says of a piece of a packet (section.h). */
enum section_part {
	SECTION_OCTETS,
	SECTION_PAYLOAD, /* what is behind the IP header */
	SECTION_BYTES,
	SECTION_OFFSET,
	SECTION_FRAME_BYTES,
	SECTION_IP_BYTES,
	SECTION_NEXT_HEADER,
	SECTION_PARTS
};

/* A field that takes what a header says, of an element of sflow.def. */
struct section_line {
	uint16_t element;
	bool is_many;
	struct xform xform;
};

struct plan {
	uint64_t generation;
	uint64_t profile;
	size_t announce_count; /* announcements that it was compiled with, or that say nothing of it */
	uint16_t announced_count; /* fields whose element is one of those */
	uint32_t holders;	  /* besides the first */
	uint16_t field_count;
	uint32_t step_count;
	uint32_t run_count;
	uint32_t run_steps; /* the first of the steps are in runs */
	uint32_t run_bytes; /* where the others begin in the record */
	bool is_sampled;    /* of samples, which come as values by element */
	uint32_t xform_count;
	uint32_t tracked_count;
	uint32_t group_count;
	uint32_t candidate_count;
	uint32_t static_count;
	uint32_t condition_count;	  /* the first statics, each of which waits for a field */
	uint64_t always[FIELD_WORDS];	  /* fields of the steps that cannot fail */
	uint64_t conditions[FIELD_WORDS]; /* fields that the first statics wait for */
	bool has_lists;
	bool drops_raw; /* raw = "none": lists stand there only until they were read */
	uint16_t inside_count;
	uint64_t inside_bits;
	struct inside *insides;		   /* who wins, first */
	int32_t section_at[SECTION_PARTS]; /* tracked, or -1 */
	uint16_t section_first;		   /* enum header_protocol */
	bool has_section;
	bool is_report; /* of one packet: the record counts nothing itself */
	uint16_t line_count;
	struct section_line *lines; /* of the section */
	int32_t boot_at;	    /* tracked systemInitTimeMilliseconds, or -1 */
	struct step *steps;
	uint16_t runs[STEP_OPS]; /* steps that do the same: how many */
	struct xform *xforms;
	struct tracked *tracked;
	struct group *groups;
	struct candidate *candidates;
	struct static_value *statics; /* copies, side by side */
	struct raw_key *keys;	      /* one per template field */
};

#endif
