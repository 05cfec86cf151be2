/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "collector/sflow_sources.h"

#define TMPLS_FIRST 8
#define STREAM_PLACE 0x10000u /* no version of a format */

struct session_key session_key_of(const struct message *m)
{
	struct session_key key;

	memset(&key, 0, sizeof(key));
	memcpy(key.octets, m->origin->peer.octets, sizeof(key.octets));
	key.domain = m->domain;
	key.port = m->origin->port;
	key.version = m->version;
	key.stream = m->origin->stream;
	key.agent_bytes = m->agent_bytes;
	if (m->agent != NULL)
		memcpy(key.agent, m->agent, m->agent_bytes);
	return key;
}

struct session_place session_place_of(const struct session *s)
{
	struct session_place place = { .domain = s->key.domain, .version = s->key.version };

	if (session_is_of_stream(s))
		return session_place_of_stream(s->key.stream);
	memcpy(place.octets, s->key.octets, sizeof(place.octets));
	return place;
}

struct session_place session_place_of_stream(uint32_t stream)
{
	return (struct session_place){ .domain = stream, .version = STREAM_PLACE };
}

enum err session_new(const struct session_key *key, const struct addr *peer, struct session **out)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return ERR_NOMEM;
	s->key = *key;
	s->peer = *peer;
	s->exporter_number = SESSION_NUMBER_NONE;
	s->gap = SESSION_GAP_UNKNOWN;
	sequence_init(&s->sequence, key->version);
	if (tmpl_new_fixed(key->version, &s->fixed) == ERR_NOMEM ||
	    (key->version == VERSION_SFLOW5 && sflow_sources_new(&s->sources) != ERR_OK)) {
		free(s);
		return ERR_NOMEM;
	}
	*out = s;
	return ERR_OK;
}

void session_free(struct session *s)
{
	if (s == NULL)
		return;
	must(s->tmpl_count == 0);
	tmpl_free(s->fixed);
	free(s->tmpls);
	free(s->tmpl_ids);
	free(s->sources);
	free(s);
}

void session_identify(struct session *s, const struct exporter_entry *entry)
{
	char text[ADDR_TEXT_BYTES];
	size_t bytes;

	s->entry = entry;
	s->is_named = entry != NULL && entry->name != NULL;
	if (s->is_named) {
		bytes = strnlen(entry->name, SESSION_IDENTITY_BYTES);
		memcpy(s->identity, entry->name, bytes);
	} else {
		bytes = addr_text(&s->peer, text);
		memcpy(s->identity, text, bytes);
	}
	s->identity_bytes = (uint8_t)bytes;
	s->exporter_number = SESSION_NUMBER_NONE;
}

