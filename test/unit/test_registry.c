/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the registry client gets ids, tells refusal from absence, fails over, remembers across
 * starts, believes nothing it is told, and never keeps its caller waiting.
 * Method: over real HTTP against test/system/registry_double.py, in all of its ways to misbehave; the
 * longest single registry_poll() of the whole run is measured.  The cache is tried with a table of
 * broken files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/registry.h"
#include "sink/registry_cache.h"
#include "test/unit/kafka_child.h"
#include "test/unit/pace.h"

#define PAUSE_MS 20 /* whoever may sleep longer has nothing under way */
#define DOUBLE "test/system/registry_double.py"
#define SCHEMA "{\"type\":\"record\",\"name\":\"x\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}"
#define POLL_MS_MAX 500 /* who waits for the double in its slow mode takes seconds */

static struct child registry_child;
static int port;
static char url[64];
static char dead_url[64];
static char state_dir[64];
static int64_t longest_poll_ms;

static int double_start(struct child *c, const char *option, const char *value)
{
	const char *const argv[] = { "python3", DOUBLE, option, value, NULL };
	char line[64];
	int n = -1;

	if (!child_start(c, argv) || !child_read(c, line, sizeof(line)) ||
	    sscanf(line, "port %d", &n) != 1)
		fail_msg("python3 %s does not start; tests run in the project's folder", DOUBLE);
	return n;
}

static void control(const char *method, const char *path, const char *body, char *answer, size_t room)
{
	char unused[1024];

	if (!http_ask(port, method, path, body, answer == NULL ? unused : answer,
		      answer == NULL ? sizeof(unused) : room))
		fail_msg("the registry double does not answer %s %s", method, path);
}

static void mode(const char *json)
{
	control("PUT", "/_mode", json, NULL, 0);
}

static int group_setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	port = double_start(&registry_child, NULL, NULL);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", port);
	/* Port 1 is reserved for a service that nobody runs. */
	(void)snprintf(dead_url, sizeof(dead_url), "http://127.0.0.1:1/");
	(void)snprintf(state_dir, sizeof(state_dir), "/tmp/test_registry.XXXXXX");
	return mkdtemp(state_dir) == NULL;
}

static int group_teardown(void **state)
{
	char command[128];

	(void)state;
	child_stop(&registry_child);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", state_dir);
	return system(command);
}

static int each_setup(void **state)
{
	(void)state;
	mode("{\"mode\":\"ok\"}");
	control("DELETE", "/_requests", "", NULL, 0);
	return 0;
}

static struct registry *client(const char *const *urls, size_t count, bool is_register,
			       const char *dir)
{
	struct registry_conf conf = {
		.urls = urls, .url_count = count, .timeout_ms = 700,
		.auto_register = is_register, .state_dir = dir,
	};
	struct registry *r = NULL;
	struct why why;

	if (registry_open(&conf, &why, &r) != ERR_OK)
		fail_msg("%s", why.text);
	return r;
}

/* The client's clock: pauses are skipped, not waited for. */
static int64_t skipped_ms;

static int64_t now_ms(void)
{
	return clock_mono_ms() + skipped_ms;
}

/* Polls until the answer is of that state; what it is after `ms` otherwise. */
static struct registry_answer until(struct registry *r, enum registry_state wanted, int64_t ms)
{
	int64_t end = now_ms() + ms;
	struct registry_answer a;

	do {
		struct pace before = pace_now();
		int wait_ms = registry_poll(r, now_ms());
		int64_t took = pace_ms_since(&before);

		if (took > longest_poll_ms)
			longest_poll_ms = took;
		assert_true(wait_ms >= 0);
		registry_answer(r, &a);
		if (wait_ms > PAUSE_MS)
			skipped_ms += wait_ms - PAUSE_MS;
		(void)usleep(1000);
	} while (a.state != wanted && now_ms() < end);
	return a;
}

