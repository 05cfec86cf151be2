/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what exporters say of themselves in options data: how much they exported, and what they lost before
 * (RFC 7011, 4.1 to 4.3), and which elements are the keys of their flows (4.4).
 *
 *	if (report_is_of(t))				once for a set
 *		report_take(&r, t, values, ms, has_room, &taken)	for each record
 *
 *	process	| metering 1 | exporting 1 |	each counts for itself
 *	totals	| first ... last, and what was added in between
 *
 * Totals count from when the exporter began, so what counts for us is what is added after the first one that we saw.
 * One that is lower than before began anew, or went round where it has 32 bits.
 *
 * Owner: the worker, of one per session.  Lifetime: the session.
 */
#ifndef NORMALIZER_REPORT_H
#define NORMALIZER_REPORT_H

#include "collector/tmpl.h"

#define REPORT_PROCESSES_MAX 8 /* of a session; more are counted, and not taken */
#define REPORT_PROCESS_BYTES 40

/* Of the elements 40, 41, 42 and 164 to 168. */
enum report_kind {
	REPORT_EXPORTED_OCTETS,
	REPORT_EXPORTED_MESSAGES,
	REPORT_EXPORTED_FLOWS,
	REPORT_IGNORED_PACKETS,
	REPORT_IGNORED_OCTETS,
	REPORT_NOT_SENT_FLOWS,
	REPORT_NOT_SENT_PACKETS,
	REPORT_NOT_SENT_OCTETS,
	REPORT_KINDS
};

struct report_total {
	bool is_said;
	uint64_t last;
	uint64_t added; /* since the first */
};

/* One process, line card or whatever the scope says: scopes that differ count apart. */
struct report_process {
	uint64_t scope; /* hash */
	char name[REPORT_PROCESS_BYTES];
	int64_t export_ms; /* of the last one */
	struct report_total totals[REPORT_KINDS];
};

struct report {
	size_t count;
	struct report_process processes[];
};

struct report_taken {
	uint64_t added[REPORT_KINDS];
	bool is_new;  /* a process more */
	bool is_over; /* there is no room for it */
	bool has_keys;
	uint16_t keys_of; /* template */
	uint64_t keys;	  /* bit n: its element n is a key of flows */
};

const char *report_name(enum report_kind kind);

/* Is there anything of it in the template? */
bool report_is_of(const struct tmpl *t);
/* One value for each field of `t`; *r is NULL before the first.  Without room, or memory, only for processes that are known. */
void report_take(struct report **r, const struct tmpl *t, const struct value *values,
		 int64_t export_ms, bool has_room, struct report_taken *out);

#endif
