/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/capture.h"

#define HEAD_BYTES 24u
#define RECORD_BYTES 16u
#define DIGITS_MICRO 6
#define DIGITS_NANO 9

static const struct magic {
	uint32_t value; /* big endian */
	bool is_little;
	uint8_t digits; /* of the time's fraction; 0: a format that we do not read */
} magics[] = {
	{ 0xA1B2C3D4u, false, DIGITS_MICRO },
	{ 0xD4C3B2A1u, true, DIGITS_MICRO },
	{ 0xA1B23C4Du, false, DIGITS_NANO },
	{ 0x4D3CB2A1u, true, DIGITS_NANO },
	{ 0xA1B2CD34u, false, 0 },
	{ 0x34CDB2A1u, true, 0 },
};

static enum err next(struct capture *c, struct capture_frame *frame, struct why *why)
{
	const struct capture_interface *i = &c->interfaces[0];
	const uint8_t *octets;
	struct rd r;
	uint32_t seconds;
	uint32_t fraction;
	uint32_t bytes;

	if (capture_is_end(c))
		return ERR_ABSENT;
	octets = capture_peek(c, RECORD_BYTES);
	if (octets == NULL)
		return capture_fail(c, ERR_TRUNC, c->offset, "the file ends within a record head",
				    why);
	r = rd_of(octets, RECORD_BYTES);
	seconds = capture_u32(c, &r);
	fraction = capture_u32(c, &r);
	bytes = capture_u32(c, &r);
	if (bytes > CAPTURE_FRAME_MAX)
		return capture_fail(c, ERR_FORMAT, c->offset, "a frame longer than any", why);
	octets = capture_peek(c, RECORD_BYTES + bytes);
	if (octets == NULL)
		return capture_fail(c, ERR_TRUNC, c->offset, "the file ends within a frame", why);
	capture_pass(c, RECORD_BYTES + bytes);
	frame->octets = octets + RECORD_BYTES;
	frame->bytes = bytes;
	frame->link_type = i->link_type;
	frame->time_ms = (int64_t)seconds * 1000 +
			 fraction / (i->resolution == DIGITS_NANO ? 1000000u : 1000u);
	return ERR_OK;
}

enum err pcap_start(struct capture *c, struct why *why)
{
	const uint8_t *octets = capture_peek(c, 4);
	struct capture_interface i = { 0 };
	const struct magic *m = NULL;
	struct rd r;
	enum err e;

	for (size_t k = 0; octets != NULL && k < sizeof(magics) / sizeof(magics[0]); k++) {
		if (be32(octets) == magics[k].value)
			m = &magics[k];
	}
	if (m == NULL)
		return ERR_ABSENT;
	if (m->digits == 0)
		return capture_fail(c, ERR_UNSUPPORTED, 0, "a modified pcap format (Kuznetzov)",
				    why);
	octets = capture_peek(c, HEAD_BYTES);
	if (octets == NULL)
		return capture_fail(c, ERR_TRUNC, 0, "the file ends within its head", why);
	c->is_little = m->is_little;
	r = rd_of(octets + 4, HEAD_BYTES - 4);
	if (capture_u16(c, &r) != 2)
		return capture_fail(c, ERR_UNSUPPORTED, 4, "not version 2 of pcap", why);
	rd_skip(&r, 14);
	/* The upper half says how long frame check sequences are; IP's own length rules. */
	i.link_type = capture_u32(c, &r) & 0xffffu;
	i.resolution = m->digits;
	e = capture_add_interface(c, &i);
	if (e != ERR_OK)
		return capture_fail(c, e, 0, err_text(e), why);
	capture_pass(c, HEAD_BYTES);
	c->next = next;
	return ERR_OK;
}
