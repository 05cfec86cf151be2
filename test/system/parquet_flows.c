/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_flows - encoded flows into a Parquet file, without a service, for tests.
 *
 *	parquet_flows SCHEMA flat|nested none|snappy|zstd FILE < RECORDS
 *
 * SCHEMA is a file with the Avro schema that the records were written with; each record has its length before
 * it, four octets, the last one first.  A row group has 100 rows.  Prints how many rows there are; a record that
 * is none is said, and ends it with 1.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "sink/parquet_flow.h"
#include "sink/schema.h"

#define TEXT_MOST (1u << 20)
#define RECORD_MOST (16u << 20)

static int fail(const char *what, const char *why)
{
	(void)fprintf(stderr, "parquet_flows: %s: %s\n", what, why);
	return 1;
}

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, TEXT_MOST + 1);

	must(text != NULL);
	if (f == NULL)
		return text;
	(void)!fread(text, 1, TEXT_MOST, f);
	(void)fclose(f);
	return text;
}

static enum parquet_codec codec_of(const char *name)
{
	if (strcmp(name, "snappy") == 0)
		return PARQUET_SNAPPY;
	return strcmp(name, "zstd") == 0 ? PARQUET_ZSTD : PARQUET_UNCOMPRESSED;
}

static struct parquet_flow *open_flow(const char *schema_path, const char *layout, struct why *why)
{
	char *text = read_text(schema_path);
	struct field_set *fields = NULL;
	struct parquet_flow *f = NULL;

	if (schema_fields_new(text, why, &fields) == ERR_OK)
		(void)parquet_flow_new(
			fields, strcmp(layout, "nested") == 0 ? PARQUET_NESTED : PARQUET_FLAT, why,
			&f);
	schema_fields_free(fields);
	free(text);
	return f;
}

/* Up to the end of the input, or to a record that is none. */
static enum err copy_records(struct parquet_flow *f, struct parquet *p)
{
	uint8_t *record = malloc(RECORD_MOST);
	enum err e = ERR_OK;
	uint32_t bytes;

	must(record != NULL);
	while (e == ERR_OK && fread(&bytes, sizeof(bytes), 1, stdin) == 1) {
		bytes = le32toh(bytes);
		must(bytes <= RECORD_MOST);
		must(fread(record, 1, bytes, stdin) == bytes);
		e = parquet_flow_add(f, p, record, bytes);
	}
	free(record);
	return e;
}

int main(int argc, char **argv)
{
	struct parquet_conf conf = { .group_rows = 100 };
	struct file_out out = { .fd = -1 };
	struct why why = { "" };
	struct parquet_flow *f;
	struct parquet *p;
	enum err e;

	if (argc != 5)
		return fail("usage",
			    "parquet_flows SCHEMA flat|nested none|snappy|zstd FILE < RECORDS");
	f = open_flow(argv[1], argv[2], &why);
	if (f == NULL)
		return fail(argv[1], why.text);
	conf.codec = codec_of(argv[3]);
	out.fd = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out.fd < 0)
		return fail(argv[4], "cannot be written");
	must(parquet_new(parquet_flow_schema(f), &conf, &p) == ERR_OK);
	must(parquet_open(p, &out) == ERR_OK);
	e = copy_records(f, p);
	if (e == ERR_OK)
		e = parquet_finish(p, NULL, 0);
	printf("%llu\n", (unsigned long long)parquet_rows(p));
	parquet_free(p);
	parquet_flow_free(f);
	(void)close(out.fd);
	return e == ERR_OK ? 0 : fail("a record", err_text(e));
}
