/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.h - datagrams from a capture file, or messages of an IPFIX file, as if they came from the network.
 *
 * Reads pcap and pcapng as a stream with bounded memory, takes frames apart, puts IP fragments
 * together, and calls `fn` for the payload of every UDP datagram, whatever its port, with the
 * source address as peer and the time of capture as receive_ms.
 *
 *	capture --> packet --> reassembly --> fn
 *	frames	    UDP/IP     fragments
 *
 * Every datagram found counts one in UNITS_REPLAY and ends either in `fn` or in one reason of
 * units_refused: fragment (never became whole), checksum (its lengths are wrong) or cut (the capture
 * does not hold all of it).  REPLAY_FRAMES counts frames, REPLAY_SKIPPED those without UDP.
 *
 * An IPFIX file (RFC 5655) is told by its first octets: its messages come from the exporter of `conf`, else from 0.0.0.0, as
 * on a stream, with their export time as receive_ms.  What of it is no message is skipped, said, and counted as garbage.  Each of
 * these files may be packed by gzip or zstd.
 *
 * Owner: the caller; one call, one file.  Lifetime: the call.
 */
#ifndef COLLECTOR_REPLAY_H
#define COLLECTOR_REPLAY_H

#include "base/addr.h"
#include "base/err.h"
#include "base/stat.h"
#include "base/why.h"
#include "collector/unit.h"

struct replay_conf {
	struct addr exporter;	      /* instead of the source address; bytes 0: none */
	const struct stat_flag *stop; /* NULL, or looked at before each frame */
};

/*
 * ERR_CLOSED when stopped.  Any other error says in `why` what is wrong and at which octet of the
 * file; what was read before has been given to `fn` and counted.  `conf` may be NULL.
 */
enum err replay_run(const char *file, const struct replay_conf *conf, unit_fn *fn, void *ctx,
		    struct stat_set *stat, struct why *why);

/* The same from an open descriptor, which may be a pipe; `name` is for messages. */
enum err replay_fd(int fd, const char *name, const struct replay_conf *conf, unit_fn *fn, void *ctx,
		   struct stat_set *stat, struct why *why);

#endif
