/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_parts.h - what the files of the log in memory share; nobody else includes it.
 *
 * Frames lie one behind the other in slabs, each with a struct log_entry in front.  A slab goes back to
 * the pool when the last of its frames is gone and its worker has left it, so that short frames, sealed
 * by age, do not take a slab each.
 *
 *	slab	| entry, frame head, body | entry, frame head, body | open frame ...
 *
 * Locks: log->lock covers its list of frames, its readers and its slabs' counts; hub->lock the pool,
 * the names, the counters and `sealed`.  Who holds hub->lock takes no other lock.  The open frame and
 * all below "worker's own" need none: a frame becomes visible when it is linked, under log->lock.
 */
#ifndef SINK_LOG_PARTS_H
#define SINK_LOG_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "sink/log.h"
#include "sink/log_format.h"
#include "sink/log_io.h"
#include "sink/log_live.h"
#include "sink/log_scan.h"

#define LOG_LOGS_MAX 512 /* workers of now, and those of earlier lives */
#define LOG_GAPS_FIRST 8
#define LOG_PATH_BYTES 4096
#define LOG_POOL_MAX 64 /* slabs kept for later; 16 MiB */
#define LOG_WAIT_MS 20	/* of the commit thread */
#define LOG_SYNC_OCTETS                                                                            \
	(4u << 20) /* that wait: so much a sink may be behind before it is written for it */
#define LOG_AHEAD_OCTETS                                                                           \
	(1u << 20) /* that every sink has: cursors are stored before a group is due */
#define LOG_NAME_CHUNK 4096
#define LOG_NAME_CHUNKS 256

/* A piece of memory for frames. */
struct log_slab {
	struct log_slab *next; /* in the pool, or on its way there */
	size_t room;
	size_t used;	/* worker's own */
	uint32_t holds; /* frames that are linked or pinned, and one for the worker */
	uint8_t octets[] __attribute__((aligned(8)));
};

struct log_entry {
	struct log_entry *next; /* newer */
	struct log_entry *prev;
	struct log_slab *slab;
	int64_t opened_ms;
	int64_t sealed_ms;
	uint32_t pins; /* readers that look at it */
	uint32_t is_linked;
	struct log_uses uses;
	struct log_frame_head head; /* the body follows */
};

static inline const uint8_t *log_entry_body(const struct log_entry *e)
{
	return (const uint8_t *)(e + 1);
}

static inline uint64_t log_entry_end(const struct log_entry *e)
{
	return e->head.first_lsn + e->head.record_count;
}

/* A segment of a log; all of it under log->lock. */
struct log_segment {
	struct log_segment *next; /* newer */
	struct log_segment *prev;
	uint64_t first_lsn;
	uint64_t end_lsn; /* one past the last durable record */
	uint64_t previous_end;
	uint64_t sequence;
	uint64_t bytes;	   /* of the file */
	int64_t oldest_ms; /* monotonic: when its first record came, as far as that is known, */
	int64_t newest_ms; /* and its newest */
	uint32_t users;	   /* readers that have it open */
	enum log_hole hole;
	bool is_ours; /* of this life: its numbers are the hub's */
	bool is_gone; /* out of the list: its last user frees it */
};

/* Numbers that the frames of a segment have names for already. */
struct log_known {
	uint64_t *bits;
	uint32_t words;
};

struct log_octets {
	uint8_t *octets;
	size_t bytes;
	size_t room;
};

/* The segment that is written; the commit thread's own. */
struct log_writer {
	int fd; /* -1: none is open */
	uint32_t epoch;
	uint64_t at;
	uint64_t bytes;	      /* of the file */
	uint64_t written_lsn; /* one past the last that was written, or need not be */
	uint64_t segment_lsn; /* one past the last that the open segment tells of */
	uint64_t previous_end;
	enum log_hole hole;
	uint64_t unsynced_octets;
	uint64_t sequence; /* of the next segment */
	bool is_dir_dirty;
	bool has_spare;
	bool has_trouble;
	bool is_full; /* which is the trouble: of max_bytes or min_free */
	int64_t retry_ms;
	struct log_known known[LOG_NAME_KINDS];
	struct log_octets names;
	struct log_octets packed;
};

