/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is appended is read once, in order, by every reader; nothing is lost without being
 * counted; memory is bounded and used again.
 * Method: records that carry their own number are appended in batches of random size, and read back
 * under every rule of the interface; at the end two readers and a worker run as threads, one reader
 * going back now and then, under both policies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/thread.h"
#include "sink/log.h"

static struct log_batch batch;
static uint64_t seed = 88172645463325252u;

static uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

static struct log_hub *hub_of(uint64_t max_bytes, enum log_policy policy)
{
	struct log_conf conf = { .max_bytes = max_bytes, .policy = policy, .has_crc = true };
	struct log_hub *hub = NULL;

	assert_int_equal(log_hub_open(&conf, NULL, &hub), ERR_OK);
	return hub;
}

static struct log *log_of(struct log_hub *hub, unsigned worker)
{
	struct log *log = NULL;

	assert_int_equal(log_open(hub, worker, NULL, &log), ERR_OK);
	return log;
}

static struct log_reader *reader_of(struct log *log, enum log_start from)
{
	struct log_reader *r = NULL;

	assert_int_equal(log_reader_open(log, "test", from, NULL, &r), ERR_OK);
	return r;
}

/* The payload is the record's number, again and again. */
static void put_record(struct log_batch *b, uint64_t number, size_t bytes)
{
	struct log_head head = { .bytes = (uint32_t)bytes, .event_ms = (int64_t)number };
	uint8_t *payload = log_batch_reserve(b, bytes);

	if (payload == NULL)
		abort();
	for (size_t i = 0; i < bytes; i++)
		payload[i] = (uint8_t)(number >> (8 * (i % 8)));
	log_batch_commit(b, &head);
}

/* `count` records of `bytes` octets, numbered as their LSN will be. */
static enum err append(struct log *log, struct log_batch *b, uint32_t count, size_t bytes)
{
	uint64_t first = 0;
	uint64_t end = log_end_lsn(log);
	enum err e;

	log_batch_clear(b);
	for (uint32_t i = 0; i < count; i++)
		put_record(b, end + i, bytes);
	e = log_append(log, b, &first);
	if (e == ERR_OK && first != end)
		abort();
	return e;
}

static bool is_right(const struct log_record *r)
{
	if ((uint64_t)r->head.event_ms != r->lsn)
		return false;
	for (size_t i = 0; i < r->head.bytes; i++) {
		if (r->payload[i] != (uint8_t)(r->lsn >> (8 * (i % 8))))
			return false;
	}
	return true;
}

/* Walks a frame whose first record must be `lsn`; one past its last. */
static uint64_t walk(const struct log_frame *frame, uint64_t lsn)
{
	struct log_record record;
	size_t at = 0;

	assert_true(frame->head.first_lsn == lsn);
	assert_int_equal(frame->head.magic, LOG_FRAME_MAGIC);
	assert_true(log_frame_is_sound(frame));
	while (log_frame_next(frame, &at, &record)) {
		assert_true(record.lsn == lsn);
		assert_true(is_right(&record));
		lsn++;
	}
	assert_int_equal(at, frame->bytes);
	assert_true(lsn == frame->head.first_lsn + frame->head.record_count);
	return lsn;
}

/* Reads all there is from `lsn` on; one past the last. */
static uint64_t read_all(struct log_reader *r, uint64_t lsn, bool is_done)
{
	struct log_frame frame;

	while (log_reader_next(r, &frame) == ERR_OK) {
		lsn = walk(&frame, lsn);
		if (is_done)
			reader_done(r, lsn);
	}
	return lsn;
}

static void close_all(struct log_hub *hub, struct log *log, struct log_reader *a,
		      struct log_reader *b)
{
	log_reader_close(a);
	log_reader_close(b);
	log_close(log);
	assert_true(log_hub_bytes(hub) == 0);
	log_hub_close(hub);
}