static void registers(void **state)
{
	const char *const urls[] = { url };
	struct registry *r = client(urls, 1, true, NULL);
	struct registry_answer a;
	char asked[8192];
	uint32_t id;

	(void)state;
	registry_answer(r, &a);
	assert_int_equal(a.state, REGISTRY_IDLE);
	assert_true(registry_poll(r, now_ms()) > 100);
	assert_int_equal(registry_ask(r, "flows/eu %-value", SCHEMA), ERR_OK);
	a = until(r, REGISTRY_KNOWN, 5000);
	assert_int_equal(a.state, REGISTRY_KNOWN);
	assert_true(a.id > 0);
	assert_string_equal(a.text, "");
	assert_int_equal(a.failures, 0);
	id = a.id;
	/* The same again gives the same; another schema another. */
	assert_int_equal(registry_ask(r, "flows/eu %-value", SCHEMA), ERR_OK);
	registry_answer(r, &a);
	assert_int_equal(a.state, REGISTRY_ASKING);
	assert_int_equal(a.id, 0);
	assert_int_equal(until(r, REGISTRY_KNOWN, 5000).id, id);
	assert_int_equal(registry_ask(r, "flows/eu %-value", "\"string\""), ERR_OK);
	a = until(r, REGISTRY_KNOWN, 5000);
	assert_int_not_equal(a.id, id);
	assert_int_not_equal(a.id, 0);
	control("GET", "/_requests", "", asked, sizeof(asked));
	assert_non_null(strstr(asked, "\"/subjects/flows%2Feu%20%25-value/versions\""));
	assert_non_null(strstr(asked, "\"application/vnd.schemaregistry.v1+json\""));
	assert_null(strstr(asked, "x-www-form"));
	registry_close(r);
}

static void looks_up(void **state)
{
	const char *const urls[] = { url };
	struct registry *writer = client(urls, 1, true, NULL);
	struct registry *reader = client(urls, 1, false, NULL);
	struct registry_answer a;
	uint32_t id;

	(void)state;
	assert_int_equal(registry_ask(reader, "look-value", SCHEMA), ERR_OK);
	a = until(reader, REGISTRY_REFUSED, 5000);
	assert_int_equal(a.state, REGISTRY_REFUSED);
	assert_int_equal(a.id, 0);
	assert_non_null(strstr(a.text, "Subject 'look-value' not found"));
	assert_int_equal(registry_ask(writer, "look-value", SCHEMA), ERR_OK);
	id = until(writer, REGISTRY_KNOWN, 5000).id;
	assert_int_equal(registry_ask(reader, "look-value", SCHEMA), ERR_OK);
	assert_int_equal(until(reader, REGISTRY_KNOWN, 5000).id, id);
	registry_close(writer);
	registry_close(reader);
}

static const struct answer_case {
	const char *mode;
	enum registry_state state;
	const char *text;
} answer_cases[] = {
	{ "409", REGISTRY_CONFLICT, "409: Incompatible schema: field \"x\" has no default" },
	{ "422", REGISTRY_REFUSED, "422: Invalid Avro schema" },
	{ "400", REGISTRY_REFUSED, "400: Bad request" },
	{ "401", REGISTRY_DENIED, "401: Unauthorized" },
	{ "403", REGISTRY_DENIED, "403: Forbidden" },
	{ "gateway", REGISTRY_AWAY, "404: no Route matched with those values" },
	{ "429", REGISTRY_AWAY, "429: Too many" },
	{ "500", REGISTRY_AWAY, "500: Error in the backend" },
	{ "503", REGISTRY_AWAY, "503: No master" },
	{ "garbage", REGISTRY_AWAY, "no schema id" },
	{ "badid", REGISTRY_AWAY, "no schema id" },
	{ "textid", REGISTRY_AWAY, "no schema id" },
	{ "noid", REGISTRY_AWAY, "no schema id" },
	{ "redirect", REGISTRY_AWAY, "redirections are not followed" },
	{ "huge", REGISTRY_AWAY, "too large" },
	{ "down", REGISTRY_AWAY, "127.0.0.1" },
	{ "slow", REGISTRY_AWAY, "imeout" },
	{ "trickle", REGISTRY_AWAY, "imeout" },
};