/* A log's directory. */
struct log_disk {
	int dir_fd;
	char name[16];		/* in the hub's directory */
	bool is_old;		/* of more workers than there are now: read to its end */
	uint64_t begin_lsn;	/* where this life began, */
	uint64_t begin_durable; /* and how far the log had been durable before */
	uint64_t tail_at;	/* where the sound part of the newest segment ended then */
	bool is_tail_unread;	/* the disk did not read all of it */
	struct log_writer writer;
	/* under log->lock */
	struct log_segment *oldest;
	struct log_segment *newest;
	size_t segment_count;
	uint64_t gone_lsn; /* what lies below is on disk no more, */
	enum log_loss gone_why;
	uint64_t settled_lsn; /* below it, some were never written: every sink had them */
};

struct log {
	struct log_hub *hub;
	unsigned worker;
	_Atomic uint64_t *end_lsn; /* in the hub's live page, or own_end */
	_Atomic uint64_t own_end;
	_Atomic uint64_t durable_lsn; /* on disk only */
	struct log_disk *disk;	      /* NULL: in memory only */

	pthread_mutex_t lock;
	struct log_entry *oldest;
	struct log_entry *newest;
	struct log_reader *readers;
	uint64_t sealed_lsn;
	size_t slab_count;
	bool is_finished;

	/* worker's own */
	struct log_slab *slab;
	struct log_entry *open;
	int64_t opened_ms;
	uint64_t open_octets;
};

/* Records that are lost to a reader. */
struct log_gap {
	uint64_t first;
	uint64_t end;
	enum log_loss why;
};

/* A reader that is behind: the segment it reads. */
struct log_back {
	struct log_scan scan;
	struct log_segment *segment; /* it is a user of it; NULL: none */
	struct log_frame frame;	     /* read, and not given yet */
	bool has_frame;
	unsigned failures; /* reads one after the other */
};

struct log_reader {
	struct log *log;
	struct log_reader *next;
	struct log_entry *at; /* pinned: what the sink looks at */
	uint64_t start_lsn;
	_Atomic uint64_t next_lsn;
	_Atomic uint64_t done_lsn;
	_Atomic uint64_t lost[LOG_LOSS_COUNT];
	struct log_gap *gaps; /* above done_lsn, oldest first, apart from each other */
	size_t gap_count;
	size_t gap_room;
	struct log_cursor *cursor; /* NULL: nobody remembers this reader */
	_Atomic uint64_t stored_lsn;
	_Atomic uint64_t older_lsn; /* in the slot before: it must do when the newer one is lost */
	struct log_back *back;
	char sink[LOG_SINK_BYTES];
	bool waits_durable; /* reads nothing that is not */
};

/* What of a sink is known of one log. */
struct log_place {
	unsigned worker;
	uint64_t start;
	uint64_t done;
	uint64_t oldest; /* below it, records made room */
	uint64_t end;	 /* of the log, durable, at that time; the hub's own cursor only, */
			 /* whose `done` is one past the last that segments have */
};

#define LOG_COUNTS_MAX 64

struct log_snapshot {
	struct log_place places[LOG_LOGS_MAX];
	size_t place_count;
	uint64_t counts[LOG_COUNTS_MAX];
};

struct log_cursor {
	struct log_cursor *next;
	struct log_hub *hub;
	char sink[LOG_SINK_BYTES];
	const struct stat_desc *descs;
	size_t count;
	bool is_used;	      /* a sink of that name is there */
	bool is_damaged;      /* neither slot could be read */
	int route;	      /* its number, -1: none */
	char *text;	      /* as loaded, until it is known what the counters are */
	const char *counters; /* their part of it */
	struct log_reader *readers[LOG_LOGS_MAX];
	size_t reader_count;
	/* the sink's thread's own */
	struct log_snapshot draft;
	uint64_t lost[LOG_LOSS_COUNT]; /* counted so far */
	/* under hub->lock */
	struct log_snapshot published;
	/* the commit thread's own */
	struct log_snapshot taken;
	struct log_snapshot stored;
	bool is_twice; /* both slots say so */
	uint64_t sequence;
	int slot;
	int fd; /* -1: not open */
};

