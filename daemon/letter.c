/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/letter.h"

#include <stdio.h>
#include <string.h>

#include "base/rd.h"
#include "base/wr.h"
#include "collector/frame.h"

#define REASON_BYTES 128
#define FILLER_ID 255 /* reserved in v9 and IPFIX */
#define IPFIX_LENGTH_AT 2

struct texts {
	char reason[REASON_BYTES];
	char peer[ADDR_TEXT_BYTES];
};

/* What is known of any unit.  The texts stay where they are until the letter was put. */
static void set_origin(struct dead_letter *l, const struct origin *o, const struct stat_desc *why,
		       struct texts *t)
{
	(void)snprintf(t->reason, sizeof(t->reason), "%s/%s", why->name, why->reason);
	(void)addr_text(&o->peer, t->peer);
	dead_set_number(l, DEAD_RECEIVED, o->receive_ms);
	dead_set_text(l, DEAD_REASON, t->reason);
	dead_set_text(l, DEAD_EXPORTER_IP, t->peer);
	dead_set_number(l, DEAD_EXPORTER_PORT, o->port);
	dead_set_number(l, DEAD_LOCAL_PORT, o->local_port);
	dead_set_text(l, DEAD_TRANSPORT, transport_name(o->transport));
}

/* Only who has a session has a name: names are for ever, and anybody can make up addresses. */
static void set_message(struct dead_letter *l, const struct message *m, const struct session *s)
{
	dead_set_octets(l, DEAD_EXPORTER_NAME, s->identity, s->identity_bytes);
	dead_set_number(l, DEAD_DOMAIN, m->domain);
	dead_set_number(l, DEAD_VERSION, m->version);
}

static void set_set(struct dead_letter *l, const struct message *m, uint16_t id, size_t offset)
{
	dead_set_text(l, DEAD_KIND, DEAD_KIND_SET);
	dead_set_number(l, DEAD_TEMPLATE_ID, id);
	dead_set_octets(l, DEAD_HEADER, m->octets, m->header_bytes);
	dead_set_number(l, DEAD_OFFSET, (int64_t)offset);
}

/* What an operator sends through again is lost to nobody by coming back; else floods have a bound. */
static enum dead_care care_of(const struct message *m, const struct session *s)
{
	if (m->origin->is_again)
		return DEAD_KEEP;
	return s == NULL ? DEAD_JUNK : DEAD_PLAIN;
}

bool letter_put_octets(struct dead *d, unsigned worker, const struct message *m,
		       const struct session *s, const struct stat_desc *why, const uint8_t *octets,
		       size_t bytes)
{
	struct dead_letter l = { .care = care_of(m, s) };
	bool is_message = octets == m->octets;
	struct texts t;

	if (dead_refuses(d, worker, l.care, is_message ? DEAD_STAT_MESSAGES : DEAD_STAT_SETS))
		return false;
	set_origin(&l, m->origin, why, &t);
	if (s != NULL)
		set_message(&l, m, s);
	if (is_message)
		dead_set_text(&l, DEAD_KIND, DEAD_KIND_MESSAGE);
	else
		set_set(&l, m, be16(octets), (size_t)(octets - m->octets));
	dead_set_octets(&l, DEAD_OCTETS, octets, bytes);
	return dead_put(d, worker, &l);
}

bool letter_put_flow(struct dead *d, unsigned worker, const struct message *m,
		     const struct session *s, const struct stat_desc *why, const struct flow *f)
{
	struct dead_letter l = { .care = care_of(m, s) };
	uint8_t head[SET_HEADER_BYTES];
	struct wr w = wr_of(head, sizeof(head));
	struct texts t;

	if (!f->has_template_id || f->record_bytes > UINT16_MAX - SET_HEADER_BYTES)
		return false;
	wr_u16(&w, (uint16_t)f->template_id);
	wr_u16(&w, (uint16_t)(f->record_bytes + SET_HEADER_BYTES));
	set_origin(&l, m->origin, why, &t);
	set_message(&l, m, s);
	set_set(&l, m, (uint16_t)f->template_id,
		(size_t)(f->record - m->octets) - SET_HEADER_BYTES);
	l.before = head;
	l.before_bytes = sizeof(head);
	dead_set_octets(&l, DEAD_OCTETS, f->record, f->record_bytes);
	return dead_put(d, worker, &l);
}

