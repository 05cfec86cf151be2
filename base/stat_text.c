/* SPDX-License-Identifier: Apache-2.0 */
#include "base/stat_text.h"

#include <stdbool.h>
#include <string.h>

#include "base/must.h"
#include "base/text.h"

#define NO_REASON "-"

struct word {
	const char *text;
	size_t bytes;
};

struct line {
	struct word name;
	struct word reason; /* empty: none */
	uint64_t value;
};

static const char *reason_of(const struct stat_desc *desc)
{
	return desc->reason[0] == '\0' ? NO_REASON : desc->reason;
}

void stat_text_write(const struct stat_table *table, struct wr *w)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct stat_desc *desc = &table->descs[i];
		uint8_t digits[TEXT_MAX];
		const uint8_t *end;

		if (desc->is_level)
			continue;
		end = text_put_u64(digits, table->values[i]);
		wr_bytes(w, desc->name, strlen(desc->name));
		wr_bytes(w, " ", 1);
		wr_bytes(w, reason_of(desc), strlen(reason_of(desc)));
		wr_bytes(w, " ", 1);
		wr_bytes(w, digits, (size_t)(end - digits));
		wr_bytes(w, "\n", 1);
	}
}

static bool is_word_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* A name or reason and the blank behind it. */
static bool read_word(const char **at, const char *end, struct word *out)
{
	const char *p = *at;

	while (p < end && is_word_octet(*p))
		p++;
	out->text = *at;
	out->bytes = (size_t)(p - *at);
	if (out->bytes == 0 || out->bytes > STAT_TEXT_WORD_MAX || p == end || *p != ' ')
		return false;
	*at = p + 1;
	return true;
}

static bool read_reason(const char **at, const char *end, struct word *out)
{
	if (end - *at < 2 || (*at)[0] != NO_REASON[0])
		return read_word(at, end, out);
	out->text = *at;
	out->bytes = 0;
	if ((*at)[1] != ' ')
		return false;
	*at += 2;
	return true;
}

/* Digits up to the end, and nothing else. */
static bool read_value(const char *at, const char *end, uint64_t *out)
{
	uint64_t v = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		uint64_t digit = (uint64_t)((unsigned char)*at - '0');

		if (digit > 9 || v > (STAT_TEXT_VALUE_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

static bool read_line(const char *at, const char *end, struct line *out)
{
	return read_word(&at, end, &out->name) && read_reason(&at, end, &out->reason) &&
	       read_value(at, end, &out->value);
}

static bool is_text(const struct word *w, const char *text)
{
	return strlen(text) == w->bytes && memcmp(text, w->text, w->bytes) == 0;
}

static bool put_value(const struct line *line, const struct stat_table *tables, size_t table_count)
{
	for (size_t t = 0; t < table_count; t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			const struct stat_desc *desc = &tables[t].descs[i];

			if (desc->is_level || !is_text(&line->name, desc->name) ||
			    !is_text(&line->reason, desc->reason))
				continue;
			tables[t].values[i] = line->value;
			return true;
		}
	}
	return false;
}

static enum err check_lines(const char *text, size_t bytes, struct why *why)
{
	const char *end = text + bytes;
	size_t number = 0;
	struct line line;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		number++;
		if (stop == NULL || !read_line(text, stop, &line))
			return why_set(
				why, ERR_FORMAT,
				"line %zu of the counters is not a name, a reason and a number",
				number);
		text = stop + 1;
	}
	return ERR_OK;
}

enum err stat_text_read(const char *text, size_t bytes, const struct stat_table *tables,
			size_t table_count, struct stat_text_counts *counts, struct why *why)
{
	const char *end = text + bytes;
	struct stat_text_counts seen = { 0, 0 };
	struct line line;

	TRY(check_lines(text, bytes, why));
	for (size_t t = 0; t < table_count; t++)
		memset(tables[t].values, 0, tables[t].count * sizeof(*tables[t].values));
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		must(stop != NULL);
		must(read_line(text, stop, &line));
		if (put_value(&line, tables, table_count))
			seen.taken++;
		else
			seen.unknown++;
		text = stop + 1;
	}
	if (counts != NULL)
		*counts = seen;
	return ERR_OK;
}
