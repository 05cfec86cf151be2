/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a dead letter says what it was given, to an independent reader; the log of them keeps within its
 * quota and its rate, with every letter on its ledger; and what is sent through again is what it was.
 * Method: libavro reads letters with and without each field; letters are cut at every length; floods
 * count against the rate, and numbered letters against the quota; sinks of both kinds write them to files;
 * sets of hand-made messages are put through a pipeline, told again, and decoded to the same octets.
 */
#include "test/unit/road.h"

#include <avro.h>
#include <dirent.h>
#include <jansson.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/wr.h"
#include "collector/gate.h"
#include "daemon/letter.h"
#include "sink/dead.h"
#include "sink/sink.h"

#define LETTER_ROOM 8192

static const struct field_row {
	const char *name;
	bool is_text;
	bool is_octets;
	bool is_nullable;
	bool is_int;
} field_rows[DEAD_FIELD_COUNT] = {
#define TYPE_MS false, false
#define TYPE_INT false, false
#define TYPE_LONG false, false
#define TYPE_TEXT true, true
#define TYPE_BYTES false, true
#define INT_MS false
#define INT_INT true
#define INT_LONG false
#define INT_TEXT false
#define INT_BYTES false
#define DEAD_FIELD(id, name, type, nullable, doc) { name, TYPE_##type, nullable, INT_##type },
#include "sink/dead_fields.def"
#undef DEAD_FIELD
};

/* A letter with every field for which a bit is set, or that must be there. */
static struct dead_letter letter_of(uint32_t fields)
{
	static char texts[DEAD_FIELD_COUNT][24];
	struct dead_letter l = { .care = DEAD_KEEP };

	for (unsigned i = 0; i < DEAD_FIELD_COUNT; i++) {
		if (field_rows[i].is_nullable && (fields >> i & 1) == 0)
			continue;
		(void)snprintf(texts[i], sizeof(texts[i]), "%s %u", "value", i);
		if (field_rows[i].is_octets)
			dead_set_octets(&l, (enum dead_field)i, texts[i], strlen(texts[i]));
		else
			dead_set_number(&l, (enum dead_field)i, 1000 * (int64_t)i - 5);
	}
	return l;
}

static size_t encode(const struct dead_letter *l, uint8_t out[LETTER_ROOM])
{
	size_t room = dead_letter_room(l);
	size_t bytes;

	assert_true(room <= LETTER_ROOM);
	bytes = dead_letter_encode(l, out, room);
	assert_true(bytes > 0 && bytes <= room);
	return bytes;
}

/* --- encoding --- */

static void check_field(avro_value_t *record, unsigned i, const struct dead_letter *l)
{
	const struct dead_value *want = &l->values[i];
	avro_value_t v;
	int which = 1;

	assert_int_equal(avro_value_get_by_name(record, field_rows[i].name, &v, NULL), 0);
	if (field_rows[i].is_nullable) {
		avro_value_t branch = { NULL, NULL };

		assert_int_equal(avro_value_get_discriminant(&v, &which), 0);
		assert_int_equal(which, want->is_there);
		assert_int_equal(avro_value_get_current_branch(&v, &branch), 0);
		v = branch;
	}
	if (which == 0)
		return;
	if (field_rows[i].is_octets) {
		const void *octets = NULL;
		size_t bytes = 0;

		if (field_rows[i].is_text) {
			assert_int_equal(avro_value_get_string(&v, (const char **)&octets, &bytes),
					 0);
			bytes--; /* libavro counts the NUL */
		} else {
			assert_int_equal(avro_value_get_bytes(&v, &octets, &bytes), 0);
		}
		assert_int_equal(bytes, want->bytes + (i == DEAD_OCTETS ? l->before_bytes : 0));
		if (i == DEAD_OCTETS && l->before_bytes > 0)
			assert_memory_equal(octets, l->before, l->before_bytes);
		assert_memory_equal((const uint8_t *)octets + bytes - want->bytes, want->octets,
				    want->bytes);
	} else if (field_rows[i].is_int) {
		int32_t have = 0;

		assert_int_equal(avro_value_get_int(&v, &have), 0);
		assert_int_equal(have, want->number);
	} else {
		int64_t have = 0;

		assert_int_equal(avro_value_get_long(&v, &have), 0);
		assert_int_equal(have, want->number);
	}
}

