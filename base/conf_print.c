/* SPDX-License-Identifier: Apache-2.0 */
/* conf_print.c - filled structs back to text, tables to Markdown, and the difference of two structs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_value.h"

static void print_string(const char *text, FILE *out)
{
	(void)fputc('"', out);
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\')
			(void)fprintf(out, "\\%c", c);
		else if (c < 0x20)
			(void)fprintf(out, "\\x%02x", c);
		else
			(void)fputc(c, out);
	}
	(void)fputc('"', out);
}

/* How values are shown: secrets as they are only to compare them. */
struct printer {
	FILE *out;
	bool is_open;
};

static void print_secret(const char *text, const struct printer *p)
{
	bool is_shown =
		p->is_open || strncmp(text, "file:", 5) == 0 || strncmp(text, "env:", 4) == 0;

	print_string(is_shown ? text : "***", p->out);
}

static void print_strings(const struct conf_opt *o, const void *options, FILE *out)
{
	char *const *texts = *(char **const *)conf_member_const(options, o->at);
	size_t count = *(const size_t *)conf_member_const(options, o->count_at);

	(void)fputs("(", out);
	for (size_t i = 0; i < count; i++) {
		(void)fputs(i == 0 ? " " : ", ", out);
		print_string(texts[i], out);
	}
	(void)fputs(count == 0 ? ")" : " )", out);
}

static void print_word(const struct conf_opt *o, const void *options, FILE *out)
{
	int value = *(const int *)conf_member_const(options, o->at);

	for (const struct conf_word *w = o->words; w->name != NULL; w++) {
		if (w->value == value) {
			print_string(w->name, out);
			return;
		}
	}
}

static void print_value(const struct conf_opt *o, const void *options, const struct printer *p)
{
	FILE *out = p->out;
	const void *member = conf_member_const(options, o->at);
	bool is_long;

	switch (o->type) {
	case CONF_BOOL:
		(void)fputs(*(const bool *)member ? "true" : "false", out);
		break;
	case CONF_U32:
		(void)fprintf(out, "%" PRIu32 "%s", *(const uint32_t *)member,
			      *(const uint32_t *)member > INT32_MAX ? "L" : "");
		break;
	case CONF_I64:
		is_long = *(const int64_t *)member > INT32_MAX ||
			  *(const int64_t *)member < INT32_MIN;
		(void)fprintf(out, "%" PRId64 "%s", *(const int64_t *)member, is_long ? "L" : "");
		break;
	case CONF_SIZE:
		(void)fprintf(out, "\"%" PRIu64 "\"", *(const uint64_t *)member);
		break;
	case CONF_STRING:
		print_string(*(char *const *)member, out);
		break;
	case CONF_SECRET:
		print_secret(*(char *const *)member, p);
		break;
	case CONF_ENUM:
		print_word(o, options, out);
		break;
	case CONF_STRINGS:
		print_strings(o, options, out);
		break;
	case CONF_GROUP:
	case CONF_LIST:
	case CONF_VARIANT:
	case CONF_LINE:
		break;
	}
}

static bool is_absent(const struct conf_opt *o, const void *options)
{
	return (o->type == CONF_STRING || o->type == CONF_SECRET) &&
	       *(char *const *)conf_member_const(options, o->at) == NULL;
}

static void print_table(const struct conf_opt *table, const void *options, int indent,
			const struct printer *p);

static void print_list(const struct conf_opt *o, const void *options, int indent,
		       const struct printer *p)
{
	FILE *out = p->out;
	const void *entries = *(void *const *)conf_member_const(options, o->at);
	size_t count = *(const size_t *)conf_member_const(options, o->count_at);

	(void)fprintf(out, "%*s%s = (", indent, "", o->key);
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s\n%*s{\n", i == 0 ? "" : ",", indent + 2, "");
		print_table(o->sub, conf_member_const(entries, i * o->sub_bytes), indent + 4, p);
		(void)fprintf(out, "%*s}", indent + 2, "");
	}
	(void)fprintf(out, "%s);\n", count == 0 ? "" : "\n");
}

static void print_table(const struct conf_opt *table, const void *options, int indent,
			const struct printer *p)
{
	FILE *out = p->out;

	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		const struct conf_variant *v;

		if (o->type == CONF_VARIANT) {
			v = conf_variant_of(table, options);
			if (v != NULL)
				print_table(v->options,
					    *(void *const *)conf_member_const(options, o->at),
					    indent, p);
		} else if (o->type == CONF_GROUP) {
			(void)fprintf(out, "%*s%s: {\n", indent, "", o->key);
			print_table(o->sub, conf_member_const(options, o->at), indent + 2, p);
			(void)fprintf(out, "%*s};\n", indent, "");
		} else if (o->type == CONF_LIST) {
			print_list(o, options, indent, p);
		} else if (o->type != CONF_LINE && !is_absent(o, options)) {
			(void)fprintf(out, "%*s%s = ", indent, "", o->key);
			print_value(o, options, p);
			(void)fputs(";\n", out);
		}
	}
}

