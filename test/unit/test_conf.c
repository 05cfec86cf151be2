/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: one table drives reading, errors, overrides, printing and the difference of two loads;
 * what is wrong is named with its place and the nearest known word, and what is printed reads
 * back the same.
 * Method: a table with a row of every type; broken texts with the error they must give; good
 * texts with the value that must come out of them; files, includes and secrets in a folder of
 * the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATH_BYTES 256

struct net {
	char *host;
	uint32_t port;
};

struct disk {
	char *path;
	char *key;
	uint64_t page_bytes;
};

struct out {
	char *name;
	char *type;
	void *conf;
	int line;
};

struct hole {
	char *cidr;
	int64_t domain;
	int line;
};

struct limits {
	uint64_t bytes;
	int64_t skew;
	uint32_t rate;
};

struct sample {
	bool is_on;
	uint32_t workers;
	int mode;
	char *state;
	char *token;
	char **words;
	size_t word_count;
	struct limits limits;
	struct out *outs;
	size_t out_count;
	struct hole *holes;
	size_t hole_count;
};

#define AT(member) offsetof(struct net, member)
static const struct conf_opt net_table[] = {
	{ "host", CONF_STRING, CONF_RESTART, AT(host), 1, 20, "localhost", "Host." },
	{ "port", CONF_U32, CONF_RESTART, AT(port), 1, 65535, "9092", "Port." },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct disk, member)
static const struct conf_opt disk_table[] = {
	{ "path", CONF_STRING, CONF_RESTART, AT(path), 1, 100, NULL, "Folder." },
	{ "key", CONF_SECRET, CONF_RESTART, AT(key), 0, 0, NULL, "Key." },
	{ "page", CONF_SIZE, CONF_RESTART, AT(page_bytes), 1, INT64_MAX, "64K", "Page." },
	{ 0 },
};
#undef AT

static const struct conf_variant *variants(void)
{
	static const struct conf_variant list[] = {
		{ "net", net_table, sizeof(struct net) },
		{ "disk", disk_table, sizeof(struct disk) },
		{ 0 },
	};

	return list;
}

#define AT(member) offsetof(struct out, member)
static const struct conf_opt out_table[] = {
	{ "name", CONF_STRING, CONF_RESTART, AT(name), 1, 64, NULL, "Name." },
	{ "type", CONF_STRING, CONF_RESTART, AT(type), 1, 64, NULL, "Type." },
	CONF_VARIANT_ROW(struct out, conf, variants),
	CONF_LINE_ROW(struct out, line),
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct hole, member)
static const struct conf_opt hole_table[] = {
	{ "cidr", CONF_STRING, CONF_LIVE, AT(cidr), 1, 64, NULL, "Network." },
	{ "domain", CONF_I64, CONF_LIVE, AT(domain), -1, UINT32_MAX, "-1", "Domain." },
	CONF_LINE_ROW(struct hole, line),
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct limits, member)
static const struct conf_opt limits_table[] = {
	{ "max_bytes", CONF_SIZE, CONF_RESTART, AT(bytes), 1024, INT64_MAX, "10G", "Octets." },
	{ "skew", CONF_I64, CONF_LIVE, AT(skew), INT64_MIN, INT64_MAX, "0", "Skew." },
	{ "rate", CONF_U32, CONF_LIVE, AT(rate), 0, UINT32_MAX, "100", "Rate." },
	{ 0 },
};
#undef AT

enum mode { MODE_SLOW, MODE_FAST = 7 };
static const struct conf_word modes[] = { { "slow", MODE_SLOW }, { "fast", MODE_FAST }, { 0 } };

