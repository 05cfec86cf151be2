/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/rd.h"
#include "base/wr.h"

#define MAGIC 0x534c4d46u /* "SLMF" */
#define FLAG_DURABLE 1u
#define HEAD_BYTES (16 + LOG_ID_BYTES)
#define LOG_BYTES (52 + 8 * LOG_LOSS_COUNT)
#define FILE_BYTES 28 /* and its names */
#define VERSION_LATE 2
#define CRC_BYTES 4

void file_manifest_init(struct file_manifest *m)
{
	memset(m, 0, sizeof(*m));
}

void file_manifest_fini(struct file_manifest *m)
{
	free(m->logs);
	free(m->files);
	file_manifest_init(m);
}

enum err file_manifest_add_log(struct file_manifest *m, const struct file_manifest_log *log)
{
	struct file_manifest_log *more;

	if (m->log_count == FILE_MANIFEST_LOGS_MAX)
		return ERR_LIMIT;
	more = realloc(m->logs, (m->log_count + 1) * sizeof(*more));
	if (more == NULL)
		return ERR_NOMEM;
	m->logs = more;
	m->logs[m->log_count++] = *log;
	return ERR_OK;
}

static enum err add_file(struct file_manifest *m, const void *tmp, size_t tmp_bytes,
			 const void *name, size_t name_bytes, struct file_manifest_file **out)
{
	struct file_manifest_file *more;

	if (m->file_count == FILE_MANIFEST_FILES_MAX || tmp_bytes >= FILE_PATH_BYTES ||
	    name_bytes >= FILE_PATH_BYTES)
		return ERR_LIMIT;
	more = realloc(m->files, (m->file_count + 1) * sizeof(*more));
	if (more == NULL)
		return ERR_NOMEM;
	m->files = more;
	more += m->file_count++;
	memset(more, 0, sizeof(*more));
	memcpy(more->tmp, tmp, tmp_bytes);
	memcpy(more->name, name, name_bytes);
	*out = more;
	return ERR_OK;
}

enum err file_manifest_add_file(struct file_manifest *m, const char *tmp, const char *name,
				uint64_t octets, uint64_t records, uint64_t late)
{
	struct file_manifest_file *file;

	TRY(add_file(m, tmp, strlen(tmp), name, strlen(name), &file));
	file->octets = octets;
	file->records = records;
	file->late = late;
	return ERR_OK;
}

static void put_log(struct wr *w, const struct file_manifest_log *log)
{
	wr_u32(w, log->worker);
	wr_u64(w, log->first);
	wr_u64(w, log->end);
	wr_u64(w, log->delivered);
	wr_u64(w, log->octets);
	wr_u64(w, log->corrupt);
	wr_u64(w, log->not_routed);
	for (size_t k = 0; k < LOG_LOSS_COUNT; k++)
		wr_u64(w, log->lost[k]);
}

static void put_file(struct wr *w, const struct file_manifest_file *file)
{
	size_t tmp_bytes = strlen(file->tmp);
	size_t name_bytes = strlen(file->name);

	wr_u64(w, file->octets);
	wr_u64(w, file->records);
	wr_u64(w, file->late);
	wr_u16(w, (uint16_t)tmp_bytes);
	wr_u16(w, (uint16_t)name_bytes);
	wr_bytes(w, file->tmp, tmp_bytes);
	wr_bytes(w, file->name, name_bytes);
}

enum err file_manifest_encode(const struct file_manifest *m, uint8_t **out, size_t *bytes)
{
	size_t room = HEAD_BYTES + m->log_count * LOG_BYTES + CRC_BYTES;
	uint8_t *octets;
	struct wr w;

	for (size_t i = 0; i < m->file_count; i++)
		room += FILE_BYTES + strlen(m->files[i].tmp) + strlen(m->files[i].name);
	octets = malloc(room);
	if (octets == NULL)
		return ERR_NOMEM;
	w = wr_of(octets, room);
	wr_u32(&w, MAGIC);
	wr_u16(&w, FILE_MANIFEST_VERSION);
	wr_u16(&w, m->is_durable ? FLAG_DURABLE : 0);
	wr_u32(&w, (uint32_t)m->log_count);
	wr_u32(&w, (uint32_t)m->file_count);
	wr_bytes(&w, m->log_id, LOG_ID_BYTES);
	for (size_t i = 0; i < m->log_count; i++)
		put_log(&w, &m->logs[i]);
	for (size_t i = 0; i < m->file_count; i++)
		put_file(&w, &m->files[i]);
	wr_u32(&w, crc32c(0, octets, wr_used(&w)));
	*out = octets;
	*bytes = wr_used(&w);
	return ERR_OK;
}

static bool take(uint64_t *left, uint64_t n)
{
	bool is_there = n <= *left;

	*left -= is_there ? n : 0;
	return is_there;
}

