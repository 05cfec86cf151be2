/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: Community IDs are those of the public specification, from every flow that has what they are made of,
 * and none from any other; all ways to SHA-1 agree.
 * Method: the specification's vectors, each as a flow and again with its ends exchanged; a table of flows that
 * lack something; random blocks and random flows against OpenSSL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/addr.h"
#include "base/must.h"
#include "base/sha1.h"
#include "normalizer/enrich_community_id.h"

#define VECTORS "test/unit/community_id_vectors.tsv"
#define RANDOM_ROUNDS 20000

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct flow *flow_new(void)
{
	struct flow *f = calloc(1, sizeof(*f));

	must(f != NULL);
	return f;
}

/* What the enricher makes of the flow, as a C string; "" when nothing. */
static const char *name_of(uint32_t seed, struct flow *f)
{
	static char text[COMMUNITY_ID_BYTES + 1];
	struct enrich_community_id_conf conf = { seed };
	struct why why = { "" };
	void *self;

	assert_int_equal(enrich_community_id_load(&conf, &why, &self), ERR_OK);
	enrich_community_id_run(self, NULL, f, 1);
	enrich_community_id_free(self);
	if (!flow_has(f, F_community_id))
		return "";
	assert_int_equal(f->slots[F_community_id].bytes, COMMUNITY_ID_BYTES);
	memcpy(text, f->slots[F_community_id].octets, COMMUNITY_ID_BYTES);
	return text;
}

struct vector {
	unsigned seed;
	unsigned protocol;
	struct addr src;
	struct addr dst;
	int first; /* port or ICMP type; -1: none */
	int second;
	char name[64];
};

/* Cells of a row, which it cuts up; empty ones count. */
static size_t cut(char *line, char **cells, size_t room)
{
	size_t count = 0;

	line[strcspn(line, "\r\n")] = '\0';
	for (char *at = line; at != NULL && count < room; count++) {
		cells[count] = at;
		at = strchr(at, '\t');
		if (at != NULL)
			*at++ = '\0';
	}
	return count;
}

static void read_vector(char *line, struct vector *v)
{
	char *cells[7];

	assert_int_equal(cut(line, cells, 7), 7);
	v->seed = (unsigned)strtoul(cells[0], NULL, 10);
	v->protocol = (unsigned)strtoul(cells[1], NULL, 10);
	assert_int_equal(addr_parse(cells[2], &v->src), ERR_OK);
	assert_int_equal(addr_parse(cells[3], &v->dst), ERR_OK);
	v->first = cells[4][0] == '\0' ? -1 : (int)strtol(cells[4], NULL, 10);
	v->second = cells[5][0] == '\0' ? -1 : (int)strtol(cells[5], NULL, 10);
	(void)snprintf(v->name, sizeof(v->name), "%s", cells[6]);
}

static bool is_icmp(const struct vector *v)
{
	return v->protocol == 1 || v->protocol == 58;
}

static void set_ends(struct flow *f, const struct addr *src, const struct addr *dst)
{
	flow_set_octets(f, F_src_ip, src->octets, src->bytes);
	flow_set_octets(f, F_dst_ip, dst->octets, dst->bytes);
}

static void fill(struct flow *f, const struct vector *v)
{
	flow_clear(f);
	set_ends(f, &v->src, &v->dst);
	flow_set_i64(f, F_protocol_number, v->protocol);
	if (v->first < 0)
		return;
	flow_set_i64(f, is_icmp(v) ? F_icmp_type : F_src_port, v->first);
	flow_set_i64(f, is_icmp(v) ? F_icmp_code : F_dst_port, v->second);
}

static void check_vector(struct flow *f, const struct vector *v)
{
	fill(f, v);
	assert_string_equal(name_of(v->seed, f), v->name);
	if (is_icmp(v)) {
		/* As NetFlow without an ICMP element has it. */
		fill(f, v);
		flow_unmark(f, F_icmp_type);
		flow_unmark(f, F_icmp_code);
		flow_set_i64(f, F_src_port, 0);
		flow_set_i64(f, F_dst_port, v->first * 256 + v->second);
	} else {
		fill(f, v);
		set_ends(f, &v->dst, &v->src);
		flow_set_i64(f, F_src_port, v->second);
		flow_set_i64(f, F_dst_port, v->first);
	}
	assert_string_equal(name_of(v->seed, f), v->name);
}

static void vectors(void **state)
{
	FILE *file = fopen(VECTORS, "re");
	struct flow *f = flow_new();
	char line[512];
	size_t count = 0;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		struct vector v;

		if (line[0] == '#')
			continue;
		read_vector(line, &v);
		check_vector(f, &v);
		count++;
	}
	(void)fclose(file);
	free(f);
	assert_int_equal(count, 46);
}

#define V4 "192.0.2.1"
#define V4B "192.0.2.2"
#define V6 "2001:db8::1"
#define NONE (-1)

