/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/capture.h"
#include "collector/collector.h"
#include "collector/ipfix_file.h"
#include "collector/packet.h"
#include "collector/reassembly.h"

struct replay {
	const char *name;
	const struct replay_conf *conf;
	unit_fn *fn;
	void *ctx;
	struct stat_set *stat;
	struct reassembly *reassembly;
	bool has_known_link;
	bool has_unknown_link;
	uint32_t unknown_link;
};

static void take_datagram(struct replay *r, const struct packet *p, int64_t time_ms)
{
	struct origin origin = { .transport = TRANSPORT_REPLAY, .receive_ms = time_ms };
	struct datagram d;

	stat_inc(r->stat, STAT_UNITS_REPLAY);
	switch (packet_datagram(p, &d)) {
	case DATAGRAM_WRONG:
		stat_inc(r->stat, STAT_UNIT_CHECKSUM);
		return;
	case DATAGRAM_CUT:
		stat_inc(r->stat, STAT_UNIT_CUT);
		return;
	case DATAGRAM_WHOLE:
		break;
	}
	stat_add(r->stat, STAT_OCTETS, d.bytes);
	origin.peer = r->conf->exporter.bytes != 0 ? r->conf->exporter : p->source;
	origin.port = d.source_port;
	origin.local_port = d.destination_port;
	r->fn(r->ctx, d.octets, d.bytes, &origin);
}

static void note_unknown_link(struct replay *r, uint32_t link_type)
{
	if (!r->has_unknown_link)
		log_warn("replay.link_type file=%s link_type=%u why=\"not known, frames skipped\"",
			 r->name, link_type);
	r->has_unknown_link = true;
	r->unknown_link = link_type;
}

static void take_frame(struct replay *r, const struct capture_frame *frame)
{
	struct packet whole;
	struct packet p;

	stat_inc(r->stat, STAT_REPLAY_FRAMES);
	if (packet_knows_link(frame->link_type))
		r->has_known_link = true;
	else
		note_unknown_link(r, frame->link_type);
	if (!packet_of_frame(frame, &p)) {
		stat_inc(r->stat, STAT_REPLAY_SKIPPED);
		return;
	}
	if (!p.is_fragment) {
		take_datagram(r, &p, frame->time_ms);
		return;
	}
	stat_inc(r->stat, STAT_REPLAY_FRAGMENTS);
	if (!reassembly_add(r->reassembly, &p, frame->time_ms, &whole))
		return;
	if (packet_find_udp(&whole) && !whole.is_fragment)
		take_datagram(r, &whole, frame->time_ms);
}

static bool is_stopped(const struct replay *r)
{
	return r->conf->stop != NULL && stat_flag_get(r->conf->stop) != 0;
}

/* Octets of an IPFIX file between messages: what they were cannot be told, so they count as one that was lost. */
static void note_skipped(struct replay *r, uint64_t octets, uint64_t before)
{
	if (octets == 0)
		return;
	stat_inc(r->stat, STAT_UNITS_REPLAY);
	stat_inc(r->stat, STAT_UNIT_GARBAGE);
	log_warn("replay.skipped file=%s octet=%llu octets=%llu why=\"no message begins there\"",
		 r->name, (unsigned long long)(before - octets), (unsigned long long)octets);
}

static enum err take_messages(struct replay *r, struct capture *c, struct why *why)
{
	struct origin origin = { .transport = TRANSPORT_FILE, .peer = r->conf->exporter };
	struct ipfix_file_message m;
	enum err e;

	if (origin.peer.bytes == 0)
		origin.peer.bytes = 4; /* 0.0.0.0: the file does not say who sent it */
	for (;;) {
		if (is_stopped(r))
			return why_set(why, ERR_CLOSED, "%s: stopped", r->name);
		e = ipfix_file_next(c, &m, why);
		note_skipped(r, m.skipped, c->offset - (e == ERR_OK ? m.bytes : 0));
		if (e != ERR_OK)
			return e == ERR_ABSENT ? ERR_OK : e;
		stat_inc(r->stat, STAT_UNITS_REPLAY);
		stat_add(r->stat, STAT_OCTETS, m.bytes);
		origin.receive_ms = m.export_ms;
		r->fn(r->ctx, m.octets, m.bytes, &origin);
	}
}

static enum err take_frames(struct replay *r, struct capture *c, struct why *why)
{
	struct capture_frame frame;
	enum err e;

	for (;;) {
		if (is_stopped(r))
			return why_set(why, ERR_CLOSED, "%s: stopped", r->name);
		e = capture_next(c, &frame, why);
		if (e == ERR_ABSENT)
			break;
		if (e != ERR_OK)
			return e;
		take_frame(r, &frame);
	}
	if (r->has_unknown_link && !r->has_known_link)
		return why_set(why, ERR_UNSUPPORTED, "%s: link type %u is not known", r->name,
			       r->unknown_link);
	return ERR_OK;
}

enum err replay_fd(int fd, const char *name, const struct replay_conf *conf, unit_fn *fn, void *ctx,
		   struct stat_set *stat, struct why *why)
{
	static const struct replay_conf none = { 0 };
	struct replay r = { .name = name,
			    .conf = conf == NULL ? &none : conf,
			    .fn = fn,
			    .ctx = ctx,
			    .stat = stat };
	struct capture *c = NULL;
	enum err e = capture_open(fd, name, &c);

	if (e == ERR_OK)
		e = reassembly_new(stat, &r.reassembly);
	if (e == ERR_OK)
		e = ipfix_file_is(c) ? take_messages(&r, c, why) : take_frames(&r, c, why);
	else
		(void)why_set(why, e, "%s: %s", name, err_text(e));
	reassembly_free(r.reassembly);
	capture_close(c);
	return e;
}

enum err replay_run(const char *file, const struct replay_conf *conf, unit_fn *fn, void *ctx,
		    struct stat_set *stat, struct why *why)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	enum err e = ERR_IO;

	if (fd < 0) {
		if (errno == ENOENT)
			e = ERR_ABSENT;
		if (errno == EACCES)
			e = ERR_PERM;
		return why_set(why, e, "%s: %s", file, strerrordesc_np(errno));
	}
	e = replay_fd(fd, file, conf, fn, ctx, stat, why);
	(void)close(fd);
	return e;
}
