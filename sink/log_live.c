/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/log_live.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "SluiceE1" /* with the version */
#define NAME_BYTES 96

struct line {
	_Atomic uint64_t end;
	uint8_t rest[56]; /* workers do not share a line of the cache */
};

struct page {
	uint8_t magic[64];
	struct line lines[];
};

struct log_live {
	struct page *page;
	size_t bytes;
	size_t slot_count;
	char name[NAME_BYTES];
	uint64_t left[];
};

/* Somebody else's file of that name is none of ours. */
static bool is_usable(int fd, size_t bytes)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return false;
	/* All of it there, so that touching it never fails. */
	return posix_fallocate(fd, 0, (off_t)bytes) == 0;
}

struct log_live *log_live_open(const char *name, size_t slot_count)
{
	size_t bytes = sizeof(struct page) + slot_count * sizeof(struct line);
	struct log_live *l = calloc(1, sizeof(*l) + slot_count * sizeof(l->left[0]));
	void *at = MAP_FAILED;
	int fd;

	if (l == NULL)
		return NULL;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	fd = shm_open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && is_usable(fd, bytes))
		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	if (at == MAP_FAILED) {
		free(l);
		return NULL;
	}
	l->page = at;
	l->bytes = bytes;
	l->slot_count = slot_count;
	if (memcmp(l->page->magic, MAGIC, sizeof(MAGIC)) != 0) {
		memset(l->page, 0, bytes);
		memcpy(l->page->magic, MAGIC, sizeof(MAGIC));
	}
	/* They stay until the logs are open: a start that fails forgets nothing. */
	for (size_t i = 0; i < slot_count; i++)
		l->left[i] = atomic_load(&l->page->lines[i].end);
	return l;
}

uint64_t log_live_left(const struct log_live *live, size_t slot)
{
	return live == NULL || slot >= live->slot_count ? 0 : live->left[slot];
}

_Atomic uint64_t *log_live_slot(struct log_live *live, size_t slot)
{
	return live == NULL || slot >= live->slot_count ? NULL : &live->page->lines[slot].end;
}

void log_live_close(struct log_live *live, bool is_clean)
{
	if (live == NULL)
		return;
	(void)munmap(live->page, live->bytes);
	if (is_clean)
		(void)shm_unlink(live->name);
	free(live);
}
