/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "daemon/control.h"
#include "daemon/inputs.h"
#include "daemon/service_state.h"
#include "daemon/tail.h"

/* Of message_work, for a turn of sets that waited: with the message that fills it a turn costs little more than one. */
#define TURN_SHARE 4
#define IDLE_MS 100
#define STOPPING_MS 10
#define DEAD_STOP_MS 1000 /* for sinks of dead letters, when the others took all the time */

const struct options *service_options(struct service *s)
{
	return reload_newest(&s->reload)->options;
}

void service_ledger(struct service *s, struct ledger *out)
{
	struct ledger_sources from = { s->workers, s->sinks, s->dead, s->dead_sinks };

	ledger_take(&from, out);
}

static struct sink_conf *make_sink_confs(const struct sink_options *sinks, size_t count,
					 struct dead *dead)
{
	struct sink_conf *confs = calloc(count + 1, sizeof(*confs));

	for (size_t i = 0; confs != NULL && i < count; i++) {
		confs[i].ops = sink_type_find(sinks[i].type);
		confs[i].name = sinks[i].name;
		confs[i].conf = sinks[i].conf;
		confs[i].from = (enum log_start)sinks[i].from;
		confs[i].dead = dead;
		must(confs[i].ops != NULL);
	}
	return confs;
}

static enum err open_sinks(struct service *s, const struct generation *g, struct why *why)
{
	const struct options *o = g->options;
	struct sink_conf *confs = make_sink_confs(o->sinks, o->sink_count, s->dead);
	enum err e;

	if (confs == NULL)
		return why_set(why, ERR_NOMEM, "no memory for sinks");
	e = sinks_open(confs, o->sink_count, s->hub, s->logs, s->log_count, o->state,
		       &g->catalog->fields, g->schema_text, why, &s->sinks);
	free(confs);
	return e;
}

/* What they refuse for good is counted, and gone. */
static enum err open_dead_sinks(struct service *s, const struct options *o, struct why *why)
{
	const struct dead_options *d = &o->dead_letter;
	struct sink_conf *confs = make_sink_confs(d->sinks, d->sink_count, NULL);
	enum err e;

	if (confs == NULL)
		return why_set(why, ERR_NOMEM, "no memory for sinks");
	e = sinks_open(confs, d->sink_count, dead_hub(s->dead), dead_logs(s->dead),
		       dead_log_count(s->dead), o->state, NULL, dead_schema(s->dead), why,
		       &s->dead_sinks);
	free(confs);
	return e;
}

static enum err open_workers(struct service *s, const struct options *o, struct why *why)
{
	struct listens listens;
	struct udp_conf udp = { .worker_count = s->worker_count,
				.batch_count = o->collector.batch };
	struct stream_conf streams = { .worker_count = s->worker_count,
				       .limits = options_stream_limits(o) };
	const struct collector_options *co = &o->collector;
	struct collector_limits limits = { .sessions_max = co->domains_max,
					   .templates_max = co->templates_max,
					   .templates_exporter_max = co->templates_exporter_max,
					   .templates_all_max = co->templates_all_max,
					   .templates_all_bytes = co->templates_all_bytes,
					   .fields_max = co->fields_max,
					   .repeats_max = co->repeats_max,
					   .template_lifetime_s = co->template_lifetime_s,
					   .session_idle_s = co->session_idle_s,
					   .hold_s = co->hold_s,
					   .hold_session_bytes = co->hold_session_bytes,
					   .hold_bytes = co->hold_bytes / s->worker_count,
					   .turn_work =
						   co->message_work * UINT64_C(1000) / TURN_SHARE,
					   .template_from_port = co->template_from_port };
	struct workers_setup setup = { .count = s->worker_count,
				       .udp = s->setup.is_replay ? NULL : &udp,
				       .streams = &streams,
				       .reload = &s->reload,
				       .hub = s->hub,
				       .logs = s->logs,
				       .dead = s->dead,
				       .limits = &limits,
				       .elements_dir = o->normalizer.elements,
				       .is_fixbuf = o->collector.decoder == DECODER_FIXBUF,
				       .selfcheck = o->collector.selfcheck,
				       .message_work = o->collector.message_work };
	enum err e;

	TRY(listens_of(o, &listens, why));
	udp.listens = listens.entries;
	udp.listen_count = listens.count;
	streams.listens = listens.streams;
	streams.listen_count = listens.stream_count;
	s->limits = limits;
	e = workers_open(&setup, &s->workers, why);
	listens_free(&listens);
	if (e == ERR_OK && !s->setup.is_replay)
		e = inputs_open(s->workers, o, &s->inputs, why);
	if (e == ERR_OK && s->setup.is_check)
		e = inputs_check(o, why);
	s->is_bound = e == ERR_OK && !s->setup.is_replay;
	return e;
}

