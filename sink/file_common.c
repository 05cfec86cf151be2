/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_common.h"

const char *file_common_pattern(const struct file_common *o)
{
	return o->pattern == NULL ? "" : o->pattern;
}

struct file_engine_conf file_common_engine(const struct file_common *o)
{
	return (struct file_engine_conf){
		.path = o->path,
		.pattern = file_common_pattern(o),
		.rotate_ms = (int64_t)o->rotate_s * 1000,
		.rotate_bytes = o->rotate_bytes,
		.rotate_records = o->rotate_records,
		.max_open = o->max_open,
		.memory_bytes = (size_t)o->memory_bytes,
		.is_lazy = !o->fsync,
		.retain = { .max_bytes = o->max_bytes,
			    .max_age_ms = (int64_t)o->max_age_s * 1000,
			    .min_free = o->min_free },
	};
}
