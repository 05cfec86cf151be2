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

/* An entry of `listen`, and the same place in each worker's sockets. */
struct slot {
	bool is_used;
	struct udp_listen listen; /* as it was asked for; its texts and groups are ours */
	struct udp_status shown;
};

struct udp_group {
	unsigned worker_count;
	struct udp_worker *workers;
	struct slot slots[UDP_LISTENS_MAX];
	size_t entries[UDP_LISTENS_MAX]; /* slots in the order of `listen` */
	size_t entry_count;
};

struct udp_change {
	struct udp_group *group;
	size_t entries[UDP_LISTENS_MAX]; /* as they will be */
	size_t entry_count;
	size_t come[UDP_LISTENS_MAX];
	size_t come_count;
	size_t go[UDP_LISTENS_MAX];
	size_t go_count;
	int (*fds)[UDP_WORKERS_MAX]; /* of those that come; -1 when their worker has them */
	bool is_undone;
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
	if (conf->listen_count > UDP_LISTENS_MAX)
		return why_set(why, ERR_LIMIT, "udp: %zu entries of listen: at most %u",
			       conf->listen_count, UDP_LISTENS_MAX);
	return ERR_OK;
}

static enum err new_group(const struct udp_conf *conf, struct stat_set *const *stats,
			  struct udp_group **out)
{
	struct udp_group *g = calloc(1, sizeof(*g));
	enum err e = ERR_NOMEM;

	if (g == NULL)
		return ERR_NOMEM;
	g->workers = calloc(conf->worker_count, sizeof(*g->workers));
	if (g->workers == NULL)
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

static void slot_free(struct slot *s)
{
	free((void *)s->listen.interface);
	free((void *)s->listen.multicast);
	memset(s, 0, sizeof(*s));
}

static enum err slot_init(struct slot *s, const struct udp_listen *from)
{
	struct udp_multicast *groups = calloc(from->multicast_count + 1, sizeof(*groups));
	char *interface = strdup(from->interface == NULL ? "" : from->interface);

	for (size_t i = 0; groups != NULL && i < from->multicast_count; i++)
		groups[i] = from->multicast[i];
	s->is_used = true;
	s->listen = *from;
	s->listen.interface = interface;
	s->listen.multicast = groups;
	return groups == NULL || interface == NULL ? ERR_NOMEM : ERR_OK;
}

static bool is_same_groups(const struct udp_listen *a, const struct udp_listen *b)
{
	if (a->multicast_count != b->multicast_count)
		return false;
	for (size_t i = 0; i < a->multicast_count; i++) {
		if (!addr_equal(&a->multicast[i].group, &b->multicast[i].group) ||
		    strcmp(a->multicast[i].interface, b->multicast[i].interface) != 0)
			return false;
	}
	return true;
}

static bool is_same(const struct udp_listen *a, const struct udp_listen *b)
{
	return addr_equal(&a->address, &b->address) && a->port == b->port &&
	       strcmp(a->interface == NULL ? "" : a->interface,
		      b->interface == NULL ? "" : b->interface) == 0 &&
	       a->rcvbuf == b->rcvbuf && a->v6only == b->v6only && is_same_groups(a, b);
}

/* A slot that has what is asked for, and that no other entry has taken up; or UDP_LISTENS_MAX. */
static size_t find_kept(const struct udp_change *c, const struct udp_listen *listen,
			const bool *is_kept)
{
	for (size_t i = 0; i < UDP_LISTENS_MAX; i++) {
		if (c->group->slots[i].is_used && !is_kept[i] &&
		    is_same(&c->group->slots[i].listen, listen))
			return i;
	}
	return UDP_LISTENS_MAX;
}

static enum err take_free_slot(struct udp_change *c, const struct udp_listen *listen, size_t *out)
{
	for (size_t i = 0; i < UDP_LISTENS_MAX; i++) {
		if (c->group->slots[i].is_used)
			continue;
		*out = i;
		c->come[c->come_count++] = i;
		return slot_init(&c->group->slots[i], listen);
	}
	return ERR_LIMIT;
}

/* Which slots stay, which come and which go. */
static enum err compare(struct udp_change *c, const struct udp_listen *listens, size_t count)
{
	bool is_kept[UDP_LISTENS_MAX] = { false };

