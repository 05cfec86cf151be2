/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every datagram sent to a group of sockets reaches the worker that owns its source, once, or is
 * counted with its reason; the kernel steers as udp_owner() says; opening is all or nothing.
 * Method: real sockets on loopback, with senders on many 127.x and IPv6 addresses; each test sends a
 * known number and compares what arrived with the counters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "collector/collector.h"
#include "collector/udp.h"

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

#define WORKERS 5
#define PAYLOAD_BYTES 64
#define SENDERS 200

/* A group under test, and what came out of it. */
struct bench {
	struct udp_group *group;
	struct stat_set *stats[WORKERS];
	unsigned worker_count;
	uint16_t port;
	unsigned at; /* the worker that is being asked */
	uint64_t calls[WORKERS];
	uint64_t seen; /* sum of the numbers in the payloads */
	struct origin last;
	size_t last_bytes;
};

static struct addr addr_of(const char *text)
{
	struct addr a = { { 0 }, 0 };

	if (text != NULL)
		assert_int_equal(addr_parse(text, &a), ERR_OK);
	return a;
}

static void take(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	struct bench *b = ctx;

	assert_int_equal(udp_owner(&origin->peer, b->worker_count), b->at);
	b->calls[b->at]++;
	b->last = *origin;
	b->last_bytes = bytes;
	if (bytes > 0)
		b->seen += octets[0];
}

static enum err try_open(struct bench *b, const struct udp_conf *conf, struct why *why)
{
	memset(b, 0, sizeof(*b));
	why->text[0] = '\0';
	b->worker_count = conf->worker_count;
	for (unsigned i = 0; i < conf->worker_count; i++)
		assert_int_equal(
			stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &b->stats[i]),
			ERR_OK);
	return udp_group_open(conf, b->stats, &b->group, why);
}

static void open_conf(struct bench *b, const struct udp_conf *conf)
{
	struct udp_status rows[WORKERS * 4];
	struct why why;

	if (try_open(b, conf, &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(udp_group_describe(b->group, rows, WORKERS * 4),
			 conf->listen_count * conf->worker_count);
	b->port = rows[0].port;
	assert_int_not_equal(b->port, 0);
}

static void open_on(struct bench *b, const char *address, unsigned worker_count)
{
	struct udp_listen listen = { .address = addr_of(address), .rcvbuf = 1 << 20 };
	struct udp_conf conf = { .listens = &listen,
				 .listen_count = 1,
				 .worker_count = worker_count };

	open_conf(b, &conf);
}

static void close_group(struct bench *b)
{
	udp_group_close(b->group);
	b->group = NULL;
}

static void free_stats(struct bench *b)
{
	for (unsigned i = 0; i < b->worker_count; i++)
		stat_set_free(b->stats[i]);
}

static uint64_t sum(const struct bench *b, enum collector_stat id)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < b->worker_count; i++)
		n += stat_get(b->stats[i], id);
	return n;
}

static uint64_t calls(const struct bench *b)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < b->worker_count; i++)
		n += b->calls[i];
	return n;
}

/* Every worker takes what lies there; twice, as the first round may hand strays back. */
static void drain(struct bench *b)
{
	for (unsigned i = 0; i < 2 * b->worker_count; i++) {
		b->at = i % b->worker_count;
		(void)udp_worker_drain(udp_group_worker(b->group, b->at), 1 << 20, take, b);
	}
}

/* A socket bound to `from` (an address that need not be ours); -1 when that cannot be. */
static int sender_on(const struct addr *from)
{
	struct sockaddr_storage ss;
	socklen_t bytes = addr_to_sockaddr(from, 0, &ss);
	int fd = socket(from->bytes == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int one = 1;

	assert_true(fd >= 0);
	if (from->bytes == 16)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&ss, bytes) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static bool send_to(int fd, const char *to, uint16_t port, uint8_t number, size_t payload_bytes)
{
	static uint8_t payload[UDP_DATAGRAM_MAX];
	struct addr a = addr_of(to);
	struct sockaddr_storage ss;
	socklen_t bytes = addr_to_sockaddr(&a, port, &ss);

	payload[0] = number;
	return sendto(fd, payload, payload_bytes, 0, (const struct sockaddr *)&ss, bytes) ==
	       (ssize_t)payload_bytes;
}

static bool send_from(const struct addr *from, const char *to, uint16_t port, uint8_t number)
{
	int fd = sender_on(from);
	bool is_sent;

	if (fd < 0)
		return false;
	is_sent = send_to(fd, to, port, number, PAYLOAD_BYTES);
	(void)close(fd);
	return is_sent;
}

static bool has_ipv6(void)
{
	struct addr a = addr_of("::1");
	int fd = sender_on(&a);

	if (fd < 0)
		return false;
	(void)close(fd);
	return true;
}

static struct addr source_v4(unsigned i)
{
	return addr_of_v4(0x7f000001u + i * 7919u % 0xfffff0u);
}

static struct addr source_v6(unsigned i)
{
	struct addr a = addr_of("fd00:1:2:3::");

	a.octets[5] = (uint8_t)(i * 37);
	a.octets[9] = (uint8_t)(i * 11);
	a.octets[15] = (uint8_t)i;
	return a;
}

static void owner_is_even(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 8; workers++) {
		unsigned v4[8] = { 0 };
		unsigned v6[8] = { 0 };

		for (uint32_t i = 0; i < 8192; i++) {
			struct addr a = addr_of_v4(0x0a000000u + i);
			struct addr six = addr_of("2001:db8::");
			struct addr mapped = addr_of("::ffff:0.0.0.0");

			memcpy(mapped.octets + 12, a.octets, 4);
			six.octets[14] = (uint8_t)(i >> 8);
			six.octets[15] = (uint8_t)i;
			assert_int_equal(udp_owner(&a, workers), udp_owner(&mapped, workers));
			v4[udp_owner(&a, workers)]++;
			v6[udp_owner(&six, workers)]++;
		}
		for (unsigned w = 0; w < workers; w++) {
			assert_in_range(v4[w], 8192 / workers * 85 / 100,
					8192 / workers * 115 / 100);
			assert_in_range(v6[w], 8192 / workers * 85 / 100,
					8192 / workers * 115 / 100);
		}
	}
}

