/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - what workers append to and sinks read from.
 *
 * One struct log per worker, all in one struct log_hub.  A log is a sequence of frames of encoded
 * records; each record has a log sequence number (LSN) that counts records from 0.  A frame holds
 * records of one schema.  Records become readable, and durable as far as `log.sync` says, when their
 * frame is sealed: at LOG_FRAME_BYTES, or LOG_COMMIT_MS after its first record.
 *
 *	worker:	 log_append(log, batch) ... log_tick(log)
 *	sink:	 log_reader_next(r, &frame); log_frame_next() over its records; reader_done(r, lsn)
 *
 *	frame	| frame head | record head | payload, padded to 8 | record head | payload | ...
 *
 * The record head lets a sink route, key and partition without decoding.  All integers are of the
 * machine's (little-endian) order.
 *
 * Owner: the hub by the process; a log by its worker for appending; a reader by its sink's thread.
 * A sink that falls behind holds up nobody until the log is full; then `log_append` answers ERR_FULL.
 */
#ifndef SINK_LOG_H
#define SINK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/stat.h"
#include "base/why.h"

#define LOG_FRAME_BYTES (256u << 10) /* a frame is sealed when it reaches this */
#define LOG_COMMIT_MS 100
#define LOG_RECORD_MAX (16u << 20)  /* octets of one record's payload */
#define LOG_FRAME_MAGIC 0x52464c53u /* "SLFR" */
#define LOG_ID_BYTES 16
#define LOG_SINK_BYTES 72 /* of a sink's name, with its end */
#define LOG_TROUBLE_BYTES 160

/* Before each record; 48 octets. */
struct log_head {
	uint32_t bytes;	     /* of the payload, without padding */
	uint32_t exporter;   /* number in the names of kind LOG_NAME_EXPORTER */
	int64_t event_ms;    /* event_time, UTC */
	int64_t ingest_ms;   /* ingest_time, UTC */
	uint64_t key_hash;   /* of both endpoints and the protocol, the same for both directions */
	uint64_t route;	     /* bit n: the sink with route number n wants it */
	uint16_t event_type; /* number in the names of kind LOG_NAME_EVENT_TYPE */
	uint16_t flags;	     /* 0 */
	uint32_t reserved;   /* 0 */
};
_Static_assert(sizeof(struct log_head) == 48, "the record head is a format");

/* Before each frame; 48 octets. */
struct log_frame_head {
	uint32_t magic; /* LOG_FRAME_MAGIC */
	uint32_t crc;	/* CRC32C over the rest of this head and the body, seeded by the
				* epoch; 0 where there is none */
	uint64_t first_lsn;
	uint32_t record_count;
	uint32_t schema;      /* number in the names of kind LOG_NAME_SCHEMA */
	uint64_t body_bytes;  /* as stored */
	uint64_t plain_bytes; /* as read; differs when the body is compressed */
	uint16_t codec;	      /* 0: none */
	uint16_t version;     /* 1 */
	uint32_t epoch;
};
_Static_assert(sizeof(struct log_frame_head) == 48, "the frame head is a format");

enum log_name_kind { LOG_NAME_EXPORTER, LOG_NAME_EVENT_TYPE, LOG_NAME_SCHEMA, LOG_NAME_KINDS };

enum log_policy { LOG_BLOCK, LOG_EVICT_OLDEST };

/* When a record is durable: never (memory only), when it was written, when it was synced in a group,
 * when it was synced as soon as its message was appended. */
enum log_sync { LOG_SYNC_OFF, LOG_SYNC_OS, LOG_SYNC_GROUP, LOG_SYNC_EACH };

enum log_codec { LOG_CODEC_NONE, LOG_CODEC_LZ4, LOG_CODEC_ZSTD, LOG_CODEC_COUNT };

struct log_io;

