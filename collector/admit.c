/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/admit.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

/* Tokens of one datagram: a bucket fills by its rate each millisecond, up to what a second brings. */
#define TOKEN 1000
/* Sessions that a search for a victim looks at. */
#define VICTIMS_MAX 32
/* Who said no more messages than this, and none for so long, may go. */
#define LITTLE_MESSAGES 3
#define LITTLE_IDLE_MS 10000
#define GROUPS_MAX (33 + 129)

struct bucket {
	int64_t tokens;
	int64_t at_ms;
};

/* Entries of one kind of address and one length of prefix, sorted by network, then by place. */
struct group {
	uint8_t bytes;
	uint8_t prefix_bits;
	size_t from;
	size_t to;
};

struct admit {
	const struct exporter_entry *entries;
	size_t count;
	struct collector_policy policy;
	bool has_rates;
	uint32_t *sorted; /* places in `entries`; NULL: no memory */
	struct group groups[GROUPS_MAX];
	size_t group_count;
	struct bucket
		*buckets; /* one for each entry, and one for who is in none; NULL: no memory */
	/* The source before this one: often it is the same. */
	struct addr peer;
	uint16_t port;
	size_t place; /* its entry, or `count` */
};

enum err admit_new(struct admit **out)
{
	*out = calloc(1, sizeof(**out));
	return *out == NULL ? ERR_NOMEM : ERR_OK;
}

void admit_free(struct admit *a)
{
	if (a == NULL)
		return;
	free(a->sorted);
	free(a->buckets);
	free(a);
}

/* Only the prefix: an entry's network may have bits behind it. */
static struct addr masked(const struct addr *from, unsigned bits)
{
	struct addr a = { .bytes = from->bytes };

	memcpy(a.octets, from->octets, bits / 8);
	if (bits % 8 != 0)
		a.octets[bits / 8] = (uint8_t)(from->octets[bits / 8] & (0xff00 >> bits % 8));
	return a;
}

static int by_net(const struct exporter_entry *a, const struct addr *net, unsigned prefix_bits)
{
	struct addr own;

	if (a->net.bytes != net->bytes)
		return a->net.bytes < net->bytes ? -1 : 1;
	if (a->prefix_bits != prefix_bits)
		return a->prefix_bits < prefix_bits ? -1 : 1;
	own = masked(&a->net, prefix_bits);
	return memcmp(own.octets, net->octets, sizeof(own.octets));
}

static int compare(const void *left, const void *right, void *entries)
{
	const struct exporter_entry *e = entries;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;
	struct addr net = masked(&e[b].net, e[b].prefix_bits);
	int order = by_net(&e[a], &net, e[b].prefix_bits);

	return order != 0 ? order : a < b ? -1 : 1;
}

static bool make_index(struct admit *a)
{
	a->sorted = malloc((a->count + 1) * sizeof(*a->sorted));
	a->group_count = 0;
	if (a->sorted == NULL)
		return false;
	for (size_t i = 0; i < a->count; i++)
		a->sorted[i] = (uint32_t)i;
	qsort_r(a->sorted, a->count, sizeof(*a->sorted), compare, (void *)a->entries);
	for (size_t i = 0; i < a->count; i++) {
		const struct exporter_entry *e = &a->entries[a->sorted[i]];
		struct group *g = a->group_count == 0 ? NULL : &a->groups[a->group_count - 1];

		if (g == NULL || g->bytes != e->net.bytes || g->prefix_bits != e->prefix_bits) {
			g = &a->groups[a->group_count++];
			*g = (struct group){ e->net.bytes, (uint8_t)e->prefix_bits, i, i };
		}
		g->to = i + 1;
	}
	return true;
}

static uint32_t rate_of(const struct admit *a, size_t place)
{
	return place < a->count ? a->entries[place].rate : a->policy.unknown_rate;
}

static bool make_buckets(struct admit *a)
{
	int64_t now_ms = clock_mono_ms();
	bool is_asked = false;

	for (size_t i = 0; i <= a->count; i++)
		is_asked = is_asked || rate_of(a, i) != 0;
	a->buckets = is_asked ? malloc((a->count + 1) * sizeof(*a->buckets)) : NULL;
	a->has_rates = a->buckets != NULL;
	for (size_t i = 0; a->has_rates && i <= a->count; i++)
		a->buckets[i] = (struct bucket){ (int64_t)rate_of(a, i) * TOKEN, now_ms };
	return a->has_rates == is_asked;
}

bool admit_set(struct admit *a, const struct exporter_entry *entries, size_t count,
	       const struct collector_policy *policy)
{
	bool has_index;

	free(a->sorted);
	free(a->buckets);
	a->entries = entries;
	a->count = count;
	a->policy = *policy;
	a->peer.bytes = 0;
	has_index = make_index(a);
	if (!make_buckets(a) || !has_index)
		log_error("exporters.no_memory entries=%zu", count);
	return policy->is_closed || a->has_rates;
}