/* What the kernel chose is what udp_owner() says when nothing had to be handed over. */
static void kernel_steers_as_owner(void **state)
{
	static const char *const listens[] = { "127.0.0.1", "0.0.0.0", "::1", "::", NULL };

	(void)state;
	for (size_t l = 0; l < sizeof(listens) / sizeof(listens[0]); l++) {
		bool takes_v6 = listens[l] == NULL || strchr(listens[l], ':') != NULL;
		bool takes_v4 = listens[l] == NULL || strcmp(listens[l], "::1") != 0;

		if (takes_v6 && listens[l] != NULL && !has_ipv6())
			continue;
		for (unsigned workers = 1; workers <= WORKERS; workers++) {
			struct addr one = addr_of("::1");
			uint64_t sent = 0;
			struct bench b;

			open_on(&b, listens[l], workers);
			for (unsigned i = 0; i < SENDERS; i++) {
				struct addr v4 = source_v4(i);
				struct addr v6 = source_v6(i);

				sent += takes_v4 && send_from(&v4, "127.0.0.1", b.port, 1);
				sent += takes_v6 && send_from(&v6, "::1", b.port, 1);
			}
			if (takes_v4)
				assert_true(sent >= SENDERS);
			if (takes_v6 && has_ipv6()) {
				assert_true(send_from(&one, "::1", b.port, 1));
				sent++;
			}
			drain(&b);
			assert_int_equal(calls(&b), sent);
			assert_int_equal(sum(&b, STAT_UNITS_UDP), sent);
			assert_int_equal(sum(&b, STAT_OCTETS), sent * PAYLOAD_BYTES);
			assert_int_equal(sum(&b, STAT_RESTEERED), 0);
			for (unsigned w = 0; takes_v4 && w < workers; w++)
				assert_true(b.calls[w] > 0);
			close_group(&b);
			free_stats(&b);
		}
	}
}

static void origin_is_told(void **state)
{
	struct addr from = addr_of("127.9.8.7");
	struct sockaddr_storage ss = { 0 };
	socklen_t bytes = sizeof(ss);
	uint16_t port;
	struct bench b;
	int fd = sender_on(&from);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &bytes), 0);
	(void)addr_of_sockaddr(&ss, &port);
	open_on(&b, NULL, 1);
	assert_true(send_to(fd, "127.0.0.1", b.port, 5, 1400));
	assert_int_equal(udp_worker_receive(udp_group_worker(b.group, 0), 1000, take, &b), 1);
	assert_true(addr_equal(&b.last.peer, &from));
	assert_int_equal(b.last.port, port);
	assert_int_equal(b.last.local_port, b.port);
	assert_int_equal(b.last.transport, TRANSPORT_UDP);
	assert_in_range(b.last.receive_ms, clock_real_ms() - 5000, clock_real_ms());
	assert_int_equal(b.last_bytes, 1400);
	assert_int_equal(b.seen, 5);
	/* An empty datagram is one too. */
	assert_true(send_to(fd, "127.0.0.1", b.port, 0, 0));
	assert_int_equal(udp_worker_receive(udp_group_worker(b.group, 0), 1000, take, &b), 1);
	assert_int_equal(b.last_bytes, 0);
	assert_int_equal(sum(&b, STAT_UNITS_UDP), 2);
	(void)close(fd);
	close_group(&b);
	free_stats(&b);
}

