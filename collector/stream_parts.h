/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_parts.h - what stream.c (listeners) and stream_worker.c (connections) know of each other.
 *
 * Owner: a worker's thread, but for what is under the group's lock.  Lifetime: process; a connection, until it is closed.
 */
#ifndef COLLECTOR_STREAM_PARTS_H
#define COLLECTOR_STREAM_PARTS_H

#include <pthread.h>

#include "base/htab.h"
#include "collector/framer.h"
#include "collector/stream.h"

/* Of all listeners, so that a descriptor on its way to its worker is never behind a change of them. */
#define STREAM_ACCEPTOR 0u

struct stream_listener {
	bool is_used;
	struct stream_listen listen; /* as it was asked for */
	int fd;
	uint32_t id; /* never the same again */
	struct stream_status shown;
};

/* Connections of one address. */
struct stream_peer {
	struct addr address;
	uint32_t count;
};

struct stream_conn {
	const struct stream_ops *ops;
	int fd;
	uint32_t listener; /* its id */
	struct origin origin;
	struct framer framer;
	bool has_header;	  /* one was whole */
	uint32_t malformed_count; /* messages in a row */
	int64_t opened_ms;	  /* monotonic, as the others; later while the log was high */
	int64_t began_ms;	  /* the message that is not whole */
	int64_t last_ms;	  /* octets came */
	struct stream_peer *peer;
	struct stream_conn *before;
	struct stream_conn *behind;
};

struct stream_worker {
	struct stream_group *group;
	unsigned number;
	struct stat_set *stat;
	struct stream_limits limits;
	int epoll_fd;
	int wake_fd;
	bool is_shut;
	bool is_out_of_room; /* for descriptors: listeners are not looked at until the next tick */
	uint32_t last_stream;
	uint32_t count;
	struct stream_conn *first;
	struct htab *peers;
	uint8_t *space;		   /* octets of the connection at hand */
	struct stream_conn *inbox; /* under the group's lock: accepted, the owner's to take */
};

struct stream_group {
	unsigned worker_count;
	struct stream_worker *workers;
	pthread_mutex_t lock;
	uint32_t count; /* under the lock: connections of all workers */
	uint32_t room;	/* that there are descriptors for */
	uint32_t last_listener;
	struct stream_listener listeners[STREAM_LISTENS_MAX];
	size_t entries[STREAM_LISTENS_MAX]; /* listeners in the order of `listen` */
	size_t entry_count;
};

/* A worker of zeroes with its descriptors -1 may be passed to fini. */
enum err stream_worker_init(struct stream_worker *w, const struct stream_limits *limits);
void stream_worker_fini(struct stream_worker *w);
/* On the acceptor's thread. */
enum err stream_worker_watch(struct stream_worker *w, size_t listener);
void stream_worker_unwatch(struct stream_worker *w, size_t listener);
/* Closes connections that the listener of that id took. */
void stream_worker_leave(struct stream_worker *w, uint32_t listener,
			 const struct stream_calls *calls);

#endif
