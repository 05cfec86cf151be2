/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a forwarded datagram is the one that came, octet by octet, from the address that was wanted; each is
 * forwarded or counted with its reason; our own listeners are no targets.
 * Method: packets of tee_wire put together again here, with a checksum of our own, at many sizes and MTUs;
 * then real sockets on loopback, with the exporter's address where the test may (root), else with ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/rd.h"
#include "collector/collector.h"
#include "collector/tee.h"
#include "collector/tee_wire.h"

#define PAYLOAD_MAX 65527u
#define PACKET_MAX (PAYLOAD_MAX + 8u)

static uint8_t payload[PAYLOAD_MAX];

/* The call that comes to the datagram behind so many fails once, with that errno; 0: none does. */
static unsigned fail_after;
static int fail_number;

int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	int n;

	if (fail_number == 0)
		return __real_sendmmsg(fd, messages, count, flags);
	if (fail_after == 0) {
		errno = fail_number;
		fail_number = 0;
		return -1;
	}
	n = __real_sendmmsg(fd, messages, fail_after < count ? fail_after : count, flags);
	fail_after -= (unsigned)n;
	return n;
}

static int fill(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 131 + (i >> 8));
	return 0;
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), ERR_OK);
	return a;
}

/* ---- packets ---- */

/* What a receiver of the packets has so far. */
struct whole {
	uint8_t octets[PACKET_MAX];
	size_t bytes; /* known when the last one came */
	size_t got;
	uint32_t id;
	unsigned pieces;
};

