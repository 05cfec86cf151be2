/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/capture.h"

#define BLOCK_SECTION 0x0A0D0D0Au /* the same in both octet orders */
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 2u /* obsolete, still written by some */
#define BLOCK_SIMPLE 3u
#define BLOCK_ENHANCED 6u

#define ORDER_BIG 0x1A2B3C4Du
#define ORDER_LITTLE 0x4D3C2B1Au

#define HEAD_BYTES 8u	/* type, length */
#define FRAME_BYTES 12u /* and the length again at the end */
#define RESOLUTION_DEFAULT 6u

#define OPTION_END 0u
#define OPTION_RESOLUTION 9u
#define OPTION_OFFSET 14u

struct block {
	uint32_t type;
	uint32_t bytes;
	uint64_t offset;
	struct rd body; /* without head and the length at the end */
};

static enum err wrong(const struct capture *c, const struct block *b, const char *text,
		      struct why *why)
{
	return capture_fail(c, ERR_FORMAT, b->offset, text, why);
}

static enum err read_section(struct capture *c, struct block *b, struct why *why)
{
	uint16_t major;

	rd_skip(&b->body, 4);
	major = capture_u16(c, &b->body);
	rd_skip(&b->body, 10);
	if (b->body.is_short)
		return wrong(c, b, "a section head that is too short", why);
	if (major != 1)
		return capture_fail(c, ERR_UNSUPPORTED, b->offset, "not version 1 of pcapng", why);
	c->interface_count = 0;
	return ERR_OK;
}

static enum err read_options(const struct capture *c, struct rd *r, struct capture_interface *i)
{
	while (rd_left(r) > 0) {
		uint16_t code = capture_u16(c, r);
		uint16_t bytes = capture_u16(c, r);
		struct rd value = rd_sub(r, bytes);
		uint32_t high;
		uint32_t low;

		rd_skip(r, (4u - bytes % 4u) % 4u);
		if (r->is_short)
			return ERR_FORMAT;
		if (code == OPTION_END)
			break;
		if (code == OPTION_RESOLUTION && bytes == 1)
			i->resolution = rd_u8(&value);
		if (code != OPTION_OFFSET || bytes != 8)
			continue;
		high = capture_u32(c, &value);
		low = capture_u32(c, &value);
		i->offset_s = c->is_little ? (int64_t)((uint64_t)low << 32 | high)
					   : (int64_t)((uint64_t)high << 32 | low);
	}
	return ERR_OK;
}

static enum err read_interface(struct capture *c, struct block *b, struct why *why)
{
	struct capture_interface i = { .resolution = RESOLUTION_DEFAULT };
	enum err e;

	i.link_type = capture_u16(c, &b->body);
	rd_skip(&b->body, 2);
	i.snap_bytes = capture_u32(c, &b->body);
	if (b->body.is_short)
		return wrong(c, b, "an interface description that is too short", why);
	if (read_options(c, &b->body, &i) != ERR_OK)
		return wrong(c, b, "an option that runs over its interface description", why);
	e = capture_add_interface(c, &i);
	if (e == ERR_LIMIT)
		return capture_fail(c, e, b->offset, "too many interfaces", why);
	if (e != ERR_OK)
		return capture_fail(c, e, b->offset, err_text(e), why);
	return ERR_OK;
}

static enum err read_frame(struct capture *c, struct block *b, struct capture_frame *frame,
			   struct why *why)
{
	const struct capture_interface *i;
	uint32_t number = 0;
	uint64_t stamp = 0;
	uint32_t bytes;

	if (b->type == BLOCK_ENHANCED)
		number = capture_u32(c, &b->body);
	if (b->type == BLOCK_PACKET) {
		number = capture_u16(c, &b->body);
		rd_skip(&b->body, 2);
	}
	if (b->type != BLOCK_SIMPLE) {
		stamp = (uint64_t)capture_u32(c, &b->body) << 32;
		stamp |= capture_u32(c, &b->body);
	}
	bytes = capture_u32(c, &b->body);
	if (b->type != BLOCK_SIMPLE)
		rd_skip(&b->body, 4);
	if (b->body.is_short)
		return wrong(c, b, "a packet block that is too short", why);
	if (number >= c->interface_count)
		return wrong(c, b, "a packet of an interface that was not described", why);
	i = &c->interfaces[number];
	if (b->type == BLOCK_SIMPLE) {
		/* It says only how long the frame was; what is held follows from the limits. */
		if (i->snap_bytes != 0 && bytes > i->snap_bytes)
			bytes = i->snap_bytes;
		if (bytes > rd_left(&b->body))
			return wrong(c, b, "a packet that runs over its block", why);
	} else {
		c->last_ms = capture_time_ms(i, stamp);
	}
	if (bytes > CAPTURE_FRAME_MAX)
		return wrong(c, b, "a frame longer than any", why);
	frame->octets = rd_take(&b->body, bytes);
	if (frame->octets == NULL)
		return wrong(c, b, "a packet that runs over its block", why);
	frame->bytes = bytes;
	frame->link_type = i->link_type;
	frame->time_ms = c->last_ms;
	return ERR_OK;
}

