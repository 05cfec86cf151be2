/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announce_in.h - what announce.c (options data, names) and announce_keep.c (over a restart) know of announcements alike.
 *
 * Owner: the worker, of one per session.  Lifetime: the session.
 */
#ifndef NORMALIZER_ANNOUNCE_IN_H
#define NORMALIZER_ANNOUNCE_IN_H

#include "normalizer/announce.h"

struct announce {
	size_t count;
	size_t room;
	struct announced *entries; /* by enterprise and id */
	struct announce_home home;
	struct chain_link link; /* in the home's order */
};

/* May an exporter say what the element is, when no registry has it? */
bool announce_is_theirs(uint32_t pen, uint16_t id);
/* False when there is something else in it than names are of; none is one. */
bool announce_is_name(const uint8_t *octets, uint32_t bytes);
/* One that is not there yet; its name is copied. */
enum announce_result announce_add(struct announce **a, const struct announce_home *home,
				  const struct announced *e, const struct text *name);

#endif