static uint32_t sum16(uint32_t sum, const uint8_t *octets, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		sum += (uint32_t)octets[i] << (i % 2 == 0 ? 8 : 0);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* The IP header of one packet: where its octets belong, and whether more follow. */
static size_t read_head(const struct tee_wire *w, const struct tee_piece *p, size_t bytes,
			struct rd *r, bool *has_more, uint32_t *id)
{
	size_t at;

	if (w->to.bytes == 4) {
		assert_int_equal(rd_u16(r), 0x4500);
		assert_int_equal(rd_u16(r), 20 + bytes);
		*id = rd_u16(r);
		at = rd_u16(r);
		*has_more = (at & 0x2000) != 0;
		at = (at & 0x1fff) * 8;
		assert_int_equal(rd_u16(r), 64 << 8 | 17);
		(void)rd_u16(r);
		assert_memory_equal(p->head + 12, w->from.octets, 4);
		assert_memory_equal(p->head + 16, w->to.octets, 4);
		assert_true(20 + bytes <= w->mtu);
		return at;
	}
	assert_int_equal(rd_u32(r), 0x60000000);
	at = rd_u16(r);
	assert_true(40 + at <= w->mtu);
	assert_memory_equal(p->head + 8, w->from.octets, 16);
	assert_memory_equal(p->head + 24, w->to.octets, 16);
	*has_more = false;
	*id = 0;
	if (rd_u16(r) == (17 << 8 | 64)) {
		assert_int_equal(at, bytes);
		return 0;
	}
	assert_int_equal(p->head[6], 44);
	assert_int_equal(at, bytes + 8);
	assert_int_equal(p->head[40], 17);
	*has_more = (p->head[43] & 1) != 0;
	*id = be32(p->head + 44);
	return (size_t)(p->head[42] << 8 | (p->head[43] & 0xf8));
}

static void take_piece(struct whole *whole, const struct tee_wire *w, const struct tee_piece *p)
{
	size_t ip = w->to.bytes == 4 ? 20 : p->head[6] == 44 ? 48 : 40;
	size_t bytes = p->head_bytes - ip + p->bytes;
	struct rd r = rd_of(p->head, p->head_bytes);
	bool has_more;
	uint32_t id;
	size_t at = read_head(w, p, bytes, &r, &has_more, &id);

	assert_int_equal(has_more, !p->is_last);
	assert_int_equal(at, whole->got);
	assert_true(at + bytes <= sizeof(whole->octets));
	memcpy(whole->octets + at, p->head + ip, p->head_bytes - ip);
	memcpy(whole->octets + at + (p->head_bytes - ip), w->payload + p->at, p->bytes);
	if (whole->pieces++ == 0)
		whole->id = id;
	assert_int_equal(id, whole->id);
	if (has_more)
		assert_int_equal(bytes % 8, 0);
	whole->got += bytes;
	whole->bytes = whole->got;
}

static void check_datagram(const char *from, const char *to, size_t bytes, uint32_t mtu)
{
	struct tee_wire w = { .from = addr_of(from),
			      .to = addr_of(to),
			      .from_port = 40000,
			      .to_port = 2055,
			      .payload = payload,
			      .bytes = bytes,
			      .mtu = mtu,
			      .id = 0xabcd };
	static struct whole whole;
	struct tee_piece piece;
	uint8_t pseudo[4] = { 0, 17, (uint8_t)((bytes + 8) >> 8), (uint8_t)(bytes + 8) };
	size_t count;
	uint32_t sum;

	whole.got = 0;
	whole.pieces = 0;
	assert_true(tee_wire_init(&w));
	count = tee_wire_count(&w);
	while (tee_wire_next(&w, &piece))
		take_piece(&whole, &w, &piece);
	assert_true(piece.is_last);
	assert_int_equal(whole.pieces, count);
	assert_true(count <= TEE_PIECES_MAX);
	assert_int_equal(whole.bytes, bytes + 8);
	assert_int_equal(be16(whole.octets), 40000);
	assert_int_equal(be16(whole.octets + 2), 2055);
	assert_int_equal(be16(whole.octets + 4), bytes + 8);
	assert_int_not_equal(be16(whole.octets + 6), 0);
	assert_memory_equal(whole.octets + 8, payload, bytes);
	sum = sum16(0, w.from.octets, w.from.bytes);
	sum = sum16(sum, w.to.octets, w.to.bytes);
	sum = sum16(sum, pseudo, sizeof(pseudo));
	assert_int_equal(sum16(sum, whole.octets, bytes + 8), 0xffff);
}

static void packets_are_whole(void **state)
{
	static const uint32_t mtus[] = { 0, 68, 576, 1280, 1281, 1499, 1500, 9000, 65536 };
	static const size_t sizes[] = {
		0,    1,    7,	  8,	40,   41,   1231, 1232, 1233,  1240,
		1471, 1472, 1473, 1452, 1453, 2000, 8972, 9001, 65506, 65507
	};

	(void)state;
	for (size_t m = 0; m < sizeof(mtus) / sizeof(mtus[0]); m++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			check_datagram("192.0.2.7", "198.51.100.1", sizes[i], mtus[m]);
			check_datagram("2001:db8::7", "2001:db8:1::1", sizes[i], mtus[m]);
		}
	}
	for (size_t bytes = 0; bytes < 3100; bytes++) {
		check_datagram("192.0.2.7", "198.51.100.1", bytes, 1500);
		check_datagram("2001:db8::7", "2001:db8:1::1", bytes, 1500);
	}
	check_datagram("2001:db8::7", "2001:db8:1::1", PAYLOAD_MAX, 1500);
}

/* A sum of 0 is sent as ffff: 0 means none. */
static void checksum_is_never_none(void **state)
{
	uint8_t two[2];
	struct tee_wire w = { .from = addr_of("192.0.2.7"),
			      .to = addr_of("198.51.100.1"),
			      .payload = two,
			      .bytes = 2,
			      .mtu = 1500 };
	unsigned all_ones = 0;

	(void)state;
	for (unsigned v = 0; v < 65536; v++) {
		two[0] = (uint8_t)(v >> 8);
		two[1] = (uint8_t)v;
		assert_true(tee_wire_init(&w));
		assert_int_not_equal(w.checksum, 0);
		all_ones += w.checksum == 0xffff;
	}
	/* One's complement has two zeroes; of the words, one gives each. */
	assert_int_equal(all_ones, 1);
}