static void frames_become_readable_when_sealed(void **state)
{
	struct log_hub *hub = hub_of(64u << 20, LOG_BLOCK);
	struct log *log = log_of(hub, 3);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);
	struct log_frame frame;
	uint64_t seen = 0;

	(void)state;
	assert_int_equal(log_worker(log_reader_log(r)), 3);
	assert_int_equal(append(log, &batch, 10, 100), ERR_OK);
	assert_int_equal(log_reader_next(r, &frame), ERR_AGAIN);
	log_tick(log, clock_mono_ms());
	assert_int_equal(log_reader_next(r, &frame), ERR_AGAIN);
	log_tick(log, clock_mono_ms() + LOG_COMMIT_MS);
	log_hub_wait(hub, &seen, 1000);
	assert_int_equal(seen, 1);
	assert_true(read_all(r, 0, true) == 10);
	assert_int_equal(append(log, &batch, 0, 0), ERR_OK);
	log_flush(log);
	assert_int_equal(log_reader_next(r, &frame), ERR_AGAIN);
	assert_int_equal(append(log, &batch, 5, 0), ERR_OK);
	log_finish(log);
	assert_true(read_all(r, 10, true) == 15);
	assert_int_equal(log_reader_next(r, &frame), ERR_CLOSED);
	assert_int_equal(stat_get(log_hub_stat(hub), LOG_STAT_APPENDED), 15);
	assert_int_equal(stat_get(log_hub_stat(hub), LOG_STAT_FRAMES), 2);
	assert_int_equal(stat_get(log_hub_stat(hub), LOG_STAT_APPENDED_OCTETS),
			 10 * (48 + 104) + 5 * 48);
	close_all(hub, log, r, NULL);
}

static void many_frames_and_memory_is_used_again(void **state)
{
	struct log_hub *hub = hub_of(8u << 20, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *a = reader_of(log, LOG_FROM_OLDEST);
	struct log_reader *b = reader_of(log, LOG_FROM_OLDEST);
	uint64_t lsn_a = 0;
	uint64_t lsn_b = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		assert_int_equal(append(log, &batch, 1 + below(40), below(900)), ERR_OK);
		if (below(50) == 0)
			log_flush(log);
		lsn_a = read_all(a, lsn_a, true);
		if (i % 20 == 0)
			lsn_b = read_all(b, lsn_b, true);
		assert_true(log_hub_bytes(hub) <= 12 * LOG_FRAME_BYTES);
	}
	log_flush(log);
	assert_true(read_all(a, lsn_a, true) == log_end_lsn(log));
	assert_true(read_all(b, lsn_b, true) == log_end_lsn(log));
	close_all(hub, log, a, b);
}

