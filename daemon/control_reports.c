/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/control_reports.h"

#include <stdio.h>

#include "base/clock.h"
#include "daemon/service.h"
#include "normalizer/report.h"

/* What one process of an exporter says of itself; totals that it does not say are not there. */
static void show_process(const struct session *s, const struct report_process *r, struct json *out)
{
	char said[CLOCK_TEXT_BYTES];
	char added[64];

	clock_text(r->export_ms, said);
	json_open_object(out, NULL);
	json_strn(out, "exporter", s->identity, s->identity_bytes);
	json_u64(out, "port", s->key.port);
	json_u64(out, "domain", s->key.domain);
	json_str(out, "process", r->name);
	json_str(out, "said", said);
	for (size_t i = 0; i < REPORT_KINDS; i++) {
		const struct report_total *total = &r->totals[i];
		const char *name = report_name((enum report_kind)i);

		(void)snprintf(added, sizeof(added), "%s_added", name);
		if (total->is_said) {
			json_u64(out, name, total->last);
			json_u64(out, added, total->added);
		} else {
			json_put_null(out, name);
			json_put_null(out, added);
		}
	}
	json_end(out);
}

static bool show_report(void *ctx, struct session *s)
{
	struct json *out = ctx;

	for (size_t i = 0; s->report != NULL && i < s->report->count; i++)
		show_process(s, &s->report->processes[i], out);
	return !out->is_failed;
}

static void show_worker(void *ctx, unsigned worker, struct pipeline *p)
{
	(void)worker;
	collector_each_session(pipeline_collector(p), show_report, ctx);
}

void show_reports(struct service *s, struct json *out)
{
	json_open_array(out, "reports");
	for (unsigned i = 0; i < s->worker_count; i++)
		workers_call(s->workers, i, show_worker, out);
	json_end(out);
}

void show_said(const uint64_t *pipe, struct json *out)
{
	json_open_object(out, "exporters_say");
	for (size_t i = 0; i < REPORT_KINDS; i++)
		json_u64(out, report_name((enum report_kind)i),
			 pipe[PIPE_STAT_SAID_EXPORTED_OCTETS + i]);
	json_end(out);
}
