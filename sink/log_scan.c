/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/log_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/room.h"
#include "sink/log_codec.h"

#define NAMES_MAX (1u << 20)
#define RESYNC_STEP (64u << 10)
#define SECTOR 4096u /* that goes as a whole */

uint32_t log_frame_crc(const struct log_frame_head *head, const uint8_t *body)
{
	size_t skipped = offsetof(struct log_frame_head, first_lsn);
	uint32_t crc =
		crc32c(head->epoch, (const uint8_t *)head + skipped, sizeof(*head) - skipped);

	return crc32c(crc, body, head->body_bytes);
}

/* All of [at, at + bytes), or ERR_TRUNC. */
static enum err read_at(int fd, void *out, size_t bytes, uint64_t at)
{
	uint8_t *p = out;

	while (bytes > 0) {
		ssize_t n = pread(fd, p, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_IO;
		if (n == 0)
			return ERR_TRUNC;
		p += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return ERR_OK;
}

/* --- names --- */

static size_t name_place(const struct log_scan_names *names, uint32_t number)
{
	size_t low = 0;
	size_t high = names->count;

	/* They come in rising order, mostly. */
	if (high > 0 && names->list[high - 1].number < number)
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (names->list[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct log_scan_name *log_scan_name(const struct log_scan *s, enum log_name_kind kind,
					  uint32_t number)
{
	const struct log_scan_names *names = &s->names[kind];
	size_t i = name_place(names, number);

	return i < names->count && names->list[i].number == number ? &names->list[i] : NULL;
}

static enum err add_name(struct log_scan *s, const struct log_name_head *head, const uint8_t *text)
{
	struct log_scan_names *names = &s->names[head->kind];
	size_t i = name_place(names, head->number);
	struct log_scan_name name = { .number = head->number, .bytes = head->bytes };

	if (i < names->count && names->list[i].number == head->number)
		return ERR_OK;
	if (names->count == NAMES_MAX)
		return ERR_LIMIT;
	if (names->count == names->room) {
		size_t room = names->room == 0 ? 16 : 2 * names->room;
		struct log_scan_name *list = realloc(names->list, room * sizeof(*list));

		if (list == NULL)
			return ERR_NOMEM;
		names->list = list;
		names->room = room;
	}
	name.text = malloc((size_t)head->bytes + 1);
	if (name.text == NULL)
		return ERR_NOMEM;
	memcpy(name.text, text, head->bytes);
	name.text[head->bytes] = '\0';
	if (s->hub != NULL && log_name_add(s->hub, (enum log_name_kind)head->kind, name.text,
					   head->bytes, &name.hub_number) != ERR_OK) {
		free(name.text);
		return ERR_LIMIT;
	}
	/* The list owns the text from here on. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	memmove(&names->list[i + 1], &names->list[i], (names->count - i) * sizeof(name));
	names->list[i] = name;
	names->count++;
	return ERR_OK;
}

static enum err take_names(struct log_scan *s, const struct log_frame *frame)
{
	size_t at = 0;

	while (frame->bytes - at >= sizeof(struct log_name_head)) {
		struct log_name_head head;
		size_t text = at + sizeof(head);

		memcpy(&head, frame->body + at, sizeof(head));
		if (head.kind >= LOG_NAME_KINDS || head.bytes > LOG_NAME_TEXT_MAX ||
		    log_padded(head.bytes) > frame->bytes - text)
			return ERR_FORMAT;
		TRY(add_name(s, &head, frame->body + text));
		at = text + log_padded(head.bytes);
	}
	return ERR_OK;
}

/* --- frames --- */

static bool is_plausible(const struct log_scan *s, const struct log_frame_head *h, uint64_t at)
{
	uint64_t left = s->bytes - at - sizeof(*h);

	if (h->magic != LOG_FRAME_MAGIC || h->version != LOG_FRAME_VERSION ||
	    h->epoch != s->head.epoch || h->codec >= LOG_CODEC_COUNT)
		return false;
	if (h->body_bytes > left || h->body_bytes > LOG_BODY_MAX || h->plain_bytes > LOG_BODY_MAX)
		return false;
	if (h->codec == LOG_CODEC_NONE && h->body_bytes != h->plain_bytes)
		return false;
	return h->first_lsn >= s->head.first_lsn &&
	       h->record_count <= h->plain_bytes / sizeof(struct log_head) &&
	       h->first_lsn <= UINT64_MAX - h->record_count;
}

/* The frame at `at`, its body as stored, when it is sound. */
static enum err read_frame(struct log_scan *s, uint64_t at, struct log_frame_head *head)
{
	enum err e;

	if (at > s->bytes || s->bytes - at < sizeof(*head))
		return ERR_CLOSED;
	e = read_at(s->fd, head, sizeof(*head), at);
	if (e != ERR_OK)
		return e == ERR_TRUNC ? ERR_CLOSED : e;
	if (!is_plausible(s, head, at))
		return ERR_CLOSED;
	TRY(room_make(&s->stored, &s->stored_room, head->body_bytes + 1));
	e = read_at(s->fd, s->stored, head->body_bytes, at + sizeof(*head));
	if (e != ERR_OK)
		return e == ERR_TRUNC ? ERR_CLOSED : e;
	return log_frame_crc(head, s->stored) == head->crc ? ERR_OK : ERR_CLOSED;
}

static enum err unpack(struct log_scan *s, const struct log_frame_head *head, struct log_frame *out)
{
	out->head = *head;
	out->body = s->stored;
	out->bytes = head->plain_bytes;
	if (head->codec == LOG_CODEC_NONE)
		return ERR_OK;
	TRY(room_make(&s->plain, &s->plain_room, head->plain_bytes + 1));
	out->body = s->plain;
	return log_codec_unpack((enum log_codec)head->codec, s->stored, head->body_bytes, s->plain,
				head->plain_bytes);
}

static uint32_t number_of(const struct log_scan *s, enum log_name_kind kind, uint32_t number)
{
	const struct log_scan_name *name = log_scan_name(s, kind, number);

	return name == NULL ? UINT32_MAX : name->hub_number;
}

/* Its head counts the records that it has, and nothing is behind them. */
static bool is_whole(const struct log_frame *frame)
{
	struct log_record record = { .lsn = 0 };
	size_t at = 0;
	uint32_t count = 0;

	while (log_frame_next(frame, &at, &record))
		count++;
	return count == frame->head.record_count && at == frame->bytes;
}

/* Numbers as the hub has them, written into the body, which is ours. */
static enum err translate(struct log_scan *s, struct log_frame *frame)
{
	struct log_record record = { .lsn = 0 };
	uint32_t schema = number_of(s, LOG_NAME_SCHEMA, frame->head.schema);
	uint8_t *body = frame->body == s->plain ? s->plain : s->stored;
	size_t at = 0;

	if (schema == UINT32_MAX)
		return ERR_FORMAT;
	while (log_frame_next(frame, &at, &record)) {
		size_t head_at = (size_t)(record.payload - body) - sizeof(record.head);
		uint32_t exporter = number_of(s, LOG_NAME_EXPORTER, record.head.exporter);
		uint32_t event_type = number_of(s, LOG_NAME_EVENT_TYPE, record.head.event_type);

		if (exporter == UINT32_MAX || event_type > UINT16_MAX)
			return ERR_FORMAT;
		record.head.exporter = exporter;
		record.head.event_type = (uint16_t)event_type;
		memcpy(body + head_at, &record.head, sizeof(record.head));
	}
	frame->head.schema = schema;
	return ERR_OK;
}

static enum err take_settled(struct log_scan *s, const struct log_frame *frame)
{
	struct log_settled settled;

	if (frame->bytes != sizeof(settled) || frame->head.record_count != 0)
		return ERR_FORMAT;
	memcpy(&settled, frame->body, sizeof(settled));
	if (settled.end <= frame->head.first_lsn)
		return ERR_FORMAT;
	s->lsn = settled.end;
	return ERR_OK;
}

/* A frame that is sound as stored and still makes no sense is passed over like one that is not. */
enum err log_scan_next(struct log_scan *s, struct log_frame *out)
{
	struct log_frame_head head;

	for (;;) {
		enum err e = read_frame(s, s->at, &head);

		if (e != ERR_OK)
			return e;
		e = unpack(s, &head, out);
		if (e == ERR_NOMEM)
			return e;
		s->frame_at = s->at;
		s->at += sizeof(head) + log_padded(head.body_bytes);
		if (e == ERR_OK && head.schema == LOG_FRAME_NAMES) {
			e = take_names(s, out);
			if (e == ERR_NOMEM)
				return e;
			continue;
		}
		if (e == ERR_OK && head.schema == LOG_FRAME_SETTLED) {
			if (take_settled(s, out) == ERR_OK)
				return ERR_OK;
			continue;
		}
		if (e == ERR_OK && !is_whole(out))
			e = ERR_FORMAT;
		if (e == ERR_OK && s->hub != NULL)
			e = translate(s, out);
		if (e != ERR_OK || head.record_count == 0)
			continue;
		/* Its body is no longer as it was sealed. */
		out->head.crc = 0;
		out->head.codec = LOG_CODEC_NONE;
		out->head.body_bytes = out->bytes;
		s->lsn = head.first_lsn + head.record_count;
		return ERR_OK;
	}
}

/* The next place from `at` on where a frame's magic stands; what the disk does not read is passed over. */
static uint64_t find_magic(const struct log_scan *s, uint64_t at)
{
	uint8_t octets[RESYNC_STEP];

	while (at + sizeof(struct log_frame_head) <= s->bytes) {
		ssize_t n = pread(s->fd, octets, sizeof(octets), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			at = (at / SECTOR + 1) * SECTOR;
			continue;
		}
		if (n < (ssize_t)sizeof(uint32_t))
			break;
		for (size_t i = 0; i + sizeof(uint32_t) <= (size_t)n; i += 8) {
			uint32_t magic;

			memcpy(&magic, octets + i, sizeof(magic));
			if (magic == LOG_FRAME_MAGIC)
				return at + i;
		}
		at += n < 8 ? 8 : (uint64_t)n / 8 * 8;
	}
	return s->bytes;
}

bool log_scan_resync(struct log_scan *s)
{
	struct log_frame_head head;

	while (s->at < s->bytes) {
		s->at = find_magic(s, s->at);
		if (s->at < s->bytes && read_frame(s, s->at, &head) == ERR_OK)
			return true;
		s->at += 8;
	}
	s->at = s->bytes;
	return false;
}

/* --- the segment --- */

uint32_t log_segment_crc(const struct log_segment_head *head)
{
	size_t before = offsetof(struct log_segment_head, crc);
	size_t after = offsetof(struct log_segment_head, id);
	uint32_t crc = crc32c(0, head, before);

	return crc32c(crc, (const uint8_t *)head + after, sizeof(*head) - after);
}

/* Frames tell their epoch and LSN themselves: when the first one is sound and is where the file's name
 * says, the head can be done without. */
static enum err rebuild_head(struct log_scan *s, const char *name)
{
	struct log_frame_head first;
	char *end;

	memset(&s->head, 0, sizeof(s->head));
	if (read_at(s->fd, &first, sizeof(first), LOG_SEGMENT_HEAD_BYTES) != ERR_OK)
		return ERR_FORMAT;
	s->head.epoch = first.epoch;
	s->head.first_lsn = strtoull(name, &end, 10);
	s->head.previous_end = s->head.first_lsn;
	if (strcmp(end, LOG_SEGMENT_SUFFIX) != 0 || first.first_lsn != s->head.first_lsn ||
	    read_frame(s, LOG_SEGMENT_HEAD_BYTES, &first) != ERR_OK)
		return ERR_FORMAT;
	s->is_rebuilt = true;
	return ERR_OK;
}

static enum err read_head(struct log_scan *s, const char *name)
{
	struct log_segment_head *h = &s->head;
	struct stat st;
	enum err e;

	if (fstat(s->fd, &st) != 0)
		return ERR_IO;
	if (!S_ISREG(st.st_mode))
		return ERR_FORMAT;
	s->bytes = (uint64_t)st.st_size;
	e = read_at(s->fd, h, sizeof(*h), 0);
	if (e == ERR_TRUNC)
		return ERR_FORMAT;
	if (e != ERR_OK)
		return rebuild_head(s, name) == ERR_OK ? ERR_OK : e;
	if (memcmp(h->magic, LOG_SEGMENT_MAGIC, sizeof(h->magic)) == 0 &&
	    h->version > LOG_FORMAT_VERSION && h->crc == log_segment_crc(h))
		return ERR_UNSUPPORTED;
	if (memcmp(h->magic, LOG_SEGMENT_MAGIC, sizeof(h->magic)) != 0 ||
	    h->version != LOG_FORMAT_VERSION || h->crc != log_segment_crc(h) ||
	    h->hole >= LOG_HOLE_COUNT || h->previous_end > h->first_lsn ||
	    h->settled_lsn > h->first_lsn)
		return rebuild_head(s, name);
	return ERR_OK;
}

enum err log_scan_open(struct log_scan *s, int dir_fd, const char *name, struct log_hub *hub)
{
	enum err e;

	memset(s, 0, sizeof(*s));
	s->hub = hub;
	s->fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (s->fd < 0)
		return ERR_IO;
	e = read_head(s, name);
	if (e != ERR_OK) {
		int error = errno;

		log_scan_close(s);
		errno = error;
		return e;
	}
	s->at = LOG_SEGMENT_HEAD_BYTES;
	s->lsn = s->head.first_lsn;
	return ERR_OK;
}

void log_scan_close(struct log_scan *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
	for (size_t k = 0; k < LOG_NAME_KINDS; k++) {
		for (size_t i = 0; i < s->names[k].count; i++)
			free(s->names[k].list[i].text);
		free(s->names[k].list);
		s->names[k] = (struct log_scan_names){ 0 };
	}
	free(s->stored);
	free(s->plain);
	s->stored = NULL;
	s->plain = NULL;
	s->stored_room = 0;
	s->plain_room = 0;
}
