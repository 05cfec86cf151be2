/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_tmpl.h - the templates that sluicegen sends, and the writing of records after them.
 *
 * gen_tmpl_compile() turns the rows of a set (basic, nprobe, rich) into steps and definition octets
 * for one format, one template per family; gen_tmpl_put() writes one record.
 *
 * Owner: the caller, constant after the compilation.
 */
#ifndef TEST_GEN_GEN_TMPL_H
#define TEST_GEN_GEN_TMPL_H

#include "base/err.h"
#include "base/wr.h"
#include "test/gen/gen_value.h"

#define GEN_VARIABLE 65535
#define GEN_FIELDS_MAX 112
#define GEN_VARIABLES_MAX 16
#define GEN_DEFINITION_OCTETS 1024

enum gen_op {
	GEN_OP_U8,
	GEN_OP_U16,
	GEN_OP_U32,
	GEN_OP_U64,
	GEN_OP_UINT, /* any other count of octets */
	GEN_OP_BITS, /* an unsigned cut out of a word */
	GEN_OP_BLOB,
	GEN_OP_FIXED,	/* a text, NUL padded */
	GEN_OP_VARIABLE /* RFC 7011, 7 */
};

struct gen_step {
	uint8_t op;
	uint8_t slot; /* or the word */
	uint8_t at;
	uint8_t bits;
	uint16_t length;
};

struct gen_tmpl {
	uint16_t id;
	uint16_t step_count;
	size_t fixed_octets;		     /* of a record, length octets aside */
	uint8_t variable[GEN_VARIABLES_MAX]; /* slots of variable-length texts */
	unsigned variable_count;
	struct gen_step step[GEN_FIELDS_MAX];
	uint8_t definition[GEN_DEFINITION_OCTETS]; /* template record: id, count, fields */
	size_t definition_octets;
};

struct gen_tmpls {
	struct gen_tmpl of_family[2]; /* IPv4, IPv6 */
	unsigned count;		      /* 1: one template for both; 0: NetFlow v5, sFlow */
};

/* ERR_LIMIT when the rows do not fit the limits above. */
enum err gen_tmpl_compile(const struct gen_plan *plan, struct gen_tmpls *out);

/* Writes one record; false, and nothing written, when there is no room for it. */
bool gen_tmpl_put(const struct gen_tmpl *t, const struct gen_flow *f, struct wr *w);

/* One NetFlow v5 record, 48 octets. */
#define GEN_V5_RECORD_OCTETS 48
bool gen_v5_put(const struct gen_flow *f, struct wr *w);

#endif
