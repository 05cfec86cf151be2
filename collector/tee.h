/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tee.h - received datagrams go on, unchanged, to other collectors.
 *
 *	tee_new(&conf, worker_count, &tee, &why)	names resolved, sockets opened
 *	tee_find_loop(tee, listens, count, &why)	is one of the targets ourselves?
 *	udp_worker_tee(w, tee_worker(tee, i, stat))	from now on the worker forwards
 *	  tee_add(tw, ...); tee_flush(tw)		for each batch that it received
 *	tee_free(tee)					when no worker has it any more
 *
 *	batch --> target 0 --> [ raw socket: the exporter's address, packets by tee_wire ]
 *	      --> target 1 --> [ UDP socket: ours ]
 *
 * Sending never waits: what the kernel does not take at once is counted, by target and in all
 * (tee_dropped).  tee_units = tee_forwarded + tee_dropped.  The address of the exporter needs CAP_NET_RAW
 * and a target of the same family; otherwise a datagram leaves from an address of ours.
 *
 * Owner: the control thread; a tee_worker is its worker's while that has it.  Lifetime: generation.
 */
#ifndef COLLECTOR_TEE_H
#define COLLECTOR_TEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/stat.h"
#include "base/why.h"
#include "collector/udp.h"

#define TEE_TARGETS_MAX 16u
#define TEE_HOST_BYTES 256u
#define TEE_PLACE_BYTES (TEE_HOST_BYTES + 10)

struct tee_network {
	struct addr net;
	unsigned prefix_bits;
};

struct tee_target {
	const char *to;			/* "host:port", "[address]:port" */
	bool wants_own;			/* our address, not the exporter's */
	const struct tee_network *from; /* exporters whose datagrams it gets; none: all */
	size_t from_count;
};

struct tee_status {
	char to[TEE_PLACE_BYTES];
	struct addr address; /* bytes 0: the name has none */
	uint16_t port;
	bool is_original;    /* exporters' addresses are kept */
	const char *why_own; /* why not, or NULL */
	bool is_loop;
	uint64_t units;
	uint64_t forwarded;
	uint64_t refused;
	uint64_t full;
	uint64_t error;
	uint64_t unreachable;
	uint64_t loop;
};

struct tee;
struct tee_worker;

/* "host:port" in its parts; ERR_CONF. */
enum err tee_split(const char *to, char host[TEE_HOST_BYTES], uint16_t *port, struct why *why);

/* Waits for the resolver.  A name without an address is no failure: its datagrams are unreachable. */
enum err tee_new(const struct tee_target *targets, size_t count, unsigned worker_count,
		 struct tee **out, struct why *why);
void tee_free(struct tee *t);

/* ERR_CONF when a target is one of the listeners.  Targets are marked, and get nothing while they are. */
enum err tee_find_loop(struct tee *t, const struct udp_listen *listens, size_t count,
		       struct why *why);

/* Goes on with the counts that `before`, which no worker has any more, has of targets of the same text. */
void tee_inherit(struct tee *t, const struct tee *before);

size_t tee_describe(const struct tee *t, struct tee_status *rows, size_t room);

/* `stat` is of collector_stat_descs, the worker's. */
struct tee_worker *tee_worker(struct tee *t, unsigned worker, struct stat_set *stat);

/* The octets must stay until the flush; at most UDP_BATCH_MAX. */
void tee_add(struct tee_worker *w, const uint8_t *octets, size_t bytes, const struct addr *peer,
	     uint16_t port, bool is_truncated);
void tee_flush(struct tee_worker *w);

#endif
