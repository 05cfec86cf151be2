/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "collector/keep_in.h"
#include "normalizer/announce_in.h"

#define ENTRY_BYTES_MAX (4u + 2 + 1 + 1 + 1 + ANNOUNCE_NAME_MAX)

static struct announce *announce_of(struct chain_link *link)
{
	return (struct announce *)(void *)((uint8_t *)link - offsetof(struct announce, link));
}

/* Those whose name was another's come last, so that they find it taken again. */
static void put_entries(const struct announce *a, bool are_taken, struct wr *w)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct announced *e = &a->entries[i];
		size_t bytes = strlen(e->name);

		if (e->is_taken != are_taken)
			continue;
		wr_u32(w, e->pen);
		wr_u16(w, e->id);
		wr_u8(w, e->type);
		wr_u8(w, e->list);
		wr_u8(w, (uint8_t)bytes);
		wr_bytes(w, e->name, bytes);
	}
}

static void keep_one(const struct announce *a, struct keep *out)
{
	const struct session *s = a->home.session;
	size_t most = KEEP_KEY_BYTES + a->count * ENTRY_BYTES_MAX;
	size_t start = out->bytes;
	uint8_t *octets = keep_add(out, 4 + most);
	struct wr w;

	if (octets == NULL)
		return;
	w = wr_of(octets + 4, most);
	keep_put_key(&w, &s->peer, &s->key);
	put_entries(a, false, &w);
	put_entries(a, true, &w);
	keep_end_entry(out, start, &w);
}

bool announce_keep(struct chain *order, size_t some, struct keep *out)
{
	size_t enough = out->bytes + some;

	while (order->fresh != NULL && out->bytes < enough)
		keep_one(announce_of(chain_next(order)), out);
	return order->fresh != NULL;
}

static bool read_entry(struct rd *r, struct announced *out, struct text *name)
{
	const uint8_t *octets;

	out->pen = rd_u32(r);
	out->id = rd_u16(r);
	out->type = rd_u8(r);
	out->list = rd_u8(r);
	name->bytes = rd_u8(r);
	octets = rd_take(r, name->bytes);
	name->octets = (const char *)octets;
	return !r->is_short && announce_is_theirs(out->pen, out->id) &&
	       out->type < ELEMENT_TYPE_COUNT && out->list <= ELEMENT_SUB_TEMPLATE_MULTI_LIST &&
	       (out->list == ELEMENT_NO_LIST || out->type == ELEMENT_OCTETS) &&
	       announce_is_name(octets, name->bytes);
}

enum err announce_restore(struct announce **a, const struct announce_home *home, struct rd entry,
			  size_t limit)
{
	while (rd_left(&entry) > 0) {
		struct announced e = { 0 };
		struct text name;

		if (!read_entry(&entry, &e, &name))
			return ERR_FORMAT;
		if (announce_find(*a, e.pen, e.id) != NULL)
			continue;
		if (announce_count(*a) >= limit)
			return ERR_LIMIT;
		if (announce_add(a, home, &e, &name) != ANNOUNCE_NEW)
			return ERR_NOMEM;
	}
	return ERR_OK;
}
