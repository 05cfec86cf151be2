/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/tee.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "collector/tee_worker.h"

#define SNDBUF_BYTES (4 << 20)
#define PORT_MAX 65535ul

enum err tee_split(const char *to, char host[TEE_HOST_BYTES], uint16_t *port, struct why *why)
{
	const char *colon = strrchr(to, ':');
	size_t bytes = colon == NULL ? 0 : (size_t)(colon - to);
	unsigned long number = 0;
	char *end = NULL;

	if (colon != NULL && colon[1] >= '0' && colon[1] <= '9')
		number = strtoul(colon + 1, &end, 10);
	if (bytes > 2 && to[0] == '[' && to[bytes - 1] == ']') {
		to++;
		bytes -= 2;
	} else if (bytes > 0 && (to[0] == '[' || memchr(to, ':', bytes) != NULL)) {
		bytes = 0;
	}
	if (bytes == 0 || bytes >= TEE_HOST_BYTES || number == 0 || number > PORT_MAX ||
	    *end != '\0')
		return why_set(why, ERR_CONF,
			       "`%s' is not \"host:port\", \"address:port\" or \"[IPv6]:port\"",
			       to);
	memcpy(host, to, bytes);
	host[bytes] = '\0';
	*port = (uint16_t)number;
	return ERR_OK;
}

static void resolve(struct tee_place *p, const char *host)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	char port[8];
	int rc;

	(void)snprintf(port, sizeof(port), "%u", p->port);
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0 || found == NULL || found->ai_addrlen > sizeof(p->sockaddr)) {
		log_warn("tee.no_address to=%s why=\"%s\" until=reload", p->to, gai_strerror(rc));
	} else {
		uint16_t same;

		memcpy(&p->sockaddr, found->ai_addr, found->ai_addrlen);
		p->sockaddr_bytes = found->ai_addrlen;
		p->address = addr_of_sockaddr(&p->sockaddr, &same);
		/* An IPv4-mapped one is IPv4: its packets are. */
		if (p->address.bytes == 4)
			p->sockaddr_bytes = addr_to_sockaddr(&p->address, p->port, &p->sockaddr);
	}
	if (found != NULL)
		freeaddrinfo(found);
}

static enum err place_init(struct tee_place *p, const struct tee_target *from, struct why *why)
{
	char host[TEE_HOST_BYTES];

	TRY(tee_split(from->to, host, &p->port, why));
	(void)snprintf(p->to, sizeof(p->to), "%s", from->to);
	p->wants_own = from->wants_own;
	p->from = calloc(from->from_count + 1, sizeof(*p->from));
	if (p->from == NULL)
		return why_set(why, ERR_NOMEM, "no memory for a tee");
	for (; p->from_count < from->from_count; p->from_count++)
		p->from[p->from_count] = from->from[p->from_count];
	resolve(p, host);
	return ERR_OK;
}

static int family_of(const struct tee_place *p)
{
	return p->sockaddr.ss_family;
}

static void size_buffer(int fd)
{
	int bytes = SNDBUF_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* Datagrams above the MTU are for routers and us to cut, not to refuse. */
static void let_fragment(int fd, int family)
{
	int four = IP_PMTUDISC_DONT;
	int six = IPV6_PMTUDISC_DONT;

	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &six, sizeof(six));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &four, sizeof(four));
}

static int connect_to(int fd, const struct tee_place *p, bool is_raw)
{
	struct sockaddr_storage to = p->sockaddr;

	/* A raw socket takes the port for the protocol's number. */
	if (is_raw && family_of(p) == AF_INET6)
		((struct sockaddr_in6 *)(void *)&to)->sin6_port = 0;
	return connect(fd, (const struct sockaddr *)&to, p->sockaddr_bytes);
}

static void look_at_mtu(struct tee_socket *s)
{
	bool is_6 = family_of(s->place) == AF_INET6;
	int mtu = 0;
	socklen_t bytes = sizeof(mtu);

	if (getsockopt(s->own_fd, is_6 ? IPPROTO_IPV6 : IPPROTO_IP, is_6 ? IPV6_MTU : IP_MTU, &mtu,
		       &bytes) != 0 ||
	    mtu <= 0)
		mtu = TEE_MTU_MIN_6;
	s->mtu = (uint32_t)mtu;
}

void tee_connect(struct tee_socket *s)
{
	if (s->own_fd < 0 || s->place->sockaddr_bytes == 0)
		return;
	s->is_connected = connect_to(s->own_fd, s->place, false) == 0 &&
			  (s->raw_fd < 0 || connect_to(s->raw_fd, s->place, true) == 0);
	if (s->is_connected)
		look_at_mtu(s);
}

