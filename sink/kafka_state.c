/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "sink/kafka_types.h"

#define PUBLISH_MS 100
#define STALL_SHOWN_MS 1000 /* a shorter one is the ordinary pace of a busy sink */

static const char *const state_names[KAFKA_STATE_COUNT] = {
	[KAFKA_STARTING] = "starting",
	[KAFKA_RUNNING] = "running",
	[KAFKA_SCHEMA_WAITING] = "schema_waiting",
	[KAFKA_SCHEMA_REFUSED] = "schema_refused",
	[KAFKA_BROKER_AWAY] = "broker_away",
	[KAFKA_AUTH_FAILED] = "auth_failed",
	[KAFKA_TOPIC_MISSING] = "topic_missing",
	[KAFKA_WINDOW_FULL] = "window_full",
	[KAFKA_RETRYING] = "retrying",
	[KAFKA_REBUILDING] = "rebuilding",
};

void kafka_state_trouble(struct kafka *k, enum kafka_state state, const char *text)
{
	char quoted[KAFKA_TEXT_BYTES];
	/* That all brokers are down is the least that can be said of them. */
	bool is_lesser = state == KAFKA_BROKER_AWAY &&
			 (k->trouble == KAFKA_AUTH_FAILED || k->trouble == KAFKA_TOPIC_MISSING);
	bool is_new = !is_lesser && k->trouble != state;

	if (!is_lesser) {
		k->trouble = state;
		(void)snprintf(k->trouble_text, sizeof(k->trouble_text), "%s", text);
	}
	(void)log_quote(text, strlen(text), quoted, sizeof(quoted));
	if (is_new)
		log_error("kafka.%s sink=%s why=%s", state_names[state], k->env.name, quoted);
	else
		log_every(LOG_LEVEL_WARN, "kafka.%s sink=%s why=%s", state_names[state],
			  k->env.name, quoted);
}

void kafka_state_well(struct kafka *k)
{
	if (k->trouble != KAFKA_RUNNING || !k->was_delivered)
		log_info("kafka.running sink=%s topic=%s", k->env.name, k->o->topic);
	k->was_delivered = true;
	k->trouble = KAFKA_RUNNING;
	k->trouble_text[0] = '\0';
}

static bool has_schema(const struct kafka_schemas *s)
{
	return s->state != REGISTRY_CONFLICT && s->state != REGISTRY_REFUSED &&
	       (s->registry == NULL || s->asking == KAFKA_SCHEMAS_MAX ||
		s->known[s->asking].id != 0);
}

static enum kafka_state schema_state(const struct kafka_schemas *s)
{
	return s->state == REGISTRY_CONFLICT || s->state == REGISTRY_REFUSED ||
			       s->state == REGISTRY_DENIED
		       ? KAFKA_SCHEMA_REFUSED
		       : KAFKA_SCHEMA_WAITING;
}

/* The worst of what is the case, and why. */
static enum kafka_state state_now(const struct kafka *k, int64_t now_ms, const char **why)
{
	*why = k->trouble_text;
	if (k->rk == NULL || k->is_fatal)
		return k->trouble == KAFKA_RUNNING ? KAFKA_STARTING : KAFKA_REBUILDING;
	if (!has_schema(&k->schemas)) {
		*why = k->schemas.text;
		return schema_state(&k->schemas);
	}
	/* Brokers close connections that nobody uses: nothing is wrong until something waits. */
	if (k->trouble != KAFKA_RUNNING &&
	    (k->trouble != KAFKA_BROKER_AWAY || !k->was_delivered || kafka_taken(k) > 0))
		return k->trouble;
	*why = "";
	if (k->is_stalled && now_ms - k->stalled_ms >= STALL_SHOWN_MS)
		return KAFKA_WINDOW_FULL;
	if (k->redo.count > 0 || k->redo.is_round) {
		*why = rd_kafka_err2str(k->redo.last);
		return KAFKA_RETRYING;
	}
	return k->was_delivered ? KAFKA_RUNNING : KAFKA_STARTING;
}

void kafka_state_publish(struct kafka *k, int64_t now_ms)
{
	const char *why;
	enum kafka_state state;
	struct kafka_view *v = &k->view;
	const struct kafka_schemas *s = &k->schemas;

	if (now_ms < k->next_view_ms)
		return;
	k->next_view_ms = now_ms + PUBLISH_MS;
	state = state_now(k, now_ms, &why);
	(void)pthread_mutex_lock(&k->view_lock);
	v->state = state;
	(void)snprintf(v->why, sizeof(v->why), "%s", why);
	v->registry = s->state;
	(void)snprintf(v->registry_why, sizeof(v->registry_why), "%s", s->text);
	v->schema_id = s->registry == NULL	    ? s->fixed_id
		       : s->asking < s->known_count ? s->known[s->asking].id
						    : 0;
	v->partition_count = k->partition_count;
	v->in_flight = k->out_count;
	v->in_flight_octets = k->slabs.bytes;
	v->redo = k->redo.count;
	(void)pthread_mutex_unlock(&k->view_lock);
}

static void print_unsafe(const struct kafka_options *o, struct json *out)
{
	json_open_array(out, "unsafe");
	for (size_t i = 0; i < o->property_count; i++) {
		const char *property = o->properties[i];

		if (kafka_conf_refusal(o, property) != NULL)
			json_strn(out, NULL, property, strcspn(property, "="));
	}
	json_end(out);
}

void kafka_state_print(struct kafka *k, struct json *out)
{
	struct kafka_view v;

	(void)pthread_mutex_lock(&k->view_lock);
	v = k->view;
	(void)pthread_mutex_unlock(&k->view_lock);
	json_str(out, "state", state_names[v.state]);
	if (v.why[0] != '\0')
		json_str(out, "why", v.why);
	json_str(out, "brokers", k->o->brokers);
	json_str(out, "topic", k->o->topic);
	json_i64(out, "partitions", v.partition_count);
	json_u64(out, "in_flight", v.in_flight);
	json_u64(out, "in_flight_octets", v.in_flight_octets);
	json_u64(out, "to_send_again", v.redo);
	json_u64(out, "schema_id", v.schema_id);
	if (kafka_conf_has_registry(k->o)) {
		json_str(out, "registry", registry_state_text(v.registry));
		if (v.registry_why[0] != '\0')
			json_str(out, "registry_why", v.registry_why);
	}
	if (k->o->unsafe)
		print_unsafe(k->o, out);
}
