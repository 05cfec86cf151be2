/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every UDP payload of a capture comes out with the right origin, or is counted with its reason;
 * whatever else a file holds does no harm, and a broken file says where.
 * Method: captures built here, octet by octet, for every link type and both formats in both octet
 * orders; tables of packets, fragments and broken files with what must become of each; a capture of
 * each format cut at every octet and with every octet changed.  After each replay, datagrams found must
 * equal datagrams handed on and refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rd.h"
#include "base/thread.h"
#include "base/wr.h"
#include "collector/capture.h"
#include "collector/collector.h"
#include "collector/packet.h"
#include "collector/reassembly.h"
#include "collector/replay.h"

#define FILE_BYTES (24u << 20)
#define PACKET_BYTES 70000u
#define UNITS_KEPT 8

#define LINK_NULL 0u
#define LINK_ETHERNET 1u
#define LINK_RAW 101u
#define LINK_SLL 113u
#define LINK_SLL2 276u

/* 2026-01-31T12:34:56.789Z */
#define TIME_S 1769862896u
#define TIME_MS INT64_C(1769862896789)

/* ---- files ---------------------------------------------------------------------------------- */

struct file {
	struct wr w;
	bool is_little;
	bool is_nano;
};

static uint8_t *file_octets;

static struct file new_file(bool is_little)
{
	struct file f = { wr_of(file_octets, FILE_BYTES), is_little, false };

	return f;
}

static void put16(struct file *f, unsigned v)
{
	uint16_t n = (uint16_t)v;

	wr_u16(&f->w, f->is_little ? __builtin_bswap16(n) : n);
}

static void put32(struct file *f, uint32_t v)
{
	wr_u32(&f->w, f->is_little ? __builtin_bswap32(v) : v);
}

static void put64(struct file *f, uint64_t v)
{
	wr_u64(&f->w, f->is_little ? __builtin_bswap64(v) : v);
}

static void pcap_head(struct file *f, uint32_t link_type)
{
	put32(f, f->is_nano ? 0xA1B23C4D : 0xA1B2C3D4);
	put16(f, 2);
	put16(f, 4);
	put32(f, 0);
	put32(f, 0);
	put32(f, 65535);
	put32(f, link_type);
}

/* A record of a frame of `bytes`, of which the file holds `held`. */
static void pcap_record(struct file *f, int64_t time_ms, const uint8_t *octets, size_t bytes,
			size_t held)
{
	put32(f, (uint32_t)(time_ms / 1000));
	put32(f, (uint32_t)(time_ms % 1000) * (f->is_nano ? 1000000 : 1000));
	put32(f, (uint32_t)held);
	put32(f, (uint32_t)bytes);
	wr_bytes(&f->w, octets, held);
}

/* A block of pcapng: opened, filled, and its lengths set when it is closed. */
static size_t block_open(struct file *f, uint32_t type)
{
	size_t at = wr_used(&f->w);

	put32(f, type);
	put32(f, 0);
	return at;
}

static void block_close(struct file *f, size_t at)
{
	static const uint8_t padding[4];
	size_t bytes;
	struct file patch = *f;

	wr_bytes(&f->w, padding, (4 - wr_used(&f->w) % 4) % 4);
	bytes = wr_used(&f->w) + 4 - at;
	put32(f, (uint32_t)bytes);
	patch.w = wr_of(file_octets + at + 4, 4);
	put32(&patch, (uint32_t)bytes);
}

static void section(struct file *f)
{
	size_t at = block_open(f, 0x0A0D0D0A);

	put32(f, 0x1A2B3C4D);
	put16(f, 1);
	put16(f, 0);
	put64(f, UINT64_MAX);
	block_close(f, at);
}

static void option(struct file *f, unsigned code, const void *octets, size_t bytes)
{
	static const uint8_t padding[4];

	put16(f, code);
	put16(f, (unsigned)bytes);
	wr_bytes(&f->w, octets, bytes);
	wr_bytes(&f->w, padding, (4 - bytes % 4) % 4);
}

/* With if_tsresol and if_tsoffset when they are not the defaults. */
static void interface(struct file *f, unsigned link_type, uint8_t resolution, int64_t offset_s)
{
	size_t at = block_open(f, 1);
	uint64_t offset = f->is_little ? (uint64_t)offset_s :
					 __builtin_bswap64((uint64_t)offset_s);

	put16(f, link_type);
	put16(f, 0);
	put32(f, 0);
	option(f, 2, "eth0", 4);
	if (resolution != 6)
		option(f, 9, &resolution, 1);
	if (offset_s != 0)
		option(f, 14, &offset, 8);
	put32(f, 0);
	block_close(f, at);
}

static void enhanced(struct file *f, uint32_t number, uint64_t stamp, const uint8_t *octets,
		     size_t bytes, size_t held)
{
	size_t at = block_open(f, 6);

	put32(f, number);
	put32(f, (uint32_t)(stamp >> 32));
	put32(f, (uint32_t)stamp);
	put32(f, (uint32_t)held);
	put32(f, (uint32_t)bytes);
	wr_bytes(&f->w, octets, held);
	block_close(f, at);
}

static void simple(struct file *f, const uint8_t *octets, size_t bytes)
{
	size_t at = block_open(f, 3);

	put32(f, (uint32_t)bytes);
	wr_bytes(&f->w, octets, bytes);
	block_close(f, at);
}

/* ---- packets -------------------------------------------------------------------------------- */

static uint8_t packet_octets[PACKET_BYTES];

static struct wr new_packet(void)
{
	memset(packet_octets, 0, sizeof(packet_octets));
	return wr_of(packet_octets, sizeof(packet_octets));
}

static void put_link(struct wr *w, uint32_t link_type, bool is_v6)
{
	uint16_t ethertype = is_v6 ? 0x86dd : 0x0800;
	uint32_t family = is_v6 ? 10 : 2;

	switch (link_type) {
	case LINK_NULL: /* of a little-endian machine */
		wr_u32(w, __builtin_bswap32(family));
		break;
	case 108:
		wr_u32(w, is_v6 ? 24 : 2);
		break;
	case LINK_ETHERNET:
		(void)wr_take(w, 12);
		wr_u16(w, ethertype);
		break;
	case LINK_SLL:
		(void)wr_take(w, 14);
		wr_u16(w, ethertype);
		break;
	case LINK_SLL2:
		wr_u16(w, ethertype);
		(void)wr_take(w, 18);
		break;
	default:
		break;
	}
}

/* An IPv4 header from 192.0.2.7 to 198.51.100.1; `fragment` is the whole word with its flags. */
static void put_ipv4(struct wr *w, size_t payload_bytes, uint8_t protocol, unsigned id,
		     unsigned fragment)
{
	wr_u8(w, 0x45);
	wr_u8(w, 0);
	wr_u16(w, (uint16_t)(20 + payload_bytes));
	wr_u16(w, (uint16_t)id);
	wr_u16(w, (uint16_t)fragment);
	wr_u8(w, 64);
	wr_u8(w, protocol);
	wr_u16(w, 0);
	wr_u32(w, 0xC0000207);
	wr_u32(w, 0xC6336401);
}

