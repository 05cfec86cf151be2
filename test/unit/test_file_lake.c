/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a sink with a pattern puts each record into its directory, with never more open files than it may have
 * and no more memory than it may take, and ends its files together; what an earlier process left below
 * goes.
 * Method: numbered flows of many times, types and exporters go through real logs and a sink of each format;
 * what is complete is found by its path.  JSON lines are read here, Parquet files as far as their footer.
 */
#include "test/unit/sink_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sink/file_set.h"

#define HOUR_MS INT64_C(3600000)
#define NOW INT64_C(1767225600000)
#define PATHS_MAX 1000

static struct fixture fix;
static char dir[] = "/tmp/test_lake_XXXXXX";
static char root[64];

/* What the last walk saw. */
static char paths[PATHS_MAX][200];
static size_t path_count;
static size_t open_count; /* temporary files */
static size_t dir_count;

static int visit(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	dir_count += kind == FTW_D;
	if (kind != FTW_F)
		return 0;
	if (path[ftw->base] == '.') {
		open_count += strstr(path, ".tmp") != NULL && strstr(path, "manifest") == NULL;
		return 0;
	}
	assert_true(path_count < PATHS_MAX);
	(void)snprintf(paths[path_count++], sizeof(paths[0]), "%s", path + strlen(root) + 1);
	return 0;
}

static void look(void)
{
	path_count = 0;
	open_count = 0;
	dir_count = 0;
	assert_int_equal(nftw(root, visit, 16, FTW_PHYS), 0);
}

static size_t count_below(const char *below)
{
	size_t n = 0;

	for (size_t i = 0; i < path_count; i++)
		n += strncmp(paths[i], below, strlen(below)) == 0;
	return n;
}

static void start(const char *type, const char *options)
{
	static unsigned n;
	char text[512];

	(void)snprintf(root, sizeof(root), "%s/%u", dir, n++);
	(void)mkdir(root, 0700);
	(void)snprintf(text, sizeof(text), "path = \"%s\"; %s", root, options);
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, type, text);
}

static uint16_t type_number(const char *text)
{
	uint32_t number;

	assert_int_equal(log_name_add(fix.hub, LOG_NAME_EVENT_TYPE, text, strlen(text), &number),
			 ERR_OK);
	return (uint16_t)number;
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

static uint64_t open_memory(void)
{
	const char key[] = "\"open_memory\":";
	uint64_t n;
	struct json j;

	json_init(&j, 4096);
	json_open_object(&j, NULL);
	sinks_status(fix.sinks, 0, &j);
	json_end(&j);
	assert_non_null(strstr(j.text, key));
	n = strtoull(strstr(j.text, key) + strlen(key), NULL, 10);
	json_fini(&j);
	return n;
}

static size_t load(const char *path, uint8_t **out)
{
	char full[300];
	struct stat st;
	int fd;

	(void)snprintf(full, sizeof(full), "%s/%s", root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*out = malloc((size_t)st.st_size + 1);
	assert_non_null(*out);
	assert_true(read(fd, *out, (size_t)st.st_size) == st.st_size);
	(*out)[st.st_size] = 0;
	(void)close(fd);
	return (size_t)st.st_size;
}

/* Each number stands in one line of all files. */
static void check_lines(void)
{
	uint8_t *seen = calloc(1, (size_t)fix.number + 1);

	assert_non_null(seen);
	for (size_t i = 0; i < path_count; i++) {
		uint8_t *text;
		size_t bytes = load(paths[i], &text);

		for (char *line = (char *)text; line < (char *)text + bytes;
		     line = strchr(line, '\n') + 1) {
			const char *hex = line + strlen("{\"record_id\":\"");
			uint64_t number = 0;

			for (unsigned k = 0; k < 8; k++) {
				char pair[3] = { hex[2 * k], hex[2 * k + 1], 0 };

				number |= strtoull(pair, NULL, 16) << (8 * k);
			}
			assert_true(number < fix.number);
			assert_int_equal(seen[number]++, 0);
		}
		free(text);
	}
	for (uint64_t i = 0; i < fix.number; i++)
		assert_int_equal(seen[i], 1);
	free(seen);
}

/* The number that the footer says under a key; the frame is right. */
static uint64_t footer_says(const char *path, const char *key)
{
	uint8_t *octets;
	size_t bytes = load(path, &octets);
	const uint8_t *at;
	uint64_t n;

	assert_true(bytes > 12);
	assert_memory_equal(octets, "PAR1", 4);
	assert_memory_equal(octets + bytes - 4, "PAR1", 4);
	at = memmem(octets, bytes, key, strlen(key));
	assert_non_null(at);
	/* Thrift, compact: the next field is a text of less than 128 octets. */
	assert_int_equal(at[strlen(key)], 0x18);
	n = strtoull((const char *)at + strlen(key) + 2, NULL, 10);
	free(octets);
	return n;
}

static void each_record_has_its_directory(void **state)
{
	static const char *const types[] = { "file", "parquet" };

	(void)state;
	for (size_t t = 0; t < 2; t++) {
		start(types[t],
		      t == 0 ? "pattern = \"type=%{event_type}/%Y-%m-%d/%H\"; format = \"json\";"
			       "codec = \"none\";" :
			       "pattern = \"type=%{event_type}/%Y-%m-%d/%H\";");
		for (unsigned k = 0; k < 12; k++) {
			fix.head.event_type = type_number(k % 2 == 0 ? "dns" : "a/b");
			fix.head.event_ms = NOW + (k / 2) % 3 * HOUR_MS;
			fix.head.ingest_ms = fix.head.event_ms;
			fixture_append(&fix, k % FIXTURE_LOGS, 10, 0);
		}
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		look();
		assert_int_equal(open_count, 0);
		assert_int_equal(path_count, 6);
		for (unsigned h = 0; h < 3; h++) {
			char below[64];

			(void)snprintf(below, sizeof(below), "type=dns/2026-01-01/%02u/", h);
			assert_int_equal(count_below(below), 1);
			(void)snprintf(below, sizeof(below), "type=a%%2Fb/2026-01-01/%02u/", h);
			assert_int_equal(count_below(below), 1);
		}
		if (t == 0)
			check_lines();
		for (size_t i = 0; t == 1 && i < path_count; i++)
			assert_int_equal(footer_says(paths[i], "sluice.records"), 20);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 120);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_ROTATIONS), 6);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_LATE), 0);
		fixture_check_ledger(&fix);
		fixture_close(&fix);
	}
}

