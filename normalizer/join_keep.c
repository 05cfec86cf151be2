/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/utf8.h"
#include "base/wr.h"
#include "collector/keep_in.h"
#include "normalizer/join_in.h"

#define ENTRY_BYTES_MAX (JOIN_ID_BYTES + 1 + 3 * 8 + 3 * (1 + JOIN_TEXT_MAX))
#define NUMBER_KEY_BYTES 9 /* kind and number; what is behind them is 0 */

static struct join_node *node_of(struct chain_link *link)
{
	return (struct join_node *)(void *)((uint8_t *)link - offsetof(struct join_node, link));
}

static void put_text(struct wr *w, const struct text *text)
{
	wr_u8(w, (uint8_t)text->bytes);
	wr_bytes(w, text->octets, text->bytes);
}

static void keep_node(const struct join_node *n, struct keep *out)
{
	const struct session *s = n->of->home.session;
	size_t start = out->bytes;
	uint8_t *octets = keep_add(out, 4 + ENTRY_BYTES_MAX);
	struct wr w;

	if (octets == NULL)
		return;
	w = wr_of(octets + 4, ENTRY_BYTES_MAX);
	keep_put_key(&w, &s->peer, &s->key);
	wr_bytes(&w, n->key.octets, sizeof(n->key.octets));
	wr_u8(&w, n->of->is_ipfix);
	wr_u64(&w, (uint64_t)n->said.rate);
	wr_u64(&w, (uint64_t)n->said.algorithm);
	wr_u64(&w, (uint64_t)n->boot_ms);
	put_text(&w, &n->said.name);
	put_text(&w, &n->said.description);
	put_text(&w, &n->said.category);
	keep_end_entry(out, start, &w);
}

bool join_keep(struct chain *order, size_t some, struct keep *out)
{
	size_t enough = out->bytes + some;

	while (order->fresh != NULL && out->bytes < enough)
		keep_node(node_of(chain_next(order)), out);
	return order->fresh != NULL;
}

/* What was read, checked; its texts are the file's. */
struct read_back {
	struct join_key key;
	struct join_entry said;
	int64_t boot_ms;
	bool is_ipfix;
};

static bool is_sound_key(const struct join_key *k)
{
	bool is_text = k->octets[0] == KIND_APPLICATION;

	if (k->octets[0] >= KINDS || (is_text && k->octets[1] == 0))
		return false;
	for (size_t i = NUMBER_KEY_BYTES; !is_text && i < sizeof(k->octets); i++) {
		if (k->octets[i] != 0)
			return false;
	}
	return true;
}

static bool take_text(struct rd *r, struct text *out)
{
	uint8_t bytes = rd_u8(r);
	const uint8_t *octets = rd_take(r, bytes);

	*out = (struct text){ (const char *)octets, octets == NULL ? 0 : bytes };
	return octets != NULL && utf8_is_valid(octets, bytes);
}

static bool read_back(struct rd *r, struct read_back *out)
{
	const uint8_t *key = rd_take(r, sizeof(out->key.octets));

	if (key == NULL)
		return false;
	memcpy(out->key.octets, key, sizeof(out->key.octets));
	out->is_ipfix = rd_u8(r) != 0;
	out->said.rate = (int64_t)rd_u64(r);
	out->said.algorithm = (int64_t)rd_u64(r);
	out->boot_ms = (int64_t)rd_u64(r);
	return take_text(r, &out->said.name) && take_text(r, &out->said.description) &&
	       take_text(r, &out->said.category) && !r->is_short && rd_left(r) == 0 &&
	       is_sound_key(&out->key) && out->said.rate >= 0 && out->said.rate <= UINT32_MAX &&
	       out->said.algorithm >= -1 && out->said.algorithm <= UINT32_MAX &&
	       out->boot_ms >= 0 && out->boot_ms <= INT64_MAX / 2;
}

static bool copy_text(struct text *to, const struct text *from)
{
	char *copy = from->bytes == 0 ? NULL : malloc(from->bytes);

	if (from->bytes == 0)
		return true;
	if (copy == NULL)
		return false;
	memcpy(copy, from->octets, from->bytes);
	free((char *)to->octets);
	*to = (struct text){ copy, from->bytes };
	return true;
}

enum err join_restore(struct join **j, const struct join_home *home, struct rd entry, size_t limit,
		      int64_t *boot_ms)
{
	struct read_back b;
	struct join_node *n;
	bool is_whole;

	if (!read_back(&entry, &b))
		return ERR_FORMAT;
	n = join_open_node(j, home, &b.key, limit);
	if (n == NULL)
		return join_count(*j) >= limit ? ERR_LIMIT : ERR_NOMEM;
	is_whole = copy_text(&n->said.name, &b.said.name) &&
		   copy_text(&n->said.description, &b.said.description) &&
		   copy_text(&n->said.category, &b.said.category);
	n->said.rate = b.said.rate;
	n->said.algorithm = b.said.algorithm;
	n->boot_ms = b.boot_ms;
	n->of->is_ipfix = b.is_ipfix;
	join_note(n);
	*boot_ms = b.boot_ms;
	return is_whole ? ERR_OK : ERR_NOMEM;
}
