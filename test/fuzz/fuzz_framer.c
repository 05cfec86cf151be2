/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: however a stream of octets is cut into reads, the same messages come out of it, and the same end; what is kept is
 * never more than one message, and no octet outside of what came is read.
 * Method: the first octet seeds where the stream is cut; the rest is the stream, given whole, cut by chance, and octet by
 * octet.  A walk of the test's own over the whole says what must come out.  One input in eight comes again with
 * allocations that fail.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "collector/framer.h"
#include "test/fuzz/alloc.h"

#define READ_MAX 4096u

struct seen {
	const uint8_t *stream;
	size_t at; /* where the next message must begin */
	size_t count;
	uint32_t stop_after; /* messages; 0: never */
};

static uint32_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static bool see(void *ctx, const uint8_t *octets, size_t bytes)
{
	struct seen *s = ctx;

	must(bytes >= 16);
	must(memcmp(octets, s->stream + s->at, bytes) == 0);
	must(octets[0] == 0);
	must(octets[1] == 10);
	must((size_t)octets[2] << 8 == (bytes & 0xff00));
	must(octets[3] == (bytes & 0xff));
	s->at += bytes;
	s->count++;
	return s->stop_after == 0 || s->count < s->stop_after;
}

/* The octets that arrive, in memory of their own size behind what was kept. */
static enum framer_end arrive(struct framer *f, struct seen *s, const uint8_t *octets, size_t bytes)
{
	uint8_t *space;
	size_t kept;
	enum framer_end end;

	alloc_pause();
	space = malloc(f->bytes + bytes + 1);
	must(space != NULL);
	alloc_resume();
	kept = framer_begin(f, space);
	must(kept == f->bytes);
	memcpy(space + kept, octets, bytes);
	end = framer_take(f, space, kept + bytes, see, s);
	must(f->bytes < FRAMER_MESSAGE_MAX);
	must(f->room <= FRAMER_MESSAGE_MAX);
	must(end == FRAMER_MORE || f->bytes == 0);
	free(space);
	return end;
}

static enum framer_end feed(const uint8_t *octets, size_t bytes, uint32_t most, struct seen *s)
{
	enum framer_end end = FRAMER_MORE;
	struct framer f = { 0 };

	for (size_t at = 0; at < bytes && end == FRAMER_MORE;) {
		size_t some = most == 1 ? 1 : 1 + any(most);

		some = some < bytes - at ? some : bytes - at;
		end = arrive(&f, s, octets + at, some);
		at += some;
		if (end == FRAMER_MORE)
			must(s->at + f.bytes == at);
		if (any(8) == 0)
			framer_trim(&f);
	}
	framer_fini(&f);
	return end;
}

/* What the stream is, without a framer. */
static enum framer_end walk(const uint8_t *octets, size_t bytes, struct seen *s)
{
	for (;;) {
		size_t left = bytes - s->at;
		const uint8_t *m = octets + s->at;
		size_t length;

		if (left >= 2 && (m[0] != 0 || m[1] != 10))
			return FRAMER_VERSION;
		if (left < 4)
			return FRAMER_MORE;
		length = (size_t)m[2] << 8 | m[3];
		if (length < 16)
			return FRAMER_LENGTH;
		if (left < length)
			return FRAMER_MORE;
		s->at += length;
		if (++s->count == s->stop_after)
			return FRAMER_STOPPED;
	}
}

static void once(const uint8_t *octets, size_t bytes)
{
	static const uint32_t cuts[] = { READ_MAX, 64, 1 };
	struct seen want = { .stream = octets + 1 };
	enum framer_end end;

	if (bytes < 2)
		return;
	seed = octets[0];
	want.stop_after = any(4) == 0 ? 1 + any(3) : 0;
	end = walk(octets + 1, bytes - 1, &want);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct seen s = { .stream = octets + 1, .stop_after = want.stop_after };
		uint64_t failures = alloc_failures();
		enum framer_end got = feed(octets + 1, bytes - 1, cuts[i], &s);

		if (alloc_failures() > failures) {
			must(got == FRAMER_NOMEM);
			continue;
		}
		must(got == end);
		must(s.at == want.at);
		must(s.count == want.count);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	alloc_turns(once, octets, bytes);
	return 0;
}
