/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_parts.h"

#include <stdio.h>

#define RANGE_BYTES 64

void file_parts_text(const struct file_part *parts, const struct sink_env *env,
		     char out[FILE_LSN_TEXT_BYTES])
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < env->reader_count && n + RANGE_BYTES < FILE_LSN_TEXT_BYTES; i++) {
		const struct log_reader *r = env->readers[i];
		uint64_t first = log_reader_done_lsn(r);

		if (parts[i].end > first)
			n += (size_t)snprintf(out + n, FILE_LSN_TEXT_BYTES - n, "%s%u:%llu-%llu",
					      n == 0 ? "" : ",", log_worker(log_reader_log(r)),
					      (unsigned long long)first,
					      (unsigned long long)parts[i].end);
	}
}

enum err file_parts_add(const struct file_part *parts, const struct sink_env *env,
			struct file_rotate *rotate)
{
	for (size_t i = 0; i < env->reader_count; i++) {
		struct log_reader *r = env->readers[i];
		const struct file_part *part = &parts[i];
		struct file_manifest_log log = {
			.worker = log_worker(log_reader_log(r)),
			.first = log_reader_done_lsn(r),
			.end = part->end,
			.delivered = part->records + part->passed,
			.octets = part->octets,
			.corrupt = part->corrupt,
			.not_routed = part->not_routed,
		};

		if (log.end <= log.first)
			continue;
		log_reader_gaps(r, log.end, log.lost);
		TRY(file_rotate_add_log(rotate, &log));
	}
	return ERR_OK;
}

void file_parts_count(const struct file_part *parts, const struct sink_env *env)
{
	for (size_t i = 0; i < env->reader_count; i++) {
		stat_add(env->stat, SINK_STAT_DELIVERED, parts[i].records + parts[i].passed);
		stat_add(env->stat, SINK_STAT_DELIVERED_OCTETS, parts[i].octets);
		stat_add(env->stat, SINK_STAT_CORRUPT, parts[i].corrupt);
		stat_add(env->stat, SINK_STAT_NOT_ROUTED, parts[i].not_routed);
	}
}

void file_parts_begin(const struct sink_env *env)
{
	for (size_t i = 0; i < env->reader_count; i++)
		log_reader_wait_durable(env->readers[i]);
}

void file_parts_sealed(const struct sink_env *env, uint64_t *lsns)
{
	for (size_t i = 0; i < env->reader_count; i++)
		lsns[i] = log_reader_sealed_lsn(env->readers[i]);
}

bool file_parts_read(const struct sink_env *env, const uint64_t *lsns)
{
	for (size_t i = 0; i < env->reader_count; i++) {
		if (log_reader_next_lsn(env->readers[i]) < lsns[i])
			return false;
	}
	return true;
}