static void answers(void **state)
{
	const char *const urls[] = { url };

	(void)state;
	for (size_t i = 0; i < sizeof(answer_cases) / sizeof(answer_cases[0]); i++) {
		const struct answer_case *c = &answer_cases[i];
		struct registry *r = client(urls, 1, true, NULL);
		struct registry_answer a;
		char body[64];

		(void)snprintf(body, sizeof(body), "{\"mode\":\"%s\"}", c->mode);
		mode(body);
		assert_int_equal(registry_ask(r, "answers-value", SCHEMA), ERR_OK);
		a = until(r, c->state, 5000);
		if (a.state != c->state || strstr(a.text, c->text) == NULL || a.id != 0)
			fail_msg("%s: state %s, text \"%s\", id %u", c->mode,
				 registry_state_text(a.state), a.text, a.id);
		assert_true(a.failures >= 1);
		registry_close(r);
	}
}

static void comes_back(void **state)
{
	const char *const urls[] = { url };
	struct registry *r = client(urls, 1, true, NULL);
	struct registry_answer a;

	(void)state;
	mode("{\"mode\":\"500\",\"count\":2}");
	assert_int_equal(registry_ask(r, "back-value", SCHEMA), ERR_OK);
	assert_int_equal(until(r, REGISTRY_AWAY, 1000).state, REGISTRY_AWAY);
	/* Two failures: about 1 s and 2 s of pause. */
	a = until(r, REGISTRY_KNOWN, 8000);
	assert_int_equal(a.state, REGISTRY_KNOWN);
	assert_int_equal(a.failures, 2);
	assert_string_equal(a.text, "");
	registry_close(r);
}

static void fails_over(void **state)
{
	const char *const urls[] = { dead_url, url };
	struct registry *r = client(urls, 2, true, NULL);
	struct registry_answer a;

	(void)state;
	assert_int_equal(registry_ask(r, "over-value", SCHEMA), ERR_OK);
	a = until(r, REGISTRY_KNOWN, 900); /* without a pause */
	assert_int_equal(a.state, REGISTRY_KNOWN);
	assert_int_equal(a.failures, 1);
	registry_close(r);
}

static void remembers(void **state)
{
	const char *const urls[] = { url };
	struct registry *r = client(urls, 1, true, state_dir);
	struct registry_answer a;
	uint32_t id;

	(void)state;
	assert_int_equal(registry_ask(r, "kept-value", SCHEMA), ERR_OK);
	id = until(r, REGISTRY_KNOWN, 5000).id;
	assert_int_not_equal(id, 0);
	registry_close(r);

	mode("{\"mode\":\"down\"}");
	r = client(urls, 1, true, state_dir);
	assert_int_equal(registry_ask(r, "other-value", SCHEMA), ERR_OK);
	assert_int_equal(until(r, REGISTRY_AWAY, 5000).id, 0);
	assert_int_equal(registry_ask(r, "kept-value", "\"string\""), ERR_OK);
	assert_int_equal(until(r, REGISTRY_AWAY, 5000).id, 0);
	assert_int_equal(registry_ask(r, "kept-value", SCHEMA), ERR_OK);
	a = until(r, REGISTRY_CACHED, 5000);
	assert_int_equal(a.state, REGISTRY_CACHED);
	assert_int_equal(a.id, id);
	/* When it comes back it has the last word. */
	mode("{\"mode\":\"ok\"}");
	a = until(r, REGISTRY_KNOWN, 5000);
	assert_int_equal(a.state, REGISTRY_KNOWN);
	assert_int_equal(a.id, id);
	registry_close(r);

	/* A 404 that is not the registry's own takes nothing away; one that is does. */
	mode("{\"mode\":\"gateway\"}");
	r = client(urls, 1, true, state_dir);
	assert_int_equal(registry_ask(r, "kept-value", SCHEMA), ERR_OK);
	assert_int_equal(until(r, REGISTRY_CACHED, 5000).id, id);
	mode("{\"mode\":\"400\"}");
	a = until(r, REGISTRY_REFUSED, 5000);
	assert_int_equal(a.state, REGISTRY_REFUSED);
	assert_int_equal(a.id, 0);
	/* It is asked again soon. */
	mode("{\"mode\":\"ok\"}");
	a = until(r, REGISTRY_KNOWN, 4000);
	assert_int_equal(a.state, REGISTRY_KNOWN);
	assert_int_equal(a.id, id);
	registry_close(r);

	mode("{\"mode\":\"401\"}");
	r = client(urls, 1, true, state_dir);
	assert_int_equal(registry_ask(r, "kept-value", SCHEMA), ERR_OK);
	assert_int_equal(until(r, REGISTRY_DENIED, 5000).id, id);
	mode("{\"mode\":\"409\"}");
	assert_int_equal(registry_ask(r, "kept-value", SCHEMA), ERR_OK);
	assert_int_equal(until(r, REGISTRY_CONFLICT, 5000).id, 0);
	registry_close(r);
}

