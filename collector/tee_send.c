/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: the hot half of tee.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/must.h"
#include "collector/collector.h"
#include "collector/tee_worker.h"

#define SLOTS_MAX 2048u
#define RETRY_MS 1000

_Static_assert(SLOTS_MAX >= TEE_PIECES_MAX, "a datagram fits between two flushes");

/* What waits for one sendmmsg. */
struct tee_slots {
	unsigned count;
	struct mmsghdr messages[SLOTS_MAX];
	struct iovec parts[SLOTS_MAX][2];
	struct tee_piece pieces[SLOTS_MAX];
};

/* What is counted of a target is counted of all of them too. */
static const enum collector_stat stats[TEE_COUNTS] = {
	[TEE_COUNT_UNITS] = STAT_TEE_UNITS,	[TEE_COUNT_FORWARDED] = STAT_TEE_FORWARDED,
	[TEE_COUNT_REFUSED] = STAT_TEE_REFUSED, [TEE_COUNT_FULL] = STAT_TEE_FULL,
	[TEE_COUNT_ERROR] = STAT_TEE_ERROR,	[TEE_COUNT_UNREACHABLE] = STAT_TEE_UNREACHABLE,
	[TEE_COUNT_LOOP] = STAT_TEE_LOOP,
};

static void count(struct tee_worker *w, struct tee_socket *s, enum tee_count id, uint64_t n)
{
	stat_add(s->counts, id, n);
	stat_add(w->stat, stats[id], n);
}

enum err tee_slots_new(struct tee_slots **out)
{
	struct tee_slots *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < SLOTS_MAX; i++)
		s->messages[i].msg_hdr.msg_iov = s->parts[i];
	*out = s;
	return ERR_OK;
}

void tee_slots_free(struct tee_slots *slots)
{
	free(slots);
}

/* Datagrams whose last piece stands from slot `at` on. */
static uint64_t datagrams_in(const struct tee_slots *slots, unsigned at, unsigned end)
{
	uint64_t n = 0;

	for (unsigned i = at; i < end; i++)
		n += slots->pieces[i].is_last;
	return n;
}

/* The slot behind those of the datagram at `at`. */
static unsigned behind(const struct tee_slots *slots, unsigned at)
{
	while (!slots->pieces[at].is_last)
		at++;
	return at + 1;
}

/* What a failure says of the datagram, and whether those behind it would fare the same. */
static enum tee_count reason_of(int number, bool *is_for_all)
{
	*is_for_all = true;
	switch (number) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return TEE_COUNT_FULL;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case ENODEV:
	case EADDRNOTAVAIL:
	case ENOTCONN:
	case EDESTADDRREQ:
		return TEE_COUNT_UNREACHABLE;
	default:
		*is_for_all = false;
		return TEE_COUNT_ERROR;
	}
}

/* After a failure at slot `at`; returns the slot to go on with. */
static unsigned give_up(struct tee_worker *w, struct tee_socket *s, unsigned at, int number)
{
	const struct tee_slots *slots = w->slots;
	bool is_for_all;
	enum tee_count reason = reason_of(number, &is_for_all);
	unsigned end = is_for_all ? slots->count : behind(slots, at);

	if (number == EMSGSIZE || reason == TEE_COUNT_UNREACHABLE)
		s->is_connected = false; /* the MTU is another, or the route */
	count(w, s, reason, datagrams_in(slots, at, end));
	return end;
}

/*
 * An error of a datagram sent before (an ICMP message came back) ends the call for the one at hand,
 * which has not been tried then: it is sent again.
 */
static void send_slots(struct tee_worker *w, struct tee_socket *s, int fd)
{
	struct tee_slots *slots = w->slots;
	unsigned refused_at = SLOTS_MAX;
	unsigned at = 0;

	while (at < slots->count) {
		int n = sendmmsg(fd, slots->messages + at, slots->count - at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			count(w, s, TEE_COUNT_FORWARDED, datagrams_in(slots, at, at + (unsigned)n));
			at += (unsigned)n;
		} else if (n < 0 && errno == ECONNREFUSED && refused_at != at) {
			count(w, s, TEE_COUNT_REFUSED, 1);
			refused_at = at;
		} else if (n == 0 || errno != EINTR) {
			at = give_up(w, s, at, n == 0 ? EAGAIN : errno);
		}
	}
	slots->count = 0;
}

