/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_sink.h"

#include "sink/parquet_file.h"

#define LEAST_BYTES (256u << 10) /* of records, of files that have to be smaller */

static const struct conf_word layouts[] = { { "flat", PARQUET_FLAT },
					    { "nested", PARQUET_NESTED },
					    { NULL, 0 } };
static const struct conf_word codecs[] = { { "snappy", PARQUET_SNAPPY },
					   { "zstd", PARQUET_ZSTD },
					   { "none", PARQUET_UNCOMPRESSED },
					   { NULL, 0 } };
static const struct conf_word encodings[] = { { "delta", PARQUET_DELTA },
					      { "plain", PARQUET_PLAIN },
					      { NULL, 0 } };

#define AT(member) offsetof(struct parquet_options, member)
static const struct conf_opt options[] = {
	FILE_COMMON_PATH(struct parquet_options, "%{event_type}/date=%Y-%m-%d/hour=%H/"),
	CONF_ENUM_ROW("layout", struct parquet_options, layout, CONF_RESTART, layouts, "flat",
		      "flat: fields are columns; nested: the shape of the Avro records."),
	CONF_ENUM_ROW("codec", struct parquet_options, codec, CONF_RESTART, codecs, "snappy",
		      "Compression of pages: snappy, zstd or none."),
	{ .key = "level",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(level),
	  .min = 0,
	  .max = 22,
	  .preset = "0",
	  .doc = "Level of zstd; 0 is a fast one." },
	CONF_ENUM_ROW("encoding", struct parquet_options, encoding, CONF_RESTART, encodings,
		      "delta",
		      "Of values for which a dictionary does not pay: delta, or plain for readers "
		      "that know nothing else."),
	{ .key = "row_group_records",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(row_group_records),
	  .min = 1,
	  .max = 1 << 30,
	  .preset = "131072",
	  .doc = "Records of a row group at most." },
	{ .key = "row_group_bytes",
	  .type = CONF_SIZE,
	  .reload = CONF_RESTART,
	  .at = AT(row_group_bytes),
	  .min = 64 << 10,
	  .max = 1 << 30,
	  .preset = "32M",
	  .doc = "Memory of a row group at most." },
	{ .key = "page_bytes",
	  .type = CONF_SIZE,
	  .reload = CONF_RESTART,
	  .at = AT(page_bytes),
	  .min = 4096,
	  .max = 64 << 20,
	  .preset = "1M",
	  .doc = "Octets of values in a page, before compression." },
	FILE_COMMON_ROTATE(struct parquet_options, "300", "128M",
			   "Octets written to the open files after which they are completed.",
			   "1000000"),
	FILE_COMMON_ROWS(struct parquet_options),
	{ 0 },
};

static bool is_column(const void *flow, const char *name)
{
	return parquet_flow_has_column(flow, name);
}

static enum err check_names(const struct parquet_options *o, const struct field_set *fields,
			    struct why *why)
{
	struct parquet_flow *flow = NULL;
	struct file_path *path = NULL;
	enum err e = parquet_flow_new(fields, (enum parquet_layout)o->layout, why, &flow);

	if (e == ERR_OK)
		e = file_path_new(file_common_pattern(&o->common), why, &path);
	if (e == ERR_OK)
		e = file_path_check_names(path, is_column, flow, why);
	file_path_free(path);
	parquet_flow_free(flow);
	return e;
}

/* Fields that mapping files add are known when it opens. */
static enum err parquet_check(const void *conf, struct why *why)
{
	const struct parquet_options *o = conf;
	struct field_set fields;

	if (o->level > 0 && o->codec != PARQUET_ZSTD)
		return why_set(why, ERR_CONF, "level: it is for codec zstd only");
	field_set_init(&fields);
	return check_names(o, &fields, why);
}

static enum err open_sink(const void *conf, const struct sink_env *env, struct why *why, void **out)
{
	const struct parquet_options *o = conf;
	struct file_engine_conf engine = file_common_engine(&o->common);
	const struct parquet_conf parquet = {
		.codec = (enum parquet_codec)o->codec,
		.level = (int)o->level,
		.fallback = (enum parquet_fallback)o->encoding,
		.page_bytes = (size_t)o->page_bytes,
		.group_rows = o->row_group_records,
		.group_bytes = o->row_group_bytes,
	};
	struct parquet_shared *shared;

	TRY(parquet_check(o, why));
	TRY(check_names(o, env->fields, why));
	if (parquet_file_shared_new(env->hub, &parquet, (enum parquet_layout)o->layout, &shared) !=
	    ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory");
	engine.suffix = ".parquet";
	engine.format = parquet_file_format();
	engine.shared = shared;
	engine.is_written = true;
	engine.least_bytes = LEAST_BYTES;
	return file_engine_open(&engine, env, why, out);
}

const struct sink_ops sink_parquet = {
	.type = "parquet",
	.options = options,
	.conf_bytes = sizeof(struct parquet_options),
	.check = parquet_check,
	.open = open_sink,
	.start = file_engine_start,
	.poll = file_engine_poll,
	.finish = file_engine_finish,
	.status = file_engine_status,
	.close = file_engine_close,
};
