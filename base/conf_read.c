/* SPDX-License-Identifier: Apache-2.0 */
/* conf_read.c - a libconfig tree into the structs of option tables. */
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_tree.h"
#include "base/conf_value.h"
#include "base/must.h"
#include "base/nearest.h"

#define KEYS_MAX 256

/* Puts the place before what is wrong: file and line, or the override. */
static enum err at_place(const config_setting_t *s, enum err e, struct why *why)
{
	const char *file = config_setting_source_file(s);
	unsigned line = config_setting_source_line(s);

	if (line == 0)
		why_prefix(why, "-o");
	else
		why_prefix(why, "%s:%u", file == NULL ? "(text)" : file, line);
	return e;
}

static enum err wrong(const config_setting_t *s, struct why *why, const char *key, const char *text)
{
	return at_place(s, why_set(why, ERR_CONF, "`%s' %s", key, text), why);
}

static const char *key_at(const void *words, size_t i)
{
	const char *const *keys = words;

	return keys[i];
}

static size_t add_keys(const struct conf_opt *table, const char **keys, size_t count)
{
	for (const struct conf_opt *o = table; !conf_is_end(o) && count < KEYS_MAX; o++) {
		if (o->key != NULL)
			keys[count++] = o->key;
	}
	return count;
}

/* Every member of the group is a key of the table, or of the variant's. */
static enum err check_keys(const struct conf_opt *table, const struct conf_variant *variant,
			   const config_setting_t *group, struct why *why)
{
	const char *keys[KEYS_MAX];
	size_t count = add_keys(table, keys, 0);

	if (variant != NULL)
		count = add_keys(variant->options, keys, count);
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		size_t k = 0;

		while (k < count && strcmp(keys[k], config_setting_name(s)) != 0)
			k++;
		if (k < count)
			continue;
		(void)why_set(why, ERR_CONF, "unknown key `%s' (nearest: `%s')",
			      config_setting_name(s),
			      nearest_of(config_setting_name(s), key_at, keys, count));
		return at_place(s, ERR_CONF, why);
	}
	return ERR_OK;
}

static enum err read_number(const struct conf_opt *o, const config_setting_t *s, void *options,
			    struct why *why)
{
	int type = config_setting_type(s);
	enum err e;

	if (type == CONFIG_TYPE_STRING)
		e = conf_set_text(o, config_setting_get_string(s), options, why);
	else if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
		e = conf_set_number(o, config_setting_get_int64(s), options, why);
	else
		return wrong(s, why, o->key, "wants a number");
	return e == ERR_OK ? e : at_place(s, e, why);
}

/* A text; a number is taken as its digits. */
static enum err read_string(const struct conf_opt *o, const config_setting_t *s, void *options,
			    struct why *why)
{
	int type = config_setting_type(s);
	char digits[24];
	const char *text = config_setting_get_string(s);
	enum err e;

	if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64) {
		(void)snprintf(digits, sizeof(digits), "%lld", config_setting_get_int64(s));
		text = digits;
	}
	if (text == NULL)
		return wrong(s, why, o->key, "wants a text");
	e = conf_set_text(o, text, options, why);
	return e == ERR_OK ? e : at_place(s, e, why);
}

static enum err read_strings(const struct conf_opt *o, const config_setting_t *s, void *options,
			     struct why *why)
{
	enum err e = ERR_OK;

	if (config_setting_type(s) == CONFIG_TYPE_STRING) {
		e = conf_add_string(o, config_setting_get_string(s), options, why);
		return e == ERR_OK ? e : at_place(s, e, why);
	}
	if (!config_setting_is_list(s) && !config_setting_is_array(s))
		return wrong(s, why, o->key, "wants a list of texts");
	for (int i = 0; e == ERR_OK && i < config_setting_length(s); i++) {
		const char *text = config_setting_get_string_elem(s, i);

		if (text == NULL)
			return wrong(s, why, o->key, "wants a list of texts");
		e = conf_add_string(o, text, options, why);
	}
	return e == ERR_OK ? e : at_place(s, e, why);
}

static const char *variant_at(const void *words, size_t i)
{
	const struct conf_variant *v = words;

	return v[i].type;
}

