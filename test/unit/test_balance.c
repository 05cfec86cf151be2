/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a life counted is the next one's opening balance after a clean stop, once; after anything else the
 * next one begins at 0 and says so; no file, whatever is in it, and no failing disk does more harm.
 * Method: lives after one another in a folder, the calls of each through a table that can fail at any call, or
 * at that and all behind it, as if the process had died there; every cut and every changed octet of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/must.h"
#include "daemon/balance.h"

#define FILE_BYTES_MAX 16384
#define FIRST_MS 1700000000123
#define LATER_MS 1700000900000
#define CRC_LINE_BYTES 16u

static char folder[64];

/* A disk that fails at its call number `fail_at`, or from there on. */
static struct {
	int calls;
	int fail_at; /* 0: never */
	bool is_dead;
	size_t write_max; /* octets a call; 0: all */
} disk;

static bool fails(int with)
{
	disk.calls++;
	if (disk.fail_at == 0 || disk.calls < disk.fail_at ||
	    (disk.calls > disk.fail_at && !disk.is_dead))
		return false;
	errno = with;
	return true;
}

static int disk_open(void *ctx, int dir_fd, const char *name, int flags, mode_t mode)
{
	return fails(ENOSPC) ? -1 : log_io_system.open(ctx, dir_fd, name, flags, mode);
}

static ssize_t disk_writev(void *ctx, int fd, const struct iovec *parts, int count, off_t at)
{
	struct iovec part = parts[0];

	assert_int_equal(count, 1);
	if (fails(EIO))
		return -1;
	if (disk.write_max != 0 && part.iov_len > disk.write_max)
		part.iov_len = disk.write_max;
	return log_io_system.writev(ctx, fd, &part, 1, at);
}

static int disk_sync(void *ctx, int fd)
{
	return fails(EIO) ? -1 : log_io_system.sync(ctx, fd);
}

static int disk_sync_dir(void *ctx, int fd)
{
	return fails(EIO) ? -1 : log_io_system.sync_dir(ctx, fd);
}

static int disk_rename(void *ctx, int dir_fd, const char *from, const char *to)
{
	return fails(EIO) ? -1 : log_io_system.rename(ctx, dir_fd, from, to);
}

static int disk_remove(void *ctx, int dir_fd, const char *name)
{
	return fails(EIO) ? -1 : log_io_system.remove(ctx, dir_fd, name);
}

static int disk_close(void *ctx, int fd)
{
	int rc = log_io_system.close(ctx, fd);

	return fails(EIO) ? -1 : rc;
}

static const struct log_io disk_io = {
	.open = disk_open,
	.writev = disk_writev,
	.sync = disk_sync,
	.sync_dir = disk_sync_dir,
	.rename = disk_rename,
	.remove = disk_remove,
	.close = disk_close,
};

