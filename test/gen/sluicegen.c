/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluicegen - an exporter for tests, benchmarks and demonstrations.  Every record it sends can be
 * computed again from its number (gen_value.h); check.py does, and names what is missing, wrong or
 * doubled in what a collector delivered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "test/gen/gen_msg.h"
#include "test/gen/gen_opt.h"
#include "test/gen/gen_out.h"

#define EXIT_USAGE 2
#define NS_PER_S 1000000000
#define BURSTS_PER_S 1000
#define BURST_UNPACED 8192
#define STALE_MS 1000 /* an open message waits no longer than this for more flows */
#define STALE_CHECK_NS 200000000
#define NAP_MAX_NS 100000000

struct run {
	struct gen_opt opt;
	struct gen_tmpls tmpls;
	struct gen_msg_conf conf;
	struct gen_msg_clock now;
	struct gen_out out;
	struct gen_msg *msg; /* per exporter */
	uint8_t *buffers;
	struct gen_flow flow;
	uint64_t done;
	uint64_t template_messages;
	uint64_t sampled_octets; /* sFlow: of frames; and what they stand for */
	uint64_t scaled_packets;
	uint64_t scaled_octets;
	int64_t start_ns;
	int64_t elapsed_ns;
	int64_t stale_check_ns;
};

static volatile sig_atomic_t is_stopped;

