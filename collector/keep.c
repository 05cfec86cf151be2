/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/keep.h"

#include <stdlib.h>

#include "base/must.h"
#include "base/wr.h"
#include "collector/define.h"
#include "collector/keep_in.h"
#include "collector/take.h"

#define ROOM_FIRST (64u << 10)
#define ADDR_BYTES 16
#define TMPL_HEAD_BYTES (4u * 8 + 1 + 2)
#define ENTERPRISE_BIT 0x8000u
#define SPEC_BYTES_MAX 8u
#define LENGTH_BYTES 4u
#define TIMES_BYTES 16u
#define DEFINE_HEAD_MAX 6u

void keep_fini(struct keep *k)
{
	free(k->octets);
	*k = (struct keep){ 0 };
}

bool keep_reserve(struct keep *k, size_t bytes)
{
	size_t room = k->room == 0 ? ROOM_FIRST : k->room;
	uint8_t *octets;

	while (room - k->bytes < bytes)
		room *= 2;
	if (room > k->room) {
		octets = realloc(k->octets, room);
		if (octets == NULL) {
			k->is_failed = true;
			return false;
		}
		k->octets = octets;
		k->room = room;
	}
	return true;
}

uint8_t *keep_add(struct keep *k, size_t bytes)
{
	uint8_t *octets;

	if (!keep_reserve(k, bytes))
		return NULL;
	octets = k->octets + k->bytes;
	k->bytes += bytes;
	return octets;
}

void keep_put_key(struct wr *w, const struct addr *peer, const struct session_key *key)
{
	uint8_t octets[ADDR_BYTES] = { 0 };

	memcpy(octets, peer->octets, peer->bytes);
	wr_u8(w, peer->bytes);
	wr_bytes(w, octets, sizeof(octets));
	wr_u16(w, key->port);
	wr_u16(w, key->version);
	wr_u32(w, key->domain);
}

bool keep_take_key(struct rd *r, struct addr *peer, struct session_key *key)
{
	const uint8_t *octets;

	memset(peer, 0, sizeof(*peer));
	memset(key, 0, sizeof(*key));
	peer->bytes = rd_u8(r);
	octets = rd_take(r, ADDR_BYTES);
	if (octets == NULL || (peer->bytes != 4 && peer->bytes != ADDR_BYTES))
		return false;
	memcpy(peer->octets, octets, peer->bytes);
	memcpy(key->octets, peer->octets, sizeof(key->octets));
	key->port = rd_u16(r);
	key->version = rd_u16(r);
	key->domain = rd_u32(r);
	return !r->is_short;
}

static uint16_t v9_type(const struct tmpl_field *f)
{
	return f->pen == PEN_NTOP ? (uint16_t)(f->id + V9_NTOP_BASE) : f->id;
}

/* The definition as it came: its record of a template set. */
static void put_definition(struct wr *w, const struct tmpl *t)
{
	bool is_v9 = t->version == VERSION_NF9;

	wr_u16(w, t->id);
	if (t->is_options && is_v9) {
		wr_u16(w, (uint16_t)(4 * t->scope_count));
		wr_u16(w, (uint16_t)(4 * (t->field_count - t->scope_count)));
	} else {
		wr_u16(w, t->field_count);
		if (t->is_options)
			wr_u16(w, t->scope_count);
	}
	for (uint16_t i = 0; i < t->field_count; i++) {
		const struct tmpl_field *f = &t->fields[i];
		bool has_pen = !is_v9 && f->pen != PEN_IANA;

		wr_u16(w, is_v9 ? v9_type(f) : (uint16_t)(f->id | (has_pen ? ENTERPRISE_BIT : 0)));
		wr_u16(w, f->bytes);
		if (has_pen)
			wr_u32(w, f->pen);
	}
}

int64_t keep_utc_of(const struct keep_now *now, int64_t mono_ms)
{
	return now->real_ms - (now->mono_ms - mono_ms);
}

int64_t keep_mono_of(const struct keep_now *now, int64_t real_ms)
{
	return real_ms < 0 || real_ms > now->real_ms ? now->mono_ms
						     : now->mono_ms - (now->real_ms - real_ms);
}

