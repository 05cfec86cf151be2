/* SPDX-License-Identifier: Apache-2.0 */
/* docs.h - the generated pages of doc/, from the tables that the program itself uses. */
#ifndef DAEMON_DOCS_H
#define DAEMON_DOCS_H

#include <stdbool.h>
#include <stdio.h>

/* fields, options, counters or commands; false when there is no such page. */
bool docs_print(const char *page, FILE *out);

#endif
