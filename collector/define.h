/* SPDX-License-Identifier: Apache-2.0 */
/*
 * define.h - template records on the wire: v9 (RFC 3954) and IPFIX (RFC 7011, 3.4), options too.
 *
 * define_next() steps through the definitions of one template set and is used twice: by the gate, to
 * see that the whole set is sound, and by the session, which makes templates of it (define_build).
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
	bool is_uneven;	    /* v9 options: lengths that are no multiple of 4 */
	uint32_t scope_count;
	uint32_t field_count; /* scope fields included */
	struct rd specs;
};

enum define_step { DEFINE_END, DEFINE_ONE, DEFINE_BROKEN };

/* The next definition of the set's body, moving `set` on; padding ends it. */
enum define_step define_next(struct rd *set, uint16_t version, bool is_options, struct define *out);

/* Hash of the definition: equal ones are not rebuilt. */
uint64_t define_hash(const struct define *d);

/* Makes the template; a row of drops.def says why not, COLLECTOR_STAT_COUNT that it was made. */
enum collector_stat define_build(const struct define *d, const struct collector_limits *limits,
				 struct tmpl **out);

#endif
