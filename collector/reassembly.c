/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/reassembly.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/must.h"
#include "collector/collector.h"

#define DATAGRAM_MAX 65535u
#define ROOM_MIN 4096u
#define TOTAL_UNKNOWN UINT32_MAX

enum set_state {
	SET_FREE,
	SET_OPEN,  /* waits for fragments */
	SET_WHOLE, /* given out; remembered for a while, by the ranges' hashes */
	SET_LOST,  /* so that what more comes of it is not lost again */
};

struct set_key {
	uint8_t source[16];
	uint8_t destination[16];
	uint32_t id;
	uint32_t address_bytes;
};

struct range {
	uint32_t from;
	uint32_t to;
	uint64_t hash; /* of its octets */
};

struct set {
	enum set_state state;
	struct set_key key;
	int64_t since_ms; /* first fragment; when whole or lost, the last one */
	uint8_t *octets;
	uint32_t room;
	uint32_t have;	      /* octets of all ranges */
	uint32_t total;	      /* known with the last fragment */
	uint32_t far_end;     /* highest octet so far */
	uint8_t protocol;     /* of the first fragment */
	struct range *ranges; /* in order; room for REASSEMBLY_FRAGMENTS_MAX, stays with the slot */
	uint32_t range_count;
};

struct reassembly {
	struct stat_set *stat;
	uint32_t hashes[REASSEMBLY_SETS_MAX]; /* of the sets' keys: what is looked through */
	struct set sets[REASSEMBLY_SETS_MAX];
	size_t octets;	/* room of all sets */
	uint8_t *whole; /* what was given out last */
};

enum err reassembly_new(struct stat_set *stat, struct reassembly **out)
{
	struct reassembly *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return ERR_NOMEM;
	r->stat = stat;
	*out = r;
	return ERR_OK;
}

static void finish(struct reassembly *r, struct set *s, enum set_state state, int64_t time_ms)
{
	r->octets -= s->room;
	s->octets = NULL;
	s->room = 0;
	s->state = state;
	s->since_ms = time_ms;
}

static void lose(struct reassembly *r, struct set *s, enum collector_stat reason, int64_t time_ms)
{
	stat_inc(r->stat, STAT_UNITS_REPLAY);
	stat_inc(r->stat, reason);
	free(s->octets);
	finish(r, s, SET_LOST, time_ms);
}

void reassembly_free(struct reassembly *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < REASSEMBLY_SETS_MAX; i++) {
		if (r->sets[i].state == SET_OPEN)
			lose(r, &r->sets[i], STAT_UNIT_FRAGMENT, 0);
		free(r->sets[i].ranges);
	}
	free(r->whole);
	free(r);
}

static struct set_key key_of(const struct packet *p)
{
	struct set_key key = { .id = p->fragment_id, .address_bytes = p->source.bytes };

	memcpy(key.source, p->source.octets, 16);
	memcpy(key.destination, p->destination.octets, 16);
	return key;
}

/* FNV-1a; colliding keys cost a comparison each, and there are never more than the sets. */
static uint32_t hash_of(const struct set_key *key)
{
	const uint8_t *octets = (const uint8_t *)key;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof(*key); i++)
		h = (h ^ octets[i]) * 16777619u;
	return h;
}

/* Capture time may jump either way; backwards nothing ages. */
static bool is_past(const struct set *s, int64_t time_ms, int64_t age_ms)
{
	return time_ms - s->since_ms > age_ms;
}

/*
 * Is it a copy of a fragment of that whole datagram?  If not, its id is used again: busy senders are
 * through the 65 536 of IPv4 in less than a second.
 */
static bool is_copy_of_whole(const struct set *s, const struct packet *p)
{
	uint32_t to = p->fragment_offset + (uint32_t)p->payload_bytes;
	uint64_t hash;

	if (p->held_bytes < p->payload_bytes)
		return false;
	hash = XXH3_64bits(p->payload, p->payload_bytes);
	for (uint32_t i = 0; i < s->range_count; i++) {
		const struct range *known = &s->ranges[i];

		if (known->from == p->fragment_offset && known->to == to && known->hash == hash)
			return true;
	}
	return false;
}

