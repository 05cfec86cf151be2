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
	uint64_t *others;

	if (size > SIZE_MAX_RECORDS)
		return ERR_LIMIT;
	while (rounded < size)
		rounded *= 2;
	bits = calloc(rounded / WORD_BITS, sizeof(*bits));
	others = calloc(rounded / WORD_BITS, sizeof(*others));
	if (bits == NULL || others == NULL) {
		free(bits);
		free(others);
		return ERR_NOMEM;
	}
	*w = (struct kafka_window){ bits, others, rounded, first_lsn, first_lsn };
	return ERR_OK;
}

void kafka_window_fini(struct kafka_window *w)
{
	free(w->bits);
	free(w->others);
	w->bits = NULL;
	w->others = NULL;
}

static size_t word_at(const struct kafka_window *w, uint64_t lsn)
{
	return (size_t)((lsn & (w->size - 1)) / WORD_BITS);
}

void kafka_window_take(struct kafka_window *w, uint64_t lsn_end)
{
	must(lsn_end >= w->high);
	must(lsn_end - w->low <= w->size);
	w->high = lsn_end;
}

bool kafka_window_done(struct kafka_window *w, uint64_t lsn, bool is_delivered)
{
	uint64_t bit = 1ull << (lsn % WORD_BITS);
	size_t word = word_at(w, lsn);

	must(lsn < w->high);
	if (lsn < w->low || (w->bits[word] & bit) != 0)
		return false;
	w->bits[word] |= bit;
	if (!is_delivered)
		w->others[word] |= bit;
	return true;
}

uint64_t kafka_window_advance(struct kafka_window *w, uint64_t *delivered)
{
	while (w->low < w->high) {
		size_t word = word_at(w, w->low);
		unsigned at = (unsigned)(w->low % WORD_BITS);
		uint64_t waiting = ~w->bits[word] >> at;
		unsigned run = waiting == 0 ? WORD_BITS - at : (unsigned)__builtin_ctzll(waiting);
		uint64_t mask;

		if (run == 0)
			break;
		if (run > w->high - w->low)
			run = (unsigned)(w->high - w->low);
		mask = run == WORD_BITS ? UINT64_MAX : ((1ull << run) - 1) << at;
		*delivered += run - (unsigned)__builtin_popcountll(w->others[word] & mask);
		/* The bits are for other records from now on. */
		w->bits[word] &= ~mask;
		w->others[word] &= ~mask;
		w->low += run;
	}
	return w->low;
}

bool kafka_window_skip(struct kafka_window *w, uint64_t lsn)
{
	must(lsn >= w->high);
	if (w->low == w->high) {
		/* A rewind may have left bits behind: of records in the hole, or beyond it. */
		for (uint64_t hole = w->low; hole < lsn && hole - w->low < w->size; hole++) {
			w->bits[word_at(w, hole)] &= ~(1ull << (hole % WORD_BITS));
			w->others[word_at(w, hole)] &= ~(1ull << (hole % WORD_BITS));
		}
		w->low = lsn;
		w->high = lsn;
		return true;
	}
	if (lsn - w->low > w->size)
		return false;
	for (uint64_t hole = w->high; hole < lsn; hole++) {
		w->bits[word_at(w, hole)] |= 1ull << (hole % WORD_BITS);
		w->others[word_at(w, hole)] |= 1ull << (hole % WORD_BITS);
	}
	w->high = lsn;
	return true;
}

void kafka_window_rewind(struct kafka_window *w)
{
	w->high = w->low;
}
