/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/htab.h"
#include "base/wr.h"
#include "collector/keep.h"

#define LINE_BYTES_MAX 64
#define HEAD_REST_BYTES 12u /* epoch and CRC */
#define BATCH_HEAD_BYTES 8u
#define FILE_BYTES_MAX (4ll << 30)
/* Below that a file is not worth writing anew. */
#define WASTE_BYTES (8u << 20)

static const struct journal_file no_file = { .fd = -1 };

void journal_init(struct journal *j, const struct journal_name *name, const struct log_io *io,
		  int dir_fd, uint64_t epoch)
{
	*j = (struct journal){ .name = name,
			       .io = io,
			       .dir_fd = dir_fd,
			       .epoch = epoch,
			       .now = no_file,
			       .next = no_file };
}

static void close_file(const struct journal *j, struct journal_file *f)
{
	if (f->fd >= 0)
		(void)j->io->close(j->io->ctx, f->fd);
	*f = no_file;
}

void journal_fini(struct journal *j)
{
	if (j->io == NULL)
		return;
	close_file(j, &j->now);
	close_file(j, &j->next);
}

/* ---- reading ---- */

/* Octets of the first line with its end, and the version in it; 0 when it is no such line. */
static size_t read_line(const char *head, const uint8_t *octets, size_t bytes,
			unsigned long *version)
{
	size_t start = strlen(head);
	char digits[LINE_BYTES_MAX] = "";
	char *stop;

	if (bytes <= start || memcmp(octets, head, start) != 0)
		return 0;
	for (size_t i = 0; i < 10 && start + i < bytes; i++)
		digits[i] = (char)octets[start + i];
	if (digits[0] < '0' || digits[0] > '9')
		return 0;
	*version = strtoul(digits, &stop, 10);
	return *stop == '\n' ? start + (size_t)(stop - digits) + 1 : 0;
}

static uint32_t batch_crc(uint32_t before, uint32_t bytes, const uint8_t *octets)
{
	uint8_t length[4];
	struct wr w = wr_of(length, sizeof(length));

	wr_u32(&w, bytes);
	return crc32c(crc32c(before, length, sizeof(length)), octets, bytes);
}

void journal_decode(const char *head, uint8_t *octets, size_t bytes, struct journal_found *out)
{
	size_t line = octets == NULL ? 0 : read_line(head, octets, bytes, &out->version);
	uint8_t *to = octets;
	uint32_t crc;
	struct rd r;

	out->is_broken = true;
	if (line == 0 || out->version != JOURNAL_VERSION || bytes - line < HEAD_REST_BYTES)
		return;
	r = rd_of(octets + line, bytes - line);
	out->epoch = rd_u64(&r);
	crc = crc32c(0, octets, line + sizeof(uint64_t));
	if (rd_u32(&r) != crc)
		return;
	while (rd_left(&r) >= BATCH_HEAD_BYTES) {
		uint32_t some = rd_u32(&r);
		uint32_t said = rd_u32(&r);
		const uint8_t *body = rd_take(&r, some);

		if (body == NULL || batch_crc(crc, some, body) != said)
			break;
		crc = said;
		memmove(to, body, some);
		to += some;
		out->is_broken = rd_left(&r) > 0;
	}
	out->entries = rd_of(octets, (size_t)(to - octets));
}

static enum err read_all(const struct journal *j, int fd, size_t bytes, struct journal_found *out,
			 struct why *why)
{
	ssize_t n;

	out->octets = malloc(bytes + 1);
	if (out->octets == NULL)
		return why_set(why, ERR_NOMEM, "no memory for %s", j->name->file);
	n = pread(fd, out->octets, bytes, 0);
	if (n < 0)
		return why_errno(why, ERR_IO, j->name->file);
	journal_decode(j->name->head, out->octets, (size_t)n, out);
	return ERR_OK;
}

enum err journal_load(const struct journal *j, struct journal_found *out, struct why *why)
{
	int fd = openat(j->dir_fd, j->name->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	enum err e = ERR_OK;

	if (fd < 0 && errno == ENOENT)
		return ERR_OK;
	if (fd < 0 && errno != ELOOP)
		return why_errno(why, ERR_IO, j->name->file);
	out->is_there = true;
	out->is_broken = true;
	if (fd < 0)
		return ERR_OK;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_BYTES_MAX)
		e = read_all(j, fd, (size_t)st.st_size, out, why);
	(void)close(fd);
	return e;
}

enum err journal_set_aside(const struct journal *j)
{
	if (j->io->rename(j->io->ctx, j->dir_fd, j->name->file, j->name->bad) != 0)
		return ERR_IO;
	return j->io->sync_dir(j->io->ctx, j->dir_fd) == 0 ? ERR_OK : ERR_IO;
}

/* The last entry of each id: htab id -> where it begins. */
static enum err find_last(struct rd entries, size_t id_bytes, struct htab *last, size_t *broken)
{
	struct rd entry;

