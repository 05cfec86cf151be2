/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: complete files of a sink go, oldest first, for the reason that is counted, down to the limit and no
 * further; nothing else goes, whatever it is called and wherever it stands; a poll does little.
 * Method: directories with files of the sink and of others, whose names say how old they are, and a sink's
 * retention over them, poll by poll.  Files come and go while it walks.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "sink/file_retain.h"

#define POLLS 2000

static char dir[32] = "/dev/shm/test_retain_XXXXXX";
static char root[64];
static time_t base_time; /* names are the same however long the test takes */
static struct file_dir d;
static struct file_rotate rotate;
static struct sink_env env;
static struct file_retain retain;

static void fresh(const struct file_retain_conf *conf)
{
	static unsigned n;

	(void)snprintf(root, sizeof(root), "%s/%u", dir, n++);
	file_dir_init(&d, "test", ".parquet");
	assert_int_equal(file_dir_open(&d, root), ERR_OK);
	memset(&rotate, 0, sizeof(rotate));
	memset(&env, 0, sizeof(env));
	env.name = "test";
	assert_int_equal(stat_set_new(sink_stat_descs, SINK_STAT_COUNT, &env.stat), ERR_OK);
	assert_int_equal(file_retain_init(&retain, conf, &env, &rotate), ERR_OK);
}

static void done(void)
{
	file_retain_fini(&retain);
	file_dir_close(&d);
	stat_set_free(env.stat);
}

/* Begun so many seconds ago. */
static const char *named(const char *below, int64_t age_s, unsigned number, const char *suffix)
{
	static char path[300];
	time_t at = base_time - age_s;
	char when[32];
	struct tm tm;

	(void)gmtime_r(&at, &tm);
	(void)strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(path, sizeof(path), "%stest-%s.000Z-%06u%s", below, when, number, suffix);
	return path;
}

static void make(const char *path, size_t bytes)
{
	char part[300];
	int fd;

	for (size_t i = 0; path[i] != '\0'; i++) {
		part[i] = path[i];
		if (path[i] != '/')
			continue;
		part[i] = '\0';
		(void)mkdirat(d.fd, part, 0700);
		part[i] = '/';
	}
	fd = openat(d.fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	(void)close(fd);
}

static bool is_there(const char *path)
{
	return faccessat(d.fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void tend(unsigned polls)
{
	assert_int_equal(file_retain_at(&retain, &d), ERR_OK);
	for (unsigned i = 0; i < polls; i++)
		file_retain_tend(&retain);
}

/* As long as something happens. */
static void settle(void)
{
	for (unsigned quiet = 0, n = 0; quiet < 5 && n < POLLS; n++) {
		uint64_t before = retain.files;
		bool was_walking = retain.is_walking;

		tend(1);
		quiet = was_walking || retain.is_walking || before != retain.files ? 0 : quiet + 1;
	}
	assert_true(retain.is_known && !retain.is_walking);
}

static void oldest_first_by_octets(void **state)
{
	const struct file_retain_conf conf = { .max_bytes = 3500 };
	static const char *const belows[] = { "dns/date=1/", "", "http/date=2/hour=0/" };
	char paths[9][300];

	(void)state;
	fresh(&conf);
	for (unsigned i = 0; i < 9; i++) {
		/* Neither the order of the names nor that of the directories is that of time. */
		const char *path = named(belows[i % 3], 100 * (9 - i), 999 - i, ".parquet");

		memcpy(paths[i], path, strlen(path) + 1);
		make(path, 1000);
	}
	settle();
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(is_there(paths[i]), i >= 6);
	assert_int_equal(retain.files, 3);
	assert_int_equal(retain.octets, 3000);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_BYTES), 6);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_AGE), 0);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_FREE), 0);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_OCTETS), 6000);
	/* A file that is completed now takes the place of the oldest one. */
	make(named("dns/date=1/", 1, 1, ".parquet"), 1000);
	file_retain_added(&retain, named("dns/date=1/", 1, 1, ".parquet"), 1000);
	settle();
	assert_false(is_there(paths[6]));
	assert_true(is_there(paths[7]) && is_there(paths[8]));
	assert_int_equal(retain.octets, 3000);
	done();
}

