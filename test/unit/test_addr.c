/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: one address has one text (RFC 5952), whatever way it came, and texts and networks read
 * exactly.
 * Method: the recommendations of RFC 5952, 4 and 5 as a table; many random addresses with many
 * zero groups against inet_ntop, which follows the same rules but for the deprecated ::a.b.c.d;
 * a table of networks with the addresses just inside and just outside.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROUNDS 100000

static const struct {
	const char *in;
	const char *text;
} canonical[] = {
	{ "2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1" },
	{ "2001:db8:0:0:1::1", "2001:db8::1:0:0:1" },
	{ "2001:0db8::0001", "2001:db8::1" },
	{ "2001:db8:0:0:0:0:2:1", "2001:db8::2:1" },
	{ "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, /* 4.2.2: not for one group */
	{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },	   /* 4.2.3: the longest */
	{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },   /* 4.2.3: the first of equals */
	{ "2001:DB8:ABCD:EF01:2345:6789:ABCD:EF01", "2001:db8:abcd:ef01:2345:6789:abcd:ef01" },
	{ "::", "::" },
	{ "::1", "::1" },
	{ "1::", "1::" },
	{ "1:2:3:4:5:6::", "1:2:3:4:5:6::" },
	{ "::3:4:5:6:7:8", "::3:4:5:6:7:8" },
	{ "0:2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
	{ "1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0" },
	{ "0:0:3:4:5:6:0:0", "::3:4:5:6:0:0" },
	{ "::ffff:c000:0280", "::ffff:192.0.2.128" }, /* 5 */
	{ "::ffff:0:0", "::ffff:0.0.0.0" },
	{ "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
	{ "::192.0.2.33", "::c000:221" },
	{ "fe80::0204:61ff:fe9d:f156", "fe80::204:61ff:fe9d:f156" },
	{ "ff02::1", "ff02::1" },
	{ "0.0.0.0", "0.0.0.0" },
	{ "255.255.255.255", "255.255.255.255" },
	{ "192.0.2.1", "192.0.2.1" },
	{ "9.10.99.100", "9.10.99.100" },
	{ "1.20.200.0", "1.20.200.0" },
};

static void canonical_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(canonical); i++) {
		char text[ADDR_TEXT_BYTES];
		struct addr a;
		struct addr again;
		size_t bytes;

		assert_int_equal(addr_parse(canonical[i].in, &a), ERR_OK);
		bytes = addr_text(&a, text);
		assert_string_equal(text, canonical[i].text);
		assert_int_equal(bytes, strlen(text));
		assert_int_equal(addr_parse(text, &again), ERR_OK);
		assert_true(addr_equal(&a, &again));
	}
}

/* Groups are zero half of the time and short otherwise, or the rules would hardly ever bite. */
static void random_octets(uint8_t octets[16])
{
	for (size_t i = 0; i < 16; i += 2) {
		unsigned v = rand() % 2 ? 0 : (unsigned)rand() >> (rand() % 16 + 15);

		octets[i] = (uint8_t)(v >> 8);
		octets[i + 1] = (uint8_t)v;
	}
}

static void agrees_with_the_system(void **state)
{
	char wanted[INET6_ADDRSTRLEN];
	char text[ADDR_TEXT_BYTES];
	uint8_t octets[16];

	(void)state;
	srand(11);
	for (int i = 0; i < ROUNDS; i++) {
		random_octets(octets);
		(void)inet_ntop(AF_INET6, octets, wanted, sizeof(wanted));
		(void)addr_text_v6(octets, text);
		if (strchr(wanted, '.') == NULL || strncmp(wanted, "::ffff:", 7) == 0)
			assert_string_equal(text, wanted);
	}
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t v = (uint32_t)rand() << 16 ^ (uint32_t)rand();
		struct addr a = addr_of_v4(v);

		(void)inet_ntop(AF_INET, a.octets, wanted, sizeof(wanted));
		assert_int_equal(addr_text_v4(a.octets, text), strlen(wanted));
		assert_string_equal(text, wanted);
		assert_int_equal(a.octets[0], v >> 24);
	}
}

static void no_address(void **state)
{
	static const char *const wrong[] = { "",	  "1",	      "1.2.3",	    "1.2.3.4.5",
					     "256.1.1.1", " 1.2.3.4", "1.2.3.4 ",   "1.2.3.04",
					     ":",	  ":::",      "1:2:3",	    "1::2::3",
					     "12345::",	  "::g",      "fe80::1%lo", "[::1]",
					     "1.2.3.4/8", "localhost" };
	struct addr none = addr_of_octets((const uint8_t *)"abcdefghijklmnop", 5);
	char text[ADDR_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct addr a = { { 77 }, 77 };

		if (addr_parse(wrong[i], &a) != ERR_FORMAT)
			fail_msg("taken: %s", wrong[i]);
		assert_int_equal(a.bytes, 77);
	}
	assert_int_equal(none.bytes, 0);
	assert_int_equal(addr_text(&none, text), 1);
	assert_string_equal(text, "-");
}