/* The variant that the entry's `type` names. */
static enum err find_variant(const struct conf_opt *o, const config_setting_t *entry,
			     struct why *why, const struct conf_variant **out)
{
	const struct conf_variant *list = o->variants();
	const config_setting_t *s = config_setting_get_member(entry, "type");
	const char *type = s == NULL ? NULL : config_setting_get_string(s);
	size_t count = 0;

	if (type == NULL)
		return wrong(s == NULL ? entry : s, why, "type", "is missing");
	for (; list[count].type != NULL; count++) {
		if (strcmp(list[count].type, type) == 0) {
			*out = &list[count];
			return ERR_OK;
		}
	}
	(void)why_set(why, ERR_CONF, "unknown type `%s' (nearest: `%s')", type,
		      nearest_of(type, variant_at, list, count));
	return at_place(s, ERR_CONF, why);
}

static const struct conf_opt *variant_row(const struct conf_opt *table)
{
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		if (o->type == CONF_VARIANT)
			return o;
	}
	return NULL;
}

static enum err read_table(const struct conf_opt *table, const struct conf_variant *variant,
			   const config_setting_t *group, void *options, struct why *why);

static enum err read_variant(const struct conf_opt *table, const struct conf_opt *row,
			     const struct conf_variant *variant, const config_setting_t *group,
			     void *entry, struct why *why)
{
	void **member = conf_member(entry, row->at);

	(void)table;
	must(variant != NULL);
	*member = calloc(1, variant->bytes);
	if (*member == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	TRY(conf_init(variant->options, *member, why));
	for (const struct conf_opt *o = variant->options; !conf_is_end(o); o++) {
		const struct conf_opt one[2] = { *o, { 0 } };
		const config_setting_t *s =
			o->key == NULL ? NULL : config_setting_get_member(group, o->key);

		if (s != NULL)
			TRY(read_table(one, NULL, group, *member, why));
	}
	return ERR_OK;
}

static enum err read_entry(const struct conf_opt *o, const config_setting_t *group, void *entry,
			   struct why *why)
{
	const struct conf_opt *row = variant_row(o->sub);
	const struct conf_variant *variant = NULL;

	if (!config_setting_is_group(group))
		return wrong(group, why, o->key, "wants groups { ... } in its list");
	if (row != NULL)
		TRY(find_variant(row, group, why, &variant));
	TRY(check_keys(o->sub, variant, group, why));
	TRY(read_table(o->sub, variant, group, entry, why));
	if (row != NULL)
		TRY(read_variant(o->sub, row, variant, group, entry, why));
	if (o->check_entry != NULL && o->check_entry(entry, why) != ERR_OK)
		return at_place(group, ERR_CONF, why);
	return ERR_OK;
}

static enum err read_list(const struct conf_opt *o, const config_setting_t *s, void *options,
			  struct why *why)
{
	void **member = conf_member(options, o->at);
	size_t *count = conf_member(options, o->count_at);
	size_t wanted = (size_t)config_setting_length(s);

	if (!config_setting_is_list(s) && !(config_setting_is_array(s) && wanted == 0))
		return wrong(s, why, o->key, "wants a list ( { ... }, { ... } )");
	if (wanted > CONF_ENTRIES_MAX)
		return wrong(s, why, o->key, "has too many entries");
	*member = calloc(wanted + 1, o->sub_bytes);
	if (*member == NULL)
		return why_set(why, ERR_NOMEM, "no memory for `%s'", o->key);
	for (size_t i = 0; i < wanted; i++) {
		void *entry = conf_member(*member, i * o->sub_bytes);

		TRY(conf_init(o->sub, entry, why));
		(*count)++;
		TRY(read_entry(o, config_setting_get_elem(s, (unsigned)i), entry, why));
	}
	return ERR_OK;
}

static enum err read_one(const struct conf_opt *o, const config_setting_t *s, void *options,
			 struct why *why)
{
	switch (o->type) {
	case CONF_BOOL:
		if (config_setting_type(s) != CONFIG_TYPE_BOOL)
			return wrong(s, why, o->key, "wants true or false");
		*(bool *)conf_member(options, o->at) = config_setting_get_bool(s) != 0;
		return ERR_OK;
	case CONF_U32:
	case CONF_I64:
	case CONF_SIZE:
		return read_number(o, s, options, why);
	case CONF_STRING:
	case CONF_SECRET:
	case CONF_ENUM:
		return read_string(o, s, options, why);
	case CONF_STRINGS:
		return read_strings(o, s, options, why);
	case CONF_GROUP:
		if (!config_setting_is_group(s))
			return wrong(s, why, o->key, "wants a group { ... }");
		TRY(check_keys(o->sub, NULL, s, why));
		return read_table(o->sub, NULL, s, conf_member(options, o->at), why);
	case CONF_LIST:
		return read_list(o, s, options, why);
	case CONF_VARIANT:
	case CONF_LINE:
		break;
	}
	return ERR_OK;
}

/* What stands in the group replaces the preset; a list of texts is not added to it. */
static void drop_preset(const struct conf_opt *o, void *options)
{
	const struct conf_opt one[2] = { *o, { 0 } };

	if (o->type == CONF_STRINGS)
		conf_free(one, options);
}

static enum err read_table(const struct conf_opt *table, const struct conf_variant *variant,
			   const config_setting_t *group, void *options, struct why *why)
{
	(void)variant;
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		const config_setting_t *s;

		if (o->type == CONF_LINE)
			*(int *)conf_member(options, o->at) = config_setting_source_line(group);
		if (o->key == NULL)
			continue;
		s = config_setting_get_member(group, o->key);
		if (s == NULL)
			continue;
		drop_preset(o, options);
		TRY(read_one(o, s, options, why));
	}
	return ERR_OK;
}

