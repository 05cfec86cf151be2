/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/dead_replay.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "collector/udp.h"
#include "daemon/envelope.h"
#include "daemon/letter.h"
#include "daemon/service.h"
#include "sink/avro.h"
#include "sink/schema.h"

#define EVENT_JSON_MAX (256u << 20)

/* A letter of the frame at hand. */
struct item {
	struct dead_letter letter;
	struct origin origin; /* of a set or message */
	struct log_head head; /* of a record */
	uint32_t schema;
	unsigned worker;
	bool is_record;
	bool is_sent;
};

struct dead_replay {
	struct service *service;
	struct dead_replay_sums sums;
	/* Of each log, when it began: what fails again comes behind that. */
	uint64_t *ends;
	size_t log_count;
	size_t log;	    /* at hand; log_count at the end */
	struct item *items; /* room for item_room */
	size_t item_count;
	size_t item_room;
	/* The fields of the schema that was asked for last. */
	struct field_set *fields;
	uint32_t schema;
	struct json json;
	struct flow flow;
	uint8_t message[LETTER_MESSAGE_MAX];
};

/* Number of the schema of that fingerprint in the main log. */
static bool find_schema(const struct dead_replay *a, const struct dead_value *fingerprint,
			uint32_t *out)
{
	struct log_hub *hub = a->service->hub;
	uint32_t count = log_name_count(hub, LOG_NAME_SCHEMA);

	if (!fingerprint->is_there || fingerprint->bytes != DEAD_FINGERPRINT_BYTES)
		return false;
	for (uint32_t i = count; i > 0; i--) { /* most likely a late one */
		char text[DEAD_FINGERPRINT_BYTES + 1];
		size_t bytes;
		const char *schema = log_name(hub, LOG_NAME_SCHEMA, i - 1, &bytes);

		dead_fingerprint(schema, bytes, text);
		if (memcmp(text, fingerprint->octets, DEAD_FINGERPRINT_BYTES) == 0) {
			*out = i - 1;
			return true;
		}
	}
	return false;
}

static enum err use_schema(struct dead_replay *a, uint32_t number)
{
	struct field_set *fields;
	size_t bytes;

	if (a->fields != NULL && a->schema == number)
		return ERR_OK;
	TRY(schema_fields_new(log_name(a->service->hub, LOG_NAME_SCHEMA, number, &bytes), NULL,
			      &fields));
	schema_fields_free(a->fields);
	a->fields = fields;
	a->schema = number;
	return ERR_OK;
}

static void take_addr(struct flow *f, unsigned field, const json_t *v, struct addr *room)
{
	const char *text = json_string_value(v);

	if (text != NULL && addr_parse(text, room) == ERR_OK)
		flow_set_octets(f, field, room->octets, room->bytes);
}

static void take_number(struct flow *f, unsigned field, const json_t *v)
{
	if (json_is_integer(v))
		flow_set_i64(f, field, json_integer_value(v));
}

/* The head that the event had: of what it says itself. */
static enum err head_of(struct dead_replay *a, const json_t *said, struct item *it)
{
	const struct dead_value *name = &it->letter.values[DEAD_EXPORTER_NAME];
	const char *type = json_string_value(json_object_get(said, "event_type"));
	const char *exporter = json_string_value(json_object_get(said, "exporter_ip"));
	struct log_hub *hub = a->service->hub;
	struct addr src;
	struct addr dst;
	struct addr peer;
	uint32_t event_type;

	if (type == NULL || exporter == NULL || !name->is_there ||
	    addr_parse(exporter, &peer) != ERR_OK)
		return ERR_FORMAT;
	flow_clear(&a->flow);
	take_number(&a->flow, F_event_time, json_object_get(said, "event_time"));
	take_number(&a->flow, F_ingest_time, json_object_get(said, "ingest_time"));
	take_number(&a->flow, F_src_port, json_object_get(said, "src_port"));
	take_number(&a->flow, F_dst_port, json_object_get(said, "dst_port"));
	take_number(&a->flow, F_protocol_number, json_object_get(said, "protocol_number"));
	take_addr(&a->flow, F_src_ip, json_object_get(said, "src_ip"), &src);
	take_addr(&a->flow, F_dst_ip, json_object_get(said, "dst_ip"), &dst);
	envelope_head(&a->flow, &it->head);
	it->head.bytes = (uint32_t)it->letter.values[DEAD_OCTETS].bytes;
	TRY(log_name_add(hub, LOG_NAME_EVENT_TYPE, type, strlen(type), &event_type));
	it->head.event_type = (uint16_t)event_type;
	it->worker = udp_owner(&peer, a->service->worker_count);
	return log_name_add(hub, LOG_NAME_EXPORTER, name->octets, name->bytes, &it->head.exporter);
}

static enum err prepare_record(struct dead_replay *a, struct item *it)
{
	const struct dead_value *octets = &it->letter.values[DEAD_OCTETS];
	const struct dead_value *sink = &it->letter.values[DEAD_SINK];
	uint64_t route =
		sink->is_there ? sinks_route(a->service->sinks, sink->octets, sink->bytes) : 0;
	json_t *event;
	enum err e;

	it->is_record = true;
	if (route == 0 || !find_schema(a, &it->letter.values[DEAD_SCHEMA], &it->schema))
		return ERR_ABSENT;
	TRY(use_schema(a, it->schema));
	json_clear(&a->json);
	TRY(avro_to_json(a->fields, octets->octets, octets->bytes, true, &a->json));
	event = json_loadb(a->json.text, a->json.bytes, 0, NULL);
	if (event == NULL)
		return ERR_FORMAT;
	e = head_of(a, json_object_get(event, "normalized"), it);
	json_decref(event);
	it->head.route = route;
	return e;
}

