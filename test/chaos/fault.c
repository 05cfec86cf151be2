/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.so - put before a program by LD_PRELOAD: its disk fails, writes short or stands still, and its clock
 * is wrong, as the page says that SLUICE_FAULT names.  fault.py writes the page while the program runs.
 *
 *	page	| clock_offset_s | rule | rule | ...
 *
 * A rule holds for calls of its kinds on paths that contain its text.  Calls are counted from when the rule
 * was armed; from number `from` on, `count` of them (0: all) first wait for `delay_ms`, then fail with
 * `error`, or are done by half when `is_short`.
 *
 * Only what goes through libc is seen, which is all that the service does to files.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RULES 8
#define PATH_BYTES 64
#define PAGE_BYTES 4096
#define EXPORT __attribute__((visibility("default")))

enum kind { KIND_WRITE = 1, KIND_SYNC = 2, KIND_OPEN = 4, KIND_ALLOCATE = 8, KIND_RENAME = 16 };

/* 96 octets; fault.py has the same. */
struct rule {
	uint32_t is_armed; /* written last, read first */
	uint32_t kinds;
	uint32_t error;
	uint32_t is_short;
	uint32_t from; /* 1: the first */
	uint32_t count;
	uint32_t delay_ms;
	uint32_t calls; /* so far */
	char path[PATH_BYTES];
};

struct page {
	int64_t clock_offset_s;
	struct rule rule[RULES];
};
_Static_assert(sizeof(struct rule) == 96 && sizeof(struct page) <= PAGE_BYTES, "fault.py knows it");

struct verdict {
	int error;
	int is_short;
};

static struct page *page;

__attribute__((constructor)) static void page_open(void)
{
	const char *path = getenv("SLUICE_FAULT");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		page = p;
	close(fd);
}

/* The libc's own function of that name. */
static void *next_of(void **kept, const char *name)
{
	void *f = __atomic_load_n(kept, __ATOMIC_RELAXED);

	if (f == NULL) {
		f = dlsym(RTLD_NEXT, name);
		if (f == NULL)
			abort();
		__atomic_store_n(kept, f, __ATOMIC_RELAXED);
	}
	return f;
}

