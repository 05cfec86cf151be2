/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "collector/stream_parts.h"
#include "collector/udp.h"

#define EVENTS_MAX 64
#define ACCEPTS_MAX 64 /* of one listener in a row */
#define READ_BYTES 65536u
#define MUCH_BYTES (READ_BYTES / 4) /* of one read: the next one is worth its call */
#define SPACE_BYTES (FRAMER_MESSAGE_MAX + READ_BYTES)
#define MALFORMED_MAX 10 /* messages in a row (RFC 7011, 9.1) */
#define HEADER_BYTES 16u
#define QUIET_MS 10000 /* after that a connection needs no memory for messages */
#define KEEPALIVE_PROBES 5
#define KEEPALIVE_GAP_S 10

/* An event is of a connection, or of what is no pointer to one: */
#define WAKE_EVENT UINT64_C(1)
#define LISTEN_EVENT(i) ((uint64_t)(i) << 2 | 3)
#define IS_LISTEN(data) (((data)&3) == 3)

enum err stream_worker_init(struct stream_worker *w, const struct stream_limits *limits)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = WAKE_EVENT };

	w->limits = *limits;
	w->space = malloc(SPACE_BYTES);
	if (w->space == NULL)
		return ERR_NOMEM;
	TRY(htab_new(sizeof(struct addr), &w->peers));
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->epoll_fd < 0 || w->wake_fd < 0 ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &event) != 0)
		return ERR_IO;
	return ERR_OK;
}

enum err stream_worker_watch(struct stream_worker *w, size_t listener)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = LISTEN_EVENT(listener) };

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->group->listeners[listener].fd, &event) == 0
		       ? ERR_OK
		       : ERR_IO;
}

void stream_worker_unwatch(struct stream_worker *w, size_t listener)
{
	struct stream_listener *l = &w->group->listeners[listener];

	if (l->fd < 0)
		return;
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
	(void)close(l->fd);
	l->fd = -1;
}

int stream_worker_fd(const struct stream_worker *w)
{
	return w->epoll_fd;
}

uint32_t stream_worker_count(const struct stream_worker *w)
{
	return w->count;
}

void stream_worker_limit(struct stream_worker *w, const struct stream_limits *limits)
{
	w->limits = *limits;
}

static void leave_group(struct stream_worker *w)
{
	struct stream_group *g = w->group;

	(void)pthread_mutex_lock(&g->lock);
	must(g->count > 0);
	g->count--;
	(void)pthread_mutex_unlock(&g->lock);
}

/* It never was one of ours; `w` counts it. */
static void refuse(struct stream_worker *w, struct stream_conn *c, enum collector_stat reason)
{
	stat_inc(w->stat, reason);
	leave_group(w);
	(void)close(c->fd);
	free(c);
}

static void tell_closed(const struct stream_conn *c, enum collector_stat reason)
{
	char text[ADDR_TEXT_BYTES];

	if (reason == STAT_CLOSED_PEER || reason == STAT_CLOSED_SHUTDOWN)
		return;
	(void)addr_text(&c->origin.peer, text);
	log_every(LOG_LEVEL_WARN, "stream.closed transport=%s peer=%s port=%u why=%s", c->ops->name,
		  text, c->origin.port, collector_stat_descs[reason].reason);
}

static void unlink_conn(struct stream_worker *w, struct stream_conn *c)
{
	if (c->behind != NULL)
		c->behind->before = c->before;
	if (c->before != NULL)
		c->before->behind = c->behind;
	else
		w->first = c->behind;
	if (--c->peer->count == 0) {
		must(htab_del(w->peers, &c->peer->address) == c->peer);
		free(c->peer);
	}
	stat_put(w->stat, STAT_CONNECTIONS_NOW, --w->count);
}

/* `calls` is NULL at the very end, when nobody has sessions any more. */
static void close_conn(struct stream_worker *w, const struct stream_calls *calls,
		       struct stream_conn *c, enum collector_stat reason)
{
	if (framer_is_amid(&c->framer)) {
		stat_inc(w->stat, STAT_UNITS_STREAM);
		stat_inc(w->stat, STAT_UNIT_INCOMPLETE);
	}
	stat_inc(w->stat, reason);
	tell_closed(c, reason);
	unlink_conn(w, c);
	leave_group(w);
	if (calls != NULL)
		calls->ended(calls->ctx, c->origin.stream);
	(void)close(c->fd);
	framer_fini(&c->framer);
	free(c);
}

