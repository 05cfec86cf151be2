/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - what the kernel says it lost of datagrams before any socket: for the whole network namespace,
 * other programs' included.
 *
 *	kernel_init(&k)		from now on
 *	kernel_look(&k)		now and then: reads /proc/net/snmp and snmp6
 *
 * Counters there have 32 or 64 bits, by the system; a number that became smaller starts anew.
 *
 * Owner: the control thread.  Lifetime: process.
 */
#ifndef COLLECTOR_KERNEL_H
#define COLLECTOR_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kernel_count {
	KERNEL_REASSEMBLY_FAILS, /* fragmented datagrams that never became whole, of any protocol */
	KERNEL_UDP_CHECKSUM,
	KERNEL_UDP_RCVBUF, /* no room in a receive buffer, ours and others' */
	KERNEL_UDP_MEMORY, /* no room in net.ipv4.udp_mem */
	KERNEL_COUNTS
};

struct kernel_counts {
	bool is_known; /* /proc/net/snmp is there */
	uint64_t since[KERNEL_COUNTS];
	uint64_t seen[2][KERNEL_COUNTS]; /* at the last look: IPv4, IPv6 */
	bool has_seen[2];
};

void kernel_init(struct kernel_counts *k);
void kernel_look(struct kernel_counts *k);

/* Texts of those files; for kernel_look() and tests. */
void kernel_parse_snmp(const char *text, uint64_t out[KERNEL_COUNTS]);
void kernel_parse_snmp6(const char *text, uint64_t out[KERNEL_COUNTS]);
void kernel_take(struct kernel_counts *k, unsigned family, const uint64_t now[KERNEL_COUNTS]);

#endif