#define AT(member) offsetof(struct sample, member)
static const struct conf_opt table[] = {
	{ "enabled", CONF_BOOL, CONF_LIVE, AT(is_on), 0, 0, "true", "On." },
	{ "workers", CONF_U32, CONF_RESTART, AT(workers), 1, 256, "2", "Workers." },
	CONF_ENUM_ROW("mode", struct sample, mode, CONF_LIVE, modes, "fast", "Mode."),
	{ "state", CONF_STRING, CONF_RESTART, AT(state), 0, 100, NULL, "Folder." },
	{ "token", CONF_SECRET, CONF_LIVE, AT(token), 0, 0, NULL, "Token." },
	{ "words", CONF_STRINGS, CONF_LIVE, AT(words), 0, 0, "one,two", "Words.", AT(word_count),
	  NULL, NULL, 0, NULL },
	CONF_GROUP_ROW("limits", struct sample, limits, limits_table, "Limits."),
	CONF_LIST_ROW("outs", struct sample, outs, out_count, CONF_RESTART, out_table, struct out,
		      "Outputs."),
	CONF_LIST_ROW("holes", struct sample, holes, hole_count, CONF_LIVE, hole_table, struct hole,
		      "Holes."),
	{ 0 },
};
#undef AT

static char folder[] = "/tmp/test_conf.XXXXXX";

static void path_in_folder(const char *name, char path[PATH_BYTES])
{
	(void)snprintf(path, PATH_BYTES, "%s/%s", folder, name);
}

static void write_file(const char *name, const char *text)
{
	char path[PATH_BYTES];
	FILE *f;

	path_in_folder(name, path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "main.conf", "part.conf", "secret" };
	char path[PATH_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		path_in_folder(names[i], path);
		(void)unlink(path);
	}
	return rmdir(folder);
}

static enum err load(const char *text, char *const *overrides, size_t count, struct sample *s,
		     struct why *why)
{
	char path[PATH_BYTES];

	write_file("main.conf", text);
	path_in_folder("main.conf", path);
	return conf_load(table, path, overrides, count, s, sizeof(*s), why);
}

