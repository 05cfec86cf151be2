/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no sequence of calls makes the Parquet writer crash, lose account of its memory, or write a file whose
 * footer and pages contradict each other.
 * Method: the input's octets choose options, columns and calls.  What was written is walked by a reader of our
 * own: from the footer to each page, whose lengths, checksums and counts have to add up, and whose compressed
 * octets have to open.  One input in eight is run again with allocations that fail, after which the same object
 * has to write a good file.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "base/must.h"
#include "sink/parquet.h"
#include "test/fuzz/alloc.h"

#define PLAIN_MOST (64u << 20)
#define GROUPS_MOST 100000
#define WORK_MOST (1u << 20)
#define WORK_ROW 100 /* as many octets' worth */
#define WORK_GROUP 5000
#define TRAIL 16 /* structures within each other */

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

static const struct parquet_node nodes[] = {
	{ "schema", .children = 10 },
	{ "id", PARQUET_REQUIRED, 0, PARQUET_BYTES },
	{ "b", PARQUET_OPTIONAL, 0, PARQUET_BOOLEAN },
	{ "i", PARQUET_OPTIONAL, 0, PARQUET_INT32, PARQUET_DATE },
	{ "l", PARQUET_OPTIONAL, 0, PARQUET_INT64, PARQUET_MS },
	{ "d", PARQUET_OPTIONAL, 0, PARQUET_DOUBLE },
	{ "s", PARQUET_OPTIONAL, 0, PARQUET_BYTES, PARQUET_STRING },
	{ "g", PARQUET_OPTIONAL, 2 },
	{ "x", PARQUET_REQUIRED, 0, PARQUET_INT64 },
	{ "y", PARQUET_OPTIONAL, 0, PARQUET_BYTES },
	{ "list", PARQUET_OPTIONAL, 1, 0, PARQUET_LIST },
	{ "list", PARQUET_REPEATED, 1 },
	{ "element", PARQUET_OPTIONAL, 0, PARQUET_INT64 },
	{ "map", PARQUET_OPTIONAL, 1, 0, PARQUET_MAP },
	{ "key_value", PARQUET_REPEATED, 2 },
	{ "key", PARQUET_REQUIRED, 0, PARQUET_BYTES, PARQUET_STRING },
	{ "value", PARQUET_REPEATED, 0, PARQUET_BYTES },
	{ "r", PARQUET_REQUIRED, 0, PARQUET_INT32 },
};
static const enum parquet_type types[] = { PARQUET_BYTES, PARQUET_BOOLEAN, PARQUET_INT32,
					   PARQUET_INT64, PARQUET_DOUBLE,  PARQUET_BYTES,
					   PARQUET_INT64, PARQUET_BYTES,   PARQUET_INT64,
					   PARQUET_BYTES, PARQUET_BYTES,   PARQUET_INT32 };
#define LEAVES (sizeof(types) / sizeof(types[0]))

/* The input. */

struct input {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t state; /* numbers that are not in the input, but follow from it */
	uint64_t work;	/* octets and rows so far, so that an input takes no minute */
};

static unsigned take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint64_t follow(struct input *in)
{
	in->state = in->state * 6364136223846793005u + 1442695040888963407u;
	return in->state >> 20;
}

/* A reader. */

struct reader {
	const uint8_t *at;
	const uint8_t *end;
};

static uint64_t get_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t octet;

		must(r->at < r->end);
		octet = *r->at++;
		v |= (uint64_t)(octet & 0x7f) << shift;
		if (octet < 0x80)
			return v;
	}
	must(false);
	return 0;
}

static int64_t get_i64(struct reader *r)
{
	uint64_t v = get_varint(r);

	return (int64_t)(v >> 1 ^ -(v & 1));
}

/* The next field's id, or 0 at the end; *last is the one before. */
static int next_field(struct reader *r, int *last, unsigned *type)
{
	uint8_t head;

	must(r->at < r->end);
	head = *r->at++;
	if (head == 0)
		return 0;
	*type = head & 15;
	*last = head >> 4 == 0 ? (int)get_i64(r) : *last + (head >> 4);
	return *last;
}

