/* SPDX-License-Identifier: Apache-2.0 */
#include "base/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One line, whatever a file, a peer or a name in it says. */
static void make_line(struct why *why)
{
	for (char *at = why->text; *at != '\0'; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	}
}

enum err why_set(struct why *why, enum err e, const char *format, ...)
{
	va_list ap;

	if (why == NULL)
		return e;
	va_start(ap, format);
	(void)vsnprintf(why->text, sizeof(why->text), format, ap);
	va_end(ap);
	make_line(why);
	return e;
}

enum err why_errno(struct why *why, enum err otherwise, const char *what)
{
	bool is_forbidden = errno == EACCES || errno == EPERM || errno == EROFS;

	return why_set(why, is_forbidden ? ERR_PERM : otherwise, "%s: %s", what, strerror(errno));
}

void why_prefix(struct why *why, const char *format, ...)
{
	char rest[WHY_BYTES];
	va_list ap;
	int n;

	if (why == NULL)
		return;
	memcpy(rest, why->text, sizeof(rest));
	va_start(ap, format);
	n = vsnprintf(why->text, sizeof(why->text), format, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(why->text) - 3)
		(void)snprintf(why->text + n, sizeof(why->text) - (size_t)n, ": %.*s",
			       (int)(sizeof(rest) - (size_t)n - 3), rest);
	make_line(why);
}
