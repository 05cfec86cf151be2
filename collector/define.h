/* SPDX-License-Identifier: Apache-2.0 */
/*
 * define.h - template records on the wire: v9 (RFC 3954) and IPFIX (RFC 7011, 3.4), options too.
 *
 * define_next() steps through the definitions of one template set, and define_build() makes a template
 * of each that is sound.  One that runs over its set ends it: where the next begins cannot be told.
 *
 * Owner: the caller; nothing is kept.
 */
#ifndef COLLECTOR_DEFINE_H
#define COLLECTOR_DEFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rd.h"
#include "collector/collector.h"
#include "collector/tmpl.h"

/* Set ids. */
#define NF9_SET_TEMPLATE 0
#define NF9_SET_OPTIONS 1
#define IPFIX_SET_TEMPLATE 2
#define IPFIX_SET_OPTIONS 3

struct define {
	uint16_t id;
	uint16_t version;
	bool is_options;
	bool is_withdrawal; /* IPFIX: no fields */
	bool is_empty; /* IPFIX: no fields, and written with a count of scope fields all the same */
	bool is_uneven; /* v9 options: lengths that are no multiple of 4 */
	uint32_t scope_count;
	uint32_t field_count; /* scope fields included */
	struct rd specs;
};

enum define_step { DEFINE_END, DEFINE_ONE, DEFINE_BROKEN };

/*
 * The next definition of the set's body, moving `set` on; padding ends it.  Of a broken one nothing but
 * the id may be used, and nothing more of the set.
 */
enum define_step define_next(struct rd *set, uint16_t version, bool is_options, struct define *out);

/* Hash of the definition: equal ones are not rebuilt. */
uint64_t define_hash(const struct define *d);

/* Makes the template; a row of drops.def says why not, COLLECTOR_STAT_COUNT that it was made. */
enum collector_stat define_build(const struct define *d, const struct collector_limits *limits,
				 struct tmpl **out);

#endif
