/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/log.h"
#include "collector/message.h"
#include "sink/sink.h"

#define SINKS_MAX 32
#define WORKERS_MAX 256

static const struct conf_word transports[] = { { "udp", TRANSPORT_UDP }, { 0 } };
static const struct conf_word decoders[] = { { "plan", DECODER_PLAN },
					     { "fixbuf", DECODER_FIXBUF },
					     { 0 } };
static const struct conf_word raw_modes[] = { { "unpromoted", RAW_MODE_UNPROMOTED },
					      { "full", RAW_MODE_FULL },
					      { "wire", RAW_MODE_WIRE },
					      { "none", RAW_MODE_NONE },
					      { 0 } };
static const struct conf_word policies[] = { { "block", LOG_BLOCK },
					     { "evict_oldest", LOG_EVICT_OLDEST },
					     { 0 } };
static const struct conf_word levels[] = { { "error", LOG_LEVEL_ERROR },
					   { "warn", LOG_LEVEL_WARN },
					   { "info", LOG_LEVEL_INFO },
					   { "debug", LOG_LEVEL_DEBUG },
					   { 0 } };
enum log_sync { LOG_SYNC_OFF };
static const struct conf_word syncs[] = { { "off", LOG_SYNC_OFF }, { 0 } };

#define AT(member) offsetof(struct listen_options, member)
static const struct conf_opt listen_table[] = {
	CONF_ENUM_ROW("transport", struct listen_options, transport, CONF_RESTART, transports,
		      "udp", "How messages come."),
	{ "address", CONF_STRING, CONF_RESTART, AT(address), 0, 64, NULL,
	  "Address to receive on; absent: every address, IPv4 and IPv6." },
	{ "port", CONF_U32, CONF_RESTART, AT(port), 0, 65535, "4739",
	  "Port to receive on; 0: any free one, which `status` tells." },
	{ "interface", CONF_STRING, CONF_RESTART, AT(interface), 0, 15, NULL,
	  "Interface or VRF to receive from; absent: any." },
	{ "rcvbuf", CONF_SIZE, CONF_RESTART, AT(rcvbuf_bytes), 0, 1 << 30, "32M",
	  "Receive buffer of each worker's socket; 0: the kernel's default." },
	{ "v6only", CONF_BOOL, CONF_RESTART, AT(v6only), 0, 0, "false",
	  "An IPv6 address takes no IPv4." },
	CONF_STRINGS_ROW("multicast", struct listen_options, multicast, multicast_count,
			 CONF_RESTART, "Multicast groups to join."),
	CONF_LINE_ROW(struct listen_options, line),
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct exporter_options, member)
static const struct conf_opt exporter_table[] = {
	{ "address", CONF_STRING, CONF_LIVE, AT(address), 1, 64, NULL,
	  "Address or network (CIDR) of the exporters." },
	{ "name", CONF_STRING, CONF_LIVE, AT(name), 1, SESSION_IDENTITY_BYTES, NULL,
	  "Their identity, instead of the address: in record_id, Kafka keys and exporter_name." },
	{ "site", CONF_STRING, CONF_LIVE, AT(site), 1, 256, NULL, "Site; enriched.exporter_site." },
	{ "mapping", CONF_STRING, CONF_LIVE, AT(mapping), 1, 64, NULL,
	  "Mapping that holds for them whatever their templates are." },
	{ "sampling_rate", CONF_U32, CONF_LIVE, AT(sampling_rate), 0, UINT32_MAX, "0",
	  "1:N where neither record nor header says; 0: unknown." },
	{ "domain", CONF_I64, CONF_LIVE, AT(domain), -1, UINT32_MAX, "-1",
	  "Only this observation domain; -1: any." },
	{ "port", CONF_U32, CONF_LIVE, AT(port), 0, 65535, "0", "Only this source port; 0: any." },
	CONF_LINE_ROW(struct exporter_options, line),
	{ 0 },
};
#undef AT

/* Sink types as variants of an entry; made from sink_types[] once, before any thread. */
static const struct conf_variant *sink_variants(void)
{
	static struct conf_variant variants[SINKS_MAX + 1];

	if (variants[0].type == NULL) {
		for (size_t i = 0; i < SINKS_MAX && sink_types[i] != NULL; i++) {
			variants[i].options = sink_types[i]->options;
			variants[i].bytes = sink_types[i]->conf_bytes;
			variants[i].type = sink_types[i]->type;
		}
	}
	return variants;
}

