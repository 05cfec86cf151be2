/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - where the records of a message's data sets begin and end.
 *
 *	records  | 0 | 1 | 2 | 3 | 4 |	 in place in the datagram
 *	runs	 [ 0 of 3   ][ 3 of 2 ]	 one for each data set
 *
 * Owner: the collector.  Lifetime: the room, process; what it holds, the message under way.
 */
#ifndef COLLECTOR_WALK_H
#define COLLECTOR_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rd.h"
#include "collector/message.h"
#include "collector/tmpl.h"

/* The largest message holds no more records (of one octet), sets and definitions than this. */
#define WALK_RECORDS_MAX 65536u
#define WALK_SETS_MAX 16384u

/* The records of one data set. */
struct set_run {
	struct tmpl *tmpl;
	uint32_t first;
	uint32_t count;
	const uint8_t *end; /* of the set */
	uint64_t changes;   /* of templates, by then */
};

struct walk {
	struct record *records; /* room for WALK_RECORDS_MAX */
	uint32_t record_count;
	struct set_run *runs; /* room for WALK_SETS_MAX */
	uint32_t run_count;
};

/* Finds the records of a data set, as runs[run_count], which the caller takes by counting it; false
 * when one runs over the set. */
bool walk_set(struct walk *w, const struct message *m, struct tmpl *t, struct rd body);

/*
 * v9 pads sets to 4 octets (RFC 3954, 5.3), and a record of 3 octets or fewer can look like padding.
 * `record_count` decides, the header's count less its definitions: records that it does not know of are
 * padding when they can be, and when there is no doubt which they are.
 */
void walk_trim_nf9(struct walk *w, uint32_t record_count);

#endif
