/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the server's side and the service's name follow the rule of enrich_service.h, whatever a flow lacks;
 * a broken table is refused with file and line.
 * Method: a table of flows, each with IPv4 and with IPv6 addresses, against a small service table; a table of
 * files; the shipped table against what everybody knows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/must.h"
#include "normalizer/enrich_service.h"

#define NONE (-1)
#define SRC 1
#define DST 2

static char dir[64];

static void write_table(const char *text, size_t bytes)
{
	char path[96];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/services.tsv", dir);
	file = fopen(path, "we");
	must(file != NULL);
	must(fwrite(text, 1, bytes, file) == bytes);
	must(fclose(file) == 0);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/sluice_service.XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	char path[96];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/services.tsv", dir);
	(void)unlink(path);
	return rmdir(dir);
}

static const char services[] = "# a comment\n\n"
			       "53\tdomain\ttcp,udp\n"
			       "80\thttp\ttcp\n"
			       "514\tshell\ttcp\n"
			       "514\tsyslog\tudp\tand more\n"
			       "3868\tdiameter\tsctp\r\n"
			       "5004\tavt\tdccp\n"
			       "8080\thttp-alt\ttcp\n"
			       "65535\tlast\ttcp\n";

struct field_value {
	unsigned field;
	int64_t value;
};

static const struct {
	const char *title;
	int protocol;
	int src_port;
	int dst_port;
	struct field_value more[2];
	int server; /* SRC, DST or NONE */
	int port;
	const char *name; /* NULL: none */
} rows[] = {
	{ "request", 6, 40000, 80, { { 0 } }, DST, 80, "http" },
	{ "reply", 6, 80, 40000, { { 0 } }, SRC, 80, "http" },
	{ "same port number, other protocol", 17, 40000, 514, { { 0 } }, DST, 514, "syslog" },
	{ "and the other", 6, 40000, 514, { { 0 } }, DST, 514, "shell" },
	{ "SCTP", 132, 3868, 40000, { { 0 } }, SRC, 3868, "diameter" },
	{ "DCCP", 33, 5004, 6000, { { 0 } }, SRC, 5004, "avt" },
	{ "UDP-Lite has UDP's names", 136, 53, 6000, { { 0 } }, SRC, 53, "domain" },
	{ "table before lower port", 6, 1000, 8080, { { 0 } }, DST, 8080, "http-alt" },
	{ "last port", 6, 65535, 1024, { { 0 } }, SRC, 65535, "last" },
	{ "name of another protocol does not count", 17, 80, 60, { { 0 } }, DST, 60, "unknown" },
	{ "both in the table: the lower", 6, 8080, 53, { { 0 } }, DST, 53, "domain" },
	{ "both in the table: the lower, turned", 6, 53, 8080, { { 0 } }, SRC, 53, "domain" },
	{ "none in the table: the lower", 6, 2000, 3000, { { 0 } }, SRC, 2000, "unknown" },
	{ "none in the table: the lower, turned", 6, 3000, 2000, { { 0 } }, DST, 2000, "unknown" },
	{ "same ports", 6, 2000, 2000, { { 0 } }, DST, 2000, "unknown" },
	{ "same ports, known", 17, 53, 53, { { 0 } }, DST, 53, "domain" },
	{ "fragment: ports 0", 17, 0, 0, { { 0 } }, NONE, NONE, NULL },
	{ "fragment: no ports", 17, NONE, NONE, { { 0 } }, NONE, NONE, NULL },
	{ "only a known destination port", 17, NONE, 53, { { 0 } }, DST, 53, "domain" },
	{ "only a known source port", 17, 53, NONE, { { 0 } }, SRC, 53, "domain" },
	{ "only an unknown source port", 17, 2000, NONE, { { 0 } }, NONE, NONE, "unknown" },
	{ "only an unknown destination port", 17, 0, 2000, { { 0 } }, NONE, NONE, "unknown" },
	{ "ICMP", 1, 0, 2048, { { 0 } }, NONE, NONE, NULL },
	{ "ICMPv6", 58, NONE, NONE, { { 0 } }, NONE, NONE, NULL },
	{ "GRE", 47, 53, 53, { { 0 } }, NONE, NONE, NULL },
	{ "no protocol", NONE, 40000, 80, { { 0 } }, NONE, NONE, NULL },
	{ "protocol out of range", 262, 40000, 80, { { 0 } }, NONE, NONE, NULL },
	{ "initiator", 6, 80, 40000, { { F_biflow_direction, 1 } }, DST, 40000, "http" },
	{ "reverse initiator", 6, 40000, 80, { { F_biflow_direction, 2 } }, SRC, 40000, "http" },
	{ "reverse initiator counts more",
	  6,
	  40000,
	  80,
	  { { F_biflow_direction, 2 }, { F_reverse_bytes, 9 } },
	  SRC,
	  40000,
	  "http" },
	{ "arbitrary direction", 6, 80, 40000, { { F_biflow_direction, 0 } }, SRC, 80, "http" },
	{ "perimeter", 6, 80, 40000, { { F_biflow_direction, 3 } }, SRC, 80, "http" },
	{ "reverse packets", 6, 80, 40000, { { F_reverse_packets, 1 } }, DST, 40000, "http" },
	{ "reverse octets", 6, 2000, 3000, { { F_reverse_bytes, 1 } }, DST, 3000, "unknown" },
	{ "reverse packets, total",
	  6,
	  2000,
	  3000,
	  { { F_reverse_packets_total, 1 } },
	  DST,
	  3000,
	  "unknown" },
	{ "reverse octets, total",
	  6,
	  2000,
	  3000,
	  { { F_reverse_bytes_total, 1 } },
	  DST,
	  3000,
	  "unknown" },
	{ "nothing came back",
	  6,
	  80,
	  40000,
	  { { F_reverse_bytes, 0 }, { F_reverse_packets, 0 } },
	  SRC,
	  80,
	  "http" },
	{ "reverse counters, no ports", 6, 0, 0, { { F_reverse_bytes, 1 } }, DST, NONE, NULL },
	{ "SYN", 6, 2000, 3000, { { F_tcp_flags, 0x02 } }, DST, 3000, "unknown" },
	{ "SYN and RST", 6, 2000, 3000, { { F_tcp_flags, 0x06 } }, DST, 3000, "unknown" },
	{ "SYN and ACK", 6, 2000, 3000, { { F_tcp_flags, 0x12 } }, SRC, 2000, "unknown" },
	{ "SYN of the source",
	  6,
	  2000,
	  3000,
	  { { F_tcp_flags_forward, 0x02 }, { F_tcp_flags, 0x12 } },
	  DST,
	  3000,
	  "unknown" },
	{ "no flags", 6, 2000, 3000, { { F_tcp_flags, 0 } }, SRC, 2000, "unknown" },
	{ "flags are TCP's", 17, 2000, 3000, { { F_tcp_flags, 0x02 } }, SRC, 2000, "unknown" },
};

