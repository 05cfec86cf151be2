/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no text crashes the configuration reader, an override neither, and what it takes it
 * prints so that it reads back the same; without memory it says so.
 * Method: the input as a file's text, then each line of it as an override; what is taken goes
 * through print, read, print again.  One input in eight is read again with allocations that fail.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/must.h"
#include "test/fuzz/alloc.h"

struct net {
	char *host;
	uint32_t port;
};

struct disk {
	char *path;
	uint64_t page_bytes;
};

struct out {
	char *type;
	void *conf;
	int line;
};

struct limits {
	uint64_t bytes;
	int64_t skew;
};

struct sample {
	bool is_on;
	uint32_t workers;
	int mode;
	char **words;
	size_t word_count;
	struct limits limits;
	struct out *outs;
	size_t out_count;
};

static const struct conf_opt net_table[] = {
	{ "host", CONF_STRING, CONF_LIVE, offsetof(struct net, host), 1, 20, "localhost", "Host." },
	{ "port", CONF_U32, CONF_LIVE, offsetof(struct net, port), 0, UINT32_MAX, "9092", "Port." },
	{ 0 },
};

static const struct conf_opt disk_table[] = {
	{ "path", CONF_STRING, CONF_LIVE, offsetof(struct disk, path), 0, 0, NULL, "Folder." },
	{ "page", CONF_SIZE, CONF_LIVE, offsetof(struct disk, page_bytes), 0, INT64_MAX, "64K",
	  "Page." },
	{ 0 },
};

static const struct conf_variant *variants(void)
{
	static const struct conf_variant list[] = {
		{ "net", net_table, sizeof(struct net) },
		{ "disk", disk_table, sizeof(struct disk) },
		{ 0 },
	};

	return list;
}

static const struct conf_opt out_table[] = {
	{ "type", CONF_STRING, CONF_LIVE, offsetof(struct out, type), 1, 64, NULL, "Type." },
	CONF_VARIANT_ROW(struct out, conf, variants),
	CONF_LINE_ROW(struct out, line),
	{ 0 },
};

static const struct conf_opt limits_table[] = {
	{ "max_bytes", CONF_SIZE, CONF_LIVE, offsetof(struct limits, bytes), 0, INT64_MAX, "10G",
	  "Octets." },
	{ "skew", CONF_I64, CONF_LIVE, offsetof(struct limits, skew), INT32_MIN, INT64_MAX, "0",
	  "Skew." },
	{ 0 },
};

static const struct conf_word modes[] = { { "slow", 0 }, { "fast", 7 }, { 0 } };

static const struct conf_opt table[] = {
	{ "enabled", CONF_BOOL, CONF_LIVE, offsetof(struct sample, is_on), 0, 0, "true", "On." },
	{ "workers", CONF_U32, CONF_LIVE, offsetof(struct sample, workers), 1, 256, "2", "Count." },
	CONF_ENUM_ROW("mode", struct sample, mode, CONF_LIVE, modes, "fast", "Mode."),
	CONF_STRINGS_ROW("words", struct sample, words, word_count, CONF_LIVE, "Words."),
	CONF_GROUP_ROW("limits", struct sample, limits, limits_table, "Limits."),
	CONF_LIST_ROW("outs", struct sample, outs, out_count, CONF_LIVE, out_table, struct out,
		      "Outputs."),
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);
const char *__lsan_default_suppressions(void); /* NOLINT: the sanitizer's name */

/* libconfig 1.5 loses a text that stands where the syntax is wrong. */
const char *__lsan_default_suppressions(void) /* NOLINT: the sanitizer's name */
{
	return "leak:libconfig";
}

static char *printed(const struct sample *s)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	must(f != NULL);
	conf_print(table, s, f);
	must(fclose(f) == 0);
	return text;
}

/* Memory is short when, and only when, an allocation failed since there were `failures`. */
static bool is_taken(enum err e, const struct why *why, uint64_t failures)
{
	must(e == ERR_OK || e == ERR_CONF || e == ERR_NOMEM);
	must((e == ERR_NOMEM) == (alloc_failures() > failures));
	must(e == ERR_OK || why->text[0] != '\0');
	return e == ERR_OK;
}

static void differs(void *ctx, const char *path, enum conf_reload reload)
{
	(void)ctx;
	(void)path;
	(void)reload;
	must(false);
}

static void round_trip(const struct sample *s)
{
	char *once = printed(s);
	uint64_t failures = alloc_failures();
	struct why why = { "" };
	struct sample again;
	char *twice;
	enum err e;

	e = conf_load_text(table, once, &again, sizeof(again), &why);
	must(e != ERR_CONF);
	if (is_taken(e, &why, failures)) {
		twice = printed(&again);
		must(strcmp(once, twice) == 0);
		conf_diff(table, s, &again, differs, NULL);
		conf_free(table, &again);
		free(twice);
	}
	free(once);
}

static void read_text(const char *text)
{
	uint64_t failures = alloc_failures();
	struct why why = { "" };
	struct sample s;

	if (is_taken(conf_load_text(table, text, &s, sizeof(s), &why), &why, failures)) {
		round_trip(&s);
		conf_free(table, &s);
	}
}

static void read_override(char *line)
{
	uint64_t failures = alloc_failures();
	struct why why = { "" };
	struct sample s;

	if (is_taken(conf_load(table, NULL, &line, 1, &s, sizeof(s), &why), &why, failures)) {
		round_trip(&s);
		conf_free(table, &s);
	}
}

static void once(const uint8_t *octets, size_t bytes)
{
	char *text;
	char *rest;

	alloc_pause();
	text = malloc(bytes + 1);
	must(text != NULL);
	alloc_resume();
	memcpy(text, octets, bytes);
	text[bytes] = '\0';
	read_text(text);
	rest = text;
	while (rest != NULL)
		read_override(strsep(&rest, "\n"));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	/* A file of the fuzzer's choosing is not what is tested. */
	if (memmem(octets, bytes, "include", 7) == NULL)
		alloc_turns(once, octets, bytes);
	return 0;
}
