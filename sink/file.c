/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file.h"

#include "sink/file_conf.h"
#include "sink/file_engine.h"

static enum err file_check(const void *conf, struct why *why)
{
	return file_conf_check(conf, why);
}

static enum err file_open(const void *conf, const struct sink_env *env, struct why *why, void **out)
{
	const struct file_options *o = conf;
	struct file_engine_conf engine = file_common_engine(&o->common);
	enum file_codec_kind codec = file_conf_codec(o);
	enum file_kind format = (enum file_kind)o->format;
	struct file_writer_shared *shared;

	TRY(file_check(o, why));
	if (file_writer_shared_new(env->hub, format, codec, (int)o->level, (size_t)o->block_bytes,
				   &shared) != ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory");
	engine.suffix = file_conf_suffix(format, codec);
	engine.format = file_writer_format(format);
	engine.shared = shared;
	engine.least_bytes = o->block_bytes;
	return file_engine_open(&engine, env, why, out);
}

const struct sink_ops sink_file = {
	.type = "file",
	.options = file_conf_options,
	.conf_bytes = sizeof(struct file_options),
	.check = file_check,
	.open = file_open,
	.start = file_engine_start,
	.poll = file_engine_poll,
	.finish = file_engine_finish,
	.status = file_engine_status,
	.close = file_engine_close,
};