static const uint8_t src_octets[16] = { 0x20, 1, 0xd, 0xb8, 1 };
static const uint8_t dst_octets[16] = { 0x20, 1, 0xd, 0xb8, 2 };

static void fill(struct flow *f, size_t row, unsigned bytes)
{
	flow_clear(f);
	memset(f->slots, 0, sizeof(f->slots));
	flow_set_octets(f, F_src_ip, src_octets, bytes);
	flow_set_octets(f, F_dst_ip, dst_octets, bytes);
	if (rows[row].protocol != NONE)
		flow_set_i64(f, F_protocol_number, rows[row].protocol);
	if (rows[row].src_port != NONE)
		flow_set_i64(f, F_src_port, rows[row].src_port);
	if (rows[row].dst_port != NONE)
		flow_set_i64(f, F_dst_port, rows[row].dst_port);
	for (size_t i = 0; i < 2; i++) {
		if (rows[row].more[i].field != 0)
			flow_set_i64(f, rows[row].more[i].field, rows[row].more[i].value);
	}
}

static void check_row(const struct flow *f, size_t row, unsigned bytes)
{
	const uint8_t *ip = rows[row].server == SRC ? src_octets : dst_octets;
	const struct slot *name = &f->slots[F_service_name];

	if (flow_has(f, F_server_ip) != (rows[row].server != NONE))
		fail_msg("%s: server_ip", rows[row].title);
	if (rows[row].server != NONE &&
	    (f->slots[F_server_ip].octets != ip || f->slots[F_server_ip].bytes != bytes))
		fail_msg("%s: another server", rows[row].title);
	if (flow_has(f, F_server_port) != (rows[row].port != NONE) ||
	    (rows[row].port != NONE && f->slots[F_server_port].i64 != rows[row].port))
		fail_msg("%s: server_port", rows[row].title);
	if (flow_has(f, F_service_name) != (rows[row].name != NULL))
		fail_msg("%s: service_name", rows[row].title);
	if (rows[row].name != NULL && (name->bytes != strlen(rows[row].name) ||
				       memcmp(name->octets, rows[row].name, name->bytes) != 0))
		fail_msg("%s: %.*s", rows[row].title, (int)name->bytes, (const char *)name->octets);
}

static void *load(const char *from)
{
	struct enrich_service_conf conf = { from };
	struct why why = { "" };
	void *self;

	if (enrich_service_load(&conf, &why, &self) != ERR_OK)
		fail_msg("%s", why.text);
	return self;
}