static const struct {
	const char *title;
	const char *src;
	const char *dst;
	int protocol;
	int src_port;
	int dst_port;
	int icmp_type;
	bool has_name;
} lacking[] = {
	{ "complete", V4, V4B, 6, 1, 2, NONE, true },
	{ "both ports 0", V4, V4B, 6, 0, 0, NONE, true },
	{ "no source", NULL, V4B, 6, 1, 2, NONE, false },
	{ "no destination", V4, NULL, 6, 1, 2, NONE, false },
	{ "no protocol", V4, V4B, NONE, 1, 2, NONE, false },
	{ "two families", V4, V6, 6, 1, 2, NONE, false },
	{ "fragment of TCP", V4, V4B, 6, NONE, NONE, NONE, false },
	{ "UDP without source port", V4, V4B, 17, NONE, 53, NONE, false },
	{ "SCTP without destination port", V4, V4B, 132, 7, NONE, NONE, false },
	{ "ICMP without type", V4, V4B, 1, NONE, NONE, NONE, false },
	{ "ICMPv6 without type", V6, V6, 58, NONE, NONE, NONE, false },
	{ "ICMP with type, without code", V4, V4B, 1, NONE, NONE, 8, true },
	{ "GRE has no ports", V4, V4B, 47, NONE, NONE, NONE, true },
	{ "protocol 0", V4, V4B, 0, NONE, NONE, NONE, true },
	{ "protocol 255", V6, V6, 255, NONE, NONE, NONE, true },
	{ "protocol out of range", V4, V4B, 256, 1, 2, NONE, false },
};

static void set_or_not(struct flow *f, unsigned field, int value)
{
	if (value != NONE)
		flow_set_i64(f, field, value);
}

static void missing(void **state)
{
	struct flow *f = flow_new();

	(void)state;
	for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++) {
		struct addr src = { { 0 }, 0 };
		struct addr dst = { { 0 }, 0 };

		flow_clear(f);
		if (lacking[i].src != NULL) {
			assert_int_equal(addr_parse(lacking[i].src, &src), ERR_OK);
			flow_set_octets(f, F_src_ip, src.octets, src.bytes);
		}
		if (lacking[i].dst != NULL) {
			assert_int_equal(addr_parse(lacking[i].dst, &dst), ERR_OK);
			flow_set_octets(f, F_dst_ip, dst.octets, dst.bytes);
		}
		set_or_not(f, F_protocol_number, lacking[i].protocol);
		set_or_not(f, F_src_port, lacking[i].src_port);
		set_or_not(f, F_dst_port, lacking[i].dst_port);
		set_or_not(f, F_icmp_type, lacking[i].icmp_type);
		if ((name_of(0, f)[0] != '\0') != lacking[i].has_name)
			fail_msg("%s: %s", lacking[i].title, name_of(0, f));
	}
	free(f);
}

/* A flow whose scratch is used up gets no name, and nothing is written past it. */
static void no_room(void **state)
{
	struct flow *f = flow_new();
	struct vector v = { .protocol = 47, .src = { { 1 }, 4 }, .dst = { { 2 }, 4 }, .first = -1 };

	(void)state;
	fill(f, &v);
	f->scratch_used = FLOW_SCRATCH_BYTES - COMMUNITY_ID_BYTES + 1;
	assert_string_equal(name_of(0, f), "");
	assert_int_equal(f->scratch_used, FLOW_SCRATCH_BYTES - COMMUNITY_ID_BYTES + 1);
	f->scratch_used = FLOW_SCRATCH_BYTES - COMMUNITY_ID_BYTES;
	assert_string_not_equal(name_of(0, f), "");
	free(f);
}