/* Is what is known under its key another datagram than the fragment's. */
static bool is_over(const struct set *s, const struct packet *p, int64_t time_ms)
{
	if (s->state == SET_OPEN)
		return is_past(s, time_ms, REASSEMBLY_AGE_MS);
	if (is_past(s, time_ms, REASSEMBLY_MEMORY_MS))
		return true;
	return s->state == SET_WHOLE && !is_copy_of_whole(s, p);
}

/* The set to give up first: free, then whole or lost, then open; of equals the oldest. */
static size_t pick_slot(const struct reassembly *r)
{
	static const uint8_t rank[] = {
		[SET_FREE] = 0, [SET_WHOLE] = 1, [SET_LOST] = 1, [SET_OPEN] = 2
	};
	size_t best = 0;

	for (size_t i = 1; i < REASSEMBLY_SETS_MAX; i++) {
		const struct set *a = &r->sets[i];
		const struct set *b = &r->sets[best];

		if (rank[a->state] < rank[b->state] ||
		    (rank[a->state] == rank[b->state] && a->since_ms < b->since_ms))
			best = i;
	}
	return best;
}

static struct set *find_oldest_open(struct reassembly *r, const struct set *but)
{
	struct set *oldest = NULL;

	for (size_t i = 0; i < REASSEMBLY_SETS_MAX; i++) {
		struct set *s = &r->sets[i];

		if (s->state != SET_OPEN || s == but || s->octets == NULL)
			continue;
		if (oldest == NULL || s->since_ms < oldest->since_ms)
			oldest = s;
	}
	return oldest;
}

static void begin(struct reassembly *r, size_t slot, const struct set_key *key, uint32_t hash,
		  int64_t time_ms)
{
	struct range *ranges = r->sets[slot].ranges;

	r->sets[slot] = (struct set){ .state = SET_OPEN,
				      .key = *key,
				      .since_ms = time_ms,
				      .total = TOTAL_UNKNOWN,
				      .ranges = ranges };
	r->hashes[slot] = hash;
}

/* The datagram's set, a new one if need be. */
static struct set *find_set(struct reassembly *r, const struct packet *p, int64_t time_ms)
{
	struct set_key key = key_of(p);
	uint32_t hash = hash_of(&key);
	size_t slot;

	for (size_t i = 0; i < REASSEMBLY_SETS_MAX; i++) {
		struct set *s = &r->sets[i];

		if (r->hashes[i] != hash || s->state == SET_FREE)
			continue;
		if (memcmp(&s->key, &key, sizeof(key)) != 0)
			continue;
		if (!is_over(s, p, time_ms))
			return s;
		if (s->state == SET_OPEN)
			lose(r, s, STAT_UNIT_FRAGMENT, time_ms);
		begin(r, i, &key, hash, time_ms);
		return s;
	}
	slot = pick_slot(r);
	if (r->sets[slot].state == SET_OPEN)
		lose(r, &r->sets[slot], STAT_UNIT_FRAGMENT, time_ms);
	begin(r, slot, &key, hash, time_ms);
	return &r->sets[slot];
}

/* Room up to `end`; the oldest sets make way when all of it is taken. */
static bool make_room(struct reassembly *r, struct set *s, uint32_t end, int64_t time_ms)
{
	uint32_t room = s->room == 0 ? ROOM_MIN : s->room;
	uint8_t *more;

	if (s->ranges == NULL)
		s->ranges = calloc(REASSEMBLY_FRAGMENTS_MAX, sizeof(*s->ranges));
	if (s->ranges == NULL)
		return false;
	if (end <= s->room)
		return true;
	while (room < end)
		room *= 2;
	while (r->octets - s->room + room > REASSEMBLY_OCTETS_MAX) {
		struct set *oldest = find_oldest_open(r, s);

		must(oldest != NULL);
		lose(r, oldest, STAT_UNIT_FRAGMENT, time_ms);
	}
	more = realloc(s->octets, room);
	if (more == NULL)
		return false;
	r->octets += room - s->room;
	s->octets = more;
	s->room = room;
	return true;
}

