/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nearest.h - the known name that a wrong one probably meant.
 *
 *	nearest_of(word, row_name, rows, row_count)	any table: row_name(rows, i) gives name i
 *	nearest_text(word, names, count)		an array of texts
 *
 * Distance counts insertions, deletions, replacements and swaps of neighbours; a difference in case
 * only is worth less.  Names are looked at up to NEAREST_WORD_MAX characters.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

#define NEAREST_WORD_MAX 64

/* Never NULL: "" when there are no names.  row_name may give NULL for a row to pass over. */
const char *nearest_of(const char *word, const char *(*row_name)(const void *rows, size_t i),
		       const void *rows, size_t count);
const char *nearest_text(const char *word, const char *const *names, size_t count);

/* The distance itself, in quarters of an edit. */
unsigned nearest_distance(const char *a, const char *b);

#endif
