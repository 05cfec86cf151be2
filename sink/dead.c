/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/dead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/must.h"
#include "base/text.h"

#define EVENT_TYPE "dead_letter"
#define BATCH_ROOM 4096
#define SECOND_MS 1000
#define OLD_MAX 256

const struct stat_desc dead_stat_descs[DEAD_STAT_COUNT] = {
#define COUNTER(id, name, unit, doc) [DEAD_STAT_##id] = { name, "", unit, doc },
#define DROP(id, name, reason, unit, doc) [DEAD_STAT_##id] = { name, reason, unit, doc },
#include "sink/dead_counters.def"
#undef COUNTER
#undef DROP
};

/* One log and who writes it: a worker, or the sinks' threads under the mutex. */
struct slot {
	struct log_batch batch;
	struct stat_set *stat;
	/* Of the second that began then. */
	int64_t second_ms;
	uint32_t letters;
	uint64_t octets;
	bool is_open; /* something may wait to be sealed */
};

struct dead {
	uint32_t rate;
	uint64_t rate_bytes;
	char *dir; /* NULL: in memory */
	struct log_hub *hub;
	uint32_t schema;
	uint32_t event_type;
	uint32_t nobody;  /* exporter of what nobody is known of */
	size_t count;	  /* of slots; the last is the sinks' */
	size_t log_count; /* the slots', and those that more workers of an earlier life left */
	struct log **logs;
	struct log_reader **readers; /* of the replay */
	struct log_cursor *cursor;   /* where it stands */
	struct slot *slots;
	struct stat_set *replay_stat; /* of who replays */
	pthread_mutex_t lock;	      /* of the last slot */
};

static enum err open_names(struct dead *d)
{
	char *text;
	enum err e;

	TRY(dead_schema_text(&text));
	e = log_name_add(d->hub, LOG_NAME_SCHEMA, text, strlen(text), &d->schema);
	free(text);
	if (e != ERR_OK)
		return e;
	TRY(log_name_add(d->hub, LOG_NAME_EVENT_TYPE, EVENT_TYPE, strlen(EVENT_TYPE),
			 &d->event_type));
	return log_name_add(d->hub, LOG_NAME_EXPORTER, "", 0, &d->nobody);
}

static enum err open_log(struct dead *d, unsigned number, struct why *why)
{
	size_t i = d->log_count;

	TRY(log_open(d->hub, number, why, &d->logs[i]));
	d->log_count++;
	return log_cursor_reader(d->cursor, d->logs[i], LOG_FROM_OLDEST, why, &d->readers[i]);
}

/* Where the replay was, and what became of what lies before that. */
static enum err open_cursor(struct dead *d, struct why *why)
{
	const uint64_t *counts;

	TRY(log_cursor_open(d->hub, DEAD_READER, dead_stat_descs, DEAD_STAT_COUNT, why,
			    &d->cursor));
	counts = log_cursor_counts(d->cursor);
	for (size_t i = 0; i < DEAD_STAT_COUNT; i++)
		stat_add(d->replay_stat, i, counts[i]);
	return ERR_OK;
}

static void publish(struct dead *d)
{
	static const size_t loss_stats[LOG_LOSS_COUNT] = {
		[LOG_LOST_MAX_BYTES] = DEAD_STAT_EVICTED,
		[LOG_LOST_MAX_AGE] = DEAD_STAT_EVICTED,
		[LOG_LOST_CORRUPT] = DEAD_STAT_EVICTED,
		[LOG_LOST_UNSYNCED] = DEAD_STAT_EVICTED,
	};

	log_cursor_publish(d->cursor, d->replay_stat, loss_stats);
}

static enum err open_slots(struct dead *d, struct why *why)
{
	unsigned old[OLD_MAX];
	size_t old_count = log_hub_old(d->hub, old, OLD_MAX);