/* More than a batch, in order, the largest datagrams whole, and nothing is allocated. */
static void batches_in_order(void **state)
{
	struct udp_listen listen = { .address = addr_of("127.0.0.1"), .rcvbuf = 8 << 20 };
	struct udp_conf conf = {
		.listens = &listen, .listen_count = 1, .worker_count = 1, .batch_count = 7
	};
	struct addr from = addr_of("127.0.0.1");
	struct mallinfo2 before;
	struct mallinfo2 after;
	struct bench b;
	int fd = sender_on(&from);

	(void)state;
	open_conf(&b, &conf);
	for (unsigned i = 0; i < 20; i++)
		assert_true(send_to(fd, "127.0.0.1", b.port, 1, i % 2 == 0 ? 65507 : 3));
	before = mallinfo2();
	assert_int_equal(udp_worker_receive(udp_group_worker(b.group, 0), 1000, take, &b), 7);
	assert_int_equal(b.last_bytes, 65507);
	assert_int_equal(udp_worker_drain(udp_group_worker(b.group, 0), 6, take, &b), 6);
	assert_int_equal(b.last_bytes, 65507);
	assert_int_equal(udp_worker_receive(udp_group_worker(b.group, 0), 1000, take, &b), 7);
	assert_int_equal(udp_worker_receive(udp_group_worker(b.group, 0), 0, take, &b), 0);
	after = mallinfo2();
	assert_int_equal(before.uordblks, after.uordblks);
	assert_int_equal(sum(&b, STAT_UNITS_UDP), 20);
	(void)close(fd);
	close_group(&b);
	free_stats(&b);
}

static void too_long_is_counted(void **state)
{
	struct udp_listen listen = { .address = addr_of("127.0.0.1") };
	struct udp_conf conf = {
		.listens = &listen, .listen_count = 1, .worker_count = 1, .datagram_max = 100
	};
	struct addr from = addr_of("127.0.0.1");
	struct bench b;
	int fd = sender_on(&from);

	(void)state;
	open_conf(&b, &conf);
	assert_true(send_to(fd, "127.0.0.1", b.port, 1, 100));
	assert_true(send_to(fd, "127.0.0.1", b.port, 1, 101));
	assert_true(send_to(fd, "127.0.0.1", b.port, 1, 99));
	drain(&b);
	assert_int_equal(calls(&b), 2);
	assert_int_equal(sum(&b, STAT_UNITS_UDP), 3);
	assert_int_equal(sum(&b, STAT_UNIT_TRUNCATED), 1);
	(void)close(fd);
	close_group(&b);
	free_stats(&b);
}

/* What the kernel had before the stop is read, and what comes behind it is counted: nothing is in between. */
static void shut_and_drained(void **state)
{
	struct udp_listen listen = { .address = addr_of("127.0.0.1"), .rcvbuf = 65536 };
	struct udp_conf conf = { .listens = &listen, .listen_count = 1, .worker_count = 1 };
	struct addr from = addr_of("127.0.0.1");
	struct udp_worker *w;
	uint64_t kernel_drops;
	struct bench b;
	int fd = sender_on(&from);

	(void)state;
	open_conf(&b, &conf);
	w = udp_group_worker(b.group, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(send_to(fd, "127.0.0.1", b.port, 1, 1400));
	udp_worker_shut(w);
	kernel_drops = sum(&b, STAT_KERNEL_DROPS);
	assert_in_range(kernel_drops, 1, 999);
	for (unsigned i = 0; i < 7; i++)
		assert_true(send_to(fd, "127.0.0.1", b.port, 1, 1400));
	drain(&b);
	assert_int_equal(calls(&b), 1000 - kernel_drops);
	/* There is room again, and nobody takes it. */
	assert_true(send_to(fd, "127.0.0.1", b.port, 1, 1400));
	assert_int_equal(udp_worker_receive(w, 0, take, &b), 0);
	for (unsigned i = 0; i < 2; i++) {
		udp_worker_finish(w);
		assert_int_equal(sum(&b, STAT_UNITS_UDP), 1000 - kernel_drops);
		assert_int_equal(sum(&b, STAT_KERNEL_DROPS), kernel_drops);
		assert_int_equal(sum(&b, STAT_STOPPING_DROPS), 8);
		assert_int_equal(sum(&b, STAT_UNIT_SHUTDOWN), 0);
	}
	(void)close(fd);
	close_group(&b);
	free_stats(&b);
}

/* No time to drain: what lies there is refused, and counted as such. */
static void left_is_refused(void **state)
{
	struct addr from = addr_of("127.0.0.1");
	struct bench b;
	int fd = sender_on(&from);

	(void)state;
	open_on(&b, "127.0.0.1", 1);
	for (unsigned i = 0; i < 100; i++)
		assert_true(send_to(fd, "127.0.0.1", b.port, 1, 10));
	udp_worker_shut(udp_group_worker(b.group, 0));
	assert_int_equal(udp_worker_drain(udp_group_worker(b.group, 0), 30, take, &b), 30);
	udp_worker_finish(udp_group_worker(b.group, 0));
	assert_int_equal(calls(&b), 30);
	assert_int_equal(sum(&b, STAT_UNITS_UDP), 100);
	assert_int_equal(sum(&b, STAT_UNIT_SHUTDOWN), 70);
	(void)close(fd);
	close_group(&b);
	free_stats(&b);
}

/* Every socket of the group gets a broadcast: it must count once. */
static void broadcast_comes_once(void **state)
{
	static const char *const listens[] = { "0.0.0.0", NULL };

	(void)state;
	for (unsigned l = 0; l < 2; l++) {
		struct bench b;

		open_on(&b, listens[l], 4);
		for (unsigned i = 0; i < 100; i++) {
			struct addr from = source_v4(i);

			assert_true(send_from(&from, "127.255.255.255", b.port, 1));
		}
		drain(&b);
		assert_int_equal(sum(&b, STAT_UNITS_UDP), 100);
		assert_int_equal(calls(&b), 100);
		close_group(&b);
		free_stats(&b);
	}
}

/* Multicast comes by worker 0 and is handed to the owners, or refused when their store is full. */
static void multicast_is_handed_over(void **state)
{
	static const struct {
		const char *listen;
		uint32_t handover_bytes;
	} cases[] = { { "0.0.0.0", 0 }, { NULL, 0 }, { "0.0.0.0", 1024 } };
	struct udp_multicast group = { addr_of("239.1.2.3"), "" };

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct udp_listen listen = { .address = addr_of(cases[c].listen),
					     .interface = "lo",
					     .multicast = &group,
					     .multicast_count = 1 };
		struct udp_conf conf = { .listens = &listen,
					 .listen_count = 1,
					 .worker_count = 3,
					 .handover_bytes = cases[c].handover_bytes };
		struct ip_mreqn lo = { .imr_ifindex = (int)if_nametoindex("lo") };
		uint64_t expected = 0;
		uint64_t strays;
		struct bench b;

		open_conf(&b, &conf);
		for (unsigned i = 0; i < 100; i++) {
			struct addr from = source_v4(i);
			int fd = sender_on(&from);

			assert_int_equal(
				setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof(lo)), 0);
			assert_true(send_to(fd, "239.1.2.3", b.port, (uint8_t)i, PAYLOAD_BYTES));
			expected += i;
			(void)close(fd);
		}
		b.at = 0;
		(void)udp_worker_drain(udp_group_worker(b.group, 0), 1 << 20, take, &b);
		assert_int_equal(sum(&b, STAT_UNITS_UDP), 100);
		strays = sum(&b, STAT_RESTEERED);
		assert_int_equal(b.calls[0] + strays, 100);
		/* The owners were woken: no time-out needed. */
		for (b.at = 1; b.at < 3; b.at++)
			assert_true(udp_worker_receive(udp_group_worker(b.group, b.at), 10000, take,
						       &b) > 0);
		assert_int_equal(calls(&b) + sum(&b, STAT_UNIT_HANDOVER), 100);
		if (cases[c].handover_bytes == 0)
			assert_int_equal(b.seen, expected);
		else
			assert_in_range(sum(&b, STAT_UNIT_HANDOVER), 1, strays - 2);
		close_group(&b);
		free_stats(&b);
	}
}