#define NEXT(name)                                                                                 \
	static void *kept_##name;                                                                  \
	__typeof__(name) *next_##name =                                                            \
		__extension__(__typeof__(name) *) next_of(&kept_##name, #name)

static void wait_ms(uint32_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		continue;
}

/* May the call go on? */
static struct verdict ask_rule(struct rule *r)
{
	struct verdict v = { 0 };
	uint32_t number = __atomic_add_fetch(&r->calls, 1, __ATOMIC_RELAXED);

	if (number < r->from || (r->count != 0 && number >= r->from + r->count))
		return v;
	if (r->delay_ms != 0)
		wait_ms(r->delay_ms);
	v.error = (int)r->error;
	v.is_short = r->is_short != 0;
	return v;
}

static struct verdict ask_path(enum kind kind, const char *path)
{
	struct verdict v = { 0 };

	for (unsigned i = 0; i < RULES && v.error == 0 && !v.is_short; i++) {
		struct rule *r = &page->rule[i];

		if (__atomic_load_n(&r->is_armed, __ATOMIC_ACQUIRE) == 0)
			continue;
		if ((r->kinds & kind) != 0 && strstr(path, r->path) != NULL)
			v = ask_rule(r);
	}
	return v;
}

static int is_any_armed(void)
{
	for (unsigned i = 0; page != NULL && i < RULES; i++) {
		if (__atomic_load_n(&page->rule[i].is_armed, __ATOMIC_ACQUIRE) != 0)
			return 1;
	}
	return 0;
}

static size_t path_of(int fd, char *path, size_t room)
{
	char link[32];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, room - 1);
	path[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static struct verdict ask_fd(enum kind kind, int fd)
{
	struct verdict v = { 0 };
	char path[PATH_MAX];
	int saved = errno;

	if (is_any_armed() && path_of(fd, path, sizeof(path)) > 0)
		v = ask_path(kind, path);
	errno = v.error != 0 ? v.error : saved;
	return v;
}

static struct verdict ask_at(enum kind kind, int dir_fd, const char *name)
{
	struct verdict v = { 0 };
	char path[PATH_MAX + 1];
	int saved = errno;
	size_t n = 0;

	if (is_any_armed()) {
		path[0] = '\0';
		if (name[0] != '/' && dir_fd != AT_FDCWD)
			n = path_of(dir_fd, path, PATH_MAX / 2);
		(void)snprintf(path + n, sizeof(path) - n, "/%s", name);
		v = ask_path(kind, path);
	}
	errno = v.error != 0 ? v.error : saved;
	return v;
}

static size_t half_of(size_t n)
{
	return n > 1 ? n / 2 : n;
}

EXPORT ssize_t write(int fd, const void *octets, size_t n)
{
	NEXT(write);
	struct verdict v = ask_fd(KIND_WRITE, fd);

	return v.error != 0 ? -1 : next_write(fd, octets, v.is_short ? half_of(n) : n);
}

EXPORT ssize_t pwrite(int fd, const void *octets, size_t n, off_t at)
{
	NEXT(pwrite);
	struct verdict v = ask_fd(KIND_WRITE, fd);

	return v.error != 0 ? -1 : next_pwrite(fd, octets, v.is_short ? half_of(n) : n, at);
}

/* By half: the first part that is more than an octet, cut. */
static ssize_t write_half(int fd, const struct iovec *parts, int count, off_t at)
{
	NEXT(pwrite);
	NEXT(write);
	size_t n;

	while (count > 1 && parts->iov_len == 0) {
		parts++;
		count--;
	}
	n = half_of(parts->iov_len);
	return at < 0 ? next_write(fd, parts->iov_base, n)
		      : next_pwrite(fd, parts->iov_base, n, at);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
	NEXT(writev);
	struct verdict v = ask_fd(KIND_WRITE, fd);

	if (v.error != 0)
		return -1;
	return v.is_short ? write_half(fd, parts, count, -1) : next_writev(fd, parts, count);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	NEXT(pwritev);
	struct verdict v = ask_fd(KIND_WRITE, fd);

	if (v.error != 0)
		return -1;
	return v.is_short ? write_half(fd, parts, count, at) : next_pwritev(fd, parts, count, at);
}

EXPORT int fdatasync(int fd)
{
	NEXT(fdatasync);
	return ask_fd(KIND_SYNC, fd).error != 0 ? -1 : next_fdatasync(fd);
}

EXPORT int fsync(int fd)
{
	NEXT(fsync);
	return ask_fd(KIND_SYNC, fd).error != 0 ? -1 : next_fsync(fd);
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t n)
{
	NEXT(fallocate);
	return ask_fd(KIND_ALLOCATE, fd).error != 0 ? -1 : next_fallocate(fd, mode, at, n);
}

EXPORT int ftruncate(int fd, off_t n)
{
	NEXT(ftruncate);
	return ask_fd(KIND_ALLOCATE, fd).error != 0 ? -1 : next_ftruncate(fd, n);
}

EXPORT int openat(int dir_fd, const char *name, int flags, ...)
{
	NEXT(openat);
	mode_t mode = 0;
	va_list rest;

	va_start(rest, flags);
	if ((flags & (O_CREAT | O_TMPFILE)) != 0)
		mode = va_arg(rest, mode_t);
	va_end(rest);
	if (ask_at(KIND_OPEN, dir_fd, name).error != 0)
		return -1;
	return next_openat(dir_fd, name, flags, mode);
}

EXPORT int open(const char *name, int flags, ...)
{
	NEXT(open);
	mode_t mode = 0;
	va_list rest;

	va_start(rest, flags);
	if ((flags & (O_CREAT | O_TMPFILE)) != 0)
		mode = va_arg(rest, mode_t);
	va_end(rest);
	return ask_at(KIND_OPEN, AT_FDCWD, name).error != 0 ? -1 : next_open(name, flags, mode);
}

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	NEXT(renameat);
	if (ask_at(KIND_RENAME, from_fd, from).error != 0)
		return -1;
	return next_renameat(from_fd, from, to_fd, to);
}

EXPORT int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	NEXT(renameat2);
	if (ask_at(KIND_RENAME, from_fd, from).error != 0)
		return -1;
	return next_renameat2(from_fd, from, to_fd, to, flags);
}

EXPORT int rename(const char *from, const char *to)
{
	NEXT(rename);
	return ask_at(KIND_RENAME, AT_FDCWD, from).error != 0 ? -1 : next_rename(from, to);
}

static int64_t offset_s(void)
{
	return page != NULL ? __atomic_load_n(&page->clock_offset_s, __ATOMIC_RELAXED) : 0;
}

EXPORT int clock_gettime(clockid_t id, struct timespec *out)
{
	NEXT(clock_gettime);
	int rc = next_clock_gettime(id, out);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		out->tv_sec += offset_s();
	return rc;
}

EXPORT int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	NEXT(gettimeofday);
	int rc = next_gettimeofday(out, zone);

	if (rc == 0)
		out->tv_sec += offset_s();
	return rc;
}

EXPORT time_t time(time_t *out)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
