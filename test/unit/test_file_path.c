/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a pattern gives each record a directory that readers of lakes understand, and no value of a record
 * gives one that leads elsewhere, is hidden, or is too long; wrong patterns are refused with their place.
 * Method: tables of patterns and values; every octet as a value; what was written is decoded again by the
 * rule that readers have (%XX), and is the value.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "sink/file_path.h"
#include "sink/parquet_sink.h"

#define HOUR_MS INT64_C(3600000)
#define NOW INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

static struct log_hub *hub;

static uint32_t name(enum log_name_kind kind, const char *text, size_t bytes)
{
	uint32_t number;

	assert_int_equal(log_name_add(hub, kind, text, bytes, &number), ERR_OK);
	return number;
}

static bool below(const char *pattern, const struct log_head *head, char out[FILE_BELOW_BYTES])
{
	struct why why = { "" };
	struct file_path_key key;
	struct file_path *p;
	bool is_late;

	if (file_path_new(pattern, &why, &p) != ERR_OK)
		fail_msg("%s: %s", pattern, why.text);
	is_late = file_path_key(p, head, &key);
	memset(out, '#', FILE_BELOW_BYTES);
	file_path_below(p, hub, "lake_1", &key, out);
	file_path_free(p);
	return is_late;
}

static void every_token(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "a", "a/" },
		{ "a/b/", "a/b/" },
		{ "%{event_type}", "dns/" },
		{ "%{event_type}/date=%Y-%m-%d/hour=%H/", "dns/date=2026-01-31/hour=07/" },
		{ "%Y/%m/%d/%H/%M", "2026/01/31/07/08/" },
		{ "x=%{exporter}", "x=192.0.2.1/" },
		{ "%{sink}/at-%M", "lake_1/at-08/" },
		{ "100%%/%{sink}%{event_type}", "100%/lake_1dns/" },
		{ "\xc3\xa4=1", NULL }, /* the name is not plain */
		{ "k=\xc3\xa4", "k=\xc3\xa4/" },
		{ "a b", "a b/" },
		{ "1/2/3/4/5/6/7/8", "1/2/3/4/5/6/7/8/" },
	};
	struct log_head head = {
		.event_ms = NOW + 30 * 24 * HOUR_MS + 7 * HOUR_MS + 8 * 60000 + 59999,
		.exporter = name(LOG_NAME_EXPORTER, "192.0.2.1", 9),
		.event_type = (uint16_t)name(LOG_NAME_EVENT_TYPE, "dns", 3),
	};

	(void)state;
	head.ingest_ms = head.event_ms;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[FILE_BELOW_BYTES];

		if (rows[i][1] == NULL) {
			assert_int_equal(file_path_check(rows[i][0], NULL), ERR_CONF);
			continue;
		}
		(void)below(rows[i][0], &head, out);
		assert_string_equal(out, rows[i][1]);
	}
}

