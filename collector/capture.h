/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h - the frames of a capture file, one after another, in bounded memory.
 *
 *	capture_open(fd, name, &c);
 *	while (capture_next(c, &frame, &why) == ERR_OK)
 *		...				  frame.octets hold until the next call
 *	capture_close(c);
 *
 * Reads pcap (both octet orders, micro- and nanoseconds) and pcapng (several sections, both orders)
 * forwards only, from a file or a pipe, packed or not (unpack.h).  pcap.c and pcapng.c know the formats; the functions
 * below the line are theirs, and ipfix_file.c's, which reads messages that lie in no frames.
 *
 *	file  ....[ page: passed | from ... to | room ]....
 *
 * Octets of a packed file are counted as unpacked.
 *
 * Owner: one caller.  Lifetime: one file; the descriptor stays the caller's.
 */
#ifndef COLLECTOR_CAPTURE_H
#define COLLECTOR_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rd.h"
#include "base/why.h"
#include "collector/unpack.h"

#define CAPTURE_FRAME_MAX 262144u /* octets held of a frame: what tcpdump and Wireshark allow */
#define CAPTURE_BLOCK_MAX                                                                          \
	(2 * CAPTURE_FRAME_MAX) /* a pcapng block with its options, if we read it */
#define CAPTURE_INTERFACES_MAX 4096u

struct capture_frame {
	const uint8_t *octets;
	uint32_t bytes;	    /* held in the file; the frame itself may have been longer */
	uint32_t link_type; /* LINKTYPE_* of the tcpdump registry */
	int64_t time_ms;    /* UTC */
};

struct capture;

enum err capture_open(int fd, const char *name, struct capture **out);
void capture_close(struct capture *c);

/* ERR_ABSENT at the end of the file; another error says what is wrong, and where, in `why`. */
enum err capture_next(struct capture *c, struct capture_frame *frame, struct why *why);

/* ------------------------------------------------------------------------------------------- */

/* One interface of a pcapng section; a pcap file is one interface. */
struct capture_interface {
	uint32_t link_type;
	uint32_t snap_bytes; /* 0: no limit */
	uint8_t resolution;  /* if_tsresol: 10^-n seconds, or 2^-n with the top bit */
	int64_t offset_s;    /* if_tsoffset */
};

struct capture {
	struct unpack *in;
	const char *name;
	uint8_t *page;
	size_t from; /* what is not passed yet: page[from] to page[to] */
	size_t to;
	uint64_t offset; /* of page[from] in the file */
	bool has_failed; /* to be read */
	bool is_little;	 /* octet order of the file or section */
	enum err (*next)(struct capture *c, struct capture_frame *frame, struct why *why);
	int64_t last_ms; /* time of the last frame that had one */
	struct capture_interface *interfaces;
	size_t interface_count;
	size_t interfaces_room;
};

/* The next `bytes` octets (a page at most), or NULL when the file has not so many. */
const uint8_t *capture_peek(struct capture *c, size_t bytes);
/* Goes on by what was peeked. */
void capture_pass(struct capture *c, size_t bytes);
/* Goes on by any number of octets. */
enum err capture_skip(struct capture *c, uint64_t bytes, struct why *why);
/* Is this the end: nothing left, and no error of the system's. */
bool capture_is_end(struct capture *c);
/* The failure at octet `offset`; what the system said goes first. */
enum err capture_fail(const struct capture *c, enum err e, uint64_t offset, const char *text,
		      struct why *why);

/* Numbers in the file's octet order. */
uint16_t capture_u16(const struct capture *c, struct rd *r);
uint32_t capture_u32(const struct capture *c, struct rd *r);

/* A time stamp of an interface in milliseconds since 1970, kept within years 1970 to 9999. */
int64_t capture_time_ms(const struct capture_interface *i, uint64_t stamp);
enum err capture_add_interface(struct capture *c, const struct capture_interface *i);

/* Reads the head of the file and sets `next`; ERR_ABSENT when it is another format. */
enum err pcap_start(struct capture *c, struct why *why);
enum err pcapng_start(struct capture *c, struct why *why);

#endif