static void sides(void **state)
{
	struct flow *f = calloc(1, sizeof(*f));
	void *self;

	(void)state;
	must(f != NULL);
	write_table(services, sizeof(services) - 1);
	self = load(dir);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (unsigned bytes = 4; bytes <= 16; bytes += 12) {
			fill(f, i, bytes);
			enrich_service_run(self, NULL, f, 1);
			check_row(f, i, bytes);
		}
	}
	/* Without its address a server still has its port. */
	fill(f, 0, 4);
	flow_unmark(f, F_dst_ip);
	enrich_service_run(self, NULL, f, 1);
	assert_false(flow_has(f, F_server_ip));
	assert_int_equal(f->slots[F_server_port].i64, 80);
	enrich_service_free(self);
	free(f);
}

static const struct {
	const char *text;
	const char *why;
} broken[] = {
	{ "80\thttp\ttcp\nssh\t22\ttcp\n", ":2: a row is a number" },
	{ "80 http tcp\n", ":1: a row is a number" },
	{ "\n# 1\n80\n", ":3: a row is a number" },
	{ "-80\thttp\ttcp\n", ":1: a row is a number" },
	{ "0\tnothing\ttcp\n", ":1: a port is 1 to 65535" },
	{ "65536\tmuch\ttcp\n", ":1: a port is 1 to 65535" },
	{ "80\t\ttcp\n", ":1: no name" },
	{ "80\t\xff\xfe\ttcp\n", ":1: no name, or one that is not UTF-8" },
	{ "80\thttp\n", ":1: no protocols" },
	{ "80\thttp\t\n", ":1: `' is none of" },
	{ "80\thttp\ttcp,\n", ":1: `' is none of" },
	{ "80\thttp\tTCP\n", ":1: `TCP' is none of" },
	{ "80\thttp\ttcp,icmp\n", ":1: `icmp' is none of" },
	{ "80\thttp\ttcp,tcp\n", ":1: tcp port 80 has a name already" },
	{ "80\thttp\ttcp\n81\tx\ttcp\n80\twww\tudp,tcp\n", ":3: tcp port 80 has a name already" },
	{ "80\t0123456789012345678901234567890123456789012345678901234567890123456789\ttcp\n",
	  ":1: a name of more than 64" },
};

static void broken_tables(void **state)
{
	struct enrich_service_conf conf = { dir };
	char expected[192];

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct why why = { "" };
		void *self = &why;

		write_table(broken[i].text, strlen(broken[i].text));
		(void)snprintf(expected, sizeof(expected), "%s/services.tsv%s", dir, broken[i].why);
		assert_int_equal(enrich_service_load(&conf, &why, &self), ERR_CONF);
		if (strncmp(why.text, expected, strlen(expected)) != 0)
			fail_msg("%s, not %s", why.text, expected);
		assert_ptr_equal(self, &why);
	}
}

static void no_table(void **state)
{
	struct enrich_service_conf conf = { "/nonexistent" };
	char *names[] = { (char *)"service" };
	struct why why = { "" };
	struct enrich_set *set = NULL;
	const void *confs[ENRICHERS_MAX] = { NULL };

	(void)state;
	for (size_t i = 0; enrichers[i].name != NULL; i++) {
		if (strcmp(enrichers[i].name, "service") == 0)
			confs[i] = &conf;
	}
	assert_int_equal(enrich_load(names, 1, confs, &why, &set), ERR_ABSENT);
	assert_non_null(strstr(why.text, "enricher service"));
	assert_non_null(strstr(why.text, "/nonexistent/services.tsv"));
}

static void shipped(void **state)
{
	static const struct {
		int protocol;
		int port;
		const char *name;
	} known[] = {
		{ 6, 22, "ssh" },	   { 6, 25, "smtp" },	       { 6, 443, "https" },
		{ 17, 443, "https" },	   { 17, 53, "domain" },       { 17, 123, "ntp" },
		{ 17, 514, "syslog" },	   { 6, 514, "shell" },	       { 6, 445, "microsoft-ds" },
		{ 17, 4739, "ipfix" },	   { 132, 3868, "diameter" },  { 6, 3389, "ms-wbt-server" },
		{ 6, 5432, "postgresql" }, { 17, 51820, "wireguard" }, { 17, 67, "bootps" },
	};
	struct flow *f = calloc(1, sizeof(*f));
	void *self;
	struct why why = { "" };

	(void)state;
	must(f != NULL);
	assert_int_equal(enrich_service_load(NULL, &why, &self), ERR_OK);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		flow_clear(f);
		flow_set_i64(f, F_protocol_number, known[i].protocol);
		flow_set_i64(f, F_src_port, 60001);
		flow_set_i64(f, F_dst_port, known[i].port);
		enrich_service_run(self, NULL, f, 1);
		assert_int_equal(f->slots[F_service_name].bytes, strlen(known[i].name));
		assert_memory_equal(f->slots[F_service_name].octets, known[i].name,
				    strlen(known[i].name));
		assert_int_equal(f->slots[F_server_port].i64, known[i].port);
	}
	enrich_service_free(self);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sides),
		cmocka_unit_test(broken_tables),
		cmocka_unit_test(no_table),
		cmocka_unit_test(shipped),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