static void authorizes(void **state)
{
	static const struct {
		const char *option, *value, *user, *password, *token;
		bool is_let_in;
	} cases[] = {
		{ "--user", "joe:s3:cret", "joe", "s3:cret", NULL, true },
		{ "--user", "joe:s3:cret", "joe", "wrong", NULL, false },
		{ "--user", "joe:s3:cret", NULL, NULL, NULL, false },
		{ "--token", "abc.def", NULL, NULL, "abc.def", true },
		{ "--token", "abc.def", "abc.def", NULL, NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct child c = { 0 };
		char address[64];
		const char *const urls[] = { address };
		struct registry_conf conf = {
			.urls = urls, .url_count = 1, .timeout_ms = 3000, .auto_register = true,
			.user = cases[i].user, .password = cases[i].password,
			.token = cases[i].token,
		};
		enum registry_state wanted = cases[i].is_let_in ? REGISTRY_KNOWN : REGISTRY_DENIED;
		struct registry *r = NULL;
		int n = double_start(&c, cases[i].option, cases[i].value);

		(void)snprintf(address, sizeof(address), "http://localhost:%d/", n);
		assert_int_equal(registry_open(&conf, NULL, &r), ERR_OK);
		assert_int_equal(registry_ask(r, "auth-value", SCHEMA), ERR_OK);
		assert_int_equal(until(r, wanted, 5000).state, wanted);
		registry_close(r);
		child_stop(&c);
	}
}

static void path_prefix(void **state)
{
	struct child c = { 0 };
	char address[64];
	const char *const urls[] = { address };
	int n = double_start(&c, "--prefix", "/apis/ccompat/v7");
	struct registry *r;

	(void)state;
	(void)snprintf(address, sizeof(address), "http://127.0.0.1:%d/apis/ccompat/v7/", n);
	r = client(urls, 1, true, NULL);
	assert_int_equal(registry_ask(r, "prefix-value", SCHEMA), ERR_OK);
	assert_int_equal(until(r, REGISTRY_KNOWN, 5000).state, REGISTRY_KNOWN);
	registry_close(r);
	child_stop(&c);
}

static void wrong_addresses(void **state)
{
	static const char *const wrong[] = {
		"",	  "127.0.0.1:8081",    "ftp://host",	 "file:///etc/passwd", "http://",
		"http:///x", "http://u:p@host/", "http://host/?q", "http://host/#x",	"http://ho st",
		"http://host/\r\nX: y", "HTTP//host",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *const urls[] = { url, wrong[i] };
		struct registry_conf conf = { .urls = urls, .url_count = 2, .timeout_ms = 1000 };
		struct registry *r = NULL;
		struct why why = { "" };

		assert_int_equal(registry_open(&conf, &why, &r), ERR_CONF);
		assert_null(r);
		assert_true(strlen(why.text) > 10);
		assert_null(strstr(why.text, "u:p"));
	}
}

static void cache_file(void **state)
{
	static const char *const broken[] = {
		"", "{", "[]", "null", "\"format\"", "{\"format\":1}", "{\"format\":1,\"entries\":7}",
		"{\"format\":\"2\",\"entries\":[{\"subject\":\"s\",\"id\":9,\"schema\":\"x\"}]}",
		"{\"format\":1,\"entries\":[{\"subject\":\"s\",\"id\":-9,\"schema\":\"x\"}]}",
		"{\"format\":1,\"entries\":[{\"subject\":\"s\",\"id\":0,\"schema\":\"x\"}]}",
		"{\"format\":1,\"entries\":[{\"subject\":\"s\",\"id\":4294967297,\"schema\":\"x\"}]}",
		"{\"format\":1,\"entries\":[{\"subject\":\"s\",\"id\":9}]}",
		"{\"format\":1,\"entries\":[{\"subject\":\"s\",\"id\":9,\"schema\":[\"x\"]}]}",
		"{\"format\":1,\"entries\":[null,[],{}]}",
		"{\"format\":1,\"entries\":[{\"subject\":\"s\",\"id\":9,\"schema\":\"x\"}]} trailing",
	};
	char path[128];
	char subject[32];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/cache.json", state_dir);
	assert_int_equal(registry_cache_find(path, "s", "x"), 0);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		assert_int_equal(fwrite(broken[i], 1, strlen(broken[i]), f), strlen(broken[i]));
		assert_int_equal(fclose(f), 0);
		assert_int_equal(registry_cache_find(path, "s", "x"), 0);
		/* The next id replaces it. */
		assert_int_equal(registry_cache_add(path, "s", "x", 5), ERR_OK);
		assert_int_equal(registry_cache_find(path, "s", "x"), 5);
	}
	for (uint32_t i = 0; i < 3 * REGISTRY_CACHE_ENTRIES; i++) {
		(void)snprintf(subject, sizeof(subject), "s%u", i);
		assert_int_equal(registry_cache_add(path, subject, "x", i + 1), ERR_OK);
		assert_int_equal(registry_cache_add(path, subject, "x", i + 1000), ERR_OK);
		assert_int_equal(registry_cache_find(path, subject, "x"), i + 1000);
	}
	for (uint32_t i = 0; i < 3 * REGISTRY_CACHE_ENTRIES; i++) {
		(void)snprintf(subject, sizeof(subject), "s%u", i);
		assert_int_equal(registry_cache_find(path, subject, "x"),
				 i < 2 * REGISTRY_CACHE_ENTRIES ? 0 : i + 1000);
	}
	/* Not through a link, and not where there is no folder. */
	(void)snprintf(path, sizeof(path), "%s/none/cache.json", state_dir);
	assert_int_equal(registry_cache_add(path, "s", "x", 5), ERR_IO);
}

