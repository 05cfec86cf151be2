/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/kafka_window.h"

#include <stdlib.h>

#include "base/must.h"

#define WORD_BITS 64u
#define SIZE_MAX_RECORDS (1ull << 32)

enum err kafka_window_init(struct kafka_window *w, uint64_t size, uint64_t first_lsn)
{
	uint64_t rounded = WORD_BITS;
	uint64_t *bits;

	if (size > SIZE_MAX_RECORDS)
		return ERR_LIMIT;
	while (rounded < size)
		rounded *= 2;
	bits = calloc(rounded / WORD_BITS, sizeof(*bits));
	if (bits == NULL)
		return ERR_NOMEM;
	*w = (struct kafka_window){ bits, rounded, first_lsn, first_lsn };
	return ERR_OK;
}

void kafka_window_fini(struct kafka_window *w)
{
	free(w->bits);
	w->bits = NULL;
}

static uint64_t *word_of(struct kafka_window *w, uint64_t lsn)
{
	return &w->bits[(lsn & (w->size - 1)) / WORD_BITS];
}

void kafka_window_take(struct kafka_window *w, uint64_t lsn_end)
{
	must(lsn_end >= w->high);
	must(lsn_end - w->low <= w->size);
	w->high = lsn_end;
}

bool kafka_window_done(struct kafka_window *w, uint64_t lsn)
{
	uint64_t bit = 1ull << (lsn % WORD_BITS);
	uint64_t *word = word_of(w, lsn);

	must(lsn < w->high);
	if (lsn < w->low || (*word & bit) != 0)
		return false;
	*word |= bit;
	return true;
}

uint64_t kafka_window_advance(struct kafka_window *w)
{
	while (w->low < w->high) {
		uint64_t *word = word_of(w, w->low);
		unsigned at = (unsigned)(w->low % WORD_BITS);
		uint64_t waiting = ~*word >> at;
		unsigned run = waiting == 0 ? WORD_BITS - at : (unsigned)__builtin_ctzll(waiting);

		if (run == 0)
			break;
		if (run > w->high - w->low)
			run = (unsigned)(w->high - w->low);
		/* The bits are for other records from now on. */
		*word &= run == WORD_BITS ? 0 : ~(((1ull << run) - 1) << at);
		w->low += run;
	}
	return w->low;
}

bool kafka_window_skip(struct kafka_window *w, uint64_t lsn)
{
	must(lsn >= w->high);
	if (w->low == w->high && lsn - w->low > kafka_window_room(w)) {
		/* A rewind may have left bits behind, all of records that are in the hole. */
		for (uint64_t i = 0; i < w->size / WORD_BITS; i++)
			w->bits[i] = 0;
		w->low = lsn;
		w->high = lsn;
		return true;
	}
	if (lsn - w->low > w->size)
		return false;
	for (uint64_t hole = w->high; hole < lsn; hole++)
		*word_of(w, hole) |= 1ull << (hole % WORD_BITS);
	w->high = lsn;
	(void)kafka_window_advance(w);
	return true;
}

void kafka_window_rewind(struct kafka_window *w)
{
	w->high = w->low;
}
