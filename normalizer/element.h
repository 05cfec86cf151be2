/* SPDX-License-Identifier: Apache-2.0 */
/*
 * element.h - the registry of information elements: what a number means.
 *
 *	element_registry_load("templates/elements", &why, &reg);
 *	const struct element *e = element_find(reg, 0, 8);		sourceIPv4Address
 *	element_find_name(reg, "ntop.DNS_QUERY", &pen, &id);
 *
 * An element is named
 *
 *	octetDeltaCount			IANA's
 *	ntop.DNS_QUERY			a vendor's
 *	reverseOctetDeltaCount		RFC 5103; reverse.octetDeltaCount is read as well
 *	v9.33000			NetFlow v9 type, also v9.NAME where the file tells a name;
 *					v9.8 is IANA's 8, v9.57660 is ntop's 188
 *	e9id77				any other: enterprise 9, element 77; also for known ones
 *
 * v9 types of 32768 and above stand under PEN_V9 with the type itself as id; in the files, whose
 * ids have 15 bits, without the highest bit.
 *
 * Owner: the catalog.  Lifetime: generation; read-only, so threads may share it.
 */
#ifndef NORMALIZER_ELEMENT_H
#define NORMALIZER_ELEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/why.h"
#include "collector/fixbuf_model.h"
#include "normalizer/flow.h"

#define ELEMENT_NAME_BYTES 128 /* room for any key, with its NUL */

struct element_registry;

struct element {
	uint32_t pen;
	uint16_t id;
	uint16_t natural_bytes; /* 0: variable */
	enum element_type type;
	enum element_list list;
	const char *name;
	const char *units;	 /* "" when none */
	const char *semantics;	 /* "default" when none */
	const char *description; /* "" when none */
	uint64_t min;		 /* range; both 0 when none */
	uint64_t max;
};

enum err element_registry_load(const char *dir, struct why *why, struct element_registry **out);
void element_registry_free(struct element_registry *reg);
size_t element_count(const struct element_registry *reg);
/* The i-th in order of enterprise and id. */
const struct element *element_at(const struct element_registry *reg, size_t i);

/* NULL when unknown. */
const struct element *element_find(const struct element_registry *reg, uint32_t pen, uint16_t id);
/* All forms above; ERR_ABSENT when it is none of them. */
enum err element_find_name(const struct element_registry *reg, const char *name, uint32_t *pen,
			   uint16_t *id);
/* The name or, for an unknown element, a key that element_find_name() reads; returns `buf`. */
const char *element_name(const struct element_registry *reg, uint32_t pen, uint16_t id, char *buf,
			 size_t size);
/* The known name nearest to a wrong one, for messages. */
const char *element_nearest(const struct element_registry *reg, const char *name);

/* How octets of the type become text in the raw layer. */
enum raw_form element_raw_form(enum element_type type);

#endif
