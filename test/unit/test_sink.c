/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what sink.h promises holds for every sink that needs no other service, and for their runner.
 * Method: one table of sinks, each put through the same cases: everything is delivered while a worker
 * appends, a flush makes it safe, its line of the ledger balances at any moment; then sinks that cannot
 * deliver, under both policies of the log, and a sink made here that refuses to start.
 */
#include "test/unit/sink_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/thread.h"

static struct fixture fix;
static char dir[] = "/tmp/test_sink_XXXXXX";

static const struct {
	const char *type;
	const char *options;
} rows[] = {
	{ "null", "" },
	{ "null", "encode = false;" },
	{ "file", "codec = \"null\"; rotate_bytes = \"1M\";" },
	{ "file", "codec = \"snappy\";" },
	{ "file", "format = \"json\"; codec = \"none\";" },
	{ "stdout", "" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *options_of(size_t row)
{
	static char text[256];

	if (strcmp(rows[row].type, "file") != 0)
		return rows[row].options;
	(void)snprintf(text, sizeof(text), "path = \"%s/%zu\"; %s", dir, row, rows[row].options);
	return text;
}

/* What stdout prints goes to a file meanwhile. */
static int hide_stdout(void)
{
	char path[64];
	int kept = dup(STDOUT_FILENO);
	int fd;

	(void)fflush(stdout);
	(void)snprintf(path, sizeof(path), "%s/stdout", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (kept < 0 || fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		abort();
	(void)close(fd);
	return kept;
}

static void show_stdout(int kept)
{
	(void)fflush(stdout);
	(void)dup2(kept, STDOUT_FILENO);
	(void)close(kept);
}

static size_t count_lines(void)
{
	char path[64];
	size_t lines = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/stdout", dir);
	file = fopen(path, "r");
	if (file == NULL)
		return 0;
	for (int c = fgetc(file); c != EOF; c = fgetc(file))
		lines += c == '\n';
	(void)fclose(file);
	return lines;
}

static void never_started(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct why why = { "" };

		fixture_open(&fix, 64u << 20, LOG_BLOCK);
		assert_int_equal(fixture_sink(&fix, rows[i].type, options_of(i), &why), ERR_OK);
		assert_int_equal(sinks_count(fix.sinks), 1);
		assert_string_equal(sinks_name(fix.sinks, 0), "test");
		assert_string_equal(sinks_type(fix.sinks, 0), rows[i].type);
		assert_true(sinks_drained(fix.sinks));
		fixture_append(&fix, 0, 10, 0);
		fixture_seal(&fix);
		assert_false(sinks_drained(fix.sinks));
		fixture_close(&fix);
	}
}

static void append_all(void *ctx)
{
	struct fixture *f = ctx;

	for (unsigned i = 0; i < 200; i++) {
		fixture_append(f, i % FIXTURE_LOGS, 100, 0);
		log_tick(f->logs[i % FIXTURE_LOGS], clock_mono_ms());
	}
}

static void everything_is_delivered(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct thread *t;
		int kept = hide_stdout();

		fixture_open(&fix, 2u << 20, LOG_BLOCK);
		fixture_start(&fix, rows[i].type, options_of(i));
		assert_int_equal(thread_start("worker", append_all, &fix, &t), ERR_OK);
		thread_join(t);
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		fixture_check_ledger(&fix);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 20000);
		fixture_append(&fix, 1, 123, 0);
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 20123);
		fixture_check_ledger(&fix);
		sinks_stop(fix.sinks, 1000);
		show_stdout(kept);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_PENDING_AT_STOP), 0);
		if (strcmp(rows[i].type, "stdout") == 0)
			assert_int_equal(count_lines(), 20123);
		fixture_close(&fix);
	}
}