static char *printed(const struct sample *s)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	assert_non_null(f);
	conf_print(table, s, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void presets(void **state)
{
	struct why why = { "" };
	struct sample s;

	(void)state;
	memset(&s, 0xa5, sizeof(s));
	assert_int_equal(conf_load(table, NULL, NULL, 0, &s, sizeof(s), &why), ERR_OK);
	assert_true(s.is_on);
	assert_int_equal(s.workers, 2);
	assert_int_equal(s.mode, MODE_FAST);
	assert_null(s.state);
	assert_null(s.token);
	assert_int_equal(s.word_count, 2);
	assert_string_equal(s.words[0], "one");
	assert_string_equal(s.words[1], "two");
	assert_true(s.limits.bytes == UINT64_C(10) << 30);
	assert_true(s.limits.skew == 0);
	assert_int_equal(s.limits.rate, 100);
	assert_int_equal(s.out_count, 0);
	assert_int_equal(s.hole_count, 0);
	conf_free(table, &s);
	assert_null(s.words);
	assert_int_equal(s.word_count, 0);
}

static const char full_text[] =
	"# a comment\n"
	"enabled = false;\n"
	"workers = 16;\n"
	"mode = \"slow\";\n"
	"state = \"/a \\\"b\\\" \\\\ \\n\\t\\x01 \xc3\xa9\";\n"
	"token = \"env:TOKEN\";\n"
	"words = [ \"x\", \"y,z\", \"\" ];\n"
	"limits: { max_bytes = \"64M\"; skew = -5; rate = 4294967295L; };\n"
	"outs = (\n"
	"  { type = \"net\"; name = \"bus\"; port = 1; },\n"
	"  { name = \"lake\"; type = \"disk\"; path = \"p\"; key = \"file:k\"; },\n"
	"  { type = \"net\";\n"
	"    host = \"h\"; }\n"
	");\n"
	"holes = ( { cidr = \"::/0\"; domain = 4294967295L; } );\n";

static void every_type(void **state)
{
	struct why why = { "" };
	const struct disk *disk;
	const struct net *net;
	struct sample s;

	(void)state;
	assert_int_equal(load(full_text, NULL, 0, &s, &why), ERR_OK);
	assert_false(s.is_on);
	assert_int_equal(s.workers, 16);
	assert_int_equal(s.mode, MODE_SLOW);
	assert_string_equal(s.state, "/a \"b\" \\ \n\t\x01 \xc3\xa9");
	assert_string_equal(s.token, "env:TOKEN");
	assert_int_equal(s.word_count, 3);
	assert_string_equal(s.words[1], "y,z");
	assert_string_equal(s.words[2], "");
	assert_true(s.limits.bytes == UINT64_C(64) << 20);
	assert_true(s.limits.skew == -5);
	assert_true(s.limits.rate == UINT32_MAX);
	assert_int_equal(s.out_count, 3);
	net = s.outs[0].conf;
	assert_string_equal(s.outs[0].name, "bus");
	assert_string_equal(net->host, "localhost");
	assert_int_equal(net->port, 1);
	disk = s.outs[1].conf;
	assert_string_equal(disk->path, "p");
	assert_string_equal(disk->key, "file:k");
	assert_true(disk->page_bytes == 65536);
	assert_int_equal(s.outs[1].line, 11);
	assert_null(s.outs[2].name);
	assert_int_equal(s.hole_count, 1);
	assert_true(s.holes[0].domain == UINT32_MAX);
	assert_int_equal(s.holes[0].line, 15);
	conf_free(table, &s);
}

/* `wants` is what the error says after the path of the file. */
static const struct {
	const char *text;
	const char *wants;
} broken[] = {
	{ "worker = 2;", ":1: unknown key `worker' (nearest: `workers')" },
	{ "\n\nstaet = \"x\";", ":3: unknown key `staet' (nearest: `state')" },
	{ "Mode = \"slow\";", ":1: unknown key `Mode' (nearest: `mode')" },
	{ "limits: {\n max_byte = 1;\n};", ":2: unknown key `max_byte' (nearest: `max_bytes')" },
	{ "outs = (\n{ type = \"net\";\n prot = 4; } );",
	  ":3: unknown key `prot' (nearest: `port')" },
	{ "outs = (\n{ type = \"disk\";\n port = 4; } );",
	  ":3: unknown key `port' (nearest: `path')" },
	{ "outs = (\n{ tpye = \"disk\"; } );", ":2: `type' is missing" },
	{ "outs = (\n{ type = 4; } );", ":2: `type' is missing" },
	{ "outs = (\n{ name = \"x\";\n type = \"dsik\"; } );",
	  ":3: unknown type `dsik' (nearest: `disk')" },
	{ "outs = (\n{ name = \"x\";\n type = \"\"; } );", ":3: unknown type `' (nearest: `net')" },
	{ "outs = ( { type = \"net\";\n port = 65536; } );", ":2: `port' goes from 1 to 65535" },
	{ "outs = ( { type = \"net\";\n port = 0; } );", ":2: `port' goes from 1 to 65535" },
	{ "outs = ( { type = \"net\";\n host = \"\"; } );", ":2: `host' cannot be empty" },
	{ "outs = ( { type = \"net\";\n host = \"abcdefghijklmnopqrstu\"; } );",
	  ":2: `host' is longer than 20 octets" },
	{ "outs = ( { type = \"net\"; }, 5 );", ": `outs' wants groups { ... } in its list" },
	{ "outs = { type = \"net\"; };", ":1: `outs' wants a list" },
	{ "outs = \"net\";", ":1: `outs' wants a list" },
	{ "holes = (\n{ cidr = \"x\"; },\n{ cidr = \"x\";\n domian = 1; } );",
	  ":4: unknown key `domian' (nearest: `domain')" },
	{ "enabled = 1;", ":1: `enabled' wants true or false" },
	{ "enabled = \"true\";", ":1: `enabled' wants true or false" },
	{ "workers = \"many\";", ":1: `workers' is a number" },
	{ "workers = \"\";", ":1: `workers' is a number" },
	{ "workers = true;", ":1: `workers' wants a number" },
	{ "workers = 1.5;", ":1: `workers' wants a number" },
	{ "workers = ( 1 );", ":1: `workers' wants a number" },
	{ "workers = 0;", ":1: `workers' goes from 1 to 256" },
	{ "workers = -1;", ":1: `workers' goes from 1 to 256; numbers above 2147483647" },
	{ "workers = 257L;", ":1: `workers' goes from 1 to 256" },
	{ "limits = {\n rate = 3000000000; };", ":2: 3000000000: a number above 2147483647 needs" },
	{ "limits = { rate = 4294967297; };", ":1: 4294967297: a number above 2147483647 needs" },
	{ "limits = { rate = 2147483648; };", ":1: 2147483648: a number above" },
	{ "limits = { rate = 0x80000000; };", ":1: 0x80000000: a number above" },
	{ "limits = { rate = 99999999999999999999; };", ":1: " }, /* newer ones: a syntax error */
	{ "limits = { skew = -2147483649; };", ":1: 2147483649: a number above" },
	{ "/* \n */ # 9999999999\n state = \"\\\"9999999999\";\n// \"\nworkers = 9999999999;",
	  ":5: 9999999999: a number above" },
	{ "limits = { max_bytes = 5000000000; };", ":1: 5000000000: a number above" },
	{ "limits = { rate = 4294967296L; };", ":1: `rate' goes from 0 to 4294967295" },
	{ "limits = { max_bytes = 1023; };", ":1: `max_bytes' goes from 1024" },
	{ "limits = { max_bytes = \"10X\"; };", ":1: `max_bytes' is a size such as" },
	{ "limits = { max_bytes = \"10GB\"; };", ":1: `max_bytes' is a size such as" },
	{ "limits = { max_bytes = \"-1G\"; };", ":1: `max_bytes' is a size such as" },
	{ "limits = { max_bytes = \"8388608T\"; };", ":1: `max_bytes' is a size such as" },
	{ "limits = { skew = \"9223372036854775808\"; };", ":1: `skew' is a number" },
	{ "limits = ( );", ":1: `limits' wants a group" },
	{ "limits = 5;", ":1: `limits' wants a group" },
	{ "mode = \"fsat\";", ":1: `mode' cannot be `fsat' (nearest: `fast')" },
	{ "mode = 7;", ":1: `mode' cannot be `7'" },
	{ "mode = true;", ":1: `mode' wants a text" },
	{ "state = true;", ":1: `state' wants a text" },
	{ "state = 1.5;", ":1: `state' wants a text" },
	{ "token = \"***\";", ":1: `token' is \"***\": a printed configuration hides it" },
	{ "words = 5;", ":1: `words' wants a list of texts" },
	{ "words = ( \"a\", 5 );", ":1: `words' wants a list of texts" },
	{ "words = ( ( \"a\" ) );", ":1: `words' wants a list of texts" },
	{ "workers = 1;\nworkers = 2;", ":2: duplicate setting name" },
	{ "workers = 1\nstate = ;", ":2: syntax error" },
	{ "\nworkers", ":2: syntax error" },
	{ "words = ( \"a\", \"b\" ;", ":1: syntax error" },
	{ "state = \"never ends;\n", ": syntax error" },
	{ "@include \"absent.conf\"\n", ":1: cannot open include file" },
};

static void broken_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(broken); i++) {
		struct why why = { "" };
		struct sample s;
		struct sample before;

		memset(&s, 0xa5, sizeof(s));
		before = s;
		if (load(broken[i].text, NULL, 0, &s, &why) != ERR_CONF)
			fail_msg("taken: %s", broken[i].text);
		if (strncmp(why.text, folder, strlen(folder)) != 0 ||
		    strstr(why.text, broken[i].wants) == NULL)
			fail_msg("%s\n  says   %s\n  wanted %s", broken[i].text, why.text,
				 broken[i].wants);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void broken_from_text(void **state)
{
	struct why why = { "" };
	struct sample s;

	(void)state;
	assert_int_equal(conf_load_text(table, "workers = 1;\nxyz = 1;", &s, sizeof(s), &why),
			 ERR_CONF);
	assert_non_null(strstr(why.text, "(text):2: unknown key `xyz'"));
}

static void file_that_is_not_there(void **state)
{
	struct why why = { "" };
	char path[PATH_BYTES];
	struct sample s;

	(void)state;
	path_in_folder("nowhere.conf", path);
	assert_int_equal(conf_load(table, path, NULL, 0, &s, sizeof(s), &why), ERR_CONF);
	assert_non_null(strstr(why.text, "nowhere.conf: No such file or directory"));
}

/* An included file is looked for beside the one that includes it, and errors name it. */
static void included_file(void **state)
{
	struct why why = { "" };
	struct sample s;

	(void)state;
	write_file("part.conf", "workers = 5;\n");
	assert_int_equal(load("enabled = true;\n@include \"part.conf\"\n", NULL, 0, &s, &why),
			 ERR_OK);
	assert_int_equal(s.workers, 5);
	conf_free(table, &s);

	write_file("part.conf", "\nworkers = 4294967298;\n");
	assert_int_equal(load("enabled = true;\n@include \"part.conf\"\n", NULL, 0, &s, &why),
			 ERR_CONF);
	assert_non_null(strstr(why.text, "part.conf:2: 4294967298: a number above"));

	write_file("part.conf", "\n\n\nwrokers = 5;\n");
	assert_int_equal(load("enabled = true;\n@include \"part.conf\"\n", NULL, 0, &s, &why),
			 ERR_CONF);
	assert_non_null(
		strstr(why.text, "part.conf:4: unknown key `wrokers' (nearest: `workers')"));
}

static void include_that_includes_itself(void **state)
{
	struct why why = { "" };
	struct sample s;

	(void)state;
	assert_int_equal(load("@include \"main.conf\"\n", NULL, 0, &s, &why), ERR_CONF);
	assert_non_null(strstr(why.text, "include file nesting too deep"));
}

static const char override_text[] = "outs = ( { type = \"net\"; port = 7; },\n"
				    " { type = \"disk\"; path = \"p\"; } );\n"
				    "state = \"here\";\n";

/* `printed` is a line of what --print-config says afterwards. */
static const struct {
	const char *override;
	const char *printed;
} overrides[] = {
	{ "workers=9", "workers = 9;" },
	{ "enabled=false", "enabled = false;" },
	{ "mode=slow", "mode = \"slow\";" },
	{ "mode=\"slow\"", "mode = \"slow\";" },
	{ "state=/var/lib/x y", "state = \"/var/lib/x y\";" },
	{ "state=a=b", "state = \"a=b\";" },
	{ "state=127.0.0.1:9", "state = \"127.0.0.1:9\";" },
	{ "state=17", "state = \"17\";" },
	{ "state=", "state = \"\";" },
	{ "limits.max_bytes=1G", "max_bytes = \"1073741824\";" },
	{ "limits.max_bytes=5000000000L", "max_bytes = \"5000000000\";" },
	{ "limits.max_bytes=5000000000", "max_bytes = \"5000000000\";" },
	{ "limits.rate=4294967295", "rate = 4294967295L;" },
	{ "limits.skew=-5000000000", "skew = -5000000000L;" },
	{ "state=12345678901", "state = \"12345678901\";" },
	{ "state=1; workers = 9", "state = \"1; workers = 9\";" },
	{ "limits.rate=4294967295L", "rate = 4294967295L;" },
	{ "limits.skew=-5", "skew = -5;" },
	{ "limits={ rate = 3; }", "rate = 3;" },
	{ "words=( )", "words = ();" },
	{ "words=(\"a\",\"b\")", "words = ( \"a\", \"b\" );" },
	{ "words=[\"a\"]", "words = ( \"a\" );" },
	{ "words=one", "words = ( \"one\" );" },
	{ "outs.0.port=4740", "port = 4740;" },
	{ "outs.1.path=/x", "path = \"/x\";" },
	{ "outs.1.page=1K", "page = \"1024\";" },
	{ "outs=( )", "outs = ();" },
	{ "holes=( { cidr = \"::/0\"; }, { cidr = \"::/1\"; } )", "cidr = \"::/1\";" },
};

static void overrides_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(overrides); i++) {
		char *one[1] = { strdup(overrides[i].override) };
		struct why why = { "" };
		struct sample s;
		char *text;

		assert_non_null(one[0]);
		if (load(override_text, one, 1, &s, &why) != ERR_OK)
			fail_msg("%s: %s", overrides[i].override, why.text);
		text = printed(&s);
		if (strstr(text, overrides[i].printed) == NULL)
			fail_msg("%s: no %s in\n%s", overrides[i].override, overrides[i].printed,
				 text);
		free(text);
		free(one[0]);
		conf_free(table, &s);
	}
}

