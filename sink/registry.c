/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/registry.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <curl/curl.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "sink/registry_cache.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LAST_MS 30000
#define BUSY_POLL_MS 5 /* while a request is under way */
#define CONTENT_TYPE "Content-Type: application/vnd.schemaregistry.v1+json"
#define ACCEPT "Accept: application/vnd.schemaregistry.v1+json, application/json"
#define MESSAGE_MAX 300 /* octets of the registry's own words that we repeat */

struct registry {
	char *urls[REGISTRY_URLS_MAX];
	size_t url_count;
	char *user;
	char *password;
	char *token;
	char *cache_path; /* NULL: nothing is kept */
	uint32_t timeout_ms;
	bool auto_register;

	char *subject;
	char *schema;
	char *body; /* of the request */

	CURLM *multi;
	CURL *easy; /* a request is under way */
	struct curl_slist *headers;
	char *answer;
	size_t answer_bytes;
	bool is_answer_too_big;

	size_t url_at;	    /* asked now or next */
	size_t tried_count; /* addresses that failed in this round */
	int64_t next_ms;
	int64_t backoff_ms;
	uint64_t random;

	enum registry_state state;
	uint32_t id;
	uint64_t failures;
	char text[REGISTRY_TEXT_BYTES];
};

static const char *const state_texts[REGISTRY_STATE_COUNT] = {
	[REGISTRY_IDLE] = "idle",	  [REGISTRY_ASKING] = "asking",
	[REGISTRY_KNOWN] = "known",	  [REGISTRY_CACHED] = "cached",
	[REGISTRY_CONFLICT] = "conflict", [REGISTRY_DENIED] = "denied",
	[REGISTRY_REFUSED] = "refused",	  [REGISTRY_AWAY] = "away",
};

const char *registry_state_text(enum registry_state state)
{
	return (unsigned)state < REGISTRY_STATE_COUNT ? state_texts[state] : "unknown";
}

enum err registry_record_name(const char *schema, char *out, size_t room)
{
	json_t *root = json_loads(schema, 0, NULL);
	const char *name = json_string_value(json_object_get(root, "name"));
	const char *space = json_string_value(json_object_get(root, "namespace"));
	enum err e = ERR_FORMAT;
	int n = 0;

	if (name != NULL) {
		/* A name with dots is full already. */
		if (space == NULL || space[0] == '\0' || strchr(name, '.') != NULL)
			n = snprintf(out, room, "%s", name);
		else
			n = snprintf(out, room, "%s.%s", space, name);
		e = n > 0 && (size_t)n < room ? ERR_OK : ERR_LIMIT;
	}
	json_decref(root);
	return e;
}

/* --- open and close --- */

static enum err url_check(const char *url, struct why *why)
{
	size_t scheme_bytes = strncmp(url, "http://", 7) == 0	 ? 7
			      : strncmp(url, "https://", 8) == 0 ? 8
								 : 0;

	if (scheme_bytes == 0)
		return why_set(why, ERR_CONF,
			       "registry address \"%.200s\" is not http:// or https://", url);
	if (url[scheme_bytes] == '\0' || url[scheme_bytes] == '/')
		return why_set(why, ERR_CONF, "registry address \"%.200s\" names no host", url);
	if (strchr(url, '@') != NULL)
		return why_set(why, ERR_CONF,
			       "a registry address with user and password in it would be shown in "
			       "status: give them as `user` and `password`");
	for (const char *p = url; *p != '\0'; p++) {
		if (*p <= ' ' || *p >= 0x7f || *p == '?' || *p == '#')
			return why_set(
				why, ERR_CONF,
				"registry address \"%.200s\" has a character at %zu that does "
				"not belong there",
				url, (size_t)(p - url));
	}
	return ERR_OK;
}

static bool text_is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* NULL stays NULL; false when there is no memory. */
static bool text_copy(const char *text, char **out)
{
	if (!text_is_set(text))
		return true;
	*out = strdup(text);
	return *out != NULL;
}

static bool token_is_sound(const char *token)
{
	for (; *token != '\0'; token++) {
		if (*token <= ' ' || *token >= 0x7f)
			return false;
	}
	return true;
}

static enum err conf_check(const struct registry_conf *conf, struct why *why)
{
	if (conf->url_count == 0 || conf->url_count > REGISTRY_URLS_MAX)
		return why_set(why, ERR_CONF, "a registry takes 1 to %d addresses, not %zu",
			       REGISTRY_URLS_MAX, conf->url_count);
	for (size_t i = 0; i < conf->url_count; i++)
		TRY(url_check(conf->urls[i], why));
	if (text_is_set(conf->token) && text_is_set(conf->user))
		return why_set(why, ERR_CONF,
			       "a registry takes either `user` or `token`, not both");
	if (text_is_set(conf->token) && !token_is_sound(conf->token))
		return why_set(why, ERR_CONF,
			       "the registry token has spaces or control characters");
	return ERR_OK;
}

