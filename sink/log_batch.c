/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "sink/log_parts.h"

/* Payloads are padded, so that every head is aligned. */
static size_t padded(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

enum err log_batch_init(struct log_batch *b, size_t room)
{
	memset(b, 0, sizeof(*b));
	b->octets = malloc(room == 0 ? 1 : room);
	if (b->octets == NULL)
		return ERR_NOMEM;
	b->room = room;
	return ERR_OK;
}

void log_batch_fini(struct log_batch *b)
{
	free(b->octets);
	b->octets = NULL;
	b->room = 0;
	b->bytes = 0;
}

void log_batch_clear(struct log_batch *b)
{
	b->bytes = 0;
	b->record_count = 0;
	b->uses = (struct log_uses){ 0 };
}

static void uses_exporter(struct log_uses *u, uint32_t exporter)
{
	for (uint32_t i = u->exporter_count; i > 0; i--) {
		if (u->exporters[i - 1] == exporter)
			return;
	}
	if (u->exporter_count == LOG_USES_EXPORTERS)
		u->are_many = true;
	else
		u->exporters[u->exporter_count++] = exporter;
}

void log_uses_add(struct log_uses *u, const struct log_uses *more)
{
	u->event_types |= more->event_types;
	u->are_many = u->are_many || more->are_many;
	for (uint32_t i = 0; i < more->exporter_count; i++)
		uses_exporter(u, more->exporters[i]);
}

uint8_t *log_batch_reserve(struct log_batch *b, size_t payload_max)
{
	size_t need;

	if (payload_max > LOG_RECORD_MAX)
		return NULL;
	need = b->bytes + sizeof(struct log_head) + padded(payload_max);
	if (need > b->room) {
		size_t room = 2 * need;
		uint8_t *octets = realloc(b->octets, room);

		if (octets == NULL)
			return NULL;
		b->octets = octets;
		b->room = room;
	}
	return b->octets + b->bytes + sizeof(struct log_head);
}

void log_batch_commit(struct log_batch *b, const struct log_head *head)
{
	size_t stored = sizeof(*head) + padded(head->bytes);
	uint8_t *at = b->octets + b->bytes;

	must(stored <= b->room - b->bytes);
	memcpy(at, head, sizeof(*head));
	memset(at + sizeof(*head) + head->bytes, 0, padded(head->bytes) - head->bytes);
	b->bytes += stored;
	b->record_count++;
	uses_exporter(&b->uses, head->exporter);
	if (head->event_type < LOG_USES_TYPES)
		b->uses.event_types |= 1ull << head->event_type;
	else
		b->uses.are_many = true;
}

bool log_frame_next(const struct log_frame *frame, size_t *at, struct log_record *out)
{
	size_t left = frame->bytes - *at;
	struct log_head head;

	if (left < sizeof(head))
		return false;
	memcpy(&head, frame->body + *at, sizeof(head));
	if (padded(head.bytes) > left - sizeof(head))
		return false;
	out->lsn = *at == 0 ? frame->head.first_lsn : out->lsn + 1;
	out->head = head;
	out->payload = frame->body + *at + sizeof(head);
	*at += sizeof(head) + padded(head.bytes);
	return true;
}
