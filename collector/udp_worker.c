/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/udp_worker.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "collector/collector.h"
#include "collector/tee.h"

#define EVENTS_MAX 64
#define WAKE_EVENT UINT64_MAX
#define OTHER_EVENT (UINT64_MAX - 1)
#define LOOK_MS 1000
#define LEFT_MAX 1000000u /* datagrams of a socket that nobody could shut */
#define CLOSING_MAX 65536u
/* Keeps the heads of a batch's buffers out of one another's cache sets, which repeat every 4 KiB. */
#define STAGGER_BYTES 1600u

union control {
	struct cmsghdr align;
	uint8_t octets[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* Made once; recvmmsg fills it again and again. */
struct udp_batch {
	unsigned count;
	struct mmsghdr *messages;
	struct iovec *iovs;
	struct sockaddr_storage *peers;
	union control *controls;
	uint8_t *octets;
};

static void batch_free(struct udp_batch *b)
{
	if (b == NULL)
		return;
	free(b->messages);
	free(b->iovs);
	free(b->peers);
	free(b->controls);
	free(b->octets);
	free(b);
}

static enum err batch_new(unsigned count, uint32_t datagram_max, struct udp_batch **out)
{
	size_t stride = (size_t)datagram_max + STAGGER_BYTES;
	struct udp_batch *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return ERR_NOMEM;
	b->count = count;
	b->messages = calloc(count, sizeof(*b->messages));
	b->iovs = calloc(count, sizeof(*b->iovs));
	b->peers = calloc(count, sizeof(*b->peers));
	b->controls = calloc(count, sizeof(*b->controls));
	b->octets = malloc(count * stride);
	if (b->messages == NULL || b->iovs == NULL || b->peers == NULL || b->controls == NULL ||
	    b->octets == NULL)
		goto fail;
	for (unsigned i = 0; i < count; i++) {
		struct msghdr *h = &b->messages[i].msg_hdr;

		b->iovs[i].iov_base = b->octets + i * stride;
		b->iovs[i].iov_len = datagram_max;
		h->msg_iov = &b->iovs[i];
		h->msg_iovlen = 1;
		h->msg_name = &b->peers[i];
		h->msg_namelen = sizeof(b->peers[i]);
		h->msg_control = &b->controls[i];
		h->msg_controllen = sizeof(b->controls[i]);
	}
	*out = b;
	return ERR_OK;
fail:
	batch_free(b);
	return ERR_NOMEM;
}

enum err udp_worker_init(struct udp_worker *w, const struct udp_conf *conf)
{
	unsigned count = conf->batch_count == 0 ? UDP_BATCH_DEFAULT : conf->batch_count;
	uint32_t octets = conf->datagram_max == 0 ? UDP_DATAGRAM_MAX : conf->datagram_max;
	size_t page = conf->handover_bytes == 0 ? UDP_HANDOVER_DEFAULT : conf->handover_bytes;
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = WAKE_EVENT };

	w->socket_count = UDP_LISTENS_MAX;
	w->sockets = calloc(w->socket_count, sizeof(*w->sockets));
	if (w->sockets == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < w->socket_count; i++)
		w->sockets[i].fd = -1;
	TRY(stat_set_new(NULL, w->socket_count, &w->drops));
	TRY(batch_new(count, octets, &w->batch));
	TRY(handover_init(&w->handover, page));
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->epoll_fd < 0 || w->wake_fd < 0)
		return ERR_IO;
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &event) != 0)
		return ERR_IO;
	return ERR_OK;
}

enum err udp_worker_watch(struct udp_worker *w, size_t socket, int fd, uint16_t port)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = socket };

	must(socket < w->socket_count);
	w->sockets[socket] = (struct udp_socket){ .fd = fd, .port = port };
	stat_put(w->drops, socket, 0);
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? ERR_OK : ERR_IO;
}

/* What the kernel dropped since the last look; its counter has 32 bits. */
static void look_at_socket(struct udp_worker *w, size_t i)
{
	struct udp_socket *s = &w->sockets[i];
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t bytes = sizeof(info);
	uint32_t news;

	if (s->fd < 0)
		return;
	if (getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) != 0 ||
	    bytes <= SK_MEMINFO_DROPS * sizeof(info[0]))
		return;
	news = info[SK_MEMINFO_DROPS] - s->drops_seen;
	s->drops_seen = info[SK_MEMINFO_DROPS];
	stat_add(w->drops, i, news);
	stat_add(w->stat, s->is_shut ? STAT_STOPPING_DROPS : STAT_KERNEL_DROPS, news);
}

