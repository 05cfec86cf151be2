/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every record stands in exactly one complete file, whatever the codec and whatever fails.
 * Method: numbered flows go through real logs and a file sink into a temporary directory; a reader of
 * containers written here, with the codecs' own libraries, and one of JSON lines count every number.
 * Between append and count, writing is made to fail: by a directory that is none, by a size limit of
 * the process, by a directory that vanishes.
 */
#include "test/unit/sink_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#define PLAIN_MAX (32u << 20)

static struct fixture fix;
static char dir[] = "/tmp/test_file_XXXXXX";
static uint8_t *seen; /* how often each number was read */
static uint8_t *plain;

struct octets {
	uint8_t *p;
	size_t bytes;
	size_t at;
};

static struct octets load(const char *path)
{
	struct octets o = { NULL, 0, 0 };
	FILE *file = fopen(path, "rb");
	long bytes;

	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	bytes = ftell(file);
	assert_true(bytes >= 0);
	rewind(file);
	o.p = malloc((size_t)bytes + 1);
	assert_non_null(o.p);
	o.bytes = fread(o.p, 1, (size_t)bytes, file);
	assert_int_equal(o.bytes, (size_t)bytes);
	o.p[o.bytes] = 0;
	(void)fclose(file);
	return o;
}

static uint64_t get_long(struct octets *o)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		assert_true(o->at < o->bytes);
		v |= (uint64_t)(o->p[o->at] & 0x7f) << shift;
		if ((o->p[o->at++] & 0x80) == 0)
			return v >> 1;
	}
}

static const uint8_t *get_octets(struct octets *o, uint64_t bytes)
{
	const uint8_t *p = o->p + o->at;

	assert_true(bytes <= o->bytes - o->at);
	o->at += (size_t)bytes;
	return p;
}

static size_t unzip(const uint8_t *in, size_t bytes, int window)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)bytes };
	size_t done = 0;

	do {
		assert_int_equal(inflateInit2(&z, window), Z_OK);
		z.next_out = plain + done;
		z.avail_out = (uInt)(PLAIN_MAX - done);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		done = PLAIN_MAX - z.avail_out;
		(void)inflateEnd(&z);
	} while (z.avail_in > 0); /* members of gzip */
	return done;
}

static size_t unzstd(const uint8_t *in, size_t bytes)
{
	size_t n = ZSTD_decompress(plain, PLAIN_MAX, in, bytes);

	assert_false(ZSTD_isError(n));
	return n;
}

static size_t unpack(const char *codec, const uint8_t *in, size_t bytes)
{
	size_t n = PLAIN_MAX;

	if (strcmp(codec, "deflate") == 0)
		return unzip(in, bytes, -15);
	if (strcmp(codec, "zstandard") == 0)
		return unzstd(in, bytes);
	if (strcmp(codec, "snappy") == 0) {
		const uint8_t *c = in + bytes - 4;
		uint32_t crc =
			(uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];

		assert_int_equal(snappy_uncompress((const char *)in, bytes - 4, (char *)plain, &n),
				 SNAPPY_OK);
		assert_int_equal(crc32(0, plain, (uInt)n), crc);
		return n;
	}
	assert_string_equal(codec, "null");
	memcpy(plain, in, bytes);
	return bytes;
}

static void count_number(uint64_t number)
{
	assert_true(number < fix.number);
	assert_true(seen[number] < 255);
	seen[number]++;
}