static void impossible_is_refused(void **state)
{
	struct tee_wire w = { .from = addr_of("192.0.2.7"),
			      .to = addr_of("2001:db8::1"),
			      .payload = payload,
			      .bytes = 1,
			      .mtu = 1500 };

	(void)state;
	assert_false(tee_wire_init(&w));
	w.to = addr_of("192.0.2.8");
	w.bytes = 65508;
	assert_false(tee_wire_init(&w));
	w.bytes = 65507;
	assert_true(tee_wire_init(&w));
}

/* ---- places ---- */

static const struct {
	const char *to;
	const char *host; /* NULL: refused */
	uint16_t port;
} places[] = {
	{ "192.0.2.1:2055", "192.0.2.1", 2055 },
	{ "[2001:db8::1]:4739", "2001:db8::1", 4739 },
	{ "[fe80::1%lo]:1", "fe80::1%lo", 1 },
	{ "old.example.org:65535", "old.example.org", 65535 },
	{ "192.0.2.1", NULL, 0 },
	{ "192.0.2.1:", NULL, 0 },
	{ "192.0.2.1:0", NULL, 0 },
	{ "192.0.2.1:65536", NULL, 0 },
	{ "192.0.2.1:-1", NULL, 0 },
	{ "192.0.2.1:20x", NULL, 0 },
	{ ":2055", NULL, 0 },
	{ "[]:2055", NULL, 0 },
	{ "2001:db8::1:4739", NULL, 0 },
	{ "", NULL, 0 },
	{ "a:99999999999999999999", NULL, 0 },
};

static void places_are_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char host[TEE_HOST_BYTES];
		struct why why;
		uint16_t port;
		enum err e = tee_split(places[i].to, host, &port, &why);

		assert_int_equal(e, places[i].host == NULL ? ERR_CONF : ERR_OK);
		if (places[i].host == NULL)
			continue;
		assert_string_equal(host, places[i].host);
		assert_int_equal(port, places[i].port);
	}
}

static const struct {
	const char *to;
	const char *address; /* of the listener; "": all */
	const char *interface;
	const char *group;
	bool v6only;
	bool is_loop;
} loops[] = {
	{ "127.0.0.1:2055", "", NULL, NULL, false, true },
	{ "127.0.0.1:2056", "", NULL, NULL, false, false },
	{ "127.9.9.9:2055", "0.0.0.0", NULL, NULL, false, true },
	{ "127.9.9.9:2055", "127.0.0.1", NULL, NULL, false, false },
	{ "127.0.0.1:2055", "127.0.0.1", NULL, NULL, false, true },
	{ "0.0.0.0:2055", "127.0.0.1", NULL, NULL, false, true },
	{ "[::ffff:127.0.0.1]:2055", "127.0.0.1", NULL, NULL, false, true },
	{ "127.0.0.1:2055", "::", NULL, NULL, true, false },
	{ "127.0.0.1:2055", "::", NULL, NULL, false, true },
	{ "192.0.2.1:2055", "", NULL, NULL, false, false },
	{ "127.0.0.1:2055", "", "eth7", NULL, false, false },
	{ "127.0.0.1:2055", "", "lo", NULL, false, true },
	{ "239.1.2.3:2055", "", NULL, "239.1.2.3", false, true },
	{ "239.1.2.4:2055", "", NULL, "239.1.2.3", false, false },
};

static void loops_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		struct udp_multicast group = { 0 };
		struct udp_listen listen = { .port = 2055,
					     .interface = loops[i].interface,
					     .v6only = loops[i].v6only,
					     .multicast = &group,
					     .multicast_count = loops[i].group != NULL };
		struct tee_target target = { .to = loops[i].to, .wants_own = true };
		struct tee_status row;
		struct why why = { "" };
		struct tee *t;

		if (loops[i].address[0] != '\0')
			listen.address = addr_of(loops[i].address);
		if (loops[i].group != NULL)
			group.group = addr_of(loops[i].group);
		assert_int_equal(tee_new(&target, 1, 1, &t, &why), ERR_OK);
		if (tee_find_loop(t, &listen, 1, &why) != (loops[i].is_loop ? ERR_CONF : ERR_OK))
			fail_msg("row %zu: %s", i, loops[i].to);
		assert_int_equal(tee_describe(t, &row, 1), 1);
		assert_int_equal(row.is_loop, loops[i].is_loop);
		tee_free(t);
	}
}

