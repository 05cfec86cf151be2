/* SPDX-License-Identifier: Apache-2.0 */
/* sluiced - the service. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/docs.h"
#include "daemon/ledger.h"
#include "daemon/service.h"

#define EXIT_PERMISSION 77
#define EXIT_CONFIGURATION 78
#define WORDS_MAX 256

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_PRINT_CONFIG,
	ACTION_PRINT_SCHEMA,
	ACTION_PRINT_DOC,
	ACTION_REPLAY,
	ACTION_VERSION,
	ACTION_HELP,
	ACTION_USAGE /* wrong words */
};

struct arguments {
	enum action action;
	struct service_setup setup;
	char *overrides[WORDS_MAX];
	char *files[WORDS_MAX];
	size_t file_count;
	struct addr exporter;
	const char *page;
};

static void usage(FILE *out)
{
	(void)fputs(
		"usage: sluiced [-c FILE] [-o KEY=VALUE]... [--check | --print-config | --print-schema]\n"
		"       sluiced [-c FILE] [-o KEY=VALUE]... --replay FILE... [--replay-exporter ADDR]\n"
		"       sluiced --version | --help\n"
		"\n"
		"  -c FILE             configuration; without it every option has its default\n"
		"  -o KEY=VALUE        sets one option: log.max_bytes=2G, listen.0.port=4740\n"
		"  --check             reads configuration, registries and mappings, says what is\n"
		"                      wrong, and exits 78 if anything is\n"
		"  --print-config      the configuration in force, in a form that parses back\n"
		"  --print-schema      the Avro schema that is written\n"
		"  --replay FILE       feeds a capture (pcap, pcapng) or an IPFIX file through, which\n"
		"                      gzip or zstd may have packed, instead of the network,\n"
		"                      drains, prints the ledger, exits\n"
		"  --replay-exporter ADDR   exporter's address for all of the file; an IPFIX file\n"
		"                      names none\n"
		"\n"
		"SIGTERM drains and ends, a second one hurries; SIGHUP reloads.\n"
		"Exit codes: 0, 1 failure, 77 permission, 78 configuration.\n",
		out);
}

/* Options that take no value. */
static const struct {
	const char *word;
	enum action action;
} plain[] = {
	{ "--check", ACTION_CHECK },
	{ "--print-config", ACTION_PRINT_CONFIG },
	{ "--print-schema", ACTION_PRINT_SCHEMA },
	{ "--version", ACTION_VERSION },
	{ "--help", ACTION_HELP },
	{ "-h", ACTION_HELP },
};

static bool take_plain(const char *word, struct arguments *a)
{
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (strcmp(plain[i].word, word) == 0) {
			a->action = plain[i].action;
			return true;
		}
	}
	return false;
}

/* An option with a value; false when it is none, or the value is wrong. */
static bool take_valued(const char *word, char *value, struct arguments *a)
{
	if (strcmp(word, "-c") == 0) {
		a->setup.conf_path = value;
	} else if (strcmp(word, "-o") == 0 && a->setup.override_count < WORDS_MAX) {
		a->overrides[a->setup.override_count++] = value;
	} else if (strcmp(word, "--replay") == 0 && a->file_count < WORDS_MAX) {
		a->files[a->file_count++] = value;
		a->action = ACTION_REPLAY;
	} else if (strcmp(word, "--replay-exporter") == 0) {
		return addr_parse(value, &a->exporter) == ERR_OK;
	} else if (strcmp(word, "--print-doc") == 0) {
		a->action = ACTION_PRINT_DOC;
		a->page = value;
	} else {
		return false;
	}
	return true;
}

static void read_arguments(int argc, char **argv, struct arguments *a)
{
	a->setup.overrides = a->overrides;
	for (int i = 1; i < argc; i++) {
		if (take_plain(argv[i], a))
			continue;
		/* --replay takes all files behind it. */
		if (argv[i][0] != '-' && a->file_count > 0 && a->file_count < WORDS_MAX) {
			a->files[a->file_count++] = argv[i];
			continue;
		}
		if (i + 1 == argc || !take_valued(argv[i], argv[i + 1], a)) {
			(void)fprintf(stderr,
				      "sluiced: %s: not understood, or its value is wrong\n",
				      argv[i]);
			a->action = ACTION_USAGE;
			return;
		}
		i++;
	}
	a->setup.is_check = a->action == ACTION_CHECK;
	a->setup.is_replay = a->action == ACTION_REPLAY || a->setup.is_check;
}

static int fail(enum err e, const struct why *why)
{
	(void)fprintf(stderr, "sluiced: %s\n", why->text[0] != '\0' ? why->text : err_text(e));
	return e == ERR_CONF ? EXIT_CONFIGURATION : e == ERR_PERM ? EXIT_PERMISSION : EXIT_FAILURE;
}