struct log_conf {
	/* Of all logs of the hub together, on disk, or in memory where there is no disk; each log may
	 * have a frame in any case. */
	uint64_t max_bytes;
	enum log_policy policy;
	bool has_crc; /* fill the frames' crc; a log in memory needs none, and it costs a tenth */
	/* The rest is for a log on disk. */
	enum log_sync sync;
	const char *dir;	 /* of the hub's logs; NULL: in memory only, as LOG_SYNC_OFF */
	uint64_t memory_bytes;	 /* of frames in memory; 0: max_bytes */
	uint64_t min_free_bytes; /* that the file system keeps */
	int64_t max_age_ms;	 /* of a record; 0: any */
	enum log_codec codec;
	unsigned worker_count;
	const struct log_io *io; /* NULL: the system's */
};

/* Counters of a hub: rows of log_counters.def. */
enum log_stat {
#define COUNTER(id, name, unit, doc) LOG_STAT_##id,
#define DROP(id, name, reason, unit, doc) LOG_STAT_##id,
#include "sink/log_counters.def"
#undef COUNTER
#undef DROP
	LOG_STAT_COUNT
};
extern const struct stat_desc log_stat_descs[LOG_STAT_COUNT];

/* Names that records use, as far as they are few: whoever writes them need not look at each record. */
#define LOG_USES_EXPORTERS 4
#define LOG_USES_TYPES 64
struct log_uses {
	uint64_t event_types; /* bit n: number n */
	uint32_t exporters[LOG_USES_EXPORTERS];
	uint32_t exporter_count;
	bool are_many; /* there are others */
};

/* Records of one message on their way into the log; a worker has one and uses it again. */
struct log_batch {
	uint8_t *octets; /* struct log_head, payload, padding; repeated */
	size_t bytes;
	size_t room;
	uint32_t record_count;
	uint32_t schema;
	struct log_uses uses;
};

enum err log_batch_init(struct log_batch *b, size_t room);
void log_batch_fini(struct log_batch *b);
void log_batch_clear(struct log_batch *b);
/* Makes room for a head and `payload_max` octets, growing up to LOG_RECORD_MAX beyond what is there;
 * returns the payload's place, or NULL. */
uint8_t *log_batch_reserve(struct log_batch *b, size_t payload_max);
/* Completes the reserved record; head->bytes octets of payload were written. */
void log_batch_commit(struct log_batch *b, const struct log_head *head);

/* Why a reader does not get a record. */
enum log_loss {
	LOG_LOST_MAX_BYTES, /* made room */
	LOG_LOST_MAX_AGE,   /* grew too old */
	LOG_LOST_CORRUPT,   /* was durable and could not be read back */
	LOG_LOST_UNSYNCED,  /* went in a crash before it was durable */
	LOG_LOSS_COUNT
};

struct log_hub;
struct log;
struct log_reader;
struct log_cursor;

/* On disk: takes the directory, which nobody else may use, and reads what is known of sinks.  Then
 * log_open() for each worker, and for each of log_hub_old(); then cursors and readers; then
 * log_hub_start(), before which nothing is written. */
enum err log_hub_open(const struct log_conf *conf, struct why *why, struct log_hub **out);
/* Numbers of workers whose logs an earlier life left and that there are no more, at most `max`. */
size_t log_hub_old(const struct log_hub *hub, unsigned *workers, size_t max);
/* Starts the commit thread of a log on disk; cursors of sinks that have no reader are forgotten. */
enum err log_hub_start(struct log_hub *hub, struct why *why);
/* Everything sealed becomes durable, cursors are stored, the thread ends.  Idempotent. */
void log_hub_stop(struct log_hub *hub);
void log_hub_close(struct log_hub *hub); /* after all logs and readers */
/* Which log it is, for ever: LOG_ID_BYTES octets; zeros in memory. */
const uint8_t *log_hub_id(const struct log_hub *hub);
bool log_hub_is_durable(
	const struct log_hub *hub); /* on disk: LSNs mean the same in the next life */

/* Number of a name, added when new; names are for ever.  Any thread; takes a lock, so ask once and
 * keep the answer.  ERR_LIMIT past 2^20 names of a kind (65 535 event types). */
enum err log_name_add(struct log_hub *hub, enum log_name_kind kind, const char *name, size_t bytes,
		      uint32_t *number);
