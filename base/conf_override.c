/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_tree.h"

#define PATH_BYTES 512
#define VALUE_BYTES 8192
#define DEPTH_MAX 8

/* Copies the value of `from` into `to`, which is new and of the same type. */
static bool copy_value(config_setting_t *to, const config_setting_t *from, unsigned depth)
{
	switch (config_setting_type(from)) {
	case CONFIG_TYPE_INT:
		return config_setting_set_int(to, config_setting_get_int(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_INT64:
		return config_setting_set_int64(to, config_setting_get_int64(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_FLOAT:
		return config_setting_set_float(to, config_setting_get_float(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_BOOL:
		return config_setting_set_bool(to, config_setting_get_bool(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_STRING:
		return config_setting_set_string(to, config_setting_get_string(from)) ==
		       CONFIG_TRUE;
	default:
		break;
	}
	if (depth == DEPTH_MAX)
		return false;
	/* Groups, lists and arrays; the depth of what an operator types is bounded above. */
	for (int i = 0; i < config_setting_length(from); i++) {
		const config_setting_t *child = config_setting_get_elem(from, (unsigned)i);
		config_setting_t *copy = config_setting_add(to, config_setting_name(child),
							    config_setting_type(child));

		if (copy == NULL || !copy_value(copy, child, depth + 1))
			return false;
	}
	return true;
}

/* The group or list entry that holds the last word of the path; groups that are missing are made. */
static config_setting_t *walk_to(config_t *config, char *path, char **last)
{
	config_setting_t *at = config_root_setting(config);
	char *word = strsep(&path, ".");

	while (at != NULL && path != NULL) {
		config_setting_t *next;
		char *end;

		if (config_setting_is_list(at) || config_setting_is_array(at)) {
			unsigned long i = strtoul(word, &end, 10);

			next = *end != '\0' || end == word ||
					       i >= (unsigned long)config_setting_length(at)
				       ? NULL
				       : config_setting_get_elem(at, (unsigned)i);
		} else {
			next = config_setting_get_member(at, word);
			if (next == NULL && config_setting_is_group(at))
				next = config_setting_add(at, word, CONFIG_TYPE_GROUP);
		}
		at = next;
		word = strsep(&path, ".");
	}
	*last = word;
	return at;
}

/* libconfig has no value without a name.  What is more than one value, or a number that it would wrap, is
 * left to be a text. */
static bool parse_value(const char *text, config_t *scratch)
{
	char line[VALUE_BYTES];
	int n = snprintf(line, sizeof(line), "v = %s;", text);

	return n > 0 && (size_t)n < sizeof(line) && text[0] != '\0' &&
	       conf_scan_text(text, "", NULL) == ERR_OK &&
	       config_read_string(scratch, line) == CONFIG_TRUE &&
	       config_setting_length(config_root_setting(scratch)) == 1;
}

static bool set_value(config_setting_t *group, const char *key, const char *text)
{
	config_setting_t *made;
	config_t scratch;
	bool is_done;

	(void)config_setting_remove(group, key);
	config_init(&scratch);
	if (parse_value(text, &scratch)) {
		const config_setting_t *v = config_lookup(&scratch, "v");

		made = config_setting_add(group, key, config_setting_type(v));
		is_done = made != NULL && copy_value(made, v, 0);
	} else {
		made = config_setting_add(group, key, CONFIG_TYPE_STRING);
		is_done = made != NULL && config_setting_set_string(made, text) == CONFIG_TRUE;
	}
	config_destroy(&scratch);
	return is_done;
}

enum err conf_override(config_t *config, const char *text, struct why *why)
{
	const char *equals = strchr(text, '=');
	char path[PATH_BYTES];
	config_setting_t *group;
	char *key;

	if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof(path))
		return why_set(why, ERR_CONF, "-o %s: KEY=VALUE is wanted", text);
	memcpy(path, text, (size_t)(equals - text));
	path[equals - text] = '\0';
	group = walk_to(config, path, &key);
	if (group == NULL || !config_setting_is_group(group))
		return why_set(why, ERR_CONF, "-o %s: there is no such place", text);
	if (!set_value(group, key, equals + 1))
		return why_set(why, ERR_CONF, "-o %s: not a key, or not a value", text);
	return ERR_OK;
}
