/* SPDX-License-Identifier: Apache-2.0 */
#include "test/gen/gen_opt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORTERS_MAX 60000
#define NUMBER_MAX ((uint64_t)1 << 62)
#define V5_NUMBERS ((uint64_t)1 << 40)
#define MESSAGE_MIN 1280 /* the longest record fits beside nothing but its header */
#define MESSAGE_MAX 65507
#define STREAM_MESSAGE_MAX 65535
#define RATE_MAX 100000000
#define DURATION_MAX_S 31536000
#define DEFAULT_FLOWS 10000
#define DEFAULT_RATE 10000
#define DEFAULT_SPREAD_US 2
#define DEFAULT_MESSAGE 1464
#define DEFAULT_REFRESH_MS 20000

static const char help_text[] =
	"Usage: sluicegen [OPTION]...\n"
	"Sends flows that anybody can compute again from their numbers, and says how many.\n"
	"\n"
	"  -P PROTOCOL    v5, v9, ipfix or sflow (default ipfix)\n"
	"  -T TRANSPORT   udp (default), or tcp: a connection for each exporter; for ipfix only\n"
	"  -d HOST:PORT   where to (default 127.0.0.1, port 4739 for ipfix, 6343 for\n"
	"                 sflow, 2055 for the others)\n"
	"  -w FILE        write a capture; without -d nothing is sent\n"
	"  -t TEMPLATE    basic (18 elements), nprobe (35, default) or rich (82);\n"
	"                 not for v5 and sflow: sflow sends samples, compact and expanded by turns\n"
	"  -n FLOWS       flows in all (default 10000, or as many as -r and --duration make)\n"
	"  -r RATE        flows a second, 0 as fast as it goes (default 10000)\n"
	"  -e EXPORTERS   exporters (default 1); flow n is of exporter n mod EXPORTERS\n"
	"  -b BASE        address of the first exporter, the others follow it (default "
	"127.0.1.1);\n"
	"                 0.0.0.0 leaves the addresses to the kernel\n"
	"  -s SEED        seed of all values (default 1)\n"
	"  -f FIRST       number of the first flow (default 0)\n"
	"  --duration S   stop after S seconds\n"
	"  --time T       base of all times, seconds since 1970 (default: now); also takes the "
	"times in\n"
	"                 headers from the flows, not from the clock\n"
	"  --spread US    microseconds from one flow's times to the next one's (default 2)\n"
	"  --domain D     observation domain of the first exporter (default 100000 for basic, "
	"200000\n"
	"                 for nprobe, 300000 for rich; v5 and sflow: 0; sflow: the first of\n"
	"                 each exporter's two sub-agents)\n"
	"  --refresh N    send templates every N messages, too (always: every 20 s)\n"
	"  --message N    octets of the longest message (default 1464)\n"
	"  --cut N        writes of at most N octets, wherever that cuts messages; for tcp\n"
	"  --json         the result as JSON\n"
	"  --help         this\n"
	"\n"
	"Exit status: 0 all sent, 1 not all or nobody listened, 2 wrong usage.\n";

enum long_opt {
	OPT_DURATION = 256,
	OPT_TIME,
	OPT_SPREAD,
	OPT_DOMAIN,
	OPT_REFRESH,
	OPT_MESSAGE,
	OPT_CUT,
	OPT_JSON,
	OPT_HELP
};

static const struct option long_opts[] = {
	{ "duration", required_argument, NULL, OPT_DURATION },
	{ "time", required_argument, NULL, OPT_TIME },
	{ "spread", required_argument, NULL, OPT_SPREAD },
	{ "domain", required_argument, NULL, OPT_DOMAIN },
	{ "refresh", required_argument, NULL, OPT_REFRESH },
	{ "message", required_argument, NULL, OPT_MESSAGE },
	{ "cut", required_argument, NULL, OPT_CUT },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

struct word { /* a word of the command line, and what it stands for */
	const char *text;
	int value; /* -1: known, but not built */
};

static const struct word formats[] = {
	{ "v5", GEN_V5 }, { "v9", GEN_V9 }, { "ipfix", GEN_IPFIX }, { "sflow", GEN_SFLOW }, { 0 },
};
static const struct word sets[] = {
	{ "basic", GEN_BASIC },
	{ "nprobe", GEN_NPROBE },
	{ "rich", GEN_RICH },
	{ 0 },
};
static const struct word transports[] = {
	{ "udp", 0 }, { "tcp", 1 }, { "tls", -1 }, { "dtls", -1 }, { "sctp", -1 }, { 0 },
};

struct draft { /* what was said, before defaults */
	const char *to;
	const char *base;
	uint64_t time_s;
	uint64_t duration_s;
	uint64_t domain;
	bool has_flows;
	bool has_time;
	bool has_domain;
};

static const char *text_of(const struct word *words, int value)
{
	while (words->text != NULL && words->value != value)
		words++;
	return words->text;
}

const char *gen_format_text(enum gen_format format)
{
	return text_of(formats, (int)format);
}

const char *gen_set_text(enum gen_set set)
{
	return text_of(sets, (int)set);
}

static bool read_word(const char *what, const struct word *words, const char *text, int *out)
{
	const struct word *w = words;

	while (w->text != NULL && strcmp(w->text, text) != 0)
		w++;
	if (w->text != NULL && w->value >= 0) {
		*out = w->value;
		return true;
	}
	fprintf(stderr, "sluicegen: %s \"%s\" is %s; there is:", what, text,
		w->text == NULL ? "not known" : "not built");
	for (w = words; w->text != NULL; w++)
		if (w->value >= 0)
			fprintf(stderr, " %s", w->text);
	fputc('\n', stderr);
	return false;
}

static bool read_number(const char *what, const char *text, uint64_t min, uint64_t max,
			uint64_t *out)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && v >= min &&
	    v <= max) {
		*out = v;
		return true;
	}
	fprintf(stderr, "sluicegen: %s \"%s\" is not a number from %llu to %llu\n", what, text,
		(unsigned long long)min, (unsigned long long)max);
	return false;
}