void stream_worker_fini(struct stream_worker *w)
{
	struct stream_conn *next;

	for (struct stream_conn *c = w->first; c != NULL; c = next) {
		next = c->behind;
		close_conn(w, NULL, c, STAT_CLOSED_SHUTDOWN);
	}
	for (struct stream_conn *c = w->inbox; c != NULL; c = next) {
		next = c->behind;
		refuse(w, c, STAT_REFUSED_SHUTDOWN);
	}
	htab_free(w->peers);
	free(w->space);
	if (w->epoll_fd >= 0)
		(void)close(w->epoll_fd);
	if (w->wake_fd >= 0)
		(void)close(w->wake_fd);
}

/* The place of its address among those that there are, with one more connection. */
static enum collector_stat join_peer(struct stream_worker *w, struct stream_conn *c)
{
	struct stream_peer *p = htab_find(w->peers, &c->origin.peer);

	if (p != NULL && w->limits.address_max != 0 && p->count >= w->limits.address_max)
		return STAT_REFUSED_ADDRESS;
	if (p == NULL) {
		p = calloc(1, sizeof(*p));
		if (p == NULL)
			return STAT_REFUSED_NOMEM;
		p->address = c->origin.peer;
		if (htab_put(w->peers, &p->address, p) != ERR_OK) {
			free(p);
			return STAT_REFUSED_NOMEM;
		}
	}
	p->count++;
	c->peer = p;
	return COLLECTOR_STAT_COUNT;
}

static void leave_peer(struct stream_worker *w, struct stream_peer *p)
{
	if (--p->count > 0)
		return;
	must(htab_del(w->peers, &p->address) == p);
	free(p);
}

/* The exporter that went without a word is found out, and his templates go. */
static void keep_alive(const struct stream_worker *w, int fd)
{
	int on = w->limits.keepalive_s != 0;
	int idle_s = (int)w->limits.keepalive_s;
	int gap_s = KEEPALIVE_GAP_S;
	int probes = KEEPALIVE_PROBES;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (!on)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &gap_s, sizeof(gap_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void link_conn(struct stream_worker *w, struct stream_conn *c)
{
	int64_t now_ms = clock_mono_ms();

	if (++w->last_stream == 0)
		w->last_stream = 1; /* 0 is none */
	c->origin.stream = w->last_stream;
	c->opened_ms = now_ms;
	c->last_ms = now_ms;
	c->before = NULL;
	c->behind = w->first;
	if (w->first != NULL)
		w->first->before = c;
	w->first = c;
	stat_put(w->stat, STAT_CONNECTIONS_NOW, ++w->count);
}

/* One that the acceptor handed over becomes ours. */
static void take_conn(struct stream_worker *w, struct stream_conn *c,
		      const struct stream_calls *calls)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };
	enum collector_stat refused = COLLECTOR_STAT_COUNT;

	if (w->is_shut)
		refused = STAT_REFUSED_SHUTDOWN;
	else if (!calls->hears(calls->ctx, &c->origin.peer, c->origin.port))
		refused = STAT_REFUSED_UNLISTED;
	else
		refused = join_peer(w, c);
	if (refused == COLLECTOR_STAT_COUNT &&
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) {
		leave_peer(w, c->peer);
		refused = STAT_REFUSED_NOMEM;
	}
	if (refused != COLLECTOR_STAT_COUNT) {
		refuse(w, c, refused);
		return;
	}
	keep_alive(w, c->fd);
	link_conn(w, c);
}

static void take_inbox(struct stream_worker *w, const struct stream_calls *calls)
{
	struct stream_conn *c;

	(void)pthread_mutex_lock(&w->group->lock);
	c = w->inbox;
	w->inbox = NULL;
	(void)pthread_mutex_unlock(&w->group->lock);
	while (c != NULL) {
		struct stream_conn *next = c->behind;

		take_conn(w, c, calls);
		c = next;
	}
}

/* To the worker that owns the address; false: there are as many as there may be. */
static bool hand_over(struct stream_worker *w, struct stream_conn *c)
{
	struct stream_group *g = w->group;
	struct stream_worker *owner = &g->workers[udp_owner(&c->origin.peer, g->worker_count)];
	uint64_t one = 1;
	bool has_room;

	(void)pthread_mutex_lock(&g->lock);
	has_room = g->count < w->limits.connections_max && g->count < g->room;
	if (has_room) {
		g->count++;
		c->behind = owner->inbox;
		owner->inbox = c;
	}
	(void)pthread_mutex_unlock(&g->lock);
	if (has_room && write(owner->wake_fd, &one, sizeof(one)) < 0)
		must(errno == EAGAIN); /* it is awake */
	return has_room;
}

