/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - number to name, from a file of `templates/tables`; and the rows of any such file.
 *
 * One row a line: number, tab, name; `#` starts a comment line, further columns are ignored.  Numbers
 * are decimal, up to 2^32-1.
 *
 * Owner: the catalog.  Lifetime: generation; read-only.
 */
#ifndef NORMALIZER_TABLE_H
#define NORMALIZER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"
#include "normalizer/flow.h"

struct table;

/* ERR_CONF with file and line when a row is wrong or double; ERR_ABSENT when there is no file. */
enum err table_load(const char *path, struct why *why, struct table **out);
void table_free(struct table *t);
/* Does every number have a name of its own, so that the name tells the number? */
bool table_is_invertible(const struct table *t);
/*
 * Calls `row` for every row with its number and all that stands behind the tab, until one is refused: the
 * reader of files that have more to say than a name.
 */
struct table_place {
	const char *path;
	unsigned line;
};
typedef enum err table_row_fn(void *ctx, uint32_t number, const char *rest,
			      const struct table_place *place, struct why *why);
enum err table_each(const char *path, table_row_fn *row, void *ctx, struct why *why);
/* Length of a row's name, to which `rest` of the row must begin; 0 and the reason when it has none. */
size_t table_name(const char *rest, const struct table_place *place, struct why *why);

/* The name, or NULL. */
const struct text *table_find(const struct table *t, uint64_t number);

#endif
