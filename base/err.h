/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - the one vocabulary of failure.
 *
 * A function that the world can fail (file, peer, memory) returns enum err and gives its result
 * through its last argument, which is untouched on failure.  What a person needs to know beyond the
 * code goes to a struct why.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
	ERR_OK,
	ERR_NOMEM,	 /* no memory */
	ERR_IO,		 /* the operating system failed a call; errno says how */
	ERR_TRUNC,	 /* the input ends before it should */
	ERR_FORMAT,	 /* the input is not of its format */
	ERR_LIMIT,	 /* a limit of ours was reached */
	ERR_ABSENT,	 /* no such thing */
	ERR_EXISTS,	 /* there is one already */
	ERR_CONF,	 /* a configuration, mapping or registry file is wrong */
	ERR_PERM,	 /* not permitted */
	ERR_AGAIN,	 /* not now; try again */
	ERR_FULL,	 /* no room */
	ERR_UNSUPPORTED, /* not built in, or not known to this build */
	ERR_CLOSED,	 /* the other side has gone, or we are stopping */
	ERR_TIMEOUT,	 /* it took too long */
	ERR_REFUSED,	 /* the other side said no */
	ERR_COUNT
};

/* A short English text, static storage. */
const char *err_text(enum err e);

/* Returns from the caller with the error of `expr`; only where nothing needs releasing. */
#define TRY(expr)                                                                                  \
	do {                                                                                       \
		enum err try_err_ = (expr);                                                        \
		if (try_err_ != ERR_OK)                                                            \
			return try_err_;                                                           \
	} while (0)

#endif