static void greet(struct stream_worker *w, const struct stream_listener *l, int fd,
		  const struct sockaddr_storage *from)
{
	struct stream_conn *c = calloc(1, sizeof(*c));
	enum collector_stat refused = STAT_REFUSED_NOMEM;

	stat_inc(w->stat, STAT_CONNECTIONS);
	if (c != NULL) {
		c->ops = l->listen.ops;
		c->fd = fd;
		c->listener = l->id;
		c->origin.peer = addr_of_sockaddr(from, &c->origin.port);
		c->origin.local_port = l->shown.port;
		c->origin.transport = c->ops->transport;
		if (hand_over(w, c))
			return;
		refused = STAT_REFUSED_FULL;
	}
	stat_inc(w->stat, refused);
	(void)close(fd);
	free(c);
}

/* Looks at all listeners again, or at none for now. */
static void mind_listeners(struct stream_worker *w, bool is_minded)
{
	w->is_out_of_room = !is_minded;
	for (size_t i = 0; i < STREAM_LISTENS_MAX; i++) {
		struct epoll_event event = { .events = is_minded ? EPOLLIN : 0,
					     .data.u64 = LISTEN_EVENT(i) };

		if (w->group->listeners[i].fd >= 0)
			(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, w->group->listeners[i].fd,
					&event);
	}
}