	while (rd_left(&entries) > 0) {
		if (!keep_next(&entries, &entry)) {
			++*broken;
			break;
		}
		if (rd_left(&entry) < id_bytes) {
			++*broken;
			continue;
		}
		TRY(htab_put(last, entry.at, (void *)entry.at));
	}
	return ERR_OK;
}

enum err journal_last(const struct journal_found *f, size_t id_bytes, journal_entry_fn *fn,
		      void *ctx, size_t *broken)
{
	struct rd entries = f->entries;
	struct htab *last;
	struct rd entry;
	enum err e;

	*broken = 0;
	TRY(htab_new(id_bytes, &last));
	e = find_last(entries, id_bytes, last, broken);
	while (e == ERR_OK && rd_left(&entries) > 0 && keep_next(&entries, &entry)) {
		if (rd_left(&entry) > id_bytes && htab_find(last, entry.at) == entry.at)
			fn(ctx, entry);
	}
	htab_free(last);
	return e;
}

/* ---- writing ---- */

static enum err begin(struct journal *j)
{
	char line[LINE_BYTES_MAX];
	uint8_t rest[HEAD_REST_BYTES];
	size_t bytes =
		(size_t)snprintf(line, sizeof(line), "%s%d\n", j->name->head, JOURNAL_VERSION);
	struct wr w = wr_of(rest, sizeof(rest));
	struct iovec parts[] = { { line, bytes }, { rest, sizeof(rest) } };

	close_file(j, &j->next);
	j->next.fd = j->io->open(j->io->ctx, j->dir_fd, j->name->tmp,
				 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (j->next.fd < 0)
		return ERR_IO;
	wr_u64(&w, j->epoch);
	j->next.crc = crc32c(crc32c(0, line, bytes), rest, wr_used(&w));
	wr_u32(&w, j->next.crc);
	j->next.bytes = bytes + sizeof(rest);
	return log_io_write(j->io, j->next.fd, parts, 2, 0);
}

static enum err put(struct journal *j, struct journal_file *f, const struct journal_batch *b)
{
	uint32_t crc = batch_crc(f->crc, (uint32_t)b->bytes, b->octets);
	uint8_t head[BATCH_HEAD_BYTES];
	struct wr w = wr_of(head, sizeof(head));
	struct iovec parts[] = { { head, sizeof(head) }, { (void *)b->octets, b->bytes } };

	wr_u32(&w, (uint32_t)b->bytes);
	wr_u32(&w, crc);
	TRY(log_io_write(j->io, f->fd, parts, 2, f->bytes));
	f->crc = crc;
	f->bytes += sizeof(head) + b->bytes;
	f->has_entries = true;
	return ERR_OK;
}

enum err journal_remove(struct journal *j)
{
	int rc = j->io->remove(j->io->ctx, j->dir_fd, j->name->file);

	close_file(j, &j->now);
	close_file(j, &j->next);
	if (rc != 0 && errno != ENOENT)
		return ERR_IO;
	return j->io->sync_dir(j->io->ctx, j->dir_fd) == 0 ? ERR_OK : ERR_IO;
}

static enum err replace(struct journal *j)
{
	const struct log_io *io = j->io;

	if (io->sync(io->ctx, j->next.fd) != 0)
		return ERR_IO;
	if (!j->next.has_entries) {
		(void)io->remove(io->ctx, j->dir_fd, j->name->tmp);
		return journal_remove(j);
	}
	if (io->rename(io->ctx, j->dir_fd, j->name->tmp, j->name->file) != 0)
		return ERR_IO;
	close_file(j, &j->now);
	j->now = j->next;
	j->next = no_file;
	j->whole_bytes = j->now.bytes;
	return io->sync_dir(io->ctx, j->dir_fd) == 0 ? ERR_OK : ERR_IO;
}

static enum err put_batch(struct journal *j, const struct journal_batch *b)
{
	struct journal_file *f;

	if (b->begins)
		TRY(begin(j));
	f = j->next.fd >= 0 ? &j->next : &j->now;
	if (f->fd < 0) {
		errno = EBADF;
		return ERR_IO;
	}
	if (b->bytes > 0)
		TRY(put(j, f, b));
	if (b->ends)
		return replace(j);
	return j->io->sync(j->io->ctx, f->fd) == 0 ? ERR_OK : ERR_IO;
}

enum err journal_put(struct journal *j, const struct journal_batch *b)
{
	enum err e = put_batch(j, b);
	int why = errno;

	if (e != ERR_OK)
		close_file(j, &j->next);
	errno = why;
	return e;
}

bool journal_has_file(const struct journal *j)
{
	return j->now.fd >= 0;
}

bool journal_is_wasteful(const struct journal *j)
{
	return j->now.bytes > 2 * j->whole_bytes + WASTE_BYTES;
}