/* The name; valid while the hub is. */
const char *log_name(struct log_hub *hub, enum log_name_kind kind, uint32_t number, size_t *bytes);
uint32_t log_name_count(const struct log_hub *hub, enum log_name_kind kind); /* numbers so far */

enum err log_open(struct log_hub *hub, unsigned worker, struct why *why, struct log **out);
void log_close(struct log *log);

/* Appends all records of the batch, or none: ERR_FULL (max_bytes reached under LOG_BLOCK, or memory_bytes
 * while the disk takes nothing) or ERR_NOMEM; never waits for the disk.  *first_lsn gets the first record's
 * LSN. */
enum err log_append(struct log *log, const struct log_batch *b, uint64_t *first_lsn);
/* Seals the open frame when it is old enough; the worker calls it at least every LOG_COMMIT_MS. */
void log_tick(struct log *log, int64_t mono_ms);
/* Seals now. */
void log_flush(struct log *log);
/* No more appends: readers that come to the end get ERR_CLOSED instead of ERR_AGAIN. */
void log_finish(struct log *log);
uint64_t log_end_lsn(const struct log *log); /* one past the last appended; any thread */
uint64_t log_sealed_lsn(struct log *log);    /* one past the last that can be read; any thread */
/* One past the last that is safe from a crash, as far as `sync` goes; the same as sealed in memory. */
uint64_t log_durable_lsn(struct log *log);

struct log_frame {
	struct log_frame_head head;
	const uint8_t *body; /* plain */
	size_t bytes;
};

struct log_record {
	struct log_head head;
	const uint8_t *payload;
	uint64_t lsn;
};

/* A reader of one log that nobody remembers, from the oldest record or from the end; the name is for
 * messages. */
enum log_start { LOG_FROM_OLDEST, LOG_FROM_END };
enum err log_reader_open(struct log *log, const char *name, enum log_start from, struct why *why,
			 struct log_reader **out);
void log_reader_close(struct log_reader *r);

/* The next frame: ERR_AGAIN when there is none yet, ERR_CLOSED when none will come.  What `out`
 * points to is valid until the next call of next, seek or close for this reader.  A frame that is
 * read from its middle, after a seek, has its head and body cut to what is to be read, and no crc. */
enum err log_reader_next(struct log_reader *r, struct log_frame *out);
/* Every record below `lsn` is safe: never asked for again by this sink.  Never goes back. */
void reader_done(struct log_reader *r, uint64_t lsn);
/* Reads again from `lsn`, which is not below what is done (a sink that replays after a failure). */
enum err log_reader_seek(struct log_reader *r, uint64_t lsn);
uint64_t log_reader_start_lsn(const struct log_reader *r);  /* where this life began */
uint64_t log_reader_done_lsn(const struct log_reader *r);   /* any thread */
uint64_t log_reader_next_lsn(const struct log_reader *r);   /* the next that it will read */
uint64_t log_reader_sealed_lsn(const struct log_reader *r); /* of its log */
/* From now on it reads only what is safe from a crash; of a log in memory, all.  For a sink that makes
 * nothing safe before the log has: what it holds could not become durable in a log that is full of what it
 * is not done with. */
void log_reader_wait_durable(struct log_reader *r);
/* Records from start to end that are neither done nor evicted; any thread. */
uint64_t log_reader_pending(const struct log_reader *r);
/* Records that this reader did not get, or could not read again; any thread. */
uint64_t log_reader_lost(const struct log_reader *r, enum log_loss why);
/* Waits until everything below `lsn`, which is not above what is sealed, is safe from a crash: ERR_OK, or
 * ERR_AGAIN after `timeout_ms`.  A sink that promises never to deliver twice asks before it delivers. */
enum err log_reader_sync(struct log_reader *r, uint64_t lsn, int timeout_ms);
/* What is done and will still be known after a crash: where this sink would go on.  Any thread. */
uint64_t log_reader_stored_lsn(const struct log_reader *r);
/* Before the first append of this life: the sink knows that it was done with all records below `lsn` in an
 * earlier one, but for those that were `lost` to it then.  The log never gives such a number again, and the
 * reader goes on there. */
