/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "sink/kafka_partition.h"
#include "sink/kafka_types.h"

#define PIECES_MAX 16 /* of one call, so that reports are heard in between */
#define PROBE_MS 1000
#define PROMPT_MS 1000 /* a record not older than this may bear the time of its producing */
#define LATE_MS (7 * 86400000ll)
#define EARLY_MS 3600000ll
#define RESUME_OF_4 3 /* after a stall, when so many quarters are in use at most */

/* Records of a frame that go together. */
struct piece {
	size_t at;		/* of the walk, behind the piece, */
	struct log_record last; /* and its last record */
	size_t from;		/* octets of the frame */
	size_t to;
	uint64_t lsn_end;
	size_t count;
	uint32_t exporter_max;
};

/* --- keys and partitions --- */

static enum err exporters_grow(struct kafka *k, uint32_t number)
{
	uint32_t count = number < 1024 ? 1024 : number + number / 2;
	struct kafka_exporter *grown;

	if (number < k->exporter_count)
		return ERR_OK;
	grown = realloc(k->exporters, (size_t)count * sizeof(*grown));
	if (grown == NULL)
		return ERR_NOMEM;
	memset(grown + k->exporter_count, 0, (count - k->exporter_count) * sizeof(*grown));
	k->exporters = grown;
	k->exporter_count = count;
	return ERR_OK;
}

/* The exporter must be one that exporters_grow() was asked for. */
static struct kafka_exporter *exporter_of(struct kafka *k, uint32_t number)
{
	struct kafka_exporter *x;
	size_t bytes = 0;

	must(number < k->exporter_count);
	x = &k->exporters[number];
	if (x->name == NULL) {
		const char *name = log_name(k->env.hub, LOG_NAME_EXPORTER, number, &bytes);

		x->name = name == NULL ? "" : name;
		x->bytes = (uint32_t)bytes;
		x->partition = -1;
	}
	return x;
}

static uint64_t random_next(struct kafka *k)
{
	k->random = k->random * 6364136223846793005ull + 1442695040888963407ull;
	return k->random >> 32;
}

int32_t kafka_send_choose(const rd_kafka_topic_t *rkt, const void *key, size_t key_bytes,
			  int32_t partition_count, void *ctx, void *message)
{
	struct kafka *k = ctx;

	(void)rkt;
	if (partition_count <= 0)
		return RD_KAFKA_PARTITION_UA;
	stat_flag_set(&k->partitions_seen, partition_count);
	if (key == NULL)
		return kafka_partition(&message, sizeof(message), partition_count);
	return kafka_partition(key, key_bytes, partition_count);
}

/* Who belongs to which partition is asked anew when their number changed. */
static void partitions_sync(struct kafka *k)
{
	int32_t seen = stat_flag_get(&k->partitions_seen);
	struct kafka_lane *lanes;

	if (seen == k->partition_count)
		return;
	k->partition_count = 0;
	for (uint32_t i = 0; i < k->exporter_count; i++)
		k->exporters[i].partition = -1;
	if (seen == 0)
		return;
	lanes = calloc((size_t)seen, sizeof(*lanes));
	if (lanes == NULL)
		return; /* unknown, until there is memory */
	free(k->lanes);
	k->lanes = lanes;
	k->partition_count = seen;
}

/* --- handing over --- */

void kafka_send_one(struct kafka *k, struct kafka_msg *m)
{
	const struct kafka_exporter *x = exporter_of(k, m->exporter);
	rd_kafka_vu_t v[6] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = k->rkt },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = m->partition },
		{ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { kafka_msg_value(m), m->bytes } },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = m },
		{ .vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = m->time_ms },
	};
	size_t count = 5;
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t e;

	if (k->o->key == KAFKA_KEY_EXPORTER) {
		v[count].vtype = RD_KAFKA_VTYPE_KEY;
		v[count].u.mem.ptr = (void *)x->name; /* which is only read */
		v[count].u.mem.size = x->bytes;
		count++;
	}
	error = rd_kafka_produceva(k->rk, v, count);
	if (error == NULL) {
		k->out_count++;
		return;
	}
	e = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	kafka_report_not_taken(k, m, e);
}

