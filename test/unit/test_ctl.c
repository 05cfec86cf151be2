/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every whole line gets exactly one answer line, whatever way its octets come, and no
 * client can hurt another: not by silence, by long lines, by not reading or by coming in
 * crowds.
 * Method: a control socket of the test's own in its own thread, clients over real connections,
 * tables of lines and answers; sockets left behind, alive, or no sockets at all where one is
 * to be opened.
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ctl.h"
#include "base/stat.h"
#include "base/thread.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ANSWER_BYTES 65536
#define PATH_BYTES 100
#define FLOOD_BYTES (1u << 20)
#define NOBODY 65534
#define DEADLINE_S 100
#define WAIT_MS 10000
#define IDLE_MS 5

/* What the commands share with the test; flags are read by its thread. */
struct service {
	char folder[PATH_BYTES];
	char path[PATH_BYTES];
	struct ctl *ctl;
	struct thread *thread;
	struct ctl_client *stream; /* control thread only */
	unsigned ticks;
	struct stat_flag gone;
	struct stat_flag changed;
};

static enum err cmd_echo(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	(void)why;
	json_open_array(call->out, "words");
	for (size_t i = 0; i < call->word_count; i++)
		json_str(call->out, NULL, call->words[i]);
	json_end(call->out);
	return call->words[call->word_count] == NULL ? ERR_OK : ERR_FORMAT;
}

static enum err cmd_quiet(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	(void)call;
	(void)why;
	return ERR_OK;
}

static enum err cmd_own(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	(void)why;
	json_bool(call->out, "ok", false);
	json_u64(call->out, "difference", 3);
	return ERR_OK;
}

static enum err cmd_fail(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	json_u64(call->out, "half", 1);
	return why_set(why, ERR_CONF, "line 3: `x' \"is\" wrong");
}

static enum err cmd_mute(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	(void)call;
	(void)why;
	return ERR_LIMIT;
}

static enum err cmd_change(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;

	(void)call;
	(void)why;
	stat_flag_set(&s->changed, stat_flag_get(&s->changed) + 1);
	return ERR_OK;
}

static void stream_gone(void *stream)
{
	struct service *s = stream;

	s->stream = NULL;
	stat_flag_set(&s->gone, stat_flag_get(&s->gone) + 1);
}

static enum err cmd_count(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;

	(void)why;
	s->ticks = 0;
	s->stream = call->client;
	ctl_keep(call->client, stream_gone, s);
	return ERR_OK;
}

static enum err cmd_wait(void *ctx, struct ctl_call *call, struct why *why)
{
	TRY(cmd_count(ctx, call, why));
	call->is_deferred = true;
	return ERR_OK;
}

/* Keeps the client and never says a word more. */
static enum err cmd_linger(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)why;
	ctl_keep(call->client, stream_gone, ctx);
	return ERR_OK;
}

