/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/nearest.h"

#define BACKLOG 16
#define SOCKET_MODE 0660
#define IDLE_MS 60000
#define OUT_BYTES_PAUSE (1u << 20) /* with so much unread, a client is not asked for more */

struct ctl_client {
	struct ctl *ctl;
	int fd; /* -1: free */
	uid_t uid;
	char line[CTL_LINE_BYTES];
	size_t line_bytes;
	char *out;
	size_t out_bytes;
	size_t out_sent;
	size_t out_room;
	int64_t last_ms; /* when it last came, said or took something */
	bool is_over;	 /* no more input: close when everything is sent */
	bool is_kept;
	void (*gone)(void *stream);
	void *stream;
};

struct ctl {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;
	bool has_file;
	dev_t file_dev; /* which file at `path` is ours */
	ino_t file_ino;
	int wake_fd;
	struct stat_flag stop;
	int idle_ms;
	bool is_hurried;
	const struct ctl_command *commands;
	void *ctx;
	struct ctl_counts counts;
	struct ctl_client clients[CTL_CLIENTS_MAX];
};

/* A socket file that nobody answers on is left from a process that is gone. */
static enum err remove_stale(const struct sockaddr_un *sun, struct why *why)
{
	struct stat st;
	int fd;
	int rc;

	if (lstat(sun->sun_path, &st) != 0)
		return ERR_OK;
	if (!S_ISSOCK(st.st_mode))
		return why_set(why, ERR_EXISTS, "%s: exists and is no socket", sun->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return why_set(why, ERR_IO, "%s: %s", sun->sun_path, strerror(errno));
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	if (rc != 0 && errno != ECONNREFUSED) {
		(void)close(fd);
		return why_set(why, ERR_EXISTS, "%s: somebody's, and no answer: %s", sun->sun_path,
			       strerror(errno));
	}
	(void)close(fd);
	if (rc == 0)
		return why_set(why, ERR_EXISTS, "%s: another process answers there", sun->sun_path);
	(void)unlink(sun->sun_path);
	return ERR_OK;
}

static enum err listen_at(struct ctl *ctl, struct why *why)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t before;
	int rc;

	memcpy(sun.sun_path, ctl->path, sizeof(ctl->path));
	TRY(remove_stale(&sun, why));
	ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ctl->fd < 0)
		return why_set(why, ERR_IO, "%s: %s", ctl->path, strerror(errno));
	before = umask(0777 & ~SOCKET_MODE);
	rc = bind(ctl->fd, (const struct sockaddr *)&sun, sizeof(sun));
	(void)umask(before);
	if (rc == 0 && lstat(ctl->path, &st) == 0) {
		ctl->has_file = true;
		ctl->file_dev = st.st_dev;
		ctl->file_ino = st.st_ino;
	}
	if (rc != 0 || listen(ctl->fd, BACKLOG) != 0)
		return why_errno(why, ERR_IO, ctl->path);
	return ERR_OK;
}

enum err ctl_open(const char *path, const struct ctl_command *commands, void *ctx, struct ctl **out,
		  struct why *why)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	enum err e;

	if (ctl == NULL)
		return why_set(why, ERR_NOMEM, "no memory for the control socket");
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		ctl->clients[i].fd = -1;
		ctl->clients[i].ctl = ctl;
	}
	ctl->fd = -1;
	ctl->idle_ms = IDLE_MS;
	ctl->commands = commands;
	ctl->ctx = ctx;
	ctl->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (strlen(path) >= sizeof(ctl->path)) {
		e = why_set(why, ERR_CONF, "%s: path too long for a socket", path);
		goto fail;
	}
	memcpy(ctl->path, path, strlen(path) + 1);
	e = ctl->wake_fd < 0 ? why_set(why, ERR_IO, "eventfd: %s", strerror(errno))
			     : listen_at(ctl, why);
	if (e != ERR_OK)
		goto fail;
	*out = ctl;
	return ERR_OK;
fail:
	ctl_close(ctl);
	return e;
}

/* Sends what is there; false when the client is gone. */
static bool flush_client(struct ctl_client *c)
{
	while (c->out_sent < c->out_bytes) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_bytes - c->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		c->out_sent += (size_t)n;
		c->last_ms = clock_mono_ms();
	}
	c->out_sent = 0;
	c->out_bytes = 0;
	return true;
}

