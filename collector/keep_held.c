/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/keep.h"

#include "base/must.h"
#include "base/wr.h"
#include "collector/gate.h"
#include "collector/keep_in.h"
#include "collector/take.h"

#define HELD_HEAD_BYTES 128u /* all but the octets, at most */

static void put_held(struct wr *w, const struct keep_now *now, const struct held_set *set)
{
	const struct held_facts *f = &set->facts;

	wr_u64(w, set->number);
	keep_put_key(w, &set->session->peer, &set->session->key);
	wr_u16(w, f->origin.local_port);
	wr_u8(w, (uint8_t)f->origin.transport);
	wr_u64(w, (uint64_t)f->origin.receive_ms);
	wr_u64(w, (uint64_t)keep_utc_of(now, f->since_ms));
	wr_u64(w, f->message);
	wr_u64(w, (uint64_t)f->gap);
	wr_u32(w, f->message_bytes);
	wr_u32(w, f->offset);
	wr_u32(w, f->others);
	wr_u32(w, f->of_message);
	wr_u8(w, (uint8_t)f->header_bytes);
	wr_bytes(w, set->octets, f->header_bytes);
	wr_u32(w, f->bytes);
	wr_bytes(w, set->octets + f->header_bytes, f->bytes);
}

void keep_use_numbers(struct collector *c, uint64_t *words, uint64_t first)
{
	must(first % KEEP_MARKS == 0);
	c->numbers.words = words;
	if (c->numbers.next == 0)
		c->numbers.next = first;
}

static uint64_t bit_of(uint64_t number)
{
	return 1ull << (number % 64);
}

static size_t word_of(uint64_t number)
{
	return (size_t)(number % KEEP_MARKS / 64);
}

bool keep_is_marked(const uint64_t *words, uint64_t number)
{
	return (words[word_of(number)] & bit_of(number)) != 0;
}

/* One whose bit is free; false when half of all bits are taken, so that a free one is never far. */
static bool give_number(struct keep_numbers *n, struct held_set *set)
{
	if (n->count >= KEEP_MARKS / 2)
		return false;
	do
		n->next++;
	while (n->words != NULL && (n->words[word_of(n->next)] & bit_of(n->next)) != 0);
	set->number = n->next;
	n->count++;
	if (n->words != NULL)
		n->words[word_of(set->number)] |= bit_of(set->number);
	return true;
}

void keep_set_gone(struct collector *c, const struct held_set *set)
{
	struct keep_numbers *n = &c->numbers;
	uint8_t *octets;
	struct wr w;

	if (set->number == 0)
		return;
	/* First of all: a kill from here on is after it was handed on. */
	if (n->words != NULL)
		n->words[word_of(set->number)] &= ~bit_of(set->number);
	n->count--;
	octets = keep_add(&c->gone_sets, 4 + KEEP_NUMBER_BYTES);
	if (octets == NULL)
		return;
	w = wr_of(octets, 4 + KEEP_NUMBER_BYTES);
	wr_u32(&w, KEEP_NUMBER_BYTES);
	wr_u64(&w, set->number);
}

static void keep_set(const struct keep_now *now, const struct held_set *set, struct keep *out)
{
	size_t most = HELD_HEAD_BYTES + set->facts.header_bytes + set->facts.bytes;
	size_t start = out->bytes;
	uint8_t *octets = keep_add(out, 4 + most);
	struct wr w;

	if (octets == NULL)
		return;
	w = wr_of(octets + 4, most);
	put_held(&w, now, set);
	keep_end_entry(out, start, &w);
}

bool keep_held(struct collector *c, const struct keep_now *now, size_t some, struct keep *out)
{
	size_t enough = out->bytes + some;
	struct held_set *set = NULL;

	keep_move(&c->gone_sets, out);
	while (c->hold != NULL && out->bytes < enough && (set = hold_fresh(c->hold)) != NULL) {
		if (session_is_of_stream(set->session))
			continue;
		if (set->number != 0 || give_number(&c->numbers, set))
			keep_set(now, set, out);
	}
	return set != NULL;
}

void keep_rewind_held(struct collector *c)
{
	/* What left is not in what is written now. */
	c->gone_sets.bytes = 0;
	c->gone_sets.is_failed = false;
	if (c->hold != NULL)
		hold_rewind(c->hold);
}

void keep_forget_held(struct collector *c)
{
	struct held_set *set;

	while (c->hold != NULL && (set = hold_first(c->hold)) != NULL) {
		stat_inc(c->stat, STAT_SETS_KEPT);
		set->number = 0; /* its mark stays */
		take_leave(c, set);
	}
	take_free_orphans(c);
}

