/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - records as JSON lines, for sinks that write text.
 *
 *	lines_init(&l, hub)
 *	lines_put(&l, schema, payload, bytes)	appends one line to l.text; absent fields are left out
 *	l.bytes = 0				when it was written
 *	lines_fini(&l)
 *
 * Follows the schema of each frame, also of generations that have gone.
 *
 * Owner: the sink.
 */
#ifndef SINK_LINES_H
#define SINK_LINES_H

#include <stdbool.h>

#include "base/json.h"
#include "sink/log.h"

struct lines {
	char *text;
	size_t bytes;
	size_t room;
	struct log_hub *hub;
	struct field_set *fields; /* of schema; NULL: that of dead letters */
	bool has_schema;
	uint32_t schema;
	struct json json;
};

void lines_init(struct lines *l, struct log_hub *hub);
void lines_fini(struct lines *l);
/* ERR_FORMAT: not a record of that schema, nothing was appended.  ERR_NOMEM. */
enum err lines_put(struct lines *l, uint32_t schema, const uint8_t *payload, size_t bytes);

#endif
