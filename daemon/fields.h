/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields.h - what each canonical field is and what feeds it, for `sluicectl fields` and doc/FIELDS.
 *
 *	fields_open(catalog, &view)
 *	fields_json(view, name, json, &why)
 *	fields_print_sources(view, field, "; ", file)
 *	fields_close(view)
 *
 * What feeds a field is read from what the program itself works with: the records of NetFlow v1, v5 and v7 as their plans
 * reads it, mapping files, the elements of options data; and from the tables that stand beside the code
 * that fills the rest (struct feed).
 *
 * Owner: the caller.  Lifetime: shorter than the catalog's.
 */
#ifndef DAEMON_FIELDS_H
#define DAEMON_FIELDS_H

#include <stdio.h>

#include "base/json.h"
#include "base/why.h"
#include "normalizer/catalog.h"

#define FIELDS_NOT_FED "nothing yet"

struct fields_view;

enum err fields_open(const struct catalog *c, struct fields_view **out);
void fields_close(struct fields_view *v);

/* Member "fields" of an open object: all fields, or the one named; ERR_ABSENT and the nearest name when
 * there is none of that name. */
enum err fields_json(const struct fields_view *v, const char *name, struct json *out,
		     struct why *why);

/* "iana: `octetDeltaCount`, `v9.1`; nprobe: ...", with `between` instead of the semicolon; FIELDS_NOT_FED for a
 * field that nothing fills. */
void fields_print_sources(const struct fields_view *v, unsigned field, const char *between,
			  FILE *out);

#endif
