/* SPDX-License-Identifier: Apache-2.0 */
#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf_value.h"
#include "base/must.h"
#include "base/nearest.h"

#define SECRET_BYTES_MAX 65536

enum err conf_parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long v;
	const char *unit;
	unsigned shift = 0;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno != 0)
		return ERR_FORMAT;
	if (*end != '\0') {
		unit = strchr(units, *end);
		if (unit == NULL || end[1] != '\0')
			return ERR_FORMAT;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (v > (unsigned long long)INT64_MAX >> shift)
		return ERR_LIMIT;
	*out = v << shift;
	return ERR_OK;
}

void *conf_member(void *options, size_t at)
{
	return (char *)options + at;
}

const void *conf_member_const(const void *options, size_t at)
{
	return (const char *)options + at;
}

enum err conf_set_number(const struct conf_opt *o, int64_t v, void *options, struct why *why)
{
	int64_t max = o->type == CONF_U32 && o->max > (int64_t)UINT32_MAX ? UINT32_MAX : o->max;

	if (v < o->min || v > max)
		return why_set(why, ERR_CONF, "`%s' goes from %lld to %lld%s", o->key,
			       (long long)o->min, (long long)max,
			       v < 0 ? "; numbers above 2147483647 need the suffix L" : "");
	switch ((int)o->type) {
	case CONF_U32:
		*(uint32_t *)conf_member(options, o->at) = (uint32_t)v;
		break;
	case CONF_I64:
		*(int64_t *)conf_member(options, o->at) = v;
		break;
	default:
		*(uint64_t *)conf_member(options, o->at) = (uint64_t)v;
		break;
	}
	return ERR_OK;
}

static const char *word_at(const void *words, size_t i)
{
	const struct conf_word *w = words;

	return w[i].name;
}

static enum err set_word(const struct conf_opt *o, const char *text, void *options, struct why *why)
{
	size_t count = 0;

	for (; o->words[count].name != NULL; count++) {
		if (strcmp(o->words[count].name, text) == 0) {
			*(int *)conf_member(options, o->at) = o->words[count].value;
			return ERR_OK;
		}
	}
	return why_set(why, ERR_CONF, "`%s' cannot be `%s' (nearest: `%s')", o->key, text,
		       nearest_of(text, word_at, o->words, count));
}

static enum err set_string(const struct conf_opt *o, const char *text, void *options,
			   struct why *why)
{
	char **member = conf_member(options, o->at);
	char *copy;

	if (o->type == CONF_SECRET && strcmp(text, "***") == 0)
		return why_set(why, ERR_CONF, "`%s' is \"***\": a printed configuration hides it",
			       o->key);
	if (o->max > 0 && strlen(text) > (size_t)o->max)
		return why_set(why, ERR_CONF, "`%s' is longer than %lld octets", o->key,
			       (long long)o->max);
	if (strlen(text) < (size_t)o->min)
		return why_set(why, ERR_CONF, "`%s' cannot be empty", o->key);
	if (o->check != NULL)
		TRY(o->check(text, why));
	copy = strdup(text);
	if (copy == NULL)
		return why_set(why, ERR_NOMEM, "no memory for `%s'", o->key);
	free(*member);
	*member = copy;
	return ERR_OK;
}

static enum err set_bool(const struct conf_opt *o, const char *text, void *options, struct why *why)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return why_set(why, ERR_CONF, "`%s' is true or false", o->key);
	*(bool *)conf_member(options, o->at) = text[0] == 't';
	return ERR_OK;
}

static enum err set_number_text(const struct conf_opt *o, const char *text, void *options,
				struct why *why)
{
	uint64_t size;
	long long v;
	char *end;