/* What is handed over and never fetched is counted when the group is closed. */
static void left_behind_is_counted(void **state)
{
	struct udp_multicast group = { addr_of("239.1.2.3"), "" };
	struct udp_listen listen = { .address = addr_of("0.0.0.0"),
				     .interface = "lo",
				     .multicast = &group,
				     .multicast_count = 1 };
	struct udp_conf conf = { .listens = &listen, .listen_count = 1, .worker_count = 2 };
	struct ip_mreqn lo = { .imr_ifindex = (int)if_nametoindex("lo") };
	struct bench b;

	(void)state;
	open_conf(&b, &conf);
	for (unsigned i = 0; i < 20; i++) {
		struct addr from = source_v4(i);
		int fd = sender_on(&from);

		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof(lo)), 0);
		assert_true(send_to(fd, "239.1.2.3", b.port, 1, PAYLOAD_BYTES));
		(void)close(fd);
	}
	/* Strays count as taken: a caller that drains until 0 is not led astray by them. */
	assert_int_equal(udp_worker_drain(udp_group_worker(b.group, 0), 20, take, &b), 20);
	assert_int_equal(udp_worker_drain(udp_group_worker(b.group, 0), 20, take, &b), 0);
	close_group(&b);
	assert_true(sum(&b, STAT_RESTEERED) > 0);
	assert_int_equal(sum(&b, STAT_UNIT_HANDOVER), sum(&b, STAT_RESTEERED));
	assert_int_equal(calls(&b) + sum(&b, STAT_UNIT_HANDOVER), 20);
	free_stats(&b);
}

