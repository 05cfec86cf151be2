/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h - for tests: how long a call took, were the machine ours alone.
 *
 *	struct pace p = pace_now();
 *	... the call ...
 *	pace_ms_since(&p)
 *
 * What the process's threads waited for a CPU meanwhile does not count, as the kernel tells it (schedstat); sleep and
 * locks do.  Where the kernel does not tell, it is the time of the clock.
 */
#ifndef TEST_PACE_H
#define TEST_PACE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

struct pace {
	int64_t clock_ns;
	int64_t waited_ns; /* all threads, for a CPU */
};

/* Of one thread: time run, time waited, turns. */
static inline int64_t pace_waited_ns(int tasks, const char *task)
{
	char path[64];
	char text[96] = "";
	char *at = text;
	ssize_t n = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%.32s/schedstat", task);
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return 0;
	(void)strtoll(at, &at, 10);
	return strtoll(at, NULL, 10);
}

static inline struct pace pace_now(void)
{
	struct pace p = { 0 };
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *task;

	while (tasks != NULL && (task = readdir(tasks)) != NULL) {
		if (task->d_name[0] != '.')
			p.waited_ns += pace_waited_ns(dirfd(tasks), task->d_name);
	}
	if (tasks != NULL)
		(void)closedir(tasks);
	p.clock_ns = clock_mono_ns();
	return p;
}

static inline int64_t pace_ms_since(const struct pace *before)
{
	int64_t ns = clock_mono_ns() - before->clock_ns;
	int64_t waited_ns = pace_now().waited_ns - before->waited_ns;

	/* A thread that ended takes with it what it had waited. */
	if (waited_ns > 0)
		ns = ns > waited_ns ? ns - waited_ns : 0;
	return ns / 1000000;
}

#endif
