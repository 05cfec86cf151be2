/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - a client of schema registries that speak the Confluent API.
 *
 * Asks for the id of one schema at a time, registering it (`auto_register`) or only looking it up, and
 * never blocks: registry_poll() starts, carries on and ends requests, and returns at once.  Addresses
 * are tried in order; when all are out of reach they are asked again after 1 to 30 s, and so is one that
 * refused, since an operator may set it right.  An id given once is kept in
 * `<state>/schema/registry-<hash>.json`, and used as long as no registry answers; a file of a newer
 * format is not touched, and the client does not open.
 *
 *	registry_open(&conf, &why, &r)
 *	registry_ask(r, "flows-value", schema)
 *	while (registry_poll(r, now_ms), registry_answer(r, &a), a.id == 0) ...
 *	registry_close(r)
 *
 * What a registry says is not believed: answers are bounded, redirects not followed, an id is a number
 * that fits the wire format or the answer counts as none.
 *
 * Owner: one thread, the sink's.
 */
#ifndef SINK_REGISTRY_H
#define SINK_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define REGISTRY_URLS_MAX 16
#define REGISTRY_ANSWER_MAX (1u << 20) /* octets of an answer's body */
#define REGISTRY_TEXT_BYTES 512

struct registry_conf {
	const char *const *urls; /* http:// or https://, with a path prefix where there is one */
	size_t url_count;
	const char *user; /* NULL or "": none */
	const char *password;
	const char *token;     /* bearer token; NULL or "": none */
	const char *state_dir; /* NULL: nothing is kept */
	uint32_t timeout_ms;   /* of one request */
	bool auto_register;
};

enum registry_state {
	REGISTRY_IDLE,	   /* nothing asked */
	REGISTRY_ASKING,   /* no answer yet */
	REGISTRY_KNOWN,	   /* the registry gave the id */
	REGISTRY_CACHED,   /* no registry answers; the id of last time.  Goes on asking. */
	REGISTRY_CONFLICT, /* 409: not compatible with the versions before.  Goes on asking, as: */
	REGISTRY_DENIED,   /* 401, 403; the id of last time may be there */
	REGISTRY_REFUSED,  /* it does not like the schema, or does not know it */
	REGISTRY_AWAY,	   /* none answers, or none sensibly */
	REGISTRY_STATE_COUNT
};

struct registry_answer {
	enum registry_state state;
	uint32_t id;	   /* 0: none yet; no registry gives out 0 */
	const char *text;  /* what went wrong, "" when nothing did; valid until the next call */
	uint64_t failures; /* requests that gave no id, so far */
};

struct registry;

/* Checks the addresses and takes memory; no connection yet.  The conf's texts are copied. */
enum err registry_open(const struct registry_conf *conf, struct why *why, struct registry **out);
void registry_close(struct registry *r); /* NULL is fine */

/* A new question; the one before is forgotten.  The texts are copied. */
enum err registry_ask(struct registry *r, const char *subject, const char *schema);
/* Never waits; returns the milliseconds after which it wants to be called again. */
int registry_poll(struct registry *r, int64_t mono_ms);
void registry_answer(const struct registry *r, struct registry_answer *out);

/* The full name of the record that a schema describes, "sluice.Flow". */
enum err registry_record_name(const char *schema, char *out, size_t room);

/* "known", "conflict" ... */
const char *registry_state_text(enum registry_state state);

#endif
