/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of cursors' files, which are those of their sinks.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/log_parts.h"

#define OWN_NAME "_log" /* of the hub's own, whose sink has no name */

/* What is not a letter, digit or dash stands as %XX. */
void log_cursor_file(const char *sink, char out[LOG_CURSOR_FILE_BYTES])
{
	size_t n = 0;

	if (sink[0] == '\0') {
		(void)snprintf(out, LOG_CURSOR_FILE_BYTES, OWN_NAME);
		return;
	}
	for (const char *p = sink; *p != '\0'; p++) {
		if (isalnum((unsigned char)*p) || *p == '-')
			out[n++] = *p;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*p);
	}
	out[n] = '\0';
}

bool log_cursor_sink(const char *file, char out[LOG_SINK_BYTES])
{
	size_t n = 0;

	if (strcmp(file, OWN_NAME) == 0) {
		out[0] = '\0';
		return true;
	}
	for (const char *p = file; *p != '\0' && n + 1 < LOG_SINK_BYTES; p++) {
		char two[3] = "";

		if (isalnum((unsigned char)*p) || *p == '-') {
			out[n++] = *p;
			continue;
		}
		if (*p != '%' || !isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
			return false;
		memcpy(two, p + 1, 2);
		out[n] = (char)strtoul(two, NULL, 16);
		if (out[n++] == '\0')
			return false;
		p += 2;
	}
	out[n] = '\0';
	return n > 0;
}