/* Type and length; a section's octet order comes before its length can be understood. */
static enum err read_head(struct capture *c, struct block *b, struct why *why)
{
	const uint8_t *octets = capture_peek(c, FRAME_BYTES);
	struct rd r;
	uint32_t order;

	b->offset = c->offset;
	if (octets == NULL)
		return capture_fail(c, ERR_TRUNC, b->offset, "the file ends within a block", why);
	if (be32(octets) == BLOCK_SECTION) {
		order = be32(octets + 8);
		if (order != ORDER_BIG && order != ORDER_LITTLE)
			return wrong(c, b, "a section without octet order", why);
		c->is_little = order == ORDER_LITTLE;
	}
	r = rd_of(octets, HEAD_BYTES);
	b->type = capture_u32(c, &r);
	b->bytes = capture_u32(c, &r);
	if (b->bytes < FRAME_BYTES || b->bytes % 4 != 0)
		return wrong(c, b, "a block length that cannot be", why);
	return ERR_OK;
}

static bool is_read(uint32_t type)
{
	return type == BLOCK_SECTION || type == BLOCK_INTERFACE || type == BLOCK_PACKET ||
	       type == BLOCK_SIMPLE || type == BLOCK_ENHANCED;
}

static enum err check_end(const struct capture *c, const struct block *b, const uint8_t *octets,
			  struct why *why)
{
	struct rd r = rd_of(octets, 4);

	if (capture_u32(c, &r) != b->bytes)
		return wrong(c, b, "a block whose two lengths differ", why);
	return ERR_OK;
}

static enum err skip_block(struct capture *c, const struct block *b, struct why *why)
{
	const uint8_t *octets;

	TRY(capture_skip(c, b->bytes - 4, why));
	octets = capture_peek(c, 4);
	if (octets == NULL)
		return capture_fail(c, ERR_TRUNC, c->offset, "the file ends within a block", why);
	TRY(check_end(c, b, octets, why));
	capture_pass(c, 4);
	return ERR_OK;
}

static enum err load_block(struct capture *c, struct block *b, struct why *why)
{
	const uint8_t *octets;

	if (b->bytes > CAPTURE_BLOCK_MAX)
		return capture_fail(c, ERR_LIMIT, b->offset, "a block too long to read", why);
	octets = capture_peek(c, b->bytes);
	if (octets == NULL)
		return capture_fail(c, ERR_TRUNC, b->offset, "the file ends within a block", why);
	TRY(check_end(c, b, octets + b->bytes - 4, why));
	b->body = rd_of(octets + HEAD_BYTES, b->bytes - FRAME_BYTES);
	capture_pass(c, b->bytes);
	return ERR_OK;
}

static enum err next(struct capture *c, struct capture_frame *frame, struct why *why)
{
	while (!capture_is_end(c)) {
		struct block b = { 0 };

		TRY(read_head(c, &b, why));
		if (!is_read(b.type)) {
			TRY(skip_block(c, &b, why));
			continue;
		}
		TRY(load_block(c, &b, why));
		if (b.type == BLOCK_SECTION)
			TRY(read_section(c, &b, why));
		else if (b.type == BLOCK_INTERFACE)
			TRY(read_interface(c, &b, why));
		else
			return read_frame(c, &b, frame, why);
	}
	return ERR_ABSENT;
}

enum err pcapng_start(struct capture *c, struct why *why)
{
	const uint8_t *octets = capture_peek(c, 4);

	(void)why;
	if (octets == NULL || be32(octets) != BLOCK_SECTION)
		return ERR_ABSENT;
	c->next = next;
	return ERR_OK;
}
