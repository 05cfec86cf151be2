/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_avro.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/wr.h"
#include "sink/avro_wire.h"

#define MAGIC "Obj\1"

static size_t put_count(uint8_t *out, uint64_t count)
{
	return (size_t)(avro_put_varint(out, count << 1) - out);
}

static void put_string(struct wr *w, const char *text)
{
	uint8_t head[AVRO_LONG_MAX];
	size_t bytes = strlen(text);

	wr_bytes(w, head, put_count(head, bytes));
	wr_bytes(w, text, bytes);
}

enum err file_avro_header(const struct avro_meta *meta, size_t count, uint8_t sync[AVRO_SYNC_BYTES],
			  uint8_t **out, size_t *bytes)
{
	size_t room = sizeof(MAGIC) + AVRO_LONG_MAX + 1 + AVRO_SYNC_BYTES;
	uint8_t head[AVRO_LONG_MAX];
	uint8_t *octets;
	struct wr w;

	if (getrandom(sync, AVRO_SYNC_BYTES, 0) != AVRO_SYNC_BYTES)
		return ERR_IO;
	for (size_t i = 0; i < count; i++)
		room += 2 * AVRO_LONG_MAX + strlen(meta[i].key) + strlen(meta[i].value);
	octets = malloc(room);
	if (octets == NULL)
		return ERR_NOMEM;
	w = wr_of(octets, room);
	wr_bytes(&w, MAGIC, sizeof(MAGIC) - 1);
	wr_bytes(&w, head, put_count(head, count));
	for (size_t i = 0; i < count; i++) {
		put_string(&w, meta[i].key);
		put_string(&w, meta[i].value);
	}
	wr_u8(&w, 0);
	wr_bytes(&w, sync, AVRO_SYNC_BYTES);
	*out = octets;
	*bytes = wr_used(&w);
	return ERR_OK;
}

uint8_t *file_avro_block_head(uint8_t *end, uint64_t records, uint64_t bytes)
{
	uint8_t head[AVRO_BLOCK_HEAD_MAX];
	size_t n = put_count(head, records);

	n += put_count(head + n, bytes);
	memcpy(end - n, head, n);
	return end - n;
}
