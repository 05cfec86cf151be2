/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/kafka_slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/wr.h"

#define FREE_MAX 16 /* slabs kept for later */

struct kafka_slab {
	struct kafka_slab *next;
	struct kafka_slab *previous;
	size_t size;
	size_t used;
	size_t live; /* messages under way */
	_Alignas(16) uint8_t octets[];
};

void kafka_slabs_init(struct kafka_slabs *s, size_t bytes_max)
{
	*s = (struct kafka_slabs){ .bytes_max = bytes_max };
}

static void slab_unlink(struct kafka_slabs *s, struct kafka_slab *slab)
{
	if (slab->previous != NULL)
		slab->previous->next = slab->next;
	else
		s->all = slab->next;
	if (slab->next != NULL)
		slab->next->previous = slab->previous;
	s->bytes -= slab->size;
}

/* Out of use: kept for later, or given back. */
static void slab_retire(struct kafka_slabs *s, struct kafka_slab *slab)
{
	slab_unlink(s, slab);
	if (slab == s->now)
		s->now = NULL;
	if (slab->size != KAFKA_SLAB_BYTES || s->free_count >= FREE_MAX) {
		free(slab);
		return;
	}
	slab->next = s->free;
	s->free = slab;
	s->free_count++;
}

void kafka_slabs_clear(struct kafka_slabs *s)
{
	while (s->all != NULL) {
		must(s->all->previous == NULL);
		slab_retire(s, s->all);
	}
}

void kafka_slabs_fini(struct kafka_slabs *s)
{
	kafka_slabs_clear(s);
	while (s->free != NULL) {
		struct kafka_slab *slab = s->free;

		s->free = slab->next;
		free(slab);
	}
	s->free_count = 0;
}

static struct kafka_slab *slab_take(struct kafka_slabs *s, size_t bytes)
{
	size_t size = bytes > KAFKA_SLAB_BYTES ? bytes : KAFKA_SLAB_BYTES;
	struct kafka_slab *slab = s->free;

	if (size == KAFKA_SLAB_BYTES && slab != NULL) {
		s->free = slab->next;
		s->free_count--;
	} else {
		slab = malloc(sizeof(*slab) + size);
		if (slab == NULL)
			return NULL;
	}
	*slab = (struct kafka_slab){ .next = s->all, .size = size };
	if (s->all != NULL)
		s->all->previous = slab;
	s->all = slab;
	s->bytes += size;
	return slab;
}

uint8_t *kafka_slab_put(struct kafka_slabs *s, const uint8_t *octets, size_t bytes)
{
	struct kafka_slab *slab = s->now;
	uint8_t *at;

	if (slab != NULL && slab->live == 0) {
		slab->used = 0;
		if (slab->size < bytes)
			slab_retire(s, slab);
		slab = s->now;
	}
	if (slab == NULL || slab->size - slab->used < bytes) {
		if (s->bytes >= s->bytes_max)
			return NULL;
		slab = slab_take(s, bytes);
		if (slab == NULL)
			return NULL;
		s->now = slab;
	}
	at = slab->octets + slab->used;
	memcpy(at, octets, bytes);
	/* What comes next begins aligned, whatever this piece's length. */
	slab->used += bytes + (-bytes & 7);
	if (slab->used > slab->size)
		slab->used = slab->size;
	return at;
}

struct kafka_msg *kafka_slab_msg(struct kafka_slabs *s, uint8_t *at, uint32_t schema_id)
{
	struct log_head head;
	struct kafka_msg *m = (struct kafka_msg *)(void *)at;
	struct wr w = wr_of(at + sizeof(head) - KAFKA_PREFIX_BYTES, KAFKA_PREFIX_BYTES);

	must(s->now != NULL);
	must(at >= s->now->octets && at < s->now->octets + s->now->used);
	memcpy(&head, at, sizeof(head));
	*m = (struct kafka_msg){
		.slab = s->now,
		.time_ms = head.ingest_ms,
		.bytes = head.bytes + KAFKA_PREFIX_BYTES,
		.exporter = head.exporter,
		.partition = -1,
	};
	wr_u8(&w, 0);
	wr_u32(&w, schema_id);
	s->now->live++;
	return m;
}

void kafka_slab_release(struct kafka_slabs *s, struct kafka_msg *m)
{
	struct kafka_slab *slab = m->slab;

	must(slab->live > 0);
	if (--slab->live == 0 && (slab != s->now || slab->size != KAFKA_SLAB_BYTES))
		slab_retire(s, slab);
}
