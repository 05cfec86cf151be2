/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: record_id is the same for ever: consumers deduplicate by it across versions, replays and collectors.
 * Method: a vector per format.  They were computed outside of this program, by libxxhash's XXH3_128bits() over
 * identity (its length, 'a' and the address or 'n' and the name), message header, offset (4 octets), part (2 octets),
 * record; they must never change.
 */
#include "test/unit/road.h"

#define MESSAGE_BYTES_MAX 2048
#define IDS_MAX 2

#define IPFIX                                                                                      \
	"000a00346553f1000000000b00000001"                                                         \
	"00020010010000020008000400010004010000140a000001000000050a00000200000006"

static const struct row {
	const char *name;
	const char *peer;
	bool is_named; /* "edge" in the configuration */
	const char *message;
	size_t fill; /* octets 0, 1, 2 ... behind it */
	const char *ids[IDS_MAX];
} rows[] = {
	{ "NetFlow v5", "192.0.2.1", false,
	  "00050002000100006553f100000000000000000701020000"
	  "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	  "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
	  0, { "f7e799adedfd880d7c18f0ad202d4948", "f122cecc6deb6a87c0b2b2a460483a99" } },
	{ "NetFlow v1", "192.0.2.1", false,
	  "00010001000100006553f10000000000"
	  "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
	  0, { "7252a56408949eaa1b64ecfba54845ea" } },
	{ "NetFlow v7", "192.0.2.1", false,
	  "00070001000100006553f100000000000000000700000000"
	  "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40414243",
	  0, { "30f6f6662b3813b888bdabdebd6bb0c3" } },
	{ "NetFlow v9", "192.0.2.1", false,
	  "00090003000100006553f1000000000900000001"
	  "00000010010000020008000400010004010000140a000001000000050a00000200000006",
	  0, { "af11f0763b471dec137708b237182fb3", "2dbedf552f0af30c2a8a66abea91d76a" } },
	{ "IPFIX", "192.0.2.1", false, IPFIX, 0, { "d1a5ce9abd42bd02c207f793bd0c2518", "3d3443e4ade922a3250eef7f9cb92c56" } },
	{ "IPFIX over IPv6", "2001:db8::1", false, IPFIX, 0,
	  { "cf8677e15f3bd32b5842231771ce7d35", "93cf408aa7b816c272d4ae52f4a01bf3" } },
	{ "IPFIX, exporter with a name", "192.0.2.1", true, IPFIX, 0,
	  { "f2f26a61f223101dd7f03ab7412a9b88", "cd997aa84057f55cca859da59d1f4364" } },
	{ "IPFIX, a record of 1 100 octets", "192.0.2.1", false, "000a046c6553f10000000001000000010002000c010100010139044c01010450", 1100, { "32d4b8bc5d0ff14f853ffb6973b32c96" } },
};

static size_t of_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; hex[0] != '\0'; hex += 2, n++) {
		char octet[3] = { hex[0], hex[1], '\0' };

		out[n] = (uint8_t)strtoul(octet, NULL, 16);
	}
	return n;
}

/* The next event's id, as hex. */
static void next_id(struct road *r, struct log_frame *frame, size_t *at, char out[33])
{
	struct log_record record;
	struct json j;
	const char *id;

	while (!log_frame_next(frame, at, &record)) {
		assert_int_equal(log_reader_next(r->reader, frame), ERR_OK);
		*at = 0;
	}
	json_init(&j, 1u << 20);
	assert_int_equal(avro_to_json(&r->generation.catalog->fields, record.payload, record.head.bytes, true, &j), ERR_OK);
	id = strstr(j.text, "\"record_id\":\"");
	assert_non_null(id);
	memcpy(out, id + strlen("\"record_id\":\""), 32);
	out[32] = '\0';
	json_fini(&j);
}

static void check_row(const struct row *row)
{
	struct road *r = malloc(sizeof(*r));
	struct exporter_entry entry = { .name = "edge", .prefix_bits = 0 };
	struct origin origin = { .receive_ms = 1700000000000, .port = 50000 };
	uint8_t message[MESSAGE_BYTES_MAX];
	struct log_frame frame = { 0 };
	size_t bytes = of_hex(row->message, message);
	size_t at = 0;

	must(r != NULL && addr_parse(row->peer, &origin.peer) == ERR_OK);
	for (size_t i = 0; i < row->fill; i++)
		message[bytes++] = (uint8_t)i;
	road_open(r, "time", 0);
	must(addr_parse_prefix("192.0.2.0/24", &entry.net, &entry.prefix_bits) == ERR_OK);
	if (row->is_named) {
		r->generation.exporters = &entry;
		r->generation.exporter_count = 1;
		pipeline_use(r->pipeline, &r->generation);
	}
	pipeline_receive(r->pipeline, message, bytes, &origin);
	log_flush(r->log);
	assert_int_equal(log_reader_next(r->reader, &frame), ERR_OK);
	for (size_t i = 0; i < IDS_MAX && row->ids[i] != NULL; i++) {
		char id[33];

		next_id(r, &frame, &at, id);
		if (strcmp(id, row->ids[i]) != 0)
			fail_msg("%s: record %zu has %s, should be %s", row->name, i, id, row->ids[i]);
	}
	reader_done(r->reader, log_end_lsn(r->log));
	road_close(r);
	free(r);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
