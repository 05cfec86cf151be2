/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead.h - the dead letter log: what could not be decoded, and what a sink refused for good.
 *
 * A hub of its own with one log for each worker, which appends without a lock, and one more for the
 * threads of sinks, under a mutex.  It keeps the newest letters up to its quota: those that sinks have
 * are kept too, for a replay, which reads with a reader of its own.
 *
 *	dead_open(&conf, &why, &d)
 *	dead_put(d, worker, &letter); dead_tick(d, worker, mono_ms)	the worker
 *	dead_bury(d, &record); dead_wait_durable(d, ms)			a sink's thread
 *	dead_reader(d, log)						who replays
 *	dead_finish(d)			no more letters
 *	dead_close(d)			after the sinks on its logs
 *
 * Owner: the process.  It costs nothing until something is wrong, and then so much in a second and no
 * more: anybody who can send a datagram can send one that is wrong.
 */
#ifndef SINK_DEAD_H
#define SINK_DEAD_H

#include "base/stat.h"
#include "base/why.h"
#include "sink/dead_letter.h"
#include "sink/log.h"

/* Counters: rows of dead_counters.def. */
enum dead_stat {
#define COUNTER(id, name, unit, doc) DEAD_STAT_##id,
#define DROP(id, name, reason, unit, doc) DEAD_STAT_##id,
#include "sink/dead_counters.def"
#undef COUNTER
#undef DROP
	DEAD_STAT_COUNT
};
extern const struct stat_desc dead_stat_descs[DEAD_STAT_COUNT];

struct dead_conf {
	struct log_conf log; /* its policy is not looked at; its dir is copied */
	unsigned worker_count;
	uint32_t rate;	     /* letters a second, of each worker */
	uint64_t rate_bytes; /* octets of them */
};

/* A record that a sink refused, as the sink has it. */
struct dead_record {
	struct log_hub *hub; /* of the numbers below */
	uint32_t exporter;
	uint32_t schema;
	bool has_schema; /* else nobody knows it any more: the letter cannot be sent again */
	const char *sink;
	const char *reason;
	const char *error;
	uint64_t lsn;
	const uint8_t *payload;
	size_t bytes;
};

#define DEAD_FINGERPRINT_BYTES 16
#define DEAD_READER "replay" /* the name of its own reader: no sink may have it */

struct dead;

enum err dead_open(const struct dead_conf *conf, struct why *why, struct dead **out);
/* Once its sinks are open: from then on letters become as durable as the configuration says. */
enum err dead_start(struct dead *d, struct why *why);
/* When nobody puts any more: all of them are. */
void dead_stop(struct dead *d);
void dead_close(struct dead *d);

/* Before a letter is made: true when this second has no room for one, which is counted then as one that was. */
bool dead_refuses(struct dead *d, unsigned worker, enum dead_care care, enum dead_stat kind);

/* Appends the letter; false when it could not be, and the counters say why. */
bool dead_put(struct dead *d, unsigned worker, const struct dead_letter *l);
/* Seals what the worker appended long enough ago. */
void dead_tick(struct dead *d, unsigned worker, int64_t mono_ms);
/* Seals what the worker appended. */
void dead_flush(struct dead *d, unsigned worker);

/* From any thread that is no worker's. */
bool dead_bury(struct dead *d, const struct dead_record *r);
bool dead_bury_letter(struct dead *d, const struct dead_letter *l);
/* Seals what was buried, so that it can be read. */
void dead_seal(struct dead *d);
/* Seals it, too.  True when all that was buried is as safe as the dead letter log makes it; waits for that at most
 * `timeout_ms`.  A cursor of the main log passes a buried record only then. */
bool dead_wait_durable(struct dead *d, int timeout_ms);

void dead_finish(struct dead *d);

/* One log for each worker, then that of the sinks. */
struct log_hub *dead_hub(struct dead *d);
size_t dead_log_count(const struct dead *d);
struct log *const *dead_logs(const struct dead *d);
const char *dead_schema(const struct dead *d);
/* Of the replay; one thread. */
struct log_reader *dead_reader(struct dead *d, size_t log);
/* Of `letters`, which the reader is done with, so many were put back, and so many were no letters. */
void dead_count_replayed(struct dead *d, uint64_t letters, uint64_t returned, uint64_t unreadable);

/* The text of a schema as letters name it. */
void dead_fingerprint(const char *schema, size_t bytes, char out[DEAD_FINGERPRINT_BYTES + 1]);

struct dead_sums {
	uint64_t values[DEAD_STAT_COUNT];
	uint64_t span; /* letters that came into the log, */
	uint64_t kept; /* and those of them that a replay would find */
};
/* By the thread that replays. */
void dead_sum(struct dead *d, struct dead_sums *out);

#endif