static enum err open_all(struct service *s, struct why *why)
{
	struct options *o;
	struct generation *g;
	enum err e;

	TRY(options_load(s->setup.conf_path, s->setup.overrides, s->setup.override_count, why, &o));
	log_set_level((enum log_level)o->log_level);
	s->worker_count = s->setup.is_replay ? 1 : options_workers(o);
	e = service_open_state(s, o->state, why);
	if (e == ERR_OK)
		e = service_open_logs(s, o, why);
	if (e != ERR_OK) {
		options_free(o);
		return e;
	}
	TRY(generation_load(o, ++s->generation_number, s->hub, why, &g));
	reload_init(&s->reload, s->worker_count, g);
	s->has_reload = true;
	TRY(open_sinks(s, g, why));
	TRY(open_dead_sinks(s, g->options, why));
	return open_workers(s, g->options, why);
}

enum err service_open(const struct service_setup *setup, struct service **out, struct why *why)
{
	struct service *s = calloc(1, sizeof(*s));
	enum err e;

	if (s == NULL)
		return why_set(why, ERR_NOMEM, "no memory");
	s->setup = *setup;
	s->state_lock = -1;
	s->started_ms = clock_real_ms();
	balance_init(&s->balance, s->started_ms);
	e = tails_new(s, &s->tails);
	if (e == ERR_OK)
		e = health_new(&s->health);
	if (e == ERR_OK)
		e = open_all(s, why);
	if (e != ERR_OK) {
		service_close(s);
		return e;
	}
	*out = s;
	return ERR_OK;
}

static void sum_workers(struct service *s, struct balance_sums *sums)
{
	memset(sums, 0, sizeof(*sums));
	for (unsigned i = 0; i < s->worker_count; i++) {
		stat_sum(workers_collector_stat(s->workers, i), sums->collector);
		stat_sum(workers_stat(s->workers, i), sums->pipe);
	}
}

/* What lives before counted is worker 0's from here on; no worker runs yet. */
static void take_opening(struct service *s)
{
	const struct balance_sums *opening = &s->balance.opening;

	for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++)
		stat_add(workers_collector_stat(s->workers, 0), i, opening->collector[i]);
	for (size_t i = 0; i < PIPE_STAT_COUNT; i++)
		stat_add(workers_stat(s->workers, 0), i, opening->pipe[i]);
	s->rate.flows = opening->pipe[PIPE_STAT_FLOWS];
	s->rate.octets = opening->collector[STAT_OCTETS];
	s->rate.taken_ms = clock_mono_ms();
}

enum err service_start(struct service *s, struct why *why)
{
	if (!s->setup.is_replay) {
		TRY(balance_begin(&s->balance, why));
		take_opening(s);
		TRY(keeper_begin(s->keeper, s->workers, why));
		health_begin(s->health, s);
	}
	TRY(log_hub_start(s->hub, why));
	TRY(dead_start(s->dead, why));
	TRY(sinks_start(s->sinks, why));
	TRY(sinks_start(s->dead_sinks, why));
	return s->setup.is_replay ? ERR_OK : workers_start(s->workers, why);
}

static void flush_log(void *ctx, unsigned worker, struct pipeline *p)
{
	(void)ctx;
	(void)worker;
	pipeline_flush(p);
}

void service_flush_logs(struct service *s)
{
	for (unsigned i = 0; i < s->worker_count; i++)
		workers_call(s->workers, i, flush_log, s);
	dead_seal(s->dead);
}

void service_flush_sinks(struct service *s)
{
	sinks_flush(s->sinks);
	s->is_dead_flushing = false;
}

bool service_is_drained(struct service *s)
{
	if (!sinks_drained(s->sinks))
		return false;
	if (!s->is_dead_flushing) {
		dead_seal(s->dead);
		sinks_flush(s->dead_sinks);
		s->is_dead_flushing = true;
	}
	return sinks_drained(s->dead_sinks);
}

void service_relax_sinks(struct service *s)
{
	sinks_relax(s->sinks);
	sinks_relax(s->dead_sinks);
	s->is_dead_flushing = false;
}

/* One kind of changed options, to whoever asked for all of them. */
struct changes {
	enum conf_reload kind;
	conf_diff_fn *each;
	void *ctx;
};

static void pass_on(void *ctx, const char *path, enum conf_reload reload)
{
	const struct changes *c = ctx;

	if (reload == c->kind)
		c->each(c->ctx, path, reload);
}

