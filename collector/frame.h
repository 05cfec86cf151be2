/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - the version word to the reader of that wire format: one table.
 *
 * Owner: nobody, constant.
 */
#ifndef COLLECTOR_FRAME_H
#define COLLECTOR_FRAME_H

#include "collector/collector.h"

struct frame {
	uint16_t version;
	const char *source;    /* normalized.source: "netflow5" ... */
	uint16_t header_bytes; /* the least */
	uint16_t set_template; /* set ids; formats with sets only */
	uint16_t set_options;
	bool has_sets;
	enum collector_stat stat; /* messages of this format */
	/*
	 * Reads the header into `m`, whose octets and bytes are the datagram's; it is at least
	 * header_bytes long.  May shorten m->bytes to what the header says, and lengthen
	 * m->header_bytes.  A row of drops.def, or
	 * COLLECTOR_STAT_COUNT when it is sound.
	 */
	enum collector_stat (*read)(struct message *m);
};

/* The row of that version, or NULL. */
const struct frame *frame_find(uint16_t version);

enum collector_stat nf1_read(struct message *m);
enum collector_stat nf5_read(struct message *m);
enum collector_stat nf7_read(struct message *m);
enum collector_stat nf9_read(struct message *m);
enum collector_stat ipfix_read(struct message *m);
enum collector_stat sflow_read(struct message *m);

#define NF1_HEADER_BYTES 16
#define NF1_RECORD_BYTES 48
#define NF1_LONG_RECORD_BYTES 52
#define NF5_HEADER_BYTES 24
#define NF5_RECORD_BYTES 48
#define NF7_HEADER_BYTES 24
#define NF7_RECORD_BYTES 52
#define NF9_HEADER_BYTES 20
#define IPFIX_HEADER_BYTES 16
#define SFLOW_HEADER_BYTES 28 /* with an agent address of IPv4; else 12 more */
#define SET_HEADER_BYTES 4

#endif
