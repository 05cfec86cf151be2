/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a journal gives back what was put into it, of each id the last; of one that is cut or changed only batches before the
 * break; and whatever call of the disk fails, the file is what it was before or after the batch, and one written anew is complete.
 * Method: a journal of three batches is read with each octet cut and each bit changed.  A table of calls is run with the
 * system's functions of which the n-th fails, for each n.
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
#include <unistd.h>

#include <cmocka.h>

#include "base/must.h"
#include "base/wr.h"
#include "daemon/journal.h"

#define HEAD "sluice test "
#define FILE_MAX 1024
#define ID_BYTES 1
#define TEXT_MAX 64

static const struct journal_name name = { "test", "test.tmp", "test.bad", HEAD };

struct rig {
	char dir[32];
	int dir_fd;
	struct log_io io;
	int calls_left; /* until one fails; negative: none does */
};

static bool fails(void *ctx)
{
	struct rig *r = ctx;

	if (r->calls_left < 0 || r->calls_left-- > 0)
		return false;
	errno = EIO;
	return true;
}

static int open_or_fail(void *ctx, int dir_fd, const char *file, int flags, mode_t mode)
{
	return fails(ctx) ? -1 : log_io_system.open(NULL, dir_fd, file, flags, mode);
}

/* Half of it is there. */
static ssize_t writev_or_fail(void *ctx, int fd, const struct iovec *parts, int count, off_t at)
{
	struct iovec half = { parts[0].iov_base, parts[0].iov_len / 2 };

	if (!fails(ctx))
		return log_io_system.writev(NULL, fd, parts, count, at);
	(void)log_io_system.writev(NULL, fd, &half, 1, at);
	errno = ENOSPC;
	return -1;
}

static int sync_or_fail(void *ctx, int fd)
{
	return fails(ctx) ? -1 : log_io_system.sync(NULL, fd);
}

static int sync_dir_or_fail(void *ctx, int fd)
{
	return fails(ctx) ? -1 : log_io_system.sync_dir(NULL, fd);
}

static int rename_or_fail(void *ctx, int dir_fd, const char *from, const char *to)
{
	return fails(ctx) ? -1 : log_io_system.rename(NULL, dir_fd, from, to);
}

static int remove_or_fail(void *ctx, int dir_fd, const char *file)
{
	return fails(ctx) ? -1 : log_io_system.remove(NULL, dir_fd, file);
}