/* Pushes until the client counts as too slow. */
static enum err cmd_flood(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;
	struct json j;
	char *text = malloc(FLOOD_BYTES);

	if (text == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	memset(text, 'x', FLOOD_BYTES);
	json_init(&j, FLOOD_BYTES + 2);
	json_strn(&j, NULL, text, FLOOD_BYTES);
	free(text);
	ctl_keep(call->client, stream_gone, s);
	while (ctl_push(call->client, &j))
		;
	json_fini(&j);
	return ERR_OK;
}

static const struct ctl_command commands[] = {
	{ "echo", "WORD...", "Words back.", false, cmd_echo },
	{ "quiet", "", "Says nothing.", false, cmd_quiet },
	{ "own", "", "Says ok itself.", false, cmd_own },
	{ "fail", "", "Fails.", false, cmd_fail },
	{ "mute", "", "Fails without a word.", false, cmd_mute },
	{ "change", "", "Changes something.", true, cmd_change },
	{ "count", "", "Answers, then three numbers.", false, cmd_count },
	{ "wait", "", "Three numbers later.", false, cmd_wait },
	{ "linger", "", "Answers, and nothing more.", false, cmd_linger },
	{ "flood", "", "More than anybody reads.", false, cmd_flood },
	{ 0 },
};

/* Three documents, one a tick, and then the end. */
static void idle(void *ctx)
{
	struct service *s = ctx;
	struct json j;

	if (s->stream == NULL)
		return;
	if (s->ticks == 3) {
		ctl_finish(s->stream);
		return;
	}
	json_init(&j, 64);
	json_u64(&j, NULL, ++s->ticks);
	(void)ctl_push(s->stream, &j);
	json_fini(&j);
}

static void run(void *ctx)
{
	struct service *s = ctx;

	ctl_run(s->ctl, idle, IDLE_MS);
}

static int start_service(void **state)
{
	struct service *s = calloc(1, sizeof(*s));
	struct why why = { "" };

	assert_non_null(s);
	(void)alarm(DEADLINE_S);
	(void)snprintf(s->folder, sizeof(s->folder), "/tmp/test_ctl.XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	(void)snprintf(s->path, sizeof(s->path), "%.80s/s", s->folder);
	assert_int_equal(ctl_open(s->path, commands, s, &s->ctl, &why), ERR_OK);
	assert_int_equal(thread_start("ctl", run, s, &s->thread), ERR_OK);
	*state = s;
	return 0;
}

static int stop_service(void **state)
{
	struct service *s = *state;

	if (s->ctl != NULL)
		ctl_stop(s->ctl);
	thread_join(s->thread);
	ctl_close(s->ctl);
	assert_int_equal(access(s->path, F_OK), -1);
	assert_int_equal(rmdir(s->folder), 0);
	free(s);
	return 0;
}

/* Ends the control thread, so that its counts can be looked at. */
static const struct ctl_counts *counts_at_end(struct service *s)
{
	ctl_stop(s->ctl);
	thread_join(s->thread);
	s->thread = NULL;
	return ctl_counts(s->ctl);
}

static int try_client(const struct service *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", s->path);
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static int new_client(const struct service *s)
{
	int fd = try_client(s);

	assert_true(fd >= 0);
	return fd;
}

static void say_octets(int fd, const char *octets, size_t bytes)
{
	assert_int_equal(send(fd, octets, bytes, MSG_NOSIGNAL), bytes);
}

static void say(int fd, const char *text)
{
	say_octets(fd, text, strlen(text));
}

/* One line without its newline, or "" at the end. */
static const char *hear(int fd)
{
	static char line[ANSWER_BYTES];
	size_t n = 0;

	while (n < sizeof(line) - 1) {
		ssize_t got = recv(fd, line + n, 1, 0);

		if (got <= 0 || line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return line;
}

static void wait_for(struct stat_flag *flag, int value)
{
	for (int ms = 0; ms < WAIT_MS && stat_flag_get(flag) != value; ms++)
		(void)usleep(1000);
	assert_int_equal(stat_flag_get(flag), value);
}

static const struct {
	const char *line;
	const char *answer;
} answers[] = {
	{ "echo\n", "{\"ok\":true,\"words\":[\"echo\"]}" },
	{ "echo a b\n", "{\"ok\":true,\"words\":[\"echo\",\"a\",\"b\"]}" },
	{ " \techo  a\t b \r\n", "{\"ok\":true,\"words\":[\"echo\",\"a\",\"b\"]}" },
	{ "echo \"\xff\x01\n", "{\"ok\":true,\"words\":[\"echo\",\"\\\"\xef\xbf\xbd\\u0001\"]}" },
	{ "quiet\n", "{\"ok\":true}" },
	{ "\n\r\n  \nquiet\n", "{\"ok\":true}" },
	{ "own\n", "{\"ok\":false,\"difference\":3}" },
	{ "fail\n", "{\"ok\":false,\"error\":\"line 3: `x' \\\"is\\\" wrong\"}" },
	{ "mute\n", "{\"ok\":false,\"error\":\"limit reached\"}" },
	{ "ecoh x\n", "{\"ok\":false,\"error\":\"unknown command `ecoh' (nearest: `echo')\"}" },
	{ "Echo\n", "{\"ok\":false,\"error\":\"unknown command `Echo' (nearest: `echo')\"}" },
	{ "echoo\n", "{\"ok\":false,\"error\":\"unknown command `echoo' (nearest: `echo')\"}" },
	{ "change\n", "{\"ok\":true}" },
};

static void lines_and_answers(void **state)
{
	struct service *s = *state;
	int fd = new_client(s);

	for (size_t i = 0; i < COUNT(answers); i++) {
		say(fd, answers[i].line);
		assert_string_equal(hear(fd), answers[i].answer);
	}
	assert_int_equal(stat_flag_get(&s->changed), 1);
	(void)close(fd);
	assert_int_equal(counts_at_end(s)->errors, 5);
	assert_int_equal(counts_at_end(s)->commands, 10);
}

/* Two commands at once whose answers come later: the second one is refused, the first one answered. */
static void one_at_a_time(void **state)
{
	struct service *s = *state;
	int fd = new_client(s);

	say(fd, "wait\nwait\necho\n");
	for (int i = 0; i < 2; i++)
		assert_non_null(strstr(hear(fd), "\"ok\":false,\"error\":\"one at a time"));
	assert_string_equal(hear(fd), "1");
	assert_string_equal(hear(fd), "2");
	assert_string_equal(hear(fd), "3");
	wait_for(&s->gone, 1);
	say(fd, "echo\n");
	assert_string_equal(hear(fd), "{\"ok\":true,\"words\":[\"echo\"]}");
	(void)close(fd);
}

/* The same lines, an octet at a time, and then all in one go. */
static void lines_in_any_pieces(void **state)
{
	struct service *s = *state;
	char all[ANSWER_BYTES] = "";
	int fd = new_client(s);
	size_t used = 0;

	for (size_t i = 0; i < COUNT(answers); i++) {
		for (const char *p = answers[i].line; *p != '\0'; p++)
			say_octets(fd, p, 1);
		assert_string_equal(hear(fd), answers[i].answer);
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s", answers[i].line);
	}
	say(fd, all);
	for (size_t i = 0; i < COUNT(answers); i++)
		assert_string_equal(hear(fd), answers[i].answer);
	(void)close(fd);
}

/* As `echo quiet | nc -U` does: answers come after the last word; half a line has none. */
static void answers_after_the_last_word(void **state)
{
	struct service *s = *state;
	int fd = new_client(s);

	say(fd, "quiet\nquiet\nqui");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_string_equal(hear(fd), "{\"ok\":true}");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	assert_string_equal(hear(fd), "");
	(void)close(fd);
}

static void line_of_length(int fd, size_t bytes, bool has_newline)
{
	char *line = malloc(bytes);

	assert_non_null(line);
	memset(line, 'e', bytes);
	memcpy(line, "echo ", 5);
	if (has_newline)
		line[bytes - 1] = '\n';
	say_octets(fd, line, bytes);
	free(line);
}

static void long_lines(void **state)
{
	struct service *s = *state;
	int fd = new_client(s);

	line_of_length(fd, CTL_LINE_BYTES, true);
	assert_non_null(strstr(hear(fd), "{\"ok\":true,\"words\":[\"echo\",\"eeee"));
	line_of_length(fd, CTL_LINE_BYTES, false);
	assert_string_equal(hear(fd), "{\"ok\":false,\"error\":\"line too long\"}");
	assert_string_equal(hear(fd), "");
	(void)close(fd);
}

static void many_words(void **state)
{
	struct service *s = *state;
	int fd = new_client(s);
	char line[2 * CTL_WORDS_MAX + 8] = "";

	for (size_t i = 0; i <= CTL_WORDS_MAX; i++)
		memcpy(line + 2 * i, "x ", 3);
	line[2 * CTL_WORDS_MAX + 1] = '\n';
	say(fd, line);
	assert_string_equal(hear(fd), "{\"ok\":false,\"error\":\"too many words\"}");
	say(fd, "quiet\n");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	(void)close(fd);
}

#define TOO_MANY "{\"ok\":false,\"error\":\"too many clients\"}"

static void crowd(void **state)
{
	struct service *s = *state;
	int fds[CTL_CLIENTS_MAX];
	int fd;

	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		fds[i] = new_client(s);
		say(fds[i], "quiet\n");
	}
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++)
		assert_string_equal(hear(fds[i]), "{\"ok\":true}");
	fd = new_client(s);
	assert_string_equal(hear(fd), TOO_MANY);
	assert_string_equal(hear(fd), "");
	(void)close(fd);
	(void)close(fds[5]);
	/* The place is free as soon as the server has seen the other go. */
	for (int ms = 0; ms < WAIT_MS; ms++) {
		fd = new_client(s);
		if (send(fd, "quiet\n", 6, MSG_NOSIGNAL) == 6 &&
		    strcmp(hear(fd), "{\"ok\":true}") == 0)
			break;
		(void)close(fd);
		(void)usleep(1000);
	}
	fds[5] = fd;
	say(fd, "own\n");
	assert_non_null(strstr(hear(fd), "difference"));
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		say(fds[i], "quiet\n");
		assert_string_equal(hear(fds[i]), "{\"ok\":true}");
		(void)close(fds[i]);
	}
	assert_true(counts_at_end(s)->refused_full >= 1);
	assert_int_equal(ctl_counts(s->ctl)->accepted, CTL_CLIENTS_MAX + 1);
}

/* With all places taken, one that is idle makes room; one that waits for an answer never does. */
static void idle_ones_make_room(void **state)
{
	struct service *s = *state;
	struct why why = { "" };
	int fds[CTL_CLIENTS_MAX];
	int fd;

	ctl_stop(s->ctl);
	thread_join(s->thread);
	ctl_close(s->ctl);
	assert_int_equal(ctl_open(s->path, commands, s, &s->ctl, &why), ERR_OK);
	ctl_set_idle_ms(s->ctl, 1000);
	assert_int_equal(thread_start("ctl", run, s, &s->thread), ERR_OK);
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		fds[i] = new_client(s);
		say(fds[i], i == 0 ? "linger\n" : "quiet\n");
		assert_string_equal(hear(fds[i]), "{\"ok\":true}");
	}
	(void)usleep(1100000);
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		if (i == 0 || i == 7)
			continue;
		say(fds[i], "quiet\n");
		assert_string_equal(hear(fds[i]), "{\"ok\":true}");
	}
	fd = new_client(s);
	say(fd, "quiet\n");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	assert_string_equal(hear(fds[7]), "");
	(void)close(fds[7]);
	fds[7] = fd;
	fd = new_client(s);
	assert_string_equal(hear(fd), TOO_MANY);
	(void)close(fd);
	assert_int_equal(counts_at_end(s)->closed_idle, 1);
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++)
		(void)close(fds[i]);
}

