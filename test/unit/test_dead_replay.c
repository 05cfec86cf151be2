/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a refused record goes to the sink that refused it with the head that it had, and to no other sink; a letter that
 * cannot be sent is put back, and one that cannot be read is counted; all of it in turns that are bounded.
 * Method: a service without sockets, into whose dead letter log letters are put by hand; a reader of the main
 * log, and the ledger, see what comes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemon/dead_replay.h"
#include "daemon/envelope.h"
#include "daemon/service.h"
#include "sink/avro.h"

#define EVENT_ROOM 65536
#define FRAMES 40

static char dir[] = "/tmp/test_dead_replay_XXXXXX";
static struct service *service;
static struct log_reader *reader;
static uint8_t event[EVENT_ROOM];
static size_t event_bytes;
static struct log_head event_head;

static void make_event(void)
{
	static struct flow f;
	const struct generation *g = reload_newest(&service->reload);

	flow_clear(&f);
	flow_set_i64(&f, F_event_time, 1767225600123);
	flow_set_i64(&f, F_ingest_time, 1767225601456);
	flow_set_octets(&f, F_event_type, "dns", 3);
	flow_set_octets(&f, F_source, "ipfix", 5);
	flow_set_octets(&f, F_exporter_ip, "\xc0\x00\x02\x01", 4);
	flow_set_octets(&f, F_src_ip, "\xc6\x33\x64\x07", 4);
	flow_set_octets(&f, F_dst_ip, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09", 16);
	flow_set_i64(&f, F_src_port, 5353);
	flow_set_i64(&f, F_dst_port, 53);
	flow_set_i64(&f, F_protocol_number, 17);
	event_bytes = avro_encode(&g->encoder, &f, event, sizeof(event));
	assert_true(event_bytes > 0);
	envelope_head(&f, &event_head);
}

static int open_service(void **state)
{
	static char state_text[64];
	char *overrides[] = {
		state_text,
		(char *)"sinks=({ name = \"first\"; type = \"null\"; }, { name = \"second\"; type = \"null\"; })",
	};
	struct service_setup setup = { .conf_path = "etc/sluice.conf",
				       .overrides = overrides,
				       .override_count = 2,
				       .is_replay = true };
	struct why why = { "" };

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(state_text, sizeof(state_text), "state=%s", dir);
	if (service_open(&setup, &service, &why) != ERR_OK) {
		print_error("%s\n", why.text);
		return -1;
	}
	make_event();
	if (log_reader_open(service->logs[0], "test", LOG_FROM_OLDEST, &why, &reader) != ERR_OK)
		return -1;
	return service_start(service, &why) == ERR_OK ? 0 : -1;
}

static int close_service(void **state)
{
	(void)state;
	log_reader_close(reader);
	service_stop(service);
	service_close(service);
	return rmdir(dir);
}

/* The event as sink `sink` refused it. */
static struct dead_letter refused(const char *sink, const char *fingerprint)
{
	struct dead_letter l = { .care = DEAD_KEEP };

	dead_set_number(&l, DEAD_RECEIVED, 1767225602000);
	dead_set_text(&l, DEAD_KIND, DEAD_KIND_RECORD);
	dead_set_text(&l, DEAD_REASON, "sink_dead_letter/refused");
	dead_set_text(&l, DEAD_SINK, sink);
	dead_set_text(&l, DEAD_EXPORTER_NAME, "edge");
	dead_set_text(&l, DEAD_SCHEMA, fingerprint);
	dead_set_octets(&l, DEAD_OCTETS, event, event_bytes);
	return l;
}

static const char *fingerprint_now(void)
{
	static char out[DEAD_FINGERPRINT_BYTES + 1];
	const char *text = reload_newest(&service->reload)->schema_text;

	dead_fingerprint(text, strlen(text), out);
	return out;
}

static void check_ledger(void)
{
	struct ledger *ledger = malloc(sizeof(*ledger));
	int64_t end_ms = clock_mono_ms() + 20000;

	assert_non_null(ledger);
	do {
		service_flush_logs(service);
		(void)nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
		assert_true(clock_mono_ms() < end_ms);
	} while (!sinks_drained(service->sinks));
	service_ledger(service, ledger);
	if (!ledger->is_balanced)
		ledger_print(ledger, stderr);
	assert_true(ledger->is_balanced);
	free(ledger);
}

static uint64_t sink_count(size_t sink, enum sink_stat id)
{
	return stat_get(sinks_stat(service->sinks, sink), id);
}

/* A frame at a time; how many turns it took. */
static unsigned run(struct dead_replay_sums *out)
{
	struct dead_replay *r;
	struct why why = { "" };
	unsigned turns = 1;
	enum err e;

	assert_int_equal(dead_replay_new(service, &r, &why), ERR_OK);
	while ((e = dead_replay_step(r, 0, &why)) == ERR_AGAIN)
		turns++;
	assert_int_equal(e, ERR_OK);
	*out = *dead_replay_sums(r);
	dead_replay_free(r);
	return turns;
}

static void to_its_sink_alone(void **state)
{
	struct dead_letter l = refused("second", fingerprint_now());
	struct log_record record = { .lsn = 0 };
	struct dead_replay_sums r;
	struct log_frame frame;
	const char *name;
	size_t bytes;
	size_t at = 0;

	(void)state;
	assert_true(dead_bury_letter(service->dead, &l));
	run(&r);
	assert_int_equal(r.records, 1);
	assert_int_equal(r.returned + r.sets + r.messages + r.is_more, 0);
	assert_int_equal(log_reader_next(reader, &frame), ERR_OK);
	assert_int_equal(frame.head.schema, reload_newest(&service->reload)->schema);
	assert_true(log_frame_next(&frame, &at, &record));
	assert_int_equal(record.head.bytes, event_bytes);
	assert_memory_equal(record.payload, event, event_bytes);
	assert_int_equal(record.head.event_ms, event_head.event_ms);
	assert_int_equal(record.head.ingest_ms, event_head.ingest_ms);
	assert_true(record.head.key_hash == event_head.key_hash);
	assert_int_equal(record.head.route, 2);
	name = log_name(service->hub, LOG_NAME_EXPORTER, record.head.exporter, &bytes);
	assert_string_equal(name, "edge");
	name = log_name(service->hub, LOG_NAME_EVENT_TYPE, record.head.event_type, &bytes);
	assert_string_equal(name, "dns");
	assert_false(log_frame_next(&frame, &at, &record));
	reader_done(reader, frame.head.first_lsn + 1);
	check_ledger();
	assert_int_equal(sink_count(0, SINK_STAT_NOT_ROUTED), 1);
	assert_int_equal(sink_count(0, SINK_STAT_DELIVERED), 0);
	assert_int_equal(sink_count(1, SINK_STAT_NOT_ROUTED), 0);
	assert_int_equal(sink_count(1, SINK_STAT_DELIVERED), 1);
}

static void put_back(void **state)
{
	struct dead_letter letters[] = {
		refused("nobody", fingerprint_now()),
		refused("first", "0123456789abcdef"),
		refused("first", ""),
		refused("first", fingerprint_now()), /* cut */
		refused("first", fingerprint_now()), /* a set without header */
		refused("first", fingerprint_now()), /* of no known kind */
	};
	size_t count = sizeof(letters) / sizeof(letters[0]);
	struct dead_replay_sums r;
	struct dead_sums before;
	struct dead_sums s;

	(void)state;
	letters[3].values[DEAD_OCTETS].bytes--;
	dead_set_text(&letters[4], DEAD_KIND, DEAD_KIND_SET);
	dead_set_text(&letters[4], DEAD_EXPORTER_IP, "192.0.2.1");
	dead_set_text(&letters[5], DEAD_KIND, "riddle");
	dead_sum(service->dead, &before);
	for (size_t i = 0; i < count; i++)
		assert_true(dead_bury_letter(service->dead, &letters[i]));
	for (unsigned turn = 0; turn < 3; turn++) {
		run(&r);
		assert_int_equal(r.returned, count);
		assert_int_equal(r.sets + r.messages + r.records, 0);
		dead_sum(service->dead, &s);
		assert_int_equal(s.kept, count);
		/* Where its sinks find them. */
		for (size_t i = 0; i < dead_log_count(service->dead); i++)
			assert_true(log_sealed_lsn(dead_logs(service->dead)[i]) ==
				    log_end_lsn(dead_logs(service->dead)[i]));
	}
	assert_int_equal(s.values[DEAD_STAT_RETURNED] - before.values[DEAD_STAT_RETURNED],
			 3 * count);
	check_ledger();
}

static void no_letter(void **state)
{
	struct log *log = dead_logs(service->dead)[dead_log_count(service->dead) - 1];
	struct log_head head = { .bytes = 5, .route = UINT64_MAX };
	struct log_batch batch;
	struct dead_replay_sums r;
	struct dead_sums s;
	uint64_t kept;
	uint64_t lsn;
	uint8_t *out;

	(void)state;
	dead_sum(service->dead, &s);
	kept = s.kept;
	assert_int_equal(log_batch_init(&batch, 256), ERR_OK);
	out = log_batch_reserve(&batch, head.bytes);
	assert_non_null(out);
	memset(out, 0xff, head.bytes);
	log_batch_commit(&batch, &head);
	assert_int_equal(log_append(log, &batch, &lsn), ERR_OK);
	log_batch_fini(&batch);
	run(&r);
	dead_sum(service->dead, &s);
	assert_int_equal(s.values[DEAD_STAT_UNREADABLE], 1);
	assert_int_equal(s.kept, kept);
	assert_int_equal(r.returned, kept);
	check_ledger();
}

/* What one turn does is bounded; what comes back meanwhile is for the next replay; one that is given up leaves the rest. */
static void in_turns(void **state)
{
	struct dead_letter l = refused("nobody", fingerprint_now());
	struct dead_replay_sums sums;
	struct dead_replay *r;
	struct dead_sums before;
	struct dead_sums s;
	struct why why = { "" };

	(void)state;
	run(&sums);
	dead_sum(service->dead, &before);
	for (unsigned i = 0; i < FRAMES; i++) {
		assert_true(dead_bury_letter(service->dead, &l));
		dead_seal(service->dead);
	}
	assert_int_equal(dead_replay_new(service, &r, &why), ERR_OK);
	for (unsigned i = 0; i < FRAMES / 2; i++)
		assert_int_equal(dead_replay_step(r, 0, &why), ERR_AGAIN);
	assert_true(dead_replay_sums(r)->returned > 0);
	assert_true(dead_replay_sums(r)->returned < before.kept + FRAMES);
	dead_replay_free(r);
	dead_sum(service->dead, &s);
	assert_int_equal(s.kept, before.kept + FRAMES);
	assert_true(run(&sums) >= FRAMES / 2);
	assert_int_equal(sums.returned, before.kept + FRAMES);
	assert_int_equal(dead_replay_new(service, &r, &why), ERR_OK);
	assert_int_equal(dead_replay_step(r, INT64_MAX, &why),
			 ERR_OK); /* as much as there is time for */
	assert_int_equal(dead_replay_sums(r)->returned, before.kept + FRAMES);
	dead_replay_free(r);
	check_ledger();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_its_sink_alone),
		cmocka_unit_test(put_back),
		cmocka_unit_test(no_letter),
		cmocka_unit_test(in_turns),
	};

	return cmocka_run_group_tests(tests, open_service, close_service);
}