static void drop_client(struct ctl_client *c)
{
	if (c->fd < 0)
		return;
	(void)close(c->fd);
	c->fd = -1;
	if (c->is_kept && c->gone != NULL)
		c->gone(c->stream);
	free(c->out);
	c->out = NULL;
	c->is_kept = false;
}

/* Another process may have taken the place meanwhile. */
static void remove_file(const struct ctl *ctl)
{
	struct stat st;

	if (ctl->has_file && lstat(ctl->path, &st) == 0 && st.st_dev == ctl->file_dev &&
	    st.st_ino == ctl->file_ino)
		(void)unlink(ctl->path);
}

void ctl_close(struct ctl *ctl)
{
	if (ctl == NULL)
		return;
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		/* Who waited until the end has its answer, if it fits. */
		if (ctl->clients[i].fd >= 0)
			(void)flush_client(&ctl->clients[i]);
		drop_client(&ctl->clients[i]);
	}
	remove_file(ctl);
	if (ctl->fd >= 0)
		(void)close(ctl->fd);
	if (ctl->wake_fd >= 0)
		(void)close(ctl->wake_fd);
	free(ctl);
}

void ctl_stop(struct ctl *ctl)
{
	uint64_t one = 1;

	stat_flag_set(&ctl->stop, 1);
	if (write(ctl->wake_fd, &one, sizeof(one)) < 0)
		log_debug("ctl.wake errno=%d", errno);
}

void ctl_hurry(struct ctl *ctl)
{
	ctl->is_hurried = true;
}

void ctl_set_idle_ms(struct ctl *ctl, int idle_ms)
{
	ctl->idle_ms = idle_ms;
}

const struct ctl_counts *ctl_counts(const struct ctl *ctl)
{
	return &ctl->counts;
}

void ctl_keep(struct ctl_client *client, void (*gone)(void *stream), void *stream)
{
	client->is_kept = true;
	client->gone = gone;
	client->stream = stream;
}

void ctl_finish(struct ctl_client *client)
{
	if (client->is_kept && client->gone != NULL)
		client->gone(client->stream);
	client->is_kept = false;
	client->gone = NULL;
}

bool ctl_push(struct ctl_client *c, const struct json *document)
{
	size_t bytes = document->bytes + 1;
	char *out;

	if (c->fd < 0 || document->is_failed)
		return false;
	if (c->out_sent > 0) {
		memmove(c->out, c->out + c->out_sent, c->out_bytes - c->out_sent);
		c->out_bytes -= c->out_sent;
		c->out_sent = 0;
	}
	if (c->out_bytes + bytes > CTL_OUT_BYTES_MAX) {
		c->ctl->counts.closed_slow++;
		drop_client(c);
		return false;
	}
	if (c->out_bytes + bytes > c->out_room) {
		out = realloc(c->out, (c->out_bytes + bytes) * 2);
		if (out == NULL) {
			drop_client(c);
			return false;
		}
		c->out = out;
		c->out_room = (c->out_bytes + bytes) * 2;
	}
	memcpy(c->out + c->out_bytes, document->text, bytes - 1);
	c->out[c->out_bytes + bytes - 1] = '\n';
	c->out_bytes += bytes;
	return true;
}

static void push_error(struct ctl_client *c, const char *text)
{
	struct json j;

	c->ctl->counts.errors++;
	json_init(&j, CTL_LINE_BYTES * 8);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", false);
	json_str(&j, "error", text);
	json_end(&j);
	(void)ctl_push(c, &j);
	json_fini(&j);
}

static const char *command_at(const void *words, size_t i)
{
	const struct ctl_command *commands = words;

	return commands[i].name;
}

static const struct ctl_command *find_command(const struct ctl *ctl, const char *name,
					      size_t *count)
{
	const struct ctl_command *found = NULL;

	for (*count = 0; ctl->commands[*count].name != NULL; (*count)++) {
		if (strcmp(ctl->commands[*count].name, name) == 0)
			found = &ctl->commands[*count];
	}
	return found;
}