static void too_old(void **state)
{
	const struct file_retain_conf conf = { .max_age_ms = 1000000 };

	(void)state;
	fresh(&conf);
	make(named("a/", 990, 1, ".avro"), 10);
	make(named("a/", 1010, 1, ".avro"), 10);
	make(named("b/c/", 86400, 1, ".jsonl.gz"), 0);
	settle();
	assert_true(is_there(named("a/", 990, 1, ".avro")));
	assert_false(is_there(named("a/", 1010, 1, ".avro")));
	assert_false(is_there("b"));
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_AGE), 2);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_OCTETS), 10);
	done();
}

static void too_little_free(void **state)
{
	const struct file_retain_conf conf = { .min_free = INT64_MAX };
	const struct file_retain_conf fine = { .min_free = 1 };

	(void)state;
	fresh(&conf);
	for (unsigned i = 0; i < 100; i++)
		make(named("a/b/", i, i, ".parquet"), 10);
	settle();
	assert_int_equal(retain.files, 0);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_FREE), 100);
	assert_false(is_there("a"));
	assert_int_equal(access(root, F_OK), 0); /* never the root */
	done();
	fresh(&fine);
	make(named("a/b/", 5, 5, ".parquet"), 10);
	settle();
	assert_int_equal(retain.files, 1);
	done();
}

/* All that is not a complete file of this sink. */
static void what_is_not_ours(void **state)
{
	const struct file_retain_conf conf = { .max_bytes = 1 };
	static const char *const others[] = {
		"a/xtest-20200131T123456.789Z-000001.parquet",
		"a/test-b-20200131T123456.789Z-000001.parquet",
		"a/.test-20200131T123456.789Z-000001.parquet.tmp",
		"a/test-20200131T123456.789Z-000001.csv",
		"a/test-20200131T123456.789Z-000001.parquet.bak",
		"a/flows.parquet",
		".hidden/test-20200131T123456.789Z-000001.parquet",
		"1/2/3/4/5/6/7/8/9/test-20200131T123456.789Z-000001.parquet",
		"notes.txt",
	};
	char away[96];
	char text[256];

	(void)state;
	fresh(&conf);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		make(others[i], 100);
	(void)snprintf(away, sizeof(away), "%s.away", root);
	assert_int_equal(mkdir(away, 0700), 0);
	(void)snprintf(text, sizeof(text), "%s/test-20200131T123456.789Z-000001.parquet", away);
	assert_int_equal(close(open(text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(symlinkat(away, d.fd, "linked"), 0);
	assert_int_equal(symlinkat(text, d.fd, "test-20200131T123456.789Z-000007.parquet"), 0);
	assert_int_equal(mkdirat(d.fd, "empty", 0700), 0);
	make(named("a/c/", 5000, 1, ".parquet"), 100);
	settle();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (!is_there(others[i]))
			fail_msg("%s went", others[i]);
	}
	assert_int_equal(access(text, F_OK), 0);
	assert_true(is_there("test-20200131T123456.789Z-000007.parquet"));
	assert_true(is_there("empty")); /* it was not we who emptied it */
	assert_false(is_there("a/c"));
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_BYTES), 1);
	assert_int_equal(retain.files, 0);
	done();
}

