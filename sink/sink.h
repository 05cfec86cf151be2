/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.h - what every sink promises.
 *
 * A sink pulls frames from its log readers at its own pace, makes their records safe somewhere else,
 * and reports what is safe with reader_done().  "Not now" is simply not pulling.  It never drops a
 * record without a counter, and never blocks longer than about 100 ms in poll(), so that stopping is
 * prompt.
 *
 *	open	options checked, memory taken; nothing that can block
 *	start	in the sink's thread, once: connections may begin
 *	poll	in the sink's thread, again and again; returns how long it may sleep when idle
 *		flush	everything read must become safe as soon as it can (drain, stop); no longer
 *			said once what was there when the flush began is safe
 *	finish	in the sink's thread, last: a chance for what was read but is not safe yet
 *	close	in the caller's thread, after the sink's thread ended
 *
 * Owner: struct sinks, by the process.
 */
#ifndef SINK_SINK_H
#define SINK_SINK_H

#include "base/conf.h"
#include "base/json.h"
#include "base/stat.h"
#include "base/why.h"
#include "normalizer/field.h"
#include "sink/log.h"

/* Counters of each sink: rows of sink_counters.def. */
enum sink_stat {
#define COUNTER(id, name, unit, doc) SINK_STAT_##id,
#define DROP(id, name, reason, unit, doc) SINK_STAT_##id,
#include "sink/sink_counters.def"
#undef COUNTER
#undef DROP
	SINK_STAT_COUNT
};
extern const struct stat_desc sink_stat_descs[SINK_STAT_COUNT];

/* What a sink is given at open; all of it outlives the sink.  A frame may have another schema, after a
 * reload: its text is the hub's name of that number, its fields come from schema_fields_new(). */
struct dead;

struct sink_env {
	const char *name;
	const char *state_dir; /* for what must survive a restart; may be NULL */
	struct log_hub *hub;
	const struct field_set *fields; /* of the schema in force at open; NULL: dead letters */
	const char *schema_text;
	uint32_t schema;	     /* its number in the hub's names */
	struct stat_set *stat;	     /* written by the sink's thread only */
	struct log_reader **readers; /* one per log, in worker order */
	size_t reader_count;
	uint64_t route;	   /* its bit of struct log_head.route: other records are not for it */
	struct dead *dead; /* where refused records go; NULL: they are counted, and gone */
};

struct sink_ops {
	const char *type;
	const struct conf_opt *options; /* its part of an entry of `sinks` */
	size_t conf_bytes;		/* sizeof the struct they fill */
	/* What no single option can know; may be NULL.  Also when nothing is going to run (--check). */
	enum err (*check)(const void *conf, struct why *why);
	enum err (*open)(const void *conf, const struct sink_env *env, struct why *why, void **out);
	enum err (*start)(void *self, struct why *why); /* tried again each second if it fails */
	/* Milliseconds it may sleep unless a frame comes; 0: call again at once. */
	int (*poll)(void *self, bool is_flushing);
	void (*finish)(void *self); /* may be NULL */
	/* Members of the sink's object in `status` and `sinks`; any thread, so counters and locked
	 * texts only. */
	void (*status)(void *self, struct json *out);
	void (*close)(void *self);
};

/* The table of sink types, ended by NULL. */
extern const struct sink_ops *const sink_types[];
const struct sink_ops *sink_type_find(const char *type);

/* The running sinks. */
struct sinks;
struct sink_conf {
	const struct sink_ops *ops;
	const char *name;
	const void *conf;    /* of ops->conf_bytes; must outlive the sinks */
	enum log_start from; /* where it begins when the log does not know it */
	struct dead *dead;   /* for what it refuses; may be NULL */
};

enum err sinks_open(const struct sink_conf *confs, size_t count, struct log_hub *hub,
		    struct log *const *logs, size_t log_count, const char *state_dir,
		    const struct field_set *fields, const char *schema_text, struct why *why,
		    struct sinks **out);
enum err sinks_start(struct sinks *s, struct why *why);
/* From now on sinks make safe what they read as soon as they can, until sinks_relax().  What is sealed
 * at the call is what sinks_drained() looks for. */
void sinks_flush(struct sinks *s);
/* True when every sink has everything that was sealed at the last sinks_flush(), or, when they do not
 * flush, now. */
bool sinks_drained(struct sinks *s);
void sinks_relax(struct sinks *s);
/* Flushes and ends the threads: at once when every sink is drained, else after `deadline_ms`; what is
 * left then is counted as abandoned. */
void sinks_stop(struct sinks *s, int deadline_ms);
void sinks_close(struct sinks *s);

/* The sink of that name's bit of struct log_head.route, or 0. */
uint64_t sinks_route(const struct sinks *s, const char *name, size_t bytes);

/* Per sink, for status and ledger. */
size_t sinks_count(const struct sinks *s);
const char *sinks_name(const struct sinks *s, size_t i);
const char *sinks_type(const struct sinks *s, size_t i);
struct stat_set *sinks_stat(const struct sinks *s, size_t i);
/* Sums over the logs: records from where this life began to the end, and what is neither done nor
 * evicted nor abandoned. */
void sinks_lsn(const struct sinks *s, size_t i, uint64_t *span, uint64_t *pending);
void sinks_status(const struct sinks *s, size_t i, struct json *out);

#endif
