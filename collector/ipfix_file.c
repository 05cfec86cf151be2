/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/ipfix_file.h"

#include "collector/gate.h"

#define HEAD_BYTES 16u
#define LENGTH_END 4u /* version and length */

/* The length in a header at the first of four octets; 0 when it is none. */
static uint32_t length_at(const uint8_t *octets)
{
	uint32_t bytes = be16(octets + 2);

	return be16(octets) == VERSION_IPFIX && bytes >= HEAD_BYTES ? bytes : 0;
}

bool ipfix_file_is(struct capture *c)
{
	const uint8_t *octets = capture_peek(c, LENGTH_END);

	return octets != NULL && length_at(octets) != 0;
}

static bool is_sound(const uint8_t *octets, uint32_t bytes)
{
	const struct frame *frame;
	struct message m;

	return gate_check(octets, bytes, &m, &frame) == COLLECTOR_STAT_COUNT;
}

/* Does the file end behind `bytes` octets, or another message begin there? */
static bool is_followed(struct capture *c, uint32_t bytes)
{
	const uint8_t *octets = capture_peek(c, bytes + LENGTH_END);

	if (octets != NULL)
		return length_at(octets + bytes) != 0;
	return !c->has_failed && capture_peek(c, bytes + 1) == NULL;
}

/* The message here; 0 octets when none begins here. */
static uint32_t message_here(struct capture *c, bool is_lost, const uint8_t **octets)
{
	uint32_t bytes;

	*octets = capture_peek(c, LENGTH_END);
	bytes = *octets == NULL ? 0 : length_at(*octets);
	if (bytes != 0)
		*octets = capture_peek(c, bytes);
	if (bytes == 0 || *octets == NULL)
		return 0;
	if (is_sound(*octets, bytes))
		return bytes;
	if (is_lost || !is_followed(c, bytes))
		return 0;
	*octets = capture_peek(c, bytes); /* the look behind it may have moved it */
	return bytes;
}

enum err ipfix_file_next(struct capture *c, struct ipfix_file_message *out, struct why *why)
{
	out->skipped = 0;
	while (!capture_is_end(c)) {
		if (c->has_failed && capture_peek(c, 1) == NULL)
			return capture_fail(c, ERR_IO, c->offset, "cannot be read", why);
		out->bytes = message_here(c, out->skipped > 0, &out->octets);
		if (out->bytes == 0) {
			capture_pass(c, 1);
			out->skipped++;
			continue;
		}
		out->export_ms = (int64_t)be32(out->octets + LENGTH_END) * 1000;
		capture_pass(c, out->bytes);
		return ERR_OK;
	}
	return ERR_ABSENT;
}
