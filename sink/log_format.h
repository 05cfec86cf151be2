/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_format.h - what lies in the directory of a hub.
 *
 *	<dir>/format			"sluice-log 1 <id> <CRC32C of what is before>", in hex
 *	<dir>/lock			held by the process that uses it
 *	<dir>/cursors/<sink>		log_cursor.h
 *	<dir>/<worker>/<first LSN>.seg	20 digits
 *	<dir>/<worker>/spare		room for the next segment
 *	<dir>/<worker>/quarantine/	pieces that could not be read
 *
 *	segment	| head, 4096 octets | frame | frame | ...
 *	frame	| struct log_frame_head | body, padded to 8 |
 *
 * The CRC of a frame is seeded by the epoch of its segment, a random number: what an earlier use of the
 * same room left behind is no frame.  A frame whose schema is LOG_FRAME_NAMES holds no records but the
 * names that frames behind it use, twice in a row so that one piece lost does not cost the segment:
 *
 *	| struct log_name_head | text, padded to 8 | ...
 *
 * A frame whose schema is LOG_FRAME_SETTLED holds none either: the records from its first LSN up to its
 * struct log_settled were never written, since every sink had them, durably, before it was their turn.  It
 * stands before the frame that comes next in the segment, and only there.
 *
 * All integers are little-endian, as on every machine that this runs on.
 */
#ifndef SINK_LOG_FORMAT_H
#define SINK_LOG_FORMAT_H

#include <assert.h>
#include <stdint.h>

#include "sink/log.h"

#define LOG_FORMAT_VERSION 1
#define LOG_SEGMENT_HEAD_BYTES 4096u
#define LOG_SEGMENT_MAGIC "SluiceLg" /* 8 octets */
#define LOG_SEGMENT_SUFFIX ".seg"
#define LOG_SEGMENT_NAME_BYTES 32
#define LOG_SPARE_NAME "spare"
#define LOG_FRAME_VERSION 1
#define LOG_FRAME_NAMES UINT32_MAX
#define LOG_FRAME_SETTLED (UINT32_MAX - 1)
#define LOG_BODY_MAX (64u << 20) /* of one frame: a slice of a message, or one record */
#define LOG_NAME_TEXT_MAX (4u << 20)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

/* Why there are no records between the end of the segment before and the first of this one. */
enum log_hole {
	LOG_HOLE_NONE,
	LOG_HOLE_UNSYNCED, /* they were appended, and lost before they were durable */
	LOG_HOLE_SETTLED,  /* they were not written, and every sink had them */
	LOG_HOLE_COUNT
};

struct log_segment_head {
	uint8_t magic[8];
	uint32_t version;
	uint32_t crc; /* CRC32C of all the rest of this head */
	uint8_t id[LOG_ID_BYTES];
	uint64_t first_lsn;
	uint64_t previous_end; /* one past the last record before it */
	uint64_t sequence;     /* of the log's segments, without a gap */
	int64_t created_ms;    /* UTC */
	uint32_t epoch;
	uint32_t worker;
	uint32_t worker_count; /* that the service had */
	uint32_t hole;	       /* enum log_hole */
	uint64_t settled_lsn;  /* at or above it nothing was passed over before this segment */
};
_Static_assert(sizeof(struct log_segment_head) == 88, "the segment head is a format");

struct log_settled {
	uint64_t end; /* one past the last that was passed over */
};

struct log_name_head {
	uint32_t kind; /* enum log_name_kind */
	uint32_t number;
	uint32_t bytes;
	uint32_t reserved; /* 0 */
};

static inline uint64_t log_padded(uint64_t bytes)
{
	return (bytes + 7) & ~(uint64_t)7;
}

#endif
