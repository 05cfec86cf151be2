/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the kernel's counters are found by name whatever stands around them, and only grow here.
 * Method: texts as kernels write them, with columns moved, missing and cut; then this machine's own files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "collector/kernel.h"

static const struct {
	const char *title;
	const char *text;
	uint64_t want[KERNEL_COUNTS];
} files[] = {
	{ "as Linux 6.1",
	  "Ip: Forwarding InReceives ReasmFails FragOKs\nIp: 1 200 3 4\n"
	  "IcmpMsg: InType3\nIcmpMsg: 9\n"
	  "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
	  "IgnoredMulti MemErrors\nUdp: 10 11 12 13 14 15 16 17 18\n"
	  "UdpLite: InDatagrams RcvbufErrors InCsumErrors\nUdpLite: 90 91 92\n",
	  { 3, 16, 14, 18 } },
	{ "an older one, without MemErrors",
	  "Udp: RcvbufErrors InCsumErrors\nUdp: 5 6\nIp: ReasmFails\nIp: 18446744073709551615\n",
	  { UINT64_MAX, 6, 5, 0 } },
	{ "a name that is the end of another", "Ip: XReasmFails ReasmFailsX\nIp: 1 2\n", { 0 } },
	{ "fewer values than names", "Udp: InDatagrams RcvbufErrors\nUdp: 1\n", { 0 } },
	{ "no values", "Udp: RcvbufErrors InCsumErrors\n", { 0 } },
	{ "names only, cut", "Udp: RcvbufErrors", { 0 } },
	{ "empty", "", { 0 } },
};

static void columns_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		uint64_t got[KERNEL_COUNTS];

		kernel_parse_snmp(files[i].text, got);
		if (memcmp(got, files[i].want, sizeof(got)) != 0)
			fail_msg("%s", files[i].title);
	}
}

static void names_are_found(void **state)
{
	static const uint64_t want[KERNEL_COUNTS] = { 7, 8, 9, 10 };
	static const uint64_t none[KERNEL_COUNTS] = { 0 };
	uint64_t got[KERNEL_COUNTS];

	(void)state;
	kernel_parse_snmp6("Ip6InReceives                   \t1\n"
			   "Ip6ReasmFailsOfOthers           \t2\n"
			   "Ip6ReasmFails                   \t7\n"
			   "Udp6RcvbufErrors                \t9\n"
			   "Udp6InCsumErrors                \t8\n"
			   "UdpLite6InCsumErrors            \t80\n"
			   "Udp6MemErrors                   \t10",
			   got);
	assert_memory_equal(got, want, sizeof(want));
	kernel_parse_snmp6("", got);
	assert_memory_equal(got, none, sizeof(none));
}

static void only_what_is_new_counts(void **state)
{
	struct kernel_counts k = { .is_known = false };
	uint64_t now[KERNEL_COUNTS] = { 100, 0, 5, 0 };

	(void)state;
	kernel_take(&k, 0, now);
	kernel_take(&k, 1, now);
	assert_int_equal(k.since[0], 0);
	now[0] = 103;
	kernel_take(&k, 0, now);
	assert_int_equal(k.since[0], 3);
	now[0] = 101;
	kernel_take(&k, 1, now);
	assert_int_equal(k.since[0], 4);
	now[0] = 2; /* it started anew */
	kernel_take(&k, 0, now);
	assert_int_equal(k.since[0], 6);
	assert_int_equal(k.since[2], 0);
}

static void this_machine_is_read(void **state)
{
	struct kernel_counts k;

	(void)state;
	kernel_init(&k);
	assert_true(k.is_known);
	assert_true(k.has_seen[0]);
	kernel_look(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_found),
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(only_what_is_new_counts),
		cmocka_unit_test(this_machine_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