size_t session_tmpl_from(const struct session *s, uint32_t id)
{
	size_t low = 0;
	size_t high = s->tmpl_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->tmpl_ids[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_at(const struct session *s, size_t i, uint16_t id)
{
	return i < s->tmpl_count && s->tmpl_ids[i] == id;
}

struct tmpl *session_tmpl(const struct session *s, uint16_t id)
{
	size_t i = session_tmpl_from(s, id);

	return is_at(s, i, id) ? s->tmpls[i] : NULL;
}

static enum err grow(struct session *s)
{
	size_t room = s->tmpls_room == 0 ? TMPLS_FIRST : s->tmpls_room * 2;
	struct tmpl **tmpls = realloc(s->tmpls, room * sizeof(*tmpls));
	uint16_t *ids;

	if (tmpls == NULL)
		return ERR_NOMEM;
	s->tmpls = tmpls;
	ids = realloc(s->tmpl_ids, room * sizeof(*ids));
	if (ids == NULL)
		return ERR_NOMEM;
	s->tmpl_ids = ids;
	s->tmpls_room = room;
	return ERR_OK;
}

enum err session_tmpl_put(struct session *s, struct tmpl *t, struct tmpl **old)
{
	size_t i = session_tmpl_from(s, t->id);

	if (is_at(s, i, t->id)) {
		*old = s->tmpls[i];
		s->tmpls[i] = t;
		return ERR_OK;
	}
	if (s->tmpl_count == s->tmpls_room)
		TRY(grow(s));
	memmove(&s->tmpls[i + 1], &s->tmpls[i], (s->tmpl_count - i) * sizeof(s->tmpls[0]));
	memmove(&s->tmpl_ids[i + 1], &s->tmpl_ids[i], (s->tmpl_count - i) * sizeof(s->tmpl_ids[0]));
	s->tmpls[i] = t;
	s->tmpl_ids[i] = t->id;
	s->tmpl_count++;
	*old = NULL;
	return ERR_OK;
}

struct tmpl *session_tmpl_take(struct session *s, uint16_t id)
{
	size_t i = session_tmpl_from(s, id);
	struct tmpl *t;

	if (!is_at(s, i, id))
		return NULL;
	t = s->tmpls[i];
	s->tmpl_count--;
	memmove(&s->tmpls[i], &s->tmpls[i + 1], (s->tmpl_count - i) * sizeof(s->tmpls[0]));
	memmove(&s->tmpl_ids[i], &s->tmpl_ids[i + 1], (s->tmpl_count - i) * sizeof(s->tmpl_ids[0]));
	return t;
}

struct sequence_account session_sequence(struct session *s, const struct message *m,
					 const struct sequence_units *units)
{
	struct sequence_account account = sequence_take(&s->sequence, m, units, s->last_ms);

	s->gap = account.gap;
	if (sequence_is_clean(&account))
		return account;
	s->counts.missed += account.missed;
	s->counts.late += account.late;
	s->counts.out_of_order += account.is_reordered;
	s->counts.duplicated += account.is_duplicated;
	s->counts.restarts += account.is_restart;
	/* Its clock began anew, too. */
	if (account.is_restart)
		s->skew_count = 0;
	return account;
}

/* One value comes for its like, or for another on the same side of the median, which stays. */
static bool stays(int64_t median, int64_t gone, int64_t come)
{
	return gone == come || (gone < median && come < median) || (gone > median && come > median);
}

void session_skew(struct session *s, const struct message *m)
{
	int64_t sorted[SESSION_SKEWS] = { 0 };
	int64_t *place = &s->skews_ms[s->skew_count % SESSION_SKEWS];
	int64_t gone = *place;
	int64_t skew_ms;
	uint32_t count = 0;

	if (m->export_ms == 0 ||
	    __builtin_sub_overflow(m->export_ms, m->origin->receive_ms, &skew_ms))
		return;
	*place = skew_ms;
	s->skew_count++;
	/* The ring starts afresh before its count would wrap. */
	if (s->skew_count == UINT32_MAX - UINT32_MAX % SESSION_SKEWS)
		s->skew_count = SESSION_SKEWS;
	if (s->skew_count > SESSION_SKEWS && stays(s->skew_ms, gone, skew_ms))
		return;
	for (; count < SESSION_SKEWS && count < s->skew_count; count++) {
		uint32_t at = count;

		for (; at > 0 && sorted[at - 1] > s->skews_ms[count]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = s->skews_ms[count];
	}
	s->skew_ms = sorted[count / 2];
}

void session_refuse(struct session *s, uint16_t id)
{
	if (id < TMPL_ID_MIN || session_is_refused(s, id))
		return;
	s->refused[s->refused_next] = id;
	s->refused_next = (uint8_t)((s->refused_next + 1) % SESSION_REFUSED_MAX);
}

void session_unrefuse(struct session *s, uint16_t id)
{
	for (size_t i = 0; i < SESSION_REFUSED_MAX; i++) {
		if (s->refused[i] == id)
			s->refused[i] = 0;
	}
}

void session_refuse_none(struct session *s)
{
	memset(s->refused, 0, sizeof(s->refused));
	s->refused_next = 0;
}

bool session_is_refused(const struct session *s, uint16_t id)
{
	for (size_t i = 0; i < SESSION_REFUSED_MAX; i++) {
		if (s->refused[i] == id)
			return true;
	}
	return false;
}