/* Files that a process holds, and files of manifests that are still there. */
static void what_is_not_done(void **state)
{
	const struct file_retain_conf conf = { .max_bytes = 1 };
	char held[300];
	char kept[300];
	char now[300];
	int fd;

	(void)state;
	fresh(&conf);
	(void)snprintf(held, sizeof(held), "%s", named("a/", 500, 1, ".parquet"));
	(void)snprintf(kept, sizeof(kept), "%s", named("a/", 400, 2, ".parquet"));
	(void)snprintf(now, sizeof(now), "%s", named("b/", 300, 3, ".parquet"));
	make(held, 100);
	make(kept, 100);
	make(now, 100);
	make(named("a/", 200, 4, ".parquet"), 100);
	fd = openat(d.fd, held, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	rotate.kept_count = 1;
	assert_int_equal(file_manifest_add_file(&rotate.kept[0].manifest, "x", kept, 1, 1, 0), ERR_OK);
	rotate.stage = ROTATE_DIRS;
	assert_int_equal(file_manifest_add_file(&rotate.now.manifest, "x", now, 1, 1, 0), ERR_OK);
	settle();
	assert_true(is_there(held) && is_there(kept) && is_there(now));
	assert_false(is_there(named("a/", 200, 4, ".parquet")));
	assert_int_equal(retain.files, 3);
	/* Let go, they go: by a later walk. */
	(void)close(fd);
	rotate.kept_count = 0;
	rotate.stage = ROTATE_NONE;
	file_manifest_fini(&rotate.kept[0].manifest);
	file_manifest_fini(&rotate.now.manifest);
	assert_true(retain.walk_ms > 0);
	retain.walk_ms = 0;
	settle();
	assert_false(is_there("a") || is_there("b"));
	assert_int_equal(retain.files, 0);
	done();
}

/* More than are known at a time; each poll does little, and files come meanwhile. */
static void many_files(void **state)
{
	const struct file_retain_conf conf = { .max_bytes = 1000 };
	unsigned count = 2 * RETAIN_OLDEST + 500;
	unsigned polls = 0;
	unsigned added = 0;

	(void)state;
	fresh(&conf);
	for (unsigned i = 0; i < count; i++) {
		char below[32];

		(void)snprintf(below, sizeof(below), "t/h=%u/", i % 50);
		make(named(below, 100 + count - i, i, ".parquet"), 10);
	}
	while (retain.files != 100 || retain.is_walking || !retain.is_known) {
		uint64_t removed = stat_get(env.stat, SINK_STAT_RETENTION_BYTES);

		tend(1);
		assert_true(stat_get(env.stat, SINK_STAT_RETENTION_BYTES) - removed <= 64);
		if (polls % 10 == 0 && added < 50) {
			make(named("new/", 0, added, ".parquet"), 10);
			file_retain_added(&retain, named("new/", 0, added, ".parquet"), 10);
			added++;
		}
		if (++polls > POLLS)
			fail_msg("%llu files", (unsigned long long)retain.files);
	}
	assert_true(added > 10);
	settle();
	assert_int_equal(retain.octets, 1000);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_BYTES), count + added - 100);
	/* What is left is what it knows. */
	retain.stale_ms = 0;
	settle();
	assert_int_equal(retain.files, 100);
	assert_int_equal(retain.octets, 1000);
	assert_true(is_there("new"));
	done();
}

/* Somebody else removes files, or the whole directory is another one. */
static void others_remove_too(void **state)
{
	const struct file_retain_conf conf = { .max_bytes = 2500 };
	char before[64];

	(void)state;
	fresh(&conf);
	make(named("a/", 50, 1, ".parquet"), 1000);
	make(named("a/", 40, 2, ".parquet"), 1000);
	settle();
	assert_int_equal(retain.octets, 2000);
	assert_int_equal(unlinkat(d.fd, named("a/", 50, 1, ".parquet"), 0), 0);
	make(named("a/", 0, 3, ".parquet"), 1000);
	file_retain_added(&retain, named("a/", 0, 3, ".parquet"), 1000);
	settle();
	assert_int_equal(retain.octets, 2000);
	assert_int_equal(stat_get(env.stat, SINK_STAT_RETENTION_BYTES), 0);
	assert_true(is_there(named("a/", 40, 2, ".parquet")));
	memcpy(before, root, sizeof(root));
	(void)snprintf(root, sizeof(root), "%s/other", dir);
	file_dir_close(&d);
	assert_int_equal(file_dir_open(&d, root), ERR_OK);
	make(named("", 10, 1, ".avro"), 7);
	settle();
	assert_int_equal(retain.octets, 7);
	done();
}

static void off(void **state)
{
	const struct file_retain_conf conf = { 0 };

	(void)state;
	fresh(&conf);
	make(named("a/", 1000000, 1, ".parquet"), 1000);
	tend(5);
	file_retain_added(&retain, named("a/", 1000000, 1, ".parquet"), 1000);
	assert_false(retain.is_walking || retain.is_known);
	assert_true(is_there(named("a/", 1000000, 1, ".parquet")));
	done();
}

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	base_time = time(NULL);
	if (access("/dev/shm", W_OK) != 0)
		(void)snprintf(dir, sizeof(dir), "/tmp/test_retain_XXXXXX");
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
		cmocka_unit_test(oldest_first_by_octets),
		cmocka_unit_test(too_old),
		cmocka_unit_test(too_little_free),
		cmocka_unit_test(what_is_not_ours),
		cmocka_unit_test(what_is_not_done),
		cmocka_unit_test(many_files),
		cmocka_unit_test(others_remove_too),
		cmocka_unit_test(off),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