static void kernel_drops_are_counted(void **state)
{
	struct udp_listen listens[2] = { { .address = addr_of("127.0.0.1"), .rcvbuf = 8192 },
					 { .address = addr_of("127.0.0.2"), .rcvbuf = 8192 } };
	struct udp_conf conf = { .listens = listens, .listen_count = 2, .worker_count = 2 };
	struct udp_status rows[4];
	uint64_t shown = 0;
	struct bench b;

	(void)state;
	open_conf(&b, &conf);
	assert_int_equal(udp_group_describe(b.group, rows, 4), 4);
	for (unsigned i = 0; i < 400; i++) {
		struct addr from = source_v4(i % 8);

		assert_true(send_from(&from, i % 2 == 0 ? "127.0.0.1" : "127.0.0.2",
				      rows[i % 2 * 2].port, 1));
	}
	drain(&b);
	assert_true(sum(&b, STAT_KERNEL_DROPS) > 100);
	assert_int_equal(calls(&b) + sum(&b, STAT_KERNEL_DROPS), 400);
	assert_int_equal(udp_group_describe(b.group, rows, 4), 4);
	for (unsigned i = 0; i < 4; i++)
		shown += rows[i].kernel_drops;
	assert_int_equal(shown, sum(&b, STAT_KERNEL_DROPS));
	/* And what comes after the last look, at closing. */
	for (unsigned i = 0; i < 400; i++) {
		struct addr from = source_v4(i % 8);

		assert_true(send_from(&from, "127.0.0.1", rows[0].port, 1));
	}
	close_group(&b);
	assert_true(sum(&b, STAT_KERNEL_DROPS) > shown + 100);
	free_stats(&b);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static void all_or_nothing(void **state)
{
	struct udp_multicast group = { addr_of("10.1.2.3"), "" };
	struct bench holder;
	uint16_t port;
	unsigned descriptors;

	(void)state;
	open_on(&holder, NULL, 2);
	port = holder.port;
	descriptors = open_descriptors();
	{
		const struct {
			const char *what;
			struct udp_listen second;
			enum err e;
			const char *says;
		} cases[] = {
			{ "in use", { .port = port }, ERR_EXISTS, "in use" },
			{ "in use, one family",
			  { .address = addr_of("0.0.0.0"), .port = port },
			  ERR_EXISTS,
			  "0.0.0.0:" },
			{ "not ours",
			  { .address = addr_of("192.0.2.1"), .port = port },
			  ERR_ABSENT,
			  "no such address" },
			{ "no interface", { .interface = "nothing0" }, ERR_ABSENT, "nothing0" },
			{ "not multicast",
			  { .multicast = &group, .multicast_count = 1 },
			  ERR_IO,
			  "multicast 10.1.2.3" },
		};

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			for (unsigned workers = 1; workers <= 3; workers += 2) {
				struct udp_listen listens[2] = {
					{ .address = addr_of("127.0.0.1") }, cases[i].second
				};
				struct udp_conf conf = { .listens = listens,
							 .listen_count = 2,
							 .worker_count = workers };
				struct why why;
				struct bench b;

				assert_int_equal(try_open(&b, &conf, &why), cases[i].e);
				if (strstr(why.text, cases[i].says) == NULL)
					fail_msg("%s: %s", cases[i].what, why.text);
				assert_null(b.group);
				assert_int_equal(open_descriptors(), descriptors);
				free_stats(&b);
			}
		}
	}
	close_group(&holder);
	free_stats(&holder);
}

static void limits_are_refused(void **state)
{
	struct udp_listen listen = { .address = addr_of("127.0.0.1") };
	const struct udp_conf cases[] = {
		{ &listen, 1, 0, 0, 0, 0 },
		{ &listen, 1, UDP_WORKERS_MAX + 1, 0, 0, 0 },
		{ &listen, 1, 1, UDP_BATCH_MAX + 1, 0, 0 },
		{ &listen, 1, 1, 0, UDP_DATAGRAM_MAX + 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct udp_group *g = NULL;
		struct why why;

		assert_int_equal(udp_group_open(&cases[i], NULL, &g, &why), ERR_LIMIT);
		assert_null(g);
	}
}

static void v6only_leaves_ipv4(void **state)
{
	struct udp_listen listens[2] = { { .v6only = true }, { .address = addr_of("0.0.0.0") } };
	struct udp_conf conf = { .listens = listens, .listen_count = 1, .worker_count = 2 };
	struct addr v4 = addr_of("127.0.0.1");
	struct addr v6 = addr_of("::1");
	struct udp_status rows[4];
	struct bench first;
	struct bench b;

	(void)state;
	if (!has_ipv6())
		skip();
	/* The port of the first run is free again when the second asks for it, for both families. */
	open_conf(&first, &conf);
	listens[0].port = listens[1].port = first.port;
	close_group(&first);
	free_stats(&first);
	conf.listen_count = 2;
	open_conf(&b, &conf);
	assert_int_equal(udp_group_describe(b.group, rows, 4), 4);
	assert_int_equal(rows[0].address.bytes, 16);
	assert_false(rows[0].is_dual);
	assert_int_equal(rows[2].address.bytes, 4);
	assert_true(send_from(&v4, "127.0.0.1", b.port, 1));
	assert_true(send_from(&v6, "::1", b.port, 1));
	drain(&b);
	assert_int_equal(calls(&b), 2);
	close_group(&b);
	free_stats(&b);
}

/* In a child without privileges: the buffer is what the kernel allows, and a low port is refused. */
static int unprivileged(void)
{
	struct udp_listen listen = { .address = addr_of("127.0.0.1"), .rcvbuf = 1u << 30 };
	struct udp_conf conf = { .listens = &listen, .listen_count = 1, .worker_count = 1 };
	struct udp_status row;
	struct udp_group *g = NULL;
	struct stat_set *set;
	struct why why;
	long allowed = 0;
	long first_port = 1024;
	FILE *f = fopen("/proc/sys/net/core/rmem_max", "re");

	if (f == NULL || fscanf(f, "%ld", &allowed) != 1)
		return 10;
	(void)fclose(f);
	f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	if (f != NULL && fscanf(f, "%ld", &first_port) != 1)
		return 11;
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
		return 12;
	if (stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &set) != ERR_OK)
		return 13;
	log_set_level(LOG_LEVEL_ERROR);
	if (udp_group_open(&conf, &set, &g, &why) != ERR_OK)
		return 14;
	if (udp_group_describe(g, &row, 1) != 1 || row.rcvbuf_asked != 1u << 30)
		return 15;
	if (row.rcvbuf != allowed)
		return 16;
	udp_group_close(g);
	listen.port = 1;
	if (first_port > 1 && (udp_group_open(&conf, &set, &g, &why) != ERR_PERM ||
			       strstr(why.text, "127.0.0.1:1:") == NULL))
		return 17;
	return 0;
}

