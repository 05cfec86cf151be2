/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/control_show.h"
#include "daemon/dead_replay.h"
#include "daemon/fields.h"
#include "daemon/ledger.h"
#include "daemon/service.h"
#include "daemon/tail.h"

#define SOCKETS_MAX 512
#define REPLAY_TURN_MS 20 /* of dead letters; other clients are served in between */

static enum err cmd_status(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)why;
	show_status(ctx, call->out);
	return ERR_OK;
}

static enum err cmd_ledger(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;
	struct ledger *ledger = malloc(sizeof(*ledger));

	if (ledger == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	service_ledger(s, ledger);
	ledger_json(ledger, call->out);
	balance_json(&s->balance, call->out);
	show_margin(s, call->out);
	free(ledger);
	return ERR_OK;
}

static enum err cmd_exporters(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)why;
	show_exporters(ctx, call->out);
	return ERR_OK;
}

static enum err cmd_templates(void *ctx, struct ctl_call *call, struct why *why)
{
	bool unmapped = call->word_count == 2 && strcmp(call->words[1], "--unmapped") == 0;

	if (call->word_count > 1 && !unmapped)
		return why_set(why, ERR_FORMAT, "usage: templates [--unmapped]");
	show_templates(ctx, unmapped, call->out);
	return ERR_OK;
}

static enum err cmd_mappings(void *ctx, struct ctl_call *call, struct why *why)
{
	if (call->word_count > 1 && strcmp(call->words[1], "list") != 0)
		return why_set(why, ERR_FORMAT, "usage: mappings [list]");
	show_mappings(ctx, call->out);
	return ERR_OK;
}

static enum err cmd_fields(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;
	struct fields_view *v;
	enum err e;

	if (call->word_count > 2)
		return why_set(why, ERR_FORMAT, "usage: fields [NAME]");
	e = fields_open(reload_newest(&s->reload)->catalog, &v);
	if (e != ERR_OK)
		return why_set(why, e, "no memory");
	e = fields_json(v, call->word_count == 2 ? call->words[1] : NULL, call->out, why);
	fields_close(v);
	return e;
}

static enum err cmd_schema(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;
	const char *text = reload_newest(&s->reload)->schema_text;

	(void)why;
	json_raw(call->out, "schema", text, strlen(text));
	return ERR_OK;
}

static enum err cmd_sinks(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)why;
	show_sinks(ctx, call->out);
	return ERR_OK;
}

static enum err cmd_log(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)why;
	show_log(ctx, call->out);
	return ERR_OK;
}

static enum err cmd_counters(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)why;
	show_counters(ctx, call->out);
	return ERR_OK;
}

static enum err cmd_tail(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;

	return tails_add(s->tails, call, why);
}

/* Options that a reload takes over, and those that it does not, as two arrays. */
struct changes {
	struct json live;
	struct json restart;
};

static void take_change(void *ctx, const char *path, enum conf_reload reload)
{
	struct changes *c = ctx;

	json_str(reload == CONF_LIVE ? &c->live : &c->restart, NULL, path);
}

static enum err cmd_reload(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;
	struct changes c;
	enum err e;

	json_init(&c.live, 1u << 20);
	json_init(&c.restart, 1u << 20);
	json_open_array(&c.live, NULL);
	json_open_array(&c.restart, NULL);
	e = service_reload(s, take_change, &c, why);
	json_end(&c.live);
	json_end(&c.restart);
	if (e == ERR_OK) {
		json_u64(call->out, "generation", s->generation_number);
		json_raw(call->out, "changed", c.live.text, c.live.bytes);
		json_raw(call->out, "needs_restart", c.restart.text, c.restart.bytes);
		log_info("reload.done generation=%llu", (unsigned long long)s->generation_number);
	} else {
		log_error("reload.refused why=\"%s\"", why->text);
	}
	json_fini(&c.live);
	json_fini(&c.restart);
	return e;
}

/* The client is gone, or answered. */
static void forget_client(void *stream)
{
	struct ctl_client **slot = stream;

	*slot = NULL;
}