static void check_by_libavro(avro_value_iface_t *iface, const struct dead_letter *l)
{
	uint8_t octets[LETTER_ROOM];
	size_t bytes = encode(l, octets);
	avro_reader_t reader = avro_reader_memory((const char *)octets, (int64_t)bytes);
	avro_value_t record;
	char rest;

	assert_int_equal(avro_generic_value_new(iface, &record), 0);
	assert_int_equal(avro_value_read(reader, &record), 0);
	assert_int_not_equal(avro_read(reader, &rest, 1), 0);
	for (unsigned i = 0; i < DEAD_FIELD_COUNT; i++)
		check_field(&record, i, l);
	avro_value_decref(&record);
	avro_reader_free(reader);
}

static void reads_by_libavro(void **state)
{
	static const uint8_t before[] = { 1, 2, 3, 4 };
	struct dead_letter l;
	avro_value_iface_t *iface;
	avro_schema_t schema;
	char *text;

	(void)state;
	assert_int_equal(dead_schema_text(&text), ERR_OK);
	assert_true(dead_schema_is(text));
	assert_int_equal(avro_schema_from_json_length(text, strlen(text), &schema), 0);
	assert_int_equal(avro_schema_record_size(schema), DEAD_FIELD_COUNT);
	assert_non_null(strstr(text, "timestamp-millis"));
	iface = avro_generic_class_from_schema(schema);
	l = letter_of(0);
	check_by_libavro(iface, &l);
	l = letter_of(UINT32_MAX);
	check_by_libavro(iface, &l);
	l.before = before;
	l.before_bytes = sizeof(before);
	check_by_libavro(iface, &l);
	for (unsigned i = 0; i < DEAD_FIELD_COUNT; i++) {
		l = letter_of(1u << i);
		check_by_libavro(iface, &l);
		l = letter_of(~(1u << i));
		check_by_libavro(iface, &l);
	}
	avro_value_iface_decref(iface);
	(void)avro_schema_decref(schema);
	free(text);
}

static void same_letter(const struct dead_letter *a, const struct dead_letter *b)
{
	for (unsigned i = 0; i < DEAD_FIELD_COUNT; i++) {
		assert_int_equal(a->values[i].is_there, b->values[i].is_there);
		assert_int_equal(a->values[i].number, b->values[i].number);
		assert_int_equal(a->values[i].bytes, b->values[i].bytes);
		if (a->values[i].bytes > 0)
			assert_memory_equal(a->values[i].octets, b->values[i].octets,
					    a->values[i].bytes);
	}
}

/* Cut between two fields behind the octets it is a letter of an older build; cut elsewhere it is none. */
static void cut_anywhere(void **state)
{
	struct dead_letter l = letter_of(UINT32_MAX);
	struct dead_letter back;
	uint8_t octets[LETTER_ROOM];
	size_t bytes = encode(&l, octets);
	size_t whole = 0;

	(void)state;
	assert_int_equal(dead_letter_decode(octets, bytes, &back), ERR_OK);
	same_letter(&l, &back);
	for (size_t cut = 0; cut < bytes; cut++) {
		uint8_t *exact = malloc(cut + 1);

		assert_non_null(exact);
		memcpy(exact, octets, cut);
		whole += dead_letter_decode(exact, cut, &back) == ERR_OK;
		free(exact);
	}
	assert_int_equal(whole, DEAD_FIELD_COUNT - 1 - DEAD_OCTETS);
	octets[bytes] = 0;
	assert_int_equal(dead_letter_decode(octets, bytes + 1, &back), ERR_FORMAT);
}

static void reads_as_json(void **state)
{
	struct dead_letter l = letter_of(UINT32_MAX & ~(1u << DEAD_SINK));
	uint8_t octets[LETTER_ROOM];
	size_t bytes = encode(&l, octets);

	(void)state;
	for (int terse = 0; terse < 2; terse++) {
		struct json j;
		json_t *o;

		json_init(&j, 65536);
		assert_int_equal(dead_letter_json(octets, bytes, terse == 1, &j), ERR_OK);
		o = json_loadb(j.text, j.bytes, 0, NULL);
		assert_non_null(o);
		assert_int_equal(json_object_size(o), DEAD_FIELD_COUNT - terse);
		assert_string_equal(json_string_value(json_object_get(o, "reason")), "value 2");
		assert_string_equal(json_string_value(json_object_get(o, "octets")),
				    "76616c7565203135");
		assert_int_equal(json_integer_value(json_object_get(o, "exporter_port")),
				 1000 * DEAD_EXPORTER_PORT - 5);
		assert_int_equal(json_object_get(o, "sink") != NULL, terse == 0);
		json_decref(o);
		json_clear(&j);
		assert_int_equal(dead_letter_json(octets, bytes - 1, true, &j), ERR_FORMAT);
		assert_int_equal(j.bytes, 0);
		json_fini(&j);
	}
}

/* --- the log of them --- */