static const char *in_folder(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static bool is_there(const char *name)
{
	struct stat st;

	return lstat(in_folder(name), &st) == 0;
}

static void put_file(const char *name, const void *octets, size_t bytes)
{
	FILE *f = fopen(in_folder(name), "we");

	must(f != NULL);
	must(fwrite(octets, 1, bytes, f) == bytes);
	must(fclose(f) == 0);
}

static size_t get_file(const char *name, char *out)
{
	FILE *f = fopen(in_folder(name), "re");
	size_t bytes;

	must(f != NULL);
	bytes = fread(out, 1, FILE_BYTES_MAX - 1, f);
	must(fclose(f) == 0);
	out[bytes] = '\0';
	return bytes;
}

/* A file of this text with its CRC behind it. */
static void put_closed(const char *text)
{
	char whole[FILE_BYTES_MAX];
	int n = snprintf(whole, sizeof(whole), "%scrc32c %08x\n", text,
			 crc32c(0, text, strlen(text)));

	put_file("counters", whole, (size_t)n);
}

static void clear_folder(void)
{
	static const char *const names[] = { "counters",     "counters.tmp", "counters.used",
					     "counters.bad", "running",	     "elsewhere" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (unlink(in_folder(names[i])) != 0)
			(void)rmdir(in_folder(names[i]));
	}
	memset(&disk, 0, sizeof(disk));
}

static int make_folder(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	(void)snprintf(folder, sizeof(folder), "/tmp/sluice_balance.XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
	(void)state;
	clear_folder();
	return rmdir(folder);
}

static int begin_test(void **state)
{
	(void)state;
	clear_folder();
	return 0;
}

static enum err load(struct balance *b, int64_t now_ms, struct why *why)
{
	balance_init(b, now_ms);
	return balance_load(b, folder, &disk_io, why);
}

static void start(struct balance *b, int64_t now_ms)
{
	struct why why = { "" };

	if (load(b, now_ms, &why) != ERR_OK || balance_begin(b, &why) != ERR_OK)
		fail_msg("%s", why.text);
}

static void fill_sums(struct balance_sums *sums)
{
	for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++)
		sums->collector[i] = 1000 + i;
	for (size_t i = 0; i < PIPE_STAT_COUNT; i++)
		sums->pipe[i] = 2000 + i;
}

/* A life that ends well, and leaves its balance. */
static void live(int64_t now_ms)
{
	struct balance_sums sums;
	struct balance b;

	fill_sums(&sums);
	start(&b, now_ms);
	assert_int_equal(balance_save(&b, &sums, NULL), ERR_OK);
	balance_fini(&b);
}

static void check_carried(const struct balance *b, int64_t since_ms)
{
	struct balance_sums sums;

	fill_sums(&sums);
	for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++) {
		if (collector_stat_descs[i].is_level)
			sums.collector[i] = 0;
	}
	assert_memory_equal(&b->opening, &sums, sizeof(sums));
	assert_false(b->is_previous_unclean);
	assert_true(b->since_ms == since_ms);
}

static void check_anew(const struct balance *b, bool is_unclean, int64_t since_ms)
{
	static const struct balance_sums none;

	assert_memory_equal(&b->opening, &none, sizeof(none));
	assert_int_equal(b->is_previous_unclean, is_unclean);
	assert_true(b->since_ms == since_ms);
}

static void clean_lives(void **state)
{
	struct balance b;

	(void)state;
	start(&b, FIRST_MS);
	check_anew(&b, false, FIRST_MS);
	assert_true(is_there("running"));
	assert_int_equal(balance_save(&b, &b.opening, NULL), ERR_OK);
	assert_false(is_there("running"));
	balance_fini(&b);

	live(LATER_MS);
	start(&b, LATER_MS);
	check_carried(&b, FIRST_MS);
	assert_true(is_there("running"));
	assert_false(is_there("counters"));
	assert_true(is_there("counters.used"));
	balance_fini(&b);
}

static void crash(void **state)
{
	struct balance b;

	(void)state;
	live(FIRST_MS);
	start(&b, FIRST_MS + 1);
	check_carried(&b, FIRST_MS);
	balance_fini(&b); /* no save */
	start(&b, LATER_MS);
	check_anew(&b, true, LATER_MS);
	assert_int_equal(balance_save(&b, &b.opening, NULL), ERR_OK);
	balance_fini(&b);
	/* The next one is told of the life before it, not of all there were. */
	start(&b, LATER_MS + 1);
	check_anew(&b, false, LATER_MS);
	balance_fini(&b);
}

/* To look is not to take: a service that does not come up leaves all as it was. */
static void only_looked(void **state)
{
	struct balance_sums sums;
	struct balance b;

	(void)state;
	fill_sums(&sums);
	live(FIRST_MS);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(load(&b, LATER_MS, NULL), ERR_OK);
		check_carried(&b, FIRST_MS);
		assert_int_equal(balance_save(&b, &sums, NULL), ERR_OK);
		balance_fini(&b);
		assert_true(is_there("counters"));
		assert_false(is_there("running"));
	}
	balance_init(&b, LATER_MS);
	assert_int_equal(balance_save(&b, &sums, NULL), ERR_OK);
	check_anew(&b, false, LATER_MS);
	balance_fini(&b);
}

