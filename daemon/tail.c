/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tail.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/service.h"
#include "sink/avro.h"

#define TAILS_MAX 8
#define EVENTS_PER_STEP 500
#define EVENT_BYTES_MAX (4u << 20)
#define EXPR_BYTES 512

struct tail {
	struct ctl_client *client; /* NULL: free */
	struct log_reader **readers;
	unsigned reader_count;
	uint64_t wanted; /* events still to show; 0: no end */
	uint64_t shown;
	uint64_t left_out;
	bool has_end;
	char field[EXPR_BYTES]; /* "": all */
	char value[EXPR_BYTES];
};

struct tails {
	struct service *service;
	struct tail tails[TAILS_MAX];
};

enum err tails_new(struct service *s, struct tails **out)
{
	struct tails *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return ERR_NOMEM;
	t->service = s;
	*out = t;
	return ERR_OK;
}

static void end_tail(void *stream)
{
	struct tail *t = stream;

	for (unsigned i = 0; t->readers != NULL && i < t->reader_count; i++) {
		if (t->readers[i] != NULL)
			log_reader_close(t->readers[i]);
	}
	free(t->readers);
	memset(t, 0, sizeof(*t));
}

void tails_free(struct tails *t)
{
	for (size_t i = 0; t != NULL && i < TAILS_MAX; i++) {
		if (t->tails[i].client != NULL)
			ctl_finish(t->tails[i].client);
	}
	free(t);
}

static enum err take_expr(struct service *s, struct tail *t, const char *word, struct why *why)
{
	const char *equals = strchr(word, '=');

	if (equals == NULL || equals == word || strlen(word) >= EXPR_BYTES)
		return why_set(why, ERR_FORMAT, "usage: tail [-n N] [FIELD=VALUE]");
	memcpy(t->field, word, (size_t)(equals - word));
	memcpy(t->value, equals + 1, strlen(equals + 1) + 1);
	if (field_find(&reload_newest(&s->reload)->catalog->fields, t->field) < 0)
		return why_set(why, ERR_ABSENT, "unknown field `%s'", t->field);
	return ERR_OK;
}

static enum err read_words(struct service *s, struct ctl_call *call, struct tail *t,
			   struct why *why)
{
	for (size_t i = 1; i < call->word_count; i++) {
		char *end;

		if (strcmp(call->words[i], "-n") != 0 || i + 1 == call->word_count) {
			TRY(take_expr(s, t, call->words[i], why));
			continue;
		}
		t->wanted = strtoull(call->words[++i], &end, 10);
		t->has_end = true;
		if (*end != '\0' || t->wanted == 0)
			return why_set(why, ERR_FORMAT, "-n wants a number above 0");
	}
	return ERR_OK;
}

static enum err open_readers(struct service *s, struct tail *t, struct why *why)
{
	t->readers = calloc(s->worker_count, sizeof(struct log_reader *));
	if (t->readers == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	t->reader_count = s->worker_count;
	for (unsigned i = 0; i < s->worker_count; i++)
		TRY(log_reader_open(s->logs[i], "tail", LOG_FROM_END, why, &t->readers[i]));
	return ERR_OK;
}

enum err tails_add(struct tails *ts, struct ctl_call *call, struct why *why)
{
	struct tail *t = ts->tails;
	enum err e;

	while (t < ts->tails + TAILS_MAX && t->client != NULL)
		t++;
	if (t == ts->tails + TAILS_MAX)
		return why_set(why, ERR_LIMIT, "%d tails are running already", TAILS_MAX);
	e = read_words(ts->service, call, t, why);
	if (e == ERR_OK)
		e = open_readers(ts->service, t, why);
	if (e != ERR_OK) {
		end_tail(t);
		return e;
	}
	t->client = call->client;
	call->is_deferred = true;
	ctl_keep(call->client, end_tail, t);
	return ERR_OK;
}

/* Does the event's field have the wanted value, as text? */
static bool matches(const struct tail *t, const struct json *event)
{
	static const char *const layers[] = { "normalized", "enriched" };
	json_t *root;
	json_t *v = NULL;
	char digits[32];
	const char *text;
	bool is_match;

	if (t->field[0] == '\0')
		return true;
	root = json_loadb(event->text, event->bytes, 0, NULL);
	for (size_t i = 0; i < 2 && v == NULL; i++)
		v = json_object_get(json_object_get(root, layers[i]), t->field);
	(void)snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	text = json_is_string(v)    ? json_string_value(v)
	       : json_is_integer(v) ? digits
	       : json_is_true(v)    ? "true"
	       : json_is_false(v)   ? "false"
				    : "null";
	is_match = strcmp(text, t->value) == 0;
	json_decref(root);
	return is_match;
}

static void push_end(struct tail *t)
{
	struct ctl_client *client = t->client;
	struct json j;

	json_init(&j, 4096);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_u64(&j, "events", t->shown);
	json_u64(&j, "left_out", t->left_out);
	json_end(&j);
	(void)ctl_push(client, &j);
	json_fini(&j);
	ctl_finish(client);
}

/* One event; false when the tail has ended. */
static bool show(struct tail *t, const struct field_set *fields, const struct log_record *r)
{
	struct json event;
	struct json j;
	bool goes_on = true;

	json_init(&event, EVENT_BYTES_MAX);
	json_init(&j, EVENT_BYTES_MAX + 4096);
	if (avro_to_json(fields, r->payload, r->head.bytes, true, &event) == ERR_OK &&
	    !event.is_failed && matches(t, &event)) {
		json_open_object(&j, NULL);
		json_bool(&j, "ok", true);
		json_bool(&j, "more", true);
		json_raw(&j, "event", event.text, event.bytes);
		json_end(&j);
		goes_on = ctl_push(t->client, &j);
		if (goes_on)
			t->shown++;
		if (goes_on && t->has_end && t->shown == t->wanted) {
			push_end(t);
			goes_on = false;
		}
	}
	json_fini(&event);
	json_fini(&j);
	return goes_on;
}

/* False when the tail has ended, and its readers with it. */
static bool step_reader(struct tail *t, struct log_reader *r, const struct field_set *fields,
			unsigned *budget)
{
	struct log_frame frame;
	struct log_record record;

	while (log_reader_next(r, &frame) == ERR_OK) {
		size_t at = 0;

		while (*budget > 0 && log_frame_next(&frame, &at, &record)) {
			(*budget)--;
			if (!show(t, fields, &record))
				return false;
		}
		while (log_frame_next(&frame, &at, &record))
			t->left_out++;
		reader_done(r, frame.head.first_lsn + frame.head.record_count);
	}
	return true;
}

void tails_step(struct tails *ts)
{
	const struct field_set *fields = &reload_newest(&ts->service->reload)->catalog->fields;

	for (size_t i = 0; i < TAILS_MAX; i++) {
		struct tail *t = &ts->tails[i];
		unsigned budget = EVENTS_PER_STEP;
		bool goes_on = t->client != NULL;

		for (unsigned r = 0; goes_on && r < t->reader_count; r++)
			goes_on = step_reader(t, t->readers[r], fields, &budget);
	}
}