static struct dead *log_of(uint64_t max_bytes, uint32_t rate, uint64_t rate_bytes)
{
	struct dead_conf conf = { .log = { .max_bytes = max_bytes },
				  .worker_count = 2,
				  .rate = rate,
				  .rate_bytes = rate_bytes };
	struct why why = { "" };
	struct dead *d;

	if (dead_open(&conf, &why, &d) != ERR_OK)
		fail_msg("%s", why.text);
	return d;
}

static void check_dead_ledger(struct dead *d, struct dead_sums *s)
{
	const uint64_t *v = s->values;

	dead_sum(d, s);
	assert_int_equal(v[DEAD_STAT_SETS] + v[DEAD_STAT_MESSAGES] + v[DEAD_STAT_RECORDS],
			 v[DEAD_STAT_WRITTEN] + v[DEAD_STAT_RATE] + v[DEAD_STAT_FULL] +
				 v[DEAD_STAT_TOO_BIG] + v[DEAD_STAT_ERROR]);
	assert_int_equal(s->span, v[DEAD_STAT_WRITTEN]);
	assert_int_equal(s->span, v[DEAD_STAT_REPLAYED] + v[DEAD_STAT_EVICTED] + s->kept);
}

static struct dead_letter numbered(enum dead_care care, const char *kind, const uint8_t *octets,
				   size_t bytes)
{
	struct dead_letter l = { .care = care };

	dead_set_number(&l, DEAD_RECEIVED, 1767225600000);
	dead_set_text(&l, DEAD_KIND, kind);
	dead_set_text(&l, DEAD_REASON, "test/reason");
	dead_set_text(&l, DEAD_EXPORTER_NAME, "192.0.2.1");
	dead_set_octets(&l, DEAD_OCTETS, octets, bytes);
	return l;
}

/* A second's worth of letters, half of it for what anybody can send; what only we have is not counted.  False
 * when the machine took longer than that. */
static bool rate_in_a_second(void)
{
	static const uint8_t octets[1000];
	struct dead_letter junk = numbered(DEAD_JUNK, DEAD_KIND_MESSAGE, octets, 10);
	struct dead_letter plain = numbered(DEAD_PLAIN, DEAD_KIND_SET, octets, 10);
	struct dead_letter big = numbered(DEAD_PLAIN, DEAD_KIND_SET, octets, sizeof(octets));
	struct dead *d = log_of(1u << 20, 20, 12000);
	int64_t start_ms = clock_mono_ms();
	unsigned taken[4] = { 0 };
	struct dead_sums s;
	bool is_in_time;

	for (unsigned i = 0; i < 30; i++)
		taken[0] += dead_put(d, 0, &junk);
	for (unsigned i = 0; i < 30; i++)
		taken[1] += dead_put(d, 0, &plain);
	/* Each worker has its own, in octets too. */
	for (unsigned i = 0; i < 30; i++)
		taken[2] += dead_put(d, 1, &big);
	is_in_time = clock_mono_ms() - start_ms < 1000;
	plain.care = DEAD_KEEP;
	for (unsigned i = 0; i < 30; i++)
		taken[3] += dead_put(d, 0, &plain);
	assert_int_equal(taken[3], 30);
	check_dead_ledger(d, &s);
	assert_int_equal(s.values[DEAD_STAT_MESSAGES], 30);
	assert_int_equal(s.values[DEAD_STAT_SETS], 90);
	assert_int_equal(s.values[DEAD_STAT_RATE], 120 - taken[0] - taken[1] - taken[2] - taken[3]);
	if (is_in_time) {
		assert_int_equal(taken[0], 10);
		assert_int_equal(taken[1], 10);
		assert_in_range(taken[2], 5, 12);
	}
	(void)nanosleep(&(struct timespec){ 1, 50000000 }, NULL);
	assert_true(dead_put(d, 0, &junk));
	dead_close(d);
	return is_in_time;
}

static void keeps_to_the_rate(void **state)
{
	unsigned tries = 0;

	(void)state;
	while (!rate_in_a_second())
		assert_true(++tries < 10);
}

/* What a replay would find, by its number; returns the first, and how many there are. */
static uint64_t read_kept(struct dead *d, size_t log, uint64_t *count)
{
	struct log_reader *r = dead_reader(d, log);
	struct log_record record = { .lsn = 0 };
	struct log_frame frame;
	uint64_t first = UINT64_MAX;
	uint64_t next = 0;

	*count = 0;
	while (log_reader_next(r, &frame) == ERR_OK) {
		size_t at = 0;

		while (log_frame_next(&frame, &at, &record)) {
			struct dead_letter l;
			uint64_t number;

			assert_int_equal(dead_letter_decode(record.payload, record.head.bytes, &l),
					 ERR_OK);
			memcpy(&number, l.values[DEAD_OCTETS].octets, sizeof(number));
			if (first == UINT64_MAX)
				next = first = number;
			assert_int_equal(number, next);
			next++;
			++*count;
		}
		reader_done(r, frame.head.first_lsn + frame.head.record_count);
		dead_count_replayed(d, frame.head.record_count, 0, 0);
	}
	return first;
}