static bool holds(const struct exporter_entry *e, uint16_t port, const uint32_t *domain)
{
	return (!e->has_port || e->port == port) &&
	       (domain == NULL || !e->has_domain || e->domain == *domain);
}

/* First of the group's entries for that network, by place in `sorted`. */
static size_t first_of(const struct admit *a, const struct group *g, const struct addr *net)
{
	size_t low = g->from;
	size_t high = g->to;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (by_net(&a->entries[a->sorted[mid]], net, g->prefix_bits) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The first entry of the group that holds, or `count`. */
static size_t find_in_group(const struct admit *a, const struct group *g, const struct addr *peer,
			    uint16_t port, const uint32_t *domain)
{
	struct addr net = masked(peer, g->prefix_bits);

	for (size_t i = first_of(a, g, &net); i < g->to; i++) {
		const struct exporter_entry *e = &a->entries[a->sorted[i]];

		if (by_net(e, &net, g->prefix_bits) != 0)
			break;
		if (holds(e, port, domain))
			return a->sorted[i];
	}
	return a->count;
}

static size_t find_slowly(const struct admit *a, const struct addr *peer, uint16_t port,
			  const uint32_t *domain)
{
	size_t i = 0;

	while (i < a->count &&
	       !(addr_in_prefix(peer, &a->entries[i].net, a->entries[i].prefix_bits) &&
		 holds(&a->entries[i], port, domain)))
		i++;
	return i;
}

/* The first of all entries that holds, or `count`; any domain when that is NULL. */
static size_t find(const struct admit *a, const struct addr *peer, uint16_t port,
		   const uint32_t *domain)
{
	size_t best = a->count;

	if (a->sorted == NULL)
		return find_slowly(a, peer, port, domain);
	for (size_t i = 0; i < a->group_count; i++) {
		size_t place;

		if (a->groups[i].bytes != peer->bytes)
			continue;
		place = find_in_group(a, &a->groups[i], peer, port, domain);
		best = place < best ? place : best;
	}
	return best;
}

const struct exporter_entry *admit_find(const struct admit *a, const struct addr *peer,
					uint16_t port, uint32_t domain)
{
	size_t place = find(a, peer, port, &domain);

	return place < a->count ? &a->entries[place] : NULL;
}

bool admit_knows(const struct admit *a, const struct addr *peer, uint16_t port)
{
	return find(a, peer, port, NULL) < a->count;
}

static bool take_token(struct admit *a, size_t place)
{
	struct bucket *b = &a->buckets[place];
	int64_t rate = rate_of(a, place);
	int64_t now_ms = clock_mono_ms();
	int64_t past_ms = now_ms - b->at_ms;

	b->tokens = past_ms >= TOKEN ? rate * TOKEN : b->tokens + rate * past_ms;
	b->at_ms = now_ms;
	if (b->tokens > rate * TOKEN)
		b->tokens = rate * TOKEN;
	if (b->tokens < TOKEN)
		return false;
	b->tokens -= TOKEN;
	return true;
}

enum collector_stat admit_unit(struct admit *a, const struct origin *origin)
{
	if (!a->policy.is_closed && !a->has_rates)
		return COLLECTOR_STAT_COUNT;
	if (!addr_equal(&a->peer, &origin->peer) || a->port != origin->port) {
		a->peer = origin->peer;
		a->port = origin->port;
		a->place = find(a, &origin->peer, origin->port, NULL);
	}
	if (a->policy.is_closed && a->place == a->count)
		return STAT_UNIT_NOT_LISTED;
	if (a->has_rates && rate_of(a, a->place) != 0 && !take_token(a, a->place))
		return STAT_UNIT_RATE;
	return COLLECTOR_STAT_COUNT;
}

/* How much would be lost with the session: 0 nothing, 1 little, 2 more. */
static unsigned worth(const struct session *s, int64_t mono_ms)
{
	if (s->counts.flows == 0 && s->tmpl_count == 0)
		return 0;
	return s->counts.messages <= LITTLE_MESSAGES && mono_ms - s->idle_since_ms > LITTLE_IDLE_MS
		       ? 1
		       : 2;
}

struct session *admit_victim(const struct htab *sessions, struct htab_iter *hand, bool is_listed,
			     int64_t mono_ms)
{
	struct session *best = NULL;
	unsigned best_rank = 4;

	for (int i = 0; i < VICTIMS_MAX && best_rank > 0; i++) {
		struct session *s;
		void *value;
		unsigned rank;

		if (!htab_next(sessions, hand, NULL, &value)) {
			*hand = (struct htab_iter){ 0 };
			continue;
		}
		s = value;
		rank = worth(s, mono_ms);
		if (s->entry != NULL)
			rank = is_listed && rank == 0 ? 3 : 4;
		else if (rank == 2 && !is_listed)
			rank = 4;
		if (rank < best_rank) {
			best_rank = rank;
			best = s;
		}
	}
	return best;
}