/* The rest of them stays where it is, and is taken the next time. */
static void accept_some(struct stream_worker *w, const struct stream_listener *l)
{
	for (int i = 0; i < ACCEPTS_MAX && l->fd >= 0; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t bytes = sizeof(from);
		int fd = accept4(l->fd, (struct sockaddr *)&from, &bytes,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			greet(w, l, fd, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_every(LOG_LEVEL_ERROR, "stream.accept port=%u why=\"%s\"",
				  l->shown.port, strerrordesc_np(errno));
			mind_listeners(w, false);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* Of the connection whose octets are taken. */
struct reading {
	struct stream_worker *worker;
	const struct stream_calls *calls;
	struct stream_conn *conn;
};

/* What came with a message too many is told too, so that it is counted. */
static bool take_message(void *ctx, const uint8_t *octets, size_t bytes)
{
	struct reading *r = ctx;
	struct stream_conn *c = r->conn;

	stat_inc(r->worker->stat, STAT_UNITS_STREAM);
	c->has_header = true;
	c->began_ms = c->last_ms; /* what follows it */
	if (!r->calls->message(r->calls->ctx, octets, bytes, &c->origin))
		c->malformed_count++;
	else if (c->malformed_count < MALFORMED_MAX)
		c->malformed_count = 0;
	return true;
}

/* A row of connections_closed, or COLLECTOR_STAT_COUNT. */
static enum collector_stat read_conn(struct stream_worker *w, const struct stream_calls *calls,
				     struct stream_conn *c, size_t *received)
{
	struct reading r = { w, calls, c };
	enum collector_stat why = COLLECTOR_STAT_COUNT;
	size_t kept = framer_begin(&c->framer, w->space);
	ssize_t n = c->ops->receive(c->fd, w->space + kept, READ_BYTES, &why);
	enum framer_end end;

	*received = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		return n < 0 ? why : COLLECTOR_STAT_COUNT;
	stat_add(w->stat, STAT_OCTETS, (uint64_t)n);
	c->origin.receive_ms = clock_real_ms();
	c->last_ms = clock_mono_ms();
	if (kept == 0)
		c->began_ms = c->last_ms;
	end = framer_take(&c->framer, w->space, kept + (size_t)n, take_message, &r);
	c->has_header = c->has_header || c->framer.bytes >= HEADER_BYTES;
	if (end == FRAMER_VERSION || end == FRAMER_LENGTH) {
		stat_inc(w->stat, STAT_UNITS_STREAM);
		stat_inc(w->stat, STAT_UNIT_DESYNC);
	}
	switch (end) {
	case FRAMER_MORE:
	case FRAMER_STOPPED:
		return c->malformed_count < MALFORMED_MAX ? COLLECTOR_STAT_COUNT
							  : STAT_CLOSED_MALFORMED;
	case FRAMER_VERSION:
		return STAT_CLOSED_VERSION;
	case FRAMER_LENGTH:
		return STAT_CLOSED_LENGTH;
	case FRAMER_NOMEM:
		break;
	}
	stat_inc(w->stat, STAT_UNITS_STREAM);
	stat_inc(w->stat, STAT_UNIT_INCOMPLETE);
	return STAT_CLOSED_NOMEM;
}

/* Octets that were received. */
static size_t serve(struct stream_worker *w, const struct stream_calls *calls,
		    const struct epoll_event *event)
{
	enum collector_stat why;
	uint64_t count;
	size_t received = 0;

	if (event->data.u64 == WAKE_EVENT) {
		if (read(w->wake_fd, &count, sizeof(count)) > 0)
			take_inbox(w, calls);
	} else if (IS_LISTEN(event->data.u64)) {
		accept_some(w, &w->group->listeners[event->data.u64 >> 2]);
	} else {
		struct stream_conn *c = event->data.ptr;

		why = read_conn(w, calls, c, &received);
		if (why != COLLECTOR_STAT_COUNT)
			close_conn(w, calls, c, why);
	}
	return received;
}

enum stream_turn stream_worker_receive(struct stream_worker *w, const struct stream_calls *calls)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(w->epoll_fd, events, EVENTS_MAX, 0);
	enum stream_turn turn = n == EVENTS_MAX ? STREAM_MORE
				: n > 0		? STREAM_SOME
						: STREAM_NOTHING;

	/* A connection closes itself alone, so that no event is of one that is gone. */
	for (int i = 0; i < n && !calls->is_high(calls->ctx); i++) {
		if (serve(w, calls, &events[i]) >= MUCH_BYTES)
			turn = STREAM_MORE;
	}
	return turn;
}

static bool is_over(int64_t since_ms, uint32_t seconds, int64_t now_ms)
{
	return seconds != 0 && now_ms - since_ms > (int64_t)seconds * 1000;
}

static enum collector_stat judge(const struct stream_worker *w, const struct stream_conn *c,
				 int64_t now_ms)
{
	if (!c->has_header)
		return is_over(c->opened_ms, w->limits.header_s, now_ms) ? STAT_CLOSED_HEADER
									 : COLLECTOR_STAT_COUNT;
	if (framer_is_amid(&c->framer))
		return is_over(c->began_ms, w->limits.message_s, now_ms) ? STAT_CLOSED_MESSAGE
									 : COLLECTOR_STAT_COUNT;
	return is_over(c->last_ms, w->limits.idle_s, now_ms) ? STAT_CLOSED_IDLE
							     : COLLECTOR_STAT_COUNT;
}

void stream_worker_tick(struct stream_worker *w, const struct stream_calls *calls, int64_t mono_ms)
{
	bool is_high = calls->is_high(calls->ctx);
	struct stream_conn *next;

	if (w->is_out_of_room)
		mind_listeners(w, true);
	for (struct stream_conn *c = w->first; c != NULL; c = next) {
		enum collector_stat why;

		next = c->behind;
		if (is_high) {
			c->opened_ms = mono_ms;
			c->began_ms = mono_ms;
			c->last_ms = mono_ms;
			continue;
		}
		if (mono_ms - c->last_ms > QUIET_MS)
			framer_trim(&c->framer);
		why = calls->hears(calls->ctx, &c->origin.peer, c->origin.port)
			      ? judge(w, c, mono_ms)
			      : STAT_CLOSED_UNLISTED;
		if (why != COLLECTOR_STAT_COUNT)
			close_conn(w, calls, c, why);
	}
}

void stream_worker_leave(struct stream_worker *w, uint32_t listener,
			 const struct stream_calls *calls)
{
	struct stream_conn *next;

	take_inbox(w, calls);
	for (struct stream_conn *c = w->first; c != NULL; c = next) {
		next = c->behind;
		if (c->listener == listener)
			close_conn(w, calls, c, STAT_CLOSED_LISTENER);
	}
}

/* What the kernel holds of it now; who goes on to send does not hold up the stop. */
static enum collector_stat read_rest(struct stream_worker *w, const struct stream_calls *calls,
				     struct stream_conn *c, int64_t stop_by_ms)
{
	enum collector_stat why = COLLECTOR_STAT_COUNT;
	int left = 0;

	if (ioctl(c->fd, FIONREAD, &left) != 0)
		return STAT_CLOSED_SHUTDOWN;
	while (left > 0 && why == COLLECTOR_STAT_COUNT && !calls->is_high(calls->ctx) &&
	       clock_mono_ms() < stop_by_ms) {
		size_t received;

		why = read_conn(w, calls, c, &received);
		if (received == 0)
			break;
		left -= (int)received;
	}
	return why == COLLECTOR_STAT_COUNT ? STAT_CLOSED_SHUTDOWN : why;
}

void stream_worker_drain(struct stream_worker *w, const struct stream_calls *calls,
			 int64_t stop_by_ms)
{
	struct stream_conn *next;

	w->is_shut = true;
	for (size_t i = 0; w->number == STREAM_ACCEPTOR && i < STREAM_LISTENS_MAX; i++)
		stream_worker_unwatch(w, i);
	take_inbox(w, calls);
	for (struct stream_conn *c = w->first; c != NULL; c = next) {
		next = c->behind;
		close_conn(w, calls, c, read_rest(w, calls, c, stop_by_ms));
	}
}
