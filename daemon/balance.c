/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/balance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/must.h"
#include "base/stat_text.h"

#define VERSION 1
#define HEAD "sluice counters "
#define FILE_NAME "counters"
#define TMP_NAME "counters.tmp"
#define USED_NAME "counters.used"
#define BAD_NAME "counters.bad"
#define RUNNING_NAME "running"
#define FILE_BYTES_MAX (64u << 10)
#define CRC_FORMAT "crc32c %08" PRIx32 "\n"
#define CRC_LINE_BYTES 16u
#define VERSION_DIGITS_MAX 9

enum part { TABLE_SINCE, TABLE_COLLECTOR, TABLE_PIPE, TABLE_COUNT };

static const struct stat_desc since_descs[] = {
	{ "balance_since_ms", "", "milliseconds", "When the counters were 0, since 1970, UTC." },
};

/* What the file holds. */
struct saved {
	uint64_t since_ms;
	struct balance_sums sums;
};

static void fill_tables(struct saved *saved, struct stat_table tables[TABLE_COUNT])
{
	tables[TABLE_SINCE] = (struct stat_table){ since_descs, &saved->since_ms, 1 };
	tables[TABLE_COLLECTOR] = (struct stat_table){ collector_stat_descs, saved->sums.collector,
						       COLLECTOR_STAT_COUNT };
	tables[TABLE_PIPE] =
		(struct stat_table){ pipeline_stat_descs, saved->sums.pipe, PIPE_STAT_COUNT };
}

void balance_init(struct balance *b, int64_t now_ms)
{
	memset(b, 0, sizeof(*b));
	b->since_ms = now_ms;
	b->dir_fd = -1;
}

/* The whole file, closed by a NUL; *bytes is -1 when there is none. */
static enum err read_file(struct balance *b, char *out, ssize_t *bytes, struct why *why)
{
	int fd = openat(b->dir_fd, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t used = 0;
	ssize_t n = 1;
	struct stat st;

	*bytes = -1;
	if (fd < 0 && errno == ENOENT)
		return ERR_OK;
	if (fd < 0 && errno != ELOOP)
		return why_errno(why, ERR_IO, FILE_NAME);
	*bytes = 0;
	out[0] = '\0';
	if (fd < 0)
		return ERR_OK;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		n = 0;
	while (n > 0 && used < FILE_BYTES_MAX) {
		n = read(fd, out + used, FILE_BYTES_MAX - used);
		used += n > 0 ? (size_t)n : 0;
	}
	(void)close(fd);
	out[used] = '\0';
	*bytes = (ssize_t)used;
	return ERR_OK;
}

/* The number behind HEAD, and where its line ends; 0 when it is no such line. */
static unsigned long read_version(const char *text, const char **end)
{
	const char *digits = text + strlen(HEAD);
	unsigned long version;
	char *stop;

	if (strncmp(text, HEAD, strlen(HEAD)) != 0 || digits[0] < '0' || digits[0] > '9')
		return 0;
	version = strtoul(digits, &stop, 10);
	if (*stop != '\n' || stop - digits > VERSION_DIGITS_MAX)
		return 0;
	*end = stop + 1;
	return version;
}

/* What stands between the version and the CRC. */
static enum err read_body(struct balance *b, const char *text, size_t bytes, const char *body,
			  struct why *why)
{
	struct stat_table tables[TABLE_COUNT];
	char crc[CRC_LINE_BYTES + 1];
	struct saved saved;
	const char *end;

	if (bytes < (size_t)(body - text) + CRC_LINE_BYTES)
		return why_set(why, ERR_FORMAT, "it is cut");
	end = text + bytes - CRC_LINE_BYTES;
	(void)snprintf(crc, sizeof(crc), CRC_FORMAT, crc32c(0, text, (size_t)(end - text)));
	if (memcmp(crc, end, CRC_LINE_BYTES) != 0)
		return why_set(why, ERR_FORMAT, "it is cut or changed: its CRC is another");
	fill_tables(&saved, tables);
	TRY(stat_text_read(body, (size_t)(end - body), tables, TABLE_COUNT, &b->rows, why));
	if (saved.since_ms == 0)
		return why_set(why, ERR_FORMAT, "it does not say since when it counts");
	b->since_ms = (int64_t)saved.since_ms;
	b->opening = saved.sums;
	return ERR_OK;
}

static enum err read_balance(struct balance *b, const char *state, struct why *why)
{
	char *text = calloc(1, FILE_BYTES_MAX + 1);
	unsigned long version;
	const char *body = text;
	ssize_t bytes;
	enum err e;

	if (text == NULL)
		return why_set(why, ERR_NOMEM, "no memory for %s", FILE_NAME);
	e = read_file(b, text, &bytes, why);
	if (e != ERR_OK || bytes < 0)
		goto fail;
	version = read_version(text, &body);
	if (version > VERSION) {
		e = why_set(why, ERR_CONF,
			    "%s/%s: has version %lu, of a newer sluiced; this one knows version "
			    "%d: go on with the newer one, or move the file away",
			    state, FILE_NAME, version, VERSION);
		goto fail;
	}
	b->found = BALANCE_BROKEN;
	if (version == 0)
		(void)why_set(&b->broken, ERR_FORMAT, "it does not begin with its version");
	else if (read_body(b, text, (size_t)bytes, body, &b->broken) == ERR_OK)
		b->found = BALANCE_WHOLE;
fail:
	free(text);
	return e;
}

enum err balance_load(struct balance *b, const char *state, const struct log_io *io,
		      struct why *why)
{
	struct stat st;

