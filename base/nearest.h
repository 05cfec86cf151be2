/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nearest.h - the known word nearest to a mistyped one, for error messages.
 *
 * Distance is the number of letters to insert, delete, replace or swap with their neighbour, capitals
 * being small letters, of the first NEAREST_BYTES octets.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

#define NEAREST_BYTES 64

size_t nearest_distance(const char *a, const char *b);

/* The i-th of `count` known words, or NULL for one to pass over. */
typedef const char *nearest_word_fn(const void *words, size_t i);

/* The nearest word, the first of equals; "" when there is none at all. */
const char *nearest_of(const char *word, nearest_word_fn *at, const void *words, size_t count);

#endif
