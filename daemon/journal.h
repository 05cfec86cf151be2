/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - a file of entries that grows by batches, and is written anew when most of it is of no use.
 *
 *	journal_load(&j, dir_fd, &found, &why)	what an earlier life left
 *	journal_last(&found, id_bytes, fn, ctx)	of each id its last entry
 *	journal_put(&j, &batch)			one batch: behind the file, or into the one that replaces it
 *	journal_fini(&j)
 *
 *	sluice held 2\n | epoch u64 | crc32c u32	kind, version, life
 *	octets u32 | crc32c u32 | entries ...		a batch
 *	octets u32 | crc32c u32 | entries ...
 *
 * The CRC of a batch goes on from that before it.  A batch is there whole or not at all, and what stands behind one that is not
 * is not looked at.  Entries are those of collector/keep.h.
 *
 * Owner: one thread at a time.  Lifetime: process.
 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rd.h"
#include "base/why.h"
#include "sink/log_io.h"

#define JOURNAL_VERSION 2

struct journal_name {
	const char *file;
	const char *tmp;
	const char *bad;
	const char *head; /* before the version */
};

struct journal_file {
	int fd; /* -1: there is none */
	uint64_t bytes;
	uint32_t crc;
	bool has_entries;
};

struct journal {
	const struct journal_name *name;
	const struct log_io *io;
	int dir_fd;
	uint64_t epoch;
	struct journal_file now;
	struct journal_file next; /* that replaces it */
	uint64_t whole_bytes;	  /* when it was written anew last */
};

/* What was read. */
struct journal_found {
	uint8_t *octets;
	struct rd entries; /* of all batches that are whole */
	uint64_t epoch;
	unsigned long version; /* 0: it is no journal of that kind */
	bool is_there;
	bool is_broken; /* not all of it is what was written */
};

/* A batch; with begins, the file is written anew from here on, and with ends it is there. */
struct journal_batch {
	const uint8_t *octets;
	size_t bytes;
	bool begins;
	bool ends;
};

void journal_init(struct journal *j, const struct journal_name *name, const struct log_io *io,
		  int dir_fd, uint64_t epoch);
void journal_fini(struct journal *j);

enum err journal_load(const struct journal *j, struct journal_found *out, struct why *why);
/* Moves the entries of `bytes` octets together; those are the caller's, and live as long as the result. */
void journal_decode(const char *head, uint8_t *octets, size_t bytes, struct journal_found *out);
/* Another name for a file that is not to be trusted. */
enum err journal_set_aside(const struct journal *j);

typedef void journal_entry_fn(void *ctx, struct rd entry);
/* Entries in their order, but for those that a later one of the same id replaced or took back; *broken counts what is none. */
enum err journal_last(const struct journal_found *f, size_t id_bytes, journal_entry_fn *fn,
		      void *ctx, size_t *broken);

/* On disk when it returns.  ERR_IO, with errno: then only a file that is written anew will do. */
enum err journal_put(struct journal *j, const struct journal_batch *b);
bool journal_has_file(const struct journal *j);
/* Is most of it of no use? */
bool journal_is_wasteful(const struct journal *j);
/* Nothing of it counts any more. */
enum err journal_remove(struct journal *j);

#endif