/* One file for each list of addresses: their ids are not each other's. */
static bool cache_path_make(const struct registry_conf *conf, char **out)
{
	char path[PATH_MAX];
	uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a */
	size_t n;

	if (!text_is_set(conf->state_dir))
		return true;
	for (size_t i = 0; i < conf->url_count; i++) {
		const char *p = conf->urls[i];

		do {
			h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
		} while (*p++ != '\0');
	}
	n = (size_t)snprintf(path, sizeof(path), "%s/schema", conf->state_dir);
	if (n >= sizeof(path))
		return true;
	if (mkdir(path, 0750) != 0 && errno != EEXIST)
		log_warn("registry.cache_off dir=%s errno=%d", path, errno);
	n = (size_t)snprintf(path, sizeof(path), "%s/schema/registry-%016llx.json", conf->state_dir,
			     (unsigned long long)h);
	return n >= sizeof(path) || text_copy(path, out);
}

enum err registry_open(const struct registry_conf *conf, struct why *why, struct registry **out)
{
	struct registry *r;
	enum err e = ERR_NOMEM;

	TRY(conf_check(conf, why));
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return why_set(why, ERR_NOMEM, "libcurl does not start");
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		curl_global_cleanup();
		return why_set(why, ERR_NOMEM, "no memory for the registry client");
	}
	r->timeout_ms = conf->timeout_ms;
	r->auto_register = conf->auto_register;
	r->random = (uint64_t)clock_mono_ns() | 1;
	for (; r->url_count < conf->url_count; r->url_count++) {
		char *url = strdup(conf->urls[r->url_count]);

		if (url == NULL)
			goto fail;
		for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--)
			url[n - 1] = '\0';
		r->urls[r->url_count] = url;
	}
	if (!text_copy(conf->user, &r->user) || !text_copy(conf->password, &r->password) ||
	    !text_copy(conf->token, &r->token) || !cache_path_make(conf, &r->cache_path))
		goto fail;
	if (r->cache_path != NULL && (e = registry_cache_check(r->cache_path, why)) != ERR_OK)
		goto fail;
	e = ERR_NOMEM;
	r->headers = curl_slist_append(NULL, CONTENT_TYPE);
	if (r->headers == NULL || curl_slist_append(r->headers, ACCEPT) == NULL ||
	    curl_slist_append(r->headers, "Expect:") == NULL)
		goto fail;
	r->answer = malloc(REGISTRY_ANSWER_MAX);
	r->multi = curl_multi_init();
	if (r->answer == NULL || r->multi == NULL)
		goto fail;
	*out = r;
	return ERR_OK;
fail:
	registry_close(r);
	return e == ERR_NOMEM ? why_set(why, e, "no memory for the registry client") : e;
}

static void request_end(struct registry *r)
{
	if (r->easy == NULL)
		return;
	(void)curl_multi_remove_handle(r->multi, r->easy);
	curl_easy_cleanup(r->easy);
	r->easy = NULL;
}

static void question_clear(struct registry *r)
{
	request_end(r);
	free(r->subject);
	free(r->schema);
	free(r->body);
	r->subject = NULL;
	r->schema = NULL;
	r->body = NULL;
}

void registry_close(struct registry *r)
{
	if (r == NULL)
		return;
	question_clear(r);
	if (r->multi != NULL)
		(void)curl_multi_cleanup(r->multi);
	curl_slist_free_all(r->headers);
	for (size_t i = 0; i < r->url_count; i++)
		free(r->urls[i]);
	free(r->user);
	free(r->password);
	free(r->token);
	free(r->cache_path);
	free(r->answer);
	free(r);
	curl_global_cleanup();
}

/* --- asking --- */

enum err registry_ask(struct registry *r, const char *subject, const char *schema)
{
	json_t *request = json_pack("{s:s}", "schema", schema);

	question_clear(r);
	r->state = REGISTRY_IDLE;
	r->id = 0;
	r->text[0] = '\0';
	r->body = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
	json_decref(request);
	r->subject = strdup(subject);
	r->schema = strdup(schema);
	if (r->body == NULL || r->subject == NULL || r->schema == NULL) {
		question_clear(r);
		return ERR_NOMEM;
	}
	r->state = REGISTRY_ASKING;
	r->url_at = 0;
	r->tried_count = 0;
	r->next_ms = 0;
	r->backoff_ms = BACKOFF_FIRST_MS;
	return ERR_OK;
}