/* From 2001:db8::7 to 2001:db8::1. */
static void put_ipv6(struct wr *w, size_t payload_bytes, uint8_t next)
{
	wr_u32(w, 0x60000000);
	wr_u16(w, (uint16_t)payload_bytes);
	wr_u8(w, next);
	wr_u8(w, 64);
	for (unsigned i = 0; i < 2; i++) {
		wr_u32(w, 0x20010DB8);
		wr_u64(w, 0);
		wr_u32(w, i == 0 ? 7 : 1);
	}
}

/* From port 5000 to 2055, counting octets as payload. */
static void put_udp(struct wr *w, size_t payload_bytes)
{
	wr_u16(w, 5000);
	wr_u16(w, 2055);
	wr_u16(w, (uint16_t)(8 + payload_bytes));
	wr_u16(w, 0);
	for (size_t i = 0; i < payload_bytes; i++)
		wr_u8(w, (uint8_t)i);
}

static size_t udp_packet(uint32_t link_type, bool is_v6, size_t payload_bytes)
{
	struct wr w = new_packet();

	put_link(&w, link_type, is_v6);
	if (is_v6)
		put_ipv6(&w, 8 + payload_bytes, 17);
	else
		put_ipv4(&w, 8 + payload_bytes, 17, 1, 0);
	put_udp(&w, payload_bytes);
	return wr_used(&w);
}

/* ---- replays -------------------------------------------------------------------------------- */

struct unit {
	struct origin origin;
	size_t bytes;
	bool is_counting; /* the payload is 0, 1, 2 ... */
};

struct result {
	enum err e;
	struct why why;
	struct stat_set *stat;
	uint64_t calls;
	uint64_t octets;
	struct unit units[UNITS_KEPT];
};

static void take(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	struct result *r = ctx;
	struct unit u = { *origin, bytes, true };

	for (size_t i = 0; i < bytes; i++)
		u.is_counting = u.is_counting && octets[i] == (uint8_t)i;
	if (r->calls < UNITS_KEPT)
		r->units[r->calls] = u;
	r->calls++;
	r->octets += bytes;
}

static uint64_t count(const struct result *r, enum collector_stat id)
{
	return stat_get(r->stat, id);
}

static uint64_t refused(const struct result *r)
{
	return count(r, STAT_UNIT_FRAGMENT) + count(r, STAT_UNIT_CHECKSUM) + count(r, STAT_UNIT_CUT);
}

static void balance(const struct result *r)
{
	assert_int_equal(count(r, STAT_UNITS_REPLAY), r->calls + refused(r));
	assert_int_equal(count(r, STAT_OCTETS), r->octets);
	assert_true(count(r, STAT_REPLAY_SKIPPED) + count(r, STAT_REPLAY_FRAGMENTS) <=
		    count(r, STAT_REPLAY_FRAMES));
}

static int descriptor_of(const uint8_t *octets, size_t bytes)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, octets, bytes), bytes);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Replays octets as a file; free_result() follows. */
static void replay_octets(struct result *r, const uint8_t *octets, size_t bytes,
			  const struct replay_conf *conf)
{
	int fd = descriptor_of(octets, bytes);

	memset(r, 0, sizeof(*r));
	assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &r->stat), ERR_OK);
	r->e = replay_fd(fd, "capture", conf, take, r, r->stat, &r->why);
	balance(r);
	(void)close(fd);
}

static void replay_file(struct result *r, const struct file *f)
{
	assert_false(f->w.is_full);
	replay_octets(r, file_octets, wr_used(&f->w), NULL);
	if (r->e != ERR_OK)
		fail_msg("%s", r->why.text);
}

static void free_result(struct result *r)
{
	stat_set_free(r->stat);
}

