/* SPDX-License-Identifier: Apache-2.0 */
/*
 * htab.h - hash table: keys of one fixed length, values a pointer that is not NULL.
 *
 *	htab_new(sizeof(struct session_key), &t);
 *	htab_put(t, &key, s);
 *	s = htab_find(t, &key);
 *
 *	struct htab_iter it = { 0 };
 *	while (htab_next(t, &it, &key, &value))
 *		if (is_old(value))
 *			htab_iter_del(t, &it);
 *
 * Keys are compared as octets: padding in a key struct must be cleared.  The hash has a random seed
 * of its own per table, so that nobody outside can choose colliding keys.  Open addressing, linear,
 * deletion closes the gap; find and del never allocate, put may grow.
 *
 * Owner: one thread.  The table owns copies of the keys and never the values.
 */
#ifndef BASE_HTAB_H
#define BASE_HTAB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define HTAB_KEY_MAX 256

struct htab;

/* All zero starts a walk.  Between two steps only htab_iter_del() may change the table. */
struct htab_iter {
	size_t at;	 /* slot of the last one given */
	size_t left;	 /* slots not looked at yet */
	bool is_started;
	bool is_deleted; /* the last one given is gone; its slot has another */
};

enum err htab_new(size_t key_bytes, struct htab **out);
void htab_free(struct htab *t); /* NULL is fine */

size_t htab_count(const struct htab *t);
void *htab_find(const struct htab *t, const void *key);
/* Adds, or replaces the value.  ERR_NOMEM leaves the table as it was. */
enum err htab_put(struct htab *t, const void *key, void *value);
/* The value it had, or NULL. */
void *htab_del(struct htab *t, const void *key);
void htab_clear(struct htab *t);
/* Room for `count` keys without growing. */
enum err htab_reserve(struct htab *t, size_t count);

/* Each key once, in no order; `key` and `value` may be NULL. */
bool htab_next(const struct htab *t, struct htab_iter *it, const void **key, void **value);
/* Deletes the one that htab_next() gave last. */
void htab_iter_del(struct htab *t, struct htab_iter *it);

#endif
