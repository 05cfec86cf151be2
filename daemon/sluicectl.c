/* SPDX-License-Identifier: Apache-2.0 */
/* sluicectl - asks and steers a running sluiced through its control socket. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/ctl_show.h"
#include "daemon/log_dump.h"

#define DEFAULT_SOCKET "run/sluice.sock"
#define SYSTEM_SOCKET "/run/sluice/sluice.sock"
#define COMMAND_BYTES_MAX 4000
#define ANSWER_BYTES_MAX (256u << 20)

struct request {
	const char *socket;
	bool is_json;
	char command[COMMAND_BYTES_MAX + 1]; /* its end becomes that of the line */
	const char *verb;
};

static void usage(FILE *out)
{
	(void)fputs(
		"usage: sluicectl [-s SOCKET] [--json] COMMAND [ARGUMENT]...\n"
		"\n"
		"  status              is it well: sockets, log, sinks, rates\n"
		"  ledger              what came in, went out and was lost; exit 1 if not balanced\n"
		"  exporters           who sends, and what their sequence numbers say\n"
		"  templates           templates in force, element by element\n"
		"  templates --unmapped  elements that arrive and fill no field\n"
		"  mappings [list]     mapping files of the running generation\n"
		"  fields [NAME]       canonical fields: meaning, example, what feeds them\n"
		"  schema              the Avro schema that is written\n"
		"  sinks               each sink's state and position\n"
		"  log                 segments, and how far each sink is\n"
		"  log dump PATH [--records]  what stands in segments; asks no service\n"
		"  counters            every counter\n"
		"  tail [-n N] [EXPR]  flow events as they pass; EXPR is FIELD=VALUE\n"
		"  reload              read configuration, mappings and registries again\n"
		"  drain               wait until every sink has everything\n"
		"  replay              send dead letters through again\n"
		"  level LEVEL         error, warn, info or debug\n"
		"  version             version of the running service\n"
		"  help                the commands that the running service knows\n"
		"\n"
		"  -s SOCKET           control socket (else $SLUICE_SOCKET, ./" DEFAULT_SOCKET
		", " SYSTEM_SOCKET ")\n"
		"  --json              the answer as the service gave it\n",
		out);
}

static const char *default_socket(void)
{
	const char *from_env =
		getenv("SLUICE_SOCKET"); /* NOLINT(concurrency-mt-unsafe): one thread */

	if (from_env != NULL && from_env[0] != '\0')
		return from_env;
	return access(DEFAULT_SOCKET, F_OK) == 0 ? DEFAULT_SOCKET : SYSTEM_SOCKET;
}

/* The rest of the words, with one space between them. */
static bool join_words(struct request *r, char *const *words, int count)
{
	size_t used = 0;

	for (int i = 0; i < count; i++) {
		int n = snprintf(r->command + used, COMMAND_BYTES_MAX - used, "%s%s",
				 i == 0 ? "" : " ", words[i]);

		if (n < 0 || (size_t)n >= COMMAND_BYTES_MAX - used)
			return false;
		used += (size_t)n;
	}
	return strpbrk(r->command, "\r\n") == NULL;
}

/* Exit code to give at once, or -1 to go on. */
static int read_words(int argc, char **argv, struct request *r)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			r->is_json = true;
		} else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) {
			r->socket = argv[++i];
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			usage(stdout);
			return 0;
		} else {
			(void)fprintf(stderr, "sluicectl: unknown option %s\n", argv[i]);
			usage(stderr);
			return 2;
		}
	}
	/* --json is taken behind the command too. */
	while (argc > i + 1 && strcmp(argv[argc - 1], "--json") == 0) {
		r->is_json = true;
		argc--;
	}
	if (i == argc) {
		usage(stderr);
		return 2;
	}
	r->verb = argv[i];
	if (!join_words(r, argv + i, argc - i)) {
		(void)fputs("sluicectl: command too long, or of more than one line\n", stderr);
		return 2;
	}
	return -1;
}

static int connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		(void)fprintf(stderr, "sluicectl: %s: path too long for a socket\n", path);
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	(void)fprintf(stderr, "sluicectl: %s: %s%s\n", path, strerror(errno),
		      errno == ENOENT || errno == ECONNREFUSED ? " (is sluiced running?)" : "");
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* When the service closes before it has read everything, it may have said why. */
static void send_command(int fd, char command[COMMAND_BYTES_MAX + 1])
{
	size_t bytes = strlen(command);
	size_t sent = 0;

	command[bytes++] = '\n';
	while (sent < bytes) {
		ssize_t n = send(fd, command + sent, bytes - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		sent += (size_t)n;
	}
}

/* One answer; the exit code, or -1 when more is to come. */
static int take_line(const struct request *r, const char *line, size_t bytes)
{
	json_error_t error;
	json_t *answer;
	bool is_more;
	int code;

	answer = json_loadb(line, bytes, 0, &error);
	if (answer == NULL || !json_is_object(answer)) {
		(void)fprintf(stderr, "sluicectl: the answer is no JSON object\n");
		json_decref(answer);
		return 1;
	}
	is_more = json_is_true(json_object_get(answer, "more"));
	code = json_is_false(json_object_get(answer, "ok")) ? 1 : 0;
	if (r->is_json)
		(void)printf("%.*s\n", (int)bytes, line);
	else
		ctl_show(r->verb, answer, stdout);
	(void)fflush(stdout);
	json_decref(answer);
	return is_more ? -1 : code;
}

static int read_answers(const struct request *r, FILE *from)
{
	char *line = NULL;
	size_t room = 0;
	int code = -1;
	bool is_any = false;

	while (code < 0) {
		ssize_t n = getline(&line, &room, from);

		if (n <= 0 || (size_t)n > ANSWER_BYTES_MAX)
			break;
		is_any = true;
		if (line[n - 1] == '\n')
			n--;
		code = take_line(r, line, (size_t)n);
	}
	free(line);
	if (!is_any)
		(void)fputs("sluicectl: no answer\n", stderr);
	return code >= 0 ? code : is_any ? 0 : 1;
}

/* `log dump` reads files itself; -1 when it is not asked for. */
static int dump(const struct request *r)
{
	static const char words[] = "log dump ";
	static const char records[] = " --records";
	char path[COMMAND_BYTES_MAX + 1];
	size_t bytes;
	bool is_records;

	if (strncmp(r->command, words, sizeof(words) - 1) != 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s", r->command + sizeof(words) - 1);
	bytes = strlen(path);
	is_records = bytes >= sizeof(records) &&
		     strcmp(path + bytes - (sizeof(records) - 1), records) == 0;
	if (is_records)
		path[bytes - (sizeof(records) - 1)] = '\0';
	return log_dump(path, is_records, stdout);
}

int main(int argc, char **argv)
{
	struct request r = { 0 };
	int code = read_words(argc, argv, &r);
	FILE *from;
	int fd;

	if (code < 0)
		code = dump(&r);
	if (code >= 0)
		return code;
	fd = connect_to(r.socket != NULL ? r.socket : default_socket());
	if (fd < 0)
		return 1;
	send_command(fd, r.command);
	from = fdopen(fd, "r");
	if (from == NULL) {
		(void)fprintf(stderr, "sluicectl: %s\n", strerror(errno));
		(void)close(fd);
		return 1;
	}
	code = read_answers(&r, from);
	(void)fclose(from);
	return code;
}