/* Clients that come, say half a word and go leave nothing behind. */
static void comers_and_goers(void **state)
{
	struct service *s = *state;
	int fd;

	for (int i = 0; i < 1000; i++) {
		fd = new_client(s);
		if (i % 3 != 0)
			(void)send(fd, "echo x\nech", (size_t)(i % 11), MSG_NOSIGNAL);
		(void)close(fd);
	}
	for (int ms = 0; ms < WAIT_MS; ms++) {
		fd = new_client(s);
		if (send(fd, "quiet\n", 6, MSG_NOSIGNAL) == 6 &&
		    strcmp(hear(fd), "{\"ok\":true}") == 0)
			break;
		(void)close(fd);
	}
	say(fd, "quiet\n");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	(void)close(fd);
}

static void client_that_does_not_read(void **state)
{
	struct service *s = *state;
	int slow = new_client(s);
	int other = new_client(s);

	say(slow, "flood\n");
	say(other, "quiet\n");
	assert_string_equal(hear(other), "{\"ok\":true}");
	wait_for(&s->gone, 1);
	say(other, "quiet\n");
	assert_string_equal(hear(other), "{\"ok\":true}");
	(void)close(slow);
	(void)close(other);
	assert_int_equal(counts_at_end(s)->closed_slow, 1);
}

