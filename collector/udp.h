/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp.h - datagrams from the network: one group of sockets for all workers.
 *
 *	udp_group_open(&conf, stats, &group, &why);	 binds everything, or nothing
 *	w = udp_group_worker(group, i);			 for each worker thread
 *	udp_worker_receive(w, timeout_ms, fn, ctx);	 again and again, on that thread
 *	udp_worker_wake(w);				 from any thread: the call above returns
 *	udp_worker_shut(w);				 at the end: the kernel takes nothing more
 *	udp_worker_drain(w, datagrams_max, fn, ctx);	 what it still holds
 *	udp_worker_finish(w);				 what is left is counted, as late as possible
 *	udp_group_close(group);				 when all workers have ended
 *
 * While workers run, the entries of `listen` may change; an entry that stays as it is keeps its sockets:
 *
 *	udp_change_open(group, listens, count, &c, &why);	 new sockets, or none and why
 *	udp_change_begin(c, i);			 on each worker's thread: they are read; if not: udp_change_undo(c)
 *	udp_change_end(c, i, fn, ctx);		 on each: those that go are emptied and closed
 *	udp_change_close(c);
 *
 * Each worker has one socket for each entry of `listen`.  The kernel chooses among them by a mix of
 * the source address, as udp_owner() does, so that one exporter address is one worker's:
 *
 *	 exporter --> [ kernel: mix(address) % workers ] --> socket of worker i --> fn
 *	 stray    --> socket of worker k --> hand-over store of worker i        --> fn
 *
 * A datagram that comes to another worker (multicast, or while sockets are being bound) is handed to
 * its owner through a bounded store.  Counted here: UNITS_UDP, OCTETS, RESTEERED, KERNEL_DROPS,
 * STOPPING_DROPS, UNIT_TRUNCATED, UNIT_HANDOVER and UNIT_SHUTDOWN, each in the stat set of the worker that received.
 *
 * Owner: the group is the main thread's, a worker its thread's.  Lifetime: process.
 */
#ifndef COLLECTOR_UDP_H
#define COLLECTOR_UDP_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/stat.h"
#include "base/why.h"
#include "collector/unit.h"

#define UDP_WORKERS_MAX 256u
#define UDP_LISTENS_MAX 256u
#define UDP_BATCH_DEFAULT 64u
#define UDP_BATCH_MAX 1024u
#define UDP_DATAGRAM_MAX 65535u
#define UDP_HANDOVER_DEFAULT (1u << 20)

/* A multicast group to join. */
struct udp_multicast {
	struct addr group;
	char interface[IF_NAMESIZE]; /* "": the entry's, or the one that routes say */
};

/* One entry of the option `listen` with transport "udp". */
struct udp_listen {
	struct addr address;   /* bytes 0: every address, IPv4 and IPv6 */
	uint16_t port;	       /* 0: any free one */
	const char *interface; /* NULL or "": any */
	uint32_t rcvbuf;       /* octets of each worker's socket; 0: the kernel's default */
	bool v6only;	       /* no IPv4 on an IPv6 socket */
	const struct udp_multicast *multicast;
	size_t multicast_count;
};

struct udp_conf {
	const struct udp_listen *listens;
	size_t listen_count;
	unsigned worker_count;
	unsigned batch_count;	 /* datagrams a call; 0: UDP_BATCH_DEFAULT */
	uint32_t datagram_max;	 /* octets; 0: UDP_DATAGRAM_MAX */
	uint32_t handover_bytes; /* of each worker's store; 0: UDP_HANDOVER_DEFAULT */
};

/* One socket as it is now, for status. */
struct udp_status {
	struct addr address; /* :: or 0.0.0.0 for every address */
	uint16_t port;
	char interface[IF_NAMESIZE];
	unsigned worker;
	bool is_dual;	       /* IPv6 socket that takes IPv4 too */
	uint32_t rcvbuf_asked; /* octets; 0: not asked */
	uint32_t rcvbuf;       /* what the kernel gave */
	uint32_t queued;       /* of it in use now */
	uint64_t kernel_drops; /* as of the last look, about a second ago */
};

struct udp_group;
struct udp_worker;
struct udp_change;
struct tee_worker;

/* `stats` has one set for each worker, of collector_stat_descs.  All or nothing. */
enum err udp_group_open(const struct udp_conf *conf, struct stat_set *const *stats,
			struct udp_group **out, struct why *why);
/* No thread may be in a call any more.  What lies in hand-over stores is counted as lost. */
void udp_group_close(struct udp_group *g);

struct udp_worker *udp_group_worker(struct udp_group *g, unsigned worker);

/* Fills at most `room` rows, by listen entry and worker; returns how many there are.  The thread that
 * changes entries. */
size_t udp_group_describe(const struct udp_group *g, struct udp_status *rows, size_t room);

/*
 * Waits until there are datagrams, somebody wakes the worker or timeout_ms is over (-1: no limit),
 * and calls `fn` for at most a batch of each socket.  Returns the number of calls.
 */
size_t udp_worker_receive(struct udp_worker *w, int timeout_ms, unit_fn *fn, void *ctx);

/* Without waiting: until nothing is queued, or datagrams_max were taken.  Returns how many were taken,
 * strays among them; 0: nothing is queued.  Strays of a worker that drains later need another call. */
size_t udp_worker_drain(struct udp_worker *w, size_t datagrams_max, unit_fn *fn, void *ctx);

/*
 * Has the kernel drop, and count for us, what comes from now on; its queue stays.  Sockets stay open, so that
 * exporters see no error.  When it cannot be, the queue goes on to fill, and udp_worker_finish() empties it.
 */
void udp_worker_shut(struct udp_worker *w);

/* The last word, when no other worker runs: what is still queued or in the hand-over store is counted as
 * refused, and a last look is taken at drops.  May be called again. */
void udp_worker_finish(struct udp_worker *w);

/*
 * Opens what `listens` has and the group has not; what the group has and `listens` not will go.  An entry whose address
 * one holds that will go opens beside it.  All or nothing, and nothing is read yet.
 */
enum err udp_change_open(struct udp_group *g, const struct udp_listen *listens, size_t count,
			 struct udp_change **out, struct why *why);
enum err udp_change_begin(struct udp_change *c, unsigned worker);
/* From here on udp_change_end() closes what was opened, and what was there stays. */
void udp_change_undo(struct udp_change *c);
/* What the sockets still hold goes to `fn`, and counts LISTEN_CLOSED_READ. */
void udp_change_end(struct udp_change *c, unsigned worker, unit_fn *fn, void *ctx);
void udp_change_close(struct udp_change *c);

/* Forwards from now on what this worker takes from its sockets (tee.h); NULL: no more. */
void udp_worker_tee(struct udp_worker *w, struct tee_worker *tee);

/* udp_worker_receive() also returns when that descriptor is readable, as long as it is minded. */
enum err udp_worker_mind(struct udp_worker *w, int fd, bool is_minded);
/* Was it, at the last call? */
bool udp_worker_is_other_ready(const struct udp_worker *w);

/* Any thread, also from a signal handler. */
void udp_worker_wake(struct udp_worker *w);

/* The worker that an exporter's datagrams belong to. */
unsigned udp_owner(const struct addr *peer, unsigned worker_count);

#endif