static enum err cmd_drain(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;

	if (s->is_stopping)
		return why_set(why, ERR_AGAIN, "the service is stopping, which drains too");
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		if (s->drains[i] != NULL)
			continue;
		service_flush_logs(s);
		service_flush_sinks(s);
		s->drains[i] = call->client;
		s->drain_count++;
		call->is_deferred = true;
		ctl_keep(call->client, forget_client, &s->drains[i]);
		return ERR_OK;
	}
	return why_set(why, ERR_LIMIT, "too many clients wait for a drain");
}

static void answer_drain(struct ctl_client *client)
{
	struct json j;

	json_init(&j, 4096);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_bool(&j, "drained", true);
	json_u64(&j, "pending", 0);
	json_end(&j);
	(void)ctl_push(client, &j);
	json_fini(&j);
	ctl_finish(client);
}

static bool is_awaited(const struct service *s)
{
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		if (s->drains[i] != NULL)
			return true;
	}
	return false;
}

static void replay_json(const struct dead_replay_sums *r, struct json *out)
{
	json_u64(out, "sets", r->sets);
	json_u64(out, "messages", r->messages);
	json_u64(out, "records", r->records);
	json_u64(out, "returned", r->returned);
	json_bool(out, "stopped_full", r->is_more);
}

static void end_replay(struct service *s)
{
	const struct dead_replay_sums *r = dead_replay_sums(s->replay);

	log_info("dead_letter.replayed sets=%llu messages=%llu records=%llu returned=%llu "
		 "stopped_full=%s",
		 (unsigned long long)r->sets, (unsigned long long)r->messages,
		 (unsigned long long)r->records, (unsigned long long)r->returned,
		 r->is_more ? "yes" : "no");
	dead_replay_free(s->replay);
	s->replay = NULL;
}

static enum err step_replay(struct service *s, struct why *why)
{
	return dead_replay_step(s->replay, clock_mono_ms() + REPLAY_TURN_MS, why);
}

/* What takes one turn is answered at once. */
static enum err cmd_replay(void *ctx, struct ctl_call *call, struct why *why)
{
	struct service *s = ctx;
	enum err e;

	if (call->word_count > 1)
		return why_set(why, ERR_FORMAT, "usage: replay");
	if (s->is_stopping)
		return why_set(why, ERR_AGAIN, "the service is stopping");
	if (s->replay != NULL)
		return why_set(why, ERR_AGAIN, "another replay is under way");
	TRY(dead_replay_new(s, &s->replay, why));
	e = step_replay(s, why);
	if (e == ERR_AGAIN) {
		s->replay_client = call->client;
		call->is_deferred = true;
		ctl_keep(call->client, forget_client, &s->replay_client);
		ctl_hurry(s->ctl);
		return ERR_OK;
	}
	if (e == ERR_OK)
		replay_json(dead_replay_sums(s->replay), call->out);
	end_replay(s);
	return e;
}

/* Who asked may be gone: what it asked for is done all the same. */
static void answer_replay(struct service *s, const char *error)
{
	struct ctl_client *client = s->replay_client;
	struct json j;

	if (client == NULL)
		return;
	json_init(&j, 4096);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", error == NULL);
	if (error != NULL)
		json_str(&j, "error", error);
	replay_json(dead_replay_sums(s->replay), &j);
	json_end(&j);
	(void)ctl_push(client, &j);
	json_fini(&j);
	ctl_finish(client);
}

static void go_on_with_replay(struct service *s)
{
	struct why why = { "" };
	enum err e = step_replay(s, &why);

	if (e == ERR_AGAIN) {
		ctl_hurry(s->ctl);
		return;
	}
	answer_replay(s, e == ERR_OK ? NULL : why.text);
	end_replay(s);
}

void control_stop(struct service *s)
{
	if (s->replay == NULL)
		return;
	answer_replay(s, "the service is stopping: what was not sent stays");
	end_replay(s);
}

static void step_drains(struct service *s)
{
	if (s->drain_count == 0)
		return;
	if (!is_awaited(s)) {
		/* All who asked are gone. */
		s->drain_count = 0;
		service_relax_sinks(s);
		return;
	}
	service_flush_logs(s);
	if (!service_is_drained(s))
		return;
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		if (s->drains[i] != NULL)
			answer_drain(s->drains[i]);
	}
	s->drain_count = 0;
	service_relax_sinks(s);
}