	d->logs = calloc(d->count + old_count, sizeof(struct log *));
	d->readers = calloc(d->count + old_count, sizeof(struct log_reader *));
	if (d->logs == NULL || d->readers == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	TRY(open_cursor(d, why));
	for (size_t i = 0; i < d->count; i++) {
		struct slot *s = &d->slots[i];

		if (log_batch_init(&s->batch, BATCH_ROOM) != ERR_OK ||
		    stat_set_new(dead_stat_descs, DEAD_STAT_COUNT, &s->stat) != ERR_OK)
			return why_set(why, ERR_NOMEM, "no memory");
		TRY(open_log(d, (unsigned)i, why));
	}
	for (size_t i = 0; i < old_count; i++) {
		TRY(open_log(d, old[i], why));
		log_finish(d->logs[d->log_count - 1]);
	}
	publish(d); /* where it begins, as sinks do */
	return ERR_OK;
}

static enum err open_all(struct dead *d, const struct dead_conf *conf, struct why *why)
{
	struct log_conf log = conf->log;

	log.policy = LOG_EVICT_OLDEST;
	log.worker_count = (unsigned)d->count;
	if (log.dir != NULL) {
		d->dir = strdup(log.dir);
		if (d->dir == NULL)
			return why_set(why, ERR_NOMEM, "no memory");
		log.dir = d->dir;
	}
	d->slots = calloc(d->count, sizeof(*d->slots));
	if (d->slots == NULL ||
	    stat_set_new(dead_stat_descs, DEAD_STAT_COUNT, &d->replay_stat) != ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory");
	TRY(log_hub_open(&log, why, &d->hub));
	if (open_names(d) != ERR_OK)
		return why_set(why, ERR_NOMEM, "no memory");
	return open_slots(d, why);
}

enum err dead_open(const struct dead_conf *conf, struct why *why, struct dead **out)
{
	struct dead *d = calloc(1, sizeof(*d));
	enum err e;