static void nobody_reads(void **state)
{
	struct log_hub *hub = hub_of(1u << 20, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *r;

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(append(log, &batch, 30, 600), ERR_OK);
	log_flush(log);
	assert_true(log_hub_bytes(hub) <= LOG_FRAME_BYTES);
	assert_int_equal(stat_get(log_hub_stat(hub), LOG_STAT_APPENDED), 60000);
	r = reader_of(log, LOG_FROM_OLDEST);
	assert_true(log_reader_start_lsn(r) == 60000);
	assert_int_equal(append(log, &batch, 1, 600), ERR_OK);
	log_flush(log);
	assert_true(read_all(r, 60000, true) == 60001);
	close_all(hub, log, r, NULL);
}

static void a_reader_from_the_end(void **state)
{
	struct log_hub *hub = hub_of(1u << 20, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *all = reader_of(log, LOG_FROM_OLDEST);
	struct log_reader *r;

	(void)state;
	assert_int_equal(append(log, &batch, 7, 50), ERR_OK);
	r = reader_of(log, LOG_FROM_END); /* in the middle of a frame */
	assert_int_equal(append(log, &batch, 5, 50), ERR_OK);
	log_flush(log);
	assert_true(log_reader_start_lsn(r) == 7);
	assert_true(read_all(r, 7, true) == 12);
	assert_true(read_all(all, 0, true) == 12);
	close_all(hub, log, all, r);
}

static void schemas_and_large_batches_have_frames_of_their_own(void **state)
{
	struct log_hub *hub = hub_of(64u << 20, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);
	struct log_frame frame;
	uint64_t lsn = 0;

	(void)state;
	for (uint32_t schema = 0; schema < 3; schema++) {
		batch.schema = schema;
		assert_int_equal(append(log, &batch, 4, 100), ERR_OK);
	}
	assert_int_equal(append(log, &batch, 3000, 1000), ERR_OK);
	assert_int_equal(append(log, &batch, 1, 1), ERR_OK);
	log_flush(log);
	for (uint32_t schema = 0; schema < 3; schema++) {
		assert_int_equal(log_reader_next(r, &frame), ERR_OK);
		assert_int_equal(frame.head.schema, schema);
		assert_int_equal(frame.head.record_count, 4);
		lsn = walk(&frame, lsn);
	}
	assert_int_equal(log_reader_next(r, &frame), ERR_OK);
	assert_int_equal(frame.head.record_count, 3000);
	lsn = walk(&frame, lsn);
	assert_true(read_all(r, lsn, true) == 3013);
	batch.schema = 0;
	close_all(hub, log, r, NULL);
}

static void full_then_room_again(void **state)
{
	struct log_hub *hub = hub_of(4 * LOG_FRAME_BYTES, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);
	uint64_t lsn = 0;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		uint64_t before;
		enum err e;

		do {
			before = log_end_lsn(log);
			e = append(log, &batch, 20, 700);
		} while (e == ERR_OK);
		assert_int_equal(e, ERR_FULL);
		assert_true(log_end_lsn(log) == before); /* all or none */
		assert_int_equal(append(log, &batch, 20, 700), ERR_FULL);
		assert_true(log_hub_bytes(hub) == 4 * LOG_FRAME_BYTES);
		lsn = read_all(r, lsn, true);
		assert_true(lsn == log_end_lsn(log)); /* full logs hide nothing */
		assert_int_equal(append(log, &batch, 1, 1), ERR_OK);
	}
	assert_int_equal(stat_get(log_hub_stat(hub), LOG_STAT_EVICTED), 0);
	assert_int_equal(log_reader_lost(r, LOG_LOST_MAX_BYTES), 0);
	close_all(hub, log, r, NULL);
}

/* However small the limit, each log may have one frame at a time. */
/* Whoever can wait is told at four fifths, and told again that there is room. */
static void more_than_four_fifths(void **state)
{
	struct log_hub *hub = hub_of(20 * LOG_FRAME_BYTES, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);

	(void)state;
	assert_false(log_hub_is_high(hub));
	while (append(log, &batch, 20, 700) == ERR_OK) {
		bool is_high = log_hub_bytes(hub) > log_hub_max_bytes(hub) / 5 * 4;

		assert_int_equal(log_hub_is_high(hub), is_high);
	}
	assert_true(log_hub_is_high(hub));
	log_flush(log);
	(void)read_all(r, 0, true);
	assert_false(log_hub_is_high(hub));
	close_all(hub, log, r, NULL);
}

static void a_limit_below_one_frame(void **state)
{
	static const enum log_policy policies[] = { LOG_BLOCK, LOG_EVICT_OLDEST };

	(void)state;
	for (size_t p = 0; p < 2; p++) {
		struct log_hub *hub = hub_of(1, policies[p]);
		struct log *log = log_of(hub, 0);
		struct log *other = log_of(hub, 1);
		struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);
		struct log_reader *o = reader_of(other, LOG_FROM_OLDEST);
		uint64_t lsn = 0;

		assert_int_equal(append(other, &batch, 1, 1), ERR_OK);
		for (unsigned i = 0; i < 3000; i++) {
			enum err e = append(log, &batch, 20, 700);

			if (e == ERR_FULL) {
				assert_int_equal(policies[p], LOG_BLOCK);
				lsn = read_all(r, lsn, true);
				e = append(log, &batch, 20, 700);
			}
			assert_int_equal(e, ERR_OK);
			if (policies[p] == LOG_EVICT_OLDEST && i % 7 == 0) {
				struct log_frame frame;

				if (log_reader_next(r, &frame) == ERR_OK)
					(void)walk(&frame, frame.head.first_lsn);
			}
		}
		log_flush(log);
		log_flush(other);
		assert_true(read_all(o, 0, true) == 1);
		log_reader_close(o);
		log_close(other);
		close_all(hub, log, r, NULL);
	}
}