static const struct {
	const char *override;
	const char *wants;
} bad_overrides[] = {
	{ "workers", "-o workers: KEY=VALUE is wanted" },
	{ "=5", "-o =5: KEY=VALUE is wanted" },
	{ "", "-o : KEY=VALUE is wanted" },
	{ "wokers=5", "unknown key `wokers' (nearest: `workers')" },
	{ "limtis.rate=5", "unknown key `limtis' (nearest: `limits')" },
	{ "limits.raet=5", "unknown key `raet' (nearest: `rate')" },
	{ "outs.0.prot=5", "unknown key `prot' (nearest: `port')" },
	{ "workers=1000", "`workers' goes from 1 to 256" },
	{ "workers=two", "`workers' is a number" },
	{ "enabled=maybe", "`enabled' wants true or false" },
	{ "outs.2.port=5", "-o outs.2.port=5: there is no such place" },
	{ "outs.4294967296.port=5", "there is no such place" },
	{ "limits.rate=4294967297", "`rate' goes from 0 to 4294967295" },
	{ "outs.x.port=5", "there is no such place" },
	{ "outs.-1.port=5", "there is no such place" },
	{ "outs.0=5", "there is no such place" },
	{ "state.deep=5", "there is no such place" },
	{ "state.deep.deeper=5", "there is no such place" },
	{ "..=5", "there is no such place" },
	{ "a b=5", "not a key, or not a value" },
	{ "token=***", "`token' is \"***\"" },
	{ "limits=5", "`limits' wants a group" },
	{ "words=((((((((((1))))))))))", "not a key, or not a value" },
};