	if (d == NULL)
		return why_set(why, ERR_NOMEM, "dead letter log: no memory");
	d->count = (size_t)conf->worker_count + 1;
	d->rate = conf->rate;
	d->rate_bytes = conf->rate_bytes;
	(void)pthread_mutex_init(&d->lock, NULL);
	e = open_all(d, conf, why);
	if (e != ERR_OK) {
		why_prefix(why, "dead letter log");
		dead_close(d);
		return e;
	}
	*out = d;
	return ERR_OK;
}

void dead_close(struct dead *d)
{
	if (d == NULL)
		return;
	dead_stop(d);
	for (size_t i = 0; d->slots != NULL && i < d->count; i++) {
		log_batch_fini(&d->slots[i].batch);
		stat_set_free(d->slots[i].stat);
	}
	for (size_t i = 0; i < d->log_count; i++) {
		log_reader_close(d->readers[i]);
		log_close(d->logs[i]);
	}
	log_hub_close(d->hub);
	stat_set_free(d->replay_stat);
	(void)pthread_mutex_destroy(&d->lock);
	free(d->logs);
	free(d->readers);
	free(d->slots);
	free(d->dir);
	free(d);
}

/* Is there room left in this second? */
static bool is_within_rate(const struct dead *d, struct slot *s, enum dead_care care, size_t bytes)
{
	uint32_t share = care == DEAD_JUNK ? 2 : 1;
	int64_t now_ms;

	if (care == DEAD_KEEP)
		return true;
	now_ms = clock_mono_ms();
	if (now_ms - s->second_ms >= SECOND_MS) {
		s->second_ms = now_ms;
		s->letters = 0;
		s->octets = 0;
	}
	if (s->letters >= d->rate / share || s->octets + bytes > d->rate_bytes / share)
		return false;
	s->letters++;
	s->octets += bytes;
	return true;
}

bool dead_refuses(struct dead *d, unsigned worker, enum dead_care care, enum dead_stat kind)
{
	struct slot *s = &d->slots[worker];
	uint32_t share = care == DEAD_JUNK ? 2 : 1;

	must(worker < d->count - 1);
	if (care == DEAD_KEEP || s->letters < d->rate / share ||
	    clock_mono_ms() - s->second_ms >= SECOND_MS)
		return false;
	stat_inc(s->stat, kind);
	stat_inc(s->stat, DEAD_STAT_RATE);
	return true;
}

static uint32_t exporter_of(struct dead *d, const struct dead_letter *l)
{
	const struct dead_value *name = &l->values[DEAD_EXPORTER_NAME];
	uint32_t number;

	if (!name->is_there ||
	    log_name_add(d->hub, LOG_NAME_EXPORTER, name->octets, name->bytes, &number) != ERR_OK)
		return d->nobody;
	return number;
}

static enum dead_stat kind_stat(const struct dead_letter *l)
{
	if (dead_is_text(l, DEAD_KIND, DEAD_KIND_RECORD))
		return DEAD_STAT_RECORDS;
	return dead_is_text(l, DEAD_KIND, DEAD_KIND_SET) ? DEAD_STAT_SETS : DEAD_STAT_MESSAGES;
}

/* The reason why it was not written, or DEAD_STAT_COUNT. */
static enum dead_stat append(struct dead *d, struct slot *s, struct log *log,
			     const struct dead_letter *l)
{
	size_t room = dead_letter_room(l);
	struct log_head head = { .route = UINT64_MAX };
	uint8_t *out;
	uint64_t lsn;
	enum err e;

	if (room > LOG_RECORD_MAX)
		return DEAD_STAT_TOO_BIG;
	if (!is_within_rate(d, s, l->care, room))
		return DEAD_STAT_RATE;
	log_batch_clear(&s->batch);
	out = log_batch_reserve(&s->batch, room);
	if (out == NULL)
		return DEAD_STAT_ERROR;
	head.bytes = (uint32_t)dead_letter_encode(l, out, room);
	head.exporter = exporter_of(d, l);
	head.event_type = (uint16_t)d->event_type;
	head.event_ms = l->values[DEAD_RECEIVED].number;
	head.ingest_ms = head.event_ms;
	log_batch_commit(&s->batch, &head);
	s->batch.schema = d->schema;
	e = log_append(log, &s->batch, &lsn);
	if (e != ERR_OK)
		return e == ERR_FULL ? DEAD_STAT_FULL : DEAD_STAT_ERROR;
	s->is_open = true;
	stat_add(s->stat, DEAD_STAT_WRITTEN_OCTETS, head.bytes);
	return DEAD_STAT_COUNT;
}

static bool put(struct dead *d, size_t slot, const struct dead_letter *l)
{
	struct slot *s = &d->slots[slot];
	enum dead_stat why_not;

	why_not = append(d, s, d->logs[slot], l);
	stat_inc(s->stat, kind_stat(l));
	stat_inc(s->stat, why_not == DEAD_STAT_COUNT ? DEAD_STAT_WRITTEN : why_not);
	return why_not == DEAD_STAT_COUNT;
}

bool dead_put(struct dead *d, unsigned worker, const struct dead_letter *l)
{
	must(worker < d->count - 1);
	return put(d, worker, l);
}

void dead_tick(struct dead *d, unsigned worker, int64_t mono_ms)
{
	struct slot *s = &d->slots[worker];

	if (!s->is_open)
		return;
	log_tick(d->logs[worker], mono_ms);
	s->is_open = log_end_lsn(d->logs[worker]) != log_sealed_lsn(d->logs[worker]);
}

void dead_flush(struct dead *d, unsigned worker)
{
	must(worker < d->count - 1);
	log_flush(d->logs[worker]);
	d->slots[worker].is_open = false;
}

bool dead_bury_letter(struct dead *d, const struct dead_letter *l)
{
	bool is_written;

	(void)pthread_mutex_lock(&d->lock);
	is_written = put(d, d->count - 1, l);
	(void)pthread_mutex_unlock(&d->lock);
	return is_written;
}

void dead_fingerprint(const char *schema, size_t bytes, char out[DEAD_FINGERPRINT_BYTES + 1])
{
	XXH64_canonical_t canonical;

	XXH64_canonicalFromHash(&canonical, XXH3_64bits(schema, bytes));
	(void)text_put_hex((uint8_t *)out, canonical.digest, sizeof(canonical.digest));
	out[DEAD_FINGERPRINT_BYTES] = '\0';
}

bool dead_bury(struct dead *d, const struct dead_record *r)
{
	struct dead_letter l = { .care = DEAD_KEEP };
	char fingerprint[DEAD_FINGERPRINT_BYTES + 1];
	const char *name;
	size_t bytes;

	if (r->has_schema) {
		name = log_name(r->hub, LOG_NAME_SCHEMA, r->schema, &bytes);
		dead_fingerprint(name, bytes, fingerprint);
		dead_set_text(&l, DEAD_SCHEMA, fingerprint);
	}
	name = log_name(r->hub, LOG_NAME_EXPORTER, r->exporter, &bytes);
	dead_set_octets(&l, DEAD_EXPORTER_NAME, name, bytes);
	dead_set_number(&l, DEAD_RECEIVED, clock_real_ms());
	dead_set_text(&l, DEAD_KIND, DEAD_KIND_RECORD);
	dead_set_text(&l, DEAD_REASON, r->reason);
	dead_set_text(&l, DEAD_ERROR, r->error);
	dead_set_text(&l, DEAD_SINK, r->sink);
	dead_set_number(&l, DEAD_LSN, (int64_t)r->lsn);
	dead_set_octets(&l, DEAD_OCTETS, r->payload, r->bytes);
	return dead_bury_letter(d, &l);
}

/* Returns where the log ends. */
static uint64_t seal(struct dead *d)
{
	struct log *log = d->logs[d->count - 1];
	uint64_t end;

	(void)pthread_mutex_lock(&d->lock);
	log_flush(log);
	end = log_end_lsn(log);
	(void)pthread_mutex_unlock(&d->lock);
	return end;
}

void dead_seal(struct dead *d)
{
	(void)seal(d);
}

bool dead_wait_durable(struct dead *d, int timeout_ms)
{
	uint64_t end = seal(d);

	return log_reader_sync(d->readers[d->count - 1], end, timeout_ms) == ERR_OK;
}

enum err dead_start(struct dead *d, struct why *why)
{
	return log_hub_start(d->hub, why);
}

void dead_stop(struct dead *d)
{
	if (d->hub == NULL)
		return;
	if (d->cursor != NULL)
		publish(d);
	log_hub_stop(d->hub);
}

void dead_finish(struct dead *d)
{
	for (size_t i = 0; i < d->count; i++)
		log_finish(d->logs[i]);
}

struct log_hub *dead_hub(struct dead *d)
{
	return d->hub;
}

size_t dead_log_count(const struct dead *d)
{
	return d->log_count;
}

struct log *const *dead_logs(const struct dead *d)
{
	return d->logs;
}

const char *dead_schema(const struct dead *d)
{
	size_t bytes;

	return log_name(d->hub, LOG_NAME_SCHEMA, d->schema, &bytes);
}

struct log_reader *dead_reader(struct dead *d, size_t log)
{
	must(log < d->log_count);
	return d->readers[log];
}

void dead_count_replayed(struct dead *d, uint64_t letters, uint64_t returned, uint64_t unreadable)
{
	stat_add(d->replay_stat, DEAD_STAT_REPLAYED, letters - unreadable);
	stat_add(d->replay_stat, DEAD_STAT_RETURNED, returned);
	stat_add(d->replay_stat, DEAD_STAT_UNREADABLE, unreadable);
	publish(d);
}

void dead_sum(struct dead *d, struct dead_sums *out)
{
	memset(out, 0, sizeof(*out));
	publish(d);
	for (size_t i = 0; i < d->count; i++)
		stat_sum(d->slots[i].stat, out->values);
	for (size_t i = 0; i < d->log_count; i++) {
		const struct log_reader *r = d->readers[i];

		out->kept += log_reader_pending(r);
		out->span += log_end_lsn(d->logs[i]) - log_reader_start_lsn(r);
	}
	stat_sum(d->replay_stat, out->values);
}