/* One that asks and asks is not heard any more until it reads; then nothing is missing. */
static void client_that_only_asks(void **state)
{
	static char line[] = "echo 123456789 123456789 123456789 123456789 123456789 123456789\n";
	struct service *s = *state;
	int fd = new_client(s);
	size_t sent = 0;

	for (int calm_ms = 0; calm_ms < 200;) {
		ssize_t n = send(fd, line + sent % (sizeof(line) - 1),
				 sizeof(line) - 1 - sent % (sizeof(line) - 1),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			sent += (size_t)n;
			calm_ms = 0;
			continue;
		}
		assert_true(n < 0 && errno == EAGAIN);
		(void)usleep(10000);
		calm_ms += 10;
	}
	assert_true(sent < 16u << 20);
	for (size_t i = 0; i < sent / (sizeof(line) - 1); i++)
		assert_non_null(strstr(hear(fd), "{\"ok\":true,\"words\":[\"echo\",\"123456789\""));
	(void)close(fd);
}

static void streams(void **state)
{
	static const struct {
		const char *line;
		const char *heard[5];
	} cases[] = {
		{ "count\n", { "{\"ok\":true}", "1", "2", "3" } },
		{ "wait\n", { "1", "2", "3" } },
	};
	struct service *s = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		/* With its writing side open and closed. */
		for (int is_shut = 0; is_shut < 2; is_shut++) {
			int fd = new_client(s);

			say(fd, cases[i].line);
			if (is_shut)
				assert_int_equal(shutdown(fd, SHUT_WR), 0);
			for (size_t k = 0; cases[i].heard[k] != NULL; k++)
				assert_string_equal(hear(fd), cases[i].heard[k]);
			wait_for(&s->gone, (int)i * 2 + is_shut + 1);
			if (!is_shut) {
				say(fd, "quiet\n");
				assert_string_equal(hear(fd), "{\"ok\":true}");
			} else {
				assert_string_equal(hear(fd), "");
			}
			(void)close(fd);
		}
	}
}

