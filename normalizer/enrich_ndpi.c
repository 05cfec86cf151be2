/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich_ndpi.h"

#include <stdlib.h>

#define ID_DIGITS 5

struct enrich_ndpi {
	const struct ndpi *tables; /* of exporters that name no release */
};

struct app {
	uint32_t master;
	uint32_t app;
	bool has_master;
};

const struct feed enrich_ndpi_feeds[] = {
	{ F_ndpi_master, NULL, "app_id, protocols.tsv" },
	{ F_ndpi_app, NULL, "app_id, protocols.tsv" },
	{ F_ndpi_category, NULL, "app_id, protocols.tsv" },
	{ F_ndpi_breed, NULL, "app_id, protocols.tsv" },
	{ F_ndpi_confidence_name, NULL, "app_confidence, confidence.tsv" },
	{ F_risk_names, NULL, "risk_bitmap, risks.tsv" },
	{ F_risk_score, NULL, "risk_bitmap, risks.tsv" },
	{ F_risk_score_client, NULL, "risk_bitmap, risks.tsv" },
	{ F_risk_score_server, NULL, "risk_bitmap, risks.tsv" },
	{ F_risk_severity, NULL, "risk_bitmap, risks.tsv" },
	{ 0 },
};

const struct conf_opt enrich_ndpi_options[] = {
	{ "release", CONF_STRING, CONF_LIVE, offsetof(struct enrich_ndpi_conf, release), 1, 64,
	  NDPI_RELEASE,
	  "Release of nDPI whose tables hold for exporters that name none: a folder of "
	  "templates/tables/ndpi." },
	CONF_LINE_ROW(struct enrich_ndpi_conf, line),
	{ 0 },
};

enum err enrich_ndpi_load(const void *conf, struct why *why, void **out)
{
	const struct enrich_ndpi_conf *c = conf;
	struct enrich_ndpi *self;
	const struct ndpi *tables = NULL;

	if (c != NULL && c->releases != NULL)
		TRY(ndpi_find(c->releases, c->release, why, &tables));
	self = calloc(1, sizeof(*self));
	if (self == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	self->tables = tables;
	*out = self;
	return ERR_OK;
}

void enrich_ndpi_free(void *self)
{
	free(self);
}

static inline void set_text(struct flow *f, unsigned field, const struct text *t)
{
	if (t != NULL && t->octets != NULL)
		flow_set_octets(f, field, t->octets, t->bytes);
}

/* A decimal id up to `end`; moves *at behind it. */
static bool read_id(const uint8_t **at, const uint8_t *end, uint32_t *out)
{
	const uint8_t *p = *at;
	uint32_t v = 0;

	while (p < end && p - *at <= ID_DIGITS && *p >= '0' && *p <= '9')
		v = v * 10 + (uint32_t)(*p++ - '0');
	if (p == *at || v > UINT16_MAX)
		return false;
	*at = p;
	*out = v;
	return true;
}

static bool read_app(const struct slot *slot, struct app *out)
{
	const uint8_t *at = slot->octets;
	const uint8_t *end = at + slot->bytes;

	out->has_master = false;
	if (!read_id(&at, end, &out->app))
		return false;
	if (at == end)
		return true;
	out->has_master = true;
	out->master = out->app;
	return *at++ == '.' && read_id(&at, end, &out->app) && at == end;
}

static const struct ndpi_protocol *protocol_of(const struct ndpi *n, uint32_t id)
{
	return id < n->protocol_count ? &n->protocols[id] : NULL;
}

static void enrich_app(const struct ndpi *n, struct flow *f)
{
	const struct ndpi_protocol *app;
	const struct ndpi_protocol *master;
	struct app ids;

	if (f->slots[F_app_id].tag != APP_ID_NDPI || !read_app(&f->slots[F_app_id], &ids))
		return;
	app = protocol_of(n, ids.app);
	master = ids.has_master ? protocol_of(n, ids.master) : NULL;
	if (app != NULL)
		set_text(f, F_ndpi_app, &app->name);
	if (master != NULL)
		set_text(f, F_ndpi_master, &master->name);
	if (ids.app == 0 && master != NULL)
		app = master;
	if (app != NULL) {
		set_text(f, F_ndpi_category, &app->category);
		set_text(f, F_ndpi_breed, &app->breed);
	}
}

static void enrich_risks(const struct ndpi *n, struct flow *f)
{
	uint64_t bits = (uint64_t)f->slots[F_risk_bitmap].i64;
	uint32_t count = (uint32_t)__builtin_popcountll(bits);
	struct text *names = f->texts + f->text_count;
	bool has_room = count <= FLOW_TEXTS_MAX - f->text_count;
	int32_t score = 0;
	int32_t client = 0;
	int32_t server = 0;
	uint32_t severity = 0;

	for (uint32_t i = 0; bits != 0; bits &= bits - 1, i++) {
		const struct ndpi_risk *risk = &n->risks[__builtin_ctzll(bits)];

		if (has_room)
			names[i] = risk->name;
		score += risk->score;
		client += risk->client;
		server += risk->server;
		severity = risk->severity > severity ? risk->severity : severity;
	}
	if (has_room) {
		f->slots[F_risk_names].texts = names;
		f->slots[F_risk_names].bytes = count;
		f->text_count += count;
		flow_mark(f, F_risk_names);
	} else {
		flow_note(f, NOTE_TRUNCATED);
	}
	flow_set_i64(f, F_risk_score, score);
	flow_set_i64(f, F_risk_score_client, client);
	flow_set_i64(f, F_risk_score_server, server);
	if (severity != 0)
		set_text(f, F_risk_severity, &ndpi_severities[severity]);
}

void enrich_ndpi_run(const void *self, const struct enrich_context *context, struct flow *flows,
		     size_t count)
{
	const struct enrich_ndpi *s = self;
	const struct exporter_entry *entry = context->session->entry;
	const struct ndpi *n = entry != NULL && entry->ndpi != NULL ? entry->ndpi : s->tables;

	if (n == NULL)
		return;
	for (size_t i = 0; i < count; i++) {
		struct flow *f = &flows[i];

		if (flow_has(f, F_app_id))
			enrich_app(n, f);
		if (flow_has(f, F_app_confidence))
			set_text(f, F_ndpi_confidence_name,
				 table_find(n->confidence,
					    (uint64_t)f->slots[F_app_confidence].i64));
		if (flow_has(f, F_risk_bitmap))
			enrich_risks(n, f);
	}
}
