/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections over TCP (RFC 7011, 10.4), with nothing between the octets and the messages.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/stream.h"

#define BACKLOG 1024
#define PLACE_BYTES 96

static enum err fail_call(const struct stream_listen *l, const struct addr *a, const char *call,
			  struct why *why)
{
	int number = errno;
	char text[ADDR_TEXT_BYTES];
	char where[PLACE_BYTES];

	(void)addr_text(a, text);
	(void)snprintf(where, sizeof(where), a->bytes == 16 ? "[%s]:%u%s%s" : "%s:%u%s%s", text,
		       l->port, l->interface[0] != '\0' ? " on " : "", l->interface);
	if (number == EADDRINUSE)
		return why_set(
			why, ERR_EXISTS,
			"tcp %s: in use by another program, or twice in listen (an entry that changes "
			"and keeps its port: take it out, reload, and put it in)",
			where);
	if (number == EADDRNOTAVAIL)
		return why_set(why, ERR_ABSENT, "tcp %s: no such address on this machine", where);
	if (number == EAFNOSUPPORT)
		return why_set(why, ERR_UNSUPPORTED, "tcp %s: this machine has no IPv6", where);
	if (number == EACCES || number == EPERM)
		return why_set(why, ERR_PERM, "tcp %s: %s: not permitted", where, call);
	return why_set(why, ERR_IO, "tcp %s: %s: %s", where, call, strerrordesc_np(number));
}

static bool set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* Link-local addresses mean nothing without their interface. */
static socklen_t place_of(const struct stream_listen *l, const struct addr *a,
			  struct sockaddr_storage *out)
{
	socklen_t bytes = addr_to_sockaddr(a, l->port, out);
	struct sockaddr_in6 six;

	if (a->bytes != 16 || a->octets[0] != 0xfe || (a->octets[1] & 0xc0) != 0x80)
		return bytes;
	memcpy(&six, out, sizeof(six));
	six.sin6_scope_id = if_nametoindex(l->interface);
	memcpy(out, &six, sizeof(six));
	return bytes;
}

static enum err prepare(const struct stream_listen *l, const struct addr *a, int fd,
			struct why *why)
{
	struct sockaddr_storage ss;
	socklen_t bytes = place_of(l, a, &ss);

	/* A start after a stop finds connections of the one before in their last minute. */
	if (!set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1))
		return fail_call(l, a, "SO_REUSEADDR", why);
	if (a->bytes == 16 && !set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, l->v6only))
		return fail_call(l, a, "IPV6_V6ONLY", why);
	if (l->interface[0] != '\0' && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, l->interface,
						  (socklen_t)strlen(l->interface)) != 0)
		return fail_call(l, a, "SO_BINDTODEVICE", why);
	if (bind(fd, (const struct sockaddr *)&ss, bytes) != 0)
		return fail_call(l, a, "bind", why);
	if (listen(fd, BACKLOG) != 0)
		return fail_call(l, a, "listen", why);
	return ERR_OK;
}

static enum err open_at(const struct stream_listen *l, const struct addr *a, int *out,
			uint16_t *port, struct why *why)
{
	int fd = socket(a->bytes == 16 ? AF_INET6 : AF_INET,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage ss = { 0 };
	socklen_t bytes = sizeof(ss);
	enum err e;

	if (fd < 0)
		return fail_call(l, a, "socket", why);
	e = prepare(l, a, fd, why);
	if (e == ERR_OK && getsockname(fd, (struct sockaddr *)&ss, &bytes) != 0)
		e = fail_call(l, a, "getsockname", why);
	if (e != ERR_OK) {
		(void)close(fd);
		return e;
	}
	(void)addr_of_sockaddr(&ss, port);
	*out = fd;
	return ERR_OK;
}

/* Every address, or the one that the entry names, as far as this machine can. */
static enum err tcp_listen(const struct stream_listen *l, int *fd, struct addr *address,
			   uint16_t *port, struct why *why)
{
	struct addr a = l->address;
	bool is_every = a.bytes == 0 || (a.bytes == 16 && addr_is_any(&a));
	enum err e;

	if (l->interface[0] != '\0' && if_nametoindex(l->interface) == 0)
		return why_set(why, ERR_ABSENT, "tcp port %u: no interface %s on this machine",
			       l->port, l->interface);
	if (a.bytes == 0)
		a.bytes = 16;
	e = open_at(l, &a, fd, port, why);
	if (is_every && !l->v6only && (e == ERR_UNSUPPORTED || e == ERR_ABSENT)) {
		log_warn("tcp.no_ipv6 port=%u use=0.0.0.0", l->port);
		memset(&a, 0, sizeof(a));
		a.bytes = 4;
		e = open_at(l, &a, fd, port, why);
	}
	if (e == ERR_OK)
		*address = a;
	return e;
}

static ssize_t tcp_receive(int fd, uint8_t *octets, size_t room, enum collector_stat *why)
{
	ssize_t n = recv(fd, octets, room, MSG_DONTWAIT);

	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	*why = n == 0 ? STAT_CLOSED_PEER : STAT_CLOSED_RESET;
	return -1;
}

const struct stream_ops tcp_ops = {
	.name = "tcp", .transport = TRANSPORT_TCP, .listen = tcp_listen, .receive = tcp_receive
};