/* More directories than files may be open: records go on where they stopped. */
static void no_more_than_may_be_open(void **state)
{
	static const struct {
		const char *type;
		const char *options;
		unsigned max;
	} rows[] = {
		{ "file", "max_open = 1; format = \"json\"; codec = \"none\";", 1 },
		{ "file", "max_open = 7; format = \"json\"; codec = \"none\";", 7 },
		{ "parquet", "max_open = 7;", 7 },
		{ "parquet", "", 32 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct timespec nap = { 0, 1000000 };
		char options[200];
		unsigned most = 0;

		(void)snprintf(options, sizeof(options),
			       "pattern = \"%%{exporter}/%%d-%%H\"; rotate_s = 3600; %s",
			       rows[i].options);
		start(rows[i].type, options);
		/* Ten exporters, each hour of seven days. */
		for (unsigned k = 0; k < 240; k++) {
			char text[16];
			uint32_t number;
			int n = snprintf(text, sizeof(text), "e%u", k % 10);

			assert_int_equal(log_name_add(fix.hub, LOG_NAME_EXPORTER, text, (size_t)n,
						      &number),
					 ERR_OK);
			fix.head.exporter = number;
			fix.head.event_ms = NOW - k * 7 % 168 * HOUR_MS;
			fix.head.ingest_ms = NOW;
			fixture_append(&fix, k % FIXTURE_LOGS, 3, 0);
		}
		fixture_seal(&fix);
		sinks_flush(fix.sinks);
		while (!sinks_drained(fix.sinks)) {
			uint64_t rotations = fixture_stat(&fix, SINK_STAT_ROTATIONS);

			look();
			/* Not of two rotations: a walk takes time. */
			if (fixture_stat(&fix, SINK_STAT_ROTATIONS) == rotations)
				most = open_count > most ? (unsigned)open_count : most;
			(void)nanosleep(&nap, NULL);
		}
		sinks_relax(fix.sinks);
		look();
		assert_int_equal(open_count, 0);
		assert_true(most <= rows[i].max);
		assert_true(path_count > 100);
		if (strcmp(rows[i].type, "file") == 0)
			check_lines();
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 720);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_ERRORS), 0);
		fixture_check_ledger(&fix);
		fixture_close(&fix);
	}
}

/* The system may not give as many files as the options would. */
static void fewer_files_than_may_be_open(void **state)
{
	struct rlimit before;
	struct rlimit few;

	(void)state;
	start("parquet", "pattern = \"%H\"; rotate_s = 3600;");
	fixture_append(&fix, 0, 1, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)dup(0) + 12;
	(void)close((int)few.rlim_cur - 12);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (unsigned k = 0; k < 24; k++) {
		fix.head.event_ms = NOW - k * HOUR_MS;
		fix.head.ingest_ms = NOW;
		fixture_append(&fix, 0, 2, 0);
	}
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	look();
	assert_int_equal(path_count, 25);
	assert_int_equal(open_count, 0);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 49);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_ERRORS), 1);
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

