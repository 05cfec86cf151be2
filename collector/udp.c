/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/udp.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "collector/udp_socket.h"
#include "collector/udp_worker.h"

struct udp_group {
	unsigned worker_count;
	size_t listen_count;
	struct udp_worker *workers;
	struct udp_status *shown; /* one for each listen entry */
};

static enum err check_conf(const struct udp_conf *conf, struct why *why)
{
	if (conf->worker_count == 0 || conf->worker_count > UDP_WORKERS_MAX)
		return why_set(why, ERR_LIMIT, "udp: %u workers: 1 to %u", conf->worker_count,
			       UDP_WORKERS_MAX);
	if (conf->batch_count > UDP_BATCH_MAX)
		return why_set(why, ERR_LIMIT, "udp: a batch of %u datagrams: at most %u",
			       conf->batch_count, UDP_BATCH_MAX);
	if (conf->datagram_max > UDP_DATAGRAM_MAX)
		return why_set(why, ERR_LIMIT, "udp: datagrams of %u octets: at most %u",
			       conf->datagram_max, UDP_DATAGRAM_MAX);
	return ERR_OK;
}

static enum err new_group(const struct udp_conf *conf, struct stat_set *const *stats,
			  struct udp_group **out)
{
	struct udp_group *g = calloc(1, sizeof(*g));
	enum err e = ERR_NOMEM;

	if (g == NULL)
		return ERR_NOMEM;
	g->listen_count = conf->listen_count;
	g->shown = calloc(conf->listen_count + 1, sizeof(*g->shown));
	g->workers = calloc(conf->worker_count, sizeof(*g->workers));
	if (g->shown == NULL || g->workers == NULL)
		goto fail;
	g->worker_count = conf->worker_count;
	for (unsigned i = 0; i < g->worker_count; i++) {
		struct udp_worker *w = &g->workers[i];

		w->all = g->workers;
		w->number = i;
		w->worker_count = g->worker_count;
		w->stat = stats[i];
		w->epoll_fd = -1;
		w->wake_fd = -1;
	}
	for (unsigned i = 0; i < g->worker_count; i++) {
		e = udp_worker_init(&g->workers[i], conf);
		if (e != ERR_OK)
			goto fail;
	}
	*out = g;
	return ERR_OK;
fail:
	udp_group_close(g);
	return e;
}

static enum err open_entry(struct udp_group *g, size_t entry, const struct udp_listen *listen,
			   struct why *why)
{
	int fds[UDP_WORKERS_MAX];
	enum err first = ERR_OK;

	TRY(udp_socket_open_all(listen, g->worker_count, fds, &g->shown[entry], why));
	/* All are handed to their workers, whatever happens: closing the group then closes them. */
	for (unsigned i = 0; i < g->worker_count; i++) {
		enum err e = udp_worker_watch(&g->workers[i], entry, fds[i], g->shown[entry].port);

		if (e != ERR_OK && first == ERR_OK)
			first = why_set(why, e, "udp port %u: epoll: %s", g->shown[entry].port,
					strerrordesc_np(errno));
	}
	return first;
}

enum err udp_group_open(const struct udp_conf *conf, struct stat_set *const *stats,
			struct udp_group **out, struct why *why)
{
	struct udp_group *g = NULL;
	enum err e;

	TRY(check_conf(conf, why));
	e = new_group(conf, stats, &g);
	if (e != ERR_OK)
		return why_set(why, e, "udp: %u workers: %s", conf->worker_count, err_text(e));
	for (size_t i = 0; i < conf->listen_count; i++) {
		e = open_entry(g, i, &conf->listens[i], why);
		if (e != ERR_OK)
			goto fail;
	}
	*out = g;
	return ERR_OK;
fail:
	udp_group_close(g);
	return e;
}

void udp_group_close(struct udp_group *g)
{
	if (g == NULL)
		return;
	for (unsigned i = 0; i < g->worker_count; i++)
		udp_worker_fini(&g->workers[i]);
	free(g->workers);
	free(g->shown);
	free(g);
}

struct udp_worker *udp_group_worker(struct udp_group *g, unsigned worker)
{
	must(worker < g->worker_count);
	return &g->workers[worker];
}

/* Octets of the receive buffer that datagrams take up now, as the kernel counts them. */
static uint32_t queued_at(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t bytes = sizeof(info);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) != 0)
		return 0;
	return info[SK_MEMINFO_RMEM_ALLOC];
}

size_t udp_group_describe(const struct udp_group *g, struct udp_status *rows, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < g->listen_count; i++) {
		for (unsigned k = 0; k < g->worker_count; k++, count++) {
			if (count >= room)
				continue;
			rows[count] = g->shown[i];
			rows[count].worker = k;
			rows[count].queued = queued_at(g->workers[k].sockets[i].fd);
			rows[count].kernel_drops = stat_get(g->workers[k].drops, i);
		}
	}
	return count;
}
