/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/framer.h"

#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "collector/message.h"

#define HEADER_BYTES 16u
#define VERSION_END 2u
#define LENGTH_END 4u
#define ROOM_FIRST 2048u

void framer_fini(struct framer *f)
{
	free(f->octets);
	memset(f, 0, sizeof(*f));
}

void framer_trim(struct framer *f)
{
	if (f->bytes == 0 && f->room > 0)
		framer_fini(f);
}

size_t framer_begin(const struct framer *f, uint8_t *space)
{
	if (f->bytes > 0)
		memcpy(space, f->octets, f->bytes);
	return f->bytes;
}

/* Twice what there was, but no more than the message at hand can need. */
static bool make_room(struct framer *f, size_t bytes, size_t most)
{
	size_t room = f->room == 0 ? ROOM_FIRST : f->room;
	uint8_t *octets;

	if (bytes <= f->room)
		return true;
	while (room < bytes)
		room *= 2;
	if (room > most && most >= bytes)
		room = most;
	octets = malloc(room);
	if (octets == NULL)
		return false;
	free(f->octets);
	f->octets = octets;
	f->room = (uint32_t)room;
	return true;
}

static enum framer_end keep(struct framer *f, const uint8_t *octets, size_t bytes)
{
	size_t most = bytes >= LENGTH_END ? be16(octets + VERSION_END) : ROOM_FIRST;

	f->bytes = 0;
	if (bytes == 0)
		return FRAMER_MORE;
	if (!make_room(f, bytes, most))
		return FRAMER_NOMEM;
	memcpy(f->octets, octets, bytes);
	f->bytes = (uint32_t)bytes;
	return FRAMER_MORE;
}

/* What can be said of a header as soon as its octets are there. */
static enum framer_end look(const uint8_t *octets, size_t bytes)
{
	if (bytes >= VERSION_END && be16(octets) != VERSION_IPFIX)
		return FRAMER_VERSION;
	if (bytes >= LENGTH_END && be16(octets + VERSION_END) < HEADER_BYTES)
		return FRAMER_LENGTH;
	return FRAMER_MORE;
}

enum framer_end framer_take(struct framer *f, const uint8_t *space, size_t bytes, framer_fn *fn,
			    void *ctx)
{
	size_t at = 0;

	for (;;) {
		size_t left = bytes - at;
		enum framer_end end = look(space + at, left);
		size_t length;

		f->bytes = 0;
		if (end != FRAMER_MORE)
			return end;
		length = left < LENGTH_END ? SIZE_MAX : be16(space + at + VERSION_END);
		if (left < length)
			return keep(f, space + at, left);
		at += length;
		if (!fn(ctx, space + at - length, length))
			return FRAMER_STOPPED;
	}
}
