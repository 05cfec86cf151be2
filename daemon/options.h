/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - the whole configuration as one struct, filled from one table of options.
 *
 *	options_load(path, overrides, count, &why, &o)
 *	options_check(o, &why)		what no single option can know
 *
 * Owner: the generation that was loaded with it.  Lifetime: generation; read-only.
 */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include "base/conf.h"
#include "base/why.h"
#include "collector/stream.h"
#include "collector/udp.h"
#include "normalizer/catalog.h"
#include "normalizer/enrich_derived.h"
#include "normalizer/enrich_community_id.h"
#include "normalizer/enrich_ndpi.h"
#include "normalizer/enrich_network.h"

#define OPTIONS_SINKS_MAX 32 /* of `sinks`, and of `dead_letter.sinks` */

struct listen_options {
	int transport;
	char *address;
	uint32_t port;
	char *interface;
	uint64_t rcvbuf_bytes;
	bool v6only;
	char **multicast;
	size_t multicast_count;
	int line;
};

enum tee_source { TEE_SOURCE_ORIGINAL, TEE_SOURCE_OWN };

struct tee_options {
	char *to;
	int source;
	char **from;
	size_t from_count;
	int line;
};

struct exporter_options {
	char *address;
	char *name;
	char *site;
	char *mapping;
	char *ndpi;
	uint32_t sampling_rate;
	int64_t domain; /* -1: any */
	uint32_t port;	/* 0: any */
	uint32_t rate;
	bool trust_reported;
	int line;
};

struct sink_options {
	char *name;
	char *type;
	int from;
	void *conf; /* of the type's own table */
	int line;
};

enum decoder { DECODER_PLAN, DECODER_FIXBUF };

enum unknown { UNKNOWN_ACCEPT, UNKNOWN_REFUSE };

struct collector_options {
	int decoder;
	int unknown;
	uint32_t unknown_rate;
	uint32_t unknown_domains_max;
	uint32_t selfcheck;
	uint32_t message_work;
	uint32_t template_lifetime_s;
	uint32_t session_idle_s;
	uint32_t domains_max;
	uint32_t templates_max;
	uint32_t templates_exporter_max;
	uint32_t templates_all_max;
	uint64_t templates_all_bytes;
	uint32_t fields_max;
	uint32_t repeats_max;
	uint32_t batch;
	uint32_t hold_s;
	uint64_t hold_session_bytes;
	uint64_t hold_bytes;
	bool template_from_port;
	uint32_t streams_max;
	uint32_t streams_address_max;
	uint32_t stream_header_s;
	uint32_t stream_message_s;
	uint32_t stream_idle_s;
	uint32_t stream_keepalive_s;
};

struct normalizer_options {
	char *elements;
	char *mappings;
	char *tables;
	int raw;
	uint32_t joins_max;
	uint32_t joins_all_max;
	char **enrich;
	size_t enrich_count;
	struct enrich_network_conf network;
	struct enrich_derived_conf derived;
	struct enrich_community_id_conf community_id;
	struct enrich_ndpi_conf ndpi;
};

struct log_options {
	uint64_t max_bytes;
	uint64_t memory_bytes;
	uint64_t min_free_bytes;
	uint32_t max_age_s;
	int policy;
	int sync;
	int codec;
};

struct dead_options {
	uint64_t max_bytes;
	uint32_t rate;
	uint64_t rate_bytes;
	struct sink_options *sinks;
	size_t sink_count;
};

struct control_options {
	char *socket;
};

struct options {
	char *state;
	char *workers; /* "auto", or a number */
	uint32_t shutdown_s;
	int log_level;
	uint32_t health_s;
	struct listen_options *listens;
	size_t listen_count;
	struct tee_options *tees;
	size_t tee_count;
	struct exporter_options *exporters;
	size_t exporter_count;
	struct collector_options collector;
	struct normalizer_options normalizer;
	struct log_options log;
	struct sink_options *sinks;
	size_t sink_count;
	struct dead_options dead_letter;
	struct control_options control;
	const char *path; /* of the file, the caller's; NULL: none */
};

extern const struct conf_opt options_table[];

enum err options_load(const char *path, char *const *overrides, size_t override_count,
		      struct why *why, struct options **out);
void options_free(struct options *o);

/* "group" or "group%interface". */
enum err options_multicast(const char *text, struct udp_multicast *out, struct why *why);

/* What no single option or entry can know; options_load() asks it. */
enum err options_check(const struct options *o, struct why *why);

/* Puts the place of an entry before what is wrong with it; answers ERR_CONF. */
enum err options_place(const struct options *o, int line, struct why *why);

struct stream_limits options_stream_limits(const struct options *o);

/* Workers to run: "auto" is half the cores, one at least. */
unsigned options_workers(const struct options *o);

#endif