void log_reader_committed(struct log_reader *r, uint64_t lsn, const uint64_t lost[LOG_LOSS_COUNT]);
/* Of the records from what is done to `end`, those that are lost to this reader. */
void log_reader_gaps(struct log_reader *r, uint64_t end, uint64_t lost[LOG_LOSS_COUNT]);
const struct log *log_reader_log(const struct log_reader *r);
unsigned log_worker(const struct log *log);

/*
 * What a sink must not forget: how far it is in each log, and its counters as of there.
 *
 *	log_cursor_open(hub, sink, descs, count, &cursor, &why)
 *	log_cursor_counts(cursor)		as stored by an earlier life, in the order of `descs`
 *	log_cursor_reader(cursor, log, from, &why, &reader)	for each log; goes on where the sink was
 *	log_cursor_publish(cursor, stat, loss_stats)	by the sink's thread, between two of its polls
 *
 * The commit thread stores what was published last, once all of it is durable.  `loss_stats` are the ids in
 * `stat` of each enum log_loss; this call brings them up to date.  Both are NULL for a reader without counters.
 */
enum err log_cursor_open(struct log_hub *hub, const char *sink, const struct stat_desc *descs,
			 size_t count, struct why *why, struct log_cursor **out);
/* `from` is for a log that the sink does not know yet. */
enum err log_cursor_reader(struct log_cursor *c, struct log *log, enum log_start from,
			   struct why *why, struct log_reader **out);
/* Records of logs that are no more, which the counters still hold; once its readers are open. */
uint64_t log_cursor_gone(const struct log_cursor *c);
/* The number of the sink's bit in struct log_head.route, below LOG_ROUTES; its for as long as it is known. */
#define LOG_ROUTES 64
unsigned log_cursor_route(const struct log_cursor *c);
const uint64_t *log_cursor_counts(const struct log_cursor *c);
void log_cursor_publish(struct log_cursor *c, struct stat_set *stat,
			const size_t loss_stats[LOG_LOSS_COUNT]);

/* Is the frame as it was sealed?  True when it has no crc. */
bool log_frame_is_sound(const struct log_frame *frame);
/* Walks a frame: `at` starts at 0 and is moved on, `out` is the same at each call; false at the end. */
bool log_frame_next(const struct log_frame *frame, size_t *at, struct log_record *out);

/* Waits until a frame was sealed or a log finished since `*seen`, at most `timeout_ms`. */
void log_hub_wait(struct log_hub *hub, uint64_t *seen, int timeout_ms);
/* Wakes all waiters (stop, reload). */
void log_hub_wake(struct log_hub *hub);
uint64_t log_hub_bytes(const struct log_hub *hub); /* in use now, of max_bytes; any thread */
uint64_t log_hub_max_bytes(const struct log_hub *hub);
/* More than four fifths in use: whoever can wait before the next append, should.  Any thread. */
bool log_hub_is_high(const struct log_hub *hub);
/* Should who can wait do so?  Not for a disk whose oldest segments make room. */
bool log_hub_wants_pause(const struct log_hub *hub);
struct stat_set *log_hub_stat(struct log_hub *hub);
/* `log.sync` as it is in force, and why nothing can be written: "" when it can.  Any thread. */
void log_hub_state(struct log_hub *hub, const char **sync, char trouble[LOG_TROUBLE_BYTES]);
/* What an operator asks first: the sink that is farthest behind, by the age of the oldest record that it has
 * not made safe; and memory for frames.  Any thread. */
struct log_summary {
	uint64_t memory_bytes;
	uint64_t memory_max_bytes;
	char slowest[LOG_SINK_BYTES]; /* "": all have everything */
	uint64_t lag_records;
	int64_t lag_ms;
};
void log_hub_summary(struct log_hub *hub, struct log_summary *out);
/* Members of an open object: room, trouble, each log's segments, each sink's place.  Any thread. */
void log_hub_show(struct log_hub *hub, struct json *out);

#endif
