/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sink/file_rotate.h"

#define LOOK_RECORDS 256 /* between two looks at the memory, */
#define LOOK_OCTETS (1u << 20)
#define FEW_MS 180000
#define FINISH_MS 50 /* at most about so long in one call */
#define NUMBER_BYTES 24

enum err file_set_init(struct file_set *s, const struct sink_env *env,
		       const struct file_format *format, void *shared, const struct file_path *path,
		       size_t slot_max, size_t memory_max, struct file_part *parts)
{
	memset(s, 0, sizeof(*s));
	s->env = env;
	s->format = format;
	s->shared = shared;
	s->path = path;
	s->memory_max = memory_max;
	s->parts = parts;
	s->epoch = 1;
	s->slots = calloc(slot_max, sizeof(s->slots[0]));
	if (s->slots == NULL)
		return ERR_NOMEM;
	s->slot_max = slot_max;
	for (size_t i = 0; i < slot_max; i++)
		s->slots[i].out.fd = -1;
	return ERR_OK;
}

static void free_writers(struct file_set *s, size_t from)
{
	for (size_t i = from; i < s->slot_max; i++) {
		if (s->slots[i].writer != NULL)
			s->format->writer_free(s->slots[i].writer);
		s->slots[i].writer = NULL;
	}
}

void file_set_fini(struct file_set *s)
{
	free_writers(s, 0);
	free(s->slots);
	memset(s, 0, sizeof(*s));
}

static void look(struct file_set *s)
{
	s->unseen = 0;
	s->unseen_octets = 0;
	s->held = 0;
	s->written = 0;
	for (size_t i = 0; i < s->slot_max; i++) {
		if (s->slots[i].writer != NULL)
			s->held += s->format->held(s->slots[i].writer);
		if (i < s->count)
			s->written += s->slots[i].out.bytes;
	}
}

/* One is open. */
static struct file_slot *find_largest(const struct file_set *s)
{
	struct file_slot *most = &s->slots[0];
	size_t most_bytes = 0;

	for (size_t i = 0; i < s->count; i++) {
		size_t bytes = s->format->held(s->slots[i].writer);

		if (bytes > most_bytes) {
			most = &s->slots[i];
			most_bytes = bytes;
		}
	}
	return most;
}

/* What was counted as a record, and is none. */
static void take_back(struct file_set *s, struct file_slot *slot)
{
	for (unsigned i = 0; i < s->refused.count; i++) {
		const struct file_tag *tag = &s->refused.tags[i];
		struct file_part *part = &s->parts[tag->reader];

		part->records--;
		part->octets -= tag->bytes;
		part->corrupt++;
		slot->records--;
		slot->late -= tag->is_late;
		s->records--;
	}
	s->refused.count = 0;
}

static enum err settle_slot(struct file_set *s, struct file_slot *slot)
{
	enum err e =
		s->format->settle == NULL ? ERR_OK : s->format->settle(slot->writer, &s->refused);

	take_back(s, slot);
	return e == ERR_FORMAT ? ERR_OK : e;
}

/* Memory that waits for a next file goes first.  Files that are alike grow all at once: one that writes what it
 * has may not be enough; more than all is not there. */
static enum err bound_memory(struct file_set *s)
{
	look(s);
	if (s->held <= s->memory_max)
		return ERR_OK;
	free_writers(s, s->count);
	look(s);
	for (size_t i = 0; i < s->count && s->held > s->memory_max; i++) {
		struct file_slot *slot = find_largest(s);

		TRY(settle_slot(s, slot));
		TRY(s->format->spill(slot->writer));
		look(s);
	}
	return ERR_OK;
}

static enum err begin_file(struct file_set *s, struct file_slot *slot, uint32_t schema)
{
	char lsn[FILE_LSN_TEXT_BYTES];
	char when[CLOCK_TEXT_BYTES];
	const struct file_meta meta[] = {
		{ "sluice.version", SLUICE_VERSION },
		{ "sluice.sink", s->env->name },
		{ "sluice.created", when },
		{ "sluice.lsn_first", lsn },
	};

	file_rotate_lsn_text(s->env, lsn);
	clock_text(slot->created_ms, when);
	return s->format->open(slot->writer, &slot->out, schema, meta,
			       sizeof(meta) / sizeof(meta[0]));
}

static enum err open_slot(struct file_set *s, struct file_dir *d, const char *below,
			  uint32_t schema)
{
	struct file_slot *slot = &s->slots[s->count];
	enum err e;

	if (slot->writer == NULL)
		TRY(s->format->writer_new(s->shared, &slot->writer));
	TRY(file_out_create(d, below, &slot->out));
	slot->schema = schema;
	slot->records = 0;
	slot->late = 0;
	slot->created_ms = clock_real_ms();
	memcpy(slot->below, below, strlen(below) + 1);
	e = begin_file(s, slot, schema);
	if (e != ERR_OK) {
		int error = errno;

		s->format->reset(slot->writer);
		file_out_abort(d, &slot->out);
		errno = error;
		return e;
	}
	slot->is_open = true;
	s->count++;
	return ERR_OK;
}

/* ERR_ABSENT: there is none. */
static enum err find_slot(const struct file_set *s, const char *below, uint32_t schema,
			  uint32_t *out)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->slots[i].schema == schema && strcmp(s->slots[i].below, below) == 0) {
			*out = (uint32_t)i;
			return ERR_OK;
		}
	}
	return ERR_ABSENT;
}