	if (o->type == CONF_SIZE) {
		if (conf_parse_size(text, &size) != ERR_OK)
			return why_set(why, ERR_CONF,
				       "`%s' is a size such as \"64M\" or \"10G\", not `%.100s'",
				       o->key, text);
		return conf_set_number(o, (int64_t)size, options, why);
	}
	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		return why_set(why, ERR_CONF, "`%s' is a number, not `%.100s'", o->key, text);
	return conf_set_number(o, v, options, why);
}

enum err conf_add_string(const struct conf_opt *o, const char *text, void *options, struct why *why)
{
	char ***member = conf_member(options, o->at);
	size_t *count = conf_member(options, o->count_at);
	char **more;

	if (*count >= CONF_ENTRIES_MAX)
		return why_set(why, ERR_CONF, "`%s' has more than %d entries", o->key,
			       CONF_ENTRIES_MAX);
	if (o->check != NULL)
		TRY(o->check(text, why));
	more = realloc(*member, (*count + 1) * sizeof(**member));
	if (more == NULL)
		return why_set(why, ERR_NOMEM, "no memory for `%s'", o->key);
	*member = more;
	more[*count] = strdup(text);
	if (more[*count] == NULL)
		return why_set(why, ERR_NOMEM, "no memory for `%s'", o->key);
	(*count)++;
	return ERR_OK;
}

static enum err set_strings(const struct conf_opt *o, const char *text, void *options,
			    struct why *why)
{
	enum err e = ERR_OK;
	char *copy = strdup(text);
	char *at = copy;
	char *word;

	if (copy == NULL)
		return why_set(why, ERR_NOMEM, "no memory for `%s'", o->key);
	while (e == ERR_OK && (word = strsep(&at, ",")) != NULL) {
		if (word[0] != '\0')
			e = conf_add_string(o, word, options, why);
	}
	free(copy);
	return e;
}

enum err conf_set_text(const struct conf_opt *o, const char *text, void *options, struct why *why)
{
	switch (o->type) {
	case CONF_BOOL:
		return set_bool(o, text, options, why);
	case CONF_U32:
	case CONF_I64:
	case CONF_SIZE:
		return set_number_text(o, text, options, why);
	case CONF_STRING:
	case CONF_SECRET:
		return set_string(o, text, options, why);
	case CONF_ENUM:
		return set_word(o, text, options, why);
	case CONF_STRINGS:
		return set_strings(o, text, options, why);
	case CONF_GROUP:
	case CONF_LIST:
	case CONF_VARIANT:
	case CONF_LINE:
		break;
	}
	return why_set(why, ERR_CONF, "`%s' is not a single value", o->key);
}

/* Zero first: whatever fails later can be freed. */
static void zero_member(const struct conf_opt *o, void *options)
{
	static const size_t bytes[] = {
		[CONF_BOOL] = sizeof(bool),
		[CONF_U32] = sizeof(uint32_t),
		[CONF_I64] = sizeof(int64_t),
		[CONF_SIZE] = sizeof(uint64_t),
		[CONF_STRING] = sizeof(char *),
		[CONF_SECRET] = sizeof(char *),
		[CONF_ENUM] = sizeof(int),
		[CONF_STRINGS] = sizeof(char **),
		[CONF_GROUP] = 0,
		[CONF_LIST] = sizeof(void *),
		[CONF_VARIANT] = sizeof(void *),
		[CONF_LINE] = sizeof(int),
	};

	memset(conf_member(options, o->at), 0, bytes[o->type]);
	if (o->type == CONF_STRINGS || o->type == CONF_LIST)
		memset(conf_member(options, o->count_at), 0, sizeof(size_t));
}

static void zero_table(const struct conf_opt *table, void *options)
{
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		zero_member(o, options);
		if (o->type == CONF_GROUP)
			zero_table(o->sub, conf_member(options, o->at));
	}
}

static enum err set_presets(const struct conf_opt *table, void *options, struct why *why)
{
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		if (o->type == CONF_GROUP)
			TRY(set_presets(o->sub, conf_member(options, o->at), why));
		else if (o->preset != NULL)
			TRY(conf_set_text(o, o->preset, options, why));
	}
	return ERR_OK;
}