static void overrides_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad_overrides); i++) {
		char *one[1] = { strdup(bad_overrides[i].override) };
		struct why why = { "" };
		struct sample s;

		assert_non_null(one[0]);
		if (load(override_text, one, 1, &s, &why) != ERR_CONF)
			fail_msg("taken: %s", bad_overrides[i].override);
		if (strstr(why.text, "-o") == NULL ||
		    strstr(why.text, bad_overrides[i].wants) == NULL)
			fail_msg("%s\n  says   %s\n  wanted %s", bad_overrides[i].override,
				 why.text, bad_overrides[i].wants);
		free(one[0]);
	}
}

/* The last of two overrides of one key stands; a file is not needed. */
static void overrides_in_order(void **state)
{
	char first[] = "workers=3";
	char second[] = "limits.rate=8";
	char third[] = "workers=4";
	char *all[] = { first, second, third };
	struct why why = { "" };
	struct sample s;

	(void)state;
	assert_int_equal(conf_load(table, NULL, all, COUNT(all), &s, sizeof(s), &why), ERR_OK);
	assert_int_equal(s.workers, 4);
	assert_int_equal(s.limits.rate, 8);
	conf_free(table, &s);
}

static const char *const round_trips[] = {
	"",
	full_text,
	override_text,
	"words = ( );\nlimits: { skew = -2147483648; };",
	"limits: { skew = -5000000000L; };",
	"limits: { skew = -9223372036854775808L; rate = 2147483647; };",
	"limits: { skew = 2147483648L; max_bytes = \"9223372036854775807\"; rate = 2147483648L; };",
	"state = \"\\x7f \\x1f \\x5c \\x22 \\\\x41 \\xff\";",
	"holes = ( { }, { cidr = \"a\"; } );\nouts = ( { type = \"disk\"; } );",
};