/* What changes now is told from what was in force; what waits for a restart, from what runs. */
static void tell_changes(struct service *s, const struct generation *before,
			 const struct generation *g, conf_diff_fn *each, void *ctx)
{
	struct changes live = { CONF_LIVE, each, ctx };
	struct changes restart = { CONF_RESTART, each, ctx };

	conf_diff(options_table, before->options, g->options, pass_on, &live);
	conf_diff(options_table, s->reload.first->options, g->options, pass_on, &restart);
}

/* A new generation keeps what only a restart changes: here, whether records are encoded at all. */
enum err service_reload(struct service *s, conf_diff_fn *each, void *ctx, struct why *why)
{
	const struct generation *before = reload_newest(&s->reload);
	struct inputs_next *next;
	struct options *o;
	struct generation *g;
	enum err e;

	if (s->is_stopping)
		return why_set(why, ERR_AGAIN, "the service is stopping");
	TRY(options_load(s->setup.conf_path, s->setup.overrides, s->setup.override_count, why, &o));
	TRY(generation_load(o, s->generation_number + 1, s->hub, why, &g));
	g->encodes = before->encodes;
	e = inputs_prepare(s->inputs, g->options, &next, why);
	if (e != ERR_OK) {
		generation_free(g);
		return e;
	}
	if (each != NULL)
		tell_changes(s, before, g, each, ctx);
	if (reload_publish(&s->reload, g) != ERR_OK) {
		inputs_cancel(s->inputs, next);
		generation_free(g);
		return why_set(why, ERR_AGAIN, "earlier generations are still in use; try again");
	}
	inputs_commit(s->inputs, next);
	s->generation_number++;
	log_set_level((enum log_level)g->options->log_level);
	return ERR_OK;
}

static void log_change(void *ctx, const char *path, enum conf_reload reload)
{
	(void)ctx;
	log_info("reload.changed option=%s takes_effect=%s", path,
		 reload == CONF_LIVE ? "now" : "restart");
}

static void reload_by_signal(struct service *s)
{
	struct why why = { "" };

	stat_flag_set(&s->wants_reload, 0);
	if (service_reload(s, log_change, NULL, &why) == ERR_OK)
		log_info("reload.done generation=%llu", (unsigned long long)s->generation_number);
	else
		log_error("reload.refused why=\"%s\"", why.text);
}

void service_ask_stop(struct service *s)
{
	stat_flag_set(&s->stop, stat_flag_get(&s->stop) + 1);
	if (stat_flag_get(&s->stop) > 1)
		workers_hurry(s->workers);
	if (s->ctl != NULL)
		ctl_stop(s->ctl);
}

void service_ask_reload(struct service *s)
{
	stat_flag_set(&s->wants_reload, 1);
}

static void take_rate(struct service *s)
{
	int64_t now_ms = clock_mono_ms();
	double passed_s = (double)(now_ms - s->rate.taken_ms) / 1000;
	uint64_t flows = 0;
	uint64_t octets = 0;

	if (passed_s < 1)
		return;
	for (unsigned i = 0; i < s->worker_count; i++) {
		flows += stat_get(workers_stat(s->workers, i), PIPE_STAT_FLOWS);
		octets += stat_get(workers_collector_stat(s->workers, i), STAT_OCTETS);
	}
	s->rate.flows_per_s = (double)(flows - s->rate.flows) / passed_s;
	s->rate.octets_per_s = (double)(octets - s->rate.octets) / passed_s;
	s->rate.flows = flows;
	s->rate.octets = octets;
	s->rate.taken_ms = now_ms;
}

static void idle(void *ctx)
{
	struct service *s = ctx;

	if (stat_flag_get(&s->wants_reload))
		reload_by_signal(s);
	reload_collect(&s->reload);
	take_rate(s);
	keeper_step(s->keeper, clock_mono_ms());
	health_step(s->health, s);
	inputs_step(s->inputs);
	tails_step(s->tails);
	control_step(s);
}

enum err service_run(struct service *s, struct why *why)
{
	const struct options *o = service_options(s);
	char dir[PATH_BYTES];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", o->control.socket);
	slash = strrchr(dir, '/');
	if (slash != NULL && slash != dir) {
		*slash = '\0';
		TRY(service_make_dirs(dir, why));
	}
	TRY(ctl_open(o->control.socket, control_commands, s, &s->ctl, why));
	control_announce(s);
	if (!stat_flag_get(&s->stop))
		ctl_run(s->ctl, idle, IDLE_MS);
	return ERR_OK;
}