void control_step(struct service *s)
{
	if (s->replay != NULL)
		go_on_with_replay(s);
	step_drains(s);
}

static enum err cmd_level(void *ctx, struct ctl_call *call, struct why *why)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };

	(void)ctx;
	for (size_t i = 0; call->word_count == 2 && i < 4; i++) {
		if (strcmp(call->words[1], names[i]) == 0) {
			log_set_level((enum log_level)i);
			json_str(call->out, "level", names[i]);
			return ERR_OK;
		}
	}
	return why_set(why, ERR_FORMAT, "usage: level error|warn|info|debug");
}

static enum err cmd_version(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	(void)why;
	json_str(call->out, "version", SLUICE_VERSION);
	return ERR_OK;
}

static enum err cmd_help(void *ctx, struct ctl_call *call, struct why *why)
{
	(void)ctx;
	(void)why;
	json_open_array(call->out, "commands");
	for (const struct ctl_command *c = control_commands; c->name != NULL; c++) {
		json_open_object(call->out, NULL);
		json_str(call->out, "command", c->usage);
		json_str(call->out, "meaning", c->doc);
		json_end(call->out);
	}
	json_end(call->out);
	return ERR_OK;
}

const struct ctl_command control_commands[] = {
	{ "status", "status", "Is it well: sockets, log, sinks, rates.", false, cmd_status },
	{ "ledger", "ledger", "What came in, went out and was lost, both sides of each line.",
	  false, cmd_ledger },
	{ "exporters", "exporters", "Observation domains and their accounts.", false,
	  cmd_exporters },
	{ "templates", "templates [--unmapped]",
	  "Templates in force and where each element goes; or those that fill no field.", false,
	  cmd_templates },
	{ "mappings", "mappings [list]", "Mapping files of the running generation.", false,
	  cmd_mappings },
	{ "fields", "fields [NAME]",
	  "Canonical fields: type, unit, meaning, example, and what feeds them.", false,
	  cmd_fields },
	{ "schema", "schema", "The Avro schema that is written.", false, cmd_schema },
	{ "sinks", "sinks", "Each sink's state and position.", false, cmd_sinks },
	{ "log", "log", "The log's size and positions.", false, cmd_log },
	{ "counters", "counters", "Every counter, summed over workers.", false, cmd_counters },
	{ "tail", "tail [-n N] [FIELD=VALUE]", "Flow events as they pass.", false, cmd_tail },
	{ "reload", "reload",
	  "Configuration, mappings and registries again; refused whole if wrong.", true,
	  cmd_reload },
	{ "drain", "drain", "Answers when every sink has everything.", true, cmd_drain },
	{ "replay", "replay", "Sends dead letters through again: see doc/SINKS.md.", true,
	  cmd_replay },
	{ "level", "level error|warn|info|debug", "Lines on standard error.", true, cmd_level },
	{ "version", "version", "Version of the running service.", false, cmd_version },
	{ "help", "help", "This list.", false, cmd_help },
	{ 0 },
};

/* "4739 2055": the ports, each once. */
static void list_ports(struct service *s, char *out, size_t room)
{
	struct udp_status rows[SOCKETS_MAX];
	size_t count = udp_group_describe(workers_udp(s->workers), rows, SOCKETS_MAX);
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < count && i < SOCKETS_MAX; i++) {
		bool is_new = true;
		int n;

		for (size_t k = 0; k < i; k++)
			is_new = is_new && rows[k].port != rows[i].port;
		if (!is_new)
			continue;
		n = snprintf(out + used, room - used, "%s%u", used == 0 ? "" : ",", rows[i].port);
		if (n < 0 || (size_t)n >= room - used)
			return;
		used += (size_t)n;
	}
}

void control_announce(struct service *s)
{
	char ports[256];
	const struct options *o = service_options(s);
	const char *sink = o->sink_count == 0 ? "none" : o->sinks[0].name;

	list_ports(s, ports, sizeof(ports));
	log_info("sluiced.ready version=%s udp=%s workers=%u sinks=%zu first_sink=%s control=%s "
		 "next=\"point exporters at these ports; build/sluicectl -s %s status\"",
		 SLUICE_VERSION, ports, s->worker_count, o->sink_count, sink, o->control.socket,
		 o->control.socket);
}
