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
	uint64_t *refused;

	if (size > SIZE_MAX_RECORDS)
		return ERR_LIMIT;
	while (rounded < size)
		rounded *= 2;
	bits = calloc(rounded / WORD_BITS, sizeof(*bits));
	others = calloc(rounded / WORD_BITS, sizeof(*others));
	refused = calloc(rounded / WORD_BITS, sizeof(*refused));
	if (bits == NULL || others == NULL || refused == NULL) {
		free(bits);
		free(others);
		free(refused);
		return ERR_NOMEM;
	}
	*w = (struct kafka_window){ bits, others, refused, rounded, first_lsn, first_lsn };
	return ERR_OK;
}

void kafka_window_fini(struct kafka_window *w)
{
	free(w->bits);
	free(w->others);
	free(w->refused);
	w->bits = NULL;
	w->others = NULL;
	w->refused = NULL;
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

bool kafka_window_done(struct kafka_window *w, uint64_t lsn, enum kafka_fate fate)
{
	uint64_t bit = 1ull << (lsn % WORD_BITS);
	size_t word = word_at(w, lsn);

	must(lsn < w->high);
	if (lsn < w->low || (w->bits[word] & bit) != 0)
		return false;
	w->bits[word] |= bit;
	if (fate == KAFKA_NOT_ROUTED)
		w->others[word] |= bit;
	if (fate == KAFKA_REFUSED)
		w->refused[word] |= bit;
	return true;
}

uint64_t kafka_window_advance(struct kafka_window *w, uint64_t counts[KAFKA_FATES])
{
	while (w->low < w->high) {
		size_t word = word_at(w, w->low);
		unsigned at = (unsigned)(w->low % WORD_BITS);
		uint64_t waiting = ~w->bits[word] >> at;
		unsigned run = waiting == 0 ? WORD_BITS - at : (unsigned)__builtin_ctzll(waiting);
		uint64_t others;
		uint64_t refused;
		uint64_t mask;

		if (run == 0)
			break;
		if (run > w->high - w->low)
			run = (unsigned)(w->high - w->low);
		mask = run == WORD_BITS ? UINT64_MAX : ((1ull << run) - 1) << at;
		others = w->others[word] & mask;
		refused = w->refused[word] & mask;
		counts[KAFKA_NOT_ROUTED] += (unsigned)__builtin_popcountll(others & ~refused);
		counts[KAFKA_REFUSED] += (unsigned)__builtin_popcountll(refused & ~others);
		counts[KAFKA_DELIVERED] += run - (unsigned)__builtin_popcountll(others | refused);
		/* The bits are for other records from now on. */
		w->bits[word] &= ~mask;
		w->others[word] &= ~mask;
		w->refused[word] &= ~mask;
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
			w->refused[word_at(w, hole)] &= ~(1ull << (hole % WORD_BITS));
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
		w->refused[word_at(w, hole)] |= 1ull << (hole % WORD_BITS);
	}
	w->high = lsn;
	return true;
}

void kafka_window_rewind(struct kafka_window *w)
{
	w->high = w->low;
}