/* Sinks that cannot keep up make a replay wait, where the network would lose. */
enum err service_replay(struct service *s, char *const *files, size_t count,
			const struct addr *exporter, struct why *why)
{
	for (size_t i = 0; i < count; i++)
		TRY(workers_replay(s->workers, files[i], exporter, &s->stop, why));
	return ERR_OK;
}

static uint64_t pending(const struct sinks *sinks)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < sinks_count(sinks); i++) {
		uint64_t span;
		uint64_t left;

		sinks_lsn(sinks, i, &span, &left);
		sum += left;
	}
	return sum;
}

/* Is there nothing to wait for any more, or no more time? */
static bool may_end(struct service *s)
{
	int64_t now_ms = clock_mono_ms();

	if (sinks_drained(s->stopping))
		return true;
	if (s->setup.is_replay) {
		uint64_t left = pending(s->stopping);

		if (left < s->stop_pending)
			s->stop_by_ms = now_ms + (int64_t)service_options(s)->shutdown_s * 1000;
		s->stop_pending = left;
		return now_ms >= s->stop_by_ms || stat_flag_get(&s->stop) > 0;
	}
	return now_ms >= s->stop_by_ms || stat_flag_get(&s->stop) > 1;
}

static void idle_stopping(void *ctx)
{
	struct service *s = ctx;

	if (may_end(s))
		ctl_stop(s->ctl);
}

static enum err save_balance(struct service *s)
{
	struct balance_sums sums;
	struct why why = { "" };
	enum err e;

	sum_workers(s, &sums);
	e = balance_save(&s->balance, &sums, &why);
	if (e != ERR_OK)
		log_error("balance.not_saved why=\"%s\" state=\"%s\"", why.text,
			  service_options(s)->state);
	return e;
}

static void stop_sinks(struct service *s, struct sinks *sinks)
{
	struct timespec pause = { 0, 10000000 };

	s->stopping = sinks;
	sinks_flush(sinks);
	s->stop_pending = pending(sinks);
	while (!may_end(s)) {
		if (s->ctl == NULL)
			(void)nanosleep(&pause, NULL);
		else
			ctl_run(s->ctl, idle_stopping, STOPPING_MS);
	}
}

static void give_up_held(void *ctx, unsigned worker, struct pipeline *p)
{
	(void)ctx;
	(void)worker;
	pipeline_finish(p);
}

/* The next life goes on with templates and waiting sets; what it cannot have is given up. */
static void keep_for_next(struct service *s)
{
	if (s->keeper != NULL)
		keeper_end(s->keeper);
	for (unsigned i = 0; i < s->worker_count; i++)
		workers_call(s->workers, i, give_up_held, s);
}

enum err service_stop(struct service *s)
{
	int deadline_ms = (int)service_options(s)->shutdown_s * 1000;
	int64_t dead_by_ms;

	s->is_stopping = true;
	control_stop(s);
	s->stop_by_ms = clock_mono_ms() + deadline_ms;
	workers_stop(s->workers, deadline_ms);
	keep_for_next(s);
	stop_sinks(s, s->sinks);
	sinks_stop(s->sinks, 0);
	/* Now all that they refused is there. */
	dead_finish(s->dead);
	dead_by_ms = clock_mono_ms() + (deadline_ms < DEAD_STOP_MS ? deadline_ms : DEAD_STOP_MS);
	if (s->stop_by_ms < dead_by_ms)
		s->stop_by_ms = dead_by_ms;
	stop_sinks(s, s->dead_sinks);
	if (s->ctl != NULL)
		control_step(s);
	sinks_stop(s->dead_sinks, 0);
	dead_stop(s->dead);
	log_hub_stop(s->hub);
	workers_finish(s->workers);
	return save_balance(s);
}

void service_close(struct service *s)
{
	if (s == NULL)
		return;
	tails_free(s->tails);
	health_free(s->health);
	keeper_free(s->keeper);
	ctl_close(s->ctl);
	workers_close(s->workers);
	inputs_close(s->inputs);
	sinks_close(s->sinks);
	sinks_close(s->dead_sinks);
	dead_close(s->dead);
	if (s->hub != NULL)
		log_hub_stop(s->hub);
	for (size_t i = 0; i < s->log_count; i++)
		log_close(s->logs[i]);
	free(s->logs);
	balance_fini(&s->balance);
	if (s->state_lock >= 0)
		(void)close(s->state_lock);
	if (s->has_reload)
		reload_fini(&s->reload);
	if (s->hub != NULL)
		log_hub_close(s->hub);
	free(s);
}