static void count_difference(void *ctx, const char *path, enum conf_reload reload)
{
	(void)path;
	(void)reload;
	(*(size_t *)ctx)++;
}

static void prints_what_reads_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(round_trips); i++) {
		struct why why = { "" };
		size_t differences = 0;
		struct sample first;
		struct sample second;
		char *once;
		char *twice;

		assert_int_equal(load(round_trips[i], NULL, 0, &first, &why), ERR_OK);
		once = printed(&first);
		if (conf_load_text(table, once, &second, sizeof(second), &why) != ERR_OK)
			fail_msg("%s\nof\n%s", why.text, once);
		twice = printed(&second);
		assert_string_equal(once, twice);
		conf_diff(table, &first, &second, count_difference, &differences);
		assert_int_equal(differences, 0);
		free(once);
		free(twice);
		conf_free(table, &first);
		conf_free(table, &second);
	}
}

static void literal_secret_is_hidden(void **state)
{
	struct why why = { "" };
	struct sample s;
	char *text;

	(void)state;
	assert_int_equal(load("token = \"hush\";\n"
			      "outs = ( { type = \"disk\"; key = \"quiet\"; } );",
			      NULL, 0, &s, &why),
			 ERR_OK);
	assert_string_equal(s.token, "hush");
	text = printed(&s);
	assert_null(strstr(text, "hush"));
	assert_null(strstr(text, "quiet"));
	assert_non_null(strstr(text, "token = \"***\";"));
	assert_non_null(strstr(text, "key = \"***\";"));
	conf_free(table, &s);
	assert_int_equal(conf_load_text(table, text, &s, sizeof(s), &why), ERR_CONF);
	free(text);
}

