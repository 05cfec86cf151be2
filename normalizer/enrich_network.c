/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich_network.h"

#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/rd.h"

#define HOME_NETWORKS_MAX 1024

struct network {
	struct addr net;
	unsigned bits;
};

struct enrich_network {
	struct network *homes;
	size_t home_count;
};

static const struct text scope_texts[SCOPE_COUNT] = {
	[SCOPE_GLOBAL] = { "global", 6 },	   [SCOPE_LOOPBACK] = { "loopback", 8 },
	[SCOPE_LINK_LOCAL] = { "link_local", 10 }, [SCOPE_PRIVATE] = { "private", 7 },
	[SCOPE_SHARED] = { "shared", 6 },	   [SCOPE_MULTICAST] = { "multicast", 9 },
	[SCOPE_BROADCAST] = { "broadcast", 9 },	   [SCOPE_DOCUMENTATION] = { "documentation", 13 },
	[SCOPE_RESERVED] = { "reserved", 8 },
};

enum direction { OUTBOUND, INBOUND, INTERNAL, EXTERNAL, UNKNOWN, DIRECTION_COUNT };
static const struct text direction_texts[DIRECTION_COUNT] = {
	[OUTBOUND] = { "outbound", 8 }, [INBOUND] = { "inbound", 7 },
	[INTERNAL] = { "internal", 8 }, [EXTERNAL] = { "external", 8 },
	[UNKNOWN] = { "unknown", 7 },
};

/* Longest first where they nest; whole registry of IPv4 special-purpose blocks that matter here. */
static const struct {
	uint32_t net;
	uint32_t mask;
	enum scope scope;
} v4_scopes[] = {
	{ 0xffffffff, 0xffffffff, SCOPE_BROADCAST },
	{ 0x0a000000, 0xff000000, SCOPE_PRIVATE },
	{ 0xac100000, 0xfff00000, SCOPE_PRIVATE },
	{ 0xc0a80000, 0xffff0000, SCOPE_PRIVATE },
	{ 0x7f000000, 0xff000000, SCOPE_LOOPBACK },
	{ 0xa9fe0000, 0xffff0000, SCOPE_LINK_LOCAL },
	{ 0x64400000, 0xffc00000, SCOPE_SHARED },
	{ 0xe0000000, 0xf0000000, SCOPE_MULTICAST },
	{ 0xc0000200, 0xffffff00, SCOPE_DOCUMENTATION },
	{ 0xc6336400, 0xffffff00, SCOPE_DOCUMENTATION },
	{ 0xcb007100, 0xffffff00, SCOPE_DOCUMENTATION },
	{ 0xc0000000, 0xffffff00, SCOPE_RESERVED },
	{ 0xc6120000, 0xfffe0000, SCOPE_RESERVED },
	{ 0x00000000, 0xff000000, SCOPE_RESERVED },
	{ 0xf0000000, 0xf0000000, SCOPE_RESERVED },
};

const struct feed enrich_network_feeds[] = {
	{ F_src_ip_is_private, NULL, "src_ip" },
	{ F_dst_ip_is_private, NULL, "dst_ip" },
	{ F_src_ip_scope, NULL, "src_ip" },
	{ F_dst_ip_scope, NULL, "dst_ip" },
	{ F_direction, NULL, "src_ip, dst_ip, normalizer.network.home_networks" },
	{ F_exporter_name, NULL, "exporters[].name" },
	{ F_exporter_site, NULL, "exporters[].site" },
	{ F_in_interface_alias, NULL, "in_interface" },
	{ F_out_interface_alias, NULL, "out_interface" },
	{ 0 },
};

const struct conf_opt enrich_network_options[] = {
	CONF_STRINGS_ROW("home_networks", struct enrich_network_conf, home_networks,
			 home_network_count, CONF_LIVE,
			 "Networks that are at home, as CIDR; none: private addresses are."),
	{ 0 },
};

static enum scope v4_scope(uint32_t a)
{
	for (size_t i = 0; i < sizeof(v4_scopes) / sizeof(v4_scopes[0]); i++) {
		if ((a & v4_scopes[i].mask) == v4_scopes[i].net)
			return v4_scopes[i].scope;
	}
	return SCOPE_GLOBAL;
}

static enum scope v6_scope(const uint8_t *octets)
{
	uint64_t high = be64(octets);
	uint64_t low = be64(octets + 8);

	if (high == 0 && low == 1)
		return SCOPE_LOOPBACK;
	if (high == 0 && low >> 32 == 0xffff)
		return v4_scope((uint32_t)low);
	if (octets[0] == 0xff)
		return SCOPE_MULTICAST;
	if (high >> 54 == 0xfe80 >> 6)
		return SCOPE_LINK_LOCAL;
	if ((octets[0] & 0xfe) == 0xfc)
		return SCOPE_PRIVATE;
	if (high >> 32 == 0x20010db8 || high >> 44 == 0x3fff0)
		return SCOPE_DOCUMENTATION;
	return octets[0] >> 5 == 1 ? SCOPE_GLOBAL : SCOPE_RESERVED;
}