	for (size_t i = 0; i < count; i++) {
		size_t slot = find_kept(c, &listens[i], is_kept);

		c->entries[i] = slot;
		if (slot < UDP_LISTENS_MAX)
			is_kept[slot] = true;
	}
	for (size_t i = 0; i < UDP_LISTENS_MAX; i++) {
		if (c->group->slots[i].is_used && !is_kept[i])
			c->go[c->go_count++] = i;
	}
	for (c->entry_count = 0; c->entry_count < count; c->entry_count++) {
		size_t *entry = &c->entries[c->entry_count];

		if (*entry == UDP_LISTENS_MAX)
			TRY(take_free_slot(c, &listens[c->entry_count], entry));
	}
	return ERR_OK;
}

/* Sockets of one worker alone share their port only while another one takes over. */
static void share_slot(struct udp_group *g, size_t slot, int value)
{
	for (unsigned i = 0; g->worker_count == 1 && i < g->worker_count; i++) {
		int fd = g->workers[i].sockets[slot].fd;

		if (fd >= 0)
			(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof(value));
	}
}

/* How an entry can open that finds its address in use: is it by one of those that go? */
static enum udp_beside find_beside(const struct udp_change *c, const struct udp_listen *listen)
{
	enum udp_beside found = UDP_BESIDE_NONE;

	for (size_t i = 0; i < c->go_count; i++) {
		const struct udp_listen *old = &c->group->slots[c->go[i]].listen;

		if (c->group->slots[c->go[i]].shown.port != listen->port)
			continue;
		share_slot(c->group, c->go[i], 1);
		if (addr_equal(&old->address, &listen->address) && old->v6only == listen->v6only &&
		    strcmp(old->interface, listen->interface == NULL ? "" : listen->interface) == 0)
			found = UDP_BESIDE_SAME;
		else if (found == UDP_BESIDE_NONE)
			found = UDP_BESIDE_OTHER;
	}
	return found;
}

static enum err open_slot(struct udp_change *c, size_t come, bool may_share, struct why *why)
{
	struct udp_group *g = c->group;
	struct slot *s = &g->slots[c->come[come]];
	enum udp_beside beside = UDP_BESIDE_NONE;

	if (may_share)
		beside = find_beside(c, &s->listen);
	return udp_socket_open_all(&s->listen, g->worker_count, beside, c->fds[come], &s->shown,
				   why);
}

/* First those that take nothing from the sockets that are there: if one of them fails, nothing was touched. */
static enum err open_slots(struct udp_change *c, struct why *why)
{
	bool is_open[UDP_LISTENS_MAX] = { false };

	for (size_t i = 0; i < c->come_count; i++) {
		enum err e = open_slot(c, i, false, why);

		is_open[i] = e == ERR_OK;
		if (e != ERR_OK && (e != ERR_EXISTS || c->go_count == 0))
			return e;
	}
	for (size_t i = 0; i < c->come_count; i++) {
		if (!is_open[i])
			TRY(open_slot(c, i, true, why));
	}
	return ERR_OK;
}

enum err udp_change_open(struct udp_group *g, const struct udp_listen *listens, size_t count,
			 struct udp_change **out, struct why *why)
{
	struct udp_change *c;
	enum err e = ERR_NOMEM;

	if (count > UDP_LISTENS_MAX)
		return why_set(why, ERR_LIMIT, "udp: %zu entries of listen: at most %u", count,
			       UDP_LISTENS_MAX);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return why_set(why, e, "no memory for sockets");
	c->group = g;
	c->fds = malloc((count + 1) * sizeof(*c->fds));
	if (c->fds != NULL) {
		memset(c->fds, 0xff, (count + 1) * sizeof(*c->fds));
		e = compare(c, listens, count);
	}
	if (e != ERR_OK) {
		(void)why_set(why, e, "udp: %zu sockets for each worker: %s", count, err_text(e));
		goto fail;
	}
	e = open_slots(c, why);
	if (e != ERR_OK)
		goto fail;
	*out = c;
	return ERR_OK;
fail:
	udp_change_undo(c);
	udp_change_close(c);
	return e;
}

enum err udp_change_begin(struct udp_change *c, unsigned worker)
{
	struct udp_worker *w = &c->group->workers[worker];