static void check_set_aside(const char *what)
{
	struct why why = { "" };
	struct balance b;

	if (load(&b, LATER_MS, &why) != ERR_OK)
		fail_msg("%s: %s", what, why.text);
	check_anew(&b, true, LATER_MS);
	assert_int_equal(b.found, BALANCE_BROKEN);
	assert_true(b.broken.text[0] != '\0');
	if (balance_begin(&b, &why) != ERR_OK)
		fail_msg("%s: %s", what, why.text);
	balance_fini(&b);
	assert_false(is_there("counters"));
	assert_true(is_there("counters.bad"));
}

static void broken_files(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"sluice counters",
		"sluice counters 1",
		"sluice counters 1\n",
		"sluice counters 0\nbalance_since_ms - 5\n",
		"sluice counters -2\nbalance_since_ms - 5\n",
		"sluice counters 1 \nbalance_since_ms - 5\n",
		"sluice counters 99999999999999999999\nbalance_since_ms - 5\n",
		"something else 1\nbalance_since_ms - 5\n",
		"sluice counters 1\nmessages - 5\n",
		"sluice counters 1\nbalance_since_ms - 0\nmessages - 5\n",
		"sluice counters 1\nbalance_since_ms - 5\nmessages 5\n",
		"sluice counters 1\nbalance_since_ms - 5\nmessages - 5",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put_file("counters", texts[i], strlen(texts[i]));
		check_set_aside(texts[i]);
		put_closed(texts[i]);
		check_set_aside(texts[i]);
	}
}

static void cuts_and_changes(void **state)
{
	size_t number_at = strlen("sluice counters ");
	char text[FILE_BYTES_MAX];
	struct balance b;
	size_t bytes;

	(void)state;
	live(FIRST_MS);
	bytes = get_file("counters", text);
	assert_int_equal(text[number_at], '1');
	for (size_t cut = 0; cut < bytes; cut++) {
		put_file("counters", text, cut);
		check_set_aside("cut");
	}
	for (size_t i = 0; i < bytes; i++) {
		text[i] ^= 0x04;
		put_file("counters", text, bytes);
		/* '1' is '5' then: a newer version, whose CRC may stand elsewhere. */
		if (i == number_at)
			assert_int_equal(load(&b, LATER_MS, NULL), ERR_CONF);
		else
			check_set_aside("changed");
		if (i == number_at)
			balance_fini(&b);
		text[i] ^= 0x04;
	}
	put_file("counters", text, bytes);
	start(&b, LATER_MS);
	check_carried(&b, FIRST_MS);
	balance_fini(&b);
}

static void no_files(void **state)
{
	char *large = calloc(1, 1 << 20);

	(void)state;
	assert_int_equal(mkdir(in_folder("counters"), 0700), 0);
	check_set_aside("folder");
	(void)rmdir(in_folder("counters.bad"));
	put_file("elsewhere", "sluice counters 1\n", 18);
	assert_int_equal(symlink("elsewhere", in_folder("counters")), 0);
	check_set_aside("link");
	assert_int_equal(mkfifo(in_folder("counters"), 0600), 0);
	check_set_aside("pipe");
	must(large != NULL);
	memcpy(large, "sluice counters 1\n", 18);
	put_file("counters", large, 1 << 20);
	check_set_aside("large");
	free(large);
}

static void newer_version(void **state)
{
	static const char *const texts[] = { "sluice counters 2\n", "sluice counters 77\nother\n" };
	char again[FILE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct why why = { "" };
		struct balance b;

		put_file("counters", texts[i], strlen(texts[i]));
		assert_int_equal(load(&b, LATER_MS, &why), ERR_CONF);
		assert_non_null(strstr(why.text, "/counters: has version "));
		assert_non_null(strstr(why.text, i == 0 ? "version 2," : "version 77,"));
		assert_non_null(strstr(why.text, "knows version 1"));
		balance_fini(&b);
		assert_int_equal(get_file("counters", again), strlen(texts[i]));
		assert_string_equal(again, texts[i]);
	}
}

