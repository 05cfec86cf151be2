/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

static const char *const texts[ERR_COUNT] = {
	[ERR_OK] = "ok",
	[ERR_NOMEM] = "out of memory",
	[ERR_IO] = "input/output error",
	[ERR_TRUNC] = "truncated",
	[ERR_FORMAT] = "wrong format",
	[ERR_LIMIT] = "limit reached",
	[ERR_ABSENT] = "not found",
	[ERR_EXISTS] = "exists already",
	[ERR_CONF] = "configuration error",
	[ERR_PERM] = "not permitted",
	[ERR_AGAIN] = "try again",
	[ERR_FULL] = "full",
	[ERR_UNSUPPORTED] = "not supported",
	[ERR_CLOSED] = "closed",
	[ERR_TIMEOUT] = "timed out",
	[ERR_REFUSED] = "refused",
};

const char *err_text(enum err e)
{
	return (unsigned)e < ERR_COUNT ? texts[e] : "unknown error";
}