static void look_at_drops(struct udp_worker *w)
{
	for (size_t i = 0; i < w->socket_count; i++)
		look_at_socket(w, i);
}

void udp_worker_fini(struct udp_worker *w)
{
	if (w->sockets != NULL && w->drops != NULL)
		look_at_drops(w);
	for (size_t i = 0; w->sockets != NULL && i < w->socket_count; i++) {
		if (w->sockets[i].fd >= 0)
			(void)close(w->sockets[i].fd);
	}
	if (w->handover.in != NULL)
		stat_add(w->stat, STAT_UNIT_HANDOVER, handover_take(&w->handover, NULL, NULL));
	handover_fini(&w->handover);
	if (w->epoll_fd >= 0)
		(void)close(w->epoll_fd);
	if (w->wake_fd >= 0)
		(void)close(w->wake_fd);
	batch_free(w->batch);
	stat_set_free(w->drops);
	free(w->sockets);
}

void udp_worker_tee(struct udp_worker *w, struct tee_worker *tee)
{
	w->tee = tee;
}

void udp_worker_wake(struct udp_worker *w)
{
	uint64_t one = 1;
	ssize_t n = write(w->wake_fd, &one, sizeof(one));

	/* It can only fail because a wake is pending already. */
	(void)n;
}

enum err udp_worker_mind(struct udp_worker *w, int fd, bool is_minded)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = OTHER_EVENT };
	int operation = is_minded ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;

	return epoll_ctl(w->epoll_fd, operation, fd, &event) == 0 ? ERR_OK : ERR_IO;
}

bool udp_worker_is_other_ready(const struct udp_worker *w)
{
	return w->is_other_ready;
}

/* The kernel gives every socket of the group a copy of an IPv4 broadcast: the header's
 * destination is then not the local address that it came in by. */
static bool is_broadcast(const struct msghdr *h)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(h);
	struct in_pktinfo info;

	if (c == NULL || c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
		return false;
	if (c->cmsg_len < CMSG_LEN(sizeof(info)))
		return false;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	return !IN_MULTICAST(ntohl(info.ipi_addr.s_addr)) &&
	       info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr;
}

static void hand_over(struct udp_worker *w, unsigned owner, const uint8_t *octets, size_t bytes,
		      const struct origin *origin)
{
	bool is_first = false;

	must(owner < w->worker_count);
	stat_inc(w->stat, STAT_RESTEERED);
	if (handover_push(&w->all[owner].handover, octets, bytes, origin, &is_first) != ERR_OK)
		stat_inc(w->stat, STAT_UNIT_HANDOVER);
	else if (is_first)
		udp_worker_wake(&w->all[owner]);
}

/* One datagram of the batch; returns 1 when it went to `fn`.  Without one it is refused. */
static size_t take_datagram(struct udp_worker *w, const struct mmsghdr *m, struct origin *origin,
			    unit_fn *fn, void *ctx)
{
	const struct msghdr *h = &m->msg_hdr;
	unsigned owner;

	origin->peer = addr_of_sockaddr(h->msg_name, &origin->port);
	owner = udp_owner(&origin->peer, w->worker_count);
	if (owner != w->number && is_broadcast(h))
		return 0;
	stat_inc(w->stat, STAT_UNITS_UDP);
	stat_add(w->stat, STAT_OCTETS, m->msg_len);
	if (w->tee != NULL)
		tee_add(w->tee, h->msg_iov->iov_base, m->msg_len, &origin->peer, origin->port,
			(h->msg_flags & MSG_TRUNC) != 0);
	if ((h->msg_flags & MSG_TRUNC) != 0) {
		stat_inc(w->stat, STAT_UNIT_TRUNCATED);
		return 0;
	}
	if (fn == NULL) {
		stat_inc(w->stat, STAT_UNIT_SHUTDOWN);
		return 0;
	}
	if (owner != w->number) {
		hand_over(w, owner, h->msg_iov->iov_base, m->msg_len, origin);
		return 0;
	}
	fn(ctx, h->msg_iov->iov_base, m->msg_len, origin);
	return 1;
}