static void lane_send(struct kafka *k, int32_t partition)
{
	const struct kafka_lane *lane = &k->lanes[partition];
	uint32_t count = 0;
	int sent;

	for (uint32_t i = lane->first; i != UINT32_MAX; i = k->next[i]) {
		struct kafka_msg *m = k->piece[i];
		rd_kafka_message_t *out = &k->messages[count++];

		*out = (rd_kafka_message_t){
			.payload = kafka_msg_value(m),
			.len = m->bytes,
			._private = m,
		};
		if (k->o->key == KAFKA_KEY_EXPORTER) {
			const struct kafka_exporter *x = exporter_of(k, m->exporter);

			out->key = (void *)x->name; /* which is only read */
			out->key_len = x->bytes;
		}
	}
	sent = rd_kafka_produce_batch(k->rkt, partition, 0, k->messages, (int)count);
	k->out_count += (size_t)sent;
	for (uint32_t i = 0; sent < (int)count && i < count; i++) {
		if (k->messages[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
			kafka_report_not_taken(k, k->messages[i]._private, k->messages[i].err);
	}
}

/* Sorts the piece by partition, keeping its order within each. */
static void lanes_send(struct kafka *k, size_t first, size_t count)
{
	int32_t chain = -1;

	for (uint32_t i = (uint32_t)first; i < count; i++) {
		struct kafka_lane *lane = &k->lanes[k->piece[i]->partition];

		k->next[i] = UINT32_MAX;
		if (lane->is_used) {
			k->next[lane->last] = i;
			lane->last = i;
			continue;
		}
		*lane = (struct kafka_lane){ i, i, chain, true };
		chain = k->piece[i]->partition;
	}
	while (chain >= 0) {
		lane_send(k, chain);
		k->lanes[chain].is_used = false;
		chain = k->lanes[chain].next;
	}
}

static void partitions_assign(struct kafka *k, size_t first, size_t count)
{
	int32_t any = (int32_t)(random_next(k) % (uint64_t)k->partition_count);

	for (size_t i = first; i < count; i++) {
		struct kafka_msg *m = k->piece[i];
		struct kafka_exporter *x;

		m->partition = any;
		if (k->o->key == KAFKA_KEY_NONE)
			continue;
		x = exporter_of(k, m->exporter);
		if (x->partition < 0)
			x->partition = kafka_partition(x->name, x->bytes, k->partition_count);
		m->partition = x->partition;
	}
}

/* The batch call stamps messages with the time of the call, which is right to a second for a sink that
 * keeps up; else they go one by one, each with its own time. */
static bool is_prompt(const struct kafka *k, size_t first, size_t count, int64_t now_ms)
{
	if (k->o->timestamp != KAFKA_TIMESTAMP_INGEST)
		return false;
	for (size_t i = first; i < count; i++) {
		int64_t age_ms = now_ms - k->piece[i]->time_ms;

		if (age_ms > PROMPT_MS || age_ms < -PROMPT_MS)
			return false;
	}
	return true;
}

static void piece_send(struct kafka *k, size_t count, int64_t now_ms)
{
	size_t first = 0;

	/* Every now and then librdkafka is left to ask us for the partition, which is how we hear of
	 * their number; before it is known, one message goes that way and the others wait. */
	if (k->partition_count == 0 || now_ms >= k->next_probe_ms) {
		k->next_probe_ms = now_ms + PROBE_MS;
		kafka_send_one(k, k->piece[first++]);
		partitions_sync(k);
	}
	if (first == count)
		return;
	if (k->partition_count == 0) {
		/* There was no memory for more partitions. */
		for (; first < count; first++)
			kafka_send_one(k, k->piece[first]);
		return;
	}
	partitions_assign(k, first, count);
	if (is_prompt(k, first, count, clock_real_ms())) {
		lanes_send(k, first, count);
		return;
	}
	for (; first < count; first++)
		kafka_send_one(k, k->piece[first]);
}

/* --- taking --- */

/* A wrong clock of an exporter must not make brokers refuse its flows. */
static int64_t message_time(const struct kafka *k, const struct log_head *head)
{
	int64_t event_ms = head->event_ms;
	int64_t ms = head->ingest_ms;

	if (k->o->timestamp == KAFKA_TIMESTAMP_EVENT && event_ms > ms - LATE_MS &&
	    event_ms < ms + EARLY_MS)
		ms = event_ms;
	return ms > 0 ? ms : 0;
}

/* What of the frame goes next, at most `room` records. */
static void piece_plan(const struct kafka_reader *reader, size_t room, struct piece *p)
{
	const struct log_frame *frame = &reader->frame;
	struct log_record record = reader->last;
	size_t at = reader->at;

	*p = (struct piece){ .at = at, .last = record, .lsn_end = reader->window.high };
	if (room > KAFKA_PIECE_RECORDS)
		room = KAFKA_PIECE_RECORDS;
	while (p->count < room && log_frame_next(frame, &at, &record)) {
		size_t from = (size_t)(record.payload - frame->body) - sizeof(record.head);
		size_t to = from + sizeof(record.head) + record.head.bytes;

		if (p->count > 0 && to - p->from > KAFKA_SLAB_BYTES)
			break;
		p->at = at;
		p->last = record;
		if (record.lsn < reader->window.high)
			continue;
		if (p->count == 0)
			p->from = from;
		p->count++;
		p->to = to;
		p->lsn_end = record.lsn + 1;
		if (record.head.exporter > p->exporter_max)
			p->exporter_max = record.head.exporter;
	}
}

/* Makes messages of the piece's records that are for us; returns how many. */
static size_t piece_fill(struct kafka *k, size_t reader_index, uint8_t *octets,
			 const struct piece *p, uint32_t schema_id)
{
	struct kafka_reader *reader = &k->readers[reader_index];
	struct log_record record = reader->last;
	size_t at = reader->at;
	size_t count = 0;

	while (at < p->at && log_frame_next(&reader->frame, &at, &record)) {
		size_t from = (size_t)(record.payload - reader->frame.body) - sizeof(record.head);
		struct kafka_msg *m;

		if (from < p->from || kafka_window_is_done(&reader->window, record.lsn))
			continue;
		if ((record.head.route & k->env.route) == 0) {
			(void)kafka_window_done(&reader->window, record.lsn, KAFKA_NOT_ROUTED);
			continue;
		}
		m = kafka_slab_msg(&k->slabs, octets + (from - p->from), schema_id);
		m->lsn = record.lsn;
		m->reader = (uint16_t)reader_index;
		m->time_ms = message_time(k, &record.head);
		k->piece[count++] = m;
	}
	reader->is_dirty = true; /* those that were not sent are done */
	return count;
}

/* The next frame into reader->frame; ERR_FULL when a hole in the log is wider than the window. */
static enum err frame_take(struct kafka_reader *reader)
{
	if (!reader->has_frame) {
		TRY(log_reader_next(reader->log, &reader->frame));
		reader->has_frame = true;
		reader->at = 0;
		reader->last = (struct log_record){ .lsn = 0 };
	}
	/* What the log evicted, it has counted. */
	if (reader->frame.head.first_lsn > reader->window.high) {
		if (!kafka_window_skip(&reader->window, reader->frame.head.first_lsn))
			return ERR_FULL;
		reader->is_dirty = true;
	}
	return ERR_OK;
}

/* Records that may be taken as far as librdkafka goes. */
static size_t room_now(const struct kafka *k)
{
	size_t taken = kafka_taken(k);

	/* One at a time, to see whether it works. */
	if (k->partition_count == 0 || k->trouble == KAFKA_AUTH_FAILED)
		return taken == 0 ? 1 : 0;
	return taken < k->o->max_in_flight ? k->o->max_in_flight - taken : 0;
}

/* Takes one piece: ERR_OK, ERR_AGAIN when there is none, ERR_FULL when it has to wait. */
static enum err reader_take(struct kafka *k, size_t index, int64_t now_ms, size_t *taken)
{
	struct kafka_reader *reader = &k->readers[index];
	uint64_t window_room;
	struct piece p;
	uint8_t *octets;
	uint32_t schema_id;
	size_t room;
	size_t count;

	TRY(frame_take(reader));
	schema_id = kafka_schema_id(&k->schemas, reader->frame.head.schema);
	if (schema_id == 0)
		return ERR_AGAIN;
	room = room_now(k);
	window_room = kafka_window_room(&reader->window);
	if (room > window_room)
		room = (size_t)window_room;
	if (room == 0)
		return k->partition_count == 0 ? ERR_AGAIN : ERR_FULL;
	piece_plan(reader, room, &p);
	if (p.count > 0) {
		TRY(exporters_grow(k, p.exporter_max));
		octets = kafka_slab_put(&k->slabs, reader->frame.body + p.from, p.to - p.from);
		if (octets == NULL)
			return ERR_FULL;
		kafka_window_take(&reader->window, p.lsn_end);
		count = piece_fill(k, index, octets, &p, schema_id);
		if (count > 0)
			piece_send(k, count, now_ms);
		*taken += p.count;
	}
	/* With room left, a piece ends before the frame's end only for its size. */
	if (p.count == 0)
		reader->has_frame = false;
	reader->at = p.at;
	reader->last = p.last;
	return ERR_OK;
}

/* After a stall it goes on when there is room for more than a few. */
static bool is_resting(const struct kafka *k)
{
	return k->is_stalled && (kafka_taken(k) * 4 > (size_t)k->o->max_in_flight * RESUME_OF_4 ||
				 k->slabs.bytes * 4 > k->slabs.bytes_max * RESUME_OF_4);
}

static bool is_taking(const struct kafka *k)
{
	/* What failed goes first. */
	return k->rk != NULL && !k->is_fatal && k->redo.count == 0 && !k->redo.is_round &&
	       !is_resting(k);
}

size_t kafka_send(struct kafka *k, int64_t now_ms)
{
	size_t taken = 0;
	size_t idle = 0;
	size_t full = 0;

	partitions_sync(k);
	for (size_t i = 0; i < PIECES_MAX * k->reader_count && idle < k->reader_count; i++) {
		enum err e;

		if (!is_taking(k))
			return taken;
		k->reader_turn = (k->reader_turn + 1) % k->reader_count;
		e = reader_take(k, k->reader_turn, now_ms, &taken);
		idle = e == ERR_OK ? 0 : idle + 1;
		full = e == ERR_OK ? 0 : full + (e == ERR_FULL);
	}
	if (full > 0 && !k->is_stalled) {
		k->stalled_ms = now_ms;
		stat_inc(k->env.stat, SINK_STAT_STALLS);
	}
	k->is_stalled = full > 0;
	return taken;
}
