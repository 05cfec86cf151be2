/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - the running service: everything that main puts together and the control socket asks.
 *
 *	service_open(&setup, &s, &why)	configuration, log, sinks, workers, sockets; or nothing
 *	service_start(s, &why)
 *	service_run(s)			control socket and signals, until asked to stop
 *	service_replay(s, files...)	instead of run
 *	service_close(s)
 *
 * Owner: main.  The thread that calls these is the control thread.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "base/ctl.h"
#include "base/why.h"
#include "daemon/balance.h"
#include "daemon/health.h"
#include "daemon/keeper.h"
#include "daemon/ledger.h"
#include "daemon/reload.h"
#include "daemon/worker.h"
#include "sink/dead.h"
#include "sink/log.h"
#include "sink/sink.h"

struct dead_replay;
struct inputs;

struct service_setup {
	const char *conf_path; /* NULL: presets */
	char *const *overrides;
	size_t override_count;
	bool is_replay; /* no sockets, no control */
	bool is_check;	/* nothing is made, nothing starts */
};

/* What passed in the last whole second. */
struct service_rate {
	int64_t taken_ms; /* monotonic */
	uint64_t flows;
	uint64_t octets;
	double flows_per_s;
	double octets_per_s;
};

struct service {
	struct service_setup setup;
	struct collector_limits limits; /* of each worker */
	struct reload reload;
	bool has_reload;
	uint64_t generation_number;
	struct log_hub *hub;
	struct log **logs;
	size_t log_count; /* those of the workers first */
	unsigned worker_count;
	struct workers *workers;
	struct inputs *inputs; /* NULL: a replay or a check */
	struct sinks *sinks;
	struct dead *dead;
	struct sinks *dead_sinks;
	bool is_dead_flushing; /* of a drain: the other sinks have everything */
	struct ctl *ctl;
	int64_t started_ms; /* UTC */
	bool is_bound;
	bool is_stopping;
	int64_t stop_by_ms;	/* monotonic */
	struct sinks *stopping; /* what the stop waits for */
	uint64_t stop_pending;	/* records of those, when a replay last looked */
	int state_lock;		/* of <state>/lock, or -1 */
	struct stat_flag stop;	/* 1: stop, 2: hurry */
	struct stat_flag wants_reload;
	struct tails *tails;
	struct ctl_client *drains[CTL_CLIENTS_MAX];
	size_t drain_count;
	struct dead_replay *replay;	  /* under way, or NULL */
	struct ctl_client *replay_client; /* who asked for it and is still there */
	struct service_rate rate;
	struct balance balance;
	struct keeper *keeper; /* NULL: a replay or a check */
	struct health *health;
};

enum err service_open(const struct service_setup *setup, struct service **out, struct why *why);
enum err service_start(struct service *s, struct why *why);
/* The control socket and its thread's loop; returns when asked to stop, everything stopped. */
enum err service_run(struct service *s, struct why *why);
enum err service_replay(struct service *s, char *const *files, size_t count,
			const struct addr *exporter, struct why *why);
/* Workers, then sinks, which have shutdown_s; those of a replay have it anew whenever they get on.
 * The control socket answers meanwhile.  Then the counters are saved; why not, is logged. */
enum err service_stop(struct service *s);
void service_close(struct service *s);

/*
 * Reads everything again and swaps it in, or leaves all as it is.  `each` learns which options changed
 * and whether only a restart takes them over.
 */
enum err service_reload(struct service *s, conf_diff_fn *each, void *ctx, struct why *why);

/* From signal handlers. */
void service_ask_stop(struct service *s);
void service_ask_reload(struct service *s);

const struct options *service_options(struct service *s);
void service_ledger(struct service *s, struct ledger *out);
/* Seals what the workers have appended. */
void service_flush_logs(struct service *s);
/* Asks all sinks to make safe what they have; dead letters follow when the others did. */
void service_flush_sinks(struct service *s);
/* Everything that was there when the sinks were asked is safe with each of them, and so are the dead
 * letters that became of it. */
bool service_is_drained(struct service *s);
void service_relax_sinks(struct service *s);

#endif