enum err conf_init(const struct conf_opt *table, void *out, struct why *why)
{
	enum err e;

	zero_table(table, out);
	e = set_presets(table, out, why);
	if (e != ERR_OK)
		conf_free(table, out);
	return e;
}

/* The variant of an entry, by its `type`; NULL when it has none yet. */
const struct conf_variant *conf_variant_of(const struct conf_opt *table, const void *entry)
{
	const struct conf_variant *v = NULL;
	const char *type = NULL;

	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		if (o->type == CONF_VARIANT)
			v = o->variants();
		else if (o->type == CONF_STRING && strcmp(o->key, "type") == 0)
			type = *(char *const *)conf_member_const(entry, o->at);
	}
	for (; v != NULL && v->type != NULL; v++) {
		if (type != NULL && strcmp(v->type, type) == 0)
			return v;
	}
	return NULL;
}

static void free_strings(const struct conf_opt *o, void *options)
{
	char ***member = conf_member(options, o->at);
	size_t *count = conf_member(options, o->count_at);

	for (size_t i = 0; i < *count; i++)
		free((*member)[i]);
	free(*member);
	*member = NULL;
	*count = 0;
}

static void free_variant(const struct conf_opt *table, const struct conf_opt *o, void *options)
{
	void **member = conf_member(options, o->at);
	const struct conf_variant *v = conf_variant_of(table, options);

	if (*member != NULL && v != NULL)
		conf_free(v->options, *member);
	free(*member);
	*member = NULL;
}

static void free_list(const struct conf_opt *o, void *options)
{
	void **member = conf_member(options, o->at);
	size_t *count = conf_member(options, o->count_at);

	for (size_t i = 0; i < *count; i++)
		conf_free(o->sub, conf_member(*member, i * o->sub_bytes));
	free(*member);
	*member = NULL;
	*count = 0;
}

void conf_free(const struct conf_opt *table, void *options)
{
	/* A variant is found by the type, which is a string of the same entry: it goes first. */
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		if (o->type == CONF_VARIANT)
			free_variant(table, o, options);
	}
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		if (o->type == CONF_STRING || o->type == CONF_SECRET) {
			char **member = conf_member(options, o->at);

			free(*member);
			*member = NULL;
		} else if (o->type == CONF_STRINGS) {
			free_strings(o, options);
		} else if (o->type == CONF_GROUP) {
			conf_free(o->sub, conf_member(options, o->at));
		} else if (o->type == CONF_LIST) {
			free_list(o, options);
		}
	}
}

/* A secret's file is for its owner and group only. */
static enum err read_secret(const char *path, struct why *why, char **out)
{
	char text[SECRET_BYTES_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return why_errno(why, ERR_CONF, path);
	if (fstat(fd, &st) != 0 || (st.st_mode & S_IROTH) != 0) {
		(void)close(fd);
		return why_set(why, ERR_CONF, "%s: others may read it; chmod o-r", path);
	}
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n < 0 || n == (ssize_t)sizeof(text) - 1)
		return why_set(why, ERR_CONF, "%s: cannot be read, or is too long", path);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	*out = strdup(text);
	return *out == NULL ? why_set(why, ERR_NOMEM, "no memory") : ERR_OK;
}

enum err conf_secret(const char *reference, struct why *why, char **out)
{
	const char *text = reference;

	if (strncmp(reference, "file:", 5) == 0)
		return read_secret(reference + 5, why, out);
	if (strncmp(reference, "env:", 4) == 0) {
		text = getenv(reference + 4); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
		if (text == NULL)
			return why_set(why, ERR_CONF, "%s is not in the environment",
				       reference + 4);
	}
	*out = strdup(text);
	return *out == NULL ? why_set(why, ERR_NOMEM, "no memory") : ERR_OK;
}
