/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_show.h - what the control commands answer: members of an open JSON object.
 *
 * Sessions and templates are looked at by their worker, between two of its batches.
 */
#ifndef DAEMON_CONTROL_SHOW_H
#define DAEMON_CONTROL_SHOW_H

#include <stdbool.h>

#include "base/json.h"

struct service;

void show_status(struct service *s, struct json *out);
/* Beside the ledger: what was lost before us, as far as it can be known. */
void show_margin(struct service *s, struct json *out);
void show_exporters(struct service *s, struct json *out);
void show_templates(struct service *s, bool is_unmapped, struct json *out);
void show_mappings(struct service *s, struct json *out);
void show_sinks(struct service *s, struct json *out);
void show_log(struct service *s, struct json *out);
void show_counters(struct service *s, struct json *out);

#endif
