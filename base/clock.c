/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

#define MS_MIN (-62167219200000LL) /* year 0 */
#define MS_MAX 253402300799999LL   /* end of year 9999 */

static int64_t now_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t clock_real_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

int64_t clock_real_ms(void)
{
	return clock_real_ns() / 1000000;
}

int64_t clock_thread_cpu_ns(void)
{
	return now_ns(CLOCK_THREAD_CPUTIME_ID);
}

void clock_text(int64_t real_ms, char out[CLOCK_TEXT_BYTES])
{
	int64_t ms = real_ms < MS_MIN ? MS_MIN : real_ms > MS_MAX ? MS_MAX : real_ms;
	int64_t sub = ((ms % 1000) + 1000) % 1000;
	time_t s = (time_t)((ms - sub) / 1000);
	struct tm tm = { 0 };
	size_t n;

	(void)gmtime_r(&s, &tm);
	n = strftime(out, CLOCK_TEXT_BYTES - 6, "%Y-%m-%dT%H:%M:%S", &tm);
	out[n] = '.';
	out[n + 1] = (char)('0' + sub / 100);
	out[n + 2] = (char)('0' + sub / 10 % 10);
	out[n + 3] = (char)('0' + sub % 10);
	out[n + 4] = 'Z';
	out[n + 5] = '\0';
}
