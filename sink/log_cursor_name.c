/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of cursors' files, which are those of their sinks.
 */
#include <ctype.h>
#include <stdio.h>
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
		unsigned v = 0;

		if (isalnum((unsigned char)*p) || *p == '-') {
			out[n++] = *p;
		} else if (*p == '%' && sscanf(p, "%%%2X", &v) == 1 && v != 0 && p[1] != '\0' &&
			   p[2] != '\0') {
			out[n++] = (char)v;
			p += 2;
		} else {
			return false;
		}
	}
	out[n] = '\0';
	return n > 0;
}
