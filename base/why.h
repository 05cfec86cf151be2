/* SPDX-License-Identifier: Apache-2.0 */
/*
 * why.h - what a person needs to know about a failure: one line of text, bounded.
 *
 * The function that fails writes it, callers may prefix it with what they were doing, and exactly
 * one place logs or prints it.  A struct why lives on the caller's stack; NULL is accepted
 * everywhere and drops the text.
 */
#ifndef BASE_WHY_H
#define BASE_WHY_H

#include "base/err.h"

#define WHY_BYTES 1024

struct why {
	char text[WHY_BYTES];
};

/* Sets the text; returns `e`, so that `return why_set(why, ERR_CONF, ...)` reads well. */
enum err why_set(struct why *why, enum err e, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "<what>: " and what errno says: ERR_PERM when it is a matter of permission, else `otherwise`. */
enum err why_errno(struct why *why, enum err otherwise, const char *what);

/* Puts "<context>: " before the text. */
void why_prefix(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
