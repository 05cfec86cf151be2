/* SPDX-License-Identifier: Apache-2.0 */
/*
 * htab.h - hash table: byte keys of one length per table, a pointer each.
 *
 * Open addressing with linear probing; the hash is seeded at random per process, so that nobody
 * outside can choose keys that collide.  Finding allocates nothing; putting may grow the table.
 *
 * Owner: one thread.  Keys are copied in, values are the caller's.
 */
#ifndef BASE_HTAB_H
#define BASE_HTAB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct htab;

/* Position in a walk; starts as { 0 }. */
struct htab_iter {
	size_t next;   /* slot to look at next */
	bool is_valid; /* there is a current entry */
};

enum err htab_new(size_t key_bytes, struct htab **out);
void htab_free(struct htab *h);
size_t htab_count(const struct htab *h);
/* The value, or NULL. */
void *htab_find(const struct htab *h, const void *key);
/* Adds or replaces; `value` is not NULL. */
enum err htab_put(struct htab *h, const void *key, void *value);
/* Takes the entry out and returns its value, or NULL. */
void *htab_del(struct htab *h, const void *key);
/* The next entry in no order; `key` and `value` may be NULL.  No put during a walk. */
bool htab_next(const struct htab *h, struct htab_iter *it, const void **key, void **value);
/* Takes out the entry that htab_next() gave last; the walk goes on. */
void htab_iter_del(struct htab *h, struct htab_iter *it);

#endif
