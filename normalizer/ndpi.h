/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ndpi.h - nDPI's names and risk scores, one set of tables for each of its releases: numbers are given anew
 * to other protocols and risks, so that a number says something only together with the release.
 *
 *	templates/tables/ndpi/<release>/protocols.tsv	id, name, enum, l4, network, breed, category
 *					categories.tsv	id, name: what may stand there as category
 *					risks.tsv	bit, name, enum, severity, score, client, server
 *					confidence.tsv	value, name
 *
 * Columns end with a tab, further ones are ignored, `#` starts a comment line.  Breed and category may be
 * empty: not known.  So may severity and scores, together; client and server make the score.
 *
 * Owner: the catalog.  Lifetime: generation; read-only.
 */
#ifndef NORMALIZER_NDPI_H
#define NORMALIZER_NDPI_H

#include "base/why.h"
#include "normalizer/flow.h"
#include "normalizer/table.h"

#define NDPI_RISKS 64 /* bits of risk_bitmap */

/* Texts without octets are not known. */
struct ndpi_protocol {
	struct text name;
	struct text breed;
	struct text category;
};

struct ndpi_risk {
	struct text name; /* risk_N where the release has none */
	int32_t score;
	int32_t client;
	int32_t server;
	uint32_t severity; /* 0: none; else higher is worse: ndpi_severities[] */
};
extern const struct text ndpi_severities[];

struct ndpi {
	char *release;
	struct ndpi_protocol *protocols; /* by id */
	size_t protocol_count;
	struct ndpi_risk risks[NDPI_RISKS];
	struct table *confidence;
	char *files[3]; /* whom the texts belong to */
};

struct ndpi_releases;

/* Every release in `tables_dir`/ndpi, or none when one is wrong: ERR_CONF with file and line.  No such
 * folder: no releases. */
enum err ndpi_load(const char *tables_dir, struct why *why, struct ndpi_releases **out);
void ndpi_free(struct ndpi_releases *releases);

/* ERR_CONF, with the nearest name, when there is no such release. */
enum err ndpi_find(const struct ndpi_releases *releases, const char *name, struct why *why,
		   const struct ndpi **out);

#endif
