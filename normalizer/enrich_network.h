/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_network.h - what the addresses alone tell: private, scope, direction; the exporter's
 * configured name and site, and its interfaces' aliases.  A row of enrich.c's table.
 */
#ifndef NORMALIZER_ENRICH_NETWORK_H
#define NORMALIZER_ENRICH_NETWORK_H

#include "normalizer/enrich.h"

struct enrich_network_conf {
	char **home_networks; /* CIDR texts; none: private addresses are at home */
	size_t home_network_count;
};
extern const struct conf_opt enrich_network_options[];

extern const struct feed enrich_network_feeds[];
enum err enrich_network_load(const void *conf, struct why *why, void **out);
void enrich_network_run(const void *self, const struct enrich_context *context, struct flow *flows,
			size_t count);
void enrich_network_free(void *self);

/* Scope of an address of 4 or 16 octets (RFC 6890 and the registries it founded). */
enum scope {
	SCOPE_GLOBAL,
	SCOPE_LOOPBACK,
	SCOPE_LINK_LOCAL,
	SCOPE_PRIVATE,
	SCOPE_SHARED,
	SCOPE_MULTICAST,
	SCOPE_BROADCAST,
	SCOPE_DOCUMENTATION,
	SCOPE_RESERVED,
	SCOPE_COUNT
};
enum scope network_scope(const uint8_t *octets, uint32_t bytes);

#endif
