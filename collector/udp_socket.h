/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_socket.h - the sockets of one entry of `listen`, one for each worker.
 *
 * An absent address is one IPv6 socket that takes IPv4 too, and an IPv4 socket on a machine without
 * IPv6.  With several workers the sockets share the port (SO_REUSEPORT) and a steering program; a
 * trial bind without sharing comes first, so that a second program on our port is an error
 * and not a thief of half the traffic.
 *
 * Owner: udp.c.
 */
#ifndef COLLECTOR_UDP_SOCKET_H
#define COLLECTOR_UDP_SOCKET_H

#include "collector/udp.h"

/*
 * What else of ours holds the address for now, and shares it (SO_REUSEPORT).  The kernel numbers sockets of one
 * address; when the first of them is closed, the last one takes its number.  So those that will stay are
 * opened last worker first: as those before them are closed, first worker first, each gets its own.
 */
enum udp_beside { UDP_BESIDE_NONE, UDP_BESIDE_OTHER, UDP_BESIDE_SAME };

/*
 * Opens all or none.  `fds` has room for worker_count; `shown` gets address, port, interface,
 * is_dual and buffer sizes as they came out.
 */
enum err udp_socket_open_all(const struct udp_listen *listen, unsigned worker_count,
			     enum udp_beside beside, int *fds, struct udp_status *shown,
			     struct why *why);

#endif
