/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sink/kafka_types.h"

#define SUBJECT_BYTES 1024
#define IDLE_MS 1000
#define ASKING_NONE KAFKA_SCHEMAS_MAX

/* The secret that a reference names; NULL when there is none. */
static enum err secret_read(const char *reference, const char *key, struct why *why, char **out)
{
	enum err e;

	if (reference == NULL)
		return ERR_OK;
	e = conf_secret(reference, why, out);
	if (e != ERR_OK)
		why_prefix(why, "registry.%s", key);
	return e;
}

static enum err registry_make(struct kafka_schemas *s, const struct kafka_registry_options *o,
			      const char *state_dir, struct why *why)
{
	const char *const one[] = { o->url };
	char *password = NULL;
	char *token = NULL;
	enum err e = secret_read(o->password, "password", why, &password);

	if (e == ERR_OK)
		e = secret_read(o->token, "token", why, &token);
	if (e == ERR_OK) {
		struct registry_conf conf = {
			.urls = o->url != NULL ? one : (const char *const *)o->urls,
			.url_count = o->url != NULL ? 1 : o->url_count,
			.user = o->user,
			.password = password,
			.token = token,
			.state_dir = state_dir,
			.timeout_ms = o->timeout_ms,
			.auto_register = o->auto_register,
		};

		e = registry_open(&conf, why, &s->registry);
	}
	free(password);
	free(token);
	return e;
}

enum err kafka_schemas_open(struct kafka_schemas *s, const struct kafka_options *o,
			    const struct sink_env *env, struct why *why)
{
	*s = (struct kafka_schemas){
		.fixed_id = o->schema_id,
		.first = env->schema,
		.hub = env->hub,
		.topic = o->topic,
		.subject = o->registry.subject,
		.asking = ASKING_NONE,
		.state = REGISTRY_IDLE,
	};
	if (!kafka_conf_has_registry(o))
		return ERR_OK;
	TRY(registry_make(s, &o->registry, env->state_dir, why));
	/* So that it is known, or the trouble seen, before the first flow comes. */
	(void)kafka_schema_id(s, env->schema);
	return ERR_OK;
}

void kafka_schemas_close(struct kafka_schemas *s)
{
	registry_close(s->registry);
	s->registry = NULL;
}

static enum err subject_make(const struct kafka_schemas *s, const char *schema,
			     char out[SUBJECT_BYTES])
{
	char name[SUBJECT_BYTES / 2];
	int n = 0;

	if (s->subject != KAFKA_SUBJECT_TOPIC)
		TRY(registry_record_name(schema, name, sizeof(name)));
	switch ((enum kafka_subject)s->subject) {
	case KAFKA_SUBJECT_TOPIC:
		n = snprintf(out, SUBJECT_BYTES, "%s-value", s->topic);
		break;
	case KAFKA_SUBJECT_RECORD:
		n = snprintf(out, SUBJECT_BYTES, "%s", name);
		break;
	case KAFKA_SUBJECT_TOPIC_RECORD:
		n = snprintf(out, SUBJECT_BYTES, "%s-%s", s->topic, name);
		break;
	}
	return n > 0 && n < SUBJECT_BYTES ? ERR_OK : ERR_LIMIT;
}

static void schema_ask(struct kafka_schemas *s, size_t i)
{
	char subject[SUBJECT_BYTES];
	size_t bytes;
	const char *schema = log_name(s->hub, LOG_NAME_SCHEMA, s->known[i].number, &bytes);
	enum err e = schema == NULL ? ERR_ABSENT : subject_make(s, schema, subject);

	if (e == ERR_OK)
		e = registry_ask(s->registry, subject, schema);
	if (e == ERR_OK) {
		s->asking = i;
		return;
	}
	s->state = REGISTRY_REFUSED;
	(void)snprintf(s->text, sizeof(s->text), "the schema cannot be asked for: %s", err_text(e));
	log_every(LOG_LEVEL_ERROR, "kafka.schema why=\"%s\"", s->text);
}

/* Index of the schema in `known`, where it is added when it is new. */
static size_t known_index(struct kafka_schemas *s, uint32_t number)
{
	for (size_t i = 0; i < s->known_count; i++) {
		if (s->known[i].number == number)
			return i;
	}
	if (s->known_count == KAFKA_SCHEMAS_MAX) {
		/* Frames of the oldest are gone long before so many reloads. */
		s->known_count--;
		memmove(&s->known[0], &s->known[1], s->known_count * sizeof(s->known[0]));
		s->asking = ASKING_NONE;
	}
	s->known[s->known_count].number = number;
	s->known[s->known_count].id = 0;
	return s->known_count++;
}

uint32_t kafka_schema_id(struct kafka_schemas *s, uint32_t number)
{
	size_t i;

	if (s->registry == NULL) {
		if (number == s->first)
			return s->fixed_id;
		s->state = REGISTRY_REFUSED;
		(void)snprintf(s->text, sizeof(s->text),
			       "the schema has changed since `schema_id' was given: give the new "
			       "one and start again, or a registry");
		return 0;
	}
	i = known_index(s, number);
	/* One question at a time, to its end: logs may hold frames of several schemas. */
	if (s->known[i].id == 0 && (s->asking == ASKING_NONE || s->known[s->asking].id != 0))
		schema_ask(s, i);
	return s->known[i].id;
}

bool kafka_schema_number(const struct kafka_schemas *s, uint32_t id, uint32_t *number)
{
	if (s->registry == NULL) {
		*number = s->first;
		return id == s->fixed_id;
	}
	for (size_t i = 0; i < s->known_count; i++) {
		if (s->known[i].id == id) {
			*number = s->known[i].number;
			return true;
		}
	}
	return false;
}

int kafka_schemas_poll(struct kafka_schemas *s, int64_t now_ms)
{
	struct registry_answer a;
	int wait_ms;

	if (s->registry == NULL || s->asking == ASKING_NONE)
		return IDLE_MS;
	wait_ms = registry_poll(s->registry, now_ms);
	registry_answer(s->registry, &a);
	s->known[s->asking].id = a.id;
	s->state = a.state;
	(void)snprintf(s->text, sizeof(s->text), "%s", a.text);
	return wait_ms;
}