static void check_unit(const struct unit *u, bool is_v6, size_t bytes, int64_t time_ms)
{
	char text[ADDR_TEXT_BYTES];

	(void)addr_text(&u->origin.peer, text);
	assert_string_equal(text, is_v6 ? "2001:db8::7" : "192.0.2.7");
	assert_int_equal(u->origin.port, 5000);
	assert_int_equal(u->origin.local_port, 2055);
	assert_int_equal(u->origin.transport, TRANSPORT_REPLAY);
	assert_int_equal(u->origin.receive_ms, time_ms);
	assert_int_equal(u->bytes, bytes);
	assert_true(u->is_counting);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static const uint32_t link_types[] = { LINK_NULL, LINK_ETHERNET, 12,  14,  LINK_RAW,
				       108,	  LINK_SLL,	 228, 229, LINK_SLL2 };

static void every_link_type(void **state)
{
	(void)state;
	for (size_t l = 0; l < sizeof(link_types) / sizeof(link_types[0]); l++) {
		for (unsigned kind = 0; kind < 12; kind++) {
			bool is_v6 = kind % 2 != 0;
			struct file f = new_file(kind / 2 % 2 != 0);
			size_t bytes = udp_packet(link_types[l], is_v6, 100);
			struct result r;

			if (kind < 8) {
				f.is_nano = kind >= 4;
				pcap_head(&f, link_types[l]);
				pcap_record(&f, TIME_MS, packet_octets, bytes, bytes);
			} else {
				section(&f);
				interface(&f, link_types[l], 6, 0);
				enhanced(&f, 0, (uint64_t)TIME_MS * 1000, packet_octets, bytes, bytes);
			}
			replay_file(&r, &f);
			assert_int_equal(r.calls, 1);
			check_unit(&r.units[0], is_v6, 100, TIME_MS);
			assert_int_equal(count(&r, STAT_REPLAY_FRAMES), 1);
			free_result(&r);
		}
	}
}

static void unknown_link_type(void **state)
{
	struct file f = new_file(true);
	size_t bytes = udp_packet(LINK_RAW, false, 10);
	struct result r;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	pcap_head(&f, 105);
	pcap_record(&f, TIME_MS, packet_octets, bytes, bytes);
	replay_octets(&r, file_octets, wr_used(&f.w), NULL);
	assert_int_equal(r.e, ERR_UNSUPPORTED);
	assert_non_null(strstr(r.why.text, "105"));
	assert_int_equal(count(&r, STAT_REPLAY_SKIPPED), 1);
	free_result(&r);
	/* Beside one that is known it is only skipped. */
	f = new_file(true);
	section(&f);
	interface(&f, 105, 6, 0);
	interface(&f, LINK_RAW, 6, 0);
	enhanced(&f, 0, 1, packet_octets, bytes, bytes);
	enhanced(&f, 1, 1, packet_octets, bytes, bytes);
	replay_file(&r, &f);
	assert_int_equal(r.calls, 1);
	assert_int_equal(count(&r, STAT_REPLAY_SKIPPED), 1);
	free_result(&r);
	log_set_level(LOG_LEVEL_INFO);
}

enum fate { UNIT, SKIPPED, WRONG, CUT };

/* A change to a packet: `bytes` octets of `value` at `at`. */
struct edit {
	size_t at;
	unsigned bytes;
	uint32_t value;
};

static void one_packet(const char *what, uint32_t link_type, const uint8_t *octets, size_t bytes,
		       size_t held, enum fate fate)
{
	struct file f = new_file(true);
	struct result r;

	pcap_head(&f, link_type);
	pcap_record(&f, TIME_MS, octets, bytes, held);
	replay_file(&r, &f);
	if (r.calls != (fate == UNIT) || count(&r, STAT_REPLAY_SKIPPED) != (fate == SKIPPED) ||
	    count(&r, STAT_UNIT_CHECKSUM) != (fate == WRONG) ||
	    count(&r, STAT_UNIT_CUT) != (fate == CUT))
		fail_msg("%s: not %d", what, (int)fate);
	free_result(&r);
}

static void edited_packets(void **state)
{
	static const struct {
		const char *what;
		bool is_v6;
		struct edit edits[2];
		enum fate fate;
	} cases[] = {
		{ "sound", false, { { 0 } }, UNIT },
		{ "IPv4 head of 16", false, { { 14, 1, 0x44 } }, SKIPPED },
		{ "version 5", false, { { 14, 1, 0x55 } }, SKIPPED },
		{ "IPv4 total below head", false, { { 16, 2, 19 } }, SKIPPED },
		{ "IPv4 total 0", false, { { 16, 2, 0 } }, SKIPPED },
		{ "TCP", false, { { 23, 1, 6 } }, SKIPPED },
		{ "ARP", false, { { 12, 2, 0x0806 } }, SKIPPED },
		{ "802.3 length", false, { { 12, 2, 100 } }, SKIPPED },
		{ "MPLS", false, { { 12, 2, 0x8847 } }, SKIPPED },
		{ "don't fragment", false, { { 20, 2, 0x4000 } }, UNIT },
		{ "no room for UDP", false, { { 16, 2, 27 } }, WRONG },
		{ "UDP length 7", false, { { 38, 2, 7 } }, WRONG },
		{ "UDP length 0", false, { { 38, 2, 0 } }, WRONG },
		{ "UDP length of the head", false, { { 38, 2, 8 } }, UNIT },
		{ "UDP shorter than IP", false, { { 38, 2, 50 } }, UNIT },
		{ "UDP longer than IP", false, { { 38, 2, 109 } }, WRONG },
		{ "both longer than the frame", false, { { 16, 2, 500 }, { 38, 2, 480 } }, CUT },
		{ "IP longer than the frame", false, { { 16, 2, 500 } }, UNIT },
		{ "wrong checksums", false, { { 24, 2, 0x1234 }, { 40, 2, 0x4321 } }, UNIT },
		{ "sound IPv6", true, { { 0 } }, UNIT },
		{ "IPv6 TCP", true, { { 20, 1, 6 } }, SKIPPED },
		{ "IPv6 ESP", true, { { 20, 1, 50 } }, SKIPPED },
		{ "IPv6 nothing next", true, { { 20, 1, 59 } }, SKIPPED },
		{ "IPv6 payload 0", true, { { 18, 2, 0 } }, WRONG },
		{ "IPv6 payload 7", true, { { 18, 2, 7 } }, WRONG },
		{ "IPv6 UDP too long", true, { { 58, 2, 109 } }, WRONG },
		{ "IPv6 as IPv4", true, { { 12, 2, 0x0800 } }, UNIT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t bytes = udp_packet(LINK_ETHERNET, cases[i].is_v6, 100);

		for (unsigned k = 0; k < 2; k++) {
			const struct edit *e = &cases[i].edits[k];
			struct wr w = wr_of(packet_octets + e->at, 4);

			if (e->bytes == 1)
				wr_u8(&w, (uint8_t)e->value);
			else if (e->bytes == 2)
				wr_u16(&w, (uint16_t)e->value);
		}
		one_packet(cases[i].what, LINK_ETHERNET, packet_octets, bytes, bytes,
			   cases[i].fate);
		/* Padding of short frames belongs to nobody. */
		if (cases[i].fate != CUT && strcmp(cases[i].what, "IP longer than the frame") != 0)
			one_packet(cases[i].what, LINK_ETHERNET, packet_octets, bytes + 20,
				   bytes + 20, cases[i].fate);
	}
}

/* A packet of 20 octets of payload, captured to every length. */
static void snapped_everywhere(void **state)
{
	(void)state;
	for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
		size_t bytes = udp_packet(LINK_ETHERNET, is_v6 != 0, 20);
		size_t ip_end = is_v6 != 0 ? 54 : 34;

		for (size_t held = 0; held <= bytes; held++) {
			enum fate fate = held < ip_end ? SKIPPED : CUT;

			one_packet("snapped", LINK_ETHERNET, packet_octets, bytes, held,
				   held == bytes ? UNIT : fate);
		}
	}
}

static void vlan_tags(void **state)
{
	static const uint16_t types[] = { 0x8100, 0x88A8, 0x9100, 0x9200 };
	static const uint32_t links[] = { LINK_ETHERNET, LINK_SLL };

	(void)state;
	for (unsigned tags = 0; tags < 7; tags++) {
		for (unsigned l = 0; l < 2; l++) {
			struct wr w = new_packet();

			(void)wr_take(&w, links[l] == LINK_ETHERNET ? 12 : 14);
			for (unsigned i = 0; i < tags; i++) {
				wr_u16(&w, types[(tags - i) % 4]);
				wr_u16(&w, 100);
			}
			wr_u16(&w, 0x0800);
			put_ipv4(&w, 18, 17, 1, 0);
			put_udp(&w, 10);
			one_packet("tags", links[l], packet_octets, wr_used(&w), wr_used(&w),
				   tags <= 4 ? UNIT : SKIPPED);
		}
	}
}

static void ipv4_options(void **state)
{
	(void)state;
	for (unsigned words = 0; words <= 10; words++) {
		struct wr w = new_packet();

		put_ipv4(&w, words * 4 + 18, 17, 1, 0);
		packet_octets[0] = (uint8_t)(0x45 + words);
		(void)wr_take(&w, words * 4);
		put_udp(&w, 10);
		one_packet("options", LINK_RAW, packet_octets, wr_used(&w), wr_used(&w), UNIT);
		one_packet("options cut", LINK_RAW, packet_octets, wr_used(&w), 20 + words * 4 - 1,
			   SKIPPED);
	}
}

/* Chains of extension headers: their types, in order, with one 8-octet unit more each time. */
static void ipv6_extensions(void **state)
{
	static const struct {
		const char *what;
		uint8_t types[10];
		enum fate fate;
	} cases[] = {
		{ "hop-by-hop", { 0, 17 }, UNIT },
		{ "routing", { 43, 17 }, UNIT },
		{ "authentication", { 51, 17 }, UNIT },
		{ "atomic fragment", { 44, 17 }, UNIT },
		{ "all", { 0, 60, 43, 44, 51, 60, 135, 17 }, UNIT },
		{ "eight", { 60, 60, 60, 60, 60, 60, 60, 60, 17 }, UNIT },
		{ "nine", { 60, 60, 60, 60, 60, 60, 60, 60, 60, 17 }, SKIPPED },
		{ "TCP behind", { 60, 6 }, SKIPPED },
		{ "ESP", { 60, 50 }, SKIPPED },
	};

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct wr w = new_packet();
		const uint8_t *types = cases[c].types;
		size_t bytes;
		unsigned i;

		put_ipv6(&w, 0, types[0]);
		for (i = 0; types[i] != 17 && types[i] != 6 && types[i] != 50; i++) {
			unsigned units = types[i] == 44 ? 1 : i + 1;

			wr_u8(&w, types[i + 1]);
			wr_u8(&w, (uint8_t)(types[i] == 51 ? units * 2 - 2 : units - 1));
			(void)wr_take(&w, units * 8 - 2);
			if (types[i] == 44)
				packet_octets[wr_used(&w) - 7] = 0;
		}
		put_udp(&w, 10);
		bytes = wr_used(&w);
		w = wr_of(packet_octets + 4, 2);
		wr_u16(&w, (uint16_t)(bytes - 40));
		one_packet(cases[c].what, LINK_RAW, packet_octets, bytes, bytes, cases[c].fate);
		/* Cut within the headers it cannot be known as UDP. */
		one_packet(cases[c].what, LINK_RAW, packet_octets, bytes, bytes - 20, SKIPPED);
		/* A header that runs over the packet. */
		packet_octets[41] = 255;
		if (types[0] != 44)
			one_packet(cases[c].what, LINK_RAW, packet_octets, bytes, bytes, SKIPPED);
	}
}

