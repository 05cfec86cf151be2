/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_conf.h"

#include <stddef.h>
#include <string.h>

static const struct conf_word formats[] = {
	{ "avro", FORMAT_AVRO },
	{ "json", FORMAT_JSON },
	{ NULL, 0 },
};

static const struct conf_word codecs[] = {
	{ "null", CODEC_NULL },	      { "snappy", CODEC_SNAPPY }, { "zstandard", CODEC_ZSTANDARD },
	{ "deflate", CODEC_DEFLATE }, { "none", CODEC_NULL },	  { NULL, 0 },
};

#define AT(member) offsetof(struct file_options, member)
const struct conf_opt file_conf_options[] = {
	FILE_COMMON_PATH(struct file_options, NULL),
	CONF_ENUM_ROW("format", struct file_options, format, CONF_RESTART, formats, "avro",
		      "Avro object container files, or JSON lines."),
	CONF_ENUM_ROW(
		"codec", struct file_options, codec, CONF_RESTART, codecs, "deflate",
		"Compression: null, snappy (Avro only), zstandard, deflate (JSON lines: gzip)."),
	{ .key = "level",
	  .type = CONF_U32,
	  .reload = CONF_RESTART,
	  .at = AT(level),
	  .min = 0,
	  .max = 22,
	  .preset = "0",
	  .doc = "Level of the codec, deflate up to 9, zstandard up to 22; 0 is a fast one." },
	FILE_COMMON_ROTATE(struct file_options, "60", "128M",
			   "Octets of records, before compression, after which the open files are "
			   "completed; the log holds them so long.",
			   "0"),
	{ .key = "block_bytes",
	  .type = CONF_SIZE,
	  .reload = CONF_RESTART,
	  .at = AT(block_bytes),
	  .min = 4096,
	  .max = 16 << 20,
	  .preset = "256K",
	  .doc = "Octets of records that are compressed together." },
	FILE_COMMON_ROWS(struct file_options),
	{ 0 },
};

const char *file_conf_suffix(enum file_kind format, enum file_codec_kind kind)
{
	if (format == FORMAT_AVRO)
		return ".avro";
	return kind == CODEC_ZSTANDARD ? ".jsonl.zst" : kind == CODEC_GZIP ? ".jsonl.gz" : ".jsonl";
}

const char *file_conf_codec_name(enum file_codec_kind kind)
{
	for (const struct conf_word *w = codecs; w->name != NULL; w++) {
		if (w->value == (int)kind)
			return w->name;
	}
	return "null";
}

/* Of an Avro file, and of a line. */
static bool is_column(const void *ctx, const char *name)
{
	static const char *const columns[] = { "record_id", "normalized", "enriched", "raw" };

	(void)ctx;
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		if (strcmp(columns[i], name) == 0)
			return true;
	}
	return false;
}

static enum err check_pattern(const struct file_options *o, struct why *why)
{
	struct file_path *p;
	enum err e;

	TRY(file_path_new(file_common_pattern(&o->common), why, &p));
	e = file_path_check_names(p, is_column, NULL, why);
	file_path_free(p);
	return e;
}

enum err file_conf_check(const struct file_options *o, struct why *why)
{
	if (o->format == FORMAT_JSON && o->codec == CODEC_SNAPPY)
		return why_set(why, ERR_CONF,
			       "codec: snappy is for Avro files; JSON lines take "
			       "deflate, zstandard or null");
	if ((o->codec == CODEC_DEFLATE || o->codec == CODEC_ZSTANDARD) &&
	    (int)o->level > file_codec_level_max((enum file_codec_kind)o->codec))
		return why_set(why, ERR_CONF, "level: %u is above the codec's %d", o->level,
			       file_codec_level_max((enum file_codec_kind)o->codec));
	return check_pattern(o, why);
}

enum file_codec_kind file_conf_codec(const struct file_options *o)
{
	if (o->format == FORMAT_JSON && o->codec == CODEC_DEFLATE)
		return CODEC_GZIP;
	return (enum file_codec_kind)o->codec;
}
