/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_service.h - which side of a flow is the server, and the name of its service.  A row of enrich.c's
 * table.
 *
 * Flows of TCP, UDP, SCTP, DCCP and UDP-Lite only; port 0 is no port: fragments have it.  The server is, the
 * first that holds:
 *
 *	1. the source, when biflow_direction is 2 (reverse initiator); the destination, when it is 1
 *	2. the destination, when the exporter counted octets or packets of the other direction too: who
 *	   counts both takes the side that began for the source
 *	3. the destination, when the source's TCP flags have SYN without ACK: it asks
 *	4. the only side whose port is in the service table
 *	5. the side with the lower port
 *	6. the destination, when both ports are the same
 *
 * 4 and 5 need both ports, but a single port that is in the table is the server's.
 * service_name goes by the server's port, then by the other one, else it is `unknown`.
 *
 * The table is services.tsv of the folder of tables: port, name, protocols.  A port finds its row by index.
 */
#ifndef NORMALIZER_ENRICH_SERVICE_H
#define NORMALIZER_ENRICH_SERVICE_H

#include "normalizer/enrich.h"

struct enrich_service_conf {
	const char *tables_dir;
};

extern const struct feed enrich_service_feeds[];

/* Without `conf` from templates/tables.  ERR_CONF with file and line when a row is wrong. */
enum err enrich_service_load(const void *conf, struct why *why, void **out);
void enrich_service_run(const void *self, const struct enrich_context *context, struct flow *flows,
			size_t count);
void enrich_service_free(void *self);

#endif