static void the_oldest_make_room(void **state)
{
	struct log_hub *hub = hub_of(4 * LOG_FRAME_BYTES, LOG_EVICT_OLDEST);
	struct log *log = log_of(hub, 0);
	struct log_reader *slow = reader_of(log, LOG_FROM_OLDEST);
	struct log_reader *fast = reader_of(log, LOG_FROM_OLDEST);
	struct log_frame frame;
	uint64_t lsn = 0;
	uint64_t first;
	uint64_t got = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		assert_int_equal(append(log, &batch, 20, 700), ERR_OK);
		lsn = read_all(fast, lsn, true);
	}
	log_flush(log);
	assert_true(read_all(fast, lsn, true) == 8000);
	assert_int_equal(log_reader_lost(fast, LOG_LOST_MAX_BYTES), 0);
	assert_int_equal(log_reader_next(slow, &frame), ERR_OK);
	first = frame.head.first_lsn;
	assert_true(first > 0);
	assert_true(log_reader_lost(slow, LOG_LOST_MAX_BYTES) == first);
	assert_true(stat_get(log_hub_stat(hub), LOG_STAT_EVICTED) == first);
	assert_true(log_reader_done_lsn(slow) == first); /* nothing in flight below the gap */
	got += walk(&frame, first) - first;
	/* What it looks at stays, whatever is dropped meanwhile. */
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(append(log, &batch, 20, 700), ERR_OK);
	log_flush(log);
	(void)walk(&frame, first);
	assert_true(log_reader_done_lsn(slow) == first);
	reader_done(slow, first + frame.head.record_count);
	assert_true(log_reader_done_lsn(slow) > first + frame.head.record_count); /* over the gap */
	while (log_reader_next(slow, &frame) == ERR_OK) {
		got += walk(&frame, frame.head.first_lsn) - frame.head.first_lsn;
		reader_done(slow, frame.head.first_lsn + frame.head.record_count);
	}
	assert_true(got + log_reader_lost(slow, LOG_LOST_MAX_BYTES) == 16000);
	assert_true(log_reader_done_lsn(slow) == 16000);
	close_all(hub, log, slow, fast);
}

/* All is evicted while a reader sleeps at the end: done must come to the end all the same. */
static void evicted_to_the_end(void **state)
{
	struct log_hub *hub = hub_of(LOG_FRAME_BYTES, LOG_EVICT_OLDEST);
	struct log *log = log_of(hub, 0);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);
	struct log_frame frame;
	uint64_t end;

	(void)state;
	assert_int_equal(append(log, &batch, 20, 700), ERR_OK);
	log_flush(log);
	assert_true(read_all(r, 0, false) == 20); /* in flight */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(append(log, &batch, 20, 700), ERR_OK);
	end = log_end_lsn(log);
	reader_done(r, 20);
	log_flush(log);
	while (log_reader_next(r, &frame) == ERR_OK)
		reader_done(r, walk(&frame, frame.head.first_lsn));
	assert_true(log_reader_done_lsn(r) == end);
	close_all(hub, log, r, NULL);
}

