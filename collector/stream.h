/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - messages from connections: one group of listeners and connections for all workers.
 *
 *	stream_group_open(&conf, stats, &group, &why)	everything listens, or nothing
 *	w = stream_group_worker(group, i)		for each worker thread
 *	stream_worker_fd(w)				becomes readable when there is something to do
 *	stream_worker_receive(w, &calls)		does it, within bounds, and does not wait
 *	stream_worker_tick(w, &calls, mono_ms)		about once a second: timeouts
 *	stream_worker_drain(w, &calls, stop_by_ms)	at the end: nobody may connect, what is here is read, all is closed
 *	stream_group_close(group)
 *
 * While workers run the entries of `listen` may change, as in udp.h: stream_change_open(), and then on each worker's thread
 * stream_change_apply(), at last stream_change_close(); or stream_change_close() alone, and all is as it was.
 *
 * A listener is read by one worker; who connects is handed to the worker that owns his address, as his datagrams are:
 *
 *	exporter --> [ listener ] --> worker k --(descriptor)--> worker i --> framer --> calls->message
 *
 * What a kind of connection does otherwise than the others is in its struct stream_ops, one file each (tcp.c): nothing
 * else knows the difference.  When the log is high (calls->is_high) nothing is read and nobody accepted; the exporter's own
 * socket fills, and he waits.  No time runs out meanwhile.
 *
 * Counted here: UNITS_STREAM, OCTETS, CONNECTIONS, and the tables connections_closed and connections_refused.
 *
 * Owner: the group is the main thread's, a worker its thread's; what is under the group's lock, everybody's.
 * Lifetime: process.
 */
#ifndef COLLECTOR_STREAM_H
#define COLLECTOR_STREAM_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/stat.h"
#include "base/why.h"
#include "collector/collector.h"

#define STREAM_LISTENS_MAX 64u

struct stream_listen;

/* A kind of connection. */
struct stream_ops {
	const char *name;
	enum transport transport;
	/* A descriptor that listens; `port` gets the one that came out, `address` what it was bound to. */
	enum err (*listen)(const struct stream_listen *l, int *fd, struct addr *address,
			   uint16_t *port, struct why *why);
	/* Octets that came, at most `room`: 0 when there are none now, or -1 with the row of connections_closed. */
	ssize_t (*receive)(int fd, uint8_t *octets, size_t room, enum collector_stat *why);
};

extern const struct stream_ops tcp_ops;

/* One entry of the option `listen` whose transport is a stream. */
struct stream_listen {
	const struct stream_ops *ops;
	struct addr address; /* bytes 0: every address, IPv4 and IPv6 */
	uint16_t port;	     /* 0: any free one */
	char interface[IF_NAMESIZE];
	bool v6only;
};

struct stream_limits {
	uint32_t connections_max; /* of all workers */
	uint32_t address_max;	  /* of one address */
	uint32_t header_s;    /* from the begin to the first whole header; 0: any time, as below */
	uint32_t message_s;   /* from a message's first octet to its last */
	uint32_t idle_s;      /* without an octet between two messages */
	uint32_t keepalive_s; /* of silence, until the kernel asks whether the peer is there */
};

/* What a worker's connections call. */
struct stream_calls {
	void *ctx;
	/* False: it was malformed. */
	bool (*message)(void *ctx, const uint8_t *octets, size_t bytes,
			const struct origin *origin);
	/* May he connect? */
	bool (*hears)(void *ctx, const struct addr *peer, uint16_t port);
	/* The connection is gone, and its sessions may go. */
	void (*ended)(void *ctx, uint32_t stream);
	bool (*is_high)(void *ctx);
};

struct stream_conf {
	const struct stream_listen *listens;
	size_t listen_count;
	unsigned worker_count;
	struct stream_limits limits;
};

/* A listener as it is now, for status. */
struct stream_status {
	const struct stream_ops *ops;
	struct addr address;
	uint16_t port;
	char interface[IF_NAMESIZE];
	unsigned worker; /* that accepts */
	bool is_dual;
};

struct stream_group;
struct stream_worker;
struct stream_change;

/* `stats` has one set for each worker, of collector_stat_descs.  All or nothing. */
enum err stream_group_open(const struct stream_conf *conf, struct stat_set *const *stats,
			   struct stream_group **out, struct why *why);
/* No thread may be in a call any more; connections that are left are closed. */
void stream_group_close(struct stream_group *g);
struct stream_worker *stream_group_worker(struct stream_group *g, unsigned worker);
/* Fills at most `room` rows, by listen entry; returns how many there are.  The thread that changes entries. */
size_t stream_group_describe(const struct stream_group *g, struct stream_status *rows, size_t room);

int stream_worker_fd(const struct stream_worker *w);
/* What came of it: nothing was there, some was taken, or more is there already. */
enum stream_turn { STREAM_NOTHING, STREAM_SOME, STREAM_MORE };
enum stream_turn stream_worker_receive(struct stream_worker *w, const struct stream_calls *calls);
void stream_worker_tick(struct stream_worker *w, const struct stream_calls *calls, int64_t mono_ms);
/* Of a new generation. */
void stream_worker_limit(struct stream_worker *w, const struct stream_limits *limits);
void stream_worker_drain(struct stream_worker *w, const struct stream_calls *calls,
			 int64_t stop_by_ms);
uint32_t stream_worker_count(const struct stream_worker *w);

/* Listens on what `listens` has and the group has not; nothing is accepted there yet.  All or nothing. */
enum err stream_change_open(struct stream_group *g, const struct stream_listen *listens,
			    size_t count, struct stream_change **out, struct why *why);
/* On the worker's thread: from here on the change holds for it.  Connections by entries that went are closed. */
void stream_change_apply(struct stream_change *c, unsigned worker,
			 const struct stream_calls *calls);
/* After all workers applied it, or none did: then what was opened is closed again. */
void stream_change_close(struct stream_change *c);

#endif