/* "host:port", "host", ":port", "[v6]:port". */
static bool read_to(const char *text, const char *default_port, struct gen_out_conf *out)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	char host[256] = "127.0.0.1";
	const char *port = default_port;
	const char *colon = strrchr(text, ':');
	const char *bracket = strchr(text, ']');
	size_t count = strlen(text);
	struct addrinfo *found;
	int rc;

	if (colon != NULL && (bracket == NULL || colon > bracket)) {
		port = colon + 1;
		count = (size_t)(colon - text);
	}
	if (bracket != NULL && text[0] == '[') {
		text++;
		count = (size_t)(bracket - text);
	}
	if (count >= sizeof(host)) {
		fputs("sluicegen: the host of -d is too long\n", stderr);
		return false;
	}
	if (count > 0) {
		memcpy(host, text, count);
		host[count] = '\0';
	}
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0) {
		fprintf(stderr, "sluicegen: -d %s port %s: %s\n", host, port, gai_strerror(rc));
		return false;
	}
	memcpy(&out->to, found->ai_addr, found->ai_addrlen);
	out->to_octets = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static bool read_base(const char *text, uint32_t *out)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1) {
		fprintf(stderr, "sluicegen: -b \"%s\" is not an IPv4 address\n", text);
		return false;
	}
	*out = ntohl(a.s_addr);
	return true;
}

static bool read_short(int key, const char *text, struct gen_opt *opt, struct draft *d)
{
	uint64_t v = 0;
	int word = 0;
	bool ok = true;

	switch (key) {
	case 'P':
		ok = read_word("protocol", formats, text, &word);
		opt->plan.format = (enum gen_format)word;
		break;
	case 'T':
		ok = read_word("transport", transports, text, &word);
		opt->out.is_stream = word == 1;
		break;
	case 't':
		ok = read_word("template", sets, text, &word);
		opt->plan.set = (enum gen_set)word;
		break;
	case 'd':
		d->to = text;
		break;
	case 'b':
		d->base = text;
		break;
	case 'w':
		opt->out.pcap_path = text;
		break;
	case 'r':
		ok = read_number("-r", text, 0, RATE_MAX, &opt->rate);
		break;
	case 'n':
		d->has_flows = true;
		ok = read_number("-n", text, 0, NUMBER_MAX, &opt->flows);
		break;
	case 'e':
		ok = read_number("-e", text, 1, EXPORTERS_MAX, &v);
		opt->out.exporters = (uint32_t)v;
		break;
	case 's':
		ok = read_number("-s", text, 0, UINT64_MAX, &opt->plan.seed);
		break;
	case 'f':
		ok = read_number("-f", text, 0, NUMBER_MAX, &opt->first);
		break;
	default:
		ok = false;
		fputs("Try sluicegen --help\n", stderr);
		break;
	}
	return ok;
}