/* What was read, with where its header and its set stand. */
struct read_back {
	struct held_facts facts;
	const uint8_t *header;
	const uint8_t *set;
};

static bool read_facts(struct rd *r, const struct keep_now *now, struct read_back *out)
{
	struct held_facts *f = &out->facts;
	uint8_t transport;

	f->origin.local_port = rd_u16(r);
	transport = rd_u8(r);
	f->origin.transport =
		transport < TRANSPORT_COUNT ? (enum transport)transport : TRANSPORT_UDP;
	f->origin.receive_ms = (int64_t)rd_u64(r);
	f->since_ms = keep_mono_of(now, (int64_t)rd_u64(r));
	f->message = rd_u64(r);
	f->gap = (int64_t)rd_u64(r);
	f->message_bytes = rd_u32(r);
	f->offset = rd_u32(r);
	f->others = rd_u32(r);
	f->of_message = rd_u32(r);
	f->header_bytes = rd_u8(r);
	out->header = rd_take(r, f->header_bytes);
	f->bytes = rd_u32(r);
	out->set = rd_take(r, f->bytes);
	return !r->is_short && rd_left(r) == 0;
}

/* Octets that other sets can fill. */
static bool has_room(uint32_t bytes)
{
	return bytes == 0 || bytes >= SET_HEADER_BYTES;
}

/* Only NetFlow v9 has padding behind its sets. */
static bool is_placed(const struct held_facts *f, uint16_t version)
{
	return has_room(f->offset - f->header_bytes) &&
	       (version == VERSION_NF9 || has_room(f->message_bytes - f->offset - f->bytes));
}

/* Is it a data set at a place of a message that it and its header can have?  Then that message is told. */
static bool is_sound(const struct read_back *b, uint16_t version, struct message *m)
{
	const struct held_facts *f = &b->facts;
	const struct frame *frame = frame_find(version);

	if (frame == NULL || !frame->has_sets || f->header_bytes != frame->header_bytes ||
	    f->message_bytes >= TAKE_MESSAGE_MAX || f->offset < f->header_bytes ||
	    f->bytes < SET_HEADER_BYTES || f->offset > f->message_bytes ||
	    f->bytes > f->message_bytes - f->offset || f->gap < SESSION_GAP_UNKNOWN)
		return false;
	if (be16(b->header) != version || be16(b->set) < TMPL_ID_MIN ||
	    be16(b->set + 2) != f->bytes)
		return false;
	if (!is_placed(f, version))
		return false;
	*m = (struct message){ .octets = b->header,
			       .bytes = f->message_bytes,
			       .header_bytes = f->header_bytes,
			       .version = version };
	return frame->read(m) == COLLECTOR_STAT_COUNT && m->bytes == f->message_bytes;
}

enum err keep_held_peer(struct rd entry, struct addr *out)
{
	rd_skip(&entry, KEEP_NUMBER_BYTES);
	return keep_peer(entry, out);
}

enum err keep_take_held(struct collector *c, struct rd entry, const struct keep_now *now)
{
	struct read_back b = { 0 };
	struct session_key key;
	struct message m;
	struct session *s;
	struct addr peer;
	struct tmpl *t;
	enum err e = ERR_LIMIT;

	rd_skip(&entry, KEEP_NUMBER_BYTES);
	if (!keep_take_key(&entry, &peer, &key) || !read_facts(&entry, now, &b) ||
	    !is_sound(&b, key.version, &m) || m.domain != key.domain)
		return ERR_FORMAT;
	b.facts.origin.peer = peer;
	b.facts.origin.port = key.port;
	b.facts.export_ms = m.export_ms;
	b.facts.id = be16(b.set);
	s = collector_restore_session(c, &key, &peer);
	if (s != NULL && s->idle_since_ms == 0)
		s->idle_since_ms = now->mono_ms;
	stat_inc(c->stat, STAT_SETS_RESTORED);
	t = s == NULL ? NULL : session_tmpl(s, b.facts.id);
	/* Sets leave with the definition that they wait for: who has both was killed before all was written, or before
	 * it was their turn. */
	if (t != NULL && !now->is_marked) {
		stat_inc(c->stat, STAT_HELD_BEFORE);
		return ERR_LIMIT;
	}
	if (s != NULL)
		e = take_restore(c, s, t, &b.facts, b.header, b.set);
	if (e != ERR_OK)
		stat_inc(c->stat, STAT_HELD_FULL);
	return e;
}
