/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

#include <ctype.h>
#include <string.h>

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

static int letter(char c)
{
	return tolower((unsigned char)c);
}

size_t nearest_distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_BYTES + 1];
	size_t a_bytes = strnlen(a, NEAREST_BYTES);
	size_t b_bytes = strnlen(b, NEAREST_BYTES);

	for (size_t j = 0; j <= b_bytes; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_bytes; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i + 2) % 3];
		const size_t *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_bytes; j++) {
			size_t differs = letter(a[i - 1]) != letter(b[j - 1]);

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + differs);
			if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) &&
			    letter(a[i - 2]) == letter(b[j - 1]) && two_above[j - 2] + 1 < row[j])
				row[j] = two_above[j - 2] + 1;
		}
	}
	return rows[a_bytes % 3][b_bytes];
}

/* Letters that one has more than the other: none of them is nearer. */
static size_t least_distance(size_t bytes, const char *known)
{
	size_t known_bytes = strnlen(known, NEAREST_BYTES);

	return known_bytes > bytes ? known_bytes - bytes : bytes - known_bytes;
}

const char *nearest_of(const char *word, nearest_word_fn *at, const void *words, size_t count)
{
	const char *best = "";
	size_t best_distance = (size_t)-1;
	size_t bytes = strnlen(word, NEAREST_BYTES);

	for (size_t i = 0; i < count; i++) {
		const char *known = at(words, i);
		size_t distance;

		if (known == NULL || least_distance(bytes, known) >= best_distance)
			continue;
		distance = nearest_distance(word, known);
		if (distance < best_distance) {
			best = known;
			best_distance = distance;
		}
	}
	return best;
}
