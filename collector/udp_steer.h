/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_steer.h - the kernel's half of udp_owner(): the same arithmetic as a classic BPF program.
 *
 *	IPv4, IPv4-mapped	h = address
 *	IPv6			h = ((w0 * K ^ w1) * K ^ w2) * K ^ w3
 *	worker			= finish(h) % workers
 *
 * Owner: udp_socket.c.
 */
#ifndef COLLECTOR_UDP_STEER_H
#define COLLECTOR_UDP_STEER_H

#include "base/err.h"

/* For the first socket of a group, before it is bound: the program then holds for all of them.
 * ERR_IO, with errno, when the kernel refuses it. */
enum err udp_steer_attach(int fd, unsigned worker_count);

#endif