/* The service whose signals these are. */
static struct service *running;

static void on_signal(int number)
{
	if (number == SIGHUP)
		service_ask_reload(running);
	else
		service_ask_stop(running);
}

/* Those that come before there is a service wait for it. */
static void hold_signals(bool is_held)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(is_held ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static void take_signals(struct service *s)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	running = s;
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore,
			NULL); /* a file that may not grow is an error of write() */
	hold_signals(false);
}

static bool writes_stdout(const struct sinks *sinks)
{
	for (size_t i = 0; i < sinks_count(sinks); i++) {
		if (strcmp(sinks_type(sinks, i), "stdout") == 0)
			return true;
	}
	return false;
}

/* The ledger of the run; was it a success?  A replay that lost flows was none: it could have waited. */
static bool print_ledger(struct service *s)
{
	bool is_replay = s->setup.is_replay;
	struct ledger *ledger = malloc(sizeof(*ledger));
	bool is_success;

	if (ledger == NULL)
		return false;
	service_ledger(s, ledger);
	ledger_print(ledger, is_replay && !writes_stdout(s->sinks) ? stdout : stderr);
	if (is_replay && ledger->lost > 0)
		(void)fprintf(stderr, "sluiced: %llu flows were not delivered\n",
			      (unsigned long long)ledger->lost);
	if (!is_replay)
		log_info("sluiced.stopped balanced=%s", ledger->is_balanced ? "yes" : "no");
	is_success = ledger->is_balanced && (!is_replay || ledger->lost == 0);
	free(ledger);
	return is_success;
}

static int run(struct arguments *a)
{
	bool is_replay = a->action == ACTION_REPLAY;
	struct why why = { "" };
	struct service *s;
	bool is_success;
	enum err e;

	hold_signals(true);
	e = service_open(&a->setup, &s, &why);
	if (e != ERR_OK)
		return fail(e, &why);
	take_signals(s);
	e = service_start(s, &why);
	if (e == ERR_OK)
		e = is_replay ? service_replay(s, a->files, a->file_count,
					       a->exporter.bytes == 0 ? NULL : &a->exporter, &why)
			      : service_run(s, &why);
	is_success = service_stop(s) == ERR_OK;
	is_success = print_ledger(s) && is_success;
	service_close(s);
	if (e != ERR_OK)
		return fail(e, &why);
	return is_success ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Everything is opened as for a run, but no socket, and nothing starts. */
static int check(struct arguments *a)
{
	struct why why = { "" };
	struct service *s;
	enum err e = service_open(&a->setup, &s, &why);

	if (e != ERR_OK) {
		int code = fail(e, &why);

		/* A folder that is not there is wrong configuration as well: no restart heals it. */
		return code == EXIT_FAILURE ? EXIT_CONFIGURATION : code;
	}
	(void)printf("ok: %zu mappings, %zu elements, %zu sinks\n",
		     reload_newest(&s->reload)->catalog->mappings->count,
		     element_count(reload_newest(&s->reload)->catalog->elements),
		     service_options(s)->sink_count);
	service_close(s);
	return EXIT_SUCCESS;
}

static int print_config(const struct arguments *a)
{
	struct why why = { "" };
	struct options *o;
	enum err e = options_load(a->setup.conf_path, a->setup.overrides, a->setup.override_count,
				  &why, &o);

	if (e != ERR_OK)
		return fail(e, &why);
	conf_print(options_table, o, stdout);
	options_free(o);
	return EXIT_SUCCESS;
}

static int print_schema(const struct arguments *a)
{
	struct why why = { "" };
	struct options *o;
	struct generation *g;
	enum err e = options_load(a->setup.conf_path, a->setup.overrides, a->setup.override_count,
				  &why, &o);

	if (e == ERR_OK)
		e = generation_load(o, 1, NULL, &why, &g);
	if (e != ERR_OK)
		return fail(e, &why);
	(void)puts(g->schema_text);
	generation_free(g);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct arguments a = { .action = ACTION_RUN };

	read_arguments(argc, argv, &a);
	switch (a.action) {
	case ACTION_CHECK:
		return check(&a);
	case ACTION_PRINT_CONFIG:
		return print_config(&a);
	case ACTION_PRINT_SCHEMA:
		return print_schema(&a);
	case ACTION_PRINT_DOC:
		return docs_print(a.page, stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
	case ACTION_VERSION:
		(void)puts("sluiced " SLUICE_VERSION);
		return EXIT_SUCCESS;
	case ACTION_HELP:
		usage(stdout);
		return EXIT_SUCCESS;
	case ACTION_USAGE:
		usage(stderr);
		return EXIT_CONFIGURATION;
	case ACTION_RUN:
	case ACTION_REPLAY:
		break;
	}
	return run(&a);
}
