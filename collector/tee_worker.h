/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tee_worker.h - what tee.c (names, sockets, status) and tee_send.c (sending) know of a tee.
 *
 * Owner: as tee.h says; `is_loop` is the control thread's to raise, counts are the worker's.
 */
#ifndef COLLECTOR_TEE_WORKER_H
#define COLLECTOR_TEE_WORKER_H

#include "collector/tee.h"
#include "collector/tee_wire.h"

enum tee_count {
	TEE_COUNT_UNITS,
	TEE_COUNT_FORWARDED,
	TEE_COUNT_REFUSED,
	TEE_COUNT_FULL,
	TEE_COUNT_ERROR,
	TEE_COUNT_UNREACHABLE,
	TEE_COUNT_LOOP,
	TEE_COUNTS
};

struct tee_place {
	char to[TEE_PLACE_BYTES];
	struct sockaddr_storage sockaddr;
	socklen_t sockaddr_bytes; /* 0: the name has no address */
	struct addr address;
	uint16_t port;
	bool wants_own;
	int raw_errno; /* why there is no raw socket; 0: there is one */
	struct tee_network *from;
	size_t from_count;
	struct stat_flag is_loop;
	uint64_t base[TEE_COUNTS]; /* of tees before this one */
};

/* One worker's way to one target. */
struct tee_socket {
	const struct tee_place *place;
	struct stat_set *counts;
	int own_fd; /* UDP, connected; also what tells the MTU */
	int raw_fd; /* connected; -1: none */
	bool is_connected;
	int64_t retry_ms; /* monotonic: not before, when it is not connected */
	uint32_t mtu;
	/* Where datagrams of our own come from. */
	struct addr own_address;
	uint16_t own_port;
};

struct tee_datagram {
	const uint8_t *octets;
	size_t bytes;
	struct addr peer;
	uint16_t port;
	bool is_truncated;
	bool is_ours;
};

struct tee_slots;

struct tee_worker {
	struct tee *tee;
	struct stat_set *stat;
	struct tee_socket sockets[TEE_TARGETS_MAX];
	struct tee_datagram datagrams[UDP_BATCH_MAX];
	size_t datagram_count;
	struct tee_slots *slots;
	uint32_t next_id;
};

struct tee {
	struct tee_place places[TEE_TARGETS_MAX];
	size_t place_count;
	unsigned worker_count;
	struct tee_worker *workers;
	uint8_t own_ports[65536 / 8]; /* a bit for each port that a socket of ours sends from */
};

/* Whether it came from one of our own sockets. */
bool tee_is_ours(const struct tee *t, const struct addr *peer, uint16_t port);
/* Connects, when it was not or when the MTU must be looked at again; never waits. */
void tee_connect(struct tee_socket *s);

enum err tee_slots_new(struct tee_slots **out);
void tee_slots_free(struct tee_slots *slots);

#endif
