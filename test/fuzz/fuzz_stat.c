/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no text crashes the reader of counters; what it takes writes and reads back the same, and what it
 * refuses leaves the values as they were.
 * Method: the input as a text, against the collector's table.
 */
#include <string.h>

#include "base/must.h"
#include "base/stat_text.h"
#include "collector/collector.h"

#define UNTOUCHED 0xa5

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	uint64_t values[COLLECTOR_STAT_COUNT];
	uint64_t again[COLLECTOR_STAT_COUNT];
	struct stat_table table = { collector_stat_descs, values, COLLECTOR_STAT_COUNT };
	struct stat_text_counts counts;
	char text[COLLECTOR_STAT_COUNT * STAT_TEXT_LINE_MAX];
	struct wr w = wr_of(text, sizeof(text));

	memset(values, UNTOUCHED, sizeof(values));
	memcpy(again, values, sizeof(values));
	if (stat_text_read((const char *)octets, bytes, &table, 1, &counts, NULL) != ERR_OK) {
		must(memcmp(values, again, sizeof(values)) == 0);
		return 0;
	}
	stat_text_write(&table, &w);
	must(!w.is_full);
	table.values = again;
	must(stat_text_read(text, wr_used(&w), &table, 1, &counts, NULL) == ERR_OK);
	must(counts.unknown == 0);
	must(memcmp(values, again, sizeof(values)) == 0);
	return 0;
}
