/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich_service.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "normalizer/table.h"

#define PORTS 65536u
#define NAMES_MAX 65535u /* a number of two octets, 0 is none */
#define NAME_BYTES_MAX 64u
#define TABLES_DIR "templates/tables"
#define FILE_NAME "services.tsv"
#define SYN 0x02
#define ACK 0x10

enum protocol { WITHOUT_PORTS, TCP, UDP, SCTP, DCCP, PROTOCOLS };

/* By IANA's number; UDP-Lite has UDP's services. */
static const uint8_t protocols[256] = {
	[6] = TCP, [17] = UDP, [33] = DCCP, [132] = SCTP, [136] = UDP
};
static const char *const protocol_names[PROTOCOLS] = { NULL, "tcp", "udp", "sctp", "dccp" };

static const struct text unknown = { "unknown", 7 };

struct enrich_service {
	struct text *names; /* from 1 */
	size_t name_count;
	size_t room;
	uint16_t by_port[PROTOCOLS][PORTS]; /* number of the name, 0: none */
};

enum side { SIDE_NONE, SIDE_SOURCE, SIDE_DESTINATION };

/* What tells which side is the server. */
#define SIDE                                                                                       \
	"src_port, dst_port, protocol_number, biflow_direction, reverse_bytes, reverse_packets, "  \
	"reverse_bytes_total, reverse_packets_total, tcp_flags, tcp_flags_forward, services.tsv"
const struct feed enrich_service_feeds[] = {
	{ F_server_ip, NULL, "src_ip, dst_ip, " SIDE },
	{ F_server_port, NULL, SIDE },
	{ F_service_name, NULL, SIDE },
	{ 0 },
};

void enrich_service_free(void *self)
{
	struct enrich_service *s = self;

	if (s == NULL)
		return;
	for (size_t i = 1; i <= s->name_count; i++)
		free((char *)s->names[i].octets);
	free(s->names);
	free(s);
}

static enum err add_name(struct enrich_service *s, const char *name, size_t bytes)
{
	char *copy;

	if (s->name_count + 1 >= s->room) {
		size_t room = s->room == 0 ? 1024 : s->room * 2;
		struct text *names = realloc(s->names, room * sizeof(*names));

		if (names == NULL)
			return ERR_NOMEM;
		s->names = names;
		s->room = room;
	}
	copy = strndup(name, bytes);
	if (copy == NULL)
		return ERR_NOMEM;
	s->names[++s->name_count] = (struct text){ copy, (uint32_t)bytes };
	return ERR_OK;
}

static enum protocol find_protocol(const char *name, size_t bytes)
{
	for (enum protocol p = TCP; p < PROTOCOLS; p++) {
		if (strlen(protocol_names[p]) == bytes &&
		    memcmp(protocol_names[p], name, bytes) == 0)
			return p;
	}
	return WITHOUT_PORTS;
}

/* The cell of protocols, comma separated. */
static enum err set_ports(struct enrich_service *s, uint32_t port, const char *cell,
			  const struct table_place *place, struct why *why)
{
	const char *end = cell + strcspn(cell, "\t");

	for (const char *at = cell; at <= end;) {
		size_t bytes = strcspn(at, ",\t");
		enum protocol p = find_protocol(at, bytes);

		if (p == WITHOUT_PORTS)
			return why_set(
				why, ERR_CONF, "%s:%u: `%.*s' is none of tcp, udp, sctp and dccp",
				place->path, place->line, (int)(bytes > 32 ? 32 : bytes), at);
		if (s->by_port[p][port] != 0)
			return why_set(why, ERR_CONF, "%s:%u: %s port %u has a name already",
				       place->path, place->line, protocol_names[p], port);
		s->by_port[p][port] = (uint16_t)s->name_count;
		at += bytes + 1;
	}
	return ERR_OK;
}

static enum err take_row(void *ctx, uint32_t number, const char *rest,
			 const struct table_place *place, struct why *why)
{
	struct enrich_service *s = ctx;
	size_t bytes = table_name(rest, place, why);

	if (bytes == 0)
		return ERR_CONF;
	if (number == 0 || number >= PORTS)
		return why_set(why, ERR_CONF, "%s:%u: a port is 1 to 65535", place->path,
			       place->line);
	if (bytes > NAME_BYTES_MAX)
		return why_set(why, ERR_CONF, "%s:%u: a name of more than %u octets", place->path,
			       place->line, NAME_BYTES_MAX);
	if (rest[bytes] != '\t')
		return why_set(why, ERR_CONF, "%s:%u: no protocols behind the name", place->path,
			       place->line);
	if (s->name_count == NAMES_MAX)
		return why_set(why, ERR_CONF, "%s:%u: more than %u rows", place->path, place->line,
			       NAMES_MAX);
	TRY(add_name(s, rest, bytes));
	return set_ports(s, number, rest + bytes + 1, place, why);
}