static void wrong_patterns(void **state)
{
	static const char *const rows[][2] = {
		{ "%{exporter_ip}", "octet 1: no such token" },
		{ "a/%{event_type", "octet 3: no such token" },
		{ "date=%Y-%m-%D", "octet 12: no such token" },
		{ "%", "octet 1: no such token" },
		{ "a/b%", "octet 4: no such token" },
		{ "/a", "octet 1: it begins with `/'" },
		{ "/", "octet 1: it begins with `/'" },
		{ "a//b", "octet 3: a part of the path is empty" },
		{ "../a", "octet 1: this part begins with" },
		{ "a/../b", "octet 3: this part begins with" },
		{ "a/.", "octet 3: this part begins with" },
		{ "a/.b", "octet 3: this part begins with" },
		{ "_a/b", "octet 1: this part begins with" },
		{ "a\nb", "octet 2: a path has no control" },
		{ "a\\b", "octet 2: a path has no control" },
		{ "=a", "octet 1: `name='" },
		{ "a/b=", "octet 3: `name='" },
		{ "%{sink}=x", "octet 1: what stands before" },
		{ "a-b=x", "octet 1: what stands before" },
		{ "a=b=c", "octet 1: a part of the path has" },
		{ "k=%Y/K=%m", "octet 6: the same name" },
		{ "1/2/3/4/5/6/7/8/9", "octet 17: more than 8" },
		{ "a=1/b=1/c=1/d=1/e=1/f=1/g=1/h=1/i=1", "octet 33: more than 8" },
		{ "%{sink}%{sink}%{sink}%{sink}", "octet 1: this part of the path may be longer" },
		{ "%{sink}/%{sink}/%{sink}/%{sink}", "too long" },
	};
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct why why = { "" };

		if (file_path_check(rows[i][0], &why) != ERR_CONF)
			fail_msg("%s was taken", rows[i][0]);
		if (strstr(why.text, rows[i][1]) == NULL)
			fail_msg("%s: %s", rows[i][0], why.text);
	}
	for (size_t bytes = 1; bytes < sizeof(text); bytes++) {
		struct why why = { "" };
		enum err e;

		memset(text, 'x', bytes);
		text[bytes] = '\0';
		e = file_path_check(text, &why);
		assert_int_equal(e, bytes <= NAME_MAX ? ERR_OK : ERR_CONF);
	}
}

/* What readers do: the only rule that this program does not have itself. */
static size_t decode(const char *text, size_t bytes, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++) {
		char hex[3] = { 0 };

		if (text[i] != '%') {
			out[n++] = text[i];
			continue;
		}
		assert_true(i + 2 < bytes);
		memcpy(hex, text + i + 1, 2);
		out[n++] = (char)strtoul(hex, NULL, 16);
		i += 2;
	}
	return n;
}

/* One part, and none that anybody overlooks. */
static void check_part(const char *part, size_t bytes)
{
	assert_true(bytes > 0 && bytes <= NAME_MAX);
	assert_true(part[0] != '.' && part[0] != '_');
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)part[i];

		assert_true(c > 0x20 && c != 0x7f);
		assert_null(memchr("/\\\"'*:?#[]{}^=<>|&;$`+ ", c, 23));
	}
}

static void check_value(const char *value, size_t bytes)
{
	struct log_head head = { .exporter = name(LOG_NAME_EXPORTER, value, bytes) };
	char plain[FILE_BELOW_BYTES];
	char hive[FILE_BELOW_BYTES];
	char back[FILE_BELOW_BYTES];
	size_t n;

	(void)below("%{exporter}/x", &head, plain);
	n = strlen(plain);
	assert_string_equal(plain + n - 3, "/x/");
	check_part(plain, n - 3);
	(void)below("e=%{exporter}", &head, hive);
	n = strlen(hive);
	assert_memory_equal(hive, "e=", 2);
	if (bytes == 0) {
		assert_string_equal(hive, "e=__HIVE_DEFAULT_PARTITION__/");
		return;
	}
	check_part(hive + 2, n - 3);
	assert_true(n - 3 <= FILE_PATH_VALUE_MAX);
	if (memchr(hive, '~', n) != NULL)
		return; /* cut: a tilde of the value is %7E */
	assert_int_equal(decode(hive + 2, n - 3, back), bytes);
	assert_memory_equal(back, value, bytes);
}

static void hostile_values(void **state)
{
	static const char *const rows[] = {
		"",	 ".",	       "..",	   "../../etc/passwd",
		"/",	 "/etc",       "a/b",	   ".hidden",
		"_temp", "a=b",	       "a%2Fb",	   "%",
		"2001:db8::1", "core router", "\xc3\xa4\xe2\x82\xac", "\xff\xfe",
		"__HIVE_DEFAULT_PARTITION__", "a\nb", "~", "none",
	};
	char text[4];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_value(rows[i], strlen(rows[i]));
	for (unsigned c = 0; c < 256; c++) {
		text[0] = (char)c;
		check_value(text, 1);
		text[0] = 'a';
		text[1] = (char)c;
		text[2] = 'b';
		check_value(text, 3);
	}
}

