/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/capture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/must.h"

#define PAGE_BYTES CAPTURE_BLOCK_MAX
#define TIME_MAX_MS INT64_C(253402300799999) /* end of year 9999 */

enum err capture_open(int fd, const char *name, struct capture **out)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct stat st;

	if (c == NULL)
		return ERR_NOMEM;
	c->page = malloc(PAGE_BYTES);
	if (c->page == NULL || unpack_open(fd, &c->in) != ERR_OK) {
		capture_close(c);
		return ERR_NOMEM;
	}
	c->name = name;
	/* For simple packet blocks, which have no time, ahead of any that has. */
	if (fstat(fd, &st) == 0)
		c->last_ms = (int64_t)st.st_mtim.tv_sec * 1000;
	*out = c;
	return ERR_OK;
}

void capture_close(struct capture *c)
{
	if (c == NULL)
		return;
	unpack_close(c->in);
	free(c->interfaces);
	free(c->page);
	free(c);
}

/* Reads until `bytes` octets lie in the page, or the file ends or fails. */
static void fill(struct capture *c, size_t bytes)
{
	if (c->from > 0 && c->from + bytes > PAGE_BYTES) {
		memmove(c->page, c->page + c->from, c->to - c->from);
		c->to -= c->from;
		c->from = 0;
	}
	while (c->to - c->from < bytes && !c->has_failed) {
		ssize_t n = unpack_read(c->in, c->page + c->to, PAGE_BYTES - c->to);

		if (n == 0)
			return;
		if (n > 0)
			c->to += (size_t)n;
		else
			c->has_failed = true;
	}
}

const uint8_t *capture_peek(struct capture *c, size_t bytes)
{
	must(bytes <= PAGE_BYTES);
	if (c->to - c->from < bytes)
		fill(c, bytes);
	return c->to - c->from < bytes ? NULL : c->page + c->from;
}

void capture_pass(struct capture *c, size_t bytes)
{
	must(bytes <= c->to - c->from);
	c->from += bytes;
	c->offset += bytes;
}

enum err capture_skip(struct capture *c, uint64_t bytes, struct why *why)
{
	while (bytes > 0) {
		size_t part;

		if (capture_peek(c, 1) == NULL)
			return capture_fail(c, ERR_TRUNC, c->offset, "the file ends within a block",
					    why);
		part = c->to - c->from;
		if (part > bytes)
			part = (size_t)bytes;
		capture_pass(c, part);
		bytes -= part;
	}
	return ERR_OK;
}

bool capture_is_end(struct capture *c)
{
	return capture_peek(c, 1) == NULL && !c->has_failed;
}

enum err capture_fail(const struct capture *c, enum err e, uint64_t offset, const char *text,
		      struct why *why)
{
	if (c->has_failed)
		e = unpack_why(c->in, &text);
	return why_set(why, e, "%s: octet %llu: %s", c->name, (unsigned long long)offset, text);
}

uint16_t capture_u16(const struct capture *c, struct rd *r)
{
	uint16_t v = rd_u16(r);

	return c->is_little ? __builtin_bswap16(v) : v;
}

uint32_t capture_u32(const struct capture *c, struct rd *r)
{
	uint32_t v = rd_u32(r);

	return c->is_little ? __builtin_bswap32(v) : v;
}

/* Milliseconds in a number of ticks of 2^-bits seconds. */
static uint64_t of_binary(uint64_t stamp, unsigned bits)
{
	uint64_t seconds = bits < 64 ? stamp >> bits : 0;
	uint64_t fraction = bits < 64 ? stamp - (seconds << bits) : stamp;

	/* Times 1000 must fit: what is below 2^-50 s does not matter. */
	if (bits > 50) {
		fraction = bits - 50 < 64 ? fraction >> (bits - 50) : 0;
		bits = 50;
	}
	if (seconds > (uint64_t)TIME_MAX_MS / 1000)
		return (uint64_t)TIME_MAX_MS;
	return seconds * 1000 + (fraction * 1000 >> bits);
}

/* Milliseconds in a number of ticks of 10^-digits seconds. */
static uint64_t of_decimal(uint64_t stamp, unsigned digits)
{
	for (; digits > 3 && stamp > 0; digits--)
		stamp /= 10;
	for (; digits < 3; digits++) {
		if (stamp > (uint64_t)TIME_MAX_MS)
			return (uint64_t)TIME_MAX_MS;
		stamp *= 10;
	}
	return stamp;
}

int64_t capture_time_ms(const struct capture_interface *i, uint64_t stamp)
{
	unsigned resolution = i->resolution & 0x7fu;
	uint64_t ms = (i->resolution & 0x80u) != 0 ? of_binary(stamp, resolution)
						   : of_decimal(stamp, resolution);
	int64_t offset_s = i->offset_s;

	if (ms > (uint64_t)TIME_MAX_MS)
		ms = (uint64_t)TIME_MAX_MS;
	if (offset_s > TIME_MAX_MS / 1000)
		offset_s = TIME_MAX_MS / 1000;
	if (offset_s < -TIME_MAX_MS / 1000)
		offset_s = -TIME_MAX_MS / 1000;
	offset_s = offset_s * 1000 + (int64_t)ms;
	if (offset_s < 0)
		return 0;
	return offset_s > TIME_MAX_MS ? TIME_MAX_MS : offset_s;
}

enum err capture_add_interface(struct capture *c, const struct capture_interface *i)
{
	size_t room = c->interfaces_room == 0 ? 8 : c->interfaces_room * 2;
	struct capture_interface *more;

	if (c->interface_count >= CAPTURE_INTERFACES_MAX)
		return ERR_LIMIT;
	if (c->interface_count == c->interfaces_room) {
		more = realloc(c->interfaces, room * sizeof(*more));
		if (more == NULL)
			return ERR_NOMEM;
		c->interfaces = more;
		c->interfaces_room = room;
	}
	c->interfaces[c->interface_count++] = *i;
	return ERR_OK;
}

static enum err start(struct capture *c, struct why *why)
{
	const uint8_t *magic = capture_peek(c, 4);
	enum err e;

	if (magic == NULL)
		return capture_fail(c, ERR_TRUNC, 0, "shorter than the head of a capture file",
				    why);
	e = pcap_start(c, why);
	if (e == ERR_ABSENT)
		e = pcapng_start(c, why);
	if (e == ERR_ABSENT)
		return capture_fail(c, ERR_FORMAT, 0, "neither pcap, pcapng nor an IPFIX file",
				    why);
	return e;
}

enum err capture_next(struct capture *c, struct capture_frame *frame, struct why *why)
{
	if (c->next == NULL)
		TRY(start(c, why));
	must(c->next != NULL);
	return c->next(c, frame, why);
}
