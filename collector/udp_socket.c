/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/udp_socket.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/udp_steer.h"

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

#define PLACE_BYTES 96

/* What the steps of one entry share. */
struct binding {
	const struct udp_listen *listen;
	unsigned worker_count;
	unsigned interface_index; /* 0: any */
	struct addr address;
	uint16_t port;
	bool is_dual;
	enum udp_beside beside;
};

static const char *place(const struct binding *b, char out[PLACE_BYTES])
{
	char text[ADDR_TEXT_BYTES];

	(void)addr_text(&b->address, text);
	(void)snprintf(out, PLACE_BYTES, b->address.bytes == 16 ? "[%s]:%u%s%s" : "%s:%u%s%s", text,
		       b->port, b->interface_index != 0 ? " on " : "",
		       b->interface_index != 0 ? b->listen->interface : "");
	return out;
}

/* The failure of a system call, by errno. */
static enum err fail_call(const struct binding *b, const char *call, struct why *why)
{
	int number = errno;
	char where[PLACE_BYTES];

	(void)place(b, where);
	if (number == EADDRINUSE)
		return why_set(why, ERR_EXISTS,
			       "udp %s: in use by another program, or twice in listen", where);
	if (number == EADDRNOTAVAIL)
		return why_set(why, ERR_ABSENT, "udp %s: no such address on this machine", where);
	if (number == EAFNOSUPPORT)
		return why_set(why, ERR_UNSUPPORTED, "udp %s: this machine has no IPv6", where);
	if (number == EACCES || number == EPERM)
		return why_set(why, ERR_PERM, "udp %s: %s: not permitted", where, call);
	return why_set(why, ERR_IO, "udp %s: %s: %s", where, call, strerrordesc_np(number));
}

static bool set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* Link-local and multicast addresses mean nothing without their interface. */
static bool needs_scope(const struct addr *a)
{
	if (a->bytes != 16)
		return false;
	return a->octets[0] == 0xff || (a->octets[0] == 0xfe && (a->octets[1] & 0xc0) == 0x80);
}

static int bind_to(int fd, const struct binding *b)
{
	struct sockaddr_storage ss;
	struct sockaddr_in6 in6;
	socklen_t bytes = addr_to_sockaddr(&b->address, b->port, &ss);

	if (needs_scope(&b->address)) {
		memcpy(&in6, &ss, sizeof(in6));
		in6.sin6_scope_id = b->interface_index;
		memcpy(&ss, &in6, sizeof(in6));
	}
	return bind(fd, (const struct sockaddr *)&ss, bytes);
}

/* What must be set before a socket is bound. */
static enum err prepare(int fd, const struct binding *b, bool is_shared, struct why *why)
{
	const char *interface = b->listen->interface;

	if (b->address.bytes == 16 && !set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !b->is_dual))
		return fail_call(b, "IPV6_V6ONLY", why);
	if (is_shared && !set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1))
		return fail_call(b, "SO_REUSEPORT", why);
	if (b->interface_index != 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface,
						  (socklen_t)strlen(interface)) != 0)
		return fail_call(b, "SO_BINDTODEVICE", why);
	/* A multicast datagram goes to every socket that takes it: only the one that joined may.
	 * A kernel without IPV6_MULTICAST_ALL (before 4.20) behaves so only for IPv4. */
	if (!set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0))
		return fail_call(b, "IP_MULTICAST_ALL", why);
	if (b->address.bytes == 16)
		(void)set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
	/* So that a worker can tell its copy of a broadcast from a stray. */
	if (is_shared && !set_int(fd, IPPROTO_IP, IP_PKTINFO, 1))
		return fail_call(b, "IP_PKTINFO", why);
	return ERR_OK;
}