static void keeps_the_newest(void **state)
{
	struct dead *d = log_of(1u << 20, 1, 1000);
	uint8_t octets[1000] = { 0 };
	struct dead_letter l = numbered(DEAD_KEEP, DEAD_KIND_RECORD, octets, sizeof(octets));
	struct dead_sums s;
	uint64_t count;
	uint64_t first;

	(void)state;
	for (uint64_t i = 0; i < 5000; i++) {
		memcpy(octets, &i, sizeof(i));
		assert_true(dead_bury_letter(d, &l));
	}
	assert_true(dead_wait_durable(d, 0));
	check_dead_ledger(d, &s);
	assert_true(log_hub_bytes(dead_hub(d)) <= 1u << 20);
	assert_true(s.values[DEAD_STAT_EVICTED] > 3000);
	assert_true(s.kept > 500);
	first = read_kept(d, 2, &count);
	assert_int_equal(count, s.kept);
	assert_int_equal(first, s.values[DEAD_STAT_EVICTED]);
	check_dead_ledger(d, &s);
	assert_int_equal(s.kept, 0);
	assert_int_equal(s.values[DEAD_STAT_REPLAYED], count);
	dead_close(d);
}

#define CROWD_LETTERS 3000

struct writer {
	struct dead *d;
	int worker; /* -1: a sink's thread */
	unsigned number;
	unsigned waits;
};

static void write_letters(void *ctx)
{
	struct writer *w = ctx;
	const char *kind = w->worker < 0 ? DEAD_KIND_RECORD : DEAD_KIND_SET;
	uint8_t octets[64];

	memset(octets, (int)w->number, sizeof(octets));
	for (uint64_t i = 0; i < CROWD_LETTERS; i++) {
		struct dead_letter l;

		memcpy(octets, &i, sizeof(i));
		l = numbered(DEAD_KEEP, kind, octets, sizeof(octets));
		if (w->worker < 0) {
			if (!dead_bury_letter(w->d, &l))
				return;
			w->waits += i % 100 == 0 && dead_wait_durable(w->d, 10);
		} else {
			if (!dead_put(w->d, (unsigned)w->worker, &l))
				return;
			dead_tick(w->d, (unsigned)w->worker,
				  clock_mono_ms() + (i % 50 == 0 ? 1000 : 0));
		}
	}
	if (w->worker >= 0)
		dead_flush(w->d, (unsigned)w->worker);
	else
		dead_seal(w->d);
}

/* Letters of that writer among those that were read; each comes once, in its order. */
static void take_frame(const struct log_frame *frame, uint64_t next[8])
{
	struct log_record record = { .lsn = 0 };
	size_t at = 0;

	while (log_frame_next(frame, &at, &record)) {
		struct dead_letter l;
		const uint8_t *octets;
		uint64_t number;

		assert_int_equal(dead_letter_decode(record.payload, record.head.bytes, &l), ERR_OK);
		octets = l.values[DEAD_OCTETS].octets;
		memcpy(&number, octets, sizeof(number));
		assert_in_range(octets[sizeof(number)], 0, 7);
		assert_int_equal(number, next[octets[sizeof(number)]]++);
	}
}

/* Two workers and two sinks write while a replay reads and others look at the counters. */
static void written_by_many(void **state)
{
	struct dead *d = log_of(64u << 20, 1, 1000);
	struct writer writers[] = {
		{ d, 0, 0, 0 }, { d, 1, 1, 0 }, { d, -1, 2, 0 }, { d, -1, 3, 0 }
	};
	struct thread *threads[4];
	uint64_t next[8] = { 0 };
	struct dead_sums s;
	int64_t end_ms = clock_mono_ms() + 30000;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(thread_start("writer", write_letters, &writers[i], &threads[i]),
				 ERR_OK);
	do {
		for (size_t log = 0; log < dead_log_count(d); log++) {
			struct log_reader *r = dead_reader(d, log);
			struct log_frame frame;

			while (log_reader_next(r, &frame) == ERR_OK) {
				take_frame(&frame, next);
				reader_done(r, frame.head.first_lsn + frame.head.record_count);
				dead_count_replayed(d, frame.head.record_count, 0, 0);
			}
		}
		dead_sum(d, &s);
		assert_true(clock_mono_ms() < end_ms);
	} while (s.values[DEAD_STAT_REPLAYED] < 4 * CROWD_LETTERS);
	for (size_t i = 0; i < 4; i++)
		thread_join(threads[i]);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(next[i], CROWD_LETTERS);
	assert_int_equal(writers[2].waits, CROWD_LETTERS / 100);
	check_dead_ledger(d, &s);
	assert_int_equal(s.kept, 0);
	dead_close(d);
}