struct log_name {
	char *text;
	size_t bytes;
};

/* Chunks never move, so that a name is found without a lock. */
struct log_names {
	_Atomic uint32_t count;
	struct log_name *chunks[LOG_NAME_CHUNKS];
	uint32_t *slots; /* number + 1, by hash; 0 is free */
	size_t slot_count;
};

struct log_hub {
	struct log_conf conf;
	char *dir;
	int dir_fd; /* -1: in memory only */
	int lock_fd;
	uint8_t id[LOG_ID_BYTES];
	uint64_t segment_bytes;
	struct log_live *live;
	struct log_cursor *cursors;
	bool is_gated; /* what lies in the logs is of other workers: it goes first */
	struct thread *committer;
	struct stat_flag stop;
	struct stat_flag wants_commit;
	bool is_clean; /* everything was durable when the commit thread ended */
	bool has_lost; /* a log was closed with records that were not */
	_Atomic uint64_t disk_bytes;
	_Atomic uint64_t bytes; /* of memory */
	/* the commit thread's own */
	int64_t next_store_ms;
	int64_t next_look_ms;
	int64_t next_ahead_ms;
	bool may_not_grow;    /* in this cycle: full, for the file system or for max_bytes */
	uint64_t work_octets; /* sealed, that wake the commit thread */
	/* under lock */
	pthread_cond_t synced;
	pthread_cond_t work;
	uint64_t unseen_octets; /* sealed since it looked */
	bool is_woken;
	char trouble[LOG_TROUBLE_BYTES]; /* why nothing can be written; "": it can */
	uint64_t sync_us_last;
	uint64_t sync_us_most;
	/* of a log in memory, too */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	uint64_t sealed; /* frames sealed, logs finished, wakes */
	struct stat_set *stat;
	struct log_slab *pool;
	size_t pool_count;
	struct log *logs[LOG_LOGS_MAX];
	size_t log_count;
	struct log_names names[LOG_NAME_KINDS];
};

/* log_slab.c; both take hub->lock.  `log` is locked for neither. */
struct log_slab *log_slab_take(struct log_hub *hub, size_t room);
void log_slab_give(struct log_hub *hub, struct log_slab *list);

/* log_batch.c */
void log_uses_add(struct log_uses *u, const struct log_uses *more);

/* Under log->lock: lets go of one hold; a slab that nothing holds is put on `*list`. */
void log_hold_drop(struct log *log, struct log_slab *slab, struct log_slab **list);
/* Under log->lock: takes the oldest frame out of the list. */
void log_unlink_oldest(struct log *log, struct log_slab **list);
/* Under log->lock: frees every frame that all readers are done with. */
void log_free_done(struct log *log, struct log_slab **list);
/* Under log->lock: [first, end) is gone; how many of these records the reader lost by that. */
uint64_t log_reader_lose(struct log_reader *r, uint64_t first, uint64_t end, enum log_loss why);
/* What a reader knows of its place, least safe first.  One that nobody remembers has nothing stored, and
 * asks for nothing again: there the last two are what is done. */
enum log_mark {
	LOG_MARK_READ, /* it may still be sent back */
	LOG_MARK_DONE,
	LOG_MARK_STORED,
	LOG_MARK_STORED_TWICE, /* in both slots of the cursor: holds even when one of them is lost */
};

/* Under log->lock: the least LSN of all readers, UINT64_MAX without any. */
uint64_t log_least(const struct log *log, enum log_mark mark);
/* The first that a reader could still read; under log->lock. */
uint64_t log_oldest_lsn(const struct log *log);
/* Until the commit thread has something to do, at most `timeout_ms`. */
void log_hub_wait_work(struct log_hub *hub, int timeout_ms);
void log_add(struct log_hub *hub, enum log_stat stat, uint64_t n);
void log_add_lost(struct log_hub *hub, enum log_loss why, uint64_t n);
static inline uint64_t log_durable(const struct log *log)
{
	return atomic_load_explicit(&log->durable_lsn, memory_order_acquire);
}