static void open_raw(struct tee_place *p, struct tee_socket *s)
{
	if (p->wants_own)
		return;
	s->raw_fd = socket(family_of(p), SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	if (s->raw_fd < 0) {
		p->raw_errno = errno;
		return;
	}
	size_buffer(s->raw_fd);
}

/* Without a descriptor the target is unreachable. */
static enum err open_socket(struct tee *t, struct tee_place *p, struct tee_socket *s)
{
	struct sockaddr_storage ss = { .ss_family = (sa_family_t)family_of(p) };
	socklen_t bytes = sizeof(ss);

	s->place = p;
	TRY(stat_set_new(NULL, TEE_COUNTS, &s->counts));
	if (p->sockaddr_bytes == 0)
		return ERR_OK;
	s->own_fd = socket(family_of(p), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->own_fd < 0)
		return ERR_IO;
	size_buffer(s->own_fd);
	let_fragment(s->own_fd, family_of(p));
	/* The port is settled now, so that it is known for what it is when it comes back. */
	if (bind(s->own_fd, (const struct sockaddr *)&ss, p->sockaddr_bytes) != 0)
		return ERR_IO;
	open_raw(p, s);
	tee_connect(s);
	if (getsockname(s->own_fd, (struct sockaddr *)&ss, &bytes) == 0) {
		s->own_address = addr_of_sockaddr(&ss, &s->own_port);
		t->own_ports[s->own_port / 8] |= (uint8_t)(1u << s->own_port % 8);
	}
	return ERR_OK;
}

bool tee_is_ours(const struct tee *t, const struct addr *peer, uint16_t port)
{
	if (__builtin_expect((t->own_ports[port / 8] & 1u << port % 8) == 0, 1))
		return false;
	for (unsigned i = 0; i < t->worker_count; i++) {
		for (size_t k = 0; k < t->place_count; k++) {
			const struct tee_socket *s = &t->workers[i].sockets[k];

			if (s->own_port == port && addr_equal(&s->own_address, peer))
				return true;
		}
	}
	return false;
}

static enum err open_worker(struct tee *t, struct tee_worker *w, struct why *why)
{
	for (size_t i = 0; i < t->place_count; i++) {
		enum err e = open_socket(t, &t->places[i], &w->sockets[i]);

		if (e != ERR_OK)
			return why_set(why, e, "tee to %s: %s", t->places[i].to,
				       e == ERR_IO ? strerrordesc_np(errno) : err_text(e));
	}
	/* Not from 0: an earlier life's fragments may still be on their way. */
	(void)!getrandom(&w->next_id, sizeof(w->next_id), GRND_NONBLOCK);
	return tee_slots_new(&w->slots) == ERR_OK ? ERR_OK
						  : why_set(why, ERR_NOMEM, "no memory for a tee");
}

static void init_workers(struct tee *t)
{
	for (unsigned i = 0; i < t->worker_count; i++) {
		t->workers[i].tee = t;
		for (size_t k = 0; k < TEE_TARGETS_MAX; k++) {
			t->workers[i].sockets[k].own_fd = -1;
			t->workers[i].sockets[k].raw_fd = -1;
		}
	}
}

static enum err open_all(struct tee *t, struct why *why)
{
	for (unsigned i = 0; i < t->worker_count; i++)
		TRY(open_worker(t, &t->workers[i], why));
	for (size_t i = 0; i < t->place_count; i++) {
		if (t->places[i].raw_errno != 0)
			log_warn("tee.own_source to=%s why=\"%s\" needs=CAP_NET_RAW",
				 t->places[i].to, strerrordesc_np(t->places[i].raw_errno));
	}
	return ERR_OK;
}

enum err tee_new(const struct tee_target *targets, size_t count, unsigned worker_count,
		 struct tee **out, struct why *why)
{
	struct tee *t;
	enum err e = ERR_NOMEM;

	if (count > TEE_TARGETS_MAX)
		return why_set(why, ERR_CONF, "tee: more than %u targets", TEE_TARGETS_MAX);
	t = calloc(1, sizeof(*t));
	if (t != NULL)
		t->workers = calloc(worker_count, sizeof(*t->workers));
	if (t == NULL || t->workers == NULL) {
		(void)why_set(why, e, "no memory for a tee");
		goto fail;
	}
	t->worker_count = worker_count;
	init_workers(t);
	for (size_t i = 0; i < count; i++) {
		t->place_count++;
		e = place_init(&t->places[i], &targets[i], why);
		if (e != ERR_OK)
			goto fail;
	}
	e = open_all(t, why);
	if (e != ERR_OK)
		goto fail;
	*out = t;
	return ERR_OK;
fail:
	tee_free(t);
	return e;
}

static void close_socket(struct tee_socket *s)
{
	if (s->own_fd >= 0)
		(void)close(s->own_fd);
	if (s->raw_fd >= 0)
		(void)close(s->raw_fd);
	stat_set_free(s->counts);
}

void tee_free(struct tee *t)
{
	if (t == NULL)
		return;
	for (unsigned i = 0; t->workers != NULL && i < t->worker_count; i++) {
		for (size_t k = 0; k < t->place_count; k++)
			close_socket(&t->workers[i].sockets[k]);
		tee_slots_free(t->workers[i].slots);
	}
	for (size_t i = 0; i < t->place_count; i++)
		free(t->places[i].from);
	free(t->workers);
	free(t);
}

struct tee_worker *tee_worker(struct tee *t, unsigned worker, struct stat_set *stat)
{
	must(worker < t->worker_count);
	t->workers[worker].stat = stat;
	return &t->workers[worker];
}

static bool is_interface_address(const struct addr *a, const struct ifaddrs *list)
{
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		struct sockaddr_storage ss = { 0 };
		struct addr one;
		uint16_t port;

		if (i->ifa_addr == NULL ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		memcpy(&ss, i->ifa_addr,
		       i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							 : sizeof(struct sockaddr_in6));
		one = addr_of_sockaddr(&ss, &port);
		if (addr_equal(&one, a))
			return true;
	}
	return false;
}

/* The whole of 127/8 is ours, and who sends to the address of nobody sends to himself. */
static bool is_local(const struct addr *a, const struct ifaddrs *list)
{
	return addr_is_any(a) || (a->bytes == 4 && a->octets[0] == 127) ||
	       is_interface_address(a, list);
}

static bool takes(const struct udp_listen *l, const struct tee_place *p, const struct ifaddrs *list)
{
	bool is_every = l->address.bytes == 0 || addr_is_any(&l->address);

	if (p->address.bytes == 0 || l->port == 0 || l->port != p->port)
		return false;
	for (size_t i = 0; i < l->multicast_count; i++) {
		if (addr_equal(&l->multicast[i].group, &p->address))
			return true;
	}
	/* What we send to ourselves comes by the loopback interface. */
	if (l->interface != NULL && l->interface[0] != '\0' && strcmp(l->interface, "lo") != 0)
		return false;
	if (!is_every)
		return addr_equal(&l->address, &p->address) ||
		       (addr_is_any(&p->address) && is_local(&l->address, list));
	if (p->address.bytes == 4 && l->address.bytes == 16 && l->v6only)
		return false;
	if (p->address.bytes == 16 && l->address.bytes == 4)
		return false;
	return is_local(&p->address, list);
}

enum err tee_find_loop(struct tee *t, const struct udp_listen *listens, size_t count,
		       struct why *why)
{
	struct ifaddrs *list = NULL;
	enum err e = ERR_OK;

	(void)getifaddrs(&list);
	for (size_t i = 0; i < t->place_count; i++) {
		bool is_loop = false;

		for (size_t k = 0; k < count; k++)
			is_loop = is_loop || takes(&listens[k], &t->places[i], list);
		stat_flag_set(&t->places[i].is_loop, is_loop);
		if (is_loop && e == ERR_OK)
			e = why_set(why, ERR_CONF, "tee to %s: that is a listener of ours: a loop",
				    t->places[i].to);
	}
	freeifaddrs(list);
	return e;
}

static void sum_place(const struct tee *t, size_t place, uint64_t sums[TEE_COUNTS])
{
	memcpy(sums, t->places[place].base, sizeof(t->places[place].base));
	for (unsigned i = 0; i < t->worker_count; i++)
		stat_sum(t->workers[i].sockets[place].counts, sums);
}

void tee_inherit(struct tee *t, const struct tee *before)
{
	bool is_taken[TEE_TARGETS_MAX] = { false };

	for (size_t i = 0; i < t->place_count; i++) {
		for (size_t k = 0; k < before->place_count; k++) {
			if (is_taken[k] || strcmp(t->places[i].to, before->places[k].to) != 0)
				continue;
			sum_place(before, k, t->places[i].base);
			is_taken[k] = true;
			break;
		}
	}
}

size_t tee_describe(const struct tee *t, struct tee_status *rows, size_t room)
{
	for (size_t i = 0; i < t->place_count && i < room; i++) {
		const struct tee_place *p = &t->places[i];
		struct tee_status *row = &rows[i];
		uint64_t sums[TEE_COUNTS];

		sum_place(t, i, sums);
		memset(row, 0, sizeof(*row));
		memcpy(row->to, p->to, sizeof(row->to));
		row->address = p->address;
		row->port = p->port;
		row->is_original = !p->wants_own && p->raw_errno == 0 && p->sockaddr_bytes > 0;
		row->why_own = p->raw_errno != 0 ? strerrordesc_np(p->raw_errno) : NULL;
		row->is_loop = stat_flag_get(&p->is_loop);
		row->units = sums[TEE_COUNT_UNITS];
		row->forwarded = sums[TEE_COUNT_FORWARDED];
		row->refused = sums[TEE_COUNT_REFUSED];
		row->full = sums[TEE_COUNT_FULL];
		row->error = sums[TEE_COUNT_ERROR];
		row->unreachable = sums[TEE_COUNT_UNREACHABLE];
		row->loop = sums[TEE_COUNT_LOOP];
	}
	return t->place_count;
}
