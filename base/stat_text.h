/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_text.h - counters as text, to be read again by this version or another.
 *
 *	units_refused truncated 12\n		name, reason, value
 *	messages - 90210\n			a row without a reason
 *
 *	stat_text_write(&table, &wr);
 *	stat_text_read(text, bytes, tables, table_count, &counts, &why);
 *
 * Levels are neither written nor taken: what they tell of is gone with the process that wrote them.  Rows that the
 * text does not name are 0, and lines that no table knows are counted and passed over, so that a file outlives
 * new rows and old ones.
 *
 * Owner: the caller.
 */
#ifndef BASE_STAT_TEXT_H
#define BASE_STAT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/stat.h"
#include "base/why.h"
#include "base/wr.h"

#define STAT_TEXT_WORD_MAX 64	      /* octets of a name, or of a reason */
#define STAT_TEXT_VALUE_MAX INT64_MAX /* no counter comes so far; JSON holds no more */
#define STAT_TEXT_LINE_MAX (2 * STAT_TEXT_WORD_MAX + 22)

/* The rows of one room, and their values as plain numbers. */
struct stat_table {
	const struct stat_desc *descs;
	uint64_t *values;
	size_t count;
};

struct stat_text_counts {
	size_t taken;
	size_t unknown; /* of other versions, or levels */
};

/* A line for each row; sets w->is_full when there is no room. */
void stat_text_write(const struct stat_table *table, struct wr *w);

/*
 * Any octets may come; nothing else than such lines, each ended, is taken, and then no value is touched.
 * ERR_FORMAT, and `why` names the line.  `counts` may be NULL.
 */
enum err stat_text_read(const char *text, size_t bytes, const struct stat_table *tables,
			size_t table_count, struct stat_text_counts *counts, struct why *why);

#endif