/* Settles port 0, and finds out whether the address is free: shared sockets would not tell. */
static enum err try_bind(struct binding *b, struct why *why)
{
	int fd = socket(b->address.bytes == 16 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage ss = { 0 };
	socklen_t bytes = sizeof(ss);
	enum err e;

	if (fd < 0)
		return fail_call(b, "socket", why);
	e = prepare(fd, b, b->beside != UDP_BESIDE_NONE, why);
	if (e == ERR_OK && bind_to(fd, b) != 0)
		e = fail_call(b, "bind", why);
	if (e == ERR_OK && getsockname(fd, (struct sockaddr *)&ss, &bytes) != 0)
		e = fail_call(b, "getsockname", why);
	if (e == ERR_OK)
		(void)addr_of_sockaddr(&ss, &b->port);
	(void)close(fd);
	return e;
}

static enum err join(int fd, const struct binding *b, const struct udp_multicast *multicast,
		     struct why *why)
{
	const struct addr *group = &multicast->group;
	unsigned index = multicast->interface[0] == '\0' ? b->interface_index
							 : if_nametoindex(multicast->interface);
	struct ipv6_mreq six = { .ipv6mr_interface = index };
	struct ip_mreqn four = { .imr_ifindex = (int)index };
	char text[ADDR_TEXT_BYTES];
	int rc;

	(void)addr_text(group, text);
	if (index == 0 && multicast->interface[0] != '\0')
		return why_set(why, ERR_ABSENT, "multicast %s: no interface %s on this machine",
			       text, multicast->interface);
	if (group->bytes == 16) {
		memcpy(&six.ipv6mr_multiaddr, group->octets, 16);
		rc = setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &six, sizeof(six));
	} else {
		memcpy(&four.imr_multiaddr, group->octets, 4);
		if (b->address.bytes == 4)
			memcpy(&four.imr_address, b->address.octets, 4);
		rc = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof(four));
	}
	if (rc == 0)
		return ERR_OK;
	if (errno == ENOBUFS)
		return why_set(
			why, ERR_LIMIT,
			"multicast %s: more groups than the system lets one socket join: raise "
			"net.ipv4.igmp_max_memberships",
			text);
	(void)fail_call(b, "joining the multicast group", why);
	why_prefix(why, "multicast %s", text);
	return ERR_IO;
}

/* An address that is a group is joined as well. */
static enum err join_all(int fd, const struct binding *b, struct why *why)
{
	struct udp_multicast own = { .group = b->address };
	bool has_own = !addr_is_multicast(&b->address);

	for (size_t i = 0; i < b->listen->multicast_count; i++) {
		TRY(join(fd, b, &b->listen->multicast[i], why));
		has_own = has_own || addr_equal(&b->listen->multicast[i].group, &b->address);
	}
	return has_own ? ERR_OK : join(fd, b, &own, why);
}

/* Asks for the receive buffer; says what came of it, in octets as asked (the kernel doubles). */
static uint32_t size_buffer(int fd, uint32_t asked)
{
	int value = asked > (uint32_t)INT32_MAX / 2 ? INT32_MAX / 2 : (int)asked;
	socklen_t bytes = sizeof(value);

	if (asked != 0 && !set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, value))
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, value);
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &bytes) != 0)
		return 0;
	return (uint32_t)value / 2;
}

static enum err steer(int fd, const struct binding *b, struct why *why)
{
	if (b->worker_count == 1 || udp_steer_attach(fd, b->worker_count) == ERR_OK)
		return ERR_OK;
	return fail_call(b, "SO_ATTACH_REUSEPORT_CBPF", why);
}