static size_t get_list(struct reader *r, unsigned *type)
{
	uint8_t head;

	must(r->at < r->end);
	head = *r->at++;
	*type = head & 15;
	return head >> 4 == 15 ? get_varint(r) : head >> 4;
}

static void skip(struct reader *r, unsigned type, unsigned depth)
{
	unsigned inner;
	int last = 0;
	size_t n;

	must(depth < TRAIL);
	switch (type) {
	case 1:
	case 2:
		return;
	case 4:
	case 5:
	case 6:
		(void)get_varint(r);
		return;
	case 8:
		n = get_varint(r);
		must(n <= (size_t)(r->end - r->at));
		r->at += n;
		return;
	case 9:
		n = get_list(r, &inner);
		while (n-- > 0)
			skip(r, inner, depth + 1);
		return;
	case 12:
		while (next_field(r, &last, &inner) != 0)
			skip(r, inner, depth + 1);
		return;
	default:
		must(false);
	}
}

/* Integers of a structure by their field's id; what is within structures and lists is passed over. */
static void get_numbers(struct reader *r, int64_t *numbers, int most, int inner_of, int64_t *inner)
{
	unsigned type;
	int last = 0;

	while (next_field(r, &last, &type) != 0) {
		if (last < most && (type == 4 || type == 5 || type == 6))
			numbers[last] = get_i64(r);
		else if (last == inner_of && type == 12)
			get_numbers(r, inner, 16, 0, NULL);
		else
			skip(r, type, 0);
	}
}

static const uint8_t *file;
static uint64_t file_bytes;

static void check_plain(unsigned codec, const uint8_t *at, size_t bytes, size_t plain_bytes)
{
	char *plain;

	must(plain_bytes <= PLAIN_MOST);
	if (codec == 0) {
		must(bytes == plain_bytes);
		return;
	}
	plain = malloc(plain_bytes + 1);
	must(plain != NULL);
	if (codec == 1) {
		size_t room = plain_bytes;

		must(snappy_uncompress((const char *)at, bytes, plain, &room) == SNAPPY_OK);
		must(room == plain_bytes);
	} else {
		must(ZSTD_decompress(plain, plain_bytes, at, bytes) == plain_bytes);
	}
	free(plain);
}

/* Pages of a chunk: 1 type, 2 plain size, 3 packed size, 4 crc, 5 or 7 its header: 1 values. */
static void check_pages(const int64_t *meta, bool has_dict)
{
	uint64_t from = (uint64_t)(has_dict ? meta[11] : meta[9]);
	struct reader r;
	int64_t values = 0;
	int64_t plain = 0;

	must(from >= 4 && from + (uint64_t)meta[7] <= file_bytes);
	r.at = file + from;
	r.end = r.at + meta[7];
	while (r.at < r.end) {
		const uint8_t *start = r.at;
		int64_t head[8] = { 0 };
		int64_t inner[16] = { 0 };

		must(!has_dict || r.at != file + meta[9] || values == 0);
		get_numbers(&r, head, 8, *start == 0x15 && start[1] == 4 ? 7 : 5, inner);
		must(head[3] >= 0 && head[3] <= r.end - r.at);
		must((uint32_t)head[4] == crc32(0, r.at, (uInt)head[3]));
		check_plain((unsigned)meta[4], r.at, (size_t)head[3], (size_t)head[2]);
		plain += head[2] + (r.at - start);
		r.at += head[3];
		must((head[1] == 2) == (has_dict && start == file + meta[11]));
		if (head[1] == 0)
			values += inner[1];
	}
	must(values == meta[5]);
	must(plain == meta[6]);
}

static void check_chunk(struct reader *r)
{
	int64_t meta[16] = { 0 };
	int64_t unused[4] = { 0 };

	get_numbers(r, unused, 4, 3, meta);
	check_pages(meta, meta[11] > 0);
}