static void going_back(void **state)
{
	struct log_hub *hub = hub_of(64u << 20, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(append(log, &batch, 25, 300), ERR_OK);
	log_flush(log);
	assert_int_equal(log_reader_seek(r, 1), ERR_LIMIT); /* not read yet */
	assert_true(read_all(r, 0, false) == 5000);
	for (uint64_t lsn = 0; lsn < 5000; lsn += 1 + below(300)) {
		reader_done(r, lsn == 0 ? 0 : lsn - below((uint32_t)(lsn < 50 ? lsn : 50)));
		assert_int_equal(log_reader_seek(r, lsn), ERR_OK);
		assert_true(read_all(r, lsn, false) == 5000);
	}
	assert_int_equal(log_reader_seek(r, log_reader_done_lsn(r) - 1), ERR_LIMIT);
	assert_int_equal(log_reader_seek(r, 5000), ERR_OK);
	assert_true(read_all(r, 5000, true) == 5000);
	reader_done(r, 5000);
	reader_done(r, 10); /* never back */
	assert_true(log_reader_done_lsn(r) == 5000);
	close_all(hub, log, r, NULL);
}

/* What was read, evicted, and is then asked for again is lost, and counted once. */
static void going_back_over_what_made_room(void **state)
{
	struct log_hub *hub = hub_of(2 * LOG_FRAME_BYTES, LOG_EVICT_OLDEST);
	struct log *log = log_of(hub, 0);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);
	struct log_frame frame;
	uint64_t got = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(append(log, &batch, 20, 700), ERR_OK);
	assert_int_equal(log_reader_next(r, &frame), ERR_OK);
	reader_done(r, 100);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(append(log, &batch, 20, 700), ERR_OK);
	log_flush(log);
	assert_true(100 + log_reader_pending(r) + log_reader_lost(r, LOG_LOST_MAX_BYTES) == 4400);
	assert_int_equal(log_reader_next(r, &frame), ERR_OK); /* behind a gap */
	assert_int_equal(log_reader_seek(r, 100), ERR_OK);
	assert_int_equal(log_reader_seek(r, log_reader_done_lsn(r)), ERR_OK);
	while (log_reader_next(r, &frame) == ERR_OK) {
		got += walk(&frame, frame.head.first_lsn) - frame.head.first_lsn;
		reader_done(r, frame.head.first_lsn + frame.head.record_count);
	}
	assert_true(log_reader_done_lsn(r) == 4400);
	assert_int_equal(log_reader_pending(r), 0);
	assert_true(100 + got + log_reader_lost(r, LOG_LOST_MAX_BYTES) == 4400);
	assert_true(stat_get(log_hub_stat(hub), LOG_STAT_EVICTED) == log_reader_lost(r, LOG_LOST_MAX_BYTES));
	close_all(hub, log, r, NULL);
}

static void a_changed_frame_is_found_out(void **state)
{
	struct log_hub *hub = hub_of(1u << 20, LOG_BLOCK);
	struct log *log = log_of(hub, 0);
	struct log_reader *r = reader_of(log, LOG_FROM_OLDEST);
	struct log_frame frame;
	uint8_t *copy;

	(void)state;
	assert_int_equal(append(log, &batch, 3, 100), ERR_OK);
	log_flush(log);
	assert_int_equal(log_reader_next(r, &frame), ERR_OK);
	copy = malloc(frame.bytes);
	assert_non_null(copy);
	memcpy(copy, frame.body, frame.bytes);
	frame.body = copy;
	assert_true(log_frame_is_sound(&frame));
	for (size_t i = 0; i < frame.bytes; i++) {
		copy[i] ^= 1;
		assert_false(log_frame_is_sound(&frame));
		copy[i] ^= 1;
	}
	frame.head.record_count++;
	assert_false(log_frame_is_sound(&frame));
	free(copy);
	close_all(hub, log, r, NULL);
}