static void kernel_limits_are_told(void **state)
{
	int status = -1;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(unprivileged());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

struct runner {
	struct bench *b;
	unsigned number;
	uint64_t calls;
	struct stat_flag stop;
	struct thread *thread;
};

static void take_on_thread(void *ctx, const uint8_t *octets, size_t bytes,
			   const struct origin *origin)
{
	struct runner *r = ctx;

	assert_int_equal(bytes, PAYLOAD_BYTES);
	assert_int_equal(udp_owner(&origin->peer, r->b->worker_count), r->number);
	r->calls += octets[0];
}

static void run_worker(void *ctx)
{
	struct runner *r = ctx;
	struct udp_worker *w = udp_group_worker(r->b->group, r->number);

	while (!stat_flag_get(&r->stop))
		(void)udp_worker_receive(w, -1, take_on_thread, r);
	(void)udp_worker_drain(w, SIZE_MAX, take_on_thread, r);
}

/* Three workers on threads, waiting without limit: unicast, strays, and the wake that ends them. */
static void workers_meet(void **state)
{
	struct udp_multicast group = { addr_of("239.1.2.3"), "" };
	struct udp_listen listen = { .address = addr_of("0.0.0.0"),
				     .interface = "lo",
				     .rcvbuf = 4 << 20,
				     .multicast = &group,
				     .multicast_count = 1 };
	struct udp_conf conf = { .listens = &listen, .listen_count = 1, .worker_count = 3 };
	struct ip_mreqn lo = { .imr_ifindex = (int)if_nametoindex("lo") };
	struct runner runners[3] = { 0 };
	uint64_t taken = 0;
	struct bench b;

	(void)state;
	open_conf(&b, &conf);
	for (unsigned i = 0; i < 3; i++) {
		runners[i].b = &b;
		runners[i].number = i;
		assert_int_equal(
			thread_start("udp-test", run_worker, &runners[i], &runners[i].thread),
			ERR_OK);
	}
	for (unsigned i = 0; i < 3000; i++) {
		struct addr from = source_v4(i % 50);
		int fd = sender_on(&from);

		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof(lo)), 0);
		assert_true(send_to(fd, i % 2 == 0 ? "239.1.2.3" : "127.0.0.1", b.port, 1,
				    PAYLOAD_BYTES));
		(void)close(fd);
	}
	for (unsigned i = 0; i < 3; i++) {
		stat_flag_set(&runners[i].stop, 1);
		udp_worker_wake(udp_group_worker(b.group, i));
		thread_join(runners[i].thread);
		taken += runners[i].calls;
	}
	close_group(&b);
	assert_true(sum(&b, STAT_RESTEERED) > 500);
	assert_int_equal(sum(&b, STAT_UNITS_UDP) + sum(&b, STAT_KERNEL_DROPS), 3000);
	assert_int_equal(taken + sum(&b, STAT_UNIT_HANDOVER), sum(&b, STAT_UNITS_UDP));
	free_stats(&b);
}

/* Every worker in turn, as threads would be asked. */
static void change_to(struct bench *b, const struct udp_listen *listens, size_t count)
{
	struct udp_change *c;
	struct why why = { "" };

	if (udp_change_open(b->group, listens, count, &c, &why) != ERR_OK)
		fail_msg("%s", why.text);
	for (unsigned i = 0; i < b->worker_count; i++)
		assert_int_equal(udp_change_begin(c, i), ERR_OK);
	for (b->at = 0; b->at < b->worker_count; b->at++)
		udp_change_end(c, b->at, take, b);
	udp_change_close(c);
}

static uint16_t port_of(const struct bench *b, size_t entry)
{
	struct udp_status rows[WORKERS * 4];

	assert_true(udp_group_describe(b->group, rows, WORKERS * 4) > entry * b->worker_count);
	return rows[entry * b->worker_count].port;
}