/* log_recover.c: what an earlier life left; makes log->disk. */
enum err log_recover(struct log *log, struct why *why);
void log_disk_close(struct log *log);
/* Under log->lock. */
void log_segment_add(struct log_disk *disk, struct log_segment *segment);
void log_segment_add_oldest(struct log_disk *disk, struct log_segment *segment);
void log_segment_del(struct log_disk *disk, struct log_segment *segment);
void log_segment_name(uint64_t first_lsn, char out[LOG_SEGMENT_NAME_BYTES]);
/* A piece of a segment that could not be read is put aside, once. */
void log_quarantine(struct log *log, int fd, uint64_t first_lsn, uint64_t from, uint64_t to);

/* log_writer.c: the commit thread's.  ERR_FULL: there is no room; ERR_IO: errno says why. */
enum err log_writer_put(struct log *log, const struct log_entry *e);
enum err log_writer_sync(struct log *log);
void log_writer_abandon(struct log *log);
void log_writer_spare(struct log *log);
/* It is not there any more, or nobody knows. */
void log_writer_forget_spare(struct log *log);
/* Others need its room. */
void log_writer_drop_spare(struct log *log);
/* Is what is written still under its name? */
bool log_writer_is_there(const struct log *log);
/* What comes next goes into another segment; all of this one is durable. */
void log_writer_close(struct log *log);
/* Takes away the segment, which is in the list no more; false: it cannot, and it stays the caller's. */
bool log_writer_remove(struct log *log, struct log_segment *segment);
void log_writer_fini(struct log *log);

/* log_settle.c: what every sink has, and will know that it has, counts as durable; and so does what every sink
 * has while nothing can be written. */
void log_settle(struct log *log);
/* Is a sink behind of what is durable? */
bool log_is_awaited(struct log *log);
/* Is it time to make durable what is sealed? */
bool log_is_due(struct log *log, int64_t now_ms);
/* Is it worth storing cursors first, for what need not be written then? */
bool log_is_store_worth(struct log_hub *hub, int64_t now_ms, bool is_their_time);

/* log_back.c: the next frame at or above next_lsn from disk; ERR_AGAIN: look in memory again. */
enum err log_back_next(struct log_reader *r, struct log_frame *out);
void log_back_close(struct log_reader *r);

/* log_cursor_name.c */
#define LOG_CURSOR_FILE_BYTES (3 * LOG_SINK_BYTES + 1)
void log_cursor_file(const char *sink, char out[LOG_CURSOR_FILE_BYTES]);
bool log_cursor_sink(const char *file, char out[LOG_SINK_BYTES]); /* false: it is none */

/* log_cursor.c */
enum err log_cursors_load(struct log_hub *hub, struct why *why);
void log_cursors_drop(struct log_hub *hub); /* of sinks that are no more */
void log_cursors_take(struct log_hub *hub);
/* Those that lie above what is durable wait for it; with `is_ahead` they do not, and no cursor twice. */
enum err log_cursors_store(struct log_hub *hub, bool is_ahead);
/* Does what was taken lie above what is durable? */
bool log_cursors_are_ahead(const struct log_hub *hub);
size_t log_cursors_changed(struct log_hub *hub);
void log_cursors_free(struct log_hub *hub);
const struct log_place *log_cursor_place(const struct log_cursor *c, unsigned worker);
void log_cursor_detach(struct log_cursor *c, const struct log_reader *r);

/* log_dir.c */
enum err log_dir_open(struct log_hub *hub, struct why *why);
void log_dir_close(struct log_hub *hub);
/* Makes it when it is not there; its name is safe then.  Open, or -1 with errno. */
int log_dir_make(const struct log_io *io, int dir_fd, const char *name);
/* Is the directory still what stands under its name? */
bool log_dir_is_there(const struct log_hub *hub);
bool log_disk_is_there(const struct log *log);
void log_dir_tidy(const struct log_hub *hub);
void log_cursors_look(struct log_hub *hub); /* stored again where the file is gone */
/* Makes it again under the same descriptor, which readers use. */
enum err log_dir_again(struct log_hub *hub);
enum err log_disk_again(struct log *log);

void log_names_fini(struct log_names *names);

#endif