/* The file's schema is that text, its codec that one; counts its records. */
static size_t read_avro(const char *path, const char *schema, const char *codec)
{
	struct octets o = load(path);
	char have[32] = "";
	size_t records = 0;
	const uint8_t *sync;
	bool has_schema = false;

	assert_memory_equal(get_octets(&o, 4), "Obj\1", 4);
	for (uint64_t n = get_long(&o); n > 0; n--) {
		uint64_t key_bytes = get_long(&o);
		const uint8_t *key = get_octets(&o, key_bytes);
		uint64_t bytes = get_long(&o);
		const uint8_t *value = get_octets(&o, bytes);

		if (key_bytes == 10 && memcmp(key, "avro.codec", 10) == 0)
			memcpy(have, value, (size_t)bytes);
		if (key_bytes == 11 && memcmp(key, "avro.schema", 11) == 0)
			has_schema = bytes == strlen(schema) &&
				     memcmp(value, schema, (size_t)bytes) == 0;
	}
	assert_int_equal(get_long(&o), 0);
	assert_true(has_schema);
	assert_string_equal(have, codec);
	sync = get_octets(&o, 16);
	while (o.at < o.bytes) {
		uint64_t count = get_long(&o);
		uint64_t packed = get_long(&o);
		size_t bytes = unpack(codec, get_octets(&o, packed), (size_t)packed);

		assert_memory_equal(get_octets(&o, 16), sync, 16);
		assert_int_equal(bytes, count * fix.record_bytes);
		for (uint64_t i = 0; i < count; i++) {
			uint64_t number;

			memcpy(&number, plain + i * fix.record_bytes + 1, sizeof(number));
			count_number(number);
		}
		records += count;
	}
	free(o.p);
	return records;
}

static size_t read_lines(const char *path, const char *codec)
{
	static const char start[] = "{\"record_id\":\"";
	struct octets o = load(path);
	size_t bytes = o.bytes;
	size_t records = 0;

	if (strcmp(codec, "deflate") == 0) {
		bytes = unzip(o.p, o.bytes, 31);
	} else if (strcmp(codec, "zstandard") == 0) {
		bytes = unzstd(o.p, o.bytes);
	} else {
		assert_true(bytes < PLAIN_MAX);
		memcpy(plain, o.p, bytes);
	}
	plain[bytes] = 0;
	for (char *line = (char *)plain; *line != '\0'; records++) {
		char *end = strchr(line, '\n');
		uint64_t number = 0;

		assert_non_null(end);
		assert_memory_equal(line, start, strlen(start));
		assert_int_equal(end[-1], '}');
		for (unsigned i = 0; i < 8; i++) {
			char hex[3] = { line[strlen(start) + 2 * i],
					line[strlen(start) + 2 * i + 1], 0 };

			number |= strtoull(hex, NULL, 16) << (8 * i);
		}
		count_number(number);
		line = end + 1;
	}
	free(o.p);
	return records;
}

static bool ends_with(const char *text, const char *end)
{
	return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

/* Reads every complete file; how many there are.  Nothing unfinished of ours may be left. */
static size_t read_files(const char *path, const char *codec)
{
	DIR *d = opendir(path);
	size_t files = 0;

	assert_non_null(d);
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		char full[512];
		size_t records;

		assert_int_not_equal(strncmp(e->d_name, ".test-", 6), 0);
		if (e->d_name[0] == '.' || strncmp(e->d_name, "test-", 5) != 0)
			continue;
		
		(void)snprintf(full, sizeof(full), "%s/%.200s", path, e->d_name);
		records = ends_with(full, ".avro") ? read_avro(full, fix.schema, codec)
						   : read_lines(full, codec);
		assert_true(records > 0);
		files++;
	}
	(void)closedir(d);
	return files;
}

static void start_counting(void)
{
	free(seen);
	seen = calloc(1, (size_t)fix.number + 1);
	assert_non_null(seen);
}

static void check_each_once(void)
{
	for (uint64_t i = 0; i < fix.number; i++) {
		if (seen[i] != 1)
			fail_msg("record %llu: %u times", (unsigned long long)i, seen[i]);
	}
}

static void check_all_once(const char *path, const char *codec)
{
	start_counting();
	(void)read_files(path, codec);
	check_each_once();
}

/* A directory of its own for each case. */
static const char *fresh(void)
{
	static char path[64];
	static unsigned n;

	(void)snprintf(path, sizeof(path), "%s/%u", dir, n++);
	return path;
}

static const char *with_path(const char *path, const char *more)
{
	static char text[256];

	(void)snprintf(text, sizeof(text), "path = \"%s\"; %s", path, more);
	return text;
}

