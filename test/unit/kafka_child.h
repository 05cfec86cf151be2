/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_child.h - for tests: another program with a pipe to each of its ends, and a little HTTP.
 *
 *	child_start(&c, (const char *const[]){ "python3", "x.py", NULL })
 *	child_read(&c, line, sizeof(line)); child_write(&c, "quit\n")
 *	child_stop(&c)
 *
 * A child ends with its test, also when that crashes.  Owner: the test.
 */
#ifndef TEST_KAFKA_CHILD_H
#define TEST_KAFKA_CHILD_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_READ_MS 60000 /* Python starts in a tenth of a second, or in ten on a busy machine */

struct child {
	pid_t pid;
	int in;
	int out;
};

static inline bool child_start(struct child *c, const char *const argv[])
{
	int in[2];
	int out[2];

	if (pipe(in) != 0 || pipe(out) != 0)
		return false;
	c->pid = fork();
	if (c->pid < 0)
		return false;
	if (c->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(in[0], STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)close(in[1]);
		(void)close(out[0]);
		execvp(argv[0], (char *const *)(uintptr_t)argv); /* which does not write there */
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	c->in = in[1];
	c->out = out[0];
	return true;
}

/* A line without its end; false when none comes in time. */
static inline bool child_read(struct child *c, char *line, size_t room)
{
	size_t n = 0;

	while (n + 1 < room) {
		struct pollfd p = { .fd = c->out, .events = POLLIN };

		if (poll(&p, 1, CHILD_READ_MS) != 1 || read(c->out, line + n, 1) != 1)
			return false;
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return true;
}

static inline bool child_write(struct child *c, const char *text)
{
	return write(c->in, text, strlen(text)) == (ssize_t)strlen(text);
}

static inline void child_stop(struct child *c)
{
	if (c->pid <= 0)
		return;
	(void)kill(c->pid, SIGKILL);
	(void)waitpid(c->pid, NULL, 0);
	(void)close(c->in);
	(void)close(c->out);
	c->pid = 0;
}

/* One request to 127.0.0.1; the whole answer, head included, or false. */
static inline bool http_ask(int port, const char *method, const char *path, const char *body,
			    char *answer, size_t room)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	char request[2048];
	size_t used = 0;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int bytes = snprintf(request, sizeof(request),
			     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
			     "Content-Length: %zu\r\n\r\n%s",
			     method, path, strlen(body), body);
	bool is_sent;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	is_sent = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		  write(fd, request, (size_t)bytes) == bytes;
	while (is_sent && used + 1 < room && (n = read(fd, answer + used, room - 1 - used)) > 0)
		used += (size_t)n;
	answer[used] = '\0';
	if (fd >= 0)
		(void)close(fd);
	return used > 0;
}

#endif
