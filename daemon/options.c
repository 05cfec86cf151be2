/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/log.h"
#include "collector/message.h"
#include "collector/tee.h"
#include "sink/dead.h"
#include "sink/file_out.h"
#include "sink/sink.h"

#define WORKERS_MAX 256

static const struct conf_word transports[] = { { "udp", TRANSPORT_UDP },
					       { "tcp", TRANSPORT_TCP },
					       { 0 } };
static const struct conf_word decoders[] = { { "plan", DECODER_PLAN },
					     { "fixbuf", DECODER_FIXBUF },
					     { 0 } };
static const struct conf_word unknowns[] = { { "accept", UNKNOWN_ACCEPT },
					     { "refuse", UNKNOWN_REFUSE },
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
static const struct conf_word syncs[] = { { "group", LOG_SYNC_GROUP },
					  { "each", LOG_SYNC_EACH },
					  { "os", LOG_SYNC_OS },
					  { "off", LOG_SYNC_OFF },
					  { 0 } };
static const struct conf_word log_codecs[] = {
	{ "none", LOG_CODEC_NONE }, { "lz4", LOG_CODEC_LZ4 }, { "zstd", LOG_CODEC_ZSTD }, { 0 }
};
static const struct conf_word tee_sources[] = { { "original", TEE_SOURCE_ORIGINAL },
						{ "own", TEE_SOURCE_OWN },
						{ 0 } };
static const struct conf_word starts[] = { { "oldest", LOG_FROM_OLDEST },
					   { "newest", LOG_FROM_END },
					   { 0 } };

static enum err check_workers(const char *text, struct why *why)
{
	char *end;
	unsigned long n;

	if (strcmp(text, "auto") == 0)
		return ERR_OK;
	n = strtoul(text, &end, 10);
	if (*end == '\0' && n >= 1 && n <= WORKERS_MAX)
		return ERR_OK;
	return why_set(why, ERR_CONF, "`workers' is \"auto\" or a number from 1 to %d",
		       WORKERS_MAX);
}

static enum err check_address(const char *text, struct why *why)
{
	struct addr a;

	if (addr_parse(text, &a) == ERR_OK)
		return ERR_OK;
	return why_set(why, ERR_CONF, "`%s' is no address", text);
}

static enum err check_network(const char *text, struct why *why)
{
	struct addr a;
	unsigned bits;

	if (addr_parse_prefix(text, &a, &bits) == ERR_OK)
		return ERR_OK;
	return why_set(why, ERR_CONF, "`%s' is no address or network", text);
}

enum err options_multicast(const char *text, struct udp_multicast *out, struct why *why)
{
	const char *percent = strchr(text, '%');
	struct udp_multicast m = { 0 };
	char address[ADDR_TEXT_BYTES];
	int bytes = percent == NULL ? (int)strlen(text) : (int)(percent - text);

	(void)snprintf(address, sizeof(address), "%.*s", bytes, text);
	if (bytes >= ADDR_TEXT_BYTES || addr_parse(address, &m.group) != ERR_OK ||
	    !addr_is_multicast(&m.group))
		return why_set(why, ERR_CONF, "`%s' is no multicast group", text);
	if (percent != NULL && (percent[1] == '\0' || strlen(percent + 1) >= sizeof(m.interface)))
		return why_set(why, ERR_CONF, "`%s': that is no name of an interface behind `%%'",
			       text);
	if (percent != NULL)
		(void)snprintf(m.interface, sizeof(m.interface), "%s", percent + 1);
	*out = m;
	return ERR_OK;
}

static enum err check_multicast(const char *text, struct why *why)
{
	struct udp_multicast m;

	return options_multicast(text, &m, why);
}

static enum err check_place(const char *text, struct why *why)
{
	char host[TEE_HOST_BYTES];
	uint16_t port;

	return tee_split(text, host, &port, why);
}

/* A socket bound to an address gets no datagrams to a group. */
static enum err check_listen(const void *entry, struct why *why)
{
	const struct listen_options *l = entry;
	struct addr a;

	if (l->transport != TRANSPORT_UDP && l->multicast_count > 0)
		return why_set(why, ERR_CONF, "`multicast' is of the transport udp alone");
	if (l->address == NULL || l->multicast_count == 0 || addr_parse(l->address, &a) != ERR_OK)
		return ERR_OK;
	if (addr_is_any(&a) || addr_is_multicast(&a))
		return ERR_OK;
	return why_set(why, ERR_CONF,
		       "`multicast' with the address %s would receive nothing: leave "
		       "`address' out, or make it an entry of its own",
		       l->address);
}

static enum err check_tee(const void *entry, struct why *why)
{
	const struct tee_options *t = entry;

	return t->to != NULL ? ERR_OK : why_set(why, ERR_CONF, "`to' is missing");
}

static enum err check_exporter(const void *entry, struct why *why)
{
	const struct exporter_options *e = entry;

	return e->address != NULL ? ERR_OK : why_set(why, ERR_CONF, "`address' is missing");
}

static enum err check_sink(const void *entry, struct why *why)
{
	const struct sink_options *s = entry;
	const struct sink_ops *ops = sink_type_find(s->type);

	if (s->name == NULL)
		return why_set(why, ERR_CONF, "`name' is missing");
	if (ops->check == NULL || ops->check(s->conf, why) == ERR_OK)
		return ERR_OK;
	why_prefix(why, "sink %s", s->name);
	return ERR_CONF;
}

#define AT(member) offsetof(struct listen_options, member)
static const struct conf_opt listen_table[] = {
	CONF_ENUM_ROW("transport", struct listen_options, transport, CONF_LIVE, transports, "udp",
		      "How messages come: udp, or tcp, which takes IPFIX alone (RFC 7011, 10.4)."),
	{ .key = "address",
	  .type = CONF_STRING,
	  .reload = CONF_LIVE,
	  .at = AT(address),
	  .max = 64,
	  .doc = "Address to receive on; absent: every address, IPv4 and IPv6.",
	  .check = check_address },
	{ "port", CONF_U32, CONF_LIVE, AT(port), 0, 65535, "4739",
	  "Port to receive on; 0: any free one, which `status` tells." },
	{ "interface", CONF_STRING, CONF_LIVE, AT(interface), 0, 15, NULL,
	  "Interface or VRF to receive from; absent: any." },
	{ "rcvbuf", CONF_SIZE, CONF_LIVE, AT(rcvbuf_bytes), 0, 1 << 30, "32M",
	  "Receive buffer of each worker's socket; 0: the kernel's default. Of udp: tcp leaves it to the kernel." },
	{ "v6only", CONF_BOOL, CONF_LIVE, AT(v6only), 0, 0, "false",
	  "An IPv6 address takes no IPv4." },
	{ .key = "multicast",
	  .type = CONF_STRINGS,
	  .reload = CONF_LIVE,
	  .at = AT(multicast),
	  .count_at = AT(multicast_count),
	  .doc = "Multicast groups to join, each `address` or `address%interface`; without it, on the entry's interface, "
		 "or where routes say. `address` is absent then, or a group itself.",
	  .check = check_multicast },
	CONF_LINE_ROW(struct listen_options, line),
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct tee_options, member)
static const struct conf_opt tee_table[] = {
	{ .key = "to",
	  .type = CONF_STRING,
	  .reload = CONF_LIVE,
	  .at = AT(to),
	  .min = 1,
	  .max = 255,
	  .doc = "`host:port`, `address:port` or `[IPv6]:port`. Names are resolved at the start and at a reload.",
	  .check = check_place },
	CONF_ENUM_ROW(
		"source", struct tee_options, source, CONF_LIVE, tee_sources, "original",
		"Where the datagrams come from: original, the exporter's address and port, for which sluiced "
		"needs CAP_NET_RAW; without it, or where the target is of the other family, as own: an "
		"address of ours."),
	{ .key = "from",
	  .type = CONF_STRINGS,
	  .reload = CONF_LIVE,
	  .at = AT(from),
	  .count_at = AT(from_count),
	  .doc = "Addresses or networks (CIDR) of the exporters whose datagrams go there; absent: all.",
	  .check = check_network },
	CONF_LINE_ROW(struct tee_options, line),
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct exporter_options, member)
static const struct conf_opt exporter_table[] = {
	{ .key = "address",
	  .type = CONF_STRING,
	  .reload = CONF_LIVE,
	  .at = AT(address),
	  .min = 1,
	  .max = 64,
	  .doc = "Address or network (CIDR) of the exporters.",
	  .check = check_network },
	{ "name", CONF_STRING, CONF_LIVE, AT(name), 1, SESSION_IDENTITY_BYTES, NULL,
	  "Their identity, instead of the address: in record_id, Kafka keys and exporter_name." },
	{ "site", CONF_STRING, CONF_LIVE, AT(site), 1, 256, NULL, "Site; enriched.exporter_site." },
	{ "mapping", CONF_STRING, CONF_LIVE, AT(mapping), 1, 64, NULL,
	  "Mapping that holds for them whatever their templates are." },
	{ "ndpi", CONF_STRING, CONF_LIVE, AT(ndpi), 1, 64, NULL,
	  "Release of nDPI that they run, a folder of templates/tables/ndpi; absent: "
	  "normalizer.ndpi.release." },
	{ "sampling_rate", CONF_U32, CONF_LIVE, AT(sampling_rate), 0, UINT32_MAX, "0",
	  "1:N where neither record nor header says; 0: unknown." },
	{ "domain", CONF_I64, CONF_LIVE, AT(domain), -1, UINT32_MAX, "-1",
	  "Only this observation domain; -1: any." },
	{ "port", CONF_U32, CONF_LIVE, AT(port), 0, 65535, "0", "Only this source port; 0: any." },
	{ "rate", CONF_U32, CONF_LIVE, AT(rate), 0, UINT32_MAX, "0",
	  "Datagrams a second that each worker takes of all exporters of the entry together, whatever "
	  "their domain; 0: no limit." },
	{ "trust_reported", CONF_BOOL, CONF_LIVE, AT(trust_reported), 0, 0, "false",
	  "exporter_ip is what records say of it (elements 130 and 131), where they do: for relays." },
	CONF_LINE_ROW(struct exporter_options, line),
	{ 0 },
};
#undef AT

/* Sink types as variants of an entry; made from sink_types[] once, before any thread. */
static const struct conf_variant *sink_variants(void)
{
	static struct conf_variant variants[OPTIONS_SINKS_MAX + 1];

	if (variants[0].type == NULL) {
		for (size_t i = 0; i < OPTIONS_SINKS_MAX && sink_types[i] != NULL; i++) {
			variants[i].options = sink_types[i]->options;
			variants[i].bytes = sink_types[i]->conf_bytes;
			variants[i].type = sink_types[i]->type;
		}
	}
	return variants;
}

/* Those whose readers know what to do with them. */
static const struct conf_variant *dead_variants(void)
{
	static const char *const types[] = { "file", "kafka" };
	static struct conf_variant variants[sizeof(types) / sizeof(types[0]) + 1];

	for (size_t i = 0; variants[0].type == NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		const struct sink_ops *ops = sink_type_find(types[i]);

		variants[i].options = ops->options;
		variants[i].bytes = ops->conf_bytes;
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		variants[i].type = types[i];
	return variants;
}

#define AT(member) offsetof(struct sink_options, member)
static const struct conf_opt sink_table[] = {
	{ "name", CONF_STRING, CONF_RESTART, AT(name), 1, 64, NULL, "Name in status and ledger." },
	{ "type", CONF_STRING, CONF_RESTART, AT(type), 1, 32, NULL,
	  "Which sink it is: file, parquet, kafka, stdout or null." },
	{ "from", CONF_ENUM, CONF_RESTART, AT(from), 0, 0, "oldest",
	  "Where a sink begins that the log does not know: at the oldest record that is there, or at the newest.",
	  0, starts, NULL, 0, NULL },
	CONF_VARIANT_ROW(struct sink_options, conf, sink_variants),
	CONF_LINE_ROW(struct sink_options, line),
	{ 0 },
};
static const struct conf_opt dead_sink_table[] = {
	{ "name", CONF_STRING, CONF_RESTART, AT(name), 1, 64, NULL, "Name in status and ledger." },
	{ "type", CONF_STRING, CONF_RESTART, AT(type), 1, 32, NULL,
	  "Which sink it is: file or kafka." },
	CONF_VARIANT_ROW(struct sink_options, conf, dead_variants),
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
	  "1800",
	  "A template that is neither defined nor used for so long, or for three of its exporter's refreshes, is forgotten." },
	{ "session_idle_s", CONF_U32, CONF_RESTART, AT(session_idle_s), 1, 31536000, "7200",
	  "An observation domain that is silent for so long is forgotten." },
	{ "unknown", CONF_ENUM, CONF_LIVE, AT(unknown), 0, 0, "accept",
	  "What becomes of sources that no entry of `exporters` names: accept, or refuse.", 0,
	  unknowns, NULL, 0, NULL },
	{ "unknown_rate", CONF_U32, CONF_LIVE, AT(unknown_rate), 0, UINT32_MAX, "0",
	  "Datagrams a second that each worker takes of all such sources together; 0: no limit." },
	{ "unknown_domains_max", CONF_U32, CONF_LIVE, AT(unknown_domains_max), 0, 10000000, "50000",
	  "Observation domains of such sources at once, of each worker, where `exporters` has entries; "
	  "0: domains_max." },
	{ "domains_max", CONF_U32, CONF_RESTART, AT(domains_max), 1, 10000000, "100000",
	  "Observation domains at once, of each worker." },
	{ "templates_max", CONF_U32, CONF_RESTART, AT(templates_max), 1, 65280, "4096",
	  "Templates of one observation domain; for the next one the least useful goes: one that no data used, then the one "
	  "that was not used for longest." },
	{ "templates_exporter_max", CONF_U32, CONF_RESTART, AT(templates_exporter_max), 1, 10000000,
	  "16384", "Templates of one address, over its ports and domains; the least useful goes." },
	{ "templates_all_max", CONF_U32, CONF_RESTART, AT(templates_all_max), 1, 10000000, "200000",
	  "Templates of each worker; the least useful goes." },
	{ "templates_all_bytes", CONF_SIZE, CONF_RESTART, AT(templates_all_bytes), 1048576,
	  INT64_MAX, "128M", "Room for the templates of each worker; the least useful goes." },
	{ "fields_max", CONF_U32, CONF_RESTART, AT(fields_max), 1, 1024, "1024",
	  "Fields of one template." },
	{ "repeats_max", CONF_U32, CONF_RESTART, AT(repeats_max), 1, 1024, "64",
	  "Repeats of one element in a template." },
	{ "message_work", CONF_U32, CONF_RESTART, AT(message_work), 0, UINT32_MAX, "3500",
	  "Microseconds of CPU that the records of one message may cost, as sluiced counts them by records, fields and octets; "
	  "records beyond it are undecodable, and a dead letter. 3500 is more than the largest datagram of "
	  "the shortest flows costs; 0: no limit." },
	{ "batch", CONF_U32, CONF_RESTART, AT(batch), 1, 1024, "64",
	  "Datagrams taken from the kernel per call." },
	{ "hold_s", CONF_U32, CONF_RESTART, AT(hold_s), 0, 3600, "30",
	  "A data set whose template is not known waits so long for it; 0: it is given up at once." },
	{ "hold_session_bytes", CONF_SIZE, CONF_RESTART, AT(hold_session_bytes), 0, INT64_MAX, "4M",
	  "Room for waiting data sets of one observation domain." },
	{ "hold_bytes", CONF_SIZE, CONF_RESTART, AT(hold_bytes), 0, INT64_MAX, "64M",
	  "Room for all waiting data sets, an equal part of it for each worker; half of it is for observation "
	  "domains that have sent a template." },
	{ "template_from_port", CONF_BOOL, CONF_RESTART, AT(template_from_port), 0, 0, "false",
	  "A data set that has waited for half of hold_s, from a port that sends no templates, is read by the template of "
	  "another port of its address and domain: when one has it and sends no such data, and the set's length fits." },
	{ "streams_max", CONF_U32, CONF_LIVE, AT(streams_max), 1, 1000000, "4096",
	  "Connections (tcp) in all; who connects beyond is closed at once." },
	{ "streams_address_max", CONF_U32, CONF_LIVE, AT(streams_address_max), 0, 1000000, "64",
	  "Connections of one address; 0: no limit but that of all." },
	{ "stream_header_s", CONF_U32, CONF_LIVE, AT(stream_header_s), 0, 86400, "300",
	  "A connection has so long for its first whole message header; 0: any time." },
	{ "stream_message_s", CONF_U32, CONF_LIVE, AT(stream_message_s), 0, 86400, "30",
	  "A message on a stream has so long from its first octet to its last; 0: any time." },
	{ "stream_idle_s", CONF_U32, CONF_LIVE, AT(stream_idle_s), 0, 31536000, "7200",
	  "A connection on which nothing came for so long is closed; 0: none is." },
	{ "stream_keepalive_s", CONF_U32, CONF_LIVE, AT(stream_keepalive_s), 0, 32767, "60",
	  "After so long a silence the kernel asks whether the other end of a new connection is still there; 0: never." },
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
	  "Folder of name tables (*.tsv); services.tsv is the enricher service's." },
	{ "raw", CONF_ENUM, CONF_LIVE, AT(raw), 0, 0, "unpromoted",
	  "What the raw layer holds: elements that no field carries, all elements, those that no "
	  "field carries and the record's octets, or nothing.",
	  0, raw_modes, NULL, 0, NULL },
	{ "joins_max", CONF_U32, CONF_LIVE, AT(joins_max), 0, 10000000, "65536",
	  "Interfaces, applications, samplers and VRFs that options data of one observation domain may name, for "
	  "flows to take up." },
	{ "joins_all_max", CONF_U32, CONF_LIVE, AT(joins_all_max), 0, 1000000000, "1048576",
	  "The same, of all observation domains that one worker has; each takes up to 1 KiB of memory." },
	{ .key = "enrich",
	  .type = CONF_STRINGS,
	  .reload = CONF_LIVE,
	  .at = AT(enrich),
	  .preset = "network,service,community_id,derived",
	  .doc = "Enrichers: network, service, community_id, ndpi, derived, totals, time; they run in this order.",
	  .count_at = AT(enrich_count),
	  .check = enrich_check },
	{ "network", CONF_GROUP, CONF_LIVE, AT(network), 0, 0, NULL,
	  "Options of the enricher network.", 0, NULL, enrich_network_options, 0, NULL },
	{ "derived", CONF_GROUP, CONF_LIVE, AT(derived), 0, 0, NULL,
	  "Options of the enricher derived.", 0, NULL, enrich_derived_options, 0, NULL },
	{ "community_id", CONF_GROUP, CONF_LIVE, AT(community_id), 0, 0, NULL,
	  "Options of the enricher community_id.", 0, NULL, enrich_community_id_options, 0, NULL },
	{ "ndpi", CONF_GROUP, CONF_LIVE, AT(ndpi), 0, 0, NULL, "Options of the enricher ndpi.", 0,
	  NULL, enrich_ndpi_options, 0, NULL },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct log_options, member)
