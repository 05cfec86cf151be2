/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no capture file crashes or hangs the replay, and each datagram found is handed on or refused.
 * Method: the input is the file, read from memory through a descriptor; every octet handed on is read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "collector/collector.h"
#include "collector/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stat_set *stat = NULL;
	struct why why = { "" };
	uint64_t calls = 0;
	enum err e;
	int fd;

	log_set_level(LOG_LEVEL_ERROR);
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(fd >= 0);
	must(write(fd, data, size) == (ssize_t)size);
	must(lseek(fd, 0, SEEK_SET) == 0);
	must(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &stat) == ERR_OK);
	e = replay_fd(fd, "fuzz", NULL, take, &calls, stat, &why);
	must(e == ERR_OK || why.text[0] != '\0');
	must(stat_get(stat, STAT_UNITS_REPLAY) ==
	     calls + stat_get(stat, STAT_UNIT_FRAGMENT) + stat_get(stat, STAT_UNIT_CHECKSUM) +
		     stat_get(stat, STAT_UNIT_CUT));
	stat_set_free(stat);
	(void)close(fd);
	return 0;
}
