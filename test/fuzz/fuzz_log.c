/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no octets in a segment's place crash or hang whoever reads them, and each frame given is whole.
 * Method: the input is a head and frames; its first octet says whether their checksums are put right, so
 * that what lies behind them is reached.  It is read as recovery does, and as a reader does, which looks
 * names up; one input in eight is read again with allocations that fail.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "sink/log_scan.h"
#include "test/fuzz/alloc.h"

#define FILE_MOST (64u << 10)
#define IS_RIGHT 1 /* all checksums */
#define IS_HEADLESS 2
#define NAME "00000000000000000007" LOG_SEGMENT_SUFFIX

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

static char dir[] = "/dev/shm/sluice-fuzz-XXXXXX";
static uint8_t file[FILE_MOST];

static void remove_dir(void)
{
	(void)rmdir(dir);
}

static int open_dir(void)
{
	static int fd = -1;

	if (fd < 0) {
		must(mkdtemp(dir) != NULL);
		(void)atexit(remove_dir);
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		must(fd >= 0);
	}
	return fd;
}

static void put_right(size_t bytes)
{
	struct log_segment_head head;
	struct log_frame_head frame;
	size_t at = LOG_SEGMENT_HEAD_BYTES;

	memcpy(&head, file, sizeof(head));
	head.crc = log_segment_crc(&head);
	memcpy(file, &head, sizeof(head));
	while (bytes - at >= sizeof(frame)) {
		memcpy(&frame, file + at, sizeof(frame));
		frame.epoch = head.epoch;
		if (frame.body_bytes > bytes - at - sizeof(frame))
			break;
		frame.crc = log_frame_crc(&frame, file + at + sizeof(frame));
		memcpy(file + at, &frame, sizeof(frame));
		at += sizeof(frame) + log_padded(frame.body_bytes);
		if (at > bytes)
			break;
	}
}

static void check(const struct log_scan *s, struct log_hub *hub, const struct log_frame *frame)
{
	struct log_record record = { .lsn = 0 };
	volatile uint8_t sum = 0;
	uint32_t count = 0;
	size_t at = 0;
	size_t bytes;

	must(frame->head.first_lsn >= s->head.first_lsn);
	if (frame->head.schema == LOG_FRAME_SETTLED) {
		must(s->lsn > frame->head.first_lsn && frame->head.record_count == 0);
		return;
	}
	must(s->lsn == frame->head.first_lsn + frame->head.record_count);
	while (log_frame_next(frame, &at, &record)) {
		for (uint32_t i = 0; i < record.head.bytes; i++)
			sum = (uint8_t)(sum + record.payload[i]);
		if (hub != NULL)
			must(log_name(hub, LOG_NAME_EXPORTER, record.head.exporter, &bytes) !=
			     NULL);
		count++;
	}
	must(at == frame->bytes);
	must(count == frame->head.record_count);
	if (hub != NULL)
		must(log_name(hub, LOG_NAME_SCHEMA, frame->head.schema, &bytes) != NULL);
}

static void scan(struct log_hub *hub)
{
	struct log_scan s;
	struct log_frame frame;
	uint64_t failures = alloc_failures();
	enum err e = log_scan_open(&s, open_dir(), NAME, hub);

	if (e != ERR_OK)
		return;
	do {
		uint64_t from = s.at;

		while ((e = log_scan_next(&s, &frame)) == ERR_OK) {
			must(s.at > from);
			from = s.at;
			check(&s, hub, &frame);
		}
		must(e == ERR_CLOSED || (e == ERR_NOMEM && alloc_failures() > failures));
	} while (e == ERR_CLOSED && log_scan_resync(&s));
	log_scan_close(&s);
}

static void once(const uint8_t *octets, size_t bytes)
{
	struct log_conf conf = { .max_bytes = 1u << 20 };
	struct log_hub *hub = NULL;

	(void)octets;
	(void)bytes;
	scan(NULL);
	if (log_hub_open(&conf, NULL, &hub) == ERR_OK)
		scan(hub);
	log_hub_close(hub);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	size_t head_bytes = sizeof(struct log_segment_head);
	size_t file_bytes;
	int fd;

	log_set_level(LOG_LEVEL_ERROR);
	if (bytes < 1 + head_bytes || bytes > FILE_MOST - LOG_SEGMENT_HEAD_BYTES)
		return 0;
	memset(file, 0, sizeof(file));
	file_bytes = LOG_SEGMENT_HEAD_BYTES + bytes - 1 - head_bytes;
	memcpy(file, octets + 1, head_bytes);
	memcpy(file + LOG_SEGMENT_HEAD_BYTES, octets + 1 + head_bytes, bytes - 1 - head_bytes);
	if ((octets[0] & IS_RIGHT) != 0)
		put_right(file_bytes);
	if ((octets[0] & IS_HEADLESS) != 0)
		file[0] = 0;
	fd = openat(open_dir(), NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0);
	must(write(fd, file, file_bytes) == (ssize_t)file_bytes);
	(void)close(fd);
	alloc_turns(once, octets, bytes);
	must(unlinkat(open_dir(), NAME, 0) == 0);
	return 0;
}
