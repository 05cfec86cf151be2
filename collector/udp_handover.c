/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/udp_handover.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define ALIGN 8u

struct handed {
	struct origin origin;
	size_t bytes;
	uint8_t octets[];
};

static size_t room_for(size_t bytes)
{
	return (sizeof(struct handed) + bytes + ALIGN - 1) / ALIGN * ALIGN;
}

enum err handover_init(struct handover *h, size_t page_bytes)
{
	uint8_t *in = malloc(page_bytes);
	uint8_t *out = malloc(page_bytes);

	if (in == NULL || out == NULL || pthread_mutex_init(&h->lock, NULL) != 0) {
		free(in);
		free(out);
		return ERR_NOMEM;
	}
	h->in = in;
	h->in_bytes = 0;
	h->out = out;
	h->page_bytes = page_bytes;
	return ERR_OK;
}

void handover_fini(struct handover *h)
{
	if (h->in == NULL)
		return;
	(void)pthread_mutex_destroy(&h->lock);
	free(h->in);
	free(h->out);
	h->in = NULL;
	h->out = NULL;
}

enum err handover_push(struct handover *h, const uint8_t *octets, size_t bytes,
		       const struct origin *origin, bool *is_first)
{
	size_t room = room_for(bytes);
	struct handed *entry;
	enum err e = ERR_FULL;

	(void)pthread_mutex_lock(&h->lock);
	if (room <= h->page_bytes - h->in_bytes) {
		entry = (struct handed *)(void *)(h->in + h->in_bytes);
		entry->origin = *origin;
		entry->bytes = bytes;
		memcpy(entry->octets, octets, bytes);
		*is_first = h->in_bytes == 0;
		h->in_bytes += room;
		e = ERR_OK;
	}
	(void)pthread_mutex_unlock(&h->lock);
	return e;
}

size_t handover_take(struct handover *h, unit_fn *fn, void *ctx)
{
	const struct handed *entry;
	uint8_t *page;
	size_t count = 0;
	size_t bytes;

	(void)pthread_mutex_lock(&h->lock);
	page = h->in;
	bytes = h->in_bytes;
	h->in = h->out;
	h->in_bytes = 0;
	h->out = page;
	(void)pthread_mutex_unlock(&h->lock);
	for (size_t at = 0; at < bytes; at += room_for(entry->bytes)) {
		entry = (const struct handed *)(const void *)(page + at);
		must(entry->bytes <= bytes - at);
		if (fn != NULL)
			fn(ctx, entry->octets, entry->bytes, &entry->origin);
		count++;
	}
	return count;
}