enum err letter_origin(const struct dead_letter *l, struct origin *out)
{
	const struct dead_value *ip = &l->values[DEAD_EXPORTER_IP];
	struct origin o = { .port = (uint16_t)l->values[DEAD_EXPORTER_PORT].number,
			    .local_port = (uint16_t)l->values[DEAD_LOCAL_PORT].number,
			    .receive_ms = l->values[DEAD_RECEIVED].number,
			    .is_again = true };
	char text[ADDR_TEXT_BYTES] = "";

	if (!ip->is_there || ip->bytes >= sizeof(text))
		return ERR_FORMAT;
	memcpy(text, ip->octets, ip->bytes);
	TRY(addr_parse(text, &o.peer));
	for (enum transport t = 0; t < TRANSPORT_COUNT; t++) {
		if (dead_is_text(l, DEAD_TRANSPORT, transport_name(t)))
			o.transport = t;
	}
	*out = o;
	return ERR_OK;
}

/* Room that a reserved set can fill. */
static bool is_fillable(size_t bytes)
{
	return bytes == 0 || (bytes >= SET_HEADER_BYTES && bytes <= UINT16_MAX);
}

static void put_filler(struct wr *w, size_t bytes)
{
	uint8_t *rest;

	if (bytes == 0)
		return;
	wr_u16(w, FILLER_ID);
	wr_u16(w, (uint16_t)bytes);
	rest = wr_take(w, bytes - SET_HEADER_BYTES);
	if (rest != NULL)
		memset(rest, 0, bytes - SET_HEADER_BYTES);
}

/* Octets before and behind the set; where its place cannot be filled up to, there are none. */
struct place {
	size_t before;
	size_t behind;
	bool is_original;
};

static struct place place_of(const struct dead_letter *l, const struct frame *frame)
{
	const struct dead_value *header = &l->values[DEAD_HEADER];
	const struct dead_value *offset = &l->values[DEAD_OFFSET];
	size_t bytes = l->values[DEAD_OCTETS].bytes;
	struct place p = { .is_original = false };
	size_t at = (size_t)offset->number;
	size_t length;

	if (!offset->is_there || offset->number < frame->header_bytes ||
	    offset->number > UINT16_MAX || !is_fillable(at - frame->header_bytes))
		return p;
	/* NetFlow v9 does not say how long it is. */
	length = frame->version == VERSION_IPFIX
			 ? be16((const uint8_t *)header->octets + IPFIX_LENGTH_AT)
			 : at + bytes;
	if (length < at + bytes || !is_fillable(length - at - bytes))
		return p;
	return (struct place){ at - frame->header_bytes, length - at - bytes, true };
}

static enum err rebuild_set(const struct dead_letter *l, struct wr *w)
{
	const struct dead_value *header = &l->values[DEAD_HEADER];
	const struct dead_value *set = &l->values[DEAD_OCTETS];
	const struct frame *frame = frame_find((uint16_t)l->values[DEAD_VERSION].number);
	uint8_t *start = w->at;
	struct place p;

	if (frame == NULL || !frame->has_sets || !header->is_there ||
	    header->bytes != frame->header_bytes || set->bytes < SET_HEADER_BYTES)
		return ERR_FORMAT;
	p = place_of(l, frame);
	wr_bytes(w, header->octets, header->bytes);
	put_filler(w, p.before);
	wr_bytes(w, set->octets, set->bytes);
	put_filler(w, p.behind);
	if (w->is_full)
		return ERR_LIMIT;
	if (!p.is_original && frame->version == VERSION_IPFIX) {
		struct wr length = wr_of(start + IPFIX_LENGTH_AT, 2);

		wr_u16(&length, (uint16_t)(w->at - start));
	}
	return ERR_OK;
}

enum err letter_rebuild(const struct dead_letter *l, uint8_t *out, size_t room, size_t *bytes)
{
	const struct dead_value *octets = &l->values[DEAD_OCTETS];
	struct wr w = wr_of(out, room < LETTER_MESSAGE_MAX ? room : LETTER_MESSAGE_MAX);

	if (dead_is_text(l, DEAD_KIND, DEAD_KIND_SET))
		TRY(rebuild_set(l, &w));
	else if (dead_is_text(l, DEAD_KIND, DEAD_KIND_MESSAGE))
		wr_bytes(&w, octets->octets, octets->bytes);
	else
		return ERR_FORMAT;
	if (w.is_full)
		return ERR_LIMIT;
	*bytes = wr_used(&w);
	return ERR_OK;
}