enum err enrich_service_load(const void *conf, struct why *why, void **out)
{
	const struct enrich_service_conf *c = conf;
	struct enrich_service *s;
	char path[PATH_MAX];
	int bytes = snprintf(path, sizeof(path), "%s/%s", c == NULL ? TABLES_DIR : c->tables_dir,
			     FILE_NAME);
	enum err e;

	if (bytes < 0 || (size_t)bytes >= sizeof(path))
		return why_set(why, ERR_CONF, "the folder of tables has too long a name");
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return why_set(why, ERR_NOMEM, "no memory for %s", path);
	e = table_each(path, take_row, s, why);
	if (e != ERR_OK) {
		enrich_service_free(s);
		return e;
	}
	*out = s;
	return ERR_OK;
}

static bool is_counted(const struct flow *f, unsigned field)
{
	return flow_has(f, field) && f->slots[field].i64 > 0;
}

static bool asks(const struct flow *f, unsigned field)
{
	return flow_has(f, field) && (f->slots[field].i64 & (SYN | ACK)) == SYN;
}

/* What the exporter tells of who began; SIDE_NONE: nothing. */
static enum side server_told(const struct flow *f, enum protocol p)
{
	int64_t direction = flow_has(f, F_biflow_direction) ? f->slots[F_biflow_direction].i64 : 0;

	if (direction == 2)
		return SIDE_SOURCE;
	if (direction == 1 || is_counted(f, F_reverse_packets) || is_counted(f, F_reverse_bytes) ||
	    is_counted(f, F_reverse_packets_total) || is_counted(f, F_reverse_bytes_total))
		return SIDE_DESTINATION;
	if (p == TCP && (asks(f, F_tcp_flags_forward) || asks(f, F_tcp_flags)))
		return SIDE_DESTINATION;
	return SIDE_NONE;
}

static enum side server_by_ports(const uint16_t *by_port, unsigned src, unsigned dst)
{
	bool is_src = by_port[src] != 0;
	bool is_dst = by_port[dst] != 0;

	if (is_src != is_dst)
		return is_src ? SIDE_SOURCE : SIDE_DESTINATION;
	if (src == 0 || dst == 0)
		return SIDE_NONE;
	return src < dst ? SIDE_SOURCE : SIDE_DESTINATION;
}

static void set_server(struct flow *f, unsigned ip, unsigned port)
{
	if (flow_has(f, ip))
		flow_set_octets(f, F_server_ip, f->slots[ip].octets, f->slots[ip].bytes);
	if (port != 0)
		flow_set_i64(f, F_server_port, port);
}

static unsigned port_of(const struct flow *f, unsigned field)
{
	return flow_has(f, field) ? (unsigned)f->slots[field].i64 & (PORTS - 1) : 0;
}

static void enrich_one(const struct enrich_service *s, struct flow *f)
{
	int64_t number = f->slots[F_protocol_number].i64;
	unsigned src = port_of(f, F_src_port);
	unsigned dst = port_of(f, F_dst_port);
	const uint16_t *by_port;
	const struct text *name = &unknown;
	enum protocol p;
	enum side server;
	unsigned found;

	if (!flow_has(f, F_protocol_number) || number < 0 || number > 255)
		return;
	p = (enum protocol)protocols[number];
	if (p == WITHOUT_PORTS)
		return;
	by_port = s->by_port[p];
	server = server_told(f, p);
	if (server == SIDE_NONE)
		server = server_by_ports(by_port, src, dst);
	if (server == SIDE_SOURCE)
		set_server(f, F_src_ip, src);
	if (server == SIDE_DESTINATION)
		set_server(f, F_dst_ip, dst);
	if (src == 0 && dst == 0)
		return;
	found = server == SIDE_SOURCE ? by_port[src] : by_port[dst];
	if (found == 0)
		found = server == SIDE_SOURCE ? by_port[dst] : by_port[src];
	if (found != 0)
		name = &s->names[found];
	flow_set_octets(f, F_service_name, name->octets, name->bytes);
}

void enrich_service_run(const void *self, const struct enrich_context *context, struct flow *flows,
			size_t count)
{
	(void)context;
	for (size_t i = 0; i < count; i++)
		enrich_one(self, &flows[i]);
}
