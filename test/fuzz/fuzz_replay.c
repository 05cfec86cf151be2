/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no capture file crashes or hangs the replay, and each datagram found is handed on or refused.
 * Method: the input is the file, read from memory through a descriptor; every octet handed on is read.  One
 * input in eight is read again with allocations that fail: what that costs is counted, or said.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "collector/collector.h"
#include "collector/replay.h"
#include "test/fuzz/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

static void take(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	uint64_t *calls = ctx;
	volatile uint8_t sum = 0;

	must(origin->peer.bytes == 4 || origin->peer.bytes == 16);
	must(origin->receive_ms >= 0);
	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + octets[i]);
	++*calls;
}

static void replay(int fd, struct stat_set *stat)
{
	uint64_t failures = alloc_failures();
	struct why why = { "" };
	uint64_t calls = 0;
	enum err e = replay_fd(fd, "fuzz", NULL, take, &calls, stat, &why);

	must(e == ERR_OK || why.text[0] != '\0');
	must(e != ERR_NOMEM || alloc_failures() > failures);
	must(stat_get(stat, STAT_UNITS_REPLAY) ==
	     calls + stat_get(stat, STAT_UNIT_FRAGMENT) + stat_get(stat, STAT_UNIT_CHECKSUM) +
		     stat_get(stat, STAT_UNIT_CUT) + stat_get(stat, STAT_UNIT_GARBAGE));
	if (alloc_failures() > failures)
		must(e == ERR_NOMEM || stat_get(stat, STAT_UNIT_FRAGMENT) > 0);
}

static void once(const uint8_t *octets, size_t bytes)
{
	struct stat_set *stat = NULL;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0);
	must(write(fd, octets, bytes) == (ssize_t)bytes);
	must(lseek(fd, 0, SEEK_SET) == 0);
	if (stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK)
		replay(fd, stat);
	else
		must(alloc_failures() > 0);
	stat_set_free(stat);
	(void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	log_set_level(LOG_LEVEL_ERROR);
	alloc_turns(once, octets, bytes);
	return 0;
}
