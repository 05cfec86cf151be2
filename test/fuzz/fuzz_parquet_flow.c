/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no octets crash who turns records into rows, and what is taken as a record is one to others too.
 * Method: the first octet says layout, codec, whether the row group ends after each row and whether records are read
 * side by side; then come records, each with its length before it.  What is taken goes through the writer into a file in memory.  One input in
 * eight is read with allocations that fail.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "sink/avro.h"
#include "sink/parquet_flow.h"
#include "test/fuzz/alloc.h"

#define IS_NESTED 1
#define CODEC_SHIFT 1 /* two bits */
#define IS_PLAIN 8
#define ROWS_ALONE 16
#define IS_TOGETHER 32
#define JSON_MOST (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

static struct field_set fields;
static int fd = -1;

/* An added field of each type. */
static void add_fields(void)
{
	static const char *const names[FIELD_TYPE_COUNT] = { "added_a", "added_b", "added_c", "added_d",
							     "added_e", "added_f", "added_g", "added_h",
							     "added_i", "added_j", "added_k" };

	field_set_init(&fields);
	for (unsigned i = 0; i < FIELD_TYPE_COUNT; i++)
		fields.fields[FIELD_EXTRA_FIRST + i] =
			(struct field){ names[i], LAYER_normalized, (enum field_type)i, false, "", "" };
	fields.extra_count = FIELD_TYPE_COUNT;
}

static void start(void)
{
	if (fd >= 0)
		return;
	alloc_pause();
	add_fields();
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(fd >= 0);
	alloc_resume();
}

static bool is_record(const uint8_t *octets, size_t bytes)
{
	struct json j;
	enum err e;

	alloc_pause();
	json_init(&j, JSON_MOST);
	e = avro_to_json(&fields, octets, bytes, true, &j);
	json_fini(&j);
	alloc_resume();
	return e == ERR_OK || e == ERR_NOMEM;
}

/* ERR_OK when the writer goes on. */
static enum err add(struct parquet_flow *f, struct parquet *p, const uint8_t *octets, size_t bytes)
{
	uint8_t *copy;
	enum err e;

	alloc_pause();
	copy = malloc(bytes == 0 ? 1 : bytes); /* its end is seen */
	must(copy != NULL);
	alloc_resume();
	memcpy(copy, octets, bytes);
	e = parquet_flow_add(f, p, copy, bytes);
	if (e == ERR_OK)
		must(is_record(copy, bytes));
	free(copy);
	return e == ERR_FORMAT ? ERR_OK : e;
}

/* What becomes of it is known later. */
static enum err put(struct parquet_flow *f, struct parquet *p, const uint8_t *octets, size_t bytes)
{
	struct parquet_settled settled;
	uint8_t *copy;
	enum err e;

	alloc_pause();
	copy = malloc(bytes == 0 ? 1 : bytes);
	must(copy != NULL);
	alloc_resume();
	memcpy(copy, octets, bytes);
	e = parquet_flow_put(f, p, copy, bytes, &settled);
	free(copy);
	return e;
}

static enum err write_file(struct parquet_flow *f, struct parquet *p, const uint8_t *octets, size_t bytes)
{
	bool is_together = (octets[0] & IS_TOGETHER) != 0;
	struct file_out out = { .fd = fd };
	struct parquet_settled settled;
	size_t at = 1;

	must(ftruncate(fd, 0) == 0);
	must(lseek(fd, 0, SEEK_SET) == 0);
	TRY(parquet_open(p, &out));
	while (bytes - at >= 2) {
		size_t n = (size_t)octets[at] << 8 | octets[at + 1];

		at += 2;
		n = n < bytes - at ? n : bytes - at;
		TRY(is_together ? put(f, p, octets + at, n) : add(f, p, octets + at, n));
		at += n;
	}
	TRY(parquet_flow_settle(f, p, &settled));
	return parquet_finish(p, NULL, 0);
}

static void once(const uint8_t *octets, size_t bytes)
{
	static const enum parquet_codec codecs[] = { PARQUET_UNCOMPRESSED, PARQUET_SNAPPY, PARQUET_ZSTD, PARQUET_SNAPPY };
	uint8_t how = octets[0];
	const struct parquet_conf conf = { .codec = codecs[how >> CODEC_SHIFT & 3],
					   .fallback = (how & IS_PLAIN) != 0 ? PARQUET_PLAIN : PARQUET_DELTA,
					   .page_rows = 7,
					   .group_rows = (how & ROWS_ALONE) != 0 ? 1 : 0 };
	enum parquet_layout layout = (how & IS_NESTED) != 0 ? PARQUET_NESTED : PARQUET_FLAT;
	struct parquet_flow *f = NULL;
	struct parquet *p = NULL;
	enum err e = parquet_flow_new(&fields, layout, NULL, &f);

	if (e == ERR_OK)
		e = parquet_new(parquet_flow_schema(f), &conf, &p);
	if (e == ERR_OK)
		e = write_file(f, p, octets, bytes);
	must(e == ERR_OK || (e == ERR_NOMEM && alloc_failures() > 0));
	parquet_free(p);
	parquet_flow_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	start();
	if (bytes == 0)
		return 0;
	alloc_turns(once, octets, bytes);
	return 0;
}