static void lying_heads_end_the_walk(void **state)
{
	uint8_t octets[96] = { 0 };
	struct log_frame frame = { .body = octets, .bytes = sizeof(octets) };
	struct log_head head = { .bytes = 48 };
	struct log_record record;

	(void)state;
	for (size_t bytes = 0; bytes <= sizeof(octets); bytes++) {
		size_t at = 0;

		memcpy(octets, &head, sizeof(head));
		frame.bytes = bytes;
		assert_int_equal(log_frame_next(&frame, &at, &record), bytes == sizeof(octets));
	}
	head.bytes = UINT32_MAX;
	memcpy(octets, &head, sizeof(head));
	assert_false(log_frame_next(&frame, &(size_t){ 0 }, &record));
}

static void a_batch_grows_to_its_limit(void **state)
{
	struct log_batch b;

	(void)state;
	assert_int_equal(log_batch_init(&b, 0), ERR_OK);
	assert_null(log_batch_reserve(&b, LOG_RECORD_MAX + 1));
	assert_non_null(log_batch_reserve(&b, LOG_RECORD_MAX));
	put_record(&b, 1, 1000);
	assert_int_equal(b.bytes, 1048);
	put_record(&b, 2, 1001);
	assert_int_equal(b.bytes, 1048 + 48 + 1008);
	assert_int_equal(b.record_count, 2);
	log_batch_clear(&b);
	assert_int_equal(b.bytes, 0);
	log_batch_fini(&b);
}

static void names_have_numbers(void **state)
{
	struct log_hub *hub = hub_of(1, LOG_BLOCK);
	char text[32];
	uint32_t number;
	size_t bytes;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 70000; i++) {
			int n = snprintf(text, sizeof(text), "name %u", i);
			enum err e = log_name_add(hub, LOG_NAME_EXPORTER, text, (size_t)n, &number);

			assert_int_equal(e, ERR_OK);
			assert_int_equal(number, i);
			assert_string_equal(log_name(hub, LOG_NAME_EXPORTER, i, &bytes), text);
			assert_int_equal(bytes, n);
			e = log_name_add(hub, LOG_NAME_EVENT_TYPE, text, (size_t)n, &number);
			assert_int_equal(e, i < 65535 ? ERR_OK : ERR_LIMIT);
		}
	}
	assert_int_equal(log_name_add(hub, LOG_NAME_SCHEMA, "", 0, &number), ERR_OK);
	assert_int_equal(number, 0);
	assert_string_equal(log_name(hub, LOG_NAME_SCHEMA, 0, &bytes), "");
	log_hub_close(hub);
}

/* ---- threads: failures are counted, since asserts belong to the main thread ---- */

#define RUN_RECORDS 300000

struct run {
	struct log_hub *hub;
	struct log *log;
	struct log_reader *reader;
	bool goes_back;
	uint64_t got; /* records of its own, once each */
	uint64_t wrong;
	uint64_t refused; /* ERR_FULL */
};

static void work(void *ctx)
{
	struct run *run = ctx;
	struct log_batch b;

	if (log_batch_init(&b, 1 << 16) != ERR_OK)
		abort();
	while (log_end_lsn(run->log) < RUN_RECORDS) {
		enum err e = append(run->log, &b, 25, 120);

		if (e == ERR_FULL) {
			uint64_t seen = 0;

			run->refused++;
			log_hub_wait(run->hub, &seen, 1);
		} else if (e != ERR_OK) {
			run->wrong++;
		}
		log_tick(run->log, clock_mono_ms());
	}
	log_finish(run->log);
	log_batch_fini(&b);
}

static void read_frame(struct run *run, const struct log_frame *frame, uint64_t *lsn)
{
	struct log_record record;
	size_t at = 0;

	if (frame->head.first_lsn < *lsn)
		run->wrong++;
	while (log_frame_next(frame, &at, &record)) {
		if (!is_right(&record))
			run->wrong++;
	}
	*lsn = frame->head.first_lsn + frame->head.record_count;
}

