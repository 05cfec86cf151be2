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

#include "sink/log.h"

#define LOG_LOGS_MAX 256
#define LOG_GAPS_MAX 8
#define LOG_POOL_MAX 64 /* slabs kept for later; 16 MiB */
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
	int64_t sealed_ms;
	uint32_t pins; /* readers that look at it */
	uint32_t is_linked;
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

struct log {
	struct log_hub *hub;
	unsigned worker;
	_Atomic uint64_t end_lsn;

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

/* Records that were evicted before a reader read them. */
struct log_gap {
	uint64_t first;
	uint64_t end;
};

struct log_reader {
	struct log *log;
	struct log_reader *next;
	struct log_entry *at; /* pinned: what the sink looks at */
	uint64_t start_lsn;
	_Atomic uint64_t next_lsn;
	_Atomic uint64_t done_lsn;
	_Atomic uint64_t evicted;
	struct log_gap gaps[LOG_GAPS_MAX]; /* above done_lsn, oldest first */
	size_t gap_count;
	char sink[64];
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
	_Atomic uint64_t bytes;
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

/* Under log->lock: lets go of one hold; a slab that nothing holds is put on `*list`. */
void log_hold_drop(struct log *log, struct log_slab *slab, struct log_slab **list);
/* Under log->lock: takes the oldest frame out of the list. */
void log_unlink_oldest(struct log *log, struct log_slab **list);
/* Under log->lock: frees every frame that all readers are done with. */
void log_free_done(struct log *log, struct log_slab **list);
/* Under log->lock: the frame makes room unread; records that readers lose by that. */
uint64_t log_reader_lose(struct log_reader *r, const struct log_entry *e);

void log_names_fini(struct log_names *names);

#endif