/* The answer with "ok" in front, unless the command said it itself. */
static void push_answer(struct ctl_client *c, const struct json *answer)
{
	struct json j;
	bool has_ok = strncmp(answer->text, "{\"ok\":", 6) == 0;

	if (has_ok) {
		(void)ctl_push(c, answer);
		return;
	}
	json_init(&j, CTL_OUT_BYTES_MAX);
	json_raw(&j, NULL, "{\"ok\":true", 10);
	if (answer->bytes > 2) {
		json_clear(&j);
		json_raw(&j, NULL, "{\"ok\":true,", 11);
	}
	j.has_members[0] = false;
	json_raw(&j, NULL, answer->text + 1, answer->bytes - 1);
	(void)ctl_push(c, &j);
	json_fini(&j);
}

static void run_command(struct ctl_client *c, const struct ctl_command *command, char **words,
			size_t word_count)
{
	struct json answer;
	struct ctl_call call = { c, words, word_count, &answer, false };
	struct why why = { "" };
	enum err e;

	c->ctl->counts.commands++;
	json_init(&answer, CTL_OUT_BYTES_MAX / 2);
	json_open_object(&answer, NULL);
	e = command->run(c->ctl->ctx, &call, &why);
	json_end(&answer);
	if (e == ERR_OK && answer.is_failed)
		e = why_set(&why, ERR_LIMIT, "the answer is too long");
	if (e != ERR_OK)
		push_error(c, why.text[0] != '\0' ? why.text : err_text(e));
	else if (c->fd >= 0 && !call.is_deferred)
		push_answer(c, &answer);
	json_fini(&answer);
}

static void take_line(struct ctl_client *c, char *line)
{
	char *words[CTL_WORDS_MAX + 1];
	char text[CTL_LINE_BYTES];
	const struct ctl_command *command;
	size_t count = 0;
	size_t known;
	char *save = NULL;

	for (char *w = strtok_r(line, " \t\r", &save); w != NULL;
	     w = strtok_r(NULL, " \t\r", &save)) {
		if (count == CTL_WORDS_MAX) {
			push_error(c, "too many words");
			return;
		}
		words[count++] = w;
	}
	if (count == 0)
		return;
	/* Whoever answers it holds this client, and knows of one command only. */
	if (c->is_kept) {
		push_error(c, "one at a time: the command before has not been answered to its end");
		return;
	}
	words[count] = NULL;
	command = find_command(c->ctl, words[0], &known);
	if (command == NULL) {
		(void)snprintf(text, sizeof(text), "unknown command `%.100s' (nearest: `%s')",
			       words[0], nearest_of(words[0], command_at, c->ctl->commands, known));
		push_error(c, text);
		return;
	}
	if (command->is_mutating && c->uid != 0 && c->uid != geteuid()) {
		c->ctl->counts.refused_peer++;
		push_error(c, "not permitted: this command is for root and the service's own user");
		return;
	}
	run_command(c, command, words, count);
}

static void take_lines(struct ctl_client *c)
{
	size_t from = 0;
	char *newline;

	while (c->fd >= 0 &&
	       (newline = memchr(c->line + from, '\n', c->line_bytes - from)) != NULL) {
		*newline = '\0';
		take_line(c, c->line + from);
		from = (size_t)(newline - c->line) + 1;
	}
	memmove(c->line, c->line + from, c->line_bytes - from);
	c->line_bytes -= from;
	if (c->fd >= 0 && c->line_bytes == sizeof(c->line)) {
		push_error(c, "line too long");
		c->line_bytes = 0;
		c->is_over = true;
	}
}

static void read_client(struct ctl_client *c)
{
	ssize_t n =
		recv(c->fd, c->line + c->line_bytes, sizeof(c->line) - c->line_bytes, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n < 0) {
		drop_client(c);
		return;
	}
	if (n == 0) {
		c->is_over = true;
		return;
	}
	c->line_bytes += (size_t)n;
	c->last_ms = clock_mono_ms();
	take_lines(c);
}

/* A free place, if need be that of the client that has been idle longest; or NULL. */
static struct ctl_client *place_find(struct ctl *ctl)
{
	struct ctl_client *oldest = NULL;

	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &ctl->clients[i];