static void put_tmpl(struct wr *w, const struct keep_now *now, const struct tmpl *t)
{
	uint8_t *length;
	struct wr at;

	wr_u64(w, (uint64_t)keep_utc_of(now, t->seen_ms));
	wr_u64(w, (uint64_t)(t->used_ms == 0 ? 0 : keep_utc_of(now, t->used_ms)));
	wr_u64(w, (uint64_t)t->refresh_ms);
	wr_u64(w, (uint64_t)t->defined_ms);
	wr_u8(w, t->is_options);
	length = w->at;
	wr_u16(w, 0);
	put_definition(w, t);
	must(!w->is_full);
	at = wr_of(length, 2);
	wr_u16(&at, (uint16_t)(w->at - length - 2));
}

void keep_end_entry(struct keep *k, size_t start, const struct wr *w)
{
	struct wr length = wr_of(k->octets + start, 4);

	must(!w->is_full);
	wr_u32(&length, (uint32_t)(wr_used(w)));
	k->bytes = start + 4 + wr_used(w);
}

void keep_move(struct keep *from, struct keep *out)
{
	uint8_t *octets = from->bytes == 0 ? NULL : keep_add(out, from->bytes);

	if (octets != NULL)
		memcpy(octets, from->octets, from->bytes);
	out->is_failed = out->is_failed || from->is_failed;
	from->bytes = 0;
	from->is_failed = false;
}

static bool has_sets(uint16_t version)
{
	const struct frame *frame = frame_find(version);

	return frame != NULL && frame->has_sets;
}

void keep_changed(struct collector *c, struct session *s)
{
	if (!session_is_of_stream(s))
		chain_renew(&c->kept, &s->kept);
}

/* What stands on disk of it is taken back: after a kill its templates would come back. */
void keep_session_gone(struct collector *c, struct session *s)
{
	uint8_t *octets;
	struct wr w;

	chain_cut(&c->kept, &s->kept);
	if (c->place.session == s)
		c->place.session = NULL;
	octets = s->is_kept ? keep_add(&c->gone_sessions, 4 + KEEP_KEY_BYTES) : NULL;
	if (octets == NULL)
		return;
	w = wr_of(octets, 4 + KEEP_KEY_BYTES);
	wr_u32(&w, KEEP_KEY_BYTES);
	keep_put_key(&w, &s->peer, &s->key);
}

static struct session *session_of(struct chain_link *link)
{
	return (struct session *)(void *)((uint8_t *)link - offsetof(struct session, kept));
}

/* The entry is whole. */
static void close_entry(struct keep *out)
{
	struct wr length = wr_of(out->octets + out->open_at, LENGTH_BYTES);

	wr_u32(&length, (uint32_t)(out->bytes - out->open_at - LENGTH_BYTES));
	out->is_open = false;
}

/* True: templates follow. */
static bool begin_session(struct collector *c, const struct keep_now *now, struct session *s,
			  struct keep *out)
{
	bool has_tmpls = s->tmpl_count > s->borrowed_count;
	size_t most = KEEP_KEY_BYTES + (has_tmpls ? TIMES_BYTES : 0);
	uint8_t *octets;
	struct wr w;

	/* Templates that we made are made again. */
	if ((!has_tmpls && !s->is_kept) || !has_sets(s->key.version))
		return false;
	out->open_at = out->bytes;
	octets = keep_add(out, LENGTH_BYTES + most);
	if (octets == NULL)
		return false;
	w = wr_of(octets + LENGTH_BYTES, most);
	keep_put_key(&w, &s->peer, &s->key);
	if (has_tmpls) {
		wr_u64(&w, (uint64_t)s->first_ms);
		wr_u64(&w, (uint64_t)keep_utc_of(now, s->idle_since_ms));
	}
	must(!w.is_full);
	s->is_kept = has_tmpls;
	out->is_open = has_tmpls;
	c->place = (struct keep_place){ .session = s };
	if (!has_tmpls)
		close_entry(out);
	return has_tmpls;
}

static bool add_tmpl(const struct keep_now *now, const struct tmpl *t, struct keep *out)
{
	size_t most = TMPL_HEAD_BYTES + DEFINE_HEAD_MAX + (size_t)t->field_count * SPEC_BYTES_MAX;
	uint8_t *octets = keep_add(out, most);
	struct wr w;

	if (octets == NULL)
		return false;
	w = wr_of(octets, most);
	put_tmpl(&w, now, t);
	out->bytes -= most - wr_used(&w);
	return true;
}