static void send_many(uint16_t port, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct addr from = source_v4(i);

		assert_true(send_from(&from, "127.0.0.1", port, 1));
	}
}

/* The place of a socket in the system: it stays as long as the socket does. */
static ino_t socket_of(uint16_t port, ino_t not_this)
{
	char line[512];
	FILE *f = fopen("/proc/self/net/udp", "re");
	unsigned long found = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned at;
		unsigned long inode;

		if (sscanf(line, "%*d: %*[0-9A-F]:%x %*s %*s %*s %*s %*s %*s %*s %lu", &at,
			   &inode) == 2 &&
		    at == port && inode != not_this)
			found = inode;
	}
	(void)fclose(f);
	return found;
}

static void entries_come_and_go(void **state)
{
	static const unsigned worker_counts[] = { 1, WORKERS };

	(void)state;
	for (size_t n = 0; n < 2; n++) {
		struct udp_listen three[] = {
			{ .address = addr_of("127.0.0.1"), .rcvbuf = 1 << 20 },
			{ .address = addr_of("127.0.0.1"), .rcvbuf = 1 << 20 },
			{ .address = addr_of("127.0.0.1"), .rcvbuf = 1 << 19 },
		};
		struct udp_conf conf = { .listens = three,
					 .listen_count = 2,
					 .worker_count = worker_counts[n] };
		struct bench b;
		uint16_t stays;
		uint16_t goes;
		ino_t inode;
		unsigned open_before;

		open_conf(&b, &conf);
		stays = port_of(&b, 0);
		goes = port_of(&b, 1);
		inode = socket_of(stays, 0);
		assert_int_not_equal(inode, 0);
		open_before = open_descriptors();
		send_many(stays, SENDERS);
		send_many(goes, SENDERS);
		three[1] = three[2];
		change_to(&b, three, 2);
		assert_int_equal(sum(&b, STAT_LISTEN_CLOSED_READ), SENDERS);
		assert_int_equal(port_of(&b, 0), stays);
		if (worker_counts[n] == 1)
			assert_int_equal(socket_of(stays, 0), inode);
		assert_int_equal(open_descriptors(), open_before);
		assert_int_equal(socket_of(goes, 0), 0);
		send_many(stays, SENDERS);
		send_many(port_of(&b, 1), SENDERS);
		drain(&b);
		assert_int_equal(calls(&b), 4 * SENDERS);
		assert_int_equal(sum(&b, STAT_KERNEL_DROPS) + sum(&b, STAT_STOPPING_DROPS), 0);

		change_to(&b, three, 0);
		assert_int_equal(udp_group_describe(b.group, NULL, 0), 0);
		change_to(&b, three, 3);
		send_many(port_of(&b, 2), SENDERS);
		drain(&b);
		assert_int_equal(calls(&b), 5 * SENDERS);
		close_group(&b);
		free_stats(&b);
	}
}

/* Another buffer, or another family, at the very same port: both are open for a while, and nothing is lost. */
static void entry_changes_in_place(void **state)
{
	static const struct {
		unsigned worker_count;
		const char *before;
		const char *after;
	} cases[] = { { 1, "127.0.0.1", "127.0.0.1" },	   { 1, "0.0.0.0", "127.0.0.1" },
		      { 1, "127.0.0.1", "0.0.0.0" },	   { WORKERS, "127.0.0.1", "127.0.0.1" },
		      { WORKERS, "0.0.0.0", "127.0.0.1" }, { WORKERS, "127.0.0.1", "0.0.0.0" } };

	(void)state;
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct udp_listen listen = { .address = addr_of(cases[n].before),
					     .rcvbuf = 1 << 20 };
		struct udp_conf conf = { .listens = &listen,
					 .listen_count = 1,
					 .worker_count = cases[n].worker_count };
		struct why why = { "" };
		struct udp_change *c;
		struct bench b;
		uint16_t port = 0;
		uint64_t strays;

		/* A port that stays while the entry changes. */
		open_conf(&b, &conf);
		port = b.port;
		close_group(&b);
		free_stats(&b);
		listen.port = port;
		open_conf(&b, &conf);
		send_many(port, SENDERS);
		listen.rcvbuf = 1 << 19;
		listen.address = addr_of(cases[n].after);
		if (udp_change_open(b.group, &listen, 1, &c, &why) != ERR_OK)
			fail_msg("case %zu: %s", n, why.text);
		send_many(port, SENDERS);
		for (unsigned i = 0; i < b.worker_count; i++)
			assert_int_equal(udp_change_begin(c, i), ERR_OK);
		send_many(port, SENDERS);
		for (b.at = 0; b.at < b.worker_count; b.at++) {
			udp_change_end(c, b.at, take, &b);
			send_many(port, SENDERS);
		}
		udp_change_close(c);
		drain(&b);
		assert_int_equal(calls(&b), (3 + b.worker_count) * SENDERS);
		assert_int_equal(sum(&b, STAT_KERNEL_DROPS) + sum(&b, STAT_STOPPING_DROPS), 0);
		/* Each socket has its number again. */
		strays = sum(&b, STAT_RESTEERED);
		send_many(port, SENDERS);
		drain(&b);
		assert_int_equal(sum(&b, STAT_RESTEERED), strays);
		assert_int_equal(calls(&b), (4 + b.worker_count) * SENDERS);
		close_group(&b);
		free_stats(&b);
	}
}