static void stream_ends_with_its_client(void **state)
{
	struct service *s = *state;
	int fd = new_client(s);

	say(fd, "count\n");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	(void)close(fd);
	wait_for(&s->gone, 1);
	fd = new_client(s);
	say(fd, "quiet\n");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	(void)close(fd);
}

/* Nothing is pushed that could fail: the hang-up itself ends the stream. */
static void silent_stream_ends_with_its_client(void **state)
{
	struct service *s = *state;

	for (int is_shut = 0; is_shut < 2; is_shut++) {
		int fd = new_client(s);

		say(fd, "linger\n");
		assert_string_equal(hear(fd), "{\"ok\":true}");
		if (is_shut)
			assert_int_equal(shutdown(fd, SHUT_WR), 0);
		(void)usleep(1000 * IDLE_MS);
		assert_int_equal(stat_flag_get(&s->gone), is_shut);
		(void)close(fd);
		wait_for(&s->gone, is_shut + 1);
	}
}

static void stream_ends_with_the_service(void **state)
{
	struct service *s = *state;
	int fd = new_client(s);

	say(fd, "linger\n");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	ctl_stop(s->ctl);
	thread_join(s->thread);
	s->thread = NULL;
	assert_int_equal(stat_flag_get(&s->gone), 0);
	ctl_close(s->ctl);
	s->ctl = NULL;
	assert_int_equal(stat_flag_get(&s->gone), 1);
	assert_string_equal(hear(fd), "");
	(void)close(fd);
}

/* In a child process that is nobody: 0 when `change` was refused and `quiet` was not. */
static int ask_as_nobody(const struct service *s)
{
	int fd;

	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		return 2;
	fd = try_client(s);
	if (fd < 0)
		return 3;
	(void)send(fd, "change\nquiet\n", 13, MSG_NOSIGNAL);
	if (strstr(hear(fd), "{\"ok\":false,\"error\":\"not permitted") == NULL)
		return 4;
	return strcmp(hear(fd), "{\"ok\":true}") == 0 ? 0 : 5;
}

