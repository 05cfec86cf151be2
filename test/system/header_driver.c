/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_driver - what header_parse() reads of frames, for test_header.py.
 *
 *	stdin	lines of "PROTOCOL HEX", the number of an enum header_protocol and the octets
 *	stdout	a line of key=value words for each, empty when nothing was found
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "test/unit/header_text.h"

#define FRAME_BYTES 4096

static uint8_t digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = strchr(digits, c);

	must(c != '\0' && found != NULL);
	return (uint8_t)(found - digits);
}

int main(void)
{
	static char line[2 * FRAME_BYTES + 16];
	static char text[HEADER_TEXT_BYTES];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *hex = NULL;
		unsigned long first = strtoul(line, &hex, 10);
		struct header h;
		uint8_t *octets;
		size_t size;

		must(*hex == ' ');
		hex++;
		size = strcspn(hex, "\n") / 2;
		octets = malloc(size + 1);
		must(octets != NULL);
		for (size_t i = 0; i < size; i++)
			octets[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
		if (header_parse(octets, size, (enum header_protocol)first, &h))
			header_text(&h, text);
		else
			text[0] = '\0';
		puts(text);
		free(octets);
	}
	return 0;
}