static void too_big_for_a_log(void **state)
{
	struct dead *d = log_of(1u << 20, 1, 1000);
	size_t bytes = LOG_RECORD_MAX;
	uint8_t *octets = calloc(1, bytes);
	struct dead_letter l = numbered(DEAD_KEEP, DEAD_KIND_RECORD, octets, bytes);
	struct dead_sums s;

	(void)state;
	assert_non_null(octets);
	assert_false(dead_bury_letter(d, &l));
	/* Larger than the quota is fine for a log that has nothing else. */
	l.values[DEAD_OCTETS].bytes = bytes / 4;
	assert_true(dead_bury_letter(d, &l));
	check_dead_ledger(d, &s);
	assert_int_equal(s.values[DEAD_STAT_TOO_BIG], 1);
	assert_int_equal(s.kept, 1);
	free(octets);
	dead_close(d);
}

/* --- sinks --- */

static size_t lines_of(const char *dir, const char *needle)
{
	DIR *folder = opendir(dir);
	const struct dirent *entry;
	size_t count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		char path[512];
		char line[65536];
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		file = fopen(path, "rb");
		assert_non_null(file);
		while (fgets(line, sizeof(line), file) != NULL)
			count += strstr(line, needle) != NULL;
		(void)fclose(file);
		(void)unlink(path);
	}
	(void)closedir(folder);
	return count;
}

/* They read its logs as any other, in Avro and as JSON. */
static void sinks_write_them(void **state)
{
	static const char *const formats[] = { "json", "avro" };
	static const char *const needles[] = { "\"octets\":\"0708090a\"", "sluice" };
	static const uint8_t octets[] = { 7, 8, 9, 10 };
	const struct sink_ops *ops = sink_type_find("file");

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct dead_letter l = numbered(DEAD_KEEP, DEAD_KIND_SET, octets, sizeof(octets));
		struct sink_conf conf = { .ops = ops, .name = "dead" };
		struct dead *d = log_of(1u << 20, 1, 1000);
		void *options = calloc(1, ops->conf_bytes);
		char dir[] = "/tmp/test_dead_XXXXXX";
		struct why why = { "" };
		struct sinks *sinks;
		char text[256];

		assert_non_null(mkdtemp(dir));
		assert_non_null(options);
		(void)snprintf(text, sizeof(text),
			       "path = \"%s\"; format = \"%s\"; codec = \"null\";", dir,
			       formats[i]);
		assert_int_equal(conf_load_text(ops->options, text, options, ops->conf_bytes, &why),
				 ERR_OK);
		conf.conf = options;
		if (sinks_open(&conf, 1, dead_hub(d), dead_logs(d), dead_log_count(d), NULL, NULL,
			       dead_schema(d), &why, &sinks) != ERR_OK)
			fail_msg("%s", why.text);
		assert_int_equal(sinks_start(sinks, &why), ERR_OK);
		for (unsigned n = 0; n < 5; n++) {
			assert_true(dead_put(d, n % 2, &l));
			assert_true(dead_bury_letter(d, &l));
		}
		dead_flush(d, 0);
		dead_flush(d, 1);
		assert_true(dead_wait_durable(d, 0));
		sinks_stop(sinks, 20000);
		assert_int_equal(stat_get(sinks_stat(sinks, 0), SINK_STAT_DELIVERED), 10);
		sinks_close(sinks);
		assert_true(lines_of(dir, needles[i]) >= (i == 0 ? 10 : 1));
		conf_free(ops->options, options);
		free(options);
		dead_close(d);
		(void)rmdir(dir);
	}
}

/* --- through a pipeline, and back --- */

struct built {
	uint8_t octets[1400];
	size_t bytes;
};

static const struct origin sender = { .peer = { { 192, 0, 2, 7 }, 4 },
				      .port = 40000,
				      .local_port = 4739,
				      .receive_ms = 1767225600123 };

static struct wr begin_message(struct built *b, uint16_t version)
{
	struct wr w = wr_of(b->octets, sizeof(b->octets));

	wr_u16(&w, version);
	wr_u16(&w, 0);
	if (version == VERSION_NF9)
		wr_u32(&w, 100000); /* sysUpTime */
	wr_u32(&w, 1767225600);
	wr_u32(&w, 77);
	wr_u32(&w, 5);
	return w;
}