/* No worker twice, no range that ends before it begins, no more records than it has. */
static bool is_log_sound(const struct file_manifest *m, const struct file_manifest_log *log)
{
	uint64_t left = log->end - log->first;

	for (size_t i = 0; i < m->log_count; i++) {
		if (m->logs[i].worker == log->worker)
			return false;
	}
	if (log->first > log->end || !take(&left, log->delivered) || !take(&left, log->corrupt) ||
	    !take(&left, log->not_routed))
		return false;
	for (size_t k = 0; k < LOG_LOSS_COUNT; k++) {
		if (!take(&left, log->lost[k]))
			return false;
	}
	return true;
}

static enum err get_log(struct rd *r, struct file_manifest *m, struct why *why)
{
	struct file_manifest_log log;

	log.worker = rd_u32(r);
	log.first = rd_u64(r);
	log.end = rd_u64(r);
	log.delivered = rd_u64(r);
	log.octets = rd_u64(r);
	log.corrupt = rd_u64(r);
	log.not_routed = rd_u64(r);
	for (size_t k = 0; k < LOG_LOSS_COUNT; k++)
		log.lost[k] = rd_u64(r);
	if (r->is_short || !is_log_sound(m, &log))
		return why_set(why, ERR_FORMAT, "the range of a log is wrong");
	return file_manifest_add_log(m, &log);
}

static enum err get_file(struct rd *r, uint16_t version, const struct file_dir *d,
			 struct file_manifest *m, struct why *why)
{
	struct file_manifest_file *file;
	uint64_t octets = rd_u64(r);
	uint64_t records = rd_u64(r);
	uint64_t late = version < VERSION_LATE ? 0 : rd_u64(r);
	uint16_t tmp_bytes = rd_u16(r);
	uint16_t name_bytes = rd_u16(r);
	const uint8_t *tmp = rd_take(r, tmp_bytes);
	const uint8_t *name = rd_take(r, name_bytes);

	if (late > records)
		return why_set(why, ERR_FORMAT, "a file has more late records than records");
	if (r->is_short || tmp_bytes >= FILE_PATH_BYTES || name_bytes >= FILE_PATH_BYTES ||
	    memchr(tmp, '\0', tmp_bytes) != NULL || memchr(name, '\0', name_bytes) != NULL)
		return why_set(why, ERR_FORMAT, "the name of a file is cut or too long");
	TRY(add_file(m, tmp, tmp_bytes, name, name_bytes, &file));
	if (!file_dir_is_unfinished(d, file->tmp) || !file_dir_is_complete(d, file->name))
		return why_set(why, ERR_FORMAT, "it names a file that is none of this sink");
	file->octets = octets;
	file->records = records;
	file->late = late;
	return ERR_OK;
}

static enum err get_all(struct rd *r, uint16_t version, const struct file_dir *d,
			struct file_manifest *m, struct why *why)
{
	uint16_t flags = rd_u16(r);
	uint32_t log_count = rd_u32(r);
	uint32_t file_count = rd_u32(r);
	const uint8_t *log_id = rd_take(r, LOG_ID_BYTES);

	if (r->is_short || (flags & ~FLAG_DURABLE) != 0 || log_count > FILE_MANIFEST_LOGS_MAX ||
	    file_count > FILE_MANIFEST_FILES_MAX)
		return why_set(why, ERR_FORMAT, "its head is wrong");
	m->is_durable = (flags & FLAG_DURABLE) != 0;
	memcpy(m->log_id, log_id, LOG_ID_BYTES);
	for (uint32_t i = 0; i < log_count; i++)
		TRY(get_log(r, m, why));
	for (uint32_t i = 0; i < file_count; i++)
		TRY(get_file(r, version, d, m, why));
	if (rd_left(r) > 0)
		return why_set(why, ERR_FORMAT, "there are octets behind its end");
	return ERR_OK;
}

enum err file_manifest_decode(const void *octets, size_t bytes, const struct file_dir *d,
			      struct file_manifest *m, struct why *why)
{
	struct file_manifest read;
	struct rd r;
	uint16_t version;
	enum err e;

	if (bytes < HEAD_BYTES + CRC_BYTES || bytes > FILE_MANIFEST_BYTES_MAX ||
	    be32(octets) != MAGIC)
		return why_set(why, ERR_FORMAT, "it is no manifest");
	if (crc32c(0, octets, bytes - CRC_BYTES) !=
	    be32((const uint8_t *)octets + bytes - CRC_BYTES))
		return why_set(why, ERR_FORMAT, "its checksum is wrong");
	r = rd_of(octets, bytes - CRC_BYTES);
	rd_skip(&r, sizeof(uint32_t));
	version = rd_u16(&r);
	if (version > FILE_MANIFEST_VERSION)
		return why_set(why, ERR_UNSUPPORTED,
			       "it is of version %u, and this program knows %u at most", version,
			       FILE_MANIFEST_VERSION);
	if (version == 0)
		return why_set(why, ERR_FORMAT, "its version is 0");
	file_manifest_init(&read);
	e = get_all(&r, version, d, &read, why);
	if (e != ERR_OK) {
		file_manifest_fini(&read);
		return e;
	}
	*m = read;
	return ERR_OK;
}