/* Templates of the open entry; false: the slice is full before all of them stand there. */
static bool go_on(struct collector *c, const struct keep_now *now, size_t enough, struct keep *out)
{
	struct session *s = c->place.session;

	if (s == NULL) { /* what is gone has no templates */
		out->bytes = out->open_at + LENGTH_BYTES + KEEP_KEY_BYTES;
		close_entry(out);
		return true;
	}
	for (size_t i = session_tmpl_from(s, c->place.next_id); i < s->tmpl_count; i++) {
		const struct tmpl *t = s->tmpls[i];

		if (out->bytes >= enough) {
			c->place.next_id = t->id;
			return false;
		}
		if (!t->is_borrowed && !add_tmpl(now, t, out))
			break;
	}
	close_entry(out);
	return true;
}

bool keep_tmpls(struct collector *c, const struct keep_now *now, size_t some, struct keep *out)
{
	size_t enough = out->bytes + some;

	/* What is said of a session that went stays out of another one's entry. */
	if (out->is_open && !go_on(c, now, enough, out))
		return true;
	/* Before others: one may have begun anew since. */
	keep_move(&c->gone_sessions, out);
	while (c->kept.fresh != NULL && out->bytes < enough) {
		if (begin_session(c, now, session_of(chain_next(&c->kept)), out) &&
		    !go_on(c, now, enough, out))
			return true;
	}
	return c->kept.fresh != NULL;
}

void keep_rewind_tmpls(struct collector *c)
{
	/* Who ended is not in what is written now. */
	c->gone_sessions.bytes = 0;
	c->gone_sessions.is_failed = false;
	chain_rewind(&c->kept);
}

bool keep_next(struct rd *entries, struct rd *entry)
{
	uint32_t bytes = rd_u32(entries);

	*entry = rd_sub(entries, bytes);
	return !entries->is_short;
}

enum err keep_peer(struct rd entry, struct addr *out)
{
	struct session_key key;

	return keep_take_key(&entry, out, &key) ? ERR_OK : ERR_FORMAT;
}

/* One definition, through all that one from the network goes through. */
static enum err take_tmpl(struct collector *c, struct session *s, struct rd *r,
			  const struct keep_now *now)
{
	int64_t seen_ms = keep_mono_of(now, (int64_t)rd_u64(r));
	int64_t used_real_ms = (int64_t)rd_u64(r);
	int64_t refresh_ms = (int64_t)rd_u64(r);
	int64_t defined_ms = (int64_t)rd_u64(r);
	bool is_options = rd_u8(r) != 0;
	struct rd set = rd_sub(r, rd_u16(r));
	struct define d;
	struct tmpl *t;

	if (r->is_short || define_next(&set, s->key.version, is_options, &d) != DEFINE_ONE ||
	    d.is_withdrawal || d.is_empty || rd_left(&set) != 0)
		return ERR_FORMAT;
	if (define_build(&d, &c->limits, &t) != COLLECTOR_STAT_COUNT)
		return ERR_LIMIT;
	t->seen_ms = seen_ms;
	t->used_ms = used_real_ms == 0 ? 0 : keep_mono_of(now, used_real_ms);
	t->refresh_ms = refresh_ms < 0 || refresh_ms > now->real_ms ? 0 : refresh_ms;
	t->defined_ms = defined_ms;
	return collector_restore_tmpl(c, s, t, now->mono_ms);
}

enum err keep_take_tmpls(struct collector *c, struct rd entry, const struct keep_now *now)
{
	struct session_key key;
	struct addr peer;
	struct session *s;
	int64_t first_ms;
	int64_t last_real_ms;
	bool is_key = keep_take_key(&entry, &peer, &key);

	first_ms = (int64_t)rd_u64(&entry);
	last_real_ms = (int64_t)rd_u64(&entry);
	if (!is_key || entry.is_short || !has_sets(key.version))
		return ERR_FORMAT;
	s = collector_restore_session(c, &key, &peer);
	if (s == NULL)
		return ERR_LIMIT;
	s->first_ms = first_ms < 0 || first_ms > now->real_ms ? now->real_ms : first_ms;
	s->last_ms = last_real_ms < 0 || last_real_ms > now->real_ms ? now->real_ms : last_real_ms;
	s->idle_since_ms = keep_mono_of(now, last_real_ms);
	while (rd_left(&entry) > 0)
		TRY(take_tmpl(c, s, &entry, now));
	return ERR_OK;
}