static void end_message(struct built *b, const struct wr *w, uint16_t version, uint16_t count)
{
	struct wr second = wr_of(b->octets + 2, 2);

	b->bytes = wr_used(w);
	assert_false(w->is_full);
	wr_u16(&second, version == VERSION_NF9 ? count : (uint16_t)b->bytes);
}

/* sourceIPv4Address, destinationIPv4Address, octetDeltaCount */
static void put_template(struct wr *w, uint16_t version, uint16_t id)
{
	wr_u16(w, version == VERSION_NF9 ? 0 : 2);
	wr_u16(w, 4 + 4 + 3 * 4);
	wr_u16(w, id);
	wr_u16(w, 3);
	wr_u32(w, 8 << 16 | 4);
	wr_u32(w, 12 << 16 | 4);
	wr_u32(w, 1 << 16 | 4);
}

static void put_data(struct wr *w, uint16_t id, unsigned records)
{
	wr_u16(w, id);
	wr_u16(w, (uint16_t)(4 + 12 * records));
	for (unsigned i = 0; i < records; i++) {
		wr_u32(w, 0xc0000200 + i);
		wr_u32(w, 0xc6336400 + id);
		wr_u32(w, 1000 + i);
	}
}

/* Payloads of the log's records, one behind the other. */
static size_t read_events(struct road *r, uint8_t *out, size_t room, unsigned *count)
{
	struct log_frame frame;
	struct log_record record = { .lsn = 0 };
	size_t used = 0;

	*count = 0;
	log_flush(r->log);
	while (log_reader_next(r->reader, &frame) == ERR_OK) {
		size_t at = 0;

		while (log_frame_next(&frame, &at, &record)) {
			assert_true(used + record.head.bytes <= room);
			memcpy(out + used, record.payload, record.head.bytes);
			used += record.head.bytes;
			r->events++;
			++*count;
		}
		reader_done(r->reader, frame.head.first_lsn + frame.head.record_count);
	}
	return used;
}

static void deliver(struct road *r, const struct built *b)
{
	pipeline_receive(r->pipeline, b->octets, b->bytes, &sender);
	r->units++;
}

/* Sends the letters that are there through again; returns how many. */
static unsigned send_again(struct road *r)
{
	struct log_reader *reader = dead_reader(r->dead, 0);
	struct log_record record = { .lsn = 0 };
	struct log_frame frame;
	unsigned count = 0;

	dead_flush(r->dead, 0);
	while (log_reader_next(reader, &frame) == ERR_OK) {
		size_t at = 0;

		while (log_frame_next(&frame, &at, &record)) {
			uint8_t message[2000];
			struct dead_letter l;
			struct origin origin;
			size_t bytes;

			assert_int_equal(dead_letter_decode(record.payload, record.head.bytes, &l),
					 ERR_OK);
			assert_int_equal(letter_origin(&l, &origin), ERR_OK);
			assert_true(addr_equal(&origin.peer, &sender.peer));
			assert_int_equal(origin.port, sender.port);
			assert_int_equal(origin.receive_ms, sender.receive_ms);
			assert_int_equal(letter_rebuild(&l, message, sizeof(message), &bytes),
					 ERR_OK);
			pipeline_again(r->pipeline, message, bytes, &origin);
			r->units++;
			count++;
		}
		reader_done(reader, frame.head.first_lsn + frame.head.record_count);
		dead_count_replayed(r->dead, frame.head.record_count, 0, 0);
	}
	return count;
}

/* Each data set of a message without its templates is a letter; sent again behind the templates they
 * give what the message would have given, octet by octet. */
static void again_is_the_same(void **state)
{
	static const uint16_t versions[] = { VERSION_NF9, VERSION_IPFIX };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint16_t version = versions[i];
		struct road *r = calloc(1, sizeof(*r));
		struct built templates;
		struct built data;
		struct wr w = begin_message(&templates, version);
		static uint8_t first[65536];
		static uint8_t second[65536];
		struct dead_sums s;
		unsigned count;
		size_t bytes;

		assert_non_null(r);
		put_template(&w, version, 300);
		put_template(&w, version, 301);
		end_message(&templates, &w, version, 2);
		w = begin_message(&data, version);
		put_data(&w, 300, 3);
		put_data(&w, 301, 2);
		put_data(&w, 300, 1);
		end_message(&data, &w, version, 6);
		road_open(r, "community_id", 0);
		deliver(r, &data);
		assert_int_equal(read_events(r, first, sizeof(first), &count), 0);
		dead_sum(r->dead, &s);
		assert_int_equal(s.values[DEAD_STAT_SETS], 3);
		assert_int_equal(s.kept, 3);
		deliver(r, &templates);
		assert_int_equal(send_again(r), 3);
		bytes = read_events(r, first, sizeof(first), &count);
		assert_int_equal(count, 6);
		/* The message itself, as if it had come only now. */
		deliver(r, &data);
		assert_int_equal(read_events(r, second, sizeof(second), &count), bytes);
		assert_memory_equal(first, second, bytes);
		assert_int_equal(stat_get(r->collector_stat, STAT_UNITS_DEAD_LETTER), 3);
		assert_int_equal(stat_get(r->collector_stat, STAT_NF9_COUNT_WRONG), 0);
		check_dead_ledger(r->dead, &s);
		assert_int_equal(s.kept, 0);
		road_check_ledger(r);
		road_close(r);
		free(r);
	}
}