static enum err open_one(struct binding *b, bool is_first, int *out, uint32_t *rcvbuf,
			 struct why *why)
{
	bool is_shared = b->worker_count > 1 || b->beside != UDP_BESIDE_NONE;
	int fd = socket(b->address.bytes == 16 ? AF_INET6 : AF_INET,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	enum err e = ERR_IO;

	if (fd < 0)
		return fail_call(b, "socket", why);
	e = prepare(fd, b, is_shared, why);
	if (e != ERR_OK)
		goto fail;
	if (is_first && b->beside == UDP_BESIDE_NONE) {
		e = steer(fd, b, why);
		if (e != ERR_OK)
			goto fail;
	}
	*rcvbuf = size_buffer(fd, b->listen->rcvbuf);
	if (bind_to(fd, b) != 0) {
		e = fail_call(b, "bind", why);
		goto fail;
	}
	/* A socket with a program cannot share; one of the same address is under that of the others. */
	if (is_first && b->beside == UDP_BESIDE_OTHER) {
		e = steer(fd, b, why);
		if (e != ERR_OK)
			goto fail;
	}
	if (is_first)
		e = join_all(fd, b, why);
	if (e != ERR_OK)
		goto fail;
	*out = fd;
	return ERR_OK;
fail:
	(void)close(fd);
	return e;
}

/* Every address, or the one that the entry names, as far as this machine can. */
static enum err settle_address(struct binding *b, struct why *why)
{
	const struct udp_listen *l = b->listen;
	bool is_every =
		l->address.bytes == 0 || (l->address.bytes == 16 && addr_is_any(&l->address));
	enum err e;

	b->address = l->address;
	if (l->address.bytes == 0)
		b->address.bytes = 16;
	b->is_dual = b->address.bytes == 16 && !l->v6only;
	e = try_bind(b, why);
	if (e == ERR_OK || !is_every || l->v6only)
		return e;
	if (e != ERR_UNSUPPORTED && e != ERR_ABSENT)
		return e;
	log_warn("udp.no_ipv6 port=%u use=0.0.0.0", l->port);
	b->address.bytes = 4;
	b->is_dual = false;
	return try_bind(b, why);
}

static enum err settle_interface(struct binding *b, struct why *why)
{
	const char *name = b->listen->interface;

	if (name == NULL || name[0] == '\0')
		return ERR_OK;
	b->interface_index = if_nametoindex(name);
	if (b->interface_index == 0)
		return why_set(why, ERR_ABSENT, "udp port %u: no interface %s on this machine",
			       b->listen->port, name);
	return ERR_OK;
}

static void show(const struct binding *b, struct udp_status *shown)
{
	const char *name = b->listen->interface;
	char where[PLACE_BYTES];

	shown->address = b->address;
	shown->port = b->port;
	shown->is_dual = b->is_dual;
	shown->rcvbuf_asked = b->listen->rcvbuf;
	if (b->interface_index != 0)
		(void)snprintf(shown->interface, sizeof(shown->interface), "%s", name);
	if (shown->rcvbuf < shown->rcvbuf_asked)
		log_warn("udp.rcvbuf_small listen=%s asked=%u got=%u raise=net.core.rmem_max",
			 place(b, where), shown->rcvbuf_asked, shown->rcvbuf);
}

enum err udp_socket_open_all(const struct udp_listen *listen, unsigned worker_count,
			     enum udp_beside beside, int *fds, struct udp_status *shown,
			     struct why *why)
{
	struct binding b = { .listen = listen,
			     .worker_count = worker_count,
			     .port = listen->port,
			     .beside = beside };
	struct udp_status s = { .rcvbuf = UINT32_MAX };
	unsigned opened = 0;
	uint32_t rcvbuf = 0;
	enum err e;

	TRY(settle_interface(&b, why));
	TRY(settle_address(&b, why));
	for (; opened < worker_count; opened++) {
		unsigned at = beside == UDP_BESIDE_SAME ? worker_count - 1 - opened : opened;

		e = open_one(&b, opened == 0, &fds[at], &rcvbuf, why);
		if (e != ERR_OK)
			goto fail;
		if (rcvbuf < s.rcvbuf)
			s.rcvbuf = rcvbuf;
	}
	show(&b, &s);
	*shown = s;
	return ERR_OK;
fail:
	while (opened-- > 0)
		(void)close(fds[beside == UDP_BESIDE_SAME ? worker_count - 1 - opened : opened]);
	return e;
}