/* ---- fragments ------------------------------------------------------------------------------ */

#define LAST 1u
#define SNAP 2u
#define SPOIL 4u

/* Octets [from, to) of the datagram of id `id`, at `at_ms`. */
struct piece {
	unsigned id;
	unsigned from;
	unsigned to;
	unsigned flags;
	int64_t at_ms;
};

static void put_piece(struct file *f, bool is_v6, const struct piece *p, unsigned datagram_bytes)
{
	static uint8_t whole[PACKET_BYTES];
	struct wr udp = wr_of(whole, sizeof(whole));
	struct wr w = new_packet();
	unsigned more = (p->flags & LAST) == 0;
	size_t bytes;

	put_udp(&udp, datagram_bytes - 8);
	if (is_v6) {
		put_ipv6(&w, 8 + p->to - p->from, 44);
		wr_u8(&w, 17);
		wr_u8(&w, 0);
		wr_u16(&w, (uint16_t)(p->from | more));
		wr_u32(&w, p->id);
	} else {
		put_ipv4(&w, p->to - p->from, 17, p->id, p->from / 8 | more << 13);
	}
	wr_bytes(&w, whole + p->from, p->to - p->from);
	bytes = wr_used(&w);
	if ((p->flags & SPOIL) != 0)
		packet_octets[bytes - 1] ^= 0xff;
	pcap_record(f, TIME_MS + p->at_ms, packet_octets, bytes,
		    (p->flags & SNAP) != 0 ? bytes - 1 : bytes);
}