static void put_words(const uint32_t *words, size_t count, uint8_t *out)
{
	for (size_t i = 0; i < 4 * count; i++)
		out[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
}

#define BLOCKS_MAX 5

/* A random message of so many octets, its block, and OpenSSL's hash of it. */
static void make_message(unsigned bytes, struct sha1_block *block, uint8_t *hash)
{
	uint8_t octets[64] = { 0 };

	for (unsigned k = 0; k < bytes; k++)
		octets[k] = (uint8_t)random_next();
	assert_int_equal(EVP_Digest(octets, bytes, hash, NULL, EVP_sha1(), NULL), 1);
	octets[bytes] = 0x80;
	octets[62] = (uint8_t)(bytes * 8 >> 8);
	octets[63] = (uint8_t)(bytes * 8);
	memset(block, 0, sizeof(*block));
	for (unsigned k = 0; k < 64; k++)
		block->words[k / 4] |= (uint32_t)octets[k] << (24 - 8 * (k % 4));
}

static void check_sha1(sha1_fn *sha1, const struct sha1_block *blocks, size_t count,
		       uint8_t theirs[][20])
{
	struct sha1_digest digests[BLOCKS_MAX + 1];

	memset(digests, 0x5a, sizeof(digests));
	sha1(blocks, digests, count);
	for (size_t i = 0; i < count; i++) {
		uint8_t ours[20];

		put_words(digests[i].words, SHA1_DIGEST_WORDS, ours);
		assert_memory_equal(ours, theirs[i], 20);
	}
	assert_int_equal(digests[count].words[0], 0x5a5a5a5a);
}

/* Every length of one block, random octets, none to five at once: both ways and OpenSSL. */
static void sha1_agrees(void **state)
{
	sha1_fn *native = sha1_native();

	(void)state;
	if (native == NULL)
		print_message("this CPU has no SHA instructions: portable only\n");
	for (unsigned i = 0; i < RANDOM_ROUNDS; i++) {
		struct sha1_block blocks[BLOCKS_MAX];
		uint8_t theirs[BLOCKS_MAX][20];
		size_t count = i % (BLOCKS_MAX + 1);

		for (unsigned k = 0; k < count; k++)
			make_message((i + k) % 56, &blocks[k], theirs[k]);
		check_sha1(sha1_portable, blocks, count, theirs);
		if (native != NULL)
			check_sha1(native, blocks, count, theirs);
	}
}

/* A batch longer than what is hashed at once, with gaps, gives each flow the name it has alone. */
static void batches(void **state)
{
	enum { FLOWS = 21 };
	struct flow *flows = calloc(FLOWS, sizeof(*flows));
	struct flow *alone = flow_new();
	struct vector v[FLOWS];
	struct why why = { "" };
	void *self;

	(void)state;
	must(flows != NULL);
	memset(v, 0, sizeof(v));
	for (int i = 0; i < FLOWS; i++) {
		v[i] = (struct vector){ .protocol = 6,
					.src = { { (uint8_t)i }, 4 },
					.dst = { { 9 }, 4 },
					.first = i % 5 == 3 ? -1 : i };
		fill(&flows[i], &v[i]);
	}
	assert_int_equal(enrich_community_id_load(NULL, &why, &self), ERR_OK);
	enrich_community_id_run(self, NULL, flows, FLOWS);
	enrich_community_id_free(self);
	for (int i = 0; i < FLOWS; i++) {
		assert_int_equal(flow_has(&flows[i], F_community_id), v[i].first >= 0);
		if (v[i].first < 0)
			continue;
		fill(alone, &v[i]);
		assert_memory_equal(name_of(0, alone), flows[i].slots[F_community_id].octets,
				    COMMUNITY_ID_BYTES);
	}
	free(alone);
	free(flows);
}

/* The specification's words, octet by octet, for protocols whose ports are plain. */
static void expected(const struct vector *v, char out[64])
{
	const uint8_t ports[4] = { (uint8_t)(v->first >> 8), (uint8_t)v->first,
				   (uint8_t)(v->second >> 8), (uint8_t)v->second };
	uint8_t message[40];
	uint8_t digest[20];
	size_t n = v->src.bytes;
	int order = memcmp(v->src.octets, v->dst.octets, n);
	bool is_ordered = order < 0 || (order == 0 && memcmp(ports, ports + 2, 2) < 0);

	message[0] = (uint8_t)(v->seed >> 8);
	message[1] = (uint8_t)v->seed;
	memcpy(message + 2, is_ordered ? v->src.octets : v->dst.octets, n);
	memcpy(message + 2 + n, is_ordered ? v->dst.octets : v->src.octets, n);
	message[2 + 2 * n] = (uint8_t)v->protocol;
	message[3 + 2 * n] = 0;
	memcpy(message + 4 + 2 * n, ports + (is_ordered ? 0 : 2), 2);
	memcpy(message + 6 + 2 * n, ports + (is_ordered ? 2 : 0), 2);
	must(EVP_Digest(message, 8 + 2 * n, digest, NULL, EVP_sha1(), NULL) == 1);
	out[0] = '1';
	out[1] = ':';
	must(EVP_EncodeBlock((unsigned char *)out + 2, digest, 20) == 28);
}

static void random_flows(void **state)
{
	static const unsigned protocols[] = { 6, 17, 132 };
	struct flow *f = flow_new();

	(void)state;
	for (unsigned i = 0; i < RANDOM_ROUNDS; i++) {
		struct vector v = { .seed = (unsigned)random_next() & 0xffff,
				    .protocol = protocols[random_next() % 3],
				    .first = (int)(random_next() & 0xffff),
				    .second = (int)(random_next() & 0xffff) };

		v.src.bytes = v.dst.bytes = i % 2 == 0 ? 4 : 16;
		for (unsigned k = 0; k < v.src.bytes; k++)
			v.src.octets[k] = (uint8_t)random_next();
		/* Ends that differ late, or only in their ports, or not at all. */
		v.dst = v.src;
		if (i % 3 != 0)
			v.dst.octets[random_next() % v.dst.bytes] ^= (uint8_t)random_next();
		if (i % 9 == 0)
			v.second = v.first;
		expected(&v, v.name);
		check_vector(f, &v);
	}
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),	cmocka_unit_test(missing),
		cmocka_unit_test(no_room),	cmocka_unit_test(sha1_agrees),
		cmocka_unit_test(random_flows), cmocka_unit_test(batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