	b->io = io;
	b->dir_fd = open(state, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (b->dir_fd < 0)
		return why_errno(why, ERR_IO, state);
	TRY(read_balance(b, state, why));
	b->is_previous_unclean =
		b->found == BALANCE_BROKEN ||
		(b->found == BALANCE_NONE && fstatat(b->dir_fd, RUNNING_NAME, &st, 0) == 0);
	return ERR_OK;
}

static enum err move(struct balance *b, const char *from, const char *to, struct why *why)
{
	if (b->io->rename(b->io->ctx, b->dir_fd, from, to) == 0)
		return ERR_OK;
	return why_errno(why, ERR_IO, from);
}

static enum err create(struct balance *b, const char *name, int *fd, struct why *why)
{
	*fd = b->io->open(b->io->ctx, b->dir_fd, name,
			  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	return *fd >= 0 ? ERR_OK : why_errno(why, ERR_IO, name);
}

static enum err sync_names(struct balance *b, struct why *why)
{
	if (b->io->sync_dir(b->io->ctx, b->dir_fd) == 0)
		return ERR_OK;
	return why_errno(why, ERR_IO, "the folder of state");
}

enum err balance_begin(struct balance *b, struct why *why)
{
	int fd;

	if (b->found == BALANCE_BROKEN) {
		TRY(move(b, FILE_NAME, BAD_NAME, why));
		log_warn("balance.set_aside file=%s why=\"%s\"", BAD_NAME, b->broken.text);
	} else if (b->is_previous_unclean) {
		log_warn("balance.previous_unclean why=\"the life before this one did not end "
			 "cleanly: the ledger begins anew\"");
	}
	TRY(create(b, RUNNING_NAME, &fd, why));
	(void)b->io->close(b->io->ctx, fd);
	if (b->found == BALANCE_WHOLE)
		TRY(move(b, FILE_NAME, USED_NAME, why));
	TRY(sync_names(b, why));
	b->is_begun = true;
	if (b->found == BALANCE_WHOLE)
		log_info("balance.carried rows=%zu unknown=%zu", b->rows.taken, b->rows.unknown);
	return ERR_OK;
}

static enum err write_all(struct balance *b, int fd, const uint8_t *octets, size_t bytes,
			  struct why *why)
{
	size_t used = 0;

	while (used < bytes) {
		struct iovec part = { (void *)(octets + used), bytes - used };
		ssize_t n = b->io->writev(b->io->ctx, fd, &part, 1, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENOSPC;
		if (n <= 0)
			return why_errno(why, ERR_IO, TMP_NAME);
		used += (size_t)n;
	}
	return b->io->sync(b->io->ctx, fd) == 0 ? ERR_OK : why_errno(why, ERR_IO, TMP_NAME);
}

static enum err replace_file(struct balance *b, const uint8_t *octets, size_t bytes,
			     struct why *why)
{
	int fd;
	enum err e;

	TRY(create(b, TMP_NAME, &fd, why));
	e = write_all(b, fd, octets, bytes, why);
	if (b->io->close(b->io->ctx, fd) != 0 && e == ERR_OK)
		e = why_errno(why, ERR_IO, TMP_NAME);
	if (e == ERR_OK)
		e = move(b, TMP_NAME, FILE_NAME, why);
	if (e != ERR_OK) {
		(void)b->io->remove(b->io->ctx, b->dir_fd, TMP_NAME);
		return e;
	}
	return sync_names(b, why);
}

enum err balance_save(struct balance *b, const struct balance_sums *sums, struct why *why)
{
	uint8_t octets[(COLLECTOR_STAT_COUNT + PIPE_STAT_COUNT + 4) * STAT_TEXT_LINE_MAX];
	struct stat_table tables[TABLE_COUNT];
	struct saved saved = { (uint64_t)b->since_ms, *sums };
	struct wr w = wr_of(octets, sizeof(octets));
	char line[sizeof(HEAD) + VERSION_DIGITS_MAX + 1];
	char crc[CRC_LINE_BYTES + 1];

	if (!b->is_begun)
		return ERR_OK;
	(void)snprintf(line, sizeof(line), HEAD "%d\n", VERSION);
	wr_bytes(&w, line, strlen(line));
	fill_tables(&saved, tables);
	for (size_t i = 0; i < TABLE_COUNT; i++)
		stat_text_write(&tables[i], &w);
	(void)snprintf(crc, sizeof(crc), CRC_FORMAT, crc32c(0, octets, wr_used(&w)));
	wr_bytes(&w, crc, CRC_LINE_BYTES);
	must(!w.is_full);
	TRY(replace_file(b, octets, wr_used(&w), why));
	/* From here on the file speaks for this life, whatever becomes of the mark. */
	b->is_begun = false;
	(void)b->io->remove(b->io->ctx, b->dir_fd, RUNNING_NAME);
	(void)b->io->sync_dir(b->io->ctx, b->dir_fd);
	return ERR_OK;
}

void balance_fini(struct balance *b)
{
	if (b->dir_fd >= 0)
		(void)close(b->dir_fd);
	b->dir_fd = -1;
}

void balance_json(const struct balance *b, struct json *out)
{
	char since[CLOCK_TEXT_BYTES];

	clock_text(b->since_ms, since);
	json_str(out, "since", since);
	json_bool(out, "previous_unclean", b->is_previous_unclean);
}