/* At most `count_max` datagrams of one socket; `taken` gets how many the kernel gave. */
static size_t take_batch(struct udp_worker *w, const struct udp_socket *s, size_t count_max,
			 size_t *taken, unit_fn *fn, void *ctx)
{
	struct udp_batch *b = w->batch;
	unsigned count = count_max < b->count ? (unsigned)count_max : b->count;
	struct origin origin = { .local_port = s->port, .transport = TRANSPORT_UDP };
	size_t calls = 0;
	int n;

	*taken = 0;
	if (s->fd < 0)
		return 0;
	n = recvmmsg(s->fd, b->messages, count, MSG_DONTWAIT, NULL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			log_every(LOG_LEVEL_WARN, "udp.receive port=%u why=\"%s\"", s->port,
				  strerrordesc_np(errno));
		return 0;
	}
	origin.receive_ms = clock_real_ms();
	for (int i = 0; i < n; i++) {
		struct msghdr *h = &b->messages[i].msg_hdr;

		calls += take_datagram(w, &b->messages[i], &origin, fn, ctx);
		h->msg_namelen = sizeof(b->peers[i]);
		h->msg_controllen = sizeof(b->controls[i]);
	}
	if (w->tee != NULL)
		tee_flush(w->tee);
	*taken = (size_t)n;
	return calls;
}

size_t udp_worker_receive(struct udp_worker *w, int timeout_ms, unit_fn *fn, void *ctx)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(w->epoll_fd, events, EVENTS_MAX, timeout_ms);
	int64_t now_ms = clock_mono_ms();
	size_t calls = 0;
	size_t taken;

	w->is_other_ready = false;
	for (int i = 0; i < n; i++) {
		uint64_t count;

		if (events[i].data.u64 == OTHER_EVENT) {
			w->is_other_ready = true;
			continue;
		}
		if (events[i].data.u64 != WAKE_EVENT) {
			calls += take_batch(w, &w->sockets[events[i].data.u64], SIZE_MAX, &taken,
					    fn, ctx);
			continue;
		}
		if (read(w->wake_fd, &count, sizeof(count)) > 0)
			calls += handover_take(&w->handover, fn, ctx);
	}
	if (now_ms >= w->next_look_ms) {
		look_at_drops(w);
		w->next_look_ms = now_ms + LOOK_MS;
	}
	return calls;
}

static size_t empty(struct udp_worker *w, size_t socket, size_t left, unit_fn *fn, void *ctx)
{
	size_t sum = 0;
	size_t taken = 1;

	while (taken > 0 && sum < left) {
		(void)take_batch(w, &w->sockets[socket], left - sum, &taken, fn, ctx);
		sum += taken;
	}
	return sum;
}

size_t udp_worker_drain(struct udp_worker *w, size_t datagrams_max, unit_fn *fn, void *ctx)
{
	size_t handed = handover_take(&w->handover, fn, ctx);
	size_t left = datagrams_max;

	for (size_t i = 0; i < w->socket_count; i++)
		left -= empty(w, i, left, fn, ctx);
	look_at_drops(w);
	return handed + (datagrams_max - left);
}

static void shut(struct udp_worker *w, size_t i)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &none };
	struct udp_socket *s = &w->sockets[i];

	look_at_socket(w, i);
	s->is_shut = true;
	if (s->fd >= 0 &&
	    setsockopt(s->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
		log_warn("udp.shut port=%u why=\"%s\"", s->port, strerrordesc_np(errno));
}

void udp_worker_shut(struct udp_worker *w)
{
	for (size_t i = 0; i < w->socket_count; i++)
		shut(w, i);
}

/* Nearly empty before it is shut, so that next to nothing comes while it is. */
void udp_worker_unwatch(struct udp_worker *w, size_t socket, unit_fn *fn, void *ctx)
{
	struct udp_socket *s = &w->sockets[socket];
	size_t taken;

	if (s->fd < 0)
		return;
	taken = empty(w, socket, CLOSING_MAX, fn, ctx);
	shut(w, socket);
	taken += empty(w, socket, LEFT_MAX, fn, ctx);
	stat_add(w->stat, STAT_LISTEN_CLOSED_READ, taken);
	look_at_socket(w, socket);
	(void)close(s->fd);
	s->fd = -1;
}

void udp_worker_finish(struct udp_worker *w)
{
	for (size_t i = 0; i < w->socket_count; i++)
		(void)empty(w, i, LEFT_MAX, NULL, NULL);
	look_at_drops(w);
	stat_add(w->stat, STAT_UNIT_HANDOVER, handover_take(&w->handover, NULL, NULL));
}
