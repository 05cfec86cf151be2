/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/must.h"
#include "sink/log_parts.h"

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000

const struct stat_desc log_stat_descs[LOG_STAT_COUNT] = {
#define COUNTER(id, name, unit, doc) [LOG_STAT_##id] = { name, "", unit, doc },
#define DROP(id, name, reason, unit, doc) [LOG_STAT_##id] = { name, reason, unit, doc },
#include "sink/log_counters.def"
#undef COUNTER
#undef DROP
};

enum err log_hub_open(const struct log_conf *conf, struct why *why, struct log_hub **out)
{
	struct log_hub *hub = calloc(1, sizeof(*hub));
	pthread_condattr_t monotonic;

	if (hub == NULL)
		return why_set(why, ERR_NOMEM, "log: no memory");
	if (stat_set_new(log_stat_descs, LOG_STAT_COUNT, &hub->stat) != ERR_OK) {
		free(hub);
		return why_set(why, ERR_NOMEM, "log: no memory");
	}
	hub->conf = *conf;
	if (hub->conf.memory_bytes == 0 ||
	    (conf->dir == NULL && conf->max_bytes < conf->memory_bytes))
		hub->conf.memory_bytes = conf->max_bytes;
	if (hub->conf.io == NULL)
		hub->conf.io = &log_io_system;
	hub->dir_fd = -1;
	hub->lock_fd = -1;
	(void)pthread_mutex_init(&hub->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&hub->wake, &monotonic);
	(void)pthread_cond_init(&hub->synced, &monotonic);
	(void)pthread_cond_init(&hub->work, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	if (conf->dir != NULL && conf->sync != LOG_SYNC_OFF) {
		enum err e;

		hub->dir = strdup(conf->dir);
		e = hub->dir == NULL ? why_set(why, ERR_NOMEM, "log: no memory")
				     : log_dir_open(hub, why);
		if (e != ERR_OK) {
			log_hub_close(hub);
			return e;
		}
	}
	*out = hub;
	return ERR_OK;
}

void log_hub_close(struct log_hub *hub)
{
	if (hub == NULL)
		return;
	log_hub_stop(hub);
	must(hub->log_count == 0);
	log_live_close(hub->live, !hub->has_lost);
	log_dir_close(hub);
	while (hub->pool != NULL) {
		struct log_slab *next = hub->pool->next;

		free(hub->pool);
		hub->pool = next;
	}
	for (size_t k = 0; k < LOG_NAME_KINDS; k++)
		log_names_fini(&hub->names[k]);
	(void)pthread_cond_destroy(&hub->wake);
	(void)pthread_cond_destroy(&hub->synced);
	(void)pthread_cond_destroy(&hub->work);
	(void)pthread_mutex_destroy(&hub->lock);
	stat_set_free(hub->stat);
	free(hub);
}

struct log_slab *log_slab_take(struct log_hub *hub, size_t room)
{
	struct log_slab *slab = NULL;