/* Cut at no place that a reader could not decode, and never the same for two values. */
static void long_values(void **state)
{
	static const char *const fills[] = { "x", "/", "\xc3\xa4", "a\xe2\x82\xac", "\xff" };

	(void)state;
	for (size_t k = 0; k < sizeof(fills) / sizeof(fills[0]); k++) {
		char last[FILE_BELOW_BYTES] = "";
		char value[400];
		size_t unit = strlen(fills[k]);

		for (size_t bytes = unit; bytes + unit < 300; bytes += unit) {
			struct log_head head = { 0 };
			char out[FILE_BELOW_BYTES];
			char back[FILE_BELOW_BYTES];
			const char *tilde;
			size_t n;

			for (size_t i = 0; i < bytes; i++)
				value[i] = fills[k][i % unit];
			check_value(value, bytes);
			head.exporter = name(LOG_NAME_EXPORTER, value, bytes);
			(void)below("e=%{exporter}", &head, out);
			assert_string_not_equal(out, last);
			memcpy(last, out, sizeof(last));
			tilde = strchr(out, '~');
			if (tilde == NULL)
				continue;
			assert_true(strlen(tilde) == 18);
			/* The rest is a beginning of the value, of whole characters. */
			n = decode(out + 2, (size_t)(tilde - out - 2), back);
			assert_true(n > 0 && n < bytes);
			assert_memory_equal(back, value, n);
			if (k < 4)
				assert_true(utf8_is_valid((const uint8_t *)back, n));
		}
	}
}

