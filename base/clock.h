/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - time: monotonic for lifetimes, real (UTC) for what is written down, CPU for budgets. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);
int64_t clock_real_ns(void); /* since 1970, UTC */
int64_t clock_real_ms(void);
int64_t clock_thread_cpu_ns(void);

/* "2026-01-31T12:34:56.789Z" into `out`, 25 octets at least; years 0 to 9999, else clamped. */
#define CLOCK_TEXT_BYTES 32
void clock_text(int64_t real_ms, char out[CLOCK_TEXT_BYTES]);

#endif
