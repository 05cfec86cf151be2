/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"

#define LOOK_MS 1000

struct inputs {
	struct workers *workers;
	struct tee *tee;
	struct listens listens; /* with the ports that there are */
	int64_t next_look_ms;	/* monotonic */
	bool is_loop;
	struct kernel_counts kernel;
};

struct inputs_next {
	struct tee *tee;
	struct listens listens;
	struct udp_change *change;
	struct stream_change *streams;
	enum err begun[UDP_WORKERS_MAX];
	struct workers *workers;
};

void listens_free(struct listens *l)
{
	free(l->entries);
	free(l->groups);
	free(l->streams);
	memset(l, 0, sizeof(*l));
}

static struct udp_listen listen_of(const struct listen_options *from, struct udp_multicast *groups)
{
	struct udp_listen out = { .port = (uint16_t)from->port,
				  .interface = from->interface,
				  .rcvbuf = (uint32_t)from->rcvbuf_bytes,
				  .v6only = from->v6only,
				  .multicast = groups };

	if (from->address != NULL)
		must(addr_parse(from->address, &out.address) == ERR_OK);
	for (; out.multicast_count < from->multicast_count; out.multicast_count++)
		must(options_multicast(from->multicast[out.multicast_count],
				       &groups[out.multicast_count], NULL) == ERR_OK);
	return out;
}

static struct stream_listen stream_of(const struct listen_options *from)
{
	struct stream_listen out = { .ops = &tcp_ops,
				     .port = (uint16_t)from->port,
				     .v6only = from->v6only };

	if (from->address != NULL)
		must(addr_parse(from->address, &out.address) == ERR_OK);
	if (from->interface != NULL)
		(void)snprintf(out.interface, sizeof(out.interface), "%s", from->interface);
	return out;
}

enum err listens_of(const struct options *o, struct listens *out, struct why *why)
{
	struct listens l = { 0 };
	size_t groups = 0;

	for (size_t i = 0; i < o->listen_count; i++)
		groups += o->listens[i].multicast_count;
	l.entries = calloc(o->listen_count + 1, sizeof(*l.entries));
	l.groups = calloc(groups + 1, sizeof(*l.groups));
	l.streams = calloc(o->listen_count + 1, sizeof(*l.streams));
	if (l.entries == NULL || l.groups == NULL || l.streams == NULL) {
		listens_free(&l);
		return why_set(why, ERR_NOMEM, "no memory for listeners");
	}
	groups = 0;
	for (size_t i = 0; i < o->listen_count; i++) {
		if (o->listens[i].transport != TRANSPORT_UDP) {
			l.streams[l.stream_count++] = stream_of(&o->listens[i]);
			continue;
		}
		l.entries[l.count] = listen_of(&o->listens[i], l.groups + groups);
		groups += l.entries[l.count++].multicast_count;
	}
	*out = l;
	return ERR_OK;
}

static size_t network_count(const struct options *o)
{
	size_t count = 0;

	for (size_t i = 0; i < o->tee_count; i++)
		count += o->tees[i].from_count;
	return count;
}

static enum err make_tee(const struct options *o, unsigned worker_count, struct tee **out,
			 struct why *why)
{
	struct tee_target *targets;
	struct tee_network *networks;
	size_t used = 0;
	enum err e = ERR_NOMEM;

	*out = NULL;
	if (o->tee_count == 0)
		return ERR_OK;
	targets = calloc(o->tee_count, sizeof(*targets));
	networks = calloc(network_count(o) + 1, sizeof(*networks));
	for (size_t i = 0; targets != NULL && networks != NULL && i < o->tee_count; i++) {
		const struct tee_options *from = &o->tees[i];

		targets[i] = (struct tee_target){ from->to, from->source == TEE_SOURCE_OWN,
						  networks + used, from->from_count };
		for (size_t k = 0; k < from->from_count; k++, used++)
			must(addr_parse_prefix(from->from[k], &networks[used].net,
					       &networks[used].prefix_bits) == ERR_OK);
	}
	if (targets != NULL && networks != NULL)
		e = tee_new(targets, o->tee_count, worker_count, out, why);
	else
		(void)why_set(why, e, "no memory for a tee");
	free(targets);
	free(networks);
	return e;
}

enum err inputs_check(const struct options *o, struct why *why)
{
	struct listens l;
	struct tee *t = NULL;
	enum err e;

	TRY(listens_of(o, &l, why));
	e = make_tee(o, 1, &t, why);
	if (e == ERR_OK && t != NULL)
		e = tee_find_loop(t, l.entries, l.count, why);
	tee_free(t);
	listens_free(&l);
	return e;
}

/* The ports that the kernel gave where none was asked for. */
static void settle_ports(struct inputs *in)
{
	struct udp_group *group = workers_udp(in->workers);
	size_t workers = workers_count(in->workers);
	size_t count = udp_group_describe(group, NULL, 0);
	struct udp_status *rows = calloc(count + 1, sizeof(*rows));

	if (rows == NULL)
		return;
	(void)udp_group_describe(group, rows, count);
	for (size_t i = 0; i < in->listens.count && i * workers < count; i++)
		in->listens.entries[i].port = rows[i * workers].port;
	free(rows);
}

static enum err look_for_loop(struct inputs *in, struct why *why)
{
	enum err e = ERR_OK;

	if (in->tee != NULL)
		e = tee_find_loop(in->tee, in->listens.entries, in->listens.count, why);
	return e;
}