static size_t hash(const struct file_path_key *key, uint32_t schema)
{
	uint64_t h = (uint64_t)key->time_ms / 60000 * 0x9e3779b97f4a7c15u;

	h ^= ((uint64_t)key->exporter << 32 | key->event_type << 8 | schema) * 0xff51afd7ed558ccdu;
	return (size_t)((h ^ h >> 32) * 0x9e3779b97f4a7c15u >> 40) % FILE_SET_CACHE;
}

static size_t max_open(const struct file_set *s)
{
	return s->few > 0 && clock_mono_ms() < s->few_until_ms ? s->few : s->slot_max;
}

/* Files that are completed need some more, so that these here are not completed but read again. */
static enum err open_next(struct file_set *s, struct file_dir *d, const char *below,
			  uint32_t schema)
{
	enum err e = open_slot(s, d, below, schema);

	if (e == ERR_OK || (errno != EMFILE && errno != ENFILE))
		return e;
	s->few = s->count < 4 ? 1 : s->count / 2;
	s->few_until_ms = clock_mono_ms() + FEW_MS;
	return e;
}

enum err file_set_find(struct file_set *s, struct file_dir *d, const struct log_head *head,
		       uint32_t schema, struct file_slot **out, bool *is_late)
{
	uint32_t own_schema = s->format->has_schema ? schema : 0;
	char below[FILE_BELOW_BYTES];
	struct file_path_key key;
	uint32_t slot;
	size_t at;

	*is_late = file_path_key(s->path, head, &key);
	at = hash(&key, own_schema);
	if (s->cache[at].epoch == s->epoch && s->cache[at].schema == own_schema &&
	    s->cache[at].key.time_ms == key.time_ms && s->cache[at].key.exporter == key.exporter &&
	    s->cache[at].key.event_type == key.event_type) {
		*out = &s->slots[s->cache[at].slot];
		return ERR_OK;
	}
	file_path_below(s->path, s->env->hub, s->env->name, &key, below);
	if (find_slot(s, below, own_schema, &slot) != ERR_OK) {
		if (s->count >= max_open(s))
			return ERR_FULL;
		slot = (uint32_t)s->count;
		TRY(open_next(s, d, below, own_schema));
	}
	s->cache[at].key = key;
	s->cache[at].schema = own_schema;
	s->cache[at].slot = slot;
	s->cache[at].epoch = s->epoch;
	*out = &s->slots[slot];
	return ERR_OK;
}

enum err file_set_add(struct file_set *s, struct file_slot *slot, uint32_t schema,
		      const struct log_record *record, size_t reader, bool is_late)
{
	const struct file_tag tag = { record->head.bytes, (uint16_t)reader, is_late };
	enum err e;

	s->parts[reader].records++;
	s->parts[reader].octets += tag.bytes;
	slot->records++;
	slot->late += is_late;
	s->records++;
	e = s->format->add(slot->writer, schema, record->payload, tag.bytes, tag, &s->refused);
	if (e == ERR_FORMAT) {
		take_back(s, slot);
		e = ERR_OK;
	}
	TRY(e);
	s->unseen_octets += record->head.bytes;
	return ++s->unseen < LOOK_RECORDS && s->unseen_octets < LOOK_OCTETS ? ERR_OK
									    : bound_memory(s);
}

static enum err finish_slot(struct file_set *s, struct file_slot *slot, const char *lsn_text)
{
	char records[NUMBER_BYTES];
	char late[NUMBER_BYTES];
	char when[CLOCK_TEXT_BYTES];
	const struct file_meta meta[] = {
		{ "sluice.version", SLUICE_VERSION }, { "sluice.sink", s->env->name },
		{ "sluice.created", when },	      { "sluice.lsn", lsn_text },
		{ "sluice.records", records },	      { "sluice.late", late },
	};

	clock_text(slot->created_ms, when);
	(void)snprintf(records, sizeof(records), "%llu", (unsigned long long)slot->records);
	(void)snprintf(late, sizeof(late), "%llu", (unsigned long long)slot->late);
	return s->format->finish(slot->writer, meta, sizeof(meta) / sizeof(meta[0]));
}

enum err file_set_finish(struct file_set *s, struct file_dir *d, const char *lsn_text)
{
	int64_t until_ms = clock_mono_ms() + FINISH_MS;

	for (; s->finished < s->count; s->finished++) {
		struct file_slot *slot = &s->slots[s->finished];

		TRY(settle_slot(s, slot));
		if (slot->records == 0) {
			s->format->reset(slot->writer);
			file_out_abort(d, &slot->out);
			slot->is_open = false;
			continue;
		}
		if (clock_mono_ms() > until_ms)
			return ERR_AGAIN;
		TRY(finish_slot(s, slot, lsn_text));
	}
	return ERR_OK;
}

static void forget(struct file_set *s)
{
	for (size_t i = 0; i < s->count; i++) {
		s->format->reset(s->slots[i].writer);
		s->slots[i].is_open = false;
	}
	s->count = 0;
	s->finished = 0;
	s->records = 0;
	s->epoch++;
	look(s);
	/* Completing files takes memory too, which the next ones need not have. */
	for (size_t i = s->slot_max; i > 0 && s->held > s->memory_max; i--) {
		free_writers(s, i - 1);
		look(s);
	}
}

void file_set_close(struct file_set *s)
{
	for (size_t i = 0; i < s->count; i++)
		file_out_close(&s->slots[i].out);
	forget(s);
}

void file_set_abort(struct file_set *s, struct file_dir *d)
{
	int error = errno;

	for (size_t i = 0; i < s->count; i++)
		file_out_abort(d, &s->slots[i].out);
	forget(s);
	errno = error;
}