static size_t on_octets(char *octets, size_t size, size_t count, void *ctx)
{
	struct registry *r = ctx;
	size_t bytes = size * count;

	if (bytes > REGISTRY_ANSWER_MAX - r->answer_bytes) {
		r->is_answer_too_big = true;
		return CURL_WRITEFUNC_ERROR;
	}
	memcpy(r->answer + r->answer_bytes, octets, bytes);
	r->answer_bytes += bytes;
	return bytes;
}

static void request_authorize(struct registry *r)
{
	if (r->token != NULL) {
		(void)curl_easy_setopt(r->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		(void)curl_easy_setopt(r->easy, CURLOPT_XOAUTH2_BEARER, r->token);
	}
	if (r->user != NULL) {
		(void)curl_easy_setopt(r->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		(void)curl_easy_setopt(r->easy, CURLOPT_USERNAME, r->user);
		(void)curl_easy_setopt(r->easy, CURLOPT_PASSWORD,
				       r->password == NULL ? "" : r->password);
	}
}

static enum err request_start(struct registry *r)
{
	char *subject;
	char url[4096];
	size_t n;

	r->easy = curl_easy_init();
	if (r->easy == NULL)
		return ERR_NOMEM;
	subject = curl_easy_escape(r->easy, r->subject, 0);
	if (subject == NULL)
		return ERR_NOMEM;
	n = (size_t)snprintf(url, sizeof(url), "%s/subjects/%s%s", r->urls[r->url_at], subject,
			     r->auto_register ? "/versions" : "");
	curl_free(subject);
	if (n >= sizeof(url))
		return ERR_LIMIT;
	r->answer_bytes = 0;
	r->is_answer_too_big = false;
	(void)curl_easy_setopt(r->easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(r->easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(r->easy, CURLOPT_PROXY, ""); /* not what the environment says */
	(void)curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
	/* Giving up a name look-up must not wait for the resolver's thread. */
	(void)curl_easy_setopt(r->easy, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	(void)curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
	(void)curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->body);
	(void)curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(r->body));
	(void)curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_octets);
	(void)curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
	request_authorize(r);
	return curl_multi_add_handle(r->multi, r->easy) == CURLM_OK ? ERR_OK : ERR_NOMEM;
}

/* --- answers --- */

static int64_t with_jitter(struct registry *r, int64_t ms)
{
	r->random = r->random * 6364136223846793005ull + 1442695040888963407ull;
	return ms * 3 / 4 + (int64_t)((r->random >> 33) % (uint64_t)(ms / 2 + 1));
}

/* The id of last time, when there is none of this time. */
static void id_recall(struct registry *r)
{
	if (r->id != 0 || r->cache_path == NULL)
		return;
	r->id = registry_cache_find(r->cache_path, r->subject, r->schema);
	if (r->id != 0)
		log_warn("registry.cached subject=%s id=%u", r->subject, r->id);
}

static void ask_again_later(struct registry *r, int64_t now_ms)
{
	r->tried_count = 0;
	r->next_ms = now_ms + with_jitter(r, r->backoff_ms);
	r->backoff_ms = r->backoff_ms * 2 < BACKOFF_LAST_MS ? r->backoff_ms * 2 : BACKOFF_LAST_MS;
}

/* This address has nothing for us: the next one, or all of them again later. */
static void on_away(struct registry *r, int64_t now_ms)
{
	char quoted[2 * REGISTRY_TEXT_BYTES];

	r->failures++;
	log_every(LOG_LEVEL_WARN, "registry.away why=%s",
		  log_quote(r->text, strlen(r->text), quoted, sizeof(quoted)));
	r->url_at = (r->url_at + 1) % r->url_count;
	r->tried_count++;
	if (r->tried_count < r->url_count) {
		r->next_ms = now_ms;
		return;
	}
	ask_again_later(r, now_ms);
	id_recall(r);
	r->state = r->id != 0 ? REGISTRY_CACHED : REGISTRY_AWAY;
}

/* A definite no: not the next address.  A schema that is refused has no id; but who does not let us
 * in says nothing about the schema. */
static void on_refusal(struct registry *r, enum registry_state state, int64_t now_ms)
{
	char quoted[2 * REGISTRY_TEXT_BYTES];

	r->failures++;
	if (r->state != state)
		r->backoff_ms = BACKOFF_FIRST_MS;
	r->state = state;
	if (state == REGISTRY_DENIED)
		id_recall(r);
	else
		r->id = 0;
	ask_again_later(r, now_ms);
	log_error("registry.%s subject=%s why=%s", registry_state_text(state), r->subject,
		  log_quote(r->text, strlen(r->text), quoted, sizeof(quoted)));
}

static void on_id(struct registry *r, uint32_t id)
{
	if (r->id != 0 && r->id != id)
		log_warn("registry.id_changed subject=%s was=%u is=%u", r->subject, r->id, id);
	r->id = id;
	r->state = REGISTRY_KNOWN;
	r->text[0] = '\0';
	log_info("registry.known subject=%s id=%u", r->subject, id);
	if (r->cache_path != NULL &&
	    registry_cache_add(r->cache_path, r->subject, r->schema, id) != ERR_OK)
		log_warn("registry.cache_failed path=%s errno=%d", r->cache_path, errno);
}

/* What stands between us and the registry has its own 404: only what the registry itself says of the
 * schema counts, which it says with an error code in the body, or with a status that only it gives. */
static enum registry_state state_of_answer(long status, const json_t *root)
{
	bool is_its_own = json_is_integer(json_object_get(root, "error_code"));

	if (status == 409)
		return REGISTRY_CONFLICT;
	if (status == 401 || status == 403)
		return REGISTRY_DENIED;
	if (status == 422)
		return REGISTRY_REFUSED;
	if (is_its_own && status >= 400 && status < 500 && status != 408 && status != 429)
		return REGISTRY_REFUSED;
	return REGISTRY_AWAY;
}

/* "http://host: 409: what the registry said" */
static void text_put(struct registry *r, long status, const char *message)
{
	if (status != 0)
		(void)snprintf(r->text, sizeof(r->text), "%.150s: %ld: %.*s", r->urls[r->url_at],
			       status, MESSAGE_MAX, message);
	else
		(void)snprintf(r->text, sizeof(r->text), "%.150s: %.*s", r->urls[r->url_at],
			       MESSAGE_MAX, message);
	/* It will be seen on a terminal. */
	for (char *p = r->text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	}
}

static void on_answer(struct registry *r, long status, int64_t now_ms)
{
	json_t *root = json_loadb(r->answer, r->answer_bytes, 0, NULL);
	const char *message = json_string_value(json_object_get(root, "message"));
	const json_t *id = json_object_get(root, "id");
	enum registry_state state = state_of_answer(status, root);

	if (status / 100 == 2 && json_is_integer(id) && json_integer_value(id) > 0 &&
	    json_integer_value(id) <= REGISTRY_ID_MAX) {
		on_id(r, (uint32_t)json_integer_value(id));
		json_decref(root);
		return;
	}
	if (message == NULL)
		message = status / 100 == 2   ? "the answer holds no schema id"
			  : status / 100 == 3 ? "redirections are not followed"
					      : "no message";
	text_put(r, status, message);
	json_decref(root);
	if (state == REGISTRY_AWAY)
		on_away(r, now_ms);
	else
		on_refusal(r, state, now_ms);
}

static void on_done(struct registry *r, CURLcode code, int64_t now_ms)
{
	long status = 0;

	(void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	request_end(r);
	if (code == CURLE_OK) {
		on_answer(r, status, now_ms);
		return;
	}
	text_put(r, 0, r->is_answer_too_big ? "the answer is too large" : curl_easy_strerror(code));
	on_away(r, now_ms);
}

/* True when the request under way has ended. */
static bool request_poll(struct registry *r, int64_t now_ms)
{
	int running = 0;
	int left = 0;
	const CURLMsg *m;

	(void)curl_multi_perform(r->multi, &running);
	while ((m = curl_multi_info_read(r->multi, &left)) != NULL) {
		if (m->msg == CURLMSG_DONE && m->easy_handle == r->easy) {
			on_done(r, m->data.result, now_ms);
			return true;
		}
	}
	return false;
}

int registry_poll(struct registry *r, int64_t mono_ms)
{
	enum err e;

	if (r->easy != NULL && !request_poll(r, mono_ms))
		return BUSY_POLL_MS;
	if (r->subject == NULL || r->state == REGISTRY_KNOWN)
		return BACKOFF_LAST_MS;
	if (mono_ms < r->next_ms)
		return (int)(r->next_ms - mono_ms);
	e = request_start(r);
	if (e == ERR_OK)
		return 0;
	request_end(r);
	text_put(r, 0, err_text(e));
	on_away(r, mono_ms);
	return BUSY_POLL_MS;
}

void registry_answer(const struct registry *r, struct registry_answer *out)
{
	*out = (struct registry_answer){ r->state, r->id, r->text, r->failures };
}