/* ---- sending ---- */

struct bench {
	int fd;
	uint16_t port;
	struct tee *tee;
	struct tee_worker *worker;
	struct stat_set *stat;
};

static void open_bench(struct bench *b, const char *host, bool wants_own,
		       const struct tee_network *from)
{
	struct addr a = addr_of(host);
	struct sockaddr_storage ss;
	socklen_t bytes = addr_to_sockaddr(&a, 0, &ss);
	struct timeval patience = { 5, 0 };
	int room = 8 << 20;
	char to[80];
	struct tee_target target = { to, wants_own, from, from != NULL };
	struct why why = { "" };

	b->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(b->fd, (const struct sockaddr *)&ss, bytes), 0);
	bytes = sizeof(ss);
	assert_int_equal(getsockname(b->fd, (struct sockaddr *)&ss, &bytes), 0);
	(void)addr_of_sockaddr(&ss, &b->port);
	(void)setsockopt(b->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (setsockopt(b->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0)
		(void)setsockopt(b->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	(void)snprintf(to, sizeof(to), a.bytes == 16 ? "[%s]:%u" : "%s:%u", host, b->port);
	assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &b->stat),
			 ERR_OK);
	if (tee_new(&target, 1, 1, &b->tee, &why) != ERR_OK)
		fail_msg("%s", why.text);
	b->worker = tee_worker(b->tee, 0, b->stat);
}

static void close_bench(struct bench *b)
{
	const struct stat_set *s = b->stat;

	assert_int_equal(stat_get(s, STAT_TEE_UNITS),
			 stat_get(s, STAT_TEE_FORWARDED) + stat_get(s, STAT_TEE_FULL) +
				 stat_get(s, STAT_TEE_ERROR) + stat_get(s, STAT_TEE_UNREACHABLE) +
				 stat_get(s, STAT_TEE_LOOP));
	tee_free(b->tee);
	stat_set_free(b->stat);
	(void)close(b->fd);
}

static void send_one(struct bench *b, const char *peer, size_t bytes)
{
	struct addr a = addr_of(peer);

	tee_add(b->worker, payload, bytes, &a, 40000, false);
	tee_flush(b->worker);
}

/* What comes is what was sent; says from where. */
static struct addr receive(const struct bench *b, size_t bytes, uint16_t *port)
{
	static uint8_t got[PACKET_MAX];
	struct sockaddr_storage ss = { 0 };
	socklen_t ss_bytes = sizeof(ss);
	ssize_t n = recvfrom(b->fd, got, sizeof(got), 0, (struct sockaddr *)&ss, &ss_bytes);

	assert_int_equal(n, bytes);
	assert_memory_equal(got, payload, bytes);
	return addr_of_sockaddr(&ss, port);
}

static bool has_ipv6(void)
{
	struct addr a = addr_of("::1");
	struct sockaddr_storage ss;
	socklen_t bytes = addr_to_sockaddr(&a, 0, &ss);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&ss, bytes) == 0;

	if (fd >= 0)
		(void)close(fd);
	return has;
}

static const size_t sent_sizes[] = { 0, 1, 2, 1400, 1472, 1473, 9000, 65000, 65506, 65507 };