/* Records that are for another sink are counted, and nothing else; alone they do not make a file. */
static void what_is_for_others_is_passed_over(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		int kept = hide_stdout();

		fixture_open(&fix, 64u << 20, LOG_BLOCK);
		fixture_start(&fix, rows[i].type, options_of(i));
		fix.route = 2;
		fixture_append(&fix, 0, 40, 0);
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		fixture_check_ledger(&fix);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_NOT_ROUTED), 40);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 0);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_ROTATIONS), 0);
		for (uint64_t n = 0; n < 30; n++) {
			fix.route = n % 3 == 0 ? 2 : n % 3 == 1 ? 1 : 0;
			fixture_append(&fix, n % FIXTURE_LOGS, 10, 0);
		}
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		fixture_check_ledger(&fix);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_NOT_ROUTED), 140);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 200);
		sinks_stop(fix.sinks, 1000);
		show_stdout(kept);
		if (strcmp(rows[i].type, "stdout") == 0)
			assert_int_equal(count_lines(), 200);
		fixture_close(&fix);
	}
}

/* A drain ends though more keeps coming. */
static void a_flush_has_an_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		int64_t end_ms = clock_mono_ms() + FIXTURE_WAIT_MS;
		int kept = hide_stdout();

		fixture_open(&fix, 64u << 20, LOG_BLOCK);
		fixture_start(&fix, rows[i].type, options_of(i));
		fixture_append(&fix, 0, 1000, 0);
		fixture_seal(&fix);
		sinks_flush(fix.sinks);
		for (unsigned k = 0; !sinks_drained(fix.sinks); k++) {
			assert_true(clock_mono_ms() < end_ms);
			fixture_append(&fix, k % FIXTURE_LOGS, 1, 0);
			fixture_seal(&fix);
		}
		sinks_relax(fix.sinks);
		assert_true(fixture_drain(&fix, FIXTURE_WAIT_MS));
		fixture_check_ledger(&fix);
		fixture_close(&fix);
		show_stdout(kept);
	}
}

/* A path that no file sink can ever write to. */
#define NO_PATH "path = \"/dev/null/flows\";"

static void what_cannot_be_delivered_is_abandoned(void **state)
{
	int64_t start_ms;

	(void)state;
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fixture_start(&fix, "file", NO_PATH);
	fixture_append(&fix, 0, 3000, 0);
	fixture_append(&fix, 1, 500, 0);
	fixture_seal(&fix);
	assert_false(fixture_drain(&fix, 50));
	fixture_check_ledger(&fix);
	start_ms = clock_mono_ms();
	sinks_stop(fix.sinks, 200);
	assert_in_range(clock_mono_ms() - start_ms, 200, 20000);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_PENDING_AT_STOP), 3500);
	assert_true(fixture_stat(&fix, SINK_STAT_ERRORS) > 0);
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

static void what_makes_room_is_evicted(void **state)
{
	uint64_t span;
	uint64_t pending;

	(void)state;
	fixture_open(&fix, 1u << 20, LOG_EVICT_OLDEST);
	fixture_start(&fix, "file", NO_PATH);
	for (unsigned i = 0; i < 50; i++) {
		fixture_append(&fix, i % FIXTURE_LOGS, 400, 0);
		if (i % 10 == 0)
			(void)fixture_drain(&fix, 20);
	}
	(void)fixture_drain(&fix, 300);
	sinks_lsn(fix.sinks, 0, &span, &pending);
	assert_true(fixture_stat(&fix, SINK_STAT_EVICTED) > 0);
	assert_true(pending > 0);
	assert_true(pending < 8000);
	fixture_check_ledger(&fix);
	sinks_stop(fix.sinks, 0);
	fixture_check_ledger(&fix);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), 0);
	fixture_close(&fix);
}

/* One log, two sinks, the second of which cannot deliver. */
static void *two_sinks(const char *type, const char *options_text)
{
	struct sink_conf confs[2] = { { .name = "good" }, { .name = "bad" } };
	const struct sink_ops *file = sink_type_find("file");
	struct why why = { "" };
	void *options = calloc(1, file->conf_bytes);

	assert_non_null(options);
	assert_int_equal(conf_load_text(file->options, NO_PATH, options, file->conf_bytes, &why),
			 ERR_OK);
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	fix.ops = sink_type_find(type);
	fix.conf = calloc(1, fix.ops->conf_bytes);
	assert_non_null(fix.conf);
	assert_int_equal(
		conf_load_text(fix.ops->options, options_text, fix.conf, fix.ops->conf_bytes, &why),
		ERR_OK);
	confs[0].ops = fix.ops;
	confs[0].conf = fix.conf;
	confs[1].ops = file;
	confs[1].conf = options;
	assert_int_equal(sinks_open(confs, 2, fix.hub, fix.logs, FIXTURE_LOGS, NULL, &fix.fields,
				    fix.schema, &why, &fix.sinks),
			 ERR_OK);
	assert_int_equal(sinks_start(fix.sinks, &why), ERR_OK);
	return options;
}

