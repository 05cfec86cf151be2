/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/enrich_time.h"

#define DAY_MS INT64_C(86400000)
#define DAYS_MAX INT64_C(2932896) /* 9999-12-31 */

/* Year, month and day of a day number since 1970, by the proleptic Gregorian calendar: whole 400-year
 * cycles first, years that begin in March, so that the leap day is the last. */
static void civil(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
	int64_t shifted = days + 719468; /* since 0000-03-01 */
	int64_t cycle = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t in_cycle = shifted - cycle * 146097;
	int64_t y = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
	int64_t in_year = in_cycle - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * in_year + 2) / 153;

	*day = in_year - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = y + cycle * 400 + (*month <= 2);
}

const struct feed enrich_time_feeds[] = {
	{ F_event_hour, NULL, "event_time" },
	{ F_event_year, NULL, "event_time" },
	{ F_event_month, NULL, "event_time" },
	{ F_event_day, NULL, "event_time" },
	{ F_event_weekday, NULL, "event_time" },
	{ F_event_date, NULL, "event_time" },
	{ 0 },
};

enum err enrich_time_load(const void *conf, struct why *why, void **out)
{
	(void)conf;
	(void)why;
	*out = NULL;
	return ERR_OK;
}

void enrich_time_free(void *self)
{
	(void)self;
}

static void enrich_one(struct flow *f)
{
	int64_t ms = f->slots[F_event_time].i64;
	int64_t days = (ms >= 0 ? ms : ms - (DAY_MS - 1)) / DAY_MS;
	int64_t year;
	int64_t month;
	int64_t day;

	if (!flow_has(f, F_event_time) || days > DAYS_MAX || days < -DAYS_MAX)
		return;
	civil(days, &year, &month, &day);
	flow_set_i64(f, F_event_hour, (ms - days * DAY_MS) / 3600000);
	flow_set_i64(f, F_event_year, year);
	flow_set_i64(f, F_event_month, month);
	flow_set_i64(f, F_event_day, day);
	/* 1970-01-01 was a Thursday. */
	flow_set_i64(f, F_event_weekday, ((days % 7) + 11) % 7);
	flow_set_i64(f, F_event_date, days);
}

void enrich_time_run(const void *self, const struct enrich_context *context, struct flow *flows,
		     size_t count)
{
	(void)self;
	(void)context;
	for (size_t i = 0; i < count; i++)
		enrich_one(&flows[i]);
}