void conf_print(const struct conf_opt *table, const void *options, FILE *out)
{
	const struct printer p = { out, false };

	print_table(table, options, 0, &p);
}

static const char *type_text(const struct conf_opt *o)
{
	static const char *const texts[] = {
		[CONF_BOOL] = "true or false", [CONF_U32] = "number",
		[CONF_I64] = "number",	       [CONF_SIZE] = "size",
		[CONF_STRING] = "text",	       [CONF_SECRET] = "secret",
		[CONF_ENUM] = "one of",	       [CONF_STRINGS] = "list of texts",
		[CONF_GROUP] = "group",	       [CONF_LIST] = "list of groups",
		[CONF_VARIANT] = "",	       [CONF_LINE] = "",
	};

	return texts[o->type];
}

static void markdown_table(const struct conf_opt *table, const char *path, FILE *out);

static void markdown_row(const struct conf_opt *o, const char *path, FILE *out)
{
	char name[CONF_PATH_BYTES];

	(void)snprintf(name, sizeof(name), "%s%s", path, o->key);
	(void)fprintf(out, "| `%s` | %s", name, type_text(o));
	if (o->type == CONF_ENUM) {
		for (const struct conf_word *w = o->words; w->name != NULL; w++)
			(void)fprintf(out, "%s`%s`", w == o->words ? " " : ", ", w->name);
	}
	if ((o->type == CONF_U32 || o->type == CONF_I64) && o->max > 0)
		(void)fprintf(out, ", %" PRId64 " to %" PRId64, o->min, o->max);
	(void)fprintf(out, " | %s%s%s | %s | %s |\n", o->preset == NULL ? "" : "`",
		      o->preset == NULL ? "" : o->preset, o->preset == NULL ? "" : "`",
		      o->type == CONF_GROUP || o->type == CONF_LIST ? ""
		      : o->reload == CONF_LIVE			    ? "reload"
								    : "restart",
		      o->doc);
	if (o->type == CONF_GROUP || o->type == CONF_LIST) {
		(void)snprintf(name, sizeof(name), "%s%s%s.", path, o->key,
			       o->type == CONF_LIST ? "[]" : "");
		markdown_table(o->sub, name, out);
	}
}

static void markdown_variants(const struct conf_opt *o, const char *path, FILE *out)
{
	char name[CONF_PATH_BYTES];

	for (const struct conf_variant *v = o->variants(); v->type != NULL; v++) {
		(void)snprintf(name, sizeof(name), "%s(%s).", path, v->type);
		markdown_table(v->options, name, out);
	}
}

static void markdown_table(const struct conf_opt *table, const char *path, FILE *out)
{
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		if (o->type == CONF_VARIANT)
			markdown_variants(o, path, out);
		else if (o->key != NULL)
			markdown_row(o, path, out);
	}
}

void conf_markdown(const struct conf_opt *table, FILE *out)
{
	(void)fputs("| option | type | default | takes effect | meaning |\n|---|---|---|---|---|\n",
		    out);
	markdown_table(table, "", out);
}

/* One value as text, secrets as they are; NULL without memory. */
static char *value_text(const struct conf_opt *o, const void *options)
{
	const struct conf_opt one[2] = { *o, { 0 } };
	char *text = NULL;
	size_t bytes = 0;
	struct printer p = { NULL, true };

	if (o->type == CONF_SECRET || o->type == CONF_STRING) {
		const char *member = *(char *const *)conf_member_const(options, o->at);

		return strdup(member == NULL ? "" : member);
	}
	p.out = open_memstream(&text, &bytes);
	if (p.out == NULL)
		return NULL;
	print_table(one, options, 0, &p);
	(void)fclose(p.out);
	return text;
}

static void diff_table(const struct conf_opt *table, const void *before, const void *after,
		       const char *path, conf_diff_fn *each, void *ctx)
{
	for (const struct conf_opt *o = table; !conf_is_end(o); o++) {
		char name[CONF_PATH_BYTES];
		char *a;
		char *b;

		if (o->key == NULL)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%s", path, o->key,
			       o->type == CONF_GROUP ? "." : "");
		if (o->type == CONF_GROUP) {
			diff_table(o->sub, conf_member_const(before, o->at),
				   conf_member_const(after, o->at), name, each, ctx);
			continue;
		}
		a = value_text(o, before);
		b = value_text(o, after);
		if (a == NULL || b == NULL || strcmp(a, b) != 0)
			each(ctx, name, o->reload);
		free(a);
		free(b);
	}
}

void conf_diff(const struct conf_opt *table, const void *before, const void *after,
	       conf_diff_fn *each, void *ctx)
{
	diff_table(table, before, after, "", each, ctx);
}