static const struct {
	const char *net;
	const char *inside;
	const char *outside;
} networks[] = {
	{ "192.0.2.0/24", "192.0.2.255", "192.0.3.0" },
	{ "192.0.2.77/24", "192.0.2.0", "192.0.1.255" },
	{ "192.0.2.128/25", "192.0.2.128", "192.0.2.127" },
	{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
	{ "192.0.2.4/31", "192.0.2.5", "192.0.2.6" },
	{ "192.0.2.4/32", "192.0.2.4", "192.0.2.5" },
	{ "192.0.2.4", "192.0.2.4", "192.0.2.5" },
	{ "0.0.0.0/0", "255.255.255.255", "::" },
	{ "128.0.0.0/1", "255.0.0.0", "127.255.255.255" },
	{ "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::" },
	{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
	{ "2001:db8::1/128", "2001:db8::1", "2001:db8::2" },
	{ "2001:db8::1", "2001:db8::1", "2001:db8::" },
	{ "::/0", "ffff::", "1.2.3.4" },
	{ "8000::/1", "ffff::", "7fff::" },
};

static void prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(networks); i++) {
		struct addr net;
		struct addr inside;
		struct addr outside;
		unsigned bits;

		assert_int_equal(addr_parse_prefix(networks[i].net, &net, &bits), ERR_OK);
		assert_int_equal(addr_parse(networks[i].inside, &inside), ERR_OK);
		assert_int_equal(addr_parse(networks[i].outside, &outside), ERR_OK);
		if (!addr_in_prefix(&inside, &net, bits) || addr_in_prefix(&outside, &net, bits))
			fail_msg("%s", networks[i].net);
	}
}

static void no_prefix(void **state)
{
	static const char *const wrong[] = {
		"",
		"/8",
		"1.2.3.4/",
		"1.2.3.4/33",
		"1.2.3.4/-1",
		"1.2.3.4/+1",
		"1.2.3.4/ 8",
		"1.2.3.4/8x",
		"1.2.3.4/8/8",
		"::/129",
		"::/",
		"x/8",
		"1.2.3.4/99999999999999999999",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/8"
	};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct addr a = { { 77 }, 77 };
		unsigned bits = 77;

		if (addr_parse_prefix(wrong[i], &a, &bits) != ERR_FORMAT)
			fail_msg("taken: %s", wrong[i]);
		assert_int_equal(a.bytes, 77);
		assert_int_equal(bits, 77);
	}
}

static void socket_addresses(void **state)
{
	static const struct {
		const char *text;
		const char *mapped; /* the same, as an IPv6 socket shows it; NULL: it is IPv6 */
		int family;
	} cases[] = {
		{ "192.0.2.1", "::ffff:192.0.2.1", AF_INET },
		{ "2001:db8::1", NULL, AF_INET6 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sockaddr_storage ss;
		struct addr a;
		struct addr again;
		uint16_t port = 0;

		assert_int_equal(addr_parse(cases[i].text, &a), ERR_OK);
		assert_true(addr_to_sockaddr(&a, 4739, &ss) > 0);
		assert_int_equal(ss.ss_family, cases[i].family);
		again = addr_of_sockaddr(&ss, &port);
		assert_true(addr_equal(&a, &again));
		assert_int_equal(port, 4739);
		if (cases[i].mapped == NULL)
			continue;
		assert_int_equal(addr_parse(cases[i].mapped, &again), ERR_OK);
		assert_int_equal(again.bytes, 16);
		(void)addr_to_sockaddr(&again, 2055, &ss);
		again = addr_of_sockaddr(&ss, &port);
		assert_true(addr_equal(&a, &again));
		assert_int_equal(port, 2055);
	}
}

static void other_families_have_no_address(void **state)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };
	uint16_t port = 7;
	struct addr a = addr_of_sockaddr(&ss, &port);

	(void)state;
	assert_int_equal(a.bytes, 0);
	assert_int_equal(port, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_text),
		cmocka_unit_test(agrees_with_the_system),
		cmocka_unit_test(no_address),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(no_prefix),
		cmocka_unit_test(socket_addresses),
		cmocka_unit_test(other_families_have_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
