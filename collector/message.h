/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - one message of an exporter, as the rest of the house sees it.
 *
 * A transport gives octets and their struct origin; a frame reader fills struct message from the
 * header; the data records of a set follow as struct record, in place in the datagram.
 *
 * Owner: the worker that received it.  Lifetime: batch (the call that hands it on); nothing of it
 * may be kept without a copy.
 */
#ifndef COLLECTOR_MESSAGE_H
#define COLLECTOR_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* Values of the version word; also raw.protocol_version. */
#define VERSION_NF1 1
#define VERSION_NF5 5
#define VERSION_NF7 7
#define VERSION_NF8 8 /* aggregates: known, not read */
#define VERSION_NF9 9
#define VERSION_IPFIX 10
#define VERSION_SFLOW5 105 /* ours: its version word has 4 octets, of which two are 0 */

/* REPLAY: UDP datagrams of a capture; FILE: an IPFIX file.  Numbers are on disk: append only. */
enum transport { TRANSPORT_UDP, TRANSPORT_REPLAY, TRANSPORT_FILE, TRANSPORT_TCP, TRANSPORT_COUNT };

struct origin {
	struct addr peer; /* IPv4-mapped made IPv4 */
	uint16_t port;	  /* of the peer */
	uint16_t local_port;
	enum transport transport;
	uint32_t stream; /* the connection's number with its worker; 0: it is none */
	int64_t receive_ms; /* UTC; for a capture file, the capture's time, for an IPFIX file the export time */
	/* A set of a message that was here before: it says nothing of sequence, clock or silence. */
	bool is_again;
};

const char *transport_name(enum transport t);

/* Do messages come in the order in which they were sent, and all of them?  Then withdrawals hold (RFC 7011, 8.1). */
static inline bool transport_is_ordered(enum transport t)
{
	return t == TRANSPORT_FILE || t == TRANSPORT_TCP;
}

struct message {
	const uint8_t *octets; /* the whole message, header included */
	uint32_t bytes;	       /* as the header says where it says, else the datagram's */
	uint16_t header_bytes;
	uint16_t version;
	uint32_t sequence;
	bool has_no_sequence; /* v1 */
	bool has_no_domain;   /* v1, v7 */
	uint32_t domain;      /* IPFIX domain, v9 source id, v5 engine type << 8 | id, sub-agent */
	int64_t export_ms;    /* header's export time, UTC */
	uint32_t uptime_ms;   /* sysUpTime of all but IPFIX */
	bool has_uptime;
	bool has_sampling;	    /* v5 header: the two below */
	uint16_t sampling_interval; /* 14 bits; 0 means not sampled */
	uint8_t sampling_mode;	    /* 2 bits */
	const uint8_t *agent;	    /* sFlow: by what address it calls itself; else NULL */
	uint8_t agent_bytes;	    /* 4 or 16 */
	const struct origin *origin;
};

/* The octets of one field of a record, in wire form; absent when octets is NULL. */
struct value {
	const uint8_t *octets;
	uint32_t bytes;
};

/* A data record inside its message. */
struct record {
	const uint8_t *octets;
	/* Of a sample, whose octets are not as a template says: by element (sflow.def); else NULL. */
	const struct value *values;
	uint32_t bytes;
	uint32_t offset; /* of its first octet in the message */
};

#endif
