/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_cursor_slot.h - one slot of a cursor's file, between log_cursor.c and log_cursor_slot.c.
 *
 *	log_slots_read(c, fd)	the newer sound slot: c->sequence, c->slot, c->text
 *	log_slot_take(c)	from c->text: places and route into c, c->counters
 */
#ifndef SINK_LOG_CURSOR_SLOT_H
#define SINK_LOG_CURSOR_SLOT_H

#include "sink/log_parts.h"

#define LOG_SLOT_BYTES (64u << 10)
#define LOG_SLOTS 2
#define LOG_SLOT_LINE_BYTES 200
#define LOG_SLOT_PLACE "log"
#define LOG_SLOT_ROUTE "route"
#define LOG_SLOT_COUNTERS "counters"

struct log_slot_head {
	uint8_t magic[8];
	uint32_t version;
	uint32_t crc; /* CRC32C of all the rest, text included */
	uint64_t sequence;
	uint32_t bytes; /* of the text */
	uint32_t reserved;
};
_Static_assert(sizeof(struct log_slot_head) == 32, "the slot head is a format");
#define LOG_SLOT_MAGIC "SluiceCu"
#define LOG_SLOT_TEXT_MAX (LOG_SLOT_BYTES - sizeof(struct log_slot_head))
#define LOG_SLOT_PLACES_MAX (LOG_SLOT_TEXT_MAX - (LOG_COUNTS_MAX + 2) * LOG_SLOT_LINE_BYTES)

uint32_t log_slot_crc(const struct log_slot_head *h, const char *text);
/* ERR_UNSUPPORTED: of a later version.  ERR_NOMEM.  c->is_damaged: none is sound, and the file is not empty. */
enum err log_slots_read(struct log_cursor *c, int fd);
void log_slot_take(struct log_cursor *c);
/* The log's place in the snapshot, added when it is not there; NULL when there are too many. */
struct log_place *log_snapshot_place(struct log_snapshot *s, unsigned worker);

#endif