static void late_records_are_noted(void **state)
{
	(void)state;
	start("parquet", "pattern = \"%Y\";");
	for (unsigned k = 0; k < 4; k++) {
		fix.head.ingest_ms = NOW;
		fix.head.event_ms = k % 2 == 0 ? NOW : NOW - (k + 365) * 24 * HOUR_MS;
		fixture_append(&fix, 0, 5, 0);
	}
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	look();
	assert_int_equal(path_count, 1);
	assert_int_equal(count_below("2026/"), 1);
	assert_int_equal(footer_says(paths[0], "sluice.records"), 20);
	assert_int_equal(footer_says(paths[0], "sluice.late"), 10);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_LATE), 10);
	fixture_close(&fix);
}

static void enough_records_complete_the_files(void **state)
{
	int64_t end_ms = clock_mono_ms() + FIXTURE_WAIT_MS;
	struct timespec nap = { 0, 2000000 };

	(void)state;
	start("parquet", "pattern = \"%d\"; rotate_s = 3600; rotate_records = 100;");
	for (unsigned k = 0; k < 10; k++) {
		fix.head.event_ms = NOW - k % 4 * 24 * HOUR_MS;
		fix.head.ingest_ms = NOW;
		fixture_append(&fix, 0, 25, 0);
		fixture_seal(&fix);
	}
	while (fixture_stat(&fix, SINK_STAT_DELIVERED) < 200 && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 200);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_ROTATIONS), 8);
	while (!status_has("\"open_records\":50") && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	assert_true(status_has("\"open_files\":2"));
	fixture_close(&fix);
}

/* Far less than the records would take: they are all there, and the memory is kept to. */
static void memory_is_bounded(void **state)
{
	(void)state;
	start("parquet", "pattern = \"%H\"; memory_bytes = \"1M\"; rotate_s = 3600;");
	for (unsigned k = 0; k < 200; k++) {
		fix.head.event_ms = NOW - k % 20 * HOUR_MS;
		fix.head.ingest_ms = NOW;
		fixture_append(&fix, k % FIXTURE_LOGS, 50, 0);
	}
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	look();
	assert_int_equal(path_count, 20);
	for (size_t i = 0; i < path_count; i++)
		assert_int_equal(footer_says(paths[i], "sluice.records"), 500);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 10000);
	/* Twenty files take their columns between two looks at the memory. */
	assert_true(open_memory() > 0 && open_memory() <= 6u << 20);
	fixture_close(&fix);
}

