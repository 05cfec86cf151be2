/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_scan.h - reads one segment, octet by hostile octet.
 *
 *	log_scan_open(&s, dir_fd, name)
 *	log_scan_next(&s, &frame) ...		ERR_OK, a frame of records
 *						ERR_CLOSED, nothing sound follows here
 *						ERR_IO, errno says why; ERR_NOMEM
 *	log_scan_resync(&s, lsn_min)		moves on to the next sound frame, over what is none
 *	log_scan_close(&s)
 *
 * A frame of schema LOG_FRAME_SETTLED has no records: `lsn` tells its end.  Frames of names are taken in
 * on the way; log_scan_name() answers from them.  What log_scan_next()
 * gives lives until its next call.
 *
 * Owner: one thread.
 */
#ifndef SINK_LOG_SCAN_H
#define SINK_LOG_SCAN_H

#include "sink/log.h"
#include "sink/log_format.h"

struct log_scan_name {
	uint32_t number;
	uint32_t bytes;
	char *text; /* ours */
	uint32_t hub_number;
};

struct log_scan_names {
	struct log_scan_name *list; /* by number */
	size_t count;
	size_t room;
};

struct log_scan {
	int fd; /* -1: not open */
	uint64_t bytes;
	struct log_segment_head head;
	bool is_rebuilt;   /* the head was not sound: this one is made from the first frame */
	uint64_t at;	   /* of the next frame */
	uint64_t frame_at; /* of the one given last */
	uint64_t lsn;	   /* one past the last record given, or passed over */
	uint8_t *stored;
	size_t stored_room;
	uint8_t *plain;
	size_t plain_room;
	struct log_scan_names names[LOG_NAME_KINDS];
	struct log_hub *hub; /* NULL: names are not looked up */
};

/* ERR_FORMAT: no segment; ERR_UNSUPPORTED: of a later version; ERR_IO with errno.  Nothing to close then.
 * With a hub, names get their numbers there, and records come with these. */
enum err log_scan_open(struct log_scan *s, int dir_fd, const char *name, struct log_hub *hub);
void log_scan_close(struct log_scan *s);
enum err log_scan_next(struct log_scan *s, struct log_frame *out);
/* From `at` on, in steps of 8, to the next sound frame; false, and `at` at the end, when there is none. */
bool log_scan_resync(struct log_scan *s);
/* The name, NULL when no frame so far had it. */
const struct log_scan_name *log_scan_name(const struct log_scan *s, enum log_name_kind kind,
					  uint32_t number);

/* CRC32C of a frame with this head, and body as stored. */
uint32_t log_frame_crc(const struct log_frame_head *head, const uint8_t *body);
/* CRC32C of all of the head but its crc. */
uint32_t log_segment_crc(const struct log_segment_head *head);

#endif