static void what_is_late(void **state)
{
	static const int64_t day = 24 * HOUR_MS;
	const struct {
		int64_t event_ms;
		int64_t ingest_ms;
		bool is_late;
		const char *path;
	} rows[] = {
		{ NOW, NOW, false, "2026-01-01-00/" },
		{ NOW - 7 * day, NOW, false, "2025-12-25-00/" },
		{ NOW - 7 * day - 1, NOW, true, "2026-01-01-00/" },
		{ NOW + HOUR_MS, NOW, false, "2026-01-01-01/" },
		{ NOW + HOUR_MS + 1, NOW, true, "2026-01-01-00/" },
		{ NOW - 365 * day, NOW, true, "2026-01-01-00/" },
		{ NOW + 365 * day, NOW, true, "2026-01-01-00/" },
		{ 0, NOW, true, "2026-01-01-00/" },
		{ INT64_MIN, NOW, true, "2026-01-01-00/" },
		{ INT64_MAX, NOW, true, "2026-01-01-00/" },
		{ INT64_MAX, INT64_MAX, false, "9999-12-31-23/" },
		{ INT64_MIN, INT64_MIN, false, "0000-01-01-00/" },
		{ INT64_MIN, INT64_MAX, true, "9999-12-31-23/" },
		{ -1, 0, false, "1969-12-31-23/" },
		{ -HOUR_MS - 1, 0, false, "1969-12-31-22/" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct log_head head = { .event_ms = rows[i].event_ms,
					 .ingest_ms = rows[i].ingest_ms };
		char out[FILE_BELOW_BYTES];

		assert_int_equal(below("%Y-%m-%d-%H", &head, out), rows[i].is_late);
		assert_string_equal(out, rows[i].path);
		/* Where the path tells no times apart, nothing is late. */
		assert_false(below("%{sink}", &head, out));
		assert_false(below("", &head, out));
	}
}

/* Keys differ where directories do, so that nothing has to be written to compare them. */
static void keys(void **state)
{
	static const struct {
		const char *pattern;
		int64_t step_ms; /* within it all is one */
	} rows[] = { { "%Y", 24 * HOUR_MS },  { "%m", 24 * HOUR_MS },	   { "%d", 24 * HOUR_MS },
		     { "%d/%H", HOUR_MS },    { "%M/%d", 60000 },	   { "%{sink}", INT64_MAX },
		     { "%H/%M/%Y", 60000 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct log_head head = { .event_ms = NOW, .ingest_ms = NOW, .exporter = 7,
					 .event_type = 8 };
		struct file_path_key a;
		struct file_path_key b;
		struct file_path *p;

		assert_int_equal(file_path_new(rows[i].pattern, NULL, &p), ERR_OK);
		(void)file_path_key(p, &head, &a);
		assert_true(a.exporter == 0 && a.event_type == 0);
		head.event_ms = rows[i].step_ms == INT64_MAX ? 5 : NOW + rows[i].step_ms - 1;
		head.ingest_ms = head.event_ms;
		head.exporter = 9;
		(void)file_path_key(p, &head, &b);
		assert_true(a.time_ms == b.time_ms && b.exporter == 0);
		if (rows[i].step_ms != INT64_MAX) {
			head.event_ms++;
			(void)file_path_key(p, &head, &b);
			assert_true(a.time_ms != b.time_ms);
		}
		file_path_free(p);
	}
}

static enum err check_options(const char *type, const char *text, struct why *why)
{
	const struct sink_ops *ops = sink_type_find(type);
	void *options = calloc(1, ops->conf_bytes);
	enum err e;

	assert_non_null(options);
	e = conf_load_text(ops->options, text, options, ops->conf_bytes, why);
	if (e == ERR_OK) {
		e = ops->check(options, why);
		conf_free(ops->options, options);
	}
	free(options);
	return e;
}

/* Readers do not agree whether the directory or the column counts. */
static void names_that_are_columns(void **state)
{
	static const struct {
		const char *type;
		const char *options;
		const char *why; /* NULL: it is fine */
	} rows[] = {
		{ "parquet", "", NULL },
		{ "file", "", NULL },
		{ "parquet", "pattern = \"event_type=%{event_type}\";", "`event_type='" },
		{ "parquet", "pattern = \"Event_Type=%{event_type}\";", "`Event_Type='" },
		{ "parquet", "pattern = \"a/src_ip=%d\";", "`src_ip='" },
		{ "parquet", "pattern = \"raw=1\";", "`raw='" },
		{ "parquet", "pattern = \"kind=%{event_type}/year=%Y\";", NULL },
		{ "parquet", "layout = \"nested\"; pattern = \"event_type=%{event_type}\";", NULL },
		{ "parquet", "layout = \"nested\"; pattern = \"normalized=%d\";", "`normalized='" },
		{ "file", "pattern = \"event_type=%{event_type}\";", NULL },
		{ "file", "pattern = \"enriched=%d\";", "`enriched='" },
		{ "file", "pattern = \"%q\";", "octet 1: no such token" },
		{ "parquet", "pattern = \"a/../b\";", "octet 3" },
		{ "parquet", "level = 3;", "level" },
		{ "parquet", "codec = \"zstd\"; level = 3;", NULL },
		{ "parquet", "max_open = 257;", "max_open" },
		{ "parquet", "max_open = 0;", "max_open" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct why why = { "" };
		enum err e = check_options(rows[i].type, rows[i].options, &why);

		if (rows[i].why == NULL ? e != ERR_OK :
					  e != ERR_CONF || strstr(why.text, rows[i].why) == NULL)
			fail_msg("%s %s: %s", rows[i].type, rows[i].options, why.text);
	}
}

static int set_up(void **state)
{
	struct log_conf conf = { .max_bytes = 1 << 20 };

	(void)state;
	return log_hub_open(&conf, NULL, &hub) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	log_hub_close(hub);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_token),	   cmocka_unit_test(wrong_patterns),
		cmocka_unit_test(hostile_values),  cmocka_unit_test(long_values),
		cmocka_unit_test(what_is_late),	   cmocka_unit_test(keys),
		cmocka_unit_test(names_that_are_columns),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