static void own_source(void **state)
{
	struct tee_status row;
	struct bench b;
	uint16_t port;

	(void)state;
	open_bench(&b, "127.0.0.1", true, NULL);
	for (size_t i = 0; i < sizeof(sent_sizes) / sizeof(sent_sizes[0]); i++) {
		struct addr from;
		struct addr want = addr_of("127.0.0.1");

		send_one(&b, "2001:db8::7", sent_sizes[i]);
		from = receive(&b, sent_sizes[i], &port);
		assert_true(addr_equal(&from, &want));
		assert_int_not_equal(port, 40000);
	}
	assert_int_equal(tee_describe(b.tee, &row, 1), 1);
	assert_int_equal(row.forwarded, sizeof(sent_sizes) / sizeof(sent_sizes[0]));
	assert_int_equal(row.units, row.forwarded);
	assert_false(row.is_original);
	assert_null(row.why_own);
	assert_int_equal(stat_get(b.stat, STAT_TEE_OWN_SOURCE), 0);
	close_bench(&b);
}

static void check_original(const char *host, const char *peer)
{
	struct addr want = addr_of(peer);
	struct tee_status row;
	struct bench b;
	uint16_t port;

	open_bench(&b, host, false, NULL);
	(void)tee_describe(b.tee, &row, 1);
	for (size_t i = 0; i < sizeof(sent_sizes) / sizeof(sent_sizes[0]); i++) {
		struct addr from;

		send_one(&b, peer, sent_sizes[i]);
		from = receive(&b, sent_sizes[i], &port);
		assert_true(addr_equal(&from, &want) || !row.is_original);
		assert_int_equal(port == 40000, row.is_original);
	}
	assert_int_equal(stat_get(b.stat, STAT_TEE_OWN_SOURCE),
			 row.is_original ? 0 : sizeof(sent_sizes) / sizeof(sent_sizes[0]));
	if (!row.is_original)
		assert_non_null(row.why_own);
	close_bench(&b);
}

/* Without the privilege ours is seen, and said.  ::1 does not answer to other networks' addresses. */
static void original_source(void **state)
{
	(void)state;
	check_original("127.0.0.1", "127.4.5.6");
	if (has_ipv6())
		check_original("::1", "::1");
}

/* A whole batch with big ones between: more packets than wait for one call. */
static void batch_in_order(void **state)
{
	struct addr peer = addr_of("127.4.5.6");
	struct bench b;
	uint16_t port;

	(void)state;
	open_bench(&b, "127.0.0.1", false, NULL);
	for (unsigned i = 0; i < UDP_BATCH_DEFAULT; i++)
		tee_add(b.worker, payload, i % 8 == 0 ? 65507 : i, &peer, 40000, false);
	tee_flush(b.worker);
	for (unsigned i = 0; i < UDP_BATCH_DEFAULT; i++)
		(void)receive(&b, i % 8 == 0 ? 65507 : i, &port);
	assert_int_equal(stat_get(b.stat, STAT_TEE_FORWARDED), UDP_BATCH_DEFAULT);
	close_bench(&b);
}

static void only_from_named(void **state)
{
	struct tee_network net = { .prefix_bits = 24 };
	struct bench b;
	uint16_t port;

	(void)state;
	net.net = addr_of("192.0.2.0");
	open_bench(&b, "127.0.0.1", true, &net);
	send_one(&b, "192.0.3.1", 7);
	send_one(&b, "192.0.2.1", 8);
	(void)receive(&b, 8, &port);
	assert_int_equal(stat_get(b.stat, STAT_TEE_UNITS), 1);
	close_bench(&b);
}

/* A closed port answers; what is sent next is not lost by that. */
static void refused_is_told(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b, "127.0.0.1", true, NULL);
	(void)close(b.fd);
	for (int i = 0; i < 10; i++)
		send_one(&b, "192.0.2.1", 8);
	assert_int_equal(stat_get(b.stat, STAT_TEE_FORWARDED), 10);
	assert_int_equal(stat_get(b.stat, STAT_TEE_REFUSED), 9);
	b.fd = -1;
	close_bench(&b);
}