static int64_t check_group(struct reader *r)
{
	unsigned type;
	int last = 0;
	int64_t rows = 0;
	size_t n;

	while (next_field(r, &last, &type) != 0) {
		if (last == 1) {
			n = get_list(r, &type);
			must(n == LEAVES && type == 12);
			while (n-- > 0)
				check_chunk(r);
		} else if (last == 3) {
			rows = get_i64(r);
		} else {
			skip(r, type, 0);
		}
	}
	must(rows > 0);
	return rows;
}

static void check_footer(uint64_t rows)
{
	uint32_t bytes;
	struct reader r;
	unsigned type;
	int last = 0;
	int64_t sum = 0;
	size_t n;

	must(file_bytes >= 12 && memcmp(file, "PAR1", 4) == 0);
	must(memcmp(file + file_bytes - 4, "PAR1", 4) == 0);
	memcpy(&bytes, file + file_bytes - 8, sizeof(bytes));
	must(bytes <= file_bytes - 12);
	r.end = file + file_bytes - 8;
	r.at = r.end - bytes;
	while (next_field(&r, &last, &type) != 0) {
		if (last == 3) {
			must((uint64_t)get_i64(&r) == rows);
		} else if (last == 4) {
			n = get_list(&r, &type);
			must(n <= GROUPS_MOST);
			while (n-- > 0)
				sum += check_group(&r);
		} else {
			skip(&r, type, 0);
		}
	}
	must(r.at == r.end);
	must((uint64_t)sum == rows);
}

static void check_file(const struct file_out *out, uint64_t rows)
{
	file = mmap(NULL, out->bytes, PROT_READ, MAP_PRIVATE, out->fd, 0);
	must(file != MAP_FAILED);
	file_bytes = out->bytes;
	alloc_pause();
	check_footer(rows);
	alloc_resume();
	must(munmap((void *)file, out->bytes) == 0);
}

/* The calls. */

static uint8_t text[300000];

static size_t draw_octets(struct input *in, unsigned how)
{
	size_t bytes = how & 31;

	if ((how & 0xe0) == 0xe0)
		bytes = follow(in) % (how == 0xff ? sizeof(text) : 400);
	in->work += bytes;
	for (size_t i = 0; i < bytes && i < 24; i++)
		text[i] = (how & 0x20) != 0 ? (uint8_t)follow(in) : (uint8_t)how;
	return bytes;
}

static void put(struct input *in, struct parquet *p, unsigned leaf, unsigned rep, unsigned def)
{
	unsigned how = take(in);
	uint64_t v = (how & 0x80) != 0 ? follow(in) << 20 ^ follow(in) : how;
	double f64;

	if (types[leaf] == PARQUET_BYTES) {
		parquet_put_octets_at(p, leaf, rep, def, text, draw_octets(in, how));
	} else if (types[leaf] == PARQUET_DOUBLE) {
		memcpy(&f64, &v, sizeof(f64));
		parquet_put_f64_at(p, leaf, rep, def, f64);
	} else if (rep == 0) {
		parquet_put_i64(p, leaf, (int64_t)v);
	} else {
		parquet_put_i64_at(p, leaf, rep, def, (int64_t)v);
	}
}

static void put_leaf(struct input *in, const struct parquet_schema *s, struct parquet *p,
		     unsigned leaf)
{
	unsigned max_rep = parquet_schema_max_rep(s, leaf);
	unsigned max_def = parquet_schema_max_def(s, leaf);
	unsigned count = max_rep == 0 ? 1 : 1 + take(in) % 8;

	for (unsigned i = 0; i < count; i++) {
		unsigned rep = i == 0 ? 0 : 1 + (unsigned)follow(in) % max_rep;
		unsigned def = max_def == 0 ? 0 : (unsigned)follow(in) % (2 * max_def);

		if (def >= max_def)
			put(in, p, leaf, rep, max_def);
		else
			parquet_put_null_at(p, leaf, rep, def);
	}
}

