/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.h - an IP address as a value, and its canonical text.
 *
 * IPv4-mapped IPv6 addresses are made IPv4 where a socket address is read, so that one exporter has
 * one identity whatever socket it came through.  Text is RFC 5952 for IPv6.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

#define ADDR_TEXT_BYTES 48

struct addr {
	uint8_t octets[16]; /* IPv4: the first four, the rest zero */
	uint8_t bytes;	    /* 4, 16, or 0 for none */
};

struct addr addr_of_v4(uint32_t host_order);
struct addr addr_of_octets(const uint8_t *octets, size_t bytes); /* 4 or 16 */
bool addr_is_any(const struct addr *a);				 /* 0.0.0.0, :: or none */
bool addr_is_multicast(const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);

/* Reads a socket address; port in host order. */
struct addr addr_of_sockaddr(const struct sockaddr_storage *ss, uint16_t *port);
/* Fills a socket address; returns its length. */
socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss);

/* Canonical text; returns its length without the NUL that it writes too. */
size_t addr_text(const struct addr *a, char out[ADDR_TEXT_BYTES]);
size_t addr_text_v4(const uint8_t octets[4], char *out); /* at least 16 octets */
size_t addr_text_v6(const uint8_t octets[16], char out[ADDR_TEXT_BYTES]);

/* From text: an address, or address/length.  ERR_FORMAT when it is neither. */
enum err addr_parse(const char *text, struct addr *out);
enum err addr_parse_prefix(const char *text, struct addr *out, unsigned *prefix_bits);
bool addr_in_prefix(const struct addr *a, const struct addr *net, unsigned prefix_bits);

#endif