static void fragments(void **state)
{
	/* Datagrams of 3000 octets, 2992 of them payload, in pieces. */
	static const struct {
		const char *what;
		struct piece pieces[10];
		unsigned whole;
		unsigned lost;
		unsigned cut;
		unsigned copies;
		unsigned remains;
	} cases[] = {
		{ "in order", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 2960, 0, 0 },
			{ 1, 2960, 3000, LAST, 0 } }, 1, 0, 0 },
		{ "last first", { { 1, 2960, 3000, LAST, 0 }, { 1, 0, 1480, 0, 0 },
			{ 1, 1480, 2960, 0, 0 } }, 1, 0, 0 },
		{ "first last", { { 1, 1480, 2960, 0, 0 }, { 1, 2960, 3000, LAST, 0 },
			{ 1, 0, 1480, 0, 0 } }, 1, 0, 0 },
		{ "two interleaved", { { 1, 0, 1480, 0, 0 }, { 2, 0, 1480, 0, 0 },
			{ 1, 1480, 3000, LAST, 0 }, { 2, 1480, 3000, LAST, 0 } }, 2, 0, 0 },
		{ "one piece missing", { { 1, 0, 1480, 0, 0 }, { 1, 2960, 3000, LAST, 0 } }, 0, 1, 0 },
		{ "the end missing", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 2960, 0, 0 } }, 0, 1, 0 },
		{ "the start missing", { { 1, 1480, 3000, LAST, 0 } }, 0, 1, 0 },
		{ "copies", { { 1, 0, 1480, 0, 0 }, { 1, 0, 1480, 0, 0 },
			{ 1, 1480, 3000, LAST, 0 }, { 1, 1480, 3000, LAST, 1 } }, 1, 0, 0, 2, 0 },
		{ "all copied later", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 0 },
			{ 1, 0, 1480, 0, 900 }, { 1, 1480, 3000, LAST, 901 } }, 1, 0, 0, 2, 0 },
		{ "id used again at once", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 0 },
			{ 1, 0, 1480, SPOIL, 300 }, { 1, 1480, 3000, LAST, 300 } }, 2, 0, 0, 0, 0 },
		{ "id used again, last first", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 0 },
			{ 1, 1480, 3000, LAST | SPOIL, 300 }, { 1, 0, 1480, 0, 300 } }, 2, 0, 0, 0, 0 },
		{ "id used again, cut otherwise", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 0 },
			{ 1, 0, 1400, 0, 300 }, { 1, 1400, 3000, LAST, 300 } }, 2, 0, 0, 0, 0 },
		{ "id used again, one missing", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 0 },
			{ 1, 0, 1480, SPOIL, 300 } }, 1, 1, 0, 0, 0 },
		{ "id used again, snapped", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 0 },
			{ 1, 0, 1480, SNAP, 300 }, { 1, 1480, 3000, LAST, 300 } }, 1, 0, 1, 0, 1 },
		{ "id used again", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 0 },
			{ 1, 0, 1480, 0, 1500 }, { 1, 1480, 3000, LAST, 1500 } }, 2, 0, 0 },
		{ "copy that differs", { { 1, 0, 1480, 0, 0 }, { 1, 0, 1480, SPOIL, 0 },
			{ 1, 1480, 3000, LAST, 0 } }, 0, 1, 0, 0, 1 },
		{ "overlap behind", { { 1, 0, 1480, 0, 0 }, { 1, 1472, 3000, LAST, 0 } }, 0, 1, 0 },
		{ "overlap before", { { 1, 1480, 3000, LAST, 0 }, { 1, 0, 1488, 0, 0 } }, 0, 1, 0 },
		{ "overlap within", { { 1, 0, 1480, 0, 0 }, { 1, 8, 16, 0, 0 },
			{ 1, 1480, 3000, LAST, 0 } }, 0, 1, 0, 0, 1 },
		{ "overlap around", { { 1, 8, 16, 0, 0 }, { 1, 0, 1480, 0, 0 },
			{ 1, 1480, 3000, LAST, 0 } }, 0, 1, 0, 0, 1 },
		{ "two ends", { { 1, 0, 1480, 0, 0 }, { 1, 2960, 3000, LAST, 0 },
			{ 1, 1480, 2000, LAST, 0 } }, 0, 1, 0 },
		{ "end before a piece", { { 1, 1480, 2960, 0, 0 }, { 1, 8, 16, LAST, 0 } }, 0, 1, 0 },
		{ "piece behind the end", { { 1, 8, 16, LAST, 0 }, { 1, 1480, 2960, 0, 0 } }, 0, 1, 0 },
		{ "odd piece", { { 1, 0, 1481, 0, 0 }, { 1, 1480, 3000, LAST, 0 } }, 0, 1, 0, 0, 1 },
		{ "empty piece", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 1480, LAST, 0 } }, 0, 1, 0 },
		{ "snapped", { { 1, 0, 1480, SNAP, 0 }, { 1, 1480, 3000, LAST, 0 } }, 0, 0, 1, 0, 1 },
		{ "snapped end", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST | SNAP, 0 } }, 0, 0, 1 },
		{ "nearly too old", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 30000 } }, 1, 0, 0 },
		{ "too old", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, 30001 } }, 0, 2, 0 },
		{ "time goes back", { { 1, 0, 1480, 0, 0 }, { 1, 1480, 3000, LAST, -90000 } }, 1, 0, 0 },
	};

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
			struct file f = new_file(is_v6 != 0);
			unsigned pieces = 0;
			unsigned spoilt = 0;
			struct result r;

			pcap_head(&f, LINK_RAW);
			for (; cases[c].pieces[pieces].id != 0; pieces++) {
				put_piece(&f, is_v6 != 0, &cases[c].pieces[pieces], 3000);
				spoilt |= cases[c].pieces[pieces].flags & SPOIL;
			}
			replay_file(&r, &f);
			if (r.calls != cases[c].whole ||
			    count(&r, STAT_UNIT_FRAGMENT) != cases[c].lost ||
			    count(&r, STAT_UNIT_CUT) != cases[c].cut ||
			    count(&r, STAT_REPLAY_COPIES) != cases[c].copies ||
			    count(&r, STAT_REPLAY_REMAINS) != cases[c].remains)
				fail_msg("%s: %u whole, %u lost", cases[c].what, (unsigned)r.calls,
					 (unsigned)count(&r, STAT_UNIT_FRAGMENT));
			assert_int_equal(count(&r, STAT_REPLAY_FRAGMENTS), pieces);
			for (unsigned i = 0; i < r.calls; i++) {
				/* Only the second use of an id is spoilt. */
				assert_int_equal(!r.units[i].is_counting, i == 1 && spoilt != 0);
				r.units[i].is_counting = true;
				check_unit(&r.units[i], is_v6 != 0, 2992,
					   r.units[i].origin.receive_ms);
			}
			free_result(&r);
		}
	}
}

/* The largest datagram in the smallest of usual pieces, in a shuffled order. */
static void largest_datagram(void **state)
{
	(void)state;
	for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
		unsigned datagram = is_v6 != 0 ? 65527 : 65507;
		unsigned pieces = (datagram + 551) / 552;
		struct file f = new_file(true);
		struct result r;

		pcap_head(&f, LINK_RAW);
		assert_true(pieces < REASSEMBLY_FRAGMENTS_MAX);
		for (unsigned i = 0; i < pieces; i++) {
			unsigned k = i * 11 % pieces;
			struct piece p = { 9, k * 552, (k + 1) * 552, 0, i };

			if (p.to >= datagram) {
				p.to = datagram;
				p.flags = LAST;
			}
			put_piece(&f, is_v6 != 0, &p, datagram);
		}
		assert_int_not_equal(pieces % 11, 0);
		replay_file(&r, &f);
		assert_int_equal(r.calls, 1);
		check_unit(&r.units[0], is_v6 != 0, datagram - 8, TIME_MS + pieces - 1);
		free_result(&r);
	}
}

/* A piece that would end behind 65535. */
static void beyond_the_largest(void **state)
{
	struct file f = new_file(true);
	struct piece p = { 1, 65528, 65544, LAST, 0 };
	struct result r;

	(void)state;
	pcap_head(&f, LINK_RAW);
	put_piece(&f, true, &p, 65600);
	replay_file(&r, &f);
	assert_int_equal(count(&r, STAT_UNIT_FRAGMENT), 1);
	free_result(&r);
}

static void reassembly_limits(void **state)
{
	struct file f = new_file(true);
	struct result r;

	(void)state;
	/* Too many pieces of one datagram: it is lost, once. */
	pcap_head(&f, LINK_RAW);
	for (unsigned i = 0; i <= REASSEMBLY_FRAGMENTS_MAX + 20; i++) {
		struct piece p = { 1, i * 8, i * 8 + 8, 0, 0 };

		put_piece(&f, false, &p, 4000);
	}
	replay_file(&r, &f);
	assert_int_equal(count(&r, STAT_UNIT_FRAGMENT), 1);
	free_result(&r);
	/* Too many datagrams at once: the oldest go, the newest become whole. */
	f = new_file(true);
	pcap_head(&f, LINK_RAW);
	for (unsigned i = 0; i < 2 * REASSEMBLY_SETS_MAX; i++) {
		struct piece p = { i + 1, 0, 1480, 0, i };

		put_piece(&f, false, &p, 3000);
	}
	for (unsigned i = REASSEMBLY_SETS_MAX; i < 2 * REASSEMBLY_SETS_MAX; i++) {
		struct piece p = { i + 1, 1480, 3000, LAST, 2 * REASSEMBLY_SETS_MAX };

		put_piece(&f, false, &p, 3000);
	}
	replay_file(&r, &f);
	assert_int_equal(count(&r, STAT_UNIT_FRAGMENT), REASSEMBLY_SETS_MAX);
	assert_int_equal(r.calls, REASSEMBLY_SETS_MAX);
	free_result(&r);
	/* Too many octets: the same. */
	f = new_file(true);
	pcap_head(&f, LINK_RAW);
	for (unsigned i = 0; i < 300; i++) {
		struct piece p = { i + 1, 0, 60000, 0, i };

		put_piece(&f, false, &p, 62000);
	}
	for (unsigned i = 299; i > 299 - REASSEMBLY_OCTETS_MAX / 65536; i--) {
		struct piece p = { i + 1, 60000, 62000, LAST, 300 };

		put_piece(&f, false, &p, 62000);
	}
	replay_file(&r, &f);
	assert_int_equal(r.calls, REASSEMBLY_OCTETS_MAX / 65536);
	assert_int_equal(count(&r, STAT_UNIT_FRAGMENT), 300 - REASSEMBLY_OCTETS_MAX / 65536);
	free_result(&r);
}

