/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/service_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOGS_MAX 256 /* of an earlier life */

/* Makes a folder and those above it; it must take files. */
enum err service_make_dirs(const char *path, struct why *why)
{
	char part[PATH_BYTES];
	struct stat st;

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return why_set(why, ERR_CONF, "%s: path too long", path);
	for (char *p = part + 1;; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return why_errno(why, ERR_IO, part);
		*p = was;
		if (was == '\0')
			break;
	}
	if (stat(path, &st) != 0)
		return why_errno(why, ERR_IO, path);
	if (!S_ISDIR(st.st_mode))
		return why_set(why, ERR_IO, "%s: not a folder", path);
	return access(path, W_OK | X_OK) == 0 ? ERR_OK : why_errno(why, ERR_IO, path);
}

/* One service for each folder of state: two would write over each other. */
static enum err lock_state(struct service *s, const char *state, struct why *why)
{
	char path[PATH_BYTES];
	char pid[32] = "";
	int n;

	if (snprintf(path, sizeof(path), "%s/lock", state) >= (int)sizeof(path))
		return why_set(why, ERR_CONF, "%s: path too long", state);
	s->state_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (s->state_lock < 0)
		return why_errno(why, ERR_IO, path);
	if (flock(s->state_lock, LOCK_EX | LOCK_NB) != 0) {
		(void)!read(s->state_lock, pid, sizeof(pid) - 1);
		pid[strcspn(pid, "\n")] = '\0';
		return why_set(why, ERR_IO, "`state' folder %s is in use by process %s", state,
			       pid[0] == '\0' ? "(unknown)" : pid);
	}
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	(void)!ftruncate(s->state_lock, 0);
	(void)!pwrite(s->state_lock, pid, (size_t)n, 0);
	return ERR_OK;
}

/* The folder for what survives; a check only looks, and a replay may run beside the service. */
enum err service_open_state(struct service *s, const char *state, struct why *why)
{
	if (s->setup.is_check)
		return ERR_OK;
	TRY(service_make_dirs(state, why));
	if (s->setup.is_replay)
		return ERR_OK;
	TRY(lock_state(s, state, why));
	TRY(balance_load(&s->balance, state, &log_io_system, why));
	return keeper_open(state, &log_io_system, &s->keeper, why);
}

/* The logs of the workers, and behind them those that more workers of an earlier life left. */
static enum err open_each_log(struct service *s, struct why *why)
{
	unsigned old[LOGS_MAX];
	size_t old_count = log_hub_old(s->hub, old, LOGS_MAX);

	s->logs = calloc(s->worker_count + old_count, sizeof(struct log *));
	if (s->logs == NULL)
		return why_set(why, ERR_NOMEM, "no memory for logs");
	for (; s->log_count < s->worker_count; s->log_count++)
		TRY(log_open(s->hub, (unsigned)s->log_count, why, &s->logs[s->log_count]));
	for (size_t i = 0; i < old_count; i++) {
		TRY(log_open(s->hub, old[i], why, &s->logs[s->log_count]));
		log_finish(s->logs[s->log_count++]);
	}
	return ERR_OK;
}

/* In <state>/<name> as durable as the configuration says; a replay may run beside the service, and its logs
 * are in memory. */
static enum err make_log_conf(const struct service *s, const struct options *o, const char *name,
			      uint64_t max_bytes, char dir[PATH_BYTES], struct log_conf *conf,
			      struct why *why)
{
	*conf = (struct log_conf){ .max_bytes = max_bytes,
				   .policy = (enum log_policy)o->log.policy,
				   .sync = (enum log_sync)o->log.sync,
				   .memory_bytes = o->log.memory_bytes,
				   .min_free_bytes = o->log.min_free_bytes,
				   .codec = (enum log_codec)o->log.codec,
				   .worker_count = s->worker_count };
	if (s->setup.is_replay || conf->sync == LOG_SYNC_OFF) {
		conf->sync = LOG_SYNC_OFF;
		return ERR_OK;
	}
	if (snprintf(dir, PATH_BYTES, "%s/%s", o->state, name) >= PATH_BYTES)
		return why_set(why, ERR_CONF, "%s: path too long", o->state);
	conf->dir = dir;
	return ERR_OK;
}

static enum err open_main(struct service *s, const struct options *o, struct why *why)
{
	char dir[PATH_BYTES];
	struct log_conf conf;

	TRY(make_log_conf(s, o, "log", o->log.max_bytes, dir, &conf, why));
	conf.max_age_ms = (int64_t)o->log.max_age_s * 1000;
	TRY(log_hub_open(&conf, why, &s->hub));
	return open_each_log(s, why);
}

/* A log beside the main one, as durable as that is. */
static enum err open_dead(struct service *s, const struct options *o, struct why *why)
{
	struct dead_conf conf = { .worker_count = s->worker_count,
				  .rate = o->dead_letter.rate,
				  .rate_bytes = o->dead_letter.rate_bytes };
	char dir[PATH_BYTES];

	TRY(make_log_conf(s, o, "dead", o->dead_letter.max_bytes, dir, &conf.log, why));
	return dead_open(&conf, why, &s->dead);
}

enum err service_open_logs(struct service *s, const struct options *o, struct why *why)
{
	TRY(open_main(s, o, why));
	return open_dead(s, o, why);
}