static void open_rig(struct rig *r)
{
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/sluice-journal-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->dir_fd = open(r->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_true(r->dir_fd >= 0);
	r->calls_left = -1;
	r->io = log_io_system;
	r->io.ctx = r;
	r->io.open = open_or_fail;
	r->io.writev = writev_or_fail;
	r->io.sync = sync_or_fail;
	r->io.sync_dir = sync_dir_or_fail;
	r->io.rename = rename_or_fail;
	r->io.remove = remove_or_fail;
}

static void close_rig(struct rig *r)
{
	static const char *const files[] = { "test", "test.tmp", "test.bad" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlinkat(r->dir_fd, files[i], 0);
	(void)close(r->dir_fd);
	assert_int_equal(rmdir(r->dir), 0);
}

/* "a1 b2 a-": entries of an octet of id and one of value; "-": taken back. */
static size_t entries_of(const char *text, uint8_t *out)
{
	struct wr w = wr_of(out, FILE_MAX);

	for (; *text != '\0'; text += text[2] == ' ' ? 3 : 2) {
		wr_u32(&w, text[1] == '-' ? 1 : 2);
		wr_u8(&w, (uint8_t)text[0]);
		if (text[1] != '-')
			wr_u8(&w, (uint8_t)text[1]);
	}
	assert_false(w.is_full);
	return wr_used(&w);
}

static enum err put(struct journal *j, const char *text, bool begins, bool ends)
{
	uint8_t octets[FILE_MAX];
	struct journal_batch b = { octets, entries_of(text, octets), begins, ends };

	return journal_put(j, &b);
}

static void tell(void *ctx, struct rd entry)
{
	char *text = ctx;
	size_t used = strlen(text);

	must(rd_left(&entry) == 2);
	(void)snprintf(text + used, TEXT_MAX - used, "%s%c%c", used == 0 ? "" : " ", entry.at[0],
		       entry.at[1]);
}

static const char *told(const struct journal_found *f, char text[TEXT_MAX])
{
	size_t broken;

	text[0] = '\0';
	assert_int_equal(journal_last(f, ID_BYTES, tell, text, &broken), ERR_OK);
	assert_int_equal(broken, 0);
	return text;
}

/* What the next life reads of the file. */
static const char *load(struct rig *r, struct journal_found *f, char text[TEXT_MAX])
{
	struct why why = { "" };
	struct journal j;

	memset(f, 0, sizeof(*f));
	journal_init(&j, &name, &log_io_system, r->dir_fd, 0);
	assert_int_equal(journal_load(&j, f, &why), ERR_OK);
	(void)told(f, text);
	free(f->octets);
	return text;
}

static void test_last(void **state)
{
	static const struct {
		const char *batches[3];
		const char *last;
	} cases[] = {
		{ { "a1 b2 c3", NULL }, "a1 b2 c3" },
		{ { "a1 b2", "a3", NULL }, "b2 a3" },
		{ { "a1 b2", "a-", "c3" }, "b2 c3" },
		{ { "a1 a-", "a2", NULL }, "a2" },
		{ { "a-", NULL }, "" },
	};
	struct journal_found f;
	char text[TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct journal j;
		struct rig r;

		open_rig(&r);
		journal_init(&j, &name, &r.io, r.dir_fd, 77);
		for (size_t b = 0; b < 3 && cases[i].batches[b] != NULL; b++)
			assert_int_equal(put(&j, cases[i].batches[b], b == 0, b == 0), ERR_OK);
		assert_string_equal(load(&r, &f, text), cases[i].last);
		assert_true(f.is_there && !f.is_broken && f.epoch == 77);
		/* All of it may go, and nothing of it counts then. */
		assert_int_equal(put(&j, "", true, true), ERR_OK);
		assert_false(journal_has_file(&j));
		assert_string_equal(load(&r, &f, text), "");
		assert_false(f.is_there);
		journal_fini(&j);
		close_rig(&r);
	}
}

/* Where batches of the file end, and what is told up to there. */
static const struct {
	size_t end;
	const char *last;
} parts[] = { { 14 + 12, "" }, { 14 + 12 + 8 + 12, "a1 b2" }, { 14 + 12 + 20 + 8 + 6, "b2 a3" },
	      { 14 + 12 + 20 + 14 + 8 + 6, "b2 a3 c4" } };
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static const char *last_before(size_t at)
{
	const char *last = "";

	for (size_t i = 0; i < PARTS; i++) {
		if (parts[i].end <= at)
			last = parts[i].last;
	}
	return last;
}

static bool is_end(size_t at)
{
	for (size_t i = 1; i < PARTS; i++) {
		if (parts[i].end == at)
			return true;
	}
	return false;
}

static void check_octets(const uint8_t *octets, size_t bytes, const char *last, bool is_broken)
{
	uint8_t *copy = malloc(bytes + 1);
	struct journal_found f = { 0 };
	char text[TEXT_MAX];

	assert_non_null(copy);
	memcpy(copy, octets, bytes);
	journal_decode(HEAD, copy, bytes, &f);
	assert_string_equal(told(&f, text), last);
	assert_int_equal(f.is_broken, is_broken);
	free(copy);
}

static void test_damaged(void **state)
{
	uint8_t octets[FILE_MAX];
	struct journal j;
	struct rig r;
	ssize_t bytes;
	int fd;

	(void)state;
	open_rig(&r);
	journal_init(&j, &name, &r.io, r.dir_fd, 77);
	assert_int_equal(put(&j, "a1 b2", true, true), ERR_OK);
	assert_int_equal(put(&j, "a3", false, false), ERR_OK);
	assert_int_equal(put(&j, "c4", false, false), ERR_OK);
	fd = openat(r.dir_fd, "test", O_RDONLY | O_CLOEXEC);
	bytes = read(fd, octets, sizeof(octets));
	(void)close(fd);
	assert_int_equal(bytes, parts[PARTS - 1].end);
	for (size_t at = 0; at < (size_t)bytes; at++) {
		check_octets(octets, at, last_before(at), !is_end(at));
		for (int bit = 0; bit < 8; bit++) {
			octets[at] ^= (uint8_t)(1 << bit);
			check_octets(octets, (size_t)bytes, last_before(at), true);
			octets[at] ^= (uint8_t)(1 << bit);
		}
	}
	check_octets(octets, (size_t)bytes, "b2 a3 c4", false);
	journal_fini(&j);
	close_rig(&r);
}

/* What is put, in this order, and what the file may say when the batch failed: as before, or as after. */
static const struct {
	const char *text;
	bool begins;
	bool ends;
	const char *after;
} calls[] = {
	{ "a1 b2", true, true, "a1 b2" },   { "a3", false, false, "b2 a3" },
	{ "d5", true, false, "b2 a3" },	    { "e6", false, true, "d5 e6" },
	{ "d-", false, false, "e6" },	    { "", true, true, "" },
	{ "f7", true, true, "f7" },
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* The batch that failed, or CALLS. */
static size_t run_calls(struct journal *j, struct rig *r, int failing)
{
	r->calls_left = failing;
	for (size_t i = 0; i < CALLS; i++) {
		if (put(j, calls[i].text, calls[i].begins, calls[i].ends) != ERR_OK)
			return i;
	}
	return CALLS;
}

static void test_failing(void **state)
{
	struct journal_found f;
	char text[TEXT_MAX];
	size_t failed = 0;

	(void)state;
	for (int failing = 0; failed < CALLS; failing++) {
		struct journal j;
		struct rig r;

		assert_true(failing < 100);
		open_rig(&r);
		journal_init(&j, &name, &r.io, r.dir_fd, 77);
		failed = run_calls(&j, &r, failing);
		r.calls_left = -1;
		(void)load(&r, &f, text);
		if (failed < CALLS && strcmp(text, calls[failed].after) != 0)
			assert_string_equal(text, failed == 0 ? "" : calls[failed - 1].after);
		/* It goes on as a file that is written anew. */
		assert_int_equal(put(&j, "x1", true, true), ERR_OK);
		assert_int_equal(put(&j, "y2", false, false), ERR_OK);
		assert_string_equal(load(&r, &f, text), "x1 y2");
		assert_false(f.is_broken);
		journal_fini(&j);
		close_rig(&r);
	}
}

static void test_waste(void **state)
{
	static uint8_t octets[1 << 20];
	struct journal_batch b = { octets, sizeof(octets), true, true };
	struct journal j;
	struct rig r;
	int count = 0;

	(void)state;
	open_rig(&r);
	journal_init(&j, &name, &r.io, r.dir_fd, 77);
	assert_int_equal(journal_put(&j, &b), ERR_OK);
	b.begins = false;
	b.ends = false;
	for (; !journal_is_wasteful(&j); count++) {
		assert_true(count < 20);
		assert_int_equal(journal_put(&j, &b), ERR_OK);
	}
	assert_in_range(count, 9, 10); /* twice what it was, and 8 MiB */
	journal_fini(&j);
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_failing),
		cmocka_unit_test(test_waste),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
