/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/log_cursor_slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/text.h"

/* The text behind the word, or NULL when the line begins with another. */
static const char *behind(const char *line, const char *word)
{
	size_t bytes = strlen(word);

	return strncmp(line, word, bytes) == 0 && line[bytes] == ' ' ? line + bytes : NULL;
}

static void take_place(struct log_cursor *c, const char *at)
{
	struct log_place p = { 0 };
	struct log_place *place;
	uint64_t worker;

	if (!text_take_u64(&at, &worker) || !text_take_u64(&at, &p.start) ||
	    !text_take_u64(&at, &p.done) || !text_take_u64(&at, &p.oldest) ||
	    !text_take_u64(&at, &p.end) || worker >= LOG_LOGS_MAX || p.start > p.done)
		return;
	p.worker = (unsigned)worker;
	place = log_snapshot_place(&c->published, p.worker);
	if (place != NULL)
		*place = p;
}

static void take_line(struct log_cursor *c, const char *line)
{
	const char *place = behind(line, LOG_SLOT_PLACE);
	const char *route = behind(line, LOG_SLOT_ROUTE);
	uint64_t number;

	if (place != NULL)
		take_place(c, place);
	if (route != NULL && text_take_u64(&route, &number) && number < LOG_ROUTES)
		c->route = (int)number;
}

/* All lines up to the counters, whose text this returns: "" when there are none. */
static const char *take_lines(struct log_cursor *c, const char *text)
{
	char line[LOG_SLOT_LINE_BYTES];

	while (*text != '\0') {
		size_t bytes = strcspn(text, "\n");

		(void)snprintf(line, sizeof(line), "%.*s", (int)bytes, text);
		text += bytes + (text[bytes] == '\n' ? 1 : 0);
		if (strcmp(line, LOG_SLOT_COUNTERS) == 0)
			break;
		take_line(c, line);
	}
	return text;
}

uint32_t log_slot_crc(const struct log_slot_head *h, const char *text)
{
	size_t before = offsetof(struct log_slot_head, crc);
	size_t after = offsetof(struct log_slot_head, sequence);
	uint32_t crc = crc32c(0, h, before);

	crc = crc32c(crc, (const uint8_t *)h + after, sizeof(*h) - after);
	return crc32c(crc, text, h->bytes);
}

/* ERR_FORMAT: the slot is none, or not whole. */
static enum err read_slot(int fd, int slot, struct log_slot_head *h, char *text)
{
	off_t at = (off_t)slot * LOG_SLOT_BYTES;

	if (pread(fd, h, sizeof(*h), at) != (ssize_t)sizeof(*h) ||
	    memcmp(h->magic, LOG_SLOT_MAGIC, sizeof(h->magic)) != 0 || h->bytes > LOG_SLOT_TEXT_MAX)
		return ERR_FORMAT;
	if (pread(fd, text, h->bytes, at + (off_t)sizeof(*h)) != (ssize_t)h->bytes)
		return ERR_FORMAT;
	text[h->bytes] = '\0';
	if (log_slot_crc(h, text) != h->crc)
		return ERR_FORMAT;
	return h->version > LOG_FORMAT_VERSION ? ERR_UNSUPPORTED : ERR_OK;
}

/* The newer sound slot, its text in c->text. */
enum err log_slots_read(struct log_cursor *c, int fd)
{
	char *text = malloc(LOG_SLOT_TEXT_MAX + 1);
	struct log_slot_head h;
	enum err e = text == NULL ? ERR_NOMEM : ERR_OK;
	bool is_found = false;
	bool is_empty = lseek(fd, 0, SEEK_END) == 0;

	for (int slot = 0; e == ERR_OK && slot < LOG_SLOTS; slot++) {
		e = read_slot(fd, slot, &h, text);
		if (e == ERR_OK && (!is_found || h.sequence > c->sequence)) {
			free(c->text);
			c->text = strdup(text);
			c->sequence = h.sequence;
			c->slot = slot;
			is_found = true;
			e = c->text == NULL ? ERR_NOMEM : ERR_OK;
		}
		e = e == ERR_FORMAT ? ERR_OK : e;
	}
	c->is_damaged = e == ERR_OK && !is_found && !is_empty;
	free(text);
	return e;
}

void log_slot_take(struct log_cursor *c)
{
	c->counters = take_lines(c, c->text);
}