static enum err prepare(struct dead_replay *a, struct item *it)
{
	if (dead_is_text(&it->letter, DEAD_KIND, DEAD_KIND_RECORD))
		return prepare_record(a, it);
	TRY(letter_origin(&it->letter, &it->origin));
	it->worker = udp_owner(&it->origin.peer, a->service->worker_count);
	return ERR_OK;
}

/* On the worker's thread. */
static void send_item(struct dead_replay *a, struct item *it, struct pipeline *p)
{
	size_t bytes;

	if (it->is_record) {
		it->is_sent =
			pipeline_append_again(p, &it->head, it->schema,
					      it->letter.values[DEAD_OCTETS].octets) == ERR_OK;
		return;
	}
	if (letter_rebuild(&it->letter, a->message, sizeof(a->message), &bytes) != ERR_OK)
		return;
	pipeline_again(p, a->message, bytes, &it->origin);
	it->is_sent = true;
}

static void send_items(void *ctx, unsigned worker, struct pipeline *p)
{
	struct dead_replay *a = ctx;

	for (size_t i = 0; i < a->item_count; i++) {
		if (a->items[i].worker == worker)
			send_item(a, &a->items[i], p);
	}
	pipeline_flush(p);
}

static void count_sent(struct dead_replay_sums *r, const struct dead_letter *l)
{
	if (dead_is_text(l, DEAD_KIND, DEAD_KIND_RECORD))
		r->records++;
	else if (dead_is_text(l, DEAD_KIND, DEAD_KIND_SET))
		r->sets++;
	else
		r->messages++;
}

static enum err make_room(struct dead_replay *a, size_t count)
{
	struct item *items;

	if (count <= a->item_room)
		return ERR_OK;
	items = realloc(a->items, count * sizeof(*items));
	if (items == NULL)
		return ERR_NOMEM;
	a->items = items;
	a->item_room = count;
	return ERR_OK;
}

/* Letters that nothing can be made of have no worker. */
static void take_letters(struct dead_replay *a, const struct log_frame *frame)
{
	struct log_record record = { .lsn = 0 };
	size_t at = 0;

	a->item_count = 0;
	while (log_frame_next(frame, &at, &record)) {
		struct item *it = &a->items[a->item_count];

		memset(it, 0, sizeof(*it));
		it->worker = UINT32_MAX;
		if (dead_letter_decode(record.payload, record.head.bytes, &it->letter) != ERR_OK)
			continue; /* of a later version, perhaps: there is no way to keep it */
		if (prepare(a, it) != ERR_OK)
			it->worker = UINT32_MAX;
		a->item_count++;
	}
}

static enum err send_frame(struct dead_replay *a, struct log_reader *r,
			   const struct log_frame *frame)
{
	struct service *s = a->service;
	uint64_t returned = 0;

	TRY(make_room(a, frame->head.record_count));
	take_letters(a, frame);
	for (unsigned w = 0; w < s->worker_count; w++)
		workers_call(s->workers, w, send_items, a);
	for (size_t i = 0; i < a->item_count; i++) {
		const struct item *it = &a->items[i];

		if (it->is_sent) {
			count_sent(&a->sums, &it->letter);
			continue;
		}
		returned++;
		(void)dead_bury_letter(s->dead, &it->letter);
	}
	a->sums.returned += returned;
	reader_done(r, frame->head.first_lsn + frame->head.record_count);
	dead_count_replayed(s->dead, frame->head.record_count, returned,
			    frame->head.record_count - a->item_count);
	return ERR_OK;
}

/* The next frame of the log at hand; or else the next log, or the end. */
static enum err send_next(struct dead_replay *a)
{
	struct service *s = a->service;
	struct log_reader *r = dead_reader(s->dead, a->log);
	struct log_frame frame;

	if (log_reader_next_lsn(r) >= a->ends[a->log]) {
		a->log++;
		return ERR_OK;
	}
	if (log_hub_is_high(s->hub)) {
		a->sums.is_more = true;
		a->log = a->log_count;
		return ERR_OK;
	}
	if (log_reader_next(r, &frame) != ERR_OK) {
		a->log++;
		return ERR_OK;
	}
	return send_frame(a, r, &frame);
}

enum err dead_replay_step(struct dead_replay *a, int64_t until_ms, struct why *why)
{
	enum err e = ERR_OK;

	do {
		if (a->log < a->log_count)
			e = send_next(a);
	} while (e == ERR_OK && a->log < a->log_count && clock_mono_ms() < until_ms);
	dead_seal(a->service->dead);
	if (e != ERR_OK)
		return why_set(why, e, "replay: %s", err_text(e));
	return a->log < a->log_count ? ERR_AGAIN : ERR_OK;
}

const struct dead_replay_sums *dead_replay_sums(const struct dead_replay *a)
{
	return &a->sums;
}

enum err dead_replay_new(struct service *s, struct dead_replay **out, struct why *why)
{
	struct dead_replay *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	a->service = s;
	json_init(&a->json, EVENT_JSON_MAX);
	a->log_count = dead_log_count(s->dead);
	a->ends = calloc(a->log_count, sizeof(*a->ends));
	if (a->ends == NULL) {
		dead_replay_free(a);
		return why_set(why, ERR_NOMEM, "no memory");
	}
	service_flush_logs(s);
	for (size_t i = 0; i < a->log_count; i++)
		a->ends[i] = log_sealed_lsn(dead_logs(s->dead)[i]);
	*out = a;
	return ERR_OK;
}

void dead_replay_free(struct dead_replay *a)
{
	if (a == NULL)
		return;
	schema_fields_free(a->fields);
	json_fini(&a->json);
	free(a->items);
	free(a->ends);
	free(a);
}