/* Into a struct of our own first, so that the caller's stays as it is when something is wrong. */
static enum err take_tree(const struct conf_opt *table, const config_t *config, void *out,
			  size_t out_bytes, struct why *why)
{
	const config_setting_t *root = config_root_setting(config);
	void *fresh = calloc(1, out_bytes);
	enum err e;

	if (fresh == NULL)
		return why_set(why, ERR_NOMEM, "no memory for the configuration");
	e = conf_init(table, fresh, why);
	if (e == ERR_OK) {
		e = check_keys(table, NULL, root, why);
		if (e == ERR_OK)
			e = read_table(table, NULL, root, fresh, why);
		if (e != ERR_OK)
			conf_free(table, fresh);
	}
	if (e == ERR_OK)
		memcpy(out, fresh, out_bytes);
	free(fresh);
	return e;
}

enum err conf_read_error(const config_t *config, const char *path, struct why *why)
{
	const char *file = config_error_file(config);

	if (config_error_type(config) == CONFIG_ERR_FILE_IO && errno == 0)
		return why_set(why, ERR_CONF, "%s: cannot be read", path);
	if (config_error_type(config) == CONFIG_ERR_FILE_IO)
		return why_errno(why, ERR_CONF, path);
	return why_set(why, ERR_CONF, "%s:%d: %s", file == NULL ? path : file,
		       config_error_line(config), config_error_text(config));
}

/* @include is relative to the folder of the file. */
static void set_include_dir(config_t *config, const char *path)
{
	char dir[4096];
	const char *slash = strrchr(path, '/');

	if (slash == NULL || (size_t)(slash - path) >= sizeof(dir))
		return;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	config_set_include_dir(config, dir[0] == '\0' ? "/" : dir);
}

enum err conf_load(const struct conf_opt *table, const char *path, char *const *overrides,
		   size_t override_count, void *out, size_t out_bytes, struct why *why)
{
	config_t config;
	enum err e = ERR_OK;

	config_init(&config);
	if (path != NULL) {
		set_include_dir(&config, path);
		errno = 0;
		if (config_read_file(&config, path) != CONFIG_TRUE)
			e = conf_read_error(&config, path, why);
		else
			e = conf_scan_files(&config, why);
	}
	for (size_t i = 0; e == ERR_OK && i < override_count; i++)
		e = conf_override(&config, overrides[i], why);
	if (e == ERR_OK)
		e = take_tree(table, &config, out, out_bytes, why);
	config_destroy(&config);
	return e;
}

enum err conf_load_text(const struct conf_opt *table, const char *text, void *out, size_t out_bytes,
			struct why *why)
{
	config_t config;
	enum err e = ERR_OK;

	config_init(&config);
	if (config_read_string(&config, text) != CONFIG_TRUE)
		e = conf_read_error(&config, "(text)", why);
	else
		e = conf_scan_text(text, "(text)", why);
	if (e == ERR_OK)
		e = take_tree(table, &config, out, out_bytes, why);
	config_destroy(&config);
	return e;
}