struct seen {
	char paths[256];
};

static void note_difference(void *ctx, const char *path, enum conf_reload reload)
{
	struct seen *seen = ctx;
	size_t used = strlen(seen->paths);

	(void)snprintf(seen->paths + used, sizeof(seen->paths) - used, "%s:%s ", path,
		       reload == CONF_LIVE ? "live" : "restart");
}

static const struct {
	const char *before;
	const char *after;
	const char *paths;
} differences[] = {
	{ "", "", "" },
	{ "", "workers = 2;", "" },
	{ "", "workers = 3;", "workers:restart " },
	{ "", "enabled = false;", "enabled:live " },
	{ "mode = \"slow\";", "", "mode:live " },
	{ "", "state = \"x\";", "state:restart " },
	{ "token = \"a\";", "token = \"b\";", "token:live " },
	{ "words = ( \"a\" );", "words = ( \"b\" );", "words:live " },
	{ "", "limits: { max_bytes = 4096; rate = 1; };",
	  "limits.max_bytes:restart limits.rate:live " },
	{ "", "holes = ( { } );", "holes:live " },
	{ "outs = ( { type = \"net\"; } );", "outs = ( { type = \"net\"; port = 1; } );",
	  "outs:restart " },
	{ "outs = ( { type = \"net\"; } );", "outs = ( { type = \"disk\"; } );", "outs:restart " },
	{ "outs = ( { type = \"disk\"; key = \"a\"; } );",
	  "outs = ( { type = \"disk\"; key = \"b\"; } );", "outs:restart " },
	/* Only the line of the entry is another. */
	{ "outs = ( { type = \"net\"; } );", "outs = (\n\n { type = \"net\"; } );", "" },
};

static void differences_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(differences); i++) {
		struct seen seen = { "" };
		struct why why = { "" };
		struct sample before;
		struct sample after;

		assert_int_equal(load(differences[i].before, NULL, 0, &before, &why), ERR_OK);
		assert_int_equal(load(differences[i].after, NULL, 0, &after, &why), ERR_OK);
		conf_diff(table, &before, &after, note_difference, &seen);
		assert_string_equal(seen.paths, differences[i].paths);
		conf_free(table, &before);
		conf_free(table, &after);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		enum err e;
		uint64_t bytes;
	} cases[] = {
		{ "0", ERR_OK, 0 },
		{ "1", ERR_OK, 1 },
		{ "4K", ERR_OK, 4096 },
		{ "64M", ERR_OK, UINT64_C(64) << 20 },
		{ "10G", ERR_OK, UINT64_C(10) << 30 },
		{ "8388607T", ERR_OK, UINT64_C(8388607) << 40 },
		{ "9223372036854775807", ERR_OK, INT64_MAX },
		{ "9223372036854775808", ERR_LIMIT, 0 },
		{ "8388608T", ERR_LIMIT, 0 },
		{ "18446744073709551616", ERR_FORMAT, 0 },
		{ "", ERR_FORMAT, 0 },
		{ "G", ERR_FORMAT, 0 },
		{ "-1", ERR_FORMAT, 0 },
		{ "+1", ERR_FORMAT, 0 },
		{ " 1", ERR_FORMAT, 0 },
		{ "1 ", ERR_FORMAT, 0 },
		{ "1KK", ERR_FORMAT, 0 },
		{ "1.5G", ERR_FORMAT, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t bytes = 77;

		if (conf_parse_size(cases[i].text, &bytes) != cases[i].e)
			fail_msg("\"%s\"", cases[i].text);
		assert_true(bytes == (cases[i].e == ERR_OK ? cases[i].bytes : 77));
	}
}