static const struct conf_opt log_table[] = {
	{ "max_bytes", CONF_SIZE, CONF_RESTART, AT(max_bytes), 1 << 20, INT64_MAX, "10G",
	  "Room on disk for records that sinks have not made safe, of all workers together." },
	{ "memory_bytes", CONF_SIZE, CONF_RESTART, AT(memory_bytes), 1 << 20, INT64_MAX, "128M",
	  "Memory for records that are not on disk yet, or that sinks are about to read." },
	{ "policy", CONF_ENUM, CONF_RESTART, AT(policy), 0, 0, "block",
	  "When it is full: the newest records are dropped, or the oldest.", 0, policies, NULL, 0,
	  NULL },
	{ "sync", CONF_ENUM, CONF_RESTART, AT(sync), 0, 0, "group",
	  "When records are durable: synced in groups, at most 100 ms or 4 MiB late; each message at once; "
	  "written, and synced when the system likes to; off: never, the log is in memory only.",
	  0, syncs, NULL, 0, NULL },
	{ "max_age_s", CONF_U32, CONF_RESTART, AT(max_age_s), 0, UINT32_MAX, "0",
	  "Records older than this go, read or not; 0: none do." },
	{ "min_free", CONF_SIZE, CONF_RESTART, AT(min_free_bytes), 0, INT64_MAX, "64M",
	  "What the log leaves free of its file system: below it, the log is full." },
	{ "codec", CONF_ENUM, CONF_RESTART, AT(codec), 0, 0, "none",
	  "Compression on disk: none, lz4 or zstd.", 0, log_codecs, NULL, 0, NULL },
	{ 0 },
};
#undef AT