enum scope network_scope(const uint8_t *octets, uint32_t bytes)
{
	return bytes == 4 ? v4_scope(be32(octets)) : v6_scope(octets);
}

static bool is_private(enum scope scope)
{
	return scope == SCOPE_PRIVATE || scope == SCOPE_SHARED || scope == SCOPE_LOOPBACK ||
	       scope == SCOPE_LINK_LOCAL;
}

void enrich_network_free(void *self)
{
	struct enrich_network *n = self;

	if (n == NULL)
		return;
	free(n->homes);
	free(n);
}

enum err enrich_network_load(const void *conf, struct why *why, void **out)
{
	const struct enrich_network_conf *c = conf;
	size_t count = c == NULL ? 0 : c->home_network_count;
	struct enrich_network *n;

	if (count > HOME_NETWORKS_MAX)
		return why_set(why, ERR_CONF, "more than %d home_networks", HOME_NETWORKS_MAX);
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return ERR_NOMEM;
	n->homes = calloc(count + 1, sizeof(*n->homes));
	if (n->homes == NULL) {
		enrich_network_free(n);
		return ERR_NOMEM;
	}
	for (; n->home_count < count; n->home_count++) {
		struct network *home = &n->homes[n->home_count];
		const char *text = c->home_networks[n->home_count];

		if (addr_parse_prefix(text, &home->net, &home->bits) != ERR_OK) {
			enrich_network_free(n);
			return why_set(why, ERR_CONF, "home_networks: `%s' is no network", text);
		}
	}
	*out = n;
	return ERR_OK;
}

static bool is_home(const struct enrich_network *n, const struct slot *slot, bool is_private_too)
{
	struct addr a;

	if (n->home_count == 0)
		return is_private_too;
	a = addr_of_octets(slot->octets, slot->bytes);
	for (size_t i = 0; i < n->home_count; i++) {
		if (addr_in_prefix(&a, &n->homes[i].net, n->homes[i].bits))
			return true;
	}
	return false;
}

static void set_text(struct flow *f, unsigned field, const struct text *text)
{
	flow_set_octets(f, field, text->octets, text->bytes);
}

static void set_direction(const struct enrich_network *n, bool src_private, bool dst_private,
			  struct flow *f)
{
	bool src = is_home(n, &f->slots[F_src_ip], src_private);
	bool dst = is_home(n, &f->slots[F_dst_ip], dst_private);

	set_text(f, F_direction,
		 &direction_texts[src ? (dst ? INTERNAL : OUTBOUND) : (dst ? INBOUND : EXTERNAL)]);
}

static bool enrich_side(struct flow *f, unsigned ip, unsigned private_field, unsigned scope_field)
{
	enum scope scope = network_scope(f->slots[ip].octets, f->slots[ip].bytes);

	flow_set_i64(f, private_field, is_private(scope));
	set_text(f, scope_field, &scope_texts[scope]);
	return is_private(scope);
}

static void enrich_one(const struct enrich_network *n, struct flow *f)
{
	bool has_src = flow_has(f, F_src_ip);
	bool has_dst = flow_has(f, F_dst_ip);
	bool src_private = false;
	bool dst_private = false;

	if (has_src)
		src_private = enrich_side(f, F_src_ip, F_src_ip_is_private, F_src_ip_scope);
	if (has_dst)
		dst_private = enrich_side(f, F_dst_ip, F_dst_ip_is_private, F_dst_ip_scope);
	if (has_src && has_dst)
		set_direction(n, src_private, dst_private, f);
	else
		set_text(f, F_direction, &direction_texts[UNKNOWN]);
}

static void enrich_exporter(const struct session *s, struct flow *f)
{
	if (s->is_named)
		flow_set_octets(f, F_exporter_name, s->identity, s->identity_bytes);
	if (s->entry != NULL && s->entry->site != NULL)
		flow_set_octets(f, F_exporter_site, s->entry->site,
				(uint32_t)strlen(s->entry->site));
}

/* What the exporter calls its interface besides its name (element 83). */
static void set_alias(struct join *const joins[JOINS], struct flow *f, unsigned interface,
		      unsigned alias)
{
	const struct join_entry *e = NULL;

	if (flow_has(f, interface))
		e = join_find_interface(joins, f->slots[interface].i64);
	if (e != NULL && e->description.bytes != 0)
		set_text(f, alias, &e->description);
}

void enrich_network_run(const void *self, const struct enrich_context *context, struct flow *flows,
			size_t count)
{
	bool has_aliases = context->joins[0] != NULL || context->joins[1] != NULL;

	for (size_t i = 0; i < count; i++) {
		enrich_one(self, &flows[i]);
		enrich_exporter(context->session, &flows[i]);
		if (!has_aliases)
			continue;
		set_alias(context->joins, &flows[i], F_in_interface, F_in_interface_alias);
		set_alias(context->joins, &flows[i], F_out_interface, F_out_interface_alias);
	}
}
