/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/null.h"

#include <stdlib.h>

#define IDLE_MS 100
#define FRAMES_A_POLL 64

struct null_options {
	bool encode;
};

#define AT(member) offsetof(struct null_options, member)
static const struct conf_opt options[] = {
	{ .key = "encode",
	  .type = CONF_BOOL,
	  .reload = CONF_RESTART,
	  .at = AT(encode),
	  .preset = "true",
	  .doc = "Encode flows that nobody will read; false stops after decoding, where every sink is "
		 "a null sink that says so." },
	{ 0 },
};

bool null_encodes(const void *conf)
{
	const struct null_options *o = conf;

	return o->encode;
}

struct null {
	struct sink_env env;
};

static enum err null_open(const void *conf, const struct sink_env *env, struct why *why, void **out)
{
	struct null *n = calloc(1, sizeof(*n));

	(void)conf;
	if (n == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	n->env = *env;
	*out = n;
	return ERR_OK;
}

static enum err null_start(void *self, struct why *why)
{
	(void)self;
	(void)why;
	return ERR_OK;
}

static void count_frame(const struct null *n, const struct log_frame *frame)
{
	struct log_record record = { .lsn = 0 };
	uint64_t delivered = 0;
	size_t at = 0;

	while (log_frame_next(frame, &at, &record))
		delivered += (record.head.route & n->env.route) != 0;
	stat_add(n->env.stat, SINK_STAT_DELIVERED, delivered);
	stat_add(n->env.stat, SINK_STAT_NOT_ROUTED, frame->head.record_count - delivered);
	stat_add(n->env.stat, SINK_STAT_DELIVERED_OCTETS, frame->bytes);
}

static int null_poll(void *self, bool is_flushing)
{
	struct null *n = self;
	struct log_frame frame;
	int sleep_ms = IDLE_MS;

	(void)is_flushing;
	for (size_t i = 0; i < n->env.reader_count; i++) {
		struct log_reader *r = n->env.readers[i];

		for (unsigned k = 0; k < FRAMES_A_POLL; k++) {
			if (log_reader_next(r, &frame) != ERR_OK)
				break;
			count_frame(n, &frame);
			reader_done(r, frame.head.first_lsn + frame.head.record_count);
			sleep_ms = k + 1 == FRAMES_A_POLL ? 0 : sleep_ms;
		}
	}
	return sleep_ms;
}

static void null_status(void *self, struct json *out)
{
	(void)self;
	json_str(out, "state", "running");
}

static void null_close(void *self)
{
	free(self);
}

const struct sink_ops sink_null = {
	.type = "null",
	.options = options,
	.conf_bytes = sizeof(struct null_options),
	.open = null_open,
	.start = null_start,
	.poll = null_poll,
	.status = null_status,
	.close = null_close,
};