static void two_sinks_close(void *options)
{
	fixture_close(&fix);
	conf_free(sink_type_find("file")->options, options);
	free(options);
}

static void until_delivered(uint64_t count)
{
	for (unsigned i = 0; i < 1000 && fixture_stat(&fix, SINK_STAT_DELIVERED) < count; i++)
		(void)nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), count);
}

static void one_holds_up_nobody(void **state)
{
	void *options = two_sinks("null", "");
	uint64_t span;
	uint64_t pending;

	(void)state;
	fixture_append(&fix, 0, 5000, 0);
	fixture_seal(&fix);
	until_delivered(5000);
	sinks_lsn(fix.sinks, 1, &span, &pending);
	assert_true(span == 5000);
	assert_true(pending == 5000);
	sinks_stop(fix.sinks, 0);
	sinks_lsn(fix.sinks, 1, &span, &pending);
	assert_true(pending == 0);
	two_sinks_close(options);
}

/* Until the file of the good sink has so many records that are not safe yet. */
static void until_open(unsigned records)
{
	int64_t end_ms = clock_mono_ms() + FIXTURE_WAIT_MS;
	char wanted[64];
	bool has = false;

	(void)snprintf(wanted, sizeof(wanted), "\"open_records\":%u", records);
	while (!has) {
		struct json j;

		assert_true(clock_mono_ms() < end_ms);
		json_init(&j, 4096);
		json_open_object(&j, NULL);
		sinks_status(fix.sinks, 0, &j);
		json_end(&j);
		has = strstr(j.text, wanted) != NULL;
		json_fini(&j);
		(void)nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
	}
}

/* A flush that waits for another sink does not make this one write a file for every frame. */
static void a_flush_asks_no_more_than_was_there(void **state)
{
	char text[256];
	void *options;

	(void)state;
	(void)snprintf(text, sizeof(text), "path = \"%s/flush\"; codec = \"null\";", dir);
	options = two_sinks("file", text);
	for (uint64_t round = 1; round <= 2; round++) {
		uint64_t delivered = fix.number + 1000;

		fixture_append(&fix, 0, 1000, 0);
		fixture_seal(&fix);
		sinks_flush(fix.sinks);
		until_delivered(delivered);
		for (unsigned i = 0; i < 20; i++) {
			fixture_append(&fix, i % FIXTURE_LOGS, 100, 0);
			fixture_seal(&fix);
			(void)nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
		}
		assert_false(sinks_drained(fix.sinks));
		assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), delivered);
		assert_int_equal(fixture_stat(&fix, SINK_STAT_ROTATIONS), round);
	}
	/* What it has read it completes without time; what it has not is abandoned. */
	until_open(2000);
	sinks_stop(fix.sinks, 0);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_DELIVERED), fix.number);
	two_sinks_close(options);
}

/* The lines of two would be torn. */
static void one_standard_output(void **state)
{
	const struct sink_ops *ops = sink_type_find("stdout");
	struct sink_conf confs[2] = { { ops, "first", "" }, { ops, "second", "" } };

	(void)state;
	for (unsigned i = 0; i < 2; i++) { /* refused, it leaves the place free */
		struct why why = { "" };

		fixture_open(&fix, 64u << 20, LOG_BLOCK);
		assert_int_equal(sinks_open(confs, 2, fix.hub, fix.logs, FIXTURE_LOGS, NULL,
					    &fix.fields, fix.schema, &why, &fix.sinks),
				 ERR_CONF);
		assert_memory_equal(why.text, "sink second: standard output is sink first's", 44);
		assert_int_equal(sinks_open(confs, 1, fix.hub, fix.logs, FIXTURE_LOGS, NULL,
					    &fix.fields, fix.schema, &why, &fix.sinks),
				 ERR_OK);
		fixture_close(&fix);
	}
}