static void secrets(void **state)
{
	static const struct {
		mode_t mode;
		enum err e;
	} modes_of_file[] = {
		{ 0600, ERR_OK },   { 0400, ERR_OK },	{ 0640, ERR_OK },
		{ 0644, ERR_CONF }, { 0604, ERR_CONF },
	};
	char reference[PATH_BYTES + 8];
	char path[PATH_BYTES];
	struct why why = { "" };
	char *secret = NULL;

	(void)state;
	write_file("secret", "s3cret word\n");
	path_in_folder("secret", path);
	(void)snprintf(reference, sizeof(reference), "file:%s", path);
	for (size_t i = 0; i < COUNT(modes_of_file); i++) {
		assert_int_equal(chmod(path, modes_of_file[i].mode), 0);
		assert_int_equal(conf_secret(reference, &why, &secret), modes_of_file[i].e);
		if (modes_of_file[i].e != ERR_OK) {
			assert_non_null(strstr(why.text, "others may read it"));
			continue;
		}
		assert_string_equal(secret, "s3cret word");
		free(secret);
	}
	assert_int_equal(conf_secret("file:/nowhere/at/all", &why, &secret), ERR_CONF);
	assert_int_equal(setenv("TEST_CONF_SECRET", "from there", 1), 0);
	assert_int_equal(conf_secret("env:TEST_CONF_SECRET", &why, &secret), ERR_OK);
	assert_string_equal(secret, "from there");
	free(secret);
	assert_int_equal(unsetenv("TEST_CONF_SECRET"), 0);
	assert_int_equal(conf_secret("env:TEST_CONF_SECRET", &why, &secret), ERR_CONF);
	assert_int_equal(conf_secret("as it stands", &why, &secret), ERR_OK);
	assert_string_equal(secret, "as it stands");
	free(secret);
}

static void manual_names_every_option(void **state)
{
	static const char *const rows[] = {
		"| `enabled` | true or false | `true` | reload | On. |",
		"| `workers` | number, 1 to 256 | `2` | restart | Workers. |",
		"| `mode` | one of `slow`, `fast` | `fast` | reload | Mode. |",
		"| `limits.max_bytes` | size | `10G` | restart | Octets. |",
		"| `outs[].name` |",
		"`outs[].(net).port` |",
		"`outs[].(disk).key` | secret |",
		"| `holes[].domain` |",
	};
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	(void)state;
	assert_non_null(f);
	conf_markdown(table, f);
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (strstr(text, rows[i]) == NULL)
			fail_msg("no %s in\n%s", rows[i], text);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(presets),
		cmocka_unit_test(every_type),
		cmocka_unit_test(broken_texts),
		cmocka_unit_test(broken_from_text),
		cmocka_unit_test(file_that_is_not_there),
		cmocka_unit_test(included_file),
		cmocka_unit_test(include_that_includes_itself),
		cmocka_unit_test(overrides_taken),
		cmocka_unit_test(overrides_refused),
		cmocka_unit_test(overrides_in_order),
		cmocka_unit_test(prints_what_reads_back),
		cmocka_unit_test(literal_secret_is_hidden),
		cmocka_unit_test(differences_are_named),
		cmocka_unit_test(sizes),
		cmocka_unit_test(secrets),
		cmocka_unit_test(manual_names_every_option),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