/* Behind the fragment header may stand more headers, known only when all is together. */
static void headers_within_fragments(void **state)
{
	static const struct {
		uint8_t next; /* of the header within */
		unsigned units;
	} cases[] = { { 17, 1 }, { 6, 0 } };

	(void)state;
	for (unsigned c = 0; c < 2; c++) {
		uint8_t whole[116] = { cases[c].next };
		struct wr udp = wr_of(whole + 8, 108);
		struct file f = new_file(true);
		struct result r;

		put_udp(&udp, 100);
		pcap_head(&f, LINK_RAW);
		for (unsigned from = 0; from < 116; from += 56) {
			unsigned to = from + 56 < 116 ? from + 56 : 116;
			struct wr w = new_packet();

			put_ipv6(&w, 8 + to - from, 44);
			wr_u8(&w, 60);
			wr_u8(&w, 0);
			wr_u16(&w, (uint16_t)(from | (to < 116)));
			wr_u32(&w, 77);
			wr_bytes(&w, whole + from, to - from);
			pcap_record(&f, TIME_MS, packet_octets, wr_used(&w), wr_used(&w));
		}
		replay_file(&r, &f);
		assert_int_equal(count(&r, STAT_REPLAY_FRAGMENTS), 3);
		assert_int_equal(r.calls, cases[c].units);
		assert_int_equal(count(&r, STAT_UNITS_REPLAY), cases[c].units);
		free_result(&r);
	}
}

/* ---- pcapng --------------------------------------------------------------------------------- */

static void time_stamps(void **state)
{
	static const struct {
		uint8_t resolution;
		int64_t offset_s;
		uint64_t stamp;
		int64_t time_ms;
	} cases[] = {
		{ 6, 0, UINT64_C(1769862896789123), TIME_MS },
		{ 9, 0, UINT64_C(1769862896789123456), TIME_MS },
		{ 3, 0, UINT64_C(1769862896789), TIME_MS },
		{ 0, 0, TIME_S, INT64_C(1769862896000) },
		{ 0, 7, TIME_S, INT64_C(1769862903000) },
		{ 6, -3600, UINT64_C(1769862896789123), TIME_MS - 3600000 },
		{ 19, TIME_S, UINT64_C(7890000000000000000), INT64_C(1769862896789) },
		{ 0x80, 0, TIME_S, INT64_C(1769862896000) },
		{ 0x80 | 10, 0, (uint64_t)TIME_S << 10 | 512, INT64_C(1769862896500) },
		{ 0x80 | 32, 0, (uint64_t)TIME_S << 32 | UINT64_C(3435973837),
		  INT64_C(1769862896800) },
		{ 0x80 | 63, TIME_S, UINT64_C(1) << 62, INT64_C(1769862896500) },
		{ 0x80 | 64, TIME_S, UINT64_C(1) << 63, INT64_C(1769862896500) },
		{ 0xff, TIME_S, UINT64_MAX, INT64_C(1769862896000) },
		{ 0x7f, TIME_S, UINT64_MAX, INT64_C(1769862896000) },
		{ 0, 0, UINT64_MAX, INT64_C(253402300799999) },
		{ 6, INT64_MAX, 0, INT64_C(253402300799000) },
		{ 6, INT64_MIN, 0, 0 },
		{ 0x80, INT64_MAX, UINT64_MAX, INT64_C(253402300799999) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned is_little = 0; is_little < 2; is_little++) {
			struct file f = new_file(is_little != 0);
			size_t bytes = udp_packet(LINK_RAW, false, 4);
			struct result r;

			section(&f);
			interface(&f, LINK_RAW, cases[i].resolution, cases[i].offset_s);
			enhanced(&f, 0, cases[i].stamp, packet_octets, bytes, bytes);
			replay_file(&r, &f);
			assert_int_equal(r.calls, 1);
			assert_int_equal(r.units[0].origin.receive_ms, cases[i].time_ms);
			free_result(&r);
		}
	}
}

static void sections_and_blocks(void **state)
{
	static uint8_t filler[1 << 20];
	struct file f = new_file(false);
	size_t bytes = udp_packet(LINK_RAW, false, 30);
	struct result r;
	size_t at;

	(void)state;
	section(&f);
	interface(&f, LINK_ETHERNET, 6, 0);
	interface(&f, LINK_RAW, 3, 0);
	enhanced(&f, 1, (uint64_t)TIME_MS, packet_octets, bytes, bytes);
	/* A block that is longer than what is held in memory. */
	at = block_open(&f, 0x0BADF00D);
	wr_bytes(&f.w, filler, sizeof(filler));
	block_close(&f, at);
	/* The next section has the other octet order, and interfaces of its own. */
	f.is_little = true;
	section(&f);
	interface(&f, LINK_RAW, 6, 0);
	simple(&f, packet_octets, bytes); /* with the time of the one before */
	enhanced(&f, 0, (uint64_t)(TIME_MS + 5) * 1000, packet_octets, bytes, bytes);
	at = block_open(&f, 2); /* the obsolete packet block */
	put16(&f, 0);
	put16(&f, 3);
	put32(&f, (uint32_t)((uint64_t)(TIME_MS + 6) * 1000 >> 32));
	put32(&f, (uint32_t)((uint64_t)(TIME_MS + 6) * 1000));
	put32(&f, (uint32_t)bytes);
	put32(&f, (uint32_t)bytes);
	wr_bytes(&f.w, packet_octets, bytes);
	block_close(&f, at);
	at = block_open(&f, 4); /* names */
	put32(&f, 0);
	block_close(&f, at);
	simple(&f, packet_octets, bytes);
	replay_file(&r, &f);
	assert_int_equal(r.calls, 5);
	check_unit(&r.units[0], false, 30, TIME_MS);
	check_unit(&r.units[1], false, 30, TIME_MS);
	check_unit(&r.units[2], false, 30, TIME_MS + 5);
	check_unit(&r.units[3], false, 30, TIME_MS + 6);
	check_unit(&r.units[4], false, 30, TIME_MS + 6);
	free_result(&r);
}

