/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "collector/stream_parts.h"
#include "collector/udp.h"

#define OTHER_FILES 256u /* of logs, sinks and sockets */
#define FILES_MAX (1u << 20)

struct stream_change {
	struct stream_group *group;
	size_t entries[STREAM_LISTENS_MAX];
	size_t entry_count;
	size_t come[STREAM_LISTENS_MAX];
	size_t come_count;
	size_t go[STREAM_LISTENS_MAX];
	size_t go_count;
	bool is_applied;
};

static bool is_same(const struct stream_listen *a, const struct stream_listen *b)
{
	return a->ops == b->ops && addr_equal(&a->address, &b->address) && a->port == b->port &&
	       strcmp(a->interface, b->interface) == 0 && a->v6only == b->v6only;
}

static size_t find_kept(const struct stream_group *g, const struct stream_listen *listen,
			const bool *is_kept)
{
	size_t i = 0;

	while (i < STREAM_LISTENS_MAX && (!g->listeners[i].is_used || is_kept[i] ||
					  !is_same(&g->listeners[i].listen, listen)))
		i++;
	return i;
}

static size_t find_free(const struct stream_group *g)
{
	size_t i = 0;

	while (i < STREAM_LISTENS_MAX && g->listeners[i].is_used)
		i++;
	return i;
}

static enum err open_listener(struct stream_group *g, size_t slot,
			      const struct stream_listen *listen, struct why *why)
{
	struct stream_listener *l = &g->listeners[slot];
	struct stream_status shown = { .ops = listen->ops, .worker = STREAM_ACCEPTOR };
	int fd = -1;

	TRY(listen->ops->listen(listen, &fd, &shown.address, &shown.port, why));
	(void)snprintf(shown.interface, sizeof(shown.interface), "%s", listen->interface);
	shown.is_dual = shown.address.bytes == 16 && !listen->v6only;
	*l = (struct stream_listener){ .is_used = true,
				       .listen = *listen,
				       .fd = fd,
				       .id = ++g->last_listener,
				       .shown = shown };
	return ERR_OK;
}

static void free_listener(struct stream_group *g, size_t slot)
{
	struct stream_listener *l = &g->listeners[slot];

	if (l->is_used && l->fd >= 0)
		(void)close(l->fd);
	memset(l, 0, sizeof(*l));
	l->fd = -1;
}

/* Which listeners stay, come and go; those that come are opened. */
static enum err compare(struct stream_change *c, const struct stream_listen *listens, size_t count,
			struct why *why)
{
	struct stream_group *g = c->group;
	bool is_kept[STREAM_LISTENS_MAX] = { false };

	for (size_t i = 0; i < count; i++) {
		c->entries[i] = find_kept(g, &listens[i], is_kept);
		if (c->entries[i] < STREAM_LISTENS_MAX)
			is_kept[c->entries[i]] = true;
	}
	for (size_t i = 0; i < STREAM_LISTENS_MAX; i++) {
		if (g->listeners[i].is_used && !is_kept[i])
			c->go[c->go_count++] = i;
	}
	for (size_t i = 0; i < count; i++) {
		size_t slot = find_free(g);

		if (c->entries[i] < STREAM_LISTENS_MAX)
			continue;
		if (slot == STREAM_LISTENS_MAX)
			return why_set(why, ERR_LIMIT,
				       "streams: no room for so many entries beside those that go");
		TRY(open_listener(g, slot, &listens[i], why));
		c->entries[i] = slot;
		c->come[c->come_count++] = slot;
	}
	c->entry_count = count;
	return ERR_OK;
}

enum err stream_change_open(struct stream_group *g, const struct stream_listen *listens,
			    size_t count, struct stream_change **out, struct why *why)
{
	struct stream_change *c;
	enum err e;

	if (count > STREAM_LISTENS_MAX)
		return why_set(why, ERR_LIMIT, "streams: %zu entries of listen: at most %u", count,
			       STREAM_LISTENS_MAX);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return why_set(why, ERR_NOMEM, "no memory for sockets");
	c->group = g;
	e = compare(c, listens, count, why);
	if (e != ERR_OK) {
		stream_change_close(c);
		return e;
	}
	*out = c;
	return ERR_OK;
}

static void swap_listeners(struct stream_change *c, struct stream_worker *w)
{
	for (size_t i = 0; i < c->go_count; i++)
		stream_worker_unwatch(w, c->go[i]);
	for (size_t i = 0; i < c->come_count; i++) {
		const struct stream_listener *l = &c->group->listeners[c->come[i]];

		if (stream_worker_watch(w, c->come[i]) != ERR_OK)
			log_error("stream.watch port=%u why=\"the system has no room for it\"",
				  l->shown.port);
	}
}