#define AT(member) offsetof(struct sink_options, member)
static const struct conf_opt sink_table[] = {
	{ "name", CONF_STRING, CONF_RESTART, AT(name), 1, 64, NULL, "Name in status and ledger." },
	{ "type", CONF_STRING, CONF_RESTART, AT(type), 1, 32, NULL,
	  "Which sink it is: file, kafka, stdout or null." },
	CONF_VARIANT_ROW(struct sink_options, conf, sink_variants),
	CONF_LINE_ROW(struct sink_options, line),
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct collector_options, member)
static const struct conf_opt collector_table[] = {
	{ "decoder", CONF_ENUM, CONF_RESTART, AT(decoder), 0, 0, "plan",
	  "Who cuts v9 and IPFIX records: our plan, or libfixbuf (slower; to compare).", 0,
	  decoders, NULL, 0, NULL },
	{ "selfcheck", CONF_U32, CONF_RESTART, AT(selfcheck), 0, UINT32_MAX, "65536",
	  "One record in so many is decoded by libfixbuf too and compared; 0: none." },
	{ "template_lifetime_s", CONF_U32, CONF_RESTART, AT(template_lifetime_s), 1, 31536000,
	  "1800", "A template that is not refreshed for so long is forgotten." },
	{ "session_idle_s", CONF_U32, CONF_RESTART, AT(session_idle_s), 1, 31536000, "7200",
	  "An observation domain that is silent for so long is forgotten." },
	{ "domains_max", CONF_U32, CONF_RESTART, AT(domains_max), 1, 10000000, "100000",
	  "Observation domains at once, of each worker." },
	{ "templates_max", CONF_U32, CONF_RESTART, AT(templates_max), 1, 65280, "4096",
	  "Templates of one observation domain." },
	{ "fields_max", CONF_U32, CONF_RESTART, AT(fields_max), 1, 1024, "1024",
	  "Fields of one template." },
	{ "repeats_max", CONF_U32, CONF_RESTART, AT(repeats_max), 1, 1024, "64",
	  "Repeats of one element in a template." },
	{ "batch", CONF_U32, CONF_RESTART, AT(batch), 1, 1024, "64",
	  "Datagrams taken from the kernel per call." },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct normalizer_options, member)
static const struct conf_opt normalizer_table[] = {
	{ "elements", CONF_STRING, CONF_LIVE, AT(elements), 1, 4000, "templates/elements",
	  "Folder of element registries (*.xml)." },
	{ "mappings", CONF_STRING, CONF_LIVE, AT(mappings), 1, 4000, "templates/mappings",
	  "Folder of mapping files (*.conf)." },
	{ "tables", CONF_STRING, CONF_LIVE, AT(tables), 1, 4000, "templates/tables",
	  "Folder of name tables (*.tsv)." },
	{ "raw", CONF_ENUM, CONF_LIVE, AT(raw), 0, 0, "unpromoted",
	  "What the raw layer holds: elements that no field carries, all elements, those that no "
	  "field carries and the record's octets, or nothing.",
	  0, raw_modes, NULL, 0, NULL },
	{ "enrich", CONF_STRINGS, CONF_LIVE, AT(enrich), 0, 0, "network",
	  "Enrichers: network, time.", AT(enrich_count), NULL, NULL, 0, NULL },
	{ "network", CONF_GROUP, CONF_LIVE, AT(network), 0, 0, NULL,
	  "Options of the enricher network.", 0, NULL, enrich_network_options, 0, NULL },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct log_options, member)
static const struct conf_opt log_table[] = {
	{ "max_bytes", CONF_SIZE, CONF_RESTART, AT(max_bytes), 1 << 20, INT64_MAX, "1G",
	  "Room for records that sinks have not made safe, of all workers together." },
	{ "policy", CONF_ENUM, CONF_RESTART, AT(policy), 0, 0, "block",
	  "When it is full: the newest records are dropped, or the oldest.", 0, policies, NULL, 0,
	  NULL },
	{ "sync", CONF_ENUM, CONF_RESTART, AT(sync), 0, 0, "off",
	  "When records are durable; off: the log is in memory only.", 0, syncs, NULL, 0, NULL },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct control_options, member)
static const struct conf_opt control_table[] = {
	{ "socket", CONF_STRING, CONF_RESTART, AT(socket), 1, 107, "/run/sluice/sluice.sock",
	  "Control socket, for sluicectl." },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct options, member)
