/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_reports.h - answers about what exporters say of themselves (normalizer/report.h).
 *
 * Owner: the control thread; nothing is kept.
 */
#ifndef DAEMON_CONTROL_REPORTS_H
#define DAEMON_CONTROL_REPORTS_H

#include <stdint.h>

#include "base/json.h"

struct service;

/* A row for each process of each session. */
void show_reports(struct service *s, struct json *out);
/* What was added since we first heard, over all: of the sums of the workers' counters. */
void show_said(const uint64_t *pipe, struct json *out);

#endif