enum err inputs_open(struct workers *ws, const struct options *o, struct inputs **out,
		     struct why *why)
{
	struct inputs *in = calloc(1, sizeof(*in));
	enum err e;

	if (in == NULL)
		return why_set(why, ERR_NOMEM, "no memory for listeners");
	in->workers = ws;
	kernel_init(&in->kernel);
	e = listens_of(o, &in->listens, why);
	if (e != ERR_OK)
		goto fail;
	settle_ports(in);
	e = make_tee(o, workers_count(ws), &in->tee, why);
	if (e == ERR_OK)
		e = look_for_loop(in, why);
	if (e != ERR_OK)
		goto fail;
	for (unsigned i = 0; in->tee != NULL && i < workers_count(ws); i++)
		udp_worker_tee(udp_group_worker(workers_udp(ws), i),
			       tee_worker(in->tee, i, workers_collector_stat(ws, i)));
	*out = in;
	return ERR_OK;
fail:
	inputs_close(in);
	return e;
}

void inputs_close(struct inputs *in)
{
	if (in == NULL)
		return;
	tee_free(in->tee);
	listens_free(&in->listens);
	free(in);
}

static void begin_on(void *ctx, unsigned worker, struct pipeline *p)
{
	struct inputs_next *next = ctx;

	(void)p;
	next->begun[worker] = udp_change_begin(next->change, worker);
}

static enum err begin(struct inputs *in, struct inputs_next *next, struct why *why)
{
	for (unsigned i = 0; i < workers_count(in->workers); i++) {
		workers_call(in->workers, i, begin_on, next);
		if (next->begun[i] != ERR_OK)
			return why_set(why, next->begun[i],
				       "udp: the system has no room for "
				       "another socket of worker %u",
				       i);
	}
	return ERR_OK;
}

enum err inputs_prepare(struct inputs *in, const struct options *o, struct inputs_next **out,
			struct why *why)
{
	struct inputs_next *next = calloc(1, sizeof(*next));
	enum err e;

	if (next == NULL)
		return why_set(why, ERR_NOMEM, "no memory for listeners");
	next->workers = in->workers;
	e = listens_of(o, &next->listens, why);
	if (e == ERR_OK)
		e = make_tee(o, workers_count(in->workers), &next->tee, why);
	if (e == ERR_OK && next->tee != NULL)
		e = tee_find_loop(next->tee, next->listens.entries, next->listens.count, why);
	if (e == ERR_OK)
		e = udp_change_open(workers_udp(in->workers), next->listens.entries,
				    next->listens.count, &next->change, why);
	if (e == ERR_OK)
		e = stream_change_open(workers_streams(in->workers), next->listens.streams,
				       next->listens.stream_count, &next->streams, why);
	if (e == ERR_OK)
		e = begin(in, next, why);
	if (e != ERR_OK) {
		inputs_cancel(in, next);
		return e;
	}
	*out = next;
	return ERR_OK;
}

static void end_on(void *ctx, unsigned worker, struct pipeline *p)
{
	struct inputs_next *next = ctx;

	udp_change_end(next->change, worker, pipeline_receive, p);
}

static void tee_on(void *ctx, unsigned worker, struct pipeline *p)
{
	struct inputs_next *next = ctx;
	struct tee_worker *tee = NULL;

	(void)p;
	if (next->tee != NULL)
		tee = tee_worker(next->tee, worker, workers_collector_stat(next->workers, worker));
	udp_worker_tee(udp_group_worker(workers_udp(next->workers), worker), tee);
}

static void finish(struct inputs *in, struct inputs_next *next)
{
	if (next->change != NULL) {
		for (unsigned i = 0; i < workers_count(in->workers); i++)
			workers_call(in->workers, i, end_on, next);
		udp_change_close(next->change);
	}
	if (next->streams != NULL)
		stream_change_close(next->streams);
	tee_free(next->tee);
	listens_free(&next->listens);
	free(next);
}

void inputs_cancel(struct inputs *in, struct inputs_next *next)
{
	if (next->change != NULL)
		udp_change_undo(next->change);
	finish(in, next);
}

void inputs_commit(struct inputs *in, struct inputs_next *next)
{
	struct listens listens = in->listens;
	struct tee *tee = in->tee;

	/* Before the old sockets are emptied: what they hold is for the new targets. */
	for (unsigned i = 0; i < workers_count(in->workers); i++)
		workers_call(in->workers, i, tee_on, next);
	in->tee = next->tee;
	in->listens = next->listens;
	if (in->tee != NULL && tee != NULL)
		tee_inherit(in->tee, tee);
	next->tee = tee;
	next->listens = listens;
	workers_change_streams(in->workers, next->streams);
	finish(in, next);
	settle_ports(in);
	in->next_look_ms = 0;
}

void inputs_step(struct inputs *in)
{
	int64_t now_ms = clock_mono_ms();
	struct why why = { "" };
	bool is_loop;

	if (now_ms < in->next_look_ms)
		return;
	in->next_look_ms = now_ms + LOOK_MS;
	kernel_look(&in->kernel);
	is_loop = look_for_loop(in, &why) != ERR_OK;
	if (is_loop && !in->is_loop)
		log_warn("tee.loop why=\"%s\"", why.text);
	in->is_loop = is_loop;
}

const struct kernel_counts *inputs_kernel(const struct inputs *in)
{
	return &in->kernel;
}

const struct tee *inputs_tee(const struct inputs *in)
{
	return in->tee;
}