/* Where a range belongs; `is_copy` when the very same is there.  False when it overlaps. */
static bool place_range(const struct set *s, struct range n, const uint8_t *octets, uint32_t *at,
			bool *is_copy)
{
	uint32_t i = 0;

	while (i < s->range_count && s->ranges[i].to <= n.from)
		i++;
	*at = i;
	*is_copy = false;
	if (i == s->range_count || s->ranges[i].from >= n.to)
		return true;
	*is_copy = s->ranges[i].from == n.from && s->ranges[i].to == n.to &&
		   memcmp(s->octets + n.from, octets, n.to - n.from) == 0;
	return *is_copy;
}

/* Can a datagram be like this at all, with what is known of it. */
static bool is_sound(const struct set *s, const struct packet *p, struct range n)
{
	if (p->payload_bytes == 0 || p->payload_bytes > DATAGRAM_MAX - p->fragment_offset)
		return false;
	if (p->has_more)
		return p->payload_bytes % 8 == 0 && n.to <= s->total;
	return s->total == TOTAL_UNKNOWN ? n.to >= s->far_end : n.to == s->total;
}

/* True when the fragment is in, or was already; false loses the datagram. */
static bool insert(struct reassembly *r, struct set *s, const struct packet *p, int64_t time_ms)
{
	struct range n = { p->fragment_offset, p->fragment_offset + (uint32_t)p->payload_bytes, 0 };
	bool is_copy;
	uint32_t at;

	if (!is_sound(s, p, n))
		return false;
	if (!place_range(s, n, p->payload, &at, &is_copy))
		return false;
	stat_add(r->stat, STAT_REPLAY_COPIES, is_copy);
	if (is_copy)
		return true;
	if (s->range_count == REASSEMBLY_FRAGMENTS_MAX || !make_room(r, s, n.to, time_ms))
		return false;
	must(s->octets != NULL);
	n.hash = XXH3_64bits(p->payload, p->payload_bytes);
	memcpy(s->octets + n.from, p->payload, p->payload_bytes);
	memmove(&s->ranges[at + 1], &s->ranges[at], (s->range_count - at) * sizeof(n));
	s->ranges[at] = n;
	s->range_count++;
	s->have += n.to - n.from;
	if (n.to > s->far_end)
		s->far_end = n.to;
	if (!p->has_more)
		s->total = n.to;
	if (p->fragment_offset == 0)
		s->protocol = p->protocol;
	return true;
}

bool reassembly_add(struct reassembly *r, const struct packet *fragment, int64_t time_ms,
		    struct packet *whole)
{
	struct set *s = find_set(r, fragment, time_ms);

	if (s->state != SET_OPEN) {
		stat_inc(r->stat, s->state == SET_WHOLE ? STAT_REPLAY_COPIES : STAT_REPLAY_REMAINS);
		return false;
	}
	if (fragment->held_bytes < fragment->payload_bytes) {
		lose(r, s, STAT_UNIT_CUT, time_ms);
		return false;
	}
	if (!insert(r, s, fragment, time_ms)) {
		lose(r, s, STAT_UNIT_FRAGMENT, time_ms);
		return false;
	}
	if (s->have != s->total)
		return false;
	*whole = (struct packet){ .source = fragment->source,
				  .destination = fragment->destination,
				  .payload = s->octets,
				  .payload_bytes = s->total,
				  .held_bytes = s->total,
				  .protocol = s->protocol };
	free(r->whole);
	r->whole = s->octets;
	finish(r, s, SET_WHOLE, time_ms);
	return true;
}