const struct conf_opt options_table[] = {
	{ "state", CONF_STRING, CONF_RESTART, AT(state), 1, 4000, "/var/lib/sluice",
	  "Folder for what must survive a restart." },
	{ "workers", CONF_STRING, CONF_RESTART, AT(workers), 1, 16, "auto",
	  "Worker threads; auto: half the cores." },
	{ "shutdown_s", CONF_U32, CONF_LIVE, AT(shutdown_s), 0, 3600, "10",
	  "How long a stop may wait for sinks." },
	CONF_ENUM_ROW("log_level", struct options, log_level, CONF_LIVE, levels, "info",
		      "Lines on standard error: this level and those before it."),
	CONF_LIST_ROW("listen", struct options, listens, listen_count, CONF_RESTART, listen_table,
		      struct listen_options, "Where messages come in."),
	CONF_LIST_ROW("exporters", struct options, exporters, exporter_count, CONF_LIVE,
		      exporter_table, struct exporter_options,
		      "What is known of exporters; the first entry that holds is taken."),
	CONF_GROUP_ROW("collector", struct options, collector, collector_table,
		       "From octets to records."),
	CONF_GROUP_ROW("normalizer", struct options, normalizer, normalizer_table,
		       "From records to flow events."),
	CONF_GROUP_ROW("log", struct options, log, log_table, "Between workers and sinks."),
	CONF_LIST_ROW("sinks", struct options, sinks, sink_count, CONF_RESTART, sink_table,
		      struct sink_options, "Where flow events go, each at its own pace."),
	CONF_GROUP_ROW("control", struct options, control, control_table, "The control socket."),
	{ 0 },
};
#undef AT

void options_free(struct options *o)
{
	if (o == NULL)
		return;
	conf_free(options_table, o);
	free(o);
}

unsigned options_workers(const struct options *o)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (strcmp(o->workers, "auto") != 0)
		return (unsigned)strtoul(o->workers, NULL, 10);
	return cores < 4 ? 1 : (unsigned)cores / 2;
}

static enum err check_workers(const struct options *o, struct why *why)
{
	char *end;
	unsigned long n;

	if (strcmp(o->workers, "auto") == 0)
		return ERR_OK;
	n = strtoul(o->workers, &end, 10);
	if (*end == '\0' && n >= 1 && n <= WORKERS_MAX)
		return ERR_OK;
	return why_set(why, ERR_CONF, "`workers' is \"auto\" or a number from 1 to %d",
		       WORKERS_MAX);
}

static enum err check_listens(const struct options *o, const char *path, struct why *why)
{
	struct addr a;

	for (size_t i = 0; i < o->listen_count; i++) {
		const struct listen_options *l = &o->listens[i];

		if (l->address != NULL && addr_parse(l->address, &a) != ERR_OK)
			return why_set(why, ERR_CONF, "%s:%d: `%s' is no address", path, l->line,
				       l->address);
		for (size_t k = 0; k < l->multicast_count; k++) {
			if (addr_parse(l->multicast[k], &a) != ERR_OK)
				return why_set(why, ERR_CONF, "%s:%d: `%s' is no address", path,
					       l->line, l->multicast[k]);
		}
	}
	return ERR_OK;
}

static enum err check_exporters(const struct options *o, const char *path, struct why *why)
{
	struct addr a;
	unsigned bits;

	for (size_t i = 0; i < o->exporter_count; i++) {
		const struct exporter_options *e = &o->exporters[i];

		if (e->address == NULL)
			return why_set(why, ERR_CONF, "%s:%d: `address' is missing", path, e->line);
		if (addr_parse_prefix(e->address, &a, &bits) != ERR_OK)
			return why_set(why, ERR_CONF, "%s:%d: `%s' is no address or network", path,
				       e->line, e->address);
	}
	return ERR_OK;
}

static enum err check_sinks(const struct options *o, const char *path, struct why *why)
{
	if (o->sink_count > SINKS_MAX)
		return why_set(why, ERR_CONF, "%s: more than %d sinks", path, SINKS_MAX);
	for (size_t i = 0; i < o->sink_count; i++) {
		const struct sink_options *s = &o->sinks[i];

		if (s->name == NULL)
			return why_set(why, ERR_CONF, "%s:%d: `name' is missing", path, s->line);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(o->sinks[k].name, s->name) == 0)
				return why_set(why, ERR_CONF, "%s:%d: two sinks are named `%s'",
					       path, s->line, s->name);
		}
	}
	return ERR_OK;
}

/* What no single option can know. */
static enum err check(const struct options *o, const char *path, struct why *why)
{
	const char *file = path == NULL ? "(no file)" : path;

	TRY(check_workers(o, why));
	TRY(check_listens(o, file, why));
	TRY(check_exporters(o, file, why));
	return check_sinks(o, file, why);
}

enum err options_load(const char *path, char *const *overrides, size_t override_count,
		      struct why *why, struct options **out)
{
	struct options *o = calloc(1, sizeof(*o));
	enum err e;

	if (o == NULL)
		return why_set(why, ERR_NOMEM, "no memory for the configuration");
	e = conf_load(options_table, path, overrides, override_count, o, sizeof(*o), why);
	if (e != ERR_OK) {
		free(o);
		return e;
	}
	e = check(o, path, why);
	if (e != ERR_OK) {
		options_free(o);
		return e;
	}
	*out = o;
	return ERR_OK;
}
