/* SPDX-License-Identifier: Apache-2.0 */
/*
 * samples.h - what fuzzers that take samples of sFlow have in common.
 *
 * Owner: nobody; nothing is kept.
 */
#ifndef TEST_FUZZ_SAMPLES_H
#define TEST_FUZZ_SAMPLES_H

#include "base/must.h"
#include "collector/sflow.h"
#include "collector/tmpl.h"

/* They come cut, and libfixbuf knows nothing of them: each octet of each value is read, so that a sanitizer sees one too far. */
static inline void read_values(const struct tmpl *t, const struct value *values)
{
	volatile uint8_t sum = 0;
	unsigned e = 0;

	for (uint16_t f = 0; f < t->field_count; f++, e++) {
		e = sflow_shape_next(t->shape, e);
		must(e < SFLOW_ELEMENTS);
		must(t->fields[f].bytes == TMPL_VARIABLE || t->fields[f].bytes == values[e].bytes);
		for (uint32_t n = 0; n < values[e].bytes; n++)
			sum = (uint8_t)(sum + values[e].octets[n]);
	}
}

#endif