/* What fails again is there again, whatever the rate; a malformed message is a letter as a whole. */
static void fails_again(void **state)
{
	struct road *r = calloc(1, sizeof(*r));
	struct built data;
	struct wr w = begin_message(&data, VERSION_IPFIX);
	struct dead_sums s;

	(void)state;
	assert_non_null(r);
	put_data(&w, 300, 1);
	end_message(&data, &w, VERSION_IPFIX, 1);
	road_open(r, "community_id", 0);
	data.octets[19] = 200; /* the set is longer than its message */
	/* Names are for ever: addresses that anybody can make up get none. */
	for (unsigned i = 0; i < 50; i++) {
		struct origin spoofed = sender;

		spoofed.peer.octets[3] = (uint8_t)(100 + i);
		pipeline_receive(r->pipeline, data.octets, data.bytes, &spoofed);
		r->units++;
	}
	dead_sum(r->dead, &s);
	assert_int_equal(s.kept, 50);
	assert_int_equal(log_name_count(dead_hub(r->dead), LOG_NAME_EXPORTER), 1);
	data.octets[19] = 16;
	for (unsigned i = 0; i < 600; i++)
		deliver(r, &data);
	assert_int_equal(log_name_count(dead_hub(r->dead), LOG_NAME_EXPORTER), 2);
	data.octets[19] = 200;
	for (unsigned i = 0; i < 600; i++)
		deliver(r, &data);
	dead_sum(r->dead, &s);
	assert_int_equal(s.values[DEAD_STAT_SETS], 600);
	assert_int_equal(s.values[DEAD_STAT_MESSAGES], 650);
	assert_true(s.kept >= 600 && s.kept < 1200);
	{
		/* One frame at a time would read its own returns for ever. */
		uint64_t kept = s.kept;
		struct log_reader *reader = dead_reader(r->dead, 0);
		uint64_t end;

		dead_flush(r->dead, 0);
		end = log_sealed_lsn(dead_logs(r->dead)[0]);
		while (log_reader_next_lsn(reader) < end) {
			struct log_record record = { .lsn = 0 };
			struct log_frame frame;
			size_t at = 0;

			assert_int_equal(log_reader_next(reader, &frame), ERR_OK);
			while (log_frame_next(&frame, &at, &record)) {
				uint8_t message[2000];
				struct dead_letter l;
				struct origin origin;
				size_t bytes;

				assert_int_equal(
					dead_letter_decode(record.payload, record.head.bytes, &l),
					ERR_OK);
				assert_int_equal(letter_origin(&l, &origin), ERR_OK);
				assert_int_equal(
					letter_rebuild(&l, message, sizeof(message), &bytes),
					ERR_OK);
				pipeline_again(r->pipeline, message, bytes, &origin);
				r->units++;
			}
			reader_done(reader, frame.head.first_lsn + frame.head.record_count);
			dead_count_replayed(r->dead, frame.head.record_count, 0, 0);
		}
		check_dead_ledger(r->dead, &s);
		assert_int_equal(s.kept, kept);
	}
	road_check_ledger(r);
	road_close(r);
	free(r);
}

/* --- sets told again --- */

