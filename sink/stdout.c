/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/stdout.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sink/lines.h"

#define IDLE_MS 100
#define WAIT_MS 50 /* for a reader of ours that is slow */
#define POLL_MS 80 /* at most so long in one poll */
#define RETRY_MS 1000

/* What was taken from one reader and is being written. */
struct out {
	struct sink_env env;
	struct lines lines;
	size_t written;
	size_t reader; /* whose frame it is, and the next to ask otherwise */
	uint64_t end_lsn;
	uint64_t records;
	uint64_t octets;
	uint64_t corrupt;
	uint64_t not_routed;
	bool has_frame;
	struct stat_flag is_broken; /* said so */
	int64_t retry_ms;
};

static const struct conf_opt options[] = { { 0 } };

/* There is one standard output.  Sinks are opened and closed by one thread. */
static const struct out *owner;

static enum err out_open(const void *conf, const struct sink_env *env, struct why *why, void **to)
{
	struct out *o;

	(void)conf;
	if (owner != NULL)
		return why_set(why, ERR_CONF,
			       "standard output is sink %s's already: two would tear each other's "
			       "lines",
			       owner->env.name);
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	o->env = *env;
	lines_init(&o->lines, env->hub);
	owner = o;
	*to = o;
	return ERR_OK;
}

static enum err out_start(void *self, struct why *why)
{
	(void)self;
	(void)why;
	return ERR_OK;
}

/* A frame as lines; false when no reader has one. */
static bool take_frame(struct out *o)
{
	struct log_record record = { .lsn = 0 };
	struct log_frame frame;
	size_t at = 0;
	size_t tried = 0;

	while (log_reader_next(o->env.readers[o->reader], &frame) != ERR_OK) {
		o->reader = (o->reader + 1) % o->env.reader_count;
		if (++tried == o->env.reader_count)
			return false;
	}
	o->records = 0;
	o->octets = 0;
	o->corrupt = 0;
	o->not_routed = 0;
	o->end_lsn = frame.head.first_lsn + frame.head.record_count;
	while (log_frame_next(&frame, &at, &record)) {
		if ((record.head.route & o->env.route) == 0) {
			o->not_routed++;
			continue;
		}
		if (lines_put(&o->lines, frame.head.schema, record.payload, record.head.bytes) !=
		    ERR_OK) {
			o->corrupt++;
			continue;
		}
		o->records++;
		o->octets += record.head.bytes;
	}
	o->has_frame = true;
	return true;
}

static void fail(struct out *o, int error)
{
	if (!stat_flag_get(&o->is_broken))
		log_error("sink.stdout_failed sink=%s why=\"%s\"", o->env.name, strerror(error));
	stat_flag_set(&o->is_broken, 1);
	stat_inc(o->env.stat, SINK_STAT_ERRORS);
	o->retry_ms = clock_mono_ms() + RETRY_MS;
}

/* Writes what the system takes within WAIT_MS; true when all of it went.  A pipe that is writable
 * takes PIPE_BUF octets without waiting. */
static bool write_some(struct out *o)
{
	struct pollfd fd = { .fd = STDOUT_FILENO, .events = POLLOUT };
	int64_t until_ms = clock_mono_ms() + WAIT_MS;

	while (o->written < o->lines.bytes && clock_mono_ms() < until_ms) {
		size_t left = o->lines.bytes - o->written;
		ssize_t n;

		if (poll(&fd, 1, WAIT_MS) == 0)
			return false;
		n = write(STDOUT_FILENO, o->lines.text + o->written,
			  left < PIPE_BUF ? left : PIPE_BUF);
		if (n < 0 && errno != EINTR && errno != EAGAIN) {
			fail(o, errno);
			return false;
		}
		if (n > 0) {
			o->written += (size_t)n;
			stat_add(o->env.stat, SINK_STAT_OUT_OCTETS, (uint64_t)n);
			stat_flag_set(&o->is_broken, 0);
		}
	}
	return o->written == o->lines.bytes;
}

static void finish_frame(struct out *o)
{
	stat_add(o->env.stat, SINK_STAT_DELIVERED, o->records);
	stat_add(o->env.stat, SINK_STAT_DELIVERED_OCTETS, o->octets);
	stat_add(o->env.stat, SINK_STAT_CORRUPT, o->corrupt);
	stat_add(o->env.stat, SINK_STAT_NOT_ROUTED, o->not_routed);
	reader_done(o->env.readers[o->reader], o->end_lsn);
	o->has_frame = false;
	o->written = 0;
	o->lines.bytes = 0;
	o->reader = (o->reader + 1) % o->env.reader_count;
}

static int out_poll(void *self, bool is_flushing)
{
	struct out *o = self;
	int64_t until_ms = clock_mono_ms() + POLL_MS;

	(void)is_flushing;
	if (o->env.reader_count == 0)
		return IDLE_MS;
	if (stat_flag_get(&o->is_broken) && clock_mono_ms() < o->retry_ms)
		return IDLE_MS;
	while (clock_mono_ms() < until_ms) {
		if (!o->has_frame && !take_frame(o))
			return IDLE_MS;
		if (!write_some(o))
			return stat_flag_get(&o->is_broken) ? IDLE_MS : 0;
		finish_frame(o);
	}
	return 0;
}

static void out_status(void *self, struct json *out)
{
	struct out *o = self;

	json_str(out, "state", stat_flag_get(&o->is_broken) ? "waiting" : "running");
}

static void out_close(void *self)
{
	struct out *o = self;

	owner = NULL;
	lines_fini(&o->lines);
	free(o);
}

const struct sink_ops sink_stdout = {
	.type = "stdout",
	.options = options,
	.conf_bytes = 1,
	.open = out_open,
	.start = out_start,
	.poll = out_poll,
	.status = out_status,
	.close = out_close,
};