static enum err put_row(struct input *in, const struct parquet_schema *s, struct parquet *p,
			uint64_t group_rows)
{
	unsigned which = take(in);

	which |= take(in) << 8;
	in->work += WORK_ROW + WORK_GROUP / group_rows;

	for (unsigned leaf = 0; leaf < LEAVES; leaf++) {
		if (parquet_schema_max_def(s, leaf) == 0)
			put(in, p, leaf, 0, 0);
		else if ((which >> leaf & 1) != 0)
			put_leaf(in, s, p, leaf);
	}
	return parquet_row(p);
}

static enum err write_file(struct input *in, const struct parquet_schema *s, struct parquet *p,
			   struct file_out *out, uint64_t group_rows, uint64_t *rows)
{
	static const struct parquet_meta meta[] = { { "key", "value" } };

	TRY(parquet_open(p, out));
	while (in->at < in->end) {
		unsigned op = take(in);
		/* The same octets again, so that a short input fills pages and dictionaries. */
		unsigned times = op < 0xc0 ? 1 : op < 0xf0 ? op - 0xbe : (op & 15) * 170;
		const uint8_t *from = in->at;

		if (op == 0xbf) {
			TRY(parquet_flush(p));
			continue;
		}
		if (op == 0xbe)
			break;
		for (unsigned i = 0; i < times && in->work < WORK_MOST; i++) {
			in->at = from;
			TRY(put_row(in, s, p, group_rows));
			++*rows;
		}
	}
	must(parquet_rows(p) == *rows);
	return parquet_finish(p, meta, 1);
}

static struct parquet_conf draw_conf(struct input *in)
{
	static const size_t page_bytes[] = { 0, 1, 100, 5000 };
	static const uint32_t page_rows[] = { 0, 1, 50, 5000 };
	static const uint64_t group_rows[] = { 0, 1, 70, 6000 };
	static const uint64_t group_bytes[] = { 0, 1, 10000, 1000000 };
	struct parquet_conf conf = { 0 };
	unsigned a = take(in);
	unsigned b = take(in);

	conf.codec = (enum parquet_codec)(a % 3);
	conf.fallback = (a & 4) != 0 ? PARQUET_PLAIN : PARQUET_DELTA;
	conf.page_bytes = page_bytes[a >> 3 & 3];
	conf.page_rows = page_rows[b & 3];
	conf.group_rows = group_rows[b >> 2 & 3];
	conf.group_bytes = group_bytes[b >> 4 & 3];
	return conf;
}

static void restart(struct file_out *out)
{
	must(ftruncate(out->fd, 0) == 0);
	must(lseek(out->fd, 0, SEEK_SET) == 0);
	out->bytes = 0;
	out->started_bytes = 0;
}

static void once(const uint8_t *octets, size_t bytes)
{
	struct input in = { octets, octets + bytes, bytes, 0 };
	struct parquet_conf conf = draw_conf(&in);
	struct file_out out = { .fd = memfd_create("fuzz", MFD_CLOEXEC) };
	struct parquet_schema *s = NULL;
	struct parquet *p = NULL;

	must(out.fd >= 0);
	if (parquet_schema_new(nodes, sizeof(nodes) / sizeof(nodes[0]), NULL, &s) != ERR_OK ||
	    parquet_new(s, &conf, &p) != ERR_OK) {
		must(alloc_failures() > 0);
		in.at = in.end;
	}
	must(p == NULL || parquet_schema_leaves(s) == LEAVES);
	for (unsigned i = 0;
	     p != NULL && (i == 0 || (in.at < in.end && in.work < WORK_MOST)) && i < 3; i++) {
		uint64_t rows = 0;
		enum err e = write_file(&in, s, p, &out,
					conf.group_bytes == 1  ? 200
					: conf.group_rows == 0 ? 6000
							       : conf.group_rows,
					&rows);

		if (e == ERR_OK)
			check_file(&out, rows);
		else
			must(e == ERR_NOMEM && alloc_failures() > 0);
		parquet_reset(p);
		restart(&out);
	}
	parquet_free(p);
	parquet_schema_free(s);
	must(close(out.fd) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	if (bytes <= 4096)
		alloc_turns(once, octets, bytes);
	return 0;
}