/* Reads to the end; every 50th frame goes back to what was done last. */
static void consume(void *ctx)
{
	struct run *run = ctx;
	struct log_frame frame;
	uint64_t seen = 0;
	uint64_t lsn = 0;
	unsigned frames = 0;

	for (;;) {
		enum err e = log_reader_next(run->reader, &frame);

		if (e == ERR_CLOSED)
			break;
		if (e == ERR_AGAIN) {
			log_hub_wait(run->hub, &seen, 50);
			continue;
		}
		read_frame(run, &frame, &lsn);
		if (run->goes_back && ++frames % 50 == 0) {
			lsn = log_reader_done_lsn(run->reader);
			if (log_reader_seek(run->reader, lsn) != ERR_OK)
				run->wrong++;
			continue;
		}
		if (frames % 7 != 3 || !run->goes_back) {
			run->got += lsn - log_reader_done_lsn(run->reader);
			reader_done(run->reader, lsn);
		}
	}
	run->got += lsn - log_reader_done_lsn(run->reader);
	reader_done(run->reader, lsn);
}

static void threads(void **state)
{
	static const enum log_policy policies[] = { LOG_BLOCK, LOG_EVICT_OLDEST };

	(void)state;
	for (size_t p = 0; p < 2; p++) {
		/* A frame that is being read does not go: two are, and the worker has one and wants one. */
		struct log_hub *hub = hub_of((policies[p] == LOG_BLOCK ? 3 : 5) * LOG_FRAME_BYTES, policies[p]);
		struct log *log = log_of(hub, 0);
		struct run runs[3] = { { .hub = hub, .log = log }, { .hub = hub }, { .hub = hub } };
		struct thread *t[3];

		runs[1].reader = reader_of(log, LOG_FROM_OLDEST);
		runs[2].reader = reader_of(log, LOG_FROM_OLDEST);
		runs[2].goes_back = true;
		assert_int_equal(thread_start("worker", work, &runs[0], &t[0]), ERR_OK);
		assert_int_equal(thread_start("a", consume, &runs[1], &t[1]), ERR_OK);
		assert_int_equal(thread_start("b", consume, &runs[2], &t[2]), ERR_OK);
		for (size_t i = 0; i < 3; i++) {
			thread_join(t[i]);
			assert_int_equal(runs[i].wrong, 0);
		}
		for (size_t i = 1; i < 3; i++) {
			uint64_t evicted = log_reader_lost(runs[i].reader, LOG_LOST_MAX_BYTES);

			assert_true(log_reader_done_lsn(runs[i].reader) == log_end_lsn(log));
			if (policies[p] == LOG_BLOCK) {
				assert_true(evicted == 0);
				assert_true(runs[i].got == log_end_lsn(log));
			} else {
				assert_true(runs[i].got <= log_end_lsn(log));
			}
		}
		if (policies[p] == LOG_EVICT_OLDEST)
			assert_int_equal(runs[0].refused, 0);
		close_all(hub, log, runs[1].reader, runs[2].reader);
	}
}

static int set_up(void **state)
{
	(void)state;
	return log_batch_init(&batch, 1 << 16) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	log_batch_fini(&batch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_become_readable_when_sealed),
		cmocka_unit_test(many_frames_and_memory_is_used_again),
		cmocka_unit_test(nobody_reads),
		cmocka_unit_test(a_reader_from_the_end),
		cmocka_unit_test(schemas_and_large_batches_have_frames_of_their_own),
		cmocka_unit_test(full_then_room_again),
		cmocka_unit_test(more_than_four_fifths),
		cmocka_unit_test(a_limit_below_one_frame),
		cmocka_unit_test(the_oldest_make_room),
		cmocka_unit_test(evicted_to_the_end),
		cmocka_unit_test(going_back),
		cmocka_unit_test(going_back_over_what_made_room),
		cmocka_unit_test(a_changed_frame_is_found_out),
		cmocka_unit_test(lying_heads_end_the_walk),
		cmocka_unit_test(a_batch_grows_to_its_limit),
		cmocka_unit_test(names_have_numbers),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
