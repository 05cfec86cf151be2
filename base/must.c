/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_fail(const char *file, int line, const char *condition)
{
	(void)fprintf(stderr, "error must.failed file=%s line=%d condition=\"%s\"\n", file, line,
		      condition);
	abort();
}
