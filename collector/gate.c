/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/gate.h"

#include "collector/frame.h"

#define SFLOW_VERSION 5

/* One set: its header, and a body that ends inside the message. */
static bool take_set(struct rd *sets, uint16_t *id, struct rd *body)
{
	uint16_t bytes;

	*id = rd_u16(sets);
	bytes = rd_u16(sets);
	if (sets->is_short || bytes < SET_HEADER_BYTES)
		return false;
	*body = rd_sub(sets, bytes - (size_t)SET_HEADER_BYTES);
	return !body->is_short;
}

bool gate_next_set(struct rd *sets, uint16_t *id, struct rd *body)
{
	return rd_left(sets) >= SET_HEADER_BYTES && take_set(sets, id, body);
}

/* Padding behind the last set: v9 exporters do it, to a multiple of 4 or with zeros. */
static bool is_v9_padding(const struct rd *sets)
{
	const uint8_t *p = sets->at;

	while (p < sets->end && *p == 0)
		p++;
	return p == sets->end || rd_left(sets) < SET_HEADER_BYTES;
}

static enum collector_stat check_sets(const struct message *m)
{
	struct rd sets = rd_of(m->octets + m->header_bytes, m->bytes - m->header_bytes);

	while (rd_left(&sets) > 0) {
		struct rd body;
		uint16_t id;

		if (m->version == VERSION_NF9 && is_v9_padding(&sets))
			break;
		if (!take_set(&sets, &id, &body))
			return STAT_MSG_SET_LENGTH;
	}
	return COLLECTOR_STAT_COUNT;
}

/* sFlow's version word is of 4 octets; the number that stands for it here is on no wire. */
static uint16_t version_of(const uint8_t *octets, size_t bytes)
{
	uint16_t version = be16(octets);

	if (version == 0 && bytes >= 4 && be32(octets) == SFLOW_VERSION)
		return VERSION_SFLOW5;
	return version == VERSION_SFLOW5 ? 0 : version;
}

enum collector_stat gate_check(const uint8_t *octets, size_t bytes, struct message *m,
			       const struct frame **frame)
{
	struct message fresh = { .octets = octets, .bytes = (uint32_t)bytes };
	enum collector_stat verdict;

	*m = fresh;
	if (bytes < 2)
		return STAT_MSG_SHORT;
	m->version = version_of(octets, bytes);
	*frame = frame_find(m->version);
	if (*frame == NULL)
		return m->version == VERSION_NF8 ? STAT_MSG_NF8 : STAT_MSG_VERSION;
	m->header_bytes = (*frame)->header_bytes;
	if (bytes < m->header_bytes)
		return STAT_MSG_SHORT;
	verdict = (*frame)->read(m);
	if (verdict != COLLECTOR_STAT_COUNT || !(*frame)->has_sets)
		return verdict;
	return check_sets(m);
}