static void on_signal(int number)
{
	(void)number;
	is_stopped = 1;
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void read_clocks(struct run *r)
{
	int64_t mono_ns = clock_ns(CLOCK_MONOTONIC);

	r->elapsed_ns = mono_ns - r->start_ns;
	r->now.header_ms = r->opt.is_wall ? clock_ns(CLOCK_REALTIME) / 1000000 : 0;
	if (r->opt.out.is_live)
		r->now.refresh_ms = mono_ns / 1000000;
	else
		r->now.refresh_ms = gen_moment_ms(&r->opt.plan, r->opt.first + r->done);
}

static enum err send_message(struct run *r, uint32_t exporter)
{
	struct gen_msg_out message;

	if (!gen_msg_finish(&r->msg[exporter], &r->conf, &r->now, &message))
		return ERR_OK;
	r->template_messages += message.has_templates;
	return gen_out_push(&r->out, exporter, message.octets, message.count, message.time_ms);
}

static void add_volume(struct run *r)
{
	const uint64_t *num = r->flow.num;

	if (r->opt.plan.format != GEN_SFLOW)
		return;
	r->sampled_octets += num[GEN_FRAME];
	r->scaled_packets += num[GEN_RATE];
	r->scaled_octets += num[GEN_RATE] * num[GEN_FRAME];
}

static enum err emit_flow(struct run *r, uint32_t exporter, uint64_t n)
{
	struct gen_msg *m = &r->msg[exporter];

	gen_flow_fill(&r->opt.plan, n, &r->flow);
	for (unsigned tries = 0; tries < 3; tries++) { /* at most: a full one, one of templates */
		if (gen_msg_add(m, &r->conf, &r->now, &r->flow)) {
			add_volume(r);
			return ERR_OK;
		}
		TRY(send_message(r, exporter));
	}
	return ERR_LIMIT;
}

/* `count` flows from number `first` up, exporter by exporter so that one call sends many. */
static enum err emit_burst(struct run *r, uint64_t first, uint64_t count)
{
	uint64_t exporters = r->opt.plan.exporters;
	uint64_t turns = count < exporters ? count : exporters;

	for (uint64_t k = 0; k < turns; k++) {
		uint32_t exporter = (uint32_t)((first + k) % exporters);

		for (uint64_t n = first + k; n < first + count; n += exporters)
			TRY(emit_flow(r, exporter, n));
		TRY(gen_out_flush(&r->out));
	}
	return ERR_OK;
}

/* Sends open messages that have waited for STALE_MS; all of them when `is_end`. */
static enum err flush_stale(struct run *r, bool is_end)
{
	if (!is_end && r->elapsed_ns - r->stale_check_ns < STALE_CHECK_NS)
		return ERR_OK;
	r->stale_check_ns = r->elapsed_ns;
	for (uint32_t k = 0; k < r->opt.out.exporters; k++) {
		const struct gen_msg *m = &r->msg[k];

		if (!m->is_open || (!is_end && r->now.refresh_ms - m->opened_ms < STALE_MS))
			continue;
		TRY(send_message(r, k));
		TRY(gen_out_flush(&r->out));
	}
	return ERR_OK;
}

/* How many flows to send now; 0 after a nap when none is due yet. */
static uint64_t flows_due(const struct run *r)
{
	uint64_t left = r->opt.flows - r->done;
	uint64_t rate = r->opt.rate;
	uint64_t burst = rate / BURSTS_PER_S > 0 ? rate / BURSTS_PER_S : 1;
	uint64_t elapsed_ns = (uint64_t)r->elapsed_ns;
	uint64_t due;
	uint64_t last;
	int64_t wait_ns;
	struct timespec nap = { 0 };

	if (rate == 0)
		return left < BURST_UNPACED ? left : BURST_UNPACED;
	/* Who lags behind the rate has an end, too: what was due when the time was over. */
	if (r->opt.duration_ns > 0 && r->elapsed_ns > r->opt.duration_ns)
		elapsed_ns = (uint64_t)r->opt.duration_ns;
	due = elapsed_ns / NS_PER_S * rate + elapsed_ns % NS_PER_S * rate / NS_PER_S + 1;
	if (burst > left)
		burst = left;
	if (due >= r->done + burst)
		return burst;
	last = r->done + burst - 1;
	wait_ns = (int64_t)(last / rate * NS_PER_S + last % rate * NS_PER_S / rate + 1000 -
			    elapsed_ns);
	if (wait_ns > NAP_MAX_NS)
		wait_ns = NAP_MAX_NS;
	nap.tv_nsec = wait_ns > 0 ? (long)wait_ns : 0;
	(void)nanosleep(&nap, NULL);
	return 0;
}

static enum err run_all(struct run *r)
{
	r->start_ns = clock_ns(CLOCK_MONOTONIC);
	read_clocks(r);
	while (is_stopped == 0 && r->done < r->opt.flows) {
		uint64_t count = flows_due(r);

		read_clocks(r);
		if (r->opt.duration_ns > 0 && r->elapsed_ns >= r->opt.duration_ns &&
		    (r->opt.rate == 0 || count == 0))
			break;
		TRY(emit_burst(r, r->opt.first + r->done, count));
		r->done += count;
		if (r->opt.out.is_live && r->opt.rate > 0)
			TRY(flush_stale(r, false));
	}
	TRY(flush_stale(r, true));
	read_clocks(r);
	return ERR_OK;
}

static enum err prepare(struct run *r, const char **what)
{
	const struct gen_out_conf *out = &r->opt.out;
	bool is_sflow = r->opt.plan.format == GEN_SFLOW; /* sub-agents are of their agent */

	gen_value_init();
	*what = "the templates";
	TRY(gen_tmpl_compile(&r->opt.plan, &r->tmpls));
	r->conf.plan = &r->opt.plan;
	r->conf.tmpls = &r->tmpls;
	r->conf.refresh_ms = r->opt.refresh_ms;
	r->conf.refresh_messages = r->opt.refresh_messages;
	*what = "memory";
	r->msg = calloc(out->exporters, sizeof(*r->msg));
	r->buffers = malloc(out->exporters * out->message_octets);
	if (r->msg == NULL || r->buffers == NULL)
		return ERR_NOMEM;
	for (uint32_t k = 0; k < out->exporters; k++)
		gen_msg_init(&r->msg[k], r->buffers + k * out->message_octets, out->message_octets,
			     r->opt.domain + (is_sflow ? 0 : k),
			     (out->base != 0 ? out->base : INADDR_LOOPBACK) + k);
	return gen_out_open(&r->out, out, what);
}

static double cpu_seconds(void)
{
	struct rusage use;

	(void)getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static const char *template_text(const struct gen_opt *opt)
{
	switch (opt->plan.format) {
	case GEN_V5:
		return "fixed";
	case GEN_SFLOW:
		return "sample";
	case GEN_V9:
	case GEN_IPFIX:
		break;
	}
	return gen_set_text(opt->plan.set);
}

/* One line, the same words in both forms. */
static void print_result(const struct run *r)
{
	static const char text[] =
		"flows=%" PRIu64 " messages=%" PRIu64 " octets=%" PRIu64
		" seconds=%.3f rate=%.0f template_messages=%" PRIu64 " retries=%" PRIu64
		" refused=%" PRIu64 " cpu_seconds=%.3f protocol=%s template=%s exporters=%u base=%s"
		" seed=%" PRIu64 " first=%" PRIu64 " time=%" PRId64 " spread=%" PRIu64 " domain=%u";
	static const char json[] =
		"{\"flows\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"octets\":%" PRIu64
		",\"seconds\":%.3f,\"rate\":%.0f,\"template_messages\":%" PRIu64
		",\"retries\":%" PRIu64 ",\"refused\":%" PRIu64
		",\"cpu_seconds\":%.3f,\"protocol\":\"%s\",\"template\":\"%s\",\"exporters\":%u"
		",\"base\":\"%s\",\"seed\":%" PRIu64 ",\"first\":%" PRIu64 ",\"time\":%" PRId64
		",\"spread\":%" PRIu64 ",\"domain\":%u";
	static const char sflow_text[] = " packets=%" PRIu64 " sampled_octets=%" PRIu64
					 " scaled_packets=%" PRIu64 " scaled_octets=%" PRIu64;
	static const char sflow_json[] =
		",\"packets\":%" PRIu64 ",\"sampled_octets\":%" PRIu64
		",\"scaled_packets\":%" PRIu64 ",\"scaled_octets\":%" PRIu64;
	const struct gen_opt *opt = &r->opt;
	struct in_addr base = { htonl(opt->out.base) };
	double seconds = (double)r->elapsed_ns / NS_PER_S;
	char base_text[INET_ADDRSTRLEN];

	(void)inet_ntop(AF_INET, &base, base_text, sizeof(base_text));
	printf(opt->is_json ? json : text, r->done, r->out.messages, r->out.octets, seconds,
	       seconds > 0 ? (double)r->done / seconds : 0.0, r->template_messages, r->out.retries,
	       r->out.refused, cpu_seconds(), gen_format_text(opt->plan.format), template_text(opt),
	       opt->out.exporters, base_text, opt->plan.seed, opt->first, opt->plan.base_ms / 1000,
	       opt->plan.spread_us, opt->domain);
	if (opt->plan.format == GEN_SFLOW)
		printf(opt->is_json ? sflow_json : sflow_text, r->done, r->sampled_octets,
		       r->scaled_packets, r->scaled_octets);
	puts(opt->is_json ? "}" : "");
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct run r;
	struct sigaction action = { .sa_handler = on_signal };
	const char *what = "";
	bool is_short;
	enum err e;

	switch (gen_opt_read(argc, argv, &r.opt)) {
	case GEN_OPT_DONE:
		return EXIT_SUCCESS;
	case GEN_OPT_USAGE:
		return EXIT_USAGE;
	case GEN_OPT_RUN:
		break;
	}
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	e = prepare(&r, &what);
	if (e == ERR_OK) {
		what = "sending";
		e = run_all(&r);
		print_result(&r);
	}
	if (e != ERR_OK)
		fprintf(stderr, "sluicegen: %s failed: %s\n", what,
			errno != 0 ? strerror(errno) : "no room");
	if (r.out.refused > 0)
		fprintf(stderr, "sluicegen: nobody listened: refused %" PRIu64 " times\n",
			r.out.refused);
	is_short = r.out.refused > 0 || (r.done < r.opt.flows && r.opt.duration_ns == 0);
	if (gen_out_close(&r.out) != ERR_OK) {
		fprintf(stderr, "sluicegen: the capture was not written: %s\n", strerror(errno));
		e = ERR_IO;
	}
	free(r.msg);
	free(r.buffers);
	return e == ERR_OK && !is_short ? EXIT_SUCCESS : EXIT_FAILURE;
}