#define AT(member) offsetof(struct dead_options, member)
static const struct conf_opt dead_table[] = {
	{ "max_bytes", CONF_SIZE, CONF_RESTART, AT(max_bytes), 1 << 20, INT64_MAX, "256M",
	  "Room for dead letters; the oldest make room for new ones." },
	{ "rate", CONF_U32, CONF_RESTART, AT(rate), 0, UINT32_MAX, "1000",
	  "Sets and messages that each worker may put there in a second, malformed messages half as many; "
	  "more are counted, and gone." },
	{ "rate_bytes", CONF_SIZE, CONF_RESTART, AT(rate_bytes), 0, INT64_MAX, "4M",
	  "Octets of them." },
	{ .key = "sinks",
	  .type = CONF_LIST,
	  .at = AT(sinks),
	  .count_at = AT(sink_count),
	  .sub = dead_sink_table,
	  .sub_bytes = sizeof(struct sink_options),
	  .doc = "Where dead letters go, besides staying for `sluicectl replay`.",
	  .check_entry = check_sink },
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
	{ .key = "workers",
	  .type = CONF_STRING,
	  .at = AT(workers),
	  .min = 1,
	  .max = 16,
	  .preset = "auto",
	  .doc = "Worker threads; auto: half the cores.",
	  .check = check_workers },
	{ "shutdown_s", CONF_U32, CONF_LIVE, AT(shutdown_s), 0, 3600, "10",
	  "How long a stop may read what sockets hold, and wait for sinks." },
	CONF_ENUM_ROW("log_level", struct options, log_level, CONF_LIVE, levels, "info",
		      "Lines on standard error: this level and those before it."),
	{ "health_s", CONF_U32, CONF_LIVE, AT(health_s), 0, 86400, "30",
	  "Seconds from one `sluiced.health` line, of level info, to the next; 0: none." },
	{ .key = "listen",
	  .type = CONF_LIST,
	  .reload = CONF_LIVE,
	  .at = AT(listens),
	  .count_at = AT(listen_count),
	  .sub = listen_table,
	  .sub_bytes = sizeof(struct listen_options),
	  .doc = "Where messages come in. A reload opens what is new, and empties and closes what is gone or changed; "
		 "other entries are not touched.",
	  .check_entry = check_listen },
	{ .key = "tee",
	  .type = CONF_LIST,
	  .reload = CONF_LIVE,
	  .at = AT(tees),
	  .count_at = AT(tee_count),
	  .sub = tee_table,
	  .sub_bytes = sizeof(struct tee_options),
	  .doc = "Where received datagrams go on to, unchanged: other collectors.",
	  .check_entry = check_tee },
	{ .key = "exporters",
	  .type = CONF_LIST,
	  .reload = CONF_LIVE,
	  .at = AT(exporters),
	  .count_at = AT(exporter_count),
	  .sub = exporter_table,
	  .sub_bytes = sizeof(struct exporter_options),
	  .doc = "What is known of exporters; the first entry that holds is taken.",
	  .check_entry = check_exporter },
	CONF_GROUP_ROW("collector", struct options, collector, collector_table,
		       "From octets to records."),
	CONF_GROUP_ROW("normalizer", struct options, normalizer, normalizer_table,
		       "From records to flow events."),
	CONF_GROUP_ROW("log", struct options, log, log_table, "Between workers and sinks."),
	{ .key = "sinks",
	  .type = CONF_LIST,
	  .at = AT(sinks),
	  .count_at = AT(sink_count),
	  .sub = sink_table,
	  .sub_bytes = sizeof(struct sink_options),
	  .doc = "Where flow events go, each at its own pace.",
	  .check_entry = check_sink },
	CONF_GROUP_ROW("dead_letter", struct options, dead_letter, dead_table,
		       "What could not be decoded, and what sinks refused for good."),
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

struct stream_limits options_stream_limits(const struct options *o)
{
	const struct collector_options *c = &o->collector;

	return (struct stream_limits){ .connections_max = c->streams_max,
				       .address_max = c->streams_address_max,
				       .header_s = c->stream_header_s,
				       .message_s = c->stream_message_s,
				       .idle_s = c->stream_idle_s,
				       .keepalive_s = c->stream_keepalive_s };
}

unsigned options_workers(const struct options *o)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (strcmp(o->workers, "auto") != 0)
		return (unsigned)strtoul(o->workers, NULL, 10);
	return cores < 4 ? 1 : (unsigned)cores / 2;
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
	o->path = path;
	e = options_check(o, why);
	if (e != ERR_OK) {
		options_free(o);
		return e;
	}
	*out = o;
	return ERR_OK;
}