	if (room == LOG_FRAME_BYTES) {
		(void)pthread_mutex_lock(&hub->lock);
		slab = hub->pool;
		if (slab != NULL) {
			hub->pool = slab->next;
			hub->pool_count--;
		}
		(void)pthread_mutex_unlock(&hub->lock);
	}
	if (slab == NULL)
		slab = malloc(sizeof(*slab) + room);
	if (slab == NULL)
		return NULL;
	slab->next = NULL;
	slab->room = room;
	slab->used = 0;
	slab->holds = 1;
	return slab;
}

void log_slab_give(struct log_hub *hub, struct log_slab *list)
{
	while (list != NULL) {
		struct log_slab *slab = list;

		list = slab->next;
		(void)atomic_fetch_sub(&hub->bytes, slab->room);
		if (slab->room == LOG_FRAME_BYTES) {
			(void)pthread_mutex_lock(&hub->lock);
			if (hub->pool_count < LOG_POOL_MAX) {
				slab->next = hub->pool;
				hub->pool = slab;
				hub->pool_count++;
				slab = NULL;
			}
			(void)pthread_mutex_unlock(&hub->lock);
		}
		free(slab);
	}
}

static struct timespec after_ms(int timeout_ms)
{
	struct timespec until;
	int64_t ns;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	ns = until.tv_nsec + (int64_t)timeout_ms % 1000 * NS_PER_MS;
	until.tv_sec += timeout_ms / 1000 + ns / NS_PER_S;
	until.tv_nsec = ns % NS_PER_S;
	return until;
}

void log_hub_wait(struct log_hub *hub, uint64_t *seen, int timeout_ms)
{
	struct timespec until = after_ms(timeout_ms);
	int rc = 0;

	(void)pthread_mutex_lock(&hub->lock);
	while (hub->sealed == *seen && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&hub->wake, &hub->lock, &until);
	*seen = hub->sealed;
	(void)pthread_mutex_unlock(&hub->lock);
}

void log_hub_wait_work(struct log_hub *hub, int timeout_ms)
{
	struct timespec until = after_ms(timeout_ms);
	int rc = 0;

	(void)pthread_mutex_lock(&hub->lock);
	while (!hub->is_woken && hub->unseen_octets < hub->work_octets && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&hub->work, &hub->lock, &until);
	hub->is_woken = false;
	hub->unseen_octets = 0;
	(void)pthread_mutex_unlock(&hub->lock);
}

void log_hub_wake(struct log_hub *hub)
{
	(void)pthread_mutex_lock(&hub->lock);
	hub->sealed++;
	hub->is_woken = true;
	(void)pthread_cond_broadcast(&hub->wake);
	(void)pthread_cond_signal(&hub->work);
	(void)pthread_mutex_unlock(&hub->lock);
}

void log_add(struct log_hub *hub, enum log_stat stat, uint64_t n)
{
	if (n == 0)
		return;
	(void)pthread_mutex_lock(&hub->lock);
	stat_add(hub->stat, stat, n);
	(void)pthread_mutex_unlock(&hub->lock);
}

const uint8_t *log_hub_id(const struct log_hub *hub)
{
	return hub->id;
}

void log_add_lost(struct log_hub *hub, enum log_loss why, uint64_t n)
{
	static const enum log_stat stats[LOG_LOSS_COUNT] = {
		[LOG_LOST_MAX_BYTES] = LOG_STAT_EVICTED,
		[LOG_LOST_MAX_AGE] = LOG_STAT_EVICTED_AGE,
		[LOG_LOST_CORRUPT] = LOG_STAT_CORRUPT,
		[LOG_LOST_UNSYNCED] = LOG_STAT_UNSYNCED,
	};

	log_add(hub, stats[why], n);
}

bool log_hub_is_durable(const struct log_hub *hub)
{
	return hub->dir_fd >= 0;
}

uint64_t log_hub_bytes(const struct log_hub *hub)
{
	return atomic_load(log_hub_is_durable(hub) ? &hub->disk_bytes : &hub->bytes);
}

uint64_t log_hub_max_bytes(const struct log_hub *hub)
{
	return log_hub_is_durable(hub) ? hub->conf.max_bytes : hub->conf.memory_bytes;
}

bool log_hub_is_high(const struct log_hub *hub)
{
	return log_hub_bytes(hub) > log_hub_max_bytes(hub) / 5 * 4 ||
	       atomic_load(&hub->bytes) > hub->conf.memory_bytes / 5 * 4;
}

bool log_hub_wants_pause(const struct log_hub *hub)
{
	if (log_hub_is_durable(hub) && hub->conf.policy == LOG_BLOCK)
		return log_hub_is_high(hub);
	if (!log_hub_is_durable(hub) && hub->conf.policy == LOG_EVICT_OLDEST)
		return false;
	return atomic_load(&hub->bytes) > hub->conf.memory_bytes / 5 * 4;
}

struct stat_set *log_hub_stat(struct log_hub *hub)
{
	return hub->stat;
}
