/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - what came in = what went out + what was lost, line by line.
 *
 * Each side of a line is a list of disjoint terms that add up to it; the rows of one drop table are one
 * term.  At rest every difference is 0; while flows pass it is what is in flight.
 *
 *	ledger_take(&sources, &ledger)		sums the counters of all workers and sinks
 *	ledger_json(&ledger, json)
 *
 * Owner: the caller.
 */
#ifndef DAEMON_LEDGER_H
#define DAEMON_LEDGER_H

#include <stdio.h>

#include "base/json.h"
#include "daemon/worker.h"
#include "sink/dead.h"
#include "sink/sink.h"

#define LEDGER_TERMS_MAX 12
#define LEDGER_LINES_MAX 80
#define LEDGER_NAME_BYTES 96

struct ledger_term {
	const char *name;
	uint64_t value;
};

struct ledger_line {
	char name[LEDGER_NAME_BYTES];
	struct ledger_term left[LEDGER_TERMS_MAX];
	struct ledger_term right[LEDGER_TERMS_MAX];
	size_t left_count;
	size_t right_count;
	uint64_t left_sum;
	uint64_t right_sum;
};

struct ledger {
	struct ledger_line lines[LEDGER_LINES_MAX];
	size_t line_count;
	bool is_balanced;
	uint64_t lost; /* flows dropped after decoding, and records that sinks did not deliver */
};

struct ledger_sources {
	struct workers *workers;
	const struct sinks *sinks;
	struct dead *dead;
	const struct sinks *dead_sinks;
};

/* Each worker is asked between two messages, so that its lines balance while flows pass. */
void ledger_take(const struct ledger_sources *from, struct ledger *out);
/* Members "ok" and "lines" of an open object. */
void ledger_json(const struct ledger *ledger, struct json *out);
/* The same for people, on a stream. */
void ledger_print(const struct ledger *ledger, FILE *out);

#endif
