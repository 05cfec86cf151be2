/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/log_dump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "sink/lines.h"
#include "sink/log_scan.h"

#define JSON_MAX (64u << 20)
#define HUB_BYTES (64u << 20)
#define WORKERS_MAX 512

struct dump {
	FILE *out;
	struct log_hub *hub; /* for names and schemas only */
	struct lines lines;
	struct json json;
	bool is_records;
	bool is_bad;
	size_t segments;
};

static void print(struct dump *d)
{
	json_end(&d->json);
	(void)fprintf(d->out, "%.*s\n", (int)d->json.bytes, d->json.text);
}

static void begin(struct dump *d, const char *what)
{
	json_clear(&d->json);
	json_open_object(&d->json, NULL);
	json_str(&d->json, "what", what);
}

static void dump_head(struct dump *d, const char *path, const struct log_scan *s)
{
	const struct log_segment_head *h = &s->head;
	char when[CLOCK_TEXT_BYTES];

	begin(d, "segment");
	json_str(&d->json, "path", path);
	json_u64(&d->json, "octets", s->bytes);
	json_bool(&d->json, "head_is_rebuilt", s->is_rebuilt);
	json_u64(&d->json, "version", h->version);
	json_u64(&d->json, "worker", h->worker);
	json_u64(&d->json, "workers", h->worker_count);
	json_u64(&d->json, "sequence", h->sequence);
	json_u64(&d->json, "first_lsn", h->first_lsn);
	json_u64(&d->json, "previous_end", h->previous_end);
	clock_text(h->created_ms, when);
	json_str(&d->json, "created", when);
	json_u64(&d->json, "epoch", h->epoch);
	json_u64(&d->json, "settled_lsn", h->settled_lsn);
	print(d);
}

static void name_of(struct dump *d, const char *key, enum log_name_kind kind, uint32_t number)
{
	size_t bytes;
	const char *text = log_name(d->hub, kind, number, &bytes);

	json_strn(&d->json, key, text, bytes);
}

static void dump_record(struct dump *d, const struct log_frame *frame, const struct log_record *r)
{
	char when[CLOCK_TEXT_BYTES];
	size_t bytes;

	begin(d, "record");
	json_u64(&d->json, "lsn", r->lsn);
	name_of(d, "exporter", LOG_NAME_EXPORTER, r->head.exporter);
	name_of(d, "event_type", LOG_NAME_EVENT_TYPE, r->head.event_type);
	clock_text(r->head.ingest_ms, when);
	json_str(&d->json, "ingest_time", when);
	json_u64(&d->json, "octets", r->head.bytes);
	d->lines.bytes = 0;
	if (lines_put(&d->lines, frame->head.schema, r->payload, r->head.bytes) == ERR_OK) {
		bytes = d->lines.bytes;
		while (bytes > 0 && d->lines.text[bytes - 1] == '\n')
			bytes--;
		json_raw(&d->json, "record", (const char *)d->lines.text, bytes);
	} else {
		json_put_null(&d->json, "record");
	}
	print(d);
}

static void dump_frame(struct dump *d, const struct log_scan *s, const struct log_frame *frame)
{
	struct log_record record = { .lsn = 0 };
	size_t at = 0;

	begin(d, "frame");
	json_u64(&d->json, "at", s->frame_at);
	json_u64(&d->json, "first_lsn", frame->head.first_lsn);
	json_u64(&d->json, "records", frame->head.record_count);
	json_u64(&d->json, "octets", s->at - s->frame_at);
	json_u64(&d->json, "plain_octets", frame->bytes);
	print(d);
	while (d->is_records && log_frame_next(frame, &at, &record))
		dump_record(d, frame, &record);
}

/* Records that every sink had before they were to be written. */
static void dump_settled(struct dump *d, const struct log_scan *s, const struct log_frame *frame)
{
	begin(d, "settled");
	json_u64(&d->json, "at", s->frame_at);
	json_u64(&d->json, "first_lsn", frame->head.first_lsn);
	json_u64(&d->json, "records", s->lsn - frame->head.first_lsn);
	print(d);
}

/* What follows the last sound frame may be room that was never written. */
static void dump_segment(struct dump *d, int dir_fd, const char *dir, const char *name)
{
	struct log_scan scan;
	struct log_frame frame;
	char path[4096];
	enum err e = log_scan_open(&scan, dir_fd, name, d->hub);

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	d->segments++;
	if (e != ERR_OK) {
		(void)fprintf(stderr, "sluicectl: %s: %s\n", path,
			      e == ERR_IO ? strerror(errno) : err_text(e));
		d->is_bad = true;
		return;
	}
	dump_head(d, path, &scan);
	for (;;) {
		uint64_t from;

		while ((e = log_scan_next(&scan, &frame)) == ERR_OK) {
			if (frame.head.schema == LOG_FRAME_SETTLED)
				dump_settled(d, &scan, &frame);
			else
				dump_frame(d, &scan, &frame);
		}
		from = scan.at;
		if (e != ERR_CLOSED || !log_scan_resync(&scan))
			break;
		d->is_bad = true;
		begin(d, "not_sound");
		json_u64(&d->json, "at", from);
		json_u64(&d->json, "octets", scan.at - from);
		print(d);
	}
	d->is_bad = d->is_bad || e != ERR_CLOSED;
	log_scan_close(&scan);
}

static void dump_dir(struct dump *d, const char *path)
{
	struct dirent **list = NULL;
	int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = dir_fd < 0 ? 0 : scandirat(dir_fd, ".", &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *suffix = strrchr(list[i]->d_name, '.');

		if (suffix != NULL && strcmp(suffix, LOG_SEGMENT_SUFFIX) == 0)
			dump_segment(d, dir_fd, path, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	if (dir_fd >= 0)
		(void)close(dir_fd);
}

static void dump_file(struct dump *d, const char *path)
{
	char dir[4096];
	char *slash;
	int dir_fd;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		(void)snprintf(dir, sizeof(dir), ".");
	else
		*slash = '\0';
	dir_fd = open(dir[0] == '\0' ? "/" : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return;
	dump_segment(d, dir_fd, dir, slash == NULL ? path : path + (slash - dir) + 1);
	(void)close(dir_fd);
}

static void dump_path(struct dump *d, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		(void)fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(errno));
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		dump_file(d, path);
		return;
	}
	dump_dir(d, path);
	for (unsigned w = 0; w < WORKERS_MAX; w++) {
		char worker[4096];

		(void)snprintf(worker, sizeof(worker), "%.4000s/%u", path, w);
		dump_dir(d, worker);
	}
}

int log_dump(const char *path, bool is_records, FILE *out)
{
	struct log_conf conf = { .max_bytes = HUB_BYTES };
	struct dump d = { .out = out, .is_records = is_records };
	struct why why = { "" };

	if (log_hub_open(&conf, &why, &d.hub) != ERR_OK) {
		(void)fprintf(stderr, "sluicectl: %s\n", why.text);
		return 1;
	}
	lines_init(&d.lines, d.hub);
	json_init(&d.json, JSON_MAX);
	dump_path(&d, path);
	json_fini(&d.json);
	lines_fini(&d.lines);
	log_hub_close(d.hub);
	return d.segments == 0 ? 2 : d.is_bad ? 1 : 0;
}
