/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_conf.h - what an entry of `sinks` of type file may say.
 *
 * Owner: the configuration.
 */
#ifndef SINK_FILE_CONF_H
#define SINK_FILE_CONF_H

#include "sink/file_common.h"
#include "sink/file_writer.h"

struct file_options {
	struct file_common common;
	int format;
	int codec;
	uint32_t level;
	uint64_t block_bytes;
};

extern const struct conf_opt file_conf_options[];

/* What no single option can know. */
enum err file_conf_check(const struct file_options *o, struct why *why);
/* The codec in the form that the format wants it. */
enum file_codec_kind file_conf_codec(const struct file_options *o);
const char *file_conf_codec_name(enum file_codec_kind kind);
const char *file_conf_suffix(enum file_kind format, enum file_codec_kind kind);

#endif
