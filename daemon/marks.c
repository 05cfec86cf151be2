/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/marks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/keep.h"
#include "collector/udp.h"

#define MAGIC_BYTES 8
#define NAME_BYTES 96
#define WORDS (KEEP_MARKS / 64)

/* With the version. */
static const uint8_t magic[MAGIC_BYTES] = { 'S', 'l', 'u', 'i', 'c', 'e', 'H', '1' };

struct page {
	uint8_t magic[MAGIC_BYTES];
	uint64_t epoch;
	uint32_t worker_count;
	uint32_t rest;
	uint64_t words[];
};

struct marks {
	struct page *page;
	size_t bytes;
	char name[NAME_BYTES];
};

static size_t bytes_of(unsigned worker_count)
{
	return sizeof(struct page) + (size_t)worker_count * WORDS * sizeof(uint64_t);
}

static bool is_ours(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_uid == geteuid();
}

static bool read_words(int fd, off_t size, struct marks_left *out)
{
	struct page head;
	size_t bytes;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.magic, magic, MAGIC_BYTES) != 0 || head.worker_count == 0 ||
	    head.worker_count > UDP_WORKERS_MAX || (size_t)size != bytes_of(head.worker_count))
		return false;
	bytes = (size_t)head.worker_count * WORDS * sizeof(uint64_t);
	out->words = malloc(bytes);
	if (out->words == NULL || pread(fd, out->words, bytes, sizeof(head)) != (ssize_t)bytes)
		return false;
	out->epoch = head.epoch;
	out->worker_count = head.worker_count;
	return true;
}

void marks_left(const char *name, struct marks_left *out)
{
	int fd = shm_open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return;
	if (!is_ours(fd, &st) || !read_words(fd, st.st_size, out))
		marks_left_fini(out);
	(void)close(fd);
}

void marks_left_fini(struct marks_left *left)
{
	free(left->words);
	*left = (struct marks_left){ 0 };
}

bool marks_left_waits(const struct marks_left *left, unsigned worker, uint64_t number)
{
	if (left->words == NULL || worker >= left->worker_count)
		return true;
	return keep_is_marked(left->words + (size_t)worker * WORDS, number);
}

enum err marks_open(const char *name, uint64_t epoch, unsigned worker_count, const uint64_t *words,
		    struct marks **out)
{
	size_t bytes = bytes_of(worker_count);
	struct marks *m = calloc(1, sizeof(*m));
	void *at = MAP_FAILED;
	struct stat st;
	int fd;

	if (m == NULL)
		return ERR_NOMEM;
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	fd = shm_open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* All of it there, so that touching it never fails. */
	if (fd >= 0 && is_ours(fd, &st) && ftruncate(fd, (off_t)bytes) == 0 &&
	    posix_fallocate(fd, 0, (off_t)bytes) == 0)
		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	if (at == MAP_FAILED) {
		free(m);
		return ERR_IO;
	}
	m->page = at;
	m->bytes = bytes;
	/* Half of it would be another life's: those have another epoch, and hold for nothing. */
	memset(m->page, 0, sizeof(*m->page));
	memcpy(m->page->words, words, bytes - sizeof(*m->page));
	m->page->worker_count = worker_count;
	m->page->epoch = epoch;
	memcpy(m->page->magic, magic, MAGIC_BYTES);
	*out = m;
	return ERR_OK;
}

uint64_t *marks_words(struct marks *m, unsigned worker)
{
	return m->page->words + (size_t)worker * WORDS;
}

void marks_close(struct marks *m, bool is_clean)
{
	if (m == NULL)
		return;
	(void)munmap(m->page, m->bytes);
	if (is_clean)
		(void)shm_unlink(m->name);
	free(m);
}