static void put(struct tee_slots *slots, const struct tee_piece *piece, const uint8_t *octets)
{
	unsigned i = slots->count++;
	struct msghdr *h = &slots->messages[i].msg_hdr;
	bool has_head = piece->head_bytes > 0;

	must(i < SLOTS_MAX);
	slots->pieces[i] = *piece;
	slots->parts[i][0].iov_base = slots->pieces[i].head;
	slots->parts[i][0].iov_len = piece->head_bytes;
	slots->parts[i][has_head].iov_base = (void *)(octets + piece->at);
	slots->parts[i][has_head].iov_len = piece->bytes;
	h->msg_iovlen = has_head ? 2 : 1;
}

static void put_own(struct tee_worker *w, const struct tee_datagram *d)
{
	struct tee_piece piece = { .bytes = d->bytes, .is_last = true };

	put(w->slots, &piece, d->octets);
}

static bool put_original(struct tee_worker *w, struct tee_socket *s, const struct tee_datagram *d)
{
	struct tee_wire wire = { .from = d->peer,
				 .to = s->place->address,
				 .from_port = d->port,
				 .to_port = s->place->port,
				 .payload = d->octets,
				 .bytes = d->bytes,
				 .mtu = s->mtu,
				 .id = w->next_id };
	struct tee_piece piece = { .is_last = false };

	if (!tee_wire_init(&wire))
		return false;
	w->next_id++;
	if (w->slots->count + tee_wire_count(&wire) > SLOTS_MAX)
		send_slots(w, s, s->raw_fd);
	while (tee_wire_next(&wire, &piece))
		put(w->slots, &piece, d->octets);
	return true;
}

static bool is_from(const struct tee_place *p, const struct addr *peer)
{
	for (size_t i = 0; i < p->from_count; i++) {
		if (addr_in_prefix(peer, &p->from[i].net, p->from[i].prefix_bits))
			return true;
	}
	return p->from_count == 0;
}

/* A datagram that no socket is asked about; true when it was one, and is counted. */
static bool refuse(struct tee_worker *w, struct tee_socket *s, const struct tee_datagram *d)
{
	enum tee_count reason;

	if (d->is_ours || stat_flag_get(&s->place->is_loop))
		reason = TEE_COUNT_LOOP;
	else if (!s->is_connected)
		reason = TEE_COUNT_UNREACHABLE;
	else if (d->is_truncated)
		reason = TEE_COUNT_ERROR;
	else
		return false;
	count(w, s, reason, 1);
	return true;
}

/* One pass for those that keep their address, one for those that cannot: each has its own socket. */
static void send_pass(struct tee_worker *w, struct tee_socket *s, bool is_original)
{
	uint64_t own = 0;

	for (size_t i = 0; i < w->datagram_count; i++) {
		const struct tee_datagram *d = &w->datagrams[i];
		bool can_keep = s->raw_fd >= 0 && d->peer.bytes == s->place->address.bytes;

		if (!is_from(s->place, &d->peer) || can_keep != is_original)
			continue;
		count(w, s, TEE_COUNT_UNITS, 1);
		if (refuse(w, s, d))
			continue;
		if (!is_original) {
			put_own(w, d);
			own += !s->place->wants_own;
		} else if (!put_original(w, s, d)) {
			count(w, s, TEE_COUNT_ERROR, 1);
		}
	}
	stat_add(w->stat, STAT_TEE_OWN_SOURCE, own);
	send_slots(w, s, is_original ? s->raw_fd : s->own_fd);
}

void tee_add(struct tee_worker *w, const uint8_t *octets, size_t bytes, const struct addr *peer,
	     uint16_t port, bool is_truncated)
{
	struct tee_datagram *d = &w->datagrams[w->datagram_count++];

	must(w->datagram_count <= UDP_BATCH_MAX);
	d->octets = octets;
	d->bytes = bytes;
	d->peer = *peer;
	d->port = port;
	d->is_truncated = is_truncated;
	d->is_ours = tee_is_ours(w->tee, peer, port);
}

void tee_flush(struct tee_worker *w)
{
	for (size_t i = 0; w->datagram_count > 0 && i < w->tee->place_count; i++) {
		struct tee_socket *s = &w->sockets[i];

		if (!s->is_connected && clock_mono_ms() >= s->retry_ms) {
			tee_connect(s);
			s->retry_ms = clock_mono_ms() + RETRY_MS;
		}
		if (s->raw_fd >= 0)
			send_pass(w, s, true);
		send_pass(w, s, false);
	}
	w->datagram_count = 0;
}
