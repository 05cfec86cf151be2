/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks.h - which of the sets that are on disk still wait, in memory that outlives the process.
 *
 *	marks_left(name, &left)			what a killed process left
 *	marks_open(name, epoch, workers, words, &m)	those of this life, as they are now
 *	marks_words(m, worker)
 *	marks_close(m, is_clean)
 *
 * A worker clears a set's bit before the set's flows can be anywhere, by a store that waits for no disk.  So a set
 * is not handed on twice after a kill, though the journal says a second later that it left.  After a restart of the machine
 * there are none.
 *
 * Owner: the keeper, but for the words, each part of which is its worker's.
 */
#ifndef DAEMON_MARKS_H
#define DAEMON_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct marks;

struct marks_left {
	uint64_t epoch;
	uint32_t worker_count;
	uint64_t *words; /* NULL: there are none */
};

void marks_left(const char *name, struct marks_left *out);
void marks_left_fini(struct marks_left *left);
/* False when the number's bit is there and clear. */
bool marks_left_waits(const struct marks_left *left, unsigned worker, uint64_t number);

/* ERR_IO when there is no shared memory. */
enum err marks_open(const char *name, uint64_t epoch, unsigned worker_count, const uint64_t *words,
		    struct marks **out);
uint64_t *marks_words(struct marks *m, unsigned worker);
/* The name goes when nothing waits for it. */
void marks_close(struct marks *m, bool is_clean);

#endif
