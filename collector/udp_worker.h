/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_worker.h - what udp.c (opening, closing) and udp_worker.c (receiving) know of a worker.
 *
 * Owner: the worker's thread between udp_group_open() and udp_group_close(), else the main thread;
 * handover and wake_fd are everybody's.
 */
#ifndef COLLECTOR_UDP_WORKER_H
#define COLLECTOR_UDP_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/stat.h"
#include "collector/udp.h"
#include "collector/udp_handover.h"

struct udp_batch;

struct udp_socket {
	int fd;
	uint16_t port;
	bool is_shut;
	uint32_t drops_seen; /* the kernel's counter at the last look */
};

struct udp_worker {
	struct udp_worker *all; /* the group's workers, by number */
	unsigned number;
	unsigned worker_count;
	struct stat_set *stat;
	struct stat_set *drops; /* kernel drops of each socket */
	struct udp_socket *sockets;
	size_t socket_count;
	struct udp_batch *batch;
	int epoll_fd;
	int wake_fd;
	int64_t next_look_ms; /* monotonic */
	struct handover handover;
	bool is_other_ready;	/* what udp_worker_mind() named */
	struct tee_worker *tee; /* NULL: nothing is forwarded */
};

/* A worker of zeroes, with all its descriptors -1, may be passed to fini. */
enum err udp_worker_init(struct udp_worker *w, const struct udp_conf *conf);
/* Has the worker wait for a socket that was opened. */
enum err udp_worker_watch(struct udp_worker *w, size_t socket, int fd, uint16_t port);
void udp_worker_fini(struct udp_worker *w);
/* Empties the socket into `fn` and closes it. */
void udp_worker_unwatch(struct udp_worker *w, size_t socket, unit_fn *fn, void *ctx);

#endif
