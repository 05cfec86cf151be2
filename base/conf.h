/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h - option tables: one row per key, and everything else follows from the row.
 *
 *	static const struct conf_opt log_options[] = {
 *		{ "max_bytes", CONF_SIZE, CONF_RESTART, AT(max_bytes), 1, INT64_MAX, "1G", "..." },
 *		{ 0 },
 *	};
 *	conf_load(table, "sluice.conf", overrides, count, &options, &why)
 *	conf_print(table, &options, stdout)	 parses back to the same
 *	conf_diff(table, &before, &after, each, ctx)
 *	conf_free(table, &options)
 *
 * Syntax is libconfig's.  Errors say file, line and, for a word that is not known, the nearest one that
 * is.  Nothing is printed and nothing exits here.
 *
 * Owner: the struct that is filled owns all it points to, until conf_free().
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/why.h"

enum conf_type {
	CONF_BOOL,    /* bool */
	CONF_U32,     /* uint32_t, min to max */
	CONF_I64,     /* int64_t, min to max */
	CONF_SIZE,    /* uint64_t octets; "10G", "64M", "4K" or a plain number */
	CONF_STRING,  /* char *; NULL when there is no preset */
	CONF_SECRET,  /* char *; "file:PATH", "env:NAME", or a literal, which prints as "***" */
	CONF_ENUM,    /* int; one of `words` */
	CONF_STRINGS, /* char **, and size_t at count_at */
	CONF_GROUP,   /* a nested struct with the table `sub` */
	CONF_LIST,    /* structs of sub_bytes with the table `sub`; size_t at count_at */
	CONF_VARIANT, /* void *: in a list entry, the options of its `type`; no key */
	CONF_LINE     /* int: line of the entry in its file; no key */
};

enum conf_reload { CONF_RESTART, CONF_LIVE };

struct conf_word {
	const char *name; /* NULL ends the list */
	int value;
};

struct conf_opt;

/* One type of a list entry: the rows it adds and the struct that they fill. */
struct conf_variant {
	const char *type; /* NULL ends the list */
	const struct conf_opt *options;
	size_t bytes;
};

struct conf_opt {
	const char *key; /* NULL and type CONF_BOOL ends the table */
	enum conf_type type;
	enum conf_reload reload;
	size_t at;
	int64_t min;
	int64_t max;
	const char *preset; /* as text; STRINGS: comma separated; NULL: zero, empty or absent */
	const char *doc;
	size_t count_at;
	const struct conf_word *words;
	const struct conf_opt *sub;
	size_t sub_bytes;
	const struct conf_variant *(*variants)(void);
	/* STRING and each of STRINGS: may it be this text?  Says what it wants instead. */
	enum err (*check)(const char *text, struct why *why);
	/* LIST: what no option of an entry knows alone. */
	enum err (*check_entry)(const void *entry, struct why *why);
};

/* Rows of the longer kinds; clang-format takes an initialiser in a macro for a block. */
/* clang-format off */
#define CONF_STRINGS_ROW(key, of, member, count, reload, doc)                                      \
	{ key, CONF_STRINGS, reload, offsetof(of, member), 0, 0, NULL, doc, offsetof(of, count),   \
	  NULL, NULL, 0, NULL }
#define CONF_ENUM_ROW(key, of, member, reload, names, preset, doc)                                 \
	{ key, CONF_ENUM, reload, offsetof(of, member), 0, 0, preset, doc, 0, names, NULL, 0, NULL }
#define CONF_GROUP_ROW(key, of, member, table, doc)                                                \
	{ key, CONF_GROUP, CONF_LIVE, offsetof(of, member), 0, 0, NULL, doc, 0, NULL, table, 0,    \
	  NULL }
#define CONF_LIST_ROW(key, of, member, count, reload, table, entry, doc)                           \
	{ key, CONF_LIST, reload, offsetof(of, member), 0, 0, NULL, doc, offsetof(of, count), NULL,\
	  table, sizeof(entry), NULL }
#define CONF_VARIANT_ROW(of, member, list)                                                         \
	{ NULL, CONF_VARIANT, CONF_RESTART, offsetof(of, member), 0, 0, NULL, NULL, 0, NULL, NULL, \
	  0, list }
#define CONF_LINE_ROW(of, member)                                                                  \
	{ NULL, CONF_LINE, CONF_LIVE, offsetof(of, member), 0, 0, NULL, NULL, 0, NULL, NULL, 0,    \
	  NULL }
/* clang-format on */

static inline bool conf_is_end(const struct conf_opt *o)
{
	return o->key == NULL && o->type != CONF_VARIANT && o->type != CONF_LINE;
}

/* Presets into a zeroed or uninitialised struct. */
enum err conf_init(const struct conf_opt *table, void *out, struct why *why);
/* Frees what the struct points to and zeroes those pointers. */
void conf_free(const struct conf_opt *table, void *options);

/*
 * Reads a file; `overrides` are "path.to.key=value" with list entries by number.  `path` NULL: presets and
 * overrides only.  `out` is untouched on failure.
 */
enum err conf_load(const struct conf_opt *table, const char *path, char *const *overrides,
		   size_t override_count, void *out, size_t out_bytes, struct why *why);
/* The same from text; for tests and fuzzing. */
enum err conf_load_text(const struct conf_opt *table, const char *text, void *out, size_t out_bytes,
			struct why *why);

void conf_print(const struct conf_opt *table, const void *options, FILE *out);
/* Rows of a Markdown page. */
void conf_markdown(const struct conf_opt *table, FILE *out);

typedef void conf_diff_fn(void *ctx, const char *path, enum conf_reload reload);
/* Calls `each` for every option whose value differs. */
void conf_diff(const struct conf_opt *table, const void *before, const void *after,
	       conf_diff_fn *each, void *ctx);

/* "10G" and the like; ERR_FORMAT, ERR_LIMIT past INT64_MAX. */
enum err conf_parse_size(const char *text, uint64_t *out);

/* The secret itself: from the file (which others may not read), the environment, or as it stands.  The
 * caller frees it. */
enum err conf_secret(const char *reference, struct why *why, char **out);

#endif
