/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no octets from a client crash or hang the control socket, or make it say anything but
 * lines of JSON with "ok", one at most for each line it got.
 * Method: a server in its thread; the input goes to it in pieces of the length that its first
 * octet says, then the writing side is closed and everything is read up to the end.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ctl.h"
#include "base/must.h"
#include "base/thread.h"

#define IDLE_MS 1000

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

static struct sockaddr_un place = { .sun_family = AF_UNIX };
static struct ctl *ctl;
static struct thread *server;

static enum err cmd_echo(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	(void)why;
	json_open_array(call->out, "words");
	for (size_t i = 0; i < call->word_count; i++)
		json_str(call->out, NULL, call->words[i]);
	json_end(call->out);
	return ERR_OK;
}

static enum err cmd_fail(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	return why_set(why, ERR_CONF, "%s", call->words[call->word_count - 1]);
}

static const struct ctl_command commands[] = {
	{ "e", "", "Words back.", false, cmd_echo },
	{ "fail", "", "The last word as an error.", true, cmd_fail },
	{ 0 },
};

static void run(void *ctx)
{
	ctl_run(ctx, NULL, IDLE_MS);
}

static void stop(void)
{
	char folder[] = "/tmp/fuzz_ctl.XXXXXX";

	ctl_stop(ctl);
	thread_join(server);
	memcpy(folder, place.sun_path, sizeof(folder) - 1);
	(void)unlink(place.sun_path);
	(void)rmdir(folder);
}

static void start(void)
{
	char folder[] = "/tmp/fuzz_ctl.XXXXXX";
	struct why why = { "" };

	must(mkdtemp(folder) != NULL);
	(void)snprintf(place.sun_path, sizeof(place.sun_path), "%s/s", folder);
	must(ctl_open(place.sun_path, commands, NULL, &ctl, &why) == ERR_OK);
	must(thread_start("ctl", run, ctl, &server) == ERR_OK);
	must(atexit(stop) == 0);
}

static size_t lines_of(const uint8_t *octets, size_t bytes)
{
	size_t count = 0;

	for (size_t i = 0; i < bytes; i++)
		count += octets[i] == '\n';
	return count;
}

/* One more answer than lines: the one that says that a line is too long. */
static void check_answers(FILE *answers, size_t lines)
{
	size_t room = 0;
	char *line = NULL;
	size_t count = 0;

	while (getline(&line, &room, answers) > 0) {
		json_t *read = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		must(json_is_boolean(json_object_get(read, "ok")));
		json_decref(read);
		count++;
	}
	must(count <= lines + 1);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	size_t piece = bytes == 0 ? 1 : 1u + 16u * octets[0];
	FILE *answers;
	int fd;

	if (ctl == NULL)
		start();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(fd, (const struct sockaddr *)&place, sizeof(place)) == 0);
	for (size_t i = 1; i < bytes; i += piece) {
		size_t n = bytes - i < piece ? bytes - i : piece;

		/* It may have closed already, after a line that is too long. */
		if (send(fd, octets + i, n, MSG_NOSIGNAL) != (ssize_t)n)
			break;
	}
	(void)shutdown(fd, SHUT_WR);
	answers = fdopen(fd, "r");
	must(answers != NULL);
	check_answers(answers, lines_of(octets, bytes));
	(void)fclose(answers);
	return 0;
}