	for (size_t i = 0; i < c->come_count; i++) {
		int fd = c->fds[i][worker];

		/* The worker has it, whatever happens: who closes its sockets closes this one. */
		c->fds[i][worker] = -1;
		TRY(udp_worker_watch(w, c->come[i], fd, c->group->slots[c->come[i]].shown.port));
	}
	return ERR_OK;
}

void udp_change_undo(struct udp_change *c)
{
	for (size_t i = 0; i < c->go_count; i++)
		share_slot(c->group, c->go[i], 0);
	c->is_undone = true;
}

void udp_change_end(struct udp_change *c, unsigned worker, unit_fn *fn, void *ctx)
{
	struct udp_worker *w = &c->group->workers[worker];
	const size_t *gone = c->is_undone ? c->come : c->go;
	size_t count = c->is_undone ? c->come_count : c->go_count;

	for (size_t i = 0; i < count; i++)
		udp_worker_unwatch(w, gone[i], fn, ctx);
}

/* Descriptors that no worker took up. */
static void close_rest(struct udp_change *c)
{
	for (size_t i = 0; i < c->come_count; i++) {
		for (unsigned k = 0; k < c->group->worker_count; k++) {
			if (c->fds != NULL && c->fds[i][k] >= 0)
				(void)close(c->fds[i][k]);
		}
	}
}

void udp_change_close(struct udp_change *c)
{
	struct udp_group *g = c->group;
	const size_t *gone = c->is_undone ? c->come : c->go;
	size_t count = c->is_undone ? c->come_count : c->go_count;

	close_rest(c);
	for (size_t i = 0; i < count; i++)
		slot_free(&g->slots[gone[i]]);
	if (!c->is_undone) {
		memcpy(g->entries, c->entries, sizeof(g->entries));
		g->entry_count = c->entry_count;
		for (size_t i = 0; i < c->come_count; i++)
			share_slot(g, c->come[i], 0);
	}
	free(c->fds);
	free(c);
}

/* No worker runs yet. */
static enum err open_first(struct udp_group *g, const struct udp_conf *conf, struct why *why)
{
	struct udp_change *c = NULL;
	enum err e = udp_change_open(g, conf->listens, conf->listen_count, &c, why);

	if (c == NULL)
		return e;
	for (unsigned i = 0; e == ERR_OK && i < g->worker_count; i++)
		e = udp_change_begin(c, i);
	if (e != ERR_OK)
		e = why_set(why, e, "udp: epoll: %s", strerrordesc_np(errno));
	udp_change_close(c);
	return e;
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
	e = open_first(g, conf, why);
	if (e != ERR_OK) {
		udp_group_close(g);
		return e;
	}
	*out = g;
	return ERR_OK;
}

void udp_group_close(struct udp_group *g)
{
	if (g == NULL)
		return;
	for (unsigned i = 0; g->workers != NULL && i < g->worker_count; i++)
		udp_worker_fini(&g->workers[i]);
	for (size_t i = 0; i < UDP_LISTENS_MAX; i++)
		slot_free(&g->slots[i]);
	free(g->workers);
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

	for (size_t i = 0; i < g->entry_count; i++) {
		size_t slot = g->entries[i];

		for (unsigned k = 0; k < g->worker_count; k++, count++) {
			if (count >= room)
				continue;
			rows[count] = g->slots[slot].shown;
			rows[count].worker = k;
			rows[count].queued = queued_at(g->workers[k].sockets[slot].fd);
			rows[count].kernel_drops = stat_get(g->workers[k].drops, slot);
		}
	}
	return count;
}
