/* SPDX-License-Identifier: Apache-2.0 */
/*
 * must.h - asserts that stay on in release.
 *
 * must() is for what can only be false if our own code is wrong: a wrong record downstream costs
 * more than a restart.  Never on anything that came from outside.
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

/* Prints the place and the condition to standard error and aborts. */
_Noreturn void must_fail(const char *file, int line, const char *condition);

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			must_fail(__FILE__, __LINE__, #cond);                                      \
	} while (0)

#endif
