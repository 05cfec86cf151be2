/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich_ndpi.h - names of nDPI's numbers: application, category, breed, confidence; names, scores and
 * severity of flow risks.  A row of enrich.c's table.
 *
 * The tables are those of the release that the exporter's entry names, else of the option `release`.
 *
 * An app_id is nDPI's when a mapping says so: `as = "ndpi"` leaves APP_ID_NDPI in the slot's tag.  The
 * text alone does not tell (a silk label is a decimal number too), and neither do session, mapping or
 * app_confidence: one template may have IANA's applicationId beside nProbe's elements, and only the plan
 * knows which of them filled the field.
 *
 *	"7"	app 7			"5.124"		master 5, app 124
 *
 * Category and breed are the app's; of the master when the app is 0, as nDPI has it.  app_confidence and
 * risk_bitmap hold nDPI's numbers by definition.  A bitmap of 0 has no names, scores of 0 and no severity;
 * risks without a score add nothing.
 */
#ifndef NORMALIZER_ENRICH_NDPI_H
#define NORMALIZER_ENRICH_NDPI_H

#include "normalizer/enrich.h"
#include "normalizer/ndpi.h"

#define NDPI_RELEASE "2026"

struct enrich_ndpi_conf {
	char *release;
	int line;			      /* of the group in its file */
	const struct ndpi_releases *releases; /* no option: the catalog's, by whom loads */
};
extern const struct conf_opt enrich_ndpi_options[];

extern const struct feed enrich_ndpi_feeds[];

/* Without `conf` there are no tables, and nothing is enriched. */
enum err enrich_ndpi_load(const void *conf, struct why *why, void **out);
void enrich_ndpi_run(const void *self, const struct enrich_context *context, struct flow *flows,
		     size_t count);
void enrich_ndpi_free(void *self);

#endif