static void every_codec_and_format(void **state)
{
	static const struct {
		const char *options;
		const char *codec;
	} rows[] = {
		{ "codec = \"null\";", "null" },
		{ "codec = \"snappy\";", "snappy" },
		{ "codec = \"zstandard\"; level = 1;", "zstandard" },
		{ "codec = \"deflate\"; level = 9;", "deflate" },
		{ "block_bytes = \"4K\";", "deflate" },
		{ "format = \"json\"; codec = \"none\";", "null" },
		{ "format = \"json\"; codec = \"zstandard\";", "zstandard" },
		{ "format = \"json\"; codec = \"deflate\"; block_bytes = \"8K\";", "deflate" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *path = fresh();
		char options[128];

		(void)snprintf(options, sizeof(options), "rotate_bytes = \"300K\"; %s",
			       rows[i].options);
		fixture_open(&fix, 64u << 20, LOG_BLOCK);
		fixture_start(&fix, "file", with_path(path, options));
		for (unsigned k = 0; k < 10; k++)
			fixture_append(&fix, k % FIXTURE_LOGS, 500, 0);
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		fixture_append(&fix, 1, 7, 0);
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		start_counting();
		assert_true(read_files(path, rows[i].codec) >= 3);
		check_each_once();
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 5007);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED_OCTETS),
				 5007 * fix.record_bytes);
		assert_true(fixture_stat(&fix, SINK_STAT_OUT_OCTETS) > 0);
		fixture_check_ledger(&fix);
		fixture_close(&fix);
	}
}

static void a_file_is_complete_after_its_time(void **state)
{
	const char *path = fresh();
	struct timespec nap = { 0, 20000000 };
	int64_t start_ms = clock_mono_ms();

	(void)state;
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", with_path(path, "rotate_s = 1;"));
	fixture_append(&fix, 0, 10, 0);
	fixture_seal(&fix);
	while (fixture_stat(&fix, SINK_STAT_ROTATIONS) == 0 && clock_mono_ms() < start_ms + 30000)
		(void)nanosleep(&nap, NULL);
	assert_in_range(clock_mono_ms() - start_ms, 1000, 30000);
	check_all_once(path, "deflate");
	fixture_close(&fix);
}

/* The log is small, the file would be large: it gives way before records are refused for long. */
static void a_full_log_completes_the_file(void **state)
{
	static const uint64_t limits[] = { 1, 1u << 20, 4u << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const char *path = fresh();

		fixture_open(&fix, limits[i], LOG_BLOCK);
		fixture_start(&fix, "file", with_path(path, "rotate_s = 3600; codec = \"null\";"));
		for (unsigned k = 0; k < 40; k++)
			fixture_append(&fix, k % FIXTURE_LOGS, 500, 0);
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		check_all_once(path, "null");
		fixture_check_ledger(&fix);
		fixture_close(&fix);
	}
}

/* Side by side, since workers change in turn. */
static void each_schema_has_its_files(void **state)
{
	const char *path = fresh();
	char *other;
	uint32_t number = 0;
	size_t files = 0;
	DIR *d;

	(void)state;
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fix.fields.fields[FIELD_EXTRA_FIRST] =
		(struct field){ "site_id", LAYER_normalized, FIELD_I64, false, "", "Added." };
	fix.fields.extra_count = 1;
	assert_int_equal(schema_text(&fix.fields, &other), ERR_OK);
	fix.fields.extra_count = 0;
	assert_int_equal(log_name_add(fix.hub, LOG_NAME_SCHEMA, other, strlen(other), &number),
			 ERR_OK);
	fixture_start(&fix, "file", with_path(path, "codec = \"null\";"));
	fixture_append(&fix, 0, 100, 0);
	fixture_append(&fix, 0, 100, number);
	fixture_append(&fix, 0, 100, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	start_counting();
	d = opendir(path);
	assert_non_null(d);
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		char full[512];
		struct octets o;
		bool is_other;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(full, sizeof(full), "%s/%.200s", path, e->d_name);
		o = load(full);
		is_other = memmem(o.p, o.bytes, "site_id", 7) != NULL;
		free(o.p);
		assert_int_equal(read_avro(full, is_other ? other : fix.schema, "null"),
				 is_other ? 100 : 200);
		files++;
	}
	(void)closedir(d);
	assert_int_equal(files, 2);
	check_each_once();
	free(other);
	fixture_close(&fix);
}

static void touch(const char *path, const char *name, bool is_locked)
{
	char full[512];
	int fd;

	(void)snprintf(full, sizeof(full), "%s/%s", path, name);
	fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	if (is_locked)
		assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* fd stays open to the end */
	else
		(void)close(fd);
}