static const struct {
	int number;
	unsigned forwarded;
	enum collector_stat stat;
	unsigned count;
} failures[] = {
	{ EAGAIN, 3, STAT_TEE_FULL, 5 },
	{ ENOBUFS, 3, STAT_TEE_FULL, 5 },
	{ ENETUNREACH, 3, STAT_TEE_UNREACHABLE, 5 },
	{ EHOSTUNREACH, 3, STAT_TEE_UNREACHABLE, 5 },
	{ EPERM, 7, STAT_TEE_ERROR, 1 },
	{ EMSGSIZE, 7, STAT_TEE_ERROR, 1 },
	{ EINTR, 8, STAT_TEE_ERROR, 0 },
	{ ECONNREFUSED, 8, STAT_TEE_REFUSED, 1 },
};

/* The fourth of eight meets a failure: those before it are out, and those behind it as the failure is. */
static void failures_count_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct addr peer = addr_of("192.0.2.1");
		struct bench b;
		uint16_t port;

		open_bench(&b, "127.0.0.1", true, NULL);
		for (unsigned k = 0; k < 8; k++)
			tee_add(b.worker, payload, 100 + k, &peer, 40000, false);
		fail_after = 3;
		fail_number = failures[i].number;
		tee_flush(b.worker);
		assert_int_equal(fail_number, 0);
		assert_int_equal(stat_get(b.stat, STAT_TEE_FORWARDED), failures[i].forwarded);
		assert_int_equal(stat_get(b.stat, failures[i].stat), failures[i].count);
		for (unsigned k = 0; k < 3; k++)
			(void)receive(&b, 100 + k, &port);
		for (unsigned k = 3 + (failures[i].forwarded == 7);
		     failures[i].forwarded > 3 && k < 8; k++)
			(void)receive(&b, 100 + k, &port);
		/* The next batch goes as if nothing had been. */
		send_one(&b, "192.0.2.1", 9);
		(void)receive(&b, 9, &port);
		close_bench(&b);
	}
}

static void losses_have_reasons(void **state)
{
	struct tee_target nowhere = { "no-such-host.invalid:2055", true, NULL, 0 };
	struct addr peer = addr_of("192.0.2.1");
	struct addr here = addr_of("127.0.0.1");
	struct udp_listen listen = { 0 };
	struct why why = { "" };
	struct bench b;
	struct tee *t;
	uint16_t port;

	(void)state;
	open_bench(&b, "127.0.0.1", true, NULL);
	tee_add(b.worker, payload, 100, &peer, 40000, true);
	tee_add(b.worker, payload, 65508, &peer, 40000, false);
	tee_flush(b.worker);
	assert_int_equal(stat_get(b.stat, STAT_TEE_ERROR), 2);

	send_one(&b, "192.0.2.1", 5);
	(void)receive(&b, 5, &port);
	tee_add(b.worker, payload, 100, &here, port, false); /* it came back */
	tee_flush(b.worker);
	assert_int_equal(stat_get(b.stat, STAT_TEE_LOOP), 1);
	listen.port = b.port;
	assert_int_equal(tee_find_loop(b.tee, &listen, 1, &why), ERR_CONF);
	send_one(&b, "192.0.2.1", 5);
	assert_int_equal(stat_get(b.stat, STAT_TEE_LOOP), 2);
	assert_int_equal(tee_find_loop(b.tee, &listen, 0, &why), ERR_OK);
	send_one(&b, "192.0.2.1", 6);
	(void)receive(&b, 6, &port);

	assert_int_equal(tee_new(&nowhere, 1, 1, &t, &why), ERR_OK);
	b.worker = tee_worker(t, 0, b.stat);
	send_one(&b, "192.0.2.1", 5);
	assert_int_equal(stat_get(b.stat, STAT_TEE_UNREACHABLE), 1);
	tee_free(t);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_whole),	 cmocka_unit_test(checksum_is_never_none),
		cmocka_unit_test(impossible_is_refused), cmocka_unit_test(places_are_split),
		cmocka_unit_test(loops_are_found),	 cmocka_unit_test(own_source),
		cmocka_unit_test(original_source),	 cmocka_unit_test(batch_in_order),
		cmocka_unit_test(only_from_named),	 cmocka_unit_test(refused_is_told),
		cmocka_unit_test(losses_have_reasons),	 cmocka_unit_test(failures_count_once),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