/* With what was being written in it, and with what was complete, which is gone then. */
static void a_directory_that_somebody_removes(void **state)
{
	int64_t end_ms = clock_mono_ms() + FIXTURE_WAIT_MS;
	struct timespec nap = { 0, 2000000 };
	char command[128];

	(void)state;
	start("file", "pattern = \"h=%H\"; format = \"json\"; codec = \"none\"; rotate_s = 3600;");
	for (unsigned k = 0; k < 6; k++) {
		fix.head.event_ms = NOW - k % 3 * HOUR_MS;
		fix.head.ingest_ms = NOW;
		fixture_append(&fix, k % FIXTURE_LOGS, 50, 0);
	}
	fixture_seal(&fix);
	while (!status_has("\"open_records\":300") && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	assert_true(status_has("\"open_files\":3"));
	(void)snprintf(command, sizeof(command), "rm -r %s/h=23", root);
	assert_int_equal(system(command), 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	look();
	assert_int_equal(path_count, 3);
	assert_int_equal(open_count, 0);
	check_lines();
	assert_int_equal(fixture_stat(&fix, SINK_STAT_ERRORS), 1);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 300);
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

static void touch(const char *path, bool is_locked)
{
	char full[300];
	int fd;

	(void)snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *p = full + strlen(root) + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(full, 0700);
		*p = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	if (is_locked)
		assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* to the end */
	else
		(void)close(fd);
}

static void leftovers_below_go(void **state)
{
#define LEFT "-20260131T123456.789Z-000001"
	static const struct {
		const char *path;
		bool is_locked;
		bool stays;
	} rows[] = {
		{ ".test" LEFT ".parquet.tmp", false, false },
		{ "dns/date=1/hour=2/.test" LEFT ".parquet.tmp", false, false },
		{ "a/.test" LEFT ".avro.tmp", false, false },
		{ "a/.test" LEFT ".parquet.tmp", true, true },
		{ "a/.other" LEFT ".parquet.tmp", false, true },
		{ "a/test" LEFT ".parquet", false, true },
		{ "a/.b/.test" LEFT ".parquet.tmp", false, true },
		{ "1/2/3/4/5/6/7/8/.test" LEFT ".parquet.tmp", false, false },
		{ "1/2/3/4/5/6/7/8/9/.test" LEFT ".parquet.tmp", false, true },
		{ "a/upload.tmp", false, true },
	};

	(void)state;
	(void)snprintf(root, sizeof(root), "%s/left", dir);
	assert_int_equal(mkdir(root, 0700), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		touch(rows[i].path, rows[i].is_locked);
	{
		char text[128];

		(void)snprintf(text, sizeof(text), "path = \"%s\";", root);
		fixture_open(&fix, 64u << 20, LOG_BLOCK);
		fixture_start(&fix, "parquet", text);
	}
	fixture_append(&fix, 0, 10, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char full[300];

		(void)snprintf(full, sizeof(full), "%s/%s", root, rows[i].path);
		if ((access(full, F_OK) == 0) != rows[i].stays)
			fail_msg("%s", rows[i].path);
	}
	assert_true(status_has("\"removed_unfinished\":4"));
	fixture_close(&fix);
}

/* The sink's own files, as they are completed. */
static void complete_files_go(void **state)
{
	int64_t end_ms = clock_mono_ms() + FIXTURE_WAIT_MS;
	struct timespec nap = { 0, 5000000 };

	(void)state;
	start("file", "pattern = \"%d/%H\"; max_bytes = 1; format = \"json\"; codec = \"none\";");
	for (unsigned k = 0; k < 10; k++) {
		fix.head.event_ms = NOW - k * HOUR_MS;
		fix.head.ingest_ms = NOW;
		fixture_append(&fix, 0, 10, 0);
		if (k % 3 == 0)
			assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	}
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	while (fixture_stat(&fix, SINK_STAT_RETENTION_BYTES) < 10 && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_RETENTION_BYTES), 10);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_RETENTION_OCTETS),
			 fixture_stat(&fix, SINK_STAT_OUT_OCTETS));
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 100);
	while (!status_has("\"kept_files\":0") && clock_mono_ms() < end_ms)
		(void)nanosleep(&nap, NULL);
	assert_true(status_has("\"kept_files\":0"));
	look();
	assert_int_equal(path_count + open_count + dir_count, 1); /* the directory itself */
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

/* A schema that this build does not know: no row, no file, and all are counted. */
static void records_that_are_none(void **state)
{
	static const char schema[] = "{\"type\":\"record\",\"name\":\"x\",\"fields\":[]}";
	uint32_t number;

	(void)state;
	start("parquet", "");
	assert_int_equal(log_name_add(fix.hub, LOG_NAME_SCHEMA, schema, sizeof(schema) - 1, &number),
			 ERR_OK);
	fixture_append(&fix, 0, 10, number);
	fixture_append(&fix, 1, 10, number);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	look();
	assert_int_equal(path_count + open_count, 0);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_CORRUPT), 20);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 0);
	fixture_append(&fix, 0, 10, 0);
	fixture_append(&fix, 0, 10, number);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	look();
	assert_int_equal(path_count, 1);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_CORRUPT), 30);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 10);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_ERRORS), 0);
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

/* Records are looked at together, later than they are added: those that are broken are in no file, and nobody
 * counts them as delivered, whichever file and log they are of. */
static void broken_records_are_taken_back(void **state)
{
	(void)state;
	start("parquet", "pattern = \"%d\"; rotate_s = 3600;");
	fix.broken_each = 7;
	for (unsigned k = 0; k < 20; k++) {
		fix.head.event_ms = NOW - k % 3 * 24 * HOUR_MS;
		fix.head.ingest_ms = NOW;
		fixture_append(&fix, k % 2, 28, 0);
	}
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	look();
	assert_int_equal(path_count, 3);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_CORRUPT), 80);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 480);
	fix.broken_each = 1; /* a file of nothing but those is none */
	fixture_append(&fix, 0, 100, 0);
	assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
	look();
	assert_int_equal(path_count + open_count, 3);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_CORRUPT), 180);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 480);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_ERRORS), 0);
	fixture_check_ledger(&fix);
	fix.broken_each = 0;
	fixture_close(&fix);
}

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_record_has_its_directory),
		cmocka_unit_test(no_more_than_may_be_open),
		cmocka_unit_test(fewer_files_than_may_be_open),
		cmocka_unit_test(late_records_are_noted),
		cmocka_unit_test(enough_records_complete_the_files),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(a_directory_that_somebody_removes),
		cmocka_unit_test(leftovers_below_go),
		cmocka_unit_test(complete_files_go),
		cmocka_unit_test(records_that_are_none),
		cmocka_unit_test(broken_records_are_taken_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