		if (c->fd < 0)
			return c;
		/* It waits for an answer, or does not read as fast as we send. */
		if (c->is_kept || c->out_bytes > 0)
			continue;
		if (oldest == NULL || c->last_ms < oldest->last_ms)
			oldest = c;
	}
	if (oldest == NULL || clock_mono_ms() - oldest->last_ms < ctl->idle_ms)
		return NULL;
	ctl->counts.closed_idle++;
	log_every(LOG_LEVEL_INFO, "ctl.closed_idle clients=%d", CTL_CLIENTS_MAX);
	drop_client(oldest);
	return oldest;
}

static void refuse_client(struct ctl *ctl, int fd)
{
	static const char answer[] = "{\"ok\":false,\"error\":\"too many clients\"}\n";

	ctl->counts.refused_full++;
	log_every(LOG_LEVEL_WARN, "ctl.refused clients=%d why=\"too many clients\"",
		  CTL_CLIENTS_MAX);
	if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("ctl.refused errno=%d", errno);
	(void)close(fd);
}

static void accept_client(struct ctl *ctl)
{
	int fd = accept4(ctl->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = { 0, (uid_t)-1, (gid_t)-1 };
	socklen_t bytes = sizeof(peer);
	struct ctl_client *c;

	if (fd < 0)
		return;
	c = place_find(ctl);
	if (c == NULL) {
		refuse_client(ctl, fd);
		return;
	}
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
	memset(c, 0, sizeof(*c));
	c->ctl = ctl;
	c->fd = fd;
	c->uid = peer.uid;
	c->last_ms = clock_mono_ms();
	ctl->counts.accepted++;
}

/* A client whose input ended stays until its answers are out, or its stream is finished. */
static void settle_client(struct ctl_client *c)
{
	if (c->fd < 0)
		return;
	if (!flush_client(c)) {
		drop_client(c);
		return;
	}
	if (c->is_over && c->out_bytes == 0 && !c->is_kept)
		drop_client(c);
}

static bool is_asked(const struct ctl_client *c)
{
	return !c->is_over && c->out_bytes <= OUT_BYTES_PAUSE;
}

/* Both ways are closed: nobody will read what a stream would still say. */
static bool is_hung_up(const struct ctl_client *c, short revents)
{
	return (revents & (POLLERR | POLLNVAL)) != 0 || ((revents & POLLHUP) != 0 && c->is_over);
}

static void serve(struct ctl *ctl, int timeout_ms)
{
	struct pollfd fds[CTL_CLIENTS_MAX + 2] = { { ctl->fd, POLLIN, 0 },
						   { ctl->wake_fd, POLLIN, 0 } };
	struct ctl_client *of[CTL_CLIENTS_MAX + 2];
	nfds_t count = 2;

	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &ctl->clients[i];

		if (c->fd < 0)
			continue;
		fds[count].fd = c->fd;
		fds[count].events =
			(short)((is_asked(c) ? POLLIN : 0) | (c->out_bytes > 0 ? POLLOUT : 0));
		fds[count].revents = 0;
		of[count++] = c;
	}
	if (poll(fds, count, timeout_ms) <= 0)
		return;
	for (nfds_t i = 2; i < count; i++) {
		if (is_hung_up(of[i], fds[i].revents))
			drop_client(of[i]);
		else if ((fds[i].revents & (POLLIN | POLLHUP)) != 0 && !of[i]->is_over)
			read_client(of[i]);
		settle_client(of[i]);
	}
	if ((fds[0].revents & POLLIN) != 0)
		accept_client(ctl);
}

void ctl_run(struct ctl *ctl, void (*idle)(void *ctx), int idle_ms)
{
	while (!stat_flag_get(&ctl->stop)) {
		int wait_ms = ctl->is_hurried ? 0 : idle_ms;

		ctl->is_hurried = false;
		serve(ctl, wait_ms);
		if (idle != NULL)
			idle(ctl->ctx);
		for (size_t i = 0; i < CTL_CLIENTS_MAX; i++)
			settle_client(&ctl->clients[i]);
	}
	stat_flag_set(&ctl->stop, 0);
}