/* What a newer version wrote is refused by name, and left alone. */
static void cache_of_a_newer_format(void **state)
{
	static const char text[] = "{\"format\": 2, \"ids\": {}}";
	const char *const urls[] = { url };
	struct registry_conf conf = { .urls = urls, .url_count = 1, .timeout_ms = 700 };
	struct registry *r = NULL;
	struct why why = { "" };
	char dir[] = "/tmp/test_registry.XXXXXX";
	char command[512];
	char path[256];
	char read[64];
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	conf.state_dir = dir;
	/* Which file it is, from an id that is kept there. */
	conf.auto_register = true;
	assert_int_equal(registry_open(&conf, &why, &r), ERR_OK);
	assert_int_equal(registry_ask(r, "newer-value", SCHEMA), ERR_OK);
	assert_int_equal(until(r, REGISTRY_KNOWN, 5000).state, REGISTRY_KNOWN);
	registry_close(r);
	(void)snprintf(command, sizeof(command), "ls %s/schema/*.json", dir);
	f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%255s", path), 1);
	assert_int_equal(pclose(f), 0);

	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, sizeof(text) - 1, f), sizeof(text) - 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(registry_open(&conf, &why, &r), ERR_FORMAT);
	assert_non_null(strstr(why.text, path));
	assert_non_null(strstr(why.text, "format 2"));
	assert_int_equal(registry_cache_add(path, "s", "x", 5), ERR_FORMAT);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fread(read, 1, sizeof(read), f), sizeof(text) - 1);
	assert_memory_equal(read, text, sizeof(text) - 1);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(command, sizeof(command), "rm -r '%s'", dir);
	assert_int_equal(system(command), 0);
}

static void never_waits(void **state)
{
	(void)state;
	if (longest_poll_ms > POLL_MS_MAX)
		fail_msg("one registry_poll() took %d ms", (int)longest_poll_ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, each_setup),
		cmocka_unit_test_setup(looks_up, each_setup),
		cmocka_unit_test_setup(answers, each_setup),
		cmocka_unit_test_setup(comes_back, each_setup),
		cmocka_unit_test_setup(fails_over, each_setup),
		cmocka_unit_test_setup(remembers, each_setup),
		cmocka_unit_test(authorizes),
		cmocka_unit_test(path_prefix),
		cmocka_unit_test(wrong_addresses),
		cmocka_unit_test(cache_file),
		cmocka_unit_test_setup(cache_of_a_newer_format, each_setup),
		cmocka_unit_test(never_waits), /* the last: it looks at all before */
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