/* Rows come and go with versions. */
static void other_rows(void **state)
{
	struct balance b;

	(void)state;
	put_closed("sluice counters 1\nbalance_since_ms - 1700000000123\nno_such_row - 7\n"
		   "messages - 5\ndata_sets_held_now - 9\nflows_dropped log_full 3\n");
	start(&b, LATER_MS);
	assert_int_equal(b.rows.taken, 3);
	assert_int_equal(b.rows.unknown, 2);
	assert_int_equal(b.opening.collector[STAT_MESSAGES], 5);
	assert_int_equal(b.opening.collector[STAT_SETS_HELD_NOW], 0);
	assert_int_equal(b.opening.pipe[PIPE_STAT_LOG_FULL], 3);
	assert_int_equal(b.opening.pipe[PIPE_STAT_FLOWS], 0);
	assert_true(b.since_ms == FIRST_MS);
	assert_false(b.is_previous_unclean);
	balance_fini(&b);
}

static void short_writes(void **state)
{
	struct balance b;

	(void)state;
	disk.write_max = 7;
	live(FIRST_MS);
	start(&b, LATER_MS);
	check_carried(&b, FIRST_MS);
	balance_fini(&b);
}

/* The life after trouble: it has the balance, or it knows that it does not have it. */
static void check_after(bool may_carry)
{
	struct balance b;

	memset(&disk, 0, sizeof(disk));
	start(&b, LATER_MS);
	if (may_carry && b.found == BALANCE_WHOLE)
		check_carried(&b, FIRST_MS);
	else
		check_anew(&b, true, LATER_MS);
	balance_fini(&b);
	/* And it is taken once. */
	start(&b, LATER_MS + 1);
	check_anew(&b, true, LATER_MS + 1);
	balance_fini(&b);
}

static void trouble_at_start(void **state)
{
	int failures = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int at = 1; at < 20; at++) {
			struct why why = { "" };
			struct balance b;
			enum err e;

			clear_folder();
			live(FIRST_MS);
			memset(&disk, 0, sizeof(disk));
			disk.fail_at = at;
			disk.is_dead = round == 1;
			assert_int_equal(load(&b, LATER_MS, &why), ERR_OK);
			e = balance_begin(&b, &why);
			assert_int_equal(e == ERR_OK, why.text[0] == '\0');
			failures += e != ERR_OK;
			if (e != ERR_OK) {
				/* Nothing started, so there is nothing to save. */
				assert_int_equal(balance_save(&b, &b.opening, NULL), ERR_OK);
			}
			balance_fini(&b);
			check_after(e != ERR_OK);
		}
	}
	assert_int_equal(failures, 2 * 3 + 1); /* open, rename, sync; a failing close is none */
}

static void trouble_at_stop(void **state)
{
	struct balance_sums sums;
	int failures = 0;

	(void)state;
	fill_sums(&sums);
	for (int round = 0; round < 2; round++) {
		for (int at = 1; at < 20; at++) {
			struct why why = { "" };
			struct balance b;
			enum err e;

			clear_folder();
			start(&b, FIRST_MS);
			memset(&disk, 0, sizeof(disk));
			disk.fail_at = at;
			disk.is_dead = round == 1;
			e = balance_save(&b, &sums, &why);
			assert_int_equal(e == ERR_OK, why.text[0] == '\0');
			failures += e != ERR_OK;
			if (round == 0)
				assert_false(is_there("counters.tmp"));
			balance_fini(&b);
			check_after(true);
		}
	}
	/* open, write, sync, close, rename, sync of the folder; what comes behind them is no failure. */
	assert_int_equal(failures, 2 * 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(clean_lives, begin_test),
		cmocka_unit_test_setup(crash, begin_test),
		cmocka_unit_test_setup(only_looked, begin_test),
		cmocka_unit_test_setup(broken_files, begin_test),
		cmocka_unit_test_setup(cuts_and_changes, begin_test),
		cmocka_unit_test_setup(no_files, begin_test),
		cmocka_unit_test_setup(newer_version, begin_test),
		cmocka_unit_test_setup(other_rows, begin_test),
		cmocka_unit_test_setup(short_writes, begin_test),
		cmocka_unit_test_setup(trouble_at_start, begin_test),
		cmocka_unit_test_setup(trouble_at_stop, begin_test),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