static bool read_long(int key, const char *text, struct gen_opt *opt, struct draft *d)
{
	uint64_t v = 0;
	bool ok = true;

	switch (key) {
	case OPT_DURATION:
		ok = read_number("--duration", text, 1, DURATION_MAX_S, &d->duration_s);
		break;
	case OPT_TIME:
		d->has_time = true;
		ok = read_number("--time", text, GEN_UPTIME_S + 1000, UINT32_MAX / 2, &d->time_s);
		break;
	case OPT_SPREAD:
		ok = read_number("--spread", text, 0, 1000000, &opt->plan.spread_us);
		break;
	case OPT_DOMAIN:
		d->has_domain = true;
		ok = read_number("--domain", text, 0, UINT32_MAX - EXPORTERS_MAX, &d->domain);
		break;
	case OPT_REFRESH:
		ok = read_number("--refresh", text, 1, NUMBER_MAX, &opt->refresh_messages);
		break;
	case OPT_MESSAGE:
		ok = read_number("--message", text, MESSAGE_MIN, STREAM_MESSAGE_MAX, &v);
		opt->out.message_octets = v;
		break;
	case OPT_CUT:
		ok = read_number("--cut", text, 1, MESSAGE_MAX, &v);
		opt->out.cut = v;
		break;
	case OPT_JSON:
		opt->is_json = true;
		break;
	default:
		return read_short(key, text, opt, d);
	}
	return ok;
}

static void set_count(struct gen_opt *opt, const struct draft *d)
{
	opt->duration_ns = (int64_t)d->duration_s * 1000000000;
	if (d->has_flows)
		return;
	if (d->duration_s == 0)
		opt->flows = DEFAULT_FLOWS;
	else
		opt->flows = opt->rate > 0 ? opt->rate * d->duration_s : NUMBER_MAX;
}

/* Defaults that depend on other options, and options that exclude each other. */
static bool complete(struct gen_opt *opt, const struct draft *d)
{
	static const uint32_t domains[] = { 100000, 200000, 300000 };
	static const char *const ports[] = { "2055", "2055", "4739", "6343" };
	bool is_v5 = opt->plan.format == GEN_V5;
	bool has_set = !is_v5 && opt->plan.format != GEN_SFLOW;

	if (!read_to(d->to != NULL ? d->to : "", ports[opt->plan.format], &opt->out))
		return false;
	if (!read_base(d->base != NULL ? d->base : "127.0.1.1", &opt->out.base))
		return false;
	opt->out.is_live = d->to != NULL || opt->out.pcap_path == NULL;
	if (opt->out.to.ss_family != AF_INET) {
		if (d->base != NULL || opt->out.pcap_path != NULL) {
			fputs("sluicegen: -b and -w are for IPv4 destinations only\n", stderr);
			return false;
		}
		opt->out.base = 0;
	}
	if (opt->out.is_stream && (opt->plan.format != GEN_IPFIX || opt->out.pcap_path != NULL)) {
		fputs("sluicegen: -T tcp is for ipfix, and not for -w\n", stderr);
		return false;
	}
	if (!opt->out.is_stream && (opt->out.cut != 0 || opt->out.message_octets > MESSAGE_MAX)) {
		fputs("sluicegen: --cut, and messages beyond 65507 octets, are for -T tcp\n",
		      stderr);
		return false;
	}
	set_count(opt, d);
	if (!opt->out.is_live)
		opt->rate = 0;
	opt->plan.exporters = opt->out.exporters;
	opt->plan.base_ms = 1000 * (d->has_time ? (int64_t)d->time_s : (int64_t)time(NULL));
	opt->is_wall = opt->out.is_live && !d->has_time;
	opt->domain = d->has_domain ? (uint32_t)d->domain : has_set ? domains[opt->plan.set] : 0;
	if (is_v5 && opt->first + opt->flows > V5_NUMBERS && opt->flows != NUMBER_MAX) {
		fputs("sluicegen: v5 has room for numbers below 2^40 only\n", stderr);
		return false;
	}
	return true;
}

enum gen_opt_end gen_opt_read(int argc, char **argv, struct gen_opt *opt)
{
	struct draft d = { 0 };
	int key;

	memset(opt, 0, sizeof(*opt));
	opt->plan.seed = 1;
	opt->plan.spread_us = DEFAULT_SPREAD_US;
	opt->plan.format = GEN_IPFIX;
	opt->plan.set = GEN_NPROBE;
	opt->rate = DEFAULT_RATE;
	opt->refresh_ms = DEFAULT_REFRESH_MS;
	opt->out.exporters = 1;
	opt->out.message_octets = DEFAULT_MESSAGE;
	while ((key = getopt_long(argc, argv, "P:T:d:w:t:n:r:e:b:s:f:h", long_opts, NULL)) != -1) {
		if (key == OPT_HELP || key == 'h') {
			fputs(help_text, stdout);
			return GEN_OPT_DONE;
		}
		if (!read_long(key, optarg, opt, &d))
			return GEN_OPT_USAGE;
	}
	if (optind != argc) {
		fprintf(stderr, "sluicegen: \"%s\" is not an option\n", argv[optind]);
		return GEN_OPT_USAGE;
	}
	return complete(opt, &d) ? GEN_OPT_RUN : GEN_OPT_USAGE;
}
