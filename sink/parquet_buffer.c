/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_buffer.h"

#include <assert.h>

#define DOUBLE_BYTES (1u << 20) /* larger ones grow by a half */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "values are written as they lie in memory");

bool parquet_grow(struct parquet_account *a, struct parquet_buffer *b, size_t more)
{
	size_t need = b->bytes + more;
	size_t had = b->room;
	size_t room = had < DOUBLE_BYTES ? 2 * had : had + had / 2;

	if (room < PARQUET_ROOM_MIN)
		room = PARQUET_ROOM_MIN;
	if (room_make(&b->at, &b->room, need > room ? need : room) != ERR_OK) {
		parquet_fail(a, ERR_NOMEM);
		return false;
	}
	a->bytes += b->room - had;
	return true;
}

void parquet_release(struct parquet_account *a, struct parquet_buffer *b)
{
	a->bytes -= b->room;
	free(b->at);
	memset(b, 0, sizeof(*b));
}