static bool is_there(const char *path, const char *name)
{
	char full[512];

	(void)snprintf(full, sizeof(full), "%s/%s", path, name);
	return access(full, F_OK) == 0;
}

static void only_our_own_leftovers_go(void **state)
{
	static const struct {
		const char *name;
		bool is_locked;
		bool stays;
	} rows[] = {
		{ ".test-20260131T123456.789Z-000001.avro.tmp", false, false },
		{ ".test-20260131T123456.789Z-999999.avro.tmp", false, false },
		{ ".test-20260131T123456.789Z-000002.avro.tmp", true, true },
		{ ".xtest-20260131T123456.789Z-000001.avro.tmp", false, true },
		{ ".test-b-20260131T123456.789Z-000001.avro.tmp", false, true },
		{ ".test-20260131T123456.789Z-000001.jsonl.tmp", false, false },
		{ ".test-20260131T123456.789Z-000001.jsonl.gz.tmp", false, false },
		{ ".test-20260131T123456.789Z-000001.jsonl.zst.tmp", false, false },
		{ ".test-20260131T123456.789Z-000001.jsonl.zst.tmp.tmp", false, true },
		{ ".test-20260131T123456.789Z-000001.txt.tmp", false, true },
		{ ".test-20260131T123456.789Z-000001.tmp", false, true },
		{ ".test-20260131T123456.789Z-00001.avro.tmp", false, true },
		{ ".test-20260131T123456.789Z-000001x.avro.tmp", false, true },
		{ "test-20260131T123456.789Z-000001.avro", false, true },
		{ ".test-.avro.tmp", false, true },
		{ ".test.avro.tmp", false, true },
		{ "test-20260131T123456.789Z-000001.avro.tmp", false, true },
	};
	const char *path = fresh();
	struct json j;

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		touch(path, rows[i].name, rows[i].is_locked);
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", with_path(path, ""));
	fixture_append(&fix, 0, 10, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(is_there(path, rows[i].name), rows[i].stays);
	json_init(&j, 4096);
	json_open_object(&j, NULL);
	sinks_status(fix.sinks, 0, &j);
	json_end(&j);
	assert_non_null(strstr(j.text, "\"removed_unfinished\":5"));
	assert_non_null(strstr(j.text, "\"state\":\"running\""));
	json_fini(&j);
	fixture_close(&fix);
}

static void wait_for_error(void)
{
	int64_t end_ms = clock_mono_ms() + 5000;
	struct timespec nap = { 0, 5000000 };

	while (fixture_stat(&fix, SINK_STAT_ERRORS) == 0 && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	assert_true(fixture_stat(&fix, SINK_STAT_ERRORS) > 0);
}

static bool status_has(const char *what)
{
	struct json j;
	bool has;

	json_init(&j, 4096);
	json_open_object(&j, NULL);
	sinks_status(fix.sinks, 0, &j);
	json_end(&j);
	has = strstr(j.text, what) != NULL;
	json_fini(&j);
	return has;
}

static void a_directory_that_is_none_yet(void **state)
{
	const char *parent = fresh();
	char path[128];
	int fd = open(parent, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/a/b", parent);
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", with_path(path, ""));
	fixture_append(&fix, 0, 1000, 0);
	fixture_append(&fix, 1, 1000, 0);
	fixture_seal(&fix);
	wait_for_error();
	assert_true(status_has("\"state\":\"waiting\""));
	assert_true(status_has("Not a directory"));
	assert_false(fixture_drain(&fix, 50));
	fixture_check_ledger(&fix);
	assert_int_equal(unlink(parent), 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	assert_true(status_has("\"state\":\"running\""));
	assert_true(fixture_stat(&fix, SINK_STAT_RETRIES) > 0);
	check_all_once(path, "deflate");
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

/* Writing fails in the middle of a file, once both logs have records in it. */
static void a_disk_that_is_full_for_a_while(void **state)
{
	const char *path = fresh();
	struct rlimit before;
	struct rlimit tight;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = before;
	tight.rlim_cur = 400000;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", with_path(path, "codec = \"null\"; block_bytes = \"16K\";"));
	fixture_append(&fix, 0, 100, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS)); /* one good file first */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	for (unsigned i = 0; i < 10; i++)
		fixture_append(&fix, i % FIXTURE_LOGS, 400, 0);
	fixture_seal(&fix);
	wait_for_error();
	assert_true(status_has("\"state\":\"waiting\""));
	fixture_check_ledger(&fix);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	check_all_once(path, "null");
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 4100);
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

/* A file of the size that was asked for never fits: smaller ones do. */
static void a_disk_with_less_room_than_a_file(void **state)
{
	const char *path = fresh();
	struct rlimit before;
	struct rlimit tight;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = before;
	tight.rlim_cur = 600000;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", with_path(path, "codec = \"null\"; block_bytes = \"16K\";"));
	for (unsigned i = 0; i < 40; i++)
		fixture_append(&fix, i % FIXTURE_LOGS, 400, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_in_range(fixture_stat(&fix, SINK_STAT_ERRORS), 1, 3);
	check_all_once(path, "null");
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 16000);
	assert_true(status_has("\"state\":\"running\""));
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

static void expect_numbers(const char *path, uint64_t from, uint64_t to)
{
	start_counting();
	assert_int_equal(read_files(path, "deflate"), 1);
	for (uint64_t i = 0; i < fix.number; i++)
		assert_int_equal(seen[i], i >= from && i < to);
}

/* Renamed or removed: the open file goes where it was begun, the next one where the path says. */
static void a_directory_that_vanishes(void **state)
{
	const char *path = fresh();
	int64_t end_ms = clock_mono_ms() + 5000;
	struct timespec nap = { 0, 5000000 };
	char away[128];
	char command[160];

	(void)state;
	(void)snprintf(away, sizeof(away), "%s.away", path);
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", with_path(path, ""));
	fixture_append(&fix, 0, 100, 0);
	fixture_seal(&fix);
	while (!status_has("\"open_records\":100") && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	assert_int_equal(rename(path, away), 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	expect_numbers(away, 0, 100);
	fixture_append(&fix, 0, 100, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	expect_numbers(path, 100, 200);
	expect_numbers(away, 0, 100);
	(void)snprintf(command, sizeof(command), "rm -r %s", path);
	assert_int_equal(system(command), 0);
	fixture_append(&fix, 1, 100, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	expect_numbers(path, 200, 300);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_ERRORS), 0);
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

static void stopping_completes_the_file(void **state)
{
	const char *path = fresh();
	int64_t end_ms = clock_mono_ms() + 5000;
	struct timespec nap = { 0, 5000000 };

	(void)state;
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", with_path(path, ""));
	fixture_append(&fix, 0, 500, 0);
	fixture_seal(&fix);
	while (!status_has("\"open_records\":500") && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	sinks_stop(fix.sinks, 0);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_PENDING_AT_STOP), 0);
	check_all_once(path, "deflate");
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

static void wrong_options(void **state)
{
	static const char *const rows[][2] = {
		{ "format = \"json\"; codec = \"snappy\";", "snappy is for Avro" },
		{ "codec = \"deflate\"; level = 10;", "level" },
		{ "codec = \"lzma\";", "lzma" },
		{ "rotate_s = 0;", "rotate_s" },
		{ "rotate = 7;", "rotate" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct why why = { "" };

		fixture_open(&fix, 64u << 20, LOG_BLOCK);
		assert_int_equal(fixture_sink(&fix, "file", rows[i][0], &why), ERR_CONF);
		if (strstr(why.text, rows[i][1]) == NULL)
			fail_msg("%s", why.text);
		fixture_close(&fix);
	}
}

static int set_up(void **state)
{
	(void)state;
	plain = malloc(PLAIN_MAX);
	return plain == NULL || mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	free(plain);
	free(seen);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_codec_and_format),
		cmocka_unit_test(a_file_is_complete_after_its_time),
		cmocka_unit_test(a_full_log_completes_the_file),
		cmocka_unit_test(each_schema_has_its_files),
		cmocka_unit_test(only_our_own_leftovers_go),
		cmocka_unit_test(a_directory_that_is_none_yet),
		cmocka_unit_test(a_disk_that_is_full_for_a_while),
		cmocka_unit_test(a_disk_with_less_room_than_a_file),
		cmocka_unit_test(a_directory_that_vanishes),
		cmocka_unit_test(stopping_completes_the_file),
		cmocka_unit_test(wrong_options),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