/* A simple packet block holds no more than the interface's snap length. */
static void simple_block_snapped(void **state)
{
	struct file f = new_file(true);
	size_t bytes = udp_packet(LINK_RAW, false, 100);
	struct result r;
	size_t at;

	(void)state;
	section(&f);
	at = block_open(&f, 1);
	put16(&f, LINK_RAW);
	put16(&f, 0);
	put32(&f, 60);
	block_close(&f, at);
	at = block_open(&f, 3);
	put32(&f, (uint32_t)bytes);
	wr_bytes(&f.w, packet_octets, 60);
	block_close(&f, at);
	replay_file(&r, &f);
	assert_int_equal(count(&r, STAT_UNIT_CUT), 1);
	free_result(&r);
}

/* ---- broken files --------------------------------------------------------------------------- */

/* A pcap, or pcapng, with three UDP packets, one of them in fragments. */
static size_t sample(bool is_ng, bool is_little, size_t ends[8])
{
	struct file f = new_file(is_little);
	unsigned n = 0;

	if (is_ng) {
		section(&f);
		ends[n++] = wr_used(&f.w);
		interface(&f, LINK_ETHERNET, 9, 0);
		ends[n++] = wr_used(&f.w);
	} else {
		pcap_head(&f, LINK_ETHERNET);
		ends[n++] = wr_used(&f.w);
	}
	for (unsigned i = 0; i < 4; i++) {
		struct wr w = new_packet();
		uint8_t whole[40];
		struct wr udp = wr_of(whole, sizeof(whole));
		bool is_v6 = i == 0;

		put_udp(&udp, 32);
		put_link(&w, LINK_ETHERNET, is_v6);
		if (is_v6)
			put_ipv6(&w, 40, 17);
		else
			put_ipv4(&w, i == 1 ? 40 : 24 - 8 * (i - 2), 17, i == 1 ? 1 : 2,
				 i == 1 ? 0 : (i - 2) * 3 | (i == 2 ? 0x2000 : 0));
		wr_bytes(&w, whole + (i == 3 ? 24 : 0), i < 2 ? 40 : 24 - 8 * (i - 2));
		if (is_ng)
			enhanced(&f, 0, (uint64_t)TIME_MS * 1000000, packet_octets, wr_used(&w),
				 wr_used(&w));
		else
			pcap_record(&f, TIME_MS, packet_octets, wr_used(&w), wr_used(&w));
		ends[n++] = wr_used(&f.w);
	}
	ends[n] = 0;
	return wr_used(&f.w);
}

static void cut_everywhere(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		size_t ends[8];
		size_t bytes = sample(kind >= 2, kind % 2 != 0, ends);
		unsigned heads = kind >= 2 ? 2 : 1;

		for (size_t cut = 0; cut <= bytes; cut++) {
			bool is_end = false;
			unsigned frames = 0;
			struct result r;

			for (unsigned i = 0; ends[i] != 0; i++) {
				is_end = is_end || ends[i] == cut;
				frames += i >= heads && ends[i] <= cut;
			}
			replay_octets(&r, file_octets, cut, NULL);
			if (r.e != (is_end ? ERR_OK : ERR_TRUNC))
				fail_msg("cut at %zu: %s", cut, r.why.text);
			if (!is_end)
				assert_non_null(strstr(r.why.text, "capture: octet "));
			assert_int_equal(count(&r, STAT_REPLAY_FRAMES), frames);
			assert_int_equal(r.calls, frames < 3 ? frames : frames - 1);
			assert_int_equal(count(&r, STAT_UNIT_FRAGMENT), frames == 3);
			free_result(&r);
		}
	}
}

/* Whatever a changed octet does, it ends, and the counters balance (replay_octets checks). */
static void changed_everywhere(void **state)
{
	static const uint8_t changes[] = { 0x01, 0x80, 0xff, 0x40 };

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	for (unsigned kind = 0; kind < 4; kind++) {
		size_t ends[8];
		size_t bytes = sample(kind >= 2, kind % 2 != 0, ends);

		for (size_t at = 0; at < bytes; at++) {
			for (unsigned i = 0; i < 4; i++) {
				struct result r;

				file_octets[at] ^= changes[i];
				replay_octets(&r, file_octets, bytes, NULL);
				assert_true(count(&r, STAT_REPLAY_FRAMES) <= 4);
				if (r.e != ERR_OK)
					assert_int_not_equal(r.why.text[0], '\0');
				free_result(&r);
				file_octets[at] ^= changes[i];
			}
		}
	}
	log_set_level(LOG_LEVEL_INFO);
}

