/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields.h - what each canonical field is and which elements feed it, for `sluicectl fields` and doc/FIELDS.
 *
 * Owner: nobody; it reads a catalog.
 */
#ifndef DAEMON_FIELDS_H
#define DAEMON_FIELDS_H

#include <stdio.h>

#include "base/json.h"
#include "base/why.h"
#include "normalizer/catalog.h"

/* Member "fields" of an open object: all fields, or the one named; ERR_ABSENT and the nearest name when
 * there is none of that name. */
enum err fields_json(const struct catalog *c, const char *name, struct json *out, struct why *why);

/* "iana: octetDeltaCount, v9.1; nprobe: ...", for a Markdown cell; nothing for a field that no mapping fills. */
void fields_print_sources(const struct catalog *c, unsigned field, FILE *out);

#endif