static void others_may_not_change(void **state)
{
	struct service *s = *state;
	int status = -1;
	pid_t child;

	if (geteuid() != 0)
		skip(); /* only root can become somebody else */
	assert_int_equal(chmod(s->folder, 0755), 0);
	assert_int_equal(chmod(s->path, 0666), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(ask_as_nobody(s));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(stat_flag_get(&s->changed), 0);
	assert_int_equal(counts_at_end(s)->refused_peer, 1);
}

static void socket_file_is_for_owner_and_group(void **state)
{
	struct service *s = *state;
	struct stat st;

	assert_int_equal(stat(s->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0660);
}

static void living_socket_is_left_alone(void **state)
{
	struct service *s = *state;
	struct why why = { "" };
	struct ctl *second = NULL;
	int fd;

	assert_int_equal(ctl_open(s->path, commands, s, &second, &why), ERR_EXISTS);
	assert_null(second);
	assert_non_null(strstr(why.text, "another process answers there"));
	fd = new_client(s);
	say(fd, "quiet\n");
	assert_string_equal(hear(fd), "{\"ok\":true}");
	(void)close(fd);
}

static void dead_socket_is_replaced(void **state)
{
	struct service *s = *state;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct why why = { "" };
	struct ctl *second = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s2", s->path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	(void)close(fd);
	assert_int_equal(ctl_open(sun.sun_path, commands, s, &second, &why), ERR_OK);
	ctl_close(second);
	assert_int_equal(access(sun.sun_path, F_OK), -1);
}

/* The file is another's now: of one that was started after ours was removed, or moved there. */
static void a_file_that_was_replaced_stays(void **state)
{
	struct service *s = *state;
	struct why why = { "" };
	struct ctl *first = NULL;
	struct ctl *second = NULL;
	char path[PATH_BYTES + 8];

	(void)snprintf(path, sizeof(path), "%s2", s->path);
	assert_int_equal(ctl_open(path, commands, s, &first, &why), ERR_OK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ctl_open(path, commands, s, &second, &why), ERR_OK);
	ctl_close(first);
	assert_int_equal(access(path, F_OK), 0);
	ctl_close(second);
	assert_int_equal(access(path, F_OK), -1);
}

static void other_files_are_left_alone(void **state)
{
	struct service *s = *state;
	struct why why = { "" };
	struct ctl *second = NULL;
	char path[PATH_BYTES + 8];
	char longest[300];
	int fd;

	(void)snprintf(path, sizeof(path), "%s2", s->path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(ctl_open(path, commands, s, &second, &why), ERR_EXISTS);
	assert_non_null(strstr(why.text, "is no socket"));
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/no/s", s->folder);
	assert_int_equal(ctl_open(path, commands, s, &second, &why), ERR_IO);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(ctl_open(longest, commands, s, &second, &why), ERR_CONF);
	assert_non_null(strstr(why.text, "too long"));
	assert_null(second);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start_service, stop_service)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(lines_and_answers),
		CASE(one_at_a_time),
		CASE(lines_in_any_pieces),
		CASE(answers_after_the_last_word),
		CASE(long_lines),
		CASE(many_words),
		CASE(crowd),
		CASE(idle_ones_make_room),
		CASE(comers_and_goers),
		CASE(client_that_does_not_read),
		CASE(client_that_only_asks),
		CASE(streams),
		CASE(stream_ends_with_its_client),
		CASE(silent_stream_ends_with_its_client),
		CASE(stream_ends_with_the_service),
		CASE(others_may_not_change),
		CASE(socket_file_is_for_owner_and_group),
		CASE(living_socket_is_left_alone),
		CASE(dead_socket_is_replaced),
		CASE(a_file_that_was_replaced_stays),
		CASE(other_files_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