static void broken_files(void **state)
{
	static const struct {
		const char *what;
		bool is_ng;
		struct edit edits[2]; /* 4-octet values, in the file's order */
		enum err e;
		const char *says;
		unsigned units;
	} cases[] = {
		{ "no magic", false, { { 0, 4, 0x12345678 } }, ERR_FORMAT, "octet 0: neither", 0 },
		{ "gzip", false, { { 0, 4, 0x1F8B0800 } }, ERR_FORMAT, "gzip: ", 0 },
		{ "modified", false, { { 0, 4, 0xA1B2CD34 } }, ERR_UNSUPPORTED, "Kuznetzov", 0 },
		{ "version 3", false, { { 4, 4, 0x00030004 } }, ERR_UNSUPPORTED, "octet 4: ", 0 },
		{ "long frame", false, { { 32, 4, 262145 } }, ERR_FORMAT, "octet 24: a frame", 0 },
		{ "long second frame", false, { { 142, 4, 0xffffffff } }, ERR_FORMAT, "octet 134: ", 1 },
		{ "order", true, { { 8, 4, 0x1A2B3C4E } }, ERR_FORMAT, "octet 0: a section", 0 },
		{ "version 2", true, { { 12, 4, 0x00020000 } }, ERR_UNSUPPORTED, "version 1", 0 },
		{ "section of 16", true, { { 4, 4, 16 }, { 12, 4, 16 } }, ERR_FORMAT,
		  "octet 0: a section head", 0 },
		{ "block of 8", true, { { 32, 4, 8 } }, ERR_FORMAT, "octet 28: a block length", 0 },
		{ "block of 0", true, { { 32, 4, 0 } }, ERR_FORMAT, "octet 28: a block length", 0 },
		{ "odd block", true, { { 32, 4, 41 } }, ERR_FORMAT, "octet 28: a block length", 0 },
		{ "lengths differ", true, { { 64, 4, 44 } }, ERR_FORMAT, "octet 28: ", 0 },
		{ "unknown block, lengths differ", true, { { 28, 4, 99 }, { 64, 4, 44 } }, ERR_FORMAT,
		  "octet 28: ", 0 },
		{ "option too long", true, { { 44, 4, 0x000200ff } }, ERR_FORMAT, "an option", 0 },
		{ "interface unknown", true, { { 76, 4, 1 } }, ERR_FORMAT, "octet 68: a packet of", 0 },
		{ "packet over block", true, { { 88, 4, 100 } }, ERR_FORMAT, "octet 68: a packet", 0 },
		{ "long packet", true, { { 88, 4, 262145 } }, ERR_FORMAT, "octet 68: a frame", 0 },
		{ "block too long", true, { { 72, 4, 0x7ffffffc } }, ERR_LIMIT, "octet 68: ", 0 },
		{ "unknown block over the end", true, { { 28, 4, 99 }, { 32, 4, 0x7ffffffc } },
		  ERR_TRUNC, "octet ", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t ends[8];
		size_t bytes = sample(cases[i].is_ng, false, ends);
		struct result r;

		for (unsigned k = 0; k < 2; k++) {
			struct wr w = wr_of(file_octets + cases[i].edits[k].at, 4);

			if (cases[i].edits[k].bytes == 4)
				wr_u32(&w, cases[i].edits[k].value);
		}
		replay_octets(&r, file_octets, bytes, NULL);
		if (r.e != cases[i].e || strstr(r.why.text, cases[i].says) == NULL ||
		    r.calls != cases[i].units)
			fail_msg("%s: %s: %s", cases[i].what, err_text(r.e), r.why.text);
		free_result(&r);
	}
}

static void too_many_interfaces(void **state)
{
	struct file f = new_file(true);
	struct result r;

	(void)state;
	section(&f);
	for (unsigned i = 0; i <= CAPTURE_INTERFACES_MAX; i++)
		interface(&f, LINK_RAW, 6, 0);
	replay_octets(&r, file_octets, wr_used(&f.w), NULL);
	assert_int_equal(r.e, ERR_LIMIT);
	free_result(&r);
	/* A new section starts anew. */
	f = new_file(true);
	for (unsigned i = 0; i < 2 * CAPTURE_INTERFACES_MAX; i++) {
		if (i % CAPTURE_INTERFACES_MAX == 0)
			section(&f);
		interface(&f, LINK_RAW, 6, 0);
	}
	replay_file(&r, &f);
	free_result(&r);
}

/* ---- calling -------------------------------------------------------------------------------- */

static void exporter_override(void **state)
{
	struct replay_conf conf = { 0 };
	size_t ends[8];
	size_t bytes = sample(false, true, ends);
	struct result r;

	(void)state;
	assert_int_equal(addr_parse("203.0.113.9", &conf.exporter), ERR_OK);
	replay_octets(&r, file_octets, bytes, &conf);
	assert_int_equal(r.calls, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(addr_equal(&r.units[i].origin.peer, &conf.exporter));
	free_result(&r);
}

struct stopper {
	struct stat_flag stop;
	unsigned calls;
};

static void take_and_stop(void *ctx, const uint8_t *octets, size_t bytes,
			  const struct origin *origin)
{
	struct stopper *s = ctx;

	(void)octets;
	(void)bytes;
	(void)origin;
	s->calls++;
	stat_flag_set(&s->stop, 1);
}

static void stops_when_told(void **state)
{
	struct stopper s = { 0 };
	struct replay_conf conf = { .stop = &s.stop };
	size_t ends[8];
	size_t bytes = sample(false, true, ends);
	int fd = descriptor_of(file_octets, bytes);
	struct stat_set *stat;
	struct why why;

	(void)state;
	assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat), ERR_OK);
	assert_int_equal(replay_fd(fd, "capture", &conf, take_and_stop, &s, stat, &why), ERR_CLOSED);
	assert_int_equal(s.calls, 1);
	assert_int_equal(stat_get(stat, STAT_REPLAY_FRAMES), 1);
	stat_set_free(stat);
	(void)close(fd);
}

struct feed {
	int fd;
	size_t bytes;
};

static void write_slowly(void *ctx)
{
	struct feed *f = ctx;

	for (size_t at = 0; at < f->bytes;) {
		size_t part = f->bytes - at < 7 ? f->bytes - at : 7;

		if (write(f->fd, file_octets + at, part) != (ssize_t)part)
			break;
		at += part;
	}
	(void)close(f->fd);
}

/* A pipe gives a few octets at a time, and cannot go back. */
static void reads_from_a_pipe(void **state)
{
	(void)state;
	for (unsigned is_ng = 0; is_ng < 2; is_ng++) {
		struct result r = { 0 };
		struct thread *thread;
		struct feed feed;
		size_t ends[8];
		int fds[2];

		assert_int_equal(pipe(fds), 0);
		feed.bytes = sample(is_ng != 0, false, ends);
		feed.fd = fds[1];
		assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &r.stat),
				 ERR_OK);
		assert_int_equal(thread_start("feed", write_slowly, &feed, &thread), ERR_OK);
		assert_int_equal(replay_fd(fds[0], "pipe", NULL, take, &r, r.stat, &r.why), ERR_OK);
		thread_join(thread);
		balance(&r);
		assert_int_equal(r.calls, 3);
		(void)close(fds[0]);
		free_result(&r);
	}
}

static void files_by_name(void **state)
{
	char name[] = "/tmp/test_replay_XXXXXX";
	struct result r = { 0 };
	size_t ends[8];
	size_t bytes = sample(true, true, ends);
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file_octets, bytes), bytes);
	(void)close(fd);
	assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &r.stat), ERR_OK);
	assert_int_equal(replay_run(name, NULL, take, &r, r.stat, &r.why), ERR_OK);
	assert_int_equal(r.calls, 3);
	(void)unlink(name);
	assert_int_equal(replay_run(name, NULL, take, &r, r.stat, &r.why), ERR_ABSENT);
	assert_non_null(strstr(r.why.text, name));
	assert_int_equal(replay_run("/", NULL, take, &r, r.stat, &r.why), ERR_IO);
	assert_non_null(strstr(r.why.text, "directory"));
	assert_int_equal(r.calls, 3);
	free_result(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_link_type),
		cmocka_unit_test(unknown_link_type),
		cmocka_unit_test(edited_packets),
		cmocka_unit_test(snapped_everywhere),
		cmocka_unit_test(vlan_tags),
		cmocka_unit_test(ipv4_options),
		cmocka_unit_test(ipv6_extensions),
		cmocka_unit_test(fragments),
		cmocka_unit_test(largest_datagram),
		cmocka_unit_test(beyond_the_largest),
		cmocka_unit_test(reassembly_limits),
		cmocka_unit_test(headers_within_fragments),
		cmocka_unit_test(time_stamps),
		cmocka_unit_test(sections_and_blocks),
		cmocka_unit_test(simple_block_snapped),
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(changed_everywhere),
		cmocka_unit_test(broken_files),
		cmocka_unit_test(too_many_interfaces),
		cmocka_unit_test(exporter_override),
		cmocka_unit_test(stops_when_told),
		cmocka_unit_test(reads_from_a_pipe),
		cmocka_unit_test(files_by_name),
	};
	int rc;

	file_octets = malloc(FILE_BYTES);
	if (file_octets == NULL)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(file_octets);
	return rc;
}