static void failed_change_changes_nothing(void **state)
{
	struct udp_listen listens[] = { { .address = addr_of("127.0.0.1"), .rcvbuf = 1 << 20 },
					{ .address = addr_of("127.0.0.1") },
					{ .address = addr_of("127.0.0.1") } };
	struct udp_conf conf = { .listens = listens, .listen_count = 1, .worker_count = WORKERS };
	struct why why = { "" };
	struct udp_change *c;
	struct bench holder;
	struct bench b;
	unsigned open_before;

	(void)state;
	open_on(&holder, "127.0.0.1", 1);
	open_conf(&b, &conf);
	open_before = open_descriptors();
	send_many(b.port, SENDERS);
	listens[0].rcvbuf = 1 << 19;
	listens[2].port = holder.port;
	assert_int_equal(udp_change_open(b.group, listens, 3, &c, &why), ERR_EXISTS);
	assert_non_null(strstr(why.text, "in use by another program"));
	assert_int_equal(open_descriptors(), open_before);
	listens[2].port = 0;
	listens[2].interface = "nosuch0";
	assert_int_equal(udp_change_open(b.group, listens, 3, &c, &why), ERR_ABSENT);
	assert_int_equal(open_descriptors(), open_before);

	/* And one that was begun is taken back. */
	listens[2].interface = NULL;
	assert_int_equal(udp_change_open(b.group, listens, 3, &c, &why), ERR_OK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(udp_change_begin(c, i), ERR_OK);
	udp_change_undo(c);
	for (b.at = 0; b.at < b.worker_count; b.at++)
		udp_change_end(c, b.at, take, &b);
	udp_change_close(c);
	assert_int_equal(open_descriptors(), open_before);
	assert_int_equal(port_of(&b, 0), b.port);
	send_many(b.port, SENDERS);
	drain(&b);
	assert_int_equal(calls(&b), 2 * SENDERS);
	assert_int_equal(sum(&b, STAT_KERNEL_DROPS), 0);
	close_group(&b);
	free_stats(&b);
	close_group(&holder);
	free_stats(&holder);
}

/* As many as there may be, and not one more; each receives. */
static void many_entries(void **state)
{
	struct udp_listen *listens = calloc(UDP_LISTENS_MAX + 1, sizeof(*listens));
	struct udp_status *rows = calloc(UDP_LISTENS_MAX, sizeof(*rows));
	struct udp_conf conf = { .listens = listens, .listen_count = 1, .worker_count = 1 };
	struct why why = { "" };
	struct udp_change *c;
	struct bench b;

	(void)state;
	assert_non_null(listens);
	assert_non_null(rows);
	for (size_t i = 0; i <= UDP_LISTENS_MAX; i++)
		listens[i].address = addr_of("127.0.0.1");
	open_conf(&b, &conf);
	assert_int_equal(udp_change_open(b.group, listens, UDP_LISTENS_MAX + 1, &c, &why),
			 ERR_LIMIT);
	change_to(&b, listens, UDP_LISTENS_MAX);
	assert_int_equal(udp_group_describe(b.group, rows, UDP_LISTENS_MAX), UDP_LISTENS_MAX);
	for (size_t i = 0; i < UDP_LISTENS_MAX; i++)
		send_many(rows[i].port, 2);
	for (b.at = 0; calls(&b) < 2 * UDP_LISTENS_MAX;)
		assert_true(udp_worker_receive(udp_group_worker(b.group, 0), 1000, take, &b) > 0);
	assert_int_equal(calls(&b), 2 * UDP_LISTENS_MAX);
	close_group(&b);
	free_stats(&b);
	free(listens);
	free(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owner_is_even),
		cmocka_unit_test(kernel_steers_as_owner),
		cmocka_unit_test(origin_is_told),
		cmocka_unit_test(batches_in_order),
		cmocka_unit_test(too_long_is_counted),
		cmocka_unit_test(shut_and_drained),
		cmocka_unit_test(left_is_refused),
		cmocka_unit_test(broadcast_comes_once),
		cmocka_unit_test(multicast_is_handed_over),
		cmocka_unit_test(left_behind_is_counted),
		cmocka_unit_test(kernel_drops_are_counted),
		cmocka_unit_test(all_or_nothing),
		cmocka_unit_test(limits_are_refused),
		cmocka_unit_test(v6only_leaves_ipv4),
		cmocka_unit_test(kernel_limits_are_told),
		cmocka_unit_test(workers_meet),
		cmocka_unit_test(entries_come_and_go),
		cmocka_unit_test(entry_changes_in_place),
		cmocka_unit_test(failed_change_changes_nothing),
		cmocka_unit_test(many_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
