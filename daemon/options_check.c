/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/options.h"
#include "sink/dead.h"
#include "sink/file_out.h"

enum err options_place(const struct options *o, int line, struct why *why)
{
	if (line == 0 || o->path == NULL)
		why_prefix(why, "-o");
	else
		why_prefix(why, "%s:%d", o->path, line);
	return ERR_CONF;
}

/* The i-th of all sinks, those of dead letters behind the others. */
static const struct sink_options *any_sink(const struct options *o, size_t i)
{
	return i < o->sink_count ? &o->sinks[i] : &o->dead_letter.sinks[i - o->sink_count];
}

/* Cursors go by name. */
static enum err check_dead_names(const struct options *o, struct why *why)
{
	for (size_t i = 0; i < o->dead_letter.sink_count; i++) {
		const struct sink_options *sink = &o->dead_letter.sinks[i];

		if (strcmp(sink->name, DEAD_READER) != 0)
			continue;
		(void)why_set(why, ERR_CONF, "`%s' is the name of what `sluicectl replay' has sent",
			      sink->name);
		return options_place(o, sink->line, why);
	}
	return ERR_OK;
}

static bool has_files(const struct sink_options *sink)
{
	return strcmp(sink->type, "file") == 0 || strcmp(sink->type, "parquet") == 0;
}

/* Files and manifests go by what is left of the name: each would take the other's for its own, and in one
 * folder finish and remove them. */
static bool are_files_alike(const struct sink_options *a, const struct sink_options *b)
{
	struct file_dir d;
	struct file_dir e;

	file_dir_init(&d, a->name, "");
	file_dir_init(&e, b->name, "");
	return has_files(a) && has_files(b) && strcmp(d.prefix, e.prefix) == 0;
}

static enum err check_pair(const struct sink_options *a, const struct sink_options *b,
			   struct why *why)
{
	if (strcmp(a->name, b->name) == 0)
		return why_set(why, ERR_CONF, "two sinks are named `%s'", b->name);
	if (are_files_alike(a, b))
		return why_set(why, ERR_CONF,
			       "sinks `%s' and `%s' would give files the same names: letters, "
			       "digits, `.', `_' and `-' are all that tells them apart",
			       a->name, b->name);
	return ERR_OK;
}

enum err options_check(const struct options *o, struct why *why)
{
	if (o->sink_count > OPTIONS_SINKS_MAX || o->dead_letter.sink_count > OPTIONS_SINKS_MAX)
		return why_set(why, ERR_CONF, "more than %d sinks", OPTIONS_SINKS_MAX);
	for (size_t i = 1; i < o->sink_count + o->dead_letter.sink_count; i++) {
		const struct sink_options *sink = any_sink(o, i);

		for (size_t k = 0; k < i; k++) {
			if (check_pair(any_sink(o, k), sink, why) != ERR_OK)
				return options_place(o, sink->line, why);
		}
	}
	return check_dead_names(o, why);
}