static void told_again(void **state)
{
	static const struct {
		uint16_t version;
		uint16_t offset;
		uint16_t length; /* of the message, IPFIX */
		bool is_original;
	} rows[] = {
		{ VERSION_IPFIX, 16, 32, true },       { VERSION_IPFIX, 20, 36, true },
		{ VERSION_IPFIX, 20, 40, true },       { VERSION_IPFIX, 19, 35, false },
		{ VERSION_IPFIX, 20, 37, false },      { VERSION_IPFIX, 20, 30, false },
		{ VERSION_IPFIX, 8, 32, false },       { VERSION_IPFIX, 16, 65535, true },
		{ VERSION_IPFIX, 40000, 65535, true }, { VERSION_NF9, 20, 0, true },
		{ VERSION_NF9, 24, 0, true },	       { VERSION_NF9, 22, 0, false },
	};
	static uint8_t out[LETTER_MESSAGE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t header_bytes = rows[i].version == VERSION_NF9 ? 20 : 16;
		struct dead_letter l;
		const struct frame *frame;
		struct message m;
		struct built b;
		struct wr w = begin_message(&b, rows[i].version);
		struct wr second = wr_of(b.octets + 2, 2);
		uint8_t set[16];
		struct wr body = wr_of(set, sizeof(set));
		size_t at = rows[i].is_original ? rows[i].offset : header_bytes;
		size_t bytes = 0;

		put_data(&body, 300, 1);
		if (rows[i].version == VERSION_IPFIX)
			wr_u16(&second, rows[i].length);
		l = numbered(DEAD_PLAIN, DEAD_KIND_SET, set, sizeof(set));
		dead_set_number(&l, DEAD_VERSION, rows[i].version);
		dead_set_octets(&l, DEAD_HEADER, b.octets, wr_used(&w));
		dead_set_number(&l, DEAD_OFFSET, rows[i].offset);
		assert_int_equal(letter_rebuild(&l, out, sizeof(out), &bytes), ERR_OK);
		assert_int_equal(gate_check(out, bytes, &m, &frame), COLLECTOR_STAT_COUNT);
		assert_int_equal(m.bytes, bytes);
		assert_memory_equal(out + at, set, sizeof(set));
		if (rows[i].is_original)
			assert_memory_equal(out, b.octets, header_bytes);
		assert_int_equal(letter_rebuild(&l, out, bytes - 1, &bytes), ERR_LIMIT);
		/* What is no such letter makes no message. */
		l.values[DEAD_HEADER].bytes--;
		assert_int_equal(letter_rebuild(&l, out, sizeof(out), &bytes), ERR_FORMAT);
		l.values[DEAD_HEADER].bytes++;
		l.values[DEAD_VERSION].number = VERSION_NF5;
		assert_int_equal(letter_rebuild(&l, out, sizeof(out), &bytes), ERR_FORMAT);
	}
}

/* A record alone is a set of one, at its place. */
static void flow_alone(void **state)
{
	struct dead *d = log_of(1u << 20, 10, 100000);
	static struct flow f;
	struct session s = { .identity = "edge", .identity_bytes = 4 };
	struct message m = { .header_bytes = 16, .version = VERSION_IPFIX, .origin = &sender };
	struct stat_desc why_desc = { "flows_dropped", "too_big", "", "" };
	struct log_record record = { .lsn = 0 };
	struct log_frame frame;
	struct dead_letter l;
	struct built b;
	struct wr w = begin_message(&b, VERSION_IPFIX);
	uint8_t out[200];
	size_t bytes;
	size_t at = 0;

	(void)state;
	put_data(&w, 300, 3);
	end_message(&b, &w, VERSION_IPFIX, 3);
	m.octets = b.octets;
	m.bytes = (uint32_t)b.bytes;
	f.record = b.octets + 20 + 12;
	f.record_bytes = 12;
	assert_false(letter_put_flow(d, 0, &m, &s, &why_desc, &f)); /* no template: NetFlow v5 */
	f.has_template_id = true;
	f.template_id = 300;
	assert_true(letter_put_flow(d, 0, &m, &s, &why_desc, &f));
	dead_flush(d, 0);
	assert_int_equal(log_reader_next(dead_reader(d, 0), &frame), ERR_OK);
	assert_true(log_frame_next(&frame, &at, &record));
	assert_int_equal(dead_letter_decode(record.payload, record.head.bytes, &l), ERR_OK);
	assert_true(dead_is_text(&l, DEAD_REASON, "flows_dropped/too_big"));
	assert_true(dead_is_text(&l, DEAD_EXPORTER_NAME, "edge"));
	assert_int_equal(letter_rebuild(&l, out, sizeof(out), &bytes), ERR_OK);
	assert_int_equal(bytes, b.bytes);
	assert_memory_equal(out, b.octets, 16);
	assert_memory_equal(out + 28, "\x01\x2c\x00\x10", 4);
	assert_memory_equal(out + 32, f.record, 12);
	dead_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_by_libavro), cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(reads_as_json),    cmocka_unit_test(keeps_to_the_rate),
		cmocka_unit_test(keeps_the_newest), cmocka_unit_test(too_big_for_a_log),
		cmocka_unit_test(sinks_write_them), cmocka_unit_test(again_is_the_same),
		cmocka_unit_test(fails_again),	    cmocka_unit_test(told_again),
		cmocka_unit_test(flow_alone),	    cmocka_unit_test(written_by_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