void stream_change_apply(struct stream_change *c, unsigned worker, const struct stream_calls *calls)
{
	struct stream_worker *w = &c->group->workers[worker];

	/* The acceptor is the first: nobody comes by those that go when the others look. */
	must(worker == STREAM_ACCEPTOR || c->is_applied);
	if (worker == STREAM_ACCEPTOR)
		swap_listeners(c, w);
	c->is_applied = true;
	for (size_t i = 0; i < c->go_count; i++)
		stream_worker_leave(w, c->group->listeners[c->go[i]].id, calls);
}

void stream_change_close(struct stream_change *c)
{
	struct stream_group *g = c->group;
	const size_t *gone = c->is_applied ? c->go : c->come;
	size_t count = c->is_applied ? c->go_count : c->come_count;

	for (size_t i = 0; i < count; i++)
		free_listener(g, gone[i]);
	if (c->is_applied) {
		memcpy(g->entries, c->entries, sizeof(g->entries));
		g->entry_count = c->entry_count;
	}
	free(c);
}

/*
 * How many descriptors connections may take, of as many as the system lets us have: logs, sinks and the control socket
 * need theirs however many exporters connect.
 */
static uint32_t settle_room(void)
{
	struct rlimit limit;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return OTHER_FILES;
	most = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
	if (limit.rlim_cur < most) {
		limit.rlim_cur = most;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur > FILES_MAX)
		limit.rlim_cur = FILES_MAX;
	return (uint32_t)(limit.rlim_cur > 2 * OTHER_FILES ? limit.rlim_cur - OTHER_FILES
							   : limit.rlim_cur / 2);
}

static enum err init_workers(struct stream_group *g, const struct stream_conf *conf,
			     struct stat_set *const *stats)
{
	for (unsigned i = 0; i < g->worker_count; i++) {
		struct stream_worker *w = &g->workers[i];

		w->group = g;
		w->number = i;
		w->stat = stats[i];
		w->epoll_fd = -1;
		w->wake_fd = -1;
	}
	for (unsigned i = 0; i < g->worker_count; i++)
		TRY(stream_worker_init(&g->workers[i], &conf->limits));
	return ERR_OK;
}

/* No worker runs yet. */
static enum err open_first(struct stream_group *g, const struct stream_conf *conf, struct why *why)
{
	struct stream_change *c = NULL;
	enum err e = stream_change_open(g, conf->listens, conf->listen_count, &c, why);

	if (c == NULL)
		return e;
	swap_listeners(c, &g->workers[STREAM_ACCEPTOR]);
	c->is_applied = true;
	stream_change_close(c);
	return ERR_OK;
}

enum err stream_group_open(const struct stream_conf *conf, struct stat_set *const *stats,
			   struct stream_group **out, struct why *why)
{
	struct stream_group *g = calloc(1, sizeof(*g));
	enum err e = ERR_NOMEM;

	if (g == NULL)
		return why_set(why, e, "no memory for streams");
	(void)pthread_mutex_init(&g->lock, NULL);
	for (size_t i = 0; i < STREAM_LISTENS_MAX; i++)
		g->listeners[i].fd = -1;
	g->workers = calloc(conf->worker_count, sizeof(*g->workers));
	if (g->workers != NULL) {
		g->worker_count = conf->worker_count;
		e = init_workers(g, conf, stats);
	}
	if (e != ERR_OK)
		(void)why_set(why, e, "streams: %s", err_text(e));
	g->room = settle_room();
	if (conf->listen_count > 0 && g->room < conf->limits.connections_max)
		log_warn("stream.files connections=%u wanted=%u raise=LimitNOFILE", g->room,
			 conf->limits.connections_max);
	if (e == ERR_OK)
		e = open_first(g, conf, why);
	if (e != ERR_OK) {
		stream_group_close(g);
		return e;
	}
	*out = g;
	return ERR_OK;
}

void stream_group_close(struct stream_group *g)
{
	if (g == NULL)
		return;
	for (unsigned i = 0; i < g->worker_count; i++)
		stream_worker_fini(&g->workers[i]);
	for (size_t i = 0; i < STREAM_LISTENS_MAX; i++)
		free_listener(g, i);
	(void)pthread_mutex_destroy(&g->lock);
	free(g->workers);
	free(g);
}

struct stream_worker *stream_group_worker(struct stream_group *g, unsigned worker)
{
	must(worker < g->worker_count);
	return &g->workers[worker];
}

size_t stream_group_describe(const struct stream_group *g, struct stream_status *rows, size_t room)
{
	for (size_t i = 0; i < g->entry_count && i < room; i++)
		rows[i] = g->listeners[g->entries[i]].shown;
	return g->entry_count;
}