/* ---- a sink that will not start ---- */

static unsigned starts;

static enum err shy_open(const void *conf, const struct sink_env *env, struct why *why, void **out)
{
	(void)why;
	*out = &starts;
	assert_non_null(conf);
	assert_int_equal(env->reader_count, FIXTURE_LOGS);
	assert_string_equal(env->name, "shy");
	assert_non_null(strstr(env->schema_text, "\"Flow\""));
	assert_int_equal(env->fields->extra_count, 0);
	return ERR_OK;
}

static enum err shy_start(void *self, struct why *why)
{
	(*(unsigned *)self)++;
	return why_set(why, ERR_PERM, "not today");
}

static int shy_poll(void *self, bool is_flushing)
{
	(void)self;
	(void)is_flushing;
	abort();
}

static void shy_status(void *self, struct json *out)
{
	(void)self;
	json_str(out, "state", "shy");
}

static void shy_close(void *self)
{
	(void)self;
}

static void a_sink_that_will_not_start(void **state)
{
	static const struct sink_ops shy = { .type = "shy",
					     .open = shy_open,
					     .start = shy_start,
					     .poll = shy_poll,
					     .status = shy_status,
					     .close = shy_close };
	struct sink_conf conf = { .ops = &shy, .name = "shy", .conf = "" };
	struct why why = { "" };

	(void)state;
	fixture_open(&fix, 64u << 20, LOG_BLOCK);
	assert_int_equal(sinks_open(&conf, 1, fix.hub, fix.logs, FIXTURE_LOGS, NULL, &fix.fields,
				    fix.schema, &why, &fix.sinks),
			 ERR_OK);
	assert_int_equal(sinks_start(fix.sinks, &why), ERR_OK);
	fixture_append(&fix, 0, 10, 0);
	fixture_seal(&fix);
	sinks_stop(fix.sinks, 1300);
	assert_in_range(starts, 1, 3);
	assert_true(fixture_stat(&fix, SINK_STAT_ERRORS) >= 1);
	assert_int_equal(fixture_stat(&fix, SINK_STAT_PENDING_AT_STOP), 10);
	fixture_check_ledger(&fix);
	fixture_close(&fix);
}

static void types(void **state)
{
	struct why why = { "" };

	(void)state;
	for (size_t i = 0; sink_types[i] != NULL; i++) {
		assert_ptr_equal(sink_type_find(sink_types[i]->type), sink_types[i]);
		assert_non_null(sink_types[i]->options);
		assert_non_null(sink_types[i]->open);
		assert_non_null(sink_types[i]->start);
		assert_non_null(sink_types[i]->poll);
		assert_non_null(sink_types[i]->status);
		assert_non_null(sink_types[i]->close);
	}
	assert_null(sink_type_find("none"));
	fixture_open(&fix, 1, LOG_BLOCK);
	assert_int_equal(fixture_sink(&fix, "file", "format = \"json\"; codec = \"snappy\";", &why),
			 ERR_CONF);
	assert_memory_equal(why.text, "sink test: ", 11);
	fixture_close(&fix);
}

static int set_up(void **state)
{
	(void)state;
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
		cmocka_unit_test(types),
		cmocka_unit_test(never_started),
		cmocka_unit_test(everything_is_delivered),
		cmocka_unit_test(what_is_for_others_is_passed_over),
		cmocka_unit_test(a_flush_has_an_end),
		cmocka_unit_test(what_cannot_be_delivered_is_abandoned),
		cmocka_unit_test(what_makes_room_is_evicted),
		cmocka_unit_test(one_holds_up_nobody),
		cmocka_unit_test(a_flush_asks_no_more_than_was_there),
		cmocka_unit_test(one_standard_output),
		cmocka_unit_test(a_sink_that_will_not_start),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
