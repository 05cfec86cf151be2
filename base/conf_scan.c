/* SPDX-License-Identifier: Apache-2.0 */
/* conf_scan.c - finds the integers that libconfig 1.5 wraps silently: 5000000000 to 705032704. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_tree.h"

#define FILES_MAX 64
#define PATH_BYTES 4096
#define DEPTH_MAX 32

/* Past the comment that begins at `p`, or `p` when there is none. */
static const char *past_comment(const char *p)
{
	const char *end;

	if (p[0] == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] != '/' || p[1] != '*')
		return p;
	end = strstr(p + 2, "*/");
	return end == NULL ? p + strlen(p) : end + 2;
}

/* Past the quoted text that begins at `p`. */
static const char *past_text(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++) {
		if (p[0] == '\\' && p[1] != '\0')
			p++;
	}
	return *p == '"' ? p + 1 : p;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '*' || c == '-';
}

/* A number begins at `p`: *end is behind it; true when it needs an L and has none. */
static bool is_wrapped(const char *p, bool is_negative, const char **end)
{
	bool is_hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
	unsigned long long v;
	char *behind;

	errno = 0;
	v = strtoull(p, &behind, is_hex ? 16 : 10);
	*end = behind;
	if (*behind == 'L')
		return false;
	if (!is_hex && (*behind == '.' || *behind == 'e' || *behind == 'E')) {
		*end = behind + strspn(behind, ".eE+-0123456789");
		return false;
	}
	return errno == ERANGE || v > (unsigned long long)INT32_MAX + (is_negative && !is_hex);
}

enum err conf_scan_text(const char *text, const char *name, struct why *why)
{
	unsigned line = 1;
	const char *p = text;

	while (*p != '\0') {
		const char *from = p;

		p = past_comment(p);
		if (p == from && *p == '"') {
			p = past_text(p);
		} else if (p == from && isdigit((unsigned char)*p)) {
			if (is_wrapped(from, from > text && from[-1] == '-', &p))
				return why_set(why, ERR_CONF,
					       "%s:%u: %.*s: a number above 2147483647 needs the "
					       "suffix L",
					       name, line, (int)(p - from), from);
		} else if (p == from && is_name(*p) && *p != '-') {
			while (is_name(*p))
				p++;
		} else if (p == from) {
			p++;
		}
		for (; from < p; from++)
			line += *from == '\n';
	}
	return ERR_OK;
}

/* libconfig 1.5 names an included file as the include does, newer ones with its folder. */
static FILE *open_file(const char *folder, const char *name)
{
	char path[PATH_BYTES];
	int n = snprintf(path, sizeof(path), "%s/%s", folder == NULL ? "." : folder, name);
	FILE *f = NULL;

	if (name[0] != '/' && n > 0 && (size_t)n < sizeof(path))
		f = fopen(path, "re");
	return f == NULL ? fopen(name, "re") : f;
}

static enum err scan_file(const char *folder, const char *name, struct why *why)
{
	char *text = NULL;
	size_t room = 0;
	enum err e = ERR_OK;
	FILE *f = open_file(folder, name);

	if (f == NULL)
		return why_errno(why, ERR_CONF, name);
	/* The whole file in one go: up to a NUL, where libconfig's text ends too. */
	if (getdelim(&text, &room, '\0', f) > 0)
		e = conf_scan_text(text, name, why);
	free(text);
	(void)fclose(f);
	return e;
}

struct files {
	const char *names[FILES_MAX];
	size_t count;
};

/* Files that settings came from; libconfig has one text for each. */
static void collect(const config_setting_t *s, struct files *files, unsigned depth)
{
	const char *name = config_setting_source_file(s);
	size_t i = 0;

	while (name != NULL && i < files->count && strcmp(files->names[i], name) != 0)
		i++;
	if (name != NULL && i == files->count && i < FILES_MAX)
		files->names[files->count++] = name;
	if (!config_setting_is_aggregate(s) || depth == DEPTH_MAX)
		return;
	for (int k = 0; k < config_setting_length(s); k++)
		collect(config_setting_get_elem(s, (unsigned)k), files, depth + 1);
}

enum err conf_scan_files(const config_t *config, struct why *why)
{
	struct files files = { { NULL }, 0 };

	collect(config_root_setting(config), &files, 0);
	for (size_t i = 0; i < files.count; i++)
		TRY(scan_file(config_get_include_dir(config), files.names[i], why));
	return ERR_OK;
}
